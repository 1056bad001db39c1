#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Unix sockets to listen on and as backends: no packet, no TCP, every byte in the proxy's book.

load helpers

setup() {
	stage_up
	# the proxy is nobody, and so is who may connect
	mkdir -m 777 "$DIR/run"
	chmod 755 "$DIR" "${DIR%/*}" "${DIR%/*/*}"
	load --device front --device back
}
teardown() { stage_down; }

# proxied MORE...: three listeners, each kind of way; MORE is added to the first
proxied() {
	start_proxy < <(printf '%s\n' 'listeners:' \
		"  - name: in" "    address: 'unix:$DIR/run/in'" "$@" \
		'    routes: [{ name: a, backends: ["198.51.100.1:3000"] }]' \
		"  - name: through" "    address: 'unix:$DIR/run/through'" \
		"    routes: [{ name: b, backends: ['unix:$DIR/run/backend'] }]" \
		'  - { name: out, address: "192.0.2.2:8080", routes: [{ name: c, backends: ["unix:'"$DIR"'/run/backend"] }] }' \
		'timeouts: { drain: 2s }')
}
# echo_at: backends of both kinds that send back what comes
echo_at() {
	start tcp backend python3 "$DIR/echo.py" 198.51.100.1 3000
	start unix gate python3 "$DIR/echo.py" "$DIR/run/backend"
	within 5 listening backend 3000
	within 5 test -S "$DIR/run/backend"
}
write_echo() {
	cat >"$DIR/echo.py" <<-'P'
		import os, socket, sys, threading
		if len(sys.argv) == 3:
		    s = socket.create_server((sys.argv[1], int(sys.argv[2])))
		else:
		    s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o666); s.listen(100)
		def serve(c):
		    while d := c.recv(65536):
		        c.sendall(d)
		    c.close()
		while True:
		    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
	P
}
# back PLACE ARGUMENT...: 300,000 bytes there and back by nc
back() {
	local place=$1
	shift
	head -c 300000 /dev/urandom >"$DIR/sent"
	at "$place" timeout 20 nc.openbsd -N "$@" <"$DIR/sent" >"$DIR/got"
	cmp "$DIR/sent" "$DIR/got"
}
# payload LISTENER LEG DIRECTION: of $DIR/page
payload() {
	metric tollgate_proxy_payload_bytes_total "listener=\"$1\"" "leg=\"$2\"" "direction=\"$3\"" <"$DIR/page"
}

@test "unix to TCP, unix to unix, TCP to unix: every byte arrives, is counted, and the books agree" {
	write_echo
	echo_at
	proxied
	start_exporter
	back gate -U "$DIR/run/in"
	back gate -U "$DIR/run/through"
	back gate -U "$DIR/run/through"
	back client 192.0.2.2 8080
	within 10 sockets_closed
	fresh_scrape >"$DIR/page"
	for way in "in 300000" "through 600000" "out 300000"; do
		for leg in downstream upstream; do
			equal "${way#* } ${way#* }" "$(payload "${way% *}" $leg rx) $(payload "${way% *}" $leg tx)" "${way% *} $leg"
		done
	done
	run -0 tollgate audit
	at gate "$BIN/tollgate" events --last 9 --json --book proxy --exporter http://127.0.0.1:9980 |
		jq -se 'map(select(.listener == "through")) | length == 2'
	run tollgate check "$DIR/gate.yaml"
	[[ $output == *"listener in at unix:$DIR/run/in"* ]]
}

@test "a unix socket has its mode, replaces what a dead process left, and not what somebody listens on" {
	write_echo
	echo_at
	proxied '    mode: 640'
	equal 640 "$(stat -c %a "$DIR/run/in")" mode
	equal 666 "$(stat -c %a "$DIR/run/through")" "default mode"
	kill -KILL "$proxy_pid"
	wait "$proxy_pid" || :
	[ -S "$DIR/run/in" ]
	proxied '    mode: 640'
	back gate -U "$DIR/run/in"
	# another of the same
	run -1 at gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	[[ $output == *"another tollgate-proxy (pid $proxy_pid)"* ]] || {
		echo "$output"
		return 1
	}
	back gate -U "$DIR/run/in"
	stop "$proxy_pid"
	start other gate nc.openbsd -lkU "$DIR/run/other"
	within 5 test -S "$DIR/run/other"
	sed -i "s#unix:$DIR/run/in#unix:$DIR/run/other#" "$DIR/gate.yaml"
	run -1 at gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	[[ $output == *"listener 'in': unix:$DIR/run/other is in use by another program"* ]]
	# a file that is none of ours, where the socket or its first name should be
	for file in "$DIR/run/file" "$DIR/run/new+"; do
		echo precious >"$file"
		printf '%s\n' 'listeners:' "  - { name: in, address: 'unix:${file%+}', routes: [{ name: a, backends: ['198.51.100.1:3000'] }] }" >"$DIR/one.yaml"
		run -1 at gate "$BIN/tollgate-proxy" --config "$DIR/one.yaml" --pins "$PINS"
		[[ $output == *"is there and is no socket"* ]]
		equal precious "$(cat "$file")" "$file"
	done
}

