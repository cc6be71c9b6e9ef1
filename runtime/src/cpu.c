// SPDX-License-Identifier: Apache-2.0
//
// What the CPU can do.

#include "rt3/rt3.h"

#if defined(__x86_64__)

#include <cpuid.h>

// Which register states the system saves: a CPU may have AVX that it may not
// use.
static uint32_t enabled_states(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

uint32_t rt3_cpu_features(void) {
  uint32_t eax, ebx, ecx, edx, features = 0;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE))
    return 0;
  int has_fma = (ecx & bit_FMA) != 0;
  uint32_t states = enabled_states();
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
    return 0;
  if (has_fma && (ebx & bit_AVX2) && (states & 0x6) == 0x6)
    features |= RT3_CPU_AVX2;
  uint32_t avx512 = bit_AVX512F | bit_AVX512VL | bit_AVX512BW | bit_AVX512DQ;
  if ((features & RT3_CPU_AVX2) && (ebx & avx512) == avx512 &&
      (states & 0xe6) == 0xe6)
    features |= RT3_CPU_AVX512;
  if ((features & RT3_CPU_AVX512) && (ecx & bit_AVX512VNNI))
    features |= RT3_CPU_AVX512_VNNI;
  if ((features & RT3_CPU_AVX512) && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & bit_AVX512BF16))
    features |= RT3_CPU_AVX512_BF16;
  return features;
}

#elif defined(__aarch64__) && defined(__linux__)

#include <sys/auxv.h>

// Of the kernel's asm/hwcap.h, which older C libraries do not have whole.
#define RT3_HWCAP_ASIMDHP (1ul << 10)
#define RT3_HWCAP_ASIMDDP (1ul << 20)
#define RT3_HWCAP2_I8MM (1ul << 13)
#define RT3_HWCAP2_BF16 (1ul << 14)

uint32_t rt3_cpu_features(void) {
  unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
  uint32_t features = 0;
  if (first & RT3_HWCAP_ASIMDDP)
    features |= RT3_CPU_DOTPROD;
  if (first & RT3_HWCAP_ASIMDHP)
    features |= RT3_CPU_FP16;
  if (second & RT3_HWCAP2_I8MM)
    features |= RT3_CPU_I8MM;
  if (second & RT3_HWCAP2_BF16)
    features |= RT3_CPU_BF16;
  return features;
}

#else

uint32_t rt3_cpu_features(void) { return 0; }

#endif
