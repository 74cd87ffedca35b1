// Window sums over the channels of a tile's rows, computed by the threads of a
// block together: each thread puts its values, all threads prepare, and each
// takes the sums around its channels.
//
// A sum adds exactly the values of its window and subtracts nothing, so that
// neighbours of different magnitude lose no precision, and NaN and infinity
// stay inside the windows that hold them.
//
// V        float or double.
// kLanes   the number of consecutive channels that a thread puts and takes at
//          once.
// Index    holds an offset into the tile.
//
// All kinds of window have
//
//   Elements(rows, channels, radius)   the memory they need, in elements of V
//   (memory, rows, channels, radius)   constructed alike by all threads
//   kWholePacks                        in a row version: rows must consist of
//                                      whole packs
//   kLargestRadius                     that it is for
//   Put(place, values)
//   Prepare()                          called by all threads, after the last
//                                      Put
//   Sum(place, values)                 turns the values that were put there
//                                      into their window sums
#ifndef TFLRN_CC_CUDA_WINDOWS_H_
#define TFLRN_CC_CUDA_WINDOWS_H_

#include <cstdint>
#include <limits>

#include "cc/cuda/packs.h"
#include "cc/cuda/runtime.h"

namespace tflrn::cuda {

template <class Integer, class Divisor>
constexpr __host__ __device__ Integer DivideUp(Integer value, Divisor divisor) {
  return (value + divisor - 1) / divisor;
}

// Where in a tile the lanes of a thread are.
template <class Index>
struct Place {
  Index row;
  Index channel;  // Of the first lane.
  Index pack;     // In the row, or, where packs cross rows, in the tile.
  Index offset;   // From the tile's first element.
  Lanes lanes;
};

// The largest radius whose windows are added up in registers.
constexpr int kMaxTapRadius = 8;

// For a radius up to kMaxRadius: adds the neighbours in registers, in an order
// that depends on the number of channels but not on the alignment.
//
// kMaxRadius    if 2, the radius is 2, as in AlexNet and GoogLeNet, not less.
// kAcrossRows   packs may cross the ends of rows.
template <class V, int kLanes, int kMaxRadius, bool kAcrossRows, class Index>
class TapWindow {
 public:
  static constexpr bool kWholePacks = !kAcrossRows;
  static constexpr int kLargestRadius = kMaxRadius;

  static constexpr int64_t Elements(int64_t rows, int64_t channels, int64_t) {
    if (!kAcrossRows) return rows * channels;
    const int64_t packs = DivideUp(rows * channels, kLanes);
    return (packs + 2 * kPad) * kLanes;
  }

  TapWindow() = default;
  __device__ TapWindow(V* memory, Index rows, Index channels, Index radius)
      : memory_(memory),
        channels_(channels),
        row_packs_(channels / kLanes),
        group_stride_(static_cast<Index>(Elements(rows, channels, radius)) /
                      kGroups),
        radius_(radius) {}

  __device__ void Put(const Place<Index>& place, const V (&values)[kLanes]) {
    TFLRN_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      Group group;
      TFLRN_UNROLL
      for (int k = 0; k < kGroup; ++k) {
        group.lanes[k] = values[g * kGroup + k];
      }
      Store(At(PackOf(place), g), group);
    }
  }

  __device__ void Prepare() { __syncthreads(); }

