"""Shows what changed between two results of benchmarks/run.py.

    python benchmarks/compare.py old.json new.json

A time has changed if the interquartile ranges of its samples do not overlap; a single
sample does not show that. On a machine with other load, look at the last column too: it
shows by how much the group's contenders that are not ours changed, which no change of
ours explains. The training steps of benchmarks/models.py are not compared.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from suite.cases import OURS
from suite.goals import PASSES
from suite.results import Record, Results

# The parts of the environment that may explain a difference.
HARDWARE = ("cpu", "cores", "caches")
VERSIONS = (
    *("version", "commit", "compiler", "target"),
    *("tensorflow", "torch", "onednn", "python", "system"),
)


@dataclasses.dataclass(frozen=True)
class Change:
    """One case in both results."""

    old: Record
    new: Record
    others: float | None  # the median ratio of the group's others

    @property
    def ratio(self) -> float:
        return self.new.ms / self.old.ms

    @property
    def verdict(self) -> str:
        """ "slower", "faster", or "" if the spread explains it or is unknown."""
        old, new = self.old.times, self.new.times
        assert old is not None
        assert new is not None
        if old.samples == 1 or new.samples == 1:
            return ""
        if new.lower_quartile_ms > old.upper_quartile_ms:
            return "slower"
        if new.upper_quartile_ms < old.lower_quartile_ms:
            return "faster"
        return ""


def changes(old: Results, new: Results) -> list[Change]:
    """The changes of all cases timed in both results, in the order of the new."""
    before = {record.key: record for record in old.records if record.times}
    pairs = [
        (before[record.key], record)
        for record in new.records
        if record.times and record.key in before
    ]
    ratios: dict[tuple, list[float]] = {}
    for a, b in pairs:
        if b.case.contender not in OURS:
            ratios.setdefault(_place(b), []).append(b.ms / a.ms)
    return [
        Change(
            a, b, statistics.median(ratios[_place(b)]) if _place(b) in ratios else None
        )
        for a, b in pairs
    ]


def _place(record: Record) -> tuple:
    return (record.section, record.group, record.case.op, record.threads)


def differences(old: Results, new: Results) -> Iterator[str]:
    """The differences of the machines and the versions, a sentence each."""
    for kind, names in (("hardware", HARDWARE), ("version", VERSIONS)):
        for name in names:
            a, b = old.environment.get(name), new.environment.get(name)
            if a != b:
                yield f"different {kind}: {name} was {a}, is {b}"
    if old.quick != new.quick:
        yield "only one of them is from --quick, which has other shapes"


def main(arguments: Sequence[str] | None = None) -> int:
    summary, _, _ = __doc__.partition("\n")
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("old", type=Path, metavar="OLD.json")
    parser.add_argument("new", type=Path, metavar="NEW.json")
    parser.add_argument(
        "--all", action="store_true", help="also show what did not change"
    )
    options = parser.parse_args(arguments)
    try:
        old, new = Results.read(options.old), Results.read(options.new)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    screen = Console(highlight=False)
    if not screen.is_terminal:
        screen.width = 120
    for line in differences(old, new):
        screen.print(f"[yellow]{line}")
    found = changes(old, new)
    shown = [change for change in found if change.verdict or options.all]
    if shown:
        screen.print(_table(shown))
    count = {
        word: sum(c.verdict == word for c in found) for word in ("slower", "faster")
    }
    screen.print(
        f"{len(found)} cases in both: {count['slower']} slower, {count['faster']} "
        f"faster; {_only_in(old, new)} only in the old one, {_only_in(new, old)} only "
        "in the new one"
    )
    return 0


def _only_in(a: Results, b: Results) -> int:
    def keys(results: Results) -> set[tuple]:
        return {record.key for record in results.records if record.times}

    return len(keys(a) - keys(b))


def _table(found: Sequence[Change]) -> Table:
    table = Table(title="Medians in milliseconds", title_justify="left")
    for column in ("section", "group", "case", "threads", "contender"):
        table.add_column(column)
    for column in ("old", "new", "new / old", "", "others'\nnew / old"):
        table.add_column(column, justify="right")
    for change in found:
        case = change.new.case
        words = (PASSES[case.op], case.dtype, f"r{case.params.depth_radius}")
        shape = "x".join(map(str, case.shape))
        table.add_row(
            change.new.section,
            change.new.group,
            " ".join((*words, shape)),
            str(change.new.threads),
            case.contender,
            f"{change.old.ms:.4g}",
            f"{change.new.ms:.4g}",
            f"{change.ratio:.2f}",
            change.verdict,
            "" if change.others is None else f"{change.others:.2f}",
            style={"slower": "red", "faster": "green"}.get(change.verdict),
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
