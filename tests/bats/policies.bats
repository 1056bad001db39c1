#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a route of HTTP does for a request but to pass it on: pages of errors, answers from
# files, CORS, passwords, tokens, others who are asked; which backend.

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

# has_between HEAD FIELD MIN MAX: a field whose number is neither less nor more
has_between() {
	local n
	n=$(sed -n "s/^$2: \([0-9]*\)\$/\1/p" <<<"$1")
	[[ -n $n && $n -ge $3 && $n -le $4 ]] || { printf 'no "%s" of %s to %s in\n%s\n' "$2" "$3" "$4" "$1" && return 1; }
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
		answer=$(head_of /some/cors $version)
		[[ $answer == "HTTP/"*" 200"* ]]
		hasnt "$answer" access-control-
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

# hashed NAME PASSWORD KIND: a line of a file of passwords; by bcrypt (10), sha512 or yescrypt
hashed() {
	/usr/bin/python3 -W ignore -c 'import crypt, sys
name, word, kind = sys.argv[1:]
salt = {"bcrypt": lambda: crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=1 << 10), "sha512": lambda: crypt.mksalt(crypt.METHOD_SHA512),
        "yescrypt": lambda: "$y$j9T$" + crypt.mksalt(crypt.METHOD_SHA512)[-12:]}[kind]()
print(name + ":" + crypt.crypt(word, salt))' "$@"
}

@test "basic_auth: who is in the file goes on, whoever else is asked; revoked when the file changes" {
	log=$(mktemp -d)
	chmod 777 "$log"
	{
		echo '# who may'
		hashed alice 'open: sesame' bcrypt
		hashed bob 'Pässword' sha512
		hashed carol x yescrypt
	} >"$log/users"
	start_origin
	start_proxy < <(web '    routes:' \
		"      - { name: closed, http: { path: [\"/closed/*\"], basic_auth: { file: $log/users, realm: \"the back door\" }, cors: { origins: [\"https://a.example.org\"] }, request: { set: [\"X-User: \${user}\"], remove: [authorization] } }, backends: [\"198.51.100.1:3000\"] }" \
		"      - { name: own, http: { path: [/own], basic_auth: { file: $log/users }, respond: { body: \"for \" } } }" "$app"
		echo "access_log: { file: $log/access.json }"
		echo "workers: 1")
	code() { ask "$1" -o /dev/null -w '%{http_code}' "${@:2}"; }
	local version answer
	for version in --http1.1 --http2-prior-knowledge; do
		answer=$(head_of /closed/x $version)
		[[ $answer == "HTTP/"*" 401"* ]]
		has "$answer" 'www-authenticate: Basic realm="the back door", charset="UTF-8"'
		for who in 'alice:open: sesame' bob:Pässword carol:x; do
			equal "${who%%:*}" "$(ask /closed/x $version -u "$who" | jq -r '[.fields[] | {(.[0]): .[1]}] | add | ."x-user" + (.authorization // "")')" "$who, $version"
		done
		for who in 'alice:open sesame' bob:password carol: mallory:x :x 'alice:' "$(printf 'a%.0s' {1..400}):x"; do
			equal 401 "$(code /closed/x $version -u "$who")" "$who, $version"
		done
		for field in 'Basic' 'Basic ====' 'Bearer abc' 'Basic YWxpY2U' "Basic $(printf 'carol:x\0y' | base64)" 'basic  Y2Fyb2w6eQ=='; do
			equal 401 "$(code /closed/x $version -H "Authorization: $field")" "$field, $version"
		done
		equal 200 "$(code /closed/x $version -H 'Authorization: bAsIc   Y2Fyb2w6eA==')" "the scheme in any case"
		equal "for " "$(ask /own $version -u carol:x)" "an answer of ours"
		equal 401 "$(code /own $version)" "of ours, without"
		equal 204 "$(code /closed/x $version -X OPTIONS -H 'Origin: https://a.example.org' -H 'Access-Control-Request-Method: GET')" "a preflight"
		# with a body that waits meanwhile
		head -c 3000000 /dev/zero >"$DIR/body"
		equal 3000000 "$(ask /closed/x $version -u 'bob:Pässword' --data-binary "@$DIR/body" | jq .body)" "a body"
		equal 401 "$(code /closed/x $version -u bob:no -H Expect: --data-binary "@$DIR/body")" "a body of somebody else"
		equal 200 "$(code /x $version)" "where nobody is asked"
	done
	within 10 eval 'jq -se "[.[] | select(.user == \"carol\" and .status == 200)] | length >= 4" "$log/access.json"'
	hashed bob other sha512 >"$log/users"
	within 10 eval '[ "$(code /closed/x -u carol:x)" = 401 ]'
	equal "200 401" "$(code /closed/x -u bob:other) $(code /closed/x -u 'bob:Pässword')" "after the file has changed"
	echo 'dave:$apr1$x$y' >"$log/users"
	within 10 grep -q "users:1: the password is not hashed by" "$DIR/proxy.log"
	equal 200 "$(code /closed/x -u bob:other)" "the file before stays in force"
	stop "$origin_pid"
	within 20 sockets_closed
	audit_is_clean 5
}

