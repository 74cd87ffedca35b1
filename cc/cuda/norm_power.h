// norm^-beta, and division by a norm.
//
// While an H100 copies the bytes of an element of LRN, it has time for 79
// instructions with float, 39 with half (docs/gpu.md). The power of cc/core is
// 37 of them, a division about 10. Where the power is plain, the hardware's
// approximations take their place, but for double:
//
//   float          the power of cc/core, with their log2 and 2^x for its
//                  polynomials: about 21
//   16-bit types   2^(-beta log2(norm)): 3
//
// In all other cases both are those of cc/core, and IEEE 754's division.
#ifndef TFLRN_CC_CUDA_NORM_POWER_H_
#define TFLRN_CC_CUDA_NORM_POWER_H_

#include <cmath>

#include "cc/core/lrn_params.h"
#include "cc/core/macros.h"
#include "cc/core/power.h"
#include "cc/core/types.h"
#include "cc/cuda/runtime.h"

// The host runs the kernels in tests only, where tests/cc/emulated_cuda.h
// defines these, with errors as large as the hardware's may be.
namespace tflrn::emulated {
float Log2(float value);
float Exp2(float value);
float Reciprocal(float value);
}  // namespace tflrn::emulated

namespace tflrn::cuda {

// The hardware's approximations. PTX names their largest errors: 2^-22 for
// log2, absolute for arguments in [1/2, 2] and relative elsewhere, 2^-22
// relative for 2^x, and 2^-23 relative for the reciprocal. Infinity and NaN
// give what the formulas give. Denormal arguments and results are 0.
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

// Divides by a norm; for the formulas it is a number like any other. By way of
// four times the reciprocal, since that of a norm above 2^126 is denormal: the
// approximation would give 0, and so it only loses two bits.
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

// Whether a norm is 2^-124 or more, or NaN, and its power and its reciprocal
// leave neither the normal numbers nor, but for infinity, the finite ones.
inline bool HasPlainNormPower(const LrnParams& params) {
  return HasPlainPower(params.bias, params.alpha, params.beta) &&
         params.bias >= 0x1p-124f;
}

// T        what is stored.
// kPlain   HasPlainNormPower holds.
template <class T, bool kPlain>
struct NormPower {
  using V = typename ComputeType<T>::type;
  static constexpr bool kApproximate = kPlain && sizeof(V) == sizeof(float);

  // norm^-beta. With beta < 1 the relative error is, where approximate, at most
  // 5 2^-23 for float (log2: 1.4, 2^x: 2, five roundings: 1.5), and
  // (|log2 norm| + 2) 2^-22 for 16-bit types, whose rounding has 2^-11 or more.
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

  // Approximate: adds 2^-23 to the relative error of a quotient.
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
