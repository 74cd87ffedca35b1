"""The benchmark tools: they time correct results, interleaved, and report changes."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import itertools
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tensorflow as tf
from oracle import Params

import tensorflow_lrn_grad as tlg

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "build_tools").is_dir():
    pytest.skip("the pip build's scripts are missing", allow_module_level=True)
sys.path.append(str(ROOT / "benchmarks"))

from suite import cases, contenders, measure, native, plots, report, timing  # noqa: E402
from suite.cases import Case, Group  # noqa: E402
from suite.goals import PASSES, Goal, goals  # noqa: E402
from suite.results import Record, Results  # noqa: E402
from suite.timing import Effort, Times  # noqa: E402

EFFORT = Effort(rounds=2, seconds=1e-3)
SHAPE = (2, 3, 4, 10)
P = Params(2, 1.0, 0.5, 0.75)


def command(name: str) -> ModuleType:
    """benchmarks/NAME.py, imported."""
    return importlib.import_module(name)


def group(*names: str, op: str = "LRNGrad", dtype: str = "float32") -> Group:
    some = tuple(Case(name, op, SHAPE, P, dtype) for name in names)
    return Group("layers", "a layer", some)


def measured(group: Group) -> list[Record]:
    return measure.measure(group, EFFORT, 2)


# Timing -------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], Callable]:
    """A clock that calls of `contender(name, seconds)` advance; these are logged."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def contender(name: str, seconds: float) -> Callable:
        def call() -> None:
            now[0] += seconds
            contender.log.append(name)

        return call

    contender.log = []
    return contender


def test_contenders_take_turns(clock: Callable) -> None:
    calls = {"a": clock("a", 0.01), "b": clock("b", 0.02)}
    times = timing.interleaved(calls, Effort(10, 1.0))
    assert clock.log[:6] == ["a"] * 3 + ["b"] * 3  # warm-up
    rounds = [clock.log[k : k + 2] for k in range(6, len(clock.log), 2)]
    assert len(rounds) == 10
    assert all(sorted(round_) == ["a", "b"] for round_ in rounds)
    assert ["a", "b"] in rounds
    assert ["b", "a"] in rounds
    assert times["a"].median_ms == pytest.approx(10)
    assert times["b"].median_ms == pytest.approx(20)
    assert times["a"].samples == times["b"].samples == 10


def test_slow_contenders_take_part_less_often(clock: Callable) -> None:
    calls = {"fast": clock("fast", 0.001), "slow": clock("slow", 0.2)}
    times = timing.interleaved(calls, Effort(20, 1.0))
    assert times["fast"].samples == 20
    assert times["slow"].samples == 5
    # Spread over the rounds at nearly equal distances.
    places = [k for k, name in enumerate(clock.log[4:]) if name == "slow"]
    assert all(3 <= b - a <= 7 for a, b in itertools.pairwise(places))


def test_a_call_that_takes_too_long_is_made_once(clock: Callable) -> None:
    times = timing.interleaved({"a": clock("a", 30.0)}, Effort(10, 1.0))
    assert clock.log == ["a"]
    assert times["a"] == Times(30_000, 30_000, 30_000, 1, times["a"].page_faults)


def test_short_calls_are_repeated_in_a_sample(clock: Callable) -> None:
    times = timing.interleaved({"a": clock("a", 1e-5)}, Effort(4, 1.0))
    assert len(clock.log) == 3 + 4 * 50
    assert times["a"].median_ms == pytest.approx(0.01)


def test_a_first_call_that_takes_longer_does_not_count(clock: Callable) -> None:
    short, long = clock("a", 2**-17), clock("a", 2**-6)
    calls = itertools.chain([long], itertools.repeat(short))
    times = timing.interleaved({"a": lambda: next(calls)()}, Effort(4, 1.0))
    assert len(clock.log) == 3 + 4 * math.ceil(timing.SHORTEST_SAMPLE / 2**-17)
    assert times["a"].upper_quartile_ms == 1e3 * 2**-17


def test_summary_has_the_quartiles() -> None:
    times = timing.summary([0.005, 0.001, 0.002, 0.004, 0.003], [0, 7, 0, 7, 7])
    assert times == Times(3.0, 2.0, 4.0, 5, 7)


