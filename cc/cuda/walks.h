// Which packs of a tile a thread takes. A tile is whole rows. A thread visits
// its packs several times; if the walk has kKeeps, they stay in registers
// between visits.
//
//   ForEach(function)   calls function(i, place) for each of the thread's
//                       packs, where i < kKept is its index among those kept
#ifndef TFLRN_CC_CUDA_WALKS_H_
#define TFLRN_CC_CUDA_WALKS_H_

#include <cstdint>

#include "cc/cuda/packs.h"
#include "cc/cuda/runtime.h"
#include "cc/cuda/windows.h"

namespace tflrn::cuda {

// For rows of whole, aligned packs: blockDim.x is the number of packs in a row,
// and a thread takes the same pack of every blockDim.y-th row.
template <int kLanes, int kPacks>
class RowWalk {
 public:
  using Index = int;
  static constexpr bool kKeeps = true;
  static constexpr int kKept = kPacks;

  __device__ RowWalk(int rows, int channels, bool)
      : rows_(rows), channels_(channels) {}

  template <class Function>
  __device__ void ForEach(const Function& function) const {
    TFLRN_UNROLL
    for (int i = 0; i < kPacks; ++i) {
      const int row = threadIdx.y + i * blockDim.y;
      const int channel = threadIdx.x * kLanes;
      if (row < rows_) {
        function(i, Place<int>{row,
                               channel,
                               int(threadIdx.x),
                               row * channels_ + channel,
                               {true, kLanes}});
      }
    }
  }

 private:
  int rows_;
  int channels_;
};

// For all rows that fit into the registers of a block. Packs are contiguous
// values of the tile and may cross rows, so that accesses are wide for any
// number of channels.
template <int kLanes, int kPacks>
class TileWalk {
 public:
  using Index = int;
  static constexpr bool kKeeps = true;
  static constexpr int kKept = kPacks;

  // aligned: tiles begin aligned to packs.
  __device__ TileWalk(int rows, int channels, bool aligned)
      : elements_(rows * channels), channels_(channels), aligned_(aligned) {}

  template <class Function>
  __device__ void ForEach(const Function& function) const {
    TFLRN_UNROLL
    for (int i = 0; i < kPacks; ++i) {
      const int pack = threadIdx.x + i * blockDim.x;
      const int offset = pack * kLanes;
      const int left = elements_ - offset;
      if (left > 0) {
        const Lanes lanes = {aligned_ && left >= kLanes,
                             left < kLanes ? left : kLanes};
        function(i, Place<int>{0, offset % channels_, pack, offset, lanes});
      }
    }
  }

 private:
  int elements_;
  int channels_;
  bool aligned_;
};

// For rows of any length, value by value: a block takes blockDim.y rows, and
// reads them again, from a cache, on each visit.
class LoopWalk {
 public:
  using Index = int64_t;
  static constexpr bool kKeeps = false;
  static constexpr int kKept = 1;

  __device__ LoopWalk(int64_t rows, int64_t channels, bool)
      : rows_(rows), channels_(channels) {}

  template <class Function>
  __device__ void ForEach(const Function& function) const {
    const int64_t row = threadIdx.y;
    if (row >= rows_) return;
    for (int64_t channel = threadIdx.x; channel < channels_;
         channel += blockDim.x) {
      function(
          0, Place<int64_t>{
                 row, channel, channel, row * channels_ + channel, {true, 1}});
    }
  }

 private:
  int64_t rows_;
  int64_t channels_;
};

}  // namespace tflrn::cuda

#endif  // TFLRN_CC_CUDA_WALKS_H_
