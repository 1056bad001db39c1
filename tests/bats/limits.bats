#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# How many connections there may be, and who is told apart.

load helpers

setup() {
	stage_up
	load
	start_sink
}
teardown() { stage_down; }

# start_gate LINE...: lines of the listener `plain` on 192.0.2.2:8080
start_gate() {
	start_proxy < <(printf '%s\n' 'listeners:' '  - name: plain' '    address: "192.0.2.2:8080"' &&
		printf '    %s\n' "$@" && printf '%s\n' "$top")
	start_exporter
}
top=

# keep N [ADDRESS]: N connections that stay until the file `go` exists
keep() {
	local i
	for ((i = 0; i < $1; i++)); do
		kept=$((kept + 1))
		start_held "kept$kept" client "$DIR/go" nc.openbsd -N -s "${2:-192.0.2.1}" 192.0.2.2 8080
	done
}
kept=0
let_all_go() {
	: >"$DIR/go"
	within 10 relayed 0
	rm "$DIR/go"
}
refused_by() { [ "$(fresh_scrape | metric tollgate_refused_total "reason=\"$1\"" "side=\"$2\"")" = "$3" ]; }

@test "connections at once: of the process, a listener, a route, a source, a prefix" {
	at client ip addr add 192.0.2.9/24 dev eth
	top='limits: { connections: 7 }' start_gate 'limits: { per_source: 3, per_prefix: 5 }' \
		'routes: [{ name: app, limits: { connections: 4 }, backends: ["198.51.100.1:3000"] }]'
	keep 4 192.0.2.1
	within 10 refused_by source_connections client 1
	within 10 relayed 3
	keep 2 192.0.2.9
	within 10 refused_by route_connections proxy 1
	within 10 relayed 4
	let_all_go
	# what is over gives its place back
	keep 1 192.0.2.1
	within 10 relayed 1
	run -0 --separate-stderr tollgate status --json
	jq -e '.offenders | length == 2 and all(.refused == 1) and any(.source == "192.0.2.1" and
		.reason == "source_connections" and .listener == "plain")' <<<"$output"
	tollgate status | grep -q 'offender   192.0.2.1 at plain: source_connections 1'
}

@test "a limit that comes with a reload counts the connections there are" {
	start_gate 'routes: [{ name: app, backends: ["198.51.100.1:3000"] }]'
	keep 2 192.0.2.1
	within 10 relayed 2
	sed -i 's/routes: /limits: { connections: 5, per_source: 3 }\n    &/; s/name: app,/& limits: { connections: 4 },/' "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 10 grep -q "read again" "$DIR/proxy.log"
	keep 1 192.0.2.1
	within 10 relayed 3
	keep 1 192.0.2.1
	within 10 refused_by source_connections client 1
	at client ip addr add 192.0.2.9/24 dev eth
	keep 2 192.0.2.9
	within 10 refused_by route_connections proxy 1
	within 10 relayed 4
	let_all_go
	keep 3 192.0.2.1
	within 10 relayed 3
}

@test "new connections in a time: a burst, then as the time gives back, and refusals are not counted" {
	start_gate 'limits: { source_rate: 5/10s }' \
		'routes: [{ name: app, limits: { rate: 1000/1s }, backends: ["198.51.100.1:3000"] }]'
	try() { at client nc.openbsd -N -w 5 192.0.2.2 8080 </dev/null || :; }
	local i
	for i in 1 2 3 4 5 6 7 8; do
		try
	done
	within 10 refused_by source_rate client 3
	# one more gets through when the time has given one back
	within 15 eval 'try; [ "$(fresh_scrape | metric tollgate_proxy_connections_opened_total "leg=\"upstream\"")" -ge 7 ]'
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "the limits are for the real client that a PROXY header names" {
	start_gate 'proxy_protocol: { from: [192.0.2.1] }' 'limits: { per_source: 1 }' \
		'routes: [{ name: app, backends: ["198.51.100.1:3000"] }]'
	from() { # NAME ADDRESS
		# shellcheck disable=SC2016 # expands in the inner shell
		start "$1" client sh -c '(printf "PROXY TCP4 %s 192.0.2.2 1 2\r\n" "$1"
			until [ -e "$0" ]; do sleep 0.05; done) | nc.openbsd -N 192.0.2.2 8080' "$DIR/go" "$2"
	}
	from one 203.0.113.1
	from two 203.0.113.2
	within 10 relayed 2
	from three 203.0.113.1
	within 10 refused_by source_connections client 1
	relayed 2
	tollgate status --json | jq -e '.offenders[0].source == "203.0.113.1"'
	start_exporter
	[ "$(at gate curl -fsS http://127.0.0.1:9980/offenders | jq -r '.[0].source')" = 203.0.113.1 ]
}
