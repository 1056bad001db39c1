#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# HTTP/1.1 at the gate: routes, what the other side gets, bodies of all framings, books.

load helpers
source "$BATS_TEST_DIRNAME/http.bash"


@test "what a backend is told: the request as it came, less what is of one hop, and who asks" {
	start_origin
	start_proxy < <(web '    routes:' "$app")
	ask '/hello?x=%41' -H 'X-Mine: 1' -H 'X-Hop: 2' -H 'Connection: X-Hop, x-forwarded-for' \
		-H 'X-Forwarded-For: 10.9.9.9' -H 'X-Real-IP: 10.9.9.9' -H 'X_Forwarded_For: 10.9.9.9' \
		-H 'Client-Cert: :aa:' -H 'TE: gzip' -H 'Upgrade: h2c' -H 'HTTP2-Settings: AAA' >"$DIR/seen"
	field() { jq -r "[.fields[] | select(.[0] == \"$1\") | .[1]] | join(\"|\")" "$DIR/seen"; }
	equal '/hello?x=%41' "$(jq -r .path "$DIR/seen")" "the path"
	equal 1 "$(field x-mine)" "a field of the client's"
	equal 192.0.2.1 "$(field x-forwarded-for)" "who asks"
	equal 192.0.2.1 "$(field x-real-ip)" "who asks"
	equal http "$(field x-forwarded-proto)" "by what"
	equal 8080 "$(field x-forwarded-port)" "at which port"
	equal 192.0.2.2:8080 "$(field x-forwarded-host)" "for which host"
	equal 192.0.2.2:8080 "$(field host)" "the host"
	equal 32 "$(field x-request-id | tr -d '\n' | wc -c)" "digits of the id"
	for gone in x-hop x_forwarded_for client-cert te upgrade http2-settings connection; do
		equal "" "$(field "$gone")" "$gone"
	done
}

@test "bodies both ways, of every framing, arrive as they were" {
	start_origin
	start_proxy < <(web '    routes:' "$app")
	head -c 3000000 /dev/urandom >"$DIR/body"
	local sum n
	sum=$(sha256sum <"$DIR/body" | cut -d' ' -f1)
	equal "$sum" "$(ask /x --data-binary "@$DIR/body" | jq -r .sha256)" "by length"
	equal "$sum" "$(ask /x -H 'Transfer-Encoding: chunked' --data-binary "@$DIR/body" | jq -r .sha256)" "in chunks"
	for n in 0 1 16383 16384 16385 100000 5000000; do
		equal "$n" "$(ask "/bytes/$n" | wc -c)" "bytes by length"
		equal "$n" "$(ask "/chunks/$n" | wc -c)" "bytes in chunks"
		equal "$n" "$(ask "/until-close/$n" | wc -c)" "bytes until the end"
		equal "$n" "$(ask "/chunks/$n" -0 | wc -c)" "bytes for a client of 1.0"
	done
	equal 0123456789 "$(ask /bytes/10)" "the bytes"
	equal 10 "$(ask /bytes/10 -I | grep -i content-length | tr -dc 0-9)" "the length, of HEAD"
}

@test "a message that is none ends its connection as http_invalid, in its head as in its body" {
	start_origin
	start_proxy < <(web '    routes:' "$app")
	run -0 raw 'GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n'
	[[ $output == "HTTP/1.1 400 "* ]]
	within 10 eval '[ "$(ended http_invalid)" = 1 ]'
	run -0 raw 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n'
	[[ $output == "HTTP/1.1 400 "* ]]
	within 10 eval '[ "$(ended http_invalid)" = 2 ]'
	# while HTTP/2 goes on: one is of a path that nothing can be
	run -0 at client env PYTHONPATH="$ROOT/tests/http" /usr/bin/python3 -B -c 'import frames
c = frames.Connection("192.0.2.2:8080")
c.request(1, "/a b")
c.request(3, "/bytes/3")
c.answer(3)
print(c.status(1), c.status(3))'
	equal "None 200" "$output" "a stream that is reset, and one that is answered"
	equal 2 "$(ended http_invalid)" "connections"
	audit_is_clean 5
}

