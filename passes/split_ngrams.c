/* TfIdfVectorizer -> mcc.Ngrams: the pool that attributes tell becomes constants, the n-grams of each wanted length in
 * ascending order, so that they are found by halving. Of equal ones the last counts, as in a dictionary. Inference has
 * checked the attributes. */
#include <stdlib.h>
#include <string.h>
#include "passes/internal.h"

typedef struct Gram {
    const int64_t *v;
    int length, place; /* in the pool */
} Gram;

static int compare(const void *a, const void *b) {
    const Gram *x = a, *y = b;
    for (int i = 0; i < x->length; i++)
        if (x->v[i] != y->v[i]) return x->v[i] < y->v[i] ? -1 : 1;
    return x->place - y->place;
}

static bool same(const Gram *a, const Gram *b) { return !memcmp(a->v, b->v, sizeof *a->v * (size_t)a->length); }

typedef struct Pool { /* what the constants hold, as it grows */
    int64_t *grams, *first, *columns;
    int64_t n, n_grams;
} Pool;

/* The `many` n-grams of one length, of which the first has this place. */
static void add_length(Pool *p, Rewrite *r, const int64_t *from, int length, int64_t many, int place,
                       const int64_t *columns) {
    Gram *all = ARENA_ARRAY(r->scratch, many + 1, Gram);
    for (int i = 0; i < many; i++) all[i] = (Gram){from + (int64_t)i * length, length, place + i};
    qsort(all, (size_t)many, sizeof *all, compare);
    for (int i = 0; i < many; i++) {
        if (i + 1 < many && same(&all[i], &all[i + 1])) continue;
        memcpy(p->grams + p->n, all[i].v, sizeof *p->grams * (size_t)length);
        p->n += length;
        p->columns[p->n_grams++] = columns[all[i].place];
    }
}

/* by column; they are given by place in the pool */
static Value *weights_value(Rewrite *r, const Attr *weights, const Attr *indexes, int64_t columns) {
    Tensor *t = tensor_new(r->g, DT_F32, 1, &columns);
    for (int64_t i = 0; t && i < columns; i++) ((float *)t->data)[i] = 0;
    for (int i = 0; t && i < indexes->n; i++) ((float *)t->data)[indexes->ints[i]] = (float)weights->floats[i];
    return t ? value_of_tensor(r->g, t) : NULL;
}

void split_ngrams(Rewrite *r, Node *n) {
    const Attr *counts = node_attr(n, "ngram_counts"), *pool = node_attr(n, "pool_int64s"),
               *indexes = node_attr(n, "ngram_indexes"), *weights = node_attr(n, "weights");
    int least = (int)node_int(n, "min_gram_length"), most = (int)node_int(n, "max_gram_length"), place = 0;
    int64_t skip = node_int(n, "max_skip_count"), columns = 0;
    const char *const modes[] = {"TF", "IDF", "TFIDF"}, *mode = modes[node_enum(n, "mode")];
    Pool p = {.grams = ARENA_ARRAY(r->scratch, pool->n + 1, int64_t),
              .first = ARENA_ARRAY(r->scratch, counts->n + 2, int64_t),
              .columns = ARENA_ARRAY(r->scratch, indexes->n + 1, int64_t)};
    for (int length = 1; length <= counts->n; length++) {
        int64_t from = counts->ints[length - 1], to = length < counts->n ? counts->ints[length] : pool->n;
        int64_t many = (to - from) / length;
        if (length >= least && length <= most) {
            add_length(&p, r, pool->ints + from, length, many, place, indexes->ints);
            p.first[length - least + 1] = p.n;
        }
        place += (int)many;
    }
    for (int i = 0; i < indexes->n; i++)
        if (indexes->ints[i] >= columns) columns = indexes->ints[i] + 1;
    Value *in[] = {n->in[0], const_ints_value(r->g, p.grams, p.n), const_ints_value(r->g, p.first, most - least + 2),
                   const_ints_value(r->g, p.columns, p.n_grams), weights ? weights_value(r, weights, indexes, columns) : NULL};
    for (int i = 1; i < 4 + (weights != NULL); i++)
        if (!in[i]) return; /* no room: said already */
    rewrite_become(r, n, OP_Ngrams, in, weights ? 5 : 4);
    node_set_int(n, "columns", columns);
    node_set_int(n, "max_skip_count", skip);
    node_set_int(n, "min_gram_length", least);
    node_set_string(n, "mode", mode);
}
