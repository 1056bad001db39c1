#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What each policy of a route costs a request: HTTP/1.1 over 64 connections to a route that
# answers itself, or to one nginx, without the policy and with it, in turn; CPU of all threads
# of the proxy, the median and its spread, and what it adds.  In build/bench/policies.json.
#   sudo [ROUNDS=5] tests/bench/policies.sh      (about 12 s a round)
# shellcheck disable=SC2034,SC2154 # set for, and by, the helpers
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."
peers="" others="h2load nginx"
ROUNDS=${ROUNDS:-5}
# shellcheck source=peers.bash
. tests/bench/peers.bash
requests=40000
chmod 755 "$DIR"
load --device front --device back
/usr/bin/python3 -W ignore -c 'import crypt; print("alice:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_SHA512)))' >"$DIR/users"
openssl genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:2048 -out "$DIR/rsa" 2>/dev/null
openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out "$DIR/ec"
openssl genpkey -algorithm ed25519 -out "$DIR/ed"
head -c 32 /dev/urandom >"$DIR/secret"
/usr/bin/python3 -B tests/http/jwt_token.py jwks rsa="$DIR/rsa" ec="$DIR/ec" ed="$DIR/ed" s="$DIR/secret" >"$DIR/keys"
token() { /usr/bin/python3 -B tests/http/jwt_token.py sign "$1" "$DIR/$2" "$3" "{\"sub\":\"alice\",\"exp\":$(($(date +%s) + 3600))}"; }
cat >"$DIR/origin.conf" <<-N
	$(nginx_begins origin 1 4096)
	http {
	    $(nginx_http origin)
	    server { listen 198.51.100.1:3000; location / { return 200 "small"; } }
	}
N
own='respond: { body: small }' origins='backends: ["198.51.100.1:3000"]'
start_proxy <<-Y
	listeners:
	  - name: web
	    address: "192.0.2.2:5000"
	    routes:
	      - { name: none, http: { path: [/none], $own } }
	      - { name: rate, http: { path: [/rate], rate: { limit: 1000000/1s, by: header X-Key }, $own } }
	      - { name: cors, http: { path: [/cors], cors: { origins: ["https://app.example.org"] }, $own } }
	      - { name: basic, http: { path: [/basic], basic_auth: { file: $DIR/users }, $own } }
	      - { name: jwt, http: { path: [/jwt], jwt: { keys: $DIR/keys }, $own } }
	      - { name: passed, http: { path: [/passed] }, $origins }
	      - { name: hash, http: { path: [/hash], hash: header X-Key }, $origins }
	      - { name: sticky, http: { path: [/sticky], sticky: { cookie: S } }, $origins }
	      - { name: asked, http: { path: [/asked], forward_auth: { route: who } }, $origins }
	      - { name: who, http: { internal: true }, $origins }
Y
start origin backend nginx -p "$DIR" -c "$DIR/origin.conf" -e "$DIR/origin.err"
nginx_pid=$origin_pid
within 10 listening backend 3000

row() { # NAME PATH [HEADER]
	local c0 out
	c0=$(cpu_of tollgate)
	out=$(at client h2load --h1 -n $requests -c 64 -t 1 ${3:+-H "$3"} "http://192.0.2.2:5000$2")
	grep -q "status codes: $requests 2xx" <<<"$out" || {
		echo "bench: $1: $(grep '^status codes' <<<"$out")" >&2
		return 1
	}
	note "$1" proxy_cpu_us tollgate "$(awk -v a=$(($(cpu_of tollgate) - c0)) -v n=$requests 'BEGIN { print a / n }')"
}
hs=$(token HS256 secret s) es=$(token ES256 ec ec) rs=$(token RS256 rsa rsa) ed=$(token EdDSA ed ed)
for ((round = 1; round <= rounds; round++)); do
	progress
	row none /none
	row rate /rate 'X-Key: alice'
	row cors /cors 'Origin: https://app.example.org'
	row basic /basic "Authorization: Basic $(printf alice:secret | base64)"
	row jwt-hs256 /jwt "Authorization: Bearer $hs"
	row jwt-rs256 /jwt "Authorization: Bearer $rs"
	row jwt-es256 /jwt "Authorization: Bearer $es"
	row jwt-eddsa /jwt "Authorization: Bearer $ed"
	row passed /passed
	row hash /hash 'X-Key: alice'
	row sticky /sticky
	row asked /asked
done
progress
# --- the table: what is added to `none`, or to `passed` of those that go to a backend ------

echo "CPU of the proxy in us a request, median of $rounds rounds (spread), and what the policy adds" >&2
for name in none rate cors basic jwt-hs256 jwt-rs256 jwt-es256 jwt-eddsa passed hash sticky asked; do
	file=$DIR/row.$name.proxy_cpu_us.tollgate
	case $name in none | rate | cors | basic | jwt-*) base=none ;; *) base=passed ;; esac
	added=$(awk -v a="$(median <"$file")" -v b="$(median <"$DIR/row.$base.proxy_cpu_us.tollgate")" 'BEGIN { printf "%.2f", a - b }')
	printf '%-12s %8.2f  (%s)  %+.2f\n' "$name" "$(median <"$file")" "$(spread <"$file")" "$added" >&2
	jq -nc --arg policy "$name" --argjson cpu_us "$(median <"$file")" --argjson added_us "$added" '{$policy, $cpu_us, $added_us}'
done | jq -s '{rows: .}' >"$OUT/policies.json"
