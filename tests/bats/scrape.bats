#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Who reads the books over HTTP, patient or not: slow clients, many clients, full disks,
# restarts, content negotiation, pages and filters, and the commands that read from there.

load helpers

setup() {
	stage_up
	full=
}
teardown() {
	if [ -n "$full" ]; then
		umount "$full" || umount -l "$full"
		rm -r "$full"
	fi
	stage_down
}

url=http://127.0.0.1:9980

# talk N: so many connections of 1,000 bytes through the gate; each makes three records
talk() {
	at client "$PEER" load --connect 192.0.2.2:8080 --connections "$1" --bytes 1000 --mix fixed >>"$DIR/client.log"
}

exporter() { # OPTION...
	rm -f "$DIR/exporter.log"
	start exporter gate "$BIN/tollgate-exporter" --listen 0.0.0.0:9980 --pins "$PINS" "$@"
	within 10 scrape
}

gate_with_exporter() { # OPTION...
	load --device front
	start_plain
	start_peer server backend --listen 198.51.100.1:3000
	exporter "$@"
}

get() { at gate curl -sS --max-time 10 "$@"; }

# records N: so many of listener plain are in memory
records() {
	equal "$1" "$(get "$url/records" | jq 'map(select(.listener == "plain" or .downstream)) | length')" records
}


# scrapes N: each answered within a second
scrapes() {
	local i
	for ((i = 0; i < $1; i++)); do
		at gate curl -fsS --max-time 1 "$url/metrics" >"$DIR/page"
		grep -q '^tollgate_build_info' "$DIR/page"
	done
}

# --- K11: a stream over a restart ---

# ids_of FILE: of a stream, in order
ids_of() { sed -n 's/^id: //p' "$1"; }

# stream NAME ID N: from there on, until it has said N records of the listener
stream() {
	start "$1" gate curl -sN -H "Last-Event-ID: $2" "$url/events"
	within 10 eval '[ "$(grep -c "\"listener\":\"plain\"" "$DIR/'"$1"'.log")" -ge '"$3"' ]'
	local pid=$1_pid
	stop "${!pid}"
}

@test "K11: who resumes at another exporter misses nothing, and is told that the count is a new one" {
	gate_with_exporter
	talk 5
	within 10 records 15
	stream first 0 15
	last=$(ids_of "$DIR/first.log" | tail -1)
	stop "$exporter_pid"
	exporter
	# more than the first has told
	talk 10
	within 10 records 30
	stream second "$last" 30
	equal "event: lost" "$(head -1 "$DIR/second.log")" "the first word"
	[[ $last =~ ^[0-9A-Za-z]+-[0-9]+$ ]]
	equal "" "$(comm -12 <(ids_of "$DIR/first.log" | sort) <(ids_of "$DIR/second.log" | sort))" "ids of both"
}

@test "K11: who resumes at the same exporter gets what came after, and no word of a loss" {
	gate_with_exporter
	talk 5
	within 10 records 15
	stream first 0 15
	local id
	id=$(grep -B1 listener...plain "$DIR/first.log" | sed -n 's/^id: //p' | sed -n 5p)
	stream second "$id" 10
	equal "$(grep '"listener":"plain"' "$DIR/first.log" | tail -10)" \
		"$(grep '"listener":"plain"' "$DIR/second.log")" "records"
	run ! grep -q lost "$DIR/second.log"
	# no id of ours: from the oldest, with a word
	stream third nonsense-3 15
	equal "event: lost" "$(head -1 "$DIR/third.log")" "the first word"
}

# --- K12: slow and greedy clients ---

# drip N: so many clients of another address that send a byte of their head each second
drip() {
	# shellcheck disable=SC2016 # expands in the inner shell
	start drip client bash -c 'trap "" PIPE
		for ((i = 0; i < $0; i++)); do
			exec {fd}<>/dev/tcp/192.0.2.2/9980 && printf "GET /metrics HTTP/1.1\r\nX: " >&"$fd" && fds+=("$fd")
		done 2>/dev/null
		echo all
		for ((n = 0; n < 60; n++)); do
			for fd in "${fds[@]}"; do printf x >&"$fd"; done 2>/dev/null
			sleep 1
		done' "$1"
	within 20 grep -q all "$DIR/drip.log"
}

@test "K12: clients that never finish a head do not stop a scrape" {
	load
	exporter
	drip 100
	scrapes 5
}

@test "K12: a head has a deadline, however steadily its bytes drip" {
	load
	exporter
	drip 1
	equal 1 "$(at gate ss -Htn state established "sport = 9980" | wc -l)" "connections"
	within 20 eval '[ -z "$(at gate ss -Htn state established "sport = 9980")" ]'
	kill -0 "$drip_pid"
}

