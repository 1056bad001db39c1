#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The four books hold what sender and receiver measured, to the byte.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

# all_books LISTENER CLIENT_TX CLIENT_RX CONNECTIONS [HEADER_IN [HEADER_OUT]]: the books of a
# listener against what the client measured; upstream it is the same, mirrored
all_books() {
	local l="listener=\"$1\"" up=$2 down=$3 n=$4 in=${5:-0} out=${6:-0} page
	page=$(fresh_scrape)
	value() { metric "$@" <<<"$page"; }
	local down_leg='leg="downstream"' up_leg='leg="upstream"'
	local rx='direction="rx"' tx='direction="tx"'

	equal "$up" "$(value tollgate_proxy_payload_bytes_total "$l" $down_leg $rx)" "proxy down rx"
	equal "$down" "$(value tollgate_proxy_payload_bytes_total "$l" $down_leg $tx)" "proxy down tx"
	equal "$down" "$(value tollgate_proxy_payload_bytes_total "$l" $up_leg $rx)" "proxy up rx"
	equal "$up" "$(value tollgate_proxy_payload_bytes_total "$l" $up_leg $tx)" "proxy up tx"
	equal "$in" "$(value tollgate_proxy_header_bytes_total "$l" $down_leg $rx)" "header in"
	equal "$out" "$(value tollgate_proxy_header_bytes_total "$l" $up_leg $tx)" "header out"

	equal $((up + in)) "$(value tollgate_tcp_payload_bytes_total "$l" $down_leg $rx)" "tcp down rx"
	equal "$down" "$(value tollgate_tcp_payload_bytes_total "$l" $down_leg $tx)" "tcp down tx"
	equal "$down" "$(value tollgate_tcp_payload_bytes_total "$l" $up_leg $rx)" "tcp up rx"
	equal $((up + out)) "$(value tollgate_tcp_payload_bytes_total "$l" $up_leg $tx)" "tcp up tx"

	# the wire carries what was sent again too; the kernel says how much that was
	local again
	again=$(value tollgate_tcp_retransmitted_bytes_total "$l" $down_leg)
	equal $((down + again)) "$(value tollgate_wire_payload_bytes_total "$l" $down_leg $tx)" "wire down tx"
	again=$(value tollgate_tcp_retransmitted_bytes_total "$l" $up_leg)
	equal $((up + out + again)) "$(value tollgate_wire_payload_bytes_total "$l" $up_leg $tx)" "wire up tx"

	for leg in $down_leg $up_leg; do
		equal "$n" "$(value tollgate_connections_opened_total "$l" $leg)" "opened $leg"
		equal "$n" "$(value tollgate_connections_closed_total "$l" $leg)" "closed $leg"
		equal 0 "$(value tollgate_connections_active "$l" $leg)" "active $leg"
	done
	equal "$n" "$(value tollgate_proxy_connections_closed_total "$l" $down_leg)" "proxy closed"
}

# audit_is_clean: exit 0, every check was made, every residual is 0

# nft and the wire book at the listener's boundary, each against the other's sum
nft_is_wire() {
	run -0 --separate-stderr tollgate audit --json
	jq -e --arg l "listener $1 rx" '.checks | map(select(.what == $l))
		| length == 1 and all(.nft == .wire and .nft > 0)' <<<"$output"
}

@test "200 connections of every size and ending, v4 and v6: four books, no residual" {
	load --device front --device back
	start_proxy <<-Y
		listeners:
		  - name: plain
		    address: "[::]:8080"
		    routes: [{ name: app, backends: ["198.51.100.1:3000", "[fd00:2::1]:3000"] }]
	Y
	start_exporter
	start_peer server backend --listen "[::]:3000"
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 100 --mix assorted --seed 1 \
		>"$DIR/client4.log"
	at client "$PEER" load --connect "[fd00:1::2]:8080" --connections 100 --mix assorted --seed 2 \
		>"$DIR/client6.log"
	within 10 sockets_closed
	stop "$server_pid"
	local tx=$(($(sums client4 tx) + $(sums client6 tx)))
	local rx=$(($(sums client4 rx) + $(sums client6 rx)))
	equal 200 "$(sums server connections)" "server's connections"
	equal "$tx" "$(sums server rx)" "sent and received"
	equal "$rx" "$(sums server tx)" "received and sent"
	all_books plain "$tx" "$rx" 200
	audit_is_clean
	nft_is_wire plain
}

