#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# HTTP behind TLS that ends at the gate, and what becomes of it in reloads, upgrades, drains.

load helpers
source "$BATS_TEST_DIRNAME/tls.bash"
source "$BATS_TEST_DIRNAME/http.bash"

# secure LINE...: a listener of TLS with these routes
secure() {
	printf '%s\n' 'listeners:' \
		'  - name: web' \
		'    address: "192.0.2.2:8443"' \
		"    certificates: [{ certificate: $DIR/app.pem, key: $DIR/app.key }, { certificate: $DIR/wild.pem, key: $DIR/wild.key }]" \
		'    routes:' "$@"
}
app='      - { name: app, sni: [app.example.org], tls: terminate, http: {}, backends: ["198.51.100.1:3000"] }'
# get URL-PATH [OPTION...]
get() {
	at client curl -sS --max-time 20 --cacert "$DIR/root.pem" --resolve app.example.org:8443:192.0.2.2 \
		--resolve a.wild.example.org:8443:192.0.2.2 --resolve b.wild.example.org:8443:192.0.2.2 "${@:2}" "https://${HOST:-app.example.org}:8443$1"
}

@test "h2 and http/1.1 by ALPN, bodies both ways; who offers neither is told so" {
	start_origin
	start_proxy < <(secure "${app/http: \{\}/http: { sticky: { cookie: S \} \}}")
	equal 2 "$(get /x -o "$DIR/seen" -w '%{http_version}')" "the version"
	get /x -o /dev/null -D - | grep -qi '^set-cookie: S=[0-9a-f]*; Path=/; HttpOnly; SameSite=Lax; Secure'
	equal https "$(jq -r '.fields[] | select(.[0] == "x-forwarded-proto") | .[1]' "$DIR/seen")" "how it was asked"
	equal 1.1 "$(get /x -o /dev/null -w '%{http_version}' --http1.1)" "the version"
	equal 1.1 "$(get /x -o /dev/null -w '%{http_version}' --no-alpn)" "without ALPN"
	head -c 3000000 /dev/urandom >"$DIR/body"
	local sum version n
	sum=$(sha256sum <"$DIR/body" | cut -d' ' -f1)
	for version in --http1.1 --http2; do
		equal "$sum" "$(get /x $version --data-binary "@$DIR/body" | jq -r .sha256)" "up by $version"
		for n in 0 1 16384 5000000; do
			equal "$n" "$(get "/bytes/$n" $version | wc -c)" "by length, $version"
			equal "$n" "$(get "/chunks/$n" $version | wc -c)" "in chunks, $version"
		done
	done
	run s_client -servername app.example.org -alpn nothing
	[[ $output == *"no application protocol"* ]]
}

@test "a connection serves the hosts of its certificate and its TLS, no others: 421" {
	start_origin
	start_proxy < <(secure "$app" \
		'      - { name: wild, sni: ["*.wild.example.org"], tls: terminate, http: { respond: { status: 200, body: wild } } }' \
		'      - { name: strict, sni: [b.wild.example.org], tls: terminate, min_version: "1.3", http: { respond: { status: 200, body: strict } } }')
	HOST=a.wild.example.org
	equal wild "$(get /)" "by its name"
	equal 421 "$(get / -H 'Host: b.wild.example.org' -o /dev/null -w '%{http_code}')" "of stricter TLS"
	HOST=b.wild.example.org
	equal strict "$(get /)" "by its own name"
	HOST=app.example.org
	equal wild "$(get / -H 'Host: a.wild.example.org')" "of the same TLS, with a certificate"
	equal 404 "$(get / -H 'Host: nobody.example.org' -o /dev/null -w '%{http_code}')" "of nobody"

	# and explain says the same
	explains() {
		run tollgate explain "$DIR/gate.yaml" "${@:2}"
		equal "listener web: $1" "$output" "${*:2}"
	}
	explains 'route wild for host *.wild.example.org: answered 200' https://a.wild.example.org/
	explains '421, misdirected' https://a.wild.example.org/ --header 'Host: b.wild.example.org'
	explains 'route strict for host b.wild.example.org: answered 200' https://B.wild.example.org.:8443
	explains '404, no_route' https://app.example.org --header 'Host: nobody.example.org'
	explains 'refused in TLS, no_route' https://nobody.example.org/
	explains 'refused in TLS, no_server_name' 'https://[2001:db8::1]/'
}

