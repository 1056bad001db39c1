#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Whatever a ClientHello looks like: it goes where it asks to, or nowhere.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

# start_backends NAME...: on 198.51.100.1, ports from 3001 on
start_backends() {
	local port=3001 name
	for name; do
		start "at_$name" backend "$HELLO" serve "198.51.100.1:$port" "$name"
		within 10 grep -q listening "$DIR/at_$name.log"
		port=$((port + 1))
	done
}

# send CASE SNI: who answered
send() { at client "$HELLO" send 192.0.2.2:8443 "$1" "$2" | cut -f2; }

refused_for() { fresh_scrape | metric tollgate_refused_total "reason=\"$1\""; }

@test "every split and size is routed by its name, and no byte is changed" {
	load --device front --device back
	start_backends right wrong
	start_proxy <<-Y
		listeners:
		  - name: tls
		    address: "192.0.2.2:8443"
		    routes:
		      - { name: right, sni: [right.example.org], backends: ["198.51.100.1:3001"] }
		      - { name: wrong, sni: ["*"], backends: ["198.51.100.1:3002"] }
	Y
	start_exporter
	at client "$HELLO" matrix 192.0.2.2:8443 right.example.org >"$DIR/matrix"
	[ "$(wc -l <"$DIR/matrix")" -ge 19 ]
	equal "" "$(awk -F'\t' '$2 != "right"' "$DIR/matrix")" "not routed right"
	within 10 sockets_closed
	fresh_scrape >"$DIR/page"
	equal "$(wc -l <"$DIR/matrix")" "$(metric tollgate_hello_bytes_count <"$DIR/page")" hellos
	equal "$(metric tollgate_proxy_payload_bytes_total 'leg="upstream"' 'direction="tx"' <"$DIR/page")" \
		"$(metric tollgate_hello_bytes_sum <"$DIR/page")" "bytes of hellos"
	# 300 records of a byte; 34 in the other cases
	equal 334 "$(metric tollgate_hello_records_sum <"$DIR/page")" records
	equal 1 "$(metric tollgate_hello_names_total 'name="outer"' <"$DIR/page")" "outer names"
	# every case is one segment at least, 300 pieces and the large ones are more
	[ "$(metric tollgate_hello_segments_sum <"$DIR/page")" -ge 60 ]
	run -0 tollgate audit
}

@test "routes by expression, protocol, source and priority" {
	load
	start_backends expression protocol source priority other
	start_proxy <<-Y
		listeners:
		  - name: tls
		    address: "192.0.2.2:8443"
		    proxy_protocol: { from: [192.0.2.7] }
		    routes:
		      - { name: other, sni: ["*.example.org"], backends: ["198.51.100.1:3005"] }
		      - { name: expression, sni: ["~n[0-9]+\\\\.example\\\\.org"], priority: 1, backends: ["198.51.100.1:3001"] }
		      - { name: protocol, sni: ["*.example.org"], alpn: [http/1.1], priority: -1, backends: ["198.51.100.1:3002"] }
		      - { name: source, sni: ["*.example.org"], from: [192.0.2.8/31], backends: ["198.51.100.1:3003"] }
		      - { name: priority, sni: ["*.first.example.org"], priority: 2, backends: ["198.51.100.1:3004"] }
		      - { name: exact, sni: [n1.first.example.org], backends: ["198.51.100.1:3005"] }
	Y
	equal other "$(send "one record" a.example.org)" "by suffix"
	equal expression "$(send "one record" n12.example.org)" "by expression"
	equal other "$(send "one record" n12x.example.org)" "the whole name must match"
	equal priority "$(send "one record" n1.first.example.org)" "by priority"
	equal refused "$(send "one record" example.org)" "no route"
	at client ip addr add 192.0.2.9/24 dev eth
	at client ip addr add 192.0.2.7/24 dev eth
	at client ip route replace 192.0.2.0/24 dev eth src 192.0.2.9
	equal source "$(send "one record" a.example.org)" "by source"
	# the real client counts, not the balancer before it
	at client ip route replace 192.0.2.0/24 dev eth src 192.0.2.7
	at client "$HELLO" bytes "one record" a.example.org >"$DIR/hello"
	equal source "$(printf 'PROXY TCP4 192.0.2.8 192.0.2.2 1 2\r\n' | cat - "$DIR/hello" |
		at client nc.openbsd -N 192.0.2.2 8443 | head -1)" "by the source a PROXY header names"
}