  __device__ void Sum(const Place<Index>& place, V (&values)[kLanes]) const {
    const Index pack = PackOf(place);
    if constexpr (kLanes == 1) {
      const V* const center = At(pack, 0);
      for (Index k = 1; k <= radius_; ++k) {
        const V before = k <= place.channel ? center[-k] : V{};
        const V after = k < channels_ - place.channel ? center[k] : V{};
        values[0] += before + after;
      }
    } else {
      V span[kSpan];
      TFLRN_UNROLL
      for (int i = 0; i < kSpan; i += kGroup) {
        const bool own = i >= kOwn && i < kOwn + kLanes;
        const bool far =
            i + kGroup <= kOwn - kMaxRadius || i >= kOwn + kLanes + kMaxRadius;
        if (own || far) continue;
        // Values past the ends of a row count as 0. Where packs cross rows,
        // that is left to the additions.
        const Index distance = i / kLanes - kPad;
        const bool in_row = distance < 0 ? place.pack >= -distance
                                         : place.pack + distance < row_packs_;
        Group group = {};
        if (kAcrossRows || in_row) {
          group = Load<kGroup>(At(pack + distance, i % kLanes / kGroup));
        }
        TFLRN_UNROLL
        for (int k = 0; k < kGroup; ++k) span[i + k] = group.lanes[k];
      }
      TFLRN_UNROLL
      for (int i = 0; i < kLanes; ++i) span[kOwn + i] = values[i];
      if (kAcrossRows && channels_ % 2 != 0) {
        AddOneByOne(span, place.channel, values);
      } else {
        AddInPairs<kMaxRadius>(span, place.channel, values);
      }
    }
  }

 private:
  // The values that one access moves. In memory, the first groups of all packs
  // precede their second groups. So neighbouring threads access neighbouring 16
  // bytes, and no two of 8 threads meet in a bank.
  static constexpr int kGroup = kLanes == 1 ? 1 : kPackBytes / sizeof(V);
  static constexpr int kGroups = kLanes / kGroup;
  using Group = Pack<V, kGroup>;
  // How many packs away a neighbour may be. Where packs cross rows, the memory
  // has as many extra packs before the first and after the last.
  static constexpr int kPad = DivideUp(kMaxRadius, kLanes);

  // A thread's own values, and kPad packs before and after them.
  static constexpr int kOwn = kPad * kLanes;
  static constexpr int kSpan = 2 * kOwn + kLanes;

  // For an even number of channels. The windows of a pair's two channels are
  // the pairs that they share, plus one value at one end and, if the radius is
  // even, one pair at the other. kRadius is at least the radius.
  template <int kRadius>
  __device__ void AddInPairs(const V (&span)[kSpan], Index first_channel,
                             V (&values)[kLanes]) const {
    // Separate code for each radius spends no instruction on neighbours outside
    // the window. Where packs cross rows, that would be too much code.
    if constexpr (kRadius > 0 && kMaxRadius != 2 && !kAcrossRows) {
      if (radius_ < kRadius) {
        return AddInPairs<kRadius - 1>(span, first_channel, values);
      }
    }
    const Index radius = kAcrossRows ? radius_ : kRadius;
    if (radius == 0) return;
    constexpr int kPairs = kLanes / 2;
    const auto pair = [&](int i) { return span[i] + span[i + 1]; };
    V sums[kPairs];
    Index channel[kPairs];
    TFLRN_UNROLL
    for (int p = 0; p < kPairs; ++p) {
      sums[p] = pair(kOwn + 2 * p);
      channel[p] = p == 0 ? first_channel : Following(channel[p - 1], 2);
    }
    TFLRN_UNROLL
    for (int k = 2; k <= kRadius + 1; k += 2) {
      TFLRN_UNROLL
      for (int p = 0; p < kPairs; ++p) {
        const int at = kOwn + 2 * p;
        // Not products with 0: those of infinity would be NaN.
        const auto before = [&](V value) {
          return kAcrossRows && channel[p] < k ? V{} : value;
        };
        const auto after = [&](V value) {
          return kAcrossRows && channel[p] + k >= channels_ ? V{} : value;
        };
        const V odd_before = before(span[at - k + 1]);
        const V even_after = after(span[at + k]);
        if (k < radius) {
          sums[p] += before(pair(at - k)) + after(pair(at + k));
        } else if (radius % 2 == 1) {
          values[2 * p] = sums[p] + odd_before;
          values[2 * p + 1] = sums[p] + even_after;
        } else {
          values[2 * p] = sums[p] + (before(pair(at - k)) + even_after);
          values[2 * p + 1] = sums[p] + (after(pair(at + k)) + odd_before);
        }
      }
      if (k >= radius) break;
    }
  }

