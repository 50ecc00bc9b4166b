# What trains: freeze and lora on the command line, in inspect, in a run, in completion.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"

moira 0 inspect "$dir/small.yaml"
out_has ', of which a token uses '
out_matches '^parameters +[0-9,]+, of which a token uses [0-9,]+$'
grep -q 'what trains' "$out" && fail "$ran: a table of what trains where everything does"

moira 0 inspect "$dir/small.yaml" 'freeze=[experts, "!*.1.*"]'
out_matches '^parameters .*; 37,280 train \(75\.2%\)$'
out_matches '^experts +24,576 +12,288 +50% +96\.0 KiB +48\.0 KiB +96\.0 KiB$'
out_matches '^all +49,568 +37,280 +75\.21% '
out_matches '^model\.layers\.0\.block_sparse_moe\.experts\.w1\.weight +1 .* frozen$'
out_matches '^model\.layers\.1\.block_sparse_moe\.experts\.w1\.weight +1 .* yes$'
moira 0 inspect "$dir/small.yaml" lora.rank=2 'lora.targets=[q_proj, w2]'
out_matches '^experts +24,576 +- +0% +96\.0 KiB +- +-$'
out_matches '^adapters of attention +256 +256 +100% '
out_matches '^adapters of experts +1,024 +1,024 +100% '
out_matches '^model\.layers\.\*\.block_sparse_moe\.experts\.w2\.lora_A\.weight +2 +4 x 2 x 32 +512 +50% +yes$'
moira 0 inspect "$dir/small.yaml" lora.rank=2 --parameters --json
out_has '"trainable": 4096'
out_has '"part": "adapters of experts"'
[ "$(grep -c '"frozen": false' "$out")" -eq 28 ] || fail "$ran: not 28 parameters that train"

refused "freeze[0]: 'expert' fits no parameter; did you mean experts?" train "$dir/small.yaml" 'freeze=[expert]'
refused "freeze: all parameters are frozen, so there is nothing to train" train "$dir/small.yaml" 'freeze=["*"]'
refused "lora.targets[0]: 'gate' is nothing that this model has; it has q_proj, k_proj, v_proj, o_proj, w1, w2, w3" \
    train "$dir/small.yaml" lora.rank=2 'lora.targets=[gate]'
refused "optimizer.groups[0].match: 'experts' fits only what is frozen" train "$dir/small.yaml" 'freeze=[experts]' \
    'optimizer.groups=[{match: experts}]'

# Memory: gradients and moments of what trains alone.
memory() { sed -n "s/^ *\"$1\": \([0-9]*\).*/\1/p" "$out"; }
moira 0 inspect "$dir/small.yaml" --json
parameters=$(memory parameters_bytes) gradients=$(memory gradients_bytes)
[ "$parameters" -eq "$gradients" ] || fail "$ran: $gradients bytes of gradients for $parameters of parameters"
moira 0 inspect "$dir/small.yaml" 'freeze=[experts]' --json
[ "$(memory parameters_bytes)" -eq "$parameters" ] || fail "$ran: other parameters"
[ "$(memory gradients_bytes)" -eq $((gradients - 4 * 24576)) ] || fail "$ran: gradients of what is frozen"
[ "$(memory optimizer_bytes)" -eq $((2 * (gradients - 4 * 24576))) ] || fail "$ran: moments of what is frozen"

moira 0 train "$dir/small.yaml" lora.rank=2 freeze='["!norms"]' train.steps=2
out_matches '^adapters of experts +3,072 +3,072 +100% '
out_matches '^norms +160 +160 +100% '
moira 0 train "$dir/run/config.yaml" --resume train.steps=3
refused 'resume: freeze had 1 elements and now has 0, lora.rank was 2 and is now 3' train "$dir/run/config.yaml" \
    --resume train.steps=4 lora.rank=3 'freeze=[]'
moira 0 completion bash
out_has ' freeze='
finish
