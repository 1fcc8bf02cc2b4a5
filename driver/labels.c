/* --labels=FILE: whole numbers, one for each row of the first output over the samples, in their order. */
#include "driver/fidelity.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 32 };

/* The next word; 0: there is none, -1: it is too long for a number */
static int next_word(FILE *f, char *word) {
    int c, n = 0;
    while ((c = getc(f)) != EOF && isspace(c)) {}
    for (; c != EOF && !isspace(c) && n < LONGEST; c = getc(f)) word[n++] = (char)c;
    word[n < LONGEST ? n : 0] = 0;
    return n < LONGEST ? n : -1;
}

static bool read_all(Ctx *ctx, FILE *f, const char *path, Labels *out) {
    char word[LONGEST], *end;
    int64_t room = 0;
    for (int n; (n = next_word(f, word)) != 0;) {
        errno = 0;
        long long v = n < 0 ? -1 : strtoll(word, &end, 10);
        if (n < 0 || *end || errno || v < 0) {
            diag_error(ctx, NULL, "%s: label %lld is no whole number from 0 on", path, (long long)out->n);
            return false;
        }
        if (out->n == room) {
            out->item = arena_grow(ctx->arena, out->item, (size_t)room, (size_t)(2 * room + 256), sizeof *out->item);
            room = 2 * room + 256;
        }
        out->item[out->n++] = v;
    }
    return true;
}

bool labels_read(Ctx *ctx, const char *path, Labels *out) {
    FILE *f = fopen(path, "rb");
    *out = (Labels){0};
    if (!f) {
        diag_error(ctx, NULL, "%s: cannot read the labels: %s", path, strerror(errno));
        return false;
    }
    bool good = read_all(ctx, f, path, out);
    if (good && ferror(f)) good = false, diag_error(ctx, NULL, "%s: cannot read the labels", path);
    fclose(f);
    return good;
}
