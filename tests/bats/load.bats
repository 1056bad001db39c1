#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Loading, unloading, other loaders, and what can go wrong with them.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

# Everything of ours in the kernel, as numbers that must return to what they were.
leftovers() {
	at gate nft list tables
	at gate bpftool net show
	bpftool cgroup show "$CGROUP"
	find "$DIR/bpf"
}

@test "load and unload leave nothing behind" {
	leftovers >"$DIR/before"
	run -0 load --device front --device lo
	run -0 at gate nft list table netdev tollgate
	[ -e "$PINS/flows" ]
	run -0 tollgate unload
	leftovers >"$DIR/after"
	diff "$DIR/before" "$DIR/after"
}

@test "loading twice is an error that says so, and harms nothing" {
	load --device front
	run -1 load --device front
	[[ $output == *"already loaded"*"tollgate unload"* ]]
	run -0 tollgate status
	[[ $output == *"wire_rx  front: attached"* && $output == *"wire_tx  front: attached"* ]]
}

@test "a failure half-way undoes what was done" {
	leftovers >"$DIR/before"
	run -1 load --cgroup /nonexistent --device front
	[[ $output == *"/nonexistent"* ]]
	leftovers >"$DIR/after"
	diff "$DIR/before" "$DIR/after"
	run -1 load --device nosuch0
	[[ $output == *"--device nosuch0: no such device"* ]]
	# somebody else's table of our name is not touched
	at gate nft add table netdev tollgate
	run -1 load --device front
	[[ $output == *"exists already"* ]]
	run -0 at gate nft list table netdev tollgate
	at gate nft delete table netdev tollgate
	leftovers >"$DIR/after"
	diff "$DIR/before" "$DIR/after"
}

@test "without privilege one sentence says which capability is missing" {
	run -3 setpriv --bounding-set -bpf --inh-caps -bpf \
		"$BIN/tollgate" load --pins "$PINS" --cgroup "$CGROUP"
	equal 1 "${#lines[@]}" "lines"
	[[ $output == *"CAP_BPF is missing"* ]]
	run -3 setpriv --reuid 65534 --clear-groups --inh-caps -all \
		"$BIN/tollgate" status --pins "$PINS"
	equal 1 "${#lines[@]}" "lines"
}

@test "nothing loaded: every reader says so in one sentence and exits 3" {
	for command in status flows audit unload; do
		run -3 tollgate "$command"
		[[ $output == *"not loaded"* ]]
	done
	run -3 at gate "$BIN/tollgate-exporter" --pins "$PINS" --listen 127.0.0.1:0
	[[ $output == *"not loaded"*"tollgate load"* ]]
	printf 'listeners: [{name: a, address: "127.0.0.1:1", routes: [{name: b, backends: ["127.0.0.1:2"]}]}]\n' \
		>"$DIR/a.yaml"
	run -3 at gate "$BIN/tollgate-proxy" --config "$DIR/a.yaml" --pins "$PINS"
	[[ $output == *"not loaded"*"tollgate load"* ]]
}

@test "unload removes nothing that load did not make" {
	mkdir "$DIR/bpf/other"
	bpftool map create "$DIR/bpf/other/mine" type array key 4 value 8 entries 1 name mine
	run -1 at gate "$BIN/tollgate" unload --pins "$DIR/bpf/other"
	[[ $output == *"holds no books"* ]]
	[ -e "$DIR/bpf/other/mine" ]
	rm -r "$DIR/bpf/other"
	# a table of another instance stays
	at gate nft add table netdev tollgate
	load --no-nft --device front
	run -0 tollgate audit
	tollgate unload
	run -0 at gate nft list table netdev tollgate
	at gate nft delete table netdev tollgate
}

@test "a device with a dot in its name can be watched" {
	at gate ip link set front down
	at gate ip link set front name front.7
	at gate ip link set front.7 up
	for how in tcx clsact; do
		run -0 load --device front.7 --attach "$how"
		run -0 tollgate unload
	done
	run -0 at gate tc filter show dev front.7 ingress
	[ -z "$output" ]
}

