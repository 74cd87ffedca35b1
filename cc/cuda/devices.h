// Which GPUs the kernels run on.
#ifndef TFLRN_CC_CUDA_DEVICES_H_
#define TFLRN_CC_CUDA_DEVICES_H_

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string>

namespace tflrn::cuda {

// Whether a compute capability is that of a Tegra: Xavier, Orin or, under its
// first number, Thor. According to NVIDIA's CUDA C++ Programming Guide, only
// the machine code of its own architecture runs on a Tegra, and on no other
// GPU.
inline bool IsTegra(int capability) {
  return capability == 72 || capability == 87 || capability == 101;
}

// Whether a GPU of compute capability major.minor can run what nvcc built for
// `archs`, such as "80,90": machine code for each, and PTX for the last.
// Machine code also runs on later GPUs of the same major version, except for
// "a" architectures such as "90a", which run on no other GPU, and for Tegras.
// PTX runs on all later GPUs, except for "a" and "f" architectures.
inline bool RunsOn(const std::string& archs, int major, int minor) {
  const int capability = 10 * major + minor;
  for (size_t begin = 0; begin < archs.size();) {
    const size_t end = std::min(archs.find(',', begin), archs.size());
    const int arch = std::atoi(archs.c_str() + begin);
    const char suffix = archs[end - 1];
    const bool plain = suffix != 'a' && suffix != 'f';
    const bool last = end == archs.size();
    const bool alone = suffix == 'a' || IsTegra(arch) || IsTegra(capability);
    const bool same_major = arch / 10 == major && arch <= capability;
    if (alone ? arch == capability : same_major) return true;
    if (last && plain && arch <= capability) return true;
    begin = end + 1;
  }
  return false;
}

// Why the kernels do not run on every GPU of this machine with its driver;
// empty if they do.
std::string DevicesError();

}  // namespace tflrn::cuda

#endif  // TFLRN_CC_CUDA_DEVICES_H_
