// The functions that XLA's compiled programs call on the CPU (see handlers.h).
// The arithmetic is in cc/cpu.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "cc/core/lrn_params.h"
#include "cc/core/op_inputs.h"
#include "cc/core/types.h"
#include "cc/cpu/lrn_rows.h"
#include "cc/cpu/scratch.h"
#include "cc/cpu/share_rows.h"
#include "cc/xla/handlers.h"
#include "xla/ffi/api/ffi.h"

namespace xla::ffi {
// TensorFlow exports this one since 2.20; XLA_FFI_GetApi only since 2.21.
const XLA_FFI_Api* GetXlaFfiApi();
}  // namespace xla::ffi

namespace tflrn::xla_ops {
namespace {

namespace ffi = ::xla::ffi;

// What a handler computes: `kInputs` and `kOutputs` tensors of one shape.
struct Lrn {
  static constexpr const char* kName = kLrnHandler;
  static constexpr size_t kInputs = 1;
  static constexpr size_t kOutputs = 1;

  template <class T>
  static void ComputeRows(const LrnParams& params,
                          const std::array<const T*, kInputs>& in,
                          const std::array<T*, kOutputs>& out, int64_t rows,
                          int64_t channels, void* scratch) {
    cpu::LrnRows(params, in[0], out[0], rows, channels, scratch);
  }

  static int64_t CyclesPerRow(int64_t channels) {
    return cpu::LrnCyclesPerRow(channels);
  }
};

struct LrnGrad {
  static constexpr const char* kName = kLrnGradHandler;
  static constexpr size_t kInputs = 3;
  static constexpr size_t kOutputs = 1;

  template <class T>
  static void ComputeRows(const LrnParams& params,
                          const std::array<const T*, kInputs>& in,
                          const std::array<T*, kOutputs>& out, int64_t rows,
                          int64_t channels, void* scratch) {
    cpu::LrnGradRows(params, in[0], in[1], in[2], out[0], rows, channels,
                     scratch);
  }

  static int64_t CyclesPerRow(int64_t channels) {
    return cpu::LrnGradCyclesPerRow(channels);
  }
};

struct LrnGradGrad {
  static constexpr const char* kName = kLrnGradGradHandler;
  static constexpr size_t kInputs = 4;
  static constexpr size_t kOutputs = 3;

  template <class T>
  static void ComputeRows(const LrnParams& params,
                          const std::array<const T*, kInputs>& in,
                          const std::array<T*, kOutputs>& out, int64_t rows,
                          int64_t channels, void* scratch) {
    cpu::LrnGradGradRows(params, in[0], in[1], in[2], in[3], out[0], out[1],
                         out[2], rows, channels, scratch);
  }

