#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# TLS that ends at the gate: certificates, sessions, endings, and every byte of it.

load helpers
source "$BATS_TEST_DIRNAME/tls.bash"

@test "versions, keys and names: each client gets the certificate that it asked for" {
	start_tls
	local version
	for version in 2 3; do
		s_client -servername app.example.org "-tls1_$version" -verify_return_error >"$DIR/out"
		grep -q "Verification: OK" "$DIR/out"
		grep -q "New, TLSv1.$version" "$DIR/out"
	done
	s_client -servername app.example.org -sigalgs rsa_pss_rsae_sha256 -tls1_3 | grep -q "CN = rsa"
	s_client -servername app.example.org -sigalgs ecdsa_secp256r1_sha256 -tls1_3 | grep -q "CN = app"
	s_client -servername a.wild.example.org | grep -q "CN = wild"
	# two labels are not below a wildcard, and a route without a certificate is nobody's
	s_client -servername nobody.example.org >"$DIR/out" || :
	grep -q "unrecognized name" "$DIR/out"
	within 5 refused_is tls_unknown_name 1
	# the route asks for 1.3
	s_client -servername a.wild.example.org -tls1_2 >"$DIR/out" || :
	grep -q "alert protocol version" "$DIR/out"
	within 5 refused_is tls_nothing_shared 1
	# the first of the route's that the client offers
	s_client -servername app.example.org -alpn foo,echo,h2 | grep -q "ALPN protocol: h2"
	s_client -servername app.example.org -alpn foo | grep -q "No ALPN negotiated"
}

@test "curl gets an answer from a server behind the gate that speaks no TLS, by 1.2 and 1.3" {
	start_tls
	stop "$echo_pid"
	start web backend sh -c 'for i in 1 2; do printf "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n" | nc.openbsd -N -l 198.51.100.1 3000 >/dev/null; done'
	local version
	for version in 1.2 1.3; do
		within 10 listening backend 3000
		equal hello "$(at client curl -fsS --max-time 10 --http1.1 --cacert "$DIR/root.pem" --tls-max "$version" "--tlsv$version" \
			--resolve app.example.org:8443:192.0.2.2 https://app.example.org:8443/)" "answer by $version"
	done
}

@test "terminated and passed through on one listener: who is passed through sees the backend's own certificate" {
	start_tls
	start server backend openssl s_server -accept 198.51.100.1:3001 -cert "$DIR/wild.pem" -key "$DIR/wild.key" -quiet
	within 10 listening backend 3001
	s_client -servername other.example.org | grep -q "CN = wild"
	s_client -servername app.example.org | grep -q "CN = app"
}

@test "2,000 connections of every ending: payload = app + handshake + records, to the byte, each way" {
	start_tls
	local version each=$((${TLS_CONNECTIONS:-2000} / 10 * 5))
	for version in 1.2 1.3; do
		clients "all$version" --connections $each --parallel 8 --ending all --version "$version" --bytes 60000 --seed 7
	done
	within 20 sockets_closed
	audit_is_clean 5
	for ending in close half cut reset garbage; do
		equal $((each * 2 / 5)) $(($(sums all1.2 $ending) + $(sums all1.3 $ending))) "ended by $ending"
	done
	equal $((each * 2)) "$(page tollgate_tls_connections_total)" connections
	equal $((each * 2 / 5)) "$(page tollgate_ended_total 'reason="tls_truncated"')" truncated
	equal $((each * 2 / 5)) "$(page tollgate_ended_total 'reason="tls_error"')" garbage
	equal $each "$(page tollgate_tls_handshakes_total 'version="1.2"')" "handshakes of 1.2"
	equal $each "$(page tollgate_tls_handshakes_total 'version="1.3"')" "handshakes of 1.3"
	# of some milliseconds each
	equal $((each * 2)) "$(page tollgate_tls_handshake_seconds_count)" "handshakes that were timed"
	local seconds
	seconds=$(page tollgate_tls_handshake_seconds_sum)
	[ "$seconds" -gt 0 ]
	[ "$seconds" -lt $((each / 5)) ]
}

