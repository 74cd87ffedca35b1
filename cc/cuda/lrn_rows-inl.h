// The kernel of the three ops, its launch, and the choice of its version. Each
// lrn_rows_<type>.cu.cc compiles it for one element type.
//
// A block computes a tile of whole rows, so that no row waits for another block
// and an output may take the place of an input. It reads every input once and
// writes every output once; window sums pass through shared memory, or, for
// rows too long for it, through the caller's workspace.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cc/core/formulas.h"
#include "cc/core/lrn_params.h"
#include "cc/cuda/lrn_rows.h"
#include "cc/cuda/packs.h"
#include "cc/cuda/steps.h"
#include "cc/cuda/windows.h"

namespace tflrn::cuda {
namespace {

// The numbers of a launch.
struct LaunchPolicy {
  // A tile has as many rows as give this many threads a pack each.
  static constexpr int kTileThreads = 256;
  // A row of up to this many packs is a tile that stays in registers.
  static constexpr int kMaxThreads = 512;
  // What every GPU gives a block without being asked.
  static constexpr int64_t kSharedBytes = 48 * 1024;
  // Blocks that have a workspace each: about two for each multiprocessor of the
  // largest GPUs.
  static constexpr int64_t kWorkspaceBlocks = 256;
  static constexpr int64_t kMaxBlocks = int64_t{1} << 30;
  static constexpr int kWarp = 32;

  static_assert(kTileThreads <= kMaxThreads, "a tile fits into a block");
  static_assert(kTileThreads % kWarp == 0 && kMaxThreads % kWarp == 0,
                "whole warps");
};

// How many values wait for their window sums at a time, for each row.
constexpr int Windows(Op op) {
  return op == Op::kLrn ? 1 : op == Op::kLrnGrad ? 2 : 4;
}

template <class V>
int64_t WindowBytesPerRow(Op op, int64_t channels, int64_t radius) {
  const int64_t elements =
      radius <= kMaxTapRadius
          ? TapWindow<V, 1, kMaxTapRadius, int64_t>::ElementsPerRow(channels,
                                                                    radius)
          : WideWindow<V, 1, int64_t>::ElementsPerRow(channels, radius);
  return Windows(op) * elements * static_cast<int64_t>(sizeof(V));
}

template <class Steps>
struct KernelArgs {
  const typename Steps::Type* inputs[Steps::kInputs];
  typename Steps::Type* outputs[Steps::kOutputs];
  int64_t rows;
  int64_t channels;
  int64_t radius;
  int64_t rows_per_tile;
  typename Steps::Coefficients coefficients;
  void* workspace;  // WindowBytesPerRow for each block, or null.
};

// kOnce: a thread has one pack of a tile at most, and keeps it in registers.
// Otherwise it reads its packs again in each round, from a cache.
template <bool kOnce, class Index, class Function>
__device__ __forceinline__ void ForEachPack(Index packs,
                                            const Function& function) {
  if constexpr (kOnce) {
    if (static_cast<Index>(threadIdx.x) < packs) function(Index(threadIdx.x));
  } else {
    for (Index i = threadIdx.x; i < packs; i += blockDim.x) function(i);
  }
}

template <class Steps, class Window, class Index, bool kOnce>
__global__ void __launch_bounds__(LaunchPolicy::kMaxThreads)
    RowsKernel(const KernelArgs<Steps> args) {
  using V = typename Steps::V;
  constexpr int kLanes = Steps::kLanes;
  constexpr int kWindows = Steps::kWindows;
  extern __shared__ __align__(16) unsigned char tflrn_shared[];

  const Index channels = static_cast<Index>(args.channels);
  const Index radius = static_cast<Index>(args.radius);
  const Index tile_rows = static_cast<Index>(args.rows_per_tile);
  const Index packs_per_row = channels / kLanes;
  const int64_t window_elements =
      args.rows_per_tile * Window::ElementsPerRow(args.channels, args.radius);

  V* memory = reinterpret_cast<V*>(tflrn_shared);
  if constexpr (!kOnce) {
    if (args.workspace != nullptr) {
      memory = static_cast<V*>(args.workspace) +
               blockIdx.x * Windows(Steps::kOp) * window_elements;
    }
  }
  // Each round has windows of its own, so that none waits for the last one's
  // sums.
  Window windows[Windows(Steps::kOp)];
  TFLRN_UNROLL
  for (int w = 0; w < Windows(Steps::kOp); ++w) {
    windows[w] =
        Window(memory + w * window_elements, tile_rows, channels, radius);
  }
  Window* const first_windows = windows;
  Window* const last_windows = windows + (Steps::kRounds - 1) * kWindows;

  Steps steps;
  typename Steps::Values values;
  const auto put = [&](Window* windows, Index row, Index channel) {
    TFLRN_UNROLL
    for (int w = 0; w < kWindows; ++w) windows[w].Put(row, channel, values[w]);
  };
  const auto sum = [&](const Window* windows, Index row, Index channel) {
    TFLRN_UNROLL
    for (int w = 0; w < kWindows; ++w) windows[w].Sum(row, channel, values[w]);
  };
  const auto prepare = [&](Window* windows) {
    TFLRN_UNROLL
    for (int w = 0; w < kWindows; ++w) windows[w].Prepare();
  };
  const auto second = [&](Index row, Index channel) {
    if constexpr (Steps::kRounds == 2) {
      sum(first_windows, row, channel);
      steps.Second(args.coefficients, values);
    }
  };

  for (int64_t begin = blockIdx.x * args.rows_per_tile; begin < args.rows;
       begin += gridDim.x * args.rows_per_tile) {
    const int64_t rows_left = args.rows - begin;
    const Index rows =
        rows_left < tile_rows ? static_cast<Index>(rows_left) : tile_rows;
    const Index packs = rows * packs_per_row;
    const int64_t offset = begin * args.channels;

    ForEachPack<kOnce>(packs, [&](Index i) {
      steps.LoadInputs(args.inputs, offset + i * kLanes);
      steps.First(values);
      put(first_windows, i / packs_per_row, i % packs_per_row * kLanes);
    });
    prepare(first_windows);
    if constexpr (Steps::kRounds == 2) {
      ForEachPack<kOnce>(packs, [&](Index i) {
        const Index row = i / packs_per_row;
        const Index channel = i % packs_per_row * kLanes;
        if constexpr (!kOnce) {
          steps.LoadInputs(args.inputs, offset + i * kLanes);
        }
        second(row, channel);
        put(last_windows, row, channel);
      });
      prepare(last_windows);
    }
    ForEachPack<kOnce>(packs, [&](Index i) {
      const Index row = i / packs_per_row;
      const Index channel = i % packs_per_row * kLanes;
      if constexpr (!kOnce) {
        steps.LoadInputs(args.inputs, offset + i * kLanes);
        second(row, channel);
      }
      sum(last_windows, row, channel);
      steps.Finish(args.coefficients, values, args.outputs,
                   offset + i * kLanes);
    });
    __syncthreads();  // The next tile takes over the windows.
  }
}

template <class Steps>
bool IsAligned(const KernelArgs<Steps>& args) {
  constexpr uintptr_t kMask = sizeof(typename Steps::Type) * Steps::kLanes - 1;
  const auto aligned = [](const void* p) {
    return (reinterpret_cast<uintptr_t>(p) & kMask) == 0;
  };
  return args.channels % Steps::kLanes == 0 &&
         std::all_of(std::begin(args.inputs), std::end(args.inputs), aligned) &&
         std::all_of(std::begin(args.outputs), std::end(args.outputs), aligned);
}

template <class Steps, class Window, class Index, bool kOnce>
int LaunchKernel(const KernelArgs<Steps>& args, int64_t blocks, int threads,
                 int64_t shared_bytes, Stream stream) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, RowsKernel<Steps, Window, Index, kOnce>,
                            args);
}

