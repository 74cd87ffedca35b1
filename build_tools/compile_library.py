"""Compiles and links tensorflow_lrn_grad/_lrn_ops.so.

CXX, CXXFLAGS, LDFLAGS   the compiler (g++, else clang++) and more flags
MAX_JOBS                 how many sources to compile at once; by default one per
                         processor, or fewer if memory is short
TFLRN_CUDA=0|1           0 leaves GPU kernels out, 1 requires them; by default
                         they are built if nvcc is found
TFLRN_CUDA_ARCHS         "80,90": GPU architectures to build for
NVCC                     the nvcc to use

CXX and NVCC may have a launcher before the compiler, and options after it:
"ccache g++ -m64".
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# No contraction: if the compiler fused a multiplication and an addition in one copy of
# an inlined function and not in another, bits would depend on the place in the tensor.
# The kernels request fused operations explicitly (cc/core/lanes.h).
# NDEBUG as in TensorFlow's wheels: inline functions of its headers depend on it.
FLAGS = (
    "-O3",
    "-std=c++17",
    "-DNDEBUG",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-ffunction-sections",
    "-fdata-sections",
    "-Wall",
    "-Wextra",
    f"-ffile-prefix-map={ROOT}=.",
)
# --fmad=false is nvcc's -ffp-contract=off. --expt-relaxed-constexpr lets device code
# call constexpr functions of the host, such as those of std::numeric_limits.
NVCC_FLAGS = (
    "-x=cu",
    "-O3",
    "-std=c++17",
    "-DNDEBUG",
    "--fmad=false",
    "--expt-relaxed-constexpr",
    "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall",
    "--threads=0",
)
LINK_FLAGS = (
    "-shared",
    # Relative, as all paths: a comma in the folder's name would end the option.
    "-Wl,--version-script=cc/exports.lds",
    "-Wl,--gc-sections",
    "-Wl,--strip-all",
    "-Wl,--no-undefined",
    "-Wl,--as-needed",
)

# What may precede the compiler in CXX and NVCC.
LAUNCHERS = ("ccache", "distcc", "icecc", "sccache")

NVCC = ("nvcc", "/usr/local/cuda/bin/nvcc")
# Those that nvcc knows are built, with PTX of the newest for later GPUs.
CUDA_ARCHS = ("75", "80", "86", "89", "90", "100", "120")
CUDA_RUNTIME = ("-lcudart_static", "-ldl", "-lrt", "-lpthread")

# Memory per compilation. The largest takes 1.7 GB, due to XLA's headers; nvcc's eight
# processes for the architectures above take 1.1 GB together.
JOB_BYTES = 2 << 30


@dataclasses.dataclass(frozen=True)
class Cuda:
    nvcc: tuple[str, ...]
    archs: tuple[str, ...]
    library_dirs: tuple[str, ...]


def find_compiler() -> list[str]:
    """The C++ compiler's command; SystemExit if there is none."""
    if not sys.platform.startswith("linux"):
        raise SystemExit(f"error: only Linux is supported, but this is {sys.platform}")
    command = shlex.split(os.environ.get("CXX", ""))
    if command:
        if problem := _cannot_run(command):
            raise SystemExit(f"error: CXX: {problem}")
        return command
    for name in ("g++", "clang++"):
        if shutil.which(name):
            return [name]
    raise SystemExit(
        "error: no C++ compiler found: install g++ (on Debian and Ubuntu: "
        "apt install g++), or name yours in the environment variable CXX"
    )


def ccbin() -> list[str]:
    """The flags that make nvcc use that compiler: every call of nvcc looks for one."""
    program, *options = without_launcher(find_compiler())
    # nvcc splits at commas.
    escaped = [option.replace(",", r"\,") for option in options]
    return [f"-ccbin={program}", *(f"-Xcompiler={option}" for option in escaped)]


def without_launcher(command: Sequence[str]) -> list[str]:
    """["g++", "-m64"] of ["ccache", "g++", "-m64"]."""
    return list(command[_launchers(command) :])


