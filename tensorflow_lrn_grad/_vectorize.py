"""Lets tf.vectorized_map and tape.jacobian run many calls of an op as one.

Rows are independent, so the calls' operands are merged into one batch. Without
this, TensorFlow would run the calls one after the other, with a warning. Importing
this module registers our own ops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import gen_nn_ops
from tensorflow.python.ops.parallel_for import pfor

from tensorflow_lrn_grad._load import library
from tensorflow_lrn_grad.ops import sizes


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
            pfor.wrap(tf.reshape(output, sizes(stacked[0])), True) for output in outputs
        ]


def _merge_calls_with_batch(stacked: tf.Tensor) -> tf.Tensor:
    shape = sizes(stacked)
    return tf.reshape(stacked, tf.concat([[shape[0] * shape[1]], shape[2:]], 0))


def register_stock() -> None:
    """Registers TensorFlow's own ops, unless the program has done so."""
    for op_type, op in ("LRN", gen_nn_ops.lrn), ("LRNGrad", gen_nn_ops.lrn_grad):
        if op_type not in pfor._pfor_converter_registry:
            _register(op_type, op)


_register("TFLRN>LRN", library.tflrn_lrn)
_register("TFLRN>LRNGrad", library.tflrn_lrn_grad)
_register("TFLRN>LRNGradFromInput", library.tflrn_lrn_grad_from_input)
_register("TFLRN>LRNGradGrad", library.tflrn_lrn_grad_grad)
_register("TFLRN>LRNGradGradFromInput", library.tflrn_lrn_grad_grad_from_input)
