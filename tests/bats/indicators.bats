#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What damages a book is told by every indicator, until it is mended: the exit code and the
# verdict of audit, status, /healthz and the metric.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

ATTACH=$BIN/tests/tools/attach
FOREIGN=$BIN/tests/bpf/foreign.bpf.o

# exporter_runs: it was started and not stopped
exporter_runs() { [ -n "${exporter_pid:-}" ] && kill -0 "$exporter_pid" 2>/dev/null; }

# indicators: "name verdict", one a line, what each of them says now
indicators() {
	local code=0
	tollgate audit >/dev/null 2>&1 || code=$?
	case $code in
	0) echo "audit agrees" ;;
	1) echo "audit differs" ;;
	4) echo "audit incomplete" ;;
	*) echo "audit exit-$code" ;;
	esac
	if exporter_runs; then
		code=$(at gate curl -sS -o /dev/null -w '%{http_code}' --max-time 10 http://127.0.0.1:9980/healthz)
		case $code in
		200) echo "healthz agrees" ;;
		500) echo "healthz differs" ;;
		503) echo "healthz incomplete" ;;
		*) echo "healthz status-$code" ;;
		esac
		echo "metric $(scrape | sed -n 's/^tollgate_verdict{verdict="\([a-z]*\)"} 1$/\1/p')"
	fi
	echo "audit_json $(tollgate audit --json | jq -r .verdict)"
	echo "status_json $(tollgate status --json | jq -r .verdict)"
}

# Every line a verdict, and none of them good.
none_agrees() {
	indicators >"$DIR/said"
	! grep -vE ' (differs|incomplete)$' "$DIR/said" || false
}

all_agree() {
	indicators >"$DIR/said"
	! grep -v ' agrees$' "$DIR/said" || false
}

