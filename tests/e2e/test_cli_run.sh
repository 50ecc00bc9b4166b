# A run from the command line: train, interrupt, resume, evaluate, generate, inspect, bench.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"

# ---- train ----

moira 0 train "$dir/small.yaml"
[ -s "$err" ] && fail "$ran: said something on stderr" && show
out_matches "^run          small in $dir/run, seed 1337$"
out_matches '^parameters   [0-9,]+, of which a token uses [0-9,]+$'
out_matches '^memory       [0-9.]+ MiB: .* available$'
out_matches '^computing    1 thread, .*bits$'
out_matches '^training     steps 1 to 20, each of 4 x 32 = 128 tokens$'
out_matches '^ +step +loss +balance +grad norm +rate +tokens/s +GFLOP/s +max vio +left$'
for step in 1 5 10 15 20; do
    out_matches "^ +$step +[0-9]\.[0-9]{4} +0\.[0-9]{4} +[0-9.]+ +[0-9]\.[0-9]{2}e-0[0-9] +[0-9,]+ +[0-9.]+ +[0-9]\.[0-9]{2} "
done
out_matches '^ +validation loss [0-9]\.[0-9]{4}, perplexity [0-9.]+, [0-9.]+ bits per byte$'
out_matches "^ +saved $dir/run/step-00000010\.h5 \("
out_matches '^ +sample at step 20:$'
out_matches '^done         20 steps, '
out_matches '^saving       held training up for [0-9.]+ s, took [0-9.]+ s more in the background$'
out_matches "^best         $dir/run/best\.h5: validation loss [0-9]\.[0-9]{4} at step (10|20)$"
out_matches "^metrics      $dir/run/metrics\.jsonl$"
for name in config.yaml metrics.jsonl events.out.tfevents.moira best.h5 step-00000010.h5 step-00000020.h5 samples.txt; do
    [ -s "$dir/run/$name" ] || fail "$ran: no $name"
done
[ "$(grep -c '"train_loss"' "$dir/run/metrics.jsonl")" -eq 5 ] || fail 'metrics.jsonl: not five lines'

refused "$dir/run: a run is there already; add --resume" train "$dir/small.yaml"
refused 'model.num_local_experts was 4 and is now 8' train "$dir/small.yaml" model.num_local_experts=8 --resume
refused 'optimizer.learning_rate was 0.003 and is now 0.1' train "$dir/small.yaml" \
    optimizer.learning_rate=0.1 --resume
cp "$dir/run/events.out.tfevents.moira" "$dir/events"
echo 'my notes' >"$dir/run/events.out.tfevents.moira"
refused "$dir/run/events.out.tfevents.moira: is not a TensorBoard event file; move it away" \
    train "$dir/small.yaml" --resume
moira 0 train "$dir/small.yaml" --resume log.tensorboard=false
cp "$dir/events" "$dir/run/events.out.tfevents.moira"
moira 0 train "$dir/small.yaml" --resume
out_has 'the run had all its 20 steps'
same "$dir/events" "$dir/run/events.out.tfevents.moira"

# ---- a run in two parts has the losses of a run in one ----

loss_at() { sed -n "s/.*\"step\":$2,.*\"train_loss\":\([0-9.e-]*\),.*/\1/p" "$1/metrics.jsonl"; }
moira 0 train "$dir/small.yaml" "run.dir=$dir/whole" schedule.kind=constant
moira 0 train "$dir/small.yaml" "run.dir=$dir/parts" schedule.kind=constant train.steps=12
moira 0 train "$dir/small.yaml" "run.dir=$dir/parts" schedule.kind=constant train.steps=20 --resume run.threads=2
out_matches '^training     steps 13 to 20,'
for step in 5 10 15 20; do
    [ -n "$(loss_at "$dir/whole" $step)" ] || fail "no loss of step $step"
    [ "$(loss_at "$dir/whole" $step)" = "$(loss_at "$dir/parts" $step)" ] || fail "step $step: another loss"
done

# ---- a narrow terminal: columns that matter least go first, and no line of the table is wider ----

COLUMNS=60 moira 0 train "$dir/small.yaml" "run.dir=$dir/narrow" sample.tokens=0
out_matches '^ +step +loss +grad norm +tokens/s +max vio +left$'
out_matches '^ +20 +[0-9.]+ +[0-9.]+ +[0-9,]+ +[0-9.]+ +[0-9.]+ s$'
sed -n '/^ *step /,/^done/p' "$out" | grep -E '^ +[0-9]' | grep -E '.{61}' && fail "$ran: a line of over 60 columns"

# ---- interrupted ----

