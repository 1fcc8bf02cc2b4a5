/* Channels that can be scaled: a network computes the same bits with random powers of two for them, in whichever way
 * its channels hang together; what is read as it is, outputs and unknown operators' operands, stays. */
#include "compress/quantize.h"
#include <stdlib.h>
#include "tests/passes/passtest.h"

static int wrong;
static void expect(bool good, const char *name, const char *what) {
    if (good) return;
    printf("%s: %s\n", name, what);
    wrong++;
}

/* Scales all that may be; how many channels of roots there were. */
static int scale_randomly(Case *c, ChannelMap *m) {
    int8_t *exponents = ARENA_ARRAY(c->ctx->arena, m->n + 1, int8_t);
    int scaled = 0;
    for (int i = 0; i < m->n; i++) {
        if (channel_root(m, i) != i || m->fixed[i]) continue;
        exponents[i] = (int8_t)(4 * random_number(c));
        scaled += exponents[i] != 0;
    }
    return channels_scale(m, exponents) ? scaled : -1;
}

/* least: roots that have to be among those that can be scaled */
static void check(Case *c, const char *name, int least) {
    const Tensor **in = ARENA_ARRAY(c->ctx->arena, c->g->n_inputs + 1, const Tensor *);
    for (int i = 0; i < c->g->n_inputs; i++) {
        int64_t dims[MCC_MAX_RANK];
        const Type *t = &c->g->inputs[i]->type;
        for (int k = 0; k < t->rank; k++) dims[k] = t->dims[k]->value;
        in[i] = random_tensor(c, c->g, t->dtype, t->rank, dims);
    }
    graph_count_uses(c->g);
    Tensor **want = evaluate(c, in);
    ChannelMap *m = channels_find(c->g, c->ctx->arena);
    int scaled = scale_randomly(c, m);
    expect(scaled >= least, name, "fewer channels can be scaled than should");
    Tensor **got = evaluate(c, in);
    for (int i = 0; i < c->g->n_outputs; i++)
        expect(want && got && same_result(got[i], want[i], 0), name, "the result is another one");
    ctx_free(c->ctx);
}

static Value *conv(Case *c, Value *x, const char *w, const char *b) {
    return b ? DO(c, Conv, x, weights(c, w), weights(c, b)) : DO(c, Conv, x, weights(c, w));
}

static void check_chain(void) {
    Case c;
    case_begin(&c);
    Value *x = conv(&c, input(&c, "x", "1x3x8x8"), "6x3x3x3", "6");
    x = DO(&c, Relu, x);
    Node *pool = NODE(&c, MaxPool, x);
    node_set_ints(pool, "kernel_shape", (int64_t[]){2, 2}, 2);
    x = conv(&c, result(&c, pool), "5x6x1x1", NULL);
    output(&c, "y", x);
    check(&c, "a chain", 1);
}

/* Both ends of an Add are scaled alike, and so is what a Concat is made of. */
static void check_branches(void) {
    Case c;
    case_begin(&c);
    Value *x = input(&c, "x", "1x3x6x6"), *a = conv(&c, x, "4x3x1x1", "4"), *b = conv(&c, x, "4x3x1x1", NULL);
    Value *sum = DO(&c, Relu, DO(&c, Add, a, b));
    Node *join = NODE(&c, Concat, sum, DO(&c, Relu, conv(&c, x, "2x3x1x1", "2")));
    node_set_int(join, "axis", 1);
    output(&c, "y", conv(&c, result(&c, join), "3x6x3x3", "3"));
    graph_count_uses(c.g);
    ChannelMap *m = channels_find(c.g, c.ctx->arena);
    for (int i = 0; i < 4; i++)
        expect(channel_root(m, m->first[a->id] + i) == channel_root(m, m->first[b->id] + i), "branches", "not joined");
    expect(channel_root(m, m->first[a->id]) != channel_root(m, m->first[a->id] + 1), "branches", "one for all");
    check(&c, "branches", 2);
}

/* Depthwise: a channel in, the same out; and rows of a product */
static void check_groups(void) {
    Case c;
    case_begin(&c);
    Value *x = DO(&c, Relu, conv(&c, input(&c, "x", "1x3x6x6"), "6x3x1x1", "6"));
    Node *deep = NODE(&c, Conv, x, weights(&c, "6x1x3x3"), weights(&c, "6"));
    node_set_int(deep, "group", 6);
    output(&c, "y", conv(&c, DO(&c, Relu, result(&c, deep)), "4x6x1x1", NULL));
    Value *t = DO(&c, Add, DO(&c, MatMul, input(&c, "t", "5x7"), weights(&c, "7x8")), weights(&c, "8"));
    output(&c, "z", DO(&c, MatMul, DO(&c, Relu, t), weights(&c, "8x3")));
    check(&c, "groups and products", 3);
}

static int count_nodes(const Graph *g) {
    int n = 0;
    for (const Node *at = g->first; at; at = at->next) n++;
    return n;
}

/* What a seam adds is a place for factors; closed without one, the graph is what it was. */
static void check_seams(void) {
    Case c;
    case_begin(&c);
    Value *x = conv(&c, input(&c, "x", "1x3x6x6"), "6x3x1x1", "6");
    x = DO(&c, Clip, x, number(&c, 0), number(&c, 0.5));
    output(&c, "y", conv(&c, DO(&c, HardSwish, conv(&c, x, "4x6x1x1", "4")), "5x4x1x1", NULL));
    Value *t = DO(&c, LayerNormalization, input(&c, "t", "5x7"), weights(&c, "7"), weights(&c, "7"));
    output(&c, "z", DO(&c, Add, DO(&c, MatMul, t, weights(&c, "7x7")), t));
    int before = count_nodes(c.g);
    for (int times = 0; times < 2; times++) {
        expect(seams_open(c.g, &(QuantOptions){.mode = QUANT_INT8}) && count_nodes(c.g) == before + 3, "seams", "other nodes than one a seam");
        if (!times) expect(seams_close(c.g) && count_nodes(c.g) == before, "seams", "a seam is left");
    }
    check(&c, "seams", 3);
}

/* Sigmoid commutes with no factor, an output is seen as it is: nothing of them is scaled. */
static void check_fixed(void) {
    Case c;
    case_begin(&c);
    Value *x = conv(&c, input(&c, "x", "1x3x6x6"), "6x3x1x1", "6"), *y = conv(&c, DO(&c, Sigmoid, x), "4x6x1x1", NULL);
    output(&c, "y", y);
    graph_count_uses(c.g);
    ChannelMap *m = channels_find(c.g, c.ctx->arena);
    expect(channel_count(m, x) == 0 && channel_count(m, y) == 0, "fixed", "what stays is said to be scalable");
    check(&c, "fixed", 0);
}

int main(void) {
    check_chain();
    check_branches();
    check_groups();
    check_fixed();
    check_seams();
    return wrong != 0;
}
