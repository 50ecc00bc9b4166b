# Every sweep and comparison in experiments/: its file is read, its trials are what its README says, and the commands that
# --list prints run. Their data have the names that the files ask for, and another text: counts hang on the vocabulary.
. tests/e2e/lib.sh
case $MOIRA in /*) ;; *) MOIRA=$PWD/$MOIRA ;; esac
cp -R experiments "$dir/experiments" || exit 2
cd "$dir" || exit 2
rm -rf experiments/*/trials experiments/*/*/trials experiments/*/results.db* experiments/*/*/results.db*
mkdir data
moira 0 synth -o data/domains.h5 --tokens 200000
cp data/domains.h5 data/gsm8k-text.h5

# lists COMMAND FILE TRIALS: as many are due at once; the last one runs, in two steps
lists() {
    moira 0 "$1" "experiments/$2" --list || return
    [ "$(wc -l <"$out")" -eq "$3" ] || fail "$ran: $(wc -l <"$out") trials are due, not $3"
    echo "$2" >>read
    ran="the last of $2"
    sh -c "$(tail -n 1 "$out") train.steps=2 schedule.warmup_steps=1 eval.batches=1 run.threads=1" \
        >"$dir/last" 2>&1 </dev/null || {
        fail "$ran: exit status $?"
        tail -n 3 "$dir/last"
    }
}

lists sweep gating-sweep/sweep.yaml 80
out_matches 'model.router=sigmoid .*num_local_experts=64 balance.bias_update_rate=1e-2 '
lists sweep balance-coefficient/sweep.yaml 35
out_has 'balance.switch=10 '
lists compare moe-vs-dense/compare.yaml 24 # those that tune
out_has 'model.intermediate_size=85 '      # as many active parameters as the model with experts
out_has 'model.intermediate_size=43 '      # experts without a router
out_has 'model.intermediate_size=2069 '    # as many in all
out_has 'model.intermediate_size=28 '      # as many FLOPs, with a third layer
lists compare moe-vs-dense/domains.yaml 16

# No file is left out, and each folder is told of.
grep -lE '^(parameters|variants):' experiments/*/*.yaml | sed 's,^experiments/,,' | sort >files
sort read | cmp -s - files || fail 'experiments: this test does not have all files that are sweeps or comparisons'
for folder in experiments/*/; do
    name=$(basename "$folder")
    grep -qF -e "- \`$name\`: " experiments/README.md || fail "experiments/README.md: says nothing of $name"
    [ -e "$folder/README.md" ] || fail "experiments: $name has no README.md"
done
finish