@test "what clients measured of application and socket is what the gate has counted" {
	start_tls
	clients clean --connections 300 --parallel 8 --ending half --bytes 200000 --seed 5
	clients close --connections 300 --parallel 8 --ending close --bytes 200000 --seed 6
	within 20 sockets_closed
	local sum
	sum() { echo $(($(sums clean "$1") + $(sums close "$1"))); }
	equal "$(sum app_tx)" "$(page tollgate_app_bytes_total 'direction="rx"')" "said by clients"
	equal "$(sum app_rx)" "$(page tollgate_app_bytes_total 'direction="tx"')" "heard by clients"
	equal "$(sum socket_tx)" "$(page tollgate_tls_payload_bytes_total 'direction="rx"')" "their sockets' tx"
	equal "$(sum socket_rx)" "$(page tollgate_tls_payload_bytes_total 'direction="tx"')" "their sockets' rx"
	equal "$(sum socket_tx)" "$(page tollgate_proxy_payload_bytes_total 'direction="rx"')" "payload rx"
	equal "$(sum app_tx)" "$(fresh_scrape | metric tollgate_proxy_payload_bytes_total 'listener="web"' 'leg="upstream"' \
		'direction="tx"')" "what the backend got"
	equal 0 "$(page tollgate_tls_partial_bytes_total)" partial
	audit_is_clean 5
	# the first of them expires in 90 days
	local days=$((($(page tollgate_tls_certificate_expiry_timestamp_seconds) - $(date +%s)) / 86400))
	[ "$days" = 89 ] || [ "$days" = 90 ]
	at gate curl -fsS "http://127.0.0.1:9980/records?last=2000" | jq -e 'map(select(.book == "proxy")) | length > 100 and
		all(.tls_used == "1.3" and .tls_resumed == false and .backend_tls_used == null and
		.tls_cipher == "TLS_AES_256_GCM_SHA384" and .tls_group == "x25519" and .tls_alpn == null)'
	equal 600 "$(page tollgate_tls_ciphers_total 'cipher="aes_256_gcm"')" ciphers
	equal 600 "$(page tollgate_tls_groups_total 'group="x25519"')" groups
	equal 600 "$(page tollgate_tls_alerts_total 'direction="rx"' 'alert="close_notify"')" "close_notify of clients"
}

@test "sessions are resumed by tickets: by either worker, after a reload, and not with another route" {
	start_tls "workers: 2"
	clients first --connections 40 --parallel 1 --ending close --bytes 100 --resume
	# a ticket is good for one connection (RFC 8446 C.4), and each brings another
	equal 39 "$(sums first resumed)" resumed
	kill -HUP "$proxy_pid"
	within 10 grep -q "read again" "$DIR/proxy.log"
	clients second --connections 40 --parallel 1 --ending close --bytes 100 --resume --version 1.2
	equal 39 "$(sums second resumed)" "resumed by 1.2"
	within 10 sockets_closed
	equal 78 "$(page tollgate_tls_handshakes_resumed_total)" "resumed, as counted"
	# kept over a reload
	s_client -servername app.example.org -sess_out "$DIR/session" -tls1_2 >/dev/null
	kill -HUP "$proxy_pid"
	within 10 eval '[ "$(grep -c "read again" "$DIR/proxy.log")" = 2 ]'
	s_client -servername app.example.org -sess_in "$DIR/session" -tls1_2 | grep -q "^Reused"
	s_client -servername app.example.org -sess_in "$DIR/session" -tls1_2 -alpn h2 | grep -q "^New"
}

@test "ticket keys of a fleet: another gate resumes the session, and the key before still opens its own" {
	openssl rand 80 >"$DIR/first"
	openssl rand 80 >"$DIR/second"
	chmod 600 "$DIR/first" "$DIR/second"
	start_tls "ticket_keys: [$DIR/first]"
	s_client -servername app.example.org -sess_out "$DIR/session" -tls1_2 | grep -q "^New"
	# another gate, which was never told of it, but for the file; after a rotation
	stop "$proxy_pid"
	sed -i "s#ticket_keys: .*#ticket_keys: [$DIR/second, $DIR/first]#" "$DIR/gate.yaml"
	cp "$DIR/gate.yaml" "$DIR/other.yaml"
	start_proxy <"$DIR/other.yaml"
	s_client -servername app.example.org -sess_in "$DIR/session" -tls1_2 -msg >"$DIR/out"
	grep -q "^Reused" "$DIR/out"
	grep -q "<<<.*NewSessionTicket" "$DIR/out" # by the key that is the first now
	s_client -servername app.example.org -sess_out "$DIR/newer" -tls1_2 | grep -q "^New"
	sed -i "s#ticket_keys: .*#ticket_keys: [$DIR/second]#" "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 10 grep -q "read again" "$DIR/proxy.log"
	s_client -servername app.example.org -sess_in "$DIR/session" -tls1_2 | grep -q "^New"
	s_client -servername app.example.org -sess_in "$DIR/newer" -tls1_2 | grep -q "^Reused"
	# replaced in its place
	openssl rand 80 >"$DIR/second"
	within 5 grep -q "certificates and files read again" "$DIR/proxy.log"
	s_client -servername app.example.org -sess_in "$DIR/newer" -tls1_2 | grep -q "^New"
	echo short >"$DIR/second"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"ticket_keys: $DIR/second: has 6 bytes, not 80"* ]]
}

