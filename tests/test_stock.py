"""TensorFlow's own LRN on our kernels: `accelerate`, in all the ways to ask for it.

It cannot be undone, so each test has processes of its own. The bits of the results,
which differ from TensorFlow's, show whether our kernels ran.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from oracle import BFLOAT16, FLOAT32

import tensorflow_lrn_grad as tlg
from tensorflow_lrn_grad import _load

HERE = Path(__file__).parent
PREAMBLE = """
    import sys, threading, warnings
    import numpy as np
    import tensorflow as tf
    rng = np.random.default_rng(0)
    dy, x, y = (tf.constant(rng.normal(size=(2, 3, 4, 50)), tf.float32)
                for _ in range(3))
    attributes = dict(depth_radius=2, bias=1.5, alpha=0.5, beta=0.75)

    def stock_lrn(x):
        return tf.nn.lrn(x, **attributes)

    def stock_lrn_grad(dy, x, y):
        return tf.raw_ops.LRNGrad(
            input_grads=dy, input_image=x, output_image=y, **attributes)

    def same_bits(a, b):
        return a.dtype == b.dtype and a.numpy().tobytes() == b.numpy().tobytes()
    """


@pytest.fixture
def process(child: Callable) -> Callable[..., str]:
    """process(code, ...) runs code that must succeed; returns its standard output."""

    def run(code: str, *arguments: object, **environment: str) -> str:
        result = child(PREAMBLE + code, *arguments, **environment)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def test_every_way_to_call_the_stock_ops(process: Callable, tmp_path: Path) -> None:
    output = process(
        """
    inner = tf.function(stock_lrn)
    traced = tf.function(lambda x: inner(x) + 0)

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None] * 4)])
        def __call__(self, x):
            return stock_lrn(x)

    tf.saved_model.save(Model(), sys.argv[1])
    loaded = tf.saved_model.load(sys.argv[1])
    calls = [stock_lrn, inner, traced, loaded]
    before = [call(x) for call in calls]
    before_grad = stock_lrn_grad(dy, x, y)

    import tensorflow_lrn_grad as tlg
    ours, ours_grad = tlg.lrn(x, **attributes), tlg.lrn_grad(dy, x, y, **attributes)
    # Otherwise this test could not tell them apart.
    assert not any(same_bits(b, ours) for b in before)
    assert not same_bits(before_grad, ours_grad)
    assert not tlg.is_accelerated() and not tlg.build_info()["accelerated"]

    assert tlg.accelerate() is True
    assert tlg.is_accelerated() and tlg.build_info()["accelerated"]
    # Both what was called before and what was not.
    calls += [tf.function(stock_lrn), tf.saved_model.load(sys.argv[1])]
    assert all(same_bits(call(x), ours) for call in calls)
    assert same_bits(stock_lrn_grad(dy, x, y), ours_grad)
    assert same_bits(tf.raw_ops.LRN(input=x, **attributes), ours)
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = stock_lrn(x)
    expected = tlg.lrn_grad(dy, x, ours, **attributes)
    assert same_bits(tape.gradient(out, x, dy), expected)

    from tensorflow.python.framework import convert_to_constants
    frozen = convert_to_constants.convert_variables_to_constants_v2(
        loaded.__call__.get_concrete_function())
    assert "LRN" in {op.type for op in frozen.graph.get_operations()}
    assert same_bits(frozen(x)[0], ours)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        image = tf.compat.v1.placeholder(tf.float32)
        assert session.run(stock_lrn(image), {image: x.numpy()}).tobytes() == (
            ours.numpy().tobytes())

    # A type without a CPU kernel in TensorFlow, and shapes that make its kernel abort.
    narrow = tf.cast(x, tf.bfloat16)
    assert same_bits(stock_lrn(narrow), tlg.lrn(narrow, **attributes))
    half = tf.cast(x, tf.half)
    assert same_bits(stock_lrn(half), tlg.lrn(half, **attributes))
    for bad in (tf.ones([3]), tf.ones([2, 3, 4]), tf.ones([])):
        try:
            stock_lrn_grad(dy, x, bad)
        except tf.errors.InvalidArgumentError as error:
            assert "output_image" in str(error)
        else:
            assert False, bad
    print("done")
    """,
        tmp_path / "model",
    )
    assert output == "done\n"


def test_sessions_that_have_run_use_our_kernels(process: Callable) -> None:
    output = process(
        """
    import tensorflow_lrn_grad as tlg
    v1 = tf.compat.v1
    ours = tlg.lrn(x, **attributes).numpy()
    with tf.Graph().as_default():
        image = v1.placeholder(tf.float32, x.shape)
        out = stock_lrn(image)
        of_variable = stock_lrn(v1.get_variable("image", initializer=x.numpy()))
        random = tf.random.uniform([], seed=1)
        kept = v1.get_variable("kept", x.shape)
        keep = kept.assign(out).op
        with v1.train.SingularMonitoredSession() as monitored:  # Finalizes the graph.
            session = monitored.raw_session()
            feeds = {image: x.numpy()}
            without_feeds = session.make_callable(of_variable)

            def run_target():
                session.run(keep, feeds)
                return session.run(kept)

            calls = [
                lambda: session.run(out, feeds),
                # The targets that are added must not lead to what these prepare.
                lambda: session.run([out, out.op], feeds)[0],
                lambda: session.run({"out": out, "keep": keep}, feeds)["out"],
                lambda: monitored.run([out, kept], feeds)[0],
                without_feeds,
                run_target,
            ]
            numbers = [session.run(random)]
            before = [call() for call in calls]

            assert tlg.accelerate() and tlg.accelerate()
            assert not any(b.tobytes() == ours.tobytes() for b in before)
            after = [call() for call in calls]
            assert all(a.tobytes() == ours.tobytes() for a in after)

            # What is fed is not computed, and a generator keeps its state.
            fed = session.run([out], {out: dy.numpy()})
            assert fed[0].tobytes() == dy.numpy().tobytes()
            numbers.append(session.run(random))
            assert numbers[0] != numbers[1]
    print("done")
    """
    )
    assert output == "done\n"


def test_vectorized_map_of_the_stock_ops(process: Callable) -> None:
    """TensorFlow itself runs the calls one after the other, with a warning."""
    output = process(
        """
    import tensorflow_lrn_grad as tlg
    messages = []
    tf.get_logger().addFilter(lambda r: messages.append(r.getMessage()) or True)

    def together():
        stacks = dy[:, None], x[:, None], y[:, None]
        return (tf.vectorized_map(stock_lrn, stacks[1]),
                tf.vectorized_map(lambda t: stock_lrn_grad(*t), stacks))

    together()
    assert any("while_loop" in m for m in messages), messages
    messages.clear()
    assert tlg.accelerate()
    lrn, lrn_grad = together()
    assert not messages
    assert same_bits(lrn[:, 0], stock_lrn(x))
    assert same_bits(lrn_grad[:, 0], stock_lrn_grad(dy, x, y))
    print("done")
    """
    )
    assert output == "done\n"


def test_second_derivative_through_the_stock_op(process: Callable) -> None:
    """TensorFlow itself has no gradient for LRNGrad."""
    output = process(
        """
    def second(lrn):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                out = lrn(x)
            dx = inner.gradient(out, x, dy)
        return outer.gradient(dx, x, y)

    try:
        second(stock_lrn)
    except LookupError as error:
        assert "LRNGrad" in str(error)
    else:
        assert False, "TensorFlow now has a gradient for LRNGrad: update the docs"
    import tensorflow_lrn_grad as tlg
    tlg.accelerate()
    accelerated = second(stock_lrn)
    assert same_bits(tf.function(lambda: second(stock_lrn))(), accelerated)
    # The stock op's is that of LRNGrad, which is given y: other roundings.
    ours = second(lambda x: tlg.lrn(x, **attributes))
    np.testing.assert_allclose(accelerated, ours, rtol=1e-5, atol=1e-6)
    print("done")
    """
    )
    assert output == "done\n"


@pytest.mark.parametrize("value", ["0", "1"])
def test_a_gradient_that_the_program_has_stays(process: Callable, value: str) -> None:
    output = process(
        """
    @tf.RegisterGradient("LRNGrad")
    def gradient(op, upstream):
        return upstream, 2 * upstream, None

    import tensorflow_lrn_grad as tlg
    assert tlg.accelerate() and tlg.accelerate()
    with tf.GradientTape() as tape:
        tape.watch(x)
        dx = tf.raw_ops.LRNGrad(input_grads=dy, input_image=x, output_image=dy)
    assert same_bits(tape.gradient(dx, x), tf.fill(x.shape, 2.0))
    print("done")
    """,
        TFLRN_ACCELERATE=value,
    )
    assert output == "done\n"


def test_from_any_thread_any_number_of_times(process: Callable) -> None:
    """Other threads run the ops meanwhile. Two kernels of one priority would make the
    next call fail."""
    output = process(
        """
    import tensorflow_lrn_grad as tlg
    ours = tlg.lrn(x, **attributes)
    stock = stock_lrn(x)
    results, failures = [], []
    barrier = threading.Barrier(16)

    def work(index):
        try:
            barrier.wait()
            for _ in range(50):
                if index % 2:
                    results.append(tlg.accelerate())
                out = stock_lrn(x)
                assert same_bits(out, ours) or same_bits(out, stock)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=[i]) for i in range(16)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert not failures, failures
    assert results == [True] * 400
    assert same_bits(stock_lrn(x), ours)
    print("done")
    """
    )
    assert output == "done\n"


def test_each_call_makes_tensorflow_look_for_kernels_again(process: Callable) -> None:
    """A thread may have cached one that it was creating during the previous call."""
    output = process(
        """
    from tensorflow.python.eager import context
    import tensorflow_lrn_grad as tlg
    cleared = []
    context.context().clear_kernel_cache = lambda: cleared.append(True)
    tlg.accelerate()
    tlg.accelerate()
    print(len(cleared))
    """
    )
    assert output == "2\n"


def test_agrees_with_the_stock_op(process: Callable) -> None:
    """Up to rounding in float32. In half, TensorFlow rounds at each step: ours must be
    as close to the float64 result as TensorFlow's, or within one rounding of it."""
    output = process(
        """
    cases = [(2, 2.0, 1e-4, 0.75), (5, 1.0, 1.0, 0.5), (1, 1.0, 2e-5, 1.0),
             (7, 1.5, 0.25, 0.3), (60, 1.0, 0.5, 0.75)]

    def results(dtype):
        all = []
        for case in cases:
            d, image = tf.cast(dy, dtype), tf.cast(x, dtype)
            out = tf.nn.lrn(image, *case)
            all += [out, tf.raw_ops.LRNGrad(
                input_grads=d, input_image=image, output_image=tf.cast(y, dtype),
                depth_radius=case[0], bias=case[1], alpha=case[2], beta=case[3])]
        return [tf.cast(t, tf.float64) for t in all]

    before = {dtype: results(dtype) for dtype in (tf.float32, tf.half)}
    import tensorflow_lrn_grad as tlg
    tlg.accelerate()
    after = {dtype: results(dtype) for dtype in (tf.float32, tf.half)}
    exact = []
    for case in cases:
        d, image, out = (tf.cast(tf.cast(t, tf.half), tf.float64) for t in (dy, x, y))
        exact += [tlg.lrn(image, *case), tlg.lrn_grad(d, image, out, *case)]

    def distance(a, b):
        return float(tf.reduce_max(tf.abs(a - b)) / tf.reduce_max(tf.abs(b)))

    for stock, ours in zip(before[tf.float32], after[tf.float32]):
        # 60 summands at most, in each of two sums.
        assert distance(ours, stock) < (2 * 60 + 8) * 2.0 ** -23
    for stock, ours, value in zip(before[tf.half], after[tf.half], exact):
        assert distance(ours, value) <= max(distance(stock, value), 2.0 ** -11)
    print("done")
    """
    )
    assert output == "done\n"


