/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "cli/check/case.h"
#include "common/base/log.h"
#include "common/base/num.h"

const struct check_group *const check_groups[] = {
	&check_framing,
	&check_features,
	&check_protocol,
	&check_memory,
	&check_states,
	&check_split,
	&check_packed,
	&check_order,
	&check_inflight,
	&check_postcopy,
	&check_log,
	&check_iotlb,
	&check_transfer,
	&check_channel,
	&check_config,
	&check_reset,
	&check_reconnect,
	&check_hostile,
	&check_blk,
	&check_blk_write,
	&check_rng,
};
const size_t check_n_groups = ARRAY_SIZE(check_groups);

static int is_name(const char *name, const char *word, size_t len)
{
	return strlen(name) == len && !strncasecmp(name, word, len);
}

int check_list_has(const char *list, const struct check_group *group,
		   const struct check_case *one)
{
	while (*list) {
		size_t len = strcspn(list, ",");

		if (is_name(group->name, list, len) || is_name(one->id, list, len))
			return 1;
		list += len + (list[len] == ',');
	}
	return 0;
}

static int is_known(const char *word, size_t len)
{
	for (size_t g = 0; g < check_n_groups; g++) {
		if (is_name(check_groups[g]->name, word, len))
			return 1;
		for (size_t i = 0; i < check_groups[g]->n; i++)
			if (is_name(check_groups[g]->cases[i].id, word, len))
				return 1;
	}
	return 0;
}

int check_list_valid(const char *list)
{
	while (*list) {
		size_t len = strcspn(list, ",");

		if (!is_known(list, len)) {
			vhu_error("'%.*s' is neither a group nor a case; --list names them",
				  (int)len, list);
			return -EINVAL;
		}
		list += len + (list[len] == ',');
	}
	return 0;
}