# told [REASON [TARGET]]: within 10 s nobody says agrees any more, and goes on so
told() {
	within 10 none_agrees || {
		echo "what was said of the damage:"
		cat "$DIR/said"
		return 1
	}
	[ $# = 0 ] || incomplete "$@" || return 1
	for _ in {1..5}; do
		none_agrees || {
			echo "taken back before anything was mended:"
			cat "$DIR/said"
			return 1
		}
	done
}

# incomplete REASON [TARGET]: status and metric name it
incomplete() {
	tollgate status --json | jq -e --arg r "$1" --arg t "${2:-}" \
		'.incomplete | any(.reason == $r and ($t == "" or .target == $t) and .count > 0)' || {
		tollgate status --json | jq -c .incomplete
		return 1
	}
	! exporter_runs || within 5 in_metric "$@"
}

in_metric() { [ "$(scrape | metric tollgate_incomplete "reason=\"$1\"" ${2:+"target=\"$2\""})" -gt 0 ]; }

# mended: within 10 s everybody agrees again
mended() {
	within 10 all_agree || {
		echo "what was said after the repair:"
		cat "$DIR/said"
		return 1
	}
}

# Before anything happens; by what every version can say.
sound() {
	run -0 tollgate audit
	! exporter_runs || at gate curl -fsS http://127.0.0.1:9980/healthz
}

# exact_or_told TEST...: within 5 s the figures are right, or everybody says that they are not
exact_or_told() {
	within 5 "$@" || {
		"$@" || :
		told
	}
}

# foreign NAME PROGRAM WHERE TARGET: a program of somebody else, until stopped
foreign() {
	start "$1" gate "$ATTACH" "$FOREIGN" "$2" "$3" "$4"
	within 10 grep -q attached "$DIR/$1.log"
}

# sockets OPENED CLOSED RX TX: what status says
sockets_are() {
	equal "$*" "$(tollgate status --json | jq -r '"\(.sockets.opened) \(.sockets.closed) \(.payload.rx_payload_bytes) \(.payload.tx_payload_bytes)"')" \
		"opened, closed, rx, tx"
}

# local_traffic: 10 connections on the gate's loopback, 100 kB each way; both ends are ours
local_traffic() {
	start_peer server gate --listen 127.0.0.1:3000
	at gate "$PEER" load --connect 127.0.0.1:3000 --connections 10 --bytes 100000 >"$DIR/client.log"
	stop "$server_pid"
}

local_sockets_are_counted() {
	local both=$(($(sums client tx) + $(sums client rx)))
	sockets_are 20 20 "$both" "$both"
}

# --- K1: a sockops program that sets its flags and no others ---

@test "a foreign sockops program at the same cgroup: every connection is counted, or it is told" {
	load
	foreign sampler sampler sockops "$CGROUP"
	local_traffic
	exact_or_told local_sockets_are_counted
	local_sockets_are_counted || incomplete sockets_lost
}

@test "a foreign sockops program matters nothing where the tracepoint tells" {
	load --hook tracepoint
	foreign sampler sampler sockops "$CGROUP"
	local_traffic
	within 5 local_sockets_are_counted
}

@test "a foreign sockops program in a child cgroup: every connection is counted, or it is told" {
	mkdir "$CGROUP/child"
	load
	foreign sampler sampler sockops "$CGROUP/child"
	start_peer server gate --listen 127.0.0.1:3000
	CGROUP=$CGROUP/child at gate "$PEER" load --connect 127.0.0.1:3000 --connections 10 --bytes 100000 >"$DIR/client.log"
	stop "$server_pid"
	exact_or_told local_sockets_are_counted
}

@test "a socket whose flags a foreign program took while it lived: its end is told, and what it carried" {
	load
	start_exporter
	foreign sampler sampler sockops "$CGROUP"
	start_peer server gate --listen 127.0.0.1:3000
	start client gate "$PEER" load --connect 127.0.0.1:3000 --connections 1 --bytes 1000000 --pause 100
	# a reader comes by while it lives
	within 10 eval '[ "$(tollgate flows --json | jq "map(select(.local == \"127.0.0.1:3000\" or
		.remote == \"127.0.0.1:3000\")) | length")" = 2 ]'
	wait "$client_pid"
	stop "$server_pid"
	exact_or_told lived_and_died
}

lived_and_died() {
	fresh_scrape >"$DIR/page"
	for role in accepted connected; do
		equal 1 "$(metric tollgate_connections_closed_total 'port="3000"' "role=\"$role\"" <"$DIR/page")" "$role closed" &&
			equal 0 "$(metric tollgate_connections_active 'port="3000"' "role=\"$role\"" <"$DIR/page")" "$role active" || return 1
	done
	equal "$(sums client tx)" "$(metric tollgate_tcp_payload_bytes_total 'port="3000"' 'role="connected"' 'direction="tx"' <"$DIR/page")" tx
}

@test "a foreign sockops program behind the proxy: the tcp book has what the proxy has, or it is told" {
	gate_up
	start_exporter
	sound
	foreign sampler sampler sockops "$CGROUP"
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 10 --bytes 100000 >"$DIR/client.log"
	exact_or_told tcp_has_what_the_proxy_has
}

tcp_has_what_the_proxy_has() {
	fresh_scrape >"$DIR/page"
	for leg in downstream upstream; do
		for direction in rx tx; do
			equal "$(metric tollgate_proxy_payload_bytes_total "leg=\"$leg\"" "direction=\"$direction\"" <"$DIR/page")" \
				"$(metric tollgate_tcp_payload_bytes_total "leg=\"$leg\"" "direction=\"$direction\"" <"$DIR/page")" \
				"$leg $direction" || return 1
		done
	done
	equal 20 "$(metric tollgate_connections_closed_total 'listener="plain"' <"$DIR/page")" closed
}

@test "flows of sockets whose end nobody told leave the wire map, and their bytes go to a row" {
	load --device front --idle 4s
	start_exporter
	foreign sampler sampler sockops "$CGROUP"
	start_peer server gate --listen 192.0.2.2:3000
	at client "$PEER" load --connect 192.0.2.2:3000 --connections 50 --bytes 1000 >"$DIR/client.log"
	stop "$server_pid"
	within 20 eval '[ "$(fresh_scrape | metric tollgate_map_entries "map=\"wire\"")" -le 5 ]' || {
		echo "$(fresh_scrape | metric tollgate_map_entries 'map="wire"') flows are left"
		return 1
	}
	[ "$(fresh_scrape | metric tollgate_wire_payload_bytes_total 'direction="rx"' 'leg="host"')" -ge "$(sums client tx)" ]
}

