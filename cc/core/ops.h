// The ops as types, for code that differs between them only in the
// tensors and the function to call.
#ifndef TFLRN_CC_CORE_OPS_H_
#define TFLRN_CC_CORE_OPS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "cc/core/op_inputs.h"

namespace tflrn {

struct Lrn {
  static constexpr size_t kInputs = 1;
  static constexpr size_t kOutputs = 1;
  static constexpr InputNames<kInputs> kInputNames = {"input"};
};

struct LrnGrad {
  static constexpr size_t kInputs = 3;
  static constexpr size_t kOutputs = 1;
  static constexpr InputNames<kInputs> kInputNames = {
      "input_grads", "input_image", "output_image"};
};

// LrnGrad, with the output image that Lrn would compute.
struct LrnGradFromInput {
  static constexpr size_t kInputs = 2;
  static constexpr size_t kOutputs = 1;
  static constexpr InputNames<kInputs> kInputNames = {"input_grads",
                                                      "input_image"};
};

struct LrnGradGrad {
  static constexpr size_t kInputs = 4;
  static constexpr size_t kOutputs = 3;
  static constexpr InputNames<kInputs> kInputNames = {
      "grad_output", "input_grads", "input_image", "output_image"};
};

// LrnGradGrad, with the output image that Lrn would compute: the gradient of
// LrnGradFromInput.
struct LrnGradGradFromInput {
  static constexpr size_t kInputs = 3;
  static constexpr size_t kOutputs = 2;
  static constexpr InputNames<kInputs> kInputNames = {
      "grad_output", "input_grads", "input_image"};
};

// The tensors of one call of `Op`, in the op's order: each is `rows` rows of
// `channels` contiguous values.
template <class Op, class T>
struct RowTensors {
  std::array<const T*, Op::kInputs> in;
  std::array<T*, Op::kOutputs> out;
  int64_t rows;
  int64_t channels;

  // The rows [begin, end) of each tensor.
  RowTensors Range(int64_t begin, int64_t end) const {
    RowTensors range = *this;
    for (const T*& tensor : range.in) tensor += begin * channels;
    for (T*& tensor : range.out) tensor += begin * channels;
    range.rows = end - begin;
    return range;
  }
};

}  // namespace tflrn

#endif  // TFLRN_CC_CORE_OPS_H_