# many_sockets N: connections of the gate that stay; the directory has both ends
many_sockets() {
	load --no-nft
	start sink backend "$BIN/tests/tools/load" serve 198.51.100.1:3002 64 64
	within 10 listening backend 3002
	start_held crowd gate "$DIR/go" "$BIN/tests/tools/load" hold 198.51.100.1:3002 64 64 "$1"
	within 30 eval '[ "$(tollgate status --json | jq .sockets.live)" -ge '"$1"' ]'
	exporter
}

@test "K12: 20 clients that read all of many sockets again and again do not stop a scrape" {
	many_sockets 8000
	scrapes 1
	# shellcheck disable=SC2016 # expands in the inner shell
	start readers client bash -c 'for ((i = 0; i < 20; i++)); do
			for ((n = 0; n < 20; n++)); do
				curl -fsS --max-time 30 -o /dev/null "http://192.0.2.2:9980/flows" && echo one
			done &
		done; wait'
	within 20 grep -q one "$DIR/readers.log"
	scrapes 5
}

# resident: KiB of the exporter
resident() { awk '/^VmRSS:/ { print $2 }' "/proc/$exporter_pid/status"; }

@test "K12: a body is not kept in memory for each client that is slow to read it" {
	local before
	many_sockets 8000
	get -o /dev/null "$url/flows"
	before=$(resident)
	# shellcheck disable=SC2016 # expands in the inner shell
	start deaf client bash -c 'for ((i = 10; i < 30; i++)); do
			eval "exec $i<>/dev/tcp/192.0.2.2/9980"; printf "GET /flows HTTP/1.1\r\nHost: x\r\n\r\n" >&"$i"
		done; echo all; exec sleep 60'
	within 10 grep -q all "$DIR/deaf.log"
	# some are answered and do not read; who asks after all of them is, too
	within 20 eval '[ "$(at client ss -Htn "dport = 9980" | awk "\$2 > 0" | wc -l)" -ge 4 ]'
	at gate curl -sS --max-time 30 -o /dev/null "$url/healthz"
	[ $(($(resident) - before)) -lt 40000 ] || {
		echo "$(resident) KiB, before $before"
		return 1
	}
}

# --- K21, K22: files and memory of records ---

@test "K21: a full disk costs whole lines: no half one, and none behind it is lost" {
	full=$(mktemp -d /tmp/tollgate-full.XXXXXX)
	mount -t tmpfs -o size=8k,mode=777 tollgate-test "$full"
	gate_with_exporter --events-file "$full/log"
	talk 20
	within 10 records 60
	within 10 grep -q "cannot write to $full/log" "$DIR/exporter.log"
	mount -o remount,size=1m "$full"
	local before
	before=$(wc -l <"$full/log")
	talk 5
	within 10 records 75
	stop "$exporter_pid"
	# each line is an object
	awk '!/^\{.*\}$/ || /\}\{/ { print "torn: " $0; bad = 1 } END { exit bad }' "$full/log"
	jq -e -s 'length >= 15 and all(.book)' "$full/log"
	# the last ones are all there
	equal 15 "$(tail -n "+$((before + 1))" "$full/log" | jq -s 'map(select(.listener == "plain" or .downstream)) | length')" \
		"lines after there was room again"
}

@test "K21: SIGHUP opens the events file again: what was moved away stays, what comes is new" {
	full=$(mktemp -d /tmp/tollgate-events.XXXXXX)
	mount -t tmpfs -o size=8m,mode=777 tollgate-test "$full"
	gate_with_exporter --events-file "$full/log"
	talk 2
	within 10 records 6
	mv "$full/log" "$full/log.old"
	kill -HUP "$exporter_pid"
	within 10 test -e "$full/log"
	talk 3
	within 10 records 15
	stop "$exporter_pid"
	equal 6 "$(jq -s 'map(select(.listener == "plain" or .downstream)) | length' "$full/log.old")" old
	equal 9 "$(jq -s 'map(select(.listener == "plain" or .downstream)) | length' "$full/log")" new
}

