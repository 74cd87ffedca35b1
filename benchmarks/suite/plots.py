"""The plots, each for light and for dark pages."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from suite.cases import FIRST_ORDER, NETWORKS, SIZES
from suite.goals import PASSES
from suite.report import PLOTS
from suite.results import Results

THEMES = {
    "light": {"text": "#1f2328", "grid": "#d1d9e0", "faint": "#59636e"},
    "dark": {"text": "#f0f6fc", "grid": "#3d444d", "faint": "#9198a1"},
}
# The markers tell them apart without colours; readable on white and on black.
STYLES = {
    "ours": ("#2f81f7", "o"),
    "add": ("#8b949e", "|"),
    "stock": ("#e5534b", "s"),
    "stock XLA": ("#d29922", "D"),
    "PyTorch": ("#a371f7", "^"),
    "oneDNN": ("#3fb950", "v"),
}
LABELS = {
    "ours": "ours",
    "add": "memory: tf.add_n, tf.add",
    "stock": "TensorFlow",
    "stock XLA": "TensorFlow, XLA",
}


def plots(results: Results, folder: Path) -> list[Path]:
    """Writes NAME-light.svg and NAME-dark.svg for each plot of report.PLOTS."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in PLOTS:
        for theme in THEMES:
            figure = draw(name, theme, results)
            path = folder / f"{name}-{theme}.svg"
            # Text stays text, and the same results give the same bytes.
            with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
                figure.savefig(path, transparent=True, metadata={"Date": None})
            written.append(path)
    return written


def draw(name: str, theme: str, results: Results) -> Figure:
    """One plot, in one theme."""
    colours = THEMES[theme]
    style = {
        "font.family": "sans-serif",
        "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
        "font.size": 10,
        "text.color": colours["text"],
        "axes.labelcolor": colours["faint"],
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.edgecolor": colours["grid"],
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": colours["faint"],
        "ytick.color": colours["faint"],
        "xtick.labelcolor": colours["text"],
        "ytick.labelcolor": colours["text"],
        "grid.color": colours["grid"],
        "legend.frameon": False,
        "figure.facecolor": "none",
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(8.4, 3.6), layout="constrained")
        axes = figure.subplots(1, 2)
        for ax, op in zip(axes, reversed(FIRST_ORDER), strict=True):
            ax.set_title(PASSES[op].capitalize())
            ax.grid(True, linewidth=0.6)
            ax.set_axisbelow(True)
            ax.tick_params(length=0, which="both")
            DRAWINGS[name](ax, op, results)
        handles, labels = _legend(axes)
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=min(len(labels), 6),
            handletextpad=0.4,
            columnspacing=1.4,
        )
    return figure


def _legend(axes: tuple[Axes, Axes]) -> tuple[list, list]:
    found = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def _plain(value: float, _: object = None) -> str:
    """ "0.1", "10", "1,000,000"."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _logarithmic(ax: Axes, axis: str, words: str) -> None:
    """A logarithmic axis with plain numbers, as many as there is room for."""
    getattr(ax, f"set_{axis}scale")("log")
    getattr(ax, f"set_{axis}label")(words)
    low, high = getattr(ax, f"get_{axis}lim")()
    decades = math.log10(high / low)
    chosen = getattr(ax, f"{axis}axis")
    chosen.set_major_locator(
        LogLocator(
            100 if axis == "x" and decades > 4 else 10,
            subs=(1, 3) if decades < 3 else (1,),
        )
    )
    chosen.set_major_formatter(FuncFormatter(_plain))
    chosen.set_minor_formatter(NullFormatter())


def _layers(ax: Axes, op: str, results: Results) -> None:
    for contender, (colour, marker) in STYLES.items():
        found = [
            (row, record.ms)
            for row, layer in enumerate(NETWORKS)
            if (
                record := results.find(
                    "layers", group=layer.name, op=op, contender=contender
                )
            )
        ]
        if not found:
            continue
        rows, times = zip(*found, strict=True)
        ax.plot(
            times,
            rows,
            marker,
            color=colour,
            markersize=16 if marker == "|" else 7,
            markeredgewidth=3 if marker == "|" else 1,
            label=LABELS.get(contender, contender),
            # Ours is drawn over the memory's marker, which shows on both sides.
            zorder=3 if contender == "ours" else 2,
        )
    ax.set_yticks(range(len(NETWORKS)), [layer.name for layer in NETWORKS])
    ax.set_ylim(len(NETWORKS) - 0.5, -0.5)
    ax.grid(False, axis="y")
    _logarithmic(ax, "x", "milliseconds")


def _types(ax: Axes, op: str, results: Results) -> None:
    groups = list(
        dict.fromkeys(r.group for r in results.where("types", op=op, contender="ours"))
    )
    width = 0.8 / max(len(groups), 1)
    shades = ("#2f81f7", "#6cb6ff", "#a371f7")
    for k, group in enumerate(groups):
        ratios = [
            results.times("types", "ours", "loop", op=op, group=group, dtype=dtype) or 0
            for dtype in SIZES
        ]
        places = [i - 0.4 + (k + 0.5) * width for i in range(len(SIZES))]
        ax.bar(places, ratios, width * 0.9, color=shades[k], label=group)
    ax.axhline(
        1, color=STYLES["add"][0], linewidth=2, label="C++ loop of the same bytes"
    )
    ax.set_xticks(range(len(SIZES)), list(SIZES))
    ax.grid(False, axis="x")
    ax.set_ylabel("time relative to the C++ loop")


def _lines(
    ax: Axes, points: dict[str, list[tuple[float, float]]], dashed: tuple[str, ...] = ()
) -> None:
    for label, found in points.items():
        if not found:
            continue
        contender = label.partition(",")[0]
        colour, marker = STYLES[contender]
        xs, ys = zip(*sorted(found), strict=True)
        ax.plot(
            xs,
            ys,
            marker="" if label in dashed or marker == "|" else marker,
            linestyle=":" if label in dashed else "-",
            color=colour,
            markersize=5,
            label=LABELS.get(contender, contender) + label.removeprefix(contender),
        )


def _radius(ax: Axes, op: str, results: Results) -> None:
    points = {
        contender: [
            (record.case.params.depth_radius, record.ms)
            for record in results.where("radius", op=op, contender=contender)
        ]
        for contender in ("stock", "ours")
    }
    _lines(ax, points)
    for add in results.where("radius", op=op, contender="add"):
        colour, _ = STYLES["add"]
        ax.axhline(add.ms, color=colour, linewidth=2, label=LABELS["add"])
    _logarithmic(ax, "y", "milliseconds")
    ax.set_xscale("symlog", linthresh=2, base=2)
    ax.set_xlim(left=0)
    ax.set_xlabel("radius, in rows of 512 channels")
    ax.xaxis.set_major_formatter(FuncFormatter(_plain))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _sizes(ax: Axes, op: str, results: Results) -> None:
    def found(contender: str, **threads: int) -> list[tuple[float, float]]:
        records = results.where("sizes", op=op, contender=contender, **threads)
        return [(record.case.elements, 1e3 * record.ms) for record in records]

    _lines(
        ax,
        {
            "stock": found("stock"),
            "add": found("add"),
            "ours": found("ours"),
            "ours, one thread": found("ours", threads=1),
        },
        dashed=("ours, one thread",),
    )
    _logarithmic(ax, "x", "elements")
    _logarithmic(ax, "y", "microseconds")


DRAWINGS: dict[str, Callable[[Axes, str, Results], None]] = {
    "layers": _layers,
    "types": _types,
    "radius": _radius,
    "sizes": _sizes,
}
