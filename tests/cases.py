"""The values that the tests use, and how they are combined.

The full product of channels, radii and parameters has 8,232 members per type. Bugs
in such code come from one value or from a pair of values (a width and a radius, a
sign and an exponent), so the tests use a covering array: for any two axes, every pair
of values occurs in some case, and each case is run in each type.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from oracle import Params

# One below, at and above the lanes of a vector (4 to 16) and their multiples, and the
# widths of real networks.
CHANNELS = (1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 96, 256, 1000)
WIDER_THAN_ROW = -1  # stands for a radius of channels + 1
RADII = (0, 1, 2, 5, 7, 64, WIDER_THAN_ROW)
# At alpha 1e-4 a wrong gradient is nearly right, hence 1. With alpha below zero
# norms are differences, and may be negative.
ALPHAS = (1e-4, 1.0, -0.5)
BETAS = (0.5, 0.75, 1.0, 2.0, 0.3, -0.5, 0.0)
BIASES = (1.0, 2.0, 1e-5, 0.0)


def covering_array(*axes: Sequence) -> list[tuple]:
    """Rows with one value of each axis, in which each pair of values occurs.

    Greedy: a row starts from a pair that is still missing, and takes for each other
    axis the value that covers the most missing pairs.
    """
    missing = {
        (i, a, j, b)
        for i, j in itertools.combinations(range(len(axes)), 2)
        for a in range(len(axes[i]))
        for b in range(len(axes[j]))
    }

    def gain(row: dict[int, int], axis: int, value: int) -> int:
        return sum(
            ((i, v, axis, value) if i < axis else (axis, value, i, v)) in missing
            for i, v in row.items()
        )

    rows = []
    while missing:
        i, a, j, b = min(missing)
        row = {i: a, j: b}
        for axis in range(len(axes)):
            if axis not in row:
                values = range(len(axes[axis]))
                # Ties go to different values in different rows.
                start = len(rows)
                row[axis] = max(
                    values,
                    key=lambda v: (gain(row, axis, v), -((v - start) % len(values))),
                )
        missing -= {
            (k, row[k], m, row[m])
            for k, m in itertools.combinations(range(len(axes)), 2)
        }
        rows.append(tuple(axes[axis][row[axis]] for axis in range(len(axes))))
    return rows


def oracle_cases() -> list[tuple[int, Params]]:
    """Channels and parameters: any two values of different axes occur together."""
    rows = covering_array(CHANNELS, RADII, BETAS, BIASES, ALPHAS)
    return [
        (
            channels,
            Params(channels + 1 if r == WIDER_THAN_ROW else r, bias, alpha, beta),
        )
        for channels, r, beta, bias, alpha in rows
    ]


def case_id(value: object) -> str | None:
    """A readable name for part of a case, for pytest."""
    if isinstance(value, Params):
        return f"r{value.depth_radius}-k{value.bias}-a{value.alpha}-b{value.beta}"
    if isinstance(value, np.dtype):
        return value.name
    return None


def values(
    rng: np.random.Generator, shape: Sequence[int], dtype: np.dtype
) -> np.ndarray:
    """Normally distributed numbers, some replaced by 0, some multiplied by 1,000.

    A window sum that subtracts fails on large numbers beside ordinary ones.
    """
    data = rng.normal(size=shape)
    kind = rng.integers(0, 16, size=shape)
    data[kind == 0] = 0
    data[kind == 1] *= 1000
    return data.astype(dtype)


def shape_for(channels: int) -> tuple[int, int, int, int]:
    """A shape with several rows, and enough elements for several cache blocks."""
    return (2, 1, max(4, 1500 // channels), channels)
