#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The control socket of a running proxy, and the commands that ask it: what is said is done,
# what is refused changes nothing, and nobody else is disturbed.

load helpers

setup() {
	stage_up
	load
}
teardown() {
	: >"$DIR/go"
	stage_down
}

# two backends, and another that the file drains
gate() {
	start_peer one backend --listen 198.51.100.1:3000
	start_peer two backend --listen 198.51.100.1:3001
	start_proxy < <(config)
	start_exporter
}
config() {
	printf '%s\n' 'listeners:' '  - name: in' '    address: "192.0.2.2:8080"' '    routes:' '      - name: app' \
		'        backends: ["198.51.100.1:3000", "198.51.100.1:3001", "198.51.100.1:3002 drain"]' "$@"
}
socket_of() { echo "$(dirname "$(ls -t /run/tollgate/*/control-"$1".sock | head -1)")/control-$1.sock"; }
# api METHOD PATH [OPTION...]: the status in $status, the answer in $output
api() {
	local method=$1 path=$2
	shift 2
	run -0 curl -sS --max-time 20 --unix-socket "$(socket_of "$proxy_pid")" -X "$method" -w '\n%{http_code}' "$@" "http://x$path"
	status=${output##*$'\n'}
	output=${output%$'\n'*}
}
# says STATUS FILTER: the last answer
says() {
	[ "$status" = "$1" ] && jq -e "$2" <<<"$output" >/dev/null || {
		echo "$status, not $1 with $2: $output"
		return 1
	}
}
# keep NAME: a connection that says nothing, until the file `go` exists
keep() {
	start_held "$1" client "$DIR/go" nc.openbsd -N 192.0.2.2 8080
	within 10 established 8080 "$2"
}
id_of() { tollgate connections --json | jq -r ".connections[$1].id"; }
ended() { [ "$(fresh_scrape | metric tollgate_ended_total "reason=\"$1\"")" = "$2" ]; }

@test "what is asked: the process, its configuration, its backends; who may; what is none" {
	gate
	api GET /v1/status
	says 200 ".pid == $proxy_pid and .workers > 0 and .revision == 1 and .draining == false and .listeners[0].name == \"in\""
	api GET /v1/config -D "$DIR/head"
	equal 200 "$status" "the configuration"
	grep -qi '^etag: "1"' "$DIR/head"
	[[ $output == *"198.51.100.1:3002 drain"* ]]
	printf '%s\n' "$output" >"$DIR/c.yaml"
	run -0 "$BIN/tollgate" diff "$DIR/gate.yaml" "$DIR/c.yaml"
	api GET /v1/backends
	says 200 '.backends | length == 3 and .[0].up and .[0].drained == null and .[2].drained == "file"'
	api GET /v1/openapi.json
	says 200 '.openapi == "3.1.0" and (.paths | length) >= 10 and .paths["/v1/connections/{id}"].delete.parameters[0].in == "path"'
	# every one of them is there: none answers 404 or 405, but of an id that is none
	while read -r method path; do
		api "$method" "$(sed 's/{[a-z]*}/1/g' <<<"$path")" -d '{}'
		[[ $status != 405 && ($status != 404 || $path == *'{'* || $path == /v1/snapshot || $path == /v1/objects) ]] || { echo "$method $path: $status" && false; }
	done < <(api GET /v1/openapi.json && jq -r '.paths | to_entries[] | .key as $p | .value | keys[] | ascii_upcase + " " + $p' <<<"$output")
	# and what is none, or cannot be read
	api GET /v2/status
	says 404 '.type == "/problems/no-such-path" and .status == 404'
	api POST /v1/status -D "$DIR/head"
	says 405 '.detail == "there are: GET"'
	grep -qi '^allow: GET' "$DIR/head"
	api GET '/v1/%ff%fe'
	says 404 '.type == "/problems/no-such-path"'
	api DELETE '/v1/connections?listener=%ff%0a'
	says 200 '.killed == 0'
	api GET /v1/changes
	says 200 '.changes[-1].what == "kill listener ? : 0 connections"'
	# what names less than was meant ends nothing
	api DELETE '/v1/connections?listener=in&clent=192.0.2.9'
	says 400 '.type == "/problems/bad-argument" and (.detail | test("^clent: "))'
	api DELETE '/v1/connections?listener=in&client'
	says 400 '.type == "/problems/bad-argument"'
	run -2 tollgate kill --listener in --port 4001
	run -2 tollgate kill --limit 3
	api PUT /v1/config -d 'x'
	says 409 '.type == "/problems/file-is-the-truth" and (.detail | test("gate.yaml"))'
	api POST /v1/drain -d '{"backend": }'
	says 400 '.type == "/problems/not-json" and (.detail | test("line 1, column"))'
	api POST /v1/drain -d '[]'
	says 400 '.type == "/problems/not-an-object"'
	api POST /v1/config/check --data-binary '{"listeners": [{"name": "a", "address": 443, "routes": [{"name": "r", "backend": ["10.0.0.1:1"]}]}]}'
	says 422 '(.errors | length) == 2 and .errors[0].line == 1 and (.errors[0].detail | test("port alone"))'
	api POST /v1/config/check --data-binary "@$DIR/gate.yaml"
	says 200 '.fine'
	head -c 4300000 /dev/zero | tr '\0' '#' >"$DIR/large"
	api POST /v1/config/check --data-binary "@$DIR/large"
	says 413 '.status == 413'
	# nobody but root comes to it
	run -0 stat -c '%a %U' "$(socket_of "$proxy_pid")" "$(dirname "$(socket_of "$proxy_pid")")"
	equal $'600 root\n700 root' "$output" "who may"
	run -7 setpriv --reuid 65534 --regid 65534 --clear-groups curl -sS --unix-socket "$(socket_of "$proxy_pid")" http://x/v1/status
	run -0 tollgate status
	[[ $output == *"$(socket_of "$proxy_pid")"* ]]
	# one that nobody can reach any more is not said to be there
	rm "$(socket_of "$proxy_pid")"
	run -0 tollgate status
	[[ $output == *"control    nobody answers"* ]]
	run -0 --separate-stderr tollgate status --json
	jq -e '.control == null' <<<"$output"
	run -3 tollgate reload
	[[ $output == *"cannot be reached"* ]]
}

@test "reload says what has changed, or all that is wrong, and then nothing is" {
	gate
	config '      - { name: more, from: [10.0.0.0/8], backends: ["198.51.100.1:3009"] }' | sed 's/3001"/3003"/' >"$DIR/gate.yaml"
	# what it would be, first
	run -0 tollgate reload --dry-run
	[[ $output == *'+ listeners[in].routes[more]: '*'revision 1 is in force, 2 differences to the file' ]]
	api GET /v1/config
	[[ $output != *more* ]]
	run -0 tollgate reload
	[[ $output == *'~ listeners[in].routes[app].backends: '*'3001'*' -> '*'3003'* ]]
	[[ $output == *'+ listeners[in].routes[more]: '* ]]
	[[ $output == *'revision 2 is in force, 2 differences'* ]]
	run -0 tollgate reload
	equal 'revision 3 is in force, 0 differences' "$output" "nothing new"
	# all that is wrong, and it stays as it was
	config '      - { name: more, backend: ["198.51.100.1:3009"] }' | sed 's/address: .*/address: 8080/' >"$DIR/gate.yaml"
	run -1 tollgate reload --dry-run
	[[ $output == *'gate.yaml:3:14: '*"backend: is no key here"* ]]
	run -1 tollgate reload
	[[ $output == *'gate.yaml:3:14: listeners[0].address: '*'port alone'* ]]
	[[ $output == *"gate.yaml:7:23: listeners[0].routes[1].backend: is no key here; did you mean 'backends'?"* ]]
	[[ $output == *'nothing was changed'* ]]
	rm "$DIR/gate.yaml"
	run -1 tollgate reload
	[[ $output == *'cannot be read: No such file'* ]]
	api GET /v1/config
	[[ $output == *more* && $output == *3003* ]]
	fresh_scrape >"$DIR/page"
	equal "2 2" "$(metric tollgate_proxy_reloads_total 'result="ok"' <"$DIR/page") $(metric tollgate_proxy_reloads_total 'result="refused"' <"$DIR/page")" "counted"
	# an address that another has: refused, and the old one stays
	config | sed 's/192.0.2.2:8080/203.0.113.77:8080/' >"$DIR/gate.yaml"
	run -1 tollgate reload
	[[ $output == *'203.0.113.77:8080'*'Cannot assign requested address'*'nothing was changed'* ]]
	within 5 grep -q '203.0.113.77' "$DIR/proxy.log"
	at client nc.openbsd -z 192.0.2.2 8080
	# who looked at another revision is told so
	config >"$DIR/gate.yaml"
	api POST /v1/config/reload -H 'If-Match: "2"'
	says 412 '.type == "/problems/stale"'
	api POST /v1/config/reload -H 'If-Match: "3"' -D "$DIR/head"
	says 200 '.revision == 4'
	grep -qi '^etag: "4"' "$DIR/head"
	kill -HUP "$proxy_pid"
	within 10 eval 'tollgate changes | grep -q "reload by SIGHUP"'
	tollgate changes --json >"$DIR/changes"
	jq -e '[.changes[] | select(.what | test("^reload"))] | map(.done) == [true, true, false, false, false, true, true] and all(.uid == 0 and .pid > 0)' "$DIR/changes" ||
		{ cat "$DIR/changes" && false; }
}

@test "kill: one by its id, those of a client, a backend or a state, and no others; an id outlives an upgrade" {
	gate
	keep a 1
	keep b 2
	keep c 3
	within 10 eval 'tollgate connections --json | jq -e ".matched == 3"'
	run -0 tollgate connections
	equal 3 "${#lines[@]}" "lines"
	local ids first
	ids=$(tollgate connections --json | jq -r '[.connections[].id] | sort | join(" ")')
	succeed next
	within 10 is_ready next
	within 15 gone "$proxy_pid"
	proxy_pid=$next_pid
	within 10 eval 'tollgate connections --json | jq -e ".matched == 3"'
	equal "$ids" "$(tollgate connections --json | jq -r '[.connections[].id] | sort | join(" ")')" "ids after an upgrade"
	tollgate connections --json | jq -e '.connections[0] | .state == "relay" and .listener == "in" and .route == "app" and .age_seconds > 0 and (.client | test("192.0.2.1:"))'
	first=$(id_of 0)
	api GET "/v1/connections/$first"
	says 200 ".id == \"$first\""
	run -0 tollgate kill "$first"
	equal "1 connection ended" "$output" "by id"
	within 10 established 8080 2
	run -1 tollgate kill "$first"
	run -2 tollgate kill
	[[ $output == *"which?"* ]]
	api DELETE /v1/connections
	says 400 '.type == "/problems/all-connections"'
	api DELETE '/v1/connections?state=wonder'
	says 400 '.type == "/problems/bad-state"'
	run -1 tollgate kill --address 192.0.2.99
	run -1 tollgate kill --route none
	established 8080 2
	run -0 tollgate kill --address 192.0.2.1 --listener in --state relay
	equal "2 connections ended" "$output" "by client"
	within 10 established 8080 0
	within 10 ended killed 3
	within 20 sockets_closed
	audit_is_clean 2
	tollgate why 192.0.2.1 | grep -q 'who runs the gate ended it'
	tollgate changes | grep -q "kill id $first: 1 connections"
}

@test "kill of many, while others come and go: who is named ends, who is not does not notice" {
	start_peer one backend --listen 198.51.100.1:3000
	start_peer two backend --listen 198.51.100.1:3001
	start_proxy < <(printf '%s\n' 'listeners:' \
		'  - { name: in, address: "192.0.2.2:8080", routes: [{ name: app, backends: ["198.51.100.1:3000"] }] }' \
		'  - { name: other, address: "192.0.2.2:8081", routes: [{ name: other, backends: ["198.51.100.1:3001"] }] }')
	start_exporter
	start others client timeout 60 "$PEER" load --connect 192.0.2.2:8081 --connections 3000 --parallel 20 --mix assorted --seed 7
	local round slowly
	for round in 1 2 3 4 5; do
		start "idle$round" client /usr/bin/python3 -c 'import socket, sys
all = [socket.create_connection(("192.0.2.2", 8080)) for _ in range(300)]
print("there", flush=True)
for s in all:
    try:
        got = s.recv(1)
    except ConnectionResetError:
        got = "reset"
    assert got == "reset", got
print("all reset", flush=True)'
		within 20 grep -q there "$DIR/idle$round.log"
		within 10 eval 'tollgate connections --listener in --json | jq -e ".matched == 300"'
		# at once, and so many at a time
		slowly=()
		[ "$round" != 3 ] || slowly=(--rate 70/10ms)
		run -0 tollgate kill --listener in "${slowly[@]}"
		[[ $output == *"300 connections ended" ]]
		[ "$round" != 3 ] || [ "$(grep -c 'connections ended' <<<"$output")" = 6 ]
		within 10 grep -q "all reset" "$DIR/idle$round.log" || { ls -la "$DIR"; cat "$DIR"/idle*.log; false; }
	done
	wait "$others_pid"
	jq -e '.connections == 3000 and .failed == 0 and .wrong == 0' < <(grep '^{' "$DIR/others.log")
	within 10 ended killed 1500
	within 20 sockets_closed
	audit_is_clean 2
}

@test "kill of clients of HTTP: between requests and within, by both versions; every byte stays in its book" {
	source "$BATS_TEST_DIRNAME/http.bash"
	start_origin
	start_proxy < <(web '    routes:' "$app")
	start_exporter
	start slow1 client curl -s --limit-rate 10k http://192.0.2.2:8080/bytes/10000000 -o /dev/null
	start slow2 client curl -s --http2-prior-knowledge --limit-rate 10k http://192.0.2.2:8080/bytes/10000000 -o /dev/null
	start_held idle client "$DIR/go" nc.openbsd 192.0.2.2 8080
	within 10 eval 'tollgate connections --state serve --json | jq -e ".matched == 3"'
	within 10 eval '[ "$(tollgate connections --json | jq "[.connections[] | select(.tx_bytes > 100000)] | length")" = 2 ]'
	run -0 tollgate kill --state serve
	equal "3 connections ended" "$output" "clients of HTTP"
	within 10 established 8080 0
	within 10 ended killed 3
	stop "$slow1_pid"
	stop "$slow2_pid"
	equal 10 "$(ask /bytes/10 | wc -c)" "others"
	: >"$DIR/go"
	stop "$origin_pid"
	within 20 sockets_closed
	audit_is_clean 3
}

@test "drain: nobody new goes to a backend, who is there stays; over a reload and an upgrade, until it is taken back" {
	gate
	keep a 1
	keep b 2
	# N connections, and how many of them to the backend at 3000
	spread() {
		local before after
		before=$(fresh_scrape | metric tollgate_connections_opened_total 'leg="upstream"' 'backend="198.51.100.1:3000"')
		at client timeout 20 "$PEER" load --connect 192.0.2.2:8080 --connections 20 --parallel 1 --mix assorted --seed 3 >/dev/null 2>&1
		after=$(fresh_scrape | metric tollgate_connections_opened_total 'leg="upstream"' 'backend="198.51.100.1:3000"')
		echo $((after - before))
	}
	equal 10 "$(spread)" "in turn"
	run -0 tollgate drain 198.51.100.1:3000
	equal "1 backend, 1 changed" "$output" "drained"
	equal 0 "$(spread)" "none goes there"
	established 8080 2
	tollgate backends | grep -q "198.51.100.1:3000 .*drained by 'tollgate drain'"
	run -0 tollgate drain 198.51.100.1:3000
	equal "1 backend, 0 changed" "$output" "again"
	run -0 tollgate reload
	equal 0 "$(spread)" "after a reload"
	succeed next
	within 10 is_ready next
	within 15 gone "$proxy_pid"
	proxy_pid=$next_pid
	equal 0 "$(spread)" "after an upgrade"
	# with the other it has none: refused with its reason, not a connection to it
	run -0 tollgate drain --route app
	[[ $output == "3 backends, "* ]]
	within 10 eval '[ "$(tollgate backends --json | jq "[.backends[] | select(.drained == \"control\")] | length")" = 2 ]'
	run at client timeout 5 nc.openbsd -N 192.0.2.2 8080 </dev/null # it is reset
	within 10 refused_is no_backend 1
	run -0 tollgate undrain --listener in
	[[ $output == *"1 of them are drained by the file"*"3 backends, "* ]]
	equal 10 "$(spread)" "in turn again"
	run -1 tollgate drain 198.51.100.9:1
	[[ $output == *"no such backend"* ]]
	run -2 tollgate drain
	established 8080 2
	: >"$DIR/go"
	within 20 sockets_closed
	audit_is_clean 2
}

@test "how much is logged, who changed what, and a proxy that ends" {
	gate
	equal info "$(tollgate log-level)" "the level"
	run -0 tollgate log-level debug
	keep a 1
	: >"$DIR/go"
	within 10 grep -q 'debug: session' "$DIR/proxy.log"
	run -1 tollgate log-level loud
	[[ $output == *"error, warn, info or debug"* ]]
	tollgate changes | grep -q 'uid 0 tollgate (pid [0-9]*): log-level debug'
	grep -q 'change 1 by uid 0 (tollgate, pid [0-9]*): log-level debug' "$DIR/proxy.log"
	# no proxy, no answer
	stop "$proxy_pid"
	run -3 tollgate reload
	[[ $output == *"no proxy runs"* ]]
}

@test "a proxy that drains says so, and changes nothing" {
	gate
	keep a 1
	kill -TERM "$proxy_pid"
	within 10 eval 'api GET /v1/status && jq -e .draining <<<"$output"'
	api POST /v1/config/reload
	says 409 '.type == "/problems/draining"'
	run -1 tollgate drain --route app
	run -0 tollgate kill --listener in
	within 10 gone "$proxy_pid"
}

@test "the service manager is told: ready, reloading, another main process, alive, stopping" {
	chmod 755 "$DIR" "${DIR%/*}" "${DIR%/*/*}"
	start manager gate /usr/bin/python3 -u -c 'import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o666)
while True: print(s.recv(4096).decode().replace("\n", " "))' "$DIR/notify"
	within 5 test -S "$DIR/notify"
	told() { [ "$(grep -cE "$1" "$DIR/manager.log")" = "$2" ]; }
	start_peer one backend --listen 198.51.100.1:3000
	config >"$DIR/gate.yaml"
	start proxy gate env NOTIFY_SOCKET="$DIR/notify" WATCHDOG_USEC=4000000 "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 told "^READY=1 MAINPID=$proxy_pid STATUS=1 listeners, revision 1$" 1
	within 10 told '^WATCHDOG=1$' 2
	run -0 tollgate reload
	within 5 told '^RELOADING=1 MONOTONIC_USEC=[0-9]+$' 1
	within 5 told "^READY=1 MAINPID=$proxy_pid STATUS=1 listeners, revision 2$" 1
	# one that is refused is over, too
	config | sed 's/address: .*/address: 1/' >"$DIR/gate.yaml"
	run -1 tollgate reload
	within 5 told "^READY=1 MAINPID=$proxy_pid STATUS=1 listeners, revision 2$" 2
	config >"$DIR/gate.yaml"
	kill -USR2 "$proxy_pid"
	within 15 gone "$proxy_pid"
	within 5 eval 'grep -E "^READY=1 MAINPID=[0-9]+ STATUS=1 listeners" "$DIR/manager.log" | tail -1 | grep -qv "MAINPID=$proxy_pid "'
	next_pid=$(sed -n 's/^READY=1 MAINPID=\([0-9]*\) .*/\1/p' "$DIR/manager.log" | tail -1)
	PIDS+=("$next_pid")
	equal "$next_pid" "$(tollgate status --json | jq .proxy.pid)" "who serves"
	# the old one drained because it was succeeded: the service does not stop
	told '^STOPPING=1' 0
	kill -TERM "$next_pid"
	within 10 told '^STOPPING=1 STATUS=draining$' 1
	within 10 gone "$next_pid"
	# nobody to be told is no trouble; one that cannot be is a warning
	start proxy gate env NOTIFY_SOCKET="$DIR/none" "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 grep -q 'ready$' "$DIR/proxy.log"
	within 5 grep -q 'the service manager cannot be told: No such file' "$DIR/proxy.log"
}

@test "--log-format json: each line is an object, whatever is in it; --check runs nothing" {
	config >"$DIR/gate.yaml"
	run -0 at gate "$BIN/tollgate-proxy" --check --config "$DIR/gate.yaml" --pins "$PINS"
	[[ $output == *'gate.yaml: fine, 1 listener' ]]
	printf '%s\n' 'listeners: [{ name: "a\"b\\c\nd", address: 1, routes: [{ name: r }] }]' >"$DIR/wrong.yaml"
	run -1 at gate "$BIN/tollgate-proxy" --check --config "$DIR/wrong.yaml"
	equal 4 "${#lines[@]}" "errors, and how many"
	run -1 at gate "$BIN/tollgate-proxy" --log-format json --check --config "$DIR/wrong.yaml"
	jq -es 'length == 4 and all(.level == "error" and .program == "tollgate-proxy" and (.time | test("^20.*Z$"))) and
		(.[0].message | test("a\"b.c d"))' <<<"$output"
	run -2 at gate "$BIN/tollgate-proxy" --log-format xml --check --config "$DIR/gate.yaml"
}

@test "20,000 malformed requests: each is answered or cut off, and the proxy serves on" {
	gate
	start others client timeout 120 "$PEER" load --connect 192.0.2.2:8080 --connections 2000 --parallel 4 --mix assorted --seed 9
	/usr/bin/python3 - "$(socket_of "$proxy_pid")" >"$DIR/seen" <<-'P'
		import random, socket, sys, time
		random.seed(4)
		words = [b"GET", b"POST", b"DELETE", b"PUT", b"\x00", b"/v1/status", b"/v1/connections", b"/v1/connections/zz", b"/v1/drain",
		         b"/v1/config/check", b"/v1/log-level", b"?id=", b"%00", b"%", b" HTTP/1.1", b"\r\n", b"\n", b"Host: x", b"Content-Length: ",
		         b"Transfer-Encoding: chunked", b"-1", b"99999999999999999999", b"7", b"{\"drain\":", b"{", b"[[[[", b"\"\\ud800\"", b"\xff",
		         b"A" * 5000, b": ", b"If-Match: \"", b"listeners: [", b"&a", b"*a", b"0\r\n\r\n", b"limit=-1", b"client=::1"]
		def connect():
		    while True:
		        s = socket.socket(socket.AF_UNIX); s.settimeout(.005)
		        try:
		            s.connect(sys.argv[1])
		            return s
		        except (BlockingIOError, TimeoutError):
		            s.close()
		            time.sleep(.01)
		# all of its places are taken by who says little, twice; it is there again afterwards
		for _ in range(2):
		    held = [connect() for _ in range(40)]
		    for s in held: s.sendall(b"G")
		    time.sleep(.2)
		    for s in held: s.close()
		seen = {}
		for n in range(20000):
		    s = connect()
		    text = b"".join(random.choice(words) for _ in range(random.randrange(1, 12)))
		    if random.random() < .7:
		        method, path = random.choice([b"GET", b"POST", b"DELETE", b"PUT"]), random.choice([w for w in words if w[:1] == b"/"] + [b"/%ff", b"/v1/connections?state=%ff", b"/v1/connections/%e2%82", b"/v1/changes?after=\xff"])
		        text = method + b" " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(text) + text
		    try:
		        s.sendall(text)
		        got = s.recv(65536)[:12]
		    except (ConnectionResetError, BrokenPipeError):
		        got = b"reset"
		    except TimeoutError:
		        got = b"waits for more"
		    seen[got] = seen.get(got, 0) + 1
		    s.close()
		print(seen)
		bad = any(k.startswith(b"HTTP/1.1 5") and not k.startswith((b"HTTP/1.1 501", b"HTTP/1.1 505")) for k in seen)
		sys.exit(f"unexpected: {seen}" if bad or len(seen) < 4 else 0)
	P
	sed "s/^/# /" "$DIR/seen" >&3
	wait "$others_pid"
	jq -e '.connections == 2000 and .failed == 0 and .wrong == 0' < <(grep '^{' "$DIR/others.log")
	api GET /v1/status
	says 200 '.draining == false'
	within 20 sockets_closed
	audit_is_clean 2
}
