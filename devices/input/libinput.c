/* SPDX-License-Identifier: BSD-3-Clause */
/* All that knows libinput, and libudev, which it needs to be told of devices. */
#include "devices/input/seat_priv.h"

#include <errno.h>
#include <libinput.h>
#include <libudev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/fd.h"
#include "common/base/num.h"

#define XY_UNITS (VHU_INPUT_XY_MAX + 1)
#define POINTERS (1u << VHU_INPUT_MOUSE | 1u << VHU_INPUT_ABSOLUTE)

struct vhu_libinput {
	struct vhu_input_seat *seat;
	struct udev *udev;
	struct libinput *context;
};

static struct vhu_seat_node *node_of(struct libinput_event *event)
{
	return libinput_device_get_user_data(libinput_event_get_device(event));
}

static void write_key(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_keyboard *key = libinput_event_get_keyboard_event(event);

	vhu_input_writer_key(writer, libinput_event_keyboard_get_time_usec(key) * NS_PER_US,
			     libinput_event_keyboard_get_key(key),
			     libinput_event_keyboard_get_key_state(key) ==
				     LIBINPUT_KEY_STATE_PRESSED);
}

static uint64_t pointer_ns(struct libinput_event_pointer *pointer)
{
	return libinput_event_pointer_get_time_usec(pointer) * NS_PER_US;
}

static void write_button(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_pointer *pointer = libinput_event_get_pointer_event(event);

	vhu_input_writer_key(writer, pointer_ns(pointer),
			     libinput_event_pointer_get_button(pointer),
			     libinput_event_pointer_get_button_state(pointer) ==
				     LIBINPUT_BUTTON_STATE_PRESSED);
}

/* The guest accelerates; but the units of a touchpad are its own, and libinput's are a mouse's. */
static void write_motion(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_pointer *pointer = libinput_event_get_pointer_event(event);

	if (node_of(event)->touchpad)
		vhu_input_writer_motion(writer, pointer_ns(pointer),
					libinput_event_pointer_get_dx(pointer),
					libinput_event_pointer_get_dy(pointer));
	else
		vhu_input_writer_motion(writer, pointer_ns(pointer),
					libinput_event_pointer_get_dx_unaccelerated(pointer),
					libinput_event_pointer_get_dy_unaccelerated(pointer));
}

static int32_t bounded(double value, int32_t min, int32_t max)
{
	return !(value > min) ? min : value < max ? (int32_t)value : max;
}

static int32_t xy(double value)
{
	return bounded(value, 0, VHU_INPUT_XY_MAX);
}

static void write_absolute(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_pointer *p = libinput_event_get_pointer_event(event);

	vhu_input_writer_put(writer, pointer_ns(p), EV_ABS, ABS_X,
			     xy(libinput_event_pointer_get_absolute_x_transformed(p, XY_UNITS)));
	vhu_input_writer_put(writer, pointer_ns(p), EV_ABS, ABS_Y,
			     xy(libinput_event_pointer_get_absolute_y_transformed(p, XY_UNITS)));
}

static const struct {
	enum libinput_pointer_axis axis;
	uint16_t code;
	int sign; /* libinput counts down as positive, evdev up */
} wheels[] = {
	{ LIBINPUT_POINTER_AXIS_SCROLL_VERTICAL, REL_WHEEL, -1 },
	{ LIBINPUT_POINTER_AXIS_SCROLL_HORIZONTAL, REL_HWHEEL, 1 },
};

static void write_wheel(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_pointer *p = libinput_event_get_pointer_event(event);

	for (size_t i = 0; i < ARRAY_SIZE(wheels); i++)
		if (libinput_event_pointer_has_axis(p, wheels[i].axis))
			vhu_input_writer_wheel(
				writer, pointer_ns(p), wheels[i].code,
				wheels[i].sign * libinput_event_pointer_get_scroll_value_v120(
							 p, wheels[i].axis));
}

