# Configs that are wrong: the message names file, line, key and value and what would be right; status 2; nothing
# is written.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"

# wrong 'message' 'sed script': the small config changed by the script.
wrong() {
    sed "$2" "$dir/small.yaml" >"$dir/wrong.yaml"
    cmp -s "$dir/small.yaml" "$dir/wrong.yaml" && fail "'$2' changes nothing"
    refused "$1" train "$dir/wrong.yaml"
}

# ---- in the file ----

file=$dir/wrong.yaml
wrong "$file:6: train.stesp: unknown key; did you mean steps?" 's/steps: 20/stesp: 20/'
wrong "$file:6: trian: unknown section; did you mean train?" 's/^train:/trian:/'
wrong "$file:6: train.steps: duplicate key; it is on line 6 already" 's/steps: 20/steps: 20, steps: 30/'
wrong "$file:7: train: duplicate section; it starts on line 3 already" 's/^model:/train: {steps: 3}\nmodel:/'
wrong "$file:6: train.steps: 'many' is not a whole number; expected 0 to 1000000000" 's/steps: 20/steps: many/'
wrong "$file:6: train.steps: '2.5' is not a whole number" 's/steps: 20/steps: 2.5/'
wrong "$file:6: train.steps: '-1' is out of range; expected 0 to 1000000000" 's/steps: 20/steps: -1/'
wrong "$file:7: optimizer.learning_rate: 'fast' is not a finite number" 's/3.0e-3/fast/'
wrong "$file:3: model.hidden_size: a list stands where one value should" 's/hidden_size: 32/hidden_size: [32]/'
wrong "$file:1: not valid YAML at column" 's/{name: small/{name: small: x/'
wrong "$file: these keys have no default and must be given: run.name" 's/name: small, //'
wrong "$file:1: extends: $dir/none.yaml: cannot open" 's/^run:/extends: none.yaml\nrun:/'
wrong "$file: model.hidden_size 32 is not divisible by model.num_attention_heads 3" \
    's/num_attention_heads: 2/num_attention_heads: 3/'
wrong "$file: model.num_experts_per_tok 5 > model.num_local_experts 4" \
    's/num_experts_per_tok: 2/num_experts_per_tok: 5/'
: >"$dir/empty.yaml"
refused "$dir/empty.yaml: is empty" train "$dir/empty.yaml"
refused "$dir/none.yaml: cannot open" train "$dir/none.yaml"
refused "$dir: is a folder, not a config" train "$dir"
refused "$dir/text.h5:" train "$dir/text.h5"

# ---- on the command line ----

set_wrong() { refused "$1" train "$dir/small.yaml" "$2"; }
set_wrong 'command line: train.stesp=3: unknown key; did you mean steps?' train.stesp=3
set_wrong 'command line: trian.steps=3: unknown section; did you mean train?' trian.steps=3
set_wrong 'a setting is written section.key=value' steps=3
set_wrong "'abc' is not a whole number; expected 0 to 1000000000" train.steps=abc
set_wrong 'train.steps, train.tokens and train.seconds are all 0' train.steps=0
set_wrong 'did you mean topk?' model.router=topkk
set_wrong "'maybe' is not a truth value; expected true or false" model.tie_word_embeddings=maybe
set_wrong 'model.head_dim is 1' model.num_attention_heads=32
set_wrong 'model.num_experts_per_tok 1 with weights normalised' model.num_experts_per_tok=1
set_wrong 'balance.load 0.1 does not go with model.router topk: the load is estimated from the router' balance.load=0.1
set_wrong 'model.num_local_experts 0 is a dense model with no router to balance; it needs balance.switch=0' model.num_local_experts=0

# ---- what the config asks for ----

set_wrong "$dir/none.h5: cannot open" "data.path=$dir/none.h5"
set_wrong "$dir/text.txt: is not a token file" "data.path=$dir/text.txt"
: >"$dir/empty.h5"
set_wrong "$dir/empty.h5: is empty" "data.path=$dir/empty.h5"
head -c 2000 "$dir/text.h5" >"$dir/cut.h5"
set_wrong "$dir/cut.h5: is cut short" "data.path=$dir/cut.h5"
cp "$dir/text.h5" "$dir/bad.h5"
printf U | dd of="$dir/bad.h5" bs=1 seek=4000 conv=notrunc 2>/dev/null
set_wrong "$dir/bad.h5: is damaged" "data.path=$dir/bad.h5"
set_wrong "train.sequence_length 100000: $dir/text.h5 has only" train.sequence_length=100000
set_wrong "$dir/text.h5 has token ids up to 255, but the model's vocab_size is 100" model.vocab_size=100
# The permission bits do not bind root, a path below a file does.
set_wrong "$dir/text.txt: is a file, a folder is needed here" "run.dir=$dir/text.txt"
set_wrong "$dir/text.txt: is a file, a folder is needed here" "run.dir=$dir/text.txt/run"
refused "$dir/run: there is no run to resume" train "$dir/small.yaml" --resume
# Said at once, before a byte of it is taken.
refused 'GiB for parameters, gradients and moments alone' train "$dir/small.yaml" model.hidden_size=65536 \
    model.num_hidden_layers=1000