# Starts a long run in the background and waits until it steps.
start_run() {
    "$MOIRA" train "$dir/small.yaml" "run.dir=$dir/$1" train.steps=100000 sample.tokens=0 eval.every=100000 \
        log.every=1 $2 >"$out" 2>"$err" &
    pid=$!
    for wait in $(seq 300); do
        grep -q "$3" "$out" && return
        sleep 0.1
    done
    fail "$1: the run did not start"
}
ran='interrupted run'
start_run "it's stopped" '' '^ *3 '
kill -INT $pid
wait $pid
[ $? -eq 130 ] || fail "$ran: not exit status 130"
err_has 'moira train: interrupted after step '
err_has 'stopping when what is at hand is saved; a second signal leaves at once'
err_has 'goes on with --resume'
err_has "  $MOIRA train '$dir/it'\\''s stopped/config.yaml' --resume"
for last in "$dir/it's stopped"/step-*.h5; do :; done
step=$(basename "$last" .h5 | sed 's/step-0*//')
# The command that was told, with an end.
ran=$(sed -n 's/^  //p' "$err")
eval "$ran train.steps=$((step + 2))" >"$out" 2>"$err" || { fail "$ran: exit status $?"; show; }
out_matches "^training     steps $(echo $((step + 1)) | sed ':a;s/\B[0-9]\{3\}\>/,&/;ta') to "
# Nobody else gets into the folder of a run; a closed terminal ends it as Ctrl-C does.
ran='run that holds its folder'
start_run held 'train.steps=1000000' '^ *1 '
moira 2 train "$dir/held/config.yaml" --resume
err_has "$dir/held: another process is training in this folder (process $pid on "
kill -HUP $pid
wait $pid
[ $? -eq 130 ] || fail "$ran: not exit status 130"
ls "$dir"/held/step-*.h5 >/dev/null 2>&1 || fail "$ran: saved nothing at the end"
# A second signal does not wait for the step, which takes a minute here.
ran='run interrupted twice'
start_run killed 'train.gradient_accumulation_steps=20000' '^ *step '
kill -TERM $pid
sleep 0.3
kill -0 $pid 2>/dev/null || fail "$ran: the first signal ended it"
kill -TERM $pid
wait $pid
[ $? -eq 130 ] || fail "$ran: not exit status 130"
ls "$dir"/killed/step-*.h5 >/dev/null 2>&1 && fail "$ran: saved a step that was not done"

# ---- runs that fail: exit status 1 ----

moira 1 train "$dir/small.yaml" "run.dir=$dir/wild" optimizer.learning_rate=100 optimizer.max_grad_norm=0 \
    schedule.warmup_steps=0 train.steps=500 sample.tokens=0 eval.every=500 checkpoint.every=500
err_has 'Try a lower optimizer.learning_rate'
grep -q -e '-nan' "$err" && fail "$ran: shows the sign of a NaN" && show
# The disk is full at the first checkpoint, here by a limit on the size of files.
ran='run on a full disk'
(
    ulimit -f 100
    "$MOIRA" train "$dir/small.yaml" "run.dir=$dir/full" sample.tokens=0
) >"$out" 2>"$err"
[ $? -eq 1 ] || fail "$ran: not exit status 1"
err_has "$dir/full/"
err_has 'File too large'
ls -A "$dir/full" | grep -q 'h5' && fail "$ran: left $(ls -A "$dir/full")"

# ---- eval ----

