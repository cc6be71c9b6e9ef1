#!/usr/bin/env bash
# Writes the cases of a program like kernel_cases for TARGET, builds run_files.c
# with the library and runs it: natively, or under qemu for each CPU named.
#   run_cases.sh WRITER TARGET FOLDER TOLERANCE [--nested] [--int8 | --f16] [--cache]
set -euo pipefail
writer=$1 target=$2 folder=$3 tolerance=$4
root=$(cd "$(dirname "$0")/../.." && pwd)
rm -rf "$folder"
"$writer" "$target" "$folder" "${@:5}"
sources=("$root/tests/e2e/run_files.c" "$root"/runtime/src/*.c)
flags=(-O1 -std=gnu11 -static "-I$root/runtime/include" -DRT3_TEST_PROGRAM=rt3_kernels_program)
case $target in
  x86-64-v4*) # Only where the CPU can.
    grep -q avx512dq /proc/cpuinfo || { echo "SKIPPED: this CPU has no AVX-512"; exit 77; } ;;&
  x86-64-v4-vnni)
    grep -q avx512_vnni /proc/cpuinfo || { echo "SKIPPED: this CPU has no AVX-512 VNNI"; exit 77; } ;;&
  x86-64*)
    gcc "${flags[@]}" "${sources[@]}" "$folder/libkernels.a" -lm -o "$folder/run"
    "$folder/run" "$folder/kernels.rt3" "$folder" "$tolerance" ;;
  *)
    aarch64-linux-gnu-gcc "${flags[@]}" "${sources[@]}" "$folder/libkernels.a" -lm -o "$folder/run"
    for cpu in cortex-a53 neoverse-n1; do
      echo "on $cpu:"
      # The device's int8 code needs a dot product, which a Cortex-A53 lacks: it is
      # refused, not run.
      if [[ $cpu == cortex-a53 && $target != armv8-a && " ${*:5} " == *" --int8 "* ]]; then
        output=$(qemu-aarch64 -cpu $cpu "$folder/run" "$folder/kernels.rt3" "$folder" "$tolerance" 2>&1) && exit 1
        grep -i "cpu" <<< "$output"
        continue
      fi
      qemu-aarch64 -cpu $cpu "$folder/run" "$folder/kernels.rt3" "$folder" "$tolerance"
    done ;;
esac