@test "200 connections through a trusted PROXY v2 header to a backend that expects one" {
	load --device front --device back
	start_proxy <<-Y
		listeners:
		  - name: tls
		    address: "[::]:8443"
		    proxy_protocol: { from: [192.0.2.0/24] }
		    routes:
		      - name: git
		        sni: ["*.example.org"]
		        backends: ["198.51.100.1:3000"]
		        send_proxy: v2
	Y
	start_exporter
	start_peer server backend --listen "198.51.100.1:3000" --proxy --tls
	at client "$PEER" load --connect 192.0.2.2:8443 --connections 200 --mix assorted --seed 3 \
		--sni git.example.org --send-proxy v2 >"$DIR/client.log"
	within 10 sockets_closed
	stop "$server_pid"
	equal "$(sums client tx)" "$(sums server rx)" "sent and received"
	equal "$(sums client rx)" "$(sums server tx)" "received and sent"
	equal 200 "$(grep -c '^proxy v2 192.0.2.77:7777 192.0.2.2:8443$' "$DIR/server.log")" \
		"the real client arrived"
	# the hello is payload to everybody but the peers
	all_books tls $(($(sums client tx) + $(sums client hello))) "$(sums client rx)" 200 \
		"$(sums client header)" "$(sums server header)"
	audit_is_clean
}

@test "without the proxy: an unrelated server and client are in flows and totals, exact" {
	load --device lo
	start iperf gate iperf3 --server --bind 127.0.0.1 --port 5201 --forceflush
	within 10 grep -q listening "$DIR/iperf.log"
	start held gate nc.openbsd -l 127.0.0.1 5202
	within 10 listening gate 5202
	start_peer server gate --listen 127.0.0.1:5203

	# a connection that stands still is shown with the bytes it has moved
	mkfifo "$DIR/fifo"
	start talker gate sh -c "exec nc.openbsd -N 127.0.0.1 5202 <'$DIR/fifo'"
	exec 7>"$DIR/fifo"
	printf '%s' "exactly 25 bytes, please." >&7
	within 10 live 2
	run -0 --separate-stderr tollgate flows --json
	jq -e '[.[] | select(.leg == "host")] | length == 2 and
		(map(select(.role == "accepted" and .local == "127.0.0.1:5202" and
			.rx_payload_bytes == 25 and .tx_payload_bytes == 0)) | length == 1) and
		(map(select(.role == "connected" and .remote == "127.0.0.1:5202" and
			.tx_payload_bytes == 25 and .state == "ESTABLISHED")) | length == 1)' \
		<<<"$output"
	exec 7>&-
	within 10 live 0

	head -c 7654321 /dev/urandom >"$DIR/blob"
	start receiver gate nc.openbsd -l 127.0.0.1 5204
	within 10 listening gate 5204
	at gate nc.openbsd -N 127.0.0.1 5204 <"$DIR/blob"
	cmp "$DIR/receiver.log" "$DIR/blob"
	at gate "$PEER" load --connect 127.0.0.1:5203 --connections 50 --mix assorted >"$DIR/client.log"
	at gate iperf3 --client 127.0.0.1 --port 5201 --bytes 20M --json >"$DIR/iperf.json"
	within 10 sockets_closed
	start_exporter
	local page
	page=$(fresh_scrape)
	value() { metric tollgate_tcp_payload_bytes_total leg=\"host\" "$@" <<<"$page"; }
	equal "$(sums client tx)" "$(value 'port="5203"' 'role="accepted"' 'direction="rx"')" "peer rx"
	equal "$(sums client rx)" "$(value 'port="5203"' 'role="accepted"' 'direction="tx"')" "peer tx"
	equal "$(sums client tx)" "$(value 'port="5203"' 'role="connected"' 'direction="tx"')" "peer tx"
	equal 25 "$(value 'port="5202"' 'role="accepted"' 'direction="rx"')" "held"
	# iperf3's data and its control connection are one service port: both ends must agree
	equal "$(value 'port="5201"' 'role="connected"' 'direction="tx"')" \
		"$(value 'port="5201"' 'role="accepted"' 'direction="rx"')" "iperf3"
	# iperf3 stops reading when its time is up: the kernel has at least what it read
	[ "$(value 'port="5201"' 'role="accepted"' 'direction="rx"')" -ge \
		"$(jq .end.sum_received.bytes "$DIR/iperf.json")" ]
	equal 7654321 "$(value 'port="5204"' 'role="accepted"' 'direction="rx"')" "nc received"
	equal 7654321 "$(value 'port="5204"' 'role="connected"' 'direction="tx"')" "nc sent"
	run -0 --separate-stderr tollgate audit --json
	jq -e '.residual_bytes.tcp_wire == 0 and .residual_bytes.totals_sockets == 0' <<<"$output"
}

@test "10,000 connections at full speed: opened = closed = what the client counted" {
	load --device front --device back
	start_plain
	start_exporter
	start_peer server backend --listen "198.51.100.1:3000"
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 10000 --parallel 64 --bytes 100 \
		>"$DIR/client.log"
	equal 10000 "$(sums client connections)" "client's connections"
	within 30 sockets_closed
	stop "$server_pid"
	all_books plain "$(sums client tx)" "$(sums client rx)" 10000
	audit_is_clean
	# nothing stays behind in the wire book; neighbour discovery is no connection
	equal 0 "$(tollgate flows --protocol all --json |
		jq '[.[] | select(.protocol == "tcp" and .state == "-")] | length')" "wire flows left"
}

