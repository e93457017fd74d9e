/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/fuzz/clock.h"

#include <sys/timerfd.h>

#include "common/base/num.h"

uint64_t clock_ns = NS_PER_SEC;

uint64_t __wrap_vhu_now_ns(void);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *old);
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *old);

uint64_t __wrap_vhu_now_ns(void)
{
	return clock_ns;
}

/* Any timer fires at the next turn; whoever finds that it is too early sets it again. */
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *old)
{
	struct itimerspec soon = *when;

	if (soon.it_value.tv_sec || soon.it_value.tv_nsec)
		soon.it_value = (struct timespec){ .tv_nsec = 1 };
	return __real_timerfd_settime(fd, flags, &soon, old);
}
