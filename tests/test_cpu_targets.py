"""Each instruction set that the library was compiled for, against the oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tensorflow_lrn_grad as tlg

HERE = Path(__file__).parent
TESTS = ("test_lrn.py", "test_lrn_grad.py", "test_special_values.py")


@pytest.mark.parametrize("target", tlg.build_info()["cpu_targets"])
def test_target(child: Callable, target: str) -> None:
    """Runs the numerical tests again, in a process forced to use the target."""
    if target == tlg.build_info()["cpu_target"]:
        pytest.skip(f"{target} is the target that all other tests use")
    probe = child(
        "import tensorflow_lrn_grad as tlg; print(tlg.build_info()['cpu_target'])",
        TFLRN_CPU_TARGET=target,
    )
    if probe.returncode and "TFLRN_CPU_TARGET" in probe.stderr:
        pytest.skip(f"this processor cannot run {target}")
    assert probe.stdout.split() == [target], probe.stderr
    run = child(
        """
        import sys
        import pytest
        sys.exit(pytest.main(["-q", "-x", "-n0", "-k", "not GPU", *sys.argv[1:]]))
        """,
        *("-p", "no:cacheprovider", "--rootdir", HERE, *(HERE / t for t in TESTS)),
        TFLRN_CPU_TARGET=target,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
