# moira inspect --routing: what it prints, as text of 80 columns and as JSON, and what it refuses.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"
moira 0 synth -o "$dir/synth.h5" --tokens 40000 --domains 4
moira 0 train "$dir/small.yaml" sample.tokens=0
best=$dir/run/best.h5

# narrow: no line of the tables is wider than 80 columns (lines with paths and the model's are those before).
narrow() {
    awk '/^ *layer /{on = 1} on && length > 80' "$out" >"$dir/.wide"
    [ -s "$dir/.wide" ] && fail "$ran: lines of more than 80 columns" && cat "$dir/.wide"
    return 0
}

COLUMNS=80
export COLUMNS
moira 0 inspect "$best" --routing --data "$dir/synth.h5"
out_matches '^layer  max vio +cv  dead  dropped  entropy +top1 +weight +bits  corrected$'
for layer in 0 1; do
    out_matches "^ +$layer  +[0-9.]+ +[0-9.]+ +[0-4] +0\.0% +1\.[0-9]{3} +0\.[0-9]{3} +0\.[5-9][0-9]* +0\.[0-9]*[1-9][0-9]* +0\.[0-9]+$"
    out_matches "^layer $layer: [0-9,]+ choices$"
done
out_has 'entropy of the router, of at most 1.386 nats; dead: below 10% of the fair share'
out_matches '^bits: what an expert says of the domain, at most 1\.[0-9]{3}; corrected: less chance$'
out_matches '^expert +load +stories +arithmetic +json +code$'
[ "$(grep -cE '^ +[0-3]( +[0-9.]+%){5}$' "$out")" -eq 8 ] || fail "$ran: not 2 layers of 4 experts"
[ "$(grep -cE '^ +[0-3]( +([0-9.]+%|-)){4}$' "$out")" -eq 8 ] || fail "$ran: not 2 tables of 4 x 4 pairs"
out_matches '^[0-2] and [1-3] +[0-9,]+ +[0-9.]+% +[0-9.]+% +[0-9]\.[0-9]{2}$'
[ "$(grep -cE '^expert [0-3]     "(\\"|[^"]+)" [0-9,]+  "' "$out")" -eq 8 ] || fail "$ran: not 8 experts' tokens"
out_matches '^       own   "(\\"|[^"]+)" [0-9]+\.[0-9]x  "'
narrow

moira 0 inspect "$best" --routing --data "$dir/synth.h5" --layer 1 --split train
out_has ', train: '
out_matches '^layer 1: [0-9,]+ choices$'
grep -q '^layer 0' "$out" && fail "$ran: shows another layer"
unset COLUMNS
moira 0 inspect "$best" --routing --data "$dir/text.h5"
out_matches '^layer  max vio +cv  dead  dropped  entropy +top1  weight$'
grep -q '^bits:' "$out" && fail "$ran: speaks of domains that are not there"
narrow

# ---- JSON: everything, and numbers that belong together ----

moira 0 inspect "$best" --routing --data "$dir/synth.h5" --json
for key in layer experts tokens choices load max_vio cv entropy top1 top1_weight dropped z dead dead_experts domains mutual_information \
    mutual_information_corrected domain_entropy coactivation lift routed_tokens; do
    [ "$(grep -c "^        \"$key\": " "$out")" -eq 2 ] || fail "$ran: not $key of two layers"
done
out_matches '^  "split": "validation",$'
out_matches '^  "step": 20,$'
[ "$(grep -c '"mutual_information": 0\.[0-9]*[1-9]' "$out")" -eq 2 ] || fail "$ran: not two layers"

# ---- many experts: both ends of the load, all of them with --layer ----

moira 0 train "$dir/small.yaml" "run.dir=$dir/many" model.num_local_experts=48 train.steps=2 sample.tokens=0
many=$dir/many/best.h5
COLUMNS=80
export COLUMNS
moira 0 inspect "$many" --routing --data "$dir/synth.h5"
out_has '; the 8 busiest and 8 idlest of 48; --layer 0: all'
[ "$(grep -cE '^ +[0-9]+( +[0-9.]+%){5}$' "$out")" -eq 32 ] || fail "$ran: not 2 x 16 experts"
narrow
moira 0 inspect "$many" --routing --data "$dir/synth.h5" --layer 1
[ "$(grep -cE '^ +[0-9]+( +[0-9.]+%){5}$' "$out")" -eq 48 ] || fail "$ran: not 48 experts"
narrow
unset COLUMNS

# ---- layers without experts, and choices that are dropped ----

moira 0 train "$dir/small.yaml" "run.dir=$dir/full" model.num_hidden_layers=3 model.first_k_dense_replace=1 \
    model.router=switch model.num_experts_per_tok=1 model.capacity_factor=0.5 train.steps=2 sample.tokens=0
full=$dir/full/best.h5
moira 0 inspect "$full" --routing --data "$dir/synth.h5"
for layer in 1 2; do
    out_matches "^ +$layer  +[0-9.]+ +[0-9.]+ +[0-4] +[1-9][0-9.]+% "
    out_matches "^layer $layer: [0-9,]+ choices$"
