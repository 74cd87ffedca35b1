// Times the GPU kernels, and cuDNN's where it is found, against a copy from
// device to device in the same run. tools/check_gpu.py compiles and starts it.
//
//     time_kernels FILE    prints a table, and writes FILE (JSON)
//
// Each time is the median of several, each the mean of enough launches, taken
// by events. A case has as many sets of tensors, used in turn, as leave the L2
// cache behind. Results are compared with the formulas before they are timed.
//
// Exit status: 0, or 1 where a result is wrong, or 3 where there is no GPU.
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cc/cuda/lrn_rows.h"
#include "tests/cc/kernel_checks.h"

namespace tflrn::cuda {
namespace {

struct Layer {
  const char* name;
  int64_t batch, height, width, channels, radius;

  int64_t rows() const { return batch * height * width; }
  int64_t values() const { return rows() * channels; }
};

constexpr Layer kLayers[] = {
    {"AlexNet 1", 256, 55, 55, 96, 2},   {"AlexNet 2", 256, 27, 27, 256, 2},
    {"GoogLeNet 1", 256, 56, 56, 64, 2}, {"GoogLeNet 2", 256, 56, 56, 192, 2},
    {"CIFAR-10", 128, 24, 24, 64, 4},    {"large C", 64, 14, 14, 2048, 2},
    {"radius 5", 256, 55, 55, 96, 5},    {"radius 64", 256, 27, 27, 256, 64},
    {"3 channels", 256, 224, 224, 3, 2}, {"33 channels", 256, 55, 55, 33, 2},
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Timer {
 public:
  Timer() {
    Must(cudaEventCreate(&begin_), "cudaEventCreate");
    Must(cudaEventCreate(&end_), "cudaEventCreate");
  }
  Timer(const Timer&) = delete;
  ~Timer() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }

  // Seconds of one call of run(i), i = 0, 1, 2...
  template <class Function>
  double Seconds(const Function& run) {
    constexpr int kMedianOf = 15;
    constexpr double kSecondsEach = 2e-3;
    Mean(3, run);  // What is first is slow.
    const double once = Mean(3, run);
    const int count =
        static_cast<int>(std::clamp(kSecondsEach / once, 1.0, 1000.0));
    std::vector<double> seconds;
    for (int i = 0; i < kMedianOf; ++i) seconds.push_back(Mean(count, run));
    return Median(seconds);
  }

 private:
  template <class Function>
  double Mean(int count, const Function& run) {
    Must(cudaEventRecord(begin_, nullptr), "cudaEventRecord");
    for (int i = 0; i < count; ++i) run(next_++);
    Must(cudaEventRecord(end_, nullptr), "cudaEventRecord");
    Must(cudaEventSynchronize(end_), "a launch");
    float milliseconds = 0;
    Must(cudaEventElapsedTime(&milliseconds, begin_, end_), "events");
    return 1e-3 * static_cast<double>(milliseconds) / count;
  }

  cudaEvent_t begin_, end_;
  int next_ = 0;
};

// Device memory of `bytes`, filled with `values` over and over.
class Buffer {
 public:
  template <class T>
  Buffer(int64_t bytes, const std::vector<T>& values) {
    Must(cudaMalloc(&memory_, bytes), "cudaMalloc");
    int64_t filled = std::min<int64_t>(
        bytes, static_cast<int64_t>(values.size() * sizeof(T)));
    Must(cudaMemcpy(memory_, values.data(), filled, cudaMemcpyHostToDevice),
         "cudaMemcpy");
    while (filled < bytes) {
      const int64_t more = std::min(filled, bytes - filled);
      Must(
          cudaMemcpy(memory_ + filled, memory_, more, cudaMemcpyDeviceToDevice),
          "cudaMemcpy");
      filled += more;
    }
  }
  Buffer(const Buffer&) = delete;
  ~Buffer() { cudaFree(memory_); }

  template <class T>
  T* As() const {
    return reinterpret_cast<T*>(memory_);
  }

