/* Small graphs as text, for tests of inference. A program is a list of statements:
 *   x: float32[N, 3, H<64]       an input; open dims are 1 to 512, or to what follows <
 *   i: int64{0, 1}  j: int64(5)  constants of rank 1 and 0
 *   a, b = Split(x, i) axis=1 mode=CRD pads=[1, 1] alpha=.5 text='…' : float32[2]     a node, and its outputs' declared type
 * program_result gives the types of the last node's outputs, content behind them, or the first message. */
#ifndef MCC_TEST_INFER_PROGRAM_H
#define MCC_TEST_INFER_PROGRAM_H
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/frontend.h"

typedef struct Program {
    Ctx *ctx;
    Graph *graph;
    const char *at;
    char *messages;
    size_t n_messages;
    FILE *out;
} Program;

static inline void program_bad(const Program *p, const char *what) {
    fprintf(stderr, "bad test program (%s) at: %s\n", what, p->at);
    abort();
}

static inline void skip_space(Program *p) {
    while (isspace((unsigned char)*p->at)) p->at++;
}

static inline bool take(Program *p, char c) {
    skip_space(p);
    if (*p->at != c) return false;
    p->at++;
    return true;
}

static inline Str take_name(Program *p) {
    skip_space(p);
    const char *start = p->at;
    while (isalnum((unsigned char)*p->at) || *p->at == '_' || *p->at == '.') p->at++;
    if (p->at == start) program_bad(p, "a name");
    return (Str){start, (size_t)(p->at - start)};
}

static inline int64_t take_int(Program *p) {
    char *end;
    skip_space(p);
    long long v = strtoll(p->at, &end, 10);
    if (end == p->at) program_bad(p, "an integer");
    p->at = end;
    return v;
}

static inline double take_float(Program *p) {
    char *end;
    skip_space(p);
    double v = strtod(p->at, &end);
    if (end == p->at) program_bad(p, "a number");
    p->at = end;
    return v;
}

static inline Dtype dtype_named(Program *p, Str name) {
    for (int t = 1; t < DT_COUNT; t++)
        if (str_is(name, dtype_name((Dtype)t))) return (Dtype)t;
    program_bad(p, "a dtype");
    return DT_NONE;
}

static inline Dim take_dim(Program *p) {
    skip_space(p);
    if (*p->at == '-' || isdigit((unsigned char)*p->at)) return dim_const(p->ctx, take_int(p));
    Str name = take_name(p);
    return dim_symbol(p->ctx, name, 1, take(p, '<') ? take_int(p) : 512);
}

static inline int take_dims(Program *p, Dim *dims) {
    int n = 0;
    if (!take(p, '[')) program_bad(p, "[");
    while (!take(p, ']')) {
        dims[n++] = take_dim(p);
        take(p, ',');
    }
    return n;
}

static inline void store(Program *p, Tensor *t, int64_t i) {
    char *at = (char *)t->data + (size_t)i * (size_t)(dtype_bits(t->dtype) / 8);
    if (dtype_class(t->dtype) == DTC_F) {
        double d = take_float(p);
        float f = (float)d;
        if (t->dtype == DT_F64) memcpy(at, &d, sizeof d);
        else if (t->dtype == DT_F32) memcpy(at, &f, sizeof f);
        else program_bad(p, "float32 or float64");
    } else {
        int64_t v = take_int(p);
        memcpy(at, &v, (size_t)(dtype_bits(t->dtype) / 8)); /* little-endian hosts */
    }
}

static inline const Tensor *take_constant(Program *p, Dtype t) {
    int64_t n = 0;
    int depth = 1;
    bool scalar = take(p, '(');
    if (!scalar && !take(p, '{')) program_bad(p, "{ or (");
    for (const char *s = p->at; depth; s++) {
        if (*s == '}' || *s == ')') depth--;
        else if (n == 0 && !isspace((unsigned char)*s)) n = 1;
        if (*s == ',') n++;
    }
    Tensor *made = tensor_new(p->graph, t, scalar ? 0 : 1, &n);
    for (int64_t i = 0; i < (scalar ? 1 : n); i++) {
        store(p, made, i);
        take(p, ',');
    }
    p->at++;
    return made;
}

static inline Value *find_value(Program *p, Str name, Value **all, int n) {
    for (int i = n - 1; i >= 0; i--)
        if (str_eq(all[i]->name, name)) return all[i];
    program_bad(p, "an unknown value");
    return NULL;
}

static inline void take_type(Program *p, Value *v) {
    Dim dims[64];
    Dtype t = dtype_named(p, take_name(p));
    skip_space(p);
    if (*p->at != '[') {
        value_set_tensor(p->graph, v, take_constant(p, t));
        return;
    }
    int rank = take_dims(p, dims);
    value_set_dims(v, t, rank, dims);
}

static inline void take_attr(Program *p, Node *n) {
    char name[64];
    Str s = take_name(p);
    snprintf(name, sizeof name, "%.*s", (int)s.n, s.p);
    const AttrSchema *schema = op_attr(n->op, name);
    if (!take(p, '=') || !schema) program_bad(p, "an attribute");
    if (take(p, '[')) {
        int64_t v[64];
        int count = 0;
        while (!take(p, ']')) {
            v[count++] = take_int(p);
            take(p, ',');
        }
        node_set_ints(n, name, v, count);
    } else if (take(p, '\'')) {
        const char *end = strchr(p->at, '\'');
        if (!end) program_bad(p, "a quote that ends");
        node_set_string(n, name, arena_printf(p->ctx->arena, "%.*s", (int)(end - p->at), p->at));
        p->at = end + 1;
    } else if (schema->kind == ATTR_STRING) {
        Str word = take_name(p);
        char text[64];
        snprintf(text, sizeof text, "%.*s", (int)word.n, word.p);
        node_set_string(n, name, text);
    } else if (schema->kind == ATTR_FLOAT) {
        node_set_float(n, name, take_float(p));
    } else {
        node_set_int(n, name, take_int(p));
    }
}

