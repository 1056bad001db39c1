#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a route of HTTP does for a request but to pass it on: pages of errors, answers from
# files, CORS.

load helpers
source "$BATS_TEST_DIRNAME/http.bash"

# head_of PATH [OPTION...]: the head of the answer, without CR, names in lower case
head_of() { ask "$1" -o /dev/null -D - "${@:2}" | tr -d '\r' | sed 's/^[^:]*:/\L&/'; }
# has HEAD LINE...: lines that are in it; hasnt: none begins so
has() {
	local line
	for line in "${@:2}"; do grep -qxF -- "$line" <<<"$1" || { printf 'no "%s" in\n%s\n' "$line" "$1" && return 1; }; done
}
hasnt() {
	local line
	for line in "${@:2}"; do ! grep -qF -- "$line" <<<"$1" || { printf '"%s" in\n%s\n' "$line" "$1" && return 1; }; done
}

@test "pages of errors: the route's, the listener's, by status; read again when they change; a file is an answer" {
	log=$(mktemp -d)
	chmod 755 "$log"
	echo '<h1>nothing here</h1>' >"$log/404.html"
	echo '{"error":true}' >"$log/any.json"
	echo 'of the route' >"$log/route"
	echo '<h1>back soon</h1>' >"$log/soon.html"
	start_origin
	start_proxy < <(web "    http: { error_pages: [{ status: [404, 405], file: $log/404.html }, { file: $log/any.json }] }" '    routes:' \
		'      - { name: app, http: { path: ["/app/*"] }, backends: ["198.51.100.1:3000"] }' \
		"      - { name: dead, http: { path: [/dead], error_pages: [{ status: [5xx], file: $log/route, type: text/x-own }] }, backends: [\"198.51.100.1:9\"] }" \
		"      - { name: soon, http: { path: [/soon], respond: { status: 503, file: $log/soon.html, retry_after: 90s } } }")
	local version
	for version in --http1.1 --http2-prior-knowledge; do
		equal '<h1>nothing here</h1>' "$(ask /none $version)" "of the listener, $version"
		has "$(head_of /none $version)" 'content-type: text/html; charset=utf-8' 'content-length: 22'
		equal '{"error":true}' "$(ask '/app/a%2fb' $version)" "of any status, $version"
		equal 'of the route' "$(ask /dead $version)" "of the route, $version"
		has "$(head_of /dead $version)" 'content-type: text/x-own'
		equal '<h1>back soon</h1>' "$(ask /soon $version)" "a file for an answer, $version"
		has "$(head_of /soon $version)" 'retry-after: 90' 'content-type: text/html; charset=utf-8'
		has "$(head_of /none $version -I)" 'content-length: 22'
	done
	echo '<h1>another</h1>' >"$log/404.html"
	within 10 eval '[ "$(ask /none)" = "<h1>another</h1>" ]'
	rm "$log/any.json"
	kill -HUP "$proxy_pid"
	within 10 grep -q "any.json: cannot be read: No such file" "$DIR/proxy.log"
	equal '{"error":true}' "$(ask '/app/a%2fb')" "which stays in force"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"$log/any.json: cannot be read"* ]]
	stop "$origin_pid"
	within 20 sockets_closed
	audit_is_clean 5
}

@test "what a backend answers keeps its own page" {
	start_origin
	echo page >"$DIR/page.txt"
	chmod 755 "$DIR"
	start_proxy < <(web "    http: { error_pages: [{ file: $DIR/page.txt }] }" '    routes:' "$app")
	equal 'status' "$(ask /status/404)" "a 404 of the backend"
	equal 'status' "$(ask /status/503)" "a 503 of the backend"
	stop "$origin_pid"
	equal 'page' "$(ask /x)" "without a backend"
}

