// Tests of RunsOn in cc/cuda/devices.h; they need no GPU.
#include <gtest/gtest.h>

#include "cc/cuda/devices.h"

namespace tflrn::cuda {
namespace {

TEST(RunsOnTest, MachineCodeServesItsMajorVersion) {
  const char* const archs = "75,80,86,89,90";
  EXPECT_TRUE(RunsOn(archs, 7, 5));
  EXPECT_TRUE(RunsOn(archs, 8, 0));
  EXPECT_TRUE(RunsOn(archs, 8, 9));
  EXPECT_TRUE(RunsOn("80", 8, 6));
  EXPECT_TRUE(RunsOn(archs, 9, 0));
  EXPECT_FALSE(RunsOn(archs, 7, 0));
  EXPECT_FALSE(RunsOn(archs, 6, 1));
  EXPECT_FALSE(RunsOn("86", 8, 0));
  EXPECT_FALSE(RunsOn("75,90", 8, 6));
}

TEST(RunsOnTest, PtxOfTheLastServesLaterGpus) {
  EXPECT_TRUE(RunsOn("75,90", 10, 0));
  EXPECT_TRUE(RunsOn("90", 12, 0));
  EXPECT_TRUE(RunsOn("80", 9, 0));
  EXPECT_FALSE(RunsOn("100,80", 7, 5));
  EXPECT_FALSE(RunsOn("90", 8, 9));
}

TEST(RunsOnTest, SpecificArchitecturesServeNoOthers) {
  EXPECT_TRUE(RunsOn("90a", 9, 0));
  EXPECT_FALSE(RunsOn("90a", 10, 0));
  EXPECT_FALSE(RunsOn("100a", 10, 3));
  EXPECT_TRUE(RunsOn("100f", 10, 3));
  EXPECT_FALSE(RunsOn("100f", 12, 0));
  EXPECT_TRUE(RunsOn("90a,120", 9, 0));
}

TEST(RunsOnTest, MachineCodeOfTegrasServesNoOthers) {
  EXPECT_FALSE(RunsOn("75,80,86,89,90", 8, 7));
  EXPECT_TRUE(RunsOn("80,87,90", 8, 7));
  EXPECT_FALSE(RunsOn("75,87,90", 8, 9));
  EXPECT_TRUE(RunsOn("75,80", 8, 7));  // PTX.
}

TEST(RunsOnTest, NothingServesNone) { EXPECT_FALSE(RunsOn("", 9, 0)); }

}  // namespace
}  // namespace tflrn::cuda
