#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# TLS that ends at the gate beside HAProxy, nginx stream and hitch, the backend without TLS:
# handshakes (ECDSA, RSA, resumed), exchanges of 64 bytes, bulk (an echo, both ways at once),
# memory of idle connections; in turn within each round, each round beginning with another.
# Medians, and ratios to the best peer of each figure; in build/bench/tls.json.
#   sudo tests/bench/tls.sh [ROUNDS=7] [ROWS='handshake|resumed|exchange|bulk|memory'] [PEERS='haproxy nginx hitch']
# proxy_cpu_us is the CPU time of all threads of the proxy, a handshake, exchange or MiB each way.
# shellcheck disable=SC2034,SC2154 # set for, and by, the helpers
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."
peers=${PEERS:-haproxy nginx hitch}
# shellcheck source=peers.bash
. tests/bench/peers.bash
SECURE=$BIN/tests/tools/secure
ECHO=$BIN/tests/tools/echo
name=app.example.org

for key in ecdsa rsa; do
	case $key in ecdsa) options="-algorithm ec -pkeyopt ec_paramgen_curve:P-256" ;; rsa) options="-algorithm rsa -pkeyopt rsa_keygen_bits:2048" ;; esac
	# shellcheck disable=SC2086 # options are words
	openssl genpkey $options -out "$DIR/$key.key" 2>/dev/null
	openssl req -x509 -key "$DIR/$key.key" -subj "/CN=$name" -addext "subjectAltName=DNS:$name" -days 9 -out "$DIR/$key.pem" 2>/dev/null
	cat "$DIR/$key.pem" "$DIR/$key.key" >"$DIR/$key.both"
done
chmod 755 "$DIR"

load --device front --device back
many_connections
# ports 5xxx ECDSA, 6xxx RSA
cat >"$DIR/haproxy.cfg" <<-H
	global
	    maxconn 6500
	    tune.ssl.default-dh-param 2048
	    ssl-default-bind-options ssl-min-ver TLSv1.2
	defaults
	    mode tcp
	    timeout connect 5s
	    timeout client 1h
	    timeout server 1h
	listen ecdsa
	    bind 192.0.2.2:5001 ssl crt $DIR/ecdsa.both
	    server app 198.51.100.1:3000
	listen rsa
	    bind 192.0.2.2:6001 ssl crt $DIR/rsa.both
	    server app 198.51.100.1:3000
H
cat >"$DIR/nginx.conf" <<-N
	load_module /usr/lib/nginx/modules/ngx_stream_module.so;
	$(nginx_begins nginx auto 19000)
	stream {
	    ssl_protocols TLSv1.2 TLSv1.3;
	    ssl_session_cache off;
	    server { listen 192.0.2.2:5002 ssl reuseport; ssl_certificate $DIR/ecdsa.pem; ssl_certificate_key $DIR/ecdsa.key; proxy_pass 198.51.100.1:3000; proxy_timeout 1h; }
	    server { listen 192.0.2.2:6002 ssl reuseport; ssl_certificate $DIR/rsa.pem; ssl_certificate_key $DIR/rsa.key; proxy_pass 198.51.100.1:3000; proxy_timeout 1h; }
	}
N
cat >"$DIR/hitch.conf" <<-C
	frontend = { host = "192.0.2.2" port = "5003" pem-file = "$DIR/ecdsa.both" }
	frontend = { host = "192.0.2.2" port = "6003" pem-file = "$DIR/rsa.both" }
	backend = "[198.51.100.1]:3000"
	workers = 2
	user = "nobody"
	daemon = off
	tls-protos = TLSv1.2 TLSv1.3
C
start_proxy <<-Y
	listeners:
	  - name: ecdsa
	    address: "192.0.2.2:5000"
	    certificates: [{ certificate: $DIR/ecdsa.pem, key: $DIR/ecdsa.key }]
	    routes: [{ name: app, sni: [$name], tls: terminate, backends: ["198.51.100.1:3000"] }]
	  - name: rsa
	    address: "192.0.2.2:6000"
	    certificates: [{ certificate: $DIR/rsa.pem, key: $DIR/rsa.key }]
	    routes: [{ name: app, sni: [$name], tls: terminate, backends: ["198.51.100.1:3000"] }]
Y
for peer in $peers; do
	case $peer in
	haproxy) start haproxy gate haproxy -db -f "$DIR/haproxy.cfg" ;;
	nginx) start nginx gate nginx -p "$DIR" -c "$DIR/nginx.conf" -e "$DIR/nginx.err" ;;
	hitch) start hitch gate hitch --config="$DIR/hitch.conf" ;;
	esac
