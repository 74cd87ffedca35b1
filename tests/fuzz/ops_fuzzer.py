#!/usr/bin/env python3
"""Fuzzes the ops from Python: ranks, shapes, types, attributes, ways to run them.

    python tests/fuzz/ops_fuzzer.py --calls 200000 [--seed 1]

A call must either give a right result, if the input is valid, or raise TensorFlow's
exception for bad input, if it is not. The calls are made in child processes, so that
one that ends its process is found and named. The same seed makes the same calls;
`--only NUMBER` repeats one of them.

Eager results must match the oracle of the tests; in functions, in graphs and compiled
by XLA, a call must give the bits of the eager call. For parameters so extreme that
norms or powers overflow or underflow, only the bits are compared:
tests/fuzz/rows_fuzzer.cc checks those results.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf
from cases import values
from conftest import run_eager, run_function, run_graph, run_static_function
from oracle import (
    DTYPES,
    Params,
    assert_close,
    assert_lrn,
    assert_lrn_grad,
    lrn_grad_grad,
    lrn_grad_grad_error,
    wide,
)
from rich.progress import track

import tensorflow_lrn_grad as tlg

BAD_INPUT = (tf.errors.InvalidArgumentError, ValueError, TypeError)
CALLS_A_CHILD = 10_000


def run_xla(op: Callable, *arrays: np.ndarray) -> np.ndarray:
    return tf.function(op, jit_compile=True)(*map(tf.constant, arrays)).numpy()


# Tracing takes 20 times as long as a call, compiling 200 times.
MODES = {
    run_eager: 0.9,
    run_function: 0.03,
    run_static_function: 0.03,
    run_graph: 0.03,
    run_xla: 0.01 if tlg.build_info()["xla"] else 0,
}


# Several outputs are stacked into one tensor, as the functions above need it.


def grad_grad(*tensors: tf.Tensor, **attributes: object) -> tf.Tensor:
    return tf.stack(tlg._load.library.tflrn_lrn_grad_grad(*tensors, **attributes))


def grad_grad_from_input(*tensors: tf.Tensor, **attributes: object) -> tf.Tensor:
    op = tlg._load.library.tflrn_lrn_grad_grad_from_input
    return tf.stack(op(*tensors, **attributes))


def grad_from_input(*tensors: tf.Tensor, **attributes: object) -> tf.Tensor:
    return tlg.lrn_grad(*tensors, None, **attributes)


# The ops, and how many inputs each has.
OPS = {
    tlg.lrn: 1,
    tlg.lrn_grad: 3,
    grad_from_input: 2,
    grad_grad: 4,
    grad_grad_from_input: 3,
}
# How many outputs those have that have several.
OUTPUTS = {grad_grad: 3, grad_grad_from_input: 2}

WRONG_DTYPES = (np.int32, np.int64, np.uint8, np.bool_, np.complex64, np.str_)
ORDINARY = {
    "depth_radius": (0, 1, 2, 3, 5, 8, 9, 20, 2**31 - 1, 2**31, 2**63 - 1),
    "bias": (1.0, 2.0, 0.5, 0.0, 1e-5, -1.0),
    "alpha": (1.0, 1e-4, 0.5, 0.0, -0.5, 2.0),
    "beta": (0.5, 0.75, 1.0, 2.0, 0.3, -0.5, 0.0),
}
EXTREME = {
    "depth_radius": ORDINARY["depth_radius"],
    "bias": (3e38, -3e38, 1e-45, -0.0),
    "alpha": (3e38, -3e38, 1e-45),
    "beta": (3e38, -3e38, 200.0, -200.0, 1e-45),
}
# What the op refuses, and what the Python functions refuse before it.
BAD = {
    "depth_radius": (-1, -(2**63)),
    "bias": (math.nan, math.inf, -math.inf),
    "alpha": (math.nan, math.inf, -math.inf),
    "beta": (math.nan, math.inf, -math.inf),
}
BAD_IN_PYTHON = {
    "depth_radius": (2**63, -(2**64), 1.5, math.nan, "5", [1]),
    "bias": (1e39, "1", [1.0, 2.0]),
    "alpha": (1e39, "1", [1.0, 2.0]),
    "beta": (1e39, "1", [1.0, 2.0]),
}


@dataclasses.dataclass
class Case:
    op: Callable
    mode: Callable
    arrays: list[np.ndarray]
    attributes: dict[str, object]
    valid: bool = True
    ordinary: bool = True

    def __str__(self) -> str:
        inputs = ", ".join(f"{a.dtype}{list(a.shape)}" for a in self.arrays)
        name, mode = self.op.__name__, self.mode.__name__
        return f"{name}({inputs}, {self.attributes}), {mode}, valid: {self.valid}"


def choose(rng: np.random.Generator, options: object) -> object:
    options = list(options)
    return options[rng.integers(len(options))]


def some_shape(rng: np.random.Generator, rank: int) -> tuple[int, ...]:
    most = (3, 3, 4, 40)[4 - rank :] if rank <= 4 else (2,) * rank
    shape = [int(rng.integers(1, size + 1)) for size in most]
    if rank and rng.random() < 0.1:
        shape[rng.integers(rank)] = 0
        if rng.random() < 0.2:
            # Still empty, with a dimension of 2^31 or more.
            shape[rng.integers(rank)] *= 2**31
    return tuple(shape)


def make_case(rng: np.random.Generator) -> Case:
    op = choose(rng, OPS)
    mode = rng.choice(
        list(MODES), p=np.array(list(MODES.values())) / sum(MODES.values())
    )
    dtype = choose(rng, DTYPES)
    shape = some_shape(rng, 4)
    arrays = [values(rng, shape, dtype) for _ in range(OPS[op])]
    attributes = {name: choose(rng, ORDINARY[name]) for name in ORDINARY}
    case = Case(op, mode, arrays, attributes)
    fault = rng.random()
    wrong = int(rng.integers(len(arrays)))
    if fault < 0.08:
        rank = choose(rng, [0, 1, 2, 3, 5, 8])
        arrays[wrong] = values(rng, some_shape(rng, rank), dtype)
        case.valid = False
    elif fault < 0.16:
        arrays[wrong] = values(rng, some_shape(rng, 4), dtype)
        case.valid = len({a.shape for a in arrays}) == 1
    elif fault < 0.22:
        other = choose(rng, [*DTYPES, *WRONG_DTYPES])
        arrays[wrong] = np.ones(shape).astype(other)
        same = len({a.dtype for a in arrays}) == 1
        case.valid = same and arrays[wrong].dtype in DTYPES
    elif fault < 0.30:
        bad = BAD if op in OUTPUTS else choose(rng, [BAD, BAD_IN_PYTHON])
        name = choose(rng, bad)
        attributes[name] = choose(rng, bad[name])
        case.valid = False
    elif fault < 0.38:
        name = choose(rng, EXTREME)
        attributes[name] = choose(rng, EXTREME[name])
        case.ordinary = False
    return case


def check_eager(case: Case, result: np.ndarray) -> None:
    """Fails unless the result matches the oracle's."""
    p = Params(**case.attributes)
    if case.op is tlg.lrn:
        return assert_lrn(result, *case.arrays, p, least_compared=0)
    if case.op is tlg.lrn_grad:
        return assert_lrn_grad(result, *case.arrays, p, least_compared=0)
    if case.op is grad_from_input:
        return assert_lrn_grad(result, *case.arrays, None, p, least_compared=0)
    dtype = case.arrays[0].dtype
    u, dy, x, y = case.arrays if case.op is grad_grad else [*case.arrays, None]
    exact = lrn_grad_grad(u, dy, x, y, p, wide(dtype))
    errors = lrn_grad_grad_error(u, dy, x, y, p, dtype)
    for got, *expected in zip(result, exact, errors, strict=True):
        assert_close(got, *expected, str(case), least_compared=0)


