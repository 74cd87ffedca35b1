"""Trains a WGAN-GP on handwritten digits, with LRN in its critic.

The gradient penalty of Gulrajani et al. (2017) is a loss on a gradient: training
with it needs the gradient of LRN's gradient, which `tf.nn.lrn` lacks and the Keras
layer of this package has. The digits are 1797 scans of 8 x 8 pixels that come with
scikit-learn.

    python examples/gradient_penalty.py --output digits.png
"""

from __future__ import annotations

import argparse

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from rich.progress import track
from sklearn.datasets import load_digits

from tensorflow_lrn_grad.keras import LocalResponseNormalization

NOISE = 16
BATCH = 64
CRITIC_STEPS = 3  # per step of the generator
PENALTY = 10.0


def normalization() -> keras.layers.Layer:
    return LocalResponseNormalization(depth_radius=2, bias=1.0, alpha=1.0, beta=0.75)


def build_critic() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, padding="same", activation="leaky_relu"),
            normalization(),
            keras.layers.Conv2D(64, 3, 2, padding="same", activation="leaky_relu"),
            normalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )


def build_generator() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((NOISE,)),
            keras.layers.Dense(4 * 4 * 32, activation="relu"),
            keras.layers.Reshape((4, 4, 32)),
            keras.layers.UpSampling2D(),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
        ]
    )


def slopes(critic: keras.Model, images: tf.Tensor) -> tf.Tensor:
    """The norm of the critic's gradient at each image; the target is 1."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = critic(images)
    gradients = tape.gradient(scores, images)
    return tf.sqrt(tf.reduce_sum(gradients**2, [1, 2, 3]) + 1e-12)


def train(steps: int, seed: int) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """Returns the generator and, for each step of the critic, the mean slope and how
    much higher it scores real digits: an estimate of the Wasserstein distance."""
    keras.utils.set_random_seed(seed)
    pixels, _ = load_digits(return_X_y=True)
    digits = (pixels / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    batches = tf.data.Dataset.from_tensor_slices(digits).repeat()
    batches = batches.shuffle(len(digits), seed=seed).batch(BATCH)
    critic, generator = build_critic(), build_generator()
    critic_optimizer, generator_optimizer = (
        keras.optimizers.Adam(1e-3, beta_1=0.5, beta_2=0.9) for _ in range(2)
    )

    def fakes() -> tf.Tensor:
        return generator(tf.random.normal([BATCH, NOISE]))

    @tf.function
    def critic_step(real: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        fake = fakes()
        between = tf.random.uniform([BATCH, 1, 1, 1])
        with tf.GradientTape() as tape:
            distance = tf.reduce_mean(critic(real) - critic(fake))
            slope = slopes(critic, real + between * (fake - real))
            loss = PENALTY * tf.reduce_mean((slope - 1) ** 2) - distance
        variables = critic.trainable_variables
        critic_optimizer.apply(tape.gradient(loss, variables), variables)
        return tf.reduce_mean(slope), distance

    @tf.function
    def generator_step() -> None:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(critic(fakes()))
        variables = generator.trainable_variables
        generator_optimizer.apply(tape.gradient(loss, variables), variables)

    history = []
    for step, real in zip(track(range(steps), "training"), batches, strict=False):
        history.append([float(value) for value in critic_step(real)])
        if step % CRITIC_STEPS == CRITIC_STEPS - 1:
            generator_step()
    slope, distance = np.transpose(history)
    return generator, slope, distance


def save_plot(path: str, generator: keras.Model, slope: np.ndarray) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    left.plot(slope, linewidth=0.8)
    left.axhline(1, color="black", linewidth=0.8)
    left.set(title="Mean norm of the critic's gradient", xlabel="step")
    images = generator(tf.random.normal([64, NOISE])).numpy().reshape(8, 8, 8, 8)
    right.imshow(images.transpose(0, 2, 1, 3).reshape(64, 64), cmap="gray_r")
    right.set(title="Generated digits")
    right.axis("off")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=3000, help="default: 3000")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--output", default="gradient_penalty.png", help="where the plot goes"
    )
    options = parser.parse_args()
    if options.steps < 1:
        parser.error("--steps must be 1 or more")
    generator, slope, distance = train(options.steps, options.seed)
    save_plot(options.output, generator, slope)
    print(
        f"norm of the critic's gradient: from {slope[0]:.2f} to "
        f"{np.mean(slope[-50:]):.2f}, target 1\n"
        f"Wasserstein distance: at most {distance.max():.2f}, at the end "
        f"{np.mean(distance[-50:]):.2f}\n"
        f"plot: {options.output}"
    )


if __name__ == "__main__":
    main()
