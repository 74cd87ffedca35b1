// Tests of the GPU kernels without a GPU, emulated on the host with threads in
// random order. They cover indices, barriers, and all arithmetic but the
// device's own functions. check_kernels.cc runs the same checks on a GPU.
#include "tests/cc/emulated_cuda.h"
// After the runtime, which it uses.
#include "cc/cuda/lrn_rows-inl.h"
#include "gtest/gtest.h"
#include "tests/cc/kernel_checks.h"

namespace tflrn::cuda {
namespace {

class CudaKernelsTest : public ::testing::TestWithParam<Check> {};

TEST_P(CudaKernelsTest, Emulated) {
  Report report;
  GetParam().run(&report);
  EXPECT_EQ(report.failures(), 0) << report.text();
  EXPECT_GT(report.values(), 0);
}

INSTANTIATE_TEST_SUITE_P(Checks, CudaKernelsTest,
                         ::testing::ValuesIn(AllChecks()),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           for (char& c : name) {
                             if (!std::isalnum(c)) c = '_';
                           }
                           return name;
                         });

// The shape of its blocks shows which version runs.
struct Shape {
  int64_t rows, channels, radius, offset;
  unsigned blocks, x, y;
};

TEST(CudaVersionsTest, AreTheBestThatApply) {
  const Shape shapes[] = {
      // Rows of whole packs, as many as make whole warps.
      {1000, 96, 2, 0, 250, 24, 4},
      {1000, 64, 8, 0, 125, 16, 8},
      {100, 2048, 2, 0, 100, 512, 1},
      // Fewer rows.
      {3, 96, 2, 0, 1, 24, 3},
      // A wide window, also over incomplete packs.
      {1000, 96, 9, 0, 250, 24, 4},
      {1000, 96, 9, 1, 250, 24, 4},
      {1000, 33, 9, 0, 72, 9, 14},
      // Incomplete packs, and unaligned tensors.
      {10000, 1, 2, 0, 79, 1, 128},
      {10000, 3, 2, 0, 79, 1, 128},
      {1000, 33, 2, 0, 72, 9, 14},
      {1000, 96, 8, 1, 250, 24, 4},
      {100, 2047, 2, 0, 100, 512, 1},
      {100, 501, 2, 0, 100, 126, 1},
      {3, 501, 2, 0, 3, 126, 1},
      {1, 33, 2, 0, 1, 9, 1},
      // Value by value: rows too long for registers, with one block each.
      {7, 5000, 2, 0, 7, 512, 1},
      {7, 5000, 9, 0, 7, 512, 1},
      // Too long for shared memory: as many blocks as workspaces.
      {258, 12400, 2, 0, 256, 512, 1},
  };
  for (const Shape& shape : shapes) {
    const Call call = {Op::kLrn,
                       {shape.radius, 1, 1, 0.5f},
                       shape.rows,
                       shape.channels,
                       shape.offset};
    Report report;
    RunCall(call, RandomInputs<float>(call, 1), &report);
    const emulated::Launches& launched = emulated::launches;
    EXPECT_EQ(launched.grid.x, shape.blocks) << call.Text();
    EXPECT_EQ(launched.block.x, shape.x) << call.Text();
    EXPECT_EQ(launched.block.y, shape.y) << call.Text();
  }
}

// Of each version: even, uneven, loop, and loop with a workspace.
TEST(CudaVersionsTest, UseTheStreamAndReturnErrors) {
  const int64_t fits = 12288;  // 48 KiB of float.
  for (const int64_t channels : {int64_t{96}, int64_t{33}, fits, fits + 1}) {
    const Call call = {Op::kLrn, {2, 1, 1, 0.5f}, 1, channels};
    std::vector<float> x = RandomInputs<float>(call, 1)[0];
    std::vector<double> workspace(channels);
    EXPECT_EQ(WorkspaceBytes<float>(call.op, call.params, 1, channels) == 0,
              channels <= fits);
    const auto stream = reinterpret_cast<Stream>(workspace.data());
    const auto launch = [&] {
      return LaunchOp<float>(call, {x.data()}, {x.data()}, workspace.data(),
                             stream);
    };
    EXPECT_EQ(launch(), cudaSuccess) << call.Text();
    EXPECT_EQ(emulated::launches.stream, stream) << call.Text();
    emulated::refuse_launches = true;
    EXPECT_NE(launch(), cudaSuccess) << call.Text();
    emulated::refuse_launches = false;
  }
}

// Of all versions' launches, at every alignment; the kernels are not run.
template <class T>
void CheckLaunches() {
  for (const Op op : kOps) {
    for (const int64_t radius : {int64_t{0}, int64_t{2}, int64_t{5}, int64_t{8},
                                 int64_t{9}, int64_t{64}, kLargest}) {
      for (int64_t channels = 1; channels <= 9000; channels += 3) {
        for (const int64_t offset : {0, 1}) {
          const Call call = {op, {radius, 1, 1, 0.5f}, 1000, channels};
          T* const tensor = reinterpret_cast<T*>(kPackBytes) + offset;
          LaunchOp<T>(call, std::vector<T*>(Inputs(op), tensor),
                      std::vector<T*>(Outputs(op), tensor), tensor);
          const emulated::Launches& launched = emulated::launches;
          const bool wide = EffectiveRadius(radius, channels) > kMaxTapRadius;
          // Windows are kept in one or the other; some need neither.
          const bool none = op == Op::kLrn && !wide && sizeof(T) < 8 &&
                            channels * sizeof(T) <= LaunchPolicy::kMaxRowBytes;
          ASSERT_EQ(
              launched.shared_bytes == 0,
              none || WorkspaceBytes<T>(op, call.params, 1000, channels) != 0)
              << call.Text() << ", " << TypeName<T>();
          ASSERT_LE(launched.shared_bytes, size_t{LaunchPolicy::kSharedBytes})
              << call.Text() << ", " << TypeName<T>();
          // What the kernels are compiled for.
          const bool even = offset == 0 && channels * sizeof(T) % 16 == 0;
          ASSERT_LE(launched.block.x * launched.block.y,
                    sizeof(T) == 2 && !even && !wide ? 1024u : 512u)
              << call.Text() << ", " << TypeName<T>();
        }
      }
    }
  }
}

TEST(CudaVersionsTest, AskForAWorkspaceIfTheyUseIt) {
  emulated::refuse_launches = true;
  CheckLaunches<Half>();
  CheckLaunches<BFloat16>();
  CheckLaunches<float>();
  CheckLaunches<double>();
  emulated::refuse_launches = false;
}

TEST(CudaVersionsTest, RefuseMoreBlocksThanAGridHas) {
  for (const int64_t channels : {96, 33}) {  // Even and uneven rows.
    const Call call = {
        Op::kLrn, {2, 1, 1, 0.5f}, LaunchPolicy::kMaxBlocks * 1000, channels};
    float* const tensor = reinterpret_cast<float*>(kPackBytes);
    const int before = emulated::launches.count;
    EXPECT_EQ(LaunchOp<float>(call, {tensor}, {tensor}, nullptr),
              cudaErrorInvalidConfiguration);
    EXPECT_EQ(emulated::launches.count, before);
  }
}

// As many as blocks run at a time.
TEST(CudaVersionsTest, HaveALimitedNumberOfWorkspaces) {
  const auto bytes = [](int64_t rows) {
    return WorkspaceBytes<float>(Op::kLrn, {2, 1, 1, 0.5f}, rows, 20000);
  };
  EXPECT_EQ(bytes(255), 255 * bytes(1));
  EXPECT_EQ(bytes(1000000), 256 * bytes(1));
}

TEST(CudaVersionsTest, NoElementsAreNoLaunch) {
  const int before = emulated::launches.count;
  Report report;
  CheckEmpty(&report);
  EXPECT_EQ(emulated::launches.count, before);
}

}  // namespace
}  // namespace tflrn::cuda
