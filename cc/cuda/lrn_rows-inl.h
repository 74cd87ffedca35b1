// The kernel of the ops, its launch, and the choice of its version. Each
// lrn_rows_<type>.cu.cc compiles it for one element type.
//
// A block computes a tile of whole rows, so no row waits for another block, and
// an output may overwrite an input. Every output is written once, and every
// input is read from memory once, except in the loop version, whose rows do not
// fit into registers. Threads exchange values of window sums through shared
// memory, or, for rows too long for it, through the caller's workspace; squares
// of x they compute themselves, of neighbours that a cache has. docs/gpu.md
// describes the design and gives its numbers.
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
  // Of a block, on every GPU.
  static constexpr int kMaxThreads = 1024;
  // Of a thread, in rows that do not consist of whole packs: accesses of single
  // 16-bit values are faster half as far apart.
  static constexpr int kUnevenLanes = 4;
  // Longer rows do not stay in registers.
  static constexpr int64_t kMaxRowBytes = 512 * kPackBytes;
  // Of a block with one such row.
  static constexpr int kLoopThreads = 512;
  // The shared memory that a block gets on every GPU without opting in.
  static constexpr int64_t kSharedBytes = 48 * 1024;
  // Blocks with a workspace, at most: about two per multiprocessor of an H200.
  static constexpr int64_t kWorkspaceBlocks = 256;
  static constexpr int64_t kMaxBlocks = (int64_t{1} << 31) - 1;
  static constexpr int kWarp = 32;

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  static constexpr bool kSm80OrNewer = false;
#else
  static constexpr bool kSm80OrNewer = true;
#endif

  // Of a block, at most.
  template <class Steps, class Walk>
  static constexpr int MaxThreads() {
    return Walk::kKeeps ? kMaxRowBytes / Steps::kBytes : kLoopThreads;
  }

  // Whether 64 registers per thread do without spills, with nvcc 13.0.
  template <class Steps, class Window, class Walk, Powers kPowers>
  static constexpr bool FitsIn64Registers() {
    constexpr bool kDouble = sizeof(typename Steps::V) == sizeof(double);
    constexpr bool kFloat = sizeof(typename Steps::Type) == sizeof(float);
    constexpr bool kLoop = !Walk::kKeeps;
    constexpr bool kWide = Window::kLargestRadius > kMaxTapRadius;
    constexpr bool kOneRadius =
        Window::kSmallestRadius == Window::kLargestRadius;
    if (kFloat || (!kDouble && Steps::kLanes == kUnevenLanes)) return true;
    if (Steps::kOp == Op::kLrn) return true;
    if (Steps::kOp == Op::kLrnGrad) return !(kDouble && kLoop && kWide);
    return (kLoop && !kWide) ||
           (kOneRadius &&
            (kDouble || (kSm80OrNewer && kPowers == Powers::kPlain)));
  }

  // Blocks of MaxThreads that must fit into a multiprocessor's 65,536
  // registers: with 64 registers per thread wherever they do, to keep enough
  // loads in flight.
  template <class Steps, class Window, class Walk, Powers kPowers>
  static constexpr int MinBlocks() {
    constexpr bool kFits = FitsIn64Registers<Steps, Window, Walk, kPowers>();
    return kFits ? kMaxThreads / MaxThreads<Steps, Walk>() : 1;
  }

  static_assert(kTileThreads <= kMaxRowBytes / kPackBytes,
                "a tile of packs fits into a block");
  static_assert(kTileThreads % kWarp == 0, "whole warps");
  static_assert(kMaxRowBytes / (kUnevenLanes * 2) <= kMaxThreads,
                "rows of a 16-bit type");
};

// Whether a thread loads the x of its channels' neighbours, too, and no values
// of the first round pass through memory. Two sums, and double, which loads
// more often for the same window, are faster without.
template <class Steps, class Window>
constexpr bool kLoadsNeighbours = Window::kHasSumOf && Steps::kWindows == 1 &&
                                  sizeof(typename Steps::V) == sizeof(float);

// The windows in memory, over all rounds.
template <class Steps, class Window>
constexpr int kStoredWindows =
    (Steps::kRounds - int{kLoadsNeighbours<Steps, Window>}) * Steps::kWindows;

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
  bool in_place = false;     // LRN's output overwrites its input.
  bool even = false;         // IsEven
};

template <class Steps>
using ArgsOf =
    KernelArgs<typename Steps::Type, Steps::kInputs, Steps::kOutputs>;

