// The floating-point mode of the calling thread, held at IEEE 754's default.
//
// TensorFlow's worker threads flush denormals to zero, Python's main thread
// does not: without this, a result would depend on the thread that computes it.
#ifndef TFLRN_CC_CPU_FLOAT_MODE_H_
#define TFLRN_CC_CPU_FLOAT_MODE_H_

#include <cstdint>

#ifdef __x86_64__
#include <xmmintrin.h>
#endif

namespace tflrn::cpu {

// Rounds to nearest even, keeps denormals and traps nothing during its
// lifetime.
class DefaultFloatMode {
 public:
#if defined(__x86_64__)
  DefaultFloatMode() : saved_(_mm_getcsr()) { _mm_setcsr(0x1F80); }
  ~DefaultFloatMode() { _mm_setcsr(saved_); }
#elif defined(__aarch64__)
  DefaultFloatMode() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" ::"r"(uint64_t{0}));
  }
  ~DefaultFloatMode() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }
#else
#error "cc/cpu/float_mode.h knows x86-64 and AArch64; add this processor."
#endif
  DefaultFloatMode(const DefaultFloatMode&) = delete;
  DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;

 private:
#ifdef __x86_64__
  unsigned saved_;
#else
  uint64_t saved_;
#endif
};

}  // namespace tflrn::cpu

#endif  // TFLRN_CC_CPU_FLOAT_MODE_H_
