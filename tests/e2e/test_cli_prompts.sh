# Many prompts at once: moira generate --prompts, and how fast that is: moira bench --generate.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"
moira 0 train "$dir/small.yaml" sample.tokens=0
best=$dir/run/best.h5

# ---- each text is the one that it would be alone ----

printf 'The quick\nA\nover the lazy dog and on\n\303\244\nQ"\\\nfox' >"$dir/six.txt"
moira 0 generate "$best" --prompts "$dir/six.txt" --max-tokens 30 --temperature 0
cp "$out" "$dir/greedy"
i=0
: >"$dir/alone"
while IFS= read -r prompt || [ -n "$prompt" ]; do
    i=$((i + 1))
    moira 0 generate "$best" --prompt "$prompt" --max-tokens 30 --temperature 0
    { echo "--- prompt $i ---" && cat "$out"; } >>"$dir/alone"
done <"$dir/six.txt"
[ $i -eq 6 ] || fail 'not six prompts'
same "$dir/greedy" "$dir/alone"

moira 0 generate "$best" --prompts "$dir/six.txt" --max-tokens 30 --seed 5
cp "$out" "$dir/drawn"
for batch in 1 2 5; do
    moira 0 generate "$best" --prompts "$dir/six.txt" --max-tokens 30 --seed 5 --batch $batch --threads 2
    same "$out" "$dir/drawn"
done
ran="printf | moira generate --prompts -"
"$MOIRA" generate "$best" --prompts - --max-tokens 30 --seed 5 <"$dir/six.txt" >"$out" 2>"$err" || fail "$ran: failed"
same "$out" "$dir/drawn"
moira 0 generate "$best" --prompt 'The quick' --max-tokens 30 --seed 5
{ echo '--- prompt 1 ---' && cat "$out"; } >"$dir/alone"
head -c "$(wc -c <"$dir/alone")" "$dir/drawn" >"$dir/first"
same "$dir/first" "$dir/alone"

# More than there are places, the same prompt: other draws each time.
i=0
while [ $i -lt 40 ]; do i=$((i + 1)) && echo 'The '; done >"$dir/forty.txt"
moira 0 generate "$best" --prompts "$dir/forty.txt" --max-tokens 12 --tokens --temperature 2
[ "$(grep -c '^--- prompt' "$out")" -eq 40 ] || fail "$ran: not 40 texts"
[ "$(grep -v '^---' "$out" | sort -u | wc -l)" -gt 30 ] || fail "$ran: texts are alike"
[ "$(grep -c '^84 104 101 32\( [0-9]*\)\{12\}$' "$out")" -eq 40 ] || fail "$ran: not the prompt and 12 ids"

# ---- objects ----

printf '%s\n' '{"prompt": "The quick"}' '' '{"id": 7, "prompt": "A"}' '{"prompt": "over the lazy dog and on"}' \
    '{"prompt": "\u00e4"}' '{"prompt": "Q\"\\"}' '{"prompt": "fox"}' >"$dir/six.jsonl"
moira 0 generate "$best" --prompts "$dir/six.jsonl" --max-tokens 30 --temperature 0
same "$out" "$dir/greedy"
moira 0 generate "$best" --prompts "$dir/six.jsonl" --max-tokens 30 --temperature 0 --json
[ "$(wc -l <"$out")" -eq 6 ] || fail "$ran: not six lines"
out_matches '^\{"prompt":"The quick","text":".+","tokens":30,"end":"max-tokens"\}$'
out_matches '^\{"prompt":"\\u00[eE]4","text":".+","tokens":30,"end":"max-tokens"\}$'
out_matches '^\{"prompt":"Q\\"\\\\","text":"'
moira 0 generate "$best" --prompts "$dir/six.jsonl" --max-tokens 2 --json --tokens
out_matches '^\{"prompt":"A","ids":\[[0-9]+,[0-9]+\],"tokens":2,"end":"max-tokens"\}$'
moira 0 generate "$best" --prompts "$dir/six.jsonl" --max-tokens 0 --json
out_matches '^\{"prompt":"fox","text":"","tokens":0,"end":"max-tokens"\}$'

# ---- mistakes name the file and the line ----

printf 'a\n\nb\n' >"$dir/empty.txt"
refused "$dir/empty.txt:2: is empty; this model goes on from at least one token" generate "$best" --prompts "$dir/empty.txt"
printf '{"prompt": "a"}\n{"prompt": 3}\n' >"$dir/bad.jsonl"
refused "$dir/bad.jsonl:2: has no \"prompt\" that is a string" generate "$best" --prompts "$dir/bad.jsonl"
printf '{"prompt": "a"}\n\n{"prompt": "b"\n' >"$dir/bad.jsonl"
refused "$dir/bad.jsonl:3: is no JSON object" generate "$best" --prompts "$dir/bad.jsonl"
: >"$dir/none.txt"
refused "$dir/none.txt: holds no prompt" generate "$best" --prompts "$dir/none.txt"
refused "$dir/away.txt" generate "$best" --prompts "$dir/away.txt"
refused '--prompts does not go with --prompt' generate "$best" --prompts "$dir/six.txt" --prompt x
refused '--prompts does not go with --chat' generate "$best" --prompts "$dir/six.txt" --chat
refused '--json: is of --prompts, which is not given' generate "$best" --prompt x --json
refused '--batch: is of --prompts, which is not given' generate "$best" --prompt x --batch 2
refused '--batch' generate "$best" --prompts "$dir/six.txt" --batch 17
ran='moira generate --prompts | head -c 5'
{
    "$MOIRA" generate "$best" --prompts "$dir/forty.txt" --max-tokens 50 --batch 1 2>"$err"
    echo $? >"$dir/code"
} | head -c 5 >"$out"
[ "$(cat "$dir/code")" = 0 ] || fail "$ran: exit status $(cat "$dir/code")"
[ -s "$err" ] && fail "$ran: complained" && show

# ---- how fast ----

for what in "$best" "$dir/small.yaml"; do
    moira 0 bench "$what" --generate --steps 2 --threads 1
    out_matches '^ +1 +[0-9.]+ \([0-9.]+ to [0-9.]+\) +[0-9.]+  x1.00$'
    out_matches '^ +16 +[0-9.]+ \('
    out_matches '^reads +[0-9.]+ [KM]iB for a token'
    out_matches '^bandwidth +[0-9.]+ GB/s, [0-9.]+% of the [0-9.]+ GB/s'
    out_matches '^prompt +[0-9.]+ tokens/s'
done
moira 0 bench "$best" --generate --steps 2 --json
for key in tokens_per_second active_bytes read_gbytes_per_second share_of_bandwidth prompt_tokens_per_second batches; do
    out_has "\"$key\": "
done
refused '--generate goes with' bench "$dir/small.yaml" --generate --skew 0.5
refused 'max_position_embeddings is' bench "$dir/small.yaml" --generate --steps 1000000
finish
