# moira prepare on corpora: JSONL, folders, patterns, gzip, separators; what is left out is counted, what is wrong is
# named, and nothing is left behind.
. tests/e2e/lib.sh
small_text
bytes=$(wc -c <"$dir/text.txt")

# number KEY: the first "KEY": number of the last run's JSON.
number() { sed -n "s/^ *\"$1\": \([0-9.]*\),*\$/\1/p" "$out" | head -n 1; }
# is KEY NUMBER
is() { [ "$(number "$1")" = "$2" ] || fail "$ran: $1 is '$(number "$1")', not $2"; }
# documents FILE.h5 TRAIN VALIDATION
documents() {
    moira 0 inspect "$1" --json --verify
    found=$(sed -n 's/^    "documents": \([0-9]*\),$/\1/p' "$out" | tr '\n' ' ')
    [ "$found" = "$2 $3 " ] || fail "$ran: documents $found, not $2 $3"
}

# ---- JSONL, folders, patterns ----

mkdir "$dir/c" "$dir/c/sub" "$dir/c/.hidden"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    printf '{"id": %d, "text": "Document %d.\\n", "meta": {"title": "Title %d"}}\n' $i $i $i
    [ $i = 6 ] && echo '{"text": "", "meta": {"title": ""}}' && echo
done >"$dir/c/a.jsonl"
echo 'A note.' >"$dir/c/sub/note.md"
echo 'not for training' >"$dir/c/.hidden/x.txt"
echo 'binary' >"$dir/c/picture.png"
gzip -c "$dir/c/a.jsonl" >"$dir/packed.jsonl.gz"

moira 0 prepare "$dir/c" -o "$dir/c.h5" --json
is files 2
err_has 'moira prepare: left out 1 file of other kinds: .png'
is empty_documents 1
is vocabulary_used 22
documents "$dir/c.h5" 11 2
moira 0 prepare "$dir/c/a.jsonl" "$dir/c/sub" -o "$dir/d.h5"
out_matches '^files        2$'
out_matches '^train        [0-9]+ tokens in 11 documents$'
out_matches '^validation   [0-9]+ tokens in 2 documents$'
out_matches '^left out     1 document without text$'
out_matches '^ *8 to 15 +11 +2  #+$'
moira 0 prepare "$dir/packed.jsonl.gz" "$dir/c/sub" -o "$dir/p.h5" --field meta.title
documents "$dir/p.h5" 11 2
moira 0 prepare "$dir/c/*.jsonl" "$dir/c" "$dir/c/a.jsonl" -o "$dir/d.h5" --json --validation 0
is files 2
is files_repeated 2
documents "$dir/d.h5" 13 0
out_has '"split": "all train"'
moira 0 prepare "$dir/c" -o "$dir/d.h5" --ext png,md --validation 0.5
err_has 'left out 1 file of other kinds: .jsonl'
grep -q warning "$err" && fail "$ran: warned, though a share of 0.5 was near"
documents "$dir/d.h5" 1 1
moira 0 prepare "$dir/c/a.jsonl" -o "$dir/d.h5" --format text
documents "$dir/d.h5" 1 1

# The same bytes for any number of threads and from a packed file; other documents validate for another seed.
cat "$dir/c/a.jsonl" "$dir/c/a.jsonl" "$dir/c/a.jsonl" "$dir/c/a.jsonl" >"$dir/four.jsonl"
moira 0 prepare "$dir/four.jsonl" -o "$dir/1.h5"
OMP_NUM_THREADS=4 moira 0 prepare "$dir/four.jsonl" -o "$dir/4.h5"
same "$dir/1.h5" "$dir/4.h5"
mkdir "$dir/z" && gzip -c "$dir/four.jsonl" >"$dir/z/four.jsonl"
cd "$dir/z" && moira 0 prepare "four.jsonl" -o "$dir/1.h5" && cd "$OLDPWD" || exit 2
cd "$dir" && moira 0 prepare "four.jsonl" -o "$dir/4.h5" && cd "$OLDPWD" || exit 2
same "$dir/1.h5" "$dir/4.h5"
moira 0 prepare "$dir/four.jsonl" -o "$dir/1.h5" --seed 5
out_matches '^validation   [0-9]+ tokens in 5 documents$'
cmp -s "$dir/1.h5" "$dir/4.h5" && fail "$ran: another seed, the same documents"

