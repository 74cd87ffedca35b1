// The rank and the names of the ops' inputs, and the messages about wrong
// shapes, shared by cc/tf and cc/xla.
#ifndef TFLRN_CC_CORE_OP_INPUTS_H_
#define TFLRN_CC_CORE_OP_INPUTS_H_

#include <array>
#include <cstddef>
#include <string>

namespace tflrn {

// Batch, height, width, channels.
constexpr int kRank = 4;

// The inputs of the ops, as messages name them.
template <size_t kInputs>
using InputNames = std::array<const char*, kInputs>;

inline std::string WrongRankMessage(const std::string& name,
                                    const std::string& shape) {
  return name + " must have " + std::to_string(kRank) +
         " dimensions (batch, height, width, channels), but has shape " + shape;
}

inline std::string ShapeMismatchMessage(const std::string& name,
                                        const std::string& shape,
                                        const std::string& first_name,
                                        const std::string& first_shape) {
  return name + " must have the shape of " + first_name + ", " + first_shape +
         ", but has shape " + shape;
}

}  // namespace tflrn

#endif  // TFLRN_CC_CORE_OP_INPUTS_H_
