"""Graphs saved in one process and run in another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from oracle import FLOAT32, Params, assert_lrn, assert_lrn_grad

import tensorflow_lrn_grad as tlg

P = Params(2, 1.5, 0.5, 0.75)

SAVE = """
    import sys
    import tensorflow as tf
    import tensorflow_lrn_grad as tlg

    attributes = 2, 1.5, 0.5, 0.75
    image = tf.TensorSpec([None, None, None, 10], tf.float32, name="image")
    grads = tf.TensorSpec([None, None, None, 10], tf.float32, name="grads")

    class Model(tf.Module):
        @tf.function(input_signature=[image, grads])
        def gradient(self, image, grads):
            with tf.GradientTape() as tape:
                tape.watch(image)
                y = tlg.lrn(image, *attributes)
            return {"y": y, "dx": tape.gradient(y, image, grads)}

        @tf.function(input_signature=[image])
        def forward(self, image):
            return tlg.lrn(image, *attributes)

    tf.saved_model.save(Model(), sys.argv[1])
    """

LOAD = """
    import sys
    import numpy as np
    import tensorflow as tf
    import tensorflow_lrn_grad

    model = tf.saved_model.load(sys.argv[1])
    data = np.load(sys.argv[2])
    image = tf.constant(data["x"])
    results = model.gradient(image, data["dy"])
    # The gradient of a loaded function is built in this process.
    with tf.GradientTape() as tape:
        tape.watch(image)
        y = model.forward(image)
    again = tape.gradient(y, image, tf.constant(data["dy"]))
    np.savez(sys.argv[3], again=again, **{k: v.numpy() for k, v in results.items()})
    """


def test_saved_here_and_loaded_there(
    child: Callable, tmp_path: Path, rng: np.random.Generator
) -> None:
    x, dy = (rng.normal(size=(2, 3, 4, 10)).astype(FLOAT32) for _ in range(2))
    np.savez(tmp_path / "data.npz", x=x, dy=dy)
    for code, arguments in (
        (SAVE, ["model"]),
        (LOAD, ["model", "data.npz", "out.npz"]),
    ):
        result = child(code, *(tmp_path / name for name in arguments))
        assert result.returncode == 0, result.stderr
    out = np.load(tmp_path / "out.npz")
    assert_lrn(out["y"], x, P)
    assert_lrn_grad(out["dx"], dy, x, None, P)
    np.testing.assert_array_equal(out["again"], out["dx"])
    np.testing.assert_array_equal(out["y"], tlg.lrn(x, **P.attributes()))


THIRD_DERIVATIVE = """
    import sys
    import tensorflow as tf
    import tensorflow_lrn_grad as tlg

    x = tf.reshape(tf.linspace(tf.constant(-2.0, tf.float64), 3.0, 14), [1, 1, 2, 7])

    def derivative(order, function, t):
        if order == 0:
            return function(t)
        with tf.GradientTape() as tape:
            tape.watch(t)
            y = tf.reduce_sum(derivative(order - 1, function, t) ** 2)
        return tape.gradient(y, t)

    def lrn(t):
        return tlg.lrn(t, 2)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 7], x.dtype)])
    def third(t):
        return derivative(3, lrn, t)

    if sys.argv[1] == "save":
        module = tf.Module()
        module.third = third
        tf.saved_model.save(module, sys.argv[2])
        result = derivative(5, lrn, x)
    else:
        result = derivative(2, tf.saved_model.load(sys.argv[2]).third, x)
    print(tf.io.serialize_tensor(result).numpy().hex())
    """


def test_a_saved_derivative_has_derivatives(child: Callable, tmp_path: Path) -> None:
    """Custom gradients would not do: TensorFlow saves only one order of them."""
    fifth = []
    for what in ("save", "load"):
        result = child(THIRD_DERIVATIVE, what, tmp_path / "model")
        assert result.returncode == 0, result.stderr
        assert "custom gradient" not in result.stderr
        tensor = bytes.fromhex(result.stdout.strip())
        fifth.append(tf.io.parse_tensor(tensor, tf.float64).numpy())
    scale = np.abs(fifth[0]).max()
    np.testing.assert_allclose(fifth[1], fifth[0], rtol=0, atol=1e-12 * scale)


class Classifier(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.filters = tf.Variable(tf.random.stateless_normal([3, 3, 2, 8], [1, 2]))
        self.weights = tf.Variable(tf.random.stateless_normal([8, 3], [3, 4]))

    @tf.function(input_signature=[tf.TensorSpec([None, 6, 6, 2], name="image")])
    def __call__(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        x = tf.nn.relu(tf.nn.conv2d(image, self.filters, 1, "VALID"))
        x = tlg.lrn(x, **P.attributes())
        return {"logits": tf.reduce_mean(x, [1, 2]) @ self.weights}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 6, 6, 2]),
            tf.TensorSpec([None], tf.int32),
        ]
    )
    def loss(self, image: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = self(image)["logits"]
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        )


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a saved model with weights before and after LRN."""
    folder = tmp_path_factory.mktemp("saved") / "classifier"
    model = Classifier()
    tf.saved_model.save(model, folder, signatures=model.__call__)
    return folder


