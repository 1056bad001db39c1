#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What changes all day: configurations with new names, programs, the service's cgroup, the
# devices, the firewall.  Everything works after each, counters never go back, memory and
# tables stay flat, and the books agree at the end.  By hand, longer:
# CHURN_RELOADS=1000 UPGRADES=100 CGROUP_RESTARTS=50 DEVICES_REMADE=50 NFT_FLUSHES=20

load helpers

reloads=${CHURN_RELOADS:-30} upgrades=${UPGRADES:-2} restarts=${CGROUP_RESTARTS:-2}
remade=${DEVICES_REMADE:-2} flushes=${NFT_FLUSHES:-2}
names=${CHURN_NAMES:-150} # new ones in each reload: 30 reloads need more than a table of 4,096 holds

setup() { stage_up; }
teardown() {
	: >"$DIR/stop"
	stage_down
}

agrees() {
	tollgate audit --json >"$DIR/audit" 2>/dev/null
	jq -e '.verdict == "agrees"' "$DIR/audit"
}
agrees_soon() {
	within 20 agrees || {
		jq -c '{verdict, residual_bytes, incomplete}' "$DIR/audit"
		return 1
	}
}

# page NAME: a fresh page, and the counters in it, each and by family
page() {
	fresh_scrape >"$DIR/$1.page"
	grep -E '^tollgate_[a-z_]+_total[ {]' "$DIR/$1.page" >"$DIR/$1.counters"
}

# never_back BEFORE AFTER: no counter that is in both went back.  Names that are gone may
# take their rows with them, not what these counted: sums of a family count names as well.
never_back() {
	awk 'NR == FNR { before[$1] = $2; next } $1 in before && $2 < before[$1] { print "went back:", $1, before[$1], $2; bad = 1 }
		END { exit bad }' "$DIR/$1.counters" "$DIR/$2.counters"
	local family
	for family in tcp_payload_bytes connections_opened connections_closed wire_frame_bytes wire_payload_bytes \
		proxy_payload_bytes proxy_connections_opened proxy_connections_closed listener_syns nft_bytes faults; do
		grep -q "^# TYPE tollgate_$family" "$DIR/$2.page" || {
			echo "there is no $family to look at"
			return 1
		}
		[ "$(metric "tollgate_${family}_total" <"$DIR/$1.page")" -le \
			"$(metric "tollgate_${family}_total" <"$DIR/$2.page")" ] || {
			echo "went back: the sum of $family"
			return 1
		}
	done
}

# since PAGE: a new page `now`, in which nothing is less than in that one, takes its place
since() {
	page now
	never_back "$1" now
	cp "$DIR/now.page" "$DIR/$1.page"
	cp "$DIR/now.counters" "$DIR/$1.counters"
}

rss() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status"; }
files() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
entries() {
	grep -q "^tollgate_map_entries{map=\"$1\"}" "$DIR/now.page" || echo "no map $1" >&2
	metric tollgate_map_entries "map=\"$1\"" <"$DIR/now.page"
}

# flat WHAT BEFORE AFTER SLACK: no more than a tenth and the slack above
flat() {
	[ "$3" -le $(($2 * 11 / 10 + $4)) ] || {
		echo "$1: $2 before, $3 now"
		return 1
	}
}

# weigh NAME: what must not grow, as variables NAME_...
weigh() {
	page now
	printf -v "$1_proxy" '%s' "$(rss "$proxy_pid")"
	printf -v "$1_exporter" '%s' "$(rss "$exporter_pid")"
	printf -v "$1_files" '%s' "$(files "$proxy_pid")"
	printf -v "$1_exporter_files" '%s' "$(files "$exporter_pid")"
	printf -v "$1_names" '%s' "$(entries names)"
	printf -v "$1_slots" '%s' "$(entries proxy_book)"
	printf -v "$1_rows" '%s' "$(entries tcp_totals)"
	printf -v "$1_wire_rows" '%s' "$(entries wire_totals)"
	printf -v "$1_nft" '%s' "$(at gate nft list table netdev tollgate | grep -c '^	counter ')"
	printf -v "$1_pins" '%s' "$(find "$DIR/bpf" | wc -l)"
	printf -v "$1_series" '%s' "$(grep -vc '^#' "$DIR/now.page")"
}

