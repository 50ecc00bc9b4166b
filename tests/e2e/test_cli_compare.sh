#!/bin/sh
# test_cli_compare.sh -- moira compare: tuning, trials, timing; kills; variants that cannot be compared.
. tests/e2e/lib.sh

small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"

# comparison NAME DENSE: a model with experts and a dense one, with a setting more.
comparison() {
    cat >"$dir/$1.yaml" <<END
name: $1
dir: $dir/$1
base: small.yaml
set: {sample.tokens: 0, log.tensorboard: false, eval.every: 20}
seeds: 2
budget: {steps: 60}
variants:
  moe: {}
  dense: {set: {model.num_local_experts: 0, balance.switch: 0, balance.z_loss: 0$2}, match: active_params, to: moe}
tune: {parameter: optimizer.learning_rate, values: [1e-3, 1e-2], steps: 20}
timing: {steps: 10}
END
}
figures() {
    cut -d, -f1-10 "$dir/$1/report/trials.csv"
    cut -d, -f1-7,9- "$dir/$1/report/evaluations.csv"
}

comparison one
moira 0 compare "$dir/one.yaml" --jobs 2
out_has 'comparison   one, in '
out_matches '^ +12 of 12  dense\.timing2  step 10  '
# In this order: tuning on the first seed, all seeds with the best value, rounds of timing.
figures one | sed -n '2,/^dense.timing2/p' | cut -d, -f1,3,4,5,7 >"$dir/.a"
cat >"$dir/.b" <<END
moe.tune.1e-3,tune,1,1e-3,20
dense.tune.1e-3,tune,1,1e-3,20
moe.tune.1e-2,tune,1,1e-2,20
dense.tune.1e-2,tune,1,1e-2,20
moe.s1,main,1,1e-2,60
dense.s1,main,1,1e-2,60
moe.s2,main,2,1e-2,60
dense.s2,main,2,1e-2,60
moe.timing1,timing,1,1e-2,10
dense.timing1,timing,1,1e-2,10
moe.timing2,timing,2,1e-2,10
dense.timing2,timing,2,1e-2,10
END
diff "$dir/.a" "$dir/.b" || fail "$ran: other trials"
# Trials that are timed have all cores and no evaluation but the last.
timed=$dir/one/trials/dense.timing2
grep -q "^computing    $(env -u OMP_NUM_THREADS nproc) thread" "$timed/log.txt" || fail "$ran: a timed trial has not all cores"
[ "$(grep -c '"validation_loss"' "$timed/metrics.jsonl")" -eq 1 ] || fail "$ran: a timed trial has evaluations"
[ "$(wc -l <"$timed/metrics.jsonl")" -eq 10 ] || fail "$ran: a timed trial has not a line for each step"

# Killed at any moment, its trials too.
comparison two
kills=0 seed=$(date +1%N) # a 0 in front would make it octal
for round in 1 2 3 4; do
    "$MOIRA" compare "$dir/two.yaml" --jobs 2 >"$out" 2>"$err" &
    pid=$!
    seed=$(((seed * 1103 + 12345) % 1000003))
    sleep "$(awk "BEGIN { print 0.02 + 1.2 * $seed / 1000003 }")"
    trials=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null)
    kill -9 $pid $trials 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
done
moira 0 compare "$dir/two.yaml" --jobs 2
[ $kills -gt 0 ] || fail "$ran: was never killed"
figures one >"$dir/.a"
figures two >"$dir/.b"
diff "$dir/.a" "$dir/.b" || fail "$ran: other figures than without kills"

# A seed that is added: nothing else is done again.
sed -i 's/^seeds: 2/seeds: 3/' "$dir/two.yaml"
moira 0 compare "$dir/two.yaml" --jobs 2
out_has 'before       12 done, 0 failed: they stay as they are'
out_matches '^ +16 of 16  dense\.timing3  '
# Another file on the same folder.
sed -i 's/steps: 60/steps: 80/' "$dir/two.yaml"
refused 'steps' compare "$dir/two.yaml"
# Models that do not read the same.
comparison apart ', train.sequence_length: 16'
refused 'train.sequence_length' compare "$dir/apart.yaml"
refused 'it is for moira compare' sweep "$dir/one.yaml"
finish
