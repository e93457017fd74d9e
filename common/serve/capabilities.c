/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/serve/capabilities.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"

/* The guest's memory; it stands in -m and in the object, and must be the same. */
#define MEMORY_SIZE "1G"

void vhu_print_capabilities(const struct vhu_program *program)
{
	size_t i;

	printf("{\n  \"type\": \"%s\",\n  \"features\": [", program->type);
	for (i = 0; program->capabilities && program->capabilities[i]; i++)
		printf("%s\n    \"%s\"", i ? "," : "", program->capabilities[i]);
	printf("%s]\n}\n", i ? "\n  " : "");
}

/* A word of a shell command: bare when it may be, else in single quotes. */
static void print_quoted(const char *word)
{
	static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_@%+=:,./-";

	if (word[strspn(word, bare)] == '\0') {
		fputs(word, stdout);
		return;
	}
	putchar('\'');
	for (; *word; word++) {
		if (*word == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*word);
	}
	putchar('\'');
}

/* A value in QEMU's option syntax: a comma in it is written twice. */
static void write_value(FILE *out, const char *value)
{
	for (; *value; value++) {
		if (*value == ',')
			fputc(',', out);
		fputc(*value, out);
	}
}

/* QEMU may run in another folder than we do. */
static int write_path(FILE *out, const char *path)
{
	cleanup_free char *folder = NULL;

	if (*path != '/') {
		folder = getcwd(NULL, 0);
		if (!folder)
			return -errno;
		write_value(out, folder);
		fputc('/', out);
	}
	write_value(out, path);
	return 0;
}

void vhu_print_qemu_memory(void)
{
	vhu_info("the guest's memory, " MEMORY_SIZE ", stands in -m and in size=: change both");
	printf("-m " MEMORY_SIZE " -object memory-backend-memfd,id=vhu-mem,size=" MEMORY_SIZE
	       ",share=on \\\n-machine q35,memory-backend=vhu-mem");
}

/* Who listens decides which side waits and which comes back. */
static int print_chardev(const struct vhu_program *program, const struct vhu_endpoint *endpoint,
			 unsigned index)
{
	const char *path = endpoint->connect ? endpoint->connect : endpoint->socket_path;
	cleanup_free char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int r;

	if (!out)
		return -errno;
	fprintf(out, "socket,id=vhu%u,path=", index);
	r = write_path(out, path);
	if (endpoint->connect)
		fputs(",server=on,wait=off", out);
	else if (program->qemu_reconnects)
		fputs(",reconnect-ms=500", out);
	if (fclose(out) != 0 || r < 0)
		return r < 0 ? r : -errno;
	fputs(" \\\n-chardev ", stdout);
	print_quoted(text);
	return 0;
}

int vhu_print_qemu_device(const struct vhu_program *program, const void *options,
			  const struct vhu_endpoint *endpoint, unsigned index)
{
	int r = print_chardev(program, endpoint, index);

	if (r < 0)
		return r;
	if (program->qemu_options)
		printf(" \\\n%s", program->qemu_options);
	printf(" \\\n-device %s,chardev=vhu%u", program->qemu_device, index);
	if (program->qemu_properties)
		program->qemu_properties(options, stdout);
	return 0;
}
