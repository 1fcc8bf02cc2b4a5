/* A loop nest as text, for --emit=loops:
 *   for i0 < 64, i1 < 3136
 *     t1 = Add(in0[3136*i0 + i1], in1[i0])
 *     out[3136*i0 + i1] = t1 */
#include "codegen/loops.h"

static void print_access(Ctx *ctx, const char *base, const Access *a, int n_axes, FILE *out) {
    fprintf(out, "%s[", base);
    bool first = true;
    for (int i = 0; i < n_axes; i++) {
        if (dim_is(a->stride[i], 0)) continue;
        if (!first) fputs(" + ", out);
        if (!dim_is(a->stride[i], 1)) fprintf(out, "%s*", dim_text(ctx, a->stride[i]));
        fprintf(out, "i%d", i);
        first = false;
    }
    if (first || !dim_is(a->offset, 0)) fprintf(out, "%s%s", first ? "" : " + ", dim_text(ctx, a->offset));
    fputc(']', out);
}

static void print_operand(Ctx *ctx, const Expr *x, int n_axes, FILE *out) {
    if (!x) fputs("none", out);
    else if (x->node) fprintf(out, "t%d", x->point);
    else if (x->access.input == REDUCED) fputs("acc", out);
    else print_access(ctx, arena_printf(ctx->arena, "in%d", x->access.input), &x->access, n_axes, out);
}

/* operands first, each once */
static void print_steps(Ctx *ctx, Expr *x, int n_axes, int *next, FILE *out) {
    if (!x || !x->node || x->point) return;
    for (int i = 0; i < x->n_args; i++) print_steps(ctx, x->args[i], n_axes, next, out);
    x->point = ++*next;
    fprintf(out, "        t%d = %s(", x->point, op_info(x->node->op)->name);
    for (int i = 0; i < x->n_args; i++) {
        if (i) fputs(", ", out);
        print_operand(ctx, x->args[i], n_axes, out);
    }
    fputs(")\n", out);
}

static void print_axes(Ctx *ctx, const Nest *nest, int from, int to, const char *word, int indent, FILE *out) {
    if (from == to) return;
    fprintf(out, "%*s%s ", indent, "", word);
    for (int i = from; i < to; i++) fprintf(out, "%si%d < %s", i > from ? ", " : "", i, dim_text(ctx, nest->extent[i]));
    fputc('\n', out);
}

void nest_print(Ctx *ctx, const Node *fused, FILE *out) {
    Nest nest;
    if (!nest_lower(ctx, fused, &nest)) return;
    int outer = nest.n_axes - nest.n_reduce;
    print_axes(ctx, &nest, 0, outer, "for", 4, out);
    int next = 0;
    if (nest.reduce) {
        print_axes(ctx, &nest, outer, nest.n_axes, "fold", 6, out);
        print_steps(ctx, nest.body, nest.n_axes, &next, out);
        fprintf(out, "        acc = %s(", op_info(nest.reduce->op)->name);
        print_operand(ctx, nest.body, nest.n_axes, out);
        fputs(")\n", out);
    }
    Expr reduced = {.access.input = REDUCED}, *result = !nest.reduce ? nest.body : nest.after ? nest.after : &reduced;
    print_steps(ctx, result, nest.n_axes, &next, out);
    fputs("      ", out);
    print_access(ctx, "out", &nest.store, outer, out);
    fputs(" = ", out);
    print_operand(ctx, result, nest.n_axes, out);
    fputc('\n', out);
}
