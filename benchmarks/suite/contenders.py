"""The contenders that are measured.

ours            tlg.lrn, tlg.lrn_grad, the same without y, the ops of second gradients
stock           tf.raw_ops.LRN, tf.raw_ops.LRNGrad, which always gets y
stock XLA       the same in a tf.function(jit_compile=True)
ours XLA        ours in such a function
ours function   ours in a tf.function that XLA does not compile
PyTorch         torch.nn.functional.local_response_norm, channels last, and its gradient
oneDNN          Debian's libdnnl, channels last; forward in training mode, which also
                writes the workspace that its gradient reads
add             TensorFlow's ops that move the same bytes: tf.add(x, x),
                tf.add_n([dy, x, y]), tf.add(dy, x)
loop            a C++ loop that moves the same bytes

and, in a tf.function that computes dy itself ("in place"):

dy alone        computes dy
over dy         computes dy and returns only our gradient, which can overwrite dy
beside dy       the same, but also returns dy
stock over dy   as over dy, with the stock op
"""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import numpy as np
import tensorflow as tf

import tensorflow_lrn_grad as tlg
from suite import native
from suite.cases import SECOND_ORDER, TENSORS, Case
from tensorflow_lrn_grad._load import library


class UnavailableError(Exception):
    """Why a contender cannot run a case here."""


@dataclasses.dataclass(frozen=True)
class Operands:
    """The tensors of a case; dy and u are the upstream gradients of y and dx."""

    case: Case

    @cached_property
    def x(self) -> tf.Tensor:
        return self._normal(0)

    @cached_property
    def y(self) -> tf.Tensor:
        return tlg.lrn(self.x, **self.case.params.attributes())

    @cached_property
    def dy(self) -> tf.Tensor:
        if not self.case.pooled:
            return self._normal(1)
        with tf.GradientTape() as tape:
            tape.watch(self.x)
            pooled = tf.nn.max_pool2d(self.x, 3, 2, "VALID")
        dy = self._normal(1)[:, : pooled.shape[1], : pooled.shape[2]]
        return tape.gradient(pooled, self.x, dy)

    @cached_property
    def u(self) -> tf.Tensor:
        return self._normal(2)

    def inputs(self) -> list[tf.Tensor]:
        """In the op's order."""
        names = {
            "LRN": "x",
            "LRNGrad": "dy x y",
            "LRNGradFromInput": "dy x",
            "LRNGradGrad": "u dy x y",
            "LRNGradGradFromInput": "u dy x",
        }
        return [getattr(self, name) for name in names[self.case.op].split()]

    def _normal(self, seed: int) -> tf.Tensor:
        return normal(self.case.shape, self.case.dtype, seed)


@cache
def normal(shape: tuple[int, ...], dtype: str, seed: int) -> tf.Tensor:
    """Random numbers, shared by a group's cases: `measure` empties the cache."""
    values = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return tf.cast(tf.constant(values), dtype)


# The timed call. Its result is verified: tensors, arrays, or None.
Call = Callable[[], Any]

OUR_OPS = {
    "LRN": tlg.lrn,
    "LRNGrad": tlg.lrn_grad,
    "LRNGradFromInput": tlg.lrn_grad,
    "LRNGradGrad": library.tflrn_lrn_grad_grad,
    "LRNGradGradFromInput": library.tflrn_lrn_grad_grad_from_input,
}


def ours(case: Case, operands: Operands) -> Call:
    inputs, attributes = operands.inputs(), case.params.attributes()
    op = OUR_OPS[case.op]
    return lambda: op(*inputs, **attributes)


def ours_xla(case: Case, operands: Operands) -> Call:
    if not tlg.build_info()["xla"]:
        raise UnavailableError("no ours XLA: the library has no XLA kernels")
    return _ours_in_a_function(case, operands, jit_compile=True)


def ours_function(case: Case, operands: Operands) -> Call:
    return _ours_in_a_function(case, operands, jit_compile=False)


def _ours_in_a_function(case: Case, operands: Operands, jit_compile: bool) -> Call:
    op, attributes = OUR_OPS[case.op], case.params.attributes()
    function = tf.function(
        lambda *inputs: op(*inputs, **attributes), jit_compile=jit_compile
    )
    inputs = operands.inputs()
    return lambda: function(*inputs)