# ---- gzip ----

head -c 20000 "$dir/text.txt" >"$dir/one" && tail -c +20001 "$dir/text.txt" >"$dir/two"
gzip -c "$dir/one" >"$dir/text.gz" && gzip -c "$dir/two" >>"$dir/text.gz"
moira 0 prepare "$dir/text.gz" -o "$dir/1.h5" --json
[ "$(grep -o '"text_bytes": [0-9]*' "$out" | tr -dc '0-9 ')" = " $((bytes * 9 / 10)) $((bytes - bytes * 9 / 10))" ] ||
    fail "$ran: not all of both members"
size=$(wc -c <"$dir/text.gz")
head -c $((size - 50)) "$dir/text.gz" >"$dir/cut.gz"
refused "$dir/cut.gz: is cut short: its gzip data end in the middle, at byte $((size - 50))" \
    prepare "$dir/cut.gz" -o "$dir/1.h5"
cp "$dir/text.gz" "$dir/bad.gz"
printf '\377\377\377\377' | dd of="$dir/bad.gz" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
refused "$dir/bad.gz: its gzip data are damaged" prepare "$dir/bad.gz" -o "$dir/1.h5"
cp "$dir/text.gz" "$dir/rest.gz" && echo rest >>"$dir/rest.gz"
refused "$dir/rest.gz: what begins at byte $size, behind its gzip data, is no gzip" \
    prepare "$dir/text.txt" "$dir/rest.gz" -o "$dir/1.h5"

# ---- separators ----

printf 'One.\n<|endoftext|>\nTwo.\n<|endoftext|>\nThree.\n<|endoftext|>\n' >"$dir/stories.txt"
moira 0 prepare "$dir/stories.txt" -o "$dir/1.h5" --separator '<|endoftext|>' --json
is empty_documents 0
[ "$(number text_bytes)" = 12 ] || fail "$ran: not 'One.' and 'Three.' with their line ends"
documents "$dir/1.h5" 2 1

# Whole documents: a share that is missed by far is told.
moira 0 prepare "$dir/text.txt" "$dir/stories.txt" -o "$dir/1.h5" --validation 0.4
err_has 'warning: 0.162% of the tokens validate, 40% was asked for: '
moira 0 prepare "$dir/stories.txt" "$dir/text.txt" -o "$dir/1.h5"
err_has 'warning: 99.8% of the tokens validate, 10% was asked for: the documents are few or of very different lengths'
err_has '--separator'

# ---- bad lines ----

{ cat "$dir/c/a.jsonl"; echo '{"text": "no end'; echo '{"title": "x"}'; echo '["x"]'; } >"$dir/bad.jsonl"
refused "$dir/bad.jsonl: line 15: is not JSON: " prepare "$dir/bad.jsonl" -o "$dir/1.h5"
err_has '; --skip-bad leaves out such lines'
refused "$dir/c/a.jsonl: line 1: has no field \"body\"; it has \"id\", \"text\", \"meta\"" \
    prepare "$dir/c" -o "$dir/1.h5" --field body
gzip -c "$dir/bad.jsonl" >"$dir/bad.jsonl.gz"
refused "$dir/bad.jsonl.gz: line 15: is not JSON: " prepare "$dir/bad.jsonl.gz" -o "$dir/1.h5"
moira 0 prepare "$dir/bad.jsonl" -o "$dir/1.h5" --skip-bad
out_matches '^left out     1 document without text, 3 lines that are not JSON or have no text$'
err_has "warning: left out: $dir/bad.jsonl: line 15: is not JSON: "
err_has "warning: left out: $dir/bad.jsonl: line 16: has no field "
err_has "warning: left out: $dir/bad.jsonl: line 17: is a list, an object {...} is needed; more such lines are counted only"

