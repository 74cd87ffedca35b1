// Interval arithmetic for the fuzzer's reference: the results that a kernel may
// give if it rounds every operation to float or double, and adds in any order.
//
// A bound derived for numbers of ordinary size says nothing about overflow,
// underflow, NaN and cancellation, which is what a fuzzer finds. Ranges keep
// track of what is certain there: x - x is a range around 0, and a quotient by
// it may be anything.
#ifndef TFLRN_TESTS_FUZZ_RANGES_H_
#define TFLRN_TESTS_FUZZ_RANGES_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace tflrn {

// Holds every product of two floats exactly, those of doubles to 2^-64, and
// overflows for neither.
using Wide = long double;
static_assert(std::numeric_limits<Wide>::digits == 64,
              "the fuzzer needs x86-64's 80-bit long double");

// The possible values of a result that is computed in Scalar: the numbers from
// lo to hi, if lo <= hi, and NaN, if `nan`.
template <class Scalar>
struct Range {
  Wide lo, hi;
  bool nan;

  static constexpr Wide kInfinity = std::numeric_limits<Wide>::infinity();

  static Range Exactly(Scalar value) {
    if (std::isnan(value)) return Nan();
    return {value, value, false};
  }
  static Range Nan() { return {kInfinity, -kInfinity, true}; }
  static Range Anything() { return {-kInfinity, kInfinity, true}; }

  bool NoNumber() const { return lo > hi; }
  bool IsPoint() const { return lo == hi; }
  bool HasZero() const { return lo <= 0 && hi >= 0; }
  bool HasInfinity() const { return lo == -kInfinity || hi == kInfinity; }
  bool IsAnything() const { return lo == -kInfinity && hi == kInfinity && nan; }
};

// What rounding the exact numbers from lo to hi to Scalar may give. On each
// side, a unit in the last place more than rounding to nearest, so that a
// kernel may multiply by a reciprocal where the formula divides.
template <class Scalar>
Range<Scalar> Rounded(Wide lo, Wide hi, bool nan, int units = 1) {
  using Limits = std::numeric_limits<Scalar>;
  const auto widened = [units](Wide value, Wide towards) -> Wide {
    // Exact zeros stay exact: whether a norm is 0 must not become a guess.
    if (value == 0 || std::isinf(value)) return value;
    const Wide step = std::abs(value) * Limits::epsilon();
    const Wide moved =
        value + towards * units * std::max<Wide>(step, Limits::denorm_min());
    // Rounding does not change a sign.
    return (value > 0) == (moved > 0) ? static_cast<Scalar>(moved) : 0;
  };
  return {widened(lo, -1), widened(hi, 1), nan};
}

template <class Scalar>
Range<Scalar> Negative(const Range<Scalar>& a) {
  return {-a.hi, -a.lo, a.nan};
}

template <class Scalar>
Range<Scalar> Hull(const Range<Scalar>& a, const Range<Scalar>& b) {
  return {std::min(a.lo, b.lo), std::max(a.hi, b.hi), a.nan || b.nan};
}

// The range, before rounding, of an operation that is monotone in each operand
// as long as no corner is NaN.
template <class Scalar, class Operation>
Range<Scalar> Corners(const Range<Scalar>& a, const Range<Scalar>& b,
                      const Operation& operation) {
  if (a.NoNumber() || b.NoNumber()) return Range<Scalar>::Nan();
  const Wide corners[] = {operation(a.lo, b.lo), operation(a.lo, b.hi),
                          operation(a.hi, b.lo), operation(a.hi, b.hi)};
  Range<Scalar> range = {corners[0], corners[0], a.nan || b.nan};
  for (const Wide corner : corners) {
    if (std::isnan(corner)) {
      return a.IsPoint() && b.IsPoint() ? Range<Scalar>::Nan()
                                        : Range<Scalar>::Anything();
    }
    range.lo = std::min(range.lo, corner);
    range.hi = std::max(range.hi, corner);
  }
  return range;
}

template <class Scalar>
Range<Scalar> ExactSum(const Range<Scalar>& a, const Range<Scalar>& b) {
  return Corners(a, b, [](Wide x, Wide y) { return x + y; });
}

template <class Scalar>
Range<Scalar> ExactProduct(const Range<Scalar>& a, const Range<Scalar>& b) {
  // Zero times infinity may hide between the corners.
  if ((a.HasZero() && b.HasInfinity()) || (b.HasZero() && a.HasInfinity())) {
    if (!a.IsPoint() || !b.IsPoint()) return Range<Scalar>::Anything();
  }
  return Corners(a, b, [](Wide x, Wide y) { return x * y; });
}

template <class Scalar>
Range<Scalar> Rounded(const Range<Scalar>& exact) {
  if (exact.NoNumber()) return exact;
  return Rounded<Scalar>(exact.lo, exact.hi, exact.nan);
}

template <class Scalar>
Range<Scalar> operator*(const Range<Scalar>& a, const Range<Scalar>& b) {
  return Rounded(ExactProduct(a, b));
}