/* What a finger scrolls is told in the degrees of a wheel: 15 are a click. */
static void write_scroll(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_pointer *p = libinput_event_get_pointer_event(event);

	for (size_t i = 0; i < ARRAY_SIZE(wheels); i++)
		if (libinput_event_pointer_has_axis(p, wheels[i].axis))
			vhu_input_writer_wheel(
				writer, pointer_ns(p), wheels[i].code,
				wheels[i].sign * 120 / 15.0 *
					libinput_event_pointer_get_scroll_value(p, wheels[i].axis));
}

static uint64_t touch_ns(struct libinput_event_touch *touch)
{
	return libinput_event_touch_get_time_usec(touch) * NS_PER_US;
}

static void write_contact(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_touch *t = libinput_event_get_touch_event(event);

	vhu_input_writer_contact(writer, touch_ns(t),
				 (unsigned)libinput_event_touch_get_seat_slot(t),
				 xy(libinput_event_touch_get_x_transformed(t, XY_UNITS)),
				 xy(libinput_event_touch_get_y_transformed(t, XY_UNITS)));
}

static void write_contact_end(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_touch *t = libinput_event_get_touch_event(event);

	vhu_input_writer_contact_end(writer, touch_ns(t),
				     (unsigned)libinput_event_touch_get_seat_slot(t));
}

static void write_frame(struct vhu_input_writer *writer, struct libinput_event *event)
{
	vhu_input_writer_frame(writer, touch_ns(libinput_event_get_touch_event(event)));
}

/* --- tablets --------------------------------------------------------------------------------- */

static const uint16_t tool_codes[] = {
	[LIBINPUT_TABLET_TOOL_TYPE_PEN] = BTN_TOOL_PEN,
	[LIBINPUT_TABLET_TOOL_TYPE_ERASER] = BTN_TOOL_RUBBER,
	[LIBINPUT_TABLET_TOOL_TYPE_BRUSH] = BTN_TOOL_BRUSH,
	[LIBINPUT_TABLET_TOOL_TYPE_PENCIL] = BTN_TOOL_PENCIL,
	[LIBINPUT_TABLET_TOOL_TYPE_AIRBRUSH] = BTN_TOOL_AIRBRUSH,
	[LIBINPUT_TABLET_TOOL_TYPE_MOUSE] = BTN_TOOL_MOUSE,
	[LIBINPUT_TABLET_TOOL_TYPE_LENS] = BTN_TOOL_LENS,
};

static double tool_x(struct libinput_event_tablet_tool *tool)
{
	return libinput_event_tablet_tool_get_x_transformed(tool, XY_UNITS);
}

static double tool_y(struct libinput_event_tablet_tool *tool)
{
	return libinput_event_tablet_tool_get_y_transformed(tool, XY_UNITS);
}

/* Of a turn. Axes begin at another quarter than the north of libinput. */
static double turned(double degrees, double begin)
{
	double turn = (degrees - begin) / 360;

	return turn < 0 ? turn + 1 : turn < 1 ? turn : turn - 1;
}

/* Begins in the east. */
static double tool_rotation(struct libinput_event_tablet_tool *tool)
{
	return turned(libinput_event_tablet_tool_get_rotation(tool), 90);
}

static double tool_slider(struct libinput_event_tablet_tool *tool)
{
	return (libinput_event_tablet_tool_get_slider_position(tool) + 1) / 2;
}

#define TOOL(axis) libinput_event_tablet_tool_get_##axis
#define CHANGED(axis) libinput_event_tablet_tool_##axis##_has_changed