def _launchers(command: Sequence[str]) -> int:
    """How many words of a compiler's command precede the compiler."""
    others = (i for i, word in enumerate(command) if Path(word).name not in LAUNCHERS)
    return next(others, len(command))


def _cannot_run(command: list[str]) -> str | None:
    """What a compiler's command lacks; None if nothing."""
    programs = command[: _launchers(command) + 1]
    for program in programs:
        if shutil.which(program) is None:
            return f"there is no {program} here"
    if not without_launcher(command):
        return f"there is no compiler after {programs[-1]}"
    return None


def max_jobs() -> int:
    """How many sources to compile at once; SystemExit if MAX_JOBS is invalid."""
    wish = os.environ.get("MAX_JOBS", "")
    if not wish:
        fitting = available_memory() // JOB_BYTES
        return max(1, min(len(os.sched_getaffinity(0)), fitting))
    if not re.fullmatch("[1-9][0-9]*", wish):
        raise SystemExit(
            f"error: MAX_JOBS must be a whole number above 0, not {wish!r}"
        )
    return int(wish)


def available_memory(root: Path = Path("/")) -> int:
    """In bytes: the system's, or a lower limit of this process's control groups."""

    def read(name: str | Path) -> str:
        with contextlib.suppress(OSError):
            return (root / name).read_text()
        return ""

    found = [sys.maxsize]
    meminfo = re.search(
        r"^MemAvailable: *(\d+) kB$", read("proc/meminfo"), re.MULTILINE
    )
    if meminfo:
        found.append(int(meminfo[1]) << 10)
    # "0::/group", or in version 1, "4:memory:/group".
    for kind, name in re.findall(
        r"^\d+:(|memory):/(.*)$", read("proc/self/cgroup"), re.MULTILINE
    ):
        group = Path("sys/fs/cgroup", kind, name)
        # In a container, only the outer groups may be visible.
        for outer in (group, *group.parents):
            limit = read(outer / ("memory.limit_in_bytes" if kind else "memory.max"))
            if limit.strip().isdigit():  # Or "max".
                found.append(int(limit))
    return min(found)


def _sources(folder: str, suffix: str = ".cc") -> list[Path]:
    found = sorted((ROOT / "cc" / folder).glob(f"*{suffix}"))
    if suffix == ".cc":
        found = [path for path in found if not path.name.endswith(".cu.cc")]
    return [path.relative_to(ROOT) for path in found]


def find_cuda() -> tuple[Cuda | None, str]:
    """What to compile GPU kernels with, or None; and a sentence that says why.

    SystemExit if TFLRN_CUDA or TFLRN_CUDA_ARCHS asks for the impossible.
    """
    wish = os.environ.get("TFLRN_CUDA", "")
    if wish not in ("", "0", "1"):
        raise SystemExit(f"error: TFLRN_CUDA must be 0 or 1, not {wish!r}")
    if wish == "0":
        return None, "GPU kernels are left out, since TFLRN_CUDA=0"

    chosen = shlex.split(os.environ.get("NVCC", ""))
    commands = [chosen] if chosen else [[name] for name in NVCC]
    command = next((c for c in commands if not _cannot_run(c)), commands[0])
    problem = _cannot_run(command)
    if not problem:
        # Bazel's actions may have another PATH.
        count = _launchers(command) + 1
        command[:count] = [str(shutil.which(program)) for program in command[:count]]
        # A launcher would mistake the query for the libraries for a compilation.
        nvcc = [*without_launcher(command), *ccbin()]
        problem = _cannot_compile(nvcc)
    if problem:
        if wish == "1":
            raise SystemExit(f"error: TFLRN_CUDA=1, but {problem}")
        return None, f"GPU kernels are left out, since {problem}"

    known = re.findall(r"compute_(\w+)", _output([*nvcc, "--list-gpu-arch"]))
    wanted = os.environ.get("TFLRN_CUDA_ARCHS", "")
    if names := re.findall(r"[^\s,;]+", wanted):
        # The newest last: PTX is built of the last.
        archs = sorted({name.removeprefix("sm_") for name in names}, key=_capability)
        unknown = [name for name in archs if re.sub("[af]$", "", name) not in known]
        if unknown:
            raise SystemExit(
                f"error: TFLRN_CUDA_ARCHS={wanted}: {nvcc[0]} does not know "
                f"{', '.join(unknown)}; it knows {', '.join(known)}"
            )
    else:
        archs = [name for name in CUDA_ARCHS if name in known]

    # nvcc may be a link or a script: only it knows where its libraries are.
    with tempfile.NamedTemporaryFile(suffix=".cu") as empty:
        dry_run = _output([*nvcc, "--dryrun", "-c", empty.name])
    libraries = re.search(r"^#\$ LIBRARIES=(.*)$", dry_run, re.MULTILINE)
    folders = shlex.split(libraries.group(1)) if libraries else []
    cuda = Cuda(tuple(command), tuple(archs), tuple(folders))
    return cuda, f"{shlex.join(command)}, for sm_{', sm_'.join(archs)}"


