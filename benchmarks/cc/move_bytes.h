// A loop that reads some arrays, writes others, and does nothing else. It takes
// about the least time possible for an op that moves these bytes, if the arrays
// come from memory. It leaves prefetching to the processor; an op that does its
// own can be somewhat faster.
#ifndef TFLRN_BENCHMARKS_CC_MOVE_BYTES_H_
#define TFLRN_BENCHMARKS_CC_MOVE_BYTES_H_

#include <cstdint>
#include <cstring>

namespace tflrn {

// A cache line, which the compiler splits into as many vectors as it needs.
typedef uint64_t Line __attribute__((vector_size(64)));

// Writes the lines [begin, end) of each output: out_w = sum_r in_r + w.
template <int kReads, int kWrites>
void MoveLines(const char* const* in, char* const* out, int64_t begin,
               int64_t end) {
  const char* sources[kReads];
  char* targets[kWrites];
  for (int r = 0; r < kReads; ++r) sources[r] = in[r];
  for (int w = 0; w < kWrites; ++w) targets[w] = out[w];
  for (int64_t i = begin * sizeof(Line); i < end * int64_t{sizeof(Line)};
       i += sizeof(Line)) {
    Line sum = {};
    for (int r = 0; r < kReads; ++r) {
      Line line;
      memcpy(&line, sources[r] + i, sizeof(line));
      sum += line;
    }
    for (int w = 0; w < kWrites; ++w) {
      const Line line = sum + static_cast<uint64_t>(w);
      memcpy(targets[w] + i, &line, sizeof(line));
    }
  }
}

}  // namespace tflrn

#endif  // TFLRN_BENCHMARKS_CC_MOVE_BYTES_H_
