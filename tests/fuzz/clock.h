/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_FUZZ_CLOCK_H
#define VHU_TESTS_FUZZ_CLOCK_H

/* Time that passes as the input says: for targets that wrap vhu_now_ns() and timerfd_settime(). */

#include <stdint.h>

extern uint64_t clock_ns;

#endif