template <class Steps, class Window, class Walk, Powers kPowers>
__global__ void __launch_bounds__(
    LaunchPolicy::MaxThreads<Steps, Walk>(),
    LaunchPolicy::MinBlocks<Steps, Window, Walk, kPowers>())
    RowsKernel(const ArgsOf<Steps> args) {
  using V = typename Steps::V;
  using Index = typename Walk::Index;
  constexpr int kRounds = Steps::kRounds;
  constexpr int kWindows = Steps::kWindows;
  constexpr bool kFromNeighbours = kLoadsNeighbours<Steps, Window>;
  extern __shared__ __align__(16) unsigned char tflrn_shared[];

  const Index channels = static_cast<Index>(args.channels);
  const Index tile_rows = static_cast<Index>(args.rows_per_tile);
  const int64_t window_elements =
      Window::Elements(args.rows_per_tile, args.channels, args.radius);

  V* memory = reinterpret_cast<V*>(tflrn_shared);
  if constexpr (!Walk::kKeeps) {
    if (args.workspace != nullptr) {
      memory = static_cast<V*>(args.workspace) +
               blockIdx.x * kStoredWindows<Steps, Window> * window_elements;
    }
  }
  // Each round has its own windows. Shared ones would need a barrier between
  // one round's Sum and the next round's Put.
  Window windows[kRounds][kWindows];
  TFLRN_UNROLL
  for (int round = 0; round < kRounds; ++round) {
    // From neighbours, the first round needs none.
    const int stored_round = kFromNeighbours ? 0 : round;
    TFLRN_UNROLL
    for (int w = 0; w < kWindows; ++w) {
      windows[round][w] =
          Window(memory + (stored_round * kWindows + w) * window_elements,
                 tile_rows, channels, static_cast<Index>(args.radius));
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
    const Walk walk(rows, channels, args.even);

    const auto load = [&](const Place<Index>& place) {
      steps.LoadInputs(args.inputs, offset + place.offset, place.lanes);
    };
    // The sums of the first round, which give the norms, and what follows.
    const auto with_norms = [&](const Place<Index>& place) {
      if constexpr (!Walk::kKeeps) {
        load(place);
        steps.FirstValues(values);
      }
      if constexpr (!kFromNeighbours) sum(0, place);
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
      if constexpr (kFromNeighbours) {
        const auto squares_at = [&](int distance) {
          const int left = channels - place.channel - distance;
          Pack<V, Window::kGroup> squares;
          Square(Load<Window::kGroup>(
                     args.inputs[Steps::kX] + offset + place.offset + distance,
                     {place.lanes.whole, left}),
                 squares.lanes);
          return squares;
        };
        windows[0][0].SumOf(place, values[0], squares_at);
      } else {
        put(0, place);
      }
    });
    if constexpr (!kFromNeighbours) {
      prepare(0);
    } else if (kRounds == 1 && args.in_place) {
      // Others may still load what this thread overwrites.
      __syncthreads();
    }
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
  return kStoredWindows<Steps, Window> *
         Window::Elements(rows, args.channels, args.radius) *
         static_cast<int64_t>(sizeof(typename Steps::V));
}

template <class Steps, class Window>
bool FitsInSharedMemory(const ArgsOf<Steps>& args, int64_t rows) {
  return WindowBytes<Steps, Window>(args, rows) <= LaunchPolicy::kSharedBytes;
}

// The rows of a tile, of `packs` packs each: as many as there are, fit and keep
// kTileThreads threads busy; whole warps, if that is at least one row.
template <class Steps, class Window>
int64_t TileRows(const ArgsOf<Steps>& args, int64_t packs) {
  constexpr int64_t kWarp = LaunchPolicy::kWarp;
  const int64_t wanted = LaunchPolicy::kTileThreads / packs;
  int64_t rows = std::min(std::max<int64_t>(1, wanted), args.rows);
  while (rows > 1 && !FitsInSharedMemory<Steps, Window>(args, rows)) --rows;
  const int64_t group = kWarp / std::gcd(packs, kWarp);
  return rows < group ? rows : rows - rows % group;
}

template <class Steps, class Window, class Walk>
int LaunchKernel(const ArgsOf<Steps>& args, int64_t blocks, dim3 threads,
                 Stream stream) {
  // They would have 512 GiB or more of each tensor: no GPU has room for those.
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
  if constexpr (Walk::kKeeps) {
    // One kernel for both would give plain powers the registers of the others,
    // which need more. In the loop version the windows need the most.
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

// The versions, each with its windows.

template <class Steps, int kMinRadius, int kMaxRadius>
using RowTaps =
    TapWindow<typename Steps::V, Steps::kLanes, kMinRadius, kMaxRadius, int>;
template <class Steps>
using RowWide = WideRowWindow<typename Steps::V, Steps::kLanes, int>;
template <class Steps>
using LoopTaps = TapWindow<typename Steps::V, 1, 0, kMaxTapRadius, int64_t>;
template <class Steps>
using LoopWide = WideLoopWindow<typename Steps::V, int64_t>;

template <class Steps, class Window>
bool StayInRegisters(const ArgsOf<Steps>& args) {
  const int64_t packs = DivideUp(args.channels, Steps::kLanes);
  return packs * Steps::kBytes <= LaunchPolicy::kMaxRowBytes &&
         FitsInSharedMemory<Steps, Window>(args, 1);
}

// Whether rows are whole packs, and aligned to them.
template <class Steps>
bool IsEven(const ArgsOf<Steps>& args) {
  const auto aligned = [](const void* pointer) {
    return reinterpret_cast<uintptr_t>(pointer) % Steps::kBytes == 0;
  };
  return args.channels % Steps::kLanes == 0 &&
         std::all_of(std::begin(args.inputs), std::end(args.inputs), aligned) &&
         std::all_of(std::begin(args.outputs), std::end(args.outputs), aligned);
}

// Rows that stay in registers.
template <class Steps, class Window, bool kEven>
int LaunchRows(ArgsOf<Steps> args, Stream stream) {
  const int64_t packs = DivideUp(args.channels, Steps::kLanes);
  args.rows_per_tile = TileRows<Steps, Window>(args, packs);
  args.even = IsEven<Steps>(args);
  args.workspace = nullptr;
  const dim3 threads(static_cast<unsigned>(packs),
                     static_cast<unsigned>(args.rows_per_tile));
  return LaunchKernel<Steps, Window, RowWalk<Steps::kLanes, kEven>>(
      args, DivideUp(args.rows, args.rows_per_tile), threads, stream);
}

// A radius up to kMaxTapRadius. A kernel of its own takes fewer registers and
// no test of the radius: 2, that of AlexNet and GoogLeNet, has one, and 5,
// TensorFlow's default, in even rows.
template <class Steps, bool kEven>
int LaunchRowTaps(const ArgsOf<Steps>& args, Stream stream) {
  if (args.radius == 2) {
    return LaunchRows<Steps, RowTaps<Steps, 2, 2>, kEven>(args, stream);
  }
  if constexpr (kEven) {
    if (args.radius == 5) {
      return LaunchRows<Steps, RowTaps<Steps, 5, 5>, kEven>(args, stream);
    }
  }
  return LaunchRows<Steps, RowTaps<Steps, 0, kMaxTapRadius>, kEven>(args,
                                                                    stream);
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
  return LaunchKernel<Steps, Window, LoopWalk>(args, std::min(args.rows, most),
                                               dim3(LaunchPolicy::kLoopThreads),
                                               stream);
}

// What the versions of an op are made of.
template <template <class, int> class StepsOf, class T>
struct Versions {
  static constexpr int kPackLanes = kPackBytes / sizeof(T);
  using Even = StepsOf<T, kPackLanes>;
  using Uneven = StepsOf<T, std::min(kPackLanes, LaunchPolicy::kUnevenLanes)>;
  using Single = StepsOf<T, 1>;

  // Whether rows do without the loop, which adds in another order: at all
  // alignments or at none.
  static bool RowsApply(const ArgsOf<Even>& args) {
    return args.radius > kMaxTapRadius
               ? StayInRegisters<Even, RowWide<Even>>(args)
               : StayInRegisters<Uneven, RowTaps<Uneven, 0, kMaxTapRadius>>(
                     args);
  }
};

// Launches the best version that applies. All give the same result, except for
// rounding.
template <template <class, int> class StepsOf, class T>
int Launch(const LrnParams& params,
           ArgsOf<typename Versions<StepsOf, T>::Even> args, Stream stream) {
  using Even = typename Versions<StepsOf, T>::Even;
  using Uneven = typename Versions<StepsOf, T>::Uneven;
  using Single = typename Versions<StepsOf, T>::Single;

  if (args.rows == 0 || args.channels == 0) return cudaSuccess;
  args.radius = EffectiveRadius(params.depth_radius, args.channels);
  args.coefficients = MakeCoefficients<typename Even::V>(params);
  args.plain_power = HasPlainNormPower(params);
  args.in_place = args.inputs[0] == args.outputs[0];

  const bool wide = args.radius > kMaxTapRadius;
  if (!Versions<StepsOf, T>::RowsApply(args)) {
    return wide ? LaunchLoop<Single, LoopWide<Single>>(args, stream)
                : LaunchLoop<Single, LoopTaps<Single>>(args, stream);
  }
  if (wide) return LaunchRows<Even, RowWide<Even>, false>(args, stream);
  return IsEven<Even>(args) ? LaunchRowTaps<Even, true>(args, stream)
                            : LaunchRowTaps<Uneven, false>(args, stream);
}

template <template <class, int> class StepsOf, class T>
size_t WorkspaceBytesOf(const LrnParams& params, int64_t rows,
                        int64_t channels) {
  using Single = typename Versions<StepsOf, T>::Single;
  if (rows == 0 || channels == 0) return 0;
  ArgsOf<Single> args = {};
  args.rows = rows;
  args.channels = channels;
  args.radius = EffectiveRadius(params.depth_radius, channels);
  if (Versions<StepsOf, T>::RowsApply(args)) return 0;
  const int64_t bytes = args.radius > kMaxTapRadius
                            ? WindowBytes<Single, LoopWide<Single>>(args, 1)
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
    case Op::kLrnGradGradFromInput:
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
  if (y == nullptr) {
    return Launch<LrnGradGradFromInputSteps, T>(
        params, {{u, dy, x}, {d_dy, d_x}, rows, channels, workspace}, stream);
  }
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
