"""Compares our ops with TensorFlow's, and with the formula in float64.

The oracle is the formula in NumPy. The tolerances are derived, not tuned: to first
order, the largest error of a result is the number of roundings on the longest path
to it, times the rounding error of the type that it is computed in, times the sum of
the magnitudes of its terms.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf

import tensorflow_lrn_grad as tlg

from ._layers import Parameters

DTYPES = (tf.float32, tf.half, tf.bfloat16, tf.float64)
_STOCK_DTYPES = (tf.float32, tf.half)  # what TensorFlow's own CPU kernels take


@dataclasses.dataclass(frozen=True)
class Deviation:
    """How far two results differ, at the element with the largest `share`.

    Both numbers are relative to the sum of the magnitudes of the element's terms.
    """

    error: float
    tolerance: float

    @property
    def within(self) -> bool:
        return self.error <= self.tolerance

    @property
    def share(self) -> float:
        return self.error / self.tolerance


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One op in one type. The stock fields are None if TensorFlow has no such op, or
    no kernel of the type."""

    op: str
    dtype: str
    ours_to_oracle: Deviation
    ours_to_stock: Deviation | None
    stock_to_oracle: Deviation | None

    @property
    def agrees(self) -> bool:
        """Whether ours is right; the stock op's own error is shown, not judged."""
        return self.ours_to_oracle.within and (
            self.ours_to_stock is None or self.ours_to_stock.within
        )

    def worst(self, other: Comparison) -> Comparison:
        """The larger deviations of two comparisons of the same op and type."""

        def larger(a: Deviation | None, b: Deviation | None) -> Deviation | None:
            return a if a is None or b is None or a.share >= b.share else b

        return Comparison(
            self.op,
            self.dtype,
            max(self.ours_to_oracle, other.ours_to_oracle, key=attrgetter("share")),
            larger(self.ours_to_stock, other.ours_to_stock),
            larger(self.stock_to_oracle, other.stock_to_oracle),
        )


# The oracle ---------------------------------------------------------------------


def _window_sums(a: np.ndarray, depth_radius: int) -> np.ndarray:
    """sum_{k in W(j)} a_k for each channel j, where W(j) = {k : |k - j| <= radius}."""
    margin = [(0, 0)] * (a.ndim - 1) + [(depth_radius, depth_radius)]
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(a, margin), 2 * depth_radius + 1, axis=-1
    )
    return windows.sum(axis=-1)


def _norm(x: np.ndarray, p: Parameters) -> np.ndarray:
    """N_j = bias + alpha sum_{k in W(j)} x_k^2."""
    return p.bias + p.alpha * _window_sums(x**2, p.depth_radius)


def oracle_lrn(x: np.ndarray, p: Parameters) -> np.ndarray:
    """y_j = x_j N_j^-beta."""
    return x * np.power(_norm(x, p), -p.beta)


def oracle_lrn_grad(
    dy: np.ndarray, x: np.ndarray, y: np.ndarray, p: Parameters
) -> np.ndarray:
    """dx_k = dy_k N_k^-beta - 2 alpha beta x_k sum_{j in W(k)} dy_j y_j / N_j."""
    norm = _norm(x, p)
    sums = _window_sums(dy * y / norm, p.depth_radius)
    return dy * np.power(norm, -p.beta) - 2 * p.alpha * p.beta * x * sums


# The tolerances -----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Bound:
    """What bounds the error of each element of a result.

    roundings: the number of roundings on the longest path to the element.
    magnitudes: the sum of the magnitudes of the element's terms.
    underflows: the sum of the factors of intermediate results that may underflow.
    """

    parameters: Parameters
    roundings: np.ndarray
    magnitudes: np.ndarray
    underflows: np.ndarray

    def computed_in(self, dtype: tf.DType) -> np.ndarray:
        """The largest error if each operation and each attribute is rounded."""
        info = ml_dtypes.finfo(dtype.as_numpy_dtype)
        # TensorFlow makes the processor flush float32 and float64 denormals to zero.
        # It computes half through float32, which keeps half's denormals.
        lost = info.smallest_subnormal if dtype == tf.half else info.tiny
        k = self.roundings * float(info.eps) / 2 + 2 * self._attribute_error(dtype)
        return k / (1 - k) * self.magnitudes + self.underflows * float(lost)

    def computed_wide(self, dtype: tf.DType) -> np.ndarray:
        """The same for our ops, which compute half and bfloat16 in float32 and round
        once."""
        if dtype.size >= tf.float32.size:
            return self.computed_in(dtype)
        info = ml_dtypes.finfo(dtype.as_numpy_dtype)
        before = self.computed_in(tf.float32)
        one_rounding = float(info.eps) / 2 * (self.magnitudes + before)
        return before + one_rounding + float(info.smallest_subnormal) / 2

    def _attribute_error(self, dtype: tf.DType) -> float:
        """The relative error of alpha and 2 alpha beta: large if denormal in half."""
        p = self.parameters
        values = np.array([p.alpha, 2 * p.alpha * p.beta])
        rounded = values.astype(dtype.as_numpy_dtype).astype(np.float64)
        return float(np.max(np.abs(rounded / values - 1)))


