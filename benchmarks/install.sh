#!/usr/bin/env bash
# Installs the rivals of benchmarks/kernels; nothing else needs them.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends libdnnl-dev libhalide14-0-dev libopenblas-pthread-dev libpthreadpool-dev libxnnpack-dev > /dev/null
cmake --preset release > /dev/null
