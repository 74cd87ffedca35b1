"""The self-check: what it reports, and that it fails where the ops disagree."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import tensorflow as tf

import tensorflow_lrn_grad as tlg
from tensorflow_lrn_grad import __main__ as command
from tensorflow_lrn_grad import _agreement, _layers

ROOT = Path(__file__).resolve().parents[1]
SHAPES = {
    "AlexNet 1": [32, 55, 55, 96],
    "AlexNet 2": [32, 27, 27, 256],
    "GoogLeNet 1": [32, 56, 56, 64],
    "GoogLeNet 2": [32, 56, 56, 192],
}
DTYPES = {"float16", "bfloat16", "float32", "float64"}
STOCK_DTYPES = {"float16", "float32"}
OPS = {"LRN", "LRNGrad", "LRNGradFromInput"}


@pytest.fixture(scope="module", params=["repository", "elsewhere"])
def report(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What `python -m tensorflow_lrn_grad --json` writes, run in two folders."""
    environment = dict(os.environ)
    try:
        importlib.metadata.distribution("tensorflow-lrn-grad")
    except importlib.metadata.PackageNotFoundError:
        environment["PYTHONPATH"] = str(Path(tlg.__file__).parents[1])
    here = request.param == "repository"
    result = subprocess.run(
        [sys.executable, "-m", "tensorflow_lrn_grad", "--json", "--rounds", "1"],
        cwd=ROOT if here else tmp_path_factory.mktemp("elsewhere"),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_it_tells_what_runs_here(report: dict[str, Any]) -> None:
    environment = report["environment"]
    assert environment["version"] == tlg.__version__
    assert environment["build"] == tlg.build_info()
    assert environment["tensorflow"] == tf.__version__
    assert environment["cores"] == len(os.sched_getaffinity(0))
    gpus = tf.config.list_physical_devices("GPU")
    assert len(environment["gpus"]) == len(gpus)


def test_it_compares_every_op_in_every_type(report: dict[str, Any]) -> None:
    assert report["agree"] is True
    comparisons = {(c["op"], c["dtype"]): c for c in report["comparisons"]}
    assert set(comparisons) == {(o, t) for o in OPS for t in DTYPES}
    for (op, dtype), comparison in comparisons.items():
        assert comparison["agrees"] is True
        deviations = [comparison["ours_to_oracle"]]
        if dtype in STOCK_DTYPES and op != "LRNGradFromInput":
            deviations.append(comparison["ours_to_stock"])
            assert comparison["stock_to_oracle"]["error"] > 0
        else:
            assert comparison["ours_to_stock"] is None
            assert comparison["stock_to_oracle"] is None
        for deviation in deviations:
            assert 0 <= deviation["error"] <= deviation["tolerance"]


def test_the_tolerance_is_a_few_roundings(report: dict[str, Any]) -> None:
    for comparison in report["comparisons"]:
        # 40: more roundings than 11 squares, 11 terms and the functions between them
        # make. Those of y come on top where it is computed.
        roundings = 60 if comparison["op"] == "LRNGradFromInput" else 40
        limit = {
            "float32": roundings * 2**-24,
            "float64": 2 * roundings * 2**-53,  # ours and the oracle's
            "float16": 2**-11 + roundings * 2**-24,
            "bfloat16": 2**-8 + roundings * 2**-24,
        }[comparison["dtype"]]
        deviation = comparison["ours_to_oracle"]
        assert 0 < deviation["error"] <= deviation["tolerance"] < 1.001 * limit


def test_it_times_every_layer_in_both_directions(report: dict[str, Any]) -> None:
    seen = {}
    for timing in report["timings"]:
        assert timing["shape"] == SHAPES[timing["layer"]]
        ours, stock, memory = (timing[k] for k in ("ours", "stock", "memory"))
        for milliseconds in (ours, stock, memory):
            assert 0 < milliseconds["lower_quartile"] <= milliseconds["median"]
            assert milliseconds["median"] <= milliseconds["upper_quartile"]
        assert timing["speedup"] == stock["median"] / ours["median"]
        assert timing["times_memory"] == ours["median"] / memory["median"]
        sparse = timing["dy_zeros"] is not None and timing["dy_zeros"] > 0.5
        seen.setdefault(timing["layer"], []).append((timing["op"], sparse))
    first, last = ("LRN", False), ("LRNGradFromInput", False)
    without_pooling = [first, ("LRNGrad", False), last]
    with_pooling = [first, ("LRNGrad", False), ("LRNGrad", True), last]
    assert seen == {
        "AlexNet 1": with_pooling,
        "AlexNet 2": with_pooling,
        "GoogLeNet 1": without_pooling,
        "GoogLeNet 2": with_pooling,
    }


WITHIN, PAST = _agreement.Deviation(3.0, 3.0), _agreement.Deviation(2.0, 1.0)


@pytest.mark.parametrize(
    "ours_to_oracle, ours_to_stock, agrees",
    [
        (WITHIN, WITHIN, True),
        (WITHIN, None, True),
        (PAST, WITHIN, False),
        (WITHIN, PAST, False),
        (PAST, None, False),
    ],
)
def test_both_of_ours_are_judged_and_the_stock_op_s_own_error_is_not(
    ours_to_oracle: _agreement.Deviation,
    ours_to_stock: _agreement.Deviation | None,
    agrees: bool,
) -> None:
    for stock in (WITHIN, PAST, None):
        comparison = _agreement.Comparison(
            "LRN", "float32", ours_to_oracle, ours_to_stock, stock
        )
        assert comparison.agrees == agrees


def test_the_worst_of_comparisons_has_least_room_left() -> None:
    """Relative to the tolerance, in each of its parts."""
    a = _agreement.Comparison("LRN", "float32", WITHIN, PAST, WITHIN)
    b = _agreement.Comparison("LRN", "float32", PAST, WITHIN, PAST)
    worst = _agreement.Comparison("LRN", "float32", PAST, PAST, PAST)
    assert a.worst(b) == b.worst(a) == worst
    alone = _agreement.Comparison("LRN", "float64", WITHIN, None, None)
    assert alone.worst(alone) == alone


@pytest.fixture
def one_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first layer, to be quick."""
    monkeypatch.setattr(_layers, "NAMES", _layers.NAMES[:1])


@pytest.mark.usefixtures("one_layer")
def test_the_screen_fits_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert command.main(["check", "--rounds", "1"]) == 0
    screen = capsys.readouterr().out
    assert max(map(len, screen.splitlines())) <= 80
    assert "…" not in screen
    for text in (tf.__version__, "AlexNet 1", "32x55x55x96", "LRNGrad", "bfloat16"):
        assert text in screen
    assert "\x1b" not in screen, "no colours outside a terminal"


def _off_by_one_in_ten_thousand(op: Callable) -> Callable:
    return lambda *args, **kwargs: op(*args, **kwargs) * (1 + 1e-4)


def _too_wide(op: Callable) -> Callable:
    def wrong(*args: tf.Tensor, depth_radius: int, **kwargs: Any) -> tf.Tensor:
        return op(*args, depth_radius=depth_radius + 1, **kwargs)

    return wrong


def _one_nan(op: Callable) -> Callable:
    def wrong(*args: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        right = op(*args, **kwargs)
        nan = tf.constant(np.nan, right.dtype)
        return tf.tensor_scatter_nd_update(right, [[0, 1, 2, 3]], [nan])

    return wrong


def _rounding_every_step(op: Callable) -> Callable:
    """Replaces the op with the stock op for half."""

    def wrong(**kwargs: Any) -> tf.Tensor:
        stock = getattr(tf.raw_ops, {"lrn": "LRN", "lrn_grad": "LRNGrad"}[op.__name__])
        image = kwargs.get("input", kwargs.get("input_image"))
        if image.dtype != tf.half:
            return op(**kwargs)
        if op.__name__ == "lrn_grad" and "output_image" not in kwargs:
            attributes = {k: v for k, v in kwargs.items() if not k.startswith("input")}
            kwargs["output_image"] = tf.raw_ops.LRN(input=image, **attributes)
        return stock(**kwargs)

    return wrong


@pytest.mark.usefixtures("one_layer")
@pytest.mark.parametrize(
    "fault", [_off_by_one_in_ten_thousand, _too_wide, _one_nan, _rounding_every_step]
)
@pytest.mark.parametrize("name", ["lrn", "lrn_grad"])
def test_a_wrong_op_is_exit_status_1(
    name: str,
    fault: Callable,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(tlg, name, fault(getattr(tlg, name)))
    assert command.main(["--json", "--rounds", "1"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["agree"] is False
    ops = {"LRN"} if name == "lrn" else {"LRNGrad", "LRNGradFromInput"}
    disagreeing = {c["op"] for c in result["comparisons"] if not c["agrees"]}
    assert disagreeing == ops


@pytest.mark.usefixtures("one_layer")
def test_a_disagreement_is_named_on_the_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    right = _agreement.oracle_lrn_grad
    monkeypatch.setattr(_agreement, "oracle_lrn_grad", lambda *a: 1.01 * right(*a))
    assert command.main(["--rounds", "1"]) == 1
    screen = capsys.readouterr().out
    assert "DISAGREE" in screen
    lines = [line for line in screen.splitlines() if line.startswith("LRNGrad")]
    assert len(lines) == 2 * len(DTYPES)
    assert all(line.rstrip().endswith("NO") for line in lines)


@pytest.mark.parametrize(
    "order",
    [["check", "--json", "--rounds", "3"], ["--json", "--rounds", "3", "check"]],
)
def test_options_count_on_both_sides_of_the_command(order: list[str]) -> None:
    options = command._parser().parse_args(order)
    assert options.json is True
    assert options.rounds == 3


@pytest.mark.parametrize("rounds", ["0", "-1", "x", "1.5"])
def test_no_rounds_is_a_usage_error(rounds: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["--rounds", rounds])
    assert stopped.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith(f"--rounds: '{rounds}' is not a whole number of 1 or more")


# What `accelerate` refuses; tests/test_stock.py has the programs that it runs.


@pytest.mark.parametrize("arguments", [[], ["-m"]])
def test_accelerate_needs_a_program(
    arguments: list[str], capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["accelerate", *arguments])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.endswith("arguments are required: SCRIPT.py or MODULE\n")


@pytest.mark.parametrize("options", [["--json"], ["--rounds", "7"]])
def test_accelerate_takes_no_options_of_check(
    options: list[str], capsys: pytest.CaptureFixture
) -> None:
    assert command.main([*options, "accelerate", "none.py"]) == 2
    assert "takes neither --json nor --rounds" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["none", "none.module", "tensorflow_lrn_grad.none"])
def test_accelerate_names_a_module_that_is_not_there(
    name: str, capsys: pytest.CaptureFixture
) -> None:
    assert command.main(["accelerate", "-m", name]) == 2
    assert capsys.readouterr().err == f"error: there is no module {name}\n"


def test_accelerate_shows_what_a_package_fails_to_import(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("import not_installed")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed"):
        command.main(["accelerate", "-m", "broken.module"])


@pytest.mark.parametrize("radius", [0, 2, 9])
def test_its_oracle_agrees_with_the_tests_oracle(
    radius: int, rng: np.random.Generator
) -> None:
    dy, x, y = rng.standard_normal((3, 2, 3, 2, 7))
    ours = _layers.Parameters(radius, 1.5, 0.25, 0.75)
    tests = oracle.Params(radius, 1.5, 0.25, 0.75)
    np.testing.assert_allclose(
        _agreement.oracle_lrn(x, ours), oracle.lrn(x, tests), rtol=1e-13
    )
    np.testing.assert_allclose(
        _agreement.oracle_lrn_grad(dy, x, y, ours),
        oracle.lrn_grad(dy, x, y, tests),
        rtol=0,
        atol=1e-13,
    )
