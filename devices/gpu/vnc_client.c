/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread has the mutex whenever it is not asleep, while it waits for its peer, too. It stays
 * when its client goes, and serves the next one: libvncserver's encoders keep memory a thread.
 */
#include "devices/gpu/vnc_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rfb/rfb.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"

/* Until the guest shows something. */
#define BLANK_WIDTH 640
#define BLANK_HEIGHT 480
/*
 * How long libvncserver may look for a WebSocket: 100 ms, but it spins for ever over less than four
 * bytes.
 */
#define ADMISSION_NS NS_PER_SEC
/* For the greeting and the password. */
#define GREETING_NS (10 * NS_PER_SEC)
/* After a wrong password. */
#define PENALTY_NS NS_PER_SEC
#define PENALTY_STEP_NS (50 * NS_PER_MS)
/* What ends a wait of libvncserver for a Unix socket: a shutdown does not end select(). */
#define INTERRUPT SIGRTMIN
#define INTERRUPT_NS NS_PER_MS
/* Of ExtendedDesktopSize: "Request forwarded". libvncserver leaks some bytes at each success. */
#define SIZE_PASSED_ON 4

struct vhu_gpu_vnc_client {
	const struct vhu_gpu_vnc_config *config;
	unsigned number;
	pthread_t thread;
	bool has_thread;
	int wake_fd; /* eventfd: something is new for the thread */
	atomic_bool ending, ended;
	atomic_bool awaited; /* who failed to take it wants to hear when it is idle */
	_Atomic uint64_t admitted_ns; /* since when it is being let in; 0: it is not */

	pthread_mutex_t mutex;
	int new_fd;    /* whom the thread has not seen yet; -1 */
	int socket_fd; /* of who is there, to watch it and to end it; not the thread's to close */
	bool serving;
	rfbScreenInfoPtr screen;
	uint32_t *pixels;
	uint32_t width, height;
	uint64_t greeting_end_ns;
	struct vhu_log_limit log_limit;
};

static void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void log_debug(const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	line[strcspn(line, "\n")] = '\0';
	vhu_debug("VNC: %s", line);
}

static void say(struct vhu_gpu_vnc_client *client, struct vhu_gpu_vnc_event event)
{
	event.client = client->number;
	/* It fails when nobody listens any more, at the end. */
	while (write(client->config->events_fd, &event, sizeof(event)) < 0 && errno == EINTR)
		;
}

/* --- libvncserver's calls, on the client's thread -------------------------------------------- */

static void on_key(rfbBool down, rfbKeySym keysym, rfbClientPtr rfb)
{
	say(rfb->screen->screenData, (struct vhu_gpu_vnc_event){
		.type = VHU_GPU_VNC_KEY,
		.keysym = keysym,
		.down = down,
	});
}

static void on_pointer(int buttons, int x, int y, rfbClientPtr rfb)
{
	struct vhu_gpu_vnc_client *client = rfb->screen->screenData;

	say(client, (struct vhu_gpu_vnc_event){
		.type = VHU_GPU_VNC_POINTER,
		.buttons = (uint8_t)buttons,
		.x = (uint32_t)x,
		.y = (uint32_t)y,
		.width = client->width,
		.height = client->height,
	});
}

/* Passed on to the guest, which may take that size. */
static int on_size(int width, int height, int n_screens, struct rfbExtDesktopScreen *screens,
		   rfbClientPtr rfb)
{
	struct vhu_gpu_vnc_client *client = rfb->screen->screenData;

	(void)screens;
	if (!client->config->may_resize)
		return rfbExtDesktopSize_ResizeProhibited;
	if (n_screens != 1 || width < VHU_GPU_OUTPUT_SIDE_MIN || width > VHU_GPU_SIDE_MAX ||
	    height < VHU_GPU_OUTPUT_SIDE_MIN || height > VHU_GPU_SIDE_MAX)
		return rfbExtDesktopSize_InvalidScreenLayout;
	say(client, (struct vhu_gpu_vnc_event){
		.type = VHU_GPU_VNC_SIZE,
		.width = (uint32_t)width,
		.height = (uint32_t)height,
	});
	return SIZE_PASSED_ON;
}

