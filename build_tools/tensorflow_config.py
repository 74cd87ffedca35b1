"""What a build needs to know about the TensorFlow of the Python that runs this.

`python build_tools/tensorflow_config.py` prints it as JSON. Both builds use it, so
they compile against the same headers with the same flags. Without a usable
TensorFlow, it prints one sentence to stderr and exits with 1.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

# The sources compile against these and all versions between. A build fetches the
# newest if no TensorFlow is installed.
OLDEST = "2.18"
NEWEST = "2.21"

# TF's XLA headers include these projects by paths of their own.
XLA_EXTERNAL_INCLUDES = (
    "external/highwayhash",
    "external/farmhash_archive/src",
    "external/com_google_protobuf/src",
    "external/llvm-project/mlir/include",
)


def minor_version(version: str) -> str:
    """The "2.21" of "2.21.0", "2.21.0rc1" or "2.21.0-dev20260101"."""
    match = re.match(r"(\d+)\.(\d+)", version)
    if match is None:
        raise ValueError(f"not a TensorFlow version: {version!r}")
    return match.group(0)


def is_too_old(version: str) -> bool:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in minor_version(text).split(".")]

    return numbers(version) < numbers(OLDEST)


def tensorflow_config() -> dict[str, object]:
    """The facts that are printed; SystemExit without a usable TensorFlow.

    version            "2.21.0"
    minor              "2.21"; C++ code built for it runs with this minor only
    include            the folder of TensorFlow's headers
    xla_includes       more include folders that XLA's headers need
    has_xla_ffi        whether XLA's foreign function interface is among them
    compile_flags      flags that fix the ABI: language standard and defines
    library_dir        the folder of the shared libraries below
    framework_library  file name of TensorFlow's core library
    cc_library         file name of the library that holds XLA, or null
    """
    # Only headers are wanted: keep the import quiet and away from the GPU.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        import tensorflow as tf

        version = tf.__version__
    except Exception as error:
        # TensorFlow's own message for a library that does not load has many lines.
        cause = str(error.__cause__ or error).strip().splitlines() or [repr(error)]
        raise SystemExit(
            f"{sys.executable} cannot import TensorFlow ({cause[-1]}): "
            f"pip install 'tensorflow=={NEWEST}.*'"
        ) from None
    library_dir = Path(tf.sysconfig.get_lib())
    if is_too_old(version):
        raise SystemExit(
            f"TensorFlow {version} in {library_dir.parent} is too old: "
            f"tensorflow_lrn_grad needs {OLDEST} or newer "
            f"(pip install 'tensorflow=={NEWEST}.*')"
        )

    include = Path(tf.sysconfig.get_include())
    major = version.split(".")[0]
    framework = f"libtensorflow_framework.so.{major}"
    cc = f"libtensorflow_cc.so.{major}"
    if not (library_dir / framework).exists():
        raise SystemExit(
            f"TensorFlow {version} in {library_dir.parent} has no {framework}, "
            "which custom ops link against; monolithic builds are not supported"
        )
    return {
        "version": version,
        "minor": minor_version(version),
        "include": str(include),
        "xla_includes": [
            str(include / folder)
            for folder in XLA_EXTERNAL_INCLUDES
            if (include / folder).is_dir()
        ],
        "has_xla_ffi": (include / "xla/ffi/api/ffi.h").is_file(),
        "compile_flags": [
            flag
            for flag in tf.sysconfig.get_compile_flags()
            if not flag.startswith("-I")
        ],
        "library_dir": str(library_dir),
        "framework_library": framework,
        "cc_library": cc if (library_dir / cc).exists() else None,
    }


if __name__ == "__main__":
    json.dump(tensorflow_config(), sys.stdout)
    print()
