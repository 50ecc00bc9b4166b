# moira prepare on instruction data: each shape of line, templates, lengths, what is wrong is named and nothing is left
# behind; the files train, and moira generate --chat speaks with what came of it.
. tests/e2e/lib.sh
small_text

line() { printf '{"prompt": "%s", "completion": "%s"}\n' "$1" "$2"; }
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do line "Say $i." "It is $i."; done >"$dir/a.jsonl"

# ---- what it prints ----

moira 0 prepare "$dir/a.jsonl" -o "$dir/a.h5"
err_has 'the first line is a conversation, so all are taken for such; --field prepares the text of a field'
out_matches '^template     mixtral$'
out_matches '^train        [0-9]+ tokens in 18 conversations$'
out_matches '^validation   [0-9]+ tokens in 2 conversations$'
out_matches '^prompts      22 to 23 tokens, median 23$'
out_matches '^completions  10 to 11 tokens, median 11: 31.9% of the tokens, and these are learnt$'
out_matches '^train        conversations of 32 to 34 tokens, median 34$'
out_matches '^ *32 to 63 +18 +2  #+$'
moira 0 inspect "$dir/a.h5" --verify
out_has "prepared from $dir/a.jsonl, conversations by mixtral"
out_matches '^learnt       211 tokens, 31.9% of the tokens: completions and their ends$'
out_matches '^train        596 tokens of 1 byte in 18 conversations$'
moira 0 inspect "$dir/a.h5" --json
out_has '"tokens_learnt": '
moira 0 prepare "$dir/a.jsonl" -o "$dir/b.h5" --chat
[ -s "$err" ] && fail "$ran: says something, though --chat was given"
same "$dir/a.h5" "$dir/b.h5"
sed 's/"prompt"/"q"/; s/"completion": \("[^"]*"\)/"a": {"b": \1}/' "$dir/a.jsonl" >"$dir/q.jsonl"
moira 0 prepare "$dir/q.jsonl" -o "$dir/b.h5" --prompt-field q --completion-field a.b --json
out_has '"template": "mixtral"'
out_has '"share_learnt": 0.3187'
gzip -c "$dir/a.jsonl" >"$dir/p.jsonl.gz"
moira 0 prepare "$dir/p.jsonl.gz" "$dir/a.jsonl" -o "$dir/b.h5"
out_matches '^train        1,192 tokens in 36 conversations$'
moira 0 prepare "$dir/a.jsonl" -o "$dir/b.h5" --field prompt
out_matches '^train        [0-9]+ tokens in 18 documents$'

# ---- tokenizers and templates ----

moira 0 prepare "$dir/a.jsonl" "$dir/q.jsonl" -o "$dir/t.h5" --chat --skip-bad --train-tokenizer 290
out_matches '^left out     20 lines that are no conversation or have nothing to learn$'
mkdir "$dir/hf"
moira 0 prepare "$dir/text.txt" -o "$dir/x.h5" --train-tokenizer 300 --save-tokenizer "$dir/hf/tokenizer.model"
moira 0 prepare "$dir/a.jsonl" -o "$dir/b.h5" --tokenizer "$dir/hf"
out_matches '^tokenizer    sentencepiece, 300 ids'
moira 0 prepare "$dir/a.jsonl" -o "$dir/b.h5" --template configs/templates/plain.json
out_matches '^template     plain.json$'
refused 'template configs/templates/chatml.json: "system": {<|im_start|>}: the tokenizer has no such token' \
    prepare "$dir/a.jsonl" -o "$dir/c.h5" --template configs/templates/chatml.json
refused "'mixtrall' is no template" prepare "$dir/a.jsonl" -o "$dir/c.h5" --template mixtrall
echo '{"user": "{content}", "assistent": "{content}{eos}"}' >"$dir/t.json"
refused 't.json: template: has an unknown key "assistent"' prepare "$dir/a.jsonl" -o "$dir/c.h5" --template "$dir/t.json"

# ---- lengths ----

refused "$dir/a.jsonl: line 10: the conversation has 34 tokens, and --max-length is 33; --truncate cuts it. Others may be longer" \
    prepare "$dir/a.jsonl" -o "$dir/c.h5" --max-length 33
moira 0 prepare "$dir/a.jsonl" -o "$dir/b.h5" --max-length 33 --skip-bad
err_has 'warning: left out: '
out_matches '^left out     11 conversations for their length$'
moira 0 prepare "$dir/a.jsonl" -o "$dir/b.h5" --max-length 33 --truncate
out_matches '^truncated    11 conversations: 0 exchanges of the end left out, 11 completions cut$'
out_matches '^train        conversations of 32 to 33 tokens, median 33$'
refused 'line 1: the first prompt has 22 tokens, and --max-length is 20' \
    prepare "$dir/a.jsonl" -o "$dir/c.h5" --max-length 20 --truncate
refused 'no conversation is left to train on, 20 are left out' \
    prepare "$dir/a.jsonl" -o "$dir/c.h5" --max-length 20 --truncate --skip-bad
refused '--truncate: cuts to --max-length, which is not given' prepare "$dir/a.jsonl" -o "$dir/c.h5" --truncate