# Measuring ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["half", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("op", cases.TENSORS)
def test_ours_and_the_memory_are_measured(op: str, dtype: str) -> None:
    records = measured(group("ours", "loop", op=op, dtype=dtype))
    assert [r.case.contender for r in records] == ["ours", "loop"]
    for record in records:
        assert record.unavailable is None
        assert record.times.samples == 2
        assert 0 < record.times.lower_quartile_ms <= record.ms


def test_every_contender_computes_the_same() -> None:
    """Each result is verified; a contender that is not installed says so."""
    names = [n for n in contenders.CONTENDERS if n not in ("loop", "add", "dy alone")]
    records = {r.case.contender: r for r in measured(group(*names))}
    not_installed = ["PyTorch", "oneDNN"]
    if not tlg.build_info()["xla"]:
        not_installed.append("ours XLA")
    for name in (name for name in names if name not in not_installed):
        assert records[name].times, records[name].unavailable
    for name in not_installed:
        reason = records[name].unavailable
        assert reason is None or reason.startswith(f"no {name}: ")


def scaled_by(factor: float, name: str) -> Callable:
    """The contender, with results off by `factor`."""
    make = contenders.CONTENDERS[name]

    def wrong(case: Case, operands: Any) -> Callable:
        call = make(case, operands)
        return lambda: call() * tf.cast(factor, case.dtype)

    return wrong


@pytest.mark.parametrize("op", ["LRN", "LRNGrad", "LRNGradFromInput"])
def test_a_wrong_result_of_ours_is_not_timed(
    op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(contenders.CONTENDERS, "ours", scaled_by(1 + 1e-5, "ours"))
    monkeypatch.setattr(measure, "interleaved", lambda *_: pytest.fail("timed"))
    with pytest.raises(measure.WrongResultError, match=f"op='{op}'.*are wrong"):
        measured(group("ours", "stock", op=op))


@pytest.mark.parametrize("op", ["LRNGradGrad", "LRNGradGradFromInput"])
def test_a_wrong_second_gradient_is_not_timed(
    op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(case: Case, operands: Any) -> Callable:
        call = contenders.ours(case, operands)
        return lambda: [*call()[:-1], call()[-1] * (1 + 1e-5)]

    monkeypatch.setitem(contenders.CONTENDERS, "ours", wrong)
    with pytest.raises(measure.WrongResultError, match=f"op='{op}'.*are wrong"):
        measured(group("ours", op=op))


def test_a_failure_of_ours_is_no_reason_to_leave_it_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(case: Case, operands: Any) -> Callable:
        return lambda: tf.debugging.assert_equal(1, 2)

    monkeypatch.setitem(contenders.CONTENDERS, "ours", failing)
    with pytest.raises(measure.WrongResultError, match="InvalidArgumentError"):
        measured(group("ours", "stock"))


def test_a_wrong_result_of_others_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contenders.CONTENDERS, "stock", scaled_by(1.01, "stock"))
    ours, stock = measured(group("ours", "stock"))
    assert ours.times
    assert stock.times is None
    assert stock.unavailable.startswith("wrong result: ")


def test_what_fails_says_why() -> None:
    """XLA's lowering of the stock op fails for half."""
    (record,) = measured(group("stock XLA", dtype="half"))
    assert record.times is None
    assert record.unavailable.startswith("InternalError: ")


def test_pooled_gradients_are_mostly_zeros() -> None:
    case = Case("ours", "LRNGrad", (2, 27, 27, 8), P, pooled=True)
    zeros = float(tf.math.zero_fraction(contenders.Operands(case).dy))
    assert 0.7 < zeros < 0.95


@pytest.mark.parametrize("tensors", cases.TENSORS.values())
def test_the_loop_moves_every_byte(
    tensors: tuple[int, int], rng: np.random.Generator
) -> None:
    reads, writes = tensors
    lines = 3001  # more than one range, and not a multiple of it
    inputs = [rng.integers(0, 2**62, size=8 * lines).astype("u8") for _ in range(reads)]
    outputs = [np.zeros(8 * lines, "u8") for _ in range(writes)]

    def addresses(arrays: list[np.ndarray]) -> ctypes.Array:
        pointers = [array.ctypes.data for array in arrays]
        return (ctypes.c_void_p * len(arrays))(*pointers)

    move = native.memory().tflrn_move
    arrays = addresses(inputs), addresses(outputs)
    assert move(reads, writes, *arrays, ctypes.c_int64(lines)) == 0
    for k, output in enumerate(outputs):
        np.testing.assert_array_equal(output, sum(inputs) + np.uint64(k))
    assert move(5, writes, *arrays, ctypes.c_int64(lines)) == 1


def test_a_changed_source_is_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "BUILD", tmp_path / "build")
    header = tmp_path / "benchmarks" / "cc" / "value.h"
    header.parent.mkdir(parents=True)
    source = header.with_name("value.cc")
    source.write_text('#include "benchmarks/cc/value.h"\nint value = VALUE;\n')
    outputs = []
    for text in ("#define VALUE 1\n", "#define VALUE 2\n", "#define VALUE 1\n"):
        header.write_text(text)
        outputs.append(native.compile_file(source, root=tmp_path))
    assert outputs[0] == outputs[2] != outputs[1]
    header.write_text("no C++\n")
    with pytest.raises(native.CompileError, match="error: "):
        native.compile_file(source, root=tmp_path)


