#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# How long a connection may live, and who is told why it ended.

load helpers

setup() {
	stage_up
	load
}
teardown() {
	: >"$DIR/go"
	: >"$DIR/stop"
	stage_down
}

# start_gate TIMEOUTS [KEY]: three listeners, one for each keep-alive treatment
start_gate() {
	start_proxy <<-Y
		timeouts: { $1 }
		listeners:
		  - { name: standard, address: "192.0.2.2:8001", routes: [{ name: standard, backends: ["198.51.100.1:3000"] }] }
		  - { name: extended, address: "192.0.2.2:8002", routes: [{ name: extended, keep_alive: extended, backends: ["198.51.100.1:3000"] }] }
		  - { name: immortal, address: "192.0.2.2:8003", routes: [{ name: immortal, keep_alive: immortal, backends: ["198.51.100.1:3000"] }] }
	Y
	start_exporter
}

# keep NAME PORT: a connection that says nothing, until the file `go` exists
keep() {
	start_held "$1" client "$DIR/go" nc.openbsd -N 192.0.2.2 "$2"
}

ended() { # REASON SIDE N [LABEL...]
	local reason=$1 side=$2 n=$3
	shift 3
	[ "$(fresh_scrape | metric tollgate_ended_total "reason=\"$reason\"" "side=\"$side\"" "$@")" = "$n" ]
}

@test "idle connections end by the treatment of their route: standard, times a factor, never" {
	start sink backend nc.openbsd -lk 198.51.100.1 3000
	within 10 listening backend 3000
	start_gate "idle: 700ms, idle_factor: 4"
	keep one 8001
	keep two 8002
	keep three 8003
	within 10 established 8003 1
	within 10 ended idle_timeout proxy 1 'route="standard"'
	established 8002 1
	within 10 ended idle_timeout proxy 1 'route="extended"'
	established 8003 1
	ended idle_timeout proxy 2
}

@test "a connection has a maximum life, however busy it is" {
	start_peer server backend --listen 198.51.100.1:3000
	start_gate "life: 500ms"
	at client timeout 20 "$PEER" load --connect 192.0.2.2:8003 --connections 1 --parallel 1 --mix up \
		--bytes 100000000000 2>/dev/null >"$DIR/load" || :
	within 10 ended life_timeout proxy 1
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "after a half-close the other direction has its time from its own last byte" {
	start_gate "half_close: 700ms, idle: 60s"
	# the backend's end comes at once, the client says something for two seconds more
	start half backend nc.openbsd -N -l 198.51.100.1 3000 </dev/null
	within 10 listening backend 3000
	# shellcheck disable=SC2016 # expands in the inner shell
	start talker client sh -c '(for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.2; done
		until [ -e "$0" ]; do sleep 0.05; done) | nc.openbsd -N 192.0.2.2 8001' "$DIR/go"
	within 10 eval '[ "$(wc -l <"$DIR/half.log")" = 10 ]'
	within 10 ended half_close_timeout proxy 1
}

@test "stuck is what the kernel says: bytes that the peer does not take, on either side" {
	start_gate "stuck: 1500ms, idle: 60s"
	start deaf backend "$HELLO" deaf 198.51.100.1:3000
	within 10 listening backend 3000
	at client timeout 30 sh -c 'head -c 50000000 /dev/zero | nc.openbsd -N 192.0.2.2 8001' || :
	within 20 ended stuck backend 1
	stop "$deaf_pid" KILL
	start zeros backend sh -c 'nc.openbsd -N -l 198.51.100.1 3000 </dev/zero'
	within 10 listening backend 3000
	# shellcheck disable=SC2016
	start reader client sh -c 'until [ -e "$0" ]; do sleep 0.05; done | nc.openbsd 192.0.2.2 8001 |
		until [ -e "$0" ]; do sleep 0.05; done' "$DIR/stop"
	within 20 ended stuck client 1
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "a peer that vanished without a word is silent, not idle" {
	start sink backend nc.openbsd -lk 198.51.100.1 3000
	within 10 listening backend 3000
	start_gate "keepalive: 1s, stuck: 2s, idle: 60s"
	keep one 8001
	within 10 established 8001 1
	at client ip link set eth down
	within 20 ended silent client 1
}

@test "a drain that is over ends the rest in batches, each with its reason" {
	start_sink
	start_gate "drain: 300ms, idle: 60s"
	start_held holder client "$DIR/go" "$BIN/tests/tools/load" hold 192.0.2.2:8001 64 64 1000
	within 20 established 8001 1000
	stop "$proxy_pid"
	ended drain_deadline proxy 1000
	within 10 sockets_closed
	run -0 tollgate audit
}
