// The largest error of cc/core/power.h, for its test and its benchmark.
#ifndef TFLRN_TESTS_CC_POWER_ERROR_H_
#define TFLRN_TESTS_CC_POWER_ERROR_H_

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "cc/core/lanes.h"
#include "cc/core/power.h"
#include "tests/cc/wide.h"

namespace tflrn {

// Norms over the whole range of float, many of them near 1.
template <class Scalar>
std::vector<Scalar> Norms() {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> exponent(-125.9, 127.9);
  std::normal_distribution<double> near(0.0, 1.0);
  std::vector<Scalar> norms = {1, 2, Scalar(0.5), 4, 10};
  for (int k = 0; k < 200000; ++k) {
    norms.push_back(static_cast<Scalar>(std::exp2(exponent(random))));
    norms.push_back(static_cast<Scalar>(std::exp2(near(random))));
    norms.push_back(static_cast<Scalar>(1 + 1e-4 * near(random)));
  }
  return norms;
}

// The largest error against a result in a wider type, in units in the last
// place of the result. V: a scalar or a vector.
template <class V, PowerPath kPath = PowerPath::kAny>
double LargestPowerError(float beta) {
  using Scalar = typename LaneTraits<V>::Scalar;
  const auto params = MakePowerParams<Scalar>(beta);
  double largest = 0;
  for (const Scalar norm : Norms<Scalar>()) {
    const Wide exact =
        std::pow(static_cast<Wide>(norm), -static_cast<Wide>(beta));
    if (exact > std::numeric_limits<Scalar>::max()) continue;
    if (exact < std::numeric_limits<Scalar>::min()) continue;
    const V power = WithPower<kPath>(Broadcast<V>(norm), params).power;
    Scalar result;  // Of the first lane.
    std::memcpy(&result, &power, sizeof(result));
    const auto rounded = static_cast<Scalar>(exact);
    const Wide unit =
        std::nextafter(rounded, std::numeric_limits<Scalar>::infinity()) -
        rounded;
    largest = std::max(largest,
                       static_cast<double>(std::abs((result - exact) / unit)));
  }
  return largest;
}

}  // namespace tflrn

#endif  // TFLRN_TESTS_CC_POWER_ERROR_H_
