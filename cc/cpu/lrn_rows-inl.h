// The row kernels, compiled once per instruction set: each lrn_rows_<target>.cc
// includes this file, after defining
//
//   TFLRN_TARGET        the name of the Target (targets.h) to define
//   TFLRN_TARGET_NAME   its name for users
//   TFLRN_TARGET_ISA    instruction sets, if not the compiler's default
//   TFLRN_VECTOR_BYTES  the size of a vector
//
// Vectors are the compiler's own (the vector_size attribute of GCC and Clang).
// They add no dependency, and serve x86-64 and AArch64 alike. They need
// intrinsics only for operations that the language has no name for (fused
// multiply-adds, estimates of roots) or that GCC compiles to several
// instructions (conversions, shifts of lanes). Unlike loops left to the
// vectorizer, they do not lose their speed silently. Highway is not on PyPI, so
// pip could not install it; std::experimental::simd has no Clang support to
// rely on.
//
// With small windows (HasTapWindow, HasPairWindow), a kernel is one pass over
// the tensors, seen as flat arrays of groups of one or two vectors. Window sums
// are computed in registers, from a group and its neighbours: a group's norms
// come after the squares of the next group, and its results after the next
// group's terms. The number of channels need not be a multiple of the lanes:
// where a window crosses the end of a row, a mask of channel numbers cuts it
// off.
//
// Groups of two vectors hold the even and the odd elements, because the windows
// of neighbouring channels share most of their pairs. Separating them is cheap
// for 16-bit types, two of which lie in 32 bits; float and double need
// shuffles, which pay off from some radius on (PairsFrom).
//
// Why in registers: most 64-byte loads at arbitrary addresses touch two cache
// lines and cost 2.6 cycles on a 2024 EPYC, against 0.5 for a shift across two
// registers. LRNGrad on AVX-512, in multiples of the time of a loop that only
// moves the bytes: 1.6 in three passes over blocks of rows in L1, against 1.0
// in registers; at radius 5, 2.6 against 1.0.
//
// Larger windows are summed row by row through memory.
//
// Everything here has internal linkage, and everything included from cc/core
// below the pragma is always inlined: the linker cannot replace another file's
// code with code compiled for this instruction set.

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

// GCC lowers vector arithmetic for the instruction set in force where a
// function is defined, even where the function is inlined into another.
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

#include "cc/core/formulas.h"
#include "cc/cpu/vectors-inl.h"
#include "cc/cpu/windows-inl.h"

namespace tflrn {
namespace cpu {
namespace {

// For lambdas that the compiler would not inline on its own.
#define TFLRN_LAMBDA __attribute__((always_inline))

// The second argument of __builtin_prefetch.
constexpr int kForWriting = 1;

// ---- The ops, for one group. i is its first element, `left` the number of
// elements from there to the end; for a whole group, its size will do. x_i is x
// in the group.
//
// First computes the values whose window sums are needed; the first of them are
// x^2. In an op of one round, Finish takes the norms' powers. In an op of two,
// Second turns norms, powers and the other sums into the values of the second
// round, and into what Finish needs besides their sums. No step reads an input
// element that an earlier step may have overwritten: an output may be an
// input's buffer.

// The norms and their powers, from the sums of x^2.
template <PowerPath kPath, class V, int kParts, class Scalar>
TFLRN_INLINE auto PowersOf(const Group<V, kParts>& sums,
                           const LrnCoefficients<Scalar>& c) {
  return EachPart<kParts>([&](int p) TFLRN_LAMBDA {
    return WithPower<kPath>(Norm(sums[p], c), c.power);
  });
}

template <class V, int kParts>
TFLRN_INLINE Group<V, kParts> Products(const Group<V, kParts>& a,
                                       const Group<V, kParts>& b) {
  return EachPart<kParts>([&](int p) TFLRN_LAMBDA { return a[p] * b[p]; });
}

// y, from x and the norms' powers.
template <class V, int kParts, class Power>
TFLRN_INLINE Group<V, kParts> Outputs(const Group<V, kParts>& x,
                                      const Group<Power, kParts>& at) {
  return EachPart<kParts>([&](int p)
                              TFLRN_LAMBDA { return x[p] * at[p].power; });
}

template <class T>
struct LrnOp {
  using Type = T;
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

