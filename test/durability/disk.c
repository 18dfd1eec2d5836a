/*
 * Loaded before a program (LD_PRELOAD): records every change that it makes below one folder, in order, with the bytes, and
 * can make the disk full from any of those changes on. What is recorded is replayed by images.ts.
 *
 * WEFT_DISK_ROOT     the folder, as the program names it
 * WEFT_DISK_JOURNAL  file that records are appended to; none: nothing is recorded
 * WEFT_DISK_CONTROL  file of two 64-bit numbers, shared: [0] changes that still fit, -1 for no end; [1] changes counted
 *
 * A record: kind (1 byte), inode, offset, then two texts and the bytes, each with its length (32 bits, little-endian).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static size_t root_length;
static int journal = -1;
static volatile int64_t *control;
/* 0: not ours; else the inode of a file, or of a folder, below the root. */
static ino_t inodes[DESCRIPTORS];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) abort();
  return found;
}

__attribute__((constructor)) static void begin(void) {
  root = getenv("WEFT_DISK_ROOT");
  if (root == NULL) return;
  root_length = strlen(root);
  const char *path = getenv("WEFT_DISK_JOURNAL");
  if (path != NULL) journal = REAL(open)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  path = getenv("WEFT_DISK_CONTROL");
  if (path != NULL) {
    int file = REAL(open)(path, O_RDWR | O_CLOEXEC);
    void *shared = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED) control = shared;
  }
}

