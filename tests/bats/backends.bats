#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Which backend gets a connection, and what happens when one cannot take it.

load helpers

setup() {
	stage_up
	load
}
teardown() {
	let_go first second third
	stage_down
}

# start_backend NAME PORT: says its name to whoever connects
start_backend() {
	start "$1" backend "$HELLO" serve "198.51.100.1:$2" "$1"
	within 10 grep -q listening "$DIR/$1.log"
}

# start_route KEY...: a route `app` on 192.0.2.2:8080 with these lines
start_route() {
	start_proxy < <(printf '%s\n' 'listeners:' '  - name: plain' '    address: "192.0.2.2:8080"' \
		'    routes:' '      - name: app' && printf '        %s\n' "$@" && printf 'timeouts: { connect: 500ms }\n')
	start_exporter
}

# ask [N]: who answers each of N connections, sorted and counted
ask() {
	local i
	for ((i = 0; i < ${1:-1}; i++)); do
		at client timeout 10 nc.openbsd -N 192.0.2.2 8080 </dev/null | head -1
	done | sort | uniq -c | awk '{ printf "%s%s=%s", sep, $2, $1; sep = " " }'
}

# hold NAME: a connection that stays until let_go
hold() {
	start_held "$1" client "$DIR/$1.go" nc.openbsd -N 192.0.2.2 8080
}
let_go() {
	local name
	for name; do
		: >"$DIR/$name.go"
	done
}

reloads() { [ "$(grep -c "read again" "$DIR/proxy.log")" = "$1" ]; }
up() { fresh_scrape | metric tollgate_backend_up "backend=\"198.51.100.1:$1\""; }
is_up() { [ "$(up "$1")" = "$2" ]; }
answered() { [ "$(head -1 "$DIR/$1.log")" = "$2" ]; }

@test "health: who fails its checks gets no connection until it passes them again" {
	start_backend one 3001
	start_backend two 3002
	start_route 'backends: ["198.51.100.1:3001", "198.51.100.1:3002"]' \
		'health: { interval: 50ms, timeout: 500ms, rise: 2, fall: 2 }' 'retries: 0'
	equal "one=5 two=5" "$(ask 10)" "both up"
	stop "$one_pid"
	within 10 is_up 3001 0
	equal "two=10" "$(ask 10)" "one down"
	start_backend one 3001
	within 10 is_up 3001 1
	equal "one=5 two=5" "$(ask 10)" "both up again"
	fresh_scrape >"$DIR/page"
	[ "$(metric tollgate_backend_checks_failed_total 'backend="198.51.100.1:3001"' <"$DIR/page")" -ge 2 ]
	equal 0 "$(metric tollgate_backend_checks_failed_total 'backend="198.51.100.1:3002"' <"$DIR/page")" "failed checks"
	equal 0 "$(metric tollgate_refused_total <"$DIR/page")" refused
	run -0 tollgate audit
}

@test "health: all down is refused at once, with its reason" {
	start_route 'backends: ["198.51.100.1:3001"]' 'health: { interval: 50ms, rise: 1, fall: 1 }'
	within 10 is_up 3001 0
	equal "" "$(ask 2)" "answers"
	equal 2 "$(fresh_scrape | metric tollgate_refused_total 'reason="no_backend"' 'side="backend"')" no_backend
}

@test "health: a TLS check wants a server's hello, and a PROXY header says it is a check" {
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$DIR/key" -out "$DIR/cert" -days 2 -subj /CN=x 2>/dev/null
	start web backend openssl s_server -accept 198.51.100.1:3001 -key "$DIR/key" -cert "$DIR/cert" -quiet
	within 10 listening backend 3001
	start_backend plain 3002
	start_peer proxied backend --listen 198.51.100.1:3003 --proxy
	start_proxy <<-Y
		listeners:
		  - name: tls
		    address: "192.0.2.2:8443"
		    routes:
		      - name: tls
		        sni: ["*"]
		        backends: ["198.51.100.1:3001", "198.51.100.1:3002"]
		        health: { type: tls, name: x.example.org, interval: 50ms, timeout: 500ms, rise: 1, fall: 2 }
		      - name: proxied
		        sni: [proxied]
		        backends: ["198.51.100.1:3003"]
		        send_proxy: v2
		        health: { interval: 50ms }
	Y
	start_exporter
	within 10 is_up 3002 0
	equal 1 "$(up 3001)" "the TLS server"
	within 10 grep -q '^proxy v2 local' "$DIR/proxied.log"
	equal 1 "$(up 3003)" "the checked peer"
}

