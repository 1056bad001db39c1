#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every life a TCP socket can have: the books say of both ends what must be said, and the
# same by either hook.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

prepare_lives() {
	at gate sysctl -qw net.ipv4.tcp_fastopen=3 net.ipv4.tcp_syn_retries=1
	at gate nft -f "$ROOT/tests/tools/lives.nft"
}

# records of this test: not the scraper's own connections
records() {
	at gate curl -fsS --max-time 10 "http://127.0.0.1:9980/records" |
		jq -c '[.[] | select(.protocol == "tcp" and
			(.local | endswith(":9980") | not) and (.remote | endswith(":9980") | not))]'
}

recorded() { [ "$(records | jq length)" -ge "$1" ]; }

# every_life HOOK: the table, row by row, and nothing besides it
every_life() {
	local wanted got
	prepare_lives
	load --device lo --hook "$1"
	start_exporter
	at gate "$BIN/tests/tools/lives" >"$DIR/wanted"
	wanted=$(jq -sc . "$DIR/wanted")
	[ "$(jq length <<<"$wanted")" -ge 36 ]
	within 10 recorded "$(jq length <<<"$wanted")"
	got=$(records)
	jq -rn --argjson wanted "$wanted" --argjson got "$got" -f "$ROOT/tests/tools/lives.jq" \
		>"$DIR/differences"
	[ ! -s "$DIR/differences" ] || {
		cat "$DIR/differences"
		return 1
	}
	equal 0 "$(tollgate status --json | jq '.faults.sequence_mismatch')" "sequence mismatches"
	equal 0 "$(tollgate status --json | jq '.faults.counter_went_back')" "counters that went back"
	run -0 --separate-stderr tollgate audit --json
	jq -e '.residual_bytes.tcp_wire == 0 and .residual_bytes.totals_sockets == 0' <<<"$output"
}

@test "every life of a TCP socket, by sockops: exact for both ends" {
	every_life sockops
}

@test "every life of a TCP socket, by the tracepoint: the same" {
	every_life tracepoint
}
