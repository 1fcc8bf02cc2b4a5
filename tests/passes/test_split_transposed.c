/* ConvTranspose as a Conv and its phases interleaved: pads that are whole strides and not, output_padding,
 * output_shape, auto_pad, dilations, groups, open dims, what follows; and what stays. Random ones are only evaluated.
 */
#include "tests/passes/passtest.h"

enum { RANDOM = 300 };

static Node *transposed(Case *t, const char *x, const char *w, const char *bias) {
    Value *in[] = {input(t, "x", x), weights(t, w), bias ? weights(t, bias) : NULL};
    return node_named(t, OP_ConvTranspose, in, bias ? 3 : 2, 1);
}

static void check_forms(void) {
    Case t;
    case_begin(&t);
    Node *n = transposed(&t, "Nx3xHxW", "3x5x4x4", "5");
    node_set_ints(n, "strides", (int64_t[]){2, 2}, 2);
    node_set_ints(n, "pads", (int64_t[]){1, 1, 1, 1}, 4);
    output(&t, "y", DO(&t, LeakyRelu, result(&t, n)));
    CHECK(&t, "open dims, an activation before the interleaving", 1e-5, pass_split_transposed);

    case_begin(&t);
    n = transposed(&t, "1x4x9", "4x3x8", NULL);
    node_set_int(n, "group", 2);
    node_set_ints(n, "strides", (int64_t[]){4}, 1);
    node_set_ints(n, "pads", (int64_t[]){4, 4}, 2);
    output(&t, "y", result(&t, n));
    CHECK(&t, "groups, whole strides cut off: no Slice", 1e-5, pass_split_transposed);

    case_begin(&t);
    n = transposed(&t, "1x4x5x5", "4x3x3x3", NULL);
    node_set_ints(n, "pads", (int64_t[]){1, 1, 1, 1}, 4);
    output(&t, "y", result(&t, n));
    CHECK(&t, "stride 1: Conv alone", 1e-5, pass_split_transposed);

    case_begin(&t);
    output(&t, "y", result(&t, transposed(&t, "Nx4x1x1", "4x3x3x2", NULL)));
    CHECK(&t, "one place: the stride becomes the kernel", 1e-5, pass_split_transposed);

    case_begin(&t);
    Value *in[] = {input(&t, "x", "1x2x4"), input(&t, "w", "2x2x3")};
    output(&t, "y", result(&t, node_named(&t, OP_ConvTranspose, in, 2, 1)));
    CHECK(&t, "weights that are no constants stay", 0, pass_split_transposed);
}

static int64_t draw(Case *t, int64_t least, int64_t most) {
    t->lo = (double)least;
    t->hi = (double)most + 1;
    int64_t v = (int64_t)random_number(t);
    t->lo = -2;
    t->hi = 2;
    return v;
}

static Value *random_weights(Case *t, int rank, const int64_t *dims) {
    return value_of_tensor(t->g, random_tensor(t, t->g, DT_F32, rank, dims));
}

/* NULL: nothing would be left of an axis */
static Value *random_node(Case *t) {
    int axes = (int)draw(t, 1, 3);
    int64_t group = draw(t, 1, 3), w[5] = {group * draw(t, 1, 3), draw(t, 1, 4)}, stride[3], dilation[3], pads[6],
            more[3], shape[3];
    Dim x[5] = {dim_const(t->ctx, draw(t, 1, 2)), dim_const(t->ctx, w[0])};
    bool fits = true, shaped = draw(t, 0, 4) == 0;
    for (int i = 0; i < axes; i++) {
        int64_t size = draw(t, 1, 5);
        x[2 + i] = dim_const(t->ctx, size);
        w[2 + i] = draw(t, 1, 6);
        stride[i] = draw(t, 1, 4);
        dilation[i] = draw(t, 0, 3) ? 1 : draw(t, 2, 3);
        more[i] = draw(t, 0, stride[i] - 1);
        pads[i] = draw(t, 0, 3);
        pads[axes + i] = draw(t, 0, 3);
        int64_t full = (size - 1) * stride[i] + (w[2 + i] - 1) * dilation[i] + 1 + more[i];
        shape[i] = draw(t, 1, full + 2);
        fits = fits && full > pads[i] + pads[axes + i];
    }
    Value *v = value_new(t->g, str_of("x"));
    value_set_dims(v, DT_F32, 2 + axes, x);
    t->g->inputs = list_add(t->g->arena, t->g->inputs, &t->g->n_inputs, v);
    int64_t channels = w[1] * group;
    Value *in[] = {v, random_weights(t, 2 + axes, w), draw(t, 0, 1) ? random_weights(t, 1, &channels) : NULL};
    Node *n = node_named(t, OP_ConvTranspose, in, in[2] ? 3 : 2, 1);
    node_set_int(n, "group", group);
    node_set_ints(n, "strides", stride, axes);
    node_set_ints(n, "dilations", dilation, axes);
    node_set_ints(n, "output_padding", more, axes);
    if (shaped) {
        node_set_ints(n, "output_shape", shape, axes);
        node_set_int(n, "auto_pad", draw(t, 0, 3));
    } else node_set_ints(n, "pads", pads, 2 * axes);
    return fits || shaped ? result(t, n) : NULL;
}

static void check_random(void) {
    FILE *golden = golden_out;
    golden_out = fopen("/dev/null", "w");
    for (int i = 0; i < RANDOM; i++) {
        char name[32];
        Case t;
        case_begin(&t);
        t.seed = (uint64_t)i;
        Value *y = random_node(&t);
        if (!y) {
            ctx_free(t.ctx);
            continue;
        }
        output(&t, "y", draw(&t, 0, 1) ? y : DO(&t, Relu, y));
        snprintf(name, sizeof name, "seed %d", i);
        CHECK(&t, name, 1e-5, pass_split_transposed);
    }
    fclose(golden_out);
    golden_out = golden;
}

int main(void) {
    golden_begin();
    check_forms();
    check_random();
    return golden_end("split_transposed");
}