  template <int kParts>
  TFLRN_MEMBER void First(int64_t, int64_t, const Group<V, kParts>& x_i,
                          Group<V, kParts> (&values)[kValues]) const {
    values[0] = Products(x_i, x_i);
  }

  template <int kParts, class Power>
  TFLRN_MEMBER void Finish(int64_t i, int64_t left, const Group<V, kParts>& x_i,
                           const Group<Power, kParts>& at) const {
    Store(Outputs(x_i, at), y + i, left);
  }
};

template <class T>
struct LrnGradOp {
  using Type = T;
  using Scalar = typename ComputeType<T>::type;
  using V = Vec<Scalar>;
  // Without y there are 3; fetching ahead as for 4 is as fast.
  static constexpr int kTensors = 4, kRounds = 2, kValues = 1;
  static constexpr bool kKeeps = true;
  const T* dy;
  const T* x;
  const T* y;  // Null: computed from x.
  T* dx;

  LrnGradOp From(int64_t begin) const {
    return {dy + begin, x + begin, y == nullptr ? nullptr : y + begin,
            dx + begin};
  }

  TFLRN_MEMBER void Prefetch(int64_t read, int64_t write) const {
    __builtin_prefetch(dy + read);
    __builtin_prefetch(x + read);
    if (y != nullptr) __builtin_prefetch(y + read);
    __builtin_prefetch(dx + write, kForWriting);
  }

  template <int kParts>
  TFLRN_MEMBER void First(int64_t, int64_t, const Group<V, kParts>& x_i,
                          Group<V, kParts> (&values)[kValues]) const {
    values[0] = Products(x_i, x_i);
  }

  template <int kParts, class Power>
  TFLRN_MEMBER void Second(const LrnCoefficients<Scalar>&, int64_t i,
                           int64_t left, const Group<V, kParts>& x_i,
                           const Group<V, kParts> (&)[kValues],
                           const Group<Power, kParts>& at,
                           Group<V, kParts> (&values)[kValues],
                           Group<V, kParts>& kept) const {
    const auto dy_i = Load<kParts>(dy + i, left);
    const auto y_i =
        y != nullptr ? Load<kParts>(y + i, left) : Outputs(x_i, at);
    kept = EachPart<kParts>(
        [&](int p) TFLRN_LAMBDA { return GradDirect(dy_i[p], at[p].power); });
    values[0] = EachPart<kParts>([&](int p) TFLRN_LAMBDA {
      return GradTerm(dy_i[p], y_i[p], at[p].norm);
    });
  }

  template <int kParts>
  TFLRN_MEMBER void Finish(const LrnCoefficients<Scalar>& c, int64_t i,
                           int64_t left, const Group<V, kParts>& x_i,
                           const Group<V, kParts> (&sums)[kValues],
                           const Group<V, kParts>& kept) const {
    const auto dx_i = EachPart<kParts>([&](int p) TFLRN_LAMBDA {
      return Grad(kept[p], x_i[p], sums[0][p], c);
    });
    Store(dx_i, dx + i, left);
  }
};

template <class T>
struct LrnGradGradOp {
  using Type = T;
  using Scalar = typename ComputeType<T>::type;
  using V = Vec<Scalar>;
  // Without y there are 5; fetching ahead as for 7 is as fast.
  static constexpr int kTensors = 7, kRounds = 2, kValues = 2;
  static constexpr bool kKeeps = true;
  const T* u;
  const T* dy;
  const T* x;
  const T* y;  // Null: computed from x. Then d_y is null, too, and part of d_x.
  T* d_dy;
  T* d_x;
  T* d_y;

  LrnGradGradOp From(int64_t begin) const {
    return {u + begin,
            dy + begin,
            x + begin,
            y == nullptr ? nullptr : y + begin,
            d_dy + begin,
            d_x + begin,
            y == nullptr ? nullptr : d_y + begin};
  }

  TFLRN_MEMBER void Prefetch(int64_t read, int64_t write) const {
    __builtin_prefetch(u + read);
    __builtin_prefetch(dy + read);
    __builtin_prefetch(x + read);
    __builtin_prefetch(d_dy + write, kForWriting);
    __builtin_prefetch(d_x + write, kForWriting);
    if (y == nullptr) return;
    __builtin_prefetch(y + read);
    __builtin_prefetch(d_y + write, kForWriting);
  }

