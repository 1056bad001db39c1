#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# TLS that ends at the gate beside HAProxy, nginx stream and hitch, the backend without TLS:
# handshakes (ECDSA, RSA, resumed), exchanges of 64 bytes, bulk (an echo, both ways at once),
# memory of idle connections; in turn within each round, each round beginning with another.
# Medians, and ratios to the best peer of each figure; in build/bench/tls.json.
#   sudo tests/bench/tls.sh [ROUNDS=5] [ROWS='handshake|exchange|bulk|memory'] [PEERS='haproxy nginx hitch']
# proxy_cpu_us is the CPU time of all threads of the proxy, a handshake, exchange or MiB each way.
# shellcheck disable=SC2034,SC2154 # set for, and by, the helpers
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."
peers=${PEERS:-haproxy nginx hitch}
for tool in $peers; do
	command -v "$tool" >/dev/null || {
		echo "bench: apt-get install haproxy nginx-light libnginx-mod-stream hitch (no service is needed)" >&2
		exit 1
	}
done
# shellcheck source=common.bash
. tests/bench/common.bash
rounds=${ROUNDS:-5}
rows=${ROWS:-.}
SECURE=$BIN/tests/tools/secure
ECHO=$BIN/tests/tools/echo
OUT=$BIN/bench
mkdir -p "$OUT"
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
for place in client gate backend; do
	at "$place" sysctl -qw net.ipv4.ip_local_port_range="1024 65535" net.ipv4.tcp_max_tw_buckets=0
	at "$place" sh -c 'echo 4096 >/proc/sys/net/core/somaxconn'
done
# ports 5xxx ECDSA, 6xxx RSA
offset_of() { case $1 in tollgate) echo 0 ;; haproxy) echo 1 ;; nginx) echo 2 ;; hitch) echo 3 ;; esac }
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
	worker_processes auto;
	worker_rlimit_nofile 20000;
	error_log $DIR/nginx.err warn;
	pid $DIR/nginx.pid;
	daemon off;
	events { worker_connections 19000; }
	stream {
	    ssl_protocols TLSv1.2 TLSv1.3;
	    ssl_session_cache off;
	    server { listen 192.0.2.2:5002 ssl reuseport; ssl_certificate $DIR/ecdsa.pem; ssl_certificate_key $DIR/ecdsa.key; proxy_pass 198.51.100.1:3000; proxy_timeout 1h; }
	    server { listen 192.0.2.2:6002 ssl reuseport; ssl_certificate $DIR/rsa.pem; ssl_certificate_key $DIR/rsa.key; proxy_pass 198.51.100.1:3000; proxy_timeout 1h; }
	}
N
for key in ecdsa rsa; do
	port=$([ $key = ecdsa ] && echo 5003 || echo 6003)
	cat >"$DIR/hitch-$key.conf" <<-C
		frontend = "[192.0.2.2]:$port"
		backend = "[198.51.100.1]:3000"
		workers = 2
		user = "nobody"
		daemon = off
		pem-file = "$DIR/$key.both"
		tls-protos = TLSv1.2 TLSv1.3
	C
done
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
	hitch)
		start hitch gate hitch --config="$DIR/hitch-ecdsa.conf"
		start hitchrsa gate hitch --config="$DIR/hitch-rsa.conf"
		;;
	esac
done
for peer in $peers; do
	within 10 listening gate $((6000 + $(offset_of "$peer"))) || {
		cat "$DIR/$peer".*
		exit 1
	}
done
start echo backend "$ECHO" 198.51.100.1:3000
within 10 listening backend 3000

# --- measuring -------------------------------------------------------------------------

