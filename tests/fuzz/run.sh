#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh SECONDS FUZZER...: each for that long, beginning with its corpus, as many at a time
# as there are CPUs; new inputs stay below build/.  A finding fails and is named.
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=$1
shift

# one FUZZER: its line
one() {
	local name work out
	name=$(basename "$1" _fuzz)
	work=build/fuzz/corpus-$name
	mkdir -p "$work"
	if out=$("$1" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 \
		-print_final_stats=1 -artifact_prefix="build/fuzz/$name-" \
		"$work" "tests/fuzz/corpus/$name" 2>&1); then
		echo "fuzz: $name: $(sed -n 's/stat::number_of_executed_units: *//p' <<<"$out") inputs in $seconds s, no finding"
		return 0
	fi
	printf '%s\n' "$out" | tail -n 40
	echo "fuzz: $name: FOUND something, see build/fuzz/$name-*"
	return 1
}
export -f one
export seconds

printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c 'one {}'
