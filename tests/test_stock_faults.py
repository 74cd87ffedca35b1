"""Faults of the stock ops that ours do not have.

The faults are those of TensorFlow 2.21 on the CPU. Most tests also reproduce the stock
op's fault: once TensorFlow fixes it, the test is skipped and says so. Calls that may
crash run in a child process.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from cases import case_id
from oracle import (
    BFLOAT16,
    FLOAT64,
    HALF,
    Params,
    assert_lrn,
    assert_lrn_grad,
)

import tensorflow_lrn_grad as tlg


def needs_fault(fault: bool) -> None:
    if not fault:
        pytest.skip(f"TensorFlow {tf.__version__} has fixed this")


PREAMBLE = """
import tensorflow as tf
import tensorflow_lrn_grad as tlg
good, flat, wide = tf.ones([2, 3, 4, 5]), tf.ones([2, 3]), tf.ones([1, 1, 1, 500])
def stock_grad(dy, x, y):
    return tf.raw_ops.LRNGrad(input_grads=dy, input_image=x, output_image=y)
try:
    {call}
except tf.errors.InvalidArgumentError:
    pass
print("alive")
"""


@pytest.mark.parametrize(
    "stock, ours",
    [
        ("stock_grad(good, good, flat)", "tlg.lrn_grad(good, good, flat)"),
        ("tf.nn.lrn(wide, 2**30)", "tlg.lrn(wide, 2**30)"),
    ],
    ids=["output_image_of_rank_2", "radius_2^30"],
)
def test_crash(child: Callable, stock: str, ours: str) -> None:
    result = child(PREAMBLE.format(call=ours))
    assert (result.returncode, result.stdout) == (0, "alive\n"), result.stderr
    # A process killed by a signal has a negative status.
    needs_fault(child(PREAMBLE.format(call=stock)).returncode < 0)


def test_radius_near_2_to_31(child: Callable, rng: np.random.Generator) -> None:
    """The stock op is wrong for 64 channels, and crashes or is wrong for 500."""
    p = Params(2**31 - 2, 1, 1, 0.5)
    for channels in (64, 500):
        x = rng.normal(size=(1, 1, 2, channels)).astype(np.float32)
        # The oracle clips the window to the row.
        assert_lrn(tlg.lrn(x, **p.attributes()).numpy(), x, p, least_compared=1)
    stock = child(
        """
        import tensorflow as tf
        y = tf.nn.lrn(tf.ones([1, 1, 2, 64]), 2**31 - 2)
        print(float(tf.reduce_max(tf.abs(y - 65.0**-0.5))))
        """
    )
    needs_fault(stock.returncode < 0 or float(stock.stdout) > 0.1)


@pytest.mark.parametrize("channels", [100, 500])
@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_one_special_value_stays_within_its_window(
    channels: int, special: float
) -> None:
    p = Params(2, 1, 1, 0.5)
    x = np.linspace(1, 2, channels, dtype=np.float32).reshape(1, 1, 1, -1)
    clean = tlg.lrn(x, **p.attributes()).numpy()
    middle = channels // 2
    x[..., middle] = special
    window = slice(middle - 2, middle + 3)
    outside = np.ones(channels, bool)
    outside[window] = False

    ours = tlg.lrn(x, **p.attributes()).numpy()
    np.testing.assert_array_equal(ours[..., outside], clean[..., outside])
    # x * infinity^-0.5 is 0, and infinity times that is NaN.
    expected = np.zeros(5) if np.isinf(special) else np.full(5, np.nan)
    expected[2] = np.nan
    np.testing.assert_array_equal(ours[0, 0, 0, window], expected)

    stock = tf.nn.lrn(x, **p.attributes()).numpy()
    needs_fault(np.isnan(stock[..., outside]).any())


@pytest.mark.parametrize("special", [np.nan, np.inf])
@pytest.mark.parametrize("where", range(3), ids=["dy", "x", "y"])
def test_one_special_value_in_the_gradient(where: int, special: float) -> None:
    """dx depends on x up to two radii away, and on dy and y up to one."""
    p = Params(2, 1, 1, 0.5)
    arrays = [np.linspace(1, 2, 100, dtype=np.float32).reshape(1, 1, 1, -1)] * 3
    clean = tlg.lrn_grad(*arrays, **p.attributes()).numpy()
    arrays[where] = arrays[where].copy()
    arrays[where][..., 50] = special
    reach = 4 if where == 1 else 2
    outside = np.abs(np.arange(100) - 50) > reach
    ours = tlg.lrn_grad(*arrays, **p.attributes()).numpy()
    np.testing.assert_array_equal(ours[..., outside], clean[..., outside])
    assert not np.array_equal(ours[..., ~outside], clean[..., ~outside])


@pytest.mark.parametrize("scale", [10, 100])
def test_half_of_large_scale(rng: np.random.Generator, scale: float) -> None:
    """The stock op sums squares in half, where they lose precision or overflow."""
    p = Params(5, 1, 1e-4, 0.5)
    x, dy = (rng.normal(size=(4, 4, 4, 64)).astype(HALF) for _ in range(2))
    x *= HALF.type(scale)
    y = tlg.lrn(x, **p.attributes()).numpy()
    assert_lrn(y, x, p, least_compared=1)
    dx = tlg.lrn_grad(dy, x, y, **p.attributes()).numpy()
    assert np.isfinite(dx).all()
    assert_lrn_grad(dx, dy, x, y, p, least_compared=1)

    grads, image, output = map(tf.constant, (dy, x, y))
    stock = tf.raw_ops.LRNGrad(
        input_grads=grads, input_image=image, output_image=output, **p.attributes()
    )
    try:
        assert_lrn_grad(stock.numpy(), dy, x, y, p)
    except AssertionError:
        return
    needs_fault(False)


@pytest.mark.parametrize("dtype", [BFLOAT16, FLOAT64], ids=case_id)
def test_types_without_stock_kernels(rng: np.random.Generator, dtype: np.dtype) -> None:
    p = Params(2, 1, 1, 0.75)
    dy, x, y = (rng.normal(size=(1, 2, 3, 9)).astype(dtype) for _ in range(3))
    assert_lrn(tlg.lrn(x, **p.attributes()).numpy(), x, p)
    assert_lrn_grad(tlg.lrn_grad(dy, x, y, **p.attributes()).numpy(), dy, x, y, p)
    try:
        tf.nn.lrn(tf.constant(x))
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError, TypeError):
        return
    needs_fault(False)


@pytest.mark.gpu
@pytest.mark.parametrize("radius, bias, beta", [(0, 1, 0.5), (9, 1, 0.5), (2, 0, 0)])
def test_parameters_past_the_limits_of_cudnn(
    gpu: str, rng: np.random.Generator, radius: int, bias: float, beta: float
) -> None:
    p = Params(radius, bias, 1, beta)
    dy, x, y = (rng.normal(size=(1, 2, 3, 9)).astype(np.float32) for _ in range(3))
    assert_lrn(tlg.lrn(x, **p.attributes()).numpy(), x, p)
    assert_lrn_grad(tlg.lrn_grad(dy, x, y, **p.attributes()).numpy(), dy, x, y, p)
