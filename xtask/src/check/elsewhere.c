/* Laid into every program of a varied build (ld.so(8), /etc/ld.so.preload): another clock,
 * kernel release, host name, user and umask, as far as programs ask the C library for them.
 * Bazel and its sandbox are left as they are: they make no output, and wait by the clock. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int apart = 1;

__attribute__((constructor)) static void begin(void) {
  static const char *const names[] = {"bazel", "java", "linux-sandbox", "process-wrapper"};
  const char *name = program_invocation_short_name;
  apart = 0;
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
    if (!strncmp(name, names[i], strlen(names[i]))) apart = 1;
#ifdef MASK
  if (!apart) umask(MASK);
#endif
}

#ifdef SHIFT
int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = syscall(SYS_clock_gettime, clock, now);
  if (result == 0 && !apart && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += SHIFT;
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *result) {
  struct timespec exact;
  if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
  if (result) *result = exact.tv_sec;
  return exact.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
  return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, now) ? base : 0;
}
#endif

#if defined RELEASE || defined NODE
int uname(struct utsname *names) {
  int result = syscall(SYS_uname, names);
  if (result || apart) return result;
#ifdef RELEASE
  snprintf(names->release, sizeof names->release, "%s", RELEASE);
#endif
#ifdef NODE
  snprintf(names->nodename, sizeof names->nodename, "%s", NODE);
  snprintf(names->domainname, sizeof names->domainname, "%s.example", NODE);
#endif
  return 0;
}
#endif

#ifdef NODE
int gethostname(char *name, size_t size) {
  struct utsname names;
  if (uname(&names)) return -1;
  size_t length = strlen(names.nodename) + 1;
  memcpy(name, names.nodename, length < size ? length : size);
  if (length <= size) return 0;
  errno = ENAMETOOLONG;
  return -1;
}
#endif

#ifdef ID
uid_t getuid(void) { return apart ? (uid_t)syscall(SYS_getuid) : ID; }
uid_t geteuid(void) { return apart ? (uid_t)syscall(SYS_geteuid) : ID; }
gid_t getgid(void) { return apart ? (gid_t)syscall(SYS_getgid) : ID; }
gid_t getegid(void) { return apart ? (gid_t)syscall(SYS_getegid) : ID; }
#endif
