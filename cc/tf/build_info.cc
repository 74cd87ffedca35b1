// What Python asks the library through ctypes: how it was built, and whether
// parameters are valid.
#include <cstdint>
#include <string>

#include "absl/strings/str_replace.h"
#include "cc/core/lrn_params.h"
#include "cc/cpu/targets.h"

#ifndef TFLRN_CUDA_ARCHS
#define TFLRN_CUDA_ARCHS ""
#endif
#ifndef TFLRN_WITH_XLA
#define TFLRN_WITH_XLA 0
#endif

namespace tflrn {
namespace {

std::string Quoted(const std::string& text) { return '"' + text + '"'; }

std::string BuildInfo() {
  std::string targets;
  for (const cpu::Target* target : cpu::CompiledTargets()) {
    targets += (targets.empty() ? "" : ", ") + Quoted(target->name);
  }
  const std::string archs =
      absl::StrReplaceAll(TFLRN_CUDA_ARCHS, {{",", "\", \""}});
  std::string info = "{";
  info += "\"version\": " + Quoted(TFLRN_VERSION) + ", ";
  info += "\"tensorflow\": " + Quoted(TFLRN_TF_VERSION) + ", ";
  info += "\"compiler\": " + Quoted(__VERSION__) + ", ";
  info += "\"cpu_targets\": [" + targets + "], ";
  info += "\"cpu_target\": " + Quoted(cpu::ActiveTarget().name) + ", ";
  info += "\"cuda_archs\": " +
          (archs.empty() ? "null" : "[" + Quoted(archs) + "]") + ", ";
  info += "\"xla\": " + std::string(TFLRN_WITH_XLA ? "true" : "false");
  return info + "}";
}

}  // namespace
}  // namespace tflrn

#define TFLRN_EXPORT extern "C" __attribute__((visibility("default")))

// JSON. The memory belongs to the library and stays valid.
TFLRN_EXPORT const char* tflrn_build_info() {
  static const std::string& info = *new std::string(tflrn::BuildInfo());
  return info.c_str();
}

// Empty, or what is wrong with the environment variable TFLRN_CPU_TARGET.
TFLRN_EXPORT const char* tflrn_cpu_target_error() {
  return tflrn::cpu::TargetError().c_str();
}

// Empty, or what is wrong with the parameters. Valid until the thread's next
// call.
TFLRN_EXPORT const char* tflrn_params_error(int64_t depth_radius, float bias,
                                            float alpha, float beta) {
  thread_local std::string error;
  error = tflrn::ValidateParams({depth_radius, bias, alpha, beta});
  return error.c_str();
}
