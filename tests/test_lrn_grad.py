"""tlg.lrn_grad against the oracle."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from cases import case_id, oracle_cases, shape_for, values
from oracle import (
    BFLOAT16,
    DTYPES,
    FLOAT32,
    HALF,
    Params,
    assert_lrn_grad,
    lrn,
    window_sums,
)

import tensorflow_lrn_grad as tlg


@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
@pytest.mark.parametrize("channels, p", oracle_cases(), ids=case_id)
@pytest.mark.parametrize("y_is_given", [True, False], ids=["y", "no_y"])
def test_oracle(
    device: str,
    rng: np.random.Generator,
    dtype: np.dtype,
    channels: int,
    p: Params,
    y_is_given: bool,
) -> None:
    """An output_image that is given is unrelated to input_image here, but used."""
    dy, x, y = (values(rng, shape_for(channels), dtype) for _ in range(3))
    y = y if y_is_given else None
    dx = tlg.lrn_grad(dy, x, y, **p.attributes()).numpy()
    # With a negative alpha, some norms cancel; otherwise all terms have one sign.
    assert_lrn_grad(dx, dy, x, y, p, least_compared=0.9 if p.alpha < 0 else 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_every_mode(
    device: str, run: Callable, rng: np.random.Generator, dtype: np.dtype
) -> None:
    p = Params(2, 2, 0.5, 0.75)
    dy, x, y = (values(rng, (2, 3, 4, 10), dtype) for _ in range(3))
    dx = run(lambda *t: tlg.lrn_grad(*t, **p.attributes()), dy, x, y)
    assert_lrn_grad(dx, dy, x, y, p)
    dx = run(lambda *t: tlg.lrn_grad(*t, **p.attributes()), dy, x)
    assert_lrn_grad(dx, dy, x, None, p)


@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_of_lrn_s_own_output(
    device: str, rng: np.random.Generator, dtype: np.dtype
) -> None:
    p = Params(2, 1, 1, 0.75)
    dy, x = (values(rng, (2, 3, 4, 32), dtype) for _ in range(2))
    y = lrn(x, p).astype(dtype)
    dx = tlg.lrn_grad(dy, x, y, **p.attributes()).numpy()
    assert_lrn_grad(dx, dy, x, y, p)


def test_defaults_are_those_of_tensorflow(rng: np.random.Generator) -> None:
    dy, x, y = (values(rng, (1, 2, 3, 20), FLOAT32) for _ in range(3))
    stock = tf.raw_ops.LRNGrad(input_grads=dy, input_image=x, output_image=y)
    for dx in (tlg.lrn_grad(dy, x, y), stock):
        assert_lrn_grad(dx.numpy(), dy, x, y, Params(5, 1, 1, 0.5))
    assert_lrn_grad(tlg.lrn_grad(dy, x).numpy(), dy, x, None, Params(5, 1, 1, 0.5))


def test_attributes_by_position(rng: np.random.Generator) -> None:
    dy, x, y = (values(rng, (1, 2, 3, 20), FLOAT32) for _ in range(3))
    for output_image in (y, None):
        dx = tlg.lrn_grad(dy, x, output_image, 3, 1.5, 0.25, 0.75).numpy()
        assert_lrn_grad(dx, dy, x, output_image, Params(3, 1.5, 0.25, 0.75))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, list])
@pytest.mark.parametrize("tensor_dtype", [HALF, FLOAT32, np.float64], ids=case_id)
@pytest.mark.parametrize("of_tensor", [tf.constant, tf.Variable])
@pytest.mark.parametrize(
    "inputs, place", [(3, 0), (3, 1), (3, 2), (2, 0), (2, 1)], ids=str
)
def test_arrays_take_the_type_of_tensors(
    inputs: int, place: int, of_tensor: Callable, tensor_dtype: np.dtype, dtype: type
) -> None:
    """In any position, as with the stock op."""
    ones = np.ones((1, 1, 2, 5))
    tensor = of_tensor(ones.astype(tensor_dtype))
    images = [tensor] * inputs
    images[place] = ones.tolist() if dtype is list else ones.astype(dtype)
    dx = tlg.lrn_grad(*images)
    assert dx.dtype == tensor_dtype
    np.testing.assert_array_equal(dx, tlg.lrn_grad(*[tensor] * inputs))


def test_arrays_take_the_type_of_the_first() -> None:
    ones = np.ones((1, 1, 2, 5))
    assert tlg.lrn_grad(ones.astype(int), ones, ones.astype(FLOAT32)).dtype == (
        tf.float64
    )


def test_arrays_take_the_type_of_a_keras_variable() -> None:
    keras = pytest.importorskip("keras")
    ones = np.ones((1, 1, 2, 5))
    variable = keras.Variable(ones, dtype="float32")
    assert tlg.lrn_grad(ones, variable, variable).dtype == tf.float32


def test_arrays_take_the_type_of_what_makes_itself_a_tensor() -> None:
    """By TensorFlow's protocol: it is not a tensor, but its type is fixed."""

    class Image:
        dtype = tf.float32
        shape = tf.TensorShape([1, 1, 2, 5])

        def __tf_tensor__(self, dtype: object = None, name: object = None) -> tf.Tensor:
            return tf.ones(self.shape)

    ones = np.ones((1, 1, 2, 5))
    assert tlg.lrn_grad(ones, Image(), ones).dtype == tf.float32


