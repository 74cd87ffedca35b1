// The row kernels for every processor of the architecture: 128-bit vectors,
// which are SSE2 on x86-64 and NEON on AArch64.
#define TFLRN_TARGET kBaselineTarget
#define TFLRN_TARGET_NAME "baseline"
#define TFLRN_VECTOR_BYTES 16
#include "cc/cpu/lrn_rows-inl.h"
