// The type of the expected results: wider than double where that is fast.
#ifndef TFLRN_TESTS_CC_WIDE_H_
#define TFLRN_TESTS_CC_WIDE_H_

namespace tflrn {

// 80 bits on x86-64. Elsewhere long double is slow software, and double must
// do; the bounds have room for its errors.
#ifdef __x86_64__
using Wide = long double;
#else
using Wide = double;
#endif

}  // namespace tflrn

#endif  // TFLRN_TESTS_CC_WIDE_H_
