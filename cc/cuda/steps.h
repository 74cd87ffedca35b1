// The arithmetic of the ops for the channels that a thread holds: what it
// loads, the values whose window sums it needs, and its results. The formulas
// are those of cc/core/formulas.h.
//
//   LoadInputs
//   FirstValues    gives the values of the first round of kWindows window sums,
//                  the first of which gives the norm
//   WithNorms      turns these sums into the values of the second round, or, in
//                  LRN, which has kRounds = 1, into the results
//   Finish         takes the sums of the second round or LRN's results, and
//                  stores the results
//
// kLanes   the number of channels.
// kBytes   of these channels in a tensor.
// kX       which input is x.
// kPlain   HasPlainNormPower holds.
#ifndef TFLRN_CC_CUDA_STEPS_H_
#define TFLRN_CC_CUDA_STEPS_H_

#include <cstdint>

#include "cc/core/formulas.h"
#include "cc/core/types.h"
#include "cc/cuda/lrn_rows.h"
#include "cc/cuda/norm_power.h"
#include "cc/cuda/packs.h"

namespace tflrn::cuda {

template <class T, class V, int kLanes>
TFLRN_DEVICE void Square(const Pack<T, kLanes>& x, V (&squares)[kLanes]) {
  TFLRN_UNROLL
  for (int i = 0; i < kLanes; ++i) {
    const V x_i = Lane(x, i);
    squares[i] = x_i * x_i;
  }
}

template <class T, int kLanesOf>
struct LrnSteps {
  static constexpr Op kOp = Op::kLrn;
  static constexpr int kLanes = kLanesOf;
  static constexpr int kInputs = 1;
  static constexpr int kX = 0;
  static constexpr int kOutputs = 1;
  static constexpr int kRounds = 1;
  static constexpr int kWindows = 1;
  static constexpr int kBytes = kLanes * sizeof(T);
  using Type = T;
  using V = typename ComputeType<T>::type;
  using Values = V[kWindows][kLanes];
  using Coefficients = LrnCoefficients<V>;

  Pack<T, kLanes> x;

  __device__ void LoadInputs(const T* const* inputs, int64_t offset,
                             Lanes lanes) {
    x = Load<kLanes>(inputs[kX] + offset, lanes);
  }

  __device__ void FirstValues(Values& values) const { Square(x, values[0]); }

  template <bool kPlain>
  __device__ void WithNorms(const Coefficients& c, Values& values) {
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      const V norm = Norm(values[0][i], c);
      const V power = NormPower<T, kPlain>::Of(norm, c.power);
      values[0][i] = Lane(x, i) * power;
    }
  }

  __device__ void Finish(const Coefficients&, const Values& y,
                         T* const* outputs, int64_t offset, Lanes lanes) const {
    Store(outputs[0] + offset, NarrowAll<V, T>(y[0]), lanes);
  }
};

template <class T, int kLanesOf>
struct LrnGradSteps {
  static constexpr Op kOp = Op::kLrnGrad;
  static constexpr int kLanes = kLanesOf;
  static constexpr int kInputs = 3;
  static constexpr int kX = 1;
  static constexpr int kOutputs = 1;
  static constexpr int kRounds = 2;
  static constexpr int kWindows = 1;
  static constexpr int kBytes = kLanes * sizeof(T);
  using Type = T;
  using V = typename ComputeType<T>::type;
  using Values = V[kWindows][kLanes];
  using Coefficients = LrnCoefficients<V>;

  Pack<T, kLanes> dy, x, y;
  bool y_is_given;
  V direct[kLanes];

  __device__ void LoadInputs(const T* const* inputs, int64_t offset,
                             Lanes lanes) {
    dy = Load<kLanes>(inputs[0] + offset, lanes);
    x = Load<kLanes>(inputs[kX] + offset, lanes);
    y_is_given = inputs[2] != nullptr;
    if (y_is_given) y = Load<kLanes>(inputs[2] + offset, lanes);
  }

  __device__ void FirstValues(Values& values) const { Square(x, values[0]); }

  template <bool kPlain>
  __device__ void WithNorms(const Coefficients& c, Values& values) {
    // Two loops: choosing y within one takes more registers.
    if (y_is_given) {
      Terms<kPlain>(c, values, [&](int i, V) { return Lane(y, i); });
    } else {
      Terms<kPlain>(c, values,
                    [&](int i, V power) { return Lane(x, i) * power; });
    }
  }

  // y_of(i, power) returns y_i.
  template <bool kPlain, class YOf>
  __device__ void Terms(const Coefficients& c, Values& values,
                        const YOf& y_of) {
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      const V dy_i = Lane(dy, i);
      const V norm = Norm(values[0][i], c);
      const V power = NormPower<T, kPlain>::Of(norm, c.power);
      direct[i] = GradDirect(dy_i, power);
      values[0][i] =
          GradTerm(dy_i, y_of(i, power), NormPower<T, kPlain>::Divisor(norm));
    }
  }

  __device__ void Finish(const Coefficients& c, const Values& sums,
                         T* const* outputs, int64_t offset, Lanes lanes) const {
    V dx[kLanes];
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      dx[i] = Grad(direct[i], Lane(x, i), sums[0][i], c);
    }
    Store(outputs[0] + offset, NarrowAll<V, T>(dx), lanes);
  }
};

// The first values of the second gradients: x^2 and x u.
template <class T, class V, int kLanes>
TFLRN_DEVICE void SquareAndMultiply(const Pack<T, kLanes>& x,
                                    const Pack<T, kLanes>& u,
                                    V (&values)[2][kLanes]) {
  TFLRN_UNROLL
  for (int i = 0; i < kLanes; ++i) {
    const V x_i = Lane(x, i);
    values[0][i] = x_i * x_i;
    values[1][i] = x_i * Lane(u, i);
  }
}

