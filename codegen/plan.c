/* The static memory plan: each value gets a place in a parameter, the weights, or the workspace. Views share their base's
 * place; a result goes straight into the app's buffer where it can; an elementwise result overwrites an input that dies
 * there. Workspace blocks that are alive at the same time do not overlap; offsets are found largest block first. The lower
 * bound is the largest sum of blocks alive at one node. */
#include <stdlib.h>
#include <string.h>
#include "codegen/gen.h"

enum { ALIGN = 64 };

typedef struct Block { /* of workspace, for one or more values that take turns in it */
    size_t bytes, offset;
    int first, last; /* positions of nodes: alive in [first, last] */
    int owner;       /* value id, or -1 - node id for scratch */
} Block;

typedef struct Planner {
    Ctx *ctx;
    Graph *g;
    const CodeOptions *opt;
    Plan *p;
    int *base;     /* by value id: whose place it shares */
    int *block_of; /* by base value id: its block, or -1 */
    int *last_use; /* by base value id */
    Block *blocks;
    int n_blocks, end;
} Planner;

static int base_of(const Planner *s, const Value *v) { return s->base[v->id]; }
static size_t round_up(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

static void fill_bases(Planner *s) {
    for (int i = 0; i < s->ctx->next_id; i++) s->base[i] = i, s->block_of[i] = -1, s->last_use[i] = -1;
    for (const Node *n = s->g->first; n; n = n->next)
        if (op_has(n->op, OP_VIEW) && n->out[0] && !n->in[0]->constant) s->base[n->out[0]->id] = s->base[n->in[0]->id];
}

static void fill_last_uses(Planner *s) {
    int at = 0;
    for (const Node *n = s->g->first; n; n = n->next, at++)
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i]) s->last_use[base_of(s, n->in[i])] = at;
    s->end = at;
}

/* outputs of the graph that nothing else claimed go straight into the app's buffers */
static void bind_parameters(Planner *s) {
    for (int i = 0; i < s->g->n_inputs; i++) s->p->loc[s->g->inputs[i]->id] = (Loc){LOC_INPUT, i, 0};
    for (int i = 0; i < s->g->n_outputs; i++) {
        const Value *v = s->g->outputs[i];
        if (v->constant) continue;
        Loc *l = &s->p->loc[base_of(s, v)];
        if (l->kind == LOC_NONE) *l = (Loc){LOC_OUTPUT, i, 0};
        else s->last_use[base_of(s, v)] = s->end; /* copied at the end */
    }
}

/* Large blocks are longer by an odd number of lines: neighbours that begin at the same place of a page would share the
 * caches' sets. */
static int block_new(Planner *s, size_t bytes, int first, int last, int owner) {
    enum { LARGE = 16384, SKEW = 17 * ALIGN };
    bytes = round_up(bytes);
    if (bytes >= LARGE) bytes += SKEW;
    s->blocks[s->n_blocks] = (Block){bytes, 0, first, last, owner};
    return s->n_blocks++;
}

static bool reuse_input(Planner *s, const Node *n, int at, size_t bytes, int out_base) {
    const Emitter *e = emitter_of(n);
    for (int i = 0; e->in_place && i < n->n_in; i++) {
        if (!n->in[i] || n->in[i]->constant || !e->in_place(n, i)) continue;
        int in_base = base_of(s, n->in[i]), b = s->block_of[in_base];
        if (b < 0 || s->last_use[in_base] != at || s->blocks[b].bytes < bytes || s->blocks[b].last != at) continue;
        s->block_of[out_base] = b;
        s->blocks[b].last = s->last_use[out_base] < at ? at : s->last_use[out_base];
        return true;
    }
    return false;
}

static bool place_outputs(Planner *s, const Node *n, int at) {
    for (int i = 0; i < n->n_out; i++) {
        const Value *v = n->out[i];
        size_t bytes;
        if (!v || base_of(s, v) != v->id || s->p->loc[v->id].kind != LOC_NONE) continue;
        if (op_has(n->op, OP_VIEW)) { /* a view of a constant */
            s->p->loc[v->id] = s->p->loc[n->in[0]->id];
            continue;
        }
        if (!value_max_bytes(s->ctx, v, &bytes)) {
            diag_error(s->ctx, n, "output %d has no bound on its size, or one that overflows (give --max-dim or --dim)", i);
            return false;
        }
        int last = s->last_use[v->id] < at ? at : s->last_use[v->id];
        if (i == 0 && reuse_input(s, n, at, round_up(bytes), v->id)) continue;
        s->block_of[v->id] = block_new(s, bytes, at, last, v->id);
    }
    return true;
}

static bool place_scratch(Planner *s, const Node *n, int at) {
    const Emitter *e = emitter_of(n);
    size_t bytes = 0;
    if (!e->scratch) return true;
    if (!e->scratch(s->ctx, n, &bytes)) return false;
    size_t chunks = (size_t)node_chunks(s->opt, n); /* each has its own */
    if (bytes > SIZE_MAX / 2 / chunks) {
        diag_error(s->ctx, n, "needs more scratch memory than there are addresses");
        return false;
    }
    if (bytes) block_new(s, round_up(bytes) * chunks, at, at, -1 - n->id);
    return true;
}

