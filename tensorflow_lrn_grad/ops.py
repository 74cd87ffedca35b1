"""The ops as Python functions: `lrn` and `lrn_grad`.

They take the arguments of `tf.nn.lrn` and `tf.raw_ops.LRNGrad`, in the same order
and with the same defaults. `lrn_grad` does without `output_image`, too.
"""

from __future__ import annotations

import numbers
import reprlib
import struct
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.autograph.impl import api as autograph

from tensorflow_lrn_grad._load import library, native

_TYPES = (tf.float16, tf.bfloat16, tf.float32, tf.float64)

# What TensorFlow raises for wrong arguments.
_REJECTIONS = (
    tf.errors.InvalidArgumentError,
    OverflowError,
    TypeError,
    ValueError,
)

# tf.autograph.experimental.do_not_convert without its wrapper, which costs 2 us a call.
_not_converted = autograph.autograph_artifact


@_not_converted
def lrn(
    input: Any,
    depth_radius: int | None = 5,
    bias: float | None = 1.0,
    alpha: float | None = 1.0,
    beta: float | None = 0.5,
    name: str | None = None,
) -> tf.Tensor:
    """Local Response Normalization over the channels of `input`.

    For C channels and the windows W(j) = {k : 0 <= k < C, |k - j| <= depth_radius}:

        norm[j]   = bias + alpha * sum(input[k] ** 2 for k in W(j))
        output[j] = input[j] * norm[j] ** -beta

    From Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep
    convolutional neural networks" (2012), section 3.3, with
    n = 2 * depth_radius + 1. `lrn_grad` computes the gradient.

    Args:
      input: A `Tensor` of shape `[batch, height, width, channels]` and type `half`,
        `bfloat16`, `float32` or `float64`. 16-bit types are computed in float32
        and rounded once.
      depth_radius: Half-width of the window of channels; 0 or more. It may exceed
        the number of channels.
      bias: Any finite number.
      alpha: Any finite number.
      beta: Any finite number.
      name: A name for the operation (optional).

    An `input` that is not a tensor is converted to float32, except that a NumPy
    array of one of the types above keeps its type. An attribute that is None takes
    its default.

    Returns:
      A `Tensor` with the shape and type of `input`.

    Raises:
      tf.errors.InvalidArgumentError: `input` does not have 4 dimensions,
        `depth_radius` is negative, or `bias`, `alpha` or `beta` is NaN or infinite.
        While a graph is being built, these attributes, and a shape if it is known,
        raise ValueError instead.
      TypeError: `input` has another type or cannot be converted to a tensor,
        `depth_radius` is not a whole number, or another attribute is not a number.
      ValueError: `depth_radius` does not fit into 64 bits, or another attribute is
        finite but too large for float32.
    """
    return _call(
        library.tflrn_lrn, ("input",), (input,), depth_radius, bias, alpha, beta, name
    )