@test "K22: the last record is there, however fast others come" {
	gate_with_exporter --records 1
	talk 1
	within 10 eval '[ "$(get "$url/records?book=tcp" | jq length)" = 1 ]'
	# shellcheck disable=SC2016 # expands in the inner shell
	start traffic client bash -c 'for ((i = 0; i < 20; i++)); do
			"$0" load --connect 192.0.2.2:8080 --connections 2000 --parallel 16 --bytes 10 --mix fixed
		done' "$PEER"
	within 10 eval '[ "$(tollgate status --json | jq .sockets.closed)" -ge 200 ]'
	at gate curl -sS --max-time 60 "$url/records?last=1&again=[1-6000]" >"$DIR/pages"
	kill -0 "$traffic_pid"
	equal 0 "$(grep -c '^\[\]$' "$DIR/pages" || :)" "empty lists of 6,000"
}

# --- K23, K24: HTTP ---

type_for() { # ACCEPT
	get -o /dev/null -w '%{content_type}' -H "Accept: $1" "$url/metrics"
}

@test "K23: what the client will not have it does not get" {
	load
	exporter
	[[ $(type_for 'application/openmetrics-text;version=1.0.0;q=0, text/plain') == text/plain* ]]
	[[ $(type_for 'text/plain;q=0.9, application/openmetrics-text; q=0.0') == text/plain* ]]
	[[ $(type_for 'application/openmetrics-textual, text/plain') == text/plain* ]]
	# what Prometheus sends
	[[ $(type_for 'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2') == application/openmetrics-text* ]]
}

@test "K23: gzip for who accepts it, and only for him" {
	load
	exporter
	get -D "$DIR/head" -H 'Accept-Encoding: gzip' "$url/metrics" >"$DIR/page"
	grep -qi '^content-encoding: gzip' "$DIR/head"
	grep -qi '^vary:.*accept-encoding' "$DIR/head"
	gzip -dc <"$DIR/page" | grep -q '^tollgate_build_info'
	[ "$(stat -c %s "$DIR/page")" -lt $(($(gzip -dc <"$DIR/page" | wc -c) / 3)) ]
	get -D "$DIR/head" -H 'Accept-Encoding: gzip;q=0, deflate' "$url/metrics" | grep -q '^tollgate_build_info'
	run ! grep -qi '^content-encoding' "$DIR/head"
	get -H 'Accept-Encoding: gzip' "$url/flows" | gzip -dc | jq -e 'type == "array"'
}

@test "K23: a method that is not allowed is answered with those that are" {
	load
	exporter
	equal 405 "$(get -D "$DIR/head" -o /dev/null -w '%{http_code}' -X DELETE "$url/metrics")" status
	grep -qi $'^allow: GET, HEAD\r$' "$DIR/head"
	equal 405 "$(get -D "$DIR/head" -o /dev/null -w '%{http_code}' -X POST -d x "$url/flows")" status
	grep -qi $'^allow: GET, HEAD\r$' "$DIR/head"
}

@test "K24: a client that asks again does so on the same connection" {
	load
	exporter
	equal "1 0 0" "$(get -o /dev/null -o /dev/null -o /dev/null -w '%{num_connects}\n' "$url/metrics" "$url/flows" \
		"$url/healthz" | paste -sd' ')" "connections made"
	get -o /dev/null -D "$DIR/head" "$url/metrics"
	run ! grep -qi '^connection: close' "$DIR/head"
}

# --- K25, K31, where it listens ---

@test "K25: a second exporter on the same books is refused, and takes no record" {
	gate_with_exporter
	run -1 at gate timeout 10 "$BIN/tollgate-exporter" --listen 127.0.0.1:9981 --pins "$PINS"
	[[ $output == *exporter*"pid $exporter_pid"* ]]
	talk 5
	within 10 records 15
	# when the first has died, however it died, there is room
	stop "$exporter_pid" KILL
	exporter
	talk 5
	within 10 records 15
}

healthz() { get -o "$DIR/health" -w '%{http_code} ' "$url/healthz" && cat "$DIR/health"; }

@test "K31: health is 200 when the books agree" {
	gate_with_exporter
	talk 3
	within 10 sockets_closed
	within 5 eval '[[ $(healthz) == "200 agrees"* ]]'
}

@test "K31: health is 503 when a book is incomplete, and says which" {
	load --device front --size wire=2
	start_plain
	start_peer server backend --listen 198.51.100.1:3000
	exporter
	talk 30
	within 10 sockets_closed
	within 5 eval '[[ $(healthz) == "503 incomplete:"*wire* ]]'
}

