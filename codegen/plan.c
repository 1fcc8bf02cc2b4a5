/* The static memory plan: each value gets a place in a parameter, the weights, or the workspace. Views share their
 * base's place, and so do slices that are one piece of it; what Concat joins is computed where it will lie; a result
 * goes straight into the app's buffer where it can; an elementwise result overwrites an input that dies there.
 * Workspace blocks that are alive at the same time do not overlap; offsets are found largest block first. The lower
 * bound is the largest sum of blocks alive at one node. The bodies of control flow are planned like models, with inputs,
 * outputs and a workspace of their own, which is scratch memory of the node. */
#include <stdlib.h>
#include <string.h>
#include "codegen/gpu.h"

enum { ALIGN = 64 };

typedef struct Planner {
    Ctx *ctx;
    const Graph *g; /* in work; what follows is of all graphs, as ids are */
    const CodeOptions *opt;
    Plan *p;
    Arena *arena;
    int *base;              /* by value id: whose place it shares */
    size_t *shift;          /* by value id: where in it, bytes */
    bool *shared;           /* by base value id: others have parts of it */
    const Node **joined_by; /* by base value id: the last Concat that asked for it */
    Value **value;          /* by id: those that nodes compute */
    int *block_of;          /* by base value id: its block, or -1 */
    int *last_use;          /* by base value id */
    PlanBlock *blocks;      /* of the graph in work, as what follows */
    int n_blocks, end;
    size_t state, workspace, lower_bound;
} Planner;

static bool plan_graph(Planner *s, const Graph *g, size_t state);

/* The value whose place this one has a part of, `shift` bytes from its start. A base moves into another at most once
 * and takes along what has parts of it: those find the way here, and shorten it. */
static int base_of_id(const Planner *s, int id) {
    int base = id;
    size_t shift = 0;
    for (; s->base[base] != base; base = s->base[base]) shift += s->shift[base];
    while (id != base) {
        int next = s->base[id];
        size_t rest = shift - s->shift[id];
        s->base[id] = base, s->shift[id] = shift;
        id = next, shift = rest;
    }
    return base;
}

static int base_of(const Planner *s, const Value *v) { return base_of_id(s, v->id); }

static size_t shift_of(const Planner *s, const Value *v) {
    base_of(s, v);
    return s->shift[v->id];
}

