#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `state: database`: what is acknowledged is on the disk and in force; what is refused is
# neither; where file and API say different things nobody guesses.

load helpers

setup() {
	stage_up
	load
	mkdir -m 711 "$DIR/state"
	chown nobody "$DIR/state"
	chmod 755 "$DIR" "${DIR%/*}" "${DIR%/*/*}"
}
teardown() {
	stage_down
	! mountpoint -q "$DIR/state" || umount "$DIR/state"
}

config() {
	printf '%s\n' 'state: database' "state_file: $DIR/state/state.db" \
		'listeners:' '  - name: in' '    address: "192.0.2.2:8080"' '    routes:' '      - name: app' \
		'        backends: ["198.51.100.1:3000"]' "$@"
}
gate() {
	start_peer one backend --listen 198.51.100.1:3000
	start_peer two backend --listen 198.51.100.1:3001
	start_proxy < <(config)
	start_exporter
}
again() {
	stop "$proxy_pid"
	start proxy gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS" "$@"
	proxy_pid=$!
	within 10 grep -q 'ready$' "$DIR/proxy.log"
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
# any METHOD PATH BODY [OPTION...]: whatever the revision is
any() {
	local method=$1 path=$2 body=$3
	shift 3
	api "$method" "$path" -H 'If-Match: *' -d "$body" "$@"
}
folder() { dirname "$(socket_of "$proxy_pid")"; }
gone() { ! kill -0 "$1" 2>/dev/null; }
verified() { /usr/bin/python3 "$ROOT/tests/control/change.py" verify "$DIR/acked" --folder "$(folder)" --last "${LAST:-1000}"; }
says() {
	[ "$status" = "$1" ] && jq -e "$2" <<<"$output" >/dev/null || {
		echo "$status, not $1 with $2: $output"
		return 1
	}
}
gauge() { [ "$(fresh_scrape | metric "$1")" = "$2" ]; }

@test "parts are read, made, changed and removed; each is a revision, and outlives the process" {
	gate
	api GET /v1/status
	says 200 '.revision == 1 and .state.kind == "database" and .state.ok and (.state.file_differs | not)'
	any PUT /v1/listeners/in/routes/more '{"from": ["203.0.113.0/24"], "backends": ["198.51.100.1:3001"]}'
	says 201 '.revision == 2 and (.changes | length) == 1 and .changes[0].key == "listeners[in].routes[more]" and .changes[0].kind == "added"'
	api GET /v1/listeners/in/routes/more -D "$DIR/head"
	says 200 '.name == "more" and .backends == ["198.51.100.1:3001"]'
	grep -qi '^etag: "2"' "$DIR/head"
	any PATCH /v1/listeners/in/routes/more '{"retries": 1, "from": ["198.51.100.9/32"]}'
	says 200 '.revision == 3'
	any POST /v1/listeners/in/routes/more/backends '"198.51.100.1:3000 backup"'
	says 201 '.revision == 4'
	api GET /v1/listeners/in/routes/more/backends/198.51.100.1:3000
	says 200 '. == "198.51.100.1:3000 backup"'
	any PATCH /v1/config '{"limits": {"connections": 5000}}'
	says 200 '.revision == 5'
	api GET /v1/config/limits/connections
	says 200 '. == 5000'
	again
	api GET /v1/status
	says 200 '.revision == 5'
	api GET /v1/listeners/in/routes/more
	says 200 '.retries == 1 and .from == ["198.51.100.9/32"] and (.backends | length) == 2'
	any DELETE /v1/listeners/in/routes/more ''
	says 200 '.revision == 6 and .changes[0].kind == "removed"'
	api GET /v1/listeners/in/routes/more
	says 404 '.type == "/problems/no-such-part"'
	api GET /v1/objects
	says 200 '[.objects[] | .origin] == ["api", "file", "file"]'
	api GET /v1/changes
	says 200 '(.changes | length) == 6 and .changes[0].what == "the file was taken, as there was nothing yet" and
		.changes[5].revision == 6 and .changes[5].what == "DELETE listeners/in/routes/more" and .changes[5].changes[0].kind == "removed"'
}

@test "what is refused is neither kept nor served, and says why" {
	gate
	api PUT /v1/listeners/in/routes/app -d '{}'
	says 428 '.type == "/problems/precondition-required" and (.detail | test("revision is \"1\""))'
	api PUT /v1/listeners/in/routes/app -H 'If-Match: "7"' -d '{"backends": ["198.51.100.1:3001"]}'
	says 412 '.type == "/problems/stale"'
	any PUT '/v1/listeners/in/routes/app?dryrun=1' '{"backends": ["198.51.100.1:3001"]}'
	says 400 '.type == "/problems/bad-argument"'
	any PUT /v1/listeners/in/routes/app '{"backend": ["198.51.100.1:3001"]}'
	says 422 'any(.errors[]; .pointer == "/listeners/0/routes/0/backend" and (.detail | test("backends")) and .line == 0)'
	any PUT /v1/listeners/in/routes/app '{"name": "other", "backends": ["198.51.100.1:3001"]}'
	says 409 '.type == "/problems/another-name"'
	any PATCH /v1/listeners/in/routes/app '{"name": "other"}'
	says 409 '.type == "/problems/another-name"'
	any PATCH /v1/listeners/in/routes/app '{"name": ["app"]}'
	says 409 '.type == "/problems/another-name"'
	any PATCH /v1/listeners/in/routes/app/backends/198.51.100.1:3000 '"198.51.100.1:3009"'
	says 409 '.type == "/problems/another-name"'
	any PATCH /v1/listeners/in '{"include": "/etc/tollgate/*.yaml"}'
	says 422 '.type == "/problems/of-files" and (.detail | test("tollgate apply"))'
	any PATCH /v1/config '{"defaults": {"retries": 3}}'
	says 422 '.type == "/problems/of-files"'
	any PATCH /v1/config '{"user": "daemon"}'
	says 422 '.errors[0].detail | test("user: the owner of the store")'
	any PUT '/v1/listeners/in/routes/app?dry_run=yes' '{}'
	says 400 '.type == "/problems/bad-value"'
	any POST '/v1/config/reload?dry_run' ''
	says 400 '.type == "/problems/bad-argument"'
	api DELETE /v1/listeners/in/routes/app -H 'If-None-Match: *'
	says 412 '.type == "/problems/exists"'
	api PATCH /v1/listeners/in/routes/app -H 'If-Match: "7", "1"' -d '{}'
	says 200 '.revision == 1 and .changes == []'
	any PUT /v1/listeners/none/routes/app '{"backends": ["198.51.100.1:3001"]}'
	says 404 '.type == "/problems/no-such-part"'
	any POST /v1/listeners/in/routes '{"name": "app"}'
	says 409 '.type == "/problems/exists"'
	api PUT /v1/listeners/in/routes/app -H 'If-None-Match: *' -d '{"backends": ["198.51.100.1:3001"]}'
	says 412 '.type == "/problems/exists"'
	any POST /v1/listeners/in/routes '{"backends": []}'
	says 400 '.type == "/problems/no-name"'
	any PUT /v1/listeners/in/routes/app '{"backends": ['
	says 422 '.errors[0].line > 0'
	any PUT /v1/listeners/in/routes/app ''
	says 400 '.type == "/problems/no-body"'
	any DELETE /v1/listeners/in/routes/app ''
	says 422 '.errors | length == 1'
	any DELETE /v1/listeners/in/routes/none ''
	says 404 true
	# what is legal and surely felt is said
	start_held held client "$DIR/go" nc.openbsd -N 192.0.2.2 8080
	within 10 established 8080 1
	start_held more client "$DIR/go" nc.openbsd -N 192.0.2.2 8080
	within 10 established 8080 2
	any PATCH /v1/config '{"limits": {"connections": 1}}'
	says 200 '.revision == 2 and (.warnings[0] | test("limits: connections: 1, and 2 live"))'
	run -0 tollgate restore 1
	[[ $output != *warn* ]]
	: >"$DIR/go"
	# an address that cannot be had: all is prepared before anything is kept
	start squatter gate nc.openbsd -lk 192.0.2.2 8081
	within 5 eval 'at gate ss -Hltn | grep -q :8081'
	any POST /v1/listeners '{"name": "two", "address": "192.0.2.2:8081", "routes": [{"name": "a", "backends": ["198.51.100.1:3001"]}]}'
	says 503 '.type == "/problems/not-activated" and (.detail | test("192.0.2.2:8081 is in use by another program; nothing was changed"))'
	run -0 tollgate changes
	[[ ${lines[-1]} == *"POST listeners"*"is in use by another program): refused" ]]
	# where it is kept is no part of what is kept
	any PATCH /v1/config '{"state_file": "/elsewhere/state.db"}'
	says 422 '.errors[0].detail | test("restart")'
	any PATCH /v1/config '{"state": "file", "state_file": null}'
	says 422 '.errors[0].detail | test("restart")'
	# a socket's path stays with who has it, until another is in force
	any POST /v1/listeners "{\"name\": \"path\", \"address\": \"unix:$DIR/state/in.sock\", \"routes\": [{\"name\": \"a\", \"backends\": [\"198.51.100.1:3001\"]}]}"
	says 201 '.revision == 4'
	at gate timeout 5 nc.openbsd -zU "$DIR/state/in.sock"
	mv "$DIR/state/state.db" "$DIR/state/away.db"
	any PUT /v1/config "$(config '  - name: renamed' "    address: unix:$DIR/state/in.sock" '    routes: [{ name: a, backends: ["198.51.100.1:3001"] }]')"
	says 503 '.type == "/problems/store"'
	mv "$DIR/state/away.db" "$DIR/state/state.db"
	at gate timeout 5 nc.openbsd -zU "$DIR/state/in.sock"
	[ ! -e "$DIR/state/in.sock+" ]
	any DELETE /v1/listeners/path ''
	says 200 '.revision == 5'
	# what the schema does not know, and YAML has trouble with
	any PATCH /v1/config '{"access_log": {"file": "/tmp/\u0085\u2028\ufeff{$HOME}"}, "limits": {"connections": 9}, "dns": {"servers": ["192.0.2.7:53"]}}'
	[ "$status" = 200 ] || [ "$status" = 503 ]
	any PUT '/v1/listeners/in/routes/app?dry_run=1' '{"backends": ["198.51.100.1:3001"]}'
	says 200 '.dry_run and .changes[0].before == ["198.51.100.1:3000"] and .changes[0].after == ["198.51.100.1:3001"]'
	any PUT /v1/config "$(config | sed 's/3000/3001/; s/name: in/name: 1n/')"
	says 422 '.errors[0].line == 4'
	api GET /v1/status
	last=$(jq .revision <<<"$output")
	[ "$last" -le 6 ]
	again
	api GET /v1/status
	says 200 ".revision == $last"
	# names are what parts are found by
	config '      - name: app' '        from: ["203.0.113.0/24"]' '        backends: ["198.51.100.1:3000"]' >"$DIR/twice.yaml"
	run -1 tollgate check "$DIR/twice.yaml"
	[[ $output == *'listeners[0].routes[1].name: a second route'* ]]
}

@test "commands: parts, a file that is applied, what is different, what comes back, a copy" {
	gate
	run -0 tollgate route add in/more 'from=["203.0.113.0/24", 198.51.100.9/32]' 'backends=["198.51.100.1:3001"]' retries=1 -m 'ticket 7'
	[[ $output == *'+ listeners[in].routes[more]: '*'revision 2 is in force, 1 difference'* ]]
	run -1 tollgate route add in/more 'backends=["198.51.100.1:3001"]'
	[[ $output == *'is there already'* ]]
	run -0 tollgate route list in
	[[ $output == *'in/more  1 backend'* ]]
	run -0 tollgate route set in/more retries=0 --if-revision 2
	run -1 tollgate route set in/more retries=1 --if-revision 2
	[[ $output == *'the revision is "3" by now'* ]]
	run -0 tollgate route set in/more 'from=[203.0.113.0/24]' --dry-run
	[[ $output == *'revision 3 is in force, 1 difference to that' ]]
	run -0 tollgate backend add in/more/198.51.100.1:3000 backup weight=3
	run -0 tollgate backend show in/more/198.51.100.1:3000
	equal '"198.51.100.1:3000 backup weight=3"' "$output" "the backend"
	run -0 tollgate backend rm in/more/198.51.100.1:3000
	run -0 tollgate listener add web address=unix:$DIR/state/web.sock 'routes=[{name: a, backends: ["198.51.100.1:3001"]}]'
	within 5 test -S "$DIR/state/web.sock"
	run -0 tollgate listener set web tcp.backlog=64
	run -0 tollgate listener show web --json
	equal 64 "$(jq .tcp.backlog <<<"$output")" "the backlog"
	run -0 tollgate listener set web tcp=
	run -0 tollgate listener rm web
	run -2 tollgate listener set web/a address=1
	run -2 tollgate route set in/more retries
	run -2 tollgate backend list in
	run -2 tollgate route frobnicate
	run -2 tollgate route set in/more tcp..backlog=3
	run -2 tollgate route set in/more 'retries: 2, health.interval=3s'
	run -2 tollgate listener list in
	run -2 tollgate backend set in/more/198.51.100.1:3001
	run -2 tollgate route set in/more retries=2 --if-revision 0
	run -2 tollgate route set in/more retries=2 -m ''
	run -1 tollgate route show none/more
	[[ $output == *'listeners/none: there is no such part'* ]]
	equal 600 "$(stat -c %a "$DIR/state/state.db")" "who may read it"
	equal 9 "$(tollgate status --json | jq .proxy.pid | xargs -I{} curl -sS --unix-socket "$(socket_of "$proxy_pid")" http://x/v1/status | jq .revision)" "the revision"
	# the file is what it was; what is in force is more
	run -1 tollgate diff "$DIR/gate.yaml"
	[[ $output == '- listeners[in].routes[more]: '* ]]
	run -0 tollgate apply "$DIR/gate.yaml"
	[[ $output == 'revision 9 is in force, 0 differences' ]]
	run -0 tollgate apply --prune --dry-run "$DIR/gate.yaml"
	[[ $output == *'- listeners[in].routes[more]: '* ]]
	run -0 tollgate apply --prune -m 'back to the file' "$DIR/gate.yaml"
	run -0 tollgate diff "$DIR/gate.yaml"
	run -0 tollgate restore 4 --dry-run
	[[ $output == *'+ listeners[in].routes[more]: '*'198.51.100.1:3000 backup weight=3'* ]]
	run -0 tollgate restore 2
	run -0 tollgate route show in/more
	equal 1 "$(jq .retries <<<"$output")" "of revision 2"
	run -1 tollgate restore 99 --json
	jq -e '.status == 404 and .type == "/problems/no-such-revision"' <<<"$output"
	run -1 tollgate restore 99
	[[ $output == *'there is no revision 99: those from 1 to 11 are kept'* ]]
	run -0 tollgate changes
	[[ ${lines[1]} == *'PUT listeners/in/routes/more: ticket 7 (revision 2)' ]]
	[[ ${lines[-1]} == *'restore revision 2 (revision 11)' ]]
	[[ $output == *'apply: back to the file (revision 10)'* ]]
	api GET /v1/revisions/4
	[[ $output == *'198.51.100.1:3000 backup weight=3'* ]]
	# a copy, that is a store
	run -0 tollgate snapshot "$DIR/copy.db"
	run -1 tollgate snapshot "$DIR/copy.db"
	stop "$proxy_pid"
	rm "$DIR/state"/state.db*
	cp "$DIR/copy.db" "$DIR/state/state.db"
	chown nobody "$DIR/state/state.db"
	again
	api GET /v1/status
	says 200 '.revision == 11'
	run -0 tollgate route show in/more
}

@test "file and API: each its own, no two truths; a file that was changed is told, and taken when somebody says so" {
	gate
	any PATCH /v1/listeners/in/routes/app '{"retries": 2}'
	says 200 '.revision == 2'
	any POST /v1/listeners '{"name": "mine", "address": "192.0.2.2:8082", "routes": [{"name": "a", "backends": ["198.51.100.1:3001"]}]}'
	says 201 true
	any PUT /v1/listeners/in/routes/mine '{"from": ["203.0.113.0/24"], "backends": ["198.51.100.1:3001"]}'
	says 201 true
	within 5 gauge tollgate_config_file_differs 0
	gauge tollgate_state_store_ok 1
	# it says another thing of what the API has changed
	config '      - name: last' '        from: ["203.0.113.9/32"]' '        backends: ["198.51.100.1:3000"]' >"$DIR/gate.yaml"
	within 5 gauge tollgate_config_file_differs 1
	grep -q 'the file is another than the one that was taken' "$DIR/proxy.log"
	run tollgate status
	[[ $output == *'state      database, can be written; the file is another'* ]]
	run -1 tollgate reload
	[[ $output == *'tollgate diff FILE'*'only files of certificates are read again'* ]]
	run -1 tollgate reload --dry-run
	api GET /v1/status
	says 200 '.revision == 4 and .state.file_differs'
	run -1 tollgate apply "$DIR/gate.yaml"
	[[ $output == *'listeners[in].routes[app]: was changed by the API'* ]]
	api GET /v1/status
	says 200 '.revision == 4'
	run -0 tollgate apply --take "$DIR/gate.yaml"
	[[ $output == *'- listeners[in].routes[app].retries: 2'* && $output == *'+ listeners[in].routes[last]: '* && $output != *mine* ]]
	within 5 gauge tollgate_config_file_differs 0
	api GET /v1/objects
	says 200 '[.objects[] | "\(.listener)/\(.name) \(.origin)"] == ["/ file", "/in file", "/mine api", "in/app file", "in/mine api", "in/last file", "mine/a api"]'
	# what says the same in other words is no conflict, and is the file's then
	any PUT /v1/listeners/in/routes/app '{"backends": ["198.51.100.1:3000"], "name": "app", "retries": 1}'
	says 200 true
	config '      - name: last' '        from: ["203.0.113.9/32"]' '        backends: ["198.51.100.1:3000"]' | sed '/name: app/a\        retries: 1' >"$DIR/gate.yaml"
	run -0 tollgate apply "$DIR/gate.yaml"
	api GET /v1/objects
	says 200 '[.objects[] | select(.name == "app").origin] == ["file"]'
	run -0 tollgate apply "$DIR/gate.yaml"
	[[ $output == *', 0 differences' ]]
	now=$(api GET /v1/status && jq .revision <<<"$output")
	run -0 tollgate apply "$DIR/gate.yaml"
	api GET /v1/status
	says 200 ".revision == $now"
	# what the API has put into a listener that goes is not thrown away in silence
	config | sed 's/name: in/name: outer/; s/8080/8083/' >"$DIR/gate.yaml"
	run -1 tollgate apply "$DIR/gate.yaml"
	[[ $output == *'listeners[in].routes[mine]: was made by the API, and the file has its listener no more'* ]]
	run -0 tollgate apply --prune "$DIR/gate.yaml"
	api GET /v1/objects
	says 200 '[.objects[].name] == ["", "outer", "app"]'
	# a file that is wrong is another one, and what is in force goes on
	echo 'listeners: [' >"$DIR/gate.yaml"
	within 5 gauge tollgate_config_file_differs 1
	run -1 tollgate reload
	[[ $output == *'gate.yaml is wrong or cannot be read'* ]]
	kill -HUP "$proxy_pid"
	within 5 eval 'tollgate changes | tail -1 | grep -q "reload by SIGHUP: refused"'
	api GET /v1/config
	equal 200 "$status" "what is in force"
}

@test "a start: the store is served, and the file if that was said" {
	gate
	any PUT /v1/listeners/in/routes/mine '{"from": ["203.0.113.0/24"], "backends": ["198.51.100.1:3001"]}'
	says 201 true
	any PATCH /v1/listeners/in/routes/app '{"retries": 2}'
	says 200 true
	config | sed 's/3000/3001/' >"$DIR/gate.yaml"
	again
	grep -q 'the file is another than the one that was taken' "$DIR/proxy.log"
	within 5 gauge tollgate_config_file_differs 1
	api GET /v1/listeners/in/routes/app
	says 200 '.retries == 2 and .backends == ["198.51.100.1:3000"]'
	again --apply-at-start
	api GET /v1/listeners/in/routes/app
	says 200 '.retries == null and .backends == ["198.51.100.1:3001"]'
	api GET /v1/listeners/in/routes/mine
	says 200 true
	api GET /v1/changes
	says 200 '.changes[-1].what == "the file was taken at the start (--apply-at-start)" and .changes[-1].revision == 4'
	within 5 gauge tollgate_config_file_differs 0
	# a file that is wrong, as far as it can be read, is no reason not to serve
	cp "$DIR/gate.yaml" "$DIR/right.yaml"
	sed -i 's/backends:/bakends:/' "$DIR/gate.yaml"
	again
	grep -q 'it is wrong, and what is kept is served in its place' "$DIR/proxy.log"
	grep -q 'bakends' "$DIR/proxy.log"
	api GET /v1/listeners/in/routes/app
	says 200 '.backends == ["198.51.100.1:3001"]'
	within 5 gauge tollgate_config_file_differs 1
	cp "$DIR/right.yaml" "$DIR/gate.yaml"
	# nothing new, nothing kept
	again --apply-at-start
	api GET /v1/status
	says 200 '.revision == 4'
	# where it is kept is said by a start alone
	start_peer three backend --listen 198.51.100.1:3002
	stop "$proxy_pid"
	start_proxy < <(config | sed '/^state/d; s/3000/3002/')
	api GET /v1/status
	says 200 '.state.kind == "file"'
	fresh_scrape >"$DIR/page"
	run -1 grep '^tollgate_state_store_ok ' "$DIR/page"
	config >"$DIR/gate.yaml"
	run -1 tollgate reload
	[[ $output == *'state: where the configuration is kept is changed by a restart'* ]]
	any PUT /v1/config ''
	says 409 '.type == "/problems/file-is-the-truth"'
	api GET /v1/snapshot
	says 404 '.type == "/problems/no-store"'
}

@test "a store that is full, read-only, gone or broken: what is in force goes on, changes are refused with the reason" {
	mount -t tmpfs -o size=400k,mode=711,uid=65534 none "$DIR/state"
	gate
	start others client timeout 120 "$PEER" load --connect 192.0.2.2:8080 --connections 3000 --parallel 4 --mix assorted --seed 3
	any PATCH /v1/listeners/in/routes/app '{"retries": 1}'
	says 200 '.revision == 2'
	# full
	dd if=/dev/zero of="$DIR/state/fill" bs=1k count=4000 2>/dev/null || :
	filled() {
		any PATCH /v1/listeners/in/routes/app "{\"retries\": $((RANDOM % 2 + 1)), \"backends\": [\"198.51.100.1:3000\", \"198.51.100.1:3001 weight=$((RANDOM % 200 + 1))\"]}"
		[ "$status" = 503 ]
	}
	within 20 filled
	says 503 '.type == "/problems/store" and (.detail | test("full"))'
	api GET /v1/status
	says 200 '(.state.ok | not) and (.state.detail | test("full"))'
	last=$(jq .revision <<<"$output")
	within 5 gauge tollgate_state_store_ok 0
	run tollgate status --json
	jq -e '.store.ok == false' <<<"$output"
	grep -q 'what is in force goes on, and changes are refused' "$DIR/proxy.log"
	rm "$DIR/state/fill"
	any PATCH /v1/listeners/in/routes/app '{"retries": 1, "backends": ["198.51.100.1:3000 weight=201"]}'
	says 200 ".revision == $((last + 1))"
	within 5 gauge tollgate_state_store_ok 1
	grep -q 'can be written again' "$DIR/proxy.log"
	# read-only: served from at a start, too
	stop "$proxy_pid"
	mount -o remount,ro "$DIR/state"
	start proxy gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 grep -q 'ready$' "$DIR/proxy.log"
	any PATCH /v1/listeners/in/routes/app '{"retries": 2}'
	says 503 '.type == "/problems/store"'
	api GET /v1/status
	says 200 ".revision == $((last + 1)) and (.state.ok | not)"
	stop "$proxy_pid"
	mount -o remount,rw "$DIR/state"
	start proxy gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	within 10 grep -q 'ready$' "$DIR/proxy.log"
	any PATCH /v1/listeners/in/routes/app '{"retries": 2}'
	says 200 ".revision == $((last + 2))"
	# gone: what would be written now nobody would find again
	mv "$DIR/state/state.db" "$DIR/state/away.db"
	any PATCH /v1/listeners/in/routes/app '{"retries": 1}'
	says 503 '.detail | test("removed or replaced")'
	mv "$DIR/state/away.db" "$DIR/state/state.db"
	any PATCH /v1/listeners/in/routes/app '{"retries": 1}'
	says 200 true
	# on what is not in force nothing is built, whoever has written it
	/usr/bin/python3 -c 'import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute("UPDATE meta SET value = value + 1 WHERE key = \"revision\""); d.commit()' "$DIR/state/state.db"
	any PATCH /v1/listeners/in/routes/app '{"retries": 2}'
	says 503 '.detail | test("is in force: the log says why")'
	says 503 '.type == "/problems/store"'
	caught_up() { any PATCH /v1/listeners/in/routes/app '{"retries": 2}' && [ "$status" = 200 ]; }
	within 20 caught_up
	# broken
	stop "$proxy_pid"
	cp "$DIR/state/state.db" "$DIR/good.db"
	printf 'no database at all' | dd of="$DIR/state/state.db" conv=notrunc 2>/dev/null
	run -1 at gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	[[ $output == *'state.db: file is not a database; move it away'* ]]
	cp "$DIR/good.db" "$DIR/state/state.db"
	dd if=/dev/urandom of="$DIR/state/state.db" bs=4096 seek=2 count=3 conv=notrunc 2>/dev/null
	run -1 at gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	[[ $output == *'move it away'* ]]
	/usr/bin/python3 -c 'import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute("PRAGMA user_version = 99"); d.commit()' "$DIR/good.db"
	cp "$DIR/good.db" "$DIR/state/state.db"
	run -1 at gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	[[ $output == *'later version of Tollgate (99'* ]]
	/usr/bin/python3 -c 'import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute("CREATE TABLE t(x)"); d.commit()' "$DIR/state/other.db"
	cp "$DIR/state/other.db" "$DIR/state/state.db"
	run -1 at gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
	[[ $output == *"is another program's"* ]]
}

@test "an upgrade takes the store along; two gates do not share one" {
	gate
	any PATCH /v1/listeners/in/routes/app '{"retries": 1}'
	says 200 '.revision == 2'
	# another gate: refused, and nothing happens to the first
	mkdir "$DIR/bpf/two"
	run -0 at gate "$BIN/tollgate" load --pins "$DIR/bpf/two/t" --cgroup "$CGROUP" --no-nft
	sed 's/8080/8090/' "$DIR/gate.yaml" >"$DIR/two.yaml"
	run -1 at gate "$BIN/tollgate-proxy" --config "$DIR/two.yaml" --pins "$DIR/bpf/two/t"
	[[ $output == *'another gate has it'* ]]
	run -0 at gate "$BIN/tollgate" unload --pins "$DIR/bpf/two/t"
	start others client timeout 120 "$PEER" load --connect 192.0.2.2:8080 --connections 4000 --parallel 4 --mix assorted --seed 3
	# changes go on at whoever answers; what he acknowledges stays
	start writer gate /usr/bin/python3 "$ROOT/tests/control/change.py" write "$DIR/acked" --folder "$(folder)" --clients 4 --changes 100000 --seconds 12
	for n in 1 2 3; do
		old=$proxy_pid
		kill -USR2 "$old"
		within 20 gone "$old"
		proxy_pid=$(tollgate status --json | jq .proxy.pid)
		PIDS+=("$proxy_pid")
		[ "$proxy_pid" != "$old" ]
	done
	wait "$writer_pid"
	cat "$DIR/writer.log"
	taken() { api GET /v1/status && says 200 '.state.held'; }
	within 10 taken
	verified
	wait "$others_pid"
	equal 0 "$(sums others failed)" "failed"
	equal 0 "$(sums others wrong)" "wrong"
}

# the proxy is killed at any moment, KILLS times, while clients change it
@test "killed at random: what is in force is one of those that were kept, and no acknowledged change is lost" {
	gate
	for n in $(seq "${KILLS:-12}"); do
		start writer gate /usr/bin/python3 "$ROOT/tests/control/change.py" write "$DIR/acked" --folder "$(folder)" --changes 100000 --seconds 0.6 --seed "$n"
		sleep "0.$((RANDOM % 6))$((RANDOM % 10))"
		stop "$proxy_pid" KILL
		start proxy gate "$BIN/tollgate-proxy" --config "$DIR/gate.yaml" --pins "$PINS"
		within 10 grep -q 'ready$' "$DIR/proxy.log"
		within 20 gone "$writer_pid"
		verified || { cat "$DIR/writer.log" && false; }
	done
	[ "$(wc -l <"$DIR/acked")" -ge "${KILLS:-12}" ]
}

@test "a thousand changes under load: nothing that was not changed is disturbed, and no counter goes back" {
	gate
	start others client timeout 300 "$PEER" load --connect 192.0.2.2:8080 --connections 4000 --parallel 8 --mix assorted --seed 3
	seen() { fresh_scrape | metric "$1"; }
	start writer gate /usr/bin/python3 "$ROOT/tests/control/change.py" write "$DIR/acked" --folder "$(folder)" --changes "${CHANGES:-1000}" --seconds 120
	before=0
	while kill -0 "$writer_pid" 2>/dev/null; do
		now=$(seen tollgate_proxy_connections_opened_total)
		[ "$now" -ge "$before" ]
		before=$now
	done
	cat "$DIR/writer.log"
	verified
	[ "$(wc -l <"$DIR/acked")" -ge "${CHANGES:-1000}" ]
	wait "$others_pid"
	cat "$DIR/others.log"
	equal 0 "$(sums others failed)" "failed"
	equal 0 "$(sums others wrong)" "wrong"
	within 10 sockets_closed
	audit_is_clean 2
}
