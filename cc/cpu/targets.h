// The instruction sets that the row kernels are compiled for, and the choice
// among them.
//
// The best one that the processor can run is chosen once, at first use. The
// environment variable TFLRN_CPU_TARGET forces one by name.
#ifndef TFLRN_CC_CPU_TARGETS_H_
#define TFLRN_CC_CPU_TARGETS_H_

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "cc/core/lrn_params.h"
#include "cc/core/types.h"

namespace tflrn::cpu {

// The functions of lrn_rows.h for one type.
template <class T>
struct RowKernels {
  void (*lrn)(const LrnParams& params, const T* x, T* y, int64_t rows,
              int64_t channels, void* scratch);
  void (*lrn_grad)(const LrnParams& params, const T* dy, const T* x, const T* y,
                   T* dx, int64_t rows, int64_t channels, void* scratch);
  void (*lrn_grad_grad)(const LrnParams& params, const T* u, const T* dy,
                        const T* x, const T* y, T* d_dy, T* d_x, T* d_y,
                        int64_t rows, int64_t channels, void* scratch);
};

// The row kernels as compiled for one instruction set.
struct Target {
  const char* name;
  int64_t vector_bytes;
  std::tuple<RowKernels<Half>, RowKernels<BFloat16>, RowKernels<float>,
             RowKernels<double>>
      kernels;
};

// The compiled targets that this processor can run, best first. The last is the
// baseline of the architecture, which every processor can run.
const std::vector<const Target*>& SupportedTargets();

// The target in use.
const Target& ActiveTarget();

// Empty, or what is wrong with TFLRN_CPU_TARGET, in which case the best target
// is active.
const std::string& TargetError();

// All targets that this library was compiled for, best first.
const std::vector<const Target*>& CompiledTargets();

// For tests: makes `target` the active one of this process.
void SetActiveTarget(const Target& target);

extern const Target kBaselineTarget;
#ifdef __x86_64__
extern const Target kAvx2Target;
extern const Target kAvx512Target;
#endif

}  // namespace tflrn::cpu

#endif  // TFLRN_CC_CPU_TARGETS_H_