# start_reencrypt BACKEND-TLS [CERTIFICATE [CA]]: to an echo that has a certificate of the test
start_reencrypt() {
	start_proxy < <(web "" "sni: [app.example.org], tls: reencrypt, $1")
	start_exporter
	start_echo "$DIR/${2:-rsa}.pem" "$DIR/${2:-rsa}.key" ${3:+"$3"}
}

@test "re-encrypted to a backend whose certificate is verified: every byte of both legs, sessions reused" {
	start_reencrypt "send_proxy: none, backend_tls: { ca: $DIR/root.pem }"
	local version each=$((${TLS_CONNECTIONS:-1000} / 10 * 5))
	for version in 1.2 1.3; do
		clients "all$version" --connections $each --parallel 8 --ending all --version "$version" --bytes 60000 --seed 9
	done
	within 20 sockets_closed
	audit_is_clean 5
	[ "$(grep -c resumed "$DIR/echo.log")" -gt $each ]
	at gate curl -fsS "http://127.0.0.1:9980/records?last=2000" | jq -e 'map(select(.reason == "done")) | length > 100 and
		all(.backend_tls_used == "1.3" and .tls_used != null)' || {
		at gate curl -fsS "http://127.0.0.1:9980/records?last=2000" | jq -c 'map(select(.reason == "done" and .backend_tls_used != "1.3")) | .[0]'
		return 1
	}
	equal $((each * 2)) "$(page tollgate_tls_connections_total)" "connections of clients"
	equal $((each * 2)) "$(fresh_scrape | metric tollgate_tls_connections_total 'listener="web"' 'leg="upstream"')" "to the backend"
	# what the backend said has gone on, but for what a reset threw away
	local said gone lost
	fresh_scrape >"$DIR/page"
	said=$(metric tollgate_app_bytes_total 'listener="web"' 'leg="upstream"' 'direction="rx"' <"$DIR/page")
	gone=$(metric tollgate_app_bytes_total 'listener="web"' 'leg="downstream"' 'direction="tx"' <"$DIR/page")
	lost=$(metric tollgate_proxy_undelivered_bytes_total 'listener="web"' 'leg="upstream"' <"$DIR/page")
	echo "# said $said, gone on $gone, undelivered $lost" >&3
	[ "$gone" -le "$said" ]
	[ $((said - gone)) -le "$lost" ]
}

@test "a backend that is not trusted is refused by that name, and a client certificate is shown where it is asked for" {
	start_reencrypt "backend_tls: { name: other.example.org, ca: $DIR/root.pem }"
	! clients one --connections 1 || false
	within 5 refused_is backend_not_trusted 1
	grep -q "198.51.100.1:3000: its certificate is not trusted: hostname mismatch" "$DIR/proxy.log"
	stop "$proxy_pid"
	stop "$echo_pid"
	stop "$exporter_pid"
	# nobody vouches for it
	start_reencrypt "send_proxy: none"
	! clients two --connections 1 || false
	within 5 refused_is backend_not_trusted 2
	stop "$proxy_pid"
	stop "$echo_pid"
	stop "$exporter_pid"
	# it asks who we are
	issue gate "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:gate.example.org"
	start_reencrypt "backend_tls: { ca: $DIR/root.pem, certificate: $DIR/gate.pem, key: $DIR/gate.key }" rsa "$DIR/root.pem"
	clients three --connections 20 --bytes 2000
	# a backend that speaks no TLS
	stop "$echo_pid"
	start_echo
	! clients four --connections 1 || false
	within 5 refused_is backend_tls_failed 1
	within 10 sockets_closed
	audit_is_clean 5
}

@test "health checks of type tls: who is not trusted is down, and up again when its certificate is right" {
	issue other "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:other.example.org"
	cp "$DIR/app.pem" "$DIR/backend.pem"
	cp "$DIR/app.key" "$DIR/backend.key"
	start_reencrypt "health: { type: tls, interval: 200ms, timeout: 5s, rise: 1, fall: 1 }, send_proxy: none,
		backend_tls: { name: app.example.org, ca: $DIR/root.pem }" backend
	up() { [ "$(fresh_scrape | metric tollgate_backend_up 'listener="web"')" = "$1" ]; }
	within 10 eval '[ "$(fresh_scrape | metric tollgate_backend_checks_passed_total)" -ge 3 ]'
	up 1
	stop "$echo_pid"
	start_echo "$DIR/other.pem" "$DIR/other.key"
	within 10 up 0
	within 10 grep -q "its check failed: hostname mismatch" "$DIR/proxy.log"
	stop "$echo_pid"
	start_echo # which speaks no TLS
	within 10 grep -q "its check failed: [^h]" "$DIR/proxy.log"
	up 0
	stop "$echo_pid"
	start_echo "$DIR/backend.pem" "$DIR/backend.key"
	within 10 up 1
	clients one --connections 1
	within 10 sockets_closed
	audit_is_clean 5
}

