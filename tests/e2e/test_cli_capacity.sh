# Capacity and the router that looks ahead, from the command line.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"

# ---- expert_choice: one warning, no samples, evaluation, no generation ----

ahead="run.dir=$dir/ahead model.router=expert_choice model.capacity_factor=1.5 balance.switch=0"
moira 0 train "$dir/small.yaml" $ahead
[ "$(wc -l <"$err")" -eq 1 ] || fail "$ran: not one warning"
err_has 'moira train: warning: model.router expert_choice: experts choose among all tokens of a microbatch, so that'
err_has 'no samples are made'
out_matches '^model .* 4 experts of [0-9]+, 1\.5 per token on average \(expert_choice\)'
out_matches '^done         20 steps, '
grep -q sample "$out" && fail "$ran: made a sample"
[ -e "$dir/ahead/samples.txt" ] && fail "$ran: wrote samples"
moira 0 train "$dir/small.yaml" $ahead train.steps=22 --resume
[ "$(grep -c 'expert_choice' "$err")" -eq 1 ] || fail "$ran: $(grep -c expert_choice "$err") warnings"
moira 0 eval "$dir/ahead/best.h5" --data "$dir/text.h5"
err_has "warning: $dir/ahead/best.h5: the loss is that of a model that looks ahead (model.router expert_choice)"
refused "$dir/ahead/best.h5: a model with model.router expert_choice cannot write text: its experts choose among all" \
    generate "$dir/ahead/best.h5" --prompt 'The '
moira 0 inspect "$dir/ahead/best.h5"

# ---- capacity: described, trained, and generated from without ----

moira 0 train "$dir/small.yaml" "run.dir=$dir/switch" model.router=switch model.num_experts_per_tok=0 model.capacity_factor=1.25 \
    model.eval_capacity_factor=2 train.steps=10
out_matches '1 per token \(switch, capacity 1\.25, 2 in evaluation\)'
moira 0 generate "$dir/switch/best.h5" --prompt 'The ' --max-tokens 8
moira 0 inspect "$dir/switch/best.h5" --json
out_matches '"capacity_factor": *1\.25'

# Only evaluation drops: told at the start of the run and by eval.
moira 0 train "$dir/small.yaml" "run.dir=$dir/uneven" model.num_experts_per_tok=2 model.eval_capacity_factor=0.25 train.steps=5
err_has 'model.eval_capacity_factor 0.25 drops choices in evaluation, but training, without model.capacity_factor, drops none'
out_matches '2 per token \(topk, capacity 0\.25 in evaluation\)'
moira 0 eval "$dir/uneven/best.h5" --data "$dir/text.h5"
out_matches "dropped +[67][0-9]\.[0-9]*% of the routers' choices, by the capacity of evaluation"

# ---- what is refused ----

refused 'model.capacity_factor 2 does not go with model.router soft' \
    train "$dir/small.yaml" "run.dir=$dir/no" model.router=soft model.num_experts_per_tok=0 model.capacity_factor=2 \
    balance.switch=0
refused 'model.capacity_drop probability does not go with model.router hash, which has no probabilities' \
    train "$dir/small.yaml" "run.dir=$dir/no" model.router=hash model.capacity_factor=1 model.capacity_drop=probability \
    balance.switch=0 balance.z_loss=0
refused 'model.capacity_scope batch with train.gradient_accumulation_steps 2: counts over the whole batch are not known' \
    train "$dir/small.yaml" "run.dir=$dir/no" model.capacity_factor=1 model.capacity_scope=batch \
    train.gradient_accumulation_steps=2
refused 'each says how many experts a token has on average; leave one of them out' train "$dir/small.yaml" \
    "run.dir=$dir/no" model.router=expert_choice model.capacity_factor=3 model.num_experts_per_tok=1 balance.switch=0
refused 'balance.switch 0.01 does not go with model.router expert_choice' \
    train "$dir/small.yaml" "run.dir=$dir/no" model.router=expert_choice balance.switch=0.01
refused 'model.capacity_factor' train "$dir/small.yaml" "run.dir=$dir/no" model.capacity_factor=0
finish