@test "1xx, trailers, no bodies, an upgrade, and an answer before the body" {
	start_origin
	start_proxy < <(web '    routes:' "$app")
	run -0 raw 'GET /early HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
	[[ $output == *"103 Early Hints"*"link: </a.css>"*"200 Whatever"*late* ]]
	run -0 raw 'GET /trailers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
	[[ $output == *chunked*"x-sum: 42"* ]]
	for code in 204 304; do
		run -0 raw "GET /status/$code HTTP/1.1\r\nHost: a\r\n\r\nGET /bytes/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		[[ $output == *"$code Whatever"*"200 OK"*012 ]]
	done
	run -0 raw 'POST /continue HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n' 'hi'
	[[ $output == *"100 Continue"*"200 Whatever"* ]]
	run -0 raw 'GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n' 'some words'
	[[ $output == *"101 Switching Protocols"*"upgrade: chat"*"some words"* ]]
	for version in --http1.1 --http2-prior-knowledge; do
		equal 200 "$(ask /early/100 $version -o /dev/null -w '%{http_code}')" "after 100 others, $version"
		equal 502 "$(ask /early/101 $version -o /dev/null -w '%{http_code}')" "after 101 others, $version"
	done
	head -c 10000000 /dev/zero >"$DIR/body"
	run -0 ask /refuse --data-binary "@$DIR/body" -H Expect: -w '%{http_code}'
	[[ $output == *"too much"*413 ]]
}

@test "connections are kept on both sides, and one that a backend has closed is not used" {
	start_origin
	start_proxy < <(web '    routes:' "$app")
	at client curl -sS "http://192.0.2.2:8080/echo/[1-20]" -w "%{stderr}%{num_connects}\n" >"$DIR/all" 2>"$DIR/connects"
	equal 20 "$(wc -l <"$DIR/all")" answers
	equal 1 "$(awk '{ n += $1 } END { print n }' "$DIR/connects")" "connections to the gate"
	equal 1 "$(jq .port "$DIR/all" | sort -u | wc -l)" "connections to the backend"
	stop "$origin_pid"
	start_origin
	equal 200 "$(ask /bytes/3 -o /dev/null -w '%{http_code}')" "the status after the backend came back"
}
@test "routes: host, path, names in paths, method, field, query; redirects, answers; paths rewritten" {
	start_origin
	start_proxy < <(web '    routes:' \
		'      - { name: exact, http: { host: [a.example.org], path: [/one], respond: { status: 200, body: exact } } }' \
		'      - { name: prefix, http: { host: [a.example.org], path: ["/one/*"], respond: { status: 200, body: prefix } } }' \
		'      - { name: names, http: { host: [a.example.org], path: ["/users/:id/posts"], respond: { status: 200, body: names } } }' \
		'      - { name: any, http: { host: [a.example.org], respond: { status: 200, body: any } } }' \
		'      - { name: wild, http: { host: ["*.example.org"], respond: { status: 200, body: wild } } }' \
		'      - { name: post, http: { host: [b.example.org], method: [POST], respond: { status: 201, body: post } } }' \
		'      - { name: field, http: { host: [b.example.org], header: ["X-Kind: new"], respond: { status: 200, body: field } } }' \
		'      - { name: query, http: { host: [b.example.org], query: ["kind=new"], respond: { status: 200, body: query } } }' \
		'      - { name: moved, http: { host: [c.example.org], redirect: { to: "https://${host}${uri}" } } }' \
		'      - { name: api, http: { host: [d.example.org], path: ["/api/*"], strip: /api, prefix: /v2, request: { set: ["X-Path: ${path}"], remove: [user-agent] }, response: { add: ["X-Was: ${method}"] } }, backends: ["198.51.100.1:3000"] }')
	goes() { equal "$1" "$(ask "$3" -H "Host: $2" "${@:4}")" "$2$3 ${*:4}"; }
	goes exact a.example.org /one
	goes exact A.Example.org:80 '/%6fne'
	goes prefix a.example.org /one/two
	goes prefix a.example.org /x/../one/two --path-as-is
	goes names a.example.org /users/7/posts
	goes any a.example.org /users/7/posts/9
	goes any a.example.org /onetwo
	goes any a.example.org /one/../two --path-as-is
	goes wild x.example.org /one
	goes post b.example.org / -X POST
	goes field b.example.org / -H 'x-kind: new'
	goes query b.example.org '/?a=b&kind=new'
	equal 404 "$(ask / -H 'Host: nobody.org' -o /dev/null -w '%{http_code}')" "a host of nobody"
	equal 308https://c.example.org/x?y=z "$(ask '/x?y=z' -H 'Host: c.example.org' -o /dev/null -w '%{http_code}%{redirect_url}')" "the redirect"
	equal 400 "$(ask '/a%2fb' -H 'Host: a.example.org' -o /dev/null -w '%{http_code}')" "an encoded slash"
	ask '/api/x?y' -H 'Host: d.example.org' -D "$DIR/head" >"$DIR/seen"
	equal '/v2/x?y' "$(jq -r .path "$DIR/seen")" "the path behind"
	equal /api/x "$(jq -r '.fields[] | select(.[0] == "x-path") | .[1]' "$DIR/seen")" "a field that was set"
	equal "" "$(jq -r '.fields[] | select(.[0] == "user-agent") | .[1]' "$DIR/seen")" "a field that was removed"
	grep -qi '^x-was: GET' "$DIR/head"
}
@test "HTTP/2 by prior knowledge: the same requests, many at once" {
	start_origin
	start_proxy < <(web '    routes:' "$app")
	equal /a "$(ask /a --http2-prior-knowledge | jq -r .path)" "the path"
	head -c 3000000 /dev/urandom >"$DIR/body"
	equal "$(sha256sum <"$DIR/body" | cut -d' ' -f1)" "$(ask /x --http2-prior-knowledge --data-binary "@$DIR/body" | jq -r .sha256)" "a body"
	for n in 0 1 16384 100000 5000000; do
		equal "$n" "$(ask "/bytes/$n" --http2-prior-knowledge | wc -c)" "bytes by length"
		equal "$n" "$(ask "/chunks/$n" --http2-prior-knowledge | wc -c)" "bytes in chunks"
	done
	run -0 at client h2load -n 5000 -c 10 -m 10 http://192.0.2.2:8080/bytes/100
	echo "$output"
	[[ $output == *"5000 succeeded, 0 failed"* ]]
}
@test "gRPC of all kinds, by h2c on both sides" {
	start grpc backend /usr/bin/python3 "$ROOT/tests/http/grpc_peer.py" serve 198.51.100.1:3000
	within 10 listening backend 3000
	start_proxy < <(web '    routes:' \
		'      - { name: grpc, http: { protocol: h2 }, backends: ["198.51.100.1:3000"] }')
	run at client timeout 120 /usr/bin/python3 "$ROOT/tests/http/grpc_peer.py" call 192.0.2.2:8080
	echo "$output"
	[ "$status" = 0 ]
	echo "$output"
	[[ $output != *NOT* && $output == *"after one that was cancelled"* ]]
}

