"""Interleaved timing and its summary."""

from __future__ import annotations

import dataclasses
import math
import random
import resource
import statistics
import time
from collections.abc import Callable, Mapping

# A shorter sample says more about the clock and the interpreter than about the call, so
# short calls are repeated to fill it.
SHORTEST_SAMPLE = 5e-4
# A first call does extra work: if it is shorter than this, it says little about the
# next.
WARM_UP = 0.05
# A call this long is its own warm-up, and is made once.
TOO_LONG = 1.0
FEWEST = 3


@dataclasses.dataclass(frozen=True)
class Effort:
    """How often something is called."""

    rounds: int  # at most
    seconds: float  # for one contender, unless FEWEST samples take longer


@dataclasses.dataclass(frozen=True)
class Times:
    """The times of one contender's calls."""

    median_ms: float
    lower_quartile_ms: float
    upper_quartile_ms: float
    samples: int
    page_faults: int  # per call, the median


def summary(samples: list[float], page_faults: list[float]) -> Times:
    """The median and the spread of times in seconds."""
    milliseconds = [1e3 * sample for sample in samples]
    lower = upper = milliseconds[0]
    if len(samples) > 1:
        lower, _, upper = statistics.quantiles(milliseconds, n=4, method="inclusive")
    return Times(
        median_ms=statistics.median(milliseconds),
        lower_quartile_ms=lower,
        upper_quartile_ms=upper,
        samples=len(samples),
        page_faults=round(statistics.median(page_faults)),
    )


def interleaved(
    contenders: Mapping[str, Callable[[], object]], effort: Effort
) -> dict[str, Times]:
    """Times the contenders in turns, so that other load on the machine affects all.

    The order changes from round to round, so that none always finds the caches as the
    same predecessor leaves them. Slow contenders take part in fewer rounds, spread
    evenly over all.
    """
    estimates, samples, faults = {}, {}, {}
    for name, call in contenders.items():
        estimates[name], faults[name] = _timed(call, 1)
        if estimates[name] < WARM_UP:
            _timed(call, 1)
            estimates[name], faults[name] = _timed(call, 1)
        samples[name] = []
    rounds = {
        name: _rounds(seconds, effort)
        for name, seconds in estimates.items()
        if seconds < TOO_LONG
    }
    repeats = {
        name: max(1, math.ceil(SHORTEST_SAMPLE / seconds))
        for name, seconds in estimates.items()
    }
    order = list(rounds)
    shuffle = random.Random(0).shuffle
    page_faults: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(max(rounds.values(), default=0)):
        shuffle(order)
        for name in order:
            if not _takes_part(round_, rounds[name], max(rounds.values())):
                continue
            seconds, count = _timed(contenders[name], repeats[name])
            samples[name].append(seconds)
            page_faults[name].append(count)
    for name in contenders:
        if not samples[name]:
            samples[name], page_faults[name] = [estimates[name]], [faults[name]]
    return {name: summary(samples[name], page_faults[name]) for name in contenders}


def _rounds(seconds: float, effort: Effort) -> int:
    fit = effort.seconds / max(seconds, SHORTEST_SAMPLE)
    return min(effort.rounds, max(FEWEST, int(fit)))


def _takes_part(round_: int, rounds: int, of: int) -> bool:
    """Whether this is one of `rounds` rounds that are spread evenly over `of`."""
    return (round_ + 1) * rounds // of > round_ * rounds // of


def _timed(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Seconds and page faults per call, including those of freeing its result."""
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    seconds = time.perf_counter() - start
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return seconds / repeats, faults / repeats
