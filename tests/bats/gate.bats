#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The proxy on real clients and servers: routing, refusing, timing out, reloading.

load helpers

setup() {
	stage_up
	load --device front --device back
}
teardown() { stage_down; }

# refused REASON: how many connections were refused for it


# raw PORT BYTES: send printf-escaped bytes, wait for the end; prints reset, or what came
raw() {
	at client timeout "${RAW_SECONDS:-10}" bash -c 'exec 5<>"/dev/tcp/192.0.2.2/$0"
		printf "$1" >&5
		cat <&5 2>&1 || :' "$1" "$2"
}

# a certificate, and a real TLS server that says its name
start_tls_server() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-subj "/CN=$1" -addext "subjectAltName=DNS:$1" \
		-keyout "$DIR/$1.key" -out "$DIR/$1.pem" 2>/dev/null
	mkdir -p "$DIR/$1"
	printf 'this is %s\n' "$1" >"$DIR/$1/name"
	head -c 3000000 /dev/urandom >"$DIR/$1/blob"
	start "server$2" backend sh -c "cd '$DIR/$1' && exec openssl s_server -WWW \
		-accept 198.51.100.1:$2 -key ../$1.key -cert ../$1.pem"
	within 10 listening backend "$2"
}

fetch() { # HOST PATH [OPTION...]
	at client curl -sS --max-time 10 --cacert "$DIR/$1.pem" \
		--resolve "$1:8443:192.0.2.2" "${@:3}" "https://$1:8443/$2"
}

# relaying LISTENER: it has a live connection with bytes moved
relaying() {
	tollgate flows --json --listener "$1" | jq -e 'any(.[]; .rx_payload_bytes > 100000)'
}

two_tls_routes() {
	start_proxy <<-Y
		listeners:
		  - name: tls
		    address: "192.0.2.2:8443"
		    routes:
		      - { name: a, sni: [a.example.org], backends: ["198.51.100.1:4001"] }
		      - { name: b, sni: ["*.b.example.org"], backends: ["198.51.100.1:4002"] }
		timeouts: { hello: 1s, connect: 1s, idle: 2s, drain: 2s }
	Y
}

