"""The examples run the way users run them, and do what they claim."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_lrn_grad as tlg

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RUN = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"

# The loss starts near ln 10: this is eight units in its last place.
A_FEW_ROUNDINGS = 8 * 2.0**-22
FIRST_STEPS = 10
EPOCHS = 15


@pytest.fixture(scope="module")
def train_digits() -> ModuleType:
    path = EXAMPLES / "train_digits.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_train_digits(child: Callable, tmp_path: Path) -> None:
    script = EXAMPLES / "train_digits.py"
    result = child(
        RUN,
        script,
        "--output",
        "losses.png",
    )
    assert result.returncode == 0, result.stderr
    accuracies = re.search(r"tlg\.lrn ([\d.]+)%, tf\.nn\.lrn ([\d.]+)%", result.stdout)
    assert float(accuracies[1]) >= 97
    assert float(accuracies[2]) >= 97
    differences = re.search(r"(\S+) in the first 10 steps, (\S+) in all", result.stdout)
    assert float(differences[1]) <= A_FEW_ROUNDINGS
    # Once a rounding flips a decision at a ReLU or a max pooling, the two runs train
    # different networks, and agree only as closely as curves in a plot.
    assert float(differences[2]) <= 0.05
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("gradient_penalty", "--steps"),
        ("train_digits", "--epochs"),
        ("train_multiworker", "--epochs"),
        ("train_multiworker", "--workers"),
    ],
)
def test_nothing_to_do_is_refused(child: Callable, name: str, option: str) -> None:
    result = child(
        RUN,
        EXAMPLES / f"{name}.py",
        option,
        "0",
    )
    assert result.returncode == 2
    assert f"{option} must be 1 or more" in result.stderr


def test_workers_that_cannot_share_a_batch_are_refused(child: Callable) -> None:
    result = child(RUN, EXAMPLES / "train_multiworker.py", "--workers", "3")
    assert result.returncode == 2
    assert "--workers must be a divisor of the batch size, 64" in result.stderr


@pytest.fixture(scope="module")
def in_float32(train_digits: ModuleType) -> tuple[np.ndarray, float]:
    """The losses and the accuracy."""
    return train_digits.train(tlg.lrn, "float32", EPOCHS, seed=0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_train_digits_in_mixed_precision(
    policy: str, train_digits: ModuleType, in_float32: tuple[np.ndarray, float]
) -> None:
    """It reaches float32's accuracy, and really computes in 16 bits."""
    losses, accuracy = train_digits.train(tlg.lrn, policy, EPOCHS, 0, policy)
    exact_losses, exact_accuracy = in_float32
    assert exact_accuracy >= 0.97
    # Three of the 450 digits in the test set: two seeds differ by as much.
    assert accuracy >= exact_accuracy - 3 / 450
    assert np.all(np.isfinite(losses))
    # The first loss shows the roundings of a 16-bit type, not of float32.
    assert abs(losses[0] - exact_losses[0]) > A_FEW_ROUNDINGS


def test_its_first_losses_would_show_a_wrong_gradient(train_digits: ModuleType) -> None:
    def wrong_lrn(x: tf.Tensor, depth_radius: int, **attributes: Any) -> tf.Tensor:
        """LRN with the gradient of a radius that is one too small."""

        @tf.custom_gradient
        def function(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            y = tlg.lrn(x, depth_radius, **attributes)
            return y, lambda dy: tlg.lrn_grad(dy, x, y, depth_radius - 1, **attributes)

        return function(x)

    wrong, right = (
        train_digits.train(lrn, "test", epochs=1, seed=0)[0][:FIRST_STEPS]
        for lrn in (wrong_lrn, tf.nn.lrn)
    )
    assert np.max(np.abs(wrong - right)) > 10 * A_FEW_ROUNDINGS
