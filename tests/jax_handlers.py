"""Calls the XLA handlers of a library from JAX, and checks them against the oracle.

    jax_handlers.py cpu|cuda LIBRARY

The library holds cc/xla/host_handlers.cc or cc/xla/cuda_handlers.cc, and the code they
call. This needs JAX, but not TensorFlow; tools/check_gpu.py compiles the library and
runs this.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import oracle

SYMBOLS = {
    "tflrn.lrn.v1": "tflrn_lrn",
    "tflrn.lrn_grad.v1": "tflrn_lrn_grad",
    "tflrn.lrn_grad_from_input.v1": "tflrn_lrn_grad_from_input",
    "tflrn.lrn_grad_grad.v1": "tflrn_lrn_grad_grad",
    "tflrn.lrn_grad_grad_from_input.v1": "tflrn_lrn_grad_grad_from_input",
}
# Of the others, one.
RESULTS = {"tflrn.lrn_grad_grad.v1": 3, "tflrn.lrn_grad_grad_from_input.v1": 2}


def register(library: str, platform: str) -> None:
    handlers = ctypes.CDLL(library)
    suffix, jax_platform = {"cpu": ("host", "cpu"), "cuda": ("cuda", "CUDA")}[platform]
    for target, symbol in SYMBOLS.items():
        capsule = jax.ffi.pycapsule(getattr(handlers, f"{symbol}_{suffix}"))
        jax.ffi.register_ffi_target(target, capsule, platform=jax_platform)


def call(target: str, p: oracle.Params, *arrays: np.ndarray) -> list[np.ndarray]:
    shape = jax.ShapeDtypeStruct(arrays[0].shape, arrays[0].dtype)
    results = [shape] * RESULTS[target] if target in RESULTS else shape
    attributes = {
        "depth_radius": np.int64(p.depth_radius),
        "bias": np.float32(p.bias),
        "alpha": np.float32(p.alpha),
        "beta": np.float32(p.beta),
    }

    @jax.jit
    def compiled(*operands):
        return jax.ffi.ffi_call(target, results)(*operands, **attributes)

    return list(map(np.asarray, jax.tree.leaves(compiled(*arrays))))


def main(platform: str, library: str) -> None:
    jax.config.update("jax_platforms", platform)
    jax.config.update("jax_enable_x64", True)
    register(library, platform)
    if platform == "cuda":
        oracle.approximation = oracle.GPU_APPROXIMATION
    rng = np.random.default_rng(0)
    for dtype in map(np.dtype, (np.float16, oracle.BFLOAT16, np.float32, np.float64)):
        for channels, radius in ((96, 2), (33, 5), (5000, 70)):
            p = oracle.Params(radius, 1.5, 0.5, 0.75)
            u, dy, x, y = (
                rng.normal(size=(2, 3, 4, channels)).astype(dtype) for _ in range(4)
            )
            (lrn,) = call("tflrn.lrn.v1", p, x)
            (lrn_grad,) = call("tflrn.lrn_grad.v1", p, dy, x, y)
            (from_input,) = call("tflrn.lrn_grad_from_input.v1", p, dy, x)
            oracle.assert_lrn(lrn, x, p)
            oracle.assert_lrn_grad(lrn_grad, dy, x, y, p)
            oracle.assert_lrn_grad(from_input, dy, x, None, p)
            for target, output in (
                ("tflrn.lrn_grad_grad.v1", y),
                ("tflrn.lrn_grad_grad_from_input.v1", None),
            ):
                inputs = (u, dy, x) if output is None else (u, dy, x, y)
                results = call(target, p, *inputs)
                exact = oracle.lrn_grad_grad(u, dy, x, output, p, oracle.wide(dtype))
                errors = oracle.lrn_grad_grad_error(u, dy, x, output, p, dtype)
                for result, *expected in zip(results, exact, errors, strict=True):
                    oracle.assert_close(result, *expected)
            print(f"ok: {dtype}, {channels} channels, radius {radius}")
    try:
        x = np.ones((2, 3, 4), np.float32)
        call("tflrn.lrn.v1", oracle.Params(1, 1, 1, 0.5), x)
    except Exception as error:
        if "rank 4" not in str(error):
            raise
        print("ok: a tensor of rank 3 is an error")
    else:
        raise AssertionError("a tensor of rank 3 is no error")


if __name__ == "__main__":
    main(*sys.argv[1:])
