"""Second and higher derivatives: LRNGradGrad, with and without y, and their gradients.

Values are checked against the oracle; higher orders, and other ways to take
derivatives, mostly against a float64 composition of TensorFlow's own ops.
"""

from __future__ import annotations

import warnings
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
    FLOAT64,
    HALF,
    Params,
    assert_close,
    lrn_grad_grad,
    lrn_grad_grad_error,
    wide,
)

import tensorflow_lrn_grad as tlg
from tensorflow_lrn_grad._load import library

P = Params(2, 1.5, 0.5, 0.75)
# Attributes are float32, which holds these numbers exactly, so float64 has the same.
EDGES = (
    P,
    Params(),
    Params(0, 1, 1, 1),
    Params(1, 2, -0.0078125, 0.375),
    Params(8, 1, 1, 2),
    Params(2**62, 1, 1, 0.5),
    Params(3, 1, 0.5, 0),
)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
edges = pytest.mark.parametrize("p", EDGES, ids=case_id)
INPUTS = ("grad_output", "input_grads", "input_image", "output_image")
# Of the ops with and without y.
input_counts = pytest.mark.parametrize("inputs", [4, 3], ids=["y", "no_y"])


def grad_grad(
    u: tf.Tensor,
    dy: tf.Tensor,
    x: tf.Tensor,
    y: tf.Tensor | None = None,
    p: Params = P,
) -> list[tf.Tensor]:
    """LRNGradGrad, with y or without, as the gradient of tlg.lrn_grad."""
    inputs = (dy, x) if y is None else (dy, x, y)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        dx = tlg.lrn_grad(dy, x, y, **p.attributes())
    return tape.gradient(dx, inputs, u)


def composed_lrn_grad(
    dy: tf.Tensor, x: tf.Tensor, y: tf.Tensor, p: Params = P
) -> tf.Tensor:
    """LRNGrad composed of TensorFlow's own ops."""
    direct, c = norm_of(x, p) ** -p.beta, 2 * p.alpha * p.beta
    return dy * direct - c * x * windows(dy * y / norm_of(x, p), p)


def composed_lrn(x: tf.Tensor, p: Params = P) -> tf.Tensor:
    """LRN composed of TensorFlow's own ops."""
    return x * norm_of(x, p) ** -p.beta


def norm_of(x: tf.Tensor, p: Params) -> tf.Tensor:
    return p.bias + p.alpha * windows(x * x, p)


def windows(t: tf.Tensor, p: Params) -> tf.Tensor:
    """Window sums as a product with a matrix of zeros and ones."""
    channel = np.arange(t.shape[-1])
    band = np.abs(channel[:, None] - channel) <= p.depth_radius
    return tf.tensordot(t, tf.constant(band, t.dtype), 1)


def operands(
    rng: np.random.Generator, count: int, shape: tuple[int, ...] = (2, 1, 2, 7)
) -> list[tf.Tensor]:
    """Unrelated float64 tensors of moderate numbers."""
    return [tf.constant(rng.normal(size=shape)) for _ in range(count)]


def assert_agree(got: tf.Tensor, expected: tf.Tensor) -> None:
    """Equal up to the float64 roundings of some hundred operations."""
    scale = float(tf.reduce_max(tf.abs(expected)))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13 * max(scale, 1))


# Values ---------------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize(("channels", "p"), oracle_cases(), ids=case_id)
def test_values(
    device: str, rng: np.random.Generator, channels: int, p: Params, dtype: np.dtype
) -> None:
    arrays = [values(rng, shape_for(channels), dtype) for _ in INPUTS]
    check(grad_grad(*map(tf.constant, arrays), p=p), arrays, p)
    *without_y, _ = arrays
    check(grad_grad(*map(tf.constant, without_y), p=p), [*without_y, None], p)


