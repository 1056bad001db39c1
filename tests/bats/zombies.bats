#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The proxy's table and the kernel's sockets, joined by cookie, both ways.

load helpers

setup() {
	stage_up
	load --device front --device back
	start_peer server backend --listen 198.51.100.1:3000
}
teardown() { stage_down; }

gate_config() {
	cat <<-Y
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    routes: [{ name: app, backends: ["198.51.100.1:3000"], keep_alive: immortal }]
		timeouts: { zombies: 300ms }
	Y
}

looks() { fresh_scrape | metric tollgate_proxy_zombie_checks_total; }
# looked N: that many looks from now on
looked() {
	local from
	from=$(looks)
	within 20 eval '[ "$(looks)" -ge $((from + '"$1"')) ]'
}

@test "a session whose end was missed is found and ended; the others are left alone" {
	start_proxy < <(gate_config)
	start_exporter
	start_held good client "$DIR/go" nc.openbsd -N -p 5001 192.0.2.2 8080
	start_held missed client "$DIR/never" nc.openbsd -p 5002 192.0.2.2 8080
	within 10 eval '[ "$(at gate ss -Htn state established "dport = 3000" | wc -l)" = 2 ]'
	# busy ones all the while
	start busy client "$PEER" load --connect 192.0.2.2:8080 --connections 400 --parallel 8 --mix assorted
	at gate "$BIN/tests/tools/steal" "$proxy_pid" 5002
	# it goes, and the proxy hears nothing
	at client ss -K "sport = 5002" >/dev/null
	within 10 eval '[ "$(at gate ss -Htn state established "dport = 5002" | wc -l)" = 0 ]'
	within 20 eval '[ "$(fresh_scrape | metric tollgate_ended_total "reason=\"zombie\"" "side=\"proxy\"")" = 1 ]'
	grep -q "1 sessions were ended whose sockets had gone in the kernel without a word" "$DIR/proxy.log"
	wait "$busy_pid"
	equal "400 0" "$(sums busy connections) $(sums busy failed)" "busy"
	looked 3
	equal 1 "$(at gate ss -Htn state established "dport = 3000" | wc -l)" "the good one"
	equal 0 "$(fresh_scrape | metric tollgate_proxy_stray_sockets)" strays
	: >"$DIR/go"
	wait "$good_pid"
	within 10 sockets_closed
	equal 1 "$(fresh_scrape | metric tollgate_ended_total 'reason="zombie"')" zombies
	run -0 tollgate audit
}

@test "a side that has ended in order and still has bytes to deliver is no zombie" {
	gate_config | sed 's/198.51.100.1:3000/198.51.100.1:3005/' >"$DIR/half.yaml"
	start_proxy <"$DIR/half.yaml"
	start_exporter
	start answers backend "$BIN/tests/tools/load" serve 198.51.100.1:3005 1 4096
	within 10 listening backend 3005
	# so that most of the answer waits in the socket of the backend
	at client sysctl -qw net.ipv4.tcp_rmem="4096 4096 4096"
	at gate sysctl -qw net.ipv4.tcp_wmem="4096 4096 4096"
	# it asks, ends its half, and takes what fits into a pipe and no more for a while
	# shellcheck disable=SC2016 # expands in the inner shell
	start slow client sh -c 'head -c 36 /dev/zero | nc.openbsd -N 192.0.2.2 8080 | { until [ -e "$0" ]; do sleep 0.05; done; wc -c; }' \
		"$DIR/go"
	within 10 eval '[ "$(at gate ss -Htn "sport = 8080" | wc -l)" = 1 ]'
	# the backend has sent all and its FIN, and has our FIN: the kernel has forgotten that socket
	within 10 eval '[ "$(at gate ss -Htn "dport = 3005" | wc -l)" = 0 ] && [ "$(at gate ss -Htn "sport = 8080" | wc -l)" = 1 ]'
	looked 4
	: >"$DIR/go"
	wait "$slow_pid"
	equal 147456 "$(cat "$DIR/slow.log")" "bytes of the answer"
	within 10 sockets_closed
	equal "1 0" "$(fresh_scrape | metric tollgate_ended_total 'reason="done"') $(fresh_scrape |
		metric tollgate_ended_total 'reason="zombie"')" "done, zombies"
	run -0 tollgate audit
}

@test "a socket that is in no session is told of" {
	gate_config >"$DIR/gate.yaml"
	# the shell leaves it to the proxy
	start proxy gate bash -c 'exec 9<>/dev/tcp/198.51.100.1/3000; exec "$@"' bash \
		"$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 listening gate 8080
	start_exporter
	within 20 eval '[ "$(fresh_scrape | metric tollgate_proxy_stray_sockets)" = 1 ]'
	grep -q "1 sockets of this process belong to no session" "$DIR/proxy.log"
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 100 --bytes 1000
	looked 2
	equal 1 "$(fresh_scrape | metric tollgate_proxy_stray_sockets)" strays
	equal 0 "$(fresh_scrape | metric tollgate_ended_total 'reason="zombie"')" zombies
}