done
peers_listen 5000
peers_listen 6000
start echo backend "$ECHO" 198.51.100.1:3000
within 10 listening backend 3000

# --- measuring -------------------------------------------------------------------------

per() { awk -v a="$1" -v n="$2" 'BEGIN { print a / n }'; }
# some peers close without a close_notify, which the client says of them: all must have been heard
all_talked() { # PROXY ROW JSON COUNT
	[ "$(jq .talked <<<"$3")" = "$4" ] || {
		echo "bench: $2: $1 served $(jq .talked <<<"$3") of $4" >&2
		exit 1
	}
	[ "$2" != resumed ] || [ "$(jq .resumed <<<"$3")" -gt $(($4 * 9 / 10)) ] || {
		echo "bench: $1 resumes $(jq .resumed <<<"$3") of $4: it has no figure of that" >&2
		return 1
	}
}
handshake() { # PROXY ROW PORT COUNT OPTION...
	local proxy=$1 row=$2 port=$(($3 + $(offset_of "$1"))) count=$4 c0 c1 json ca
	shift 4
	ca=$DIR/$([ "$port" -ge 6000 ] && echo rsa || echo ecdsa).pem
	c0=$(cpu_of "$proxy")
	json=$(at client "$SECURE" load "192.0.2.2:$port" --name $name --ca "$ca" --connections "$count" --parallel 8 --bytes 64 "$@" 2>/dev/null) || :
	c1=$(cpu_of "$proxy")
	all_talked "$proxy" "$row" "$json" "$count" || return 0
	note "$row" proxy_cpu_us "$proxy" "$(per $((c1 - c0)) "$count")"
	note "$row" rate "$proxy" "$(jq ".connections / .seconds" <<<"$json")"
}
exchange() { # PROXY ROW CONNECTIONS EXCHANGES BYTES UNIT
	local proxy=$1 row=$2 c0 json="$DIR/keep.json" mark=$DIR/mark
	rm -f "$mark"
	at client "$SECURE" keep "192.0.2.2:$((5000 + $(offset_of "$proxy")))" --name $name --ca "$DIR/ecdsa.pem" --connections "$3" \
		--exchanges "$4" --bytes "$5" --mark "$mark" >"$json" &
	local pid=$!
	within 60 test -e "$mark"
	c0=$(cpu_of "$proxy")
	rm "$mark"
	wait $pid
	note "$row" proxy_cpu_us "$proxy" "$(per $(($(cpu_of "$proxy") - c0)) "$(($3 * $4))" | awk -v u="$6" '{ print $1 * u }')"
	note "$row" rate "$proxy" "$(jq .rate "$json")"
	note "$row" p99_us "$proxy" "$(jq .p99_us "$json")"
}
memory() { # PROXY ROW CONNECTIONS
	memory_of "$1" "$2" "$3" "$SECURE" hold "192.0.2.2:$((5000 + $(offset_of "$1")))" --name $name --ca "$DIR/ecdsa.pem" --connections "$3"
}

# first, once: a process does not give back what it had
! want memory || turn memory memory-1000 1000
for ((round = 1; round <= rounds; round++)); do
	progress
	! want handshake || turn handshake handshake-ecdsa 5000 2000
	! want handshake || turn handshake handshake-rsa 6000 1500
	! want resumed || turn handshake resumed 5000 2000 --resume
	! want exchange || turn exchange exchange-1 1 6000 64 1
	! want exchange || turn exchange exchange-64 64 600 64 1
	! want exchange || turn exchange exchange-1000 1000 40 64 1
	! want bulk || turn exchange bulk 4 2000 16384 64
done
progress

# --- the table -------------------------------------------------------------------------

# target ROW.FIGURE: ratio to reach and which way
target() {
	case $1 in
	handshake-ecdsa.proxy_cpu_us) echo "0.95 lower" ;;
	handshake-rsa.proxy_cpu_us | resumed.proxy_cpu_us) echo "1.03 lower" ;;
	exchange-64.proxy_cpu_us | exchange-1000.proxy_cpu_us) echo "0.9 lower" ;;
	exchange-64.rate | exchange-1000.rate) echo "1.05 higher" ;;
	bulk.proxy_cpu_us) echo "0.88 lower" ;;
	memory-*) echo "0.97 lower" ;;
	*.rate) echo "0 higher" ;;
	*) echo "0 lower" ;;
	esac
}
table target >"$DIR/rows"
jq -s '{rows: .}' "$DIR/rows" >"$OUT/tls.json"
