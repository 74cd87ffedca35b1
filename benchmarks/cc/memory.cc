// The loop of move_bytes.h for Python's ctypes, on all OpenMP threads.
#include <cstdint>

#include "benchmarks/cc/move_bytes.h"

namespace {

template <int kReads, int kWrites>
void Move(const char* const* in, char* const* out, int64_t lines) {
  constexpr int64_t kRange = 1 << 10;
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < lines; begin += kRange) {
    const int64_t end = begin + kRange < lines ? begin + kRange : lines;
    tflrn::MoveLines<kReads, kWrites>(in, out, begin, end);
  }
}

}  // namespace

// Moves `lines` lines of 64 bytes of each array. Returns 0, or 1 if there is no
// loop for these numbers of arrays.
extern "C" int tflrn_move(int reads, int writes, const char* const* in,
                          char* const* out, int64_t lines) {
  if (reads == 1 && writes == 1) {
    Move<1, 1>(in, out, lines);
  } else if (reads == 2 && writes == 1) {
    Move<2, 1>(in, out, lines);
  } else if (reads == 3 && writes == 1) {
    Move<3, 1>(in, out, lines);
  } else if (reads == 3 && writes == 2) {
    Move<3, 2>(in, out, lines);
  } else if (reads == 4 && writes == 3) {
    Move<4, 3>(in, out, lines);
  } else {
    return 1;
  }
  return 0;
}
