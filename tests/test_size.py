"""Tensors past 2^31 elements, and rows of 2^24 channels: values, and memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

GIB = 2**30

# For a child: memory() reads a field of its /proc/self/status, in bytes.
PREAMBLE = """
    import re
    import numpy as np
    import tensorflow as tf
    import oracle
    import tensorflow_lrn_grad as tlg

    def memory(what):
        with open("/proc/self/status") as file:
            return 1024 * int(re.search(rf"{what}:\\s+(\\d+)", file.read())[1])
    """


def available_memory() -> int:
    text = Path("/proc/meminfo").read_text()
    return 1024 * int(re.search(r"MemAvailable:\s+(\d+)", text)[1])


PAST_2_31 = """
    # Rows repeat every 1,021, so that a row shows where it comes from.
    CHANNELS, PERIOD = 16, 1021
    REPEATS = 2**31 // (CHANNELS * PERIOD) + 2
    ROWS = PERIOD * REPEATS
    SIZE = 2 * CHANNELS * ROWS
    assert CHANNELS * ROWS > 2**31
    rng = np.random.default_rng(1)
    dy, x = (
        rng.normal(size=(PERIOD, 1, 1, CHANNELS)).astype(oracle.BFLOAT16)
        for _ in range(2)
    )
    p = oracle.Params(2, 1.0, 0.5, 0.75)
    # At both ends, and around element 2^31.
    at = np.array([0, 1, 2**31 // CHANNELS, 2**31 // CHANNELS - 1, ROWS - 2, ROWS - 1])

    @tf.function
    def lrn(x):
        x = tf.tile(x, [REPEATS, 1, 1, 1])
        return tf.gather(tlg.lrn(x, **p.attributes()), at)

    @tf.function
    def lrn_grad(dy, x):
        dy, x = (tf.tile(t, [REPEATS, 1, 1, 1]) for t in (dy, x))
        return tf.gather(tlg.lrn_grad(dy, x, x, **p.attributes()), at)

    @tf.function
    def lrn_grad_without_y(dy, x):
        dy, x = (tf.tile(t, [REPEATS, 1, 1, 1]) for t in (dy, x))
        return tf.gather(tlg.lrn_grad(dy, x, **p.attributes()), at)

    def rows(array):
        return array[at % PERIOD]

    before = memory("VmRSS")
    oracle.assert_lrn(lrn(x).numpy(), rows(x), p)
    print((memory("VmHWM") - before) / SIZE)
    oracle.assert_lrn_grad(lrn_grad(dy, x).numpy(), rows(dy), rows(x), rows(x), p)
    result = lrn_grad_without_y(dy, x).numpy()
    oracle.assert_lrn_grad(result, rows(dy), rows(x), None, p)
    print((memory("VmHWM") - before) / SIZE)
    """


def test_more_than_2_31_elements(child: Callable) -> None:
    """In place: LRN takes only its input's memory, its gradients only that of two."""
    if available_memory() < 14 * GIB:
        pytest.skip(f"{available_memory() / GIB:.1f} GiB of memory free, 14 needed")
    result = child(PREAMBLE + PAST_2_31, CUDA_VISIBLE_DEVICES="-1")
    assert result.returncode == 0, result.stderr
    one, two = map(float, result.stdout.split())
    # Half a tensor is allowed for everything else.
    assert 1 <= one < 1.5
    assert 2 <= two < 2.5


MANY_CHANNELS = """
    CHANNELS = 2**24
    p = oracle.Params(RADIUS, 1.0, 1e-4, 0.75)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1, 1, 1, CHANNELS)).astype(np.float32)
    tensor = tf.constant(x)
    tlg.lrn(tensor[..., :100])
    before = memory("VmRSS")
    dx = tlg.lrn_grad(tensor, tensor, tensor, **p.attributes()).numpy()
    print((memory("VmHWM") - before) / CHANNELS)

    # The window sums of the whole row in float64, by differences of running sums.
    def window_sums(values):
        sums = np.concatenate([[0], np.cumsum(values)])
        at = np.arange(CHANNELS)
        last = np.minimum(at + 1 + RADIUS, CHANNELS)
        return sums[last] - sums[np.maximum(at - RADIUS, 0)]

    wide = x.ravel().astype(np.float64)
    norm = 1 + float(np.float32(1e-4)) * window_sums(wide**2)
    scale = 2 * float(np.float32(1e-4)) * 0.75 * wide
    terms = wide * wide / norm
    exact = wide * norm**-0.75 - scale * window_sums(terms)
    magnitude = np.abs(wide) * norm**-0.75 + np.abs(scale) * window_sums(terms)
    summands = min(2 * RADIUS + 1, CHANNELS)
    # The longest chain of additions: the taps; the doublings and their digits; the
    # channels in a lane of the shortest vector.
    error = (min(summands, ADDITIONS) + 8) * np.finfo(np.float32).eps * magnitude
    assert (np.abs(dx.ravel() - exact) <= error).all()
    """


@pytest.mark.parametrize("radius, additions", [(2, 5), (1000, 22), (2**24, 2**22)])
def test_scratch_memory_grows_with_the_channels(
    child: Callable, radius: int, additions: int
) -> None:
    """One row of 2^24: per channel, 4 bytes of the result, and below 60 of scratch."""
    if available_memory() < 4 * GIB:
        pytest.skip(f"{available_memory() / GIB:.1f} GiB of memory free, 4 needed")
    constants = f"\n    RADIUS, ADDITIONS = {radius}, {additions}\n"
    result = child(PREAMBLE + constants + MANY_CHANNELS, CUDA_VISIBLE_DEVICES="-1")
    assert result.returncode == 0, result.stderr
    assert 4 <= float(result.stdout) < 4 + 60
