// Window sums over the channels of the rows of a tile, which the threads of a
// block share: each thread puts its values, all of them prepare, and each takes
// the sums around its channels.
//
// A sum adds exactly the values of its window and subtracts nothing, so that
// neighbours of different magnitude lose no precision, and NaN and infinity
// stay inside the windows that hold them.
//
// V        float or double.
// kLanes   the consecutive channels that a thread puts and takes at once; where
//          it is not 1, channels and memory are aligned to so many.
// Index    holds an offset into the tile.
#ifndef TFLRN_CC_CUDA_WINDOWS_H_
#define TFLRN_CC_CUDA_WINDOWS_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "cc/cuda/packs.h"

namespace tflrn::cuda {

constexpr int RoundUp(int value, int multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// The largest radius of TapWindow, and its radius where it is known only at run
// time.
constexpr int kMaxTapRadius = 8;

// For a radius up to kMaxTapRadius: adds the neighbours one by one, in
// registers. kRadius is the radius, or kMaxTapRadius for any.
template <class V, int kLanes, int kRadius, class Index>
class TapWindow {
 public:
  // The memory for a row, in elements of V.
  static constexpr int64_t ElementsPerRow(int64_t channels, int64_t) {
    return channels + 2 * kPad;
  }

  TapWindow() = default;
  // All threads of the block construct alike. Zeros around each row stand for
  // what the window of an edge channel lacks.
  __device__ TapWindow(V* memory, Index rows, Index channels, Index radius)
      : rows_(memory), stride_(channels + 2 * kPad), radius_(radius) {
    for (Index i = threadIdx.x; i < rows * 2 * kPad; i += blockDim.x) {
      const Index pad = i % (2 * kPad);
      const Index place = pad < kPad ? pad : stride_ - 2 * kPad + pad;
      rows_[i / (2 * kPad) * stride_ + place] = V{};
    }
  }

  __device__ void Put(Index row, Index channel, const V (&values)[kLanes]) {
    V* const place = Place(row, channel);
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; i += kGroup) {
      Pack<V, kGroup> group;
      TFLRN_UNROLL
      for (int k = 0; k < kGroup; ++k) group.lanes[k] = values[i + k];
      Store(place + i, group);
    }
  }

  // Called by all threads, between the last Put and the first Sum.
  __device__ void Prepare() { __syncthreads(); }

  __device__ void Sum(Index row, Index channel, V (&sums)[kLanes]) const {
    const V* const place = Place(row, channel);
    if constexpr (kLanes == 1) {
      V sum = place[0];
      for (Index k = 1; k <= radius_; ++k) sum += place[-k] + place[k];
      sums[0] = sum;
    } else {
      constexpr int kHalo = RoundUp(kRadius, kGroup);
      V span[kHalo + kLanes + kHalo];
      TFLRN_UNROLL
      for (int i = 0; i < kHalo + kLanes + kHalo; i += kGroup) {
        const Pack<V, kGroup> group = Load<kGroup>(place - kHalo + i);
        TFLRN_UNROLL
        for (int k = 0; k < kGroup; ++k) span[i + k] = group.lanes[k];
      }
      TFLRN_UNROLL
      for (int i = 0; i < kLanes; ++i) {
        V sum = span[kHalo + i];
        TFLRN_UNROLL
        for (int k = 1; k <= kRadius; ++k) {
          const V pair = span[kHalo + i - k] + span[kHalo + i + k];
          // Not a product with 0, which would be NaN for infinity.
          if (kRadius < kMaxTapRadius || k <= radius_) sum += pair;
        }
        sums[i] = sum;
      }
    }
  }

 private:
  static constexpr int kPad = kMaxTapRadius;
  static constexpr int kGroup = kLanes == 1 ? 1 : kPackBytes / sizeof(V);

  __device__ V* Place(Index row, Index channel) const {
    return rows_ + row * stride_ + kPad + channel;
  }

  V* rows_;
  Index stride_;
  Index radius_;
};

// For a radius above kMaxTapRadius. Channels are divided into chunks of 8. With
// the window [first, last] of a channel,
//
//   sum = suffix[first] + chunks between + prefix[last]
//
// where suffix and prefix add within their chunk. As many whole chunks lie
// between for every channel, or one more: their sums are made by doubling, over
// an eighth of the elements, in a number of steps that grows with the logarithm
// of the radius.
template <class V, int kLanes, class Index>
class WideWindow {
 public:
  static constexpr int64_t ElementsPerRow(int64_t channels, int64_t radius) {
    const int64_t chunks = Chunks(channels);
    const int64_t level = chunks + BeforeFirst(radius);
    return 2 * chunks * kChunk + (3 * level + 3) / 4 * 4;
  }

