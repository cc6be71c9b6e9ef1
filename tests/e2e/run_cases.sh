#!/usr/bin/env bash
# Writes the cases of a program like kernel_cases for TARGET, builds run_files.c
# with the library and runs it: natively, or under qemu for each CPU named.
#   run_cases.sh WRITER TARGET FOLDER TOLERANCE [--nested] [--int8 | --f16 | --f16-sums | --bf16] [--cache] [--sizes I/N]
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
  x86-64-v4-vnni*)
    grep -q avx512_vnni /proc/cpuinfo || { echo "SKIPPED: this CPU has no AVX-512 VNNI"; exit 77; } ;;&
  x86-64*)
    [[ " ${*:5} " != *" --bf16 "* ]] || grep -q avx512_bf16 /proc/cpuinfo || { echo "SKIPPED: this CPU has no AVX-512 BF16"; exit 77; }
    gcc "${flags[@]}" "${sources[@]}" "$folder/libkernels.a" -lm -o "$folder/run"
    "$folder/run" "$folder/kernels.rt3" "$folder" "$tolerance" ;;
  *)
    aarch64-linux-gnu-gcc "${flags[@]}" "${sources[@]}" "$folder/libkernels.a" -lm -o "$folder/run"
    # What the code needs beyond armv8-a; a CPU that lacks it refuses, and runs nothing.
    needs=none
    case " ${*:5} " in
      *" --bf16 "*) needs=bf16 ;;
      *" --f16-sums "*) needs=fp16 ;;
      *" --int8 "*)
        [[ $target != armv8-a ]] && needs=dotprod
        [[ $target == neoverse-n2 ]] && needs=i8mm ;;
    esac
    ran=0
    for cpu in cortex-a53 cortex-a76 neoverse-n1 max; do
      case $cpu:$needs in
        *:none | max:*) can=1 ;;
        cortex-a76:dotprod | cortex-a76:fp16 | neoverse-n1:dotprod | neoverse-n1:fp16) can=1 ;;
        *) can=0 ;;
      esac
      # One in-order and one out-of-order CPU will do for code that all can run.
      [[ $needs == none && ($cpu == max || $cpu == cortex-a76) ]] && continue
      echo "on $cpu:"
      if [[ $can == 0 ]]; then
        output=$(qemu-aarch64 -cpu $cpu "$folder/run" "$folder/kernels.rt3" "$folder" "$tolerance" 2>&1) && exit 1
        grep -i "cpu" <<< "$output"
      elif [[ $needs == none || $ran == 0 ]]; then
        qemu-aarch64 -cpu $cpu "$folder/run" "$folder/kernels.rt3" "$folder" "$tolerance"
        ran=1
      fi
    done ;;
esac
