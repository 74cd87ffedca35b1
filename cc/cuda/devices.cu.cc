// What the CUDA runtime says about this machine's GPUs, and its error messages.
#include "cc/cuda/devices.h"

#include <string>

#include "cc/cuda/lrn_rows.h"
#include "cc/cuda/runtime.h"

// For example "80,90". Need not be defined where neither DevicesError nor
// ErrorMessage is called.
#ifndef TFLRN_CUDA_ARCHS
#define TFLRN_CUDA_ARCHS ""
#endif

namespace tflrn::cuda {

std::string DevicesError() {
  int count = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  for (int device = 0; error == cudaSuccess && device < count; ++device) {
    int major = 0, minor = 0;
    error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor,
                                   device);
    if (error != cudaSuccess) break;
    error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor,
                                   device);
    if (error != cudaSuccess) break;
    if (!RunsOn(TFLRN_CUDA_ARCHS, major, minor)) {
      return "GPU " + std::to_string(device) + " is an sm_" +
             std::to_string(10 * major + minor) +
             ", and the kernels are built for " TFLRN_CUDA_ARCHS;
    }
  }
  return error == cudaSuccess ? "" : cudaGetErrorString(error);
}

const char* ErrorMessage(int error) {
  if (error == cudaErrorNoKernelImageForDevice) {
    return "no kernel for this GPU: the library is built for " TFLRN_CUDA_ARCHS
           "; the environment variable TFLRN_CUDA_ARCHS of the build chooses";
  }
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

}  // namespace tflrn::cuda
