// N^-beta for scalars and vectors, without calls and without branches on N.
//
//   N^-beta = 2^t,  t = -beta log2(N),  N = 2^e m,  sqrt(1/2) <= m < sqrt(2)
//
// The integer nearest to t becomes the exponent of the result. Polynomials give
// log2(m), and 2^g for the rest of t, g in [-1/2, 1/2]. Splitting beta avoids
// the rounding error of -beta e: the product with the leading half is exact.
//
// For the usual beta, 1/2 and 3/4, the power is built from reciprocal square
// roots instead, which a processor estimates in one instruction: 12 operations
// instead of 37, and 4.2 cycles instead of 18 on an EPYC with AVX-512. Roots
// and divisions on the processor's divider would take 12.
//
// Largest error seen there against C's pow: with polynomials, over seven beta
// from -0.5 to 2, 1.8 ulp for float and 1.6 for double; with roots, 1.5 ulp.
// tests/cc/power_test.cc holds them to 2, 3 and 3 eps.
#ifndef TFLRN_CC_CORE_POWER_H_
#define TFLRN_CC_CORE_POWER_H_

#include <cmath>
#include <limits>

#include "cc/core/lanes.h"
#include "cc/core/macros.h"

namespace tflrn {

// Coefficients, lowest power first. A value, since device code cannot use the
// host's static arrays; inlined, it becomes constants and takes no memory.
template <class Scalar, int kCount>
struct Polynomial {
  Scalar c[kCount];
};

// Minimax fits by tools/fit_power_polynomials.py.
template <class Scalar>
struct PowerPolynomials;

template <>
struct PowerPolynomials<float> {
  // log2(1 + f) / f, largest error of log2(1 + f): 2^-27.2.
  TFLRN_INLINE constexpr Polynomial<float, 9> Log2() {
    return {{1.4426948685322087405f, -0.72134712856039277692f,
             0.48092253055966334705f, -0.36072119293681504753f,
             0.28765663973483523540f, -0.23851943402489989267f,
             0.21737963319885987920f, -0.21030356348932603596f,
             0.12541221240168042931f}};
  }
  // 2^g, largest error: 2^-29.0. 1 at g = 0.
  TFLRN_INLINE constexpr Polynomial<float, 7> Exp2() {
    return {{0.99999999991902289634f, 0.69314720671046149751f,
             0.24022651504634479611f, 0.055503272141882673127f,
             0.0096179945572659748752f, 0.0013400432202262128778f,
             0.00015478012051633970046f}};
  }
};

template <>
struct PowerPolynomials<double> {
  // log2(1 + f) / f, largest error of log2(1 + f): 2^-56.2.
  TFLRN_INLINE constexpr Polynomial<double, 20> Log2() {
    return {{1.4426950408889640602,   -0.72134752044447937475,
             0.48089834696257650486,  -0.36067376022277185046,
             0.28853900825260728045,  -0.24044917347667599884,
             0.20609928538835399225,  -0.18033687498833684512,
             0.16029972271204070229,  -0.14426993708492152977,
             0.13114709103274841394,  -0.12020852757257441577,
             0.11107955172868569320,  -0.10337007455163185692,
             0.095402543538771255588, -0.086647491967271096914,
             0.086244253323537365927, -0.099407533785632441359,
             0.092497746093155105943, -0.040786794635529717639}};
  }
  // 2^g, largest error: 2^-58.2. 1 at g = 0.
  TFLRN_INLINE constexpr Polynomial<double, 12> Exp2() {
    return {{0.99999999999999999693, 0.69314718055994530745,
             0.24022650695910159583, 0.055504108664821770974,
             0.0096181291075872513229, 0.0013333558146374229193,
             0.00015403530463730507788, 0.000015252733871035047011,
             1.3215432533051207000e-6, 1.0178045296297350001e-7,
             7.0741947603460924241e-9, 4.4575330427597324399e-10}};
  }
};

// The largest power of two below `count`, which must be 2 or more.
TFLRN_INLINE constexpr int SplitAt(int count) {
  int half = 1;
  while (2 * half < count) half *= 2;
  return half;
}

// Sum of c[kFirst + k] z^k over kCount coefficients by Estrin's scheme, whose
// halves are independent. powers: z, z^2, z^4, z^8, z^16.
template <int kFirst, int kCount, class V, class Scalar, int kSize>
TFLRN_INLINE V EvaluateByHalves(const Polynomial<Scalar, kSize>& polynomial,
                                const V (&powers)[5]) {
  if constexpr (kCount == 1) {
    return Broadcast<V>(polynomial.c[kFirst]);
  } else {
    constexpr int kHalf = SplitAt(kCount);
    const V low = EvaluateByHalves<kFirst, kHalf>(polynomial, powers);
    const V high =
        EvaluateByHalves<kFirst + kHalf, kCount - kHalf>(polynomial, powers);
    return MultiplyAdd(high, powers[__builtin_ctz(kHalf)], low);
  }
}

// c[0] + c[1] z + c[2] z^2 + ...
//
// Horner's scheme has the fewest operations, but each depends on the last, and
// a processor cannot look far enough ahead to hide the latency. The first
// coefficient is added last, for a smaller error. Powers of z become denormal,
// and slow, for |z| < 2^-31 at the earliest: never in the logarithm, where |z|
// for float is 0 or at least 2^-24.
template <class V, class Scalar, int kCount>
TFLRN_INLINE V EvaluatePolynomial(const Polynomial<Scalar, kCount>& polynomial,
                                  V z) {
  const V z2 = z * z, z4 = z2 * z2, z8 = z4 * z4;
  const V powers[] = {z, z2, z4, z8, z8 * z8};
  return MultiplyAdd(EvaluateByHalves<1, kCount - 1>(polynomial, powers), z,
                     Broadcast<V>(polynomial.c[0]));
}

// What NegativePower needs of beta, computed once per call.
template <class Scalar>
struct PowerParams {
  Scalar minus_beta;
  Scalar minus_beta_high;  // Few enough bits for an exact product with e.
  Scalar minus_beta_low;   // minus_beta - minus_beta_high
  Scalar at_zero;          // 0^-beta
  Scalar at_infinity;      // infinity^-beta
  bool zero;               // beta == 0: the power is 1, even of NaN.
  bool integer;            // An integer: negative N have a power.
  bool odd;                // An odd integer: the power keeps the sign of N.
  bool three_quarters;     // beta == 3/4, where HasRootPower holds.
};

template <class Scalar>
TFLRN_INLINE PowerParams<Scalar> MakePowerParams(float beta) {
  constexpr Scalar kInfinity = std::numeric_limits<Scalar>::infinity();
  PowerParams<Scalar> p;
  // At these limits and beyond, every N but 1 gives 0 or infinity.
  const float limit = sizeof(Scalar) == sizeof(float) ? 0x1p40f : 0x1p70f;
  const float clamped = beta > limit ? limit : beta < -limit ? -limit : beta;
  p.minus_beta = -static_cast<Scalar>(clamped);
  // float: 12 leading bits times |e| < 2^8 is exact in 24 bits. double: all 24
  // bits of a float beta times |e| < 2^11 is exact.
  p.minus_beta_high =
      sizeof(Scalar) == sizeof(float)
          ? static_cast<Scalar>(BitCast<float>(static_cast<int32_t>(
                BitCast<int32_t>(-clamped) & int32_t(0xFFFFF000))))
          : p.minus_beta;
  p.minus_beta_low = p.minus_beta - p.minus_beta_high;
  p.at_zero = beta > 0 ? kInfinity : 0;
  p.at_infinity = beta > 0 ? 0 : kInfinity;
  p.zero = beta == 0;
  p.integer = beta == truncf(beta);
  p.odd =
      p.integer && fabsf(beta) < 0x1p24f && static_cast<int32_t>(beta) % 2 != 0;
  p.three_quarters = beta == 0.75f;
  return p;
}

// Whether NegativePower<true> may be used for every N = bias + alpha * s with
// s >= 0: no N is negative, zero or denormal, and every power is a normal
// number, since |t| <= 128 * 31/32 < 126 for float.
TFLRN_INLINE bool HasPlainPower(float bias, float alpha, float beta) {
  return bias >= FloatFormat<float>::kMinNormal && alpha >= 0 && beta > 0 &&
         beta <= 0.96875f;
}

// log2(m) and 2^g for sqrt(1/2) <= m < sqrt(2) and |g| <= 1/2 or slightly more.
struct PolynomialFunctions {
  template <class V>
  TFLRN_INLINE V Log2(V m) {
    using Scalar = typename LaneTraits<V>::Scalar;
    const V f = m - Scalar(1);
    return f * EvaluatePolynomial(PowerPolynomials<Scalar>::Log2(), f);
  }
  template <class V>
  TFLRN_INLINE V Exp2(V g) {
    using Scalar = typename LaneTraits<V>::Scalar;
    return EvaluatePolynomial(PowerPolynomials<Scalar>::Exp2(), g);
  }
};

// norm^-beta, as C's pow(norm, -beta) defines it. kPlain: HasPlainPower holds,
// and only infinity and NaN are special. Where both versions apply, they give
// the same bits with the same Functions.
template <bool kPlain, class Functions = PolynomialFunctions, class V,
          class Scalar>
TFLRN_INLINE V NegativePower(V norm, const PowerParams<Scalar>& p) {
  using Int = typename LaneTraits<V>::Int;
  using Unsigned = typename LaneTraits<V>::Unsigned;
  using Format = FloatFormat<Scalar>;
  constexpr int kShift = Format::kMantissaBits;

  V magnitude = norm;
  Int exponent_shift = {};
  if constexpr (!kPlain) {
    magnitude = BitCast<V>(Int(BitCast<Int>(norm) & ~Format::kSignMask));
    constexpr int kNormalizing = kShift + 1;
    const V scaled = magnitude * Scalar(uint64_t{1} << kNormalizing);
    const auto denormal = magnitude < Format::kMinNormal;
    exponent_shift = denormal ? Int{} - kNormalizing : Int{};
    magnitude = denormal ? scaled : magnitude;
  }
  const Int bits = BitCast<Int>(magnitude);
  const Int above = bits - Format::kSqrtHalf;
  const V m = BitCast<V>(Int(bits - (above & Format::kExponentMask)));
  const V e = LaneTraits<V>::FromInt((above >> kShift) + exponent_shift);
  const V log2_m = Functions::Log2(m);

  const V high = e * p.minus_beta_high;
  const V low =
      MultiplyAdd(e, Broadcast<V>(p.minus_beta_low), log2_m * p.minus_beta);
  V t = high + low;
  if constexpr (!kPlain) {
    // 2^kLimit is past the largest number, 2^-kLimit below the smallest.
    constexpr Scalar kLimit = sizeof(Scalar) == sizeof(float) ? 200 : 1200;
    t = t < -kLimit ? Broadcast<V>(-kLimit) : t;
    t = t > kLimit ? Broadcast<V>(kLimit) : t;
  }
  const V rounded = t + Format::kRounder;
  V g = (high - (rounded - Format::kRounder)) + low;
  if constexpr (!kPlain) {
    g = g < Scalar(-1) ? Broadcast<V>(Scalar(-1)) : g;
    g = g > Scalar(1) ? Broadcast<V>(Scalar(1)) : g;
  }
  const V two_to_g = Functions::Exp2(g);

  if constexpr (kPlain) {
    // The shift drops the bits of the rounder.
    const Unsigned n = BitCast<Unsigned>(rounded) << kShift;
    const V power = BitCast<V>(Unsigned(BitCast<Unsigned>(two_to_g) + n));
    const V special = norm > Format::kMax ? V{} : norm;
    return norm <= Format::kMax ? power : special;
  } else {
    // 2^n in two factors, so that the result may be denormal or overflow.
    const Int n = BitCast<Int>(rounded) - Format::kRounderBits;
    const Int n1 = n >> 1;
    const Unsigned bits1 = BitCast<Unsigned>(n1) << kShift;
    const Unsigned bits2 = BitCast<Unsigned>(Int(n - n1)) << kShift;
    V power = two_to_g * BitCast<V>(Unsigned(bits1 + Format::kOne));
    power = power * BitCast<V>(Unsigned(bits2 + Format::kOne));
    power = magnitude == Scalar(0) ? Broadcast<V>(p.at_zero) : power;
    constexpr Scalar kNan = std::numeric_limits<Scalar>::quiet_NaN();
    if (!p.integer) power = norm < Scalar(0) ? Broadcast<V>(kNan) : power;
    power = magnitude > Format::kMax ? Broadcast<V>(p.at_infinity) : power;
    const Int sign = BitCast<Int>(norm) & Format::kSignMask;
    if (p.odd) power = BitCast<V>(Int(BitCast<Int>(power) | sign));
    power = norm == norm ? power : norm;
    return p.zero ? Broadcast<V>(Scalar(1)) : power;
  }
}

// Whether WithRootPower may be used: for the beta of AlexNet and GoogLeNet, and
// the default.
TFLRN_INLINE bool HasRootPower(float bias, float alpha, float beta) {
  return HasPlainPower(bias, alpha, beta) && (beta == 0.75f || beta == 0.5f);
}

// The coefficient of e^kTerm in the series of (1 - e)^-p, p = kQuarters / 4:
// p (p + 1) ... (p + kTerm - 1) / kTerm!
template <int kQuarters, int kTerm>
TFLRN_INLINE constexpr double BinomialCoefficient() {
  double coefficient = 1;
  for (int k = 1; k <= kTerm; ++k) coefficient *= (kQuarters / 4.0 + k - 1) / k;
  return coefficient;
}

// Whether 2^-bits is at most a quarter of an eps, and a term of that size left
// out.
template <class V>
TFLRN_INLINE constexpr bool IsNegligible(int bits) {
  using Scalar = typename LaneTraits<V>::Scalar;
  return bits >= FloatFormat<Scalar>::kMantissaBits + 2;
}

// ((1 - e)^-p - 1) / e for |e| <= 2^-kBits, to within a quarter of an eps / e:
// the terms of the series from kTerm on, divided by e^kTerm.
template <int kQuarters, int kBits, int kTerm = 1, class V>
TFLRN_INLINE V BinomialFactor(V e) {
  using Scalar = typename LaneTraits<V>::Scalar;
  const V coefficient = Broadcast<V>(
      static_cast<Scalar>(BinomialCoefficient<kQuarters, kTerm>()));
  if constexpr (IsNegligible<V>(kBits * (kTerm + 1))) {
    return coefficient;
  } else {
    const V next = BinomialFactor<kQuarters, kBits, kTerm + 1>(e);
    return MultiplyAdd(next, e, coefficient);
  }
}

// The same for p = 1, and not divided by e: e + e^2 + ...
template <int kBits, int kTerm = 1, class V>
TFLRN_INLINE V GeometricSeries(V e) {
  if constexpr (IsNegligible<V>(kBits * (kTerm + 1))) {
    return e;
  } else {
    return MultiplyAdd(e, GeometricSeries<kBits, kTerm + 1>(e), e);
  }
}

// A norm to divide by, held as its reciprocal. The reciprocal is normal except
// for norms past 2^126, where it loses up to two bits.
template <class V>
struct InverseNorm {
  V inverse;
};

template <class V>
TFLRN_INLINE V operator/(V value, InverseNorm<V> norm) {
  return value * norm.inverse;
}

// How to compute powers, the best last.
enum class PowerPath {
  kAny,
  kPlain,  // HasPlainPower
  kRoots,  // HasRootPower
};

// norm, as a divisor, and norm^-beta.
template <class V, class Divisor>
struct NormAndPower {
  Divisor norm;
  V power;
};

// Estimates of norm^-1/2 and norm^1/4 give estimates of 1 / norm and norm^-3/4.
// Their errors show in the squares of the roots, and are corrected once, at the
// end, to keep the chain of dependent operations short.
template <class V, class Scalar>
TFLRN_INLINE NormAndPower<V, InverseNorm<V>> WithRootPower(
    V norm, const PowerParams<Scalar>& p) {
  constexpr int kBits = LaneTraits<V>::kRootBits - 1;  // Of a root's square.
  const V one = Broadcast<V>(Scalar(1));
  const V root = ReciprocalRootEstimate(norm);
  const V square = root * root;
  const V e = MultiplyAdd(-norm, square, one);  // square = (1 - e) / norm
  const V inverse = MultiplyAdd(square, GeometricSeries<kBits>(e), square);
  V power;
  if (p.three_quarters) {
    const V fourth = ReciprocalRootEstimate(root);
    const V f = MultiplyAdd(-root, fourth * fourth, one);
    // norm^-3/4 (1 - e)^3/4 (1 - f)^1/2
    const V estimate = square * fourth;
    const V for_square = e * BinomialFactor<3, kBits>(e);
    const V factor = BinomialFactor<2, kBits>(f);
    V correction = MultiplyAdd(f, factor, for_square);
    if constexpr (!IsNegligible<V>(2 * kBits)) {
      correction = MultiplyAdd(for_square, f * factor, correction);
    }
    power = MultiplyAdd(estimate, correction, estimate);
  } else {
    power = MultiplyAdd(root, e * BinomialFactor<2, kBits>(e), root);
  }
  // As in the plain version, only infinity and NaN are special.
  const auto infinite = norm > FloatFormat<Scalar>::kMax;
  return {{infinite ? V{} : inverse}, infinite ? V{} : power};
}

template <PowerPath kPath, class V, class Scalar>
TFLRN_INLINE auto WithPower(V norm, const PowerParams<Scalar>& p) {
  if constexpr (kPath == PowerPath::kRoots) {
    return WithRootPower(norm, p);
  } else {
    constexpr bool kPlain = kPath == PowerPath::kPlain;
    // 2.5 cycles instead of 43, for float on an EPYC with AVX-512. As a branch,
    // since a path of its own would compile every kernel once more.
    if (!kPlain && p.minus_beta == Scalar(-1)) {
      return NormAndPower<V, V>{norm, Scalar(1) / norm};
    }
    return NormAndPower<V, V>{norm, NegativePower<kPlain>(norm, p)};
  }
}

}  // namespace tflrn

#endif  // TFLRN_CC_CORE_POWER_H_