  template <int kParts>
  TFLRN_MEMBER void First(int64_t i, int64_t left, const Group<V, kParts>& x_i,
                          Group<V, kParts> (&values)[kValues]) const {
    const auto u_i = Load<kParts>(u + i, left);
    values[0] = Products(x_i, x_i);
    values[1] = Products(x_i, u_i);
  }

  template <int kParts, class Power>
  TFLRN_MEMBER void Second(const LrnCoefficients<Scalar>& c, int64_t i,
                           int64_t left, const Group<V, kParts>& x_i,
                           const Group<V, kParts> (&sums)[kValues],
                           const Group<Power, kParts>& at,
                           Group<V, kParts> (&values)[kValues],
                           Group<V, kParts>& kept) const {
    const auto u_i = Load<kParts>(u + i, left);
    const auto dy_i = Load<kParts>(dy + i, left);
    const auto y_i =
        y != nullptr ? Load<kParts>(y + i, left) : Outputs(x_i, at);
    const auto d_dy_i = EachPart<kParts>([&](int p) TFLRN_LAMBDA {
      return GradGradDy(u_i[p], y_i[p], at[p].norm, at[p].power, sums[1][p], c);
    });
    Store(d_dy_i, d_dy + i, left);
    values[0] = EachPart<kParts>([&](int p) TFLRN_LAMBDA {
      return GradTerm(dy_i[p], y_i[p], at[p].norm);
    });
    if (y != nullptr) {
      const auto d_y_i = EachPart<kParts>([&](int p) TFLRN_LAMBDA {
        return GradGradY(dy_i[p], at[p].norm, sums[1][p], c);
      });
      Store(d_y_i, d_y + i, left);
      values[1] = EachPart<kParts>([&](int p) TFLRN_LAMBDA {
        return GradGradTerm(u_i[p], dy_i[p], y_i[p], at[p].norm, at[p].power,
                            sums[1][p], c);
      });
    } else {
      kept = EachPart<kParts>([&](int p) TFLRN_LAMBDA {
        return GradGradDirect(dy_i[p], at[p].norm, at[p].power, sums[1][p], c);
      });
      values[1] = EachPart<kParts>([&](int p) TFLRN_LAMBDA {
        return GradGradTermFromInput(dy_i[p], y_i[p], at[p].norm, sums[1][p],
                                     d_dy_i[p], c);
      });
    }
  }

