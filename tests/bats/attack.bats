#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What strangers send, odd sockets and odd devices, and hands that stop a load half-way: the
# books stay right, small, and whole.

load helpers

setup() { stage_up; }
teardown() {
	local bad=0
	stage_down || bad=1
	[ -z "${MEMORY:-}" ] || [ ! -d "$MEMORY" ] || rmdir "$MEMORY" || bad=1
	return $bad
}

SEGMENTS=$BIN/tests/tools/segments
TRICKS=$BIN/tests/tools/tricks
FRAMES=$BIN/tests/tools/frames


# by_hand SCRIPT: a connection to 192.0.2.2:7000 from 192.0.2.77, which is nobody's
by_hand() {
	at gate ip neigh replace 192.0.2.77 lladdr "$(mac_of client eth)" dev front
	start server gate nc.openbsd -l 192.0.2.2 7000
	within 5 listening gate 7000
	at client "$SEGMENTS" "$1" eth 192.0.2.77 192.0.2.2 7000 "$(mac_of gate front)"
	within 5 sockets_closed
	tollgate audit --json >"$DIR/audit" || :
}

# compared JQ: of the tcp_wire lines of the audit
compared() { jq "[.checks[] | select(.check == \"tcp_wire\") | $1] | add" "$DIR/audit"; }

# wire_is_right: every connection that was compared with its packets is as they say
wire_is_right() {
	equal 0 "$(jq .residual_bytes.tcp_wire "$DIR/audit")" "tcp_wire residual" || {
		jq -c '.odd_connections[0]' "$DIR/audit"
		return 1
	}
}

# --- K5, K6: segments that no stack sends ---

@test "a connection made by hand is in all books" {
	load --device front
	by_hand plain
	wire_is_right
	equal "1 100" "$(compared .connections_compared) $(tollgate status --json | jq .payload.rx_payload_bytes)" \
		"connections and bytes"
}

@test "a second SYN of another number before the handshake is over leaves no residual" {
	load --device front
	by_hand two-syns
	equal 1 "$(compared .connections_compared)" connections
	equal 100 "$(tollgate status --json | jq .payload.rx_payload_bytes)" "bytes of the socket"
	wire_is_right
}

@test "a FIN that comes again, one further each time, is a byte in no book" {
	load --device front
	by_hand fins
	wire_is_right
	equal "1 100" "$(compared .connections_compared) $(tollgate status --json | jq .payload.rx_payload_bytes)" \
		"connections and bytes"
}

@test "a FIN that comes again, one further each time, is no byte that the proxy has not read" {
	load --device front
	start_sink
	start_plain
	at gate ip neigh replace 192.0.2.77 lladdr "$(mac_of client eth)" dev front
	at client "$SEGMENTS" fins eth 192.0.2.77 192.0.2.2 8080 "$(mac_of gate front)"
	within 5 sockets_closed
	tollgate audit --json >"$DIR/audit" || :
	wire_is_right
	equal "0 2" "$(jq '[.residual_bytes.proxy_tcp, ([.checks[] | select(.check == "proxy_tcp") | .connections_compared] | add)] | "\(.[0]) \(.[1])"' -r "$DIR/audit")" \
		"proxy_tcp residual and connections compared"
}

@test "bytes with wild sequence numbers are not more than the bytes that came" {
	load --device front
	by_hand wild
	equal 1 "$(compared .connections_compared)" connections
	[ "$(compared .arrived_not_accepted)" -le 4 ] || {
		echo "arrived_not_accepted $(compared .arrived_not_accepted) of 104 bytes that came"
		return 1
	}
	wire_is_right
}

@test "a connection whose segments come in fragments, in any order and however small, is in all books" {
	load --device front
	by_hand parts
	wire_is_right
	equal "1 100" "$(compared .connections_compared) $(tollgate status --json | jq .payload.rx_payload_bytes)" \
		"connections and bytes"
	equal "0 0 0" "$(compared .arrived_in_lost_fragments) $(compared .arrived_not_accepted) $(compared .arrived_twice)" \
		"columns"
}

