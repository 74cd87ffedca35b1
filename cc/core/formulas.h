// Local Response Normalization, its gradient and its second gradient, for one
// channel of one row, given the window sums.
//
// In a row of C channels, with the clipped window of channel j,
// W(j) = { k : 0 <= k < C, |k - j| <= depth_radius }:
//
//   norm_j = bias + alpha * sum_{k in W(j)} x_k^2
//   LRN          y_j  = x_j * norm_j^-beta
//   LRNGrad      dx_k = dy_k * norm_k^-beta
//                       - 2 alpha beta x_k * sum_{j in W(k)} dy_j y_j / norm_j
//
// and, for an upstream gradient u of dx, with P_j = sum_{k in W(j)} x_k u_k:
//
//   LRNGradGrad  d_dy_j = u_j norm_j^-beta - 2 alpha beta (y_j / norm_j) P_j
//                d_y_j  = - 2 alpha beta (dy_j / norm_j) P_j
//                d_x_m  = - 2 alpha beta u_m sum_{j in W(m)} dy_j y_j / norm_j
//                         + 2 alpha x_m sum_{j in W(m)} (dy_j / norm_j)
//                           (2 alpha beta y_j P_j / norm_j - beta u_j
//                           norm_j^-beta)
//
// If y is computed from x, d_y is not an output, but part of d_x:
//
//   LRNGradGradFromInput
//                d_dy_j = as above
//                d_x_m  = - 2 alpha beta u_m sum_{j in W(m)} dy_j y_j / norm_j
//                         - 2 alpha beta (dy_m / norm_m) P_m norm_m^-beta
//                         + 2 alpha x_m sum_{j in W(m)} (dy_j / norm_j)
//                           (2 alpha beta y_j P_j / norm_j - beta d_dy_j)
//
// y is from A. Krizhevsky, I. Sutskever and G. Hinton, "ImageNet classification
// with deep convolutional neural networks", 2012, section 3.3. dx is the
// transposed Jacobian of y applied to dy, with x_j norm_j^(-beta-1) written as
// y_j / norm_j, where y is the tensor that LRNGrad is given. LRNGradFromInput
// is LRNGrad with y_j = x_j * norm_j^-beta, not rounded to the tensors' type.
// LRNGradGrad is the derivative of sum_k u_k dx_k with respect to each of
// LRNGrad's inputs, LRNGradGradFromInput to each of LRNGradFromInput's.
//
// V is a floating-point type or a vector of one (lanes.h), Scalar its element.
// Divisor is V, or a type that stands in for a norm to divide by (InverseNorm
// in power.h, ReciprocalNorm in cc/cuda/norm_power.h).
#ifndef TFLRN_CC_CORE_FORMULAS_H_
#define TFLRN_CC_CORE_FORMULAS_H_

#include "cc/core/lrn_params.h"
#include "cc/core/macros.h"
#include "cc/core/power.h"

