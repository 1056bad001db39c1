/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many short lives by scripts drawn from a seed: sizes, half-close, resets, ends that are
 * killed, Fast Open, v4-mapped addresses, sendfile, splice, a descriptor that is passed
 * on. Client and server run in two network namespaces; every system call's result is kept
 * in shared memory, so that even an end that is killed is known to the byte.
 *
 * Prints one JSON object a line for each end: what its application wrote and read, and
 * how it ended.  The same seed makes the same scripts.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"

#define WORKERS	     16
#define HEADER_BYTES 16
#define CHUNK_BYTES  65536
#define PATIENCE_MS  40000
#define LISTEN_PORT  4000
#define FIRST_PORT   10000
#define LIVES_MAX    50000

enum side { CLIENT, SERVER, SIDES };
enum outcome { NOT_RUN, CLEAN, CUT, KILLED, STUCK };
static const char *const outcomes[] = { "not_run", "clean", "cut", "killed", "stuck" };

enum ending {
	CLIENT_CLOSES,
	SERVER_CLOSES,
	HALF_CLOSE,
	CLIENT_RESETS, /* SO_LINGER 0 in the middle of its bytes */
	SERVER_RESETS,
	CLIENT_LEAVES, /* close() with bytes unread */
	CLIENT_DIES,   /* SIGKILL in the middle of its bytes */
	SERVER_DIES,
	ENDINGS
};

struct script {
	uint32_t index;
	enum ending ending;
	uint32_t bytes[SIDES]; /* what each end sends, the header not included */
	uint32_t cut;	       /* where it stops if it does */
	uint8_t family;	       /* 0 IPv4, 1 v4-mapped, 2 IPv6 */
	uint8_t method[SIDES]; /* 0 send, 1 sendfile, 2 splice */
	bool fast_open;
	bool pass; /* the descriptor moves on by SCM_RIGHTS */
};

struct slot {
	atomic_uint_fast64_t written[SIDES];
	atomic_uint_fast64_t read[SIDES];
	atomic_int outcome[SIDES];
	char addr[SIDES][ADDR_STR_MAX];
};

struct shared {
	atomic_uint next;
	atomic_bool over;
	struct slot slots[];
};

struct options {
	uint64_t seed;
	uint32_t connections;
	bool clean; /* every life comes to the end of its script */
	const char *netns[SIDES];
	const char *ip[2]; /* of the server: IPv4, IPv6 */
};

static struct options opt = { .seed = 1, .connections = 2000 };
static struct shared *shared;
static int zeros_fd;