def test_constants_of_the_kernels_can_be_set(tmp_path: Path) -> None:
    cpu = command("cpu")
    cpu.copy_with(["kBlockBytes=4 << 10"], tmp_path)
    text = (tmp_path / "cc" / "cpu" / "blocking.h").read_text()
    assert "constexpr int64_t kBlockBytes = 4 << 10;" in text
    for wrong in ("kNothing=1", "kBlock=1"):
        with pytest.raises(ValueError, match="0 constants of this name"):
            cpu.copy_with([wrong], tmp_path / wrong)
    with pytest.raises(ValueError, match=r"needs CONSTANT=VALUE, not 'kBlockBytes'"):
        cpu.copy_with(["kBlockBytes"], tmp_path / "none")


# Results ------------------------------------------------------------------------


def record(
    ms: float, case: Case, section: str, threads: int = 2, **more: Any
) -> Record:
    spread = more.pop("spread", 0.01)
    times = Times(ms, ms * (1 - spread), ms * (1 + spread), 9, 0)
    name = more.pop("group", "a layer")
    return Record(section, name, case, threads, times, None)


ENVIRONMENT = {
    "date": "2026-11-25",
    "cpu": "a processor",
    "cores": 2,
    "caches": {"L1d": "48K"},
    "system": "Linux 6.1, glibc 2.36",
    "version": "1.0",
    "commit": "0123456789ab",
    "tensorflow": "2.21.0",
    "python": "3.11.2",
    "compiler": "g++ 12",
    "target": "avx512",
    "targets": ["avx512", "avx2", "baseline"],
}
FACTORS = {"ours": 1.0, "add": 1.0, "loop": 0.9, "stock": 20.0, "stock XLA": 9.0}


def full_results(**factors: float) -> Results:
    """All sections, where each contender takes a fixed multiple of a common time."""
    factors = {**FACTORS, **factors}
    records = []
    for g in cases.groups(list(cases.SECTIONS)):
        for case in g.cases:
            name = case.contender
            threads = g.threads or ENVIRONMENT["cores"]
            # Small work is not split across threads.
            speedup = 1 if g.section in ("sizes", "small") else threads
            ms = case.bytes / 1e7 / speedup * factors.get(name, 1.0)
            records.append(
                dataclasses.replace(record(ms, case, g.section, threads), group=g.name)
            )
    return Results(ENVIRONMENT, False, records, [])


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    records = measured(group("ours", "loop", "stock XLA", dtype="half"))
    rounded = [
        record if record.times is None else Record.from_json(record.to_json())
        for record in records
    ]
    model = {"model": "AlexNet", "batch": 2, "speedup": 1.5}
    results = Results(ENVIRONMENT, True, rounded, [model])
    path = tmp_path / "folder" / "results.json"
    results.write(path)
    assert Results.read(path) == results
    data = json.loads(path.read_text())
    ours, loop, xla = data["records"]
    assert ours["bytes"] == 4 * 2 * 2 * 3 * 4 * 10
    assert ours["share_of_bandwidth"] == pytest.approx(
        loop["median_ms"] / ours["median_ms"], abs=1e-3
    )
    assert loop["share_of_bandwidth"] == 1
    assert "median_ms" not in xla
    for key in ("depth_radius", "bias", "alpha", "beta", "dtype", "shape", "threads"):
        assert key in ours
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"not a result of benchmarks/run\.py"):
        Results.read(path)


