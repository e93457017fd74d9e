/* SPDX-License-Identifier: BSD-3-Clause */
/* --list: the event devices that could be served. */
#include "devices/input/input.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/input/kinds.h"
#include "devices/input/node.h"

struct list {
	bool json;
	unsigned n;
};

/* The stable name of the node, the first that udev gave it; or NULL. To be freed. */
static char *find_link(const char *folder, const char *path)
{
	cleanup_free char *real = NULL;
	struct dirent **entries;
	char *link, *found = NULL;
	int n = scandir(folder, &entries, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		if (asprintf(&link, "%s/%s", folder, entries[i]->d_name) < 0)
			link = NULL;
		real = found || !link ? NULL : realpath(link, NULL);
		if (real && !strcmp(real, path))
			found = steal_ptr(&link);
		free(real);
		real = NULL;
		free(link);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return found;
}

static void print_json(const char *path, const char *link, const struct vhu_input_ident *ident,
		       unsigned kinds, int r)
{
	const char *comma = "";

	printf("{\"path\": ");
	vhu_json_put_text(stdout, path);
	if (r < 0) {
		printf(", \"error\": ");
		vhu_json_put_text(stdout, strerror(-r));
	} else {
		printf(", \"name\": ");
		vhu_json_put_text(stdout, ident->name);
		printf(", \"serial\": ");
		vhu_json_put_text(stdout, ident->serial);
		printf(", \"bustype\": %u, \"vendor\": %u, \"product\": %u, \"version\": %u",
		       ident->ids.bustype, ident->ids.vendor, ident->ids.product,
		       ident->ids.version);
		printf(", \"kinds\": [");
		for (unsigned i = 0; i < VHU_INPUT_N_KINDS; i++)
			if (kinds & 1u << i) {
				printf("%s\"%s\"", comma, vhu_input_kind_names[i]);
				comma = ", ";
			}
		putchar(']');
	}
	printf(", \"link\": ");
	if (link)
		vhu_json_put_text(stdout, link);
	else
		printf("null");
	putchar('}');
}

static void print_text(const char *path, const char *link, const struct vhu_input_ident *ident,
		       unsigned kinds, int r)
{
	const char *comma = "";

	printf("%s  ", path);
	if (r < 0) {
		printf("%s\n", strerror(-r));
		return;
	}
	for (unsigned i = 0; i < VHU_INPUT_N_KINDS; i++)
		if (kinds & 1u << i) {
			printf("%s%s", comma, vhu_input_kind_names[i]);
			comma = ",";
		}
	printf("%s  %04x:%04x  \"%s\"", kinds ? "" : "other", ident->ids.vendor,
	       ident->ids.product, ident->name);
	printf("%s%s\n", link ? "  " : "", link ? link : "");
}

static bool print_node(const char *path, void *data)
{
	struct list *list = data;
	cleanup_free char *link = find_link(VHU_INPUT_NODES "/by-id", path);
	struct vhu_input_ident ident;
	struct vhu_evdev *evdev = NULL;
	unsigned kinds = 0;
	int r = vhu_input_node_open(path, &evdev);

	if (!link)
		link = find_link(VHU_INPUT_NODES "/by-path", path);
	if (r == 0) {
		vhu_evdev_ident(evdev, &ident);
		kinds = vhu_input_kinds_of(&ident);
	}
	if (list->json) {
		printf("%s\n  ", list->n ? "," : "");
		print_json(path, link, &ident, kinds, r);
	} else {
		print_text(path, link, &ident, kinds, r);
	}
	list->n++;
	vhu_evdev_free(evdev);
	return false;
}

int vhu_input_print_list(const struct vhu_input_options *options)
{
	struct list list = { .json = options->json };

	if (list.json)
		putchar('[');
	vhu_input_node_each(print_node, &list);
	if (list.json)
		printf("%s]\n", list.n ? "\n" : "");
	else if (!list.n)
		vhu_info("there is no event device in " VHU_INPUT_NODES);
	return fflush(stdout) ? -errno : 0;
}
