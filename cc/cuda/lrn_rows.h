// Local Response Normalization and its gradients on a GPU: what cc/tf and
// cc/xla call. This header needs none of CUDA's.
//
// A tensor is `rows` rows of `channels` contiguous values. Rows are
// independent, and each output value depends on its row alone: the same inputs
// give the same bits in every run, at every place in the tensor.
//
// T          Half, BFloat16, float, double. The 16-bit types are computed in
//            float and rounded once.
// params     valid (ValidateParams).
// Pointers   point to device memory and need only the alignment of T; 16 bytes
//            is faster. The output may be the same buffer as any one of the
//            inputs; otherwise buffers must not overlap. Pointers are not
//            dereferenced if there are no elements.
// workspace  WorkspaceBytes bytes of device memory, aligned to 16 bytes and
//            reserved until the work is done. Its contents do not matter.
// stream     of the current device. The functions return before the work is
//            done; they allocate nothing and wait for nothing.
// Returns    a cudaError_t, 0 for success; ErrorMessage has its text. Later
//            failures are reported by the stream.
// Error      as cc/cpu/lrn_rows.h says, (number of summands + 8) eps of the sum
//            of the magnitudes of the terms; for the 16-bit types, whose power
//            is approximate, 2^-15 of that sum more, and one rounding.
#ifndef TFLRN_CC_CUDA_LRN_ROWS_H_
#define TFLRN_CC_CUDA_LRN_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "cc/core/lrn_params.h"
#include "cc/core/types.h"

struct CUstream_st;

namespace tflrn::cuda {

using Stream = CUstream_st*;  // cudaStream_t

// kLrnGradFromInput is LaunchLrnGrad without y, kLrnGradGradFromInput
// LaunchLrnGradGrad without y.
enum class Op {
  kLrn,
  kLrnGrad,
  kLrnGradFromInput,
  kLrnGradGrad,
  kLrnGradGradFromInput
};

// 0 unless a row is too long for its window sums to stay in shared memory. Rows
// of 600 channels fit with every op, T and radius.
template <class T>
size_t WorkspaceBytes(Op op, const LrnParams& params, int64_t rows,
                      int64_t channels);

// y_j = x_j * norm_j^-beta
template <class T>
int LaunchLrn(const LrnParams& params, const T* x, T* y, int64_t rows,
              int64_t channels, void* workspace, Stream stream);

// dx_k = dy_k * norm_k^-beta
//        - 2 alpha beta x_k * sum_{j in W(k)} dy_j y_j / norm_j
// If y is null, y_j = x_j * norm_j^-beta: one tensor less to read. Its summands
// count twice in the error, and a norm's error 1 + |beta| times.
template <class T>
int LaunchLrnGrad(const LrnParams& params, const T* dy, const T* x, const T* y,
                  T* dx, int64_t rows, int64_t channels, void* workspace,
                  Stream stream);

// The gradients of sum_k u_k dx_k with respect to LaunchLrnGrad's inputs dy, x
// and y (cc/core/formulas.h has the formulas). If y and d_y are null, y is
// computed from x, which adds to the error as in LaunchLrnGrad, and d_x is the
// gradient through both. d_dy may be the buffer dy, d_x may be x, d_y may be y;
// otherwise buffers must not overlap.
template <class T>
int LaunchLrnGradGrad(const LrnParams& params, const T* u, const T* dy,
                      const T* x, const T* y, T* d_dy, T* d_x, T* d_y,
                      int64_t rows, int64_t channels, void* workspace,
                      Stream stream);

// The text of an error returned by the functions above.
const char* ErrorMessage(int error);

}  // namespace tflrn::cuda

#endif  // TFLRN_CC_CUDA_LRN_ROWS_H_
