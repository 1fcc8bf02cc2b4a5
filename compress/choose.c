/* Which nodes work on integers, and which tensors are therefore held as integers. The seeds are contractions with
 * constant weights; integers flow on through what only moves or selects elements, and through elementwise work, pooling
 * and Concat where all they read is held as integers and something quantized reads what they make. Between elementwise
 * nodes that are computed in one loop nothing is rounded. */
#include "compress/choose.h"
#include <string.h>

static const char *const mode_names[] = {
    [QUANT_NONE] = "f32", [QUANT_INT8] = "int8", [QUANT_DYNAMIC] = "dynamic", [QUANT_W8] = "w8",
    [QUANT_W4] = "w4",    [QUANT_F16] = "f16",   [QUANT_BF16] = "bf16"};

const char *quant_mode_name(QuantMode m) { return mode_names[m]; }

bool quant_mode_find(const char *word, QuantMode *out) {
    for (size_t i = 0; i < sizeof mode_names / sizeof *mode_names; i++)
        if (!strcmp(word, mode_names[i])) {
            *out = (QuantMode)i;
            return true;
        }
    return false;
}

/* ---- roles ---- */

bool choice_is_float(const Value *v) { return v && v->type.kind == TYPE_TENSOR && v->type.dtype == DT_F32; }

static bool pads_with_zero(const Node *n) {
    const Value *v = node_in(n, 2);
    if (node_enum(n, "mode") != 0) return true; /* elements that are there */
    return !v || (v->constant && v->constant->bytes && tensor_float(v->constant, 0) == 0);
}

static bool carries(const Node *n) {
    if (n->n_out != 1 || !choice_is_float(node_in(n, 0)) || n->in[0]->constant) return false;
    if (n->op == OP_MaxPool || n->op == OP_GlobalMaxPool) return true;
    if (n->op == OP_Resize) return node_enum(n, "mode") == 0;
    if (n->op == OP_Pad) return pads_with_zero(n);
    return n->op != OP_Concat && n->op != OP_Trilu && (op_has(n->op, OP_MOVEMENT) || op_has(n->op, OP_VIEW));
}

/* All that vary are float32 */
static bool computes_floats(const Node *n) {
    int varying = 0;
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i] || n->in[i]->constant) continue;
        if (!choice_is_float(n->in[i])) return false;
        varying++;
    }
    return varying > 0 && n->n_out == 1 && choice_is_float(n->out[0]);
}

static Role role_of(const Node *n, QuantMode mode) {
    Contraction c;
    if (contraction_read(n, &c)) return CONTRACTS;
    if (mode >= QUANT_W8 && table_read(n)) return LOOKS_UP;
    if (mode >= QUANT_F16 && recurrent_read(n)) return LOOKS_UP; /* of 16 bits alone */
    if (carries(n)) return CARRIES;
    if (!computes_floats(n) || n->body) return STAYS;
    if (n->op == OP_Concat) return JOINS;
    if (op_has(n->op, OP_POOL) || n->op == OP_Resize || n->op == OP_ReduceMean) return COMPUTES;
    return op_has(n->op, OP_ELEMENTWISE) ? ELEMENTWISE : STAYS;
}

/* ---- names ---- */

static bool is_plain(Str s) {
    if (s.n == 0 || s.n > 200 || s.p[0] == '#') return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\') return false;
    return true;
}

/* Names given so far. */
typedef struct NameSet {
    const char **slots;
    size_t size; /* a power of two, more than twice as many as names come */
} NameSet;

static NameSet names_new(Arena *a, int n) {
    NameSet set = {.size = 4};
    while (set.size < 2 * (size_t)n + 2) set.size *= 2;
    set.slots = ARENA_ARRAY(a, set.size, const char *);
    return set;
}

/* `name` if it is plain and new, else `other` */
static const char *take_name(NameSet *set, Arena *a, Str name, const char *other) {
    size_t at = is_plain(name) ? hash_bytes(HASH_SEED, name.p, name.n) & (set->size - 1) : 0;
    if (!is_plain(name)) return other;
    for (; set->slots[at]; at = (at + 1) & (set->size - 1))
        if (str_is(name, set->slots[at])) return other;
    return set->slots[at] = arena_printf(a, "%.*s", (int)name.n, name.p);
}