@test "client certificates: asked for by the route, refused under reasons of their own, and not for long after their issuer is gone" {
	asks() { web "" "sni: [app.example.org], tls: terminate, client_certificates: $1"; }
	asks "{ ca: $DIR/trusted.pem }" >"$DIR/asks.yaml"
	cp "$DIR/root.pem" "$DIR/trusted.pem"
	issue me "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:me.example.org"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=stranger \
		-keyout "$DIR/stranger.key" -out "$DIR/stranger.pem" 2>/dev/null
	start_proxy <"$DIR/asks.yaml"
	start_exporter
	start_echo
	talks() { # VERSION [OPTION...]: it gets to the backend and back
		local version=$1
		shift
		rm -f "$DIR/s_client"
		{
			echo hello
			within 5 grep -Eq "^hello|alert" "$DIR/s_client"
		} | timeout 10 nsenter --net="/proc/$client/ns/net" openssl s_client -connect 192.0.2.2:8443 "-$version" \
			-servername app.example.org -CAfile "$DIR/root.pem" "$@" >"$DIR/s_client" 2>&1
		grep -q "^hello" "$DIR/s_client"
	}
	shows() { # VERSION NAME [OPTION...]
		local version=$1 name=$2
		shift 2
		talks "$version" -cert "$DIR/$name.pem" -cert_chain "$DIR/$name.pem" -key "$DIR/$name.key" "$@"
	}
	shows tls1_2 me -sess_out "$DIR/session"
	grep -q "lifetime hint: 7200 (seconds)" "$DIR/s_client"
	grep -q "CN = root" "$DIR/s_client" # whom we would trust is said
	shows tls1_3 me
	within 5 eval 'at gate curl -fsS "http://127.0.0.1:9980/records?book=proxy" | jq -e "map(select(.tls_client == \"me\")) | length == 2"'
	! shows tls1_2 stranger || false
	! shows tls1_3 stranger || false
	within 5 refused_is client_not_trusted 2
	grep -q "listener 'web', route 'app': a client's certificate is not trusted: self" "$DIR/proxy.log"
	s_client -servername app.example.org >/dev/null || :
	s_client -servername app.example.org -tls1_2 >/dev/null || :
	within 5 refused_is client_certificate_missing 2
	# what a backend is told (PROXY protocol 2.2.6): TLS, a certificate, verified, version, common name
	sed 's/routes:/&\n      - { name: tell, priority: 1, from: [192.0.2.0\/24], sni: [app.example.org], alpn: [tell], tls: terminate, client_certificates: { ca: '"${DIR//\//\\/}"'\/trusted.pem }, send_proxy: v2-tlvs, backends: ["198.51.100.1:3002"] }/' \
		"$DIR/asks.yaml" >"$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 10 grep -q "read again" "$DIR/proxy.log"
	start raw backend nc.openbsd -lN 198.51.100.1 3002
	within 10 listening backend 3002
	! shows tls1_3 me -alpn tell || false
	[[ $(od -An -v -tx1 "$DIR/raw.log" | tr -d ' \n') == *20????0700000000210007544c5376312e332200026d6523* ]]
	cp "$DIR/asks.yaml" "$DIR/gate.yaml"
	# a session is resumed without a word, until somebody else is trusted
	s_client -servername app.example.org -sess_in "$DIR/session" -tls1_2 | grep -q "^Reused"
	cp "$DIR/stranger.pem" "$DIR/trusted.pem"
	within 10 grep -q "certificates and files read again" "$DIR/proxy.log"
	shows tls1_3 stranger
	! s_client -servername app.example.org -sess_in "$DIR/session" -tls1_2 | grep -q "^Reused" || false
	within 5 refused_is client_certificate_missing 3
	# who needs none
	asks "{ ca: $DIR/trusted.pem, optional: true }" >"$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 10 talks tls1_3
	! shows tls1_3 me || false
	within 5 refused_is client_not_trusted 3
	within 10 sockets_closed
	audit_is_clean 5
	# a file that is wrong is named, and so is a route that cannot ask
	echo nothing >"$DIR/trusted.pem"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"route 'app', client_certificates: $DIR/trusted.pem: no certificate is in it"* ]]
	sed -i 's/tls: terminate/tls: passthrough/' "$DIR/gate.yaml"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"client_certificates: is for routes whose TLS ends here"* ]]
}

