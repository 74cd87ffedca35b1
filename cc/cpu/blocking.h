// How the row kernels cut their work into blocks that stay in the L1 cache, and
// the scratch memory that a block needs.
#ifndef TFLRN_CC_CPU_BLOCKING_H_
#define TFLRN_CC_CPU_BLOCKING_H_

#include <cstddef>
#include <cstdint>

#include "cc/core/lrn_params.h"

namespace tflrn::cpu {

// What a block of rows takes of the L1 cache: half of 48 KiB, or most of 32
// KiB. Measured for float on a Xeon with 48 KiB, as multiples of the time of a
// loop that only moves the bytes: LRNGrad takes 1.22 at 1024 elements, 1.14 at
// 512; LRN 1.12 at 1024, 1.26 at 512.
constexpr int64_t kBlockBytes = 24 << 10;

// The largest block, whatever its elements take.
constexpr int64_t kMaxBlockElements = 2048;

// Elements of a block of an op with `tensors` inputs and outputs of `size`
// bytes an element, of which the next block's are fetched already, and with
// `buffers` scratch buffers of `scalar_size` bytes an element.
constexpr int64_t BlockElements(int64_t tensors, int64_t size, int64_t buffers,
                                int64_t scalar_size) {
  const int64_t fit =
      kBlockBytes / (2 * tensors * size + buffers * scalar_size);
  return fit < kMaxBlockElements ? fit : kMaxBlockElements;
}

// Lanes of the widest vector.
constexpr int64_t kMaxLanes = 16;

// Up to this radius a window is summed tap by tap; beyond, by doubling, whose
// cost grows with the logarithm of the radius.
constexpr int64_t kMaxTapRadius = 8;

// Readable elements before and after each buffer, for vectors that start or
// end outside of the block; whole vectors, so that buffers stay aligned.
constexpr int64_t kBufferMargin = 2 * kMaxLanes;
static_assert(kBufferMargin >= kMaxLanes + kMaxTapRadius);

// Whole rows of a block: as many as fit into `elements`, and, if there are
// enough of them, so many that they fill whole vectors.
inline int64_t RowsPerBlock(int64_t channels, int64_t elements) {
  const int64_t fit = elements / channels;
  int64_t unit = kMaxLanes;  // Rows that fill whole vectors: kMaxLanes / gcd.
  for (int64_t c = channels; unit > 1 && c % 2 == 0; c /= 2) unit /= 2;
  if (fit >= unit) return fit - fit % unit;
  return fit > 1 ? fit : 1;
}

inline int64_t BufferElements(int64_t channels) {
  const int64_t block =
      channels > kMaxBlockElements ? channels : int64_t{kMaxBlockElements};
  return (block + kMaxLanes - 1) / kMaxLanes * kMaxLanes + 2 * kBufferMargin;
}

// The buffer in which WideWindow doubles: a row with a radius of zeros on both
// sides, and a vector past its end.
inline int64_t WideBufferElements(int64_t channels, int64_t radius) {
  return channels + 2 * radius + kMaxLanes;
}

// Buffers of BufferElements that an op uses at most.
constexpr int64_t kMaxBuffers = 4;

}  // namespace tflrn::cpu

#endif  // TFLRN_CC_CPU_BLOCKING_H_
