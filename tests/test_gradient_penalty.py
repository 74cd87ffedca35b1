"""The gradient penalty example: it trains, and its loss has the right gradient."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest
import tensorflow as tf

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "gradient_penalty.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_trains(child: Callable, tmp_path: Path) -> None:
    result = child(
        "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')",
        *(SCRIPT, "--steps", 400, "--output", "digits.png"),
    )
    assert result.returncode == 0, result.stderr
    first, last = map(float, re.findall(r"from (\S+) to (\S+),", result.stdout)[0])
    # The penalty pulls the norm to 1 from its value at the initial weights.
    assert abs(first - 1) > 0.5
    assert abs(last - 1) < 0.2
    highest, end = map(
        float, re.findall(r"at most (\S+), at the end (\S+)", result.stdout)[0]
    )
    assert 0 < end < highest
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")


def test_gradient_of_the_penalty(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """It equals that of LRN composed of TensorFlow's own ops."""

    def composed(x: tf.Tensor) -> tf.Tensor:
        channel = np.arange(x.shape[-1])
        band = np.abs(channel[:, None] - channel) <= 2
        return x * (1 + tf.tensordot(x * x, tf.constant(band, x.dtype), 1)) ** -0.75

    images = tf.constant(rng.uniform(size=(4, 8, 8, 1)), tf.float32)
    gradients, weights = [], None
    for normalization in (
        example.normalization,
        lambda: keras.layers.Lambda(composed),
    ):
        monkeypatch.setattr(example, "normalization", normalization)
        critic = example.build_critic()
        weights = weights or critic.get_weights()
        critic.set_weights(weights)
        with tf.GradientTape() as tape:
            penalty = tf.reduce_mean((example.slopes(critic, images) - 1) ** 2)
        # The last bias changes the scores, but no slope.
        gradients.append(tape.gradient(penalty, critic.trainable_variables[:-1]))
    for ours, expected in zip(*gradients, strict=True):
        scale = float(tf.reduce_max(tf.abs(expected)))
        # Sums of up to 2,304 products in float32, through a handful of layers.
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * scale)
