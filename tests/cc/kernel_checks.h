// The checks of the GPU kernels against the formulas of lrn_reference.h. They
// run on a GPU in check_kernels.cc, and on the host in cuda_kernels_test.cc,
// where emulated_cuda.h replaces the CUDA runtime. Include one of the two
// runtimes before this file.
#ifndef TFLRN_TESTS_CC_KERNEL_CHECKS_H_
#define TFLRN_TESTS_CC_KERNEL_CHECKS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cc/core/lrn_params.h"
#include "cc/core/ops.h"
#include "cc/core/types.h"
#include "cc/cuda/lrn_rows.h"
#include "cc/cuda/ops.h"
#include "tests/cc/lrn_reference.h"

namespace tflrn::cuda {

// Collects failures, and counts the values that were compared.
class Report {
 public:
  void Fail(const std::string& what) {
    constexpr size_t kShown = 10;
    if (failures_++ < kShown) text_ += what + "\n";
  }
  void Count(int64_t values) { values_ += values; }
  int64_t values() const { return values_; }
  int64_t failures() const { return failures_; }
  const std::string& text() const { return text_; }

 private:
  int64_t values_ = 0;
  size_t failures_ = 0;
  std::string text_;
};

inline std::string Digits(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

// The last call that was begun: an error shows only where the host waits, which
// may be later than the launch.
inline std::string last_call = "none";

inline void Must(int error, const char* what) {
  if (error == 0) return;
  std::fprintf(stderr, "%s: %s; the last call: %s\n", what,
               cudaGetErrorString(static_cast<cudaError_t>(error)),
               last_call.c_str());
  std::abort();
}

// Device memory that ends where the values end, so that the sanitizers see
// every access past it. `offset` more values come before the first, and must
// not change.
template <class T>
class DeviceArray {
 public:
  DeviceArray(const std::vector<T>& values, int64_t offset)
      : size_(static_cast<int64_t>(values.size())), offset_(offset) {
    std::vector<T> all(offset_ + size_);
    if (all.empty()) return;
    std::memset(all.data(), kGuard, offset_ * sizeof(T));
    std::copy(values.begin(), values.end(), all.begin() + offset_);
    const size_t bytes = all.size() * sizeof(T);
    Must(cudaMalloc(&memory_, bytes), "cudaMalloc");
    Must(cudaMemcpy(memory_, all.data(), bytes, cudaMemcpyHostToDevice),
         "cudaMemcpy");
  }
  DeviceArray(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(memory_); }

  T* data() const { return memory_ + offset_; }

  std::vector<T> Values(Report* report) const {
    Must(cudaDeviceSynchronize(), "a kernel");
    std::vector<T> all(offset_ + size_);
    Must(cudaMemcpy(all.data(), memory_, all.size() * sizeof(T),
                    cudaMemcpyDeviceToHost),
         "cudaMemcpy");
    const auto* bytes = reinterpret_cast<const unsigned char*>(all.data());
    for (size_t i = 0; i < offset_ * sizeof(T); ++i) {
      if (bytes[i] != kGuard) {
        report->Fail("a value before the first was overwritten");
        break;
      }
    }
    return std::vector<T>(all.begin() + offset_, all.end());
  }

 private:
  static constexpr unsigned char kGuard = 0xA5;

  int64_t size_;
  int64_t offset_;
  T* memory_ = nullptr;
};

// The inputs (those of u, dy, x, y that the op has) or the outputs of a call,
// on the host.
template <class T>
using Tensors = std::vector<std::vector<T>>;

constexpr Op kOps[] = {Op::kLrn, Op::kLrnGrad, Op::kLrnGradFromInput,
                       Op::kLrnGradGrad, Op::kLrnGradGradFromInput};
inline int Inputs(Op op) {
  constexpr int kInputs[] = {Lrn::kInputs, LrnGrad::kInputs,
                             LrnGradFromInput::kInputs, LrnGradGrad::kInputs,
                             LrnGradGradFromInput::kInputs};
  return kInputs[size_t(op)];
}
inline int Outputs(Op op) {
  constexpr int kOutputs[] = {Lrn::kOutputs, LrnGrad::kOutputs,
                              LrnGradFromInput::kOutputs, LrnGradGrad::kOutputs,
                              LrnGradGradFromInput::kOutputs};
  return kOutputs[size_t(op)];
}
inline const char* Name(Op op) {
  constexpr const char* kNames[] = {"LRN", "LRNGrad", "LRNGradFromInput",
                                    "LRNGradGrad", "LRNGradGradFromInput"};
  return kNames[size_t(op)];
}
// Which input is x.
inline size_t PlaceOfX(Op op) {
  constexpr size_t kPlaces[] = {0, 1, 1, 2, 2};
  return kPlaces[size_t(op)];
}
// Whether y is computed from x.
inline bool ComputesY(Op op) {
  return op == Op::kLrnGradFromInput || op == Op::kLrnGradGradFromInput;
}
// How many window sums add to a result's error: those of the norm count once
// more through y.
inline int NestedSums(Op op) {
  constexpr int kSums[] = {1, 2, 3, 3, 4};
  return kSums[size_t(op)];
}

template <class T>
const char* TypeName() {
  return std::is_same_v<T, Half>       ? "half"
         : std::is_same_v<T, BFloat16> ? "bfloat16"
         : std::is_same_v<T, float>    ? "float"
                                       : "double";
}

struct Call {
  Op op;
  LrnParams params;
  int64_t rows;
  int64_t channels;
  int64_t offset = 0;  // Of each buffer from an aligned address, in values.
  // The only buffer with that offset, counted from the first input; -1: all.
  int shifted = -1;
  // For each output, the input that it overwrites, or -1.
  std::vector<int> in_place = {-1, -1, -1};

  std::string Text() const {
    return std::string(Name(op)) + ", " + std::to_string(rows) + " rows of " +
           std::to_string(channels) + ", radius " +
           std::to_string(params.depth_radius) + ", bias " +
           Digits(params.bias) + ", alpha " + Digits(params.alpha) + ", beta " +
           Digits(params.beta) + ", offset " + std::to_string(offset) +
           (shifted < 0 ? "" : " of buffer " + std::to_string(shifted));
  }
};

template <class T>
void Begin(const Call& call) {
  last_call = call.Text() + ", " + TypeName<T>();
}

// Through ops.h, as in cc/tf and cc/xla.
template <class OpType, class T>
int LaunchTensors(const Call& call, const std::vector<T*>& in,
                  const std::vector<T*>& out, void* workspace, Stream stream) {
  RowTensors<OpType, T> tensors = {{}, {}, call.rows, call.channels};
  std::copy_n(in.begin(), OpType::kInputs, tensors.in.begin());
  std::copy_n(out.begin(), OpType::kOutputs, tensors.out.begin());
  if (WorkspaceBytes(call.params, tensors) !=
      WorkspaceBytes<T>(call.op, call.params, call.rows, call.channels)) {
    return -1;
  }
  return Launch(call.params, tensors, workspace, stream);
}

template <class T>
int LaunchOp(const Call& call, const std::vector<T*>& in,
             const std::vector<T*>& out, void* workspace,
             Stream stream = nullptr) {
  switch (call.op) {
    case Op::kLrn:
      return LaunchTensors<Lrn>(call, in, out, workspace, stream);
    case Op::kLrnGrad:
      return LaunchTensors<LrnGrad>(call, in, out, workspace, stream);
    case Op::kLrnGradFromInput:
      return LaunchTensors<LrnGradFromInput>(call, in, out, workspace, stream);
    case Op::kLrnGradGrad:
      return LaunchTensors<LrnGradGrad>(call, in, out, workspace, stream);
    case Op::kLrnGradGradFromInput:
      return LaunchTensors<LrnGradGradFromInput>(call, in, out, workspace,
                                                 stream);
  }
  return -1;
}

// Runs a call, and returns its outputs.
template <class T>
Tensors<T> RunCall(const Call& call, const Tensors<T>& inputs, Report* report) {
  Begin<T>(call);
  // Outputs and workspace start as NaN: their contents must not matter.
  std::vector<T> nan(call.rows * call.channels);
  std::memset(nan.data(), 0xFF, nan.size() * sizeof(T));
  std::vector<std::unique_ptr<DeviceArray<T>>> arrays;
  std::vector<T*> in, out;
  const auto offset = [&](size_t buffer) {
    return call.shifted < 0 || size_t(call.shifted) == buffer ? call.offset : 0;
  };
  for (const std::vector<T>& input : inputs) {
    arrays.push_back(
        std::make_unique<DeviceArray<T>>(input, offset(in.size())));
    in.push_back(arrays.back()->data());
  }
  std::vector<DeviceArray<T>*> results;
  for (int i = 0; i < Outputs(call.op); ++i) {
    if (call.in_place[i] < 0) {
      arrays.push_back(std::make_unique<DeviceArray<T>>(
          nan, offset(in.size() + out.size())));
      results.push_back(arrays.back().get());
    } else {
      results.push_back(arrays[call.in_place[i]].get());
    }
    out.push_back(results.back()->data());
  }
  const size_t workspace_bytes =
      WorkspaceBytes<T>(call.op, call.params, call.rows, call.channels);
  const DeviceArray<unsigned char> workspace(
      std::vector<unsigned char>(workspace_bytes, 0xFF), 0);
  // If no workspace is needed, the address must not matter.
  void* const no_workspace = reinterpret_cast<void*>(kWorkspaceAlignment);
  Must(LaunchOp<T>(call, in, out,
                   workspace_bytes == 0 ? no_workspace : workspace.data()),
       "launch");
  Tensors<T> outputs;
  for (const DeviceArray<T>* result : results) {
    outputs.push_back(result->Values(report));
  }
  return outputs;
}

template <class T>
Tensors<T> RandomInputs(const Call& call, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Tensors<T> inputs(Inputs(call.op));
  for (size_t i = 0; i < inputs.size(); ++i) {
    for (int64_t k = 0; k < call.rows * call.channels; ++k) {
      // Some zeros, since zero gradients are a special case.
      const bool zero = inputs.size() > 1 && k % (5 + 2 * i) == 3;
      inputs[i].push_back(Round<T>(zero ? 0 : normal(random)));
    }
  }
  return inputs;
}

// A row of the inputs, which are those of u, dy, x and y that the op has, in
// this order.
template <class T>
Row RowOf(const Call& call, const Tensors<T>& inputs, int64_t row) {
  const auto wide = [&](size_t input) {
    std::vector<Wide> values;
    if (input >= inputs.size()) return values;  // Also where it is below 0.
    for (int64_t k = 0; k < call.channels; ++k) {
      values.push_back(AsDouble(inputs[input][row * call.channels + k]));
    }
    return values;
  };
  const size_t x = PlaceOfX(call.op);
  Row result;
  result.u = wide(x - 2);
  result.dy = wide(x - 1);
  result.x = wide(x);
  result.y = ComputesY(call.op) ? OutputOf(call.params, result) : wide(x + 1);
  return result;
}

// The error that the contract of lrn_rows.h adds to that of cc/cpu, relative to
// the magnitude of the terms.
template <class T>
double MoreError() {
  return sizeof(T) == 2 ? 0x1p-15 : 0;
}

// One row of each output.
inline std::vector<std::vector<Expected>> ExpectedOutputs(const Call& call,
                                                          const Row& values) {
  switch (call.op) {
    case Op::kLrn:
      return {ExpectedLrn(call.params, values)};
    case Op::kLrnGrad:
    case Op::kLrnGradFromInput:
      return {ExpectedLrnGrad(call.params, values)};
    case Op::kLrnGradGrad:
    case Op::kLrnGradGradFromInput:
      break;
  }
  const ExpectedGradGrad expected =
      ExpectedLrnGradGrad(call.params, values, !ComputesY(call.op));
  std::vector<std::vector<Expected>> outputs = {expected.d_dy, expected.d_x,
                                                expected.d_y};
  outputs.resize(Outputs(call.op));
  return outputs;
}

template <class T>
void CheckRow(const Call& call, const Tensors<T>& inputs,
              const Tensors<T>& outputs, int64_t row, Report* report) {
  const int64_t summands =
      NestedSums(call.op) * WindowSize(call.params, call.channels);
  const auto expected = ExpectedOutputs(call, RowOf(call, inputs, row));
  for (size_t i = 0; i < expected.size(); ++i) {
    report->Count(call.channels);
    for (int64_t k = 0; k < call.channels; ++k) {
      const double value = AsDouble(outputs[i][row * call.channels + k]);
      const auto exact = static_cast<double>(expected[i][k].value);
      const double tolerance =
          Tolerance<T>(expected[i][k], summands, MoreError<T>());
      if (!(std::abs(value - exact) <= tolerance)) {
        report->Fail(call.Text() + ": output " + std::to_string(i) +
                     " at row " + std::to_string(row) + ", channel " +
                     std::to_string(k) + " is " + Digits(value) + ", not " +
                     Digits(exact) + " +- " + Digits(tolerance));
      }
    }
  }
}

template <class T>
void ExpectSameBits(const Call& call, const Tensors<T>& a, const Tensors<T>& b,
                    const char* what, Report* report) {
  for (size_t i = 0; i < a.size(); ++i) {
    report->Count(static_cast<int64_t>(a[i].size()));
    if (a[i].size() != b[i].size() ||
        std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(T)) != 0) {
      report->Fail(call.Text() + ": " + what + ": other bits in output " +
                   std::to_string(i));
    }
  }
}

// A few rows, and enough short rows for several tiles.
inline int64_t FewRows(int64_t channels) { return 900 / channels + 2; }
inline int64_t ManyRows(int64_t channels) { return 4500 / channels + 2; }

constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();

// Sizes with radii, and the other parameters in turn: each radius and each size
// meets plain powers (HasPlainPower) and others.
template <class T>
void CheckFormulas(Report* report) {
  constexpr LrnParams kParams[] = {{0, 2, 1e-4f, 0.75f}, {0, 1, 1, 1},
                                   {0, 1, 1, 0.5f},      {0, 0.1f, 1, 0.3f},
                                   {0, -1, -0.5f, 2},    {0, 2, 1, 0},
                                   {0, 1, 1e-4f, -0.5f}, {0, 1, 2e-5f, 0.75f}};
  constexpr int64_t kRadii[] = {0, 1, 2, 5, 7, 64, kLargest};
  static_assert(std::size(kRadii) % 2 == 1 && std::size(kParams) == 8,
                "else some radii and parameters never meet");
  size_t turn = 0;
  for (const int64_t channels :
       {1, 3, 6, 8, 31, 32, 33, 34, 96, 256, 1000, 4096, 65536}) {
    for (const int64_t radius : kRadii) {
      if (channels > 10000 && radius != 2 && radius != kLargest) continue;
      LrnParams p = kParams[turn++ % std::size(kParams)];
      p.depth_radius = radius;
      for (const Op op : kOps) {
        const Call call = {op, p, channels > 10000 ? 1 : FewRows(channels),
                           channels, int64_t{turn % 4 == 0}};
        const Tensors<T> inputs = RandomInputs<T>(call, turn);
        const Tensors<T> outputs = RunCall(call, inputs, report);
        for (const int64_t row : {int64_t{0}, call.rows / 2, call.rows - 1}) {
          CheckRow(call, inputs, outputs, row, report);
        }
      }
    }
  }
}

// Each version has code for each small radius, and a wide window has a part of
// a chunk at each end. Of 3000 channels, the small windows fit into shared
// memory, and the wide ones, from radius 9 on, do not.
inline void CheckRadii(Report* report) {
  for (const int64_t channels : {64, 65, 66, 3000}) {
    for (int64_t radius = 0; radius <= 26; ++radius) {
      if (channels == 3000 && radius != 8 && radius != 9) continue;
      for (const Op op : kOps) {
        const Call call = {op, {radius, 1, 1, 0.75f}, 2, channels};
        const Tensors<float> inputs = RandomInputs<float>(call, 13);
        const Tensors<float> outputs = RunCall(call, inputs, report);
        for (const int64_t row : {0, 1}) {
          CheckRow(call, inputs, outputs, row, report);
        }
      }
    }
  }
}

// Outputs over inputs, other alignments, parts of the rows: the bits are always
// the same, also with more rows than workspaces.
template <class T>
void CheckBits(Report* report) {
  const std::vector<std::vector<int>> in_places[] = {
      {{0}},
      {{0}, {1}, {2}},
      {{0}, {1}},
      {{1, -1, -1}, {-1, 2, -1}, {-1, -1, 3}, {1, 2, 3}},
      {{1, -1}, {-1, 2}, {1, 2}}};
  // Taken in turn, some values would never meet some ops.
  std::mt19937 random(1);
  for (const int64_t channels : {1, 3, 24, 33, 34, 96, 1000}) {
    for (const int64_t radius : {2, 4, 5, 8, 9, 2000}) {
      for (const Op op : kOps) {
        const LrnParams p = {radius, 1, 0.5f, random() % 3 == 0 ? 1.0f : 0.75f};
        Call call = {op, p,
                     radius == 2 ? ManyRows(channels) : FewRows(channels),
                     channels};
        const Tensors<T> inputs = RandomInputs<T>(call, random());
        const Tensors<T> outputs = RunCall(call, inputs, report);
        for (const std::vector<int>& in_place : in_places[size_t(op)]) {
          Call other = call;
          other.in_place = in_place;
          ExpectSameBits(other, RunCall(other, inputs, report), outputs,
                         "in place", report);
        }
        Call other = call;
        other.offset = 1 + random() % 15;
        ExpectSameBits(other, RunCall(other, inputs, report), outputs,
                       "other alignment", report);
        other.shifted = static_cast<int>(random() % (Inputs(op) + Outputs(op)));
        ExpectSameBits(other, RunCall(other, inputs, report), outputs,
                       "another alignment of one buffer", report);
        other = call;
        other.rows = call.rows / 2 + 1;
        Tensors<T> first_inputs = inputs, first_outputs = outputs;
        for (auto& input : first_inputs) input.resize(other.rows * channels);
        for (auto& output : first_outputs) output.resize(other.rows * channels);
        ExpectSameBits(other, RunCall(other, first_inputs, report),
                       first_outputs, "the first rows alone", report);
      }
    }
  }
  // The longest rows of the versions that add pairs, the next, and others.
  for (const Op op : {Op::kLrnGradGrad, Op::kLrnGradGradFromInput}) {
    for (const int64_t channels : {383, 1024, 1032, 3056, 3064, 3072, 3080}) {
      const Call call = {op, {5, 1, 0.5f, 0.75f}, 5, channels};
      const Tensors<T> inputs = RandomInputs<T>(call, 98);
      Call other = call;
      other.offset = 1;
      ExpectSameBits(other, RunCall(other, inputs, report),
                     RunCall(call, inputs, report), "other alignment", report);
    }
    for (const int64_t radius : {2, 40}) {
      Call call = {op, {radius, 1, 0.5f, 0.75f}, 258, 3100};
      const Tensors<T> inputs = RandomInputs<T>(call, 99);
      const Tensors<T> outputs = RunCall(call, inputs, report);
      if (WorkspaceBytes<T>(op, call.params, call.rows, call.channels) == 0) {
        report->Fail(call.Text() + " should need a workspace");
      }
      // The two rows of the first block.
      CheckRow(call, inputs, outputs, 0, report);
      CheckRow(call, inputs, outputs, 256, report);
      call.in_place = in_places[size_t(op)].back();
      ExpectSameBits(call, RunCall(call, inputs, report), outputs,
                     "in place, with a workspace", report);
    }
  }
}

// Every version, with every kind of window and of power, and as little work
// besides as possible: compute-sanitizer slows launches down a lot.
template <class T>
void CheckVersions(Report* report) {
  for (const int64_t channels : {3, 33, 96, 1000, 5000}) {
    for (const int64_t radius : {2, 5, 7, 40}) {
      for (LrnParams params : {LrnParams{0, 1, 1, 0.75f}, {0, -1, -0.5f, 2}}) {
        params.depth_radius = radius;
        for (const Op op : kOps) {
          const Call call = {op, params, FewRows(channels), channels};
          const Tensors<T> inputs = RandomInputs<T>(call, 9);
          CheckRow(call, inputs, RunCall(call, inputs, report), call.rows - 1,
                   report);
        }
      }
    }
  }
}

// The same bits in every run.
template <class T>
void CheckRepeatedRuns(Report* report) {
  for (const int64_t channels : {3, 33, 96, 1000, 5000}) {
    for (const int64_t radius : {2, 5, 7, 40}) {
      for (const Op op : kOps) {
        const Call call = {
            op, {radius, 1, 1, 0.75f}, FewRows(channels), channels};
        const Tensors<T> inputs = RandomInputs<T>(call, 7);
        const Tensors<T> outputs = RunCall(call, inputs, report);
        for (int run = 0; run < 4; ++run) {
          ExpectSameBits(call, RunCall(call, inputs, report), outputs,
                         "a second run", report);
        }
      }
    }
  }
}

// Which values of each output are NaN according to the formulas.
template <class T>
std::vector<std::vector<bool>> ExpectedNans(const Call& call,
                                            const Tensors<T>& inputs) {
  std::vector<std::vector<bool>> nans(Outputs(call.op));
  for (int64_t row = 0; row < call.rows; ++row) {
    const auto expected = ExpectedOutputs(call, RowOf(call, inputs, row));
    for (size_t i = 0; i < nans.size(); ++i) {
      for (const Expected& value : expected[i]) {
        nans[i].push_back(std::isnan(value.value));
      }
    }
  }
  return nans;
}

// NaN appears where the formulas have it, and all else is finite. Where a norm
// is infinite, if only because a finite value's square is, its power and its
// quotients are 0.
template <class T>
void CheckSpecialValues(Report* report) {
  std::vector<double> specials = {NAN, INFINITY};
  if (std::is_same_v<T, BFloat16> || std::is_same_v<T, float>) {
    specials.push_back(1e30);
  }
  for (const int64_t channels : {60, 61, 64, 3000}) {
    for (const int64_t radius : {0, 1, 2, 5, 8, 9, 20}) {
      for (const double special : specials) {
        for (const Op op : kOps) {
          const Call call = {op, {radius, 1, 1, 0.5f}, 3, channels};
          Tensors<T> inputs = RandomInputs<T>(call, 3);
          const int64_t at = channels + channels / 2;
          inputs[PlaceOfX(op)][at] = Round<T>(special);
          const auto nans = ExpectedNans(call, inputs);
          const Tensors<T> outputs = RunCall(call, inputs, report);
          for (size_t i = 0; i < outputs.size(); ++i) {
            for (int64_t k = 0; k < 3 * channels; ++k) {
              const double value = AsDouble(outputs[i][k]);
              const bool zero = op == Op::kLrn && std::abs(k - at) <= radius;
              report->Count(1);
              if (!(nans[i][k] ? std::isnan(value)
                    : zero     ? value == 0
                               : std::isfinite(value))) {
                report->Fail(call.Text() + ", " + TypeName<T>() + ": " +
                             Digits(value) + " in output " + std::to_string(i) +
                             ", " + std::to_string(k - at) +
                             " channels after " + Digits(special));
              }
            }
          }
        }
      }
    }
  }
}

// A zero gradient contributes nothing, even where the norm is 0 or -1.
inline void CheckZeroGradients(Report* report) {
  const auto expect = [report](bool holds, const Call& call, const char* what) {
    report->Count(1);
    if (!holds) report->Fail(call.Text() + ": " + what);
  };
  const Call grad = {Op::kLrnGrad, {0, 0, -1, 0.5f}, 1, 2};
  std::vector<float> dx =
      RunCall<float>(grad, {{0, 0}, {0, 1}, {NAN, INFINITY}}, report)[0];
  expect(dx[0] == 0 && dx[1] == 0, grad, "not 0 for a gradient of 0");
  dx = RunCall<float>(grad, {{1, 1}, {0, 1}, {1, 1}}, report)[0];
  expect(std::isnan(dx[0]) && std::isnan(dx[1]), grad, "not NaN");
  // Without y, which would be NaN.
  const Call from_input = {Op::kLrnGradFromInput, {0, 0, -1, 0.5f}, 1, 2};
  dx = RunCall<float>(from_input, {{0, 0}, {0, 1}}, report)[0];
  expect(dx[0] == 0 && dx[1] == 0, from_input, "not 0 for a gradient of 0");
  dx = RunCall<float>(from_input, {{1, 1}, {0, 1}}, report)[0];
  expect(std::isnan(dx[0]) && std::isnan(dx[1]), from_input, "not NaN");
  for (const Op op : {Op::kLrnGradGrad, Op::kLrnGradGradFromInput}) {
    const Call grad_grad = {op, {0, 0, -1, 0.5f}, 1, 2};
    Tensors<float> inputs = {{1, 1}, {0, 0}, {0, 1}, {NAN, INFINITY}};
    inputs.resize(Inputs(op));
    const Tensors<float> outputs = RunCall(grad_grad, inputs, report);
    for (int i = 0; i < 2; ++i) {
      expect(outputs[1][i] == 0 && outputs.back()[i] == 0, grad_grad, "not 0");
      expect(std::isnan(outputs[0][i]), grad_grad, "d_dy is not NaN");
    }
  }
}

// Small values keep their precision beside large ones.
inline void CheckSmallBesideLarge(Report* report) {
  for (const int64_t channels : {512, 513}) {
    for (const int64_t radius : {2, 7, 64}) {
      const Call call = {Op::kLrnGrad, {radius, 1, 1, 0.5f}, 1, channels};
      Tensors<float> inputs(3, std::vector<float>(channels, 1));
      for (int64_t j = 0; j < channels; ++j) {
        inputs[1][j] =
            j % 200 == 100 ? 1e9f : 1e-3f * static_cast<float>(j % 7);
        inputs[2][j] = inputs[1][j];
      }
      CheckRow(call, inputs, RunCall(call, inputs, report), 0, report);
    }
  }
}

// The largest and the smallest norms for which approximations are used.
template <class T>
void CheckExtremeNorms(Report* report) {
  for (const double scale : {1e-3, 1.0, 60.0, 1e4, 1e18}) {
    if (scale > 1e5 && std::is_same_v<T, Half>) continue;
    for (const float bias : {1e-30f, 1.0f, 1e30f}) {
      for (const Op op : kOps) {
        // Where the gradients' terms leave the type's range, so may the sums.
        if (bias < 1 && op != Op::kLrn) continue;
        const bool more = op != Op::kLrn && op != Op::kLrnGrad;
        if ((bias > 1 || scale > 1e4) && more) continue;
        const Call call = {op, {2, bias, 1, 0.75f}, 4, 96};
        Tensors<T> inputs = RandomInputs<T>(call, 11);
        for (T& x : inputs[PlaceOfX(op)]) {
          x = Round<T>(AsDouble(x) * scale);
        }
        const Tensors<T> outputs = RunCall(call, inputs, report);
        for (int64_t row = 0; row < call.rows; ++row) {
          CheckRow(call, inputs, outputs, row, report);
        }
      }
    }
  }
}

inline void CheckEmpty(Report* report) {
  for (const Op op : kOps) {
    for (const auto& [rows, channels] :
         std::vector<std::pair<int64_t, int64_t>>{{0, 5}, {5, 0}, {0, 0}}) {
      const Call call = {op, {}, rows, channels};
      const std::vector<float*> none(4, nullptr);
      const bool no_workspace =
          WorkspaceBytes<float>(op, {}, rows, channels) == 0;
      if (!no_workspace || LaunchOp<float>(call, none, none, nullptr) != 0) {
        report->Fail(call.Text() + ": not nothing");
      }
      report->Count(1);
    }
  }
}

// Shared memory holds as much as lrn_rows.h says.
inline void CheckWorkspaceBytes(Report* report) {
  for (const Op op : kOps) {
    for (int64_t channels = 1; channels <= 600; ++channels) {
      for (const int64_t radius :
           {int64_t{2}, int64_t{9}, channels / 2, channels - 1}) {
        if (WorkspaceBytes<double>(op, {radius}, 1000, channels) != 0) {
          report->Fail(std::to_string(channels) + " channels need a workspace");
        }
        report->Count(1);
      }
    }
  }
}

// Rows of equal values, where the power or the reciprocal of a norm is near the
// ends of float's range.
inline void CheckRangeEnds(Report* report) {
  const struct {
    Op op;
    float bias, alpha, beta;
    std::vector<float> inputs;
  } cases[] = {
      // A denormal gradient divided by a small norm is normal, and keeps its
      // bits.
      {Op::kLrnGradGrad, 0x1p-60f, 1, 0.75f, {0x1p30f, 9.6e-43f, 0x1p-30f, 1}},
      {Op::kLrnGradGrad, 0x1p-60f, 1, 0.75f, {0x1p30f, 4e-45f, 0x1p-30f, 1}},
      {Op::kLrnGradGrad,
       0x1p-60f,
       0x1p80f,
       0.75f,
       {0x1p-50f, 9.6e-43f, 0x1p-70f, 0}},
      {Op::kLrnGradGradFromInput,
       0x1p-60f,
       1,
       0.75f,
       {0x1p30f, 9.6e-43f, 0x1p-30f}},
      // The smallest norm for which approximations are used, and one below,
      // whose quarter is denormal.
      {Op::kLrnGrad, 0x1p-124f, 1, 0.75f, {0x1p-60f, 0x1p-80f, 0x1p-63f}},
      {Op::kLrnGrad, 0x1p-125f, 1, 0.75f, {0x1p-60f, 0x1p-80f, 0x1p-63f}},
      // A norm whose reciprocal is denormal, and one whose power is.
      {Op::kLrnGrad, 0x1p127f, 1, 0.75f, {0x1p60f, 1, 0x1p62f}},
      {Op::kLrnGradFromInput, 0x1p127f, 1, 0.75f, {0x1p60f, 0x1p62f}},
      {Op::kLrnGradFromInput, 0x1p-124f, 1, 0.75f, {0x1p-60f, 0x1p-80f}},
      {Op::kLrn, 0x1p127f, 0, 1, {0x1p60f}},
  };
  for (const auto& c : cases) {
    const Call call = {c.op, {0, c.bias, c.alpha, c.beta}, 4, 96};
    Tensors<float> inputs;
    for (const float value : c.inputs) {
      inputs.emplace_back(call.rows * call.channels, value);
    }
    const Tensors<float> outputs = RunCall(call, inputs, report);
    for (int64_t row = 0; row < call.rows; ++row) {
      CheckRow(call, inputs, outputs, row, report);
    }
  }
}

struct Check {
  std::string name;
  std::function<void(Report*)> run;
};

inline std::vector<Check> AllChecks() {
  std::vector<Check> checks;
  const auto add = [&](auto zero) {
    using T = decltype(zero);
    const std::string suffix = std::string(", ") + TypeName<T>();
    checks.push_back({"the formulas" + suffix, CheckFormulas<T>});
    checks.push_back({"the same bits" + suffix, CheckBits<T>});
    checks.push_back({"every version" + suffix, CheckVersions<T>});
    checks.push_back({"repeated runs" + suffix, CheckRepeatedRuns<T>});
    checks.push_back({"extreme norms" + suffix, CheckExtremeNorms<T>});
    checks.push_back({"special values" + suffix, CheckSpecialValues<T>});
  };
  add(Half{});
  add(BFloat16{});
  add(float{});
  add(double{});
  checks.push_back({"radii", CheckRadii});
  checks.push_back({"zero gradients", CheckZeroGradients});
  checks.push_back({"small beside large values", CheckSmallBesideLarge});
  checks.push_back({"ends of the range", CheckRangeEnds});
  checks.push_back({"empty tensors", CheckEmpty});
  checks.push_back({"workspace", CheckWorkspaceBytes});
  return checks;
}

}  // namespace tflrn::cuda

#endif  // TFLRN_TESTS_CC_KERNEL_CHECKS_H_
