"""The results of a run, and their file: JSON, one record per line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oracle import Params

from suite.cases import Case, Group
from suite.timing import Times

SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Record:
    """A case with its times, or with the reason why it has none."""

    section: str
    group: str
    case: Case
    threads: int
    times: Times | None
    unavailable: str | None

    @classmethod
    def of(
        cls,
        group: Group,
        case: Case,
        threads: int,
        times: Times | None = None,
        unavailable: str | None = None,
    ) -> Record:
        return cls(group.section, group.name, case, threads, times, unavailable)

    @property
    def key(self) -> tuple:
        """What distinguishes it from all other records of a run."""
        return (self.section, self.group, self.case, self.threads)

    @property
    def ms(self) -> float:
        assert self.times is not None
        return self.times.median_ms

    def to_json(self) -> dict[str, Any]:
        case = dataclasses.asdict(self.case)
        case |= case.pop("params")
        if not case["pooled"]:
            del case["pooled"]
        place = {"section": self.section, "group": self.group, "threads": self.threads}
        if self.times is None:
            return {**place, **case, "unavailable": self.unavailable}
        times = {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in dataclasses.asdict(self.times).items()
        }
        return {**place, **case, "bytes": self.case.bytes, **times}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Record:
        def made(kind: type, **more: Any) -> Any:
            names = {field.name for field in dataclasses.fields(kind)}
            return kind(**{k: v for k, v in data.items() if k in names}, **more)

        data = {**data, "shape": tuple(data["shape"])}
        return cls(
            data["section"],
            data["group"],
            made(Case, params=made(Params)),
            data["threads"],
            made(Times) if "median_ms" in data else None,
            data.get("unavailable"),
        )


@dataclasses.dataclass(frozen=True)
class Results:
    environment: dict[str, Any]
    quick: bool
    records: list[Record]
    models: list[dict[str, Any]]

    @property
    def all_threads(self) -> int:
        return self.environment["cores"]

    def where(self, section: str, **wanted: Any) -> Iterator[Record]:
        """The records with times whose fields, or whose case's fields, are as wanted.

        `threads` is the number of all threads by default.
        """
        wanted = {"threads": self.all_threads, **wanted}
        for record in self.records:
            if record.section != section or record.times is None:
                continue
            fields = {**vars(record.case), **vars(record.case.params), **vars(record)}
            if all(fields[name] == value for name, value in wanted.items()):
                yield record

    def find(self, section: str, **wanted: Any) -> Record | None:
        """The only such record; None if it was not measured."""
        found = list(self.where(section, **wanted))
        assert len(found) <= 1, f"{section} {wanted}: {len(found)} records"
        return found[0] if found else None

    def ratio(
        self, section: str, over: dict[str, Any], under: dict[str, Any], **same: Any
    ) -> float | None:
        """The ratio of the medians of two records; None if either was not measured."""
        a = self.find(section, **{**same, **over})
        b = self.find(section, **{**same, **under})
        return a.ms / b.ms if a and b else None

    def times(self, section: str, over: str, under: str, **same: Any) -> float | None:
        """A contender's median as a multiple of another's."""
        return self.ratio(section, {"contender": over}, {"contender": under}, **same)

    def bandwidth(self, record: Record) -> float | None:
        """The share of the memory's bandwidth that a record's op uses.

        The bandwidth is that of a loop that moves the same bytes with as many threads.
        """
        for other in self.records:
            same = dataclasses.replace(record.case, contender="loop")
            place = (record.section, record.group, same, record.threads)
            if other.key == place and other.times and record.times:
                return other.ms / record.ms
        return None

    def write(self, path: Path) -> None:
        lines = ",\n  ".join(
            json.dumps(
                record.to_json()
                | ({"share_of_bandwidth": round(share, 3)} if share else {})
            )
            for record in self.records
            for share in [self.bandwidth(record)]
        )
        models = ",\n  ".join(map(json.dumps, self.models))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'{{"schema": {SCHEMA}, "quick": {json.dumps(self.quick)},\n'
            f' "environment": {json.dumps(self.environment)},\n'
            f' "records": [\n  {lines}],\n "models": [\n  {models}]}}\n'
        )

    @classmethod
    def read(cls, path: Path) -> Results:
        """Raises ValueError if the file is not a result of benchmarks/run.py."""
        data = json.loads(path.read_text())
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ValueError(f"{path} is not a result of benchmarks/run.py")
        return cls(
            data["environment"],
            data["quick"],
            [Record.from_json(record) for record in data["records"]],
            data["models"],
        )
