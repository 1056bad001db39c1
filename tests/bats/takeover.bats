#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A takeover that goes wrong, at every moment it may: clients are never refused, and who is
# told to stop stops.  Who may take over, and what has to come along.
# SESSIONS=16000 makes the large handover larger.

load helpers

setup() {
	stage_up
	load
	start_sink
}
teardown() { stage_down; }

# a user of this test alone, whose threads nobody else counts with
user=list

# start_gate [WORKERS] [LINE...]
start_gate() {
	start_plain "workers: ${1:-2}" "user: $user" "${@:2}"
}

over() { is_ready "$1" || gone "$2"; }
# ended_with CODE PID: not by run, whose shell has no such child
ended_with() {
	local code=0
	wait "$2" || code=$?
	equal "$1" "$code" "exit code"
}
threads() { ls "/proc/$1/task" | wc -l; }

# Ten new clients, each of which has an answer at once.
clients_are_served() {
	at client timeout 5 "$BIN/tests/tools/load" open 192.0.2.2:8080 64 64 2 10 >"$DIR/served" 2>&1 || {
		echo "clients are not served ($1): $(cat "$DIR/served")"
		tail -n 5 "$DIR"/*.log
		return 1
	}
}

# The proxy in the books, whichever it is
current() { tollgate status --json | jq .proxy.pid; }

# --- R2: a successor that goes, is stuck or cannot start ---

# doomed NAME N die|hang: a successor to which that happens before its N-th step
doomed() {
	succeed "$1" env LD_PRELOAD="$BIN/tests/tools/moment.so" ASAN_OPTIONS=verify_asan_link_order=0 \
		MOMENT="$2" MOMENT_DO="$3" MOMENT_FILE="$DIR/$1.happened"
}
happened() { [ -s "$DIR/$1.happened" ]; }

# at_every_moment die|hang: a successor to which that happens before its first step, its
# second ... until one has no more steps; after each there is a proxy, and it serves
at_every_moment() {
	local n name pid
	for ((n = 1; n < 100; n++)); do
		name=moment$n
		doomed "$name" "$n" "$1"
		pid=${name}_pid
		pid=${!pid}
		within 20 eval 'happened "$name" || over "$name" "$pid"'
		happened "$name" || break
		clients_are_served "$1 before step $n"
		stop "$pid" KILL
		clients_are_served "gone after $1 before step $n"
		within 5 eval '[ "$(current)" = "$proxy_pid" ]' || {
			echo "gone after $1 before step $n, and in the books is $(current)"
			return 1
		}
	done
	is_ready "$name" || {
		echo "after $1 before each of $((n - 1)) steps the next one does not start"
		tail -n 5 "$DIR/$name.log" "$DIR/proxy.log"
		return 1
	}
	echo "# $1 at $((n - 1)) moments" >&3
	[ "$n" -gt 5 ]
	clients_are_served "the last has taken over"
	within 10 eval '[ "$(current)" = "$pid" ]'
}

@test "a successor that is killed at any moment changes nothing: clients are served" {
	start_gate
	at_every_moment die
}

@test "a successor that is stuck at any moment: clients are served meanwhile, and when it is killed" {
	start_gate
	at_every_moment hang
}

@test "a successor that is killed at any moment takes those sessions with it that it had, and no other" {
	start_gate
	start_held live client "$DIR/go" "$BIN/tests/tools/load" hold 192.0.2.2:8080 64 64 50
	within 10 grep -q rate "$DIR/live.log"
	at_every_moment die
	# each was offered to successors that died, and to the last one all the same
	within 10 gone "$proxy_pid"
	local theirs
	theirs=$(sed -n 's/.*middle of the handover, and \([0-9]*\) connections with it.*/\1/p' "$DIR/proxy.log" | awk '{ n += $1 } END { print n + 0 }')
	equal $((50 - theirs)) "$(at gate ss -Htn state established "dport = 3000" | wc -l)" "live sessions"
	[ "$(grep -c 'and 0 connections with it' "$DIR/proxy.log")" -ge 3 ] # or hardly one came so far
	: >"$DIR/go"
	wait "$live_pid"
}

@test "a successor that is stuck does not freeze live sessions" {
	local n
	start_gate 1
	start_held live client "$DIR/go" "$BIN/tests/tools/load" hold 192.0.2.2:8080 64 64 200
	within 10 grep -q rate "$DIR/live.log"
	for ((n = 4; n < 16; n += 2)); do
		start "busy$n" client timeout 60 "$BIN/tests/tools/load" keep 192.0.2.2:8080 64 64 4 20000
		local busy=busy${n}_pid stuck=stuck${n}_pid
		doomed "stuck$n" "$n" hang
		within 20 eval 'happened "stuck$n" || over "stuck$n" "${!stuck}"'
		happened "stuck$n" || break
		! gone "${!busy}" || {
			echo "the exchanges were over before the successor was stuck: nothing is measured"
			return 1
		}
		# those that are there and those that come exchange bytes while it is stuck
		within 40 gone "${!busy}" || {
			echo "frozen while a successor is stuck before step $n"
			return 1
		}
		ended_with 0 "${!busy}"
		# two seconds is the patience with a successor that has been offered them
		[ "$(jq .max_us "$DIR/busy$n.log")" -lt 2500000 ]
		stop "${!stuck}" KILL
		clients_are_served "gone after being stuck before step $n"
	done
	[ "$n" -gt 5 ] # or hardly a step was tried
}

@test "a successor that is gone before it is answered changes nothing" {
	start_gate
	local n pid
	for n in 2 3 4; do
		kill -STOP "$proxy_pid"
		doomed "gone$n" "$n" die
		pid=gone${n}_pid
		within 5 eval 'happened "gone$n" && gone "${!pid}"' || : # or it waits for an answer
		kill -CONT "$proxy_pid"
		within 20 gone "${!pid}"
		clients_are_served "after one that went before step $n"
		equal "$proxy_pid" "$(current)" "the proxy in the books"
	done
}

@test "SIGTERM ends the old one in time, though a successor is stuck" {
	start_gate 2 'timeouts: { drain: 1s }'
	doomed next 2 hang # it has come, and says nothing
	within 10 happened next
	within 5 grep -q "a successor takes over" "$DIR/proxy.log"
	kill -TERM "$proxy_pid"
	within 5 gone "$proxy_pid"
}

@test "a successor that may start no worker gives up, and the old one goes on" {
	start_gate 4
	local most=$(($(threads "$proxy_pid") + 2)) # itself and its thread of checks
	succeed next prlimit --nproc="$most:$most"
	within 20 over next "$next_pid"
	run ! is_ready next
	within 10 gone "$next_pid"
	ended_with 1 "$next_pid"
	clients_are_served "after it"
	equal "$proxy_pid" "$(current)" "the proxy in the books"
}

@test "a successor that may start some of its workers gives up, and the old one goes on" {
	start_gate 4
	local most=$(($(threads "$proxy_pid") + 4)) i
	# its workers share the queues of the old one, and may take nobody from them
	for ((i = 1; i <= 5; i++)); do
		start clients client timeout 60 "$BIN/tests/tools/load" open 192.0.2.2:8080 64 64 64 1000
		succeed next prlimit --nproc="$most:$most"
		within 10 gone "$next_pid" || {
			echo "it hangs, with $(threads "$next_pid") threads"
			return 1
		}
		ended_with 1 "$next_pid"
		ended_with 0 "$clients_pid" || {
			echo "clients are not served while and after it, round $i:"
			cat "$DIR/clients.log"
			return 1
		}
	done
	equal "$proxy_pid" "$(current)" "the proxy in the books"
}

@test "SIGTERM ends a successor that may start some of its workers, and the old one too" {
	start_gate 4 'timeouts: { drain: 1s }'
	local most=$(($(threads "$proxy_pid") + 4))
	succeed next prlimit --nproc="$most:$most"
	within 10 grep -q "cannot start a worker" "$DIR/next.log"
	kill -TERM "$next_pid" 2>/dev/null || : # it may have gone by itself
	within 5 gone "$next_pid"
	kill -TERM "$proxy_pid"
	within 5 gone "$proxy_pid"
}

@test "a start that may have some of its threads only ends with an error" {
	printf '%s\n' 'listeners:' '  - { name: plain, address: "192.0.2.2:8080", routes: [{ name: app, backends: ["198.51.100.1:3000"] }] }' \
		'workers: 4' "user: $user" >"$DIR/gate.yaml"
	start proxy gate prlimit --nproc=4:4 "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 grep -q "cannot start a worker" "$DIR/proxy.log"
	within 5 gone "$proxy_pid"
	ended_with 1 "$proxy_pid"
}

# --- R3: who may take over ---

# hello: type HELLO, eight bytes: the versions of the handover and of the books, as they are
hello() {
	local handover books
	handover=$(awk '/define HANDOVER_VERSION/ { print $3 }' "$ROOT/proxy/process/handover.h")
	books=$(awk '/define TG_ABI_VERSION/ { print $3 }' "$ROOT/bpf/abi.h")
	printf '\1\0\0\0\10\0\0\0'"\\$(printf %o "$handover")"'\0\0\0'"\\$(printf %o "$books")"'\0\0\0'
}
# ask_as COMMAND...: what a successor says first, by nc; prints how many bytes it was told
ask_as() {
	hello >"$DIR/hello.bin"
	# shellcheck disable=SC2016 # expands in the inner shell
	at gate timeout 10 "$@" sh -c 'timeout 3 nc.openbsd -w 2 -U "$0" 2>/dev/null | wc -c' "$(handover_at)" <"$DIR/hello.bin"
}
# where the proxy is asked: a socket file
handover_at() { at gate ss -Hxl | awk -v end="handover-$proxy_pid.sock" 'index($5, end) { print $5 }'; }
# told_root: root is told something there, or what others are not told says nothing
told_root() {
	[ -n "$(handover_at)" ]
	[ "$(ask_as env)" -gt 0 ]
	chmod 644 "$DIR/hello.bin"
}

@test "uid 0 without a capability, in the same network namespace only, is told nothing by the proxy" {
	start_gate
	told_root
	# a container on the host's network: root there, with directories of its own
	# shellcheck disable=SC2016 # expands in the inner shell
	equal 0 "$(ask_as unshare --mount sh -c \
		'mount -t tmpfs none /run && exec setpriv --bounding-set -all --inh-caps -all "$@"' sh)" "bytes told"
	clients_are_served "by the old one"
}

@test "uid 0 of another user namespace is told nothing by the proxy" {
	start_gate
	told_root
	equal 0 "$(ask_as setpriv --reuid 65534 --clear-groups unshare --user --map-root-user)" "bytes told"
	clients_are_served "by the old one"
}

@test "nothing of the proxy listens by a name that the whole network namespace sees" {
	start_gate
	equal 0 "$(at gate ss -Hxl | awk '$5 ~ "^@.*tollgate"' | wc -l)" "abstract sockets"
}

@test "the proxy is asked by a socket file in a directory of root alone, which goes with it" {
	start_gate
	local file
	file=$(at gate ss -Hxl | awk '$5 ~ "^/.*/handover-[0-9]+.sock$" { print $5 }')
	[[ $file == /run/tollgate/*/handover-$proxy_pid.sock ]]
	equal "700 0:0" "$(stat -c '%a %u:%g' "$(dirname "$file")")" "its directory"
	succeed next
	within 20 is_ready next
	within 10 gone "$proxy_pid"
	within 5 [ ! -e "$file" ]
	clients_are_served "by the next"
	stop "$next_pid" KILL
	within 5 [ ! -e "${file%-*}-$next_pid.sock" ]
}

# --- R6, R7, R8: what comes along ---

# hold_from NAME: a client that has said a byte, and stays
hold_from() {
	# shellcheck disable=SC2016 # expands in the inner shell
	start "$1" client sh -c '(printf x; until [ -e "$0" ]; do sleep 0.05; done) | nc.openbsd -N 192.0.2.2 8080' "$DIR/go"
}

@test "per_source counts direct clients of a listener with PROXY headers over upgrades" {
	start_proxy <<-Y
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    proxy_protocol: { from: [10.0.0.0/8] }
		    limits: { per_source: 3 }
		    routes: [{ name: app, backends: ["198.51.100.1:3000"] }]
	Y
	local i
	for i in 1 2 3; do
		hold_from "held$i"
	done
	within 10 relayed 3
	hold_from fourth
	within 10 refused_is source_connections 1
	for i in 1 2; do
		succeed "next$i"
		within 20 is_ready "next$i"
		within 10 gone "$proxy_pid"
		proxy_pid=next${i}_pid proxy_pid=${!proxy_pid}
		hold_from "more$i"
		within 5 refused_is source_connections $((1 + i))
		relayed 3
	done
}

@test "a client whose hello was half there at an upgrade is handed over when it relays, not reset at drain" {
	start one backend "$HELLO" serve 198.51.100.1:3001 one
	within 10 listening backend 3001
	start_proxy <<-Y
		listeners:
		  - name: tls
		    address: "192.0.2.2:8443"
		    routes: [{ name: a, sni: [a.example.org], backends: ["198.51.100.1:3001"] }]
		timeouts: { drain: 2s, hello: 30s }
	Y
	"$HELLO" bytes "one record" a.example.org >"$DIR/hello"
	mkfifo "$DIR/says"
	start slow client sh -c "exec nc.openbsd -N 192.0.2.2 8443 <'$DIR/says'"
	exec 7>"$DIR/says"
	head -c 50 "$DIR/hello" >&7
	within 10 eval '[ "$(at gate ss -Htn state established "sport = 8443" | wc -l)" = 1 ]'
	succeed next 7>&- # or it would hold the pipe open
	within 20 is_ready next
	tail -c +51 "$DIR/hello" >&7
	within 10 grep -q '^one$' "$DIR/slow.log"
	# the old one goes: at once when it has given it away, or at the end of its drain
	within 10 gone "$proxy_pid"
	exec 7>&-
	within 10 gone "$slow_pid"
	equal "$(stat -c %s "$DIR/hello")" "$(awk 'NR == 2 { print $1 }' "$DIR/slow.log")" "bytes at the backend"
	refused_is drain_deadline 0
}

@test "a client that waited for its backend at an upgrade is handed over when it relays, not reset at drain" {
	start one backend "$HELLO" serve 198.51.100.1:3001 one
	within 10 listening backend 3001
	start_proxy <<-Y
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    routes: [{ name: a, backends: ["198.51.100.1:3001"] }]
		timeouts: { drain: 4s, connect: 30s }
	Y
	at backend nft 'add table inet late; add chain inet late in { type filter hook input priority 0; };
		add rule inet late in tcp dport 3001 tcp flags syn drop'
	mkfifo "$DIR/says"
	start slow client sh -c "exec nc.openbsd -N 192.0.2.2 8080 <'$DIR/says'"
	exec 7>"$DIR/says"
	within 10 eval '[ "$(at gate ss -Htn state syn-sent "dport = 3001" | wc -l)" = 1 ]'
	succeed next 7>&- # or it would hold the pipe open
	within 20 is_ready next
	at backend nft delete table inet late
	within 10 grep -q '^one$' "$DIR/slow.log"
	within 10 gone "$proxy_pid"
	(printf 'still there' >&7) || :
	exec 7>&-
	within 10 gone "$slow_pid"
	equal 11 "$(awk 'NR == 2 { print $1 }' "$DIR/slow.log")" "bytes at the backend"
}

@test "sessions exchange bytes while thousands of others are handed over" {
	local sessions=${SESSIONS:-8000} worst
	start_gate 1
	# the oldest: what comes last to be handed over waits longest
	start busy client "$BIN/tests/tools/load" keep 192.0.2.2:8080 64 64 2 100000
	within 10 relayed 2
	start_held many client "$DIR/go" "$BIN/tests/tools/load" hold 192.0.2.2:8080 64 64 "$sessions"
	within 60 grep -q rate "$DIR/many.log"
	within 10 relayed $((sessions + 2))
	succeed next
	within 20 is_ready next
	within 20 gone "$proxy_pid"
	gone "$busy_pid" && {
		echo "the exchanges were over before the handover: nothing is measured"
		return 1
	}
	wait "$busy_pid"
	worst=$(jq .max_us "$DIR/busy.log")
	echo "# slowest exchange while $sessions sessions moved: $worst us" >&3
	[ "$worst" -lt 100000 ]
}

# --- R14: health ---

@test "a backend that is dead is marked down, however often the configuration is read again" {
	start_plain
	start_exporter
	sed -i 's|routes: .*|routes: [{ name: app, backends: ["198.51.100.1:3000", "198.51.100.1:3009"], health: { interval: 500ms, fall: 3 } }]|' \
		"$DIR/gate.yaml"
	# shellcheck disable=SC2016 # expands in the inner shell
	start reloads gate sh -c 'until [ -e "$1" ]; do kill -HUP "$0"; sleep 0.6; done' "$proxy_pid" "$DIR/go"
	within 10 eval '[ "$(grep -c "read again" "$DIR/proxy.log")" -ge 2 ]'
	within 15 backend_is 198.51.100.1:3009 0
	: >"$DIR/go"
	backend_is 198.51.100.1:3000 1
}

@test "a successor knows which backends are down, and sends nobody there" {
	start one backend "$HELLO" serve 198.51.100.1:3001 one
	within 10 listening backend 3001
	start_proxy <<-Y
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    routes:
		      - name: app
		        backends: ["198.51.100.1:3001", "198.51.100.1:3009"]
		        retries: 0
		        health: { interval: 50ms, fall: 3 }
	Y
	start_exporter
	within 10 backend_is 198.51.100.1:3009 0
	sed -i 's/interval: 50ms/interval: 60s/' "$DIR/gate.yaml"
	succeed next
	within 20 is_ready next
	local i
	for i in 1 2 3 4 5 6; do
		equal one "$(at client timeout 5 nc.openbsd -N 192.0.2.2 8080 </dev/null 2>/dev/null | head -1)" "answer $i"
	done
	backend_is 198.51.100.1:3009 0
}

# --- R26: a listener that goes with an upgrade ---

@test "who waits in the queue of a listener that the successor does not have is served" {
	start_peer server backend --listen 198.51.100.1:3001
	cat >"$DIR/gate.yaml" <<-Y
		workers: 1
		listeners:
		  - { name: plain, address: "192.0.2.2:8080", routes: [{ name: app, backends: ["198.51.100.1:3000"] }] }
		  - { name: old, address: "192.0.2.2:8081", routes: [{ name: old, backends: ["198.51.100.1:3001"] }] }
	Y
	start proxy gate prlimit --nofile=150:150 "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 is_ready proxy
	# relays take every descriptor, so that nobody is accepted
	start_held crowd client "$DIR/go" "$BIN/tests/tools/load" hold 192.0.2.2:8080 64 64 100
	within 10 eval 'tollgate status --json | jq -e .proxy.accept_paused'
	start late client timeout 30 "$PEER" load --connect 192.0.2.2:8081 --connections 10 --parallel 10 --bytes 1000
	within 10 eval '[ "$(at client ss -Htn state established "dport = 8081" | wc -l)" = 10 ]'
	sed -i '/name: old/d' "$DIR/gate.yaml"
	succeed next
	within 20 is_ready next
	wait "$late_pid" || :
	equal "10 0" "$(sums late connections) $(sums late failed)" "of those that waited"
}
