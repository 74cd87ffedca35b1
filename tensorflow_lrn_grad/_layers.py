"""The LRN layers of AlexNet and GoogLeNet, with real data in them.

The self-check compares and times the ops on realistic data, without a download: a
photograph that comes with the package passes through the first layers of both
networks. Their filters are fixed, not trained: Gabor filters, which trained first
layers resemble, followed by seeded random ones. So the activations have what matters
to LRN in a real layer: related channels, zeros from the ReLU, few large values. The
gradients come from backpropagation.

The photograph is the official portrait of Commodore Grace M. Hopper, USNR, taken
on 20 January 1984, a work of the U.S. Navy and in the public domain
(https://commons.wikimedia.org/wiki/File:Grace_Hopper.jpg), scaled to 256 x 300.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from importlib import resources

import numpy as np
import tensorflow as tf

DESCRIPTION = (
    "crops of a photograph (portrait of Grace Hopper, U.S. Navy, public domain), "
    "passed through the first layers of AlexNet and GoogLeNet with fixed filters"
)
BATCH = 32
NAMES = ("AlexNet 1", "AlexNet 2", "GoogLeNet 1", "GoogLeNet 2")
_CHUNK = 8  # images at a time, since activations before the pooling are large
_SEED = 2012

_Function = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Parameters:
    """The attributes of LRN, with TensorFlow's defaults."""

    depth_radius: int = 5
    bias: float = 1.0
    alpha: float = 1.0
    beta: float = 0.5


@dataclasses.dataclass(frozen=True)
class Layer:
    """An LRN layer with its input and gradients of its output.

    The tensors are float32 `[BATCH, height, width, channels]`. The gradient depends
    on what follows: a convolution gives `dense_dy`; max pooling returns zero to all
    but the largest value of each window, so `pooled_dy` is mostly zeros. It is None
    for the one layer that no pooling follows.
    """

    name: str
    parameters: Parameters
    x: tf.Tensor
    dense_dy: tf.Tensor
    pooled_dy: tf.Tensor | None


def layers() -> Iterator[Layer]:
    """Yields a layer for each of `NAMES`, made on demand."""
    random = np.random.default_rng(_SEED)
    photograph = _photograph()
    yield from _alexnet(photograph, random)
    yield from _googlenet(photograph, random)


def _alexnet(photograph: tf.Tensor, random: np.random.Generator) -> Iterator[Layer]:
    parameters = Parameters(depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)
    conv1 = _convolution(_gabor_filters(11, 96, random), 4, "VALID")
    conv2 = _convolution(_noise_filters(5, 96, 256, random))

    images = _crops(photograph, 227, random)
    first = _layer("AlexNet 1", parameters, conv1, images, random)
    yield first
    yield _layer(
        "AlexNet 2",
        parameters,
        lambda x: conv2(_max_pool(_lrn(x, parameters))),
        first.x,
        random,
    )


def _googlenet(photograph: tf.Tensor, random: np.random.Generator) -> Iterator[Layer]:
    parameters = Parameters(depth_radius=2, bias=1.0, alpha=2e-5, beta=0.75)
    conv1 = _convolution(_gabor_filters(7, 64, random), 2)
    reduction = _convolution(_noise_filters(1, 64, 64, random))
    conv2 = _convolution(_noise_filters(3, 64, 192, random))

    images = _crops(photograph, 224, random)
    first = _layer(
        "GoogLeNet 1",
        parameters,
        lambda images: _max_pool(conv1(images), "SAME"),
        images,
        random,
        pooled=False,
    )
    yield first
    yield _layer(
        "GoogLeNet 2",
        parameters,
        lambda x: conv2(reduction(_lrn(x, parameters))),
        first.x,
        random,
    )


def _layer(
    name: str,
    parameters: Parameters,
    body: _Function,
    inputs: tf.Tensor,
    random: np.random.Generator,
    pooled: bool = True,
) -> Layer:
    """Makes the layer whose input is `body(inputs)`, and its gradients."""
    x = _in_chunks(body, inputs)
    y = _lrn(x, parameters)
    filters = _noise_filters(3, x.shape[-1], 32, random)
    following = _convolution(filters)
    strided = _convolution(filters, 2)

    def dense_dy(y: tf.Tensor) -> tf.Tensor:
        return _backpropagated(strided, y)

    def pooled_dy(y: tf.Tensor) -> tf.Tensor:
        return _backpropagated(lambda y: following(_max_pool(y)), y)

    return Layer(
        name,
        parameters,
        x,
        _in_chunks(dense_dy, y),
        _in_chunks(pooled_dy, y) if pooled else None,
    )


def _photograph() -> tf.Tensor:
    path = resources.files(__package__) / "grace_hopper.jpg"
    pixels = tf.cast(tf.io.decode_jpeg(path.read_bytes()), tf.float32)
    return (pixels - tf.reduce_mean(pixels)) / tf.math.reduce_std(pixels)


def _crops(photograph: tf.Tensor, size: int, random: np.random.Generator) -> tf.Tensor:
    """Crops at random positions, reflected at random, as in the networks' training."""
    height, width, _ = photograph.shape
    crops = []
    for _ in range(BATCH):
        top = random.integers(height - size + 1)
        left = random.integers(width - size + 1)
        crop = photograph[top : top + size, left : left + size]
        crops.append(crop[:, ::-1] if random.integers(2) else crop)
    return tf.stack(crops)


def _gabor_filters(size: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Returns `[size, size, 3, count]`: waves under a Gaussian, each of one colour."""
    axis = np.linspace(-1, 1, size)
    column, row = np.meshgrid(axis, axis)
    filters = np.empty((size, size, 3, count), np.float32)
    for i in range(count):
        angle, phase = random.uniform(0, 2 * math.pi, size=2)
        wave_number = random.uniform(0.5, 2.5) * math.pi
        along = column * math.cos(angle) + row * math.sin(angle)
        wave = np.cos(wave_number * along + phase)
        envelope = np.exp(-2 * (column**2 + row**2))
        filters[..., i] = (wave * envelope)[..., None] * random.normal(size=3)
    return filters


def _noise_filters(
    size: int, inputs: int, count: int, random: np.random.Generator
) -> np.ndarray:
    return random.standard_normal((size, size, inputs, count), dtype=np.float32)


def _convolution(
    filters: np.ndarray, stride: int = 1, padding: str = "SAME"
) -> _Function:
    """A convolution scaled to variance 1, as training leaves it, and a ReLU."""

    def convolve(x: tf.Tensor) -> tf.Tensor:
        y = tf.nn.conv2d(x, filters, stride, padding)
        return tf.nn.relu(y / tf.stop_gradient(tf.math.reduce_std(y)))

    return convolve


def _max_pool(x: tf.Tensor, padding: str = "VALID") -> tf.Tensor:
    return tf.nn.max_pool2d(x, ksize=3, strides=2, padding=padding)


def _lrn(x: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """TensorFlow's own LRN, so that the data do not depend on the op under test."""
    return tf.nn.lrn(x, **dataclasses.asdict(parameters))


def _backpropagated(function: _Function, y: tf.Tensor) -> tf.Tensor:
    """The gradient at `y` of half the sum of squares of `function(y)`, scaled to
    variance 1."""
    with tf.GradientTape() as tape:
        tape.watch(y)
        loss = tf.nn.l2_loss(function(y))
    dy = tape.gradient(loss, y)
    return dy / tf.math.reduce_std(dy)


def _in_chunks(function: _Function, x: tf.Tensor) -> tf.Tensor:
    chunks = tf.split(x, BATCH // _CHUNK)
    return tf.concat([function(chunk) for chunk in chunks], axis=0)
