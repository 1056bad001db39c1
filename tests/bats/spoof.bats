#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Who may say who the client is: a PROXY header of a client that is not trusted goes nowhere,
# however long that client waits before it sends it, and whatever takes over meanwhile.

load helpers

setup() {
	stage_up
	load
	: >"$DIR/came"
	start capture backend sh -c 'exec nc.openbsd -lk 198.51.100.1 3000 >"$0"' "$DIR/came"
	within 10 listening backend 3000
}
teardown() {
	exec 7>&- # nothing, if it was never opened
	stage_down
}

# start_gate [PREFIX] [BACKEND]: `plain` on 8080, where only PREFIX may send headers, and
# `ruler` on 8443, by which the time `hello` is measured
start_gate() {
	start_proxy <<-Y
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    proxy_protocol: { from: ["${1:-10.0.0.0/8}"] }
		    routes: [{ name: p, backends: ["${2:-198.51.100.1:3000}"] }]
		  - name: ruler
		    address: "192.0.2.2:8443"
		    routes: [{ name: r, sni: [r.example.org], backends: ["198.51.100.1:9"] }]
		timeouts: { hello: ${HELLO_TIME:-500ms} }
	Y
}

# A client that says what is written to descriptor 7; its session relays.
start_client() {
	mkfifo "$DIR/says"
	start "$1" client sh -c "exec nc.openbsd -N 192.0.2.2 8080 <'$DIR/says'"
	exec 7>"$DIR/says"
	within 10 relayed 1
}

# say BYTES: printf-escaped, by that client, if it is still there
say() { (printf "$1" >&7) || :; }

came_is() { equal "$1" "$(cat "$DIR/came")" "what the backend got"; }

# The time `hello` passes: whoever connected before this has waited longer.
hello_passes() {
	at client timeout 10 bash -c 'exec 5<>/dev/tcp/192.0.2.2/8443; cat <&5 2>/dev/null || :'
	within 5 refused_is hello_timeout "$((++passed))"
}
passed=0

@test "a client that waits past the time for a hello and then sends a PROXY line is refused" {
	start_gate
	start_client silent
	hello_passes
	say 'PROXY TCP4 6.6.6.6 192.0.2.2 1 2\r\nGET /'
	within 5 relayed 0
	refused_is proxy_header_untrusted 1
	came_is ""
}

@test "a client that waits past the time for a hello and then sends a binary PROXY header is refused" {
	start_gate
	start_client silent
	hello_passes
	say '\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x06\x06\x06\x06\xc0\x00\x02\x02\x00\x01\x00\x02'
	within 5 relayed 0
	refused_is proxy_header_untrusted 1
	equal 0 "$(stat -c %s "$DIR/came")" "bytes the backend got"
}

@test "the beginning of a PROXY line that goes no further in time is refused as untrusted" {
	start_gate
	start_client slow
	say 'PROXY'
	hello_passes
	within 5 refused_is proxy_header_untrusted 1
	say ' TCP4 6.6.6.6 192.0.2.2 1 2\r\n'
	within 5 relayed 0
	came_is ""
}

@test "the beginning of a binary PROXY header that goes no further in time is refused as untrusted" {
	start_gate
	start_client slow
	say '\r\n\r\n\x00'
	hello_passes
	within 5 refused_is proxy_header_untrusted 1
	within 5 relayed 0
	equal 0 "$(stat -c %s "$DIR/came")" "bytes the backend got"
}

@test "what a client says at last is looked at part by part, as if it had said it at once" {
	start_gate
	start_client silent
	hello_passes
	say 'PRO'
	hello_passes
	say 'XY TCP4 6.6.6.6 192.0.2.2 1 2\r\n'
	within 5 relayed 0
	refused_is proxy_header_untrusted 1
	came_is ""
}

@test "a client that waited, was handed over, and then sends a PROXY line is refused" {
	start_gate
	start_client silent
	hello_passes
	start next gate "$BIN/tollgate-proxy" --upgrade --config "$DIR/gate.yaml" --pins "$PINS"
	within 20 grep -q ready "$DIR/next.log"
	within 20 eval '! kill -0 "$proxy_pid"'
	hello_passes
	say 'PROXY TCP4 6.6.6.6 192.0.2.2 1 2\r\n'
	within 5 relayed 0
	refused_is proxy_header_untrusted 1
	came_is ""
}

@test "a server that speaks first is heard while its client says nothing, and the client after it" {
	start greeter backend "$HELLO" serve 198.51.100.1:3001 greeting
	within 10 listening backend 3001
	start_gate 10.0.0.0/8 198.51.100.1:3001
	mkfifo "$DIR/says"
	start quiet client sh -c "exec nc.openbsd -N 192.0.2.2 8080 <'$DIR/says'"
	exec 7>"$DIR/says"
	within 10 grep -q '^greeting$' "$DIR/quiet.log"
	refused_is hello_timeout 0 # it came before the client's time was up
	hello_passes
	say 'EHLO client.example.org\r\n'
	exec 7>&-
	wait "$quiet_pid"
	equal 25 "$(awk 'NR == 2 { print $1 }' "$DIR/quiet.log")" "bytes of the client at the server"
	refused_is proxy_header_untrusted 0
}

@test "a plain client may begin like a PROXY line and take its time between two bytes" {
	HELLO_TIME=3s start_gate
	start_client plain
	say 'PRO'
	within 5 eval '[ "$(at gate ss -Htn state established "sport = 8080" | wc -l)" = 1 ]'
	say 'FIND x\r\n'
	within 5 came_is "$(printf 'PROFIND x\r\n')"
	hello_passes
	say 'more'
	within 5 came_is "$(printf 'PROFIND x\r\nmore')"
	refused_is proxy_header_untrusted 0
}

@test "to trust all of IPv6 is not to trust IPv4" {
	start_proxy <<-Y
		listeners:
		  - name: dual
		    address: "[::]:8080"
		    proxy_protocol: { from: ["::/0"] }
		    routes: [{ name: p, backends: ["198.51.100.1:3000"] }]
	Y
	at client timeout 3 bash -c 'exec 5<>/dev/tcp/192.0.2.2/8080
		printf "PROXY TCP4 6.6.6.6 192.0.2.2 1 2\r\nforged" >&5; cat <&5 2>/dev/null || :' || :
	within 5 refused_is proxy_header_untrusted 1
	came_is ""
	# over IPv6 the same is right, and the header is not passed on
	printf 'PROXY TCP4 6.6.6.6 192.0.2.2 1 2\r\ntrusted' |
		at client timeout 10 nc.openbsd -q 0 -N fd00:1::2 8080 || :
	within 5 came_is trusted
}

@test "a route from all of IPv6 takes no client of IPv4" {
	start_proxy <<-Y
		listeners:
		  - name: dual
		    address: "[::]:8080"
		    routes: [{ name: six, from: ["::/0"], backends: ["198.51.100.1:3000"] }]
	Y
	echo four | at client timeout 10 nc.openbsd -N 192.0.2.2 8080 || :
	within 5 refused_is no_route 1
	came_is ""
	echo six | at client timeout 10 nc.openbsd -q 0 -N fd00:1::2 8080 || :
	within 5 came_is six
}
