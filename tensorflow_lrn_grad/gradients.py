"""The gradients that TensorFlow's automatic differentiation finds.

Importing this module registers LRNGradFromInput as the gradient of `TFLRN>LRN`, and
LRNGradGrad and LRNGradGradFromInput as those of `TFLRN>LRNGrad` and
`TFLRN>LRNGradFromInput`. Their own gradients are composed of ops that can be
differentiated again, most of them TensorFlow's, so derivatives of every order exist.
`register_lrn_gradient` registers LRNGradFromInput for another LRN op.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from tensorflow_lrn_grad import _vectorize  # noqa: F401
from tensorflow_lrn_grad._load import library
from tensorflow_lrn_grad.ops import lrn, lrn_grad

_ATTRIBUTES = ("depth_radius", "bias", "alpha", "beta")


@tf.RegisterGradient("TFLRN>LRN")
def _lrn_gradient(op: tf.Operation, output_gradient: tf.Tensor) -> tf.Tensor:
    """The gradient of an LRN op with one input, one output and the four attributes."""
    return lrn_grad(output_gradient, op.inputs[0], **_attributes(op))


@tf.RegisterGradient("TFLRN>LRNGrad")
def lrn_grad_gradient(
    op: tf.Operation, output_gradient: tf.Tensor
) -> Sequence[tf.Tensor]:
    """LRNGradGrad of an op with LRNGrad's three inputs and four attributes."""
    return library.tflrn_lrn_grad_grad(output_gradient, *op.inputs, **_attributes(op))


@tf.RegisterGradient("TFLRN>LRNGradFromInput")
def _lrn_grad_from_input_gradient(
    op: tf.Operation, output_gradient: tf.Tensor
) -> Sequence[tf.Tensor]:
    """LRNGradGradFromInput of the op's two inputs and four attributes."""
    return library.tflrn_lrn_grad_grad_from_input(
        output_gradient, *op.inputs, **_attributes(op)
    )


@tf.RegisterGradient("TFLRN>LRNGradGradFromInput")
def _lrn_grad_grad_from_input_gradient(
    op: tf.Operation, *output_gradients: tf.Tensor
) -> list[tf.Tensor]:
    """The gradient of LRNGradGradFromInput with respect to its three inputs.

    Its outputs are those of LRNGradGrad, with d_y, the gradient by LRN's output y,
    passed on to LRN's input x: d_x + LRNGradFromInput(d_y, x). The upstream gradient
    g_x reaches x through both, and, through y, once more. 16-bit types are computed in
    float32: d_y may be far larger than the sum, and overflow where the sum does not.
    """
    attributes = _attributes(op)
    u, dy, x = _widened(op.inputs)
    g_dy, g_x = _widened(output_gradients)
    y = lrn(x, **attributes)
    d_y = library.tflrn_lrn_grad_grad(u, dy, x, y, **attributes).d_output_image
    g_y, by_x_of_sum = library.tflrn_lrn_grad_grad_from_input(g_x, d_y, x, **attributes)
    by_u, by_dy, by_x, by_y = _derivatives_of_lrn_grad_grad(
        (u, dy, x, y), (g_dy, g_x, g_y), **attributes
    )
    by_x += by_x_of_sum + lrn_grad(by_y, x, **attributes)
    dtype = op.inputs[0].dtype
    return [tf.cast(gradient, dtype) for gradient in (by_u, by_dy, by_x)]


@tf.RegisterGradient("TFLRN>LRNGradGrad")
def _lrn_grad_grad_gradient(
    op: tf.Operation, *output_gradients: tf.Tensor
) -> list[tf.Tensor]:
    """The gradient of LRNGradGrad with respect to its four inputs.

    16-bit types are computed in float32.
    """
    gradients = _derivatives_of_lrn_grad_grad(
        _widened(op.inputs), _widened(output_gradients), **_attributes(op)
    )
    return [tf.cast(gradient, op.inputs[0].dtype) for gradient in gradients]


