// Times the functions of cc/cpu alone, on one core: every op, type and target
// that this processor supports, in turns with a loop that moves the same bytes.
//
// Counters:
//   cycles        per element
//   times_memory  the time as a multiple of the loop's
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "benchmarks/cc/cycles.h"
#include "benchmarks/cc/move_bytes.h"
#include "cc/core/float16.h"
#include "cc/core/lrn_params.h"
#include "cc/core/ops.h"
#include "cc/core/types.h"
#include "cc/cpu/ops.h"
#include "cc/cpu/targets.h"

namespace tflrn::cpu {
namespace {

struct Shape {
  const char* name;
  int64_t rows;
  int64_t channels;
  LrnParams params;
};

// AlexNet's first layer, which fits into no cache, and 6,144 elements, which
// stay in the second-level cache, so that arithmetic dominates.
constexpr LrnParams kAlexNet = {2, 2.0f, 1e-4f, 0.75f};
constexpr int64_t kMemoryElements = 32 * 55 * 55 * 96;
constexpr int64_t kCachedElements = 6144;
const Shape kShapes[] = {
    {"memory", kMemoryElements / 96, 96, kAlexNet},
    {"memory_r5", kMemoryElements / 96, 96, {}},
    {"memory_r64", kMemoryElements / 512, 512, {64, 2.0f, 1e-4f, 0.75f}},
    {"memory_r11_c95", kMemoryElements / 96, 95, {11, 2.0f, 1e-4f, 0.75f}},
    {"memory_r11_c511", kMemoryElements / 512, 511, {11, 2.0f, 1e-4f, 0.75f}},
    {"cached", kCachedElements / 96, 96, kAlexNet},
    {"cached_r0", kCachedElements / 96, 96, {0, 2.0f, 1e-4f, 0.75f}},
    {"cached_r5", kCachedElements / 96, 96, {}},
    {"cached_r8", kCachedElements / 96, 96, {8, 2.0f, 1e-4f, 0.75f}},
    {"cached_r24", kCachedElements / 96, 96, {24, 2.0f, 1e-4f, 0.75f}},
    {"cached_r24_c512", kCachedElements / 512, 512, {24, 2.0f, 1e-4f, 0.75f}},
    {"cached_r32", kCachedElements / 96, 96, {32, 2.0f, 1e-4f, 0.75f}},
    {"cached_all", kCachedElements / 96, 96, {96, 2.0f, 1e-4f, 0.75f}},
    {"cached_beta2", kCachedElements / 96, 96, {2, 2.0f, 1e-4f, 2.0f}},
    {"cached_c1", kCachedElements, 1, kAlexNet},
    {"cached_c3", kCachedElements / 3, 3, kAlexNet},
    {"cached_c24", kCachedElements / 24, 24, kAlexNet},
    {"cached_c512", kCachedElements / 512, 512, kAlexNet},
};

void Assign(float value, Half* out) {
  out->bits = static_cast<uint16_t>(FloatToHalfBits(value));
}
void Assign(float value, BFloat16* out) {
  out->bits = static_cast<uint16_t>(FloatToBFloat16Bits(value));
}
template <class T>
void Assign(float value, T* out) {
  *out = value;
}

struct FreeLines {
  void operator()(void* memory) const {
    ::operator delete(memory, std::align_val_t{sizeof(Line)});
  }
};

// Normally distributed numbers, repeated with a period longer than a row.
template <class T>
std::unique_ptr<T, FreeLines> MakeTensor(unsigned seed) {
  constexpr int64_t kPeriod = 99991;
  auto* values = static_cast<T*>(::operator new(
      kMemoryElements * sizeof(T), std::align_val_t{sizeof(Line)}));
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < kPeriod; ++i) Assign(normal(random), &values[i]);
  for (int64_t i = kPeriod; i < kMemoryElements; ++i) {
    values[i] = values[i - kPeriod];
  }
  return std::unique_ptr<T, FreeLines>(values);
}

template <class Op, class T>
void Run(benchmark::State& state, const Target* target, const Shape& shape) {
  constexpr int kTensors = Op::kInputs + Op::kOutputs;
  std::array<std::unique_ptr<T, FreeLines>, kTensors> memory;
  for (int k = 0; k < kTensors; ++k) memory[k] = MakeTensor<T>(k);
  RowTensors<Op, T> tensors;
  tensors.rows = shape.rows;
  tensors.channels = shape.channels;
  std::array<const char*, Op::kInputs> sources;
  std::array<char*, Op::kOutputs> targets;
  for (size_t k = 0; k < Op::kInputs; ++k) {
    tensors.in[k] = memory[k].get();
    sources[k] = reinterpret_cast<const char*>(tensors.in[k]);
  }
  for (size_t k = 0; k < Op::kOutputs; ++k) {
    tensors.out[k] = memory[Op::kInputs + k].get();
    targets[k] = reinterpret_cast<char*>(tensors.out[k]);
  }
  const ScratchMemory scratch =
      AllocateScratch(ScratchBytes<T>(shape.params, shape.channels));
  const int64_t elements = shape.rows * shape.channels;
  const auto lines = static_cast<int64_t>(elements * sizeof(T) / sizeof(Line));

  SetActiveTarget(*target);
  const double cycles_per_second = CyclesPerSecond();
  // Often enough that the time of reading the clock does not matter.
  const int64_t repeats = kMemoryElements / (100 * elements) + 1;
  double op_seconds = 0, loop_seconds = 0;
  for (auto _ : state) {
    const double start = ThreadSeconds();
    for (int64_t k = 0; k < repeats; ++k) {
      Compute(shape.params, tensors, scratch.get());
      benchmark::ClobberMemory();
    }
    const double middle = ThreadSeconds();
    for (int64_t k = 0; k < repeats; ++k) {
      MoveLines<Op::kInputs, Op::kOutputs>(sources.data(), targets.data(), 0,
                                           lines);
      benchmark::ClobberMemory();
    }
    op_seconds += middle - start;
    loop_seconds += ThreadSeconds() - middle;
    state.SetIterationTime(middle - start);
  }
  const int64_t calls = state.iterations() * repeats;
  const auto processed = static_cast<double>(elements * calls);
  state.counters["cycles"] = op_seconds * cycles_per_second / processed;
  state.counters["times_memory"] = op_seconds / loop_seconds;
  state.SetBytesProcessed(calls * elements * kTensors *
                          static_cast<int64_t>(sizeof(T)));
}

template <class Op, class T>
void Register(const std::string& name) {
  for (const Target* target : SupportedTargets()) {
    for (const Shape& shape : kShapes) {
      const std::string full = name + "/" + target->name + "/" + shape.name;
      benchmark::RegisterBenchmark(full.c_str(), Run<Op, T>, target, shape)
          ->UseManualTime();
    }
  }
}

template <class Op>
void RegisterTypes(const std::string& op) {
  Register<Op, Half>(op + "/half");
  Register<Op, BFloat16>(op + "/bfloat16");
  Register<Op, float>(op + "/float");
  Register<Op, double>(op + "/double");
}

const bool registered = [] {
  RegisterTypes<Lrn>("Lrn");
  RegisterTypes<LrnGrad>("LrnGrad");
  RegisterTypes<LrnGradFromInput>("LrnGradFromInput");
  RegisterTypes<LrnGradGrad>("LrnGradGrad");
  RegisterTypes<LrnGradGradFromInput>("LrnGradGradFromInput");
  return true;
}();

}  // namespace
}  // namespace tflrn::cpu

// Like BENCHMARK_MAIN, but a filter that matches nothing is an error.
int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  return benchmark::RunSpecifiedBenchmarks() == 0 ? 1 : 0;
}
