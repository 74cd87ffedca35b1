// What op definitions and kernels share: the attributes, and the errors for
// wrong shapes.
#ifndef TFLRN_CC_TF_LRN_ATTRIBUTES_H_
#define TFLRN_CC_TF_LRN_ATTRIBUTES_H_

#include <string>

#include "absl/status/status.h"
#include "cc/core/lrn_params.h"
#include "cc/core/op_inputs.h"

namespace tflrn {

// Reads and validates the attributes. `Context` is an OpKernelConstruction or
// an InferenceContext.
template <class Context>
absl::Status ReadAttributes(Context* context, LrnParams* params) {
  absl::Status status;
  VisitParams(params, [&](const char* name, auto* value) {
    status.Update(context->GetAttr(name, value));
  });
  if (!status.ok()) return status;
  const std::string error = ValidateParams(*params);
  if (!error.empty()) return absl::InvalidArgumentError(error);
  return absl::OkStatus();
}

inline absl::Status WrongRankError(const char* name, const std::string& shape) {
  return absl::InvalidArgumentError(WrongRankMessage(name, shape));
}

inline absl::Status ShapeMismatchError(const char* name,
                                       const std::string& shape,
                                       const char* first_name,
                                       const std::string& first_shape) {
  return absl::InvalidArgumentError(
      ShapeMismatchMessage(name, shape, first_name, first_shape));
}

}  // namespace tflrn

#endif  // TFLRN_CC_TF_LRN_ATTRIBUTES_H_
