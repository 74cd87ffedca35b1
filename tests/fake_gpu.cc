// A GPU that is none: TensorFlow lists it, and, where the environment variable
// FAKE_GPU_DEVICE is set, has a device for it, with the CPU's memory. The tests
// load this where it matters that a machine has a GPU.
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tensorflow/core/framework/allocator.h"
#include "tensorflow/core/framework/device.h"
#include "tensorflow/core/framework/device_attributes.pb.h"
#include "tensorflow/core/framework/device_factory.h"

namespace {

class FakeGpu : public tensorflow::Device {
 public:
  explicit FakeGpu(const std::string& name)
      : Device(tensorflow::Env::Default(),
               Device::BuildDeviceAttributes(name, "GPU",
                                             tensorflow::Bytes(1 << 20),
                                             tensorflow::DeviceLocality())) {}
  absl::Status Sync() override { return absl::OkStatus(); }
  tensorflow::Allocator* GetAllocator(
      tensorflow::AllocatorAttributes) override {
    return tensorflow::cpu_allocator();
  }
};

class FakeGpuFactory : public tensorflow::DeviceFactory {
 public:
  absl::Status ListPhysicalDevices(std::vector<std::string>* devices) override {
    devices->push_back("/physical_device:GPU:0");
    return absl::OkStatus();
  }

  absl::Status CreateDevices(
      const tensorflow::SessionOptions&, const std::string& prefix,
      std::vector<std::unique_ptr<tensorflow::Device>>* devices) override {
    if (std::getenv("FAKE_GPU_DEVICE") != nullptr) {
      devices->push_back(std::make_unique<FakeGpu>(prefix + "/device:GPU:0"));
    }
    return absl::OkStatus();
  }
};

// TensorFlow's own factory for GPUs has the priority 210; the highest wins.
const bool registered = [] {
  tensorflow::DeviceFactory::Register("GPU", std::make_unique<FakeGpuFactory>(),
                                      1000, false);
  return true;
}();

}  // namespace
