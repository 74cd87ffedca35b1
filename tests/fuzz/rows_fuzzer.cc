// Fuzzes the row kernels of cc/cpu, and with them cc/core: sizes, radii,
// parameters, values of arbitrary bits, buffers that are unaligned, shared by
// an input and an output, or cut into parts, on each target that this processor
// supports. tools/check_sanitizers builds and runs it.
//
// What must hold, under the address and undefined-behaviour sanitizers:
//   - each result is one that the formulas allow (ranges.h);
//   - two calls for parts of the rows, with outputs over inputs, give the bits
//     of one call with separate buffers;
//   - nothing but the outputs is written.
#include <fuzzer/FuzzedDataProvider.h>
#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "cc/core/float16.h"
#include "cc/core/lrn_params.h"
#include "cc/core/ops.h"
#include "cc/core/types.h"
#include "cc/cpu/ops.h"
#include "cc/cpu/targets.h"
#include "tests/fuzz/ranges.h"

namespace tflrn {
namespace {

// ---- Values.

float Widen(Half value) { return HalfBitsToFloat<float>(uint32_t{value.bits}); }
float Widen(BFloat16 value) {
  return BFloat16BitsToFloat<float>(uint32_t{value.bits});
}
float Widen(float value) { return value; }
double Widen(double value) { return value; }

// What a result in the compute type becomes when it is stored as T.
template <class T, class Scalar>
Wide Stored(Scalar value) {
  if constexpr (std::is_same_v<T, Half>) {
    return Widen(Half{static_cast<uint16_t>(FloatToHalfBits(value))});
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return Widen(BFloat16{static_cast<uint16_t>(FloatToBFloat16Bits(value))});
  } else {
    return value;
  }
}

// An ordinary number that depends on `seed` and `index`, as a T.
template <class T>
T Ordinary(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  const auto number = static_cast<float>(static_cast<int32_t>(z >> 32)) *
                      std::ldexp(1.0f, -29 - static_cast<int>(z % 8));
  if constexpr (std::is_same_v<T, Half>) {
    return {static_cast<uint16_t>(FloatToHalfBits(number))};
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return {static_cast<uint16_t>(FloatToBFloat16Bits(number))};
  } else {
    return number;
  }
}

// ---- An input of the fuzzer.

struct Case {
  LrnParams params;
  int64_t rows;
  int64_t channels;
  int64_t cut;  // The parts are the rows [0, cut), and the others.
  uint32_t
      offsets;      // Four bits per tensor: how many elements it is shifted by.
  unsigned shared;  // Which inputs the outputs of the parts overwrite.
  unsigned ordinary;  // How many of 16 values are ordinary numbers.
  uint64_t seed;
  std::vector<uint8_t> bits;  // The other values' bits.
  const cpu::Target* target;
};

float AnyFloat(FuzzedDataProvider& data) {
  constexpr float kUsual[] = {
      0,  -0.0f, 1, 2,  0.5f, 0.75f,     -0.5f,     1e-4f,    1e-5f,
      -1, 1.5f,  3, -2, 0.3f, 0x1p-126f, 0x1p-149f, 0.96875f, 1e30f};
  if (data.ConsumeIntegral<uint8_t>() % 8 != 0) {
    return data.PickValueInArray(kUsual);
  }
  return BitCast<float>(data.ConsumeIntegral<uint32_t>());
}

Case MakeCase(FuzzedDataProvider& data) {
  Case c;
  const auto size = data.ConsumeIntegral<uint8_t>();
  // Mostly a few vectors; sometimes rows that are longer than a block.
  c.channels = size < 230   ? 1 + size % 46
               : size < 254 ? data.ConsumeIntegralInRange<int64_t>(1, 200)
                            : data.ConsumeIntegralInRange<int64_t>(1, 3000);
  // Mostly a few rows; sometimes enough for several blocks.
  const auto count = data.ConsumeIntegral<uint8_t>();
  const int64_t most = std::max<int64_t>(1, 3000 / c.channels);
  c.rows = count < 250 ? 1 + count % std::min<int64_t>(4, most)
                       : data.ConsumeIntegralInRange<int64_t>(1, most);
  switch (data.ConsumeIntegral<uint8_t>() % 4) {
    case 0:
    case 1:
      c.params.depth_radius = data.ConsumeIntegral<uint8_t>() % 12;
      break;
    case 2:
      c.params.depth_radius = std::max<int64_t>(
          0, c.channels - 2 + data.ConsumeIntegral<uint8_t>() % 4);
      break;
    default:
      c.params.depth_radius = data.ConsumeIntegral<int64_t>();
  }
  c.params.bias = AnyFloat(data);
  c.params.alpha = AnyFloat(data);
  c.params.beta = AnyFloat(data);
  c.cut = data.ConsumeIntegralInRange<int64_t>(0, c.rows);
  c.offsets = data.ConsumeIntegral<uint32_t>();
  c.shared = data.ConsumeIntegral<uint8_t>();
  c.ordinary = data.ConsumeIntegral<uint8_t>() % 17;
  c.seed = data.ConsumeIntegral<uint16_t>();
  const std::vector<const cpu::Target*>& targets = cpu::SupportedTargets();
  c.target = targets[data.ConsumeIntegral<uint8_t>() % targets.size()];
  c.bits = data.ConsumeRemainingBytes<uint8_t>();
  if (c.bits.empty()) c.ordinary = 16;
  return c;
}

// ---- Buffers.

// A buffer that ends where its data ends, so that the address sanitizer sees
// every access past it; `offset` elements come before the data.
template <class T>
class Buffer {
 public:
  Buffer(int64_t size, int64_t offset)
      : size_(size), offset_(offset), storage_(new T[size + offset]) {
    std::memset(static_cast<void*>(storage_.get()), kUntouched,
                (size + offset) * sizeof(T));
  }
  Buffer(const Buffer& other) : Buffer(other.size_, other.offset_) {
    std::memcpy(data(), other.data(), size_ * sizeof(T));
  }

