// Runs CUDA kernels on the host: the part of the CUDA runtime that cc/cuda and
// its checks use, under the same names. Include it before them, in one source
// file of a program.
//
// Each thread of a block is a fiber with its own stack, and runs from one
// __syncthreads to the next. The order of the threads in a block, and of the
// blocks, differs from launch to launch, so that a missing barrier changes the
// results. Shared memory is exactly as large as requested, and filled with NaN
// before each block; the memory around it is poisoned for the address
// sanitizer. Blocks without shared memory run in pairs, so that two that use
// the same global memory change each other's results.
//
// The hardware's approximations (cc/cuda/norm_power.h) have the largest errors
// that PTX allows.
//
// Not covered: time, the memory model, and the device's conversions of 16-bit
// types (cc/cuda/packs.h).
#ifndef TFLRN_TESTS_CC_EMULATED_CUDA_H_
#define TFLRN_TESTS_CC_EMULATED_CUDA_H_

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __host__
#define __shared__
#define __forceinline__ inline
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)

struct CUstream_st;

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1)
      : x(x), y(y), z(z) {}
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

// The dynamic shared memory, under the name that the kernel gives it, and 4096
// bytes past it. The assembler puts as many before it, which C++ could not do
// without another name.
namespace tflrn::cuda {
extern unsigned char tflrn_shared[48 * 1024 + 4096] asm("tflrn_shared");
}  // namespace tflrn::cuda
asm(".pushsection .bss\n"
    ".balign 4096\n"
    ".zero 4096\n"
    "tflrn_shared: .zero 48 * 1024 + 4096\n"
    ".popsection");

namespace tflrn::emulated {

[[noreturn]] inline void Fail(const char* what) {
  std::fprintf(stderr, "emulated CUDA: %s\n", what);
  std::abort();
}

// The threads of one or more blocks, created once to run any number of
// functions.
class Fibers {
 public:
  // Runs body() in each block's threads, numbered consecutively.
  void Run(int blocks, int threads, const std::function<void(int)>& enter,
           const std::function<void()>& body, std::mt19937* random) {
    const int count = blocks * threads;
    while (static_cast<int>(fibers_.size()) < count) {
      fibers_.push_back(std::make_unique<Fiber>());
    }
    body_ = &body;
    order_.resize(count);
    std::iota(order_.begin(), order_.end(), 0);
    for (int i = 0; i < count; ++i) Start(fibers_[i].get());
    std::vector<int> ended(blocks);
    for (int left = count; left > 0;) {
      std::shuffle(order_.begin(), order_.end(), *random);
      for (const int i : order_) {
        if (fibers_[i]->done) continue;
        enter(i);
        SwitchTo(fibers_[i].get());
        if (!fibers_[i]->done) continue;
        ++ended[i / threads];
        --left;
      }
      for (const int in_block : ended) {
        if (in_block != 0 && in_block != threads) {
          Fail("some threads of a block wait at a barrier, and others ended");
        }
      }
    }
  }

  // Called inside body(): lets the other threads get as far.
  void Wait() { SwitchBack(/*ends=*/false); }

 private:
  static constexpr size_t kStackBytes = 256 * 1024;

  struct Fiber {
    // Not initialized: most of a stack is never touched.
    std::unique_ptr<unsigned char[]> stack{new unsigned char[kStackBytes]};
    ucontext_t context;
    void* fake_stack = nullptr;
    bool done = true;
  };

  static void Enter(unsigned high, unsigned low) {
    const uintptr_t self = (uintptr_t{high} << 16 << 16) | low;
    reinterpret_cast<Fibers*>(self)->Body();
  }

  void Body() {
    Arrived(nullptr);
    (*body_)();
    running_->done = true;
    SwitchBack(/*ends=*/true);
  }

  void Start(Fiber* fiber) {
    fiber->done = false;
#ifdef __SANITIZE_ADDRESS__
    // An ended thread never left its frames, which are still poisoned.
    ASAN_UNPOISON_MEMORY_REGION(fiber->stack.get(), kStackBytes);
#endif
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack.get();
    fiber->context.uc_stack.ss_size = kStackBytes;
    fiber->context.uc_link = nullptr;
    const uintptr_t self = reinterpret_cast<uintptr_t>(this);
    makecontext(&fiber->context, reinterpret_cast<void (*)()>(&Enter), 2,
                static_cast<unsigned>(self >> 16 >> 16),
                static_cast<unsigned>(self));
  }

  void SwitchTo(Fiber* fiber) {
    running_ = fiber;
    Leaving(&fake_stack_, fiber->stack.get(), kStackBytes);
    swapcontext(&scheduler_, &fiber->context);
    Arrived(fake_stack_);
  }

  void SwitchBack(bool ends) {
    Fiber* const fiber = running_;
    Leaving(ends ? nullptr : &fiber->fake_stack, scheduler_stack_,
            scheduler_stack_bytes_);
    swapcontext(&fiber->context, &scheduler_);
    Arrived(fiber->fake_stack);
  }

  // Tell the address sanitizer which stack is in use.
  void Leaving(void** fake_stack, const void* to, size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fake_stack, to, bytes);
#else
    (void)fake_stack, (void)to, (void)bytes;
#endif
  }
  void Arrived(void* fake_stack) {
#ifdef __SANITIZE_ADDRESS__
    const void* from;
    size_t bytes;
    __sanitizer_finish_switch_fiber(fake_stack, &from, &bytes);
    // The first switch comes from the scheduler.
    if (scheduler_stack_ == nullptr) {
      scheduler_stack_ = from;
      scheduler_stack_bytes_ = bytes;
    }
#else
    (void)fake_stack;
#endif
  }

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<int> order_;
  const std::function<void()>* body_ = nullptr;
  Fiber* running_ = nullptr;
  ucontext_t scheduler_;
  void* fake_stack_ = nullptr;
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_bytes_ = 0;
};

