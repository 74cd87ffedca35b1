// Tests of the choice of the instruction set (cc/cpu/targets.h). The choice is
// made once per process, so the cases with an environment variable run in child
// processes.
#include "cc/cpu/targets.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "gtest/gtest.h"

namespace tflrn::cpu {
namespace {

// Prints the choice made with this value of the variable, and exits.
[[noreturn]] void PrintChoice(const char* wish) {
  setenv("TFLRN_CPU_TARGET", wish, 1);
  std::fprintf(stderr, "target=%s error=%s|", ActiveTarget().name,
               TargetError().c_str());
  std::exit(0);
}

class TargetsTest : public ::testing::Test {
 protected:
  // A forked child of a process that has chosen would inherit the choice.
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(TargetsTest, TheBestOneIsChosen) {
  const std::string best = SupportedTargets().front()->name;
  EXPECT_EXIT(PrintChoice(""), ::testing::ExitedWithCode(0),
              "target=" + best + " error=\\|");
}

TEST_F(TargetsTest, TheEnvironmentForcesEachSupportedOne) {
  for (const Target* target : SupportedTargets()) {
    EXPECT_EXIT(PrintChoice(target->name), ::testing::ExitedWithCode(0),
                std::string("target=") + target->name + " error=\\|");
  }
}

TEST_F(TargetsTest, AnUnknownNameIsAnErrorThatListsTheChoices) {
  EXPECT_EXIT(
      PrintChoice("avx9"), ::testing::ExitedWithCode(0),
      "error=TFLRN_CPU_TARGET is 'avx9', which is not a target; choose one "
      "of: .*baseline\\|");
}

TEST_F(TargetsTest, TheBaselineIsAlwaysThere) {
  EXPECT_EQ(SupportedTargets().back(), &kBaselineTarget);
  EXPECT_EQ(CompiledTargets().back(), &kBaselineTarget);
  for (const Target* target : SupportedTargets()) {
    EXPECT_EQ(
        std::count(CompiledTargets().begin(), CompiledTargets().end(), target),
        1);
  }
}

}  // namespace
}  // namespace tflrn::cpu