@test "of a client without a name the backend is verified by its address, and not resumed under another name" {
	issue address "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:app.example.org,IP:198.51.100.1"
	nameless() { # CERTIFICATE: of the backend
		start_proxy < <(web ", default: true" "sni: ['*'], tls: reencrypt, backend_tls: { ca: $DIR/root.pem }")
		start_echo "$DIR/$1.pem" "$DIR/$1.key"
	}
	asks() { printf hello | timeout 2 nsenter --net="/proc/$client/ns/net" openssl s_client -quiet -connect 192.0.2.2:8443 "$@" 2>/dev/null; }
	nameless address
	equal hello "$(asks -noservername)" "by its address"
	equal hello "$(asks -servername app.example.org)" "by a name it has"
	# there is a session by now, which was not verified for this name
	equal "" "$(asks -servername other.example.org)" "by a name it has not"
	within 5 refused_is backend_not_trusted 1
	stop "$proxy_pid"
	stop "$echo_pid"
	nameless rsa # which has no address
	equal "" "$(asks -noservername)" "without its address"
	within 5 refused_is backend_not_trusted 2
}

@test "a certificate that is replaced 20 times under load: no handshake fails, and the new one is served" {
	start_tls
	start busy client timeout 60 "$SECURE" load 192.0.2.2:8443 --name app.example.org --ca "$DIR/root.pem" \
		--connections 3000 --parallel 4 --bytes 500
	local n
	for ((n = 1; n <= 20; n++)); do
		issue "new$n" "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:app.example.org"
		cp "$DIR/new$n.key" "$DIR/app.key"
		cp "$DIR/new$n.pem" "$DIR/app.pem"
		kill -HUP "$proxy_pid"
		within 5 eval 's_client -servername app.example.org -sigalgs ecdsa_secp256r1_sha256 | grep -q "CN = new$n$"'
	done
	wait "$busy_pid" || {
		cat "$DIR/busy.log"
		return 1
	}
	within 20 sockets_closed
	audit_is_clean 5
}

@test "a renewed certificate is served without a word to the gate, and a configuration that nobody gave it is not" {
	start_tls
	served() { s_client -servername app.example.org -sigalgs ecdsa_secp256r1_sha256 | grep -q "CN = $1$"; }
	served app
	# an edit that is not to be in force yet
	sed -i 's/name: bare,/name: other-name,/' "$DIR/gate.yaml"
	issue renewed "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:app.example.org"
	cp "$DIR/renewed.key" "$DIR/app.key" # for a moment it does not fit
	cp "$DIR/renewed.pem" "$DIR/app.pem"
	within 5 served renewed
	grep -q "certificates and files read again" "$DIR/proxy.log"
	! tollgate status --json | grep -q other-name || false
	equal 0 "$(fresh_scrape | grep -c 'route="other-name"' || :)" "rows of what is not in force"
	# replaced, as a renewal does it
	issue again "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:app.example.org"
	mv "$DIR/again.key" "$DIR/app.key"
	mv "$DIR/again.pem" "$DIR/app.pem"
	within 5 served again
	# behind a link that is replaced, as secrets that are mounted are: no file changes its name
	mkdir "$DIR/v1" "$DIR/v2"
	mv "$DIR/app.pem" "$DIR/app.key" "$DIR/v1"
	ln -s v1 "$DIR/..data"
	ln -s ..data/app.pem "$DIR/app.pem"
	ln -s ..data/app.key "$DIR/app.key"
	issue mounted "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:app.example.org"
	mv "$DIR/mounted.key" "$DIR/v2/app.key"
	mv "$DIR/mounted.pem" "$DIR/v2/app.pem"
	ln -s v2 "$DIR/..next"
	mv -T "$DIR/..next" "$DIR/..data"
	within 5 served mounted
	kill -HUP "$proxy_pid"
	within 5 eval 'fresh_scrape | grep -q "route=\"other-name\""'
}

