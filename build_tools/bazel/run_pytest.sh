#!/bin/sh
# run_pytest.sh PYTHON TEST_FILE: runs the tests with the library that Bazel built.
set -eu

# In a copy: Bazel's folder consists of links into the source folder, where the
# loader would look for the library.
cp -rL . "$TEST_TMPDIR/copy"
cd "$TEST_TMPDIR/copy"
# In this process alone: Bazel runs several targets at once.
exec "$1" -m pytest --numprocesses=0 --junitxml="$XML_OUTPUT_FILE" \
  ${TESTBRIDGE_TEST_ONLY:+-k "$TESTBRIDGE_TEST_ONLY"} "$2"
