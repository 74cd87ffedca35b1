// What the handlers (see handlers.h) share on all platforms: their symbols, and
// the checks of a call. Of XLA, it needs only xla/ffi/api/ffi.h, which JAX
// ships too.
#ifndef TFLRN_CC_XLA_HANDLER_CALL_H_
#define TFLRN_CC_XLA_HANDLER_CALL_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "cc/core/lrn_params.h"
#include "cc/core/op_inputs.h"
#include "cc/core/ops.h"
#include "cc/core/types.h"
#include "cc/xla/handlers.h"
#include "xla/ffi/api/ffi.h"

// The handlers as C functions, to be registered by TensorFlow
// (register_handlers.cc), or with JAX, by a program built from these sources.
XLA_FFI_DECLARE_HANDLER_SYMBOL(tflrn_lrn_host);
XLA_FFI_DECLARE_HANDLER_SYMBOL(tflrn_lrn_grad_host);
XLA_FFI_DECLARE_HANDLER_SYMBOL(tflrn_lrn_grad_from_input_host);
XLA_FFI_DECLARE_HANDLER_SYMBOL(tflrn_lrn_grad_grad_host);
XLA_FFI_DECLARE_HANDLER_SYMBOL(tflrn_lrn_grad_grad_from_input_host);
XLA_FFI_DECLARE_HANDLER_SYMBOL(tflrn_lrn_cuda);
XLA_FFI_DECLARE_HANDLER_SYMBOL(tflrn_lrn_grad_cuda);
XLA_FFI_DECLARE_HANDLER_SYMBOL(tflrn_lrn_grad_from_input_cuda);
XLA_FFI_DECLARE_HANDLER_SYMBOL(tflrn_lrn_grad_grad_cuda);
XLA_FFI_DECLARE_HANDLER_SYMBOL(tflrn_lrn_grad_grad_from_input_cuda);

namespace tflrn::xla_ops {

namespace ffi = ::xla::ffi;

// Errors begin with the handler's name.
template <class Op>
ffi::Error InvalidArgument(const std::string& message) {
  return ffi::Error::InvalidArgument(std::string(HandlerName(Op())) + ": " +
                                     message);
}

// The buffers of a call, checked: all of one shape and type.
template <class Op>
struct Buffers {
  std::array<const void*, Op::kInputs> inputs;
  std::array<void*, Op::kOutputs> outputs;
  ffi::DataType type;
  int64_t rows;
  int64_t channels;

  template <class T>
  RowTensors<Op, T> As() const {
    RowTensors<Op, T> tensors;
    for (size_t i = 0; i < Op::kInputs; ++i) {
      tensors.in[i] = static_cast<const T*>(inputs[i]);
    }
    for (size_t i = 0; i < Op::kOutputs; ++i) {
      tensors.out[i] = static_cast<T*>(outputs[i]);
    }
    tensors.rows = rows;
    tensors.channels = channels;
    return tensors;
  }
};

inline bool Alike(const ffi::AnyBuffer& a, const ffi::AnyBuffer& b) {
  const auto x = a.dimensions(), y = b.dimensions();
  return a.element_type() == b.element_type() &&
         std::equal(x.begin(), x.end(), y.begin(), y.end());
}

template <class Op>
ffi::Error ReadBuffers(const ffi::RemainingArgs& args,
                       const ffi::RemainingRets& rets, Buffers<Op>* buffers) {
  if (args.size() != Op::kInputs || rets.size() != Op::kOutputs) {
    return InvalidArgument<Op>(
        "must have " + std::to_string(Op::kInputs) + " operands and " +
        std::to_string(Op::kOutputs) + " results, but has " +
        std::to_string(args.size()) + " and " + std::to_string(rets.size()));
  }
  const auto first = args.get<ffi::AnyBuffer>(0);
  if (first.has_error()) return first.error();
  const auto dimensions = first->dimensions();
  if (dimensions.size() != kRank) {
    return InvalidArgument<Op>("buffers must have rank " +
                               std::to_string(kRank) + ", but have " +
                               std::to_string(dimensions.size()));
  }
  for (size_t i = 0; i < Op::kInputs; ++i) {
    const auto buffer = args.get<ffi::AnyBuffer>(i);
    if (buffer.has_error()) return buffer.error();
    if (!Alike(*buffer, *first)) {
      return InvalidArgument<Op>("operand " + std::to_string(i) +
                                 " must have the shape and type of operand 0");
    }
    buffers->inputs[i] = buffer->untyped_data();
  }
  for (size_t i = 0; i < Op::kOutputs; ++i) {
    auto buffer = rets.get<ffi::AnyBuffer>(i);
    if (buffer.has_error()) return buffer.error();
    if (!Alike(**buffer, *first)) {
      return InvalidArgument<Op>("result " + std::to_string(i) +
                                 " must have the shape and type of operand 0");
    }
    buffers->outputs[i] = (*buffer)->untyped_data();
  }
  buffers->type = first->element_type();
  buffers->rows = dimensions[0] * dimensions[1] * dimensions[2];
  buffers->channels = dimensions[3];
  return ffi::Error::Success();
}

template <class Op>
ffi::Error ReadAttributes(const ffi::Dictionary& attributes,
                          LrnParams* params) {
  ffi::Error error = ffi::Error::Success();
  size_t known = 0;
  VisitParams(params, [&](const char* name, auto* value) {
    ++known;
    const auto read =
        attributes.get<std::remove_pointer_t<decltype(value)>>(name);
    if (read.has_error()) {
      error = InvalidArgument<Op>("attribute " + std::string(name) + ": " +
                                  read.error().message());
    } else {
      *value = *read;
    }
  });
  if (error.failure()) return error;
  if (attributes.size() != known) {
    return InvalidArgument<Op>("has unknown attributes");
  }
  const std::string invalid = ValidateParams(*params);
  return invalid.empty() ? ffi::Error::Success() : InvalidArgument<Op>(invalid);
}

// Checks a call, and returns compute(params, tensors), where the tensors are
// RowTensors<Op, T> of the call's type. Without elements, compute is not
// called.
template <class Op, class Compute>
ffi::Error Handle(const ffi::RemainingArgs& args,
                  const ffi::RemainingRets& rets,
                  const ffi::Dictionary& attributes, const Compute& compute) {
  LrnParams params;
  ffi::Error error = ReadAttributes<Op>(attributes, &params);
  if (error.failure()) return error;
  Buffers<Op> buffers;
  error = ReadBuffers<Op>(args, rets, &buffers);
  if (error.failure()) return error;
  if (buffers.rows == 0 || buffers.channels == 0) return ffi::Error::Success();
  switch (buffers.type) {
    case ffi::DataType::F16:
      return compute(params, buffers.template As<Half>());
    case ffi::DataType::BF16:
      return compute(params, buffers.template As<BFloat16>());
    case ffi::DataType::F32:
      return compute(params, buffers.template As<float>());
    case ffi::DataType::F64:
      return compute(params, buffers.template As<double>());
    default:
      return InvalidArgument<Op>(
          "buffers must be of type F16, BF16, F32 or F64");
  }
}

}  // namespace tflrn::xla_ops

#endif  // TFLRN_CC_XLA_HANDLER_CALL_H_