@test "what cannot be decided is refused, or goes where the configuration says" {
	load
	start_backends named fallback
	named='{ name: named, sni: [named.example.org], backends: ["198.51.100.1:3001"] }'
	start_proxy <<-Y
		hello_bytes: 20000
		listeners:
		  - name: strict
		    address: "192.0.2.2:8443"
		    routes: [$named]
		  - name: loose
		    address: "192.0.2.2:8444"
		    fallback: fallback
		    routes: [$named, { name: fallback, backends: ["198.51.100.1:3002"] }]
	Y
	start_exporter
	equal refused "$(send "one record" other.example.org)" "an unknown name"
	equal refused "$(send "40 kB" named.example.org)" "too large"
	equal "" "$(at client timeout 10 sh -c 'printf "GET / HTTP/1.1\r\n\r\n" | nc.openbsd -N 192.0.2.2 8443')" "HTTP"
	equal 1 "$(refused_for no_route)" no_route
	equal 1 "$(refused_for hello_too_large)" hello_too_large
	equal 1 "$(refused_for hello_not_tls)" hello_not_tls
	loose() { at client "$HELLO" send 192.0.2.2:8444 "$1" "$2" | cut -f2; }
	equal named "$(loose "one record" named.example.org)" "a known name"
	equal fallback "$(loose "one record" other.example.org)" "an unknown name"
	equal fallback "$(loose "40 kB" named.example.org)" "too large"
	equal fallback "$(at client timeout 10 sh -c 'printf "GET / HTTP/1.1\r\n\r\n" | nc.openbsd -N 192.0.2.2 8444' |
		head -1)" "HTTP"
	equal 3 "$(fresh_scrape | metric tollgate_refused_total)" "refused in all"
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "a client and a server of today shake hands through the gate by name" {
	load
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$DIR/key" -out "$DIR/cert" -days 2 \
		-subj /CN=web.example.org 2>/dev/null
	start web backend openssl s_server -accept 198.51.100.1:3001 -key "$DIR/key" -cert "$DIR/cert" -www -alpn http/1.1
	within 10 listening backend 3001
	start_proxy <<-Y
		listeners:
		  - name: tls
		    address: "192.0.2.2:8443"
		    proxy_protocol: { from: [192.0.2.77] }
		    routes: [{ name: web, sni: [web.example.org], alpn: [http/1.1], backends: ["198.51.100.1:3001"] }]
	Y
	# at once, though the listener looks for headers of others: the default timeout is 10 s
	at client curl -fsS --max-time 5 --cacert "$DIR/cert" --resolve web.example.org:8443:192.0.2.2 --http1.1 \
		https://web.example.org:8443/ | grep -q "TLSv1.3"
	run ! at client curl -fsS -k --resolve other.example.org:8443:192.0.2.2 https://other.example.org:8443/
}

@test "who is for nobody here is reset, or told by an alert where the listener says so" {
	load --device front
	start_backends right
	routes() {
		printf '  - name: %s\n    address: "192.0.2.2:%s"\n%s    routes: [{ name: right, sni: [right.example.org], backends: ["198.51.100.1:3001"] }]\n' \
			"$@"
	}
	start_proxy < <(
		echo listeners:
		routes silent 8443 ""
		routes telling 8444 $'    refuse: alert\n'
	)
	start_exporter
	says() { at client timeout 10 openssl s_client -connect "192.0.2.2:$1" "${@:2}" </dev/null 2>&1 || :; }
	[[ $(says 8443 -servername else.example.org) != *alert* ]]
	[[ $(says 8444 -servername else.example.org) == *"unrecognized name"* ]]
	[[ $(says 8444 -noservername) == *"missing extension"* ]]
	within 10 sockets_closed
	equal 2 "$(refused_for no_route)" no_route
	equal 1 "$(refused_for no_server_name)" no_server_name
	# the alerts are counted like any byte
	equal 14 "$(fresh_scrape | metric tollgate_proxy_payload_bytes_total 'listener="telling"' 'direction="tx"')" "bytes"
	run -0 tollgate audit
}
