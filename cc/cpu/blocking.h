// Which windows the row kernels sum in registers, how they split their work on
// wider ones into blocks that stay in the L1 cache, and the scratch memory that
// a block needs.
#ifndef TFLRN_CC_CPU_BLOCKING_H_
#define TFLRN_CC_CPU_BLOCKING_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cc/core/lrn_params.h"

namespace tflrn::cpu {

// How much of the L1 cache a block of rows takes: half of 48 KiB, or most of 32
// KiB.
constexpr int64_t kBlockBytes = 24 << 10;

// The largest block, however small its elements.
constexpr int64_t kMaxBlockElements = 2048;

// Elements per block of an op with `tensors` inputs and outputs of `size` bytes
// per element, counted twice because the next block is already being fetched,
// and with `buffers` scratch buffers of `scalar_size` bytes per element.
constexpr int64_t BlockElements(int64_t tensors, int64_t size, int64_t buffers,
                                int64_t scalar_size) {
  const int64_t fit =
      kBlockBytes / (2 * tensors * size + buffers * scalar_size);
  return fit < kMaxBlockElements ? fit : kMaxBlockElements;
}

constexpr int64_t kCacheLineBytes = 64;

// Lanes of the widest vector.
constexpr int64_t kMaxLanes = 16;

// Channel numbers must fit into the lanes of float vectors, as integers.
constexpr int64_t kMaxTapChannels = int64_t{1} << 30;

// Small windows are summed tap by tap, in registers and without scratch memory,
// which reaches no further than the neighbouring vectors. Larger ones are
// summed by doubling, whose cost grows with the logarithm of the radius.

// The largest radius summed by taps. With vectors of 16 lanes, LRNGrad at
// radius 11 takes 2.2 and 1.6 times as long as moving its bytes in rows of 95
// and 511 floats, against 2.6 and 2.0 times by doubling.
constexpr int64_t kMaxTapRadius = 12;

inline bool HasTapWindow(int64_t effective_radius, int64_t channels,
                         int64_t lanes) {
  return effective_radius <= std::min(lanes, kMaxTapRadius) &&
         channels <= kMaxTapChannels;
}

// Taps that are pairs of channels are half as many, and reach twice as far: in
// the caches, LRNGrad at radius 24 takes 2.0 cycles per float in rows of 96 and
// of 512, against 3.7 and 2.4 by doubling.
constexpr int64_t kMaxPairRadius = 24;

inline bool HasPairWindow(int64_t effective_radius, int64_t channels,
                          int64_t lanes) {
  return effective_radius <= std::min(2 * lanes, kMaxPairRadius) &&
         channels % 2 == 0 && channels <= kMaxTapChannels;
}

inline bool SumsInRegisters(int64_t effective_radius, int64_t channels,
                            int64_t lanes) {
  return HasTapWindow(effective_radius, channels, lanes) ||
         HasPairWindow(effective_radius, channels, lanes);
}

// Vectors that WideWindow adds at a time.
constexpr int kWideUnroll = 4;

// The longest span that WideWindow sums in registers, in vectors.
constexpr int kWideTopLanes = 4;

// Padding after each buffer, in elements: WideWindow reads and writes past the
// end.
constexpr int64_t kBufferMargin = kWideUnroll * kMaxLanes;

// Rows per block: as many as fit into `elements`, and, if there are enough of
// them, a number that fills whole vectors.
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
  return (block + kMaxLanes - 1) / kMaxLanes * kMaxLanes + kBufferMargin;
}

// Padding before and after each of the buffers in which WideWindow doubles, in
// elements: it starts writing as many vectors early as it holds in registers,
// and overruns the end by fewer.
constexpr int64_t kLevelMargin = 8 * kMaxLanes;

// Elements of such a buffer: a row with `radius` zeros on both sides.
inline int64_t WideLevelElements(int64_t channels, int64_t radius) {
  const int64_t padded = channels + 2 * radius + kMaxLanes;
  return kLevelMargin + (padded + kMaxLanes - 1) / kMaxLanes * kMaxLanes +
         kLevelMargin;
}

// One buffer per doubling in registers.
inline int64_t WideBufferElements(int64_t channels, int64_t radius) {
  return __builtin_ctz(kWideTopLanes * kMaxLanes) *
         WideLevelElements(channels, radius);
}

// The most buffers of BufferElements that an op uses.
constexpr int64_t kMaxBuffers = 5;

}  // namespace tflrn::cpu

#endif  // TFLRN_CC_CPU_BLOCKING_H_
