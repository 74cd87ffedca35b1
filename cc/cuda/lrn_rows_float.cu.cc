// The GPU kernels for float.
#include "cc/cuda/lrn_rows-inl.h"

namespace tflrn::cuda {
TFLRN_INSTANTIATE(float);
}  // namespace tflrn::cuda
