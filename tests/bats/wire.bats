#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The wire book beyond TCP: every protocol and shape, ageing, forwarding, aggregation, XDP.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

# wire NAME PROTOCOL DIRECTION [LABEL...]: from the page in $DIR/page
wire() {
	local name=$1 protocol=$2 direction=$3
	shift 3
	metric "tollgate_wire_${name}_total" "protocol=\"$protocol\"" "direction=\"$direction\"" "$@" <"$DIR/page"
}

# shapes_are_counted: what tools/frames sent is in the wire book, to the byte
shapes_are_counted() {
	at client "$BIN/tests/tools/frames" shapes eth 192.0.2.1 192.0.2.2 fd00:1::1 fd00:1::2 >"$DIR/sent"
	fresh_scrape >"$DIR/page"
	for protocol in udp icmp sctp 253; do
		for what in packets l3_bytes frame_bytes; do
			equal "$(jq "select(.protocol == \"$protocol\") | .$what" "$DIR/sent")" \
				"$(wire $what $protocol rx)" "$protocol $what"
		done
	done
	equal 1 "$(metric tollgate_faults_total 'reason="bad_header"' <"$DIR/page")" "bad header"
	# parts that follow their first, and any number of extension headers, are of their conversation
	equal 0 "$(metric tollgate_faults_total 'reason="too_many_extension_headers"' <"$DIR/page")" "extension headers"
	equal 0 "$(metric tollgate_faults_total 'reason="fragment"' <"$DIR/page")" fragments
	tollgate flows --protocol udp --json | jq -e 'length > 0 and all(.local | test(":0$") | not)'
}

@test "VLAN, options, extension headers, fragments, ICMP, SCTP and others: exact by protocol" {
	load --device front
	start_exporter
	shapes_are_counted
}

@test "XDP sees the same frames before the stack does, and says why one cannot be read" {
	run -0 --separate-stderr tollgate load --cgroup "$CGROUP" --device front --xdp front
	[[ "$stderr" == *"on a veth"* ]]
	tollgate status | grep -q "xdp *front native"
	start_exporter
	shapes_are_counted
	# XDP goes through four extension headers at most, and one of the frames, of 128 bytes, has seven
	local but
	for protocol in udp icmp sctp 253; do
		but=0
		[ $protocol != udp ] || but=128
		equal $(($(wire frame_bytes $protocol rx) - but)) \
			"$(metric tollgate_xdp_frame_bytes_total "protocol=\"$protocol\"" <"$DIR/page")" "xdp $protocol"
	done
	equal 1 "$(metric tollgate_xdp_frames_total 'reason="bad_header"' <"$DIR/page")" "bad header"
	# of two packets the second parts: by themselves they have no ports
	equal 2 "$(metric tollgate_xdp_frames_total 'reason="fragment"' <"$DIR/page")" "fragments"
	equal 1 "$(metric tollgate_xdp_frames_total 'reason="too_many_extension_headers"' <"$DIR/page")" "extension headers"
	[ "$(metric tollgate_xdp_frames_total 'reason="none"' <"$DIR/page")" -gt 5 ]
}

@test "--xdp alone watches the device too, and an idle time longer than the uptime ends nothing" {
	load --xdp front --idle 168h 2>/dev/null
	tollgate status --json | jq -e '.wire_devices == 1 and .xdp.front == "native"'
	start_exporter
	shapes_are_counted
	fresh_scrape >"$DIR/page"
	[ "$(tollgate flows --protocol udp --json | jq length)" -ge 2 ]
	equal 0 "$(udp_records | jq length)" "records"
}

@test "a UDP conversation has a record with its sums when it was idle, and loses no byte" {
	load --device front --idle 8s
	start_exporter
	# what is never answered leaves no record: anybody could fill the ring with it
	start sink gate sh -c 'printf reply | exec nc.openbsd -u -l -n 192.0.2.2 5000'
	within 5 eval '[ -n "$(at gate ss -Huln "sport = 5000")" ]'
	at client bash -c 'exec 5<>/dev/udp/192.0.2.2/5000
		for i in {1..20}; do printf "%0100d" $i >&5; done'
	fresh_scrape >"$DIR/page"
	equal "20 2840" "$(wire packets udp rx) $(wire frame_bytes udp rx)" "while it lives"
	tollgate flows --protocol udp --json |
		jq -e 'length == 1 and .[0].rx_payload_bytes == 2000 and .[0].protocol == "udp"'
	within 20 udp_is_over
	fresh_scrape >"$DIR/page"
	equal "20 2840 2560" "$(wire packets udp rx) $(wire frame_bytes udp rx) $(wire l3_bytes udp rx)" "afterwards"
	within 5 eval '[ "$(udp_records | jq length)" = 1 ]'
	udp_records | jq -e '.[0] | .reason == "idle" and .rx_payload_bytes == 2000 and .rx_segments == 20 and .tx_payload_bytes == 5 and
		.rx_frame_bytes == 2840 and .rx_l3_bytes == 2560 and (.local | endswith(":5000"))'
}

udp_is_over() { tollgate flows --protocol udp --json | jq -e 'length == 0'; }
udp_records() {
	at gate curl -fsS http://127.0.0.1:9980/records | jq '[.[] | select(.protocol == "udp")]'
}

