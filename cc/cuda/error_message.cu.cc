// The texts of the errors that the functions of lrn_rows.h return.
#include "cc/cuda/lrn_rows.h"
#include "cc/cuda/runtime.h"

namespace tflrn::cuda {

const char* ErrorMessage(int error) {
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

}  // namespace tflrn::cuda
