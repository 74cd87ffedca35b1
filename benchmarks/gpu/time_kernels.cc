// Times the GPU kernels, and cuDNN's if it is found, against device-to-device
// copies in the same run. tools/check_gpu.py compiles and starts it.
//
//     time_kernels FILE [WORDS...]
//
// prints tables and writes FILE (JSON), for the cases whose names have all the
// words; a name is like "AlexNet 1, LRN, half".
//
// Each time is the median of several means over many launches, measured with
// events. A case uses enough sets of tensors, in turn, to exceed the L2 cache.
// Our results are compared with the formulas before they are timed.
//
// "of copy" is a case's rate as a share of that of a large copy. The copy is
// timed before and after our kernels: the table has shares of the first rate,
// the file of the larger one. "of same" is the share of the rate of a copy that
// reads and writes as many bytes as the case, and so pays as much for each
// launch.
//
// cuDNN, in float alone, comes last: if its libraries do not match, it aborts
// the process. It is timed in both layouts, over the same memory: NHWC, as our
// tensors, and NCHW, for which it has other kernels. For NHWC its largest
// difference from the formulas is shown, too.
//
// Exit status: 0; 1 if a result is wrong; 3 if there is no GPU.
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
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
    {"radius 5", 256, 55, 55, 96, 5},    {"radius 7", 256, 27, 27, 256, 7},
    {"radius 64", 256, 27, 27, 256, 64}, {"3 channels", 256, 224, 224, 3, 2},
    {"33 channels", 256, 55, 55, 33, 2}, {"long rows", 64, 7, 7, 16384, 2},
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

// Copies from device to device.
class Copies {
 public:
  explicit Copies(Timer* timer) : timer_(timer) {}

