// Tests of cc/core/power.h against C's pow.
#include "cc/core/power.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cc/core/lanes.h"
#include "gtest/gtest.h"
#include "tests/cc/power_error.h"

namespace tflrn {
namespace {

template <class Scalar>
Scalar Power(Scalar norm, float beta) {
  return NegativePower<false>(norm, MakePowerParams<Scalar>(beta));
}

template <class Scalar>
Scalar PlainPower(Scalar norm, float beta) {
  return NegativePower<true>(norm, MakePowerParams<Scalar>(beta));
}

TEST(PowerTest, FloatIsWithinTwoUnitsOfTheLastPlace) {
  for (const float beta : {0.5f, 0.75f, 0.3f, 1.0f, 0.6f, -0.5f, 2.0f}) {
    const double error = LargestPowerError<float>(beta);
    RecordProperty("ulp for beta " + std::to_string(beta),
                   std::to_string(error));
    EXPECT_LE(error, 2.0) << "beta " << beta;
  }
}

TEST(PowerTest, DoubleIsWithinThreeUnitsOfTheLastPlace) {
  for (const float beta : {0.5f, 0.75f, 0.3f, 1.0f, 0.6f, -0.5f, 2.0f}) {
    EXPECT_LE(LargestPowerError<double>(beta), 3.0) << "beta " << beta;
  }
}

template <class Scalar>
void ExpectMeansPow(Scalar result, Scalar norm, float beta) {
  const Scalar expected = std::pow(norm, -static_cast<Scalar>(beta));
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(result)) << norm << "^-" << beta;
  } else if (expected == 0 || std::isinf(expected)) {
    EXPECT_EQ(result, expected) << norm << "^-" << beta;
    EXPECT_EQ(std::signbit(result), std::signbit(expected))
        << norm << "^-" << beta;
  } else {
    // The error of the logarithm, half an eps, is multiplied by beta. A
    // denormal result has fewer bits, and may be rounded twice.
    const Scalar tiny = 2 * std::numeric_limits<Scalar>::denorm_min();
    const Scalar eps = std::numeric_limits<Scalar>::epsilon();
    const Scalar units = 3 + std::abs(static_cast<Scalar>(beta)) / 2;
    EXPECT_NEAR(result, expected, units * eps * std::abs(expected) + tiny)
        << norm << "^-" << beta;
  }
}

// NegativePower, and the path of the row kernels, which divides for beta 1.
template <class Scalar>
void ExpectMeansPow(Scalar norm, float beta) {
  const auto params = MakePowerParams<Scalar>(beta);
  ExpectMeansPow(Power(norm, beta), norm, beta);
  ExpectMeansPow(WithPower<PowerPath::kAny>(norm, params).power, norm, beta);
}

template <class Scalar>
void TestSpecialValues() {
  using Limits = std::numeric_limits<Scalar>;
  const Scalar values[] = {0,
                           Limits::denorm_min(),
                           5 * Limits::denorm_min(),
                           Limits::min() / 2,
                           Limits::min(),
                           1,
                           3,
                           Limits::max(),
                           Limits::infinity()};
  const float betas[] = {0,      0.5f,  0.75f,  1,      2,       3,
                         1.5f,   -0.5f, -1,     -2,     -3,      40,
                         300.5f, 1e30f, -1e30f, 1e-30f, 0x1p63f, -0x1p63f};
  for (const Scalar value : values) {
    for (const float beta : betas) {
      ExpectMeansPow(value, beta);
      ExpectMeansPow(-value, beta);
    }
  }
  for (const float beta : betas) {
    ExpectMeansPow(Limits::quiet_NaN(), beta);
    ExpectMeansPow(std::copysign(Limits::quiet_NaN(), Scalar(-1)), beta);
    ExpectMeansPow(std::nextafter(Scalar(1), Scalar(2)), beta);
    ExpectMeansPow(std::nextafter(Scalar(1), Scalar(0)), beta);
  }
}

TEST(PowerTest, FloatHasThePowersOfC) { TestSpecialValues<float>(); }

TEST(PowerTest, DoubleHasThePowersOfC) { TestSpecialValues<double>(); }

