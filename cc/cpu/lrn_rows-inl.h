// The row kernels, compiled once for each instruction set: included by
// lrn_rows_<target>.cc, which define
//
//   TFLRN_TARGET        the name of the Target (targets.h) to define
//   TFLRN_TARGET_NAME   its name for users
//   TFLRN_TARGET_ISA    instruction sets, if not the compiler's default
//   TFLRN_VECTOR_BYTES  the size of a vector
//
// Vectors are the compiler's own (the vector_size attribute of GCC and Clang).
// Against the alternatives: they need no dependency, and intrinsics only for
// operations that the language has no name for (fused multiply-adds, estimates
// of roots) or that GCC makes several instructions of (conversions, shifts of
// lanes); they serve x86-64 and AArch64 alike; and unlike loops left to the
// vectorizer they do not lose their speed silently. Highway is not on PyPI, so
// that pip could not install it; std::experimental::simd has no Clang support
// to rely on.
//
// Up to a radius of a vector's lanes, a kernel is one pass through the tensors,
// which are seen as flat arrays of vectors. Window sums are made in registers,
// from a vector and its neighbours: a vector's norms are made after the squares
// of the next one, and its results after the next one's terms. The number of
// channels needs not be a multiple of the lanes: where a window crosses the end
// of a row, a mask of channel numbers cuts it.
//
// Why in registers: of 64-byte loads at any address, most touch two cache
// lines, which takes an EPYC of 2024 2.6 cycles where a shift of two registers
// takes 0.5. LRNGrad on AVX-512, as multiples of the time of a loop that only
// moves the bytes: 1.6 by three passes over blocks of rows in L1, and 1.0 so;
// at radius 5, 2.6 and 1.1.
//
// Larger windows are summed row by row through memory.
//
// Everything here has internal linkage, and what is included from cc/core is
// always inlined: nothing compiled for this instruction set can be taken by the
// linker for another file's.

// Standard headers come before the pragma, so that their inline functions are
// compiled for the baseline.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "cc/core/lrn_params.h"
#include "cc/cpu/blocking.h"
#include "cc/cpu/targets.h"

// GCC lowers vector arithmetic for the instruction set that is in force where a
// function is defined, also where it is inlined into another.
#ifdef TFLRN_CC_CORE_LANES_H_
#error "The vector templates of cc/core must be included below the pragma."
#endif

#ifdef TFLRN_TARGET_ISA
#define TFLRN_PRAGMA(x) _Pragma(#x)
#ifdef __clang__
#define TFLRN_BEGIN_TARGET(isa) \
  TFLRN_PRAGMA(                 \
      clang attribute push(__attribute__((target(isa))), apply_to = function))
#else
#define TFLRN_BEGIN_TARGET(isa) TFLRN_PRAGMA(GCC target(isa))
#endif
TFLRN_BEGIN_TARGET(TFLRN_TARGET_ISA)
#endif  // TFLRN_TARGET_ISA

#include "cc/core/float16.h"
#include "cc/core/formulas.h"
#include "cc/core/lanes.h"

