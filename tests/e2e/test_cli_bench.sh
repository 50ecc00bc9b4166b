# moira bench: its figures, variants, what it refuses, and figures compared.
. tests/e2e/lib.sh
small_config
bench() { moira 0 bench "$dir/small.yaml" model.vocab_size=64 "$@"; }

bench --steps 3 -o "$dir/one.json"
out_matches '^experts +backward +6 +[0-9.]+ +[0-9.]+%'
out_matches '^adamw and norm +[0-9.]+ +[0-9.]+% *$'
out_matches '^step         [0-9.]+ ms \([0-9.]+ to [0-9.]+ over 3 steps, half of them [0-9.]+ to [0-9.]+\)$'
out_matches '^GFLOP/s      [0-9.]+ of the model.s own operations \(149 kFLOP a token\), [0-9.]+% of the peak$'
out_matches "^  OpenBLAS's [0-9.]+ GFLOP/s \([0-9.]+ to [0-9.]+\): [0-9.]+% of it; OpenBLAS [0-9.]+ \(openmp\), kernel "
out_matches "^  Moira's    [0-9.]+ GFLOP/s \([0-9.]+ to [0-9.]+\): [0-9.]+% of it$"
out_matches '^memory       [0-9.]+ MiB at most, [0-9.]+ MiB planned$'
out_matches '^parameters   37,280, 16.00 bytes each \(value, gradient, moments\); [0-9.]+ MiB at most beside 16 each$'
out_matches '^routing      the busiest expert of a layer takes [0-9.]+% of the choices; 25.0% would be even$'
out_matches '^startup      [0-9]\.[0-9][0-9] s from '

# The same in JSON, where every op has its row.
head -c 21 "$dir/one.json" | grep -q '"bench": ' || fail "$ran: another begin of the file"
value() { sed -n "s/^  \"$1\": \([0-9.e+-]*\),*\$/\1/p" "$dir/one.json"; }
for key in flops_per_token peak_own_gflops share_of_own_peak without_optimizer_seconds_quarter planned_bytes \
    bytes_per_parameter peak_without_16_per_parameter startup_seconds busiest_expert step_seconds_three_quarters; do
    [ -n "$(value $key)" ] || fail "$ran: no $key in its file"
done
[ "$(value bytes_per_parameter)" = 16.0 ] || fail "$ran: $(value bytes_per_parameter) bytes a parameter"
awk -v gflops="$(value gflops)" -v peak="$(value peak_gflops)" -v share="$(value share_of_peak)" \
    -v own="$(value peak_own_gflops)" -v low="$(value step_seconds_low)" -v step="$(value step_seconds)" \
    -v high="$(value step_seconds_high)" 'BEGIN {
        bad = share - gflops / peak
        exit !(bad < 1e-9 && bad > -1e-9 && peak >= own && low <= step && step <= high) }' ||
    fail "$ran: figures that do not go together"
[ "$(grep -c '"pass":' "$dir/one.json")" -gt 30 ] || fail "$ran: few ops in its file"

# ---- variants ----

bench --steps 1 --threads 1,2 --against "model.num_experts_per_tok=4,train.batch_size=8 skew=0.5" -o "$dir/many.json"
out_matches '^ratios to the first +threads +ms +step +no adamw +FLOPs +step/FLOPs +per thread +of peak +MiB +busiest$'
out_matches '^small +1 +[0-9.]+ +1\.000 +1\.000 +1\.000 +1\.000 '
grep -q '^threads=2 *2 ' "$out" || fail "$ran: no row of two threads"
# Twice the tokens, and each of them with two experts more.
out_matches '^num_experts_per_tok=4,batch_size=8 +1 +[0-9.]+ +[0-9.]+ +[0-9.]+ +2\.990 '
out_matches '^skew=0.5 +1 '
[ "$(grep -c '"ratios": {' "$dir/many.json")" = 3 ] || fail "$ran: not three variants in its file"
bench --steps 1 --skew 0.4 --json
out_matches '^  "busiest_expert": 0\.[34][0-9]*,$'
bench --steps 1 --against configs/bench-a-dense.yaml >/dev/null
out_has 'configs/bench-a-dense.yaml'
MOIRA_OPENBLAS=$dir/none moira 0 bench --steps 1
out_has "  OpenBLAS's is not known: it is not installed"

# ---- comparing ----

moira 0 bench --compare "$dir/one.json" "$dir/one.json"
out_matches '^small +[0-9.]+ +[0-9.]+ +1\.000 +1\.000 +1\.000 +[0-9.]+% +[0-9.]+% +1\.000 *$'
# Twice as slow, and one op besides.
sed 's/"step_seconds\(.*\)": \([0-9.e-]*\)/"step_seconds\1": 2e3/; s/"name": "rope"/"name": "rape"/' "$dir/one.json" >"$dir/slow.json"
moira 0 bench --compare "$dir/one.json" "$dir/slow.json"
out_matches '^small .* slower$'
moira 0 bench --compare "$dir/slow.json" "$dir/one.json"
out_matches '^small .* faster$'
mkdir "$dir/then" "$dir/now"
cp "$dir/one.json" "$dir/then/x.json"
cp "$dir/slow.json" "$dir/now/x.json"
cp "$dir/slow.json" "$dir/now/y.json"
moira 0 bench --compare "$dir/then" "$dir/now"
[ "$(grep -c ' slower$' "$out")" = 1 ] || fail "$ran: not one size that both folders have"
refused 'is a folder and' bench --compare "$dir/then" "$dir/one.json"
sed 's/"threads": 1/"threads": 2/' "$dir/one.json" >"$dir/two.json"
refused 'are not of the same work: threads is 1 and 2' bench --compare "$dir/one.json" "$dir/two.json"
refused 'is no file of moira bench -o' bench --compare "$dir/one.json" configs/templates/chatml.json
refused 'line 1' bench --compare "$dir/one.json" "$dir/small.yaml"
refused 'takes BASE and NEW' bench --compare "$dir/one.json"
refused 'it takes no other option' bench --compare "$dir/one.json" "$dir/one.json" --json
rm -r "$dir/now"
mkdir "$dir/now"
refused 'have no .json file of the same name' bench --compare "$dir/then" "$dir/now"

# ---- refused ----

refused "--threads: -1 is out of range: it takes 0 to 1024" bench "$dir/small.yaml" model.vocab_size=64 --threads 1,-1
refused "--threads: 'two' is not a whole number" bench "$dir/small.yaml" model.vocab_size=64 --threads two
refused "--against: 'dense' is no setting" bench "$dir/small.yaml" model.vocab_size=64 --against run.seed=1,dense
refused '--against: skew=much: a share' bench "$dir/small.yaml" model.vocab_size=64 --against skew=much
refused 'settings are of a CONFIG, and none is given' bench --against train.batch_size=2
refused 'an expert has at most one of a token' bench "$dir/small.yaml" model.vocab_size=64 --skew 0.6
refused 'skew: the model is dense' bench configs/bench-a-dense.yaml --skew 0.5
refused 'is not figures of moira bench' bench "$dir/small.yaml" -o "$dir/small.yaml"
moira 2 bench "$dir/small.yaml" model.vocab_size=64 model.router=hash balance.switch=0 balance.z_loss=0 --steps 1 --skew 0.5
err_has 'with model.router hash the first expert of layer 0 takes'
finish
