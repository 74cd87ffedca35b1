"""Verifies and times a group of cases in a separate process.

The number of threads and the instruction set are fixed per process, and a process keeps
the memory that it has from the system. Each combination of the two therefore has its
own process, which times whole groups.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from suite.cases import OURS, Case, Group
from suite.results import Record
from suite.timing import Effort, interleaved

if TYPE_CHECKING:
    import numpy as np

# Elements of a result that are compared with the oracle, in rows spread over it.
VERIFIED = 60_000
# The oracle's error bound is derived for our ops. Others sum in their own type and
# order, and use other power functions: the check only shows that they compute the same
# thing.
OTHERS_FACTOR = 16
# The most seconds per call.
PATIENCE = {"PyTorch": 5, "oneDNN": 5}


class WrongResultError(Exception):
    """Our op fails or gives a wrong result, so it is not timed."""


class Worker:
    """A process with a fixed number of threads and, unless `target` is None, a forced
    instruction set, which measures groups."""

    def __init__(self, threads: int, target: str | None = None) -> None:
        self.threads = threads
        # Otherwise idle OpenMP threads (of PyTorch, oneDNN, the loop) would spin on the
        # cores that the next contender needs.
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ["OMP_NUM_THREADS"] = str(threads)
        # Otherwise malloc gives some contenders' memory back to the system after each
        # call, by its history, and the next call is slow where it faults.
        os.environ["MALLOC_MMAP_MAX_"] = "0"
        os.environ["MALLOC_TRIM_THRESHOLD_"] = "-1"
        self._pool = concurrent.futures.ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), _start, (threads, target)
        )
        # Starts the process now, before another Worker changes the environment.
        self._pool.submit(_nothing).result()

    def environment(self) -> dict[str, Any]:
        return self._pool.submit(_environment).result()

    def measure(self, group: Group, effort: Effort) -> list[Record]:
        return self._pool.submit(measure, group, effort, self.threads).result()

    def stop(self) -> None:
        self._pool.shutdown()


@contextmanager
def workers() -> Iterator[Callable[[int, str | None], Worker]]:
    """A function that returns the process for a number of threads and a target."""
    started: dict[tuple[int, str | None], Worker] = {}

    def worker(threads: int, target: str | None = None) -> Worker:
        key = (threads, target)
        if key not in started:
            started[key] = Worker(threads, target)
        return started[key]

    try:
        yield worker
    finally:
        for process in started.values():
            process.stop()


def _start(threads: int, target: str | None) -> None:
    # The libraries log to stderr whatever TF_CPP_MIN_LOG_LEVEL says, which would garble
    # the progress bar. Exceptions do not come back through stderr.
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    # The stock ops must stay stock.
    os.environ["TFLRN_ACCELERATE"] = "0"
    if target is not None:
        os.environ["TFLRN_CPU_TARGET"] = target
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _nothing() -> None:
    pass


def _environment() -> dict[str, Any]:
    from suite import native
    from suite.machine import environment

    facts = environment()
    try:
        version = native.onednn().tflrn_onednn_version()
    except native.CompileError:
        return facts
    return {
        **facts,
        "onednn": f"{version // 10000}.{version // 100 % 100}.{version % 100}",
    }


def measure(group: Group, effort: Effort, threads: int) -> list[Record]:
    """Verifies the results of the group's contenders, and then times them.

    `threads` is the number of threads of this process.

    Raises WrongResultError if ours is wrong or fails. Others that do are not timed.
    """
    import tensorflow as tf

    from suite.contenders import (
        CONTENDERS,
        Operands,
        UnavailableError,
        normal,
    )

    normal.cache_clear()
    operands: dict[Case, Operands] = {}
    calls, records = {}, {}
    for case in group.cases:
        # Cases that differ only in the contender share their tensors.
        key = Case("", case.op, case.shape, case.params, case.dtype, case.pooled)
        tensors = operands.setdefault(key, Operands(key))
        reason = None
        try:
            _refuse_hours(case)
            call = CONTENDERS[case.contender](case, tensors)
            result = call()
            if result is not None:
                verify(case, tensors, result, case.contender in OURS)
            calls[case] = call
        except UnavailableError as error:
            reason = str(error)
        except (tf.errors.OpError, RuntimeError) as error:
            reason = (
                f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
            )
            if case.contender in OURS:
                raise WrongResultError(f"{case}: {reason}") from error
        records[case] = Record.of(group, case, threads, unavailable=reason)
    effort = Effort(effort.rounds * group.rounds, effort.seconds)
    for case, times in interleaved(calls, effort).items():
        records[case] = Record.of(group, case, threads, times=times)
    return list(records.values())


def _refuse_hours(case: Case) -> None:
    """Raises UnavailableError if a call of another library would take too long:
    oneDNN's reference code takes a minute for a wide window."""
    from suite.contenders import CONTENDERS, Operands, UnavailableError

    batch, *image = case.shape
    if case.contender not in PATIENCE or batch == 1:
        return
    one = dataclasses.replace(case, shape=(1, *image))
    call = CONTENDERS[case.contender](one, Operands(one))
    patience = PATIENCE[case.contender]
    # Twice, since a first call has more to do.
    for _ in range(2):
        start = time.perf_counter()
        call()
        seconds = batch * (time.perf_counter() - start)
        if seconds <= patience:
            return
    raise UnavailableError(f"more than {patience} s per call, judging by one image")


