// Shares rows over a thread pool that only runs tasks, such as TensorFlow's and
// XLA's.
//
// Why not TensorFlow's own Shard: it makes four ranges per thread, and leaves
// all of them to the pool's threads. Of two threads, the second is woken while
// the caller is about to sleep, may find both cores busy, and then waits for
// the first one's core. On an EPYC with 2 cores, alternating with a long
// single-threaded call, LRN of 8x28x28x1024 in half took 1.64 ms that way, and
// takes 0.96 ms; of 16384x64 in float 0.23 ms, and takes 0.15 ms.
#ifndef TFLRN_CC_CPU_SHARE_ROWS_H_
#define TFLRN_CC_CPU_SHARE_ROWS_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

namespace tflrn::cpu {

// The least work per thread and per range: the costs that Eigen's thread pool
// assumes.
constexpr int64_t kCyclesPerThread = 100000;
constexpr int64_t kCyclesPerRange = 40000;
// More than one, so that the threads finish together even if one is
// interrupted.
constexpr int64_t kRangesPerThread = 4;

// Calls work(begin, end) for ranges that partition [0, rows), on the calling
// thread and others, and returns when all are done. `ThreadPool` has
// num_threads() and Schedule(task), like xla::ffi::ThreadPool.
//
// The calling thread may itself belong to the pool, so it never waits for a
// task to start: that task might be queued behind others that wait in the same
// way. It takes ranges as long as there are any, and then waits for those that
// others have taken.
template <class ThreadPool, class Work>
void ShareRows(ThreadPool& pool, int64_t rows, int64_t cycles_per_row,
               const Work& work) {
  const int64_t threads = std::min(
      {pool.num_threads(), rows, rows * cycles_per_row / kCyclesPerThread});
  if (threads <= 1) {
    work(int64_t{0}, rows);
    return;
  }
  const int64_t range = std::max(rows / (threads * kRangesPerThread),
                                 kCyclesPerRange / cycles_per_row) +
                        1;

  struct Progress {
    std::atomic<int64_t> next{0};  // The first row not yet taken.
    std::mutex mutex;
    std::condition_variable all_done;
    int64_t done = 0;
  };
  // Tasks that start late may outlive this call. They share the ownership of
  // `progress`, find no rows to take, and do not touch `work`.
  const auto progress = std::make_shared<Progress>();
  const auto take_ranges = [progress, rows, range, &work] {
    for (;;) {
      const int64_t begin = progress->next.fetch_add(range);
      if (begin >= rows) return;
      const int64_t end = std::min(begin + range, rows);
      work(begin, end);
      const std::lock_guard<std::mutex> lock(progress->mutex);
      progress->done += end - begin;
      if (progress->done == rows) progress->all_done.notify_one();
    }
  };
  for (int64_t i = 1; i < threads; ++i) {
    pool.Schedule([take_ranges] { take_ranges(); });
  }
  take_ranges();
  std::unique_lock<std::mutex> lock(progress->mutex);
  progress->all_done.wait(lock, [&] { return progress->done == rows; });
}

}  // namespace tflrn::cpu

#endif  // TFLRN_CC_CPU_SHARE_ROWS_H_