  __device__ void AddOneByOne(const V (&span)[kSpan], Index first_channel,
                              V (&values)[kLanes]) const {
    Index channel[kLanes];
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      channel[i] = i == 0 ? first_channel : Following(channel[i - 1], 1);
    }
    TFLRN_UNROLL
    for (int k = 1; k <= kMaxRadius; ++k) {
      if (k > radius_) break;
      TFLRN_UNROLL
      for (int i = 0; i < kLanes; ++i) {
        V before = span[kOwn + i - k], after = span[kOwn + i + k];
        if (channel[i] < k) before = V{};
        if (channel[i] + k >= channels_) after = V{};
        values[i] += before + after;
      }
    }
  }

  // The channel `step` further on, or 0 at the end of a row, whose length is a
  // multiple of `step`.
  __device__ Index Following(Index channel, int step) const {
    return channel + step == channels_ ? 0 : channel + step;
  }

  __device__ Index PackOf(const Place<Index>& place) const {
    return (kAcrossRows ? kPad : place.row * row_packs_) + place.pack;
  }

  __device__ V* At(Index pack, int group) const {
    return memory_ + group * group_stride_ + pack * kGroup;
  }

  V* memory_;
  Index channels_;
  Index row_packs_;     // If rows are whole packs.
  Index group_stride_;  // In elements.
  Index radius_;
};

// For a radius above kMaxTapRadius, and blocks whose threads have one pack of a
// row each: threadIdx.x is the pack, threadIdx.y the row. The last pack of a
// row may be incomplete; the values of its missing channels must be 0. With the
// window [first, last] of a channel,
//
//   sum = suffix[first] + packs between + prefix[last]
//
// where suffix and prefix are sums within a pack. All windows of a pack contain
// the packs nearer than radius / kLanes whole, and some the next one before or
// after. Each thread adds up the whole packs by doubling, in a number of steps
// that grows with the logarithm of the radius.
template <class V, int kLanes, class Index>
class WideRowWindow {
 public:
  static constexpr bool kWholePacks = false;
  static constexpr int kLargestRadius = std::numeric_limits<int>::max();

  static constexpr int64_t Elements(int64_t rows, int64_t channels, int64_t) {
    return rows * DivideUp(channels, kLanes) * kArrays;
  }

  WideRowWindow() = default;
  __device__ WideRowWindow(V* memory, Index rows, Index channels, Index radius)
      : memory_(memory),
        row_packs_(DivideUp(channels, kLanes)),
        stride_(rows * row_packs_),
        packs_away_(radius / kLanes),
        lanes_away_(radius % kLanes) {}

