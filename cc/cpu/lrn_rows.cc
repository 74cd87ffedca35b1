// The functions of lrn_rows.h: they hand on to the active target.
#include "cc/cpu/lrn_rows.h"

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

// About what the kernels take where the memory is not what limits them: with
// vectors of 64 bytes 0.7 cycles an element for LRN, 1.1 for LRNGrad and 1.8
// for LRNGradGrad, with shorter ones in proportion or somewhat more.
int64_t CyclesPerRow(int64_t channels, int64_t tenths) {
  return channels * tenths * 64 / (10 * ActiveTarget().vector_bytes) + 1;
}

}  // namespace

size_t ScratchBytes(const LrnParams& params, int64_t channels) {
  const int64_t radius = EffectiveRadius(params.depth_radius, channels);
  // Of the type with the fewest.
  const int64_t lanes = ActiveTarget().vector_bytes / sizeof(double);
  if (HasTapWindow(radius, channels, lanes)) return 0;
  const int64_t elements = kMaxBuffers * BufferElements(channels) +
                           WideBufferElements(channels, radius);
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

int64_t LrnCyclesPerRow(int64_t channels) { return CyclesPerRow(channels, 7); }
int64_t LrnGradCyclesPerRow(int64_t channels) {
  return CyclesPerRow(channels, 11);
}
int64_t LrnGradGradCyclesPerRow(int64_t channels) {
  return CyclesPerRow(channels, 18);
}

#define TFLRN_INSTANTIATE(T)                                                   \
  template void LrnRows<T>(const LrnParams&, const T*, T*, int64_t, int64_t,   \
                           void*);                                             \
  template void LrnGradRows<T>(const LrnParams&, const T*, const T*, const T*, \
                               T*, int64_t, int64_t, void*);                   \
  template void LrnGradGradRows<T>(const LrnParams&, const T*, const T*,       \
                                   const T*, const T*, T*, T*, T*, int64_t,    \
                                   int64_t, void*);
TFLRN_INSTANTIATE(Half)
TFLRN_INSTANTIATE(BFloat16)
TFLRN_INSTANTIATE(float)
TFLRN_INSTANTIATE(double)
#undef TFLRN_INSTANTIATE

}  // namespace tflrn::cpu