static size_t round_up(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

static void fill_bases(Planner *s) {
    for (const Node *n = s->g->first; n; n = n->next)
        if (op_has(n->op, OP_VIEW) && n->out[0] && !n->in[0]->constant) s->base[n->out[0]->id] = base_of(s, n->in[0]);
}

/* ---- concatenation in place ---- */

static bool constant_bytes(Planner *s, const Value *v, size_t *bytes) {
    for (int i = 0; i < v->type.rank; i++)
        if (v->type.dims[i]->kind != DIM_CONST) return false;
    return dtype_bits(v->type.dtype) % 8 == 0 && value_max_bytes(s->ctx, v, bytes);
}

/* parts lie one behind the other: nothing but 1 in front of the axis */
static bool joins_whole_parts(const Node *n) {
    const Type *y = &n->out[0]->type;
    int64_t axis = node_int(n, "axis");
    if (axis < 0) axis += y->rank;
    for (int i = 0; i < axis; i++)
        if (!dim_is(y->dims[i], 1)) return false;
    return true;
}

/* a value that a node computes, in a place of its own that nobody has parts of, and of which v is all */
static bool can_move(Planner *s, const Value *v, size_t bytes) {
    int base = base_of(s, v);
    size_t whole;
    return s->value[base] && !s->shared[base] && s->p->loc[base].kind == LOC_NONE &&
           constant_bytes(s, s->value[base], &whole) && whole == bytes && shift_of(s, v) == 0;
}

static void move(Planner *s, int from, int to, size_t by) {
    s->base[from] = to;
    s->shift[from] += by;
    s->shared[to] = true;
}

/* kernels of GPUs count on it */
static bool may_begin_at(const Planner *s, size_t at) { return !s->opt->target->sm || at % GPU_ALIGN == 0; }

/* Inputs that nobody placed yet go into the output's place; where all of them lie behind one another already, in that
 * of a later Concat, the output is there. false: it has to be copied together. */
static bool join(Planner *s, const Node *n) {
    size_t bytes, at = 0, start = shift_of(s, n->in[0]);
    bool movable = true, joined = true;
    int base = base_of(s, n->in[0]), out = base_of(s, n->out[0]);
    if (!constant_bytes(s, n->out[0], &bytes)) return false;
    for (int i = 0; i < n->n_in; i++, at += bytes) {
        const Value *v = n->in[i];
        if (v->constant || !constant_bytes(s, v, &bytes) || !may_begin_at(s, at)) return false;
        movable = movable && can_move(s, v, bytes) && base_of(s, v) != out;
        movable = movable && s->joined_by[base_of(s, v)] != n; /* no part twice */
        s->joined_by[base_of(s, v)] = n;
        joined = joined && base_of(s, v) == base && shift_of(s, v) == start + at;
    }
    if (!movable && !(joined && s->shared[base] && can_move(s, n->out[0], at))) return false;
    if (!movable) {
        move(s, out, base, start);
        return true;
    }
    at = shift_of(s, n->out[0]);
    for (int i = 0; i < n->n_in; i++, at += bytes) {
        if (!constant_bytes(s, n->in[i], &bytes)) return false;
        move(s, base_of(s, n->in[i]), out, at);
    }
    return true;
}

static void place_concats(Planner *s) {
    for (const Node *n = s->g->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) s->value[n->out[i]->id] = n->out[i];
    for (const Node *n = s->g->last; n; n = n->prev)
        if (n->op == OP_Concat && joins_whole_parts(n)) s->p->joined[n->id] = join(s, n);
}

/* ---- slices as views ---- */

/* a slice at constant places, alone in its node */
static const Node *slice_of(const Node *n) {
    if (n->op == OP_Fused && n->n_in == 1 && n->body->first == n->body->last) n = n->body->first;
    if (!n || n->op != OP_Slice) return NULL;
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i] && !n->in[i]->constant) return NULL;
    return n;
}

static bool has_steps(const Node *slice) {
    const Value *steps = node_in(slice, 4);
    for (int64_t i = 0; steps && i < steps->constant->dims[0]; i++)
        if (tensor_int(steps->constant, i) != 1) return true;
    return false;
}

/* One piece of its input: cut along the first axis longer than 1 alone. start: the first place along it. */
static bool is_piece(const Node *slice, int *axis, int64_t *start) {
    const Type *x = &slice->in[0]->type, *y = &slice->out[0]->type;
    const Tensor *starts = slice->in[1]->constant, *axes = node_in(slice, 3) ? slice->in[3]->constant : NULL;
    int cut = 0;
    while (cut < x->rank && dim_is(x->dims[cut], 1)) cut++;
    if (cut == x->rank || has_steps(slice)) return false;
    for (int d = cut + 1; d < x->rank; d++)
        if (x->dims[d] != y->dims[d]) return false;
    *axis = cut;
    *start = 0;
    for (int64_t i = 0; i < starts->dims[0]; i++) {
        int64_t at = axes ? tensor_int(axes, i) : i, from = tensor_int(starts, i), size = x->dims[cut]->value;
        if ((at < 0 ? at + x->rank : at) != cut) continue;
        if (from < 0) from += size;
        *start = from < 0 ? 0 : from > size ? size : from;
    }
    return true;
}

/* A small part of a large value is copied: it would keep all of it alive. */
static bool is_worth_keeping(Planner *s, int base, size_t bytes) {
    enum { LEAST_PART = 8 };
    size_t whole;
    return !s->value[base] || s->p->loc[base].kind != LOC_NONE ||
           (constant_bytes(s, s->value[base], &whole) && whole / LEAST_PART <= bytes);
}

