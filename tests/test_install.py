"""The installed distribution: its files, its metadata, and the library's symbols.

The ways to install it (a wheel in a second environment, `pip install -e`, a missing
compiler and so on) take minutes to check: tools/check_install.py does that.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import tensorflow as tf

import tensorflow_lrn_grad as tlg

LIBRARY = Path(tlg._load._path)
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def distribution() -> importlib.metadata.Distribution:
    for found in importlib.metadata.distributions(name="tensorflow-lrn-grad"):
        # Skips the metadata that a build leaves in the source folder.
        if found.read_text("WHEEL"):
            return found
    pytest.skip("the package was not installed by pip")


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def test_library_was_built_for_this_tensorflow() -> None:
    record = json.loads((LIBRARY.parent / "_build_record.json").read_text())
    assert _minor(record["tensorflow"]) == _minor(tf.__version__)
    assert record["version"] == tlg.__version__


def test_metadata(distribution: importlib.metadata.Distribution) -> None:
    assert distribution.version == tlg.__version__
    assert distribution.metadata["Requires-Python"] == ">=3.10"
    assert distribution.metadata["License"] == "Apache-2.0"


def test_tensorflow_comes_by_extras_only(
    distribution: importlib.metadata.Distribution,
) -> None:
    minor = _minor(tlg.build_info()["tensorflow"])
    pins = {
        line.replace(" ", "").replace("'", '"')
        for line in distribution.requires or []
        if line.startswith("tensorflow")
    }
    assert pins == {
        f'tensorflow=={minor}.*;extra=="tensorflow"',
        f'tensorflow-cpu=={minor}.*;extra=="tensorflow-cpu"',
    }


def test_wheel_serves_every_python(
    distribution: importlib.metadata.Distribution,
) -> None:
    wheel = distribution.read_text("WHEEL") or ""
    if _is_editable(distribution):
        pytest.skip("installed by pip install -e, whose wheel is never distributed")
    assert re.search(r"^Tag: py3-none-(many)?linux\w+$", wheel, re.MULTILINE)
    assert "Root-Is-Purelib: false" in wheel


def test_wheel_holds_the_package_and_nothing_else(
    distribution: importlib.metadata.Distribution,
) -> None:
    if _is_editable(distribution):
        pytest.skip("installed by pip install -e: the files are in the source folder")
    files = {str(file) for file in distribution.files or []}
    package = {name for name in files if name.startswith("tensorflow_lrn_grad/")}
    rest = {name.partition("/")[0] for name in files - package}
    assert rest == {f"tensorflow_lrn_grad-{tlg.__version__}.dist-info"}
    compiled = {name for name in package if "__pycache__" in name}
    source = {
        f"tensorflow_lrn_grad/{file.name}"
        for pattern in ("*.py", "*.jpg", "py.typed")
        for file in (ROOT / "tensorflow_lrn_grad").glob(pattern)
    }
    built = {f"tensorflow_lrn_grad/{n}" for n in ("_lrn_ops.so", "_build_record.json")}
    assert package - compiled == source | built


def _is_editable(distribution: importlib.metadata.Distribution) -> bool:
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    return bool(origin.get("dir_info", {}).get("editable"))


def _dynamic_symbols(which: str) -> set[str]:
    """The library's symbol names without versions; `which` is an option of nm."""
    if shutil.which("nm") is None:
        pytest.skip("nm (binutils) is not installed")
    symbols = subprocess.run(
        ["nm", "--dynamic", which, str(LIBRARY)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {line.split()[-1].split("@")[0] for line in symbols.splitlines()}


def test_library_has_its_own_cuda_runtime() -> None:
    """And does not use TensorFlow's, which is another version."""
    if not tlg.build_info()["cuda_archs"]:
        pytest.skip("the library was built without CUDA")
    needed = _dynamic_symbols("--undefined-only")
    assert any("tensorflow" in name for name in needed)
    assert {name for name in needed if "cuda" in name.lower()} == set()


def test_library_shows_only_its_own_functions() -> None:
    names = _dynamic_symbols("--defined-only")
    assert "tflrn_build_info" in names
    assert {name for name in names if not name.startswith("tflrn_")} == set()


def test_library_holds_no_path_of_the_machine_that_built_it() -> None:
    content = LIBRARY.read_bytes()
    assert os.fsencode(Path(tf.__file__).parent) not in content
    assert os.fsencode(ROOT) not in content


def _build_tools(
    code: str, root: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess:
    if not (ROOT / "build_tools").is_dir():
        pytest.skip("the pip build's scripts are not beside the tests")
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PATH": "/nonexistent", "CXX": ""}, "no C++ compiler found"),
        ({"CXX": "/nonexistent/g++ -v"}, "CXX: there is no /nonexistent/g++ here"),
        ({"CXX": "/nonexistent/distcc g++"}, "CXX: there is no /nonexistent/distcc"),
        ({"MAX_JOBS": "0"}, "MAX_JOBS must be a whole number above 0, not '0'"),
        ({"MAX_JOBS": "-1"}, "MAX_JOBS must be a whole number above 0, not '-1'"),
        ({"MAX_JOBS": "two"}, "MAX_JOBS must be a whole number above 0, not 'two'"),
        ({"TFLRN_CUDA": "yes"}, "TFLRN_CUDA must be 0 or 1, not 'yes'"),
        (
            {"TFLRN_CUDA": "1", "NVCC": "/nonexistent/nvcc", "CXX": sys.executable},
            "TFLRN_CUDA=1, but ",
        ),
    ],
)
def test_what_the_build_lacks_is_one_sentence(
    variables: dict[str, str], words: str
) -> None:
    run = _build_tools(
        "from build_tools import compile_library as c;"
        "c.find_compiler(), c.find_cuda(), c.max_jobs()",
        **{"TFLRN_CUDA": "0", **variables},
    )
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith("error: ")
    assert words in run.stderr


def test_max_jobs() -> None:
    jobs = "from build_tools.compile_library import max_jobs; print(max_jobs())"
    assert _build_tools(jobs, MAX_JOBS="99").stdout == "99\n"
    default = _build_tools(jobs, MAX_JOBS="")
    assert 1 <= int(default.stdout) <= len(os.sched_getaffinity(0)), default.stderr


@pytest.mark.parametrize(
    ("files", "available"),
    [
        ({}, sys.maxsize),
        ({"proc/meminfo": "MemFree: 1 kB\nMemAvailable:   3 kB\n"}, 3072),
        (
            {
                "proc/self/cgroup": "1:cpu:/a\n0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/memory.max": "4096\n",
                "sys/fs/cgroup/memory.max": "8192\n",
            },
            4096,
        ),
        (
            {
                "proc/meminfo": "MemAvailable:   3 kB\n",
                "proc/self/cgroup": "4:memory:/outside\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "2048\n",
            },
            2048,
        ),
    ],
    ids=["unknown", "system", "group", "container, version 1"],
)
def test_available_memory(
    tmp_path: Path, files: dict[str, str], available: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    run = _build_tools(
        "from pathlib import Path; from build_tools import compile_library as c;"
        f"print(c.available_memory(Path({str(tmp_path)!r})))"
    )
    assert run.stdout == f"{available}\n", run.stderr


@pytest.fixture
def ccache(tmp_path: Path) -> str:
    """A ccache that launches nothing."""
    launcher = tmp_path / "ccache"
    launcher.write_text("#!/bin/sh\nexit 1\n")
    launcher.chmod(0o755)
    return str(launcher)


def test_nvcc_gets_the_compiler_and_its_options(ccache: str) -> None:
    code = "from build_tools.compile_library import ccbin; print(ccbin())"
    run = _build_tools(code, CXX=f"{ccache} g++ -m64 '-DPAIR(a)=a, a'")
    options = ["-Xcompiler=-m64", r"-Xcompiler=-DPAIR(a)=a\, a"]
    assert run.stdout == f"{['-ccbin=g++', *options]}\n", run.stderr


def test_a_launcher_needs_a_compiler(ccache: str) -> None:
    code = "from build_tools.compile_library import find_compiler as f; f()"
    run = _build_tools(code, CXX=ccache)
    expected = f"error: CXX: there is no compiler after {ccache}\n"
    assert run.stderr == expected


@pytest.fixture
def nvcc_that_fails(tmp_path: Path) -> str:
    nvcc = tmp_path / "nvcc"
    nvcc.write_text(
        "#!/bin/sh\necho warning: old\necho 'error: g++ is too new'\nexit 1\n"
    )
    nvcc.chmod(0o755)
    return str(nvcc)


FIND_CUDA = "from build_tools.compile_library import find_cuda; print(*find_cuda())"


def test_without_nvcc_gpu_kernels_are_left_out() -> None:
    run = _build_tools(FIND_CUDA, TFLRN_CUDA="", NVCC="/nonexistent/nvcc")
    expected = "None GPU kernels are left out, since there is no /nonexistent/nvcc here"
    assert run.stdout.strip() == expected, run.stderr


def test_an_nvcc_that_does_not_work_is_as_none(nvcc_that_fails: str) -> None:
    run = _build_tools(FIND_CUDA, TFLRN_CUDA="", NVCC=nvcc_that_fails)
    assert run.stdout.startswith("None GPU kernels are left out, since "), run.stderr
    assert "cannot compile a kernel: error: g++ is too new" in run.stdout
    run = _build_tools(FIND_CUDA, TFLRN_CUDA="1", NVCC=nvcc_that_fails)
    assert run.returncode == 1
    assert run.stderr.startswith("error: TFLRN_CUDA=1, but ")
    assert "g++ is too new" in run.stderr


@pytest.fixture
def nvcc(tmp_path: Path) -> Path:
    """An nvcc that accepts anything, and logs its arguments to a file beside it."""
    nvcc = tmp_path / "nvcc"
    nvcc.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >>{tmp_path}/arguments\n'
        'case "$*" in\n'
        "*--list-gpu-arch*) printf 'compute_%s\\n' 75 80 90 100 110 ;;\n"
        """*--dryrun*) echo '#$ LIBRARIES=  "-L/the toolkit/lib" -L/more' ;;\n"""
        "esac\n"
    )
    nvcc.chmod(0o755)
    return nvcc


@pytest.mark.parametrize(
    ("wanted", "built_for"),
    [
        ("90 80", "sm_80, sm_90"),
        ("sm_90,80,", "sm_80, sm_90"),
        (" 80;90,80", "sm_80, sm_90"),
        ("100 90a 80", "sm_80, sm_90a, sm_100"),
        ("", "sm_75, sm_80, sm_90, sm_100"),
    ],
)
def test_the_newest_architecture_is_the_last(
    nvcc: Path, wanted: str, built_for: str
) -> None:
    """Later GPUs run its PTX. The default is all that both nvcc and we know."""
    variables = {"TFLRN_CUDA": "1", "NVCC": str(nvcc), "TFLRN_CUDA_ARCHS": wanted}
    run = _build_tools(FIND_CUDA, **variables)
    assert run.stdout.endswith(f" {nvcc}, for {built_for}\n"), run.stderr


def test_an_architecture_that_nvcc_does_not_know_is_an_error(nvcc: Path) -> None:
    variables = {"TFLRN_CUDA": "", "NVCC": str(nvcc), "TFLRN_CUDA_ARCHS": "90,70,9"}
    run = _build_tools(FIND_CUDA, **variables)
    assert run.returncode == 1
    assert run.stderr == (
        f"error: TFLRN_CUDA_ARCHS=90,70,9: {nvcc} does not know 9, 70; it knows 75, "
        "80, 90, 100, 110\n"
    )


def test_nvcc_says_where_its_libraries_are_and_is_told_the_compiler(nvcc: Path) -> None:
    run = _build_tools(
        "from build_tools.compile_library import find_cuda\n"
        "print(*find_cuda()[0].library_dirs, sep='|')",
        **{"TFLRN_CUDA": "1", "NVCC": str(nvcc), "CXX": "g++ -m64"},
    )
    assert run.stdout == "-L/the toolkit/lib|-L/more\n", run.stderr
    calls = nvcc.with_name("arguments").read_text().splitlines()
    assert len(calls) == 3
    told = "-ccbin=g++ -Xcompiler=-m64 "
    assert all(call.startswith(told) for call in calls), calls


@pytest.mark.parametrize("archs", [(), ("80", "90")])
def test_flags_for_gpu_kernels(archs: tuple[str, ...]) -> None:
    run = _build_tools(
        f"""
import json
from build_tools.compile_library import Cuda, flags

tensorflow = dict(version="2.21.0", has_xla_ffi=False, library_dir="/tf",
                  framework_library="libframework.so", cc_library=None,
                  compile_flags=[])
cuda = Cuda("nvcc", {archs}, ("-L/cuda",)) if {archs} else None
print(json.dumps(flags("1.0", tensorflow, cuda)))
"""
    )
    flags = json.loads(run.stdout)
    assert f"-DTFLRN_WITH_CUDA={int(bool(archs))}" in flags["cxx"]
    assert f'-DTFLRN_CUDA_ARCHS="{",".join(archs)}"' in flags["cxx"]
    assert "-DTFLRN_WITH_XLA=0" in flags["cxx"]
    targets = [flag for flag in flags["nvcc"] if flag.startswith("-gencode=")]
    # And PTX for the newest.
    assert targets == [
        f"-gencode=arch=compute_{arch},code={code}_{arch}"
        for arch, code in [*((arch, "sm") for arch in archs), ("90", "compute")]
        if archs
    ]
    link = flags["link"]
    # The linker takes a function from the first library that has it.
    runtime = ["-L/cuda", "-lcudart_static", "-ldl", "-lrt", "-lpthread"]
    found = [flag for flag in link if flag in runtime]
    assert found == (runtime if archs else [])
    assert link[-2:] == ["-L/tf", "-l:libframework.so"]


def test_nvcc_may_have_a_launcher_and_options(tmp_path: Path, ccache: str) -> None:
    """The launcher is not used to ask nvcc what it knows."""
    nvcc = tmp_path / "nvcc"
    nvcc.write_text("#!/bin/sh\n[ $1 = -v ] && echo compute_90\n")
    nvcc.chmod(0o755)
    run = _build_tools(FIND_CUDA, TFLRN_CUDA="1", NVCC=f"{ccache} {nvcc} -v")
    assert f"nvcc=('{ccache}', '{nvcc}', '-v')" in run.stdout, run.stderr
    run = _build_tools(FIND_CUDA, TFLRN_CUDA="1", NVCC=f"/none/ccache {nvcc}")
    assert "TFLRN_CUDA=1, but there is no /none/ccache here" in run.stderr


def test_gpu_kernels_can_be_left_out(nvcc_that_fails: str) -> None:
    run = _build_tools(FIND_CUDA, TFLRN_CUDA="0", NVCC=nvcc_that_fails)
    assert "GPU kernels are left out, since TFLRN_CUDA=0" in run.stdout, run.stderr


@pytest.mark.parametrize("there", [False, True])
def test_a_build_asks_for_tensorflow_only_where_there_is_none(there: bool) -> None:
    pytest.importorskip("setuptools")
    code = (
        "from build_tools import build_backend as b, find_tensorflow as f\n"
        f"f.environment = lambda: {'{}' if there else None}\n"
        "print(b.get_requires_for_build_wheel(), b.get_requires_for_build_editable())"
    )
    run = _build_tools(code, TFLRN_CUDA="0")
    newest = _build_tools("from build_tools.tensorflow_config import *; print(NEWEST)")
    wanted = [] if there else [f"tensorflow=={newest.stdout.strip()}.*"]
    assert run.stdout == f"{wanted} {wanted}\n", run.stderr
    # Anything else that is missing is reported before TensorFlow is downloaded.
    run = _build_tools(code, TFLRN_CUDA="0", CXX="/nonexistent/g++")
    assert run.stderr.startswith("error: CXX: there is no /nonexistent/g++ here")


def test_what_pip_hides_is_found(tmp_path: Path) -> None:
    """pip's build isolation takes the folders of packages off the path."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]"
    )
    run = _build_tools(
        "from build_tools import find_tensorflow as f;"
        "print(f.config()['version'], 'PYTHONPATH' in f.environment())",
        PYTHONPATH=str(tmp_path),
    )
    assert run.stdout == f"{tf.__version__} False\n", run.stderr


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("import os; os.kill(os.getpid(), 4)", "ended with exit status -4"),
        (
            "import os, sys; sys.stderr.write('a warning'); os.kill(os.getpid(), 4)",
            "ended with exit status -4 (a warning)",
        ),
        ("raise OSError('no such library')", "no such library"),
        ("raise RuntimeError('many\\nlines')", "(lines): pip install"),
        (
            "raise ImportError('a\\nstory') from OSError('a reason')",
            "(a reason): pip install",
        ),
    ],
)
def test_tensorflow_that_does_not_import(
    tmp_path: Path, package: str, words: str
) -> None:
    (tmp_path / "tensorflow.py").write_text(package)
    run = _build_tools(
        "from build_tools import find_tensorflow as f; f.config()",
        PYTHONPATH=str(tmp_path),
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("error: ")
    assert words in run.stderr.splitlines()[-1]


def test_what_is_printed_when_python_starts_does_not_matter() -> None:
    run = _build_tools(
        "from build_tools import find_tensorflow as f;"
        "f._PROBE = 'print(True, 1)' + f._PROBE;"
        "print(f.config()['version'])"
    )
    assert run.stdout.strip() == tf.__version__, run.stderr


def test_what_others_print_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('a plugin is here')")
    run = _build_tools(
        "from build_tools import find_tensorflow as f; print(f.config()['version'])",
        PYTHONPATH=str(tmp_path),
    )
    assert run.stdout.splitlines()[-1] == tf.__version__, run.stderr


@pytest.mark.parametrize(
    ("version", "too_old"),
    [
        ("2.17.1", True),
        ("2.9.3", True),
        ("1.15.0", True),
        ("2.18.0", False),
        ("3.0.0-rc1", False),
    ],
)
def test_tensorflow_that_is_too_old(
    tmp_path: Path, version: str, too_old: bool
) -> None:
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(
        f"__version__ = {version!r}\n"
        "class sysconfig:\n"
        f"    get_lib = get_include = staticmethod(lambda: {str(package)!r})\n"
    )
    run = _build_tools(
        "from build_tools import find_tensorflow as f; f.config()",
        PYTHONPATH=str(tmp_path),
    )
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert f"TensorFlow {version}" in run.stderr
    # A fake one that is new enough fails later: it has no library.
    assert ("is too old" in run.stderr) == too_old
    assert ("has no libtensorflow_framework" in run.stderr) != too_old


# The build backend, with a fake compiler and a fake TensorFlow ------------------------


class Project:
    """A copy of the source, with fakes that build it in seconds."""

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("setuptools") is None:
            pytest.skip("this Python has no setuptools")
        self.root = folder / "source"
        self.built = folder / "built"
        self.package = self.root / "tensorflow_lrn_grad"
        for name in ("build_tools", "cc", "tensorflow_lrn_grad"):
            ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.json")
            shutil.copytree(ROOT / name, self.root / name, ignore=ignored)
        for name in ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root)
        shutil.copy(ROOT / "setup.py", self.root)
        self.built.mkdir()
        # It writes the file that -o names.
        compiler = folder / "c++"
        compiler.write_text(
            """#!/bin/sh
            while [ $# -gt 0 ]; do [ "$1" != -o ] || file=$2; shift; done
            echo compiled | tee $file
            """
        )
        compiler.chmod(0o755)
        tensorflow = folder / "path" / "tensorflow"
        tensorflow.mkdir(parents=True)
        (tensorflow / "libtensorflow_framework.so.2").touch()
        (tensorflow / "__init__.py").write_text(
            "__version__ = '2.21.0'\n"
            "class sysconfig:\n"
            f"    get_lib = get_include = staticmethod(lambda: {str(tensorflow)!r})\n"
            "    get_compile_flags = staticmethod(lambda: [])\n"
        )
        self.variables = {
            "CXX": str(compiler),
            "TFLRN_CUDA": "0",
            "PYTHONPATH": str(tensorflow.parent),
        }

    def run(self, hook: str, settings: dict | None = None, before: str = "") -> str:
        """Calls a hook of the build backend; returns its output, even if it fails."""
        code = f"{before}\nfrom build_tools import build_backend as b\n"
        code += f"b.{hook}({str(self.built)!r}, {settings!r})"
        run = _build_tools(code, self.root, **self.variables)
        return run.stdout + run.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


# The superuser may write to read-only folders until it drops CAP_DAC_OVERRIDE.
BY_THE_RULES = """
import ctypes, os, sys
if "by_the_rules" not in os.environ:
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, effective at exec
    os.environ["by_the_rules"] = "1"
    os.execv(sys.executable, sys.orig_argv)
if os.access(".", os.W_OK):
    raise SystemExit("can be written")
"""


def _make_read_only(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)


def test_a_source_folder_may_be_read_only(project: Project) -> None:
    _make_read_only(project.root)
    printed = project.run("build_wheel", before=BY_THE_RULES)
    if "can be written" in printed:
        pytest.skip("this user can write to read-only folders")
    (wheel,) = project.built.glob("*.whl")
    assert "tensorflow_lrn_grad/_lrn_ops.so" in zipfile.ZipFile(wheel).namelist()
    # It fails early, not after minutes of compiling.
    printed = project.run("build_editable", before=BY_THE_RULES)
    assert "which is not writable: leave out --editable (-e)" in printed
    assert "linked" not in printed


def test_a_build_leaves_nothing_in_the_source_folder(project: Project) -> None:
    before = set(project.root.rglob("*"))
    printed = project.run(
        "build_wheel", before="import sys; sys.dont_write_bytecode = 1"
    )
    assert list(project.built.glob("*.whl")), printed
    assert set(project.root.rglob("*")) == before


@pytest.mark.parametrize("mode", ["lenient", "strict"])
def test_editable(project: Project, mode: str) -> None:
    """Strict: a folder of links to the files of the package, and to no others."""
    printed = project.run("build_editable", {"editable_mode": mode})
    assert list(project.built.glob("*.whl")), printed
    names = ("_lrn_ops.so", "_build_record.json")
    for name in names:
        assert (project.package / name).is_file()
    if mode == "strict":
        (links,) = project.root.glob("build/__editable__*/tensorflow_lrn_grad")
        for name in (*names, "ops.py"):
            assert (links / name).resolve() == project.package / name


def test_a_source_distribution_is_reproducible(project: Project) -> None:
    project.variables["SOURCE_DATE_EPOCH"] = "1700000000"
    archives = []
    for umask in (0o022, 0o077):
        for path in project.root.rglob("*"):
            path.chmod(0o777 & ~umask if path.is_dir() else 0o666 & ~umask)
            os.utime(path, (umask, umask))
        (project.root / "setup.py").chmod(0o777 & ~umask)
        printed = project.run("build_sdist", before=f"import os; os.umask({umask})")
        (archive,) = project.built.glob("*.tar.gz")
        archives.append(archive.read_bytes())
        with tarfile.open(archive) as tar:
            members = {m.name.partition("/")[2]: m for m in tar.getmembers()}
        archive.unlink()
    assert members["setup.py"].mode == 0o755, printed
    assert members["README.md"].mode == 0o644
    assert {(m.uid, m.uname, m.mtime) for m in members.values()} == {
        (0, "", 1700000000)
    }
    assert archives[0] == archives[1]
