#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Ended connections: in memory, streamed, in a file that is rotated; histograms; the audit
# that goes on and names what is odd.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

# talk N: so many connections of 1,000 bytes up and 2,000 down through the gate
talk() {
	at client "$PEER" load --connect 192.0.2.2:8080 --connections "$1" --bytes 1000 --mix fixed >>"$DIR/client.log"
}

gate_with_exporter() { # OPTION...
	load --device front
	start_plain
	start_peer server backend --listen 198.51.100.1:3000
	start exporter gate "$BIN/tollgate-exporter" --listen 127.0.0.1:9980 --pins "$PINS" "$@"
	within 10 scrape
}

plain_records() {
	at gate curl -fsS "http://127.0.0.1:9980/records?last=${1:-100000}" |
		jq -c '.[] | select(.listener == "plain" and .book == "tcp")'
}

# what the proxy tells, once it has told it all: N
proxy_events() {
	within 10 eval '[ "$(at gate curl -fsS http://127.0.0.1:9980/records |
		jq "map(select(.book == \"proxy\")) | length")" = '"$1"' ]'
	at gate curl -fsS http://127.0.0.1:9980/records | jq 'map(select(.book == "proxy"))'
}

@test "tollgate events: the last ones, for people and as JSON; --follow goes on" {
	gate_with_exporter
	talk 5
	within 10 eval '[ "$(plain_records | wc -l)" = 10 ]'
	proxy_events 5 >/dev/null
	run -0 --separate-stderr tollgate events --last 100
	[ "$(grep -c plain <<<"$output")" = 15 ]
	[[ $output == *"closed_by_"* ]]
	[ "$(grep -c "proxy 192.0.2.1:.* in .* 1000 B out .* done by client plain/app" <<<"$output")" = 5 ]
	run -0 --separate-stderr tollgate events --last 100 --book proxy
	[ "${#lines[@]}" = 5 ]
	start follower gate "$BIN/tollgate" events --follow --json --last 0 --book tcp
	# its request has been answered: the server's end has sent the head
	within 10 eval 'at gate ss -Htin state established "sport = 9980" | grep -q "bytes_sent"'
	talk 7
	within 10 eval '[ "$(grep -c "\"listener\":\"plain\"" "$DIR/follower.log")" = 14 ]'
	jq -e -s 'map(select(.leg == "downstream")) | length == 7 and
		all(.route == "app" and .rx_payload_bytes > 1000 and .srtt_us > 0 and .handshake_us > 0 and .min_rtt_us > 0)' \
		<(grep plain "$DIR/follower.log")
	stop "$follower_pid"
	# and of what comes only what is wanted
	start follower gate "$BIN/tollgate" events --follow --json --last 0 --book tcp --port 9980
	within 10 eval 'at gate ss -Htin state established "sport = 9980" | grep -q "bytes_sent"'
	talk 3
	tollgate events --last 1 >/dev/null
	within 10 grep -q ":9980" "$DIR/follower.log"
	equal 0 "$(grep -c plain "$DIR/follower.log")" "records of others"
	stop "$follower_pid"
}

@test "events without an exporter: one sentence, exit 3; a broken address: exit 1" {
	load
	run -3 --separate-stderr tollgate events
	[[ $stderr == *"no exporter answers at http://127.0.0.1:9980"* ]]
	start_exporter
	run -1 --separate-stderr tollgate events --exporter http://127.0.0.1:9980/nowhere
	[[ $stderr == *"status 404"* ]]
}