static void die(const char *what)
{
	fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- scripts --- */

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* As many small ones as large ones: a random number of bits. */
static uint32_t draw_size(uint64_t *state)
{
	unsigned bits = (unsigned)(draw(state) % 21);

	return (uint32_t)(draw(state) % ((1u << bits) + 0u));
}

static void script_make(uint32_t index, struct script *ret)
{
	uint64_t state = opt.seed * 1000003 + index;
	uint32_t most;

	memset(ret, 0, sizeof(*ret));
	ret->index = index;
	ret->ending = (enum ending)(draw(&state) % 3); /* most end well */
	if (draw(&state) % 3 == 0 && !opt.clean)
		ret->ending = (enum ending)(draw(&state) % ENDINGS);
	for (int i = 0; i < SIDES; i++) {
		ret->bytes[i] = draw_size(&state);
		ret->method[i] = (uint8_t)(draw(&state) % 3);
	}
	if (ret->ending == CLIENT_LEAVES)
		ret->bytes[SERVER] += 1;
	most = ret->bytes[ret->ending == SERVER_RESETS || ret->ending == SERVER_DIES];
	ret->cut = most ? (uint32_t)(draw(&state) % most) : 0;
	ret->family = (uint8_t)(draw(&state) % 3);
	ret->fast_open = draw(&state) % 8 == 0;
	ret->pass = draw(&state) % 8 == 0;
}

/* --- bytes, counted as they move --- */

/* in_pipe: what the socket did not take the last time. */
static ssize_t send_some(int fd, uint8_t method, const int pipe_fds[2], size_t *in_pipe,
			 size_t n)
{
	static const char zeros[CHUNK_BYTES];
	off_t at = 0;
	ssize_t r;

	n = n < CHUNK_BYTES ? n : CHUNK_BYTES;
	if (method == 0)
		return send(fd, zeros, n, MSG_NOSIGNAL);
	if (method == 1)
		return sendfile(fd, zeros_fd, &at, n);
	if (!*in_pipe) {
		r = splice(zeros_fd, &at, pipe_fds[1], NULL, n, 0);
		if (r <= 0)
			return r;
		*in_pipe = (size_t)r;
	}
	r = splice(pipe_fds[0], NULL, fd, NULL, *in_pipe, 0);
	*in_pipe -= r > 0 ? (size_t)r : 0;
	return r;
}

/* false: the other end is gone */
static bool put(int fd, struct slot *s, enum side side, uint8_t method, size_t n)
{
	int fds[2] = { -1, -1 };
	size_t in_pipe = 0;
	bool ok = true;

	if (method == 2 && pipe2(fds, O_CLOEXEC) < 0)
		die("pipe");
	while (ok && n) {
		ssize_t r = send_some(fd, method, fds, &in_pipe, n);

		ok = r > 0;
		if (ok) {
			atomic_fetch_add(&s->written[side], (uint64_t)r);
			n -= (size_t)r;
		}
	}
	if (fds[0] >= 0) {
		close(fds[0]);
		close(fds[1]);
	}
	return ok;
}

/* Up to n bytes, or to the end of the stream with n = SIZE_MAX. */
static bool get(int fd, struct slot *s, enum side side, size_t n)
{
	static char buf[CHUNK_BYTES];

	while (n) {
		ssize_t r = recv(fd, buf, n < sizeof(buf) ? n : sizeof(buf), 0);

		if (r == 0)
			return n == SIZE_MAX;
		if (r < 0) {
			if (errno == EAGAIN)
				atomic_store(&s->outcome[side], STUCK);
			return false;
		}
		atomic_fetch_add(&s->read[side], (uint64_t)r);
		n -= n == SIZE_MAX ? 0 : (size_t)r;
	}
	return true;
}

static void reset(int fd)
{
	struct linger l = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(fd);
}

/* A reset may be lost: nobody waits for ever. */
static void prepare(int fd)
{
	struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	int one = 1, count = 5;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

/* Send the descriptor to ourselves: another number, the same socket. */
static int pass_on(int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int pair[2];

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    sendmsg(pair[0], &msg, 0) != 1)
		die("pass a descriptor");
	close(fd);
	if (recvmsg(pair[1], &msg, MSG_CMSG_CLOEXEC) != 1)
		die("take a descriptor");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	close(pair[0]);
	close(pair[1]);
	return fd;
}

static void note_end(struct slot *s, enum side side, bool clean)
{
	int none = NOT_RUN;

	(void)atomic_compare_exchange_strong(&s->outcome[side], &none,
					     clean ? CLEAN : CUT);
}

/* Sends its part of the script; true if it came to the end of it. */
static bool play(int fd, const struct script *script, struct slot *s, enum side side,
		 enum ending resets, enum ending dies)
{
	bool stops = script->ending == resets || script->ending == dies;
	uint32_t n = stops ? script->cut : script->bytes[side];

	if (!put(fd, s, side, script->method[side], n))
		return false;
	if (script->ending == dies) {
		atomic_store(&s->outcome[side], KILLED);
		(void)kill(getpid(), SIGKILL);
	}
	return !stops;
}

/* --- client --- */

/* One 4-tuple a life, so that its records can be told from others. */
static void bind_own_port(int fd, int family, uint32_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
				   .sin6_port = htons((uint16_t)port) };
	int one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if ((family == AF_INET ? bind(fd, (void *)&v4, sizeof(v4))
			       : bind(fd, (void *)&v6, sizeof(v6))) < 0)
		die("bind");
}

/* From where this host would talk to it; a socket that was reset at once has forgotten.
 */
static void own_address(const struct sockaddr_storage *to, socklen_t len, uint16_t port,
			char *ret)
{
	struct sockaddr_storage ss;
	struct addr a;
	int fd = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const void *)to, len) < 0)
		die("route");
	len = sizeof(ss);
	if (getsockname(fd, (void *)&ss, &len) < 0)
		die("name");
	close(fd);
	addr_from_sockaddr((void *)&ss, &a);
	a.port = htons(port);
	(void)addr_format(&a, ret);
}

