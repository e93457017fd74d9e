/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/base/cleanup.h"

void vhu_blk_sysfs_folder(dev_t rdev, char path[VHU_BLK_SYSFS_PATH])
{
	snprintf(path, VHU_BLK_SYSFS_PATH, "/sys/dev/block/%u:%u", major(rdev), minor(rdev));
}

void vhu_blk_sysfs_disk_folder(dev_t rdev, char path[VHU_BLK_SYSFS_PATH])
{
	uint64_t number;
	size_t len;

	vhu_blk_sysfs_folder(rdev, path);
	len = strlen(path);
	if (vhu_blk_sysfs_number(path, "partition", &number) == 0)
		snprintf(path + len, VHU_BLK_SYSFS_PATH - len, "/..");
}

int vhu_blk_sysfs_line(const char *folder, const char *name, char *line, size_t size)
{
	char path[VHU_BLK_SYSFS_PATH + 64];
	cleanup_fd int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, line, size - 1);
	if (n < 0)
		return -errno;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

int vhu_blk_sysfs_number(const char *folder, const char *name, uint64_t *ret_value)
{
	char line[32], *end;
	uint64_t value;
	int r = vhu_blk_sysfs_line(folder, name, line, sizeof(line));

	if (r < 0)
		return r;
	value = strtoull(line, &end, 0);
	if (end == line)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

/*
 * Files of the kinds of flash memory that tell: end of life, and the wear of its two types of
 * cells. eMMC has both of these on one line; of UFS the host controller knows.
 */
static const struct {
	const char *eol, *typ_a, *typ_b;
} lifetime_files[] = {
	{ "device/pre_eol_info", "device/life_time", NULL },
	{ "device/../../../health_descriptor/eol_info",
	  "device/../../../health_descriptor/life_time_estimation_a",
	  "device/../../../health_descriptor/life_time_estimation_b" },
};

int vhu_blk_sysfs_lifetime(const char *disk_folder, struct vhu_blk_lifetime *ret_lifetime)
{
	for (size_t i = 0; i < ARRAY_SIZE(lifetime_files); i++) {
		uint64_t eol, word;
		int typ_a, typ_b = 0;
		char line[32];

		if (vhu_blk_sysfs_number(disk_folder, lifetime_files[i].eol, &eol) < 0 ||
		    vhu_blk_sysfs_line(disk_folder, lifetime_files[i].typ_a, line,
				       sizeof(line)) < 0)
			continue;
		if (sscanf(line, "%i %i", &typ_a, &typ_b) < 1)
			continue;
		if (lifetime_files[i].typ_b) {
			if (vhu_blk_sysfs_number(disk_folder, lifetime_files[i].typ_b, &word) < 0)
				continue;
			typ_b = (int)word;
		}
		*ret_lifetime = (struct vhu_blk_lifetime){
			.pre_eol_info = (uint16_t)eol,
			.est_typ_a = (uint16_t)typ_a,
			.est_typ_b = (uint16_t)typ_b,
		};
		return 0;
	}
	return -EOPNOTSUPP;
}