template <class Scalar>
Range<Scalar> operator/(const Range<Scalar>& a, const Range<Scalar>& b) {
  using R = Range<Scalar>;
  if (b.HasZero()) {
    if (!a.IsPoint() || !b.IsPoint()) return R::Anything();
    // Infinity. Its sign is that of a zero, which is not tracked.
    return a.HasZero() ? R::Nan() : R{-R::kInfinity, R::kInfinity, a.nan};
  }
  return Rounded(Corners(a, b, [](Wide x, Wide y) { return x / y; }));
}

// a * b + c, with one rounding or with two.
template <class Scalar>
Range<Scalar> MultiplyAddRange(const Range<Scalar>& a, const Range<Scalar>& b,
                               const Range<Scalar>& c) {
  const Range<Scalar> fused = Rounded(ExactSum(ExactProduct(a, b), c));
  return Hull(fused, Rounded(ExactSum(a * b, c)));
}

// The sum of values[begin..end), added in any order.
template <class Scalar>
Range<Scalar> SumRange(const std::vector<Range<Scalar>>& values, size_t begin,
                       size_t end) {
  using R = Range<Scalar>;
  const auto count = static_cast<Wide>(end - begin);
  Wide magnitude = 0;
  bool nan = false, plus = false, minus = false, positive = true, points = true;
  R sum = {0, 0, false};
  for (size_t k = begin; k < end; ++k) {
    const R& value = values[k];
    if (value.NoNumber()) return R::Nan();
    nan = nan || value.nan;
    plus = plus || value.hi == R::kInfinity;
    minus = minus || value.lo == -R::kInfinity;
    positive = positive && value.lo >= 0;
    points = points && (!value.HasInfinity() || value.IsPoint());
    if (value.HasInfinity() && value.IsPoint()) continue;
    sum.lo += value.lo;
    sum.hi += value.hi;
    magnitude += std::max(std::abs(value.lo), std::abs(value.hi));
  }
  // Each addition rounds a value of at most the sum of the magnitudes.
  const Wide error =
      (count - 1) * magnitude * std::numeric_limits<Scalar>::epsilon();
  const bool overflow = magnitude + error > std::numeric_limits<Scalar>::max();
  if (overflow && !positive) return R::Anything();
  if (plus && minus) {
    return points && !overflow ? R::Nan() : R::Anything();
  }
  if (plus || minus) {
    const Wide infinity = plus ? R::kInfinity : -R::kInfinity;
    if (points) return {infinity, infinity, nan};
    return positive ? R{0, R::kInfinity, nan} : R::Anything();
  }
  if (count == 1) return {sum.lo, sum.hi, nan};
  const Wide lo = sum.lo - error;
  return Rounded<Scalar>(positive ? std::max<Wide>(lo, 0) : lo,
                         overflow ? R::kInfinity : sum.hi + error, nan);
}

// norm^-beta. The polynomials are within 3 units in the last place
// (cc/core/power.h), and the logarithm's error, of a few roundings, is
// multiplied by beta.
template <class Scalar>
Range<Scalar> PowerRange(const Range<Scalar>& norm, float beta) {
  using R = Range<Scalar>;
  if (beta == 0) return R::Exactly(1);
  if (norm.NoNumber()) return R::Nan();
  const Wide exponent = -static_cast<Wide>(beta);
  if (norm.HasZero()) {
    if (!norm.IsPoint()) return R::Anything();
    // The sign of a zero is not tracked.
    const Wide power = std::pow(Wide{0}, exponent);
    const bool odd = std::fmod(std::abs(exponent), Wide{2}) == 1;
    return {odd ? -power : power, power, norm.nan};
  }
  // double is wide enough for float's power, and ten times as fast.
  using Exact = std::conditional_t<std::is_same_v<Scalar, float>, double, Wide>;
  const auto power = [exponent](Wide value) -> Wide {
    if (std::isinf(value)) {  // glibc's powl(-infinity, -0x1p63) is infinity.
      return std::pow(static_cast<double>(value),
                      static_cast<double>(exponent));
    }
    return std::pow(static_cast<Exact>(value), static_cast<Exact>(exponent));
  };
  const Wide a = power(norm.lo), b = power(norm.hi);
  if (std::isnan(a) || std::isnan(b)) {
    return std::isnan(a) && std::isnan(b) ? R::Nan() : R::Anything();
  }
  // Beta multiplies the fraction of log2(norm), which is at most 1/2.
  const auto units = [beta](Wide value) {
    double fraction = 0.5;
    if (std::abs(beta) > 2 && !std::isinf(value)) {
      const Exact log2 = std::log2(static_cast<Exact>(std::abs(value)));
      fraction = static_cast<double>(std::abs(log2 - std::round(log2)));
    }
    // Past 3,600 the power is 0 or infinity, or near 1.
    return 3 + static_cast<int>(
                   std::min(std::ceil(3 * fraction * std::abs(beta)), 3600.0));
  };
  return Rounded<Scalar>(std::min(a, b), std::max(a, b), norm.nan,
                         std::max(units(norm.lo), units(norm.hi)));
}

}  // namespace tflrn

#endif  // TFLRN_TESTS_FUZZ_RANGES_H_
