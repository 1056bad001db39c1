#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# HTTP/2 at the gate: the RFC case by case, floods, clients that do not read, what becomes of a
# request on its way to HTTP/1.1, and backends that speak HTTP/2 oddly.

load helpers
source "$BATS_TEST_DIRNAME/tls.bash"
source "$BATS_TEST_DIRNAME/http.bash"

own='      - { name: own, http: { path: ["/own/*"], respond: { status: 200, body: ok } } }'
dead='      - { name: dead, http: { path: ["/dead/*"] }, backends: ["198.51.100.9:3000"] }'

# the SCRIPT [ARGUMENT...] of tests/http at the client
py() { at client timeout 100 /usr/bin/python3 "$ROOT/tests/http/$1" "${@:2}"; }
# clean N: all is closed, and every byte is in its place
clean() {
	local log
	for log in origin back; do
		local pid=${log}_pid
		[ -z "${!pid:-}" ] || stop "${!pid}"
	done
	within 20 sockets_closed
	audit_is_clean "$1"
}
# conforms ARGUMENT...: all cases hold
conforms() {
	run py conform_h2.py "$@"
	grep -v '^ok' <<<"$output" | sed 's/^/# /' >&3
	[ "$status" = 0 ]
	equal 255 "$(grep -c '^ok' <<<"$output")" "cases that hold"
	[[ $output != *"not ok"* ]]
}

@test "RFC 9113 and RFC 7541, case by case, without TLS" {
	start_origin
	start_proxy < <(web '    routes:' "$own" "$dead" "$app")
	conforms 192.0.2.2:8080
	clean 5
}

@test "the same through TLS" {
	make_certificates
	start_origin
	start_proxy < <(printf '%s\n' 'listeners:' '  - name: web' '    address: "192.0.2.2:8443"' \
		"    certificates: [{ certificate: $DIR/app.pem, key: $DIR/app.key }]" '    routes:' \
		"${own/name: own,/name: own, sni: [app.example.org], tls: terminate,}" \
		"${dead/name: dead,/name: dead, sni: [app.example.org], tls: terminate,}" \
		"${app/name: app,/name: app, sni: [app.example.org], tls: terminate,}")
	conforms 192.0.2.2:8443 "$DIR/root.pem" app.example.org
	clean 6
}

# figures: RSS in KiB and CPU in ms of the proxy
figures() { echo "$(awk '/^VmRSS/ { print $2 }' "/proc/$proxy_pid/status") $(awk '{ print ($14 + $15) * 10 }' "/proc/$proxy_pid/stat")"; }

@test "floods: each ends as http_flood, while another client is answered; pings with a pause do not" {
	local kind n=0 rss cpu rss_now cpu_now others
	start_origin
	start_proxy < <(web '    routes:' "$own" "$app")
	for kind in rapid-reset window length trailers settings ping priority empty-data continuation; do
		read -r rss cpu < <(figures)
		start flood client timeout 60 /usr/bin/python3 "$ROOT/tests/http/abuse_h2.py" 192.0.2.2:8080 "$kind"
		others=0
		until [ "$others" -gt 0 ] && gone "$flood_pid"; do
			equal 200 "$(ask /bytes/3 -o /dev/null -w '%{http_code}' --max-time 20)" "another's answer"
			others=$((others + 1))
		done
		wait "$flood_pid" || {
			cat "$DIR/flood.log"
			return 1
		}
		read -r rss_now cpu_now < <(figures)
		echo "# $(<"$DIR/flood.log"); CPU $((cpu_now - cpu)) ms, RSS $rss to $rss_now KiB, $others others answered" >&3
		[ $((rss_now - rss)) -lt 65536 ]
		n=$((n + 1))
		within 10 eval "[ \"\$(ended http_flood)\" = $n ]"
	done
	run -0 py abuse_h2.py 192.0.2.2:8080 pings
	equal "$n" "$(ended http_flood)" "floods"
	clean 5
}

@test "answers that nobody reads are given up, blocks that do not end end; a malformed one does no harm" {
	local again rss rss_now=0 cpu
	start_origin
	start_proxy < <(printf '%s\n' 'listeners:' '  - name: web' '    address: "192.0.2.2:8080"' \
		'    http: { head_timeout: 2s, body_timeout: 2s }' '    routes:' "$own" "$app" 'workers: 1')
	for again in first second; do # what came back is used again
		rss=$rss_now
		run py abuse_h2.py 192.0.2.2:8080 window0
		[ "$status" = 0 ]
		read -r rss_now cpu < <(figures)
		echo "# $again: $output; RSS $rss_now KiB, CPU so far $cpu ms" >&3
	done
	[ $((rss_now - rss)) -lt 8192 ]
	run py abuse_h2.py 192.0.2.2:8080 blocks
	echo "# $output" >&3
	[ "$status" = 0 ]
	clean 5
}

@test "backends of HTTP/2: empty ends for HTTP/1.1, a whole answer and GOAWAY and the end, one that is dead" {
	start back backend /usr/bin/python3 "$ROOT/tests/http/h2_back.py" 198.51.100.1:3001
	within 10 listening backend 3001
	start_proxy < <(web '    routes:' \
		'      - { name: two, http: { path: ["/two/*"], protocol: h2 }, backends: ["198.51.100.9:3001", "198.51.100.1:3001"] }' \
		'      - { name: h2, http: { protocol: h2 }, backends: ["198.51.100.1:3001"] }' \
		'timeouts: { connect: 1s }')
	for what in HEAD/200 GET/204 GET/304; do
		run -0 raw "${what%/*} /h2/empty/${what#*/} HTTP/1.1\r\nHost: a\r\n\r\nGET /h2/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		echo "$output"
		[[ $output == "HTTP/1.1 ${what#*/}"* && $output == *'"/h2/x"'* ]]
		equal 2 "$(grep -c '^HTTP/1.1 ' <<<"$output")" "answers to $what"
	done
	for what in all two; do
		run py downgrade_h2.py 192.0.2.2:8080 "$what"
		echo "$output"
		[ "$status" = 0 ]
	done
	clean 5
}

@test "on the way to HTTP/1.1: nothing malformed arrives, nor more requests than were answered" {
	start_origin
	start_proxy < <(web '    routes:' "$app")
	run py downgrade_h2.py 192.0.2.2:8080 requests "$DIR/origin.seen"
	echo "$output"
	[ "$status" = 0 ]
	clean 5
}