// Rows that fit into the registers and the shared memory of a block.
template <class Steps, template <class, int, class> class WindowOf>
int LaunchOnce(KernelArgs<Steps> args, int64_t bytes_per_row, Stream stream) {
  const int64_t packs_per_row = args.channels / Steps::kLanes;
  args.rows_per_tile = std::max<int64_t>(
      1, std::min({LaunchPolicy::kTileThreads / packs_per_row,
                   LaunchPolicy::kSharedBytes / bytes_per_row, args.rows}));
  const int64_t packs = args.rows_per_tile * packs_per_row;
  const int threads = RoundUp(static_cast<int>(packs), LaunchPolicy::kWarp);
  const int64_t tiles =
      (args.rows + args.rows_per_tile - 1) / args.rows_per_tile;
  return LaunchKernel<Steps, WindowOf<typename Steps::V, Steps::kLanes, int>,
                      int, true>(
      args, std::min(tiles, LaunchPolicy::kMaxBlocks), threads,
      args.rows_per_tile * bytes_per_row, stream);
}

// Longer rows: a block loops over one at a time.
template <class Steps, template <class, int, class> class WindowOf>
int LaunchLoop(KernelArgs<Steps> args, int64_t bytes_per_row, Stream stream) {
  const bool shared = bytes_per_row <= LaunchPolicy::kSharedBytes;
  if (shared) args.workspace = nullptr;
  args.rows_per_tile = 1;
  const int64_t blocks =
      std::min(args.rows, shared ? LaunchPolicy::kMaxBlocks
                                 : LaunchPolicy::kWorkspaceBlocks);
  return LaunchKernel<Steps, WindowOf<typename Steps::V, 1, int64_t>, int64_t,
                      false>(args, blocks, LaunchPolicy::kMaxThreads,
                             shared ? bytes_per_row : 0, stream);
}

template <class V, int kLanes, class Index>
using AnyTap = TapWindow<V, kLanes, kMaxTapRadius, Index>;
// The radius of AlexNet and GoogLeNet, and TensorFlow's default.
template <class V, int kLanes, class Index>
using Tap2 = TapWindow<V, kLanes, 2, Index>;
template <class V, int kLanes, class Index>
using Tap5 = TapWindow<V, kLanes, 5, Index>;