@test "JSON lines to a file that is rotated by size: every record once, none torn" {
	local dir
	# the exporter is nobody by then, and the test's own directory is root's
	dir=$(mktemp -d /tmp/tollgate-events.XXXXXX)
	chmod 777 "$dir"
	gate_with_exporter --events-file "$dir/log" --events-size 20K --events-keep 20
	talk 100
	within 10 eval '[ "$(plain_records | wc -l)" = 200 ]'
	proxy_events 100 >/dev/null
	stop "$exporter_pid"
	[ -s "$dir/log.3" ]
	[ ! -e "$dir/log.21" ]
	for file in "$dir"/log.*; do
		[ "$(stat -c %s "$file")" -le 20480 ]
	done
	cat "$dir"/log* | jq -e -s 'map(select(.listener == "plain")) | length == 300 and
		all(.local // .downstream.local)'
	[ "$(cat "$dir"/log* | wc -l)" = "$(cat "$dir"/log* | sort -u | wc -l)" ]
	rm -r "$dir"
}

@test "a file that cannot be rotated grows on, and that is said" {
	local dir
	dir=$(mktemp -d /tmp/tollgate-events.XXXXXX)
	chmod 755 "$dir"
	install -m 666 /dev/null "$dir/log"
	gate_with_exporter --events-file "$dir/log" --events-size 10K
	talk 50
	within 10 eval '[ "$(plain_records | wc -l)" = 100 ]'
	proxy_events 50 >/dev/null
	[[ $(at gate curl -fsS http://127.0.0.1:9980/healthz) == *"events could not be written"* ]]
	stop "$exporter_pid"
	grep -q "cannot rotate $dir/log: Permission denied" "$DIR/exporter.log"
	jq -e -s 'map(select(.listener == "plain")) | length == 150' "$dir/log"
	rm -r "$dir"
}

@test "events on standard output, and a file that cannot be written is said at the start" {
	gate_with_exporter --events-file -
	talk 3
	within 10 eval '[ "$(grep -c "\"listener\":\"plain\"" "$DIR/exporter.log")" = 9 ]'
	stop "$exporter_pid"
	run -1 timeout 10 nsenter --net="/proc/$gate/ns/net" "$BIN/tollgate-exporter" \
		--listen 127.0.0.1:9980 --pins "$PINS" --events-file /nowhere/log
	[[ $output == *"cannot open /nowhere/log"* ]]
}

# stream_after ID: what the stream says from there on, until it has said ten records
stream_after() {
	start stream gate curl -sN -H "Last-Event-ID: $1" http://127.0.0.1:9980/events
	within 10 eval '[ "$(grep -c "^data: {\"book" "$DIR/stream.log")" -ge 10 ]'
	stop "$stream_pid"
}

@test "a slow stream is told what it missed, and Last-Event-ID resumes" {
	gate_with_exporter --records 10 --events-file -
	talk 20
	within 10 eval '[ "$(grep -c "\"listener\":\"plain\"" "$DIR/exporter.log")" = 60 ]'
	stream_after 1
	[ "$(head -1 "$DIR/stream.log")" = "event: lost" ]
	# the number of an exporter that counted further: from the beginning
	stream_after 99999
	[ "$(head -1 "$DIR/stream.log")" = "event: lost" ]
}

@test "the proxy's events: what the client asked for, where it went, and the bytes of both sockets" {
	load --device front --device back
	start right backend "$HELLO" serve 198.51.100.1:3001 right
	within 10 grep -q listening "$DIR/right.log"
	start_proxy <<-Y
		listeners:
		  - name: told
		    address: "192.0.2.2:8443"
		    ja4: true
		    routes: [{ name: right, sni: [right.example.org], backends: ["198.51.100.1:3001"] }]
		  - name: untold
		    address: "192.0.2.2:8444"
		    routes: [{ name: right, sni: [right.example.org], backends: ["198.51.100.1:3001"] }]
	Y
	start_exporter
	at client "$HELLO" matrix 192.0.2.2:8443 right.example.org >"$DIR/matrix"
	at client "$HELLO" send 192.0.2.2:8444 "one record" right.example.org
	at client "$HELLO" send 192.0.2.2:8444 "one record" other.example.org || :
	local n=$(($(wc -l <"$DIR/matrix") + 2))
	proxy_events "$n" >"$DIR/events"
	within 10 sockets_closed
	jq -c 'group_by([.listener, .reason, .side, .server_name]) | map([length, .[0].listener, .[0].reason, .[0].side,
		.[0].server_name])[]' "$DIR/events" >"$DIR/groups"
	equal "$((n - 2)) told done, 1 untold done, 1 untold no_route" "$(jq -r '"\(.[0]) \(.[1]) \(.[2])"' \
		"$DIR/groups" | paste -sd, | sed 's/,/, /g')" "ends"
	jq -e 'map(select(.listener == "untold" and .reason == "no_route")) | length == 1 and
		all(.server_name == "other.example.org" and .side == "client" and .upstream == null and .backend == "" and
			(has("ja4") | not))' "$DIR/events"
	jq -e 'map(select(.reason == "done")) | all(.server_name == "right.example.org" and .backend == "198.51.100.1:3001" and
		(.tls_version == "1.3" or .tls_version == "1.2") and .retries == 0 and .downstream.undelivered_bytes == 0)' "$DIR/events"
	# the same offers make the same fingerprint, however the hello is cut
	jq -e 'map(select(.listener == "told").ja4) | all(test("^t1[23]d[0-9]{4}.._[0-9a-f]{12}_[0-9a-f]{12}$")) and
		(group_by(.) | map(length) | max) >= 9' "$DIR/events"
	jq -e 'map(select(.server_name_outer)) | length == 1' "$DIR/events"
	# the kernel's word on the same two sockets
	at gate curl -fsS http://127.0.0.1:9980/records | jq 'map(select(.book == "tcp" and .leg != "host"))' >"$DIR/sockets"
	jq -en --slurpfile e "$DIR/events" --slurpfile s "$DIR/sockets" '
		def key: "\(.local) \(.remote) \(.rx_payload_bytes) \(.tx_payload_bytes)";
		[$e[0][] | .downstream, .upstream | select(.) | key] | sort as $told |
		[$s[0][] | key] | sort | . == $told'
}

@test "events of the proxy that find no place are counted, and the others are told" {
	load --device front --size proxy_events=8
	start_plain
	start_peer server backend --listen 198.51.100.1:3000
	talk 30
	within 10 eval '[ "$(tollgate status --json | jq .sockets.live)" = 0 ]'
	start exporter gate "$BIN/tollgate-exporter" --listen 127.0.0.1:9980 --pins "$PINS"
	within 10 scrape
	proxy_events 8 >/dev/null
	fresh_scrape >"$DIR/page"
	equal 22 "$(metric tollgate_proxy_events_lost_total <"$DIR/page")" lost
	equal 8 "$(metric tollgate_map_capacity 'map="proxy_events"' <"$DIR/page")" capacity
	equal 0 "$(metric tollgate_map_entries 'map="proxy_events"' <"$DIR/page")" entries
	# and there is room again; the next exporter goes on where this one stopped
	talk 3
	proxy_events 11 >/dev/null
	stop "$exporter_pid"
	talk 4
	start exporter gate "$BIN/tollgate-exporter" --listen 127.0.0.1:9980 --pins "$PINS"
	within 10 scrape
	proxy_events 4 >/dev/null
	equal 22 "$(fresh_scrape | metric tollgate_proxy_events_lost_total)" "lost in all"
}

@test "histograms of closed sockets: cumulative, their count is the number of closes" {
	gate_with_exporter
	talk 40
	within 10 sockets_of_plain_closed
	fresh_scrape >"$DIR/page"
	for name in connection_duration_seconds rtt_seconds connection_payload_bytes; do
		equal 40 "$(metric "tollgate_${name}_count" 'leg="downstream"' 'listener="plain"' <"$DIR/page")" "$name"
		equal 40 "$(metric "tollgate_${name}_bucket" 'leg="downstream"' 'le="+Inf"' <"$DIR/page")" "$name +Inf"
		grep "^tollgate_${name}_bucket.*downstream.*route=\"app\"" "$DIR/page" | awk '{ if ($NF < last) exit 1; last = $NF }'
	done
	equal "$(($(sums client tx) + $(sums client rx)))" \
		"$(metric tollgate_connection_payload_bytes_sum 'leg="downstream"' <"$DIR/page")" "sum of bytes"
	# nothing is smaller than 1,000 bytes, everything smaller than 64 KiB
	equal 0 "$(metric tollgate_connection_payload_bytes_bucket 'leg="downstream"' 'le="512"' <"$DIR/page")" "512"
	equal 40 "$(metric tollgate_connection_payload_bytes_bucket 'leg="downstream"' 'le="131072"' <"$DIR/page")" "131072"
}

sockets_of_plain_closed() {
	[ "$(fresh_scrape | metric tollgate_connections_closed_total 'listener="plain"')" = 80 ]
}

@test "audit --watch goes on; a book that lies is named, with its connections" {
	gate_with_exporter
	talk 3
	start watcher gate "$BIN/tollgate" audit --watch --json --pins "$PINS"
	within 10 eval '[ "$(jq -s length "$DIR/watcher.log")" -ge 2 ]'
	jq -e -s 'all(.odd_book == null and .odd_connections_total == 0)' "$DIR/watcher.log"
	stop "$watcher_pid"
	# 256 bytes more than the link has carried for one connection
	mkfifo "$DIR/fifo"
	start talker client sh -c "exec nc.openbsd -N 192.0.2.2 8080 <'$DIR/fifo' >/dev/null"
	exec 7>"$DIR/fifo"
	within 10 eval '[ "$(tollgate flows --json --listener plain | jq length)" = 2 ]'
	local entry
	entry=$(bpftool -j map dump pinned "$PINS/wire" |
		jq -c '[.[] | select(.formatted.value.socket == 1 and .formatted.value.listener > 0)][0]')
	# counts[TG_TX].payload_bytes, its second byte
	# shellcheck disable=SC2046
	bpftool map update pinned "$PINS/wire" \
		key hex $(jq -r '.key | map(ltrimstr("0x")) | join(" ")' <<<"$entry") \
		value hex $(jq -r '.value | map(ltrimstr("0x")) | .[137] = "01" | join(" ")' <<<"$entry")
	exec 7>&-
	within 10 sockets_closed
	run -1 --separate-stderr tollgate audit --json
	jq -e '.residual_bytes.tcp_wire == 256 and .odd_connections_total == 1 and
		.odd_connections[0].check == "tcp_wire" and
		.odd_connections[0].other_tx_bytes == .odd_connections[0].tcp_tx_bytes + 256 and
		(.odd_connections[0].local == "192.0.2.2:8080") and (.odd_book | startswith("tcp or wire"))' <<<"$output"
	run -1 tollgate audit
	[[ $output == *"odd one out: tcp or wire"*"192.0.2.2:8080 - 192.0.2.1"* ]]
}
