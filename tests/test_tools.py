"""TensorFlow's debugging and profiling tools work with the ops."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from oracle import FLOAT32, Params

import tensorflow_lrn_grad as tlg

P = Params(2, 1.5, 0.5, 0.75)


@pytest.fixture
def check_numerics() -> Iterator[None]:
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


def lrn_and_gradient(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tlg.lrn(x, **P.attributes())
    return y, tape.gradient(y, x)


def test_check_numerics_lets_finite_numbers_pass(
    check_numerics: None, rng: np.random.Generator
) -> None:
    x = tf.constant(rng.normal(size=(2, 3, 4, 10)).astype(FLOAT32))
    eager = lrn_and_gradient(x)
    in_function = tf.function(lrn_and_gradient)(x)
    tf.debugging.disable_check_numerics()
    for result in (eager, in_function):
        for a, b in zip(result, lrn_and_gradient(x), strict=True):
            np.testing.assert_array_equal(a, b)


def test_check_numerics_names_the_op(check_numerics: None) -> None:
    """With a bias below zero and a fractional beta the power is NaN."""
    with pytest.raises(tf.errors.InvalidArgumentError, match="TFLRN>LRN"):
        tlg.lrn(tf.ones((1, 1, 1, 4)), bias=-100.0, beta=0.75)
    one = tf.ones((1, 1, 1, 4))
    with pytest.raises(tf.errors.InvalidArgumentError, match="TFLRN>LRNGrad"):
        tlg.lrn_grad(one, one, one, bias=-100.0, beta=0.75)


DETERMINISTIC = """
    import hashlib
    import numpy as np
    import tensorflow as tf
    import keras
    from tensorflow_lrn_grad.keras import LocalResponseNormalization

    tf.config.experimental.enable_op_determinism()

    def trained_weights():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            LocalResponseNormalization(2, beta=0.75),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ])
        model.compile("sgd", "mse")
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=(64, 8, 8, 3)), rng.normal(size=(64, 4))
        model.fit(x, y, epochs=2, verbose=0)
        return b"".join(weight.tobytes() for weight in model.get_weights())

    assert trained_weights() == trained_weights()
    """


def test_op_determinism(child: Callable) -> None:
    result = child(DETERMINISTIC)
    assert result.returncode == 0, result.stderr


def profiled_events(folder: Path) -> dict[str, int]:
    """Picoseconds by the event's name, on the host, in the trace under `folder`."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    (path,) = folder.rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    durations: dict[str, int] = {}
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                durations[name] = durations.get(name, 0) + event.duration_ps
    return durations


@pytest.mark.parametrize("in_function", [False, True], ids=["eager", "function"])
def test_the_profile_shows_the_ops(in_function: bool, tmp_path: Path) -> None:
    run = tf.function(lrn_and_gradient) if in_function else lrn_and_gradient
    x = tf.ones((4, 30, 30, 64))
    run(x)
    with tf.profiler.experimental.Profile(str(tmp_path)):
        run(x)
    events = profiled_events(tmp_path)
    for op in ("TFLRN>LRN", "TFLRN>LRNGrad"):
        # "EagerLocalExecute: TFLRN>LRN", or in a function "my_norm:TFLRN>LRN".
        times = [t for name, t in events.items() if re.search(rf": ?{op}$", name)]
        assert times, sorted(events)
        assert min(times) > 0


@pytest.mark.skipif(not tlg.build_info()["xla"], reason="built without XLA")
def test_the_profile_shows_the_calls_of_compiled_programs(tmp_path: Path) -> None:
    run = tf.function(lrn_and_gradient, jit_compile=True)
    x = tf.ones((4, 30, 30, 64))
    run(x)
    with tf.profiler.experimental.Profile(str(tmp_path)):
        run(x)
    events = profiled_events(tmp_path)
    calls = {"TFLRN_LRN": 1, "TFLRN_LRNGrad": 1}
    if tf.__version__.startswith("2.20."):  # It names all foreign calls alike.
        calls = {"custom-call": 2}
    for call, count in calls.items():
        times = [t for name, t in events.items() if re.match(rf"{call}\.\d+$", name)]
        assert len(times) >= count, sorted(events)
        assert min(times) > 0


def test_the_graph_shows_the_names(tmp_path: Path) -> None:
    """TensorBoard's graph is the GraphDef that a summary writer has stored."""
    writer = tf.summary.create_file_writer(str(tmp_path))
    function = tf.function(lambda x: tlg.lrn(x, name="my_norm"))
    graph = function.get_concrete_function(tf.TensorSpec(None, tf.float32)).graph
    with writer.as_default(step=0):
        tf.summary.graph(graph)
    writer.close()
    (path,) = tmp_path.glob("events*")
    records = tf.compat.v1.io.tf_record_iterator(str(path))
    events = [tf.compat.v1.Event.FromString(record) for record in records]
    graphs = [
        tf.compat.v1.GraphDef.FromString(event.graph_def)
        for event in events
        if event.graph_def
    ]
    nodes = {node.name: node.op for graph in graphs for node in graph.node}
    assert nodes["my_norm"] == "TFLRN>LRN"