# --- K2: what it was attached to is made again ---

# service_traffic: 10 connections of processes in the cgroup svc, on loopback
service_traffic() {
	rm -f "$DIR/server.log"
	start_peer server gate --listen 127.0.0.1:3000
	CGROUP=$CGROUP/svc at gate "$PEER" load --connect 127.0.0.1:3000 --connections 10 --bytes 1000 >"$DIR/client.log"
	stop "$server_pid"
}

# opened N [CLOSED]: connections in the books
opened() { equal "$1" "$(tollgate status --json | jq .sockets.opened)" opened; }

@test "the cgroup of the books is removed and made again: told, and load --upgrade attaches to it" {
	mkdir "$CGROUP/svc"
	at gate "$BIN/tollgate" load --pins "$PINS" --cgroup "$CGROUP/svc"
	service_traffic
	within 5 opened 10
	sound
	within 5 rmdir "$CGROUP/svc"
	told hook_detached "sockops $CGROUP/svc"
	mkdir "$CGROUP/svc"
	told hook_detached "sockops $CGROUP/svc"
	run -0 tollgate load --upgrade
	mended
	service_traffic
	within 5 opened 20
}

@test "the cgroup of the books is removed and made again: the exporter attaches to it by itself" {
	mkdir "$CGROUP/svc"
	at gate "$BIN/tollgate" load --pins "$PINS" --cgroup "$CGROUP/svc"
	start_exporter
	service_traffic
	within 5 opened 10
	sound
	within 5 rmdir "$CGROUP/svc"
	told hook_detached "sockops $CGROUP/svc"
	equal 0 "$(fresh_scrape | metric tollgate_attached 'hook="sockops"' "target=\"$CGROUP/svc\"")" attached
	mkdir "$CGROUP/svc"
	mended
	fresh_scrape >"$DIR/page"
	equal 1 "$(metric tollgate_attached 'hook="sockops"' "target=\"$CGROUP/svc\"" <"$DIR/page")" attached
	[ "$(metric tollgate_reattached_total <"$DIR/page")" -ge 1 ]
	service_traffic
	within 5 opened 20
}

# third_link: a second way from client to gate, 203.0.113.1 to 203.0.113.2, device third
third_link() {
	nsenter --net="/proc/$client/ns/net" ip link add eth3 type veth peer name third netns "$gate"
	address "$client" eth3 203.0.113.1/24 fd00:3::1/64
	address "$gate" third 203.0.113.2/24 fd00:3::2/64
}

# third_traffic: 10 connections to the gate over it
third_traffic() {
	rm -f "$DIR/server.log"
	start_peer server gate --listen 203.0.113.2:3000
	at client "$PEER" load --connect 203.0.113.2:3000 --connections 10 --bytes 1000 >"$DIR/client.log"
	stop "$server_pid"
}

# on_the_wire: the payload that came in for the gate's own sockets
on_the_wire() {
	fresh_scrape | metric tollgate_wire_payload_bytes_total 'protocol="tcp"' 'direction="rx"' 'leg="host"'
}

@test "a watched device is deleted and made again: told, and load --upgrade attaches to it" {
	third_link
	load --device third
	third_traffic
	sound
	at gate ip link delete third
	told hook_detached "wire_rx third"
	incomplete hook_detached "wire_tx third"
	third_link
	told hook_detached "wire_rx third"
	run -0 tollgate load --upgrade
	mended
	third_traffic
	within 5 eval 'tollgate audit --json | jq -e "[.checks[] | select(.check == \"tcp_wire\") |
		.connections_compared] | add == 20"'
	all_agree
}

