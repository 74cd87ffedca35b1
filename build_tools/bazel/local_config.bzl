"""The repository @local_config: what is installed here, and how to compile.

    config.bzl           CONFIG, the dictionary that config.py prints
    :tensorflow_headers
    :build_record.json   what the library is built for, as the loader reads it

It is regenerated when Bazel's server starts, because TensorFlow may have changed,
and when the environment or a file that config.py reads changes.
"""

# When one of these changes, the first is run again.
_SOURCES = [
    "//:build_tools/bazel/config.py",
    "//:build_tools/compile_library.py",
    "//:build_tools/tensorflow_config.py",
    "//:tensorflow_lrn_grad/_version.py",
]

_BUILD = """
load(":config.bzl", "CONFIG")

package(default_visibility = ["//visibility:public"])

exports_files(["build_record.json"])

cc_library(
    name = "tensorflow_headers",
    # The folder as one: listing its 18,000 files costs seconds per compilation.
    hdrs = ["include"],
    includes = CONFIG["includes"],
)
"""

def _local_config(context):
    python = context.which("python3")
    if not python:
        fail("no python3 on the PATH")
    sources = [context.path(Label(source)) for source in _SOURCES]
    run = context.execute([python, "-B", sources[0]])
    if run.return_code:
        # The last line is the error; TensorFlow's own output comes before it.
        fail(run.stderr.strip().split("\n")[-1])
    config = json.decode(run.stdout)
    print("CUDA: " + config["about_cuda"])  # buildifier: disable=print
    context.file("config.bzl", "CONFIG = %r\n" % config)
    context.file("build_record.json", json.encode(config["build_record"]) + "\n")
    context.file("BUILD", _BUILD)
    context.symlink(config["include"], "include")

local_config = repository_rule(
    implementation = _local_config,
    local = True,
    environ = [
        "CXX",
        "NVCC",
        "PATH",
        "PYTHONPATH",
        "TFLRN_CUDA",
        "TFLRN_CUDA_ARCHS",
    ],
)