def test_every_case_has_a_key_of_its_own() -> None:
    keys = [record.key for record in full_results().records]
    assert len(keys) == len(set(keys)) > 300


# Goals --------------------------------------------------------------------------


def test_every_goal_is_judged() -> None:
    found = goals(full_results())
    assert all(goal.met is not None for goal in found)
    assert {goal.issue for goal in found} == {
        *(f"3.{point}" for point in (1, 2, 3, 4, 5, 8)),
        "5.1",
        "6.1",
    }


@pytest.mark.parametrize(
    ("factors", "missed"),
    [
        ({}, set()),
        ({"ours": 1.06}, {"backward / add_n"}),
        ({"stock": 17.0}, {"stock backward / ours"}),
        ({"stock": 7.0}, {"stock backward / ours", "stock forward / ours"}),
        ({"beside dy": 0.9}, {"function, dy not needed / needed"}),
        ({"ours XLA": 1.2}, {"compiled by XLA / not compiled"}),
        ({"stock XLA": 4.9}, {"stock backward / ours, both compiled by XLA"}),
    ],
)
def test_goals_are_missed_by_what_misses_them(
    factors: dict[str, float], missed: set[str]
) -> None:
    found = goals(full_results(**factors))
    # Time depends on bytes alone: not on channels or radius, and half takes half.
    assert {goal.text for goal in found if goal.met is False} == missed


def test_a_goal_is_judged_where_it_is_furthest_from() -> None:
    ratios = {"a": 1.0, "b": 1.3, "c": 1.1}
    most = Goal("3.1", "", 1.3, ratios)
    assert most.worst == ("b", 1.3)
    assert most.met
    assert not dataclasses.replace(most, limit=1.29).met
    least = dataclasses.replace(most, at_least=True, limit=1.0)
    assert least.worst == ("a", 1.0)
    assert least.met
    assert not dataclasses.replace(least, limit=1.01).met
    assert dataclasses.replace(most, ratios={}).met is None


def test_scaling_counts_where_the_memory_scales() -> None:
    def scaling(results: Results) -> Goal:
        return next(goal for goal in goals(results) if goal.issue == "3.5")

    results = full_results()
    assert scaling(results).worst[1] == pytest.approx(2)

    def slower_alone(contender: str, factor: float) -> Results:
        records = [
            dataclasses.replace(
                r, times=dataclasses.replace(r.times, median_ms=r.ms * factor)
            )
            if r.threads == 1 and r.case.contender == contender
            else r
            for r in results.records
        ]
        return dataclasses.replace(results, records=records)

    assert scaling(slower_alone("ours", 0.8)).met is False
    assert scaling(slower_alone("add", 0.8)).met is None


# Comparing ----------------------------------------------------------------------


