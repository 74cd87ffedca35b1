// The row kernels, compiled once for each instruction set: included by
// lrn_rows_<target>.cc, which define
//
//   TFLRN_TARGET        the name of the Target (targets.h) to define
//   TFLRN_TARGET_NAME   its name for users
//   TFLRN_TARGET_ISA    instruction sets, if not the compiler's default
//   TFLRN_VECTOR_BYTES  the size of a vector
//
// Vectors are the compiler's own (the vector_size attribute of GCC and Clang).
// Against the alternatives: they need no dependency, and no intrinsics but for
// two operations that the language has no name for; they serve x86-64 and
// AArch64 alike; and unlike loops left to the vectorizer they do not lose their
// speed silently. Highway is not on PyPI, so that pip could not install it;
// std::experimental::simd has no Clang support to rely on.
//
// Each kernel passes three times over a block of rows that stays in L1:
// squares; norms and the terms of the gradient; their window sums and the
// result. Blocks are treated as flat arrays, so that the number of channels
// needs not be a multiple of the lanes: where a window crosses the end of a
// row, a mask of channel numbers cuts it.
//
// Everything here has internal linkage, and what is included from cc/core is
// always inlined: nothing compiled for this instruction set can be taken by the
// linker for another file's.

// Standard headers come before the pragma, so that their inline functions are
// compiled for the baseline.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
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
};

namespace cpu {
namespace {

// ---- Loads and stores of a vector of T, computed in Scalar.

using FloatVec = Vec<float>;
using DoubleVec = Vec<double>;
using FloatBits = Vec<uint32_t>;
using ShortVec = VectorOf<uint16_t, TFLRN_VECTOR_BYTES / 2>::type;

TFLRN_INLINE FloatVec Widen(const BFloat16* p) {
  ShortVec bits;
  memcpy(&bits, p, sizeof(bits));
  return BFloat16BitsToFloat<FloatVec>(
      __builtin_convertvector(bits, FloatBits));
}

TFLRN_INLINE void Narrow(FloatVec value, BFloat16* p) {
  const auto bits =
      __builtin_convertvector(FloatToBFloat16Bits(value), ShortVec);
  memcpy(p, &bits, sizeof(bits));
}

// The intrinsics are here because the compilers convert vectors of _Float16
// lane by lane; integer arithmetic takes 11 instructions for the one that
// widens, and 22 for the one that narrows.
TFLRN_INLINE FloatVec Widen(const Half* p) {
  ShortVec bits;
  memcpy(&bits, p, sizeof(bits));
#if TFLRN_VECTOR_BYTES == 64
  // The masked form, since GCC 12 warns of the other's undefined operand.
  return BitCast<FloatVec>(
      _mm512_maskz_cvtph_ps(0xFFFF, BitCast<__m256i>(bits)));
#elif TFLRN_VECTOR_BYTES == 32
  return BitCast<FloatVec>(_mm256_cvtph_ps(BitCast<__m128i>(bits)));
#else
  return HalfBitsToFloat<FloatVec>(__builtin_convertvector(bits, FloatBits));
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
  const auto bits = __builtin_convertvector(FloatToHalfBits(value), ShortVec);
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

// ForEachVector inlines its steps; GCC would not do so by itself.
#define TFLRN_STEP(i, left) \
  [&](const int64_t i, const int64_t left) __attribute__((always_inline))

// ---- The channels of the lanes, and the sums over their windows.

// The channel number of each lane of a vector that moves through a block.
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

  // Moves on by a vector.
  void Advance() {
    first_ += step_;
    if (first_ >= channels_) first_ -= channels_;
  }

  // Whether all the windows of this radius lie inside one row.
  bool Inside(int64_t radius) const {
    return first_ >= radius && first_ + kLanes<Scalar> - 1 + radius < channels_;
  }

  Ints numbers() const {
    const Int count = static_cast<Int>(channels_);
    const Ints shifted = lane_channel_ + static_cast<Int>(first_);
    return shifted >= count ? shifted - count : shifted;
  }

 private:
  int64_t channels_;
  int64_t step_;
  int64_t first_ = 0;  // The channel of the first lane.
  Ints lane_channel_;  // The channels if that one is 0.
};

// Window sums tap by tap, out of a buffer with margins. kRadius is the radius
// where the compiler is to know it, or else kAnyRadius.
constexpr int64_t kAnyRadius = -1;

template <class Scalar, int64_t kRadius>
class TapWindow {
 public:
  TapWindow(int64_t channels, int64_t radius, Scalar*)
      : channels_(channels), radius_(radius) {}