  static int64_t CyclesPerRow(int64_t channels) {
    return cpu::LrnGradGradCyclesPerRow(channels);
  }
};

ffi::Error InvalidArgument(const char* handler, const std::string& message) {
  return ffi::Error::InvalidArgument(std::string(handler) + ": " + message);
}

// The buffers of a call, checked: all of one shape and type.
template <class Op>
struct Buffers {
  std::array<const void*, Op::kInputs> inputs;
  std::array<void*, Op::kOutputs> outputs;
  ffi::DataType type;
  int64_t rows;
  int64_t channels;
};

bool Alike(const ffi::AnyBuffer& a, const ffi::AnyBuffer& b) {
  const auto x = a.dimensions(), y = b.dimensions();
  return a.element_type() == b.element_type() &&
         std::equal(x.begin(), x.end(), y.begin(), y.end());
}

template <class Op>
ffi::Error ReadBuffers(const ffi::RemainingArgs& args,
                       const ffi::RemainingRets& rets, Buffers<Op>* buffers) {
  if (args.size() != Op::kInputs || rets.size() != Op::kOutputs) {
    return InvalidArgument(
        Op::kName, "must have " + std::to_string(Op::kInputs) +
                       " operands and " + std::to_string(Op::kOutputs) +
                       " results, but has " + std::to_string(args.size()) +
                       " and " + std::to_string(rets.size()));
  }
  const auto first = args.get<ffi::AnyBuffer>(0);
  if (first.has_error()) return first.error();
  const auto dimensions = first->dimensions();
  if (dimensions.size() != kRank) {
    return InvalidArgument(
        Op::kName, "buffers must have rank " + std::to_string(kRank) +
                       ", but have " + std::to_string(dimensions.size()));
  }
  for (size_t i = 0; i < Op::kInputs; ++i) {
    const auto buffer = args.get<ffi::AnyBuffer>(i);
    if (buffer.has_error()) return buffer.error();
    if (!Alike(*buffer, *first)) {
      return InvalidArgument(Op::kName,
                             "operand " + std::to_string(i) +
                                 " must have the shape and type of operand 0");
    }
    buffers->inputs[i] = buffer->untyped_data();
  }
  for (size_t i = 0; i < Op::kOutputs; ++i) {
    auto buffer = rets.get<ffi::AnyBuffer>(i);
    if (buffer.has_error()) return buffer.error();
    if (!Alike(**buffer, *first)) {
      return InvalidArgument(Op::kName,
                             "result " + std::to_string(i) +
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
      error = InvalidArgument(Op::kName, "attribute " + std::string(name) +
                                             ": " + read.error().message());
    } else {
      *value = *read;
    }
  });
  if (error.failure()) return error;
  if (attributes.size() != known) {
    return InvalidArgument(Op::kName, "has attributes that are not its own");
  }
  const std::string invalid = ValidateParams(*params);
  return invalid.empty() ? ffi::Error::Success()
                         : InvalidArgument(Op::kName, invalid);
}

template <class Op, class T>
ffi::Error Compute(ffi::ThreadPool pool, const LrnParams& params,
                   const Buffers<Op>& buffers) {
  const int64_t channels = buffers.channels;
  const size_t scratch_bytes = cpu::ScratchBytes(params, channels);
  std::atomic<bool> out_of_memory{false};
  cpu::ShareRows(
      pool, buffers.rows, Op::CyclesPerRow(channels),
      [&](int64_t begin, int64_t end) {
        const cpu::ScratchMemory scratch = cpu::AllocateScratch(scratch_bytes);
        if (scratch == nullptr) {
          out_of_memory = true;
          return;
        }
        std::array<const T*, Op::kInputs> in;
        for (size_t i = 0; i < Op::kInputs; ++i) {
          in[i] = static_cast<const T*>(buffers.inputs[i]) + begin * channels;
        }
        std::array<T*, Op::kOutputs> out;
        for (size_t i = 0; i < Op::kOutputs; ++i) {
          out[i] = static_cast<T*>(buffers.outputs[i]) + begin * channels;
        }
        Op::ComputeRows(params, in, out, end - begin, channels, scratch.get());
      });
  if (out_of_memory) {
    return ffi::Error(
        ffi::ErrorCode::kResourceExhausted,
        cpu::NoScratchMessage(Op::kName, scratch_bytes, channels));
  }
  return ffi::Error::Success();
}

template <class Op>
ffi::Error Handle(ffi::ThreadPool pool, ffi::RemainingArgs args,
                  ffi::RemainingRets rets, ffi::Dictionary attributes) {
  LrnParams params;
  ffi::Error error = ReadAttributes<Op>(attributes, &params);
  if (error.failure()) return error;
  Buffers<Op> buffers;
  error = ReadBuffers<Op>(args, rets, &buffers);
  if (error.failure()) return error;
  if (buffers.rows == 0 || buffers.channels == 0) return ffi::Error::Success();
  switch (buffers.type) {
    case ffi::DataType::F16:
      return Compute<Op, Half>(pool, params, buffers);
    case ffi::DataType::BF16:
      return Compute<Op, BFloat16>(pool, params, buffers);
    case ffi::DataType::F32:
      return Compute<Op, float>(pool, params, buffers);
    case ffi::DataType::F64:
      return Compute<Op, double>(pool, params, buffers);
    default:
      return InvalidArgument(Op::kName,
                             "buffers must be of type F16, BF16, F32 or F64");
  }
}

auto Binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .RemainingArgs()
      .RemainingRets()
      .Attrs();
}

XLA_FFI_DEFINE_HANDLER(kLrnOnHost, Handle<Lrn>, Binding());
XLA_FFI_DEFINE_HANDLER(kLrnGradOnHost, Handle<LrnGrad>, Binding());
XLA_FFI_DEFINE_HANDLER(kLrnGradGradOnHost, Handle<LrnGradGrad>, Binding());
XLA_FFI_REGISTER_HANDLER(ffi::GetXlaFfiApi(), kLrnHandler, "Host", kLrnOnHost);
XLA_FFI_REGISTER_HANDLER(ffi::GetXlaFfiApi(), kLrnGradHandler, "Host",
                         kLrnGradOnHost);
XLA_FFI_REGISTER_HANDLER(ffi::GetXlaFfiApi(), kLrnGradGradHandler, "Host",
                         kLrnGradGradOnHost);

}  // namespace
}  // namespace tflrn::xla_ops
