#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The relay beside HAProxy, nginx stream and sniproxy on one stage with the same client and
# server, in turn within each round, each round beginning with another: medians over ROUNDS,
# ratios to the best peer of each figure, and on which CPUs client, proxy and server ran,
# kept in build/bench/relay.json.  All books are on for all of them: the kernel side
# counts the peers' sockets as the host's.
#   sudo make bench [ROUNDS=7] [ROWS='bulk|exchange|open|memory'] [PEERS='haproxy nginx sniproxy']
# shellcheck disable=SC2034,SC2154 # set for, and by, the helpers
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."
peers=${PEERS:-haproxy nginx sniproxy} others=iperf3
# shellcheck source=peers.bash
. tests/bench/peers.bash
LOAD=$BIN/tests/tools/load
REQUEST=64 HELLO=517

# --- the proxies: ports 5xxx plain to iperf3, 6xxx plain, 7xxx by SNI ------------------

load --device front --device back
many_connections
cat >"$DIR/tollgate.yaml" <<-Y
	listeners:
	  - { name: iperf, address: "192.0.2.2:5000", routes: [{ name: iperf, backends: ["198.51.100.1:5201"] }] }
	  - { name: plain, address: "192.0.2.2:6000", routes: [{ name: plain, backends: ["198.51.100.1:3000"] }] }
	  - { name: sni, address: "192.0.2.2:7000", routes: [{ name: sni, sni: [app.example], backends: ["198.51.100.1:3001"] }] }
Y
cat >"$DIR/haproxy.cfg" <<-H
	global
	    maxconn 6500
	    maxpipes 2000
	defaults
	    mode tcp
	    timeout connect 5s
	    timeout client 1h
	    timeout server 1h
	listen iperf
	    bind 192.0.2.2:5001
	    option splice-auto
	    server app 198.51.100.1:5201
	listen plain
	    bind 192.0.2.2:6001
	    option splice-auto
	    server app 198.51.100.1:3000
	listen sni
	    bind 192.0.2.2:7001
	    tcp-request inspect-delay 5s
	    tcp-request content accept if { req_ssl_hello_type 1 }
	    tcp-request content reject unless { req_ssl_sni -i app.example }
	    server app 198.51.100.1:3001
H
cat >"$DIR/nginx.conf" <<-N
	load_module /usr/lib/nginx/modules/ngx_stream_module.so;
	$(nginx_begins nginx auto 19000)
	stream {
	    map \$ssl_preread_server_name \$sni { app.example 198.51.100.1:3001; }
	    server { listen 192.0.2.2:5002 reuseport; proxy_pass 198.51.100.1:5201; proxy_timeout 1h; }
	    server { listen 192.0.2.2:6002 reuseport; proxy_pass 198.51.100.1:3000; proxy_timeout 1h; }
	    server { listen 192.0.2.2:7002 reuseport; ssl_preread on; proxy_pass \$sni; proxy_timeout 1h; }
	}
N
cat >"$DIR/sniproxy.conf" <<-S
	user root
	pidfile $DIR/sniproxy.pid
	listener 192.0.2.2:7003 {
	    protocol tls
	    table sni
	}
	table sni {
	    app.example 198.51.100.1:3001
	}
S
start_proxy <"$DIR/tollgate.yaml"
for peer in $peers; do
	case $peer in
	haproxy) start haproxy gate haproxy -db -f "$DIR/haproxy.cfg" ;;
	nginx) start nginx gate nginx -p "$DIR" -c "$DIR/nginx.conf" -e "$DIR/nginx.err" ;;
	sniproxy) start sniproxy gate sniproxy -f -c "$DIR/sniproxy.conf" ;;
	esac
done
peers_listen 7000
start iperf backend iperf3 -s -B 198.51.100.1
start plain backend "$LOAD" serve 198.51.100.1:3000 $REQUEST $REQUEST
start tls backend "$LOAD" serve 198.51.100.1:3001 $HELLO $REQUEST
for port in 5201 3000 3001; do
	within 10 listening backend $port
done

# --- measuring -------------------------------------------------------------------------