  void Prepare(Scalar*, int64_t) const {}

  Vec<Scalar> Sum(const Scalar* values, const Channels<Scalar>& at) const {
    const int64_t radius = kRadius == kAnyRadius ? radius_ : kRadius;
    Vec<Scalar> sum = Widen(values);
    if (at.Inside(radius)) {
      for (int64_t d = 1; d <= radius; ++d) {
        sum += Widen(values - d) + Widen(values + d);
      }
      return sum;
    }
    using Int = typename LaneTraits<Scalar>::Int;
    const auto channel = at.numbers();
    for (int64_t d = 1; d <= radius; ++d) {
      const Vec<Scalar> before = Widen(values - d);
      const Vec<Scalar> after = Widen(values + d);
      const auto has_before = channel >= static_cast<Int>(d);
      const auto has_after = channel < static_cast<Int>(channels_ - d);
      sum += (has_before ? before : Vec<Scalar>{}) +
             (has_after ? after : Vec<Scalar>{});
    }
    return sum;
  }

 private:
  int64_t channels_;
  int64_t radius_;
};

// Window sums row by row, in advance. Only additions: a running sum that
// subtracts what leaves the window would lose small values beside large ones,
// and spread infinities and NaNs past the window.
template <class Scalar>
class WideWindow {
 public:
  WideWindow(int64_t channels, int64_t radius, Scalar* work)
      : channels_(channels), radius_(radius), work_(work) {}

  // Replaces the values of whole rows by the sums over their windows.
  void Prepare(Scalar* values, int64_t count) const {
    for (int64_t row = 0; row < count; row += channels_) {
      if (radius_ >= channels_ - 1) {
        FillWithTotal(values + row);
      } else {
        SumByDoubling(values + row);
      }
    }
  }

  Vec<Scalar> Sum(const Scalar* sums, const Channels<Scalar>&) const {
    return Widen(sums);
  }

 private:
  static constexpr int64_t kStep = kLanes<Scalar>;

  void FillWithTotal(Scalar* row) const {
    Vec<Scalar> partial = {};
    for (int64_t j = 0; j < channels_; j += kStep) {
      partial += Load(row + j, channels_ - j);
    }
    for (int64_t width = kStep / 2; width > 0; width /= 2) {
      for (int64_t k = 0; k < width; ++k) partial[k] += partial[k + width];
    }
    const Vec<Scalar> total = Vec<Scalar>{} + partial[0];
    for (int64_t j = 0; j < channels_; j += kStep) {
      Store(total, row + j, channels_ - j);
    }
  }

  // With work[i] = the sum of `span` padded values from i on, a window is put
  // together from the binary digits of its width.
  void SumByDoubling(Scalar* row) const {
    const int64_t padded = channels_ + 2 * radius_;
    memset(work_, 0, radius_ * sizeof(Scalar));
    memcpy(work_ + radius_, row, channels_ * sizeof(Scalar));
    memset(work_ + radius_ + channels_, 0, (radius_ + kStep) * sizeof(Scalar));
    // The width is odd: its lowest digit is the value at the window's start.
    memcpy(row, work_, channels_ * sizeof(Scalar));
    int64_t start = 1;
    for (int64_t span = 2; span <= 2 * radius_ + 1; span *= 2) {
      const int64_t half = span / 2;
      for (int64_t i = 0; i + span <= padded; i += kStep) {
        Narrow(Widen(work_ + i) + Widen(work_ + i + half), work_ + i);
      }
      if (((2 * radius_ + 1) & span) == 0) continue;
      for (int64_t j = 0; j < channels_; j += kStep) {
        const Vec<Scalar> sum =
            Load(row + j, channels_ - j) + Widen(work_ + start + j);
        Store(sum, row + j, channels_ - j);
      }
      start += span;
    }
  }

