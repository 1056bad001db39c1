#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every ClientHello of tests/tools/hello.c through Tollgate and the routers from Debian, each
# with one route for the name and another for all else: who reads which.
#   sudo tests/bench/hello.sh
# shellcheck disable=SC2034,SC2154 # set for, and by, the helpers
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=common.bash
. tests/bench/common.bash
SNI=right.example.org
load
start_proxy <<-Y
	listeners:
	  - name: tls
	    address: "192.0.2.2:7000"
	    routes:
	      - { name: right, sni: [$SNI], backends: ["198.51.100.1:3001"] }
	      - { name: wrong, sni: ["*"], backends: ["198.51.100.1:3002"] }
Y
cat >"$DIR/haproxy.cfg" <<-H
	defaults
	    mode tcp
	    timeout connect 5s
	    timeout client 5s
	    timeout server 5s
	frontend tls
	    bind 192.0.2.2:7001
	    tcp-request inspect-delay 1s
	    tcp-request content accept if { req_ssl_hello_type 1 }
	    use_backend right if { req_ssl_sni -i $SNI }
	    default_backend wrong
	backend right
	    server app 198.51.100.1:3001
	backend wrong
	    server app 198.51.100.1:3002
H
cat >"$DIR/nginx.conf" <<-N
	load_module /usr/lib/nginx/modules/ngx_stream_module.so;
	error_log $DIR/nginx.err warn;
	pid $DIR/nginx.pid;
	daemon off;
	events { }
	stream {
	    map \$ssl_preread_server_name \$sni { $SNI 198.51.100.1:3001; default 198.51.100.1:3002; }
	    server { listen 192.0.2.2:7002; ssl_preread on; preread_timeout 1s; proxy_pass \$sni; }
	}
N
cat >"$DIR/sniproxy.conf" <<-S
	user root
	pidfile $DIR/sniproxy.pid
	listener 192.0.2.2:7003 {
	    protocol tls
	    table sni
	    fallback 198.51.100.1:3002
	}
	table sni {
	    $SNI 198.51.100.1:3001
	}
S
start haproxy gate haproxy -db -f "$DIR/haproxy.cfg"
start nginx gate nginx -p "$DIR" -c "$DIR/nginx.conf" -e "$DIR/nginx.err"
start sniproxy gate sniproxy -f -c "$DIR/sniproxy.conf"
start right backend "$HELLO" serve 198.51.100.1:3001 right
start wrong backend "$HELLO" serve 198.51.100.1:3002 WRONG
names=(tollgate haproxy nginx sniproxy)
for i in 0 1 2 3; do
	within 10 listening gate $((7000 + i)) || { cat "$DIR/${names[i]}".*; exit 1; }
	at client "$HELLO" matrix "192.0.2.2:$((7000 + i))" $SNI >"$DIR/matrix.$i"
done
printf '%-36s %-10s %-10s %-10s %-10s\n' "ClientHello" "${names[@]}"
for i in 1 2 3; do
	cut -f2 "$DIR/matrix.$i" | paste "$DIR/matrix.$((i - 1))" - >"$DIR/both"
	mv "$DIR/both" "$DIR/matrix.$i"
done
awk -F'\t' '{ printf "%-36s %-10s %-10s %-10s %-10s\n", $1, $2, $3, $4, $5 }' "$DIR/matrix.3"