@test "basic_auth: passwords that are computed hold nobody up, and who does not wait for them is forgotten" {
	hashed alice secret bcrypt >"$DIR/users"
	start_origin
	start_proxy < <(web '    routes:' \
		"      - { name: closed, http: { path: [\"/closed/*\"], basic_auth: { file: $DIR/users } }, backends: [\"198.51.100.1:3000\"] }" "$app"
		echo "workers: 1")
	start_exporter
	# 600 guesses at once: as many as may wait are computed, the others are told so at once
	start guesses client h2load -n 600 -c 6 -m 100 -H 'authorization: Basic YWxpY2U6Z3Vlc3M=' http://192.0.2.2:8080/closed/x
	within 10 eval '[ "$(fresh_scrape | metric tollgate_http_requests_total "reason=\"credentials_unchecked\"")" -gt 0 ]'
	local before
	before=$(date +%s%N)
	for _ in {1..50}; do ask /bytes/3 -o /dev/null; done
	echo "# 50 requests of others beside it: $((($(date +%s%N) - before) / 1000000)) ms" >&3
	kill "$guesses_pid"
	wait "$guesses_pid" || true
	# 250 of them would take a quarter of a minute
	before=$(date +%s)
	within 5 eval '[ "$(ask /closed/x -u alice:secret -o /dev/null -w "%{http_code}")" = 200 ]'
	[ $(($(date +%s) - before)) -lt 8 ]
	stop "$origin_pid"
	within 20 sockets_closed
	audit_is_clean 5
	kill -TERM "$proxy_pid"
	within 20 gone "$proxy_pid"
}

@test "a message that is broken while somebody is asked is answered once, and wholly" {
	log=$(mktemp -d)
	chmod 755 "$log"
	# each its own: who was right once is remembered, and answered before the body is looked at
	for name in u{0..4}; do hashed "$name" secret bcrypt; done >"$log/users"
	head -c 900000 /dev/zero | tr '\0' x >"$log/page"
	start_proxy < <(web "    http: { error_pages: [{ file: $log/page }] }" '    routes:' \
		"      - { name: closed, http: { basic_auth: { file: $log/users }, respond: { body: in } } }"
		echo "workers: 1")
	# the chunk that is none comes while the hash is computed; the page is read later
	run -0 at client /usr/bin/python3 -c 'import base64, socket
for n in range(5):
    s = socket.create_connection(("192.0.2.2", 8080))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic " + base64.b64encode(b"u%d:%s" % (n, b"secret" if n % 2 else b"no")) + b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    # passwords are computed one after the other: when this one is known, so is that
    t = socket.create_connection(("192.0.2.2", 8080))
    t.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic " + base64.b64encode(b"u%d:other" % n) + b"\r\n\r\n")
    assert t.recv(12) == b"HTTP/1.1 401"
    got = b""
    while True:
        part = s.recv(65536)
        if not part: break
        got += part
    print(got[:12].decode(), got.count(b"HTTP/1."), len(got.partition(b"\r\n\r\n")[2]))'
	equal "$(printf 'HTTP/1.1 400 1 900000\n%.0s' {1..5})" "$output" "answers"
	within 20 sockets_closed
	audit_is_clean 5
}

# token ALG KEY CLAIMS [KID [HEADER]]
token() { /usr/bin/python3 -B "$ROOT/tests/http/jwt_token.py" sign "$1" "$log/$2" "${4:-}" "$3" "${@:5}"; }

