/*
 * What the machine reaches without a library: epoll, one thread, no messages
 * but in the client's head. The prefix of a message has four bytes, its body
 * counts up.
 *
 *   limit echo                                            prints its address
 *   limit bulk     ADDRESS connections window size        each message comes back
 *   limit pingpong ADDRESS size                           one, blocking
 *   limit group    ADDRESS members window size PROTOCOL STALLED
 *
 * In a group the first member sends and all receive; PROTOCOL is frames or
 * nats; with STALLED true there is one more member, which never reads.
 *
 * Every process talks to its parent alike: it prints one line, the address or
 * what it measured until it was ready; then one line of JSON for each line that
 * it is given, and one more at the end of its input, where it exits.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 256 << 10, EVENTS = 256, PREFIX = 4 };

static atomic_llong messages;   /* that came back */
static atomic_int reports;      /* round trips are noted between the first two */
static uint32_t *took;          /* nanoseconds of round trips */
static atomic_size_t round_trips;
enum { MOST_ROUND_TRIPS = 4 << 20 };

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void report(const char *wrong)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	long pages = 0, ignored;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f && fscanf(f, "%ld %ld", &ignored, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	uint32_t p50 = 0, p99 = 0;
	size_t n = round_trips;
	if (reports >= 2 && n > 0) {
		qsort(took, n, sizeof *took, ascending);
		p50 = took[n / 2];
		p99 = took[n * 99 / 100];
	}
	printf("{\"Time\":%lld,\"CPU\":%lld,\"RSS\":%lld,\"Allocs\":-1,\"Messages\":%lld,\"P50\":%u,\"P99\":%u,\"Wrong\":\"%s\"}\n",
	       (long long)now(),
	       (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000LL + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000LL,
	       (long long)pages * sysconf(_SC_PAGESIZE), (long long)messages, p50, p99, wrong);
	fflush(stdout);
}

static void fail(const char *what)
{
	char reason[200];
	snprintf(reason, sizeof reason, "limit: %s: %s", what, errno ? strerror(errno) : "that is wrong");
	report(reason);
	exit(1);
}

static void *control(void *unused)
{
	(void)unused;
	char line[80];
	while (fgets(line, sizeof line, stdin)) {
		reports++;
		report("");
	}
	report("");
	exit(0);
}

static void start_control(void)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, control, NULL))
		fail("pthread_create");
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void *memory(size_t n)
{
	void *p = calloc(1, n);
	if (!p)
		fail("memory");
	return p;
}

static struct sockaddr_in address(const char *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const char *port = s ? strrchr(s, ':') : NULL;
	a.sin_port = htons(port ? atoi(port + 1) : 0);
	return a;
}

static void no_delay(int fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* ---- the server */

struct client {
	int fd;
	char *unsent; /* what the socket did not take: nothing is read meanwhile */
	size_t at, end;
};

static char buffer[BUFFER];

/* send_some returns what the socket took, or -1 when the connection is over. */
static ssize_t send_some(int fd, const char *bytes, size_t n)
{
	ssize_t sent = send(fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 && errno == EAGAIN ? 0 : sent;
}

/* echo returns whether the connection goes on. */
static bool echo(struct client *c)
{
	for (;;) {
		if (c->at < c->end) {
			ssize_t sent = send_some(c->fd, c->unsent + c->at, c->end - c->at);
			if (sent < 0)
				return false;
			c->at += sent;
			if (c->at < c->end)
				return true;
		}
		ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		ssize_t sent = send_some(c->fd, buffer, n);
		if (sent < 0)
			return false;
		if (sent == n && n < (ssize_t)sizeof buffer)
			return true;
		if (sent < n && !c->unsent)
			c->unsent = memory(BUFFER);
		c->at = 0;
		c->end = n - sent;
		if (c->end)
			memcpy(c->unsent, buffer + sent, c->end);
	}
}

static void serve(void)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = address(NULL);
	socklen_t length = sizeof a;
	if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, SOMAXCONN) ||
	    getsockname(listener, (struct sockaddr *)&a, &length))
		fail("listen");
	int poller = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN}, events[EVENTS];
	epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
	printf("127.0.0.1:%d\n", ntohs(a.sin_port));
	fflush(stdout);
	start_control();
	for (;;) {
		int n = epoll_wait(poller, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;
			if (!c) {
				c = memory(sizeof *c);
				c->fd = accept(listener, NULL, NULL);
				if (c->fd < 0)
					fail("accept");
				no_delay(c->fd);
				event.events = EPOLLIN | EPOLLOUT | EPOLLET;
				event.data.ptr = c;
				epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
			} else if (!echo(c)) {
				close(c->fd);
				free(c->unsent);
				free(c);
			}
		}
	}
}

/* ---- the clients */

/* A run is what a member sends, or what it receives, over and over. */
struct run {
	char *bytes; /* twice, so that a part of it is in one piece wherever it begins */
	size_t message, all;
};

