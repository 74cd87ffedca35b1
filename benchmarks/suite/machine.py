"""The hardware and the versions of a measurement."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

from tensorflow_lrn_grad import _selfcheck


def environment() -> dict[str, Any]:
    """Describes the machine, and the versions in this process."""
    found = _selfcheck.environment()
    build = found["build"]
    facts = {
        "date": date.today().isoformat(),
        "cpu": found["cpu"],
        "cores": found["cores"],
        "caches": _caches(),
        "system": _system(),
        "version": found["version"],
        "commit": _commit(),
        "tensorflow": found["tensorflow"],
        "python": found["python"],
        "compiler": build["compiler"],
        "target": build["cpu_target"],
        "targets": build["cpu_targets"],
    }
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        facts["torch"] = importlib.metadata.version("torch")
    return facts


def _system() -> str:
    """Without the suffix that a distribution or host adds to the kernel version."""
    release, _, _ = platform.release().partition("-")
    return f"{platform.system()} {release}, {' '.join(platform.libc_ver())}"


def _caches() -> dict[str, str]:
    """As the system reports them: {"L1d": "48K", "L2": "1024K", "L3": "32768K"}."""
    caches = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (
            (index / name).read_text().strip() for name in ("level", "type", "size")
        )
        if kind != "Instruction":
            caches[f"L{level}" + ("d" if kind == "Data" else "")] = size
    return caches


def _commit() -> str | None:
    """The commit of the sources, with a + if they have changed since."""
    root = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None  # not from a checkout
    return described.stdout.strip()
