#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The rules of the house that a program can check.  Each finding is one line.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
findings=0
say() {
	printf '%s\n' "$1"
	findings=$((findings + 1))
}
each() { while IFS= read -r line; do say "$line"; done; }

mapfile -t c < <(git ls-files --cached --others --exclude-standard '*.c' '*.h')
mapfile -t sh < <(git ls-files --cached --others --exclude-standard '*.sh' '*.bash' '.ci/run')
mapfile -t bats < <(git ls-files --cached --others --exclude-standard '*.bats')

# layout
for f in "${c[@]}"; do
	clang-format --dry-run -Werror "$f" >/dev/null 2>&1 || say "$f: not as clang-format has it"
done
each < <(awk '
	FNR == 1 { start = 0 }
	/^[a-zA-Z_].*\)( \/\* lint: table \*\/)?[ \t]*$/ { table = /lint: table/ }
	/^\{/ { start = FNR }
	/^\}/ { if (start && FNR - start > 60 && !table)
			printf "%s:%d: function of %d lines\n", FILENAME, start, FNR - start
		start = 0; table = 0 }' "${c[@]}")
each < <(wc -l "${c[@]}" | awk '$2 != "total" && $1 > 600 && $2 !~ /^tests\// {
	print $2 ": " $1 " lines, more than 600" }')
each < <(grep -LE 'SPDX-License-Identifier' "${c[@]}" "${sh[@]}" "${bats[@]}" Makefile |
	grep -v '^.ci/run$' | sed 's/$/: no SPDX line/')
each < <(grep -nE '[ 	]+$' "${c[@]}" "${sh[@]}" "${bats[@]}" Makefile README.md |
	sed 's/$/: space at the end/')

# calls we do not make
banned='\b(strcpy|strcat|sprintf|vsprintf|strncpy|strtok|gets|atoi|atol|strtol|strtoul|alloca|system|popen|inet_ntoa|gethostbyname)\('
each < <(grep -nE "$banned" "${c[@]}" | sed 's/$/: banned/')
each < <(grep -nE '(^|[^:"])//' "${c[@]}" | grep -v '"[^"]*//' | sed 's/$/: line comment/')

# who may include and call whom
arrows=$(tests/lint/arrows.sh "${BUILD:-build}") || say "arrows.sh: see below"
[ -z "$arrows" ] || each <<<"$arrows"

# one library behind one file
only() { # INCLUDE FILES WHY
	each < <(printf '%s\n' "${c[@]}" | grep -vE "$2" | xargs -r grep -nE "#include [<\"]$1" |
		sed "s#\$#: only $2 may include it#")
}
only 'tollgate.skel.h' '^user/load/programs\.c$'
only '(libnftnl|linux/netfilter)' '^nft/'
only 'libmnl' '^(nft/|user/base/(sockets|links)\.c$)'
only '(cyaml/)' '^proxy/config/schema_own\.h$'
only 'yaml\.h' '^proxy/config/document_yaml\.c$'
only 'pcre2\.h' '^proxy/config/pattern\.c$'
only 'liburing' '^proxy/net/outbox\.c$'
only 'nghttp2/' '^(proxy/http/h2.*|user/codec/ask_h2\.c)$'
only 'openssl/' '^(user/codec/digest\.c|proxy/tls/.*|tests/(unit|fuzz)/tls/.*|tests/tools/(secure|echo|records)\.c)$'
only 'crypt\.h' '^proxy/decide/auth\.c$'
only 'ares\.h' '^proxy/backend/resolve\.c$'
only 'sqlite3\.h' '^proxy/state/store[a-z_]*\.[ch]$'
only 'microhttpd\.h' '^(user/exporter/(http|pages|sse)\.[ch]|proxy/control/server\.c)$'
only 'zlib\.h' '^user/exporter/http\.c$'
only 'curl/curl\.h' '^user/command/(follow|ask)\.c$'
only 'sys/capability\.h' '^user/base/sandbox\.[ch]$'
only 'bpf/(bpf|libbpf)\.h' '^(user/(load|book)/|tests/)'

