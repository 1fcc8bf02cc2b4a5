/* A fused loop nest on a GPU. Elementwise: a thread computes a few neighbours along the innermost axis, whose loads and
 * stores LLVM joins to vectors where the pointers' alignment allows. Reductions: a team of threads folds one result,
 * each thread every n-th element, then lane by lane across the team, in an order that the sizes alone decide. */
#include "codegen/gpu_team.h"
#include "codegen/loops.h"

enum { THREADS = 256, FEW_POINTS = 1 << 15, VECTOR_BYTES = 16 };

typedef struct Emit {
    Kernel *k;
    Nest nest;
    LLVMTypeRef type; /* of indices: i32 where everything fits */
    LLVMValueRef index[MAX_AXES], reduced;
    int ahead; /* of index[] along the innermost axis: apart, so that LLVM sees what are neighbours */
    int point;
} Emit;

static int64_t most_of(const Dim *dims, int n) {
    int64_t product = 1;
    for (int i = 0; i < n; i++)
        if (__builtin_mul_overflow(product, dims[i]->hi, &product)) return INT64_MAX;
    return product;
}

static int outer_axes(const Nest *n) { return n->n_axes - n->n_reduce; }

/* ---- geometry ---- */

/* neighbours that a thread computes */
static int neighbours(const Nest *n) {
    int inner = n->n_axes - 1, bits = dtype_bits(n->dtype),
        most = VECTOR_BYTES * 8 / bits > 8 ? 8 : VECTOR_BYTES * 8 / bits;
    int64_t size;
    if (n->reduce || inner < 0 || !dim_is_const(n->extent[inner], &size) || most_of(n->extent, n->n_axes) < FEW_POINTS)
        return 1;
    while (most > 1 && size % most) most /= 2;
    return most;
}

static int team_of(const Nest *n) {
    int64_t each = most_of(n->extent + outer_axes(n), n->n_reduce), results = most_of(n->extent, outer_axes(n));
    return team_size(each, results);
}

static bool lower(const Node *n, Nest *out) { return nest_lower(n->graph->ctx, n, out); }

static bool fits(const CodeOptions *o, const Node *n) {
    (void)o;
    return n->op == OP_Fused;
}

static void geometry(Ctx *ctx, const CodeOptions *o, const Node *n, int launch, GpuGeometry *out) {
    Nest nest;
    (void)o, (void)launch;
    if (!lower(n, &nest)) return;
    Dim points = dim_product(ctx, nest.extent, outer_axes(&nest));
    int each = nest.reduce ? THREADS / team_of(&nest) : THREADS * neighbours(&nest);
    out->grid[0] = dim_ceildiv(ctx, points, dim_const(ctx, each));
    out->block[0] = THREADS;
}

/* ---- points ---- */

static LLVMValueRef size_of(Emit *e, Dim d) {
    return LLVMBuildTruncOrBitCast(e->k->b, kernel_dim(e->k, d), e->type, "");
}

static LLVMValueRef address(Emit *e, LLVMValueRef base, const Access *a, Dtype t) {
    Kernel *k = e->k;
    LLVMValueRef at = size_of(e, a->offset);
    for (int i = 0; i < e->nest.n_axes; i++)
        if (!dim_is(a->stride[i], 0)) at = i_add(k, at, i_mul(k, e->index[i], size_of(e, a->stride[i])));
    if (e->type != k->gen->i64) at = LLVMBuildSExt(k->b, at, k->gen->i64, "");
    LLVMTypeRef type = gen_elem_type(k->gen, t);
    LLVMValueRef p = element_at(k, type, base, at);
    if (!e->ahead) return p;
    return element_at(k, type, p, i_scale(k, kernel_dim(k, a->stride[e->nest.n_axes - 1]), e->ahead));
}

static unsigned elem_bytes(Dtype t) { return (unsigned)dtype_bits(t) / 8; }

static LLVMValueRef evaluate(Emit *e, Expr *x) {
    Kernel *k = e->k;
    if (x->point == e->point) return x->value;
    if (x->node) {
        LLVMValueRef args[3];
        for (int i = 0; i < x->n_args; i++) args[i] = x->args[i] ? evaluate(e, x->args[i]) : NULL;
        x->value = gen_elementwise(k->gen, k->b, x->node, args);
    } else if (x->access.input == REDUCED) {
        x->value = e->reduced;
    } else {
        LLVMValueRef p = address(e, k->in[x->access.input], &x->access, x->dtype);
        x->value = vec_load_of(k, gen_elem_type(k->gen, x->dtype), p, 1, elem_bytes(x->dtype));
    }
    x->point = e->point;
    return x->value;
}

static void store(Emit *e, LLVMValueRef v) {
    LLVMValueRef p = address(e, e->k->out[0], &e->nest.store, e->nest.dtype);
    LLVMSetAlignment(LLVMBuildStore(e->k->b, v, p), elem_bytes(e->nest.dtype));
}

/* i32 where no index and no offset leaves it */
static LLVMTypeRef index_type(const Emit *e) {
    const Node *n = e->k->node;
    bool small = most_of(e->nest.extent, e->nest.n_axes) < INT32_MAX - THREADS * 8;
    for (int i = 0; i < n->n_in + n->n_out; i++) {
        const Value *v = i < n->n_in ? n->in[i] : n->out[i - n->n_in];
        small = small && (!v || most_of(v->type.dims, v->type.rank) < INT32_MAX - THREADS * 8);
    }
    return small ? e->k->gen->i32 : e->k->gen->i64;
}