  T* data() { return storage_.get() + offset_; }
  const T* data() const { return storage_.get() + offset_; }
  bool HasBitsOf(const Buffer& other) const {
    return std::memcmp(data(), other.data(), size_ * sizeof(T)) == 0;
  }
  // Where two NaNs meet, the compiler chooses whose sign and payload the result
  // has, anew in each copy of an inlined function. So all NaNs are equal.
  bool HasBitsOfButForNans(const Buffer& other) const {
    if (HasBitsOf(other)) return true;
    for (int64_t i = 0; i < size_; ++i) {
      const T a = data()[i], b = other.data()[i];
      if (std::memcmp(&a, &b, sizeof(T)) == 0) continue;
      if (!std::isnan(Widen(a)) || !std::isnan(Widen(b))) return false;
    }
    return true;
  }
  bool UntouchedBefore() const {
    const auto* bytes = reinterpret_cast<const uint8_t*>(storage_.get());
    return std::all_of(bytes, bytes + offset_ * sizeof(T),
                       [](uint8_t byte) { return byte == kUntouched; });
  }

 private:
  static constexpr uint8_t kUntouched = 0xA5;
  int64_t size_, offset_;
  std::unique_ptr<T[]> storage_;
};

// `bytes` of scratch memory, full of NaN: its contents must not matter. The
// buffer is kept, since allocating it would take most of an input's time.
void* Scratch(size_t bytes) {
  static size_t capacity = 0;
  static cpu::ScratchMemory memory;
  if (bytes > capacity) {
    capacity = bytes;
    memory = cpu::AllocateScratch(capacity);
  }
  // Not by the macros, which do nothing in a file that is compiled without the
  // sanitizer.
  __asan_unpoison_memory_region(memory.get(), capacity);
  std::memset(memory.get(), 0xFF, bytes);
  __asan_poison_memory_region(static_cast<char*>(memory.get()) + bytes,
                              capacity - bytes);
  return memory.get();
}

template <class T>
Buffer<T> Fill(const Case& c, size_t tensor) {
  const int64_t size = c.rows * c.channels;
  Buffer<T> buffer(size, (c.offsets >> (4 * tensor)) % 16);
  size_t next = tensor * sizeof(T);
  for (int64_t i = 0; i < size; ++i) {
    T& value = buffer.data()[i];
    value = Ordinary<T>(c.seed + (tensor << 16), i);
    if ((i * 7 + c.seed) % 16 < c.ordinary) continue;
    auto* bytes = reinterpret_cast<uint8_t*>(&value);
    for (size_t b = 0; b < sizeof(T); ++b) {
      bytes[b] = c.bits[next++ % c.bits.size()];
    }
  }
  return buffer;
}

// ---- The formulas of cc/core/formulas.h, in ranges.

template <class Scalar>
using Ranges = std::vector<Range<Scalar>>;

template <class Scalar>
class Reference {
 public:
  using R = Range<Scalar>;

