// The row kernels for x86-64 processors with AVX2, FMA and F16C (since 2013).
#ifdef __x86_64__
#define TFLRN_TARGET kAvx2Target
#define TFLRN_TARGET_NAME "avx2"
#define TFLRN_TARGET_ISA "avx2,fma,f16c"
#define TFLRN_VECTOR_BYTES 32
#include "cc/cpu/lrn_rows-inl.h"
#endif  // __x86_64__
