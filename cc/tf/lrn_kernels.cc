// The OpKernels on the CPU: memory and threads. The arithmetic is in cc/cpu.
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "cc/cpu/lrn_rows.h"
#include "cc/cpu/ops.h"
#include "cc/cpu/scratch.h"
#include "cc/tf/rows_op.h"
#include "cc/tf/stock.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/types.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tflrn {
namespace {

template <class Op, class T>
class CpuOp final : public RowsOp<Op, T> {
 public:
  using RowsOp<Op, T>::RowsOp;

 private:
  using typename RowsOp<Op, T>::Tensors;

  void Run(::tensorflow::OpKernelContext* context,
           const Tensors& tensors) const override {
    std::atomic<bool> out_of_memory{false};
    const auto compute_range = [&](int64_t begin, int64_t end) {
      if (!cpu::Compute(this->params(), tensors.Range(begin, end))) {
        out_of_memory = true;
      }
    };
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    ::tensorflow::Shard(workers.num_threads, workers.workers, tensors.rows,
                        cpu::CyclesPerRow(this->params(), tensors),
                        compute_range);
    const size_t scratch_bytes =
        cpu::ScratchBytes(this->params(), tensors.channels);
    OP_REQUIRES(context, !out_of_memory,
                absl::ResourceExhaustedError(cpu::NoScratchMessage(
                    this->type_string(), scratch_bytes, tensors.channels)));
  }
};

TFLRN_REGISTER_KERNELS(::tensorflow::DEVICE_CPU, CpuOp);

}  // namespace

void RegisterStockCpuKernels() {
  RegisterAboveStock<CpuOp>(::tensorflow::DEVICE_CPU);
}

}  // namespace tflrn
