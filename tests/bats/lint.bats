#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The lint itself: that it finds what is planted.

load helpers

# a copy of the house, with its objects, in which things can be planted
setup() {
	DIR=$BATS_TEST_TMPDIR/house
	mkdir -p "$DIR/build" "$DIR/tests"
	cp -r "$ROOT"/{proxy,user,nft,bpf,vmlinux.h} "$DIR"
	cp -r "$ROOT/tests/lint" "$DIR/tests"
	cp -rs "$BIN"/{proxy,user,nft} "$DIR/build"
}

# plant FILE TEXT: and its object
plant() {
	printf '%s\n' "$2" >"$DIR/$1"
	(cd "$DIR" && cc -std=gnu17 -D_GNU_SOURCE -I. -Iuser -Iproxy -fPIE -c -o "build/${1%.c}.o" "$1")
}

# finds WORDS: a finding, and that one only
finds() {
	run "$DIR/tests/lint/arrows.sh"
	[ "$status" = 1 ] && [ "${#lines[@]}" = 1 ] && [[ ${lines[0]} == *"$1"* ]] || {
		echo "exit $status: $output"
		return 1
	}
}

@test "the house as it is: no arrow against the table, no circle" {
	run "$DIR/tests/lint/arrows.sh"
	equal "0 " "$status $output" "exit code and findings"
}

@test "an include of a floor above is found" {
	plant proxy/net/planted.c '#include "session/session.h"'
	finds "proxy/net/planted.c: includes proxy/session/session.h"
}

@test "a call of a floor above is found, without an include" {
	plant proxy/decide/planted.c 'void session_evict(void *s);
		void planted(void); void planted(void) { session_evict(0); }'
	finds "proxy/decide/planted.c: calls session_evict() of proxy/session/session.c"
}

@test "a folder that nobody named is found" {
	mkdir -p "$DIR/proxy/new" "$DIR/build/proxy/new"
	plant proxy/new/planted.c '#include "base/util.h"'
	finds "proxy/new is not in tests/lint/house"
}

@test "two files of a folder that call each other are found" {
	printf '%s\n' 'void planted_a(void); void planted_b(void);' >"$DIR/user/base/planted.h"
	plant user/base/planted.c '#include "base/planted.h"
		void planted_a(void) { planted_b(); }'
	plant user/base/other.c '#include "base/planted.h"
		void planted_b(void) { planted_a(); }'
	finds "a circle of files that call each other: user/base/other.c user/base/planted.c"
}

@test "what is not built, or nowhere, is a finding, and an empty house too" {
	printf '%s\n' '#include "base/util.h"' >"$DIR/user/base/planted.c"
	finds "user/base/planted.c: is not built"
	plant user/base/planted.c '/* nothing */'
	find "$DIR"/{proxy,user,nft,bpf} -name '*.[ch]' -delete
	run "$DIR/tests/lint/arrows.sh"
	[ "$status" = 1 ]
	[[ $output == *"hardly an include"* && $output == *"hardly a call"* ]]
}
