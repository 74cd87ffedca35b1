"""Bad input raises an ordinary exception that names the argument, in every mode.

Shapes and attributes that are known while a graph is built raise ValueError there.
Those known only at run time, and everything in eager mode, raise
InvalidArgumentError. Wrong types are rejected before any op is created.
"""

from __future__ import annotations

import contextlib
import fractions
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_lrn_grad as tlg

SHAPE = (2, 3, 4, 5)
INPUTS = ("input_grads", "input_image", "output_image")
WRONG_RANKS = [SHAPE[:rank] for rank in range(4)] + [(*SHAPE, 6)]
ERRORS = (tf.errors.InvalidArgumentError, ValueError)

each_input = pytest.mark.parametrize("name", INPUTS)


def gradient_arrays(name: str, wrong: np.ndarray) -> Iterator[list[np.ndarray]]:
    """The three inputs, with `wrong` as the one called `name`, and the first two."""
    good = np.ones(SHAPE, wrong.dtype)
    arrays = [wrong if n == name else good for n in INPUTS]
    yield arrays
    if name != INPUTS[2]:
        yield arrays[:2]


@pytest.mark.parametrize("shape", WRONG_RANKS, ids=str)
@each_input
def test_rank(device: str, run: Callable, name: str, shape: tuple) -> None:
    for arrays in gradient_arrays(name, np.ones(shape, np.float32)):
        with pytest.raises(ERRORS, match=rf"{name} must have 4 dimensions"):
            run(tlg.lrn_grad, *arrays)


@pytest.mark.parametrize("shape", WRONG_RANKS, ids=str)
def test_rank_of_lrn(device: str, run: Callable, shape: tuple) -> None:
    with pytest.raises(ERRORS, match=r"input must have 4 dimensions"):
        run(tlg.lrn, np.ones(shape, np.float32))


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("dimension", range(4))
@each_input
def test_mismatch(
    device: str, run: Callable, name: str, dimension: int, size: int
) -> None:
    """Not even 1 is broadcast. The message gives the names and both shapes."""
    shape = [*SHAPE[:dimension], size, *SHAPE[dimension + 1 :]]
    for arrays in gradient_arrays(name, np.ones(shape, np.float32)):
        with pytest.raises(ERRORS, match=r"must have the shape of") as caught:
            run(tlg.lrn_grad, *arrays)
        message = str(caught.value)
        assert name in message
        assert "[2,3,4,5]" in message
        assert f"[{','.join(map(str, shape))}]" in message


def test_mismatch_of_unknown_parts_is_found_when_the_graph_is_built() -> None:
    with tf.Graph().as_default():
        dy = tf.compat.v1.placeholder(tf.float32, [2, None, None, None])
        x = tf.compat.v1.placeholder(tf.float32)
        y = tf.compat.v1.placeholder(tf.float32, [3, None, None, None])
        with pytest.raises(ValueError, match="output_image"):
            tlg.lrn_grad(dy, x, y)
        with pytest.raises(ValueError, match="input_image"):
            tlg.lrn_grad(dy, y)


WRONG_TYPES = (tf.int32, tf.int64, tf.uint8, tf.bool, tf.complex64, tf.string)


def tensor(dtype: tf.DType) -> tf.Tensor:
    text = tf.constant("1", shape=SHAPE)
    return text if dtype == tf.string else tf.cast(tf.ones(SHAPE), dtype)


