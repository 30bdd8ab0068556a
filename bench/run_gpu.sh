#!/bin/sh
# What needs a real GPU, in one command of under 9 minutes: every op against its definition, training steps against the CPU's, and
# the targets. From an uninstalled checkout without a network: Python 3.11, numpy, numba, CuPy 14; torch, if it is there, as the peer.
#     bench/run_gpu.sh [result.json]              default: bench/results/gpu.json
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
result=${1:-"$here/bench/results/gpu.json"}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ln -s "$here" "$folder/shoal"
PYTHONPATH="$folder:$here/tests" SHOAL_CACHE_DIR=${SHOAL_CACHE_DIR:-"$folder/cache"} "${PYTHON:-python3}" "$here/bench/gpu.py" "$result"
