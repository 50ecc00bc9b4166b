#!/bin/sh
# What a config says about norms, clipping, shared experts and layers without experts: inspect's lines and counts, a run
# that shows only the layers with experts, text from it, and what is refused.
. tests/e2e/lib.sh

small_text
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"
small_config
cat >"$dir/parts.yaml" <<END
extends: small.yaml
model: {num_hidden_layers: 4, moe_intermediate_size: 16, n_shared_experts: 2, first_k_dense_replace: 1,
        moe_layer_freq: 2, norm: layernorm, qk_norm: head, clip_qkv: 6}
END

# ---- by hand: only layer 2 of 0 to 3 has experts ----
# 256 x 32 for embedding and head; a layer: 4 x 32 x 32 attention, 2 x 32 norms and 2 x 16 of a head; 3 dense blocks of
# 3 x 32 x 32; 4 x 32 gate, 4 experts of 3 x 16 x 32 and 2 shared ones; a last norm. A token skips 2 experts.
total=$((2 * 256 * 32 + 4 * (4 * 32 * 32 + 64 + 32) + 3 * 3 * 32 * 32 + 4 * 32 + 6 * 3 * 16 * 32 + 32))
moira 0 inspect "$dir/parts.yaml"
out_has '4 experts of 16, 2 per token (topk) and 2 shared in 1 layer, dense blocks of 32 in 3, swiglu'
out_has 'norms        layernorm, queries and keys normed per head, queries, keys and values clipped to 6'
out_matches '^model\.layers\.\*\.mlp\.gate_proj\.weight +3 +32 x 32 +3,072 +100% '
out_matches '^model\.layers\.2\.mlp\.shared_experts\.down_proj\.weight +1 +32 x 32 +1,024 +100% '
out_matches '^model\.layers\.2\.block_sparse_moe\.experts\.w1\.weight +1 +4 x 16 x 32 +2,048 +50% '
out_matches '^model\.layers\.\*\.self_attn\.k_norm\.weight +4 +16 +64 +100% +no$'
moira 0 inspect "$dir/parts.yaml" --json
out_has "\"total\": $total,"
out_has "\"active\": $((total - 2 * 3 * 16 * 32)),"
for line in '"moe_layers": 1' '"n_shared_experts": 2' '"first_k_dense_replace": 1' '"moe_layer_freq": 2' \
    '"norm": "layernorm"' '"qk_norm": "head"' '"clip_qkv": 6.0'; do
    out_has "$line"
done
moira 0 inspect "$dir/small.yaml" --json
for line in '"moe_layers": 2' '"norm": "rmsnorm"' '"qk_norm": "none"' '"clip_qkv": null'; do
    out_has "$line"
done
moira 0 inspect "$dir/small.yaml" model.qk_norm=layer
out_matches '^norms        queries and keys normed over all heads$'

# ---- a run ----
moira 0 train "$dir/parts.yaml"
grep -c '"layer": *2' "$dir/run/metrics.jsonl" >"$dir/.n"
[ "$(cat "$dir/.n")" -gt 0 ] || fail "$ran: metrics.jsonl does not name layer 2"
grep -q '"layer": *[013]' "$dir/run/metrics.jsonl" && fail "$ran: metrics.jsonl names a layer without experts"
moira 0 inspect "$dir/run/best.h5"
out_has '2 shared in 1 layer'
out_has 'clipped to 6'
moira 0 inspect "$dir/run/best.h5" --routing --data "$dir/text.h5"
out_matches '^layer 2: '
grep -q '^layer [013]: ' "$out" && fail "$ran: shows a layer without experts"
moira 0 eval "$dir/run/best.h5" --data "$dir/text.h5"
moira 0 generate "$dir/run/best.h5" --prompt 'Line 1' --max-tokens 5

# ---- refused ----
refused 'model.first_k_dense_replace 4 and model.moe_layer_freq 2 leave none of the 4 layers to the 4 experts' \
    train "$dir/parts.yaml" "run.dir=$dir/none" model.first_k_dense_replace=4
refused 'model.n_shared_experts 2 stand beside routed experts' train "$dir/parts.yaml" "run.dir=$dir/none" \
    model.num_local_experts=0 balance.switch=0 balance.z_loss=0
refused 'model.clip_qkv' train "$dir/parts.yaml" "run.dir=$dir/none" model.clip_qkv=0
refused 'model.clip_qkv' train "$dir/parts.yaml" "run.dir=$dir/none" model.clip_qkv=-1
refused "model.qk_norm" train "$dir/parts.yaml" "run.dir=$dir/none" model.qk_norm=heads
refused "model.norm" train "$dir/parts.yaml" "run.dir=$dir/none" model.norm=batchnorm
refused 'model.clip_qkv was 6' train "$dir/parts.yaml" model.clip_qkv=8 --resume
refused 'model.n_shared_experts was 2 and is now 1' train "$dir/parts.yaml" model.n_shared_experts=1 --resume
finish
