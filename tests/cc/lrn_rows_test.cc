// Tests of cc/cpu: every target that this processor can run, against the
// formulas in a wider type, written out with plain windows.
#include "cc/cpu/lrn_rows.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cc/core/float16.h"
#include "cc/core/types.h"
#include "cc/cpu/float_mode.h"
#include "cc/cpu/targets.h"
#include "gtest/gtest.h"

namespace tflrn::cpu {
namespace {

// What results are compared with: x86-64's 80 bits. Elsewhere long double is
// slow software, and double must do, whose own errors the bounds have room for.
#ifdef __x86_64__
using Wide = long double;
#else
using Wide = double;
#endif

double Widen(Half value) {
  return HalfBitsToFloat<float>(uint32_t{value.bits});
}
double Widen(BFloat16 value) {
  return BFloat16BitsToFloat<float>(uint32_t{value.bits});
}
double Widen(float value) { return value; }
double Widen(double value) { return value; }

template <class T>
T Round(double value);
template <>
Half Round(double value) {
  return {static_cast<uint16_t>(FloatToHalfBits(static_cast<float>(value)))};
}
template <>
BFloat16 Round(double value) {
  return {
      static_cast<uint16_t>(FloatToBFloat16Bits(static_cast<float>(value)))};
}
template <>
float Round(double value) {
  return static_cast<float>(value);
}
template <>
double Round(double value) {
  return value;
}

// Half the distance of neighbours, relative to the value: the error of one
// rounding to T.
template <class T>
double RoundingError() {
  return std::is_same_v<T, Half> ? 0x1p-11
         : std::is_same_v<T, BFloat16>
             ? 0x1p-8
             : std::numeric_limits<typename ComputeType<T>::type>::epsilon() /
                   2;
}

struct Expected {
  Wide value;
  Wide magnitude;  // The sum of the magnitudes of the terms.
};

// One row of LRN, LRNGrad or LRNGradGrad.
struct Row {
  std::vector<Wide> dy, x, y, u;
};

Wide NormAt(const LrnParams& p, const Row& row, int64_t j) {
  const int64_t count = static_cast<int64_t>(row.x.size());
  const int64_t radius = std::min(p.depth_radius, count);
  Wide sum = 0;
  for (int64_t k = std::max<int64_t>(0, j - radius);
       k <= std::min(count - 1, j + radius); ++k) {
    sum += row.x[k] * row.x[k];
  }
  return static_cast<Wide>(p.bias) + p.alpha * sum;
}

Wide PowerAt(const LrnParams& p, Wide norm) {
  return std::pow(norm, -static_cast<Wide>(p.beta));
}

std::vector<Expected> ExpectedLrn(const LrnParams& p, const Row& row) {
  std::vector<Expected> expected;
  for (size_t j = 0; j < row.x.size(); ++j) {
    const Wide y = row.x[j] * PowerAt(p, NormAt(p, row, j));
    expected.push_back({y, std::abs(y)});
  }
  return expected;
}

std::vector<Expected> ExpectedLrnGrad(const LrnParams& p, const Row& row) {
  const int64_t count = static_cast<int64_t>(row.x.size());
  const int64_t radius = std::min(p.depth_radius, count);
  std::vector<Wide> norm, term;
  for (int64_t j = 0; j < count; ++j) {
    norm.push_back(NormAt(p, row, j));
    term.push_back(row.dy[j] == 0 ? 0 : row.dy[j] * row.y[j] / norm[j]);
  }
  std::vector<Expected> expected;
  for (int64_t k = 0; k < count; ++k) {
    const Wide direct = row.dy[k] == 0 ? 0 : row.dy[k] * PowerAt(p, norm[k]);
    const Wide factor = 2.0 * p.alpha * p.beta * row.x[k];
    Expected sum{direct, std::abs(direct)};
    for (int64_t j = std::max<int64_t>(0, k - radius);
         j <= std::min(count - 1, k + radius); ++j) {
      sum.value -= factor * term[j];
      sum.magnitude += std::abs(factor * term[j]);
    }
    expected.push_back(sum);
  }
  return expected;
}

// The sum of values over the window of channel j, and that of the magnitudes.
Expected WindowSumAt(const LrnParams& p, const std::vector<Expected>& values,
                     int64_t j) {
  const int64_t count = static_cast<int64_t>(values.size());
  const int64_t radius = std::min(p.depth_radius, count);
  Expected sum{0, 0};
  for (int64_t k = std::max<int64_t>(0, j - radius);
       k <= std::min(count - 1, j + radius); ++k) {
    sum.value += values[k].value;
    sum.magnitude += values[k].magnitude;
  }
  return sum;
}

struct ExpectedGradGrad {
  std::vector<Expected> d_dy, d_x, d_y;
};

ExpectedGradGrad ExpectedLrnGradGrad(const LrnParams& p, const Row& row) {
  const int64_t count = static_cast<int64_t>(row.x.size());
  const Wide two_alpha = 2.0 * p.alpha;
  const Wide two_alpha_beta = two_alpha * p.beta;
  std::vector<Expected> products;
  for (int64_t j = 0; j < count; ++j) {
    const Wide product = row.x[j] * row.u[j];
    products.push_back({product, std::abs(product)});
  }
  ExpectedGradGrad expected;
  std::vector<Expected> terms, second_terms;
  for (int64_t j = 0; j < count; ++j) {
    const Wide norm = NormAt(p, row, j);
    const Wide power = PowerAt(p, norm);
    const Expected sum = WindowSumAt(p, products, j);
    const Wide y_part = two_alpha_beta * row.y[j] / norm;
    const Wide dy_part = two_alpha_beta * row.dy[j] / norm;
    expected.d_dy.push_back(
        {row.u[j] * power - y_part * sum.value,
         std::abs(row.u[j] * power) + std::abs(y_part) * sum.magnitude});
    expected.d_y.push_back(
        {-dy_part * sum.value, std::abs(dy_part) * sum.magnitude});
    const Wide term = row.dy[j] * row.y[j] / norm;
    terms.push_back({term, std::abs(term)});
    const Wide scale = row.dy[j] / norm;
    const Wide by_power = p.beta * row.u[j] * power;
    second_terms.push_back(
        {scale * (y_part * sum.value - by_power),
         std::abs(scale) *
             (std::abs(y_part) * sum.magnitude + std::abs(by_power))});
  }
  for (int64_t m = 0; m < count; ++m) {
    const Expected first = WindowSumAt(p, terms, m);
    const Expected second = WindowSumAt(p, second_terms, m);
    const Wide by_u = two_alpha_beta * row.u[m];
    const Wide by_x = two_alpha * row.x[m];
    expected.d_x.push_back(
        {by_x * second.value - by_u * first.value,
         std::abs(by_x) * second.magnitude + std::abs(by_u) * first.magnitude});
  }
  return expected;
}

// A buffer that is as long as it says, so that the address sanitizer sees each
// access past its end; `offset` elements of it come before the data.
template <class T>
class Tensor {
 public:
  Tensor(int64_t size, int64_t offset)
      : storage_(size + offset), data_(offset) {}
  T* data() { return storage_.data() + data_; }
  int64_t size() const { return static_cast<int64_t>(storage_.size()) - data_; }

