"""What each folder may include; builds find sources by folder, not by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {".h", ".cc", ".cu"}  # that of "kernel.cu.cc" is .cc

STANDARD = r"<[a-z_]+>"  # <cmath>, but not <immintrin.h>
CUDA = r"<(cuda|cooperative_groups|cub/|math_constants)[\w/.]*>"

# What each folder of cc/ may include: the mathematics does not use the framework, CPU
# and GPU code do not use each other, and nothing depends on the two folders that use
# the framework.
ALLOWED = {
    "core": [STANDARD, r'"cc/core/'],
    "cpu": [STANDARD, r"<([a-z]*mmintrin|arm_neon|cpuid)\.h>", r'"cc/(core|cpu)/'],
    "cuda": [STANDARD, CUDA, r'"cc/(core|cuda)/'],
    "tf": [
        STANDARD,
        r'"cc/(core|cpu|cuda|tf)/',
        r'"tensorflow/(?!compiler/)',
        r'"xla/(tsl|stream_executor)/',
        r'"absl/',
    ],
    "xla": [
        STANDARD,
        r'"cc/(core|cpu|cuda|xla)/',
        r'"tensorflow/(compiler/tf2xla|core/framework)/',
        r'"xla/',
        r'"absl/',
    ],
}
# The C++ tests need no TensorFlow. One of them emulates a GPU with fibers.
ALLOWED_IN_TESTS = [
    STANDARD,
    r'["<]g(test|mock)/',
    r'"cc/(core|cpu|cuda)/',
    r'"tests/cc/',
    CUDA,
    r"<(ucontext|sanitizer/\w+)\.h>",
]

BUILD_FILES = (
    "BUILD",
    "BUILD.bazel",
    "*.bzl",
    "WORKSPACE",
    "setup.py",
    "pyproject.toml",
    "*.py",
)


def sources(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix in SUFFIXES]


def includes(path: Path) -> list[str]:
    """What a file includes, with brackets or quotes."""
    text = path.read_text()
    return re.findall(r'^\s*#\s*include\s+(<[^>]+>|"[^"]+"|\w+)', text, re.MULTILINE)


def forbidden(path: Path, allowed: list[str]) -> list[str]:
    return [i for i in includes(path) if not any(re.match(a, i) for a in allowed)]


pytestmark = pytest.mark.skipif(
    not (ROOT / "cc").is_dir(), reason=f"the sources are not at {ROOT}"
)


def test_every_folder_has_a_rule() -> None:
    folders = {path.relative_to(ROOT / "cc").parts[0] for path in sources(ROOT / "cc")}
    assert {"core", "cpu", "tf"} <= folders <= set(ALLOWED)


@pytest.mark.parametrize("folder", ALLOWED)
def test_folder_includes_only_what_it_may(folder: str) -> None:
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in sources(ROOT / "cc" / folder)
        if (found := forbidden(path, ALLOWED[folder]))
    }
    assert not wrong


def test_cpp_tests_need_no_tensorflow() -> None:
    wrong = {
        path.name: found
        for path in sources(ROOT / "tests" / "cc")
        if (found := forbidden(path, ALLOWED_IN_TESTS))
    }
    assert not wrong


def test_the_rules_refuse_what_they_should(tmp_path: Path) -> None:
    source = tmp_path / "source.cc"
    source.write_text(
        '#include <cmath>\n#include "cc/core/power.h"\n#include "cc/cpu/lrn_rows.h"\n'
        '# include "tensorflow/core/framework/op.h"\n  #include "cc/tf/ops.h"\n'
        '#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"\n#include HEADER\n'
    )
    assert len(includes(source)) == 7
    assert len(forbidden(source, ALLOWED["core"])) == 5
    assert len(forbidden(source, ALLOWED["cpu"])) == 4
    assert forbidden(source, ALLOWED["tf"]) == [
        '"tensorflow/compiler/tf2xla/xla_op_kernel.h"',
        "HEADER",
    ]


@pytest.mark.parametrize("folder", ALLOWED)
def test_header_guards_name_their_path(folder: str) -> None:
    """All headers except -inl.h, which are meant to be included several times."""
    for path in sources(ROOT / "cc" / folder):
        if path.suffix == ".h" and not path.name.endswith("-inl.h"):
            name = re.sub(r"\W", "_", str(path.relative_to(ROOT))).upper()
            assert f"#define TFLRN_{name}_\n" in path.read_text(), path


def test_builds_find_the_sources_by_folder() -> None:
    """Both builds take the files that exist: a list would need maintenance, and could
    differ from the other build's."""
    names = [re.escape(p.name) for p in sources(ROOT / "cc") if p.suffix != ".h"]
    pattern = re.compile(rf"\b({'|'.join(names)})\b")
    places = [ROOT, ROOT / "cc", ROOT / "tensorflow_lrn_grad", ROOT / "build_tools"]
    found = {}
    for place in places:
        for glob in BUILD_FILES:
            for path in place.glob(glob) if place == ROOT else place.rglob(glob):
                if path.is_file() and (named := pattern.findall(path.read_text())):
                    found[str(path.relative_to(ROOT))] = named
    assert not found