@test "a file that is wrong is named, and what was served before is served" {
	start_tls
	reload_fails() { # SENTENCE
		local before
		before=$(grep -c "not changed" "$DIR/proxy.log" || :)
		kill -HUP "$proxy_pid"
		within 10 eval '[ "$(grep -c "not changed" "$DIR/proxy.log")" -gt '"$before"' ]'
		grep -q "$1" "$DIR/proxy.log" || {
			tail -n 3 "$DIR/proxy.log"
			return 1
		}
		run -1 tollgate_check
		[[ $output == *"$1"* ]]
		s_client -servername app.example.org | grep -q "CN = app"
	}
	tollgate_check() { "$BIN/tollgate" check "$DIR/gate.yaml"; }
	cp "$DIR/app.pem" "$DIR/app.good"
	cp "$DIR/app.key" "$DIR/key.good"
	cp "$DIR/wild.key" "$DIR/app.key"
	reload_fails "app.key: is not the key of $DIR/app.pem"
	echo nothing >"$DIR/app.key"
	reload_fails "app.key: no private key"
	cp "$DIR/key.good" "$DIR/app.key"
	cat "$DIR/app.leaf" "$DIR/root.pem" "$DIR/issuer.pem" >"$DIR/app.pem"
	reload_fails "app.pem: certificate 2 is not of the issuer of number 1"
	echo nothing >"$DIR/app.pem"
	reload_fails "app.pem: no certificate is in it"
	rm "$DIR/app.pem"
	reload_fails "app.pem: cannot be read: No such file"
	cp "$DIR/app.good" "$DIR/app.pem"
	# legal, and surely wrong
	issue short "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:app.example.org" 3
	cp "$DIR/short.pem" "$DIR/app.pem"
	cp "$DIR/short.key" "$DIR/app.key"
	chmod 644 "$DIR/app.key"
	run -0 tollgate_check
	[[ $output == *"app.pem: expires in "[23]" days"* && $output == *"others may read this key (mode 644)"* ]]
	[[ $output == *"nobody.example.org: route 'wild' terminates TLS for it"* ]]
}

@test "a directory of certificates: of every layout, and what comes into it or is renewed there is served" {
	mkdir -p "$DIR/all/app.example.org" "$DIR/all/empty"
	cp "$DIR/app.pem" "$DIR/all/app.example.org/fullchain.pem"
	cp "$DIR/app.key" "$DIR/all/app.example.org/privkey.pem"
	cp "$DIR/wild.pem" "$DIR/all/wild.crt"
	cp "$DIR/wild.key" "$DIR/all/wild.key"
	echo "not mine" >"$DIR/all/README"
	web "" "sni: ['*'], tls: terminate" | sed "s#{ certificate: .*}#{ directory: $DIR/all }#" >"$DIR/all.yaml"
	start_proxy <"$DIR/all.yaml"
	served() { s_client -servername "$1" | grep -q "CN = $2$"; }
	served app.example.org app
	served a.wild.example.org wild
	# a file with both, and a folder that is filled step by step
	issue both "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:both.example.org"
	cat "$DIR/both.pem" "$DIR/both.key" >"$DIR/all/both.pem"
	within 5 served both.example.org both
	mkdir "$DIR/all/late"
	within 5 grep -q "certificates and files read again" "$DIR/proxy.log"
	issue late "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:late.example.org"
	cp "$DIR/late.pem" "$DIR/all/late/fullchain.pem"
	cp "$DIR/late.key" "$DIR/all/late/privkey.pem"
	within 5 served late.example.org late
	# renewed there, in place
	issue renewed "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:app.example.org"
	cp "$DIR/renewed.key" "$DIR/all/app.example.org/privkey.pem"
	cp "$DIR/renewed.pem" "$DIR/all/app.example.org/fullchain.pem"
	within 5 served app.example.org renewed
	rm "$DIR/all/both.pem"
	within 5 eval '! served both.example.org both'
	cp "$DIR/app.key" "$DIR/all/wild.key"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"$DIR/all/wild.key: is not the key of $DIR/all/wild.crt"* ]]
	served a.wild.example.org wild
	sed -i "s#$DIR/all }#$DIR/none }#" "$DIR/gate.yaml"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"$DIR/none: cannot be read: No such file"* ]]
}

# authority: what the issuer knows of its certificates: of those named it has revoked
authority() {
	local name status
	: >"$DIR/index"
	for name in app me you; do
		status=V$'\t'401231000000Z$'\t'
		[[ " $* " != *" $name "* ]] || status=R$'\t'401231000000Z$'\t'250101000000Z
		[ ! -e "$DIR/$name.leaf" ] ||
			printf '%s\t%s\tunknown\t/CN=%s\n' "$status" "$(openssl x509 -noout -serial -in "$DIR/$name.leaf" | cut -d= -f2)" \
				"$name" >>"$DIR/index"
	done
	printf 'unique_subject = no\n' >"$DIR/index.attr"
	printf '[ca]\ndefault_ca = it\n[it]\ndatabase = %s\ndefault_md = sha256\n' "$DIR/index" >"$DIR/ca.cnf"
}
# staple FILE [DAYS]: what it says of app
staple() {
	openssl ocsp -issuer "$DIR/issuer.pem" -cert "$DIR/app.leaf" -reqout "$DIR/request" 2>/dev/null
	openssl ocsp -index "$DIR/index" -CA "$DIR/issuer.pem" -rsigner "$DIR/issuer.pem" -rkey "$DIR/issuer.key" \
		-reqin "$DIR/request" -respout "$1" -ndays "${2:-7}" >/dev/null 2>&1
}