 private:
  char* memory_ = nullptr;
};

// Bytes a second, read and written.
double CopyRate(Timer* timer) {
  constexpr int64_t kBytes = int64_t{1} << 30;
  const std::vector<float> values(1 << 20, 1.5f);
  const Buffer from(kBytes, values), to(kBytes, values);
  const double seconds = timer->Seconds([&](int) {
    Must(cudaMemcpyAsync(to.As<char>(), from.As<char>(), kBytes,
                         cudaMemcpyDeviceToDevice, nullptr),
         "cudaMemcpyAsync");
  });
  return 2.0 * kBytes / seconds;
}

__global__ void Nothing() {}

// cuDNN, which this file is not compiled with: its types are its documentation.
class Cudnn {
 public:
  Cudnn() {
    for (const char* name : {"libcudnn.so.9", "libcudnn.so.8", "libcudnn.so"}) {
      library_ = dlopen(name, RTLD_NOW | RTLD_GLOBAL);
      if (library_ != nullptr) break;
    }
    if (library_ == nullptr) {
      std::printf("cuDNN: not found: %s\n", dlerror());
      return;
    }
    Find("cudnnGetVersion", &get_version_);
    Find("cudnnCreate", &create_);
    Find("cudnnCreateTensorDescriptor", &create_tensor_);
    Find("cudnnSetTensor4dDescriptor", &set_tensor_);
    Find("cudnnCreateLRNDescriptor", &create_lrn_);
    Find("cudnnSetLRNDescriptor", &set_lrn_);
    Find("cudnnLRNCrossChannelForward", &forward_);
    Find("cudnnLRNCrossChannelBackward", &backward_);
    ready_ = found_ && create_(&handle_) == 0 &&
             create_tensor_(&tensor_) == 0 && create_lrn_(&lrn_) == 0;
    std::printf("cuDNN: %zu%s\n", found_ ? get_version_() : 0,
                ready_ ? "" : ", not usable");
  }

  // Seconds of a pass, or a negative number where cuDNN refuses.
  double Seconds(Op op, const Layer& layer, bool nhwc, float* dy, float* x,
                 float* y, float* result, Timer* timer) {
    if (!ready_ || op == Op::kLrnGradGrad) return -1;
    const unsigned window = static_cast<unsigned>(2 * layer.radius + 1);
    // cuDNN divides its alpha by the window.
    const int failed = set_tensor_(tensor_, nhwc ? 1 : 0, /*float*/ 0,
                                   static_cast<int>(layer.batch),
                                   static_cast<int>(layer.channels),
                                   static_cast<int>(layer.height),
                                   static_cast<int>(layer.width)) != 0 ||
                       set_lrn_(lrn_, window, 1e-4 * window, 0.75, 2) != 0;
    if (failed) return -1;
    const float one = 1, zero = 0;
    int error = 0;
    const auto run = [&](int) {
      error |= op == Op::kLrn
                   ? forward_(handle_, lrn_, 0, &one, tensor_, x, &zero,
                              tensor_, result)
                   : backward_(handle_, lrn_, 0, &one, tensor_, y, tensor_, dy,
                               tensor_, x, &zero, tensor_, result);
    };
    run(0);
    if (error != 0 || cudaDeviceSynchronize() != cudaSuccess) {
      cudaGetLastError();
      return -1;
    }
    return timer->Seconds(run);
  }

 private:
  template <class Function>
  void Find(const char* name, Function* function) {
    *function = reinterpret_cast<Function>(dlsym(library_, name));
    found_ = found_ && *function != nullptr;
  }

