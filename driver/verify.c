/* mcc verify: finds what to check, has it checked in child processes, prints a line each and counts. */
#include "driver/verify.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Subjects {
    Subject *list;
    int n, room;
} Subjects;

typedef struct Count {
    int passed, failed, unsupported;
} Count;

void verdict_set(Verdict *v, Outcome outcome, const char *fmt, ...) {
    va_list ap;
    v->outcome = outcome;
    va_start(ap, fmt);
    vsnprintf(v->text, sizeof v->text, fmt, ap);
    va_end(ap);
}

/* "model.onnx: error: node 'x' (…): …": from behind the kind of message to the end of the first line that is an error.
 */
static void first_error(const char *log, const char *file, char *out, size_t size) {
    snprintf(out, size, "it does not compile");
    for (const char *line = log; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        size_t n = strlen(file), length = strcspn(line, "\n");
        static const char kind[] = ": error: ";
        if (strncmp(line, file, n) != 0 || strncmp(line + n, kind, sizeof kind - 1) != 0) continue;
        n += sizeof kind - 1;
        snprintf(out, size, "%.*s", (int)(length - n), line + n);
        return;
    }
}

bool verify_compile(Pipeline *p, Verdict *v) {
    char *log = NULL, reason[VERDICT_SIZE - 8];
    size_t size = 0;
    FILE *messages = p->command->verbose ? NULL : open_memstream(&log, &size);
    if (messages) diag_to(p->ctx, messages);
    int result = pipeline_to_code(p);
    if (messages) {
        diag_to(p->ctx, stderr);
        fclose(messages);
    }
    if (result != DONE) {
        first_error(log ? log : "", p->ctx->file, reason, sizeof reason);
        verdict_set(v, UNSUPPORTED, ": %s", reason);
    }
    free(log);
    return result == DONE;
}

/* The outputs of two calls differ in a byte: because one call left it, or because it follows the workspace's garbage.
 */
static void explain_difference(int output, const Tensor *a, const Tensor *b, Placement pa, Placement pb, Verdict *v) {
    const unsigned char *x = a->data, *y = b->data;
    size_t at = 0;
    while (x[at] == y[at]) at++;
    if (x[at] == pa.outputs && y[at] == pb.outputs)
        verdict_set(v, FAIL, ": output %d: byte %zu is never written", output, at);
    else verdict_set(v, FAIL, ": output %d depends on the workspace's contents (byte %zu)", output, at);
}

static bool one_call(Pipeline *p, Call *c, const Tensor *const *in, Placement place, Tensor *out, Verdict *v) {
    const mcc_model *m = loaded_model(p->loaded);
    if (!call_prepare(c, p->ctx->arena, m, in, place)) {
        verdict_set(v, FAIL, ": out of memory");
        return false;
    }
    int status = call_run(c);
    if (status != MCC_OK) {
        verdict_set(v, FAIL, ": the call returned %s", call_status(status));
        return false;
    }
    for (int i = 0; i < m->n_outputs; i++) {
        if (call_output(c, i, &out[i])) continue;
        verdict_set(v, FAIL, ": output %d has dims that the description does not allow", i);
        return false;
    }
    return true;
}

bool verify_call(Pipeline *p, Call *c, const Tensor *const *in, Tensor *out, Verdict *v) {
    const Placement high = {.high = true, .workspace = 0x00, .outputs = 0xa5},
                    low = {.high = false, .workspace = 0xff, .outputs = 0x5a};
    const mcc_model *m = loaded_model(p->loaded);
    Call again = {0};
    Tensor *other = ARENA_ARRAY(p->ctx->arena, m->n_outputs + 1, Tensor);
    bool good = one_call(p, c, in, high, out, v) && one_call(p, &again, in, low, other, v);
    for (int i = 0; i < m->n_outputs && good; i++) {
        good = out[i].bytes == other[i].bytes && !memcmp(out[i].dims, other[i].dims, sizeof out[i].dims);
        if (!good) verdict_set(v, FAIL, ": output %d: its dims depend on the workspace's contents", i);
        else if (out[i].bytes && memcmp(out[i].data, other[i].data, out[i].bytes)) {
            explain_difference(i, &out[i], &other[i], high, low, v);
            good = false;
        }
    }
    call_free(&again);
    return good;
}

