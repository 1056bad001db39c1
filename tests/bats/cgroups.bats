#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Rows of the host's sockets by cgroup: units of systemd, containers, whoever.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

# serve_in CGROUP PORT: reads what comes, in that cgroup below the counted one
serve_in() {
	mkdir -p "$CGROUP/$1"
	# shellcheck disable=SC2016 # expands in the inner shell
	start "server$2" gate sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$CGROUP/$1" nc.openbsd -lk 192.0.2.2 "$2"
	within 5 listening gate "$2"
}
# send PORT BYTES: from the client
send() { head -c "$2" /dev/zero | at client nc.openbsd -N 192.0.2.2 "$1"; }
# rx LABEL...: what came to accepted sockets with these labels
rx() { fresh_scrape | metric tollgate_tcp_payload_bytes_total 'leg="host"' 'role="accepted"' 'direction="rx"' "$@"; }

@test "sockets of the host have rows by unit, by scope, by path and by the root, to the byte" {
	mkdir -p "$CGROUP"/{web.service,user.slice/shell.scope,pods/pod7}
	load --device front --by-cgroup
	start_exporter
	serve_in web.service 7001
	serve_in user.slice/shell.scope 7002
	serve_in pods/pod7 7003
	start root gate nc.openbsd -lk 192.0.2.2 7004
	within 5 listening gate 7004
	send 7001 1000
	send 7002 2000
	send 7003 3000
	send 7004 4000
	within 10 sockets_closed
	equal "1000 2000 3000 4000" "$(rx 'cgroup="web.service"') $(rx 'cgroup="shell.scope"') $(rx 'cgroup="pods/pod7"') $(rx 'cgroup="/"' 'port="7004"')" \
		"bytes by cgroup"
	equal 1000 "$(rx 'port="7001"')" "bytes of the port"
	run -0 tollgate audit
	at gate "$BIN/tollgate" events --last 100 --json --book tcp --port 7001 --exporter http://127.0.0.1:9980 |
		jq -se 'any(.cgroup == "web.service" and .rx_payload_bytes == 1000)'
	run tollgate audit --rows
	[[ $output == *"host accepted on port 7001 of web.service"* ]]
}

@test "a service that is started again, in a cgroup of another number, goes on in its row" {
	mkdir "$CGROUP/web.service"
	load --device front --by-cgroup
	start_exporter
	local i number="" again
	for i in 1 2 3; do
		serve_in web.service 7001
		again=$(stat -c %i "$CGROUP/web.service")
		[ "$again" != "$number" ] || return 1 # or nothing was tried
		number=$again
		# whoever lives looks twice a second
		within 5 known "$number"
		send 7001 1000
		within 10 sockets_closed
		equal $((1000 * i)) "$(rx 'cgroup="web.service"')" "bytes after start $i"
		stop "$server7001_pid"
		within 5 rmdir "$CGROUP/web.service"
	done
	# and the numbers of those that are gone are forgotten
	within 5 eval '[ "$(bpftool -j map dump pinned "$PINS/cgroups" | jq length)" = 1 ]'
	run -0 tollgate audit
}
# known NUMBER: the kernel side has a name for the cgroup of this number
known() {
	# shellcheck disable=SC2046 # words
	bpftool -j map lookup pinned "$PINS/cgroups" key hex $(printf '%016x\n' "$1" | fold -w2 | tac)
}

@test "cgroups without number: the rows of the first 512 names are kept apart, and no byte is lost" {
	mkdir "$CGROUP"/c{0001..0520}
	load --device front --by-cgroup
	start_exporter
	serve_in c0520 7001
	serve_in c0001 7002
	send 7001 1000
	send 7002 1000
	within 10 sockets_closed
	equal "1000 1000" "$(rx 'port="7001"') $(rx 'port="7002"')" "bytes of both"
	run -0 tollgate audit
	within 5 grep -q "more than 512 names of cgroups" "$DIR/exporter.log"
	[ "$(bpftool -j map dump pinned "$PINS/names" | jq length)" -le 512 ]
}

@test "without --by-cgroup there is no such label, and totals that are gone on with keep it" {
	mkdir "$CGROUP/web.service"
	load --device front --by-cgroup
	serve_in web.service 7001
	send 7001 1000
	within 10 sockets_closed
	tollgate export-totals "$DIR/totals.json"
	tollgate unload
	load --device front --continue "$DIR/totals.json" --by-cgroup
	start_exporter
	send 7001 1000
	within 10 sockets_closed
	equal 2000 "$(rx 'cgroup="web.service"')" "bytes of both loads"
	stop "$exporter_pid"
	tollgate unload
	load --device front
	start_exporter
	send 7001 1000
	within 10 sockets_closed
	equal 1000 "$(rx 'port="7001"')" "bytes of the port"
	run ! eval 'fresh_scrape | grep -q cgroup='
}