@test "jwt: signed by a key of the route, in date, for us; whatever else is refused, and says why" {
	local now version answer alg key field
	now=$(date +%s)
	log=$(mktemp -d)
	chmod 755 "$log"
	openssl genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:2048 -out "$log/rsa" 2>/dev/null
	openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out "$log/ec"
	openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out "$log/ec2"
	openssl genpkey -algorithm ed25519 -out "$log/ed"
	head -c 48 /dev/urandom >"$log/secret"
	openssl pkey -in "$log/rsa" -pubout -out "$log/rsa.pub"
	cat "$log/rsa.pub" <(openssl pkey -in "$log/ed" -pubout) >"$log/keys.pem"
	/usr/bin/python3 -B "$ROOT/tests/http/jwt_token.py" jwks rsa="$log/rsa" ec="$log/ec" ed="$log/ed" s="$log/secret" >"$log/keys.json"
	start_origin
	start_proxy < <(web '    routes:' \
		"      - { name: api, http: { path: [\"/api/*\"], jwt: { keys: $log/keys.json, issuer: \"https://id.example.org\", audience: api, claims: [\"role=admin\"], leeway: 2s }, request: { set: [\"X-User: \${user}\"] } }, backends: [\"198.51.100.1:3000\"] }" \
		"      - { name: more, http: { path: [\"/more/*\"], jwt: { keys: $log/keys.json, claims: [\"scope=read\", \"level=3\", \"checked=true\"] } }, backends: [\"198.51.100.1:3000\"] }" \
		"      - { name: pem, http: { path: [\"/pem/*\"], jwt: { keys: $log/keys.pem } }, backends: [\"198.51.100.1:3000\"] }")
	code() { ask "$1" -o /dev/null -w '%{http_code}' "${@:2}"; }
	by() { code "$1" -H "Authorization: Bearer $2" $version; }
	local good="\"sub\":\"alice\",\"iss\":\"https://id.example.org\",\"aud\":[\"web\",\"api\"],\"role\":\"admin\",\"exp\":$((now + 300))"
	for version in --http1.1 --http2-prior-knowledge; do
		answer=$(head_of /api/x $version)
		[[ $answer == "HTTP/"*" 401"* ]]
		has "$answer" 'www-authenticate: Bearer realm="restricted"'
		for key in RS256:rsa ES256:ec EdDSA:ed HS256:secret; do
			alg=${key%:*} key=${key#*:}
			equal alice "$(ask /api/x $version -H "Authorization: Bearer $(token "$alg" "$key" "{$good}")" | jq -r '.fields[] | select(.[0] == "x-user") | .[1]')" "$alg"
			equal 200 "$(by /api/x "$(token "$alg" "$key" "{$good}" "${key/secret/s}")")" "$alg, by its name"
			equal 401 "$(by /api/x "$(token "$alg" "$key" "{$good}" other)")" "$alg, by another name"
			equal 401 "$(by /api/x "$(token "$alg" "$key" "{$good}" "" '{"crit":["exp"]}')")" "$alg, critical"
		done
		# who signed it, and how
		equal 401 "$(by /api/x "$(token ES256 ec2 "{$good}")")" "a key of somebody else"
		equal 401 "$(by /api/x "$(token none rsa "{$good}")")" "nobody"
		equal 401 "$(by /api/x "$(token HS256 rsa.pub "{$good}")")" "a public key for a secret"
		equal 401 "$(by /api/x "$(token RS384 rsa "{$good}")")" "an algorithm that is none of ours"
		answer=$(token RS256 rsa "{$good}")
		for field in "${answer%?}" "$answer=" "${answer%.*}." "${answer%.*}" "$answer.x" ".$answer" "${answer/./..}" x.y.z ... "${answer/eyJ/eyK}"; do
			equal 401 "$(by /api/x "$field")" "$field"
		done
		equal 401 "$(code /api/x $version -H "Authorization: Basic $answer")" "another scheme"
		# what it says
		equal 401 "$(by /api/x "$(token RS256 rsa "{${good/id.example/no.example}}")")" "another issuer"
		equal 401 "$(by /api/x "$(token RS256 rsa "{${good/\"api\"/\"apis\"}}")")" "another audience"
		has "$(head_of /api/x $version -H "Authorization: Bearer $(token RS256 rsa "{${good/exp\":/exp\":1, \"was\":}}")")" \
			'www-authenticate: Bearer error="invalid_token", error_description="expired, or not valid yet"'
		equal 401 "$(by /api/x "$(token RS256 rsa "{${good/exp/until}}")")" "for ever"
		equal 401 "$(by /api/x "$(token RS256 rsa "{${good/exp\":/exp\":\"soon\", \"was\":}}")")" "until soon"
		equal 401 "$(by /api/x "$(token RS256 rsa "{$good,\"nbf\":$((now + 1000))}")")" "not yet"
		equal 200 "$(by /api/x "$(token RS256 rsa "{$good,\"nbf\":$((now - 5))}")")" "since then"
		equal "401 200" "$(by /api/x "$(token RS256 rsa "{${good/exp\":/exp\":$((now - 10)), \"was\":}}")") $(by /pem/x "$(token RS256 rsa "{${good/exp\":/exp\":$((now - 10)), \"was\":}}")")" "by a leeway of two seconds, and of thirty"
		equal 401 "$(by /api/x "$(token RS256 rsa "{\"exp\":1,$good}")")" "a claim twice"
		has "$(head_of /api/x $version -H "Authorization: Bearer $(token RS256 rsa "{${good/admin/user}}")")" 'www-authenticate: Bearer error="insufficient_scope"'
		equal 403 "$(by /api/x "$(token RS256 rsa "{${good/admin/user}}")")" "not enough"
		equal "200 403 403" "$(by /more/x "$(token RS256 rsa "{$good,\"scope\":\"read write\",\"level\":3,\"checked\":true}")") $(by /more/x "$(token RS256 rsa "{$good,\"scope\":\"reads write\",\"level\":3,\"checked\":true}")") $(by /more/x "$(token RS256 rsa "{$good,\"scope\":\"read\",\"level\":3,\"checked\":false}")")" "numbers, truth, words of a scope"
		# keys in PEM: RSA and Ed25519
		equal "200 200 401" "$(by /pem/x "$(token RS256 rsa "{$good}")") $(by /pem/x "$(token EdDSA ed "{$good}")") $(by /pem/x "$(token ES256 ec "{$good}")")" "keys in PEM"
	done
	/usr/bin/python3 -B "$ROOT/tests/http/jwt_token.py" jwks ec2="$log/ec2" >"$log/keys.json"
	within 10 eval '[ "$(by /api/x "$(token ES256 ec2 "{$good}")")" = 200 ]'
	equal 401 "$(by /api/x "$(token ES256 ec "{$good}")")" "a key that is gone"
	stop "$origin_pid"
	within 20 sockets_closed
	audit_is_clean 5
}

@test "sticky: a cookie brings clients back, to one that drains too, until it is gone; hash: by a field, a cookie, a query" {
	local i port cookie
	for port in 3000 3001 3002; do
		start "origin$port" backend /usr/bin/python3 "$ROOT/tests/http/origin.py" "198.51.100.1:$port" "$DIR/seen.$port"
		within 10 listening backend "$port"
	done
	local backends='backends: ["198.51.100.1:3000", "198.51.100.1:3001", "198.51.100.1:3002"]'
	start_proxy < <(web '    routes:' \
		"      - { name: cookie, http: { path: [\"/cookie/*\"], sticky: { cookie: SERVED-BY, max_age: 1h } }, $backends }" \
		"      - { name: field, http: { path: [\"/field/*\"], hash: header X-User }, $backends }" \
		"      - { name: query, http: { path: [\"/query/*\"], hash: query user }, $backends }" \
		"      - { name: jar, http: { path: [\"/jar/*\"], hash: cookie user }, $backends }" \
		"      - { name: path, http: { path: [\"/path/*\"], hash: path }, $backends }")
	# at PATH [OPTION...]: which origin has answered; it tells of itself by its log
	count() { cat "$DIR/seen.$1" 2>/dev/null | wc -l; }
	met() {
		local before after port
		before="$(count 3000) $(count 3001) $(count 3002)"
		ask "$1" -o /dev/null "${@:2}"
		after="$(count 3000) $(count 3001) $(count 3002)"
		for port in 3000 3001 3002; do
			[ "${before%% *}" = "${after%% *}" ] || echo "$port"
			before=${before#* } after=${after#* }
		done
	}
	local first version answer
	for version in --http1.1 --http2-prior-knowledge; do
		cookie=$(head_of /cookie/x $version | sed -n 's/^set-cookie: //p')
		[[ $cookie =~ ^SERVED-BY=[0-9a-f]{16}"; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600"$ ]]
		cookie=${cookie%%;*}
		first=$(met /cookie/x $version -b "a=b; $cookie")
		for i in {1..6}; do equal "$first" "$(met /cookie/x $version -b "$cookie; c=d")" "with the cookie"; done
		answer=$(head_of /cookie/x $version -b "$cookie")
		[[ $answer == "HTTP/"*" 200"* ]]
		hasnt "$answer" set-cookie
		has "$(head_of /cookie/x $version -b "SERVED-BY=0123456789abcdef" | sed 's/=[0-9a-f]*;/=;/')" 'set-cookie: SERVED-BY=; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600'
		equal 3 "$(for i in {1..6}; do met /cookie/x $version; done | sort -u | wc -l)" "backends of those without one"
		for i in field:-HX-User: query: jar:-buser= path:; do
			alike() {
				case $1 in
				query) met "/query/x?a=b&user=$2" $version ;;
				path) met "/path/$2" $version ;;
				*) met "/$1/x" $version "${i#*:}$2" ;;
				esac
			}
			first=$(alike "${i%%:*}" alice)
			equal "$first $first $first" "$(alike "${i%%:*}" alice) $(alike "${i%%:*}" alice) $(alike "${i%%:*}" alice)" "by ${i%%:*}"
			[ "$(for n in {1..12}; do alike "${i%%:*}" "user$n"; done | sort -u | wc -l)" -gt 1 ]
		done
		first=$(met /field/x $version)
		equal "$first $first" "$(met /field/x $version) $(met /field/x $version)" "by the client, without the field"
	done
	# it drains: who knows it comes back to it, nobody else does
	cookie=$(head_of /cookie/x | sed -n 's/^set-cookie: //p')
	cookie=${cookie%%;*}
	first=$(met /cookie/x -b "$cookie")
	sed -i "s/198.51.100.1:$first/198.51.100.1:$first drain/" "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 10 grep -q "read again" "$DIR/proxy.log"
	equal "$first $first" "$(met /cookie/x -b "$cookie") $(met /cookie/x -b "$cookie")" "that drains"
	equal 0 "$(for i in {1..6}; do met /cookie/x; done | grep -c "$first")" "others"
	# it is gone
	port=origin${first}_pid
	stop "${!port}"
	has "$(head_of /cookie/x -b "$cookie" | sed 's/=[0-9a-f]*;/=;/')" 'set-cookie: SERVED-BY=; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600'
}

