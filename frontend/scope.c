/* Names to values, and the order of nodes. A graph's names are sorted once and then searched, so that no choice of
 * names makes this slow; nodes may stand in any order, as long as there is one in which each value is made before it is
 * used. */
#include <stdlib.h>
#include <string.h>
#include "frontend/reader.h"

static int compare_names(Str a, Str b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int compare_defs(const void *a, const void *b) {
    const Def *x = a, *y = b;
    int c = compare_names(x->name, y->name);
    return c ? c : (x->kind != y->kind) ? (int)x->kind - (int)y->kind : x->place - y->place;
}

/* An input may have an initializer, which stands before it then. */
bool scope_close(Reader *r, Scope *s) {
    static const char *const kinds[] = {"an initializer", "an input", "an output of a node"};
    if (s->n_defs) qsort(s->defs, s->n_defs, sizeof *s->defs, compare_defs);
    for (size_t i = 0; i + 1 < s->n_defs; i++) {
        Def *a = &s->defs[i], *b = &s->defs[i + 1];
        if (!str_eq(a->name, b->name)) continue;
        if (a->kind == DEF_INITIALIZER && b->kind == DEF_INPUT) {
            b->value = a->value;
            continue;
        }
        diag_error(r->ctx, NULL, "the name '%s' is defined twice: as %s, and as %s", diag_name(r->ctx, a->name),
                   kinds[a->kind], kinds[b->kind]);
        return false;
    }
    return true;
}

bool scope_has(const Scope *s, Str name, Value **value) {
    *value = NULL;
    for (; s; s = s->outer) {
        size_t lo = 0, hi = s->n_defs;
        while (lo < hi) {
            size_t mid = lo + (hi - lo) / 2;
            int c = compare_names(s->defs[mid].name, name);
            if (c == 0) {
                *value = s->defs[mid].value;
                return true;
            }
            if (c < 0) lo = mid + 1;
            else hi = mid;
        }
    }
    return false;
}

Value *scope_find(const Scope *s, Str name) {
    Value *v;
    scope_has(s, name, &v);
    return v;
}

typedef struct Sorter {
    Ctx *ctx;
    Graph *g;
    Node **nodes; /* by their first place */
    int first_id; /* ids[id - first_id]: the place of a node of g; -1: another's */
    int *place, n_nodes, n_ids;
    int *waits;              /* of a node: inputs that no sorted node makes yet */
    int *users, *users_from; /* of node i: users[users_from[i]] … users[users_from[i + 1] - 1] */
    int *ready; /* nodes whose inputs are all made, in their new order; for a cycle: what a node waits for */
} Sorter;

typedef void (*EachDep)(Sorter *s, int user, int dep);

/* Calls f for each use by `user` of a value that a node of s->g makes; inner graphs' uses count as those of their node.
 */
static void each_dep(Sorter *s, const Node *n, int user, EachDep f) {
    for (int i = 0; i < n->n_in; i++) {
        const Node *def = n->in[i] ? n->in[i]->def : NULL;
        if (def && def->graph == s->g) f(s, user, s->place[def->id - s->first_id]);
    }
    for (int i = 0; i < n->n_attrs; i++) {
        const Graph *inner = n->attrs[i].graph;
        for (const Node *m = inner ? inner->first : NULL; m; m = m->next) each_dep(s, m, user, f);
        for (int k = 0; inner && k < inner->n_outputs; k++) {
            const Node *def = inner->outputs[k]->def;
            if (def && def->graph == s->g) f(s, user, s->place[def->id - s->first_id]);
        }
    }
}

static void count_dep(Sorter *s, int user, int dep) {
    s->waits[user]++;
    s->users_from[dep + 1]++;
}

static void add_dep(Sorter *s, int user, int dep) { s->users[s->users_from[dep]++] = user; }

static void out_of_order(Sorter *s, int user, int dep) {
    if (dep >= user) s->waits[0] = 1;
}

static bool is_sorted(Sorter *s) {
    s->waits[0] = 0;
    for (int i = 0; i < s->n_nodes; i++) each_dep(s, s->nodes[i], i, out_of_order);
    bool sorted = !s->waits[0];
    s->waits[0] = 0;
    return sorted;
}

static void note_waiting(Sorter *s, int user, int dep) {
    if (s->waits[dep] > 0) s->ready[user] = dep;
}

/* Each node that still waits, waits for another one: going from one to the next leads into the cycle. */
static bool report_cycle(Sorter *s) {
    const char *text = "";
    int at = 0, length = 0;
    for (int i = 0; i < s->n_nodes; i++) each_dep(s, s->nodes[i], i, note_waiting);
    while (s->waits[at] <= 0) at++;
    for (int step = 0; step < s->n_nodes; step++) at = s->ready[at];
    for (int start = at, more = 1; more; more = at != start, length++) {
        if (length < 8)
            text = arena_printf(s->ctx->arena, "%s%s%s", text, length ? " <- " : "", node_text(s->ctx, s->nodes[at]));
        at = s->ready[at];
    }
    diag_error(s->ctx, NULL, "the graph has a cycle of %d node%s: %s%s", length, length > 1 ? "s" : "", text,
               length > 8 ? " <- ..." : "");
    return false;
}

static bool sort_nodes(Sorter *s, Arena *scratch) {
    int n_deps = 0, done = 0, n_ready = 0;
    s->ready = ARENA_ARRAY(scratch, s->n_nodes, int);
    for (int i = 0; i < s->n_nodes; i++) each_dep(s, s->nodes[i], i, count_dep), n_deps += s->waits[i];
    for (int i = 0; i < s->n_nodes; i++) s->users_from[i + 1] += s->users_from[i];
    s->users = ARENA_ARRAY(scratch, n_deps + 1, int);
    for (int i = 0; i < s->n_nodes; i++) each_dep(s, s->nodes[i], i, add_dep); /* moves users_from on by one node */
    for (int i = 0; i < s->n_nodes; i++)
        if (!s->waits[i]) s->ready[n_ready++] = i;
    for (; done < n_ready; done++) {
        int i = s->ready[done], from = i ? s->users_from[i - 1] : 0;
        node_move_before(s->nodes[i], NULL);
        for (int k = from; k < s->users_from[i]; k++)
            if (--s->waits[s->users[k]] == 0) s->ready[n_ready++] = s->users[k];
    }
    return done == s->n_nodes || report_cycle(s);
}

bool graph_sort(Ctx *ctx, Arena *scratch, Graph *g) {
    Sorter s = {.ctx = ctx, .g = g};
    int last_id = -1;
    if (!g->first) return true;
    s.first_id = g->first->id;
    for (Node *n = g->first; n; n = n->next, s.n_nodes++) {
        if (n->id > last_id) last_id = n->id;
        if (n->id < s.first_id) s.first_id = n->id;
    }
    s.n_ids = last_id - s.first_id + 1;
    s.nodes = ARENA_ARRAY(scratch, s.n_nodes, Node *);
    s.place = ARENA_ARRAY(scratch, s.n_ids, int);
    s.waits = ARENA_ARRAY(scratch, s.n_nodes, int);
    s.users_from = ARENA_ARRAY(scratch, s.n_nodes + 2, int);
    int i = 0;
    for (Node *n = g->first; n; n = n->next, i++) s.nodes[i] = n, s.place[n->id - s.first_id] = i;
    return is_sorted(&s) || sort_nodes(&s, scratch);
}
