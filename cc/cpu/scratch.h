// Scratch memory for the functions of lrn_rows.h.
#ifndef TFLRN_CC_CPU_SCRATCH_H_
#define TFLRN_CC_CPU_SCRATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

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

}  // namespace tflrn::cpu

#endif  // TFLRN_CC_CPU_SCRATCH_H_
