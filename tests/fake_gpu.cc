// A GPU that is none: TensorFlow lists it, and can do nothing with it. The
// tests load this where it matters that a machine has a GPU.
#include <memory>
#include <string>
#include <vector>

#include "tensorflow/core/framework/device.h"
#include "tensorflow/core/framework/device_factory.h"

namespace {

class FakeGpuFactory : public tensorflow::DeviceFactory {
 public:
  absl::Status ListPhysicalDevices(std::vector<std::string>* devices) override {
    devices->push_back("/physical_device:GPU:0");
    return absl::OkStatus();
  }

  absl::Status CreateDevices(
      const tensorflow::SessionOptions&, const std::string&,
      std::vector<std::unique_ptr<tensorflow::Device>>*) override {
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