/* ---- what the user asked for ---- */

static bool listed(const char *const *list, int n, const QuantNode *q) {
    for (int i = 0; i < n; i++)
        if (!strcmp(list[i], q->name) || str_is(q->node->name, list[i]) || !strcmp(list[i], op_info(q->node->op)->name))
            return true;
    return false;
}

static const NodeMode *mode_of(const QuantPlan *p, const QuantNode *q) {
    for (int i = 0; i < p->n_modes; i++)
        if (!strcmp(p->modes[i].name, q->name)) return &p->modes[i];
    return NULL;
}

bool quant_is_planned(const QuantPlan *p, const QuantNode *q) { return mode_of(p, q) != NULL; }

/* NULL: the user does not keep it in float */
static const char *kept_in_float(const QuantPlan *p, const QuantNode *q, Role role) {
    const QuantOptions *o = &p->options;
    const NodeMode *m = mode_of(p, q);
    if (listed(o->skip, o->n_skip, q)) return "--quantize-skip names it";
    if (m && m->mode == QUANT_NONE) return "the plan leaves it in float";
    return (role != CONTRACTS && role != LOOKS_UP) || !o->n_only || listed(o->only, o->n_only, q)
               ? NULL
               : "--quantize-only does not name it";
}

static bool check_names(const QuantPlan *p, const char *const *list, int n, const char *option) {
    for (int i = 0; i < n; i++) {
        bool found = op_find(str_of(""), str_of(list[i])) != OP_NONE;
        for (int k = 0; k < p->n_nodes && !found; k++) found = listed(&list[i], 1, &p->nodes[k]);
        if (found) continue;
        diag_error(p->graph->ctx, NULL, "%s: '%s' is neither an operator nor a node that could be quantized", option,
                   diag_name(p->graph->ctx, str_of(list[i])));
        diag_note(p->graph->ctx, "--save-plan=FILE lists the nodes");
        return false;
    }
    return true;
}

static bool list_nodes(Choice *c) {
    QuantPlan *p = c->plan;
    Arena *a = c->g->arena;
    int n = 0;
    for (const Node *node = c->g->first; node; node = node->next) n++;
    NameSet names = names_new(c->scratch, n);
    p->nodes = ARENA_ARRAY(a, n + 1, QuantNode);
    for (Node *node = c->g->first; node; node = node->next) {
        Role role = role_of(node, p->options.mode);
        if (role == STAYS) continue;
        QuantNode *q = &p->nodes[p->n_nodes];
        *q = (QuantNode){.node = node};
        q->name = take_name(&names, a, node->name, arena_printf(a, "%s#%d", op_info(node->op)->name, p->n_nodes));
        p->n_nodes++;
        const NodeMode *m = mode_of(p, q);
        q->why = kept_in_float(p, q, role);
        q->chosen = !q->why;
        q->mode = !q->chosen ? QUANT_NONE : m ? m->mode : p->options.mode;
        bool flows = q->chosen && role != LOOKS_UP && q->mode == p->options.mode;
        c->role[node->id] = flows ? role : STAYS;
        if (q->chosen && q->mode != p->options.mode) q->why = "the plan gives it weights of fewer bits alone, or inputs by their own range";
        p->of_node[node->id] = q;
    }
    bool prune = p->options.mode == QUANT_NONE;
    return check_names(p, p->options.skip, p->options.n_skip, prune ? "--prune-skip" : "--quantize-skip") &&
           check_names(p, p->options.only, p->options.n_only, prune ? "--prune-only" : "--quantize-only");
}

/* ---- the flow of integers ---- */

/* v's product has no other use, so that what follows is computed on its sums before they are stored. */
static bool is_epilogue(const Choice *c, const Value *v) {
    return v && v->def && v->n_uses == 1 && c->role[v->def->id] == CONTRACTS;
}