static void place_weight(Planner *s, const Value *v) {
    Plan *p = s->p;
    if (p->loc[v->id].kind != LOC_NONE) return;
    for (int i = 0; i < p->n_weights; i++)
        if (p->weights[i].data == v->constant->data && p->weights[i].bytes == v->constant->bytes) {
            p->loc[v->id] = (Loc){LOC_WEIGHTS, i, p->weights[i].offset};
            return;
        }
    p->loc[v->id] = (Loc){LOC_WEIGHTS, p->n_weights, p->weights_bytes};
    p->weights[p->n_weights++] = (Segment){v->constant->data, v->constant->bytes, p->weights_bytes};
    p->weights_bytes = round_up(p->weights_bytes + v->constant->bytes);
}

static void place_weights(Planner *s) {
    int most = s->g->n_outputs;
    for (const Node *n = s->g->first; n; n = n->next) most += n->n_in;
    s->p->weights = ARENA_ARRAY(s->g->arena, most, Segment);
    for (const Node *n = s->g->first; n; n = n->next)
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] && n->in[i]->constant) {
                if (kernel_embeds(n, i) && !op_has(n->op, OP_VIEW)) continue;
                place_weight(s, n->in[i]);
            }
    for (int i = 0; i < s->g->n_outputs; i++)
        if (s->g->outputs[i]->constant) place_weight(s, s->g->outputs[i]);
}

static int by_size(const void *a, const void *b) {
    const Block *x = *(Block *const *)a, *y = *(Block *const *)b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x->owner < y->owner ? -1 : 1);
}

static int by_offset(const void *a, const void *b) {
    const Block *x = *(Block *const *)a, *y = *(Block *const *)b;
    return x->offset != y->offset ? (x->offset < y->offset ? -1 : 1) : 0;
}

/* largest first, each at the lowest offset that no block alive beside it covers */
static void assign_offsets(Planner *s) {
    Block **order = ARENA_ARRAY(s->g->arena, s->n_blocks, Block *), **near = ARENA_ARRAY(s->g->arena, s->n_blocks, Block *);
    for (int i = 0; i < s->n_blocks; i++) order[i] = &s->blocks[i];
    qsort(order, (size_t)s->n_blocks, sizeof *order, by_size);
    for (int i = 0; i < s->n_blocks; i++) {
        int beside = 0;
        for (int k = 0; k < i; k++)
            if (order[k]->first <= order[i]->last && order[i]->first <= order[k]->last) near[beside++] = order[k];
        qsort(near, (size_t)beside, sizeof *near, by_offset);
        size_t at = 0;
        for (int k = 0; k < beside; k++) {
            if (near[k]->offset >= at + order[i]->bytes) break;
            if (near[k]->offset + near[k]->bytes > at) at = near[k]->offset + near[k]->bytes;
        }
        order[i]->offset = at;
        if (at + order[i]->bytes > s->p->workspace) s->p->workspace = at + order[i]->bytes;
    }
}

static void fill_lower_bound(Planner *s) {
    for (int at = 0; at < s->end; at++) {
        size_t alive = 0;
        for (int i = 0; i < s->n_blocks; i++)
            if (s->blocks[i].first <= at && at <= s->blocks[i].last) alive += s->blocks[i].bytes;
        if (alive > s->p->lower_bound) s->p->lower_bound = alive;
    }
}

static void fill_locations(Planner *s) {
    for (int i = 0; i < s->n_blocks; i++)
        if (s->blocks[i].owner < 0) s->p->scratch[-1 - s->blocks[i].owner] = s->blocks[i].offset;
    for (int id = 0; id < s->ctx->next_id; id++)
        if (s->base[id] == id && s->block_of[id] >= 0) s->p->loc[id] = (Loc){LOC_WORKSPACE, 0, s->blocks[s->block_of[id]].offset};
    for (int id = 0; id < s->ctx->next_id; id++)
        if (s->base[id] != id) s->p->loc[id] = s->p->loc[s->base[id]];
}

bool plan_memory(Ctx *ctx, Graph *g, const CodeOptions *o, Plan *p) {
    size_t ids = (size_t)ctx->next_id;
    Planner s = {.ctx = ctx, .g = g, .opt = o, .p = p};
    p->loc = ARENA_ARRAY(g->arena, ids, Loc);
    p->scratch = ARENA_ARRAY(g->arena, ids, size_t);
    for (size_t i = 0; i < ids; i++) p->scratch[i] = NO_SCRATCH;
    s.base = ARENA_ARRAY(g->arena, ids, int);
    s.block_of = ARENA_ARRAY(g->arena, ids, int);
    s.last_use = ARENA_ARRAY(g->arena, ids, int);
    s.blocks = ARENA_ARRAY(g->arena, ids, Block);
    fill_bases(&s);
    fill_last_uses(&s);
    bind_parameters(&s);
    place_weights(&s);
    int at = 0;
    for (const Node *n = g->first; n; n = n->next, at++)
        if (!place_outputs(&s, n, at) || !place_scratch(&s, n, at)) return false;
    assign_offsets(&s);
    fill_lower_bound(&s);
    fill_locations(&s);
    if (p->workspace < ALIGN) p->workspace = ALIGN;
    return true;
}
