/* Common subexpressions: nodes of the same operator, attributes and inputs become one, and so do constants of the same
 * bytes. Hash tables with open addressing, sized for the graph: time is linear. */
#include "passes/internal.h"
#include <string.h>

enum { SAMPLE = 4096 }; /* bytes hashed at each end of a constant; candidates are compared whole */

typedef struct Table {
    void **slots;
    size_t mask;
} Table;

static Table table_new(Arena *a, size_t entries) {
    size_t size = 16;
    while (size < entries * 2) size *= 2;
    return (Table){ARENA_ARRAY(a, size, void *), size - 1};
}

/* The entry that equals x; x itself, now in the table, where none does. */
static void *table_find(Table *t, uint64_t hash, void *x, bool (*same)(const void *, const void *)) {
    for (size_t i = (size_t)hash & t->mask;; i = (i + 1) & t->mask) {
        if (!t->slots[i]) return t->slots[i] = x;
        if (same(t->slots[i], x)) return t->slots[i];
    }
}

/* ---- constants ---- */

static bool same_tensor(const Tensor *a, const Tensor *b) {
    if (a == b) return true;
    if (a->dtype != b->dtype || a->rank != b->rank || a->bytes != b->bytes || a->dtype == DT_STRING) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return a->bytes == 0 || a->data == b->data || !memcmp(a->data, b->data, a->bytes);
}

static uint64_t hash_tensor(uint64_t h, const Tensor *t) {
    int head[2] = {(int)t->dtype, t->rank};
    h = hash_bytes(h, head, sizeof head);
    h = hash_bytes(h, t->dims, sizeof *t->dims * (size_t)t->rank);
    if (t->dtype == DT_STRING) return h;
    size_t n = t->bytes < SAMPLE ? t->bytes : SAMPLE;
    h = hash_bytes(h, t->data, n);
    return n ? hash_bytes(h, (const char *)t->data + t->bytes - n, n) : h;
}

static bool same_constant(const void *a, const void *b) {
    return same_tensor(((const Value *)a)->constant, ((const Value *)b)->constant);
}

/* ---- nodes ---- */

static bool same_list(const Attr *a, const Attr *b) {
    if (a->n != b->n) return false;
    for (int i = 0; i < a->n; i++) {
        if (a->kind == ATTR_INTS && a->ints[i] != b->ints[i]) return false;
        if (a->kind == ATTR_FLOATS && a->floats[i] != b->floats[i]) return false;
        if (a->kind == ATTR_STRINGS && !str_eq(a->strings[i], b->strings[i])) return false;
    }
    return true;
}

static bool same_attr(const Attr *a, const Attr *b) {
    if (!b || a->kind != b->kind) return false;
    switch (a->kind) {
    case ATTR_INT: return a->i == b->i;
    case ATTR_FLOAT: return a->f == b->f;
    case ATTR_STRING: return str_eq(a->s, b->s);
    case ATTR_INTS:
    case ATTR_FLOATS:
    case ATTR_STRINGS: return same_list(a, b);
    case ATTR_TENSOR: return same_tensor(a->tensor, b->tensor);
    default: return false;
    }
}

static const Attr *attr_named(const Node *n, Str name) {
    for (int i = 0; i < n->n_attrs; i++)
        if (str_eq(n->attrs[i].name, name)) return &n->attrs[i];
    return NULL;
}

static bool same_node(const void *x, const void *y) {
    const Node *a = x, *b = y;
    if (a->op != b->op || a->n_in != b->n_in || a->n_out != b->n_out || a->n_attrs != b->n_attrs) return false;
    for (int i = 0; i < a->n_in; i++)
        if (a->in[i] != b->in[i]) return false;
    for (int i = 0; i < a->n_out; i++) /* a view's dims are its output's */
        if (!a->out[i] != !b->out[i] || (a->out[i] && !value_same_type(a->out[i], b->out[i]))) return false;
    for (int i = 0; i < a->n_attrs; i++)
        if (!same_attr(&a->attrs[i], attr_named(b, a->attrs[i].name))) return false;
    return true;
}

static uint64_t hash_node(const Node *n) {
    int head[2] = {(int)n->op, n->n_in};
    uint64_t h = hash_bytes(HASH_SEED, head, sizeof head);
    for (int i = 0; i < n->n_in; i++) {
        int id = n->in[i] ? n->in[i]->id : -1;
        h = hash_bytes(h, &id, sizeof id);
    }
    for (int i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].kind == ATTR_INT) h += hash_bytes(HASH_SEED, &n->attrs[i].i, sizeof n->attrs[i].i);
    return h;
}

static bool is_shareable(const Node *n) {
    if (n->body || n->n_out != 1 || !n->out[0]) return false;
    for (int i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].kind == ATTR_GRAPH || n->attrs[i].kind == ATTR_OTHER) return false;
    return true;
}

static size_t count_inputs(const Graph *g, size_t *nodes) {
    size_t inputs = 0;
    *nodes = 0;
    for (const Node *n = g->first; n; n = n->next) {
        inputs += (size_t)n->n_in;
        ++*nodes;
    }
    return inputs;
}

bool pass_cse(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    size_t nodes, inputs = count_inputs(g, &nodes);
    Table seen = table_new(r.scratch, nodes), constants = table_new(r.scratch, inputs);
    for (Node *n; (n = rewrite_next(&r));) {
        for (int i = 0; i < n->n_in; i++) {
            Value *v = n->in[i];
            if (!v || !v->constant) continue;
            rewrite_input(&r, n, i, table_find(&constants, hash_tensor(HASH_SEED, v->constant), v, same_constant));
        }
        if (!is_shareable(n)) continue;
        Node *first = table_find(&seen, hash_node(n), n, same_node);
        if (first != n) rewrite_replace(&r, n, first->out[0]);
    }
    return rewrite_end(&r);
}
