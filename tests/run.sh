#!/bin/sh
# run.sh PROGRAM... -- runs test programs (cmocka) and shell tests (*.sh) from the repository's root, several at a
# time, shows the output of those that fail, and ends with one count over all of them.
#   TEST_JOBS      tests at a time (one for each core)
#   TEST_TIMEOUT   seconds a program may take (300)
#   TEST_THREADS   OpenMP threads of each (2)
#   TEST_WRAPPER   put in front of each cmocka program (valgrind ...)
# tests/run_one.sh has what a test is and how it is counted.
cd "$(dirname "$0")/.." || exit 2
OMP_NUM_THREADS=${TEST_THREADS:-2}
export OMP_NUM_THREADS
# Threads that wait do not spin: tests have small regions, and cores to share with each other. A core that nothing else
# keeps busy takes long to wake, which is why one test at a time is slower than its work.
OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
export OMP_WAIT_POLICY
TEST_SCRATCH=$(mktemp -d) || exit 2
export TEST_SCRATCH
trap 'rm -rf "$TEST_SCRATCH"' EXIT
trap 'exit 130' INT TERM

[ "$#" -eq 0 ] || printf '%s\0' "$@" | xargs -0 -n 1 -P "${TEST_JOBS:-$(nproc)}" tests/run_one.sh

# A line for each test that ended: passed, failed, skipped. One that left none did not end.
cat "$TEST_SCRATCH"/*.count 2>/dev/null | awk -v tests="$#" '
    { passed += $1; failed += $2; skipped += $3 }
    END {
        failed += tests - NR
        printf "%d passed, %d failed%s\n", passed, failed, skipped ? sprintf(", %d skipped", skipped) : ""
        exit failed > 0
    }'