  WideWindow() = default;
  __device__ WideWindow(V* memory, Index rows, Index channels, Index radius)
      : memory_(memory),
        rows_(rows),
        channels_(channels),
        radius_(radius),
        chunks_(Chunks(channels)),
        before_first_(BeforeFirst(radius)),
        level_(chunks_ + before_first_),
        stride_(static_cast<Index>(ElementsPerRow(channels, radius))) {}

  __device__ void Put(Index row, Index channel, const V (&values)[kLanes]) {
    V* const prefix = Prefix(row);
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) prefix[channel + i] = values[i];
  }

  __device__ void Prepare() {
    __syncthreads();
    AddWithinChunks();
    __syncthreads();
    int from = 0;
    Index done = 0;
    for (Index width = 1; width <= WholeChunks(); width *= 2) {
      // Level `from` holds the sums of `width` chunks from each chunk on, the
      // result those of `done`.
      const bool take = (WholeChunks() & width) != 0;
      ForEachInLevel([&](Index row, Index i) {
        const V* const sums = Level(row, from);
        if (take) {
          const V more = At(sums, i + done);
          V* const result = Result(row);
          result[i] = done == 0 ? more : result[i] + more;
        }
        Level(row, 1 - from)[i] = sums[i] + At(sums, i + width);
      });
      if (take) done += width;
      from = 1 - from;
      __syncthreads();
    }
  }

  __device__ void Sum(Index row, Index channel, V (&sums)[kLanes]) const {
    const V* const prefix = Prefix(row);
    const V* const suffix = Suffix(row);
    const V* const result = Result(row);
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      const Index first = channel + i - radius_;
      const Index last = channel + i + radius_;
      // Shifts, since they round down below zero too.
      const Index after_first = (first >> kChunkBits) + 1;
      const Index of_last = last >> kChunkBits;
      V sum = result[after_first + before_first_];
      if (first >= 0) sum += suffix[first];
      const Index extra = after_first + WholeChunks();
      if (extra < of_last && extra < chunks_) {
        sum += prefix[extra * kChunk + kChunk - 1];
      }
      if (of_last < chunks_) sum += prefix[last];
      sums[i] = sum;
    }
  }

 private:
  static constexpr int kChunkBits = 3;
  static constexpr int kChunk = 1 << kChunkBits;
  static_assert(2 * (kMaxTapRadius + 1) >= 2 * kChunk,
                "a window ends in another chunk, with one or more between");

  template <class I>
  static constexpr __host__ __device__ I Chunks(I channels) {
    return (channels + kChunk - 1) / kChunk;
  }
  // Chunks before the row's first, all zero, in which a window may begin.
  template <class I>
  static constexpr __host__ __device__ I BeforeFirst(I radius) {
    return (radius + kChunk - 1) / kChunk;
  }
  // Chunks that every window holds, but for the row's ends.
  __device__ Index WholeChunks() const { return 2 * radius_ / kChunk - 1; }

  __device__ V* Prefix(Index row) const { return memory_ + row * stride_; }
  __device__ V* Suffix(Index row) const {
    return Prefix(row) + chunks_ * kChunk;
  }
  __device__ V* Level(Index row, int which) const {
    return Suffix(row) + chunks_ * kChunk + which * level_;
  }
  __device__ V* Result(Index row) const { return Level(row, 2); }

  __device__ V At(const V* level, Index i) const {
    return i < level_ ? level[i] : V{};
  }

  template <class Function>
  __device__ void ForEachInLevel(const Function& function) const {
    for (Index i = threadIdx.x; i < rows_ * level_; i += blockDim.x) {
      function(i / level_, i % level_);
    }
  }

  // Turns the values of each chunk into prefix and suffix, and their sum into
  // the first level.
  __device__ void AddWithinChunks() const {
    ForEachInLevel([&](Index row, Index i) {
      V total = V{};
      if (i >= before_first_) {
        const Index begin = (i - before_first_) * kChunk;
        V* const prefix = Prefix(row) + begin;
        V* const suffix = Suffix(row) + begin;
        V values[kChunk];
        TFLRN_UNROLL
        for (int k = 0; k < kChunk; ++k) {
          values[k] = begin + k < channels_ ? prefix[k] : V{};
        }
        TFLRN_UNROLL
        for (int k = 0; k < kChunk; ++k) {
          total += values[k];
          prefix[k] = total;
        }
        V from_end = V{};
        TFLRN_UNROLL
        for (int k = kChunk - 1; k >= 0; --k) {
          from_end += values[k];
          suffix[k] = from_end;
        }
      }
      Level(row, 0)[i] = total;
    });
  }

  V* memory_;
  Index rows_;
  Index channels_;
  Index radius_;
  Index chunks_;
  Index before_first_;
  Index level_;
  Index stride_;
};

}  // namespace tflrn::cuda

#endif  // TFLRN_CC_CUDA_WINDOWS_H_