template <class To, class From>
KernelArgs<To> WithSteps(const KernelArgs<From>& from) {
  KernelArgs<To> to;
  std::copy(std::begin(from.inputs), std::end(from.inputs), to.inputs);
  std::copy(std::begin(from.outputs), std::end(from.outputs), to.outputs);
  to.rows = from.rows;
  to.channels = from.channels;
  to.radius = from.radius;
  to.rows_per_tile = from.rows_per_tile;
  to.coefficients = from.coefficients;
  to.workspace = from.workspace;
  return to;
}

// The versions, the best first. All give the same result, but for rounding.
template <template <class, int, bool> class StepsOf, class T>
int Launch(const LrnParams& params, KernelArgs<StepsOf<T, 1, false>> args,
           Stream stream) {
  constexpr int kLanes = kPackBytes / sizeof(T);
  using Plain = StepsOf<T, kLanes, true>;
  using General = StepsOf<T, kLanes, false>;
  using Single = StepsOf<T, 1, false>;
  using V = typename Single::V;

  if (args.rows == 0 || args.channels == 0) return cudaSuccess;
  args.radius = EffectiveRadius(params.depth_radius, args.channels);
  args.coefficients = MakeCoefficients<V>(params);
  const bool tap = args.radius <= kMaxTapRadius;
  const int64_t bytes =
      WindowBytesPerRow<V>(Single::kOp, args.channels, args.radius);
  const bool shared = bytes <= LaunchPolicy::kSharedBytes;

  const auto general = WithSteps<General>(args);
  if (shared && IsAligned(general) &&
      args.channels / kLanes <= LaunchPolicy::kMaxThreads) {
    if (HasPlainPower(params.bias, params.alpha, params.beta)) {
      const auto plain = WithSteps<Plain>(args);
      if (args.radius == 2)
        return LaunchOnce<Plain, Tap2>(plain, bytes, stream);
      if (args.radius == 5)
        return LaunchOnce<Plain, Tap5>(plain, bytes, stream);
      if (tap) return LaunchOnce<Plain, AnyTap>(plain, bytes, stream);
      return LaunchOnce<Plain, WideWindow>(plain, bytes, stream);
    }
    if (tap) return LaunchOnce<General, AnyTap>(general, bytes, stream);
    return LaunchOnce<General, WideWindow>(general, bytes, stream);
  }
  if (shared && args.channels <= LaunchPolicy::kMaxThreads) {
    if (tap) return LaunchOnce<Single, AnyTap>(args, bytes, stream);
    return LaunchOnce<Single, WideWindow>(args, bytes, stream);
  }
  if (tap) return LaunchLoop<Single, AnyTap>(args, bytes, stream);
  return LaunchLoop<Single, WideWindow>(args, bytes, stream);
}

}  // namespace

template <class T>
size_t WorkspaceBytes(Op op, const LrnParams& params, int64_t rows,
                      int64_t channels) {
  if (rows == 0 || channels == 0) return 0;
  const int64_t bytes = WindowBytesPerRow<typename ComputeType<T>::type>(
      op, channels, EffectiveRadius(params.depth_radius, channels));
  if (bytes <= LaunchPolicy::kSharedBytes) return 0;
  return static_cast<size_t>(std::min(rows, LaunchPolicy::kWorkspaceBlocks) *
                             bytes);
}

template <class T>
int LaunchLrn(const LrnParams& params, const T* x, T* y, int64_t rows,
              int64_t channels, void* workspace, Stream stream) {
  return Launch<LrnSteps, T>(
      params, {{x}, {y}, rows, channels, 0, 0, {}, workspace}, stream);
}

template <class T>
int LaunchLrnGrad(const LrnParams& params, const T* dy, const T* x, const T* y,
                  T* dx, int64_t rows, int64_t channels, void* workspace,
                  Stream stream) {
  return Launch<LrnGradSteps, T>(
      params, {{dy, x, y}, {dx}, rows, channels, 0, 0, {}, workspace}, stream);
}

template <class T>
int LaunchLrnGradGrad(const LrnParams& params, const T* u, const T* dy,
                      const T* x, const T* y, T* d_dy, T* d_x, T* d_y,
                      int64_t rows, int64_t channels, void* workspace,
                      Stream stream) {
  return Launch<LrnGradGradSteps, T>(
      params,
      {{u, dy, x, y}, {d_dy, d_x, d_y}, rows, channels, 0, 0, {}, workspace},
      stream);
}

#define TFLRN_INSTANTIATE(T)                                                  \
  template size_t WorkspaceBytes<T>(Op, const LrnParams&, int64_t, int64_t);  \
  template int LaunchLrn<T>(const LrnParams&, const T*, T*, int64_t, int64_t, \
                            void*, Stream);                                   \
  template int LaunchLrnGrad<T>(const LrnParams&, const T*, const T*,         \
                                const T*, T*, int64_t, int64_t, void*,        \
                                Stream);                                      \
  template int LaunchLrnGradGrad<T>(const LrnParams&, const T*, const T*,     \
                                    const T*, const T*, T*, T*, T*, int64_t,  \
                                    int64_t, void*, Stream)

}  // namespace tflrn::cuda
