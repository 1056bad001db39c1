#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What users of such proxies have reported, tried on this one: names and their addresses,
# the room of the books, reloads that move a listener, loops, odd configurations.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

# start_backend NAME PORT [ADDRESS]: says its name to whoever connects
start_backend() {
	start "$1" backend "$HELLO" serve "${3:-198.51.100.1}:$2" "$1"
	within 10 grep -q listening "$DIR/$1.log"
}

# ask N [PORT]: who answers each of N connections, sorted and counted
ask() {
	local i
	for ((i = 0; i < $1; i++)); do
		at client timeout 10 nc.openbsd -N 192.0.2.2 "${2:-8080}" </dev/null | head -1
	done | sort | uniq -c | awk '{ printf "%s%s=%s", sep, $2, $1; sep = " " }'
}

# answers N WHO [PORT]
answers() { equal "$2=$1" "$(ask "$1" "${3:-8080}")" "answers"; }

reloads() { [ "$(grep -c "read again" "$DIR/proxy.log")" = "$1" ]; }

# reload N: the N-th reload of the new $DIR/gate.yaml is good
reload() {
	kill -HUP "$proxy_pid"
	within 30 eval 'reloads '"$1"' || grep -q "stays in force" "$DIR/proxy.log"'
	reloads "$1" || {
		cat "$DIR/proxy.log"
		return 1
	}
}

# stop_proxy: what the next one says begins in an empty file
stop_proxy() {
	stop "$proxy_pid"
	rm "$DIR/proxy.log"
}



# --- name servers ---

# start_dns PORT [OPTION...]: on 127.0.0.1 of the gate; names are in $DIR/hosts
start_dns() {
	: >>"$DIR/hosts"
	start dns gate dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root \
		--addn-hosts="$DIR/hosts" --port="$1" --listen-address=127.0.0.1 --bind-interfaces "${@:2}"
	within 10 eval '[ -n "$(at gate ss -Hlun "sport = '"$1"'")" ]'
}

# name_is ADDRESS...: these are now the addresses of app.example.org
name_is() {
	printf '%s app.example.org\n' "$@" >"$DIR/hosts"
	[ -z "${dns_pid:-}" ] || kill -HUP "$dns_pid"
}

# system_dns ADDRESS: `system` before a command gives it that name server as the system's
system_dns() {
	printf 'nameserver %s\n' "$1" >"$DIR/resolv.conf"
	printf 'hosts: files dns\n' >"$DIR/nsswitch.conf"
	# its own mounts, but its own pid stays
	# shellcheck disable=SC2016 # expands in the inner shell
	system=(unshare --mount sh -c 'mount --bind "$0/resolv.conf" /etc/resolv.conf &&
		mount --bind "$0/nsswitch.conf" /etc/nsswitch.conf && exec "$@"' "$DIR")
}

# A name server that takes every question and answers none.
silent_dns() {
	at client nft add table inet silent
	at client nft add chain inet silent input '{ type filter hook input priority 0; }'
	at client nft add rule inet silent input meta l4proto '{ tcp, udp }' th dport 53 drop
	system_dns 192.0.2.1
}

# routes_to BACKEND...: a route `app` on 192.0.2.2:8080
routes_to() {
	local list
	printf -v list ', "%s"' "$@"
	printf '%s\n' 'listeners:' '  - name: plain' '    address: "192.0.2.2:8080"' \
		"    routes: [{ name: app, backends: [${list:2}] }]" 'timeouts: { connect: 500ms }'
}

# start_system_proxy < configuration: with the name server of system_dns
start_system_proxy() {
	cat >"$DIR/gate.yaml"
	start proxy gate "${system[@]}" "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
}

ready() { grep -q ready "$DIR/proxy.log"; }

# --- P1, P3: room in the books ---

# scraped NAME WANT [LABEL...]: that figure is on the page.  A page of thousands of rows is
# never as young as fresh_scrape wants it.
scraped() { scrape >"$DIR/page" && equal "$2" "$(metric "$1" "${@:3}" <"$DIR/page")" "$1 ${*:3}"; }

# many_routes ROUTES: of 64 backends each, of which one is asked; the client's is the last
many_routes() {
	awk -v n="$1" 'BEGIN {
		print "listeners:\n  - name: plain\n    address: \"192.0.2.2:8080\"\n    routes:"
		for (r = 0; r < n; r++) {
			from = r == n - 1 ? "192.0.2.0/24" : "10." int(r / 256) "." r % 256 ".0/24"
			printf "      - { name: r%d, from: [%s], backends: [\"198.51.100.1:3000\"", r, from
			for (b = 1; b < 64; b++) printf ", \"198.51.100.1:%d weight=0\"", 3000 + b
			print "] }"
		}
	}'
}

