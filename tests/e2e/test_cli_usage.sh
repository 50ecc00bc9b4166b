# The command line itself: help, versions, options that are wrong, output that cannot be written.
. tests/e2e/lib.sh

# ---- help and version ----

for command in prepare synth train eval generate inspect bench completion help version; do
    moira 0 help
    out_matches "^  $command +[a-z]"
    moira 0 help $command
    out_matches "^usage: moira $command"
    out_matches '^example:'
    cp "$out" "$dir/help"
    moira 0 $command --help
    same "$out" "$dir/help"
done
moira 0 --help
out_has 'usage: moira COMMAND'
moira 0 train none.yaml --no-such-option -h
out_has 'usage: moira train'
# Every option of a command is in its help, with its default.
moira 0 help generate
out_matches '^  --prompt TEXT '
out_matches '^  --max-tokens N .*\(200\)$'
out_matches '^  --tokens '
moira 0 help prepare
out_matches '^  -o, --output FILE.h5 .*\(required\)$'

moira 0 help config
for section in run data model balance train optimizer schedule eval checkpoint sample log; do
    out_matches "^$section: "
done
moira 0 help config num_local_experts
out_has 'num_local_experts'
moira 0 help config balance
out_has 'z_loss'
refused "did you mean" help config num_local_expert
refused "did you mean 'moira help config balance'" help balance
refused "'x' is one argument too many" help train x

# topic PAGE 'names' PART...: `moira help PAGE` has each of the names with every part, and so has the manual.
"$MOIRA" help --man >"$dir/man"
topic() {
    page=$1 names=$2
    shift 2
    count=$(echo "$names" | wc -w)
    [ "$count" -gt 1 ] || fail "moira help $page: too few to be true: '$names'"
    moira 0 help "$page"
    grep -q '.\{101\}' "$out" && fail "$ran: a line of over 100 columns" && show
    for part in '[a-z][a-z_]*$' '  source  .*[a-z]' "$@"; do
        [ "$(grep -c "^$part" "$out")" -eq "$count" ] || { fail "$ran: not $count times: $part" && show; }
    done
    cp "$out" "$dir/all"
    for name in $names; do
        moira 0 help "$page" "$name"
        [ "$(head -n 1 "$out")" = "$name" ] || fail "$ran: begins otherwise"
        grep -vxF -f "$dir/all" "$out" && fail "$ran: not as in moira help $page"
        grep -qFx ".SS \"$name\"" "$dir/man" || fail "the manual has no $name"
    done
    refused "there is no '${name}x'; did you mean $name?" help "$page" "${name}x"
    refused "there is no '~'; moira help $page lists all" help "$page" '~'
    refused "'x' is one argument too many" help "$page" "$name" x
    refused "did you mean 'moira help $page $name'" help "$name"
}
topic routers "$("$MOIRA" help config model.router | sed -n '/one of /,/How experts/p' | sed 's/.*one of //; /How/d' | tr -d ',')" \
    '  scores  ' '  selection  ' '  weights  '
topic losses "$("$MOIRA" help config balance | sed -n 's/^  \([a-z_]*\) .*/\1/p' | grep -v 'scope$\|^bias')" \
    '  loss  ' '  over  ' '  routers  '
# Which goes with which is said on both sides.
moira 0 help losses load
out_matches '^  routers .*noisy_topk'
grep -q '^  routers .*[ ,]topk' "$out" && fail "$ran: topk has no noise"
moira 0 help routers topk
out_matches '^  losses .*switch.*z_loss'
grep -q '^  losses .* load' "$out" && fail "$ran: topk has no noise"

moira 0 version
out_matches '^moira [0-9]+\.[0-9]+\.[0-9]+ \(commit .*, [a-z0-9]+ build\)$'
out_matches '^BLAS '
out_matches '^processor  .*, [0-9]+ core'
out_matches '^computes   in float(32|64), '
cp "$out" "$dir/version"
moira 0 --version
same "$out" "$dir/version"
for kernel in nonsense haswell ''; do # is not heeded
    OPENBLAS_CORETYPE=$kernel moira 0 version
    same "$out" "$dir/version"
done

# ---- as wide as the terminal ----

# words: of the last output; a table in parts repeats its first column
words() {
    tr -s ' \n' '\n\n' <"$out" | case $request in
    inspect*) sort -u ;;
    *) sort ;;
    esac
}

cat >"$dir/wide.yaml" <<END
run: {name: wide}
data: {path: none.h5}
model: {vocab_size: 256, hidden_size: 32, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2}
train: {steps: 20, batch_size: 4, sequence_length: 32}
optimizer: {learning_rate: 1.0e-3}
END
for request in 'help train' 'help config' 'help routers' 'help losses' 'help generate' "inspect $dir/wide.yaml"; do
    # shellcheck disable=SC2086
    moira 0 $request
    words >"$dir/wide"
    # shellcheck disable=SC2086
    COLUMNS=64 moira 0 $request
    words >"$dir/narrow"
    same "$dir/wide" "$dir/narrow"
    # But for single words, examples, usage and the facts above a table.
    grep -vE '^(usage: |  moira |model |operations |weight decay )' "$out" | grep -E '.{65}' &&
        fail "$ran: a line of over 64 columns"