  __device__ void Put(const Place<Index>& place, const V (&values)[kLanes]) {
    V* to = Prefixes(place.row) + place.pack;
    total_ = V{};
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      total_ += values[i];
      *to = total_;
      to += stride_;
    }
    to = Doubled(0, place.row) + place.pack;
    V suffix = V{};
    TFLRN_UNROLL
    for (int i = kLanes - 1; i > 0; --i) {
      suffix += values[i];
      to -= stride_;
      *to = suffix;
    }
  }

  // Adds up the packs that are whole in all windows of the thread's channels,
  // from sums of 1, 2, 4... packs: one for each bit of their number.
  __device__ void Prepare() {
    const Index row = threadIdx.y, pack = threadIdx.x;
    const Index before = Least(pack, packs_away_ - 1);
    const Index after = Least(row_packs_ - 1 - pack, packs_away_ - 1);
    const Index count = before + 1 + after;
    const Index most = Least(row_packs_, 2 * packs_away_ - 1);
    V sum = total_;  // Of `width` packs from this one on.
    const V* sums = Totals(row);
    whole_ = V{};
    Index done = 0;
    int next = 0;
    __syncthreads();
    for (Index width = 1;; width *= 2) {
      if ((count & width) != 0) {
        whole_ += sums[pack - before + done];
        done += width;
      }
      if (2 * width > most) break;
      if (pack + width < row_packs_) sum += sums[pack + width];
      // Others may still be reading the last sums, but not those before.
      V* const doubled = Doubled(next, row);
      doubled[pack] = sum;
      __syncthreads();
      sums = doubled;
      next = 1 - next;
    }
  }

  __device__ void Sum(const Place<Index>& place, V (&values)[kLanes]) const {
    SumWithLanesAway<kLanes - 1>(place, values);
  }

 private:
  // Per pack: its prefixes; its suffixes except the first, which is the last
  // prefix; and two doubled sums. Each array has one element per pack of the
  // tile, so that neighbouring threads access neighbouring elements.
  static constexpr int kFirstDoubled = kLanes + (kLanes - 1);
  static constexpr int kArrays = kFirstDoubled + 2;

  static __device__ Index Least(Index a, Index b) { return a < b ? a : b; }

  __device__ V* Array(int array, Index row) const {
    return memory_ + row * row_packs_ + array * stride_;
  }
  __device__ V* Prefixes(Index row) const { return Array(0, row); }
  __device__ V* Totals(Index row) const { return Array(kLanes - 1, row); }
  __device__ V* Doubled(int which, Index row) const {
    return Array(kFirstDoubled + which, row);
  }

  // Separate code for each remainder of the radius: it decides in which pack
  // the window of a lane begins, and in which it ends.
  template <int kLanesAway>
  __device__ void SumWithLanesAway(const Place<Index>& place,
                                   V (&values)[kLanes]) const {
    if constexpr (kLanesAway > 0) {
      if (lanes_away_ < kLanesAway) {
        return SumWithLanesAway<kLanesAway - 1>(place, values);
      }
    }
    const Index left = place.pack - packs_away_;
    const Index right = place.pack + packs_away_;
    const V* const totals = Totals(place.row);
    const V left_total = left >= 0 ? totals[left] : V{};
    const V right_total = right < row_packs_ ? totals[right] : V{};
    // A window of lane i begins in lane i - kLanesAway of the pack `left`, or
    // in the pack before it, and ends likewise.
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; ++i) {
      const bool before = i < kLanesAway;
      const bool after = i + kLanesAway >= kLanes;
      values[i] = whole_;
      if (before) values[i] += left_total;
      if (after) values[i] += right_total;
    }
    const V* prefix = Prefixes(place.row) + right;
    TFLRN_UNROLL
    for (int lane = 0; lane < kLanes; ++lane) {
      const int to = lane - kLanesAway;
      const bool after = to < 0;
      const Index pack = right + after;
      if (pack < row_packs_) values[to + after * kLanes] += prefix[after];
      prefix += stride_;
    }
    const V* suffix = totals + left;
    TFLRN_UNROLL
    for (int lane = 0; lane < kLanes; ++lane) {
      const int to = lane + kLanesAway;
      const bool before = to >= kLanes;
      const Index pack = left - before;
      if (pack >= 0) values[to - before * kLanes] += suffix[-int{before}];
      suffix += stride_;
    }
  }

  V* memory_;
  Index row_packs_;
  Index stride_;
  Index packs_away_;  // The radius in whole packs,
  int lanes_away_;    // and the rest.
  V total_ = V{};     // Of the thread's pack.
  V whole_ = V{};     // The packs that are in all windows of its channels.
};

// The same for threads that have any number of channels, one at a time.
// Channels are divided into chunks of 8. With the window [first, last] of a
// channel,
//
//   sum = suffix[first] + chunks between + prefix[last]
//
// where suffix and prefix are sums within a chunk. The number of whole chunks
// between is the same for every channel, or one more. Their sums are built by
// doubling, over an eighth of the elements, in a number of steps that grows
// with the logarithm of the radius.
template <class V, class Index>
class WideLoopWindow {
 public:
  static constexpr int kLargestRadius = std::numeric_limits<int>::max();

  static constexpr int64_t Elements(int64_t rows, int64_t channels,
                                    int64_t radius) {
    const int64_t chunks = Chunks(channels);
    const int64_t levels = 3 * (chunks + BeforeFirst(radius));
    return rows * (2 * Skewed(chunks * kChunk) + levels);
  }

  WideLoopWindow() = default;
  __device__ WideLoopWindow(V* memory, Index rows, Index channels, Index radius)
      : memory_(memory),
        rows_(rows),
        channels_(channels),
        radius_(radius),
        chunks_(Chunks(channels)),
        before_first_(BeforeFirst(radius)),
        level_(chunks_ + before_first_),
        stride_(static_cast<Index>(Elements(1, channels, radius))) {}

