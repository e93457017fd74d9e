/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_CLI_CHECK_RUNNER_H
#define VHU_CLI_CHECK_RUNNER_H

/*
 * Runs cases, each in a process of its own: whatever the back-end does to it - truncates the
 * memory they share, floods it, keeps it waiting - ends that process and no more. The runner alone
 * speaks to nobody; it watches the process of the case and that of the back-end.
 */

#include <stdbool.h>

#include "cli/check/case.h"
#include "cli/check/device.h"
#include "cli/check/record.h"
#include "cli/check/target.h"

struct check_shared; /* with the processes of the cases */

struct check_runner {
	struct check_target target;
	int timeout_ms;
	bool destructive;
	const struct check_device *device;
	struct check_facts facts;
	struct check_shared *shared;
};

int check_runner_init(struct check_runner *runner, const char *socket, const char *command);
void check_runner_finish(struct check_runner *runner);

/*
 * Starts the back-end if it is ours, and fills in the facts. False: it cannot be reached, and why
 * is in ret_why.
 */
bool check_runner_meet(struct check_runner *runner, char *ret_why, size_t size);

/* False: the back-end is gone for good, after this case or before it (then it was not run). */
bool check_runner_run(struct check_runner *runner, const struct check_case *one,
		      struct check_record *ret_record);

/* Set by a signal handler: run ends as soon as it can, as if the back-end was gone. */
extern volatile int check_interrupted;

#endif