bool choice_is_inside(const Choice *c, const Value *v, const Node *n) {
    if (!v->def || v->n_uses != 1 || graph_is_output(c->g, v) || quant_looks_up(&c->plan->options, n)) return false;
    if (quant_gate_of(&c->plan->options, n) >= 0) return false;
    if (c->role[v->def->id] == ELEMENTWISE) return true;
    for (int i = 0; i < n->n_in && is_epilogue(c, v); i++)
        if (is_epilogue(c, n->in[i])) return n->in[i] == v;
    return false;
}

static bool all_can(const Choice *c, const Node *n) {
    for (int i = 0; i < n->n_in; i++)
        if (choice_is_float(n->in[i]) && !n->in[i]->constant && !c->can[n->in[i]->id]) return false;
    return true;
}

static void find_possible(Choice *c) {
    for (int i = 0; i < c->g->n_inputs; i++) c->can[c->g->inputs[i]->id] = choice_is_float(c->g->inputs[i]);
    for (const Node *n = c->g->first; n; n = n->next) {
        Role role = c->role[n->id];
        if (role == CONTRACTS || (role != STAYS && all_can(c, n))) c->can[n->out[0]->id] = true;
    }
}

/* n makes integers, or floats on the way to integers: what it reads is integers, or on the way as well. */
static void need_inputs(Choice *c, const Node *n, bool *inside) {
    for (int i = 0; i < n->n_in; i++) {
        Value *v = n->in[i];
        if (!choice_is_float(v) || v->constant) continue;
        if (c->role[n->id] == ELEMENTWISE && choice_is_inside(c, v, n)) inside[v->id] = true;
        else c->need[v->id] = true;
    }
}

static void find_needed(Choice *c) {
    bool *inside = ARENA_ARRAY(c->scratch, c->plan->n_ids, bool);
    for (const Node *n = c->g->last; n; n = n->prev) {
        if (c->role[n->id] == STAYS) continue;
        const Value *out = n->out[0];
        bool contracts = c->role[n->id] == CONTRACTS;
        bool active = contracts || ((c->need[out->id] || inside[out->id]) && c->can[out->id]);
        QuantNode *q = c->plan->of_node[n->id];
        q->active = active;
        if (!contracts)
            q->why = active            ? "it lies between integers"
                     : c->can[out->id] ? "nothing quantized reads it"
                                       : "not all its inputs are integers";
        if (contracts) c->need[n->in[0]->id] = true;
        else if (active) need_inputs(c, n, inside);
    }
}

/* ---- tensors ---- */

/* place: of its node in the graph, for those without a name of their own */
static void add_tensor(Choice *c, NameSet *names, Value *v, int place) {
    QuantPlan *p = c->plan;
    Arena *a = c->g->arena;
    if (!choice_is_float(v) || p->value_names[v->id]) return;
    const char *other = v->def_index ? arena_printf(a, "#%d.%d", place, v->def_index) : arena_printf(a, "#%d", place);
    p->value_names[v->id] = take_name(names, a, v->name, other);
    if (!c->need[v->id]) return;
    QuantTensor *t = &p->tensors[p->n_tensors];
    *t = (QuantTensor){.value = v, .name = p->value_names[v->id]};
    p->n_tensors++;
    t->by_integers = v->def && c->role[v->def->id] != STAYS && c->can[v->id];
    p->of_value[v->id] = t;
}

static void list_tensors(Choice *c) {
    QuantPlan *p = c->plan;
    int n = c->g->n_inputs, place = 0;
    for (const Node *node = c->g->first; node; node = node->next) n += node->n_out;
    p->value_names = ARENA_ARRAY(c->g->arena, p->n_ids, const char *);
    NameSet names = names_new(c->scratch, n);
    p->tensors = ARENA_ARRAY(c->g->arena, n + 1, QuantTensor);
    for (int i = 0; i < c->g->n_inputs; i++) add_tensor(c, &names, c->g->inputs[i], -1 - i);
    for (const Node *node = c->g->first; node; node = node->next, place++)
        for (int i = 0; i < node->n_out; i++) add_tensor(c, &names, node->out[i], place);
}

