#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A new program takes over: nothing fails, no byte is lost, no count goes back.
# UPGRADES, TRANSFERS and BYTES make it longer: 10, 500 and 24000000 are a minute.  OTHER is
# the build directory of another release, whose proxy is every second successor.

load helpers

upgrades=${UPGRADES:-4} transfers=${TRANSFERS:-100}

setup() {
	stage_up
	load --device front --device back
	start_peer server backend --listen 198.51.100.1:3000
	start_proxy <<-Y
		listeners:
		  - name: plain
		    address: "192.0.2.2:8080"
		    routes: [{ name: app, backends: ["198.51.100.1:3000"] }]
		  - name: tls
		    address: "192.0.2.2:8443"
		    routes: [{ name: tls, sni: [app.example.org], backends: ["198.51.100.1:3009", "198.51.100.1:3001 backup"] }]
		timeouts: { drain: 60s }
	Y
	start_exporter
}
teardown() { stage_down; }

# upgrade N: the running proxy gives way to the next
upgrade() {
	local old=$proxy_pid program=$BIN/tollgate-proxy
	[ -z "${OTHER:-}" ] || [ $(($1 % 2)) = 0 ] || program=$OTHER/tollgate-proxy
	start "proxy$1" gate "$program" --upgrade --config "$DIR/gate.yaml" --pins "$PINS"
	within 20 grep -q ready "$DIR/proxy$1.log" || {
		cat "$DIR/proxy$1.log" "$DIR"/proxy*.log
		return 1
	}
	local new=proxy$1_pid
	proxy_pid=${!new}
	equal "$proxy_pid" "$(tollgate status --json | jq .proxy.pid)" "pid in the books"
	kill -0 "$proxy_pid"
	olds+=("$old")
}
olds=()

# counters NAME...: what may never go back
counters() { fresh_scrape | grep -E '^tollgate_[a-z_]+_total' | grep -v '^tollgate_proxy_starts' >"$DIR/$1"; }
never_back() { # BEFORE AFTER
	awk 'NR == FNR { before[$1] = $2; next } $1 in before && $2 < before[$1] { print; bad = 1 }
		END { exit bad }' "$DIR/$1" "$DIR/$2"
}

@test "upgrades under live transfers and a stream of new ones: none fails, every byte is right" {
	local i started
	# transfers that last longer than all upgrades; and short ones all the time
	start long client "$PEER" load --connect 192.0.2.2:8080 --connections "$transfers" --parallel "$transfers" \
		--mix fixed --bytes "${BYTES:-5000000}" --pause 200 --seed 7
	# shellcheck disable=SC2016 # expands in the inner shell
	start short client sh -c 'until [ -e "$0" ]; do "$@" || echo failed; done' "$DIR/stop" "$PEER" load \
		--connect 192.0.2.2:8080 --connections 200 --parallel 8 --mix assorted --bytes 20000
	within 20 eval '[ "$(at gate ss -Htn state established "dport = 3000" | wc -l)" -ge "$transfers" ]'
	for ((i = 1; i <= upgrades; i++)); do
		counters before
		upgrade "$i"
		counters after
		never_back before after
	done
	kill -0 "$long_pid" # still in the middle
	: >"$DIR/stop"
	wait "$short_pid"
	wait "$long_pid"
	equal "" "$(grep failed "$DIR/short.log" | grep -v '"failed":0')" "short transfers"
	equal "$transfers 0 0" "$(sums long connections) $(sums long failed) $(sums long wrong)" "long transfers"
	for i in "${olds[@]}"; do
		within 20 gone "$i"
	done
	within 20 sockets_closed
	fresh_scrape >"$DIR/page"
	equal "$upgrades" "$(metric tollgate_proxy_upgrades_total <"$DIR/page")" upgrades
	equal 1 "$(metric tollgate_proxy_starts_total <"$DIR/page")" starts
	equal 0 "$(metric tollgate_ended_total 'reason="truncated"' <"$DIR/page")" truncated
	equal 0 "$(metric tollgate_ended_total 'reason="proxy_died"' <"$DIR/page")" died
	equal 0 "$(metric tollgate_refused_total <"$DIR/page")" refused
	run -0 --separate-stderr tollgate audit --json
	jq -e '.residual_bytes | .proxy_tcp == 0 and .tcp_wire == 0 and .totals_sockets == 0' <<<"$output"
	moved=$(sed -n 's/.* \([0-9]*\) connections taken over.*/\1/p' "$DIR"/proxy?*.log | awk '{ n += $1 } END { print n }')
	[ "$moved" -ge $((upgrades * transfers)) ]
}