@test "balancing: in turn by weight, to the least busy, by source, by chance" {
	start_backend one 3001
	start_backend two 3002
	start_route 'backends: ["198.51.100.1:3001 weight=3", "198.51.100.1:3002"]'
	equal "one=15 two=5" "$(ask 20)" "in turn, 3 to 1"
	balance() {
		sed -i "s/^        balance:.*//; s/^      - name: app/&\n        balance: $1/" "$DIR/gate.yaml"
		kill -HUP "$proxy_pid"
		within 10 reloads "$2"
	}
	sed -i 's/ weight=3//' "$DIR/gate.yaml"
	balance source_hash 1
	[[ $(ask 10) =~ ^(one|two)=10$ ]]
	balance random 2
	[[ $(ask 40) =~ ^one=[0-9]+\ two=[0-9]+$ ]]
	balance least_connections 3
	equal "one=5 two=5" "$(ask 10)" "none is busy"
	hold first
	within 10 test -s "$DIR/first.log"
	local other=two
	answered first one || other=one
	equal "$other=10" "$(ask 10)" "while $(head -1 "$DIR/first.log") is busy"
	let_go first
}

@test "retry: who refuses or does not answer is passed over, and left out after some failures" {
	start_backend two 3002
	# 198.51.100.9 is nobody's: SYNs are lost
	at gate ip neigh add 198.51.100.9 lladdr 02:00:00:00:00:09 dev back
	start_route 'backends: ["198.51.100.1:3001", "198.51.100.1:3002", "198.51.100.9:3003"]' \
		'ejection: { failures: 2, time: 60s }'
	equal "two=12" "$(ask 12)" "all answered"
	fresh_scrape >"$DIR/page"
	equal 0 "$(metric tollgate_refused_total <"$DIR/page")" refused
	equal 2 "$(metric tollgate_backend_retries_total 'backend="198.51.100.1:3001"' <"$DIR/page")" "refusals"
	equal 2 "$(metric tollgate_backend_retries_total 'backend="198.51.100.9:3003"' <"$DIR/page")" "silences"
	equal 2 "$(metric tollgate_backend_ejections_total <"$DIR/page")" ejections
	within 10 sockets_closed
	equal 12 "$(fresh_scrape | metric tollgate_connections_opened_total 'leg="downstream"' \
		'backend="198.51.100.1:3002"')" "in the row of who served"
	run -0 tollgate audit
}

