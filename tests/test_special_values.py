"""NaN, infinities, zeros and denormals spread as far as they should, and no further.

TensorFlow sets its threads to flush denormal numbers to zero (its ScopedFlushDenormal,
in eager calls, functions and sessions alike). The ops promise IEEE arithmetic, and
enable it for the duration of a call: they do not treat a denormal number as zero. The
oracle needs no allowance, since NumPy runs in Python's thread, whose mode is IEEE's.
"""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from cases import case_id
from oracle import (
    BFLOAT16,
    DTYPES,
    FLOAT32,
    FLOAT64,
    HALF,
    Params,
    assert_lrn,
    assert_lrn_grad,
    assert_same_classes,
    lrn,
    lrn_grad,
    narrow,
)

import tensorflow_lrn_grad as tlg

NAN, INF = np.nan, np.inf
SPECIALS = (NAN, INF, -INF, 0.0, -0.0)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=case_id)

# A norm of zero, negative norms, whole and fractional powers of both signs.
PARAMS = (
    Params(2, 1, 1, 0.5),
    Params(2, 0, 1, 0.75),
    Params(0, 0, 1, 1),
    Params(9, 2, 1, -0.5),
    Params(1, -3, 1, 1),
    Params(1, -3, 1, 0.5),
    Params(3, 0, 1, -1),
    Params(1, 1, 1, 0),
    Params(1, 2, 0, 0.5),
)


def with_special(
    rng: np.random.Generator, special: float, channels: int, dtype: np.dtype
) -> np.ndarray:
    """One row per channel, with the special value there, and one row without."""
    rows = rng.uniform(0.5, 2, size=(channels + 1, channels))
    rows *= rng.choice([-1, 1], size=rows.shape)
    np.fill_diagonal(rows, special)
    return rows.reshape(1, 1, channels + 1, channels).astype(dtype)


def rounded_lrn_grad(
    dy: np.ndarray, x: np.ndarray, y: np.ndarray | None, p: Params
) -> np.ndarray:
    """LRNGrad in the op's arithmetic, rounded to the type."""
    dx = lrn_grad(dy, x, y, p, narrow(dy.dtype))
    with np.errstate(over="ignore"):
        return dx.astype(dy.dtype)


@dtypes
@pytest.mark.parametrize("p", PARAMS, ids=case_id)
@pytest.mark.parametrize("special", SPECIALS, ids=str)
def test_lrn(
    device: str,
    rng: np.random.Generator,
    special: float,
    p: Params,
    dtype: np.dtype,
) -> None:
    x = with_special(rng, special, 19, dtype)
    got = tlg.lrn(x, **p.attributes()).numpy()
    exact = lrn(x, p, narrow(dtype)).astype(dtype)
    assert_same_classes(got, exact)
    assert_lrn(got, x, p)


@dtypes
@pytest.mark.parametrize("p", PARAMS, ids=case_id)
@pytest.mark.parametrize("where", ["dy", "x", "y"])
@pytest.mark.parametrize("special", SPECIALS, ids=str)
def test_lrn_grad(
    device: str,
    rng: np.random.Generator,
    special: float,
    where: str,
    p: Params,
    dtype: np.dtype,
) -> None:
    dy, x, y = (
        with_special(rng, special if name == where else 1, 19, dtype)
        for name in ("dy", "x", "y")
    )
    for output_image in (y, None):
        got = tlg.lrn_grad(dy, x, output_image, **p.attributes()).numpy()
        assert_same_classes(got, rounded_lrn_grad(dy, x, output_image, p))
        assert_lrn_grad(got, dy, x, output_image, p)


