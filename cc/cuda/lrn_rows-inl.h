// The kernel of the ops, its launch, and the choice of its version. Each
// lrn_rows_<type>.cu.cc compiles it for one element type.
//
// A block computes a tile of whole rows, so no row waits for another block, and
// an output may overwrite an input. It reads every input once and writes every
// output once; window sums pass through shared memory, or, for rows too long
// for it, through the caller's workspace. docs/gpu.md describes the design and
// gives its numbers.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "cc/core/formulas.h"
#include "cc/core/lrn_params.h"
#include "cc/cuda/lrn_rows.h"
#include "cc/cuda/norm_power.h"
#include "cc/cuda/packs.h"
#include "cc/cuda/runtime.h"
#include "cc/cuda/steps.h"
#include "cc/cuda/walks.h"
#include "cc/cuda/windows.h"

// Overridden by measurements.
#ifndef TFLRN_TILE_THREADS
#define TFLRN_TILE_THREADS 128
#endif

// Not an unnamed namespace: nvcc would then put the build folder's path into
// the kernels' names, and no two builds would produce the same library.
namespace tflrn::cuda {

// The powers that a kernel computes. Plain: those with HasPlainNormPower.
enum class Powers { kPlain, kOthers, kAll };

// The constants of a launch.
struct LaunchPolicy {
  // A tile has enough rows for about this many threads: few, so that while one
  // block of a multiprocessor waits at a barrier, others load.
  static constexpr int kTileThreads = TFLRN_TILE_THREADS;
  // Of a block, at most. Rows of up to this many packs stay in registers.
  static constexpr int kMaxThreads = 512;
  // The shared memory that a block gets on every GPU without opting in.
  static constexpr int64_t kSharedBytes = 48 * 1024;
  // Blocks with a workspace, at most: about two per multiprocessor of the
  // largest GPUs.
  static constexpr int64_t kWorkspaceBlocks = 256;
  static constexpr int64_t kMaxBlocks = int64_t{1} << 30;
  static constexpr int kWarp = 32;

  // Blocks of kMaxThreads that must fit into a multiprocessor's registers, to
  // keep enough loads in flight; 1 where that would spill with nvcc 13.0.
  template <class Steps, class Window, class Walk, Powers kPowers>
  static constexpr int MinBlocks() {
    constexpr size_t kBytes = sizeof(typename Steps::Type);
    constexpr bool kWide = Window::kLargestRadius > kMaxTapRadius;
    if (Steps::kOp == Op::kLrn || kBytes == sizeof(float)) return 2;
    if (!Walk::kKeeps && !kWide) return 2;
    if (Steps::kOp == Op::kLrnGrad) {
      return kBytes < sizeof(float) ? (Walk::kAcrossRows ? 1 : 2)
                                    : (Walk::kKeeps ? 2 : 1);
    }
    if (Window::kLargestRadius > 2) return 1;
    if (kBytes > sizeof(float)) return 2;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    return 1;
#else
    return kPowers == Powers::kOthers ? 1 : 2;
#endif
  }

  static_assert(kTileThreads <= kMaxThreads, "a tile fits into a block");
  static_assert(kTileThreads % kWarp == 0 && kMaxThreads % kWarp == 0,
                "whole warps");
};

// The values stored per channel for window sums, over all rounds.
constexpr int Windows(Op op) {
  return op == Op::kLrn ? 1 : op == Op::kLrnGradGrad ? 4 : 2;
}

template <class Steps>
struct KernelArgs {
  const typename Steps::Type* inputs[Steps::kInputs];
  typename Steps::Type* outputs[Steps::kOutputs];
  int64_t rows;
  int64_t channels;
  void* workspace;  // WindowBytes of a tile per block, or null.

