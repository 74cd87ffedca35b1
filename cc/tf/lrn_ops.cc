// The ops TFLRN>LRN, TFLRN>LRNGrad, TFLRN>LRNGradFromInput, TFLRN>LRNGradGrad
// and TFLRN>LRNGradGradFromInput: their signatures and shape functions.
#include "cc/core/lrn_params.h"
#include "cc/core/ops.h"
#include "cc/tf/lrn_attributes.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tflrn {
namespace {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

// The outputs have the common shape of the inputs: rank 4, and each dimension
// as known from any input. The error for a contradiction names the input.
template <class Op>
absl::Status CommonShape(InferenceContext* context) {
  constexpr auto& names = Op::kInputNames;
  LrnParams params;
  TF_RETURN_IF_ERROR(ReadAttributes(context, &params));
  ShapeHandle shape = context->UnknownShapeOfRank(kRank);
  for (size_t i = 0; i < Op::kInputs; ++i) {
    const ShapeHandle input = context->input(i);
    ShapeHandle ranked;
    if (!context->WithRank(input, kRank, &ranked).ok()) {
      return WrongRankError(names[i], context->DebugString(input));
    }
    ShapeHandle merged;
    if (!context->Merge(shape, ranked, &merged).ok()) {
      return ShapeMismatchError(names[i], context->DebugString(input), names[0],
                                context->DebugString(shape));
    }
    shape = merged;
  }
  for (int i = 0; i < context->num_outputs(); ++i) {
    context->set_output(i, shape);
  }
  return absl::OkStatus();
}

}  // namespace

#define TFLRN_ATTRIBUTES_DOC                                         \
  "depth_radius: 0 or more; half-width of the window of channels.\n" \
  "bias: Finite.\n"                                                  \
  "alpha: Finite.\n"                                                 \
  "beta: Finite.\n"

// The defaults of LrnParams, as text for the op registry.
#define TFLRN_REGISTER_OP(name)      \
  REGISTER_OP(name)                  \
      .Attr("depth_radius: int = 5") \
      .Attr("bias: float = 1.0")     \
      .Attr("alpha: float = 1.0")    \
      .Attr("beta: float = 0.5")     \
      .Attr("T: {half, bfloat16, float, double} = DT_FLOAT")

TFLRN_REGISTER_OP("TFLRN>LRN")
    .Input("input: T")
    .Output("output: T")
    .SetShapeFn(CommonShape<Lrn>)
    .Doc(R"doc(
Local Response Normalization over the last dimension of an NHWC tensor.

output_j = input_j * (bias + alpha * sum_k input_k^2)^-beta, where k runs over the
channels with |k - j| <= depth_radius.

input: 4-D.
output: The shape of `input`.
)doc" TFLRN_ATTRIBUTES_DOC);

TFLRN_REGISTER_OP("TFLRN>LRNGrad")
    .Input("input_grads: T")
    .Input("input_image: T")
    .Input("output_image: T")
    .Output("output: T")
    .SetShapeFn(CommonShape<LrnGrad>)
    .Doc(R"doc(
Gradient of Local Response Normalization.

With norm_j = bias + alpha * sum_k input_image_k^2, k in the window of j:
output_k = input_grads_k * norm_k^-beta - 2 * alpha * beta * input_image_k
* sum_j input_grads_j * output_image_j / norm_j, j in the window of k.

input_grads: 4-D; the gradient with respect to LRN's output. Where it is 0 it
  contributes nothing, whatever the norm.
input_image: LRN's input; the shape of `input_grads`.
output_image: LRN's output, taken as it is; the shape of `input_grads`.
output: The gradient with respect to LRN's input; the shape of the inputs.
)doc" TFLRN_ATTRIBUTES_DOC);

TFLRN_REGISTER_OP("TFLRN>LRNGradFromInput")
    .Input("input_grads: T")
    .Input("input_image: T")
    .Output("output: T")
    .SetShapeFn(CommonShape<LrnGradFromInput>)
    .Doc(R"doc(
Gradient of Local Response Normalization, without LRN's output.

LRNGrad with output_image_j = input_image_j * norm_j^-beta, which is not read from
memory, and not rounded to the type.

input_grads: 4-D; the gradient with respect to LRN's output. Where it is 0 it
  contributes nothing, whatever the norm.
input_image: LRN's input; the shape of `input_grads`.
output: The gradient with respect to LRN's input; the shape of the inputs.
)doc" TFLRN_ATTRIBUTES_DOC);

TFLRN_REGISTER_OP("TFLRN>LRNGradGrad")
    .Input("grad_output: T")
    .Input("input_grads: T")
    .Input("input_image: T")
    .Input("output_image: T")
    .Output("d_input_grads: T")
    .Output("d_input_image: T")
    .Output("d_output_image: T")
    .SetShapeFn(CommonShape<LrnGradGrad>)
    .Doc(R"doc(
Gradient of LRNGrad with respect to each of its three inputs.

With u = grad_output, dy = input_grads, x = input_image, y = output_image,
norm as in LRNGrad, and p_j = sum_k x_k * u_k, k in the window of j:
d_input_grads_j = u_j * norm_j^-beta - 2 * alpha * beta * y_j / norm_j * p_j,
d_output_image_j = -2 * alpha * beta * dy_j / norm_j * p_j,
d_input_image_m = -2 * alpha * beta * u_m * sum_j dy_j * y_j / norm_j
+ 2 * alpha * x_m * sum_j dy_j / norm_j
* (2 * alpha * beta * y_j * p_j / norm_j - beta * u_j * norm_j^-beta),
j in the window of m.

grad_output: 4-D; the gradient with respect to LRNGrad's output.
input_grads: LRNGrad's input; the shape of `grad_output`.
input_image: LRNGrad's input; the shape of `grad_output`.
output_image: LRNGrad's input, independent of `input_image`; the shape of
  `grad_output`.
d_input_grads: The gradient with respect to `input_grads`.
d_input_image: The gradient with respect to `input_image`.
d_output_image: The gradient with respect to `output_image`.
)doc" TFLRN_ATTRIBUTES_DOC);

TFLRN_REGISTER_OP("TFLRN>LRNGradGradFromInput")
    .Input("grad_output: T")
    .Input("input_grads: T")
    .Input("input_image: T")
    .Output("d_input_grads: T")
    .Output("d_input_image: T")
    .SetShapeFn(CommonShape<LrnGradGradFromInput>)
    .Doc(R"doc(
Gradient of LRNGradFromInput with respect to each of its two inputs.

LRNGradGrad with output_image_j = input_image_j * norm_j^-beta, which is not read from
memory, and not rounded to the type. d_input_image includes the gradient with respect
to output_image, passed on to input_image.

grad_output: 4-D; the gradient with respect to LRNGradFromInput's output.
input_grads: LRNGradFromInput's input; the shape of `grad_output`.
input_image: LRNGradFromInput's input; the shape of `grad_output`.
d_input_grads: The gradient with respect to `input_grads`.
d_input_image: The gradient with respect to `input_image`.
)doc" TFLRN_ATTRIBUTES_DOC);

#undef TFLRN_REGISTER_OP
#undef TFLRN_ATTRIBUTES_DOC

}  // namespace tflrn
