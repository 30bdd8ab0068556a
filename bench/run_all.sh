#!/bin/sh
# Answers every question and shows the answers: results/, the plots, the tables of both READMEs. About three quarters of an hour on an idle
# machine; on a busy one the figures mean nothing. Options go to every question (--quick, to see that all of it runs: then set RESULTS).
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python}
RESULTS=${RESULTS:-bench/results}
for question in gemm conv2d targets memory_bound recurrent optimizer train_step allreduce overlap data_parallel pipeline strategies checkpoint startup; do
    echo "== $question"
    "$PYTHON" -m shoal bench "$question" --output "$RESULTS/$question.json" "$@"
done
"$PYTHON" bench/plots.py "$RESULTS"
[ "$RESULTS" != bench/results ] || "$PYTHON" bench/tables.py
