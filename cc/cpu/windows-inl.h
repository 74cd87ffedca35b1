// Sums over windows of channels: in registers for small windows, through memory
// for any. Included by lrn_rows-inl.h.
#ifndef TFLRN_CC_CPU_WINDOWS_INL_H_
#define TFLRN_CC_CPU_WINDOWS_INL_H_

#include <algorithm>
#include <cstdint>

#include "cc/core/lanes.h"
#include "cc/cpu/blocking.h"
#include "cc/cpu/vectors-inl.h"

namespace tflrn {
namespace cpu {
namespace {

// Tracks which channels, or pairs of channels, the lanes of a vector hold as it
// moves through whole rows.
template <class Scalar>
class Channels {
 public:
  using Ints = typename LaneTraits<Vec<Scalar>>::Int;
  using Int = typename LaneTraits<Scalar>::Int;

  explicit Channels(int64_t channels)
      : channels_(channels), step_(kLanes<Scalar> % channels) {
    for (int k = 0; k < kLanes<Scalar>; ++k) {
      lane_channel_[k] = static_cast<Int>(k % channels);
    }
  }

  TFLRN_MEMBER void Advance() {
    first_ += step_;
    if (first_ >= channels_) first_ -= channels_;
  }

  // Whether all the windows of this radius lie inside the row.
  TFLRN_MEMBER bool Inside(int64_t radius) const {
    return first_ >= radius && first_ + kLanes<Scalar> - 1 + radius < channels_;
  }

  // Whether rows end where vectors do; if so, whether this vector is a row's
  // first or last.
  TFLRN_MEMBER bool WholeVectors() const {
    return channels_ % kLanes<Scalar> == 0;
  }
  TFLRN_MEMBER bool FirstOfRow() const { return first_ == 0; }
  TFLRN_MEMBER bool LastOfRow() const {
    return first_ == channels_ - kLanes<Scalar>;
  }

  // For each lane, whether its row has a channel `distance` before or after it.
  TFLRN_MEMBER Ints HasBefore(int64_t distance) const {
    return Numbers() >= static_cast<Int>(distance);
  }
  TFLRN_MEMBER Ints HasAfter(int64_t distance) const {
    return Numbers() < static_cast<Int>(channels_ - distance);
  }

 private:
  TFLRN_MEMBER Ints Numbers() const {
    const Int count = static_cast<Int>(channels_);
    const Ints shifted = lane_channel_ + static_cast<Int>(first_);
    return shifted >= count ? shifted - count : shifted;
  }

  int64_t channels_;
  int64_t step_;
  int64_t first_ = 0;  // The channel of the first lane.
  Ints lane_channel_;  // The lanes' channels if first_ is 0.
};

// ---- Window sums in registers (HasTapWindow, HasPairWindow).

// A vector and its neighbours.
template <class V>
struct Neighbors {
  V before = {}, middle = {}, after = {};

  // The vector of the previous Put becomes the middle one.
  TFLRN_MEMBER void Put(V next) {
    before = middle;
    middle = after;
    after = next;
  }

  // The lanes kDistance before or after those of the middle.
  template <int kDistance>
  TFLRN_MEMBER V Before() const {
    using Scalar = typename LaneTraits<V>::Scalar;
    return Shifted<kLanes<Scalar> - kDistance>(before, middle);
  }
  template <int kDistance>
  TFLRN_MEMBER V After() const {
    return Shifted<kDistance>(middle, after);
  }

  // With zeros instead of neighbours in other rows, if rows end where vectors
  // do.
  TFLRN_MEMBER Neighbors OfRow(bool first, bool last) const {
    return {first ? V{} : before, middle, last ? V{} : after};
  }
};

// Which values at a distance belong to the same row as the middle lane: all of
// them,
struct AllOwn {
  template <class V>
  TFLRN_MEMBER V Before(int64_t, V value) const {
    return value;
  }
  template <class V>
  TFLRN_MEMBER V After(int64_t, V value) const {
    return value;
  }
};
// or those whose channel the row has; the others become zeros.
template <class Scalar>
struct OwnOf {
  using V = Vec<Scalar>;
  const Channels<Scalar>& at;
  TFLRN_MEMBER V Before(int64_t distance, V value) const {
    return at.HasBefore(distance) ? value : V{};
  }
  TFLRN_MEMBER V After(int64_t distance, V value) const {
    return at.HasAfter(distance) ? value : V{};
  }
};

// A group, its neighbours, and the sums over its windows. kRadius is the
// radius, or kAnyTapRadius if `radius` gives it. `at`: the channels of the
// middle group, or, for a group of two vectors, its pairs of channels. kOften:
// whether separate code for groups that need no masks is worth its size.
constexpr int kAnyTapRadius = -1;

template <class Scalar, int kRadius, int kParts>
class TapWindow;

template <class Scalar, int kRadius>
class TapWindow<Scalar, kRadius, 1> {
 public:
  using V = Vec<Scalar>;

