#!/bin/sh
# run.sh PROGRAM... -- runs test programs (cmocka) and shell tests (*.sh) one after another from the
# repository's root, shows the output of those that fail, and ends with one count over all of them.
#   TEST_TIMEOUT   seconds a program may take (300)
#   TEST_THREADS   OpenMP threads (2)
#   TEST_WRAPPER   put in front of each cmocka program (valgrind ...)
# A cmocka program counts its cases. A shell test (POSIX sh) counts as one: exit 0 passed, 77 skipped, else failed.
cd "$(dirname "$0")/.." || exit 2
OMP_NUM_THREADS=${TEST_THREADS:-2}
export OMP_NUM_THREADS
# Threads that wait do not spin: tests have small regions, and cores to share with each other.
OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
export OMP_WAIT_POLICY
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0 skipped=0

# cmocka reports each case on stdout and repeats the failures on stderr: only stdout is counted.
cases() { grep -c "^\[ *$1 *\] [^ ]*\$" "$scratch/out"; }

run_one() {
    case $1 in
    *.sh) timeout -k 10 "${TEST_TIMEOUT:-300}" sh "$1" ;;
    *) timeout -k 10 "${TEST_TIMEOUT:-300}" ${TEST_WRAPPER:-} "$1" ;;
    esac >"$scratch/out" 2>"$scratch/err" </dev/null
}

for program in "$@"; do
    start=$(date +%s%N)
    run_one "$program"
    code=$?
    took=$((($(date +%s%N) - start) / 1000000))
    case $program in
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
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    verdict=ok
    [ "$s" -gt 0 ] && verdict="$s skipped"
    [ "$f" -gt 0 ] && verdict=FAILED
    [ "$code" -eq 124 ] && verdict="FAILED: out of time"
    printf '%6d ms  %-50s %3d  %s\n' "$took" "$program" $((p + f + s)) "$verdict"
    if [ "$f" -gt 0 ]; then
        grep -v '^\[ *\(RUN\|OK\) *\]' "$scratch/out" | sed 's/^/    /'
        sed 's/^/    /' "$scratch/err"
        echo "    exit status $code"
    elif [ "$s" -gt 0 ]; then
        # Why: what it said besides cmocka's own lines.
        cat "$scratch/out" "$scratch/err" | grep -v '^\[\|SKIPPED TEST\|^ *$' | sort -u | sed 's/^/    /'
    fi
done

printf '%d passed, %d failed' "$passed" "$failed"
[ "$skipped" -gt 0 ] && printf ', %d skipped' "$skipped"
echo
[ "$failed" -eq 0 ]
