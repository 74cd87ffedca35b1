#!/usr/bin/env python3
"""Prints, as Markdown, the resources that each GPU kernel uses.

    tools/kernel_resources.py [ARCH ...]      (default: 80 90)

Registers per thread, and stack and spills in bytes, as nvcc's assembler reports them.
With cuobjdump, or the program that CUOBJDUMP names, also the machine instructions and
the widths of the accesses to global memory. Where plain powers have a kernel of their
own, the table has that one; below it are the largest numbers of the other kernels.

    tools/kernel_resources.py --per-element RADIUS [--no-y] [ARCH ...]

The machine instructions per element for a plain power, and outputs that overwrite no
input; with --no-y, LRNGrad is the one that computes y. In a copy of the sources, the
conditions of these cases are made constants, so that no other code is left. Work of
only some threads counts for all, and a loop counts once. RADIUS is 0 to 8: wide windows
have other conditions. Needs cuobjdump.

Both need nvcc, but no GPU. Exit status: 0; 1 if a kernel of the library has a stack or
spills.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from suite.table import Table  # noqa: E402

from build_tools import compile_library  # noqa: E402

MAX_TAP_RADIUS = 8  # kMaxTapRadius of cc/cuda/windows.h
# Of the versions "even" and "uneven".
LANES = {"half": (8, 4), "bfloat16": (8, 4), "float": (4, 4), "double": (2, 2)}
OWN_RADII = ((2, 5), (2,))  # With kernels of their own: LaunchRowTaps.
POWERS = ("plain", "others", "all")
OPS = {
    "LrnSteps": "LRN",
    "LrnGradSteps": "LRNGrad",
    "LrnGradGradSteps": "LRNGradGrad",
    "LrnGradGradFromInputSteps": "LRNGradGradFromInput",
}
CONSTANTS = {
    "lrn_rows-inl.h": [
        ("kAll ? args.plain_power", "kAll ? true"),
        ("kRounds == 1 && args.in_place", "false"),
    ],
    "steps.h": [("if (y_is_given)", "if (GIVEN)")],
    "walks.h": [("even_(kEven || even)", "even_(kEven)")],
    "windows.h": [("kRadius && radius_ < kRadius", "kRadius && RADIUS < kRadius")],
}


@dataclasses.dataclass
class Kernel:
    op: str
    version: str
    type: str
    powers: str
    registers: int
    stack: int
    spilled: int
    instructions: int | None = None
    accesses: str = ""

    def order(self) -> tuple:
        ops, types = list(OPS.values()), list(LANES)
        return ops.index(self.op), self.version, types.index(self.type)


def demangle(names: list[str]) -> list[str]:
    run = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    )
    return run.stdout.splitlines()


def kernels_in(log: str, kind: str) -> dict[str, Kernel]:
    """The kernels in the assembler's report, by their mangled names."""
    pattern = re.compile(
        r"Function properties for (\w+)\s+(\d+) bytes stack frame, (\d+) bytes spill "
        r"stores, (\d+) bytes spill loads\s+ptxas info\s+: Used (\d+) registers"
    )
    found = {}
    reports = pattern.findall(log)
    readable = demangle([name for name, *_ in reports])
    for (name, *numbers), words in zip(reports, readable, strict=True):
        stack, stores, loads, registers = map(int, numbers)
        steps = re.search(r"(\w+Steps)<", words)
        walk = re.search(r"(\w+)Walk(?:<(?:\(int\))?\d+, (?:\(bool\))?(\w+)>)?", words)
        tap = re.search(
            r"TapWindow<\w+, (?:\(int\))?\d+, (?:\(int\))?(\d+), (?:\(int\))?(\d+)",
            words,
        )
        powers = re.search(r"Powers\)(\d)>", words)
        if "RowsKernel<" not in words or not steps or not walk or not powers:
            continue
        version, window = walk.group(1).lower(), "wide"
        if tap:
            least, most = tap.groups()
            window = f"radius {most}" if least == most else f"radius to {most}"
            if walk.group(2):
                version = "even" if walk.group(2) in ("1", "true") else "uneven"
        found[name] = Kernel(
            op=OPS[steps.group(1)],
            version=f"{version}, {window}",
            type=kind,
            powers=POWERS[int(powers.group(1))],
            registers=registers,
            stack=stack,
            spilled=stores + loads,
        )
    return found


def add_machine_code(kernels: dict[str, Kernel], disassembly: str) -> None:
    for part in disassembly.split("Function : ")[1:]:
        name, _, body = part.partition("\n")
        code = re.findall(
            r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)", body, re.MULTILINE
        )
        widths: collections.Counter = collections.Counter()
        for instruction in code:
            what, *modifiers = instruction.split(".")
            if what in ("LDG", "STG"):
                bits = [m for m in modifiers if m in ("U8", "U16", "64", "128")]
                widths[f"{what} {bits[0].strip('U') if bits else '32'}"] += 1
        if kernel := kernels.get(name.strip()):
            # NOPs pad the code after the last jump.
            kernel.instructions = len(code) - code.count("NOP")
            kernel.accesses = ", ".join(
                f"{n} {width}" for width, n in sorted(widths.items())
            )


