#!/usr/bin/env python3
"""Builds, checks and times the GPU kernels, without TensorFlow or GoogleTest.

    tools/check_gpu.py [STEP ...] [--output FOLDER] [--seconds N] [--case WORD ...]

emulate    the checks on the host, under the address and undefined-behaviour
           sanitizers; needs g++, but neither nvcc nor a GPU
build      the programs that the steps below need; always done before them
check      the checks on the GPU (tests/cc/check_kernels.cc), each in its own process
time       times and bandwidths, also of cuDNN (benchmarks/gpu/time_kernels.cc)
jax        the XLA handlers, called from JAX (tests/jax_handlers.py)
profile    the kernels of one layer under Nsight Compute, if that is installed
sanitize   every version of the kernels under compute-sanitizer's memcheck, racecheck,
           initcheck and synccheck

The default is all but emulate. A step that fails does not stop the next. All but
emulate end within N seconds (540) together. FOLDER gets logs.txt, the times as
time_kernels.json, and summary.txt, which is rewritten after each step. --case limits
the timing to cases whose names contain all the words; a name is like "AlexNet 1, LRN,
half". Without a GPU, everything is compiled and linked for sm_90.

Exit status: 0 if all is well; 1 if not, or if a named step was left out; 3 if there is
no GPU to run on.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from build_tools import compile_library  # noqa: E402

# A borrowed machine may be available for ten minutes, including the build.
SECONDS = 540
# For a step that is not the last: several times what it took on an H200, which
# the comments say. The most informative steps come first, and the slowest last.
LIMITS = {
    "check": 120,  # 15 s: 31 processes.
    "time": 120,  # 29 s: 240 cases, and cuDNN's.
    "jax": 90,  # 17 s: 49 programs to compile.
    "profile": 90,  # 25 s for eight of the ten processes.
    "sanitize": 90,  # 11 s, without radius 7: 16 processes.
}
# For killed processes to end; one that waits for the GPU may never do so.
SECONDS_TO_END = 5

STEPS = ("emulate", "build", *LIMITS)
NO_GPU = 3
DEFAULT_ARCH = "90"
# Where programs may be that are not on the PATH.
DRIVER_FOLDERS = ("/usr/bin", "/usr/local/nvidia/bin")
TOOL_FOLDERS = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer")
SANITIZER = "compute-sanitizer"
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
SANITIZED = "every version"
TYPES = ("half", "bfloat16", "float", "double")
OPS = (
    "LRN",
    "LRNGrad",
    "LRNGradFromInput",
    "LRNGradGrad",
    "LRNGradGradFromInput",
)
PROFILER = "ncu"
SECTIONS = (
    "SpeedOfLight",
    "LaunchStats",
    "Occupancy",
    "MemoryWorkloadAnalysis",
    "SchedulerStats",
    "WarpStateStats",
    "InstructionStats",
)
SHOWN_METRICS = ("==ERROR", "Duration", "DRAM Throughput", "Achieved Occupancy")


def run_all(
    commands: dict[str, list],
    deadline: float,
    show: Callable[[str, str], None],
    **options,
) -> dict[str, int | None]:
    """Runs commands concurrently, and calls show(name, line) with each output line.

    Returns their exit statuses, None for one that did not end in time. At the end all
    are killed, with the processes that they have started.
    """
    processes: dict[str, subprocess.Popen] = {}
    readers = []

    def read(name: str, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                show(name, line.rstrip())

    def wait(until: float) -> None:
        for process in processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, until - time.monotonic()))

    try:
        for name, command in commands.items():
            process = subprocess.Popen(
                [*map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=ROOT,
                start_new_session=True,
                **options,
            )
            processes[name] = process
            arguments = (name, process.stdout)
            readers.append(threading.Thread(target=read, args=arguments, daemon=True))
            readers[-1].start()
        wait(deadline)
        return {name: process.poll() for name, process in processes.items()}
    finally:
        for process in processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        ended = time.monotonic() + SECONDS_TO_END
        wait(ended)
        for reader in readers:
            reader.join(max(0, ended - time.monotonic()))


class Session:
    """The state that the steps share."""

    def __init__(self, work: Path, output: Path, log: IO[str], steps: list[str]):
        self.work = work
        self.output = output
        self.results = dict.fromkeys(steps, "not reached")
        self.cases: list[str] = []  # Words in the names of the cases to time.
        self.cuda: compile_library.Cuda | None = None
        self.arch: str | None = None  # The GPU's, as in 90.
        self.end = math.inf  # Of all steps.
        self.deadline = math.inf  # Of the current step.
        self._log = log
        self._lock = threading.Lock()

    def say(self, line: str, shown: bool = True) -> None:
        with self._lock:
            self._log.write(line + "\n")
            if shown:
                print(line, flush=True)

    def run(
        self,
        commands: dict[str, list],
        shown: Callable[[str], bool] = lambda line: True,
        **options,
    ) -> list[str]:
        """Runs commands concurrently, and returns their output lines.

        Raises SystemExit with the failed commands and their last lines.
        """
        start = time.monotonic()
        if start >= self.deadline:
            raise SystemExit("no time is left")
        lines = []
        last = {}

        def show(name: str, line: str) -> None:
            lines.append(line)
            last[name] = line
            self.say("  " + (line if name in line else f"{name}: {line}"), shown(line))

        for command in commands.values():
            self.say(f"  $ {shlex.join(map(str, command))}", shown=False)
        wrong = []
        for name, status in run_all(commands, self.deadline, show, **options).items():
            if status is None:
                why = f"stopped after {time.monotonic() - start:.0f} s"
            elif status < 0:
                why = f"killed by signal {-status} ({signal.strsignal(-status)})"
            else:
                why = f"exit status {status}"
            if status != 0:
                wrong.append(": ".join(filter(None, (name, why, last.get(name)))))
        if wrong:
            raise SystemExit("; ".join(wrong))
        return lines

    def take(self, step: str) -> None:
        self.say(f"== {step}")
        self._note(step, "not ended")
        start = time.monotonic()
        limited = step in LIMITS and step != [*self.results][-1]
        self.deadline = min(start + LIMITS[step], self.end) if limited else self.end
        try:
            left_out = FUNCTIONS[step](self)
            result = f"left out: {left_out}" if left_out else "ok"
        except SystemExit as why:
            result = f"FAILED: {why}"
        except Exception as error:
            self.say(traceback.format_exc(), shown=False)
            result = f"FAILED: {type(error).__name__}: {error}"
        self._note(step, f"{result} [{time.monotonic() - start:.0f} s]")
        self.say(f"{step}: {self.results[step]}")

    def summary(self) -> str:
        return "\n".join(f"{step}: {result}" for step, result in self.results.items())

    def _note(self, step: str, result: str) -> None:
        self.results[step] = result
        (self.output / "summary.txt").write_text(self.summary() + "\n")


def find_program(name: str, *folders: object) -> str | None:
    """From the PATH, or else from one of the folders."""
    path = [os.environ["PATH"], *map(str, folders)]
    return shutil.which(name, path=os.pathsep.join(path))


def toolkit_folders(session: Session) -> tuple[object, ...]:
    assert session.cuda is not None
    nvcc, *_ = compile_library.without_launcher(session.cuda.nvcc)
    toolkit = Path(nvcc).resolve().parent
    return toolkit, toolkit.parent / SANITIZER, *TOOL_FOLDERS


def emulate(session: Session) -> None:
    program = session.work / "check_emulated"
    flags = ["-O1", "-g", "-std=c++17", "-ffp-contract=off", "-Wall", "-Wextra"]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    source = "tests/cc/check_kernels.cc"
    compiler = compile_library.find_compiler()
    session.run({"": [*compiler, *flags, "-iquote.", source, "-o", program]})
    _, *names = session.run({"": [program, "--list"]}, shown=lambda line: False)
    names.sort()  # The types of a check, which take equally long, lie together.
    processes = min(os.cpu_count() or 1, len(names))
    session.run(
        {f"part {i}": [program, *names[i::processes]] for i in range(processes)}
    )


def arch_by_driver(session: Session) -> str | None:
    """The architecture of CUDA's first GPU; None if the driver's tool shows none."""
    smi = find_program("nvidia-smi", *DRIVER_FOLDERS)
    if not smi:
        return None
    query = [
        smi,
        "--query-gpu=name,compute_cap,driver_version",
        "--format=csv,noheader",
    ]
    # Makes CUDA number the GPUs as nvidia-smi does.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # An empty list hides all GPUs, and nvidia-smi finds no GPU -1.
        query.append(f"--id={visible.split(',')[0] or -1}")
    try:
        lines = session.run({"": query})
    except SystemExit:
        return None
    found = re.search(r", (\d+)\.(\d+), ", "\n".join(lines))
    return found and found[1] + found[2]


def arch_by_runtime(session: Session) -> str | None:
    """The same, from check_kernels."""
    try:
        lines = session.run({"": [session.work / "check_kernels", "--list"]})
    except SystemExit:
        return None
    found = re.search(r", sm_(\d+)$", lines[0])
    return found and found[1]


def run_each(session: Session, *batches: dict[str, list], **options) -> None:
    """Runs the batches in order, even if one fails; raises SystemExit at the end."""
    wrong = []
    for commands in batches:
        try:
            session.run(commands, **options)
        except SystemExit as why:
            wrong.append(str(why))
    if wrong:
        raise SystemExit("; ".join(dict.fromkeys(wrong)))


def compile_programs(session: Session, arch: str) -> None:
    """check_kernels and time_kernels, for one architecture."""
    assert session.cuda is not None
    compiler = compile_library.find_compiler()
    session.say(f"{shlex.join(session.cuda.nvcc)}, for sm_{arch}")
    nvcc = [*session.cuda.nvcc, *compile_library.ccbin(), *compile_library.NVCC_FLAGS]
    nvcc += [f"-gencode=arch=compute_{arch},code=sm_{arch}", f"-I{ROOT}"]
    nvcc += [f'-DTFLRN_CUDA_ARCHS="{arch}"', "-c"]
    kernels = sorted((ROOT / "cc/cuda").glob("*.cu.cc"))
    programs = [
        ROOT / "tests/cc/check_kernels.cc",
        ROOT / "benchmarks/gpu/time_kernels.cc",
    ]

    def target(source: Path) -> Path:
        return session.work / f"{source.name}.o"

    compiles = {
        source.name: [*nvcc, source, "-o", target(source)]
        for source in (*kernels, *programs)
    }
    more = [*map(target, kernels), *session.cuda.library_dirs]
    more += compile_library.CUDA_RUNTIME
    links = {
        program.stem: [
            *(*compiler, target(program), *more, "-o", session.work / program.stem)
        ]
        for program in programs
    }
    # One program that does not compile does not stop the other.
    run_each(session, compiles, links)


def build(session: Session) -> None:
    os.environ["TFLRN_CUDA"] = "1"
    session.cuda, _ = compile_library.find_cuda()
    session.arch = arch_by_driver(session)
    compile_programs(session, session.arch or DEFAULT_ARCH)
    if session.arch is None:
        session.arch = arch_by_runtime(session)
        if session.arch not in (None, DEFAULT_ARCH):
            compile_programs(session, session.arch)


def check(session: Session) -> None:
    program = session.work / "check_kernels"
    _, *names = session.run({"": [program, "--list"]}, shown=lambda line: "sm_" in line)
    # In its own process, a check that dies or hangs does not hide others.
    session.run({name: [program, name] for name in names})


def time_kernels(session: Session) -> None:
    # cuDNN may come from a Python package.
    folders = [os.environ.get("LD_LIBRARY_PATH", "")]
    for entry in map(Path, sys.path):
        folders += map(str, entry.glob("nvidia/c*/lib"))
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, folders))}
    command = [session.work / "time_kernels", session.output / "time_kernels.json"]
    session.run({"": [*command, *session.cases]}, env=environment)


def jax(session: Session) -> str | None:
    if not importlib.util.find_spec("jax"):
        return "this Python has no jax"
    assert session.cuda is not None
    print_folder = "import jax; print(jax.ffi.include_dir())"
    *_, include = session.run({"": [sys.executable, "-c", print_folder]})
    library = session.work / "cuda_handlers.so"
    command = [*compile_library.find_compiler(), "-shared", *compile_library.FLAGS]
    # Exports the handlers.
    command += [
        "-fvisibility=default",
        "-DTFLRN_WITH_CUDA=1",
        "-iquote.",
        f"-isystem{include}",
    ]
    command += ["cc/xla/cuda_handlers.cc", *sorted(session.work.glob("*.cu.cc.o"))]
    command += [*session.cuda.library_dirs, *compile_library.CUDA_RUNTIME]
    session.run({"": [*command, "-o", library]})
    script = ROOT / "tests/jax_handlers.py"
    # -u, since Python buffers its output to a pipe.
    session.run({"": [sys.executable, "-u", script, "cuda", library]})
    return None


def profile(session: Session) -> str | None:
    installed = sorted(Path("/opt/nvidia/nsight-compute").glob("*"))
    tool = find_program(PROFILER, *toolkit_folders(session), *installed)
    if not tool:
        return f"{PROFILER} was not found"
    if session.end - time.monotonic() < LIMITS["profile"]:
        return "too little time is left"
    command = [tool, "--clock-control", "none", "--kernel-name", "regex:RowsKernel"]
    # The first launch is slow.
    command += ["--launch-skip", "1", "--launch-count", "1"]
    for section in SECTIONS:
        command += ["--section", section]
    # Otherwise it prints only the head of each section, without what threads wait for.
    command += ["--print-details", "all"]
    command += [session.work / "time_kernels", os.devnull, "AlexNet 1"]
    run_each(
        session,
        *(
            {f"{op}, {dtype}": [*command, f", {op},", f", {dtype}"]}
            for dtype in ("half", "float")
            for op in OPS
        ),
        # The log has everything.
        shown=lambda line: any(name in line for name in SHOWN_METRICS),
    )
    return None


def sanitize(session: Session) -> str | None:
    tool = find_program(SANITIZER, *toolkit_folders(session))
    if not tool:
        return f"{SANITIZER} was not found"
    # In its own process, a type that takes too long does not hide others.
    program = session.work / "check_kernels"
    command = [tool, "--error-exitcode", "9", "--tool"]
    session.run(
        {
            f"{name}, {kind}": [*command, name, program, f"{SANITIZED}, {kind}"]
            for name in SANITIZERS
            for kind in TYPES
        },
        # The log has all that it has found.
        shown=lambda line: not line.startswith("====") or "ERROR SUMMARY" in line,
    )
    return None


# Each returns why it was left out, if so, and raises SystemExit if it fails.
FUNCTIONS: dict[str, Callable[[Session], str | None]] = {
    "emulate": emulate,
    "build": build,
    "check": check,
    "time": time_kernels,
    "jax": jax,
    "profile": profile,
    "sanitize": sanitize,
}


def take_steps(session: Session, steps: list[str], seconds: float) -> None:
    for step in steps:
        if step == "build":
            session.end = time.monotonic() + seconds
        if step in LIMITS and session.arch is None:
            session.say("no GPU was found: nothing has run")
            break
        session.take(step)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", metavar="STEP")
    parser.add_argument("--output", type=Path, metavar="FOLDER")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="N")
    parser.add_argument("--case", action="append", default=[], metavar="WORD")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.steps) - set(STEPS):
        parser.error(f"no such step: {', '.join(sorted(unknown))}")
    # In the order of STEPS, not of the command line.
    wanted = set(arguments.steps or LIMITS)
    if not wanted.isdisjoint(LIMITS):
        wanted.add("build")
    steps = [step for step in STEPS if step in wanted]
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        output = arguments.output.resolve() if arguments.output else work
        output.mkdir(parents=True, exist_ok=True)
        # Line-buffered, in case this process is killed.
        log = stack.enter_context(open(output / "logs.txt", "w", 1, "utf-8"))
        session = Session(work, output, log, steps)
        session.cases = arguments.case
        try:
            take_steps(session, steps, arguments.seconds)
        finally:
            session.say("== summary\n" + session.summary())
    if any(result.startswith("FAILED") for result in session.results.values()):
        return 1
    if "build" in steps and session.arch is None:
        return NO_GPU
    asked = [session.results[step] for step in arguments.steps]
    return 1 if any(not result.startswith("ok") for result in asked) else 0


if __name__ == "__main__":
    # SIGTERM, too, kills what is running and prints the summary.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
