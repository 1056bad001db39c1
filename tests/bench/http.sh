#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# HTTP at the gate beside HAProxy, nginx and nghttpx, all before one nginx: small requests over
# HTTP/1.1 (1, 64, 1000 connections, plain and TLS; one request a connection), HTTP/2 (TLS, h2c),
# bodies of 1 MB; in turn within each round, each round beginning with another.  Medians, and
# ratios to the best peer of each figure; in build/bench/http.json.
#   sudo [ROUNDS=7] [ROWS='h1|tls|h2|body'] [PEERS='haproxy nginx nghttpx'] tests/bench/http.sh
# proxy_cpu_us is the CPU time of all threads of the proxy, a request.  All requests must be
# answered with 200: a round of a peer that fails is left out, which is said; one of ours ends it.
# shellcheck disable=SC2034,SC2154 # set for, and by, the helpers
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."
peers=${PEERS:-haproxy nginx nghttpx} others="h2load wrk"
# shellcheck source=peers.bash
. tests/bench/peers.bash
name=app.example.org
openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out "$DIR/ecdsa.key" 2>/dev/null
openssl req -x509 -key "$DIR/ecdsa.key" -subj "/CN=$name" -addext "subjectAltName=DNS:$name" -days 9 -out "$DIR/ecdsa.pem" 2>/dev/null
cat "$DIR/ecdsa.pem" "$DIR/ecdsa.key" >"$DIR/ecdsa.both"
chmod 755 "$DIR"
chmod 644 "$DIR"/ecdsa.*

load --device front --device back
many_connections
# ports 5xxx plain (h2c by prior knowledge where it is on the same), 6xxx TLS, 7xxx h2c
cat >"$DIR/haproxy.cfg" <<-H
	global
	    maxconn 6500
	    ssl-default-bind-options ssl-min-ver TLSv1.2
	defaults
	    mode http
	    timeout connect 5s
	    timeout client 1h
	    timeout server 1h
	    option forwardfor
	    http-reuse always
	frontend plain
	    bind 192.0.2.2:5001
	    default_backend app
	frontend tls
	    bind 192.0.2.2:6001 ssl crt $DIR/ecdsa.both alpn h2,http/1.1
	    default_backend app
	frontend h2c
	    bind 192.0.2.2:7001 proto h2
	    default_backend app
	backend app
	    server app 198.51.100.1:3000
