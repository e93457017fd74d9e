/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/serve/control.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/base/own_socket.h"

#define ERROR_BYTES 1024
#define RETRY_NS (100 * NS_PER_MS)
#define BLANKS " \t\r"

/* It waits for the answer to its request, or for room for that, or for the next line. */
struct client {
	TAILQ_ENTRY(client) link;
	struct vhu_control *control;
	int fd;
	struct vhu_source *source;
	struct vhu_control_request *request; /* NULL: none at work */
	char *answer; /* what is left of it: from sent to bytes; NULL: nothing */
	size_t bytes, sent;
	bool ended; /* nothing more is read */
	size_t n;
	char line[VHU_CONTROL_LINE_MAX]; /* n bytes that were read */
};

struct vhu_control_request {
	struct vhu_call call;
	struct vhu_loop *loop;
	struct client *client; /* main's; NULL: it has gone */
	FILE *out;
	char *text; /* NULL in the end: there was no memory for it */
	size_t bytes;
};

struct vhu_control {
	struct vhu_loop *loop;
	struct vhu_own_socket socket;
	struct vhu_source *source, *retry;
	struct vhu_control_table tables[VHU_CONTROL_TABLES_MAX];
	size_t n_tables;
	TAILQ_HEAD(, client) clients;
	unsigned n_clients;
	struct vhu_log_limit log_limit;
};

static void drop(struct client *client)
{
	TAILQ_REMOVE(&client->control->clients, client, link);
	client->control->n_clients--;
	vhu_source_remove(client->source);
	close(client->fd);
	if (client->request)
		client->request->client = NULL;
	free(client->answer);
	free(client);
}

/* --- requests -------------------------------------------------------------------------------- */

static void serve(struct client *client);

static void on_answered(struct vhu_call *call)
{
	struct vhu_control_request *request = container_of(call, struct vhu_control_request, call);
	struct client *client = request->client;

	if (client) {
		client->request = NULL;
		client->answer = steal_ptr(&request->text);
		client->bytes = request->bytes;
		client->sent = 0;
		if (client->answer)
			serve(client);
		else
			drop(client);
	}
	free(request->text);
	free(request);
}

static struct vhu_control_request *make_request(struct client *client)
{
	struct vhu_control_request *request = calloc(1, sizeof(*request));

	if (request)
		request->out = open_memstream(&request->text, &request->bytes);
	if (!request || !request->out) {
		free(request);
		return NULL;
	}
	request->call.fn = on_answered;
	request->loop = client->control->loop;
	request->client = client;
	client->request = request;
	fputs("{\"ok\": true", request->out);
	return request;
}

FILE *vhu_control_out(struct vhu_control_request *request)
{
	return request->out;
}

void vhu_control_answer(struct vhu_control_request *request)
{
	fputs("}\n", request->out);
	if (fclose(request->out) != 0) {
		free(request->text);
		request->text = NULL;
	}
	vhu_loop_post(request->loop, &request->call);
}

void vhu_control_refuse(struct vhu_control_request *request, const char *format, ...)
{
	char error[ERROR_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(error, sizeof(error), format, args);
	va_end(args);
	rewind(request->out);
	fputs("{\"ok\": false, \"error\": ", request->out);
	vhu_json_put_text(request->out, error);
	vhu_control_answer(request);
}

/* --- lines ----------------------------------------------------------------------------------- */

static const struct vhu_control_command *find(const struct vhu_control *control, const char *name,
					      void **ret_data)
{
	for (size_t i = 0; i < control->n_tables; i++) {
		const struct vhu_control_table *table = &control->tables[i];

		for (size_t k = 0; k < table->n; k++) {
			if (strcmp(table->commands[k].name, name) != 0)
				continue;
			*ret_data = table->data;
			return &table->commands[k];
		}
	}
	return NULL;
}

/* line is ours to change. */
static void run(const struct vhu_control *control, char *line, struct vhu_control_request *request)
{
	const struct vhu_control_command *command;
	size_t len = strlen(line), name_len = strcspn(line, BLANKS);
	char *argument = line + name_len + strspn(line + name_len, BLANKS);
	void *data;

	while (len && strchr(BLANKS, line[len - 1]))
		line[--len] = '\0';
	line[name_len] = '\0';
	command = find(control, line, &data);
	if (!command)
		vhu_control_refuse(request, "there is no command '%s': 'help' has all", line);
	else if (command->argument && !*argument)
		vhu_control_refuse(request, "'%s' needs %s behind it", line, command->argument);
	else if (!command->argument && *argument)
		vhu_control_refuse(request, "'%s' stands alone: '%s' is too much", line, argument);
	else
		command->fn(data, *argument ? argument : NULL, request);
}

/* What cannot be a line. */
static void give_up(struct client *client, struct vhu_control_request *request)
{
	if (client->n == sizeof(client->line))
		vhu_control_refuse(request, "a line has at most %d bytes with its newline",
				   VHU_CONTROL_LINE_MAX);
	else
		vhu_control_refuse(request, "a command is a line: no newline is behind '%.*s'",
				   (int)client->n, client->line);
	client->ended = true;
	client->n = 0;
}

static void forget(struct client *client, size_t n)
{
	client->n -= n;
	memmove(client->line, client->line + n, client->n);
}

static void run_line(struct client *client, size_t len, struct vhu_control_request *request)
{
	client->line[len] = '\0';
	if (strlen(client->line) < len)
		vhu_control_refuse(request, "a command is text: the line has a NUL byte in it");
	else
		run(client->control, client->line, request);
	forget(client, len + 1);
}

/* Lines that are empty are none. */
static void skip_blanks(struct client *client)
{
	static const char blanks[] = BLANKS "\n";
	size_t n = 0;

	while (n < client->n && memchr(blanks, client->line[n], strlen(blanks)))
		n++;
	forget(client, n);
}

/* False: it could not be, and the client is gone. */
static bool send_answer(struct client *client)
{
	ssize_t n = send(client->fd, client->answer + client->sent, client->bytes - client->sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		drop(client);
		return false;
	}
	client->sent += n > 0 ? (size_t)n : 0;
	if (client->sent == client->bytes) {
		free(client->answer);
		client->answer = NULL;
	}
	return true;
}

/* As far as it goes without waiting. */
static void serve(struct client *client)
{
	struct vhu_control_request *request;
	char *end;

	if (client->answer && !send_answer(client))
		return;
	if (client->answer) {
		vhu_source_set_events(client->source, EPOLLOUT);
		return;
	}
	skip_blanks(client);
	end = memchr(client->line, '\n', client->n);
	if (!end && !client->n && client->ended) {
		drop(client);
		return;
	}
	if (!end && client->n < sizeof(client->line) && !client->ended) {
		vhu_source_set_events(client->source, EPOLLIN);
		return;
	}
	request = make_request(client);
	if (!request) {
		drop(client);
		return;
	}
	vhu_source_set_events(client->source, 0);
	if (end)
		run_line(client, (size_t)(end - client->line), request);
	else
		give_up(client, request);
}

/* --- clients --------------------------------------------------------------------------------- */

static void on_client(void *data, uint32_t events)
{
	struct client *client = data;
	ssize_t n;

	if (events & EPOLLIN) {
		n = recv(client->fd, client->line + client->n, sizeof(client->line) - client->n,
			 MSG_DONTWAIT);
		client->n += n > 0 ? (size_t)n : 0;
		client->ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		drop(client);
		return;
	}
	serve(client);
}

/* Takes fd. */
static void add_client(struct vhu_control *control, int fd)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client || vhu_loop_add_fd(control->loop, fd, EPOLLIN, on_client, client,
				       &client->source) < 0) {
		free(client);
		close(fd);
		return;
	}
	client->control = control;
	client->fd = fd;
	TAILQ_INSERT_TAIL(&control->clients, client, link);
	control->n_clients++;
}