@test "ejection by status: a backend whose answers fail in a row is left out for its time, one that fails now and then is not" {
	start_origin
	start other backend /usr/bin/python3 "$ROOT/tests/http/origin.py" 198.51.100.1:3001 "$DIR/other.seen"
	within 10 listening backend 3001
	start_proxy < <(web '    routes:' \
		'      - { name: app, http: {}, ejection: { failures: 3, time: 10s, status: [503, "504"] }, backends: ["198.51.100.1:3000", "198.51.100.1:3001 backup"] }')
	start_exporter
	ejected() { fresh_scrape | metric tollgate_backend_ejections_total; }
	local version i
	for version in --http1.1 --http2-prior-knowledge; do
		for i in 1 2 3 4; do
			ask /status/503 $version -o /dev/null
			ask /status/503 $version -o /dev/null
			ask /status/502 $version -o /dev/null # none of them
		done
	done
	equal 0 "$(ejected)" "ejections, of two in a row"
	equal 0 "$(wc -l <"$DIR/other.seen")" "requests to the other"
	for i in 1 2 3; do ask /status/503 -o /dev/null; done
	equal 1 "$(ejected)" "ejections, of three in a row"
	for i in 1 2 3; do ask /bytes/3 -o /dev/null; done
	equal 3 "$(wc -l <"$DIR/other.seen")" "requests to the other"
	within 20 eval 'ask /bytes/3 -o /dev/null; [ "$(tail -1 "$DIR/origin.seen" | jq -r .path)" = /bytes/3 ]'
	# no answer is one, too
	for i in 1 2 3; do ask /vanish -X POST -d x -o /dev/null; done
	equal 2 "$(ejected)" "ejections, of no answer three times"
}