static LLVMValueRef narrowed(Emit *e, LLVMValueRef i) { return LLVMBuildTruncOrBitCast(e->k->b, i, e->type, ""); }

/* ---- elementwise ---- */

static void emit_points(Emit *e) {
    Kernel *k = e->k;
    Nest *nest = &e->nest;
    int each = neighbours(nest), inner = nest->n_axes - 1;
    Dim groups[MAX_AXES];
    LLVMValueRef values[8];
    for (int i = 0; i < nest->n_axes; i++) groups[i] = nest->extent[i];
    if (each > 1) groups[inner] = dim_floordiv(k->gen->ctx, groups[inner], dim_const(k->gen->ctx, each));
    LLVMValueRef flat = narrowed(e, gpu_flat_thread(k)), n = narrowed(e, kernel_dims(k, groups, nest->n_axes));
    If inside = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, flat, n, ""));
    gpu_unflatten(k, flat, groups, nest->n_axes, e->index);
    if (each > 1) e->index[inner] = i_scale(k, e->index[inner], each);
    for (e->ahead = 0; e->ahead < each; e->ahead++) {
        e->point++;
        values[e->ahead] = evaluate(e, nest->body);
    }
    for (e->ahead = 0; e->ahead < each; e->ahead++) store(e, values[e->ahead]);
    e->ahead = 0;
    if_end(k, &inside);
}

/* ---- reductions ---- */

static LLVMValueRef call_el(Emit *e, Op op, LLVMValueRef *args, int n) {
    Value v = {.type = {.kind = TYPE_TENSOR, .dtype = e->nest.body->dtype}}, *in[2] = {&v, &v}, *out[1] = {&v};
    Node node = {.op = op, .in = in, .n_in = n, .out = out, .n_out = 1};
    return gen_elementwise(e->k->gen, e->k->b, &node, args);
}

static Op fold_op(Op reduce) { return reduce == OP_ReduceMax ? OP_Max : reduce == OP_ReduceMin ? OP_Min : OP_Add; }

static LLVMValueRef fold(void *arg, LLVMValueRef a, LLVMValueRef b) {
    Emit *e = arg;
    LLVMValueRef args[2] = {a, b};
    return call_el(e, fold_op(e->nest.reduce->op), args, 2);
}

/* what is folded: the element, its magnitude or its square */
static LLVMValueRef folded(Emit *e) {
    LLVMValueRef x = evaluate(e, e->nest.body), twice[2] = {x, x};
    switch (e->nest.reduce->op) {
    case OP_ReduceL1: return call_el(e, OP_Abs, twice, 1);
    case OP_ReduceL2:
    case OP_ReduceSumSquare: return call_el(e, OP_Mul, twice, 2);
    default: return x;
    }
}

static LLVMValueRef finish(Emit *e, LLVMValueRef sum) {
    Kernel *k = e->k;
    LLVMValueRef args[2] = {sum, NULL};
    if (e->nest.reduce->op == OP_ReduceL2) return call_el(e, OP_Sqrt, args, 1);
    if (e->nest.reduce->op != OP_ReduceMean) return sum;
    LLVMValueRef n = kernel_dims(k, e->nest.extent + outer_axes(&e->nest), e->nest.n_reduce);
    args[1] = LLVMBuildSIToFP(k->b, n, gen_elem_type(k->gen, e->nest.body->dtype), "");
    return call_el(e, OP_Div, args, 2);
}

static LLVMValueRef neutral(const Emit *e) {
    LLVMTypeRef type = gen_elem_type(e->k->gen, e->nest.body->dtype);
    Op op = fold_op(e->nest.reduce->op);
    return LLVMConstReal(type, op == OP_Add ? 0 : op == OP_Max ? -__builtin_inf() : __builtin_inf());
}

static void emit_reduction(Emit *e) {
    Kernel *k = e->k;
    Nest *nest = &e->nest;
    int outer = outer_axes(nest);
    Team t = team_begin(k, team_of(nest), narrowed(e, kernel_dims(k, nest->extent, outer)));
    gpu_unflatten(k, t.item, nest->extent, outer, e->index);
    LLVMValueRef n = narrowed(e, kernel_dims(k, nest->extent + outer, nest->n_reduce));
    TeamLoop l = team_loop(&t, n, neutral(e));
    gpu_unflatten(k, l.i, nest->extent + outer, nest->n_reduce, e->index + outer);
    e->point++;
    team_loop_end(&t, &l, fold(e, l.acc, folded(e)));
    LLVMValueRef sum = team_fold(&t, l.acc, fold, e);
    for (int i = outer; i < nest->n_axes; i++) e->index[i] = LLVMConstNull(e->type);
    If first = if_begin(k, team_is_first(&t));
    e->reduced = finish(e, sum);
    e->point++;
    store(e, nest->after ? evaluate(e, nest->after) : e->reduced);
    if_end(k, &first);
}

static bool emit(Kernel *k, int launch) {
    Emit e = {.k = k};
    (void)launch;
    if (!lower(k->node, &e.nest)) return false;
    e.type = index_type(&e);
    if (e.nest.reduce) emit_reduction(&e);
    else emit_points(&e);
    LLVMBuildRetVoid(k->b);
    return true;
}

static bool in_place(const Node *n, int input) { return fused_emitter.in_place(n, input); }

const GpuForm gpu_fused = {.form = "loops", .fits = fits, .geometry = geometry, .emit = emit, .in_place = in_place};
