// Registers the handlers with the XLA inside TensorFlow.
#include "cc/xla/handler_call.h"
#include "cc/xla/handlers.h"
#include "xla/ffi/api/ffi.h"

namespace xla::ffi {
// TensorFlow has exported this since 2.20, XLA_FFI_GetApi only since 2.21.
const XLA_FFI_Api* GetXlaFfiApi();
}  // namespace xla::ffi

namespace tflrn::xla_ops {
namespace {

#define TFLRN_REGISTER_HANDLER(name, platform, symbol) \
  XLA_FFI_REGISTER_HANDLER(ffi::GetXlaFfiApi(), name, platform, symbol)

TFLRN_REGISTER_HANDLER(kLrnHandler, "Host", tflrn_lrn_host);
TFLRN_REGISTER_HANDLER(kLrnGradHandler, "Host", tflrn_lrn_grad_host);
TFLRN_REGISTER_HANDLER(kLrnGradFromInputHandler, "Host",
                       tflrn_lrn_grad_from_input_host);
TFLRN_REGISTER_HANDLER(kLrnGradGradHandler, "Host", tflrn_lrn_grad_grad_host);
TFLRN_REGISTER_HANDLER(kLrnGradGradFromInputHandler, "Host",
                       tflrn_lrn_grad_grad_from_input_host);
#if TFLRN_WITH_CUDA
TFLRN_REGISTER_HANDLER(kLrnHandler, "CUDA", tflrn_lrn_cuda);
TFLRN_REGISTER_HANDLER(kLrnGradHandler, "CUDA", tflrn_lrn_grad_cuda);
TFLRN_REGISTER_HANDLER(kLrnGradFromInputHandler, "CUDA",
                       tflrn_lrn_grad_from_input_cuda);
TFLRN_REGISTER_HANDLER(kLrnGradGradHandler, "CUDA", tflrn_lrn_grad_grad_cuda);
TFLRN_REGISTER_HANDLER(kLrnGradGradFromInputHandler, "CUDA",
                       tflrn_lrn_grad_grad_from_input_cuda);
#endif

#undef TFLRN_REGISTER_HANDLER

}  // namespace
}  // namespace tflrn::xla_ops
