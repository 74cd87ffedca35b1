// Local Response Normalization and its gradient on the CPU: what cc/tf and
// cc/xla call.
//
// A tensor is `rows` rows of `channels` contiguous values. Each output value
// depends on its own row alone: however the caller divides the rows among
// threads, the bits of the result are the same, except for the signs and
// payloads of NaNs (where two NaNs meet, either one may come through).
//
// T        Half, BFloat16, float, double. The 16-bit types are computed in
//          float and rounded once.
// params   valid (ValidateParams).
// Pointers need the alignment of T only. The output may be the same buffer as
//          any one of the inputs; otherwise buffers must not overlap.
// scratch  ScratchBytes bytes of the caller's memory, aligned to
//          kScratchAlignment, one buffer per concurrent call. Its contents do
//          not matter.
// Error    float and double: at most (number of summands + 8) eps times the sum
//          of the magnitudes of the terms, where eps is the spacing at 1, for
//          |beta| <= 2, norms whose summands do not cancel, and where
//          2 alpha beta and every dy_j y_j / norm_j are normal numbers of the
//          type, or 0. A norm's relative error counts |beta| times.
// Denormals are never flushed to zero, whatever the calling thread's
//          floating-point mode: each call runs in IEEE 754's default mode.
#ifndef TFLRN_CC_CPU_LRN_ROWS_H_
#define TFLRN_CC_CPU_LRN_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "cc/core/lrn_params.h"
#include "cc/core/types.h"

namespace tflrn::cpu {

constexpr size_t kScratchAlignment = 64;

// Enough for any of the functions below. O(channels), or 0.
template <class T>
size_t ScratchBytes(const LrnParams& params, int64_t channels);

// y_j = x_j * norm_j^-beta
template <class T>
void LrnRows(const LrnParams& params, const T* x, T* y, int64_t rows,
             int64_t channels, void* scratch);

// dx_k = dy_k * norm_k^-beta
//        - 2 alpha beta x_k * sum_{j in W(k)} dy_j y_j / norm_j
// If y is null, y_j = x_j * norm_j^-beta: one tensor less to read. Its summands
// count twice in the error, and a norm's error 1 + |beta| times.
template <class T>
void LrnGradRows(const LrnParams& params, const T* dy, const T* x, const T* y,
                 T* dx, int64_t rows, int64_t channels, void* scratch);

// The gradients of sum_k u_k dx_k with respect to LrnGradRows' inputs dy, x and
// y (formulas in cc/core/formulas.h). If y and d_y are null, y is computed from
// x, which adds to the error as in LrnGradRows, and d_x is the gradient through
// both. d_dy may be the buffer dy, d_x may be x, d_y may be y; otherwise
// buffers must not overlap.
template <class T>
void LrnGradGradRows(const LrnParams& params, const T* u, const T* dy,
                     const T* x, const T* y, T* d_dy, T* d_x, T* d_y,
                     int64_t rows, int64_t channels, void* scratch);

// A rough estimate of the cycles per row, from which the caller decides whether
// more threads pay off: where memory is not the limit, for a function that then
// takes tenths / 10 cycles per float with vectors of 64 bytes.
template <class T>
int64_t CyclesPerRow(const LrnParams& params, int64_t channels, int64_t tenths);

}  // namespace tflrn::cpu

#endif  // TFLRN_CC_CPU_LRN_ROWS_H_
