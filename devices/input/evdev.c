/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/evdev.h"

#include <errno.h>
#include <libevdev/libevdev.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"

struct vhu_evdev {
	struct libevdev *dev;
	int fd;
	bool syncing; /* libevdev tells what the kernel dropped */
	bool grabbed;
	struct vhu_log_limit log_limit;
	/* As they were before. */
	uint8_t leds[(LED_CNT + 7) / 8], sounds[(SND_CNT + 7) / 8];
	unsigned repeat[REP_CNT];
};

static void log_libevdev(const struct libevdev *dev, enum libevdev_log_priority priority,
			 void *data, const char *file, int line, const char *func,
			 const char *format, va_list args) __attribute__((format(printf, 7, 0)));

/* It complains of kernels and devices on standard error, as often as it likes. */
static void log_libevdev(const struct libevdev *dev, enum libevdev_log_priority priority,
			 void *data, const char *file, int line, const char *func,
			 const char *format, va_list args)
{
	char text[160];

	(void)priority;
	(void)data;
	(void)file;
	(void)line;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	vhu_debug("%s: %s: %s", libevdev_get_name(dev), func, text);
}

int vhu_evdev_new(int fd, struct vhu_evdev **ret_evdev)
{
	struct vhu_evdev *evdev = calloc(1, sizeof(*evdev));
	int r = -ENOMEM;

	if (evdev)
		evdev->dev = libevdev_new();
	if (!evdev || !evdev->dev)
		goto fail;
	evdev->fd = fd;
	libevdev_set_device_log_function(evdev->dev, log_libevdev, LIBEVDEV_LOG_ERROR, NULL);
	r = libevdev_set_fd(evdev->dev, fd);
	/* mice and js nodes say so in their own way. */
	if (r == -EINVAL)
		r = -ENOTTY;
	if (r == 0)
		r = libevdev_set_clock_id(evdev->dev, CLOCK_MONOTONIC);
	if (r < 0)
		goto fail;
	*ret_evdev = evdev;
	return 0;
fail:
	if (evdev)
		libevdev_free(evdev->dev);
	free(evdev);
	return r;
}

void vhu_evdev_free(struct vhu_evdev *evdev)
{
	if (!evdev)
		return;
	if (evdev->grabbed)
		vhu_evdev_grab(evdev, false);
	libevdev_free(evdev->dev);
	close(evdev->fd);
	free(evdev);
}

int vhu_evdev_fd(const struct vhu_evdev *evdev)
{
	return evdev->fd;
}

static void copy_text(char text[VHU_INPUT_TEXT_MAX + 1], const char *from)
{
	snprintf(text, VHU_INPUT_TEXT_MAX + 1, "%s", from ? from : "");
}

void vhu_evdev_ident(const struct vhu_evdev *evdev, struct vhu_input_ident *ret_ident)
{
	struct libevdev *dev = evdev->dev;

	memset(ret_ident, 0, sizeof(*ret_ident));
	copy_text(ret_ident->name, libevdev_get_name(dev));
	copy_text(ret_ident->serial, libevdev_get_uniq(dev));
	ret_ident->ids = (struct input_id){
		.bustype = (uint16_t)libevdev_get_id_bustype(dev),
		.vendor = (uint16_t)libevdev_get_id_vendor(dev),
		.product = (uint16_t)libevdev_get_id_product(dev),
		.version = (uint16_t)libevdev_get_id_version(dev),
	};
	for (unsigned i = 0; i < INPUT_PROP_CNT; i++)
		if (libevdev_has_property(dev, i))
			ret_ident->props[i / 8] |= (uint8_t)(1u << i % 8);
	for (unsigned type = EV_KEY; type < EV_CNT; type++)
		for (int code = 0; code <= libevdev_event_type_get_max(type); code++)
			if (libevdev_has_event_code(dev, type, (unsigned)code))
				vhu_input_ident_add(ret_ident, type, (unsigned)code);
	if (!libevdev_has_event_code(dev, EV_ABS, ABS_MT_SLOT))
		for (unsigned i = 0; i < VHU_INPUT_MT_CODES; i++)
			vhu_input_ident_remove(ret_ident, EV_ABS, VHU_INPUT_MT_FIRST + i);
	for (unsigned code = 0; code < ABS_CNT; code++)
		if (libevdev_has_event_code(dev, EV_ABS, code))
			ret_ident->abs[code] = *libevdev_get_abs_info(dev, code);
}

static void apply(struct vhu_input_state *state, unsigned type, unsigned code, int32_t value)
{
	const struct vhu_input_event event = { (uint16_t)type, (uint16_t)code, value };

	vhu_input_state_apply(state, &event);
}

static void apply_contact(const struct vhu_evdev *evdev, unsigned slot,
			  struct vhu_input_state *state)
{
	apply(state, EV_ABS, ABS_MT_SLOT, (int32_t)slot);
	for (unsigned i = 0; i < VHU_INPUT_MT_CODES; i++) {
		unsigned code = VHU_INPUT_MT_FIRST + i;

		if (libevdev_has_event_code(evdev->dev, EV_ABS, code))
			apply(state, EV_ABS, code,
			      libevdev_get_slot_value(evdev->dev, slot, code));
	}
}