@test "what a client had asked for is in its event, whichever process ends it" {
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$DIR/key" -out "$DIR/cert" -days 2 -subj "/CN=app.example.org" 2>/dev/null
	start tls_server backend openssl s_server -accept 198.51.100.1:3001 -key "$DIR/key" -cert "$DIR/cert" -www
	within 10 listening backend 3001
	start_held held client "$DIR/go" openssl s_client -connect 192.0.2.2:8443 -servername app.example.org -alpn h2,http/1.1 -quiet -no_ign_eof
	within 10 eval '[ "$(at gate ss -Htn state established "dport = 3001" | wc -l)" = 1 ]'
	within 10 grep -q "verify return" "$DIR/held.log"
	upgrade 1
	within 10 gone "${olds[0]}"
	: >"$DIR/go"
	wait "$held_pid" || :
	within 10 eval 'tollgate events --book proxy --json | grep -q app.example.org'
	run -0 --separate-stderr tollgate events --book proxy --json
	# the server may close at the close_notify, before the client's FIN is there
	jq -e '.reason == "done" and (.side == "client" or .side == "backend") and .server_name == "app.example.org" and .alpn == ["h2", "http/1.1"] and
		.tls_version == "1.3" and .upstream.remote == "198.51.100.1:3001" and .client == .downstream.remote and .retries == 1' <<<"$output"
}

@test "what cannot move stays with the old process until it ends" {
	start_held waiting client "$DIR/go" nc.openbsd -N 192.0.2.2 8443
	within 10 eval '[ "$(at gate ss -Htn state established "sport = 8443" | wc -l)" = 1 ]'
	local old=$proxy_pid
	upgrade 1
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 5 --bytes 1000
	kill -0 "$old" # it still waits for a hello
	: >"$DIR/go"
	within 10 gone "$old"
	[ "$(fresh_scrape | metric tollgate_refused_total 'reason="closed_before_hello"')" = 1 ]
	within 10 sockets_closed
	run -0 tollgate audit
}

# the proxy in the books, if it is not the one of this pid
other_than() { tollgate status --json | jq -e ".proxy.pid != 0 and .proxy.pid != $1"; }

@test "an upgrade keeps the workers there are, so that no queue is lost" {
	sed -i '1i workers: 3' "$DIR/gate.yaml"
	upgrade 1
	sed -i 's/workers: 3/workers: 1/' "$DIR/gate.yaml"
	upgrade 2
	grep -q "3 workers, as many as before; fewer from the next start on" "$DIR/proxy2.log"
	equal 3 "$(fresh_scrape | metric tollgate_proxy_workers)" workers
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 100 --bytes 1000
}

@test "SIGUSR2 starts the program anew, again and again; what cannot start changes nothing" {
	local i first=$proxy_pid
	start long client "$PEER" load --connect 192.0.2.2:8080 --connections 20 --parallel 20 --mix fixed \
		--bytes 3000000 --pause 200 --seed 7
	within 20 eval '[ "$(at gate ss -Htn state established "dport = 3000" | wc -l)" = 20 ]'
	for i in 1 2; do
		kill -USR2 "$proxy_pid"
		within 20 other_than "$proxy_pid"
		within 20 gone "$proxy_pid"
		proxy_pid=$(tollgate status --json | jq .proxy.pid)
		PIDS+=("$proxy_pid")
		equal 65534 "$(awk '$1 == "Uid:" { print $2 }' "/proc/$proxy_pid/status")" "its user"
	done
	sed -i 's/app.example.org/not a name/' "$DIR/gate.yaml"
	kill -USR2 "$proxy_pid"
	within 10 grep -q "not a name" "$DIR/proxy.log"
	sed -i 's/not a name/app.example.org/' "$DIR/gate.yaml"
	kill -USR2 "$proxy_pid"
	within 20 gone "$proxy_pid"
	proxy_pid=$(tollgate status --json | jq .proxy.pid)
	PIDS+=("$proxy_pid")
	wait "$long_pid"
	equal "20 0 0" "$(sums long connections) $(sums long failed) $(sums long wrong)" "transfers"
	equal 3 "$(fresh_scrape | metric tollgate_proxy_upgrades_total)" upgrades
	# its helper ends with it
	local helper
	read -ra helper <"/proc/$proxy_pid/task/$proxy_pid/children" || :
	equal "tollgate-keep tollgate-start" "$(for h in "${helper[@]}"; do cat "/proc/$h/comm"; done | sort | xargs)" helpers
	kill -KILL "$proxy_pid"
	within 10 gone "${helper[0]}"
	within 10 gone "${helper[1]}"
	gone "$first"
}

@test "no upgrade without a proxy, and not to what cannot start" {
	sed -i 's/app.example.org/not a name/' "$DIR/gate.yaml"
	run -1 at gate "$BIN/tollgate-proxy" --upgrade --config "$DIR/gate.yaml" --pins "$PINS"
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 5 --bytes 1000
	stop "$proxy_pid"
	sed -i 's/not a name/app.example.org/' "$DIR/gate.yaml"
	run -1 at gate "$BIN/tollgate-proxy" --upgrade --config "$DIR/gate.yaml" --pins "$PINS"
	[[ $output == *"no proxy is running on these books; start without it"* ]]
}
