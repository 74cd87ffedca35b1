// TFLRN_INLINE, for the functions in cc/core that are compiled for each
// instruction set and for the device, and TFLRN_UNROLL, for loops to unroll.
//
// To the linker, copies of an inline function compiled with different flags are
// one function, and it may keep the copy that an old CPU cannot run. So these
// functions are always inlined: no copy is ever emitted.
#ifndef TFLRN_CC_CORE_MACROS_H_
#define TFLRN_CC_CORE_MACROS_H_

#ifdef __CUDACC__
#define TFLRN_INLINE static __host__ __device__ __forceinline__
#else
#define TFLRN_INLINE static inline __attribute__((always_inline))
#endif

#ifdef __CUDA_ARCH__
#define TFLRN_UNROLL _Pragma("unroll")
#elif defined(__CUDACC__)
#define TFLRN_UNROLL  // nvcc's host code has no hot loops.
#else
#define TFLRN_UNROLL _Pragma("GCC unroll 64")
#endif

#endif  // TFLRN_CC_CORE_MACROS_H_
