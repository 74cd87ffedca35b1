"""Automatic differentiation through LRN: the three ways to get our gradient."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tensorflow as tf
from cases import case_id, values
from oracle import DTYPES, FLOAT32, Params, assert_lrn, assert_lrn_grad

import tensorflow_lrn_grad as tlg

P = Params(2, 1.5, 0.5, 0.75)
names = itertools.count()


def gradient_in_graph(lrn_op: Callable, x: np.ndarray, dy: np.ndarray) -> tuple:
    """y, dx and the operation types of lrn_op in a TensorFlow 1 graph."""
    with tf.Graph().as_default() as graph:
        image, grads = (tf.compat.v1.placeholder(a.dtype) for a in (x, dy))
        y = lrn_op(graph, image)
        (dx,) = tf.gradients(y, image, grads)
        types = {op.type for op in graph.get_operations()}
        with tf.compat.v1.Session() as session:
            return *session.run([y, dx], {image: x, grads: dy}), types


# 1. tlg.lrn itself.


@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_tape(device: str, rng: np.random.Generator, dtype: np.dtype) -> None:
    dy, x = (values(rng, (2, 3, 4, 10), dtype) for _ in range(2))
    image = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(image)
        y = tlg.lrn(image, **P.attributes())
    dx = tape.gradient(y, image, tf.constant(dy))
    assert_lrn_grad(dx.numpy(), dy, x, None, P)


def test_gradient_in_every_mode(
    device: str, run: Callable, rng: np.random.Generator
) -> None:
    dy, x = (values(rng, (2, 3, 4, 10), FLOAT32) for _ in range(2))

    def step(grads: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(image)
            y = tlg.lrn(image, **P.attributes())
        return tape.gradient(y, image, grads)

    assert_lrn_grad(run(step, dy, x), dy, x, None, P)


def test_gradient_is_our_op(rng: np.random.Generator) -> None:
    dy, x = (values(rng, (1, 2, 3, 10), FLOAT32) for _ in range(2))
    _, dx, types = gradient_in_graph(
        lambda graph, image: tlg.lrn(image, **P.attributes()), x, dy
    )
    assert "TFLRN>LRNGradFromInput" in types
    assert "LRNGrad" not in types
    assert_lrn_grad(dx, dy, x, None, P)


@pytest.mark.parametrize(
    "p",
    [P, Params(), Params(1, 2, -0.01, 0.3), Params(0, 1, 1, 1), Params(9, 1, 1, 2)],
    ids=case_id,
)
def test_numerical_derivative(device: str, rng: np.random.Generator, p: Params) -> None:
    x = rng.normal(size=(1, 1, 3, 7))
    theoretical, numerical = tf.test.compute_gradient(
        lambda t: tlg.lrn(t, **p.attributes()), [tf.constant(x)], delta=1e-4
    )
    # Central differences are off by delta^2 / 6 times the third derivative, which
    # is below 12 (11.9 for beta 2), and by rounding: eps |y| / delta.
    assert np.abs(theoretical[0] - numerical[0]).max() < 1e-8 / 6 * 12 + 1e-11


def test_input_that_is_used_twice(device: str, rng: np.random.Generator) -> None:
    """The gradients of both uses are added."""
    x = rng.normal(size=(1, 2, 3, 9))
    image = tf.constant(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(image)
        y = tlg.lrn(image, **P.attributes())
        total = tf.reduce_sum(y * image)
    expected = tape.gradient(y, image, image) + y
    np.testing.assert_allclose(tape.gradient(total, image), expected, rtol=1e-14)


def test_input_without_gradient(device: str) -> None:
    image = tf.ones([1, 2, 3, 4])
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = tf.reduce_sum(tf.stop_gradient(tlg.lrn(image)))
    assert tape.gradient(loss, image) is None


# 2. A user's own LRN op.


@pytest.fixture(scope="module")
def my_ops(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """my_lrn_op.cc, compiled with the flags of the installed TensorFlow."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        pytest.skip("no C++ compiler found for my_lrn_op.cc")
    library = tmp_path_factory.mktemp("my_ops") / "my_lrn_op.so"
    source = Path(__file__).with_name("my_lrn_op.cc")
    subprocess.run(
        [
            *(compiler, "-shared", "-fPIC", "-w", source, "-o", library),
            *tf.sysconfig.get_compile_flags(),
            *tf.sysconfig.get_link_flags(),
        ],
        check=True,
    )
    module = tf.load_op_library(str(library))
    tlg.register_lrn_gradient("MyLRN")
    return module