@test "other tables and their counters stay as they are" {
	at gate nft add table inet other
	at gate nft add counter inet other mine '{ packets 7 bytes 77 }'
	at gate nft list ruleset >"$DIR/before"
	load --device front
	tollgate unload
	at gate nft list ruleset >"$DIR/after"
	diff "$DIR/before" "$DIR/after"
}

@test "the wire book by clsact counts the same and is taken away again" {
	at gate tc qdisc show >"$DIR/before"
	load --device front --device back --attach clsact
	start_plain
	start_peer server backend --listen "198.51.100.1:3000"
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 40 --mix assorted
	within 10 sockets_closed
	audit_is_clean
	tollgate unload
	run -0 at gate tc filter show dev front ingress
	[ -z "$output" ]
	run -0 at gate tc filter show dev front egress
	[ -z "$output" ]
}

@test "bpftool loads the same object, and the readers work on its pins" {
	bpftool prog loadall "$BIN/tollgate.bpf.o" "$PINS" pinmaps "$PINS" 2>/dev/null
	bpftool cgroup attach "$CGROUP" cgroup_sock_ops pinned "$PINS/tcp_sockops" 2>/dev/null ||
		bpftool cgroup attach "$CGROUP" sock_ops pinned "$PINS/tcp_sockops"
	start_peer server gate --listen 127.0.0.1:3000
	at gate "$PEER" load --connect 127.0.0.1:3000 --connections 20 --mix assorted >"$DIR/client.log"
	within 10 sockets_closed
	run -0 --separate-stderr tollgate status --json
	equal "$(($(sums client tx) + $(sums client rx)))" "$(jq .payload.rx_payload_bytes <<<"$output")" rx
	run -0 tollgate audit
	bpftool cgroup detach "$CGROUP" sock_ops pinned "$PINS/tcp_sockops"
	rm -r "$PINS"
}

@test "bpftool shows the maps with field names, and the same number" {
	load
	start_peer server gate --listen 127.0.0.1:3000
	at gate "$PEER" load --connect 127.0.0.1:3000 --connections 3 --bytes 1000 >"$DIR/client.log"
	within 10 sockets_closed
	bpftool -j map dump pinned "$PINS/tcp_totals" >"$DIR/dump.json"
	equal "$(sums client tx)" "$(jq '[.[].formatted | select(.key.port == 3000 and .key.role == 1)
		| .values[].value.counts.rx_payload_bytes] | add' "$DIR/dump.json")" "bpftool's rx"
	equal 3 "$(jq '[.[].formatted | select(.key.port == 3000 and .key.role == 1)
		| .values[].value.opened] | add' "$DIR/dump.json")" "bpftool's opened"
}

@test "an IPv4 peer of a dual-stack socket is one v4-mapped key on both ends" {
	load --device lo
	start_peer server gate --listen "[::]:3000"
	mkfifo "$DIR/fifo"
	start talker gate sh -c "exec nc.openbsd -N 127.0.0.1 3000 <'$DIR/fifo'"
	exec 7>"$DIR/fifo"
	within 10 live 2
	run -0 --separate-stderr tollgate flows --json
	jq -e 'all(.[]; .local | startswith("127.0.0.1:")) and
		all(.[]; has("rx_frame_bytes") and .rx_frame_bytes > 0)' <<<"$output"
	exec 7>&-
}

@test "wrong usage exits 2 and says what" {
	run -2 "$BIN/tollgate"
	run -2 "$BIN/tollgate" nosuch
	[[ $output == *"no command 'nosuch'"* ]]
	run -2 "$BIN/tollgate" flows --sort nosuch
	run -2 "$BIN/tollgate" status extra
	run -2 "$BIN/tollgate" load --attach nosuch
	run -2 "$BIN/tollgate-proxy"
	run -2 "$BIN/tollgate-exporter" --listen nosuch extra
	for program in tollgate tollgate-proxy tollgate-exporter; do
		run -0 "$BIN/$program" --help
		[[ $output == usage:* ]]
		run -0 "$BIN/$program" --version
		[[ $output == "$program "[0-9]* ]]
	done
}

