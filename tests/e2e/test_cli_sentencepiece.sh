# A SentencePiece tokenizer from the command line: trained by prepare, inside token file and checkpoint, in samples and
# in what generate prints, into a pipe and on a terminal.
. tests/e2e/lib.sh
small_config

# Short documents, each of which ends soon: the model learns <s> and </s> at once.
i=0
while [ $i -lt 1500 ]; do
    i=$((i + 1))
    echo "{\"text\": \"naïve fox $((i % 7)) 🙂 jumps\"}"
done >"$dir/text.jsonl"
# The tokenizer has not seen the smiling face, which is four byte pieces to it.
sed 's/ 🙂//' "$dir/text.jsonl" >"$dir/plain.jsonl"
moira 0 prepare "$dir/plain.jsonl" -o "$dir/plain.h5" --train-tokenizer 290 --save-tokenizer "$dir/fox.model"
moira 0 prepare "$dir/text.jsonl" -o "$dir/text.h5" --tokenizer "$dir/fox.model"
moira 0 train "$dir/small.yaml" train.steps=60 checkpoint.every=60 eval.every=30 sample.tokens=100 \
    sample.temperature=0
best=$dir/run/best.h5

# ---- samples: documents from their begin, without the tokens that mark it ----

grep -q '^--- step 60 ---$' "$dir/run/samples.txt" || fail 'samples.txt: no sample of step 60'
grep -qF -e '<s>' -e '</s>' "$dir/run/samples.txt" && fail 'samples.txt: shows begin, end or unknown tokens'
[ "$(sed '1,/^--- step 60 ---$/d' "$dir/run/samples.txt" | grep -o 🙂 | wc -l)" -eq 1 ] ||
    fail 'samples.txt: the sample of step 60 is not one document'
iconv -f UTF-8 -t UTF-8 "$dir/run/samples.txt" >"$dir/.iconv" || fail 'samples.txt: is not UTF-8'

# ---- generate ----

moira 0 generate "$best" --prompt 'naïve fox' --max-tokens 200 --temperature 0 --tokens
out_matches '^1 [0-9 ]* 2$'
[ "$(wc -w <"$out")" -lt 60 ] || fail "$ran: went on past the document's end"
moira 0 generate "$best" --prompt 'naïve fox' --max-tokens 200 --temperature 0
grep -qx 'naïve fox.* 🙂 jumps' "$out" || { fail "$ran: not a document" && show; }
moira 0 generate "$best" --prompt '' --max-tokens 200 --temperature 0
grep -qx 'naïve fox.* 🙂 jumps' "$out" || { fail "$ran: not a document from its begin" && show; }
moira 0 generate "$best" --prompt 'x' --max-tokens 0 --tokens
out_matches '^1 [0-9 ]*[0-9]$'
# The face comes whole; of one that was begun and never ended, U+FFFD is told.
halves=0
for n in 1 2 3 4 5 6 7 8 9 10; do
    moira 0 generate "$best" --prompt 'naïve fox 3' --max-tokens $n --temperature 0
    iconv -f UTF-8 -t UTF-8 "$out" >"$dir/.iconv" || fail "$ran: printed half a character"
    grep -q '�$' "$out" && halves=$((halves + 1))
done
[ $halves -ge 3 ] || fail "$halves of the texts ended inside the face"
moira 0 generate "$best" --prompt 'naïve fox 3' --max-tokens 40 --temperature 3 --seed 5
iconv -f UTF-8 -t UTF-8 "$out" >"$dir/.iconv" || fail "$ran: printed half a character"

# ---- on a terminal ----

bad=$(printf 'a\033[31mb')
moira 0 generate "$best" --prompt "$bad" --max-tokens 0
[ "$(cat "$out")" = "$bad" ] || fail "$ran: changed what goes into a pipe"
if command -v script >/dev/null; then
    ran='moira generate on a terminal'
    P=$bad script -qec "'$MOIRA' generate '$best' --prompt \"\$P\" --max-tokens 0" /dev/null </dev/null >"$out" 2>&1
    grep -q "$(printf '\033')" "$out" && fail "$ran: an escape character got through"
    out_has 'a�[31mb'
else
    echo 'no program "script": a terminal is not tested'
fi

# ---- the same tokenizer for another corpus ----

printf 'The quick brown fox.\n' >"$dir/other.txt"
moira 0 prepare "$dir/other.txt" -o "$dir/a.h5" --tokenizer "$best" --validation 0
moira 0 prepare "$dir/other.txt" -o "$dir/b.h5" --tokenizer "$dir/text.h5" --validation 0
moira 0 inspect "$best"
hash=$(sed -n 's/^tokenizer .*, \([0-9a-f]*\)$/\1/p' "$out")
for file in a.h5 b.h5; do
    moira 0 inspect "$dir/$file"
    out_has "${hash:?}"
done
moira 0 prepare "$dir/other.txt" -o "$dir/bytes.h5"
refused 'prepare the text again with the model' eval "$best" --data "$dir/bytes.h5"
refused "$dir/other.txt: is no SentencePiece model" prepare "$dir/other.txt" -o "$dir/c.h5" --tokenizer "$dir/other.txt"

finish
