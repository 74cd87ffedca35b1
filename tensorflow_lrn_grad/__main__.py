"""The self-check: `python -m tensorflow_lrn_grad`; and `accelerate`.

The check reports what is loaded, whether it agrees with TensorFlow's own ops and with
the formula in float64 on real data, and how much faster it is here. The exit status
is 1 if it does not agree, and 2 if TFLRN_ACCELERATE=1 leaves nothing to compare with.
`accelerate SCRIPT.py` and `accelerate -m MODULE` run a program after
`tlg.accelerate()`. A process that the program spawns is accelerated only if it imports
this package with TFLRN_ACCELERATE=1 in its environment, or calls `tlg.accelerate()`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import itertools
import json
import math
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from . import _selfcheck, stock
from ._agreement import Comparison, Deviation
from ._selfcheck import Results, Timing

_ROUNDS = 7
_WIDTH = 100  # lines longer than this are hard to read


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line `arguments`, and returns the exit status."""
    options = _parser().parse_args(arguments)
    return options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tensorflow_lrn_grad",
        description="Tools of tensorflow_lrn_grad. The default command is check.",
    )
    parser.set_defaults(run=_check, json=False, rounds=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="compare the ops with TensorFlow's and with float64, and time them",
        description="Compare the ops with TensorFlow's and with the formula in float64"
        " on real data, and time them. The exit status is 1 if they disagree, and 2 if"
        " TFLRN_ACCELERATE=1 leaves nothing to compare with.",
    )
    for command in (parser, check):
        # The defaults are set above: a default here would overwrite an option given
        # before the command.
        command.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,
            help="write the results to standard output as JSON",
        )
        command.add_argument(
            "--rounds",
            type=_positive_integer,
            metavar="N",
            default=argparse.SUPPRESS,
            help=f"time each op N times and take the median (default: {_ROUNDS})",
        )
    accelerate = commands.add_parser(
        "accelerate",
        help="run a program with TensorFlow's own LRN on our kernels",
        usage="%(prog)s [-h] {SCRIPT.py | -m MODULE} [ARGS]",
        description="Run a Python script or module with TensorFlow's own LRN and"
        " LRNGrad on the kernels of this package. A process that it spawns is"
        " accelerated only if it imports tensorflow_lrn_grad with TFLRN_ACCELERATE=1"
        " in its environment, or calls tensorflow_lrn_grad.accelerate().",
    )
    accelerate.set_defaults(run=_accelerate)
    accelerate.add_argument(
        "-m", dest="is_module", action="store_true", help="run a module, like python -m"
    )
    accelerate.add_argument(
        "program",
        metavar="SCRIPT.py or MODULE",
        # At least one argument, and all that follow it, with "--" and options.
        nargs=argparse.PARSER,
        help="the program, and its own arguments",
    )
    return parser


def _accelerate(options: argparse.Namespace) -> int:
    """Runs the program as Python does, with its exit status, except that a script's
    sys.argv[0] is absolute, as its __file__ is."""
    if options.json or options.rounds is not None:
        return _usage_error(
            "accelerate takes neither --json nor --rounds: put the program's own "
            "options after its name"
        )
    program, *arguments = options.program
    if options.is_module:
        if not _module_exists(program):
            return _usage_error(f"there is no module {program}")
        stock.accelerate()
        sys.argv[1:] = arguments  # The first is set by run_module.
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        return 0
    script = Path(program)
    if not script.is_file():
        return _usage_error(f"there is no file {script}")
    stock.accelerate()
    path = os.path.abspath(script)
    sys.argv = [path, *arguments]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = str(script.resolve().parent)
    runpy.run_path(path, run_name="__main__")
    return 0