done
grep -q '^layer 0' "$out" && fail "$ran: a layer without experts"
grep -q '^experts\|^of the left' "$out" && fail "$ran: pairs where a token has one expert"
moira 0 inspect "$full" --routing --data "$dir/synth.h5" --json
[ "$(grep -c '"coactivation": null' "$out")" -eq 2 ] || fail "$ran: pairs where a token has one expert"
[ "$(grep -c '"dropped": 0\.[0-9]*[1-9]' "$out")" -eq 2 ] || fail "$ran: nothing is dropped"
refused 'layer 0 has no experts; the first that has is layer 1' inspect "$full" --routing --data "$dir/synth.h5" --layer 0

# ---- against another checkpoint ----

early=$dir/run/step-00000010.h5
COLUMNS=80
export COLUMNS
moira 0 inspect "$best" --routing --data "$dir/synth.h5" --against "$early"
out_matches "^against      $early, step 10$"
out_matches '^layer +changed  first changed +kl +js  load moved  weights moved$'
for layer in 0 1; do
    out_matches "^ +$layer +[0-9.]+% +[0-9.]+% +[0-9.e-]*[1-9][0-9.e-]* +[0-9.e-]+ +[0-9.]+% +0\.[0-9]+$"
done
out_has 'the 3 experts of each layer whose load moved most (--layer N: all)'
[ "$(grep -cE '^ +[01] +[0-3] +[0-9.]+% +[0-9.]+% +[+-][0-9.]+%$' "$out")" -eq 6 ] || fail "$ran: not 2 x 3 experts"
narrow
moira 0 inspect "$best" --routing --data "$dir/synth.h5" --against "$early" --layer 1 --split train
[ "$(grep -cE '^ +1 +[0-3] +[0-9.]+% +[0-9.]+% +[+-][0-9.]+%$' "$out")" -eq 4 ] || fail "$ran: not 4 experts"
grep -q '^ *0 ' "$out" && fail "$ran: shows another layer"
unset COLUMNS
moira 0 inspect "$best" --routing --data "$dir/synth.h5" --against "$early" --json
for key in layer changed first_changed kl js load_moved weights_moved load reference_load; do
    [ "$(grep -c "^        \"$key\": " "$out")" -eq 2 ] || fail "$ran: not $key of two layers"
done
out_matches '^  "against_step": 10,$'
moira 0 inspect "$best" --routing --data "$dir/synth.h5" --against "$best" --json
for key in changed first_changed kl js load_moved weights_moved; do
    [ "$(grep -c "\"$key\": 0\.0,$" "$out")" -eq 2 ] || fail "$ran: $key is not 0 against itself"
done

# ---- refused ----

head -c 4000 "$dir/text.txt" >"$dir/part.txt"
moira 0 prepare "$dir/text.txt" -o "$dir/pieces.h5" --train-tokenizer 300
refused '--routing needs --data' inspect "$best" --routing
refused '--data is for --routing' inspect "$best" --data "$dir/text.h5"
refused '--split is for --routing' inspect "$best" --split train
refused '--layer is for --routing' inspect "$best" --layer 0
refused "'test' is no split" inspect "$best" --routing --data "$dir/text.h5" --split test
refused 'layer 2 is none; the model has layers 0 to 1' inspect "$best" --routing --data "$dir/text.h5" --layer 2
refused 'prepare the text again' inspect "$best" --routing --data "$dir/pieces.h5"
refused "$dir/none.h5" inspect "$best" --routing --data "$dir/none.h5"
sed 's/num_local_experts: 4/num_local_experts: 0/; /^balance/d' "$dir/small.yaml" >"$dir/dense.yaml"
moira 0 train "$dir/dense.yaml" "run.dir=$dir/dense" train.steps=2 sample.tokens=0
dense=$dir/dense/best.h5
refused 'is a dense model; it routes nothing' inspect "$dense" --routing --data "$dir/text.h5"
refused '--against is for --routing' inspect "$best" --against "$early"
against() { refused "$1" inspect "$best" --routing --data "$dir/text.h5" --against "$2"; }
against "$best against $dense: the reference is a dense model; it routes nothing" "$dense"
against "$best against $many: the two cannot be compared: the model has 4 experts, the reference 48" "$many"
against "$best against $full: the two cannot be compared: the model has 2 layers, the reference 3" "$full"
against "$dir/none.h5: cannot open" "$dir/none.h5"
against "$dir/text.h5: is a token file" "$dir/text.h5"
moira 0 train "$dir/small.yaml" "run.dir=$dir/words" "data.path=$dir/pieces.h5" train.steps=2 sample.tokens=0
against 'prepare the text again' "$dir/words/best.h5"
refused '--layer 2: there is none; the model has layers 0 to 1' inspect "$best" --routing --data "$dir/text.h5" \
    --against "$early" --layer 2
finish
