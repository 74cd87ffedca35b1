"""Compiles the C++ parts of the benchmarks on demand.

They are compiled with the compiler and the flags of the pip build into
build/benchmarks, and reused until a source or the flags change.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from build_tools.compile_library import FLAGS, find_compiler
from suite import ROOT

BUILD = ROOT / "build" / "benchmarks"
SOURCES = ("cc/core", "cc/cpu", "benchmarks/cc", "tests/cc")


class CompileError(Exception):
    """The messages of the compiler or linker."""


def compile_file(
    source: Path,
    flags: Sequence[str] = (),
    libraries: Sequence[str] = (),
    root: Path = ROOT,
) -> Path:
    """Compiles a source to an object, or, given libraries, to a shared library.

    The output's name has a hash of the command and of all that the source might
    include, so that a stale output is never used.
    """
    command = [*find_compiler(), *FLAGS, *flags, f"-iquote{root}"]
    command += shlex.split(os.environ.get("CXXFLAGS", ""))
    if libraries:
        command += ["-fvisibility=default", "-shared"]
    else:
        command += ["-c"]
    command += [str(source), *libraries]
    digest = hashlib.sha256(shlex.join(command).encode())
    kernels = source.is_relative_to(root / "cc")
    for folder in SOURCES[:2] if kernels else SOURCES:
        for path in sorted((root / folder).glob("*")):
            digest.update(path.read_bytes())
    suffix = ".so" if libraries else ".o"
    output = BUILD / f"{source.stem}-{digest.hexdigest()[:12]}{suffix}"
    if not output.exists():
        # Under a name with the process ID: another process may compile the same file.
        unfinished = output.with_name(f"{output.name}.{os.getpid()}")
        run([*command, "-o", str(unfinished)])
        unfinished.rename(output)
    return output


def run(command: list[str]) -> None:
    """Runs a compiler or a linker."""
    BUILD.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise CompileError(f"{result.stderr}\nfailed: {shlex.join(command)}")


@cache
def memory() -> ctypes.CDLL:
    """The loop that moves bytes, from benchmarks/cc/memory.cc."""
    source = ROOT / "benchmarks/cc/memory.cc"
    return _load(compile_file(source, ["-fopenmp", "-march=native"], ["-lgomp"]))


@cache
def onednn() -> ctypes.CDLL:
    """oneDNN's LRN, from benchmarks/cc/onednn.cc; CompileError without libdnnl-dev."""
    library = _load(
        compile_file(ROOT / "benchmarks/cc/onednn.cc", libraries=["-ldnnl"])
    )
    library.tflrn_onednn_layer.restype = ctypes.c_void_p
    return library


def _load(path: Path) -> ctypes.CDLL:
    # Keeps its symbols apart from those of TensorFlow's own oneDNN.
    return ctypes.CDLL(str(path), os.RTLD_NOW | os.RTLD_LOCAL | os.RTLD_DEEPBIND)
