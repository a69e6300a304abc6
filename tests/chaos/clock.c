/* Loaded with LD_PRELOAD: shifts the wall clock of one process, but not how long it waits. libfaketime shifts both, and
   Python's time.sleep fails with it. OFFSET_FILE, defined at compile time, holds the seconds to add. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static _Atomic long offset, read_at;

static long shift(long now) {
    if (now != read_at) { /* once a second */
        int saved = errno;
        int file = open(OFFSET_FILE, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            char text[32] = {0};
            if (read(file, text, sizeof text - 1) > 0)
                offset = strtol(text, NULL, 10);
            close(file);
        }
        read_at = now;
        errno = saved;
    }
    return offset;
}

int clock_gettime(clockid_t clock, struct timespec *result) {
    int failed = syscall(SYS_clock_gettime, clock, result);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        result->tv_sec += shift(result->tv_sec);
    return failed;
}

int gettimeofday(struct timeval *restrict result, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    result->tv_sec = now.tv_sec;
    result->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}