# all_flat BEFORE AFTER: of what was weighed; KiB for the processes
all_flat() {
	local bad=0 what before after slack
	for what in proxy:2048 exporter:2048 files:8 exporter_files:4 names:8 slots:8 rows:16 wire_rows:16 nft:16 pins:0 series:100; do
		slack=${what#*:} what=${what%:*}
		before=$1_$what after=$2_$what
		echo "# $what ${!before} ${!after}" >&3
		flat "$what" "${!before}" "${!after}" "$slack" || bad=1
	done
	return $bad
}

# attached HOOK TARGET: the metric says so
attached() { [ "$(fresh_scrape | metric tollgate_attached "hook=\"$1\"" "target=\"$2\"")" = 1 ]; }

# rx PORT: payload that came to sockets of this port
rx() { fresh_scrape | metric tollgate_tcp_payload_bytes_total "port=\"$1\"" 'role="accepted"' 'direction="rx"'; }

# transfer PORT [CONNECTIONS]: and what the clients sent is in $DIR/client.log
transfer() {
	at client "$PEER" load --connect "192.0.2.2:$1" --connections "${2:-10}" --parallel 4 --mix assorted \
		>"$DIR/client.log"
}

start_legitimate() {
	# shellcheck disable=SC2016 # expands in the inner shell
	start legitimate client sh -c 'until [ -e "$0" ]; do "$@" || echo failed; done' "$DIR/stop" "$PEER" load \
		--connect 192.0.2.2:8080 --connections 40 --parallel 4 --mix assorted
}
legitimate_is_right() {
	: >"$DIR/stop"
	wait "$legitimate_pid"
	equal "" "$(grep -v '"failed":0,"wrong":0' "$DIR/legitimate.log")" "transfers"
	grep -q '"failed":0' "$DIR/legitimate.log"
}

# --- reloads ---------------------------------------------------------------------------

# config N: one listener that stays, one with routes of which none was there before
config() {
	local i
	printf '%s\n' 'listeners:' '  - name: plain' '    address: "192.0.2.2:8080"' \
		'    routes: [{ name: app, backends: ["198.51.100.1:3000"] }]' \
		"  - name: tls$1" '    address: "192.0.2.2:8443"' '    routes:'
	for ((i = 0; i < names; i++)); do
		echo "      - { name: r$1-$i, sni: [r$1-$i.example.org], backends: [\"198.51.100.1:3001\"] }"
	done
	printf '%s\n' 'timeouts: { drain: 5s }'
}
read_again() { [ "$(grep -c "read again" "$DIR/proxy.log")" -ge "$1" ]; }

@test "reloads with new names: each works, nothing goes back, nothing grows" {
	local i
	load --device front --device back
	start_peer server backend --listen 198.51.100.1:3000
	start_peer tls_server backend --listen 198.51.100.1:3001 --tls
	start_proxy < <(config 0)
	start_exporter
	start_legitimate
	page last
	for ((i = 1; i <= reloads; i++)); do
		config "$i" >"$DIR/gate.yaml"
		kill -HUP "$proxy_pid"
		within 20 read_again "$i" || {
			tail -5 "$DIR/proxy.log"
			return 1
		}
		# the first and the last of the new names, to the byte
		for name in "r$i-0" "r$i-$((names - 1))"; do
			at client "$PEER" load --connect 192.0.2.2:8443 --connections 2 --mix fixed --bytes 10000 \
				--sni "$name.example.org" >"$DIR/new.log"
		done
		[ $((i % 10)) != 0 ] || since last
		# by then its memory is what a configuration and those that drain need
		[ "$i" != $((reloads / 3 + 1)) ] || weigh before
	done
	legitimate_is_right
	since last
	# the names in force are shown, and count
	[ "$(metric tollgate_proxy_payload_bytes_total "route=\"r$reloads-0\"" <"$DIR/last.page")" -gt 0 ]
	equal "$reloads" "$(metric tollgate_proxy_reloads_total 'result="ok"' <"$DIR/last.page")" reloads
	equal 0 "$(metric tollgate_proxy_slot_errors_total <"$DIR/last.page")" "slot errors"
	within 20 sockets_closed
	weigh after
	all_flat before after
	agrees_soon
}

# --- upgrades --------------------------------------------------------------------------

# upgrade N: the running proxy gives way to the next, and the kernel side to itself
upgrade() {
	local old=$proxy_pid new=next$1_pid
	start "next$1" gate "$BIN/tollgate-proxy" --upgrade --config "$DIR/gate.yaml" --pins "$PINS"
	within 20 grep -q ready "$DIR/next$1.log" || {
		cat "$DIR/next$1.log"
		return 1
	}
	proxy_pid=${!new}
	within 20 gone "$old"
	tollgate load --upgrade
}

@test "upgrades of the proxy and of the kernel side: each works, nothing goes back, nothing grows" {
	local i hooks
	load --device front --device back
	start_peer server backend --listen 198.51.100.1:3000
	start_plain 'timeouts: { drain: 5s }'
	start_exporter
	start_legitimate
	page last
	upgrade 0
	weigh before
	hooks=$(bpftool cgroup show "$CGROUP" | wc -l)
	for ((i = 1; i <= upgrades; i++)); do
		upgrade "$i"
		transfer 8080
		since last
	done
	legitimate_is_right
	since last
	equal $((upgrades + 1)) "$(metric tollgate_proxy_upgrades_total <"$DIR/last.page")" upgrades
	equal 1 "$(metric tollgate_proxy_starts_total <"$DIR/last.page")" starts
	equal 0 "$(metric tollgate_refused_total <"$DIR/last.page")" refused
	equal "$hooks" "$(bpftool cgroup show "$CGROUP" | wc -l)" "programs at the cgroup"
	within 20 sockets_closed
	weigh after
	all_flat before after
	agrees_soon
}

# --- the service's cgroup --------------------------------------------------------------

@test "the service's cgroup is removed and made again: counted from then on, nothing goes back" {
	local i before service=$CGROUP/svc
	mkdir "$service"
	tollgate load --cgroup "$service" --device front
	start_exporter
	page last
	for ((i = 1; i <= restarts; i++)); do
		CGROUP=$service start_peer server gate --listen 192.0.2.2:6000
		before=$(rx 6000)
		transfer 6000 20
		stop "$server_pid"
		within 10 eval '[ "$(rx 6000)" = $((before + $(sums client tx))) ]' || {
			equal "$((before + $(sums client tx)))" "$(rx 6000)" "counted in life $i of the cgroup"
			return 1
		}
		since last
		[ "$i" != 1 ] || { proxy_pid=$exporter_pid && weigh before; }
		# its listener may be freed a moment after its process
		within 5 rmdir "$service"
		mkdir "$service"
		within 5 attached sockops "$service"
	done
	since last
	weigh after
	all_flat before after
	agrees_soon
}

# --- devices ---------------------------------------------------------------------------

# front_is_remade: as a driver that is loaded again, or a container's interface
front_is_remade() {
	at gate ip link del front
	within 5 no_front
	link_up "$client" 192.0.2.1/24 fd00:1::1/64 "$gate" 192.0.2.2/24 fd00:1::2/64 front
}
no_front() { ! at client ip link show eth; }

@test "a watched device is removed and made again: seen from then on, nothing goes back" {
	local i before
	load --device front --device back
	start_peer server backend --listen 198.51.100.1:3000
	start_plain
	start_exporter
	page last
	for ((i = 1; i <= remade; i++)); do
		front_is_remade
		within 5 attached wire_rx front
		within 5 attached wire_tx front
		before=$(fresh_scrape | metric tollgate_wire_payload_bytes_total 'listener="plain"' 'direction="rx"')
		transfer 8080 20
		within 10 sockets_closed
		since last
		# what the clients' applications sent is at the device, but for what a reset cut off
		[ "$(metric tollgate_wire_payload_bytes_total 'listener="plain"' 'direction="rx"' <"$DIR/last.page")" -ge \
			$((before + $(sums client tx) * 9 / 10)) ] || {
			echo "frames of life $i of the device were not seen"
			return 1
		}
		[ "$i" != 1 ] || weigh before
	done
	weigh after
	all_flat before after
	agrees_soon
}

# --- the firewall ----------------------------------------------------------------------


@test "nft flush ruleset: the table is made again, nothing goes back" {
	local i before
	load --device front --device back
	start_peer server backend --listen 198.51.100.1:3000
	start_plain
	start_exporter
	start_legitimate
	page last
	for ((i = 1; i <= flushes; i++)); do
		at gate nft flush ruleset
		within 5 nft_table_is_there
		before=$(fresh_scrape | metric tollgate_nft_bytes_total)
		transfer 8080
		since last
		[ "$(metric tollgate_nft_bytes_total <"$DIR/last.page")" -gt "$before" ]
		[ "$i" != 1 ] || weigh before
	done
	legitimate_is_right
	since last
	equal "$flushes" "$(metric tollgate_nft_table_lost_total <"$DIR/last.page")" "tables lost"
	within 20 sockets_closed
	weigh after
	all_flat before after
	agrees_soon
}
