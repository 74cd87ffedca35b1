// The functions that XLA's compiled programs call on a GPU (see handlers.h).
// The arithmetic is in cc/cuda, and no CUDA header is needed here.
#if TFLRN_WITH_CUDA

#include <cstddef>
#include <optional>
#include <string>

#include "cc/core/lrn_params.h"
#include "cc/cuda/lrn_rows.h"
#include "cc/cuda/ops.h"
#include "cc/xla/handler_call.h"
#include "xla/ffi/api/ffi.h"

namespace tflrn::xla_ops {
namespace {

// XLA has made the stream's device current. It takes the workspace back when
// the handler returns, and orders its next use after the work on the stream.
template <class Op>
ffi::Error OnCuda(cuda::Stream stream, ffi::ScratchAllocator memory,
                  ffi::RemainingArgs args, ffi::RemainingRets rets,
                  ffi::Dictionary attributes) {
  const auto compute = [&](const LrnParams& params, const auto& tensors) {
    constexpr const char* kName = HandlerName(Op());
    const size_t bytes = cuda::WorkspaceBytes(params, tensors);
    std::optional<void*> workspace = nullptr;
    if (bytes > 0) {
      workspace = memory.Allocate(bytes, cuda::kWorkspaceAlignment);
    }
    if (!workspace.has_value()) {
      return ffi::Error(ffi::ErrorCode::kResourceExhausted,
                        std::string(kName) + " could not allocate " +
                            std::to_string(bytes) +
                            " bytes of workspace on the GPU");
    }
    const int error = cuda::Launch(params, tensors, *workspace, stream);
    if (error == 0) return ffi::Error::Success();
    return ffi::Error::Internal(std::string(kName) + ": " +
                                cuda::ErrorMessage(error));
  };
  return Handle<Op>(args, rets, attributes, compute);
}

auto Binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::PlatformStream<cuda::Stream>>()
      .Ctx<ffi::ScratchAllocator>()
      .RemainingArgs()
      .RemainingRets()
      .Attrs();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(tflrn_lrn_cuda, OnCuda<Lrn>, Binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(tflrn_lrn_grad_cuda, OnCuda<LrnGrad>, Binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(tflrn_lrn_grad_from_input_cuda,
                              OnCuda<LrnGradFromInput>, Binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(tflrn_lrn_grad_grad_cuda, OnCuda<LrnGradGrad>,
                              Binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(tflrn_lrn_grad_grad_from_input_cuda,
                              OnCuda<LrnGradGradFromInput>, Binding());

}  // namespace tflrn::xla_ops

#endif  // TFLRN_WITH_CUDA