static void do_penance(struct vhu_gpu_vnc_client *client)
{
	const struct timespec step = { .tv_nsec = PENALTY_STEP_NS };

	for (uint64_t ns = 0; ns < PENALTY_NS && !client->ending; ns += PENALTY_STEP_NS)
		nanosleep(&step, NULL);
}

static rfbBool check_password(rfbClientPtr rfb, const char *response, int len)
{
	struct vhu_gpu_vnc_client *client = rfb->screen->screenData;
	unsigned char expected[CHALLENGESIZE];
	char password[sizeof(client->config->password)];

	memcpy(password, client->config->password, sizeof(password));
	memcpy(expected, rfb->authChallenge, sizeof(expected));
	rfbEncryptBytes(expected, password);
	if (len == CHALLENGESIZE && memcmp(expected, response, CHALLENGESIZE) == 0)
		return TRUE;
	vhu_log_limited(&client->log_limit, VHU_LOG_WARNING,
			"VNC: a viewer of %s has a wrong password", client->screen->desktopName);
	do_penance(client);
	return FALSE;
}

/* --- the thread ------------------------------------------------------------------------------ */

/* The mutex is held, here and below. */
static void greet(struct vhu_gpu_vnc_client *client)
{
	client->greeting_end_ns = vhu_now_ns() + GREETING_NS;
	/* Takes the fd, and says itself why it failed. */
	client->admitted_ns = vhu_now_ns();
	rfbNewClient(client->screen, steal_fd(&client->new_fd));
	client->admitted_ns = 0;
}

static bool is_late(const struct vhu_gpu_vnc_client *client)
{
	const struct _rfbClientRec *rfb = client->screen->clientHead;

	return rfb && rfb->state != RFB_NORMAL && vhu_now_ns() >= client->greeting_end_ns;
}

static void serve(struct vhu_gpu_vnc_client *client)
{
	if (client->new_fd >= 0)
		greet(client);
	if (!client->serving)
		return;
	if (is_late(client))
		rfbCloseClient(client->screen->clientHead);
	rfbProcessEvents(client->screen, 0);
	if (client->screen->clientHead)
		return;
	client->serving = false;
	say(client, (struct vhu_gpu_vnc_event){ .type = VHU_GPU_VNC_GONE });
}

static bool is_greeting(const struct vhu_gpu_vnc_client *client)
{
	return client->serving && client->screen->clientHead->state != RFB_NORMAL;
}

/* For the peer, for who wakes us, and for the end of the greeting. */
static void sleep_a_while(struct vhu_gpu_vnc_client *client, int socket_fd, bool greeting)
{
	struct pollfd fds[] = { { client->wake_fd, POLLIN, 0 }, { socket_fd, POLLIN, 0 } };

	poll(fds, 2, greeting ? 1000 : -1);
	if (fds[0].revents)
		vhu_fd_drain(client->wake_fd);
}

static void *client_thread(void *data)
{
	struct vhu_gpu_vnc_client *client = data;
	sigset_t interrupt;

	sigemptyset(&interrupt);
	sigaddset(&interrupt, INTERRUPT);
	pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
	pthread_setname_np(pthread_self(), "vhu-gpu-vnc");

	while (!client->ending) {
		int socket_fd;
		bool greeting;

		pthread_mutex_lock(&client->mutex);
		serve(client);
		socket_fd = client->serving ? client->socket_fd : -1;
		greeting = is_greeting(client);
		pthread_mutex_unlock(&client->mutex);
		if (atomic_exchange(&client->awaited, false))
			say(client, (struct vhu_gpu_vnc_event){ .type = VHU_GPU_VNC_IDLE });
		sleep_a_while(client, socket_fd, greeting);
	}
	/* Here, for what the encoders keep. */
	rfbScreenCleanup(steal_ptr(&client->screen));
	client->ended = true;
	return NULL;
}

/* --- who is there ---------------------------------------------------------------------------- */

