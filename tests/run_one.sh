#!/bin/sh
# run_one.sh PROGRAM -- runs one test for run.sh, which sets the environment: prints a line about it, and its output if
# it failed, in one piece; leaves its count of passed, failed and skipped cases in $TEST_SCRATCH.
# A cmocka program counts its cases. A shell test (POSIX sh) counts as one: exit 0 passed, 77 skipped, else failed.
scratch=$TEST_SCRATCH/test.$(printf "%s" "$1" | tr / .)

# cmocka reports each case on stdout and repeats the failures on stderr: only stdout is counted.
cases() { grep -c "^\[ *$1 *\] [^ ]*\$" "$scratch.out"; }

start=$(date +%s%N)
case $1 in
*.sh) timeout -k 10 "${TEST_TIMEOUT:-300}" sh "$1" ;;
*) timeout -k 10 "${TEST_TIMEOUT:-300}" ${TEST_WRAPPER:-} "$1" ;;
esac >"$scratch.out" 2>"$scratch.err" </dev/null
code=$?
took=$((($(date +%s%N) - start) / 1000000))
case $1 in
*.sh)
    p=0 f=0 s=0
    case $code in 0) p=1 ;; 77) s=1 ;; *) f=1 ;; esac
    ;;
*)
    p=$(cases OK) f=$(cases FAILED) s=$(cases SKIPPED)
    # A crash, a time-out, a failed group setup, or a program that tests nothing.
    if [ "$f" -eq 0 ] && { [ "$code" -ne 0 ] || [ $((p + s)) -eq 0 ]; }; then f=1; fi
    ;;
esac
verdict=ok
[ "$s" -gt 0 ] && verdict="$s skipped"
[ "$f" -gt 0 ] && verdict=FAILED
[ "$code" -eq 124 ] && verdict="FAILED: out of time"
{
    printf '%6d ms  %-50s %3d  %s\n' "$took" "$1" $((p + f + s)) "$verdict"
    if [ "$f" -gt 0 ]; then
        grep -v '^\[ *\(RUN\|OK\) *\]' "$scratch.out" | sed 's/^/    /'
        sed 's/^/    /' "$scratch.err"
        echo "    exit status $code"
    elif [ "$s" -gt 0 ]; then
        # Why: what it said besides cmocka's own lines.
        cat "$scratch.out" "$scratch.err" | grep -v '^\[\|SKIPPED TEST\|^ *$' | sort -u | sed 's/^/    /'
    fi
} >"$scratch.told"
cat "$scratch.told"
echo "$p $f $s" >"$scratch.count"
exit 0
