"""Measures LRN and its gradients: ours, TensorFlow's, PyTorch's and oneDNN's.

    pip install '.[tensorflow,bench]'
    python benchmarks/run.py              # all: about 5 minutes on two cores
    python benchmarks/run.py --quick      # small shapes, few rounds, no training steps:
                                          # under a minute
    python benchmarks/run.py --only layers --only types

PyTorch (pip install torch) and oneDNN (apt install libdnnl-dev) take part if they are
installed. Before a group is timed, its results are compared with the formula in wider
arithmetic. If one of ours is wrong or fails, the run exits with status 1 and writes
nothing. At the end it prints which goals are met and writes the results as JSON.

--publish also writes the tables and plots of README.md and docs/. With
--show benchmarks/results/cpu.json, it does so without measuring.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table as RichTable
from suite import ROOT, report
from suite.cases import SECTIONS, groups
from suite.measure import WrongResultError, workers
from suite.results import Results
from suite.timing import Effort

MODELS = "models"
PUBLISHED = ROOT / "benchmarks" / "results" / "cpu.json"
UNPUBLISHED = ROOT / "build" / "benchmarks" / "results.json"

EFFORT = Effort(rounds=40, seconds=0.6)
QUICK_EFFORT = Effort(rounds=4, seconds=0.02)
QUICK_SCALE = 16
QUICK_MODELS = ("--batch", 2, "--width", 0.125, "--rounds", 1, "--steps", 2)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if not options.show:
        try:
            results = measure(options.only, options.quick)
        except WrongResultError as error:
            print(f"error: wrong result or failure: {error}", file=sys.stderr)
            return 1
        results.write(options.output)
    # Read back, since the file rounds: the screen and the file must agree on the goals
    # that are met.
    try:
        results = Results.read(options.show or options.output)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(results)
    if not options.show:
        print(f"written: {options.output}")
    if options.publish:
        for path in report.publish(results):
            print(f"written: {path}")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    summary, _, _ = __doc__.partition("\n")
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument(
        "--quick", action="store_true", help="small shapes and few rounds"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[*SECTIONS, MODELS],
        help="measure only this section; repeatable",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.json",
        help=f"default: {UNPUBLISHED.relative_to(ROOT)}, "
        f"with --publish {PUBLISHED.relative_to(ROOT)}",
    )
    parser.add_argument(
        "--show",
        type=Path,
        metavar="FILE.json",
        help="show these results instead of measuring",
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write the tables and plots of README.md and docs",
    )
    options = parser.parse_args(arguments)
    if options.publish and (options.quick or options.only):
        parser.error("--publish needs all results: drop --quick and --only")
    file = options.show or options.output or PUBLISHED
    if options.publish and file.resolve() != PUBLISHED:
        parser.error(f"--publish needs the results in {PUBLISHED.relative_to(ROOT)}")
    if options.publish and importlib.util.find_spec("matplotlib") is None:
        parser.error("--publish needs matplotlib: pip install '.[bench]'")
    options.only = options.only or [*SECTIONS, *([] if options.quick else [MODELS])]
    options.output = options.output or (PUBLISHED if options.publish else UNPUBLISHED)
    return options


def measure(sections: Sequence[str], quick: bool) -> Results:
    """Measures each group in the process with its threads and its instruction set."""
    everything = len(os.sched_getaffinity(0))
    records, models = [], []
    with _progress() as progress:
        task = progress.add_task("starting")
        with workers() as process:
            environment = process(everything).environment()
            wanted = [
                group
                for group in groups(
                    [section for section in sections if section != MODELS],
                    scale=QUICK_SCALE if quick else 1,
                )
                if (group.threads is None or everything > 1)
                and (group.target is None or group.target in environment["targets"])
            ]
            progress.update(task, total=len(wanted) + (MODELS in sections))
            for group in wanted:
                progress.update(task, description=f"{group.section}: {group.name}")
                worker = process(group.threads or everything, group.target)
                records += worker.measure(group, QUICK_EFFORT if quick else EFFORT)
                progress.advance(task)
        if MODELS in sections:
            progress.update(task, description="models: training steps")
            models = _models(QUICK_MODELS if quick else ())
            progress.advance(task)
    return Results(environment, quick, records, models)


def _models(options: Sequence[object]) -> list[dict[str, Any]]:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        script = ROOT / "benchmarks" / "models.py"
        command = [sys.executable, script, "--json", file.name, *options]
        run = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            raise WrongResultError(f"{script.name}: {run.stdout}{run.stderr}")
        return json.loads(Path(file.name).read_text())["models"]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def show(results: Results) -> None:
    """Prints the tables."""
    screen = Console(highlight=False)
    if not screen.is_terminal:
        screen.width = 120
    screen.print(f"[bold]Measured on[/] {report.environment_line(results)}")
    if results.quick:
        screen.print(
            "[yellow]Measured with small shapes and few rounds: do not quote these "
            "figures, nor apply the goals to them."
        )
    *others, goals = reversed(report.tables(results))
    for table in (*reversed(others), goals):
        drawn = RichTable(
            title=f"\n{table.title}",
            caption=table.before,
            title_justify="left",
            caption_justify="left",
        )
        for k, column in enumerate(table.columns):
            drawn.add_column(column, justify="left" if k < table.left else "right")
        for row in table.rows:
            cells = [cell.strip("*") for cell in row]
            drawn.add_row(*cells, style="red" if "**not met**" in row else None)
        screen.print(drawn)


if __name__ == "__main__":
    sys.exit(main())
