/* Pads into windows; transposes that sink until they cancel. */
#include "tests/passes/passtest.h"

static Value *pad(Case *t, Value *x, Value *fill, const int64_t *pads) {
    Value *in[] = {x, const_ints_value(t->g, pads, 8), fill};
    return result(t, node_named(t, OP_Pad, in, fill ? 3 : 2, 1));
}
static const int64_t one_around[] = {0, 0, 1, 1, 0, 0, 1, 1}, uneven[] = {0, 0, 1, 0, 0, 0, 2, 1},
                     channels[] = {0, 1, 1, 1, 0, 0, 1, 1};

static void check_conv(const char *name, const int64_t *pads, double fill, const char *auto_pad) {
    Case t;
    case_begin(&t);
    Value *x = pad(&t, input(&t, "x", "1x2x5x5"), number(&t, fill), pads);
    Node *conv = NODE(&t, Conv, x, weights(&t, pads == channels ? "3x3x3x3" : "3x2x3x3"));
    if (auto_pad) node_set_string(conv, "auto_pad", auto_pad);
    else node_set_ints(conv, "pads", (int64_t[]){0, 1, 0, 1}, 4);
    output(&t, "y", result(&t, conv));
    CHECK(&t, name, 0, pass_pad_into_conv, pass_dead_code);
}

static void check_pool(const char *name, Op op, bool relu, Value *fill(Case *), const int64_t *pads) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "1x2x6x6");
    if (relu) x = DO(&t, Relu, x);
    x = pad(&t, x, fill ? fill(&t) : NULL, pads);
    Node *pool = node_named(&t, op, &x, 1, 1);
    node_set_ints(pool, "kernel_shape", (int64_t[]){3, 3}, 2);
    node_set_ints(pool, "strides", (int64_t[]){2, 2}, 2);
    output(&t, "y", result(&t, pool));
    CHECK(&t, name, 0, pass_pad_into_conv, pass_dead_code);
}

static Value *minus_infinity(Case *t) { return number(t, -INFINITY); }

static Value *transpose(Case *t, Value *x, const int64_t *perm) {
    Node *n = NODE(t, Transpose, x);
    node_set_ints(n, "perm", perm, 4);
    return result(t, n);
}
static const int64_t to_last[] = {0, 2, 3, 1}, to_first[] = {0, 3, 1, 2};

#define SINK pass_fold_const, pass_remove_identity, pass_cse, pass_merge_views, pass_sink_transpose, pass_dead_code

static void check_sinking(void) {
    Case t;
    case_begin(&t);
    Value *x = transpose(&t, input(&t, "x", "Nx3x4x5"), to_last);
    x = DO(&t, Mul, DO(&t, Relu, DO(&t, Add, x, weights(&t, "3"))), weights(&t, "1x4x5x1"));
    output(&t, "y", DO(&t, Exp, transpose(&t, DO(&t, Clip, x, number(&t, 0), NULL), to_first)));
    CHECK(&t, "through arithmetic with constants", 1e-6, SINK);
    case_begin(&t);
    Value *a = transpose(&t, input(&t, "a", "2x3x4x5"), to_last),
          *b = transpose(&t, input(&t, "b", "2x3x4x5"), to_last);
    output(&t, "y", DO(&t, Add, a, DO(&t, Sigmoid, b)));
    CHECK(&t, "two become one", 1e-6, SINK);
    case_begin(&t);
    a = transpose(&t, input(&t, "a", "2x3x4x5"), to_last);
    b = transpose(&t, input(&t, "b", "2x6x4x5"), to_last);
    Node *concat = NODE(&t, Concat, a, b);
    node_set_int(concat, "axis", -1);
    output(&t, "y", DO(&t, Exp, transpose(&t, result(&t, concat), to_first)));
    CHECK(&t, "through Concat", 1e-6, SINK);
    case_begin(&t);
    a = transpose(&t, input(&t, "a", "2x3x4x5"), to_last);
    b = transpose(&t, input(&t, "b", "2x5x3x4"), to_first);
    output(&t, "y", DO(&t, Add, a, input(&t, "c", "2x4x5x3")));
    output(&t, "z", DO(&t, Exp, b));
    output(&t, "w", b);
    CHECK(&t, "what stays: another operand, another use", 0, SINK);
}

#define LOWER pass_fold_const, pass_lower_movement, pass_dead_code

static void check_gather(const char *name, Value *indices(Case *), const char *dims, int64_t axis) {
    Case t;
    case_begin(&t);
    Node *n = NODE(&t, Gather, input(&t, "x", dims), indices(&t));
    node_set_int(n, "axis", axis);
    output(&t, "y", result(&t, n));
    CHECK(&t, name, 0, LOWER);
}
static Value *last(Case *t) { return DO(t, Squeeze, INTS_OF(t, -1)); }
static Value *steps(Case *t) { return INTS_OF(t, 1, 3, 5); }
static Value *mixed(Case *t) { return INTS_OF(t, 1, 3, 4); }
static Value *downwards(Case *t) { return INTS_OF(t, 2, 1); }
static Value *pairs(Case *t) { return DO(t, Reshape, INTS_OF(t, 0, 1), INTS_OF(t, 1, 2)); }

static void check_blocks(const char *name, Op op, const char *dims, const char *mode) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", dims);
    Node *n = node_named(&t, op, &x, 1, 1);
    node_set_int(n, "blocksize", 2);
    if (mode) node_set_string(n, "mode", mode);
    output(&t, "y", result(&t, n));
    CHECK(&t, name, 0, LOWER);
}

static void check_lowering(void) {
    Case t;
    case_begin(&t);
    Value *in[] = {input(&t, "x", "Nx6"), INTS_OF(&t, 1, 2, 3)};
    Node *split = node_named(&t, OP_Split, in, 2, 3);
    node_set_int(split, "axis", -1);
    output(&t, "a", result(&t, split));
    output(&t, "c", DO(&t, Exp, split->out[2]));
    CHECK(&t, "Split", 0, LOWER);
    check_gather("Gather of one", last, "2x3xN", 1);
    check_gather("Gather of every other", steps, "2x7", 1);
    check_gather("Gather of uneven places stays", mixed, "2x7", 1);
    check_gather("Gather downwards stays", downwards, "3x2", 0);
    check_gather("Gather of an open axis stays", last, "Nx2", 0);
    check_gather("Gather of a table of places stays", pairs, "3x2", 0);
    check_blocks("DepthToSpace", OP_DepthToSpace, "Nx8x2x3", NULL);
    check_blocks("DepthToSpace, columns first", OP_DepthToSpace, "1x8x2x3", "CRD");
    check_blocks("SpaceToDepth", OP_SpaceToDepth, "1x2x4x6", NULL);
}

int main(void) {
    golden_begin();
    check_conv("zeros around", one_around, 0, NULL);
    check_conv("uneven, before VALID", uneven, 0, "VALID");
    check_conv("before SAME_UPPER stays", uneven, 0, "SAME_UPPER");
    check_conv("ones stay", one_around, 1, NULL);
    check_conv("a channel stays", channels, 0, NULL);
    check_pool("average", OP_AveragePool, false, NULL, one_around);
    check_pool("maximum of what may be negative stays", OP_MaxPool, false, NULL, one_around);
    check_pool("maximum after Relu", OP_MaxPool, true, NULL, one_around);
    check_pool("maximum of -inf", OP_MaxPool, false, minus_infinity, uneven);
    check_sinking();
    check_lowering();
    return golden_end("movement");
}
