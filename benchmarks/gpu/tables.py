#!/usr/bin/env python3
"""Prints, as Markdown, what time_kernels has written.

    benchmarks/gpu/tables.py FILE [FILE ...]

First the share of a large copy's bandwidth that each case reaches, in percent, and in
brackets the share of a copy of as many bytes where the two differ by more than 5; then
how many times as long as our kernel, in float, cuDNN takes. Cases of a later file take
the place of those of an earlier one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from suite.table import Table

TYPES = ("half", "bfloat16", "float", "double")
LAYOUTS = ("NHWC", "NCHW")
DIFFERENT = 5  # Percent.


def print_table(rows: dict[tuple[str, ...], dict[str, str]], names: list[str]) -> None:
    """The rows' keys and, by name, their cells."""
    cells = [
        [*key, *(row.get(name, "") for name in names)] for key, row in rows.items()
    ]
    print(Table("", ["layer", "op", *names], cells, left=2).markdown())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    results = []
    for file in parser.parse_args().files:
        device, *results_of_file = json.loads(file.read_text())
        results += results_of_file
        rate = device["copy_gb_per_s"]
        print(f"{file.name}: {device['device']}, a copy moves {rate:.0f} GB/s.")
    print()
    shares: dict[tuple[str, ...], dict[str, str]] = {}
    cudnn: dict[tuple[str, ...], dict[str, str]] = {}
    for result in results:
        if "share_of_copy" in result:
            share = 100 * result["share_of_copy"]
            same = 100 * result["gb_per_s"] / result["same_bytes_copy_gb_per_s"]
            text = f"{share:.0f}"
            if abs(share - same) > DIFFERENT:
                text += f" ({same:.0f})"
            key = result["layer"], result["op"]
            shares.setdefault(key, {})[result["type"]] = text
        elif "cudnn_ms" in result:
            key = result["layer"], result["op"]
            times = result["times_ours"]  # None if our kernel was not timed.
            text = "" if times is None else f"{times:.1f}"
            cudnn.setdefault(key, {})[result["cudnn_layout"]] = text
    print_table(shares, list(TYPES))
    if cudnn:
        print()
        print_table(cudnn, list(LAYOUTS))


if __name__ == "__main__":
    main()
