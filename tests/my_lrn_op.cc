// Ops of a project that is not this one, for the tests of
// register_lrn_gradient: MyLRN, an LRN with other defaults than TensorFlow's,
// which has no gradient of its own, and two ops that are no LRN.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace {

REGISTER_OP("MyLRN")
    .Input("images: float")
    .Output("normalized: float")
    .Attr("depth_radius: int = 3")
    .Attr("bias: float = 2.0")
    .Attr("alpha: float = 0.25")
    .Attr("beta: float = 0.75")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape);

REGISTER_OP("MyLRNWithoutBeta")
    .Input("images: float")
    .Output("normalized: float")
    .Attr("depth_radius: int = 3")
    .Attr("bias: float = 2.0")
    .Attr("alpha: float = 0.25")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape);

REGISTER_OP("MyLRNOfTwo")
    .Input("images: float")
    .Input("others: float")
    .Output("normalized: float")
    .Attr("depth_radius: int = 3")
    .Attr("bias: float = 2.0")
    .Attr("alpha: float = 0.25")
    .Attr("beta: float = 0.75")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape);

REGISTER_OP("MyLRNWithNorm")
    .Input("images: float")
    .Output("normalized: float")
    .Output("norm: float")
    .Attr("depth_radius: int = 3")
    .Attr("bias: float = 2.0")
    .Attr("alpha: float = 0.25")
    .Attr("beta: float = 0.75")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape);

class MyLrnOp : public tensorflow::OpKernel {
 public:
  explicit MyLrnOp(tensorflow::OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("depth_radius", &depth_radius_));
    OP_REQUIRES_OK(context, context->GetAttr("bias", &bias_));
    OP_REQUIRES_OK(context, context->GetAttr("alpha", &alpha_));
    OP_REQUIRES_OK(context, context->GetAttr("beta", &beta_));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    const tensorflow::Tensor& input = context->input(0);
    tensorflow::Tensor* output = nullptr;
    OP_REQUIRES_OK(context,
                   context->allocate_output(0, input.shape(), &output));
    const auto x = input.flat_inner_dims<float>();
    auto y = output->flat_inner_dims<float>();
    const int64_t channels = x.dimension(1);
    for (int64_t row = 0; row < x.dimension(0); ++row) {
      for (int64_t j = 0; j < channels; ++j) {
        float norm = bias_;
        const int64_t end = std::min(channels, j + depth_radius_ + 1);
        for (int64_t k = std::max<int64_t>(0, j - depth_radius_); k < end;
             ++k) {
          norm += alpha_ * x(row, k) * x(row, k);
        }
        y(row, j) = x(row, j) * std::pow(norm, -beta_);
      }
    }
  }

 private:
  int64_t depth_radius_;
  float bias_, alpha_, beta_;
};

REGISTER_KERNEL_BUILDER(Name("MyLRN").Device(tensorflow::DEVICE_CPU), MyLrnOp);

}  // namespace
