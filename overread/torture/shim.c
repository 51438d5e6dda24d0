/* A file system that forgets: preloaded into the listener, it writes down every change below one folder, and which
 * changes a sync made durable, so that the folder can be built again as a power cut would have left it. It can also
 * make syncs fail and the disk be full, while the listener runs. Answers are written down too, before they are sent.
 * See recording.py, which reads what is written here.
 *
 * A change is written down after the kernel made it, a sync with the place the record had when the sync began: so a
 * change counts as synced only if it was complete before. Everything goes through libc, as Python does.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#undef fallocate64
struct header {
    uint32_t length;
    uint32_t op;
    uint64_t inode, offset, data_length;
    uint32_t path_length, path2_length;
};

struct control {          /* one page, shared with the command */
    uint64_t fail_syncs;  /* of a hundred, how many end with EIO */
    uint64_t space;       /* bytes that may still be written; all ones: any number */
};

static char root[PATH_MAX];
static size_t root_length;
static int record_fd = -1;
static volatile struct control *control;
static __thread unsigned int random_state;

#define NEXT(result, name, ...)                              \
    static result (*real_##name)(__VA_ARGS__);               \
    __attribute__((constructor(101))) static void find_##name(void) { real_##name = dlsym(RTLD_NEXT, #name); }

NEXT(int, open, const char *, int, ...)
NEXT(int, openat, int, const char *, int, ...)
NEXT(ssize_t, write, int, const void *, size_t)
NEXT(ssize_t, writev, int, const struct iovec *, int)
NEXT(ssize_t, pwrite, int, const void *, size_t, off_t)
NEXT(ssize_t, pwritev2, int, const struct iovec *, int, off_t, int)
NEXT(int, ftruncate, int, off_t)
NEXT(int, truncate, const char *, off_t)
NEXT(int, fallocate, int, int, off_t, off_t)
NEXT(int, posix_fallocate, int, off_t, off_t)
NEXT(int, fsync, int)
NEXT(int, fdatasync, int)
NEXT(int, renameat, int, const char *, int, const char *)
NEXT(int, renameat2, int, const char *, int, const char *, unsigned int)
NEXT(int, linkat, int, const char *, int, const char *, int)
NEXT(int, unlinkat, int, const char *, int)
NEXT(int, mkdirat, int, const char *, mode_t)
NEXT(int, symlinkat, const char *, int, const char *)
NEXT(ssize_t, send, int, const void *, size_t, int)
NEXT(ssize_t, sendto, int, const void *, size_t, int, const struct sockaddr *, socklen_t)
NEXT(ssize_t, sendmsg, int, const struct msghdr *, int)
NEXT(void *, mmap, void *, size_t, int, int, int, off_t)
NEXT(ssize_t, sendfile, int, int, off_t *, size_t)
NEXT(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned int)
NEXT(ssize_t, splice, int, off64_t *, int, off64_t *, size_t, unsigned int)

__attribute__((constructor(102))) static void begin(void)
{
    const char *folder = getenv("TORTURE_ROOT"), *record = getenv("TORTURE_RECORD"), *page = getenv("TORTURE_CONTROL");
    if (folder == NULL || realpath(folder, root) == NULL)
        return;
    if (record != NULL)
        record_fd = real_open(record, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (page != NULL) {
        int fd = real_open(page, O_RDWR | O_CLOEXEC);
        if (fd >= 0) {
            void *at = real_mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (at != MAP_FAILED)
                control = at;
            close(fd);
        }
    }
    root_length = strlen(root);
}

/* Whether a path lies below the folder; then what follows the folder's name. */
static const char *below(const char *path)
{
    if (root_length == 0 || strncmp(path, root, root_length) != 0)
        return NULL;
    if (path[root_length] == '\0')
        return "";
    return path[root_length] == '/' ? path + root_length + 1 : NULL;
}

static const char *path_of_fd(int fd, char *buffer)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length < 0)
        return NULL;
    buffer[length] = '\0';
    return below(buffer);
}

/* The absolute path, without resolving links: the folder's own paths have none. */
static const char *path_at(int folder, const char *path, char *buffer)
{
    if (path[0] == '/') {
        snprintf(buffer, PATH_MAX, "%s", path);
    } else {
        char base[PATH_MAX];
        if (folder == AT_FDCWD) {
            if (getcwd(base, sizeof base) == NULL)
                return NULL;
        } else {
            char link[40];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, base, sizeof base - 1);
            if (length < 0)
                return NULL;
            base[length] = '\0';
        }
        if (snprintf(buffer, PATH_MAX, "%s/%s", base, path) >= PATH_MAX)
            return NULL;
    }
    return below(buffer);
}