  int64_t channels_;
  int64_t radius_;
  Scalar* work_;
};

// ---- The kernels: one block of `count` elements. Pointers are to its first.
//
// The passes come back to a tensor only after a while, and read from it in
// bursts, at which the processor's own prefetching fails: fetching the next
// block in time, also the output's lines, which are about to be written, takes
// LRNGrad from 1.62 to 1.14 of the time that the memory needs.

// The second argument of __builtin_prefetch.
constexpr int kForWriting = 1;

// How many elements more than a block ahead; without, it is 1.13 instead
// of 1.09.
constexpr int64_t kAhead = 128;

template <class Scalar>
struct Scratch {
  Scalar* buffers[kMaxBuffers];
};

template <class T>
struct LrnCall {
  using Scalar = typename ComputeType<T>::type;
  using V = Vec<Scalar>;
  static constexpr int64_t kBlockElements =
      BlockElements(/*tensors=*/2, sizeof(T), /*buffers=*/1, sizeof(Scalar));
  const T* x;
  T* y;

  LrnCall From(int64_t begin) const { return {x + begin, y + begin}; }

  template <bool kPlain, class Window>
  static void Block(LrnCall t, const LrnCoefficients<Scalar>& c,
                    const Window& window, const Scratch<Scalar>& scratch,
                    Channels<Scalar> at, int64_t count) {
    Scalar* const squares = scratch.buffers[0];
    ForEachVector<Scalar>(
        count, TFLRN_STEP(i, left) {
          const V x = Load(t.x + i, left);
          Narrow(x * x, squares + i);
        });
    window.Prepare(squares, count);
    ForEachVector<Scalar>(
        count, TFLRN_STEP(i, left) {
          __builtin_prefetch(t.x + count + kAhead + i);
          __builtin_prefetch(t.y + count + kAhead + i, kForWriting);
          const V norm = Norm(window.Sum(squares + i, at), c);
          const V power = NegativePower<kPlain>(norm, c.power);
          Store<T>(Load(t.x + i, left) * power, t.y + i, left);
          at.Advance();
        });
  }
};

template <class T>
struct LrnGradCall {
  using Scalar = typename ComputeType<T>::type;
  using V = Vec<Scalar>;
  static constexpr int64_t kBlockElements =
      BlockElements(/*tensors=*/4, sizeof(T), /*buffers=*/3, sizeof(Scalar));
  const T* dy;
  const T* x;
  const T* y;
  T* dx;

  LrnGradCall From(int64_t begin) const {
    return {dy + begin, x + begin, y + begin, dx + begin};
  }

