#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The PROXY protocol by the vectors of tests/proxy-protocol, and what is sent on.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

# conform PORT [OPTION...]: all vectors through that listener
conform() {
	local port=$1
	shift
	at client "$BIN/tests/proxy-protocol/conform" --target "192.0.2.2:$port" --backend 198.51.100.1:3000 \
		--backend-netns "/proc/$backend/ns/net" "$@" "$ROOT/tests/proxy-protocol/vectors" >"$DIR/conform" || {
		grep '^not ok' "$DIR/conform"
		return 1
	}
}

@test "every vector is right, with version 1, version 2, and TLVs passed on" {
	load
	start_proxy <<-Y
		listeners:
		  - name: v1
		    address: "192.0.2.2:8001"
		    proxy_protocol: { from: [192.0.2.0/24] }
		    routes: [{ name: v1, backends: ["198.51.100.1:3000"], send_proxy: v1 }]
		  - name: v2
		    address: "192.0.2.2:8002"
		    proxy_protocol: { from: [192.0.2.0/24] }
		    routes: [{ name: v2, backends: ["198.51.100.1:3000"], send_proxy: v2 }]
		  - name: tlvs
		    address: "192.0.2.2:8003"
		    proxy_protocol: { from: [192.0.2.0/24] }
		    routes: [{ name: tlvs, backends: ["198.51.100.1:3000"], send_proxy: v2-tlvs }]
	Y
	start_exporter
	conform 8001
	conform 8002
	conform 8003 --tlvs
	# every refusal has its own reason
	fresh_scrape >"$DIR/page"
	local reason
	for reason in missing v1_malformed v1_too_long version command family too_short tlv checksum; do
		[ "$(metric tollgate_refused_total "reason=\"proxy_header_$reason\"" <"$DIR/page")" -ge 3 ]
	done
	equal $((3 * $(grep -c 'expect reject' "$ROOT/tests/proxy-protocol/vectors"))) \
		"$(metric tollgate_refused_total <"$DIR/page")" "refused in all"
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "name, protocol, an id and a checksum are added where the header has none" {
	load
	start capture backend sh -c 'nc.openbsd -l 198.51.100.1 3000 >"$0"' "$DIR/came"
	within 10 listening backend 3000
	start_proxy <<-Y
		listeners:
		  - name: tls
		    address: "192.0.2.2:8443"
		    routes: [{ name: app, sni: [app.example.org], backends: ["198.51.100.1:3000"], send_proxy: v2-tlvs }]
		  - name: again
		    address: "192.0.2.2:8444"
		    proxy_protocol: { from: [192.0.2.0/24] }
		    routes: [{ name: again, sni: [app.example.org], backends: ["198.51.100.1:3001"] }]
	Y
	at client timeout 5 curl -sk --http1.1 --max-time 2 --resolve app.example.org:8443:192.0.2.2 \
		https://app.example.org:8443/ || :
	within 10 test -s "$DIR/came"
	od -An -v -tx1 "$DIR/came" | tr -d ' \n' >"$DIR/hex"
	local hex
	hex=$(cat "$DIR/hex")
	[[ $hex == 0d0a0d0a000d0a515549540a2111* ]]
	[[ $hex == *01000868747470* ]]                             # ALPN http/1.1
	[[ $hex == *02000f6170702e6578616d706c652e6f7267* ]]       # AUTHORITY
	[[ $hex == *050020* && $hex == *030004* ]]                 # UNIQUE_ID, CRC32C
	# the checksum is right, or a second gate would refuse it
	start second backend sh -c 'nc.openbsd -l 198.51.100.1 3001 >"$0"' "$DIR/again"
	within 10 listening backend 3001
	at client timeout 5 nc.openbsd -N 192.0.2.2 8444 <"$DIR/came" || :
	local header=$((16 + 0x${hex:28:4}))
	within 10 test -s "$DIR/again"
	within 10 cmp "$DIR/again" <(tail -c +$((header + 1)) "$DIR/came")
}
