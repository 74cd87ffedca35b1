// Scratch memory for the functions of lrn_rows.h.
#ifndef TFLRN_CC_CPU_SCRATCH_H_
#define TFLRN_CC_CPU_SCRATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>

#include "cc/core/lrn_params.h"
#include "cc/cpu/lrn_rows.h"

namespace tflrn::cpu {

struct FreeScratch {
  void operator()(void* memory) const {
    ::operator delete(memory, std::align_val_t{kScratchAlignment});
  }
};

// Memory for one thread during one call; null if none could be allocated.
using ScratchMemory = std::unique_ptr<void, FreeScratch>;

inline ScratchMemory AllocateScratch(size_t bytes) {
  return ScratchMemory(
      ::operator new(bytes, std::align_val_t{kScratchAlignment}, std::nothrow));
}

// The message for a null result of AllocateScratch.
inline std::string NoScratchMessage(const std::string& op,
                                    const LrnParams& params, int64_t channels) {
  return op + " could not allocate " +
         std::to_string(ScratchBytes(params, channels)) +
         " bytes of scratch memory per thread, for rows of " +
         std::to_string(channels) + " channels";
}

}  // namespace tflrn::cpu

#endif  // TFLRN_CC_CPU_SCRATCH_H_