@test "fragments whose first part is lost track of are a column of their own, no more than they held" {
	load --device front
	at gate ip neigh replace 192.0.2.77 lladdr "$(mac_of client eth)" dev front
	start server gate nc.openbsd -l 192.0.2.2 7000
	within 5 listening gate 7000
	mkfifo "$DIR/next"
	# shellcheck disable=SC2016 # expands in the inner shell
	start parts client sh -c 'exec "$@" <"$0"' "$DIR/next" \
		"$SEGMENTS" parts-lost eth 192.0.2.77 192.0.2.2 7000 "$(mac_of gate front)"
	exec 7>"$DIR/next"
	local i key
	for i in 1 2 3 4 5; do
		within 5 eval "[ \"\$(grep -c first '$DIR/parts.log')\" = $i ]"
		for key in $(bpftool -j map dump pinned "$PINS/fragments" | jq -r '.[] | (.key // .formatted.key) | @json' | tr -d ' []"'); do
			# shellcheck disable=SC2086 # words
			bpftool map delete pinned "$PINS/fragments" key hex ${key//,/ }
		done
		echo >&7
	done
	exec 7>&-
	wait "$parts_pid"
	within 5 sockets_closed
	tollgate audit --json >"$DIR/audit" || :
	equal 100 "$(tollgate status --json | jq .payload.rx_payload_bytes)" "bytes of the socket"
	wire_is_right
	[ "$(compared .arrived_in_lost_fragments)" -gt 0 ]
	[ "$(compared .arrived_in_lost_fragments)" -le 100 ]
}

# --- K7: a frame that crosses two watched devices ---

# bridge_up: br0 on the gate, 203.0.113.2, whose port `third` leads to the client
bridge_up() {
	nsenter --net="/proc/$client/ns/net" ip link add eth3 type veth peer name third netns "$gate"
	at gate ip link add br0 type bridge
	at gate ip link set third master br0 up
	address "$client" eth3 203.0.113.1/24 fd00:3::1/64
	address "$gate" br0 203.0.113.2/24 fd00:3::2/64
}

# macvlan_up: m0 on the gate's front, 203.0.113.2, beside its own address
macvlan_up() {
	at gate ip link add m0 link front type macvlan mode bridge
	address "$client" eth 203.0.113.1/24 fd00:3::1/64
	address "$gate" m0 203.0.113.2/24 fd00:3::2/64
}

# names_both DEVICE DEVICE: load says something of the two, whether it goes on or not
names_both() {
	run --separate-stderr load --device "$1" --device "$2"
	[[ $stderr == *"$1"*"$2"* || $stderr == *"$2"*"$1"* ]] || {
		echo "load (exit $status) said: $stderr"
		return 1
	}
}

# counted_once DEVICE DEVICE: both are watched, or the second alone if load wants it so
counted_once() {
	load --device "$1" --device "$2" || load --device "$2"
	start_exporter
	start_peer server gate --listen 203.0.113.2:3000
	at client "$PEER" load --connect 203.0.113.2:3000 --connections 20 --bytes 10000 >"$DIR/client.log"
	stop "$server_pid"
	within 10 eval 'tollgate audit --json >"$DIR/audit" || :; [ "$(compared .connections_compared)" = 20 ]'
	wire_is_right
	equal "$(sums client tx)" "$(fresh_scrape | metric tollgate_wire_payload_bytes_total \
		'protocol="tcp"' 'direction="rx"' 'leg="host"')" "bytes at the devices"
}

@test "load names a watched bridge and its watched port" {
	bridge_up
	names_both br0 third
}

@test "what crosses a bridge and its port is counted once" {
	bridge_up
	counted_once br0 third
}

@test "load names a watched macvlan and its watched lower device" {
	macvlan_up
	names_both m0 front
}

@test "what crosses a macvlan and its lower device is counted once" {
	macvlan_up
	counted_once m0 front
}

# --- K8: one 4-tuple, twice ---

@test "two sockets of the same addresses and ports, each bound to its device: each has its own packets" {
	at gate ip addr add 203.0.113.2/24 dev front
	at gate ip addr add 203.0.113.2/24 dev back
	at client ip addr add 203.0.113.1/24 dev eth
	at backend ip addr add 203.0.113.1/24 dev eth
	at gate sysctl -qw net.ipv4.conf.all.rp_filter=0
	load --device front --device back
	for place in client backend; do
		start "server_$place" "$place" nc.openbsd -l 203.0.113.1 7000
		within 5 listening "$place" 7000
	done
	at gate "$TRICKS" twice 203.0.113.2:5000 203.0.113.1:7000 front back
	within 5 eval '[ "$(tollgate status --json | jq "[.sockets.closed, .payload.tx_payload_bytes] | add")" -ge 31000 ]'
	tollgate audit --json >"$DIR/audit" || :
	equal 2 "$(jq '[.checks[] | select(.check == "tcp_wire" and (.what | contains("connected to port 7000"))) |
		.connections_compared] | add' "$DIR/audit")" "compared with their packets"
	wire_is_right
}