  TFLRN_MEMBER void Put(const Group<V, 1>& next) { values_.Put(next[0]); }

  template <bool kOften>
  TFLRN_MEMBER Group<V, 1> Sum(const Channels<Scalar>& at,
                               int64_t radius) const {
    if (kRadius != kAnyTapRadius) radius = kRadius;
    if (kOften && (at.WholeVectors() || at.Inside(radius))) {
      return {{Add<1>(values_.OfRow(at.FirstOfRow(), at.LastOfRow()), AllOwn(),
                      radius, values_.middle)}};
    }
    return {{Add<1>(values_, OwnOf<Scalar>{at}, radius, values_.middle)}};
  }

 private:
  static constexpr int kMaxRadius =
      kRadius == kAnyTapRadius
          ? std::min<int64_t>(kLanes<Scalar>, kMaxTapRadius)
          : kRadius;

  template <int kDistance, class Own>
  static TFLRN_MEMBER V Add(const Neighbors<V>& values, const Own& own,
                            int64_t radius, V sum) {
    if constexpr (kDistance > kMaxRadius) {
      return sum;
    } else {
      if (kDistance > radius) return sum;
      sum += own.Before(kDistance, values.template Before<kDistance>()) +
             own.After(kDistance, values.template After<kDistance>());
      return Add<kDistance + 1>(values, own, radius, sum);
    }
  }

  Neighbors<V> values_;
};

// The windows of a pair's two channels are the pairs that they share, plus one
// value at one end and, if the radius is even, one pair at the other: at radius
// 5, 6 shifts and 7 additions for two vectors, instead of 20 and 20. Rows
// consist of whole pairs.
template <class Scalar, int kRadius>
class TapWindow<Scalar, kRadius, 2> {
 public:
  using V = Vec<Scalar>;

  TFLRN_MEMBER void Put(const Group<V, 2>& next) {
    even_.Put(next[0]);
    odd_.Put(next[1]);
    pairs_.Put(next[0] + next[1]);
  }

  template <bool kOften>
  TFLRN_MEMBER Group<V, 2> Sum(const Channels<Scalar>& at,
                               int64_t radius) const {
    if (kRadius != kAnyTapRadius) radius = kRadius;
    if (radius == 0) return {{even_.middle, odd_.middle}};
    if (kOften && (at.WholeVectors() || at.Inside((radius + 1) / 2))) {
      TapWindow own;
      own.even_ = even_.OfRow(at.FirstOfRow(), at.LastOfRow());
      own.odd_ = odd_.OfRow(at.FirstOfRow(), at.LastOfRow());
      own.pairs_ = pairs_.OfRow(at.FirstOfRow(), at.LastOfRow());
      return own.template Add<1>(AllOwn(), radius, pairs_.middle);
    }
    return Add<1>(OwnOf<Scalar>{at}, radius, pairs_.middle);
  }

 private:
  static constexpr int kMaxDistance =
      ((kRadius == kAnyTapRadius
            ? std::min<int64_t>(2 * kLanes<Scalar>, kMaxPairRadius)
            : kRadius) +
       1) /
      2;

  // sum: that of the pairs less than kDistance away.
  template <int kDistance, class Own>
  TFLRN_MEMBER Group<V, 2> Add(const Own& own, int64_t radius, V sum) const {
    const V pair_before =
        own.Before(kDistance, pairs_.template Before<kDistance>());
    const V pair_after =
        own.After(kDistance, pairs_.template After<kDistance>());
    if constexpr (kDistance < kMaxDistance) {
      if (2 * kDistance < radius) {
        sum += pair_before + pair_after;
        return Add<kDistance + 1>(own, radius, sum);
      }
    }
    const V odd_before =
        own.Before(kDistance, odd_.template Before<kDistance>());
    const V even_after =
        own.After(kDistance, even_.template After<kDistance>());
    if (radius % 2 == 1) return {{sum + odd_before, sum + even_after}};
    return {
        {sum + (pair_before + even_after), sum + (pair_after + odd_before)}};
  }