@dtypes
@pytest.mark.parametrize("p", PARAMS, ids=case_id)
def test_specials_among_specials(
    device: str, rng: np.random.Generator, p: Params, dtype: np.dtype
) -> None:
    """A random third of the values is special: which ones meet is left to chance."""
    shape = (4, 5, 6, 23)
    arrays = []
    for _ in range(3):
        a = rng.uniform(0.5, 2, size=shape)
        mask = rng.random(shape) < 1 / 3
        a[mask] = rng.choice([*SPECIALS, 0, 0, 0, 0], size=int(mask.sum()))
        arrays.append(a.astype(dtype))
    dy, x, y = arrays
    for output_image in (y, None):
        got = tlg.lrn_grad(dy, x, output_image, **p.attributes()).numpy()
        assert_same_classes(got, rounded_lrn_grad(dy, x, output_image, p))
        assert_lrn_grad(got, dy, x, output_image, p)
    got = tlg.lrn(x, **p.attributes()).numpy()
    assert_same_classes(got, lrn(x, p, narrow(dtype)).astype(dtype))
    assert_lrn(got, x, p)


@dtypes
def test_zero_gradient_contributes_nothing(device: str, dtype: np.dtype) -> None:
    """Where dy is 0, a norm of zero, NaN or an infinite y has no effect."""
    p = Params(1, 0, 1, 0.5)
    x = np.array([0, 0, 0, NAN, 2, 2, 2, 2], dtype).reshape(1, 1, 1, -1)
    dy = np.array([0, 0, -0.0, 0, 0, 1, 0, 0], dtype).reshape(1, 1, 1, -1)
    y = np.array([1, NAN, INF, 1, 1, 1, NAN, INF], dtype).reshape(1, 1, 1, -1)
    for output_image in (y, None):
        dx = tlg.lrn_grad(dy, x, output_image, **p.attributes()).numpy()
        dx = dx.astype(np.float64)
        # Channel 3: its own x, NaN, times a sum of zeros.
        np.testing.assert_array_equal(np.isnan(dx).nonzero()[-1], [3])
        np.testing.assert_array_equal(dx[..., [0, 1, 2, 7]], 0)
        assert (dx[..., [4, 5, 6]] != 0).all()


@pytest.mark.parametrize(
    "dtype, large",
    [(FLOAT32, 1e20), (FLOAT32, 3e38), (BFLOAT16, 1e20), (FLOAT64, 1e200)],
    ids=case_id,
)
@pytest.mark.parametrize("beta", [0.5, 1, -0.5, 0])
def test_overflow_of_the_norm(
    device: str, dtype: np.dtype, large: float, beta: float
) -> None:
    """The norm is infinite in the type's arithmetic, with all that follows from it."""
    p = Params(2, 1, 1, beta)
    x = np.ones((1, 1, 1, 21), dtype)
    x[..., 10] = large
    dy = y = np.ones_like(x)
    got = tlg.lrn(x, **p.attributes()).numpy()
    assert_same_classes(got, lrn(x, p, narrow(dtype)).astype(dtype))
    for output_image in (y, None):
        got = tlg.lrn_grad(dy, x, output_image, **p.attributes()).numpy()
        assert_same_classes(got, rounded_lrn_grad(dy, x, output_image, p))


def test_half_never_overflows_inside(device: str) -> None:
    """The largest half squared, 65504^2, is an ordinary float32."""
    p = Params(5, 1, 1, 0.5)
    x = np.full((1, 1, 2, 40), 65504, HALF)
    y = tlg.lrn(x, **p.attributes()).numpy()
    assert np.isfinite(y).all()
    assert_lrn(y, x, p)
    dy = np.ones_like(x)
    assert_lrn_grad(tlg.lrn_grad(dy, x, **p.attributes()).numpy(), dy, x, None, p)


def test_result_past_the_largest_half_is_infinite(device: str) -> None:
    """But the gradient that computes it, unrounded, does not see that."""
    x = np.full((1, 1, 1, 20), 60000, HALF)
    p = Params(0, 0.25, 0, 0.5)  # twice x
    y = tlg.lrn(x, **p.attributes()).numpy()
    np.testing.assert_array_equal(y, np.full_like(x, INF))
    dy = np.ones_like(x)
    np.testing.assert_array_equal(tlg.lrn_grad(dy, x, y, **p.attributes()), NAN)
    np.testing.assert_array_equal(tlg.lrn_grad(dy, x, **p.attributes()), 2 * dy)


