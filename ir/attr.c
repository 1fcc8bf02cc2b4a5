/* Attributes of nodes: reading with the table's defaults, setting. */
#include "ir/ir.h"
#include <string.h>

const Attr *node_attr(const Node *n, const char *name) {
    for (int i = 0; i < n->n_attrs; i++)
        if (str_is(n->attrs[i].name, name)) return &n->attrs[i];
    return NULL;
}

int64_t node_int(const Node *n, const char *name) {
    const Attr *a = node_attr(n, name);
    if (a && a->kind == ATTR_INT) return a->i;
    const AttrSchema *s = op_attr(n->op, name);
    return s ? s->def_int : 0;
}

double node_float(const Node *n, const char *name) {
    const Attr *a = node_attr(n, name);
    if (a && a->kind == ATTR_FLOAT) return a->f;
    const AttrSchema *s = op_attr(n->op, name);
    return s ? s->def_float : 0;
}

int node_ints(const Node *n, const char *name, const int64_t **out) {
    const Attr *a = node_attr(n, name);
    if (!a || a->kind != ATTR_INTS) return 0;
    *out = a->ints;
    return a->n;
}

int64_t node_int_at(const Node *n, const char *name, int i, int64_t otherwise) {
    const int64_t *v = NULL;
    return i < node_ints(n, name, &v) ? v[i] : otherwise;
}

int node_enum(const Node *n, const char *name) {
    const Attr *a = node_attr(n, name);
    const AttrSchema *s = op_attr(n->op, name);
    if (!a || a->kind != ATTR_STRING) return 0;
    int index = 0;
    for (const char *w = s->words; w; index++) {
        const char *bar = strchr(w, '|');
        size_t len = bar ? (size_t)(bar - w) : strlen(w);
        if (a->s.n == len && !memcmp(a->s.p, w, len)) return index;
        w = bar ? bar + 1 : NULL;
    }
    return -1;
}

static char upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c; }

static bool same_word(Str s, const char *word, size_t len) {
    bool same = s.n == len;
    for (size_t i = 0; same && i < len; i++) same = upper(s.p[i]) == upper(word[i]);
    return same;
}

int node_words(const Node *n, const char *name, int64_t out[WORDS_MAX]) {
    const Attr *a = node_attr(n, name);
    const AttrSchema *s = op_attr(n->op, name);
    if (!a || a->kind != ATTR_STRINGS) return 0;
    for (int i = 0; i < a->n; i++) {
        int64_t index = 0;
        const char *w = s->words;
        for (; w && i < WORDS_MAX; index++) {
            const char *bar = strchr(w, '|');
            if (same_word(a->strings[i], w, bar ? (size_t)(bar - w) : strlen(w))) break;
            w = bar ? bar + 1 : NULL;
        }
        if (!w || i >= WORDS_MAX) return -1;
        out[i] = index;
    }
    return a->n;
}

static Attr *attr_slot(Node *n, const char *name, AttrKind kind) {
    Attr *slot = (Attr *)node_attr(n, name);
    if (!slot) {
        n->attrs = arena_grow(n->graph->arena, n->attrs, (size_t)n->n_attrs, (size_t)n->n_attrs + 1, sizeof *n->attrs);
        slot = &n->attrs[n->n_attrs++];
    }
    *slot = (Attr){.name = arena_str(n->graph->arena, name, strlen(name)), .kind = kind};
    return slot;
}

Attr *node_set_int(Node *n, const char *name, int64_t v) {
    Attr *a = attr_slot(n, name, ATTR_INT);
    a->i = v;
    return a;
}

Attr *node_set_float(Node *n, const char *name, double v) {
    Attr *a = attr_slot(n, name, ATTR_FLOAT);
    a->f = v;
    return a;
}

Attr *node_set_string(Node *n, const char *name, const char *v) {
    Attr *a = attr_slot(n, name, ATTR_STRING);
    a->s = arena_str(n->graph->arena, v, strlen(v));
    return a;
}

Attr *node_set_ints(Node *n, const char *name, const int64_t *v, int count) {
    int64_t *copy = ARENA_ARRAY(n->graph->arena, count, int64_t);
    if (count) memcpy(copy, v, sizeof *v * (size_t)count);
    Attr *a = attr_slot(n, name, ATTR_INTS);
    a->ints = copy;
    a->n = count;
    return a;
}

Attr *node_set_tensor(Node *n, const char *name, const Tensor *t) {
    Attr *a = attr_slot(n, name, ATTR_TENSOR);
    a->tensor = t;
    return a;
}

Attr *node_set_graph(Node *n, const char *name, Graph *g) {
    Attr *a = attr_slot(n, name, ATTR_GRAPH);
    a->graph = g;
    return a;
}

void node_remove_attr(Node *n, const char *name) {
    Attr *a = (Attr *)node_attr(n, name);
    if (!a) return;
    *a = n->attrs[--n->n_attrs];
}

const char *node_text(Ctx *ctx, const Node *n) {
    const char *op = op_info(n->op)->name;
    if (n->index < 0) return arena_printf(ctx->arena, "(%s)", op ? op : "?");
    return arena_printf(ctx->arena, "'%s' (%s-%d)", diag_name(ctx, n->name), op ? op : "?", n->index);
}