def test_arrays_take_the_type_of_a_reference() -> None:
    """TensorFlow 1 variables have reference types of their own."""
    ones = np.ones((1, 1, 2, 5))
    with tf.Graph().as_default():
        variable = tf.compat.v1.Variable(ones.astype(FLOAT32), use_resource=False)
        assert variable.dtype != tf.float32
        assert tlg.lrn_grad(ones, variable, ones).dtype == tf.float32


def test_name_is_the_operation_s() -> None:
    with tf.Graph().as_default():
        x = tf.compat.v1.placeholder(tf.float32, [1, 1, 1, 4])
        assert tlg.lrn_grad(x, x, x, name="norm1_grad").op.name == "norm1_grad"
        assert tlg.lrn_grad(x, x, name="norm2_grad").op.name == "norm2_grad"


@pytest.mark.parametrize("kind", [int, np.float32, np.int64])
def test_attributes_of_other_kinds(rng: np.random.Generator, kind: type) -> None:
    x = rng.normal(size=(1, 1, 2, 9)).astype(np.float32)
    np.testing.assert_array_equal(
        tlg.lrn_grad(x, x, x, 2, kind(2), kind(1), kind(1)),
        tlg.lrn_grad(x, x, x, 2, 2.0, 1.0, 1.0),
    )


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e3, 1e9])
@pytest.mark.parametrize("beta", [0.5, 0.75, 0.3, -0.5])
def test_scales_far_from_one(
    device: str, rng: np.random.Generator, scale: float, beta: float
) -> None:
    """Norms from 1e-18 to 1e18: a power's error must not grow with its logarithm."""
    p = Params(5, 0, 1, beta)
    dy, x = (rng.normal(size=(4, 4, 4, 24)).astype(np.float32) for _ in range(2))
    x *= np.float32(scale)
    for y in (lrn(x, p).astype(np.float32), None):
        dx = tlg.lrn_grad(dy, x, y, **p.attributes()).numpy()
        assert_lrn_grad(dx, dy, x, y, p, least_compared=1)


@pytest.mark.parametrize("beta", [1e-30, 2.5, 3, 10, -1, -2, -3.7])
def test_unusual_powers(device: str, rng: np.random.Generator, beta: float) -> None:
    dy, x, y = (rng.normal(size=(2, 4, 4, 24)).astype(np.float32) for _ in range(3))
    for p in (Params(2, 2, 0.5, beta), Params(2, -20, 0.01, beta)):
        for output_image in (y, None):
            dx = tlg.lrn_grad(dy, x, output_image, **p.attributes()).numpy()
            assert_lrn_grad(dx, dy, x, output_image, p)


