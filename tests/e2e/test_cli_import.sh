# moira import, export and inspect of model folders: what is printed, and that folders which are broken in any of many ways are
# refused with a message, status 2 and nothing left behind.
. tests/e2e/lib.sh
golden=tests/golden/hf

# ---- there and back ----

for folder in mixtral_shards fused_f32 mistral llama; do
    rm -f "$dir/x.h5"
    moira 0 import $golden/$folder -o "$dir/x.h5"
    out_has "imported     $golden/$folder"
    out_has 'carried      config.json'
    rm -rf "$dir/out"
    moira 0 export "$dir/x.h5" -o "$dir/out"
    same $golden/$folder/config.json "$dir/out/config.json"
    moira 0 inspect "$dir/x.h5" --verify --memory
done
moira 0 import $golden/mixtral_shards -o "$dir/mixtral.h5" --compression 0
moira 0 inspect "$dir/mixtral.h5"
out_has 'checkpoint   '
out_has 'run mixtral_shards'
out_has 'tokenizer    sentencepiece, 600 ids'
moira 0 generate "$dir/mixtral.h5" --prompt 'the loom' --max-tokens 4 --temperature 0 --tokens
moira 0 export "$dir/mixtral.h5" -o "$dir/fused" --layout fused --shard-size 3e-5 --dtype f32
[ "$(ls "$dir/fused")" = "config.json
model-00001-of-00004.safetensors
model-00002-of-00004.safetensors
model-00003-of-00004.safetensors
model-00004-of-00004.safetensors
model.safetensors.index.json
tokenizer.model
tokenizer_config.json" ] || fail "export: other files: $(ls "$dir/fused")"
moira 0 inspect "$dir/fused" --verify
out_has 'MixtralForCausalLM, the experts of a layer in one tensor'
out_has '21 tensors in 4 files: 30,416 float32'
out_has 'verified     every header'
moira 0 inspect $golden/mixtral_shards --json
out_has '"layout": "per-expert"'
out_has '"total": 30416'
out_has '"active": 25808'
out_has '"bfloat16": 30416'

# What Moira has trained, out and in again: the same text to the letter, of a dense model and one with experts.
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5" --train-tokenizer 330
for experts in 0 4; do
    moira 0 train "$dir/small.yaml" run.dir="$dir/run$experts" train.steps=4 eval.every=4 sample.tokens=0 \
        model.num_local_experts=$experts model.sliding_window=20 balance.switch=0 balance.z_loss=0 balance.mixtral=0
    best=$dir/run$experts/best.h5
    moira 0 export "$best" -o "$dir/out$experts"
    moira 0 import "$dir/out$experts" -o "$dir/again$experts.h5"
    moira 0 generate "$best" --prompt 'Line 1' --max-tokens 12 --temperature 0
    cp "$out" "$dir/wrote"
    moira 0 generate "$dir/again$experts.h5" --prompt 'Line 1' --max-tokens 12 --temperature 0
    same "$dir/wrote" "$out"
    moira 0 eval "$best" --data "$dir/text.h5" --sequence-length 32
    grep '^loss' "$out" >"$dir/wrote"
    moira 0 eval "$dir/again$experts.h5" --data "$dir/text.h5" --sequence-length 32
    grep '^loss' "$out" | diff "$dir/wrote" - || fail "$ran: another loss"
done
grep -q '"MistralForCausalLM"' "$dir/out0/config.json" || fail 'a dense model with a window is no Mistral'
moira 0 train "$dir/small.yaml" run.dir="$dir/run-no" train.steps=4 eval.every=4 sample.tokens=0 model.n_shared_experts=1
refused 'model.n_shared_experts is 1' export "$dir/run-no/best.h5" -o "$dir/new"

# ---- broken folders ----

# take FOLDER: a copy to break, at $hf
hf=$dir/hf
take() {
    rm -rf "$hf"
    cp -r "$golden/$1" "$hf"
}
# change FILE FROM TO: text in it, of the same length where a header's size depends on it
change() {
    sed "s|$2|$3|" "$hf/$1" >"$dir/changed" && mv "$dir/changed" "$hf/$1"
    cmp -s "$hf/$1" "$golden/$taken/$1" && fail "test: nothing to change in $1: $2"
}
refuse() {
    refused "$1" import "$hf" -o "$dir/none.h5"
}
broken() { # FOLDER FILE FROM TO MESSAGE
    taken=$1
    take "$1"
    change "$2" "$3" "$4"
    refuse "$5"
}

take mixtral_shards
rm "$hf/model-00002-of-00003.safetensors"
refuse "model.safetensors.index.json: names a file that is missing: $hf/model-00002-of-00003.safetensors"
take mixtral_shards
head -c 20000 $golden/mixtral_shards/model-00002-of-00003.safetensors >"$hf/model-00002-of-00003.safetensors"
refuse 'model-00002-of-00003.safetensors: is cut short: tensor model.'
head -c 50 $golden/mixtral_shards/model-00002-of-00003.safetensors >"$hf/model-00002-of-00003.safetensors"
refuse 'model-00002-of-00003.safetensors: is cut short: of its header'
: >"$hf/model-00002-of-00003.safetensors"
refuse 'model-00002-of-00003.safetensors: is cut short: has 0 bytes'
take mixtral_shards
cp "$hf/model-00001-of-00003.safetensors" "$hf/model-00004-of-00003.safetensors"
refuse 'names no tensor of model-00004-of-00003.safetensors, which lies beside it'
take mixtral_shards
rm "$hf/config.json"
refuse 'has no config.json'
take llama
mv "$hf/model.safetensors" "$hf/pytorch_model.bin"
refuse 'have transformers save them as safetensors'

st=model.safetensors index=model.safetensors.index.json
broken llama $st '"shape":\[48,16\]' '"shape":[16,48]' \
    "config.json and the tensors disagree: model.embed_tokens.weight is [16, 48] in $st, and [48, 16] by config.json's vocab_size, hidden_size"
broken llama $st '"shape":\[48,16\]' '"shape":[48,17]' 'of shape [48, 17] and type F32 needs 3264 bytes'
broken llama $st '\[3072,3136\]' '[3071,3135]' 'model.layers.0.input_layernorm.weight overlap'
broken llama $st '\[3072,3136\]' '[3073,3137]' 'bytes 3072 to 3073 of the data, before tensor model.layers.0.input_layernorm.weight, belong to no tensor'
broken llama $st '"F32"' '"F33"' 'tensor model.embed_tokens.weight has the type "F33", which safetensors does not have'
broken llama $st '"F32"' '"I32"' 'tensor model.embed_tokens.weight is of type I32; weights must be F32, F16 or BF16'
broken llama $st 'model.norm.weight' 'model.nor\\u001bht' 'the name of a tensor has control characters'
broken llama config.json '"hidden_act": "silu"' '"hidden_act": "\\u001b"' 'hidden_act has control characters'
broken llama $st 'model.norm.weight' 'model.nor_.weight' 'tensor model.norm.weight of shape [16] is missing; tensor model.nor_.weight [16] in model.safetensors is none of this'
broken mixtral_shards $index '    "model.layers.0.input_layernorm.weight".*' '' 'tensor model.layers.0.input_layernorm.weight is not in the weight_map'
broken mixtral_shards $index '"model.layers.0.input_layernorm.weight": "model-00002' '"model.layers.0.input_layernorm.weight": "model-00001' \
    'weight_map has tensor model.layers.0.input_layernorm.weight in model-00001-of-00003.safetensors, and it is in model-00002'
broken mixtral_shards $index '"lm_head.weight"' '"lm_head.bias"' 'weight_map has tensor lm_head.bias in model-00001-of-00003.safetensors, which has no such tensor'
broken mixtral_shards $index '"lm_head.weight": "' '"lm_head.weight": "../' 'which is not the name of a file beside it'
broken mixtral_shards $index 'weight_map' 'weights' 'has no weight_map'
broken mixtral_shards $index '"weight_map": {' '"weight_map": {"lm_head.weight": "x",' 'duplicate object key'

# config.json that asks for what the tensors are not
broken llama config.json '"hidden_size": 16' '"hidden_size": 32' 'by config.json'"'"'s vocab_size, hidden_size'
broken llama config.json '"num_hidden_layers": 2' '"num_hidden_layers": 3' 'tensor model.layers.2.input_layernorm.weight of shape [16] is missing'
broken llama config.json '"num_hidden_layers": 2' '"num_hidden_layers": 1' 'none of this model'
broken llama config.json '"tie_word_embeddings": true' '"tie_word_embeddings": false' 'tensor lm_head.weight of shape [48, 16] is missing'
broken mixtral_shards config.json '"num_local_experts": 4' '"num_local_experts": 5' 'experts.4.w1.weight of shape [24, 16] is missing'
broken mixtral_fused config.json '"num_local_experts": 4' '"num_local_experts": 5' "and [5, 48, 16] by config.json's num_local_experts"
# far more than there is: no matter how many there would be, it is told at once
take mixtral_shards
sed 's/"num_local_experts": 4/"num_local_experts": 65536/; s/"num_hidden_layers": 2/"num_hidden_layers": 9999/' \
    "$hf/config.json" >"$dir/changed" && mv "$dir/changed" "$hf/config.json"
refuse 'num_hidden_layers 9999 and num_local_experts 65536 make 196'
broken mixtral_shards config.json '"vocab_size": 608' '"vocab_size": 599' 'disagree'

# what Moira does not have, and what is no config
broken llama config.json 'LlamaForCausalLM' 'GemmaForCausalLM' 'the architecture is GemmaForCausalLM; Moira has MixtralForCausalLM'
broken llama config.json '"model_type": "llama"' '"model_type": "mistral"' 'and model_type is "mistral"'
broken llama config.json '"attention_bias": false' '"attention_bias": true' 'attention_bias is true; Moira has no biases'
broken llama config.json '"mlp_bias": false' '"mlp_bias": true' 'mlp_bias is true; Moira has no biases'
broken llama config.json '"hidden_act": "silu"' '"hidden_act": "gelu"' 'hidden_act is "gelu"'
broken llama config.json '"rope_type": "default"' '"rope_type": "llama3"' 'rope_parameters has rope_type "llama3"; Moira has "default"'
broken mixtral_f32 config.json '"rope_theta": 5000.0' '"rope_theta": 5000.0, "rope_scaling": {"type": "linear", "factor": 2.0}' \
    'rope_scaling has rope_type "linear"'
broken llama config.json '"vocab_size": 48' '"vocab_size": 48, "quantization_config": {"bits": 4}' 'has quantization_config'
broken mistral config.json '"vocab_size": 48' '"vocab_size": 48, "layer_types": ["full_attention"]' 'layer_types[0] is "full_attention"'
broken llama config.json '"vocab_size": 48' '"vocab_size": "48"' 'vocab_size must be a whole number, and is a text'
broken llama config.json '"vocab_size": 48' '"vocab_size": 0' 'vocab_size is 0, must be 1 to'
broken llama config.json '"num_attention_heads": 4' '"num_attention_heads": 5' 'config.json: model.num_attention_heads 5 is not a multiple'
broken llama config.json '"vocab_size": 48' '"vocab_size": 48, "vocab_size": 48' 'duplicate object key'
broken llama config.json '"vocab_size": 48' '"vocab_size": ,' 'line 31'
take mixtral_shards
head -c 100 $golden/mixtral_shards/tokenizer.model >"$hf/tokenizer.model"
refuse 'tokenizer.model'

# ---- requests ----

refused 'there is no such folder' import "$dir/nowhere" -o "$dir/none.h5"
refused 'is a file; a model folder of transformers is needed' import "$dir/mixtral.h5" -o "$dir/none.h5"
refused '-o' import $golden/llama
cp -r $golden/llama "$dir/llama"
for there in "$dir/llama/config.json" "$dir/llama/model.safetensors" "$dir/mixtral.h5"; do
    refused "$there: is there already; remove it, or name another file" import "$dir/llama" -o "$there"
done
refused "$dir/llama: is a folder" import "$dir/llama" -o "$dir/llama"
refused "its folder $dir/nowhere does not exist" import $golden/llama -o "$dir/nowhere/x.h5"
refused 'is a folder with files in it' export "$dir/mixtral.h5" -o "$dir/fused"
refused "its folder $dir/nowhere does not exist" export "$dir/mixtral.h5" -o "$dir/nowhere/out"
refused "--dtype: 'int8' is none; there are auto, f32, bf16, f16" export "$dir/mixtral.h5" -o "$dir/new" --dtype int8
refused "--layout: 'old' is none" export "$dir/mixtral.h5" -o "$dir/new" --layout old
refused 'is not a checkpoint' export $golden/llama/config.json -o "$dir/new"
refused 'is a dense model; it routes nothing' inspect $golden/llama --routing --data "$dir/none.h5"
refused '--sequence-length is for a token file; tests/golden/hf/llama is a model folder' inspect $golden/llama --sequence-length 8
refused '--restamp is for a checkpoint or a token file' inspect $golden/llama --restamp

# A value that is not finite: the last two bytes of bfloat16 weights.
take mixtral_shards
printf '\200\177' | dd of="$hf/model-00001-of-00003.safetensors" bs=1 seek=19574 conv=notrunc 2>/dev/null
moira 1 inspect "$hf" --verify
err_has '1 weights in 1 tensors are no finite numbers, the first in lm_head.weight'
moira 0 import "$hf" -o "$dir/nan.h5"
err_has '1 weights in 1 tensors are no finite numbers, the first in lm_head.weight'
echo 'A line of text that is long enough for a window or two of eight tokens each.' >"$dir/line.txt"
moira 0 prepare "$dir/line.txt" -o "$dir/line.h5" --tokenizer "$hf/tokenizer.model" --validation 0.5
moira 0 eval "$hf" --data "$dir/line.h5" --sequence-length 8
err_has 'the loss is no finite number'

# ---- a signal in the middle: nothing is left ----

# A Llama of one layer and of zeros, 900 MB that take no room on the disk.
D=4096 F=14336 at=0 header=
tensor() { # NAME SHAPE ELEMENTS
    header="$header,\"$1\":{\"dtype\":\"F32\",\"shape\":[$2],\"data_offsets\":[$at,$((at + 4 * $3))]}"
    at=$((at + 4 * $3))
}
tensor model.embed_tokens.weight 300,$D $((300 * D))
for norm in model.layers.0.input_layernorm model.layers.0.post_attention_layernorm model.norm; do tensor $norm.weight $D $D; done
for x in q k v o; do tensor model.layers.0.self_attn.${x}_proj.weight $D,$D $((D * D)); done
for x in gate up; do tensor model.layers.0.mlp.${x}_proj.weight $F,$D $((D * F)); done
tensor model.layers.0.mlp.down_proj.weight $D,$F $((D * F))
header="{${header#,}}"
n=${#header}
mkdir "$dir/big"
{
    printf "\\$(printf %03o $((n & 255)))\\$(printf %03o $((n >> 8)))\000\000\000\000\000\000"
    printf %s "$header"
} >"$dir/big/model.safetensors"
truncate -s $((8 + n + at)) "$dir/big/model.safetensors"
echo '{"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 1,
       "vocab_size": 300, "tie_word_embeddings": true}' >"$dir/big/config.json"

# stopped PATTERN COMMAND...: sent SIGTERM as soon as a file fits the pattern; status 130, and no such file is left
stopped() {
    pattern=$1
    shift
    ran="moira $*, stopped"
    "$MOIRA" "$@" >"$out" 2>"$err" &
    tries=0
    while ! ls $pattern >/dev/null 2>&1 && [ $tries -lt 3000 ]; do
        tries=$((tries + 1))
        sleep 0.01
    done
    kill -TERM $!
    wait $!
    code=$?
    [ $code -eq 130 ] || fail "$ran: exit status $code, expected 130"
    err_has 'interrupted; nothing was kept'
    ls $pattern >"$dir/left" 2>/dev/null && fail "$ran: left $(cat "$dir/left")"
}
stopped "$dir/.big.h5.tmp*" import "$dir/big" -o "$dir/big.h5" --compression 9
[ ! -e "$dir/big.h5" ] || fail "$ran: made its file"

finish