@test "a watched device is deleted and made again: the exporter attaches to it by itself" {
	third_link
	load --device third
	start_exporter
	third_traffic
	equal "$(sums client tx)" "$(on_the_wire)" "before"
	sound
	at gate ip link delete third
	told hook_detached "wire_rx third"
	equal 0 "$(fresh_scrape | metric tollgate_attached 'hook="wire_rx"' 'target="third"')" attached
	third_link
	mended
	equal 1 "$(fresh_scrape | metric tollgate_attached 'hook="wire_rx"' 'target="third"')" attached
	third_traffic
	equal $(($(sums client tx) * 2)) "$(on_the_wire)" "before and after"
}

@test "a watched device is deleted under the proxy alone: it is attached again by itself" {
	third_link
	load --device third
	start_plain
	at gate ip link delete third
	told hook_detached "wire_rx third"
	third_link
	mended
}

@test "XDP on a device that is deleted and made again: told, and attached again" {
	third_link
	load --xdp third 2>/dev/null
	start_exporter
	sound
	at gate ip link delete third
	told hook_detached "xdp third"
	third_link
	mended
	tollgate status --json | jq -e '.xdp.third == "native"'
}

# --- K3: a program before ours has the last word ---

@test "a tcx program that was there before ours hides no frame" {
	foreign accepter accepter rx front
	load --device front
	start_exporter
	start_peer server gate --listen 192.0.2.2:3000
	at client "$PEER" load --connect 192.0.2.2:3000 --connections 10 --bytes 1000 >"$DIR/client.log"
	stop "$server_pid"
	equal "$(sums client tx)" "$(on_the_wire)" "bytes at the device"
	all_agree
}

@test "a tcx program that comes before ours later is told, and no more when it goes" {
	load --device front
	start_exporter
	sound
	foreign accepter accepter rx front
	told hook_not_first "wire_rx front"
	tollgate status --json | jq -e '.hooks[] | select(.hook == "wire_rx" and .target == "front") |
		.attached and (.first | not) and (.foreign | length == 1)'
	stop "$accepter_pid"
	mended
}

@test "a filter of clsact before ours that has the last word is told" {
	at gate tc qdisc add dev front clsact
	load --device front --attach clsact
	sound
	at gate tc filter add dev front ingress pref 1 bpf direct-action obj "$FOREIGN" sec tc
	start_peer server gate --listen 192.0.2.2:3000
	at client "$PEER" load --connect 192.0.2.2:3000 --connections 10 --bytes 1000 >"$DIR/client.log"
	told hook_not_first "wire_rx front"
	at gate tc filter del dev front ingress pref 1 # and ours, which stands there too
	told hook_detached "wire_rx front"
	run -0 tollgate load --upgrade
	mended
}

# --- K4: another network namespace ---

@test "unload in another network namespace leaves that one's nft table, and takes its own" {
	load --device front
	at client nft add table netdev tollgate
	at client nft add counter netdev tollgate mine '{ packets 7 bytes 77 }'
	at client "$BIN/tollgate" unload --pins "$PINS" || equal 3 $? "exit code of one that refuses"
	run -0 at client nft list table netdev tollgate
	[[ $output == *"bytes 77"* ]]
	[ -e "$PINS" ] || run -1 at gate nft list table netdev tollgate
}

@test "audit and exporter in another network namespace read the right nft table, or say that they cannot" {
	gate_up
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 40 --bytes 5000 >"$DIR/client.log"
	within 10 sockets_closed
	sound
	# there is another of the same name and shape
	at gate nft list table netdev tollgate | sed 's/packets [0-9]* bytes [0-9]*/packets 1 bytes 40/
		s/"front"/"eth"/; s/"back"/"lo"/' >"$DIR/table"
	at client nft -f "$DIR/table"
	run at client "$BIN/tollgate" audit --json --pins "$PINS"
	case $status in
	0) jq -e '.verdict == "agrees" and .residual_bytes.wire_nft == 0' <<<"$output" ;;
	3) [[ $output == *namespace* ]] ;;
	4) jq -e '.incomplete | any(.reason == "other_namespace")' <<<"$output" ;;
	*)
		echo "exit $status: $(jq -c .residual_bytes <<<"$output")"
		return 1
		;;
	esac
	start exporter client "$BIN/tollgate-exporter" --listen 127.0.0.1:9980 --pins "$PINS"
	within 10 at client curl -sS http://127.0.0.1:9980/metrics || equal 3 "$(code_of exporter)" "exporter"
	! kill -0 "$exporter_pid" || equal 0 "$(at client curl -sS http://127.0.0.1:9980/metrics |
		metric tollgate_residual_bytes)" "residual of the exporter there"
}