@test "kill -9 of proxy and exporter: no counter goes back, nothing is counted twice" {
	load --device front --device back
	local yaml='listeners:
  - name: plain
    address: "192.0.2.2:8080"
    routes: [{ name: app, backends: ["198.51.100.1:3000"] }]'
	start_proxy <<<"$yaml"
	start_exporter
	start_peer server backend --listen "198.51.100.1:3000"
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 50 --mix assorted >"$DIR/client.log"
	within 10 sockets_closed
	fresh_scrape >"$DIR/before"

	# killed in the middle of transfers
	start victim client "$PEER" load --connect 192.0.2.2:8080 --connections 8 --parallel 8 \
		--bytes 200000000
	within 10 live 32
	stop "$proxy_pid" KILL
	stop "$exporter_pid" KILL
	wait "$victim_pid" || :
	within 20 sockets_closed
	start_proxy <<<"$yaml"
	start_exporter
	fresh_scrape >"$DIR/between"
	monotonic "$DIR/before" "$DIR/between"
	equal 8 "$(metric tollgate_ended_total 'reason="proxy_died"' <"$DIR/between")" "died"
	equal 58 "$(metric tollgate_proxy_connections_closed_total 'leg="downstream"' <"$DIR/between")" \
		"the proxy's connections"
	# what the killed proxy had no word for is a named column, not a residual
	run -0 tollgate audit

	at client "$PEER" load --connect 192.0.2.2:8080 --connections 50 --mix assorted --seed 9 \
		>"$DIR/client2.log"
	within 10 sockets_closed
	fresh_scrape >"$DIR/after"
	monotonic "$DIR/between" "$DIR/after"
	for direction in rx tx; do
		grown() {
			echo $(($(metric "$1" 'leg="downstream"' "direction=\"$direction\"" <"$DIR/after") -
				$(metric "$1" 'leg="downstream"' "direction=\"$direction\"" <"$DIR/between")))
		}
		[ $direction = rx ] && want=$(sums client2 tx) || want=$(sums client2 rx)
		equal "$want" "$(grown tollgate_tcp_payload_bytes_total)" "tcp $direction"
		equal "$want" "$(grown tollgate_proxy_payload_bytes_total)" "proxy $direction"
	done
	run -0 tollgate audit
}

# monotonic BEFORE AFTER: every counter of BEFORE is in AFTER and not smaller
monotonic() {
	grep -v '^#' "$1" | grep '_total' | while read -r name value; do
		now=$(grep -v '^#' "$2" | grep -F "$name " | awk '{ print $NF }')
		[ -n "$now" ] && [ "$now" -ge "$value" ] || {
			echo "$name went from $value to '$now'"
			return 1
		}
	done
}

@test "audit while traffic flows does not cry wolf, and still sees a book that lies" {
	load --device front --device back
	start_plain
	start_peer server backend --listen "198.51.100.1:3000"
	start traffic client "$PEER" load --connect 192.0.2.2:8080 --connections 4000 --parallel 16 \
		--bytes 20000
	for _ in 1 2 3 4 5; do
		run -0 tollgate audit
	done
	kill -0 "$traffic_pid" # all that was while traffic flowed
	wait "$traffic_pid"
	within 10 sockets_closed
	# a book that somebody has written into
	at gate nft reset counters table netdev tollgate
	run -1 tollgate audit --json
	jq -e '.residual_bytes.wire_nft > 1000 and .verdict == "differs"' <<<"$output"
	# it was looked into: only what comes after it is told
	run -0 tollgate audit --accept "counters were reset by hand"
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 1 --bytes 1000
	within 10 sockets_closed
	run -0 tollgate audit
	[[ $output == agrees* && $output == *"reset by hand"* ]]
}
