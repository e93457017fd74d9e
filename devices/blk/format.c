/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Container formats, which are no disks by themselves. Served raw, a guest can write a header of
 * its own that names any file of the host, for the next program that opens the image by its look.
 */
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/base/num.h"
#include "devices/blk/image.h"

static const struct {
	const char *name;
	unsigned offset;
	unsigned len;
	const char *magic;
} formats[] = {
	{ "qcow", 0, 8, "QFI\xfb\0\0\0\1" },
	{ "qcow2", 0, 4, "QFI\xfb" },
	{ "QED", 0, 4, "QED\0" },
	{ "VMDK", 0, 4, "KDMV" },
	{ "VMDK", 0, 4, "COWD" },
	{ "VMDK", 0, 21, "# Disk DescriptorFile" },
	{ "VHDX", 0, 8, "vhdxfile" },
	{ "VHD", 0, 8, "conectix" },
	{ "VDI", 64, 4, "\x7f\x10\xda\xbe" },
	{ "Parallels", 0, 16, "WithoutFreeSpace" },
	{ "Parallels", 0, 16, "WithouFreSpacExt" },
};

const char *vhu_blk_container_format(int fd, uint64_t offset_bytes)
{
	char head[128] = { 0 };

	if (pread(fd, head, sizeof(head), (off_t)offset_bytes) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (!memcmp(head + formats[i].offset, formats[i].magic, formats[i].len))
			return formats[i].name;
	return NULL;
}
