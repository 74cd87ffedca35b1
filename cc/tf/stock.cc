// Accelerates TensorFlow's own LRN and LRNGrad: on request, or at load time
// with TFLRN_ACCELERATE=1, which also serves programs without Python.
#include "cc/tf/stock.h"

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "absl/log/log.h"
#include "cc/cuda/devices.h"
#include "tensorflow/core/framework/device_factory.h"
#include "tensorflow/core/framework/types.h"

#ifndef TFLRN_WITH_CUDA
#define TFLRN_WITH_CUDA 0
#endif
#ifndef TFLRN_WITH_XLA
#define TFLRN_WITH_XLA 0
#endif
#define TFLRN_EXPORT extern "C" __attribute__((visibility("default")))

namespace tflrn {

#if TFLRN_WITH_XLA
// Defined in cc/xla, whose headers nothing includes.
void RegisterStockXlaKernels();
#endif

namespace {

std::atomic<bool> accelerated{false};

// Whether TensorFlow finds GPUs here.
bool HasGpus() {
  ::tensorflow::DeviceFactory* const factory =
      ::tensorflow::DeviceFactory::GetFactory(::tensorflow::DEVICE_GPU);
  std::vector<std::string> devices;
  return factory != nullptr && factory->ListPhysicalDevices(&devices).ok() &&
         !devices.empty();
}

// Why the GPUs here cannot run this library's kernels, which would then fail
// there or pull LRN off them (see stock.h); empty if they can.
std::string GpuError() {
#if TFLRN_WITH_CUDA
  return tflrn::cuda::DevicesError();
#else
  return "it is built without CUDA";
#endif
}

}  // namespace
}  // namespace tflrn

// Runs TensorFlow's LRN and LRNGrad on our kernels from now on, wherever no
// kernel has been created yet. May be called from any thread, any number of
// times.
TFLRN_EXPORT void tflrn_accelerate() {
  static std::once_flag once;
  std::call_once(once, [] {
    tflrn::RegisterStockCpuKernels();
#if TFLRN_WITH_CUDA
    tflrn::RegisterStockGpuKernels();
#endif
#if TFLRN_WITH_XLA
    tflrn::RegisterStockXlaKernels();
#endif
    tflrn::accelerated = true;
  });
}

TFLRN_EXPORT bool tflrn_is_accelerated() { return tflrn::accelerated; }

// Why the GPUs here, if there are any, cannot run the kernels; empty if they
// can.
TFLRN_EXPORT const char* tflrn_gpu_error() {
  static const std::string* const error =
      new std::string(tflrn::GpuError());  // Never deleted.
  return error->c_str();
}

namespace tflrn {
namespace {

const bool at_load = [] {
  const char* const wish = std::getenv("TFLRN_ACCELERATE");
  if (wish == nullptr || std::string(wish) != "1") return false;
  if (const std::string error = HasGpus() ? tflrn_gpu_error() : "";
      !error.empty()) {
    LOG(WARNING) << "TFLRN_ACCELERATE=1 has no effect: tensorflow_lrn_grad has "
                    "no kernels for the GPUs of this machine ("
                 << error
                 << "), and its CPU kernels would pull LRN off them. Build it "
                    "with CUDA for these GPUs, or hide them with "
                    "CUDA_VISIBLE_DEVICES=-1.";
    return false;
  }
  tflrn_accelerate();
  return true;
}();

}  // namespace
}  // namespace tflrn
