/* Softmax, LogSoftmax, normalisations and means of planes on a GPU: a team of threads a row, which goes over it once
 * for each thing that must be known of all of it, and once more to write. float16 and bfloat16 are computed in float32.
 */
#include "codegen/gpu_team.h"

typedef struct Rows { /* elements base + j·inner of x, for j below n */
    Kernel *k;
    Team team;
    LLVMTypeRef type; /* of indices */
    LLVMValueRef n, inner, base;
    Dtype stored, computed;
} Rows;

/* ---- numbers ---- */

static LLVMValueRef call_el(Kernel *k, Op op, Dtype from, Dtype to, LLVMValueRef *args, int n) {
    Value x = {.type = {.kind = TYPE_TENSOR, .dtype = from}}, y = {.type = {.kind = TYPE_TENSOR, .dtype = to}};
    Value *in[2] = {&x, &x}, *out[1] = {&y};
    Node node = {.op = op, .in = in, .n_in = n, .out = out, .n_out = 1};
    return gen_elementwise(k->gen, k->b, &node, args);
}

static LLVMValueRef apply(const Rows *r, Op op, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef args[2] = {a, b};
    return call_el(r->k, op, r->computed, r->computed, args, b ? 2 : 1);
}

static LLVMValueRef convert(Kernel *k, LLVMValueRef v, Dtype from, Dtype to) {
    return from == to ? v : call_el(k, OP_Cast, from, to, &v, 1);
}

static LLVMValueRef number(const Rows *r, double v) { return LLVMConstReal(gen_elem_type(r->k->gen, r->computed), v); }

static LLVMValueRef add(void *rows, LLVMValueRef a, LLVMValueRef b) { return apply(rows, OP_Add, a, b); }

static LLVMValueRef larger(void *rows, LLVMValueRef a, LLVMValueRef b) { return apply(rows, OP_Max, a, b); }

/* ---- memory ---- */

static LLVMValueRef element(const Rows *r, LLVMValueRef base, LLVMValueRef at, Dtype t) {
    Kernel *k = r->k;
    if (r->type != k->gen->i64) at = LLVMBuildSExt(k->b, at, k->gen->i64, "");
    return element_at(k, gen_elem_type(k->gen, t), base, at);
}

static LLVMValueRef load_of(const Rows *r, LLVMValueRef base, LLVMValueRef at, Dtype t) {
    Kernel *k = r->k;
    LLVMValueRef p = element(r, base, at, t);
    return convert(k, vec_load_of(k, gen_elem_type(k->gen, t), p, 1, (unsigned)dtype_bits(t) / 8), t, r->computed);
}

static LLVMValueRef place(const Rows *r, LLVMValueRef j) { return i_add(r->k, r->base, i_mul(r->k, j, r->inner)); }

static LLVMValueRef load(const Rows *r, LLVMValueRef j) { return load_of(r, r->k->in[0], place(r, j), r->stored); }

static void store_of(const Rows *r, LLVMValueRef base, LLVMValueRef at, Dtype t, LLVMValueRef v) {
    Kernel *k = r->k;
    LLVMValueRef p = element(r, base, at, t);
    LLVMSetAlignment(LLVMBuildStore(k->b, convert(k, v, r->computed, t), p), (unsigned)dtype_bits(t) / 8);
}

static void store(const Rows *r, LLVMValueRef j, LLVMValueRef v) {
    store_of(r, r->k->out[0], place(r, j), r->stored, v);
}

/* where only the team's own item is stored */
static TeamLoop write_begin(Rows *r, If *own) {
    *own = if_begin(r->k, r->team.own);
    return team_loop(&r->team, r->n, NULL);
}

static void write_end(Rows *r, TeamLoop *l, If *own) {
    team_loop_end(&r->team, l, NULL);
    if_end(r->k, own);
}

/* ---- which rows ---- */

typedef struct Shape { /* of x: outer rows of n elements that lie `inner` apart */
    Dim outer, n, inner;
} Shape;

static bool is_mean(const Node *n) { return n->op == OP_GlobalAveragePool; }

static bool is_softmax(const Node *n) { return n->op == OP_Softmax || n->op == OP_LogSoftmax; }

static int axis_of(const Node *n) {
    if (n->op == OP_InstanceNormalization || is_mean(n)) return 2;
    int64_t axis = node_int(n, "axis");
    return (int)(axis < 0 ? axis + n->in[0]->type.rank : axis);
}

static Shape shape_of(Ctx *ctx, const Node *n) {
    const Type *x = &n->in[0]->type;
    int axis = axis_of(n), end = is_softmax(n) ? axis + 1 : x->rank;
    return (Shape){dim_product(ctx, x->dims, axis), dim_product(ctx, x->dims + axis, end - axis),
                   dim_product(ctx, x->dims + end, x->rank - end)};
}

