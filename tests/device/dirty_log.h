/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_DEVICE_DIRTY_LOG_H
#define VHU_TESTS_DEVICE_DIRTY_LOG_H

/* The front-end's dirty log for the memory of a scene. Functions without a result assert. */

#include "tests/device/harness.h"

#define PAGE 4096ull
#define LOG_ALL VHU_BIT(VHU_F_LOG_ALL)
#define LOG_PROTOCOL (VHU_FRONTEND_PROTOCOL_FEATURES | VHU_BIT(VHU_PROTOCOL_F_LOG_SHMFD))
/* A bit for each page of the guest's 64 MiB, and of as much behind it. */
#define LOG_BYTES (2 * (64ull << 20) / PAGE / 8)
#define LOG_OFFSET 24ull
/* Outside guest memory, and inside the log. */
#define USED_LOG_GPA ((64ull << 20) + 512)
#define USED_BYTES (6 + 8 * RING_SIZE)

struct dirty_log {
	int fd;
	uint8_t *mapped;
	uint8_t *bits;
	uint8_t taken[LOG_BYTES]; /* the marks that we have taken out */
};

void log_open(struct dirty_log *log);
void log_close(struct dirty_log *log);
/* A ring that runs, and a log that the program knows. */
void log_begin(struct scene *scene, struct dirty_log *log);

bool is_marked(const struct dirty_log *log, uint64_t gpa);
void take_mark(struct dirty_log *log, uint64_t gpa);
bool was_taken(const struct dirty_log *log, uint64_t gpa);
unsigned count_marks(const struct dirty_log *log);

/* SET_LOG_BASE; use_log asserts that it is taken. */
int set_log_base(struct scene *scene, int fd, uint64_t size, uint64_t offset);
void use_log(struct scene *scene, const struct dirty_log *log);
/* SET_FEATURES with LOG_ALL or without. */
void log_all(struct scene *scene, bool on);
/* SET_VRING_ADDR with the addresses as they are. */
int set_used_log(struct scene *scene, uint32_t flags, uint64_t log_gpa);
void log_used(struct scene *scene, bool on); /* at USED_LOG_GPA */

#endif
