/* Files into memory: the model, and its external data. Nothing here follows a path that a model names out of the folder
 * that it may read from, blocks on a FIFO, or reads what is not a regular file. Mapped files belong to the Ctx and stay
 * until onnx_unmap; a file is mapped once. Require: nobody shortens the files meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "frontend/frontend.h"
#include "frontend/reader.h"

enum { OPEN_FLAGS = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, FOLDER_FLAGS = O_PATH | O_DIRECTORY | O_CLOEXEC };

/* NULL: `why` says what is wrong, in words that follow the file's name. m: its path alone; filled and linked in when
 * the file is mapped. */
static const Mapped *map_fd(Ctx *ctx, int fd, Mapped *m, bool one_link, const char **why) {
    struct stat st;
    if (fstat(fd, &st)) return *why = strerror(errno), NULL;
    if (S_ISDIR(st.st_mode)) return *why = "it is a directory", NULL;
    if (!S_ISREG(st.st_mode)) return *why = "it is not a regular file", NULL;
    if (one_link && st.st_nlink != 1) return *why = "it has more than one hard link", NULL;
    if (st.st_size == 0) return *why = "it is empty", NULL;
    for (const Mapped *old = ctx->mapped; old; old = old->next)
        if (old->device == (uint64_t)st.st_dev && old->inode == (uint64_t)st.st_ino) return old;
    if ((uint64_t)st.st_size > SIZE_MAX / 2) return *why = "it is too large", NULL;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) return *why = strerror(errno), NULL;
    *m = (Mapped){m->path, p, (size_t)st.st_size, (uint64_t)st.st_dev, (uint64_t)st.st_ino, ctx->mapped};
    return ctx->mapped = m;
}

const Mapped *map_file(Ctx *ctx, const char *path, const char *what) {
    Mapped *room = ARENA_NEW(ctx->arena, Mapped);
    const Mapped *m = NULL;
    const char *why = NULL;
    room->path = path;
    int fd = open(path, OPEN_FLAGS);
    if (fd < 0) why = strerror(errno);
    else m = map_fd(ctx, fd, room, false, &why);
    if (fd >= 0) close(fd);
    if (!m) diag_error(ctx, NULL, "%scannot read the file: %s", what, why);
    return m;
}

/* Splits the next component off; false at the end. "." and "//" are skipped. */
static bool next_component(const char **path, char *out, size_t size, bool *last) {
    const char *p = *path;
    size_t n = 0;
    while (*p == '/' || (*p == '.' && (p[1] == '/' || !p[1]))) p++;
    while (p[n] && p[n] != '/') n++;
    if (n == 0 || n >= size) return false;
    memcpy(out, p, n);
    out[n] = 0;
    p += n;
    while (*p == '/') p++;
    *path = p;
    *last = !*p;
    return true;
}

/* The same promise without openat2 (Linux before 5.6, or a sandbox that forbids it): one folder at a time, no links. */
static int open_by_component(int folder, const char *path) {
    char name[256];
    bool last = false;
    int at = fcntl(folder, F_DUPFD_CLOEXEC, 0);
    while (at >= 0 && !last) {
        if (!next_component(&path, name, sizeof name, &last)) {
            close(at);
            errno = ENOENT;
            return -1;
        }
        int next = openat(at, name, (last ? (int)OPEN_FLAGS : (int)FOLDER_FLAGS) | O_NOFOLLOW);
        int why = errno;
        close(at);
        errno = why;
        at = next;
    }
    return at;
}

static int open_beneath(int folder, const char *path) {
    struct open_how how = {.flags = OPEN_FLAGS,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EINVAL)) fd = open_by_component(folder, path);
    return fd;
}

static bool has_dot_dot(const char *path) {
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || !p[2])) return true;
    return false;
}

static const char *why_not_opened(int error) {
    switch (error) {
    case ELOOP: return "a symbolic link is on its way";
    case EXDEV: return "it lies outside of the model's folder";
    case ENOTDIR: return "a symbolic link or a file is on its way";
    default: return strerror(error);
    }
}

const Mapped *map_external(Ctx *ctx, const char *beside, Str location, const char *label) {
    const char *why = NULL, *root = ctx->opt.external_data_root, *slash = strrchr(beside, '/');
    char *path =
        arena_printf(ctx->arena, "%.*s", (int)(location.n < 4096 ? location.n : 4096), location.n ? location.p : "");
    if (!root) root = slash ? arena_printf(ctx->arena, "%.*s", (int)(slash - beside) + 1, beside) : ".";
    Mapped *room = ARENA_NEW(ctx->arena, Mapped);
    const Mapped *m = NULL;
    if (location.n == 0) why = "its location is empty";
    else if (strlen(path) != location.n) why = "its location is no path";
    else if (path[0] == '/') why = "its location is absolute";
    else if (has_dot_dot(path)) why = "its location leads out of the model's folder";
    room->path = arena_printf(ctx->arena, "%s%s%s", root, root[strlen(root) - 1] == '/' ? "" : "/", path);
    if (!why) {
        int folder = open(root, FOLDER_FLAGS), fd = folder < 0 ? -1 : open_beneath(folder, path);
        if (fd < 0) why = why_not_opened(errno);
        else m = map_fd(ctx, fd, room, true, &why);
        if (fd >= 0) close(fd);
        if (folder >= 0) close(folder);
    }
    if (!m) diag_error(ctx, NULL, "%s: cannot use external data '%s': %s", label, diag_name(ctx, location), why);
    return m;
}

void map_forget(const uint8_t *p, size_t n) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)p + page - 1) / page * page;
    uintptr_t to = ((uintptr_t)p + n) / page * page;
    if (from < to) madvise((void *)from, to - from, MADV_DONTNEED);
}

const char *onnx_file(const Ctx *ctx, int i) {
    int n = 0;
    const Mapped *m;
    for (m = ctx->mapped; m; m = m->next) n++;
    for (m = ctx->mapped; m && n > i + 1; m = m->next) n--; /* the newest comes first */
    return m && n == i + 1 ? m->path : NULL;
}

void onnx_unmap(Ctx *ctx) {
    for (Mapped *m = ctx->mapped; m; m = m->next) munmap((void *)m->data, m->size);
    ctx->mapped = NULL;
}
