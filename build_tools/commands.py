"""The setuptools commands with which setup.py builds the shared library."""

from __future__ import annotations

import atexit
import gzip
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from setuptools import Command, Distribution
from setuptools.command.build import build
from setuptools.command.sdist import sdist

from build_tools import find_tensorflow
from build_tools.compile_library import ROOT, compile_library, say

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:
    # Without isolation: the older setuptools that came with a virtual environment.
    from wheel.bdist_wheel import bdist_wheel

PACKAGE = "tensorflow_lrn_grad"
LIBRARY = f"{PACKAGE}/_lrn_ops.so"
RECORD = f"{PACKAGE}/_build_record.json"


def _temporary_folder() -> str:
    """A folder that is removed when this process ends."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class BuildLibrary(Command):
    """Compiles the library, and records beside it what it was built for.

    The loader reads the record first: loading a library that was built for another
    TensorFlow would only report an undefined symbol.
    """

    description = "compile the shared library of the ops"
    user_options: list = []
    # Set by setuptools for `pip install -e`.
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib: str | None = None

    def finalize_options(self) -> None:
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def _folder(self) -> Path:
        assert self.build_lib is not None
        return ROOT if self.editable_mode else Path(self.build_lib)

    def run(self) -> None:
        if self.editable_mode and not os.access(ROOT / PACKAGE, os.W_OK):
            raise SystemExit(
                f"error: an editable installation puts the library into {ROOT}, which "
                "is not writable: leave out --editable (-e), or copy the folder"
            )
        version = self.distribution.get_version()
        tensorflow = find_tensorflow.config()
        compile_library(self._folder() / LIBRARY, version, tensorflow)
        record = {"version": version, "tensorflow": tensorflow["version"]}
        (self._folder() / RECORD).write_text(json.dumps(record, indent=2) + "\n")
        if not self.editable_mode:
            # In the source folder, the library of an earlier editable installation
            # would be loaded instead of this one.
            for left in (ROOT / LIBRARY, ROOT / RECORD):
                if left.exists() and os.access(left.parent, os.W_OK):
                    say(f"removing {left}, left by an editable installation")
                    left.unlink()

    def get_outputs(self) -> list[str]:
        return [f"{self.build_lib}/{LIBRARY}", f"{self.build_lib}/{RECORD}"]

    def get_output_mapping(self) -> dict[str, str]:
        """Where an editable installation's outputs are; a strict one links to them."""
        if not self.editable_mode:
            return {}
        return dict(zip(self.get_outputs(), (LIBRARY, RECORD), strict=True))

    def get_source_files(self) -> list[str]:
        # MANIFEST.in says what belongs to the source distribution.
        return []


class Build(build):
    sub_commands = [("build_py", None), ("build_library", None)]

    def initialize_options(self) -> None:
        super().initialize_options()
        # Not in the source folder, where files of an earlier build would end up in
        # the wheel.
        self.build_base = _temporary_folder()


class BdistWheel(bdist_wheel):
    def initialize_options(self) -> None:
        super().initialize_options()
        # By default setuptools writes the metadata into the source folder, which may
        # be read-only, and does so after the library was compiled.
        self.distribution.get_command_obj("egg_info").egg_base = _temporary_folder()

    def get_tag(self) -> tuple[str, str, str]:
        # The library does not use Python's C API, so one wheel serves every Python:
        # only the platform matters.
        _, _, platform = super().get_tag()
        return "py3", "none", platform


class SourceDistribution(sdist):
    """Reproducible: with SOURCE_DATE_EPOCH, no byte depends on user, place or time."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, **owner):
        if format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, **owner)
        epoch = os.environ.get("SOURCE_DATE_EPOCH")

        def normalized(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            # The umask depends on the user, too.
            executable = member.isdir() or member.mode & 0o100
            member.mode = 0o755 if executable else 0o644
            member.mtime = int(epoch or member.mtime)
            return member

        archive = f"{base_name}.tar.gz"
        Path(archive).parent.mkdir(parents=True, exist_ok=True)
        # gzip's header gets no name. tarfile adds a folder's files in sorted order.
        with (
            open(archive, "wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=epoch and int(epoch)) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            tar.add(base_dir, filter=normalized)
        return archive


class PlatformDistribution(Distribution):
    def has_ext_modules(self) -> bool:
        return True


COMMANDS = {
    "build": Build,
    "build_library": BuildLibrary,
    "bdist_wheel": BdistWheel,
    "sdist": SourceDistribution,
}