  Reference(const LrnParams& params, const Ranges<Scalar>& x)
      : params_(params), x_(x) {
    const Ranges<Scalar> sums = WindowSums(Products(x, x));
    for (const R& sum : sums) {
      norm_.push_back(
          MultiplyAddRange(sum, Number(params.alpha), Number(params.bias)));
      power_.push_back(PowerRange(norm_.back(), params.beta));
    }
  }

  // y_j = x_j * norm_j^-beta
  std::array<Ranges<Scalar>, 1> Results(Lrn) const {
    return {Products(x_, power_)};
  }

  // dx_k = dy_k * norm_k^-beta
  //        - 2 alpha beta x_k * sum_{j in W(k)} dy_j y_j / norm_j
  std::array<Ranges<Scalar>, 1> Results(LrnGrad, const Ranges<Scalar>& dy,
                                        const Ranges<Scalar>& y) const {
    const Ranges<Scalar> sums = WindowSums(Terms(dy, y));
    Ranges<Scalar> dx;
    for (size_t k = 0; k < dy.size(); ++k) {
      const R direct = IsZero(dy[k]) ? dy[k] : dy[k] * power_[k];
      dx.push_back(
          MultiplyAddRange(x_[k] * MinusTwoAlphaBeta(), sums[k], direct));
    }
    return {dx};
  }

  // d_dy_j = u_j norm_j^-beta - 2 alpha beta (y_j / norm_j) P_j
  // d_x_m  = - 2 alpha beta u_m sum_{j in W(m)} dy_j y_j / norm_j
  //          + 2 alpha x_m sum_{j in W(m)} (dy_j / norm_j)
  //            (2 alpha beta y_j P_j / norm_j - beta u_j norm_j^-beta)
  // d_y_j  = - 2 alpha beta (dy_j / norm_j) P_j
  //
  // If y is not given, but computed from x, beta d_dy_j takes the place of
  // beta u_j norm_j^-beta, and d_x_m has d_y_m norm_m^-beta, too.
  std::array<Ranges<Scalar>, 3> Results(LrnGradGrad, const Ranges<Scalar>& u,
                                        const Ranges<Scalar>& dy,
                                        const Ranges<Scalar>& y,
                                        bool y_is_given = true) const {
    const Ranges<Scalar> p = WindowSums(Products(x_, u));
    Ranges<Scalar> d_dy, d_x, d_y, second;
    for (size_t j = 0; j < u.size(); ++j) {
      const R by_y = y[j] / norm_[j] * MinusTwoAlphaBeta();
      const R by_power = u[j] * power_[j];
      d_dy.push_back(MultiplyAddRange(by_y, p[j], by_power));
      const R inner = MultiplyAddRange(
          by_y, p[j], (y_is_given ? by_power : d_dy[j]) * Number(params_.beta));
      const R scale = dy[j] / norm_[j];
      d_y.push_back(IsZero(dy[j]) ? dy[j] : scale * MinusTwoAlphaBeta() * p[j]);
      second.push_back(IsZero(dy[j]) ? dy[j] : Negative(scale) * inner);
    }
    const Ranges<Scalar> first_sums = WindowSums(Terms(dy, y));
    const Ranges<Scalar> second_sums = WindowSums(second);
    for (size_t m = 0; m < u.size(); ++m) {
      const R sum = MultiplyAddRange(
          x_[m] * Coefficient(2.0 * params_.alpha), second_sums[m],
          u[m] * MinusTwoAlphaBeta() * first_sums[m]);
      const R direct = IsZero(dy[m]) ? dy[m] : d_y[m] * power_[m];
      d_x.push_back(y_is_given ? sum : Rounded(ExactSum(direct, sum)));
    }
    return {d_dy, d_x, d_y};
  }

 private:
  static R Number(Scalar value) { return R::Exactly(value); }
  static R Coefficient(double value) {
    return R::Exactly(static_cast<Scalar>(value));
  }
  R MinusTwoAlphaBeta() const {
    return Coefficient(-2.0 * params_.alpha * params_.beta);
  }
  static bool IsZero(const R& dy) { return dy.lo == 0 && dy.hi == 0; }

  static Ranges<Scalar> Products(const Ranges<Scalar>& a,
                                 const Ranges<Scalar>& b) {
    Ranges<Scalar> products;
    products.reserve(a.size());
    for (size_t j = 0; j < a.size(); ++j) products.push_back(a[j] * b[j]);
    return products;
  }

