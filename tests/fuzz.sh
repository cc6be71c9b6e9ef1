#!/usr/bin/env bash
# The libFuzzer targets and the thread test, under sanitizers.
#   fuzz.sh build            builds them into build/fuzz
#   fuzz.sh NAME SECONDS     runs bundle_fuzz, import_fuzz or level_switch_tsan
set -euo pipefail
cd "$(dirname "$0")/.."
out=build/fuzz
if [ "$1" = build ]; then
  mkdir -p $out
  # -O1: sanitizers need it less than MLIR's headers cost time.
  sources=(tests/runtime/small_program.cc compiler/bundle/BundleWriter.cpp)
  for file in runtime/src/*.c; do
    clang-22 -O1 -g -std=gnu11 -fsanitize=fuzzer-no-link,address,undefined -Iruntime/include -c "$file" -o "$out/$(basename "$file").o"
    clang-22 -O1 -g -std=gnu11 -fsanitize=thread -Iruntime/include -c "$file" -o "$out/tsan_$(basename "$file").o"
  done
  clang++-22 -O1 -g -std=c++20 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Iruntime/include \
    tests/runtime/bundle_fuzz.cc "${sources[@]}" $out/[a-s]*.c.o -o $out/bundle_fuzz
  # The importer and folding instrumented, fusing passes as in the release, MLIR as
  # Debian ships it.
  flags=(-O1 -g -std=c++20 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -Wno-unused-parameter
    -I. -Ibuild/release -isystem /usr/lib/llvm-22/include)
  for file in compiler/onnx/{Import,ImportInputs,ImportMoves,ImportOps,ImportQuantized,ImportShapes,KnownTensor,Model}.cpp compiler/interpreter/{FoldConstants,FoldPositions,Interpreter}.cpp; do
    ccache clang++-22 "${flags[@]}" -c "$file" -o "$out/$(basename "$file").o"
  done
  clang++-22 "${flags[@]}" -fsanitize=fuzzer tests/compiler/onnx/import_fuzz.cc \
    $out/{Import,ImportInputs,ImportMoves,ImportOps,ImportQuantized,ImportShapes,KnownTensor,Model,FoldConstants,FoldPositions,Interpreter}.cpp.o \
    build/release/compiler/librt3_{compiler,plan,prune}.a build/release/codegen/librt3_codegen.a \
    build/release/dialects/{graph/librt3_graph,kernel/librt3_kernel}.a build/release/compiler/librt3_onnx_proto.a \
    -lprotobuf-lite -L/usr/lib/llvm-22/lib -Wl,-rpath,/usr/lib/llvm-22/lib -lMLIR -lLLVM -o $out/import_fuzz
  # Seeds: the small operator tests and the sample model's own beginning.
  mkdir -p $out/import_corpus
  find /usr/share/libonnx-testdata/data/node -name model.onnx -size -4k | sort | awk 'NR % 6 == 0' |
    while read -r model; do cp "$model" "$out/import_corpus/$(basename "$(dirname "$model")")"; done
  build/release/bin/rt3c tests/models/byte-lm/byte-lm.onnx --shape ids=1x1..128 --target x86-64-v3 \
    --levels tests/models/byte-lm/levels.json -o $out/model > /dev/null
  clang++-22 -O1 -g -std=c++20 -fsanitize=thread -Iruntime/include -I$out/model tests/e2e/level_switch.cc \
    $out/tsan_*.c.o $out/model/libbyte_lm.a -lpthread -o $out/level_switch_tsan
  exit 0
fi
case $1 in
  bundle_fuzz) exec $out/bundle_fuzz -max_total_time="$2" -max_len=1024 -print_final_stats=1 ;;
  import_fuzz)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    # 2 GiB of memory, 20 s: what the importer promises.
    $out/import_fuzz "$scratch" $out/import_corpus -max_total_time="$2" -max_len=8192 -rss_limit_mb=2048 -timeout=20 \
      -print_final_stats=1 ;;
  level_switch_tsan) exec $out/level_switch_tsan $out/model/byte_lm.rt3 "$2" ;;
  *) echo "unknown: $1"; exit 2 ;;
esac
