// Accelerates TensorFlow's own LRN and LRNGrad: when it is asked to, or when
// the library is loaded with TFLRN_ACCELERATE=1, also by a program without
// Python.
#include "cc/tf/stock.h"

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "absl/log/log.h"
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
// In cc/xla, whose headers nothing includes.
void RegisterStockXlaKernels();
#endif

namespace {

std::atomic<bool> accelerated{false};

// Whether there are GPUs for which this library has no kernels. Then ours would
// pull LRN off them (see stock.h).
bool HasUnservedGpus() {
  if (TFLRN_WITH_CUDA) return false;
  ::tensorflow::DeviceFactory* const factory =
      ::tensorflow::DeviceFactory::GetFactory(::tensorflow::DEVICE_GPU);
  std::vector<std::string> devices;
  return factory != nullptr && factory->ListPhysicalDevices(&devices).ok() &&
         !devices.empty();
}

}  // namespace
}  // namespace tflrn

// Runs TensorFlow's LRN and LRNGrad on our kernels from now on, wherever a
// kernel has not been made yet. From any thread, any number of times.
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

namespace tflrn {
namespace {

const bool at_load = [] {
  const char* const wish = std::getenv("TFLRN_ACCELERATE");
  if (wish == nullptr || std::string(wish) != "1") return false;
  if (HasUnservedGpus()) {
    LOG(WARNING) << "TFLRN_ACCELERATE=1 has no effect: tensorflow_lrn_grad was "
                    "built without GPU kernels, and its CPU kernels would pull "
                    "LRN off the GPUs of this machine. Build it with CUDA, or "
                    "hide the GPUs by CUDA_VISIBLE_DEVICES=-1.";
    return false;
  }
  tflrn_accelerate();
  return true;
}();

}  // namespace
}  // namespace tflrn
