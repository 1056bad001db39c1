#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The vectors against Tollgate, HAProxy and nginx; prints where one is not right.
#   sudo tests/proxy-protocol/compare.sh
# shellcheck disable=SC2034,SC2154 # set for, and by, the helpers
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=../bench/common.bash
. tests/bench/common.bash
load
start_proxy <<-Y
	listeners:
	  - name: plain
	    address: "192.0.2.2:7000"
	    proxy_protocol: { from: [192.0.2.0/24] }
	    routes: [{ name: app, backends: ["198.51.100.1:3000"], send_proxy: v2-tlvs }]
Y
cat >"$DIR/haproxy.cfg" <<-H
	defaults
	    mode tcp
	    timeout connect 5s
	    timeout client 5s
	    timeout server 5s
	listen plain
	    bind 192.0.2.2:7001 accept-proxy
	    server app 198.51.100.1:3000 send-proxy-v2
H
cat >"$DIR/nginx.conf" <<-N
	load_module /usr/lib/nginx/modules/ngx_stream_module.so;
	error_log $DIR/nginx.err warn;
	pid $DIR/nginx.pid;
	daemon off;
	events { }
	stream {
	    server { listen 192.0.2.2:7002 proxy_protocol; set_real_ip_from 192.0.2.0/24;
	        proxy_protocol_timeout 5s; proxy_protocol on; proxy_pass 198.51.100.1:3000; }
	}
N
start haproxy gate haproxy -db -f "$DIR/haproxy.cfg"
start nginx gate nginx -p "$DIR" -c "$DIR/nginx.conf" -e "$DIR/nginx.err"
names=(tollgate haproxy nginx)
for i in 0 1 2; do
	within 10 listening gate $((7000 + i)) || { cat "$DIR/${names[i]}".*; exit 1; }
	options=(--target "192.0.2.2:$((7000 + i))" --backend 198.51.100.1:3000
		--backend-netns "/proc/$backend/ns/net" --table)
	[ $i -ne 0 ] || options+=(--tlvs)
	[ $i -ne 2 ] || options+=(--source)
	at client "$BIN/tests/proxy-protocol/conform" "${options[@]}" tests/proxy-protocol/vectors \
		>"$DIR/table.$i" 2>"$DIR/said" || :
	echo "${names[i]}: $(cat "$DIR/said")"
	awk -F'\t' '$1 != "right" { printf "  %s: %s, not %s (%s)\n", $2, $4, $3, $5 }' "$DIR/table.$i"
done