static struct run new_run(const char *header, size_t header_size, size_t size, const char *trailer, size_t messages)
{
	struct run r = {.message = header_size + size + strlen(trailer)};
	r.all = r.message * messages;
	r.bytes = memory(2 * r.all);
	char *p = r.bytes;
	uint32_t x = 1;
	for (size_t i = 0; i < messages; i++) {
		memcpy(p, header, header_size);
		p += header_size;
		for (size_t j = 0; j < size; j++) {
			x = x * 1664525 + 1013904223;
			*p++ = x >> 24;
		}
		p = stpcpy(p, trailer);
	}
	memcpy(r.bytes + r.all, r.bytes, r.all);
	return r;
}

struct member {
	int fd;
	int64_t sent, received; /* bytes */
	int64_t from;           /* of received, when it joined */
};

static struct run out, in;
static int64_t window;
static int poller;

/* dial tries for two seconds: some servers listen a little after they told their
 * address. */
static int dial(const char *to, int receive_buffer)
{
	struct sockaddr_in a = address(to);
	for (int64_t give_up = now() + 2000000000LL;;) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		if (receive_buffer)
			setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
		if (fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof a)) {
			no_delay(fd);
			return fd;
		}
		if (fd < 0 || errno != ECONNREFUSED || now() > give_up)
			fail("connect");
		close(fd);
		poll(NULL, 0, 10);
	}
}

static void write_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
		if (sent <= 0)
			fail("send");
		bytes += sent;
		n -= sent;
	}
}

static void verify(const struct member *m, const char *bytes, size_t n)
{
	for (int64_t at = m->received; n;) {
		size_t part = least(n, in.all);
		if (memcmp(bytes, in.bytes + at % in.all, part)) {
			errno = 0;
			fail("what came back is not what was sent");
		}
		at += part, bytes += part, n -= part;
	}
}

/* send_due keeps as many messages under way as the window allows. */
static void send_due(struct member *m)
{
	int64_t due = (m->received / (int64_t)in.message + window) * out.message - m->sent;
	if (due <= 0)
		return;
	ssize_t sent = send_some(m->fd, out.bytes + m->sent % out.all, due);
	if (sent < 0)
		fail("send");
	m->sent += sent;
}

/* receive returns whether a member has just verified a run. */
static bool receive(struct member *m)
{
	bool done = false;
	for (;;) {
		ssize_t n = recv(m->fd, buffer, sizeof buffer, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return done;
		if (n <= 0)
			fail("the server ended a connection");
		int64_t verified = m->received - m->from;
		if (verified < (int64_t)in.all) {
			verify(m, buffer, n);
			done = verified + n >= (int64_t)in.all;
		}
		int64_t before = m->received / in.message;
		m->received += n;
		atomic_fetch_add_explicit(&messages, m->received / in.message - before, memory_order_relaxed);
		if (n < (ssize_t)sizeof buffer)
			return done;
	}
}

/* drive has the first senders of the members send, and is ready when all have
 * verified a run, or when nothing has arrived for a second, if that may be. */
static void drive(struct member *members, int n, int senders, bool may_stall)
{
	for (int i = 0; i < n; i++) {
		struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &members[i]};
		if (epoll_ctl(poller, EPOLL_CTL_ADD, members[i].fd, &event))
			fail("epoll_ctl");
	}
	bool ready = false;
	int idle = 0; /* seconds */
	for (int missing = n;;) {
		struct epoll_event events[EVENTS];
		int some = epoll_wait(poller, events, EVENTS, ready ? -1 : 1000);
		for (int i = 0; i < some; i++) {
			struct member *m = events[i].data.ptr;
			if (events[i].events & ~EPOLLOUT)
				missing -= receive(m);
			if (m - members < senders)
				send_due(m);
		}
		idle = some ? 0 : idle + 1;
		if (idle == 10 && !may_stall) {
			errno = 0;
			fail("nothing comes back");
		}
		if (!ready && (missing <= 0 || (idle && may_stall))) {
			ready = true;
			report("");
			start_control();
		}
	}
}

/* greet exchanges one message: the server has accepted. */
static void greet(struct member *m)
{
	write_all(m->fd, out.bytes, out.message);
	while (m->received < (int64_t)in.message) {
		ssize_t n = recv(m->fd, buffer, least(sizeof buffer, in.message - m->received), 0);
		if (n <= 0)
			fail("the server ended a connection");
		verify(m, buffer, n);
		m->received += n;
	}
	m->sent = m->received;
}

static void bulk(const char *to, int connections, size_t size)
{
	uint32_t prefix = htonl(size);
	in = out = new_run((char *)&prefix, PREFIX, size, "", window < 16 ? 16 : window);
	struct member *members = memory(connections * sizeof *members);
	for (int i = 0; i < connections; i++) {
		members[i].fd = dial(to, 0);
		greet(&members[i]);
	}
	drive(members, connections, connections, false);
}