static void place_slices(Planner *s) {
    for (const Node *n = s->g->first; n; n = n->next) {
        const Node *slice = slice_of(n);
        if (!slice || n->in[0]->constant || !n->out[0]) continue;
        const Value *x = n->in[0], *y = n->out[0];
        size_t all, bytes;
        int axis;
        int64_t start;
        if (!constant_bytes(s, x, &all) || !constant_bytes(s, y, &bytes) || !bytes || !is_piece(slice, &axis, &start))
            continue;
        if (base_of(s, x) == base_of(s, y) || !can_move(s, y, bytes) || !is_worth_keeping(s, base_of(s, x), bytes))
            continue;
        size_t step = all / (size_t)x->type.dims[axis]->value;
        if (!may_begin_at(s, (size_t)start * step)) continue;
        move(s, base_of(s, y), base_of(s, x), shift_of(s, x) + (size_t)start * step);
        s->p->joined[n->id] = true;
    }
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
    }
}

/* outputs that live elsewhere are copied at the end */
static void keep_outputs(Planner *s) {
    for (int i = 0; i < s->g->n_outputs; i++) {
        const Value *v = s->g->outputs[i];
        Loc l = s->p->loc[base_of(s, v)];
        if (!v->constant && (l.kind != LOC_OUTPUT || l.index != i || shift_of(s, v)))
            s->last_use[base_of(s, v)] = s->end;
    }
}

/* Large blocks are longer by an odd number of lines: neighbours that begin at the same place of a page would share the
 * caches' sets. */
static int block_new(Planner *s, size_t bytes, int first, int last, int owner) {
    enum { LARGE = 16384, SKEW = 17 * ALIGN };
    bytes = round_up(bytes);
    if (bytes >= LARGE) bytes += SKEW;
    s->blocks[s->n_blocks] = (PlanBlock){bytes, 0, first, last, owner};
    return s->n_blocks++;
}

static bool reuse_input(Planner *s, const Node *n, int at, size_t bytes, int out_base) {
    bool (*in_place)(const Node *, int) =
        s->opt->target->sm ? gpu_form(s->opt, n)->in_place : emitter_of(n)->in_place;
    for (int i = 0; in_place && i < n->n_in; i++) {
        if (!n->in[i] || n->in[i]->constant || !in_place(n, i)) continue;
        int in_base = base_of(s, n->in[i]), b = s->block_of[in_base];
        if (b < 0 || s->shared[in_base] || s->last_use[in_base] != at || s->blocks[b].bytes < bytes ||
            s->blocks[b].last != at)
            continue;
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
        if (!v) continue;
        if (base_of(s, v) != v->id && s->shared[base_of(s, v)] && s->value[base_of(s, v)]) v = s->value[base_of(s, v)];
        if (base_of(s, v) != v->id || s->p->loc[v->id].kind != LOC_NONE || s->block_of[v->id] >= 0) continue;
        if (op_has(n->op, OP_VIEW)) { /* a view of a constant */
            s->p->loc[v->id] = s->p->loc[n->in[0]->id];
            continue;
        }
        if (!value_max_bytes(s->ctx, v, &bytes)) {
            diag_error(s->ctx, n, "output %d has no bound on its size, or one that overflows (give --max-dim or --dim)",
                       i);
            return false;
        }
        int last = s->last_use[v->id] < at ? at : s->last_use[v->id];
        if (i == 0 && !s->shared[v->id] && reuse_input(s, n, at, round_up(bytes), v->id)) continue;
        s->block_of[v->id] = block_new(s, bytes, at, last, v->id);
    }
    return true;
}

static size_t place_in(size_t *all, size_t bytes) {
    size_t at = *all;
    *all += round_up(bytes);
    return at;
}

/* Behind the bodies' workspace: what a loop hands from turn to turn, twice, to be read and written; its turn; its condition. */
static bool place_turns(Planner *s, const Node *n, const Graph *body, ControlPlace *c) {
    size_t bytes;
    int first = n->op == OP_Loop ? 2 : 0, count = node_carried(n);
    c->carried = ARENA_ARRAY(s->arena, 2 * count, size_t);
    for (int i = 0; i < count; i++) {
        size_t given;
        bool bounded = value_max_bytes(s->ctx, body->inputs[first + i], &bytes) &&
                       value_max_bytes(s->ctx, body->outputs[first / 2 + i], &given);
        if (bounded && given > bytes) bytes = given;
        if (!bounded || bytes > SIZE_MAX / 16 - c->bytes) {
            diag_error(s->ctx, n, "what it carries from turn to turn (%d) has no bound on its size, or one that overflows", i);
            return false;
        }
        for (int k = 0; k < 2; k++) c->carried[2 * i + k] = place_in(&c->bytes, bytes);
    }
    c->turn = place_in(&c->bytes, sizeof(int64_t));
    c->cond = place_in(&c->bytes, 1);
    return true;
}