best=$dir/run/step-00000020.h5
moira 0 eval "$best" --data "$dir/text.h5"
out_matches '^loss         [0-9]\.[0-9]{6} nats per token$'
out_matches '^perplexity   [0-9.]+$'
out_matches '^bits/byte    [0-9.]+$'
moira 0 eval "$best" --data "$dir/text.h5" --json
loss=$(sed -n 's/^ *"loss": \([0-9.]*\),$/\1/p' "$out")
logged=$(sed -n 's/.*"step":20,.*"validation_loss":\([0-9.]*\),.*/\1/p' "$dir/run/metrics.jsonl")
[ -n "$loss" ] && [ "$loss" = "$logged" ] || fail "$ran: loss $loss, the run had $logged"
tokens=$(sed -n 's/^ *"tokens": \([0-9]*\),$/\1/p' "$out")
count=$(wc -c <"$dir/text.txt")
[ "$tokens" -eq $(((count - count * 9 / 10) / 32 * 31)) ] || fail "$ran: $tokens tokens"
out_matches '"perplexity": [0-9.]+'
out_matches '"bits_per_byte": [0-9.]+'
moira 0 eval "$best" --data "$dir/text.h5" --json --batch-size 7 --threads 2
other=$(sed -n 's/^ *"loss": \([0-9.]*\),$/\1/p' "$out")
[ "${loss%"${loss#????????}"}" = "${other%"${other#????????}"}" ] || fail "$ran: loss $other, was $loss"
moira 0 eval "$best" --data "$dir/text.h5" --batch-size 7 --threads 0
moira 0 eval "$best" --data "$dir/text.h5" --split train --sequence-length 16 --by-domain
out_has 'windows of 16'
out_has 'has no domain labels'
refused 'fewer than one window of 5000' eval "$best" --data "$dir/text.h5" --sequence-length 5000
refused 'this needs ' eval "$best" --data "$dir/text.h5" --batch-size 1000000 --sequence-length 500
refused "$dir/text.h5: is a token file, a checkpoint is needed" eval "$dir/text.h5" --data "$dir/text.h5"
refused "$best: is a checkpoint, a token file is needed" eval "$best" --data "$best"

# ---- generate ----

moira 0 generate "$best" --prompt 'The quick' --max-tokens 40
[ "$(wc -c <"$out")" -eq 50 ] || fail "$ran: not 9 + 40 bytes and a newline"
out_has 'The quick'
cp "$out" "$dir/said"
moira 0 generate "$best" --prompt 'The quick' --max-tokens 40 --threads 2
same "$out" "$dir/said"
moira 0 generate "$best" --prompt 'The quick' --max-tokens 40 --seed 7
cmp -s "$out" "$dir/said" && fail "$ran: another seed, the same text"
moira 0 generate "$best" --prompt 'The quick' --max-tokens 5 --temperature 0 --seed 1
cp "$out" "$dir/said"
moira 0 generate "$best" --prompt 'The quick' --max-tokens 5 --temperature 2 --top-k 1 --seed 2
same "$out" "$dir/said"
moira 0 generate "$best" --prompt 'The quick' --max-tokens 5 --temperature 2 --top-p 1e-6 --seed 3
same "$out" "$dir/said"
moira 0 generate "$best" --prompt AB --max-tokens 3 --tokens
out_matches '^65 66( [0-9]+){3}$'
moira 0 generate "$best" --prompt AB --max-tokens 0 --threads 0
[ "$(cat "$out")" = AB ] || fail "$ran: not the prompt alone"
refused '--prompt: is empty; this model goes on from at least one token' generate "$best" --prompt ''
# Into a pipe, what is no text goes as it is: control characters, half a character.
prompt=$(printf 'a\033[31mb\303')
moira 0 generate "$best" --prompt "$prompt" --max-tokens 0
[ "$(cat "$out")" = "$prompt" ] || fail "$ran: not the prompt's bytes"
ran='moira generate | head -c 5'
{
    "$MOIRA" generate "$best" --prompt ABCDE --max-tokens 100000000 2>"$err"
    echo $? >"$dir/code"
} | head -c 5 >"$out"
[ "$(cat "$dir/code")" = 0 ] || fail "$ran: exit status $(cat "$dir/code")"
[ "$(cat "$out")" = ABCDE ] || fail "$ran: not the prompt"
[ -s "$err" ] && fail "$ran: complained" && show

# ---- inspect ----

moira 0 inspect "$best" --verify --memory
out_matches "^checkpoint   $best, run small$"
out_matches '^trained      20 steps, '
out_matches '^tokenizer    bytes, 256 ids, [0-9a-f]{32}$'
out_has 'and their optimizer state'
out_has 'verified     every array'
out_matches '^total +[0-9,]+ '
moira 0 inspect "$best" --json
out_has '"step": 20,'
out_matches '"total": [0-9]+,'
moira 0 synth -o "$dir/synth.h5" --tokens 40000 --domains 4
moira 0 eval "$best" --data "$dir/synth.h5" --by-domain
out_matches '^stories +[0-9,]+ +[0-9]\.[0-9]{4} +0\.[0-9]{4} +[0-9]\.[0-9]{4}$'

# ---- dense, and bench ----

sed 's/num_local_experts: 4/num_local_experts: 0/; /^balance/d' "$dir/small.yaml" >"$dir/dense.yaml"
escape=$(printf '\033')
moira 0 train "$dir/dense.yaml" "run.dir=$dir/dense" train.steps=2 "sample.prompt=${escape}[31mred"
out_has '[31mred'
grep -q "$escape" "$out" && fail "$ran: lets a sample command the terminal"
out_matches '^ +step +loss +grad norm +rate '
refused 'is a dense model; it routes nothing' inspect "$dir/dense/best.h5" --routing --data "$dir/text.h5"
moira 0 bench "$dir/small.yaml" --steps 2 --threads 1
out_matches '^experts +backward +[0-9]+ +[0-9.]+ +[0-9.]+% '
out_matches '^peak         [0-9.]+ GFLOP/s'
moira 0 bench "$dir/small.yaml" train.batch_size=2 run.threads=2 --steps 2 --threads 1 --json
out_has '"threads": 1,'
for key in tokens_per_second gflops peak_gflops share_of_peak peak_rss_bytes threads; do
    out_matches "^  \"$key\": [0-9.e-]+,$"
done
out_matches '^  "ops": \[$'
finish
