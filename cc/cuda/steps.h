// The arithmetic of the three ops as a thread does it for the channels it
// holds: what it loads, the values whose window sums it needs, and its results.
// The formulas are those of cc/core/formulas.h.
//
// kLanes   the channels.
// kPlain   HasPlainPower holds.
//
// An op has one or two rounds of window sums, of kWindows sums each: First
// gives the values of the first round, Second turns its sums into the values of
// the second, Finish takes the sums of the last.
#ifndef TFLRN_CC_CUDA_STEPS_H_
#define TFLRN_CC_CUDA_STEPS_H_

#include <cstdint>

#include "cc/core/formulas.h"
#include "cc/core/types.h"
#include "cc/cuda/lrn_rows.h"
#include "cc/cuda/packs.h"

namespace tflrn::cuda {

template <class T, int kLanesOf, bool kPlain>
struct LrnSteps {
  static constexpr Op kOp = Op::kLrn;
  static constexpr int kLanes = kLanesOf;
  static constexpr int kInputs = 1;
  static constexpr int kOutputs = 1;
  static constexpr int kRounds = 1;
  static constexpr int kWindows = 1;
  using Type = T;
  using V = typename ComputeType<T>::type;
  using Values = V[kWindows][kLanes];
  using Coefficients = LrnCoefficients<V>;

  Pack<T, kLanes> x;

  __device__ void LoadInputs(const T* const* inputs, int64_t offset) {
    x = Load<kLanes>(inputs[0] + offset);
  }

  __device__ void First(Values& values) const {
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      const V x_i = Widen(x.lanes[i]);
      values[0][i] = x_i * x_i;
    }
  }

  __device__ void Finish(const Coefficients& c, const Values& sums,
                         T* const* outputs, int64_t offset) const {
    V y[kLanes];
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      const V norm = Norm(sums[0][i], c);
      y[i] = Widen(x.lanes[i]) * NegativePower<kPlain>(norm, c.power);
    }
    Store(outputs[0] + offset, NarrowAll<V, T>(y));
  }
};

template <class T, int kLanesOf, bool kPlain>
struct LrnGradSteps {
  static constexpr Op kOp = Op::kLrnGrad;
  static constexpr int kLanes = kLanesOf;
  static constexpr int kInputs = 3;
  static constexpr int kOutputs = 1;
  static constexpr int kRounds = 2;
  static constexpr int kWindows = 1;
  using Type = T;
  using V = typename ComputeType<T>::type;
  using Values = V[kWindows][kLanes];
  using Coefficients = LrnCoefficients<V>;

  Pack<T, kLanes> dy, x, y;
  V direct[kLanes];

  __device__ void LoadInputs(const T* const* inputs, int64_t offset) {
    dy = Load<kLanes>(inputs[0] + offset);
    x = Load<kLanes>(inputs[1] + offset);
    y = Load<kLanes>(inputs[2] + offset);
  }

  __device__ void First(Values& values) const {
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      const V x_i = Widen(x.lanes[i]);
      values[0][i] = x_i * x_i;
    }
  }

  __device__ void Second(const Coefficients& c, Values& values) {
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      const V dy_i = Widen(dy.lanes[i]);
      const V norm = Norm(values[0][i], c);
      direct[i] = GradDirect(dy_i, NegativePower<kPlain>(norm, c.power));
      values[0][i] = GradTerm(dy_i, V(Widen(y.lanes[i])), norm);
    }
  }

  __device__ void Finish(const Coefficients& c, const Values& sums,
                         T* const* outputs, int64_t offset) const {
    V dx[kLanes];
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      dx[i] = Grad(direct[i], V(Widen(x.lanes[i])), sums[0][i], c);
    }
    Store(outputs[0] + offset, NarrowAll<V, T>(dx));
  }
};

template <class T, int kLanesOf, bool kPlain>
struct LrnGradGradSteps {
  static constexpr Op kOp = Op::kLrnGradGrad;
  static constexpr int kLanes = kLanesOf;
  static constexpr int kInputs = 4;
  static constexpr int kOutputs = 3;
  static constexpr int kRounds = 2;
  static constexpr int kWindows = 2;
  using Type = T;
  using V = typename ComputeType<T>::type;
  using Values = V[kWindows][kLanes];
  using Coefficients = LrnCoefficients<V>;

  Pack<T, kLanes> u, dy, x, y;
  // Stored at the end, since they may take the place of dy and y.
  Pack<T, kLanes> d_dy, d_y;

  __device__ void LoadInputs(const T* const* inputs, int64_t offset) {
    u = Load<kLanes>(inputs[0] + offset);
    dy = Load<kLanes>(inputs[1] + offset);
    x = Load<kLanes>(inputs[2] + offset);
    y = Load<kLanes>(inputs[3] + offset);
  }

  __device__ void First(Values& values) const {
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      const V x_i = Widen(x.lanes[i]);
      values[0][i] = x_i * x_i;
      values[1][i] = x_i * Widen(u.lanes[i]);
    }
  }

  __device__ void Second(const Coefficients& c, Values& values) {
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      const V u_i = Widen(u.lanes[i]);
      const V dy_i = Widen(dy.lanes[i]);
      const V y_i = Widen(y.lanes[i]);
      const V norm = Norm(values[0][i], c);
      const V power = NegativePower<kPlain>(norm, c.power);
      const V x_u = values[1][i];
      Narrow(GradGradDy(u_i, y_i, norm, power, x_u, c), &d_dy.lanes[i]);
      Narrow(GradGradY(dy_i, norm, x_u, c), &d_y.lanes[i]);
      values[0][i] = GradTerm(dy_i, y_i, norm);
      values[1][i] = GradGradTerm(u_i, dy_i, y_i, norm, power, x_u, c);
    }
  }

  __device__ void Finish(const Coefficients& c, const Values& sums,
                         T* const* outputs, int64_t offset) const {
    V d_x[kLanes];
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      d_x[i] = GradGradX(V(Widen(u.lanes[i])), V(Widen(x.lanes[i])), sums[0][i],
                         sums[1][i], c);
    }
    Store(outputs[0] + offset, d_dy);
    Store(outputs[1] + offset, NarrowAll<V, T>(d_x));
    Store(outputs[2] + offset, d_y);
  }
};

}  // namespace tflrn::cuda

#endif  // TFLRN_CC_CUDA_STEPS_H_
