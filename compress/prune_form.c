/* --prune-pattern=auto: for each product the zeros that the target has a form for. Nonzeros anywhere where they become
 * instructions, or packed data of products of one row; blocks of output channels where they become packed data that
 * loops read; of integers words of four input channels, or anywhere where they become data one by one; else whole
 * channels, which leave every form smaller. */
#include "compress/prune.h"
#include <stdlib.h>
#include <string.h>

enum { WORD = 4 /* bytes that an instruction multiplies and adds together */, TALL = 4 /* rows of packed data */ };

/* x of a product is one row, whatever its sizes turn out to be. */
static bool is_row(const Node *n) {
    const Type *x = &n->in[0]->type;
    if (n->op == OP_Conv) return false;
    for (int i = 0; i < x->rank - 1; i++)
        if (x->dims[i]->hi != 1) return false;
    return true;
}

static PruneOptions blocks(PruneOptions form, int rows, int cols) {
    form.pattern = PRUNE_BLOCKS;
    form.rows = rows;
    form.cols = cols;
    return form;
}

PruneOptions prune_form(const PruneOptions *o, const Node *n) {
    PruneOptions form = *o;
    const Target *t = o->target;
    if (o->pattern != PRUNE_AUTO) return form;
    form.pattern = PRUNE_CHANNELS;
    if (o->integers && t && sparse_entries(t)) form.pattern = PRUNE_UNSTRUCTURED;
    if (o->integers) return t && sparse_words(t) ? blocks(form, 1, WORD) : form;
    bool code = t && sparse_lanes(t) && !o->small, data = t && sparse_panels(t, o->small);
    if (!code && data && !is_row(n)) return blocks(form, TALL, 1);
    if (code || is_row(n)) form.pattern = PRUNE_UNSTRUCTURED;
    return form;
}

/* n:m, or rows x cols, the last a power of two */
static bool two_numbers(const char *text, char between, int *a, int *b) {
    enum { MOST = 64 };
    char *end, *last;
    long x = strtol(text, &end, 10), y = *end == between ? strtol(end + 1, &last, 10) : 0;
    if (end == text || *end != between || last == end + 1 || *last) return false;
    if (x < 1 || x > MOST || y < 1 || y > MOST || (y & (y - 1))) return false;
    *a = (int)x;
    *b = (int)y;
    return true;
}

bool prune_pattern_parse(const char *text, PruneOptions *o) {
    o->rows = o->cols = 4;
    if (!strcmp(text, "unstructured")) o->pattern = PRUNE_UNSTRUCTURED;
    else if (!strcmp(text, "auto")) o->pattern = PRUNE_AUTO;
    else if (!strcmp(text, "channel")) o->pattern = PRUNE_CHANNELS;
    else if (!strcmp(text, "block")) o->pattern = PRUNE_BLOCKS, o->cols = 1;
    else if (!strncmp(text, "block:", 6) && two_numbers(text + 6, 'x', &o->rows, &o->cols)) o->pattern = PRUNE_BLOCKS;
    else if (two_numbers(text, ':', &o->n, &o->of) && o->n < o->of) o->pattern = PRUNE_N_OF_M;
    else return false;
    return true;
}

const char *prune_form_text(Ctx *ctx, const PruneOptions *f) {
    if (f->pattern == PRUNE_N_OF_M) return arena_printf(ctx->arena, "%d:%d", f->n, f->of);
    if (f->pattern == PRUNE_BLOCKS) return arena_printf(ctx->arena, "blocks of %dx%d", f->rows, f->cols);
    return f->pattern == PRUNE_CHANNELS ? "channels" : "unstructured";
}
