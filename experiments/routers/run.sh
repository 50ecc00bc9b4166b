#!/bin/sh
# run.sh -- the table of all routers. README.md beside it has the question, the method and the answer.
#
#   sh experiments/routers/run.sh              all of it; what is done already is not done again
#   SEEDS=1 SMOKE=1 sh experiments/routers/run.sh     every part of it in a minute; figures mean nothing
#
#   SEEDS=5       seeds 1 to SEEDS of each trial
#   JOBS=2        trials at a time, each on one thread
#   TEXT=FILE     the real text; without it ../shared/data/tinyshakespeare.txt if that is there, else none
#   ROUTERS=...   these alone, as "topk hash random"
#   OUT=DIR       where trials and tables go: checkpoints/routers, or checkpoints/routers-smoke
#   SMOKE=1       a few steps on little data
#   MOIRA=FILE    the program: build/moira
#
# A trial is a folder OUT/CORPUS.ROUTER.SEED: run/ is moira's, row.csv its line of the results, key a checksum of
# what it was made from. A trial with a row is done; one with a run is resumed. Killed by whatever, the same command
# goes on. OUT/table.md and OUT/results.csv are made of all rows; if all trials are there, they are copied beside
# this file, and the table into README.md.
# Exit status: 0 done, 1 a trial failed, 2 the request was wrong, 130 interrupted.
LC_ALL=C OMP_NUM_THREADS=1
export LC_ALL OMP_NUM_THREADS
here=$(cd "$(dirname "$0")" && pwd) || exit 2
cd "$here/../.." || exit 2

every_router='dense topk topk-raw topk-free noisy_topk switch switch-1.25 gshard expert_choice sigmoid soft hierarchical
    hash random hash-1 random-1'
moira=${MOIRA:-build/moira}
seeds=${SEEDS:-5}
jobs=${JOBS:-2}
routers=${ROUTERS:-$every_router}
limit=1200 # seconds that a trial may take
synth_tokens=4000000
settings=
if [ -n "${SMOKE:-}" ]; then
    synth_tokens=200000
    settings='train.steps=16 schedule.warmup_steps=4 eval.every=8 checkpoint.every=8 log.every=2'
fi
out=${OUT:-checkpoints/routers${SMOKE:+-smoke}}

refuse() {
    echo "run.sh: $*" >&2
    exit 2
}

case $seeds$jobs in *[!0-9]*) refuse "SEEDS=$seeds JOBS=$jobs: both are whole numbers" ;; esac
[ "$seeds" -ge 1 ] && [ "$jobs" -ge 1 ] || refuse "SEEDS=$seeds JOBS=$jobs: both are at least 1"
[ -x "$moira" ] || refuse "$moira: not there; build it with make, or say MOIRA=FILE"
for router in $routers; do
    [ -f "$here/$router.yaml" ] || refuse "ROUTERS: there is no $here/$router.yaml"
done
mkdir -p "$out/data" || exit 2

# ---- data ----

made() { # made FILE COMMAND...: FILE by the command, unless it is there
    file=$1
    shift
    [ -s "$file" ] || "$@" >"$out/data/log" 2>&1 || {
        cat "$out/data/log" >&2
        exit 2
    }
}
made "$out/data/synth.h5" "$moira" synth -o "$out/data/synth.h5" --seed 1 --tokens $synth_tokens --validation 0.02
corpora=synth
text=${TEXT:-../shared/data/tinyshakespeare.txt}
if [ -f "$text" ]; then
    if [ -n "${SMOKE:-}" ]; then
        head -c 100000 "$text" >"$out/data/text.txt" || exit 2
        text=$out/data/text.txt
    fi
    made "$out/data/text.h5" "$moira" prepare "$text" -o "$out/data/text.h5" --validation 0.08
    corpora='synth text'
elif [ -n "${TEXT:-}" ]; then
    refuse "$text: no such text"
else
    echo "no real text: the synthetic corpus alone is run (TEXT=FILE gives one, say tinyshakespeare)"
fi

# ---- trials ----

configs() { # FILE: what it extends, then itself
    from=$(sed -n 's/^extends: *//p' "$here/$1")
    [ -z "$from" ] || configs "$from"
    cat "$here/$1"
}

key_of() { # CORPUS ROUTER
    { configs "$2.yaml" && cat "$out/data/$1.h5" && echo "$settings"; } | cksum
}

trials=
for seed in $(seq "$seeds"); do
    for router in $routers; do
        for corpus in $corpora; do
            trial=$corpus.$router.$seed
            trials="$trials $trial"
        done
    done
done
for corpus in $corpora; do
    for router in $routers; do
        key=$(key_of "$corpus" "$router")
        for seed in $(seq "$seeds"); do
            dir=$out/$corpus.$router.$seed
            mkdir -p "$dir" || exit 2
            [ -s "$dir/key" ] || echo "$key" >"$dir/key"
            [ "$(cat "$dir/key")" = "$key" ] || refuse \
                "$dir: is of other settings or data; remove it, or choose another OUT"
        done
    done
