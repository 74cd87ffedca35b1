"""Trains a small network with two LRN layers on handwritten digits, twice.

Once with `tlg.lrn`, once with `tf.nn.lrn`, from the same seed: the two losses should
be the same curve. The digits are 1797 scans of 8 x 8 pixels that come with
scikit-learn. With a mixed-precision policy, the network with `tlg.lrn` computes in
16 bits; the other one stays in float32.

    python examples/train_digits.py --output losses.png
    python examples/train_digits.py --policy mixed_bfloat16
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import tensorflow_lrn_grad as tlg

LRN = Callable[..., tf.Tensor]
POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")


def build_model(lrn: LRN) -> keras.Model:
    def normalize(x: tf.Tensor) -> tf.Tensor:
        return lrn(x, depth_radius=2, bias=1.0, alpha=1.0, beta=0.75)

    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.Lambda(normalize),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
            keras.layers.Lambda(normalize),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(10, dtype="float32"),  # for the loss
        ]
    )


def train(
    lrn: LRN, name: str, epochs: int, seed: int, policy: str = "float32"
) -> tuple[np.ndarray, float]:
    """Returns the loss of each step, and the accuracy on the test set."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(policy)
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=0.25, stratify=labels, random_state=seed
    )
    batches = (
        tf.data.Dataset.from_tensor_slices((train_x, train_y))
        .shuffle(len(train_x), seed=seed)
        .batch(32, drop_remainder=True)
        .repeat(epochs)
    )
    model = build_model(lrn)
    optimizer = keras.optimizers.SGD(learning_rate=0.05, momentum=0.9)
    if policy == "mixed_float16":
        # Small gradients would underflow in float16: it scales them up and back.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = cross_entropy(y, model(x, training=True))
            scaled_loss = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, model.trainable_variables)
        optimizer.apply_gradients(
            zip(gradients, model.trainable_variables, strict=True)
        )
        return loss

    losses = [float(step(x, y)) for x, y in track(batches, f"{name:9}", len(batches))]
    predictions = np.argmax(model(test_x), axis=-1)
    return np.array(losses), float(np.mean(predictions == test_y))


def save_plot(path: str, ours: np.ndarray, stock: np.ndarray) -> None:
    figure, (top, bottom) = plt.subplots(
        2, 1, sharex=True, figsize=(8, 6), layout="constrained"
    )
    top.semilogy(ours, label="tlg.lrn", linewidth=3, alpha=0.5)
    top.semilogy(stock, label="tf.nn.lrn", linewidth=0.8, color="black")
    top.set(title="Training on handwritten digits", ylabel="loss")
    top.legend()
    bottom.semilogy(np.abs(ours - stock), ".", markersize=3)
    bottom.set(xlabel="step", ylabel="difference of the losses")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=15, help="default: 15")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--policy",
        choices=POLICIES,
        default="float32",
        help="Keras's dtype policy for the network with tlg.lrn (default: float32)",
    )
    parser.add_argument(
        "--output", default="train_digits.png", help="where the plot of the losses goes"
    )
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error("--epochs must be 1 or more")

    ours, our_accuracy = train(
        tlg.lrn, "tlg.lrn", options.epochs, options.seed, options.policy
    )
    stock, stock_accuracy = train(tf.nn.lrn, "tf.nn.lrn", options.epochs, options.seed)
    save_plot(options.output, ours, stock)

    difference = np.abs(ours - stock)
    print(
        f"test accuracy: tlg.lrn {our_accuracy:.1%}, tf.nn.lrn {stock_accuracy:.1%}\n"
        f"loss: from {ours[0]:.2f} to {np.mean(ours[-10:]):.2f} in {len(ours)} steps\n"
        f"largest difference of the losses: {np.max(difference[:10]):.1e} in the "
        f"first 10 steps, {np.max(difference):.1e} in all"
    )
    if options.policy == "float32":
        print(
            "The two ops round differently in the last bit. The losses differ by no "
            "more\nuntil that bit decides what a max pooling or a ReLU lets through."
        )
    else:
        print(
            f"tlg.lrn's network was trained in {options.policy}, the other in float32."
        )
    print(f"plot: {options.output}")


if __name__ == "__main__":
    main()
