"""Lets tf.vectorized_map and tape.jacobian run many calls of an op as one.

Rows are independent, so the calls' operands are merged into one batch. Without
this, TensorFlow would run the calls one after the other, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor

from tensorflow_lrn_grad._load import library


def _register(op_type: str, op: Callable[..., Any]) -> None:
    @pfor.RegisterPFor(op_type)
    def convert(pfor_input: Any) -> list[Any]:
        pfor_input.stack_inputs()
        stacked = [pfor_input.stacked_input(i) for i in range(pfor_input.num_inputs)]
        attributes = {
            name: pfor_input.get_attr(name)
            for name in ("depth_radius", "bias", "alpha", "beta")
        }
        outputs = op(*map(_merge_calls_with_batch, stacked), **attributes)
        if isinstance(outputs, tf.Tensor):
            outputs = [outputs]
        return [
            pfor.wrap(tf.reshape(output, tf.shape(stacked[0], tf.int64)), True)
            for output in outputs
        ]


def _merge_calls_with_batch(stacked: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(stacked, tf.int64)
    return tf.reshape(stacked, tf.concat([[shape[0] * shape[1]], shape[2:]], 0))


_register("TFLRN>LRN", library.tflrn_lrn)
_register("TFLRN>LRNGrad", library.tflrn_lrn_grad)
_register("TFLRN>LRNGradFromInput", library.tflrn_lrn_grad_from_input)
_register("TFLRN>LRNGradGrad", library.tflrn_lrn_grad_grad)