/* neighbouring columns are neighbouring threads' */
static int team_of(Ctx *ctx, const Node *n) {
    Shape s = shape_of(ctx, n);
    Dim items = dim_mul(ctx, s.outer, s.inner);
    return s.inner->hi >= 8 ? 1 : team_size(s.n->hi, items ? items->hi : INT64_MAX);
}

static void geometry(Ctx *ctx, const CodeOptions *o, const Node *n, int launch, GpuGeometry *out) {
    Shape s = shape_of(ctx, n);
    (void)o, (void)launch;
    out->grid[0] = dim_ceildiv(ctx, dim_mul(ctx, s.outer, s.inner), dim_const(ctx, TEAM_BLOCK / team_of(ctx, n)));
    out->block[0] = TEAM_BLOCK;
}

static bool is_float(const Value *v) { return dtype_class(v->type.dtype) == DTC_F && dtype_computes(v->type.dtype); }

static void rows_begin(Rows *r, Kernel *k) {
    const Node *n = k->node;
    Ctx *ctx = k->gen->ctx;
    Shape s = shape_of(ctx, n);
    Dtype t = n->in[0]->type.dtype;
    Dim all = value_elements(ctx, n->in[0]);
    bool small = all && all->hi < INT32_MAX / 2;
    *r = (Rows){.k = k, .stored = t, .computed = t == DT_F64 ? DT_F64 : DT_F32};
    r->type = small ? k->gen->i32 : k->gen->i64;
    r->n = LLVMBuildTruncOrBitCast(k->b, kernel_dim(k, s.n), r->type, "");
    r->inner = LLVMBuildTruncOrBitCast(k->b, kernel_dim(k, s.inner), r->type, "");
    LLVMValueRef items = LLVMBuildTruncOrBitCast(k->b, kernel_dim(k, dim_mul(ctx, s.outer, s.inner)), r->type, "");
    r->team = team_begin(k, team_of(ctx, n), items);
    LLVMValueRef index[2];
    gpu_unflatten(k, r->team.item, (Dim[]){s.outer, s.inner}, 2, index);
    r->base = i_add(k, i_mul(k, i_mul(k, index[0], r->n), r->inner), index[1]);
}

/* ---- softmax ---- */

static LLVMValueRef power(const Rows *r, LLVMValueRef j, LLVMValueRef most) {
    return apply(r, OP_Exp, apply(r, OP_Sub, load(r, j), most), NULL);
}

static bool emit_softmax(Kernel *k, int launch) {
    Rows r;
    If own;
    (void)launch;
    rows_begin(&r, k);
    TeamLoop l = team_loop(&r.team, r.n, number(&r, -__builtin_inf()));
    team_loop_end(&r.team, &l, larger(&r, l.acc, load(&r, l.i)));
    LLVMValueRef most = team_fold(&r.team, l.acc, larger, &r);
    l = team_loop(&r.team, r.n, number(&r, 0));
    team_loop_end(&r.team, &l, add(&r, l.acc, power(&r, l.i, most)));
    LLVMValueRef sum = team_fold(&r.team, l.acc, add, &r);
    if (k->node->op == OP_LogSoftmax) sum = apply(&r, OP_Log, sum, NULL);
    l = write_begin(&r, &own);
    LLVMValueRef v = k->node->op == OP_LogSoftmax ? apply(&r, OP_Sub, apply(&r, OP_Sub, load(&r, l.i), most), sum)
                                                  : apply(&r, OP_Div, power(&r, l.i, most), sum);
    store(&r, l.i, v);
    write_end(&r, &l, &own);
    LLVMBuildRetVoid(k->b);
    return true;
}

static bool softmax_fits(const CodeOptions *o, const Node *n) {
    (void)o;
    return is_softmax(n) && n->in[0]->type.rank > 0 && is_float(n->in[0]);
}

/* a row's elements are all read before its first is written */
static bool in_place(const Node *n, int input) {
    (void)n;
    return input == 0;
}

/* ---- normalisations ---- */

/* scale or bias for element j: one a channel, or broadcast to x */
static LLVMValueRef parameter(const Rows *r, int input, LLVMValueRef j) {
    Kernel *k = r->k;
    const Value *x = k->node->in[0], *v = k->node->in[input];
    LLVMValueRef at = i_like(r->n, 0), index[MCC_MAX_RANK];
    if (k->node->op == OP_InstanceNormalization) {
        LLVMValueRef channels = LLVMBuildTruncOrBitCast(k->b, kernel_dim(k, x->type.dims[1]), r->type, "");
        at = LLVMBuildURem(k->b, r->team.item, channels, "");
    } else {
        int shift = x->type.rank - v->type.rank;
        Dim stride = dim_const(k->gen->ctx, 1);
        gpu_unflatten(k, place(r, j), x->type.dims, x->type.rank, index);
        for (int d = v->type.rank - 1; d >= 0; d--) {
            LLVMValueRef step = LLVMBuildTruncOrBitCast(k->b, kernel_dim(k, stride), r->type, "");
            if (!dim_is(v->type.dims[d], 1)) at = i_add(k, at, i_mul(k, index[d + shift], step));
            stride = dim_mul(k->gen->ctx, stride, v->type.dims[d]);
        }
    }
    return load_of(r, k->in[input], at, v->type.dtype);
}

