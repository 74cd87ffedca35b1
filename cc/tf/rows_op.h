// What the OpKernels have in common on every device: attributes, shapes,
// outputs, and registration.
#ifndef TFLRN_CC_TF_ROWS_OP_H_
#define TFLRN_CC_TF_ROWS_OP_H_

#include <array>
#include <cstddef>

#include "absl/status/status.h"
#include "cc/core/lrn_params.h"
#include "cc/core/ops.h"
#include "cc/core/types.h"
#include "cc/tf/lrn_attributes.h"
#include "tensorflow/core/framework/kernel_def_builder.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/framework/types.h"

namespace tflrn {

// TensorFlow's element types as those of cc/core, which have the same layout.
template <class T>
struct StorageType {
  using type = T;
};
template <>
struct StorageType<Eigen::half> {
  using type = Half;
};
template <>
struct StorageType<Eigen::bfloat16> {
  using type = BFloat16;
};

// Inputs whose buffer an output may take over if nothing else needs it.
inline std::array<int, 1> ForwardableInputs(Lrn, int) { return {0}; }
inline std::array<int, 3> ForwardableInputs(LrnGrad, int) { return {0, 1, 2}; }
inline std::array<int, 2> ForwardableInputs(LrnGradFromInput, int) {
  return {0, 1};
}
// Each output belongs to the input at the next index: input 0 is grad_output.
inline std::array<int, 1> ForwardableInputs(LrnGradGrad, int output) {
  return {output + 1};
}
inline std::array<int, 1> ForwardableInputs(LrnGradGradFromInput, int output) {
  return {output + 1};
}

template <class Op, class T>
class RowsOp : public ::tensorflow::OpKernel {
 public:
  explicit RowsOp(::tensorflow::OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadAttributes(context, &params_));
  }

  void Compute(::tensorflow::OpKernelContext* context) final {
    OP_REQUIRES_OK(context, CheckShapes(context));
    const ::tensorflow::TensorShape& shape = context->input(0).shape();
    Tensors tensors;
    // Not Tensor::flat, which aborts the process on a buffer that is not
    // aligned for Eigen, such as one that came through DLPack.
    for (size_t i = 0; i < Op::kInputs; ++i) {
      tensors.in[i] = static_cast<const Storage*>(
          context->input(static_cast<int>(i)).data());
    }
    for (size_t i = 0; i < Op::kOutputs; ++i) {
      const int output = static_cast<int>(i);
      ::tensorflow::Tensor* tensor = nullptr;
      OP_REQUIRES_OK(context, context->forward_input_or_allocate_output(
                                  ForwardableInputs(Op(), output), output,
                                  shape, &tensor));
      tensors.out[i] = static_cast<Storage*>(tensor->data());
    }
    if (shape.num_elements() == 0) return;
    tensors.channels = shape.dim_size(kRank - 1);
    tensors.rows = shape.num_elements() / tensors.channels;
    Run(context, tensors);
  }

 protected:
  using Storage = typename StorageType<T>::type;
  using Tensors = RowTensors<Op, Storage>;

  // Computes the outputs, which have at least one element.
  virtual void Run(::tensorflow::OpKernelContext* context,
                   const Tensors& tensors) const = 0;

  const LrnParams& params() const { return params_; }

 private:
  static absl::Status CheckShapes(::tensorflow::OpKernelContext* context) {
    const ::tensorflow::TensorShape& first = context->input(0).shape();
    for (size_t i = 0; i < Op::kInputs; ++i) {
      const ::tensorflow::TensorShape& shape =
          context->input(static_cast<int>(i)).shape();
      if (shape.dims() != kRank) {
        return WrongRankError(Op::kInputNames[i], shape.DebugString());
      }
      if (shape != first) {
        return ShapeMismatchError(Op::kInputNames[i], shape.DebugString(),
                                  Op::kInputNames[0], first.DebugString());
      }
    }
    return absl::OkStatus();
  }

  LrnParams params_;
};

// Registers Kernel<Op, T>, derived from RowsOp<Op, T>, for the ops' types.
#define TFLRN_REGISTER_KERNELS(device, Kernel)                     \
  TFLRN_REGISTER_KERNELS_OF_TYPE(device, Kernel, Eigen::half);     \
  TFLRN_REGISTER_KERNELS_OF_TYPE(device, Kernel, Eigen::bfloat16); \
  TFLRN_REGISTER_KERNELS_OF_TYPE(device, Kernel, float);           \
  TFLRN_REGISTER_KERNELS_OF_TYPE(device, Kernel, double)
#define TFLRN_REGISTER_KERNELS_OF_TYPE(device, Kernel, T)                   \
  REGISTER_KERNEL_BUILDER(                                                  \
      Name("TFLRN>LRN").Device(device).TypeConstraint<T>("T"),              \
      Kernel<::tflrn::Lrn, T>);                                             \
  REGISTER_KERNEL_BUILDER(                                                  \
      Name("TFLRN>LRNGrad").Device(device).TypeConstraint<T>("T"),          \
      Kernel<::tflrn::LrnGrad, T>);                                         \
  REGISTER_KERNEL_BUILDER(                                                  \
      Name("TFLRN>LRNGradFromInput").Device(device).TypeConstraint<T>("T"), \
      Kernel<::tflrn::LrnGradFromInput, T>);                                \
  REGISTER_KERNEL_BUILDER(                                                  \
      Name("TFLRN>LRNGradGrad").Device(device).TypeConstraint<T>("T"),      \
      Kernel<::tflrn::LrnGradGrad, T>);                                     \
  REGISTER_KERNEL_BUILDER(Name("TFLRN>LRNGradGradFromInput")                \
                              .Device(device)                               \
                              .TypeConstraint<T>("T"),                      \
                          Kernel<::tflrn::LrnGradGradFromInput, T>)

// What REGISTER_KERNEL_BUILDER does, but when called rather than at load time.
// Priority 0, the default, is that of TensorFlow's own kernels.
template <class Kernel, class T>
void RegisterAboveStock(const char* op, const char* device) {
  const ::tensorflow::KernelDef* const definition =
      ::tensorflow::KernelDefBuilder(op)
          .Device(device)
          .TypeConstraint<T>("T")
          .Priority(1)
          .Build();
  ::tensorflow::kernel_factory::OpKernelRegistrar(
      definition, "tflrn",
      [](::tensorflow::OpKernelConstruction* context)
          -> ::tensorflow::OpKernel* { return new Kernel(context); });
}

// Registers Kernel<Op, T> for TensorFlow's own ops and all the types that they
// allow.
template <template <class Op, class T> class Kernel>
void RegisterAboveStock(const char* device) {
  const auto register_type = [device](auto zero) {
    using T = decltype(zero);
    RegisterAboveStock<Kernel<Lrn, T>, T>("LRN", device);
    RegisterAboveStock<Kernel<LrnGrad, T>, T>("LRNGrad", device);
  };
  register_type(Eigen::half());
  register_type(Eigen::bfloat16());
  register_type(float());
}

}  // namespace tflrn

#endif  // TFLRN_CC_TF_ROWS_OP_H_