room() { bpftool -j map show pinned "$PINS/$1" | jq .max_entries; }

# many FILE: 100 routes of 60 backends
many() {
	local route backend
	{
		printf '%s\n' 'listeners:' '  - name: many' '    address: "192.0.2.2:8443"' '    routes:'
		for ((route = 0; route < 100; route++)); do
			printf '      - { name: r%d, sni: [r%d.example.org], backends: [' $route $route
			for ((backend = 1; backend < 60; backend++)); do printf '"10.%d.%d.1:80", ' $route $backend; done
			printf '"198.51.100.1:%d"] }\n' $((3000 + route))
		done
	} >"$1"
}

@test "a configuration that does not fit is refused with what helps; load --config makes room for twice as much" {
	many "$DIR/many.yaml"
	load
	run -1 at gate "$BIN/tollgate-proxy" --config "$DIR/many.yaml" --pins "$PINS"
	[[ $output == *"there is no room"*"load --config FILE"* ]]
	tollgate unload
	load --config "$DIR/many.yaml"
	start_proxy <"$DIR/many.yaml"
	# and another, with as many new names
	sed -i 's/"10\./"11./g; s/name: r/name: s/; s/sni: \[r/sni: [s/' "$DIR/gate.yaml"
	kill -HUP "$proxy_pid"
	within 20 grep -q "read again" "$DIR/proxy.log" || { tail -3 "$DIR/proxy.log"; false; }
	run -0 tollgate audit
	equal "16384 24130" "$(room names) $(room proxy_book)" "names and slots"
}

@test "more routes of HTTP than there is room for are in their listener's row, which is said; load --config makes room" {
	local i
	{
		printf '%s\n' 'listeners:' '  - name: many' '    address: "192.0.2.2:8080"' '    routes:'
		for i in {1..900}; do echo "      - { name: r$i, http: { path: [/r$i], respond: { status: 204 } } }"; done
	} >"$DIR/many.yaml"
	load
	start_exporter
	start_proxy <"$DIR/many.yaml"
	local without
	without=$(sed -n "s/.*requests of \([0-9]*\) routes are counted in their listener's row.*/\1/p" "$DIR/proxy.log")
	[ "$without" -gt 100 ]
	equal 900 "$(at client curl -sS -w '%{http_code}\n' "http://192.0.2.2:8080/r[1-900]" | grep -c 204)" "answers"
	within 10 eval '[ "$(fresh_scrape | metric tollgate_http_requests_total)" = 900 ]'
	equal "$without" "$(fresh_scrape | metric tollgate_http_requests_total 'route=""')" "in the listener's row"
	stop "$exporter_pid"
	stop "$proxy_pid"
	run -0 tollgate audit
	[[ $output == *"app_http"* ]]
	tollgate unload
	load --config "$DIR/many.yaml"
	equal 1930 "$(room proxy_http)" "rows of requests"
	start_proxy <"$DIR/many.yaml"
	run ! grep "their listener's row" "$DIR/proxy.log"
}

@test "what --size says stays when --config says more, and a configuration that cannot be read loads nothing" {
	many "$DIR/many.yaml"
	load --config "$DIR/many.yaml" --size names=20000
	equal "20000 24130" "$(room names) $(room proxy_book)" "names and slots"
	tollgate unload
	sed -i 's/routes:/rowtes:/' "$DIR/many.yaml"
	run -1 load --config "$DIR/many.yaml"
	[[ $output == *"--config: "*"many.yaml:"*"rowtes"* && ! -e "$PINS" ]]
}
