#!/usr/bin/env python3
"""Times the ops inside TensorFlow on a GPU, and prints tables in Markdown.

    python benchmarks/gpu/time_ops.py [--batch N] [--output FILE.json]

N is 256 by default. FILE gets the times, the versions and the GPU's name.

Needs the package installed with GPU kernels, and a TensorFlow that sees a GPU. Times
are medians, in milliseconds, of the time per op in several series of 20; a series ends
when the GPU is done, and the columns of a row take turns. The series consist of eager
calls, but for "ours, XLA": that is one call of a function that XLA compiles, of 20 ops,
each of which takes the result of the one before. "Memory" is `tf.add_n` of three
tensors for the gradient, `tf.add(dy, x)` for the gradient without y, and `tf.add(x, x)`
for the forward pass: they move the same bytes.

A second table has what a call of a function with only one op takes: ours, compiled or
not, and the stock op and "memory", compiled. It is the time per call of series of 20,
which the host limits where the op is short.

Before they are timed, results are compared with the formula in wider arithmetic, and
those of the 20 ops with those of 20 eager calls, bit for bit: a wrong one is an error.
A line per row of a table, on the standard error, shows the progress.

Exit status: 0; 3 if TensorFlow sees no GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tensorflow as tf
from suite.cases import NETWORKS, Case
from suite.contenders import (
    OUR_OPS,
    Call,
    Operands,
    add,
    add_xla,
    normal,
    ours,
    ours_function,
    ours_xla,
    stock,
    stock_xla,
)
from suite.goals import PASSES
from suite.measure import verify
from suite.table import Table
from suite.timing import Effort, interleaved

import tensorflow_lrn_grad as tlg

OPS = ("LRNGrad", "LRNGradFromInput", "LRN")
EFFORT = Effort(rounds=9, seconds=5)
SERIES = 20
NO_GPU = 3


def contenders(case: Case) -> dict[str, Call]:
    """Calls that are a series, by the name of the column; their results are right."""
    operands = Operands(case)
    calls = {"ours": ours(case, operands), "stock": stock(case, operands)}
    for name, call in calls.items():
        verify(case, operands, call(), name == "ours")
    calls["memory"] = add(case, operands)
    for dtype in ("half", "bfloat16"):
        narrow = dataclasses.replace(case, dtype=dtype)
        operands_of_type = Operands(narrow)
        calls[f"ours, {dtype}"] = ours(narrow, operands_of_type)
        verify(narrow, operands_of_type, calls[f"ours, {dtype}"](), True)
    series = {name: repeated(call) for name, call in calls.items()}
    return {"ours": series.pop("ours"), "ours, XLA": compiled(case, operands), **series}


def repeated(call: Call) -> Call:
    def series() -> None:
        for _ in range(SERIES):
            call()

    return series


def compiled(case: Case, operands: Operands) -> Call:
    """A call of a function that XLA compiles, with a series of ops."""
    op, attributes = OUR_OPS[case.op], case.params.attributes()

    def chain(first: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
        for _ in range(SERIES):
            first = op(first, *others, **attributes)
        return first

    inputs = operands.inputs()
    function = tf.function(chain, jit_compile=True)
    if not tf.reduce_all(function(*inputs) == chain(*inputs)):
        raise ValueError(f"{case.op}: compiled by XLA, the ops give other results")
    return lambda: function(*inputs)


def single_calls(case: Case) -> dict[str, Call]:
    """Series of calls of functions with one op, by the name of the column."""
    operands = Operands(case)
    calls = {
        "ours": ours_function(case, operands),
        "ours, XLA": ours_xla(case, operands),
    }
    for call in calls.values():
        verify(case, operands, call(), True)
    calls["stock, XLA"] = stock_xla(case, operands)
    verify(case, operands, calls["stock, XLA"](), False)
    calls["memory, XLA"] = add_xla(case, operands)
    return {name: repeated(call) for name, call in calls.items()}


def times_of(calls: dict[str, Call]) -> dict[str, float]:
    """Milliseconds per op."""

    def until_done(series: Call) -> Call:
        def run() -> None:
            series()
            tf.test.experimental.sync_devices()

        return run

    runs = {name: until_done(series) for name, series in calls.items()}
    return {
        name: times.median_ms / SERIES
        for name, times in interleaved(runs, EFFORT).items()
    }


def with_ratios(
    times: dict[str, float], ratios: list[tuple[str, str]]
) -> dict[str, float]:
    """Both, by the name of the column."""
    return times | {f"{a} / {b}": times[a] / times[b] for a, b in ratios}


def words(row: dict[str, str | float]) -> list[str]:
    return [v if isinstance(v, str) else f"{v:.3g}" for v in row.values()]


# Titles, contenders, and the ratios of two of them.
TABLES = (
    (
        "Milliseconds per op",
        contenders,
        [("stock", "ours"), ("ours", "memory"), ("ours, XLA", "ours")],
    ),
    (
        "Milliseconds per call of a function with one op",
        single_calls,
        [("stock, XLA", "ours, XLA"), ("ours, XLA", "memory, XLA")],
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=256, metavar="N")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    arguments = parser.parse_args()
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        print("TensorFlow sees no GPU", file=sys.stderr)
        return NO_GPU
    tf.config.set_soft_device_placement(False)
    # On the path since suite has been imported.
    import oracle

    oracle.approximation = oracle.GPU_APPROXIMATION
    results: dict[str, object] = {
        "gpu": tf.config.experimental.get_device_details(gpus[0])["device_name"],
        "tensorflow": tf.__version__,
        "tensorflow_lrn_grad": tlg.__version__,
        "batch": arguments.batch,
    }
    print(", ".join(f"{name} {value}" for name, value in results.items()))
    with tf.device("GPU:0"):
        for title, calls_of, ratios in TABLES:
            rows = []
            for layer in NETWORKS:
                shape = (arguments.batch, *layer.shape[1:])
                for op in OPS:
                    case = Case("ours", op, shape, layer.params)
                    numbers = with_ratios(times_of(calls_of(case)), ratios)
                    rows.append({"layer": layer.name, "pass": PASSES[op], **numbers})
                    print(*words(rows[-1]), sep=" | ", file=sys.stderr)
                    normal.cache_clear()
            print(f"\n{title}\n")
            print(
                Table(title, list(rows[0]), list(map(words, rows)), left=2).markdown()
            )
            results[title] = rows
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
