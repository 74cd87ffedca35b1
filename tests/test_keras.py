"""The Keras layer: values, shapes, types, saving, and training compiled by XLA."""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracle import FLOAT32, Params, assert_lrn

import tensorflow_lrn_grad as tlg
from tensorflow_lrn_grad.keras import LocalResponseNormalization

P = Params(2, 1.5, 0.5, 0.75)

RANKS = pytest.mark.parametrize(
    "shape",
    [(3, 7), (3, 4, 7), (3, 4, 5, 7), (2, 3, 2, 3, 7), (2, 1, 3, 2, 2, 7)],
    ids=lambda shape: f"rank{len(shape)}",
)


def layer(**arguments: object) -> LocalResponseNormalization:
    return LocalResponseNormalization(**P.attributes(), **arguments)


def test_defaults_are_the_ops() -> None:
    config = LocalResponseNormalization().get_config()
    expected = {"depth_radius": 5, "bias": 1.0, "alpha": 1.0, "beta": 0.5}
    assert config.items() >= {**expected, "data_format": "channels_last"}.items()


def test_default_data_format_is_keras_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read once, at construction."""
    before = LocalResponseNormalization()
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    after = LocalResponseNormalization(data_format=None)
    assert before.get_config()["data_format"] == "channels_last"
    assert after.get_config()["data_format"] == "channels_first"
    assert LocalResponseNormalization.from_config(before.get_config()).data_format == (
        "channels_last"
    )


def test_construction_does_not_start_tensorflow(child: Callable) -> None:
    """Devices and distribution strategies can be configured afterwards, and no op is
    added to a graph."""
    result = child("""
        import tensorflow as tf
        from tensorflow_lrn_grad.keras import LocalResponseNormalization

        with tf.Graph().as_default() as graph:
            LocalResponseNormalization(2)
        assert not graph.get_operations()
        LocalResponseNormalization(2)
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        print(len(tf.config.list_logical_devices("CPU")))
    """)
    assert result.stdout == "2\n", result.stderr


@RANKS
def test_any_rank(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.normal(size=shape).astype(FLOAT32)
    y = layer()(x)
    assert_lrn(y.numpy().reshape(1, 1, -1, 7), x.reshape(1, 1, -1, 7), P)
    assert y.shape == shape


@RANKS
def test_channels_first(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.normal(size=shape).astype(FLOAT32)
    last = layer()(x).numpy()
    first = layer(data_format="channels_first")(np.moveaxis(x, -1, 1))
    np.testing.assert_array_equal(np.moveaxis(first.numpy(), 1, -1), last)


@RANKS
def test_empty(shape: tuple[int, ...]) -> None:
    for empty in ((0, *shape[1:]), (*shape[:-1], 0)):
        assert layer()(tf.zeros(empty)).shape == empty


@pytest.mark.skipif(not tlg.build_info()["xla"], reason="built without XLA kernels")
@RANKS
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_batch_whose_size_depends_on_values(
    data_format: str, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    x = tf.constant(rng.normal(size=shape).astype(FLOAT32))
    mask = tf.constant([False, *[True] * (shape[0] - 1)])
    norm = layer(data_format=data_format)

    def loss_and_gradient(x: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = norm(tf.boolean_mask(x, mask))
        return y, tape.gradient(y, x, y)

    compiled = tf.function(loss_and_gradient, jit_compile=True)(x, mask)
    for a, b in zip(compiled, loss_and_gradient(x, mask), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


@RANKS
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_symbolic_shapes(shape: tuple[int, ...], data_format: str) -> None:
    """Known dimensions stay known; the others may be anything, compiled or not."""
    symbolic = keras.Input((*[None] * (len(shape) - 2), 7))
    y = layer(data_format=data_format)(symbolic)
    assert y.shape == symbolic.shape
    model = keras.Model(symbolic, y)
    x = np.ones(shape, np.float32)
    expected = layer(data_format=data_format)(x)
    if data_format == "channels_first" and len(shape) > 2:
        x = np.ones((shape[0], *[7] * (len(shape) - 1)), np.float32)
        expected = layer(data_format=data_format)(x)
    for jit_compile in {False, tlg.build_info()["xla"]}:
        function = tf.function(
            model,
            jit_compile=jit_compile,
            input_signature=[tf.TensorSpec(symbolic.shape, tf.float32)],
        )
        np.testing.assert_allclose(function(x), expected, rtol=1e-6)


@RANKS
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_static_shapes(shape: tuple[int, ...], data_format: str) -> None:
    """A graph knows as much of the output's shape as of the input's."""
    known = (None, *shape[1:-1], None)
    norm = layer(data_format=data_format)
    assert norm.compute_output_shape(known) == known
    function = tf.function(lambda t: norm(t))
    traced = function.get_concrete_function(tf.TensorSpec(known, tf.float32))
    assert traced.output_shapes.as_list() == list(known)


def test_in_a_wrapper() -> None:
    """The wrapper asks the layer for the shape of its output."""
    wrapped = keras.layers.TimeDistributed(layer())
    assert wrapped.compute_output_shape((2, 4, 5, 7)) == (2, 4, 5, 7)
    x = tf.random.stateless_normal((2, 4, 5, 7), (1, 2))
    np.testing.assert_array_equal(wrapped(x), layer()(x))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_too_few_dimensions(shape: tuple[int, ...], data_format: str) -> None:
    """In the first call and in later ones."""
    norm = layer(data_format=data_format)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"two or more dimensions.*shape"):
            norm(tf.zeros(shape))
        norm(tf.zeros((2, 3, 4)))


def test_more_than_one_input() -> None:
    x = tf.zeros((2, 3))
    for inputs in ([x, x], [x], {"x": x}):
        with pytest.raises(ValueError, match="takes one tensor, but got a"):
            layer()(inputs)
    with pytest.raises(ValueError, match="takes one tensor, but got a list"):
        layer()([keras.Input((3,)), keras.Input((3,))])


def test_unknown_rank() -> None:
    signature = [tf.TensorSpec(None, tf.float32)]
    x = tf.ones((2, 3, 4))
    last, first = layer(), layer(data_format="channels_first")
    y = tf.function(lambda t: last(t), input_signature=signature)(x)
    np.testing.assert_array_equal(y, last(x))
    with pytest.raises(ValueError, match="number of dimensions is known"):
        tf.function(lambda t: first(t), input_signature=signature)(x)


def test_subclass_builds_what_it_has() -> None:
    class Scaled(LocalResponseNormalization):
        def build(self, input_shape: tuple[int | None, ...]) -> None:
            self.scale = self.add_weight(shape=input_shape[-1:], initializer="zeros")

        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return self.scale * super().call(inputs)

    np.testing.assert_array_equal(Scaled()(tf.ones((2, 3))), tf.zeros((2, 3)))


def test_more_rows_than_32_bits_count() -> None:
    assert layer()(tf.zeros((65536, 65536, 0))).shape == (65536, 65536, 0)


def test_masks_are_handed_on() -> None:
    """Later layers ignore what a mask hides."""
    x = np.arange(1, 57, dtype=FLOAT32).reshape(2, 4, 7)
    x[:, 2:] = 0
    model = keras.Sequential(
        [keras.layers.Masking(), layer(), keras.layers.GlobalAveragePooling1D()]
    )
    # Each of the two unmasked steps counts a half, not a fourth.
    expected = layer()(x).numpy().sum(axis=1) / 2
    np.testing.assert_allclose(model(x), expected, rtol=1e-6)


def test_symbolic_types() -> None:
    """They are the types that a call of the layer gives."""
    symbolic = keras.Input((3, 7), dtype="float64")
    assert layer()(symbolic).dtype == "float32"
    same = layer(autocast=False)(symbolic)
    assert same.dtype == "float64"
    model = keras.Model(symbolic, same)
    assert model(tf.ones((1, 3, 7), tf.float64)).dtype == tf.float64
    with pytest.raises(TypeError, match=r"a floating type, but it is of type int32"):
        layer()(keras.Input((3, 7), dtype="int32"))


@pytest.mark.parametrize("policy", ["float16", "mixed_bfloat16", "float64"])
def test_output_spec_has_the_compute_type(policy: str) -> None:
    """As with Keras's own layers, even if no call has cast the input."""
    symbolic = keras.KerasTensor((2, 3, 7), "float32")
    keras_s = keras.layers.ReLU(dtype=policy).compute_output_spec(symbolic)
    assert layer(dtype=policy).compute_output_spec(symbolic).dtype == keras_s.dtype


