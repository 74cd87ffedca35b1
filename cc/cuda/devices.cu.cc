// What the CUDA runtime says about this machine's GPUs, and its error messages.
#include "cc/cuda/devices.h"

#include <string>

#include "cc/cuda/lrn_rows.h"
#include "cc/cuda/runtime.h"

// For example "80,90". Need not be defined if DevicesError is never called.
#ifndef TFLRN_CUDA_ARCHS
#define TFLRN_CUDA_ARCHS ""
#endif

namespace tflrn::cuda {

std::string DevicesError() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return cudaGetErrorString(error);
  for (int device = 0; device < count; ++device) {
    int major = 0, minor = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
    if (!RunsOn(TFLRN_CUDA_ARCHS, major, minor)) {
      return "GPU " + std::to_string(device) + " is an sm_" +
             std::to_string(10 * major + minor) +
             ", and the kernels are built for " TFLRN_CUDA_ARCHS;
    }
  }
  return "";
}

const char* ErrorMessage(int error) {
  if (error == cudaErrorNoKernelImageForDevice) {
    return "no kernel for this GPU: the library is built for " TFLRN_CUDA_ARCHS
           "; the environment variable TFLRN_CUDA_ARCHS of the build chooses";
  }
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

}  // namespace tflrn::cuda
