#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two builds of Tollgate beside each other, each on a stage of its own with all books on, in
# turn within each round: bulk, small exchanges (RR), new connections (CRR, plain and by
# name), and the proxy's CPU for each; medians and the median of the rounds' ratios.
#   sudo tests/bench/versus.sh BEFORE AFTER [ROUNDS=7] [ROWS='bulk|exchange|open']
# BEFORE and AFTER are build directories.  The load is AFTER's.  Nothing is asserted: a
# build against itself says how far a ratio can be trusted.
# shellcheck disable=SC2034,SC2154 # set for, and by, the helpers
set -euo pipefail
[ $# -ge 2 ] || {
	echo "usage: versus.sh BEFORE AFTER (build directories)" >&2
	exit 2
}
declare -A build=([before]=$(realpath "$1") [after]=$(realpath "$2"))
for argument in "${@:3}"; do
	case $argument in
	ROUNDS=* | ROWS=*) declare "$argument" ;;
	*)
		echo "versus.sh: $argument?" >&2
		exit 2
		;;
	esac
done
cd "$(dirname "$0")/../.."
for which in before after; do
	for program in tollgate tollgate-proxy; do
		[ -x "${build[$which]}/$program" ] || {
			echo "versus.sh: no ${build[$which]}/$program; make all" >&2
			exit 1
		}
	done
done
LOAD=${build[after]}/tests/tools/load
[ -x "$LOAD" ] && command -v iperf3 >/dev/null || {
	echo "versus.sh: make tools; apt-get install iperf3" >&2
	exit 1
}

# --- two stages of the one in common.bash ---------------------------------------------

# shellcheck source=common.bash
. tests/bench/common.bash
REQUEST=64 HELLO=517
rows=${ROWS:-.}
top=$DIR out=$DIR/rows
mkdir "$out"
declare -A stage
# what makes a stage: remembered, and taken up again
remember() { stage[$1]=$(declare -p client gate backend CGROUP DIR PINS BIN PIDS | sed 's/^declare -/declare -g -/'); }
take() { eval "${stage[$1]}"; }
down() {
	local which
	for which in "${!stage[@]}"; do
		take "$which"
		stage_down || :
	done
	rm -rf "$top"
}
BIN=${build[before]}
remember before
trap down EXIT
# the second: a directory and a cgroup of its own
mkdir "$top/after"
BATS_TEST_TMPDIR=$top/after BATS_TEST_NUMBER=1
stage_up
BIN=${build[after]}
remember after

serve() {
	load --device front --device back
	# every connection leaves TIME_WAIT behind, and ports run out (see README.md)
	local place
	for place in client gate backend; do
		at "$place" sysctl -qw net.ipv4.ip_local_port_range="1024 65535" net.ipv4.tcp_max_tw_buckets=0
		at "$place" sh -c 'echo 4096 >/proc/sys/net/core/somaxconn'
	done
	start_proxy <<-Y
		listeners:
		  - { name: iperf, address: "192.0.2.2:5000", routes: [{ name: iperf, backends: ["198.51.100.1:5201"] }] }
		  - { name: plain, address: "192.0.2.2:6000", routes: [{ name: plain, backends: ["198.51.100.1:3000"] }] }
		  - { name: sni, address: "192.0.2.2:7000", routes: [{ name: sni, sni: [app.example], backends: ["198.51.100.1:3001"] }] }
	Y
	start iperf backend iperf3 -s -B 198.51.100.1
	start plain backend "$LOAD" serve 198.51.100.1:3000 $REQUEST $REQUEST
	start tls backend "$LOAD" serve 198.51.100.1:3001 $HELLO $REQUEST
	local port
	for port in 5201 3000 3001; do
		within 10 listening backend $port
	done
}
declare -A proxy
for which in before after; do
	take $which
	serve
	proxy[$which]=$proxy_pid
	remember $which
done

# --- measuring -------------------------------------------------------------------------