static void pingpong(const char *to, size_t size)
{
	uint32_t prefix = htonl(size);
	out = new_run((char *)&prefix, PREFIX, size, "", 16);
	took = memory(MOST_ROUND_TRIPS * sizeof *took);
	memset(took, 1, MOST_ROUND_TRIPS * sizeof *took);
	char *back = memory(out.message);
	int fd = dial(to, 0);
	for (int64_t i = 0;; i++) {
		const char *message = out.bytes + i % 16 * out.message;
		int64_t began = now();
		write_all(fd, message, out.message);
		for (size_t n = 0; n < out.message;) {
			ssize_t more = recv(fd, back + n, out.message - n, 0);
			if (more <= 0)
				fail("the server ended the connection");
			n += more;
		}
		if (reports == 1 && round_trips < MOST_ROUND_TRIPS)
			took[round_trips++] = now() - began;
		messages++;
		if (i < 1000 && memcmp(back, message, out.message)) {
			errno = 0;
			fail("what came back is not what was sent");
		}
		if (i == 1000) {
			report("");
			start_control();
		}
	}
}

/* join returns when the server has answered that a connection is a member. */
static int join(const char *to, bool nats, int receive_buffer)
{
	static const char frame[] = "\0\0\0\4join";
	static const char subscription[] = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB g 1\r\nPING\r\n";
	int fd = dial(to, receive_buffer);
	if (nats)
		write_all(fd, subscription, sizeof subscription - 1);
	else
		write_all(fd, frame, sizeof frame - 1);
	const char *end = nats ? "PONG\r\n" : "join";
	for (size_t n = 0; n < strlen(end) || memcmp(buffer + n - strlen(end), end, strlen(end));) {
		ssize_t more = n < sizeof buffer ? recv(fd, buffer + n, sizeof buffer - n, 0) : 0;
		if (more <= 0)
			fail("a member was not taken");
		n += more;
	}
	return fd;
}

enum { FILL = 3500 << 10 };

/* fill has the speaker send to itself and to a member that does not read, until
 * that one's sockets are full, and what a server may queue is not. A server that
 * waits for it does not answer any more. */
static void fill(struct member *speaker)
{
	while (speaker->sent < FILL) {
		write_all(speaker->fd, out.bytes + speaker->sent % out.all, window * out.message);
		speaker->sent += window * out.message;
		int64_t whole = speaker->sent / out.message * in.message;
		while (speaker->received < whole) {
			struct pollfd p = {.fd = speaker->fd, .events = POLLIN};
			if (poll(&p, 1, 3000) == 0)
				return;
			ssize_t n = recv(speaker->fd, buffer, sizeof buffer, MSG_DONTWAIT);
			if (n <= 0)
				fail("the server ended the speaker");
			verify(speaker, buffer, n);
			speaker->received += n;
		}
	}
}

static void group(const char *to, int n, size_t size, bool nats, bool stalled)
{
	char send_header[80], receive_header[80];
	size_t sending = PREFIX, receiving = PREFIX;
	uint32_t prefix = htonl(size);
	memcpy(send_header, &prefix, PREFIX);
	memcpy(receive_header, &prefix, PREFIX);
	if (nats) {
		sending = snprintf(send_header, sizeof send_header, "PUB g %zu\r\n", size);
		receiving = snprintf(receive_header, sizeof receive_header, "MSG g 1 %zu\r\n", size);
	}
	const char *trailer = nats ? "\r\n" : "";
	out = new_run(send_header, sending, size, trailer, window);
	in = new_run(receive_header, receiving, size, trailer, window);
	if (stalled)
		join(to, nats, 4096);
	struct member *members = memory(n * sizeof *members);
	members[0].fd = join(to, nats, 0);
	if (stalled)
		fill(&members[0]);
	for (int i = 0; i < n; i++) {
		if (i > 0)
			members[i].fd = join(to, nats, 0);
		members[i].received = members[i].from = members[0].received;
	}
	drive(members, n, 1, stalled);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	poller = epoll_create1(0);
	if (argc == 2 && !strcmp(argv[1], "echo")) {
		serve();
	} else if (argc == 6 && !strcmp(argv[1], "bulk")) {
		window = atoi(argv[4]);
		bulk(argv[2], atoi(argv[3]), atoi(argv[5]));
	} else if (argc == 4 && !strcmp(argv[1], "pingpong")) {
		pingpong(argv[2], atoi(argv[3]));
	} else if (argc == 8 && !strcmp(argv[1], "group")) {
		window = atoi(argv[4]);
		group(argv[2], atoi(argv[3]), atoi(argv[5]), !strcmp(argv[6], "nats"), !strcmp(argv[7], "true"));
	}
	fputs("limit echo | bulk | pingpong | group: the comment at the top of limit.c tells\n", stderr);
	return 2;
}
