// The OpKernels on the CPU: memory and threads. The arithmetic is in cc/cpu.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "cc/cpu/ops.h"
#include "cc/tf/rows_op.h"
#include "cc/tf/stock.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/types.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tflrn {
namespace {

// A device's threads, for cpu::ComputeShared.
class Workers {
 public:
  explicit Workers(const ::tensorflow::DeviceBase& device)
      : workers_(*device.tensorflow_cpu_worker_threads()) {}

  // At most as many as the calling thread may use.
  int64_t num_threads() const {
    return std::min(workers_.num_threads,
                    ::tensorflow::GetPerThreadMaxParallelism());
  }

  void Schedule(std::function<void()> task) {
    workers_.workers->Schedule(std::move(task));
  }

 private:
  const ::tensorflow::DeviceBase::CpuWorkerThreads& workers_;
};

template <class Op, class T>
class CpuOp final : public RowsOp<Op, T> {
 public:
  using RowsOp<Op, T>::RowsOp;

 private:
  using typename RowsOp<Op, T>::Tensors;

  void Run(::tensorflow::OpKernelContext* context,
           const Tensors& tensors) const override {
    Workers workers(*context->device());
    OP_REQUIRES(context, cpu::ComputeShared(workers, this->params(), tensors),
                absl::ResourceExhaustedError(cpu::NoScratchMessage(
                    this->type_string(), this->params(), tensors)));
  }
};

TFLRN_REGISTER_KERNELS(::tensorflow::DEVICE_CPU, CpuOp);

}  // namespace

void RegisterStockCpuKernels() {
  RegisterAboveStock<CpuOp>(::tensorflow::DEVICE_CPU);
}

}  // namespace tflrn
