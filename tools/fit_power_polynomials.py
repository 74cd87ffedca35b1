#!/usr/bin/env python3
"""Fits the polynomials of cc/core/power.h, and prints them as C++ arrays.

    pip install mpmath && python tools/fit_power_polynomials.py

N^-beta is 2^(-beta * log2 N). Two functions are approximated:

    log2(1 + f) = f * P(f)    for 1 + f in [sqrt(1/2), sqrt(2)]
    2^g         = Q(g)        for g in [-1/2, 1/2]

Both fits minimise the largest absolute error (Remez's exchange), since an
absolute error of the logarithm is a relative error of the power. Degrees are
the smallest whose error is below a quarter of the type's rounding error.
"""

from __future__ import annotations

from mpmath import cos, log, mp, mpf, pi, sqrt

mp.prec = 200


def remez(function, weight, low, high, degree: int, rounds: int = 12):
    """Coefficients (lowest first) and the largest weighted error of the fit."""
    count = degree + 2
    mid, half = (low + high) / 2, (high - low) / 2
    nodes = [mid - half * cos(pi * k / (count - 1)) for k in range(count)]
    for _ in range(rounds):
        system = mp.matrix(count, count)
        right = mp.matrix(count, 1)
        for row, t in enumerate(nodes):
            for power in range(degree + 1):
                system[row, power] = t**power
            system[row, degree + 1] = (-1) ** row / weight(t)
            right[row] = function(t)
        solution = mp.lu_solve(system, right)
        coefficients = [solution[k] for k in range(degree + 1)]

        def error(t, c=coefficients):
            return (mp.polyval(c[::-1], t) - function(t)) * weight(t)

        # The largest error between two sign changes is the next node.
        steps = 60 * count
        grid = [mid - half * cos(pi * k / steps) for k in range(steps + 1)]
        extrema: list = []
        for t in grid:
            e = error(t)
            if extrema and (e > 0) == (extrema[-1][1] > 0):
                if abs(e) > abs(extrema[-1][1]):
                    extrema[-1] = (t, e)
            else:
                extrema.append((t, e))
        while len(extrema) > count:
            extrema.pop(0 if abs(extrema[0][1]) < abs(extrema[-1][1]) else -1)
        if len(extrema) < count:
            break
        nodes = [t for t, _ in extrema]
    return coefficients, max(abs(error(t)) for t in grid)


def log2_quotient(f):
    """log2(1 + f) / f."""
    if abs(f) < mpf(10) ** -30:
        return 1 / log(2)
    return log(1 + f) / log(2) / f


def smallest(function, weight, low, high, limit):
    """The fit of the smallest degree whose largest error is below limit."""
    for degree in range(3, 40):
        coefficients, error = remez(function, weight, low, high, degree)
        if error < limit:
            return coefficients, error
    raise ArithmeticError("no degree below 40 reaches the limit")


def show(name: str, coefficients, error) -> None:
    """Prints one C++ array, with its largest error as a power of two."""
    bits = float(log(error) / log(2))
    print(f"// {name}: degree {len(coefficients) - 1}, largest error 2^{bits:.1f}")
    for c in coefficients:
        print(f"    {mp.nstr(c, 20, strip_zeros=False)},")


def main() -> None:
    """Prints the four arrays."""
    half = mpf(1) / 2
    for kind, bits in (("float", 24), ("double", 53)):
        limit = mpf(2) ** -(bits + 2)
        fit = smallest(log2_quotient, abs, sqrt(half) - 1, sqrt(mpf(2)) - 1, limit)
        show(f"log2(1 + f) / f, {kind}", *fit)
        fit = smallest(lambda g: mpf(2) ** g, lambda g: 1, -half, half, limit)
        show(f"2^g, {kind}", *fit)


if __name__ == "__main__":
    main()
