#!/usr/bin/env bash
# Installs what is missing, builds, compiles the sample model for this x86-64
# machine and for AArch64, runs both at every level and prints one table.
set -euo pipefail
cd "$(dirname "$0")"
third_party/install.sh
cmake --preset release > /dev/null
ninja -C build/release -j2 rt3c count_blocks | tail -1

model=tests/models/byte-lm out=build/demo
grep -q avx512dq /proc/cpuinfo && host=x86-64-v4 || host=x86-64-v3
arm=neoverse-n1
for target in $host $arm; do
  build/release/bin/rt3c $model/byte-lm.onnx --shape ids=1x1..128 --target $target --levels $model/levels.json \
    --name byte_lm -o $out/$target > $out.$target.txt 2>&1 || { cat $out.$target.txt; exit 1; }
  case $target in x86*) cc=(gcc) ;; *) cc=(aarch64-linux-gnu-gcc -static) ;; esac
  "${cc[@]}" -O2 -std=gnu11 -Iruntime/include -I$out/$target runtime/examples/run_model.c runtime/src/*.c \
    $out/$target/libbyte_lm.a -lm -o $out/$target/run_model
done
$out/$host/run_model $out/$host/byte_lm.rt3 $model/held-out.txt > $out/$host/levels.txt
qemu-aarch64 -cpu $arm $out/$arm/run_model $out/$arm/byte_lm.rt3 $model/held-out.txt > $out/$arm/levels.txt
benchmarks/arm/count.py $model/byte-lm.onnx --shape ids=1x1..128 --levels $model/levels.json --target $arm --models $arm \
  --without-onnxruntime --json > $out/$arm/counts.json

python3 - $model/levels.json $out/$host $out/$arm << 'END'
import json, os, sys
levels = json.load(open(sys.argv[1]))["levels"]
host, arm = ([line.split() for line in open(f"{folder}/levels.txt")] for folder in sys.argv[2:])
counts = json.load(open(f"{sys.argv[3]}/counts.json"))
reports = [json.load(open(f"{folder}/byte_lm.report.json"))["levels"] for folder in sys.argv[2:]]
sizes = [os.path.getsize(f"{folder}/byte_lm.rt3") for folder in sys.argv[2:]]
names = [folder.rsplit("/", 1)[1] for folder in sys.argv[2:]]
print(f"byte-lm, 128 bytes of text per run; {names[0]} natively, {names[1]} under qemu")
print(f"{'level':6} {'clock':>9} {'density':>8} {'ms here':>8} {'Mcycles on Arm*':>16} {'ms on Arm*':>11}"
      f" {'bits/byte':>10} {'on Arm':>7} {'switch':>9}")
for level, h, a, r, c in zip(levels, host, arm, reports[1], counts):
    kept = sum(layer["kept"] for layer in r["layers"])
    total = sum(layer["inputs"] * layer["outputs"] for layer in r["layers"])
    cycles = c["cycles"][names[1]]
    print(f"{level['name']:6} {level['frequency_khz'] / 1000:5.0f} MHz {100 * kept / total:6.1f} % {float(h[5]):8.3f}"
          f" {cycles / 1e6:16.2f} {cycles / level['frequency_khz']:11.2f} {float(h[3]):10.4f} {float(a[3]):7.4f}"
          f" {float(h[7]):6.2f} us")
print(f"bundles: {sizes[0]} bytes ({names[0]}), {sizes[1]} bytes ({names[1]})")
print(f"* whole model: blocks counted under qemu, cycles by llvm-mca's {names[1]}, perfect caches: an estimate, nothing was timed on Arm")
END