static const struct tool_axis {
	uint16_t code;
	int (*changed)(struct libinput_event_tablet_tool *tool);
	double (*get)(struct libinput_event_tablet_tool *tool);
	double scale, offset;
	int32_t min, max;
} tool_axes[] = {
	{ ABS_X, CHANGED(x), tool_x, 1, 0, 0, VHU_INPUT_XY_MAX },
	{ ABS_Y, CHANGED(y), tool_y, 1, 0, 0, VHU_INPUT_XY_MAX },
	{ ABS_PRESSURE, CHANGED(pressure), TOOL(pressure), VHU_INPUT_PRESSURE_MAX, 0, 0,
	  VHU_INPUT_PRESSURE_MAX },
	{ ABS_DISTANCE, CHANGED(distance), TOOL(distance), VHU_INPUT_DISTANCE_MAX, 0, 0,
	  VHU_INPUT_DISTANCE_MAX },
	{ ABS_TILT_X, CHANGED(tilt_x), TOOL(tilt_x), 1, 0, -VHU_INPUT_TILT_MAX,
	  VHU_INPUT_TILT_MAX },
	{ ABS_TILT_Y, CHANGED(tilt_y), TOOL(tilt_y), 1, 0, -VHU_INPUT_TILT_MAX,
	  VHU_INPUT_TILT_MAX },
	{ ABS_Z, CHANGED(rotation), tool_rotation,
	  VHU_INPUT_ROTATION_MAX + 1 - VHU_INPUT_ROTATION_MIN, VHU_INPUT_ROTATION_MIN,
	  VHU_INPUT_ROTATION_MIN, VHU_INPUT_ROTATION_MAX },
	{ ABS_WHEEL, CHANGED(slider), tool_slider, VHU_INPUT_WHEEL_MAX, 0, 0,
	  VHU_INPUT_WHEEL_MAX },
};

static uint64_t tool_ns(struct libinput_event_tablet_tool *tool)
{
	return libinput_event_tablet_tool_get_time_usec(tool) * NS_PER_US;
}

static void write_tool_axes(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_tablet_tool *tool = libinput_event_get_tablet_tool_event(event);

	for (size_t i = 0; i < ARRAY_SIZE(tool_axes); i++) {
		const struct tool_axis *axis = &tool_axes[i];

		if (axis->changed(tool))
			vhu_input_writer_put(writer, tool_ns(tool), EV_ABS, axis->code,
					     bounded(axis->get(tool) * axis->scale + axis->offset,
						     axis->min, axis->max));
	}
	/* As of a mouse: libinput counts down as positive. */
	if (libinput_event_tablet_tool_wheel_has_changed(tool))
		vhu_input_writer_put(writer, tool_ns(tool), EV_REL, REL_WHEEL,
				     -libinput_event_tablet_tool_get_wheel_delta_discrete(tool));
}

static void write_proximity(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_tablet_tool *tool = libinput_event_get_tablet_tool_event(event);
	unsigned type =
		libinput_tablet_tool_get_type(libinput_event_tablet_tool_get_tool(tool));
	bool in = libinput_event_tablet_tool_get_proximity_state(tool) ==
		  LIBINPUT_TABLET_TOOL_PROXIMITY_STATE_IN;

	if (in)
		write_tool_axes(writer, event);
	if (type < ARRAY_SIZE(tool_codes) && tool_codes[type])
		vhu_input_writer_key(writer, tool_ns(tool), tool_codes[type], in);
}

static void write_tip(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_tablet_tool *tool = libinput_event_get_tablet_tool_event(event);

	write_tool_axes(writer, event);
	vhu_input_writer_key(writer, tool_ns(tool), BTN_TOUCH,
			     libinput_event_tablet_tool_get_tip_state(tool) ==
				     LIBINPUT_TABLET_TOOL_TIP_DOWN);
}

static void write_tool_button(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_tablet_tool *tool = libinput_event_get_tablet_tool_event(event);

	vhu_input_writer_key(writer, tool_ns(tool), libinput_event_tablet_tool_get_button(tool),
			     libinput_event_tablet_tool_get_button_state(tool) ==
				     LIBINPUT_BUTTON_STATE_PRESSED);
}

static uint64_t pad_ns(struct libinput_event_tablet_pad *pad)
{
	return libinput_event_tablet_pad_get_time_usec(pad) * NS_PER_US;
}

