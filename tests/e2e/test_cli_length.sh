# How long a run goes on, from the command line: budgets in steps, tokens and seconds.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"

# length NAME STATUS SETTING...
length() {
    name=$1 wanted_status=$2
    shift 2
    moira "$wanted_status" train "$dir/small.yaml" "run.dir=$dir/$name" sample.tokens=0 "$@"
}

moira 0 inspect "$dir/small.yaml"
out_matches '^training     20 steps of 4 sequences: 2,560 tokens$'
moira 0 inspect "$dir/small.yaml" train.tokens=1000
out_matches '^training     8 steps of 4 sequences: 1,024 tokens$'
moira 0 inspect "$dir/small.yaml" train.tokens=1000 train.seconds=90
out_matches '^training     1:30, or at most 8 steps of 4 sequences: 1,024 tokens$'
moira 0 inspect "$dir/small.yaml" train.steps=0 train.seconds=90
out_matches '^training     1:30, in steps of 4 sequences: 128 tokens$'

moira 0 inspect "$dir/small.yaml" train.tokens=1000 --json
out_has '"steps": 8,'
out_has '"seconds": null,'
out_has '"tokens_per_step": 128'

length tokens 0 train.tokens=1000
out_matches '^training     steps 1 to 8, each of 4 x 32 = 128 tokens$'
out_matches '^done         8 steps, [0-9,]+ predicted tokens, '
length tokens 0 train.tokens=1000 --resume
out_has 'done         the run had all its 1,000 tokens; more are made with train.tokens=N --resume'
length tokens 2 train.tokens=800 --resume
err_has 'train.tokens 800 are 7 steps of 128 tokens: the run has done 8 steps already'
length tokens 0 train.tokens=1200 --resume
out_matches '^training     steps 9 to 10,'

length seconds 0 train.steps=0 train.seconds=0.2 eval.every=100000 checkpoint.every=100000 log.every=100000
out_matches '^training     from step 1 on for 0\.20 s of training in all, each of 4 x 32 = 128 tokens$'
out_matches '^ +validation loss '
out_matches '^done         [0-9,]+ steps, [0-9,]+ predicted tokens, 0\.[2-9][0-9]* s of training$'
length seconds 0 train.steps=0 train.seconds=0.2 --resume
out_has 'done         the run had all its 0.20 s of training; more are made with train.seconds=N --resume'
length both 0 train.seconds=1000
out_matches '^training     steps 1 to 20, or for 16:40 of training in all, each of'
out_matches '^done         20 steps,'

# ---- a signal in the last evaluation, which takes far longer than the steps before it ----

i=0
while [ $i -lt 30 ]; do
    i=$((i + 1))
    cat "$dir/text.txt"
done >"$dir/long.txt"
moira 0 prepare "$dir/long.txt" -o "$dir/long.h5"
ran='run interrupted in its last evaluation'
"$MOIRA" train "$dir/small.yaml" "data.path=$dir/long.h5" "run.dir=$dir/last" sample.tokens=0 train.steps=2 \
    train.sequence_length=2 eval.every=1000 >"$out" 2>"$err" &
pid=$!
for wait in $(seq 300); do
    grep -q '^ *1 ' "$out" && break
    sleep 0.05
done
sleep 0.1
kill -INT $pid
wait $pid
code=$?
if [ $code -eq 130 ] && grep -q 'in the evaluation after step 2;' "$err"; then
    length last 0 "data.path=$dir/long.h5" train.steps=2 train.sequence_length=2 eval.every=1000 --resume
    out_matches '^training     the evaluation after step 2 is left$'
    out_matches '^ +validation loss '
    out_matches '^done         2 steps, '
    [ "$(grep -c validation_loss "$dir/last/metrics.jsonl")" -eq 1 ] || fail "$ran: not one evaluation"
else
    [ $code -eq 0 ] || [ $code -eq 130 ] || fail "$ran: exit status $code"
    echo 'the signal missed the evaluation; nothing was tested of it'
fi

# ---- patience ----

patient() { length patient 0 train.steps=40 schedule.kind=constant eval.every=4 eval.min_delta=5 "$@"; }
patient eval.patience=3
out_matches '^done         16 steps, '
out_has 'stopped      early: 3 evaluations in a row without a new best (eval.patience); a larger one goes on with --resume'
[ -s "$dir/patient/step-00000016.h5" ] || fail "$ran: no checkpoint of the last step"
patient eval.patience=3 --resume
out_has 'done         the run had stopped early: 3 evaluations in a row without a new best'
grep -q '^training' "$out" && fail "$ran: tells of steps that are not made"
patient eval.patience=4 --resume
out_matches '^training     steps 17 to 40,'
out_matches '^done         20 steps, '
patient eval.patience=0 --resume
out_matches '^done         40 steps, '
grep -q '^stopped' "$out" && fail "$ran: says that it stopped early"
finish
