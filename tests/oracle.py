"""The reference for LRN and its derivatives, and how far a result may be from it.

The reference is NumPy with plain `power` and explicit windows, so that it shares
no shortcut with the kernels. `lrn`, `lrn_grad` and `lrn_grad_grad` evaluate the
formulas literally, in the arithmetic they are given:

* wider than the type under test (`wide`), for values: `assert_close`;
* that of the op (`narrow`), where the question is which results are NaN, infinite
  or zero, since that depends on what overflows.

`lrn_error`, `lrn_grad_error` and `lrn_grad_grad_error` derive from the same
inputs how far a correct kernel can be from the exact result.

How the errors are derived. Let u = eps / 2 be the rounding error of one operation.
A norm of w squares is off by at most (w + 1) u M, where M = |bias| + |alpha| sum x^2.
Where terms have different signs, M may exceed |N|, and the norm's relative error grows
by the factor M / |N|; N^-beta multiplies a relative error by |beta|. A sum of w terms
adds (w - 1) u of its magnitude, and the rest (a power, a division, a few products) is
a fixed number of roundings. Together this is below

    (number of summands + 8) eps (sum of the magnitudes of the terms)

where each term's magnitude is multiplied by the factor by which the term amplifies the
norm's relative error, if that is more than one. This is first order: where cancellation
makes the norm's relative error exceed 1 %, nothing is demanded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np

HALF = np.dtype(np.float16)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
DTYPES = (HALF, BFLOAT16, FLOAT32, FLOAT64)

# The largest relative error of a norm for which a first-order bound holds.
FIRST_ORDER = 0.01

# The additional error allowed for 16-bit types, relative to the magnitude of the
# terms: GPU_APPROXIMATION for results of a GPU (see cc/cuda/lrn_rows.h).
approximation = 0.0
GPU_APPROXIMATION = 2.0**-15


@dataclass(frozen=True)
class Params:
    """The attributes of the ops, with their defaults."""

    depth_radius: int = 5
    bias: float = 1.0
    alpha: float = 1.0
    beta: float = 0.5

    def attributes(self) -> dict[str, float]:
        """The keyword arguments of the ops."""
        return dict(vars(self))

    def rounded(self, arithmetic: np.dtype) -> tuple:
        """bias, alpha, beta as the ops see them: attributes are float32."""
        return tuple(
            arithmetic.type(np.float32(value))
            for value in (self.bias, self.alpha, self.beta)
        )


def narrow(dtype: np.dtype) -> np.dtype:
    """The arithmetic that the ops use for a type."""
    return FLOAT64 if dtype == FLOAT64 else FLOAT32


def wide(dtype: np.dtype) -> np.dtype:
    """An arithmetic whose own rounding errors do not matter beside the op's."""
    return np.dtype(np.longdouble) if dtype == FLOAT64 else FLOAT64


def windows(channels: int, radius: int) -> list[slice]:
    """W(j) for each channel j, clipped to the row."""
    return [
        slice(max(0, j - radius), min(channels, j + radius + 1))
        for j in range(channels)
    ]


def window_sums(values: np.ndarray, radius: int) -> np.ndarray:
    """sum_{k in W(j)} values_k, each window summed on its own."""
    sums = np.zeros_like(values)
    for j, window in enumerate(windows(values.shape[-1], radius)):
        sums[..., j] = values[..., window].sum(axis=-1, dtype=values.dtype)
    return sums


def norms(x: np.ndarray, p: Params) -> np.ndarray:
    """N_j = bias + alpha sum_{k in W(j)} x_k^2, in x's arithmetic."""
    bias, alpha, _ = p.rounded(x.dtype)
    return bias + alpha * window_sums(x * x, p.depth_radius)


def lrn(x: np.ndarray, p: Params, arithmetic: np.dtype = FLOAT64) -> np.ndarray:
    """y_j = x_j N_j^-beta."""
    x = x.astype(arithmetic)
    _, _, beta = p.rounded(arithmetic)
    with np.errstate(all="ignore"):
        return x * np.power(norms(x, p), -beta)


def lrn_grad(
    dy: np.ndarray,
    x: np.ndarray,
    y: np.ndarray | None,
    p: Params,
    arithmetic: np.dtype = FLOAT64,
) -> np.ndarray:
    """dx_k = dy_k N_k^-beta - 2 alpha beta x_k sum_{j in W(k)} dy_j y_j / N_j.

    Where dy_j is zero, its terms are zero for any y_j and N_j. If y is None, it is
    LRN of x, in the given arithmetic.
    """
    y = lrn(x, p, arithmetic) if y is None else y
    dy, x, y = (a.astype(arithmetic) for a in (dy, x, y))
    _, alpha, beta = p.rounded(arithmetic)
    with np.errstate(all="ignore"):
        n = norms(x, p)
        zero = dy == 0
        direct = np.where(zero, 0, dy * np.power(n, -beta))
        terms = np.where(zero, 0, dy * y / n)
        return direct - 2 * alpha * beta * x * window_sums(terms, p.depth_radius)