def test_under_xla(process: Callable) -> None:
    """With it, XLA compiles a mixed-precision Keras model, which fails without it."""
    if not tlg.build_info()["xla"]:
        pytest.skip("the library was built without XLA kernels")
    output = process(
        """
    import keras
    keras.mixed_precision.set_global_policy("mixed_float16")

    def train():
        model = keras.Sequential([
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(16, 3),
            keras.layers.Lambda(stock_lrn),
            keras.layers.Flatten(),
            keras.layers.Dense(2, dtype="float32"),
        ])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, jit_compile=True)
        rng = np.random.default_rng(0)
        images, labels = rng.normal(size=(64, 8, 8, 3)), rng.integers(2, size=64)
        return model.fit(images, labels, epochs=5, verbose=0).history["loss"]

    def compiled(function):
        return tf.function(function, jit_compile=True)

    try:
        train()
    except tf.errors.InternalError as error:
        assert "different precisions" in str(error)
    else:
        assert False, "TensorFlow has fixed its lowering: update the docs"
    before = compiled(stock_lrn)(x)
    import tensorflow_lrn_grad as tlg
    assert not same_bits(before, tlg.lrn(x, **attributes))
    tlg.accelerate()
    for dtype in (tf.float32, tf.half, tf.bfloat16):
        inputs = [tf.cast(t, dtype) for t in (dy, x, y)]
        lrn = compiled(stock_lrn)(inputs[1])
        assert same_bits(lrn, tlg.lrn(inputs[1], **attributes))
        lrn_grad = compiled(stock_lrn_grad)(*inputs)
        assert same_bits(lrn_grad, tlg.lrn_grad(*inputs, **attributes))
    losses = train()
    assert losses[-1] < losses[0], losses
    print("done")
    """
    )
    assert output == "done\n"