def _bound_lrn(x: np.ndarray, y: np.ndarray, p: Parameters) -> _Bound:
    return _Bound(p, _roundings_to_power(x, p) + 1, np.abs(y), np.ones_like(x))


def _bound_lrn_grad(
    dy: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    p: Parameters,
    roundings_to_y: np.ndarray | int = 0,
) -> _Bound:
    dy, x, y = np.abs(dy), np.abs(x), np.abs(y)
    n = _summands(x, p)
    # To N; a quotient, two products, n - 1 additions, the factors x and 2 alpha beta.
    to_sum = roundings_to_y + (n + 2) + 3 + (n - 1) + 4
    return _Bound(
        p,
        roundings=np.maximum(_roundings_to_power(x, p) + 1, to_sum) + 1,
        magnitudes=oracle_lrn_grad(dy, x, -y, p),  # -y: both terms get one sign
        underflows=1
        + 4 * n * (2 * p.alpha * p.beta * x)
        + 4 * _window_sums(dy * (1 + y), p.depth_radius),
    )


def _roundings_to_power(x: np.ndarray, p: Parameters) -> np.ndarray:
    """Roundings on the path to N^-beta, for positive attributes."""
    # N takes squares, n - 1 additions, a product with alpha, an addition of bias.
    to_norm = _summands(x, p) + 2
    # The power multiplies N's relative error by beta. It may be computed as
    # exp(-beta ln N), by library functions with an error of two roundings each.
    return p.beta * (to_norm + 3 * np.abs(np.log(_norm(x, p)))) + 2


def _summands(x: np.ndarray, p: Parameters) -> int:
    return min(2 * p.depth_radius + 1, x.shape[-1])


# The comparison -----------------------------------------------------------------


def compare(
    dy: tf.Tensor, x: tf.Tensor, parameters: Parameters, dtype: tf.DType
) -> list[Comparison]:
    """Compares LRN and its gradients, computed in `dtype` from float32 `dy` and `x`."""
    # The ops have float32 attributes, so the oracle gets the same.
    p = Parameters(
        parameters.depth_radius,
        *(float(np.float32(v)) for v in dataclasses.astuple(parameters)[1:]),
    )
    dy, x = tf.cast(dy, dtype), tf.cast(x, dtype)
    dy64, x64 = _float64(dy), _float64(x)
    y64 = oracle_lrn(x64, p)
    lrn = _judge(
        "LRN",
        dtype,
        tlg.lrn,
        tf.raw_ops.LRN,
        {"input": x, **dataclasses.asdict(p)},
        y64,
        _bound_lrn(x64, y64, p),
    )
    lrn_grad_from_input = _judge(
        "LRNGradFromInput",
        dtype,
        tlg.lrn_grad,
        None,
        {"input_grads": dy, "input_image": x, **dataclasses.asdict(p)},
        oracle_lrn_grad(dy64, x64, y64, p),
        _bound_lrn_grad(dy64, x64, y64, p, np.max(_roundings_to_power(x64, p)) + 1),
    )
    # Both LRNGrads get the oracle's y, so that an error of LRN does not count twice.
    y = tf.cast(y64, dtype)
    y64 = _float64(y)
    lrn_grad = _judge(
        "LRNGrad",
        dtype,
        tlg.lrn_grad,
        tf.raw_ops.LRNGrad,
        {
            "input_grads": dy,
            "input_image": x,
            "output_image": y,
            **dataclasses.asdict(p),
        },
        oracle_lrn_grad(dy64, x64, y64, p),
        _bound_lrn_grad(dy64, x64, y64, p),
    )
    return [lrn, lrn_grad, lrn_grad_from_input]


def _judge(
    op: str,
    dtype: tf.DType,
    our_op: Callable[..., tf.Tensor],
    stock_op: Callable[..., tf.Tensor] | None,
    arguments: dict[str, Any],
    expected: np.ndarray,
    bound: _Bound,
) -> Comparison:
    smallest = float(ml_dtypes.finfo(dtype.as_numpy_dtype).tiny)
    scale = np.maximum(bound.magnitudes, smallest)

    def deviation(a: np.ndarray, b: np.ndarray, tolerance: np.ndarray) -> Deviation:
        # A NaN in either result is an infinite error.
        error = np.nan_to_num(np.abs(a - b), nan=np.inf)
        worst = np.unravel_index(np.argmax(error / tolerance), error.shape)
        return Deviation(
            float(error[worst] / scale[worst]), float(tolerance[worst] / scale[worst])
        )

    oracle_tolerance = bound.computed_in(tf.float64)
    our_tolerance = bound.computed_wide(dtype)
    ours = _float64(our_op(**arguments))
    to_oracle = deviation(ours, expected, our_tolerance + oracle_tolerance)
    if stock_op is None or dtype not in _STOCK_DTYPES:
        return Comparison(op, dtype.name, to_oracle, None, None)
    stock = _float64(stock_op(**arguments))
    stock_tolerance = bound.computed_in(dtype)
    return Comparison(
        op,
        dtype.name,
        to_oracle,
        deviation(ours, stock, our_tolerance + stock_tolerance),
        deviation(stock, expected, stock_tolerance + oracle_tolerance),
    )


def _float64(tensor: tf.Tensor) -> np.ndarray:
    return tensor.numpy().astype(np.float64)