@test "client_cert: the certificate that was verified goes on, and nothing else that says to be one" {
	issue me "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:me.example.org"
	start_origin
	start_proxy < <(secure \
		"      - { name: told, sni: [app.example.org], tls: terminate, client_certificates: { ca: $DIR/root.pem, optional: true }, http: { path: [\"/told/*\"], client_cert: true }, backends: [\"198.51.100.1:3000\"] }" \
		"      - { name: app, sni: [app.example.org], tls: terminate, client_certificates: { ca: $DIR/root.pem, optional: true }, http: {}, backends: [\"198.51.100.1:3000\"] }")
	told() { get "$1" -H 'Client-Cert: :Zm9yZ2Vk:' -H 'Client-Cert-Chain: :Zm9yZ2Vk:' "${@:2}" | jq -r '[.path, (.fields[] | select(.[0] | startswith("client-cert")) | join("="))] | join(" ")'; }
	local want version
	want="client-cert=:$(openssl x509 -in "$DIR/me.leaf" -outform DER | base64 -w 0):"
	for version in --http1.1 --http2; do
		equal "/told/x $want" "$(told /told/x $version --cert "$DIR/me.pem" --key "$DIR/me.key")" "with a certificate"
		equal "/told/x" "$(told /told/x $version)" "without"
		equal "/x" "$(told /x $version --cert "$DIR/me.pem" --key "$DIR/me.key")" "where it is not wanted"
	done
	sed 's/client_certificates: { ca: [^}]* }, //g' "$DIR/gate.yaml" >"$DIR/c.yaml"
	run -1 "$BIN/tollgate" check "$DIR/c.yaml"
	[[ $output == *"'client_cert' is for routes with 'client_certificates'"* ]]
}

