// Converts seconds to cycles by the core's frequency, measured when it is
// needed, since it changes with the load. It is measured with scalar code: on a
// processor that slows down for wide vectors, their cycles are overestimated.
#ifndef TFLRN_BENCHMARKS_CC_CYCLES_H_
#define TFLRN_BENCHMARKS_CC_CYCLES_H_

#include <time.h>

#include <algorithm>
#include <cstdint>

namespace tflrn {

// The CPU time of this thread, which stands still while others use the core.
inline double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * now.tv_nsec;
}

// Times a chain of dependent operations of one cycle each: the shifts and
// exclusive ors of xorshift, on x86-64. (AArch64 can do both in one
// instruction: the result may be twice the frequency.)
inline double CyclesPerSecond() {
  constexpr int kSteps = 100000;
  constexpr int kCyclesPerStep = 6;
  double seconds = 1;
  for (int attempt = 0; attempt < 5; ++attempt) {
    uint64_t x = 88172645463325252;
    const double start = ThreadSeconds();
    for (int k = 0; k < kSteps; ++k) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
    }
    seconds = std::min(seconds, ThreadSeconds() - start);
    asm volatile("" : : "r"(x));
  }
  return kSteps * kCyclesPerStep / seconds;
}

}  // namespace tflrn

#endif  // TFLRN_BENCHMARKS_CC_CYCLES_H_
