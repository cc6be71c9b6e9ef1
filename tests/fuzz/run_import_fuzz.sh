#!/usr/bin/env bash
# Runs the fuzzer of imports from seeds; what it finds new is thrown away.
#   run_import_fuzz.sh BINARY CORPUS SECONDS
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$1" "$scratch" "$2" -max_total_time="$3" -max_len=8192 -rss_limit_mb=2048 -timeout=20 -print_final_stats=1
