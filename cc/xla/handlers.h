// The contract between the XLA kernels (lrn_xla_kernels.cc), which run when a
// function is compiled, and the FFI handlers (host_handlers.cc,
// cuda_handlers.cc), which run when the compiled function is called.
//
// A name carries a version, since a saved compiled program names the handler
// that it was compiled for. To change the operands, results or attributes of a
// handler, add one with the next version.
//
// Operands and results: the inputs and outputs of the op, all of one shape of
// rank 4, in row-major layout, and of one type: F16, BF16, F32 or F64.
// Attributes: depth_radius as i64; bias, alpha and beta as f32.
#ifndef TFLRN_CC_XLA_HANDLERS_H_
#define TFLRN_CC_XLA_HANDLERS_H_

#include "cc/core/ops.h"

namespace tflrn::xla_ops {

constexpr char kLrnHandler[] = "tflrn.lrn.v1";
constexpr char kLrnGradHandler[] = "tflrn.lrn_grad.v1";
constexpr char kLrnGradFromInputHandler[] = "tflrn.lrn_grad_from_input.v1";
constexpr char kLrnGradGradHandler[] = "tflrn.lrn_grad_grad.v1";
constexpr char kLrnGradGradFromInputHandler[] =
    "tflrn.lrn_grad_grad_from_input.v1";

constexpr const char* HandlerName(Lrn) { return kLrnHandler; }
constexpr const char* HandlerName(LrnGrad) { return kLrnGradHandler; }
constexpr const char* HandlerName(LrnGradFromInput) {
  return kLrnGradFromInputHandler;
}
constexpr const char* HandlerName(LrnGradGrad) { return kLrnGradGradHandler; }
constexpr const char* HandlerName(LrnGradGradFromInput) {
  return kLrnGradGradFromInputHandler;
}

}  // namespace tflrn::xla_ops

#endif  // TFLRN_CC_XLA_HANDLERS_H_
