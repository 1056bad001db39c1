#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A client and a local user who mean ill (tools/hostile.c), beside others who are served:
# the books stay true, small and quick, and nobody else loses a byte.  HOSTILE_SECONDS=600
# is ten minutes of each; HOSTILE_RATE is frames or connects a second; HOSTILE_SEED=N draws
# the same again; HOSTILE_ONLY='fragments forged_acks' does only so much of what is printed.

load helpers

seconds=${HOSTILE_SECONDS:-8} rate=${HOSTILE_RATE:-1000}
only=()
for deed in ${HOSTILE_ONLY:-}; do only+=(--only "$deed"); done
series_max=20000 exporter_kb_max=65536 scrape_p99_max=1.0

setup() {
	stage_up
	# in make check the same each time; by hand, longer, another one
	seed=${HOSTILE_SEED:-$([ -n "${HOSTILE_SECONDS:-}" ] && echo $((RANDOM * 32768 + RANDOM)) || echo 1)}
	echo "# seed $seed; HOSTILE_SEED=$seed draws the same" >&3
	load --device front --device back
	start_peer server backend --listen 198.51.100.1:3000
	start_peer tls_server backend --listen 198.51.100.1:3001 --tls
	start_peer header_server backend --listen 198.51.100.1:3002 --proxy
	start_proxy <<-Y
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    routes: [{ name: app, backends: ["198.51.100.1:3000"] }]
		  - name: tls
		    address: "192.0.2.2:8443"
		    routes: [{ name: tls, sni: [app.example.org], backends: ["198.51.100.1:3001"] }]
		  - name: header
		    address: "192.0.2.2:8081"
		    proxy_protocol: { from: ["192.0.2.0/24"] }
		    routes: [{ name: header, send_proxy: v2, backends: ["198.51.100.1:3002"] }]
		  - name: six
		    address: "[fd00:1::2]:8080"
		    routes: [{ name: six, backends: ["198.51.100.1:3000"] }]
		timeouts: { connect: 5s, hello: 2s, idle: 30s }
	Y
	start_exporter
	# who is served has an address that nobody lies about
	at client ip addr add 192.0.2.10/24 dev eth
	start_legitimate plain 8080
	start_legitimate sni 8443 --sni app.example.org
	start_scrapes
}
teardown() {
	: >"$DIR/stop"
	stage_down
}

# start_legitimate NAME PORT [OPTION...]: transfers one after the other, until the file `stop`
start_legitimate() {
	local name=$1 port=$2
	shift 2
	# shellcheck disable=SC2016 # expands in the inner shell
	start "$name" client sh -c 'until [ -e "$0" ]; do "$@" || echo failed; sleep 0.2; done' "$DIR/stop" \
		"$PEER" load --connect "192.0.2.2:$port" --from 192.0.2.10:0 --connections 10 --parallel 2 \
		--mix assorted "$@"
}

# one scrape a second, until the file `stop`: its status and how long it took
start_scrapes() {
	# shellcheck disable=SC2016 # expands in the inner shell
	start scrapes gate sh -c 'until [ -e "$0" ]; do
		curl -s -o /dev/null --max-time 20 -w "%{http_code} %{time_total}\n" http://127.0.0.1:9980/metrics
		sleep 1
	done' "$DIR/stop"
}

attack_remotely() {
	local mac
	mac=$(mac_of gate front)
	# answers to the handshakes made by hand find their way to the device
	at gate ip neigh add 192.0.2.200 dev front nud permanent \
		lladdr "$(mac_of client eth)"
	at client "$BIN/tests/tools/hostile" remote --device eth --mac "$mac" --to 192.0.2.2 --to6 fd00:1::2 \
		--from 192.0.2.1 --from6 fd00:1::1 --by-hand 192.0.2.200 --port 8080 --port 8443 --port 8081 \
		--seconds "$seconds" --rate "$rate" --seed "$seed" "${only[@]}" >"$DIR/remote"
	echo "# $(cat "$DIR/remote")" >&3
	[ -n "${HOSTILE_ONLY:-}" ] || jq -e "$enough" "$DIR/remote"
}

attack_locally() {
	at gate "$BIN/tests/tools/hostile" local --to 192.0.2.2 --to6 fd00:1::2 --beyond 198.51.100.1 \
		--exporter 127.0.0.1:9980 --seconds "$seconds" --rate "$rate" --seed "$seed" "${only[@]}" >"$DIR/local"
	echo "# $(cat "$DIR/local")" >&3
	[ -n "${HOSTILE_ONLY:-}" ] || jq -e '.connects > 1000 and .one_way > 1000 and .listeners > 100 and
		.slow_heads >= 60 and .requests > 100' "$DIR/local"
}

# what is read at different times must come to rest first
true_books() {
	local rc=0
	tollgate audit --json >"$DIR/audit" 2>/dev/null || rc=$?
	jq -e '[.residual_bytes[] | select(. != null and . != 0)] == []' "$DIR/audit" || return 1
	# agrees, or says what is missing
	[ "$rc" = 0 ] || [ "$rc" = 4 ]
}

