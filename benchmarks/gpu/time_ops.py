#!/usr/bin/env python3
"""Times the ops inside TensorFlow on a GPU, and prints a table in Markdown.

    python benchmarks/gpu/time_ops.py [--batch N]       (default: 256)

Needs the package installed with GPU kernels, and a TensorFlow that sees a GPU. Times
are medians, in milliseconds, of the time per call of several series of eager calls,
each of which ends when the GPU is done; the columns of a row take turns. "Memory" is
`tf.add_n` of three tensors for the gradient, `tf.add(dy, x)` for the gradient without
y, and `tf.add(x, x)` for the forward pass: they move the same bytes. "XLA": in a
function that XLA compiles. Before they are timed, results are compared with the formula
in wider arithmetic: a wrong one is an error. A line per row of the table, on the
standard error, shows the progress.

Exit status: 0; 3 if TensorFlow sees no GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tensorflow as tf
from suite.cases import NETWORKS, Layer, of_layer
from suite.contenders import (
    Call,
    Operands,
    add,
    add_xla,
    normal,
    ours,
    ours_xla,
    stock,
)
from suite.goals import PASSES
from suite.measure import verify
from suite.table import Table
from suite.timing import Effort, interleaved

OPS = ("LRNGrad", "LRNGradFromInput", "LRN")
EFFORT = Effort(rounds=9, seconds=5)
CALLS = 20  # In a series.
NO_GPU = 3


def contenders(op: str, layer: Layer) -> dict[str, Call]:
    """Their calls, by the name of the column. Each has been made and verified."""
    case = of_layer("ours", op, layer)
    operands = Operands(case)
    calls = {
        "ours": ours(case, operands),
        "ours, XLA": ours_xla(case, operands),
        "stock": stock(case, operands),
    }
    for name, call in calls.items():
        verify(case, operands, call(), name != "stock")
    calls["memory"] = add(case, operands)
    calls["memory, XLA"] = add_xla(case, operands)
    for dtype in ("half", "bfloat16"):
        narrow = dataclasses.replace(case, dtype=dtype)
        operands_of_type = Operands(narrow)
        calls[f"ours, {dtype}"] = ours(narrow, operands_of_type)
        verify(narrow, operands_of_type, calls[f"ours, {dtype}"](), True)
    return calls


def series(call: Call) -> Callable[[], None]:
    def run() -> None:
        for _ in range(CALLS):
            call()
        tf.test.experimental.sync_devices()

    return run


def time_row(op: str, layer: Layer) -> dict[str, str]:
    """The cells of a row, by the name of the column."""
    normal.cache_clear()
    runs = {name: series(call) for name, call in contenders(op, layer).items()}
    times = {name: t.median_ms / CALLS for name, t in interleaved(runs, EFFORT).items()}
    return {
        "layer": layer.name,
        "pass": PASSES[op],
        **{name: f"{ms:.3f}" for name, ms in times.items()},
        "stock / ours": f"{times['stock'] / times['ours']:.1f}",
        "ours / memory": f"{times['ours'] / times['memory']:.2f}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=256, metavar="N")
    batch = parser.parse_args().batch
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        print("TensorFlow sees no GPU", file=sys.stderr)
        return NO_GPU
    tf.config.set_soft_device_placement(False)
    # On the path since suite has been imported.
    import oracle

    oracle.approximation = oracle.GPU_APPROXIMATION
    gpu = tf.config.experimental.get_device_details(gpus[0])["device_name"]
    rows = []
    with tf.device("GPU:0"):
        for layer in NETWORKS:
            of_batch = dataclasses.replace(layer, shape=(batch, *layer.shape[1:]))
            for op in OPS:
                rows.append(time_row(op, of_batch))
                print(*rows[-1].values(), sep=", ", file=sys.stderr)
    title = f"{gpu}, TensorFlow {tf.__version__}, batch {batch}"
    cells = [list(row.values()) for row in rows]
    print(f"{title}\n\n{Table(title, list(rows[0]), cells, left=2).markdown()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
