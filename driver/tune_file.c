/* Tuning files on disk: --tune reads one, mcc tune writes one. */
#include <errno.h>
#include <string.h>
#include "driver/tune.h"

/* The bytes of a file, up to one more than it may have; NULL after a message */
static char *read_file(Arena *a, const char *path, size_t *n) {
    char *text = arena_alloc(a, TUNING_MAX_BYTES + 1);
    FILE *file = fopen(path, "rb");
    int why = file ? 0 : errno;
    if (file) {
        errno = 0;
        *n = fread(text, 1, TUNING_MAX_BYTES + 1, file);
        if (ferror(file)) why = errno;
        fclose(file);
    }
    if (!why) return text;
    say_error("cannot read %s: %s", path, strerror(why));
    return NULL;
}

static void compare_targets(Ctx *ctx, const Tuning *tuning, const Target *t) {
    if (str_is(tuning->cpu, tuning_cpu(t)) && str_is(tuning->triple, t->triple)) return;
    diag_warn(ctx, "tune", NULL, "%s was measured on %s (%s), and the code is for %s (%s)", tuning->path,
              diag_name(ctx, tuning->cpu), diag_name(ctx, tuning->triple), tuning_cpu(t), t->triple);
}

int tuning_load(Ctx *ctx, const char *path, const Target *t, const Tuning **out) {
    Tuning *tuning = ARENA_NEW(ctx->arena, Tuning);
    size_t n = 0;
    const char *why;
    int line;
    const char *text = read_file(ctx->arena, path, &n);
    if (!text) return BAD_MODEL;
    bool good = tuning_read(ctx->arena, text, n, tuning, &line, &why);
    if (!good) {
        say_error("%s:%d: %s", path, line, why);
        return BAD_MODEL;
    }
    tuning->path = path;
    compare_targets(ctx, tuning, t);
    *out = tuning;
    return DONE;
}

static void write_head(FILE *out, const Target *t, const char *model, const LayerResult *list, int n) {
    char name[256];
    double before = 0, after = 0;
    int measured = 0, faster = 0;
    for (int i = 0; i < n; i++) {
        const LayerResult *r = &list[i];
        double count = (double)r->note->count;
        before += count * r->model_seconds;
        after += count * (r->faster ? r->seconds : r->model_seconds);
        measured += r->measured;
        faster += r->faster;
    }
    str_escape(name, sizeof name, str_of(model));
    fprintf(out, "mcc-tune 1 %s %s\n", t->triple, tuning_cpu(t));
    fprintf(out, "# %s, by mcc %s: %d of %d layers measured, %d of them faster, all together %.1f %%\n", name,
            MCC_VERSION, measured, n, faster, before > 0 ? 100 * (before / after - 1) : 0.0);
}

bool tuning_write(FILE *out, Arena *a, const Target *t, const char *model, const LayerResult *list, int n) {
    write_head(out, t, model, list, n);
    for (int i = 0; i < n; i++) {
        const LayerResult *r = &list[i];
        const char *layer = r->note->text;
        if (!r->measured) fprintf(out, "# %s: not measured, the time was over\n", layer);
        else if (r->faster)
            fprintf(out, "%s: %s # %lld x %.1f us, %.1f us before (%s)\n", layer, choice_text(a, &r->choice),
                    (long long)r->note->count, 1e6 * r->seconds, 1e6 * r->model_seconds,
                    choice_text(a, &r->note->chosen));
        else
            fprintf(out, "# %s: %s is best, %lld x %.1f us\n", layer, choice_text(a, &r->note->chosen),
                    (long long)r->note->count, 1e6 * r->model_seconds);
    }
    return !ferror(out);
}