pids_of() {
	local main
	for main in $([ "$1" = tollgate ] && echo proxy_pid || echo "$1_pid") $([ "$1" != hitch ] || echo hitchrsa_pid); do
		# shellcheck disable=SC2046 # pids are words
		echo "${!main}" $(cat "/proc/${!main}/task/${!main}/children")
	done
}
cpu_of() {
	local pid
	for pid in $(pids_of "$1"); do
		cat "/proc/$pid"/task/*/schedstat
	done | awk '{ n += $1 } END { printf "%.0f\n", n / 1000 }'
}
rss_of() {
	local pid
	for pid in $(pids_of "$1"); do
		sed -n 's/^Rss: *\([0-9]*\) kB/\1/p' "/proc/$pid/smaps_rollup"
	done | awk '{ n += $1 } END { print n * 1024 }'
}
note() { echo "$4" >>"$DIR/row.$1.$2.$3"; } # ROW FIGURE PROXY VALUE
per() { awk -v a="$1" -v n="$2" 'BEGIN { print a / n }'; }
handshake() { # PROXY ROW PORT COUNT OPTION...
	local proxy=$1 row=$2 port=$(($3 + $(offset_of "$1"))) count=$4 c0 json ca
	shift 4
	ca=$DIR/$([ "$port" -ge 6000 ] && echo rsa || echo ecdsa).pem
	c0=$(cpu_of "$proxy")
	json=$(at client "$SECURE" load "192.0.2.2:$port" --name $name --ca "$ca" --connections "$count" --parallel 8 --bytes 64 "$@" 2>/dev/null) ||
		: # some peers close without a close_notify, which this client takes for a failure
	note "$row" proxy_cpu_us "$proxy" "$(per $(($(cpu_of "$proxy") - c0)) "$count")"
	note "$row" rate "$proxy" "$(jq ".connections / .seconds" <<<"$json")"
	[ "$row" != resumed ] || [ "$(jq .resumed <<<"$json")" -gt $((count * 9 / 10)) ] || {
		echo "bench: $proxy resumes $(jq .resumed <<<"$json") of $count" >&2
		note "$row" resumed "$proxy" "$(jq .resumed <<<"$json")"
	}
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
	local before after
	before=$(rss_of "$1")
	start_held held client "$DIR/enough" "$SECURE" hold "192.0.2.2:$((5000 + $(offset_of "$1")))" --name $name --ca "$DIR/ecdsa.pem" --connections "$3"
	within 60 grep -q failed "$DIR/held.log" || { cat "$DIR/held.log" "$DIR"/*.log | tail -20; exit 1; }
	after=$(rss_of "$1")
	touch "$DIR/enough"
	wait "$held_pid"
	rm "$DIR/enough"
	note "$2" bytes_per_connection "$1" $(((after - before) / $3))
}
all=(tollgate)
read -ra words <<<"$peers"
all+=("${words[@]}")
turn() { # ROW WORK ARGUMENT...
	local row=$1 work=$2 i
	shift 2
	[[ $row =~ $rows ]] || return 0
	for ((i = 0; i < ${#all[@]}; i++)); do
		"$work" "${all[(i + round) % ${#all[@]}]}" "$row" "$@"
	done
}
round=0
turn memory-1000 memory 1000
for ((round = 0; round <= rounds; round++)); do
	[ ! -t 2 ] || printf '\rround %d of %d ' "$round" "$rounds" >&2
	turn handshake-ecdsa handshake 5000 2000
	turn handshake-rsa handshake 6000 1500
	turn resumed handshake 5000 2000 --resume
	turn exchange-1 exchange 1 6000 64 1
	turn exchange-64 exchange 64 600 64 1
	turn exchange-1000 exchange 1000 40 64 1
	turn bulk exchange 4 2000 16384 64
	[ "$round" != 0 ] || find "$DIR" -name 'row.*' ! -name 'row.memory*' -delete
done
[ ! -t 2 ] || printf '\r                  \r' >&2

# --- the table -------------------------------------------------------------------------

lower() { case $1 in rate) return 1 ;; *) return 0 ;; esac }
printf '%-16s %-22s %12s %-24s %6s  %s\n' workload figure ours spread ratio peers
for file in "$DIR"/row.*.tollgate; do
	IFS=. read -r _ row figure _ <<<"$(basename "$file")"
	ours=$(median <"$file")
	peers_text='' best=''
	for peer in $peers; do
		[ -e "$DIR/row.$row.$figure.$peer" ] || continue
		value=$(median <"$DIR/row.$row.$figure.$peer")
		peers_text+="$peer $value, "
		if [ -z "$best" ]; then best=$value; else
			best=$(printf '%s\n' "$best" "$value" | if lower "$figure"; then sort -g; else sort -rg; fi | head -n 1)
		fi
	done
	printf '%-16s %-22s %12s %-24s %6s  %s\n' "$row" "$figure" "$ours" "$(spread <"$file")" \
		"$(awk -v a="$ours" -v b="${best:-0}" 'BEGIN { printf "%.2f", b ? a / b : 0 }')" "${peers_text%, }"
done
for file in "$DIR"/row.*.tollgate; do
	IFS=. read -r _ row figure _ <<<"$(basename "$file")"
	jq -n --arg row "$row" --arg figure "$figure" --argjson ours "$(median <"$file")" '{row: $row, figure: $figure, ours: $ours}'
done | jq -s . >"$OUT/tls.json"
