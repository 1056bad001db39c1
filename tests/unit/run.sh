#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Run unit test programs; print what failed, and a closing count.
set -u
passed=0 failed=0
for program in "$@"; do
	out=$("$program" 2>&1)
	rc=$?
	ok=$(grep -c '^ok ' <<<"$out")
	bad=$(grep -c '^not ok ' <<<"$out")
	# a program that dies has failed, whatever it printed
	[ "$rc" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	[ "$bad" -eq 0 ] || printf '%s:\n%s\n' "$program" "$out"
	passed=$((passed + ok))
	failed=$((failed + bad))
done
echo "unit: $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