static int is_ours(const char *path) {
  return root != NULL && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

/* Descriptors are given back in ways that are not seen here, and become sockets. */
static ino_t of(int fd) {
  struct stat now;
  if (fd < 0 || fd >= DESCRIPTORS || inodes[fd] == 0) return 0;
  if (fstat(fd, &now) != 0 || now.st_ino != inodes[fd] || !(S_ISREG(now.st_mode) || S_ISDIR(now.st_mode))) inodes[fd] = 0;
  return inodes[fd];
}

static void put(const void *bytes, size_t length) {
  if (REAL(write)(journal, bytes, length) != (ssize_t)length) abort();
}

static void put_part(const void *bytes, size_t length) {
  uint32_t size = length;
  put(&size, 4);
  put(bytes, length);
}

static void record(char kind, uint64_t inode, uint64_t offset, const char *one, const char *two, const void *bytes, size_t length) {
  if (journal < 0) return;
  put(&kind, 1);
  put(&inode, 8);
  put(&offset, 8);
  put_part(one, strlen(one));
  put_part(two, strlen(two));
  put_part(bytes, length);
}

/* Whether a change finds room. The first that does not may fit by half. */
static int fits(int *is_first) {
  if (control == NULL) return 1;
  control[1]++;
  *is_first = control[0] == 0;
  if (control[0] < 0) return 1;
  if (control[0] > 0) {
    control[0]--;
    return 1;
  }
  control[0] = 0;
  return 0;
}

static int full(void) {
  pthread_mutex_unlock(&lock);
  errno = ENOSPC;
  return -1;
}

static int opened(const char *symbol, int at, const char *path, int flags, mode_t mode) {
  int (*open_at)(int, const char *, int, ...) = real(symbol);
  if (!is_ours(path)) {
    int fd = open_at(at, path, flags, mode);
    if (fd >= 0 && fd < DESCRIPTORS) inodes[fd] = 0;
    return fd;
  }
  pthread_mutex_lock(&lock);
  struct stat before;
  int is_new = (flags & O_CREAT) != 0 && stat(path, &before) != 0;
  int ignored;
  if (is_new && !fits(&ignored)) return full();
  int fd = open_at(at, path, flags, mode);
  if (fd >= 0 && fd < DESCRIPTORS) {
    struct stat now;
    fstat(fd, &now);
    inodes[fd] = now.st_ino;
    if (is_new) record('c', now.st_ino, now.st_mode & 07777, path, "", "", 0);
    else if ((flags & O_TRUNC) != 0 && before.st_size > 0) record('t', now.st_ino, 0, "", "", "", 0);
  }
  pthread_mutex_unlock(&lock);
  return fd;
}

#define MODE(flags) \
  mode_t mode = 0; \
  if (((flags) & (O_CREAT | O_TMPFILE)) != 0) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags) return opened("openat", AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened("openat64", AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened("openat", at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened("openat64", at, path, flags, mode); }

int close(int fd) {
  if (fd >= 0 && fd < DESCRIPTORS) inodes[fd] = 0;
  return REAL(close)(fd);
}

/* @param at -1: where the file stands */
static ssize_t written(int fd, const void *bytes, size_t length, off_t at) {
  ino_t inode = of(fd);
  if (inode == 0) return at < 0 ? REAL(write)(fd, bytes, length) : REAL(pwrite)(fd, bytes, length, at);
  pthread_mutex_lock(&lock);
  int is_first;
  if (!fits(&is_first)) {
    length = is_first ? length / 2 : 0;
    if (length == 0) return full();
  }
  off_t offset = at;
  if (at < 0) {
    struct stat now;
    int flags = fcntl(fd, F_GETFL);
    fstat(fd, &now);
    offset = (flags & O_APPEND) != 0 ? now.st_size : lseek(fd, 0, SEEK_CUR);
  }
  ssize_t done = at < 0 ? REAL(write)(fd, bytes, length) : REAL(pwrite)(fd, bytes, length, at);
  if (done > 0) record('w', inode, offset, "", "", bytes, done);
  pthread_mutex_unlock(&lock);
  return done;
}

ssize_t write(int fd, const void *bytes, size_t length) { return written(fd, bytes, length, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return written(fd, bytes, length, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return written(fd, bytes, length, at); }

static ssize_t gathered(int fd, const struct iovec *parts, int count, off_t at) {
  ssize_t sum = 0;
  for (int n = 0; n < count; n++) {
    ssize_t done = written(fd, parts[n].iov_base, parts[n].iov_len, at < 0 ? -1 : at + sum);
    if (done < 0) return sum > 0 ? sum : done;
    sum += done;
    if ((size_t)done < parts[n].iov_len) break;
  }
  return sum;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  return of(fd) == 0 ? REAL(writev)(fd, parts, count) : gathered(fd, parts, count, -1);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  return of(fd) == 0 ? REAL(pwritev)(fd, parts, count, at) : gathered(fd, parts, count, at);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
  return of(fd) == 0 ? REAL(pwritev64)(fd, parts, count, at) : gathered(fd, parts, count, at);
}

static int cut(int fd, off_t length) {
  if (of(fd) == 0) return REAL(ftruncate)(fd, length);
  pthread_mutex_lock(&lock);
  int done = REAL(ftruncate)(fd, length);
  if (done == 0) record('t', of(fd), length, "", "", "", 0);
  pthread_mutex_unlock(&lock);
  return done;
}

int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut(fd, length); }

/* A file system that gives out room late says here that there is none. */
static int synced(const char *symbol, int fd) {
  int (*sync)(int) = real(symbol);
  if (of(fd) == 0) return sync(fd);
  pthread_mutex_lock(&lock);
  int ignored;
  if (!fits(&ignored)) return full();
  int done = sync(fd);
  if (done == 0) record('s', of(fd), 0, "", "", "", 0);
  pthread_mutex_unlock(&lock);
  return done;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }

#define CHANGE(kind, one, two, takes_room, call) \
  if (!is_ours(one)) return call; \
  pthread_mutex_lock(&lock); \
  int ignored; \
  if (takes_room && !fits(&ignored)) return full(); \
  int done = call; \
  struct stat now = {0}; \
  if (done == 0) { lstat(*(two) ? (two) : (one), &now); record(kind, now.st_ino, now.st_mode & 07777, one, two, "", 0); } \
  pthread_mutex_unlock(&lock); \
  return done;

int rename(const char *from, const char *to) { CHANGE('r', from, to, 0, REAL(rename)(from, to)) }
int link(const char *from, const char *to) { CHANGE('l', from, to, 1, REAL(link)(from, to)) }
int unlink(const char *path) { CHANGE('u', path, "", 0, REAL(unlink)(path)) }
int rmdir(const char *path) { CHANGE('u', path, "", 0, REAL(rmdir)(path)) }
int mkdir(const char *path, mode_t mode) { CHANGE('d', path, "", 1, REAL(mkdir)(path, mode)) }