@test "an OCSP response that is stapled: sent to who asks, with its certificate only, renewed, and wrong ones named" {
	authority
	staple "$DIR/app.ocsp"
	start_tls
	sed -i "s#key: $DIR/app.key }#key: $DIR/app.key, staple: $DIR/app.ocsp }#" "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	asks() { s_client -servername app.example.org -status "$@" >"$DIR/asked" && grep -q "$says" "$DIR/asked"; }
	local says="Cert Status: good"
	within 10 asks
	asks -tls1_2
	says="OCSP response: no response sent"
	asks -sigalgs rsa_pss_rsae_sha256
	authority app
	staple "$DIR/app.ocsp"
	says="Cert Status: revoked"
	within 5 asks
	run -0 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"app.ocsp: says that $DIR/app.pem is revoked"* ]]
	sed -i "s#$DIR/app.ocsp#$DIR/app.pem#" "$DIR/gate.yaml"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"app.pem: is no OCSP response in DER"* ]]
	sed -i "s#$DIR/app.pem, key: $DIR/app.key, staple: $DIR/app.pem#$DIR/wild.pem, key: $DIR/wild.key, staple: $DIR/app.ocsp#" \
		"$DIR/gate.yaml"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"app.ocsp: says nothing of $DIR/wild.pem"* ]]
	# one whose signature is another's
	authority
	staple "$DIR/good.ocsp"
	sig() { openssl ocsp -respin "$1" -noverify -text 2>/dev/null | sed -n '/Signature Value:/,/^Cert/p' | grep -oE '([0-9a-f]{2}:)+[0-9a-f]{2}' | tr -d ':\n'; }
	od -An -v -tx1 "$DIR/good.ocsp" | tr -d ' \n' | sed "s/$(sig "$DIR/good.ocsp" | cut -c9-40)/00112233445566778899aabbccddeeff/" | perl -pe '$_ = pack "H*", $_' >"$DIR/app.ocsp"
	! cmp -s "$DIR/good.ocsp" "$DIR/app.ocsp" || false
	sed -i "s#$DIR/wild.pem, key: $DIR/wild.key, staple#$DIR/app.pem, key: $DIR/app.key, staple#" "$DIR/gate.yaml"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"app.ocsp: its signature does not hold"* ]]
}

@test "client certificates that were revoked, and chains that are too long" {
	revokes() { # NAME...
		authority "$@"
		{
			openssl ca -gencrl -config "$DIR/ca.cnf" -cert "$DIR/issuer.pem" -keyfile "$DIR/issuer.key" -crldays 7
			: >"$DIR/index"
			openssl ca -gencrl -config "$DIR/ca.cnf" -cert "$DIR/root.pem" -keyfile "$DIR/root.key" -crldays 7
		} >"$DIR/new.crl" 2>"$DIR/crl.log"
		mv "$DIR/new.crl" "$DIR/crl"
	}
	issue me "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:me.example.org"
	issue you "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:you.example.org"
	revokes
	start_proxy < <(web "" "sni: [app.example.org], tls: terminate, client_certificates: { ca: $DIR/root.pem, crl: $DIR/crl }")
	start_echo
	shows() { # NAME: it gets to the backend and back
		at client "$SECURE" load 192.0.2.2:8443 --name app.example.org --ca "$DIR/root.pem" --connections 1 --bytes 100 \
			--certificate "$DIR/$1.pem" --key "$DIR/$1.key"
	}
	shows me
	shows you
	revokes me
	within 10 grep -q "certificates and files read again" "$DIR/proxy.log"
	! shows me || false
	shows you
	within 5 refused_is client_not_trusted 1
	grep -q "a client's certificate is not trusted: certificate revoked" "$DIR/proxy.log"
	# whoever is in ca is trusted as it is, though it be no root
	cp "$DIR/gate.yaml" "$DIR/by-root"
	for ca in "$DIR/issuer.pem" "$DIR/bundle"; do
		cat "$DIR/root.pem" "$DIR/issuer.pem" >"$DIR/bundle"
		sed "s#ca: $DIR/root.pem#ca: $ca#" "$DIR/by-root" >"$DIR/gate.yaml"
		kill -HUP "$proxy_pid"
		within 10 shows you
		! shows me || false
	done
	cp "$DIR/by-root" "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 5 refused_is client_not_trusted 3
	# of an issuer that has no list nobody is trusted
	sed -n '/BEGIN/,/END/p;/END/q' "$DIR/crl" >"$DIR/half"
	mv "$DIR/half" "$DIR/crl"
	within 10 eval '[ "$(grep -c "certificates and files read again" "$DIR/proxy.log")" = 2 ]'
	! shows you || false
	within 5 refused_is client_not_trusted 4
	sed -i "s#crl: $DIR/crl#depth: 0#" "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 10 eval '[ "$(grep -c "configuration.*read again" "$DIR/proxy.log")" = 4 ]'
	! shows you || false
	within 5 refused_is client_not_trusted 5
	sed -i "s#depth: 0#depth: 1#" "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 10 shows you
	sed -i "s#depth: 1#crl: $DIR/app.key#" "$DIR/gate.yaml"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"client_certificates: $DIR/app.key: no list of revoked certificates is in it"* ]]
}