@test "a reload and a successor keep a unix socket; who waits is served; one that is taken away is gone" {
	write_echo
	echo_at
	proxied
	# shellcheck disable=SC2016 # expands in the inner shell
	start held gate sh -c '(printf x; until [ -e "$0" ]; do sleep 0.05; done) | nc.openbsd -N -U "$1"' "$DIR/go" "$DIR/run/in"
	within 5 eval '[ "$(at gate ss -Hxn | grep -c "run/in")" -ge 1 ]'
	sed -i 's/name: a,/name: a2,/' "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 10 grep -q "read again" "$DIR/proxy.log"
	back gate -U "$DIR/run/in"
	succeed next
	within 20 is_ready next
	: >"$DIR/go"
	wait "$held_pid"
	wait "$proxy_pid"
	equal x "$(cat "$DIR/held.log")" "what came back to who lived through it"
	back gate -U "$DIR/run/in"
	back gate -U "$DIR/run/through"
	# under another name
	sed -i 's/name: through/name: renamed/' "$DIR/gate.yaml"
	kill -HUP "$next_pid"
	within 10 grep -q "read again" "$DIR/next.log"
	back gate -U "$DIR/run/through"
	# without it
	sed -i '/name: renamed/,/routes:/d' "$DIR/gate.yaml"
	kill -HUP "$next_pid"
	within 10 eval '[ "$(grep -c "read again" "$DIR/next.log")" = 2 ]'
	run ! back gate -U "$DIR/run/through"
	back gate -U "$DIR/run/in"
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "a PROXY header on a unix socket names the client, and without one the backend is told of none" {
	start_peer header_server backend --listen 198.51.100.1:3002 --proxy
	start_proxy < <(printf '%s\n' 'listeners:' \
		"  - name: in" "    address: 'unix:$DIR/run/in'" \
		'    routes: [{ name: a, send_proxy: v2, backends: ["198.51.100.1:3002"] }]' \
		"  - name: told" "    address: 'unix:$DIR/run/told'" '    proxy_protocol: { from: ["::/0"] }' \
		'    routes: [{ name: b, send_proxy: v2, backends: ["198.51.100.1:3002"] }]')
	start_exporter
	at gate timeout 5 nc.openbsd -N -U "$DIR/run/in" </dev/null || :
	within 5 grep -qE '^proxy v2 (local|unknown)' "$DIR/header_server.log" || {
		cat "$DIR/header_server.log"
		return 1
	}
	printf 'PROXY TCP4 203.0.113.9 192.0.2.2 1234 80\r\n' | at gate timeout 5 nc.openbsd -N -U "$DIR/run/told" || :
	within 5 grep -q '^proxy v2 203.0.113.9:1234 ' "$DIR/header_server.log"
	within 10 sockets_closed
	within 5 eval 'at gate curl -s "http://127.0.0.1:9980/records?limit=20" | grep -q 203.0.113.9 ||
		at gate "$BIN/tollgate" events --last 9 --json --exporter http://127.0.0.1:9980 | grep -q 203.0.113.9'
	# a client that sends none is refused where one is asked for
	printf 'hello\r\n' | at gate timeout 5 nc.openbsd -N -U "$DIR/run/told" || :
	within 5 eval '[ "$(fresh_scrape | metric tollgate_refused_total "reason=\"proxy_header_missing\"")" = 1 ]'
	run -0 tollgate audit
}

@test "what is wrong with the address of a unix socket is said" {
	local bad
	while IFS='|' read -r bad want; do
		printf '%s\n' 'listeners:' "  - name: in" "    $bad" '    routes: [{ name: a, backends: ["198.51.100.1:3000"] }]' >"$DIR/bad.yaml"
		run -1 tollgate check "$DIR/bad.yaml"
		[[ $output == *"$want"* ]] || {
			echo "$bad: $output"
			return 1
		}
	done <<-'E'
		address: "unix:relative"|the whole path of a socket
		address: "unix:"|the whole path of a socket
	E
	for mode in 9z 7777 rw; do
		printf '%s\n' 'listeners:' "  - { name: in, address: \"unix:/run/x\", mode: \"$mode\", routes: [{ name: a, backends: [\"198.51.100.1:3000\"] }] }" >"$DIR/bad.yaml"
		run -1 tollgate check "$DIR/bad.yaml"
		[[ $output == *"'$mode' is not a mode such as 660"* ]]
	done
	printf '%s\n' 'listeners:' '  - { name: in, address: "192.0.2.2:80", mode: "600", routes: [{ name: a, backends: ["198.51.100.1:3000"] }] }' >"$DIR/bad.yaml"
	run -1 tollgate check "$DIR/bad.yaml"
	[[ $output == *"has no mode"* ]]
	printf '%s\n' 'listeners:' '  - { name: in, address: "unix:/run/x", routes: [{ name: a, backends: ["unix:/run/x"] }] }' >"$DIR/bad.yaml"
	run -1 tollgate check "$DIR/bad.yaml"
	[[ $output == *"loop"* || $output == *"itself"* ]]
}