@test "K31: health is 500 when the books differ, and says by how much" {
	gate_with_exporter
	mkfifo "$DIR/fifo"
	start talker client sh -c "exec nc.openbsd -N 192.0.2.2 8080 <'$DIR/fifo' >/dev/null"
	exec 7>"$DIR/fifo"
	within 10 eval '[ "$(tollgate flows --json --listener plain | jq length)" = 2 ]'
	# 256 bytes more than the link has carried: counts[TG_TX].payload_bytes, its second byte
	local entry
	entry=$(bpftool -j map dump pinned "$PINS/wire" |
		jq -c '[.[] | select(.formatted.value.socket == 1 and .formatted.value.listener > 0)][0]')
	# shellcheck disable=SC2046 # words of hexadecimal digits
	bpftool map update pinned "$PINS/wire" \
		key hex $(jq -r '.key | map(ltrimstr("0x")) | join(" ")' <<<"$entry") \
		value hex $(jq -r '.value | map(ltrimstr("0x")) | .[137] = "01" | join(" ")' <<<"$entry")
	exec 7>&-
	within 10 sockets_closed
	within 5 eval '[[ $(healthz) == "500 differs:"*256* ]]'
}

@test "a unix socket to listen on, and one that an exporter has left behind" {
	load
	start exporter gate "$BIN/tollgate-exporter" --listen "unix:$DIR/sock" --pins "$PINS"
	within 10 curl -fsS --max-time 5 --unix-socket "$DIR/sock" http://x/metrics
	stop "$exporter_pid" KILL
	start exporter gate "$BIN/tollgate-exporter" --listen "unix:$DIR/sock" --pins "$PINS"
	within 10 curl -fsS --max-time 5 --unix-socket "$DIR/sock" http://x/metrics
	stop "$exporter_pid"
}

# --- K28 to K30: the commands ---

@test "K28: a state or protocol that does not exist is refused, with those that do" {
	load
	run -2 tollgate flows --state BOGUS
	[[ $output == *BOGUS* && ${output,,} == *established* && ${output,,} == *time_wait* ]]
	run -2 tollgate flows --protocol nonsense
	[[ $output == *nonsense* && $output == *tcp* && $output == *udp* && $output == *all* ]]
	run -2 tollgate flows --protocol 256
	run -0 tollgate flows --state established --protocol 17
	run -0 tollgate flows --state ESTABLISHED --protocol TCP
}

@test "K29: what is watched as JSON is one object a line" {
	load
	start watcher gate "$BIN/tollgate" audit --watch --json --pins "$PINS"
	start flows gate "$BIN/tollgate" flows --watch --json --pins "$PINS"
	within 10 eval '[ "$(grep -c . "$DIR/watcher.log")" -ge 2 ] && [ "$(grep -c . "$DIR/flows.log")" -ge 2 ]'
	stop "$watcher_pid"
	stop "$flows_pid"
	head -2 "$DIR/watcher.log" | jq -e -s -R 'split("\n")[:2] | map(fromjson) | all(.checks)'
	head -2 "$DIR/flows.log" | jq -e -s -R 'split("\n")[:2] | map(fromjson) | all(type == "array")'
}

@test "K30: who follows goes on with the next exporter, and sees each record once" {
	gate_with_exporter
	start follower gate "$BIN/tollgate" events --follow --json --last 0 --book proxy
	within 10 eval '[ -n "$(at gate ss -Htn state established "dport = 9980")" ]'
	talk 3
	within 10 eval '[ "$(grep -c . "$DIR/follower.log")" = 3 ]'
	stop "$exporter_pid"
	talk 2
	kill -0 "$follower_pid"
	exporter
	talk 4
	within 15 eval '[ "$(grep -c "^{" "$DIR/follower.log")" = 9 ]'
	equal 9 "$(grep '^{' "$DIR/follower.log" | sort -u | wc -l)" "different ones"
	stop "$follower_pid"
}

# --- pages and filters ---

# held N: so many connections through the gate that stay, from 192.0.2.1
held() {
	start held client bash -c 'for ((i = 10; i < 10 + $0; i++)); do
			eval "exec $i<>/dev/tcp/192.0.2.2/8080"; done; echo all; exec sleep 60' "$1"
	within 10 grep -q all "$DIR/held.log"
	within 10 eval '[ "$(tollgate flows --json --listener plain | jq length)" = '"$((2 * $1))"' ]'
}

flows() { get "$url/flows?$1"; }

@test "/flows in pages: each connection once, in one order" {
	gate_with_exporter
	held 10
	equal 3 "$(flows 'listener=plain&limit=3' | jq length)" "a page"
	for offset in 0 6 12 18; do
		flows "listener=plain&limit=6&offset=$offset"
	done | jq -s 'add' >"$DIR/pages"
	equal 20 "$(jq length "$DIR/pages")" "all pages"
	equal 20 "$(jq -r '.[] | "\(.local) \(.remote)"' "$DIR/pages" | sort -u | wc -l)" "different ones"
	equal 0 "$(flows 'listener=plain&offset=20' | jq length)" "behind the last"
}