# Ways to ask for it ---------------------------------------------------------------

IS_OURS = """
    import tensorflow_lrn_grad as tlg
    ours = same_bits(stock_lrn(x), tlg.lrn(x, **attributes))
    """


@pytest.mark.parametrize("value", ["1", "0", ""])
def test_environment_variable(process: Callable, value: str) -> None:
    output = process(
        IS_OURS
        + """
    from tensorflow.python.framework import ops
    try:
        ops.gradient_registry.lookup("LRNGrad")
        gradient = True
    except LookupError:
        gradient = False
    print(ours, tlg.is_accelerated(), gradient)
    """,
        TFLRN_ACCELERATE=value,
    )
    assert output == f"{value == '1'} " * 2 + f"{value == '1'}\n"


@pytest.mark.parametrize("value", ["true", "2", " 1"])
def test_environment_variable_of_another_value(child: Callable, value: str) -> None:
    """It only warns, once."""
    result = child(
        "import tensorflow_lrn_grad as tlg; print(tlg.is_accelerated())",
        TFLRN_ACCELERATE=value,
    )
    assert result.stdout == "False\n", result.stderr
    assert result.stderr.count(f"TFLRN_ACCELERATE is {value!r} and has no effect") == 1
    assert "<string>:1: RuntimeWarning: " in result.stderr, "points at the import"