@test "what clients and a backend have measured of requests of random shape is what the gate has counted" {
	local seed=$RANDOM n=${REQUESTS:-1000} sent got
	echo "# seed $seed" >&3
	start_origin
	start_proxy < <(web '    routes:' '      - { name: nowhere, http: { path: ["/nowhere/*"], respond: { status: 404 } } }' "$app")
	start_exporter
	mix one 8080 "$n" "$seed" --whole
	mix two 8080 "$n" $((seed + 1)) --whole
	run -0 at client h2load -n 1000 -c 10 -m 10 http://192.0.2.2:8080/bytes/1000
	[[ $output == *"1000 succeeded, 0 failed"* ]]
	mixed one two
	stop "$origin_pid"
	within 20 sockets_closed
	audit_is_clean 5
	fresh_scrape >"$DIR/page"
	both() { echo $(($(sums one "$1") + $(sums two "$1"))); }
	bytes() { http_total tollgate_http_bytes_total "leg=\"$1\"" "direction=\"$2\"" 'kind="body"'; }
	equal $((2 * n + 1000)) "$(http_total tollgate_http_requests_total)" requests
	equal "$(wc -l <"$DIR/origin.seen")" "$(http_total tollgate_http_requests_total 'reason="done"')" "requests that the backend answered"
	equal "$(both sent_body)" "$(bytes downstream rx)" "bodies that clients sent"
	equal $(($(both got_body) + 1000000)) "$(bytes downstream tx)" "bodies that clients got"
	equal "$(jq -s 'map(.body) | add' "$DIR/origin.seen")" "$(bytes upstream tx)" "bodies that the backend got"
	equal $(($(both got_body) - $(both own_body) + 1000000)) "$(bytes upstream rx)" "bodies that the backend sent"
	equal "$(wc -l <"$DIR/origin.seen")" "$(http_total tollgate_http_pool_total)" "requests by their connection to the backend"
}

@test "requests of random shape, aborts of both sides: every byte is a head's, a body's, framing or unread" {
	local seed=$RANDOM n=${REQUESTS:-1500}
	echo "# seed $seed" >&3
	start_origin
	start_proxy < <(web '    routes:' '      - { name: nowhere, http: { path: ["/nowhere/*"], respond: { status: 404 } } }' "$app")
	start_exporter
	for i in 1 2 3 4; do mix "mix$i" 8080 "$n" $((seed + i)); done
	run -0 at client h2load -n 3000 -c 10 -m 10 http://192.0.2.2:8080/bytes/1000
	[[ $output == *"3000 succeeded, 0 failed"* ]] || {
		echo "$output"
		fresh_scrape | grep http_requests_total
		return 1
	}
	mixed mix1 mix2 mix3 mix4
	stop "$origin_pid" # and with it the connections that are kept
	within 20 sockets_closed
	audit_is_clean 5
	fresh_scrape >"$DIR/page"
	equal 0 "$(http_total tollgate_http_residual_bytes_total)" "residual bytes"
}

