"""Stands in for rules_cc in the debian configuration of .bazelrc.

Bazel 4.2.3 has these rules built in; they are loaded from here.
"""

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