static void note(uint32_t op, uint64_t inode, uint64_t offset, const char *path, const char *path2,
                 const struct iovec *pieces, int count, size_t data_length)
{
    if (record_fd < 0)
        return;
    int kept = errno;
    struct header header = {0, op, inode, offset, data_length, (uint32_t)strlen(path), (uint32_t)strlen(path2)};
    struct iovec all[1024];
    int used = 0;
    size_t left = data_length;
    header.length = (uint32_t)(sizeof header + header.path_length + header.path2_length + data_length);
    all[used++] = (struct iovec){&header, sizeof header};
    all[used++] = (struct iovec){(void *)path, header.path_length};
    all[used++] = (struct iovec){(void *)path2, header.path2_length};
    for (int i = 0; i < count && left > 0 && used < 1024; i++) {
        size_t take = pieces[i].iov_len < left ? pieces[i].iov_len : left;
        all[used++] = (struct iovec){pieces[i].iov_base, take};
        left -= take;
    }
    if (real_writev(record_fd, all, used) != (ssize_t)header.length) {
        static const char told[] = "torture: the record could not be written\n";
        (void)!real_write(2, told, sizeof told - 1);
        _exit(99);
    }
    errno = kept;
}

static uint64_t inode_of_fd(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

static uint64_t inode_of(int folder, const char *name, int flags)
{
    struct stat status;
    return fstatat(folder, name, &status, flags & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

static uint64_t inode_at(const char *relative)
{
    char path[PATH_MAX * 2];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", root, relative);
    return lstat(path, &status) == 0 ? status.st_ino : 0;
}

/* Take from what is left on the disk; ENOSPC when it is not enough. */
static int take_space(size_t bytes)
{
    if (control == NULL || control->space == UINT64_MAX)
        return 0;
    uint64_t left = __atomic_load_n(&control->space, __ATOMIC_SEQ_CST);
    while (left >= bytes)
        if (__atomic_compare_exchange_n(&control->space, &left, left - bytes, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return 0;
    errno = ENOSPC;
    return -1;
}

static size_t total(const struct iovec *pieces, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += pieces[i].iov_len;
    return bytes;
}

static void wrote(int fd, const char *path, uint64_t offset, const struct iovec *pieces, int count, ssize_t done,
                  int synced)
{
    uint64_t inode = inode_of_fd(fd);
    note('W', inode, offset, path, "", pieces, count, (size_t)done);
    if (synced || (fcntl(fd, F_GETFL) & O_DSYNC)) /* the kernel synced it together with the write */
        note('s', inode, (uint64_t)lseek(record_fd, 0, SEEK_END), path, "", NULL, 0, 0);
}

ssize_t write(int fd, const void *data, size_t size)
{
    struct iovec piece = {(void *)data, size};
    char buffer[PATH_MAX];
    const char *path = root_length && fd != record_fd ? path_of_fd(fd, buffer) : NULL;
    if (path == NULL)
        return real_write(fd, data, size);
    if (take_space(size))
        return -1;
    ssize_t done = real_write(fd, data, size);
    if (done > 0)
        wrote(fd, path, (uint64_t)(lseek(fd, 0, SEEK_CUR) - done), &piece, 1, done, 0);
    return done;
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    char buffer[PATH_MAX];
    const char *path = root_length && fd != record_fd ? path_of_fd(fd, buffer) : NULL;
    if (path == NULL)
        return real_writev(fd, pieces, count);
    if (take_space(total(pieces, count)))
        return -1;
    ssize_t done = real_writev(fd, pieces, count);
    if (done > 0)
        wrote(fd, path, (uint64_t)(lseek(fd, 0, SEEK_CUR) - done), pieces, count, done, 0);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    struct iovec piece = {(void *)data, size};
    char buffer[PATH_MAX];
    const char *path = root_length ? path_of_fd(fd, buffer) : NULL;
    if (path == NULL)
        return real_pwrite(fd, data, size, offset);
    if (take_space(size))
        return -1;
    ssize_t done = real_pwrite(fd, data, size, offset);
    if (done > 0)
        wrote(fd, path, (uint64_t)offset, &piece, 1, done, 0);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return pwrite(fd, data, size, offset); }

ssize_t pwritev2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
{
    char buffer[PATH_MAX];
    const char *path = root_length ? path_of_fd(fd, buffer) : NULL;
    if (path == NULL)
        return real_pwritev2(fd, pieces, count, offset, flags);
    if (take_space(total(pieces, count)))
        return -1;
    ssize_t done = real_pwritev2(fd, pieces, count, offset, flags);
    if (done > 0) {
        uint64_t start = offset < 0 ? (uint64_t)(lseek(fd, 0, SEEK_CUR) - done) : (uint64_t)offset;
        wrote(fd, path, start, pieces, count, done, (flags & (RWF_DSYNC | RWF_SYNC)) != 0);
    }
    return done;
}

ssize_t pwritev64v2(int fd, const struct iovec *pieces, int count, off64_t offset, int flags)
{
    return pwritev2(fd, pieces, count, offset, flags);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    return pwritev2(fd, pieces, count, offset, 0);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset)
{
    return pwritev2(fd, pieces, count, offset, 0);
}

int ftruncate(int fd, off_t size)
{
    char buffer[PATH_MAX];
    const char *path = root_length ? path_of_fd(fd, buffer) : NULL;
    int done = real_ftruncate(fd, size);
    if (done == 0 && path != NULL)
        note('T', inode_of_fd(fd), (uint64_t)size, path, "", NULL, 0, 0);
    return done;
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

int truncate(const char *name, off_t size)
{
    char buffer[PATH_MAX];
    const char *path = root_length ? path_at(AT_FDCWD, name, buffer) : NULL;
    int done = real_truncate(name, size);
    if (done == 0 && path != NULL)
        note('T', inode_at(path), (uint64_t)size, path, "", NULL, 0, 0);
    return done;
}

int truncate64(const char *name, off64_t size) { return truncate(name, size); }

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    char buffer[PATH_MAX];
    const char *path = root_length ? path_of_fd(fd, buffer) : NULL;
    if (path != NULL && mode != 0) { /* holes and collapses are not understood by what reads the record */
        errno = EOPNOTSUPP;
        return -1;
    }
    int done = real_fallocate(fd, mode, offset, length);
    if (done == 0 && path != NULL)
        note('F', inode_of_fd(fd), (uint64_t)(offset + length), path, "", NULL, 0, 0);
    return done;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return fallocate(fd, mode, offset, length); }

int posix_fallocate(int fd, off_t offset, off_t length)
{
    char buffer[PATH_MAX];
    const char *path = root_length ? path_of_fd(fd, buffer) : NULL;
    int done = real_posix_fallocate(fd, offset, length);
    if (done == 0 && path != NULL)
        note('F', inode_of_fd(fd), (uint64_t)(offset + length), path, "", NULL, 0, 0);
    return done;
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) { return posix_fallocate(fd, offset, length); }

static int synced(int fd, int (*real)(int), uint32_t op)
{
    char buffer[PATH_MAX];
    const char *path = root_length ? path_of_fd(fd, buffer) : NULL;
    if (path == NULL)
        return real(fd);
    if (control != NULL && control->fail_syncs > 0) {
        if (random_state == 0)
            random_state = (unsigned int)(getpid() ^ (uintptr_t)&random_state);
        if ((uint64_t)(rand_r(&random_state) % 100) < control->fail_syncs) {
            note('E', inode_of_fd(fd), 0, path, "", NULL, 0, 0);
            errno = EIO;
            return -1;
        }
    }
    uint64_t began = record_fd < 0 ? 0 : (uint64_t)lseek(record_fd, 0, SEEK_END);
    int done = real(fd);
    if (done == 0)
        note(op, inode_of_fd(fd), began, path, "", NULL, 0, 0);
    return done;
}

int fsync(int fd) { return synced(fd, real_fsync, 'S'); }

int fdatasync(int fd) { return synced(fd, real_fdatasync, 's'); }

static void opened(int fd, int flags, const char *path, int existed)
{
    if (fd < 0 || path == NULL)
        return;
    if (flags & O_CREAT && !existed)
        note('C', inode_of_fd(fd), 0, path, "", NULL, 0, 0);
    else if ((flags & __O_TMPFILE) == __O_TMPFILE)
        note('N', inode_of_fd(fd), 0, path, "", NULL, 0, 0);
    else if (flags & O_TRUNC)
        note('T', inode_of_fd(fd), 0, path, "", NULL, 0, 0);
}

static int open_any(int folder, const char *name, int flags, mode_t mode)
{
    char buffer[PATH_MAX];
    int kept = errno;
    const char *path = root_length ? path_at(folder, name, buffer) : NULL;
    int existed = path != NULL && inode_at(path) != 0;
    if (path != NULL && (flags & O_CREAT) && !existed && take_space(1))
        return -1;
    errno = kept;
    int fd = real_openat(folder, name, flags, mode);
    opened(fd, flags, path, existed);
    return fd;
}

#define MODE(last)                                    \
    mode_t mode = 0;                                  \
    if (flags & (O_CREAT | __O_TMPFILE)) {            \
        va_list rest;                                 \
        va_start(rest, last);                         \
        mode = va_arg(rest, mode_t);                  \
        va_end(rest);                                 \
    }

int open(const char *name, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, name, flags, mode); }

int open64(const char *name, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, name, flags, mode); }

int openat(int folder, const char *name, int flags, ...) { MODE(flags) return open_any(folder, name, flags, mode); }

int openat64(int folder, const char *name, int flags, ...) { MODE(flags) return open_any(folder, name, flags, mode); }

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned int flags)
{
    char buffer[PATH_MAX], buffer2[PATH_MAX];
    const char *path = root_length ? path_at(from_folder, from, buffer) : NULL;
    const char *path2 = root_length ? path_at(to_folder, to, buffer2) : NULL;
    uint64_t inode = path2 != NULL ? inode_of(from_folder, from, 0) : 0;
    int done = flags ? real_renameat2(from_folder, from, to_folder, to, flags)
                     : real_renameat(from_folder, from, to_folder, to);
    if (done == 0 && path != NULL && path2 != NULL)
        note('R', inode, 0, path, path2, NULL, 0, 0);
    return done;
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    return renameat2(from_folder, from, to_folder, to, 0);
}

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    char buffer[PATH_MAX];
    const char *path = root_length ? path_at(to_folder, to, buffer) : NULL;
    if (path != NULL && take_space(1))
        return -1;
    uint64_t inode = path != NULL ? inode_of(from_folder, from, flags) : 0;
    int done = real_linkat(from_folder, from, to_folder, to, flags);
    if (done == 0 && path != NULL)
        note('L', inode, 0, path, "", NULL, 0, 0);
    return done;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int folder, const char *name, int flags)
{
    char buffer[PATH_MAX];
    const char *path = root_length ? path_at(folder, name, buffer) : NULL;
    int done = real_unlinkat(folder, name, flags);
    if (done == 0 && path != NULL)
        note('U', 0, 0, path, "", NULL, 0, 0);
    return done;
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }

int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int folder, const char *name, mode_t mode)
{
    char buffer[PATH_MAX];
    const char *path = root_length ? path_at(folder, name, buffer) : NULL;
    int done = real_mkdirat(folder, name, mode);
    if (done == 0 && path != NULL)
        note('D', inode_at(path), 0, path, "", NULL, 0, 0);
    return done;
}

