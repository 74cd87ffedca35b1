"""Finds the shared library, checks what it was built for, and loads it, once.

`library` is the module of op wrappers that TensorFlow generates, `native` the same
library for ctypes. Importing this module raises ImportError, with the command that
fixes it, if there is no library or no TensorFlow, or if TensorFlow's minor version
is not the one that the library was built for.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorflow_lrn_grad._version import __version__

_PACKAGE = "tensorflow_lrn_grad"
_LIBRARY = "_lrn_ops.so"
_RECORD = "_build_record.json"

_REBUILD = (
    "rebuild it for that version by running `python -m pip install --force-reinstall "
    "--no-deps --no-cache-dir .` in its source folder, or with a source "
    "distribution's name instead of the dot (without --no-cache-dir, pip may reuse a "
    "wheel that it built for another TensorFlow)"
)


def _minor(version: str) -> str:
    """The "2.21" of "2.21.0-rc1": C++ code built for TensorFlow depends on it."""
    match = re.match(r"\d+\.\d+", version)
    return match.group(0) if match else version


def _folders() -> Iterator[Path]:
    """Where the library may be, the best place first."""
    # Symbolic links are not followed: Bazel's lead out of its folder.
    here = Path(os.path.abspath(__file__)).parent
    yield here
    # In the root of the source tree, the source folder, which holds no library,
    # comes before the installed package on Python's path.
    for distribution in importlib.metadata.distributions(name="tensorflow-lrn-grad"):
        folder = Path(str(distribution.locate_file(_PACKAGE)))
        if folder.resolve() != here.resolve():
            yield folder


def _find_library(tensorflow_version: str | None) -> tuple[Path, dict[str, str]]:
    """The first library that fits, with its record; if none does, the first of all."""
    found = []
    for folder in _folders():
        if (folder / _LIBRARY).is_file() and (folder / _RECORD).is_file():
            record = json.loads((folder / _RECORD).read_text())
            found.append((folder / _LIBRARY, record))
    if not found:
        extra = "[tensorflow]" if tensorflow_version is None else ""
        raise ImportError(
            f"{Path(__file__).parent} holds the source of {_PACKAGE}, but its library "
            "is not built: run `python -m pip install "
            f"'.{extra}'` in the folder above"
        )
    for path, record in found:
        if (
            record["version"] == __version__
            and tensorflow_version is not None
            and _minor(record["tensorflow"]) == _minor(tensorflow_version)
        ):
            return path, record
    return found[0]


def _check(path: Path, record: dict[str, str], tensorflow_version: str | None) -> None:
    """Raises ImportError unless the library is one for this code and TensorFlow."""
    built_for = record["tensorflow"]
    if tensorflow_version is None:
        minor = _minor(built_for)
        raise ImportError(
            f"{_PACKAGE} needs TensorFlow {minor}, but no TensorFlow is installed "
            f"here: python -m pip install 'tensorflow=={minor}.*' (or tensorflow-cpu)"
        )
    if _minor(built_for) != _minor(tensorflow_version):
        raise ImportError(
            f"{_PACKAGE} was built for TensorFlow {built_for}, but TensorFlow "
            f"{tensorflow_version} is installed here: {_REBUILD}"
        )
    if record["version"] != __version__:
        raise ImportError(
            f"{Path(__file__).parent} is version {__version__} of {_PACKAGE}, but the "
            f"installed library, {path}, is version {record['version']}: run "
            "`python -m pip install .` in the source folder"
        )
    # A second copy would register the kernels again: XLA's abort the process, and
    # with TensorFlow's every call fails.
    others = _loaded_libraries() - {str(path.resolve())}
    if others:
        raise ImportError(
            f"{_PACKAGE} cannot load {path}, since this process has already loaded "
            f"{', '.join(sorted(others))}: start a new process"
        )


def _loaded_libraries() -> set[str]:
    """The files with our library's name that this process has mapped."""
    maps = os.fsdecode(Path("/proc/self/maps").read_bytes())
    name = re.escape(_LIBRARY)
    # A file replaced since then is a different one, listed with " (deleted)".
    return set(re.findall(rf"(/.*/{name}(?: \(deleted\))?)$", maps, re.MULTILINE))


def _import_tensorflow() -> Any:
    try:
        import tensorflow
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        return None
    # A removed package can leave a folder, which imports as an empty module.
    return tensorflow if hasattr(tensorflow, "__version__") else None


def _load() -> tuple[Path, Any, ctypes.CDLL]:
    tf = _import_tensorflow()
    version = tf.__version__ if tf else None
    path, record = _find_library(version)
    _check(path, record, version)
    try:
        ops = tf.load_op_library(str(path))
    except tf.errors.NotFoundError as error:
        raise ImportError(
            f"{path}, built for TensorFlow {record['tensorflow']}, does not load into "
            f"TensorFlow {version} ({error.message}): {_REBUILD}"
        ) from None
    native = ctypes.CDLL(str(path))
    parameters = [ctypes.c_int64, *[ctypes.c_float] * 3]
    for function, arguments, result in (
        (native.tflrn_build_info, [], ctypes.c_char_p),
        (native.tflrn_cpu_target_error, [], ctypes.c_char_p),
        (native.tflrn_gpu_error, [], ctypes.c_char_p),
        (native.tflrn_params_error, parameters, ctypes.c_char_p),
        (native.tflrn_accelerate, [], None),
        (native.tflrn_is_accelerated, [], ctypes.c_bool),
    ):
        function.argtypes = arguments
        function.restype = result
    wrong_target = native.tflrn_cpu_target_error().decode()
    if wrong_target:
        raise ImportError(wrong_target)
    return path, ops, native


_path, library, native = _load()


def build_info() -> dict[str, Any]:
    """What the library was built with, and what it uses here.

    Returns:
      A dictionary: "version" (str), "tensorflow" (str, the version that it was
      built for), "compiler" (str), "cpu_targets" (list of str, best first),
      "cpu_target" (str, the one in use), "cuda_archs" (list of str, or None without
      GPU kernels), "xla" (bool, whether there are XLA kernels), and "accelerated"
      (bool, `is_accelerated()`).
    """
    info: dict[str, Any] = json.loads(native.tflrn_build_info())
    accelerated = native.tflrn_is_accelerated()
    return {"version": __version__, **info, "accelerated": accelerated}
