"""The oracle itself: its formulas, its demands, and the cases that it is given."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import pytest
from cases import ALPHAS, BETAS, BIASES, CHANNELS, RADII, covering_array, oracle_cases
from oracle import (
    BFLOAT16,
    FLOAT32,
    FLOAT64,
    HALF,
    Params,
    assert_close,
    difference_quotient,
    lrn,
    lrn_error,
    lrn_grad,
    lrn_grad_grad,
    window_sums,
)

P = Params(2, 1.5, 0.75, 0.625)


def row(*numbers: float, dtype: np.dtype = FLOAT64) -> np.ndarray:
    return np.array(numbers, dtype).reshape(1, 1, 1, -1)


def test_by_hand() -> None:
    """Norms 6, 15, 14: 1 + the squares of each number and its neighbours."""
    p, x = Params(1, 1, 1, 1), row(1, 2, 3)
    y = lrn(x, p)
    np.testing.assert_allclose(y, row(1 / 6, 2 / 15, 3 / 14), rtol=1e-15)
    # dy is 1 in the middle only, where y / N is 2 / 15^2.
    dx = lrn_grad(row(0, 1, 0), x, y, p)
    term = 2 / 225
    expected = row(-2 * term, 1 / 15 - 4 * term, -6 * term)
    np.testing.assert_allclose(dx, expected, rtol=1e-15)


@pytest.mark.parametrize("radius", [0, 1, 3, 8, 100, 2**40])
def test_window_sums(rng: np.random.Generator, radius: int) -> None:
    values = rng.normal(size=(3, 9))
    for j in range(9):
        total = sum(values[:, k] for k in range(9) if abs(k - j) <= radius)
        np.testing.assert_allclose(window_sums(values, radius)[:, j], total, rtol=1e-13)


def test_derivatives(rng: np.random.Generator) -> None:
    """Each formula is the derivative of the one before, by central differences."""
    u, dy, x, y, step = rng.normal(size=(5, 2, 1, 3, 9))

    def slope(function, at, weights) -> float:
        return (weights * difference_quotient(function, at, step)).sum()

    dx = lrn_grad(dy, x, lrn(x, P), P)
    assert slope(lambda t: lrn(t, P), x, dy) == pytest.approx((step * dx).sum())
    d_dy, d_x, d_y = ((step * d).sum() for d in lrn_grad_grad(u, dy, x, y, P))
    assert slope(lambda t: lrn_grad(t, x, y, P), dy, u) == pytest.approx(d_dy)
    assert slope(lambda t: lrn_grad(dy, t, y, P), x, u) == pytest.approx(d_x)
    assert slope(lambda t: lrn_grad(dy, x, t, P), y, u) == pytest.approx(d_y)
    d_dy, d_x = ((step * d).sum() for d in lrn_grad_grad(u, dy, x, None, P))
    assert slope(lambda t: lrn_grad(t, x, None, P), dy, u) == pytest.approx(d_dy)
    assert slope(lambda t: lrn_grad(dy, t, None, P), x, u) == pytest.approx(d_x)


@pytest.mark.parametrize("dtype", [HALF, BFLOAT16])
def test_one_rounding_is_demanded(dtype: np.dtype) -> None:
    """The neighbours of the nearest value are rejected, except near a tie."""
    exact = row(1 / 3, 1000.1, -1e-3)
    error = 1e-6 * np.abs(exact)
    nearest = exact.astype(np.float32).astype(dtype)
    assert_close(nearest, exact, error)
    for off in (-1, 1):
        neighbour = (nearest.view(np.int16) + np.int16(off)).view(dtype)
        with pytest.raises(AssertionError, match="3 of 3 elements are wrong"):
            assert_close(neighbour, exact, error)
    # Halfway between two values, both are right.
    step = float(ml_dtypes.finfo(dtype).eps)
    for value in (1.0, 1.0 + step):
        assert_close(row(value, dtype=dtype), row(1 + step / 2), row(1e-6))


def test_classes_are_demanded() -> None:
    exact = row(1, np.nan, np.inf, -np.inf)
    error = row(1e-3, np.nan, np.nan, np.nan)
    assert_close(exact.copy(), exact, error)
    for at, wrong in ((0, np.nan), (0, np.inf), (1, 0), (2, 1), (2, -np.inf), (3, 9)):
        got = exact.copy()
        got[..., at] = wrong
        with pytest.raises(AssertionError, match="1 of 4 elements are wrong"):
            assert_close(got, exact, error)


def test_nothing_is_demanded_of_cancellation() -> None:
    """A norm of 1 - 1: whether rounding leaves it positive is chance."""
    p = Params(0, 1, -1, 0.5)
    error = lrn_error(row(1 - 2**-24, 0.5), p, FLOAT32)
    assert np.isinf(error).tolist() == [[[[True, False]]]]
    got = row(np.nan, lrn(row(0.5), p).item())
    assert_close(got, lrn(row(1 - 2**-24, 0.5), p), error)
    with pytest.raises(AssertionError, match="only 50%"):
        assert_close(got, got, error, least_compared=0.6)


def test_cases_cover_all_pairs() -> None:
    axes = (CHANNELS, RADII, BETAS, BIASES, ALPHAS)
    cases = covering_array(*axes)
    for (i, a), (j, b) in itertools.combinations(enumerate(axes), 2):
        assert {(c[i], c[j]) for c in cases} == set(itertools.product(a, b))
    # Hardly more than the two longest axes need.
    assert len(CHANNELS) * len(RADII) <= len(oracle_cases()) <= 110
