// The functions of lrn_rows.h, which dispatch to the active target.
#include "cc/cpu/lrn_rows.h"

#include <tuple>

#include "cc/core/power.h"
#include "cc/cpu/blocking.h"
#include "cc/cpu/float_mode.h"
#include "cc/cpu/targets.h"

namespace tflrn::cpu {
namespace {

template <class T>
const RowKernels<T>& Kernels() {
  return std::get<RowKernels<T>>(ActiveTarget().kernels);
}

// The lanes of a vector in the type of the computation.
template <class T>
int64_t Lanes() {
  using Scalar = typename ComputeType<T>::type;
  return ActiveTarget().vector_bytes / static_cast<int64_t>(sizeof(Scalar));
}

}  // namespace

template <class T>
size_t ScratchBytes(const LrnParams& params, int64_t channels) {
  const int64_t radius = EffectiveRadius(params.depth_radius, channels);
  if (SumsInRegisters(radius, channels, Lanes<T>())) return 0;
  // A window that is the whole row needs no levels.
  const int64_t levels =
      radius >= channels - 1 ? 0 : WideBufferElements(channels, radius);
  const int64_t elements = kMaxBuffers * BufferElements(channels) + levels;
  return static_cast<size_t>(elements) * sizeof(typename ComputeType<T>::type);
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

// With shorter vectors, the cycles grow in proportion or somewhat more. A power
// that is built neither from roots nor by a division takes 2.4 times as long,
// or more where it is not plain, and wide windows take twice as long or, in
// short rows, more.
template <class T>
int64_t CyclesPerRow(const LrnParams& params, int64_t channels,
                     int64_t tenths) {
  int64_t cycles = channels * tenths * 16 / (10 * Lanes<T>());
  if (!HasRootPower(params.bias, params.alpha, params.beta) &&
      params.beta != 1) {
    cycles = cycles * 5 / 2;
  }
  const int64_t radius = EffectiveRadius(params.depth_radius, channels);
  if (!SumsInRegisters(radius, channels, Lanes<T>())) cycles *= 2;
  return cycles + 1;
}

#define TFLRN_INSTANTIATE(T)                                                   \
  template size_t ScratchBytes<T>(const LrnParams&, int64_t);                  \
  template void LrnRows<T>(const LrnParams&, const T*, T*, int64_t, int64_t,   \
                           void*);                                             \
  template void LrnGradRows<T>(const LrnParams&, const T*, const T*, const T*, \
                               T*, int64_t, int64_t, void*);                   \
  template void LrnGradGradRows<T>(const LrnParams&, const T*, const T*,       \
                                   const T*, const T*, T*, T*, T*, int64_t,    \
                                   int64_t, void*);                            \
  template int64_t CyclesPerRow<T>(const LrnParams&, int64_t, int64_t);
TFLRN_INSTANTIATE(Half)
TFLRN_INSTANTIATE(BFloat16)
TFLRN_INSTANTIATE(float)
TFLRN_INSTANTIATE(double)
#undef TFLRN_INSTANTIATE

}  // namespace tflrn::cpu
