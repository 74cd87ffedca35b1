"""What the loader finds, and what it says when nothing fits.

The messages are provoked with a copy of the package, a fake library and a fake
TensorFlow, in a Python that sees no other packages.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tensorflow_lrn_grad as tlg

PACKAGE = Path(tlg.__file__).parent

# As much of TensorFlow as the loader touches. It loads no library, and says
# which one it was asked for.
FAKE_TENSORFLOW = """
__version__ = {version!r}

class errors:
    class NotFoundError(Exception):
        def __init__(self, message):
            self.message = message

def load_op_library(path):
    raise errors.NotFoundError(path + ": undefined symbol: _ZN10tensorflow")
"""


class World:
    """A folder of packages, and what a Python that sees no others imports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "tensorflow_lrn_grad"
        sources = shutil.ignore_patterns("*.so", "*.json", "__pycache__")
        shutil.copytree(PACKAGE, self.package, ignore=sources)

    def add_tensorflow(self, version: str) -> None:
        package = self.folder / "tensorflow"
        package.mkdir()
        source = FAKE_TENSORFLOW.format(version=version)
        (package / "__init__.py").write_text(source)

    def add_library(
        self,
        tensorflow: str,
        version: str = tlg.__version__,
        package: Path | None = None,
    ) -> Path:
        package = package or self.package
        package.mkdir(parents=True, exist_ok=True)
        record = {"version": version, "tensorflow": tensorflow}
        (package / "_build_record.json").write_text(json.dumps(record))
        library = package / "_lrn_ops.so"
        library.write_bytes(b"not a library")
        return library

    def add_installed(self, tensorflow: str, version: str = tlg.__version__) -> Path:
        """A second folder, later on the path, as if pip had installed into it."""
        site = self.folder / "site-packages"
        metadata = site / f"tensorflow_lrn_grad-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Name: tensorflow-lrn-grad\nVersion: {version}\n")
        return self.add_library(tensorflow, version, site / "tensorflow_lrn_grad")

    def import_error(self, before: str = "", kind: str = "ImportError") -> str:
        """The message of the import's error; fails if there is none of this kind."""
        code = f"{before}\nimport tensorflow_lrn_grad"
        run = subprocess.run(
            [sys.executable, "-S", "-c", code],
            cwd=self.folder,
            env={"PYTHONPATH": f"{self.folder}:{self.folder / 'site-packages'}"},
            capture_output=True,
            text=True,
            check=False,
        )
        last = run.stderr.strip().splitlines()[-1:]
        assert last, "the import succeeded"
        raised, _, message = last[0].partition(": ")
        assert raised == kind, run.stderr
        return message


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_no_tensorflow(world: World) -> None:
    world.add_library("2.20.0")
    message = world.import_error()
    assert "no TensorFlow is installed" in message
    assert "pip install 'tensorflow==2.20.*'" in message
    assert "tensorflow-cpu" in message


def test_what_a_removed_tensorflow_leaves_is_none(world: World) -> None:
    world.add_library("2.20.0")
    (world.folder / "tensorflow" / "include").mkdir(parents=True)
    assert "no TensorFlow is installed" in world.import_error()


@pytest.mark.parametrize(
    "source, kind",
    [
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("from tensorflow import nothing", "ImportError"),
    ],
)
def test_a_tensorflow_that_does_not_import_says_so_itself(
    world: World, source: str, kind: str
) -> None:
    world.add_library("2.20.0")
    (world.folder / "tensorflow.py").write_text(source)
    message = world.import_error(kind=kind)
    assert "nothing" in message
    assert "is installed" not in message


def test_tensorflow_of_another_minor(world: World) -> None:
    world.add_tensorflow("2.20.1")
    world.add_library("2.21.0")
    message = world.import_error()
    assert "built for TensorFlow 2.21.0" in message
    assert "TensorFlow 2.20.1 is installed" in message
    assert (
        "python -m pip install --force-reinstall --no-deps --no-cache-dir ." in message
    )
    # This is the cause if pip was given the name of a source distribution.
    assert "pip may reuse a wheel that it built" in message


def test_tensorflow_of_no_number_is_another(world: World) -> None:
    world.add_tensorflow("unknown")
    world.add_library("2.21.0")
    assert "TensorFlow unknown is installed" in world.import_error()


@pytest.mark.parametrize("here", ["2.21.3", "2.21.0rc1", "2.21.0-dev20260101"])
def test_tensorflow_of_the_same_minor_is_tried(world: World, here: str) -> None:
    world.add_tensorflow(here)
    library = world.add_library("2.21.0")
    message = world.import_error()
    # The loader's words, around the symbol that TensorFlow reports.
    assert f"{library}, built for TensorFlow 2.21.0, does not load" in message
    assert f"TensorFlow {here} (" in message
    assert "undefined symbol" in message
    assert (
        "python -m pip install --force-reinstall --no-deps --no-cache-dir ." in message
    )


@pytest.mark.parametrize(
    ("version", "command"),
    [("2.21.0", "pip install '.'"), (None, "pip install '.[tensorflow]'")],
)
def test_source_that_is_not_built(
    world: World, version: str | None, command: str
) -> None:
    if version:
        world.add_tensorflow(version)
    message = world.import_error()
    assert str(world.package) in message
    assert "not built" in message
    assert command in message


@pytest.mark.parametrize("left", ["_lrn_ops.so", "_build_record.json"])
def test_half_of_a_build_is_none(world: World, left: str) -> None:
    world.add_tensorflow("2.21.0")
    world.add_library("2.21.0")
    (world.package / left).unlink()
    assert "not built" in world.import_error()


