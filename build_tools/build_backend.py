"""The build backend that pyproject.toml names: setuptools', plus TensorFlow.

A wheel is built for one TensorFlow: the one in the environment that pip installs
into. Only if that has none does the backend require one, which pip then installs
into the build's own environment.
"""

from __future__ import annotations

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - the other hooks, as they are

from build_tools import compile_library, find_tensorflow
from build_tools.tensorflow_config import NEWEST


def get_requires_for_build_wheel(config_settings=None) -> list[str]:
    # These fail, if at all, before pip downloads half a gigabyte.
    compile_library.find_compiler()
    compile_library.find_cuda()
    compile_library.max_jobs()
    if find_tensorflow.environment() is not None:
        return []
    return [f"tensorflow=={NEWEST}.*"]


get_requires_for_build_editable = get_requires_for_build_wheel


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None) -> str:
    find_tensorflow.config()
    return build_meta.prepare_metadata_for_build_wheel(
        metadata_directory, config_settings
    )


def prepare_metadata_for_build_editable(
    metadata_directory, config_settings=None
) -> str:
    find_tensorflow.config()
    return build_meta.prepare_metadata_for_build_editable(
        metadata_directory, config_settings
    )
