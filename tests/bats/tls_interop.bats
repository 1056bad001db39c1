#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Other people's TLS on both sides of the gate: clients and servers of GnuTLS and NSS, nginx and
# HAProxy as backends, curl in front.

load helpers
source "$BATS_TEST_DIRNAME/tls.bash"

EC="-algorithm ec -pkeyopt ec_paramgen_curve:P-256"

# says NAME COMMAND...: a client that hears what it says, and is ended then: not all of them end
# when they have said all, and some end at once when their input does, which the sleep keeps open
says() {
	local name=$1 pid=$1_pid
	shift
	# shellcheck disable=SC2016 # expands in the inner shell
	start "$name" client timeout 20 sh -c '{ echo hello from "$0"; exec sleep 20; } | exec "$@"' "$name" "$@"
	within 10 eval 'grep -q "^hello from $name" "$DIR/$name.log" || gone "${!pid}"'
	stop "${!pid}"
	grep -q "^hello from $name" "$DIR/$name.log" || {
		cat "$DIR/$name.log"
		tail -n 3 "$DIR/proxy.log"
		return 1
	}
}

# gnutls NAME PRIORITY OPTION...; nss NAME VERSION OPTION...
gnutls() {
	local name=$1 priority=$2
	shift 2
	says "$name" gnutls-cli --x509cafile "$DIR/root.pem" --sni-hostname app.example.org --verify-hostname app.example.org \
		--priority "$priority" -p 8443 "$@" 192.0.2.2
}
nss() {
	local name=$1 version=$2
	shift 2
	says "$name" tstclnt -h 192.0.2.2 -p 8443 -a app.example.org -d "sql:$DIR/nss" -V "$version:$version" -s "$@"
}

# make_nss [NAME...]: a database that has those certificates, and trusts root.pem
make_nss() {
	rm -rf "$DIR/nss"
	mkdir "$DIR/nss"
	certutil -N -d "sql:$DIR/nss" --empty-password
	certutil -A -d "sql:$DIR/nss" -n root -t CT,, -i "$DIR/root.pem"
	local name
	for name in "$@"; do
		openssl pkcs12 -export -in "$DIR/$name.pem" -inkey "$DIR/$name.key" -name "$name" -passout pass: -out "$DIR/$name.p12"
		pk12util -i "$DIR/$name.p12" -d "sql:$DIR/nss" -W "" >/dev/null
	done
}

@test "clients of GnuTLS: 1.2, 1.3, each key, ALPN, resumption, a certificate of their own" {
	start_tls
	gnutls g12 NORMAL:-VERS-ALL:+VERS-TLS1.2
	gnutls g13 NORMAL:-VERS-ALL:+VERS-TLS1.3
	gnutls chacha "NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305"
	gnutls p384 NORMAL:-GROUP-ALL:+GROUP-SECP384R1
	gnutls rsa NORMAL:-VERS-ALL:+VERS-TLS1.2:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256
	grep -q "RSA" "$DIR/rsa.log"
	gnutls alpn NORMAL --alpn h2 --alpn http/1.1
	grep -q "Application protocol: h2" "$DIR/alpn.log"
	gnutls again NORMAL:-VERS-ALL:+VERS-TLS1.2 --resume
	grep -q "This is a resumed session" "$DIR/again.log"
	within 5 eval '[ "$(page tollgate_tls_groups_total "group=\"secp384r1\"")" = 1 ]'
	within 5 eval '[ "$(page tollgate_tls_ciphers_total "cipher=\"chacha20_poly1305\"")" = 1 ]'
	stop "$proxy_pid"
	issue me "$EC" "DNS:me.example.org"
	start_proxy < <(web "" "sni: [app.example.org], tls: terminate, client_certificates: { ca: $DIR/root.pem }")
	gnutls own NORMAL --x509certfile "$DIR/me.pem" --x509keyfile "$DIR/me.key"
	! gnutls none NORMAL >/dev/null || false
	within 5 refused_is client_certificate_missing 1
	within 10 sockets_closed
	audit_is_clean 5
}

