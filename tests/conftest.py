"""Fixtures of the test suite: devices, ways to run an op, child processes, seeds."""

from __future__ import annotations

import os

# Set before TensorFlow is imported, which otherwise prints right away.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# So that the processes share a GPU's memory.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import contextlib
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import oracle
import pytest
import tensorflow as tf

import tensorflow_lrn_grad as tlg


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gpu: needs a GPU and a library built for it")
    # Always say why a test is skipped.
    if "s" not in config.option.reportchars:
        config.option.reportchars += "s"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process per processor and file, but at most 4: each takes 1 to 2 GB of
    memory. None for one file: a process would only have to start."""
    files = {argument.partition("::")[0] for argument in config.args}
    several = any(not file.endswith(".py") for file in files) or len(files) > 1
    return min(len(os.sched_getaffinity(0)), 4) if several else 0


def _why_no_gpu() -> str | None:
    if not tf.config.list_physical_devices("GPU"):
        return "TensorFlow sees no GPU"
    if not tlg.build_info().get("cuda_archs"):
        return "the library was built without CUDA"
    return None


@contextlib.contextmanager
def _on_device(name: str) -> Iterator[str]:
    """Runs ops on the device, and fails rather than fall back to another."""
    soft = tf.config.get_soft_device_placement()
    tf.config.set_soft_device_placement(False)
    try:
        with tf.device(name):
            yield name
    finally:
        tf.config.set_soft_device_placement(soft)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The test runs on the first GPU."""
    if reason := _why_no_gpu():
        pytest.skip(reason)
    monkeypatch.setattr(oracle, "approximation", oracle.GPU_APPROXIMATION)
    with _on_device("GPU:0") as name:
        yield name


@pytest.fixture(params=["CPU:0", pytest.param("GPU:0", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs on each device."""
    if request.param == "GPU:0":
        yield request.getfixturevalue("gpu")
    else:
        with _on_device(request.param) as name:
            yield name


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers seeded by the test's name, not by the order of the tests."""
    return np.random.default_rng(list(request.node.name.encode()))


def run_eager(op: Callable, *arrays: np.ndarray) -> np.ndarray:
    """The op called eagerly."""
    return op(*map(tf.constant, arrays)).numpy()


def run_function(op: Callable, *arrays: np.ndarray) -> np.ndarray:
    """The op in a tf.function that knows no shape before it runs."""
    signature = [tf.TensorSpec(None, a.dtype) for a in arrays]
    return tf.function(op, input_signature=signature)(*arrays).numpy()


def run_static_function(op: Callable, *arrays: np.ndarray) -> np.ndarray:
    """The op in a tf.function that knows all shapes when it is traced."""
    signature = [tf.TensorSpec(a.shape, a.dtype) for a in arrays]
    return tf.function(op, input_signature=signature)(*arrays).numpy()


def run_graph(op: Callable, *arrays: np.ndarray) -> np.ndarray:
    """The op in a TensorFlow 1 graph without shapes, run by a session."""
    with tf.Graph().as_default():
        inputs = [tf.compat.v1.placeholder(a.dtype) for a in arrays]
        output = op(*inputs)
        with tf.compat.v1.Session() as session:
            return session.run(output, dict(zip(inputs, arrays, strict=True)))


MODES = (run_eager, run_function, run_static_function, run_graph)


@pytest.fixture(params=MODES, ids=lambda mode: mode.__name__[4:])
def run(request: pytest.FixtureRequest) -> Callable:
    """run(op, *arrays) in each mode of TensorFlow."""
    return request.param


@pytest.fixture
def child(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """child(code, *arguments, NAME=value): runs Python code in a process of its own.

    It imports from the same places as this process, and has the given environment
    variables. Its working directory is the test's temporary one.
    """

    def start(
        code: str, *arguments: object, **environment: str
    ) -> subprocess.CompletedProcess:
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return start
