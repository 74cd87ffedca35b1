// The GPU kernels for double.
#include "cc/cuda/lrn_rows-inl.h"

namespace tflrn::cuda {
TFLRN_INSTANTIATE(double);
}  // namespace tflrn::cuda