@test "retry: when no backend is left the client is refused with the last one's reason" {
	start_route 'backends: ["198.51.100.1:3001", "198.51.100.1:3002", "198.51.100.1:3003"]'
	equal "" "$(ask 1)" "answers"
	fresh_scrape >"$DIR/page"
	equal 1 "$(metric tollgate_refused_total 'reason="backend_refused"' <"$DIR/page")" refused
	equal 2 "$(metric tollgate_backend_retries_total <"$DIR/page")" retries
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "limits of a backend: some wait for a place, more are refused, waiting has an end" {
	start_backend one 3001
	start_route 'backends: ["198.51.100.1:3001 limit=1"]' 'queue: { size: 1, timeout: 60s }'
	refused_for() { [ "$(fresh_scrape | metric tollgate_refused_total "reason=\"$1\"")" = "$2" ]; }
	hold first
	within 10 answered first one
	hold second
	within 10 eval '[ "$(at gate ss -Htn state established "sport = 8080" | wc -l)" = 2 ]'
	equal "" "$(ask 1)" "answers to a third"
	within 10 refused_for queue_full 1
	[ ! -s "$DIR/second.log" ]
	let_go first
	within 10 answered second one
	let_go second
	sed -i 's/timeout: 60s/timeout: 200ms/' "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 10 grep -q "read again" "$DIR/proxy.log"
	hold third
	within 10 answered third one
	equal "" "$(ask 1)" "answers in time"
	within 10 refused_for queue_timeout 1
	let_go third
	within 10 sockets_closed
	run -0 tollgate audit
}

ticks_of() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

@test "waiting for a place costs nothing, however many places others give back" {
	local before
	start_backend one 3001
	start_sink 3002
	start_proxy <<-Y
		workers: 12
		listeners:
		  - name: full
		    address: "192.0.2.2:8080"
		    routes: [{ name: full, backends: ["198.51.100.1:3001 limit=1"], queue: { size: 4, timeout: 60s } }]
		  - name: free
		    address: "192.0.2.2:8081"
		    routes: [{ name: free, backends: ["198.51.100.1:3002"] }]
	Y
	start_exporter
	hold first
	within 10 answered first one
	hold second
	within 10 eval '[ "$(at gate ss -Htn state established "sport = 8080" | wc -l)" = 2 ]'
	at client "$BIN/tests/tools/load" open 192.0.2.2:8081 64 64 16 2000
	within 10 eval '[ "$(at gate ss -Htn state established "sport = 8081" | wc -l)" = 0 ]'
	# a second of silence is what is measured
	before=$(ticks_of "$proxy_pid")
	sleep 1
	[ $(($(ticks_of "$proxy_pid") - before)) -lt 20 ]
	let_go first
	within 10 answered second one
	let_go second
	within 10 sockets_closed
}

@test "who waits for a place gets it at a backend that comes up" {
	start_backend one 3001
	start_route 'backends: ["198.51.100.1:3001 limit=1", "198.51.100.1:3002 limit=4"]' 'retries: 0' \
		'queue: { size: 4, timeout: 60s }' 'health: { interval: 50ms, timeout: 500ms, rise: 2, fall: 2 }'
	within 10 is_up 3002 0
	hold first
	within 10 answered first one
	hold second
	hold third
	within 10 eval '[ "$(at gate ss -Htn state established "sport = 8080" | wc -l)" = 3 ]'
	[ ! -s "$DIR/second.log" ]
	start_backend two 3002
	# it answers one after the other, but both are connected
	within 10 eval '[ "$(at gate ss -Htn state established "dport = 3002" | wc -l)" = 2 ]'
	kill -0 "$first_pid"
	let_go first second third
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "drain: a backend that is to go keeps its connections and gets no more" {
	start_backend one 3001
	start_backend two 3002
	start_route 'backends: ["198.51.100.1:3001", "198.51.100.1:3002"]'
	hold first
	within 10 answered first one
	sed -i 's/"198.51.100.1:3001"/"198.51.100.1:3001 drain"/' "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 10 grep -q "read again" "$DIR/proxy.log"
	equal "two=6" "$(ask 6)" "while one drains"
	# the first still answers: bytes and their sum at the end of the stream
	let_go first
	within 10 eval '[ "$(wc -l <"$DIR/first.log")" = 2 ]'
}

@test "names are looked up again when their time is over, and kept when that fails" {
	start_backend one 3001
	at backend ip addr add 198.51.100.3/24 dev eth
	start two backend "$HELLO" serve 198.51.100.3:3001 two
	within 10 grep -q listening "$DIR/two.log"
	echo "198.51.100.1 app.example.org" >"$DIR/hosts"
	start dns gate dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root \
		--addn-hosts="$DIR/hosts" --local-ttl=1 --port=5353 --listen-address=127.0.0.1 --bind-interfaces
	within 10 eval '[ -n "$(at gate ss -Hlun "sport = 5353")" ]'
	start_proxy <<-Y
		dns: { servers: ["127.0.0.1:5353"] }
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    routes: [{ name: app, backends: ["app.example.org:3001"] }]
	Y
	start_exporter
	within 10 eval '[ "$(ask 1)" = "one=1" ]'
	echo "198.51.100.3 app.example.org" >"$DIR/hosts"
	kill -HUP "$dns_pid"
	within 10 eval '[ "$(ask 1)" = "two=1" ]'
	stop "$dns_pid"
	within 20 eval '[ "$(fresh_scrape | metric tollgate_backend_lookups_failed_total)" -ge 1 ]'
	equal "two=3" "$(ask 3)" "without a name server"
}