  template <int kParts>
  TFLRN_MEMBER void Finish(const LrnCoefficients<Scalar>& c, int64_t i,
                           int64_t left, const Group<V, kParts>& x_i,
                           const Group<V, kParts> (&sums)[kValues],
                           const Group<V, kParts>& kept) const {
    const auto u_i = Load<kParts>(u + i, left);
    const auto d_x_i = EachPart<kParts>([&](int p) TFLRN_LAMBDA {
      const V sum = GradGradX(u_i[p], x_i[p], sums[0][p], sums[1][p], c);
      return y != nullptr ? sum : kept[p] + sum;
    });
    Store(d_x_i, d_x + i, left);
  }
};

// ---- The loops over the rows.

// How far ahead memory is prefetched: in Stream, bytes of all tensors together;
// in Blocks, elements past the end of the block. The outputs' lines too, in
// Stream half as far: the processor's own prefetching does not anticipate the
// writes. LRNGrad in one pass, in multiples of the loop that only moves the
// bytes: 1.18 at 4 KiB, 0.99 at 10, 1.06 at 16, and 1.14 without.
//
// Stores are ordinary. Past the caches, non-temporal ones would take 0.86 of
// that loop's time, but only in a call on its own: written over dy, as in a
// training step, LRNGrad is as fast either way, and LRN whose output is read
// next takes 1.2 times as long.
constexpr int64_t kStreamAheadBytes = 10 << 10;
constexpr int64_t kBlockAhead = 128;

template <class Window, class Values, size_t kValues>
TFLRN_INLINE void PutAll(const Values (&values)[kValues],
                         Window (&windows)[kValues]) {
  TFLRN_UNROLL
  for (size_t v = 0; v < kValues; ++v) windows[v].Put(values[v]);
}

template <bool kOften, class Window, class At, class Sums, size_t kValues>
TFLRN_INLINE void SumAll(const Window (&windows)[kValues], const At& at,
                         int64_t radius, Sums (&sums)[kValues]) {
  TFLRN_UNROLL
  for (size_t v = 0; v < kValues; ++v)
    sums[v] = windows[v].template Sum<kOften>(at, radius);
}

// All rounds in one pass, in registers. In each step, every part of the work is
// done for a different group, with what the previous step left for it, so that
// no part waits for another. Done one after the other for one group, the parts
// would take so long that a 2024 EPYC cannot look far enough ahead to hide the
// latency.
//
// Groups of two vectors have more independent work of their own, and in an op
// of two rounds they also fill the registers: there, two parts run right after
// what they depend on. With all parts separate, a trial of LRNGrad of float in
// pairs at radius 2 was as fast in the caches, but took 1.5 times as long past
// them, since spills compete with the output for the store queue; at radius 5,
// it took 1.07 times as long as moving its bytes instead of 1.04.
template <int kParts, int kRadius, PowerPath kPath, class Op>
void Stream(const LrnParams& params, const Op op, int64_t rows,
            int64_t channels) {
  using Scalar = typename Op::Scalar;
  using Values = Group<Vec<Scalar>, kParts>;
  using Window = TapWindow<Scalar, kRadius, kParts>;
  constexpr int kValues = Op::kValues;
  // How many groups a part lags behind First. A sum needs the next group; the
  // powers are computed between the first sum and the part that follows it.
  constexpr bool kJoined = kParts == 2 && Op::kRounds == 2;
  constexpr int kFirstSum = 2, kSecond = kJoined ? 3 : 4;
  constexpr int kSecondSum = kSecond + 2;
  constexpr int kFinish = Op::kRounds == 1 ? 4
                          : kJoined        ? kSecondSum
                                           : kSecondSum + 1;
  constexpr int kWaiting = Op::kRounds == 2 ? kFinish - kSecond : 1;
  // Whether x is kept, instead of widened again from memory: of half, since a
  // group of two vectors takes AVX-512 six instructions. In the caches, LRN and
  // LRNGrad take 0.9 of the time. With AVX2's 16 registers, it is slower.
  constexpr bool kKeepsX =
      std::is_same<typename Op::Type, Half>::value && TFLRN_VECTOR_BYTES != 32;
  constexpr uint64_t kSlots = 8;
  static_assert(kFinish < kSlots, "x is overwritten before its last use");
  constexpr int64_t kStep = kParts * kLanes<Scalar>;
  constexpr int64_t kSize = sizeof(*op.x);
  constexpr int64_t kLine = kCacheLineBytes / kSize;
  constexpr int64_t kGroupsPerLine = std::max<int64_t>(kLine / kStep, 1);
  constexpr int64_t kLinesPerGroup = std::max<int64_t>(kStep / kLine, 1);
  constexpr int64_t kAhead = kStreamAheadBytes / Op::kTensors / kSize;

  const auto c = MakeCoefficients<Scalar>(params);
  const int64_t radius = EffectiveRadius(params.depth_radius, channels);
  const int64_t total = rows * channels;
  const int64_t whole_groups = total / kStep;
  const int64_t groups = (total + kStep - 1) / kStep;
  Window first_windows[kValues], second_windows[kValues];
  Values first[kValues] = {}, first_sums[kValues] = {};
  Values sums_of_powers[kValues] = {};
  decltype(PowersOf<kPath>(Values{}, c)) powers = {};
  Values second[kValues] = {}, second_sums[kValues] = {};
  Values kept[kWaiting] = {};
  Values kept_x[kKeepsX ? kSlots : 1];
  Channels<Scalar> first_at(channels / kParts), second_at(channels / kParts);

  // kInside: all groups exist, and are whole.
  const auto step = [&](auto inside, int64_t t) TFLRN_LAMBDA {
    constexpr bool kInside = decltype(inside)::value;
    const auto exists = [&](int64_t group) TFLRN_LAMBDA {
      return kInside || (group >= 0 && group < groups);
    };
    const auto left = [&](int64_t group) TFLRN_LAMBDA {
      return kInside ? kStep : total - group * kStep;
    };
    const auto load_x = [&](int64_t group) TFLRN_LAMBDA {
      return Load<kParts>(op.x + group * kStep, left(group));
    };
    const auto x_of = [&](int64_t group) TFLRN_LAMBDA {
      if constexpr (kKeepsX) {
        return kept_x[static_cast<uint64_t>(group) % kSlots];
      } else {
        return load_x(group);
      }
    };
    if (kInside && t % kGroupsPerLine == 0) {
      TFLRN_UNROLL
      for (int64_t line = 0; line < kLinesPerGroup; ++line) {
        const int64_t i = t * kStep + line * kLine;
        op.Prefetch(i + kAhead, i + kAhead / 2);
      }
    }
    const auto finish = [&]() TFLRN_LAMBDA {
      const int64_t g = t - kFinish;
      if (!exists(g)) return;
      if constexpr (Op::kRounds == 1) {
        op.Finish(g * kStep, left(g), x_of(g), powers);
      } else {
        op.Finish(c, g * kStep, left(g), x_of(g), second_sums,
                  kept[kWaiting - 1]);
      }
    };
    const auto make_powers = [&]() TFLRN_LAMBDA {
      powers = PowersOf<kPath>(first_sums[0], c);
      TFLRN_UNROLL
      for (int k = 0; k < kValues; ++k) sums_of_powers[k] = first_sums[k];
    };
    if (!kJoined) finish();
    if constexpr (Op::kRounds == 2) {
      PutAll(second, second_windows);
      if (exists(t - kSecondSum)) {
        SumAll<kInside>(second_windows, second_at, radius, second_sums);
        second_at.Advance();
      }
      if (kJoined) finish();
      TFLRN_UNROLL
      for (int k = kWaiting - 1; k > 0; --k) kept[k] = kept[k - 1];
      if (kJoined) make_powers();
      if (const int64_t g = t - kSecond; exists(g)) {
        op.Second(c, g * kStep, left(g), x_of(g), sums_of_powers, powers,
                  second, kept[0]);
      }
    }
    if (!kJoined) make_powers();
    PutAll(first, first_windows);
    if (exists(t - kFirstSum)) {
      SumAll<kInside>(first_windows, first_at, radius, first_sums);
      first_at.Advance();
    }
    if (exists(t)) {
      const Values x_t = load_x(t);
      if constexpr (kKeepsX) kept_x[static_cast<uint64_t>(t) % kSlots] = x_t;
      op.First(t * kStep, left(t), x_t, first);
    }
  };
  for (int64_t t = 0; t < groups + kFinish; ++t) {
    if (t == kFinish) {
      for (; t < whole_groups; ++t) step(std::true_type(), t);
    }
    step(std::false_type(), t);
  }
}

// Calls step(i, left) for each vector of `count` elements, where i is its first
// element and `left` its number of elements. `left` is a constant except for
// the last vector, which keeps the tests in Load and Store out of the loop.
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
  using Values = Group<Vec<Scalar>, 1>;
  constexpr int kValues = Op::kValues;
  constexpr int64_t kLine = kCacheLineBytes / sizeof(*op.x);

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
    const auto put = [&](int64_t i, const Values(&of)[kValues]) TFLRN_LAMBDA {
      for (int v = 0; v < kValues; ++v) NarrowGroup(of[v], values[v] + i);
    };
    const auto take = [&](int64_t i, Values(&of)[kValues]) TFLRN_LAMBDA {
      for (int v = 0; v < kValues; ++v) of[v] = WidenGroup<1>(sums[v] + i);
    };
    // Each pass over the block prefetches a part of the next one, which keeps
    // memory busy all the time: LRNGrad at radius 64 takes 1.5 times as long as
    // a loop that only moves the bytes, and 1.8 times if the second pass
    // prefetches everything. LRN of float takes 0.9 of the time that it takes
    // without on a Xeon; an EPYC was faster without.
    constexpr int64_t kOuterPart = Op::kRounds == 1 ? 2 : 4, kInnerPart = 2;
    int64_t ahead = count + kBlockAhead;
    const auto fetch = [&](int64_t i, int64_t part) TFLRN_LAMBDA {
      if (i % (part * kLine) != 0) return;
      block.Prefetch(ahead, ahead);
      ahead += kLine;
    };
    const auto sum = [&] {
      for (int v = 0; v < kValues; ++v) window.Sum(values[v], sums[v], count);
    };
    ForEachVector<Scalar>(count, [&](int64_t i, int64_t left) TFLRN_LAMBDA {
      Values of[kValues];
      fetch(i, kOuterPart);
      block.First(i, left, Load<1>(block.x + i, left), of);
      put(i, of);
    });
    sum();
    if constexpr (Op::kRounds == 2) {
      ForEachVector<Scalar>(count, [&](int64_t i, int64_t left) TFLRN_LAMBDA {
        Values of[kValues], results[kValues], kept_of = {};
        take(i, of);
        fetch(i, kInnerPart);
        block.Second(c, i, left, Load<1>(block.x + i, left), of,
                     PowersOf<kPath>(of[0], c), results, kept_of);
        put(i, results);
        if (Op::kKeeps) NarrowGroup(kept_of, kept + i);
      });
      sum();
    }
    ForEachVector<Scalar>(count, [&](int64_t i, int64_t left) TFLRN_LAMBDA {
      const Values x_i = Load<1>(block.x + i, left);
      Values of[kValues];
      take(i, of);
      fetch(i, kOuterPart);
      if constexpr (Op::kRounds == 1) {
        block.Finish(i, left, x_i, PowersOf<kPath>(of[0], c));
      } else {
        const Values kept_of = Op::kKeeps ? WidenGroup<1>(kept + i) : Values{};
        block.Finish(c, i, left, x_i, of, kept_of);
      }
    });
  }
}

// The radius from which groups of two vectors are faster. They need more than
// the 16 registers of AVX2, so there it is above 0 even for half: in a trial,
// LRNGrad at radius 2 took 1.2 times as long as in single vectors. AVX-512
// widens and narrows single vectors of half in one instruction, which is faster
// for two values. Otherwise, pairs pay off for 16-bit types: LRNGradGrad of
// bfloat16 takes 0.92 of the time with AVX-512, and 0.75 with the baseline.
template <class Op>
constexpr int64_t PairsFrom() {
  constexpr bool kHalf = std::is_same<typename Op::Type, Half>::value;
  constexpr bool kBFloat16 = std::is_same<typename Op::Type, BFloat16>::value;
  constexpr bool kTwoValues = Op::kValues == 2;
  if (TFLRN_VECTOR_BYTES == 32 && !kBFloat16) return kTwoValues ? 8 : 5;
  if (TFLRN_VECTOR_BYTES == 64 && kHalf) return kTwoValues ? 3 : 0;
  if (kHalf || kBFloat16) return 0;
  return kTwoValues ? 8 : 3;
}

template <int kParts, PowerPath kPath, class Op>
void StreamAnyRadius(const LrnParams& params, const Op& op, int64_t rows,
                     int64_t channels) {
  // The radius of AlexNet and GoogLeNet.
  if constexpr (kPath != PowerPath::kAny &&
                (kParts == 1 || PairsFrom<Op>() <= 2)) {
    if (EffectiveRadius(params.depth_radius, channels) == 2) {
      return Stream<kParts, 2, kPath>(params, op, rows, channels);
    }
  }
  Stream<kParts, kAnyTapRadius, kPath>(params, op, rows, channels);
}

// Chooses the fastest loop that applies.
template <PowerPath kPath, class Op>
void RunPath(const LrnParams& params, const Op& op, int64_t rows,
             int64_t channels, void* scratch) {
  constexpr int kLaneCount = kLanes<typename Op::Scalar>;
  const int64_t radius = EffectiveRadius(params.depth_radius, channels);
  const bool has_taps = HasTapWindow(radius, channels, kLaneCount);
  if (HasPairWindow(radius, channels, kLaneCount) &&
      (radius >= PairsFrom<Op>() || !has_taps)) {
    StreamAnyRadius<2, kPath>(params, op, rows, channels);
  } else if (has_taps) {
    StreamAnyRadius<1, kPath>(params, op, rows, channels);
  } else {
    Blocks<kPath>(params, op, rows, channels, scratch);
  }
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

const Target TFLRN_TARGET = {
    TFLRN_TARGET_NAME,
    TFLRN_VECTOR_BYTES,
    {kKernels<Half>, kKernels<BFloat16>, kKernels<float>, kKernels<double>}};

}  // namespace cpu
}  // namespace tflrn

#if defined(TFLRN_TARGET_ISA) && defined(__clang__)
#pragma clang attribute pop
#endif
