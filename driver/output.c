/* Output files, written under temporary names in their own folder and renamed together: the old set stays, or the new
 * one is there. The temporary names are known before the files are made, so that a signal at any moment can remove
 * them. */
#include "driver/driver.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_TEMPS = 2 * MAX_OUTPUTS /* a file, and what stood in its place */ };
static char *volatile temps[MAX_TEMPS];

void output_unlink_temps(void) {
    for (int i = MAX_TEMPS - 1; i >= 0; i--) {
        const char *temp = temps[i];
        if (temp && unlink(temp)) rmdir(temp);
    }
}

static bool remember(char *temp) {
    for (int i = 0; i < MAX_TEMPS; i++)
        if (!temps[i]) {
            temps[i] = temp;
            return true;
        }
    return false;
}

static void forget(char *temp) {
    for (int i = 0; i < MAX_TEMPS; i++)
        if (temps[i] == temp) temps[i] = NULL;
    free(temp);
}

static void discard(char *temp) {
    if (!temp) return;
    if (unlink(temp)) rmdir(temp);
    forget(temp);
}

static bool cannot_write(const char *path) {
    int e = errno;
    say_error("cannot write %s: %s", path, e ? strerror(e) : "the write failed");
    return false;
}

/* A fresh name in the folder of `path`, remembered. NULL: out of memory. */
static char *temp_name(const char *path, const char *folder_end) {
    static unsigned count;
    size_t folder = folder_end ? (size_t)(folder_end - path) + 1 : 0, size = folder + 48;
    char *temp = malloc(size);
    if (!temp) return NULL;
    memcpy(temp, path, folder);
    snprintf(temp + folder, size - folder, ".mcc-%ld-%u", (long)getpid(), count++);
    if (remember(temp)) return temp;
    free(temp);
    return NULL;
}

static Output *add(OutputSet *set) {
    if (set->n == MAX_OUTPUTS) return NULL;
    Output *item = &set->item[set->n++];
    *item = (Output){0};
    return item;
}

/* The item for `path`, with a temporary name, or to be written in place where it is no regular file. */
static Output *prepare(OutputSet *set, const char *path) {
    struct stat st;
    Output *item = add(set);
    bool there = !stat(path, &st);
    errno = there && S_ISDIR(st.st_mode) ? EISDIR : ENOMEM;
    if (!item || (there && S_ISDIR(st.st_mode))) {
        cannot_write(path);
        return NULL;
    }
    item->path = there ? realpath(path, NULL) : strdup(path); /* behind a link lies the file to replace */
    bool in_place = there && !S_ISREG(st.st_mode);
    if (item->path && !in_place) item->temp = temp_name(item->path, strrchr(item->path, '/'));
    if (item->path && (in_place || item->temp)) return item;
    cannot_write(path);
    return NULL;
}

bool same_file(const char *a, const char *b) {
    struct stat s, t;
    return !strcmp(a, b) || (!stat(a, &s) && !stat(b, &t) && s.st_dev == t.st_dev && s.st_ino == t.st_ino);
}

FILE *output_open(OutputSet *set, const char *path) {
    if (!strcmp(path, "-")) {
        Output *item = add(set);
        if (item) item->file = stdout;
        return item ? stdout : NULL;
    }
    Output *item = prepare(set, path);
    if (!item) return NULL;
    int fd =
        open(item->temp ? item->temp : item->path, O_WRONLY | O_CLOEXEC | (item->temp ? O_CREAT | O_EXCL : 0), 0666);
    if (fd >= 0) item->file = fdopen(fd, "wb");
    if (item->file) return item->file;
    cannot_write(path);
    if (fd >= 0) close(fd);
    return NULL;
}

char *output_beside(OutputSet *set, const char *path) {
    Output *item = prepare(set, path);
    if (!item) return NULL;
    if (item->temp) return item->temp;
    errno = 0;
    say_error("cannot write %s: not a regular file", path);
    return NULL;
}

char *output_scratch(OutputSet *set, const char *beside, const char *name) {
    Output *folder = add(set), *file = add(set);
    if (!folder || !file) return NULL;
    folder->temp = temp_name(beside, strrchr(beside, '/'));
    if (!folder->temp || mkdir(folder->temp, 0777)) {
        cannot_write(beside);
        return NULL;
    }
    size_t size = strlen(folder->temp) + strlen(name) + 2;
    char *temp = malloc(size);
    if (temp) snprintf(temp, size, "%s/%s", folder->temp, name);
    if (!temp || !remember(temp)) {
        cannot_write(beside);
        free(temp);
        return NULL;
    }
    file->temp = temp;
    file->file = fopen(file->temp, "wb");
    if (!file->file) cannot_write(file->temp);
    return file->file ? file->temp : NULL;
}

/* Why a write failed, some calls ago: the next one fails for the same reason. */
static int ask_again(FILE *file) {
    clearerr(file);
    errno = 0;
    if (putc(0, file) == EOF || fflush(file)) return errno;
    return 0;
}

static bool close_item(Output *item) {
    FILE *file = item->file;
    if (!file) return true;
    item->file = NULL;
    errno = 0;
    bool bad = fflush(file) != 0;
    int why = errno;
    if (!bad && ferror(file)) bad = true, why = ask_again(file);
    if (file != stdout && fclose(file) && !bad) bad = true, why = errno;
    errno = why;
    return bad ? cannot_write(item->path ? item->path : file == stdout ? "standard output" : item->temp) : true;
}

bool output_close(OutputSet *set, FILE *file) {
    for (int i = 0; i < set->n; i++)
        if (set->item[i].file == file) return close_item(&set->item[i]);
    return true;
}

static void empty(OutputSet *set) {
    for (int i = set->n - 1; i >= 0; i--) {
        Output *item = &set->item[i];
        if (item->file && item->file != stdout) fclose(item->file);
        discard(item->temp);
        free(item->path);
    }
    set->n = 0;
}

void output_abandon(OutputSet *set) { empty(set); }

/* What stood at the paths of the set is kept under a second name until every rename has worked. */
static bool rename_all(OutputSet *set) {
    char *old[MAX_OUTPUTS] = {0};
    int done = 0;
    for (int i = 0; i < set->n; i++) {
        Output *item = &set->item[i];
        if (!item->path || !item->temp) continue;
        old[i] = temp_name(item->path, strrchr(item->path, '/'));
        if (old[i] && link(item->path, old[i])) forget(old[i]), old[i] = NULL;
    }
    for (; done < set->n; done++) {
        Output *item = &set->item[done];
        if (item->path && item->temp && rename(item->temp, item->path)) break;
    }
    bool good = done == set->n || cannot_write(set->item[done].path);
    for (int i = 0; i < set->n; i++) {
        Output *item = &set->item[i];
        if (!item->path || !item->temp) continue;
        if (!good && i < done && (!old[i] || rename(old[i], item->path))) unlink(item->path);
        if (old[i]) discard(old[i]);
        if (i < done) forget(item->temp), item->temp = NULL;
    }
    return good;
}

bool output_commit(OutputSet *set) {
    bool good = true;
    for (int i = 0; i < set->n && good; i++) good = close_item(&set->item[i]);
    crash_hold(true);
    good = good && rename_all(set);
    empty(set);
    crash_hold(false);
    return good;
}