@test "forward_auth: another says whether a request goes on, what else is to be told, and what the client hears" {
	cat >"$DIR/auth.py" <<-'P'
		import http.server, sys
		class H(http.server.BaseHTTPRequestHandler):
		    protocol_version = "HTTP/1.1"
		    def do_GET(self):
		        h = self.headers
		        with open(sys.argv[1], "a") as f:
		            f.write(f"{self.path} {h.get('X-Forwarded-Method')} {h.get('X-Forwarded-Uri')} {h.get('Content-Length')} {h.get('X-Forwarded-For')} {h.get('Host')}\n")
		        who = h.get("Cookie", "")
		        if who == "vanish":
		            self.close_connection = True
		            return
		        code, body = (200, b"welcome") if who.startswith("user=") else (302, b"go there") if who == "new" else (403, b"x" * 70000) if who == "large" else (410, b"") if who == "bare" else (401, b"who are you?")
		        self.send_response(code)
		        if code == 200: self.send_header("X-Who", who[5:]); self.send_header("X-Role", "a"); self.send_header("X-Role", "b")
		        if code == 302: self.send_header("Location", "https://login.example.org/"); self.send_header("Set-Cookie", "state=1")
		        if code == 401: self.send_header("WWW-Authenticate", "Custom"); self.send_header("X-Secret", "1")
		        self.send_header("Content-Type", "text/x-auth"); self.send_header("Content-Length", str(len(body))); self.end_headers()
		        self.wfile.write(body)
		    def log_message(self, *a): pass
		http.server.ThreadingHTTPServer.request_queue_size = 1024
		http.server.ThreadingHTTPServer(("198.51.100.1", 3001), H).serve_forever()
	P
	start auth backend /usr/bin/python3 "$DIR/auth.py" "$DIR/auth.seen"
	within 10 listening backend 3001
	start_origin
	start_proxy < <(web '    routes:' \
		'      - { name: who, http: { internal: true }, backends: ["198.51.100.1:3001"] }' \
		'      - { name: app, http: { path: ["/app/*"], forward_auth: { route: who, path: "/verify?x", fields: [X-Who, x-role] } }, backends: ["198.51.100.1:3000"] }' \
		'      - { name: own, http: { path: ["/own"], forward_auth: { route: who }, respond: { body: "in" } } }')
	start_exporter
	code() { ask "$1" -o /dev/null -w '%{http_code}' "${@:2}"; }
	local version answer
	head -c 3000000 /dev/zero >"$DIR/body"
	for version in --http1.1 --http2-prior-knowledge; do
		: >"$DIR/auth.seen"
		equal "alice a b " "$(ask /app/x?y $version -b user=alice -H 'X-Who: root' -H 'x-role: root' | jq -r '[.fields[] | select(.[0] == ("x-who", "x-role")) | .[1] + " "] | add')" "fields of who was asked, $version"
		equal "" "$(ask /app/x $version -b user=alice -H 'X_Who: root' -H 'X-role: root' | jq -r '[.fields[] | select(.[0] == "x_who") | .[1]] | add // ""')" "however it is spelled"
		equal 3000000 "$(ask /app/x $version -b user=bob --data-binary "@$DIR/body" | jq .body)" "a body, $version"
		equal "in" "$(ask /own $version -b user=bob)" "an answer of ours, $version"
		equal "/verify?x GET /app/x?y None 192.0.2.1 192.0.2.2:8080,/verify?x GET /app/x None 192.0.2.1 192.0.2.2:8080,/verify?x POST /app/x None 192.0.2.1 192.0.2.2:8080,/own GET /own None 192.0.2.1 192.0.2.2:8080" \
			"$(paste -sd, "$DIR/auth.seen")" "what was asked, $version"
		ask '/pub/../app/%78?q=%2e' --path-as-is $version -H 'X_Forwarded_Uri: /public' -o /dev/null
		equal "/verify?x GET /app/x?q=%2e None 192.0.2.1 192.0.2.2:8080" "$(tail -1 "$DIR/auth.seen")" "the path as it is routed"
		answer=$(head_of /app/x $version)
		[[ $answer == "HTTP/"*" 401"* ]]
		has "$answer" 'www-authenticate: Custom' 'content-type: text/x-auth' 'content-length: 12'
		hasnt "$answer" x-secret
		equal 'who are you?' "$(ask /app/x $version)" "its body"
		answer=$(head_of /app/x $version -H 'Cookie: new')
		[[ $answer == "HTTP/"*" 302"* ]]
		has "$answer" 'location: https://login.example.org/' 'set-cookie: state=1'
		equal 401 "$(code /app/x $version -H Expect: --data-binary "@$DIR/body")" "a body of nobody"
		answer=$(head_of /app/x $version -H 'Cookie: bare')
		[[ $answer == "HTTP/"*" 410"* ]]
		has "$answer" 'content-length: 0' 'content-type: text/x-auth'
		equal "503 503" "$(code /app/x $version -H 'Cookie: large') $(code /app/x $version -H 'Cookie: vanish')" "an answer that is too large, or none"
		equal 404 "$(code /verify $version)" "who is asked is found by nobody else"
	done
	# a trailer is no other way
	run -0 raw 'POST /app/x HTTP/1.1\r\nHost: a\r\nCookie: user=bob\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Who: root\r\nX-Other: 1\r\n\r\n'
	[[ $output == *'"trailers": ["x-other: 1"]'* || $output == *'"trailers": ["X-Other: 1"]'* ]]
	# many at once, some of whom do not wait
	run -0 at client h2load -n 3000 -c 10 -m 20 -H 'cookie: user=x' http://192.0.2.2:8080/app/bytes/100
	[[ $output == *"status codes: 3000 2xx"* ]]
	start gone client h2load -n 100000 -c 10 -m 20 -H 'cookie: user=x' http://192.0.2.2:8080/app/bytes/100
	within 10 eval '[ "$(grep -c . "$DIR/auth.seen")" -gt 3500 ]'
	kill "$gone_pid"
	wait "$gone_pid" || true
	equal 200 "$(code /app/x -b user=x)" "afterwards"
	stop "$auth_pid"
	equal 503 "$(code /app/x -b user=x)" "without anybody to ask"
	stop "$origin_pid"
	within 20 sockets_closed
	audit_is_clean 5
	fresh_scrape >"$DIR/page"
	equal 5 "$(http_total tollgate_http_requests_total 'reason="auth_failed"')" "counted"
}