@test "a flood of SYNs that nobody can answer: counted, and gone when idle" {
	load --device front --idle 8s
	start_plain
	start_exporter
	local mac
	mac=$(at gate ip -j link show front | jq -r ".[0].address")
	# 192.0.2.77 does not exist: our SYN-ACKs find no neighbour
	at client "$BIN/tests/tools/frames" syns eth 192.0.2.77 192.0.2.2 8080 5000 "$mac" >"$DIR/sent"
	fresh_scrape >"$DIR/page"
	equal 5000 "$(metric tollgate_listener_syns_total 'listener="plain"' <"$DIR/page")" SYNs
	[ "$(metric tollgate_map_entries 'map="wire"' <"$DIR/page")" -ge 5000 ]
	within 30 eval '[ "$(fresh_scrape | metric tollgate_listener_syns_unanswered_total)" = 5000 ]'
	# the visit that ends them counts them once more
	within 20 eval '[ "$(fresh_scrape | metric tollgate_map_entries "map=\"wire\"")" -le 10 ]'
	fresh_scrape >"$DIR/page"
	equal "$(jq 'select(.protocol == "tcp") | .frame_bytes' "$DIR/sent")" \
		"$(wire frame_bytes tcp rx 'listener="plain"')" "frames of the flood"
	# and a real client is served as before
	start_peer server backend --listen 198.51.100.1:3000
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 10 --bytes 1000 >"$DIR/client.log"
	equal 10 "$(sums client connections)" connections
}

@test "what passes through is forwarded: in no listener's sum, and the audit does not mind" {
	load --device front --device back
	start_proxy <<<'listeners:
  - name: wild
    address: "0.0.0.0:8080"
    routes: [{ name: app, backends: ["198.51.100.1:3000"] }]'
	start_exporter
	at gate sysctl -qw net.ipv4.ip_forward=1
	at client ip route add 198.51.100.0/24 via 192.0.2.2
	at backend ip route add 192.0.2.0/24 via 198.51.100.2
	start_peer server backend --listen 198.51.100.1:8080
	at client "$PEER" load --connect 198.51.100.1:8080 --connections 50 --bytes 30000 --mix fixed >"$DIR/client.log"
	stop "$server_pid"
	within 5 eval '[ "$(fresh_scrape | metric tollgate_wire_payload_bytes_total "leg=\"forwarded\"" "direction=\"rx\"")" -ge \
		$(($(sums client tx) + $(sums client rx))) ]'
	fresh_scrape >"$DIR/page"
	local through
	through=$(wire payload_bytes tcp rx 'leg="forwarded"')
	equal "$through" "$(wire payload_bytes tcp tx 'leg="forwarded"')" "in is out"
	equal 0 "$(wire payload_bytes tcp rx 'listener="wild"')" "of the listener"
	equal 0 "$(wire payload_bytes tcp rx 'leg="host"')" "of the host's sockets"
	run -0 --separate-stderr tollgate audit --json
	jq -e '.residual_bytes.wire_nft == 0 and .residual_bytes.totals_sockets == 0' <<<"$output"
}

# bulk OPTION...: 100 MiB from the client to a server on the gate and as much back
bulk() {
	start_peer server gate --listen 192.0.2.2:6000
	local skbs
	skbs=$(sent_skbs)
	at client "$PEER" load --connect 192.0.2.2:6000 --connections 1 --bytes 104857600 --mix fixed >"$DIR/client.log"
	stop "$server_pid"
	within 10 eval '[ "$(bulk_record | jq length)" -gt 1 ]'
	bulk_record >"$DIR/record"
	skbs=$(($(sent_skbs) - skbs))
	echo "$skbs aggregates" >"$DIR/skbs"
	run -0 --separate-stderr tollgate audit --json
	jq -e '.residual_bytes.tcp_wire == 0' <<<"$output"
	# payload at the device is what the socket handed to IP; segments are its segments, and
	# the SYN-ACK, which was sent before there was a socket
	jq -e '.tx_payload_bytes >= 104857600 and .tx_packets == .tx_segments + 1 and .rx_packets == .rx_segments' "$DIR/record"
	jq -e '.tx_l3_bytes == .tx_frame_bytes - 14 * .tx_packets' "$DIR/record"
	fresh_scrape >"$DIR/page"
	equal "$(jq '.tx_payload_bytes + .tx_retransmitted_bytes' "$DIR/record")" \
		"$(wire payload_bytes tcp tx 'leg="host"')" "payload at the device"
}

# veth counts what the stack hands over, aggregates once
sent_skbs() { at gate ip -s -j link show front | jq '.[0].stats64.tx.packets'; }

bulk_record() {
	at gate curl -fsS http://127.0.0.1:9980/records | jq '.[] | select(.local | endswith("192.0.2.2:6000"))'
}

@test "100 MiB with segmentation offload: segments, payload and frames are exact" {
	load --device front
	start_exporter
	bulk
	# the stack passed aggregates: far fewer than segments
	[ $(($(awk '{ print $1 }' "$DIR/skbs") * 4)) -lt "$(jq .tx_segments "$DIR/record")" ]
}

@test "100 MiB without segmentation offload: the same" {
	load --device front
	start_exporter
	at gate ethtool -K front tso off gso off gro off
	at client ethtool -K eth tso off gso off gro off
	bulk
	[ "$(awk '{ print $1 }' "$DIR/skbs")" -ge "$(jq .tx_segments "$DIR/record")" ]
}

@test "100 MiB with XDP on the receiving device: its frames are the wire book's" {
	load --device front --xdp front
	start_exporter
	bulk
	equal "$(wire frame_bytes tcp rx)" "$(metric tollgate_xdp_frame_bytes_total 'protocol="tcp"' <"$DIR/page")" "frames"
	equal "$(wire packets tcp rx)" "$(metric tollgate_xdp_packets_total 'protocol="tcp"' <"$DIR/page")" "packets"
}
