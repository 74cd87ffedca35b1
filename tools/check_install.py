#!/usr/bin/env python3
"""Checks every way to install, in fresh virtual environments; takes minutes.

Run it with a Python that has TensorFlow, but not this package. The environments see
all that this Python has through a .pth file, so that TensorFlow is not downloaded
again, and nothing is installed outside of them. The installations use a copy of the
files that git tracks.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What an installation must be able to do; it prints with which TensorFlow.
USE = """
import tensorflow_lrn_grad as tlg
import tensorflow as tf

x = tf.random.stateless_normal([2, 3, 4, 9], seed=[1, 2])
with tf.GradientTape(persistent=True) as tape:
    tape.watch(x)
    ours, stock = tlg.lrn(x, 2), tf.nn.lrn(x, 2)
tf.debugging.assert_near(ours, stock)
tf.debugging.assert_near(tape.gradient(ours, x), tape.gradient(stock, x))
print("works with TensorFlow", tf.__version__)
"""


def copy_source(target: Path, root: Path = ROOT) -> None:
    """Copies what git tracks: no environments, no files of earlier installations."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, stdout=subprocess.PIPE, check=True
    )
    for name in os.fsdecode(listing.stdout).split("\0"):
        if name and (root / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)


class Environment:
    """A virtual environment in `folder`."""

    def __init__(self, folder: Path, with_tensorflow: bool) -> None:
        venv.create(folder, with_pip=True)
        self.python = folder / "bin" / "python"
        if with_tensorflow:
            site = next(folder.glob("lib/python*/site-packages"))
            (site / "tensorflow.pth").write_text("\n".join(_tensorflow_path()) + "\n")

    def run(self, *arguments: object, cwd: Path, **variables: str) -> str:
        """Runs Python here, and returns its output even if it fails."""
        return self._run(*arguments, cwd=cwd, **variables).stdout

    def must(self, *arguments: object, cwd: Path, **variables: str) -> str:
        """Runs Python here, and returns its output; raises SystemExit if it fails."""
        run = self._run(*arguments, cwd=cwd, **variables)
        if run.returncode != 0:
            raise SystemExit(f"{run.stdout}\nfailed: {' '.join(map(str, arguments))}")
        return run.stdout

    def _run(
        self, *arguments: object, cwd: Path, **variables: str
    ) -> subprocess.CompletedProcess:
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        return subprocess.run(
            [str(self.python), *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **quiet, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def _tensorflow_path() -> list[str]:
    """The folders that this Python imports TensorFlow from."""
    packages = importlib.metadata.packages_distributions()
    if "tensorflow_lrn_grad" in packages:
        raise SystemExit(
            f"{sys.executable} has tensorflow_lrn_grad: nothing would be installed. "
            "Uninstall it there, or use another Python."
        )
    if "tensorflow" not in packages:
        raise SystemExit(f"{sys.executable} has no TensorFlow")
    first = importlib.metadata.distribution(packages["tensorflow"][0])
    return [str(first.locate_file("")).rstrip("/")]


def check(sentence: str, run: Callable[[], str], words: str) -> None:
    """Prints the sentence; raises SystemExit unless run() returns the words."""
    print(f"{sentence} ... ", end="", flush=True)
    printed = run()
    if words not in printed:
        raise SystemExit(f"no\n{printed}\nlacks: {words}")
    print("yes", flush=True)


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        source, elsewhere, wheels = (scratch / n for n in ("source", "empty", "wheels"))
        copy_source(source)
        elsewhere.mkdir()
        builder = Environment(scratch / "builder", with_tensorflow=True)
        user = Environment(scratch / "user", with_tensorflow=True)
        bare = Environment(scratch / "bare", with_tensorflow=False)
        pip = ("-m", "pip")

        def install(into: Environment, *what: object, **variables: str) -> str:
            return into.run(
                *pip, "install", "--no-deps", *what, cwd=source, **variables
            )

        def use(by: Environment, where: Path) -> str:
            return by.run("-c", USE, cwd=where)

        check(
            "a missing compiler is reported in one sentence",
            lambda: install(builder, ".", CXX="/nonexistent/g++"),
            "error: CXX: there is no /nonexistent/g++ here",
        )
        check(
            "so is a missing TensorFlow without isolation",
            lambda: (
                bare.must(*pip, "install", "setuptools>=70.1", cwd=source)
                + install(bare, "--no-build-isolation", ".")
            ),
            "has no TensorFlow to build for",
        )
        check(
            "pip wheel builds one wheel for every Python",
            lambda: builder.must(
                *pip, "wheel", "--no-deps", "-w", wheels, ".", cwd=source
            ),
            "py3-none-linux_",
        )
        (wheel,) = wheels.iterdir()
        check(
            "it installs into a second environment",
            lambda: install(user, wheel),
            "Successfully installed",
        )
        check("and works there", lambda: use(user, elsewhere), "works with")
        check("and in the source folder", lambda: use(user, source), "works")
        check(
            "without TensorFlow it says what to install",
            lambda: install(bare, wheel) + use(bare, elsewhere),
            "no TensorFlow is installed here: python -m pip install 'tensorflow==",
        )
        check(
            "the source without a build says so",
            lambda: use(builder, source),
            "run `python -m pip install '.'`",
        )
        check(
            "pip install -e works",
            lambda: install(user, "-e", ".") + use(user, elsewhere),
            "works with",
        )
        check("and in the source folder", lambda: use(user, source), "works")
        check(
            "so does a strict one",
            lambda: (
                install(user, "-e", ".", "--config-settings", "editable_mode=strict")
                + use(user, elsewhere)
            ),
            "works with",
        )
        check(
            "pip install --no-build-isolation works",
            lambda: (
                builder.must(*pip, "install", "setuptools>=70.1", cwd=source)
                + install(builder, "--no-build-isolation", ".")
                + use(builder, elsewhere)
            ),
            "works with",
        )
        build_sdist = (
            "from build_tools.build_backend import build_sdist as b; b('dist')"
        )
        check(
            "the source distribution builds and works",
            lambda: (
                builder.must("-c", build_sdist, cwd=source)
                + install(user, next((source / "dist").glob("*.tar.gz")))
                + use(user, elsewhere)
            ),
            "works with",
        )


if __name__ == "__main__":
    main()