def verify(case: Case, operands: Any, result: Any, ours: bool) -> None:
    """Compares rows spread over a result with the oracle in a wider type.

    Raises WrongResultError for ours, UnavailableError for others.
    """
    import numpy as np
    from oracle import (
        assert_close,
        lrn,
        lrn_error,
        lrn_grad,
        lrn_grad_error,
        lrn_grad_grad,
        lrn_grad_grad_error,
        narrow,
        wide,
    )

    from suite.contenders import UnavailableError

    channels = case.shape[3]
    rows = case.elements // channels
    picked = np.unique(
        np.linspace(0, rows - 1, max(2, VERIFIED // channels)).astype(int)
    )

    def some(tensor: Any) -> np.ndarray:
        # A PyTorch tensor that requires a gradient must be detached first.
        tensor = tensor.detach() if hasattr(tensor, "detach") else tensor
        array = tensor.numpy() if hasattr(tensor, "numpy") else tensor
        return array.reshape(rows, channels)[picked]

    inputs = [some(tensor) for tensor in operands.inputs()]
    if case.op.endswith("FromInput"):
        inputs.append(None)
    functions = {
        "LRN": (lrn, lrn_error),
        "LRNGrad": (lrn_grad, lrn_grad_error),
        "LRNGradFromInput": (lrn_grad, lrn_grad_error),
        "LRNGradGrad": (lrn_grad_grad, lrn_grad_grad_error),
        "LRNGradGradFromInput": (lrn_grad_grad, lrn_grad_grad_error),
    }
    exact_of, error_of = functions[case.op]
    dtype = inputs[0].dtype
    exact = _as_tuple(exact_of(*inputs, case.params, wide(dtype)))
    bounds = _as_tuple(error_of(*inputs, case.params, dtype))
    if not ours:
        eps = _eps(dtype) / _eps(narrow(dtype))
        bounds = tuple(OTHERS_FACTOR * eps * bound for bound in bounds)
    for got, value, bound in zip(_as_tuple(result), exact, bounds, strict=True):
        try:
            assert_close(some(got), value, bound, f"{case}")
        except AssertionError as error:
            if ours:
                raise WrongResultError(str(error)) from error
            raise UnavailableError(f"wrong result: {error}") from error


def _as_tuple(value: Any) -> tuple:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _eps(dtype: np.dtype) -> float:
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype).eps)