def run_command(child: Callable, *arguments: object) -> subprocess.CompletedProcess:
    return child(
        "import runpy, sys; runpy.run_module('tensorflow_lrn_grad', "
        "run_name='__main__', alter_sys=True)",
        *arguments,
    )


def test_command(child: Callable, tmp_path: Path) -> None:
    """It runs a script as Python does: arguments, its folder's modules, exit status."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "neighbour.py").write_text("answer = 42\n")
    script = folder / "script.py"
    script.write_text(
        "import sys\n"
        "import neighbour\n"
        "import tensorflow_lrn_grad as tlg\n"
        "if __name__ == '__main__':\n"
        "    print(tlg.is_accelerated(), neighbour.answer, *sys.argv)\n"
        "    sys.exit(7)\n"
    )
    result = run_command(child, "accelerate", script, "--", "--rounds", "-m", "y")
    assert result.stdout == f"True 42 {script} -- --rounds -m y\n", result.stderr
    assert result.returncode == 7

    script.write_text("import sys; print(sys.path[0], __file__)")
    # child runs in tmp_path.
    result = run_command(child, "accelerate", script.relative_to(tmp_path))
    assert result.stdout == f"{folder} {script}\n", result.stderr
    script.write_text("import sys; print(sys.path[0])")
    if sys.version_info >= (3, 11):
        safe = child(
            """
            import runpy, sys
            print(sys.path[0])
            runpy.run_module("tensorflow_lrn_grad", run_name="__main__", alter_sys=True)
            """,
            "accelerate",
            script,
            PYTHONSAFEPATH="1",
        )
        before, within = safe.stdout.splitlines()
        assert within == before
        assert within != str(folder)

    result = run_command(child, "accelerate", folder / "none.py")
    assert result.returncode == 2
    assert "none.py" in result.stderr
    assert "Traceback" not in result.stderr


def test_command_with_a_link_to_a_script(child: Callable, tmp_path: Path) -> None:
    """Modules are looked up in the folder of the script itself, as in Python."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "script.py").write_text("import sys; print(sys.path[0], __file__)")
    link = tmp_path / "link.py"
    link.symlink_to(folder / "script.py")
    result = run_command(child, "accelerate", link)
    assert result.stdout == f"{folder} {link}\n", result.stderr


