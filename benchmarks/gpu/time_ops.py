#!/usr/bin/env python3
"""Times the ops inside TensorFlow on a GPU, and prints a table in Markdown.

    python benchmarks/gpu/time_ops.py [--batch N]       (default: 256)

Needs the package installed with GPU kernels, and a TensorFlow that sees a GPU. Times
are medians, in milliseconds, of the time per call of several series of eager calls,
each of which ends when the GPU is done. "Memory" is `tf.add_n` of three tensors for the
gradient, and `tf.add(x, x)` for the forward pass: they move the same bytes. Our results
are first compared with those of the stock op, in float32.

Exit status: 0; 1 if results differ; 3 if TensorFlow sees no GPU.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

import tensorflow_lrn_grad as tlg

# Height, width and channels; the depth radius of all is 2.
LAYERS = {
    "AlexNet 1": (55, 55, 96),
    "AlexNet 2": (27, 27, 256),
    "GoogLeNet 1": (56, 56, 64),
    "GoogLeNet 2": (56, 56, 192),
}
PARAMS = {"depth_radius": 2, "bias": 2.0, "alpha": 1e-4, "beta": 0.75}
SERIES = 9
SECONDS_EACH = 0.05
# Of the largest result: cuDNN's rounding in float32, and ours.
TOLERANCE = 1e-5
NO_GPU = 3


def seconds(run: Callable[[], tf.Tensor]) -> float:
    """The median time per call."""

    def series(count: int) -> float:
        tf.test.experimental.sync_devices()
        start = time.perf_counter()
        for _ in range(count):
            run()
        tf.test.experimental.sync_devices()
        return (time.perf_counter() - start) / count

    series(3)
    count = max(1, min(1000, int(SECONDS_EACH / series(10))))
    return statistics.median(series(count) for _ in range(SERIES))


def difference(ours: tf.Tensor, stock: tf.Tensor) -> float:
    """The largest, relative to the largest value."""
    return float(tf.reduce_max(tf.abs(ours - stock)) / tf.reduce_max(tf.abs(stock)))


def time_pass(
    ours: Callable[..., tf.Tensor],
    stock: Callable[..., tf.Tensor],
    memory: Callable[..., tf.Tensor],
    inputs: list[tf.Tensor],
) -> tuple[list[str], float]:
    """The cells of a row, and the largest difference from the stock op."""
    compiled = tf.function(ours, jit_compile=True)
    expected = stock(*inputs)
    worst = float(
        np.max([difference(op(*inputs), expected) for op in (ours, compiled)])
    )
    times = [
        seconds(functools.partial(op, *inputs))
        for op in (ours, compiled, stock, memory)
    ]
    ours_time, _, stock_time, memory_time = times
    for dtype in (tf.half, tf.bfloat16):
        cast = [tf.cast(tensor, dtype) for tensor in inputs]
        times.append(seconds(functools.partial(ours, *cast)))
    cells = [f"{1e3 * t:.3f}" for t in times]
    cells.append(f"{stock_time / ours_time:.1f}")
    cells.append(f"{ours_time / memory_time:.2f}")
    return cells, worst


def time_layer(shape: list[int]) -> dict[str, tuple[list[str], float]]:
    """The results of time_pass, by pass."""
    dy = tf.random.normal(shape)
    x = tf.random.normal(shape) * 10
    y = tf.raw_ops.LRN(input=x, **PARAMS)
    return {
        "backward": time_pass(
            lambda dy, x, y: tlg.lrn_grad(dy, x, y, **PARAMS),
            lambda dy, x, y: tf.raw_ops.LRNGrad(
                input_grads=dy, input_image=x, output_image=y, **PARAMS
            ),
            lambda *tensors: tf.add_n(tensors),
            [dy, x, y],
        ),
        "forward": time_pass(
            lambda x: tlg.lrn(x, **PARAMS),
            lambda x: tf.raw_ops.LRN(input=x, **PARAMS),
            lambda x: tf.add(x, x),
            [x],
        ),
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
    tf.random.set_seed(1)
    gpu = tf.config.experimental.get_device_details(gpus[0])["device_name"]
    print(f"{gpu}, TensorFlow {tf.__version__}, batch {batch}\n")
    header = ["layer", "pass", "ours", "ours, XLA", "stock", "memory"]
    header += ["ours, half", "ours, bfloat16", "stock / ours", "ours / memory"]
    for row in (header, ["---"] * 2 + ["--:"] * (len(header) - 2)):
        print(f"| {' | '.join(row)} |")
    largest = 0.0
    with tf.device("GPU:0"):
        for name, shape in LAYERS.items():
            for direction, (cells, worst) in time_layer([batch, *shape]).items():
                largest = float(np.maximum(largest, worst))  # NaN stays.
                print(f"| {' | '.join([name, direction, *cells])} |", flush=True)
    print(f"\nThe largest difference from the stock op: {largest:.1e} of its maximum")
    return 0 if largest < TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
