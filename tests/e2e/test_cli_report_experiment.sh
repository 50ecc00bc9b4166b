# moira report of a sweep and a comparison: the answer comes first, on the page and on the terminal, while trials are
# missing and when they are done; the data is beside it.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"
settings="set: {train.steps: 6, eval.every: 3, checkpoint.every: 6, sample.tokens: 0}"
{
    echo "name: it's <b>\"one\""
    echo "dir: $dir/sweep"
    echo "base: $dir/small.yaml"
    echo "$settings"
    echo 'parameters: {optimizer.learning_rate: [1e-3, 1e-2], balance.switch: [0, 0.1]}'
    echo 'seeds: 2'
} >"$dir/sweep.yaml"

# Nothing is done yet.
moira 0 sweep "$dir/sweep.yaml" --list
moira 0 report "$dir/sweep"
out_has 'There is no answer yet: 0 of 8 trials are done.'
grep -q 'Not over yet: 0 of 8 trials are done' "$dir/sweep/report.html" || fail "$ran: the page does not say so"

moira 0 sweep "$dir/sweep.yaml" --jobs 2
moira 0 report "$dir/sweep"
head -n 1 "$out" | grep -q '^Of 4 variants v000[1-4] (' || fail "$ran: the answer is not the first line"
out_matches '^# +variant +loss +behind +learning_rate +switch +seeds +time +front$'
out_matches '^1 +v000[1-4] +[0-9.]+ +- +'
out_matches '^(learning_rate|switch) +\? +(1e-3|0) ' # four variants are too few for a share
out_matches "^report       $dir/sweep/report.html, [0-9]+ plots$"
page=$dir/sweep/report.html
grep -q '<h1>it&#39;s &lt;b&gt;&quot;one&quot;</h1>' "$page" || fail "$ran: its name is not on the page as it is"
grep -q '<p class="answer">Of 4 variants' "$page" || fail "$ran: the page has no answer"
for name in ranking effects pair ranked-losses loss-by-seconds loss-tokens variants trials evaluations; do
    [ -s "$dir/sweep/report/$name.csv" ] || fail "$ran: no $name.csv"
    grep -q "href=\"report/$name.csv\"" "$page" || fail "$ran: no link to $name.csv"
done
# The ranking has the trials' losses: the mean of each variant's two, least first.
awk -F, 'NR > 1 && $0 ~ /main/ {
    for (i = 1; i <= NF; i++) if (head[i] == "variant") v = $i; else if (head[i] == "validation_loss") sum[v] += $i / 2
} NR == 1 { for (i = 1; i <= NF; i++) head[i] = $i } END { for (v in sum) printf "%s %.9f\n", v, sum[v] }' \
    "$dir/sweep/report/trials.csv" | sort -k2 -g >"$dir/wanted"
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "loss") at = i } NR > 1 { printf "%s %.9f\n", $2, $at }' \
    "$dir/sweep/report/ranking.csv" >"$dir/found"
cmp "$dir/wanted" "$dir/found" || fail "$ran: the ranking is not that of the trials"

# Results of somebody else's: what would steer a terminal does not get there.
mkdir "$dir/other"
escape=$(printf '\033')
LC_ALL=C sed "s/1e-2/$escape[1m/g" "$dir/sweep/results.db" >"$dir/other/results.db"
moira 0 report "$dir/other"
out_has '[1m'
cat "$out" "$dir"/other/report.html "$dir"/other/report/*.csv | LC_ALL=C grep -q "$escape" && fail "$ran: an escape sequence"

{
    echo 'name: pair'
    echo "dir: $dir/pair"
    echo "base: $dir/small.yaml"
    echo "$settings"
    echo 'seeds: 2'
    echo 'variants:'
    echo '  moe: {}'
    echo '  dense: {set: {model.num_local_experts: 0, balance.switch: 0, balance.z_loss: 0}, match: active_params, to: moe}'
    echo 'timing: {steps: 10}'
} >"$dir/pair.yaml"
moira 0 compare "$dir/pair.yaml" --jobs 2
moira 0 report "$dir/pair/results.db"
head -n 1 "$out" | grep -q '^moe .* dense' || fail "$ran: the answer is not the first line"
out_matches '^variant +experts +active +parameters +memory +seeds +loss +time +tokens/s$'
out_matches '^dense has the active parameters of moe, [0-9.]+% off$'
out_matches '^moe +dense +end +[-+][0-9.]+ ± [0-9.]+ +(better|worse|within noise) *$'
out_matches '^ +tokens +[-+][0-9.]+ ± [0-9.]+ '
# How it is done is said on the page; the terminal has what is to be seen to in these data.
grep -q 'Differences are taken seed by seed' "$out" && fail "$ran: notes on the method on the terminal"
grep -q 'Differences are taken seed by seed' "$dir/pair/report.html" || fail "$ran: no notes on the page"
[ "$(wc -l <"$dir/pair/report/contrasts.csv")" -eq 5 ] || fail "$ran: not a contrast for each of the end, tokens, FLOPs, seconds"
finish