def check(results: list[tf.Tensor], arrays: list[np.ndarray | None], p: Params) -> None:
    dtype = arrays[0].dtype
    exact = lrn_grad_grad(*arrays, p, wide(dtype))
    errors = lrn_grad_grad_error(*arrays, p, dtype)
    assert len(results) == len(exact)
    for name, got, value, error in zip(
        ("d_dy", "d_x", "d_y"), results, exact, errors, strict=False
    ):
        # Where much cancels, as in norms with a negative alpha, little can be compared.
        least = 0.5 if p.alpha > 0 else 0.0
        what = f"{name} {dtype} {arrays[0].shape} {p}"
        assert_close(got.numpy(), value, error, what, least_compared=least)


def derivatives_without_the_output(
    function: Callable, u: tf.Tensor, dy: tf.Tensor, x: tf.Tensor
) -> list[tf.Tensor]:
    """function(dy, x); the derivatives of its product with u; and theirs."""
    with tf.GradientTape() as outer:
        outer.watch((u, dy, x))
        with tf.GradientTape() as inner:
            inner.watch((dy, x))
            dx = function(dy, x)
        second = inner.gradient(dx, (dy, x), u)
    return [dx, *second, *outer.gradient(second, (u, dy, x), (x, dy))]


@edges
def test_derivatives_without_the_output(
    device: str, rng: np.random.Generator, p: Params
) -> None:
    """LRNGradFromInput's are those of LRNGrad at LRN's own output."""
    inputs = operands(rng, 3)
    ours = derivatives_without_the_output(
        lambda dy, x: tlg.lrn_grad(dy, x, **p.attributes()), *inputs
    )
    composed = derivatives_without_the_output(
        lambda dy, x: composed_lrn_grad(dy, x, composed_lrn(x, p), p), *inputs
    )
    for got, expected in zip(ours, composed, strict=True):
        assert_agree(got, expected)