def _module_exists(name: str) -> bool:
    """Like run_module, this imports the packages that the module is in."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError as error:
        # One of those packages, or something that they import?
        if f"{name}.".startswith(f"{error.name}."):
            return False
        raise


def _positive_integer(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return value


def _usage_error(message: str) -> int:
    """Prints it, and returns the exit status."""
    print(f"error: {message}", file=sys.stderr)
    return 2


def _check(options: argparse.Namespace) -> int:
    if stock.is_accelerated():
        return _usage_error(
            "TensorFlow's own LRN runs on our kernels in this process, so there is "
            "nothing to compare them with: unset TFLRN_ACCELERATE"
        )
    environment = _selfcheck.environment()
    screen = Console(highlight=False, quiet=options.json)
    _show_environment(screen, environment)
    with Progress(
        TextColumn("{task.description:38}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("", total=_selfcheck.STEPS)

        done = itertools.count()

        def step(description: str) -> None:
            progress.update(task, description=description, completed=next(done))

        results = _selfcheck.run(options.rounds or _ROUNDS, step)
    _show_results(screen, results)
    if options.json:
        json.dump(_as_json(environment, results), sys.stdout, indent=2, allow_nan=False)
        print()
    return 0 if results.agree else 1


def _as_json(environment: dict[str, Any], results: Results) -> dict[str, Any]:
    def null_for_infinity(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: null_for_infinity(item) for key, item in value.items()}
        return None if value == math.inf else value

    comparisons = [
        {**dataclasses.asdict(comparison), "agrees": comparison.agrees}
        for comparison in results.comparisons
    ]
    return {
        "agree": results.agree,
        "environment": environment,
        "comparisons": list(map(null_for_infinity, comparisons)),
        "timings": [dataclasses.asdict(timing) for timing in results.timings],
    }


# The screen ---------------------------------------------------------------------


def _show_environment(screen: Console, environment: dict[str, Any]) -> None:
    build = environment["build"]
    cuda_archs = build["cuda_archs"]
    kernels = [
        f"CPU ({' '.join(build['cpu_targets'])})",
        f"CUDA ({' '.join(cuda_archs)})" if cuda_archs else "no CUDA",
        "XLA" if build["xla"] else "no XLA",
    ]
    rows = {
        "Library": f"{environment['version']}, built for TensorFlow "
        f"{build['tensorflow']}, compiler {build['compiler']}",
        "Kernels": ", ".join(kernels),
        "Running": f"TensorFlow {environment['tensorflow']}, NumPy "
        f"{environment['numpy']}, Python {environment['python']}",
        "CPU": f"{environment['cpu']}, {environment['cores']} cores, "
        f"kernels in use: {build['cpu_target']}",
        "GPU": ", ".join(environment["gpus"]) or "none",
        "Data": environment["data"],
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, Text(value))
    screen.print("[bold]tensorflow_lrn_grad[/]")
    screen.print(table, width=min(screen.width, _WIDTH))


def _show_results(screen: Console, results: Results) -> None:
    screen.print(_comparison_table(results.comparisons))
    screen.print(_timing_table(results.timings))
    if results.agree:
        speedups = [timing.speedup for timing in results.timings]
        screen.print(
            "[bold green]ok[/]: the ops agree with float64 and with TensorFlow's, "
            f"which take {min(speedups):.1f} to {max(speedups):.1f} times as long"
        )
    else:
        screen.print("[bold red]The ops DISAGREE by more than the tolerance.")


def _comparison_table(comparisons: Sequence[Comparison]) -> Table:
    def of_tolerance(deviation: Deviation | None) -> str:
        if deviation is None:
            return "no kernel"
        text = f"{deviation.error:.1e} of {deviation.tolerance:.1e}"
        return text if deviation.within else f"[bold red]{text}[/]"

    table = _table(
        "Agreement: the largest error, and its tolerance",
        "Relative to the sum of the magnitudes of a result's terms. The tolerance "
        "counts the roundings on the path to the result: in float16 and bfloat16, ours "
        "may add one to those of float32, while TensorFlow's rounds at every step. "
        "With the parameters of each layer below, and with TensorFlow's defaults.",
    )
    table.add_column("\nop")
    table.add_column("\ntype")
    table.add_column("ours to\nfloat64", justify="right")
    table.add_column("ours to\nTensorFlow's", justify="right")
    table.add_column("TensorFlow's\nto float64", justify="right")
    table.add_column()
    for comparison in sorted(comparisons, key=lambda comparison: comparison.op):
        stock = comparison.stock_to_oracle
        table.add_row(
            "LRNGrad, no y" if comparison.op == "LRNGradFromInput" else comparison.op,
            comparison.dtype,
            of_tolerance(comparison.ours_to_oracle),
            of_tolerance(comparison.ours_to_stock),
            "no kernel" if stock is None else f"{stock.error:.1e}",
            "[green]ok[/]" if comparison.agrees else "[bold red]NO[/]",
        )
    return table


def _timing_table(timings: Sequence[Timing]) -> Table:
    table = _table(
        "Speed: medians in milliseconds, float32",
        "Max pooling after the LRN returns a dy of mostly zeros, which TensorFlow's op "
        "skips. No y: as in tlg.lrn's gradient, which computes LRN's output y where "
        "TensorFlow's op reads it. memory: the time to move as many bytes, by "
        "tf.add(x, x) for forward, tf.add_n([dy, x, y]) for backward, and "
        "tf.add(dy, x) without y.",
    )
    table.add_column("\nlayer")
    table.add_column("\npass")
    table.add_column("\nours", justify="right")
    table.add_column("Tensor-\nFlow's", justify="right")
    table.add_column("times\nours", justify="right")
    table.add_column("\nmemory", justify="right")
    table.add_column("ours /\nmemory", justify="right")
    for layer, group in itertools.groupby(timings, key=lambda timing: timing.layer):
        rows = list(group)
        shape = "x".join(map(str, rows[0].shape))
        for label, timing in itertools.zip_longest((layer, shape), rows):
            table.add_row(
                label,
                _pass_name(timing),
                f"{timing.ours.median:.1f}",
                f"{timing.stock.median:.1f}",
                f"[bold]{timing.speedup:.1f}[/]",
                f"{timing.memory.median:.1f}",
                f"{timing.times_memory:.2f}",
            )
    return table


def _pass_name(timing: Timing) -> str:
    if timing.dy_zeros is None:
        return "forward"
    if timing.op == "LRNGradFromInput":
        return "backward, no y"
    if timing.dy_zeros < 0.5:
        return "backward"
    return f"backward, {timing.dy_zeros:.0%} zeros"


def _table(title: str, caption: str) -> Table:
    return Table(
        title="\n" + title,
        title_style="bold",
        title_justify="left",
        caption=Text(caption, style="dim"),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )


if __name__ == "__main__":
    sys.exit(main())
