#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Records that no client of a library sends (tools/records.c): each connection has its end,
# its reason, and every byte in a column.

load helpers
source "$BATS_TEST_DIRNAME/tls.bash"

# What is right: the reason in the gate's book, how the client saw it end, and whether all
# that it said came back.
table() {
	cat <<-'T'
		one-byte                     done           close_notify        all
		full                         done           close_notify        all
		padded                       done           close_notify        all
		too-large                    tls_error      record_overflow     -
		too-padded                   tls_error      record_overflow     -
		few-empty                    done           close_notify        all
		many-empty                   tls_error      unexpected_message  -
		key-updates                  tls_error      reset               -
		key-updates-asked            tls_error      reset               -
		key-updates-apart            done           close_notify        all
		warnings                     tls_error      unexpected_message  -
		fatal                        tls_error      reset               -
		data-behind-end              done           close_notify        all
		cut                          tls_truncated  decode_error        -
		cut-record                   tls_truncated  decode_error        -
		cut-header                   tls_truncated  decode_error        -
		bad-tag                      tls_error      bad_record_mac      -
		again                        tls_error      bad_record_mac      -
		unknown-type                 tls_error      unexpected_message  -
		no-type                      tls_error      unexpected_message  -
		late-ccs                     tls_error      unexpected_message  -
		in-the-clear                 tls_error      bad_record_mac      -
		other-version                tls_error      protocol_version    -
		hello-again                  tls_error      unexpected_message  -
		long-message                 tls_error      unexpected_message  -
		hello-of-1-byte-records      done           close_notify        all
		hello-of-60000               done           close_notify        all
		hello-of-60000-in-pieces     done           close_notify        all
		one-byte-1.2                 done           close_notify        all
		full-1.2                     done           close_notify        all
		too-large-1.2                tls_error      record_overflow     -
		few-empty-1.2                done           close_notify        all
		many-empty-1.2               tls_error      unexpected_message  -
		warnings-1.2                 tls_error      unexpected_message  -
		fatal-1.2                    tls_error      reset               -
		cut-1.2                      tls_truncated  decode_error        -
		cut-record-1.2               tls_truncated  decode_error        -
		bad-tag-1.2                  tls_error      bad_record_mac      -
		again-1.2                    tls_error      bad_record_mac      -
		unknown-type-1.2             tls_error      unexpected_message  -
		late-ccs-1.2                 tls_error      internal_error      -
		renegotiations-1.2           tls_error      no_renegotiation    -
		hello-of-1-byte-records-1.2  done           close_notify        all
	T
}

# ends: of each connection, in their order
ends() { at gate curl -fsS "http://127.0.0.1:9980/records?book=proxy"; }

# cpu_ms: what the gate has used
cpu_ms() { awk '{ print ($14 + $15) * 1000 / '"$(getconf CLK_TCK)"' }' "/proc/$proxy_pid/stat"; }

@test "each of them ends as it should, is bounded, and leaves no byte over" {
	start_tls
	equal "$("$BIN/tests/tools/records" --list | sort)" "$(table | awk '{ print $1 }' | sort)" "cases"
	local name reason end heard before spent
	while read -r name reason end heard <&4; do
		before=$(cpu_ms)
		at client timeout 20 "$BIN/tests/tools/records" "$name" 192.0.2.2:8443 --name app.example.org --ca "$DIR/root.pem" \
			>"$DIR/$name.case" 2>&1 || {
			echo "$name:"
			cat "$DIR/$name.case"
			return 1
		}
		spent=$(awk -v a="$before" -v b="$(cpu_ms)" 'BEGIN { printf "%d", b - a }')
		[ "$spent" -lt 1000 ] || { echo "$name: $spent ms of the gate"; return 1; }
		# which of the two comes first is the network's matter, where an alert is followed by a reset
		jq -e --arg how "$end" --arg heard "$heard" '(.end == $how or ($heard == "-" and .end == "reset")) and
			($heard == "-" or .heard == .app)' "$DIR/$name.case" >/dev/null || {
			echo "$name: want $end, $heard; got $(cat "$DIR/$name.case")"
			return 1
		}
		echo "$name $reason" >>"$DIR/want"
	done 4< <(table)
	within 10 sockets_closed
	within 10 eval '[ "$(ends | jq length)" = "$(wc -l <"$DIR/want")" ]'
	ends | jq -r '.[].reason' >"$DIR/reasons"
	paste -d' ' <(awk '{ print $1 }' "$DIR/want") "$DIR/reasons" >"$DIR/got"
	diff "$DIR/want" "$DIR/got"
	audit_is_clean 5
	# what a flood brought in before it was over: sockets hold some hundred KiB at most
	ends | jq -e '[.[] | select(.reason == "tls_error") | .downstream.rx_payload_bytes] | max < 262144'
	# who does as he should is served beside it
	clients after --connections 20 --bytes 20000
	metric tollgate_tls_alerts_total 'direction="tx"' 'alert="record_overflow"' <<<"$(fresh_scrape)" | grep -qx 3
}
