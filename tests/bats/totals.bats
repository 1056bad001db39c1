#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Totals that outlive a load: exported, and gone on with.

load helpers

setup() {
	stage_up
	start_peer server backend --listen 198.51.100.1:3000
}
teardown() { stage_down; }

# run_gate [OPTION OF LOAD...]: 20 connections through it, and a scrape in $DIR/page
run_gate() {
	load --device front --device back "$@"
	start_plain
	start_exporter
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 20 --mix assorted
	within 10 sockets_closed
	fresh_scrape >"$DIR/page"
}

stop_gate() {
	stop "$proxy_pid"
	stop "$exporter_pid"
}

# counters: what must go on, a line each
counters() {
	grep -E '^tollgate_(connections_(opened|closed)|tcp_payload_bytes|tcp_segments|wire_(payload|frame)_bytes|proxy_payload_bytes|proxy_connections|ended)[a-z_]*_total' |
		grep -v 'leg="host"' | grep -v ' 0$' | sort
}

@test "totals that are exported go on after unload and load, in every book, and agree" {
	run_gate
	counters <"$DIR/page" >"$DIR/first"
	[ "$(wc -l <"$DIR/first")" -gt 10 ]
	stop_gate
	run -0 tollgate export-totals "$DIR/totals.json"
	tollgate unload
	load --device front --device back --continue "$DIR/totals.json"
	# before a byte has passed: the same
	tollgate status | grep -q "totals  *go on from"
	start_exporter
	fresh_scrape | counters >"$DIR/second"
	diff "$DIR/first" "$DIR/second"
	stop "$exporter_pid"
	run -0 tollgate audit
	tollgate unload
	# and with as much again: twice
	run_gate --continue "$DIR/totals.json"
	for name in tcp_payload_bytes proxy_payload_bytes connections_opened connections_closed; do
		equal $((2 * $(metric tollgate_${name}_total 'leg="downstream"' <"$DIR/first"))) \
			"$(metric tollgate_${name}_total 'leg="downstream"' <"$DIR/page")" "$name"
	done
	# what was sent again crossed the link again
	[ "$(metric tollgate_wire_payload_bytes_total 'leg="downstream"' <"$DIR/page")" -ge \
		$(($(metric tollgate_wire_payload_bytes_total 'leg="downstream"' <"$DIR/first") +
			$(metric tollgate_tcp_payload_bytes_total 'leg="downstream"' <"$DIR/first"))) ]
	run -0 tollgate audit
}

@test "totals are not exported while the proxy runs, and a killed one's go on as they are" {
	run_gate
	run -1 tollgate export-totals "$DIR/totals.json"
	[[ $output == *"the proxy runs (pid $proxy_pid)"* && ! -e "$DIR/totals.json" ]]
	kill -KILL "$proxy_pid"
	wait "$proxy_pid" || :
	stop "$exporter_pid"
	within 10 tollgate export-totals "$DIR/totals.json"
	tollgate unload
	run_gate --continue "$DIR/totals.json"
	equal 40 "$(metric tollgate_connections_opened_total 'leg="downstream"' <"$DIR/page")" connections
	run -0 tollgate audit
}

@test "rows of names that no configuration has any more are gone on with, too" {
	run_gate
	stop_gate
	tollgate export-totals "$DIR/totals.json"
	tollgate unload
	load --device front --device back --continue "$DIR/totals.json"
	start_proxy <<-Y
		listeners:
		  - { name: other, address: "192.0.2.2:8081", routes: [{ name: new, backends: ["198.51.100.1:3000"] }] }
	Y
	start_exporter
	at client "$PEER" load --connect 192.0.2.2:8081 --connections 20 --mix assorted
	within 10 sockets_closed
	fresh_scrape >"$DIR/second"
	equal "20 20" "$(metric tollgate_connections_closed_total 'leg="downstream"' 'listener="plain"' <"$DIR/second") $(metric \
		tollgate_connections_closed_total 'leg="downstream"' 'listener="other"' <"$DIR/second")" "connections of both"
	run -0 tollgate audit
}

@test "a connection that is open across both is adopted: counted once, to its end" {
	load --device front
	start server2 gate nc.openbsd -l 192.0.2.2 7000 </dev/null
	within 5 listening gate 7000
	mkfifo "$DIR/fifo"
	start long client sh -c "exec nc.openbsd -N 192.0.2.2 7000 <'$DIR/fifo'"
	exec 7>"$DIR/fifo"
	echo first >&7
	within 5 eval '[ "$(tollgate status --json | jq .payload.rx_payload_bytes)" -ge 6 ]'
	tollgate export-totals "$DIR/totals.json"
	tollgate unload
	load --device front --continue "$DIR/totals.json"
	echo again >&7
	exec 7>&-
	wait "$long_pid" "$server2_pid"
	within 5 eval '[ "$(tollgate status --json | jq .sockets.live)" = 0 ]'
	# twice six bytes, at the end that lives where the totals were exported
	equal 12 "$(tollgate status --json | jq .payload.rx_payload_bytes)" bytes
	run -0 tollgate audit
}

@test "totals that cannot be read load nothing, and say where; those that cannot be written leave nothing" {
	local bad
	run_gate
	stop_gate
	run -1 tollgate export-totals /nonexistent/totals.json
	[[ $output == *"/nonexistent/totals.json"* ]]
	tollgate export-totals >"$DIR/good"
	jq -e '.schema == 1 and (.tcp | length) > 2' "$DIR/good"
	tollgate unload
	head -c 1000 "$DIR/good" >"$DIR/cut"
	jq '.schema = 99' "$DIR/good" >"$DIR/later"
	jq '.tcp[0].counters.unheard = 3' "$DIR/good" >"$DIR/unknown"
	jq '.tcp[0].leg = "sideways"' "$DIR/good" >"$DIR/leg"
	jq 'del(.wire)' "$DIR/good" >"$DIR/lacks"
	jq '.tcp[0].counters.closed = [range(100)]' "$DIR/good" >"$DIR/long"
	for bad in nowhere cut later unknown leg lacks long; do
		run -1 load --device front --continue "$DIR/$bad"
		[[ $output == *"--continue $DIR/$bad: "* && ! -e "$PINS" ]] || {
			echo "$bad: $output"
			return 1
		}
	done
	run -1 load --device front --continue "$DIR/good" --size tcp_totals=1
	[[ $output == *"more than tcp_totals has room for"* && ! -e "$PINS" ]]
	run -0 load --device front --continue "$DIR/good"
}
