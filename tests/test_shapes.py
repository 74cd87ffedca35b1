"""The shape functions, and tensors at the edges: empty, tiny, misaligned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from cases import case_id, values
from oracle import (
    BFLOAT16,
    DTYPES,
    FLOAT32,
    Params,
    assert_close,
    assert_lrn,
    assert_lrn_grad,
    lrn_grad,
    lrn_grad_error,
)

import tensorflow_lrn_grad as tlg

ANY = None


def placeholder(shape: list | None) -> tf.Tensor:
    return tf.compat.v1.placeholder(tf.float32, shape)


@pytest.mark.parametrize(
    "shapes, merged",
    [
        ([[2, 3, 4, 5]] * 3, [2, 3, 4, 5]),
        ([None, None, None], [ANY] * 4),
        ([[2, ANY, ANY, ANY], [ANY, 3, ANY, ANY], None], [2, 3, ANY, ANY]),
        ([[2, ANY, ANY, ANY], [ANY, 3, 4, ANY], [ANY, 3, ANY, 5]], [2, 3, 4, 5]),
        ([None, None, [ANY, ANY, ANY, 7]], [ANY, ANY, ANY, 7]),
        ([None, [0, ANY, ANY, 7], None], [0, ANY, ANY, 7]),
    ],
)
def test_partial_shapes_are_merged(shapes: list, merged: list) -> None:
    with tf.Graph().as_default():
        dx = tlg.lrn_grad(*map(placeholder, shapes))
        assert dx.shape.as_list() == merged


def test_partial_shapes_of_two_are_merged() -> None:
    with tf.Graph().as_default():
        dx = tlg.lrn_grad(
            placeholder([2, ANY, ANY, ANY]), placeholder([ANY, 3, ANY, 5])
        )
        assert dx.shape.as_list() == [2, 3, ANY, 5]


@pytest.mark.parametrize(
    "shape, inferred",
    [
        ([2, 3, 4, 5], [2, 3, 4, 5]),
        ([ANY, 3, ANY, 5], [ANY, 3, ANY, 5]),
        (None, [ANY] * 4),
    ],
)
def test_shape_of_lrn(shape: list | None, inferred: list) -> None:
    with tf.Graph().as_default():
        assert tlg.lrn(placeholder(shape)).shape.as_list() == inferred


@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
@pytest.mark.parametrize(
    "shape",
    [(0, 2, 3, 4), (2, 0, 3, 4), (2, 3, 0, 4), (2, 3, 4, 0), (0, 0, 0, 0)],
    ids=str,
)
def test_empty(device: str, run: Callable, shape: tuple, dtype: np.dtype) -> None:
    empty = np.zeros(shape, dtype)
    for result in (
        run(tlg.lrn, empty),
        run(tlg.lrn_grad, empty, empty, empty),
        run(tlg.lrn_grad, empty, empty),
    ):
        assert result.shape == shape
        assert result.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_tiny(
    device: str,
    rng: np.random.Generator,
    dtype: np.dtype,
    channels: int,
    rows: int,
) -> None:
    """Fewer elements than a vector has lanes."""
    p = Params(1, 1, 1, 0.75)
    dy, x, y = (values(rng, (1, 1, rows, channels), dtype) for _ in range(3))
    assert_lrn(tlg.lrn(x, **p.attributes()).numpy(), x, p)
    for output_image in (y, None):
        dx = tlg.lrn_grad(dy, x, output_image, **p.attributes()).numpy()
        assert_lrn_grad(dx, dy, x, output_image, p)


def misaligned(array: np.ndarray, elements: int) -> tf.Tensor:
    """A tensor on a NumPy buffer that starts `elements` past an aligned address.

    tf.constant would copy it to an aligned one; DLPack shares it.
    """
    bits = array.view(np.uint16) if array.dtype == BFLOAT16 else array
    line = 64 // bits.itemsize
    buffer = np.zeros(array.size + 2 * line, bits.dtype)
    start = -(buffer.ctypes.data // bits.itemsize) % line + elements
    shifted = buffer[start : start + array.size].reshape(array.shape)
    shifted[...] = bits
    tensor = tf.experimental.dlpack.from_dlpack(shifted.__dlpack__())
    return tf.bitcast(tensor, array.dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
@pytest.mark.parametrize("channels, radius", [(5, 2), (16, 5), (40, 9)])
def test_misaligned(
    rng: np.random.Generator, dtype: np.dtype, channels: int, radius: int
) -> None:
    """Buffers need no more alignment than their elements.

    Many stock ops abort on such tensors ("Check failed: IsAligned()").
    """
    p = Params(radius, 1, 1, 0.75)
    dy, x, y = (values(rng, (2, 3, 4, channels), dtype) for _ in range(3))
    tensors = [misaligned(a, shift) for a, shift in ((dy, 1), (x, 3), (y, 0))]
    dx = tlg.lrn_grad(*tensors, **p.attributes()).numpy()
    assert_lrn_grad(dx, dy, x, y, p)
    dx = tlg.lrn_grad(*tensors[:2], **p.attributes()).numpy()
    assert_lrn_grad(dx, dy, x, None, p)
    assert_lrn(tlg.lrn(misaligned(x, 1), **p.attributes()).numpy(), x, p)


@pytest.mark.parametrize("channels", [2**20, 2**20 + 1])
def test_more_channels_than_a_cache_holds(
    rng: np.random.Generator, channels: int
) -> None:
    p = Params(2, 1, 1, 0.5)
    shape = (1, 1, 1, channels)
    dy, x, y = (rng.normal(size=shape).astype(np.float32) for _ in range(3))
    dx = tlg.lrn_grad(dy, x, y, **p.attributes()).numpy()
    # A result depends on the norms in its window, and these on theirs: away from the
    # ends of a part of the row, the oracle needs only that part.
    reach = 2 * p.depth_radius
    inner = (..., slice(reach, -reach))
    for start in (0, 1000, channels // 2 - 50, channels - 100):
        part = (..., slice(start, start + 100))
        operands = dy[part], x[part], y[part], p
        exact = lrn_grad(*operands)[inner]
        assert_close(dx[part][inner], exact, lrn_grad_error(*operands, FLOAT32)[inner])