  Neighbors<V> even_, odd_, pairs_;
};

// ---- Window sums through memory, for any radius.

// From one buffer of rows to another. Only additions: a running sum, which
// subtracts what leaves the window, would lose small values next to large ones,
// and spread infinities and NaNs beyond the window.
template <class Scalar>
class WideWindow {
 public:
  // work: WideBufferElements elements.
  WideWindow(int64_t channels, int64_t radius, Scalar* work)
      : channels_(channels),
        radius_(radius),
        lead_((radius + kStep - 1) / kStep * kStep),
        level_size_(WideLevelElements(channels, radius)),
        levels_(work + kLevelMargin) {}

  // Reads and writes up to kWideUnroll vectors past the end of the buffers.
  void Sum(const Scalar* values, Scalar* sums, int64_t count) const {
    for (int64_t row = 0; row < count; row += channels_) {
      if (radius_ >= channels_ - 1) {
        FillWithTotal(values + row, sums + row);
      } else {
        SumByDoubling(values + row, sums + row);
      }
    }
  }

 private:
  using V = Vec<Scalar>;
  static constexpr int kStep = kLanes<Scalar>;
  static constexpr int kUnroll = kWideUnroll;
  // Spans are doubled in registers up to kTop.
  static constexpr int kTop = kWideTopLanes * kStep;
  static constexpr int kLaneLevels = __builtin_ctz(kStep);
  static constexpr int kLevels = __builtin_ctz(kTop);
  // Vectors held for the sums of spans up to a vector, and of longer ones.
  static constexpr int kWaiting = kLaneLevels + kWideTopLanes - 1;
  static constexpr int64_t kMaxCopies = 8;

  // Takes the vectors of a padded row in order, and writes the sums of spans of
  // 2, 4, ..., kTop values.
  class Doubler {
   public:
    // How many elements the sums of the longest spans lag behind the values.
    static constexpr int64_t kDelay = kLaneLevels * kStep + kTop - kStep;

    TFLRN_MEMBER Doubler(Scalar* levels, int64_t level_size, int64_t width)
        : at_(levels), level_size_(level_size), width_(width) {}

    TFLRN_MEMBER void Put(V values) {
      Double<1>(values, at_);
      at_ += kStep;
    }

   private:
    // Takes the sums of kSpan values from the element `at` on, and combines
    // them with earlier ones, kept in last_, into longer ones.
    template <int kSpan>
    TFLRN_MEMBER void Double(V sums, Scalar* at) {
      if constexpr (kSpan < kTop) {
        V doubled;
        if constexpr (kSpan < kStep) {
          V& before = last_[__builtin_ctz(kSpan)];
          doubled = before + Shifted<kSpan>(before, sums);
          before = sums;
          at -= kStep;
        } else {
          constexpr int kVectors = kSpan / kStep;
          V* const before = last_ + kLaneLevels + kVectors - 1;
          doubled = before[0] + sums;
          for (int k = 1; k < kVectors; ++k) before[k - 1] = before[k];
          before[kVectors - 1] = sums;
          at -= kSpan;
        }
        if (2 * kSpan == kTop || (width_ & (2 * kSpan)) != 0) {
          Narrow(doubled, at + __builtin_ctz(kSpan) * level_size_);
        }
        Double<2 * kSpan>(doubled, at);
      }
    }

    Scalar* at_;
    int64_t level_size_;
    int64_t width_;
    V last_[kWaiting] = {};
  };

  void FillWithTotal(const Scalar* values, Scalar* sums) const {
    V partial = {};
    int64_t j = 0;
    for (; j + kStep <= channels_; j += kStep) partial += Widen(values + j);
    if (j < channels_) partial += FirstLanes(Widen(values + j), channels_ - j);
    const V total = AddLanes<kStep / 2>(partial);
    for (j = 0; j < channels_; j += kStep) Narrow(total, sums + j);
  }

  // The first `count` lanes; zeros replace the others, whatever they hold.
  static V FirstLanes(V value, int64_t count) {
    using Ints = typename LaneTraits<V>::Int;
    Ints lane;
    for (int k = 0; k < kStep; ++k) lane[k] = k;
    return lane < static_cast<typename LaneTraits<Scalar>::Int>(count) ? value
                                                                       : V{};
  }