code_of() {
	local pid=$1_pid code=0
	wait "${!pid}" || code=$?
	echo "$code"
}

# --- K9: somebody flushes the ruleset ---


proxied() {
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 10 --bytes 5000 >"$DIR/client.log"
	within 10 sockets_closed
}

@test "nft flush ruleset: the missing table is told" {
	gate_up
	proxied
	# nobody lives who would mend it
	stop "$proxy_pid"
	sound
	at gate nft flush ruleset
	told nft_table_missing "netdev tollgate"
}

@test "nft flush ruleset: load --upgrade makes the table again, and the books agree" {
	gate_up
	proxied
	stop "$proxy_pid"
	at gate nft flush ruleset
	run -0 tollgate load --upgrade
	nft_table_is_there || {
		echo "no table; audit: $(tollgate audit --json | jq -c .residual_bytes)"
		return 1
	}
	mended
	rm "$DIR/proxy.log"
	start_plain
	proxied
	mended
}

chain_is_there() { at gate nft list chain netdev tollgate "$1"; }
nft_lost() { [ "$(fresh_scrape | metric tollgate_nft_table_lost_total)" -ge "$1" ]; }

@test "a chain of nft that is gone is told while nobody lives who mends it; load --upgrade makes it again" {
	gate_up
	proxied
	stop "$proxy_pid"
	sound
	for chain in rx-front tx-back; do
		at gate nft delete chain netdev tollgate $chain
		told hook_detached "nft_${chain%-*} ${chain#*-}"
	done
	run -0 tollgate load --upgrade
	mended
	tollgate status --json | jq -e '[.hooks[] | select(.hook | startswith("nft_"))] | length == 4 and all(.attached)'
}

@test "a chain of nft at a device that somebody deletes is told, and made again by whoever lives" {
	gate_up
	start_exporter
	proxied
	sound
	local n=0
	for chain in rx-front tx-front rx-back; do
		at gate nft delete chain netdev tollgate $chain
		within 10 chain_is_there $chain
		within 10 nft_lost $((++n))
		proxied
		mended
	done
	grep -q "without a chain of a watched device" "$DIR"/{exporter,proxy}.log
}

@test "nft flush ruleset under traffic: the exporter makes the table again, counts it, and the books agree" {
	gate_up
	start_exporter
	proxied
	sound
	start client client "$PEER" load --connect 192.0.2.2:8080 --connections 2000 --bytes 5000
	at gate nft flush ruleset
	within 5 nft_table_is_there || {
		echo "no table; residual $(tollgate audit --json | jq -c .residual_bytes)"
		return 1
	}
	wait "$client_pid"
	within 10 sockets_closed
	[ "$(fresh_scrape | metric tollgate_nft_table_lost_total)" -ge 1 ]
	mended
	proxied
	mended
}

@test "nft flush ruleset under the proxy alone: it makes the table again" {
	gate_up
	proxied
	at gate nft flush ruleset
	within 5 nft_table_is_there
	proxied
	mended
}

# --- K16, K19: what cannot be read, and what found no room ---

@test "without CAP_NET_ADMIN the audit is incomplete, and says which book it could not read" {
	load --device front
	run -0 tollgate audit
	run at gate setpriv --bounding-set -net_admin --inh-caps -net_admin \
		"$BIN/tollgate" audit --pins "$PINS" --json
	equal 4 "$status" "exit code"
	jq -e '.verdict == "incomplete" and (.incomplete | any(.reason == "book_unreadable" and .target == "nft"))' <<<"$output"
	run -4 at gate setpriv --bounding-set -net_admin --inh-caps -net_admin \
		"$BIN/tollgate" audit --pins "$PINS"
	[[ ${lines[0]} == "incomplete: "*nft* ]]
}

