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
//   kSmallestRadius, kLargestRadius    that it is for
//   Put(place, values)
//   Prepare()                          called by all threads, after the last
//                                      Put
//   Sum(place, values)                 turns the values that were put there
//                                      into their window sums
//   kHasSumOf                          whether it has SumOf, which needs no
//                                      memory, Put or Prepare
//
// The values of channels that the last pack of a row lacks must be 0.
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
  Index pack;     // In the row.
  Index offset;   // From the tile's first element.
  Lanes lanes;
};

// The largest radius whose windows are added up in registers.
constexpr int kMaxTapRadius = 8;

// For a radius from kMinRadius to kMaxRadius: adds the neighbours in registers,
// in an order that does not depend on kLanes, unless that is 1.
template <class V, int kLanes, int kMinRadius, int kMaxRadius, class Index>
class TapWindow {
 public:
  static constexpr int kSmallestRadius = kMinRadius;
  static constexpr int kLargestRadius = kMaxRadius;
  static constexpr bool kHasSumOf = kLanes > 1;
  // The values that one access moves. In memory, the first groups of all packs
  // precede their second groups. So neighbouring threads access neighbouring 16
  // bytes, and no two of 8 threads meet in a bank.
  static constexpr int kGroup = kLanes == 1 ? 1 : kPackBytes / sizeof(V);

  static constexpr int64_t Elements(int64_t rows, int64_t channels, int64_t) {
    return rows * DivideUp(channels, kLanes) * kLanes;
  }

  TapWindow() = default;
  __device__ TapWindow(V* memory, Index rows, Index channels, Index radius)
      : memory_(memory),
        channels_(channels),
        row_packs_(DivideUp(channels, kLanes)),
        group_stride_(rows * row_packs_ * kGroup),
        radius_(radius) {}

  __device__ void Put(const Place<Index>& place, const V (&values)[kLanes]) {
    const Index pack = PackOf(place);
    TFLRN_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      Group group;
      TFLRN_UNROLL
      for (int k = 0; k < kGroup; ++k) {
        group.lanes[k] = values[g * kGroup + k];
      }
      Store(At(pack, g), group);
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
      SumOf(place, values, [&](int distance) {
        const int i = kOwn + distance;
        return Load<kGroup>(At(pack + i / kLanes - kPad, i % kLanes / kGroup));
      });
    }
  }

  // The same, where group_at(distance) returns the kGroup values from
  // `distance` channels after the first lane on, which begin in the row.
  // Separate code for each radius fetches no group, and adds no value, outside
  // the window. kRadius is at least the radius.
  template <int kRadius = kMaxRadius, class GroupAt>
  __device__ void SumOf(const Place<Index>& place, V (&values)[kLanes],
                        const GroupAt& group_at) const {
    if constexpr (kRadius > 0) {
      if (kMinRadius < kRadius && radius_ < kRadius) {
        return SumOf<kRadius - 1>(place, values, group_at);
      }
      V span[kSpan];
      TFLRN_UNROLL
      for (int i = 0; i < kSpan; i += kGroup) {
        const bool own = i >= kOwn && i < kOwn + kLanes;
        const bool far =
            i + kGroup <= kOwn - kRadius || i >= kOwn + kLanes + kRadius;
        if (own || far) continue;
        // Values past the ends of a row count as 0.
        const Index packs = i / kLanes - kPad;
        const bool in_row =
            packs < 0 ? place.pack >= -packs : place.pack + packs < row_packs_;
        Group group = {};
        if (in_row) group = group_at(i - kOwn);
        TFLRN_UNROLL
        for (int k = 0; k < kGroup; ++k) span[i + k] = group.lanes[k];
      }
      TFLRN_UNROLL
      for (int i = 0; i < kLanes; ++i) span[kOwn + i] = values[i];
      AddInPairs<kRadius>(span, values);
    }
  }

 private:
  static constexpr int kGroups = kLanes / kGroup;
  using Group = Pack<V, kGroup>;

  // A thread's own values, and, before and after them, the packs with their
  // neighbours.
  static constexpr int kPad = DivideUp(kMaxRadius, kLanes);
  static constexpr int kOwn = kPad * kLanes;
  static constexpr int kSpan = 2 * kOwn + kLanes;

  // The windows of a pair's two channels are the pairs that they share, plus
  // one value at one end and, if the radius is even, one pair at the other.
  template <int kRadius>
  static __device__ void AddInPairs(const V (&span)[kSpan],
                                    V (&values)[kLanes]) {
    const auto pair = [&](int i) { return span[i] + span[i + 1]; };
    TFLRN_UNROLL
    for (int i = 0; i < kLanes; i += 2) {
      const int at = kOwn + i;
      V sum = pair(at);
      TFLRN_UNROLL
      for (int k = 2; k < kRadius; k += 2) sum += pair(at - k) + pair(at + k);
      if constexpr (kRadius % 2 == 1) {
        values[i] = sum + span[at - kRadius];
        values[i + 1] = sum + span[at + kRadius + 1];
      } else {
        values[i] = sum + (pair(at - kRadius) + span[at + kRadius]);
        values[i + 1] = sum + (pair(at + kRadius) + span[at - kRadius + 1]);
      }
    }
  }

  // In the tile.
  __device__ Index PackOf(const Place<Index>& place) const {
    return place.row * row_packs_ + place.pack;
  }

  __device__ V* At(Index pack, int group) const {
    return memory_ + group * group_stride_ + pack * kGroup;
  }

  V* memory_;
  Index channels_;
  Index row_packs_;
  Index group_stride_;  // In elements.
  Index radius_;
};

