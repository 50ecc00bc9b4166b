# configs/models: moira inspect prints what each file says of itself, however large the model, and allocates no weights.
. tests/e2e/lib.sh

# The comment that a config begins with, as one line.
comment() { sed -n '/^#/!q; s/^# *//p' "$1" | tr '\n' ' '; }

# A weight of these models takes more than this address space has; sanitizers take all of it for themselves.
case $MOIRA in */asan/* | */tsan/*) ;; *) ulimit -v 2000000 ;; esac

number='[0-9][0-9,]*'
for config in configs/models/*.yaml; do
    moira 0 inspect "$config" --memory || continue
    said=$(comment "$config" | sed -n "s/.*[ :]\($number\) parameters, of which a token uses \($number\)\..*/\1 \2/p
                                       s/.*[ :]\($number\) parameters, of which a token uses \($number\) (.*/\1 \2/p
                                       s/.* in a model of \($number\) parameters.*/\1/p")
    shown=$(sed -n "s/^parameters  *\($number\), of which a token uses \($number\)\$/\1 \2/p" "$out")
    case $config in *-tiny.yaml) shown=${shown%% *} ;; esac
    [ -n "$said" ] && [ "$said" = "$shown" ] || fail "$config says it has '$said' parameters, moira inspect '$shown'"
    # What a user does with it.
    printf 'extends: %s\nrun: {name: mine}\nmodel: {num_hidden_layers: 3}\n' "$PWD/$config" >"$dir/mine.yaml"
    moira 0 inspect "$dir/mine.yaml"
    out_matches 'run mine$'
    out_matches '^model  *3 layers of '
done
[ "$ran" ] || fail 'there are no presets'
finish
