// Tests of cc/cpu: every target that this processor can run, against the
// formulas of lrn_reference.h.
#include "cc/cpu/lrn_rows.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cc/core/float16.h"
#include "cc/core/types.h"
#include "cc/cpu/float_mode.h"
#include "cc/cpu/targets.h"
#include "gtest/gtest.h"
#include "tests/cc/lrn_reference.h"

namespace tflrn::cpu {
namespace {

// A buffer that ends where its data ends, so that the address sanitizer sees
// every access past its end; `offset` elements come before the data.
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
  // Unsigned, since the sum would overflow for the largest radius.
  return static_cast<uint32_t>(static_cast<uint64_t>(channels) * 131 +
                               static_cast<uint64_t>(params.depth_radius));
}

// The scratch memory of a call, full of NaN: its contents must not matter.
template <class T>
std::vector<double> Scratch(const LrnParams& params, int64_t channels) {
  return std::vector<double>(ScratchBytes<T>(params, channels) / sizeof(double),
                             std::numeric_limits<double>::quiet_NaN());
}

template <class T>
void RunLrn(const LrnParams& p, T* x, T* y, int64_t rows, int64_t channels) {
  std::vector<double> scratch = Scratch<T>(p, channels);
  LrnRows<T>(p, x, y, rows, channels, scratch.data());
}

template <class T>
void RunLrnGrad(const LrnParams& p, T* dy, T* x, T* y, T* dx, int64_t rows,
                int64_t channels) {
  std::vector<double> scratch = Scratch<T>(p, channels);
  LrnGradRows<T>(p, dy, x, y, dx, rows, channels, scratch.data());
}

template <class T>
void RunLrnGradFromInput(const LrnParams& p, T* dy, T* x, T* dx, int64_t rows,
                         int64_t channels) {
  RunLrnGrad<T>(p, dy, x, nullptr, dx, rows, channels);
}

template <class T>
void RunLrnGradGrad(const LrnParams& p, T* u, T* dy, T* x, T* y, T* d_dy,
                    T* d_x, T* d_y, int64_t rows, int64_t channels) {
  std::vector<double> scratch = Scratch<T>(p, channels);
  LrnGradGradRows<T>(p, u, dy, x, y, d_dy, d_x, d_y, rows, channels,
                     scratch.data());
}

template <class T>
void RunLrnGradGradFromInput(const LrnParams& p, T* u, T* dy, T* x, T* d_dy,
                             T* d_x, int64_t rows, int64_t channels) {
  RunLrnGradGrad<T>(p, u, dy, x, nullptr, d_dy, d_x, nullptr, rows, channels);
}

template <class T>
void ExpectClose(const std::vector<Expected>& expected, const T* result,
                 int64_t summands, const std::string& where) {
  for (size_t j = 0; j < expected.size(); ++j) {
    ASSERT_NEAR(AsDouble(result[j]), static_cast<double>(expected[j].value),
                Tolerance<T>(expected[j], summands))
        << where << ", channel " << j;
  }
}

template <class T>
Row RowOf(Tensor<T>& dy, Tensor<T>& x, Tensor<T>& y, int64_t row,
          int64_t channels) {
  Row result;
  for (int64_t j = row * channels; j < (row + 1) * channels; ++j) {
    result.dy.push_back(AsDouble(dy.data()[j]));
    result.x.push_back(AsDouble(x.data()[j]));
    result.y.push_back(AsDouble(y.data()[j]));
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
  Tensor<T> forward(size, offset), dx(size, offset), dx_from_input = dx;
  FillNormal(random, dy);
  FillNormal(random, x);
  FillNormal(random, y);
  for (int64_t i = 0; i < size; i += 7) dy.data()[i] = Round<T>(0);
  RunLrn<T>(p, x.data(), forward.data(), rows, channels);
  RunLrnGrad<T>(p, dy.data(), x.data(), y.data(), dx.data(), rows, channels);
  RunLrnGradFromInput<T>(p, dy.data(), x.data(), dx_from_input.data(), rows,
                         channels);
  const int64_t summands = WindowSize(p, channels);
  for (int64_t row = 0; row < rows; row += std::max<int64_t>(1, rows / 5)) {
    const std::string where =
        std::to_string(rows) + " rows of " + std::to_string(channels) +
        ", radius " + std::to_string(p.depth_radius) + ", beta " +
        std::to_string(p.beta) + ", row " + std::to_string(row);
    Row values = RowOf(dy, x, y, row, channels);
    ExpectClose(ExpectedLrn(p, values), forward.data() + row * channels,
                summands, "LRN, " + where);
    ExpectClose(ExpectedLrnGrad(p, values), dx.data() + row * channels,
                2 * summands, "LRNGrad, " + where);
    values.y = OutputOf(p, values);
    ExpectClose(ExpectedLrnGrad(p, values),
                dx_from_input.data() + row * channels, 3 * summands,
                "LRNGradFromInput, " + where);
  }
}

template <class T>
void TestGradGradAgainstFormulas(const LrnParams& p, int64_t rows,
                                 int64_t channels, int64_t offset) {
  std::mt19937 random(Seed(p, channels) + 1);
  const int64_t size = rows * channels;
  Tensor<T> u(size, offset), dy(size, offset), x(size, offset), y(size, offset);
  Tensor<T> d_dy(size, offset), d_x(size, offset), d_y(size, offset);
  Tensor<T> d_dy_from_input = d_dy, d_x_from_input = d_x;
  FillNormal(random, u);
  FillNormal(random, dy);
  FillNormal(random, x);
  FillNormal(random, y);
  for (int64_t i = 0; i < size; i += 7) dy.data()[i] = Round<T>(0);
  for (int64_t i = 0; i < size; i += 5) u.data()[i] = Round<T>(0);
  RunLrnGradGrad<T>(p, u.data(), dy.data(), x.data(), y.data(), d_dy.data(),
                    d_x.data(), d_y.data(), rows, channels);
  RunLrnGradGradFromInput<T>(p, u.data(), dy.data(), x.data(),
                             d_dy_from_input.data(), d_x_from_input.data(),
                             rows, channels);
  // Three nested sums: those of the norm, of products and of terms.
  const int64_t window = WindowSize(p, channels), summands = 3 * window;
  for (int64_t row = 0; row < rows; row += std::max<int64_t>(1, rows / 5)) {
    const std::string where =
        std::to_string(rows) + " rows of " + std::to_string(channels) +
        ", radius " + std::to_string(p.depth_radius) + ", beta " +
        std::to_string(p.beta) + ", row " + std::to_string(row);
    Row values = RowOf(dy, x, y, row, channels);
    for (int64_t j = row * channels; j < (row + 1) * channels; ++j) {
      values.u.push_back(AsDouble(u.data()[j]));
    }
    const ExpectedGradGrad expected = ExpectedLrnGradGrad(p, values, true);
    const int64_t at = row * channels;
    ExpectClose(expected.d_dy, d_dy.data() + at, summands, "d_dy, " + where);
    ExpectClose(expected.d_x, d_x.data() + at, summands, "d_x, " + where);
    ExpectClose(expected.d_y, d_y.data() + at, summands, "d_y, " + where);
    // The sums of the norm count once more, through y.
    values.y = OutputOf(p, values);
    const ExpectedGradGrad from_input = ExpectedLrnGradGrad(p, values, false);
    ExpectClose(from_input.d_dy, d_dy_from_input.data() + at, 4 * window,
                "d_dy without y, " + where);
    ExpectClose(from_input.d_x, d_x_from_input.data() + at, 4 * window,
                "d_x without y, " + where);
  }
}

// In the last, only two channels are left for the last step of WideWindow.
constexpr int64_t kChannels[] = {1,  2,  3,  6,  7,  8,   15,   16,   17,  30,
                                 31, 32, 33, 64, 96, 256, 1000, 1025, 3010};
// Windows are summed in registers up to radius 2 to 12, or as pairs up to 4 to
// 24, depending on target and type. For the larger radii, 2 radius + 1 has one,
// some and many bits set besides the lowest, below and above the lanes of a
// vector.
constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();
constexpr int64_t kRadii[] = {0,  1,  2,  3,   4,   5,    6,
                              7,  8,  9,  12,  16,  21,   24,
                              25, 64, 75, 300, 700, 5000, kLargest};

// Taken in turn over all pairs of sizes: each radius and each number of
// channels meets all of these, but not in all combinations.
constexpr LrnParams kParams[] = {{0, 2, 1e-4f, 0.75f}, {0, 1, 1, 0.5f},
                                 {0, 1, 1, 1},         {0, 1e-5f, 1, 0.3f},
                                 {0, 1, 0.5f, 2},      {0, 2, 1, 0},
                                 {0, 1, 1e-4f, -0.5f}, {0, 2, -1e-4f, 0.5f}};

static_assert(std::size(kRadii) % 2 == 1 && std::size(kChannels) % 2 == 1,
              "else some never meet");

template <class T>
void TestSizes() {
  size_t turn = 0;
  for (const int64_t channels : kChannels) {
    for (const int64_t radius : kRadii) {
      LrnParams p = kParams[turn++ % std::size(kParams)];
      p.depth_radius = radius;
      // One row, and enough rows for several blocks.
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

// Powers and quotients made from the processor's estimates of roots, over the
// part of float's range in which dy y / norm stays in range.
template <class T>
void TestRoots() {
  std::mt19937 random(11);
  std::uniform_real_distribution<double> exponent(-62, 40);
  const int64_t size = 10000;
  const double eps = std::numeric_limits<T>::epsilon();
  for (const float beta : {0.5f, 0.75f}) {
    const LrnParams p{0, 0x1p-60f, 1, beta};
    Tensor<T> x(size, 0), y(size, 0), dy(size, 0), dx(size, 0);
    Tensor<T> dx_from_input(size, 0), d_dy(size, 0), d_x(size, 0);
    for (int64_t i = 0; i < size; ++i) {
      x.data()[i] = static_cast<T>(std::exp2(exponent(random)));
      dy.data()[i] = 1;
    }
    RunLrn(p, x.data(), y.data(), size / 16, 16);
    RunLrnGrad(p, dy.data(), x.data(), y.data(), dx.data(), size / 16, 16);
    RunLrnGradFromInput(p, dy.data(), x.data(), dx_from_input.data(), size / 16,
                        16);
    RunLrnGradGradFromInput(p, dy.data(), dy.data(), x.data(), d_dy.data(),
                            d_x.data(), size / 16, 16);
    for (int64_t i = 0; i < size; ++i) {
      // The norm's two roundings count beta times. A root is within one eps,
      // the power within one and a half, and each product adds a half.
      const Wide x_i = x.data()[i];
      const Wide norm = static_cast<Wide>(p.bias) + x_i * x_i;
      const Wide power = PowerOf(p, norm);
      EXPECT_NEAR(y.data()[i], x_i * power, 5 * eps * x_i * power) << x_i;
      const Wide term = 2 * p.beta * x_i * y.data()[i] / norm;
      EXPECT_NEAR(dx.data()[i], power - term, 5 * eps * (power + term)) << x_i;
      // Here the norm counts 1 + beta times.
      const Wide exact_term = 2 * p.beta * x_i * x_i * power / norm;
      // d_dy is the same, since each channel is its own window.
      for (const T result : {dx_from_input.data()[i], d_dy.data()[i]}) {
        EXPECT_NEAR(result, power - exact_term, 7 * eps * (power + exact_term))
            << x_i;
      }
    }
  }
}

TEST_P(LrnRowsTest, FloatHasTheRoots) { TestRoots<float>(); }
TEST_P(LrnRowsTest, DoubleHasTheRoots) { TestRoots<double>(); }

// A running sum that subtracts would lose small values next to large ones.
TEST_P(LrnRowsTest, LargeNeighboursDoNotHarmSmallValues) {
  constexpr int64_t kCount = 512;
  for (const int64_t radius : {2, 64}) {
    const LrnParams p{radius, 1, 1, 0.5f};
    Tensor<float> dy(kCount, 0), x(kCount, 0), y(kCount, 0), dx(kCount, 0);
    Tensor<float> d_dy(kCount, 0), d_x(kCount, 0);
    for (int64_t j = 0; j < kCount; ++j) {
      dy.data()[j] = 1;
      x.data()[j] = j % 200 == 100 ? 1e9f : 1e-3f * static_cast<float>(j % 7);
      y.data()[j] = x.data()[j];
    }
    RunLrnGrad(p, dy.data(), x.data(), y.data(), dx.data(), 1, kCount);
    Row row = RowOf(dy, x, y, 0, kCount);
    ExpectClose(ExpectedLrnGrad(p, row), dx.data(), 2 * (2 * radius + 1),
                "radius " + std::to_string(radius));
    RunLrnGradFromInput(p, dy.data(), x.data(), dx.data(), 1, kCount);
    row.y = OutputOf(p, row);
    ExpectClose(ExpectedLrnGrad(p, row), dx.data(), 3 * (2 * radius + 1),
                "without y, radius " + std::to_string(radius));
    RunLrnGradGradFromInput(p, dy.data(), dy.data(), x.data(), d_dy.data(),
                            d_x.data(), 1, kCount);
    row.u = row.dy;
    const ExpectedGradGrad expected = ExpectedLrnGradGrad(p, row, false);
    ExpectClose(expected.d_dy, d_dy.data(), 4 * (2 * radius + 1),
                "d_dy, radius " + std::to_string(radius));
    ExpectClose(expected.d_x, d_x.data(), 4 * (2 * radius + 1),
                "d_x, radius " + std::to_string(radius));
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

// Every radius, so that windows of all binary digits meet all positions in a
// vector. The values are small integers, whose sums are exact: one too many or
// too few shows in every type as long as windows are summed in registers.
template <class T>
void TestEveryRadius(double tolerance) {
  constexpr int64_t kRows = 3;
  for (const int64_t channels : {5, 17, 33, 64, 100, 300}) {
    for (int64_t radius = 1; radius <= std::min<int64_t>(channels, 150);
         ++radius) {
      const LrnParams p{radius, 1, 1, -1};  // y = x (1 + sum x^2)
      Tensor<T> x(kRows * channels, 0), y(kRows * channels, 0);
      std::vector<int64_t> sums = {0};  // Of the squares before each element.
      for (int64_t i = 0; i < x.size(); ++i) {
        const int64_t value = 1 + (i * i + radius) % 3;
        x.data()[i] = Round<T>(value);
        sums.push_back(sums.back() + value * value);
      }
      RunLrn<T>(p, x.data(), y.data(), kRows, channels);
      for (int64_t i = 0; i < x.size(); ++i) {
        const int64_t row = i - i % channels;
        const int64_t begin = std::max(row, i - radius);
        const int64_t end = std::min(row + channels, i + radius + 1);
        const auto norm = static_cast<double>(1 + sums[end] - sums[begin]);
        ASSERT_NEAR(AsDouble(y.data()[i]) / AsDouble(x.data()[i]), norm,
                    tolerance * norm)
            << channels << " channels, radius " << radius << ", element " << i;
      }
    }
  }
}

TEST_P(LrnRowsTest, EveryRadiusHasItsWindows) {
  TestEveryRadius<Half>(0x1p-11);
  TestEveryRadius<float>(1e-6);
  TestEveryRadius<double>(1e-6);
}

TEST_P(LrnRowsTest, AZeroGradientContributesNothing) {
  // The norm is 0 in the first channel and negative in the second, so the
  // powers are infinity and NaN.
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
  // Without y, which is NaN.
  dy[0] = dy[1] = 0;
  RunLrnGradFromInput(p, dy, x, dx, 1, 2);
  EXPECT_EQ(dx[0], 0);
  EXPECT_EQ(dx[1], 0);
  dy[0] = dy[1] = 1;
  RunLrnGradFromInput(p, dy, x, dx, 1, 2);
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
    // The gradient with respect to dy follows the formula.
    EXPECT_TRUE(std::isnan(d_dy[i]));
    d_dy[i] = d_x[i] = 7;
  }
  // Without y, which is NaN.
  RunLrnGradGradFromInput(p, u, dy, x, d_dy, d_x, 1, 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(d_x[i], 0);
    EXPECT_TRUE(std::isnan(d_dy[i]));
  }
}

template <class T>
void ExpectSameBits(const T* a, const T* b, int64_t count,
                    const std::string& where) {
  EXPECT_EQ(std::memcmp(a, b, count * sizeof(T)), 0) << where;
}

// One for each PowerPath.
constexpr float kBetas[] = {0.75f, 0.3f, 2};

// LRNGrad, with y or, if y is null, without.
template <class T>
void TestGradPartitionAndAliasing(const LrnParams& p, Tensor<T>& dy,
                                  Tensor<T>& x, Tensor<T>* y, int64_t rows,
                                  int64_t channels, const std::string& where) {
  const int64_t size = rows * channels;
  const auto run = [&](Tensor<T>& dy, Tensor<T>& x, Tensor<T>* y, Tensor<T>& dx,
                       int64_t begin, int64_t end) {
    const int64_t at = begin * channels;
    RunLrnGrad<T>(p, dy.data() + at, x.data() + at,
                  y == nullptr ? nullptr : y->data() + at, dx.data() + at,
                  end - begin, channels);
  };
  Tensor<T> dx(size, 0);
  run(dy, x, y, dx, 0, rows);
  for (const int64_t parts : {int64_t{2}, int64_t{3}, rows}) {
    Tensor<T> part(size, 0);
    for (int64_t n = 0; n < parts; ++n) {
      run(dy, x, y, part, rows * n / parts, rows * (n + 1) / parts);
    }
    ExpectSameBits(part.data(), dx.data(), size,
                   where + ", parts " + std::to_string(parts));
  }
  std::vector<Tensor<T>> inputs = {dy, x};
  if (y != nullptr) inputs.push_back(*y);
  for (size_t aliased = 0; aliased < inputs.size(); ++aliased) {
    std::vector<Tensor<T>> in = inputs;
    run(in[0], in[1], y == nullptr ? nullptr : &in[2], in[aliased], 0, rows);
    ExpectSameBits(in[aliased].data(), dx.data(), size,
                   where + ", output over input " + std::to_string(aliased));
  }
}

// LRNGradGrad, with the inputs dy, x and y or, without y, dy and x. Each has an
// output.
template <class T>
void TestGradGradPartitionAndAliasing(const LrnParams& p, Tensor<T>& u,
                                      std::vector<Tensor<T>> inputs,
                                      int64_t rows, int64_t channels,
                                      const std::string& where) {
  using Pointers = std::vector<T*>;
  const size_t count = inputs.size();
  const Tensor<T> empty(rows * channels, 0);
  const auto data = [](std::vector<Tensor<T>>& tensors) {
    Pointers pointers;
    for (Tensor<T>& tensor : tensors) pointers.push_back(tensor.data());
    return pointers;
  };
  const auto run = [&](const Pointers& in, const Pointers& out, int64_t begin,
                       int64_t end) {
    const int64_t at = begin * channels;
    const bool has_y = count == 3;
    RunLrnGradGrad<T>(p, u.data() + at, in[0] + at, in[1] + at,
                      has_y ? in[2] + at : nullptr, out[0] + at, out[1] + at,
                      has_y ? out[2] + at : nullptr, end - begin, channels);
  };
  std::vector<Tensor<T>> outputs(count, empty);
  run(data(inputs), data(outputs), 0, rows);
  const auto expect_same = [&](const Pointers& others,
                               const std::string& what) {
    for (size_t i = 0; i < count; ++i) {
      ExpectSameBits(others[i], outputs[i].data(), outputs[i].size(),
                     where + what + ", output " + std::to_string(i));
    }
  };
  for (const int64_t parts : {int64_t{2}, int64_t{3}, rows}) {
    std::vector<Tensor<T>> part(count, empty);
    for (int64_t n = 0; n < parts; ++n) {
      run(data(inputs), data(part), rows * n / parts, rows * (n + 1) / parts);
    }
    expect_same(data(part), ", parts " + std::to_string(parts));
  }
  // Every non-empty set of outputs over their inputs.
  for (int over = 1; over < 1 << count; ++over) {
    std::vector<Tensor<T>> in = inputs, own(count, empty);
    Pointers out = data(own);
    for (size_t i = 0; i < count; ++i) {
      if ((over >> i) & 1) out[i] = in[i].data();
    }
    run(data(in), out, 0, rows);
    expect_same(out, ", outputs over inputs " + std::to_string(over));
  }
}

template <class T>
void TestPartitionAndAliasing() {
  std::mt19937 random(5);
  for (const int64_t channels : {1, 3, 16, 24, 96, 1000}) {
    for (const int64_t radius : {0, 2, 12, 40, 2000}) {
      const LrnParams p{radius, 1, 0.5f, kBetas[(channels + radius) % 3]};
      const int64_t rows = 3000 / channels + 5;
      const int64_t size = rows * channels;
      const std::string where = std::to_string(channels) +
                                " channels, radius " + std::to_string(radius);
      Tensor<T> u(size, 0), dy(size, 0), x(size, 0), y(size, 0);
      FillNormal(random, u);
      FillNormal(random, dy);
      FillNormal(random, x);
      RunLrn<T>(p, x.data(), y.data(), rows, channels);
      Tensor<T> in_place = x;
      RunLrn<T>(p, in_place.data(), in_place.data(), rows, channels);
      ExpectSameBits(in_place.data(), y.data(), size, where + ", LRN in place");
      TestGradPartitionAndAliasing<T>(p, dy, x, &y, rows, channels, where);
      TestGradPartitionAndAliasing<T>(p, dy, x, nullptr, rows, channels,
                                      where + ", without y");
      TestGradGradPartitionAndAliasing<T>(p, u, {dy, x, y}, rows, channels,
                                          where + ", LRNGradGrad");
      TestGradGradPartitionAndAliasing<T>(p, u, {dy, x}, rows, channels,
                                          where + ", LRNGradGrad without y");
    }
  }
}

TEST_P(LrnRowsTest, HalfIsFreeOfPartitionAndAliasing) {
  TestPartitionAndAliasing<Half>();
}
TEST_P(LrnRowsTest, BFloat16IsFreeOfPartitionAndAliasing) {
  TestPartitionAndAliasing<BFloat16>();
}
TEST_P(LrnRowsTest, FloatIsFreeOfPartitionAndAliasing) {
  TestPartitionAndAliasing<float>();
}
TEST_P(LrnRowsTest, DoubleIsFreeOfPartitionAndAliasing) {
  TestPartitionAndAliasing<double>();
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

// For the op that needs the most of it, and the type with the largest elements.
TEST_P(LrnRowsTest, NothingIsWrittenBehindTheScratchMemory) {
  constexpr int64_t kBehind = 1 << 14;
  for (const int64_t channels : {14, 17, 33, 100, 300, 3000}) {
    for (const int64_t radius :
         {channels / 2, channels - 3, channels - 2, channels - 1}) {
      const LrnParams p{radius, 1, 1, 0.5f};
      const int64_t rows = 2500 / channels + 3;
      Tensor<double> x(rows * channels, 0), d_dy = x, d_x = x;
      std::vector<double> scratch = Scratch<double>(p, channels);
      const size_t size = scratch.size();
      scratch.resize(size + kBehind, 42);
      LrnGradGradRows<double>(p, x.data(), x.data(), x.data(), nullptr,
                              d_dy.data(), d_x.data(), nullptr, rows, channels,
                              scratch.data());
      EXPECT_EQ(std::count(scratch.begin() + size, scratch.end(), 42), kBehind)
          << channels << " channels, radius " << radius;
    }
  }
}

TEST_P(LrnRowsTest, NothingIsDoneForNoRows) {
  const LrnParams p;
  std::vector<double> scratch = Scratch<float>(p, 0);
  LrnRows<float>(p, nullptr, nullptr, 0, 5, scratch.data());
  LrnRows<float>(p, nullptr, nullptr, 5, 0, scratch.data());
  float any;
  for (float* y : {static_cast<float*>(nullptr), &any}) {
    LrnGradRows<float>(p, nullptr, nullptr, y, nullptr, 0, 0, scratch.data());
    LrnGradGradRows<float>(p, nullptr, nullptr, nullptr, y, nullptr, nullptr, y,
                           0, 5, scratch.data());
  }
}

#ifdef __x86_64__
// TensorFlow's worker threads flush denormals, the main thread does not.
TEST_P(LrnRowsTest, DenormalsCountInEveryFloatMode) {
  const LrnParams p{0, 0, 0x1p100f, 0.5f};
  float x[] = {0x1p-130f}, y[1], flushed[1];
  RunLrn(p, x, y, 1, 1);
  // With norms of 1, dx is dy, and d_dy is u.
  const LrnParams keep{0, 1, 0, 0.5f};
  float kept[1], dx[1], dx_from_input[1];
  float d_dy[1], d_dy_from_input[1], d_x[1], d_y[1];
  const unsigned saved = _mm_getcsr();
  _mm_setcsr(saved | 0x8040);  // Flush to zero, denormals are zero.
  RunLrn(p, x, flushed, 1, 1);
  RunLrn(keep, x, kept, 1, 1);
  RunLrnGrad(keep, x, x, x, dx, 1, 1);
  RunLrnGradFromInput(keep, x, x, dx_from_input, 1, 1);
  RunLrnGradGrad(keep, x, x, x, x, d_dy, d_x, d_y, 1, 1);
  RunLrnGradGradFromInput(keep, x, x, x, d_dy_from_input, d_x, 1, 1);
  const unsigned after = _mm_getcsr();
  _mm_setcsr(saved);
  EXPECT_EQ(after, saved | 0x8040) << "the caller's mode is restored";
  EXPECT_EQ(BitCast<uint32_t>(y[0]), BitCast<uint32_t>(flushed[0]));
  for (const float* result : {kept, dx, dx_from_input, d_dy, d_dy_from_input}) {
    EXPECT_EQ(*result, x[0]);
  }
}
#endif

INSTANTIATE_TEST_SUITE_P(Targets, LrnRowsTest,
                         ::testing::ValuesIn(SupportedTargets()),
                         [](const auto& info) {
                           return std::string(info.param->name);
                         });

}  // namespace
}  // namespace tflrn::cpu