static bool place_unread(Planner *s, const Node *n, Graph *const *bodies, int count, ControlPlace *c) {
    int first = n->op == OP_Loop;
    c->unread = ARENA_ARRAY(s->arena, n->n_out, size_t);
    for (int i = 0; i < n->n_out; i++) {
        size_t most = 0, bytes;
        for (int k = 0; k < count && !n->out[i]; k++) {
            if (bodies[k]->refused) continue;
            if (!value_max_bytes(s->ctx, bodies[k]->outputs[first + i], &bytes) || bytes > SIZE_MAX / 16 - c->bytes) {
                diag_error(s->ctx, n, "output %d has no bound on its size, or one that overflows", i);
                return false;
            }
            if (bytes > most) most = bytes;
        }
        if (!n->out[i]) c->unread[i] = place_in(&c->bytes, most);
    }
    return true;
}

static bool place_control(Planner *s, const Node *n, int at) {
    Graph *bodies[MAX_BODIES];
    int count = node_bodies(n, bodies);
    ControlPlace *c = s->p->control[n->id] = ARENA_NEW(s->arena, ControlPlace);
    Planner outer = *s;
    for (int i = 0; i < count; i++) {
        if (!plan_graph(s, bodies[i], 0)) return false;
        if (s->workspace > c->bytes) c->bytes = s->workspace;
    }
    *s = outer;
    c->bytes = round_up(c->bytes);
    if (!place_unread(s, n, bodies, count, c) || (n->op != OP_If && !place_turns(s, n, bodies[0], c))) return false;
    if (c->bytes) block_new(s, c->bytes, at, at, -1 - n->id);
    return true;
}

static bool place_scratch(Planner *s, const Node *n, int at) {
    if (op_has(n->op, OP_CONTROL)) return place_control(s, n, at);
    bool (*scratch)(Ctx *, const Node *, size_t *) =
        s->opt->target->sm ? gpu_form(s->opt, n)->scratch : emitter_of(n)->scratch;
    size_t bytes = 0;
    if (!scratch) return true;
    if (!scratch(s->ctx, n, &bytes)) return false;
    size_t chunks = (size_t)node_chunks(s->opt, n); /* each has its own */
    if (bytes > SIZE_MAX / 2 / chunks) {
        diag_error(s->ctx, n, "needs more scratch memory than there are addresses");
        return false;
    }
    if (bytes) block_new(s, round_up(bytes) * chunks, at, at, -1 - n->id);
    return true;
}

/* Another variant's constants are known by their bytes alone. */
static bool is_segment(const Planner *s, const Segment *a, const Tensor *t) {
    if (a->bytes != t->bytes) return false;
    return a->data == t->data || (s->opt->fat && t->bytes && !memcmp(a->data, t->data, t->bytes));
}

static void place_weight(Planner *s, const Value *v, const Node *reader) {
    Plan *p = s->p;
    if (p->loc[v->id].kind != LOC_NONE) return;
    for (int i = 0; i < p->n_weights; i++)
        if (is_segment(s, &p->weights[i], v->constant)) {
            p->loc[v->id] = (Loc){LOC_WEIGHTS, i, p->weights[i].offset};
            return;
        }
    p->loc[v->id] = (Loc){LOC_WEIGHTS, p->n_weights, p->weights_bytes};
    p->weights[p->n_weights++] = (Segment){v->constant->data, v->constant->bytes, p->weights_bytes, reader};
    p->weights_bytes = round_up(p->weights_bytes + v->constant->bytes);
}