# Only the import of the package makes the ops known here.
SERVE_AND_FINE_TUNE = """
    import sys
    import tensorflow_lrn_grad
    import numpy as np
    import tensorflow as tf

    model = tf.saved_model.load(sys.argv[1])
    data = np.load(sys.argv[2])
    image, labels = map(tf.constant, (data["image"], data["labels"]))
    logits = model.signatures["serving_default"](image=image)["logits"]
    losses, gradients = [], []
    for _ in range(20):
        with tf.GradientTape() as tape:
            loss = model.loss(image, labels)
        gradient = tape.gradient(loss, model.filters)
        model.filters.assign_sub(0.1 * gradient)
        losses.append(loss)
        gradients.append(gradient)
    np.savez(sys.argv[3], logits=logits, losses=losses, gradient=gradients[0])
    """

WITHOUT_THE_PACKAGE = """
    import sys
    import tensorflow as tf

    tf.saved_model.load(sys.argv[1])
    """

INSPECT = """
    import sys
    from tensorflow.python.tools.saved_model_cli import main

    sys.argv = ["saved_model_cli", "show", "--dir", sys.argv[1], "--all"]
    sys.exit(main())
    """


def test_served_and_fine_tuned(
    child: Callable, classifier: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    image = rng.normal(size=(16, 6, 6, 2)).astype(FLOAT32)
    labels = rng.integers(0, 3, size=16).astype(np.int32)
    np.savez(tmp_path / "data.npz", image=image, labels=labels)
    result = child(
        SERVE_AND_FINE_TUNE, classifier, tmp_path / "data.npz", tmp_path / "tuned.npz"
    )
    assert result.returncode == 0, result.stderr
    tuned = np.load(tmp_path / "tuned.npz")

    model = Classifier()
    np.testing.assert_allclose(tuned["logits"], model(image)["logits"], rtol=1e-5)
    with tf.GradientTape() as tape:
        loss = model.loss(image, labels)
    # The filters come before LRN: without its gradient they have none.
    gradient = tape.gradient(loss, model.filters)
    np.testing.assert_allclose(tuned["gradient"], gradient, rtol=1e-4, atol=1e-6)
    assert np.all(np.diff(tuned["losses"]) < 0)


def test_saved_model_cli_shows_it(child: Callable, classifier: Path) -> None:
    result = child(INSPECT, classifier)
    assert result.returncode == 0, result.stderr
    assert "serving_default" in result.stdout
    assert "shape: (-1, 6, 6, 2)" in result.stdout
    assert "logits" in result.stdout


def test_tensorflow_s_words_without_the_package(
    child: Callable, classifier: Path
) -> None:
    result = child(WITHOUT_THE_PACKAGE, classifier)
    assert result.returncode != 0
    assert "Op type not registered 'TFLRN>LRN'" in result.stderr