@pytest.mark.parametrize(
    "p", [Params(3, 2, 0.25, 0.75), P, Params(0, 1, 1, 0.5)], ids=case_id
)
def test_registered_for_my_op(
    my_ops: ModuleType, rng: np.random.Generator, p: Params
) -> None:
    """The attributes are the op's, not our defaults; the first case is its defaults."""
    attributes = {} if p.depth_radius == 3 else p.attributes()
    dy, x = (rng.normal(size=(2, 3, 4, 10)).astype(np.float32) for _ in range(2))
    image = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(image)
        y = my_ops.my_lrn(image, **attributes)
    assert_lrn(y.numpy(), x, p)
    dx = tape.gradient(y, image, tf.constant(dy))
    assert_lrn_grad(dx.numpy(), dy, x, None, p)

    y, dx, types = gradient_in_graph(
        lambda graph, image: my_ops.my_lrn(image, **attributes), x, dy
    )
    assert "TFLRN>LRNGradFromInput" in types
    assert_lrn_grad(dx, dy, x, None, p)


def test_op_without_an_attribute(my_ops: ModuleType) -> None:
    with pytest.raises(ValueError, match="MyLRNWithoutBeta has no attribute beta;"):
        tlg.register_lrn_gradient("MyLRNWithoutBeta")


def test_op_with_two_inputs(my_ops: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"MyLRNOfTwo.*2 inputs"):
        tlg.register_lrn_gradient("MyLRNOfTwo")


def test_op_with_two_outputs(my_ops: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"MyLRNWithNorm has 1 inputs and 2 outputs"):
        tlg.register_lrn_gradient("MyLRNWithNorm")


def test_op_that_has_a_gradient(my_ops: ModuleType) -> None:
    for taken in ("LRN", "MyLRN", "TFLRN>LRN"):
        with pytest.raises((KeyError, ValueError), match=taken):
            tlg.register_lrn_gradient(taken)


def test_registered_before_the_op_is_loaded(my_ops: ModuleType) -> None:
    """A name without an op is accepted, for gradient_override_map. If the op then lacks
    an attribute, building its gradient is an error."""
    name = f"LaterLRN{next(names)}"
    tlg.register_lrn_gradient(name)
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [1, 1, 1, 4])
        with graph.gradient_override_map({"MyLRNWithoutBeta": name}):
            y = my_ops.my_lrn_without_beta(image)
        with pytest.raises(
            ValueError, match=r"registered as LRN's, .* 'beta'; it needs"
        ):
            tf.gradients(y, image)


@pytest.mark.parametrize("op_type", [None, 3])
def test_no_op_type(op_type: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        tlg.register_lrn_gradient(op_type)


# 3. Stock ops: in graph mode by an override, in any mode by tf.custom_gradient.


def test_override_of_the_stock_op(rng: np.random.Generator) -> None:
    dy, x = (rng.normal(size=(2, 3, 4, 10)).astype(np.float32) for _ in range(2))

    def stock(graph: tf.Graph, image: tf.Tensor) -> tf.Tensor:
        with graph.gradient_override_map({"LRN": "TFLRN>LRN"}):
            return tf.nn.lrn(image, **P.attributes())

    _, dx, types = gradient_in_graph(stock, x, dy)
    assert {"LRN", "TFLRN>LRNGradFromInput"} <= types
    assert "LRNGrad" not in types
    assert_lrn_grad(dx, dy, x, None, P)


def test_custom_gradient(device: str, run: Callable, rng: np.random.Generator) -> None:
    dy, x = (rng.normal(size=(2, 3, 4, 10)).astype(np.float32) for _ in range(2))

    @tf.custom_gradient
    def lrn_with_our_gradient(image: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        y = tf.nn.lrn(image, **P.attributes())

        def gradient(grads: tf.Tensor) -> tf.Tensor:
            return tlg.lrn_grad(grads, image, y, **P.attributes())

        return y, gradient

    def step(grads: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(image)
            y = lrn_with_our_gradient(image)
        return tape.gradient(y, image, grads)

    # The error of the stock op's y enters the gradient as one more error per term.
    dx = run(step, dy, x)
    y = tf.nn.lrn(x, **P.attributes()).numpy()
    assert_lrn_grad(dx, dy, x, y, P)