@test "kill -9 with kept connections, and 70 routes that a reload takes away: no byte is left over" {
	local i routes=()
	start_origin
	for i in {1..70}; do
		routes+=("      - { name: r$i, http: { path: [/r$i] }, backends: [\"198.51.100.1:3000\"] }")
	done
	start_proxy < <(web '    routes:' "${routes[@]}" "$app")
	start_exporter
	at client curl -sS "http://192.0.2.2:8080/r[1-70]" >"$DIR/all"
	# one connection is kept while the gate dies
	start kept client /usr/bin/python3 -c 'import socket
s = socket.create_connection(("192.0.2.2", 8080))
s.sendall(b"GET /bytes/1000 HTTP/1.1\r\nhost: a\r\n\r\n")
got = b""
while len(got) < 1000: got += s.recv(4096)
print("kept", flush=True)
try: s.recv(1)
except ConnectionError: pass'
	within 10 grep -q kept "$DIR/kept.log"
	kill -KILL "$proxy_pid"
	within 10 gone "$kept_pid"
	start_proxy < <(web '    routes:' "$app")
	equal 200 "$(ask /bytes/3 -o /dev/null -w '%{http_code}')" "after it"
	stop "$origin_pid"
	within 20 sockets_closed
	audit_is_clean 5
	fresh_scrape >"$DIR/page"
	equal 72 "$(http_total tollgate_http_requests_total)" "requests, those of routes that are gone too"
	equal 0 "$(grep -c 'route="r[0-9]' "$DIR/page")" "rows of them"
}

@test "the access log: a line a request, opened again by SIGHUP; explain says what the proxy does" {
	start_origin
	log=$(mktemp -d) # where the proxy's user may go, too
	chmod 777 "$log"
	start_proxy < <(
		web '    http: { traceparent: true, via: true, forwarded: true }' '    routes:' '      - { name: api, http: { host: [api.example.org], path: ["/v1/*"], strip: /v1 }, backends: ["198.51.100.1:3000"] }' \
			'      - { name: old, http: { path: ["/old/*"], redirect: { to: "https://${host}${uri}" } } }'
		echo "access_log: { file: $log/access.json }"
		echo "workers: 1"
	)
	ask /v1/bytes/100 -H 'Host: api.example.org' -A 'a "name"' -o /dev/null
	ask /v1/x -H 'Host: api.example.org' -d hello -o "$DIR/seen" --http2-prior-knowledge
	jq -e '[.fields[] | {(.[0]): .[1]}] | add | .traceparent == "00-" + ."x-request-id" + "-" + ."x-request-id"[0:16] + "-01"
		and .via == "2.0 tollgate" and .forwarded == "for=192.0.2.1;host=\"api.example.org\";proto=http"' "$DIR/seen"
	ask /old/x -o /dev/null
	ask /none -o /dev/null
	raw 'GET / HTTP/1.1\r\n\r\n' >/dev/null
	within 10 eval '[ "$(wc -l <"$log/access.json")" = 5 ]'
	cat "$log/access.json"
	jq -se '.[0] | .route == "api" and .backend == "198.51.100.1:3000" and .status == 200 and .response_body_bytes == 100
		and .path == "/v1/bytes/100" and .user_agent == "a \"name\"" and .reason == "done" and .protocol == "HTTP/1.1"
		and (.client | startswith("192.0.2.1:"))' "$log/access.json"
	jq -se '.[1] | .protocol == "HTTP/2.0" and .request_body_bytes == 5 and .reused and .response_body_bytes > 100' "$log/access.json"
	jq -se '[.[2:][] | .status] == [308, 404, 400] and (.[4].reason == "host_missing")' "$log/access.json"
	mv "$log/access.json" "$log/before.json"
	kill -HUP "$proxy_pid"
	within 10 test -e "$log/access.json"
	ask /old/y -o /dev/null
	within 10 eval '[ "$(jq -r .path "$log/access.json")" = /old/y ]'
	equal 5 "$(wc -l <"$log/before.json")" "lines before"

	explains() { equal "$1" "$(tollgate explain "$DIR/gate.yaml" "${@:2}")" "${*:2}"; }
	explains 'listener web: route api for host api.example.org, path /v1/*: to a backend of 198.51.100.1:3000 by http/1.1, without /v1' http://api.example.org/v1/x
	explains 'listener web: route old for any host, path /old/*: 308 to https://${host}${uri}' 'http://other.example.org/old/x?y#z'
	explains 'listener web: route old for any host, path /old/*: 308 to https://${host}${uri}' 'other.example.org/old/x?y=http://a/'
	run -1 tollgate explain "$DIR/gate.yaml" http://other.example.org/none
	[ "$output" = 'listener web: 404, no_route' ]
	run -1 tollgate explain "$DIR/gate.yaml" http://other.example.org/old/x --method CONNECT
	[ "$output" = 'listener web: 405, method' ]
	run -1 tollgate explain "$DIR/gate.yaml" 'http://other.example.org?old'
	[ "$output" = 'listener web: 404, no_route' ]
	run -1 tollgate explain "$DIR/gate.yaml" http://other.example.org/old/x --header "X: $(printf '%040000d' 0)"
	[ "$output" = 'listener web: 431, head_too_large' ]
	run -1 tollgate explain "$DIR/gate.yaml" http://other.example.org/old/x --header 'X : y'
	[ "$output" = 'every listener: 400, for it is no request of RFC 9112 (field_name)' ]
	run -1 tollgate explain "$DIR/gate.yaml" https://other.example.org/old/x
	[[ $output == *"no listener of TLS has routes with 'http'" ]]
	run -1 tollgate explain "$DIR/gate.yaml" http://other.example.org/a%2fb --method POST --header 'X: y'
	[ "$output" = 'listener web: 400, path' ]
}