def stock(case: Case, operands: Operands) -> Call:
    function, inputs = _stock(case), _stock_inputs(case, operands)
    return lambda: function(*inputs)


def stock_xla(case: Case, operands: Operands) -> Call:
    function = tf.function(_stock(case), jit_compile=True)
    inputs = _stock_inputs(case, operands)
    return lambda: function(*inputs)


def _stock_inputs(case: Case, operands: Operands) -> list[tf.Tensor]:
    y = [operands.y] if case.op == "LRNGradFromInput" else []
    return [*operands.inputs(), *y]


def _stock(case: Case) -> Callable[..., tf.Tensor]:
    attributes = case.params.attributes()
    if case.op == "LRN":
        return lambda x: tf.raw_ops.LRN(input=x, **attributes)
    if case.op in ("LRNGrad", "LRNGradFromInput"):
        return lambda dy, x, y: tf.raw_ops.LRNGrad(
            input_grads=dy, input_image=x, output_image=y, **attributes
        )
    raise UnavailableError("TensorFlow has no second gradient")


def add(case: Case, operands: Operands) -> Call:
    function, inputs = _add(case), operands.inputs()
    return lambda: _nothing(function(*inputs))


def add_xla(case: Case, operands: Operands) -> Call:
    """The same, compiled; no section of the suite has it, but gpu/time_ops.py."""
    function, inputs = tf.function(_add(case), jit_compile=True), operands.inputs()
    return lambda: _nothing(function(*inputs))


def _add(case: Case) -> Callable[..., tf.Tensor]:
    if case.op == "LRN":
        return lambda x: tf.add(x, x)
    if case.op == "LRNGradFromInput":
        return tf.add
    return lambda *inputs: tf.add_n(inputs)


def _nothing(_: object) -> None:
    """The memory contenders have no result to verify."""


