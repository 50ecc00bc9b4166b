# What a run shows of its routers: columns, dead experts, collapse, and null where there is nothing to show.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"

# One layer's metrics in the last line, without its load.
last() { tail -n 1 "$dir/$1/metrics.jsonl" | sed 's/.*"layers":\[//; s/"load":\[[^]]*\],//'; }
has_last() {
    last "$1" | grep -qE -e "$2" && return 0
    fail "$1: no $2 in $(last "$1")"
}

# ---- experts that can be full ----

COLUMNS=80 moira 0 train "$dir/small.yaml" "run.dir=$dir/full" model.capacity_factor=1 sample.tokens=0
out_matches '^ +step +loss +balance +grad norm +rate +tokens/s +max vio +dropped +left$'
out_matches '^ +20 +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.e-]+ +[0-9,]+ +[0-9.]+ +[0-9]+\.[0-9]{2}% +[0-9.]+ s$'
has_last full '"dropped":0\.[0-9]*[1-9]'
[ -s "$err" ] && fail "$ran: said something on stderr" && show

# ---- a router that nothing holds ----

free='balance.switch=0 balance.z_loss=0 schedule.kind=constant train.steps=40 sample.tokens=0 model.num_local_experts=16'
scale='optimizer.groups=[{match: router, learning_rate_scale: 300}]'
moira 0 train "$dir/small.yaml" "run.dir=$dir/free" $free "$scale" log.collapse_window=5
err_has 'moira train: warning: step '
err_has ' collapses: '
err_has ' To try in a new run: balance.switch=0.02 (now 0), balance.mixtral=0.02 (now 0), balance.z_loss=0.002 (now 0)'
out_matches '^ +[0-9]+ of 32 experts had less than a tenth of their fair share in this step, [0-9]+ of them in layer [01]$'
moira 0 train "$dir/small.yaml" "run.dir=$dir/unwatched" $free "$scale" log.collapse_window=0
[ -s "$err" ] && fail "$ran: said something on stderr" && show
refused 'log.collapse_window' train "$dir/small.yaml" "run.dir=$dir/no" log.collapse_window=-1

# ---- settings that are on are to be raised; those that a router does not take are not spoken of ----

moira 0 train "$dir/small.yaml" "run.dir=$dir/weak" $free "$scale" log.collapse_window=5 balance.mixtral=1e-9 \
    balance.z_loss=1e-9 model.capacity_factor=4
err_has ' To try in a new run: balance.mixtral=3e-09 (now 1e-09), balance.z_loss=3e-09 (now 1e-09), model.router_jitter'
grep -qE 'balance.switch|capacity_factor' "$err" && fail "$ran: speaks of other settings" && show
moira 0 train "$dir/small.yaml" "run.dir=$dir/shaken" $free "$scale" log.collapse_window=5 model.router_jitter_noise=0.4
err_has ' balance.z_loss=0.002 (now 0), optimizer.groups {match: router' # three times 0.4 would be refused
moira 0 train "$dir/small.yaml" "run.dir=$dir/noisy" $free "$scale" log.collapse_window=5 model.router=hierarchical \
    model.n_group=4 model.topk_group=2 model.num_experts_per_tok=4
err_has ' To try in a new run: balance.importance=0.2 (now 0), balance.load=0.2 (now 0), model.noise_floor=0.03 (now 0.01)'
grep -qE 'jitter|z_loss' "$err" && fail "$ran: speaks of other settings" && show

# ---- no probabilities: null, in metrics and on a resume ----

hash="run.dir=$dir/hash model.router=hash balance.switch=0 balance.z_loss=0 model.num_local_experts=32"
moira 0 train "$dir/small.yaml" $hash model.num_experts_per_tok=1 sample.tokens=0 log.collapse_window=10
has_last hash '"cv":[0-9.]+,"entropy":null,"top1":null,"top1_weight":1\.0,"dropped":0\.0,"z":null,"dead":[0-9]+'
err_has ' of its 32 experts are dead: of the choices of the last 13 steps expert '
grep -m 1 ' of its 32 experts are dead' "$err" >"$dir/dead"
grep -oE 'expert [0-9]+ got [^%]+' "$dir/dead" | awk '{ print $4, $2 }' >"$dir/shares"
[ "$(wc -l <"$dir/shares")" -ge 3 ] || fail "$ran: fewer than three dead experts"
sort -c -k1,1g -k2,2n "$dir/shares" || fail "$ran: dead experts are not in the order of their shares"
[ "$(wc -l <"$dir/shares")" -ge 6 ] && err_has ' more hardly better'
[ -z "$(awk '{ print $2 }' "$dir/shares" | sort | uniq -d)" ] || fail "$ran: an expert stands twice"
err_has 'another model.router (now hash, which learns nothing), model.num_local_experts below 32'
moira 0 train "$dir/small.yaml" $hash model.num_experts_per_tok=1 sample.tokens=0 train.steps=22 --resume
has_last hash '"entropy":null'
finish