# look FILE PID...: the CPUs their threads ran on last, into it; no process is made for that
look() {
	local file=$1 pid task line
	shift
	for pid in "$@"; do
		for task in /proc/"$pid"/task/*/stat; do
			read -r line 2>/dev/null <"$task" || continue
			# shellcheck disable=SC2086 # fields, from the third on (proc(5))
			set -- ${line##*) }
			echo "${37}" >>"$file"
		done
	done
}

# measure ROW PROXY UNITS COMMAND...: its JSON; CPU a unit of the proxy and the machine; and
# where client, proxy and server are, ten times a second
measure() {
	local row=$1 proxy=$2 units=$3 of=plain_pid c0 m0 command child pids
	case $1 in bulk-*) of=iperf_pid ;; open-*) of=tls_pid ;; esac
	shift 3
	pids=$(pids_of "$proxy")
	c0=$(cpu_of "$proxy") m0=$(ticks)
	"$@" >"$DIR/measured" &
	command=$!
	while [ -e "/proc/$command/stat" ]; do
		read -r -t 0.1 <>"$DIR/pause" || :
		child=
		read -r child <"/proc/$command/task/$command/children" || [ -n "$child" ] || continue
		# shellcheck disable=SC2086 # a pid, and a space
		look "$DIR/cpu.$row.$proxy.client" $child
		# shellcheck disable=SC2086 # pids are words
		look "$DIR/cpu.$row.$proxy.proxy" $pids
		look "$DIR/cpu.$row.$proxy.server" "${!of}"
	done 2>/dev/null
	wait "$command"
	note "$row" proxy_cpu_us "$proxy" "$(awk -v a=$(($(cpu_of "$proxy") - c0)) -v n="$units" 'BEGIN { print a / n }')"
	note "$row" machine_cpu_us "$proxy" "$(awk -v a=$((($(ticks) - m0) * 10000)) -v n="$units" 'BEGIN { print a / n }')"
	cat "$DIR/measured"
}
mkfifo "$DIR/pause"

bulk() { # PROXY PARALLEL GIB
	local out
	out=$(measure "bulk-$2" "$1" "$3" at client iperf3 -J -c 192.0.2.2 -p $((5000 + $(offset_of "$1"))) \
		-P "$2" -n "${3}G")
	note "bulk-$2" throughput_gbit "$1" "$(jq '.end.sum_received.bits_per_second / 1e9' <<<"$out")"
}
exchange() { # PROXY CONNECTIONS EXCHANGES
	local out
	out=$(measure "exchange-$2" "$1" $(($2 * $3)) at client "$LOAD" keep \
		"192.0.2.2:$((6000 + $(offset_of "$1")))" $REQUEST $REQUEST "$2" "$3")
	note "exchange-$2" rate "$1" "$(jq .rate <<<"$out")"
	note "exchange-$2" p99_us "$1" "$(jq .p99_us <<<"$out")"
}
open() { # PROXY PARALLEL CONNECTIONS
	local out
	out=$(measure "open-sni" "$1" "$3" at client env LOAD_SNI=app.example "$LOAD" open \
		"192.0.2.2:$((7000 + $(offset_of "$1")))" $HELLO $REQUEST "$2" "$3")
	note open-sni rate "$1" "$(jq .rate <<<"$out")"
}
memory() { # PROXY CONNECTIONS
	memory_of "$1" "memory-$2" "$2" env LOAD_SNI=app.example "$LOAD" hold "192.0.2.2:$((7000 + $(offset_of "$1")))" $HELLO $REQUEST "$2"
}

# the plain rows know no sniproxy: it routes by name only
takes_part() { [ "$1" != sniproxy ] || [ "$2" = open ] || [ "$2" = memory ]; } # PROXY WORK

# first, once: a process does not give back what it had
want memory && turn memory 5000
for ((round = 1; round <= rounds; round++)); do
	progress
	want bulk && turn bulk 1 2
	want bulk && turn bulk 16 2
	want exchange && turn exchange 1 8000
	want exchange && turn exchange 64 600
	want exchange && turn exchange 1000 40
	want open && turn open 64 4000
done
progress

# --- the table -------------------------------------------------------------------------

# target FIGURE: ratio to reach and which way
target() {
	case $1 in
	bulk-*.throughput_gbit) echo "1.25 higher" ;;
	bulk-*.proxy_cpu_us) echo "0.6 lower" ;;
	exchange-*.rate) echo "1.0 higher" ;;
	exchange-*.p99_us) echo "0.8 lower" ;;
	exchange-*.proxy_cpu_us) echo "0.9 lower" ;;
	open-*.rate) echo "1.2 higher" ;;
	open-*.proxy_cpu_us) echo "0.8 lower" ;;
	memory-*) echo "0.5 lower" ;;
	*) echo "0 lower" ;;
	esac
}
table target >"$DIR/rows"
# cpus_of ROW PROXY ROLE: the share of looks that found it on each CPU, "0: 61 %, 1: 39 %"
cpus_of() {
	sort -n "$DIR/cpu.$1.$2.$3" 2>/dev/null | uniq -c |
		awk '{ n[NR] = $1; cpu[NR] = $2; all += $1 }
			END { for (i = 1; i <= NR; i++) printf("%s%d: %.0f %%", (i > 1 ? ", " : ""), cpu[i], n[i] * 100 / all) }'
}
echo
echo "where they ran"
cpus=
for file in "$DIR"/cpu.*.proxy; do
	IFS=. read -r _ row proxy _ <<<"$(basename "$file")"
	line=$(jq -nc --arg workload "$row" --arg proxy "$proxy" --arg client "$(cpus_of "$row" "$proxy" client)" \
		--arg on "$(cpus_of "$row" "$proxy" proxy)" --arg server "$(cpus_of "$row" "$proxy" server)" \
		'{$workload, $proxy, $client, on: $on, $server}')
	cpus+="$line"$'\n'
	jq -r '"\(.workload) \(.proxy): client \(.client); proxy \(.on); server \(.server)"' <<<"$line"
done
jq -n --slurpfile rows "$DIR/rows" --slurpfile cpus <(printf '%s' "$cpus") '{$rows, $cpus}' >"$OUT/relay.json"