@test "CORS: asked before and with the request, by who may and who may not; what a backend says of it goes" {
	start_origin
	start_proxy < <(web '    routes:' \
		'      - { name: some, http: { path: ["/some/*"], strip: /some, cors: { origins: ["https://app.example.org", "https://*.wild.example.org:8443"], methods: [GET, PUT], headers: [x-token], expose: [x-sum], credentials: true, max_age: 10m } }, backends: ["198.51.100.1:3000"] }' \
		'      - { name: any, http: { path: ["/any/*"], cors: { origins: ["*"] } }, backends: ["198.51.100.1:9"] }' "$app")
	local version answer
	for version in --http1.1 --http2-prior-knowledge; do
		asks() { head_of "$1" $version -X OPTIONS -H "Origin: $2" -H 'Access-Control-Request-Method: PUT'; }
		answer=$(asks /some/cors https://app.example.org)
		[[ $answer == "HTTP/"*" 204"* ]]
		has "$answer" 'access-control-allow-origin: https://app.example.org' 'access-control-allow-credentials: true' \
			'access-control-allow-methods: GET, PUT' 'access-control-allow-headers: x-token' 'access-control-max-age: 600' 'vary: Origin'
		hasnt "$answer" access-control-expose-headers content-length content-type
		has "$(asks /some/cors https://a.wild.example.org:8443)" 'access-control-allow-origin: https://a.wild.example.org:8443'
		for origin in https://other.example.org https://wild.example.org:8443 http://app.example.org https://app.example.org.evil.example null; do
			answer=$(asks /some/cors "$origin")
			[[ $answer == "HTTP/"*" 403"* ]]
			hasnt "$answer" access-control-
		done
		# the request itself
		answer=$(head_of /some/cors $version -H 'Origin: https://app.example.org')
		[[ $answer == "HTTP/"*" 200"* ]]
		has "$answer" 'access-control-allow-origin: https://app.example.org' 'access-control-expose-headers: x-sum' 'vary: Origin'
		hasnt "$answer" backend.example.org
		answer=$(head_of /some/cors $version -H 'Origin: https://other.example.org')
		[[ $answer == "HTTP/"*" 200"* ]]
		hasnt "$answer" access-control-
		has "$answer" 'vary: Origin'
		hasnt "$(head_of /some/cors $version)" access-control-
		# an answer of the gate's own can be read, too
		answer=$(head_of /any/x $version -H 'Origin: https://other.example.org')
		[[ $answer == "HTTP/"*" 502"* || $answer == "HTTP/"*" 503"* ]]
		has "$answer" 'access-control-allow-origin: *'
		hasnt "$answer" vary credentials
		# nobody else's business
		has "$(head_of /cors $version)" 'access-control-allow-origin: https://backend.example.org'
	done
	equal 0 "$(grep -c OPTIONS "$DIR/origin.seen" || true)" "preflights at the backend"
	start_exporter
	fresh_scrape >"$DIR/page"
	equal "4 10" "$(http_total tollgate_http_requests_total 'reason="preflight"') $(http_total tollgate_http_requests_total 'reason="origin_refused"')" "counted"
}

@test "policies that cannot be meant are refused with the key" {
	refused() {
		web '    routes:' "      - { name: app, http: { $1 }, backends: [\"198.51.100.1:3000\"] }" >"$DIR/c.yaml"
		run -1 "$BIN/tollgate" check "$DIR/c.yaml"
		[[ $output == *"$2"* ]] || { echo "no '$2' in: $output" && false; }
	}
	refused 'cors: { origins: ["*"], credentials: true }' "'*' with 'credentials'"
	refused 'cors: { origins: ["app.example.org"] }' "'app.example.org' is not '*'"
	refused 'cors: { origins: ["https://app.example.org/"] }' "and no path"
	refused 'method: [GET], cors: { origins: ["https://a.example.org"] }' "OPTIONS first"
	refused 'cors: { origins: ["https://a.example.org"], headers: ["a b"] }' "'a b' is no name"
	refused 'error_pages: [{ status: [200], file: /dev/null }]' "'200' is not 400 to 599"
	refused 'error_pages: [{ file: /nowhere/page }]' "/nowhere/page: cannot be read"
	refused 'error_pages: [{ file: /dev/zero }]' "has more than 1048576 bytes"
}