static void turn_away(int fd)
{
	static const char text[] = "{\"ok\": false, \"error\": \"there are as many clients as may "
				   "be: close one\"}\n";

	send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static void on_connection(void *data, uint32_t events)
{
	struct vhu_control *control = data;
	int fd = accept4(control->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0 && control->n_clients < VHU_CONTROL_CLIENTS_MAX) {
		add_client(control, fd);
	} else if (fd >= 0) {
		turn_away(fd);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		vhu_log_limited(&control->log_limit, VHU_LOG_WARNING,
				"control: cannot accept a client: %s", strerror(errno));
		vhu_source_set_events(control->source, 0);
		vhu_source_set_timer(control->retry, RETRY_NS);
	}
}

static void on_retry(void *data, uint32_t events)
{
	struct vhu_control *control = data;

	(void)events;
	vhu_source_set_events(control->source, EPOLLIN);
}

/* --- the socket ------------------------------------------------------------------------------ */

static void help(void *data, const char *argument, struct vhu_control_request *request)
{
	const struct vhu_control *control = data;
	const char *comma = "";

	(void)argument;
	fputs(", \"commands\": [", request->out);
	for (size_t i = 0; i < control->n_tables; i++) {
		for (size_t k = 0; k < control->tables[i].n; k++) {
			const struct vhu_control_command *c = &control->tables[i].commands[k];

			fprintf(request->out, "%s{\"command\": \"%s%s%s\", \"help\": ", comma,
				c->name, c->argument ? " " : "", c->argument ? c->argument : "");
			vhu_json_put_text(request->out, c->help);
			fputs("}", request->out);
			comma = ", ";
		}
	}
	fputs("]", request->out);
	vhu_control_answer(request);
}

static const struct vhu_control_command help_command[] = {
	{ "help", NULL, "all commands", help },
};

static int open_socket(struct vhu_control *control, const char *path)
{
	int r = vhu_own_socket_listen(path, VHU_CONTROL_CLIENTS_MAX, &control->socket);

	if (r < 0)
		vhu_error("--control %s: cannot listen there: %s", path, vhu_own_socket_explain(r));
	else
		r = vhu_loop_add_fd(control->loop, control->socket.fd, EPOLLIN, on_connection,
				    control, &control->source);
	return r;
}

int vhu_control_new(struct vhu_loop *loop, const char *path, const struct vhu_control_table *tables,
		    size_t n_tables, struct vhu_control **ret_control)
{
	struct vhu_control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return -ENOMEM;
	assert(n_tables < VHU_CONTROL_TABLES_MAX);
	control->loop = loop;
	control->socket.fd = -1;
	TAILQ_INIT(&control->clients);
	control->tables[control->n_tables++] =
		(struct vhu_control_table){ help_command, 1, control };
	while (n_tables--)
		control->tables[control->n_tables++] = *tables++;
	r = vhu_loop_add_timer(loop, on_retry, control, &control->retry);
	if (r == 0)
		r = open_socket(control, path);
	if (r < 0) {
		vhu_control_free(control);
		return r;
	}
	*ret_control = control;
	return 0;
}

void vhu_control_free(struct vhu_control *control)
{
	struct client *client;

	if (!control)
		return;
	while ((client = TAILQ_FIRST(&control->clients)))
		drop(client);
	vhu_source_remove(control->source);
	vhu_source_remove(control->retry);
	vhu_own_socket_close(&control->socket);
	free(control);
}