int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int symlinkat(const char *target, int folder, const char *name)
{
    char buffer[PATH_MAX];
    const char *path = root_length ? path_at(folder, name, buffer) : NULL;
    if (path != NULL && take_space(1))
        return -1;
    int done = real_symlinkat(target, folder, name);
    if (done == 0 && path != NULL)
        note('Y', 0, 0, path, target, NULL, 0, 0);
    return done;
}

int symlink(const char *target, const char *name) { return symlinkat(target, AT_FDCWD, name); }

/* Changes through a shared mapping are not seen: what it holds is taken as never synced. */
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    char buffer[PATH_MAX];
    if (real_mmap == NULL) /* before we were begun; the loader is at work */
        return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
    const char *path = NULL;
    if (root_length && fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE))
        path = path_of_fd(fd, buffer);
    if (path != NULL)
        note('M', inode_of_fd(fd), 0, path, "", NULL, 0, 0);
    return real_mmap(at, length, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset)
{
    return mmap(at, length, protection, flags, fd, offset);
}

/* What would change a file without being seen here is refused, so that callers take the ordinary way. */
static int unseen(int fd)
{
    char buffer[PATH_MAX];
    if (root_length == 0 || path_of_fd(fd, buffer) == NULL)
        return 0;
    errno = EINVAL;
    return 1;
}

ssize_t sendfile(int out, int in, off_t *offset, size_t count)
{
    return unseen(out) ? -1 : real_sendfile(out, in, offset, count);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) { return sendfile(out, in, offset, count); }

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned int flags)
{
    return unseen(out) ? -1 : real_copy_file_range(in, in_at, out, out_at, length, flags);
}

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned int flags)
{
    return unseen(out) ? -1 : real_splice(in, in_at, out, out_at, length, flags);
}

/* A short P-DATA-TF PDU is an answer; what it promises must be true before it leaves. */
static void answering(const struct iovec *pieces, size_t count)
{
    size_t bytes = total(pieces, (int)count);
    if (record_fd >= 0 && bytes <= 1024 && count > 0 && pieces[0].iov_len > 0 && *(const char *)pieces[0].iov_base == 4)
        note('A', 0, 0, "", "", pieces, (int)count, bytes);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
    struct iovec piece = {(void *)data, size};
    answering(&piece, 1);
    return real_sendto(fd, data, size, flags, to, length);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    struct iovec piece = {(void *)data, size};
    answering(&piece, 1);
    return real_send(fd, data, size, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    answering(message->msg_iov, message->msg_iovlen);
    return real_sendmsg(fd, message, flags);
}
