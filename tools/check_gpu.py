#!/usr/bin/env python3
"""Builds, checks and times the GPU kernels, with neither TensorFlow nor GoogleTest.

    tools/check_gpu.py [STEP ...] [--output FOLDER]

emulate    the checks on the host, under the address and undefined-behaviour
           sanitizers; needs g++, and neither nvcc nor a GPU
check      the checks on the GPU (tests/cc/check_kernels.cc)
jax        the XLA handlers, called from JAX (tests/jax_handlers.py)
time       times and bandwidths, beside cuDNN's (benchmarks/gpu/time_kernels.cc)
sanitize   some checks under compute-sanitizer's memcheck, racecheck, initcheck and
           synccheck

Without a step: all but emulate. Logs, and the times as time_kernels.json, go to FOLDER.
Where there is no GPU, everything is compiled, and linked, for sm_90.

Exit status: 0 if all is well, 1 if not, or if a named step could not be taken, 3 where
there is no GPU to run on.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from build_tools import compile_library  # noqa: E402

# A sanitizer that takes longer is stopped.
MOST_SECONDS = 1200

# The slowest last, in case that time runs out.
STEPS = ("emulate", "check", "jax", "time", "sanitize")
NO_GPU = 3
SANITIZER = "compute-sanitizer"
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
# Of the checks, those that launch every version with every window; racecheck makes all
# a thousand times slower.
SANITIZED = ("repeated runs", "special values", "extreme norms")


def say(*words: object) -> None:
    print(*words, flush=True)


def run(command: list, log: Path | None = None, **options) -> int:
    """Runs a command; shows its output, and keeps it in the log."""
    with subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        **options,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            say("  " + line.rstrip())
            lines.append(line)
    if log:
        log.write_text("".join(lines))
    return process.returncode


def compile_all(commands: dict[Path, list]) -> None:
    """Runs the commands, as many at once as there are processors."""

    def compile_one(target: Path) -> tuple[Path, float, subprocess.CompletedProcess]:
        start = time.monotonic()
        done = subprocess.run(
            [*map(str, commands[target])],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        )
        return target, time.monotonic() - start, done

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [pool.submit(compile_one, target) for target in commands]
        for future in concurrent.futures.as_completed(futures):
            target, seconds, done = future.result()
            say(f"  {target.name}  {seconds:.0f} s")
            if done.stdout:
                say(done.stdout)
            if done.returncode:
                raise SystemExit(f"error: {shlex.join(map(str, commands[target]))}")


def gpu_arch() -> str | None:
    """The architecture of CUDA's first GPU, as in 90; None where there is none."""
    smi = shutil.which("nvidia-smi")
    if not smi:
        return None
    query = [
        smi,
        "--query-gpu=name,compute_cap,driver_version",
        "--format=csv,noheader",
    ]
    # Both count GPUs in the same order then.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # Of none there is no number, and nvidia-smi finds none.
        query.append(f"--id={visible.split(',')[0] or -1}")
    found = subprocess.run(query, capture_output=True, text=True)
    if found.returncode or not found.stdout.strip():
        return None
    first = found.stdout.splitlines()[0]
    say(f"GPU: {first}")
    return first.split(", ")[1].replace(".", "")


def emulate(work: Path, logs: Path) -> bool:
    say("the checks, emulated on the host, under sanitizers")
    program = work / "check_emulated"
    flags = ["-O1", "-g", "-std=c++17", "-ffp-contract=off", "-Wall", "-Wextra"]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    source = "tests/cc/check_kernels.cc"
    compiler = compile_library.find_compiler()
    compile_all({program: [*compiler, *flags, "-iquote.", source, "-o", program]})
    return run([program], logs / "emulate.log") == 0


def build(work: Path, arch: str, cuda: compile_library.Cuda) -> None:
    """check_kernels and time_kernels, for one architecture."""
    say(f"nvcc, for sm_{arch}")
    gencode = f"-gencode=arch=compute_{arch},code=sm_{arch}"
    nvcc = [cuda.nvcc, f"-ccbin={compile_library.find_compiler()[-1]}"]
    nvcc += [*compile_library.NVCC_FLAGS, gencode, f"-I{ROOT}"]
    nvcc += [f'-DTFLRN_CUDA_ARCHS="{arch}"']
    kernels = sorted((ROOT / "cc/cuda").glob("*.cu.cc"))
    programs = [
        ROOT / "tests/cc/check_kernels.cc",
        ROOT / "benchmarks/gpu/time_kernels.cc",
    ]
    commands = {
        work / f"{source.name}.o": [
            *nvcc,
            "-c",
            source,
            "-o",
            work / f"{source.name}.o",
        ]
        for source in (*kernels, *programs)
    }
    compile_all(commands)
    objects = [work / f"{source.name}.o" for source in kernels]
    cudart = [*cuda.library_dirs, *compile_library.CUDA_RUNTIME]
    links = {
        work / program.stem: [
            *compile_library.find_compiler(),
            *(work / f"{program.name}.o", *objects, *cudart, "-o", work / program.stem),
        ]
        for program in programs
    }
    compile_all(links)


