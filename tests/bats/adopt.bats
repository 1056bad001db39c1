#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Connections that are older than the books, and books that outlive their programs.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

netns() { echo "/proc/${!1}/ns/net"; }

# hold NAME CONNECTIONS ADDRESS CLIENT SERVER: opens them; next NAME moves more bytes
hold() {
	mkfifo "$DIR/$1.in"
	start "$1" gate sh -c 'exec "$@" <"$0"' "$DIR/$1.in" "$BIN/tests/tools/hold" "$2" "$3" \
		"$(netns "$4")" "$(netns "$5")"
	exec {fd}>"$DIR/$1.in"
	printf -v "$1_in" '%s' "$fd"
	within 30 grep -q '"step":1' "$DIR/$1.log"
}

next() { # NAME STEP
	local in=$1_in
	echo >&"${!in}"
	within 30 grep -q "\"step\":$2" "$DIR/$1.log"
}

finish() { # NAME
	local in=$1_in
	echo close >&"${!in}"
	within 30 grep -q closed "$DIR/$1.log"
}

# sum NAME STEP KEY: what the clients had moved by then
sum() { jq -r "select(.step? == $2) | .$3" < <(grep '^{' "$DIR/$1.log"); }

held() { # JQ over the flows or records of the held connections
	jq "[.[] | select((.local | endswith(\":4100\")) or (.remote | endswith(\":4100\")))] | $1"
}

# adopted HOOK: 1,000 connections here and 100 in another namespace
adopted() {
	hold here 1000 192.0.2.2:4100 client gate
	hold there 100 127.0.0.1:4100 backend backend
	load --device front --hook "$1"
	equal 2200 "$(tollgate status --json | jq .sockets.adopted)" "adopted"
	start exporter gate "$BIN/tollgate-exporter" --listen 127.0.0.1:9980 --pins "$PINS" \
		--records 10000
	within 10 scrape

	# whole lives in the directory, nothing in the totals yet
	local up down
	up=$(($(sum here 1 tx) + $(sum there 1 tx))) down=$(($(sum here 1 rx) + $(sum there 1 rx)))
	tollgate flows --json >"$DIR/flows"
	equal 1100 "$(held 'map(select(.role == "accepted" and .adopted)) | length' <"$DIR/flows")" "servers"
	equal "$up" "$(held 'map(select(.role == "accepted") | .rx_payload_bytes) | add' <"$DIR/flows")" "rx before"
	equal "$down" "$(held 'map(select(.role == "accepted") | .tx_payload_bytes) | add' <"$DIR/flows")" "tx before"
	fresh_scrape >"$DIR/page"
	equal 0 "$(metric tollgate_tcp_payload_bytes_total 'port="4100"' <"$DIR/page")" "since the load"
	equal 1100 "$(metric tollgate_connections_active 'port="4100"' 'role="accepted"' <"$DIR/page")" "active"

	next here 2
	next there 2
	finish here
	finish there
	within 10 sockets_over
	fresh_scrape >"$DIR/page"
	local all_up all_down
	up=$(($(sum here 2 tx) + $(sum there 2 tx))) down=$(($(sum here 2 rx) + $(sum there 2 rx)))
	all_up=$((up - $(sum here 1 tx) - $(sum there 1 tx)))
	all_down=$((down - $(sum here 1 rx) - $(sum there 1 rx)))
	local row='port="4100"'
	equal "$all_up" "$(metric tollgate_tcp_payload_bytes_total $row 'role="connected"' 'direction="tx"' <"$DIR/page")" "tx since"
	equal "$all_up" "$(metric tollgate_tcp_payload_bytes_total $row 'role="accepted"' 'direction="rx"' <"$DIR/page")" "rx since"
	equal "$all_down" "$(metric tollgate_tcp_payload_bytes_total $row 'role="connected"' 'direction="rx"' <"$DIR/page")" "rx back"
	equal $((up - all_up)) "$(metric tollgate_tcp_adopted_payload_bytes_total $row 'role="connected"' 'direction="tx"' <"$DIR/page")" "tx before"
	equal 1100 "$(metric tollgate_connections_adopted_total $row 'role="accepted"' <"$DIR/page")" "adopted servers"
	equal 1100 "$(metric tollgate_connections_closed_total $row 'role="connected"' <"$DIR/page")" "closed clients"
	equal 0 "$(metric tollgate_connections_opened_total $row <"$DIR/page")" "opened"

	# each record tells the whole life, and which part is older
	within 10 eval '[ "$(records_of 4100)" = 2200 ]'
	at gate curl -fsS http://127.0.0.1:9980/records | held . >"$DIR/got"
	equal "2200 true" "$(jq -r '"\(length) \(all(.adopted))"' "$DIR/got")" "records"
	equal "$up $down" "$(jq -r 'map(select(.role == "connected")) |
		"\(map(.tx_payload_bytes) | add) \(map(.rx_payload_bytes) | add)"' "$DIR/got")" "lifetime"
	equal $((up - all_up)) "$(jq 'map(select(.role == "connected") | .before_load_tx_payload_bytes) | add' "$DIR/got")" "baseline"
	run -0 --separate-stderr tollgate audit --json
	jq -e '.residual_bytes.totals_sockets == 0' <<<"$output"
}

