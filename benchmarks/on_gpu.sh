#!/usr/bin/env bash
# Everything that needs a GPU, in at most ten minutes: bash benchmarks/on_gpu.sh [FOLDER]
#
# First what is checked (tests, certificate, lockstep, a training run), all at once, because none of it is timed; then what
# is timed, one after the other. Each step has a limit of its own, so that one that hangs does not take the others' time.
# FOLDER (default .benchmarks/gpu-1, -2, ...) gets a log for each, summary.txt, the results as JSON and report.md, made from
# what there is even if the script is stopped. A step that fails is said to fail, and the others run.
set -uo pipefail
cd "$(dirname "$0")/.."
n=1
while [ -e ".benchmarks/gpu-$n" ]; do n=$((n + 1)); done
out=${1:-.benchmarks/gpu-$n}
if [ -e "$out/summary.txt" ]; then # results of another run would get into this one's report
    echo "$out holds the results of another run; name another folder" >&2
    exit 2
fi
python=${PYTHON:-python3}
export XLA_PYTHON_CLIENT_PREALLOCATE=false # JAX would take most of the card from the others
mkdir -p "$out"
: >"$out/summary.txt"
running=$(mktemp -d) # a file for each process that is, named by its number, and one that says that all is over

step() { # step NAME LIMIT COMMAND...
    local name=$1 limit=$2 began=$SECONDS code=0 pid words=passed
    shift 2
    [ -e "$running/over" ] && return
    timeout -s INT -k 3 "$limit" "$@" >"$out/$name.log" 2>&1 & # interrupted, pytest says and writes what it has
    pid=$!
    : >"$running/$pid"
    wait "$pid" || code=$?
    rm -f "$running/$pid"
    [ $code -eq 0 ] || words="FAILED ($code)"
    { [ $code -eq 124 ] || [ $code -eq 137 ]; } && words="FAILED (not done after $limit s)"
    printf '%-28s %-32s %4d s\n' "$name" "$words" $((SECONDS - began)) | tee -a "$out/summary.txt"
}

finish() { # whatever ends the script: end what runs, report on what there is
    local code=$? name results=()
    trap '' INT TERM HUP
    : >"$running/over"
    for pid in "$running"/[0-9]*; do
        [ -e "$pid" ] && kill -TERM "${pid##*/}" 2>/dev/null
    done
    wait
    rm -f "$running/over"
    for name in bench-cuda bench-reference bench-cuda-tf32 steps-numpy-reference steps-cupy-reference steps-cupy-cuda \
        peers-mnist peers-huge; do
        [ -s "$out/$name.json" ] && results+=("$out/$name.json")
    done
    step report 10 "$python" -m benchmarks.report ${results[@]+"${results[@]}"} -o "$out"
    rm -rf "$running"
    [ $code -eq 0 ] && grep -q FAILED "$out/summary.txt" && code=1
    exit $code
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# ------------------------------------------------------------------------------------------- checked, side by side
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 # threads of that many processes would wait for each other, spinning
step doctor 150 "$python" -m minigan.doctor &
for kernels in reference cuda; do
    for dtype in float32 float64; do
        step "lockstep-$kernels-$dtype" 150 "$python" -m minigan.lockstep --steps 200 --kernels $kernels --dtype $dtype &
    done
    step "check-$kernels" 150 "$python" -m minigan.check --backend cupy --kernels $kernels --json "$out/check-$kernels.json" &
done
step lockstep-cuda-tf32 150 "$python" -m minigan.lockstep --steps 200 --kernels cuda-tf32 --bound 0.3 &
{
    step train 100 "$python" -m minigan.train --backend cupy --kernels cuda --steps 5000 --out "$out/run" --quiet
    step sample-on-cpu 50 "$python" -m minigan.sample "$out/run" -o "$out/samples.png"
} &
step tests 150 "$python" -m pytest -n 6 --dist loadfile -p no:cacheprovider --backend cupy tests \
    --ignore tests/test_benchmarks.py &
step tests-of-peers 150 "$python" -m pytest -p no:cacheprovider --backend cupy tests/test_benchmarks.py \
    -k "on_a_gpu and not torch-compiled" &
# what torch.compile makes it keeps on disk: made now, it is there when it is timed
step warm-torch-compiled 150 "$python" -m benchmarks.peers --device gpu --sizes mnist --only torch-compiled --rounds 1 \
    --turn 0.01 --threads 2 &
wait
unset OPENBLAS_NUM_THREADS OMP_NUM_THREADS

# ----------------------------------------------------------------------------------------- timed, one after the other
step peers-mnist 110 "$python" -m benchmarks.peers --device gpu --sizes mnist --rounds 5 --turn 0.2 --threads 2 --within 95 \
    --json "$out/peers-mnist.json"
for kernels in cuda reference cuda-tf32; do
    step "bench-$kernels" 35 "$python" -m pytest benchmarks/bench_kernels.py -q -p no:cacheprovider --benchmark-only \
        --benchmark-quiet --backend cupy --kernels "$kernels" \
        -k "ceiling or of_many or of_cupy and 256-256 or adam and float32-4096 or float32 and (256-256 or 4096-256)" \
        --benchmark-json="$out/bench-$kernels.json"
done
# from which batch and width on the card is faster
for side in numpy-reference cupy-reference cupy-cuda; do
    step "steps-$side" 25 "$python" -m pytest benchmarks/bench_step.py -q -p no:cacheprovider --benchmark-only \
        --benchmark-quiet --backend "${side%-*}" --kernels "${side#*-}" -k "alternating and float32" \
        --benchmark-json="$out/steps-$side.json"
done
step peers-huge 75 "$python" -m benchmarks.peers --device gpu --sizes huge --rounds 3 --turn 0.2 --threads 2 --within 60 \
    --only minigan minigan-fast minigan-tf32 torch-best torch-graph jax --json "$out/peers-huge.json"