@pytest.mark.parametrize("autocast", [False, True])
def test_sparse_and_ragged(autocast: bool) -> None:
    """They are rejected with a message that does not print them."""
    dense = tf.ones((2, 3, 7), tf.float32 if autocast else tf.float16)
    inputs = {
        "sparse": [tf.sparse.from_dense(dense), keras.Input((3, 7), sparse=True)],
        "ragged": [tf.RaggedTensor.from_tensor(dense)],
    }
    if hasattr(keras.KerasTensor, "ragged"):  # Keras 3.5 has none.
        inputs["ragged"].append(keras.Input((3, 7), ragged=True))
    for kind, values in inputs.items():
        for value in values:
            with pytest.raises(TypeError, match=f"a dense input, but it is {kind}"):
                layer(autocast=autocast)(value)


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("data_format", "NHWC", ValueError),
        ("depth_radius", -1, ValueError),
        ("depth_radius", 1.5, TypeError),
        ("depth_radius", None, TypeError),
        ("depth_radius", 2**63, ValueError),
        ("bias", float("nan"), ValueError),
        ("bias", 1e39, ValueError),
        ("alpha", float("inf"), ValueError),
        ("beta", "1", TypeError),
        ("bias", None, TypeError),
    ],
)
def test_bad_arguments(name: str, value: object, error: type) -> None:
    with pytest.raises(error, match=rf"^{name} must "):
        LocalResponseNormalization(**{name: value})


