/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/node.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/major.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"

int vhu_input_node_open(const char *path, struct vhu_evdev **ret_evdev)
{
	const int flags = O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
	cleanup_fd int fd = -1;
	struct stat st;
	int r;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode) || major(st.st_rdev) != INPUT_MAJOR)
		return -ENOTTY;
	fd = open(path, O_RDWR | flags);
	if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS))
		fd = open(path, O_RDONLY | flags);
	if (fd < 0)
		return -errno;
	r = vhu_evdev_new(fd, ret_evdev);
	if (r == 0)
		fd = -1;
	return r;
}

static void read_line(const char *path, char *ret_line, int size)
{
	FILE *file = fopen(path, "re");

	ret_line[0] = '\0';
	if (!file)
		return;
	if (!fgets(ret_line, size, file))
		ret_line[0] = '\0';
	ret_line[strcspn(ret_line, "\n")] = '\0';
	fclose(file);
}

/* sysfs tells everyone. */
static void name_of(const char *path, char *ret_name, int size)
{
	cleanup_free char *real = realpath(path, NULL);
	const char *node = real ? strrchr(real, '/') : NULL;
	char file[PATH_MAX];

	ret_name[0] = '\0';
	if (!node)
		return;
	snprintf(file, sizeof(file), "/sys/class/input%s/device/name", node);
	read_line(file, ret_name, size);
}

static void explain_permission(const char *path, int r)
{
	char name[VHU_INPUT_TEXT_MAX + 1], owner[32], own[32];
	const struct group *group;
	struct stat st;

	if (stat(path, &st) < 0) {
		vhu_error("cannot open %s: %s", path, strerror(-r));
		return;
	}
	group = getgrgid(st.st_gid);
	snprintf(owner, sizeof(owner), "%s", group ? group->gr_name : "?");
	group = getgrgid(getegid());
	snprintf(own, sizeof(own), "%s", group ? group->gr_name : "GROUP");
	name_of(path, name, sizeof(name));
	vhu_error("cannot open %s: %s: it belongs to group \"%s\" (mode %03o). Join that group, or "
		  "have udev give away this device alone: SUBSYSTEM==\"input\", "
		  "KERNEL==\"event*\", ATTRS{name}==\"%s\", GROUP=\"%s\", MODE=\"0660\"",
		  path, strerror(-r), owner, st.st_mode & 0777, name, own);
}

void vhu_input_node_explain(const char *path, int r)
{
	switch (-r) {
	case EACCES:
	case EPERM:
		explain_permission(path, r);
		break;
	case ENOENT:
		vhu_error("there is no %s (--list shows the devices, --wait-device waits for one)",
			  path);
		break;
	case ENOTTY:
		vhu_error("%s is not an event device, such as /dev/input/event0 (--list shows "
			  "them)", path);
		break;
	case EOPNOTSUPP:
		vhu_error("cannot open %s: this program was built without libevdev", path);
		break;
	default:
		vhu_error("cannot open %s: %s", path, strerror(-r));
	}
}

static int is_event_node(const struct dirent *entry)
{
	return !strncmp(entry->d_name, "event", 5);
}

void vhu_input_node_each(bool (*fn)(const char *path, void *data), void *data)
{
	struct dirent **entries;
	char path[sizeof(VHU_INPUT_NODES) + 1 + NAME_MAX];
	int n = scandir(VHU_INPUT_NODES, &entries, is_event_node, versionsort);
	bool done = false;

	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", VHU_INPUT_NODES, entries[i]->d_name);
		if (!done)
			done = fn(path, data);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}