def test_library_is_looked_for_beside_links_to_the_source(world: World) -> None:
    """Bazel makes a folder of links to the source, and builds the library there."""
    world.add_tensorflow("2.21.0")
    source = world.folder / "source"
    world.package.rename(source)
    world.package.mkdir()
    for file in source.glob("*.py"):
        (world.package / file.name).symlink_to(file)
    library = world.add_library("2.21.0")
    assert world.import_error().startswith(str(library))


def test_source_folder_uses_the_installed_library(world: World) -> None:
    world.add_tensorflow("2.21.0")
    installed = world.add_installed("2.21.0")
    assert world.import_error().startswith(str(installed))


def test_metadata_that_a_build_leaves_in_the_source_is_no_installation(
    world: World,
) -> None:
    world.add_tensorflow("2.21.0")
    left = world.folder / "tensorflow_lrn_grad.egg-info"
    left.mkdir()
    (left / "PKG-INFO").write_text("Name: tensorflow-lrn-grad\nVersion: 0.0.1\n")
    installed = world.add_installed("2.21.0")
    assert world.import_error().startswith(str(installed))


def test_library_that_fits_comes_before_the_nearest(world: World) -> None:
    world.add_tensorflow("2.20.0")
    world.add_library("2.21.0")
    installed = world.add_installed("2.20.0")
    assert world.import_error().startswith(str(installed))


def test_library_of_this_version_comes_before_the_nearest(world: World) -> None:
    world.add_tensorflow("2.21.0")
    world.add_library("2.21.0", version="0.0.9")
    installed = world.add_installed("2.21.0")
    assert world.import_error().startswith(str(installed))


def test_nearest_library_is_named_where_none_fits(world: World) -> None:
    world.add_tensorflow("2.21.0")
    world.add_library("2.20.0")
    world.add_installed("2.19.0")
    assert "built for TensorFlow 2.20.0" in world.import_error()


def test_nearest_library_comes_first_where_both_fit(world: World) -> None:
    world.add_tensorflow("2.21.0")
    nearest = world.add_library("2.21.0")
    world.add_installed("2.21.0")
    assert world.import_error().startswith(str(nearest))


def test_installed_library_of_another_version(world: World) -> None:
    world.add_tensorflow("2.21.0")
    installed = world.add_installed("2.21.0", version="0.0.9")
    message = world.import_error()
    assert f"is version {tlg.__version__}" in message
    assert f"the installed library, {installed}, is version 0.0.9" in message
    assert "python -m pip install ." in message


@pytest.mark.parametrize("replaced", [False, True])
def test_second_copy_in_one_process(world: World, replaced: bool) -> None:
    world.add_tensorflow("2.21.0")
    library = world.add_library("2.21.0")
    other = library if replaced else world.add_installed("2.21.0")
    before = f"""
import mmap, os, shutil
with open({str(other)!r}, "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
if {replaced}:
    shutil.copy({str(other)!r}, "new")
    os.replace("new", {str(other)!r})
"""
    message = world.import_error(before)
    assert f"cannot load {library}" in message
    assert f"has already loaded {other}" in message
    assert "start a new process" in message


def test_mapped_files_whose_names_are_not_in_the_locale_s_encoding(
    world: World,
) -> None:
    world.add_tensorflow("2.21.0")
    library = world.add_library("2.21.0")
    before = """
import mmap
with open(b"caf\\xe9", "w+b") as file:
    file.write(b"x")
    file.flush()
    mapped = mmap.mmap(file.fileno(), 0)
"""
    assert world.import_error(before).startswith(str(library))


def test_loading_again_is_harmless(child: Callable) -> None:
    run = child("""
        import importlib
        import tensorflow as tf
        import tensorflow_lrn_grad as tlg

        importlib.reload(tlg._load)
        x = tf.ones([1, 1, 1, 3])
        print(tlg._load.library.tflrn_lrn(input=x, depth_radius=1).numpy().size)
    """)
    assert run.stdout.strip() == "3", run.stderr


def test_loading_again_by_way_of_a_link_is_harmless(
    child: Callable, tmp_path: Path
) -> None:
    """The process knows the file by another name."""
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "tensorflow_lrn_grad").symlink_to(Path(tlg._load._path).parent)
    run = child("""
        import sys
        sys.path.insert(0, "link")
        import importlib
        import tensorflow_lrn_grad as tlg

        importlib.reload(tlg._load)
        print("/link/" in str(tlg._load._path))
    """)
    assert run.stdout.strip() == "True", run.stderr


def test_unknown_cpu_target(child: Callable) -> None:
    """The error offers only the targets that this processor can run."""
    run = child("import tensorflow_lrn_grad", TFLRN_CPU_TARGET="abacus")
    message = run.stderr.strip().splitlines()[-1]
    start, _, offered = message.rpartition("; choose one of: ")
    assert start == "ImportError: TFLRN_CPU_TARGET is 'abacus', which is not a target"
    compiled = tlg.build_info()["cpu_targets"]
    assert offered.split(", ")[-1] == compiled[-1] == "baseline"
    for target in compiled:
        run = child(
            "import tensorflow_lrn_grad as t; print(t.build_info()['cpu_target'])",
            TFLRN_CPU_TARGET=target,
        )
        if target in offered.split(", "):
            assert run.stdout.strip() == target, run.stderr
        else:
            assert f"is '{target}', which this processor cannot run" in run.stderr


def test_build_info() -> None:
    info = tlg.build_info()
    record = json.loads(
        (Path(tlg._load._path).parent / "_build_record.json").read_text()
    )
    assert info["version"] == tlg.__version__ == record["version"]
    assert info["tensorflow"] == record["tensorflow"]
    assert info["cpu_target"] in info["cpu_targets"]
