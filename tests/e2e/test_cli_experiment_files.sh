#!/bin/sh
# test_cli_experiment_files.sh -- sweeps and comparisons that cannot be: status 2, a message that says what would be
# right, no folder made; and what of an experiment may change.
. tests/e2e/lib.sh

small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"
sed 's/fox/cat/' "$dir/text.txt" >"$dir/other.txt"
moira 0 prepare "$dir/other.txt" -o "$dir/other.h5"

# file NAME LINE...
file() {
    name=$1
    shift
    printf 'name: x\ndir: %s/x\nbase: small.yaml\n' "$dir" >"$dir/$name"
    printf '%s\n' "$@" >>"$dir/$name"
}
experts='model.num_local_experts: 0'

refused 'none.yaml: cannot open' sweep "$dir/none.yaml"
file a.yaml 'parameters: {model.num_expert_per_tok: [1, 2]}'
refused 'a.yaml:4: model.num_expert_per_tok: unknown key; did you mean num_experts_per_tok?' sweep "$dir/a.yaml"
file a.yaml 'parameters: {model.router: []}'
refused 'a.yaml:4: model.router: the list is empty' sweep "$dir/a.yaml"
file a.yaml 'parameters: {}'
refused 'a.yaml:4: parameters: expected {section.key: VALUES' sweep "$dir/a.yaml"
file a.yaml 'parameters: {model.router: [topk, sigmoid]}' 'rules: [total_params < 1]'
refused 'the rules leave no combination' sweep "$dir/a.yaml"
file a.yaml 'parameters: {model.router: [topk, switch]}'
refused 'model.router=switch: ' sweep "$dir/a.yaml"
file a.yaml 'parameters: {data.path: [a.h5, b.h5]}'
refused 'all trials learn from the same data' sweep "$dir/a.yaml"
file a.yaml 'parameters: {model.router: [topk]}' 'strategy: halving' 'halving: {first_steps: 3}'
refused 'eval.every' sweep "$dir/a.yaml"
refused 'eval.every' sweep "$dir/a.yaml" --list

# More than 10,000 are asked for twice.
file many.yaml 'parameters:' '  optimizer.beta1: {from: 0, to: 0.9, count: 101}' '  optimizer.beta2: {from: 0, to: 0.9, count: 100}'
refused 'more than 10000 combinations' sweep "$dir/many.yaml"
err_has 'say --yes'
refused 'more than 10000 combinations' sweep "$dir/many.yaml" --list

# Comparisons.
file c.yaml 'variants:' '  a:' "  b: {set: {data.path: $dir/other.h5}}"
refused 'variants a and b: data.path is' compare "$dir/c.yaml"
moira 0 prepare "$dir/other.txt" -o "$dir/pieces.h5" --train-tokenizer 300
file c.yaml 'variants:' '  a: {set: {model.vocab_size: 400}}' "  b: {set: {data.path: $dir/pieces.h5, model.vocab_size: 400}}"
refused 'the two have other tokenizers' compare "$dir/c.yaml"
file c.yaml 'variants:' '  moe:' "  wide: {set: {$experts, model.hidden_size: 128}, match: active_params, to: moe}"
refused 'variant wide: match active_params: model.intermediate_size 1 gives' compare "$dir/c.yaml"
file c.yaml 'variants:' '  moe:' "  dense: {set: {$experts}, match: active_params, to: mo}"
refused 'c.yaml:6: dense: to: mo is none of the variants; did you mean moe?' compare "$dir/c.yaml"
file c.yaml 'variants:' '  moe:' "  dense: {set: {$experts}}"
refused 'it is for moira compare' sweep "$dir/c.yaml"
file a.yaml 'parameters: {model.router: [topk, sigmoid]}'
refused 'it is for moira sweep' compare "$dir/a.yaml"

# Once there are trials only seeds may be added.
file a.yaml 'parameters: {model.router: [topk, sigmoid]}' 'budget: {steps: 20}'
moira 0 sweep "$dir/a.yaml" --list
file a.yaml 'parameters: {model.router: [topk, sigmoid]}' 'budget: {steps: 20}' 'seeds: 2 # more'
moira 0 sweep "$dir/a.yaml" --list
[ "$(wc -l <"$out")" -eq 4 ] || fail "$ran: not four trials"
file a.yaml 'parameters: {model.router: [topk, sigmoid]}' 'budget: {steps: 30}' 'seeds: 2'
moira 2 sweep "$dir/a.yaml" --list
err_has 'budget was 20 steps and is now 30 steps'
file a.yaml 'parameters: {model.router: [topk, sigmoid]}' 'budget: {steps: 20}' 'seeds: 2'
sed -i 's/hidden_size: 32,/hidden_size: 64,/' "$dir/small.yaml"
moira 2 sweep "$dir/a.yaml"
err_has 'base model.hidden_size was 32 and is now 64'
finish