@pytest.mark.parametrize(
    "policy, compute_type",
    [
        ("mixed_float16", tf.float16),
        ("mixed_bfloat16", tf.bfloat16),
        ("float64", tf.float64),
    ],
)
def test_policies(
    policy: str, compute_type: tf.DType, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(2, 3, 4, 7)).astype(FLOAT32)
    y = layer(dtype=policy)(x)
    assert y.dtype == compute_type
    np.testing.assert_array_equal(
        tf.cast(y, tf.float64),
        tf.cast(tlg.lrn(tf.cast(x, compute_type), **P.attributes()), tf.float64),
    )


def small_model(data_format: str = "channels_last") -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            LocalResponseNormalization(2, data_format=data_format, name="norm"),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.norm = LocalResponseNormalization(2)
        self.dense = keras.layers.Dense(4)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.dense(self.norm(x))


def test_config_round_trip() -> None:
    original = layer(data_format="channels_first", name="norm", dtype="mixed_float16")
    copy = keras.layers.deserialize(keras.layers.serialize(original))
    assert type(copy) is LocalResponseNormalization
    assert copy.get_config() == original.get_config()
    # NumPy's numbers cannot be written to JSON.
    numbers = np.int64(2), np.float32(1), np.float64(2), np.float32(0.75)
    config = LocalResponseNormalization(*numbers).get_config()
    types = [type(config[name]) for name in ("depth_radius", "bias", "alpha", "beta")]
    assert types == [int, float, float, float]


def test_subclassed_model(rng: np.random.Generator) -> None:
    x = rng.normal(size=(8, 5)).astype(FLOAT32)
    model = Subclassed()
    model.compile("sgd", "mse")
    history = model.fit(x, rng.normal(size=(8, 4)), epochs=5, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_saved_models_know_the_layer_by_this_name() -> None:
    name = keras.saving.get_registered_name(LocalResponseNormalization)
    assert name == "tensorflow_lrn_grad>LocalResponseNormalization"


def test_saved_as_keras(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 6, 6, 3)).astype(FLOAT32)
    model = small_model()
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert isinstance(loaded.get_layer("norm"), LocalResponseNormalization)
    np.testing.assert_array_equal(loaded(x), model(x))


def test_exported_as_saved_model(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 6, 6, 3)).astype(FLOAT32)
    model = small_model()
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.serve(x), model(x), rtol=1e-6)