namespace tflrn {
namespace cpu {
namespace {

template <class Element, size_t kBytes>
struct VectorOf {
  typedef Element type __attribute__((vector_size(kBytes)));
};

// Float or double lanes: what is computed in.
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
  // bits of 1.5 * 2^52 they are its last digits.
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
  // There is none for double before AVX-512.
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
// of integers by halves: 4 instructions instead of 1 to widen.

TFLRN_INLINE FloatBits WidenBits(ShortVec bits) {
#if TFLRN_VECTOR_BYTES == 64
  // The masked form, since GCC 12 warns of the other's undefined operand.
  return BitCast<FloatBits>(
      _mm512_maskz_cvtepu16_epi32(0xFFFF, BitCast<__m256i>(bits)));
#elif TFLRN_VECTOR_BYTES == 32
  return BitCast<FloatBits>(_mm256_cvtepu16_epi32(BitCast<__m128i>(bits)));
#else
  return __builtin_convertvector(bits, FloatBits);
#endif
}

// The lower halves of the lanes, of which the upper are 0.
TFLRN_INLINE ShortVec NarrowBits(FloatBits bits) {
#if TFLRN_VECTOR_BYTES == 64
  return BitCast<ShortVec>(
      _mm512_maskz_cvtepi32_epi16(0xFFFF, BitCast<__m512i>(bits)));
#elif TFLRN_VECTOR_BYTES == 32
  const __m256i packed =
      _mm256_packus_epi32(BitCast<__m256i>(bits), BitCast<__m256i>(bits));
  return BitCast<ShortVec>(
      _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
#else
  return __builtin_convertvector(bits, ShortVec);
#endif
}

#if TFLRN_VECTOR_BYTES == 64
// 16 bits are moved in and out of the upper halves of lanes by a permutation,
// in the place of two instructions.
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
using HalfPlaces = std::make_integer_sequence<int, 2 * kLanes<float>>;
#endif

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

// Of a NaN, the lower half is 0: it comes from 16 bits, or from the processor.
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

template <class T>
using VecFor = Vec<typename ComputeType<T>::type>;

// The first `count` lanes from p, and zeros; a whole vector if count allows.
template <class T>
TFLRN_INLINE VecFor<T> Load(const T* p, int64_t count) {
  constexpr int64_t kCount = kLanes<typename ComputeType<T>::type>;
  if (count >= kCount) return Widen(p);
  T padded[kCount] = {};
  for (int64_t k = 0; k < count; ++k) padded[k] = p[k];
  return Widen(padded);
}

template <class T>
TFLRN_INLINE void Store(VecFor<T> value, T* p, int64_t count) {
  constexpr int64_t kCount = kLanes<typename ComputeType<T>::type>;
  if (count >= kCount) return Narrow(value, p);
  T padded[kCount];
  Narrow(value, padded);
  for (int64_t k = 0; k < count; ++k) p[k] = padded[k];
}

// Where the compiler would not inline by itself.
#define TFLRN_MEMBER inline __attribute__((always_inline))
#define TFLRN_LAMBDA __attribute__((always_inline))

// ---- Vectors as parts of rows.

#if TFLRN_VECTOR_BYTES == 64
// Intrinsics, since GCC makes general permutations of these, which overwrite an
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
TFLRN_INLINE V ShuffledLanes(V first, V second,
                             std::integer_sequence<int, kLane...>) {
#ifdef __clang__
  return __builtin_shufflevector(first, second, (kShift + kLane)...);
#else
  using Int = typename LaneTraits<V>::Int;
  return __builtin_shuffle(first, second, Int{(kShift + kLane)...});
#endif
}
template <int kShift, class V>
TFLRN_INLINE V ShiftedLanes(V first, V second) {
  using Scalar = typename LaneTraits<V>::Scalar;
  return ShuffledLanes<kShift>(
      first, second, std::make_integer_sequence<int, kLanes<Scalar>>());
}
#endif

// As many lanes from kShift on, of two vectors that follow each other.
template <int kShift, class V>
TFLRN_INLINE V Shifted(V first, V second) {
  if constexpr (kShift == kLanes<typename LaneTraits<V>::Scalar>) {
    return second;
  } else {
    return ShiftedLanes<kShift>(first, second);
  }
}

// Which channels the lanes of a vector are, as it moves through whole rows.
template <class Scalar>
class Channels {
 public:
  using Ints = typename LaneTraits<Vec<Scalar>>::Int;
  using Int = typename LaneTraits<Scalar>::Int;

  explicit Channels(int64_t channels)
      : channels_(channels), step_(kLanes<Scalar> % channels) {
    for (int k = 0; k < kLanes<Scalar>; ++k) {
      lane_channel_[k] = static_cast<Int>(k % channels);
    }
  }

  TFLRN_MEMBER void Advance() {
    first_ += step_;
    if (first_ >= channels_) first_ -= channels_;
  }

  // Whether all the windows of this radius lie inside the row.
  TFLRN_MEMBER bool Inside(int64_t radius) const {
    return first_ >= radius && first_ + kLanes<Scalar> - 1 + radius < channels_;
  }

  // Whether rows end where vectors do; then, whether this is a row's first or
  // last.
  TFLRN_MEMBER bool WholeVectors() const {
    return channels_ % kLanes<Scalar> == 0;
  }
  TFLRN_MEMBER bool FirstOfRow() const { return first_ == 0; }
  TFLRN_MEMBER bool LastOfRow() const {
    return first_ == channels_ - kLanes<Scalar>;
  }

  // Of each lane: whether its row has a channel `distance` before or after.
  TFLRN_MEMBER Ints HasBefore(int64_t distance) const {
    return Numbers() >= static_cast<Int>(distance);
  }
  TFLRN_MEMBER Ints HasAfter(int64_t distance) const {
    return Numbers() < static_cast<Int>(channels_ - distance);
  }

 private:
  TFLRN_MEMBER Ints Numbers() const {
    const Int count = static_cast<Int>(channels_);
    const Ints shifted = lane_channel_ + static_cast<Int>(first_);
    return shifted >= count ? shifted - count : shifted;
  }

  int64_t channels_;
  int64_t step_;
  int64_t first_ = 0;  // The channel of the first lane.
  Ints lane_channel_;  // The channels if that one is 0.
};

// ---- Window sums in registers, for a radius up to the lanes of a vector.

// A vector between its neighbours, and the sums over its windows. kRadius is
// the radius, or kAnyTapRadius.
constexpr int kAnyTapRadius = -1;

template <class Scalar, int kRadius>
class TapWindow {
 public:
  using V = Vec<Scalar>;

  // The vector that was put last becomes the middle one.
  TFLRN_MEMBER void Put(V next) {
    before_ = middle_;
    middle_ = after_;
    after_ = next;
  }

  // `at`: the middle vector's channels. radius: kRadius, or any.
  TFLRN_MEMBER V Sum(const Channels<Scalar>& at, int64_t radius) const {
    if (kRadius != kAnyTapRadius) radius = kRadius;
    if (at.WholeVectors()) {
      return AddAll<1>(at.FirstOfRow() ? V{} : before_,
                       at.LastOfRow() ? V{} : after_, radius, middle_);
    }
    if (at.Inside(radius)) return AddAll<1>(before_, after_, radius, middle_);
    return AddOwn<1>(at, radius, middle_);
  }

 private:
  static constexpr int kMaxRadius =
      kRadius == kAnyTapRadius ? kLanes<Scalar> : kRadius;

  template <int kDistance>
  TFLRN_MEMBER V AddAll(V before, V after, int64_t radius, V sum) const {
    if constexpr (kDistance > kMaxRadius) {
      return sum;
    } else {
      if (kDistance > radius) return sum;
      sum += Shifted<kLanes<Scalar> - kDistance>(before, middle_) +
             Shifted<kDistance>(middle_, after);
      return AddAll<kDistance + 1>(before, after, radius, sum);
    }
  }

  // Without the neighbours that belong to other rows.
  template <int kDistance>
  TFLRN_MEMBER V AddOwn(const Channels<Scalar>& at, int64_t radius,
                        V sum) const {
    if constexpr (kDistance > kMaxRadius) {
      return sum;
    } else {
      if (kDistance > radius) return sum;
      const V before = Shifted<kLanes<Scalar> - kDistance>(before_, middle_);
      const V after = Shifted<kDistance>(middle_, after_);
      sum += (at.HasBefore(kDistance) ? before : V{}) +
             (at.HasAfter(kDistance) ? after : V{});
      return AddOwn<kDistance + 1>(at, radius, sum);
    }
  }

  V before_ = {}, middle_ = {}, after_ = {};
};

// ---- Window sums through memory, for any radius.

// From a buffer of rows into another. Only additions: a running sum that
// subtracts what leaves the window would lose small values beside large ones,
// and spread infinities and NaNs past the window.
template <class Scalar>
class WideWindow {
 public:
  // work: WideBufferElements.
  WideWindow(int64_t channels, int64_t radius, Scalar* work)
      : channels_(channels),
        radius_(radius),
        lead_((radius + kStep - 1) / kStep * kStep),
        level_size_(WideLevelElements(channels, radius)),
        levels_(work + kLevelMargin) {}

  // Reads and writes up to kWideUnroll vectors past the end of the buffers.
  void Sum(const Scalar* values, Scalar* sums, int64_t count) const {
    for (int64_t row = 0; row < count; row += channels_) {
      if (radius_ >= channels_ - 1) {
        FillWithTotal(values + row, sums + row);
      } else {
        SumByDoubling(values + row, sums + row);
      }
    }
  }

 private:
  using V = Vec<Scalar>;
  static constexpr int kStep = kLanes<Scalar>;
  static constexpr int kUnroll = kWideUnroll;
  // Spans are doubled in registers up to kTop.
  static constexpr int kTop = kWideTopLanes * kStep;
  static constexpr int kLaneLevels = __builtin_ctz(kStep);
  static constexpr int kLevels = __builtin_ctz(kTop);
  // Vectors that are waited for by sums of spans up to a vector, and above.
  static constexpr int kWaiting = kLaneLevels + kWideTopLanes - 1;
  static constexpr int64_t kMaxCopies = 8;

  void FillWithTotal(const Scalar* values, Scalar* sums) const {
    V partial = {};
    int64_t j = 0;
    for (; j + kStep <= channels_; j += kStep) partial += Widen(values + j);
    if (j < channels_) partial += FirstLanes(Widen(values + j), channels_ - j);
    const V total = AddLanes<kStep / 2>(partial);
    for (j = 0; j < channels_; j += kStep) Narrow(total, sums + j);
  }

  // Zeros in the place of the others, whatever they are.
  static V FirstLanes(V value, int64_t count) {
    using Ints = typename LaneTraits<V>::Int;
    Ints lane;
    for (int k = 0; k < kStep; ++k) lane[k] = k;
    return lane < static_cast<typename LaneTraits<Scalar>::Int>(count) ? value
                                                                       : V{};
  }

  // Adds lanes that are kShift, kShift / 2, ..., 1 apart: all become the total.
  template <int kShift>
  static V AddLanes(V sum) {
    if constexpr (kShift == 0) {
      return sum;
    } else {
      return AddLanes<kShift / 2>(sum + Shifted<kShift>(sum, sum));
    }
  }

  // The values from j on, and zeros past the end of the row.
  TFLRN_MEMBER V FromRow(const Scalar* row, int64_t j) const {
    if (j + kStep <= channels_) return Widen(row + j);
    return j < channels_ ? FirstLanes(Widen(row + j), channels_ - j) : V{};
  }

  // Level(span)[i] is the sum of `span` values from i on, of a row with zeros
  // on both sides. A window of the width 2 radius + 1 is put together from the
  // binary digits of that number, the largest first, so that most are read at
  // whole vectors.
  void SumByDoubling(const Scalar* row, Scalar* sums) const {
    const int64_t width = 2 * radius_ + 1;
    const int64_t padded = lead_ + channels_ + radius_;
    V last[kWaiting] = {};
    int64_t i = 0;
    for (; i < lead_; i += kStep) Double<1>(width, V{}, i, last);
    for (; i < padded + kWaiting * kStep; i += kStep) {
      Double<1>(width, FromRow(row, i - lead_), i, last);
    }

    // Where the window of the first channel begins.
    const int64_t first = lead_ - radius_;
    const Scalar* parts[kLevels + kMaxCopies];
    int count = 0;
    // The lowest digit is 1, the last value of the window.
    int64_t start = width - 1;
    for (int span = 2; span < kTop; span *= 2) {
      if ((width & span) == 0) continue;
      start -= span;
      parts[count++] = Level(span) + first + start;
    }
    // Spans of whole vectors are doubled in place, until few are left to add.
    Scalar* const level = Level(kTop);
    int64_t span = kTop;
    int64_t copies = width / kTop;
    bool added = false;
    const auto add = [&] {
      Add(added ? nullptr : row, parts, count, sums);
      added = true;
      count = 0;
    };
    start = 0;
    for (; copies > kMaxCopies; copies /= 2, span *= 2) {
      if (copies % 2 == 1) {
        parts[count++] = level + first + start;
        add();
        start += span;
      }
      for (i = start; i + 2 * span <= padded; i += kStep) {
        Narrow(Widen(level + i) + Widen(level + i + span), level + i);
      }
    }
    for (; copies > 0; --copies, start += span) {
      parts[count++] = level + first + start;
    }
    add();
  }

  // Takes the sums of kSpan values from the element `at` on, of which those a
  // vector before were the last, and makes longer ones in registers.
  template <int kSpan>
  TFLRN_MEMBER void Double(int64_t width, V sums, int64_t at,
                           V (&last)[kWaiting]) const {
    if constexpr (kSpan < kTop) {
      V doubled;
      if constexpr (kSpan < kStep) {
        V& before = last[__builtin_ctz(kSpan)];
        doubled = before + Shifted<kSpan>(before, sums);
        before = sums;
        at -= kStep;
      } else {
        constexpr int kVectors = kSpan / kStep;
        V* const before = last + kLaneLevels + kVectors - 1;
        doubled = before[0] + sums;
        for (int k = 1; k < kVectors; ++k) before[k - 1] = before[k];
        before[kVectors - 1] = sums;
        at -= kSpan;
      }
      if (2 * kSpan == kTop || (width & (2 * kSpan)) != 0) {
        Narrow(doubled, Level(2 * kSpan) + at);
      }
      Double<2 * kSpan>(width, doubled, at, last);
    }
  }

  // Adds the parts to the last values of the windows of `row`, or, without one,
  // to the sums. Several vectors at a time, which stay in registers.
  void Add(const Scalar* row, const Scalar* const* parts, int count,
           Scalar* sums) const {
    for (int64_t j = 0; j < channels_; j += kUnroll * kStep) {
      V total[kUnroll];
      for (int k = 0; k < kUnroll; ++k) {
        const int64_t at = j + k * kStep;
        total[k] =
            row != nullptr ? FromRow(row, at + radius_) : Widen(sums + at);
      }
      for (int part = 0; part < count; ++part) {
        for (int k = 0; k < kUnroll; ++k) {
          total[k] += Widen(parts[part] + j + k * kStep);
        }
      }
      for (int k = 0; k < kUnroll; ++k) Narrow(total[k], sums + j + k * kStep);
    }
  }

  Scalar* Level(int span) const {
    return levels_ + (__builtin_ctz(span) - 1) * level_size_;
  }

  int64_t channels_;
  int64_t radius_;
  int64_t lead_;  // Zeros before a row: the radius, and up to a whole vector.
  int64_t level_size_;
  Scalar* levels_;
};

// The second argument of __builtin_prefetch.
constexpr int kForWriting = 1;

// ---- The ops, for one vector. i is its first element, and `left` are those
// from there to the end.
//
// First gives the values whose window sums are needed. In an op of two rounds,
// Second turns these sums into the values of the second round, and into what
// Finish is to have beside their sums. Each reads of an input only what Finish,
// or a later vector, does not overwrite: an output may be an input's buffer.

template <class T>
struct LrnOp {
  using Scalar = typename ComputeType<T>::type;
  using V = Vec<Scalar>;
  static constexpr int kTensors = 2, kRounds = 1, kValues = 1;
  static constexpr bool kKeeps = false;
  const T* x;
  T* y;

  LrnOp From(int64_t begin) const { return {x + begin, y + begin}; }

  TFLRN_MEMBER void Prefetch(int64_t read, int64_t write) const {
    __builtin_prefetch(x + read);
    __builtin_prefetch(y + write, kForWriting);
  }

  TFLRN_MEMBER void First(int64_t i, int64_t left, V (&values)[kValues]) const {
    const V x_i = Load(x + i, left);
    values[0] = x_i * x_i;
  }

  template <PowerPath kPath>
  TFLRN_MEMBER void Finish(const LrnCoefficients<Scalar>& c, int64_t i,
                           int64_t left, const V (&sums)[kValues], V) const {
    const auto [norm, power] = WithPower<kPath>(Norm(sums[0], c), c.power);
    Store<T>(Load(x + i, left) * power, y + i, left);
  }
};

template <class T>
struct LrnGradOp {
  using Scalar = typename ComputeType<T>::type;
  using V = Vec<Scalar>;
  static constexpr int kTensors = 4, kRounds = 2, kValues = 1;
  static constexpr bool kKeeps = true;
  const T* dy;
  const T* x;
  const T* y;
  T* dx;

  LrnGradOp From(int64_t begin) const {
    return {dy + begin, x + begin, y + begin, dx + begin};
  }

  TFLRN_MEMBER void Prefetch(int64_t read, int64_t write) const {
    __builtin_prefetch(dy + read);
    __builtin_prefetch(x + read);
    __builtin_prefetch(y + read);
    __builtin_prefetch(dx + write, kForWriting);
  }

  TFLRN_MEMBER void First(int64_t i, int64_t left, V (&values)[kValues]) const {
    const V x_i = Load(x + i, left);
    values[0] = x_i * x_i;
  }

  template <PowerPath kPath>
  TFLRN_MEMBER void Second(const LrnCoefficients<Scalar>& c, int64_t i,
                           int64_t left, const V (&sums)[kValues],
                           V (&values)[kValues], V& kept) const {
    const auto [norm, power] = WithPower<kPath>(Norm(sums[0], c), c.power);
    const V dy_i = Load(dy + i, left);
    kept = GradDirect(dy_i, power);
    values[0] = GradTerm(dy_i, Load(y + i, left), norm);
  }

  template <PowerPath kPath>
  TFLRN_MEMBER void Finish(const LrnCoefficients<Scalar>& c, int64_t i,
                           int64_t left, const V (&sums)[kValues],
                           V kept) const {
    Store<T>(Grad(kept, Load(x + i, left), sums[0], c), dx + i, left);
  }
};

template <class T>
struct LrnGradGradOp {
  using Scalar = typename ComputeType<T>::type;
  using V = Vec<Scalar>;
  static constexpr int kTensors = 7, kRounds = 2, kValues = 2;
  static constexpr bool kKeeps = false;
  const T* u;
  const T* dy;
  const T* x;
  const T* y;
  T* d_dy;
  T* d_x;
  T* d_y;

  LrnGradGradOp From(int64_t begin) const {
    return {u + begin,    dy + begin,  x + begin,  y + begin,
            d_dy + begin, d_x + begin, d_y + begin};
  }

  TFLRN_MEMBER void Prefetch(int64_t read, int64_t write) const {
    __builtin_prefetch(u + read);
    __builtin_prefetch(dy + read);
    __builtin_prefetch(x + read);
    __builtin_prefetch(y + read);
    __builtin_prefetch(d_dy + write, kForWriting);
    __builtin_prefetch(d_x + write, kForWriting);
    __builtin_prefetch(d_y + write, kForWriting);
  }

  TFLRN_MEMBER void First(int64_t i, int64_t left, V (&values)[kValues]) const {
    const V x_i = Load(x + i, left);
    values[0] = x_i * x_i;
    values[1] = x_i * Load(u + i, left);
  }

  template <PowerPath kPath>
  TFLRN_MEMBER void Second(const LrnCoefficients<Scalar>& c, int64_t i,
                           int64_t left, const V (&sums)[kValues],
                           V (&values)[kValues], V&) const {
    const auto [norm, power] = WithPower<kPath>(Norm(sums[0], c), c.power);
    const V u_i = Load(u + i, left);
    const V dy_i = Load(dy + i, left);
    const V y_i = Load(y + i, left);
    Store<T>(GradGradDy(u_i, y_i, norm, power, sums[1], c), d_dy + i, left);
    Store<T>(GradGradY(dy_i, norm, sums[1], c), d_y + i, left);
    values[0] = GradTerm(dy_i, y_i, norm);
    values[1] = GradGradTerm(u_i, dy_i, y_i, norm, power, sums[1], c);
  }

  template <PowerPath kPath>
  TFLRN_MEMBER void Finish(const LrnCoefficients<Scalar>& c, int64_t i,
                           int64_t left, const V (&sums)[kValues], V) const {
    const V u_i = Load(u + i, left);
    const V x_i = Load(x + i, left);
    Store<T>(GradGradX(u_i, x_i, sums[0], sums[1], c), d_x + i, left);
  }
};

// ---- The ways through the rows.

// How far ahead memory is fetched: bytes of all tensors together, and elements
// past the next block. The outputs' lines too, half as far: the processor's own
// prefetching does not know of the writes. LRNGrad in one pass, as above: 1.25
// at 4 KiB, 1.02 at 8 and 10, 1.05 at 12, 1.11 at 16, and 1.16 without.
constexpr int64_t kStreamAheadBytes = 10 << 10;
constexpr int64_t kBlockAhead = 128;

template <class Window, class V, size_t kValues>
TFLRN_INLINE void PutAll(const V (&values)[kValues],
                         Window (&windows)[kValues]) {
  TFLRN_UNROLL
  for (size_t v = 0; v < kValues; ++v) windows[v].Put(values[v]);
}

template <class Window, class At, class V, size_t kValues>
TFLRN_INLINE void SumAll(const Window (&windows)[kValues], const At& at,
                         int64_t radius, V (&sums)[kValues]) {
  TFLRN_UNROLL
  for (size_t v = 0; v < kValues; ++v) sums[v] = windows[v].Sum(at, radius);
}

// All rounds in one pass, in registers. In each step every part of the work is
// done for a vector of its own, with what the last step made for it, so that no
// part waits for another. One after the other for one vector they would take so
// long that an EPYC of 2024 cannot look far enough ahead to fill the time:
// LRNGrad of halves 27 cycles instead of 23.
template <int kRadius, PowerPath kPath, class Op>
void Stream(const LrnParams& params, const Op op, int64_t rows,
            int64_t channels) {
  using Scalar = typename Op::Scalar;
  using V = Vec<Scalar>;
  using Window = TapWindow<Scalar, kRadius>;
  constexpr int kValues = Op::kValues;
  // How many vectors a part is behind First.
  constexpr int kFirstSum = 2, kSecond = 3, kSecondSum = 5;
  constexpr int kFinish = Op::kRounds == 2 ? 6 : 3;
  constexpr int kWaiting = Op::kRounds == 2 ? kFinish - kSecond : 1;
  constexpr int64_t kStep = kLanes<Scalar>;
  constexpr int64_t kSize = sizeof(*op.x);
  constexpr int64_t kVectorsPerLine =
      std::max<int64_t>(kCacheLineBytes / (kStep * kSize), 1);
  constexpr int64_t kAhead = kStreamAheadBytes / Op::kTensors / kSize;

  const auto c = MakeCoefficients<Scalar>(params);
  const int64_t radius = EffectiveRadius(params.depth_radius, channels);
  const int64_t total = rows * channels;
  const int64_t whole_vectors = total / kStep;
  const int64_t vectors = (total + kStep - 1) / kStep;
  Window first_windows[kValues], second_windows[kValues];
  V first[kValues] = {}, first_sums[kValues] = {};
  V second[kValues] = {}, second_sums[kValues] = {};
  V kept[kWaiting] = {};
  Channels<Scalar> first_at(channels), second_at(channels);

  // kInside: all vectors exist, and are whole.
  const auto step = [&](auto inside, int64_t t) TFLRN_LAMBDA {
    constexpr bool kInside = decltype(inside)::value;
    const auto exists = [&](int64_t vector) TFLRN_LAMBDA {
      return kInside || (vector >= 0 && vector < vectors);
    };
    const auto left = [&](int64_t vector) TFLRN_LAMBDA {
      return kInside ? kStep : total - vector * kStep;
    };
    if (kInside && t % kVectorsPerLine == 0) {
      op.Prefetch(t * kStep + kAhead, t * kStep + kAhead / 2);
    }
    if (const int64_t v = t - kFinish; exists(v)) {
      op.template Finish<kPath>(c, v * kStep, left(v),
                                Op::kRounds == 2 ? second_sums : first_sums,
                                kept[kWaiting - 1]);
    }
    if constexpr (Op::kRounds == 2) {
      PutAll(second, second_windows);
      if (exists(t - kSecondSum)) {
        SumAll(second_windows, second_at, radius, second_sums);
        second_at.Advance();
      }
      TFLRN_UNROLL
      for (int k = kWaiting - 1; k > 0; --k) kept[k] = kept[k - 1];
      if (const int64_t v = t - kSecond; exists(v)) {
        op.template Second<kPath>(c, v * kStep, left(v), first_sums, second,
                                  kept[0]);
      }
    }
    PutAll(first, first_windows);
    if (exists(t - kFirstSum)) {
      SumAll(first_windows, first_at, radius, first_sums);
      first_at.Advance();
    }
    if (exists(t)) op.First(t * kStep, left(t), first);
  };
  for (int64_t t = 0; t < vectors + kFinish; ++t) {
    if (t == kFinish) {
      for (; t < whole_vectors; ++t) step(std::true_type(), t);
    }
    step(std::false_type(), t);
  }
}

// Calls step(i, left) for each vector of `count` elements, with the first
// element i and the number of those that are left. That number is a constant
// but for the last vector, so that the loop is free of the tests in Load and
// Store.
template <class Scalar, class Step>
TFLRN_INLINE void ForEachVector(int64_t count, const Step& step) {
  constexpr int64_t kStep = kLanes<Scalar>;
  int64_t i = 0;
  for (; i + kStep <= count; i += kStep) step(i, kStep);
  if (i < count) step(i, count - i);
}

// Round by round, over blocks of rows that stay in the L1 cache together with
// the values and the sums.
template <PowerPath kPath, class Op>
void Blocks(const LrnParams& params, const Op& op, int64_t rows,
            int64_t channels, void* scratch) {
  using Scalar = typename Op::Scalar;
  using V = Vec<Scalar>;
  constexpr int kValues = Op::kValues;

  const auto c = MakeCoefficients<Scalar>(params);
  const int64_t buffer_size = BufferElements(channels);
  Scalar* memory = static_cast<Scalar*>(scratch);
  const auto take_buffer = [&] {
    Scalar* const buffer = memory;
    memory += buffer_size;
    return buffer;
  };
  Scalar* values[kValues];
  Scalar* sums[kValues];
  for (Scalar*& buffer : values) buffer = take_buffer();
  for (Scalar*& buffer : sums) buffer = take_buffer();
  Scalar* const kept = Op::kKeeps ? take_buffer() : nullptr;
  const WideWindow<Scalar> window(
      channels, EffectiveRadius(params.depth_radius, channels), memory);

  const int64_t rows_per_block = RowsPerBlock(
      channels, BlockElements(Op::kTensors, sizeof(*op.x),
                              2 * kValues + Op::kKeeps, sizeof(Scalar)));
  for (int64_t row = 0; row < rows; row += rows_per_block) {
    const int64_t count = std::min(rows_per_block, rows - row) * channels;
    const Op block = op.From(row * channels);
    const auto put = [&](int64_t i, const V(&of)[kValues]) TFLRN_LAMBDA {
      for (int v = 0; v < kValues; ++v) Narrow(of[v], values[v] + i);
    };
    const auto take = [&](int64_t i, V(&of)[kValues]) TFLRN_LAMBDA {
      for (int v = 0; v < kValues; ++v) of[v] = Widen(sums[v] + i);
    };
    const auto sum = [&] {
      for (int v = 0; v < kValues; ++v) window.Sum(values[v], sums[v], count);
    };
    ForEachVector<Scalar>(count, [&](int64_t i, int64_t left) TFLRN_LAMBDA {
      V of[kValues];
      block.First(i, left, of);
      put(i, of);
    });
    sum();
    if constexpr (Op::kRounds == 2) {
      ForEachVector<Scalar>(count, [&](int64_t i, int64_t left) TFLRN_LAMBDA {
        V of[kValues], results[kValues], kept_of = {};
        take(i, of);
        block.Prefetch(count + kBlockAhead + i, count + kBlockAhead + i);
        block.template Second<kPath>(c, i, left, of, results, kept_of);
        put(i, results);
        if (Op::kKeeps) Narrow(kept_of, kept + i);
      });
      sum();
    }
    ForEachVector<Scalar>(count, [&](int64_t i, int64_t left) TFLRN_LAMBDA {
      V of[kValues];
      take(i, of);
      const V kept_of = Op::kKeeps ? Widen(kept + i) : V{};
      block.template Finish<kPath>(c, i, left, of, kept_of);
    });
  }
}

// Chooses the way, the best first.
template <PowerPath kPath, class Op>
void RunPath(const LrnParams& params, const Op& op, int64_t rows,
             int64_t channels, void* scratch) {
  const int64_t radius = EffectiveRadius(params.depth_radius, channels);
  if (!HasTapWindow(radius, channels, kLanes<typename Op::Scalar>)) {
    return Blocks<kPath>(params, op, rows, channels, scratch);
  }
  if constexpr (kPath != PowerPath::kAny) {  // AlexNet and GoogLeNet.
    if (radius == 2) return Stream<2, kPath>(params, op, rows, channels);
  }
  Stream<kAnyTapRadius, kPath>(params, op, rows, channels);
}

template <class Op>
void Run(const LrnParams& params, const Op& op, int64_t rows, int64_t channels,
         void* scratch) {
  const float bias = params.bias, alpha = params.alpha, beta = params.beta;
  if (rows == 0 || channels == 0) return;
  if (HasRootPower(bias, alpha, beta)) {
    RunPath<PowerPath::kRoots>(params, op, rows, channels, scratch);
  } else if (HasPlainPower(bias, alpha, beta)) {
    RunPath<PowerPath::kPlain>(params, op, rows, channels, scratch);
  } else {
    RunPath<PowerPath::kAny>(params, op, rows, channels, scratch);
  }
}

template <class T>
void Lrn(const LrnParams& params, const T* x, T* y, int64_t rows,
         int64_t channels, void* scratch) {
  Run(params, LrnOp<T>{x, y}, rows, channels, scratch);
}

template <class T>
void LrnGrad(const LrnParams& params, const T* dy, const T* x, const T* y,
             T* dx, int64_t rows, int64_t channels, void* scratch) {
  Run(params, LrnGradOp<T>{dy, x, y, dx}, rows, channels, scratch);
}

template <class T>
void LrnGradGrad(const LrnParams& params, const T* u, const T* dy, const T* x,
                 const T* y, T* d_dy, T* d_x, T* d_y, int64_t rows,
                 int64_t channels, void* scratch) {
  Run(params, LrnGradGradOp<T>{u, dy, x, y, d_dy, d_x, d_y}, rows, channels,
      scratch);
}

template <class T>
constexpr RowKernels<T> kKernels = {&Lrn<T>, &LrnGrad<T>, &LrnGradGrad<T>};

}  // namespace

const Target TFLRN_TARGET = {TFLRN_TARGET_NAME, TFLRN_VECTOR_BYTES,
                             kKernels<Half>,    kKernels<BFloat16>,
                             kKernels<float>,   kKernels<double>};

}  // namespace cpu
}  // namespace tflrn

#if defined(TFLRN_TARGET_ISA) && defined(__clang__)
#pragma clang attribute pop
#endif
