// Tests of cc/cpu/share_rows.h: every row is computed exactly once, regardless
// of when the pool's threads run.
#include "cc/cpu/share_rows.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace tflrn::cpu {
namespace {

using Task = std::function<void()>;

// Holds tasks back, like a pool whose threads are all busy.
struct BusyPool {
  int64_t num_threads() const { return 4; }
  void Schedule(Task task) { tasks.push_back(std::move(task)); }
  std::vector<Task> tasks;
};

struct ThreadPool {
  explicit ThreadPool(int64_t size) : size(size) {}
  ~ThreadPool() {
    for (std::thread& thread : threads) thread.join();
  }
  int64_t num_threads() const { return size; }
  void Schedule(Task task) { threads.emplace_back(std::move(task)); }
  const int64_t size;
  std::vector<std::thread> threads;
};

// How often each row is computed, and in how many ranges.
template <class Pool>
std::vector<int> Count(Pool& pool, int64_t rows, int64_t cycles_per_row,
                       int* ranges) {
  std::vector<int> count(rows);
  std::mutex mutex;
  *ranges = 0;
  ShareRows(pool, rows, cycles_per_row, [&](int64_t begin, int64_t end) {
    const std::lock_guard<std::mutex> lock(mutex);
    ASSERT_LT(begin, end);
    ASSERT_LE(end, rows);
    for (int64_t row = begin; row < end; ++row) ++count[row];
    ++*ranges;
  });
  return count;
}

TEST(ShareRows, EveryRowOnce) {
  for (const int64_t threads : {0, 1, 2, 7}) {
    for (const int64_t rows : {1, 2, 3, 8, 1000, 12345}) {
      for (const int64_t cycles : {1, 1000, 1000000}) {
        ThreadPool pool(threads);
        int ranges;
        EXPECT_EQ(Count(pool, rows, cycles, &ranges),
                  std::vector<int>(rows, 1));
      }
    }
  }
}

TEST(ShareRows, LittleWorkStaysOnTheCallingThread) {
  BusyPool pool;
  int ranges;
  Count(pool, 100, kCyclesPerThread / 100, &ranges);
  EXPECT_EQ(ranges, 1);
  EXPECT_TRUE(pool.tasks.empty());
}

TEST(ShareRows, MuchWorkIsShared) {
  BusyPool pool;
  int ranges;
  Count(pool, 1000, kCyclesPerThread, &ranges);
  EXPECT_GT(ranges, 4);
  EXPECT_EQ(pool.tasks.size(), 3u);
}

TEST(ShareRows, RangesAreWorthTheirThread) {
  BusyPool pool;
  int ranges;
  Count(pool, 4 * kCyclesPerThread, 1, &ranges);
  EXPECT_EQ(pool.tasks.size(), 3u);
  EXPECT_LE(ranges, 4 * kCyclesPerThread / kCyclesPerRange);
}

TEST(ShareRows, NoMoreThreadsThanRows) {
  BusyPool pool;
  int ranges;
  Count(pool, 2, 10 * kCyclesPerThread, &ranges);
  EXPECT_EQ(ranges, 2);
  EXPECT_EQ(pool.tasks.size(), 1u);
}

// The calling thread runs out of work long before the other one is done.
TEST(ShareRows, WaitsForTheRangesThatOthersHaveTaken) {
  constexpr int64_t kRows = 100;
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<int64_t> taken{0}, done{0};
  ThreadPool pool(2);
  ShareRows(pool, kRows, kCyclesPerThread, [&](int64_t begin, int64_t end) {
    if (std::this_thread::get_id() == caller) {
      // Leaves at least one range to the other thread, if there is one.
      while (taken == 0 && !pool.threads.empty()) std::this_thread::yield();
    } else {
      taken += end - begin;
      while (taken + done < kRows) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    done += end - begin;
  });
  EXPECT_EQ(done, kRows);
}

// XLA may call a handler on a thread of the pool that it passes to the handler.
TEST(ShareRows, DoesNotWaitForTasksThatNeverStart) {
  BusyPool pool;
  int ranges;
  EXPECT_EQ(Count(pool, 1000, kCyclesPerThread, &ranges),
            std::vector<int>(1000, 1));
  // They may start after everything they refer to is gone.
  for (Task& task : pool.tasks) task();
}

}  // namespace
}  // namespace tflrn::cpu