static bool set_pixels(struct vhu_gpu_vnc_client *client, uint32_t width, uint32_t height)
{
	uint32_t *pixels = calloc((size_t)width * height, sizeof(*pixels));

	if (!pixels)
		return false;
	rfbNewFramebuffer(client->screen, (char *)pixels, (int)width, (int)height, 8, 3, 4);
	/* As the display's pictures are: x8r8g8b8. */
	client->screen->serverFormat.redShift = 16;
	client->screen->serverFormat.greenShift = 8;
	client->screen->serverFormat.blueShift = 0;
	free(client->pixels);
	client->pixels = pixels;
	client->width = width;
	client->height = height;
	return true;
}

static void on_interrupt(int signo)
{
	(void)signo;
}

static void set_up_screen(struct vhu_gpu_vnc_client *client)
{
	rfbScreenInfoPtr screen = client->screen;

	screen->screenData = client;
	screen->alwaysShared = TRUE;
	screen->deferUpdateTime = 0;
	screen->kbdAddEvent = on_key;
	screen->ptrAddEvent = on_pointer;
	screen->setDesktopSizeHook = on_size;
	screen->passwordCheck = check_password;
	if (client->config->password[0])
		screen->authPasswdData = (void *)client->config;
	rfbSetCursor(screen, NULL);
}

int vhu_gpu_vnc_client_new(const struct vhu_gpu_vnc_config *config, unsigned number,
			   struct vhu_gpu_vnc_client **ret_client)
{
	struct vhu_gpu_vnc_client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	client->config = config;
	client->number = number;
	client->new_fd = client->socket_fd = -1;
	pthread_mutex_init(&client->mutex, NULL);
	rfbLog = rfbErr = log_debug;
	sigaction(INTERRUPT, &(struct sigaction){ .sa_handler = on_interrupt }, NULL);
	client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	client->screen = rfbGetScreen(NULL, NULL, BLANK_WIDTH, BLANK_HEIGHT, 8, 3, 4);
	if (client->wake_fd < 0 || !client->screen ||
	    !set_pixels(client, BLANK_WIDTH, BLANK_HEIGHT)) {
		vhu_gpu_vnc_client_free(client);
		return -ENOMEM;
	}
	set_up_screen(client);
	*ret_client = client;
	return 0;
}

