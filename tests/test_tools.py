"""TensorFlow's debugging and profiling tools work with the ops; tools/check_gpu.py
reports all it can whatever goes wrong; other tools print their usage."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from oracle import FLOAT32, Params

import tensorflow_lrn_grad as tlg

ROOT = Path(__file__).resolve().parents[1]
P = Params(2, 1.5, 0.5, 0.75)


@pytest.fixture
def check_numerics() -> Iterator[None]:
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


def lrn_and_gradient(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tlg.lrn(x, **P.attributes())
    return y, tape.gradient(y, x)


def test_check_numerics_lets_finite_numbers_pass(
    check_numerics: None, rng: np.random.Generator
) -> None:
    x = tf.constant(rng.normal(size=(2, 3, 4, 10)).astype(FLOAT32))
    eager = lrn_and_gradient(x)
    in_function = tf.function(lrn_and_gradient)(x)
    tf.debugging.disable_check_numerics()
    for result in (eager, in_function):
        for a, b in zip(result, lrn_and_gradient(x), strict=True):
            np.testing.assert_array_equal(a, b)


def test_check_numerics_names_the_op(check_numerics: None) -> None:
    """With a bias below zero and a fractional beta the power is NaN."""
    with pytest.raises(tf.errors.InvalidArgumentError, match="TFLRN>LRN"):
        tlg.lrn(tf.ones((1, 1, 1, 4)), bias=-100.0, beta=0.75)
    one = tf.ones((1, 1, 1, 4))
    with pytest.raises(tf.errors.InvalidArgumentError, match="TFLRN>LRNGrad"):
        tlg.lrn_grad(one, one, one, bias=-100.0, beta=0.75)
    with pytest.raises(tf.errors.InvalidArgumentError, match="TFLRN>LRNGradFromInput"):
        tlg.lrn_grad(one, one, bias=-100.0, beta=0.75)


DETERMINISTIC = """
    import hashlib
    import numpy as np
    import tensorflow as tf
    import keras
    from tensorflow_lrn_grad.keras import LocalResponseNormalization

    tf.config.experimental.enable_op_determinism()

    def trained_weights():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            LocalResponseNormalization(2, beta=0.75),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ])
        model.compile("sgd", "mse")
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=(64, 8, 8, 3)), rng.normal(size=(64, 4))
        model.fit(x, y, epochs=2, verbose=0)
        return b"".join(weight.tobytes() for weight in model.get_weights())

    assert trained_weights() == trained_weights()
    """


def test_op_determinism(child: Callable) -> None:
    result = child(DETERMINISTIC)
    assert result.returncode == 0, result.stderr


def profiled_events(folder: Path) -> dict[str, int]:
    """Picoseconds by event name, in the trace under `folder`."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    (path,) = folder.rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    durations: dict[str, int] = {}
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                durations[name] = durations.get(name, 0) + event.duration_ps
    return durations


@pytest.mark.parametrize("in_function", [False, True], ids=["eager", "function"])
def test_the_profile_shows_the_ops(in_function: bool, tmp_path: Path) -> None:
    run = tf.function(lrn_and_gradient) if in_function else lrn_and_gradient
    x = tf.ones((4, 30, 30, 64))
    run(x)
    with tf.profiler.experimental.Profile(str(tmp_path)):
        run(x)
    events = profiled_events(tmp_path)
    for op in ("TFLRN>LRN", "TFLRN>LRNGradFromInput"):
        # "EagerLocalExecute: TFLRN>LRN", or in a function "my_norm:TFLRN>LRN".
        times = [t for name, t in events.items() if re.search(rf": ?{op}$", name)]
        assert times, sorted(events)
        assert min(times) > 0


@pytest.mark.skipif(not tlg.build_info()["xla"], reason="built without XLA")
def test_the_profile_shows_the_calls_of_compiled_programs(tmp_path: Path) -> None:
    run = tf.function(lrn_and_gradient, jit_compile=True)
    x = tf.ones((4, 30, 30, 64))
    run(x)
    with tf.profiler.experimental.Profile(str(tmp_path)):
        run(x)
    events = profiled_events(tmp_path)
    calls = {"TFLRN_LRN": 1, "TFLRN_LRNGradFromInput": 1}
    if tf.__version__.startswith("2.20."):  # It gives all foreign calls one name.
        calls = {"custom-call": 2}
    for call, count in calls.items():
        times = [t for name, t in events.items() if re.match(rf"{call}\.\d+$", name)]
        assert len(times) >= count, sorted(events)
        assert min(times) > 0


