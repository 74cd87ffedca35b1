// Packs of values that a thread moves at once, and their conversion to and from
// the compute type.
#ifndef TFLRN_CC_CUDA_PACKS_H_
#define TFLRN_CC_CUDA_PACKS_H_

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cc/core/float16.h"
#include "cc/core/macros.h"
#include "cc/core/types.h"
#include "cc/cuda/runtime.h"

namespace tflrn::cuda {

// The widest memory access of a thread.
constexpr int kPackBytes = 16;

template <class T, int kLanes>
struct alignas(sizeof(T) * kLanes) Pack {
  T lanes[kLanes];
};

TFLRN_DEVICE float Widen(float value) { return value; }
TFLRN_DEVICE double Widen(double value) { return value; }
TFLRN_DEVICE float Widen(BFloat16 value) {
  return BFloat16BitsToFloat<float>(uint32_t{value.bits});
}
// The device converts in one instruction, to the same values as cc/core.
TFLRN_DEVICE float Widen(Half value) {
#ifdef __CUDA_ARCH__
  return __half2float(__ushort_as_half(value.bits));
#else
  return HalfBitsToFloat<float>(uint32_t{value.bits});
#endif
}

TFLRN_DEVICE void Narrow(float value, float* result) { *result = value; }
TFLRN_DEVICE void Narrow(double value, double* result) { *result = value; }
TFLRN_DEVICE void Narrow(float value, BFloat16* result) {
#ifdef __CUDA_ARCH__
  result->bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
#else
  result->bits = static_cast<uint16_t>(FloatToBFloat16Bits(value));
#endif
}
TFLRN_DEVICE void Narrow(float value, Half* result) {
#ifdef __CUDA_ARCH__
  result->bits = __half_as_ushort(__float2half_rn(value));
#else
  result->bits = static_cast<uint16_t>(FloatToHalfBits(value));
#endif
}

// Lane i of a pack, widened. Of two bfloat16 values in a word, each takes one
// instruction; the compiler takes two for the second one alone.
template <class T, int kLanes>
TFLRN_DEVICE typename ComputeType<T>::type Lane(const Pack<T, kLanes>& pack,
                                                int i) {
  if constexpr (std::is_same_v<T, BFloat16> && kLanes % 2 == 0) {
    uint32_t words[kLanes / 2];
    std::memcpy(words, &pack, sizeof(words));
    const uint32_t word = words[i / 2];
    return BitCast<float>(i % 2 == 0 ? word << 16 : word & 0xffff0000);
  } else {
    return Widen(pack.lanes[i]);
  }
}

template <class Compute, class T, int kLanes>
TFLRN_DEVICE Pack<T, kLanes> NarrowAll(const Compute (&values)[kLanes]) {
  Pack<T, kLanes> pack;
  TFLRN_UNROLL
  for (int i = 0; i < kLanes; ++i) Narrow(values[i], &pack.lanes[i]);
  return pack;
}

// Which lanes of a pack are in memory: all of them, at an address aligned to
// the size of the pack, or the first `count`, aligned to T.
struct Lanes {
  bool whole;
  int count;
};

// Lanes that are not in memory are 0. Then they add 0 to every window, since a
// gradient of 0 contributes nothing (cc/core/formulas.h).
template <int kLanes, class T>
TFLRN_DEVICE Pack<T, kLanes> Load(const T* from, Lanes lanes = {true, kLanes}) {
  if (lanes.whole) return *reinterpret_cast<const Pack<T, kLanes>*>(from);
  Pack<T, kLanes> pack = {};
  TFLRN_UNROLL
  for (int i = 0; i < kLanes; ++i) {
    if (i < lanes.count) pack.lanes[i] = from[i];
  }
  return pack;
}

template <class T, int kLanes>
TFLRN_DEVICE void Store(T* to, const Pack<T, kLanes>& pack,
                        Lanes lanes = {true, kLanes}) {
  if (lanes.whole) {
    *reinterpret_cast<Pack<T, kLanes>*>(to) = pack;
    return;
  }
  TFLRN_UNROLL
  for (int i = 0; i < kLanes; ++i) {
    if (i < lanes.count) to[i] = pack.lanes[i];
  }
}

}  // namespace tflrn::cuda

#endif  // TFLRN_CC_CUDA_PACKS_H_
