"""AlexNet and GoogLeNet's stem, saved with the stock op, loaded and accelerated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "models.py"


def test_saved_models_are_the_same_accelerated(child: Callable, tmp_path: Path) -> None:
    """The benchmark, with few channels: it compares the results of its processes, and
    fails if they disagree."""
    result = child(
        """
        import os, runpy, sys
        del sys.argv[0]
        sys.path[0] = os.path.dirname(sys.argv[0])
        runpy.run_path(sys.argv[0], run_name="__main__")
        """,
        *(SCRIPT, "--json", "models.json"),
        *("--batch", 2, "--width", 0.125, "--rounds", 1, "--steps", 3),
    )
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "models.json").read_text())
    assert [m["model"] for m in report["models"]] == ["AlexNet", "GoogLeNet's stem"]
    for model in report["models"]:
        # Two layers, each forward and backward, and TensorFlow's own ops.
        assert model["lrn_ops"] == ["LRN", "LRN", "LRNGrad", "LRNGrad"]
        # That logits differ at all shows that other kernels computed them.
        assert 0 < model["logits_difference"] < 1e-4
        assert model["losses_difference"] < 1e-4
        assert model["build"]["accelerated"]
        assert model["speedup"] > 0
