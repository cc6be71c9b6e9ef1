#!/usr/bin/env bash
# Installs everything that building, testing and measuring need: Debian 12
# packages by name, and the npm package in package.json. May be run again.
set -euo pipefail
cd "$(dirname "$0")"

packages=(
  # building: compilers, MLIR, and the libraries of README.md
  ca-certificates ccache clang-22 cmake g++ git libclang-rt-22-dev libcli11-dev
  libeigen3-dev
  liblld-22-dev libmlir-22-dev libonnx-dev libprotobuf-dev libutf8proc-dev libzip-dev lld-22 llvm-22
  llvm-22-dev llvm-22-tools mlir-22-tools ninja-build protobuf-compiler python3
  # training; its BLAS is twenty times slower without OpenBLAS
  libtorch-dev libopenblas0-pthread
  # searches on several machines
  libopenmpi-dev openmpi-bin
  # AArch64: building and running for it
  g++-aarch64-linux-gnu qemu-user
  # tests and benchmarks
  chromium libbenchmark-dev libgtest-dev libonnx-testdata libxxhash-dev nodejs npm
  python3-numpy
)
missing=()
for package in "${packages[@]}"; do
  # A machine may have brought its own node and npm.
  case $package in nodejs | npm) command -v "${package%js}" > /dev/null && continue ;; esac
  dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq install -y --no-install-recommends "${missing[@]}" > /dev/null
fi

if [ ! -e node_modules/onnxruntime-node/package.json ]; then
  # Without its script, which would fetch GPU libraries.
  npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts
fi