done

run() { # COMMAND...: as a child that a signal to this process ends too
    timeout $limit "$@" &
    child=$!
    [ -e "$claims/stop" ] && kill -TERM $child
    wait $child
    code=$?
    # A trap cuts the first wait short.
    while kill -0 $child 2>/dev/null; do
        wait $child
        code=$?
    done
    child=
    return $code
}

flat() { awk -v name="$1" -f "$here/flatten.awk" "$2"; }

measure() { # one line for results.csv, of what the run and moira inspect say
    last=$(ls "$dir"/run/step-*.h5 | tail -1)
    "$moira" inspect "$last" --json >"$dir/model.json" || return
    echo '{}' >"$dir/routing.json"
    if [ "$router" != dense ]; then
        run "$moira" inspect "$last" --routing --data "$out/data/$corpus.h5" --json >"$dir/routing.json" || return
    fi
    warned=0
    grep -q "$warning" "$dir/log" && warned=1
    {
        flat run "$dir/run/metrics.jsonl"
        flat model "$dir/model.json"
        flat inspect "$dir/routing.json"
    } | awk -v corpus="$corpus" -v router="$router" -v seed="$seed" -v warned=$warned -f "$here/trial.awk" \
        >"$dir/row.tmp" && mv "$dir/row.tmp" "$dir/row.csv"
}

train() { # waits for a run that a killed run.sh has left behind
    while :; do
        resume=
        [ -f "$dir/run/config.yaml" ] && resume=--resume
        run "$moira" train "$here/$router.yaml" run.name="routers-$corpus-$router-$seed" run.dir="$dir/run" \
            run.seed="$seed" run.threads=1 data.path="$out/data/$corpus.h5" $settings $resume >>"$dir/log" 2>&1 &&
            return
        [ ! -e "$claims/stop" ] && tail -n 1 "$dir/log" | grep -q 'another process is training in this folder' ||
            return 1
        sleep 3
    done
}

trial() { # CORPUS.ROUTER.SEED
    dir=$out/$1
    seed=${1##*.} corpus=${1%%.*} router=${1#*.}
    router=${router%.*}
    [ -s "$dir/row.csv" ] && return
    start=$(date +%s)
    if train && measure 2>>"$dir/log"; then
        awk -F, -v what="$corpus $router, seed $seed" -v took=$(($(date +%s) - start)) \
            '{ printf "%s: validation loss %.4f, %d s\n", what, $6, took }' "$dir/row.csv"
    elif [ ! -e "$claims/stop" ]; then
        echo "FAILED: $corpus $router, seed $seed; the end of $dir/log:" >&2
        tail -n 3 "$dir/log" | sed 's/^/  /' >&2
        : >"$claims/failed"
    fi
}

# Each worker takes the next trial that no other has taken. It ends when run.sh is gone.
worker() {
    child=
    trap ': >"$claims/stop"; [ -n "$child" ] && kill -TERM $child' TERM
    for one in $trials; do
        [ -e "$claims/stop" ] && return
        kill -0 $$ 2>/dev/null || return
        mkdir "$claims/$one" 2>/dev/null && trial "$one"
    done
}

claims=$(mktemp -d) || exit 2
workers=
trap 'rm -rf "$claims"' EXIT
trap ': >"$claims/stop"; kill -TERM $workers 2>/dev/null' INT TERM HUP
warning="the routing of layer [0-9]* collapses"
for job in $(seq "$jobs"); do
    worker &
    workers="$workers $!"
done
for one in $workers; do
    while kill -0 "$one" 2>/dev/null; do wait "$one"; done
done
if [ -e "$claims/stop" ]; then
    echo "interrupted; the same command goes on" >&2
    exit 130
fi

# ---- the table ----

for one in $trials; do
    [ -s "$out/$one/row.csv" ] && cat "$out/$one/row.csv"
done >"$out/rows"
awk -f "$here/trial.awk" -v header=1 </dev/null | cat - "$out/rows" >"$out/results.csv"
rm "$out/rows"
awk -F, -v routers="$routers" -f "$here/table.awk" "$out/results.csv" >"$out/table.md"
cat "$out/table.md"
echo
echo "written: $out/table.md, $out/results.csv"
[ -e "$claims/failed" ] && exit 1
if [ -z "${SMOKE:-}" ] && [ "$seeds" -ge 5 ] && [ "$routers" = "$every_router" ] && [ "$corpora" = 'synth text' ]; then
    cp "$out/table.md" "$out/results.csv" "$here/"
    awk -v table="$here/table.md" '
        /^<!-- table -->$/ {
            print
            print ""
            while ((getline line < table) > 0) print line
            print ""
            skip = 1
        }
        /^<!-- end of the table -->$/ { skip = 0 }
        !skip' "$here/README.md" >"$out/README.md" &&
        mv "$out/README.md" "$here/README.md"
    echo "         $here/table.md, results.csv, README.md"
fi
exit 0