@test "routes by the client's certificate: by names of all kinds, by digest, any, none" {
	issue me "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:me.example.org,email:me@example.org,URI:spiffe://example.org/me"
	issue you "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:you.clients.example.org"
	issue evil "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:evil.clients.example.org"
	local digest mutual routes=() version
	digest=$(openssl x509 -in "$DIR/me.leaf" -noout -fingerprint -sha256 | sed 's/.*=//')
	mutual="sni: [app.example.org], tls: terminate, client_certificates: { ca: $DIR/root.pem, optional: true }"
	# for NAME CONDITION...: that route, at /NAME
	for_() { routes+=("      - { name: $1, $mutual, http: { path: [/$1], certificate: [${*:2}], respond: { status: 200, body: $1 } } }"); }
	for_ common '"name ME"'
	for_ dns '"name me.example.org"'
	for_ mail '"name me@example.org"'
	for_ uri '"name spiffe://example.org/me"'
	for_ below '"name *.clients.example.org"'
	for_ pattern "'name ~m[e]|y.*ts[.]example[.]org'"
	for_ digest "\"sha256 $digest\""
	for_ any '"any"'
	for_ none '"none"'
	for_ several '"name nobody", "none", "name you"'
	start_proxy < <(secure "${routes[@]}" \
		"      - { name: evil, $mutual, priority: 1, http: { certificate: [name evil], respond: { status: 403, body: evil } } }" \
		"      - { name: rest, $mutual, http: { respond: { status: 403, body: no } } }")
	# as WHO PATH...: what each of them answers
	as() {
		local path who=$1
		for path in "${@:2}"; do
			if [ "$who" = nobody ]; then get "/$path" $version; else get "/$path" $version --cert "$DIR/$who.pem" --key "$DIR/$who.key"; fi
			echo -n ' '
		done
	}
	for version in --http1.1 --http2; do
		equal "common dns mail uri no pattern digest any no no " "$(as me common dns mail uri below pattern digest any none several)" "me, $version"
		equal "no no no no below pattern no any no several " "$(as you common dns mail uri below pattern digest any none several)" "you, $version"
		equal "no no no no no no no no none several " "$(as nobody common dns mail uri below pattern digest any none several)" "nobody, $version"
		equal "evil evil evil " "$(as evil below any none)" "who is kept out, $version"
	done
	# explain, and what is refused
	explained() { tollgate explain "$DIR/gate.yaml" https://app.example.org/"$1" "${@:2}" || :; }
	[[ $(explained below --certificate you.clients.example.org) == *"route below for host app.example.org, path /below, certificate name *.clients.example.org: answered 200"* ]]
	[[ $(explained digest --certificate "$(tr -d : <<<"${digest,,}")") == *"route digest "* ]]
	[[ $(explained any) == *"route rest "* ]]
	sed "s/certificate: \[name evil\]/certificate: [evil]/" "$DIR/gate.yaml" >"$DIR/c.yaml"
	run -1 "$BIN/tollgate" check "$DIR/c.yaml"
	[[ $output == *"certificate[0]: 'evil' is not \"any\", \"none\", \"name NAME\" or \"sha256 DIGEST\" (64 hex digits)"* ]]
	sed 's/client_certificates: { ca: [^}]* }, //g' "$DIR/gate.yaml" >"$DIR/c.yaml"
	run -1 "$BIN/tollgate" check "$DIR/c.yaml"
	[[ $output == *"'certificate' is for routes with 'client_certificates'"* ]]
}

@test "to backends by TLS: h2 and http/1.1 by what the route says; gRPC through TLS on both sides" {
	# through the gate once more: a backend that speaks TLS, and says by what it was asked
	local behind="backend_tls: { ca: $DIR/root.pem, sni: app.example.org, name: app.example.org }, backends: [\"192.0.2.2:9443\"]"
	start grpc backend /usr/bin/python3 "$ROOT/tests/http/grpc_peer.py" serve 198.51.100.1:3001
	start_origin
	start_proxy < <(secure "$app" \
		'      - { name: grpc, sni: [app.example.org], tls: terminate, http: { path: ["/test.Echo/*"], protocol: h2 }, backends: ["198.51.100.1:3001"] }' \
		"      - { name: one, sni: [a.wild.example.org], tls: reencrypt, http: { request: { set: [\"Host: app.example.org\"] } }, $behind }" \
		"      - { name: two, sni: [a.wild.example.org], tls: reencrypt, http: { path: [\"/h2/*\"], protocol: h2, request: { set: [\"Host: app.example.org\"] } }, $behind }" \
		'  - name: behind' '    address: "192.0.2.2:9443"' '    http: { via: true }' \
		"    certificates: [{ certificate: $DIR/app.pem, key: $DIR/app.key }]" '    routes:' "$app")
	within 10 listening backend 3001
	run -0 at client timeout 100 /usr/bin/python3 "$ROOT/tests/http/grpc_peer.py" call 192.0.2.2:8443 "$DIR/root.pem" app.example.org
	echo "$output"
	[[ $output != *NOT* && $output == *"after one that was cancelled"* ]]
	HOST=a.wild.example.org
	asked() { get "$1" | jq -r '"\(.path) \(.fields[] | select(.[0] == "via") | .[1])"'; }
	equal "/x 1.1 tollgate" "$(asked /x)" "by TLS to the backend"
	equal "/h2/x 2.0 tollgate" "$(asked /h2/x)" "by TLS and HTTP/2 to the backend"
}

@test "TLS to backends from a listener without: requests by both versions, connections, and every byte of it" {
	start_origin
	local to="backend_tls: { ca: $DIR/root.pem, name: app.example.org, sni: app.example.org }, backends: [\"192.0.2.2:8443\"]"
	start_proxy < <(secure "$app" \
		'  - name: plain' '    address: "192.0.2.2:8080"' '    routes:' \
		"      - { name: one, http: { request: { set: [\"Host: app.example.org\"] } }, $to }" \
		"      - { name: two, http: { path: [\"/h2/*\"], protocol: h2, request: { set: [\"Host: app.example.org\"] } }, $to }" \
		'  - name: stream' '    address: "192.0.2.2:8081"' '    routes:' "      - { name: bytes, $to }" \
		'  - name: distrusts' '    address: "192.0.2.2:8082"' '    routes:' \
		'      - { name: none, http: {}, backend_tls: {}, backends: ["192.0.2.2:8443"] }')
	start_exporter
	plain() { at client curl -sS --max-time 20 "http://192.0.2.2:$1" "${@:2}"; }
	equal "https /x" "$(plain 8080/x | jq -r '[(.fields[] | select(.[0] == "x-forwarded-proto") | .[1]), .path] | join(" ")')" "by HTTP/1.1 over TLS"
	equal /h2/x "$(plain 8080/h2/x | jq -r .path)" "by HTTP/2 over TLS"
	equal 3000000 "$(plain 8081/bytes/3000000 -H 'Host: app.example.org' | wc -c)" "a connection"
	head -c 3000000 /dev/urandom >"$DIR/body"
	equal "$(sha256sum <"$DIR/body" | cut -d' ' -f1)" "$(plain 8081/up -H 'Host: app.example.org' --data-binary "@$DIR/body" | jq -r .sha256)" "up"
	equal 502 "$(plain 8082/ -o /dev/null -w '%{http_code}')" "one that is not trusted"
	within 5 eval 'at gate curl -fsS http://127.0.0.1:9980/metrics >"$DIR/page"; [ "$(http_total tollgate_http_requests_total "reason=\"backend_tls\"")" = 1 ]'
	run tollgate explain "$DIR/gate.yaml" http://192.0.2.2:8080/h2/x
	[[ $output == *'route two'*' by h2 over TLS'* ]]
	audit_is_clean 6
	sed 's/tls: terminate, http: {}/tls: terminate, backend_tls: {}, http: {}/' "$DIR/gate.yaml" >"$DIR/c.yaml"
	run -1 "$BIN/tollgate" check "$DIR/c.yaml"
	[[ $output == *"backend_tls: is for routes with tls: reencrypt, and for those of listeners without TLS"* ]]
}

@test "health by HTTP within TLS, by HTTP/2, by its body, and by gRPC: who is up, and who is not" {
	start grpc backend /usr/bin/python3 "$ROOT/tests/http/grpc_peer.py" serve 198.51.100.1:3001
	start_origin
	within 10 listening backend 3001
	local to="backend_tls: { ca: $DIR/root.pem, name: app.example.org, sni: app.example.org }, backends: [\"192.0.2.2:8443\"]"
	local often="interval: 100ms, rise: 1, fall: 1, timeout: 500ms" n=0 lines=() route
	# checked NAME HTTP HEALTH REST: a route that is asked for as /NAME/x
	checked() { lines+=("      - { name: $1, http: { path: [\"/$1/*\"]$2 }, health: { $often, $3 }, $4 }"); }
	local plain='backends: ["198.51.100.1:3000"]' grpc='backends: ["198.51.100.1:3001"]'
	checked tls "" "type: http, path: /status/204, name: app.example.org" "$to"
	checked tls-not "" "type: http, path: /status/500, name: app.example.org" "$to"
	checked h2 ", protocol: h2" "type: http, path: /x, body: '\"path\": \"/x\"', name: 'app.example.org:8443'" "$to"
	checked h2-not ", protocol: h2" "type: http, path: /x, body: nothing of it, name: app.example.org" "$to"
	checked body "" "type: http, path: /chunks/9, body: '345'" "$plain"
	checked body-not "" "type: http, path: /chunks/9, body: '9'" "$plain"
	checked closed "" "type: http, path: /until-close/99, body: ab" "$plain"
	checked cut-not "" "type: http, path: /drop/500, body: zz" "$plain"
	checked interim "" "type: http, path: /early/3, body: late" "$plain"
	checked grpc ", protocol: h2" "type: grpc" "$grpc"
	checked service ", protocol: h2" "type: grpc, service: test.Echo" "$grpc"
	checked down-not ", protocol: h2" "type: grpc, service: test.Down" "$grpc"
	checked unknown-not ", protocol: h2" "type: grpc, service: test.Unknown" "$grpc"
	checked other-not "" "type: grpc" "$plain"
	checked hello "" "type: tls, name: app.example.org" "$to"
	start_proxy < <(secure "$app" '  - name: plain' '    address: "192.0.2.2:8080"' '    routes:' "${lines[@]}")
	start_exporter
	# what each was found to be, three times at least, and never anything else
	checks() { http_total "tollgate_backend_checks_$2_total" "route=\"$1\""; }
	found() {
		at gate curl -fsS http://127.0.0.1:9980/metrics >"$DIR/page"
		[ "$(checks "$1" "$2")" -ge 3 ]
	}
	for route in tls h2 body closed interim grpc service hello tls-not h2-not body-not cut-not down-not unknown-not other-not; do
		case $route in
		*-not)
			within 10 found "$route" failed
			equal 0 "$(checks "$route" passed)" "$route"
			;;
		*)
			within 10 found "$route" passed
			equal 0 "$(checks "$route" failed)" "$route"
			;;
		esac
		n=$((n + 1))
	done
	equal 503 "$(at client curl -sS --max-time 20 -o /dev/null -w '%{http_code}' http://192.0.2.2:8080/tls-not/x)" "of one that is down"
	equal 200 "$(at client curl -sS --max-time 20 -o /dev/null -w '%{http_code}' http://192.0.2.2:8080/body/x)" "of one that is up"
	equal 15 "$n" "routes that were looked at"
}