  Ranges<Scalar> Terms(const Ranges<Scalar>& dy,
                       const Ranges<Scalar>& y) const {
    Ranges<Scalar> terms;
    for (size_t j = 0; j < dy.size(); ++j) {
      terms.push_back(IsZero(dy[j]) ? dy[j] : dy[j] * y[j] / norm_[j]);
    }
    return terms;
  }

  // The sum over the window W(j) of each channel j.
  Ranges<Scalar> WindowSums(const Ranges<Scalar>& values) const {
    const size_t count = values.size();
    const size_t radius = static_cast<uint64_t>(params_.depth_radius) < count
                              ? static_cast<size_t>(params_.depth_radius)
                              : count;
    Ranges<Scalar> sums;
    for (size_t j = 0; j < count; ++j) {
      const size_t begin = j > radius ? j - radius : 0;
      const size_t end = std::min(count, j + radius + 1);
      // As long as windows cover the whole row, the sum does not change.
      if (j > 0 && begin == 0 && end == count && j + radius > count &&
          j - 1 + radius >= count) {
        sums.push_back(sums.back());
      } else {
        sums.push_back(SumRange(values, begin, end));
      }
    }
    return sums;
  }

  LrnParams params_;
  Ranges<Scalar> x_, norm_, power_;
};

template <class Scalar>
auto Expect(Lrn op, const LrnParams& p,
            const std::array<Ranges<Scalar>, 1>& in) {
  return Reference<Scalar>(p, in[0]).Results(op);
}
template <class Scalar>
auto Expect(LrnGrad op, const LrnParams& p,
            const std::array<Ranges<Scalar>, 3>& in) {
  return Reference<Scalar>(p, in[1]).Results(op, in[0], in[2]);
}
template <class Scalar>
auto Expect(LrnGradFromInput, const LrnParams& p,
            const std::array<Ranges<Scalar>, 2>& in) {
  const Reference<Scalar> reference(p, in[1]);
  const auto [y] = reference.Results(Lrn());
  return reference.Results(LrnGrad(), in[0], y);
}
template <class Scalar>
auto Expect(LrnGradGrad op, const LrnParams& p,
            const std::array<Ranges<Scalar>, 4>& in) {
  return Reference<Scalar>(p, in[2]).Results(op, in[0], in[1], in[3]);
}
template <class Scalar>
std::array<Ranges<Scalar>, 2> Expect(LrnGradGradFromInput, const LrnParams& p,
                                     const std::array<Ranges<Scalar>, 3>& in) {
  const Reference<Scalar> reference(p, in[2]);
  const auto [y] = reference.Results(Lrn());
  const auto [d_dy, d_x, d_y] =
      reference.Results(LrnGradGrad(), in[0], in[1], y, false);
  return {d_dy, d_x};
}

// ---- Checks.

struct Counts {
  uint64_t calls = 0;
  uint64_t values = 0;
  uint64_t undecided = 0;  // Values that may be anything.
  ~Counts() {
    std::fprintf(stderr,
                 "%llu kernel calls; %llu values compared, %llu of them free\n",
                 static_cast<unsigned long long>(calls),
                 static_cast<unsigned long long>(values),
                 static_cast<unsigned long long>(undecided));
  }
} counts;

template <class Op>
constexpr const char* kOpName = nullptr;
template <>
constexpr const char* kOpName<Lrn> = "LRN";
template <>
constexpr const char* kOpName<LrnGrad> = "LRNGrad";
template <>
constexpr const char* kOpName<LrnGradFromInput> = "LRNGradFromInput";
template <>
constexpr const char* kOpName<LrnGradGrad> = "LRNGradGrad";
template <>
constexpr const char* kOpName<LrnGradGradFromInput> = "LRNGradGradFromInput";

template <class Op, class T>
[[noreturn]] void Fail(const Case& c, const char* what) {
  const LrnParams& p = c.params;
  std::fprintf(stderr,
               "%s, %zu bytes a value, target %s: %s\n"
               "%lld rows of %lld channels, cut %lld, radius %lld, bias %a, "
               "alpha %a, beta %a\n",
               kOpName<Op>, sizeof(T), cpu::ActiveTarget().name, what,
               static_cast<long long>(c.rows),
               static_cast<long long>(c.channels),
               static_cast<long long>(c.cut),
               static_cast<long long>(p.depth_radius), p.bias, p.alpha, p.beta);
  std::abort();
}

// Whether `got` is in the range, once its ends are stored as T.
template <class T, class Scalar>
bool IsIn(const Range<Scalar>& range, T got) {
  const Wide value = Widen(got);
  if (std::isnan(value)) return range.nan;
  if (range.NoNumber()) return false;
  return Stored<T>(static_cast<Scalar>(range.lo)) <= value &&
         value <= Stored<T>(static_cast<Scalar>(range.hi));
}

template <class Op, class T>
class Checker {
 public:
  using Scalar = typename ComputeType<T>::type;

