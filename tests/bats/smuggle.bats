#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Hostile requests of HTTP/1.1, each to Tollgate, nginx and HAProxy, each before a backend that
# says what it saw: nobody behind Tollgate sees a request that Tollgate did not see.
# INPUTS=100000 SMUGGLE_SEED=N by hand.

load helpers
source "$BATS_TEST_DIRNAME/http.bash"

# witness PORT: a strict backend, which writes what it saw to $DIR/PORT.seen
witness() {
	start "witness_$1" backend python3 "$ROOT/tests/http/witness.py" "198.51.100.1:$1" "$DIR/$1.seen"
	within 10 listening backend "$1"
}

# other PORT NAME COMMAND...: of others, at the gate
other() {
	local port=$1 name=$2
	shift 2
	start "$name" gate env LD_LIBRARY_PATH="$ROOT/build/tools/usr/lib/x86_64-linux-gnu" "$@"
	within 10 listening gate "$port" || {
		cat "$DIR/$name.log"
		return 1
	}
}

start_nginx() {
	mkdir "$DIR/nginx"
	cat >"$DIR/nginx/conf" <<-N
		daemon off; master_process off; pid $DIR/nginx/pid; error_log $DIR/nginx/log crit;
		events { worker_connections 4096; }
		http {
			access_log off; keepalive_requests 1000000;
			client_body_temp_path $DIR/nginx; proxy_temp_path $DIR/nginx; fastcgi_temp_path $DIR/nginx;
			uwsgi_temp_path $DIR/nginx; scgi_temp_path $DIR/nginx;
			upstream app { server 198.51.100.1:3001; keepalive 64; keepalive_requests 1000000; }
			server {
				listen 192.0.2.2:8081 backlog=1024;
				location / {
					proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
					proxy_set_header Host \$host; proxy_ignore_client_abort on; proxy_next_upstream off;
				}
			}
		}
	N
	other 8081 nginx "$ROOT/build/tools/usr/sbin/nginx" -c "$DIR/nginx/conf" -p "$DIR/nginx" -e "$DIR/nginx/log"
}

start_haproxy() {
	cat >"$DIR/haproxy.cfg" <<-H
		global
			maxconn 4096
		defaults
			mode http
			timeout client 10s
			timeout server 10s
			timeout connect 10s
			retries 0
			http-reuse always
		frontend f
			bind 192.0.2.2:8082
			default_backend b
		backend b
			server app 198.51.100.1:3002
	H
	other 8082 haproxy "$ROOT/build/tools/usr/sbin/haproxy" -f "$DIR/haproxy.cfg"
}

# smuggle OPTION... PROXY...: every input to each
smuggle() {
	at client python3 "$ROOT/tests/http/smuggle.py" --table "$ROOT/tests/http/smuggle.tsv" "$@"
}

@test "hostile requests: no backend of ours sees one that we did not answer for, nor another body" {
	witness 3000
	witness 3001
	witness 3002
	start_proxy < <(web '    routes: [{ name: app, http: {}, backends: ["198.51.100.1:3000"] }]')
	start_nginx
	start_haproxy
	smuggle --inputs "${INPUTS:-5000}" ${SMUGGLE_SEED:+--seed "$SMUGGLE_SEED"} \
		"tollgate=192.0.2.2:8080=$DIR/3000.seen" "nginx=192.0.2.2:8081=$DIR/3001.seen" \
		"haproxy=192.0.2.2:8082=$DIR/3002.seen" >"$DIR/report" || {
		cat "$DIR/report"
		return 1
	}
	sed 's/^/# /' "$DIR/report" >&3
	ask / >/dev/null
	for pid in "$nginx_pid" "$haproxy_pid" "$witness_3000_pid" "$witness_3001_pid" "$witness_3002_pid"; do
		stop "$pid"
	done
	within 20 sockets_closed
	audit_is_clean 5
}

@test "the same test finds what is wrong where something is: nginx in our place" {
	witness 3001
	start_nginx
	run -1 smuggle "tollgate=192.0.2.2:8081=$DIR/3001.seen"
	[[ $output == *"FAILED bare-lf"* ]]
}

@test "a body of no chunks, where no connection to the backend was there yet; 1.0 without Host, and with close" {
	witness 3000
	start_proxy < <(web '    routes: [{ name: app, http: {}, backends: ["198.51.100.1:3000"] }]')
	run -0 raw 'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
	[[ $output == *"200 Seen"*"witness 1.1 1"* ]]
	run -0 raw 'GET /x HTTP/1.0\r\n\r\n'
	[[ $output == *"200 Seen"*witness* ]]
	run -0 raw 'GET /x HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n'
	equal 3 "$(wc -l <"$DIR/3000.seen")" "requests, of which none behind the one that closes"
	jq -se '.[0].framing == "chunked" and .[0].body == 0 and (.[1].fields | any(. == ["host", "198.51.100.1:3000"]))' "$DIR/3000.seen"
}
