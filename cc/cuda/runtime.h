// The CUDA runtime. Without nvcc, files that include the kernels first include
// tests/cc/emulated_cuda.h, which declares what they use of it and runs them on
// the host.
#ifndef TFLRN_CC_CUDA_RUNTIME_H_
#define TFLRN_CC_CUDA_RUNTIME_H_

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#endif

#define TFLRN_DEVICE static __device__ __forceinline__

#endif  // TFLRN_CC_CUDA_RUNTIME_H_
