"""tlg.lrn against the oracle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from cases import case_id, oracle_cases, shape_for, values
from oracle import DTYPES, FLOAT32, Params, assert_lrn

import tensorflow_lrn_grad as tlg


@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
@pytest.mark.parametrize("channels, p", oracle_cases(), ids=case_id)
def test_oracle(
    device: str,
    rng: np.random.Generator,
    dtype: np.dtype,
    channels: int,
    p: Params,
) -> None:
    x = values(rng, shape_for(channels), dtype)
    y = tlg.lrn(x, **p.attributes()).numpy()
    # With a negative alpha, some norms cancel; otherwise all terms have one sign.
    assert_lrn(y, x, p, least_compared=0.9 if p.alpha < 0 else 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_every_mode(
    device: str, run: Callable, rng: np.random.Generator, dtype: np.dtype
) -> None:
    p = Params(2, 2, 0.5, 0.75)
    x = values(rng, (2, 3, 4, 10), dtype)
    assert_lrn(run(lambda t: tlg.lrn(t, **p.attributes()), x), x, p)


def test_defaults_are_those_of_tensorflow(rng: np.random.Generator) -> None:
    x = values(rng, (1, 2, 3, 20), FLOAT32)
    assert_lrn(tlg.lrn(x).numpy(), x, Params(5, 1, 1, 0.5))
    assert_lrn(tf.raw_ops.LRN(input=x).numpy(), x, Params(5, 1, 1, 0.5))


def test_attributes_by_position(rng: np.random.Generator) -> None:
    x = values(rng, (1, 2, 3, 20), FLOAT32)
    assert_lrn(tlg.lrn(x, 3, 1.5, 0.25, 0.75).numpy(), x, Params(3, 1.5, 0.25, 0.75))


def test_name_is_the_operation_s() -> None:
    with tf.Graph().as_default():
        x = tf.compat.v1.placeholder(tf.float32, [1, 1, 1, 4])
        assert tlg.lrn(x, name="norm1").op.name == "norm1"


@pytest.mark.parametrize(
    "convert",
    [tf.constant, tf.Variable, np.ndarray.tolist, np.asfortranarray],
    ids=["tensor", "variable", "list", "fortran_order"],
)
def test_whatever_converts_to_a_tensor(
    rng: np.random.Generator, convert: Callable
) -> None:
    x = rng.normal(size=(2, 2, 3, 5)).astype(np.float32)
    assert_lrn(tlg.lrn(convert(x)).numpy(), x, Params())


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_, list])
def test_integers_that_are_no_tensor_become_float32(run: Callable, dtype: type) -> None:
    """As with the stock op."""
    x = np.array([0, 1, 1, 0]).reshape(1, 1, 1, 4)
    value = x.tolist() if dtype is list else x.astype(dtype)
    y = run(lambda: tlg.lrn(value))
    assert y.dtype == FLOAT32
    assert_lrn(y, x.astype(FLOAT32), Params())


@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_floating_arrays_keep_their_type(run: Callable, dtype: np.dtype) -> None:
    assert run(lambda: tlg.lrn(np.ones((1, 1, 1, 3), dtype))).dtype == dtype


@pytest.mark.parametrize("radius", [2.0, np.float32(2)])
def test_whole_floats_are_radii(radius: float, rng: np.random.Generator) -> None:
    x = values(rng, (1, 2, 3, 20), FLOAT32)
    assert_lrn(tlg.lrn(x, radius).numpy(), x, Params(2, 1, 1, 0.5))


def test_attributes_that_are_none_are_defaults(run: Callable) -> None:
    x = np.arange(40, dtype=FLOAT32).reshape(1, 1, 2, 20)
    y = run(lambda t: tlg.lrn(t, None, None, None, None), x)
    np.testing.assert_array_equal(y, tlg.lrn(x))


@pytest.mark.parametrize("scale", [1e-15, 1e-3, 1e3, 1e15])
@pytest.mark.parametrize("beta", [0.5, 0.75, 0.3, -0.5])
def test_scales_far_from_one(
    device: str, rng: np.random.Generator, scale: float, beta: float
) -> None:
    """Norms from 1e-30 to 1e30: a power's error must not grow with its logarithm."""
    x = (scale * rng.normal(size=(4, 4, 4, 24))).astype(np.float32)
    p = Params(5, 0, 1, beta)
    assert_lrn(tlg.lrn(x, **p.attributes()).numpy(), x, p, least_compared=1)


@pytest.mark.parametrize("beta", [1e-30, 2.5, 3, 10, -1, -2, -3.7])
def test_unusual_powers(device: str, rng: np.random.Generator, beta: float) -> None:
    x = rng.normal(size=(2, 4, 4, 24)).astype(np.float32)
    for p in (Params(2, 2, 0.5, beta), Params(2, -20, 0.01, beta)):
        assert_lrn(tlg.lrn(x, **p.attributes()).numpy(), x, p)


@pytest.mark.parametrize("radius", [5, 100, 2**30, 2**31 - 2, 2**31, 2**63 - 1])
def test_radius_past_the_row(
    device: str, rng: np.random.Generator, radius: int
) -> None:
    """All radii of channels - 1 or more give the same, up to the largest int64."""
    x = values(rng, (2, 1, 3, 6), FLOAT32)
    np.testing.assert_array_equal(
        tlg.lrn(x, depth_radius=radius), tlg.lrn(x, depth_radius=5)
    )


def test_enough_rows_for_all_threads(device: str, rng: np.random.Generator) -> None:
    p = Params(2, 1, 0.1, 0.75)
    x = values(rng, (8, 55, 55, 33), FLOAT32)
    assert_lrn(tlg.lrn(x, **p.attributes()).numpy(), x, p, least_compared=1)
