#!/usr/bin/env python3
"""Prints, as a Markdown table, what each GPU kernel takes of a multiprocessor.

    tools/kernel_resources.py [ARCH ...]      (80 and 90, if none are named)

Registers of a thread, stack and spills in bytes, as nvcc's assembler reports them, and,
where cuobjdump is found, the machine instructions and the widths of the accesses to
global memory. Needs nvcc, and no GPU.
"""

from __future__ import annotations

import collections
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from build_tools import compile_library  # noqa: E402

TYPES = ("half", "bfloat16", "float", "double")
OPS = {"LrnSteps": "LRN", "LrnGradSteps": "LRNGrad", "LrnGradGradSteps": "LRNGradGrad"}


def version_of(name: str) -> tuple[str, str] | None:
    """The op and the version of a demangled kernel's name."""
    if "RowsKernel<" not in name:
        return None
    op = OPS[re.search(r"(\w+Steps)<", name).group(1)]
    walk = re.search(r"(\w+)Walk", name).group(1).lower()
    tap = re.search(r"TapWindow<\w+, (?:\(int\))?\d+, (?:\(int\))?(\d+)", name)
    window = (
        f"radius {'' if tap.group(1) == '2' else 'to '}{tap.group(1)}"
        if tap
        else "wide"
    )
    return op, f"{walk}, {window}"


def demangle(names: list[str]) -> list[str]:
    run = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    )
    return run.stdout.splitlines()


def resources(log: str) -> dict[str, tuple[int, int, int]]:
    """Of each function in the assembler's report: registers, stack, spilled bytes."""
    found = {}
    pattern = re.compile(
        r"Function properties for (\w+)\s+(\d+) bytes stack frame, (\d+) bytes spill "
        r"stores, (\d+) bytes spill loads\s+ptxas info\s+: Used (\d+) registers"
    )
    for name, stack, stores, loads, registers in pattern.findall(log):
        found[name] = int(registers), int(stack), int(stores) + int(loads)
    return found


def accesses(machine_code: str) -> dict[str, tuple[int, str]]:
    """Of each function in a disassembly: instructions, and accesses by width."""
    found = {}
    for part in machine_code.split("Function : ")[1:]:
        name, _, body = part.partition("\n")
        code = re.findall(
            r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)", body, re.M
        )
        widths: collections.Counter = collections.Counter()
        for instruction in code:
            kind, *modifiers = instruction.split(".")
            if kind in ("LDG", "STG"):
                bits = [m for m in modifiers if m in ("U8", "U16", "64", "128")]
                widths[f"{kind} {bits[0].strip('U') if bits else '32'}"] += 1
        text = ", ".join(f"{n} {width}" for width, n in sorted(widths.items()))
        # Code ends with a jump to itself and padding.
        found[name.strip()] = len([i for i in code if i != "NOP"]), text
    return found


def compile_type(nvcc: str, arch: str, kind: str, folder: Path) -> list[list[str]]:
    target = folder / f"{kind}_{arch}.o"
    command = [
        nvcc,
        *compile_library.NVCC_FLAGS,
        *("-Xptxas=-v", f"-gencode=arch=compute_{arch},code=sm_{arch}", f"-I{ROOT}"),
        *("-c", str(ROOT / f"cc/cuda/lrn_rows_{kind}.cu.cc"), "-o", str(target)),
    ]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(run.stdout + run.stderr)
    of_function = resources(run.stdout + run.stderr)
    disassembler = shutil.which(os.environ.get("CUOBJDUMP", "cuobjdump"))
    code: dict[str, tuple[int, str]] = {}
    if disassembler:
        dump = subprocess.run(
            [disassembler, "--dump-sass", target],
            capture_output=True,
            text=True,
            check=True,
        )
        code = accesses(dump.stdout)
    rows = []
    for name, readable in zip(of_function, demangle(list(of_function)), strict=True):
        if version := version_of(readable):
            registers, stack, spilled = of_function[name]
            instructions, widths = code.get(name, ("", ""))
            row = [
                *version,
                kind,
                registers,
                f"{stack} / {spilled}",
                instructions,
                widths,
            ]
            rows.append(list(map(str, row)))
    return rows


def main() -> None:
    archs = sys.argv[1:] or ["80", "90"]
    os.environ["TFLRN_CUDA"] = "1"
    cuda, _ = compile_library.find_cuda()
    assert cuda is not None
    header = ["op", "version", "type", "registers", "stack / spilled", "instructions"]
    header.append("accesses to global memory (bits)")
    with tempfile.TemporaryDirectory() as folder:
        jobs = len(os.sched_getaffinity(0))
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for arch in archs:
                found = pool.map(
                    lambda kind: compile_type(cuda.nvcc, arch, kind, Path(folder)),  # noqa: B023
                    TYPES,
                )
                order = list(OPS.values())
                rows = sorted(
                    (row for rows in found for row in rows),
                    key=lambda row: (order.index(row[0]), row[1], TYPES.index(row[2])),
                )
                print(f"\nsm_{arch}:\n")
                for row in [header, ["---"] * len(header), *rows]:
                    print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