static bool is_directory(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static char *join(const char *folder, const char *name) {
    size_t n = strlen(folder), size = n + strlen(name) + 2;
    char *path = malloc(size);
    if (path) snprintf(path, size, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
    return path;
}

static bool add(Subjects *s, const char *path, bool directory) {
    if (s->n == s->room) {
        int room = s->room ? 2 * s->room : 64;
        Subject *list = realloc(s->list, sizeof *list * (size_t)room);
        if (!list) return false;
        s->list = list;
        s->room = room;
    }
    Subject *one = &s->list[s->n];
    size_t n = strlen(path), from;
    while (n > 1 && path[n - 1] == '/') n--;
    for (from = n; from > 0 && path[from - 1] != '/'; from--) continue;
    *one = (Subject){.path = strndup(path, n), .name = strndup(path + from, n - from), .directory = directory};
    s->n++;
    return one->path && one->name;
}

/* A directory with a model is a subject; one without holds subjects, by name. */
static bool add_path(Subjects *s, const char *path, int depth) {
    enum { DEEPEST = 4 };
    if (!is_directory(path)) return add(s, path, false);
    char *model = join(path, "model.onnx");
    struct stat st;
    bool here = model && !stat(model, &st), good = model != NULL;
    free(model);
    struct dirent **entries = NULL;
    int n = here || depth == DEEPEST || !good ? 0 : scandir(path, &entries, NULL, alphasort), found = s->n;
    for (int i = 0; i < n; i++) {
        char *inner = join(path, entries[i]->d_name);
        if (!inner) good = false;
        else if (good && entries[i]->d_name[0] != '.' && is_directory(inner)) good = add_path(s, inner, depth + 1);
        free(inner);
        free(entries[i]);
    }
    free(entries);
    return good && (here || (depth == 0 && s->n == found) ? add(s, path, true) : good);
}

static void check(const Command *c, const Subject *s, Verdict *v) {
    if (s->directory) verify_directory(c, s, v);
    else verify_model(c, s, v);
}

static void print_verdict(const Subject *s, const Verdict *v, void *arg) {
    Count *count = arg;
    const char *word = v->outcome == PASS
    ? "PASS"
    : v->outcome == FAIL        ? "FAIL"
    : v->outcome == UNSUPPORTED ? "UNSUPPORTED"
    : v->outcome == CRASH       ? "CRASH"
                                : "TIMEOUT";
    count->passed += v->outcome == PASS;
    count->unsupported += v->outcome == UNSUPPORTED;
    count->failed += v->outcome != PASS
    &&v->outcome != UNSUPPORTED;
    printf("%s %s%s\n", word, s->name, v->text);
    fflush(stdout);
}

int verify_main(const Command *c) {
    Subjects s = {0};
    Count count = {0};
    int result = DONE;
    if (c->n_files == 0) {
        say_error("nothing to verify; see mcc verify --help");
        return BAD_USAGE;
    }
    if (!pipeline_target(c)) return BAD_USAGE;
    for (int i = 0; i < c->n_files; i++) {
        struct stat st;
        if (!stat(c->files[i], &st)) continue;
        say_error("cannot read %s: %s", c->files[i], strerror(errno));
        return BAD_MODEL;
    }
    for (int i = 0; i < c->n_files && result == DONE; i++)
        if (!add_path(&s, c->files[i], 0)) {
            say_error("out of memory");
            result = BAD_MODEL;
        }
    if (result == DONE && !pool_run(c, s.list, s.n, check, print_verdict, &count)) result = BAD_MODEL;
    if (result == DONE) {
        printf("%d passed, %d failed, %d unsupported\n", count.passed, count.failed, count.unsupported);
        if (count.failed) result = BAD_MODEL;
    }
    for (int i = 0; i < s.n; i++) {
        free(s.list[i].path);
        free(s.list[i].name);
    }
    free(s.list);
    return result;
}
