// The GPU kernels for half.
#include "cc/cuda/lrn_rows-inl.h"

namespace tflrn::cuda {
TFLRN_INSTANTIATE(Half);
}  // namespace tflrn::cuda
