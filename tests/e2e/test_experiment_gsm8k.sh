# The table of three ways of fine-tuning (experiments/finetune-gsm8k): its command on a little of everything, figures
# against the program's own, statistics.
. tests/e2e/lib.sh
here=experiments/finetune-gsm8k
mkdir "$dir/data"
for file in train:120 test:30; do
    awk -v n="${file#*:}" 'BEGIN { for (i = 1; i <= n; i++) { a = i * 7 % 40 + 2; b = i * 11 % 30 + 3
        printf "{\"question\": \"Ann has %d apples and buys %d more. How many has she?\", ", a, b
        printf "\"answer\": \"She has %d + %d = %d apples.\\n#### %d\"}\n", a, b, a + b, a + b } }' \
        >"$dir/data/gsm8k-${file%:*}.jsonl"
done
awk 'BEGIN { for (i = 1; i <= 400; i++) printf "Citizen %d:\nSpeak, speak of %d.\n\n", i % 9, i * 31 % 77 }' \
    >"$dir/data/tinyshakespeare.txt"

# table SETTINGS...: a smoke run
table() {
    ran="$* run.sh"
    env "$@" SMOKE=1 DATA="$dir/data" OUT="$dir/table" THREADS=1 sh $here/run.sh >"$out" 2>"$err"
    code=$?
}
field() { awk -F, -v way="$2" -v k="$3" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == k) c = i }
    $1 == way { print $c; exit }' "$1"; }
near() { awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d <= t && -d <= t) }'; }

table SEEDS=1
[ $code -eq 0 ] || { fail "$ran: exit status $code"; show; }
results=$dir/table/results.csv
[ "$(wc -l <"$results")" -eq 4 ] || fail "$ran: results.csv has not 4 lines"
cmp -s $here/table.md "$dir/table/table.md" && fail "$ran: published a smoke run"
cp "$results" "$dir/first.csv"

# The figures are the program's: losses of moira eval, what trains of moira inspect, in order full, frozen, LoRA.
for way in full frozen lora; do
    after=$(field "$results" $way test_after)
    moira 0 eval "$dir/table/$way.1/run/step-00000004.h5" --data "$dir/table/data/test.h5" --split train --json
    near "$after" "$(sed -n 's/^ *"loss": \([0-9.]*\),*$/\1/p' "$out")" 1e-6 || fail "$ran: not the loss in the table"
    near "$after" "$(field "$results" $way test_before)" 0.0001 && fail "$way: has learnt nothing"
    near "$(field "$results" $way learning_rate)" "$(sed -n 's/^  learning_rate: \([^ ]*\).*/\1/p' $here/finetune.yaml \
        $here/$way.yaml | tail -n 1)" 1e-9 || fail "$way: learning rate $(field "$results" $way learning_rate)"
    near "$(field "$results" $way peak_mib)" 100 80 || fail "$way: $(field "$results" $way peak_mib) MiB at most"
done
moira 0 eval "$dir/table/base/base.h5" --data "$dir/table/data/test.h5" --split train --sequence-length 2048 --json
near "$(field "$results" full test_before)" "$(sed -n 's/^ *"loss": \([0-9.]*\),*$/\1/p' "$out")" 1e-6 ||
    fail "$ran: not the loss before in the table"
full=$(field "$results" full trained) frozen=$(field "$results" frozen trained)
[ "$full" -eq "$(field "$results" full parameters)" ] && [ "$frozen" -lt "$full" ] || fail "trained: $full, $frozen"
near "$((full - frozen))" $((2 * 3 * 8 * 32 * 32)) 0 || fail "frozen: $((full - frozen)) of the experts"

# What is done is not done again; other settings are refused.
table SEEDS=1
grep -q 'seed 1' "$out" && fail "$ran: a trial was done twice"
same "$results" "$dir/first.csv"
echo other >"$dir/table/lora.1/key"
table SEEDS=1
[ $code -eq 2 ] || fail "$ran: exit status $code, not 2, with other settings"
err_has 'table/lora.1: is of other settings or data; remove it, or choose another OUT'
table WAYS=nosuch
[ $code -eq 2 ] || fail "$ran: exit status $code, not 2"
table SEEDS=x
err_has 'SEEDS=x: a whole number'

# The sweep of learning rates has a validation loss for each, and none of the test file.
table SWEEP=1 WAYS=frozen RATES='1e-3 1e-2'
[ $code -eq 0 ] || { fail "$ran: exit status $code"; show; }
[ "$(awk -F, '$1 == "frozen" && $5 > 0 && $7 == "" { print $3 }' "$dir/table/sweep.csv" | tr '\n' ' ')" = '1e-3 1e-2 ' ] ||
    { fail "$ran: not a row for each rate"; show; }

# Interrupted, the same command goes on and ends in the same figures, but seconds and memory.
mv "$dir/table" "$dir/kept"
ran='interrupted run.sh'
SEEDS=1 WAYS='full lora' SMOKE=1 DATA=$dir/data OUT=$dir/table THREADS=1 sh $here/run.sh >"$out" 2>"$err" &
pid=$!
for wait in $(seq 500); do
    [ -s "$dir/table/full.1/run/config.yaml" ] && break
    sleep 0.02
done
kill -TERM $pid
wait $pid
code=$?
[ $code -eq 130 ] || { fail "$ran: exit status $code"; show; }
err_has 'interrupted; the same command goes on'
[ -e "$dir/table/lora.1/row.csv" ] && fail "$ran: did not stop"
table SEEDS=1 WAYS='full lora'
[ $code -eq 0 ] || { fail "$ran: exit status $code"; show; }
grep -v '^frozen' "$dir/first.csv" | cut -d, -f1-7,10- >"$dir/first.cut"
cut -d, -f1-7,10- "$results" >"$dir/second.cut"
same "$dir/first.cut" "$dir/second.cut"

# ---- the statistics: 1, 2, 6 have mean 3, deviation 2.6458, interval 4.303 * 2.6458 / sqrt(3) = 6.5728 ----

ran='table.awk'
{
    echo way,seed,learning_rate,steps,test_before,test_after,seconds,peak_mib,trained,parameters
    echo full,1,1e-3,9,9,1,10,100,1000000,1000000
    echo full,2,1e-3,9,9,2,20,100,1000000,1000000
    echo full,3,1e-3,9,9,6,30,100,1000000,1000000
    echo lora,1,1e-2,9,9,2,5,50,12345,1012345
    echo lora,2,1e-2,9,9,3,5,50,12345,1012345
    echo lora,3,1e-2,9,9,7.3,5,50,12345,1012345
} >"$dir/made.csv"
awk -F, -v ways='full frozen lora' -f $here/table.awk "$dir/made.csv" >"$out" 2>"$err"
out_has 'Before: 9.0000.'
out_has '| full | 3 | 1e-3 | 1,000,000 (100.0%) | 3.0000 ± 2.6458 | -3.5729 to 9.5729 | 20.09 | 6.0000 | 20.0 ± 10.0 | 100 ± 0 |'
out_has '| lora | 3 | 1e-2 | 12,345 (1.2%) | 4.1000 ±'
out_has 'lora minus full, by seed: +1.1000 ± 0.4303 (95%).'
finish
