# Packed conversations from the command line: what inspect says of windows, training on them alone and beside a text,
# an evaluation that hangs on no length of windows, and conversations that do not fit.
. tests/e2e/lib.sh
small_text
small_config

for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
    a=$(printf "%$((i % 7 + 1))s" '' | tr ' ' x)
    echo "{\"prompt\": \"Say $a$a.\", \"completion\": \"$a$a$a\"}"
done >"$dir/c.jsonl"
moira 0 prepare "$dir/c.jsonl" -o "$dir/c.h5" --chat --validation 0.2
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"

# ---- inspect ----

moira 0 inspect "$dir/c.h5"
out_matches '^documents    whole: none is cut, none sees another; windows need [0-9]+ tokens or more$'
longest=$(sed -n 's/.*windows need \([0-9]*\) tokens.*/\1/p' "$out")
moira 0 inspect "$dir/c.h5" --sequence-length "$longest"
out_matches "^packed       [0-9]+ windows of $longest, [0-9]+\.[0-9]% full$"
moira 0 inspect "$dir/c.h5" --sequence-length 100000
out_matches '^packed       1 window of 100000, [0-9]\.[0-9]% full$'
moira 0 inspect "$dir/c.h5" --sequence-length 200 --json
out_has '"whole_documents": true'
out_matches '"windows": [0-9]+,'
out_matches '"fill": 0\.[0-9]+'
out_has '"documents_unlearnt": 0'
short=$((longest - 1))
refused "$dir/c.h5: train: document " inspect "$dir/c.h5" --sequence-length "$short"
refused "--sequence-length is for whole documents; $dir/text.h5 is a stream" \
    inspect "$dir/text.h5" --sequence-length 20
refused '--sequence-length is for a token file' inspect "$dir/small.yaml" --sequence-length 20

# ---- train ----

set -- data.path="$dir/c.h5" sample.tokens=0 model.max_position_embeddings=1024
refused "$dir/c.h5: train: document " train "$dir/small.yaml" "$@" train.sequence_length="$short"
err_has "or prepare the file with --max-length $short --truncate"
moira 0 train "$dir/small.yaml" "$@" train.sequence_length=128
out_matches '^data         .*c\.h5: [0-9,]+ tokens to train on, [0-9,]+ of them to be predicted, each [0-9.]+ times$'
out_matches '^packing      24 documents, none of them cut, in [0-9]+ windows of 128, [0-9.]+% full$'
moira 0 inspect "$dir/small.yaml" "$@" train.sequence_length=128 --memory
moira 0 train "$dir/small.yaml" data.path= sample.tokens=0 train.sequence_length=128 run.dir="$dir/mix" \
    data.mixture="[{path: $dir/c.h5, weight: 1}, {path: $dir/text.h5, weight: 1}]"
out_matches '^source +weight +share +tokens +full +epochs +file$'
out_matches '^text +1 +50\.0% +[0-9,]+ +100\.0% '

# ---- eval ----

# loss LENGTH: of the run's best checkpoint, as JSON says it.
loss() {
    moira 0 eval "$dir/run/best.h5" --data "$dir/c.h5" --json --batch-size 2 --sequence-length "$1"
    out_has '"documents": 6,'
    sed -n 's/.*"loss": \([0-9]*\.[0-9]\{5\}\).*/\1/p' "$out" | head -1
}
one=$(loss "$longest") four=$(loss $((4 * longest)))
[ -n "$one" ] || fail "eval: no loss"
awk "BEGIN { d = $one - $four; exit !(d < 2e-5 && d > -2e-5) }" || fail "eval: a loss of $one in windows of the longest, $four in windows of four times that"
moira 0 eval "$dir/run/best.h5" --data "$dir/c.h5"
out_matches '^data         .*c\.h5, validation: over [0-9,]+ completion tokens of 6 documents in [0-9]+ windows? of 128$'
refused 'ask for a longer train.sequence_length (--sequence-length)' \
    eval "$dir/run/best.h5" --data "$dir/c.h5" --sequence-length "$short"
finish
