"""TensorFlow's own LRN and LRNGrad on our kernels: `accelerate`.

Importing the package does this too where the environment variable
TFLRN_ACCELERATE=1 is set; the library itself sees to the kernels then. Of other
values than 0, 1 and nothing it warns.
"""

from __future__ import annotations

import os
import threading
import warnings

import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import ops

from tensorflow_lrn_grad._load import native
from tensorflow_lrn_grad.gradients import lrn_grad_gradient

_WHY_NOT = (
    "TensorFlow's LRN is not accelerated: tensorflow_lrn_grad has no kernels for the "
    "GPUs of this machine ({}), and those for the CPU would pull LRN off them. Build "
    "it with CUDA for these GPUs, or hide them by CUDA_VISIBLE_DEVICES, or all by "
    "tf.config.set_visible_devices([], 'GPU')."
)

_lock = threading.Lock()
_warned = False
_has_gradient = False


def accelerate() -> bool:
    """Makes TensorFlow's own LRN and LRNGrad run on our kernels, in this process.

    From then on every `tf.nn.lrn`, `tf.raw_ops.LRN` and `tf.raw_ops.LRNGrad` does,
    eager, in functions, in loaded SavedModels and in frozen graphs, on the CPU and,
    where the library has kernels for them, on GPUs. It also takes bfloat16 on the
    CPU, and gives LRNGrad a gradient, so that second derivatives work through models
    that use the stock op. A gradient that the program has registered for LRNGrad
    before stays; after this it can register none. What was called before runs on
    our kernels from its next call on, except what a `tf.compat.v1.Session` has run
    and what XLA has compiled.

    Where the library has XLA kernels, `jit_compile=True` on the CPU takes them, too.
    That mends half and bfloat16, for which TensorFlow's own lowering fails: a Keras
    model with `tf.nn.lrn` and a mixed-precision policy trains, compiled by XLA.

    It can be called again, and from any thread. There is no way back. An op that
    other threads call for the first time while this runs may keep TensorFlow's
    kernel until this is called again.

    Where TensorFlow sees GPUs, and the library has no kernels for all that CUDA
    sees, since it was built without CUDA, for other GPUs, or for a newer driver, it
    does nothing but warn, once: ops are placed on the device with the kernel of
    highest priority, so that ours would pull LRN from the GPU to the CPU.

    Returns:
      Whether the stock ops run on our kernels now: `is_accelerated()`.
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
    global _has_gradient
    # Ops and functions that ran before would go on using the kernels that they had;
    # so might one that another thread made while the kernels were registered, hence
    # each time.
    context.context().clear_kernel_cache()
    if _has_gradient:
        return
    # TensorFlow has none for it, and refuses a second one: the program may have one.
    try:
        ops.gradient_registry.lookup("LRNGrad")
    except LookupError:
        tf.RegisterGradient("LRNGrad")(lrn_grad_gradient)
    _has_gradient = True


_wish = os.environ.get("TFLRN_ACCELERATE", "")
# Not accelerate(): where the library has declined, it has warned by itself.
if _wish == "1" and is_accelerated():
    _complete()
elif _wish not in ("", "0", "1"):
    warnings.warn(
        f"TFLRN_ACCELERATE is {_wish!r} and has no effect: 1 accelerates TensorFlow's "
        "LRN, 0 does not",
        RuntimeWarning,
        stacklevel=3,
    )