  // Bytes per second, read plus written, of the largest copy, once the clocks
  // have ramped up.
  double Rate() {
    constexpr std::chrono::milliseconds kWarmUp(500);
    const auto start = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - start < kWarmUp) {
      Copy(0, kBytes);
      Must(cudaDeviceSynchronize(), "a copy");
    }
    return Rate(2 * kBytes);
  }

  // The same for a copy that reads plus writes `bytes`, at another place each
  // time.
  double Rate(int64_t bytes) {
    const int64_t each = std::min(bytes / 2, kBytes);
    const int64_t places = kBytes / each;
    const auto copy = [&](int i) { Copy(i % places * each, each); };
    return static_cast<double>(2 * each) / timer_->Seconds(copy);
  }

 private:
  static constexpr int64_t kBytes = int64_t{1} << 30;

  static std::vector<float> Values() {
    return RandomInputs<float>({Op::kLrn, {}, 1 << 12, 1 << 8}, 2)[0];
  }

  void Copy(int64_t at, int64_t bytes) {
    Must(cudaMemcpyAsync(to_.As<char>() + at, from_.As<char>() + at, bytes,
                         cudaMemcpyDeviceToDevice, nullptr),
         "cudaMemcpyAsync");
  }

  Timer* timer_;
  Buffer from_{kBytes, Values()};
  Buffer to_{kBytes, Values()};
};

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

  bool ready() const { return ready_; }

  // Whether it supports a case, which Launch then runs.
  bool Takes(Op op, const Layer& layer, bool nhwc) {
    const unsigned window = static_cast<unsigned>(2 * layer.radius + 1);
    // cuDNN divides its alpha by the window.
    return ready_ && (op == Op::kLrn || op == Op::kLrnGrad) &&
           set_tensor_(tensor_, nhwc ? 1 : 0, /*float*/ 0,
                       static_cast<int>(layer.batch),
                       static_cast<int>(layer.channels),
                       static_cast<int>(layer.height),
                       static_cast<int>(layer.width)) == 0 &&
           set_lrn_(lrn_, window, 1e-4 * window, 0.75, 2) == 0;
  }

  // Launches the case that Takes was last asked for; returns an error, or 0.
  // The tensors are x and y, or dy, x, y and dx.
  int Launch(Op op, float* const* tensors) {
    const float one = 1, zero = 0;
    return op == Op::kLrn ? forward_(handle_, lrn_, 0, &one, tensor_,
                                     tensors[0], &zero, tensor_, tensors[1])
                          : backward_(handle_, lrn_, 0, &one, tensor_,
                                      tensors[2], tensor_, tensors[0], tensor_,
                                      tensors[1], &zero, tensor_, tensors[3]);
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

// JSON has neither NaN nor infinity.
std::string NumberOrNull(const char* format, double value) {
  return std::isfinite(value) ? Format(format, value) : "null";
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
  Copies copies{&timer};
  int64_t wrong = 0;
  std::map<std::string, double> float_seconds{};  // By name of the case.

  bool Wants(const std::string& name) const {
    return std::all_of(words.begin(), words.end(), [&](const auto& word) {
      return name.find(word) != std::string::npos;
    });
  }
};

// An op on the tensors of a layer.
template <class T>
class Case {
 public:
  Case(Op op, const Layer& layer)
      : layer(layer),
        name(std::string(layer.name) + ", " + Name(op) + ", " + TypeName<T>()),
        call{
            op, {layer.radius, 2, 1e-4f, 0.75f}, layer.rows(), layer.channels} {
  }

  int tensors() const { return Inputs(call.op) + Outputs(call.op); }
  int64_t tensor_bytes() const { return layer.values() * int64_t{sizeof(T)}; }
  // Read plus written by a call.
  int64_t bytes() const { return tensors() * tensor_bytes(); }
  int64_t sets() const { return static_cast<int64_t>(in_.size()); }

  // Allocates enough sets of tensors to exceed the L2 cache, or none if the GPU
  // has too little memory.
  void Allocate(int64_t l2_bytes) {
    size_t free_bytes, total_bytes;
    Must(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
    // At least two: the cache may keep part of one that is a few times its
    // size.
    const int64_t sets = std::min<int64_t>(
        std::clamp<int64_t>(4 * l2_bytes / bytes() + 1, 2, 64),
        static_cast<int64_t>(0.9 * static_cast<double>(free_bytes)) / bytes());
    if (sets == 0) {
      std::printf("%s: not timed, it needs %.1f GB\n", name.c_str(),
                  1e-9 * static_cast<double>(bytes()));
      return;
    }
    Begin<T>(call);
    // The first rows hold a period of random values; the rest repeats it.
    Call period = call;
    period.rows = std::min<int64_t>(call.rows, (1 << 18) / call.channels + 1);
    const Tensors<T> inputs = RandomInputs<T>(period, 1);
    const std::vector<T> nothing(1 << 16, Round<T>(NAN));
    in_.resize(sets);
    out_.resize(sets);
    for (int64_t set = 0; set < sets; ++set) {
      for (int t = 0; t < tensors(); ++t) {
        const bool input = t < Inputs(call.op);
        buffers_.push_back(std::make_unique<Buffer>(
            tensor_bytes(), input ? inputs[t] : nothing));
        (input ? in_ : out_)[set].push_back(buffers_.back()->As<T>());
      }
    }
    const size_t workspace_bytes =
        WorkspaceBytes<T>(call.op, call.params, call.rows, call.channels);
    workspace_ = std::make_unique<Buffer>(
        static_cast<int64_t>(workspace_bytes) + 16, nothing);
  }

  // Launches call i of the op.
  void Launch(int i) const {
    Must(LaunchOp<T>(call, in_[i % sets()], out_[i % sets()],
                     workspace_->As<void>()),
         "launch");
  }

  // Makes LRNGrad's y the LRN of x, as cuDNN assumes.
  void SetY() const {
    for (const std::vector<T*>& in : in_) {
      Must(LaunchLrn<T>(call.params, in[1], in[2], call.rows, call.channels,
                        workspace_->As<void>(), nullptr),
           "launch");
    }
  }

  // The tensors of call i.
  std::vector<T*> TensorsOf(int i) const {
    std::vector<T*> all = in_[i % sets()];
    all.insert(all.end(), out_[i % sets()].begin(), out_[i % sets()].end());
    return all;
  }

  // Calls check(call, inputs, outputs) with the first and the last rows of the
  // first set, read from the GPU.
  template <class Check>
  void ForSomeRows(const Check& check) const {
    Must(cudaDeviceSynchronize(), "a kernel");
    Call some = call;
    some.rows = 8;
    for (const int64_t begin : {int64_t{0}, call.rows - some.rows}) {
      Tensors<T> in, out;
      int t = 0;
      for (const T* tensor : TensorsOf(0)) {
        std::vector<T> values(some.rows * some.channels);
        Must(cudaMemcpy(values.data(), tensor + begin * some.channels,
                        values.size() * sizeof(T), cudaMemcpyDeviceToHost),
             "cudaMemcpy");
        (t++ < Inputs(call.op) ? in : out).push_back(std::move(values));
      }
      check(some, in, out);
    }
  }

  const Layer& layer;
  const std::string name;
  const Call call;

 private:
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::unique_ptr<Buffer> workspace_;
  std::vector<std::vector<T*>> in_, out_;  // Per set.
};

template <class T>
void TimeOurs(Op op, const Layer& layer, Session* session) {
  Case<T> timed(op, layer);
  if (!session->Wants(timed.name)) return;
  const double same = session->copies.Rate(timed.bytes());
  timed.Allocate(session->l2_bytes);
  if (timed.sets() == 0) return;
  timed.Launch(0);
  Report report;
  timed.ForSomeRows([&](const Call& some, const auto& in, const auto& out) {
    for (int64_t row = 0; row < some.rows; ++row) {
      CheckRow(some, in, out, row, &report);
    }
  });
  session->wrong += report.failures();
  if (report.failures() != 0) std::printf("WRONG: %s", report.text().c_str());

  const double seconds =
      session->timer.Seconds([&](int i) { timed.Launch(i); });
  const double rate = static_cast<double>(timed.bytes()) / seconds;
  if (std::is_same_v<T, float>) session->float_seconds[timed.name] = seconds;
  std::printf("%-12s %-20s %-9s %9.3f %7.0f %6.1f %% %6.1f %%\n", layer.name,
              Name(op), TypeName<T>(), 1e3 * seconds, 1e-9 * rate,
              100 * rate / session->results.copies()[0], 100 * rate / same);
  session->results.Add(
      Format("\"layer\": \"%s\", \"shape\": [%lld, %lld, %lld, %lld], "
             "\"radius\": %lld, \"op\": \"%s\", \"type\": \"%s\", "
             "\"sets\": %lld, \"ms\": %.6g, \"gb_per_s\": %.6g, "
             "\"same_bytes_copy_gb_per_s\": %.6g, \"wrong_values\": %lld",
             layer.name, static_cast<long long>(layer.batch),
             static_cast<long long>(layer.height),
             static_cast<long long>(layer.width),
             static_cast<long long>(layer.channels),
             static_cast<long long>(layer.radius), Name(op), TypeName<T>(),
             static_cast<long long>(timed.sets()), 1e3 * seconds, 1e-9 * rate,
             1e-9 * same, static_cast<long long>(report.failures())),
      rate);
}

// The largest difference of the first output's values from the formulas,
// relative to the magnitude of the terms.
double LargestError(const Case<float>& timed) {
  double largest = 0;
  timed.ForSomeRows([&](const Call& some, const auto& in, const auto& out) {
    for (int64_t row = 0; row < some.rows; ++row) {
      const Row values = RowOf(some, in, row);
      const std::vector<Expected> expected =
          some.op == Op::kLrn ? ExpectedLrn(some.params, values)
                              : ExpectedLrnGrad(some.params, values);
      for (int64_t k = 0; k < some.channels; ++k) {
        const double error = std::abs(out[0][row * some.channels + k] -
                                      static_cast<double>(expected[k].value));
        if (error == 0) continue;
        const double relative =
            error / static_cast<double>(expected[k].magnitude);
        // Also true for NaN.
        if (!(relative <= largest)) largest = relative;
      }
    }
  });
  return largest;
}

void TimeCudnn(Op op, const Layer& layer, Cudnn* cudnn, Session* session) {
  Case<float> timed(op, layer);
  if (!session->Wants(timed.name)) return;
  if (!cudnn->Takes(op, layer, true) && !cudnn->Takes(op, layer, false)) return;
  timed.Allocate(session->l2_bytes);
  if (timed.sets() == 0) return;
  if (op == Op::kLrnGrad) timed.SetY();
  // Ours is missing if its tensors did not fit into the memory.
  const auto found = session->float_seconds.find(timed.name);
  const double ours =
      found != session->float_seconds.end() ? found->second : NAN;
  for (const bool nhwc : {true, false}) {
    const char* const layout = nhwc ? "NHWC" : "NCHW";
    int error = cudnn->Takes(op, layer, nhwc) ? 0 : -1;
    const auto run = [&](int i) {
      error |= cudnn->Launch(op, timed.TensorsOf(i).data());
    };
    if (error == 0) run(0);
    if (error != 0 || cudaDeviceSynchronize() != cudaSuccess) {
      cudaGetLastError();
      std::printf("%-12s %-20s %-6s refused\n", layer.name, Name(op), layout);
      continue;
    }
    const double difference = nhwc ? LargestError(timed) : NAN;
    const double seconds = session->timer.Seconds(run);
    if (error != 0) {
      std::printf("%-12s %-20s %-6s failed while it was timed\n", layer.name,
                  Name(op), layout);
      continue;
    }
    std::printf("%-12s %-20s %-6s %9.3f %7.1f %11s\n", layer.name, Name(op),
                layout, 1e3 * seconds, seconds / ours,
                nhwc ? Format("%.1e", difference).c_str() : "");
    session->results.Add(
        Format("\"layer\": \"%s\", \"op\": \"%s\", \"type\": \"float\", "
               "\"cudnn_layout\": \"%s\", \"cudnn_ms\": %.6g, "
               "\"times_ours\": %s, \"largest_error\": %s",
               layer.name, Name(op), layout, 1e3 * seconds,
               NumberOrNull("%.4g", seconds / ours).c_str(),
               NumberOrNull("%.3g", difference).c_str()));
  }
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
    const double rate = session.copies.Rate();
    session.results.AddCopy(rate);
    std::printf("%s: a copy moves %.0f GB/s, read and written\n", device.name,
                1e-9 * rate);
  };
  copy();
  std::printf("%-12s %-20s %-9s %9s %7s %8s %8s\n", "layer", "op", "type", "ms",
              "GB/s", "of copy", "of same");
  TimeLaunch(&session);
  for (const Layer& layer : kLayers) {
    for (const Op op : kOps) {
      TimeOurs<Half>(op, layer, &session);
      TimeOurs<BFloat16>(op, layer, &session);
      TimeOurs<float>(op, layer, &session);
      TimeOurs<double>(op, layer, &session);
    }
  }
  copy();
  if (!session.float_seconds.empty()) {
    Cudnn cudnn;
    if (cudnn.ready()) {
      std::printf("%-12s %-20s %-6s %9s %7s %11s\n", "layer", "op", "layout",
                  "cuDNN ms", "of ours", "difference");
    }
    for (const Layer& layer : kLayers) {
      for (const Op op : kOps) TimeCudnn(op, layer, &cudnn, &session);
    }
  }
  if (session.wrong != 0) {
    std::printf("%lld values are wrong\n",
                static_cast<long long>(session.wrong));
  }
  return session.wrong != 0;
}

}  // namespace
}  // namespace tflrn::cuda

int main(int argc, char** argv) {
  // Line-buffered, so that a crash loses no output.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  if (argc < 2) {
    std::fprintf(stderr, "usage: time_kernels FILE [WORDS...]\n");
    return 2;
  }
  return tflrn::cuda::Main(argv[1],
                           std::vector<std::string>(argv + 2, argv + argc));
}