def compared(
    old: Results, new: Results, folder: Path, capsys: pytest.CaptureFixture, *more: str
) -> str:
    paths = folder / "old.json", folder / "new.json"
    for results, path in zip((old, new), paths, strict=True):
        results.write(path)
    assert command("compare").main([*map(str, paths), *more]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_compare_tells_changes_from_the_spread() -> None:
    old = Results(ENVIRONMENT, False, [], [])
    case = Case("ours", "LRN", SHAPE, P)
    for ms, verdict in ((1.5, "slower"), (0.6, "faster"), (1.15, ""), (0.9, "")):
        before = dataclasses.replace(
            old,
            records=[
                record(1.0, case, "layers", spread=0.1),
                record(2.0, dataclasses.replace(case, contender="add"), "layers"),
            ],
        )
        after = dataclasses.replace(
            old,
            records=[
                record(ms, case, "layers", spread=0.1),
                record(2.2, dataclasses.replace(case, contender="add"), "layers"),
            ],
        )
        change, _ = command("compare").changes(before, after)
        assert change.verdict == verdict
        assert change.ratio == pytest.approx(ms)
        assert change.others == pytest.approx(1.1)


@pytest.mark.parametrize("single", ["old", "new"])
def test_compare_does_not_judge_a_single_sample(single: str) -> None:
    """A call that takes seconds is timed once, so its spread is unknown."""
    case = Case("stock", "LRNGrad", SHAPE, P)
    records = {"old": record(1.0, case, "radius"), "new": record(2.0, case, "radius")}
    once = timing.summary([records[single].ms / 1e3], [0])
    records[single] = dataclasses.replace(records[single], times=once)
    results = (Results(ENVIRONMENT, False, [r], []) for r in records.values())
    (change,) = command("compare").changes(*results)
    assert change.verdict == ""
    assert change.ratio == pytest.approx(2)


def test_compare_shows_what_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    results = full_results()
    total = len(results.records)
    output = compared(results, results, tmp_path, capsys)
    assert output.startswith(f"{total} cases in both: 0 slower, 0 faster; 0 only in")
    fewer = dataclasses.replace(results, records=results.records[:-3])
    output = compared(fewer, full_results(ours=1.5), tmp_path, capsys)
    ours = sum(r.case.contender == "ours" for r in fewer.records)
    assert f"{ours} slower, 0 faster; 0 only in the old one, 3 only in" in output
    assert "1.50" in output
    assert "different " not in output


def test_compare_tells_other_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    results = full_results()
    there = {**ENVIRONMENT, "cpu": "another", "tensorflow": "2.20.0"}
    output = compared(
        results, dataclasses.replace(results, environment=there), tmp_path, capsys
    )
    assert "different hardware: cpu was a processor, is another" in output
    assert "different version: tensorflow was 2.21.0, is 2.20.0" in output


def test_compare_refuses_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}")
    assert command("compare").main([str(path), str(path)]) == 2
    assert "not a result of benchmarks/run.py" in capsys.readouterr().err


# The report ---------------------------------------------------------------------


def test_publish_writes_all_that_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = "# Title\n\n", "\n\nEnd\n"
    text = f"{before}{report.BEGIN}\nold\n{report.END}{after}"
    (tmp_path / "README.md").write_text(text)
    results = full_results()
    written = report.publish(results, tmp_path)
    readme = (tmp_path / "README.md").read_text()
    assert readme == before + report.readme_block(results) + after
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert page.count("| met |") == len(goals(results))
    for layer in cases.LAYERS:
        assert f"| {layer.name} | {'x'.join(map(str, layer.shape))} |" in page
    images = [path for path in written if path.suffix == ".svg"]
    assert len(images) == 2 * len(report.PLOTS)
    for path in images:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert path.stat().st_size < 150_000
        folder = "docs/benchmarks" if path.name.startswith("layers") else "benchmarks"
        assert f"{folder}/{path.name}" in (
            readme if path.name.startswith("layers") else page
        )
    monkeypatch.setattr(plots, "PLOTS", ["layers"])
    for again in plots.plots(results, tmp_path):
        first = tmp_path / "docs" / "benchmarks" / again.name
        assert again.read_bytes() == first.read_bytes()
    with pytest.raises(ValueError, match="there is no block"):
        report.with_block("nothing", "block")


def test_instruction_sets_are_those_that_were_measured() -> None:
    results = full_results(ours=1.5)
    lines = report.document(results).split("## Instruction sets")[1].splitlines()
    assert lines[4].startswith("| layer | pass | type | AVX-512 | / loop | AVX2 |")
    rows = [line for line in lines[6:22] if line.count(" | 1.67") == 3]
    assert len(rows) == 16
    some = [r for r in results.records if not r.group.endswith(", avx512")]
    page = report.document(dataclasses.replace(results, records=some))
    assert "| layer | pass | type | AVX2 | / loop | 128-bit vectors | / loop |" in page


