#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Labels and claims of the proxy's sockets in memory that the kernel programs read.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

# labels N: that many places are taken
labels() { equal "$1" "$(fresh_scrape | metric tollgate_map_entries 'map="labels"')" labels; }
by_call() { fresh_scrape | metric tollgate_proxy_labels_by_call_total; }
# eight connections that stay, with 64 bytes each way
held_up() {
	load --device front --device back
	start_sink
	start_plain
	start_exporter
	labels 0
	start_held held client "$DIR/enough" "$BIN/tests/tools/load" hold 192.0.2.2:8080 64 64 8
	within 10 relayed 8
	within 10 grep -q . "$DIR/held.log"
	within 10 labels 16
}

# Every place of every bucket is somebody's: a cookie that no socket has.
fill() {
	awk -v pin="$PINS/labels" 'BEGIN {
		for (i = 0; i < 4 * 32; i++) value = value " 7f"
		for (i = 0; i < 32768; i++)
			printf "map update pinned %s key hex %02x %02x 00 00 value hex%s\n", pin, i % 256, i / 256, value
	}' >"$DIR/batch"
	bpftool batch file "$DIR/batch" >/dev/null
}

@test "a connection has two labels in memory while it lives, and leaves none behind" {
	held_up
	labels 16
	at client "$BIN/tests/tools/load" open 192.0.2.2:8080 64 64 32 2000 >"$DIR/open.log"
	within 10 labels 16
	touch "$DIR/enough"
	wait "$held_pid"
	within 10 sockets_closed
	within 10 labels 0
	equal 0 "$(by_call)" "labels by call"
	audit_is_clean
}

@test "without a place in memory a label is a call, counted, and the books are the same" {
	gate_up
	start_exporter
	fill
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 50 --mix assorted --seed 4 >"$DIR/client.log"
	within 10 sockets_closed
	# a label and a claim of both sockets
	equal 200 "$(by_call)" "labels by call"
	equal 0 "$(fresh_scrape | metric tollgate_proxy_label_errors_total)" "label errors"
	equal "$(sums client tx)" "$(fresh_scrape | metric tollgate_tcp_payload_bytes_total \
		'listener="plain"' 'leg="downstream"' 'direction="rx"')" "bytes of the listener"
	audit_is_clean
}

@test "a proxy that is killed leaves no label, and the kernel says what nobody claimed" {
	held_up
	stop "$proxy_pid" KILL
	within 10 sockets_closed
	within 10 labels 0
	# of both sockets of each
	equal $((2 * 8 * 64)) "$(fresh_scrape | metric tollgate_tcp_unclaimed_bytes_total 'direction="rx"')" unclaimed
	audit_is_clean
}
