# moira completion: the scripts, asked by a shell as the shell would ask them.
. tests/e2e/lib.sh

for shell in bash zsh; do
    moira 0 completion $shell
    cp "$out" "$dir/moira.$shell"
done
refused "'fish' is none of the shells: bash, zsh" completion fish
refused 'bash or zsh is missing' completion

# ask SHELL 'what is typed': the replies, sorted, on one line in $replies
cat >"$dir/ask.bash" <<'END'
source "$1" || exit 1
COMP_LINE=$2 COMP_POINT=${#2}
_moira
printf '%s\n' "${COMPREPLY[@]}"
END
# Outside of a completion zsh has no compadd and no _files; these do their part.
cat >"$dir/ask.zsh" <<'END'
compdef() { :; }
compset() { PREFIX=${PREFIX#*=}; }
compadd() { while [[ $1 != -- ]]; do shift; done; shift; for w; do [[ $w == $PREFIX* ]] && print -r -- $w; done; }
_files() { print -rl -- ${PREFIX}*(N); }
source "$1" || exit 1
words=("${(@)${(s: :)2}}") PREFIX=
[[ $2 == *' ' ]] || { PREFIX=$words[-1]; words[-1]=(); }
CURRENT=$(($#words + 1))
_moira
END
ask() {
    ran="$1: $2"
    case $1 in bash) flags=-u ;; *) flags=-f ;; esac
    replies=$(cd "$dir/files" && "$1" $flags "$dir/ask.$1" "$dir/moira.$1" "$2" 2>"$err" | grep . | sort | tr '\n' ' ')
    [ -s "$err" ] && fail "$ran complained" && show
    return 0
}
# replies SHELL 'typed' 'all the replies'
replies() {
    ask "$1" "$2"
    [ "${replies% }" = "$3" ] || fail "$ran: '$replies', expected '$3'"
}
among() {
    ask "$1" "$2"
    case " $replies" in *" $3 "*) ;; *) fail "$ran: '$replies', without '$3'" ;; esac
}

mkdir "$dir/files" "$dir/files/more"
touch "$dir/files/demo.yaml" "$dir/files/data.h5"
asked=
for shell in bash zsh; do
    command -v $shell >/dev/null || { echo "no $shell: its script was not tried" && continue; }
    asked=1
    $shell -n "$dir/moira.$shell" || fail "$shell -n"
    for command in $("$MOIRA" help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
        among $shell 'moira ' "$command"
        among $shell "moira $command -" --help
        for option in $("$MOIRA" help "$command" | grep -o '^  [-o, ]*--[a-z-]*' | grep -o -e '--.*'); do
            among $shell "moira $command ${option%?}" "$option"
        done
    done
    replies $shell 'moira tr' train
    replies $shell 'moira train de' demo.yaml
    replies $shell 'moira train ' 'data.h5 demo.yaml more'
    replies $shell 'moira eval --data da' data.h5
    replies $shell 'moira eval x.h5 --data=da' data.h5
    replies $shell 'moira synth -o d' 'data.h5 demo.yaml'
    replies $shell 'moira synth --output d' 'data.h5 demo.yaml'
    replies $shell 'moira synth d' ''
    replies $shell 'moira prepare x --tokenizer b' bytes
    replies $shell 'moira eval --split ' 'train validation'
    replies $shell 'moira eval --split=t' train
    replies $shell 'moira generate x.h5 --seed ' ''
    replies $shell 'moira train demo.yaml bal' balance.
    replies $shell 'moira train demo.yaml balance.s' 'balance.scope= balance.sequence= balance.switch= balance.switch_scope='
    replies $shell 'moira train demo.yaml model.router=n' noisy_topk
    replies $shell 'moira inspect demo.yaml train.recompute=' 'block full none'
    replies $shell 'moira train demo.yaml model.norm_topk_prob=' 'default false true'
    replies $shell 'moira train demo.yaml data.path=m' more
    replies $shell 'moira train demo.yaml train.steps=' ''
    replies $shell 'moira help config balance.z' balance.z_loss
    replies $shell 'moira help in' inspect
    replies $shell 'moira help rou' routers
    replies $shell 'moira help routers noisy' noisy_topk
    replies $shell 'moira help losses i' importance
    replies $shell 'moira completion ' 'bash zsh'
    replies $shell 'moira nothing ' ''
done
[ "$asked" ] || exit 77
finish
