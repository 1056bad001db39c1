#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Thousands of short lives by random scripts over a link that loses and reorders: whatever
# happens to them, the books hold what happened.  STORM_SEED=N runs the same scripts again.

load helpers

setup() {
	stage_up
	seed=${STORM_SEED:-$((RANDOM * 32768 + RANDOM))}
	echo "# seed $seed; STORM_SEED=$seed repeats the scripts" >&3
}
teardown() { stage_down; }

# bad_link PLACE DEVICE: loses frames both ways, delays some of those that leave
bad_link() {
	at "$1" tc qdisc add dev "$2" root handle 1: htb default 10
	at "$1" tc class add dev "$2" parent 1: classid 1:10 htb rate 10gbit quantum 60000
	at "$1" tc class add dev "$2" parent 1: classid 1:20 htb rate 100mbit quantum 60000
	at "$1" tc qdisc add dev "$2" clsact
	at "$1" tc filter add dev "$2" egress bpf direct-action obj \
		"$BIN/tests/bpf/lossy.bpf.o" sec tc
}

start_recorder() {
	start exporter gate "$BIN/tollgate-exporter" --listen 127.0.0.1:9980 --pins "$PINS" \
		--records 100000
	within 10 scrape
}

# storm CONNECTIONS [OPTION...]: between client and gate, whose end is watched
storm() {
	local n=$1
	shift
	at gate sysctl -qw net.ipv4.tcp_fastopen=3
	at client sysctl -qw net.ipv4.tcp_fastopen=3
	at gate "$BIN/tests/tools/storm" --seed "$seed" --connections "$n" "$@" \
		--client-netns "/proc/$client/ns/net" --server-netns "/proc/$gate/ns/net" \
		--ip4 192.0.2.2 --ip6 fd00:1::2 >"$DIR/wanted"
	equal $((n * 2)) "$(wc -l <"$DIR/wanted")" "ends"
	equal 0 "$(grep -c '"stuck"' "$DIR/wanted")" "stuck ends"
	# orphans go on sending after their application is gone
	within 60 ends_closed
}

# A reader counts what is open in its own namespace; a client may wait for its last ACK.
ends_closed() { at client cat "$PINS/live" >/dev/null && sockets_closed; }

# wrote_and_read: what the applications of a clean storm did, both ends together
wrote_and_read() { jq -s '"\(map(.written) | add) \(map(.read) | add)"' -r "$DIR/wanted"; }

# storm_audit [EXIT]: no residual; 4: and it is told that a map was full, so that perhaps
# no connection was compared with its packets
storm_audit() {
	run -"${1:-0}" --separate-stderr tollgate audit --json
	jq -e --argjson exit "${1:-0}" '(.residual_bytes.tcp_wire == 0 or ($exit == 4 and .residual_bytes.tcp_wire == null)) and
		.residual_bytes.totals_sockets == 0 and
		.odd_connections_total == 0' <<<"$output" || {
		echo "$output"
		return 1
	}
	equal 0 "$(tollgate status --json | jq '.faults.sequence_mismatch')" "sequence mismatches"
	equal 0 "$(tollgate status --json | jq '.faults.counter_went_back')" "counters that went back"
}

# of_4000 METRIC LABEL...: of the connections of that port, also of those that carried no
# byte, which have no row of their own
of_4000() {
	local name=$1
	shift
	echo $(($(metric "$name" 'port="4000"' "$@" <"$DIR/page") + $(metric "$name" 'port="other"' role= "$@" <"$DIR/page")))
}

# every socket that closed has left its record
all_recorded() {
	local closed
	fresh_scrape >"$DIR/page"
	closed=$(of_4000 tollgate_connections_closed_total)
	[ "$closed" = "$(at gate curl -fsS http://127.0.0.1:9980/records | jq '[.[] |
		select((.local | endswith(":4000")) or (.remote | endswith(":4000"))) |
		select(.reason != "ended" and .reason != "idle")] | length')" ]
}

