#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2120 # what helpers.bash sets; what tests pass
# For tests of TLS that ends at the gate: certificates of an authority of the test's own,
# a gate that has them, its backend and its clients.

setup() {
	stage_up
	make_certificates
	load --device front --device back
}
teardown() { stage_down; }

SECURE=$BIN/tests/tools/secure
ECHO=$BIN/tests/tools/echo

# issue NAME KEY-OPTIONS NAMES [DAYS]: NAME.pem (with the issuer's) and NAME.key, of the test's own CA
issue() {
	local name=$1 names=$3
	# shellcheck disable=SC2086 # options are words
	openssl genpkey $2 -out "$DIR/$name.key" 2>/dev/null
	openssl req -new -key "$DIR/$name.key" -subj "/CN=$name" -out "$DIR/$name.csr"
	printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\n' "$names" >"$DIR/$name.ext"
	openssl x509 -req -in "$DIR/$name.csr" -CA "$DIR/issuer.pem" -CAkey "$DIR/issuer.key" -days "${4:-90}" \
		-extfile "$DIR/$name.ext" -out "$DIR/$name.leaf" 2>/dev/null
	cat "$DIR/$name.leaf" "$DIR/issuer.pem" >"$DIR/$name.pem"
}

make_certificates() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=root \
		-keyout "$DIR/root.key" -out "$DIR/root.pem" 2>/dev/null
	openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out "$DIR/issuer.key"
	openssl req -new -key "$DIR/issuer.key" -subj /CN=issuer -out "$DIR/issuer.csr"
	printf 'basicConstraints=critical,CA:TRUE\n' >"$DIR/issuer.ext"
	openssl x509 -req -in "$DIR/issuer.csr" -CA "$DIR/root.pem" -CAkey "$DIR/root.key" -days 90 \
		-extfile "$DIR/issuer.ext" -out "$DIR/issuer.pem" 2>/dev/null
	issue app "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:app.example.org"
	issue rsa "-algorithm rsa -pkeyopt rsa_keygen_bits:2048" "DNS:app.example.org"
	issue wild "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:*.wild.example.org"
}

# start_tls [LINE...]: app.example.org and *.wild.example.org end here, other.example.org does not
start_tls() {
	start_proxy < <(printf '%s\n' 'listeners:' \
		'  - name: web' \
		'    address: "192.0.2.2:8443"' \
		'    certificates:' \
		"      - { certificate: $DIR/app.pem, key: $DIR/app.key }" \
		"      - { certificate: $DIR/rsa.pem, key: $DIR/rsa.key }" \
		"      - { certificate: $DIR/wild.pem, key: $DIR/wild.key }" \
		'    routes:' \
		'      - { name: app, sni: [app.example.org], alpn: [h2, http/1.1, echo], tls: terminate, backends: ["198.51.100.1:3000"] }' \
		'      - { name: bare, sni: [app.example.org], tls: terminate, backends: ["198.51.100.1:3000"] }' \
		'      - { name: wild, sni: ["*.wild.example.org", nobody.example.org], tls: terminate, min_version: "1.3", backends: ["198.51.100.1:3000"] }' \
		'      - { name: pass, sni: [other.example.org], backends: ["198.51.100.1:3001"] }' "$@")
	start_exporter
	start_echo
}
# start_echo [CERTIFICATE KEY [CA]]: what a client says comes back
start_echo() {
	start echo backend "$ECHO" 198.51.100.1:3000 "$@"
	within 10 listening backend 3000
}
# web OPTIONS ROUTE: a configuration of one route, by the certificate of app.example.org
web() {
	printf '%s\n' 'listeners:' \
		'  - name: web' \
		'    address: "192.0.2.2:8443"' \
		"    certificates: [{ certificate: $DIR/app.pem, key: $DIR/app.key$1 }]" \
		'    routes:' \
		"      - { name: app, $2, backends: [\"198.51.100.1:3000\"] }"
}
# clients NAME [OPTION...]: of the name app.example.org
clients() {
	local log=$1
	shift
	at client "$SECURE" load 192.0.2.2:8443 --name app.example.org --ca "$DIR/root.pem" "$@" >"$DIR/$log.log" || {
		tail -n 20 "$DIR/$log.log" "$DIR/proxy.log"
		return 1
	}
}
s_client() { timeout 10 nsenter --net="/proc/$client/ns/net" openssl s_client -connect 192.0.2.2:8443 -CAfile "$DIR/root.pem" "$@" </dev/null 2>&1; }
page() { fresh_scrape | metric "$@" 'listener="web"' 'leg="downstream"'; }