# in a test neither of these fails it: `! COMMAND`, and all but the last of `A && B`
each < <(grep -nE '^\s*! [^|]*$|^\s*(\[ |within |equal |\S+\) within ).*[^&]&& ' tests/bats/*.bats | grep -v '|| \|eval ' |
	sed 's/$/: this check cannot fail/')

# every header compiles by itself
for h in $(printf '%s\n' "${c[@]}" | grep '\.h$' | grep -vE '^(vmlinux\.h|bpf/(label|maps|parse|record|sweep|tcp_account|tcp_sock|fragment|wire_flow|wire_open|wire_parse|wire_sequence)\.h)$'); do
	cc -std=gnu17 -D_GNU_SOURCE -I. -Iuser -Iproxy -fsyntax-only -x c "$h" 2>/dev/null ||
		say "$h: does not compile alone"
done

# scripts
shellcheck -x -S warning "${sh[@]}" || say "shellcheck: see above"
shellcheck -s bash -S warning \
	-e SC2030,SC2031,SC2034,SC2154,SC1091,SC2089,SC2090,SC2120,SC2128,SC2178 <(
	# bats' own syntax made plain
	cat tests/bats/helpers.bash
	sed 's/^@test \(".*"\) {$/test_() { : \1/' "${bats[@]}" | grep -v '^load \|^#!'
) || say "shellcheck of bats files: see above"

# tables and what tells of them: options, commands, pages, packages (keys of the
# configuration: tests/unit/config; metrics: tests/unit/exporter)
mentions() { # FILE WORDS WHAT: as the manual writes them, with \- for -
	grep -qF -e "$2" -e "${2//-/\\-}" "$1" || say "$1: says nothing of $3"
}
words() { # FILE PATTERN: the quoted words of a table's rows
	local found
	found=$(grep -oE "$2" "$1" | cut -d'"' -f2)
	[ -n "$found" ] || say "$1: where is its table?"
	printf '%s\n' "$found"
}
while read -r page source; do
	for option in $(words "$source" '\{ "[a-z-]+", (required|no)_argument'); do
		mentions "$page" "--$option" "--$option"
		mentions "$source" "--$option" "--$option in its help"
		# what completes the command, where there is one
		completion=${page%.8}.bash-completion
		[ ! -e "$completion" ] || mentions "$completion" "--$option" "--$option"
	done
done <<PAGES
user/command/tollgate.8 user/command/options.c
user/exporter/tollgate-exporter.8 user/exporter/exporter.c
proxy/tollgate-proxy.8 proxy/main.c
PAGES
for command in $(words user/command/tollgate.c '\{ "[a-z-]+", cmd_'); do
	mentions user/command/options.c "  $command " "the command $command"
	grep -qE "^\.B(I|R)? \"?${command//-/.*-}( |\"|$)" user/command/tollgate.8 ||
		say "user/command/tollgate.8: says nothing of the command $command"
	mentions user/command/tollgate.bash-completion "$command" "the command $command"
done
for reason in $(sed -n 's/^\tX(\([A-Z0-9_]*\), "[a-z0-9_]*", [A-Z]*, [A-Z]*).*/\1/p' bpf/abi_proxy.h); do
	grep -q "TG_END_$reason," user/command/why.c || say "user/command/why.c: says nothing of $reason"
done
for path in $(words user/exporter/pages.c '\{ "/[a-z]+", page_'); do
	mentions user/exporter/tollgate-exporter.8 "$path" "the page $path"
done
for package in $(sed -n 's/^\t\([a-z][a-z0-9.+-]*\):[/].*/\1/p' tests/setup.sh); do
	mentions docs/building.md "\`$package\`" "the package $package"
done
for test in "${bats[@]}"; do
	mentions tests/README.md "\`${test##*/}\`" "$test"
done
grep -q "VERSION := $(sed -n 's/.*TOLLGATE_VERSION "\(.*\)"/\1/p' user/base/version.h)\$" Makefile ||
	say "Makefile and user/base/version.h: two versions"
for page in user/*/*.8 proxy/*.8 proxy/*/*.5 proxy/*/*.7; do
	out=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" \
		2>&1 >/dev/null)
	[ -z "$out" ] || say "$page: $out"
done

if [ "$findings" -gt 0 ]; then
	echo "lint: $findings findings"
	exit 1
fi
echo "lint: clean"
