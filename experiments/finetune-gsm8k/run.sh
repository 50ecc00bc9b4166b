#!/bin/sh
# run.sh -- fine-tuning a small MoE three ways. README.md beside it has the question, the method and the answer.
#
#   sh experiments/finetune-gsm8k/run.sh           all of it; what is done already is not done again
#   SWEEP=1 sh experiments/finetune-gsm8k/run.sh   the learning rates instead, on seed 1: OUT/sweep.csv
#   SEEDS=1 SMOKE=1 sh experiments/finetune-gsm8k/run.sh   every part of it in a minute; figures mean nothing
#
#   SEEDS=5       seeds 1 to SEEDS of each way; the base has one
#   WAYS=...      these alone, as "full lora"
#   RATES=...     of a sweep: learning rates, as "3e-4 1e-3"
#   THREADS=0     of the program; 0 is one for each core. Figures but seconds are the same for any number
#   DATA=DIR      with gsm8k-train.jsonl, gsm8k-test.jsonl, tinyshakespeare.txt: ../shared/data
#   OUT=DIR       where data, runs and tables go: checkpoints/finetune-gsm8k, or checkpoints/finetune-gsm8k-smoke
#   SMOKE=1       a few steps on little data
#   MOIRA=FILE    the program: build/moira
#
# A trial is a folder OUT/WAY.SEED (OUT/sweep.WAY.RATE): run/ is moira's, row.csv its line of the results, key a
# checksum of what it was made from. A trial with a row is done; one with a run is resumed. Killed by whatever, the
# same command goes on. OUT/table.md and OUT/results.csv are made of all rows; if all trials are there, they are copied
# beside this file, and the table into README.md.
# Exit status: 0 done, 1 a part failed, 2 the request was wrong, 130 interrupted.
LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd) || exit 2
cd "$here/../.." || exit 2

every_way='full frozen lora'
every_rate='1e-3 3e-3 1e-2 3e-2'
moira=${MOIRA:-build/moira}
seeds=${SEEDS:-5}
ways=${WAYS:-$every_way}
rates=${RATES:-$every_rate}
threads=${THREADS:-0}
data=${DATA:-../shared/data}
length=704
vocabulary=2048
synth_tokens=3000000
base_settings= settings=
if [ -n "${SMOKE:-}" ]; then
    vocabulary=400
    synth_tokens=200000
    base_settings='train.steps=4 schedule.warmup_steps=2 eval.every=4 checkpoint.every=4 log.every=2
        model.hidden_size=32 model.intermediate_size=32 model.num_hidden_layers=2 model.num_attention_heads=2
        model.num_key_value_heads=1 model.max_position_embeddings=2048'
    settings='train.steps=4 schedule.warmup_steps=2 eval.every=4 checkpoint.every=4 log.every=2
        train.sequence_length=2048'
    length=2048
    rates=${RATES:-'1e-3 3e-3'}
fi
out=${OUT:-checkpoints/finetune-gsm8k${SMOKE:+-smoke}}

refuse() {
    echo "run.sh: $*" >&2
    exit 2
}

case $seeds in '' | *[!0-9]* | 0) refuse "SEEDS=$seeds: a whole number from 1 on" ;; esac
[ -x "$moira" ] || refuse "$moira: not there; build it with make, or say MOIRA=FILE"
for way in $ways; do
    [ "$way" != finetune ] && [ "$way" != base ] && [ -f "$here/$way.yaml" ] ||
        refuse "WAYS: there is no $here/$way.yaml"
done
for file in gsm8k-train.jsonl gsm8k-test.jsonl tinyshakespeare.txt; do
    [ -f "$data/$file" ] || refuse "$data/$file: not there; DATA=DIR says where it is"
done
mkdir -p "$out/data" || exit 2

# ---- what ends this ----

exec 3>&2 # what is said past a command's own log
child=
stopped=
trap 'stopped=1; [ -n "$child" ] && kill -TERM $child 2>/dev/null' INT TERM HUP

