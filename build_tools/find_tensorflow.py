"""Which TensorFlow to build for: the one that will load the library.

TensorFlow's C++ interface changes with every minor version, so a library loads
only into the one that it was compiled for. pip builds in an isolated environment,
which hides the packages of the environment that it installs into. The interpreter
is the same, though, and sees those packages again without the variables that
isolate it.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

from build_tools import tensorflow_config

# How pip isolates the interpreter: a sitecustomize.py on PYTHONPATH that takes
# site-packages off the path, and no user site.
_ISOLATION = ("PYTHONPATH", "PYTHONNOUSERSITE")

# A removed package may leave a folder `tensorflow` without __init__.py.
_PROBE = """
import importlib.util
spec = importlib.util.find_spec("tensorflow")
print(spec is not None and spec.origin is not None)
"""


@functools.cache
def environment() -> dict[str, str] | None:
    """The environment variables under which this Python has a TensorFlow, or None.

    The environment of the build comes first. It holds a TensorFlow if there is no
    isolation, or if pip fetched one because the environment that it installs into
    has none.
    """
    isolated = dict(os.environ)
    target = {k: v for k, v in os.environ.items() if k not in _ISOLATION}
    for variables in (isolated, target):
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env=variables,
            capture_output=True,
            text=True,
        )
        # Other packages may print when Python starts.
        if probe.stdout.splitlines()[-1:] == ["True"]:
            return variables
    return None


@functools.cache
def config() -> dict:
    """tensorflow_config() of the TensorFlow to build for; SystemExit if none."""
    variables = environment()
    if variables is None:
        raise SystemExit(
            f"error: {sys.executable} has no TensorFlow to build for: install it "
            f"first (pip install 'tensorflow=={tensorflow_config.NEWEST}.*'), or "
            "leave out --no-build-isolation"
        )
    script = subprocess.run(
        [sys.executable, tensorflow_config.__file__],
        env=variables,
        capture_output=True,
        text=True,
    )
    # The last line is the error or the result; others may print before it.
    if script.returncode != 0:
        words = script.stderr.strip().splitlines()
        if script.returncode < 0 or not words:
            status = f"importing TensorFlow ended with exit status {script.returncode}"
            words.append(f"{status} ({words[-1]})" if words else status)
        raise SystemExit(f"error: {words[-1]}")
    return json.loads(script.stdout.strip().splitlines()[-1])