template <class Scalar>
void TestPlainVersion() {
  using Limits = std::numeric_limits<Scalar>;
  for (const float beta : {0.5f, 0.75f, 0.96875f, 1e-3f}) {
    ASSERT_TRUE(HasPlainPower(1, 1, beta));
    std::vector<Scalar> norms = Norms<Scalar>();
    norms.push_back(std::numeric_limits<float>::min());
    norms.push_back(std::numeric_limits<float>::max());
    norms.push_back(Limits::infinity());
    for (const Scalar norm : norms) {
      EXPECT_EQ(PlainPower(norm, beta), Power(norm, beta)) << norm;
    }
    EXPECT_TRUE(std::isnan(PlainPower(Limits::quiet_NaN(), beta)));
    EXPECT_TRUE(std::isnan(PlainPower(-Limits::quiet_NaN(), beta)));
  }
}

TEST(PowerTest, PlainFloatGivesTheSameBits) { TestPlainVersion<float>(); }

TEST(PowerTest, PlainDoubleGivesTheSameBits) { TestPlainVersion<double>(); }

TEST(PowerTest, PlainExcludesWhatItCannotDo) {
  EXPECT_TRUE(HasPlainPower(1, 1e-4f, 0.75f));
  EXPECT_TRUE(HasPlainPower(1e-5f, 0, 0.5f));
  EXPECT_FALSE(HasPlainPower(0, 1, 0.5f));
  EXPECT_FALSE(HasPlainPower(1e-39f, 1, 0.5f));
  EXPECT_FALSE(HasPlainPower(-1, 1, 0.5f));
  EXPECT_FALSE(HasPlainPower(1, -1, 0.5f));
  EXPECT_FALSE(HasPlainPower(1, 1, 0));
  EXPECT_FALSE(HasPlainPower(1, 1, -0.5f));
  EXPECT_FALSE(HasPlainPower(1, 1, 1));
}

template <class Scalar>
void TestRoots() {
  using Limits = std::numeric_limits<Scalar>;
  for (const float beta : {0.5f, 0.75f}) {
    ASSERT_TRUE(HasRootPower(1, 1, beta));
    const auto params = MakePowerParams<Scalar>(beta);
    std::vector<Scalar> norms = Norms<Scalar>();
    norms.push_back(std::numeric_limits<float>::min());
    norms.push_back(std::numeric_limits<float>::max());
    for (const Scalar norm : norms) {
      const auto [divisor, power] = WithPower<PowerPath::kRoots>(norm, params);
      const Wide wide = norm;
      const Wide eps = Limits::epsilon();
      const Wide expected = std::pow(wide, -static_cast<Wide>(beta));
      EXPECT_NEAR(power, expected, 3 * eps * expected) << norm << "^-" << beta;
      // A denormal value may have a normal quotient.
      for (const Scalar value : {Scalar(3), 3 * Limits::denorm_min()}) {
        EXPECT_NEAR(value / divisor, value / wide,
                    3 * eps * (value / wide) + Limits::denorm_min())
            << value << " / " << norm;
      }
    }
    const auto at_infinity =
        WithPower<PowerPath::kRoots>(Limits::infinity(), params);
    EXPECT_EQ(at_infinity.power, 0);
    EXPECT_EQ(Scalar(3) / at_infinity.norm, 0);
    EXPECT_TRUE(std::isnan(Limits::infinity() / at_infinity.norm));
    const auto at_nan =
        WithPower<PowerPath::kRoots>(Limits::quiet_NaN(), params);
    EXPECT_TRUE(std::isnan(at_nan.power));
    EXPECT_TRUE(std::isnan(Scalar(0) / at_nan.norm));
  }
}

TEST(PowerTest, RootsOfFloat) { TestRoots<float>(); }

TEST(PowerTest, RootsOfDouble) { TestRoots<double>(); }

TEST(PowerTest, RootsAreForTwoBeta) {
  EXPECT_TRUE(HasRootPower(1e-5f, 0, 0.5f));
  EXPECT_FALSE(HasRootPower(0, 1, 0.5f));
  EXPECT_FALSE(HasRootPower(1, -1, 0.75f));
  EXPECT_FALSE(HasRootPower(1, 1, 0.74999994f));
  for (const float beta : {0.25f, 0.3f, 0.50000006f, 1.0f}) {
    EXPECT_FALSE(HasRootPower(1, 1, beta)) << beta;
  }
}

}  // namespace
}  // namespace tflrn