run() { # COMMAND...: as a child that a signal to this process ends too
    [ -n "$stopped" ] && interrupted
    "$@" &
    child=$!
    wait $child
    code=$?
    # A trap cuts the first wait short.
    while kill -0 $child 2>/dev/null; do
        wait $child
        code=$?
    done
    child=
    [ -n "$stopped" ] && interrupted
    return $code
}

interrupted() {
    echo "interrupted; the same command goes on" >&3
    exit 130
}

failed() { # WHAT LOG
    echo "FAILED: $1; the end of $2:" >&3
    tail -n 5 "$2" | sed 's/^/  /' >&3
    exit 1
}

flat() { awk -v name="$1" -f "$here/../routers/flatten.awk" "$2"; }

# ---- data ----

sample() { if [ -n "${SMOKE:-}" ]; then head -n "$1"; else cat; fi; }

made() { # made FILE COMMAND...: FILE by the command, unless it is there
    file=$1
    shift
    [ -s "$file" ] && return
    run "$@" >"$out/data/log" 2>&1 || failed "$file" "$out/data/log"
}

# The questions are prose of their own in the base's text; the plays are cut into documents of 20 speeches.
prepare_texts() {
    d=$out/data
    sample 200 <"$data/gsm8k-train.jsonl" >"$d/train.jsonl" || exit 2
    sample 60 <"$data/gsm8k-test.jsonl" >"$d/test.jsonl" || exit 2
    sed 's/^{"question": /{"text": /' "$d/train.jsonl" >"$d/questions.jsonl" || exit 2
    sample 2000 <"$data/tinyshakespeare.txt" | awk 'BEGIN { RS = ""; ORS = "\n\n" }
        NR % 20 == 1 && NR > 1 { printf "<|endoftext|>\n" }
        { print }' >"$d/plays.txt" || exit 2
}

[ -s "$out/data/plays.txt" ] || prepare_texts
d=$out/data
made "$d/synth.h5" "$moira" synth -o "$d/synth.h5" --jsonl "$d/synth.jsonl" --domains 2 --tokens $synth_tokens \
    --seed 1 --validation 0.01
made "$d/base.h5" "$moira" prepare "$d/questions.jsonl" "$d/plays.txt" "$d/synth.jsonl" -o "$d/base.h5" \
    --separator '<|endoftext|>' --train-tokenizer $vocabulary --validation 0.02
made "$d/train.h5" "$moira" prepare "$d/train.jsonl" -o "$d/train.h5" --tokenizer "$d/base.h5" --chat \
    --prompt-field question --completion-field answer --validation 0.05
made "$d/test.h5" "$moira" prepare "$d/test.jsonl" -o "$d/test.h5" --tokenizer "$d/base.h5" --chat \
    --prompt-field question --completion-field answer --validation 0

# ---- runs ----

keyed() { # DIR KEY: refuses a folder that was made from something else
    mkdir -p "$1" || exit 2
    [ -s "$1/key" ] || echo "$2" >"$1/key"
    [ "$(cat "$1/key")" = "$2" ] || refuse "$1: is of other settings or data; remove it, or choose another OUT"
}

# train DIR COMMAND CONFIG SETTINGS...: a run in DIR/run, gone on with if there is one
train() {
    dir=$1 command=$2 config=$3
    shift 3
    resume=
    [ -f "$dir/run/config.yaml" ] && resume=--resume
    run "$moira" "$command" "$here/$config" run.dir="$dir/run" run.threads="$threads" "$@" $resume >>"$dir/log" 2>&1 ||
        failed "$dir" "$dir/log"
}

evaluate() { # CHECKPOINT JSON: the loss on completions of the test file
    [ -s "$2" ] && return
    run "$moira" eval "$1" --data "$d/test.h5" --split train --sequence-length $length --threads "$threads" --json \
        >"$2.tmp" 2>"$2.log" || failed "$1" "$2.log"
    mv "$2.tmp" "$2"
}

last_of() { ls "$1"/run/step-*.h5 | tail -n 1; }