# ---- what is wrong ----

# bad 'message' LINE: as the third line of a file.
bad() {
    { head -n 2 "$dir/a.jsonl" && printf '%s\n' "$2" && head -n 2 "$dir/a.jsonl"; } >"$dir/bad.jsonl"
    refused "$dir/bad.jsonl: line 3: $1" prepare "$dir/bad.jsonl" -o "$dir/c.h5"
    moira 0 prepare "$dir/bad.jsonl" -o "$dir/left.h5" --skip-bad
    err_has "warning: left out: $dir/bad.jsonl: line 3: $1"
    out_matches '^left out     1 line that is no conversation or has nothing to learn$'
}
bad 'is not JSON' '{"prompt": "x", '
bad 'has no field "completion"; it has "prompt"; --prompt-field and --completion-field name others' '{"prompt": "x"}'
bad 'field "completion" is empty: there is no completion to learn' '{"prompt": "x", "completion": ""}'
bad 'is no conversation: has neither "messages" nor "prompt" and "completion"; it has "text"' '{"text": "x"}'
bad 'message 1: role "human" is unknown; there are system, user and assistant' \
    '{"messages": [{"role": "human", "content": "x"}]}'
bad 'ends with a message of role "user"' '{"messages": [{"role": "user", "content": "x"}]}'
bad 'message 2: the assistant says nothing' \
    '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}]}'
bad 'message 2 is of role "user", "assistant" was to come' \
    '{"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}'
refused 'line 1: has no field "text"; it has "q", "a"' prepare "$dir/q.jsonl" -o "$dir/c.h5"
err_has 'name a prompt and what answers it'
refused "$dir/text.txt: is a text, conversations are lines of JSONL" prepare "$dir/text.txt" -o "$dir/c.h5" --chat
refused '--field: is of texts' prepare "$dir/a.jsonl" -o "$dir/c.h5" --chat --field prompt
# What was there stays.
cp "$dir/a.h5" "$dir/keep.h5"
echo '{"prompt": "x"}' >>"$dir/a.jsonl"
refused 'line 21: has no field "completion"' prepare "$dir/a.jsonl" -o "$dir/a.h5"
same "$dir/a.h5" "$dir/keep.h5"

# ---- a conversation ----

small_config
sed "s/text.h5/ok.h5/; s/steps: 20, batch_size: 4, sequence_length: 32/steps: 60, batch_size: 4, sequence_length: 64/
    s/3.0e-3/1.0e-2/; s/num_experts_per_tok: 2/num_experts_per_tok: 2, max_position_embeddings: 96/" \
    "$dir/small.yaml" >"$dir/chat.yaml"
i=0
while [ $i -lt 40 ]; do i=$((i + 1)) && line "Say $i." ok; done >"$dir/ok.jsonl"
moira 0 prepare "$dir/ok.jsonl" -o "$dir/ok.h5"
moira 0 train "$dir/chat.yaml" sample.tokens=0
model=$dir/run/best.h5

# chat STATUS INPUT OPTION...: turns through a pipe.
chat() {
    wanted=$1 input=$2
    shift 2
    ran="printf '$input' | moira generate $model --chat $*"
    # shellcheck disable=SC2059
    printf "$input" | "$MOIRA" generate "$model" --chat "$@" >"$out" 2>"$err"
    code=$?
    [ $code -eq "$wanted" ] || { fail "$ran: exit status $code, expected $wanted" && show; }
}
says() { [ "$(cat "$out")" = "$1" ] || { fail "$ran: does not say '$1'" && show; }; }
# Replies and nothing else; blank lines say nothing; the last line needs no end.
chat 0 'Say 3.\n\nSay 4.\r\nSay 5.' --temperature 0
says "ok
ok
ok"
err_has 'the context is full: the oldest '
chat 0 'not read\n' --temperature 0 --prompt 'Say 7.'
says ok
[ -s "$err" ] && fail "$ran: says something"
chat 0 '' --temperature 0
says ''
chat 0 'Say 3.\n' --temperature 0 --max-tokens 2
says o
err_has 'the reply is cut after 2 tokens (--max-tokens)'
chat 0 'Say 3.\n' --temperature 0 --system 'Be brief.'
says ok
chat 2 'Say 3.\na\000b\nSay 4.\n' --temperature 0
says ok
err_has 'moira generate: message 1 (user) has the text of {eos}'
chat 2 "$(printf '%0100d' 0)\n"
says ''
err_has 'moira generate: the message has 116 tokens with what the template adds, and the model'
chat 2 'x\n' --template configs/templates/chatml.json
err_has 'the tokenizer has no such token'
chat 2 'x\n' --template none.json
err_has "'none.json' is no template"
chat 2 'x\n' --tokens
err_has '--tokens: a conversation is shown as text'
echo '{"user": "{content}:", "assistant": "{content}{eos}"}' >"$dir/t.json"
chat 2 'x\n' --template "$dir/t.json" --system x
err_has 'message 1 is a system message, and the template has no "system"'
refused '--prompt TEXT is missing' generate "$model"
refused '--system: is of conversations, and --chat is not given' generate "$model" --prompt x --system y

finish
