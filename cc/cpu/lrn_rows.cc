// The functions of lrn_rows.h, which dispatch to the active target.
#include "cc/cpu/lrn_rows.h"

#include "cc/core/power.h"
#include "cc/cpu/blocking.h"
#include "cc/cpu/float_mode.h"
#include "cc/cpu/targets.h"

namespace tflrn::cpu {
namespace {

const RowKernels<Half>& KernelsOf(const Target& target, Half) {
  return target.half_kernels;
}
const RowKernels<BFloat16>& KernelsOf(const Target& target, BFloat16) {
  return target.bfloat16_kernels;
}
const RowKernels<float>& KernelsOf(const Target& target, float) {
  return target.float_kernels;
}
const RowKernels<double>& KernelsOf(const Target& target, double) {
  return target.double_kernels;
}

template <class T>
const RowKernels<T>& Kernels() {
  return KernelsOf(ActiveTarget(), T{});
}

// About what the kernels take where memory is not the limit: for float, with
// vectors of 64 bytes, 0.7 cycles per element for LRN, 1.1 for LRNGrad and 1.8
// for LRNGradGrad; with shorter vectors in proportion or somewhat more. Double
// has half the lanes, a power that is built neither from roots nor by a
// division takes 2.4 times as long, or more where it is not plain, and wide
// windows take twice as long or, in short rows, more.
template <class T>
int64_t CyclesPerRow(const LrnParams& params, int64_t channels,
                     int64_t tenths) {
  using Scalar = typename ComputeType<T>::type;
  const int64_t bytes = ActiveTarget().vector_bytes;
  const int64_t lanes = bytes / sizeof(Scalar);
  int64_t cycles = channels * tenths * 16 / (10 * lanes);
  if (!HasRootPower(params.bias, params.alpha, params.beta) &&
      params.beta != 1) {
    cycles = cycles * 5 / 2;
  }
  const int64_t radius = EffectiveRadius(params.depth_radius, channels);
  if (!HasTapWindow(radius, channels, lanes) &&
      !HasPairWindow(radius, channels, lanes)) {
    cycles *= 2;
  }
  return cycles + 1;
}

}  // namespace

size_t ScratchBytes(const LrnParams& params, int64_t channels) {
  const int64_t radius = EffectiveRadius(params.depth_radius, channels);
  // Those of double, the type with the fewest.
  const int64_t lanes = ActiveTarget().vector_bytes / sizeof(double);
  if (HasTapWindow(radius, channels, lanes)) return 0;
  // A window that is the whole row needs no levels.
  const int64_t levels =
      radius >= channels - 1 ? 0 : WideBufferElements(channels, radius);
  const int64_t elements = kMaxBuffers * BufferElements(channels) + levels;
  return static_cast<size_t>(elements) * sizeof(double);
}

template <class T>
void LrnRows(const LrnParams& params, const T* x, T* y, int64_t rows,
             int64_t channels, void* scratch) {
  const DefaultFloatMode mode;
  Kernels<T>().lrn(params, x, y, rows, channels, scratch);
}

template <class T>
void LrnGradRows(const LrnParams& params, const T* dy, const T* x, const T* y,
                 T* dx, int64_t rows, int64_t channels, void* scratch) {
  const DefaultFloatMode mode;
  Kernels<T>().lrn_grad(params, dy, x, y, dx, rows, channels, scratch);
}

template <class T>
void LrnGradGradRows(const LrnParams& params, const T* u, const T* dy,
                     const T* x, const T* y, T* d_dy, T* d_x, T* d_y,
                     int64_t rows, int64_t channels, void* scratch) {
  const DefaultFloatMode mode;
  Kernels<T>().lrn_grad_grad(params, u, dy, x, y, d_dy, d_x, d_y, rows,
                             channels, scratch);
}

template <class T>
int64_t LrnCyclesPerRow(const LrnParams& params, int64_t channels) {
  return CyclesPerRow<T>(params, channels, 7);
}
template <class T>
int64_t LrnGradCyclesPerRow(const LrnParams& params, int64_t channels) {
  return CyclesPerRow<T>(params, channels, 11);
}
template <class T>
int64_t LrnGradGradCyclesPerRow(const LrnParams& params, int64_t channels) {
  return CyclesPerRow<T>(params, channels, 18);
}

#define TFLRN_INSTANTIATE(T)                                                   \
  template void LrnRows<T>(const LrnParams&, const T*, T*, int64_t, int64_t,   \
                           void*);                                             \
  template void LrnGradRows<T>(const LrnParams&, const T*, const T*, const T*, \
                               T*, int64_t, int64_t, void*);                   \
  template void LrnGradGradRows<T>(const LrnParams&, const T*, const T*,       \
                                   const T*, const T*, T*, T*, T*, int64_t,    \
                                   int64_t, void*);                            \
  template int64_t LrnCyclesPerRow<T>(const LrnParams&, int64_t);              \
  template int64_t LrnGradCyclesPerRow<T>(const LrnParams&, int64_t);          \
  template int64_t LrnGradGradCyclesPerRow<T>(const LrnParams&, int64_t);
TFLRN_INSTANTIATE(Half)
TFLRN_INSTANTIATE(BFloat16)
TFLRN_INSTANTIATE(float)
TFLRN_INSTANTIATE(double)
#undef TFLRN_INSTANTIATE

}  // namespace tflrn::cpu