refused 'the run needs ' train "$dir/small.yaml" train.batch_size=1000000
err_has ' are available '
err_has 'train.batch_size=500000 would need '
err_has 'train.recompute=full '
# A dense model whose slabs take 0.8 of what there is, so that it would fit without the copy that is saved from.
moira 0 inspect "$dir/small.yaml" --memory --json
width=$(sed -n 's/.*"available_bytes": \([0-9]*\).*/\1/p' "$out" | awk '{ printf "%d", 0.8 * $1 / (16 * 3 * 4 * 1024) }')
refused '. checkpoint.background=false would need ' train "$dir/small.yaml" model.hidden_size=1024 \
    model.num_hidden_layers=4 model.num_local_experts=0 balance.switch=0 balance.z_loss=0 model.intermediate_size="$width"
refused 'this needs ' bench "$dir/small.yaml" train.batch_size=1000000

# ---- inspect of a config ----

moira 0 inspect "$dir/small.yaml" --memory
out_matches '^parameters   [0-9,]+, of which a token uses [0-9,]+$'
out_matches '^model\.layers\.\*\.block_sparse_moe\.experts\.w1\.weight +2 +4 x 32 x 32 +8,192 +50% +yes$'
out_matches '^model\.layers\.\*\.input_layernorm\.weight +2 +32 +64 +100% +no$'
[ "$(grep -c '^model' "$out")" -eq 13 ] || fail "$ran: not the model, 10 parameters of layers, 2 of none"
out_matches '^total +[0-9,]+ +[0-9.]+ MiB$'
out_matches '^checkpoint snapshot +[0-9,]+ +[0-9.]+ KiB$'
out_has 'available here: it fits'
# Values and two moments of the copy, and nothing else, go with background saving.
bytes() { sed -n "s/.*\"$1_bytes\": \([0-9]*\).*/\1/p" "$out"; }
moira 0 inspect "$dir/small.yaml" --memory --json
snapshot=$(bytes snapshot) whole=$(bytes total)
[ "$snapshot" -eq $(($(bytes parameters) + $(bytes optimizer))) ] || fail "$ran: a snapshot of $snapshot bytes"
moira 0 inspect "$dir/small.yaml" checkpoint.background=false --memory --json
[ "$(bytes snapshot)" -eq 0 ] && [ $(($(bytes total) + snapshot)) -eq "$whole" ] || fail "$ran: not less by the snapshot"
moira 0 inspect "$dir/small.yaml" --parameters
out_matches '^model\.layers\.1\.block_sparse_moe\.gate\.weight +1 +4 x 32 +128 +100% +yes$'
# 256 x 32 for embedding and head; a layer: 4 x 32 x 32 attention, 4 x 32 gate, 4 x 3 x 32 x 32 experts, 2 x 32
# norms; a last norm of 32. A token skips 2 of the 4 experts.
total=$((2 * 256 * 32 + 2 * (4 * 32 * 32 + 4 * 32 + 12 * 32 * 32 + 64) + 32))
moira 0 inspect "$dir/small.yaml" --json
out_has "\"total\": $total,"
out_has "\"active\": $((total - 2 * 6 * 32 * 32)),"
out_matches '"total_bytes": [0-9]+'
mkfifo "$dir/pipe"
cat "$dir/small.yaml" >"$dir/pipe" &
moira 0 inspect "$dir/pipe"
out_matches '^training     20 steps'
cat "$dir/small.yaml" >"$dir/pipe" &
moira 0 train "$dir/pipe" "run.dir=$dir/piped" train.steps=1 sample.tokens=0
out_matches '^done         1 step'
rm "$dir/pipe"
sed 's/num_local_experts: 4/num_local_experts: 0/; s/^balance/#/' "$dir/small.yaml" >"$dir/dense.yaml"
moira 0 inspect "$dir/dense.yaml"
out_has 'dense blocks of 32'
moira 0 inspect "$dir/small.yaml" --dot "$dir/graph.dot"
grep -q '^digraph' "$dir/graph.dot" || fail "$ran: no graph in $dir/graph.dot"
refused '--verify is for a checkpoint or a token file' inspect "$dir/small.yaml" --verify
refused '--routing is for a checkpoint' inspect "$dir/small.yaml" --routing --data "$dir/text.h5"
sed 's/text\.h5/none.h5/' "$dir/small.yaml" >"$dir/nodata.yaml"
refused 'without it the vocabulary is not known' inspect "$dir/nodata.yaml"
refused 'without it the vocabulary is not known' bench "$dir/nodata.yaml"
finish