records_of() { at gate curl -fsS http://127.0.0.1:9980/records | held length; }

sockets_over() {
	tollgate status --json | jq -e '.sockets | .opened + .adopted - .closed <= 4'
}

@test "1,000 connections older than the books, and 100 in another namespace: whole lives, sums since the load" {
	adopted sockops
}

@test "the same by the tracepoint" {
	adopted tracepoint
}

@test "--adopt here and none take in what they say" {
	hold here 10 192.0.2.2:4100 client gate
	hold there 10 127.0.0.1:4100 backend backend
	load --adopt here
	equal 10 "$(tollgate status --json | jq .sockets.adopted)" "here"
	tollgate unload
	load --adopt none
	equal 0 "$(tollgate status --json | jq .sockets.adopted)" "none"
	tollgate unload
	# sockets of a cgroup beside ours are none of our business
	mkdir "$CGROUP/inner"
	at gate "$BIN/tollgate" load --pins "$PINS" --cgroup "$CGROUP/inner"
	equal 0 "$(tollgate status --json | jq .sockets.adopted)" "inner"
	tollgate unload
	rmdir "$CGROUP/inner"
	finish here
	finish there
}

@test "load --upgrade under traffic: no byte is missed, and an older connection goes on" {
	load --device front --device back
	start_plain
	start_exporter
	start_peer server backend --listen "198.51.100.1:3000"
	start client client "$PEER" load --connect 192.0.2.2:8080 --connections 12000 --parallel 16 --mix fixed --bytes 60000
	local n=0
	while kill -0 "$client_pid" 2>/dev/null && [ $n -lt 40 ]; do
		tollgate load --upgrade
		n=$((n + 1))
	done
	wait "$client_pid"
	[ "$n" -ge 2 ]
	within 30 sockets_closed
	stop "$server_pid"
	equal 12000 "$(sums client connections)" "connections"
	fresh_scrape >"$DIR/page"
	for leg in downstream upstream; do
		equal 12000 "$(metric tollgate_connections_closed_total "leg=\"$leg\"" <"$DIR/page")" "$leg closed"
	done
	equal "$(sums client tx)" "$(metric tollgate_tcp_payload_bytes_total 'leg="downstream"' 'direction="rx"' <"$DIR/page")" "tcp rx"
	equal "$(sums client rx)" "$(metric tollgate_tcp_payload_bytes_total 'leg="downstream"' 'direction="tx"' <"$DIR/page")" "tcp tx"
	audit_is_clean
	tollgate status | grep -q "by sockops, upgraded"
}

@test "load --upgrade of nothing, and by the tracepoint" {
	run -3 --separate-stderr tollgate load --upgrade
	[[ "$stderr" == *"not loaded"* ]]
	load --hook tracepoint --device front --attach clsact
	hold here 10 192.0.2.2:4100 client gate
	tollgate load --upgrade
	next here 2
	finish here
	within 10 sockets_closed
	equal 20 "$(tollgate status --json | jq .sockets.closed)" "closed"
	equal "$(($(sum here 2 tx) + $(sum here 2 rx)))" "$(tollgate status --json | jq .payload.rx_payload_bytes)" "rx"
}