// For a radius above kMaxTapRadius, and blocks whose threads have one pack of a
// row each: threadIdx.x is the pack, threadIdx.y the row. With the window
// [first, last] of a channel,
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
  static constexpr int kSmallestRadius = kMaxTapRadius + 1;
  static constexpr int kLargestRadius = std::numeric_limits<int>::max();
  static constexpr bool kHasSumOf = false;

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

// The same for blocks that have one row, whose threads have any number of its
// channels, one at a time. Channels are divided into chunks of 8. With the
// window [first, last] of a channel,
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
  static constexpr int kSmallestRadius = kMaxTapRadius + 1;
  static constexpr int kLargestRadius = std::numeric_limits<int>::max();
  static constexpr bool kHasSumOf = false;

  static constexpr int64_t Elements(int64_t, int64_t channels, int64_t radius) {
    const int64_t chunks = Chunks(channels);
    return 2 * Skewed(chunks * kChunk) + 3 * (chunks + BeforeFirst(radius));
  }

  WideLoopWindow() = default;
  __device__ WideLoopWindow(V* memory, Index, Index channels, Index radius)
      : memory_(memory),
        channels_(channels),
        radius_(radius),
        chunks_(Chunks(channels)),
        before_first_(BeforeFirst(radius)),
        level_(chunks_ + before_first_) {}

  __device__ void Put(const Place<Index>& place, const V (&value)[1]) {
    Prefix()[Skewed(place.channel)] = value[0];
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
      const V* const sums = Level(from);
      V* const doubled = Level(1 - from);
      V* const result = Result();
      for (Index i = threadIdx.x; i < level_; i += blockDim.x) {
        if (take) {
          const V more = InLevel(sums, i + done);
          result[i] = done == 0 ? more : result[i] + more;
        }
        doubled[i] = sums[i] + InLevel(sums, i + width);
      }
      if (take) done += width;
      from = 1 - from;
      __syncthreads();
    }
  }

  __device__ void Sum(const Place<Index>& place, V (&value)[1]) const {
    const V* const prefix = Prefix();
    const V* const suffix = Suffix();
    const Index first = place.channel - radius_;
    const Index last = place.channel + radius_;
    // Shifts, since they round down even below zero.
    const Index after_first = (first >> kChunkBits) + 1;
    const Index of_last = last >> kChunkBits;
    V sum = Result()[after_first + before_first_];
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

  __device__ V* Prefix() const { return memory_; }
  __device__ V* Suffix() const { return memory_ + Skewed(chunks_ * kChunk); }
  __device__ V* Level(int which) const {
    return memory_ + 2 * Skewed(chunks_ * kChunk) + which * level_;
  }
  __device__ V* Result() const { return Level(2); }

  __device__ V InLevel(const V* level, Index i) const {
    return i < level_ ? level[i] : V{};
  }

  // Turns the values of each chunk into prefixes and suffixes, and stores their
  // sum in the first level.
  __device__ void AddWithinChunks() const {
    V* const totals = Level(0);
    for (Index i = threadIdx.x; i < level_; i += blockDim.x) {
      V total = V{};
      if (i >= before_first_) {
        const Index begin = (i - before_first_) * kChunk;
        V* const prefix = Prefix() + Skewed(begin);
        V* const suffix = Suffix() + Skewed(begin);
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
      totals[i] = total;
    }
  }

  V* memory_;
  Index channels_;
  Index radius_;
  Index chunks_;
  Index before_first_;
  Index level_;
};

}  // namespace tflrn::cuda

#endif  // TFLRN_CC_CUDA_WINDOWS_H_