def _capability(arch: str) -> tuple[int, str]:
    number = re.match(r"\d*", arch)
    assert number is not None
    return int(number[0] or 0), arch


def _cannot_compile(nvcc: list[str]) -> str | None:
    """Why nvcc cannot build GPU kernels with its C++ compiler; None if it can."""
    source = """
        #include <cuda_runtime.h>
        static_assert(CUDART_VERSION >= 11080, "the kernels need CUDA 11.8 or newer");
        __global__ void kernel() {}
        int main() { return cudaGetLastError(); }
        """
    with tempfile.TemporaryDirectory() as scratch:
        probe = Path(scratch) / "probe.cu"
        probe.write_text(source)
        command = [*nvcc, *NVCC_FLAGS, str(probe)]
        try:
            _output([*command, "-o", str(probe.with_suffix(""))])
        except (OSError, SystemExit) as error:
            words = str(error).strip().splitlines()
            told = next(
                (line for line in words if re.search("error|fatal", line)), words[-1]
            )
            return (
                f"{nvcc[0]} cannot compile a kernel: {told.replace(scratch + '/', '')}"
            )
    return None


def _output(command: list[str]) -> str:
    """A command's output; SystemExit with the output if the command fails."""
    run = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=ROOT,
    )
    if run.returncode != 0:
        raise SystemExit(f"{run.stdout}\nerror: failed: {shlex.join(command)}")
    return run.stdout


def with_xla(tensorflow: dict) -> bool:
    return bool(_sources("xla")) and tensorflow["has_xla_ffi"]


def flags(version: str, tensorflow: dict, cuda: Cuda | None) -> dict[str, list[str]]:
    """The flags of each tool, except include folders; the same in both builds.

    cxx         the compiler's
    tensorflow  more, for sources that include TensorFlow's headers
    nvcc        nvcc's
    link        the linker's, after the objects
    """
    archs = cuda.archs if cuda else ()
    defines = [
        f'-DTFLRN_VERSION="{version}"',
        f'-DTFLRN_TF_VERSION="{tensorflow["version"]}"',
        f"-DTFLRN_WITH_CUDA={int(cuda is not None)}",
        f'-DTFLRN_CUDA_ARCHS="{",".join(archs)}"',
        f"-DTFLRN_WITH_XLA={int(with_xla(tensorflow))}",
    ]
    gencode = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in archs]
    gencode += [f"-gencode=arch=compute_{a},code=compute_{a}" for a in archs[-1:]]
    link = list(LINK_FLAGS)
    if cuda:
        # Before TensorFlow: its libraries with GPU support have functions of the same
        # names, which call a runtime of another version.
        link += [*cuda.library_dirs, *CUDA_RUNTIME]
    link += [f"-L{tensorflow['library_dir']}"]
    link += [f"-l:{tensorflow['framework_library']}"]
    if tensorflow["cc_library"]:
        link += [f"-l:{tensorflow['cc_library']}"]
    return {
        "cxx": [*FLAGS, *defines],
        "tensorflow": tensorflow["compile_flags"],
        "nvcc": [*NVCC_FLAGS, *defines, *gencode],
        "link": link,
    }


