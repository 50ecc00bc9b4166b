# Adapters from training to use: a run upon a model folder, opened wherever the two are, evaluated in every way with
# one loss, exported for PEFT and merged; what does not go together, with nothing half-written.
. tests/e2e/lib.sh
i=0
while [ $i -lt 300 ]; do
    i=$((i + 1))
    echo "Line $i of $((i * 7919 % 1000)): the quick brown fox jumps over the dog."
done >"$dir/text.txt"
cp -r tests/golden/hf/mixtral_shards "$dir/base"
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5" --tokenizer "$dir/base/tokenizer.model"
cat >"$dir/lora.yaml" <<END
run: {name: lora, dir: $dir/run, threads: 1}
data: {path: $dir/text.h5}
init: {from: $dir/base}
lora: {rank: 2, alpha: 8}
train: {steps: 8, batch_size: 2, sequence_length: 16}
optimizer: {learning_rate: 3.0e-2}
schedule: {warmup_steps: 2}
eval: {every: 8, batches: 20}
checkpoint: {every: 8}
sample: {tokens: 0}
END
cksum "$dir"/base/* >"$dir/.base"
moira 0 finetune "$dir/lora.yaml"
table() { sed -n '/^what trains/,/^all/p' "$out"; }
table >"$dir/.run"
grep -q 'mapped from files' "$dir/.run" || fail "$ran: a table without what is mapped"
moira 0 inspect "$dir/lora.yaml" --memory
table | diff "$dir/.run" - || fail "$ran: what trains (>) is not as the run has it (<)"
cksum "$dir"/base/* | cmp -s - "$dir/.base" || fail 'training changed a file of its base'
[ -e "$dir/run/best.h5" ] || fail 'no best.h5'
moira 0 inspect "$dir/run/best.h5" --verify
out_has "base         $dir/base, digest "
moira 0 inspect "$dir/run/best.h5" --json
out_has '"base"'

# The folder of a model is none for a run, and a path from elsewhere is told of as such.
refused "$dir/base: is the folder of init.from" finetune "$dir/lora.yaml" run.dir="$dir/base"
sed "s|from: .*|from: base|; s|dir: \"*$dir/run\"*|dir: run|" "$dir/run/config.yaml" >"$dir/relative.yaml"
refused 'init.from: base: ' finetune "$dir/relative.yaml" --resume
err_has 'as seen from the working directory, and init.from=PATH names another'
refused 'run: there is no run to resume in this folder as seen from the working directory; run.dir=FOLDER says where it is' \
    finetune "$dir/relative.yaml" --resume init.from="$dir/base"
moira 0 finetune "$dir/relative.yaml" --resume init.from="$dir/base" run.dir="$dir/run"

# Weights that are no numbers are the base's, not the training's.
cp -r "$dir/base" "$dir/nan"
for part in "$dir"/nan/*.safetensors; do
    size=$(wc -c <"$part")
    head -c 64 /dev/zero | tr '\0' '\377' | dd of="$part" bs=1 seek=$((size - 64)) conv=notrunc 2>/dev/null
done
moira 1 finetune "$dir/lora.yaml" init.from="$dir/nan" run.dir="$dir/lost"
err_has 'the base itself, before any step, has a validation loss of nan'
err_has 'moira inspect --verify'
grep -q learning_rate "$err" && fail "$ran: blames the learning rate"
rm -rf "$dir/lost"

# eval_is MODEL ...: the loss to all digits, whichever way it is opened; $loss_wanted from the first.
loss_wanted=
loss_of() {
    moira 0 eval "$@" --data "$dir/text.h5" --sequence-length 16 --batch-size 2 --json
    loss=$(sed -n 's/^ *"loss": \([-0-9.e]*\),*$/\1/p' "$out")
}
eval_is() {
    loss_of "$@"
    loss_wanted=${loss_wanted:-$loss}
    [ -n "$loss" ] && [ "$loss" = "$loss_wanted" ] || fail "$ran: loss '$loss', expected $loss_wanted"
}
eval_is "$dir/run/best.h5"
eval_is "$dir/base" --adapter "$dir/run/best.h5"
eval_is "$dir/run/best.h5" --base "$dir/base"
loss_of "$dir/base"
[ "$loss" = "$loss_wanted" ] && fail 'the base has the loss of the adapters'

moira 0 generate "$dir/run/best.h5" --prompt 'Line 3' --max-tokens 6 --tokens --temperature 0
cp "$out" "$dir/text.out"
moira 0 generate "$dir/base" --adapter "$dir/run/best.h5" --prompt 'Line 3' --max-tokens 6 --tokens --temperature 0
same "$out" "$dir/text.out"
moira 0 inspect "$dir/base" --routing --adapter "$dir/run/best.h5" --data "$dir/text.h5" --json

# For PEFT, and back; merged as a folder and as a checkpoint.
moira 0 export "$dir/run/best.h5" -o "$dir/peft"
moira 0 export "$dir/run/best.h5" -o "$dir/fused" --layout fused
[ "$(ls "$dir/peft")" = "$(printf 'adapter_config.json\nadapter_model.safetensors')" ] || fail 'files of the PEFT folder'
eval_is "$dir/base" --adapter "$dir/peft"
[ -s "$err" ] && fail "$ran: warns of the right base: $(cat "$err")"
eval_is "$dir/base" --adapter "$dir/fused"
moira 0 export "$dir/run/best.h5" -o "$dir/merged" --merge --dtype f32
out_has ', adapters merged'
out_has 'weights      30,416 in float32'
moira 0 import "$dir/merged" -o "$dir/merged.h5"
near() {
    loss_of "$@"
    awk -v a="$loss" -v b="$loss_wanted" 'BEGIN { d = a - b; exit !(a != "" && d < 1e-5 && d > -1e-5) }' ||
        fail "$ran: loss $loss, expected $loss_wanted within 1e-5"
}
near "$dir/merged"
near "$dir/merged.h5"
same "$dir/merged/tokenizer.model" "$dir/base/tokenizer.model"
moira 0 export "$dir/run/best.h5" -o "$dir/merged16" --merge
out_has 'weights      30,416 in bfloat16'
size=$(wc -c <"$dir/merged16/model.safetensors")
[ "$size" -lt 70000 ] || fail "merged as the base's type: $size bytes"

# What does not go together.
refused '--merge: ' export "$dir/merged.h5" -o "$dir/no" --merge
refused '--base: ' export "$dir/merged.h5" -o "$dir/no" --base "$dir/base"
refused 'is a folder already' export "$dir/base" -o "$dir/no"
refused 'adapters are written as f32' export "$dir/run/best.h5" -o "$dir/no" --dtype bf16
refused 'is a folder with files in it' export "$dir/run/best.h5" -o "$dir/peft"
refused 'holds all of its model' eval "$dir/merged.h5" --base "$dir/base" --data "$dir/text.h5"
refused 'is a checkpoint of all of a model' eval "$dir/base" --adapter "$dir/merged.h5" --data "$dir/text.h5"
moira 0 import "$dir/base" -o "$dir/base.h5"
refused 'Name that folder or checkpoint itself, and not what was imported' eval "$dir/base.h5" --adapter "$dir/run/best.h5" --data "$dir/text.h5"
near "$dir/base.h5" --adapter "$dir/peft"
cp -r "$dir/base" "$dir/twin"
eval_is "$dir/twin" --adapter "$dir/peft"
err_has "says that it was trained upon $dir/base, and is used upon $dir/twin"
refused "and no model; name the model that they go upon first: BASE --adapter $dir/peft" eval "$dir/peft" --data "$dir/text.h5"
refused 'has digest' eval "$dir/merged" --adapter "$dir/run/best.h5" --data "$dir/text.h5"
refused 'one of them' eval "$dir/base" --adapter "$dir/run/best.h5" --base "$dir/base" --data "$dir/text.h5"
refused '--adapter is for --routing' inspect "$dir/run/best.h5" --adapter "$dir/run/best.h5"
head -c 2000 "$dir/run/best.h5" >"$dir/cut.h5"
refused "$dir/cut.h5: is cut short" eval "$dir/base" --adapter "$dir/cut.h5" --data "$dir/text.h5"
refused "$dir/cut.h5: is cut short" export "$dir/base" --adapter "$dir/cut.h5" -o "$dir/no"
cp -r "$dir/peft" "$dir/cut"
head -c 9000 "$dir/peft/adapter_model.safetensors" >"$dir/cut/adapter_model.safetensors"
refused "$dir/cut/adapter_model.safetensors: " eval "$dir/base" --adapter "$dir/cut" --data "$dir/text.h5"
sed 's/"use_dora": false/"use_dora": true/' "$dir/peft/adapter_config.json" >"$dir/cut/adapter_config.json"
refused 'has use_dora' eval "$dir/base" --adapter "$dir/cut" --data "$dir/text.h5"

# Frozen parts without adapters: what PEFT has no word for, and a merge can say.
moira 0 finetune "$dir/lora.yaml" "run.dir=$dir/part" lora.rank=0 'freeze=["*", "!router"]'
refused 'was trained itself' export "$dir/part/best.h5" -o "$dir/no"
moira 0 export "$dir/part/best.h5" -o "$dir/part-hf" --merge
out_has "with what was trained in place of the base's"
loss_wanted=
eval_is "$dir/part/best.h5"

# The base has gone elsewhere.
mv "$dir/base" "$dir/other"
refused '--base PATH says where it is' eval "$dir/run/best.h5" --data "$dir/text.h5"
loss_wanted=
eval_is "$dir/run/best.h5" --base "$dir/other"
eval_is "$dir/other" --adapter "$dir/run/best.h5"
printf 'x' | dd of="$dir/other/config.json" bs=1 seek=3 conv=notrunc 2>/dev/null
refused "$dir/other/config.json" eval "$dir/run/best.h5" --base "$dir/other" --data "$dir/text.h5"
finish
