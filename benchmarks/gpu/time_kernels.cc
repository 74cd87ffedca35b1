// Times the GPU kernels, and cuDNN's if it is found, against a device-to-device
// copy in the same run. tools/check_gpu.py compiles and starts it.
//
//     time_kernels FILE [WORDS...]
//
// prints a table and writes FILE (JSON), for the cases whose names have all the
// words; a name is like "AlexNet 1, LRN, half".
//
// Each time is the median of several means over many launches, measured with
// events. A case uses enough sets of tensors, in turn, to exceed the L2 cache.
// Our results are compared with the formulas before they are timed; cuDNN,
// timed for float alone, is not checked. The copy is timed before and after
// everything else: the table has shares of the first rate, the file of the
// larger one.
//
// Exit status: 0; 1 if a result is wrong; 3 if there is no GPU.
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
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

  // Seconds per call of run(i), i = 0, 1, 2...
  template <class Function>
  double Seconds(const Function& run) {
    constexpr int kMedianOf = 15;
    constexpr double kSecondsEach = 2e-3;
    Mean(3, run);  // The first launches are slow.
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

// Bytes per second, read plus written, once the clocks have ramped up.
double CopyRate(Timer* timer) {
  constexpr int64_t kBytes = int64_t{1} << 30;
  constexpr std::chrono::milliseconds kWarmUp(500);
  const std::vector<float> values(1 << 20, 1.5f);
  const Buffer from(kBytes, values), to(kBytes, values);
  const auto copy = [&](int) {
    Must(cudaMemcpyAsync(to.As<char>(), from.As<char>(), kBytes,
                         cudaMemcpyDeviceToDevice, nullptr),
         "cudaMemcpyAsync");
  };
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < kWarmUp) {
    copy(0);
    Must(cudaDeviceSynchronize(), "a copy");
  }
  return 2.0 * kBytes / timer->Seconds(copy);
}

__global__ void Nothing() {}