@test "/flows by address, port, listener, protocol and state" {
	gate_with_exporter
	held 4
	# a client's end, too, is one of this machine
	equal 8 "$(flows 'port=8080' | jq length)" "port of either end"
	equal 4 "$(flows 'listener=plain&address=192.0.2.1' | jq length)" "address"
	equal 4 "$(flows 'listener=plain&address=198.51.100.1&port=3000' | jq length)" "address and port"
	equal 0 "$(flows 'address=203.0.113.1' | jq length)" "an address of nobody"
	equal 8 "$(flows 'listener=plain' | jq length)" "listener"
	equal 0 "$(flows 'listener=nosuch' | jq length)" "a listener of nobody"
	equal 0 "$(flows 'listener=plain&protocol=udp' | jq length)" "another protocol"
	equal 8 "$(flows 'listener=plain&protocol=tcp&state=established' | jq length)" "state"
	equal 0 "$(flows 'listener=plain&state=syn_sent' | jq length)" "another state"
}

@test "a filter that cannot be understood is an error, not everything" {
	gate_with_exporter
	for wrong in limit=x offset=-1 address=nonsense port=65536 protocol=nonsense state=BOGUS; do
		equal 400 "$(get -o "$DIR/why" -w '%{http_code}' "$url/flows?$wrong")" "$wrong"
		grep -q "${wrong%%=*}" "$DIR/why"
	done
	for wrong in last=x address=nonsense since=yesterday book=nonsense; do
		equal 400 "$(get -o "$DIR/why" -w '%{http_code}' "$url/records?$wrong")" "$wrong"
		grep -q "${wrong%%=*}" "$DIR/why"
	done
}

@test "/records by book, listener, address and time; the last N are of what was asked for" {
	gate_with_exporter
	talk 5
	within 10 records 15
	equal 3 "$(get "$url/records?last=3&book=proxy" | jq 'map(select(.book == "proxy")) | length')" "of the proxy"
	equal 5 "$(get "$url/records?book=proxy" | jq length)" "of the proxy, all"
	equal 5 "$(get "$url/records?book=proxy&listener=plain&address=192.0.2.1" | jq length)" "of a client"
	equal 0 "$(get "$url/records?address=203.0.113.1" | jq length)" "of nobody"
	equal 0 "$(get "$url/records?listener=nosuch" | jq length)" "of no listener"
	local middle
	within 5 eval '[ "$(date +%s)" -gt "$(get "$url/records?book=proxy" | jq "map(.closed) | max | ceil")" ]'
	middle=$(date +%s)
	talk 2
	within 10 records 21
	equal 2 "$(get "$url/records?book=proxy&since=$middle" | jq length)" "since then"
}

@test "tollgate events: the last N of a book are N of that book" {
	gate_with_exporter
	talk 5
	within 10 records 15
	run -0 --separate-stderr tollgate events --last 3 --book proxy --json
	equal 3 "${#lines[@]}" "lines"
	run -0 --separate-stderr tollgate events --last 4 --book tcp --json
	equal 4 "${#lines[@]}" "lines"
}

# --- why ---

@test "tollgate why: which refusals an address had, for which names, and what helps" {
	load --device front
	start_proxy <<-Y
		listeners:
		  - name: tls
		    address: "192.0.2.2:8443"
		    routes: [{ name: a, sni: [a.example.org], backends: ["198.51.100.1:3009"] }]
	Y
	exporter
	at client "$HELLO" send 192.0.2.2:8443 "one record" other.example.org || :
	at client "$HELLO" send 192.0.2.2:8443 "one record" a.example.org || :
	within 10 eval '[ "$(get "$url/records" | jq "map(select(.book == \"proxy\")) | length")" = 2 ]'
	run -0 --separate-stderr tollgate why 192.0.2.1
	[[ $output == *no_route*other.example.org* ]]
	[[ $output == *backend_refused*198.51.100.1:3009* ]]
	# nobody asks for what was fine
	run -0 --separate-stderr tollgate why 203.0.113.1
	[[ $output == *203.0.113.1* && $output != *no_route* ]]
	run -0 --separate-stderr tollgate why fd00:1::1
}

@test "tollgate why: an address is needed, and an exporter that answers" {
	load
	run -2 tollgate why
	run -2 tollgate why nonsense
	[[ $output == *nonsense* ]]
	run -3 --separate-stderr tollgate why 192.0.2.1
	[[ $stderr == *"no exporter answers at http://127.0.0.1:9980"* ]]
}
