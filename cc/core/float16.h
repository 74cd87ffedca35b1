// Conversions between the 16-bit types and float, for scalars and vectors,
// without the processor's conversion instructions.
#ifndef TFLRN_CC_CORE_FLOAT16_H_
#define TFLRN_CC_CORE_FLOAT16_H_

#include <cstdint>

#include "cc/core/lanes.h"
#include "cc/core/macros.h"
#include "cc/core/types.h"

namespace tflrn {

// Each lane of the unsigned type `U` holds 16 bits of storage; `V` is the float
// type with as many lanes. Conversion to 16 bits rounds to nearest even; a NaN
// stays a NaN.

template <class V, class U>
TFLRN_INLINE V BFloat16BitsToFloat(U bits) {
  return BitCast<V>(U(bits << 16));
}

// The result is in the upper half of each lane; the lower half is meaningless.
// The lower half of a NaN must be 0, as it is in NaNs that come from 16 bits or
// from the processor.
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
  // The product rebiases the exponent and normalizes denormal halves.
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
  // Denormal halves are multiples of 2^-24, the ulp of 0.5: the addition rounds
  // to them.
  const V shifted = BitCast<V>(magnitude) + 0.5f;
  const U denormal = BitCast<U>(shifted) - 0x3F000000u;
  // Rebiases the exponent from 127 to 15. A value that rounds past the largest
  // half carries over into infinity.
  const U odd = (magnitude >> 13) & 1u;
  const U normal = (magnitude - 0x38000000u + 0xFFFu + odd) >> 13;
  U half = magnitude < 0x38800000u ? denormal : normal;
  half = magnitude >= 0x47800000u ? U{} + 0x7C00u : half;
  half = magnitude > 0x7F800000u ? U{} + 0x7E00u : half;
  return half | sign;
}

}  // namespace tflrn

#endif  // TFLRN_CC_CORE_FLOAT16_H_
