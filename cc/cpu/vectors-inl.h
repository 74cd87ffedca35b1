// Vectors of the target instruction set: what the templates of cc/core need to
// know about them, loads and stores, and shifts of lanes. Included by
// lrn_rows-inl.h, which says why they are the compiler's own.
//
//   TFLRN_VECTOR_BYTES  the size of a vector
#ifndef TFLRN_CC_CPU_VECTORS_INL_H_
#define TFLRN_CC_CPU_VECTORS_INL_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "cc/core/float16.h"
#include "cc/core/lanes.h"
#include "cc/core/types.h"

// For functions that the compiler would not inline on its own.
#define TFLRN_MEMBER inline __attribute__((always_inline))

namespace tflrn {
namespace cpu {
namespace {

template <class Element, size_t kBytes>
struct VectorOf {
  typedef Element type __attribute__((vector_size(kBytes)));
};

// Float or double lanes, to compute in.
template <class Scalar>
using Vec = typename VectorOf<Scalar, TFLRN_VECTOR_BYTES>::type;

template <class Scalar>
constexpr int kLanes = TFLRN_VECTOR_BYTES / sizeof(Scalar);

}  // namespace
}  // namespace cpu

template <>
struct LaneTraits<cpu::Vec<float>> {
  using V = cpu::Vec<float>;
  using Scalar = float;
  using Int = cpu::Vec<int32_t>;
  using Unsigned = cpu::Vec<uint32_t>;
  TFLRN_INLINE V FromInt(Int value) {
    return __builtin_convertvector(value, V);
  }
  // Intrinsics, since the language has no name for this on vectors.
  TFLRN_INLINE V MultiplyAdd(V a, V b, V c) {
#if TFLRN_VECTOR_BYTES == 64
    return BitCast<V>(_mm512_fmadd_ps(BitCast<__m512>(a), BitCast<__m512>(b),
                                      BitCast<__m512>(c)));
#elif TFLRN_VECTOR_BYTES == 32
    return BitCast<V>(_mm256_fmadd_ps(BitCast<__m256>(a), BitCast<__m256>(b),
                                      BitCast<__m256>(c)));
#elif defined(__aarch64__)
    return BitCast<V>(vfmaq_f32(BitCast<float32x4_t>(c),
                                BitCast<float32x4_t>(a),
                                BitCast<float32x4_t>(b)));
#else
    return a * b + c;
#endif
  }
#if TFLRN_VECTOR_BYTES == 64
  static constexpr int kRootBits = 14;
  TFLRN_INLINE V ReciprocalRootEstimate(V v) {
    return BitCast<V>(_mm512_maskz_rsqrt14_ps(0xFFFF, BitCast<__m512>(v)));
  }
#elif TFLRN_VECTOR_BYTES == 32
  static constexpr int kRootBits = 11;
  TFLRN_INLINE V ReciprocalRootEstimate(V v) {
    return BitCast<V>(_mm256_rsqrt_ps(BitCast<__m256>(v)));
  }
#elif defined(__aarch64__)
  static constexpr int kRootBits = 8;
  TFLRN_INLINE V ReciprocalRootEstimate(V v) {
    return BitCast<V>(vrsqrteq_f32(BitCast<float32x4_t>(v)));
  }
#else
  static constexpr int kRootBits = 11;
  TFLRN_INLINE V ReciprocalRootEstimate(V v) {
    return BitCast<V>(_mm_rsqrt_ps(BitCast<__m128>(v)));
  }
#endif
};

template <>
struct LaneTraits<cpu::Vec<double>> {
  using V = cpu::Vec<double>;
  using Scalar = double;
  using Int = cpu::Vec<int64_t>;
  using Unsigned = cpu::Vec<uint64_t>;
  // Only AVX-512 can convert 64-bit integers. These are small: added to the
  // bits of 1.5 * 2^52, they become its low bits.
  TFLRN_INLINE V FromInt(Int value) {
    using Format = FloatFormat<double>;
    return BitCast<V>(Int(value + Format::kRounderBits)) - Format::kRounder;
  }
  TFLRN_INLINE V MultiplyAdd(V a, V b, V c) {
#if TFLRN_VECTOR_BYTES == 64
    return BitCast<V>(_mm512_fmadd_pd(BitCast<__m512d>(a), BitCast<__m512d>(b),
                                      BitCast<__m512d>(c)));
#elif TFLRN_VECTOR_BYTES == 32
    return BitCast<V>(_mm256_fmadd_pd(BitCast<__m256d>(a), BitCast<__m256d>(b),
                                      BitCast<__m256d>(c)));
#elif defined(__aarch64__)
    return BitCast<V>(vfmaq_f64(BitCast<float64x2_t>(c),
                                BitCast<float64x2_t>(a),
                                BitCast<float64x2_t>(b)));
#else
    return a * b + c;
#endif
  }
#if TFLRN_VECTOR_BYTES == 64
  static constexpr int kRootBits = 14;
  TFLRN_INLINE V ReciprocalRootEstimate(V v) {
    return BitCast<V>(_mm512_maskz_rsqrt14_pd(0xFF, BitCast<__m512d>(v)));
  }
#elif TFLRN_VECTOR_BYTES == 32
  // Before AVX-512, there is no estimate for double.
  static constexpr int kRootBits = 52;
  TFLRN_INLINE V ReciprocalRootEstimate(V v) {
    return 1.0 / BitCast<V>(_mm256_sqrt_pd(BitCast<__m256d>(v)));
  }
#elif defined(__aarch64__)
  static constexpr int kRootBits = 8;
  TFLRN_INLINE V ReciprocalRootEstimate(V v) {
    return BitCast<V>(vrsqrteq_f64(BitCast<float64x2_t>(v)));
  }
#else
  static constexpr int kRootBits = 52;
  TFLRN_INLINE V ReciprocalRootEstimate(V v) {
    return 1.0 / BitCast<V>(_mm_sqrt_pd(BitCast<__m128d>(v)));
  }
#endif
};

namespace cpu {
namespace {

// ---- Loads and stores of a vector of T, computed in Scalar.

using FloatVec = Vec<float>;
using DoubleVec = Vec<double>;
using FloatBits = Vec<uint32_t>;
using ShortVec = VectorOf<uint16_t, TFLRN_VECTOR_BYTES / 2>::type;

// Intrinsics, since GCC converts vectors of _Float16 lane by lane, and vectors
// of integers in halves: widening takes 4 instructions instead of 1.

// Not for AVX-512, which has better instructions for both types. They are used
// in their masked forms, since GCC 12 warns about undefined operands in the
// others.
#if TFLRN_VECTOR_BYTES != 64
TFLRN_INLINE FloatBits WidenBits(ShortVec bits) {
#if TFLRN_VECTOR_BYTES == 32
  return BitCast<FloatBits>(_mm256_cvtepu16_epi32(BitCast<__m128i>(bits)));
#else
  return __builtin_convertvector(bits, FloatBits);
#endif
}

// The lower halves of the lanes; the upper ones must be 0.
TFLRN_INLINE ShortVec NarrowBits(FloatBits bits) {
#if TFLRN_VECTOR_BYTES == 32
  const __m256i packed =
      _mm256_packus_epi32(BitCast<__m256i>(bits), BitCast<__m256i>(bits));
  return BitCast<ShortVec>(
      _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
#else
  return __builtin_convertvector(bits, ShortVec);
#endif
}
#else
// One permutation moves 16 bits into or out of the upper halves of lanes,
// instead of two instructions.
using FullShortVec = VectorOf<uint16_t, TFLRN_VECTOR_BYTES>::type;

template <int... kPlace>
TFLRN_INLINE FullShortVec LaneOfHalf(std::integer_sequence<int, kPlace...>) {
  return FullShortVec{(kPlace / 2)...};
}
template <int... kPlace>
TFLRN_INLINE FullShortVec
UpperHalfOfLane(std::integer_sequence<int, kPlace...>) {
  return FullShortVec{((2 * kPlace + 1) % sizeof...(kPlace))...};
}
// All even places, then all odd ones.
template <int... kPlace>
TFLRN_INLINE FullShortVec
EvenPlacesThenOdd(std::integer_sequence<int, kPlace...>) {
  constexpr int kCount = sizeof...(kPlace);
  return FullShortVec{(2 * kPlace % kCount + 2 * kPlace / kCount)...};
}
using HalfPlaces = std::make_integer_sequence<int, 2 * kLanes<float>>;
#endif  // TFLRN_VECTOR_BYTES != 64

TFLRN_INLINE FloatVec Widen(const BFloat16* p) {
  ShortVec bits;
  memcpy(&bits, p, sizeof(bits));
#if TFLRN_VECTOR_BYTES == 64
  const FullShortVec from = LaneOfHalf(HalfPlaces());
  return BitCast<FloatVec>(_mm512_maskz_permutexvar_epi16(
      0xAAAAAAAA, BitCast<__m512i>(from),
      _mm512_castsi256_si512(BitCast<__m256i>(bits))));
#else
  return BFloat16BitsToFloat<FloatVec>(WidenBits(bits));
#endif
}

// The lower half of a NaN is 0: it comes from 16 bits, or from the processor,
// since parameters are finite.
TFLRN_INLINE void Narrow(FloatVec value, BFloat16* p) {
  const FloatBits rounded = RoundToBFloat16(value);
#if TFLRN_VECTOR_BYTES == 64
  const FullShortVec from = UpperHalfOfLane(HalfPlaces());
  const __m512i bits = _mm512_maskz_permutexvar_epi16(
      0xFFFFFFFF, BitCast<__m512i>(from), BitCast<__m512i>(rounded));
#else
  const ShortVec bits = NarrowBits(rounded >> 16);
#endif
  memcpy(p, &bits, sizeof(ShortVec));
}

TFLRN_INLINE FloatVec Widen(const Half* p) {
  ShortVec bits;
  memcpy(&bits, p, sizeof(bits));
#if TFLRN_VECTOR_BYTES == 64
  return BitCast<FloatVec>(
      _mm512_maskz_cvtph_ps(0xFFFF, BitCast<__m256i>(bits)));
#elif TFLRN_VECTOR_BYTES == 32
  return BitCast<FloatVec>(_mm256_cvtph_ps(BitCast<__m128i>(bits)));
#else
  return HalfBitsToFloat<FloatVec>(WidenBits(bits));
#endif
}

TFLRN_INLINE void Narrow(FloatVec value, Half* p) {
#if TFLRN_VECTOR_BYTES == 64
  const auto bits = _mm512_maskz_cvtps_ph(0xFFFF, BitCast<__m512>(value),
                                          _MM_FROUND_TO_NEAREST_INT);
#elif TFLRN_VECTOR_BYTES == 32
  const auto bits =
      _mm256_cvtps_ph(BitCast<__m256>(value), _MM_FROUND_TO_NEAREST_INT);
#else
  const ShortVec bits = NarrowBits(FloatToHalfBits(value));
#endif
  memcpy(p, &bits, sizeof(bits));
}

TFLRN_INLINE FloatVec Widen(const float* p) {
  FloatVec value;
  memcpy(&value, p, sizeof(value));
  return value;
}

TFLRN_INLINE void Narrow(FloatVec value, float* p) {
  memcpy(p, &value, sizeof(value));
}

TFLRN_INLINE DoubleVec Widen(const double* p) {
  DoubleVec value;
  memcpy(&value, p, sizeof(value));
  return value;
}

TFLRN_INLINE void Narrow(DoubleVec value, double* p) {
  memcpy(p, &value, sizeof(value));
}

// ---- Two consecutive vectors.

template <int... kLane>
using LaneSequence = std::integer_sequence<int, kLane...>;
template <class V>
using LanesOf =
    std::make_integer_sequence<int, kLanes<typename LaneTraits<V>::Scalar>>;

// The lanes kSource... of both vectors, numbered consecutively.
template <int... kSource, class V>
TFLRN_INLINE V Shuffled(V first, V second) {
#ifdef __clang__
  return __builtin_shufflevector(first, second, kSource...);
#else
  using Int = typename LaneTraits<V>::Int;
  return __builtin_shuffle(first, second, Int{kSource...});
#endif
}

#if TFLRN_VECTOR_BYTES == 64
// Intrinsics, since GCC makes these general permutations, which overwrite an
// operand and need a register for their indices.
template <int kShift>
TFLRN_INLINE FloatVec ShiftedLanes(FloatVec first, FloatVec second) {
  return BitCast<FloatVec>(_mm512_maskz_alignr_epi32(
      0xFFFF, BitCast<__m512i>(second), BitCast<__m512i>(first), kShift));
}
template <int kShift>
TFLRN_INLINE DoubleVec ShiftedLanes(DoubleVec first, DoubleVec second) {
  return BitCast<DoubleVec>(_mm512_maskz_alignr_epi64(
      0xFF, BitCast<__m512i>(second), BitCast<__m512i>(first), kShift));
}
#else
template <int kShift, class V, int... kLane>
TFLRN_INLINE V ShiftedLanes(V first, V second, LaneSequence<kLane...>) {
  return Shuffled<(kShift + kLane)...>(first, second);
}
template <int kShift, class V>
TFLRN_INLINE V ShiftedLanes(V first, V second) {
  return ShiftedLanes<kShift>(first, second, LanesOf<V>());
}
#endif

// One vector of lanes, from kShift on, out of two consecutive vectors.
template <int kShift, class V>
TFLRN_INLINE V Shifted(V first, V second) {
  if constexpr (kShift == kLanes<typename LaneTraits<V>::Scalar>) {
    return second;
  } else {
    return ShiftedLanes<kShift>(first, second);
  }
}

// Every second lane from kFirst, 0 or 1, on.
template <int kFirst, class V, int... kLane>
TFLRN_INLINE V Deinterleave(V first, V second, LaneSequence<kLane...>) {
  return Shuffled<(kFirst + 2 * kLane)...>(first, second);
}

// The lanes of both, interleaved, from kFirst of each on.
template <int kFirst, class V, int... kLane>
TFLRN_INLINE V Interleave(V first, V second, LaneSequence<kLane...>) {
  constexpr int kCount = sizeof...(kLane);
  return Shuffled<(kFirst + kLane / 2 + kLane % 2 * kCount)...>(first, second);
}

// ---- Groups of vectors.

template <class Item, int kParts>
struct Group {
  Item part[kParts];
  TFLRN_MEMBER Item& operator[](int p) { return part[p]; }
  TFLRN_MEMBER const Item& operator[](int p) const { return part[p]; }
};

// The group of f(p) for each part p.
template <int kParts, class Function>
TFLRN_INLINE auto EachPart(const Function& f) -> Group<decltype(f(0)), kParts> {
  static_assert(kParts == 1 || kParts == 2, "f is called for each part");
  if constexpr (kParts == 1) {
    return {{f(0)}};
  } else {
    return {{f(0), f(1)}};
  }
}

template <class T, int kParts>
using GroupFor = Group<Vec<typename ComputeType<T>::type>, kParts>;
using FloatPairs = GroupFor<float, 2>;

// Two vectors, of the even and the odd elements.

template <class T>
TFLRN_INLINE GroupFor<T, 2> WidenPairs(const T* p) {
  using V = Vec<T>;
  const V first = Widen(p), second = Widen(p + kLanes<T>);
  return {{Deinterleave<0>(first, second, LanesOf<V>()),
           Deinterleave<1>(first, second, LanesOf<V>())}};
}

template <class T>
TFLRN_INLINE void NarrowPairs(const GroupFor<T, 2>& values, T* p) {
  using Scalar = typename ComputeType<T>::type;
  using V = Vec<Scalar>;
  constexpr int kStep = kLanes<Scalar>;
  Narrow(Interleave<0>(values[0], values[1], LanesOf<V>()), p);
  Narrow(Interleave<kStep / 2>(values[0], values[1], LanesOf<V>()), p + kStep);
}

// Two elements of a 16-bit type lie in 32 bits, the even one in the lower half:
// fewer instructions, but for storing half from AVX-512's vectors.

TFLRN_INLINE FloatPairs WidenPairs(const BFloat16* p) {
  FloatBits bits;
  memcpy(&bits, p, sizeof(bits));
  return {{BFloat16BitsToFloat<FloatVec>(bits),
           BitCast<FloatVec>(FloatBits(bits & 0xFFFF0000u))}};
}

TFLRN_INLINE void NarrowPairs(const FloatPairs& values, BFloat16* p) {
  const FloatBits even = RoundToBFloat16(values[0]);
  const FloatBits odd = RoundToBFloat16(values[1]);
  const FloatBits bits = (even >> 16) | (odd & 0xFFFF0000u);
  memcpy(p, &bits, sizeof(bits));
}

#if TFLRN_VECTOR_BYTES == 64
TFLRN_INLINE FloatPairs WidenPairs(const Half* p) {
  FullShortVec bits;
  memcpy(&bits, p, sizeof(bits));
  const FullShortVec from = EvenPlacesThenOdd(HalfPlaces());
  const __m512i sorted = _mm512_maskz_permutexvar_epi16(
      0xFFFFFFFF, BitCast<__m512i>(from), BitCast<__m512i>(bits));
  const __m256i even = _mm512_maskz_extracti64x4_epi64(0xF, sorted, 0);
  const __m256i odd = _mm512_maskz_extracti64x4_epi64(0xF, sorted, 1);
  return {{BitCast<FloatVec>(_mm512_maskz_cvtph_ps(0xFFFF, even)),
           BitCast<FloatVec>(_mm512_maskz_cvtph_ps(0xFFFF, odd))}};
}
#elif TFLRN_VECTOR_BYTES == 32
TFLRN_INLINE FloatPairs WidenPairs(const Half* p) {
  __m256i bits;
  memcpy(&bits, p, sizeof(bits));
  const __m256i even_then_odd =
      _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0,
                       1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
  const __m256i sorted =
      _mm256_permute4x64_epi64(_mm256_shuffle_epi8(bits, even_then_odd), 0xD8);
  const __m128i even = _mm256_castsi256_si128(sorted);
  const __m128i odd = _mm256_extracti128_si256(sorted, 1);
  return {{BitCast<FloatVec>(_mm256_cvtph_ps(even)),
           BitCast<FloatVec>(_mm256_cvtph_ps(odd))}};
}

TFLRN_INLINE void NarrowPairs(const FloatPairs& values, Half* p) {
  const auto even =
      _mm256_cvtps_ph(BitCast<__m256>(values[0]), _MM_FROUND_TO_NEAREST_INT);
  const auto odd =
      _mm256_cvtps_ph(BitCast<__m256>(values[1]), _MM_FROUND_TO_NEAREST_INT);
  const __m128i bits[] = {_mm_unpacklo_epi16(even, odd),
                          _mm_unpackhi_epi16(even, odd)};
  memcpy(p, bits, sizeof(bits));
}
#else
TFLRN_INLINE FloatPairs WidenPairs(const Half* p) {
  FloatBits bits;
  memcpy(&bits, p, sizeof(bits));
  return {{HalfBitsToFloat<FloatVec>(FloatBits(bits & 0xFFFFu)),
           HalfBitsToFloat<FloatVec>(FloatBits(bits >> 16))}};
}

TFLRN_INLINE void NarrowPairs(const FloatPairs& values, Half* p) {
  const FloatBits bits =
      FloatToHalfBits(values[0]) | (FloatToHalfBits(values[1]) << 16);
  memcpy(p, &bits, sizeof(bits));
}
#endif

// A group of one vector is in the order of memory; a group of two holds the
// even and the odd elements.
template <int kParts, class T>
TFLRN_INLINE GroupFor<T, kParts> WidenGroup(const T* p) {
  if constexpr (kParts == 1) {
    return {{Widen(p)}};
  } else {
    return WidenPairs(p);
  }
}

template <class T, int kParts>
TFLRN_INLINE void NarrowGroup(const GroupFor<T, kParts>& values, T* p) {
  if constexpr (kParts == 1) {
    Narrow(values[0], p);
  } else {
    NarrowPairs(values, p);
  }
}

// The group at p if `count` allows; otherwise the first `count` elements, and
// zeros.
template <int kParts, class T>
TFLRN_INLINE GroupFor<T, kParts> Load(const T* p, int64_t count) {
  constexpr int64_t kCount = kParts * kLanes<typename ComputeType<T>::type>;
  if (count >= kCount) return WidenGroup<kParts>(p);
  T padded[kCount] = {};
  for (int64_t k = 0; k < count; ++k) padded[k] = p[k];
  return WidenGroup<kParts>(padded);
}

template <class T, int kParts>
TFLRN_INLINE void Store(const GroupFor<T, kParts>& values, T* p,
                        int64_t count) {
  constexpr int64_t kCount = kParts * kLanes<typename ComputeType<T>::type>;
  if (count >= kCount) return NarrowGroup(values, p);
  T padded[kCount];
  NarrowGroup(values, padded);
  for (int64_t k = 0; k < count; ++k) p[k] = padded[k];
}

}  // namespace
}  // namespace cpu
}  // namespace tflrn

#endif  // TFLRN_CC_CPU_VECTORS_INL_H_
