"""The same inputs give the same bits for any threads, rows, modes and buffers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from cases import case_id, values
from oracle import DTYPES, FLOAT32, Params, assert_lrn_grad

import tensorflow_lrn_grad as tlg

P = Params(2, 1, 0.5, 0.75)
WIDE = Params(20, 1, 0.5, 0.75)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=case_id)


def assert_same_bits(a: np.ndarray, b: np.ndarray) -> None:
    """Bitwise equality, which tells 0 from -0, except that all NaNs count as equal:
    an operation on two NaNs may return either."""
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    a, b = (np.where(np.isnan(v), v.dtype.type(np.nan), v) for v in (a, b))
    assert a.tobytes() == b.tobytes()


def operands(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype
) -> list[np.ndarray]:
    """dy, x and y with scattered NaNs, infinities and denormal numbers."""
    arrays = []
    for _ in range(3):
        a = values(rng, shape, dtype)
        flat = a.reshape(-1)
        for special in (np.nan, np.inf, -np.inf, 1e-40):
            flat[rng.integers(0, flat.size, size=flat.size // 500)] = special
        arrays.append(a)
    return arrays


# Large enough to be split across threads, for every type and a wide window.
IN_A_PROCESS = """
    import hashlib
    import sys
    import numpy as np
    import tensorflow as tf
    import tensorflow_lrn_grad as tlg
    threads = int(sys.argv[1])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    rng = np.random.default_rng(1)
    digest = hashlib.sha256()
    data = [rng.normal(size=(4, 40, 40, 37)) for _ in range(3)]
    for a in data:
        a.reshape(-1)[rng.integers(0, a.size, size=500)] = 1e-40
        a.reshape(-1)[rng.integers(0, a.size, size=50)] = np.nan
    for dtype in (tf.half, tf.bfloat16, tf.float32, tf.float64):
        dy, x, y = (tf.cast(a, dtype) for a in data)
        for radius in (2, 20):
            for beta in (0.5, 0.75, 0.3):
                attributes = radius, 1.0, 0.5, beta
                for result in (
                    tlg.lrn(x, *attributes).numpy(),
                    tlg.lrn_grad(dy, x, y, *attributes).numpy(),
                    tlg.lrn_grad(dy, x, None, *attributes).numpy(),
                ):
                    result[np.isnan(result)] = np.nan  # All NaNs count as equal.
                    digest.update(result.tobytes())
    print(digest.hexdigest())
    """


def test_any_number_of_threads(child: Callable) -> None:
    digests = []
    for threads in (1, 2, 7):
        result = child(IN_A_PROCESS, threads, CUDA_VISIBLE_DEVICES="-1")
        assert result.returncode == 0, result.stderr
        digests.append(result.stdout)
    assert len(digests[0]) > 60
    assert digests == digests[:1] * 3


@dtypes
@pytest.mark.parametrize("p", [P, WIDE], ids=case_id)
@pytest.mark.parametrize("channels", [1, 5, 16, 37, 96])
def test_rows_are_independent(
    device: str, rng: np.random.Generator, channels: int, p: Params, dtype: np.dtype
) -> None:
    """A row gets the same bits in any part of a batch, and in any order."""
    rows = max(41, 3000 // channels)
    dy, x, y = operands(rng, (rows, 1, 1, channels), dtype)
    dx = tlg.lrn_grad(dy, x, y, **p.attributes()).numpy()
    dx_without_y = tlg.lrn_grad(dy, x, **p.attributes()).numpy()
    out = tlg.lrn(x, **p.attributes()).numpy()
    for cut in ((0, 1), (0, 3), (1, rows), (7, 24), (rows - 1, rows)):
        part = slice(*cut)
        assert_same_bits(
            tlg.lrn_grad(dy[part], x[part], y[part], **p.attributes()).numpy(), dx[part]
        )
        assert_same_bits(
            tlg.lrn_grad(dy[part], x[part], **p.attributes()).numpy(),
            dx_without_y[part],
        )
        assert_same_bits(tlg.lrn(x[part], **p.attributes()).numpy(), out[part])
    order = rng.permutation(rows)
    assert_same_bits(
        tlg.lrn_grad(dy[order], x[order], y[order], **p.attributes()).numpy(), dx[order]
    )
    assert_same_bits(
        tlg.lrn_grad(dy[order], x[order], **p.attributes()).numpy(), dx_without_y[order]
    )


def test_all_that_comes_before_channels_is_rows(
    device: str, rng: np.random.Generator
) -> None:
    dy, x, y = operands(rng, (6, 5, 4, 19), FLOAT32)
    for inputs in ((dy, x, y), (dy, x)):
        dx = tlg.lrn_grad(*inputs, **P.attributes()).numpy()
        flat = (a.reshape(1, 120, 1, 19) for a in inputs)
        again = tlg.lrn_grad(*flat, **P.attributes()).numpy()
        assert_same_bits(again.reshape(dx.shape), dx)


@dtypes
def test_every_run(device: str, rng: np.random.Generator, dtype: np.dtype) -> None:
    arrays = operands(rng, (4, 30, 30, 33), dtype)
    for inputs in (arrays, arrays[:2]):
        first = tlg.lrn_grad(*inputs, **P.attributes()).numpy()
        for _ in range(5):
            again = tlg.lrn_grad(*inputs, **P.attributes()).numpy()
            assert_same_bits(again, first)


@pytest.mark.parametrize("p", [P, WIDE], ids=case_id)
def test_every_mode(
    device: str, run: Callable, rng: np.random.Generator, p: Params
) -> None:
    arrays = operands(rng, (4, 10, 10, 33), FLOAT32)
    for inputs in (arrays, arrays[:2]):
        eager = tlg.lrn_grad(*inputs, **p.attributes()).numpy()
        other = run(lambda *t: tlg.lrn_grad(*t, **p.attributes()), *inputs)
        assert_same_bits(other, eager)


def buffers(metadata: tf.compat.v1.RunMetadata) -> dict[str, int]:
    """The address of each output in a traced run, by the tensor's name: "x", "x:1" and
    so on."""
    return {
        node.node_name + (f":{output.slot}" if output.slot else ""): (
            output.tensor_description.allocation_description.ptr
        )
        for device_stats in metadata.step_stats.dev_stats
        for node in device_stats.node_stats
        for output in node.output
    }


def run_traced(
    fetches: list[tf.Tensor], feeds: dict[tf.Tensor, np.ndarray]
) -> tuple[list[np.ndarray], dict[str, int]]:
    v1 = tf.compat.v1
    metadata = v1.RunMetadata()
    options = v1.RunOptions(trace_level=v1.RunOptions.FULL_TRACE)
    with v1.Session() as session:
        results = session.run(fetches, feeds, options=options, run_metadata=metadata)
    return results, buffers(metadata)


@dtypes
@pytest.mark.parametrize("p", [P, WIDE], ids=case_id)
@pytest.mark.parametrize(
    "names, free",
    [
        *(("dy x y", free) for free in ("dy", "x", "y", None)),
        *(("dy x", free) for free in ("dy", "x", None)),
    ],
)
def test_output_in_an_input_s_buffer(
    rng: np.random.Generator,
    names: str,
    free: str | None,
    p: Params,
    dtype: np.dtype,
) -> None:
    """The output takes over the buffer of an input that nothing else needs, as the
    trace of the run shows. The bits are the same as in an eager call."""
    arrays = operands(rng, (3, 5, 7, 33), dtype)[: len(names.split())]
    with tf.Graph().as_default():
        feeds = [tf.compat.v1.placeholder(dtype) for _ in arrays]
        # Each input is computed, so that its buffer belongs to the run.
        inputs = {
            name: tf.negative(feed, name=name)
            for name, feed in zip(names.split(), feeds, strict=True)
        }
        dx = tlg.lrn_grad(*inputs.values(), name="dx", **p.attributes())
        needed = [tensor for name, tensor in inputs.items() if name != free]
        results, address = run_traced(
            [dx, *needed], dict(zip(feeds, arrays, strict=True))
        )
    if free:
        assert address["dx"] == address[free]
    else:
        assert address["dx"] not in {address[name] for name in inputs}
    eager = tlg.lrn_grad(*(-a for a in arrays), **p.attributes()).numpy()
    assert_same_bits(results[0], eager)


@dtypes
@pytest.mark.parametrize("p", [P, WIDE], ids=case_id)
def test_lrn_in_its_input_s_buffer(
    rng: np.random.Generator, p: Params, dtype: np.dtype
) -> None:
    _, x, _ = operands(rng, (3, 5, 7, 33), dtype)
    with tf.Graph().as_default():
        feed = tf.compat.v1.placeholder(dtype)
        y = tlg.lrn(tf.negative(feed, name="x"), name="y", **p.attributes())
        (result,), address = run_traced([y], {feed: x})
    assert address["y"] == address["x"]
    assert_same_bits(result, tlg.lrn(-x, **p.attributes()).numpy())


@dtypes
@pytest.mark.parametrize("p", [P, WIDE], ids=case_id)
@pytest.mark.parametrize("y_is_given", [True, False], ids=["y", "no_y"])
@pytest.mark.parametrize("needed", [(), ("dy",), ("x",), ("y",), ("dy", "x", "y")])
def test_second_gradients_in_their_inputs_buffers(
    rng: np.random.Generator,
    needed: tuple[str, ...],
    y_is_given: bool,
    p: Params,
    dtype: np.dtype,
) -> None:
    """Each gradient takes over its own input's buffer if nothing else needs that."""
    library = tlg._load.library
    if y_is_given:
        op, names = library.tflrn_lrn_grad_grad, ("u", "dy", "x", "y")
    else:
        op, names = library.tflrn_lrn_grad_grad_from_input, ("u", "dy", "x")
    shape = (3, 5, 7, 33)
    arrays = [*operands(rng, shape, dtype), values(rng, shape, dtype)][: len(names)]
    needed = [name for name in needed if name in names]
    with tf.Graph().as_default():
        feeds = [tf.compat.v1.placeholder(dtype) for _ in arrays]
        inputs = {
            name: tf.negative(feed, name=name)
            for name, feed in zip(names, feeds, strict=True)
        }
        outputs = op(*inputs.values(), name="second", **p.attributes())
        fetches = [*outputs, *(inputs[name] for name in needed)]
        results, address = run_traced(fetches, dict(zip(feeds, arrays, strict=True)))
    assert len(outputs) == len(names) - 1
    for output, name in zip(outputs, names[1:], strict=True):
        taken_over = address[output.name.removesuffix(":0")] == address[name]
        assert taken_over == (name not in needed)
    eager = op(*(tf.constant(-a) for a in arrays), **p.attributes())
    for result, expected in zip(results, eager, strict=False):
        assert_same_bits(result, expected.numpy())


@pytest.mark.parametrize("p", [P, WIDE], ids=case_id)
@pytest.mark.parametrize("inputs", [3, 2])
def test_one_tensor_as_all_inputs(
    device: str, run: Callable, rng: np.random.Generator, inputs: int, p: Params
) -> None:
    x = values(rng, (3, 5, 7, 33), FLOAT32)

    def op(t: tf.Tensor) -> tf.Tensor:
        t = tf.negative(t)
        return tlg.lrn_grad(*[t] * inputs, **p.attributes())

    assert_lrn_grad(run(op, x), -x, -x, -x if inputs == 3 else None, p)


def test_inputs_are_left_alone(device: str, rng: np.random.Generator) -> None:
    arrays = operands(rng, (3, 5, 7, 33), FLOAT32)
    tensors = [tf.constant(a) for a in arrays]
    tlg.lrn(tensors[1])
    tlg.lrn_grad(*tensors)
    tlg.lrn_grad(*tensors[:2])
    for tensor, array in zip(tensors, arrays, strict=True):
        assert_same_bits(tensor.numpy(), array)