static void find_lookups(Choice *c) {
    for (const Node *n = c->g->first; n; n = n->next) {
        QuantTensor *t = n->n_in && n->in[0] ? c->plan->of_value[n->in[0]->id] : NULL;
        if (t && n->in[0]->n_uses == 1 && c->role[n->id] == ELEMENTWISE && quant_looks_up(&c->plan->options, n))
            t->looked_up = n;
    }
}

static void find_gates(Choice *c) {
    QuantTensor **of = c->plan->of_value;
    for (const Node *n = c->g->first; n; n = n->next) {
        int at = c->role[n->id] == ELEMENTWISE ? quant_gate_of(&c->plan->options, n) : -1;
        QuantTensor *t = at >= 0 ? of[n->out[0]->id] : NULL;
        if (t) t->gate = of[n->in[at]->id], t->gated = of[n->in[1 - at]->id];
    }
}

/* What only moves keeps its scale; what is only joined is rounded once, as it will lie. */
static void share_scales(Choice *c) {
    QuantPlan *p = c->plan;
    for (const Node *n = c->g->first; n; n = n->next) {
        QuantTensor *out = n->n_out && n->out[0] ? p->of_value[n->out[0]->id] : NULL;
        if (!out || !out->by_integers) continue;
        if (c->role[n->id] == CARRIES) out->shares = p->of_value[n->in[0]->id];
        for (int i = 0; i < n->n_in && c->role[n->id] == JOINS; i++) {
            QuantTensor *in = n->in[i]->constant ? NULL : p->of_value[n->in[i]->id];
            bool own = in && in->by_integers && n->in[i]->n_uses == 1 && !in->shares;
            if (own && in != out) in->shares = out;
        }
    }
}

QuantTensor *quant_root(QuantTensor *t) {
    while (t->shares) t = t->shares;
    return t;
}

static QuantTensor *find_named(const QuantPlan *p, const char *name) {
    for (int i = 0; i < p->n_tensors; i++)
        if (!strcmp(p->tensors[i].name, name)) return &p->tensors[i];
    return NULL;
}

bool quant_take_ranges(QuantPlan *to, const QuantPlan *from) {
    for (int i = 0; i < to->n_tensors; i++) {
        QuantTensor *t = &to->tensors[i], *like = t->shares ? NULL : find_named(from, t->name);
        if (t->shares) continue;
        if (!like || !quant_root(like)->known) return false;
        t->scale = quant_root(like)->scale;
        t->zero = quant_root(like)->zero;
        t->known = true;
    }
    to->equalization = from->equalization;
    for (int i = 0; i < to->n_nodes && to->n_nodes == from->n_nodes; i++) {
        to->nodes[i].hessian = from->nodes[i].hessian;
        to->nodes[i].rounded = from->nodes[i].rounded;
        to->nodes[i].seen = from->nodes[i].seen;
    }
    return true;
}

QuantPlan *quant_choose(Graph *g, const QuantOptions *o, const NodeMode *modes, int n_modes) {
    QuantPlan *p = ARENA_NEW(g->arena, QuantPlan);
    *p = (QuantPlan){.graph = g, .options = *o, .n_ids = g->ctx->next_id, .modes = modes, .n_modes = n_modes};
    p->of_value = ARENA_ARRAY(g->arena, p->n_ids, QuantTensor *);
    p->of_node = ARENA_ARRAY(g->arena, p->n_ids, QuantNode *);
    Choice c = {.plan = p, .g = g, .scratch = arena_new(g->ctx)};
    c.role = ARENA_ARRAY(c.scratch, p->n_ids, Role);
    c.can = ARENA_ARRAY(c.scratch, p->n_ids, bool);
    c.need = ARENA_ARRAY(c.scratch, p->n_ids, bool);
    graph_count_uses(g);
    bool good = list_nodes(&c);
    if (good) {
        if (o->target) choice_decide(&c);
        find_possible(&c);
        find_needed(&c);
        list_tensors(&c);
        find_lookups(&c);
        find_gates(&c);
        share_scales(&c);
        if (o->mode == QUANT_W4 && o->rounding == ROUND_GPTQ) quant_keep_small(p, c.scratch);
    }
    arena_free(c.scratch);
    return good ? p : NULL;
}