  template <bool kPlain, class Window>
  static void Block(LrnGradCall t, const LrnCoefficients<Scalar>& c,
                    const Window& window, const Scratch<Scalar>& scratch,
                    Channels<Scalar> at, int64_t count) {
    Scalar* const squares = scratch.buffers[0];
    Scalar* const terms = scratch.buffers[1];
    Scalar* const direct = scratch.buffers[2];
    ForEachVector<Scalar>(
        count, TFLRN_STEP(i, left) {
          const V x = Load(t.x + i, left);
          Narrow(x * x, squares + i);
        });
    window.Prepare(squares, count);
    Channels<Scalar> at_norm = at;
    ForEachVector<Scalar>(
        count, TFLRN_STEP(i, left) {
          __builtin_prefetch(t.x + count + kAhead + i);
          __builtin_prefetch(t.dy + count + kAhead + i);
          __builtin_prefetch(t.y + count + kAhead + i);
          __builtin_prefetch(t.dx + count + kAhead + i, kForWriting);
          const V norm = Norm(window.Sum(squares + i, at_norm), c);
          const V power = NegativePower<kPlain>(norm, c.power);
          const V dy = Load(t.dy + i, left);
          const V y = Load(t.y + i, left);
          Narrow(GradDirect(dy, power), direct + i);
          Narrow(GradTerm(dy, y, norm), terms + i);
          at_norm.Advance();
        });
    window.Prepare(terms, count);
    ForEachVector<Scalar>(
        count, TFLRN_STEP(i, left) {
          const V x = Load(t.x + i, left);
          const V sum = window.Sum(terms + i, at);
          Store<T>(Grad(Widen(direct + i), x, sum, c), t.dx + i, left);
          at.Advance();
        });
  }
};

template <class T>
struct LrnGradGradCall {
  using Scalar = typename ComputeType<T>::type;
  using V = Vec<Scalar>;
  static constexpr int64_t kBlockElements =
      BlockElements(/*tensors=*/7, sizeof(T), /*buffers=*/4, sizeof(Scalar));
  const T* u;
  const T* dy;
  const T* x;
  const T* y;
  T* d_dy;
  T* d_x;
  T* d_y;

  LrnGradGradCall From(int64_t begin) const {
    return {u + begin,    dy + begin,  x + begin,  y + begin,
            d_dy + begin, d_x + begin, d_y + begin};
  }

