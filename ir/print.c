/* The graph as text, for --emit=graph, --dump-after and golden tests:
 *   graph (%x: float32[1, 3, H, W]) -> (%y)
 *     %y: float32[1, 8, H, W] = Conv(%x, %w) {pads = [1, 1, 1, 1]}  # conv_1
 * A value is its model name if that is plain and unique enough to read, else v<id>. Constants show dtype, dims and, when
 * small, their elements. */
#include "ir/ir.h"
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

enum { INLINE_ELEMENTS = 8 };

static bool is_plain(Str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && !strchr("_.:/-", s.p[i])) return false;
    return s.n > 0 && s.n < 80;
}

static void print_name(const Value *v, FILE *out) {
    if (is_plain(v->name)) fprintf(out, "%%%.*s", (int)v->name.n, v->name.p);
    else fprintf(out, "%%v%d", v->id);
}

static void print_type(Ctx *ctx, const Value *v, FILE *out) {
    if (v->type.kind != TYPE_TENSOR || v->type.rank < 0) {
        fputs("?", out);
        return;
    }
    fprintf(out, "%s[", dtype_name(v->type.dtype));
    for (int i = 0; i < v->type.rank; i++) fprintf(out, "%s%s", i ? ", " : "", dim_text(ctx, v->type.dims[i]));
    fputc(']', out);
}

static void print_elements(const Tensor *t, FILE *out) {
    int64_t n;
    if (!product_i64(t->dims, t->rank, &n) || n > INLINE_ELEMENTS || !dtype_supported(t->dtype)) {
        fputs(" {…}", out);
        return;
    }
    fputs(" {", out);
    for (int64_t i = 0; i < n; i++)
        if (dtype_class(t->dtype) == DTC_F) fprintf(out, "%s%.9g", i ? ", " : "", tensor_float(t, i));
        else fprintf(out, "%s%" PRId64, i ? ", " : "", tensor_int(t, i));
    fputc('}', out);
}

static void print_operand(Ctx *ctx, const Value *v, FILE *out) {
    if (!v) {
        fputs("none", out);
    } else if (v->constant && v->constant->dtype != DT_STRING) {
        print_type(ctx, v, out);
        print_elements(v->constant, out);
    } else {
        print_name(v, out);
    }
}

/* what: the attribute that it is, or empty */
static void print_graph(const Graph *g, FILE *out, int depth, Str what);

static void print_attr(const Attr *a, FILE *out) {
    fprintf(out, "%.*s = ", (int)a->name.n, a->name.p);
    char text[200];
    switch (a->kind) {
    case ATTR_INT: fprintf(out, "%" PRId64, a->i); break;
    case ATTR_FLOAT: fprintf(out, "%.9g", a->f); break;
    case ATTR_STRING: str_escape(text, sizeof text, a->s); fprintf(out, "\"%s\"", text); break;
    case ATTR_INTS:
    case ATTR_FLOATS:
        fputc('[', out);
        for (int i = 0; i < a->n; i++)
            if (a->kind == ATTR_INTS) fprintf(out, "%s%" PRId64, i ? ", " : "", a->ints[i]);
            else fprintf(out, "%s%.9g", i ? ", " : "", a->floats[i]);
        fputc(']', out);
        break;
    default: fputs("…", out); break;
    }
}

static void print_node(Ctx *ctx, const Node *n, FILE *out, int depth) {
    fprintf(out, "%*s", depth * 2, "");
    for (int i = 0; i < n->n_out; i++) {
        if (i) fputs(", ", out);
        if (!n->out[i]) {
            fputs("none", out);
            continue;
        }
        print_name(n->out[i], out);
        fputs(": ", out);
        print_type(ctx, n->out[i], out);
    }
    const OpInfo *op = op_info(n->op);
    fprintf(out, " = %s%s(", op->domain == MCC ? "mcc." : "", op->name);
    for (int i = 0; i < n->n_in; i++) {
        if (i) fputs(", ", out);
        print_operand(ctx, n->in[i], out);
    }
    fputc(')', out);
    int shown = 0;
    for (int i = 0; i < n->n_attrs; i++) {
        if (n->attrs[i].kind == ATTR_GRAPH) continue;
        fputs(shown++ ? ", " : " {", out);
        print_attr(&n->attrs[i], out);
    }
    if (shown) fputc('}', out);
    if (n->name.n) fprintf(out, "  # %s", diag_name(ctx, n->name));
    fputc('\n', out);
    if (n->body) print_graph(n->body, out, depth + 1, (Str){0});
    for (int i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].kind == ATTR_GRAPH) print_graph(n->attrs[i].graph, out, depth + 1, n->attrs[i].name);
}

static int graph_lines(const Graph *g) {
    int lines = 1;
    for (const Node *n = g->first; n; n = n->next) lines += node_lines(n);
    return lines;
}

int node_lines(const Node *n) {
    int lines = 1 + (n->body ? graph_lines(n->body) : 0);
    for (int i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].kind == ATTR_GRAPH) lines += graph_lines(n->attrs[i].graph);
    return lines;
}

static void print_graph(const Graph *g, FILE *out, int depth, Str what) {
    Ctx *ctx = g->ctx;
    fprintf(out, "%*s%.*s%sgraph (", depth * 2, "", (int)what.n, what.p ? what.p : "", what.n ? ": " : "");
    for (int i = 0; i < g->n_inputs; i++) {
        if (i) fputs(", ", out);
        print_name(g->inputs[i], out);
        fputs(": ", out);
        print_type(ctx, g->inputs[i], out);
    }
    fputs(") -> (", out);
    for (int i = 0; i < g->n_outputs; i++) {
        if (i) fputs(", ", out);
        print_operand(ctx, g->outputs[i], out);
    }
    fputs(")\n", out);
    for (const Node *n = g->first; n; n = n->next) print_node(ctx, n, out, depth + 1);
}

void graph_print(const Graph *g, FILE *out) { print_graph(g, out, 0, (Str){0}); }
