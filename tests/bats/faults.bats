#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What goes wrong around the gate: limits hold, memory is bounded, the others are served.

load helpers

setup() {
	stage_up
	load
	start_peer good backend --listen 198.51.100.1:3001
}
teardown() { stage_down; }

# start_gate: `bad` on 192.0.2.2:8001 to 198.51.100.1:3000, `good` on 8002, `tls` on 8443
start_gate() {
	start_proxy <<-Y
		timeouts: { connect: 1s, stuck: 3s, hello: ${1:-10s}, drain: 2s }
		listeners:
		  - { name: bad, address: "192.0.2.2:8001", routes: [{ name: bad, backends: ["${2:-198.51.100.1:3000}"] }] }
		  - { name: good, address: "192.0.2.2:8002", routes: [{ name: good, backends: ["198.51.100.1:3001"] }] }
		  - { name: tls, address: "192.0.2.2:8443", routes: [{ name: tls, sni: [x.example.org], backends: ["198.51.100.1:3001"] }] }
	Y
	start_exporter
}
others_are_served() {
	at client timeout 30 "$PEER" load --connect 192.0.2.2:8002 --connections 100 --bytes 20000 >/dev/null
}
# Resident memory of the proxy, in KiB, at most N; and says it
resident_at_most() {
	local kib
	kib=$(sed -n 's/^Rss: *\([0-9]*\) kB/\1/p' "/proc/$proxy_pid/smaps_rollup")
	echo "# resident: $kib KiB" >&3
	[ "$kib" -le "$1" ]
}
ended_in_all() { [ "$(fresh_scrape | metric tollgate_ended_total 'route="bad"')" = "$1" ]; }

@test "kill -9 of a backend: every connection is told, the others go on, it recovers" {
	start_peer bad backend --listen 198.51.100.1:3000
	start_gate
	start long client "$PEER" load --connect 192.0.2.2:8001 --connections 50 --parallel 50 --bytes 100000000 --pause 50
	within 20 established 8001 50
	others_are_served
	stop "$bad_pid" KILL
	wait "$long_pid" || :
	equal 50 "$(sums long failed)" "connections that were told"
	within 20 ended_in_all 50
	equal 50 "$(fresh_scrape | metric tollgate_ended_total 'route="bad"' 'side="backend"')" "by the backend"
	others_are_served
	start_peer bad backend --listen 198.51.100.1:3000
	at client "$PEER" load --connect 192.0.2.2:8001 --connections 20 --bytes 20000
	within 20 sockets_closed
	run -0 tollgate audit
}

@test "a black hole for a backend: refused in time, the others go on" {
	at gate ip neigh add 198.51.100.9 lladdr 02:00:00:00:00:09 dev back
	start_gate 10s 198.51.100.9:3000
	start many client "$BIN/tests/tools/load" hold 192.0.2.2:8001 64 64 300
	within 20 established 8001 300
	others_are_served
	within 20 eval '[ "$(fresh_scrape | metric tollgate_refused_total "reason=\"backend_timeout\"")" = 300 ]'
	others_are_served
	within 20 sockets_closed
	run -0 tollgate audit
}

@test "a backend that accepts and never reads: memory stays where it is, the others go on" {
	start deaf backend "$BIN/tests/tools/hello" deaf 198.51.100.1:3000
	within 10 listening backend 3000
	start_gate
	start long client "$PEER" load --connect 192.0.2.2:8001 --connections 200 --parallel 200 --mix up --bytes 100000000
	within 20 established 8001 200
	others_are_served
	resident_at_most 40000
	within 30 eval '[ "$(fresh_scrape | metric tollgate_ended_total "reason=\"stuck\"" "side=\"backend\"")" = 200 ]'
	others_are_served
	wait "$long_pid" || :
	within 20 sockets_closed
	run -0 tollgate audit
}

@test "10,000 clients that send a byte of a hello and wait: the others go on, all are ended in time" {
	start_gate 8s
	start_held drip client "$DIR/go" "$HELLO" drip 192.0.2.2:8443 10000
	within 30 grep -q dripping "$DIR/drip.log"
	others_are_served
	resident_at_most 60000
	within 30 eval '[ "$(fresh_scrape | metric tollgate_refused_total "reason=\"hello_timeout\"")" = 10000 ]'
	others_are_served
	resident_at_most 60000
	within 20 sockets_closed
	run -0 tollgate audit
}

@test "1,000 descriptors and 2,000 clients: accepting pauses, nobody is lost, it recovers" {
	start_sink
	cat >"$DIR/gate.yaml" <<-Y
		listeners:
		  - { name: bad, address: "192.0.2.2:8001", routes: [{ name: bad, backends: ["198.51.100.1:3000"] }] }
	Y
	start proxy gate prlimit --nofile=1000:1000 "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 grep -q ready "$DIR/proxy.log"
	start_exporter
	# 2,000 connections, 1,000 at a time: twice what there is room for
	at client timeout 60 "$BIN/tests/tools/load" open 192.0.2.2:8001 64 64 1000 2000 >"$DIR/opened"
	fresh_scrape >"$DIR/page"
	[ "$(metric tollgate_proxy_accept_pauses_total <"$DIR/page")" -ge 1 ]
	equal 0 "$(metric tollgate_refused_total <"$DIR/page")" refused
	within 20 eval '[ "$(fresh_scrape | metric tollgate_proxy_accept_paused)" = 0 ]'
	within 20 sockets_closed
	equal 2000 "$(fresh_scrape | metric tollgate_ended_total 'reason="done"')" "relayed to the end"
	run -0 tollgate audit
}

@test "a client that sends and resets before the proxy looks: all it sent arrives, and the backend is told at once" {
	start_plain 'workers: 1'
	start_exporter
	start sink backend nc.openbsd -ld 198.51.100.1 3000
	within 10 listening backend 3000
	# the backend answers the second SYN, when the proxy does not look
	at backend nft 'add table inet late; add chain inet late in { type filter hook input priority 0; };
		add rule inet late in tcp dport 3000 tcp flags syn drop'
	# shellcheck disable=SC2016 # expands in the inner shell
	start sender client sh -c '{ head -c 100 /dev/zero; until [ -e "$0" ]; do sleep 0.05; done; } |
		nc.openbsd 192.0.2.2 8080' "$DIR/never"
	within 10 eval '[ "$(at gate ss -Htn state syn-sent "dport = 3000" | wc -l)" = 1 ]'
	at backend nft delete table inet late
	kill -STOP "$proxy_pid"
	within 10 eval '[ "$(at gate ss -Htn state established "dport = 3000" | wc -l)" = 1 ]'
	at client ss -K "dport = 8080" >/dev/null
	within 10 eval '[ "$(at gate ss -Htn "sport = 8080" | wc -l)" = 0 ]'
	kill -CONT "$proxy_pid"
	within 3 eval '[ "$(at backend ss -Htn state established "sport = 3000" | wc -l)" = 0 ]'
	equal 1 "$(fresh_scrape | metric tollgate_ended_total 'reason="client_reset"' 'side="client"')" "client_reset"
	equal 100 "$(fresh_scrape | metric tollgate_tcp_acknowledged_bytes_total 'leg="upstream"')" "bytes the backend has"
}
