# lib.sh -- what the shell tests share; read with `. tests/e2e/lib.sh`, never run by itself.
#
#   moira 2 train none.yaml           runs the program; its exit status must be 2; output in $out and $err
#   out_has 'text'; err_has 'text'    the last run's stdout or stderr must contain the text
#   refused 'text' train none.yaml    status 2, stderr has `moira train: ` and the text, nothing on stdout, and no
#                                     file in $dir was made, changed or removed
#   finish                            last line of a test: its exit status
#
# Programs run with one thread, on files in $dir, which goes away at the end.
: "${MOIRA:?set MOIRA to the program to test}"
OMP_NUM_THREADS=1
LC_ALL=C
export OMP_NUM_THREADS LC_ALL
unset COLUMNS
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
out=$dir/.out err=$dir/.err ran= failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

show() {
    [ -s "$out" ] && sed 's/^/  out: /' "$out"
    [ -s "$err" ] && sed 's/^/  err: /' "$err"
    return 0
}

moira() {
    wanted=$1
    shift
    ran="moira $*"
    "$MOIRA" "$@" >"$out" 2>"$err" </dev/null
    code=$?
    [ "$code" -eq "$wanted" ] && return 0
    fail "$ran: exit status $code, expected $wanted"
    show
    return 1
}

has() {
    grep -qF -e "$2" "$1" && return 0
    fail "$ran: no '$2' in its $3"
    show
    return 1
}
out_has() { has "$out" "$1" output; }
err_has() { has "$err" "$1" messages; }
out_matches() {
    grep -qE -e "$1" "$out" && return 0
    fail "$ran: no line of its output matches '$1'"
    show
}

snapshot() { find "$dir" ! -path "$out" ! -path "$err" ! -path "$dir/.[ab]" -exec cksum {} + 2>&1 | sort; }

refused() {
    text=$1
    shift
    snapshot >"$dir/.b"
    moira 2 "$@" || return
    err_has "moira $1: "
    err_has "$text"
    snapshot >"$dir/.a"
    diff "$dir/.b" "$dir/.a" || fail "$ran: touched files although it was refused"
    [ -s "$out" ] && fail "$ran: printed results although it was refused"
    return 0
}

# same FILE FILE
same() { cmp -s "$1" "$2" || fail "$ran: $1 and $2 differ"; }

finish() {
    [ "$failures" -eq 0 ]
    exit
}

# A text of 40 KiB, and a config of a model that trains on it in a second. extends: it in others.
small_text() {
    i=0
    while [ $i -lt 640 ]; do
        i=$((i + 1))
        echo "Line $i of $((i * 7919 % 1000)): the quick brown fox jumps over the dog."
    done >"$dir/text.txt"
}

small_config() {
    cat >"$dir/small.yaml" <<END
run: {name: small, dir: $dir/run, threads: 1}
data: {path: $dir/text.h5}
model: {hidden_size: 32, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2,
        num_local_experts: 4, num_experts_per_tok: 2}
balance: {switch: 0.01, z_loss: 0.001}
train: {steps: 20, batch_size: 4, sequence_length: 32}
optimizer: {learning_rate: 3.0e-3}
schedule: {warmup_steps: 5}
eval: {every: 10}
checkpoint: {every: 10}
sample: {tokens: 20}
log: {every: 5}
END
}
