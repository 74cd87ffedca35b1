"""Properties of any input, tested with Hypothesis.

Laws that are exact in floating-point arithmetic are tested bit for bit, the others
within the oracle's error bounds.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from oracle import (
    DTYPES,
    FLOAT32,
    FLOAT64,
    Params,
    assert_close,
    assert_lrn,
    assert_lrn_grad,
    assert_same_classes,
    lrn,
    lrn_grad,
    lrn_grad_error,
    lrn_grad_grad,
    lrn_grad_grad_error,
    wide,
)

import tensorflow_lrn_grad as tlg

# The same examples in every run. Only the first is slow: it initializes TensorFlow.
settings.register_profile(
    "tlg",
    max_examples=200,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
settings.load_profile("tlg")

channel_counts = st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 130]))
row_counts = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(DTYPES)

# Norms of one sign, where every element can be compared.
params = st.builds(
    Params,
    depth_radius=st.one_of(st.integers(0, 9), st.integers(10, 2**62)),
    bias=st.floats(0.125, 4, width=32),
    alpha=st.floats(0, 2, width=32, allow_subnormal=False),
    beta=st.floats(-1, 2, width=32, allow_subnormal=False),
)


def draw(
    seed: int, count: int, rows: int, channels: int, dtype: np.dtype = FLOAT64
) -> list[np.ndarray]:
    """Normal numbers. Hypothesis draws only their seed: to draw and shrink thousands of
    numbers one by one would take long."""
    rng = np.random.default_rng(seed)
    shape = (count, rows, 1, 1, channels)
    return list(rng.normal(size=shape).astype(dtype))


def grad(dy: np.ndarray, x: np.ndarray, y: np.ndarray | None, p: Params) -> np.ndarray:
    return tlg.lrn_grad(dy, x, y, **p.attributes()).numpy()


def forward(x: np.ndarray, p: Params) -> np.ndarray:
    return tlg.lrn(x, **p.attributes()).numpy()


def grad_grad(
    u: np.ndarray, dy: np.ndarray, x: np.ndarray, y: np.ndarray | None, p: Params
) -> list[np.ndarray]:
    """LRNGradGrad, with y or without."""
    library = tlg._load.library
    if y is None:
        op, arrays = library.tflrn_lrn_grad_grad_from_input, (u, dy, x)
    else:
        op, arrays = library.tflrn_lrn_grad_grad, (u, dy, x, y)
    # TensorFlow's wrapper of the op would take NumPy's float64 as float32.
    results = op(*map(tf.constant, arrays), **p.attributes())
    return [result.numpy() for result in results]


@given(seeds, row_counts, channel_counts, dtypes, params)
def test_oracle(
    seed: int, rows: int, channels: int, dtype: np.dtype, p: Params
) -> None:
    dy, x, y = draw(seed, 3, rows, channels, dtype)
    assert_lrn(forward(x, p), x, p, least_compared=1)
    for output in (y, None):
        got = grad(dy, x, output, p)
        assert_lrn_grad(got, dy, x, output, p, least_compared=1)


@given(seeds, row_counts, channel_counts, dtypes, params)
def test_oracle_of_the_second_gradient(
    seed: int, rows: int, channels: int, dtype: np.dtype, p: Params
) -> None:
    u, dy, x, y = draw(seed, 4, rows, channels, dtype)
    for output in (y, None):
        results = grad_grad(u, dy, x, output, p)
        exact = lrn_grad_grad(u, dy, x, output, p, wide(dtype))
        errors = lrn_grad_grad_error(u, dy, x, output, p, dtype)
        for got, *expected in zip(results, exact, errors, strict=True):
            assert_close(got, *expected, p, least_compared=1)


# Any bits at all: NaN, infinities, denormals, the largest numbers.
bits = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40)


@given(bits, st.integers(0, 5), st.sampled_from([0.5, 0.75, 1, 0.3, -0.5, 0]))
def test_any_bits(numbers: list[int], radius: int, beta: float) -> None:
    """NaN and infinity are where float32 arithmetic has them."""
    x = np.array(numbers, np.uint32).view(np.float32).reshape(1, 1, 1, -1)
    p = Params(radius, 1, 1, beta)
    assert_same_classes(forward(x, p), lrn(x, p, FLOAT32))


@given(seeds, row_counts, channel_counts, dtypes, params)
def test_reversed_channels(
    seed: int, rows: int, channels: int, dtype: np.dtype, p: Params
) -> None:
    """The window is symmetric: reversing the channels reverses the result."""
    dy, x, y = draw(seed, 3, rows, channels, dtype)
    mirrored = grad(dy[..., ::-1], x[..., ::-1], y[..., ::-1], p)[..., ::-1]
    assert_lrn_grad(mirrored, dy, x, y, p)
    mirrored = grad(dy[..., ::-1], x[..., ::-1], None, p)[..., ::-1]
    assert_lrn_grad(mirrored, dy, x, None, p)
    assert_lrn(forward(x[..., ::-1], p)[..., ::-1], x, p)


@given(seeds, row_counts, channel_counts, dtypes, params)
def test_rows_are_independent(
    seed: int, rows: int, channels: int, dtype: np.dtype, p: Params
) -> None:
    dy, x, y = draw(seed, 3, rows, channels, dtype)
    order = np.random.default_rng(seed).permutation(rows)
    np.testing.assert_array_equal(
        grad(dy[order], x[order], y[order], p), grad(dy, x, y, p)[order]
    )
    np.testing.assert_array_equal(
        grad(dy[order], x[order], None, p), grad(dy, x, None, p)[order]
    )
    np.testing.assert_array_equal(forward(x[order], p), forward(x, p)[order])
    for output in (y, None):
        permuted_output = None if output is None else output[order]
        permuted = grad_grad(x[order], dy[order], x[order], permuted_output, p)
        for got, whole in zip(permuted, grad_grad(x, dy, x, output, p), strict=True):
            np.testing.assert_array_equal(got, whole[order])


@given(seeds, row_counts, channel_counts, dtypes, params)
def test_radius_zero_is_elementwise(
    seed: int, rows: int, channels: int, dtype: np.dtype, p: Params
) -> None:
    p = Params(0, p.bias, p.alpha, p.beta)
    dy, x, y = draw(seed, 3, rows, channels, dtype)
    alone = (a.reshape(-1, 1, 1, 1) for a in (dy, x, y))
    np.testing.assert_array_equal(grad(*alone, p).reshape(x.shape), grad(dy, x, y, p))


@given(seeds, row_counts, channel_counts, params)
def test_alpha_zero_is_a_factor(seed: int, rows: int, channels: int, p: Params) -> None:
    p = Params(p.depth_radius, p.bias, 0, p.beta)
    dy, x, y = draw(seed, 3, rows, channels)
    factor = np.power(np.float64(p.bias), -np.float64(np.float32(p.beta)))
    # A power and two products: 8 eps of the result, the oracle's bound for no summands.
    np.testing.assert_allclose(grad(dy, x, y, p), dy * factor, rtol=8 * 2**-52)
    np.testing.assert_allclose(forward(x, p), x * factor, rtol=8 * 2**-52)


@given(seeds, row_counts, channel_counts, params, st.integers(-20, 20))
def test_scale_by_a_power_of_two(
    seed: int, rows: int, channels: int, p: Params, exponent: int
) -> None:
    """Scaling x by 2^e and alpha by 4^-e keeps the norms. All of this is exact."""
    assume(p.alpha == 0 or p.alpha > 1e-20)  # float32 keeps all its bits
    dy, x, y = draw(seed, 3, rows, channels)
    scale = 2.0**exponent
    scaled = Params(p.depth_radius, p.bias, p.alpha / scale**2, p.beta)
    np.testing.assert_array_equal(forward(scale * x, scaled), scale * forward(x, p))
    dx = grad(dy, x, y, p)
    np.testing.assert_array_equal(grad(dy, scale * x, scale * y, scaled), dx)
    np.testing.assert_array_equal(grad(scale * dy, x, y, p), scale * dx)
    dx = grad(dy, x, None, p)
    np.testing.assert_array_equal(grad(dy, scale * x, None, scaled), dx)
    np.testing.assert_array_equal(grad(scale * dy, x, None, p), scale * dx)


@given(seeds, row_counts, channel_counts, params)
def test_linear_in_the_gradient(seed: int, rows: int, channels: int, p: Params) -> None:
    a, b, x, y = draw(seed, 4, rows, channels)
    total = grad(a + b, x, y, p)
    errors = [lrn_grad_error(dy, x, y, p, FLOAT64) for dy in (a, b, a + b)]
    # a + b and the sum of the results are rounded, too: by at most one eps of the
    # magnitudes. The error bound is at least nine of these.
    error = sum(errors) + errors[2] / 9
    assert_close(total, grad(a, x, y, p) + grad(b, x, y, p), error)


@given(seeds, row_counts, channel_counts, params)
def test_adjoint_of_the_derivative(
    seed: int, rows: int, channels: int, p: Params
) -> None:
    """<u, J v> = <J^T u, v>, where J^T is LRNGrad at LRN's own output, given or not.

    J v is the derivative of LRNGrad with respect to dy, from the oracle.
    """
    u, v, x = draw(seed, 3, rows, channels)
    y = forward(x, p)
    jv, _, _ = lrn_grad_grad(v, u, x, y, p)
    jv_error, _, _ = lrn_grad_grad_error(v, u, x, y, p, FLOAT64)
    for output in (y, None):
        ju = grad(u, x, output, p)
        error = (np.abs(u) * jv_error).sum()
        error += (np.abs(v) * lrn_grad_error(u, x, output, p, FLOAT64)).sum()
        error += u.size * 2**-52 * (np.abs(u * jv).sum() + np.abs(ju * v).sum())
        assert abs((u * jv).sum() - (ju * v).sum()) <= error


@given(seeds, row_counts, channel_counts, params)
def test_second_gradient_is_the_adjoint_of_the_first(
    seed: int, rows: int, channels: int, p: Params
) -> None:
    """LRNGrad is linear in dy, and affine in y. For the linear part J of each,
    <u, J v> = <J^T u, v>, where J^T u is LRNGradGrad's output for that input."""
    u, v, dy, x, y = draw(seed, 5, rows, channels)
    d_dy, _, d_y = grad_grad(u, dy, x, y, p)
    d_dy_error, _, d_y_error = lrn_grad_grad_error(u, dy, x, y, p, FLOAT64)
    zero = np.zeros_like(y)
    by_dy, by_y = grad(v, x, y, p), grad(dy, x, v, p) - grad(dy, x, zero, p)
    by_dy_error = lrn_grad_error(v, x, y, p, FLOAT64)
    by_y_error = sum(lrn_grad_error(dy, x, a, p, FLOAT64) for a in (v, zero))
    for forth, back, forth_error, back_error in (
        (by_dy, d_dy, by_dy_error, d_dy_error),
        (by_y, d_y, by_y_error, d_y_error),
    ):
        error = (np.abs(u) * forth_error).sum() + (np.abs(v) * back_error).sum()
        error += u.size * 2**-52 * (np.abs(u * forth).sum() + np.abs(v * back).sum())
        assert abs((u * forth).sum() - (v * back).sum()) <= error