@test "the access log in formats of the user's, one in so many of those that went well, put aside when it is large" {
	start_origin
	log=$(mktemp -d)
	chmod 777 "$log"
	configure() { # LINE...: of access_log
		web '    routes:' '      - { name: api, http: { path: ["/api/*"], strip: /api }, backends: ["198.51.100.1:3000"] }' \
			'      - { name: old, http: { path: ["/old/*"], redirect: { to: "https://${host}${uri}" } } }'
		printf '%s\n' 'workers: 1' 'access_log:' "$@"
	}
	# written AGAIN...: the configuration is another
	written() { kill -HUP "$proxy_pid" && within 10 eval '[ "$(grep -c "read again" "$DIR/proxy.log")" = '"$1"' ]'; }
	start_proxy < <(configure "  file: $log/a" '  format: combined')
	ask '/api/bytes/10?x=1' -A 'an "agent" \ ü' -e http://a.example.org/ -o /dev/null
	ask /none -o /dev/null -A '' --http2-prior-knowledge
	raw 'GARBAGE\r\n\r\n' >/dev/null
	within 10 eval '[ "$(wc -l <"$log/a")" = 3 ]'
	local day
	day='[0-9][0-9]/[A-Z][a-z][a-z]/20[0-9][0-9]:[0-9:]{8} [+]0000'
	line() { sed -n "$1p" "$log/a"; }
	grep -qE "^192\.0\.2\.1 - - \[$day\] \"GET /api/bytes/10\?x=1 HTTP/1\.1\" 200 10 \"http://a\.example\.org/\" \"an .x22agent.x22 .x5c .xc3.xbc\"\$" <<<"$(line 1)" || { line 1 && false; }
	grep -qE "\"GET /none HTTP/2\.0\" 404 [0-9]+ \"-\" \"-\"\$" <<<"$(line 2)" || { line 2 && false; }
	grep -qE "^192\.0\.2\.1 - - \[$day\] \"-\" 400 [0-9]+ \"-\" \"-\"\$" <<<"$(line 3)" || { line 3 && false; }

	# a text of one's own
	configure "  file: $log/b" "  format: '\${method} \${host} \${client_port} \${header X-Of-Mine}|\${header none} \${tls} \${reused} \${reason}; \${route}'" >"$DIR/gate.yaml"
	written 1
	ask /api/x -H 'X-Of-Mine: mine' --local-port 40001-40009 -o /dev/null
	within 10 grep -qxE 'GET 192[.]0[.]2[.]2:8080 4000[0-9] mine[|]- false (true|false) done; api' "$log/b"

	# one in ten of those that went well, all of the others
	configure "  file: $log/c" '  sample: 10' >"$DIR/gate.yaml"
	written 2
	at client curl -sS "http://192.0.2.2:8080/api/bytes/[1-60]" "http://192.0.2.2:8080/old/[1-40]" "http://192.0.2.2:8080/none/[1-20]" >"$DIR/answers"
	within 10 eval '[ "$(wc -l <"$log/c")" = 30 ]'
	equal "100 20" "$(jq -sr '"\([.[] | select(.status < 400) | .sample] | add) \([.[] | select(.status == 404 and .sample == null)] | length)"' "$log/c")" "what they stand for"

	# put aside at 64 KiB, four files at most; no line is lost or torn
	configure "  file: $log/d" '  max_bytes: 65536' '  keep: 100' >"$DIR/gate.yaml"
	written 3
	run -0 at client h2load -n 2000 -c 10 -m 10 http://192.0.2.2:8080/old/x
	within 10 eval '[ "$(cat "$log"/d* | wc -l)" = 2000 ]'
	equal 2000 "$(cat "$log"/d* | jq -r .path | grep -cx /old/x)" "whole lines"
	[ "$(find "$log" -name 'd.*' | wc -l)" -ge 4 ]
	[ "$(stat -c %s "$log"/d.* | sort -n | head -1)" -ge 65536 ]
	[ "$(stat -c %s "$log"/d.* | sort -n | tail -1)" -lt 140000 ]
	configure "  file: $log/d" '  max_bytes: 65536' '  keep: 2' >"$DIR/gate.yaml"
	written 4
	run -0 at client h2load -n 2000 -c 10 -m 10 http://192.0.2.2:8080/old/x
	within 10 test -e "$log/d.2"
	# where it cannot be put aside it goes on, and that is said
	chmod 755 "$log"
	run -0 at client h2load -n 1000 -c 10 -m 10 http://192.0.2.2:8080/old/x
	within 10 grep -q "the access log $log/d cannot be put aside: Permission denied" "$DIR/proxy.log"

	wrong() { # MESSAGE LINE...
		run -1 "$BIN/tollgate" check <(configure "  file: $log/x" "${@:2}")
		[[ $output == *"access_log$1"* ]] || { echo "$output" && false; }
	}
	wrong ".format: '\${nobody}' is no field of the access log" "  format: '\${nobody}'"
	wrong ".format: '\${' without '}'" "  format: '\${path'"
	wrong ": max_bytes: 9 is less than 65536" "  max_bytes: 9"
	wrong ": 'keep' is for a log with 'max_bytes'" "  keep: 3"
	wrong ".format: 'Host' is how a body or a host is said" "  format: '\${header Host}'"
	run -1 "$BIN/tollgate" check <(web '    routes:' "$app" && echo "access_log: $log/x")
	[[ $output == *"access_log: '$log/x' is no value for it: it has keys of its own (file, format, sample, max_bytes, keep)"* ]]
}

