#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make run`: load the kernel side, start exporter and proxy, show live connections until
# Ctrl-C, and leave nothing behind.  With the demo configuration it also starts a real TLS
# server (openssl s_server) to talk to.
set -euo pipefail

cd "$(dirname "$0")/.."
build=${BUILD:-build}
config=${CONFIG:-demo/demo.yaml}
listen=${LISTEN:-127.0.0.1:9980}
device=${DEVICE:-lo}
work=$build/run
pids=()
loaded=
mounted=

say() { printf '%s\n' "$*"; }

if [ "$(id -u)" -ne 0 ]; then
	say "make run loads kernel programs: run it as root (sudo make run)" >&2
	exit 3
fi

hurry() {
	[ -z "${proxy:-}" ] || kill "$proxy" 2>/dev/null || : # a second signal: at once
}

stop() {
	trap - EXIT
	trap hurry INT TERM HUP # what must be undone is undone, however often one asks
	say ""
	say "stopping ..."
	local pid
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || continue # it has ended by itself
		# a trapped signal ends wait, not the process
		while kill -0 "$pid" 2>/dev/null; do wait "$pid" 2>/dev/null || :; done
	done
	[ -z "$loaded" ] || "$build/tollgate" unload
	[ -z "$mounted" ] || umount /sys/fs/bpf
	rm -rf "$work"
	say "nothing is left: no process, no pin, no program, no nft table"
}

# wait_for SECONDS PID COMMAND...: until the command succeeds; fails if the process ends
wait_for() {
	local deadline=$((SECONDS + $1)) pid=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if ! kill -0 "$pid" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
			return 1
		fi
		read -r -t 0.05 <> <(:) || : # a pause without a process
	done
}

start() {
	local log=$work/$1.log
	shift
	# own session: Ctrl-C reaches only this script, which stops them in order
	setsid "$@" >"$log" 2>&1 </dev/null &
	pids=("$!" "${pids[@]}")
}

failed() {
	say "$1 did not start:" >&2
	cat "$work/$1.log" >&2
	exit 1
}

"$build/tollgate" check "$config" >/dev/null
grep -q ' /sys/fs/bpf bpf ' /proc/self/mounts || mounted=yes
trap '' INT TERM HUP # a load that has begun is finished, then undone
"$build/tollgate" load --device "$device" --config "$config" ${CGROUP:+--cgroup "$CGROUP"} || {
	[ -z "$mounted" ] || umount /sys/fs/bpf 2>/dev/null || : # load may not have come so far
	exit 1
}
loaded=yes
trap stop EXIT # from here on there is something to undo
trap 'exit 0' INT TERM HUP
mkdir -p "$work"

if [ "$config" = demo/demo.yaml ]; then
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-subj /CN=demo.tollgate.test \
		-addext subjectAltName=DNS:demo.tollgate.test,DNS:localhost \
		-keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
	start demo openssl s_server -www -accept 127.0.0.1:9443 -key "$work/key.pem" \
		-cert "$work/cert.pem"
	wait_for 10 "${pids[0]}" grep -q ACCEPT "$work/demo.log" || failed demo
fi

start exporter "$build/tollgate-exporter" --listen "$listen"
wait_for 10 "${pids[0]}" curl -fs "http://$listen/healthz" || failed exporter
start proxy "$build/tollgate-proxy" --config "$config"
wait_for 10 "${pids[0]}" grep -q ready "$work/proxy.log" || failed proxy
proxy=${pids[0]}

say "Tollgate is running (configuration $config, device $device)."
say ""
say "In another terminal, try:"
if [ "$config" = demo/demo.yaml ]; then
	say "  curl --cacert $work/cert.pem --resolve demo.tollgate.test:8443:127.0.0.1 https://demo.tollgate.test:8443/"
	say "  curl --cacert $work/cert.pem --connect-to localhost:443:127.0.0.1:8080 https://localhost/"
fi
say "  curl -s http://$listen/metrics | grep payload_bytes_total"
say "  sudo $build/tollgate flows"
say "  sudo $build/tollgate audit"
say "  $build/tollgate events --follow --exporter http://$listen"
say ""
say "Live connections follow; Ctrl-C stops everything."
say ""

while kill -0 "$proxy" 2>/dev/null; do
	table=$("$build/tollgate" flows --limit 20)
	if [ -t 1 ]; then
		printf '\033[s\033[J%s\033[u' "$table"
	fi
	sleep 1 &
	wait $! || :
done
say "the proxy has stopped:"
tail -n 5 "$work/proxy.log"
exit 1