  // Adds lanes that are kShift, kShift / 2, ..., 1 apart: each becomes the
  // total.
  template <int kShift>
  static V AddLanes(V sum) {
    if constexpr (kShift == 0) {
      return sum;
    } else {
      return AddLanes<kShift / 2>(sum + Shifted<kShift>(sum, sum));
    }
  }

  // The values from j on, and zeros past the end of the row.
  TFLRN_MEMBER V FromRow(const Scalar* row, int64_t j) const {
    if (j + kStep <= channels_) return Widen(row + j);
    return j < channels_ ? FirstLanes(Widen(row + j), channels_ - j) : V{};
  }

  // Level(span)[i] is the sum of `span` values from i on, in a row with zeros
  // on both sides. A window of width 2 radius + 1 is assembled from the binary
  // digits of that number, the largest first, so that most parts begin whole
  // vectors after the window does.
  void SumByDoubling(const Scalar* row, Scalar* sums) const {
    const int64_t width = 2 * radius_ + 1;
    const int64_t padded = lead_ + channels_ + radius_;
    // What the first zeros produce is never read: for the longest span it lies
    // before the buffer, for a shorter one before the first place that Add
    // reads.
    int64_t i = std::min(lead_, Doubler::kDelay);
    Doubler doubler(levels_ + i, level_size_, width);
    for (; i < lead_; i += kStep) doubler.Put(V{});
    int64_t j = 0;
    for (; j + kStep <= channels_; j += kStep) doubler.Put(Widen(row + j));
    // For each span, the last part of a window ends where the zeros do.
    const int64_t end = channels_ + radius_ + (kLaneLevels - 1) * kStep;
    for (; j < end; j += kStep) doubler.Put(FromRow(row, j));

    // Where the window of the first channel begins.
    const int64_t first = lead_ - radius_;
    const Scalar* parts[kLevels + kMaxCopies];
    int count = 0;
    // The lowest digit is 1: the last value of the window.
    int64_t start = width - 1;
    for (int span = 2; span < kTop; span *= 2) {
      if ((width & span) == 0) continue;
      start -= span;
      parts[count++] = Level(span) + first + start;
    }
    // Spans of whole vectors are doubled in place, until few are left to add.
    Scalar* const level = Level(kTop);
    int64_t span = kTop;
    int64_t copies = width / kTop;
    bool added = false;
    const auto add = [&] {
      Add(added ? nullptr : row, parts, count, sums);
      added = true;
      count = 0;
    };
    start = 0;
    for (; copies > kMaxCopies; copies /= 2, span *= 2) {
      if (copies % 2 == 1) {
        parts[count++] = level + first + start;
        add();
        start += span;
      }
      for (i = start; i + 2 * span <= padded; i += kStep) {
        Narrow(Widen(level + i) + Widen(level + i + span), level + i);
      }
    }
    for (; copies > 0; --copies, start += span) {
      parts[count++] = level + first + start;
    }
    add();
  }

  // Adds the parts to the last values of the windows of `row`, or, if it is
  // null, to the sums. Several vectors at a time stay in registers.
  void Add(const Scalar* row, const Scalar* const* parts, int count,
           Scalar* sums) const {
    for (int64_t j = 0; j < channels_; j += kUnroll * kStep) {
      V total[kUnroll];
      const bool inside = j + kUnroll * kStep + radius_ <= channels_;
      for (int k = 0; k < kUnroll; ++k) {
        const int64_t at = j + k * kStep;
        total[k] = row == nullptr ? Widen(sums + at)
                   : inside       ? Widen(row + at + radius_)
                                  : FromRow(row, at + radius_);
      }
      for (int part = 0; part < count; ++part) {
        for (int k = 0; k < kUnroll; ++k) {
          total[k] += Widen(parts[part] + j + k * kStep);
        }
      }
      for (int k = 0; k < kUnroll; ++k) Narrow(total[k], sums + j + k * kStep);
    }
  }

  Scalar* Level(int span) const {
    return levels_ + (__builtin_ctz(span) - 1) * level_size_;
  }

  int64_t channels_;
  int64_t radius_;
  int64_t lead_;  // Zeros before a row: the radius, in whole vectors.
  int64_t level_size_;
  Scalar* levels_;
};

}  // namespace
}  // namespace cpu
}  // namespace tflrn

#endif  // TFLRN_CC_CPU_WINDOWS_INL_H_
