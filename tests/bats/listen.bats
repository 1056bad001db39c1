#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a listener says of its sockets: queue, interface, segments, data in the SYN.

load helpers

setup() {
	stage_up
	load --device front --device back
	start_peer server backend --listen 198.51.100.1:3000
}
teardown() { stage_down; }

# with TCP: a listener of all addresses that says so
with() {
	printf '%s\n' 'listeners:' "  - { name: in, address: '0.0.0.0:8080', tcp: { $1 }, routes: [{ name: app, backends: ['198.51.100.1:3000'] }] }"
}
# queues N: that is the queue of each of its sockets
queues() {
	local all
	all=$(at gate ss -Hltn 'sport = 8080' | awk '{ print $3 }' | sort -u)
	equal "$1" "$all" "queues"
}
# comes TO PLACE: somebody answers there
comes() { at "$2" timeout 5 nc.openbsd -z "$1" 8080; }
# sent_data COUNT: clients with data in the SYN that the gate's kernel has taken
sent_data() { at gate nstat -asz TcpExtTCPFastOpenPassive | awk '$1 == "TcpExtTCPFastOpenPassive" { print $2 }'; }

@test "backlog and interface: the queue is as long as it says, a reload changes it; others do not come in" {
	start_proxy < <(with 'backlog: 7, interface: front')
	start_exporter
	queues 7
	comes 192.0.2.2 client
	run -1 comes 198.51.100.2 backend
	with 'backlog: 12, interface: front' >"$DIR/gate.yaml"
	tollgate reload
	queues 12
	with 'backlog: 12' >"$DIR/gate.yaml"
	tollgate reload
	grep -q "'interface' is as it was until the proxy is stopped and started" "$DIR/proxy.log"
	run -1 comes 198.51.100.2 backend
	# an interface that is none is refused, and what there is stays
	sed -i 's/8080/8081/; s/backlog: 12/interface: none/' "$DIR/gate.yaml"
	run -1 tollgate reload
	within 5 grep -q "listener 'in': cannot open 0.0.0.0:8081: No such device" "$DIR/proxy.log"
	comes 192.0.2.2 client
	with '' >"$DIR/gate.yaml"
	succeed next
	within 10 is_ready next
	within 15 gone "$proxy_pid"
	queues "$(sysctl -n net.core.somaxconn | awk '{ print ($1 < 4096) ? $1 : 4096 }')"
}

@test "mss: no segment of the client is larger" {
	start_proxy < <(with 'mss: 600')
	start_exporter
	start_held keeping client "$DIR/go" nc.openbsd -N 192.0.2.2 8080
	within 10 eval 'at client ss -Htni "dport = 8080" | grep -qE "mss:(588|600)\b"'
	: >"$DIR/go"
	within 10 sockets_closed
	audit_is_clean
}

@test "fast_open: what comes in the SYN is served, and every byte of it is in the books" {
	at gate sysctl -qw net.ipv4.tcp_fastopen=3
	at client sysctl -qw net.ipv4.tcp_fastopen=1
	start echo backend /usr/bin/python3 -c 'import socket, threading
def serve(c):
    while d := c.recv(65536): c.sendall(d)
    c.close()
s = socket.create_server(("198.51.100.1", 3001))
while True: threading.Thread(target=serve, args=[s.accept()[0]]).start()'
	within 10 listening backend 3001
	start_proxy < <(with 'fast_open: 100' | sed 's/:3000/:3001/')
	start_exporter
	# the first has no cookie yet (RFC 7413 4.1)
	run -0 at client /usr/bin/python3 -c 'import socket
for n in range(30):
    s = socket.socket()
    s.sendto(b"x" * 700, socket.MSG_FASTOPEN, ("192.0.2.2", 8080))
    s.shutdown(socket.SHUT_WR)
    got = b""
    while d := s.recv(65536): got += d
    assert got == b"x" * 700, len(got)
    s.close()
print("served")'
	equal served "$output" "the clients"
	equal 29 "$(sent_data)" "data in the SYN"
	within 20 sockets_closed
	equal $((30 * 700)) "$(fresh_scrape | metric tollgate_tcp_payload_bytes_total 'leg="downstream"' 'listener="in"' 'direction="rx"')" "of the tcp book"
	audit_is_clean
}
