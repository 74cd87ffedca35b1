// Our XLA kernels under the names of TensorFlow's own ops, LRN and LRNGrad.
#include <string>

#include "absl/strings/string_view.h"
#include "cc/core/ops.h"
#include "cc/xla/lrn_xla_kernels.h"
#include "tensorflow/core/framework/kernel_def_builder.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tflrn {
namespace {

// TensorFlow's own lowering has priority 1.
template <class Kernel>
void RegisterAboveStock(const char* op) {
  for (const absl::string_view device : xla_ops::XlaDevices()) {
    const ::tensorflow::KernelDef* const definition =
        ::tensorflow::KernelDefBuilder(op)
            .Device(std::string(device).c_str())
            .Priority(2)
            .Build();
    ::tensorflow::kernel_factory::OpKernelRegistrar(
        definition, "tflrn",
        [](::tensorflow::OpKernelConstruction* context)
            -> ::tensorflow::OpKernel* { return new Kernel(context); });
  }
}

}  // namespace

// Declared in cc/tf/stock.cc, which calls it once.
void RegisterStockXlaKernels() {
  RegisterAboveStock<xla_ops::RowsXlaOp<Lrn>>("LRN");
  RegisterAboveStock<xla_ops::RowsXlaOp<LrnGrad>>("LRNGrad");
}

}  // namespace tflrn
