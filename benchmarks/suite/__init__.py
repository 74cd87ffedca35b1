"""Code shared by the commands in benchmarks/.

cases        what is measured: layers, types, radii, sizes
contenders   the implementations: ours, TensorFlow's, PyTorch's, oneDNN's, the memory
native       the C++ parts, compiled on demand
timing       interleaved timing and its summary
measure      verifies and times a group of cases in a separate process
machine      the hardware and the versions
results      the results of a run, and their file
goals        the project's performance goals
table        a table in Markdown
report       the tables, and the documents that show them
plots        the plots of these documents
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# For the build's compiler and flags, and the tests' oracle, which verifies results.
sys.path += [str(ROOT), str(ROOT / "tests")]