template <class T, int kLanesOf>
struct LrnGradGradSteps {
  static constexpr Op kOp = Op::kLrnGradGrad;
  static constexpr int kLanes = kLanesOf;
  static constexpr int kInputs = 4;
  static constexpr int kX = 2;
  static constexpr int kOutputs = 3;
  static constexpr int kRounds = 2;
  static constexpr int kWindows = 2;
  static constexpr int kBytes = kLanes * sizeof(T);
  using Type = T;
  using V = typename ComputeType<T>::type;
  using Values = V[kWindows][kLanes];
  using Coefficients = LrnCoefficients<V>;

  Pack<T, kLanes> u, dy, x, y;
  // Stored at the end, since they may overwrite dy and y.
  Pack<T, kLanes> d_dy, d_y;

  __device__ void LoadInputs(const T* const* inputs, int64_t offset,
                             Lanes lanes) {
    u = Load<kLanes>(inputs[0] + offset, lanes);
    dy = Load<kLanes>(inputs[1] + offset, lanes);
    x = Load<kLanes>(inputs[kX] + offset, lanes);
    y = Load<kLanes>(inputs[3] + offset, lanes);
  }

  __device__ void FirstValues(Values& values) const {
    SquareAndMultiply(x, u, values);
  }

  template <bool kPlain>
  __device__ void WithNorms(const Coefficients& c, Values& values) {
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      const V u_i = Lane(u, i);
      const V dy_i = Lane(dy, i);
      const V y_i = Lane(y, i);
      const V norm = Norm(values[0][i], c);
      const V power = NormPower<T, kPlain>::Of(norm, c.power);
      const auto divisor = NormPower<T, kPlain>::Divisor(norm);
      const V x_u = values[1][i];
      Narrow(GradGradDy(u_i, y_i, divisor, power, x_u, c), &d_dy.lanes[i]);
      Narrow(GradGradY(dy_i, divisor, x_u, c), &d_y.lanes[i]);
      values[0][i] = GradTerm(dy_i, y_i, divisor);
      values[1][i] = GradGradTerm(u_i, dy_i, y_i, divisor, power, x_u, c);
    }
  }

  __device__ void Finish(const Coefficients& c, const Values& sums,
                         T* const* outputs, int64_t offset, Lanes lanes) const {
    V d_x[kLanes];
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      d_x[i] = GradGradX(Lane(u, i), Lane(x, i), sums[0][i], sums[1][i], c);
    }
    Store(outputs[0] + offset, d_dy, lanes);
    Store(outputs[1] + offset, NarrowAll<V, T>(d_x), lanes);
    Store(outputs[2] + offset, d_y, lanes);
  }
};

template <class T, int kLanesOf>
struct LrnGradGradFromInputSteps {
  static constexpr Op kOp = Op::kLrnGradGradFromInput;
  static constexpr int kLanes = kLanesOf;
  static constexpr int kInputs = 3;
  static constexpr int kX = 2;
  static constexpr int kOutputs = 2;
  static constexpr int kRounds = 2;
  static constexpr int kWindows = 2;
  static constexpr int kBytes = kLanes * sizeof(T);
  using Type = T;
  using V = typename ComputeType<T>::type;
  using Values = V[kWindows][kLanes];
  using Coefficients = LrnCoefficients<V>;

  Pack<T, kLanes> u, dy, x;
  // Stored at the end, since it may overwrite dy.
  Pack<T, kLanes> d_dy;
  V direct[kLanes];

  __device__ void LoadInputs(const T* const* inputs, int64_t offset,
                             Lanes lanes) {
    u = Load<kLanes>(inputs[0] + offset, lanes);
    dy = Load<kLanes>(inputs[1] + offset, lanes);
    x = Load<kLanes>(inputs[kX] + offset, lanes);
  }

  __device__ void FirstValues(Values& values) const {
    SquareAndMultiply(x, u, values);
  }

  template <bool kPlain>
  __device__ void WithNorms(const Coefficients& c, Values& values) {
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      const V dy_i = Lane(dy, i);
      const V norm = Norm(values[0][i], c);
      const V power = NormPower<T, kPlain>::Of(norm, c.power);
      const auto divisor = NormPower<T, kPlain>::Divisor(norm);
      const V x_u = values[1][i];
      const V y_i = Lane(x, i) * power;
      const V d_dy_i = GradGradDy(Lane(u, i), y_i, divisor, power, x_u, c);
      Narrow(d_dy_i, &d_dy.lanes[i]);
      direct[i] = GradGradDirect(dy_i, divisor, power, x_u, c);
      values[0][i] = GradTerm(dy_i, y_i, divisor);
      values[1][i] = GradGradTermFromInput(dy_i, y_i, divisor, x_u, d_dy_i, c);
    }
  }

  __device__ void Finish(const Coefficients& c, const Values& sums,
                         T* const* outputs, int64_t offset, Lanes lanes) const {
    V d_x[kLanes];
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      d_x[i] = direct[i] +
               GradGradX(Lane(u, i), Lane(x, i), sums[0][i], sums[1][i], c);
    }
    Store(outputs[0] + offset, d_dy, lanes);
    Store(outputs[1] + offset, NarrowAll<V, T>(d_x), lanes);
  }
};

}  // namespace tflrn::cuda

#endif  // TFLRN_CC_CUDA_STEPS_H_