/* Whatever it asks of its peer fails, and there is nothing to be read. */
static void turn_out(struct vhu_gpu_vnc_client *client)
{
	char bytes[64];

	shutdown(client->socket_fd, SHUT_RDWR);
	while (recv(client->socket_fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

bool vhu_gpu_vnc_client_hurry(struct vhu_gpu_vnc_client *client)
{
	uint64_t since_ns = client->admitted_ns;

	if (since_ns && vhu_now_ns() - since_ns >= ADMISSION_NS)
		turn_out(client);
	return since_ns;
}

/* An interruption that comes just before the wait is none. */
static void join(struct vhu_gpu_vnc_client *client)
{
	const struct timespec step = { .tv_nsec = INTERRUPT_NS };

	eventfd_write(client->wake_fd, 1);
	while (!client->ended) {
		if (client->socket_fd >= 0)
			turn_out(client);
		pthread_kill(client->thread, INTERRUPT);
		nanosleep(&step, NULL);
	}
	pthread_join(client->thread, NULL);
}

void vhu_gpu_vnc_client_free(struct vhu_gpu_vnc_client *client)
{
	if (!client)
		return;
	client->ending = true;
	if (client->has_thread)
		join(client);
	if (client->screen)
		rfbScreenCleanup(client->screen);
	close_fd(&client->new_fd);
	close_fd(&client->socket_fd);
	close_fd(&client->wake_fd);
	pthread_mutex_destroy(&client->mutex);
	free(client->pixels);
	free(client);
}

int vhu_gpu_vnc_client_start(struct vhu_gpu_vnc_client *client, int fd, const char *title)
{
	cleanup_fd int peer_fd = fd;
	cleanup_fd int socket_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int r = socket_fd < 0 ? -errno : 0;

	if (r == 0 && !client->has_thread) {
		r = -pthread_create(&client->thread, NULL, client_thread, client);
		client->has_thread = r == 0;
	}
	if (r < 0)
		return r;
	pthread_mutex_lock(&client->mutex);
	client->screen->desktopName = title;
	client->new_fd = steal_fd(&peer_fd);
	client->socket_fd = steal_fd(&socket_fd);
	client->serving = true;
	return 0;
}

void vhu_gpu_vnc_client_end(struct vhu_gpu_vnc_client *client)
{
	close_fd(&client->socket_fd);
}

bool vhu_gpu_vnc_client_take(struct vhu_gpu_vnc_client *client)
{
	/* First, so that it is seen by whoever has the mutex now. */
	client->awaited = true;
	if (pthread_mutex_trylock(&client->mutex) != 0)
		return false;
	client->awaited = false;
	return true;
}

void vhu_gpu_vnc_client_release(struct vhu_gpu_vnc_client *client)
{
	pthread_mutex_unlock(&client->mutex);
	eventfd_write(client->wake_fd, 1);
}

/* --- what it sees ---------------------------------------------------------------------------- */

void vhu_gpu_vnc_client_fit(struct vhu_gpu_vnc_client *client,
			    const struct vhu_gpu_picture *picture)
{
	if (picture->width &&
	    (picture->width != client->width || picture->height != client->height))
		set_pixels(client, picture->width, picture->height);
}

void vhu_gpu_vnc_client_draw(struct vhu_gpu_vnc_client *client,
			     const struct vhu_gpu_picture *picture,
			     const struct vhu_gpu_rect *rect)
{
	size_t at = (size_t)picture->width * rect->y + rect->x;

	if (picture->width != client->width || picture->height != client->height)
		return;
	for (uint32_t y = 0; y < rect->height; y++, at += picture->width)
		memcpy(client->pixels + at, picture->pixels + at, 4 * (size_t)rect->width);
	rfbMarkRectAsModified(client->screen, (int)rect->x, (int)rect->y,
			      (int)(rect->x + rect->width), (int)(rect->y + rect->height));
}

void vhu_gpu_vnc_client_blank(struct vhu_gpu_vnc_client *client)
{
	memset(client->pixels, 0, (size_t)4 * client->width * client->height);
	rfbMarkRectAsModified(client->screen, 0, 0, (int)client->width, (int)client->height);
}

/* RFB knows pixels that are seen and pixels that are not. */
static rfbCursorPtr make_cursor(const struct vhu_gpu_cursor *image)
{
	const unsigned side = VHU_GPU_CURSOR_SIDE_MAX, stride = side / 8;
	rfbCursorPtr cursor = calloc(1, sizeof(*cursor));
	unsigned char *mask = calloc(stride, side);
	unsigned char *rich = malloc(sizeof(image->pixels));

	if (!cursor || !mask || !rich) {
		free(cursor);
		free(mask);
		free(rich);
		return NULL;
	}
	memcpy(rich, image->pixels, sizeof(image->pixels));
	for (unsigned i = 0; i < side * side; i++)
		if (image->pixels[i] >> 31)
			mask[i / 8] |= (unsigned char)(0x80 >> i % 8);
	cursor->cleanup = cursor->cleanupMask = cursor->cleanupRichSource = TRUE;
	cursor->mask = mask;
	cursor->richSource = rich;
	cursor->width = cursor->height = side;
	cursor->xhot = (unsigned short)image->hot_x;
	cursor->yhot = (unsigned short)image->hot_y;
	return cursor;
}

void vhu_gpu_vnc_client_set_cursor(struct vhu_gpu_vnc_client *client,
				   const struct vhu_gpu_picture *picture, bool image)
{
	rfbScreenInfoPtr screen = client->screen;
	rfbClientPtr rfb = screen->clientHead;

	if (image)
		rfbSetCursor(screen, picture->cursor_visible ? make_cursor(&picture->cursor)
							     : NULL);
	screen->cursorX = (int)min_u64(picture->cursor_x, VHU_GPU_SIDE_MAX);
	screen->cursorY = (int)min_u64(picture->cursor_y, VHU_GPU_SIDE_MAX);
	if (rfb)
		rfb->cursorWasMoved = TRUE;
}
