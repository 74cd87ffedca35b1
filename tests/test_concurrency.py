"""Many callers at once: threads, sessions, functions, processes; and no leak.

Whatever could bring down the whole process runs in a child process.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import threading
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_lrn_grad as tlg

THREADS = 32


def gradient(dy: tf.Tensor, x: tf.Tensor, radius: int) -> tf.Tensor:
    attributes = radius, 1.0, 0.5, 0.75
    y = tlg.lrn(x, *attributes)
    return tf.concat(
        [tlg.lrn_grad(dy, x, output, *attributes) for output in (y, None)], axis=0
    )


def on_threads(*tasks: Callable[[], object]) -> list:
    """Runs each task on THREADS threads that start together; returns the results."""
    runs = list(itertools.chain.from_iterable([task] * THREADS for task in tasks))
    barrier = threading.Barrier(len(runs))

    def run(task: Callable[[], object]) -> object:
        barrier.wait()
        return task()

    with concurrent.futures.ThreadPoolExecutor(len(runs)) as pool:
        return list(pool.map(run, runs))


@pytest.fixture
def operands(rng: np.random.Generator) -> tuple[tf.Tensor, tf.Tensor]:
    # Large enough for each call to be split across TensorFlow's threads.
    dy, x = rng.normal(size=(2, 4, 20, 20, 37)).astype(np.float32)
    return tf.constant(dy), tf.constant(x)


def test_eager_calls(operands: tuple[tf.Tensor, tf.Tensor]) -> None:
    """Different calls on the same inputs give the bits that each gives alone."""
    radii = (0, 2, 5, 20)
    alone = [gradient(*operands, radius).numpy().tobytes() for radius in radii]
    tasks = [lambda r=r: gradient(*operands, r).numpy().tobytes() for r in radii]
    results = on_threads(*tasks)
    assert results == [bits for bits in alone for _ in range(THREADS)]


def test_functions_and_sessions(operands: tuple[tf.Tensor, tf.Tensor]) -> None:
    """A function, an XLA program and two sessions, run by many threads at once."""
    expected = gradient(*operands, 2).numpy().tobytes()
    function = tf.function(lambda dy, x: gradient(dy, x, 2))
    compiled = tf.function(
        lambda dy, x: gradient(dy, x, 2), jit_compile=tlg.build_info()["xla"]
    )
    arrays = [tensor.numpy() for tensor in operands]
    with tf.Graph().as_default() as graph:
        feeds = [tf.compat.v1.placeholder(tf.float32) for _ in operands]
        dx = gradient(*feeds, 2)
    with (
        tf.compat.v1.Session(graph=graph) as one,
        tf.compat.v1.Session(graph=graph) as two,
    ):
        feed = dict(zip(feeds, arrays, strict=True))
        results = on_threads(
            # The threads also trace and compile these.
            lambda: function(*operands).numpy().tobytes(),
            lambda: compiled(*operands).numpy().tobytes(),
            lambda: one.run(dx, feed).tobytes(),
            lambda: two.run(dx, feed).tobytes(),
        )
    assert set(results) == {expected}


ACCELERATE = """
    import threading
    import numpy as np
    import tensorflow as tf
    import tensorflow_lrn_grad as tlg

    x = tf.random.stateless_normal([2, 10, 10, 37], [1, 2])
    stock = tf.nn.lrn(x, 2).numpy()
    ours = tlg.lrn(x, 2).numpy()
    np.testing.assert_allclose(stock, ours, rtol=1e-5, atol=1e-6)
    assert (stock != ours).any(), "nothing tells the two apart"
    accelerated = threading.Event()
    wrong = []

    def call():
        # 20 more calls after the change, so that every thread sees it.
        last = 20
        while last:
            last -= accelerated.is_set()
            result = tf.nn.lrn(x, 2).numpy()
            if not (result == ours).all() and not (result == stock).all():
                wrong.append(result)

    threads = [threading.Thread(target=call) for _ in range(32)]
    for thread in threads:
        thread.start()
    makers = [threading.Thread(target=tlg.accelerate) for _ in range(4)]
    for thread in makers:
        thread.start()
    for thread in makers:
        thread.join()
    accelerated.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]
    # A thread that was creating a kernel may have put it into TensorFlow's cache after
    # that was cleared. Clearing it again, while no call is running, is final.
    assert tlg.accelerate()
    assert (tf.nn.lrn(x, 2).numpy() == ours).all()
    print("right")
    """


def test_calls_while_accelerate_runs(child: Callable) -> None:
    """A call of the stock op returns the stock result or ours, and nothing else."""
    result = child(ACCELERATE, CUDA_VISIBLE_DEVICES="-1")
    assert (result.returncode, result.stdout) == (0, "right\n"), result.stderr


EXIT = """
    import os, sys, threading
    import tensorflow as tf
    import tensorflow_lrn_grad as tlg

    x = tf.ones([4, 50, 50, 96])
    running = threading.Semaphore(0)

    def call():
        tlg.lrn(x)
        running.release()
        while True:
            tlg.lrn_grad(x, x, tlg.lrn(x, 2), 2)

    for _ in range(8):
        threading.Thread(target=call, daemon=True).start()
    for _ in range(8):
        running.acquire()
    print("leaving", flush=True)
    {leave}
    """


@pytest.mark.parametrize("leave", ["sys.exit(3)", "os._exit(3)"])
def test_the_interpreter_exits_while_calls_run(child: Callable, leave: str) -> None:
    result = child(EXIT.format(leave=leave))
    assert (result.returncode, result.stdout) == (3, "leaving\n"), result.stderr


WORKERS = """
    import multiprocessing
    import sys

    def gradient(seed):
        import tensorflow as tf
        import tensorflow_lrn_grad as tlg
        x = tf.random.stateless_normal([2, 5, 5, 37], [seed, 1])
        return tlg.lrn_grad(x, x, tlg.lrn(x, 2), 2).numpy().tobytes()

    if __name__ == "__main__":
        import tensorflow_lrn_grad
        context = multiprocessing.get_context(sys.argv[1])
        with context.Pool(2) as pool:
            results = pool.map(gradient, range(8), chunksize=1)
        assert results == [gradient(seed) for seed in range(8)]
        assert len(set(results)) == 8
        print("right")
    """


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes(child: Callable, method: str) -> None:
    """Workers that are forked after the import, or spawned.

    TensorFlow's threads do not survive a fork, so TensorFlow forbids using its context
    before one. Importing this package does not use it.
    """
    # `spawn` runs the program's file again, so there must be one.
    script = f"""
        import pathlib, runpy, sys, textwrap
        path = pathlib.Path("workers.py").resolve()
        path.write_text(textwrap.dedent({WORKERS!r}))
        import subprocess
        sys.exit(subprocess.run([sys.executable, path, {method!r}]).returncode)
        """
    result = child(script)
    assert (result.returncode, result.stdout) == (0, "right\n"), result.stderr


LEAK = """
    import gc, os
    import tensorflow as tf
    import tensorflow_lrn_grad as tlg
    from tensorflow_lrn_grad._load import library

    # 64 KiB each: 100,000 leaked ones take 6 GiB.
    x = tf.ones([1, 16, 16, 64])
    bad = tf.ones([1, 16, 16])

    def call(times):
        for _ in range(times):
            y = library.tflrn_lrn(input=x, depth_radius=2)
            library.tflrn_lrn_grad(
                input_grads=x, input_image=x, output_image=y, depth_radius=2)

    def fail(times):
        for _ in range(times):
            try:
                library.tflrn_lrn(input=bad, depth_radius=2)
                raise SystemExit("taken")
            except tf.errors.InvalidArgumentError:
                pass

    def resident():
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    # Let allocators and caches fill up first.
    call(5_000)
    fail(500)
    before = resident()
    call(47_500)
    fail(5_000)
    print(resident() - before)
    """


def test_memory_is_flat(child: Callable) -> None:
    """100,000 calls, 5,000 of them rejected, leak less than 40 bytes each.

    The smallest object that a call could leak, a reference-counted one, is larger.
    """
    result = child(LEAK)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 100_000 * 40
