// The functions of lrn_rows.h, chosen by the type of the op.
#ifndef TFLRN_CC_CUDA_OPS_H_
#define TFLRN_CC_CUDA_OPS_H_

#include <cstddef>

#include "cc/core/lrn_params.h"
#include "cc/core/ops.h"
#include "cc/cuda/lrn_rows.h"

namespace tflrn::cuda {

constexpr size_t kWorkspaceAlignment = 16;

constexpr Op OpOf(Lrn) { return Op::kLrn; }
constexpr Op OpOf(LrnGrad) { return Op::kLrnGrad; }
constexpr Op OpOf(LrnGradFromInput) { return Op::kLrnGradFromInput; }
constexpr Op OpOf(LrnGradGrad) { return Op::kLrnGradGrad; }
constexpr Op OpOf(LrnGradGradFromInput) { return Op::kLrnGradGradFromInput; }

template <class OpType, class T>
size_t WorkspaceBytes(const LrnParams& params, const RowTensors<OpType, T>& t) {
  return WorkspaceBytes<T>(OpOf(OpType()), params, t.rows, t.channels);
}

template <class T>
int Launch(const LrnParams& params, const RowTensors<Lrn, T>& t,
           void* workspace, Stream stream) {
  return LaunchLrn(params, t.in[0], t.out[0], t.rows, t.channels, workspace,
                   stream);
}

template <class T>
int Launch(const LrnParams& params, const RowTensors<LrnGrad, T>& t,
           void* workspace, Stream stream) {
  return LaunchLrnGrad(params, t.in[0], t.in[1], t.in[2], t.out[0], t.rows,
                       t.channels, workspace, stream);
}

template <class T>
int Launch(const LrnParams& params, const RowTensors<LrnGradFromInput, T>& t,
           void* workspace, Stream stream) {
  return LaunchLrnGrad<T>(params, t.in[0], t.in[1], nullptr, t.out[0], t.rows,
                          t.channels, workspace, stream);
}

template <class T>
int Launch(const LrnParams& params, const RowTensors<LrnGradGrad, T>& t,
           void* workspace, Stream stream) {
  return LaunchLrnGradGrad(params, t.in[0], t.in[1], t.in[2], t.in[3], t.out[0],
                           t.out[1], t.out[2], t.rows, t.channels, workspace,
                           stream);
}

template <class T>
int Launch(const LrnParams& params,
           const RowTensors<LrnGradGradFromInput, T>& t, void* workspace,
           Stream stream) {
  return LaunchLrnGradGrad<T>(params, t.in[0], t.in[1], t.in[2], nullptr,
                              t.out[0], t.out[1], nullptr, t.rows, t.channels,
                              workspace, stream);
}

}  // namespace tflrn::cuda

#endif  // TFLRN_CC_CUDA_OPS_H_
