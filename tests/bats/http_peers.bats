#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# HTTP with others' clients and servers: Node, its ws, Apache, Chromium.  (curl, wrk, h2load, gRPC and
# websockets of Python, nginx: the other files of HTTP.)

load helpers
source "$BATS_TEST_DIRNAME/tls.bash"
source "$BATS_TEST_DIRNAME/http.bash"
export NODE_PATH=/usr/share/nodejs
NODE_PEER=$ROOT/tests/http/node_peer.js

# gate ROUTE...: a listener of TLS for app.example.org; each NAME=HTTP=PORT
gate() {
	local route rest
	printf '%s\n' 'listeners:' '  - name: web' '    address: "192.0.2.2:8443"' \
		"    certificates: [{ certificate: $DIR/app.pem, key: $DIR/app.key }]" '    routes:'
	for route; do
		rest=${route#*=}
		echo "      - { name: ${route%%=*}, sni: [app.example.org], tls: terminate, http: { ${rest%=*} }, backends: [\"198.51.100.1:${rest##*=}\"] }"
	done
}
# start_node: its servers, of HTTP/1.1 at 3000 and of HTTP/2 at 3001, and the gate before both
start_node() {
	start node backend node "$NODE_PEER" serve 198.51.100.1 3000 3001
	within 20 listening backend 3000
	within 20 listening backend 3001
	start_proxy < <(gate one==3000 'two=path: ["/h2/*"], strip: /h2, protocol: h2=3001')
}

@test "Node: clients of both versions and ws, backends of both versions" {
	start_node
	run at client timeout 100 node "$NODE_PEER" call 192.0.2.2:8443 "$DIR/root.pem" app.example.org
	echo "$output"
	[ "$status" = 0 ]
	equal 31 "$(grep -c '^ok' <<<"$output")" "things that were tried"
	stop "$node_pid"
	within 10 sockets_closed
	audit_is_clean 6
}

@test "Chromium: 40 requests at once by HTTP/2, a post, and WebSocket" {
	start_node
	local spki
	spki=$(openssl x509 -in "$DIR/app.leaf" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64)
	mkdir "$DIR/home"
	# an address that comes meanwhile is a change of the network, which ends its connections
	within 10 eval '[ -z "$(at client ip -6 address show tentative)" ]'
	start browser client env HOME="$DIR/home" timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
		--user-data-dir="$DIR/home/data" --no-first-run --disable-background-networking --disable-component-update \
		--host-resolver-rules="MAP app.example.org 192.0.2.2, MAP * ~NOTFOUND" --ignore-certificate-errors-spki-list="$spki" \
		--remote-debugging-port=0 https://app.example.org:8443/page/
	within 30 grep -q found "$DIR/node.log" || { grep -v dbus "$DIR/browser.log"; false; }
	equal "found sizes_true_echo_200000_by_h2_ws_100000" "$(grep found "$DIR/node.log")" "what the page found"
	stop "$browser_pid"
	stop "$node_pid"
	within 10 sockets_closed
	audit_is_clean 6
}

@test "Apache: a backend of both versions; ranges, conditions, a body that it refuses, answers of every frame" {
	log=$(mktemp -d) # where its user may go, too
	mkdir "$log/run"
	head -c 3000000 /dev/urandom >"$log/large"
	echo small >"$log/small"
	chmod -R a+rX "$log"
	cat >"$log/conf" <<-A
		ServerRoot $log/run
		PidFile $log/run/pid
		ServerName app.example.org
		ErrorLog $log/run/log
		Listen 198.51.100.1:3000
		$(for m in mpm_event authz_core mime deflate filter http2; do echo "LoadModule ${m}_module /usr/lib/apache2/modules/mod_$m.so"; done)
		TypesConfig /etc/mime.types
		User nobody
		Group nogroup
		Mutex pthread
		Protocols h2c http/1.1
		LimitRequestBody 100000
		AddOutputFilterByType DEFLATE text/plain
		DocumentRoot $log
		<Directory $log>
		    Require all granted
		    ForceType text/plain
		</Directory>
	A
	start apache backend /usr/sbin/apache2 -X -f "$log/conf"
	within 20 listening backend 3000
	start_proxy < <(gate one==3000 'two=path: ["/h2/*"], strip: /h2, protocol: h2=3000')
	get() { at client curl -sS --max-time 30 --cacert "$DIR/root.pem" --resolve app.example.org:8443:192.0.2.2 "${@:2}" "https://app.example.org:8443$1"; }
	local to by sum etag
	sum=$(sha256sum <"$log/large" | cut -d' ' -f1)
	for to in '' /h2; do
		for by in --http1.1 --http2; do
			equal "$sum" "$(get "$to/large" $by | sha256sum | cut -d' ' -f1)" "$to $by: as it is"
			equal "$sum" "$(get "$to/large" $by --compressed | sha256sum | cut -d' ' -f1)" "$to $by: compressed by it"
			equal "206 1000" "$(get "$to/large" $by -r 5000-5999 -o "$DIR/part" -w '%{http_code} %{size_download}')" "$to $by: a range"
			cmp "$DIR/part" <(tail -c +5001 "$log/large" | head -c 1000)
			etag=$(get "$to/small" $by -o /dev/null -D - | tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p')
			equal "304 0" "$(get "$to/small" $by -H "If-None-Match: $etag" -o /dev/null -w '%{http_code} %{size_download}')" "$to $by: not modified"
			equal "200 0" "$(get "$to/large" $by -I -o /dev/null -w '%{http_code} %{size_download}')" "$to $by: HEAD"
			equal 404 "$(get "$to/none" $by -o /dev/null -w '%{http_code}')" "$to $by: none"
			equal small "$(get "$to/small" $by)" "$to $by: after that"
		done
	done
	# it answers a body that is too large before it has read it (by HTTP/2 at times with 200): the client
	# has the answer, and may send all of it, which is thrown away
	equal 413 "$(get /small --http1.1 --max-time 10 --data-binary "@$log/large" -o /dev/null -w '%{http_code}')" "more than it takes"
	for to in '' /h2; do
		run -0 at client /usr/bin/python3 "$ROOT/tests/http/early_h2.py" 192.0.2.2:8443 "$DIR/root.pem" app.example.org "$to/small" 3000000
		[[ $output == "status "?*", whole, 0 bytes left, reset None" && $output != *None,* ]] || { echo "$output" && false; }
	done
	# but not for ever
	run -0 at client /usr/bin/python3 "$ROOT/tests/http/early_h2.py" 192.0.2.2:8443 "$DIR/root.pem" app.example.org /small 60000000
	[[ $output =~ ^"status 413, whole, "[1-9][0-9]*" bytes left, reset 0"$ ]] || { echo "$output" && false; }
	run -0 at client h2load -n 3000 -c 10 -m 10 --connect-to 192.0.2.2:8443 https://app.example.org:8443/small https://app.example.org:8443/h2/small
	[[ $output == *"3000 succeeded, 0 failed"* ]] || {
		echo "$output"
		return 1
	}
	stop "$apache_pid"
	within 10 sockets_closed
	audit_is_clean 6
}
