// Tests of the GPU kernels without a GPU: emulated on the host. That they are
// right there, whatever the order of the threads, shows their indices and their
// barriers to be right, and their arithmetic as far as it is not the device's
// own. check_kernels.cc runs the same checks on a GPU.
#include "tests/cc/emulated_cuda.h"
// The runtime before what uses it.
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

// Which version runs, seen by the shape of its blocks.
struct Shape {
  int64_t rows, channels, radius, offset;
  unsigned blocks, x, y;
};

TEST(CudaVersionsTest, AreTheBestThatApply) {
  const Shape shapes[] = {
      // Rows of whole packs: a thread a pack, two rows a thread.
      {1000, 96, 2, 0, 100, 24, 5},
      {1000, 64, 5, 0, 63, 16, 8},
      {100, 2048, 2, 0, 50, 512, 1},
      // A row for each thread, while there are fewer.
      {3, 96, 2, 0, 1, 24, 3},
      // A wide window.
      {1000, 96, 9, 0, 100, 24, 5},
      // Packs across rows: 1, 3 and 33 channels; another alignment; a radius
      // from 6 to 8.
      {10000, 1, 2, 0, 10, 128, 1},
      {10000, 3, 2, 0, 30, 128, 1},
      {1000, 33, 2, 0, 36, 116, 1},
      {1000, 96, 2, 1, 100, 120, 1},
      {1000, 96, 7, 0, 100, 120, 1},
      // Value by value: a wide window over an odd number of channels; rows too
      // long for registers, with a block for each.
      {1000, 33, 9, 0, 500, 64, 2},
      {7, 5000, 2, 0, 7, 512, 1},
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

TEST(CudaVersionsTest, NoElementsAreNoLaunch) {
  const int before = emulated::launches.count;
  Report report;
  CheckEmpty(&report);
  EXPECT_EQ(emulated::launches.count, before);
}

}  // namespace
}  // namespace tflrn::cuda
