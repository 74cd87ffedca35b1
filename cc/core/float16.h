// Conversion of the 16-bit types from and to float, by integer arithmetic
// alone, for scalars and vectors.
#ifndef TFLRN_CC_CORE_FLOAT16_H_
#define TFLRN_CC_CORE_FLOAT16_H_

#include <cstdint>

#include "cc/core/lanes.h"
#include "cc/core/macros.h"
#include "cc/core/types.h"

namespace tflrn {

// The lanes of the unsigned type `U` hold 16 bits of storage, and `V` is
// the float type with as many lanes. Conversion to 16 bits rounds to nearest
// even; a NaN stays a NaN.

template <class V, class U>
TFLRN_INLINE V BFloat16BitsToFloat(U bits) {
  return BitCast<V>(U(bits << 16));
}

// In the upper halves of the lanes; what is in the lower ones has no meaning. A
// NaN must have zeros there, as those have that 16 bits or the processor made.
template <class V>
TFLRN_INLINE typename LaneTraits<V>::Unsigned RoundToBFloat16(V value) {
  using U = typename LaneTraits<V>::Unsigned;
  const U bits = BitCast<U>(value);
  return bits + 0x7FFFu + ((bits >> 16) & 1u);
}

template <class V>
TFLRN_INLINE typename LaneTraits<V>::Unsigned FloatToBFloat16Bits(V value) {
  using U = typename LaneTraits<V>::Unsigned;
  const U quiet_nan = BitCast<U>(value) | 0x400000u;
  return (value == value ? RoundToBFloat16(value) : quiet_nan) >> 16;
}

template <class V, class U>
TFLRN_INLINE V HalfBitsToFloat(U bits) {
  const U exponent_mantissa = (bits & 0x7FFFu) << 13;
  // The product moves the exponent's bias, and normalizes denormal halves.
  const U finite = BitCast<U>(V(BitCast<V>(exponent_mantissa) * 0x1p112f));
  const U special = exponent_mantissa | 0x7F800000u;
  const U magnitude = exponent_mantissa < 0x0F800000u ? finite : special;
  return BitCast<V>(U(magnitude | ((bits & 0x8000u) << 16)));
}

template <class V>
TFLRN_INLINE typename LaneTraits<V>::Unsigned FloatToHalfBits(V value) {
  using U = typename LaneTraits<V>::Unsigned;
  const U bits = BitCast<U>(value);
  const U magnitude = bits & 0x7FFFFFFFu;
  const U sign = (bits >> 16) & 0x8000u;
  // Denormal halves are multiples of 2^-24, the unit of the last place of 0.5:
  // the addition rounds to them.
  const V shifted = BitCast<V>(magnitude) + 0.5f;
  const U denormal = BitCast<U>(shifted) - 0x3F000000u;
  // The exponent's bias changes from 127 to 15. What rounds past the largest
  // half becomes infinity by itself.
  const U odd = (magnitude >> 13) & 1u;
  const U normal = (magnitude - 0x38000000u + 0xFFFu + odd) >> 13;
  U half = magnitude < 0x38800000u ? denormal : normal;
  half = magnitude >= 0x47800000u ? U{} + 0x7C00u : half;
  half = magnitude > 0x7F800000u ? U{} + 0x7E00u : half;
  return half | sign;
}

}  // namespace tflrn

#endif  // TFLRN_CC_CORE_FLOAT16_H_