@pytest.mark.parametrize("dtype", [HALF, BFLOAT16, FLOAT32], ids=case_id)
def test_types_of_derivatives_without_the_output(
    device: str, rng: np.random.Generator, dtype: np.dtype
) -> None:
    """Against float64."""
    inputs = [tf.cast(t, dtype) for t in operands(rng, 3, (2, 3, 4, 33))]

    def function(dy: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return tlg.lrn_grad(dy, x, **P.attributes())

    got = derivatives_without_the_output(function, *inputs)
    exact = derivatives_without_the_output(
        function, *(tf.cast(t, tf.float64) for t in inputs)
    )
    eps = float(ml_dtypes.finfo(dtype).eps)
    for a, b in zip(got[:3], exact[:3], strict=True):
        assert a.dtype == dtype
        scale = float(tf.reduce_max(tf.abs(b)))
        np.testing.assert_allclose(
            tf.cast(a, tf.float64), b, rtol=0, atol=20 * eps * scale
        )


def test_sums_in_half_overflow_only_if_their_result_does(
    device: str, rng: np.random.Generator
) -> None:
    """The gradient by LRN's output is out of half's range; the sum is not."""
    shape = (2, 3, 4, 64)
    u, dy, x = (
        tf.constant((scale * rng.normal(size=shape)).astype(HALF))
        for scale in (1000, 1000, 100)
    )
    attributes = Params(2, 1, 1, 0.75).attributes()
    wide = [tf.cast(t, tf.float32) for t in (u, dy, x)]
    y = tlg.lrn(wide[2], **attributes)
    by_y = library.tflrn_lrn_grad_grad(*wide, y, **attributes)[2]
    assert tf.reduce_max(tf.abs(by_y)) > float(ml_dtypes.finfo(HALF).max)

    def by_x(u: tf.Tensor, dy: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            dx = tlg.lrn_grad(dy, x, **attributes)
        return tape.gradient(dx, x, u)

    exact = by_x(*wide)
    got = tf.cast(by_x(u, dy, x), tf.float32)
    scale = float(tf.reduce_max(tf.abs(exact)))
    np.testing.assert_allclose(got, exact, rtol=1e-3, atol=1e-6 * scale)


@pytest.mark.parametrize("argument", [0, 1])
def test_numerical_derivative_without_the_output(
    device: str, rng: np.random.Generator, argument: int
) -> None:
    inputs = operands(rng, 2, (1, 1, 2, 7))

    def function(t: tf.Tensor) -> tf.Tensor:
        arguments = [*inputs[:argument], t, *inputs[argument + 1 :]]
        return tlg.lrn_grad(*arguments, **P.attributes())

    theoretical, numerical = tf.test.compute_gradient(
        function, [inputs[argument]], delta=1e-5
    )
    np.testing.assert_allclose(theoretical[0], numerical[0], rtol=0, atol=1e-8)


def test_no_elements_without_the_output(device: str) -> None:
    empty = tf.zeros([2, 0, 3, 4])
    results = derivatives_without_the_output(tlg.lrn_grad, empty, empty, empty)
    assert all(result.shape == empty.shape for result in results)


@dtypes
@input_counts
def test_each_mode_gives_the_same_bits(
    device: str, run: Callable, rng: np.random.Generator, inputs: int, dtype: np.dtype
) -> None:
    arrays = [values(rng, (3, 5, 7, 33), dtype) for _ in range(inputs)]
    eager = grad_grad(*map(tf.constant, arrays))
    for index in range(len(eager)):
        other = run(lambda *t, i=index: grad_grad(*t)[i], *arrays)
        assert other.tobytes() == eager[index].numpy().tobytes()


@dtypes
@input_counts
def test_rows_are_independent(
    device: str, rng: np.random.Generator, inputs: int, dtype: np.dtype
) -> None:
    """A row gets the same bits in any part of a batch."""
    arrays = [values(rng, (97, 3, 1, 37), dtype) for _ in range(inputs)]
    whole = grad_grad(*map(tf.constant, arrays))
    for cut in (slice(0, 1), slice(5, 60), slice(96, 97)):
        part = grad_grad(*(tf.constant(a[cut]) for a in arrays))
        for a, b in zip(part, whole, strict=True):
            assert a.numpy().tobytes() == b[cut].numpy().tobytes()


@dtypes
@input_counts
@pytest.mark.parametrize("shape", [(0, 2, 3, 4), (2, 3, 0, 4), (2, 3, 4, 0)])
def test_nothing(
    device: str, shape: tuple[int, ...], inputs: int, dtype: np.dtype
) -> None:
    """The second and third derivatives of empty tensors are empty."""
    tensors = [tf.zeros(shape, dtype) for _ in range(inputs)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        results = grad_grad(*tensors)
    third = tape.gradient(results, tensors)
    for result in (*results, *third):
        assert result.shape == shape
        assert result.dtype == dtype


@dtypes
def test_a_zero_gradient_contributes_nothing(device: str, dtype: np.dtype) -> None:
    """The norm is 0 in the first channel, and the third's y is infinite."""
    x = tf.constant([[[[0, 1, 2, 3]]]], dtype)
    dy = tf.constant([[[[0, 1, 0, 2]]]], dtype)
    y = tf.constant([[[[1, 2, np.inf, 3]]]], dtype)
    ones = tf.ones_like(x)
    p = Params(0, 0, 1, 0.5)
    d_dy, d_x, d_y = map(channels, grad_grad(ones, dy, x, y, p))
    np.testing.assert_array_equal(d_x[[0, 2]], 0)
    np.testing.assert_array_equal(d_y[[0, 2]], 0)
    assert np.isfinite(d_x).all()
    assert np.isfinite(d_y).all()
    # With respect to dy itself, the formula holds.
    assert np.isnan(d_dy[0])

    with tf.GradientTape() as outer:
        outer.watch((ones, dy, x, y))
        with tf.GradientTape() as inner:
            inner.watch((ones, x, y))
            _, d_x, d_y = grad_grad(ones, dy, x, y, p)
        third = inner.gradient((d_x, d_y), (ones, x, y))
    fourth = outer.gradient(third, (ones, dy, x, y))
    for derivative in map(channels, (*third, *fourth)):
        np.testing.assert_array_equal(derivative[[0, 2]], 0)
        assert np.isfinite(derivative).all()


@dtypes
def test_a_zero_gradient_contributes_nothing_without_the_output(
    device: str, dtype: np.dtype
) -> None:
    """The norm is 0 in the first channel, and negative in the third."""
    ones = tf.ones([1, 1, 1, 4], dtype)
    dy = tf.constant([[[[0, 1, 0, 2]]]], dtype)
    for x, p in (
        ([0, 1, 2, 3], Params(0, 0, 1, 0.5)),
        ([1, 0.5, 2, 0.25], Params(0, 1, -1, 0.5)),
    ):
        image = tf.constant([[[x]]], dtype)
        with tf.GradientTape() as tape:
            tape.watch((ones, image))
            d_dy, d_x = grad_grad(ones, dy, image, p=p)
        assert np.isfinite(channels(d_dy)).tolist() == [False, True, p.bias == 0, True]
        for derivative in map(channels, (d_x, *tape.gradient(d_x, (ones, image)))):
            np.testing.assert_array_equal(derivative[[0, 2]], 0)
            assert np.isfinite(derivative).all()


@dtypes
def test_another_gradient_contributes_what_is_no_number(
    device: str, dtype: np.dtype
) -> None:
    """The norm is 0 in the first channel, but the gradient is not."""
    ones = tf.ones([1, 1, 1, 2], dtype)
    x = tf.constant([[[[0, 1]]]], dtype)
    with tf.GradientTape() as tape:
        tape.watch((ones, x))
        second = grad_grad(ones, ones, x, ones, Params(0, 0, 1, 0.5))
    for derivative in (*second, *tape.gradient(second, (ones, x))):
        assert np.isfinite(channels(derivative)).tolist() == [False, True]


def test_a_zero_gradient_contributes_nothing_to_the_third_derivative() -> None:
    """Where the norm's power is finite in float32, but its derivatives are not."""
    p = Params(1, 0, 1, 0.75)

    def third(dtype: tf.DType) -> list[np.ndarray]:
        u = tf.constant([[[[0, 0, 1, 1, 1]]]], dtype)
        dy = tf.constant([[[[0, 0, 0, 1, 1]]]], dtype)
        x = tf.constant([[[[1e-13, 1e-13, 1e-13, 1, 2]]]], dtype)
        y = tf.constant(0.1, dtype, x.shape)
        with tf.GradientTape() as tape:
            tape.watch((u, x, y))
            _, d_x, d_y = grad_grad(u, dy, x, y, p)
        return list(map(channels, tape.gradient((d_x, d_y), (u, x, y))))

    for narrow, wider in zip(third(tf.float32), third(tf.float64), strict=True):
        assert np.isfinite(wider).all()
        np.testing.assert_allclose(narrow, wider, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("scale", "g_x"), [(1e-10, 0.0), (1e-10, 1e-5), (1e10, 1.0)], ids=case_id
)
def test_third_derivative_of_extreme_norms(scale: float, g_x: float) -> None:
    """The norm is about 1e-20 or 1e20, its square outside float32's normal range."""
    p = Params(1, 0, 1, 0.5)

    def third(dtype: tf.DType) -> np.ndarray:
        x = tf.constant([[[[1, 2, 1]]]], dtype) * tf.cast(scale, dtype)
        u, y = x * 1e4 if scale < 1 else x, tf.constant(1e-6, dtype, x.shape)
        dy = tf.ones_like(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            d_dy, d_x, _ = grad_grad(u, dy, x, y, p)
            y = tf.reduce_sum(d_dy) + tf.reduce_sum(d_x) * tf.cast(g_x, dtype)
        return channels(tape.gradient(y, x))

    wider = third(tf.float64)
    assert np.isfinite(wider).all()
    np.testing.assert_allclose(
        third(tf.float32), wider, rtol=1e-4, atol=1e-5 * np.abs(wider).max()
    )


def channels(tensor: tf.Tensor) -> np.ndarray:
    """The only row of a tensor."""
    return tensor.numpy().astype(np.float64).reshape(-1)


def second_gradient(*inputs: tf.Tensor, **attributes: float) -> list[tf.Tensor]:
    """The op, with y or without."""
    from_input = library.tflrn_lrn_grad_grad_from_input
    op = from_input if len(inputs) == 3 else library.tflrn_lrn_grad_grad
    return op(*inputs, **attributes)


@input_counts
def test_bad_shapes(inputs: int) -> None:
    good = tf.ones([1, 2, 3, 4])
    for index, name in enumerate(INPUTS[:inputs]):
        for bad in (tf.ones([2, 3, 4]), tf.ones([1, 2, 3, 5]), tf.ones([])):
            tensors = [good] * inputs
            tensors[index] = bad
            # If the first one has rank 4, the others must have its shape.
            named = INPUTS[1] if index == 0 and bad.shape.rank == 4 else name
            with pytest.raises(tf.errors.InvalidArgumentError, match=named):
                second_gradient(*tensors)
            with tf.Graph().as_default(), pytest.raises(ValueError, match=named):
                second_gradient(*(tf.constant(t.numpy()) for t in tensors))


@input_counts
@pytest.mark.parametrize(
    ("attribute", "value"),
    [("depth_radius", -1), ("bias", np.nan), ("alpha", np.inf), ("beta", -np.inf)],
)
def test_bad_attributes(attribute: str, value: float, inputs: int) -> None:
    tensors = [tf.ones([1, 2, 3, 4])] * inputs
    with pytest.raises(tf.errors.InvalidArgumentError, match=attribute):
        second_gradient(*tensors, **{attribute: value})


@input_counts
def test_shape_function_merges_what_is_known(inputs: int) -> None:
    with tf.Graph().as_default():
        shapes = [[5, None, None, None], [None, 6, None, None], [None] * 3 + [8], None]
        tensors = [
            tf.compat.v1.placeholder(tf.float32, shape) for shape in shapes[:inputs]
        ]
        for output in second_gradient(*tensors):
            assert output.shape.as_list() == [5, 6, None, 8]


@input_counts
@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_a_special_value_stays_in_the_windows_of_the_third_derivative(
    device: str, rng: np.random.Generator, special: float, inputs: int
) -> None:
    """It affects neither channels past its windows nor the other end of the row."""
    tensors = operands(rng, inputs, (1, 1, 1, 24))

    def third() -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            second = grad_grad(*tensors)
        return list(map(channels, tape.gradient(second, tensors)))

    clean = third()
    for index, tensor in enumerate(tensors):
        tensors[index] = tf.concat([tensor[..., :1] + special, tensor[..., 1:]], -1)
        results = third()
        assert not np.isfinite([result[0] for result in results]).all()
        for got, expected in zip(results, clean, strict=True):
            # It reaches norms and products within 2 channels, and their sums within 4.
            np.testing.assert_array_equal(got[5:], expected[5:])
        tensors[index] = tensor


# Orders ---------------------------------------------------------------------------


@edges
def test_numerical_second_derivative(
    device: str, rng: np.random.Generator, p: Params
) -> None:
    inputs = operands(rng, 3, (1, 1, 2, 7))
    theoretical, numerical = tf.test.compute_gradient(
        lambda *t: tlg.lrn_grad(*t, **p.attributes()), inputs, delta=1e-4
    )
    assert_derivatives(theoretical, numerical)


@edges
@input_counts
def test_numerical_third_derivative(
    device: str, rng: np.random.Generator, inputs: int, p: Params
) -> None:
    tensors = operands(rng, inputs, (1, 1, 1, 7))
    for index in range(inputs - 1):
        theoretical, numerical = tf.test.compute_gradient(
            lambda *t, i=index: grad_grad(*t, p=p)[i], tensors, delta=1e-4
        )
        assert_derivatives(theoretical, numerical)


def assert_derivatives(
    theoretical: list[np.ndarray], numerical: list[np.ndarray]
) -> None:
    """Central differences err by delta^2 / 6 = 2e-9 times the derivative two orders
    higher, which here is below 1,000 times the largest one that is checked."""
    for a, b in zip(theoretical, numerical, strict=True):
        assert np.abs(a - b).max() < 2e-6 * max(1, np.abs(a).max())


def nested(
    function: Callable, x: tf.Tensor, directions: list[tf.Tensor]
) -> list[tf.Tensor]:
    """The function and its derivatives of each order along the directions."""

    def order(n: int) -> tf.Tensor:
        if n == 0:
            return function(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(order(n - 1) * directions[n - 1])
        return tape.gradient(y, x)

    return [order(n) for n in range(len(directions) + 1)]


@edges
def test_nested_tapes_to_order_four(
    device: str, rng: np.random.Generator, p: Params
) -> None:
    x, *directions = operands(rng, 5)
    ours = nested(lambda x: tlg.lrn(x, **p.attributes()), x, directions)
    composed = nested(lambda x: composed_lrn(x, p), x, directions)
    assert len(ours) == 5
    for got, expected in zip(ours, composed, strict=True):
        assert_agree(got, expected)


def test_order_four_in_every_mode(run: Callable, rng: np.random.Generator) -> None:
    """Derivatives must not need a static shape: some graphs have none."""
    x, *directions = operands(rng, 5)
    (*_, expected) = nested(lambda x: composed_lrn(x), x, directions)
    got = run(
        lambda x, *d: nested(lambda x: tlg.lrn(x, **P.attributes()), x, d)[-1],
        x.numpy(),
        *(d.numpy() for d in directions),
    )
    assert_agree(got, expected)


def while_loop(function: Callable, x: tf.Tensor) -> tf.Tensor:
    def body(step: tf.Tensor, t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return step + 1, function(t)

    return tf.while_loop(lambda step, _: step < 2, body, (tf.constant(0), x))[1]


def cond(function: Callable, x: tf.Tensor) -> tf.Tensor:
    return tf.cond(tf.reduce_sum(x) < 1e9, lambda: function(x), lambda: x)


def map_fn(function: Callable, x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.map_fn(function, tf.stack((x, 2 * x))), axis=0)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("control_flow", [while_loop, cond, map_fn])
def test_in_control_flow(
    rng: np.random.Generator, control_flow: Callable, order: int
) -> None:
    """Gradients in control flow see the tensors of another graph."""
    x, *directions = operands(rng, 1 + order)

    def derivative(lrn: Callable) -> tf.Tensor:
        function = tf.function(
            lambda x, *d: nested(lambda t: control_flow(lrn, t), x, d)[-1]
        )
        return function(x, *directions)

    ours = derivative(lambda t: tlg.lrn(t, **P.attributes()))
    assert_agree(ours, derivative(composed_lrn))


def test_window_past_an_unknown_row(run: Callable, rng: np.random.Generator) -> None:
    """The number of channels is not known when the third derivative is built."""
    p = Params(2**62, 1, 1, 0.5)
    x, *directions = operands(rng, 4)
    (*_, expected) = nested(lambda x: composed_lrn(x, p), x, directions)
    got = run(
        lambda x, *d: nested(lambda x: tlg.lrn(x, **p.attributes()), x, d)[-1],
        x.numpy(),
        *(d.numpy() for d in directions),
    )
    assert_agree(got, expected)


@edges
def test_output_image_of_its_own(
    device: str, rng: np.random.Generator, p: Params
) -> None:
    """All second and third derivatives, for a y unrelated to x."""
    u, dy, x, y, *weights = operands(rng, 7)
    results = []
    for lrn_grad in (
        lambda *t: tlg.lrn_grad(*t, **p.attributes()),
        lambda *t: composed_lrn_grad(*t, p),
    ):
        with tf.GradientTape() as outer:
            outer.watch((u, dy, x, y))
            with tf.GradientTape() as inner:
                inner.watch((dy, x, y))
                dx = lrn_grad(dy, x, y)
            second = inner.gradient(dx, (dy, x, y), u)
        third = outer.gradient(second, (u, dy, x, y), weights)
        results.append([*second, *third])
    for got, expected in zip(*results, strict=True):
        assert_agree(got, expected)


def test_a_zero_gradient_has_derivatives(device: str, rng: np.random.Generator) -> None:
    """All fourth derivatives, where half of the gradients are 0."""
    u, dy, x, y, *weights = operands(rng, 7)
    dy = tf.where(dy > 0, dy, 0)
    inputs = u, dy, x, y
    results = []
    for lrn_grad in (
        lambda *t: tlg.lrn_grad(*t, **P.attributes()),
        composed_lrn_grad,
    ):
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as middle:
                middle.watch(inputs)
                with tf.GradientTape() as inner:
                    inner.watch(inputs)
                    dx = lrn_grad(dy, x, y)
                second = inner.gradient(dx, (dy, x, y), u)
            third = middle.gradient(second, inputs, weights)
        results.append(outer.gradient(third, inputs))
    for got, expected in zip(*results, strict=True):
        assert_agree(got, expected)


@input_counts
@pytest.mark.parametrize("dtype", [HALF, BFLOAT16, FLOAT32], ids=case_id)
def test_third_derivative_in_narrow_types(
    device: str, rng: np.random.Generator, dtype: np.dtype, inputs: int
) -> None:
    """It is the float64 one, up to the roundings of float32 and of the type."""
    narrow = [tf.cast(t, dtype) for t in operands(rng, 2 * inputs - 1)]
    ours, exact = [], []
    for kind, results in ((dtype, ours), (FLOAT64, exact)):
        tensors = [tf.cast(t, kind) for t in narrow]
        given, weights = tensors[:inputs], tensors[inputs:]
        with tf.GradientTape() as tape:
            tape.watch(given)
            second = grad_grad(*given)
        results += tape.gradient(second, given, weights)
    rounding = {HALF: 2.0**-11, BFLOAT16: 2.0**-8, FLOAT32: 0}[dtype]
    for got, expected in zip(ours, exact, strict=True):
        assert got.dtype == dtype
        got, expected = tf.cast(got, tf.float64), expected.numpy()
        # Fewer than 100 roundings in float32, of the largest term.
        atol = 100 * 2.0**-24 * np.abs(expected).max() + 2.0**-25
        np.testing.assert_allclose(got, expected, rtol=rounding, atol=atol)


@edges
def test_wide_rows(device: str, rng: np.random.Generator, p: Params) -> None:
    """Longer rows than in the other tests: wide window sums are built by doubling."""
    x, *directions = operands(rng, 4, (1, 1, 1, 131))
    for radius in (p.depth_radius, 21, 64, 130):
        q = Params(radius, p.bias, p.alpha, p.beta)
        ours = nested(lambda x, q=q: tlg.lrn(x, **q.attributes()), x, directions)
        composed = nested(lambda x, q=q: composed_lrn(x, q), x, directions)
        assert_agree(ours[-1], composed[-1])


# Ways -----------------------------------------------------------------------------


@pytest.fixture
def no_slow_loop(caplog: pytest.LogCaptureFixture) -> None:
    """Fails if TensorFlow logs that it could not vectorise an op."""
    yield
    messages = [record.getMessage() for record in caplog.get_records("call")]
    assert not [message for message in messages if "while_loop" in message]


def test_jacobian(no_slow_loop: None, rng: np.random.Generator) -> None:
    (x,) = operands(rng, 1, (2, 1, 2, 5))
    jacobians = []
    for lrn in (lambda x: tlg.lrn(x, **P.attributes()), composed_lrn):
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = lrn(x)
            dx = inner.gradient(y, x)
        jacobians += [outer.jacobian(y, x), outer.jacobian(dx, x)]
    assert jacobians[0].shape == (2, 1, 2, 5) * 2
    assert_agree(jacobians[0], jacobians[2])
    assert_agree(jacobians[1], jacobians[3])


def test_batch_jacobian_of_the_second_derivative(rng: np.random.Generator) -> None:
    x, u = operands(rng, 2, (3, 1, 1, 4))
    results = []
    for lrn in (lambda x: tlg.lrn(x, **P.attributes()), composed_lrn):
        with tf.GradientTape() as outer:
            outer.watch(x)
            second = nested(lrn, x, [u, u])[-1]
        results.append(outer.batch_jacobian(second, x))
    assert_agree(*results)


def test_hessians_in_a_graph(rng: np.random.Generator) -> None:
    (x,) = operands(rng, 1, (1, 1, 2, 5))
    results = []
    for lrn in (lambda x: tlg.lrn(x, **P.attributes()), composed_lrn):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            image = tf.compat.v1.placeholder(tf.float64, x.shape)
            (hessian,) = tf.hessians(tf.reduce_sum(lrn(image) ** 2), image)
            results.append(session.run(hessian, {image: x.numpy()}))
    assert_agree(*results)


def test_forward_accumulator(device: str, rng: np.random.Generator) -> None:
    """Derivatives along v of LRN, LRNGrad and LRNGradGrad."""
    x, v, *directions = operands(rng, 5)
    for order in range(3):
        results = []
        for lrn in (lambda x: tlg.lrn(x, **P.attributes()), composed_lrn):
            with tf.autodiff.ForwardAccumulator(x, v) as accumulator:
                y = nested(lrn, x, directions[:order])[-1]
            results.append(accumulator.jvp(y))
        assert_agree(*results)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_derivatives_of_forward_derivatives(
    device: str, rng: np.random.Generator, order: int
) -> None:
    """By a tape, and by another accumulator."""
    x, v, w, *directions = operands(rng, 3 + order)

    def along_v(lrn: Callable) -> tf.Tensor:
        with tf.autodiff.ForwardAccumulator(x, v) as accumulator:
            y = nested(lrn, x, directions)[-1]
        return accumulator.jvp(y)

    results = []
    for lrn in (lambda x: tlg.lrn(x, **P.attributes()), composed_lrn):
        with tf.GradientTape() as tape:
            tape.watch(x)
            derivative = along_v(lrn)
        results.append([tape.gradient(derivative, x, w)])
        with tf.autodiff.ForwardAccumulator(x, w) as accumulator:
            derivative = along_v(lrn)
        results[-1].append(accumulator.jvp(derivative))
    for ours, composed in zip(*results, strict=True):
        assert_agree(ours, composed)


@dtypes
def test_vectorized_map(
    no_slow_loop: None, rng: np.random.Generator, dtype: np.dtype
) -> None:
    """Each call gives the bits that it gives alone, for each op."""
    stacks = [tf.constant(values(rng, (5, 2, 1, 3, 9), dtype)) for _ in INPUTS]
    shared = stacks[1][0]
    functions = (
        lambda u, dy, x, y: [tlg.lrn(x, **P.attributes())],
        lambda u, dy, x, y: [tlg.lrn_grad(dy, x, y, **P.attributes())],
        lambda u, dy, x, y: [tlg.lrn_grad(dy, x, **P.attributes())],
        lambda u, dy, x, y: second_gradient(u, shared, x, y, **P.attributes()),
        lambda u, dy, x, y: second_gradient(u, shared, x, **P.attributes()),
    )
    for function in functions:
        together = tf.vectorized_map(lambda t, f=function: list(f(*t)), stacks)
        for call in range(5):
            alone = function(*(stack[call] for stack in stacks))
            for a, b in zip(together, alone, strict=True):
                assert a[call].numpy().tobytes() == b.numpy().tobytes()


def test_vectorized_map_of_bad_rank() -> None:
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="input"):
        tf.vectorized_map(tlg.lrn, tf.ones([2, 3, 4, 5]))


def test_vectorized_map_over_nothing() -> None:
    """TensorFlow itself refuses to map over nothing, but not over empty images."""
    # The second has more of them than 32 bits can count.
    for shape in ((2, 0, 3, 4, 5), (2, 2**31, 3, 0, 5)):
        assert tf.vectorized_map(tlg.lrn, tf.ones(shape)).shape == shape


def test_without_our_conversion(rng: np.random.Generator) -> None:
    """A loop that is not vectorised gives the same Jacobian."""
    (x,) = operands(rng, 1, (2, 1, 2, 5))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = tlg.lrn(x, **P.attributes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop = tape.jacobian(y, x, experimental_use_pfor=False)
    assert_agree(loop, tape.jacobian(y, x))