def lrn_grad_grad(
    u: np.ndarray,
    dy: np.ndarray,
    x: np.ndarray,
    y: np.ndarray | None,
    p: Params,
    arithmetic: np.dtype = FLOAT64,
) -> tuple[np.ndarray, ...]:
    """d_dy, d_x, d_y: the gradient of sum(u * lrn_grad(dy, x, y)).

    With P_j = sum_{k in W(j)} x_k u_k:

        d_dy_j = u_j N_j^-beta - 2 alpha beta (y_j / N_j) P_j
        d_y_j  =               - 2 alpha beta (dy_j / N_j) P_j
        d_x_m  = - 2 alpha beta u_m sum_{j in W(m)} dy_j y_j / N_j
                 + 2 alpha x_m sum_{j in W(m)} ( 2 alpha beta dy_j y_j P_j / N_j^2
                                                 - beta u_j dy_j N_j^(-beta - 1) )

    Where dy_j is zero, the terms that contain it are zero. If y is None, it is LRN of
    x, there is no d_y, and d_x includes what comes through y:

        d_x_m  = - 2 alpha beta u_m sum_{j in W(m)} dy_j y_j / N_j
                 - 2 alpha beta dy_m P_m N_m^(-beta - 1)
                 + 2 alpha x_m sum_{j in W(m)} (
                     2 alpha beta (1 + beta) dy_j y_j P_j / N_j^2
                     - beta u_j dy_j N_j^(-beta - 1) )
    """
    y_is_given = y is not None
    y = y if y_is_given else lrn(x, p, arithmetic)
    u, dy, x, y = (a.astype(arithmetic) for a in (u, dy, x, y))
    _, alpha, beta = p.rounded(arithmetic)
    r = p.depth_radius
    times = 1 if y_is_given else 1 + beta
    with np.errstate(all="ignore"):
        n = norms(x, p)
        zero = dy == 0
        pj = window_sums(x * u, r)
        d_dy = u * np.power(n, -beta) - 2 * alpha * beta * (y / n) * pj
        d_y = np.where(zero, 0, -2 * alpha * beta * (dy / n) * pj)
        first = np.where(zero, 0, dy * y / n)
        second = np.where(
            zero,
            0,
            2 * alpha * beta * times * dy * y * pj / (n * n)
            - beta * u * dy * np.power(n, -beta - 1),
        )
        d_x = -2 * alpha * beta * u * window_sums(first, r)
        d_x = d_x + 2 * alpha * x * window_sums(second, r)
        if y_is_given:
            return d_dy, d_x, d_y
        direct = 2 * alpha * beta * dy * pj * np.power(n, -beta - 1)
        return d_dy, d_x - np.where(zero, 0, direct)


@dataclass(frozen=True)
class Norms:
    """Norms, and what their rounding errors do to a term that contains them."""

    value: np.ndarray
    condition: np.ndarray  # M / |N|
    uncertain: np.ndarray  # whether the relative error exceeds FIRST_ORDER
    smallest: float  # the largest error of one underflow

    def factor(self, power: float) -> np.ndarray:
        """How many times (summands + 8) eps N^power may be off; at least 1."""
        # The norm's error is half of (number of summands + 8) eps.
        return np.maximum(1, abs(power) * self.condition / 2)

    def power(self, exponent: float) -> np.ndarray:
        """|N|^exponent."""
        return np.power(np.abs(self.value), exponent)


def _width(x: np.ndarray, p: Params) -> int:
    """The number of summands of the widest window."""
    return min(x.shape[-1], 2 * p.depth_radius + 1)


def _norms_error(x: np.ndarray, p: Params, dtype: np.dtype) -> Norms:
    info = np.finfo(narrow(dtype))
    # Underflow is gradual. TensorFlow's threads flush denormal numbers to zero,
    # but the ops promise IEEE arithmetic in spite of that.
    smallest = float(info.smallest_subnormal)
    bias, alpha, _ = p.rounded(x.dtype)
    squares = window_sums(x * x, p.depth_radius)
    n = bias + alpha * squares
    unit = float(info.eps) / 2
    magnitude = np.abs(bias) + np.abs(alpha) * squares
    # Squares may underflow, and so may the product with alpha.
    magnitude += (1 + np.abs(alpha)) * smallest / unit
    # A norm without squares is exactly the bias.
    condition = np.where((squares > 0) & (alpha != 0), magnitude / np.abs(n), 0)
    uncertain = (_width(x, p) + 1) * unit * condition > FIRST_ORDER
    return Norms(n, condition, uncertain, smallest)