static void write_pad_button(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_tablet_pad *pad = libinput_event_get_tablet_pad_event(event);
	unsigned number = libinput_event_tablet_pad_get_button_number(pad);

	if (number < VHU_INPUT_PAD_BUTTONS)
		vhu_input_writer_key(writer, pad_ns(pad), vhu_input_pad_button(number),
				     libinput_event_tablet_pad_get_button_state(pad) ==
					     LIBINPUT_BUTTON_STATE_PRESSED);
}

/* A finger that leaves is told by ABS_MISC, which is 15 before (Linux, wacom). */
static void write_pad_axis(struct vhu_input_writer *writer, uint64_t time_ns, uint16_t code,
			   bool touched, int32_t value)
{
	vhu_input_writer_put(writer, time_ns, EV_ABS, code, touched ? value : 0);
	vhu_input_writer_put(writer, time_ns, EV_ABS, ABS_MISC, touched ? 15 : 0);
}

/* Begins in the west. */
static void write_ring(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_tablet_pad *pad = libinput_event_get_tablet_pad_event(event);
	double degrees = libinput_event_tablet_pad_get_ring_position(pad);

	if (libinput_event_tablet_pad_get_ring_number(pad) == 0)
		write_pad_axis(writer, pad_ns(pad), ABS_WHEEL, degrees >= 0,
			       bounded(turned(degrees, -90) * (VHU_INPUT_WHEEL_MAX + 1), 0,
				       VHU_INPUT_WHEEL_MAX));
}

static void write_strip(struct vhu_input_writer *writer, struct libinput_event *event)
{
	struct libinput_event_tablet_pad *pad = libinput_event_get_tablet_pad_event(event);
	unsigned number = libinput_event_tablet_pad_get_strip_number(pad);
	double position = libinput_event_tablet_pad_get_strip_position(pad);

	if (number < 2)
		write_pad_axis(writer, pad_ns(pad), (uint16_t)(ABS_RX + number), position >= 0,
			       1 << bounded(position * VHU_INPUT_STRIP_BITS + 0.5, 0,
					    VHU_INPUT_STRIP_BITS));
}

/* --- devices --------------------------------------------------------------------------------- */

static const struct {
	enum libinput_switch number;
	unsigned code;
} switches[] = {
	{ LIBINPUT_SWITCH_LID, SW_LID },
	{ LIBINPUT_SWITCH_TABLET_MODE, SW_TABLET_MODE },
};

static void tell_switch(struct vhu_input_seat *seat, struct libinput_event *event)
{
	struct libinput_event_switch *sw = libinput_event_get_switch_event(event);

	for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
		if (libinput_event_switch_get_switch(sw) == switches[i].number)
			vhu_seat_switch(seat, libinput_event_switch_get_time_usec(sw) * NS_PER_US,
					switches[i].code - SW_LID,
					libinput_event_switch_get_switch_state(sw) ==
						LIBINPUT_SWITCH_STATE_ON);
}

static void device_added(struct vhu_input_seat *seat, struct libinput_event *event)
{
	struct libinput_device *device = libinput_event_get_device(event);
	struct vhu_seat_node *node = vhu_seat_add(seat, libinput_device_get_sysname(device));

	libinput_device_set_user_data(device, node);
	if (!node)
		return;
	node->touchpad = libinput_device_config_tap_get_finger_count(device) > 0;
	libinput_device_config_accel_set_profile(device, LIBINPUT_CONFIG_ACCEL_PROFILE_FLAT);
}

/* libinput has released its keys and contacts by now; its switches are for us. */
static void device_removed(struct vhu_input_seat *seat, struct libinput_event *event)
{
	struct libinput_device *device = libinput_event_get_device(event);
	struct vhu_seat_node *node = node_of(event);

	for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
		if (libinput_device_has_capability(device, LIBINPUT_DEVICE_CAP_SWITCH) &&
		    libinput_device_switch_has_switch(device, switches[i].number) > 0)
			vhu_seat_switch(seat, vhu_now_ns(), switches[i].code - SW_LID, false);
	libinput_device_set_user_data(device, NULL);
	if (node)
		vhu_seat_remove(seat, node);
}