SPECIALS = (0.0, 1.0, -1.0, 0.5, 2.0, np.inf, -np.inf, np.nan)


@st.composite
def special_rows(draw_value: st.DrawFn) -> tuple[np.ndarray, ...]:
    channels = draw_value(st.integers(1, 12))
    finite = st.sampled_from(SPECIALS[:5])
    any_value = st.sampled_from(SPECIALS)
    elements = (finite, any_value, any_value)  # of dy, x and y
    return tuple(
        np.array(
            draw_value(st.lists(e, min_size=channels, max_size=channels)), np.float32
        ).reshape(1, 1, 1, channels)
        for e in elements
    )


@given(
    special_rows(),
    st.integers(0, 3),
    st.sampled_from([0.0, 1.0, -1.5]),
    st.sampled_from([0.5, 0.75, 1.0]),
)
def test_stock_agreement_in_classes(
    rows: tuple, radius: int, bias: float, beta: float
) -> None:
    """NaN and infinity are where the stock gradient has them.

    Where dy is zero in a whole window, the stock op ignores x. Ours multiplies it by
    a sum of zeros, as the formula does: NaN, if x is not finite.
    """
    dy, x, y = rows
    p = Params(radius, bias, 1, beta)
    stock = tf.raw_ops.LRNGrad(
        input_grads=dy, input_image=x, output_image=y, **p.attributes()
    ).numpy()
    ours = grad(dy, x, y, p)
    assert_same_classes(ours, lrn_grad(dy, x, y, p, FLOAT32))
    channels = dy.shape[-1]
    idle = [
        not dy[..., max(0, k - radius) : k + radius + 1].any() for k in range(channels)
    ]
    differ = np.array(idle) & ~np.isfinite(x)
    stock[differ] = np.nan
    assert_same_classes(ours, stock)


