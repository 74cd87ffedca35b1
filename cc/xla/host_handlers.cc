// The functions that XLA's compiled programs call on the CPU (see handlers.h).
// The arithmetic is in cc/cpu.
#include "cc/core/lrn_params.h"
#include "cc/cpu/ops.h"
#include "cc/xla/handler_call.h"
#include "xla/ffi/api/ffi.h"

namespace tflrn::xla_ops {
namespace {

template <class Op>
ffi::Error OnHost(ffi::ThreadPool pool, ffi::RemainingArgs args,
                  ffi::RemainingRets rets, ffi::Dictionary attributes) {
  const auto compute = [&](const LrnParams& params, const auto& tensors) {
    if (cpu::ComputeShared(pool, params, tensors)) {
      return ffi::Error::Success();
    }
    return ffi::Error(
        ffi::ErrorCode::kResourceExhausted,
        cpu::NoScratchMessage(HandlerName(Op()), params, tensors));
  };
  return Handle<Op>(args, rets, attributes, compute);
}

auto Binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .RemainingArgs()
      .RemainingRets()
      .Attrs();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(tflrn_lrn_host, OnHost<Lrn>, Binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(tflrn_lrn_grad_host, OnHost<LrnGrad>, Binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(tflrn_lrn_grad_from_input_host,
                              OnHost<LrnGradFromInput>, Binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(tflrn_lrn_grad_grad_host, OnHost<LrnGradGrad>,
                              Binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(tflrn_lrn_grad_grad_from_input_host,
                              OnHost<LrnGradGradFromInput>, Binding());

}  // namespace tflrn::xla_ops