def check(work: Path, logs: Path) -> bool:
    say("the checks, on the GPU")
    return run([work / "check_kernels"], logs / "check.log") == 0


def find_sanitizer(cuda: compile_library.Cuda) -> str | None:
    """compute-sanitizer, from the PATH, or from where nvcc is."""
    toolkit = Path(cuda.nvcc).resolve().parent
    folders = [os.environ["PATH"], str(toolkit), str(toolkit.parent / SANITIZER)]
    return shutil.which(SANITIZER, path=os.pathsep.join(folders))


def sanitize(work: Path, logs: Path, cuda: compile_library.Cuda) -> bool | None:
    tool = find_sanitizer(cuda)
    if not tool:
        say(f"sanitize: there is no {SANITIZER} here")
        return None
    say(f"{SANITIZER}: {', '.join(SANITIZERS)}")

    def under(name: str) -> str:
        command = [tool, "--tool", name, "--error-exitcode", "9"]
        command += [str(work / "check_kernels"), *SANITIZED]
        # As it comes, in case that this is stopped.
        with (logs / f"{name}.log").open("w") as log:
            try:
                done = subprocess.run(
                    command, stdout=log, stderr=subprocess.STDOUT, timeout=MOST_SECONDS
                )
            except subprocess.TimeoutExpired:
                return f"stopped after {MOST_SECONDS} s"
        return "" if done.returncode == 0 else f"exit status {done.returncode}"

    good = True
    with concurrent.futures.ThreadPoolExecutor(len(SANITIZERS)) as pool:
        for name, wrong in zip(SANITIZERS, pool.map(under, SANITIZERS), strict=True):
            last = (logs / f"{name}.log").read_text().strip().splitlines()[-1:]
            say(f"  {name}: {wrong or 'ok'}: {''.join(last)}")
            good &= not wrong
    return good


def jax(work: Path, logs: Path, cuda: compile_library.Cuda) -> bool | None:
    if not importlib.util.find_spec("jax"):
        say("jax: this Python has no jax")
        return None
    say("the XLA handlers, called from JAX")
    include = subprocess.run(
        [sys.executable, "-c", "import jax; print(jax.ffi.include_dir())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    library = work / "cuda_handlers.so"
    command = [*compile_library.find_compiler(), "-shared", *compile_library.FLAGS]
    # The handlers are what the library is for.
    command += [
        "-fvisibility=default",
        "-DTFLRN_WITH_CUDA=1",
        "-iquote.",
        f"-isystem{include}",
    ]
    command += ["cc/xla/cuda_handlers.cc", *sorted(work.glob("*.cu.cc.o"))]
    command += [*cuda.library_dirs, *compile_library.CUDA_RUNTIME]
    compile_all({library: [*command, "-o", library]})
    script = ROOT / "tests/jax_handlers.py"
    return run([sys.executable, script, "cuda", library], logs / "jax.log") == 0


def time_kernels(work: Path, logs: Path) -> bool:
    say("times")
    # cuDNN may have come with a Python package.
    folders = [os.environ.get("LD_LIBRARY_PATH", "")]
    for entry in map(Path, sys.path):
        folders += map(str, entry.glob("nvidia/c*/lib"))
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, folders))}
    program, result = work / "time_kernels", logs / "time_kernels.json"
    return run([program, result], logs / "time.log", env=environment) == 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", metavar="STEP")
    parser.add_argument("--output", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    if unknown := set(arguments.steps) - set(STEPS):
        parser.error(f"no such step: {', '.join(sorted(unknown))}")
    # In the order of STEPS, whatever the order they are named in.
    steps = [
        step
        for step in STEPS
        if step in arguments.steps or (not arguments.steps and step != "emulate")
    ]
    start = time.monotonic()
    good: dict[str, bool | None] = {}  # None: left out
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        logs = arguments.output.resolve() if arguments.output else work
        logs.mkdir(parents=True, exist_ok=True)
        if "emulate" in steps:
            good["emulate"] = emulate(work, logs)
            steps.remove("emulate")
        if steps:
            os.environ["TFLRN_CUDA"] = "1"
            cuda, _ = compile_library.find_cuda()
            assert cuda is not None
            arch = gpu_arch()
            build(work, arch or "90", cuda)
            if arch is None:
                say("no GPU here: compiled and linked, not run")
                return NO_GPU if all(good.values()) else 1
            for step in steps:
                if step == "check":
                    good[step] = check(work, logs)
                elif step == "jax":
                    good[step] = jax(work, logs, cuda)
                elif step == "time":
                    good[step] = time_kernels(work, logs)
                elif step == "sanitize":
                    good[step] = sanitize(work, logs, cuda)
    words = {True: "ok", False: "FAILED", None: "left out"}
    results = ", ".join(f"{step} {words[verdict]}" for step, verdict in good.items())
    say(f"{results} [{time.monotonic() - start:.0f} s]")
    asked = {good[step] for step in arguments.steps}
    return 1 if False in good.values() or None in asked else 0


if __name__ == "__main__":
    sys.exit(main())