static const struct {
	enum libinput_event_type type;
	void (*tell)(struct vhu_input_seat *seat, struct libinput_event *event);
} news[] = {
	{ LIBINPUT_EVENT_DEVICE_ADDED, device_added },
	{ LIBINPUT_EVENT_DEVICE_REMOVED, device_removed },
	{ LIBINPUT_EVENT_SWITCH_TOGGLE, tell_switch },
};

/* Gestures have no codes, and POINTER_AXIS says again what the scroll events do. */
static const struct row {
	enum libinput_event_type type;
	unsigned kinds; /* of pointers: that of the device */
	void (*write)(struct vhu_input_writer *writer, struct libinput_event *event);
} rows[] = {
	{ LIBINPUT_EVENT_KEYBOARD_KEY, 1u << VHU_INPUT_KEYBOARD, write_key },
	{ LIBINPUT_EVENT_POINTER_MOTION, POINTERS, write_motion },
	{ LIBINPUT_EVENT_POINTER_MOTION_ABSOLUTE, POINTERS, write_absolute },
	{ LIBINPUT_EVENT_POINTER_BUTTON, POINTERS, write_button },
	{ LIBINPUT_EVENT_POINTER_SCROLL_WHEEL, POINTERS, write_wheel },
	{ LIBINPUT_EVENT_POINTER_SCROLL_FINGER, POINTERS, write_scroll },
	{ LIBINPUT_EVENT_POINTER_SCROLL_CONTINUOUS, POINTERS, write_scroll },
	{ LIBINPUT_EVENT_TOUCH_DOWN, 1u << VHU_INPUT_TOUCH, write_contact },
	{ LIBINPUT_EVENT_TOUCH_MOTION, 1u << VHU_INPUT_TOUCH, write_contact },
	{ LIBINPUT_EVENT_TOUCH_UP, 1u << VHU_INPUT_TOUCH, write_contact_end },
	{ LIBINPUT_EVENT_TOUCH_CANCEL, 1u << VHU_INPUT_TOUCH, write_contact_end },
	{ LIBINPUT_EVENT_TOUCH_FRAME, 1u << VHU_INPUT_TOUCH, write_frame },
	{ LIBINPUT_EVENT_TABLET_TOOL_AXIS, 1u << VHU_INPUT_TABLET, write_tool_axes },
	{ LIBINPUT_EVENT_TABLET_TOOL_PROXIMITY, 1u << VHU_INPUT_TABLET, write_proximity },
	{ LIBINPUT_EVENT_TABLET_TOOL_TIP, 1u << VHU_INPUT_TABLET, write_tip },
	{ LIBINPUT_EVENT_TABLET_TOOL_BUTTON, 1u << VHU_INPUT_TABLET, write_tool_button },
	{ LIBINPUT_EVENT_TABLET_PAD_BUTTON, 1u << VHU_INPUT_PAD, write_pad_button },
	{ LIBINPUT_EVENT_TABLET_PAD_RING, 1u << VHU_INPUT_PAD, write_ring },
	{ LIBINPUT_EVENT_TABLET_PAD_STRIP, 1u << VHU_INPUT_PAD, write_strip },
};

static void write_row(struct vhu_input_seat *seat, const struct row *row,
		      struct libinput_event *event)
{
	unsigned kinds = row->kinds & (row->kinds == POINTERS ? node_of(event)->kinds : ~0u);
	struct vhu_input_member *member;

	LIST_FOREACH(member, &seat->members, link)
		if (member->kinds & kinds)
			row->write(&member->writer, event);
}