keyed "$out/base" "$({ cat "$here/base.yaml" "$d/base.h5" && echo "$base_settings"; } | cksum)"
base=$out/base/base.h5
if [ ! -s "$base" ]; then
    echo "base: pretraining"
    train "$out/base" train base.yaml run.name=gsm8k-base run.seed=1 data.path="$d/base.h5" $base_settings
    cp "$(last_of "$out/base")" "$base.tmp" && mv "$base.tmp" "$base" || exit 1
fi
evaluate "$base" "$out/base/test.json"

configs() { # FILE: what it extends, then itself
    from=$(sed -n 's/^extends: *//p' "$here/$1")
    [ -z "$from" ] || configs "$from"
    cat "$here/$1"
}

key_of() { { configs "$1.yaml" && cat "$out/base/key" "$d/train.h5"; } | cksum; }

finetune() { # DIR WAY SEED SETTINGS...
    dir=$1 way=$2 seed=$3
    shift 3
    train "$dir" finetune "$way.yaml" run.name="gsm8k-$way-$seed" run.seed="$seed" init.from="$base" \
        data.path="$d/train.h5" $settings "$@"
}

measure() { # DIR WAY SEED RATE: its row
    dir=$1
    checkpoint=$(last_of "$dir")
    "$moira" inspect "$dir/run/config.yaml" --json >"$dir/model.json" 2>>"$dir/log" || failed "$dir" "$dir/log"
    {
        flat before "$out/base/test.json"
        [ -s "$dir/test.json" ] && flat after "$dir/test.json"
        flat run "$dir/run/metrics.jsonl"
        flat model "$dir/model.json"
        sed -n 's/^resident *\([0-9.]*\) \([KMG]\)iB.*/log.\2 \1/p' "$dir/log"
    } | awk -v way="$2" -v seed="$3" -v rate="$4" -f "$here/trial.awk" >"$dir/row.tmp" &&
        mv "$dir/row.tmp" "$dir/row.csv" || failed "$dir" "$dir/log"
    awk -F, -v what="$2, seed $3, rate $4" \
        '{ printf "%s: validation %.4f, test %s, %.1f s\n", what, $5, $7 == "" ? "-" : $7, $8 }' "$dir/row.csv"
}

rows() { # FILE DIR...: the header and the rows of the trials
    file=$1
    shift
    {
        awk -f "$here/trial.awk" -v header=1 </dev/null
        for dir; do cat "$dir/row.csv"; done
    } >"$file.tmp" && mv "$file.tmp" "$file"
}

# ---- learning rates: judged by the validation part of the training file ----

if [ -n "${SWEEP:-}" ]; then
    trials=
    for way in $ways; do
        for rate in $rates; do
            trial=$out/sweep.$way.$rate
            trials="$trials $trial"
            keyed "$trial" "$(key_of "$way") $settings"
            [ -s "$trial/row.csv" ] && continue
            finetune "$trial" "$way" 1 optimizer.learning_rate="$rate"
            measure "$trial" "$way" 1 "$rate"
        done
    done
    rows "$out/sweep.csv" $trials
    cat "$out/sweep.csv"
    [ -n "${SMOKE:-}" ] || [ "$ways" != "$every_way" ] || cp "$out/sweep.csv" "$here/"
    exit 0
fi

# ---- the ways ----

trials=
for seed in $(seq "$seeds"); do
    for way in $ways; do
        trial=$out/$way.$seed
        trials="$trials $trial"
        keyed "$trial" "$(key_of "$way") $settings"
        [ -s "$trial/row.csv" ] && continue
        finetune "$trial" "$way" "$seed"
        evaluate "$(last_of "$trial")" "$trial/test.json"
        measure "$trial" "$way" "$seed" "$(sed -n 's/^  learning_rate: *//p' "$trial/run/config.yaml")"
    done
done

rows "$out/results.csv" $trials
awk -F, -v ways="$ways" -f "$here/table.awk" "$out/results.csv" >"$out/table.md"
cat "$out/table.md"
echo
echo "written: $out/table.md, $out/results.csv"
if [ -z "${SMOKE:-}" ] && [ "$seeds" -ge 5 ] && [ "$ways" = "$every_way" ]; then
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
