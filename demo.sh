#!/usr/bin/env bash
# Installs what is missing, builds, compiles the sample model for this x86-64
# machine and for AArch64, in f32 and int8, runs all at every level and prints one
# table; then lets it write a text, whose level falls on the way.
set -euo pipefail
cd "$(dirname "$0")"
third_party/install.sh
cmake --preset release > /dev/null
echo "demo.sh: building: some nine minutes on two CPUs the first time" >&2
ninja -C build/release -j2 rt3c rt3c-train rt3c-search count_blocks | tail -1

model=tests/models/byte-lm out=build/demo
host=x86-64-v3
grep -q avx512dq /proc/cpuinfo && host=x86-64-v4
grep -q avx512_vnni /proc/cpuinfo && host=x86-64-v4-vnni
arm=neoverse-n1
for type in f32 int8; do
  for target in $host $arm; do
    folder=$out/$type/$target
    mkdir -p $folder
    build/release/bin/rt3c $model/byte-lm.onnx --shape ids=1x1..128 --target $target --levels $model/levels.json \
      --type $type --name byte_lm -o $folder > $folder.txt 2>&1 || { cat $folder.txt; exit 1; }
    case $target in x86*) cc=(gcc) run=() ;; *) cc=(aarch64-linux-gnu-gcc -static) run=(qemu-aarch64 -cpu $arm) ;; esac
    "${cc[@]}" -O2 -std=gnu11 -Iruntime/include -I$folder runtime/examples/run_model.c runtime/src/*.c \
      $folder/libbyte_lm.a -lm -o $folder/run_model
    "${run[@]}" $folder/run_model $folder/byte_lm.rt3 $model/held-out.txt > $folder/levels.txt
    folder=$out/$type/$target-text
    mkdir -p $folder
    build/release/bin/rt3c $model/byte-lm.onnx --shape ids=1x1..16 --kv-cache 128 --target $target \
      --levels $model/levels.json --type $type --name byte_lm -o $folder > $folder.txt 2>&1 || { cat $folder.txt; exit 1; }
    "${cc[@]}" -O2 -std=gnu11 -Iruntime/include -I$folder runtime/examples/generate.c runtime/src/*.c \
      $folder/libbyte_lm.a -lm -o $folder/generate
    "${run[@]}" $folder/generate $folder/byte_lm.rt3 "The people of this country " 96 > $folder/text.txt
  done
  benchmarks/arm/count.py $model/byte-lm.onnx --shape ids=1x1..128 --levels $model/levels.json --type $type --target $arm \
    --models $arm --without-onnxruntime --json > $out/$type/counts.json
done

python3 - $model/levels.json $out $host $arm << 'END'
import json, os, sys
levels, out, host, arm = json.load(open(sys.argv[1]))["levels"], *sys.argv[2:]
print(f"byte-lm, 128 bytes of text per run; {host} natively, {arm} under qemu")
print(f"{'level':6} {'type':4} {'clock':>9} {'density':>8} {'ms here':>8} {'Mcycles on Arm*':>16} {'ms on Arm*':>11}"
      f" {'bits/byte':>10} {'on Arm':>7} {'switch':>9}")
for type in ("f32", "int8"):
    found = {target: [line.split() for line in open(f"{out}/{type}/{target}/levels.txt")] for target in (host, arm)}
    counts = json.load(open(f"{out}/{type}/counts.json"))
    report = json.load(open(f"{out}/{type}/{arm}/byte_lm.report.json"))["levels"]
    for level, h, a, r, c in zip(levels, found[host], found[arm], report, counts):
        kept = sum(layer["kept"] for layer in r["layers"])
        total = sum(layer["inputs"] * layer["outputs"] for layer in r["layers"])
        cycles = c["cycles"][arm]
        print(f"{level['name']:6} {type:4} {level['frequency_khz'] / 1000:5.0f} MHz {100 * kept / total:6.1f} % {float(h[5]):8.3f}"
              f" {cycles / 1e6:16.2f} {cycles / level['frequency_khz']:11.2f} {float(h[3]):10.4f} {float(a[3]):7.4f}"
              f" {float(h[7]):6.2f} us")
for type in ("f32", "int8"):
    sizes = [os.path.getsize(f"{out}/{type}/{target}/byte_lm.rt3") for target in (host, arm)]
    print(f"bundles, {type}: {sizes[0]} bytes ({host}), {sizes[1]} bytes ({arm})")
print(f"* whole model: blocks counted under qemu, cycles by llvm-mca's {arm}, perfect caches: an estimate, nothing was timed on Arm")
END
for target in $host $arm; do
  echo
  echo "a text from $target, f32; its level falls twice (high, mid, low):"
  case $target in x86*) cat -v $out/f32/$target-text/text.txt ;; *) head -1 $out/f32/$target-text/text.txt | cat -v ;; esac
done
