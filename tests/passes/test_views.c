/* Views and movement: what merges, what becomes mcc.View, what goes. */
#include "tests/passes/passtest.h"

#define VIEWS pass_fold_const, pass_remove_identity, pass_merge_views, pass_dead_code

static Value *transpose(Case *t, Value *x, const int64_t *perm, int n) {
    Node *node = NODE(t, Transpose, x);
    if (n) node_set_ints(node, "perm", perm, n);
    return result(t, node);
}
#define TRANSPOSE(t, x, ...)                                                                                           \
    transpose(t, x, (const int64_t[]){__VA_ARGS__}, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

static void check_transposes(void) {
    Case t;
    case_begin(&t);
    output(&t, "y", TRANSPOSE(&t, TRANSPOSE(&t, input(&t, "x", "2xNx4"), 2, 0, 1), 2, 0, 1));
    CHECK(&t, "two transposes become one", 0, VIEWS);
    case_begin(&t);
    output(&t, "y", DO(&t, Exp, TRANSPOSE(&t, TRANSPOSE(&t, input(&t, "x", "2x3x4"), 2, 0, 1), 1, 2, 0)));
    CHECK(&t, "transposes that cancel", 0, VIEWS);
    case_begin(&t);
    output(&t, "y", transpose(&t, transpose(&t, input(&t, "x", "2x3"), NULL, 0), NULL, 0));
    CHECK(&t, "an output keeps its name", 0, VIEWS);
    case_begin(&t);
    output(&t, "y", TRANSPOSE(&t, input(&t, "x", "Nx1x4x1"), 1, 0, 3, 2));
    CHECK(&t, "only axes of size 1 move", 0, VIEWS);
    case_begin(&t);
    output(&t, "y", TRANSPOSE(&t, input(&t, "x", "1x3x4"), 1, 2, 0));
    output(&t, "z", TRANSPOSE(&t, t.g->inputs[0], 1, 0, 2));
    CHECK(&t, "a size-1 axis moves past others", 0, VIEWS);
}

static void check_reshapes(void) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "Nx4x6"), *flat = DO(&t, Reshape, x, INTS_OF(&t, 0, -1));
    output(&t, "y", DO(&t, Reshape, DO(&t, Exp, flat), INTS_OF(&t, -1, 8)));
    CHECK(&t, "reshapes with open dims", 0, VIEWS);
    case_begin(&t);
    x = input(&t, "x", "2x3x4");
    Value *y = DO(&t, Unsqueeze, DO(&t, Flatten, x), INTS_OF(&t, 0));
    output(&t, "y", DO(&t, Exp, DO(&t, Squeeze, y, INTS_OF(&t, 0))));
    CHECK(&t, "a chain of views is one", 0, VIEWS);
    case_begin(&t);
    x = input(&t, "x", "Nx8");
    Node *gather = NODE(&t, Gather, DO(&t, Shape, x), INTS_OF(&t, 0));
    Node *concat = NODE(&t, Concat, result(&t, gather), INTS_OF(&t, 2, 4));
    node_set_int(concat, "axis", 0);
    output(&t, "y", DO(&t, Exp, DO(&t, Reshape, x, result(&t, concat))));
    CHECK(&t, "computed shape", 0, VIEWS);
    case_begin(&t);
    output(&t, "y", DO(&t, Exp, DO(&t, Reshape, input(&t, "x", "Nx3"), INTS_OF(&t, -1, 3))));
    CHECK(&t, "a reshape that changes nothing", 0, VIEWS);
}

static void check_movement(void) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "Nx3x4");
    Value *y = DO(&t, Expand, x, INTS_OF(&t, 1, 3, 4));
    y = DO(&t, Tile, y, INTS_OF(&t, 1, 1, 1));
    y = DO(&t, Pad, y, INTS_OF(&t, 0, 0, 0, 0, 0, 0));
    y = DO(&t, Slice, y, INTS_OF(&t, 0), INTS_OF(&t, INT64_MAX), INTS_OF(&t, 1));
    Node *concat = NODE(&t, Concat, y), *cast;
    node_set_int(concat, "axis", 1);
    node_set_int(cast = NODE(&t, Cast, result(&t, concat)), "to", DT_F32);
    output(&t, "y", DO(&t, Exp, DO(&t, Identity, result(&t, cast))));
    CHECK(&t, "movement that moves nothing", 0, VIEWS);
    case_begin(&t);
    x = input(&t, "x", "3x4");
    output(&t, "y", DO(&t, Slice, x, INTS_OF(&t, -1), INTS_OF(&t, INT64_MIN), INTS_OF(&t, 1), INTS_OF(&t, -1)));
    CHECK(&t, "a reversing slice stays", 0, VIEWS);
    case_begin(&t);
    x = input(&t, "x", "2x3x1x1");
    Node *mean = NODE(&t, ReduceMean, x, INTS_OF(&t, 2, 3));
    node_set_int(mean, "keepdims", 0);
    output(&t, "y", DO(&t, Exp, result(&t, mean)));
    CHECK(&t, "a mean over axes of size 1", 0, VIEWS);
    case_begin(&t);
    x = input(&t, "x", "2x3x4x4");
    Node *pool = NODE(&t, MaxPool, x), *pool2;
    node_set_ints(pool, "kernel_shape", (int64_t[]){1, 1}, 2);
    node_set_ints(pool2 = NODE(&t, MaxPool, result(&t, pool)), "kernel_shape", (int64_t[]){1, 1}, 2);
    node_set_ints(pool2, "strides", (int64_t[]){2, 2}, 2);
    output(&t, "y", result(&t, pool2));
    CHECK(&t, "1x1 pools: one is nothing, one subsamples", 0, VIEWS);
    case_begin(&t);
    x = input(&t, "x", "1x2x4x4");
    Node *resize = node_named(&t, OP_Resize, (Value *[]){x, NULL, NULL, INTS_OF(&t, 1, 2, 4, 4)}, 4, 1);
    node_set_string(resize, "mode", "linear");
    output(&t, "y", DO(&t, Exp, result(&t, resize)));
    CHECK(&t, "a resize to the same size", 0, VIEWS);
}

static void check_softmax(void) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "2x3x4"), *y = DO(&t, Softmax, DO(&t, Reshape, x, INTS_OF(&t, 6, 4)));
    output(&t, "y", DO(&t, Exp, DO(&t, Reshape, y, INTS_OF(&t, 2, 3, 4))));
    CHECK(&t, "Softmax between views", 0, VIEWS);
    case_begin(&t);
    x = input(&t, "x", "2x3x4");
    output(&t, "y", DO(&t, Softmax, DO(&t, Reshape, x, INTS_OF(&t, 2, 12))));
    CHECK(&t, "Softmax over more than the last axis stays", 0, VIEWS);
}

static void check_outputs(void) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "2x3"), *e = DO(&t, Exp, x);
    output(&t, "a", DO(&t, Identity, x));
    output(&t, "b", DO(&t, Identity, e));
    output(&t, "c", DO(&t, Identity, e));
    output(&t, "d", DO(&t, Identity, number(&t, 3)));
    CHECK(&t, "outputs that are one value keep their names", 0, VIEWS);
}

int main(void) {
    golden_begin();
    check_transposes();
    check_reshapes();
    check_movement();
    check_softmax();
    check_outputs();
    return golden_end("views");
}
