# moira prepare, synth, and inspect of token files; bad inputs leave everything as it was.
. tests/e2e/lib.sh
small_text
bytes=$(wc -c <"$dir/text.txt")

# ---- prepare ----

moira 0 prepare "$dir/text.txt" -o "$dir/a.h5"
train=$((bytes * 9 / 10))
moira 0 inspect "$dir/a.h5" --json --verify
out_has "\"tokens\": $train,"
out_has "\"tokens\": $((bytes - train)),"
out_has '"kind": "bytes"'
out_has '"vocab_size": 256'
out_has '"verified": true'
moira 0 inspect "$dir/a.h5"
out_matches '^token file   .*/a\.h5$'
out_matches '^train        [0-9,]+ tokens of 1 byte in 1 document$'

# The same input gives the same file, byte for byte; an existing output is replaced.
moira 0 prepare "$dir/text.txt" --output="$dir/b.h5"
same "$dir/a.h5" "$dir/b.h5"
moira 0 prepare "$dir/text.txt" "$dir/text.txt" -o "$dir/b.h5" --validation 0.5 --compression 9
moira 0 inspect "$dir/b.h5" --json
out_has "\"tokens\": $((bytes / 2)),"

[ "$(wc -c <"$dir/a.h5")" -lt "$bytes" ] || fail "a.h5 is not compressed"
moira 0 prepare "$dir/text.txt" -o "$dir/b.h5" --compression 0
[ "$(wc -c <"$dir/b.h5")" -gt "$bytes" ] || fail "$ran: is smaller than the text"

: >"$dir/empty.txt"
refused "$dir/none.txt: cannot" prepare "$dir/none.txt" -o "$dir/a.h5"
refused "$dir/empty.txt: is empty" prepare "$dir/empty.txt" -o "$dir/a.h5"
refused "$dir/none.txt: cannot" prepare "$dir/text.txt" "$dir/none.txt" -o "$dir/a.h5"
refused 'is both an input and the output' prepare "$dir/text.txt" -o "$dir/text.txt"
refused "its folder $dir/none does not exist" prepare "$dir/text.txt" -o "$dir/none/a.h5"
refused 'is a folder' prepare "$dir/text.txt" -o "$dir"

# Nothing is replaced but what is of the same kind and no input.
cp tests/golden/hf/mixtral_shards/tokenizer.model "$dir/sp.model"
echo 'my notes' >"$dir/notes.txt"
cp tests/golden/format1_checkpoint.h5 "$dir/best.h5"
sp=$dir/sp.model
for there in notes.txt best.h5; do
    there=$dir/$there
    refused "$there: is there already and is not a token file" prepare "$dir/text.txt" -o "$there"
    refused "$there: is there already and is not a token file" synth -o "$there"
    refused "$there: is there already and is not JSONL of moira synth" synth -o "$dir/new.h5" --jsonl "$there"
    refused "$there: is there already and is not a SentencePiece model" prepare "$dir/text.txt" -o "$dir/new.h5" \
        --train-tokenizer 300 --save-tokenizer "$there"
    refused "$there: is there already and is not a graph for Graphviz" inspect "$dir/best.h5" --dot "$there"
done
refused "$sp: is both an input and the output" prepare "$dir/text.txt" --tokenizer "$sp" -o "$sp"
refused "$sp: is both an input and the output" prepare "$dir/text.txt" --tokenizer "$sp" -o "$dir/new.h5" --save-tokenizer "$sp"
refused "$dir/a.h5: is both an input and the output" prepare "$dir/text.txt" --tokenizer "$dir/a.h5" -o "$dir/a.h5"
refused "a.h5: is both an input and the output" prepare "$dir/text.txt" --tokenizer "$dir/a.h5" -o "$dir/../${dir##*/}/a.h5"
refused "$dir/text.txt/a.h5" prepare "$dir/text.txt" -o "$dir/text.txt/a.h5"
refused '--validation: 1 is out of range: it takes 0 to 0.99' prepare "$dir/text.txt" -o "$dir/a.h5" --validation 1
refused '--compression: 10 is out of range: it takes 0 to 9' prepare "$dir/text.txt" -o "$dir/a.h5" --compression 10

# ---- synth ----

