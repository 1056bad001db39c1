#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Certificates by ACME: the gate asks pebble, Let's Encrypt's own server for tests, by
# dehydrated, and answers its challenges.

load helpers
source "$BATS_TEST_DIRNAME/tls.bash"

# start_authority: an ACME server at 192.0.2.1, which looks at port 8443 of 192.0.2.2
start_authority() {
	issue pebble "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "IP:192.0.2.1"
	jq -n --arg d "$DIR" '{ pebble: { listenAddress: "192.0.2.1:14000", managementListenAddress: "192.0.2.1:15000",
		certificate: "\($d)/pebble.pem", privateKey: "\($d)/pebble.key", httpPort: 80, tlsPort: 8443,
		ocspResponderURL: "", externalAccountBindingRequired: false } }' >"$DIR/pebble.json"
	start names client dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root \
		--listen-address=192.0.2.1 --bind-interfaces --port=5353 --address=/example.org/192.0.2.2
	start pebble client env PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 pebble -strict -config "$DIR/pebble.json" -dnsserver 192.0.2.1:5353
	within 10 listening client 14000
}

# acme_config NAMES...: of a certificate each
acme_config() {
	local names entries=
	for names in "$@"; do entries+="{ acme: [$names] }, "; done
	printf '%s\n' "acme: { state: $DIR/acme, server: \"https://192.0.2.1:14000/dir\", ca: $DIR/root.pem, contact: admin@example.org }" \
		'listeners:' \
		'  - name: web' \
		'    address: "192.0.2.2:8443"' \
		"    certificates: [$entries{ certificate: $DIR/wild.pem, key: $DIR/wild.key }]" \
		'    routes:' \
		'      - { name: app, sni: ["*"], tls: terminate, backends: ["198.51.100.1:3000"] }'
}

# issued NAME: the gate shows a certificate of that authority for it
issued() {
	at client timeout 10 openssl s_client -connect 192.0.2.2:8443 -servername "$1" </dev/null 2>/dev/null |
		openssl x509 -noout -issuer -ext subjectAltName >"$DIR/issued" 2>/dev/null
	grep -q "issuer=CN = Pebble" "$DIR/issued" && grep -q "DNS:$1" "$DIR/issued"
}

@test "a certificate is had at the start, another after a reload, and none is asked for twice" {
	start_authority
	start_proxy < <(acme_config "app.example.org, www.example.org")
	start_exporter
	start_echo
	# until then nobody is given another's
	! issued app.example.org || false
	within 60 issued app.example.org || {
		cat "$DIR/proxy.log"
		return 1
	}
	issued www.example.org
	grep -q "certificates and files read again" "$DIR/proxy.log"
	# by whoever looked first, and by the authority, for both names
	[ "$(refused acme_challenge)" -ge 4 ]
	# when no challenge is open the protocol is not spoken
	s_client -servername app.example.org -alpn acme-tls/1 | grep -q "No ALPN negotiated"
	# what others could read of it
	equal 700 "$(stat -c %a "$DIR/acme")" "mode of what is kept"
	equal 0 "$(find "$DIR/acme" -type f -name '*key*' -perm /007 | wc -l)" "keys that others can read"
	acme_config "app.example.org, www.example.org" "late.example.org" >"$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 60 issued late.example.org
	equal 0 "$(page tollgate_tls_certificates_missing)" "certificates that are missing"
	run -0 at gate "$BIN/tollgate" acme "$DIR/gate.yaml"
	[[ $output == *"Longer than 30 days"* ]]
	[[ $output != *"Requesting new certificate order"* ]]
	within 10 sockets_closed
	audit_is_clean 5
}

@test "what ACME cannot be asked for is told, and what its server refuses does not end the gate" {
	acme_config '"*.example.org"' >"$DIR/gate.yaml"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"'*.example.org' is no name in lower case"*"wildcards"* ]]
	acme_config "app.example.org" | sed "s#server: [^,]*#server: \"http://192.0.2.1\"#" >"$DIR/gate.yaml"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"'http://192.0.2.1' is not a https URL"* ]]
	acme_config "app.example.org" "app.example.org, www.example.org" >"$DIR/gate.yaml"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"another certificate, of listener 'web', begins with 'app.example.org' and has other names"* ]]
	# root runs what is in there: it is root's alone
	mkdir -m 777 "$DIR/open"
	acme_config "app.example.org" | sed "s#state: [^,]*#state: $DIR/open/acme#" >"$DIR/gate.yaml"
	run -3 at gate "$BIN/tollgate" acme "$DIR/gate.yaml"
	[[ $output == *"$DIR/open: is no directory that root alone can change"* ]]
	acme_config "app.example.org" >"$DIR/gate.yaml"
	run -0 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"app.example.org: has no certificate yet"* ]]
	# nobody is there
	start_proxy < <(acme_config "app.example.org")
	start_exporter
	within 30 grep -q "no certificate of app.example.org could be had" "$DIR/proxy.log"
	equal 1 "$(page tollgate_tls_certificates_missing)" "certificates that are missing"
	issue other "-algorithm ec -pkeyopt ec_paramgen_curve:P-256" "DNS:other.example.org"
	s_client -servername a.wild.example.org | grep -q "CN = wild"
}

@test "with state: database it is for what is in force, whatever the file says" {
	start_authority
	mkdir -m 711 "$DIR/state"
	chown nobody "$DIR/state"
	chmod 755 "$DIR" "${DIR%/*}" "${DIR%/*/*}"
	start_proxy < <(
		printf '%s\n' 'state: database' "state_file: $DIR/state/state.db"
		acme_config "app.example.org"
	)
	start_exporter
	start_echo
	within 60 issued app.example.org
	run -0 tollgate listener set web "certificates=[{ acme: [app.example.org] }, { acme: [late.example.org] }, { certificate: $DIR/wild.pem, key: $DIR/wild.key }]"
	within 60 issued late.example.org
	equal 0 "$(page tollgate_tls_certificates_missing)" "certificates that are missing"
}
