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

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cc/cuda/lrn_rows.h"
#include "tests/cc/kernel_checks.h"

namespace tflrn::cuda {
namespace {

#ifdef __CUDACC__

// More than 2^31 elements, in place, so that offsets need 64 bits. The tensor
// repeats a small one, and so must the result. Copies are few and large, since
// other checks run at the same time.
void CheckLargeTensor(Report* report) {
  constexpr int64_t kPeriod = 256;                 // Rows.
  for (const int64_t channels : {96, 33, 9000}) {  // Even, uneven, the loop.
    const Call small = {Op::kLrn, {2, 1, 1, 0.75f}, kPeriod, channels};
    const Tensors<Half> inputs = RandomInputs<Half>(small, 5);
    const std::vector<Half> expected = RunCall(small, inputs, report)[0];
    const int64_t period = kPeriod * channels;
    const int64_t periods = (int64_t{1} << 31) / period + 2;
    const int64_t values = periods * period;
    Call call = small;
    call.rows = periods * kPeriod;
    Begin<Half>(call);
    Half* large = nullptr;
    if (cudaMalloc(&large, values * sizeof(Half)) != cudaSuccess) {
      cudaGetLastError();
      report->Fail("no memory for 2^31 values of half here: not checked");
      return;
    }
    Must(cudaMemcpy(large, inputs[0].data(), period * sizeof(Half),
                    cudaMemcpyHostToDevice),
         "cudaMemcpy");
    for (int64_t filled = period; filled < values; filled *= 2) {
      Must(cudaMemcpy(large + filled, large,
                      std::min(filled, values - filled) * sizeof(Half),
                      cudaMemcpyDeviceToDevice),
           "cudaMemcpy");
    }
    Must(LaunchOp<Half>(call, {large}, {large}, nullptr), "launch");
    Must(cudaDeviceSynchronize(), "a kernel");
    const int64_t at_once = ((1 << 25) / period + 1) * period;
    std::vector<Half> result(at_once);
    for (int64_t at = 0; at < values; at += at_once) {
      const int64_t count = std::min(at_once, values - at);
      Must(cudaMemcpy(result.data(), large + at, count * sizeof(Half),
                      cudaMemcpyDeviceToHost),
           "cudaMemcpy");
      for (int64_t k = 0; k < count; k += period) {
        if (std::memcmp(result.data() + k, expected.data(),
                        period * sizeof(Half)) != 0) {
          report->Fail(call.Text() + ": other bits from value " +
                       std::to_string(at + k) + " on");
        }
      }
    }
    report->Count(values);
    Must(cudaFree(large), "cudaFree");
  }
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