def test_the_graph_shows_the_names(tmp_path: Path) -> None:
    """TensorBoard shows the GraphDef that a summary writer has stored."""
    writer = tf.summary.create_file_writer(str(tmp_path))
    function = tf.function(lambda x: tlg.lrn(x, name="my_norm"))
    graph = function.get_concrete_function(tf.TensorSpec(None, tf.float32)).graph
    with writer.as_default(step=0):
        tf.summary.graph(graph)
    writer.close()
    (path,) = tmp_path.glob("events*")
    records = tf.compat.v1.io.tf_record_iterator(str(path))
    events = [tf.compat.v1.Event.FromString(record) for record in records]
    graphs = [
        tf.compat.v1.GraphDef.FromString(event.graph_def)
        for event in events
        if event.graph_def
    ]
    nodes = {node.name: node.op for graph in graphs for node in graph.node}
    assert nodes["my_norm"] == "TFLRN>LRN"


# tools/check_gpu.py, with scripts in place of the programs that need a GPU -----------

HANGS = "trap '' TERM; (sleep 99) & echo \"$!\" >{pid}; echo begun; wait; sleep 99"


class Machine:
    """A machine with a GPU, faked by shell scripts."""

    def __init__(self, script: ModuleType, folder: Path) -> None:
        self.script = script
        self.folder = folder
        self.output = folder / "output"
        self.archs: list[str] = []  # Those compiled for.
        self.tools = {
            "nvidia-smi": "echo 'Fake GPU, 9.0, 1.2'",
            "compute-sanitizer": "echo '===== ERROR SUMMARY: 0 errors'",
            "ncu": "echo profiled",
        }
        self.compiled = {
            "check_kernels": """
                if [ "$1" = --list ]; then
                  printf 'Fake GPU, sm_90\nfirst\nsecond\n'
                else
                  echo "ok $1"
                fi
                """,
            "time_kernels": "echo '[]' >\"$1\"",
        }

    def compile_programs(self, session: Any, arch: str) -> None:
        self.archs.append(arch)
        self._write(session.work, self.compiled)

    def check(self, *arguments: str) -> int:
        self._write(self.folder, self.tools)
        return self.script.main(["--output", str(self.output), *arguments])

    def results(self) -> dict[str, str]:
        """The result of each step, without the seconds."""
        text = (self.output / "summary.txt").read_text()
        return dict(re.findall(r"^(\w+): (.*?)(?: \[\d+ s\])?$", text, re.MULTILINE))

    def log(self) -> str:
        return (self.output / "logs.txt").read_text()

    def _write(self, folder: Path, programs: dict[str, str]) -> None:
        for name, text in programs.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    if not (ROOT / "tools/check_gpu.py").is_file():
        pytest.skip("tools/check_gpu.py is not here")
    monkeypatch.syspath_prepend(ROOT / "tools")
    import check_gpu

    machine = Machine(check_gpu, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setenv("TFLRN_CUDA", "1")
    cuda = check_gpu.compile_library.Cuda((str(tmp_path / "nvcc"),), (), ())
    monkeypatch.setattr(check_gpu.compile_library, "find_cuda", lambda: (cuda, ""))
    monkeypatch.setattr(check_gpu, "compile_programs", machine.compile_programs)
    # A JAX that fails to import, here and in its own process.
    (tmp_path / "jax.py").write_text("raise ImportError('no driver')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    return machine


def is_running(pid: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_gpu_step_that_fails_does_not_end_the_others(machine: Machine) -> None:
    machine.tools["compute-sanitizer"] = """
        echo "===== $4 of $6"
        echo "===== ERROR SUMMARY: 0 errors"
        [ "$4, $6" != "racecheck, every version, half" ] || exit 9
        """
    assert machine.check() == 1
    assert machine.results() == {
        "build": "ok",
        "check": "ok",
        "time": "ok",
        "jax": "FAILED: exit status 1: ImportError: no driver",
        "profile": "ok",
        "sanitize": "FAILED: racecheck, half: exit status 9: "
        "===== ERROR SUMMARY: 0 errors",
    }
    assert machine.archs == ["90"]
    for said in ("ok first", "of every version, double", "no driver", "profiled"):
        assert said in machine.log()
    files = {path.name for path in machine.output.iterdir()}
    assert files == {"logs.txt", "summary.txt", "time_kernels.json"}


def test_a_gpu_check_that_dies_or_hangs_hides_no_other(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(machine.script.LIMITS, "check", 2)
    child = machine.folder / "pid"
    machine.compiled["check_kernels"] = f"""
        case "$1" in
          --list) printf 'Fake GPU, sm_90\nhangs\ndies\nis well\n' ;;
          hangs) {HANGS.format(pid=child)} ;;
          dies) echo "a kernel: error" >&2; kill -ABRT $$ ;;
          *) echo "ok $1" ;;
        esac
        """
    assert machine.check("check", "time") == 1
    assert machine.results() == {
        "build": "ok",
        "check": "FAILED: hangs: stopped after 2 s: begun; "
        "dies: killed by signal 6 (Aborted): a kernel: error",
        "time": "ok",
    }
    assert "  hangs: begun\n" in machine.log()
    assert "  ok is well\n" in machine.log()
    assert not is_running(child.read_text().strip())


def test_the_gpu_checks_end_in_time(machine: Machine) -> None:
    machine.compiled["time_kernels"] = HANGS.format(pid=machine.folder / "pid")
    assert machine.check("time", "sanitize", "jax", "profile", "--seconds", "2") == 1
    assert machine.results() == {
        "build": "ok",
        "time": "FAILED: stopped after 2 s: begun",
        "jax": "FAILED: no time is left",
        "profile": "left out: too little time is left",
        "sanitize": "FAILED: no time is left",
    }


def test_a_program_that_is_not_there_fails_its_step(machine: Machine) -> None:
    del machine.compiled["time_kernels"]
    assert machine.check("time", "check") == 1
    results = machine.results()
    assert results["check"] == "ok"
    assert results["time"].startswith("FAILED: FileNotFoundError: ")


def test_the_runtime_finds_the_gpu_that_the_driver_does_not_show(
    machine: Machine,
) -> None:
    machine.tools["nvidia-smi"] = "exit 9"
    kernels = machine.compiled["check_kernels"]
    machine.compiled["check_kernels"] = kernels.replace("sm_90", "sm_80")
    assert machine.check("check") == 0
    assert machine.archs == ["90", "80"]

    machine.compiled["check_kernels"] = "echo no GPU here: an error; exit 3"
    assert machine.check("check") == machine.script.NO_GPU
    assert machine.results() == {"build": "ok", "check": "not reached"}
    assert "an error" in machine.log()


def test_a_gpu_step_that_was_asked_for_is_not_left_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.script, "find_program", lambda name, *folders: None)
    assert machine.check("check", "profile") == 1
    assert machine.results()["profile"] == "left out: ncu was not found"
    assert machine.results()["check"] == "ok"


def test_a_kernel_that_cannot_be_profiled_hides_no_other(machine: Machine) -> None:
    machine.tools["ncu"] = """
        case "$*" in
          *", LRNGrad, , half") echo "==ERROR== no counters"; exit 9 ;;
          *) echo "profiled: $*" ;;
        esac
        """
    assert machine.check("profile") == 1
    assert (
        machine.results()["profile"]
        == "FAILED: LRNGrad, half: exit status 9: ==ERROR== no counters"
    )
    assert machine.log().count("profiled: ") == 9
    assert "--print-details all" in machine.log()


def test_cases_can_be_timed_again(machine: Machine) -> None:
    machine.compiled["time_kernels"] = 'shift; printf "%s|" "$@"'
    assert machine.check("time", "--case", "AlexNet 1", "--case", ", half") == 0
    assert "AlexNet 1|, half|" in machine.log()


# Other tools --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["check_install.py", "check_sanitizers", "check_versions", "make_wheel"]
)
def test_a_tool_tells_how_it_is_used(name: str, tmp_path: Path) -> None:
    """Run from another folder, by a path relative to that."""
    if not (ROOT / "tools" / name).is_file():
        pytest.skip(f"tools/{name} is not here")
    tool = os.path.relpath(ROOT / "tools" / name, tmp_path)
    for option, status in (("--help", 0), ("--unknown", 2)):
        run = subprocess.run(
            [tool, option],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert (run.returncode, name in run.stdout) == (status, True), run.stdout


@pytest.mark.parametrize("runs", [[], ["corpus"]])
def test_check_sanitizers_needs_the_number_of_runs(runs: list[str]) -> None:
    """Known before it compiles anything."""
    tool = ROOT / "tools/check_sanitizers"
    if not tool.is_file():
        pytest.skip("tools/check_sanitizers is not here")
    run = subprocess.run([tool, "--fuzz", *runs], stderr=subprocess.PIPE, text=True)
    assert run.returncode == 2
    assert run.stderr.startswith("error: --fuzz needs RUNS")


@pytest.mark.parametrize(
    ("installed", "why"),
    [
        (["numpy"], "has no TensorFlow"),
        (["tensorflow", "tensorflow_lrn_grad"], "Uninstall it"),
    ],
)
def test_check_install_says_which_python_it_needs(
    installed: list[str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (ROOT / "tools/check_install.py").is_file():
        pytest.skip("tools/check_install.py is not here")
    monkeypatch.syspath_prepend(ROOT / "tools")
    import check_install

    packages = {name: [name] for name in installed}
    monkeypatch.setattr(
        check_install.importlib.metadata, "packages_distributions", lambda: packages
    )
    with pytest.raises(SystemExit, match=why):
        check_install._tensorflow_path()


def test_check_install_copies_what_git_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not (ROOT / "tools/check_install.py").is_file():
        pytest.skip("tools/check_install.py is not here")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.syspath_prepend(ROOT / "tools")
    import check_install

    root = tmp_path / "root"
    for name in ("setup.py", "cc/removed.cc", "cc/kernel.cc", ".venv/bin/python"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for command in (["init", "-q"], ["add", "setup.py", "cc"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    (root / "cc/removed.cc").unlink()
    check_install.copy_source(tmp_path / "copy", root)
    copied = {path for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert copied == {tmp_path / "copy" / n for n in ("setup.py", "cc/kernel.cc")}


# benchmarks/gpu/tables.py -------------------------------------------------------------


def test_the_gpu_tables_are_those_of_the_results() -> None:
    tables = ROOT / "benchmarks/gpu/tables.py"
    if not tables.is_file():
        pytest.skip("benchmarks/gpu/tables.py is not here")
    names = ("gpu-h200.json", "gpu-h200-radius5.json")
    results = [ROOT / "benchmarks/results" / name for name in names]
    output = subprocess.check_output([sys.executable, tables, *results], text=True)
    heads, lines = output.splitlines()[: len(names)], output.splitlines()[len(names) :]
    assert all("H200" in head for head in heads)
    rows = [line for line in lines if line.startswith(("| AlexNet", "| GoogLeNet"))]
    assert len(rows) == 20 + 8  # Shares of a copy, and cuDNN.
    documented = (ROOT / "docs/gpu.md").read_text().splitlines()
    assert set(filter(None, lines)) <= set(documented)


# tools/kernel_resources.py ------------------------------------------------------------


def test_the_conditions_of_the_kernels_can_be_made_constants(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The sources contain them as the tool expects."""
    if not (ROOT / "tools/kernel_resources.py").is_file():
        pytest.skip("tools/kernel_resources.py is not here")
    monkeypatch.syspath_prepend(ROOT / "tools")
    import kernel_resources

    shutil.copytree(ROOT / "cc", tmp_path / "cc")
    kernel_resources.make_constant(tmp_path, 5, y_is_given=True)
    windows = (tmp_path / "cc/cuda/windows.h").read_text()
    assert f"kMaxTapRadius = {kernel_resources.MAX_TAP_RADIUS};" in windows
    assert "kMinRadius < kRadius && 5 < kRadius" in windows
    with pytest.raises(SystemExit, match="there is no 'kAll "):
        kernel_resources.make_constant(tmp_path, 5, y_is_given=True)
