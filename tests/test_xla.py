"""The ops compiled by XLA give the same bits as outside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from cases import case_id, oracle_cases, shape_for, values
from oracle import DTYPES, FLOAT32, Params
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

import tensorflow_lrn_grad as tlg
from tensorflow_lrn_grad._load import library

pytestmark = pytest.mark.skipif(
    not tlg.build_info()["xla"],
    reason=f"built without XLA: TensorFlow {tlg.build_info()['tensorflow']} has no "
    "xla/ffi/api/ffi.h",
)

P = Params(2, 1.0, 0.5, 0.75)
HANDLERS = (
    "tflrn.lrn.v1",
    "tflrn.lrn_grad.v1",
    "tflrn.lrn_grad_from_input.v1",
    "tflrn.lrn_grad_grad.v1",
    "tflrn.lrn_grad_grad_from_input.v1",
)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=case_id)


def compiled(function: Callable, **options: object) -> Callable:
    return tf.function(function, jit_compile=True, **options)


def hlo(function: Callable, *arguments: object) -> str:
    return function.experimental_get_compiler_ir(*arguments)(stage="optimized_hlo")


def assert_same_bits(a: tf.Tensor, b: tf.Tensor) -> None:
    """Bitwise equality, which tells one NaN from another and 0 from -0."""
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert a.numpy().tobytes() == b.numpy().tobytes()


def all_ops(p: Params) -> Callable[..., list[tf.Tensor]]:
    """A function of u, dy, x and y that returns the results of all ops."""

    def function(
        u: tf.Tensor, dy: tf.Tensor, x: tf.Tensor, y: tf.Tensor
    ) -> list[tf.Tensor]:
        attributes = p.attributes()
        return [
            tlg.lrn(x, **attributes),
            tlg.lrn_grad(dy, x, y, **attributes),
            tlg.lrn_grad(dy, x, **attributes),
            *library.tflrn_lrn_grad_grad(u, dy, x, y, **attributes),
            *library.tflrn_lrn_grad_grad_from_input(u, dy, x, **attributes),
        ]

    return function


def operands(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype
) -> list[tf.Tensor]:
    """u, dy, x and y, each with a NaN, an infinity and a denormal number."""
    tensors = []
    for _ in range(4):
        a = values(rng, shape, dtype)
        flat = a.reshape(-1)
        if flat.size > 3:
            places = rng.choice(flat.size, size=3, replace=False)
            flat[places] = np.array([np.nan, np.inf, 1e-40]).astype(dtype)
        tensors.append(tf.constant(a))
    return tensors


def assert_compiled_as_outside(p: Params, tensors: list[tf.Tensor]) -> None:
    outside = all_ops(p)(*tensors)
    inside = compiled(all_ops(p))(*tensors)
    assert len(inside) == 8
    for a, b in zip(inside, outside, strict=True):
        assert_same_bits(a, b)


@dtypes
@pytest.mark.parametrize("channels, p", oracle_cases(), ids=case_id)
def test_bits(
    device: str, channels: int, p: Params, dtype: np.dtype, rng: np.random.Generator
) -> None:
    assert_compiled_as_outside(p, operands(rng, shape_for(channels), dtype))


@dtypes
@pytest.mark.parametrize("dimension", range(4))
def test_empty(
    device: str, dimension: int, dtype: np.dtype, rng: np.random.Generator
) -> None:
    shape = [2, 3, 4, 5]
    shape[dimension] = 0
    assert_compiled_as_outside(P, operands(rng, tuple(shape), dtype))


@pytest.mark.parametrize(
    "p",
    [
        Params(2**62, 1.0, 1.0, 0.5),
        Params(0, np.float32(1 / 3), 1e-38, 1e-44),
        Params(3, 3.4028235e38, -1e30, -1.1754944e-38),
    ],
    ids=["radius", "denormal", "largest"],
)
def test_attributes_arrive_exactly(
    device: str, p: Params, rng: np.random.Generator
) -> None:
    assert_compiled_as_outside(p, operands(rng, (1, 2, 3, 17), FLOAT32))


def test_they_are_calls_of_our_handlers(device: str, rng: np.random.Generator) -> None:
    text = hlo(compiled(all_ops(P)), *operands(rng, (1, 2, 3, 8), FLOAT32))
    for handler in HANDLERS:
        assert f'custom_call_target="{handler}"' in text


def test_other_layouts_are_made_row_major(
    device: str, rng: np.random.Generator
) -> None:
    """XLA would rather pass on a transposed tensor in the layout it has."""
    x = tf.constant(rng.normal(size=(2, 6, 5, 4)).astype(FLOAT32))

    def function(x: tf.Tensor) -> tf.Tensor:
        y = tlg.lrn(tf.transpose(x, [0, 2, 3, 1]), **P.attributes())
        return tf.transpose(y, [0, 3, 1, 2])

    assert_same_bits(compiled(function)(x), function(x))


def test_inside_of_other_work(device: str, rng: np.random.Generator) -> None:
    """In a loop, in a branch, next to and between fused operations."""
    x = tf.constant(rng.normal(size=(2, 3, 4, 9)).astype(FLOAT32))

    def function(x: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(3):
            if tf.reduce_any(x > 0):
                x = 2.0 * tlg.lrn(tf.nn.relu(x) + x, **P.attributes()) - 1.0
        return x

    plain, with_xla = tf.function(function), compiled(function)
    # XLA's own operations between them round differently.
    np.testing.assert_allclose(with_xla(x), plain(x), rtol=1e-5, atol=1e-5)


@dtypes
def test_gradients(device: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    """With the tape outside a compiled forward function, and inside a compiled one."""
    x, dy, u = (
        tf.constant(rng.normal(size=(2, 3, 4, 9)).astype(dtype)) for _ in range(3)
    )

    def forward(x: tf.Tensor) -> tf.Tensor:
        return tlg.lrn(x, **P.attributes())

    def gradient(forward: Callable, x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = forward(x)
        return tape.gradient(y, x, dy)

    def second(forward: Callable, x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            dx = gradient(forward, x)
        return tape.gradient(dx, x, u)

    for order in (gradient, second):
        outside = order(forward, x)
        tape_outside = order(compiled(forward), x)
        tape_inside = compiled(lambda x, order=order: order(forward, x))(x)
        if order is gradient:
            assert_same_bits(tape_outside, outside)
            assert_same_bits(tape_inside, outside)
        else:
            # A sum of two terms: in 16-bit types, XLA may round it once instead of
            # twice.
            eps = float(np.finfo(np.float32).eps) if dtype.itemsize > 2 else 2**-6
            for result in (tape_outside, tape_inside):
                np.testing.assert_allclose(
                    tf.cast(result, tf.float64),
                    tf.cast(outside, tf.float64),
                    rtol=eps,
                    atol=eps,
                )


@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 3, 4, 5), (2, 3, 4, 6), (2, 3, 4, 5)],
        [(2, 3, 4, 5), (2, 3, 4, 5), (1, 3, 4, 5)],
        [(2, 3, 4), (2, 3, 4), (2, 3, 4)],
        [(2, 3, 4, 5), (2, 3, 4, 5), ()],
        [(2, 3, 4, 5), (2, 3, 1, 5)],
        [(2, 3, 4), (2, 3, 4, 5)],
    ],
    ids=str,
)
def test_bad_shapes_are_errors_of_the_compilation(
    device: str, shapes: list[tuple]
) -> None:
    """With the same message as outside XLA."""
    tensors = [tf.ones(shape) for shape in shapes]
    with pytest.raises(tf.errors.InvalidArgumentError) as outside:
        tlg.lrn_grad(*tensors)
    said = outside.value.message.split(" [Op:")[0].split("}} ")[-1]
    assert "must have" in said
    unknown = [tf.TensorSpec(None, tf.float32)] * len(shapes)
    function = compiled(lambda *t: tlg.lrn_grad(*t), input_signature=unknown)
    with pytest.raises(tf.errors.InvalidArgumentError) as inside:
        function(*tensors)
    # At run time, a handler knows its operands by number, not by these names.
    assert said in inside.value.message


def test_every_batch_size(device: str, rng: np.random.Generator) -> None:
    signature = [tf.TensorSpec([None, None, None, 7], tf.float32)] * 4
    function = compiled(all_ops(P), input_signature=signature)
    for batch in (1, 5, 2, 0, 5):
        tensors = operands(rng, (batch, 2, 3, 7), FLOAT32)
        for a, b in zip(function(*tensors), all_ops(P)(*tensors), strict=True):
            assert_same_bits(a, b)
    assert function.experimental_get_tracing_count() == 1


def test_a_size_that_depends_on_values(device: str, rng: np.random.Generator) -> None:
    """XLA computes such tensors in the largest size they may have."""
    x = tf.constant(rng.normal(size=(6, 2, 3, 5)).astype(FLOAT32))

    def function(x: tf.Tensor) -> list[tf.Tensor]:
        some = tf.boolean_mask(x, x[:, 0, 0, 0] > 0)
        y = tlg.lrn(some, **P.attributes())
        dx = tlg.lrn_grad(y, some, y, **P.attributes())
        without_y = tlg.lrn_grad(y, some, **P.attributes())
        results = y, dx, without_y
        return [tf.reduce_mean(result, axis=0) for result in results]

    inside, outside = compiled(function)(x), function(x)
    for a, b in zip(inside, outside, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("which", range(1, 8))
def test_a_size_of_some_inputs_that_depends_on_values(
    device: str, which: int, rng: np.random.Generator
) -> None:
    """The other inputs have a static size; each bit of `which` stands for an input."""
    tensors = [
        tf.constant(rng.normal(size=(6, 2, 3, 5)).astype(FLOAT32)) for _ in range(3)
    ]

    def function(*tensors: tf.Tensor) -> tf.Tensor:
        all_of_them = tf.reduce_max(tf.abs(tensors[0]), axis=(1, 2, 3)) >= 0
        inputs = (
            tf.boolean_mask(t, all_of_them) if which & 1 << i else t
            for i, t in enumerate(tensors)
        )
        return tlg.lrn_grad(*inputs, **P.attributes())

    assert_same_bits(compiled(function)(*tensors), function(*tensors))
    if which < 4:
        two = tensors[:2]
        assert_same_bits(compiled(function)(*two), function(*two))


def test_vectorized_map_over_a_number_that_depends_on_values(
    device: str, rng: np.random.Generator
) -> None:
    x = tf.constant(rng.normal(size=(6, 2, 3, 5)).astype(FLOAT32))

    def function(x: tf.Tensor) -> tf.Tensor:
        some = tf.boolean_mask(x, x[:, 0, 0, 0] > 0)
        return tf.vectorized_map(lambda t: tlg.lrn(t[None], **P.attributes()), some)

    assert_same_bits(compiled(function)(x), function(x))


def test_inputs_with_more_channels_than_one_that_depends_on_values(
    device: str, rng: np.random.Generator
) -> None:
    """XLA cannot tell that the sizes differ. What is beyond them must not count."""
    dy, x, y = (
        tf.constant(rng.normal(size=(1, 2, 3, 8)).astype(FLOAT32)) for _ in range(3)
    )
    there = tf.range(8) < 5

    @compiled
    def function(dy: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        some = tf.boolean_mask(x, there, axis=3)
        return tlg.lrn_grad(dy, some, y, **P.attributes())

    expected = tlg.lrn_grad(dy[..., :5], x[..., :5], y[..., :5], **P.attributes())
    np.testing.assert_allclose(function(dy, x, y), expected, rtol=1e-5, atol=1e-6)


def test_third_derivative_of_a_size_that_depends_on_values(
    device: str, rng: np.random.Generator
) -> None:
    x = tf.constant(rng.normal(size=(6, 2, 3, 5)).astype(FLOAT32))

    def order(n: int, x: tf.Tensor) -> tf.Tensor:
        if n == 0:
            return tlg.lrn(tf.boolean_mask(x, x[:, 0, 0, 0] > 0), **P.attributes())
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(order(n - 1, x) ** 2)
        return tape.gradient(y, x)

    outside = order(3, x)
    inside = compiled(lambda x: order(3, x))(x)
    scale = float(tf.reduce_max(tf.abs(outside)))
    np.testing.assert_allclose(inside, outside, rtol=0, atol=1e-5 * scale)


def test_a_number_of_channels_that_depends_on_values(
    device: str, rng: np.random.Generator
) -> None:
    """The padding channels may hold anything, but must contribute nothing."""
    tensors = rng.normal(size=(4, 2, 1, 3, 40)).astype(FLOAT32)
    there = rng.random(40) < 0.7

    def function(there: tf.Tensor, *tensors: tf.Tensor) -> list[tf.Tensor]:
        return all_ops(P)(*(tf.boolean_mask(t, there, 3) + 3 for t in tensors))

    inside, outside = compiled(function)(there, *tensors), function(there, *tensors)
    for a, b in zip(inside, outside, strict=True):
        assert a.shape[3] == sum(there)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


ATTRIBUTES = {
    "depth_radius": "5 : i64",
    "bias": "1.0 : f32",
    "alpha": "1.0 : f32",
    "beta": "0.5 : f32",
}


MLIR_TYPES = {tf.float32: "f32", tf.float16: "f16", tf.int32: "i32"}


def mlir_type(tensor: tf.Tensor) -> str:
    return f"tensor<{'x'.join([*map(str, tensor.shape), MLIR_TYPES[tensor.dtype]])}>"


def call_handler(
    device: str,
    attributes: dict[str, str],
    *inputs: tf.Tensor,
    handler: str = "tflrn.lrn.v1",
    result: tf.Tensor | None = None,
) -> tf.Tensor:
    """Calls a handler as another program would; the result has the shape and type of
    the first input, or of `result`."""
    result = inputs[0] if result is None else result
    dictionary = ", ".join(f"{name} = {value}" for name, value in attributes.items())
    names = [f"%x{i}" for i in range(len(inputs))]
    types = list(map(mlir_type, inputs))
    arguments = ", ".join(f"{n}: {t}" for n, t in zip(names, types, strict=True))
    program = f"""
        func.func public @main({arguments}) -> {mlir_type(result)} {{
          %y = stablehlo.custom_call @{handler}({", ".join(names)}) {{
            api_version = 4 : i32, backend_config = {{{dictionary}}}
          }} : ({", ".join(types)}) -> {mlir_type(result)}
          return %y : {mlir_type(result)}
        }}"""

    @compiled
    def function(*inputs: tf.Tensor) -> tf.Tensor:
        (y,) = gen_xla_ops.xla_call_module(
            args=inputs,
            version=9,
            module=program,
            Sout=[result.shape],
            Tout=[result.dtype],
            platforms=["CPU" if device == "CPU:0" else "CUDA"],
            dim_args_spec=[],
            has_token_input_output=False,
            function_list=[],
            disabled_checks=[],
        )
        return y

    return function(*inputs)


def test_a_handler_called_by_another_program(
    device: str, rng: np.random.Generator
) -> None:
    dy, x, y = (
        tf.constant(rng.normal(size=(1, 2, 3, 8)).astype(FLOAT32)) for _ in range(3)
    )
    assert_same_bits(call_handler(device, ATTRIBUTES, x), tlg.lrn(x))
    dx = call_handler(device, ATTRIBUTES, dy, x, y, handler="tflrn.lrn_grad.v1")
    assert_same_bits(dx, tlg.lrn_grad(dy, x, y))
    handler = "tflrn.lrn_grad_from_input.v1"
    dx = call_handler(device, ATTRIBUTES, dy, x, handler=handler)
    assert_same_bits(dx, tlg.lrn_grad(dy, x))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"depth_radius": "-1 : i64"}, "depth_radius must be 0 or more"),
        ({"beta": "0x7FC00000 : f32"}, "beta must be a finite number"),
        ({"alpha": "1.0 : f64"}, "attribute alpha"),
        ({"depth_radius": "5 : i32"}, "attribute depth_radius"),
        ({"gamma": "1.0 : f32"}, "has unknown attributes"),
    ],
)
def test_handlers_check_their_attributes(
    device: str, wrong: dict[str, str], message: str
) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call_handler(device, {**ATTRIBUTES, **wrong}, tf.ones((1, 1, 1, 4)))
    name = next(iter(wrong))
    if name in ATTRIBUTES:
        fewer = {k: v for k, v in ATTRIBUTES.items() if k != name}
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"attribute {name}"):
            call_handler(device, fewer, tf.ones((1, 1, 1, 4)))


def test_handlers_check_their_buffers(device: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have rank 4"):
        call_handler(device, ATTRIBUTES, tf.ones((2, 4)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be of type F16"):
        call_handler(device, ATTRIBUTES, tf.ones((1, 1, 2, 4), tf.int32))


@pytest.mark.parametrize(
    "other",
    [tf.ones((1, 1, 2, 5)), tf.ones((1, 2, 4)), tf.ones((1, 1, 2, 4), tf.half)],
    ids=lambda t: f"{t.shape}-{t.dtype.name}",
)
def test_handlers_check_that_buffers_are_alike(device: str, other: tf.Tensor) -> None:
    """The first one determines the number of rows."""
    x = tf.ones((1, 1, 2, 4))
    for handler, inputs, wrong in (
        ("tflrn.lrn_grad.v1", [x, other, x], 1),
        ("tflrn.lrn_grad.v1", [x, x, other], 2),
        ("tflrn.lrn_grad_from_input.v1", [x, other], 1),
    ):
        message = f"operand {wrong} must have the shape and type of operand 0"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            call_handler(device, ATTRIBUTES, *inputs, handler=handler)
    message = "result 0 must have the shape and type of operand 0"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call_handler(device, ATTRIBUTES, x, result=other)


def test_handlers_count_their_buffers(device: str) -> None:
    x = tf.ones((1, 1, 2, 4))
    message = "must have 1 operands and 1 results, but has 2 and 1"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call_handler(device, ATTRIBUTES, x, x)
    message = "must have 3 operands and 1 results, but has 2 and 1"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call_handler(device, ATTRIBUTES, x, x, handler="tflrn.lrn_grad.v1")
    message = "must have 2 operands and 1 results, but has 3 and 1"
    handler = "tflrn.lrn_grad_from_input.v1"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call_handler(device, ATTRIBUTES, x, x, x, handler=handler)


AUTO_CLUSTERING = """
    import sys
    import numpy as np
    import tensorflow as tf
    import tensorflow_lrn_grad as tlg

    @tf.function
    def function(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tlg.lrn(tf.nn.relu(x * 2.0), depth_radius=2, beta=0.75)
        return y, tape.gradient(y, x, dy)

    rng = np.random.default_rng(1)
    x, dy = (tf.constant(rng.normal(size=(2, 3, 4, 9)), tf.float32) for _ in range(2))
    np.savez(sys.argv[1], *map(np.asarray, function(x, dy)))
    """


def test_auto_clustering_keeps_them(child: Callable, tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    for name, environment in (
        ("plain.npz", {}),
        (
            "clustered.npz",
            {
                "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit "
                "--tf_xla_min_cluster_size=1",
                "XLA_FLAGS": f"--xla_dump_to={dump}",
            },
        ),
    ):
        result = child(AUTO_CLUSTERING, tmp_path / name, **environment)
        assert result.returncode == 0, result.stderr
    plain, clustered = (
        np.load(tmp_path / name) for name in ("plain.npz", "clustered.npz")
    )
    for name in plain:
        np.testing.assert_array_equal(clustered[name], plain[name])
    modules = "".join(path.read_text() for path in dump.glob("*.txt"))
    assert '"tflrn.lrn.v1"' in modules
    assert '"tflrn.lrn_grad_from_input.v1"' in modules


# Prints a digest of the results, and how evenly the threads shared the work.
THREADS = """
    import hashlib
    import sys
    from pathlib import Path
    import numpy as np
    import tensorflow as tf
    import tensorflow_lrn_grad as tlg
    from tensorflow_lrn_grad._load import library

    threads = int(sys.argv[1])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)

    @tf.function(jit_compile=True)
    def function(x):
        y = tlg.lrn(x, 2)
        firsts = tlg.lrn_grad(x, x, y, 20), tlg.lrn_grad(x, x, None, 20)
        seconds = library.tflrn_lrn_grad_grad(x, x, x, y)
        return y, *firsts, *seconds, *library.tflrn_lrn_grad_grad_from_input(x, x, x)

    def times():
        tasks = Path("/proc/self/task").iterdir()
        return {t.name: int((t / "schedstat").read_text().split()[0]) for t in tasks}

    rng = np.random.default_rng(1)
    x = tf.constant(rng.normal(size=(16, 40, 40, 37)), tf.float32)
    digest = hashlib.sha256()
    for result in function(x):
        digest.update(result.numpy().tobytes())
    before = times()
    for _ in range(100):
        function(x)
    used = sorted(t - before.get(name, 0) for name, t in times().items())
    print(digest.hexdigest(), used[-2] / used[-1])
    """


def test_rows_are_shared_over_xla_s_threads(child: Callable) -> None:
    digests, shares = [], []
    for threads in (1, 2, 7):
        result = child(THREADS, threads, CUDA_VISIBLE_DEVICES="-1")
        assert result.returncode == 0, result.stderr
        digest, share = result.stdout.split()
        digests.append(digest)
        shares.append(float(share))
    assert digests == digests[:1] * 3
    # CPU time of the second busiest thread, relative to the busiest.
    assert shares[0] < 0.05
    assert shares[1] > 0.1
    assert shares[2] > 0.1
