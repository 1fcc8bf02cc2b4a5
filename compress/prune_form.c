/* --prune-pattern=auto: for each product the zeros that the target has a form for. Nonzeros anywhere where they become
 * instructions, or packed data of products of one row; of integers words of four input channels; else whole channels,
 * which leave every form smaller. */
#include "compress/prune.h"

enum { WORD = 4 }; /* bytes that an instruction multiplies and adds together */

/* x of a product is one row, whatever its sizes turn out to be. */
static bool is_row(const Node *n) {
    const Type *x = &n->in[0]->type;
    if (n->op == OP_Conv) return false;
    for (int i = 0; i < x->rank - 1; i++)
        if (x->dims[i]->hi != 1) return false;
    return true;
}

PruneOptions prune_form(const PruneOptions *o, const Node *n) {
    PruneOptions form = *o;
    if (o->pattern != PRUNE_AUTO) return form;
    bool code = o->target && (o->integers ? sparse_words(o->target) : sparse_lanes(o->target) > 0);
    if (code && o->integers) {
        form.pattern = PRUNE_BLOCKS;
        form.rows = 1;
        form.cols = WORD;
    } else form.pattern = code || (is_row(n) && !o->integers) ? PRUNE_UNSTRUCTURED : PRUNE_CHANNELS;
    return form;
}

const char *prune_form_text(Ctx *ctx, const PruneOptions *f) {
    if (f->pattern == PRUNE_N_OF_M) return arena_printf(ctx->arena, "%d:%d", f->n, f->of);
    if (f->pattern == PRUNE_BLOCKS) return arena_printf(ctx->arena, "blocks of %dx%d", f->rows, f->cols);
    return f->pattern == PRUNE_CHANNELS ? "channels" : "unstructured";
}
