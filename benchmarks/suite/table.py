"""A table in Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text, with a heading and an explanation."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    before: str = ""
    left: int = 1  # columns of words, on the left; the others are numbers

    def markdown(self) -> str:
        rules = ["---"] * self.left + ["--:"] * (len(self.columns) - self.left)
        lines = [self.columns, rules, *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
