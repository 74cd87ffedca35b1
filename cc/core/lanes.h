// What the templates of cc/core need to know about a value type `V`: `float`,
// `double`, or a compiler vector of either, with one value per lane.
//
// cc/cpu specializes LaneTraits for its vectors. Arithmetic, comparison and
// `mask ? a : b` are the language's own for scalars and vectors alike.
#ifndef TFLRN_CC_CORE_LANES_H_
#define TFLRN_CC_CORE_LANES_H_

#include <cstdint>
#include <cstring>

#include "cc/core/macros.h"

namespace tflrn {

template <class V>
struct LaneTraits;

template <>
struct LaneTraits<float> {
  using Scalar = float;
  using Int = int32_t;
  using Unsigned = uint32_t;
  TFLRN_INLINE float FromInt(Int value) { return static_cast<float>(value); }
  TFLRN_INLINE float MultiplyAdd(float a, float b, float c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__CUDA_ARCH__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
  }
  static constexpr int kRootBits = 22;
  TFLRN_INLINE float ReciprocalRootEstimate(float v) {
    return 1 / __builtin_sqrtf(v);
  }
};

template <>
struct LaneTraits<double> {
  using Scalar = double;
  using Int = int64_t;
  using Unsigned = uint64_t;
  TFLRN_INLINE double FromInt(Int value) { return static_cast<double>(value); }
  TFLRN_INLINE double MultiplyAdd(double a, double b, double c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__CUDA_ARCH__)
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
  }
  static constexpr int kRootBits = 51;
  TFLRN_INLINE double ReciprocalRootEstimate(double v) {
    return 1 / __builtin_sqrt(v);
  }
};

// The constants of IEEE 754 binary32 and binary64 for bit manipulation.
template <class Scalar>
struct FloatFormat;

template <>
struct FloatFormat<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr int32_t kExponentMask = int32_t(0xFF800000);
  static constexpr int32_t kSignMask = int32_t(0x80000000);
  static constexpr int32_t kOne = 0x3F800000;       // The bits of 1,
  static constexpr int32_t kSqrtHalf = 0x3F3504F3;  // and of sqrt(1/2).
  static constexpr float kMinNormal = 0x1p-126f;
  static constexpr float kMax = 0x1.fffffep+127f;
  // Adding this to |t| < 2^22 puts the integer nearest to t into the low bits.
  static constexpr float kRounder = 0x1.8p23f;
  static constexpr int32_t kRounderBits = 0x4B400000;
};

template <>
struct FloatFormat<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr int64_t kExponentMask = int64_t(0xFFF0000000000000);
  static constexpr int64_t kSignMask = int64_t(0x8000000000000000);
  static constexpr int64_t kOne = 0x3FF0000000000000;
  static constexpr int64_t kSqrtHalf = 0x3FE6A09E667F3BCD;
  static constexpr double kMinNormal = 0x1p-1022;
  static constexpr double kMax = 0x1.fffffffffffffp+1023;
  static constexpr double kRounder = 0x1.8p52;
  static constexpr int64_t kRounderBits = 0x4338000000000000;
};

// `value` in each lane. Unlike x + 0, x - 0 is x even for -0, so the compiler
// drops the subtraction.
template <class V, class Scalar>
TFLRN_INLINE V Broadcast(Scalar value) {
  return value - V{};
}

// About v^-1/2 for a normal, positive v, with a relative error of at most
// 2^-LaneTraits<V>::kRootBits.
template <class V>
TFLRN_INLINE V ReciprocalRootEstimate(V v) {
  return LaneTraits<V>::ReciprocalRootEstimate(v);
}

// a * b + c, rounded once where the processor has an instruction for it. The
// choice is not left to the compiler (-ffp-contract=off): two inlined copies of
// a function could then give different bits.
template <class V>
TFLRN_INLINE V MultiplyAdd(V a, V b, V c) {
  return LaneTraits<V>::MultiplyAdd(a, b, c);
}

// The bits of `from` as a `To` of the same size.
template <class To, class From>
TFLRN_INLINE To BitCast(From from) {
  static_assert(sizeof(To) == sizeof(From), "a bit cast keeps the size");
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

}  // namespace tflrn

#endif  // TFLRN_CC_CORE_LANES_H_
