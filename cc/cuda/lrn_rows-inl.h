// The kernel of the ops, its launch, and the choice of its version. Each
// lrn_rows_<type>.cu.cc compiles it for one element type.
//
// A block computes a tile of whole rows, so no row waits for another block, and
// an output may overwrite an input. Every output is written once, and every
// input is read once, except in the loop version, whose rows do not fit into
// registers. Window sums pass through shared memory, or, for rows too long for
// it, through the caller's workspace. docs/gpu.md describes the design and
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

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  static constexpr bool kSm80OrNewer = false;
#else
  static constexpr bool kSm80OrNewer = true;
#endif

  // Whether 64 registers per thread do without spills, with nvcc 13.0.
  template <class Steps, class Window, class Walk, Powers kPowers>
  static constexpr bool FitsIn64Registers() {
    constexpr size_t kBytes = sizeof(typename Steps::Type);
    constexpr bool kFloat = kBytes == 4, kDouble = kBytes == 8;
    constexpr bool kLoop = !Walk::kKeeps;
    constexpr bool kWide = Window::kLargestRadius > kMaxTapRadius;
    constexpr bool kRadius2 = Window::kLargestRadius == 2;
    if (kFloat || Steps::kOp == Op::kLrn) return true;
    if (Steps::kOp == Op::kLrnGrad) {
      return kDouble ? !(kLoop && kWide) : !Walk::kAcrossRows;
    }
    return (kLoop && !kWide) ||
           (kRadius2 &&
            (kDouble || (kSm80OrNewer && kPowers == Powers::kPlain)));
  }

  // Blocks of kMaxThreads that must fit into a multiprocessor's 65,536
  // registers: two wherever they do, to keep enough loads in flight.
  template <class Steps, class Window, class Walk, Powers kPowers>
  static constexpr int MinBlocks() {
    return FitsIn64Registers<Steps, Window, Walk, kPowers>() ? 2 : 1;
  }

  static_assert(kTileThreads <= kMaxThreads, "a tile fits into a block");
  static_assert(kTileThreads % kWarp == 0 && kMaxThreads % kWarp == 0,
                "whole warps");
};

// The windows of an op, over all rounds.
template <class Steps>
constexpr int kAllWindows = Steps::kRounds * Steps::kWindows;

template <class T, int kInputs, int kOutputs>
struct KernelArgs {
  const T* inputs[kInputs];
  T* outputs[kOutputs];
  int64_t rows;
  int64_t channels;
  void* workspace;  // The windows of a tile per block, or null.

  int64_t radius = 0;
  int64_t rows_per_tile = 0;
  LrnCoefficients<typename ComputeType<T>::type> coefficients = {};
  bool plain_power = false;  // HasPlainNormPower
  bool aligned = false;      // All tiles begin aligned to packs.
};

template <class Steps>
using ArgsOf =
    KernelArgs<typename Steps::Type, Steps::kInputs, Steps::kOutputs>;

