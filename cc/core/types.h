// The 16-bit storage types, and the type that each is computed in.
#ifndef TFLRN_CC_CORE_TYPES_H_
#define TFLRN_CC_CORE_TYPES_H_

#include <cstdint>

namespace tflrn {

// IEEE 754 binary16; the memory layout of Eigen::half and CUDA's __half.
struct Half {
  uint16_t bits;
};

// The upper 16 bits of a float; the memory layout of Eigen::bfloat16 and CUDA's
// __nv_bfloat16.
struct BFloat16 {
  uint16_t bits;
};

// The type in which values stored as T are computed.
template <class T>
struct ComputeType {
  using type = float;
};

template <>
struct ComputeType<double> {
  using type = double;
};

}  // namespace tflrn

#endif  // TFLRN_CC_CORE_TYPES_H_