@_not_converted
def lrn_grad(
    input_grads: Any,
    input_image: Any,
    output_image: Any = None,
    depth_radius: int | None = 5,
    bias: float | None = 1.0,
    alpha: float | None = 1.0,
    beta: float | None = 0.5,
    name: str | None = None,
) -> tf.Tensor:
    """The gradient of Local Response Normalization with respect to its input.

    With dy = `input_grads`, x = `input_image`, y = `output_image`, and W and norm as
    in `lrn`:

        dx[k] = dy[k] * norm[k] ** -beta
                - 2 * alpha * beta * x[k]
                  * sum(dy[j] * y[j] / norm[j] for j in W(k))

    This is the transposed Jacobian of `lrn` applied to dy, in terms of the given y.
    Where dy[j] is 0, its terms are 0, even if norm[j] is 0 or NaN. A drop-in
    replacement for `tf.raw_ops.LRNGrad`.

    Args:
      input_grads: A `Tensor` of shape `[batch, height, width, channels]` and type
        `half`, `bfloat16`, `float32` or `float64`: the gradient with respect to
        LRN's output.
      input_image: LRN's input, with the shape and type of `input_grads`.
      output_image: LRN's output, with the shape and type of `input_grads`. It is
        not recomputed. If None, y[j] = x[j] * norm[j] ** -beta, as in `lrn`, but not
        rounded to the type: faster, as there is one tensor less to read.
      depth_radius: Half-width of the window of channels; 0 or more.
      bias: Any finite number.
      alpha: Any finite number.
      beta: Any finite number.
      name: A name for the operation (optional).

    An input that is not a tensor is converted to the type of those that are. If none
    is, all are converted to one type, chosen as in `lrn`. An attribute that is None
    takes its default.

    Returns:
      A `Tensor` with the shape and type of the inputs.

    Raises:
      tf.errors.InvalidArgumentError: an input does not have 4 dimensions, the shapes
        differ, `depth_radius` is negative, or `bias`, `alpha` or `beta` is NaN or
        infinite. While a graph is being built, these attributes, and shapes if they
        are known, raise ValueError instead.
      TypeError: the types of the inputs differ or are not one of those above, an
        input cannot be converted to a tensor, `depth_radius` is not a whole number,
        or another attribute is not a number.
      ValueError: `depth_radius` does not fit into 64 bits, or another attribute is
        finite but too large for float32.
    """
    names = "input_grads", "input_image", "output_image"
    # The usual call, without the work of _call: for one row of 64, it takes 0.99 of the
    # stock op's time, and 1.04 through _call (benchmarks/run.py --only small).
    if (
        isinstance(input_grads, tf.Tensor)
        and isinstance(input_image, tf.Tensor)
        and isinstance(output_image, tf.Tensor)
        and _need_no_conversion(depth_radius, bias, alpha, beta)
    ):
        try:
            return library.tflrn_lrn_grad(
                input_grads,
                input_image,
                output_image,
                depth_radius,
                bias,
                alpha,
                beta,
                name,
            )
        except _REJECTIONS:
            inputs = input_grads, input_image, output_image
            _explain_rejection(names, inputs, bias, alpha, beta)
            raise
    if output_image is None:
        op, inputs = library.tflrn_lrn_grad_from_input, (input_grads, input_image)
    else:
        op, inputs = library.tflrn_lrn_grad, (input_grads, input_image, output_image)
    return _call(op, names, inputs, depth_radius, bias, alpha, beta, name)


def check_attributes(depth_radius: int, bias: float, alpha: float, beta: float) -> None:
    """Raises for attributes that `lrn` would reject, without running an op.

    Raises:
      TypeError: `depth_radius` is not a whole number, or another attribute is not a
        number.
      ValueError: an attribute has a value that `lrn` rejects.
    """
    radius = _radius(depth_radius)
    floats = {"bias": bias, "alpha": alpha, "beta": beta}
    _check_floats(floats)
    error = native.tflrn_params_error(radius, *map(float, floats.values()))
    if error:
        raise ValueError(error.decode())


def sizes(tensor: tf.Tensor) -> tf.Tensor:
    """tf.shape, for a reshape that XLA compiles.

    XLA rejects 64-bit sizes that depend on values. Known ones may need 64 bits.
    """
    known = tensor.shape.is_fully_defined()
    return tf.shape(tensor, tf.int64 if known else tf.int32)


def _call(
    op: Callable[..., tf.Tensor],
    names: Sequence[str],
    inputs: Sequence[Any],
    depth_radius: int | None,
    bias: float | None,
    alpha: float | None,
    beta: float | None,
    name: str | None,
) -> tf.Tensor:
    """Calls the wrapper of an op whose inputs all have the same type; `names` begins
    with theirs."""
    for value in inputs:
        if not isinstance(value, tf.Tensor):
            inputs = _convert(names, inputs)
            break
    try:
        if not _need_no_conversion(depth_radius, bias, alpha, beta):
            depth_radius = None if depth_radius is None else _radius(depth_radius)
            # TensorFlow itself takes 10 us to convert a number to a float.
            bias, alpha, beta = map(_as_float, (bias, alpha, beta))
        return op(*inputs, depth_radius, bias, alpha, beta, name)
    except _REJECTIONS:
        _explain_rejection(names, inputs, bias, alpha, beta)
        raise


