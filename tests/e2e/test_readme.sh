# README.md: its table of config keys says what `moira help config` says; routers, losses and presets are all in theirs.
. tests/e2e/lib.sh

moira 0 help config
awk '/^[a-z]+: / { sub(":.*", ""); section = $0 "." }
     /^keys at the top / { section = "" }
     # A key; the sentence about it stands in the next line.
     /^  [a-z]/ {
         name = "`" section $1 "`"
         initial = $2 == "required" ? "**required**" : "`" $2 "`"
         takes = $0
         sub(/^ *[^ ]+ +[^ ]+ +/, "", takes)
         if (sub(/ \+$/, "", takes)) name = name " +"
         getline
         while ($0 ~ /^        /) { # a long list goes on
             sub(/^ +/, "")
             takes = takes " " $0
             getline
         }
         sub(/^ +/, "")
         print "| " name " | " initial " | " takes " | " $0 " |"
     }' "$out" >"$dir/want"
sed -n '/^| key | default |/,/^$/p' README.md | sed '1,2d; /^$/d' >"$dir/table"
[ "$(wc -l <"$dir/want")" -gt 80 ] || fail "$ran: few keys"
diff "$dir/want" "$dir/table" || fail "README.md: its table of keys (>) is not as in moira help config (<)"

# row NAME 'of what': a row of a table begins with it
row() { grep -qF "| \`$1\` |" README.md || fail "README.md: no row of $2 $1"; }
for router in $("$MOIRA" help routers | grep '^[a-z_]*$'); do row "$router" router; done
for loss in $("$MOIRA" help losses | grep '^[a-z_]*$'); do row "$loss" loss; done
for preset in configs/models/*.yaml; do
    name=$(basename "$preset" .yaml)
    case $name in *-tiny) continue ;; esac
    moira 0 inspect "$preset"
    counts=$(sed -n 's/^parameters  *\([0-9,]*\), of which a token uses \([0-9,]*\)$/\1 | \2/p' "$out")
    grep -qF "| \`$name\` | $counts |" README.md || fail "README.md: no row of $name with $counts"
done
finish
