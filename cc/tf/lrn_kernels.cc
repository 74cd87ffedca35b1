// The OpKernels of TFLRN>LRN, TFLRN>LRNGrad and TFLRN>LRNGradGrad: validation,
// memory and threads. The arithmetic is in cc/cpu.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "cc/core/lrn_params.h"
#include "cc/core/types.h"
#include "cc/cpu/lrn_rows.h"
#include "cc/cpu/scratch.h"
#include "cc/tf/lrn_attributes.h"
#include "cc/tf/stock.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/framework/kernel_def_builder.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/framework/types.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tflrn {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

// TensorFlow's element types as those of cc/core, which have the same layout.
template <class T>
struct Storage {
  using type = T;
};
template <>
struct Storage<Eigen::half> {
  using type = Half;
};
template <>
struct Storage<Eigen::bfloat16> {
  using type = BFloat16;
};

// The elements. Not Tensor::flat, which aborts the process on a buffer that is
// not aligned for Eigen, such as one that came through DLPack.
template <class T>
const typename Storage<T>::type* Data(const Tensor& tensor) {
  return static_cast<const typename Storage<T>::type*>(tensor.data());
}

template <class T>
typename Storage<T>::type* Data(Tensor* tensor) {
  return static_cast<typename Storage<T>::type*>(tensor->data());
}

// The part that the ops have in common: all tensors of an op have one shape.
template <size_t kInputs, size_t kOutputs>
class RowsOp : public OpKernel {
 public:
  // `input_names` lives as long as the program.
  RowsOp(OpKernelConstruction* context, const InputNames<kInputs>& input_names)
      : OpKernel(context), input_names_(input_names) {
    OP_REQUIRES_OK(context, ReadAttributes(context, &params_));
  }

  void Compute(OpKernelContext* context) final {
    OP_REQUIRES_OK(context, CheckShapes(context));
    const TensorShape& shape = context->input(0).shape();
    std::array<Tensor*, kOutputs> outputs;
    for (size_t i = 0; i < kOutputs; ++i) {
      const int output = static_cast<int>(i);
      OP_REQUIRES_OK(
          context, context->forward_input_or_allocate_output(
                       ForwardableInputs(output), output, shape, &outputs[i]));
    }
    if (shape.num_elements() == 0) return;
    const int64_t channels = shape.dim_size(kRank - 1);
    const int64_t rows = shape.num_elements() / channels;
    const size_t scratch_bytes = cpu::ScratchBytes(params_, channels);
    std::atomic<bool> out_of_memory{false};
    const auto compute_range = [&](int64_t begin, int64_t end) {
      const cpu::ScratchMemory scratch = cpu::AllocateScratch(scratch_bytes);
      if (scratch == nullptr) {
        out_of_memory = true;
        return;
      }
      ComputeRows(*context, outputs, begin * channels, end - begin, channels,
                  scratch.get());
    };
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers.num_threads, workers.workers, rows,
                      CyclesPerRow(channels), compute_range);
    OP_REQUIRES(context, !out_of_memory,
                absl::ResourceExhaustedError(cpu::NoScratchMessage(
                    type_string(), scratch_bytes, channels)));
  }

 protected:
  // Inputs whose buffer an output may take over if nobody else needs it.
  virtual std::vector<int> ForwardableInputs(int output) const = 0;
  // Computes `rows` rows from element `offset` of every tensor on.
  virtual void ComputeRows(const OpKernelContext& context,
                           const std::array<Tensor*, kOutputs>& outputs,
                           int64_t offset, int64_t rows, int64_t channels,
                           void* scratch) const = 0;
  virtual int64_t CyclesPerRow(int64_t channels) const = 0;

  const LrnParams& params() const { return params_; }

 private:
  absl::Status CheckShapes(OpKernelContext* context) const {
    const TensorShape& first = context->input(0).shape();
    for (size_t i = 0; i < kInputs; ++i) {
      const TensorShape& shape = context->input(static_cast<int>(i)).shape();
      if (shape.dims() != kRank) {
        return WrongRankError(input_names_[i], shape.DebugString());
      }
      if (shape != first) {
        return ShapeMismatchError(input_names_[i], shape.DebugString(),
                                  input_names_[0], first.DebugString());
      }
    }
    return absl::OkStatus();
  }

  const InputNames<kInputs>& input_names_;
  LrnParams params_;
};

template <class T>
class LrnOp final : public RowsOp<1, 1> {
 public:
  explicit LrnOp(OpKernelConstruction* context)
      : RowsOp<1, 1>(context, kLrnInputs) {}

 private:
  std::vector<int> ForwardableInputs(int) const override { return {0}; }