# --- K10: a load that is stopped ---

# Everything of ours in the kernel.
leftovers() {
	at gate nft list tables
	at gate bpftool net show
	bpftool cgroup show "$CGROUP"
	find "$DIR/bpf"
}

# stopped_when SIGNAL PIN: a load gets the signal as soon as that pin is there, in the
# directory of the books or in one that will be it
stopped_when() {
	local found="" path
	shopt -s dotglob
	# a background job begins with SIGINT ignored
	start loader gate env --default-signal=INT "$BIN/tollgate" load --pins "$PINS" \
		--cgroup "$CGROUP" --device front
	while [ -z "$found" ] && kill -0 "$loader_pid" 2>/dev/null; do
		# without a fork: a load is not long at one place
		# shellcheck disable=SC2086 # a pattern
		for path in "$DIR"/bpf/*tollgate*$2; do
			[ ! -e "$path" ] || found=$path
		done
	done
	stop "$loader_pid" "$1"
	shopt -u dotglob
}

# whole_or_none: what readers and loaders say of it
whole_or_none() {
	run tollgate status --json
	if [ "$status" = 0 ] && [ ! -e "$PINS/link-sockops" ]; then
		jq -e '.incomplete // [] | any(.reason == "load_unfinished")' <<<"$output" || {
			echo "status of a load without its hooks: verdict $(jq .verdict <<<"$output"), exit 0"
			return 1
		}
	elif [ "$status" != 0 ]; then
		equal 3 "$status" "exit of status, which said: $output"
	fi
	run tollgate unload
	echo "unload (exit $status) said: $output"
	[ "$status" = 0 ] || [[ $status == 3 && $output == *"not loaded"* ]]
	leftovers >"$DIR/after"
	diff "$DIR/before" "$DIR/after"
	run -0 load --device front
	run -0 tollgate unload
}

# stopped_everywhere SIGNAL [PIN...]
stopped_everywhere() {
	local signal=$1
	shift
	leftovers >"$DIR/before"
	[ $# -gt 0 ] || set -- "" /meta /names "/link-wire-rx-*" /live /link-release /link-sockops
	for pin in "$@"; do
		echo "stopped by $signal when there is '$pin':"
		stopped_when "$signal" "$pin"
		whole_or_none
	done
}

@test "a load that is interrupted (SIGINT) at any moment can be unloaded and loaded again" {
	stopped_everywhere INT
}

@test "a load that is terminated (SIGTERM) at any moment can be unloaded and loaded again" {
	stopped_everywhere TERM /meta /link-sockops # as SIGINT, but for its number
}

@test "a load that is killed (SIGKILL) at any moment can be unloaded and loaded again" {
	stopped_everywhere KILL
}

@test "an empty directory where the books shall be is no load" {
	mkdir "$PINS"
	run -3 tollgate status
	run -0 load --device front
	tollgate status
}

# --- K13, K14: what costs the sender nothing ---

series() { fresh_scrape | grep -vc '^#'; }

@test "1,200 refused connects to as many ports: a handful of series, and a later port has its own row" {
	load --device lo
	start_exporter
	local before after
	before=$(series)
	# shellcheck disable=SC2016 # expands in the inner shell
	at gate bash -c 'for p in {20001..21200}; do { :; } 2>/dev/null 3<>/dev/tcp/127.0.0.1/$p; done' 2>/dev/null || :
	within 10 eval '[ "$(tollgate status --json | jq .sockets.closed)" -ge 1200 ]'
	after=$(series)
	[ $((after - before)) -le 1000 ] || {
		echo "$before series before, $after after; $(scrape | wc -c) bytes"
		return 1
	}
	start_peer server gate --listen 127.0.0.1:3000
	at gate "$PEER" load --connect 127.0.0.1:3000 --connections 10 --bytes 1000 >"$DIR/client.log"
	stop "$server_pid"
	equal "$(sums client tx)" "$(fresh_scrape | metric tollgate_tcp_payload_bytes_total \
		'port="3000"' 'role="accepted"' 'direction="rx"')" "bytes of port 3000"
}

@test "30,000 one-way datagrams with made-up ports leave no record, and lose none" {
	load --device front --idle 2s
	start exporter gate "$BIN/tollgate-exporter" --listen 127.0.0.1:9980 --pins "$PINS" --records 1000
	within 10 scrape
	start_peer server gate --listen 192.0.2.2:3000
	at client "$PEER" load --connect 192.0.2.2:3000 --connections 50 --bytes 1000 >"$DIR/client.log"
	within 10 eval '[ "$(records "select(.local == \"192.0.2.2:3000\")")" = 50 ]'
	at client "$FRAMES" datagrams eth 192.0.2.77 192.0.2.2 9 30000 "$(mac_of gate front)" >"$DIR/sent"
	fresh_scrape >"$DIR/page"
	equal "$(jq 'select(.protocol == "udp") | .frame_bytes' "$DIR/sent")" \
		"$(metric tollgate_wire_frame_bytes_total 'protocol="udp"' 'direction="rx"' <"$DIR/page")" "frames"
	within 30 eval '[ "$(fresh_scrape | metric tollgate_map_entries "map=\"wire\"")" -le 20 ]'
	fresh_scrape >"$DIR/page"
	equal "50 0" "$(records 'select(.local == "192.0.2.2:3000")') $(records 'select(.protocol == "udp")')" \
		"records of TCP that are left, and of the flood"
	equal 0 "$(metric tollgate_records_lost_total <"$DIR/page")" "lost records"
}

records() { at gate curl -fsS --max-time 20 http://127.0.0.1:9980/records | jq "[.[] | $1] | length"; }

# --- K15: load --upgrade ---

@test "load --upgrade refuses the options it does not obey" {
	load --device front
	local said
	for option in "--size wire=8" "--hook tracepoint" "--cgroup $CGROUP" "--xdp front" "--adopt none" "--no-nft" "--idle 5s"; do
		# shellcheck disable=SC2086 # two words
		run tollgate load --upgrade $option
		[ "$status" != 0 ] || {
			echo "--upgrade $option: exit 0"
			said=yes
		}
		[ "$status" = 0 ] || [[ $output == *"${option%% *}"* ]]
	done
	[ -z "${said:-}" ]
}

# programs: of every link that is pinned, "NAME ID" a line
programs() {
	local pin
	for pin in "$PINS"/link-* "$PINS"/live "$PINS"/list; do
		echo "${pin##*/} $(bpftool -j link show pinned "$pin" | jq .prog_id)"
	done
}

