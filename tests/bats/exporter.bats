#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The exporter for programs and people, and `make run` as a newcomer meets it.

load helpers

setup() { stage_up; }
teardown() { stage_down; }

one_listener() {
	load --device front --device back
	start_plain
	start_exporter
	start_peer server backend --listen "198.51.100.1:3000"
}

get() { at gate curl -sS --max-time 10 "$@"; }

@test "promtool has nothing to say about /metrics" {
	one_listener
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 5 --bytes 1000
	# refusals and resets appear in their own families
	at client bash -c 'exec 5<>/dev/tcp/192.0.2.2/8080; exec 5>&-'
	within 10 sockets_closed
	fresh_scrape >"$DIR/page"
	run -0 "$ROOT/build/tools/usr/bin/promtool" check metrics <"$DIR/page"
	equal "" "$output" "promtool"
}

@test "a real Prometheus scrapes it, and its query returns the sum" {
	one_listener
	at client "$PEER" load --connect 192.0.2.2:8080 --connections 20 --mix assorted \
		>"$DIR/client.log"
	within 10 sockets_closed
	cat >"$DIR/prometheus.yml" <<-Y
		global: { scrape_interval: 1s }
		scrape_configs:
		  - job_name: tollgate
		    static_configs: [{ targets: ["127.0.0.1:9980"] }]
	Y
	start prometheus gate "$ROOT/build/tools/usr/bin/prometheus" \
		--config.file="$DIR/prometheus.yml" --storage.tsdb.path="$DIR/tsdb" \
		--web.listen-address=127.0.0.1:9090
	query() {
		get "http://127.0.0.1:9090/api/v1/query" --data-urlencode "query=$1" |
			jq -r '.data.result[0].value[1]'
	}
	within 30 eval '[ "$(query "sum(tollgate_tcp_payload_bytes_total{leg=\"downstream\",direction=\"rx\"})")" = \
		"$(sums client tx)" ]'
	equal "$(sums client rx)" \
		"$(query 'sum(tollgate_proxy_payload_bytes_total{leg="downstream",direction="tx"})')" tx
	equal 0 "$(query 'max(tollgate_residual_bytes)')" residual
	equal 1 "$(query 'up{job="tollgate"}')" up
}

@test "OpenMetrics by content negotiation, Prometheus text otherwise" {
	one_listener
	run -0 get -D "$DIR/head" -H 'Accept: application/openmetrics-text; version=1.0.0' \
		http://127.0.0.1:9980/metrics
	grep -qi '^content-type: application/openmetrics-text' "$DIR/head"
	equal "# EOF" "${lines[-1]}" "last line"
	[[ $output == *"# TYPE tollgate_tcp_payload_bytes counter"* ]]
	[[ $output == *"tollgate_tcp_payload_bytes_total{"* ]]
	run -0 get -D "$DIR/head" http://127.0.0.1:9980/metrics
	grep -qi '^content-type: text/plain; version=0.0.4' "$DIR/head"
	[[ $output != *"# EOF"* ]]
	[[ $output == *"# TYPE tollgate_tcp_payload_bytes_total counter"* ]]
}