@test "an exporter without CAP_NET_ADMIN says that its answer is incomplete" {
	load --device front
	start exporter gate setpriv --bounding-set -net_admin --inh-caps -net_admin \
		"$BIN/tollgate-exporter" --listen 127.0.0.1:9980 --pins "$PINS"
	within 10 scrape
	run -0 at gate curl -sS -w ' %{http_code}' http://127.0.0.1:9980/healthz
	[[ $output == "incomplete: "*nft*" 503" ]] || {
		echo "healthz said: $output"
		return 1
	}
	equal 1 "$(fresh_scrape | metric tollgate_incomplete 'reason="book_unreadable"' 'target="nft"')" "metric"
}

# hold_20: as many connections at once, from the client to the gate
hold_20() {
	mkfifo "$DIR/hold.in"
	start hold gate sh -c 'exec "$@" <"$0"' "$DIR/hold.in" "$BIN/tests/tools/hold" 20 \
		192.0.2.2:4100 "/proc/$client/ns/net" "/proc/$gate/ns/net"
	exec 7>"$DIR/hold.in"
	within 10 grep -q '"step":1' "$DIR/hold.log"
}

release_20() {
	echo close >&7
	exec 7>&-
	within 10 grep -q closed "$DIR/hold.log"
}

@test "a full wire map is told, for good, until it is acknowledged" {
	load --device front --size wire=4
	start_exporter
	sound
	hold_20
	told map_full wire
	release_20
	told map_full wire
	within 10 sockets_closed # their last frames find no place either
	run -0 tollgate audit --accept "too small, known"
	mended
	tollgate status | grep -q "too small, known"
	# what comes after is told again
	rm "$DIR/hold.in" "$DIR/hold.log"
	hold_20
	told map_full wire
	release_20
}

@test "a full table of rows is told" {
	load --size tcp_totals=2
	start_exporter
	sound
	start_plain
	start_peer server backend --listen 198.51.100.1:3000
	proxied
	[ "$(tollgate status --json | jq .faults.tcp_rows_full)" -gt 0 ]
	told map_full tcp_totals
}

@test "a full directory of flows is told" {
	load --size flows=4
	start_exporter
	sound
	hold_20
	tollgate flows --json >/dev/null
	[ "$(tollgate status --json | jq .faults.flows_full)" -gt 0 ]
	told map_full flows
	release_20
}

@test "no room in the sockets (net.core.optmem_max) is told" {
	load
	at gate sysctl -qw net.core.optmem_max=100
	start_exporter
	local_traffic
	[ "$(tollgate status --json | jq .faults.no_socket_storage)" -gt 0 ]
	exact_or_told local_sockets_are_counted
	incomplete no_socket_storage
}

# fill_names: with 4,096 backends of the past, whose name is x
fill_names() {
	local size rest
	size=$(bpftool -j map show pinned "$PINS/names" | jq .bytes_value)
	rest=$(printf ' 00%.0s' $(seq 2 "$size"))
	for ((i = 1; i <= 4096; i++)); do
		printf 'map update pinned %s/names key hex 02 00 %02x %02x value hex 78%s\n' "$PINS" \
			$((i & 255)) $((i >> 8)) "$rest"
	done >"$DIR/names"
	bpftool batch file "$DIR/names" >/dev/null
	equal 4096 "$(bpftool -j map dump pinned "$PINS/names" | jq length)" names
}

@test "a table of names that is full of the past keeps no proxy from starting, and nothing from its row" {
	load --device front --device back
	fill_names
	start_plain
	start_exporter
	start_peer server backend --listen 198.51.100.1:3000
	proxied
	exact_or_told eval 'equal "$(sums client tx)" "$(fresh_scrape | metric tollgate_tcp_payload_bytes_total \
		"listener=\"plain\"" "route=\"app\"" "leg=\"downstream\"" "direction=\"rx\"")" "bytes of the route"'
}

# --- a pin that is gone ---

@test "a hook whose pin somebody removed is told, and attached again by whoever lives" {
	load --device front
	sound
	rm "$PINS/link-sockops"
	told hook_detached "sockops $CGROUP"
	start_exporter
	mended
	[ "$(fresh_scrape | metric tollgate_reattached_total)" -ge 1 ]
}
