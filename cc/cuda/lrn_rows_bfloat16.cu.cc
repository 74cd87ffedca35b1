// The GPU kernels for bfloat16.
#include "cc/cuda/lrn_rows-inl.h"

namespace tflrn::cuda {
TFLRN_INSTANTIATE(BFloat16);
}  // namespace tflrn::cuda