@pytest.mark.parametrize("in_graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("dtype", WRONG_TYPES, ids=lambda d: d.name)
@each_input
def test_type(name: str, dtype: tf.DType, in_graph: bool) -> None:
    def call() -> None:
        tensors = [tensor(dtype if n == name else tf.float32) for n in INPUTS]
        types = "of type float16, bfloat16, float32, float64"
        with pytest.raises(TypeError, match=rf"^{name} .*{types}.* is {dtype.name}$"):
            tlg.lrn_grad(*tensors)
        if name != INPUTS[2]:
            with pytest.raises(TypeError, match=rf"^{name} .*{types}.*{dtype.name}$"):
                tlg.lrn_grad(*tensors[:2])
        with pytest.raises(TypeError, match=rf"^input .*{types}.* is {dtype.name}$"):
            tlg.lrn(tensor(dtype))

    if in_graph:
        with tf.Graph().as_default():
            call()
    else:
        call()


@pytest.mark.parametrize("other", [tf.half, tf.bfloat16, tf.float64])
@each_input
def test_types_that_differ(run: Callable, name: str, other: tf.DType) -> None:
    """The first input determines the type of the others."""

    def call() -> tf.Tensor:
        tensors = [tensor(other if n == name else tf.float32) for n in INPUTS]
        return tlg.lrn_grad(*tensors)

    first, here = (other, tf.float32) if name == INPUTS[0] else (tf.float32, other)
    named = INPUTS[1] if name == INPUTS[0] else name
    with pytest.raises(
        TypeError,
        match=rf"{named} must have the type of {INPUTS[0]}, {first.name}, "
        rf"but is {here.name}\b",
    ):
        run(call)


def test_arrays_between_tensors_of_two_types_take_the_first() -> None:
    """So the message names the second tensor."""
    array = np.ones(SHAPE, np.float64)
    with pytest.raises(TypeError, match=r"^output_image must .* but is float32$"):
        tlg.lrn_grad(tensor(tf.half), array, tensor(tf.float32))


@pytest.mark.parametrize(
    "value",
    [
        None,
        object(),
        "text",
        [[1.0], [1.0, 2.0]],
        np.ones(SHAPE, np.complex64),
        tf.sparse.from_dense(tf.ones(SHAPE)),
        tf.RaggedTensor.from_tensor(tf.ones(SHAPE)),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("in_graph", [False, True], ids=["eager", "graph"])
def test_no_tensor_at_all(value: object, in_graph: bool) -> None:
    good = np.ones(SHAPE, np.float32)
    with tf.Graph().as_default() if in_graph else contextlib.nullcontext():
        with pytest.raises(TypeError, match=r"^input") as caught:
            tlg.lrn(value)
        assert len(str(caught.value)) < 300
        with pytest.raises(TypeError, match=r"^input_image"):
            tlg.lrn_grad(good, value)
        if value is not None:  # which output_image may be
            with pytest.raises(TypeError, match=r"^output_image"):
                tlg.lrn_grad(good, good, value)


def test_arrays_of_other_libraries() -> None:
    """TensorFlow does not know their dtypes."""

    class Foreign:
        dtype = "other.float32"

        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            return np.ones(SHAPE, np.float32)

    expected = tlg.lrn(np.ones(SHAPE, np.float32))
    np.testing.assert_array_equal(tlg.lrn(Foreign()), expected)
    np.testing.assert_array_equal(
        tlg.lrn_grad(Foreign(), Foreign(), expected),
        tlg.lrn_grad(tf.ones(SHAPE), tf.ones(SHAPE), expected),
    )


WRONG_ATTRIBUTES = [
    ("depth_radius", -1),
    ("depth_radius", -(2**63)),
    ("depth_radius", -(2**63) - 1),
    ("depth_radius", 2**63),
    ("depth_radius", 2**64 + 5),
    ("depth_radius", 1.5),
    ("depth_radius", fractions.Fraction(3, 2)),
    ("depth_radius", [2]),
    ("depth_radius", math.nan),
    ("depth_radius", math.inf),
    ("depth_radius", "5"),
    *(
        (name, value)
        for name in ("bias", "alpha", "beta")
        # 1e39 is finite as a Python float, and infinite as the attribute's float32.
        for value in (math.nan, math.inf, -math.inf, 1e39, 10**400, "1", 1j)
    ),
]


@pytest.mark.parametrize("name, value", WRONG_ATTRIBUTES)
def test_attribute(device: str, run: Callable, name: str, value: object) -> None:
    ones = np.ones(SHAPE, np.float32)
    errors = (*ERRORS, TypeError)
    with pytest.raises(errors, match=rf"\b{name}\b"):
        run(lambda x: tlg.lrn(x, **{name: value}), ones)
    with pytest.raises(errors, match=rf"\b{name}\b"):
        run(lambda *t: tlg.lrn_grad(*t, **{name: value}), ones, ones, ones)
    with pytest.raises(errors, match=rf"\b{name}\b"):
        run(lambda *t: tlg.lrn_grad(*t, **{name: value}), ones, ones)


@pytest.mark.parametrize("value", [1e39, -1e39, 10**400])
@pytest.mark.parametrize("name", ["bias", "alpha", "beta"])
def test_attribute_past_float32(run: Callable, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name} must fit into a float32, but is"):
        run(lambda x: tlg.lrn(x, **{name: value}), np.ones(SHAPE, np.float32))


@pytest.mark.parametrize("value", ["1", 1j, [1.0]])
@pytest.mark.parametrize("name", ["bias", "alpha", "beta"])
def test_attribute_that_is_no_number(run: Callable, name: str, value: object) -> None:
    message = re.escape(f"{name} must be a number, but is {value!r}")
    with pytest.raises(TypeError, match=message):
        run(lambda x: tlg.lrn(x, **{name: value}), np.ones(SHAPE, np.float32))


@pytest.mark.parametrize("name", ["depth_radius", "bias", "alpha", "beta"])
def test_attribute_that_is_traced(name: str) -> None:
    """A tf.function turns NumPy's numbers into tensors, too."""
    function = tf.function(lambda x, value: tlg.lrn(x, **{name: value}))
    with pytest.raises(TypeError, match=rf"{name} must be an? .* pass a Python number"):
        function(tf.ones(SHAPE), np.float32(1))


def test_defaults_are_not_blamed_for_other_errors() -> None:
    """An attribute that is None takes its default."""
    x = tf.ones(SHAPE)
    with pytest.raises(tf.errors.InvalidArgumentError, match="input must have 4"):
        tlg.lrn(tf.ones([3]), None, None, None, None)
    with pytest.raises(tf.errors.InvalidArgumentError, match="depth_radius must be 0"):
        tlg.lrn_grad(x, x, x, -(2**63), None, None, None)


@pytest.mark.parametrize(
    "value",
    [
        np.int32(2),
        np.int64(2),
        True,
        2.0,
        np.array(2.0),
        fractions.Fraction(2),
        tf.constant(2),
        tf.constant(2.0),
        tf.Variable(2),
    ],
    ids=repr,
)
def test_integers_of_other_kinds_are_radii(value: Any) -> None:
    x = np.arange(8, dtype=np.float32).reshape(1, 1, 1, 8)
    np.testing.assert_array_equal(tlg.lrn(x, value), tlg.lrn(x, int(value)))


@pytest.mark.parametrize("attribute", ["depth_radius", "bias", "alpha", "beta"])
@pytest.mark.parametrize(
    "function, inputs", [(tlg.lrn, 1), (tlg.lrn_grad, 3), (tlg.lrn_grad, 2)]
)
def test_a_graph_from_elsewhere_is_checked_as_well(
    function: Callable, inputs: int, attribute: str
) -> None:
    """An edited GraphDef, or another program's, bypasses the checks in Python."""
    with tf.Graph().as_default() as graph:
        placeholders = [tf.compat.v1.placeholder(tf.float32) for _ in range(inputs)]
        function(*placeholders, name="norm")
    definition = graph.as_graph_def()
    (node,) = (n for n in definition.node if n.name == "norm")
    if attribute == "depth_radius":
        node.attr[attribute].i = -7
    else:
        node.attr[attribute].f = math.nan
    with (
        tf.Graph().as_default(),
        pytest.raises(ValueError, match=rf"\b{attribute}\b"),
    ):
        tf.import_graph_def(definition)
