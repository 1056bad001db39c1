#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every test; a closing line of counts; fails if anything failed, or, as root, if anything
# was skipped.  Emulated kernels, which wait for themselves, run beside the fuzzers, and
# system tests two files at a time (tests/bats/run.sh).
set -uo pipefail
unset F # all of it
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
make=${MAKE:-make}
passed=0 failed=0 skipped=0
started=$SECONDS

part() { # NAME COMMAND...: counts as one test
	local name=$1
	shift
	echo "== $name"
	if "$@"; then
		passed=$((passed + 1))
	else
		echo "FAILED: $name"
		failed=$((failed + 1))
	fi
}

part lint $make --no-print-directory lint
part "unit tests, ASan and UBSan" $make --no-print-directory SAN=address,undefined unit
part "frame parser, in the kernel and beside it" $make --no-print-directory bpf-test
part "fuzzers build" $make --no-print-directory fuzzers
part "programs build, ASan and UBSan" $make --no-print-directory SAN=address,undefined all
kernels=$(mktemp)
$make --no-print-directory kernels >"$kernels" 2>&1 &
kernels_pid=$!
part "fuzz, ${FUZZ_SECONDS:-10} s each" $make --no-print-directory fuzz "FUZZ_SECONDS=${FUZZ_SECONDS:-10}"
ended() { # PID FILE: what it wrote, and how it ended
	local rc=0
	wait "$1" || rc=$?
	cat "$2"
	rm -f "$2"
	return $rc
}
part "kernels 6.1 and 6.12, emulated" ended "$kernels_pid" "$kernels"

part "threads, ThreadSanitizer" $make --no-print-directory tsan

echo "== system tests"
out=$(mktemp)
TOLLGATE_BUILD=$build tests/bats/run.sh 2 | tee "$out"
bats_rc=${PIPESTATUS[0]}
# one line a test: ok, not ok, or ok ... # skip REASON
passed=$((passed + $(grep -c '^ok ' "$out") - $(grep -ci '^ok .* # skip' "$out")))
bad=$(grep -c '^not ok ' "$out")
failed=$((failed + bad))
skipped=$(grep -ci '^ok .* # skip' "$out")
[ "$bats_rc" = 0 ] || [ "$bad" -gt 0 ] || failed=$((failed + 1)) # a file told nothing
rm -f "$out"

if [ "$skipped" -gt 0 ] && [ "$(id -u)" -eq 0 ]; then
	echo "as root nothing may be skipped"
	failed=$((failed + 1))
fi
echo "took $((SECONDS - started)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
