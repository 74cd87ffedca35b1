// What results are compared with: a type that is wider where that is fast.
#ifndef TFLRN_TESTS_CC_WIDE_H_
#define TFLRN_TESTS_CC_WIDE_H_

namespace tflrn {

// x86-64's 80 bits. Elsewhere long double is slow software, and double must do,
// whose own errors the bounds have room for.
#ifdef __x86_64__
using Wide = long double;
#else
using Wide = double;
#endif

}  // namespace tflrn

#endif  // TFLRN_TESTS_CC_WIDE_H_