static void apply_codes(const struct vhu_evdev *evdev, unsigned type, unsigned n,
			struct vhu_input_state *state)
{
	for (unsigned code = 0; code < n; code++)
		if (libevdev_has_event_code(evdev->dev, type, code))
			apply(state, type, code, libevdev_get_event_value(evdev->dev, type, code));
}

void vhu_evdev_state(const struct vhu_evdev *evdev, struct vhu_input_state *ret_state)
{
	int n_slots = libevdev_get_num_slots(evdev->dev);

	vhu_input_state_init(ret_state);
	apply_codes(evdev, EV_KEY, KEY_CNT, ret_state);
	apply_codes(evdev, EV_SW, SW_CNT, ret_state);
	apply_codes(evdev, EV_ABS, ABS_MT_SLOT, ret_state);
	if (n_slots > VHU_INPUT_SLOTS_MAX)
		n_slots = VHU_INPUT_SLOTS_MAX;
	for (int slot = 0; slot < n_slots; slot++)
		apply_contact(evdev, (unsigned)slot, ret_state);
	if (n_slots > 0)
		apply(ret_state, EV_ABS, ABS_MT_SLOT, libevdev_get_current_slot(evdev->dev));
}

int vhu_evdev_next(struct vhu_evdev *evdev, struct vhu_input_event *ret_event,
		   uint64_t *ret_time_ns)
{
	struct input_event event = { .type = EV_SYN, .code = SYN_REPORT };
	int r;

	do {
		r = libevdev_next_event(evdev->dev,
					evdev->syncing ? LIBEVDEV_READ_FLAG_SYNC :
							 LIBEVDEV_READ_FLAG_NORMAL,
					&event);
		if (r == LIBEVDEV_READ_STATUS_SYNC && !evdev->syncing) {
			vhu_log_limited(&evdev->log_limit, VHU_LOG_INFO,
					"%s: the kernel had no room for some events, and dropped "
					"them; what is pressed is made good",
					libevdev_get_name(evdev->dev));
			evdev->syncing = true;
			r = -EINTR;
		}
	} while (r == -EINTR);
	if (r == -EAGAIN && evdev->syncing) {
		/* What came before the gap may be all there is of a packet. */
		event = (struct input_event){ .type = EV_SYN, .code = SYN_REPORT };
		evdev->syncing = false;
		r = 0;
	}
	if (r < 0)
		return r;
	*ret_event = (struct vhu_input_event){ event.type, event.code, event.value };
	*ret_time_ns = (uint64_t)event.input_event_sec * NS_PER_SEC +
		       (uint64_t)event.input_event_usec * NS_PER_US;
	return 0;
}

void vhu_evdev_write(struct vhu_evdev *evdev, unsigned type, unsigned code, int32_t value)
{
	const struct input_event events[] = {
		{ .type = (uint16_t)type, .code = (uint16_t)code, .value = value },
		{ .type = EV_SYN, .code = SYN_REPORT },
	};

	if (!libevdev_has_event_code(evdev->dev, type, code))
		return;
	if (write(evdev->fd, events, sizeof(events)) < 0)
		vhu_debug("%s: cannot write an event: %s", libevdev_get_name(evdev->dev),
			  strerror(errno));
}

static void save_outputs(struct vhu_evdev *evdev)
{
	memset(evdev->leds, 0, sizeof(evdev->leds));
	memset(evdev->sounds, 0, sizeof(evdev->sounds));
	memset(evdev->repeat, 0, sizeof(evdev->repeat));
	ioctl(evdev->fd, EVIOCGLED(sizeof(evdev->leds)), evdev->leds);
	ioctl(evdev->fd, EVIOCGSND(sizeof(evdev->sounds)), evdev->sounds);
	ioctl(evdev->fd, EVIOCGREP, evdev->repeat);
}

static void restore_outputs(struct vhu_evdev *evdev)
{
	for (unsigned i = 0; i < LED_CNT; i++)
		vhu_evdev_write(evdev, EV_LED, i, evdev->leds[i / 8] >> i % 8 & 1);
	for (unsigned i = 0; i < SND_CNT; i++)
		vhu_evdev_write(evdev, EV_SND, i, evdev->sounds[i / 8] >> i % 8 & 1);
	for (unsigned i = 0; i < REP_CNT; i++)
		vhu_evdev_write(evdev, EV_REP, i, (int32_t)evdev->repeat[i]);
}

int vhu_evdev_grab(struct vhu_evdev *evdev, bool on)
{
	int r;

	if (on == evdev->grabbed)
		return 0;
	if (!on)
		restore_outputs(evdev);
	r = libevdev_grab(evdev->dev, on ? LIBEVDEV_GRAB : LIBEVDEV_UNGRAB);
	if (r < 0)
		return r;
	evdev->grabbed = on;
	if (on)
		save_outputs(evdev);
	return 0;
}
