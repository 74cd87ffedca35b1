// Tests of cc/core/lrn_params.h.
#include "cc/core/lrn_params.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace tflrn {
namespace {

TEST(LrnParamsTest, DefaultsAreThoseOfTensorFlow) {
  const LrnParams params;
  EXPECT_EQ(params.depth_radius, 5);
  EXPECT_EQ(params.bias, 1.0f);
  EXPECT_EQ(params.alpha, 1.0f);
  EXPECT_EQ(params.beta, 0.5f);
  EXPECT_EQ(ValidateParams(params), "");
}

TEST(LrnParamsTest, AnyFiniteParametersAreValid) {
  constexpr float kMax = std::numeric_limits<float>::max();
  constexpr int64_t kLongest = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(ValidateParams({0, 0.0f, 0.0f, 0.0f}), "");
  EXPECT_EQ(ValidateParams({kLongest, -kMax, kMax, -kMax}), "");
}

TEST(LrnParamsTest, MessagesNameTheParameterAndItsValue) {
  EXPECT_EQ(ValidateParams({-3, 1, 1, 1}),
            "depth_radius must be 0 or more, but is -3");
  EXPECT_EQ(ValidateParams({1, NAN, 1, 1}),
            "bias must be a finite number, but is nan");
  EXPECT_EQ(ValidateParams({1, 1, INFINITY, 1}),
            "alpha must be a finite number, but is inf");
  EXPECT_EQ(ValidateParams({1, 1, 1, -INFINITY}),
            "beta must be a finite number, but is -inf");
}

TEST(LrnParamsTest, EffectiveRadiusIsBoundedByTheRow) {
  constexpr int64_t kLongest = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(EffectiveRadius(2, 96), 2);
  EXPECT_EQ(EffectiveRadius(96, 96), 95);
  EXPECT_EQ(EffectiveRadius(kLongest, 96), 95);
  EXPECT_EQ(EffectiveRadius(5, 1), 0);
  EXPECT_EQ(EffectiveRadius(5, 0), 0);
}

}  // namespace
}  // namespace tflrn
