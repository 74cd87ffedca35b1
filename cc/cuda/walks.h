// Which packs of a tile a thread takes. A tile is whole rows. A thread visits
// its packs several times; if the walk has kKeeps, it has at most one, which
// stays in registers between visits. If it has kAcrossRows, packs may cross the
// ends of rows.
//
//   ForEach(function)   calls function(place) for each of the thread's packs
#ifndef TFLRN_CC_CUDA_WALKS_H_
#define TFLRN_CC_CUDA_WALKS_H_

#include <cstdint>

#include "cc/cuda/packs.h"
#include "cc/cuda/runtime.h"
#include "cc/cuda/windows.h"

namespace tflrn::cuda {

// For rows of at most blockDim.x packs: threadIdx.x is the pack of a row, and
// threadIdx.y is the row.
//
// kWholePacks   rows consist of whole packs, and tiles begin aligned to them.
template <int kLanes, bool kWholePacks>
class RowWalk {
 public:
  using Index = int;
  static constexpr bool kKeeps = true;
  static constexpr bool kAcrossRows = false;

  // aligned: kWholePacks holds.
  __device__ RowWalk(int rows, int channels, bool aligned)
      : rows_(rows), channels_(channels), whole_(kWholePacks || aligned) {}

  template <class Function>
  __device__ void ForEach(const Function& function) const {
    const int row = threadIdx.y;
    const int channel = threadIdx.x * kLanes;
    if (row >= rows_) return;
    const int left = channels_ - channel;
    function(Place<int>{row,
                        channel,
                        int(threadIdx.x),
                        row * channels_ + channel,
                        {whole_, left < kLanes ? left : kLanes}});
  }

 private:
  int rows_;
  int channels_;
  bool whole_;
};

// For all rows that fit into the registers of a block. Packs are contiguous
// values of the tile and may cross rows, so that accesses are wide for any
// number of channels.
template <int kLanes>
class TileWalk {
 public:
  using Index = int;
  static constexpr bool kKeeps = true;
  static constexpr bool kAcrossRows = true;

  // aligned: tiles begin aligned to packs.
  __device__ TileWalk(int rows, int channels, bool aligned)
      : elements_(rows * channels), channels_(channels), aligned_(aligned) {}

  template <class Function>
  __device__ void ForEach(const Function& function) const {
    const int pack = threadIdx.x;
    const int offset = pack * kLanes;
    const int left = elements_ - offset;
    if (left <= 0) return;
    const Lanes lanes = {aligned_ && left >= kLanes,
                         left < kLanes ? left : kLanes};
    function(Place<int>{0, offset % channels_, pack, offset, lanes});
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
  static constexpr bool kAcrossRows = false;

  __device__ LoopWalk(int64_t rows, int64_t channels, bool)
      : rows_(rows), channels_(channels) {}

  template <class Function>
  __device__ void ForEach(const Function& function) const {
    const int64_t row = threadIdx.y;
    if (row >= rows_) return;
    for (int64_t channel = threadIdx.x; channel < channels_;
         channel += blockDim.x) {
      function(Place<int64_t>{
          row, channel, channel, row * channels_ + channel, {true, 1}});
    }
  }

 private:
  int64_t rows_;
  int64_t channels_;
};

}  // namespace tflrn::cuda

#endif  // TFLRN_CC_CUDA_WALKS_H_
