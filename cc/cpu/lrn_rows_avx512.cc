// The row kernels for x86-64 processors with AVX-512 F, BW, DQ and VL (since
// 2017).
#ifdef __x86_64__
#define TFLRN_TARGET kAvx512Target
#define TFLRN_TARGET_NAME "avx512"
#define TFLRN_TARGET_ISA "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#define TFLRN_VECTOR_BYTES 64
#include "cc/cpu/lrn_rows-inl.h"
#endif  // __x86_64__