def test_a_goal_that_is_just_missed_shows_by_how_much() -> None:
    page = report.document(full_results(ours=1.0502))
    (line,) = (line for line in page.splitlines() if "| backward / add_n |" in line)
    assert line.endswith("| ≤ 1.05 | 1.0502 | **not met** |")


def test_a_goal_that_was_not_measured_says_so() -> None:
    def scaling(results: Results) -> str:
        (line,) = (
            line for line in report.document(results).splitlines() if "| 3.5 |" in line
        )
        return line.split("|")[-2].strip()

    results = full_results()
    assert scaling(results) == "met"
    flat = [
        dataclasses.replace(r, times=dataclasses.replace(r.times, median_ms=1.0))
        for r in results.records
    ]
    assert scaling(dataclasses.replace(results, records=flat)) == "does not apply"
    types = [r for r in results.records if r.section == "types"]
    assert scaling(dataclasses.replace(results, records=types)) == "not measured"


def test_plots_name_the_contenders() -> None:
    figure = plots.draw("layers", "light", full_results())
    (legend,) = figure.legends
    names = {text.get_text() for text in legend.get_texts()}
    assert {"ours", "TensorFlow", "PyTorch", "oneDNN"} <= names
    backward, forward = figure.axes
    assert [axes.get_title("left") for axes in figure.axes] == ["Backward", "Forward"]
    ours = next(line for line in backward.lines if line.get_label() == "ours")
    elements = [np.prod(layer.shape) for layer in cases.NETWORKS]
    np.testing.assert_allclose(ours.get_xdata(), np.multiply(elements, 16) / 2e7)
    assert backward.get_xscale() == forward.get_xscale() == "log"


def test_published_figures_are_those_of_the_results() -> None:
    """README.md and docs/benchmarks.md match benchmarks/results/cpu.json."""
    run = command("run")
    results = Results.read(run.PUBLISHED)
    assert not results.quick
    assert report.readme_block(results) in (ROOT / "README.md").read_text()
    assert report.DOCUMENT.read_text() == report.document(results)


def test_the_readme_has_the_results_of_other_machines() -> None:
    """Each row has the ranges of a pass over the layers."""
    row = re.compile(r"^\| (?:`(cpu-.*\.json)`: .*)? \| (.*) \| (.*) \| (.*) \|$")
    readme = (ROOT / "README.md").read_text()
    _, _, lines = readme.partition("| `benchmarks/results` | pass |")
    names, results = [], None
    for line in lines.splitlines()[2:]:
        if not (found := row.match(line)):
            break
        if name := found.group(1):
            names.append(name)
            results = Results.read(ROOT / "benchmarks/results" / name)
        assert results
        op = next(op for op, title in PASSES.items() if title == found.group(2))
        section = "no y" if op == "LRNGradFromInput" else "layers"
        for text, over, under in (
            (found.group(3), "ours", "add"),
            (found.group(4), "stock", "ours"),
        ):
            ratios = [
                results.times(section, over, under, op=op, group=layer.name)
                for layer in cases.NETWORKS
            ]
            least, most = report.factor(min(ratios)), report.factor(max(ratios))
            assert text == f"{least} to {most}"
    files = (ROOT / "benchmarks/results").glob("cpu-*.json")
    assert sorted(names) == sorted(path.name for path in files)


# gpu/time_ops.py ---------------------------------------------------------------


def time_ops() -> ModuleType:
    if not tlg.build_info()["xla"]:
        pytest.skip("the library has no XLA kernels, which time_ops.py times")
    return command("gpu.time_ops")