moira 0 synth -o "$dir/s.h5" --domains 3 --tokens 60000
out_matches '^domain +train tokens +validation tokens +entropy floor'
[ "$(grep -cE '^[a-z]+ +[0-9,]+ +[0-9,]+ +[0-9]+\.[0-9]{4}$' "$out")" -eq 3 ] || fail "$ran: not three domains"
moira 0 synth -o "$dir/t.h5" --domains 3 --tokens 60000 --seed 1337
same "$dir/s.h5" "$dir/t.h5"
moira 0 synth -o "$dir/t.h5" --domains 3 --tokens 60000 --seed 7
cmp -s "$dir/s.h5" "$dir/t.h5" && fail "$ran: another seed, the same corpus"
moira 0 inspect "$dir/s.h5" --json
[ "$(grep -c '"entropy": 0\.[0-9]' "$out")" -eq 6 ] || fail "$ran: not an entropy for 3 domains of 2 splits"
refused '--domains: 0 is out of range' synth -o "$dir/s.h5" --domains 0
refused '--domains: 15 is out of range' synth -o "$dir/s.h5" --domains 15
refused '--tokens: 10 is out of range' synth -o "$dir/s.h5" --tokens 10
refused "its folder $dir/none does not exist" synth -o "$dir/none/s.h5" --tokens 60000

# The training texts as JSONL are the token file's, quotes, backslashes and line ends included.
moira 0 synth -o "$dir/s.h5" --tokens 60000 --jsonl "$dir/s.jsonl"
grep -q '\\n' "$dir/s.jsonl" && grep -q '\\"' "$dir/s.jsonl" || fail "$ran: nothing in the texts that is escaped"
moira 0 prepare "$dir/s.jsonl" -o "$dir/t.h5" --validation 0
for file in s t; do
    h5dump -d /train/tokens -b LE -o "$dir/$file.bin" "$dir/$file.h5" >/dev/null || fail "$file.h5: no tokens"
done
same "$dir/s.bin" "$dir/t.bin"
[ "$(grep -c '"domain": "code"}$' "$dir/s.jsonl")" -gt 5 ] || fail "$ran: no documents labelled code"
refused "its folder $dir/none does not exist" synth -o "$dir/s.h5" --jsonl "$dir/none/s.jsonl" --tokens 60000
refused 'is a folder' synth -o "$dir/new.h5" --jsonl "$dir" --tokens 60000

# ---- interrupted: what was there stays, and nothing is left beside it ----

ran='interrupted synth'
cp "$dir/s.h5" "$dir/kept.h5"
"$MOIRA" synth -o "$dir/s.h5" --jsonl "$dir/s.jsonl" --tokens 1000000000000 >"$out" 2>"$err" &
pid=$!
for wait in $(seq 100); do
    [ "$(ls -A "$dir" | grep -c 's\.h5\.')" -gt 0 ] && break
    sleep 0.05
done
kill -INT $pid
wait $pid
[ $? -eq 130 ] || fail "$ran: not exit status 130"
err_has "moira synth: interrupted; $dir/s.h5 is not written"
same "$dir/s.h5" "$dir/kept.h5"
ls -A "$dir" | grep -E 's\.(h5|jsonl)\.' && fail "$ran: left a file behind"

# ---- token files that are none ----

: >"$dir/empty.h5"
for size in 100 512 700 2000; do
    head -c $size "$dir/a.h5" >"$dir/cut.h5"
    refused "$dir/cut.h5: is cut short" inspect "$dir/cut.h5"
done
for at in 3 20 40 600 3000; do
    cp "$dir/a.h5" "$dir/bad.h5"
    printf U | dd of="$dir/bad.h5" bs=1 seek=$at conv=notrunc 2>/dev/null
    refused "$dir/bad.h5: " inspect "$dir/bad.h5" --verify
done
refused 'is empty' inspect "$dir/empty.h5"
refused "$dir/none.h5: " inspect "$dir/none.h5"
refused 'is a folder' inspect "$dir"
printf '{"text": "a"}\n{"text": "b"}\n' >"$dir/a.jsonl"
refused "$dir/a.jsonl: is no config, checkpoint or token file (moira prepare makes token files of texts and JSONL)" \
    inspect "$dir/a.jsonl"
refused '--memory is for a config or a checkpoint' inspect "$dir/a.h5" --memory
refused '--dot is for a config or a checkpoint' inspect "$dir/a.h5" --dot "$dir/x.dot"
refused '--routing is for a checkpoint' inspect "$dir/a.h5" --routing --data "$dir/a.h5"
finish