# must WHAT COMMAND...: what fails is told, and the rest looked at all the same
must() {
	local what=$1
	shift
	"$@" || {
		echo "failed: $what"
		failures=$((failures + 1))
	}
}
failures=0

# who was served had every byte, and nobody of ours has died
legitimate_is_right() {
	local name
	for name in plain sni; do
		equal "" "$(grep -v '"failed":0,"wrong":0' "$DIR/$name.log")" "$name transfers" &&
			grep -q '"failed":0' "$DIR/$name.log" || return 1
	done
	kill -0 "$proxy_pid" && kill -0 "$exporter_pid"
}

# a new client of each kind
still_served() {
	at client "$PEER" load --connect 192.0.2.2:8080 --from 192.0.2.10:0 --connections 20 --mix assorted &&
		at client "$PEER" load --connect 192.0.2.2:8443 --from 192.0.2.10:0 --connections 20 --mix assorted \
			--sni app.example.org &&
		at client "$PEER" load --connect 192.0.2.2:8081 --from 192.0.2.10:0 --connections 20 --mix assorted \
			--send-proxy v2 &&
		at client "$PEER" load --connect "[fd00:1::2]:8080" --connections 20 --mix assorted
}

# the most memory it ever had, its helpers with it, in KiB
high_water() {
	local pid
	for pid in "$1" $(cat "/proc/$1/task/$1/children"); do
		sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status"
	done | awk '{ n += $1 } END { print n }'
}

few_series() {
	local series
	fresh_scrape >"$DIR/page" || return 1
	series=$(grep -vc '^#' "$DIR/page")
	echo "# $series series" >&3
	[ "$series" -lt $series_max ]
}

exporter_is_small() {
	local kb
	kb=$(high_water "$exporter_pid")
	echo "# exporter $kb KiB at most" >&3
	[ "$kb" -le $exporter_kb_max ]
}

scrapes_are_quick() {
	local p99
	[ "$(wc -l <"$DIR/scrapes.log")" -ge $((seconds / 2)) ] || return 1
	# 000: no answer at all within its time
	equal "" "$(grep -v '^200 ' "$DIR/scrapes.log")" "scrapes that failed" || return 1
	p99=$(awk '{ print $2 }' "$DIR/scrapes.log" | sort -n |
		awk '{ v[NR] = $1 } END { print v[int(NR * 0.99 + 0.999)] }')
	echo "# $(wc -l <"$DIR/scrapes.log") scrapes, p99 $p99 s" >&3
	awk -v p="$p99" -v max=$scrape_p99_max 'BEGIN { exit !(p < max) }'
}

books_are_true() {
	local rc=0
	within 40 true_books || rc=1
	echo "# $(jq -c '[.verdict, .residual_bytes, [.incomplete[]?.text]]' "$DIR/audit")" >&3
	[ $rc = 0 ] || jq -c '.odd_connections[]?' "$DIR/audit"
	return $rc
}

# what explains a difference is no more than there was at the devices in all
columns_are_bounded() {
	local seen
	seen=$(fresh_scrape | metric tollgate_wire_l3_bytes_total)
	jq -e --argjson seen "$seen" '[.checks[] | .arrived_twice, .arrived_not_accepted, .arrived_in_lost_fragments, .sent_not_at_device |
		numbers] | length > 0 and add <= $seen' "$DIR/audit" || {
		jq -c '.checks[] | select((.arrived_twice // 0) + (.arrived_not_accepted // 0) + (.sent_not_at_device // 0) > 0)' \
			"$DIR/audit"
		echo "l3 bytes at the devices: $seen"
		return 1
	}
}

# $scrapes_pid may be in the middle of one that takes its 20 seconds
afterwards() {
	: >"$DIR/stop"
	wait "$plain_pid" "$sni_pid" "$scrapes_pid"
	must "the legitimate transfers" legitimate_is_right
	must "new clients" still_served
	must "the scrapes" scrapes_are_quick
	must "the exporter's memory" exporter_is_small
	must "the number of series" few_series
	must "the books" books_are_true
	must "the columns that explain" columns_are_bounded
	equal 0 "$failures" failures
}

@test "a hostile client beside others: the books stay true, small and quick, nobody loses a byte" {
	enough='.segments > 100 and .syns > 100 and .fragments > 100 and .odd_headers > 100 and .datagrams > 100 and
		.by_hand > 10 and .real > 10 and .forged_data > 10 and .forged_shapes > 10 and .broken_hellos > 10 and
		.resets > 10 and .half_closes > 10 and .proxy_headers > 10 and .forged_acks > 10 and .forged_resets > 10 and
		.forged_icmp > 10'
	attack_remotely
	afterwards
}

@test "a hostile local user without privileges: the same" {
	attack_locally
	afterwards
}