@test "an access log that cannot be written: lines are lost and counted, requests and reloads are not held up" {
	start_origin
	start_exporter
	log=$(mktemp -d)
	chmod 777 "$log"
	lost() { fresh_scrape | metric tollgate_http_log_lost_total; }
	start_proxy < <(web '    routes:' "$app" && echo "access_log: { file: /dev/full }")
	at client curl -sS -o /dev/null "http://192.0.2.2:8080/bytes/[1-20]"
	within 10 eval '[ "$(lost)" = 20 ]'
	# a pipe that nobody reads is refused, and all stays as it was
	mkfifo "$log/pipe"
	chmod 666 "$log/pipe"
	sed -i "s|/dev/full|$log/pipe|" "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 10 grep -q "access_log $log/pipe: cannot be opened" "$DIR/proxy.log"
	at client curl -sS -o /dev/null "http://192.0.2.2:8080/bytes/[1-5]"
	within 10 eval '[ "$(lost)" = 25 ]'
	# one whose reader stands still gets what a pipe holds, in whole lines
	exec 7<>"$log/pipe"
	kill -HUP "$proxy_pid"
	within 10 grep -q "read again" "$DIR/proxy.log"
	run -0 at client h2load -n 5000 -c 10 -m 10 http://192.0.2.2:8080/bytes/3
	[[ $output == *"5000 succeeded, 0 failed"* ]]
	within 10 eval '[ "$(lost)" -gt 4000 ]'
	kill -HUP "$proxy_pid"
	within 10 eval '[ "$(grep -c "read again" "$DIR/proxy.log")" = 2 ]'
	equal 200 "$(ask /bytes/3 -o /dev/null -w '%{http_code}')" "a request"
	start reader gate cat "$log/pipe"
	# each is whole, or lost; of those that are in two parts the first is a line of its own
	whole() { jq -R 'fromjson? | .status' "$DIR/reader.log" | wc -l; }
	within 20 eval '[ $(($(lost) - 25 + $(whole))) = 5001 ]'
	[ $(($(wc -l <"$DIR/reader.log") - $(whole))) -le 2 ]
	stop "$reader_pid"
	exec 7<&-
}

@test "a backend that closes idle connections at random: what is safe to repeat never fails" {
	start origin backend /usr/bin/python3 "$ROOT/tests/http/origin.py" 198.51.100.1:3000 /dev/null --fickle
	within 10 listening backend 3000
	start_proxy < <(web '    routes:' "$app")
	start_exporter
	local n=${FICKLE:-20000}
	run -0 at client h2load --h1 -n "$n" -c 20 http://192.0.2.2:8080/bytes/10
	[[ $output == *" $n succeeded, 0 failed"* ]] || {
		echo "$output"
		fresh_scrape | grep 'http_re'
		return 1
	}
	fresh_scrape >"$DIR/page"
	echo "# retried $(http_total tollgate_http_retries_total) of $n" >&3
	[ "$(http_total tollgate_http_retries_total)" -gt 0 ]
}