@pytest.mark.parametrize("op", ["LRN", "LRNGrad", "LRNGradFromInput"])
def test_time_ops_times_each_column(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = time_ops()
    monkeypatch.setattr(module, "EFFORT", EFFORT)
    for _, calls_of, ratios in module.TABLES:
        calls = calls_of(Case("ours", op, SHAPE, P))
        times = module.times_of(calls)
        assert list(times) == list(calls)
        assert all(ms > 0 for ms in times.values())
        for name in module.with_ratios(times, ratios).keys() - times.keys():
            over, under = name.split(" / ")
            assert {over, under} <= times.keys()


def test_time_ops_refuses_other_results_from_xla(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = time_ops()

    def differs(x: tf.Tensor, **_: object) -> tf.Tensor:
        return x if tf.executing_eagerly() else x + 1.0

    monkeypatch.setitem(module.OUR_OPS, "LRN", differs)
    case = Case("ours", "LRN", SHAPE, P)
    with pytest.raises(ValueError, match="LRN: compiled by XLA"):
        module.compiled(case, contenders.Operands(case))


def test_the_documented_times_of_ops_on_a_gpu_are_those_of_the_results() -> None:
    module = command("gpu.time_ops")
    results = json.loads((ROOT / "benchmarks/results/gpu-h200-ops.json").read_text())
    documented = (ROOT / "docs/gpu.md").read_text().splitlines()
    rows = [row for title, *_ in module.TABLES for row in results[title]]
    assert len(rows) == 2 * 4 * 3  # Tables, layers, passes.
    for row in rows:
        assert f"| {' | '.join(module.words(row))} |" in documented


# The command --------------------------------------------------------------------


def test_run_measures_in_processes(child: Callable, tmp_path: Path) -> None:
    result = child(
        """
        import os, runpy, sys
        del sys.argv[0]
        sys.path[0] = os.path.dirname(sys.argv[0])
        runpy.run_path(sys.argv[0], run_name="__main__")
        """,
        *(ROOT / "benchmarks" / "run.py", "--quick", "--output", "results.json"),
        *("--only", "small", "--only", "in place"),
    )
    assert result.returncode == 0, result.stderr
    assert "small shapes" in result.stdout
    results = Results.read(tmp_path / "results.json")
    assert results.quick
    assert results.environment["tensorflow"] == tf.__version__
    assert results.environment["cores"] == len(os.sched_getaffinity(0))
    assert {r.section for r in results.records} == {"small", "in place"}
    assert all(r.times for r in results.records)
    small = results.find("small", op="LRNGrad", contender="ours")
    assert small.case.shape == cases.SMALL
    assert small.threads == results.all_threads


def test_a_process_has_its_threads_and_its_instruction_set(child: Callable) -> None:
    result = child(
        """
        import sys
        import tensorflow_lrn_grad as tlg
        sys.path.append(sys.argv[1])
        from suite.measure import workers
        with workers() as process:
            default, forced = process(1), process(1, "baseline")
            assert process(1) is default
            assert process(2) is not default
            assert default.environment()["target"] == tlg.build_info()["cpu_target"]
            assert forced.environment()["target"] == "baseline"
            assert forced.threads == 1
        """,
        ROOT / "benchmarks",
    )
    assert result.returncode == 0, result.stderr


class InThisProcess:
    """Stands in for measure.Worker."""

    environment = staticmethod(lambda: ENVIRONMENT)
    measure = staticmethod(lambda group, effort: measure.measure(group, effort, 2))


def test_run_fails_where_ours_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    run = command("run")

    @measure.contextmanager
    def workers() -> Any:
        yield lambda *_: InThisProcess

    monkeypatch.setattr(run, "workers", workers)
    monkeypatch.setitem(contenders.CONTENDERS, "ours", scaled_by(1.001, "ours"))
    path = tmp_path / "results.json"
    options = ["--quick", "--only", "small", "--output", str(path)]
    assert run.main(options) == 1
    assert "error: wrong result or failure: " in capsys.readouterr().err
    assert not path.exists()


def test_run_publishes_all_or_nothing(capsys: pytest.CaptureFixture) -> None:
    for option in ("--quick", "--only=small"):
        with pytest.raises(SystemExit):
            command("run").main(["--publish", option])
        assert "--publish needs all results" in capsys.readouterr().err
    # Otherwise the documents would not match the published results.
    for option in ("--show=other.json", "--output=other.json"):
        with pytest.raises(SystemExit):
            command("run").main(["--publish", option])
        assert "results/cpu.json" in capsys.readouterr().err


def test_run_shows_no_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "other.json"
    assert command("run").main(["--show", str(path)]) == 2
    path.write_text("{}")
    assert command("run").main(["--show", str(path)]) == 2
    assert "not a result of benchmarks/run.py" in capsys.readouterr().err