def _derivatives_of_lrn_grad_grad(
    inputs: Sequence[tf.Tensor],
    output_gradients: Sequence[tf.Tensor],
    depth_radius: int,
    bias: float,
    alpha: float,
    beta: float,
) -> list[tf.Tensor]:
    """The gradients of LRNGradGrad with respect to its inputs u, dy, x and y.

    In the notation of cc/core/formulas.h, with W(t)_j the window sum of t and
    c = 2 alpha beta, LRNGrad is the transpose of a linear map:

        sum_k u_k dx_k = sum_j dy_j H_j,  H = u norm^-beta - c y P / norm,  P = W(x u)

    LRNGradGrad's outputs are the derivatives of this by dy, x and y. So, for upstream
    gradients g_dy, g_x and g_y, the function to differentiate here is its derivative
    in the direction (g_dy, g_x, g_y), with Q = W(x g_x) and R = W(u g_x):

        sum_j g_dy_j H_j + dy_j K_j,
        K = (2 alpha Q (c y P / norm - beta u norm^-beta) - c (y R + g_y P)) / norm

    The derivatives by P, Q, R and norm propagate to x and u through window sums,
    since k is in W(j) if and only if j is in W(k). Everything is written in
    TensorFlow's ops, so that any outer tape or accumulator can take the next
    derivative. A tape in here would find no gradient under an accumulator or in the
    gradient of a loop. Where g_dy_j or dy_j is 0, its terms contribute nothing.
    """
    u, dy, x, y = inputs
    g_dy, g_x, g_y = output_gradients
    c = 2 * alpha * beta

    def window_sums(values: tf.Tensor) -> tf.Tensor:
        return _window_sums(values, depth_radius)

    def h_by_norm(
        norm: tf.Tensor, p: tf.Tensor, u: tf.Tensor, y: tf.Tensor
    ) -> tf.Tensor:
        """H's derivative by norm."""
        return (c * y * p / norm - beta * u * norm**-beta) / norm

    def derivatives_of_h(
        norm: tf.Tensor, p: tf.Tensor, u: tf.Tensor, y: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """H's derivatives by u, y, P and norm."""
        by_norm = h_by_norm(norm, p, u, y)
        return norm**-beta, -c * p / norm, -c * y / norm, by_norm

    def derivatives_of_k(
        norm: tf.Tensor,
        p: tf.Tensor,
        u: tf.Tensor,
        y: tf.Tensor,
        q: tf.Tensor,
        r: tf.Tensor,
        g_y: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        """K's derivatives by u, y, P, norm, Q and R."""
        power = norm**-beta
        by_u = -c * q * power / norm
        by_y = c * (2 * alpha * q * p / norm - r) / norm
        by_p = c * (2 * alpha * q * y / norm - g_y) / norm
        of_q = 2 * alpha * q * (beta * (beta + 1) * u * power - 2 * c * y * p / norm)
        # Two divisions: the square of a norm may leave float32's range.
        by_norm = (of_q + c * (y * r + g_y * p)) / norm / norm
        by_q = 2 * alpha * h_by_norm(norm, p, u, y)
        return by_u, by_y, by_p, by_norm, by_q, -c * y / norm

    norm = bias + alpha * window_sums(x * x)
    p, q, r = window_sums(x * u), window_sums(x * g_x), window_sums(u * g_x)
    weighted_h = _weighted(g_dy, derivatives_of_h, norm, p, u, y)
    weighted_k = _weighted(dy, derivatives_of_k, norm, p, u, y, q, r, g_y)
    by_u, by_y, by_p, by_norm = map(tf.add, weighted_h, weighted_k[:4])
    by_q, by_r = weighted_k[4:]
    over_p = window_sums(by_p)
    by_u += x * over_p + g_x * window_sums(by_r)
    by_x = 2 * alpha * x * window_sums(by_norm) + u * over_p + g_x * window_sums(by_q)
    # The sum is linear in dy: this is K.
    by_dy = 2 * alpha * q * h_by_norm(norm, p, u, y) - c * (y * r + g_y * p) / norm
    return [by_u, by_dy, by_x, by_y]


def _widened(tensors: Iterable[tf.Tensor]) -> list[tf.Tensor]:
    """16-bit types as float32, the others as they are."""
    return [t if t.dtype == tf.float64 else tf.cast(t, tf.float32) for t in tensors]


def _weighted(
    weight: tf.Tensor,
    function: Callable[..., tuple[tf.Tensor, ...]],
    *operands: tf.Tensor,
) -> list[tf.Tensor]:
    """weight times each of the function's values. Where the weight is 0 and one of
    the values is infinite or NaN, the products and their derivatives are 0. (Where
    only a derivative is infinite or NaN, the result's derivative is NaN.)"""
    finite = [tf.math.is_finite(value) for value in function(*operands)]
    unusable = tf.equal(weight, 0) & ~tf.reduce_all(finite, axis=0)
    # Inside as well: the unselected branch's derivative would be 0 times infinity.
    ones, zeros = tf.ones_like(weight), tf.zeros_like(weight)
    values = function(*(tf.where(unusable, ones, operand) for operand in operands))
    return [tf.where(unusable, zeros, weight * value) for value in values]


def _window_sums(values: tf.Tensor, radius: int) -> tf.Tensor:
    """sum_{k in W(j)} values_k along the last dimension.

    By doubling: a window is assembled from sums of 1, 2, 4 ... values, each a tensor
    of the size of `values` for any radius. Nothing is multiplied: a matrix product
    or a convolution would round to TF32 on a GPU, and multiplying by 0 would carry a
    NaN out of its window.
    """
    channels = values.shape[-1]
    if channels is not None:
        radius = min(radius, max(channels - 1, 0))
    ahead = _sums_of_next(values, radius + 1, 1)
    if radius == 0:
        return ahead
    return ahead + _shifted(_sums_of_next(values, radius, -1), -1)


def _sums_of_next(values: tf.Tensor, count: int, step: int) -> tf.Tensor:
    """The sum of `count` values from each position on; step: 1, or -1 for backwards."""
    total, summed = None, 0
    span, sums = 1, values
    while True:
        if count & span:
            part = _shifted(sums, step * summed) if summed else sums
            total = part if total is None else total + part
            summed += span
        if 2 * span > count:
            return total
        sums = sums + _shifted(sums, step * span)
        span *= 2


def _shifted(values: tf.Tensor, places: int) -> tf.Tensor:
    """values_{j + places} at j, and 0 where there is none.

    By a roll and a selection: the gradients of padding and slicing have sizes that
    XLA cannot compile if they depend on values.
    """
    shape = tf.shape(values)  # 32-bit: XLA cannot broadcast to 64-bit sizes.
    channels = tf.cast(shape[-1], tf.int64)
    distance = tf.constant(places, tf.int64)
    source = tf.range(channels) + distance
    exists = (source >= 0) & (source < channels)
    # Axis 3, not -1: tf.vectorized_map takes a negative axis for another one.
    rolled = tf.roll(values, -tf.clip_by_value(distance, -channels, channels), 3)
    return tf.where(tf.broadcast_to(exists, shape), rolled, tf.zeros_like(values))


def _attributes(op: tf.Operation) -> dict[str, Any]:
    attributes = {}
    for name in _ATTRIBUTES:
        try:
            attributes[name] = op.get_attr(name)
        except ValueError:
            raise ValueError(
                f"the gradient of op type {op.type} ({op.name}) is registered as "
                f"LRN's, but the op has no attribute {name!r}; it needs "
                f"{', '.join(_ATTRIBUTES)}"
            ) from None
    return attributes


def register_lrn_gradient(op_type: str) -> None:
    """Makes `lrn_grad`, without `output_image`, the gradient of an op type that
    computes LRN.

    The op must have one input and one output, both of shape `[batch, height, width,
    channels]`, and the attributes `depth_radius` (int), `bias`, `alpha` and `beta`
    (float), with the same meaning as in `lrn`. `op_type` may also be a name that is
    only used with `tf.Graph.gradient_override_map`.

    Args:
      op_type: The op's registered name, such as "MyLRN".

    Raises:
      ValueError: a registered op of that name lacks one of the attributes, or does
        not have one input and one output.
      KeyError: `op_type` already has a gradient.
    """
    definition = op_def_registry.get(op_type)
    if definition is not None:
        given = {attribute.name for attribute in definition.attr}
        missing = [name for name in _ATTRIBUTES if name not in given]
        if missing:
            raise ValueError(
                f"op type {op_type} has no attribute {', '.join(missing)}; LRN's "
                f"gradient needs {', '.join(_ATTRIBUTES)}"
            )
        if len(definition.input_arg) != 1 or len(definition.output_arg) != 1:
            raise ValueError(
                f"op type {op_type} has {len(definition.input_arg)} inputs and "
                f"{len(definition.output_arg)} outputs; LRN has one of each"
            )
    tf.RegisterGradient(op_type)(_lrn_gradient)
