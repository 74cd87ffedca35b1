#include "cc/xla/lrn_xla_kernels.h"

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cc/core/lanes.h"
#include "cc/core/lrn_params.h"
#include "cc/core/op_inputs.h"
#include "cc/core/ops.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"
#include "xla/hlo/builder/lib/constants.h"
#include "xla/hlo/builder/xla_builder.h"
#include "xla/layout_util.h"
#include "xla/service/hlo.pb.h"
#include "xla/shape.h"
#include "xla/shape_util.h"
#include "xla/xla_data.pb.h"

namespace tflrn::xla_ops {
namespace {

using ::tensorflow::OpKernelConstruction;
using ::tensorflow::XlaOpKernelContext;

// The attributes as the text of an MLIR dictionary, which is how a typed custom
// call carries them. Floats are written as their bits: TensorFlow's threads
// flush denormals to zero, even while printing them.
std::string AttributesAsMlir(const LrnParams& params) {
  std::string text;
  VisitParams(&params, [&](const char* name, const auto* value) {
    if constexpr (std::is_same_v<decltype(value), const float*>) {
      absl::StrAppendFormat(&text, "%s = 0x%08X : f32, ", name,
                            BitCast<uint32_t>(*value));
    } else {
      absl::StrAppendFormat(&text, "%s = %d : i64, ", name, *value);
    }
  });
  text.resize(text.size() - 2);  // The last comma.
  return absl::StrCat("{", text, "}");
}

// The shapes of the inputs, checked to be the same. Dimensions that depend on
// values count as their bounds: XLA cannot compare their sizes.
absl::StatusOr<std::vector<xla::Shape>> InputShapes(
    XlaOpKernelContext* context, absl::Span<const char* const> names) {
  std::vector<xla::Shape> shapes;
  const auto text = [](const xla::Shape& shape) {
    return absl::StrCat("[", absl::StrJoin(shape.dimensions(), ","), "]");
  };
  for (int i = 0; i < context->num_inputs(); ++i) {
    const absl::StatusOr<xla::Shape> shape = context->InputXlaShape(i);
    if (!shape.ok()) return shape.status();
    if (shape->dimensions().size() != kRank) {
      return absl::InvalidArgumentError(
          WrongRankMessage(names[i], text(*shape)));
    }
    shapes.push_back(*shape);
    if (shape->dimensions() != shapes[0].dimensions()) {
      return absl::InvalidArgumentError(ShapeMismatchMessage(
          names[i], text(*shape), names[0], text(shapes[0])));
    }
  }
  return shapes;
}

// The input, with zeros in the channels from `channels` on.
xla::XlaOp FirstChannels(xla::XlaOp input, const xla::Shape& shape,
                         xla::XlaOp channels) {
  const xla::XlaOp channel = xla::Iota(
      input.builder(), xla::ShapeUtil::MakeShape(xla::S32, shape.dimensions()),
      kRank - 1);
  return xla::Select(xla::Lt(channel, channels), input, xla::ZerosLike(input));
}

}  // namespace

CustomCallOp::CustomCallOp(OpKernelConstruction* context, const char* handler,
                           absl::Span<const char* const> input_names)
    : XlaOpKernel(context), handler_(handler), input_names_(input_names) {
  absl::Status status;
  VisitParams(&params_, [&](const char* name, auto* value) {
    status.Update(context->GetAttr(name, value));
  });
  OP_REQUIRES_OK(context, status);
  const std::string error = ValidateParams(params_);
  OP_REQUIRES(context, error.empty(), absl::InvalidArgumentError(error));
}

void CustomCallOp::Compile(XlaOpKernelContext* context) {
  const absl::StatusOr<std::vector<xla::Shape>> input_shapes =
      InputShapes(context, input_names_);
  OP_REQUIRES_OK(context, input_shapes.status());
  // The handlers read rows of contiguous channels, whatever layout the ops
  // around the call prefer.
  xla::Shape shape = xla::ShapeUtil::MakeStaticShape(input_shapes->front());
  *shape.mutable_layout() = xla::LayoutUtil::GetDefaultLayoutForShape(shape);

  // Where sizes depend on values, the custom call gets their bounds. Rows are
  // independent, so padding rows do no harm. Nor do padding channels, once all
  // the inputs are 0 there: their squares and terms are then 0 too.
  std::vector<xla::XlaOp> inputs;
  xla::XlaOp sizes[kRank];  // Of the dimensions that depend on values.
  bool is_dynamic[kRank] = {};
  for (int i = 0; i < context->num_inputs(); ++i) {
    inputs.push_back(context->Input(i));
    for (int d = 0; d < kRank; ++d) {
      if ((*input_shapes)[i].is_dynamic_dimension(d)) {
        sizes[d] = xla::GetDimensionSize(context->Input(i), d);
        is_dynamic[d] = true;
        inputs.back() = xla::RemoveDynamicDimension(inputs.back(), d);
      }
    }
  }
  if (is_dynamic[kRank - 1]) {
    for (xla::XlaOp& input : inputs) {
      input = FirstChannels(input, shape, sizes[kRank - 1]);
    }
  }
  const int outputs = context->num_outputs();
  const xla::Shape result_shape =
      outputs == 1 ? shape
                   : xla::ShapeUtil::MakeTupleShape(
                         std::vector<xla::Shape>(outputs, shape));
  const xla::XlaOp call = xla::CustomCallWithLayout(
      context->builder(), handler_, inputs, result_shape,
      std::vector<xla::Shape>(inputs.size(), shape), AttributesAsMlir(params_),
      /*has_side_effect=*/false, /*output_operand_aliasing=*/{},
      /*literal=*/nullptr, xla::CustomCallSchedule::SCHEDULE_NONE,
      xla::CustomCallApiVersion::API_VERSION_TYPED_FFI);
  for (int i = 0; i < outputs; ++i) {
    xla::XlaOp output = outputs == 1 ? call : xla::GetTupleElement(call, i);
    for (int d = 0; d < kRank; ++d) {
      if (is_dynamic[d]) output = xla::SetDimensionSize(output, sizes[d], d);
    }
    context->SetOutput(i, output);
  }
}

absl::Span<const absl::string_view> XlaDevices() {
  // Without handlers for GPUs there is no kernel for them either: compilation
  // for a GPU then reports that, instead of failing midway.
  static const absl::string_view devices[] = {
      tensorflow::DEVICE_CPU_XLA_JIT,
#if TFLRN_WITH_CUDA
      tensorflow::DEVICE_GPU_XLA_JIT,
#endif
  };
  return devices;
}

#define TFLRN_REGISTER_XLA_OP(name, Kernel) \
  REGISTER_XLA_OP(Name(name).Device(XlaDevices()), Kernel)
TFLRN_REGISTER_XLA_OP("TFLRN>LRN", RowsXlaOp<Lrn>);
TFLRN_REGISTER_XLA_OP("TFLRN>LRNGrad", RowsXlaOp<LrnGrad>);
TFLRN_REGISTER_XLA_OP("TFLRN>LRNGradFromInput", RowsXlaOp<LrnGradFromInput>);
TFLRN_REGISTER_XLA_OP("TFLRN>LRNGradGrad", RowsXlaOp<LrnGradGrad>);
TFLRN_REGISTER_XLA_OP("TFLRN>LRNGradGradFromInput",
                      RowsXlaOp<LrnGradGradFromInput>);
#undef TFLRN_REGISTER_XLA_OP

}  // namespace tflrn::xla_ops
