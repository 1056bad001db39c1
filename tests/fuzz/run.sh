#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh SECONDS FUZZER...: each for that long, beginning with its corpus; new inputs stay
# below build/.  A finding fails and is named.
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=$1
shift
rc=0
for fuzzer in "$@"; do
	name=$(basename "$fuzzer" _fuzz)
	work=build/fuzz/corpus-$name
	mkdir -p "$work"
	if out=$("$fuzzer" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 \
		-print_final_stats=1 -artifact_prefix="build/fuzz/$name-" \
		"$work" "tests/fuzz/corpus/$name" 2>&1); then
		runs=$(sed -n 's/stat::number_of_executed_units: *//p' <<<"$out")
		echo "fuzz: $name: $runs inputs in $seconds s, no finding"
	else
		printf '%s\n' "$out" | tail -n 40
		echo "fuzz: $name: FOUND something, see build/fuzz/$name-*"
		rc=1
	fi
done
exit "$rc"
