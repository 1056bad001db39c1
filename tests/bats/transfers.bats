#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Transfers of 1 B to 5 MB with every order of closing, resets and slow readers: every byte
# accounted.  TRANSFERS=200000 is some ten minutes of it.

load helpers

transfers=${TRANSFERS:-4000}

setup() {
	stage_up
	load --device front --device back
	# every connection leaves TIME_WAIT behind
	for place in client gate backend; do
		at "$place" sysctl -qw net.ipv4.ip_local_port_range="1024 65535" net.ipv4.tcp_max_tw_buckets=0
	done
	start_plain
	start_exporter
}
teardown() { stage_down; }

ended() { fresh_scrape | metric tollgate_ended_total "$@"; }

# Reason and side of every end: the proxy's events, its metrics, and what the kernel says of
# the socket of that side.
same_everywhere() {
	within 10 eval '[ "$(records proxy | jq length)" = 64 ]'
	records proxy >"$DIR/told"
	records tcp >"$DIR/seen"
	fresh_scrape >"$DIR/page"
	equal "backend_reset backend 12
client_reset client 12
done client 40" "$(jq -r 'group_by([.reason, .side])[] | "\(.[0].reason) \(.[0].side) \(length)"' "$DIR/told")" events
	for what in "backend_reset backend 12" "client_reset client 12" "done client 40"; do
		# shellcheck disable=SC2086 # words
		set -- $what
		equal "$3" "$(metric tollgate_ended_total "reason=\"$1\"" "side=\"$2\"" <"$DIR/page")" "$1 in metrics"
	done
	jq -en --slurpfile told "$DIR/told" --slurpfile seen "$DIR/seen" '
		($seen[0] | map({("\(.local) \(.remote)"): .}) | add) as $socket |
		[$told[0][] | .reason as $why | (if .side == "client" then .downstream else .upstream end) |
			$socket["\(.local) \(.remote)"] | [$why, .reason, .side]] | group_by(.) |
		map([.[0], length]) == [
			[["backend_reset", "reset_by_peer", "peer"], 12],
			[["client_reset", "reset_by_peer", "peer"], 12],
			[["done", "closed_by_peer", "peer"], 40]]'
}

records() { at gate curl -fsS http://127.0.0.1:9980/records | jq --arg book "$1" 'map(select(.book == $book and .leg != "host"))'; }

@test "random sizes and closing orders: every byte accounted, nothing truncated" {
	start_peer server backend --listen 198.51.100.1:3000
	at client timeout 1800 "$PEER" load --connect 192.0.2.2:8080 --connections "$transfers" --parallel 48 \
		--mix assorted --seed "${SEED:-$RANDOM}" >"$DIR/sums"
	within 30 sockets_closed
	jq -c . "$DIR/sums" | sed 's/^/# /' >&3
	equal "$transfers 0 0" "$(jq -r '"\(.connections) \(.failed) \(.wrong)"' "$DIR/sums")" "transfers"
	equal 0 "$(ended 'reason="truncated"')" truncated
	equal "$transfers" "$(ended)" "ended in all"
	fresh_scrape >"$DIR/page"
	equal "$(jq .tx "$DIR/sums")" "$(metric tollgate_proxy_payload_bytes_total 'leg="downstream"' \
		'direction="rx"' <"$DIR/page")" "bytes up"
	audit_is_clean
}

rings() { find "/proc/$proxy_pid/fd" -lname 'anon_inode:\[io_uring\]' | wc -l; }

@test "the same without io_uring, and not a byte differs" {
	[ "$(rings)" -ge 1 ]
	stop "$proxy_pid"
	start_plain 'no_io_uring: true'
	[ "$(rings)" = 0 ]
	start_peer server backend --listen 198.51.100.1:3000
	at client timeout 600 "$PEER" load --connect 192.0.2.2:8080 --connections 800 --parallel 48 --mix assorted \
		--seed "${SEED:-$RANDOM}" >"$DIR/sums"
	within 30 sockets_closed
	equal "800 0 0" "$(jq -r '"\(.connections) \(.failed) \(.wrong)"' "$DIR/sums")" "transfers"
	equal 0 "$(ended 'reason="truncated"')" truncated
	audit_is_clean
}

@test "24 ends that are killed: each is reported with its side, and nothing else is" {
	local i
	start_peer good backend --listen 198.51.100.1:3000
	start good_load client "$PEER" load --connect 192.0.2.2:8080 --connections 40 --parallel 4 --bytes 3000000 --pause 20
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		start "client$i" client "$PEER" load --connect 192.0.2.2:8080 --connections 1 --parallel 1 \
			--bytes 50000000 --pause 20
	done
	within 20 eval '[ "$(at gate ss -Htn state established "sport = 8080" | wc -l)" -ge 12 ]'
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		local victim=client${i}_pid
		stop "${!victim}" KILL
	done
	wait "$good_load_pid"
	equal 0 "$(sums good_load failed)" "transfers beside them that failed"
	within 20 eval '[ "$(ended "side=\"client\"" "reason=\"client_reset\"")" = 12 ]'
	# one backend with twelve connections is killed
	start killed client "$PEER" load --connect 192.0.2.2:8080 --connections 12 --parallel 12 --bytes 50000000 --pause 20
	within 20 eval '[ "$(at gate ss -Htn state established "sport = 8080" | wc -l)" = 12 ]'
	stop "$good_pid" KILL
	wait "$killed_pid" || :
	within 20 eval '[ "$(ended "side=\"backend\"" "reason=\"backend_reset\"")" = 12 ]'
	within 20 sockets_closed
	equal 40 "$(ended 'reason="done"')" "ended well"
	equal 64 "$(ended)" "ended in all"
	audit_is_clean
	same_everywhere
}