def test_command_runs_no_folder(child: Callable, tmp_path: Path) -> None:
    result = run_command(child, "accelerate", tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == f"error: there is no file {tmp_path}"


def test_command_with_a_module(child: Callable, tmp_path: Path) -> None:
    """It runs a package's __main__, or a module, as `python -m` does."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "neighbour.py").write_text("answer = 42\n")
    (package / "__main__.py").write_text(
        "import sys\n"
        "import tensorflow_lrn_grad as tlg\n"
        "from .neighbour import answer\n"
        "print(tlg.is_accelerated(), answer, __name__, __spec__.name, sys.path[0])\n"
        "print(*sys.argv)\n"
        "sys.exit(7)\n"
    )
    run = """
        import os, sys
        os.execl(sys.executable, sys.executable, "-m", *sys.argv[1:])
        """
    for name in ("package", "package.__main__"):
        program = (name, "--rounds", "-m", "--", "x")
        expected = child(run, *program)
        assert expected.stdout.startswith("False 42 __main__ "), expected.stderr
        result = child(run, "tensorflow_lrn_grad", "accelerate", "-m", *program)
        assert result.stdout == expected.stdout.replace("False", "True", 1)
        assert result.returncode == 7, result.stderr


def test_check_does_not_compare_ours_with_ours(child: Callable) -> None:
    result = child(
        "import runpy, sys; runpy.run_module('tensorflow_lrn_grad', "
        "run_name='__main__', alter_sys=True)",
        "check",
        TFLRN_ACCELERATE="1",
    )
    assert result.returncode == 2
    assert "unset TFLRN_ACCELERATE" in result.stderr


def compile_with_tensorflow(source: Path, output: Path, *options: str) -> None:
    """Compiles C or C++ with the flags of the installed TensorFlow."""
    compiler = shutil.which("g++" if source.suffix == ".cc" else "gcc")
    if not compiler:
        pytest.skip(f"no compiler found for {source.name}")
    flags = [
        flag
        for flag in tf.sysconfig.get_compile_flags()
        if source.suffix == ".cc" or not flag.startswith("--std=")
    ]
    subprocess.run(
        [
            *(compiler, "-w", source, "-o", output, *flags, *options),
            *tf.sysconfig.get_link_flags(),
        ],
        check=True,
    )


def test_program_without_python(tmp_path: Path, rng: np.random.Generator) -> None:
    """TF_LoadLibrary is enough if the environment variable is set."""
    folder = tf.sysconfig.get_lib()
    library = Path(folder) / "libtensorflow_cc.so.2"
    if not library.exists():
        pytest.skip(f"this TensorFlow has no {library.name}")
    program = tmp_path / "stock_c_api"
    compile_with_tensorflow(
        HERE / "stock_c_api.c",
        program,
        f"-L{folder}",
        f"-l:{library.name}",
        f"-Wl,-rpath,{folder}",
    )
    x = rng.normal(size=(1, 2, 3, 50)).astype(np.float32)

    def run(accelerate: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [program, _load._path],
            input=x.tobytes(),
            env={"TFLRN_ACCELERATE": accelerate, "TF_CPP_MIN_LOG_LEVEL": "2"},
            capture_output=True,
            check=False,
        )

    without = run("0")
    assert without.returncode == 3
    assert b"No OpKernel was registered to support Op 'LRN'" in without.stderr
    result = run("1")
    assert result.returncode == 0, result.stderr
    lrn, narrow_lrn, lrn_grad = np.frombuffer(result.stdout, FLOAT32).reshape(
        3, *x.shape
    )
    assert lrn.tobytes() == tlg.lrn(x).numpy().tobytes()
    narrow = tlg.lrn(x.astype(BFLOAT16)).numpy()
    assert narrow_lrn.tobytes() == narrow.astype(FLOAT32).tobytes()
    assert lrn_grad.tobytes() == tlg.lrn_grad(x, x, x).numpy().tobytes()


# Machines with GPUs ---------------------------------------------------------------


@pytest.fixture(scope="module")
def fake_gpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes TensorFlow see a GPU on which our kernels cannot run."""
    library = tmp_path_factory.mktemp("fake_gpu") / "fake_gpu.so"
    compile_with_tensorflow(HERE / "fake_gpu.cc", library, "-shared", "-fPIC")
    return library


def test_declines_where_it_would_pull_lrn_off_a_gpu(
    child: Callable, fake_gpu: Path
) -> None:
    result = child(
        """
        import sys, warnings
        import tensorflow as tf
        tf.load_library(sys.argv[1])
        assert tf.config.list_physical_devices("GPU")
        import tensorflow_lrn_grad as tlg
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert tlg.accelerate() is False
            assert tlg.accelerate() is False
        (warning,) = caught
        assert warning.category is RuntimeWarning
        assert warning.filename == "<string>", "the warning points at this call"
        for words in (sys.argv[2], "with CUDA for these GPUs", "or hide them"):
            assert words in str(warning.message), warning.message
        assert not tlg.is_accelerated()
        # Hiding them works: TensorFlow has no CPU kernel for bfloat16.
        tf.config.set_visible_devices([], "GPU")
        assert tlg.accelerate() is True
        assert tf.nn.lrn(tf.ones([1, 2, 3, 4], tf.bfloat16)).dtype == tf.bfloat16
        """,
        fake_gpu,
        # The CUDA runtime's error: it sees no GPU, or no driver.
        "CUDA" if tlg.build_info()["cuda_archs"] else "it is built without CUDA",
        CUDA_VISIBLE_DEVICES="-1",
    )
    assert result.returncode == 0, result.stderr


def test_environment_variable_declines_too(child: Callable, fake_gpu: Path) -> None:
    result = child(
        """
        import sys
        import tensorflow as tf
        tf.load_library(sys.argv[1])
        import tensorflow_lrn_grad as tlg
        print(tlg.is_accelerated())
        tf.RegisterGradient("LRNGrad")(None)  # Fails if one is registered.
        """,
        fake_gpu,
        CUDA_VISIBLE_DEVICES="-1",
        TFLRN_ACCELERATE="1",
        TF_CPP_MIN_LOG_LEVEL="1",
    )
    assert (result.returncode, result.stdout) == (0, "False\n"), result.stderr
    assert result.stderr.count("TFLRN_ACCELERATE=1 has no effect") == 1
    assert "RuntimeWarning" not in result.stderr, "once is enough"


def test_forced_onto_a_gpu_the_ops_have_no_kernel(
    child: Callable, fake_gpu: Path
) -> None:
    if tlg.build_info()["cuda_archs"]:
        pytest.skip("the library has GPU kernels")
    result = child(
        """
        import sys
        import tensorflow as tf
        tf.load_library(sys.argv[1])
        import tensorflow_lrn_grad as tlg
        with tf.device("CPU:0"):
            x = tf.ones([1, 2, 3, 4])
        assert "CPU" in tlg.lrn(x).device
        tf.config.set_soft_device_placement(False)
        with tf.device("GPU:0"):
            for call in (lambda: tlg.lrn(x), lambda: tlg.lrn_grad(x, x, x)):
                try:
                    call()
                except tf.errors.InvalidArgumentError as error:
                    assert "Could not satisfy device specification" in str(error)
                    assert "/device:GPU:0" in str(error), error
                else:
                    sys.exit("there was no error")
        """,
        fake_gpu,
        FAKE_GPU_DEVICE="1",
    )
    assert result.returncode == 0, result.stderr


def test_gpu_kernels_take_over_with_the_cpu_s(process: Callable) -> None:
    """Both at one priority, since it also orders devices; this test needs no GPU."""
    if not tlg.build_info()["cuda_archs"]:
        pytest.skip("the library was built without CUDA")
    process(
        """
    from tensorflow.python.framework import kernels
    import tensorflow_lrn_grad as tlg

    def ours(op, device, priority):
        found = set()
        for kernel in kernels.get_registered_kernels_for_op(op).kernel:
            if (kernel.device_type, kernel.priority) == (device, priority):
                types = [t for c in kernel.constraint if c.name == "T"
                         for t in c.allowed_values.list.type]
                found.update(map(tf.as_dtype, types) if types else ["any"])
        return found

    assert not ours("LRN", "GPU", 1)
    tlg.accelerate()
    for op in ("LRN", "LRNGrad"):
        for device in ("CPU", "GPU"):
            assert ours(op, device, 1) == {tf.half, tf.bfloat16, tf.float32}
        if tlg.build_info()["xla"]:
            assert ours(op, "XLA_GPU_JIT", 2) and ours(op, "XLA_CPU_JIT", 2)
    """
    )


@pytest.mark.gpu
def test_on_a_gpu(gpu: str, process: Callable) -> None:
    """Without a device scope, and for types that only our kernels support there."""
    output = process(
        """
    import tensorflow_lrn_grad as tlg
    tlg.accelerate()
    with_xla = [{"jit_compile": True}] if tlg.build_info()["xla"] else []
    for dtype in (tf.float32, tf.half, tf.bfloat16):
        d, image, out = (tf.cast(t, dtype) for t in (dy, x, y))
        ours = tlg.lrn(image, **attributes), tlg.lrn_grad(d, image, out, **attributes)

        def both(d, image, out):
            return stock_lrn(image), stock_lrn_grad(d, image, out)

        calls = [both, *(tf.function(both, **options) for options in [{}, *with_xla])]
        for call in calls:
            for result, expected in zip(call(d, image, out), ours):
                assert "GPU:0" in result.device
                assert same_bits(result, expected)
    print("done")
    """
    )
    assert output == "done\n"
