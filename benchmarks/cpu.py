"""Builds and runs the C++ benchmarks of cc/cpu and cc/core/power.h.

    apt install g++ libbenchmark-dev
    python benchmarks/cpu.py                                 # about 3 minutes
    python benchmarks/cpu.py --benchmark_filter='LrnGrad/float/.*/memory/'

Other options are passed to Google Benchmark. Times are the thread's CPU time, which
stands still while others use the core. The figures in comments come from:

    cc/core/power.h        --benchmark_filter='Power|Roots': cycles, largest_ulp
    cc/cpu/blocking.h      --benchmark_filter=/float/avx512/memory_r11: times_memory;
                           also with --set kMaxTapRadius=10;
                           --benchmark_filter=/float/avx512/cached_r24: cycles;
                           also with --set kMaxPairRadius=20
    cc/cpu/lrn_rows.cc     --benchmark_filter=/float/avx512/cached/: cycles
    cc/cpu/lrn_rows-inl.h  --benchmark_filter=/float/avx512/memory: times_memory;
                           also with --set kJoined=false, and with
                           --set 'kStreamAheadBytes=4 << 10', or, without any
                           prefetching, with CXXFLAGS='-D__builtin_prefetch(...)=';
                           /half/avx512/cached: cycles, also with --set kKeepsX=false

--set compiles copies of cc/cpu and cc/core with another value for a constant.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from suite import ROOT, native

# For a run of one benchmark: enough for two digits on an idle machine.
DEFAULTS = ("--benchmark_min_time=0.05", "--benchmark_counters_tabular=true")
# The benchmarks run only on this machine. GCC would choose shorter vectors for some
# processors.
HERE = ["-march=native"]
if platform.machine() == "x86_64":
    HERE.append("-mprefer-vector-width=512")


def main(arguments: Sequence[str] | None = None) -> int:
    summary, _, _ = __doc__.partition("\n")
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="CONSTANT=VALUE",
        help="another value for a constexpr of cc/cpu or cc/core",
    )
    options, others = parser.parse_known_args(arguments)
    root = ROOT
    try:
        if options.set:
            root = native.BUILD / re.sub(r"\W+", "_", ",".join(sorted(options.set)))
            copy_with(options.set, root)
        program = build(root)
    except ValueError as error:
        parser.error(str(error))
    except native.CompileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return subprocess.run([str(program), *DEFAULTS, *others], check=False).returncode


def copy_with(settings: Sequence[str], root: Path) -> None:
    """Copies the sources to `root`, with other values for constants.

    Raises ValueError if a setting has no value, or a constant is not found exactly
    once.
    """
    shutil.rmtree(root, ignore_errors=True)
    for folder in native.SOURCES:
        shutil.copytree(ROOT / folder, root / folder)
    for setting in settings:
        name, _, value = setting.partition("=")
        if not value:
            raise ValueError(f"--set needs CONSTANT=VALUE, not {setting!r}")
        pattern = re.compile(rf"(\bconstexpr \w+ {re.escape(name)} =)[^;]+;")
        found = [
            path
            for folder in ("cc/cpu", "cc/core")
            for path in (root / folder).glob("*")
            for _ in pattern.findall(path.read_text())
        ]
        if len(found) != 1:
            raise ValueError(f"{setting}: {len(found)} constants of this name, not one")
        text = pattern.sub(rf"\1 {value};", found[0].read_text())
        found[0].write_text(text)


def build(root: Path) -> Path:
    """Compiles what has changed, and links."""
    kernels = sorted((root / "cc/cpu").glob("*.cc"))
    benchmarks = sorted((root / "benchmarks/cc").glob("*_benchmark.cc"))
    jobs = [(path, ()) for path in kernels] + [(path, HERE) for path in benchmarks]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        running = [
            pool.submit(native.compile_file, path, flags, root=root)
            for path, flags in reversed(jobs)
        ]
        objects = [
            future.result()
            for future in track(
                concurrent.futures.as_completed(running),
                "compiling",
                len(running),
                console=Console(stderr=True),
                transient=True,
            )
        ]
    program = native.BUILD / "cpu_benchmark"
    libraries = ["-lbenchmark", "-lpthread"]
    compiler = native.find_compiler()
    native.run([*compiler, *map(str, objects), *libraries, "-o", str(program)])
    return program


if __name__ == "__main__":
    sys.exit(main())
