#!/bin/sh
# moira finetune: what it prints and what it refuses; inspect of its configs and checkpoints.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"
moira 0 train "$dir/small.yaml"
mv "$dir/run/best.h5" "$dir/base.h5"
rm -r "$dir/run"

cat >"$dir/tune.yaml" <<END
run: {name: tune, dir: $dir/run, threads: 1}
data: {path: $dir/text.h5}
init: {from: $dir/base.h5}
train: {steps: 8, batch_size: 4, sequence_length: 32}
optimizer: {learning_rate: 3.0e-3}
schedule: {warmup_steps: 2}
eval: {every: 4}
checkpoint: {every: 4}
sample: {tokens: 0}
log: {every: 4}
END

# ---- requests that are wrong ----

refused 'init.from is not given, so there is no model to start from' finetune "$dir/small.yaml"
err_has 'moira train'
sed '/^model/d; /^ *num_local/d' "$dir/small.yaml" >"$dir/short.yaml"
refused 'where a run starts from one, and init.from is not given' finetune "$dir/short.yaml"
mkdir "$dir/folder"
refused "$dir/folder: is a folder, not a config; to start from the model in it, name a config and init.from=$dir/folder" \
    finetune "$dir/folder"
refused 'lora.alpha is given and lora.rank is 0' finetune "$dir/tune.yaml" 'lora.targets=[q_proj]' lora.alpha=32
refused 'a list of texts should; write [q_proj]' finetune "$dir/tune.yaml" lora.rank=2 lora.targets=q_proj
refused "init.from: $dir/no.h5" finetune "$dir/tune.yaml" init.from="$dir/no.h5"
refused 'model.hidden_size is 64 and was 32; leave these keys out' finetune "$dir/tune.yaml" model.hidden_size=64
refused 'train.sequence_length 33 is longer than model.max_position_embeddings 32' finetune "$dir/tune.yaml" \
    train.sequence_length=33
refused "'expert' fits no parameter; did you mean experts?" finetune "$dir/tune.yaml" 'freeze=[expert]'
refused 'nothing to train' finetune "$dir/tune.yaml" 'freeze=["*"]'
refused 'is a token file, a checkpoint is needed' finetune "$dir/tune.yaml" init.from="$dir/text.h5"
head -c 3000 "$dir/base.h5" >"$dir/cut.h5"
refused 'cut.h5' finetune "$dir/tune.yaml" init.from="$dir/cut.h5"
rm "$dir/cut.h5"
refused 'there is no run to resume' finetune "$dir/tune.yaml" --resume

# ---- a whole run ----

sum=$(cksum <"$dir/base.h5")
moira 0 finetune "$dir/tune.yaml"
out_has "base         $dir/base.h5"
out_has 'balancing    balance.switch 0.01, balance.z_loss 0.001'
out_has 'what trains'
out_matches '^    base validation loss [0-9.]+, perplexity [0-9.]+, [0-9.]+ bits per byte, before the first step'
out_matches 'validation loss [0-9.]+, perplexity [0-9.]+, [0-9.]+ bits per byte, routing drift [0-9.]+%'
out_matches '^best .*: validation loss [0-9.]+ at step 8, [0-9.]+ before the first$'
[ "$(cksum <"$dir/base.h5")" = "$sum" ] || fail 'the base has changed'
grep -q '"step":0,.*"train_loss":null,.*"validation_loss":[0-9]' "$dir/run/metrics.jsonl" || fail 'no line of step 0'
[ "$(grep -c '"drift"' "$dir/run/metrics.jsonl")" -eq 2 ] || fail 'drift is not in the lines of evaluations alone'
grep -q "from: \"$dir/base.h5\"" "$dir/run/config.yaml" || fail 'the resolved config does not name the base'
grep -q 'hidden_size: 32' "$dir/run/config.yaml" || fail 'the resolved config lacks what the base gives'

# The base may move; another one is not taken for it.
mv "$dir/base.h5" "$dir/moved.h5"
refused 'base.h5' finetune "$dir/run/config.yaml" --resume train.steps=12
refused 'is not the model that the run began from' finetune "$dir/run/config.yaml" --resume train.steps=12 \
    init.from="$dir/run/best.h5"
