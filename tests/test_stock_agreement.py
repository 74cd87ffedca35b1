"""Our ops against TensorFlow's own, where those are right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from cases import case_id
from oracle import (
    FLOAT32,
    HALF,
    Params,
    assert_same_classes,
    lrn,
    lrn_error,
    lrn_grad_error,
)

import tensorflow_lrn_grad as tlg

NETWORKS = {
    "AlexNet": Params(2, 2, 1e-4, 0.75),
    "GoogLeNet": Params(2, 1, 2e-5, 0.75),
    "defaults": Params(),
    "wide": Params(20, 1, 0.1, 0.5),
}

# The sum of our error and the stock op's, in units of ours. The stock op computes half
# in half precision, whose eps is 2^13 times that of float32, and rounds the attributes
# to half: 2e-5 is denormal there, and off by 3 eps.
SHARES = {FLOAT32: 1 + 1, HALF: 1 + 2 * 2**13}


def assert_near(ours: tf.Tensor, stock: tf.Tensor, error: np.ndarray) -> None:
    assert ours.dtype == stock.dtype
    ours, stock = (t.numpy().astype(np.float64) for t in (ours, stock))
    far = ~(np.abs(ours - stock) <= error)
    assert not far.any(), (ours[far][:3], stock[far][:3], error[far][:3])


@pytest.mark.parametrize("p", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("channels", [1, 16, 33, 96])
@pytest.mark.parametrize("dtype", SHARES, ids=case_id)
def test_values(
    rng: np.random.Generator, dtype: np.dtype, channels: int, p: Params
) -> None:
    shape = (2, 3, 4, channels)
    dy, x = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    y = lrn(x, p).astype(dtype)
    # Without tf.constant the stock ops sometimes take an array of halves as float32.
    grads, image, output = map(tf.constant, (dy, x, y))
    attributes = p.attributes()
    ours = tlg.lrn(image, **attributes)
    stock = tf.nn.lrn(image, **attributes)
    assert_near(ours, stock, SHARES[dtype] * lrn_error(x, p, FLOAT32))
    ours = tlg.lrn_grad(grads, image, output, **attributes)
    stock = tf.raw_ops.LRNGrad(
        input_grads=grads, input_image=image, output_image=output, **attributes
    )
    error = lrn_grad_error(dy, x, y, p, FLOAT32)
    assert_near(ours, stock, SHARES[dtype] * error)
    # The stock op reads a rounded y: half an eps more of each term.
    ours = tlg.lrn_grad(grads, image, **attributes)
    error = lrn_grad_error(dy, x, None, p, FLOAT32)
    assert_near(ours, stock, SHARES[dtype] * error)


def row(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32).reshape(1, 1, 1, -1)


def both_gradients(dy: np.ndarray, x: np.ndarray, p: Params) -> list[np.ndarray]:
    """Ours and the stock op's, for an output_image of ones."""
    y = np.ones_like(x)
    attributes = p.attributes()
    stock = tf.raw_ops.LRNGrad(
        input_grads=dy, input_image=x, output_image=y, **attributes
    )
    return [tlg.lrn_grad(dy, x, y, **attributes).numpy(), stock.numpy()]


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_zero_gradient_at_zero_norm_is_zero(beta: float) -> None:
    p = Params(0, 0, 1, beta)
    for dx in both_gradients(row(0, 0, 3, -0.0), row(0, 0, 2, 0), p):
        np.testing.assert_array_equal(np.isfinite(dx), True)
        np.testing.assert_array_equal(dx[0, 0, 0, [0, 1, 3]], 0)


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_gradient_at_zero_norm_is_nan(beta: float) -> None:
    p = Params(0, 0, 1, beta)
    ours, stock = both_gradients(row(1, 0, 3, 0), row(0, 0, 2, 0), p)
    assert_same_classes(ours, stock)
    np.testing.assert_array_equal(np.isnan(ours), [[[[True, False, False, False]]]])


@pytest.mark.parametrize("beta, finite", [(0.5, False), (0.75, False), (1.0, True)])
def test_negative_norm(beta: float, finite: bool) -> None:
    """A power of a negative number exists for whole exponents only."""
    p = Params(1, 1, -1, beta)
    x = row(2, 3, 4, 2)
    ours, stock = tlg.lrn(x, **p.attributes()), tf.nn.lrn(x, **p.attributes())
    assert_same_classes(ours.numpy(), stock.numpy())
    assert np.isfinite(ours).all() == finite
    for dx in both_gradients(row(1, 1, 1, 1), x, p):
        assert np.isfinite(dx).all() == finite
    if finite:
        np.testing.assert_allclose(*both_gradients(row(1, 1, 1, 1), x, p), rtol=1e-5)


def test_negative_norm_squared() -> None:
    """Beta 2: the stock gradient is finite, its forward NaN. Ours are both finite."""
    p = Params(1, 1, -1, 2)
    x = row(2, 3, 4, 2)
    ours, stock = both_gradients(row(1, 1, 1, 1), x, p)
    np.testing.assert_allclose(ours, stock, rtol=1e-5)
    np.testing.assert_allclose(tlg.lrn(x, **p.attributes()), lrn(x, p), rtol=1e-5)
    assert np.isnan(tf.nn.lrn(x, **p.attributes())).all()


def test_training_step(run: Callable, rng: np.random.Generator) -> None:
    """The gradient of a network's loss is the same through either op."""
    x = rng.normal(size=(2, 5, 5, 3)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 3, 8)).astype(np.float32)
    p = Params(2, 1, 0.5, 0.75)

    def gradient(lrn_op: Callable) -> np.ndarray:
        def step(image: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
            hidden = tf.nn.conv2d(image, weights, 1, "SAME")
            hidden = lrn_op(hidden, **p.attributes())
            loss = tf.reduce_sum(tf.square(hidden))
            return tf.gradients(loss, weights)[0]

        def eager_step(image: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
            return tf.function(step)(image, weights)

        return run(eager_step, x, kernel)

    ours, stock = gradient(tlg.lrn), gradient(tf.nn.lrn)
    # A sum over 50 positions and 8 channels of values that agree to 15 eps.
    tolerance = (400 + 15) * np.finfo(np.float32).eps
    np.testing.assert_allclose(ours, stock, atol=tolerance * np.abs(stock).max())