@test "curl reaches the server its name asks for, and nothing else" {
	start_tls_server a.example.org 4001
	start_tls_server x.b.example.org 4002
	two_tls_routes
	run -0 fetch a.example.org name
	equal "this is a.example.org" "$output" page
	run -0 fetch x.b.example.org name
	equal "this is x.b.example.org" "$output" page
	fetch a.example.org blob >"$DIR/got"
	cmp "$DIR/got" "$DIR/a.example.org/blob"
	# a name of no route, and no name at all: reset, never a default
	cp "$DIR/a.example.org.pem" "$DIR/c.example.org.pem"
	run -35 fetch c.example.org name
	refused_is no_route 1
	run ! at client openssl s_client -connect 192.0.2.2:8443 -noservername </dev/null
	refused_is no_server_name 1
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "a hello over several TLS records and segments is routed by its name" {
	start_peer server backend --listen 198.51.100.1:4001 --tls
	start_proxy <<-Y
		listeners:
		  - name: tls
		    address: "192.0.2.2:8443"
		    routes: [{ name: a, sni: [a.example.org], backends: ["198.51.100.1:4001"] }]
	Y
	# the same hello in records of 7 bytes, each in a segment of its own
	at client bash -c 'exec 5<>/dev/tcp/192.0.2.2/8443
		body="\x01\x00\x00\x41\x03\x03$(printf "\\x07%.0s" {1..32})\x00\x00\x02\x13\x01\x01\x00\x00\x16\x00\x00\x00\x12\x00\x10\x00\x00\x0d\x61.example.org"
		printf "$body" >"$0/body"
		for ((i = 0; i < $(stat -c %s "$0/body"); i += 7)); do
			tail -c +$((i + 1)) "$0/body" | head -c 7 >"$0/part"
			n=$(stat -c %s "$0/part")
			{ printf "\x16\x03\x01\x00\\x$(printf %02x "$n")"; cat "$0/part"; } >&5
		done
		read -r -t 2 <&5 || :' "$DIR"
	start_exporter
	equal 1 "$(fresh_scrape | metric tollgate_proxy_connections_opened_total 'leg="upstream"' \
		'route="a"')" "connections to its backend"
}

@test "what is no TLS, too large or half a hello is reset under its own reason" {
	start_tls_server a.example.org 4001
	two_tls_routes
	run raw 8443 'GET / HTTP/1.0\r\n\r\n'
	[[ $output == *"reset by peer"* ]]
	refused_is hello_not_tls 1
	run raw 8443 '\x16\x03\x01\x00\x06\x01\x01\x00\x00\x03\x03'
	[[ $output == *"reset by peer"* ]]
	refused_is hello_too_large 1
	run raw 8443 '\x16\x03\x01\x00\x0a\x01\x00\x00\x06\x02\x03\x00\x00\x00\x00'
	[[ $output == *"reset by peer"* ]]
	refused_is hello_invalid 1
	run raw 8443 '\x16\x03'
	[[ $output == *"reset by peer"* ]]
	refused_is hello_timeout 1
	# a health check that connects and closes is no error
	at client bash -c 'exec 5<>/dev/tcp/192.0.2.2/8443; exec 5>&-'
	within 5 refused_is closed_before_hello 1
	within 5 sockets_closed
	run -0 tollgate audit
}

proxy_listeners() {
	start_proxy <<-Y
		listeners:
		  - name: tls
		    address: "192.0.2.2:8443"
		    proxy_protocol: { from: [$1] }
		    routes: [{ name: a, sni: ["*"], backends: ["198.51.100.1:4001"] }]
		  - name: plain
		    address: "192.0.2.2:8080"
		    proxy_protocol: { from: [$1] }
		    routes: [{ name: p, backends: ["198.51.100.1:4002"], send_proxy: v1 }]
		timeouts: { hello: 1s, connect: 1s }
	Y
}

@test "a trusted source must send a PROXY header, and a right one" {
	proxy_listeners 192.0.2.1
	start_peer server backend --listen 198.51.100.1:4002 --proxy
	run raw 8443 '\x16\x03\x01\x00\x40\x01'
	refused_is proxy_header_missing 1
	run raw 8080 'PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n'
	[[ $output == *"reset by peer"* ]]
	refused_is proxy_header_v1_malformed 1
	run raw 8080 '\r\n\r\n\x00\r\nQUIT\n\x31'
	refused_is proxy_header_version 1
	run raw 8080 'PROXY TCP4 1.2.3.4'
	refused_is hello_timeout 1
	# v1 in, v1 out; and a LOCAL health check goes through as UNKNOWN
	at client "$PEER" load --connect 192.0.2.2:8080 --bytes 1000 --send-proxy v1
	RAW_SECONDS=1 run raw 8080 '\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00'
	within 5 grep -q '^proxy v1 unknown' "$DIR/server.log"
	grep -q '^proxy v1 192.0.2.77:7777 192.0.2.2:8080' "$DIR/server.log"
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "an untrusted source that sends a PROXY header is refused, any other is served" {
	proxy_listeners 10.0.0.0/8
	start_peer server backend --listen 198.51.100.1:4002 --proxy
	run raw 8080 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'
	[[ $output == *"reset by peer"* ]]
	refused_is proxy_header_untrusted 1
	run raw 8443 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'
	refused_is proxy_header_untrusted 2
	run raw 8080 '\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c'
	refused_is proxy_header_untrusted 3
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 5 --bytes 5000
	grep -q '^proxy v1 192.0.2.1:[0-9]* 192.0.2.2:8080' "$DIR/server.log"
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "a backend that refuses, is silent or resets: the client is closed, the reason counted" {
	start_proxy <<-Y
		listeners:
		  - name: refusing
		    address: "192.0.2.2:8001"
		    routes: [{ name: r, backends: ["198.51.100.1:9"] }]
		  - name: silent
		    address: "192.0.2.2:8002"
		    routes: [{ name: s, backends: ["198.51.100.9:9"] }]
		  - name: resetting
		    address: "192.0.2.2:8003"
		    routes: [{ name: t, backends: ["198.51.100.1:4003"] }]
		timeouts: { connect: 500ms }
	Y
	run raw 8001 ''
	[[ $output == *"reset by peer"* ]]
	refused_is backend_refused 1
	# nobody answers for that address: the neighbour cannot be resolved, or the time is up
	run raw 8002 ''
	[[ $output == *"reset by peer"* ]]
	equal 1 $(($(refused backend_timeout) + $(refused backend_unreachable))) silent
	# no data at all is in the request: mode SERVER_RESET of the peer is index 4 of assorted
	start_peer server backend --listen 198.51.100.1:4003
	at client "$PEER" load --connect 192.0.2.2:8003 --connections 6 --parallel 1 --mix assorted
	start_exporter
	page=$(fresh_scrape)
	equal 2 "$(metric tollgate_ended_total 'reason="backend_reset"' <<<"$page")" "backend resets"
	equal 1 "$(metric tollgate_ended_total 'reason="client_reset"' <<<"$page")" "client resets"
	equal 3 "$(metric tollgate_ended_total 'reason="done"' <<<"$page")" "clean ends"
	equal 1 "$(metric tollgate_nft_packets_total 'leg="upstream"' 'verdict="refused"' <<<"$page")" \
		"nft saw the refusal"
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "a connection that is idle too long is reset" {
	start_plain 'timeouts: { idle: 700ms }'
	start server backend sh -c 'exec nc.openbsd -l 198.51.100.1 3000'
	within 10 listening backend 3000
	run raw 8080 'x'
	[[ $output == *"reset by peer"* ]]
	start_exporter
	equal 1 "$(fresh_scrape | metric tollgate_ended_total 'reason="idle_timeout"')" idle
	run -0 tollgate audit
}

@test "the connection limit resets the next one and lets it in later" {
	start_proxy <<-Y
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    limits: { connections: 2 }
		    routes: [{ name: p, backends: ["198.51.100.1:4002"] }]
	Y
	start_peer server backend --listen 198.51.100.1:4002
	mkfifo "$DIR/a" "$DIR/b"
	start one client sh -c "exec nc.openbsd -N 192.0.2.2 8080 <'$DIR/a'"
	start two client sh -c "exec nc.openbsd -N 192.0.2.2 8080 <'$DIR/b'"
	exec 7>"$DIR/a" 8>"$DIR/b"
	# client and backend are in the cgroup too: six ends and more
	within 10 live 8
	run raw 8080 ''
	[[ $output == *"reset by peer"* ]]
	refused_is listener_connections 1
	exec 7>&- 8>&-
	within 10 live 0
	at client "$PEER" load --connect 192.0.2.2:8080 --bytes 10
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "SIGHUP swaps the configuration without dropping a connection; a bad file is refused" {
	start_peer server backend --listen 198.51.100.1:4002
	start_proxy <<-Y
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    routes: [{ name: p, backends: ["198.51.100.1:4002"] }]
		  - name: old
		    address: "192.0.2.2:8081"
		    routes: [{ name: p, backends: ["198.51.100.1:4002"] }]
	Y
	start traffic client "$PEER" load --connect 192.0.2.2:8080 --connections 6000 --parallel 8 \
		--bytes 20000
	start longer client "$PEER" load --connect 192.0.2.2:8081 --connections 2 --parallel 2 \
		--bytes 300000000
	within 10 relaying old

	# only root may read the new file: the proxy has given up being root
	chmod 600 "$DIR/gate.yaml"
	sed -i 's/sni/snj/; s/routes/rowtes/' "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 10 grep -q "gate.yaml:.*rowtes" "$DIR/proxy.log"
	grep -q "stays in force" "$DIR/proxy.log"

	cat >"$DIR/gate.yaml" <<-Y
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    routes: [{ name: q, backends: ["198.51.100.1:4002"] }]
		  - name: new
		    address: "192.0.2.2:82"
		    routes: [{ name: n, backends: ["198.51.100.1:4002"] }]
	Y
	kill -HUP "$proxy_pid"
	within 10 grep -q "read again" "$DIR/proxy.log"
	# the swap happened in the middle of both
	kill -0 "$traffic_pid"
	kill -0 "$longer_pid"
	wait "$traffic_pid"
	wait "$longer_pid"
	equal 0 "$(sums traffic failed)" "failed of the traffic"
	equal 0 "$(sums longer failed)" "failed of a listener that was taken away"
	at client "$PEER" load --connect 192.0.2.2:82 --bytes 100
	run ! at client "$PEER" load --connect 192.0.2.2:8081 --bytes 100
	at client "$PEER" load --connect 192.0.2.2:8080 --bytes 100
	within 10 sockets_closed
	start_exporter
	page=$(fresh_scrape)
	equal 1 "$(metric tollgate_proxy_reloads_total 'result="ok"' <<<"$page")" "reloads"
	equal 1 "$(metric tollgate_proxy_reloads_total 'result="refused"' <<<"$page")" "refused reloads"
	[ "$(metric tollgate_proxy_payload_bytes_total 'route="q"' <<<"$page")" -gt 0 ]
	run -0 tollgate audit
}

@test "SIGTERM drains: a transfer ends well, an idle connection is reset at the deadline" {
	start_peer server backend --listen 198.51.100.1:3000
	start_plain 'timeouts: { drain: 3s }'
	mkfifo "$DIR/fifo"
	start idle client sh -c "exec nc.openbsd -N 192.0.2.2 8080 <'$DIR/fifo'"
	exec 7>"$DIR/fifo"
	start transfer client "$PEER" load --connect 192.0.2.2:8080 --bytes 150000000
	within 10 live 8
	kill -TERM "$proxy_pid"
	wait "$transfer_pid"
	equal 0 "$(sums transfer failed)" "failed transfers"
	run ! at client "$PEER" load --connect 192.0.2.2:8080 --bytes 1
	wait "$proxy_pid"
	exec 7>&-
	within 10 sockets_closed
	start_exporter
	equal 1 "$(fresh_scrape | metric tollgate_ended_total 'reason="drain_deadline"')" drained
	run -0 tollgate audit
}

@test "out of descriptors: accepting pauses, the CPU is idle, a gauge says so, it recovers" {
	start_peer server backend --listen 198.51.100.1:4002
	cat >"$DIR/gate.yaml" <<-Y
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    routes: [{ name: p, backends: ["198.51.100.1:4002"] }]
	Y
	start proxy gate prlimit --nofile=150:150 "$BIN/tollgate-proxy" \
		--config "$DIR/gate.yaml" --pins "$PINS"
	within 10 grep -q ready "$DIR/proxy.log"
	start_exporter
	# 100 connections that say nothing
	start crowd client bash -c 'for ((i = 10; i < 110; i++)); do
			eval "exec $i<>/dev/tcp/192.0.2.2/8080"; done; echo all; exec sleep 60'
	within 10 grep -q all "$DIR/crowd.log"
	within 10 eval '[ "$(fresh_scrape | metric tollgate_proxy_accept_paused)" -ge 1 ]'
	ticks() { awk '{ print $14 + $15 }' "/proc/$proxy_pid/stat"; }
	local before
	before=$(ticks)
	read -r -t 1 <> <(:) || :
	# of 100 ticks in that second; a spinning loop takes all of one CPU
	[ $(($(ticks) - before)) -le 15 ]
	stop "$crowd_pid" KILL
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 200 --parallel 4 --bytes 1000
	within 10 eval 'fresh_scrape | grep -q "^tollgate_proxy_accept_paused 0$"'
	[ "$(fresh_scrape | metric tollgate_proxy_accept_pauses_total)" -ge 1 ]
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "bytes go through splice, and an idle connection holds no pipe" {
	start_peer server backend --listen 198.51.100.1:3000
	start_plain
	start_exporter
	mkfifo "$DIR/fifo"
	start talker client sh -c "exec nc.openbsd -N 192.0.2.2 8080 <'$DIR/fifo'"
	exec 7>"$DIR/fifo"
	within 10 live 4
	equal 0 "$(fresh_scrape | metric tollgate_proxy_pipes)" "pipes of an idle connection"
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 16 --bytes 1000000
	# pooled pipes exist now, so the relay used them: at most one a direction
	[ "$(fresh_scrape | metric tollgate_proxy_pipes)" -ge 1 ]
	[ "$(fresh_scrape | metric tollgate_proxy_pipes)" -le 32 ]
	exec 7>&-
	# the program has become another user, with nothing effective
	equal 65534 "$(awk '/^Uid:/ { print $3 }' "/proc/$proxy_pid/status")" uid
	equal 0000000000000000 "$(awk '/^CapEff:/ { print $2 }' "/proc/$proxy_pid/status")" caps
	# nor does it leave its memory, keys of TLS too, in a file
	equal "0 0" "$(awk '/^Max core file size/ { print $5, $6 }' "/proc/$proxy_pid/limits")" "core dumps"
}

@test "listeners on IPv4, IPv6 and both take what they should, and the books tell them apart" {
	start_peer server backend --listen "[::]:3000"
	start_proxy <<-Y
		listeners:
		  - name: six
		    address: "[::]:8006"
		    ipv6_only: true
		    routes: [{ name: a, backends: ["198.51.100.1:3000"] }]
		  - name: dual
		    address: "[::]:8010"
		    routes: [{ name: a, backends: ["[fd00:2::1]:3000"] }]
		  - name: four
		    address: "0.0.0.0:8004"
		    routes: [{ name: a, backends: ["198.51.100.1:3000"] }]
	Y
	try() { at client "$PEER" load --connect "$1" --connections 3 --bytes 1000; }
	try "[fd00:1::2]:8006"
	run ! try 192.0.2.2:8006
	try "[fd00:1::2]:8010"
	try 192.0.2.2:8010
	try 192.0.2.2:8004
	run ! try "[fd00:1::2]:8004"
	within 10 sockets_closed
	start_exporter
	page=$(fresh_scrape)
	equal 3 "$(metric tollgate_connections_opened_total 'listener="six"' 'leg="downstream"' <<<"$page")" six
	equal 6 "$(metric tollgate_connections_opened_total 'listener="dual"' 'leg="downstream"' <<<"$page")" dual
	equal 3 "$(metric tollgate_connections_opened_total 'listener="four"' 'leg="downstream"' <<<"$page")" four
	run -0 tollgate audit
}

@test "urgent data is relayed as bytes of the stream, and the end is not lost" {
	start_peer server backend --listen 198.51.100.1:3000
	start_plain 'timeouts: { idle: 5s }'
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 10 --bytes 100000 --urgent
	within 10 sockets_closed
	stop "$server_pid"
	equal 0 "$(sums server failed)" "failed"
	run -0 tollgate audit
}

@test "a backend gets its PROXY header though the client says nothing yet" {
	start_proxy <<-Y
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    proxy_protocol: { from: [192.0.2.0/24] }
		    routes: [{ name: p, backends: ["198.51.100.1:4002"], send_proxy: v1 }]
	Y
	start server backend nc.openbsd -l 198.51.100.1 4002
	within 10 listening backend 4002
	mkfifo "$DIR/fifo"
	start talker client sh -c "exec nc.openbsd -N 192.0.2.2 8080 <'$DIR/fifo'"
	exec 7>"$DIR/fifo"
	printf 'PROXY UNKNOWN\r\n' >&7
	within 5 grep -q '^PROXY UNKNOWN' "$DIR/server.log"
	run -0 --separate-stderr tollgate flows --json --route p
	jq -e 'map(select(.leg == "upstream")) | length == 1 and
		all(.tx_payload_bytes == 15 and .rx_payload_bytes == 0)' <<<"$output"
	exec 7>&-
}

@test "an address in use, an unknown user: one sentence each; an unknown backend name keeps nobody" {
	start_peer taken gate --listen 192.0.2.2:8080
	config() {
		printf 'user: %s\nlisteners: [{ name: a, address: "192.0.2.2:%s", routes: [{ name: b, backends: ["%s:1"] }] }]\n' \
			"$@" >"$DIR/x.yaml"
	}
	config nobody 8080 127.0.0.1
	run -1 at gate "$BIN/tollgate-proxy" --config "$DIR/x.yaml" --pins "$PINS"
	[[ $output == *"192.0.2.2:8080 is in use"* ]]
	config nosuch 8081 127.0.0.1
	run -1 at gate "$BIN/tollgate-proxy" --config "$DIR/x.yaml" --pins "$PINS"
	[[ $output == *"user 'nosuch' does not exist"* ]]
	start_proxy <<<'listeners: [{ name: a, address: "192.0.2.2:8082", routes: [{ name: b, backends: ["nosuch.invalid:1"] }] }]'
	within 10 grep -q "warn: backend nosuch.invalid:1 of route b: its name cannot be looked up" "$DIR/proxy.log"
	run -1 at gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	[[ $output == *"another tollgate-proxy (pid $proxy_pid)"* ]]
}
