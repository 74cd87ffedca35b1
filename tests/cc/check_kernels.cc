// Runs the checks of the GPU kernels: on a GPU, compiled by nvcc, with the
// library's own objects; or emulated on the host. It needs no test framework,
// so it runs where none is installed; tools/check_gpu.py compiles and starts
// it.
//
//     check_kernels [WORDS...]    runs those whose names have one of the words
//     check_kernels --list        prints the GPU, and the names, one per line
//
// Exit status: 0 if all is well, 1 if not, 3 if there is no GPU.
#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include "tests/cc/emulated_cuda.h"
// After the runtime, which it uses.
#include "cc/cuda/lrn_rows-inl.h"
#endif

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "cc/cuda/lrn_rows.h"
#include "tests/cc/kernel_checks.h"

namespace tflrn::cuda {
namespace {

#ifdef __CUDACC__

// More than 2^31 elements, in place, so that offsets need 64 bits. The tensor
// repeats a small one, and so must the result.
void CheckLargeTensor(Report* report) {
  constexpr int64_t kChannels = 96, kPeriod = 1024;
  constexpr int64_t kRows =
      ((int64_t{1} << 31) / kChannels / kPeriod + 2) * kPeriod;
  const Call small = {Op::kLrn, {2, 1, 1, 0.75f}, kPeriod, kChannels};
  const Tensors<Half> inputs = RandomInputs<Half>(small, 5);
  const Tensors<Half> expected = RunCall(small, inputs, report);
  constexpr int64_t kPeriodValues = kPeriod * kChannels;
  Call call = small;
  call.rows = kRows;
  Begin<Half>(call);
  Half* large = nullptr;
  if (cudaMalloc(&large, kRows * kChannels * sizeof(Half)) != cudaSuccess) {
    cudaGetLastError();
    report->Fail("no memory for 2^31 values of half on this GPU: not checked");
    return;
  }
  for (int64_t at = 0; at < kRows * kChannels; at += kPeriodValues) {
    Must(cudaMemcpyAsync(large + at, inputs[0].data(),
                         kPeriodValues * sizeof(Half), cudaMemcpyHostToDevice),
         "cudaMemcpy");
  }
  Must(LaunchOp<Half>(call, {large}, {large}, nullptr), "launch");
  Must(cudaDeviceSynchronize(), "a kernel");
  Tensors<Half> result(1, std::vector<Half>(kPeriodValues));
  for (int64_t at = 0; at < kRows * kChannels; at += kPeriodValues) {
    Must(cudaMemcpy(result[0].data(), large + at, kPeriodValues * sizeof(Half),
                    cudaMemcpyDeviceToHost),
         "cudaMemcpy");
    ExpectSameBits(small, result, expected, "in a large tensor", report);
  }
  Must(cudaFree(large), "cudaFree");
}

// The GPU's name; empty if there is none.
std::string Device() {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("no GPU here: %s\n", cudaGetErrorString(error));
    return "";
  }
  cudaDeviceProp device;
  Must(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  return std::string(device.name) + ", sm_" + std::to_string(device.major) +
         std::to_string(device.minor);
}

#else

std::string Device() { return "emulated on the host"; }

#endif

int Main(const std::vector<std::string>& words) {
  const std::string device = Device();
  if (device.empty()) return 3;
  std::vector<Check> checks = AllChecks();
#ifdef __CUDACC__
  checks.push_back({"a large tensor", CheckLargeTensor});
#endif
  if (words == std::vector<std::string>{"--list"}) {
    std::printf("%s\n", device.c_str());
    for (const Check& check : checks) std::printf("%s\n", check.name.c_str());
    return 0;
  }
  int ran = 0, failed = 0;
  for (const Check& check : checks) {
    bool wanted = words.empty();
    for (const std::string& word : words) {
      wanted |= check.name.find(word) != std::string::npos;
    }
    if (!wanted) continue;
    ++ran;
    Report report;
    const auto start = std::chrono::steady_clock::now();
    check.run(&report);
    const std::chrono::duration<double> seconds =
        std::chrono::steady_clock::now() - start;
    const bool good = report.failures() == 0 && report.values() > 0;
    failed += !good;
    std::printf("%-6s %-28s %10lld values %7.2f s\n", good ? "ok" : "FAILED",
                check.name.c_str(), static_cast<long long>(report.values()),
                seconds.count());
    if (!good) std::printf("%s", report.text().c_str());
  }
  if (ran != 1) std::printf("%d of %d checks failed\n", failed, ran);
  return failed != 0 || ran == 0;
}

}  // namespace
}  // namespace tflrn::cuda

int main(int argc, char** argv) {
  // Flush every line, so that a crash loses no output.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  return tflrn::cuda::Main(std::vector<std::string>(argv + 1, argv + argc));
}