def _bound(
    summands: int,
    dtype: np.dtype,
    magnitude: np.ndarray,
    underflow: np.ndarray,
    uncertain: np.ndarray,
) -> np.ndarray:
    """(number of summands + 8) eps of the magnitudes, plus what underflow loses.

    Infinite where nothing is demanded; NaN where only the class of the result is
    demanded, since a magnitude is NaN or infinite.
    """
    eps = float(np.finfo(narrow(dtype)).eps)
    error = (summands + 8) * (eps * magnitude + underflow)
    if dtype.itemsize == 2:
        error += approximation * magnitude
    error[~np.isfinite(error)] = np.nan
    error[uncertain] = np.inf
    return error


def lrn_error(x: np.ndarray, p: Params, dtype: np.dtype) -> np.ndarray:
    """How far a kernel's LRN may be from the exact one, before the last rounding."""
    x = x.astype(wide(dtype))
    _, _, beta = p.rounded(x.dtype)
    with np.errstate(all="ignore"):
        n = _norms_error(x, p, dtype)
        power = n.power(-beta)
        magnitude = np.abs(x) * power * n.factor(beta)
        lost = n.smallest * (1 + power)
        return _bound(_width(x, p) + 1, dtype, magnitude, lost, n.uncertain)


def lrn_grad_error(
    dy: np.ndarray,
    x: np.ndarray,
    y: np.ndarray | None,
    p: Params,
    dtype: np.dtype,
) -> np.ndarray:
    """How far a kernel's LRNGrad may be from the exact one (see lrn_error)."""
    y_is_given = y is not None
    y = y if y_is_given else lrn(x, p, wide(dtype))
    dy, x, y = (np.abs(a.astype(wide(dtype))) for a in (dy, x, y))
    _, alpha, beta = np.abs(p.rounded(x.dtype))
    signed_beta = p.rounded(x.dtype)[2]
    r = p.depth_radius
    with np.errstate(all="ignore"):
        n = _norms_error(x, p, dtype)
        # A y that the kernel computes has the norm's error, too.
        to_terms = 1 if y_is_given else 1 + beta
        zero = dy == 0
        power = n.power(-signed_beta)
        direct = np.where(zero, 0, dy * power * n.factor(beta))
        inverse = n.power(-1)
        terms = np.where(zero, 0, dy * y * inverse * n.factor(to_terms))
        scale = 2 * alpha * beta
        magnitude = direct + scale * x * window_sums(terms, r)
        # dy y and its quotient may each underflow before they are scaled up.
        lost = (1 + dy + y) * (1 + inverse)
        if not y_is_given:
            # So may x N^-beta, and the power alone.
            lost = lost + dy * inverse * (1 + x)
        lost = np.where(zero, 0, lost)
        lost = (1 + scale) * (x * window_sums(lost, r) + 1)
        lost = n.smallest * (lost + np.where(zero, 0, power))
        uncertain = window_sums((n.uncertain & ~zero).astype(x.dtype), r) > 0
        # Of the terms; and of the norm, whose error is not small beside it if it
        # counts more than once.
        summands = _width(x, p) * (1 if y_is_given else 2) + 1
        return _bound(summands, dtype, magnitude, lost, uncertain)


def lrn_grad_grad_error(
    u: np.ndarray,
    dy: np.ndarray,
    x: np.ndarray,
    y: np.ndarray | None,
    p: Params,
    dtype: np.dtype,
) -> tuple[np.ndarray, ...]:
    """How far a kernel's results may be from those of lrn_grad_grad.

    Sums nest three deep here (N, P and the outer one), so the number of summands is
    that of two windows; of three, if y is computed, whose error then is not small
    beside theirs.
    """
    y_is_given = y is not None
    y = y if y_is_given else lrn(x, p, wide(dtype))
    u, dy, x, y = (np.abs(a.astype(wide(dtype))) for a in (u, dy, x, y))
    _, alpha, beta = np.abs(p.rounded(x.dtype))
    signed_beta = p.rounded(x.dtype)[2]
    r = p.depth_radius
    summands = (2 if y_is_given else 3) * _width(x, p) + 1
    # A y that the kernel computes has the norm's error, too.
    of_y = 0 if y_is_given else beta
    with np.errstate(all="ignore"):
        n = _norms_error(x, p, dtype)
        zero = dy == 0
        pj = window_sums(x * u, r)
        scale = 2 * alpha * beta
        power, inverse = n.power(-signed_beta), n.power(-1)
        first = np.where(zero, 0, dy * y * inverse * n.factor(1 + of_y))
        second = scale * (1 + of_y) * y * pj * inverse * n.factor(2 + of_y)
        second = second + beta * u * power * n.factor(signed_beta + 1)
        second = np.where(zero, 0, dy * inverse * second)
        d_dy = u * power * n.factor(beta)
        d_dy = d_dy + scale * y * inverse * pj * n.factor(1 + of_y)
        d_y = np.where(zero, 0, scale * dy * inverse * pj * n.factor(1))
        d_x = scale * u * window_sums(first, r)
        d_x = d_x + 2 * alpha * x * window_sums(second, r)
        lost = n.smallest * (1 + scale) * (1 + inverse) ** 2
        lost = lost * (1 + u + x) * (1 + dy) * (1 + y) * (1 + pj)
        if not y_is_given:
            d_x = d_x + d_y * power * n.factor(1 + beta)
            lost = lost * (1 + power) * (1 + x) * (1 + beta)
        everywhere = x * window_sums(lost, r) + lost
        uncertain = window_sums(n.uncertain.astype(x.dtype), r) > 0
        errors = (
            _bound(summands, dtype, d_dy, lost, n.uncertain),
            _bound(summands, dtype, d_x, everywhere, uncertain),
            _bound(summands, dtype, d_y, lost, n.uncertain),
        )
        return errors if y_is_given else errors[:2]


