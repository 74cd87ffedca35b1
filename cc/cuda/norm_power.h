// norm^-beta, and division by a norm.
//
// In the time that an H200 takes to copy one element's bytes of LRN, it can
// execute 62 instructions for float, 31 for half (docs/gpu.md). The power of
// cc/core takes 37, a division about 10. Where the power is plain, the
// hardware's approximations replace both, except for double:
//
//   float          the power of cc/core, with the hardware's log2 and 2^x
//                  instead of its polynomials: about 21
//   16-bit types   2^(-beta log2(norm)): 3
//
// In all other cases, the power is that of cc/core and the division IEEE 754's.
#ifndef TFLRN_CC_CUDA_NORM_POWER_H_
#define TFLRN_CC_CUDA_NORM_POWER_H_

#include <cmath>

#include "cc/core/lrn_params.h"
#include "cc/core/macros.h"
#include "cc/core/power.h"
#include "cc/core/types.h"
#include "cc/cuda/runtime.h"

// The host runs the kernels only in tests. There tests/cc/emulated_cuda.h
// defines these, with the largest errors that the hardware may have.
namespace tflrn::emulated {
float Log2(float value);
float Exp2(float value);
float Reciprocal(float value);
}  // namespace tflrn::emulated

namespace tflrn::cuda {

// The hardware's approximations. Their largest errors according to PTX: 2^-22
// for log2, absolute for arguments in [1/2, 2] and relative elsewhere; 2^-22
// relative for 2^x; and 2^-23 relative for the reciprocal. Infinity and NaN
// give what the formulas give. Denormal arguments and results count as 0.
struct ApproximateFunctions {
  TFLRN_INLINE float Log2(float value) {
#ifdef __CUDA_ARCH__
    float result;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(value));
    return result;
#else
    return emulated::Log2(value);
#endif
  }

  TFLRN_INLINE float Exp2(float value) {
#ifdef __CUDA_ARCH__
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(value));
    return result;
#else
    return emulated::Exp2(value);
#endif
  }

  TFLRN_INLINE float Reciprocal(float value) {
#ifdef __CUDA_ARCH__
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(value));
    return result;
#else
    return emulated::Reciprocal(value);
#endif
  }
};

// A norm to divide by, which the formulas use like a number. The reciprocal of
// a norm above 2^126 is denormal, and its approximation would be 0. Computed as
// a quarter of four times the reciprocal, it only loses two bits.
class ReciprocalNorm {
 public:
  __device__ explicit ReciprocalNorm(float norm)
      : one_over_norm_(ApproximateFunctions::Reciprocal(norm * 0.25f) * 0.25f) {
  }
  friend __device__ __forceinline__ float operator/(float dividend,
                                                    ReciprocalNorm divisor) {
    return dividend * divisor.one_over_norm_;
  }

 private:
  float one_over_norm_;
};

// Whether every norm is 2^-124 or more, or NaN, and its power is neither
// denormal nor infinite. Then a quarter of the norm, whose reciprocal
// ReciprocalNorm takes, is not denormal either.
inline bool HasPlainNormPower(const LrnParams& params) {
  return HasPlainPower(params.bias, params.alpha, params.beta) &&
         params.bias >= 0x1p-124f;
}

// T        the stored type.
// kPlain   HasPlainNormPower holds.
template <class T, bool kPlain>
struct NormPower {
  using V = typename ComputeType<T>::type;
  static constexpr bool kApproximate = kPlain && sizeof(V) == sizeof(float);

  // norm^-beta. Where it is approximate, with beta < 1, the relative error is
  // at most 5 2^-23 for float (log2: 1.4, 2^x: 2, five roundings: 1.5), and
  // (|log2 norm| + 2) 2^-22 for 16-bit types, whose rounding adds 2^-11 or
  // more.
  static __device__ __forceinline__ V Of(V norm, const PowerParams<V>& p) {
    if constexpr (kApproximate && sizeof(T) == 2) {
      return ApproximateFunctions::Exp2(p.minus_beta *
                                        ApproximateFunctions::Log2(norm));
    } else if constexpr (kApproximate) {
      return NegativePower<true, ApproximateFunctions>(norm, p);
    } else {
      return NegativePower<kPlain>(norm, p);
    }
  }

  // The approximation adds 2^-23 to the relative error of a quotient.
  static __device__ __forceinline__ auto Divisor(V norm) {
    if constexpr (kApproximate) {
      return ReciprocalNorm(norm);
    } else {
      return norm;
    }
  }
};

}  // namespace tflrn::cuda

#endif  // TFLRN_CC_CUDA_NORM_POWER_H_
