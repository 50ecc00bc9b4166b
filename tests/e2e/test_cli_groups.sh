# Groups of parameters, as inspect shows them and train refuses them.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"

moira 0 inspect "$dir/small.yaml"
out_matches '^parameter +copies +shape +elements +used by a token +decays$'
groups='optimizer.groups=[{match: router, learning_rate_scale: 0.1, weight_decay: 0}, {match: model.layers.0.*,
    learning_rate_scale: 2}, {match: norms, weight_decay: 0.05}]'
moira 0 inspect "$dir/small.yaml" "$groups"
out_matches '^parameter +copies +shape +elements +used by a token +group +rate scale +weight decay$'
out_matches '^model\.layers\.\*\.block_sparse_moe\.gate\.weight +2 .* router +0\.1 +0$'
out_matches '^model\.layers\.0\.block_sparse_moe\.experts\.w1\.weight +1 .* model\.layers\.0\.\* +2 +0\.1$'
out_matches '^model\.layers\.1\.block_sparse_moe\.experts\.w1\.weight +1 .* - +1 +0\.1$'
out_matches '^model\.layers\.0\.input_layernorm\.weight +1 .* model\.layers\.0\.\* +2 +0$'
out_matches '^model\.norm\.weight +1 .* norms +1 +0\.05$'
moira 0 inspect "$dir/small.yaml" "$groups" --parameters --json
[ "$(grep -c '"learning_rate_scale": 0.1' "$out")" -eq 2 ] || fail "$ran: not two routers"
[ "$(grep -c '"group": null' "$out")" -eq 9 ] || fail "$ran: not nine parameters without a group"

refused "optimizer.groups[0].match: '*.gat.weight' fits no parameter" train "$dir/small.yaml" \
    "optimizer.groups=[{match: '*.gat.weight'}]"
refused "optimizer.groups[1].match: 'router' fits no parameter that an earlier group has not got" inspect \
    "$dir/small.yaml" 'optimizer.groups=[{match: "*.gate.*"}, {match: router}]'
moira 0 train "$dir/small.yaml" "$groups" train.steps=2
moira 0 inspect "$dir/run/best.h5" --parameters
out_matches '^model\.layers\.1\.block_sparse_moe\.gate\.weight +1 .* router +0\.1 +0$'
finish