@test "requests of random shape through TLS: every byte in its place" {
	local seed=$RANDOM i pid
	echo "# seed $seed" >&3
	start_origin
	start_proxy < <(secure "$app")
	start_exporter
	for i in 1 2 3; do
		mix "mix$i" 8443 "${REQUESTS:-800}" $((seed + i)) "$DIR/root.pem" app.example.org
	done
	run -0 at client h2load -n 2000 -c 10 -m 10 --connect-to 192.0.2.2:8443 https://app.example.org:8443/bytes/1000
	[[ $output == *"2000 succeeded, 0 failed"* ]]
	mixed mix1 mix2 mix3
	stop "$origin_pid"
	within 20 sockets_closed
	audit_is_clean 6
}

# hammer NAME SECONDS OPTION...: requests without a pause for so long
hammer() { start "$1" client h2load -D "$2" -c 4 "${@:3}" --connect-to 192.0.2.2:8443 https://app.example.org:8443/bytes/100; }
# hammered NAME: none of them failed
hammered() {
	local pid=${1}_pid
	wait "${!pid}" || :
	grep -Eq ' [1-9][0-9]* succeeded, 0 failed, 0 errored, 0 timeout' "$DIR/$1.log" || {
		cat "$DIR/$1.log"
		return 1
	}
}

@test "the books agree while connections live: idle ones, and requests that are under way" {
	start_origin
	start_proxy < <(secure "$app" '  - name: plain' '    address: "192.0.2.2:8080"' '    routes:' "${app/sni: *terminate, /}")
	# one of each kind is kept: plain, TLS, h2 over both
	start kept client /usr/bin/python3 -c 'import socket, ssl, sys, time
import h2.connection
kept = []
for port, protocol in ((8080, ""), (8443, "http/1.1"), (8080, "h2"), (8443, "h2")):
    s = socket.create_connection(("192.0.2.2", port))
    if port == 8443:
        context = ssl.create_default_context(cafile=sys.argv[1])
        context.set_alpn_protocols([protocol])
        s = context.wrap_socket(s, server_hostname="app.example.org")
    if protocol == "h2":
        c = h2.connection.H2Connection()
        c.initiate_connection()
        c.send_headers(1, [(":method", "GET"), (":path", "/bytes/1000"), (":scheme", "http"), (":authority", "app.example.org")], True)
        s.sendall(c.data_to_send())
    else:
        s.sendall(b"GET /bytes/1000 HTTP/1.1\r\nhost: app.example.org\r\n\r\n")
    got = 0
    while got < 1000:
        got += len(s.recv(9999))
    kept.append(s)
print("kept", flush=True)
time.sleep(60)' "$DIR/root.pem"
	within 10 grep -q kept "$DIR/kept.log"
	audit_is_clean 4 # what TLS took, and each connection on the wire, are compared at its end
	# of the connections of both listeners every byte is known, while they live
	equal "2 2" "$(tollgate audit --json | jq -r '[.checks[] | select(.check == "proxy_tcp" and (.what | endswith("- downstream")) and .tcp_rx > 0 and .tcp_rx == .proxy_rx and .connections_compared == 0)] | "\(length) \([.[] | select(.tcp_tx == .proxy_tx)] | length)"')" "rows of live connections"
	equal 4 "$(tollgate flows --json | jq '[.[] | select(.leg == "downstream" and .state == "ESTABLISHED")] | length')" "live ones in flows"
	local i
	hammer one 4
	start plain client h2load -D 4 -c 4 --h1 http://192.0.2.2:8080/bytes/3000
	mix mix1 8080 400 "$RANDOM"
	for ((i = 0; i < 12; i++)); do
		run tollgate audit --json
		jq -e '.verdict != "differs" and ([.checks[] | select(.check == "proxy_tcp") | .tcp_rx] | add) > 0' <<<"$output" >/dev/null || {
			tollgate audit
			return 1
		}
	done
	hammered one
	hammered plain
	mixed mix1
}

@test "reloads under requests of h1 and h2: none fails, and all are of the new configuration" {
	start_origin
	start_proxy < <(secure "$app")
	hammer one 10 --h1
	hammer two 10 -m 8
	for i in 1 2 3 4 5; do
		secure "$app" "      - { name: more$i, sni: [app.example.org], tls: terminate, http: { path: [/more$i], respond: { status: 200, body: more$i } } }" >"$DIR/gate.yaml"
		kill -HUP "$proxy_pid"
		within 10 eval "[ \"\$(get /more$i)\" = more$i ]"
	done
	kill -0 "$one_pid" # the last of them was under load, too
	kill -0 "$two_pid"
	hammered one
	hammered two
}

@test "an upgrade under requests: each is answered, by the old process or by the new one" {
	local i pid
	start_origin
	start_proxy < <(secure "$app")
	for i in 1 2; do
		mix "mix$i" 8443 3000 "$i" "$DIR/root.pem" app.example.org
	done
	within 10 eval '[ "$(wc -l <"$DIR/origin.seen")" -gt 200 ]'
	succeed next
	within 10 is_ready next
	within 10 gone "$proxy_pid"
	equal 2 "$(get /x -o /dev/null -w '%{http_version}')" "the successor's answer"
	mixed mix1 mix2
	within 20 eval 'stop "$origin_pid"; sockets_closed'
	audit_is_clean 6
}

# start_web NAME PORT: nginx on that port of the backend's side, one process that can be killed
start_web() {
	mkdir -p "$DIR/$1.d"
	cat >"$DIR/$1.conf" <<-N
		master_process off; daemon off; pid $DIR/$1.d/pid; error_log $DIR/$1.d/log;
		events { worker_connections 1000; }
		http { access_log off; client_body_temp_path $DIR/$1.d; proxy_temp_path $DIR/$1.d; fastcgi_temp_path $DIR/$1.d; uwsgi_temp_path $DIR/$1.d; scgi_temp_path $DIR/$1.d;
		    keepalive_requests 1000000; server { listen 198.51.100.1:$2; location / { return 200 "here"; } } }
	N
	start "$1" backend "$ROOT/build/tools/usr/sbin/nginx" -p "$DIR/$1.d" -c "$DIR/$1.conf" -e "$DIR/$1.d/log"
	within 10 listening backend "$2"
}

@test "reloads, a new certificate, an upgrade and a backend that is killed, under requests of h1, h2 and gRPC: what could be saved is" {
	local i peer load
	start_web one 3000
	start_web two 3002
	for i in 1 3; do start "grpc$i" backend /usr/bin/python3 "$ROOT/tests/http/grpc_peer.py" serve "198.51.100.1:300$i"; done
	within 10 listening backend 3001
	within 10 listening backend 3003
	start_exporter
	local web='      - { name: app, sni: [app.example.org], tls: terminate, http: {}, backends: ["198.51.100.1:3000", "198.51.100.1:3002"] }'
	local grpc='      - { name: grpc, sni: [app.example.org], tls: terminate, http: { path: ["/test.Echo/*"], protocol: h2 }, backends: ["198.51.100.1:3001", "198.51.100.1:3003"] }'
	start_proxy < <(secure "$web" "$grpc")
	at client sh -c 'echo "192.0.2.2 app.example.org"' >"$DIR/hosts"
	start h1 client unshare -m sh -c "mount --bind '$DIR/hosts' /etc/hosts && exec wrk -t1 -c8 -d20 --timeout 10 https://app.example.org:8443/x"
	start h2 client /usr/bin/python3 "$ROOT/tests/http/steady.py" h2 192.0.2.2:8443 "$DIR/root.pem" app.example.org 19 400 /x
	start calls client /usr/bin/python3 "$ROOT/tests/http/steady.py" grpc 192.0.2.2:8443 "$DIR/root.pem" app.example.org 19 300
	asked() { at gate curl -fsS http://127.0.0.1:9980/metrics | metric tollgate_http_requests_total "route=\"$1\""; }
	within 10 eval '[ "$(asked grpc)" -gt 100 ]'
	# a route more each time, and a certificate of another key
	for i in 1 2 3; do
		issue app "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:app.example.org"
		secure "$web" "$grpc" "      - { name: more$i, sni: [app.example.org], tls: terminate, http: { path: [/more$i], respond: { status: 200, body: more$i } } }" >"$DIR/gate.yaml"
		kill -HUP "$proxy_pid"
		within 10 eval "[ \"\$(get /more$i)\" = more$i ]"
	done
	succeed next
	within 10 is_ready next
	within 15 gone "$proxy_pid"
	# one of each two backends, in the middle of requests; later they are back
	kill -KILL "$one_pid" "$grpc1_pid"
	within 5 gone "$one_pid"
	i=$(asked app)
	within 10 eval '[ "$(asked app)" -gt $((i + 10000)) ]'
	start_web one 3000
	for load in h1 h2 calls; do
		peer=${load}_pid # they have met all of it
		kill -0 "${!peer}" || { cat "$DIR/$load.log" && return 1; }
	done
	for load in h1 h2 calls; do
		peer=${load}_pid
		wait "${!peer}"
		sed "s/^/# $load: /" "$DIR/$load.log" >&3
	done
	fresh_scrape >"$DIR/page"
	local none=0 lost gone
	# HTTP/1.1: wrk names what failed, or says nothing of it
	grep -q 'requests in' "$DIR/h1.log"
	lost=$(sed -n 's/.*Non-2xx or 3xx responses: //p' "$DIR/h1.log")
	run -1 grep 'Socket errors' "$DIR/h1.log"
	# HTTP/2: every one that was sent has an answer
	tail -1 "$DIR/h2.log" | jq -e '.sent > 1000 and (.cut // 0) == 0 and (.unanswered // 0) == 0 and .connections >= 2'
	none=$(tail -1 "$DIR/h2.log" | jq '[to_entries[] | select(.key | startswith("failed")) | .value] | add // 0')
	# what failed is counted under its reason, and is no more than what the killed backend had
	gone=$(http_total tollgate_http_requests_total 'route="app"' 'reason="backend_closed"')
	equal "$((${lost:-0} + none))" "$gone" "failures that a backend's end explains"
	equal 0 "$(http_total tollgate_http_requests_total 'route="app"' 'reason="backend_connect"')" "connections that failed"
	[ "$gone" -le 8 ]
	# gRPC: a call that the killed server had is nobody's to repeat, and says so; all others are answered
	tail -1 "$DIR/calls.log" | jq -e '.sent > 500 and .answered >= .sent - 4'
	audit_is_clean 6 || {
		within 20 sockets_closed
		audit_is_clean 6
	}
}

@test "SIGTERM: the answer that is under way comes, with connection: close, and idle clients are let go" {
	start_origin
	start_proxy < <(secure "$app")
	start idle client /usr/bin/python3 -c 'import socket, ssl, sys
c = ssl.create_default_context(cafile=sys.argv[1])
s = c.wrap_socket(socket.create_connection(("192.0.2.2", 8443)), server_hostname="app.example.org")
s.sendall(b"GET /bytes/3 HTTP/1.1\r\nhost: app.example.org\r\n\r\n")
got = b""
while not got.endswith(b"012"):
    got += s.recv(1000)
print(got, flush=True)
print("end", s.recv(1000), flush=True)' "$DIR/root.pem"
	within 10 grep -q 012 "$DIR/idle.log"
	start slow client curl -sSi --cacert "$DIR/root.pem" --resolve app.example.org:8443:192.0.2.2 --http1.1 https://app.example.org:8443/slow/3000
	start slow2 client curl -sSi --cacert "$DIR/root.pem" --resolve app.example.org:8443:192.0.2.2 --http2 https://app.example.org:8443/slow/3000
	within 10 eval '[ "$(wc -l <"$DIR/origin.seen")" = 3 ]'
	kill -TERM "$proxy_pid"
	wait "$slow_pid" "$slow2_pid"
	within 10 gone "$proxy_pid"
	cat "$DIR"/slow*.log "$DIR/idle.log"
	grep -qi '^connection: close' "$DIR/slow.log"
	grep -q slow "$DIR/slow.log"
	grep -q '^slow' "$DIR/slow2.log"
	within 10 grep -q "end b''" "$DIR/idle.log"
}