documents "$dir/1.h5" 10 2
is bad_lines 3
{ cat "$dir/bad.jsonl"; printf '1\n2\n'; } >"$dir/more.jsonl"
moira 0 prepare "$dir/more.jsonl" -o "$dir/1.h5" --skip-bad --json
is bad_lines 5
[ "$(grep -c 'left out: ' "$err")" -eq 3 ] || fail "$ran: not three lines named"
refused "$dir/c/a.jsonl: has no text" prepare "$dir/c/a.jsonl" -o "$dir/1.h5" --skip-bad --field body
printf '\n[\n {"text": "a"},\n {"text": "b"}\n]\n' >"$dir/array.json"
for skip in '' --skip-bad; do
    refused "$dir/array.json: is a JSON array that spans lines, and JSONL has an object on each line; jq -c '.[]'" \
        prepare "$dir/array.json" -o "$dir/1.h5" $skip
done
printf '[{"text": "a"}]\n' >"$dir/list.json"
refused "$dir/list.json: line 1: is a list, an object {...} is needed; of a list of objects, jq -c '.[]' makes" \
    prepare "$dir/list.json" -o "$dir/1.h5"
printf '{\n  "text": "a"\n}\n' >"$dir/object.json"
refused 'where an object spans lines, jq -c . makes a line of it' prepare "$dir/object.json" -o "$dir/1.h5"

# ---- bytes that are not UTF-8, marks, what is no text ----

printf 'caf\351 and caf\303\251\n' >"$dir/latin.txt"
moira 0 prepare "$dir/latin.txt" -o "$dir/1.h5"
out_matches '^not UTF-8    1 byte, kept as it is$'
moira 0 inspect "$dir/1.h5"
out_matches '^not UTF-8    1 byte, kept as it is$'
printf '\357\273\277Marked text.\n' >"$dir/mark.txt"
moira 0 prepare "$dir/mark.txt" "$dir/text.txt" -o "$dir/1.h5" --json
is byte_order_marks 1
is text_bytes 13
printf 'a\000b' >"$dir/nul.txt"
refused "$dir/nul.txt: byte 1 is NUL: this is no text" prepare "$dir/nul.txt" -o "$dir/1.h5"
refused "$dir/c.h5: is a token file of Moira, not a text" prepare "$dir/c.h5" -o "$dir/1.h5"
printf '\377\376a\000' >"$dir/utf16.txt"
refused "$dir/utf16.txt: is in UTF-16, and UTF-8 is needed; iconv -f UTF-16 -t UTF-8 converts it" \
    prepare "$dir/utf16.txt" -o "$dir/1.h5"
refused "$dir/c.h5: is a token file of Moira, not a text" prepare "$dir/text.txt" "$dir/c.h5" -o "$dir/1.h5"

# ---- a tokenizer that is trained on the way ----

moira 0 prepare "$dir/text.txt" -o "$dir/sp.h5" --train-tokenizer 320 --save-tokenizer "$dir/sp.model"
out_matches '^tokenizer    sentencepiece, 320 ids, [0-9a-f]{32}$'
err_has 'moira prepare: training the tokenizer'
moira 0 prepare "$dir/text.txt" -o "$dir/sp2.h5" --tokenizer "$dir/sp.model"
same "$dir/sp.h5" "$dir/sp2.h5"
moira 0 prepare "$dir/text.txt" -o "$dir/sp2.h5" --tokenizer "$dir/sp.h5"
same "$dir/sp.h5" "$dir/sp2.h5"
head -c 3000 "$dir/sp.h5" >"$dir/half.h5"
refused "$dir/half.h5: is cut short" prepare "$dir/text.txt" -o "$dir/1.h5" --tokenizer "$dir/half.h5"
moira 0 inspect "$dir/sp.h5"
out_matches '^text         31\.9 KiB train, 3\.5 KiB validation, [12]\.[0-9]+ bytes per token$'
refused 'a vocabulary of 9000 is more than' prepare "$dir/text.txt" -o "$dir/1.h5" --train-tokenizer 9000
refused '--train-tokenizer: 100 is out of range' prepare "$dir/text.txt" -o "$dir/1.h5" --train-tokenizer 100
refused 'only one of them can be given' \
    prepare "$dir/text.txt" -o "$dir/1.h5" --train-tokenizer 320 --tokenizer bytes