/* where the code lies in the list: equal code is there once */
static int code_segment(Segments *c, Segment *list, Str code, const Node *n) {
    for (int i = 0; i < c->n; i++)
        if (list[i].bytes == code.n && !memcmp(list[i].data, code.p, code.n)) return i;
    list[c->n] = (Segment){code.p, code.n, c->bytes, n};
    c->bytes = round_up(c->bytes + code.n);
    return c->n++;
}

typedef struct Most { /* how much of what there may be, in a graph and its bodies */
    int codes, weights;
} Most;

static void count_most(const Graph *g, Most *m) {
    Graph *bodies[MAX_BODIES];
    m->weights += g->n_outputs;
    for (const Node *n = g->first; n; n = n->next) {
        m->weights += n->n_in;
        m->codes += emitter_of(n)->code != NULL;
        for (int i = node_bodies(n, bodies); i-- > 0;) count_most(bodies[i], m);
    }
}

static void place_code(Planner *s, const Graph *g, Segment *list) {
    Graph *bodies[MAX_BODIES];
    Plan *p = s->p;
    for (const Node *n = g->first; n; n = n->next) {
        const Emitter *e = emitter_of(n);
        p->code_of[n->id] = e->code ? code_segment(&p->code, list, e->code(s->ctx, s->opt->target, n), n) : -1;
        int count = node_bodies(n, bodies);
        for (int i = 0; i < count; i++) place_code(s, bodies[i], list);
    }
}

static void place_weights(Planner *s, const Graph *g) {
    Graph *bodies[MAX_BODIES];
    for (const Node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] && n->in[i]->constant) {
                if ((kernel_embeds(n, i) && !op_has(n->op, OP_VIEW)) || kernel_has_code_of(n, i)) continue;
                place_weight(s, n->in[i], n);
            }
        int count = node_bodies(n, bodies);
        for (int i = 0; i < count; i++) place_weights(s, bodies[i]);
    }
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i]->constant) place_weight(s, g->outputs[i], NULL);
}

static void place_constants(Planner *s, const Graph *g) {
    const Fat *fat = s->opt->fat;
    const Segments code = fat ? fat->code : (Segments){0}, weights = fat ? fat->weights : (Segments){0};
    Plan *p = s->p;
    Most most = {0};
    count_most(g, &most);
    p->weights = fat_segments(s->arena, &weights, most.weights);
    p->n_weights = weights.n;
    p->weights_bytes = weights.bytes;
    place_weights(s, g);
    Segment *list = fat_segments(s->arena, &code, most.codes);
    p->code = (Segments){list, code.n, code.bytes};
    place_code(s, g, list);
}

static int by_size(const void *a, const void *b) {
    const PlanBlock *x = *(PlanBlock *const *)a, *y = *(PlanBlock *const *)b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x->owner < y->owner ? -1 : 1);
}

static int by_offset(const void *a, const void *b) {
    const PlanBlock *x = *(PlanBlock *const *)a, *y = *(PlanBlock *const *)b;
    return x->offset != y->offset ? (x->offset < y->offset ? -1 : 1) : 0;
}

/* largest first, each at the lowest offset that no block alive beside it covers */
static void assign_offsets(Planner *s) {
    PlanBlock **order = ARENA_ARRAY(s->arena, s->n_blocks, PlanBlock *),
              **near = ARENA_ARRAY(s->arena, s->n_blocks, PlanBlock *);
    for (int i = 0; i < s->n_blocks; i++) order[i] = &s->blocks[i];
    qsort(order, (size_t)s->n_blocks, sizeof *order, by_size);
    for (int i = 0; i < s->n_blocks; i++) {
        int beside = 0;
        for (int k = 0; k < i; k++)
            if (order[k]->first <= order[i]->last && order[i]->first <= order[k]->last) near[beside++] = order[k];
        qsort(near, (size_t)beside, sizeof *near, by_offset);
        size_t at = s->state;
        for (int k = 0; k < beside; k++) {
            if (near[k]->offset >= at + order[i]->bytes) break;
            if (near[k]->offset + near[k]->bytes > at) at = near[k]->offset + near[k]->bytes;
        }
        order[i]->offset = at;
        if (at + order[i]->bytes > s->workspace) s->workspace = at + order[i]->bytes;
    }
}

