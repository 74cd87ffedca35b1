// The XLA kernels of the ops: what tf2xla calls to translate an op of a
// TensorFlow graph to HLO. They check the shapes and emit a custom call to the
// handler that computes the op.
#ifndef TFLRN_CC_XLA_LRN_XLA_KERNELS_H_
#define TFLRN_CC_XLA_LRN_XLA_KERNELS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cc/core/lrn_params.h"
#include "cc/xla/handlers.h"
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

template <class Op>
class RowsXlaOp final : public CustomCallOp {
 public:
  explicit RowsXlaOp(tensorflow::OpKernelConstruction* context)
      : CustomCallOp(context, HandlerName(Op()), Op::kInputNames) {}
};

}  // namespace tflrn::xla_ops

#endif  // TFLRN_CC_XLA_LRN_XLA_KERNELS_H_