done
out_matches '^parameter +copies +shape$'
out_matches '^parameter +elements$'
if command -v script >/dev/null && command -v stty >/dev/null; then
    ran='moira help train on a terminal of 50 columns'
    script -qec "stty cols 50; '$MOIRA' help train" /dev/null 2>"$err" </dev/null | tr -d '\r' >"$out"
    out_has 'usage: moira train'
    sed '/^example:/,$d; /^usage:/d' "$out" | grep -E '.{51}' && fail "$ran: a line of over 50 columns"
fi

# ---- what is wrong with a request ----

moira 2
err_has 'usage: moira COMMAND'
[ -s "$out" ] && fail 'moira alone printed to stdout'
moira 2 trian x.yaml
err_has "moira: 'trian' is no command; did you mean train? See 'moira help'"
moira 2 xyzzy
err_has "moira: 'xyzzy' is no command; see 'moira help'"

refused "CONFIG is missing; see 'moira help train'" train
refused 'INPUT is missing' prepare -o "$dir/x.h5"
refused '--output FILE.h5 is missing' prepare "$MOIRA"
refused '--output FILE.h5 is missing' synth
refused '--prompt TEXT is missing' generate none.h5
refused '--data FILE.h5 is missing' eval none.h5
refused "'b.h5' is one argument too many" eval a.h5 b.h5 --data c.h5
refused "unknown option --promt; did you mean --prompt? See 'moira help generate'" generate none.h5 --promt x
refused "unknown option --xyzzy; see 'moira help eval'" eval none.h5 --xyzzy
refused 'unknown option -x' eval none.h5 -x
refused 'a setting is written without dashes, as train.steps=VALUE' train none.yaml --train.steps=3
refused '--data needs a value: --data FILE.h5' eval none.h5 --data
refused 'a value that begins with -- is written --prompt=VALUE' generate none.h5 --prompt --tokens
refused '--json takes no value' inspect none.h5 --json=yes
refused '--seed is given twice' generate none.h5 --prompt x --seed 1 --seed=2
refused "--max-tokens: 'many' is not a whole number" generate none.h5 --prompt x --max-tokens many
refused "--max-tokens: '1.5' is not a whole number" generate none.h5 --prompt x --max-tokens 1.5
refused "--max-tokens: '' is not a whole number" generate none.h5 --prompt x --max-tokens=
refused '--max-tokens: -1 is out of range: it takes 0 to 1000000000' generate none.h5 --prompt x --max-tokens -1
refused '--max-tokens: 99999999999999999999 is out of range' generate none.h5 --prompt x --max-tokens 99999999999999999999
refused "--temperature: 'warm' is not a number" generate none.h5 --prompt x --temperature warm
refused "--temperature: 'nan' is not a number" generate none.h5 --prompt x --temperature nan
refused '--temperature: -1 is out of range: it takes 0 to 100' generate none.h5 --prompt x --temperature -1
refused '--threads: -1 is out of range: it takes 0 to 1024' generate none.h5 --prompt x --threads -1
refused '--threads: -1 is out of range: it takes 0 to 1024' bench none.yaml --threads=-1
refused '--top-p: 0 is out of range' generate none.h5 --prompt x --top-p 0
refused '--seed: -1 is out of range: it takes 0 to 18446744073709551615' generate none.h5 --prompt x --seed -1
refused "--split: 'test' is no split; it is train or validation" eval none.h5 --data none.h5 --split test
refused "--tokenizer: 'words' is not bytes, and there is no file of this name" prepare "$MOIRA" -o "$dir/x.h5" --tokenizer words
refused '--routing needs --data' inspect none.h5 --routing
refused '--data is for --routing' inspect none.h5 --data none.h5
refused 'no file in this folder or below has an extension of' prepare "$dir" -o "$dir/x.h5"
# After -- everything is a word, and so is a lone -.
refused '--json.yaml: cannot open' train -- --json.yaml
refused '-: cannot open' train -

# ---- where output goes ----

"$MOIRA" help config 2>"$err" | head -n 1 >"$out"
ran='moira help config | head -n 1'
[ -s "$err" ] && fail "$ran complained" && show
if [ -w /dev/full ]; then
    ran='moira help >/dev/full'
    "$MOIRA" help >/dev/full 2>"$err"
    [ $? -eq 1 ] || fail "$ran: not exit status 1"
    err_has 'moira help: standard output: cannot be written'
fi
ran='moira version >&-'
"$MOIRA" version >&- 2>"$err"
[ $? -eq 1 ] || fail "$ran: not exit status 1"
finish
