# The table of all routers (experiments/routers): its command on a little of everything, interrupted, and its figures.
. tests/e2e/lib.sh
small_text
here=experiments/routers

# table ROUTERS...: a smoke run of these, on both corpora
table() {
    ran="run.sh $*"
    ROUTERS="$*" SEEDS=1 JOBS=1 SMOKE=1 TEXT=$dir/text.txt OUT=$dir/table sh $here/run.sh >"$out" 2>"$err"
    code=$?
}
rows() { [ "$(cat "$dir"/table/*/row.csv 2>/dev/null | wc -l)" -eq "$1" ] || fail "$ran: not $1 rows"; }

# ---- trials once, and tables ----

table dense hash
[ $code -eq 0 ] || { fail "$ran: exit status $code"; show; }
rows 4
[ "$(wc -l <"$dir/table/results.csv")" -eq 5 ] || fail "$ran: results.csv has not 5 lines"
[ "$(sed -n 's/^| hash | .*/x/p' "$dir/table/table.md" | wc -l)" -eq 4 ] || { fail "$ran: table.md"; show; }
[ -e $here/table.md ] && cmp -s $here/table.md "$dir/table/table.md" && fail "$ran: published a smoke run"
cp "$dir/table/results.csv" "$dir/first.csv"
table dense hash
out_has 'validation loss |' && grep -q 'seed 1: ' "$out" && fail "$ran: a trial was done twice"
same "$dir/table/results.csv" "$dir/first.csv"

# The loss is that of moira eval, the routing that of moira inspect.
field() { awk -F, -v k="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == k) c = i } /^'"$1"',/ { print $c }' \
    "$dir/first.csv"; }
moira 0 eval "$dir/table/synth.hash.1/run/step-00000016.h5" --data "$dir/table/data/synth.h5" --json
awk -v name=x -f $here/flatten.awk "$out" | awk -v loss="$(field synth,hash validation_loss)" \
    '$1 == "x.loss" { exit !($2 - loss < 1e-6 && loss - $2 < 1e-6) }' || fail "$ran: another loss than in the table"
moira 0 inspect "$dir/table/synth.hash.1/run/step-00000016.h5" --routing --data "$dir/table/data/synth.h5" --json
awk -v name=x -f $here/flatten.awk "$out" |
    awk -v vio="$(field synth,hash max_vio)" '$1 ~ /layers\.[0-9]+\.max_vio$/ { sum += $2; n++ }
        END { exit !(n == 2 && sum / n - vio < 1e-6 && vio - sum / n < 1e-6) }' || fail "$ran: another MaxVio"

# ---- interrupted, and other settings ----

rm -r "$dir"/table/*.hash.1
ran='interrupted run.sh'
ROUTERS=hash SEEDS=9 JOBS=1 SMOKE=1 TEXT=$dir/text.txt OUT=$dir/table sh $here/run.sh >"$out" 2>"$err" &
pid=$!
for wait in $(seq 300); do
    [ -s "$dir/table/synth.hash.1/run/metrics.jsonl" ] && break
    sleep 0.02
done
kill -TERM $pid
wait $pid
code=$?
[ $code -eq 130 ] || { fail "$ran: exit status $code"; show; }
err_has 'the same command goes on'
[ -e "$dir/table/text.hash.9/row.csv" ] && fail "$ran: did not stop"
rm -rf "$dir"/table/*.hash.[2-9]
table dense hash
[ $code -eq 0 ] || { fail "$ran: exit status $code"; show; }
rows 4
cut -d, -f1-14,16- "$dir/first.csv" >"$dir/first.cut" # tokens/s left out
cut -d, -f1-14,16- "$dir/table/results.csv" >"$dir/second.cut"
same "$dir/first.cut" "$dir/second.cut"

echo other >"$dir/table/text.dense.1/key"
table dense hash
[ $code -eq 2 ] || fail "$ran: exit status $code, not 2, with other settings"
err_has 'table/text.dense.1: is of other settings or data; remove it, or choose another OUT'
table nosuch
[ $code -eq 2 ] || fail "$ran: exit status $code, not 2"
err_has 'nosuch.yaml'

# ---- the statistics: differences 1 to 5 have mean 3, deviation 1.5811, interval 2.776 * 1.5811 / sqrt(5) ----

ran='table.awk'
{
    echo corpus,router,seed,validation_loss,max_vio,warned
    for seed in 1 2 3 4 5; do
        echo "text,hash,$seed,1,0.7,0"
        echo "synth,topk,$seed,$((seed * 3)),0.5,0"
        echo "synth,sigmoid,$seed,$((seed * 2 + 1 - seed % 2 * 2)),0.1,0"
        echo "synth,hash,$seed,$((seed * 2)),0.7,1"
        echo "synth,random,$seed,$((20 + seed % 2)),0.1,0"
    done
} >"$dir/made.csv"
awk -F, -v routers='topk sigmoid hash random' -f $here/table.awk "$dir/made.csv" >"$out" 2>"$err"
out_has '### Synthetic corpus of 8 domains'
out_has '### Real text'
out_has '| +3.0000 ± 1.9629 |'
out_has '`topk` **does worse than hash** by 3.0000 ± 1.9629 and beats random by 11.6000 ± 5.9279.'
out_has '`sigmoid` is **not told apart from hash** (-0.2000 ± 1.3600)'
finish
