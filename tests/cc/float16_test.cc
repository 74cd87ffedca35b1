// Tests of cc/core/float16.h: all halves against the compiler's own type, and
// bfloat16 against its definition.
#include "cc/core/float16.h"

#include <cmath>
#include <cstdint>
#include <random>

#include "cc/core/lanes.h"
#include "gtest/gtest.h"

namespace tflrn {
namespace {

// GCC 12 calls it _Float16 on x86-64 and __fp16 on AArch64.
#ifdef __aarch64__
using CompilersHalf = __fp16;
#else
using CompilersHalf = _Float16;
#endif

float HalfByCompiler(uint16_t bits) { return BitCast<CompilersHalf>(bits); }

TEST(HalfTest, WidensEveryValueExactly) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = HalfBitsToFloat<float>(bits);
    const float expected = HalfByCompiler(static_cast<uint16_t>(bits));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value)) << bits;
    } else {
      EXPECT_EQ(BitCast<uint32_t>(value), BitCast<uint32_t>(expected)) << bits;
    }
  }
}

void ExpectRoundsToHalf(float value) {
  const uint32_t bits = FloatToHalfBits(value);
  if (std::isnan(value)) {
    EXPECT_TRUE(std::isnan(HalfByCompiler(static_cast<uint16_t>(bits))));
  } else {
    const auto expected = BitCast<uint16_t>(static_cast<CompilersHalf>(value));
    EXPECT_EQ(bits, expected) << value;
  }
}

TEST(HalfTest, NarrowsEveryHalfAndEveryMidpointToNearestEven) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = HalfByCompiler(static_cast<uint16_t>(bits));
    ExpectRoundsToHalf(value);
    if (!std::isfinite(value)) continue;
    const float next = HalfByCompiler(static_cast<uint16_t>(bits + 1));
    const float middle = std::isfinite(next) ? 0.5f * (value + next)
                                             : std::copysign(65520.0f, value);
    ExpectRoundsToHalf(middle);
    ExpectRoundsToHalf(std::nextafter(middle, -INFINITY));
    ExpectRoundsToHalf(std::nextafter(middle, INFINITY));
  }
}

TEST(HalfTest, NarrowsRandomFloats) {
  std::mt19937 random(1);
  for (int k = 0; k < 1000000; ++k) {
    ExpectRoundsToHalf(BitCast<float>(static_cast<uint32_t>(random())));
  }
}

TEST(BFloat16Test, WidensAndNarrowsEveryValue) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = BFloat16BitsToFloat<float>(bits);
    EXPECT_EQ(BitCast<uint32_t>(value), bits << 16);
    if (std::isnan(value)) {
      const uint32_t nan = FloatToBFloat16Bits(value);
      EXPECT_TRUE(std::isnan(BFloat16BitsToFloat<float>(nan))) << bits;
    } else {
      EXPECT_EQ(FloatToBFloat16Bits(value), bits);
    }
  }
}

TEST(BFloat16Test, NarrowsToNearestEven) {
  std::mt19937 random(1);
  for (int k = 0; k < 1000000; ++k) {
    const float value = BitCast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(value)) continue;
    const uint32_t below = BitCast<uint32_t>(value) >> 16;
    const uint32_t rest = BitCast<uint32_t>(value) & 0xFFFF;
    const bool up = rest > 0x8000 || (rest == 0x8000 && below % 2 == 1);
    EXPECT_EQ(FloatToBFloat16Bits(value), below + (up ? 1 : 0)) << value;
  }
}

TEST(BFloat16Test, ANanWhosePayloadIsCutOffStaysANan) {
  const float nan = BitCast<float>(uint32_t{0x7F800001});
  EXPECT_TRUE(std::isnan(BFloat16BitsToFloat<float>(FloatToBFloat16Bits(nan))));
}

}  // namespace
}  // namespace tflrn
