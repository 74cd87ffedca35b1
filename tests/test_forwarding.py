"""An output takes over the buffer of an input that nothing else needs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_lrn_grad as tlg

SHAPE = (4, 8, 8, 64)


def _buffers(fetches: list[tf.Tensor], names: list[str]) -> list[int]:
    """Runs the fetches; returns the address of each named op's first output."""
    options = tf.compat.v1.RunOptions(
        trace_level=tf.compat.v1.RunOptions.SOFTWARE_TRACE
    )
    metadata = tf.compat.v1.RunMetadata()
    # No optimization: constant folding would leave nothing to run.
    config = tf.compat.v1.ConfigProto()
    config.graph_options.optimizer_options.opt_level = -1
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.compat.v1.Session(config=config) as session:
        session.run(fetches, options=options, run_metadata=metadata)
    outputs = {
        node.node_name: node.output[0].tensor_description.allocation_description.ptr
        for device in metadata.step_stats.dev_stats
        for node in device.node_stats
        if node.output
    }
    return [outputs[name] for name in names]


@pytest.mark.parametrize("needed", [False, True])
@pytest.mark.parametrize("y_is_given", [True, False], ids=["y", "no_y"])
def test_lrn_grad_writes_over_a_gradient_that_is_not_needed(
    y_is_given: bool, needed: bool, rng: np.random.Generator
) -> None:
    with tf.Graph().as_default():
        dy, x, y = (
            tf.multiply(2.0, rng.normal(size=SHAPE).astype(np.float32), name=name)
            for name in ("dy", "x", "y")
        )
        dx = tlg.lrn_grad(dy, x, y if y_is_given else None, depth_radius=2, name="dx")
        fetches = [dx, x, y, dy] if needed else [dx, x, y]
        before, after = _buffers(fetches, ["dy", "dx"])
    assert (before == after) == (not needed)


def test_lrn_writes_over_an_input_that_is_not_needed(rng: np.random.Generator) -> None:
    with tf.Graph().as_default():
        x = tf.multiply(2.0, rng.normal(size=SHAPE).astype(np.float32), name="x")
        y = tlg.lrn(x, depth_radius=2, name="y")
        before, after = _buffers([y], ["x", "y"])
    assert before == after