static int connect_script(const struct script *script, struct slot *s)
{
	char text[ADDR_STR_MAX + 16], header[HEADER_BYTES] = { 0 };
	struct sockaddr_storage ss;
	struct addr a;
	socklen_t len;
	ssize_t n;
	int fd;

	(void)snprintf(text, sizeof(text), script->family == 2 ? "[%s]:%d" : "%s:%d",
		       opt.ip[script->family == 2], LISTEN_PORT);
	if (addr_parse(text, &a) < 0)
		die(text);
	len = addr_to_sockaddr(&a, &ss);
	if (script->family == 1) {
		struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = a.port };

		memcpy(&v6.sin6_addr, a.ip, 16);
		memcpy(&ss, &v6, sizeof(v6));
		len = sizeof(v6);
	}
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	prepare(fd);
	bind_own_port(fd, ss.ss_family, FIRST_PORT + script->index);
	memcpy(header, &script->index, sizeof(script->index));
	if (script->fast_open) {
		n = sendto(fd, header, sizeof(header), MSG_FASTOPEN | MSG_NOSIGNAL,
			   (void *)&ss, len);
	} else {
		n = connect(fd, (void *)&ss, len);
		if (n == 0)
			n = send(fd, header, sizeof(header), MSG_NOSIGNAL);
	}
	/* with Fast Open the server may have reset it already, and then nobody knows */
	if (n != sizeof(header) && !script->fast_open)
		die("connect");
	if (n != sizeof(header))
		atomic_store(&s->outcome[CLIENT], CUT);
	atomic_fetch_add(&s->written[CLIENT], HEADER_BYTES);
	(void)addr_format(&a, s->addr[SERVER]);
	own_address(&ss, len, (uint16_t)(FIRST_PORT + script->index), s->addr[CLIENT]);
	return fd;
}

static void client_life(uint32_t index)
{
	struct slot *s = &shared->slots[index];
	struct script script;
	bool ok;
	int fd;

	script_make(index, &script);
	fd = connect_script(&script, s);
	ok = play(fd, &script, s, CLIENT, CLIENT_RESETS, CLIENT_DIES);
	if (script.pass)
		fd = pass_on(fd);
	if (script.ending == CLIENT_RESETS) {
		note_end(s, CLIENT, false);
		reset(fd);
		return;
	}
	if (ok && script.ending == HALF_CLOSE)
		ok = shutdown(fd, SHUT_WR) == 0;
	if (ok && script.ending == CLIENT_LEAVES) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		(void)poll(&p, 1, PATIENCE_MS);
		note_end(s, CLIENT, false);
		close(fd);
		return;
	}
	if (ok)
		ok = get(fd, s, CLIENT, script.bytes[SERVER]);
	if (ok && script.ending != CLIENT_CLOSES)
		ok = get(fd, s, CLIENT, SIZE_MAX);
	note_end(s, CLIENT, ok);
	close(fd);
}

static void client_worker(void)
{
	uint32_t index;

	while ((index = atomic_fetch_add(&shared->next, 1)) < opt.connections)
		client_life(index);
	_exit(0);
}

/* --- server --- */

static void server_life(int fd)
{
	char header[HEADER_BYTES];
	struct script script;
	struct slot *s;
	uint32_t index;
	bool ok;

	prepare(fd);
	if (recv(fd, header, sizeof(header), MSG_WAITALL) != sizeof(header)) {
		close(fd); /* a client that died at once */
		return;
	}
	memcpy(&index, header, sizeof(index));
	if (index >= opt.connections)
		die("what came is no header");
	s = &shared->slots[index];
	atomic_fetch_add(&s->read[SERVER], HEADER_BYTES);
	script_make(index, &script);
	if (script.pass)
		fd = pass_on(fd);
	ok = get(fd, s, SERVER, script.bytes[CLIENT]);
	if (ok && script.ending == HALF_CLOSE)
		ok = get(fd, s, SERVER, SIZE_MAX);
	if (ok)
		ok = play(fd, &script, s, SERVER, SERVER_RESETS, SERVER_DIES);
	if (script.ending == SERVER_RESETS) {
		note_end(s, SERVER, false);
		reset(fd);
		return;
	}
	if (ok && script.ending != SERVER_CLOSES && script.ending != HALF_CLOSE)
		ok = get(fd, s, SERVER, SIZE_MAX);
	note_end(s, SERVER, ok);
	close(fd);
}

static int server_listen(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6,
				    .sin6_port = htons(LISTEN_PORT) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int zero = 0, queue = 64;

	if (fd < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)) < 0 ||
	    bind(fd, (void *)&any, sizeof(any)) < 0 || listen(fd, 256) < 0)
		die("listen");
	return fd;
}