@test "/flows is JSON, /healthz says agrees, other paths and methods are refused" {
	one_listener
	mkfifo "$DIR/fifo"
	start talker client sh -c "exec nc.openbsd -N 192.0.2.2 8080 <'$DIR/fifo'"
	exec 7>"$DIR/fifo"
	printf 12345 >&7
	within 10 eval 'get http://127.0.0.1:9980/flows | jq -e "any(.[]; .listener == \"plain\" and
		.leg == \"downstream\" and .route == \"app\" and .rx_payload_bytes == 5)"'
	equal agrees "$(get http://127.0.0.1:9980/healthz)" health
	equal 404 "$(get -o /dev/null -w '%{http_code}' http://127.0.0.1:9980/nosuch)" status
	equal 405 "$(get -o /dev/null -w '%{http_code}' -X POST http://127.0.0.1:9980/metrics)" status
	[[ $(get -I http://127.0.0.1:9980/events) == *"200 OK"*"text/event-stream"* ]]
	page=$(fresh_scrape)
	equal 1 "$(metric tollgate_connections_active 'listener="plain"' 'leg="downstream"' <<<"$page")" \
		active
	exec 7>&-
}

@test "the exporter gives up root and keeps one capability, not effective" {
	one_listener
	equal 65534 "$(awk '/^Uid:/ { print $3 }' "/proc/$exporter_pid/status")" uid
	equal 0000000000000000 "$(awk '/^CapEff:/ { print $2 }' "/proc/$exporter_pid/status")" effective
	equal 0000000000001000 "$(awk '/^CapPrm:/ { print $2 }' "/proc/$exporter_pid/status")" permitted
	equal 1 "$(awk '/^NoNewPrivs:/ { print $2 }' "/proc/$exporter_pid/status")" no_new_privs
	fresh_scrape | grep -q '^tollgate_nft_bytes_total'
}

@test "flows for people: sorted, filtered, limited" {
	one_listener
	mkfifo "$DIR/fifo"
	start talker client sh -c "exec nc.openbsd -N 192.0.2.2 8080 <'$DIR/fifo'"
	exec 7>"$DIR/fifo"
	printf 12345 >&7
	within 10 eval 'tollgate flows --listener plain | grep -q "plain/app downstream"'
	run -0 tollgate flows --listener plain --route app --state established --sort rx --limit 1
	equal 2 "${#lines[@]}" "lines with the heading"
	run -0 tollgate flows --listener nosuch
	[[ $output == *"(no live connection)"* ]]
	exec 7>&-
}

@test "make run: curl through the gate, scrape, Ctrl-C leaves nothing" {
	mkdir -p "$DIR/sysbpf"
	cat >"$DIR/script" <<-'S'
		exec 9>"$DIR/trace"
		BASH_XTRACEFD=9
		set -ex
		mount -t bpf bpf /sys/fs/bpf
		echo $$ >"$CGROUP/cgroup.procs"
		cd "$ROOT"
		before=$(ls -A /sys/fs/bpf; nft list tables; bpftool net show; bpftool cgroup show "$CGROUP")
		mkfifo "$DIR/keyboard"
		# a background job begins with SIGINT ignored, a terminal session does not
		env --default-signal=INT,QUIT script -qec "exec demo/run.sh" /dev/null <"$DIR/keyboard" >"$DIR/run.log" 2>&1 &
		run=$!
		exec 7>"$DIR/keyboard"
		for ((i = 0; i < 300; i++)); do
			grep -q "Live connections" "$DIR/run.log" && break
			sleep 0.1
		done
		for ((i = 0; i < 3; i++)); do
			curl -fsS --cacert "$BUILD/run/cert.pem" --resolve demo.tollgate.test:8443:127.0.0.1 \
				https://demo.tollgate.test:8443/ >"$DIR/page"
		done
		grep -q Cipher "$DIR/page"
		curl -fsS --cacert "$BUILD/run/cert.pem" --connect-to localhost:443:127.0.0.1:8080 \
			https://localhost/ >/dev/null
		"$BUILD/tollgate" audit
		for ((i = 0; i < 100; i++)); do
			grep -q LOCAL "$DIR/run.log" && break
			sleep 0.1
		done
		printf '\003' >&7 # Ctrl-C
		wait "$run"
		exec 7>&-
		after=$(ls -A /sys/fs/bpf; nft list tables; bpftool net show; bpftool cgroup show "$CGROUP")
		[ "$before" = "$after" ]
		[ ! -e "$BUILD/run" ]
		mapfile -t left <"$CGROUP/cgroup.procs"
		[ "${left[*]}" = $$ ]
	S
	# its own mount namespace: the default place for pins is /sys/fs/bpf
	run env CGROUP="$CGROUP" ROOT="$ROOT" DIR="$DIR" BUILD="${BIN#"$ROOT/"}" \
		timeout 60 nsenter --net="/proc/$gate/ns/net" unshare --mount bash "$DIR/script"
	echo "$output"
	cat "$DIR/run.log"
	[ "$status" -eq 0 ] || {
		tail -n 15 "$DIR/trace"
		return 1
	}
	[[ $output == *"residual 0"* ]]
	grep -q "nothing is left" "$DIR/run.log"
}

@test "make install puts programs, manuals and the object where DESTDIR says" {
	run -0 make -C "$ROOT" install DESTDIR="$DIR/dest" PREFIX=/usr
	for file in sbin/tollgate sbin/tollgate-proxy sbin/tollgate-exporter \
		lib/tollgate/tollgate.bpf.o share/man/man8/tollgate.8 \
		share/man/man8/tollgate-proxy.8 share/man/man8/tollgate-exporter.8 \
		share/man/man5/tollgate.yaml.5 share/man/man7/tollgate-control.7 lib/systemd/system/tollgate-proxy.service; do
		[ -s "$DIR/dest/usr/$file" ]
	done
	run -0 "$DIR/dest/usr/sbin/tollgate" --version
	run -0 make -C "$ROOT" uninstall DESTDIR="$DIR/dest" PREFIX=/usr
	equal "" "$(find "$DIR/dest" -type f)" "files left"
}