def run(case: Case) -> str:
    """Makes the call and names its outcome. Raises AssertionError if it is wrong."""

    def op(*tensors: tf.Tensor) -> tf.Tensor:
        return case.op(*tensors, **case.attributes)

    try:
        result = case.mode(op, *case.arrays)
    except BAD_INPUT as error:
        assert not case.valid, f"valid input was refused: {error}"
        return "refused"
    assert case.valid, "bad input was taken"
    dtype, shape = case.arrays[0].dtype, case.arrays[0].shape
    assert result.dtype == dtype
    outputs = [OUTPUTS[case.op]] if case.op in OUTPUTS else []
    assert result.shape == (*outputs, *shape)
    if case.mode is not run_eager:
        assert result.tobytes() == run_eager(op, *case.arrays).tobytes()
    elif case.ordinary and result.size:
        check_eager(case, result)
    return "right"


def run_child(seed: int, begin: int, end: int) -> None:
    """Announces and makes each call, and prints how often each outcome occurred."""
    outcomes: collections.Counter[str] = collections.Counter()
    for number in range(begin, end):
        case = make_case(np.random.default_rng([seed, number]))
        print(f"{number}: {case}", file=sys.stderr, flush=True)
        try:
            outcome = run(case)
        except BaseException as error:
            raise SystemExit(f"{type(error).__name__}: {error}") from error
        outcomes[f"{case.mode.__name__}, {outcome}"] += 1
    print(json.dumps(outcomes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="NUMBER")
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_child(options.seed, *options.child)
    if options.only is not None:
        return run_child(options.seed, options.only, options.only + 1)

    start = time.monotonic()
    outcomes: collections.Counter[str] = collections.Counter()
    for begin in track(range(0, options.calls, CALLS_A_CHILD), "calls"):
        end = min(begin + CALLS_A_CHILD, options.calls)
        arguments = ["--seed", options.seed, "--child", begin, end]
        child = subprocess.run(
            [sys.executable, __file__, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        if child.returncode:
            last = "\n".join(child.stderr.splitlines()[-3:])
            raise SystemExit(f"{last}\nthe child ended with {child.returncode}")
        outcomes.update(json.loads(child.stdout))
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:8} {outcome}")
    seconds = time.monotonic() - start
    print(f"{outcomes.total():8} calls of seed {options.seed} in {seconds:.0f} s")


if __name__ == "__main__":
    main()
