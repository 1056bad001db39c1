#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the books cost: the same work without them, with them, and with the tools people
# use instead, in turn.  Prints medians of ratios to the runs without anything of the same
# round: rate or throughput (above 1 is faster) and CPU of the whole machine (below 1 is
# less), and what a scrape costs with many sockets.
#   sudo make bench [ROUNDS=7] [SOCKETS=100000] [WORKS="connections exchanges bulk"]
# shellcheck disable=SC2034,SC2154,SC2317 # set for, and by, the helpers; called by name
set -euo pipefail
cd "$(dirname "$0")/../.."
sockets=${SOCKETS:-100000}
# shellcheck source=common.bash
. tests/bench/common.bash
all=
LOAD=$BIN/tests/tools/load

# --- what may be running beside the work; NAME_on and NAME_off -------------------------

none_on() { :; }
none_off() { :; }
sockops_on() { load --no-nft 2>/dev/null; }
sockops_off() { tollgate unload; }
tracepoint_on() { load --no-nft --hook tracepoint 2>/dev/null; }
tracepoint_off() { tollgate unload; }
wire_on() { load --no-nft --device front 2>/dev/null; }
wire_off() { tollgate unload; }
conntrack_on() {
	at gate sysctl -qw net.netfilter.nf_conntrack_acct=1
	at gate nft 'add table inet bench; add chain inet bench in { type filter hook input priority 0; };
		add chain inet bench out { type filter hook output priority 0; };
		add rule inet bench in ct state new,established accept; add rule inet bench out ct state new,established accept'
}
conntrack_off() { at gate nft delete table inet bench; }
tcplife_on() {
	start tcplife gate stdbuf -oL tcplife
	# it says a heading when it is attached
	within 10 grep -q PID "$DIR/tcplife.log"
}
tcplife_off() { stop "$tcplife_pid" INT; }
pmacctd_on() {
	start pmacctd gate pmacctd -i front -P memory -p "$DIR/pmacct.pipe" \
		-c src_host,dst_host,src_port,dst_port,proto
	within 10 test -S "$DIR/pmacct.pipe"
}
pmacctd_off() { stop "$pmacctd_pid"; }

contenders=(sockops tracepoint wire)
at gate sh -c 'sysctl -q net.netfilter.nf_conntrack_acct >/dev/null 2>&1' && contenders+=(conntrack)
for tool in tcplife pmacctd; do
	if ! command -v "$tool" >/dev/null; then
		echo "bench: $tool is not installed (packages libbpf-tools, pmacct): left out"
	elif "${tool}_on" 2>/dev/null; then
		"${tool}_off"
		contenders+=("$tool")
	else
		echo "bench: $tool does not start here: $(tail -n 1 "$DIR/$tool.log" 2>/dev/null): left out"
	fi
done

# closed connections must not use up the ports of later rounds
for place in client gate; do
	at "$place" sysctl -qw net.ipv4.tcp_max_tw_buckets=0 "net.ipv4.ip_local_port_range=10000 65000"
done

# --- work: prints how much a second -----------------------------------------------------

rate_of() { # COUNT COMMAND...
	local count=$1 t0=$EPOCHREALTIME
	shift
	"$@" >/dev/null
	awk -v a="$t0" -v b="$EPOCHREALTIME" -v n="$count" 'BEGIN { print n / (b - a) }'
}
connections() {
	rate_of 15000 at client "$PEER" load --connect 192.0.2.2:6000 --connections 15000 --parallel 16 \
		--mix fixed --bytes 100
}
exchanges() { at client "$LOAD" keep 192.0.2.2:6001 100 100 8 20000 | jq .rate; }
bulk() {
	rate_of 3000 at client "$PEER" load --connect 192.0.2.2:6000 --connections 1 --parallel 1 --mix up \
		--bytes 3000000000
}

# the client is another host: only the gate's sockets are in the books
all=$CGROUP
mkdir "$CGROUP/counted"
CGROUP=$all/counted
start_peer server gate --listen 192.0.2.2:6000
start pong gate "$LOAD" serve 192.0.2.2:6001 100 100
within 10 grep -q listening "$DIR/pong.log"
CGROUP=$all
load() { tollgate load --cgroup "$CGROUP/counted" "$@"; }

measure() { # NAME WORK: "rate ticks"
	local c0 rate
	"$1_on"
	c0=$(ticks)
	rate=$("$2")
	echo "$rate $(($(ticks) - c0))"
	"$1_off"
}

echo "ratios to the same round without anything, $rounds rounds in turn: median (spread)"
for work in ${WORKS:-connections exchanges bulk}; do
	"$work" >/dev/null # warm
	for ((i = 0; i < rounds; i++)); do
		read -r rate cpu <<<"$(measure none "$work")"
		for name in "${contenders[@]}"; do
			read -r r c <<<"$(measure "$name" "$work")"
			# CPU for the same work: the work is a fixed amount
			awk -v d="$DIR/$work-$name" -v r="$r" -v c="$c" -v r0="$rate" -v c0="$cpu" \
				'BEGIN { print r / r0 >>(d "-rate"); print c / c0 >>(d "-cpu") }'
		done
	done
	for name in "${contenders[@]}"; do
		printf '%-12s %-11s rate %.3f (%s)   machine CPU %.3f (%s)\n' "$work" "$name" \
			"$(median <"$DIR/$work-$name-rate")" "$(spread <"$DIR/$work-$name-rate")" \
			"$(median <"$DIR/$work-$name-cpu")" "$(spread <"$DIR/$work-$name-cpu")"
	done
done

echo "a packet, by BPF_PROG_TEST_RUN:"
"$BIN/tests/bench/packet" "$BIN" | sed 's/^/  /'

# --- many sockets: both ends of each connection are in the books -------------------------

tollgate load --cgroup "$CGROUP" --device front
processes=0
for ((left = sockets / 2; left > 0; left -= 7000)); do
	mkfifo "$DIR/hold$processes"
	start "held$processes" gate sh -c 'exec "$@" <"$0"' "$DIR/hold$processes" "$BIN/tests/tools/hold" \
		$((left < 7000 ? left : 7000)) "127.0.0.$((processes + 2)):20000" /proc/self/ns/net "/proc/$gate/ns/net"
	exec {fd}>"$DIR/hold$processes"
	within 120 grep -q '"step":1' "$DIR/held$processes.log"
	processes=$((processes + 1))
done
start_exporter
for ((i = 0; i < rounds; i++)); do
	fresh_scrape | sed -n 's/^tollgate_snapshot_seconds //p' >>"$DIR/scrape"
done
printf '%s live sockets: reading the books %.0f ms (median of %s), exporter %s MB resident\n' \
	"$(tollgate status --json | jq .sockets.live)" \
	"$(median <"$DIR/scrape" | awk '{ print $1 * 1000 }')" "$rounds" \
	"$(awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$exporter_pid/status")"