// cuDNN, loaded at run time. Its functions are declared here as documented,
// since this file is compiled without its headers.
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

  // Seconds per pass, or a negative number if cuDNN refuses. The tensors of
  // call i are tensor(i, 0), tensor(i, 1)...: x and y, or dy, x, y and dx.
  template <class Function>
  double Seconds(Op op, const Layer& layer, bool nhwc, const Function& tensor,
                 Timer* timer) {
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
    const auto run = [&](int i) {
      error |= op == Op::kLrn
                   ? forward_(handle_, lrn_, 0, &one, tensor_, tensor(i, 0),
                              &zero, tensor_, tensor(i, 1))
                   : backward_(handle_, lrn_, 0, &one, tensor_, tensor(i, 2),
                               tensor_, tensor(i, 0), tensor_, tensor(i, 1),
                               &zero, tensor_, tensor(i, 3));
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

std::string Format(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return text;
}

// The file. It is rewritten with each result, and so complete wherever a run
// ends.
class Results {
 public:
  Results(const char* path, const cudaDeviceProp& device)
      : path_(path),
        device_(Format("\"device\": \"%s\", \"compute_capability\": "
                       "\"%d.%d\", \"multiprocessors\": %d",
                       device.name, device.major, device.minor,
                       device.multiProcessorCount)) {}

  void AddCopy(double rate) {
    copies_.push_back(rate);
    Write();
  }
  // Adds an object with these members and, given a rate, its share of the
  // copy's rate.
  void Add(const std::string& members, double rate = 0) {
    results_.push_back({members, rate});
    Write();
  }
  const std::vector<double>& copies() const { return copies_; }

 private:
  struct Result {
    std::string members;
    double rate;
  };

  void Write() const {
    FILE* file = std::fopen(path_, "w");
    if (file == nullptr) {
      std::perror(path_);
      std::exit(1);
    }
    const double copy = *std::max_element(copies_.begin(), copies_.end());
    std::fprintf(file, "[{%s, \"copy_gb_per_s\": %.6g, \"copies_gb_per_s\": [",
                 device_.c_str(), 1e-9 * copy);
    for (size_t i = 0; i < copies_.size(); ++i) {
      std::fprintf(file, "%s%.6g", i == 0 ? "" : ", ", 1e-9 * copies_[i]);
    }
    std::fprintf(file, "]}");
    for (const Result& result : results_) {
      std::fprintf(file, ",\n  {%s", result.members.c_str());
      if (result.rate > 0) {
        std::fprintf(file, ", \"share_of_copy\": %.4g", result.rate / copy);
      }
      std::fprintf(file, "}");
    }
    std::fprintf(file, "\n]\n");
    std::fclose(file);
  }

  const char* path_;
  std::string device_;
  std::vector<double> copies_;
  std::vector<Result> results_;
};

struct Session {
  Results results;
  std::vector<std::string> words;
  int64_t l2_bytes;
  Timer timer{};
  Cudnn cudnn{};
  int64_t wrong = 0;

  bool Wants(const std::string& name) const {
    return std::all_of(words.begin(), words.end(), [&](const auto& word) {
      return name.find(word) != std::string::npos;
    });
  }
};

template <class T>
void TimeLayer(Op op, const Layer& layer, Session* session) {
  const char* type = TypeName<T>();
  const std::string name =
      std::string(layer.name) + ", " + Name(op) + ", " + type;
  if (!session->Wants(name)) return;
  const LrnParams params = {layer.radius, 2, 1e-4f, 0.75f};
  const Call call = {op, params, layer.rows(), layer.channels};
  const int tensors = Inputs(op) + Outputs(op);
  const int64_t tensor_bytes = layer.values() * int64_t{sizeof(T)};
  const int64_t set_bytes = tensors * tensor_bytes;
  size_t free_bytes, total_bytes;
  Must(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
  // At least two: the cache may keep part of one that is a few times its size.
  const int64_t sets = std::min<int64_t>(
      std::clamp<int64_t>(4 * session->l2_bytes / set_bytes + 1, 2, 64),
      static_cast<int64_t>(0.9 * free_bytes) / set_bytes);
  if (sets == 0) {
    std::printf("%s: not timed, it needs %.1f GB\n", name.c_str(),
                1e-9 * set_bytes);
    return;
  }
  Begin<T>(call);

  // The first rows hold a period of random values; the rest repeats it.
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

  // Checks the first and the last rows, with their inputs read from the GPU.
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
    const auto time = [&] {
      return session->cudnn.Seconds(
          op, layer, nhwc, [&](int i, int t) { return buffer(i % sets, t); },
          &session->timer);
    };
    cudnn_seconds = time();
    if (cudnn_seconds < 0) {
      nhwc = false;
      cudnn_seconds = time();
    }
  }

  std::string cudnn_text, cudnn_members;
  if (cudnn_seconds > 0) {
    const char* layout = nhwc ? "NHWC" : "NCHW";
    cudnn_text = Format("%9.3f %6.1f  %s", 1e3 * cudnn_seconds,
                        cudnn_seconds / seconds, layout);
    cudnn_members = Format("\"cudnn_ms\": %.6g, \"cudnn_layout\": \"%s\"",
                           1e3 * cudnn_seconds, layout);
  } else {
    cudnn_members = "\"cudnn_ms\": null, \"cudnn_layout\": null";
  }
  std::printf("%-12s %-11s %-9s %9.3f %7.0f %6.1f %%  %s\n", layer.name,
              Name(op), type, 1e3 * seconds, 1e-9 * rate,
              100 * rate / session->results.copies()[0], cudnn_text.c_str());
  session->results.Add(
      Format("\"layer\": \"%s\", \"shape\": [%lld, %lld, %lld, %lld], "
             "\"radius\": %lld, \"op\": \"%s\", \"type\": \"%s\", "
             "\"sets\": %lld, \"ms\": %.6g, \"gb_per_s\": %.6g, %s, "
             "\"wrong_values\": %lld",
             layer.name, static_cast<long long>(layer.batch),
             static_cast<long long>(layer.height),
             static_cast<long long>(layer.width),
             static_cast<long long>(layer.channels),
             static_cast<long long>(layer.radius), Name(op), type,
             static_cast<long long>(sets), 1e3 * seconds, 1e-9 * rate,
             cudnn_members.c_str(), static_cast<long long>(report.failures())),
      rate);
}

// LRN of 64 values, and a kernel that does nothing.
void TimeLaunch(Session* session) {
  if (!session->Wants("launch")) return;
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
  session->results.Add(
      Format("\"layer\": \"launch\", \"us\": %.4g, \"empty_us\": %.4g",
             1e6 * launch, 1e6 * nothing));
}

int Main(const char* path, const std::vector<std::string>& words) {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("no GPU here: %s\n", cudaGetErrorString(error));
    return 3;
  }
  cudaDeviceProp device;
  Must(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  Session session = {Results(path, device), words, device.l2CacheSize};
  const auto copy = [&] {
    const double rate = CopyRate(&session.timer);
    session.results.AddCopy(rate);
    std::printf("%s: a copy moves %.0f GB/s, read and written\n", device.name,
                1e-9 * rate);
  };
  copy();
  std::printf("%-12s %-11s %-9s %9s %7s %8s  %9s %6s\n", "layer", "op", "type",
              "ms", "GB/s", "of copy", "cuDNN ms", "times");
  TimeLaunch(&session);
  for (const Layer& layer : kLayers) {
    for (const Op op : kOps) {
      TimeLayer<Half>(op, layer, &session);
      TimeLayer<BFloat16>(op, layer, &session);
      TimeLayer<float>(op, layer, &session);
      TimeLayer<double>(op, layer, &session);
    }
  }
  copy();
  if (session.wrong != 0) {
    std::printf("%lld values are wrong\n",
                static_cast<long long>(session.wrong));
  }
  return session.wrong != 0;
}

}  // namespace
}  // namespace tflrn::cuda

int main(int argc, char** argv) {
  // Line-buffered, so that a program that dies has printed its results.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  if (argc < 2) {
    std::fprintf(stderr, "usage: time_kernels FILE [WORDS...]\n");
    return 2;
  }
  return tflrn::cuda::Main(argv[1],
                           std::vector<std::string>(argv + 2, argv + argc));
}
