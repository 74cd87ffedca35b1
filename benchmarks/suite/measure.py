"""Verifies and times a group of cases, in a process of its own.

The number of threads is a process's, and so is the memory that it has been given by
the system: each number of threads gets a process, and all of a group is timed in it.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from suite.cases import OURS, Case, Group
from suite.results import Record
from suite.timing import Effort, interleaved

if TYPE_CHECKING:
    import numpy as np

# Elements of a result that are compared with the oracle: rows from everywhere in it.
VERIFIED = 60_000
# The bound of the oracle is derived for ours. Others sum in their own type and their
# own order, and take powers by other functions: they are asked for no more than to
# compute the same thing.
OTHERS_FACTOR = 16
# Seconds a call, at most.
PATIENCE = {"PyTorch": 5, "oneDNN": 5}


class WrongResultError(Exception):
    """Our op is wrong, or fails: there is nothing to time."""


class Worker:
    """A process with a number of threads, in which groups are measured."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        # Threads of OpenMP (PyTorch, oneDNN, the loop) that wait for work would
        # otherwise keep the cores from the next contender.
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ["OMP_NUM_THREADS"] = str(threads)
        self._pool = concurrent.futures.ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), _start, (threads,)
        )
        # Started while the environment is as it should be.
        self._pool.submit(_nothing).result()

    def environment(self) -> dict[str, Any]:
        return self._pool.submit(_environment).result()

    def measure(self, group: Group, effort: Effort) -> list[Record]:
        return self._pool.submit(measure, group, effort, self.threads).result()

    def stop(self) -> None:
        self._pool.shutdown()


@contextmanager
def workers(*threads: int) -> Iterator[dict[int, Worker]]:
    started = {count: Worker(count) for count in threads}
    try:
        yield started
    finally:
        for worker in started.values():
            worker.stop()


def _start(threads: int) -> None:
    # The libraries log what nobody asked for, whatever TF_CPP_MIN_LOG_LEVEL says, and
    # would spoil the progress bar. Exceptions come back by another way.
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    # The stock ops are to be the stock ones.
    os.environ["TFLRN_ACCELERATE"] = "0"
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
    """Verifies all that the group's contenders compute, and then times them.

    `threads` is what this process has been given.

    WrongResultError where ours is wrong or fails. Where another does, it is not timed.
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
        # Those of one contender's case serve the others of the same.
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
    """UnavailableError where a call of others would take longer than anybody waits:
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
    raise UnavailableError(f"more than {patience} s a call, judged by one image")


def verify(case: Case, operands: Any, result: Any, ours: bool) -> None:
    """Compares rows from everywhere in a result with the oracle in a wider type.

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
        # A PyTorch tensor with a gradient wants to be detached first.
        tensor = tensor.detach() if hasattr(tensor, "detach") else tensor
        array = tensor.numpy() if hasattr(tensor, "numpy") else tensor
        return array.reshape(rows, channels)[picked]

    inputs = [some(tensor) for tensor in operands.inputs()]
    functions = {
        "LRN": (lrn, lrn_error),
        "LRNGrad": (lrn_grad, lrn_grad_error),
        "LRNGradGrad": (lrn_grad_grad, lrn_grad_grad_error),
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