def loop(case: Case, operands: Operands) -> Call:
    try:
        move = native.memory().tflrn_move
    except native.CompileError as error:
        raise UnavailableError(f"no loop: {error}") from error
    reads, writes = TENSORS[case.op]
    inputs = [tensor.numpy() for tensor in operands.inputs()]
    # Written once, so that their pages are mapped, as those of an op's output are:
    # TensorFlow keeps freed buffers for the next op.
    outputs = [np.ones_like(inputs[0]) for _ in range(writes)]
    sources = (ctypes.c_void_p * reads)(*map(_address, inputs))
    targets = (ctypes.c_void_p * writes)(*map(_address, outputs))
    lines = ctypes.c_int64(inputs[0].nbytes // 64)

    def call() -> None:
        # Naming the arrays here keeps them alive as long as this function.
        if move(reads, writes, sources, targets, lines) != 0:
            raise ValueError(f"no loop for {len(inputs)} and {len(outputs)} arrays")

    return call


def _address(array: np.ndarray) -> int:
    assert array.flags.c_contiguous
    return array.ctypes.data


def pytorch(case: Case, operands: Operands) -> Call:
    try:
        import torch
    except ImportError as error:
        raise UnavailableError(f"no PyTorch: {error}") from error
    if case.op in SECOND_ORDER or case.dtype not in ("float32", "float64"):
        raise UnavailableError("left out")

    def channels_last(tensor: tf.Tensor) -> Any:
        # A copy, since PyTorch does not support read-only arrays.
        return torch.from_numpy(tensor.numpy().copy()).permute(0, 3, 1, 2)

    p = case.params
    size = 2 * p.depth_radius + 1
    # PyTorch divides alpha by the size of the window.
    attributes = {"size": size, "alpha": p.alpha * size, "beta": p.beta, "k": p.bias}
    lrn = torch.nn.functional.local_response_norm
    x = channels_last(operands.x)
    if case.op == "LRN":
        return lambda: lrn(x, **attributes).permute(0, 2, 3, 1)
    x.requires_grad_()
    y, dy = lrn(x, **attributes), channels_last(operands.dy)

    def gradient() -> Any:
        (dx,) = torch.autograd.grad(y, x, dy, retain_graph=True)
        return dx.permute(0, 2, 3, 1)

    return gradient


def onednn(case: Case, operands: Operands) -> Call:
    try:
        library = native.onednn()
    except native.CompileError as error:
        missing = "dnnl.hpp: No such file" in str(error)
        reason = "libdnnl-dev is not installed" if missing else str(error)
        raise UnavailableError(f"no oneDNN: {reason}") from error
    numbers = {"float32": 0, "half": 1, "bfloat16": 2}
    if case.op in SECOND_ORDER or case.dtype not in numbers:
        raise UnavailableError("oneDNN has no such LRN")
    backward, p = case.op == "LRNGrad", case.params
    x = operands.x.numpy()
    dy = operands.dy.numpy() if backward else x  # not read by the forward pass
    error = ctypes.create_string_buffer(200)
    layer = library.tflrn_onednn_layer(
        ctypes.c_int(backward),
        ctypes.c_int(numbers[case.dtype]),
        (ctypes.c_int64 * 4)(*case.shape),
        ctypes.c_int64(p.depth_radius),
        *(ctypes.c_float(value) for value in (p.bias, p.alpha, p.beta)),
        ctypes.c_void_p(_address(x)),
        error,
        ctypes.c_size_t(len(error)),
    )
    if not layer:
        raise UnavailableError(f"oneDNN: {error.value.decode()}")
    return _OneDnn(library, ctypes.c_void_p(layer), dy, x)


class _OneDnn:
    """A layer of benchmarks/cc/onednn.cc, with its output allocated in advance."""

    def __init__(
        self,
        library: ctypes.CDLL,
        layer: ctypes.c_void_p,
        dy: np.ndarray,
        x: np.ndarray,
    ) -> None:
        self._library, self._layer, self._dy, self._x = library, layer, dy, x
        self._out = np.ones_like(x)

    def __del__(self) -> None:
        self._library.tflrn_onednn_free(self._layer)

    def __call__(self) -> np.ndarray:
        arrays = (self._dy, self._x, self._out)
        addresses = (ctypes.c_void_p(_address(array)) for array in arrays)
        if self._library.tflrn_onednn_run(self._layer, *addresses) != 0:
            raise RuntimeError("oneDNN failed")
        return self._out


def dy_alone(case: Case, operands: Operands) -> Call:
    return _function_that_makes_dy(case, operands, None, with_dy=True)


def over_dy(case: Case, operands: Operands) -> Call:
    return _function_that_makes_dy(case, operands, tlg.lrn_grad, with_dy=False)


def beside_dy(case: Case, operands: Operands) -> Call:
    return _function_that_makes_dy(case, operands, tlg.lrn_grad, with_dy=True)


def stock_over_dy(case: Case, operands: Operands) -> Call:
    def op(dy: tf.Tensor, x: tf.Tensor, y: tf.Tensor, **_: object) -> tf.Tensor:
        return _stock(case)(dy, x, y)

    return _function_that_makes_dy(case, operands, op, with_dy=False)


def _function_that_makes_dy(
    case: Case, operands: Operands, op: Callable | None, with_dy: bool
) -> Call:
    attributes = case.params.attributes()
    minus_dy, x, y = -operands.dy, operands.x, operands.y

    @tf.function
    def function(minus_dy: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        dy = tf.negative(minus_dy)
        results = [] if op is None else [op(dy, x, y, **attributes)]
        return [*results, dy] if with_dy else results

    def call() -> tf.Tensor | None:
        results = function(minus_dy, x, y)
        return None if op is None else results[0]

    return call


CONTENDERS: dict[str, Callable[[Case, Operands], Call]] = {
    "ours": ours,
    "stock": stock,
    "stock XLA": stock_xla,
    "ours XLA": ours_xla,
    "ours function": ours_function,
    "PyTorch": pytorch,
    "oneDNN": onednn,
    "add": add,
    "loop": loop,
    "dy alone": dy_alone,
    "over dy": over_dy,
    "beside dy": beside_dy,
    "stock over dy": stock_over_dy,
}