  __device__ void Put(const Place<Index>& place, const V (&value)[1]) {
    Prefix(place.row)[Skewed(place.channel)] = value[0];
  }

  __device__ void Prepare() {
    __syncthreads();
    AddWithinChunks();
    __syncthreads();
    int from = 0;
    Index done = 0;
    for (Index width = 1; width <= WholeChunks(); width *= 2) {
      // Level `from` holds the sums of `width` chunks from each chunk on, and
      // the result those of `done` chunks.
      const bool take = (WholeChunks() & width) != 0;
      ForEachInLevel([&](Index row, Index i) {
        const V* const sums = Level(row, from);
        if (take) {
          const V more = InLevel(sums, i + done);
          V* const result = Result(row);
          result[i] = done == 0 ? more : result[i] + more;
        }
        Level(row, 1 - from)[i] = sums[i] + InLevel(sums, i + width);
      });
      if (take) done += width;
      from = 1 - from;
      __syncthreads();
    }
  }

  __device__ void Sum(const Place<Index>& place, V (&value)[1]) const {
    const V* const prefix = Prefix(place.row);
    const V* const suffix = Suffix(place.row);
    const Index first = place.channel - radius_;
    const Index last = place.channel + radius_;
    // Shifts, since they round down even below zero.
    const Index after_first = (first >> kChunkBits) + 1;
    const Index of_last = last >> kChunkBits;
    V sum = Result(place.row)[after_first + before_first_];
    if (first >= 0) sum += suffix[Skewed(first)];
    const Index extra = after_first + WholeChunks();
    if (extra < of_last && extra < chunks_) {
      sum += prefix[Skewed(extra * kChunk + kChunk - 1)];
    }
    // Past the row's end, the last chunk's prefix is its total.
    if (of_last < chunks_) sum += prefix[Skewed(last)];
    value[0] = sum;
  }

 private:
  static constexpr int kChunkBits = 3;
  static constexpr int kChunk = 1 << kChunkBits;
  static_assert(2 * (kMaxTapRadius + 1) >= 2 * kChunk,
                "a window ends in another chunk, with one or more between");

  // Leaves one element free after every 32 banks' worth, so that threads that
  // access every 2nd, 4th or 8th element do not meet in a bank.
  template <class I>
  static constexpr __host__ __device__ I Skewed(I element) {
    return element + (element >> (sizeof(V) == 4 ? 5 : 4));
  }
  template <class I>
  static constexpr __host__ __device__ I Chunks(I channels) {
    return DivideUp(channels, kChunk);
  }
  // All-zero chunks before the row's first, in which a window may begin.
  template <class I>
  static constexpr __host__ __device__ I BeforeFirst(I radius) {
    return DivideUp(radius, kChunk);
  }
  // Whole chunks in every window, except at the row's ends.
  __device__ Index WholeChunks() const { return 2 * radius_ / kChunk - 1; }

  __device__ V* Prefix(Index row) const { return memory_ + row * stride_; }
  __device__ V* Suffix(Index row) const {
    return Prefix(row) + Skewed(chunks_ * kChunk);
  }
  __device__ V* Level(Index row, int which) const {
    return Suffix(row) + Skewed(chunks_ * kChunk) + which * level_;
  }
  __device__ V* Result(Index row) const { return Level(row, 2); }

  __device__ V InLevel(const V* level, Index i) const {
    return i < level_ ? level[i] : V{};
  }

  template <class Function>
  __device__ void ForEachInLevel(const Function& function) const {
    for (Index row = threadIdx.y; row < rows_; row += blockDim.y) {
      for (Index i = threadIdx.x; i < level_; i += blockDim.x) {
        function(row, i);
      }
    }
  }

  // Turns the values of each chunk into prefixes and suffixes, and stores their
  // sum in the first level.
  __device__ void AddWithinChunks() const {
    ForEachInLevel([&](Index row, Index i) {
      V total = V{};
      if (i >= before_first_) {
        const Index begin = (i - before_first_) * kChunk;
        V* const prefix = Prefix(row) + Skewed(begin);
        V* const suffix = Suffix(row) + Skewed(begin);
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