@given(
    special_rows(),
    st.integers(0, 3),
    st.sampled_from([0.0, 1.0, -1.5]),
    st.sampled_from([0.5, 0.75, 1.0]),
)
def test_stock_agreement_in_classes_of_lrn(
    rows: tuple, radius: int, bias: float, beta: float
) -> None:
    """For finite inputs only: the stock op spreads others over the row."""
    x, _, _ = rows
    p = Params(radius, bias, 1, beta)
    stock = tf.nn.lrn(x, **p.attributes()).numpy()
    assert_same_classes(forward(x, p), stock)


@pytest.mark.parametrize("wrong", ["alpha", "beta", "bias", "depth_radius"])
def test_the_oracle_notices_a_wrong_parameter(wrong: str) -> None:
    """These tests can fail: they detect 1 % more of a parameter, in every type."""
    for dtype in DTYPES:
        dy, x, y = draw(1, 3, 4, 40, dtype)
        p = Params(2, 1, 1, 0.75)
        change = {wrong: 3 if wrong == "depth_radius" else 1.01 * getattr(p, wrong)}
        with pytest.raises(AssertionError, match="elements are wrong"):
            assert_lrn(forward(x, p), x, Params(**{**p.attributes(), **change}))
        with pytest.raises(AssertionError, match="elements are wrong"):
            changed = Params(**{**p.attributes(), **change})
            assert_lrn_grad(grad(dy, x, y, p), dy, x, y, changed)
