// Our kernels under the names of TensorFlow's own ops, LRN and LRNGrad.
#ifndef TFLRN_CC_TF_STOCK_H_
#define TFLRN_CC_TF_STOCK_H_

namespace tflrn {

// Register our kernels with a higher priority than TensorFlow's, for every type
// that its ops allow. Call each once: TensorFlow cannot choose between two
// kernels of one priority.
//
// Priorities also decide where a graph's ops are placed: all devices that have
// kernels of these names need ours, or LRN would move off those without.
void RegisterStockCpuKernels();
void RegisterStockGpuKernels();  // In a library built with CUDA.

}  // namespace tflrn

#endif  // TFLRN_CC_TF_STOCK_H_