@test "P1: 40 routes of 64 backends are counted like few, each in its own row" {
	load --device front
	start_peer server backend --listen 198.51.100.1:3000
	start_large < <(many_routes 40)
	start_exporter
	at client "$PEER" load --connect 192.0.2.2:8080 --bytes 1000
	within 10 sockets_closed
	within 5 scraped tollgate_connections_closed_total 1 'listener="plain"' 'leg="downstream"'
	scraped tollgate_proxy_slot_errors_total 0
	scraped tollgate_proxy_connections_opened_total 1 'route="r39"' 'leg="downstream"'
	run -0 tollgate audit
}

@test "P1: what finds no slot is never a book that agrees" {
	load --device front
	start_peer server backend --listen 198.51.100.1:3000
	many_routes 120 >"$DIR/gate.yaml"
	start proxy gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 60 eval 'ready || gone "$proxy_pid"'
	# to refuse the configuration is right, too, in words and before anybody is served
	if gone "$proxy_pid"; then
		grep -q "error: .*room" "$DIR/proxy.log"
		return 0
	fi
	start_exporter
	at client "$PEER" load --connect 192.0.2.2:8080 --bytes 1000
	within 10 sockets_closed
	within 5 scraped tollgate_connections_closed_total 1 'listener="plain"' 'leg="downstream"'
	[ "$(metric tollgate_proxy_slot_errors_total <"$DIR/page")" = 0 ] || {
		run -4 --separate-stderr tollgate audit --json
		jq -e '.verdict == "incomplete" and any(.incomplete[]; .reason == "no_slot" and .count > 0)' <<<"$output"
		[[ $(at gate curl -sS http://127.0.0.1:9980/healthz) == incomplete:* ]]
		return 0
	}
	scraped tollgate_proxy_connections_opened_total 1 'route="r119"' 'leg="downstream"'
}

# generation N: 22 routes of 64 backends, 1,408 names that no other generation has
generation() {
	awk -v g="$1" 'BEGIN {
		print "listeners:\n  - name: plain\n    address: \"192.0.2.2:8080\"\n    routes:"
		for (r = 0; r < 22; r++) {
			from = r == 0 ? "192.0.2.0/24" : "10.0." r ".0/24"
			printf "      - { name: r%d, from: [%s], backends: [", r, from
			if (r == 0) printf "\"198.51.100.1:3000\", "
			for (b = r == 0; b < 64; b++)
				printf "%s\"10.%d.%d.%d:80 weight=0\"", b == (r == 0) ? "" : ", ", g, r, b + 1
			print "] }"
		}
	}'
}

# start_large < configuration: with so many names that it may take a while
start_large() {
	cat >"$DIR/gate.yaml"
	start proxy gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 60 eval 'ready || gone "$proxy_pid"'
	ready || {
		cat "$DIR/proxy.log"
		return 1
	}
}

@test "P3: names come and go by the thousand, over reloads and restarts, and no byte is forgotten" {
	local g n=0
	load --device front
	start_peer server backend --listen 198.51.100.1:3000
	start_exporter
	start_large < <(generation 1)
	for g in 2 3 4; do
		at client "$PEER" load --connect 192.0.2.2:8080 --bytes 1000
		within 5 scraped tollgate_proxy_connections_closed_total $((++n)) 'leg="downstream"'
		generation "$g" >"$DIR/gate.yaml"
		reload $((g - 1))
	done
	stop_proxy
	start_large < <(generation 5)
	at client "$PEER" load --connect 192.0.2.2:8080 --bytes 1000
	# 1,040 in and 1,000 out of each, whatever became of the names
	within 5 scraped tollgate_proxy_connections_closed_total 4 'leg="downstream"'
	scraped tollgate_proxy_payload_bytes_total $((4 * 2040)) 'leg="downstream"'
	run -0 tollgate audit
}

@test "P3: a proxy that has had 4,096 names can be started again" {
	local g
	load --no-nft
	start_backend one 3000
	for g in 1 2 3; do
		start_large < <(generation "$g")
		answers 1 one
		stop_proxy
	done
}

# --- P2: a name with several addresses ---

start_named() { # KEY...: the backend app.example.org:3001
	start_dns 5353 --local-ttl=60
	load --device front --device back
	start_backend one 3001
	start_proxy < <(printf '%s\n' 'dns: { servers: ["127.0.0.1:5353"] }' 'listeners:' '  - name: plain' \
		'    address: "192.0.2.2:8080"' '    routes:' '      - name: app' \
		'        backends: ["app.example.org:3001"]' && printf '        %s\n' "$@" &&
		printf 'timeouts: { connect: 2s }\n')
	start_exporter
}

@test "P2: a name with an address that cannot be reached serves everybody by the other" {
	name_is 198.51.100.1 fd00:dead::1
	start_named
	answers 12 one
	fresh_scrape >"$DIR/page"
	equal 0 "$(metric tollgate_refused_total <"$DIR/page")" refused
	equal 0 "$(metric tollgate_backend_retries_total <"$DIR/page")" "tried at another backend"
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "P2: an address that refuses is passed over for the name's other one" {
	name_is 198.51.100.1 198.51.100.3
	at backend ip addr add 198.51.100.3/24 dev eth
	start_named
	answers 12 one
	refused_is backend_refused 0
}

@test "P2: an address that is silent costs a moment, not the whole connect timeout" {
	name_is 198.51.100.1 198.51.100.9
	# nobody's: SYNs are lost
	at gate ip neigh add 198.51.100.9 lladdr 02:00:00:00:00:09 dev back
	start_named
	local before=$EPOCHREALTIME
	answers 6 one
	# six times 2 s is what it takes to wait for the silent one each time
	[ $((${EPOCHREALTIME/./} - ${before/./})) -lt 4000000 ]
	refused_is backend_timeout 0
}

@test "P2: a name is up while one of its addresses is" {
	local i
	name_is 198.51.100.1 fd00:dead::1
	start_named 'health: { interval: 50ms, timeout: 500ms, rise: 1, fall: 1 }' 'retries: 0'
	for ((i = 0; i < 4; i++)); do
		equal 1 "$(fresh_scrape | metric tollgate_backend_up 'backend="app.example.org:3001"')" "up"
		answers 5 one
	done
	refused_is no_backend 0
	stop "$one_pid"
	within 10 eval '[ "$(fresh_scrape | metric tollgate_backend_up)" = 0 ]'
}

# --- P4, P14: names that do not resolve, servers that do not answer ---

@test "P4: a backend whose name is unknown does not keep the proxy from starting" {
	load --no-nft
	start_backend one 3001
	start_proxy < <(routes_to nosuch.invalid:3000 198.51.100.1:3001)
	answers 4 one
	refused_is no_backend 0
	run -0 tollgate status
	[[ $output == *nosuch.invalid* ]]
}

@test "P4: a route of which no backend has an address refuses, and says why; others serve" {
	load --no-nft
	start_backend one 3001
	start_proxy <<-Y
		listeners:
		  - name: dead
		    address: "192.0.2.2:8080"
		    routes: [{ name: dead, backends: ["nosuch.invalid:3000"] }]
		  - name: live
		    address: "192.0.2.2:8081"
		    routes: [{ name: live, backends: ["198.51.100.1:3001"] }]
	Y
	equal "" "$(ask 1 8080)" "answers"
	refused_is no_backend 1
	answers 2 one 8081
}

@test "P4: a backend whose name is unknown does not keep a configuration from being read again" {
	load --no-nft
	start_backend one 3001
	start_proxy < <(routes_to 198.51.100.1:3009)
	routes_to nosuch.invalid:3000 198.51.100.1:3001 >"$DIR/gate.yaml"
	reload 1
	answers 2 one
}

@test "P4: a backend whose name is unknown does not keep a successor from taking over" {
	load --no-nft
	start_backend one 3001
	start_proxy < <(routes_to 198.51.100.1:3001)
	routes_to nosuch.invalid:3000 198.51.100.1:3001 >"$DIR/gate.yaml"
	start next gate "$BIN/tollgate-proxy" --upgrade --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 eval 'grep -q ready "$DIR/next.log" || gone "$next_pid"'
	equal "$next_pid" "$(tollgate status --json | jq .proxy.pid)" "pid in the books"
	answers 2 one
}

@test "P4: check warns of a name that is unknown, and calls the file fine" {
	routes_to nosuch.invalid:3000 198.51.100.1:3001 >"$DIR/gate.yaml"
	run -0 --separate-stderr at gate "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *fine* ]]
	[[ $stderr == *warn*nosuch.invalid* ]]
}

@test "P4: a name that was unknown at the start is asked for again, and served when it is known" {
	load --no-nft
	start_backend one 3001
	system_dns 127.0.0.1
	start_dns 53
	start_system_proxy < <(routes_to app.example.org:3001)
	within 10 ready
	equal "" "$(ask 1)" "answers without a name"
	name_is 198.51.100.1
	within 15 answers 1 one
}

@test "P4: a name server that does not answer holds up neither the start nor anybody" {
	load --no-nft
	start_backend one 3001
	silent_dns
	start_system_proxy < <(routes_to app.example.org:3000 198.51.100.1:3001)
	within 5 ready
	answers 2 one
}

@test "P4: check has an end though the name server does not answer" {
	silent_dns
	routes_to app.example.org:3000 app2.example.org:3000 app3.example.org:3000 >"$DIR/gate.yaml"
	# each waits for 10 s by itself
	run -0 --separate-stderr at gate timeout 15 "${system[@]}" "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $stderr == *app3.example.org* ]]
}

@test "P4: SIGTERM ends a start that waits for a name server" {
	load --no-nft
	silent_dns
	start_system_proxy < <(routes_to app.example.org:3000)
	within 5 eval '[ "$(</proc/$proxy_pid/comm)" = tollgate-proxy ]'
	# it has asked
	within 5 eval '[ -n "$(at gate ss -Hun "dport = 53")" ] || ready'
	kill -TERM "$proxy_pid"
	within 3 gone "$proxy_pid"
}

@test "P14: SIGTERM ends a proxy whose reload waits for a name server" {
	load --no-nft
	silent_dns
	start_system_proxy < <(routes_to 198.51.100.1:3001)
	within 10 ready
	routes_to app.example.org:3000 198.51.100.1:3001 >"$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 5 eval '[ -n "$(at gate ss -Hun "dport = 53")" ]'
	kill -TERM "$proxy_pid"
	within 3 gone "$proxy_pid"
}

# --- P5, P6: how long an answer lives ---

named_proxy() {
	at backend ip addr add 198.51.100.3/24 dev eth
	load --no-nft
	start_backend one 3001
	start_backend two 3001 198.51.100.3
	start_proxy < <(printf 'dns: { servers: ["127.0.0.1:5353"] }\n' && routes_to app.example.org:3001)
	within 10 answers 1 one
}

@test "P5: the shortest time to live of a chain of names counts" {
	local names=("--host-record=one.example.org,198.51.100.1,600" "--host-record=two.example.org,198.51.100.3,600")
	start_dns 5353 "${names[@]}" "--cname=app.example.org,one.example.org,1"
	named_proxy
	stop "$dns_pid"
	start_dns 5353 "${names[@]}" "--cname=app.example.org,two.example.org,1"
	within 15 answers 1 two
}

@test "P6: an answer that lives 0 s is asked for again soon" {
	name_is 198.51.100.1
	start_dns 5353 --local-ttl=0
	named_proxy
	name_is 198.51.100.3
	within 15 answers 1 two
}

# --- P7: a listener moves ---

# moved FROM TO: a reload from one address to the other
moved() {
	load
	start_backend one 3001
	start_exporter
	start_proxy < <(routes_to 198.51.100.1:3001 | sed "s/192.0.2.2:8080/$1/")
	answers 1 one
	sed -i "s/address: .*/address: \"$2\"/" "$DIR/gate.yaml"
	reload 1
	answers 3 one
	within 10 sockets_closed
	run -0 tollgate audit
}

@test "P7: from every address to one of them, on the same port" {
	moved 0.0.0.0:8080 192.0.2.2:8080
	# the other addresses are not listened on any more
	run ! at backend nc.openbsd -z 198.51.100.2 8080
}

@test "P7: from one address to every one, on the same port" {
	moved 192.0.2.2:8080 0.0.0.0:8080
	at backend nc.openbsd -z 198.51.100.2 8080
}

@test "P7: from IPv4 to both families, on the same port" {
	moved 0.0.0.0:8080 '[::]:8080'
	at client nc.openbsd -z fd00:1::2 8080
}

@test "P7: what cannot move because of another program stays where it was" {
	load --no-nft
	start_backend one 3001
	start_peer taken gate --listen 192.0.2.2:8081
	start_proxy < <(routes_to 198.51.100.1:3001 | sed 's/192.0.2.2:8080/0.0.0.0:8080/')
	two_listeners 192.0.2.2:8080 192.0.2.2:8081
	kill -HUP "$proxy_pid"
	within 10 grep -q "stays in force" "$DIR/proxy.log"
	grep -q "192.0.2.2:8081 is in use" "$DIR/proxy.log"
	run ! grep -q "192.0.2.2:8080 is in use" "$DIR/proxy.log"
	answers 2 one
	at backend nc.openbsd -z 198.51.100.2 8080
}

# two_listeners ADDRESS ADDRESS: plain and other
two_listeners() {
	cat >"$DIR/gate.yaml" <<-Y
		listeners:
		  - name: plain
		    address: "$1"
		    routes: [{ name: app, backends: ["198.51.100.1:3001"] }]
		  - name: other
		    address: "$2"
		    routes: [{ name: app, backends: ["198.51.100.1:3001"] }]
	Y
}

@test "P7: who has the address is named at the start" {
	load --no-nft
	start_peer taken gate --listen 192.0.2.2:8081
	two_listeners 192.0.2.2:8080 192.0.2.2:8081
	run -1 at gate timeout 10 "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	[[ $output == *"192.0.2.2:8081 is in use by peer (pid $taken_pid)"* ]]
}

@test "P7: an address within another listener's is served, or refused by that listener's name" {
	load --no-nft
	start_backend one 3001
	two_listeners 0.0.0.0:8080 192.0.2.2:8080
	start proxy gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 eval 'ready || gone "$proxy_pid"'
	if gone "$proxy_pid"; then
		grep -q "192.0.2.2:8080.*listener 'plain'" "$DIR/proxy.log"
	else
		answers 2 one
	fi
}

# --- P8: what is gone ---

@test "P8: gauges of a backend that is gone go, its counters stay" {
	load
	start_backend one 3001
	start_exporter
	start_proxy < <(routes_to 198.51.100.1:3001 198.51.100.1:3002)
	answers 4 one
	within 10 sockets_closed
	fresh_scrape | grep -q '^tollgate_backend_up{.*198.51.100.1:3002'
	routes_to 198.51.100.1:3003 >"$DIR/gate.yaml"
	reload 1
	fresh_scrape >"$DIR/page"
	grep -q '^tollgate_backend_up{.*198.51.100.1:3003' "$DIR/page"
	equal "" "$(grep '^tollgate_backend_up{' "$DIR/page" | grep -v 198.51.100.1:3003)" "gauges of who is gone"
	equal 4 "$(metric tollgate_proxy_connections_opened_total 'leg="upstream"' 'backend="198.51.100.1:3001"' \
		<"$DIR/page")" "its connections"
}

@test "P8: gauges of a listener that is gone go, also those of another start" {
	load
	start_backend one 3001
	start_exporter
	start_proxy < <(routes_to 198.51.100.1:3001)
	answers 1 one
	within 10 sockets_closed
	stop_proxy
	start_proxy < <(routes_to 198.51.100.1:3001 | sed 's/name: plain/name: new/')
	answers 1 one
	within 10 sockets_closed
	fresh_scrape >"$DIR/page"
	awk '$1 == "#" && $2 == "TYPE" && $4 == "gauge" { gauge[$3] = 1 }
		{ name = $1; sub(/\{.*/, "", name) }
		name in gauge && /listener="plain"/ { print; bad = 1 } END { exit bad }' "$DIR/page"
	equal 1 "$(metric tollgate_connections_closed_total 'listener="plain"' 'leg="downstream"' <"$DIR/page")" closed
}

# --- P10: loops, and no descriptor left ---

@test "P10: a listener that is its own backend is refused by check and by the start" {
	local pair
	load --no-nft
	for pair in 192.0.2.2:8080=192.0.2.2:8080 0.0.0.0:8080=127.0.0.1:8080 0.0.0.0:8080=192.0.2.2:8080 \
		'[::]:8080=127.0.0.1:8080' '[::]:8080=[::1]:8080'; do
		routes_to "${pair#*=}" | sed "s/address: .*/address: \"${pair%=*}\"/" >"$DIR/gate.yaml"
		run -1 at gate "$BIN/tollgate" check "$DIR/gate.yaml"
		[[ $output == *"gate.yaml:4:"*loop* || $output == *"gate.yaml:4:"*"its own"* ]]
		run -1 at gate timeout 10 "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
		[[ $output != *ready* ]]
	done
}

@test "P10: two listeners that are each other's backend are refused" {
	load --no-nft
	cat >"$DIR/gate.yaml" <<-Y
		listeners:
		  - name: one
		    address: "192.0.2.2:8080"
		    routes: [{ name: app, backends: ["192.0.2.2:8081"] }]
		  - name: two
		    address: "192.0.2.2:8081"
		    routes: [{ name: app, backends: ["192.0.2.2:8080"] }]
	Y
	run -1 at gate "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *loop* ]]
}

@test "P10: a listener may be the backend of another" {
	load --no-nft
	start_backend one 3001
	start_proxy <<-Y
		listeners:
		  - name: front
		    address: "192.0.2.2:8080"
		    routes: [{ name: app, backends: ["192.0.2.2:8081"] }]
		  - name: behind
		    address: "192.0.2.2:8081"
		    routes: [{ name: app, backends: ["198.51.100.1:3001"] }]
	Y
	answers 3 one
	refused_is loop 0
}

@test "P10: a loop that a name hides is refused with its reason, and nobody else notices" {
	load
	start_backend one 3001
	name_is 192.0.2.2
	start_dns 5353
	cat >"$DIR/gate.yaml" <<-Y
		dns: { servers: ["127.0.0.1:5353"] }
		listeners:
		  - name: loop
		    address: "192.0.2.2:8080"
		    routes: [{ name: loop, backends: ["app.example.org:8080"] }]
		  - name: plain
		    address: "192.0.2.2:8081"
		    routes: [{ name: app, backends: ["198.51.100.1:3001"] }]
	Y
	start proxy gate prlimit --nofile=150:150 "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 ready
	equal "" "$(ask 1)" "answers"
	within 5 refused_is loop 1
	answers 2 one 8081
	grep -q "warn.*loop" "$DIR/proxy.log"
}

# crowd N: so many clients of 192.0.2.2:8443 that say nothing
crowd() {
	# shellcheck disable=SC2016 # expands in the inner shell
	start crowd client bash -c 'for ((i = 10; i < 10 + $0; i++)); do
			eval "exec $i<>/dev/tcp/192.0.2.2/8443"; done; echo all; exec sleep 60' "$1"
	within 10 grep -q all "$DIR/crowd.log"
}

few_descriptors() {
	load
	start_backend one 3001
	cat >"$DIR/gate.yaml" <<-Y
		listeners:
		  - name: tls
		    address: "192.0.2.2:8443"
		    routes: [{ name: tls, sni: [a.example.org], backends: ["198.51.100.1:3001"] }]
		  - name: plain
		    address: "192.0.2.2:8080"
		    routes: [{ name: app, backends: ["198.51.100.1:3001"] }]
		timeouts: { hello: 60s }
	Y
	start proxy gate prlimit --nofile=150:150 "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 ready
}

@test "P10: want of descriptors is a warning in the log" {
	few_descriptors
	crowd 140
	within 5 grep -q "warn.*descriptor" "$DIR/proxy.log"
	# said once, not for each connection
	[ "$(grep -c "warn.*descriptor" "$DIR/proxy.log")" -le 3 ]
}

@test "P10: when descriptors run out the oldest silent openings go first, and others are served" {
	few_descriptors
	crowd 140
	within 5 answers 1 one
	within 5 eval '[ "$(tollgate status --json | jq ".refused.opening_evicted // 0")" -ge 1 ]'
	answers 5 one
}

# --- P11, P12: what a configuration may not say, and where ---

# wrong PLACE WORD...: `check` of standard input refuses it there, with these words
wrong() {
	local word
	cat >"$DIR/gate.yaml"
	run -1 "$BIN/tollgate" check "$DIR/gate.yaml"
	[[ $output == *"gate.yaml:$1:"* ]] || {
		echo "want place $1: $output"
		return 1
	}
	for word in "${@:2}"; do
		[[ ${output,,} == *"${word,,}"* ]] || {
			echo "no '$word' in: $output"
			return 1
		}
	done
}

# named SNI: a route of that list
named() {
	printf '%s\n' 'listeners:' '  - name: tls' '    address: "192.0.2.2:8443"' '    routes:' \
		"      - { name: app, sni: [$1], backends: [\"198.51.100.1:3001\"] }"
}

@test "P11: a listener on port 0 is refused: nobody would know which" {
	wrong 3:14 port < <(routes_to 198.51.100.1:3001 | sed 's/192.0.2.2:8080/192.0.2.2:0/')
}

@test "P11: a second YAML document is refused, not ignored" {
	wrong 6 document < <(routes_to 198.51.100.1:3001 && printf '%s\n' '---' 'user: root')
}

@test "P11: nothing where a name should be is refused" {
	wrong 5:28 null < <(named '~')
	wrong 5:28 null < <(named 'null')
	# the quoted word is a name like any other
	named '"null"' >"$DIR/gate.yaml"
	run -0 "$BIN/tollgate" check "$DIR/gate.yaml"
}

@test "P11: a label of more than 63 characters, or none, is refused" {
	local label
	label=$(printf 'a%.0s' {1..63})
	named "$label.example.org" >"$DIR/gate.yaml"
	run -0 "$BIN/tollgate" check "$DIR/gate.yaml"
	wrong 5:28 63 < <(named "a$label.example.org")
	wrong 5:28 63 < <(named "\"*.a$label.example.org\"")
	wrong 5:28 label < <(named "a..example.org")
}

@test "P11: a name that begins with a dot is refused: *. and the name, or the name" {
	wrong 5:28 '*.example.org' < <(named '.example.org')
}

@test "P12: a tab is reported where it is" {
	wrong 2:1 tab < <(printf 'listeners:\n\t- name: plain\n')
	wrong 4:1 tab < <(routes_to 198.51.100.1:3001 | sed '4s/^ */\t/')
}

@test "P12: a key that is there twice is reported at the second place" {
	wrong 4:5 address < <(routes_to 198.51.100.1:3001 | sed '3{p;s/8080/8081/}')
	wrong 7:1 timeouts < <(routes_to 198.51.100.1:3001 && printf 'user: nobody\ntimeouts: { idle: 5s }\n')
}

# --- P13 ---

@test "P13: a load that fails leaves no bpffs that it has mounted" {
	local why
	# its own mounts: the default place for pins is /sys/fs/bpf
	cat >"$DIR/script" <<-'S'
		umount -l /sys/fs/bpf 2>/dev/null
		mountpoint -q /sys/fs/bpf && exit 90
		"$0" load "$@" && exit 91
		! mountpoint -q /sys/fs/bpf || exit 92
	S
	for why in "--cgroup /nonexistent" "--cgroup $CGROUP --device nosuch0"; do
		# shellcheck disable=SC2086 # two or four words
		run -0 at gate unshare --mount bash -c "$(<"$DIR/script")" "$BIN/tollgate" $why
	done
}
