// Compares cc/core/power.h with square roots and a division, for the
// instruction set of this processor: it includes the vectors of the row
// kernels, compiled with -march=native.
//
// Counters:
//   cycles       per vector
//   largest_ulp  the largest error in units in the last place, for the norms of
//                tests/cc/power_error.h
#if defined(__AVX512F__)
#define TFLRN_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define TFLRN_VECTOR_BYTES 32
#else
#define TFLRN_VECTOR_BYTES 16
#endif
#define TFLRN_TARGET kNativeTarget
#define TFLRN_TARGET_NAME "native"
#include "cc/cpu/lrn_rows-inl.h"
// For its vectors alone.
#include <array>
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <string>

#include "benchmark/benchmark.h"
#include "benchmarks/cc/cycles.h"
#include "tests/cc/power_error.h"

namespace tflrn::cpu {
namespace {

constexpr int kCount = 1024;  // Fits into the first-level cache.

template <class Scalar>
struct Arrays {
  alignas(64) std::array<Scalar, kCount> norms;
  alignas(64) std::array<Scalar, kCount> powers;
};

template <class Scalar, class Step>
void Measure(benchmark::State& state, const Step& step) {
  static Arrays<Scalar> arrays;
  for (int k = 0; k < kCount; ++k) {
    arrays.norms[k] = static_cast<Scalar>(1 + k * 0.01);
  }
  const double cycles_per_second = CyclesPerSecond();
  const double start = ThreadSeconds();
  for (auto _ : state) {
    step(arrays.norms.data(), arrays.powers.data());
    benchmark::ClobberMemory();
  }
  const double seconds = ThreadSeconds() - start;
  const double vectors =
      static_cast<double>(state.iterations()) * kCount / kLanes<Scalar>;
  state.counters["cycles"] = seconds * cycles_per_second / vectors;
}

template <class Scalar, PowerPath kPath>
void Power(benchmark::State& state, float beta) {
  const auto params = MakePowerParams<Scalar>(beta);
  Measure<Scalar>(state, [&](const Scalar* norms, Scalar* powers) {
    for (int k = 0; k < kCount; k += kLanes<Scalar>) {
      Narrow(WithPower<kPath>(Widen(norms + k), params).power, powers + k);
    }
  });
  state.counters["largest_ulp"] = LargestPowerError<Vec<Scalar>, kPath>(beta);
}

// norm^-0.75 = 1 / (sqrt(norm) sqrt(sqrt(norm))), which the compiler
// vectorizes.
template <class Scalar>
void RootsAndDivision(benchmark::State& state) {
  Measure<Scalar>(state, [](const Scalar* norms, Scalar* powers) {
    for (int k = 0; k < kCount; ++k) {
      const Scalar root = std::sqrt(norms[k]);
      powers[k] = 1 / (root * std::sqrt(root));
    }
  });
}

template <class Scalar, PowerPath kPath>
void Register(const std::string& name, std::initializer_list<float> betas) {
  for (const float beta : betas) {
    char full[64];
    snprintf(full, sizeof(full), "Power/%s/%g", name.c_str(), beta);
    benchmark::RegisterBenchmark(full, Power<Scalar, kPath>, beta);
  }
}

template <class Scalar>
void RegisterType(const std::string& type) {
  Register<Scalar, PowerPath::kRoots>(type + "/roots", {0.5f, 0.75f});
  Register<Scalar, PowerPath::kPlain>(type + "/plain", {0.5f, 0.75f, 0.3f});
  Register<Scalar, PowerPath::kAny>(
      type + "/any", {0.5f, 0.75f, 0.3f, 1.0f, 0.6f, -0.5f, 2.0f});
  benchmark::RegisterBenchmark(("RootsAndDivision/" + type).c_str(),
                               RootsAndDivision<Scalar>);
}

const bool registered = [] {
  RegisterType<float>("float");
  RegisterType<double>("double");
  return true;
}();

}  // namespace
}  // namespace tflrn::cpu