static inline Node *take_node(Program *p, const Str *names, int n_names, Value **all, int n_all) {
    Value *in[64];
    int n_in = 0;
    Str op = take_name(p);
    if (!take(p, '(')) program_bad(p, "(");
    while (!take(p, ')')) {
        in[n_in++] = take(p, '-') ? NULL : find_value(p, take_name(p), all, n_all);
        take(p, ',');
    }
    Node *n = node_new(p->graph, op_find((Str){0}, op), NULL, in, n_in, n_names);
    if (n->op == OP_NONE) program_bad(p, "an unknown operator");
    n->index = 0;
    n->name = names[0];
    for (int i = 0; i < n_names; i++) n->out[i]->name = names[i];
    skip_space(p);
    while (*p->at && *p->at != ';' && *p->at != ':') {
        take_attr(p, n);
        skip_space(p);
    }
    if (take(p, ':'))
        for (int i = 0; i < n_names; i++, take(p, ',')) take_type(p, n->out[i]);
    return n;
}

static inline void program_parse(Program *p, const char *text) {
    *p = (Program){.ctx = ctx_new("test"), .at = text};
    Value *all[64], *inputs[64];
    int n_all = 0, n_inputs = 0;
    Node *last = NULL;
    p->graph = graph_new(p->ctx, NULL);
    p->out = open_memstream(&p->messages, &p->n_messages);
    diag_to(p->ctx, p->out);
    do {
        Str names[16] = {take_name(p)};
        int n = 1;
        while (take(p, ',')) names[n++] = take_name(p);
        if (take(p, ':')) {
            Value *v = all[n_all++] = value_new(p->graph, names[0]);
            take_type(p, v);
            if (!v->constant) inputs[n_inputs++] = v;
        } else if (take(p, '=')) {
            last = take_node(p, names, n, all, n_all);
            for (int i = 0; i < n; i++) all[n_all++] = last->out[i];
        } else {
            program_bad(p, ": or =");
        }
    } while (take(p, ';'));
    if (*p->at) program_bad(p, "the end");
    p->graph->inputs = ARENA_ARRAY(p->ctx->arena, n_inputs, Value *);
    memcpy(p->graph->inputs, inputs, sizeof *inputs * (size_t)n_inputs);
    p->graph->n_inputs = n_inputs;
    p->graph->outputs = last ? last->out : NULL;
    p->graph->n_outputs = last ? last->n_out : 0;
}

static inline const char *dim_shown(Ctx *ctx, Dim d) {
    if (d && d->kind == DIM_SYMBOL && d->node) return arena_printf(ctx->arena, "?%lld", (long long)d->hi);
    return dim_text(ctx, d);
}

static inline const char *value_shown(Ctx *ctx, const Value *v) {
    const char *text = arena_printf(ctx->arena, "%s[", dtype_name(v->type.dtype));
    for (int i = 0; i < v->type.rank; i++)
        text = arena_printf(ctx->arena, "%s%s%s", text, i ? ", " : "", dim_shown(ctx, v->type.dims[i]));
    text = arena_printf(ctx->arena, "%s]", text);
    int n = value_content(v);
    for (int i = 0; i < n; i++)
        text = arena_printf(ctx->arena, "%s%s%s", text, i ? ", " : "{", dim_shown(ctx, v->content[i]));
    return n < 0 ? text : arena_printf(ctx->arena, "%s%s}", text, n ? "" : "{");
}

/* The last node's outputs, or the messages; lives as long as the program */
static inline const char *program_result(Program *p) {
    bool ok = infer_graph(p->ctx, p->graph);
    fflush(p->out);
    if (!ok) return p->messages;
    const char *text = "";
    for (int i = 0; i < p->graph->n_outputs; i++)
        text = arena_printf(p->ctx->arena, "%s%s%s", text, i ? ", " : "", value_shown(p->ctx, p->graph->outputs[i]));
    for (int i = 0; i < p->ctx->n_equal; i++)
        text = arena_printf(p->ctx->arena, "%s if %s = %s", text, dim_text(p->ctx, p->ctx->equal[i].a),
                            dim_text(p->ctx, p->ctx->equal[i].b));
    return text;
}

static inline void program_free(Program *p) {
    fclose(p->out);
    free(p->messages);
    ctx_free(p->ctx);
}

typedef struct Case {
    const char *program, *want; /* want: the result, or after '!' a part of the message */
} Case;

static inline int check_case(const Case *c) {
    Program p;
    program_parse(&p, c->program);
    const char *got = program_result(&p);
    bool failed = diag_errors(p.ctx) > 0;
    bool ok = *c->want == '!' ? failed && strstr(got, c->want + 1) : !failed && !strcmp(got, c->want);
    if (!ok) fprintf(stderr, "%s\n  want %s\n  got  %s\n", c->program, c->want, got);
    program_free(&p);
    return !ok;
}

#define CHECK_CASES(cases) check_cases(cases, sizeof cases / sizeof *cases)
static inline int check_cases(const Case *c, size_t n) {
    int failed = 0;
    for (size_t i = 0; i < n; i++) failed += check_case(&c[i]);
    printf("%zu cases, %d failed\n", n, failed);
    return failed != 0;
}
#endif