refused "$dir/t.model: the bytes tokenizer has no model to save" \
    prepare "$dir/text.txt" -o "$dir/1.h5" --save-tokenizer "$dir/t.model"
refused "$dir/text.gz: " prepare "$dir/text.txt" -o "$dir/1.h5" --tokenizer "$dir/text.gz"

# ---- inputs that are none ----

: >"$dir/empty.txt" && : >"$dir/empty2.txt"
refused "$dir/empty.txt: is empty" prepare "$dir/empty.txt" -o "$dir/1.h5"
refused 'the corpus is empty: none of its 2 files has text' prepare "$dir/empty*.txt" -o "$dir/1.h5"
refused "$dir/none.txt: cannot open" prepare "$dir/none.txt" -o "$dir/1.h5"
refused "$dir/x*.txt: matches no file" prepare "$dir/text.txt" "$dir/x*.txt" -o "$dir/1.h5"
refused "$dir/c: no file in this folder or below has an extension of csv; left out 3 files of other kinds: .jsonl, .md, .png" \
    prepare "$dir/c" -o "$dir/1.h5" --ext csv
[ -e /proc/self/mem ] &&
    refused '/proc/self/mem: cannot read (Input/output error)' prepare /proc/self/mem -o "$dir/1.h5"
refused "moira prepare: $dir/none/a.h5: its folder $dir/none does not exist" prepare "$dir/c" -o "$dir/none/a.h5"
refused "$dir/c/a.jsonl: is there already and is not a token file" prepare "$dir/c" -o "$dir/c/a.jsonl"
refused 'extensions "txt" choose among the files of a folder' prepare "$dir/text.txt" -o "$dir/1.h5" --ext txt
for option in field separator ext; do
    refused "$(echo $option | sed s/ext/extensions/)" prepare "$dir/c" -o "$dir/1.h5" --$option ''
done
refused 'is empty, a name is needed' prepare "$dir/c" -o "$dir/1.h5" --field ''
refused "--tokenizer: '' is not bytes" prepare "$dir/c" -o "$dir/1.h5" --tokenizer ''
refused 'the file for the tokenizer: is empty' prepare "$dir/c" -o "$dir/1.h5" --train-tokenizer 300 --save-tokenizer ''
ln -s nowhere "$dir/dangling.txt"
refused "$dir/dangling.txt: is a link that leads nowhere" prepare "$dir/dangling.txt" -o "$dir/1.h5"
rm "$dir/dangling.txt"
refused "--format: 'json' is none; it is auto, text or jsonl" prepare "$dir/c" -o "$dir/1.h5" --format json
printf x >"$dir/x.txt"
refused "$dir/x.txt: of its 1 byte of text none is left to train on" prepare "$dir/x.txt" -o "$dir/1.h5"
[ -d /proc/self ] && refused 'moira prepare: /proc/a.h5: cannot create' prepare "$dir/text.txt" -o /proc/a.h5

# ---- interrupted: what was there stays, and nothing is left beside it ----

ran='interrupted prepare'
head -c 10000000 /dev/urandom | od -An -v -tx1 >"$dir/long.txt"
cp "$dir/c.h5" "$dir/kept.h5"
"$MOIRA" prepare "$dir/long.txt" -o "$dir/c.h5" --compression 9 >"$out" 2>"$err" &
pid=$!
for wait in $(seq 100); do
    [ "$(ls -A "$dir" | grep -c 'c\.h5\.')" -gt 0 ] && break
    sleep 0.05
done
kill -INT $pid
wait $pid
[ $? -eq 130 ] || fail "$ran: not exit status 130"
err_has "moira prepare: interrupted; $dir/c.h5 is not written"
err_has 'stopping; a second signal leaves at once'
same "$dir/c.h5" "$dir/kept.h5"
ls -A "$dir" | grep -F 'c.h5.' && fail "$ran: left a file behind"
finish
