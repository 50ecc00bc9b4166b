# moira upcycle: a dense run's checkpoint becomes one with experts that evaluates to the same loss and trains on.
. tests/e2e/lib.sh
small_text
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"
small_config
moira 0 train "$dir/small.yaml" model.num_local_experts=0 model.num_experts_per_tok=0 balance.switch=0 balance.z_loss=0 \
    model.intermediate_size=48 run.dir="$dir/dense" train.steps=30 'freeze=[model.layers.*.mlp.up_proj.*]'
dense=$dir/dense/best.h5

loss() { # CHECKPOINT: its validation loss, in the file .loss
    moira 0 eval "$1" --data "$dir/text.h5" --json
    sed -n 's/^ *"loss": \([0-9.e-]*\),*$/\1/p' "$out" | head -1 >"$dir/.loss"
    [ -s "$dir/.loss" ] || fail "$ran: no loss"
}
near() { # LOSS LOSS TOLERANCE
    awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d <= t && -d <= t) }'
}

loss "$dense"
before=$(cat "$dir/.loss")
moira 0 upcycle "$dense" -o "$dir/moe.h5" --experts 8 --top-k 2
out_matches '^model .* 8 experts of 48, 2 per token \(topk\)'
out_has 'experts      copies; the same function'
loss "$dir/moe.h5"
near "$before" "$(cat "$dir/.loss")" 1e-5 || fail "$ran: loss $(cat "$dir/.loss"), of the dense model $before"
moira 0 inspect "$dir/moe.h5" --verify
moira 0 inspect "$dir/moe.h5" --json
out_has '"num_local_experts": 8,'
out_has '"num_experts_per_tok": 2,'
h5dump -a /config "$dir/moe.h5" | grep -q 'mixtral: 0.02' || fail "moe.h5: balance.mixtral is not 0.02"
moira 0 generate "$dir/moe.h5" --prompt Line --max-tokens 4

# A run starts from it, at the dense model's loss.
sed '/^model:/,/^balance:/d' "$dir/small.yaml" >"$dir/tune.yaml"
moira 0 finetune "$dir/tune.yaml" init.from="$dir/moe.h5" run.dir="$dir/tuned" train.steps=4 eval.every=4 schedule.warmup_steps=1
out_has '8 experts of 48, 2 per token (topk)'
first=$(sed -n 's/.*base validation loss \([0-9.]*\),.*/\1/p' "$out")
near "$before" "$first" 1e-4 || fail "$ran: begins at $first, not at the dense model's $before"

# The same seed, the same file; noise moves the loss a little.
moira 0 upcycle "$dense" -o "$dir/again.h5"
same "$dir/moe.h5" "$dir/again.h5"
moira 0 upcycle "$dense" -o "$dir/noisy.h5" --experts 4 --noise 0.1 --seed 3
out_has 'copies with noise of 0.1 standard deviations'
loss "$dir/noisy.h5"
near "$before" "$(cat "$dir/.loss")" 1e-5 && fail "$ran: noise has changed nothing"
near "$before" "$(cat "$dir/.loss")" 0.5 || fail "$ran: loss $(cat "$dir/.loss"), of the dense model $before"

# ---- a folder in Hugging Face's layout: experts are its matrices to the bit, in its own type of 16 bits ----

hf=tests/golden/hf/mistral
moira 0 upcycle $hf -o "$dir/hf.h5" --experts 3
moira 0 import $hf -o "$dir/import.h5"
dump() { h5dump -d "/model/model.layers.1.$2.weight" -b LE -o "$dir/$3" "$1" >/dev/null || fail "$1: no $2"; }
for pair in gate:w1 down:w2 up:w3; do
    dump "$dir/import.h5" "mlp.${pair%:*}_proj" one
    dump "$dir/hf.h5" "block_sparse_moe.experts.${pair#*:}" three
    [ "$(wc -c <"$dir/one")" -eq $((16 * 24 * 2)) ] || fail "import.h5: ${pair%:*}_proj is not of 16 bits"
    cat "$dir/one" "$dir/one" "$dir/one" >"$dir/want"
    same "$dir/three" "$dir/want"
done
dump "$dir/import.h5" self_attn.q_proj one
dump "$dir/hf.h5" self_attn.q_proj three
same "$dir/one" "$dir/three"
h5dump -a /config "$dir/hf.h5" | grep -q 'sliding_window: 5' || fail 'hf.h5: no sliding window'
moira 0 export "$dir/hf.h5" -o "$dir/exported"
grep -q '"MixtralForCausalLM"' "$dir/exported/config.json" || fail "$ran: not a Mixtral"

# ---- an imported model, which no run made: as good as its folder ----

moira 0 export "$dense" -o "$dir/dense-hf"
moira 0 import "$dir/dense-hf" -o "$dir/dense-hf.h5"
for from in dense-hf dense-hf.h5; do
    rm -rf "$dir/of.h5" "$dir/of-hf" "$dir/of-run"
    moira 0 upcycle "$dir/$from" -o "$dir/of.h5" --experts 3
    h5dump -a /config "$dir/of.h5" | grep -q 'data:' && fail "$ran: names data that it never had"
    loss "$dir/of.h5"
    near "$before" "$(cat "$dir/.loss")" 1e-4 || fail "$ran: loss $(cat "$dir/.loss"), of the dense model $before"
    moira 0 inspect "$dir/of.h5" --verify --memory
    moira 0 export "$dir/of.h5" -o "$dir/of-hf"
    moira 0 finetune "$dir/tune.yaml" init.from="$dir/of.h5" run.dir="$dir/of-run" train.steps=1 eval.every=1
done

# ---- refused, and nothing is left ----

refused "$dir/moe.h5: is there already; remove it, or name another file" upcycle "$dense" -o "$dir/moe.h5"
refused "$dir/moe.h5: has 8 experts in its layers already" upcycle "$dir/moe.h5" -o "$dir/new.h5"
refused 'model.num_experts_per_tok 9 > model.num_local_experts 8' upcycle "$dense" -o "$dir/new.h5" --top-k 9
refused 'the router no gradient' upcycle "$dense" -o "$dir/new.h5" --top-k 1
refused '--experts: 1 is out of range' upcycle "$dense" -o "$dir/new.h5" --experts 1
refused '--noise: -1 is out of range' upcycle "$dense" -o "$dir/new.h5" --noise -1
refused "$dir/none.h5: " upcycle "$dir/none.h5" -o "$dir/new.h5"
refused "$dir/text.h5" upcycle "$dir/text.h5" -o "$dir/new.h5"
refused "its folder $dir/none does not exist" upcycle "$dense" -o "$dir/none/new.h5"
finish
