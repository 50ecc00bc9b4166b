#!/bin/sh
# gradcheck_table.sh [-q] DIR -- what gradient checks recorded in DIR (tests/harness/gradcheck.c: op, case, error), as
# a table of the worst error of each op of src/ops/list.h, then of what else was checked (ops put together).
# Exit 1, with their names, if ops have no case. -q: says only what is wrong.
quiet=0
[ "$1" = -q ] && { quiet=1; shift; }
dir=$(cd "$1" && pwd) || exit 2
cd "$(dirname "$0")/.." || exit 2
cat "$dir"/* 2>/dev/null | awk -F '\t' -v quiet="$quiet" '
FNR == NR { if (match($0, /^ *X\([a-z0-9_]+\)/)) { name = $0; sub(/^ *X\(/, "", name); sub(/\).*/, "", name); op[++n] = name; known[name] = listed = 1 }; next }
!($1 in known) { op[++n] = $1; known[$1] = 1 }
{ cases[$1]++; if (cases[$1] == 1 || $3 + 0 > worst[$1] + 0) worst[$1] = $3 }
END {
    if (!listed) { print "gradcheck: no ops found in src/ops/list.h"; exit 1 }
    for (i = 1; i <= n; i++) {
        if (!(op[i] in cases)) { print "gradcheck: no case for the op " op[i]; bad = 1 }
        else if (!quiet) printf "  %-20s %3d cases  %s\n", op[i], cases[op[i]], worst[op[i]] < 0 ? "no gradient" : "worst error " worst[op[i]]
    }
    exit bad
}' src/ops/list.h -
