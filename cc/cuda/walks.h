// Which packs of a tile a thread takes. A tile is whole rows. A thread visits
// its packs several times; if the walk has kKeeps, it has at most one, which
// stays in registers between visits.
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
// kEven   rows consist of whole packs, and begin aligned to them.
template <int kLanes, bool kEven>
class RowWalk {
 public:
  using Index = int;
  static constexpr bool kKeeps = true;

  // even: kEven holds.
  __device__ RowWalk(int rows, int channels, bool even)
      : rows_(rows), channels_(channels), even_(kEven || even) {
    if constexpr (kEven) {
      exists_ = Exists();
      place_ = ComputePlace();
    }
  }

  template <class Function>
  __device__ void ForEach(const Function& function) const {
    if constexpr (kEven) {
      if (exists_) function(place_);
    } else {
      if (Exists()) function(ComputePlace());
    }
  }

 private:
  __device__ bool Exists() const { return int(threadIdx.y) < rows_; }

  __device__ Place<int> ComputePlace() const {
    const int row = threadIdx.y;
    const int channel = threadIdx.x * kLanes;
    const int left = channels_ - channel;
    return {row,
            channel,
            int(threadIdx.x),
            row * channels_ + channel,
            {even_, left < kLanes ? left : kLanes}};
  }

  int rows_;
  int channels_;
  bool even_;
  // Where kEven, which saves instructions. In other rows, keeping them takes
  // too many registers.
  bool exists_;
  Place<int> place_;
};

// For one row of any length, value by value. The block reads it again, from a
// cache, on each visit.
class LoopWalk {
 public:
  using Index = int64_t;
  static constexpr bool kKeeps = false;

  __device__ LoopWalk(int64_t, int64_t channels, bool) : channels_(channels) {}

  template <class Function>
  __device__ void ForEach(const Function& function) const {
    for (int64_t channel = threadIdx.x; channel < channels_;
         channel += blockDim.x) {
      function(Place<int64_t>{0, channel, channel, channel, {true, 1}});
    }
  }

 private:
  int64_t channels_;
};

}  // namespace tflrn::cuda

#endif  // TFLRN_CC_CUDA_WALKS_H_