# Every end has one record, but for a server of which the client went before its ACK came.
# It says what its application did as far as that can be known: exactly if both ends came to
# the end of the script, else by these bounds.
storm_records() {
	within 20 all_recorded
	at gate curl -fsS --max-time 60 http://127.0.0.1:9980/records |
		jq -c '.[] | select((.local | endswith(":4000")) or (.remote | endswith(":4000")))' >"$DIR/got"
	jq -rn --slurpfile wanted "$DIR/wanted" --slurpfile got "$DIR/got" '
		def key: .local + " " + .remote;
		# a SYN that was overtaken by its whole connection makes one more conversation,
		# which only the wire book knows
		def lives: map(select(.reason != "ended" and .reason != "idle")) as $l |
			if ($l | length) > 0 then $l else . end;
		($got | group_by(key) | map({(.[0] | key): .}) | add) as $by |
		($wanted | map({("\(.index) \(.end)"): .}) | add) as $ends |
		$wanted[] | . as $w | ($by[key] // [] | lives) as $r |
		$ends["\(.index) \(if .end == "client" then "server" else "client" end)"] as $other |
		($by[$other | key] // [] | lives) as $o |
		if ($r | length) == 0 and .end == "server" and .outcome == "not_run" then empty
		elif ($r | length) != 1 then "\($r | length) records of \(.): \($r)" else
			$r[0] as $r | $o[0] as $o | [
			if .outcome == "clean" and $other.outcome == "clean" then
				(if $r.tx_payload_bytes != .written then "tx is not what was written" else empty end),
				(if $r.rx_payload_bytes != .read then "rx is not what was read" else empty end),
				(if $r.tx_acked_bytes != .written then "acked is not what was written" else empty end)
			else
				(if $r.tx_payload_bytes > .written then "more sent than written" else empty end),
				(if $r.rx_payload_bytes < .read then "more read than received" else empty end)
			end,
			(if $r.tx_acked_bytes > $r.tx_payload_bytes then "more acknowledged than sent" else empty end),
			(if $o and $r.rx_payload_bytes > $o.tx_payload_bytes then "more received than sent" else empty end),
			(if $o and $r.tx_acked_bytes > $o.rx_payload_bytes then "more acknowledged than received" else empty end)
			] | if length > 0 then "\(join(", ")): \($w) \($r)" else empty end
		end' >"$DIR/differences"
	[ ! -s "$DIR/differences" ] || {
		head -20 "$DIR/differences"
		return 1
	}
}

@test "2,000 random lives over a link that loses and reorders: every end exact, residual 0" {
	load --device front
	bad_link client eth
	bad_link gate front
	start_recorder
	storm 2000
	storm_audit
	storm_records
	# the totals are the sum of the lives; a client that resets before its ACK has come
	# through never was a socket at the server, the wire book alone knows of it
	fresh_scrape >"$DIR/page"
	jq -s '[.[] | select(.reason != "ended" and .reason != "idle")]' "$DIR/got" >"$DIR/lives"
	for side in accepted connected; do
		local lives
		lives=$(jq --arg s "$side" '[.[] | select(.role == $s)]' "$DIR/lives")
		[ "$(jq length <<<"$lives")" -ge 1950 ]
		equal "$(jq length <<<"$lives")" "$(of_4000 tollgate_connections_opened_total \
			"role=\"$side\"")" "$side opened"
		for d in rx tx; do
			equal "$(jq "map(.${d}_payload_bytes) | add" <<<"$lives")" \
				"$(metric tollgate_tcp_payload_bytes_total 'port="4000"' "role=\"$side\"" \
					"direction=\"$d\"" <"$DIR/page")" "$side $d"
		done
	done
	# and the link was as bad as it should be
	[ "$(metric tollgate_tcp_retransmitted_bytes_total 'port="4000"' <"$DIR/page")" -gt 100000 ]
	equal 0 "$(metric tollgate_records_lost_total <"$DIR/page")" "lost records"
}

@test "maps that are far too small: sums exact, what found no place is counted exactly" {
	load --device front --size flows=4 --size tcp_totals=2 --size wire=4 --size wire_totals=2 \
		--size records=4K
	bad_link client eth
	storm 2000 --endings clean
	# the grand total does not know of rows, the rows must add up to it
	local wrote read
	read -r wrote read <<<"$(wrote_and_read)"
	run -0 --separate-stderr tollgate status --json
	equal "$read $wrote 4000" "$(jq -r '"\(.payload.rx_payload_bytes) \(.payload.tx_payload_bytes) \(.sockets.closed)"' \
		<<<"$output")" "status"
	storm_audit 4
	jq -e '.faults.flows_full > 0 and .faults.host_rows_full > 0 and .faults.wire_full > 0' <<<"$(tollgate status --json)"

	# nobody read the ring: what is in it and what was lost are all there was
	start_recorder
	within 10 eval '[ "$(at gate curl -fsS http://127.0.0.1:9980/records | jq length)" -ge 10 ]'
	fresh_scrape >"$DIR/page"
	at gate curl -fsS http://127.0.0.1:9980/records >"$DIR/got"
	local kept='[.[] | select((.local | endswith(":4000")) or (.remote | endswith(":4000")))]'
	# a late segment of a connection that is over may be one more conversation, of the wire
	# book only and without payload
	[ $(($(jq "$kept | length" "$DIR/got") + $(metric tollgate_records_lost_total <"$DIR/page"))) -ge 4000 ]
	equal "$read" $(($(jq "$kept | map(.rx_payload_bytes) | add" "$DIR/got") +
		$(metric tollgate_records_lost_payload_bytes_total 'direction="rx"' <"$DIR/page"))) "rx in records"
	equal "$wrote" $(($(jq "$kept | map(.tx_payload_bytes) | add" "$DIR/got") +
		$(metric tollgate_records_lost_payload_bytes_total 'direction="tx"' <"$DIR/page"))) "tx in records"
	equal 4 "$(metric tollgate_map_capacity 'map="flows"' <"$DIR/page")" "capacity"
	# rows and overflow hold the storm's bytes and the scrapes'
	[ "$(metric tollgate_tcp_payload_bytes_total 'direction="rx"' <"$DIR/page")" -ge "$read" ]
}

@test "the iterator in a tight loop on both CPUs while connections come and go" {
	load --device front
	# shellcheck disable=SC2016 # expands in the inner shell
	for reader in one two; do
		start "$reader" gate sh -c 'while :; do cat "$0" >/dev/null || exit 1; n=$((n + 1)); echo $n; done' \
			"$PINS/live"
	done
	# both are at it before and after, and so during
	within 10 eval '[ -s "$DIR/one.log" ] && [ -s "$DIR/two.log" ]'
	local wrote read before_one before_two
	before_one=$(tail -1 "$DIR/one.log") before_two=$(tail -1 "$DIR/two.log")
	storm 3000 --endings clean
	within 10 eval '[ "$(tail -1 "$DIR/one.log")" -gt $((before_one + 5)) ] &&
		[ "$(tail -1 "$DIR/two.log")" -gt $((before_two + 5)) ]'
	read -r wrote read <<<"$(wrote_and_read)"
	run -0 --separate-stderr tollgate status --json
	equal "$read $wrote 6000 6000 0" "$(jq -r '"\(.payload.rx_payload_bytes) \(.payload.tx_payload_bytes) " +
		"\(.sockets.opened) \(.sockets.closed) \(.sockets.live)"' <<<"$output")" "status"
	storm_audit
}
