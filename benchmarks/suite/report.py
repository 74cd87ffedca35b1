"""The tables of the results, and the documents that show them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from suite import ROOT
from suite.cases import (
    FIRST_ORDER,
    LAYERS,
    NETWORKS,
    RADII,
    SIZES,
    TARGETS,
    of_target,
)
from suite.goals import PASSES, goals
from suite.results import Record, Results
from suite.table import Table

DOCUMENT = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
BEGIN = "<!-- Written by benchmarks/run.py: begin -->"
END = "<!-- Written by benchmarks/run.py: end -->"
NONE = "-"

TARGET_NAMES = {"avx512": "AVX-512", "avx2": "AVX2", "baseline": "128-bit vectors"}


def tables(results: Results) -> list[Table]:
    """The tables for which something was measured."""
    made = [
        _goals(results),
        _layers(results, "layers", "LRNGrad"),
        _layers(results, "no y", "LRNGradFromInput"),
        _layers(results, "layers", "LRN"),
        _threads(results),
        _pooled(results),
        _types(results),
        _targets(results),
        _second(results),
        _radius(results),
        _channels(results),
        _sizes(results),
        _small(results),
        _in_place(results),
        _xla(results),
        models(results),
    ]
    return [table for table in made if table.rows]


# A cell --------------------------------------------------------------------------


def ms(record: Record | None) -> str:
    """The median in milliseconds, with three digits."""
    if record is None:
        return NONE
    digits = 0 if record.ms >= 100 else 1 if record.ms >= 10 else 2
    return f"{record.ms:.{digits}f}"


def us(record: Record | None) -> str:
    return NONE if record is None else f"{1e3 * record.ms:.1f}"


def spread(record: Record) -> str:
    """The quartiles in milliseconds."""
    t = record.times
    assert t is not None
    return f"{t.lower_quartile_ms:.3g} to {t.upper_quartile_ms:.3g}"


def factor(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.0f}" if value >= 100 else f"{value:.{1 if value >= 10 else 2}f}"


def percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.0f} %"


# The tables -----------------------------------------------------------------------


def _goals(results: Results) -> Table:
    rows = []
    for goal in goals(results):
        where, ratio = goal.worst or ("", None)
        verdict = {True: "met", False: "**not met**", None: "not measured"}[goal.met]
        if goal.met is None and goal.issue == "3.5" and _threads(results).rows:
            verdict = "does not apply"
        there = factor(ratio)
        if goal.met is False and there == factor(goal.limit):
            there = f"{ratio:.4f}"
        rows.append((goal.issue, goal.text, where, goal.wanted, there, verdict))
    return Table(
        "Goals",
        ("no.", "ratio of medians", "worst case", "goal", "value", ""),
        rows,
        "Each goal is numbered after the issue that set it, and judged by its worst "
        "case.",
        left=3,
    )


ONEDNN = (
    "oneDNN's forward pass is that of training, which also writes what its backward "
    "pass reads."
)
OTHERS = {
    "stock": "stock op",
    "stock XLA": "stock, XLA",
    "PyTorch": "PyTorch",
    "oneDNN": "oneDNN",
}


ADDITIONS = {
    "LRNGrad": "add_n([dy, x, y])",
    "LRNGradFromInput": "add(dy, x)",
    "LRN": "add(x, x)",
}


def _layers(results: Results, section: str, op: str) -> Table:
    measured = {r.case.contender for r in results.where(section, op=op)}
    others = {name: title for name, title in OTHERS.items() if name in measured}
    rows = []
    for layer in LAYERS:
        same = {"op": op, "group": layer.name}
        ours = results.find(section, contender="ours", **same)
        if ours is None:
            continue
        contenders = [
            results.find(section, contender=contender, **same)
            for contender in ("add", "loop", *others)
        ]
        rows.append(
            (
                layer.name,
                "x".join(map(str, ours.case.shape)),
                f"**{ms(ours)}**",
                spread(ours),
                *map(ms, contenders),
                factor(results.times(section, "stock", "ours", **same)),
                factor(results.times(section, "ours", "add", **same)),
                percent(results.bandwidth(ours)),
            )
        )
    note = (
        "Medians in milliseconds. The C++ loop reads and writes arrays of the same "
        "size and does nothing else: its bandwidth counts as 100 %."
    )
    if op == "LRNGradFromInput":
        note += (
            " This is `tlg.lrn_grad(dy, x)`, `tlg.lrn`'s registered gradient. It "
            "computes LRN's output y instead of reading it; the stock op reads it."
        )
    if op == "LRN":
        note += f" {ONEDNN}"
    columns = ("layer", "shape", "ours", "quartiles", f"`{ADDITIONS[op]}`", "C++ loop")
    ratios = ("stock / ours", "ours / add", "bandwidth")
    return Table(
        f"{PASSES[op].capitalize()}, float32, all threads",
        (*columns, *others.values(), *ratios),
        rows,
        note,
        left=2,
    )


def _threads(results: Results) -> Table:
    rows = []
    contenders = ("ours", "add", "loop", "stock")
    for op in FIRST_ORDER:
        for layer in LAYERS:
            same = {"op": op, "group": layer.name}
            alone = results.find("layers", contender="ours", threads=1, **same)
            speedups = [
                results.ratio("layers", {"threads": 1}, {}, contender=c, **same)
                for c in contenders
            ]
            if alone:
                row = (layer.name, PASSES[op], ms(alone), *map(factor, speedups))
                rows.append(row)
    return Table(
        f"{results.all_threads} threads against one",
        ("layer", "pass", "ours, one thread", *(f"{c}: speedup" for c in contenders)),
        rows,
        "The speedup of all threads over one, in two processes that took turns.",
        left=2,
    )


def _pooled(results: Results) -> Table:
    contenders = ("ours", "add", "stock", "stock XLA")
    rows = []
    for ours in results.where("pooled", contender="ours"):
        found = [
            results.find("pooled", group=ours.group, contender=c) for c in contenders
        ]
        times = results.times("pooled", "stock", "ours", group=ours.group)
        rows.append((ours.group, *map(ms, found), factor(times)))
    return Table(
        "Backward before max pooling",
        ("layer", *contenders, "stock / ours"),
        rows,
        "LRN followed by max pooling: most of the incoming gradient is zero, and the "
        "stock op skips zeros. Milliseconds.",
    )


def _types(results: Results) -> Table:
    rows = []
    for ours in results.where("types", contender="ours"):
        case = ours.case
        same = {"group": ours.group, "op": case.op}
        this, loop, stock = (
            {"contender": c, "dtype": case.dtype} for c in ("ours", "loop", "stock")
        )
        float32 = {"contender": "ours", "dtype": "float32"}
        found = [results.find("types", **{**same, **c}) for c in (loop, stock)]
        ratios = [results.ratio("types", this, c, **same) for c in (loop, float32)]
        rows.append(
            (
                ours.group,
                PASSES[case.op],
                case.dtype,
                f"**{ms(ours)}**",
                *map(ms, found),
                *map(factor, ratios),
                percent(results.bandwidth(ours)),
            )
        )
    ratios = ("ours / loop", "ours / our float32", "bandwidth")
    return Table(
        "Types",
        ("layer", "pass", "type", "ours", "C++ loop", "stock op", *ratios),
        rows,
        "The loop moves the same bytes. TensorFlow has no CPU kernels for bfloat16 or "
        "float64. Milliseconds.",
        left=3,
    )


def _targets(results: Results) -> Table:
    groups = {record.group for record in results.where("targets")}
    targets = [
        target
        for target in TARGETS
        if groups & {of_target(layer, target) for layer in LAYERS}
    ]
    rows = []
    for layer, op, dtype in itertools.product(LAYERS, FIRST_ORDER, SIZES):
        cells = []
        for target in targets:
            same = {"group": of_target(layer, target), "op": op, "dtype": dtype}
            ours = results.find("targets", contender="ours", **same)
            times = results.times("targets", "ours", "loop", **same)
            cells += [ms(ours), factor(times)]
        if any(cell != NONE for cell in cells):
            rows.append((layer.name, PASSES[op], dtype, *cells))
    columns = [
        column for target in targets for column in (TARGET_NAMES[target], "/ loop")
    ]
    return Table(
        "Instruction sets",
        ("layer", "pass", "type", *columns),
        rows,
        "Our kernels for each instruction set (`TFLRN_CPU_TARGET`), and their times as "
        "multiples of a loop that moves the same bytes. Milliseconds.",
        left=3,
    )


def _second(results: Results) -> Table:
    rows = []
    for ours in results.where("second", contender="ours"):
        same = {"group": ours.group, "op": ours.case.op, "dtype": ours.case.dtype}
        loop = results.find("second", contender="loop", **same)
        times = results.times("second", "ours", "loop", **same)
        cells = f"**{ms(ours)}**", ms(loop), factor(times)
        rows.append((ours.group, f"`{ours.case.op}`", ours.case.dtype, *cells))
    return Table(
        "Second gradients",
        ("layer", "op", "type", "ours", "C++ loop", "ours / loop"),
        rows,
        "The gradient of LRNGrad (`LRNGradGrad`) and, where it was measured, that of "
        "LRNGrad without y (`LRNGradGradFromInput`). The loops read and write as many "
        "tensors. Milliseconds.",
        left=3,
    )


def _radius(results: Results) -> Table:
    rows = []
    for depth_radius in RADII:
        found = [
            results.find("radius", op=op, contender=c, depth_radius=depth_radius)
            for op in FIRST_ORDER
            for c in ("ours", "stock")
        ]
        if any(found):
            rows.append((str(depth_radius), *map(ms, found)))
    return Table(
        "Window",
        ("radius", *_by_pass(("ours", "stock op"))),
        rows,
        "Rows of 512 channels. Milliseconds.",
        left=0,
    )


def _by_pass(columns: Iterable[str]) -> list[str]:
    return [f"{PASSES[op]}: {column}" for op in FIRST_ORDER for column in columns]


def _channels(results: Results) -> Table:
    rows = []
    shapes = {record.case.shape for record in results.where("channels")}
    for shape in sorted(shapes, key=lambda shape: shape[3]):
        found = [
            results.find("channels", op=op, contender=c, shape=shape)
            for op in FIRST_ORDER
            for c in ("ours", "stock")
        ]
        rows.append((str(shape[3]), *map(ms, found)))
    return Table(
        "Few channels",
        ("channels", *_by_pass(("ours", "stock op"))),
        rows,
        "All tensors have the same number of elements. Milliseconds.",
        left=0,
    )


def _sizes(results: Results) -> Table:
    rows = []
    shapes = {record.case.shape for record in results.where("sizes")}
    for shape in sorted(shapes):
        found = [
            results.find("sizes", op=op, contender=contender, shape=shape, **threads)
            for op in FIRST_ORDER
            for contender, threads in (
                ("ours", {}),
                ("ours", {"threads": 1}),
                ("stock", {}),
                ("add", {}),
            )
        ]
        rows.append((str(shape[2]), *map(us, found)))
    columns = ("ours", "ours, one thread", "stock op", "add")
    return Table(
        "Small work",
        ("rows of 64", *_by_pass(columns)),
        rows,
        "An eager call, from Python. Microseconds.",
        left=0,
    )


def _small(results: Results) -> Table:
    rows = []
    for ours in results.where("small", contender="ours"):
        stock = results.find("small", op=ours.case.op, contender="stock")
        times = results.times("small", "ours", "stock", op=ours.case.op)
        rows.append((PASSES[ours.case.op], us(ours), us(stock), factor(times)))
    return Table(
        "The smallest call",
        ("pass", "ours", "stock op", "ours / stock"),
        rows,
        "One row of 64 channels: the cost of a call. Microseconds.",
    )


def _in_place(results: Results) -> Table:
    contenders = ("over dy", "beside dy", "dy alone", "stock over dy")
    rows = []
    for layer in NETWORKS:
        found = [
            results.find("in place", group=layer.name, contender=c) for c in contenders
        ]
        times = results.times("in place", "over dy", "beside dy", group=layer.name)
        if times:
            rows.append((layer.name, *map(ms, found), factor(times)))
    return Table(
        "In place",
        ("layer", "over dy", "beside dy", "dy alone", "stock op", "over / beside"),
        rows,
        "A `tf.function` that computes dy and then the gradient. If dy is no longer "
        "needed, the gradient overwrites it; if dy is returned too, the gradient is "
        "written beside it. Milliseconds.",
    )


def _xla(results: Results) -> Table:
    contenders = ("ours XLA", "ours function", "stock XLA")
    rows = []
    for ours in results.where("XLA", contender="ours XLA"):
        same = {"group": ours.group, "op": ours.case.op}
        found = [results.find("XLA", contender=c, **same) for c in contenders]
        ratios = (
            results.times("XLA", "ours XLA", "ours function", **same),
            results.times("XLA", "stock XLA", "ours XLA", **same),
        )
        rows.append(
            (ours.group, PASSES[ours.case.op], *map(ms, found), *map(factor, ratios))
        )
    return Table(
        "Compiled by XLA",
        ("layer", "pass", "ours, XLA", "ours", "stock, XLA", "XLA / not", "stock/ours"),
        rows,
        "Functions with one op, compiled by XLA (`jit_compile=True`) or not. "
        "Milliseconds.",
        left=2,
    )


def models(results: Results) -> Table:
    """The results of benchmarks/models.py."""
    rows = [
        (
            model["model"],
            str(model["batch"]),
            f"{1e3 * model['stock_seconds']['median']:.0f}",
            f"{1e3 * model['accelerated_seconds']['median']:.0f}",
            factor(model["speedup"]),
        )
        for model in results.models
    ]
    return Table(
        "A training step",
        ("model", "batch", "stock ops", "accelerated", "speedup"),
        rows,
        "A training step of a SavedModel built with `tf.nn.lrn`, in processes without "
        "and with `TFLRN_ACCELERATE=1`. Medians in milliseconds.",
    )


# The documents --------------------------------------------------------------------


def environment_line(results: Results) -> str:
    e = results.environment
    versions = [f"TensorFlow {e['tensorflow']}"]
    versions += [f"PyTorch {e['torch']}"] if "torch" in e else []
    versions += [f"oneDNN {e['onednn']}"] if "onednn" in e else []
    return (
        f"{e['cores']} cores of an {e['cpu']} with {TARGET_NAMES[e['target']]}, "
        f"{', '.join(versions)}, {e['date']}"
    )


def picture(name: str, words: str) -> str:
    """An image for light and for dark pages; `name` is relative to the page."""
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{name}-dark.svg">\n'
        f'  <img alt="{words}" src="{name}-light.svg">\n'
        "</picture>"
    )


def document(results: Results) -> str:
    """docs/benchmarks.md."""
    e = results.environment
    caches = ", ".join(f"{name} {size}" for name, size in e["caches"].items())
    parts = [
        "# Benchmarks",
        "Written by `python benchmarks/run.py --publish`, which verifies each result "
        "against the formula in wider arithmetic before timing it. All contenders of a "
        "row, or of a group of rows, are timed in turns in one process. "
        "[results/cpu.json](../benchmarks/results/cpu.json) has the spread, the number "
        "of samples and the page faults of each time; there are hardly any, since "
        "malloc is told to keep its memory. `benchmarks/compare.py` compares two such "
        "files.",
        f"Measured on {environment_line(results)}; caches: {caches}; {e['system']}; "
        f"compiler {e['compiler']}; commit {e['commit']}.",
    ]
    images = {
        title: picture(f"benchmarks/{name}", words)
        for name, (title, words) in PLOTS.items()
    }
    for table in tables(results):
        parts.append(f"## {table.title}")
        parts += [table.before] if table.before else []
        parts += [images[table.title]] if table.title in images else []
        parts.append(table.markdown())
    left_out = list(_left_out(results))
    if left_out:
        parts += ["## Left out", "\n".join(f"* {line}" for line in left_out)]
    return "\n\n".join(parts) + "\n"


def _left_out(results: Results) -> Iterator[str]:
    reasons: dict[str, list[Record]] = {}
    for record in results.records:
        if record.unavailable:
            text = f"{record.case.contender}: {record.unavailable}"
            reasons.setdefault(text, []).append(record)
    for reason, records in reasons.items():
        where = {f"{r.group}, {PASSES[r.case.op]}" for r in records}
        yield f"{reason} ({'; '.join(sorted(where))})"


def readme_block(results: Results) -> str:
    """README.md's block of results, with its markers."""
    rows = []
    passes = ("layers", "LRNGrad"), ("no y", "LRNGradFromInput"), ("layers", "LRN")
    for layer, (section, op) in itertools.product(NETWORKS, passes):
        same = {"op": op, "group": layer.name}
        found = [
            results.find(section, contender=c, **same) for c in ("ours", *OTHERS, "add")
        ]
        ratios = [
            results.times(section, over, under, **same)
            for over, under in (("stock", "ours"), ("ours", "add"))
        ]
        name = layer.name if op == "LRNGrad" else ""
        cells = [f"**{ms(found[0])}**", *map(ms, found[1:]), *map(factor, ratios)]
        rows.append((name, PASSES[op], *cells))
    columns = ("layer", "pass", "ours", *OTHERS.values(), "memory")
    main = Table(
        "", (*columns, "stock / ours", "ours / memory"), rows, left=2
    ).markdown()
    pooled = [
        times
        for ours in results.where("pooled", contender="ours")
        if (times := results.times("pooled", "stock", "ours", group=ours.group))
    ]
    judged = [goal.met for goal in goals(results) if goal.met is not None]
    parts = [
        BEGIN,
        f"Medians in milliseconds, float32, batch 32, {environment_line(results)}. "
        '"No y" is the gradient that `tlg.lrn` registers, which computes LRN\'s output '
        'where the stock op reads it. "Memory" is an op that moves the same bytes: '
        "`tf.add_n([dy, x, y])`, `tf.add(dy, x)` without y, or `tf.add(x, x)` for "
        f"forward. {ONEDNN}",
        picture("docs/benchmarks/layers", PLOTS["layers"][1]),
        main,
        f"The stock op skips zeros in the incoming gradient. Where max pooling follows "
        f"LRN, most of that gradient is zero; there the stock op takes "
        f"{factor(min(pooled))} to {factor(max(pooled))} times as long as ours."
        if pooled
        else "",
        models(results).before,
        models(results).markdown(),
        "[All tables](docs/benchmarks.md): types, instruction sets, windows, threads, "
        "small calls, the second gradient, XLA, and the "
        f"{len(judged)} goals, of which {sum(judged)} are met. "
        "`python benchmarks/run.py` measures on your machine.",
        END,
    ]
    return "\n\n".join(filter(None, parts))


# name: (the table that it stands above, what it shows)
PLOTS = {
    "layers": (
        "Backward, float32, all threads",
        "Times of LRN and its gradient, ours and others', for four layers",
    ),
    "types": (
        "Types",
        "Times of each type, as multiples of a loop that moves the same bytes",
    ),
    "radius": ("Window", "Times for windows from one channel to all"),
    "sizes": ("Small work", "Times from one row to four million elements"),
}


def with_block(text: str, block: str) -> str:
    """The text, with its block replaced."""
    pattern = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"there is no block between {BEGIN} and {END}")
    return pattern.sub(lambda _: block, text)


def publish(results: Results, root: Path = ROOT) -> list[Path]:
    """Writes the document, the plots and the README's block under `root`."""
    from suite.plots import plots

    readme = root / README.relative_to(ROOT)
    page = root / DOCUMENT.relative_to(ROOT)
    page.parent.mkdir(exist_ok=True)
    readme.write_text(with_block(readme.read_text(), readme_block(results)))
    page.write_text(document(results))
    return [readme, page, *plots(results, page.parent / "benchmarks")]