def compile_type(
    nvcc: tuple[str, ...], arch: str, kind: str, sources: Path
) -> list[Kernel]:
    target = sources / f"{kind}_{arch}.o"
    command = [
        *nvcc,
        *compile_library.ccbin(),
        *compile_library.NVCC_FLAGS,
        *("-Xptxas=-v", f"-gencode=arch=compute_{arch},code=sm_{arch}", f"-I{sources}"),
        *("-c", str(sources / f"cc/cuda/lrn_rows_{kind}.cu.cc"), "-o", str(target)),
    ]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(run.stdout + run.stderr)
    kernels = kernels_in(run.stdout + run.stderr, kind)
    disassembler = shutil.which(os.environ.get("CUOBJDUMP", "cuobjdump"))
    if disassembler:
        dump = [disassembler, "--dump-sass", str(target)]
        run = subprocess.run(dump, capture_output=True, text=True, check=True)
        add_machine_code(kernels, run.stdout)
    return list(kernels.values())


def make_constant(sources: Path, radius: int, y_is_given: bool) -> None:
    values = {"RADIUS": str(radius), "GIVEN": str(y_is_given).lower()}
    for name, replacements in CONSTANTS.items():
        path = sources / "cc/cuda" / name
        text = path.read_text()
        for condition, constant in replacements:
            if condition not in text:
                raise SystemExit(f"error: there is no {condition!r} in {name}")
            for word, value in values.items():
                constant = constant.replace(word, value)
            text = text.replace(condition, constant)
        path.write_text(text)


def print_resources(kernels: list[Kernel]) -> None:
    header = ["op", "version", "type", "registers", "stack", "spilled", "instructions"]
    header.append("accesses to global memory, in bits")
    rows = []
    for k in kernels:
        if k.powers != "others":
            row = [k.op, k.version, k.type, k.registers, k.stack, k.spilled]
            rows.append([*map(str, row), str(k.instructions or ""), k.accesses])
    print(Table("", header, rows, left=len(header)).markdown())
    others = [k for k in kernels if k.powers == "others"]
    most = {
        what: max(getattr(k, what) for k in others)
        for what in ("registers", "stack", "spilled", "instructions")
        if all(getattr(k, what) is not None for k in others)
    }
    words = ", ".join(f"{what} {number}" for what, number in most.items())
    print(f"\nThe kernels for other powers, at most: {words}.")


def print_per_element(kernels: list[Kernel], radius: int) -> None:
    versions = [
        f"{name}, radius {radius if radius in own else f'to {MAX_TAP_RADIUS}'}"
        for name, own in zip(("even", "uneven"), OWN_RADII, strict=True)
    ]
    counts: dict[tuple, dict[str, str]] = {}
    for k in kernels:
        if k.powers != "others" and k.version in versions:
            if k.instructions is None:
                raise SystemExit("error: cuobjdump was not found")
            lanes = LANES[k.type][versions.index(k.version)]
            per_element = f"{k.instructions / lanes:.0f}"
            counts.setdefault((k.op, k.version), {})[k.type] = per_element
    header = ["op", "version", *LANES]
    rows = [
        [*key, *(by_type[kind] for kind in LANES)] for key, by_type in counts.items()
    ]
    print(Table("", header, rows, left=len(header)).markdown())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archs", nargs="*", default=["80", "90"], metavar="ARCH")
    parser.add_argument("--per-element", type=int, metavar="RADIUS")
    parser.add_argument("--no-y", action="store_true")
    arguments = parser.parse_args()
    radius = arguments.per_element
    if radius is not None and not 0 <= radius <= MAX_TAP_RADIUS:
        parser.error(f"RADIUS is 0 to {MAX_TAP_RADIUS}")
    os.environ["TFLRN_CUDA"] = "1"
    cuda, _ = compile_library.find_cuda()
    assert cuda is not None
    spilling = []
    with tempfile.TemporaryDirectory() as scratch:
        sources = Path(scratch)
        shutil.copytree(ROOT / "cc", sources / "cc")
        if radius is not None:
            make_constant(sources, radius, not arguments.no_y)
        for arch in arguments.archs:
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                futures = [
                    pool.submit(compile_type, cuda.nvcc, arch, kind, sources)
                    for kind in LANES
                ]
            kernels = [kernel for future in futures for kernel in future.result()]
            kernels.sort(key=Kernel.order)
            print(f"\nsm_{arch}:\n")
            if radius is None:
                print_resources(kernels)
                spilling += [
                    f"sm_{arch}, {k.op}, {k.version}, {k.type}, {k.powers} powers"
                    for k in kernels
                    if k.stack or k.spilled
                ]
            else:
                print_per_element(kernels, radius)
    if spilling:
        print("error: with a stack or spills:", *spilling, sep="\n", file=sys.stderr)
    return bool(spilling)


if __name__ == "__main__":
    sys.exit(main())
