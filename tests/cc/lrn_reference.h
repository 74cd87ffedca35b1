// What the results of kernels are compared with: the formulas of
// cc/core/formulas.h in a wider type, with plain windows, and the error that a
// result may have. Shared by the tests of cc/cpu and cc/cuda.
#ifndef TFLRN_TESTS_CC_LRN_REFERENCE_H_
#define TFLRN_TESTS_CC_LRN_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "cc/core/float16.h"
#include "cc/core/lrn_params.h"
#include "cc/core/types.h"
#include "tests/cc/wide.h"

namespace tflrn {

inline double AsDouble(Half value) {
  return HalfBitsToFloat<float>(uint32_t{value.bits});
}
inline double AsDouble(BFloat16 value) {
  return BFloat16BitsToFloat<float>(uint32_t{value.bits});
}
inline double AsDouble(float value) { return value; }
inline double AsDouble(double value) { return value; }

template <class T>
T Round(double value) {
  if constexpr (std::is_same_v<T, Half>) {
    return {static_cast<uint16_t>(FloatToHalfBits(static_cast<float>(value)))};
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return {
        static_cast<uint16_t>(FloatToBFloat16Bits(static_cast<float>(value)))};
  } else {
    return static_cast<T>(value);
  }
}

// Half the distance between neighbouring values, relative to the value: the
// error of one rounding to T.
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

// The sums of values, and of their magnitudes, over the window of each channel.
// Long windows add the sums of chunks. Unlike a running sum, this never
// subtracts, and loses nothing to cancellation.
inline std::vector<Expected> WindowSums(int64_t depth_radius,
                                        const std::vector<Expected>& values) {
  constexpr int64_t kChunk = 64;
  const int64_t count = static_cast<int64_t>(values.size());
  const int64_t radius = std::min(depth_radius, count);
  std::vector<Expected> chunks(count / kChunk + 1, {0, 0});
  const auto add = [](Expected& sum, const Expected& more) {
    sum.value += more.value;
    sum.magnitude += more.magnitude;
  };
  for (int64_t k = 0; k < count; ++k) add(chunks[k / kChunk], values[k]);
  std::vector<Expected> sums(count, {0, 0});
  if (radius + 1 >= count) {  // The row is the only window.
    Expected total = {0, 0};
    for (const Expected& chunk : chunks) add(total, chunk);
    return std::vector<Expected>(count, total);
  }
  for (int64_t j = 0; j < count; ++j) {
    const int64_t end = std::min(count, j + radius + 1);
    int64_t k = std::max<int64_t>(0, j - radius);
    while (k < end) {
      if (k % kChunk == 0 && k + kChunk <= end) {
        add(sums[j], chunks[k / kChunk]);
        k += kChunk;
      } else {
        add(sums[j], values[k++]);
      }
    }
  }
  return sums;
}

// One row of an op.
struct Row {
  std::vector<Wide> dy, x, y, u;
};

// bias + alpha * the window sums of x^2
inline std::vector<Wide> Norms(const LrnParams& p, const Row& row) {
  std::vector<Expected> squares;
  for (const Wide x : row.x) squares.push_back({x * x, x * x});
  std::vector<Wide> norms;
  for (const Expected& sum : WindowSums(p.depth_radius, squares)) {
    norms.push_back(static_cast<Wide>(p.bias) + p.alpha * sum.value);
  }
  return norms;
}

inline Wide PowerOf(const LrnParams& p, Wide norm) {
  return std::pow(norm, -static_cast<Wide>(p.beta));
}

inline std::vector<Expected> ExpectedLrn(const LrnParams& p, const Row& row) {
  const std::vector<Wide> norms = Norms(p, row);
  std::vector<Expected> expected;
  for (size_t j = 0; j < row.x.size(); ++j) {
    const Wide y = row.x[j] * PowerOf(p, norms[j]);
    expected.push_back({y, std::abs(y)});
  }
  return expected;
}

// The y that the row's x gives.
inline std::vector<Wide> OutputOf(const LrnParams& p, const Row& row) {
  std::vector<Wide> y;
  for (const Expected& expected : ExpectedLrn(p, row)) {
    y.push_back(expected.value);
  }
  return y;
}

inline std::vector<Expected> ExpectedLrnGrad(const LrnParams& p,
                                             const Row& row) {
  const std::vector<Wide> norms = Norms(p, row);
  std::vector<Expected> terms;
  for (size_t j = 0; j < row.x.size(); ++j) {
    const Wide term = row.dy[j] == 0 ? 0 : row.dy[j] * row.y[j] / norms[j];
    terms.push_back({term, std::abs(term)});
  }
  const std::vector<Expected> sums = WindowSums(p.depth_radius, terms);
  std::vector<Expected> expected;
  for (size_t k = 0; k < row.x.size(); ++k) {
    const Wide direct = row.dy[k] == 0 ? 0 : row.dy[k] * PowerOf(p, norms[k]);
    const Wide factor = 2.0 * p.alpha * p.beta * row.x[k];
    expected.push_back(
        {direct - factor * sums[k].value,
         std::abs(direct) + std::abs(factor) * sums[k].magnitude});
  }
  return expected;
}

// A zero gradient contributes nothing.
inline Expected UnlessZero(Wide dy, const Expected& part) {
  return dy == 0 ? Expected{0, 0} : part;
}

struct ExpectedGradGrad {
  std::vector<Expected> d_dy, d_x, d_y;
};

// If y is not given, but computed from x, it is still in the row; d_y is then
// part of d_x.
inline ExpectedGradGrad ExpectedLrnGradGrad(const LrnParams& p, const Row& row,
                                            bool y_is_given) {
  const Wide two_alpha = 2.0 * p.alpha;
  const Wide two_alpha_beta = two_alpha * p.beta;
  const std::vector<Wide> norms = Norms(p, row);
  std::vector<Expected> products;
  for (size_t j = 0; j < row.x.size(); ++j) {
    const Wide product = row.x[j] * row.u[j];
    products.push_back({product, std::abs(product)});
  }
  const std::vector<Expected> sums = WindowSums(p.depth_radius, products);
  // How often the second terms count y_j P_j / norm_j: once, and beta times
  // through y.
  const Wide times_through_y = y_is_given ? 0 : p.beta;
  const Expected times = {1 + times_through_y, 1 + std::abs(times_through_y)};
  ExpectedGradGrad expected;
  std::vector<Expected> terms, second_terms, through_y;
  for (size_t j = 0; j < row.x.size(); ++j) {
    const Wide dy = row.dy[j], norm = norms[j];
    const Wide power = PowerOf(p, norm);
    const Wide y_part = two_alpha_beta * row.y[j] / norm;
    const Wide dy_part = two_alpha_beta * dy / norm;
    expected.d_dy.push_back(
        {row.u[j] * power - y_part * sums[j].value,
         std::abs(row.u[j] * power) + std::abs(y_part) * sums[j].magnitude});
    expected.d_y.push_back(UnlessZero(
        dy, {-dy_part * sums[j].value, std::abs(dy_part) * sums[j].magnitude}));
    const Expected& d_y = expected.d_y[j];
    through_y.push_back(
        y_is_given ? Expected{0, 0}
                   : UnlessZero(dy, {d_y.value * power,
                                     d_y.magnitude * std::abs(power)}));
    const Wide term = dy * row.y[j] / norm;
    terms.push_back(UnlessZero(dy, {term, std::abs(term)}));
    const Wide scale = dy / norm;
    const Wide by_power = p.beta * row.u[j] * power;
    second_terms.push_back(UnlessZero(
        dy, {scale * (times.value * y_part * sums[j].value - by_power),
             std::abs(scale) *
                 (times.magnitude * std::abs(y_part) * sums[j].magnitude +
                  std::abs(by_power))}));
  }
  const std::vector<Expected> first = WindowSums(p.depth_radius, terms);
  const std::vector<Expected> second = WindowSums(p.depth_radius, second_terms);
  for (size_t m = 0; m < row.x.size(); ++m) {
    const Wide by_u = two_alpha_beta * row.u[m];
    const Wide by_x = two_alpha * row.x[m];
    expected.d_x.push_back(
        {through_y[m].value + by_x * second[m].value - by_u * first[m].value,
         through_y[m].magnitude + std::abs(by_x) * second[m].magnitude +
             std::abs(by_u) * first[m].magnitude});
  }
  return expected;
}

// The number of channels in the widest window.
inline int64_t WindowSize(const LrnParams& p, int64_t channels) {
  return std::min(2 * std::min(p.depth_radius, channels) + 1, channels);
}

// How far from `expected` a result of type T may be. The sums behind it have
// `summands` terms; `more` is additional error relative to their magnitude.
template <class T>
double Tolerance(const Expected& expected, int64_t summands, double more = 0) {
  using Scalar = typename ComputeType<T>::type;
  const double eps = std::numeric_limits<Scalar>::epsilon();
  const double sums = (static_cast<double>(summands + 8) * eps + more) *
                      static_cast<double>(expected.magnitude);
  if (sizeof(T) != 2) return sums;
  // One rounding. Denormal halves are 2^-24 apart, denormal bfloat16s 2^-133.
  const double denormal = std::is_same_v<T, Half> ? 0x1p-25 : 0x1p-134;
  return sums +
         RoundingError<T>() * std::abs(static_cast<double>(expected.value)) +
         denormal;
}

}  // namespace tflrn

#endif  // TFLRN_TESTS_CC_LRN_REFERENCE_H_
