#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # what helpers.bash sets
# For tests of HTTP: a gate that reads requests, and backends that say what they saw.

export PYTHONDONTWRITEBYTECODE=1 # nothing is left in the tree

setup() {
	stage_up
	! declare -F make_certificates >/dev/null || make_certificates # of tls.bash, where it was read before
	load --device front --device back
}
teardown() {
	[ -z "${log:-}" ] || rm -rf "$log"
	stage_down
}

# start_origin [PORT]: a backend at that port; what it saw is in $DIR/origin.seen
start_origin() {
	start origin backend /usr/bin/python3 "$ROOT/tests/http/origin.py" "198.51.100.1:${1:-3000}" "$DIR/origin.seen"
	within 10 listening backend "${1:-3000}"
}
# web LINE...: a listener of HTTP with the routes of these lines
web() {
	printf '%s\n' 'listeners:' \
		'  - name: web' \
		'    address: "192.0.2.2:8080"' "$@"
}
# shellcheck disable=SC2034 # for those who source this
app='      - { name: app, http: {}, backends: ["198.51.100.1:3000"] }' # a route to that origin
# ask PATH [OPTION...]: by curl
ask() {
	local path=$1
	shift
	at client curl -sS --max-time 20 "$@" "http://192.0.2.2:8080$path"
}
# raw TEXT: bytes as they are, and what comes back
raw() { at client /usr/bin/python3 "$ROOT/tests/http/raw.py" 192.0.2.2:8080 "$@"; }
# ended REASON: how many connections have, for that
ended() { tollgate status --json | jq --arg r "$1" '[.. | objects | .[$r] | numbers] | add // 0'; }
# mix NAME PORT N SEED [ARGUMENT...]: http/mix.py in the background; mixed NAME...: they have
# ended, and no answer was cut short
mix() { start "$1" client timeout 200 /usr/bin/python3 "$ROOT/tests/http/mix.py" "192.0.2.2:$2" "$3" "$4" "${@:5}"; }
mixed() {
	local name pid
	for name; do
		pid=${name}_pid
		wait "${!pid}" || {
			cat "$DIR/$name.log"
			return 1
		}
		equal 0 "$(sums "$name" lost)" "answers that did not come whole"
		[ "$(sums "$name" again)" -le 2 ] || { cat "$DIR/$name.log" && return 1; }
	done
}
# http_total METRIC [LABEL...]: of the page that was scraped into $DIR/page
http_total() { metric "$@" <"$DIR/page"; }