static void fill_lower_bound(Planner *s) {
    for (int at = 0; at < s->end; at++) {
        size_t alive = s->state;
        for (int i = 0; i < s->n_blocks; i++)
            if (s->blocks[i].first <= at && at <= s->blocks[i].last) alive += s->blocks[i].bytes;
        if (alive > s->lower_bound) s->lower_bound = alive;
    }
}

static void locate(Planner *s, int id) {
    int base = base_of_id(s, id);
    if (s->block_of[base] >= 0 && s->p->loc[base].kind == LOC_NONE)
        s->p->loc[base] = (Loc){LOC_WORKSPACE, 0, s->blocks[s->block_of[base]].offset};
    if (base == id) return;
    s->p->loc[id] = s->p->loc[base];
    s->p->loc[id].offset += s->shift[id];
}

static void fill_locations(Planner *s) {
    for (int i = 0; i < s->n_blocks; i++)
        if (s->blocks[i].owner < 0) s->p->scratch[-1 - s->blocks[i].owner] = s->blocks[i].offset;
    for (const Node *n = s->g->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) locate(s, n->out[i]->id);
}

static int count_places(const Graph *g) { /* blocks that there may be */
    int n = 0;
    for (const Node *k = g->first; k; k = k->next) n += k->n_out + 1;
    return n;
}

static bool plan_graph(Planner *s, const Graph *g, size_t state) {
    s->g = g;
    s->blocks = ARENA_ARRAY(s->arena, count_places(g), PlanBlock);
    s->n_blocks = 0;
    s->lower_bound = 0;
    s->state = s->workspace = state;
    fill_bases(s);
    bind_parameters(s);
    place_concats(s);
    place_slices(s);
    fill_last_uses(s);
    keep_outputs(s);
    int at = 0;
    for (const Node *n = g->first; n; n = n->next, at++)
        if (!place_outputs(s, n, at) || !place_scratch(s, n, at)) return false;
    assign_offsets(s);
    fill_lower_bound(s);
    fill_locations(s);
    return true;
}

bool plan_memory(Ctx *ctx, Graph *g, const CodeOptions *o, Plan *p) {
    size_t ids = (size_t)ctx->next_id;
    size_t state = o->target->sm ? gpu_state_bytes(g) : o->profile ? round_up(profile_bytes(g)) : 0;
    Planner s = {.ctx = ctx, .arena = g->arena, .opt = o, .p = p};
    p->loc = ARENA_ARRAY(g->arena, ids, Loc);
    p->scratch = ARENA_ARRAY(g->arena, ids, size_t);
    p->joined = ARENA_ARRAY(g->arena, ids, bool);
    p->code_of = ARENA_ARRAY(g->arena, ids, int);
    p->control = ARENA_ARRAY(g->arena, ids, ControlPlace *);
    s.base = ARENA_ARRAY(g->arena, ids, int);
    s.shift = ARENA_ARRAY(g->arena, ids, size_t);
    s.shared = ARENA_ARRAY(g->arena, ids, bool);
    s.joined_by = ARENA_ARRAY(g->arena, ids, const Node *);
    s.value = ARENA_ARRAY(g->arena, ids, Value *);
    s.block_of = ARENA_ARRAY(g->arena, ids, int);
    s.last_use = ARENA_ARRAY(g->arena, ids, int);
    for (size_t i = 0; i < ids; i++) {
        p->scratch[i] = NO_SCRATCH;
        s.base[i] = (int)i;
        s.block_of[i] = s.last_use[i] = -1;
    }
    place_constants(&s, g);
    if (!plan_graph(&s, g, state)) return false;
    p->workspace = s.workspace;
    p->lower_bound = s.lower_bound;
    p->blocks = s.blocks;
    p->n_blocks = s.n_blocks;
    if (p->workspace < ALIGN) p->workspace = ALIGN;
    if (o->fat) fat_take_plan(o->fat, p);
    return true;
}
