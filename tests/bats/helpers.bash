# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The stage of a system test: three network namespaces in a row (client - gate - backend),
# a cgroup and a bpffs of their own.  Everything is undone by teardown, processes by pid.
#
#   client 192.0.2.1 fd00:1::1  --  192.0.2.2 fd00:1::2 gate 198.51.100.2 fd00:2::2  --
#   198.51.100.1 fd00:2::1 backend

bats_require_minimum_version 1.5.0

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BIN=$ROOT/${TOLLGATE_BUILD:-build}
PEER=$BIN/tests/tools/peer
# shellcheck disable=SC2034 # for the tests
HELLO=$BIN/tests/tools/hello

stage_up() {
	DIR=$BATS_TEST_TMPDIR
	[ "$(id -u)" -eq 0 ] || skip "needs root for namespaces and kernel programs"
	PIDS=()
	CGROUP=$(awk '$0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
	CGROUP=$CGROUP/tollgate-test-$$-$BATS_TEST_NUMBER
	mkdir "$CGROUP"
	mkdir -p "$DIR/bpf"
	mount -t bpf bpf "$DIR/bpf"
	PINS=$DIR/bpf/tollgate
	client=$(hold_netns) gate=$(hold_netns) backend=$(hold_netns)
	link_up "$client" 192.0.2.1/24 fd00:1::1/64 "$gate" 192.0.2.2/24 fd00:1::2/64 front
	link_up "$backend" 198.51.100.1/24 fd00:2::1/64 "$gate" 198.51.100.2/24 fd00:2::2/64 back
}

# What is held until `go` ends; what cannot be undone fails the test (bats looks at the
# last status of a teardown only).
stage_down() {
	local pid bad=0
	[ -n "${CGROUP:-}" ] || return 0 # it was skipped
	: >"$DIR/go"
	for pid in "${PIDS[@]}"; do
		stop "$pid" KILL
	done
	[ ! -e "$PINS" ] || at gate "$BIN/tollgate" unload --pins "$PINS" || bad=1
	for pid in "$client" "$gate" "$backend"; do
		stop "$pid" KILL
	done
	within 5 cgroup_empty || bad=1
	umount "$DIR/bpf" || {
		umount -l "$DIR/bpf"
		bad=1
	}
	within 5 find "$CGROUP" -depth -type d -exec rmdir {} + || bad=1
	return $bad
}

# Kills children of what was started that outlived it, until there are none.
cgroup_empty() {
	local left
	# all of them first: the file changes with each that goes
	mapfile -t left < <(find "$CGROUP" -name cgroup.procs -exec cat {} +)
	[ "${#left[@]}" = 0 ] || {
		kill -KILL "${left[@]}" || :
		return 1
	}
}

# A process that keeps a new network namespace; prints its pid.
hold_netns() {
	unshare --net sleep infinity >/dev/null 2>&1 3>&- &
	local pid=$!
	until [ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do
		kill -0 "$pid" || return 1
	done
	nsenter --net="/proc/$pid/ns/net" ip link set lo up
	# what the host prefers may be BBR, whose idea of the bandwidth can collapse for half a
	# minute when a receiver pauses
	nsenter --net="/proc/$pid/ns/net" sysctl -qw net.ipv4.tcp_congestion_control=reno
	echo "$pid"
}

# link_up NS V4 V6 GATE V4 V6 NAME: a veth pair, called NAME on the gate, eth on the other
link_up() {
	nsenter --net="/proc/$1/ns/net" ip link add eth type veth peer name "$7" netns "$4"
	address "$1" eth "$2" "$3"
	address "$4" "$7" "$5" "$6"
}

address() {
	local in=(nsenter "--net=/proc/$1/ns/net")
	"${in[@]}" ip addr add "$3" dev "$2"
	"${in[@]}" ip addr add "$4" dev "$2" nodad
	"${in[@]}" ip link set "$2" up
}

# at PLACE COMMAND...: in that namespace and in the test's cgroup
at() {
	local place=${!1}
	shift
	# shellcheck disable=SC2016 # expands in the inner shell
	nsenter --net="/proc/$place/ns/net" sh -c \
		'echo $$ >"$0/cgroup.procs" && exec "$@"' "$CGROUP" "$@"
}

# start NAME PLACE COMMAND...: in the background; output in $DIR/NAME.log, pid in $NAME_pid
start() {
	local name=$1 place=${!2}
	shift 2
	rm -f "$DIR/$name.log" # what one before of this name said is none of this one's
	# not at(): the pid must be the program's own, so that a signal reaches it
	# shellcheck disable=SC2016
	nsenter --net="/proc/$place/ns/net" sh -c \
		'echo $$ >"$0/cgroup.procs" && exec "$@"' "$CGROUP" "$@" \
		>"$DIR/$name.log" 2>&1 3>&- &
	PIDS+=("$!")
	printf -v "${name}_pid" '%s' "$!"
}

# start_held NAME PLACE FILE COMMAND...: with an open standard input until FILE exists
start_held() {
	local name=$1 place=$2 file=$3
	shift 3
	# shellcheck disable=SC2016 # expands in the inner shell
	start "$name" "$place" sh -c 'until [ -e "$0" ]; do sleep 0.05; done | "$@"' "$file" "$@"
}

# stop PID [SIGNAL]: and wait for its end
stop() {
	kill -s "${2:-TERM}" "$1" 2>/dev/null || :
	wait "$1" 2>/dev/null || :
}

# within SECONDS COMMAND...: repeat until it succeeds, and twice a second at least: a machine
# that stood still meanwhile proves nothing
within() {
	local deadline=$((SECONDS + $1)) tries=$((2 * $1)) what
	shift
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		if [ "$SECONDS" -ge "$deadline" ] && [ "$tries" -le 0 ]; then
			what="$*"
			echo "not within the deadline: $what" >&2
			return 1
		fi
		read -r -t 0.05 <> <(:) || :
	done
}

tollgate() { at gate "$BIN/tollgate" "$@" --pins "$PINS"; }

load() { tollgate load --cgroup "$CGROUP" "$@"; }

# start_proxy [COMMAND...] < configuration: the proxy, run by that command
# shellcheck disable=SC2120 # the tests pass some
start_proxy() {
	cat >"$DIR/gate.yaml"
	start proxy gate "$@" "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 grep -q ready "$DIR/proxy.log" || {
		cat "$DIR/proxy.log"
		return 1
	}
}

# start_plain [LINE...]: a TCP listener on 192.0.2.2:8080 for 198.51.100.1:3000, and more
start_plain() {
	start_proxy < <(printf '%s\n' 'listeners:' \
		'  - name: plain' \
		'    address: "192.0.2.2:8080"' \
		'    routes: [{ name: app, backends: ["198.51.100.1:3000"] }]' "$@")
}

start_exporter() {
	start exporter gate "$BIN/tollgate-exporter" --listen 127.0.0.1:9980 --pins "$PINS"
	within 10 scrape
}

# start_peer NAME PLACE ARGUMENT...
start_peer() {
	local name=$1 place=$2
	shift 2
	start "$name" "$place" "$PEER" serve "$@"
	within 10 grep -q listening "$DIR/$name.log"
}

# sums NAME KEY: what a stopped peer measured
sums() { grep '^{' "$DIR/$1.log" | jq ".$2"; }

# Scrapes are cached for a second: wait until the page is made anew.
scrape() {
	at gate curl -fsS --max-time 10 http://127.0.0.1:9980/metrics
}

# fresh_scrape: figures made for this call, or at most 20 ms before it.  A page that takes
# longer than that to make is never younger: hence the time since the call.
fresh_scrape() {
	# shellcheck disable=SC2034 # used within eval
	local age called=${EPOCHREALTIME/./} asked
	within 10 eval 'asked=${EPOCHREALTIME/./}
		scrape >"$DIR/metrics" &&
		age=$(sed -n "s/^tollgate_data_age_seconds //p" "$DIR/metrics") &&
		[ "$((10#${age%.*}${age#*.}))" -le $((20000 + asked - called)) ]' || return
	cat "$DIR/metrics"
}

# metric NAME LABEL="VALUE"...: the sum of the samples on standard input with these labels;
# nothing, and 1, if the page has no such family at all
metric() {
	local name=$1
	shift
	awk -v name="$name" -v want="$*" '
		BEGIN { n = split(want, w, " "); family = name; sub(/_(total|count|sum|bucket)$/, "", family) }
		$1 == "#" && ($3 == name || $3 == family) { known = 1 }
		{
			brace = index($1, "{")
			if ((brace ? substr($1, 1, brace - 1) : $1) != name) next
			known = 1
			for (i = 1; i <= n; i++)
				if (!index($0, w[i])) next
			sum += $NF
		}
		END {
			if (!known) { print "no metric " name " on the page" >"/dev/stderr"; exit 1 }
			printf "%.0f\n", sum
		}'
}

# equal WANT GOT WHAT
equal() {
	[ "$1" = "$2" ] || {
		echo "$3: want $1, got $2"
		return 1
	}
}

# audit_is_clean [N]: so many checks were made, 4 without TLS and HTTP that end here, and nothing is
# left over
audit_is_clean() {
	run -0 --separate-stderr tollgate audit --json
	# shellcheck disable=SC2154 # run sets it
	jq -e "[.residual_bytes[] | values] | length == ${1:-4} and all(.[]; . == 0)" <<<"$output" >/dev/null || {
		jq . <<<"$output"
		return 1
	}
}

# listening PLACE PORT: something accepts there
listening() { [ -n "$(at "$1" ss -Hltn "sport = $2")" ]; }

# live N: that many live connections in the directory
live() { equal "$1" "$(tollgate flows --json | jq length)" live; }

# start_sink [PORT]: a backend that answers 64 bytes with 64
start_sink() {
	start sink backend "$BIN/tests/tools/load" serve "198.51.100.1:${1:-3000}" 64 64
	within 10 listening backend "${1:-3000}"
}

# gate_up [LINE...]: both devices watched, the listener plain, and its server
gate_up() {
	load --device front --device back
	start_peer server backend --listen 198.51.100.1:3000
	start_plain "$@"
}

# succeed NAME [COMMAND...]: a successor of the proxy, by that command
succeed() {
	local name=$1
	shift
	start "$name" gate "$@" "$BIN/tollgate-proxy" --upgrade --config "$DIR/gate.yaml" --pins "$PINS"
}
is_ready() { grep -q ready "$DIR/$1.log"; }

gone() { ! kill -0 "$1" 2>/dev/null; }
# established PORT N: that many connections of the gate's listener at that port
established() { [ "$(at gate ss -Htn state established "sport = $1" | wc -l)" = "$2" ]; }
# relayed N: that many to the backend at port 3000
relayed() { [ "$(at gate ss -Htn state established "dport = 3000" | wc -l)" = "$1" ]; }
# refused REASON: how many the proxy refused for it; refused_is REASON N
refused() {
	grep -q "\"$1\"" "$ROOT/bpf/abi_proxy.h" || {
		echo "there is no reason $1" >&2
		return 1
	}
	tollgate status --json | jq ".refused.$1 // 0"
}
refused_is() { equal "$2" "$(refused "$1")" "refused for $1"; }
mac_of() { at "$1" ip -j link show "$2" | jq -r '.[0].address'; }
nft_table_is_there() { at gate nft list table netdev tollgate; }
# backend_is BACKEND UP: 1 or 0, as the page says
backend_is() {
	fresh_scrape >"$DIR/backend.page" && grep -q "^tollgate_backend_up{.*backend=\"$1\"" "$DIR/backend.page" &&
		[ "$(metric tollgate_backend_up "backend=\"$1\"" <"$DIR/backend.page")" = "$2" ]
}

sockets_closed() { tollgate status --json | jq -e '.sockets | .opened == .closed'; }
