#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [LANES] [FILE...]: the system tests, so many files at a time (2), each in namespaces
# of its own; with F=REGEX those whose name it matches.  What measures time or the machine
# comes last, alone.  A file is printed as it ends, as TAP; fails if a test failed, or a file
# told nothing; with F, if no file did.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
lanes=${1:-2}
shift || :
[ $# -gt 0 ] || set -- tests/bats/*.bats
# a scrape a second, CPU of a connection, the longest exchange of a session, full links
alone=" hostile scrape shortage storm takeover transfers "
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# one FILE: the output of a file is printed whole, whatever ends meanwhile
one() {
	local name
	name=$(basename "$1" .bats)
	bats --timing --tap ${F:+-f "$F"} "$1" >"$out/$name" 2>&1
	echo $? >"$out/$name.rc"
	{
		flock 9
		echo "# $1"
		grep -v '^1\.\.' "$out/$name"
	} 9>"$out/lock"
}
export -f one
export out

together=() last=()
for file in "$@"; do
	case $alone in
	*" $(basename "$file" .bats) "*) last+=("$file") ;;
	*) together+=("$file") ;;
	esac
done
# the largest first, so that no lane is left with one at the end
[ ${#together[@]} -eq 0 ] ||
	grep -c '^@test' "${together[@]}" /dev/null | sort -t: -k2 -rn | cut -d: -f1 | grep -v '^/dev/null$' |
	xargs -P "$lanes" -I{} bash -c 'one {}'
for file in "${last[@]}"; do one "$file"; done

rc=0 ran=0
for file in "$@"; do
	name=$(basename "$file" .bats)
	told=$(grep -cE '^(not )?ok ' "$out/$name")
	ran=$((ran + told))
	if [ "$(cat "$out/$name.rc" 2>/dev/null)" != 0 ] || { [ "$told" = 0 ] && [ -z "${F:-}" ]; }; then
		echo "# failed: $file"
		# once more, with what it said: the log before may be long, or cut
		awk '/^(not )?ok / { bad = /^not/ } bad { print "#   " $0 }' "$out/$name"
		rc=1
	fi
done
[ "$ran" -gt 0 ] || {
	echo "# no test was run"
	rc=1
}
exit $rc