  void ComputeRows(const OpKernelContext& context,
                   const std::array<Tensor*, 1>& outputs, int64_t offset,
                   int64_t rows, int64_t channels,
                   void* scratch) const override {
    cpu::LrnRows(params(), Data<T>(context.input(0)) + offset,
                 Data<T>(outputs[0]) + offset, rows, channels, scratch);
  }

  int64_t CyclesPerRow(int64_t channels) const override {
    return cpu::LrnCyclesPerRow(channels);
  }
};

template <class T>
class LrnGradOp final : public RowsOp<3, 1> {
 public:
  explicit LrnGradOp(OpKernelConstruction* context)
      : RowsOp<3, 1>(context, kLrnGradInputs) {}

 private:
  std::vector<int> ForwardableInputs(int) const override { return {0, 1, 2}; }

  void ComputeRows(const OpKernelContext& context,
                   const std::array<Tensor*, 1>& outputs, int64_t offset,
                   int64_t rows, int64_t channels,
                   void* scratch) const override {
    cpu::LrnGradRows(params(), Data<T>(context.input(0)) + offset,
                     Data<T>(context.input(1)) + offset,
                     Data<T>(context.input(2)) + offset,
                     Data<T>(outputs[0]) + offset, rows, channels, scratch);
  }

  int64_t CyclesPerRow(int64_t channels) const override {
    return cpu::LrnGradCyclesPerRow(channels);
  }
};

template <class T>
class LrnGradGradOp final : public RowsOp<4, 3> {
 public:
  explicit LrnGradGradOp(OpKernelConstruction* context)
      : RowsOp<4, 3>(context, kLrnGradGradInputs) {}

 private:
  // Each of the outputs belongs to the input after grad_output.
  std::vector<int> ForwardableInputs(int output) const override {
    return {output + 1};
  }

  void ComputeRows(const OpKernelContext& context,
                   const std::array<Tensor*, 3>& outputs, int64_t offset,
                   int64_t rows, int64_t channels,
                   void* scratch) const override {
    cpu::LrnGradGradRows(
        params(), Data<T>(context.input(0)) + offset,
        Data<T>(context.input(1)) + offset, Data<T>(context.input(2)) + offset,
        Data<T>(context.input(3)) + offset, Data<T>(outputs[0]) + offset,
        Data<T>(outputs[1]) + offset, Data<T>(outputs[2]) + offset, rows,
        channels, scratch);
  }

  int64_t CyclesPerRow(int64_t channels) const override {
    return cpu::LrnGradGradCyclesPerRow(channels);
  }
};

#define TFLRN_REGISTER_CPU_KERNEL(name, Kernel, T)                        \
  REGISTER_KERNEL_BUILDER(                                                \
      Name(name).Device(::tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
      Kernel<T>)
#define TFLRN_REGISTER_CPU_KERNELS(T)                       \
  TFLRN_REGISTER_CPU_KERNEL("TFLRN>LRN", LrnOp, T);         \
  TFLRN_REGISTER_CPU_KERNEL("TFLRN>LRNGrad", LrnGradOp, T); \
  TFLRN_REGISTER_CPU_KERNEL("TFLRN>LRNGradGrad", LrnGradGradOp, T)
TFLRN_REGISTER_CPU_KERNELS(Eigen::half);
TFLRN_REGISTER_CPU_KERNELS(Eigen::bfloat16);
TFLRN_REGISTER_CPU_KERNELS(float);
TFLRN_REGISTER_CPU_KERNELS(double);
#undef TFLRN_REGISTER_CPU_KERNELS
#undef TFLRN_REGISTER_CPU_KERNEL

// What REGISTER_KERNEL_BUILDER does, when it is called instead of at load.
// Priority 0, the default, is that of TensorFlow's own kernels.
template <class Kernel, class T>
void RegisterAboveStock(const char* op) {
  const ::tensorflow::KernelDef* const definition =
      ::tensorflow::KernelDefBuilder(op)
          .Device(::tensorflow::DEVICE_CPU)
          .TypeConstraint<T>("T")
          .Priority(1)
          .Build();
  ::tensorflow::kernel_factory::OpKernelRegistrar(
      definition, "tflrn", [](OpKernelConstruction* context) -> OpKernel* {
        return new Kernel(context);
      });
}

template <class T>
void RegisterAboveStock() {
  RegisterAboveStock<LrnOp<T>, T>("LRN");
  RegisterAboveStock<LrnGradOp<T>, T>("LRNGrad");
}

}  // namespace

void RegisterStockKernels() {
  // All the types that TensorFlow's LRN and LRNGrad allow.
  RegisterAboveStock<Eigen::half>();
  RegisterAboveStock<Eigen::bfloat16>();
  RegisterAboveStock<float>();
}

}  // namespace tflrn