template <class Steps, class Window, class Walk, Powers kPowers>
__global__ void __launch_bounds__(
    LaunchPolicy::kMaxThreads,
    LaunchPolicy::MinBlocks<Steps, Window, Walk, kPowers>())
    RowsKernel(const ArgsOf<Steps> args) {
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
               blockIdx.x * kAllWindows<Steps> * window_elements;
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

// The bytes of the windows of `rows` rows.
template <class Steps, class Window>
int64_t WindowBytes(const ArgsOf<Steps>& args, int64_t rows) {
  return kAllWindows<Steps> *
         Window::Elements(rows, args.channels, args.radius) *
         static_cast<int64_t>(sizeof(typename Steps::V));
}

template <class Steps, class Window>
bool FitsInSharedMemory(const ArgsOf<Steps>& args, int64_t rows) {
  return WindowBytes<Steps, Window>(args, rows) <= LaunchPolicy::kSharedBytes;
}

// The fewest rows, of `per_row` things each, that make whole units of `unit`.
inline int64_t RowsPerGroup(int64_t per_row, int64_t unit) {
  return unit / std::gcd(per_row, unit);
}

// The rows of a tile, if one fits: `wanted`, or as many as there are and fit;
// whole groups, if that is at least one.
template <class Steps, class Window>
int64_t TileRows(const ArgsOf<Steps>& args, int64_t wanted, int64_t group) {
  int64_t rows = std::min(std::max<int64_t>(1, wanted), args.rows);
  while (rows > 1 && !FitsInSharedMemory<Steps, Window>(args, rows)) --rows;
  return rows < group ? rows : rows - rows % group;
}

template <class Steps, class Window, class Walk>
int LaunchKernel(const ArgsOf<Steps>& args, int64_t blocks, dim3 threads,
                 Stream stream) {
  // A tile has a kilobyte or more of each tensor: no GPU has room for as many.
  if (blocks > LaunchPolicy::kMaxBlocks) return cudaErrorInvalidConfiguration;
  const int64_t shared_bytes =
      args.workspace != nullptr
          ? 0
          : WindowBytes<Steps, Window>(args, args.rows_per_tile);
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

// The versions, each with its windows. Until one is chosen, args.aligned says
// whether the tensors begin aligned to packs.

template <class Steps, int kMaxRadius>
using RowTaps =
    TapWindow<typename Steps::V, Steps::kLanes, kMaxRadius, false, int>;
template <class Steps>
using RowWide = WideRowWindow<typename Steps::V, Steps::kLanes, int>;
template <class Steps>
using TileTaps =
    TapWindow<typename Steps::V, Steps::kLanes, kMaxTapRadius, true, int>;
template <class Steps>
using LoopTaps = TapWindow<typename Steps::V, 1, kMaxTapRadius, false, int64_t>;
template <class Steps>
using LoopWide = WideLoopWindow<typename Steps::V, int64_t>;

// Rows of at most kMaxThreads packs.
template <class Steps, class Window>
bool RowsApply(const ArgsOf<Steps>& args) {
  if (DivideUp(args.channels, Steps::kLanes) > LaunchPolicy::kMaxThreads ||
      !FitsInSharedMemory<Steps, Window>(args, 1)) {
    return false;
  }
  if (!Window::kWholePacks) return true;
  // Unaligned rows of this length must go to the tile version, which adds in
  // the same order as this one: the loop version does not.
  return args.aligned && args.channels % Steps::kLanes == 0 &&
         FitsInSharedMemory<Steps, TileTaps<Steps>>(args, 1);
}

template <class Steps, class Window>
int LaunchRows(ArgsOf<Steps> args, Stream stream) {
  const int64_t packs = DivideUp(args.channels, Steps::kLanes);
  args.rows_per_tile =
      TileRows<Steps, Window>(args, LaunchPolicy::kTileThreads / packs,
                              RowsPerGroup(packs, LaunchPolicy::kWarp));
  args.aligned = args.aligned && args.channels % Steps::kLanes == 0;
  args.workspace = nullptr;
  const dim3 threads(static_cast<unsigned>(packs),
                     static_cast<unsigned>(args.rows_per_tile));
  return LaunchKernel<Steps, Window,
                      RowWalk<Steps::kLanes, Window::kWholePacks>>(
      args, DivideUp(args.rows, args.rows_per_tile), threads, stream);
}

// Any other rows that fit into a block, with a radius up to kMaxTapRadius.
template <class Steps>
bool TilesApply(const ArgsOf<Steps>& args, int64_t rows = 1) {
  return args.radius <= kMaxTapRadius &&
         rows * args.channels <= LaunchPolicy::kMaxThreads * Steps::kLanes &&
         FitsInSharedMemory<Steps, TileTaps<Steps>>(args, rows);
}

template <class Steps>
int LaunchTiles(ArgsOf<Steps> args, Stream stream) {
  constexpr int64_t kLanes = Steps::kLanes;
  const int64_t group = RowsPerGroup(args.channels, kLanes);
  int64_t rows = TileRows<Steps, TileTaps<Steps>>(
      args, LaunchPolicy::kTileThreads * kLanes / args.channels, group);
  // Rather larger tiles than unaligned ones.
  const int64_t grown = std::min(group, args.rows);
  if (rows < grown && TilesApply<Steps>(args, grown)) rows = grown;
  args.rows_per_tile = rows;
  args.aligned = args.aligned && (rows % group == 0 || rows == args.rows);
  args.workspace = nullptr;
  const dim3 threads(
      static_cast<unsigned>(DivideUp(rows * args.channels, kLanes)));
  return LaunchKernel<Steps, TileTaps<Steps>, TileWalk<Steps::kLanes>>(
      args, DivideUp(args.rows, rows), threads, stream);
}

// Everything else: rows of any length and radius, one per block at a time. None
// has fewer channels than the block has threads.
template <class Steps, class Window>
int LaunchLoop(ArgsOf<Steps> args, Stream stream) {
  const bool fits = FitsInSharedMemory<Steps, Window>(args, 1);
  args.rows_per_tile = 1;
  if (fits) args.workspace = nullptr;
  const int64_t most =
      fits ? LaunchPolicy::kMaxBlocks : LaunchPolicy::kWorkspaceBlocks;
  return LaunchKernel<Steps, Window, LoopWalk>(
      args, std::min(args.rows, most), dim3(LaunchPolicy::kMaxThreads), stream);
}

// Launches the best version that applies. All give the same result, except for
// rounding.
template <template <class, int> class StepsOf, class T>
int Launch(const LrnParams& params,
           ArgsOf<StepsOf<T, kPackBytes / sizeof(T)>> args, Stream stream) {
  using Steps = StepsOf<T, kPackBytes / sizeof(T)>;
  using Single = StepsOf<T, 1>;

  if (args.rows == 0 || args.channels == 0) return cudaSuccess;
  args.radius = EffectiveRadius(params.depth_radius, args.channels);
  args.coefficients = MakeCoefficients<typename Steps::V>(params);
  args.plain_power = HasPlainNormPower(params);
  const auto aligned = [](const void* pointer) {
    return reinterpret_cast<uintptr_t>(pointer) % kPackBytes == 0;
  };
  args.aligned =
      std::all_of(std::begin(args.inputs), std::end(args.inputs), aligned) &&
      std::all_of(std::begin(args.outputs), std::end(args.outputs), aligned);

  const bool wide = args.radius > kMaxTapRadius;
  if (args.radius == 2 && RowsApply<Steps, RowTaps<Steps, 2>>(args)) {
    return LaunchRows<Steps, RowTaps<Steps, 2>>(args, stream);
  }
  if (!wide && RowsApply<Steps, RowTaps<Steps, kMaxTapRadius>>(args)) {
    return LaunchRows<Steps, RowTaps<Steps, kMaxTapRadius>>(args, stream);
  }
  if (wide && RowsApply<Steps, RowWide<Steps>>(args)) {
    return LaunchRows<Steps, RowWide<Steps>>(args, stream);
  }
  if (TilesApply<Steps>(args)) return LaunchTiles<Steps>(args, stream);
  return wide ? LaunchLoop<Single, LoopWide<Single>>(args, stream)
              : LaunchLoop<Single, LoopTaps<Single>>(args, stream);
}

template <template <class, int> class StepsOf, class T>
size_t WorkspaceBytesOf(const LrnParams& params, int64_t rows,
                        int64_t channels) {
  using Steps = StepsOf<T, kPackBytes / sizeof(T)>;
  using Single = StepsOf<T, 1>;
  if (rows == 0 || channels == 0) return 0;
  ArgsOf<Steps> args = {};
  args.rows = rows;
  args.channels = channels;
  args.radius = EffectiveRadius(params.depth_radius, channels);
  const bool wide = args.radius > kMaxTapRadius;
  // Of the other versions, only this one takes rows whose windows in the loop
  // version would not fit, and it takes them at any alignment.
  if (wide && RowsApply<Steps, RowWide<Steps>>(args)) return 0;
  const int64_t bytes = wide ? WindowBytes<Single, LoopWide<Single>>(args, 1)
                             : WindowBytes<Single, LoopTaps<Single>>(args, 1);
  if (bytes <= LaunchPolicy::kSharedBytes) return 0;
  return static_cast<size_t>(std::min(rows, LaunchPolicy::kWorkspaceBlocks) *
                             bytes);
}

template <class T>
size_t WorkspaceBytes(Op op, const LrnParams& params, int64_t rows,
                      int64_t channels) {
  switch (op) {
    case Op::kLrn:
      return WorkspaceBytesOf<LrnSteps, T>(params, rows, channels);
    case Op::kLrnGrad:
    case Op::kLrnGradFromInput:
      return WorkspaceBytesOf<LrnGradSteps, T>(params, rows, channels);
    case Op::kLrnGradGrad:
      return WorkspaceBytesOf<LrnGradGradSteps, T>(params, rows, channels);
  }
  return 0;
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