  explicit Checker(const Case& c) : c_(c) {
    inputs_.reserve(Op::kInputs);
    for (size_t i = 0; i < Op::kInputs; ++i) inputs_.push_back(Fill<T>(c, i));
    // The row at which the parts meet, and few others, to leave time for more
    // inputs.
    for (int64_t row = c.cut % c.rows; row < c.rows; row += kRowStep) {
      rows_.push_back(row);
      expected_.push_back(ExpectRow(c.params, row));
    }
  }

  void Run() {
    cpu::SetActiveTarget(*c_.target);
    // As much as the target needs.
    scratch_ = Scratch(cpu::ScratchBytes<T>(c_.params, c_.channels));
    const std::vector<Buffer<T>> outputs = RunAtOnce();
    CheckValues(outputs);
    CheckParts(outputs);
  }

  // Whether a radius that is larger by one would be detected.
  bool NoticesWrongRadius() {
    LrnParams wrong = c_.params;
    ++wrong.depth_radius;
    expected_[0] = ExpectRow(wrong, rows_[0]);
    const std::vector<Buffer<T>> outputs = RunAtOnce();
    for (int64_t j = 0; j < c_.channels; ++j) {
      if (!IsIn(expected_[0][0][j], outputs[0].data()[j])) return true;
    }
    return false;
  }

 private:
  using Expected = std::array<Ranges<Scalar>, Op::kOutputs>;

  static constexpr int64_t kRowStep = 50;

  Expected ExpectRow(const LrnParams& params, int64_t row) const {
    std::array<Ranges<Scalar>, Op::kInputs> values;
    for (size_t i = 0; i < Op::kInputs; ++i) {
      const T* data = inputs_[i].data() + row * c_.channels;
      for (int64_t j = 0; j < c_.channels; ++j) {
        values[i].push_back(Range<Scalar>::Exactly(Widen(data[j])));
      }
    }
    return Expect<Scalar>(Op(), params, values);
  }

  RowTensors<Op, T> Tensors(std::vector<Buffer<T>>& inputs,
                            const std::array<Buffer<T>*, Op::kOutputs>& out) {
    RowTensors<Op, T> tensors;
    for (size_t i = 0; i < Op::kInputs; ++i) tensors.in[i] = inputs[i].data();
    for (size_t i = 0; i < Op::kOutputs; ++i) tensors.out[i] = out[i]->data();
    tensors.rows = c_.rows;
    tensors.channels = c_.channels;
    return tensors;
  }

  void Compute(const RowTensors<Op, T>& tensors) {
    cpu::Compute(c_.params, tensors, scratch_);
    ++counts.calls;
  }

  std::vector<Buffer<T>> NewOutputs() const {
    std::vector<Buffer<T>> outputs;
    outputs.reserve(Op::kOutputs);
    for (size_t i = 0; i < Op::kOutputs; ++i) {
      outputs.emplace_back(c_.rows * c_.channels,
                           (c_.offsets >> (16 + 4 * i)) % 16);
    }
    return outputs;
  }

  std::vector<Buffer<T>> RunAtOnce() {
    std::vector<Buffer<T>> outputs = NewOutputs();
    std::vector<Buffer<T>> inputs = inputs_;
    std::array<Buffer<T>*, Op::kOutputs> out;
    for (size_t i = 0; i < Op::kOutputs; ++i) out[i] = &outputs[i];
    Compute(Tensors(inputs, out));
    for (size_t i = 0; i < Op::kInputs; ++i) {
      if (!inputs[i].HasBitsOf(inputs_[i])) Fail<Op, T>(c_, "an input changed");
    }
    for (const Buffer<T>& output : outputs) {
      if (!output.UntouchedBefore()) Fail<Op, T>(c_, "wrote before an output");
    }
    return outputs;
  }