inline Fibers fibers;
inline std::mt19937 random_order(1);

// The last launch, for tests of the choice of versions.
struct Launches {
  int count = 0;
  dim3 grid, block;
  size_t shared_bytes = 0;
  CUstream_st* stream = nullptr;
};
inline Launches launches;
// Of a block, at most. The emulation sees no launch bounds: programs set
// theirs.
constexpr unsigned kMaxThreads = 1024;
// For tests of launch errors.
inline bool refuse_launches = false;

inline void SetSharedBytes([[maybe_unused]] size_t bytes) {
  std::memset(cuda::tflrn_shared, 0xFF, sizeof(cuda::tflrn_shared));
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(cuda::tflrn_shared, sizeof(cuda::tflrn_shared));
  ASAN_POISON_MEMORY_REGION(cuda::tflrn_shared - 4096, 4096);
  ASAN_POISON_MEMORY_REGION(cuda::tflrn_shared + bytes,
                            sizeof(cuda::tflrn_shared) - bytes);
#endif
}

inline void CheckSharedBytes(size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(cuda::tflrn_shared, sizeof(cuda::tflrn_shared));
#endif
  for (size_t i = bytes; i < sizeof(cuda::tflrn_shared); ++i) {
    if (cuda::tflrn_shared[i] != 0xFF) Fail("a store past shared memory");
  }
}

}  // namespace tflrn::emulated

// The hardware's approximations
// ------------------------------------------------------------------

namespace tflrn::emulated {

// Denormals become 0 of the same sign.
inline float Flushed(float value) {
  return std::abs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value;
}

// The float farthest from `exact` that is at most `error` away; the bits of the
// argument decide whether above or below.
inline float Farthest(double exact, double error, float argument) {
  uint32_t bits;
  std::memcpy(&bits, &argument, sizeof(bits));
  const bool above = (bits * 2654435761u) >> 31;
  float result = static_cast<float>(above ? exact + error : exact - error);
  if (std::abs(result - exact) > error) {
    result = std::nextafter(result, static_cast<float>(exact));
  }
  return Flushed(result);
}

inline float Log2(float value) {
  const double exact = std::log2(double{Flushed(value)});
  if (!std::isfinite(exact)) return static_cast<float>(exact);
  const bool near_one = value > 0.5f && value < 2;
  return Farthest(exact, 0x1p-22 * (near_one ? 1 : std::abs(exact)), value);
}

inline float Exp2(float value) {
  const double exact = std::exp2(double{Flushed(value)});
  if (!std::isfinite(static_cast<float>(exact))) {
    return static_cast<float>(exact);
  }
  return Farthest(exact, 0x1p-22 * exact, value);
}

inline float Reciprocal(float value) {
  const double exact = 1 / double{Flushed(value)};
  if (!std::isfinite(exact)) return static_cast<float>(exact);
  return Farthest(exact, 0x1p-23 * std::abs(exact), value);
}

}  // namespace tflrn::emulated

inline void __syncthreads() { tflrn::emulated::fibers.Wait(); }

// The runtime
// ------------------------------------------------------------------

enum cudaError_t { cudaSuccess, cudaErrorInvalidConfiguration = 9 };
enum cudaMemcpyKind {
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
};
using cudaStream_t = CUstream_st*;

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config,
                               void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  namespace emulated = tflrn::emulated;
  emulated::launches = {emulated::launches.count + 1, config->gridDim,
                        config->blockDim, config->dynamicSmemBytes,
                        config->stream};
  const unsigned threads = config->blockDim.x * config->blockDim.y;
  if (config->gridDim.x == 0 || threads == 0 ||
      threads > emulated::kMaxThreads || config->dynamicSmemBytes > 48 * 1024 ||
      emulated::refuse_launches) {
    return cudaErrorInvalidConfiguration;
  }
  gridDim = config->gridDim;
  blockDim = config->blockDim;
  const bool backwards = emulated::random_order() % 2;
  const unsigned together = config->dynamicSmemBytes == 0 ? 2 : 1;
  for (unsigned first = 0; first < gridDim.x; first += together) {
    emulated::SetSharedBytes(config->dynamicSmemBytes);
    emulated::fibers.Run(
        static_cast<int>(std::min(together, gridDim.x - first)),
        static_cast<int>(threads),
        [&](int i) {
          const unsigned block = first + static_cast<unsigned>(i) / threads;
          const unsigned thread = static_cast<unsigned>(i) % threads;
          blockIdx.x = backwards ? gridDim.x - 1 - block : block;
          threadIdx.x = thread % blockDim.x;
          threadIdx.y = thread / blockDim.x;
        },
        [&] { kernel(arguments...); }, &emulated::random_order);
    emulated::CheckSharedBytes(config->dynamicSmemBytes);
  }
  return cudaSuccess;
}

inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid configuration";
}
template <class T>
cudaError_t cudaMalloc(T** pointer, size_t bytes) {
  *pointer = static_cast<T*>(std::malloc(bytes));
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes,
                              cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

#endif  // TFLRN_TESTS_CC_EMULATED_CUDA_H_