def assert_close(
    got: np.ndarray,
    exact: np.ndarray,
    error: np.ndarray,
    what: object = "",
    *,
    least_compared: float = 0.5,
) -> None:
    """Fails unless `got` is `exact` within `error`, rounded once to its type.

    Rounding is monotone: a value in [exact - error, exact + error] that is rounded
    once lies between the rounded ends. For half and bfloat16 this leaves exactly
    one value nearly everywhere. NaN and infinity must be where `exact`, rounded, has
    them; a NaN error demands no more than that, an infinite error nothing. For at
    least the fraction `least_compared` of the elements, something must be demanded.
    """
    dtype = got.dtype
    assert got.shape == exact.shape, f"{what}: shape {got.shape}, not {exact.shape}"
    with np.errstate(all="ignore"):
        demanded = ~np.isinf(error)
        # Both ends are infinite where `exact` is.
        error = np.where(demanded & np.isfinite(exact), error, 0)
        # By way of float32, from which the op rounds bfloat16, too.
        low, middle, high = (
            end.astype(narrow(dtype)).astype(dtype).astype(wide(dtype))
            for end in (exact - error, exact, exact + error)
        )
        value = got.astype(wide(dtype))
        right = (low <= value) & (value <= high)
        alike = (value == middle) | (np.isfinite(value) & np.isfinite(middle))
        right |= np.isnan(error) & alike
        right = np.where(np.isnan(exact), np.isnan(value), right)
    wrong = demanded & ~right
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{what}: {int(wrong.sum())} of {wrong.size} elements are wrong; at {at} "
            f"the result is {value[at]!r}, the exact value {exact[at]!r}, "
            f"the allowed error {error[at]:.3g} before rounding to {dtype}"
        )
    if wrong.size:
        compared = float(demanded.mean())
        assert compared >= least_compared, (
            f"{what}: only {compared:.0%} of the elements could be compared"
        )


def assert_lrn(got: np.ndarray, x: np.ndarray, p: Params, **options) -> None:
    """Fails unless `got` is LRN of `x`. Options are those of assert_close."""
    exact = lrn(x, p, wide(x.dtype))
    error = lrn_error(x, p, x.dtype)
    assert got.dtype == x.dtype
    assert_close(got, exact, error, f"LRN {x.dtype} {x.shape} {p}", **options)


def assert_lrn_grad(
    got: np.ndarray,
    dy: np.ndarray,
    x: np.ndarray,
    y: np.ndarray | None,
    p: Params,
    **options,
) -> None:
    """Fails unless `got` is LRNGrad of `dy`, `x` and `y`; if that is None, of LRN's
    exact output."""
    exact = lrn_grad(dy, x, y, p, wide(x.dtype))
    error = lrn_grad_error(dy, x, y, p, x.dtype)
    assert got.dtype == x.dtype
    assert_close(got, exact, error, f"LRNGrad {x.dtype} {x.shape} {p}", **options)


def assert_same_classes(got: np.ndarray, expected: np.ndarray, what: str = "") -> None:
    """Fails unless NaN, +infinity and -infinity are in the same places."""
    for name, is_class in (
        ("NaN", np.isnan),
        ("+infinity", np.isposinf),
        ("-infinity", np.isneginf),
    ):
        # ml_dtypes has no isposinf of its own.
        here, there = (is_class(a.astype(np.float64)) for a in (got, expected))
        np.testing.assert_array_equal(here, there, err_msg=f"{what}: {name}")


def difference_quotient(
    function: Callable[[np.ndarray], np.ndarray],
    at: np.ndarray,
    direction: np.ndarray,
    step: float = 1e-6,
) -> np.ndarray:
    """The derivative of `function` along `direction`, by central differences."""
    ahead, behind = function(at + step * direction), function(at - step * direction)
    return (ahead - behind) / (2 * step)