@test "rate: requests that are alike in a field, by user, or of one client; who asks too often is told when to come back" {
	{ hashed alice x sha512 && hashed bob x sha512; } >"$DIR/users"
	start_proxy < <(web '    routes:' \
		'      - { name: keyed, http: { path: ["/keyed"], rate: { limit: 6/10m, by: header X-Key }, respond: { body: in } } }' \
		'      - { name: burst, http: { path: ["/burst"], rate: { limit: "15/1m burst 2" }, respond: { body: in } } }' \
		"      - { name: user, http: { path: [\"/user\"], rate: { limit: 3/1h, by: user }, basic_auth: { file: $DIR/users }, respond: { body: in } } }")
	start_exporter
	# codes N PATH [OPTION...]: how many of each status, each by a connection of its own
	codes() {
		local _
		for _ in $(seq "$1"); do ask "$2" -o /dev/null -w '%{http_code}\n' "${@:3}"; done |
			sort | uniq -c | awk '{ printf "%s%s x %s", (NR > 1 ? ", " : ""), $1, $2 }'
	}
	equal "6 x 200, 4 x 429" "$(codes 10 /keyed -H 'X-Key: a')" "one key"
	equal "6 x 200, 4 x 429" "$(codes 10 /keyed -H 'x-key: b' --http2-prior-knowledge)" "another"
	equal "6 x 200, 1 x 429" "$(codes 7 /keyed)" "without a key, by the client"
	# one in 100 seconds, of which some have passed
	has_between "$(head_of /keyed -H 'X-Key: a')" retry-after 80 100
	equal "2 x 200, 3 x 429" "$(codes 5 /burst)" "two at once"
	within 15 eval '[ "$(ask /burst)" = in ]' # one in four seconds
	equal "3 x 200, 1 x 429" "$(codes 4 /user -u alice:x)" "alice"
	equal "3 x 200, 1 x 429" "$(codes 4 /user -u bob:x)" "bob"
	equal "4 x 401" "$(codes 4 /user -u bob:y)" "nobody, who is not counted"
	has_between "$(head_of /user -u bob:x)" retry-after 1100 1200
	fresh_scrape >"$DIR/page"
	[ "$(http_total tollgate_http_requests_total 'reason="limit"')" -ge 16 ]
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
	web '    routes:' '      - { name: app, http: { request: { set: ["X-User: ${user}"] }, error_pages: [{ file: /dev/null }, { status: ["404"], file: /dev/null }] }, backends: ["198.51.100.1:3000"] }' >"$DIR/c.yaml"
	run -0 "$BIN/tollgate" check "$DIR/c.yaml"
	[[ $output == *"'\${user}' is always empty"* && $output == *"error_pages[1]: no answer can have this page"* ]]
	refused 'basic_auth: { file: /dev/null }' '/dev/null:1: has no "NAME:HASH"'
	refused "basic_auth: { file: /dev/null, realm: 'a\"b' }" 'has a quote'
	refused 'request: { set: ["X: ${nobody}"] }' 'uri, user'
	echo '{"keys":[{"kty":"oct","k":"c2hvcnQ"}]}' >"$DIR/short"
	echo '{"keys":[{"kty":"RSA","use":"enc"}]}' >"$DIR/none"
	echo '{"keys":[}' >"$DIR/broken"
	printf '%s\n' '-----BEGIN PUBLIC KEY-----' AAAA '-----END PUBLIC KEY-----' >"$DIR/empty"
	refused "jwt: { keys: $DIR/short }" "$DIR/short: a secret is shorter than 32 bytes"
	refused "jwt: { keys: $DIR/none }" "$DIR/none: has no key for RS256"
	refused "jwt: { keys: $DIR/broken }" "$DIR/broken: line 1:"
	refused "jwt: { keys: $DIR/empty }" "$DIR/empty: has a PUBLIC KEY that is none"
	refused 'jwt: { keys: /dev/null, claims: [role] }' "'role' is not"
	refused 'jwt: { keys: /dev/null }, basic_auth: { file: /dev/null }' "both 'basic_auth' and 'jwt'"
	refused 'hash: by nothing' "'by nothing' is not"
	refused 'hash: header' "'header' is not"
	refused 'hash: "header a b"' "'header a b' is not"
	refused 'sticky: { cookie: "a b" }' "'a b' is no name of a cookie"
	refused 'cors: { origins: ["https://a.example.org:443"] }' "without its port"
	refused 'cors: { origins: ["https://a.example.org"], methods: [patch] }' "compare the case"
	refused 'cors: { origins: ["https://a.example.org"], credentials: true, expose: ["*"] }' "is a name and no more"
	refused 'header: ["X-A: b"], cors: { origins: ["https://a.example.org"] }' "without the fields"
	refused 'hash: header Host' "requests of one host"
	refused 'internal: true, path: ["/x"]' "is for routes that requests find"
	echo 'alice:$2y$10$abc' >"$DIR/cut"
	refused "basic_auth: { file: $DIR/cut }" "$DIR/cut:1: the password is not hashed"
	refused 'forward_auth: { route: app, fields: [te] }' "'te' is no name"
	refused 'rate: { limit: many }' "'many' is not NUMBER/DURATION"
	refused 'rate: { limit: 1/1s, by: nothing }' "'nothing' is not"
	refused 'rate: { limit: 1/1s, by: user }' "nobody says who he is"
	refused 'forward_auth: { route: nobody }' "'nobody' is no route of this listener"
	refused 'forward_auth: { route: app }' "route 'app' has 'forward_auth', too"
	refused 'internal: true' "no 'forward_auth' names it"
	web '    routes:' '      - { name: app, ejection: { failures: 1, status: [5xx] }, backends: ["198.51.100.1:3000"] }' >"$DIR/c.yaml"
	run -1 "$BIN/tollgate" check "$DIR/c.yaml"
	[[ $output == *"'status' is for routes with 'http'"* ]]
	refused 'error_pages: [{ status: [200], file: /dev/null }]' "'200' is not 400 to 599"
	refused 'error_pages: [{ file: /nowhere/page }]' "/nowhere/page: cannot be read"
	refused 'error_pages: [{ file: /dev/zero }]' "has more than 1048576 bytes"
}

