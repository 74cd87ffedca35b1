// The functions of lrn_rows.h, selected by the type of the op.
#ifndef TFLRN_CC_CPU_OPS_H_
#define TFLRN_CC_CPU_OPS_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "cc/core/lrn_params.h"
#include "cc/core/ops.h"
#include "cc/cpu/lrn_rows.h"
#include "cc/cpu/scratch.h"
#include "cc/cpu/share_rows.h"

namespace tflrn::cpu {

template <class T>
void Compute(const LrnParams& params, const RowTensors<Lrn, T>& t,
             void* scratch) {
  LrnRows(params, t.in[0], t.out[0], t.rows, t.channels, scratch);
}

template <class T>
void Compute(const LrnParams& params, const RowTensors<LrnGrad, T>& t,
             void* scratch) {
  LrnGradRows(params, t.in[0], t.in[1], t.in[2], t.out[0], t.rows, t.channels,
              scratch);
}

template <class T>
void Compute(const LrnParams& params, const RowTensors<LrnGradFromInput, T>& t,
             void* scratch) {
  LrnGradRows<T>(params, t.in[0], t.in[1], nullptr, t.out[0], t.rows,
                 t.channels, scratch);
}

template <class T>
void Compute(const LrnParams& params, const RowTensors<LrnGradGrad, T>& t,
             void* scratch) {
  LrnGradGradRows(params, t.in[0], t.in[1], t.in[2], t.in[3], t.out[0],
                  t.out[1], t.out[2], t.rows, t.channels, scratch);
}

template <class T>
void Compute(const LrnParams& params,
             const RowTensors<LrnGradGradFromInput, T>& t, void* scratch) {
  LrnGradGradRows<T>(params, t.in[0], t.in[1], t.in[2], nullptr, t.out[0],
                     t.out[1], nullptr, t.rows, t.channels, scratch);
}

// With scratch memory of its own; false if none could be allocated.
template <class Op, class T>
bool Compute(const LrnParams& params, const RowTensors<Op, T>& tensors) {
  const ScratchMemory scratch =
      AllocateScratch(ScratchBytes<T>(params, tensors.channels));
  if (scratch == nullptr) return false;
  Compute(params, tensors, scratch.get());
  return true;
}

// The message for a false result of Compute or ComputeShared.
template <class Op, class T>
std::string NoScratchMessage(const std::string& name, const LrnParams& params,
                             const RowTensors<Op, T>& tensors) {
  return name + " could not allocate " +
         std::to_string(ScratchBytes<T>(params, tensors.channels)) +
         " bytes of scratch memory per thread, for rows of " +
         std::to_string(tensors.channels) + " channels";
}

// What CyclesPerRow needs of an op.
constexpr int64_t CycleTenths(Lrn) { return 7; }
constexpr int64_t CycleTenths(LrnGrad) { return 11; }
constexpr int64_t CycleTenths(LrnGradFromInput) { return 11; }
constexpr int64_t CycleTenths(LrnGradGrad) { return 18; }
constexpr int64_t CycleTenths(LrnGradGradFromInput) { return 18; }

// Shares the rows over a thread pool (share_rows.h); false if a thread could
// not allocate its scratch memory.
template <class ThreadPool, class Op, class T>
bool ComputeShared(ThreadPool& pool, const LrnParams& params,
                   const RowTensors<Op, T>& tensors) {
  std::atomic<bool> out_of_memory{false};
  const int64_t cycles_per_row =
      CyclesPerRow<T>(params, tensors.channels, CycleTenths(Op()));
  ShareRows(pool, tensors.rows, cycles_per_row,
            [&](int64_t begin, int64_t end) {
              if (!Compute(params, tensors.Range(begin, end))) {
                out_of_memory = true;
              }
            });
  return !out_of_memory;
}

}  // namespace tflrn::cpu

#endif  // TFLRN_CC_CPU_OPS_H_
