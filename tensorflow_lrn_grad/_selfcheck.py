"""The self-check's measurements: what runs here, whether it agrees, and how fast it is.

`__main__` shows them. Everything runs on the CPU, on the layers of `_layers`.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tensorflow_lrn_grad as tlg

from . import _agreement, _layers
from ._agreement import Comparison
from ._layers import Layer, Parameters

# A network's alpha can be so small that it hides faults of the gradient. TensorFlow's
# default alpha is 1, so every layer is compared with the default parameters as well.
_STRICT = Parameters()
_COMPARED_IMAGES = 1  # 200,000 to 600,000 elements per layer

STEPS = len(_layers.NAMES) * (len(_agreement.DTYPES) + 3)


@dataclasses.dataclass(frozen=True)
class Milliseconds:
    median: float
    lower_quartile: float
    upper_quartile: float


@dataclasses.dataclass(frozen=True)
class Timing:
    """One op at one layer, in float32."""

    layer: str
    shape: list[int]
    op: str
    dy_zeros: float | None  # the share of zeros in dy; None if there is none
    ours: Milliseconds
    stock: Milliseconds
    memory: Milliseconds  # an addition of tensors that moves as many bytes
    speedup: float  # stock / ours, of the medians
    times_memory: float  # ours / memory, of the medians


@dataclasses.dataclass(frozen=True)
class Results:
    comparisons: list[Comparison]
    timings: list[Timing]

    @property
    def agree(self) -> bool:
        return all(comparison.agrees for comparison in self.comparisons)


def run(rounds: int, step: Callable[[str], None]) -> Results:
    """Compares and times; calls `step` with a description of each of `STEPS` steps."""
    comparisons: dict[tuple[str, str], Comparison] = {}
    timings = []
    with tf.device("/CPU:0"):
        layers = _layers.layers()
        for name in _layers.NAMES:
            step(f"{name}: making the data")
            layer = next(layers)
            dy, x = layer.dense_dy[:_COMPARED_IMAGES], layer.x[:_COMPARED_IMAGES]
            for dtype in _agreement.DTYPES:
                step(f"{name}: comparing in {dtype.name}")
                for parameters in (layer.parameters, _STRICT):
                    for new in _agreement.compare(dy, x, parameters, dtype):
                        key = (new.dtype, new.op)
                        comparisons[key] = comparisons.get(key, new).worst(new)
            step(f"{name}: timing forward")
            timings.append(_time_lrn(layer, rounds))
            step(f"{name}: timing backward")
            timings += _time_lrn_grad(layer, rounds)
    return Results(list(comparisons.values()), timings)


def environment() -> dict[str, Any]:
    """The versions, how the library was built, and the processors."""
    return {
        "version": tlg.__version__,
        "build": tlg.build_info(),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "gpus": [_gpu_name(gpu) for gpu in tf.config.list_physical_devices("GPU")],
        "data": _layers.DESCRIPTION,
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _gpu_name(gpu: tf.config.PhysicalDevice) -> str:
    return tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)


# Timing -------------------------------------------------------------------------


def _time_lrn(layer: Layer, rounds: int) -> Timing:
    x, attributes = layer.x, dataclasses.asdict(layer.parameters)
    return _timing(
        layer,
        "LRN",
        None,
        ours=lambda: tlg.lrn(input=x, **attributes),
        stock=lambda: tf.raw_ops.LRN(input=x, **attributes),
        memory=lambda: tf.add(x, x),
        rounds=rounds,
    )


def _time_lrn_grad(layer: Layer, rounds: int) -> list[Timing]:
    """Times the gradient for each dy, as the stock op is faster where dy is zero; then
    without y."""
    x, attributes = layer.x, dataclasses.asdict(layer.parameters)
    y = tf.raw_ops.LRN(input=x, **attributes)

    def time_for(dy: tf.Tensor) -> Timing:
        images = {"input_grads": dy, "input_image": x, "output_image": y}
        return _timing(
            layer,
            "LRNGrad",
            float(tf.math.zero_fraction(dy)),
            ours=lambda: tlg.lrn_grad(**images, **attributes),
            stock=lambda: tf.raw_ops.LRNGrad(**images, **attributes),
            memory=lambda: tf.add_n([dy, x, y]),
            rounds=rounds,
        )

    timings = [
        time_for(dy) for dy in (layer.dense_dy, layer.pooled_dy) if dy is not None
    ]
    images = {"input_grads": layer.dense_dy, "input_image": x}
    without_y = _timing(
        layer,
        "LRNGradFromInput",
        timings[0].dy_zeros,
        ours=lambda: tlg.lrn_grad(**images, **attributes),
        stock=lambda: tf.raw_ops.LRNGrad(**images, output_image=y, **attributes),
        memory=lambda: tf.add(layer.dense_dy, x),
        rounds=rounds,
    )
    return [*timings, without_y]


def _timing(
    layer: Layer,
    op: str,
    dy_zeros: float | None,
    *,
    ours: Callable[[], tf.Tensor],
    stock: Callable[[], tf.Tensor],
    memory: Callable[[], tf.Tensor],
    rounds: int,
) -> Timing:
    ours_ms, stock_ms, memory_ms = _interleaved([ours, stock, memory], rounds)
    return Timing(
        layer.name,
        layer.x.shape.as_list(),
        op,
        dy_zeros,
        ours_ms,
        stock_ms,
        memory_ms,
        speedup=stock_ms.median / ours_ms.median,
        times_memory=ours_ms.median / memory_ms.median,
    )


def _interleaved(
    contenders: list[Callable[[], tf.Tensor]], rounds: int
) -> list[Milliseconds]:
    """Times each contender once per round, so that a busy machine slows all alike."""
    samples: list[list[float]] = [[] for _ in contenders]
    for round_ in range(rounds + 1):
        for contender, times in zip(contenders, samples, strict=True):
            begin = time.perf_counter()
            contender()
            tf.test.experimental.sync_devices()
            if round_ > 0:  # the first round warms up
                times.append(1e3 * (time.perf_counter() - begin))
    return [_summary(times) for times in samples]


def _summary(times: list[float]) -> Milliseconds:
    lower, upper = np.quantile(times, [0.25, 0.75])
    return Milliseconds(statistics.median(times), float(lower), float(upper))