def _explain_rejection(
    names: Sequence[str],
    inputs: Sequence[tf.Tensor],
    bias: Any,
    alpha: Any,
    beta: Any,
) -> None:
    """Raises where TensorFlow's own message may lack the argument's name or value."""
    _check_types(names, inputs)
    floats = {"bias": bias, "alpha": alpha, "beta": beta}
    _check_floats({k: v for k, v in floats.items() if v is not None})


def _need_no_conversion(depth_radius: Any, bias: Any, alpha: Any, beta: Any) -> bool:
    return (
        type(depth_radius) is int
        and 0 <= depth_radius < 2**63
        and type(bias) is type(alpha) is type(beta) is float
    )


def _as_float(value: Any) -> Any:
    return float(value) if isinstance(value, numbers.Real) else value


def _radius(value: Any) -> int:
    """The integer. TensorFlow would drop a fraction, or bits above the 64th."""
    try:
        radius = int(value)
        is_whole = bool(radius == value)  # Not so for a string.
    except (OverflowError, TypeError, ValueError):
        is_whole = False
    if not is_whole:
        raise _wrong_attribute("depth_radius", "an integer", value)
    if not -(2**63) <= radius < 2**63:
        raise ValueError(
            f"depth_radius must fit into 64 bits, but is {reprlib.repr(value)}"
        )
    return radius


def _wrong_attribute(name: str, what: str, value: Any) -> TypeError:
    hint = ""
    if tf.is_symbolic_tensor(value):
        hint = (
            ", whose value is not known while a graph is built: pass a Python number, "
            "and not through an argument of the tf.function"
        )
    return TypeError(f"{name} must be {what}, but is {reprlib.repr(value)}{hint}")


def _check_floats(attributes: dict[str, Any]) -> None:
    """Raises if a value is not a number, or is finite but too large for float32."""
    for name, value in attributes.items():
        if not isinstance(value, numbers.Real):
            raise _wrong_attribute(name, "a number", value)
        try:
            struct.pack("<f", float(value))  # Native "f" gives infinity instead.
        except OverflowError:
            raise ValueError(
                f"{name} must fit into a float32, but is {reprlib.repr(value)}"
            ) from None


def _convert(names: Sequence[str], inputs: Sequence[Any]) -> list[tf.Tensor]:
    """Converts to tensors, of one type where the values leave it open."""
    hint = _hint(inputs)
    converted = []
    for name, value in zip(names, inputs, strict=False):
        dtype = _dtype(value)
        # As a float, a complex number would lose its imaginary part.
        may_be_float = dtype is None or not dtype.is_complex
        try:
            converted.append(
                tf.convert_to_tensor(value, dtype_hint=hint if may_be_float else None)
            )
        except (TypeError, ValueError) as error:
            reason = textwrap.shorten(str(error), 200, placeholder="...")
            raise TypeError(
                f"{name}, of type {type(value).__name__}, cannot be converted to a "
                f"tensor: {reason}"
            ) from None
    return converted


def _hint(values: Iterable[Any]) -> tf.DType:
    """The type for values that are not tensors: that of the first tensor, else that
    of the first array, else float32."""
    tensors, others = [], []
    for value in values:
        dtype = _dtype(value)
        if dtype in _TYPES:
            fixed = tf.is_tensor(value) or hasattr(value, "__tf_tensor__")
            (tensors if fixed else others).append(dtype)
    return [*tensors, *others, tf.float32][0]


def _dtype(value: Any) -> tf.DType | None:
    """The value's type, if it has one that TensorFlow knows."""
    try:
        return tf.as_dtype(value.dtype).base_dtype
    except (AttributeError, TypeError):
        return None


def _check_types(names: Sequence[str], inputs: Sequence[tf.Tensor]) -> None:
    """Raises a TypeError that names the argument, for a wrong type."""
    first_name, first = names[0], inputs[0]
    for name, value in zip(names, inputs, strict=False):
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