@test "clients of NSS: 1.2, 1.3, a certificate of their own" {
	make_nss app rsa
	start_tls
	nss n12 tls1.2
	nss n13 tls1.3
	stop "$proxy_pid"
	start_proxy < <(web "" "sni: [app.example.org], tls: terminate, client_certificates: { ca: $DIR/root.pem }")
	nss own tls1.3 -n app
	nss own12 tls1.2 -n rsa
	make_nss
	! nss none tls1.3 >/dev/null || false
	within 5 refused_is client_certificate_missing 1
	within 10 sockets_closed
	audit_is_clean 5
}

# behind NAME COMMAND...: that server at 198.51.100.1:3000, verified, asked by curl in 1.2 and 1.3
behind() {
	local name=$1 version
	shift
	start "$name" backend env LD_LIBRARY_PATH="$ROOT/build/tools/usr/lib/x86_64-linux-gnu" "$@"
	within 10 listening backend 3000 || {
		cat "$DIR/$name.log"
		return 1
	}
	for version in 1.2 1.3; do
		at client curl -sS --max-time 10 --http1.1 --cacert "$DIR/root.pem" --tls-max "$version" "--tlsv$version" \
			--resolve app.example.org:8443:192.0.2.2 https://app.example.org:8443/ -o "$DIR/$name.page" || {
			tail -n 3 "$DIR/proxy.log" "$DIR/$name.log"
			return 1
		}
		grep -q "$answer" "$DIR/$name.page" || {
			cat "$DIR/$name.page"
			return 1
		}
	done
	local pid=${name}_pid
	stop "${!pid}"
}

@test "backends: nginx that asks for our certificate, HAProxy, GnuTLS, NSS and OpenSSL" {
	make_nss rsa
	issue gate "$EC" "DNS:gate.example.org"
	start_proxy < <(web "" "sni: [app.example.org], tls: reencrypt,
		backend_tls: { ca: $DIR/root.pem, certificate: $DIR/gate.pem, key: $DIR/gate.key }")
	start_exporter
	local answer
	cat "$DIR/rsa.pem" "$DIR/rsa.key" >"$DIR/both.pem"
	mkdir "$DIR/nginx"
	cat >"$DIR/nginx/conf" <<-N
		daemon off; master_process off; pid $DIR/nginx/pid; error_log stderr;
		events { }
		http {
			access_log off;
			client_body_temp_path $DIR/nginx; proxy_temp_path $DIR/nginx; fastcgi_temp_path $DIR/nginx;
			uwsgi_temp_path $DIR/nginx; scgi_temp_path $DIR/nginx;
			server {
				listen 198.51.100.1:3000 ssl;
				ssl_certificate $DIR/app.pem; ssl_certificate_key $DIR/app.key;
				ssl_protocols TLSv1.2 TLSv1.3;
				ssl_client_certificate $DIR/root.pem; ssl_verify_client on; ssl_verify_depth 3;
				location / { return 200 "nginx knows \$ssl_client_s_dn by \$ssl_protocol\n"; }
			}
		}
	N
	answer="nginx knows CN=gate by TLSv1.3"
	behind nginx "$ROOT/build/tools/usr/sbin/nginx" -c "$DIR/nginx/conf" -p "$DIR/nginx"
	cat >"$DIR/haproxy.cfg" <<-H
		defaults
			mode http
			timeout client 10s
			timeout server 10s
			timeout connect 10s
		frontend f
			bind 198.51.100.1:3000 ssl crt $DIR/both.pem ssl-max-ver TLSv1.2
			http-request return status 200 content-type text/plain lf-string "haproxy by %[ssl_fc_protocol]"
	H
	answer="haproxy by TLSv1.2"
	behind haproxy "$ROOT/build/tools/usr/sbin/haproxy" -f "$DIR/haproxy.cfg"
	answer="Protocol version:"
	behind gnutls gnutls-serv --http -p 3000 --x509certfile "$DIR/app.pem" --x509keyfile "$DIR/app.key"
	answer="200 OK\|GET / HTTP\|EOF"
	behind nss selfserv -d "sql:$DIR/nss" -p 3000 -n rsa -V tls1.2:tls1.3
	answer="s_server"
	behind openssl openssl s_server -accept 198.51.100.1:3000 -cert "$DIR/rsa.pem" -key "$DIR/rsa.key" -cert_chain "$DIR/issuer.pem" -www
	within 10 sockets_closed
	equal 10 "$(fresh_scrape | metric tollgate_tls_connections_total 'listener="web"' 'leg="upstream"')" "to backends, each once"
	audit_is_clean 5
}
