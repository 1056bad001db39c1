# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the benchmarks beside other proxies share: which there are, their CPU and memory, turns,
# the table of medians and ratios to the best of them.  $peers are their commands; the ports of
# each are those of tollgate and its place in the list ($others are programs that must be there).
# shellcheck disable=SC2034,SC2154 # set for, and by, the helpers
for tool in $peers ${others:-}; do
	command -v "$tool" >/dev/null || {
		echo "bench: $tool is missing: apt-get install haproxy nginx-light libnginx-mod-stream sniproxy hitch nghttp2-proxy nghttp2-client wrk iperf3 (no service is needed)" >&2
		exit 1
	}
done
# shellcheck source=common.bash
. tests/bench/common.bash
OUT=$BIN/bench
mkdir -p "$OUT"
rows=${ROWS:-.}
# nginx_begins NAME WORKERS CONNECTIONS: the configuration of one, up to its first block
nginx_begins() {
	printf '%s\n' "worker_processes $2;" "worker_rlimit_nofile 20000;" "error_log $DIR/$1.err warn;" "pid $DIR/$1.pid;" "daemon off;" \
		"events { worker_connections $3; }"
}
# nginx_http NAME: what all of them say in `http`
nginx_http() {
	local what
	printf '%s\n' "access_log off;" "keepalive_requests 100000000;"
	for what in client_body proxy fastcgi uwsgi scgi; do echo "${what}_temp_path $DIR/$1.$what;"; done
}
want() { [[ $1 =~ $rows ]]; } # ROW

# every connection leaves TIME_WAIT behind, and ports run out (see README.md)
many_connections() {
	local place
	for place in client gate backend; do
		at "$place" sysctl -qw net.ipv4.ip_local_port_range="1024 65535" net.ipv4.tcp_max_tw_buckets=0
		at "$place" sh -c 'echo 4096 >/proc/sys/net/core/somaxconn'
	done
}
offset_of() { case $1 in tollgate) echo 0 ;; haproxy) echo 1 ;; nginx) echo 2 ;; *) echo 3 ;; esac }
peers_listen() { # BASE: each by its own port of these
	local peer
	for peer in $peers; do
		within 10 listening gate $(($1 + $(offset_of "$peer"))) || {
			cat "$DIR/$peer".* >&2
			exit 1
		}
	done
}

pids_of() { # of a proxy and its children
	local main=${1/tollgate/proxy}_pid
	kill -0 "${!main}" || {
		cat "$DIR/${1/tollgate/proxy}".* >&2
		exit 1
	}
	# shellcheck disable=SC2046 # pids are words
	echo "${!main}" $(cat "/proc/${!main}/task/${!main}/children")
}
# CPU of a proxy in us: of all its threads
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

# note ROW FIGURE PROXY VALUE
note() { echo "$4" >>"$DIR/row.$1.$2.$3"; }

# memory_of PROXY ROW CONNECTIONS COMMAND...: what holds them, says so when it has all, and ends
# when its standard input does
memory_of() {
	local proxy=$1 row=$2 count=$3 before after
	shift 3
	before=$(rss_of "$proxy")
	start_held holder client "$DIR/enough" "$@"
	within 60 test -s "$DIR/holder.log"
	after=$(rss_of "$proxy")
	touch "$DIR/enough"
	wait "$holder_pid"
	rm "$DIR/enough"
	note "$row" bytes_per_connection "$proxy" $(((after - before) / count))
}

# takes_part PROXY WORK: a benchmark whose peers cannot do all says so
takes_part() { :; }
turn() { # WORK ARGUMENT...: all proxies in turn, the first another each round
	local work=$1 proxy
	shift
	# shellcheck disable=SC2086 # words
	for proxy in $(printf '%s\n' tollgate $peers | awk -v by="${round:-0}" '{ all[NR] = $0 }
		END { for (i = 0; i < NR; i++) print all[(i + by) % NR + 1] }'); do
		takes_part "$proxy" "$work" || continue
		"$work" "$proxy" "$@"
	done
}
progress() { # of `round`; erased at the end
	[ -t 2 ] || return 0
	if [ "$round" -le "$rounds" ]; then
		printf '\rround %d of %d ' "$round" "$rounds" >&2
	else
		printf '\r                  \r' >&2
	fi
}

# table TARGET: to standard error, for people, and the rows as JSON to standard output.  TARGET
# ROW.FIGURE says the ratio to reach, 0 for none, and which way is better.
table() {
	local file row figure goal better ours theirs line peer
	echo "tollgate beside $peers, median of $rounds rounds in turn (spread of ours); ratio to the best of them" >&2
	printf '%-15s %-20s %12s %-22s %7s %7s  %s\n' workload figure ours spread ratio target peers >&2
	for file in "$DIR"/row.*.tollgate; do
		IFS=. read -r _ row figure _ <<<"$(basename "$file")"
		read -r goal better <<<"$("$1" "$row.$figure")"
		ours=$(median <"$file")
		theirs=
		for peer in $peers; do
			[ ! -e "$DIR/row.$row.$figure.$peer" ] ||
				theirs+="\"$peer\":$(median <"$DIR/row.$row.$figure.$peer"),"
		done
		theirs="{${theirs%,}}"
		line=$(jq -nc --arg workload "$row" --arg figure "$figure" --argjson ours "$ours" \
			--argjson peers "$theirs" --argjson target "$goal" --arg better "$better" \
			'{$workload, $figure, $ours, $peers,
				ratio: (([$peers[]] | if $better == "higher" then max else min end) as $best |
					if ($best // 0) == 0 then null else $ours / $best end),
				target: (if $target == 0 then null else $target end), $better}')
		echo "$line"
		printf '%-15s %-20s %12.6g %-22s %7s %7s  %s\n' "$row" "$figure" "$ours" "$(spread <"$file")" \
			"$(jq -r 'if .ratio then .ratio * 100 | round / 100 else "-" end' <<<"$line")" "${goal/#0 */-}" \
			"$(jq -r '.peers | to_entries | map("\(.key) \(.value * 100 | round / 100)") | join(", ")' <<<"$line")" >&2
	done
}