@test "a budget of retries: what may be sent again is, in proportion; the rest says so" {
	start origin backend /usr/bin/python3 "$ROOT/tests/http/origin.py" 198.51.100.1:3000 "$DIR/origin.seen" --once
	within 10 listening backend 3000
	route() { echo "      - { name: $1, http: { path: [\"/$1/*\"]${2:+, retry_budget: $2} }, backends: [\"198.51.100.1:3000\"] }"; }
	start_proxy < <(printf 'workers: 1\n'; web '    routes:' "$(route none 0)" "$(route some)" "$(route all 100)")
	start_exporter
	# codes ROUTE: each connection to the backend answers once: every second request finds one that ends
	codes() { at client curl -sS --max-time 60 -o /dev/null -w '%{http_code}\n' "http://192.0.2.2:8080/$1/[1-200]" | sort | uniq -c | awk '{ printf "%s%s %s", sep, $2, $1; sep = ", " }'; }
	equal "200 100, 502 100" "$(codes none)" "without a budget"
	equal "200 200" "$(codes all)" "with all"
	local some began=$SECONDS free
	some=$(codes some)
	free=$(((SECONDS - began + 2) * 10)) # ten a second are
	fresh_scrape >"$DIR/page"
	denied() { http_total tollgate_http_requests_total "route=\"$1\"" 'reason="retry_budget"'; }
	equal 100 "$(denied none)" "that were not sent again"
	equal 0 "$(denied all)" "of all"
	equal "200 $((200 - $(denied some))), 502 $(denied some)" "$some" "of some"
	# of 100 that would have been sent again, 20 in 100 of the 200, and these
	[ "$(denied some)" -ge $((100 - 40 - free)) ] && [ "$(denied some)" -le 80 ] || { echo "$some" && false; }
	# nothing but what may be is sent again, whatever the budget
	equal "200 100, 502 100" "$(at client curl -sS --max-time 60 -d x -o /dev/null -w '%{http_code}\n' "http://192.0.2.2:8080/all/[1-200]" | sort | uniq -c | awk '{ printf "%s%s %s", sep, $2, $1; sep = ", " }')" "POST"
	run -1 "$BIN/tollgate" check <(web '    routes:' "$(route much 101)")
	[[ $output == *"retry_budget: 101 is more than 100 in 100"* ]]
}

