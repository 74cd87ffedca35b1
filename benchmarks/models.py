"""What TFLRN_ACCELERATE=1 does for real models: AlexNet and GoogLeNet's stem.

One process builds each model with TensorFlow's own `tf.nn.lrn` and saves it as a
SavedModel, training step included. Others load it and train, alternately without and
with TFLRN_ACCELERATE=1, so that other load on the machine affects both. The logits and
the losses are compared; the exit status is 1 if they disagree.

    python benchmarks/models.py --json models.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import track
from rich.table import Table

CLASSES = 1000
# Logits and losses pass through some ten layers, each of which sums thousands of
# products in float32; the LRNs round differently in the last bit.
TOLERANCE = 1e-4

# The models ---------------------------------------------------------------------


class Model(tf.Module):
    """Layers that create their variables on the first call, and SGD."""

    title: str
    size: int

    def __init__(self, width: float) -> None:
        super().__init__()
        self._width = width
        self._made: list[tf.Variable] = []
        self._next = 0
        self._random = np.random.default_rng(0)
        self.forward(tf.zeros([1, self.size, self.size, 3]), training=False)
        self.weights = list(self._made)
        self.velocities = [tf.Variable(tf.zeros_like(w)) for w in self.weights]
        self.count = tf.Variable(0)

    def forward(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self._next = 0
        return self.network(x, training)

    def network(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        raise NotImplementedError

    @tf.function
    def logits(self, images: tf.Tensor) -> tf.Tensor:
        return self.forward(images, training=False)

    @tf.function
    def train(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """One step with AlexNet's learning rate, momentum and weight decay.

        The rate is for batches of 128, and scaled down for fewer images. Otherwise the
        loss grows, and rounding differences grow a thousandfold in three steps.
        """
        rate = 0.01 * images.shape[0] / 128
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels, self.forward(images, training=True)
            )
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, self.weights)
        for weight, velocity, gradient in zip(
            self.weights, self.velocities, gradients, strict=True
        ):
            velocity.assign(0.9 * velocity - rate * (5e-4 * weight + gradient))
            weight.assign_add(velocity)
        self.count.assign_add(1)
        return loss

    def variable(self, shape: tuple[int, ...], make: Callable) -> tf.Variable:
        if self._next == len(self._made):
            self._made.append(tf.Variable(make(shape).astype(np.float32)))
        self._next += 1
        return self._made[self._next - 1]

    def gaussian(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._random.normal(scale=self.deviation(shape), size=shape)

    def deviation(self, shape: tuple[int, ...]) -> float:
        """Keeps the scale of the activations through a ReLU."""
        return float(np.sqrt(2 / np.prod(shape[:-1])))

    def dense(self, x: tf.Tensor, units: int, bias: float = 0) -> tf.Tensor:
        w = self.variable((x.shape[-1], units), self.gaussian)
        return x @ w + self.variable((units,), lambda shape: np.full(shape, bias))

    def conv(
        self,
        x: tf.Tensor,
        kernel: int,
        filters: int,
        stride: int = 1,
        padding: str = "SAME",
        bias: float = 0,
    ) -> tf.Tensor:
        """Convolution and ReLU."""
        w = self.variable((kernel, kernel, x.shape[-1], filters), self.gaussian)
        y = tf.nn.conv2d(x, w, stride, padding)
        b = self.variable((filters,), lambda shape: np.full(shape, bias))
        return tf.nn.relu(y + b)

    def channels(self, count: int) -> int:
        return max(2, int(count * self._width))


class AlexNet(Model):
    """Krizhevsky, Sutskever and Hinton (2012), sections 3, 4.2 and 5."""

    title = "AlexNet"
    size = 227

    def deviation(self, shape: tuple[int, ...]) -> float:
        return 0.01

    def network(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        n = self.channels
        x = pool(lrn(self.conv(x, 11, n(96), 4, "VALID"), 2, 1e-4))
        x = pool(lrn(self.conv_in_halves(x, 5, n(256)), 2, 1e-4))
        x = self.conv(x, 3, n(384))
        x = self.conv_in_halves(x, 3, n(384))
        x = pool(self.conv_in_halves(x, 3, n(256)))
        x = tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
        for layer in range(2):
            x = tf.nn.relu(self.dense(x, n(4096), bias=1))
            if training:
                # The same dropout in each process.
                seed = tf.stack([layer, self.count])
                x = tf.nn.experimental.stateless_dropout(x, 0.5, seed)
        return self.dense(x, CLASSES)

    def conv_in_halves(self, x: tf.Tensor, kernel: int, filters: int) -> tf.Tensor:
        """As on the paper's two GPUs, each of which sees its half of the channels."""
        halves = tf.split(x, 2, axis=-1)
        return tf.concat(
            [self.conv(half, kernel, filters // 2, bias=1) for half in halves], -1
        )


class GoogLeNetStem(Model):
    """Szegedy et al. (2014): the layers before the inception modules."""

    title = "GoogLeNet's stem"
    size = 224

    def network(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        n = self.channels
        x = lrn(pool(self.conv(x, 7, n(64), 2), "SAME"), 1, 2e-5)
        x = self.conv(x, 1, n(64))
        x = pool(lrn(self.conv(x, 3, n(192)), 1, 2e-5), "SAME")
        return self.dense(tf.reduce_mean(x, [1, 2]), CLASSES)


def lrn(x: tf.Tensor, bias: float, alpha: float) -> tf.Tensor:
    return tf.nn.lrn(x, depth_radius=2, bias=bias, alpha=alpha, beta=0.75)


def pool(x: tf.Tensor, padding: str = "VALID") -> tf.Tensor:
    return tf.nn.max_pool2d(x, 3, 2, padding)


MODELS = {"alexnet": AlexNet, "googlenet": GoogLeNetStem}


def save(name: str, folder: str, options: argparse.Namespace) -> None:
    """Saves the model for a fixed batch size. None of our code is loaded here."""
    model = MODELS[name](options.width)
    images = tf.TensorSpec([options.batch, model.size, model.size, 3])
    labels = tf.TensorSpec([options.batch], tf.int32)
    tf.saved_model.save(
        model,
        folder,
        signatures={
            "logits": model.logits.get_concrete_function(images),
            "train": model.train.get_concrete_function(images, labels),
        },
    )


# A process that loads it ----------------------------------------------------------


def measure(folder: str, steps: int) -> dict[str, Any]:
    """The logits, the losses of all steps, and the times of all but the first."""
    # TFLRN_ACCELERATE decides what this import does.
    import tensorflow_lrn_grad as tlg

    model = tf.saved_model.load(folder)
    logits, train = model.signatures["logits"], model.signatures["train"]
    random = np.random.default_rng(1)
    shape = logits.structured_input_signature[1]["images"].shape
    images = tf.constant(random.normal(size=shape), tf.float32)
    labels = tf.constant(random.integers(CLASSES, size=shape[0]), tf.int32)
    (first_logits,) = logits(images=images).values()
    times, losses = [], []
    for _ in range(steps + 1):
        start = time.perf_counter()
        (loss,) = train(images=images, labels=labels).values()
        losses.append(float(loss))
        times.append(time.perf_counter() - start)
    functions = train.graph.as_graph_def().library.function
    nodes = [n for f in functions for n in f.node_def] + list(
        train.graph.as_graph_def().node
    )
    return {
        "accelerated": tlg.is_accelerated(),
        "build": tlg.build_info(),
        "lrn_ops": sorted(n.op for n in nodes if "LRN" in n.op),
        "logits": first_logits.numpy().tolist(),
        "losses": losses,
        "seconds": times[1:],
    }


def in_process(*arguments: object, accelerate: bool) -> str:
    """The output of this script, run with other arguments in a new process."""
    result = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        env={**os.environ, "TFLRN_ACCELERATE": str(int(accelerate))},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return result.stdout


# The comparison -------------------------------------------------------------------


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = ("--batch", options.batch, "--width", options.width)
        in_process("--save", name, folder, *settings, accelerate=False)
        runs: dict[bool, list[dict]] = {False: [], True: []}
        for _ in track(
            range(options.rounds),
            MODELS[name].title,
            console=Console(stderr=True),
            transient=True,
        ):
            for accelerate, results in runs.items():
                output = in_process(
                    *("--measure", folder, "--steps", options.steps),
                    accelerate=accelerate,
                )
                results.append(json.loads(output))
    stock, ours = runs[False], runs[True]
    assert all(run["accelerated"] for run in ours)
    assert not any(run["accelerated"] for run in stock)

    def difference(key: str) -> float:
        expected = np.array(stock[0][key])
        differences = [np.abs(np.array(run[key]) - expected).max() for run in ours]
        return float(max(differences) / np.abs(expected).max())

    def times(runs: list[dict]) -> dict[str, float]:
        seconds = [t for run in runs for t in run["seconds"]]
        medians = [statistics.median(run["seconds"]) for run in runs]
        return {
            "median": statistics.median(seconds),
            "lowest": min(medians),
            "highest": max(medians),
        }

    before, after = times(stock), times(ours)
    return {
        "model": MODELS[name].title,
        "batch": options.batch,
        "width": options.width,
        "lrn_ops": stock[0]["lrn_ops"],
        "logits_difference": difference("logits"),
        "losses_difference": difference("losses"),
        "losses": stock[0]["losses"],
        "stock_seconds": before,
        "accelerated_seconds": after,
        "speedup": before["median"] / after["median"],
        "build": ours[0]["build"],
    }


def agrees(result: dict[str, Any]) -> bool:
    return (
        result["logits_difference"] <= TOLERANCE
        and result["losses_difference"] <= TOLERANCE
    )


def show(results: list[dict[str, Any]]) -> None:
    table = Table(
        title="A training step, median in milliseconds "
        "(medians of the fastest and the slowest process)"
    )
    table.add_column("model")
    table.add_column("batch", justify="right")
    table.add_column("TensorFlow's", justify="right")
    table.add_column("accelerated", justify="right")
    table.add_column("speedup", justify="right")
    table.add_column("difference\nof logits", justify="right")
    table.add_column("difference\nof losses", justify="right")
    for result in results:
        spans = []
        for key in ("stock_seconds", "accelerated_seconds"):
            t = {name: f"{1e3 * value:.0f}" for name, value in result[key].items()}
            spans.append(f"{t['median']} ({t['lowest']} - {t['highest']})")
        table.add_row(
            result["model"],
            str(result["batch"]),
            *spans,
            f"{result['speedup']:.2f}",
            f"{result['logits_difference']:.1e}",
            f"{result['losses_difference']:.1e}",
            style=None if agrees(result) else "red",
        )
    Console(width=100).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=16, help="default: 16")
    parser.add_argument("--steps", type=int, default=5, help="per process; default: 5")
    parser.add_argument(
        "--rounds", type=int, default=3, help="processes of each kind; default: 3"
    )
    parser.add_argument(
        "--width", type=float, default=1, help="factor for all widths; default: 1"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the results to FILE")
    parser.add_argument("--save", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.save:
        save(*options.save, options)
        return 0
    if options.measure:
        json.dump(measure(options.measure, options.steps), sys.stdout)
        return 0

    results = [compare(name, options) for name in MODELS]
    show(results)
    if options.json:
        # Not at the top: the process that builds the models must load none of our code.
        from suite.machine import environment

        report = {"environment": environment(), "models": results}
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(map(agrees, results)) else 1


if __name__ == "__main__":
    sys.exit(main())
