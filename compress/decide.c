/* Which contractions are worth it on this target. Every node that could work on integers is a thing in one of two
 * states, integers (CUT_A) or floats (CUT_B), each with its cost; where a tensor has to be converted between them, that
 * is paid once for all who read it. The least sum of all is a minimum cut (cut.c). What is then in float is said to
 * stay there; how integers flow through the others is the business of choose.c. */
#include "compress/choose.h"
#include <math.h>

typedef struct Decision {
    Choice *c;
    Cut *cut;
    const QuantOptions *o;
    Cost *costs;  /* by node id, of contractions */
    bool *inside; /* by value id: never stored, its only reader computes with it */
} Decision;

static int thing_of(const Node *n) { return CUT_THINGS + n->id; }
static int quantized(const Decision *d, const Value *v) { return CUT_THINGS + d->c->plan->n_ids + v->id; }
static int dequantized(const Decision *d, const Value *v) { return CUT_THINGS + 2 * d->c->plan->n_ids + v->id; }

static Role role_of(const Decision *d, const Node *n) { return d->c->role[n->id]; }

static void find_inside(Decision *d) {
    for (const Node *n = d->c->g->first; n; n = n->next)
        for (int i = 0; i < n->n_in && role_of(d, n) == ELEMENTWISE; i++)
            if (choice_is_float(n->in[i]) && choice_is_inside(d->c, n->in[i], n)) d->inside[n->in[i]->id] = true;
}

static Cost passage_cost(const Decision *d, const Node *n) {
    Role role = role_of(d, n);
    int64_t read = 0;
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        if (!choice_is_float(v) || v->constant || d->inside[v->id]) continue;
        if (__builtin_add_overflow(read, cost_elements(v), &read)) read = INT64_MAX;
    }
    if (op_has(n->op, OP_VIEW)) return (Cost){0};
    int64_t written = d->inside[n->out[0]->id] ? 0 : cost_elements(n->out[0]);
    bool sums = n->op == OP_GlobalAveragePool; /* of bytes as they are */
    return cost_passage(d->o, read, written, (role == COMPUTES && !sums) || role == ELEMENTWISE);
}

/* What n costs in either state. */
static void add_node(Decision *d, Node *n) {
    bool stays = role_of(d, n) == STAYS, contracts = role_of(d, n) == CONTRACTS;
    Cost cost = {0};
    if (stays) cost.integer = (double)INFINITY;
    else if (contracts) {
        cost = cost_contraction(d->c->g->ctx, d->o, n, !d->inside[n->out[0]->id]);
        d->costs[n->id] = cost;
        if (d->o->n_only) cost = (Cost){.f32 = (double)INFINITY}; /* it was asked for */
    } else if (quant_looks_up(d->o, n)) cost = cost_lookup(d->o, n);
    else if (quant_gate_of(d->o, n) >= 0) cost = cost_gate(d->o, n);
    else cost = passage_cost(d, n);
    double least = fmin(cost.f32, cost.integer);
    cut_add(d->cut, CUT_A, thing_of(n), cost.f32 - least);
    cut_add(d->cut, thing_of(n), CUT_B, cost.integer - least);
}

/* Not made at the end of a loop that computes, which could write floats as well, at no cost. */
static bool is_carried(const Decision *d, const Value *v) {
    Role made_by = v->def ? role_of(d, v->def) : STAYS;
    return made_by == CARRIES || made_by == JOINS || made_by == COMPUTES;
}

static int maker_of(const Value *v) { return v->def ? thing_of(v->def) : CUT_B; }

/* n reads v as integers, which somebody has to make of floats; or as floats, … */
static void add_reader(Decision *d, const Node *n, const Value *v) {
    Role role = role_of(d, n);
    if (role != STAYS && role != CONTRACTS && v->def) { /* works on integers only if all it reads is held as such */
        cut_add(d->cut, thing_of(n), thing_of(v->def), (double)INFINITY);
    } else if (role != STAYS) cut_add(d->cut, thing_of(n), quantized(d, v), (double)INFINITY);
    if (is_carried(d, v)) cut_add(d->cut, dequantized(d, v), thing_of(n), (double)INFINITY);
}

static void add_value(Decision *d, const Value *v) {
    Role made_by = v->def ? role_of(d, v->def) : STAYS;
    if (!choice_is_float(v) || v->constant) return;
    int64_t n = cost_elements(v);
    cut_add(d->cut, quantized(d, v), maker_of(v),
            cost_quantize(d->o, n, made_by == CONTRACTS || made_by == ELEMENTWISE));
    if (!is_carried(d, v)) return;
    cut_add(d->cut, thing_of(v->def), dequantized(d, v), cost_dequantize(d->o, n));
    if (graph_is_output(d->c->g, v)) cut_add(d->cut, dequantized(d, v), CUT_B, (double)INFINITY);
}

static void add_all(Decision *d) {
    Graph *g = d->c->g;
    for (int i = 0; i < g->n_inputs; i++) add_value(d, g->inputs[i]);
    for (Node *n = g->first; n; n = n->next) {
        add_node(d, n);
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) add_value(d, n->out[i]);
        for (int i = 0; i < n->n_in; i++)
            if (choice_is_float(n->in[i]) && !n->in[i]->constant) add_reader(d, n, n->in[i]);
    }
}

static const char *reason(const Decision *d, const Node *n, bool in_float) {
    Cost c = d->costs[n->id];
    if (!in_float && d->o->n_only) return "--quantize-only names it";
    const char *text = cost_text(d->c->g->ctx, d->o, c);
    if (in_float == (c.f32 <= c.integer)) return text;
    return arena_printf(d->c->g->arena, "%s, but for conversions around it", text);
}

/* By its own range at each call, a product's input is converted for it alone. */
static void decide_dynamic(Choice *c) {
    QuantPlan *p = c->plan;
    for (int i = 0; i < p->n_nodes; i++) {
        QuantNode *q = &p->nodes[i];
        if (c->role[q->node->id] != CONTRACTS || q->node->op == OP_Conv || p->options.n_only) continue;
        Cost cost = cost_contraction(c->g->ctx, &p->options, q->node, false);
        cost.integer += cost_find_range(&p->options, cost_elements(q->node->in[0]));
        q->dear = cost.integer >= cost.f32;
        q->chosen = !q->dear;
        q->why = cost_text(c->g->ctx, &p->options, cost);
    }
}

void choice_decide(Choice *c) {
    QuantPlan *p = c->plan;
    if (p->options.mode != QUANT_INT8) {
        if (p->options.mode == QUANT_DYNAMIC) decide_dynamic(c);
        return;
    }
    Decision d = {.c = c, .o = &p->options};
    int n = CUT_THINGS + 3 * p->n_ids;
    d.cut = cut_new(c->scratch, n);
    d.costs = ARENA_ARRAY(c->scratch, p->n_ids, Cost);
    d.inside = ARENA_ARRAY(c->scratch, p->n_ids, bool);
    bool *in_float = ARENA_ARRAY(c->scratch, n, bool);
    find_inside(&d);
    add_all(&d);
    cut_solve(d.cut, in_float);
    for (int i = 0; i < p->n_nodes; i++) {
        QuantNode *q = &p->nodes[i];
        if (role_of(&d, q->node) != CONTRACTS) continue;
        q->dear = in_float[thing_of(q->node)];
        q->why = reason(&d, q->node, q->dear);
        if (q->dear) c->role[q->node->id] = STAYS;
    }
}