# resident: of the proxy, the most so far, in KiB
resident() { sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$proxy_pid/status"; }

@test "large bodies up and down, and 3,000 streams of one connection, a hundred at once, in little memory" {
	local bytes=${BYTES:-300000000} before after
	start_origin
	start grpc backend /usr/bin/python3 "$ROOT/tests/http/grpc_peer.py" serve 198.51.100.1:3001
	within 10 listening backend 3001
	start_proxy < <(web '    routes:' "$app" \
		'      - { name: grpc, http: { path: ["/test.Echo/*"], protocol: h2 }, backends: ["198.51.100.1:3001"] }')
	before=$(resident)
	truncate -s "$bytes" "$DIR/body"
	equal "$bytes" "$(ask "/bytes/$bytes" --max-time 300 | wc -c)" "down by h1"
	equal "$bytes" "$(ask "/bytes/$bytes" --max-time 300 --http2-prior-knowledge | wc -c)" "down by h2"
	equal "$bytes" "$(ask /x --max-time 300 -T "$DIR/body" | jq .body)" "up by h1"
	equal "$bytes" "$(ask /x --max-time 300 -T "$DIR/body" --http2-prior-knowledge | jq .body)" "up by h2"
	run -0 at client timeout 300 /usr/bin/python3 "$ROOT/tests/http/grpc_peer.py" stream 192.0.2.2:8080 $((bytes / 10))
	run -0 at client h2load -n 3000 -c 1 -m 100 http://192.0.2.2:8080/bytes/10000
	[[ $output == *"3000 succeeded, 0 failed"* ]]
	after=$(resident)
	echo "# resident $before KiB, then $after KiB" >&3
	[ "$after" -lt 65536 ]
}

@test "WebSocket through the gate: python3-websockets on both sides, by both versions to clients and backends, either side closes" {
	start socket backend /usr/bin/python3 -c 'import asyncio, websockets
async def echo(ws, path=None):
    async for message in ws:
        if message == "bye": await ws.close(4001, "done")
        else: await ws.send(message)
async def main():
    async with websockets.serve(echo, "198.51.100.1", 3000, max_size=None): await asyncio.Future()
asyncio.run(main())'
	within 10 listening backend 3000
	start old backend /usr/bin/python3 "$ROOT/tests/http/h2_back.py" 198.51.100.1:3001 # takes no extended CONNECT
	within 10 listening backend 3001
	start_proxy < <(web '    routes:' "$app" '  - { name: two, address: "192.0.2.2:8081", routes: [' \
		'      { name: two, http: { protocol: h2 }, backends: ["192.0.2.2:8080"] },' \
		'      { name: old, http: { path: [/old], protocol: h2 }, backends: ["198.51.100.1:3001"] } ] }')
	start_exporter
	local port
	for port in 8080 8081; do
		run -0 at client timeout 60 /usr/bin/python3 -c 'import asyncio, sys, websockets
at = "ws://192.0.2.2:" + sys.argv[1]
async def main():
    async with websockets.connect(at + "/chat", max_size=None) as ws:
        for n in (0, 1, 125, 126, 65535, 65536, 1000000):
            await ws.send("x" * n)
            assert await ws.recv() == "x" * n
        await (await ws.ping())
        await ws.send("bye")
        try: await ws.recv()
        except websockets.ConnectionClosed as e: print(e.code, e.reason)
    async with websockets.connect(at + "/") as ws: await ws.send("a"); assert await ws.recv() == "a"
asyncio.run(main())' "$port"
		[[ $output == *"4001 done"* ]]
		run -0 at client timeout 60 /usr/bin/python3 "$ROOT/tests/http/ws_h2.py" "192.0.2.2:$port"
		equal "status 200 echoed ended True" "$(tr '\n' ' ' <<<"$output" | sed 's/ $//')" "by HTTP/2"
	done
	# a backend that does not take it, asked before and after it has said so; the rest goes on
	for port in 1 2; do
		equal 501 "$(at client curl -sS --max-time 9 -o /dev/null -w '%{http_code}' -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
			-H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' http://192.0.2.2:8081/old)" "time $port"
	done
	equal 200 "$(at client curl -sS --max-time 9 -o /dev/null -w '%{http_code}' http://192.0.2.2:8081/old)" "another request"
	fresh_scrape >"$DIR/page"
	equal "3 6" "$(http_total tollgate_http_upgrades_total 'listener="two"') $(http_total tollgate_http_upgrades_total 'listener="web"')" "requests that became another protocol's"
	stop "$old_pid"
	stop "$proxy_pid" # with it the connection between the two
	within 10 sockets_closed
	audit_is_clean 5
}

@test "health by HTTP: the status it must be, at which path, and the answer 503 when nobody is up" {
	start_origin
	start_proxy < <(web '    routes:' \
		'      - { name: good, http: { path: ["/good/*"] }, backends: ["198.51.100.1:3000"], health: { type: http, path: /status/204, interval: 100ms, rise: 1, fall: 1 } }' \
		'      - { name: exact, http: { path: ["/exact/*"] }, backends: ["198.51.100.1:3000"], health: { type: http, path: /status/404, status: 404, interval: 100ms, rise: 1, fall: 1 } }' \
		'      - { name: bad, http: { path: ["/bad/*"] }, backends: ["198.51.100.1:3000"], health: { type: http, path: /status/500, interval: 100ms, rise: 1, fall: 1 } }')
	within 10 eval '[ "$(ask /bad/x -o /dev/null -w "%{http_code}")" = 503 ]'
	equal 200 "$(ask /good/x -o /dev/null -w '%{http_code}')" "a good one"
	jq -se 'any(.[]; .path == "/status/204") and any(.[]; .path == "/status/404")' "$DIR/origin.seen"
	equal 200 "$(ask /exact/x -o /dev/null -w '%{http_code}')" "one that is what it must be"
	grep -q tollgate-check "$DIR/origin.seen"
}

@test "a connection that is older than timeouts.life answers what it has begun, and takes no more" {
	start_origin
	start_exporter
	start_proxy < <(web '    routes:' "$app" 'timeouts: { life: 1s, drain: 2s }')
	run -0 at client curl -sS --max-time 20 -w '%{num_connects} %{http_code}\n' -o "$DIR/a" -o "$DIR/b" -o "$DIR/c" \
		http://192.0.2.2:8080/a http://192.0.2.2:8080/slow/1500 http://192.0.2.2:8080/c
	equal "1 200,0 200,1 200" "$(paste -sd, <<<"$output")" "connections and statuses"
	# what a client of HTTP/2 is told: no more, then which was the last (RFC 9113 6.8)
	run -0 at client env PYTHONPATH="$ROOT/tests/http" /usr/bin/python3 -B -c 'import frames
c = frames.Connection("192.0.2.2:8080")
c.request(1, "/slow/2000")
print(c.ended(9), c.status(1), [f.payload for f in c.frames if f.type == frames.GOAWAY])'
	equal "FIN 200 [(2147483647, 0), (1, 0)]" "$output" "how it ends"
	run ! ask /slow/8000
	within 10 eval "scrape | grep -q 'tollgate_ended_total.*life_timeout.*} 1$'"
	run ! at client curl -sS --max-time 20 --http2-prior-knowledge http://192.0.2.2:8080/slow/8000
	within 10 eval "scrape | grep -q 'tollgate_ended_total.*life_timeout.*} 2$'"
	audit_is_clean 5
}

# slows KIND N KIB: so many clients of that kind (http/slow.py), while others are answered, in
# so little memory
slows() {
	local cpu
	cpu=$(awk '{ print ($14 + $15) * 10 }' "/proc/$proxy_pid/stat")
	start slow client /usr/bin/python3 "$ROOT/tests/http/slow.py" 192.0.2.2:8080 "$2" "$1"
	within 30 grep -q waiting "$DIR/slow.log"
	[ "$1" = body ] || established 8080 "$2"
	equal 200 "$(ask /bytes/3 -o /dev/null -w '%{http_code}')" "another's answer"
	echo "# $2 of a slow $1: resident $(resident) KiB" >&3
	[ "$(resident)" -lt "$3" ]
	wait "$slow_pid"
	echo "# $(tail -1 "$DIR/slow.log"); CPU $(($(awk '{ print ($14 + $15) * 10 }' "/proc/$proxy_pid/stat") - cpu)) ms" >&3
	equal "0 $2" "$(tail -1 "$DIR/slow.log" | jq -r '"\(.left) \(."HTTP/1.1 408")"')" "left, and told 408"
}

@test "10,000 slow heads and 500 slow bodies: bounded memory, all are told in time, others are answered" {
	start_origin
	start_proxy < <(web '    http: { head_timeout: 15s, body_timeout: 2s }' '    routes:' "$app")
	slows head 10000 100000
	slows body 500 100000
	within 10 eval '[ "$(ended request_head_timeout) $(ended request_body_timeout)" = "10000 500" ]'
	stop "$origin_pid"
	within 20 sockets_closed
	audit_is_clean 5
}