# CPU of the proxy of a stage in us: of all its threads
cpu_of() { cat "/proc/${proxy[$1]}"/task/*/schedstat | awk '{ n += $1 } END { printf "%.0f\n", n / 1000 }'; }

# measure ROW WHICH UNITS FIGURE FILTER COMMAND...: a figure of its JSON, and CPU a unit
measure() {
	local row=$1 which=$2 units=$3 figure=$4 filter=$5 c0
	shift 5
	c0=$(cpu_of "$which")
	at client "$@" | jq "$filter" >>"$out/$row.$figure.$which"
	awk -v a=$(($(cpu_of "$which") - c0)) -v n="$units" 'BEGIN { print a / n }' >>"$out/$row.cpu_us.$which"
}
bulk() { # WHICH PARALLEL GIB
	measure "bulk-$2" "$1" "$3" gbit '.end.sum_received.bits_per_second / 1e9' \
		iperf3 -J -c 192.0.2.2 -p 5000 -P "$2" -n "${3}G"
}
exchange() { # WHICH CONNECTIONS EXCHANGES
	measure "exchange-$2" "$1" $(($2 * $3)) rate .rate \
		"$LOAD" keep 192.0.2.2:6000 $REQUEST $REQUEST "$2" "$3"
}
open_plain() { # WHICH PARALLEL CONNECTIONS
	measure open-plain "$1" "$3" rate .rate "$LOAD" open 192.0.2.2:6000 $REQUEST $REQUEST "$2" "$3"
}
open_sni() {
	measure open-sni "$1" "$3" rate .rate \
		env LOAD_SNI=app.example "$LOAD" open 192.0.2.2:7000 $HELLO $REQUEST "$2" "$3"
}

# both in turn, who is first changes with the round
turn() { # ROW WORK ARGUMENT...
	local row=$1 work=$2 order="before after" which
	shift 2
	[[ $row =~ $rows ]] || return 0
	[ $((round % 2)) = 1 ] || order="after before"
	for which in $order; do
		take "$which"
		"$work" "$which" "$@"
	done
}
for ((round = 0; round <= rounds; round++)); do
	[ ! -t 2 ] || printf '\rround %d of %d ' "$round" "$rounds" >&2
	turn bulk bulk 1 2
	turn bulk bulk 16 2
	turn exchange exchange 1 8000
	turn exchange exchange 64 600
	turn exchange exchange 1000 40
	turn open open_plain 64 4000
	turn open open_sni 64 4000
	# the first warms both up
	[ "$round" != 0 ] || rm -f "$out"/*
done
[ ! -t 2 ] || printf '\r                  \r' >&2

# --- the table -------------------------------------------------------------------------

echo "before ${build[before]}, after ${build[after]}: medians of $rounds rounds in turn; ratio after/before of each"
echo "round, its median and spread, and that of the best rounds, which neighbours disturbed least; of rates above 1 is"
echo "better, of cpu_us (the proxy's, a GiB, exchange or connection) below"
printf '%-15s %-8s %12s %12s %7s %7s  %s\n' workload figure before after ratio best spread
# best FIGURE: the least CPU, the highest rate
best() { if [ "$1" = cpu_us ]; then sort -n; else sort -rn; fi | head -n 1; }
for file in "$out"/*.before; do
	IFS=. read -r row figure _ <<<"$(basename "$file")"
	paste "$file" "${file%.before}.after" | awk '{ print $2 / ($1 ? $1 : 1) }' >"$out/ratios"
	printf '%-15s %-8s %12.6g %12.6g %7.3f %7.3f  %s\n' "$row" "$figure" "$(median <"$file")" \
		"$(median <"${file%.before}.after")" "$(median <"$out/ratios")" \
		"$(awk -v a="$(best "$figure" <"$file")" -v b="$(best "$figure" <"${file%.before}.after")" \
			'BEGIN { print b / (a ? a : 1) }')" "$(spread <"$out/ratios")"
done
