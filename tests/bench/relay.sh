#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The relay beside HAProxy (splice on), same stage, same client and server, in turn:
# medians over ROUNDS, throughput or rate, CPU of the whole machine, as ratios ours/theirs.
# All books are on for both: the kernel side counts HAProxy's sockets as the host's.
#   sudo make bench [ROUNDS=7]
# shellcheck disable=SC2034,SC2154 # set for, and by, the helpers
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v haproxy >/dev/null || {
	echo "bench: apt-get install haproxy (its service is not needed)" >&2
	exit 1
}
# shellcheck source=common.bash
. tests/bench/common.bash
load --device front --device back
start_plain
cat >"$DIR/haproxy.cfg" <<-H
	global
	    maxconn 4000
	defaults
	    mode tcp
	    timeout connect 5s
	    timeout client 1h
	    timeout server 1h
	    option splice-auto
	listen plain
	    bind 192.0.2.2:8090
	    server app 198.51.100.1:3000
H
start haproxy gate haproxy -db -f "$DIR/haproxy.cfg"
within 10 listening gate 8090 || { cat "$DIR/haproxy.log"; exit 1; }
start_peer server backend --listen 198.51.100.1:3000

own_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# measure PORT PID ARGUMENT...: seconds, machine ticks, proxy ticks
measure() {
	local port=$1 pid=$2 t0 c0 p0
	shift 2
	t0=$EPOCHREALTIME c0=$(ticks) p0=$(own_ticks "$pid")
	at client "$PEER" load --connect "192.0.2.2:$port" "$@" >/dev/null
	awk -v a="$t0" -v b="$EPOCHREALTIME" -v c=$(($(ticks) - c0)) -v p=$(($(own_ticks "$pid") - p0)) \
		'BEGIN { print b - a, c, p }'
}

echo "ratios ours/HAProxy $(haproxy -v | awk 'NR == 1 { print $3 }'), $rounds rounds in turn, median (spread); below 1 is better"
while read -r name arguments; do
	: >"$DIR/time" && : >"$DIR/machine" && : >"$DIR/proxy"
	for ((i = 0; i < rounds; i++)); do
		# shellcheck disable=SC2086 # arguments are words
		ours=$(measure 8080 "$proxy_pid" $arguments)
		# shellcheck disable=SC2086
		theirs=$(measure 8090 "$haproxy_pid" $arguments)
		awk -v d="$DIR" '{ print $1 / $4 >>(d "/time"); print $2 / $5 >>(d "/machine")
			print $3 / ($6 ? $6 : 1) >>(d "/proxy") }' <<<"$ours $theirs"
	done
	for figure in time machine proxy; do
		printf '%-28s %-12s %.2f (%s)\n' "$name" "$figure" "$(median <"$DIR/$figure")" \
			"$(spread <"$DIR/$figure")"
	done
done <<-W
	bulk-1-connection --connections 1 --parallel 1 --mix up --bytes 1500000000
	bulk-16-connections --connections 16 --parallel 16 --mix up --bytes 100000000
	connections-100-bytes --connections 1500 --parallel 32 --bytes 100
W
