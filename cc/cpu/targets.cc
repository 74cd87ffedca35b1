// Chooses the instruction set of the row kernels.
#include "cc/cpu/targets.h"

#include <atomic>
#include <cstdlib>
#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace tflrn::cpu {
namespace {

struct Choice {
  const Target* target;
  std::string error;
};

bool ProcessorRuns(const Target& target) {
#ifdef __x86_64__
  if (&target == &kAvx512Target) {
    return __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && ProcessorRuns(kAvx2Target);
  }
  if (&target == &kAvx2Target) {
    // Not every compiler's __builtin_cpu_supports knows F16C.
    unsigned eax, ebx, ecx, edx;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C) != 0;
  }
#endif
  return &target == &kBaselineTarget;
}

Choice Choose() {
  const std::vector<const Target*>& supported = SupportedTargets();
  Choice choice{supported.front(), ""};
  const char* name = std::getenv("TFLRN_CPU_TARGET");
  if (name == nullptr || *name == '\0') return choice;
  std::string names;
  for (const Target* target : supported) {
    if (target->name == std::string(name)) return {target, ""};
    names += (names.empty() ? "" : ", ") + std::string(target->name);
  }
  bool compiled = false;
  for (const Target* target : CompiledTargets()) {
    compiled = compiled || target->name == std::string(name);
  }
  choice.error = "TFLRN_CPU_TARGET is '" + std::string(name) + "', which " +
                 (compiled ? "this processor cannot run" : "is not a target") +
                 "; choose one of: " + names;
  return choice;
}

const Choice& InitialChoice() {
  static const Choice& choice = *new Choice(Choose());
  return choice;
}

std::atomic<const Target*> active_target{nullptr};

}  // namespace

const std::vector<const Target*>& CompiledTargets() {
  static const auto& targets = *new std::vector<const Target*>{
#ifdef __x86_64__
      &kAvx512Target, &kAvx2Target,
#endif
      &kBaselineTarget};
  return targets;
}

const std::vector<const Target*>& SupportedTargets() {
  static const auto& targets = *[] {
    auto* supported = new std::vector<const Target*>;
    for (const Target* target : CompiledTargets()) {
      if (ProcessorRuns(*target)) supported->push_back(target);
    }
    return supported;
  }();
  return targets;
}

const Target& ActiveTarget() {
  const Target* target = active_target.load(std::memory_order_acquire);
  if (target == nullptr) {
    target = InitialChoice().target;
    active_target.store(target, std::memory_order_release);
  }
  return *target;
}

const std::string& TargetError() { return InitialChoice().error; }

void SetActiveTarget(const Target& target) {
  active_target.store(&target, std::memory_order_release);
}

}  // namespace tflrn::cpu
