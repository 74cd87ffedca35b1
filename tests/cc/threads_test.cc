// Calls kernels on several threads at once, as TensorFlow and XLA do, for the
// thread sanitizer, and to compare the bits of the results.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "cc/core/lrn_params.h"
#include "cc/core/ops.h"
#include "cc/cpu/ops.h"
#include "cc/cpu/share_rows.h"
#include "cc/cpu/targets.h"
#include "gtest/gtest.h"

// Where there is too little memory, sanitizers end the process, unless told to
// fail as operator new does.
extern "C" __attribute__((visibility("default"))) const char*
__asan_default_options() {
  return "allocator_may_return_null=1";
}
extern "C" __attribute__((visibility("default"))) const char*
__tsan_default_options() {
  return "allocator_may_return_null=1";
}

namespace tflrn::cpu {
namespace {

constexpr int kThreads = 4;

// Starts a thread per task, and waits for all.
struct ThreadPool {
  ~ThreadPool() {
    for (std::thread& thread : threads) thread.join();
  }
  int64_t num_threads() const { return kThreads; }
  void Schedule(std::function<void()> task) {
    threads.emplace_back(std::move(task));
  }
  std::vector<std::thread> threads;
};

std::vector<float> Normal(int64_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return values;
}

void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
}

// Runs first, before anything has chosen a target, so that all threads race to
// choose.
TEST(Threads, TheTargetIsChosenOnce) {
  std::vector<const Target*> chosen(kThreads);
  {
    ThreadPool pool;
    for (const Target*& target : chosen) {
      pool.Schedule([&target] { target = &ActiveTarget(); });
    }
  }
  for (const Target* target : chosen) EXPECT_EQ(target, chosen.front());
}

// Threads write the rows of the same tensors. Neighbouring rows may share a
// cache line.
template <class Op>
void TestSharedRows(RowTensors<Op, float> tensors) {
  std::vector<float> alone[Op::kOutputs], shared[Op::kOutputs];
  const auto write_to = [&](std::vector<float>* outputs) {
    for (size_t i = 0; i < Op::kOutputs; ++i) {
      outputs[i].resize(static_cast<size_t>(tensors.rows * tensors.channels));
      tensors.out[i] = outputs[i].data();
    }
  };
  for (const int64_t radius : {2, 20}) {
    const LrnParams params{radius, 1, 0.5f, 0.75f};
    write_to(alone);
    ASSERT_TRUE(Compute(params, tensors));
    write_to(shared);
    ThreadPool pool;
    ShareRows(pool, tensors.rows, kCyclesPerThread,
              [&](int64_t begin, int64_t end) {
                EXPECT_TRUE(Compute(params, tensors.Range(begin, end)));
              });
    for (size_t i = 0; i < Op::kOutputs; ++i)
      ExpectSameBits(shared[i], alone[i]);
  }
}

TEST(Threads, RowsOfOneTensorAreShared) {
  constexpr int64_t kRows = 300, kChannels = 37;
  const std::vector<float> dy = Normal(kRows * kChannels, 1);
  const std::vector<float> x = Normal(kRows * kChannels, 2);
  const std::vector<float> u = Normal(kRows * kChannels, 4);
  TestSharedRows<Lrn>({{x.data()}, {}, kRows, kChannels});
  TestSharedRows<LrnGrad>(
      {{dy.data(), x.data(), x.data()}, {}, kRows, kChannels});
  TestSharedRows<LrnGradFromInput>(
      {{dy.data(), x.data()}, {}, kRows, kChannels});
  TestSharedRows<LrnGradGrad>(
      {{u.data(), dy.data(), x.data(), x.data()}, {}, kRows, kChannels});
  TestSharedRows<LrnGradGradFromInput>(
      {{u.data(), dy.data(), x.data()}, {}, kRows, kChannels});
}

// Calls that share nothing but their inputs.
TEST(Threads, CallsAreIndependent) {
  constexpr int64_t kRows = 20, kChannels = 33;
  const std::vector<float> x = Normal(kRows * kChannels, 3);
  const auto run = [&](int64_t radius) {
    std::vector<float> y(x.size());
    const RowTensors<Lrn, float> tensors{
        {x.data()}, {y.data()}, kRows, kChannels};
    EXPECT_TRUE(Compute({radius, 1, 0.5f, 0.75f}, tensors));
    return y;
  };
  std::vector<std::vector<float>> results(kThreads);
  {
    ThreadPool pool;
    for (int k = 0; k < kThreads; ++k) {
      pool.Schedule([&, k] {
        for (int n = 0; n < 50; ++n) results[k] = run(4 * k);
      });
    }
  }
  for (int k = 0; k < kThreads; ++k) ExpectSameBits(results[k], run(4 * k));
}

// No machine has that much; no row is touched.
TEST(Threads, TooLittleScratchMemoryIsTold) {
  const LrnParams params{int64_t{1} << 40, 1, 1, 0.5f};
  float row;
  const RowTensors<Lrn, float> tensors{{&row}, {&row}, 8, int64_t{1} << 50};
  EXPECT_FALSE(Compute(params, tensors));
  ThreadPool pool;
  EXPECT_FALSE(ComputeShared(pool, params, tensors));
}

}  // namespace
}  // namespace tflrn::cpu
