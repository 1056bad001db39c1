#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# arrows.sh [BUILD]: who may include and call whom, by the table tests/lint/house, and no
# circle of files.  Calls are those of the objects below BUILD (build).  A finding a line;
# fails if there is one, or nothing was compared.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mapfile -t files < <(find proxy user nft bpf -name '*.[ch]' | LC_ALL=C sort)

# FILE FILE WHY: the first needs the second
{
	# also by <...>, which finds ours, too
	grep -HE '^ *# *include *["<]' "${files[@]}" </dev/null | sed 's/^\([^:]*\): *# *include *\(["<]\)\([^">]*\).*/\1 \2 \3/' |
		while read -r f how include; do
			for at in "$(dirname "$f")/$include" "$include" "user/$include" "proxy/$include"; do
				[ ! -e "$at" ] || [ "$at" = vmlinux.h ] || {
					echo "$f $at includes"
					continue 2
				}
			done
			case $how$include in '<'* | ?tollgate.skel.h | ?vmlinux.h) ;; *) echo "$f ? includes_$include" ;; esac
		done
	printf '%s\n' "${files[@]}" | grep '\.c$' | grep -v '^bpf/' | while IFS= read -r f; do
		o=$build/${f%.c}.o
		[ -e "$o" ] || {
			echo "$f ? is_not_built_as_$o"
			continue
		}
		nm -g "$o" | awk -v f="$f" '$(NF - 1) == "U" { print "U", f, $NF; next }
			$(NF - 1) ~ /[TDBRVWC]/ { print "D", f, $NF }'
	done >"$work/symbols"
	grep '?' "$work/symbols"
	awk '$1 == "D" && $2 !~ /^(proxy\/main|user\/command\/tollgate|user\/exporter\/exporter)\.c$/ { at[$3] = $2 }
		$1 == "U" { need[++n] = $2 " " $3 }
		END { for (i = 1; i <= n; i++) { split(need[i], p, " ")
			if (p[2] in at && at[p[2]] != p[1]) print p[1], at[p[2]], "calls_" p[2] } }' "$work/symbols"
} >"$work/arrows"

findings=$(
	awk 'function folder(f) { sub(/\/[^\/]*$/, "", f); return f }
		FNR == NR { if (/^#/ || !NF) next
			sub(/:$/, "", $1); known[$1] = 1
			for (i = 2; i <= NF; i++) may[$1, $i] = 1
			next }
		{ a = folder($1); why = $3; gsub(/_/, " ", why) }
		$2 == "?" { print $1 ": " why ", which is nowhere"; next }
		!(a in known) { print $1 ": " a " is not in tests/lint/house"; next }
		{ b = folder($2) }
		a != b && !((a, b) in may) {
			sub(/^calls .*/, "calls " substr($3, 7) "() of", why)
			print $1 ": " why " " $2 ", and " a " may not use " b }' tests/lint/house "$work/arrows" | sort -u
	# a file that was split by role, into NAME.c and NAME_*.c around a NAME_own.h, is one
	printf '%s\n' "${files[@]}" | sed -n 's/_own\.h$//p' >"$work/split"
	awk 'function whole(f,   i) { for (i in split_) if (index(f, i "_") == 1 || f == i ".c" || f == i ".h") return i; return f }
		FNR == NR { split_[$1] = 1; next }
		$3 == "includes" && $2 ~ /_own\.h$/ && whole($1) != whole($2) {
			print $1 ": includes " $2 ", which is for its own files only" >"/dev/stderr" }
		$3 ~ /^calls_/ && whole($1) != whole($2) { print whole($1), whole($2) }' "$work/split" "$work/arrows" 2>"$work/strangers" |
		sort -u >"$work/calls"
	cat "$work/strangers"
	# calls only: headers that need each other do not compile
	tsort "$work/calls" 2>&1 >/dev/null | sed -n 's/^tsort: \([a-z][a-z]*\/.*\)$/\1/p' | sort -u | paste -sd' ' |
		sed -n 's/^\(..*\)$/a circle of files that call each other: \1/p'
)
[ -s tests/lint/house ] || findings+=$'\ntests/lint/house is empty: nothing was compared'
[ "$(grep -c ' includes$' "$work/arrows")" -gt 300 ] || findings+=$'\nhardly an include was found: nothing was compared'
[ "$(grep -c ' calls_' "$work/arrows")" -gt 300 ] || findings+=$'\nhardly a call was found: nothing was compared'
findings=${findings#$'\n'}
[ -z "$findings" ] || {
	printf '%s\n' "$findings"
	exit 1
}