static void take_event(struct vhu_input_seat *seat, struct libinput_event *event)
{
	enum libinput_event_type type = libinput_event_get_type(event);

	for (size_t i = 0; i < ARRAY_SIZE(news); i++)
		if (news[i].type == type)
			news[i].tell(seat, event);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].type == type && node_of(event))
			write_row(seat, &rows[i], event);
}

int vhu_libinput_dispatch(struct vhu_libinput *libinput)
{
	struct vhu_input_seat *seat = libinput->seat;
	struct vhu_input_member *member;
	struct libinput_event *event;
	int r = libinput_dispatch(libinput->context);

	pthread_mutex_lock(&seat->mutex);
	while ((event = libinput_get_event(libinput->context))) {
		take_event(seat, event);
		libinput_event_destroy(event);
	}
	LIST_FOREACH(member, &seat->members, link)
		vhu_input_writer_flush(&member->writer);
	pthread_mutex_unlock(&seat->mutex);
	return r;
}

/* --- the context ----------------------------------------------------------------------------- */

static int open_restricted(const char *path, int flags, void *data)
{
	(void)flags; /* a node is opened for both, if that is allowed */
	return vhu_seat_open(data, path);
}

static void close_restricted(int fd, void *data)
{
	vhu_seat_close(data, fd);
}

static const struct libinput_interface interface = {
	.open_restricted = open_restricted,
	.close_restricted = close_restricted,
};

static void log_libinput(struct libinput *context, enum libinput_log_priority priority,
			 const char *format, va_list args) __attribute__((format(printf, 3, 0)));

/* It complains of devices, of hosts that are slow, and of nodes that are not opened. */
static void log_libinput(struct libinput *context, enum libinput_log_priority priority,
			 const char *format, va_list args)
{
	const struct vhu_input_seat *seat = libinput_get_user_data(context);
	char text[200];

	(void)priority;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	vhu_debug("%s: libinput: %s", seat->key, text);
}

void vhu_libinput_free(struct vhu_libinput *libinput)
{
	if (!libinput)
		return;
	if (libinput->context)
		libinput_unref(libinput->context);
	if (libinput->udev)
		udev_unref(libinput->udev);
	free(libinput);
}

int vhu_libinput_new(struct vhu_input_seat *seat, const char *name,
		     struct vhu_libinput **ret_libinput)
{
	struct vhu_libinput *libinput = calloc(1, sizeof(*libinput));

	if (!libinput)
		return -ENOMEM;
	libinput->seat = seat;
	libinput->udev = udev_new();
	if (libinput->udev)
		libinput->context = libinput_udev_create_context(&interface, seat, libinput->udev);
	if (!libinput->context) {
		vhu_libinput_free(libinput);
		return -ENOMEM;
	}
	libinput_log_set_handler(libinput->context, log_libinput);
	if (libinput_udev_assign_seat(libinput->context, name) < 0) {
		vhu_libinput_free(libinput);
		return -EIO;
	}
	*ret_libinput = libinput;
	return 0;
}

int vhu_libinput_fd(const struct vhu_libinput *libinput)
{
	return libinput_get_fd(libinput->context);
}

int vhu_libinput_seat_of(const char *path, char ret_name[VHU_INPUT_TEXT_MAX])
{
	struct udev *udev = udev_new();
	struct udev_device *device = NULL;
	const char *name;
	struct stat st;
	int r = -ENODATA;

	if (udev && stat(path, &st) == 0)
		device = udev_device_new_from_devnum(udev, 'c', st.st_rdev);
	if (device && udev_device_get_is_initialized(device) &&
	    udev_device_get_property_value(device, "ID_INPUT")) {
		name = udev_device_get_property_value(device, "ID_SEAT");
		snprintf(ret_name, VHU_INPUT_TEXT_MAX, "%s", name ? name : "seat0");
		r = 0;
	}
	if (device)
		udev_device_unref(device);
	if (udev)
		udev_unref(udev);
	return r;
}