static LLVMValueRef centred(const Rows *r, LLVMValueRef j, LLVMValueRef mean) {
    return mean ? apply(r, OP_Sub, load(r, j), mean) : load(r, j);
}

static LLVMValueRef average(Rows *r, LLVMValueRef sum) {
    LLVMValueRef n = LLVMBuildSIToFP(r->k->b, r->n, gen_elem_type(r->k->gen, r->computed), "");
    return apply(r, OP_Div, team_fold(&r->team, sum, add, r), n);
}

/* the moments of a row, where they are outputs */
static void store_moments(Rows *r, LLVMValueRef mean, LLVMValueRef inverse) {
    const Node *n = r->k->node;
    LLVMValueRef values[3] = {NULL, mean, inverse};
    If first = if_begin(r->k, team_is_first(&r->team));
    for (int i = 1; i < n->n_out; i++)
        if (n->out[i]) store_of(r, r->k->out[i], r->team.item, n->out[i]->type.dtype, values[i]);
    if_end(r->k, &first);
}

static bool emit_norm(Kernel *k, int launch) {
    Rows r;
    If own;
    const Node *n = k->node;
    LLVMValueRef mean = NULL;
    TeamLoop l;
    (void)launch;
    rows_begin(&r, k);
    if (n->op != OP_RMSNormalization) {
        l = team_loop(&r.team, r.n, number(&r, 0));
        team_loop_end(&r.team, &l, add(&r, l.acc, load(&r, l.i)));
        mean = average(&r, l.acc);
    }
    l = team_loop(&r.team, r.n, number(&r, 0));
    LLVMValueRef x = centred(&r, l.i, mean);
    team_loop_end(&r.team, &l, add(&r, l.acc, apply(&r, OP_Mul, x, x)));
    LLVMValueRef variance = apply(&r, OP_Add, average(&r, l.acc), number(&r, node_float(n, "epsilon"))),
                 inverse = apply(&r, OP_Div, number(&r, 1), apply(&r, OP_Sqrt, variance, NULL));
    store_moments(&r, mean, inverse);
    l = write_begin(&r, &own);
    LLVMValueRef v = apply(&r, OP_Mul, centred(&r, l.i, mean), inverse);
    v = apply(&r, OP_Mul, v, parameter(&r, 1, l.i));
    if (n->n_in > 2 && n->in[2]) v = apply(&r, OP_Add, v, parameter(&r, 2, l.i));
    store(&r, l.i, v);
    write_end(&r, &l, &own);
    LLVMBuildRetVoid(k->b);
    return true;
}

static bool emit_mean(Kernel *k, int launch) {
    Rows r;
    (void)launch;
    rows_begin(&r, k);
    TeamLoop l = team_loop(&r.team, r.n, number(&r, 0));
    team_loop_end(&r.team, &l, add(&r, l.acc, load(&r, l.i)));
    LLVMValueRef mean = average(&r, l.acc);
    If first = if_begin(k, team_is_first(&r.team));
    store_of(&r, k->out[0], r.team.item, r.stored, mean);
    if_end(k, &first);
    LLVMBuildRetVoid(k->b);
    return true;
}

static bool mean_fits(const CodeOptions *o, const Node *n) {
    (void)o;
    return is_mean(n) && n->in[0]->type.rank >= 2 && is_float(n->in[0]);
}

static bool norm_fits(const CodeOptions *o, const Node *n) {
    (void)o;
    bool is = n->op == OP_LayerNormalization || n->op == OP_RMSNormalization || n->op == OP_InstanceNormalization;
    return is && is_float(n->in[0]) && axis_of(n) <= n->in[0]->type.rank && n->out[0];
}

const GpuForm gpu_softmax = {
    .form = "softmax", .fits = softmax_fits, .geometry = geometry, .emit = emit_softmax, .in_place = in_place};
const GpuForm gpu_norm = {
    .form = "normalisation", .fits = norm_fits, .geometry = geometry, .emit = emit_norm, .in_place = in_place};
const GpuForm gpu_mean = {.form = "mean of planes", .fits = mean_fits, .geometry = geometry, .emit = emit_mean};