@pytest.mark.parametrize("dtype", [HALF, BFLOAT16], ids=case_id)
def test_every_16_bit_number(device: str, dtype: np.dtype) -> None:
    """N^0 is 1, even for NaN: every number comes out as it went in."""
    x = np.arange(2**16).astype(np.uint16).view(dtype).reshape(1, 1, 32, -1)
    y = tlg.lrn(x, beta=0).numpy()
    np.testing.assert_array_equal(y.astype(np.float32), x.astype(np.float32))


def denormals(dtype: np.dtype) -> np.ndarray:
    """One row of positive denormal numbers: each power of two, and some others."""
    bits = np.dtype(f"u{dtype.itemsize}")
    largest = int(np.array(ml_dtypes.finfo(dtype).smallest_normal).view(bits)) - 1
    powers = [1 << k for k in range(largest.bit_length())]
    numbers = np.array([*powers, 3, 5, 100, largest // 3, largest], bits).view(dtype)
    return numbers.reshape(1, 1, 1, -1)


@dtypes
def test_denormal_input(device: str, dtype: np.dtype) -> None:
    """With a norm of 1, LRN and its gradient leave every number unchanged."""
    x = denormals(dtype)
    p = Params(2, 1, 1, 0.5)
    ones, zeros = np.ones_like(x), np.zeros_like(x)
    assert (x != 0).all()
    np.testing.assert_array_equal(tlg.lrn(x, **p.attributes()), x)
    np.testing.assert_array_equal(tlg.lrn_grad(x, zeros, ones, **p.attributes()), x)
    np.testing.assert_array_equal(tlg.lrn_grad(x, zeros, **p.attributes()), x)


@dtypes
def test_denormal_result(device: str, dtype: np.dtype) -> None:
    """A quarter of each of the 255 smallest numbers; every fourth is a tie."""
    p = Params(2, 4, 0, 1)
    bits = np.arange(1, 256).astype(f"u{dtype.itemsize}")
    dy = x = y = bits.view(dtype).reshape(1, 1, 1, -1)
    exact = (x.astype(narrow(dtype)) / 4).astype(dtype)
    assert (exact != 0).sum() == 253
    np.testing.assert_array_equal(tlg.lrn(x, **p.attributes()), exact)
    np.testing.assert_array_equal(tlg.lrn_grad(dy, x, y, **p.attributes()), exact)
    np.testing.assert_array_equal(tlg.lrn_grad(dy, x, **p.attributes()), exact)


@pytest.mark.parametrize("dtype", [BFLOAT16, FLOAT32, FLOAT64], ids=case_id)
def test_denormal_is_not_zero(device: str, dtype: np.dtype) -> None:
    """Only its square is: the norm is 0, 0^-0.5 is infinite, and so is the product.

    Were it flushed to zero, the product would be NaN, and a denormal gradient would
    contribute nothing at a norm of zero.
    """
    p = Params(1, 0, 1, 0.5)
    x = denormals(dtype)
    np.testing.assert_array_equal(tlg.lrn(x, **p.attributes()), np.full_like(x, INF))
    ones, zeros = np.ones_like(x), np.zeros_like(x)
    for output_image in (ones, None):
        dx = tlg.lrn_grad(x, zeros, output_image, **p.attributes()).numpy()
        np.testing.assert_array_equal(np.isnan(dx), True)


def test_denormals_count_on_every_thread(device: str, run: Callable) -> None:
    """Enough rows for the runtime's threads, which flush denormals by default."""
    x = np.full((8, 55, 55, 33), 1e-40, np.float32)
    np.testing.assert_array_equal(run(tlg.lrn, x), x)
    np.testing.assert_array_equal(run(tlg.lrn_grad, x, np.zeros_like(x), x), x)
    np.testing.assert_array_equal(run(tlg.lrn_grad, x, np.zeros_like(x)), x)


def test_the_caller_s_mode_is_kept(device: str) -> None:
    """Neither Python's thread nor the runtime's own ops see another mode afterwards."""
    tiny = np.float32(1e-40)
    stock_before = (tf.constant(tiny) * 2).numpy()
    tlg.lrn(np.full((8, 55, 55, 33), tiny))
    assert tiny * np.float32(2) != 0
    assert (tf.constant(tiny) * 2).numpy() == stock_before
