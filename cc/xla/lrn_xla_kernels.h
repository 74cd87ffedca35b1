// The XLA kernels of the ops: what tf2xla calls to translate an op of a
// TensorFlow graph to HLO. They check the shapes and emit a custom call to the
// handler that computes the op.
#ifndef TFLRN_CC_XLA_LRN_XLA_KERNELS_H_
#define TFLRN_CC_XLA_LRN_XLA_KERNELS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cc/core/lrn_params.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"

namespace tflrn::xla_ops {

// The XLA devices that the kernels are for.
absl::Span<const absl::string_view> XlaDevices();

// The part that the ops have in common.
class CustomCallOp : public tensorflow::XlaOpKernel {
 public:
  void Compile(tensorflow::XlaOpKernelContext* context) final;

 protected:
  // `handler` and `input_names` live as long as the program.
  CustomCallOp(tensorflow::OpKernelConstruction* context, const char* handler,
               absl::Span<const char* const> input_names);

 private:
  const char* const handler_;
  const absl::Span<const char* const> input_names_;
  LrnParams params_;
};

class LrnXlaOp final : public CustomCallOp {
 public:
  explicit LrnXlaOp(tensorflow::OpKernelConstruction* context);
};

class LrnGradXlaOp final : public CustomCallOp {
 public:
  explicit LrnGradXlaOp(tensorflow::OpKernelConstruction* context);
};

class LrnGradFromInputXlaOp final : public CustomCallOp {
 public:
  explicit LrnGradFromInputXlaOp(tensorflow::OpKernelConstruction* context);
};

class LrnGradGradXlaOp final : public CustomCallOp {
 public:
  explicit LrnGradGradXlaOp(tensorflow::OpKernelConstruction* context);
};

}  // namespace tflrn::xla_ops

#endif  // TFLRN_CC_XLA_LRN_XLA_KERNELS_H_
