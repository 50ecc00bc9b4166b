# Balancing losses and the selection bias, from the command line.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"
none='balance.switch=0 balance.z_loss=0'

# ---- every loss that is on is told of, in the metrics and in their sum ----

all='balance.switch=0.01 balance.mixtral=0.01 balance.gshard=0.01 balance.sequence=0.01 balance.importance=0.01
    balance.load=0.01 balance.z_loss=0.001 balance.load_scope=sequence'
moira 0 train "$dir/small.yaml" "run.dir=$dir/all" model.router=noisy_topk $all train.steps=3 log.every=1
for name in switch mixtral gshard sequence importance load z_loss; do
    [ "$(grep -c "\"balance\":{[^}]*\"$name\":[0-9]" "$dir/all/metrics.jsonl")" -eq 3 ] || fail "$ran: no $name in its metrics"
done
# The router starts at zero: all probabilities are 1/E, and every f P loss has its balanced value.
head -1 "$dir/all/metrics.jsonl" | tr ',{}' '\n' >"$dir/first"
value() { sed -n "s/^\"$1\"://p" "$dir/first"; }
for want in switch:1 mixtral:2 gshard:1 sequence:1; do
    awk -v got="$(value "${want%:*}")" -v want="${want#*:}" 'BEGIN { exit !(got > want - 1e-5 && got < want + 1e-5) }' ||
        fail "$ran: ${want%:*} is $(value "${want%:*}"), expected ${want#*:}"
done
awk -v got="$(value balance_loss)" -v a="$(value importance)" -v b="$(value load)" -v z="$(value z_loss)" \
    'BEGIN { d = got - 0.05 - 0.01 * (a + b) - 0.001 * z; exit !(d < 1e-6 && d > -1e-6) }' ||
    fail "$ran: balance_loss $(value balance_loss) is not the sum of what is on"

# ---- the bias: a buffer, which is shown, saved and moved ----

bias="model.router=sigmoid $none balance.bias_update_rate=0.01"
moira 0 inspect "$dir/small.yaml" $bias --parameters
out_matches 'gate\.e_score_correction_bias .* buffer$'
out_has 'buffers are moved by a rule of their own, not by the optimizer'
moira 0 inspect "$dir/small.yaml" --parameters
grep -q buffer "$out" && fail "$ran: speaks of buffers"
moira 0 train "$dir/small.yaml" "run.dir=$dir/bias" $bias train.steps=4
moira 0 inspect "$dir/bias/best.h5" --parameters --json
out_matches '"buffer": *true'
refused 'balance.bias_update_rate was 0.01 and is now 0.02' train "$dir/small.yaml" "run.dir=$dir/bias" $bias \
    balance.bias_update_rate=0.02 train.steps=8 --resume

# ---- what is refused, with the reason ----

no="$dir/small.yaml run.dir=$dir/no"
refused 'balance.bias_update_rate 0.001 moves the selection bias of model.router sigmoid; router topk has none' \
    train $no balance.bias_update_rate=1e-3
refused 'balance.load 0.1 does not go with model.router sigmoid: the load is estimated from the router' \
    train $no model.router=sigmoid balance.load=0.1
refused 'balance.sequence 1 does not go with model.router hash: its choice hangs on no scores' \
    train $no model.router=hash $none balance.sequence=1
refused 'balance.gshard 1 does not go with model.router soft: each of its experts gets every token' \
    train $no model.router=soft model.num_experts_per_tok=0 $none balance.gshard=1
refused 'balance.z_loss 0.001 does not go with model.router hierarchical: it has a softmax over groups' \
    train $no model.router=hierarchical model.n_group=2 model.topk_group=2 model.num_experts_per_tok=4 balance.switch=0
refused 'balance.gshard_scope batch with train.gradient_accumulation_steps 2: counts over the whole batch are not known' \
    train $no balance.gshard_scope=batch train.gradient_accumulation_steps=2
refused 'balance.sequence_scope=microbatch: unknown key' train $no balance.sequence_scope=microbatch
refused "optimizer.groups[0].match: '*correction_bias' fits buffers alone" \
    train $no $bias 'optimizer.groups=[{match: "*correction_bias", weight_decay: 0}]'
finish