static void server_worker(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	while (!atomic_load(&shared->over)) {
		int fd;

		if (poll(&p, 1, 100) != 1)
			continue;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			server_life(fd);
	}
	_exit(0);
}

/* --- processes --- */

/* Workers that are killed by their script are replaced; until all have ended. */
static void keep_workers(enum side side, int listener)
{
	int alive = 0, status;

	for (;;) {
		while (alive < WORKERS &&
		       (side == SERVER ? !atomic_load(&shared->over)
				       : atomic_load(&shared->next) < opt.connections)) {
			pid_t pid = fork();

			if (pid < 0)
				die("fork");
			if (pid == 0) {
				(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
				if (side == SERVER)
					server_worker(listener);
				client_worker();
			}
			alive++;
		}
		if (!alive || wait(&status) < 0)
			return;
		alive--;
		if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
			exit(1); /* it has said why */
	}
}

static void enter(const char *netns)
{
	int fd;

	if (!netns)
		return;
	fd = open(netns, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		die(netns);
	close(fd);
}

static pid_t start_server(void)
{
	int ready[2];
	pid_t pid;
	char c;

	if (pipe2(ready, O_CLOEXEC) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		int listener;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		enter(opt.netns[SERVER]);
		listener = server_listen();
		(void)!write(ready[1], "", 1);
		close(ready[1]);
		keep_workers(SERVER, listener);
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		die("server");
	close(ready[0]);
	return pid;
}

static void print_end(uint32_t index, enum side side)
{
	struct slot *s = &shared->slots[index];
	struct script script;

	script_make(index, &script);
	printf("{\"index\":%u,\"end\":\"%s\",\"local\":\"%s\",\"remote\":\"%s\","
	       "\"ending\":%d,\"outcome\":\"%s\",\"written\":%llu,\"read\":%llu}\n",
	       index, side == CLIENT ? "client" : "server", s->addr[side], s->addr[!side],
	       script.ending, outcomes[atomic_load(&s->outcome[side])],
	       (unsigned long long)atomic_load(&s->written[side]),
	       (unsigned long long)atomic_load(&s->read[side]));
}

static int usage(void)
{
	fputs("usage: storm --ip4 A --ip6 A [--seed N] [--connections N] [--endings clean]\n"
	      "             [--client-netns FILE] [--server-netns FILE]\n",
	      stderr);
	return 2;
}

static bool parse(int argc, char **argv)
{
	uint64_t n;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seed") == 0) {
			if (util_parse_u64(argv[i + 1], UINT32_MAX, &opt.seed) < 0)
				return false;
		} else if (strcmp(argv[i], "--connections") == 0) {
			if (util_parse_u64(argv[i + 1], LIVES_MAX, &n) < 0)
				return false;
			opt.connections = (uint32_t)n;
		} else if (strcmp(argv[i], "--endings") == 0) {
			opt.clean = strcmp(argv[i + 1], "clean") == 0;
		} else if (strcmp(argv[i], "--client-netns") == 0) {
			opt.netns[CLIENT] = argv[i + 1];
		} else if (strcmp(argv[i], "--server-netns") == 0) {
			opt.netns[SERVER] = argv[i + 1];
		} else if (strcmp(argv[i], "--ip4") == 0) {
			opt.ip[0] = argv[i + 1];
		} else if (strcmp(argv[i], "--ip6") == 0) {
			opt.ip[1] = argv[i + 1];
		} else {
			return false;
		}
	}
	return argc % 2 == 1 && opt.ip[0] && opt.ip[1];
}

int main(int argc, char **argv)
{
	pid_t server;
	int status;

	if (!parse(argc, argv))
		return usage();
	(void)signal(SIGPIPE, SIG_IGN);
	alarm(240);
	shared = mmap(NULL, sizeof(*shared) + opt.connections * sizeof(struct slot),
		      PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zeros_fd = memfd_create("zeros", MFD_CLOEXEC);
	if (shared == MAP_FAILED || zeros_fd < 0 || ftruncate(zeros_fd, CHUNK_BYTES) < 0)
		die("memory");
	server = start_server();
	enter(opt.netns[CLIENT]);
	keep_workers(CLIENT, -1);
	atomic_store(&shared->over, true);
	if (waitpid(server, &status, 0) != server || status != 0)
		die("server");
	for (uint32_t i = 0; i < opt.connections; i++) {
		print_end(i, CLIENT);
		print_end(i, SERVER);
	}
	return 0;
}
