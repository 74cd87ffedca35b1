"""Runs TensorFlow's own LRN and LRNGrad on our kernels: `accelerate`.

Importing the package does this too if the environment variable TFLRN_ACCELERATE is
1; the library itself then registers the kernels. Any value other than 0, 1 or empty
gives a warning.
"""

from __future__ import annotations

import os
import threading
import warnings

import tensorflow as tf
from tensorflow.python.client import session
from tensorflow.python.eager import context
from tensorflow.python.framework import ops

from tensorflow_lrn_grad import _vectorize
from tensorflow_lrn_grad._load import native
from tensorflow_lrn_grad.gradients import lrn_grad_gradient

_WHY_NOT = (
    "TensorFlow's LRN is not accelerated: tensorflow_lrn_grad has no kernels for the "
    "GPUs of this machine ({}), and its CPU kernels would pull LRN off them. Build it "
    "with CUDA for these GPUs, or hide them with CUDA_VISIBLE_DEVICES, or all GPUs "
    "with tf.config.set_visible_devices([], 'GPU')."
)

_lock = threading.Lock()
_warned = False
_is_complete = False


def accelerate() -> bool:
    """Makes TensorFlow's own LRN and LRNGrad run on our kernels in this process.

    From then on this holds for every `tf.nn.lrn`, `tf.raw_ops.LRN` and
    `tf.raw_ops.LRNGrad`: eager, in functions, in loaded SavedModels and in frozen
    graphs, on the CPU and, where the library has kernels for them, on GPUs. The ops
    also take bfloat16 on the CPU, LRNGrad has a gradient, so that second derivatives
    work through models that use the stock op, and `tf.vectorized_map` runs many calls
    as one. A gradient that the program registered for LRNGrad earlier stays;
    afterwards it cannot register one.
    Ops and functions called earlier, and sessions that have run, use our kernels from
    their next call on; only what XLA has compiled stays as it is.

    If the library has XLA kernels, `jit_compile=True` uses them, too: on the CPU and,
    if the library was built with CUDA, on GPUs. This fixes half and bfloat16, for
    which TensorFlow's own lowering fails: a Keras model with `tf.nn.lrn` and a
    mixed-precision policy trains when compiled by XLA.

    This can be called again, and from any thread; it cannot be undone. An op that
    another thread calls for the first time while this runs may keep TensorFlow's
    kernel until this is called again.

    If TensorFlow sees GPUs, and the library lacks kernels for some GPU that CUDA sees
    (because it was built without CUDA, for other GPUs, or for a newer driver), this
    only warns, once. TensorFlow places an op on the device whose kernel has the
    highest priority, so ours would pull LRN from the GPU to the CPU. Where another
    plugin brings devices with LRN kernels of their own, do not call this: LRN would
    move from them to the CPU.

    Returns:
      Whether the stock ops now run on our kernels: `is_accelerated()`.
    """
    global _warned
    with _lock:
        if not native.tflrn_is_accelerated():
            if error := gpu_error():
                if not _warned:
                    _warned = True
                    warnings.warn(_WHY_NOT.format(error), RuntimeWarning, stacklevel=2)
                return False
            native.tflrn_accelerate()
        _complete()
    return True


def is_accelerated() -> bool:
    """Whether TensorFlow's own LRN and LRNGrad run on our kernels."""
    return bool(native.tflrn_is_accelerated())


def gpu_error() -> str:
    """Why GPUs that TensorFlow sees cannot run the kernels; empty if all can."""
    if not tf.config.get_visible_devices("GPU"):
        return ""
    return native.tflrn_gpu_error().decode()


def _complete() -> None:
    """Does what remains once the kernels are registered."""
    global _is_complete
    # Ops and functions that ran before would keep their kernels. So might one that
    # another thread created while ours were being registered: hence in every call.
    context.context().clear_kernel_cache()
    if _is_complete:
        return
    _renew_sessions()
    _vectorize.register_stock()
    # TensorFlow registers none, but the program may have, and a second is refused.
    try:
        ops.gradient_registry.lookup("LRNGrad")
    except LookupError:
        tf.RegisterGradient("LRNGrad")(lrn_grad_gradient)
    _is_complete = True


def _renew_sessions() -> None:
    """Makes each `tf.compat.v1.Session` choose kernels anew for what it has run.

    A session keeps its kernels by the names of the tensors fed and fetched and of the
    operations to run besides, the targets. From now on, a target is added that would
    run anyway, and twice: a program may itself have added it once.
    """
    call = session.BaseSession._call_tf_sessionrun

    def call_with_target(self, options, feeds, fetches, targets, run_metadata):
        # `fetches` has no tensor that is fed, which would not be computed.
        added = [*targets, *(fetch.oper for fetch in fetches)][:1] * 2
        return call(self, options, feeds, fetches, [*targets, *added], run_metadata)

    session.BaseSession._call_tf_sessionrun = call_with_target


_wish = os.environ.get("TFLRN_ACCELERATE", "")
# Not accelerate(): if the library declined, it has already warned.
if _wish == "1" and is_accelerated():
    _complete()
elif _wish not in ("", "0", "1"):
    warnings.warn(
        f"TFLRN_ACCELERATE is {_wish!r} and has no effect: 1 accelerates TensorFlow's "
        "LRN, 0 does not",
        RuntimeWarning,
        stacklevel=3,
    )
