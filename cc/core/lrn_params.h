// The parameters of Local Response Normalization, their defaults, and the one
// place where they are validated.
#ifndef TFLRN_CC_CORE_LRN_PARAMS_H_
#define TFLRN_CC_CORE_LRN_PARAMS_H_

#include <cmath>
#include <cstdint>
#include <string>

namespace tflrn {

// Names and defaults are those of TensorFlow's LRN and LRNGrad ops.
struct LrnParams {
  int64_t depth_radius = 5;  // Half-width of the window; any value >= 0.
  float bias = 1.0f;         // bias, alpha, beta: any finite value.
  float alpha = 1.0f;
  float beta = 0.5f;
};

// Calls visit(name, pointer) for each parameter, under its attribute's name.
// `Params` is LrnParams or const LrnParams.
template <class Params, class Visit>
void VisitParams(Params* params, const Visit& visit) {
  visit("depth_radius", &params->depth_radius);
  visit("bias", &params->bias);
  visit("alpha", &params->alpha);
  visit("beta", &params->beta);
}

// Returns an error that names the invalid parameter and its value, or an empty
// string if `params` is valid.
inline std::string ValidateParams(const LrnParams& params) {
  if (params.depth_radius < 0) {
    return "depth_radius must be 0 or more, but is " +
           std::to_string(params.depth_radius);
  }
  const struct {
    const char* name;
    float value;
  } floats[] = {
      {"bias", params.bias}, {"alpha", params.alpha}, {"beta", params.beta}};
  for (const auto& f : floats) {
    if (!std::isfinite(f.value)) {
      return std::string(f.name) + " must be a finite number, but is " +
             std::to_string(f.value);
    }
  }
  return std::string();
}

// The smallest radius with the same windows as `depth_radius` in rows of
// `channels` elements.
inline int64_t EffectiveRadius(int64_t depth_radius, int64_t channels) {
  return depth_radius < channels ? depth_radius
                                 : (channels > 0 ? channels - 1 : 0);
}

}  // namespace tflrn

#endif  // TFLRN_CC_CORE_LRN_PARAMS_H_
