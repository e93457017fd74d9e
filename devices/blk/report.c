/* SPDX-License-Identifier: BSD-3-Clause */
/* What people and programs are told of a disk: statistics, --probe. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/blk/blk_priv.h"
#include "devices/blk/holders_priv.h"

/* Names and values, nested, as JSON on one line or as lines for people. */
struct report {
	FILE *out;
	bool json;
	bool first;	 /* JSON: nothing precedes in this group */
	bool after_dash; /* lines: a dash stands where the indent would */
	unsigned depth;
};

static void put_text(struct report *r, const char *text)
{
	if (r->json)
		vhu_json_put_text(r->out, text);
	else
		fputs(text, r->out);
}

static void begin_item(struct report *r, const char *name)
{
	if (r->json)
		fputs(r->first ? "" : ", ", r->out);
	else if (!r->after_dash)
		fprintf(r->out, "%*s", 2 * (int)r->depth, "");
	r->first = false;
	r->after_dash = false;
	if (name) {
		put_text(r, name);
		putc(':', r->out);
	}
}

static void end_line(struct report *r)
{
	if (!r->json)
		putc('\n', r->out);
}

static void put_number(struct report *r, const char *name, uint64_t value)
{
	begin_item(r, name);
	fprintf(r->out, " %" PRIu64, value);
	end_line(r);
}

/* An empty text is left out. */
static void put_string(struct report *r, const char *name, const char *value)
{
	if (!*value)
		return;
	begin_item(r, name);
	putc(' ', r->out);
	put_text(r, value);
	end_line(r);
}

/* bracket: '{' for names and values, '[' for a list; name NULL in a list. */
static void open_group(struct report *r, const char *name, char bracket)
{
	begin_item(r, name);
	r->first = true;
	if (r->json) {
		fprintf(r->out, name ? " %c" : "%c", bracket);
		return;
	}
	fputs(name ? "\n" : "- ", r->out);
	r->after_dash = !name;
	r->depth++;
}

static void close_group(struct report *r, char bracket)
{
	r->first = false;
	if (r->json) {
		putc(bracket, r->out);
		return;
	}
	if (r->after_dash)
		end_line(r);
	r->after_dash = false;
	r->depth--;
}

/* The whole is an object without a name. */
static void begin_report(struct report *r, FILE *out, bool json)
{
	*r = (struct report){ .out = out, .json = json, .first = true };
	if (json)
		putc('{', out);
}

static void end_report(struct report *r)
{
	if (r->json)
		putc('}', r->out);
}

static uint64_t counter_of(struct vhu_blk_stats *stats, size_t i)
{
	return vhu_counter_get(vhu_blk_counter(stats, i));
}

static bool is_used(struct vhu_blk_stats *stats)
{
	for (size_t i = 0; i < VHU_BLK_COUNTERS; i++)
		if (counter_of(stats, i))
			return true;
	return false;
}

static void put_stats(struct report *r, const struct vhu_blk *blk)
{
	put_string(r, "device", "blk");
	put_string(r, "file", blk->image.path ? blk->image.path : "");
	put_string(r, "engine", blk->disk.io->ops->name);
	put_number(r, "capacity_sectors", atomic_load(&blk->disk.capacity_sectors));
	open_group(r, "queues", '[');
	for (unsigned q = 0; q < blk->num_queues; q++) {
		if (!is_used(&blk->stats[q]))
			continue;
		open_group(r, NULL, '{');
		put_number(r, "queue", q);
		for (size_t i = 0; i < VHU_BLK_COUNTERS; i++)
			put_number(r, vhu_blk_counter_names[i], counter_of(&blk->stats[q], i));
		close_group(r, '}');
	}
	close_group(r, ']');
}

void vhu_blk_print_stats(struct vhu_device *device, FILE *out)
{
	struct report r;

	begin_report(&r, out, true);
	put_stats(&r, container_of(device, struct vhu_blk, device));
	end_report(&r);
}

static void put_content(struct report *r, const struct vhu_blk_content *content)
{
	put_string(r, "type", content->type);
	put_string(r, "uuid", content->uuid);
	put_string(r, "label", content->label);
}

static void put_partition(struct report *r, const struct vhu_blk_image *image,
			  const struct vhu_blk_partition *partition)
{
	struct vhu_blk_content content;

	open_group(r, NULL, '{');
	put_number(r, "number", partition->number);
	put_number(r, "offset_bytes", partition->offset_bytes);
	put_number(r, "size_bytes", partition->size_bytes);
	put_string(r, "partition_type", partition->type);
	put_string(r, "partition_uuid", partition->uuid);
	put_string(r, "partition_name", partition->name);
	if (vhu_blk_probe_content(image->fd, partition->offset_bytes, partition->size_bytes,
				  image->block_bytes, &content) == 0)
		put_content(r, &content);
	close_group(r, '}');
}

static void put_whole_content(struct report *r, const struct vhu_blk_image *image)
{
	struct vhu_blk_content content;

	if (vhu_blk_probe_content(image->fd, 0, 0, image->block_bytes, &content) < 0)
		return;
	put_content(r, &content);
	put_string(r, "partition_table", content.table);
	put_string(r, "partition_table_uuid", content.table_uuid);
	if (!*content.table)
		return;
	open_group(r, "partitions", '[');
	for (unsigned i = 0; i < content.n_partitions; i++)
		put_partition(r, image, &content.partitions[i]);
	close_group(r, ']');
}

static void put_topology(struct report *r, const struct vhu_blk_image *image)
{
	const struct vhu_blk_topology *t = &image->topology;

	put_number(r, "logical_block_bytes", t->logical);
	put_number(r, "physical_block_bytes", t->physical);
	put_number(r, "alignment_offset_bytes", t->alignment_offset);
	put_number(r, "min_io_bytes", t->min_io);
	put_number(r, "opt_io_bytes", t->opt_io);
	put_number(r, "discard_block_bytes", image->can_discard ? image->discard_block_bytes : 0);
}

static void put_holder(void *data, enum vhu_blk_hold how, const char *who)
{
	struct report *r = data;

	open_group(r, NULL, '{');
	put_string(r, "how", vhu_blk_hold_words[how]);
	put_string(r, "who", who);
	close_group(r, '}');
}

static void put_probe(struct report *r, const struct vhu_blk_image *image)
{
	const char *format = vhu_blk_container_format(image->fd, 0);
	uint64_t bytes;

	put_string(r, "file", image->path);
	put_string(r, "kind", S_ISBLK(image->st.st_mode) ? "block device" : "file");
	if (vhu_blk_image_size(image, &bytes) == 0)
		put_number(r, "size_bytes", bytes);
	put_topology(r, image);
	put_string(r, "container", format ? format : "");
	put_whole_content(r, image);
	open_group(r, "holders", '[');
	vhu_blk_device_holders(&image->st, put_holder, r);
	vhu_blk_lock_holders(&image->st, -1, put_holder, r);
	close_group(r, ']');
}

int vhu_blk_print_probe(const struct vhu_blk_options *options)
{
	struct vhu_blk_image image;
	struct report r;
	int result = vhu_blk_image_peek(options, &image);

	if (result < 0)
		return result;
	begin_report(&r, stdout, options->json);
	put_probe(&r, &image);
	end_report(&r);
	if (options->json)
		putchar('\n');
	vhu_blk_image_close(&image);
	return fflush(stdout) ? -EIO : 0;
}