@test "handshakes that break off or take too long have reasons of their own, and leave nothing" {
	start_tls "timeouts: { handshake: 500ms, hello: 500ms }"
	# a hello of a client that then says nothing, closes, or resets
	at client "$SECURE" hello 192.0.2.2:8443 --name app.example.org --ending cut
	within 5 refused_is tls_handshake_timeout 1
	at client "$SECURE" hello 192.0.2.2:8443 --name app.example.org --ending close
	within 5 refused_is closed_in_handshake 1
	at client "$SECURE" hello 192.0.2.2:8443 --name app.example.org --ending reset
	within 5 refused_is reset_in_handshake 1
	# a client that does not trust us says so
	timeout 10 nsenter --net="/proc/$client/ns/net" openssl s_client -connect 192.0.2.2:8443 -servername app.example.org \
		-verify_return_error </dev/null >/dev/null 2>&1 || :
	within 5 refused_is tls_alert_received 1
	within 10 sockets_closed
	audit_is_clean 5
}

@test "kill -9 of a gate that has TLS, and an upgrade beside it: what lives on lives on, and no byte is left over" {
	start_tls
	s_client -servername app.example.org -sess_out "$DIR/session" -tls1_2 >/dev/null
	start busy client timeout 60 "$SECURE" load 192.0.2.2:8443 --name app.example.org --ca "$DIR/root.pem" \
		--connections 600 --parallel 8 --bytes 300000
	within 10 eval '[ "$(page tollgate_tls_handshakes_total)" -gt 20 ]'
	succeed next
	within 10 is_ready next
	wait "$busy_pid" || { # those of the old process go on there
		cat "$DIR/busy.log" "$DIR/next.log"
		return 1
	}
	within 20 gone "$proxy_pid"
	within 20 sockets_closed
	audit_is_clean 5
	# a session of the old one is resumed by the new one
	s_client -servername app.example.org -sess_in "$DIR/session" -tls1_2 | grep -q "^Reused"
	start dying client timeout 60 "$SECURE" load 192.0.2.2:8443 --name app.example.org --ca "$DIR/root.pem" \
		--connections 100 --parallel 8 --bytes 3000000
	within 10 eval '[ "$(tollgate flows --json | jq length)" -ge 8 ]'
	stop "$next_pid" KILL
	wait "$dying_pid" || :
	within 20 sockets_closed
	audit_is_clean 5
}

@test "a start beside a gate whose successor was killed: what goes on there is not buried" {
	start_tls
	mkfifo "$DIR/says"
	# shellcheck disable=SC2016 # expands in the inner shell
	start long client timeout 60 sh -c 'exec openssl s_client -quiet -connect 192.0.2.2:8443 -servername app.example.org <"$0"' "$DIR/says"
	exec 8>"$DIR/says"
	echo once >&8
	within 10 grep -q once "$DIR/long.log"
	local old=$proxy_pid
	succeed next
	within 10 is_ready next
	stop "$next_pid" KILL
	cp "$DIR/gate.yaml" "$DIR/same.yaml"
	start_proxy <"$DIR/same.yaml"
	grep -q "another proxy of these books still has connections" "$DIR/proxy.log"
	echo again >&8
	within 10 grep -q again "$DIR/long.log"
	stop "$long_pid"
	within 10 gone "$old"
	clients more --connections 10 --bytes 1000
	within 10 sockets_closed
	audit_is_clean 5
	equal 11 "$(page tollgate_proxy_connections_closed_total)" "connections that have closed"
	equal 0 "$(page tollgate_ended_total 'reason="proxy_died"')" "of a proxy that died"
}
