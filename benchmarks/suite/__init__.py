"""What the commands in benchmarks/ have in common.

cases        what is measured: layers, types, radii, sizes
contenders   who is measured: our op, TensorFlow's, PyTorch's, oneDNN's, the memory
native       the C++ parts, compiled when they are needed
timing       interleaved timing, and how it is summed up
measure      verifies and times a group of cases, in a process of its own
machine      the hardware and the versions
results      the results of a run, and their file
goals        what the project wants of them
report       the tables, and the documents that show them
plots        the plots of these documents
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The build's flags and compiler; the oracle of the tests, which verifies here, too.
sys.path += [str(ROOT), str(ROOT / "tests")]