@test "early data: what another had in it goes on, or is answered 425, by route and method" {
	start_origin
	early() { echo "      - { name: $1, http: { path: [\"/$1/*\"], early_data: $2 }, backends: [\"198.51.100.1:3000\"] }"; }
	start_proxy < <(web '    routes:' "$(early pass pass)" "$(early safe safe)" "$(early none refuse)")
	code() { ask "$@" -o /dev/null -w '%{http_code}'; }
	local version
	for version in --http1.1 --http2-prior-knowledge; do
		equal 200 "$(code /pass/x $version -H 'Early-Data: 1' -d x)" "passed, $version"
		equal 1 "$(ask /pass/x $version -H 'Early-Data: 1' | jq -r '.fields[] | select(.[0] == "early-data") | .[1]')" "the field, $version"
		equal 200 "$(code /safe/x $version -H 'Early-Data: 1')" "a safe one, $version"
		equal 425 "$(code /safe/x $version -H 'Early-Data: 1' -d x)" "one that is not, $version"
		equal 425 "$(code /none/x $version -H 'Early-Data: 1')" "none is taken, $version"
		equal 425 "$(code /none/x $version -H 'Early-Data: what')" "whatever it says, $version"
		equal 200 "$(code /none/x $version -d x)" "without the field, $version"
	done
	run tollgate explain "$DIR/gate.yaml" http://192.0.2.2:8080/none/x --header 'Early-Data: 1'
	[[ $output == *"425, early_data, by route none"* ]]
	# none of them has come to the backend of that route
	jq -se 'map(select(.path == "/none/x")) | length == 2 and all(.[]; all(.fields[]; .[0] != "early-data"))' "$DIR/origin.seen"
}