@pytest.mark.parametrize("radius", [5, 100, 2**30, 2**31 - 2, 2**31, 2**63 - 1])
def test_radius_past_the_row(
    device: str, rng: np.random.Generator, radius: int
) -> None:
    """All radii of channels - 1 or more give the same, up to the largest int64."""
    dy, x, y = (values(rng, (2, 1, 3, 6), FLOAT32) for _ in range(3))
    for output_image in (y, None):
        np.testing.assert_array_equal(
            tlg.lrn_grad(dy, x, output_image, depth_radius=radius),
            tlg.lrn_grad(dy, x, output_image, depth_radius=5),
        )


def test_large_values_leave_their_neighbours_alone(device: str) -> None:
    """A window sum that adds and later subtracts 1e12 loses the 1 beside it."""
    p = Params(2, 0, 1, 0.5)
    x = np.ones((1, 1, 4, 200), np.float32)
    x[..., 20::40] = 1e6
    dy, y = np.ones_like(x), np.where(x > 1, np.float32(1e10), np.float32(1))
    far = window_sums((x > 1).astype(np.float32), 2 * p.depth_radius) == 0
    far[..., :4] = far[..., -4:] = False  # their windows are clipped
    assert far.mean() > 0.7
    for output_image in (y, None):
        dx = tlg.lrn_grad(dy, x, output_image, **p.attributes()).numpy()
        np.testing.assert_array_equal(dx[far], dx[0, 0, 0, 40])
        assert_lrn_grad(dx, dy, x, output_image, p, least_compared=1)


@pytest.mark.parametrize("beta", [0.5, 0.75])
def test_half_is_rounded_once(
    device: str, rng: np.random.Generator, beta: float
) -> None:
    """The allowed error leaves one half nearly everywhere: float64 results rounded to
    half are the same, except for a few near a rounding boundary."""
    p = Params(5, 2, 1e-4, beta)
    dy, x, y = (rng.normal(size=(8, 8, 8, 64)).astype(HALF) for _ in range(3))
    for inputs in ((dy, x, y), (dy, x)):
        got = tlg.lrn_grad(*inputs, **p.attributes()).numpy()
        wide = (a.astype(np.float64) for a in inputs)
        exact = tlg.lrn_grad(*wide, **p.attributes()).numpy().astype(HALF)
        # float32's error of 20 eps spans 20 * 2^-23 / 2^-10 = 0.2 % of half's steps.
        assert (got == exact).mean() > 0.99
        assert_lrn_grad(got, *(*inputs, None)[:3], p, least_compared=1)


@pytest.mark.parametrize("dtype", [HALF, BFLOAT16], ids=case_id)
@pytest.mark.parametrize("sign", [1, -1])
def test_ties_are_rounded_to_even(device: str, sign: int, dtype: np.dtype) -> None:
    """With norms of 1, dx = dy + half a step: exact in float32, a tie in the type."""
    step = float(ml_dtypes.finfo(dtype).eps)
    p = Params(1, 0.5, 0.25, 0.5)
    dy = np.ones((1, 1, round(1 / step), 2))
    dy[..., 0] += np.arange(dy.shape[2]) * step
    y = np.zeros_like(dy)
    y[..., 1] = -2 * step  # 2 alpha beta is 1/4
    x, dy, y = (a.astype(dtype) for a in (np.ones_like(dy), sign * dy, y * sign))
    # Channel 1 has dy = 1, so that the sum is y of channel 1 in both channels.
    dy[..., 1] = 1
    dx = tlg.lrn_grad(dy, x, y, **p.attributes()).numpy()
    exact = dy.astype(np.float32) + np.float32(sign * step / 2)
    np.testing.assert_array_equal(dx, exact.astype(dtype))


def test_enough_rows_for_all_threads(device: str, rng: np.random.Generator) -> None:
    p = Params(2, 1, 0.1, 0.75)
    dy, x, y = (values(rng, (8, 55, 55, 33), FLOAT32) for _ in range(3))
    dx = tlg.lrn_grad(dy, x, y, **p.attributes()).numpy()
    assert_lrn_grad(dx, dy, x, y, p, least_compared=1)