 private:
  std::vector<T> storage_;
  int64_t data_;
};

template <class T>
void FillNormal(std::mt19937& random, Tensor<T>& tensor) {
  std::normal_distribution<double> normal;
  for (int64_t i = 0; i < tensor.size(); ++i) {
    tensor.data()[i] = Round<T>(normal(random));
  }
}

uint32_t Seed(const LrnParams& params, int64_t channels) {
  // Unsigned: the largest radius has no successor.
  return static_cast<uint32_t>(static_cast<uint64_t>(channels) * 131 +
                               static_cast<uint64_t>(params.depth_radius));
}

// The scratch memory of a call, poisoned: its contents must not matter.
std::vector<double> Scratch(const LrnParams& params, int64_t channels) {
  return std::vector<double>(ScratchBytes(params, channels) / sizeof(double),
                             std::numeric_limits<double>::quiet_NaN());
}

template <class T>
void RunLrn(const LrnParams& p, T* x, T* y, int64_t rows, int64_t channels) {
  std::vector<double> scratch = Scratch(p, channels);
  LrnRows<T>(p, x, y, rows, channels, scratch.data());
}

template <class T>
void RunLrnGrad(const LrnParams& p, T* dy, T* x, T* y, T* dx, int64_t rows,
                int64_t channels) {
  std::vector<double> scratch = Scratch(p, channels);
  LrnGradRows<T>(p, dy, x, y, dx, rows, channels, scratch.data());
}

template <class T>
void RunLrnGradGrad(const LrnParams& p, T* u, T* dy, T* x, T* y, T* d_dy,
                    T* d_x, T* d_y, int64_t rows, int64_t channels) {
  std::vector<double> scratch = Scratch(p, channels);
  LrnGradGradRows<T>(p, u, dy, x, y, d_dy, d_x, d_y, rows, channels,
                     scratch.data());
}

template <class T>
void ExpectClose(const std::vector<Expected>& expected, const T* result,
                 int64_t summands, const std::string& where) {
  using Scalar = typename ComputeType<T>::type;
  const double eps = std::numeric_limits<Scalar>::epsilon();
  for (size_t j = 0; j < expected.size(); ++j) {
    const double value = Widen(result[j]);
    const auto exact = static_cast<double>(expected[j].value);
    double tolerance = static_cast<double>(summands + 8) * eps *
                       static_cast<double>(expected[j].magnitude);
    if (sizeof(T) == 2) {
      // One rounding; 2^-24 is the distance of denormal halves.
      tolerance += RoundingError<T>() * std::abs(exact) + 0x1p-25;
    }
    ASSERT_NEAR(value, exact, tolerance) << where << ", channel " << j;
  }
}

template <class T>
Row RowOf(Tensor<T>& dy, Tensor<T>& x, Tensor<T>& y, int64_t row,
          int64_t channels) {
  Row result;
  for (int64_t j = row * channels; j < (row + 1) * channels; ++j) {
    result.dy.push_back(Widen(dy.data()[j]));
    result.x.push_back(Widen(x.data()[j]));
    result.y.push_back(Widen(y.data()[j]));
  }
  return result;
}

// Runs a test on each target, and names the one that fails.
class LrnRowsTest : public ::testing::TestWithParam<const Target*> {
 protected:
  void SetUp() override { SetActiveTarget(*GetParam()); }
  void TearDown() override { SetActiveTarget(*SupportedTargets().front()); }
};

template <class T>
void TestAgainstFormulas(const LrnParams& p, int64_t rows, int64_t channels,
                         int64_t offset) {
  std::mt19937 random(Seed(p, channels));
  const int64_t size = rows * channels;
  Tensor<T> dy(size, offset), x(size, offset), y(size, offset);
  Tensor<T> forward(size, offset), dx(size, offset);
  FillNormal(random, dy);
  FillNormal(random, x);
  FillNormal(random, y);
  for (int64_t i = 0; i < size; i += 7) dy.data()[i] = Round<T>(0);
  RunLrn<T>(p, x.data(), forward.data(), rows, channels);
  RunLrnGrad<T>(p, dy.data(), x.data(), y.data(), dx.data(), rows, channels);
  const int64_t summands =
      std::min(2 * std::min(p.depth_radius, channels) + 1, channels);
  for (int64_t row = 0; row < rows; row += std::max<int64_t>(1, rows / 5)) {
    const std::string where =
        std::to_string(rows) + " rows of " + std::to_string(channels) +
        ", radius " + std::to_string(p.depth_radius) + ", beta " +
        std::to_string(p.beta) + ", row " + std::to_string(row);
    const Row values = RowOf(dy, x, y, row, channels);
    ExpectClose(ExpectedLrn(p, values), forward.data() + row * channels,
                summands, "LRN, " + where);
    ExpectClose(ExpectedLrnGrad(p, values), dx.data() + row * channels,
                2 * summands, "LRNGrad, " + where);
  }
}

template <class T>
void TestGradGradAgainstFormulas(const LrnParams& p, int64_t rows,
                                 int64_t channels, int64_t offset) {
  std::mt19937 random(Seed(p, channels) + 1);
  const int64_t size = rows * channels;
  Tensor<T> u(size, offset), dy(size, offset), x(size, offset), y(size, offset);
  Tensor<T> d_dy(size, offset), d_x(size, offset), d_y(size, offset);
  FillNormal(random, u);
  FillNormal(random, dy);
  FillNormal(random, x);
  FillNormal(random, y);
  for (int64_t i = 0; i < size; i += 7) dy.data()[i] = Round<T>(0);
  for (int64_t i = 0; i < size; i += 5) u.data()[i] = Round<T>(0);
  RunLrnGradGrad<T>(p, u.data(), dy.data(), x.data(), y.data(), d_dy.data(),
                    d_x.data(), d_y.data(), rows, channels);
  const int64_t window =
      std::min(2 * std::min(p.depth_radius, channels) + 1, channels);
  // Three sums in each other: the norm's, that of products, that of terms.
  const int64_t summands = 3 * window;
  for (int64_t row = 0; row < rows; row += std::max<int64_t>(1, rows / 5)) {
    const std::string where =
        std::to_string(rows) + " rows of " + std::to_string(channels) +
        ", radius " + std::to_string(p.depth_radius) + ", beta " +
        std::to_string(p.beta) + ", row " + std::to_string(row);
    Row values = RowOf(dy, x, y, row, channels);
    for (int64_t j = row * channels; j < (row + 1) * channels; ++j) {
      values.u.push_back(Widen(u.data()[j]));
    }
    const ExpectedGradGrad expected = ExpectedLrnGradGrad(p, values);
    const int64_t at = row * channels;
    ExpectClose(expected.d_dy, d_dy.data() + at, summands, "d_dy, " + where);
    ExpectClose(expected.d_x, d_x.data() + at, summands, "d_x, " + where);
    ExpectClose(expected.d_y, d_y.data() + at, summands, "d_y, " + where);
  }
}

constexpr int64_t kChannels[] = {1,  2,  3,  7,  8,   15,   16,   17,  31,
                                 32, 33, 64, 96, 256, 1000, 1025, 3000};
constexpr int64_t kRadii[] = {
    0, 1, 2, 5, 7, 8, 9, 64, 16, 33, 5000, std::numeric_limits<int64_t>::max()};

// bias, alpha and beta in turn over the sizes: all pairs of sizes, all
// parameters, not all combinations of both.
constexpr LrnParams kParams[] = {{0, 2, 1e-4f, 0.75f}, {0, 1, 1, 0.5f},
                                 {0, 1, 1, 1},         {0, 1e-5f, 1, 0.3f},
                                 {0, 1, 0.5f, 2},      {0, 2, 1, 0},
                                 {0, 1, 1e-4f, -0.5f}, {0, 2, -1e-4f, 0.5f}};

template <class T>
void TestSizes() {
  size_t turn = 0;
  for (const int64_t channels : kChannels) {
    for (const int64_t radius : kRadii) {
      LrnParams p = kParams[turn++ % std::size(kParams)];
      p.depth_radius = radius;
      // Few rows, and enough for several blocks.
      TestAgainstFormulas<T>(p, 1, channels, 0);
      TestAgainstFormulas<T>(p, 2500 / channels + 3, channels, turn % 4);
      TestGradGradAgainstFormulas<T>(p, 1, channels, 0);
      TestGradGradAgainstFormulas<T>(p, 2500 / channels + 3, channels,
                                     turn % 4);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST_P(LrnRowsTest, HalfIsTheFormulas) { TestSizes<Half>(); }
TEST_P(LrnRowsTest, BFloat16IsTheFormulas) { TestSizes<BFloat16>(); }
TEST_P(LrnRowsTest, FloatIsTheFormulas) { TestSizes<float>(); }
TEST_P(LrnRowsTest, DoubleIsTheFormulas) { TestSizes<double>(); }

// A running sum that subtracts would lose the small values next to the large.
TEST_P(LrnRowsTest, LargeNeighboursDoNotHarmSmallValues) {
  constexpr int64_t kCount = 512;
  for (const int64_t radius : {2, 64}) {
    const LrnParams p{radius, 1, 1, 0.5f};
    Tensor<float> dy(kCount, 0), x(kCount, 0), y(kCount, 0), dx(kCount, 0);
    for (int64_t j = 0; j < kCount; ++j) {
      dy.data()[j] = 1;
      x.data()[j] = j % 200 == 100 ? 1e9f : 1e-3f * static_cast<float>(j % 7);
      y.data()[j] = x.data()[j];
    }
    RunLrnGrad(p, dy.data(), x.data(), y.data(), dx.data(), 1, kCount);
    ExpectClose(ExpectedLrnGrad(p, RowOf(dy, x, y, 0, kCount)), dx.data(),
                2 * (2 * radius + 1), "radius " + std::to_string(radius));
  }
}

TEST_P(LrnRowsTest, NanAndInfinityStayInTheirWindows) {
  constexpr int64_t kCount = 600;
  constexpr int64_t kBad = 300;
  for (const float bad : {NAN, INFINITY}) {
    for (const int64_t radius : {0, 1, 5, 8, 9, 64, 200}) {
      const LrnParams p{radius, 1, 1, 0.5f};
      Tensor<float> x(kCount, 0), y(kCount, 0), dx(kCount, 0);
      std::mt19937 random(3);
      FillNormal(random, x);
      x.data()[kBad] = bad;
      RunLrn(p, x.data(), y.data(), 1, kCount);
      for (int64_t j = 0; j < kCount; ++j) {
        const bool inside = std::abs(j - kBad) <= radius;
        if (!inside) {
          EXPECT_TRUE(std::isfinite(y.data()[j])) << j;
        } else if (std::isnan(bad) || j == kBad) {
          EXPECT_TRUE(std::isnan(y.data()[j])) << j;
        } else {
          EXPECT_EQ(y.data()[j], 0) << j;
        }
      }
    }
  }
}

TEST_P(LrnRowsTest, AZeroGradientContributesNothing) {
  // The norm is 0 in the first channel and negative in the second, so that its
  // power is infinite and NaN.
  const LrnParams p{0, 0, -1, 0.5f};
  float dy[] = {0, 0}, x[] = {0, 1}, y[] = {NAN, INFINITY}, dx[] = {7, 7};
  RunLrnGrad(p, dy, x, y, dx, 1, 2);
  EXPECT_EQ(dx[0], 0);
  EXPECT_EQ(dx[1], 0);
  dy[0] = dy[1] = 1;
  y[0] = y[1] = 1;
  RunLrnGrad(p, dy, x, y, dx, 1, 2);
  EXPECT_TRUE(std::isnan(dx[0]));
  EXPECT_TRUE(std::isnan(dx[1]));
}

TEST_P(LrnRowsTest, AZeroGradientContributesNothingToItsGradients) {
  // The norms are 0 and -1, as above.
  const LrnParams p{0, 0, -1, 0.5f};
  float u[] = {1, 1}, dy[] = {0, 0}, x[] = {0, 1}, y[] = {NAN, INFINITY};
  float d_dy[2], d_x[] = {7, 7}, d_y[] = {7, 7};
  RunLrnGradGrad(p, u, dy, x, y, d_dy, d_x, d_y, 1, 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(d_x[i], 0);
    EXPECT_EQ(d_y[i], 0);
    // With respect to dy, the formula holds.
    EXPECT_TRUE(std::isnan(d_dy[i]));
  }
}

template <class T>
void ExpectSameBits(const T* a, const T* b, int64_t count,
                    const std::string& where) {
  EXPECT_EQ(std::memcmp(a, b, count * sizeof(T)), 0) << where;
}

template <class T>
void TestPartitionAndAliasing() {
  std::mt19937 random(5);
  for (const int64_t channels : {1, 3, 16, 24, 96, 1000}) {
    for (const int64_t radius : {0, 2, 12, 2000}) {
      const LrnParams p{radius, 1, 0.5f, 0.75f};
      const int64_t rows = 3000 / channels + 5;
      const int64_t size = rows * channels;
      const std::string where = std::to_string(channels) +
                                " channels, radius " + std::to_string(radius);
      Tensor<T> dy(size, 0), x(size, 0), y(size, 0), dx(size, 0);
      FillNormal(random, dy);
      FillNormal(random, x);
      RunLrn<T>(p, x.data(), y.data(), rows, channels);
      RunLrnGrad<T>(p, dy.data(), x.data(), y.data(), dx.data(), rows,
                    channels);

      for (const int64_t parts : {int64_t{2}, int64_t{3}, rows}) {
        Tensor<T> part(size, 0);
        for (int64_t n = 0; n < parts; ++n) {
          const int64_t begin = rows * n / parts, end = rows * (n + 1) / parts;
          const int64_t at = begin * channels;
          RunLrnGrad<T>(p, dy.data() + at, x.data() + at, y.data() + at,
                        part.data() + at, end - begin, channels);
        }
        ExpectSameBits(part.data(), dx.data(), size,
                       where + ", parts " + std::to_string(parts));
      }
      for (int aliased = 0; aliased < 3; ++aliased) {
        Tensor<T> inputs[] = {dy, x, y};
        RunLrnGrad<T>(p, inputs[0].data(), inputs[1].data(), inputs[2].data(),
                      inputs[aliased].data(), rows, channels);
        ExpectSameBits(
            inputs[aliased].data(), dx.data(), size,
            where + ", output over input " + std::to_string(aliased));
      }
      Tensor<T> in_place = x;
      RunLrn<T>(p, in_place.data(), in_place.data(), rows, channels);
      ExpectSameBits(in_place.data(), y.data(), size, where + ", LRN in place");
    }
  }
}

template <class T>
void TestGradGradPartitionAndAliasing() {
  std::mt19937 random(7);
  for (const int64_t channels : {1, 3, 16, 24, 96, 1000}) {
    for (const int64_t radius : {0, 2, 12, 2000}) {
      const LrnParams p{radius, 1, 0.5f, 0.75f};
      const int64_t rows = 3000 / channels + 5;
      const int64_t size = rows * channels;
      const std::string where = std::to_string(channels) +
                                " channels, radius " + std::to_string(radius);
      Tensor<T> u(size, 0), dy(size, 0), x(size, 0), y(size, 0);
      Tensor<T> d_dy(size, 0), d_x(size, 0), d_y(size, 0);
      for (Tensor<T>* input : {&u, &dy, &x, &y}) FillNormal(random, *input);
      RunLrnGradGrad<T>(p, u.data(), dy.data(), x.data(), y.data(), d_dy.data(),
                        d_x.data(), d_y.data(), rows, channels);
      const auto expect_same = [&](Tensor<T>& other_d_dy, Tensor<T>& other_d_x,
                                   Tensor<T>& other_d_y,
                                   const std::string& what) {
        ExpectSameBits(other_d_dy.data(), d_dy.data(), size,
                       where + what + ", d_dy");
        ExpectSameBits(other_d_x.data(), d_x.data(), size,
                       where + what + ", d_x");
        ExpectSameBits(other_d_y.data(), d_y.data(), size,
                       where + what + ", d_y");
      };
      for (const int64_t parts : {int64_t{2}, int64_t{3}, rows}) {
        Tensor<T> part_d_dy(size, 0), part_d_x(size, 0), part_d_y(size, 0);
        for (int64_t n = 0; n < parts; ++n) {
          const int64_t begin = rows * n / parts, end = rows * (n + 1) / parts;
          const int64_t at = begin * channels;
          RunLrnGradGrad<T>(p, u.data() + at, dy.data() + at, x.data() + at,
                            y.data() + at, part_d_dy.data() + at,
                            part_d_x.data() + at, part_d_y.data() + at,
                            end - begin, channels);
        }
        expect_same(part_d_dy, part_d_x, part_d_y,
                    ", parts " + std::to_string(parts));
      }
      // Each set of outputs that are written over their inputs.
      for (int over = 1; over < 8; ++over) {
        Tensor<T> inputs[] = {dy, x, y};
        Tensor<T> own[] = {Tensor<T>(size, 0), Tensor<T>(size, 0),
                           Tensor<T>(size, 0)};
        Tensor<T>* outputs[3];
        for (int i = 0; i < 3; ++i) {
          outputs[i] = (over >> i) & 1 ? &inputs[i] : &own[i];
        }
        RunLrnGradGrad<T>(p, u.data(), inputs[0].data(), inputs[1].data(),
                          inputs[2].data(), outputs[0]->data(),
                          outputs[1]->data(), outputs[2]->data(), rows,
                          channels);
        expect_same(*outputs[0], *outputs[1], *outputs[2],
                    ", outputs over inputs " + std::to_string(over));
      }
    }
  }
}

TEST_P(LrnRowsTest, HalfIsFreeOfPartitionAndAliasing) {
  TestPartitionAndAliasing<Half>();
  TestGradGradPartitionAndAliasing<Half>();
}
TEST_P(LrnRowsTest, BFloat16IsFreeOfPartitionAndAliasing) {
  TestPartitionAndAliasing<BFloat16>();
  TestGradGradPartitionAndAliasing<BFloat16>();
}
TEST_P(LrnRowsTest, FloatIsFreeOfPartitionAndAliasing) {
  TestPartitionAndAliasing<float>();
  TestGradGradPartitionAndAliasing<float>();
}
TEST_P(LrnRowsTest, DoubleIsFreeOfPartitionAndAliasing) {
  TestPartitionAndAliasing<double>();
  TestGradGradPartitionAndAliasing<double>();
}

TEST_P(LrnRowsTest, PointersNeedTheAlignmentOfTheirTypeOnly) {
  for (int64_t offset = 0; offset < 16; ++offset) {
    TestAgainstFormulas<Half>({2, 1, 1, 0.5f}, 4, 33, offset);
    TestAgainstFormulas<float>({2, 1, 1, 0.5f}, 4, 33, offset);
    TestAgainstFormulas<double>({9, 1, 1, 0.5f}, 4, 33, offset);
    TestGradGradAgainstFormulas<Half>({2, 1, 1, 0.5f}, 4, 33, offset);
    TestGradGradAgainstFormulas<float>({2, 1, 1, 0.5f}, 4, 33, offset);
    TestGradGradAgainstFormulas<double>({9, 1, 1, 0.5f}, 4, 33, offset);
  }
}

TEST_P(LrnRowsTest, NothingIsDoneForNoRows) {
  const LrnParams p;
  std::vector<double> scratch = Scratch(p, 0);
  LrnRows<float>(p, nullptr, nullptr, 0, 5, scratch.data());
  LrnRows<float>(p, nullptr, nullptr, 5, 0, scratch.data());
  LrnGradRows<float>(p, nullptr, nullptr, nullptr, nullptr, 0, 0,
                     scratch.data());
  LrnGradGradRows<float>(p, nullptr, nullptr, nullptr, nullptr, nullptr,
                         nullptr, nullptr, 0, 5, scratch.data());
}

#ifdef __x86_64__
// TensorFlow's worker threads flush denormals, the main thread does not.
TEST_P(LrnRowsTest, DenormalsCountInEveryFloatMode) {
  const LrnParams p{0, 0, 0x1p100f, 0.5f};
  float x[] = {0x1p-130f}, y[1], flushed[1];
  RunLrn(p, x, y, 1, 1);
  const unsigned saved = _mm_getcsr();
  _mm_setcsr(saved | 0x8040);  // Flush to zero, denormals are zero.
  RunLrn(p, x, flushed, 1, 1);
  const unsigned after = _mm_getcsr();
  _mm_setcsr(saved);
  EXPECT_EQ(after, saved | 0x8040) << "the caller's mode is restored";
  EXPECT_EQ(BitCast<uint32_t>(y[0]), BitCast<uint32_t>(flushed[0]));
  const LrnParams keep{0, 1, 0, 0.5f};
  RunLrn(keep, x, y, 1, 1);
  EXPECT_EQ(y[0], x[0]);
}
#endif

INSTANTIATE_TEST_SUITE_P(Targets, LrnRowsTest,
                         ::testing::ValuesIn(SupportedTargets()),
                         [](const auto& info) {
                           return std::string(info.param->name);
                         });

}  // namespace
}  // namespace tflrn::cpu