  int64_t radius = 0;
  int64_t rows_per_tile = 0;
  typename Steps::Coefficients coefficients = {};
  bool plain_power = false;  // HasPlainNormPower
  bool aligned = false;      // All tiles begin aligned to packs.
};

template <class Steps, class Window, class Walk, Powers kPowers>
__global__ void __launch_bounds__(
    LaunchPolicy::kMaxThreads,
    LaunchPolicy::MinBlocks<Steps, Window, Walk, kPowers>())
    RowsKernel(const KernelArgs<Steps> args) {
  using V = typename Steps::V;
  using Index = typename Walk::Index;
  constexpr int kRounds = Steps::kRounds;
  constexpr int kWindows = Steps::kWindows;
  extern __shared__ __align__(16) unsigned char tflrn_shared[];

  const Index channels = static_cast<Index>(args.channels);
  const Index tile_rows = static_cast<Index>(args.rows_per_tile);
  const int64_t window_elements =
      Window::Elements(args.rows_per_tile, args.channels, args.radius);

  V* memory = reinterpret_cast<V*>(tflrn_shared);
  if constexpr (!Walk::kKeeps) {
    if (args.workspace != nullptr) {
      memory = static_cast<V*>(args.workspace) +
               blockIdx.x * Windows(Steps::kOp) * window_elements;
    }
  }
  // Each round has its own windows. Shared ones would need a barrier between
  // one round's Sum and the next round's Put.
  Window windows[kRounds][kWindows];
  TFLRN_UNROLL
  for (int round = 0; round < kRounds; ++round) {
    TFLRN_UNROLL
    for (int w = 0; w < kWindows; ++w) {
      windows[round][w] =
          Window(memory + (round * kWindows + w) * window_elements, tile_rows,
                 channels, static_cast<Index>(args.radius));
    }
  }

  Steps steps;
  typename Steps::Values values;
  const auto put = [&](int round, const Place<Index>& place) {
    TFLRN_UNROLL
    for (int w = 0; w < kWindows; ++w) windows[round][w].Put(place, values[w]);
  };
  const auto sum = [&](int round, const Place<Index>& place) {
    TFLRN_UNROLL
    for (int w = 0; w < kWindows; ++w) windows[round][w].Sum(place, values[w]);
  };
  const auto prepare = [&](int round) {
    TFLRN_UNROLL
    for (int w = 0; w < kWindows; ++w) windows[round][w].Prepare();
  };

  // Computes the tile that begins with row `begin`.
  const auto compute_tile = [&](int64_t begin) {
    const int64_t rows_left = args.rows - begin;
    const Index rows =
        rows_left < tile_rows ? static_cast<Index>(rows_left) : tile_rows;
    const int64_t offset = begin * args.channels;
    const Walk walk(rows, channels, args.aligned);

    const auto load = [&](const Place<Index>& place) {
      steps.LoadInputs(args.inputs, offset + place.offset, place.lanes);
    };
    // The sums of the first round, which give the norms, and what follows.
    const auto with_norms = [&](const Place<Index>& place) {
      if constexpr (!Walk::kKeeps) {
        load(place);
        steps.FirstValues(values);
      }
      sum(0, place);
      if (kPowers == Powers::kAll ? args.plain_power
                                  : kPowers == Powers::kPlain) {
        steps.template WithNorms<true>(args.coefficients, values);
      } else {
        steps.template WithNorms<false>(args.coefficients, values);
      }
    };
    const auto finish = [&](const Place<Index>& place) {
      steps.Finish(args.coefficients, values, args.outputs,
                   offset + place.offset, place.lanes);
    };

    walk.ForEach([&](const Place<Index>& place) {
      load(place);
      steps.FirstValues(values);
      put(0, place);
    });
    prepare(0);
    if constexpr (kRounds == 1) {
      walk.ForEach([&](const Place<Index>& place) {
        with_norms(place);
        finish(place);
      });
    } else {
      walk.ForEach([&](const Place<Index>& place) {
        with_norms(place);
        put(1, place);
      });
      prepare(1);
      walk.ForEach([&](const Place<Index>& place) {
        if constexpr (!Walk::kKeeps) with_norms(place);
        sum(1, place);
        finish(place);
      });
    }
  };
  const int64_t first_tile = blockIdx.x * args.rows_per_tile;
  if constexpr (Walk::kKeeps) {
    // No loop: it would keep what tiles share in registers, up to 80 more.
    compute_tile(first_tile);
  } else {
    for (int64_t begin = first_tile; begin < args.rows;
         begin += gridDim.x * args.rows_per_tile) {
      // Other threads may still be reading the last tile's sums.
      if (begin != first_tile) __syncthreads();
      compute_tile(begin);
    }
  }
}

// The bytes of the windows of a tile.
template <class Window, class V>
int64_t WindowBytes(Op op, int64_t rows, int64_t channels, int64_t radius) {
  return Windows(op) * Window::Elements(rows, channels, radius) *
         static_cast<int64_t>(sizeof(V));
}

// The number of rows whose windows fit into shared memory together.
template <class Window, class V>
int64_t RowsInSharedMemory(Op op, int64_t channels, int64_t radius) {
  const int64_t one = WindowBytes<Window, V>(op, 1, channels, radius);
  if (one > LaunchPolicy::kSharedBytes) return 0;
  const int64_t more = WindowBytes<Window, V>(op, 2, channels, radius) - one;
  // Where packs cross rows, another short row may add a pack or nothing.
  return 1 + (LaunchPolicy::kSharedBytes - one) / std::max<int64_t>(1, more);
}

template <class Steps>
int64_t Tiles(const KernelArgs<Steps>& args) {
  return (args.rows + args.rows_per_tile - 1) / args.rows_per_tile;
}

template <class Steps, class Window, class Walk>
int LaunchKernel(const KernelArgs<Steps>& args, int64_t blocks, dim3 threads,
                 Stream stream) {
  const int64_t shared_bytes =
      args.workspace != nullptr
          ? 0
          : WindowBytes<Window, typename Steps::V>(
                Steps::kOp, args.rows_per_tile, args.channels, args.radius);
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = threads;
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = stream;
  if constexpr (Walk::kKeeps && !Walk::kAcrossRows) {
    // One kernel for both would give plain powers the registers of the others,
    // which need more. In the other versions the windows need the most.
    return cudaLaunchKernelEx(
        &config,
        args.plain_power ? RowsKernel<Steps, Window, Walk, Powers::kPlain>
                         : RowsKernel<Steps, Window, Walk, Powers::kOthers>,
        args);
  } else {
    return cudaLaunchKernelEx(
        &config, RowsKernel<Steps, Window, Walk, Powers::kAll>, args);
  }
}

// The versions. Each launches if it applies, and returns whether it did.

template <class Steps>
using TileWindow =
    TapWindow<typename Steps::V, Steps::kLanes, kMaxTapRadius, true, int>;

// For rows of at most kMaxThreads packs, with the given kind of window.
template <class Steps, class Window>
bool LaunchRows(KernelArgs<Steps> args, Stream stream, int* error) {
  using V = typename Steps::V;
  using Walk = RowWalk<Steps::kLanes, Window::kWholePacks>;
  const int64_t packs_per_row = DivideUp(args.channels, Steps::kLanes);
  const int64_t shared =
      RowsInSharedMemory<Window, V>(Steps::kOp, args.channels, args.radius);
  args.aligned = args.aligned && args.channels % Steps::kLanes == 0;
  if ((Window::kWholePacks && !args.aligned) ||
      packs_per_row > LaunchPolicy::kMaxThreads || shared == 0) {
    return false;
  }
  // Unaligned rows of this length must go to the tile version, which adds in
  // the same order as this one: the loop version does not.
  if (Window::kWholePacks && RowsInSharedMemory<TileWindow<Steps>, V>(
                                 Steps::kOp, args.channels, args.radius) == 0) {
    return false;
  }
  const int64_t busy =
      std::max<int64_t>(1, LaunchPolicy::kTileThreads / packs_per_row);
  int64_t rows = std::min({busy, shared, args.rows});
  // The fewest rows that make whole warps.
  const int64_t whole =
      LaunchPolicy::kWarp / std::gcd(packs_per_row, LaunchPolicy::kWarp);
  if (rows >= whole) rows -= rows % whole;
  args.rows_per_tile = rows;
  args.workspace = nullptr;
  if (Tiles(args) > LaunchPolicy::kMaxBlocks) return false;
  const dim3 threads(static_cast<unsigned>(packs_per_row),
                     static_cast<unsigned>(args.rows_per_tile));
  *error =
      LaunchKernel<Steps, Window, Walk>(args, Tiles(args), threads, stream);
  return true;
}

// For any other rows that fit into a block, with a radius up to kMaxTapRadius.
template <class Steps>
bool LaunchTiles(KernelArgs<Steps> args, Stream stream, int* error) {
  using Window = TileWindow<Steps>;
  constexpr int64_t kLanes = Steps::kLanes;
  constexpr int64_t kMaxElements = LaunchPolicy::kMaxThreads * kLanes;
  const int64_t shared = RowsInSharedMemory<Window, typename Steps::V>(
      Steps::kOp, args.channels, args.radius);
  if (args.radius > kMaxTapRadius || args.channels > kMaxElements ||
      shared == 0) {
    return false;
  }
  const int64_t busy =
      std::max<int64_t>(1, LaunchPolicy::kTileThreads * kLanes / args.channels);
  int64_t rows = std::min({busy, shared, args.rows});
  // The fewest rows that make whole packs.
  const int64_t whole = kLanes / std::gcd(args.channels, kLanes);
  if (rows >= whole) {
    rows -= rows % whole;
  } else if (whole <= shared && whole * args.channels <= kMaxElements) {
    rows = whole;
  }
  args.rows_per_tile = rows;
  args.aligned = args.aligned && (rows % whole == 0 || rows >= args.rows);
  args.workspace = nullptr;
  if (Tiles(args) > LaunchPolicy::kMaxBlocks) return false;
  const int64_t packs = DivideUp(rows * args.channels, kLanes);
  *error = LaunchKernel<Steps, Window, TileWalk<Steps::kLanes>>(
      args, Tiles(args), dim3(static_cast<unsigned>(packs)), stream);
  return true;
}

template <class V>
using LoopTaps = TapWindow<V, 1, kMaxTapRadius, false, int64_t>;
template <class V>
using LoopWide = WideLoopWindow<V, int64_t>;

// For everything else: rows of any length and radius.
template <class Steps, class Window>
int LaunchLoop(KernelArgs<Steps> args, Stream stream) {
  const int64_t shared = RowsInSharedMemory<Window, typename Steps::V>(
      Steps::kOp, args.channels, args.radius);
  const int64_t width = std::min<int64_t>(
      LaunchPolicy::kMaxThreads, (args.channels + LaunchPolicy::kWarp - 1) /
                                     LaunchPolicy::kWarp * LaunchPolicy::kWarp);
  const int64_t rows_at_once =
      std::max<int64_t>(1, LaunchPolicy::kTileThreads / width);
  args.rows_per_tile =
      shared == 0 ? 1 : std::min({rows_at_once, shared, args.rows});
  if (shared != 0) args.workspace = nullptr;
  const dim3 threads(static_cast<unsigned>(width),
                     static_cast<unsigned>(args.rows_per_tile));
  const int64_t blocks =
      shared != 0 ? LaunchPolicy::kMaxBlocks : LaunchPolicy::kWorkspaceBlocks;
  return LaunchKernel<Steps, Window, LoopWalk>(
      args, std::min(Tiles(args), blocks), threads, stream);
}

template <class To, class From>
KernelArgs<To> WithSteps(const KernelArgs<From>& from) {
  KernelArgs<To> to;
  std::copy(std::begin(from.inputs), std::end(from.inputs), to.inputs);
  std::copy(std::begin(from.outputs), std::end(from.outputs), to.outputs);
  to.rows = from.rows;
  to.channels = from.channels;
  to.workspace = from.workspace;
  to.radius = from.radius;
  to.coefficients = from.coefficients;
  to.plain_power = from.plain_power;
  to.aligned = from.aligned;
  return to;
}

// Launches the best version that applies. All give the same result, except for
// rounding.
template <template <class, int> class StepsOf, class T>
int Launch(const LrnParams& params,
           KernelArgs<StepsOf<T, kPackBytes / sizeof(T)>> args, Stream stream) {
  constexpr int kLanes = kPackBytes / sizeof(T);
  using Steps = StepsOf<T, kLanes>;
  using Single = StepsOf<T, 1>;
  using V = typename Steps::V;

  if (args.rows == 0 || args.channels == 0) return cudaSuccess;
  args.radius = EffectiveRadius(params.depth_radius, args.channels);
  args.coefficients = MakeCoefficients<V>(params);
  args.plain_power = HasPlainNormPower(params);
  const auto aligned = [](const void* pointer) {
    return reinterpret_cast<uintptr_t>(pointer) % kPackBytes == 0;
  };
  args.aligned =
      std::all_of(std::begin(args.inputs), std::end(args.inputs), aligned) &&
      std::all_of(std::begin(args.outputs), std::end(args.outputs), aligned);

  int error = cudaSuccess;
  if (args.radius == 2) {
    using Window = TapWindow<V, kLanes, 2, false, int>;
    if (LaunchRows<Steps, Window>(args, stream, &error)) return error;
  } else if (args.radius <= kMaxTapRadius) {
    using Window = TapWindow<V, kLanes, kMaxTapRadius, false, int>;
    if (LaunchRows<Steps, Window>(args, stream, &error)) return error;
  } else {
    using Window = WideRowWindow<V, kLanes, int>;
    if (LaunchRows<Steps, Window>(args, stream, &error)) return error;
  }
  if (LaunchTiles(args, stream, &error)) return error;
  const auto single = WithSteps<Single>(args);
  return args.radius <= kMaxTapRadius
             ? LaunchLoop<Single, LoopTaps<V>>(single, stream)
             : LaunchLoop<Single, LoopWide<V>>(single, stream);
}

template <class T>
size_t WorkspaceBytes(Op op, const LrnParams& params, int64_t rows,
                      int64_t channels) {
  using V = typename ComputeType<T>::type;
  if (rows == 0 || channels == 0) return 0;
  const int64_t radius = EffectiveRadius(params.depth_radius, channels);
  const int64_t bytes =
      radius <= kMaxTapRadius
          ? WindowBytes<LoopTaps<V>, V>(op, 1, channels, radius)
          : WindowBytes<LoopWide<V>, V>(op, 1, channels, radius);
  if (bytes <= LaunchPolicy::kSharedBytes) return 0;
  return static_cast<size_t>(std::min(rows, LaunchPolicy::kWorkspaceBlocks) *
                             bytes);
}

template <class T>
int LaunchLrn(const LrnParams& params, const T* x, T* y, int64_t rows,
              int64_t channels, void* workspace, Stream stream) {
  return Launch<LrnSteps, T>(params, {{x}, {y}, rows, channels, workspace},
                             stream);
}

template <class T>
int LaunchLrnGrad(const LrnParams& params, const T* dy, const T* x, const T* y,
                  T* dx, int64_t rows, int64_t channels, void* workspace,
                  Stream stream) {
  return Launch<LrnGradSteps, T>(
      params, {{dy, x, y}, {dx}, rows, channels, workspace}, stream);
}

template <class T>
int LaunchLrnGradGrad(const LrnParams& params, const T* u, const T* dy,
                      const T* x, const T* y, T* d_dy, T* d_x, T* d_y,
                      int64_t rows, int64_t channels, void* workspace,
                      Stream stream) {
  return Launch<LrnGradGradSteps, T>(
      params, {{u, dy, x, y}, {d_dy, d_x, d_y}, rows, channels, workspace},
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