namespace tflrn {

// The parameters in the type of the computation.
template <class Scalar>
struct LrnCoefficients {
  Scalar bias;
  Scalar alpha;
  Scalar beta;
  Scalar two_alpha;
  Scalar minus_two_alpha_beta;
  PowerParams<Scalar> power;
};

template <class Scalar>
TFLRN_INLINE LrnCoefficients<Scalar> MakeCoefficients(const LrnParams& params) {
  LrnCoefficients<Scalar> c;
  c.bias = params.bias;
  c.alpha = params.alpha;
  c.beta = params.beta;
  c.two_alpha = static_cast<Scalar>(2.0 * double{params.alpha});
  c.minus_two_alpha_beta =
      static_cast<Scalar>(-2.0 * double{params.alpha} * double{params.beta});
  c.power = MakePowerParams<Scalar>(params.beta);
  return c;
}

// norm_j = bias + alpha * sum_{k in W(j)} x_k^2
template <class V, class Scalar>
TFLRN_INLINE V Norm(V window_sum_of_squares, const LrnCoefficients<Scalar>& c) {
  return MultiplyAdd(window_sum_of_squares, Broadcast<V>(c.alpha),
                     Broadcast<V>(c.bias));
}

// A zero gradient contributes nothing, even where norm_j is 0 or NaN, as in
// TensorFlow's LRNGrad. Hence the comparisons below.

// The part of dx_k that stays in its channel: dy_k * norm_k^-beta.
template <class V>
TFLRN_INLINE V GradDirect(V dy, V power) {
  return dy == V{} ? V{} : dy * power;
}

// The summand of the window sum: dy_j * y_j / norm_j.
template <class V, class Divisor>
TFLRN_INLINE V GradTerm(V dy, V y, Divisor norm) {
  return dy == V{} ? V{} : dy * y / norm;
}

// dx_k = direct_k - 2 alpha beta x_k * sum_{j in W(k)} term_j
template <class V, class Scalar>
TFLRN_INLINE V Grad(V direct, V x, V window_sum_of_terms,
                    const LrnCoefficients<Scalar>& c) {
  return MultiplyAdd(x * c.minus_two_alpha_beta, window_sum_of_terms, direct);
}

// d_dy_j, with window_sum = P_j.
template <class V, class Divisor, class Scalar>
TFLRN_INLINE V GradGradDy(V u, V y, Divisor norm, V power, V window_sum,
                          const LrnCoefficients<Scalar>& c) {
  const V direct = u * power;
  return MultiplyAdd(y / norm * c.minus_two_alpha_beta, window_sum, direct);
}

// d_y_j, with window_sum = P_j.
template <class V, class Divisor, class Scalar>
TFLRN_INLINE V GradGradY(V dy, Divisor norm, V window_sum,
                         const LrnCoefficients<Scalar>& c) {
  return dy == V{} ? V{} : dy / norm * c.minus_two_alpha_beta * window_sum;
}

// The summand of the second window sum of d_x, with window_sum = P_j.
template <class V, class Divisor, class Scalar>
TFLRN_INLINE V GradGradTerm(V u, V dy, V y, Divisor norm, V power, V window_sum,
                            const LrnCoefficients<Scalar>& c) {
  const V minus_inner = MultiplyAdd(y / norm * c.minus_two_alpha_beta,
                                    window_sum, u * power * c.beta);
  return dy == V{} ? V{} : -dy / norm * minus_inner;
}

// The summand that takes its place if y is computed from x. d_dy is d_dy_j, not
// rounded to the tensors' type.
template <class V, class Divisor, class Scalar>
TFLRN_INLINE V GradGradTermFromInput(V dy, V y, Divisor norm, V window_sum,
                                     V d_dy, const LrnCoefficients<Scalar>& c) {
  const V minus_inner =
      MultiplyAdd(y / norm * c.minus_two_alpha_beta, window_sum, d_dy * c.beta);
  return dy == V{} ? V{} : -dy / norm * minus_inner;
}

// The part of d_x_m that then comes through y_m alone, with window_sum = P_m.
template <class V, class Divisor, class Scalar>
TFLRN_INLINE V GradGradDirect(V dy, Divisor norm, V power, V window_sum,
                              const LrnCoefficients<Scalar>& c) {
  return dy == V{} ? V{}
                   : dy / norm * c.minus_two_alpha_beta * window_sum * power;
}

// d_x_m, with the window sums of GradTerm and GradGradTerm.
template <class V, class Scalar>
TFLRN_INLINE V GradGradX(V u, V x, V sum_of_terms, V sum_of_second_terms,
                         const LrnCoefficients<Scalar>& c) {
  const V first = u * c.minus_two_alpha_beta * sum_of_terms;
  return MultiplyAdd(x * c.two_alpha, sum_of_second_terms, first);
}

}  // namespace tflrn

#endif  // TFLRN_CC_CORE_FORMULAS_H_
