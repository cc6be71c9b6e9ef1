#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests.
set -euo pipefail
cd "$(dirname "$0")"
third_party/install.sh

# Two jobs: each may take 1 GB of memory.
cmake --preset release > build-log.txt 2>&1 || { cat build-log.txt; exit 1; }
rm -f build-log.txt
ninja -C build/release -j2 | tail -1
for build in runtime-only runtime-asan aarch64; do
  cmake --preset $build > /dev/null && ninja -C build/$build | tail -1
done

# Nothing is timed in tests, so two may run at once.
failed=0
for build in runtime-only runtime-asan aarch64 release; do
  echo "== tests of build/$build"
  ctest --test-dir "build/$build" -j2 --output-on-failure --no-tests=error || failed=1
done
exit $failed