  void* library_ = nullptr;
  bool found_ = true;
  bool ready_ = false;
  void *handle_ = nullptr, *tensor_ = nullptr, *lrn_ = nullptr;
  size_t (*get_version_)();
  int (*create_)(void**);
  int (*create_tensor_)(void**);
  int (*set_tensor_)(void*, int, int, int, int, int, int);
  int (*create_lrn_)(void**);
  int (*set_lrn_)(void*, unsigned, double, double, double);
  int (*forward_)(void*, void*, int, const void*, void*, const void*,
                  const void*, void*, void*);
  int (*backward_)(void*, void*, int, const void*, void*, const void*, void*,
                   const void*, void*, const void*, const void*, void*, void*);
};

struct Session {
  FILE* json;
  double copy_rate;
  int64_t l2_bytes;
  Timer timer;
  Cudnn cudnn;
  int64_t wrong = 0;
};

template <class T>
void TimeLayer(Op op, const Layer& layer, const char* type, Session* session) {
  const LrnParams params = {layer.radius, 2, 1e-4f, 0.75f};
  const Call call = {op, params, layer.rows(), layer.channels};
  const int tensors = Inputs(op) + Outputs(op);
  const int64_t tensor_bytes = layer.values() * int64_t{sizeof(T)};
  const int64_t sets = std::clamp<int64_t>(
      4 * session->l2_bytes / (tensors * tensor_bytes) + 1, 1, 64);

  // The first rows hold a period of random values; all else repeats it.
  Call period = call;
  period.rows = std::min<int64_t>(call.rows, (1 << 18) / call.channels + 1);
  const Tensors<T> inputs = RandomInputs<T>(period, 1);
  std::vector<std::unique_ptr<Buffer>> buffers;
  const auto buffer = [&](int64_t set, int tensor) {
    return buffers[set * tensors + tensor]->As<T>();
  };
  const std::vector<T> nothing(1 << 16, Round<T>(NAN));
  for (int64_t set = 0; set < sets; ++set) {
    for (int i = 0; i < tensors; ++i) {
      buffers.push_back(std::make_unique<Buffer>(
          tensor_bytes, i < Inputs(op) ? inputs[i] : nothing));
    }
  }
  const size_t workspace_bytes =
      WorkspaceBytes<T>(op, params, call.rows, call.channels);
  const Buffer workspace(static_cast<int64_t>(workspace_bytes) + 16, nothing);
  const auto run = [&](int i) {
    std::vector<T*> in, out;
    for (int t = 0; t < tensors; ++t) {
      (t < Inputs(op) ? in : out).push_back(buffer(i % sets, t));
    }
    Must(LaunchOp<T>(call, in, out, workspace.As<void>()), "launch");
  };

  // The first rows, and the last, whose inputs are those of some row.
  run(0);
  Must(cudaDeviceSynchronize(), "a kernel");
  Report report;
  constexpr int64_t kRows = 8;
  for (const int64_t begin : {int64_t{0}, call.rows - kRows}) {
    Call some = call;
    some.rows = kRows;
    const auto rows_of = [&](int tensor) {
      std::vector<T> values(kRows * call.channels);
      Must(cudaMemcpy(values.data(), buffer(0, tensor) + begin * call.channels,
                      values.size() * sizeof(T), cudaMemcpyDeviceToHost),
           "cudaMemcpy");
      return values;
    };
    Tensors<T> in, out;
    for (int t = 0; t < tensors; ++t) {
      (t < Inputs(op) ? in : out).push_back(rows_of(t));
    }
    for (int64_t row = 0; row < kRows; ++row) {
      CheckRow(some, in, out, row, &report);
    }
  }
  session->wrong += report.failures();
  if (report.failures() != 0) std::printf("WRONG: %s", report.text().c_str());

  const double seconds = session->timer.Seconds(run);
  const double rate = static_cast<double>(tensors) *
                      static_cast<double>(tensor_bytes) / seconds;
  double cudnn_seconds = -1;
  bool nhwc = true;
  if constexpr (std::is_same_v<T, float>) {
    const int first = op == Op::kLrnGradGrad ? 1 : 0;  // dy, or LRN's x
    const auto time = [&] {
      return session->cudnn.Seconds(
          op, layer, nhwc, buffer(0, first),
          op == Op::kLrn ? buffer(0, 0) : buffer(0, first + 1),
          buffer(0, Inputs(op) - 1), buffer(0, Inputs(op)), &session->timer);
    };
    cudnn_seconds = time();
    if (cudnn_seconds < 0) {
      nhwc = false;
      cudnn_seconds = time();
    }
  }

  char cudnn_text[64] = "";
  if (cudnn_seconds > 0) {
    std::snprintf(cudnn_text, sizeof(cudnn_text), "%9.3f %6.1f  %s",
                  1e3 * cudnn_seconds, cudnn_seconds / seconds,
                  nhwc ? "NHWC" : "NCHW");
  }
  std::printf("%-12s %-11s %-9s %9.3f %7.0f %6.1f %%  %s\n", layer.name,
              Name(op), type, 1e3 * seconds, 1e-9 * rate,
              100 * rate / session->copy_rate, cudnn_text);
  std::fflush(stdout);
  std::fprintf(
      session->json,
      ",\n  {\"layer\": \"%s\", \"shape\": [%lld, %lld, %lld, %lld], "
      "\"radius\": %lld, \"op\": \"%s\", \"type\": \"%s\", \"ms\": %.6g, "
      "\"gb_per_s\": %.6g, \"share_of_copy\": %.4g, \"cudnn_ms\": %.6g, "
      "\"cudnn_layout\": \"%s\", \"wrong_values\": %lld}",
      layer.name, static_cast<long long>(layer.batch),
      static_cast<long long>(layer.height), static_cast<long long>(layer.width),
      static_cast<long long>(layer.channels),
      static_cast<long long>(layer.radius), Name(op), type, 1e3 * seconds,
      1e-9 * rate, rate / session->copy_rate, 1e3 * cudnn_seconds,
      cudnn_seconds < 0 ? ""
      : nhwc            ? "NHWC"
                        : "NCHW",
      static_cast<long long>(report.failures()));
}

// A tensor of 64 values beside a kernel that does nothing.
void TimeLaunch(Session* session) {
  const Layer layer = {"launch", 1, 1, 1, 64, 5};
  const std::vector<float> values(64, 1.5f);
  const Buffer x(256, values), y(256, values);
  const double nothing =
      session->timer.Seconds([](int) { Nothing<<<1, 32>>>(); });
  const double launch = session->timer.Seconds([&](int) {
    Must(LaunchLrn<float>({layer.radius, 1, 1, 0.5f}, x.As<float>(),
                          y.As<float>(), 1, 64, nullptr, nullptr),
         "launch");
  });
  std::printf(
      "a launch: LRN of (1, 1, 1, 64) %.2f us, an empty kernel %.2f us\n",
      1e6 * launch, 1e6 * nothing);
  std::fprintf(session->json,
               ",\n  {\"layer\": \"launch\", \"us\": %.4g, \"empty_us\": %.4g}",
               1e6 * launch, 1e6 * nothing);
}

int Main(const char* path) {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("no GPU here: %s\n", cudaGetErrorString(error));
    return 3;
  }
  cudaDeviceProp device;
  Must(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  Session session;
  session.json = std::fopen(path, "w");
  if (session.json == nullptr) {
    std::perror(path);
    return 1;
  }
  session.l2_bytes = device.l2CacheSize;
  session.copy_rate = CopyRate(&session.timer);
  std::printf("%s: a copy moves %.0f GB/s, read and written\n", device.name,
              1e-9 * session.copy_rate);
  std::fprintf(session.json,
               "[{\"device\": \"%s\", \"compute_capability\": \"%d.%d\", "
               "\"multiprocessors\": %d, \"copy_gb_per_s\": %.6g}",
               device.name, device.major, device.minor,
               device.multiProcessorCount, 1e-9 * session.copy_rate);
  std::printf("%-12s %-11s %-9s %9s %7s %8s  %9s %6s\n", "layer", "op", "type",
              "ms", "GB/s", "of copy", "cuDNN ms", "times");
  TimeLaunch(&session);
  for (const Layer& layer : kLayers) {
    for (const Op op : kOps) {
      TimeLayer<Half>(op, layer, "half", &session);
      TimeLayer<BFloat16>(op, layer, "bfloat16", &session);
      TimeLayer<float>(op, layer, "float", &session);
      TimeLayer<double>(op, layer, "double", &session);
    }
  }
  std::fprintf(session.json, "\n]\n");
  std::fclose(session.json);
  return session.wrong != 0;
}

}  // namespace
}  // namespace tflrn::cuda

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: time_kernels FILE\n");
    return 2;
  }
  return tflrn::cuda::Main(argv[1]);
}