def compile_library(output: Path, version: str, tensorflow: dict) -> None:
    """Writes the library for `tensorflow` (see tensorflow_config.py) to `output`.

    Prints what it does; SystemExit with the compiler's output if it fails.
    """
    compiler = find_compiler()
    cuda, about_cuda = find_cuda()
    xla_sources = _sources("xla")
    flags_of = flags(version, tensorflow, cuda)
    jobs = max_jobs()

    say(f"tensorflow_lrn_grad {version} for TensorFlow {tensorflow['version']}")
    say(f"  in {tensorflow['library_dir']}")
    say(f"C++: {_output([*compiler, '--version']).splitlines()[0]}, {jobs} at once")
    say(f"CUDA: {about_cuda}")
    if xla_sources and not with_xla(tensorflow):
        say("XLA: left out; this TensorFlow has no xla/ffi/api/ffi.h")

    user_flags = shlex.split(os.environ.get("CXXFLAGS", ""))
    tensorflow_flags = [
        *flags_of["tensorflow"],
        f"-ffile-prefix-map={tensorflow['library_dir']}=tensorflow",
        *(f"-isystem{d}" for d in (tensorflow["include"], *tensorflow["xla_includes"])),
    ]
    common = [*compiler, *flags_of["cxx"], "-iquote."]
    plain = [*common, *user_flags]
    # TensorFlow's include folders come first: the user's may hold another absl.
    with_tensorflow = [*common, *tensorflow_flags, *user_flags]
    say(f"flags: {shlex.join([*flags_of['cxx'], *user_flags])}")
    say(f"flags for TensorFlow: {shlex.join(tensorflow_flags)}")

    # The slowest first, so that none of them runs alone at the end.
    commands = dict.fromkeys(_sources("tf"), with_tensorflow)
    if with_xla(tensorflow):
        commands |= dict.fromkeys(xla_sources, with_tensorflow)
    if cuda:
        nvcc = [*cuda.nvcc, *ccbin(), *flags_of["nvcc"], "-I."]
        say(f"flags for nvcc: {shlex.join(nvcc[len(cuda.nvcc) :])}")
        commands |= dict.fromkeys(_sources("cuda", ".cu.cc"), nvcc)
        commands |= dict.fromkeys(_sources("cuda"), plain)
    commands |= dict.fromkeys((*_sources("cpu"), *_sources("core")), plain)

    with tempfile.TemporaryDirectory() as scratch:
        objects = _compile_all(commands, Path(scratch), jobs)
        link = [*compiler, *map(str, objects), *flags_of["link"]]
        linked = Path(scratch) / output.name
        _output([*link, *shlex.split(os.environ.get("LDFLAGS", "")), "-o", str(linked)])
        output.parent.mkdir(parents=True, exist_ok=True)
        # A process may have the old library loaded, or be loading it: replace it
        # atomically, with a new file.
        new = output.with_name(f".{output.name}.{os.getpid()}")
        shutil.copy(linked, new)
        new.replace(output)
    say(f"linked {output.name}, {output.stat().st_size / 1024:.0f} KiB")


def _compile_all(
    commands: dict[Path, list[str]], scratch: Path, jobs: int
) -> list[Path]:
    """Compiles each source with its command; returns the objects in the same order."""

    def compile_one(source: Path) -> tuple[Path, str, float]:
        target = scratch / str(source.with_suffix(".o")).replace("/", "_")
        start = time.monotonic()
        words = _output([*commands[source], "-c", str(source), "-o", str(target)])
        return target, words, time.monotonic() - start

    objects = {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(compile_one, source): source for source in commands}
        try:
            for done, future in enumerate(
                concurrent.futures.as_completed(running), start=1
            ):
                target, words, seconds = future.result()
                objects[running[future]] = target
                say(f"[{done}/{len(running)}] {running[future]}  {seconds:.1f} s")
                if words:
                    say(words)
        except BaseException:  # KeyboardInterrupt, too.
            pool.shutdown(cancel_futures=True)
            raise
    return [objects[source] for source in commands]


def say(line: str) -> None:
    # Flushed: pip shows the lines while the build runs.
    print(line, flush=True)