H
cat >"$DIR/nginx.conf" <<-N
	$(nginx_begins nginx auto 9000)
	http {
	    $(nginx_http nginx)
	    upstream app { server 198.51.100.1:3000; keepalive 1024; keepalive_requests 100000000; }
	    proxy_http_version 1.1;
	    proxy_set_header Connection "";
	    proxy_set_header Host \$host;
	    proxy_set_header X-Forwarded-For \$remote_addr;
	    ssl_session_cache off;
	    server { listen 192.0.2.2:5002 reuseport; location / { proxy_pass http://app; } }
	    server { listen 192.0.2.2:6002 ssl http2 reuseport; ssl_certificate $DIR/ecdsa.pem; ssl_certificate_key $DIR/ecdsa.key; location / { proxy_pass http://app; } }
	    server { listen 192.0.2.2:7002 http2 reuseport; location / { proxy_pass http://app; } }
	}
N
mkdir -p "$DIR/root"
head -c 1000000 /dev/zero >"$DIR/root/large"
cat >"$DIR/origin.conf" <<-N
	$(nginx_begins origin 1 9000)
	http {
	    $(nginx_http origin)
	    sendfile on;
	    server { listen 198.51.100.1:3000; root $DIR/root;
	        location = /small { return 200 "$(printf 'x%.0s' $(seq 128))"; } }
	}
N
start_proxy <<-Y
	listeners:
	  - name: plain
	    address: "192.0.2.2:5000"
	    routes: [{ name: app, http: {}, backends: ["198.51.100.1:3000"] }]
	  - name: tls
	    address: "192.0.2.2:6000"
	    certificates: [{ certificate: $DIR/ecdsa.pem, key: $DIR/ecdsa.key, default: true }]
	    routes: [{ name: app, sni: ["*"], tls: terminate, http: {}, backends: ["198.51.100.1:3000"] }]
	  - name: h2c
	    address: "192.0.2.2:7000"
	    routes: [{ name: app, http: {}, backends: ["198.51.100.1:3000"] }]
Y
start origin backend nginx -p "$DIR" -c "$DIR/origin.conf" -e "$DIR/origin.err"
within 10 listening backend 3000
for peer in $peers; do
	case $peer in
	haproxy) start haproxy gate haproxy -db -f "$DIR/haproxy.cfg" ;;
	nginx) start nginx gate nginx -p "$DIR" -c "$DIR/nginx.conf" -e "$DIR/nginx.err" ;;
	nghttpx) start nghttpx gate nghttpx --conf=/dev/null -n2 -f'192.0.2.2,5003;no-tls' -f'192.0.2.2,6003' -f'192.0.2.2,7003;no-tls' \
		-b'198.51.100.1,3000' --accesslog-file=/dev/null --errorlog-file="$DIR/nghttpx.err" --single-process \
		--backend-connections-per-host=1024 "$DIR/ecdsa.key" "$DIR/ecdsa.pem" ;;
	esac
done
peers_listen 5000
peers_listen 6000
peers_listen 7000

# --- measuring -------------------------------------------------------------------------

failed() { # ROW PROXY WHAT
	echo "bench: $1: $2: not all were answered, this round is left out: $3" >&2
	[ "$2" != tollgate ]
}
per() { awk -v a="$1" -v n="$2" 'BEGIN { print a / n }'; }
# h2load's, by its own sentences: all must have been answered
requests() { # PROXY ROW URL CONNECTIONS STREAMS REQUESTS OPTION...
	local proxy=$1 row=$2 url c0 c1 out
	url=$(sed "s|:[0-9][0-9]*/|:$(($(sed 's|.*:\([0-9]*\)/.*|\1|' <<<"$3") + $(offset_of "$1")))/|" <<<"$3")
	c0=$(cpu_of "$proxy")
	out=$(at client h2load -n "$6" -c "$4" -m "$5" -t 1 "${@:7}" "$url")
	c1=$(cpu_of "$proxy")
	grep -q " $6 succeeded, 0 failed" <<<"$out" || {
		failed "$row" "$proxy" "$(grep '^requests:' <<<"$out")"
		return
	}
	note "$row" proxy_cpu_us "$proxy" "$(per $((c1 - c0)) "$6")"
	note "$row" rate "$proxy" "$(sed -n 's|^finished in .*, \([0-9.]*\) req/s.*|\1|p' <<<"$out")"
}
latency() { # PROXY ROW PORT CONNECTIONS SECONDS HEADER: by wrk
	local proxy=$1 row=$2 c0 out n
	c0=$(cpu_of "$proxy")
	out=$(at client wrk -t1 -c"$4" -d"$5" --latency -H "$6" "http://192.0.2.2:$(($3 + $(offset_of "$proxy")))/small")
	! grep -E 'Non-2xx|Socket errors' <<<"$out" >"$DIR/wrong" || {
		failed "$row" "$proxy" "$(tr '\n' ' ' <"$DIR/wrong")"
		return
	}
	n=$(sed -n 's/ *\([0-9]*\) requests in.*/\1/p' <<<"$out")
	note "$row" proxy_cpu_us "$proxy" "$(per $(($(cpu_of "$proxy") - c0)) "$n")"
	note "$row" rate "$proxy" "$(sed -n 's|^Requests/sec: *||p' <<<"$out")"
	note "$row" p99_us "$proxy" "$(awk '$1 == "99%" { v = $2; u = v ~ /us$/ ? 1 : v ~ /ms$/ ? 1000 : 1000000; sub(/[a-z]+$/, "", v); print v * u }' <<<"$out")"
}

for ((round = 1; round <= rounds; round++)); do
	progress
	! want h1 || turn latency h1-1 5000 1 2 'X-A: b'
	! want h1 || turn latency h1-64 5000 64 3 'X-A: b'
	! want h1 || turn latency h1-1000 5000 1000 3 'X-A: b'
	! want h1 || turn latency h1-open 5000 32 2 'Connection: close'
	! want tls || turn requests tls-64 https://192.0.2.2:6000/small 64 1 40000 --h1
	! want tls || turn requests tls-1000 https://192.0.2.2:6000/small 1000 1 60000 --h1
	! want h2 || turn requests h2-tls https://192.0.2.2:6000/small 64 32 80000
	! want h2 || turn requests h2c http://192.0.2.2:7000/small 64 32 80000
	! want body || turn requests body-plain http://192.0.2.2:5000/large 4 1 1000 --h1
	! want body || turn requests body-tls https://192.0.2.2:6000/large 4 1 800 --h1
done
progress

# --- the table -------------------------------------------------------------------------

# target ROW.FIGURE: ratio to reach and which way
target() {
	case $1 in
	h1-64.proxy_cpu_us) echo "0.85 lower" ;;
	h1-64.rate) echo "1.15 higher" ;;
	h1-1000.proxy_cpu_us) echo "0.75 lower" ;;
	h1-1.proxy_cpu_us) echo "0.95 lower" ;;
	h1-1.rate | h1-open.rate) echo "1.0 higher" ;;
	tls-64.proxy_cpu_us) echo "0.9 lower" ;;
	tls-1000.proxy_cpu_us | body-tls.proxy_cpu_us) echo "0.85 lower" ;;
	h2-tls.proxy_cpu_us | h2c.proxy_cpu_us) echo "0.75 lower" ;;
	h2-tls.rate | h2c.rate | body-plain.rate) echo "1.3 higher" ;;
	*.p99_us) echo "1.0 lower" ;;
	*.rate) echo "0 higher" ;;
	*) echo "0 lower" ;;
	esac
}
table target >"$DIR/rows"
jq -s '{rows: .}' "$DIR/rows" >"$OUT/http.json"
