"""The ops as Python functions: `lrn` and `lrn_grad`.

They take the arguments of `tf.nn.lrn` and `tf.raw_ops.LRNGrad`, in the same order
and with the same defaults.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tensorflow_lrn_grad._load import library

_TYPES = (tf.float16, tf.bfloat16, tf.float32, tf.float64)


def lrn(
    input: Any,
    depth_radius: int = 5,
    bias: float = 1.0,
    alpha: float = 1.0,
    beta: float = 0.5,
    name: str | None = None,
) -> tf.Tensor:
    """Local Response Normalization over the channels of `input`.

    With the window of channel j, W(j) = {k : 0 <= k < C, |k - j| <= depth_radius}:

        norm[j]   = bias + alpha * sum(input[k] ** 2 for k in W(j))
        output[j] = input[j] * norm[j] ** -beta

    From Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep
    convolutional neural networks" (2012), section 3.3, where the window has
    n = 2 * depth_radius + 1 channels. Its gradient is computed by `lrn_grad`.

    Args:
      input: A `Tensor` of shape `[batch, height, width, channels]` and of type
        `half`, `bfloat16`, `float32` or `float64`. 16-bit types are computed in
        float32 and rounded once.
      depth_radius: Half-width of the window of channels; 0 or more, also more
        than there are channels.
      bias: Any finite number.
      alpha: Any finite number.
      beta: Any finite number.
      name: A name for the operation (optional).

    Returns:
      A `Tensor` of the shape and type of `input`.

    Raises:
      tf.errors.InvalidArgumentError: `input` has not 4 dimensions, `depth_radius`
        is negative, or one of `bias`, `alpha` and `beta` is NaN or infinite.
        In a graph that is being built, ValueError for an attribute, and for a
        shape that is known.
      TypeError: `input` has another type, or cannot be made a tensor, or
        `depth_radius` is no integer, or another attribute no number.
      ValueError: `depth_radius` takes more than 64 bits, or another attribute is an
        integer that is larger than any float.
    """
    return _call(
        library.tflrn_lrn, {"input": input}, depth_radius, bias, alpha, beta, name
    )


def lrn_grad(
    input_grads: Any,
    input_image: Any,
    output_image: Any,
    depth_radius: int = 5,
    bias: float = 1.0,
    alpha: float = 1.0,
    beta: float = 0.5,
    name: str | None = None,
) -> tf.Tensor:
    """The gradient of Local Response Normalization with respect to its input.

    With dy = `input_grads`, x = `input_image`, y = `output_image`, and W and norm as
    in `lrn`:

        dx[k] = dy[k] * norm[k] ** -beta
                - 2 * alpha * beta * x[k]
                  * sum(dy[j] * y[j] / norm[j] for j in W(k))

    This is the transposed Jacobian of `lrn` applied to dy, written with the given
    y. Where dy[j] is 0, the term j is 0, even if norm[j] is 0 or NaN. A drop-in for
    `tf.raw_ops.LRNGrad`.

    Args:
      input_grads: A `Tensor` of shape `[batch, height, width, channels]` and of
        type `half`, `bfloat16`, `float32` or `float64`: the gradient with respect
        to LRN's output.
      input_image: LRN's input; of the shape and type of `input_grads`.
      output_image: LRN's output, which is not computed again; of the shape and
        type of `input_grads`.
      depth_radius: Half-width of the window of channels; 0 or more.
      bias: Any finite number.
      alpha: Any finite number.
      beta: Any finite number.
      name: A name for the operation (optional).

    Returns:
      A `Tensor` of the shape and type of the inputs.

    Raises:
      tf.errors.InvalidArgumentError: an input has not 4 dimensions, the shapes
        differ, `depth_radius` is negative, or one of `bias`, `alpha` and `beta` is
        NaN or infinite. In a graph that is being built, ValueError for an
        attribute, and for shapes that are known.
      TypeError: an input has another type, or cannot be made a tensor, or
        `depth_radius` is no integer, or another attribute no number.
      ValueError: `depth_radius` takes more than 64 bits, or another attribute is an
        integer that is larger than any float.
    """
    inputs = {
        "input_grads": input_grads,
        "input_image": input_image,
        "output_image": output_image,
    }
    return _call(library.tflrn_lrn_grad, inputs, depth_radius, bias, alpha, beta, name)


def _call(
    op: Callable[..., tf.Tensor],
    inputs: dict[str, Any],
    depth_radius: int,
    bias: float,
    alpha: float,
    beta: float,
    name: str | None,
) -> tf.Tensor:
    """Calls the wrapper of an op whose inputs have one type."""
    # TensorFlow would cut off a fraction, or bits above the 64th, silently.
    try:
        radius = operator.index(depth_radius)
    except TypeError:
        raise TypeError(
            f"depth_radius must be an integer, but is {depth_radius!r}"
        ) from None
    if not -(2**63) <= radius < 2**63:
        raise ValueError(f"depth_radius must be an integer of 64 bits, but is {radius}")
    # TensorFlow would take its default.
    for argument, number in (("bias", bias), ("alpha", alpha), ("beta", beta)):
        if number is None:
            raise TypeError(f"{argument} must be a number, but is None")
    for value in inputs.values():
        if not isinstance(value, tf.Tensor):
            inputs = _convert(inputs)
            break
    try:
        return op(
            *inputs.values(),
            depth_radius=radius,
            bias=bias,
            alpha=alpha,
            beta=beta,
            name=name,
        )
    except OverflowError as error:
        raise ValueError(f"bias, alpha and beta must be finite: {error}") from None
    except (tf.errors.InvalidArgumentError, TypeError):
        # TensorFlow's own message would not name the argument in eager mode.
        _check_types(inputs)
        raise


def _convert(inputs: dict[str, Any]) -> dict[str, Any]:
    """Makes tensors; what has no type of its own takes that of the first that has."""
    hint = next(filter(None, map(_dtype, inputs.values())), None)
    converted = {}
    for name, value in inputs.items():
        try:
            converted[name] = tf.convert_to_tensor(value, dtype_hint=hint)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name} is no tensor: {error}") from error
    return converted


def _dtype(value: Any) -> tf.DType | None:
    """The type of what has one that TensorFlow knows."""
    try:
        return tf.as_dtype(value.dtype)
    except (AttributeError, TypeError):
        return None


def _check_types(inputs: dict[str, tf.Tensor]) -> None:
    """Raises TypeError, with the name of the argument, for a wrong type."""
    first_name, first = next(iter(inputs.items()))
    for name, value in inputs.items():
        if value.dtype not in _TYPES:
            raise TypeError(
                f"{name} must be of type {', '.join(t.name for t in _TYPES)}, but is "
                f"{value.dtype.name}"
            )
        if value.dtype != first.dtype:
            raise TypeError(
                f"{name} must have the type of {first_name}, {first.dtype.name}, but "
                f"is {value.dtype.name}"
            )
