#!/usr/bin/env bash
# Everything that needs a GPU, in at most ten minutes: bash benchmarks/on_gpu.sh [FOLDER]
#
# Tests, certificate, lockstep, a training run and benchmarks on CuPy, each with a limit of its own, so that one that hangs
# does not take the others' time. FOLDER (default .benchmarks/gpu) gets a log for each, summary.txt, the results as JSON
# and report.md. A step that fails is said to fail, and the next one runs.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-.benchmarks/gpu}
python=${PYTHON:-python3}
mkdir -p "$out"
: >"$out/summary.txt"
failed=0

step() { # step NAME LIMIT COMMAND...
    local name=$1 limit=$2 began=$SECONDS code=0
    shift 2
    timeout -k 5 "$limit" "$@" >"$out/$name.log" 2>&1 || code=$?
    [ $code -eq 0 ] || failed=1
    local words=passed
    [ $code -eq 0 ] || words="FAILED ($code)"
    [ $code -eq 124 ] && words="FAILED (not done after $limit s)"
    printf '%-28s %-32s %4d s\n' "$name" "$words" $((SECONDS - began)) | tee -a "$out/summary.txt"
}

step doctor 20 "$python" -m minigan.doctor
for kernels in reference cuda; do
    step "lockstep-$kernels-float32" 15 "$python" -m minigan.lockstep --steps 200 --kernels $kernels
    step "lockstep-$kernels-float64" 15 "$python" -m minigan.lockstep --steps 200 --kernels $kernels --dtype float64
done
step lockstep-cuda-tf32 15 "$python" -m minigan.lockstep --steps 200 --kernels cuda-tf32 --bound 0.3
step check-reference 25 "$python" -m minigan.check --backend cupy --json "$out/check-reference.json"
step check-cuda 25 "$python" -m minigan.check --backend cupy --kernels cuda --json "$out/check-cuda.json"
step train 30 "$python" -m minigan.train --backend cupy --kernels cuda --steps 2000 --out "$out/run" --quiet
step sample-on-cpu 15 "$python" -m minigan.sample "$out/run" -o "$out/samples.png"
for kernels in reference cuda cuda-tf32; do
    step "bench-$kernels" 45 "$python" -m pytest benchmarks -q -p no:cacheprovider --benchmark-only --benchmark-quiet \
        --backend cupy --kernels "$kernels" -k "of_many or float32 and (256-256 or 4096 or step) or of_cupy and (256-256 or 4096)" \
        --benchmark-json="$out/bench-$kernels.json"
done
step peers 110 "$python" -m benchmarks.peers --device gpu --sizes mnist huge --rounds 5 --turn 0.2 --threads 2 \
    --json "$out/peers.json"
step report 20 "$python" -m benchmarks.report "$out/bench-reference.json" "$out/bench-cuda.json" "$out/bench-cuda-tf32.json" \
    "$out/peers.json" -o "$out"
step tests 130 "$python" -m pytest -q -n 4 -p no:cacheprovider --backend cupy tests
exit $failed