  void CheckValues(const std::vector<Buffer<T>>& outputs) {
    for (size_t r = 0; r < rows_.size(); ++r) {
      for (size_t i = 0; i < Op::kOutputs; ++i) {
        for (int64_t j = 0; j < c_.channels; ++j) {
          const Range<Scalar>& range = expected_[r][i][j];
          const T got = outputs[i].data()[rows_[r] * c_.channels + j];
          ++counts.values;
          counts.undecided += range.IsAnything();
          if (IsIn(range, got)) continue;
          std::fprintf(stderr,
                       "output %zu, row %lld, channel %lld: %.17g is not in "
                       "[%.17Lg, %.17Lg], %s\n",
                       i, static_cast<long long>(rows_[r]),
                       static_cast<long long>(j),
                       static_cast<double>(Widen(got)), range.lo, range.hi,
                       range.nan ? "nor NaN" : "and NaN is not allowed");
          Fail<Op, T>(c_, "a wrong result");
        }
      }
    }
  }

  // In two parts, with outputs over inputs whose buffers they may share.
  void CheckParts(const std::vector<Buffer<T>>& expected) {
    std::vector<Buffer<T>> inputs = inputs_;
    std::vector<Buffer<T>> own = NewOutputs();
    std::array<Buffer<T>*, Op::kOutputs> out;
    for (size_t i = 0; i < Op::kOutputs; ++i) {
      // For second gradients, output i over input i + 1; else, over any input.
      const size_t input =
          Op::kOutputs > 1 ? i + 1 : (c_.shared >> 1) % Op::kInputs;
      out[i] = (c_.shared >> (i * (Op::kOutputs > 1))) & 1 ? &inputs[input]
                                                           : &own[i];
    }
    const RowTensors<Op, T> tensors = Tensors(inputs, out);
    Compute(tensors.Range(0, c_.cut));
    Compute(tensors.Range(c_.cut, c_.rows));
    for (size_t i = 0; i < Op::kOutputs; ++i) {
      if (!out[i]->HasBitsOfButForNans(expected[i])) {
        Fail<Op, T>(c_, "other bits in parts, or over an input");
      }
    }
  }

  const Case& c_;
  void* scratch_ = nullptr;
  std::vector<Buffer<T>> inputs_;
  std::vector<int64_t> rows_;
  std::vector<Expected> expected_;
};

template <class Op>
void RunOnType(unsigned type, const Case& c) {
  const auto run = [&c](auto zero) { Checker<Op, decltype(zero)>(c).Run(); };
  switch (type % 4) {
    case 0:
      return run(Half{});
    case 1:
      return run(BFloat16{});
    case 2:
      return run(float{});
    default:
      return run(double{});
  }
}

// A check that accepts everything would find nothing.
template <class Op, class T>
void MustNoticeErrors() {
  Case c{};
  c.params = {2, 1, 1, 0.75f};
  c.rows = 1;
  c.channels = 20;
  c.ordinary = 16;
  c.target = cpu::SupportedTargets().front();
  Checker<Op, T> checker(c);
  checker.Run();
  if (!checker.NoticesWrongRadius()) Fail<Op, T>(c, "the fuzzer is blind");
}

template <class T>
void MustNoticeErrors() {
  MustNoticeErrors<Lrn, T>();
  MustNoticeErrors<LrnGrad, T>();
  MustNoticeErrors<LrnGradFromInput, T>();
  MustNoticeErrors<LrnGradGrad, T>();
  MustNoticeErrors<LrnGradGradFromInput, T>();
}

void FuzzRows(const uint8_t* bytes, size_t size) {
  FuzzedDataProvider data(bytes, size);
  const auto kind = data.ConsumeIntegral<uint8_t>();
  const Case c = MakeCase(data);
  const LrnParams& p = c.params;
  const bool valid = p.depth_radius >= 0 && std::isfinite(p.bias) &&
                     std::isfinite(p.alpha) && std::isfinite(p.beta);
  if (ValidateParams(p).empty() != valid) std::abort();
  if (!valid) return;
  switch (kind / 4 % 5) {
    case 0:
      return RunOnType<Lrn>(kind, c);
    case 1:
      return RunOnType<LrnGrad>(kind, c);
    case 2:
      return RunOnType<LrnGradFromInput>(kind, c);
    case 3:
      return RunOnType<LrnGradGrad>(kind, c);
    default:
      return RunOnType<LrnGradGradFromInput>(kind, c);
  }
}

}  // namespace
}  // namespace tflrn

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  tflrn::MustNoticeErrors<tflrn::Half>();
  tflrn::MustNoticeErrors<tflrn::BFloat16>();
  tflrn::MustNoticeErrors<float>();
  tflrn::MustNoticeErrors<double>();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  tflrn::FuzzRows(bytes, size);
  return 0;
}