moira 0 finetune "$dir/run/config.yaml" --resume train.steps=12 init.from="$dir/moved.h5"
out_has 'steps 9 to 12'
out_matches '^done         12 steps, [0-9,]+ predicted tokens, '
out_matches '^best .*: validation loss [0-9.]+ at step [0-9]+, [0-9.]+ before the first$'
[ "$(grep -c '"step":0,' "$dir/run/metrics.jsonl")" -eq 1 ] || fail 'step 0 is told more than once'
mv "$dir/moved.h5" "$dir/base.h5"

# A base that is no worse than what was made of it is told of; its settings may change, with a warning.
moira 0 finetune "$dir/tune.yaml" run.dir="$dir/worse" optimizer.learning_rate=0 balance.switch=0 balance.z_loss=0 \
    model.num_experts_per_tok=3
out_has 'before the first: the base itself is no worse'
out_has 'balancing    none: all coefficients of balance are 0'
err_has 'model.num_experts_per_tok is 3 and was 2'
rm -r "$dir/worse"

# ---- adapters ----

moira 0 finetune "$dir/tune.yaml" run.dir="$dir/lora" lora.rank=4
out_has 'adapters of experts'
out_has 'routing drift'
moira 0 eval "$dir/lora/best.h5" --data "$dir/text.h5"
refused 'has only what was trained' finetune "$dir/tune.yaml" run.dir="$dir/again" init.from="$dir/lora/best.h5"
moira 0 train "$dir/lora/config.yaml" --resume
out_has 'the run had all its 8 steps'
out_matches '^best .*: validation loss [0-9.]+ at step 8, [0-9.]+ before the first$'
moira 0 finetune "$dir/tune.yaml" run.dir="$dir/half" train.steps=1 lora.rank=4 'freeze=[experts]'
err_has 'parameters of adapters are frozen too'

# ---- conversations: a prompt is no turn; data without a validation split ----

i=0
while [ $i -lt 30 ]; do
    i=$((i + 1))
    echo "{\"prompt\": \"What is $i?\", \"completion\": \"It is $((i * i))\"}"
done >"$dir/talks.jsonl"
moira 0 prepare "$dir/talks.jsonl" -o "$dir/talks.h5" --validation 0 --train-tokenizer 280
[ "$(grep -c 'are taken for such' "$err")" -eq 1 ] || fail "$ran: says not once what the lines are taken for"
moira 0 train "$dir/small.yaml" data.path="$dir/talks.h5" run.dir="$dir/talks" train.steps=2 train.sequence_length=64 \
    sample.every=1
err_has 'has no validation split; no evaluations'
out_has '4 x 64 = 256 tokens, padding included'
err_has 'no sample.prompt is given, so no samples are made'
[ -e "$dir/talks/samples.txt" ] && fail "$ran: samples of empty conversations"
moira 0 train "$dir/small.yaml" data.path="$dir/talks.h5" run.dir="$dir/said" train.steps=2 train.sequence_length=64 \
    sample.every=1 sample.prompt=What
err_has 'sample.prompt is read as it stands'
[ -s "$dir/said/samples.txt" ] || fail "$ran: no samples though a prompt is given"
refused '--max-tokens: is 0' generate "$dir/base.h5" --chat --max-tokens 0

# ---- memory: what does not train has neither gradient nor moments, nor a place in what is saved ----

bytes() { # KEY
    sed -n "s/.*\"$1_bytes\": *\([0-9]*\).*/\1/p" "$out"
}
moira 0 inspect "$dir/tune.yaml" --memory --json
all=$(bytes gradients) snapshot=$(bytes snapshot) parameters=$(bytes parameters)
[ "$snapshot" -eq $((3 * parameters)) ] || fail "a snapshot of $snapshot bytes for $parameters bytes of parameters"
moira 0 inspect "$dir/tune.yaml" --memory --json 'freeze=[experts]'
[ $((3 * $(bytes gradients))) -lt $((2 * all)) ] || fail "frozen experts have gradients"
[ "$(bytes optimizer)" -eq $((2 * $(bytes gradients))) ] || fail 'moments are not of what trains'
[ "$(bytes snapshot)" -eq $((3 * $(bytes gradients))) ] || fail 'the snapshot is not of what trains'
[ "$(bytes parameters)" -eq "$parameters" ] || fail 'frozen values have no place'
finish