@test "load --upgrade replaces every program or none" {
	load --device front --device back
	# a pin that cannot be upgraded, between the others: a second of the cgroup's link
	bpftool link pin id "$(bpftool -j link show pinned "$PINS/link-release" | jq .id)" "$PINS/link-xdp-1"
	programs >"$DIR/before"
	run tollgate load --upgrade
	programs >"$DIR/after"
	local changed all
	all=$(grep -vc '^link-xdp-1' "$DIR/before")
	changed=$(diff "$DIR/before" "$DIR/after" | grep '^>' | grep -vc link-xdp-1) || :
	echo "exit $status: $changed of $all programs are new"
	if [ "$status" = 0 ]; then
		equal "$all" "$changed" "new programs of an upgrade"
	else
		equal 0 "$changed" "new programs of an upgrade that failed"
	fi
}

# --- K17, K18: odd sockets, large segments ---

@test "a connection put away and made again by TCP_REPAIR: no byte is missed or called sent again" {
	at gate sysctl -qw net.ipv4.tcp_timestamps=0 net.ipv4.tcp_window_scaling=0
	load
	start_exporter
	at gate "$TRICKS" repair 3000
	within 10 eval '[ "$(records "select(.local == \"127.0.0.1:3000\")")" = 1 ]'
	within 5 eval '[ "$(records "select(.remote == \"127.0.0.1:3000\" and .tx_payload_bytes > 2000)")" = 1 ]'
	at gate curl -fsS http://127.0.0.1:9980/records |
		jq '.[] | select(.remote == "127.0.0.1:3000" and .tx_payload_bytes > 2000)' >"$DIR/record"
	equal "5000 5000 0" "$(jq -r '"\(.tx_payload_bytes) \(.tx_acked_bytes) \(.tx_retransmitted_bytes)"' "$DIR/record")" \
		"sent, acknowledged, sent again"
}