  template <bool kPlain, class Window>
  static void Block(LrnGradGradCall t, const LrnCoefficients<Scalar>& c,
                    const Window& window, const Scratch<Scalar>& scratch,
                    Channels<Scalar> at, int64_t count) {
    Scalar* const squares = scratch.buffers[0];
    Scalar* const products = scratch.buffers[1];
    Scalar* const terms = scratch.buffers[2];
    Scalar* const second_terms = scratch.buffers[3];
    ForEachVector<Scalar>(
        count, TFLRN_STEP(i, left) {
          const V x = Load(t.x + i, left);
          Narrow(x * x, squares + i);
          Narrow(x * Load(t.u + i, left), products + i);
        });
    window.Prepare(squares, count);
    window.Prepare(products, count);
    Channels<Scalar> at_norm = at;
    ForEachVector<Scalar>(
        count, TFLRN_STEP(i, left) {
          __builtin_prefetch(t.u + count + kAhead + i);
          __builtin_prefetch(t.dy + count + kAhead + i);
          __builtin_prefetch(t.x + count + kAhead + i);
          __builtin_prefetch(t.y + count + kAhead + i);
          __builtin_prefetch(t.d_dy + count + kAhead + i, kForWriting);
          __builtin_prefetch(t.d_x + count + kAhead + i, kForWriting);
          __builtin_prefetch(t.d_y + count + kAhead + i, kForWriting);
          const V norm = Norm(window.Sum(squares + i, at_norm), c);
          const V power = NegativePower<kPlain>(norm, c.power);
          const V sum = window.Sum(products + i, at_norm);
          const V u = Load(t.u + i, left);
          const V dy = Load(t.dy + i, left);
          const V y = Load(t.y + i, left);
          Store<T>(GradGradDy(u, y, norm, power, sum, c), t.d_dy + i, left);
          Store<T>(GradGradY(dy, norm, sum, c), t.d_y + i, left);
          Narrow(GradTerm(dy, y, norm), terms + i);
          Narrow(GradGradTerm(u, dy, y, norm, power, sum, c), second_terms + i);
          at_norm.Advance();
        });
    window.Prepare(terms, count);
    window.Prepare(second_terms, count);
    ForEachVector<Scalar>(
        count, TFLRN_STEP(i, left) {
          const V x = Load(t.x + i, left);
          const V u = Load(t.u + i, left);
          Store<T>(GradGradX(u, x, window.Sum(terms + i, at),
                             window.Sum(second_terms + i, at), c),
                   t.d_x + i, left);
          at.Advance();
        });
  }
};

#undef TFLRN_STEP

template <bool kPlain, class Window, class Call, class Scalar>
void ForEachBlock(const LrnParams& params, const Call& call, int64_t rows,
                  int64_t channels, Scalar* memory) {
  const int64_t radius = EffectiveRadius(params.depth_radius, channels);
  const int64_t buffer_size = BufferElements(channels);
  Scratch<Scalar> scratch;
  for (int64_t b = 0; b < kMaxBuffers; ++b) {
    scratch.buffers[b] = memory + b * buffer_size + kBufferMargin;
  }
  const Window window(channels, radius, memory + kMaxBuffers * buffer_size);
  const auto c = MakeCoefficients<Scalar>(params);
  const Channels<Scalar> at(channels);
  // Without neighbours, rows need not be kept together.
  const int64_t block =
      radius == 0 ? Call::kBlockElements / kMaxLanes * kMaxLanes
                  : channels * RowsPerBlock(channels, Call::kBlockElements);
  const int64_t total = rows * channels;
  for (int64_t begin = 0; begin < total; begin += block) {
    const int64_t left = total - begin;
    Call::template Block<kPlain>(call.From(begin), c, window, scratch, at,
                                 left < block ? left : block);
  }
}

template <class Window, class Call>
void RunWith(const LrnParams& params, const Call& call, int64_t rows,
             int64_t channels, void* scratch) {
  auto* memory = static_cast<typename Call::Scalar*>(scratch);
  HasPlainPower(params.bias, params.alpha, params.beta)
      ? ForEachBlock<true, Window>(params, call, rows, channels, memory)
      : ForEachBlock<false, Window>(params, call, rows, channels, memory);
}

// Chooses the way to sum over windows, the best first.
template <class Call>
void Run(const LrnParams& params, const Call& call, int64_t rows,
         int64_t channels, void* scratch) {
  using Scalar = typename Call::Scalar;
  if (rows == 0 || channels == 0) return;
  const int64_t radius = EffectiveRadius(params.depth_radius, channels);
  // Numbers of channels must fit into the lanes of floats.
  const bool countable = channels < (int64_t{1} << 30);
  if (radius == 2 && countable) {  // AlexNet and GoogLeNet.
    RunWith<TapWindow<Scalar, 2>>(params, call, rows, channels, scratch);
  } else if (radius == 5 && countable) {  // The default.
    RunWith<TapWindow<Scalar, 5>>(params, call, rows, channels, scratch);
  } else if (radius <= kMaxTapRadius && countable) {
    using Window = TapWindow<Scalar, kAnyRadius>;
    RunWith<Window>(params, call, rows, channels, scratch);
  } else {
    RunWith<WideWindow<Scalar>>(params, call, rows, channels, scratch);
  }
}

template <class T>
void Lrn(const LrnParams& params, const T* x, T* y, int64_t rows,
         int64_t channels, void* scratch) {
  Run(params, LrnCall<T>{x, y}, rows, channels, scratch);
}

template <class T>
void LrnGrad(const LrnParams& params, const T* dy, const T* x, const T* y,
             T* dx, int64_t rows, int64_t channels, void* scratch) {
  Run(params, LrnGradCall<T>{dy, x, y, dx}, rows, channels, scratch);
}

template <class T>
void LrnGradGrad(const LrnParams& params, const T* u, const T* dy, const T* x,
                 const T* y, T* d_dy, T* d_x, T* d_y, int64_t rows,
                 int64_t channels, void* scratch) {
  Run(params, LrnGradGradCall<T>{u, dy, x, y, d_dy, d_x, d_y}, rows, channels,
      scratch);
}

template <class T>
constexpr RowKernels<T> kKernels = {&Lrn<T>, &LrnGrad<T>, &LrnGradGrad<T>};

}  // namespace

const Target TFLRN_TARGET = {TFLRN_TARGET_NAME, kKernels<Half>,
                             kKernels<BFloat16>, kKernels<float>,
                             kKernels<double>};

}  // namespace cpu
}  // namespace tflrn

#if defined(TFLRN_TARGET_ISA) && defined(__clang__)
#pragma clang attribute pop
#endif