FIT = """
    import sys
    import keras
    import numpy as np
    import tensorflow as tf
    from tensorflow_lrn_grad.keras import LocalResponseNormalization

    policy, jit_compile, other_device = sys.argv[1:]
    jit_compile = {"True": True, "auto": "auto"}[jit_compile]
    if other_device == "True":
        other = tf.config.PhysicalDevice("X:0", "X")
        devices = [*tf.config.list_physical_devices(), other]
        tf.config.list_physical_devices = lambda kind=None: [
            device for device in devices if kind in (None, device.device_type)
        ]
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential([
        keras.Input((6, 6, 3)),
        keras.layers.Conv2D(8, 3, activation="relu"),
        LocalResponseNormalization(2),
        keras.layers.Flatten(),
        keras.layers.Dense(4, dtype="float32"),
    ])
    model.compile("sgd", "mse", jit_compile=jit_compile)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(32, 6, 6, 3)), rng.normal(size=(32, 4))
    losses = model.fit(x, y, epochs=5, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and np.all(np.isfinite(losses)), losses
    """


@pytest.mark.skipif(not tlg.build_info()["xla"], reason="built without XLA")
# Keras treats "auto", its default, as False where there are only CPUs: it is told of
# another device, or runs on one.
@pytest.mark.parametrize(
    "jit_compile, other_device",
    [
        (True, False),
        ("auto", True),
        pytest.param("auto", False, marks=pytest.mark.gpu),
    ],
)
@pytest.mark.parametrize(
    "policy, hlo_type",
    [("float32", "f32"), ("mixed_float16", "f16"), ("mixed_bfloat16", "bf16")],
)
def test_fit_is_compiled_by_xla(
    policy: str,
    hlo_type: str,
    jit_compile: bool | str,
    other_device: bool,
    request: pytest.FixtureRequest,
    child: Callable,
    tmp_path: Path,
) -> None:
    """The programs that XLA compiled contain the calls, in the type of the policy."""
    if jit_compile == "auto" and not other_device:
        request.getfixturevalue("gpu")
    dump = tmp_path / "dump"
    flags = f"--xla_dump_to={dump}"
    result = child(FIT, policy, jit_compile, other_device, XLA_FLAGS=flags)
    assert result.returncode == 0, result.stderr
    programs = [p.read_text() for p in dump.glob("*after_optimizations.txt")]
    for handler in ("tflrn.lrn.v1", "tflrn.lrn_grad_from_input.v1"):
        calls = [
            line
            for text in programs
            for line in text.splitlines()
            if f'custom_call_target="{handler}"' in line
        ]
        assert calls, f"no compiled program calls {handler}"
        assert all(f"= {hlo_type}[" in line for line in calls)


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("gpu_error", ["", "GPU 0 is an sm_61"])
@pytest.mark.parametrize("gpus", [[], ["GPU:0"]])
def test_auto_asks_for_xla_only_where_there_are_kernels(
    xla: bool, gpu_error: str, gpus: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One layer that does not support JIT compilation turns "auto" into False."""
    keras_module, stock = "tensorflow_lrn_grad.keras", "tensorflow_lrn_grad.stock"
    monkeypatch.setattr(f"{keras_module}.build_info", lambda: {"xla": xla})
    library = types.SimpleNamespace(tflrn_gpu_error=gpu_error.encode)
    monkeypatch.setattr(f"{stock}.native", library)
    # There is always a CPU.
    devices = {(): ["CPU:0", *gpus], ("GPU",): gpus}
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda *kind: devices[kind])
    fit = xla and not (gpus and gpu_error)
    assert all(part.supports_jit for part in small_model()._flatten_layers()) == fit


def test_other_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match=r"runs on jax.*KERAS_BACKEND=tensorflow"):
        LocalResponseNormalization()


def test_only_that_module_imports_keras() -> None:
    """The package's other modules work without Keras."""
    folder = Path(tlg.__file__).parent
    pattern = re.compile(r"^\s*(import|from) keras\b", re.MULTILINE)
    importing = {p.name for p in folder.glob("*.py") if pattern.search(p.read_text())}
    assert importing == {"keras.py"}