@test "IPv6 segments with the jumbo option of BIG TCP: what the link carries, no byte more" {
	at gate ip link set front gso_max_size 200000 gro_max_size 200000
	at client ip link set eth gso_max_size 200000 gro_max_size 200000
	# or what is lost on a busy machine makes headers longer
	at gate sysctl -qw net.ipv4.tcp_sack=0
	at client sysctl -qw net.ipv4.tcp_sack=0
	at gate nft -f - <<-'N'
		table inet big {
			counter c {}
			chain out {
				type filter hook output priority 0;
				meta length > 65575 counter name c
			}
		}
	N
	load --device front
	start_exporter
	start_peer server gate --listen "[fd00:1::2]:6000"
	at client "$PEER" load --connect "[fd00:1::2]:6000" --connections 1 --bytes 20000000 --mix fixed >"$DIR/client.log"
	stop "$server_pid"
	within 10 eval '[ "$(records "select(.local == \"[fd00:1::2]:6000\")")" = 1 ]'
	at gate curl -fsS http://127.0.0.1:9980/records | jq '.[] | select(.local == "[fd00:1::2]:6000")' >"$DIR/record"
	# the stack did pass aggregates larger than an IPv6 header can say
	[ "$(at gate nft -j list counter inet big c | jq '.nftables[] | .counter? // empty | .packets')" -gt 0 ]
	# 40 of IPv6 and 32 of TCP with timestamps a segment; the SYN-ACK has 8 more
	equal "$(jq '.tx_payload_bytes + .tx_retransmitted_bytes + 72 * .tx_packets + 8' "$DIR/record")" \
		"$(jq .tx_l3_bytes "$DIR/record")" "bytes of IP, sent"
	equal "$(jq '.tx_l3_bytes + 14 * .tx_packets' "$DIR/record")" "$(jq .tx_frame_bytes "$DIR/record")" "bytes of frames"
}

# --- K27: no memory is not no room ---

# Where the memory of a cgroup can be limited: in the first hierarchy that has it.
memory_cgroup() {
	MEMORY=$(awk '$0 ~ / - cgroup / && $NF ~ /(^|,)memory(,|$)/ { print $5; exit }' /proc/self/mountinfo)
	MEMORY_MAX=memory.limit_in_bytes MEMORY_NOW=memory.usage_in_bytes
	if [ -z "$MEMORY" ]; then
		MEMORY=${CGROUP%/*} MEMORY_MAX=memory.max MEMORY_NOW=memory.current
	fi
	MEMORY=$MEMORY/tollgate-memory-$$-$BATS_TEST_NUMBER
	mkdir "$MEMORY"
}

@test "an insert that fails for want of memory is not called a full map" {
	memory_cgroup
	# shellcheck disable=SC2016 # expands in the inner shell
	at gate sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$MEMORY" \
		"$BIN/tollgate" load --pins "$PINS" --cgroup "$CGROUP" --device front
	cat "$MEMORY/$MEMORY_NOW" >"$MEMORY/$MEMORY_MAX"
	at client "$FRAMES" syns eth 192.0.2.77 192.0.2.2 8080 20000 "$(mac_of gate front)" >/dev/null
	at client "$FRAMES" datagrams eth 192.0.2.77 192.0.2.2 9 40000 "$(mac_of gate front)" >/dev/null
	tollgate status --json >"$DIR/status"
	rmdir "$MEMORY"
	local entries
	entries=$(bpftool -j map dump pinned "$PINS/wire" | jq length)
	echo "$entries of 262144 entries; faults $(jq -c .faults "$DIR/status")"
	[ "$entries" -lt 60000 ] # or there was memory enough
	equal 0 "$(jq .faults.wire_full "$DIR/status")" "inserts that found the map full"
	jq -e '.incomplete | any(.reason == "out_of_memory")' "$DIR/status"
}
