#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every test, one after the other; a closing line of counts; fails if anything failed, or,
# as root, if anything was skipped.
set -uo pipefail
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
part "fuzz, ${FUZZ_SECONDS:-10} s each" $make --no-print-directory fuzz "FUZZ_SECONDS=${FUZZ_SECONDS:-10}"
part "programs build, ASan and UBSan" $make --no-print-directory SAN=address,undefined all

part "kernels 6.1 and 6.12, emulated" $make --no-print-directory kernels

echo "== system tests"
out=$(mktemp)
TOLLGATE_BUILD=$build bats --timing --tap tests/bats | tee "$out"
# one line a test: ok, not ok, or ok ... # skip REASON
passed=$((passed + $(grep -c '^ok ' "$out") - $(grep -ci '^ok .* # skip' "$out")))
failed=$((failed + $(grep -c '^not ok ' "$out")))
skipped=$(grep -ci '^ok .* # skip' "$out")
[ "$(grep -cE '^(not )?ok ' "$out")" -gt 0 ] || failed=$((failed + 1)) # bats itself failed
rm -f "$out"

if [ "$skipped" -gt 0 ] && [ "$(id -u)" -eq 0 ]; then
	echo "as root nothing may be skipped"
	failed=$((failed + 1))
fi
echo "took $((SECONDS - started)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
