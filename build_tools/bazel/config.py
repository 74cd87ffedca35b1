"""Prints, as JSON, what the Bazel build takes from TensorFlow and the pip build.

The repository rule in local_config.bzl runs this with the Python on the PATH. Flags
are quoted for a shell, as the attributes of Bazel's rules require.
"""

from __future__ import annotations

import json
import runpy
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from build_tools import compile_library, tensorflow_config  # noqa: E402


def quoted(flags: list[str]) -> list[str]:
    return [shlex.quote(flag) for flag in flags]


def main() -> None:
    version_file = runpy.run_path(str(ROOT / "tensorflow_lrn_grad/_version.py"))
    version = version_file["__version__"]
    tensorflow = tensorflow_config.tensorflow_config()
    include = tensorflow["include"]
    cuda, about_cuda = compile_library.find_cuda()
    flags = compile_library.flags(version, tensorflow, cuda)
    nvcc = [*cuda.nvcc, *compile_library.ccbin()] if cuda else []
    config = {
        "python": sys.executable,
        "about_cuda": about_cuda,
        "build_record": {"version": version, "tensorflow": tensorflow["version"]},
        "include": include,
        "includes": [
            folder.replace(include, "include")
            for folder in (include, *tensorflow["xla_includes"])
        ],
        # The prefix map: messages of TensorFlow's headers name the pip build's paths.
        "copts": quoted(
            [
                *flags["cxx"],
                *flags["tensorflow"],
                "-ffile-prefix-map=external/local_config=tensorflow",
            ]
        ),
        "nvcc": quoted([*nvcc, *flags["nvcc"], "-I."]),
        "linkopts": quoted(flags["link"]),
        "left_out": [
            folder
            for folder, is_in in {
                "cuda": cuda is not None,
                "xla": compile_library.with_xla(tensorflow),
            }.items()
            if not is_in
        ],
    }
    json.dump(config, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
