// The OpKernels on the GPU: memory and the stream. The arithmetic is in
// cc/cuda, and no CUDA header is needed here.
#if TFLRN_WITH_CUDA

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/cuda/lrn_rows.h"
#include "cc/cuda/ops.h"
#include "cc/tf/rows_op.h"
#include "cc/tf/stock.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/framework/types.h"
#include "xla/stream_executor/stream.h"

namespace tflrn {
namespace {

// TensorFlow's compute stream, which also orders the use of memory: the
// workspace may be freed as soon as the work is launched. TensorFlow has made
// the stream's device current.
cuda::Stream StreamOf(::tensorflow::OpKernelContext* context) {
  return static_cast<cuda::Stream>(context->op_device_context()
                                       ->stream()
                                       ->platform_specific_handle()
                                       .stream);
}

template <class Op, class T>
class GpuOp final : public RowsOp<Op, T> {
 public:
  using RowsOp<Op, T>::RowsOp;

 private:
  using typename RowsOp<Op, T>::Tensors;

  void Run(::tensorflow::OpKernelContext* context,
           const Tensors& tensors) const override {
    const size_t bytes = cuda::WorkspaceBytes(this->params(), tensors);
    ::tensorflow::Tensor workspace;
    if (bytes > 0) {
      OP_REQUIRES_OK(context, context->allocate_temp(
                                  ::tensorflow::DT_UINT8,
                                  {static_cast<int64_t>(bytes)}, &workspace));
    }
    const int error = cuda::Launch(this->params(), tensors, workspace.data(),
                                   StreamOf(context));
    OP_REQUIRES(context, error == 0,
                absl::InternalError(absl::StrCat(this->type_string(), ": ",
                                                 cuda::ErrorMessage(error))));
  }
};

TFLRN_REGISTER_KERNELS(::tensorflow::DEVICE_GPU, GpuOp);

}  // namespace

void RegisterStockGpuKernels() {
  RegisterAboveStock<GpuOp>(::tensorflow::DEVICE_GPU);
}

}  // namespace tflrn

#endif  // TFLRN_WITH_CUDA
