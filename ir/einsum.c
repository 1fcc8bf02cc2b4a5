/* The equation of an Einsum: which index runs along which axis. Letters are labels by their place in the alphabet,
 * capitals first; the axes of an ellipsis are labels behind them, counted from the right, so that they broadcast. */
#include "ir/ir.h"
#include <string.h>

enum { LETTERS = 52 };

static int label_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    return c >= 'a' && c <= 'z' ? 26 + c - 'a' : -1;
}

static bool refuse(Ctx *ctx, const Node *n, const char *what) {
    diag_error(ctx, n, "equation '%s' %s", diag_name(ctx, node_attr(n, "equation")->s), what);
    return false;
}

/* The term from *at up to a comma or arrow. rank: how many axes it has; -1: as many as it says, an ellipsis being
 * `dots`.
 */
static bool read_term(Ctx *ctx, const Node *n, const char **at, const char *end, int rank, int dots, EinsumTerm *t) {
    const char *p = *at;
    int letters = 0, ellipsis = -1;
    char text[MCC_MAX_RANK];
    for (; p < end && *p != ',' && *p != '-'; p++) {
        if (*p == ' ') continue;
        if (*p == '.') {
            if (end - p < 3 || p[1] != '.' || p[2] != '.' || ellipsis >= 0) return refuse(ctx, n, "has a stray dot");
            ellipsis = letters;
            p += 2;
            continue;
        }
        if (label_of(*p) < 0) return refuse(ctx, n, "has a character that is no letter");
        if (letters == MCC_MAX_RANK) return refuse(ctx, n, "has a term of too many letters");
        text[letters++] = *p;
    }
    *at = p;
    if (rank < 0) rank = letters + (ellipsis >= 0 ? dots : 0);
    if (ellipsis < 0 ? letters != rank : letters > rank)
        return refuse(ctx, n, "has a term of another number of axes than its operand");
    if (rank > MCC_MAX_RANK) return refuse(ctx, n, "has a term of too many axes");
    t->rank = 0;
    t->dots = rank - letters;
    for (int i = 0; i <= letters; i++) {
        for (int k = 0; i == ellipsis && k < t->dots; k++) t->labels[t->rank++] = LETTERS + MCC_MAX_RANK - t->dots + k;
        if (i < letters) t->labels[t->rank++] = label_of(text[i]);
    }
    return true;
}

/* Without an arrow: the ellipsis, then what occurs once, by the alphabet */
static bool imply_output(Ctx *ctx, const Node *n, const int *count, int dots, EinsumTerm *out) {
    *out = (EinsumTerm){.dots = dots};
    for (int k = 0; k < dots; k++) out->labels[out->rank++] = LETTERS + MCC_MAX_RANK - dots + k;
    for (int i = 0; i < LETTERS; i++) {
        if (count[i] != 1) continue;
        if (out->rank == MCC_MAX_RANK) return refuse(ctx, n, "has a result of too many axes");
        out->labels[out->rank++] = i;
    }
    return true;
}

static bool check_output(Ctx *ctx, const Node *n, const int *count, int dots, const EinsumTerm *out) {
    uint64_t seen = 0;
    for (int i = 0; i < out->rank; i++) {
        if (!count[out->labels[i]]) return refuse(ctx, n, "has a letter in its result that no operand has");
        if (seen >> out->labels[i] & 1) return refuse(ctx, n, "has a letter twice in its result");
        seen |= (uint64_t)1 << out->labels[i];
    }
    return out->dots == dots || refuse(ctx, n, "has an ellipsis that its result lacks");
}

bool einsum_read(Ctx *ctx, const Node *n, EinsumTerm *in, EinsumTerm *out) {
    const Attr *a = node_attr(n, "equation");
    int count[EINSUM_LABELS] = {0}, dots = 0;
    if (!a || a->kind != ATTR_STRING) {
        diag_error(ctx, n, "it has no equation");
        return false;
    }
    const char *at = a->s.n ? a->s.p : "", *end = at + a->s.n;
    for (int i = 0; i < n->n_in; i++) {
        if (!read_term(ctx, n, &at, end, n->in[i]->type.rank, 0, &in[i])) return false;
        bool more = at < end && *at == ',';
        if (more != (i + 1 < n->n_in)) return refuse(ctx, n, "has another number of terms than there are operands");
        at += more;
        for (int k = 0; k < in[i].rank; k++) count[in[i].labels[k]]++;
        if (in[i].dots > dots) dots = in[i].dots;
    }
    if (at == end) return imply_output(ctx, n, count, dots, out);
    if (end - at < 2 || at[1] != '>') return refuse(ctx, n, "has a dash without an arrow");
    at += 2;
    if (!read_term(ctx, n, &at, end, -1, dots, out)) return false;
    return at == end ? check_output(ctx, n, count, dots, out) : refuse(ctx, n, "has something behind its result");
}
