/* A loop nest as LLVM IR. Where every operator of a nest of f32, int32 and bytes has a vector form and the innermost
 * axis runs along memory, that axis is vectors and a rest; else loops are scalar, their bodies call elementwise
 * functions, and LLVM inlines and vectorises them. A reduction folds into LANES partial results, as the reference
 * kernels do, so that vector and scalar units add in one order. */
#include "codegen/contract.h"
#include "codegen/loops.h"

enum { LANES = 16 };

typedef struct Emit {
    Kernel *k;
    Gen *g;
    Nest nest;
    LLVMValueRef index[MAX_AXES];
    LLVMValueRef reduced; /* the reduction's result */
    int lanes;            /* of the values at hand */
    int point;            /* numbers the places where expressions are evaluated */
} Emit;

typedef struct Loop {
    LLVMBasicBlockRef head, body, exit;
    LLVMValueRef i;
} Loop;

static LLVMBasicBlockRef new_block(Emit *e) { return LLVMAppendBasicBlockInContext(e->g->llvm, e->k->fn, ""); }

/* for (i = from; i + step <= to; i += step), the builder is left inside */
static Loop loop_begin(Emit *e, LLVMValueRef from, LLVMValueRef to, int step) {
    LLVMBuilderRef b = e->k->b;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(b);
    Loop l = {.head = new_block(e), .body = new_block(e), .exit = new_block(e)};
    LLVMBuildBr(b, l.head);
    LLVMPositionBuilderAtEnd(b, l.head);
    l.i = LLVMBuildPhi(b, e->g->i64, "");
    LLVMAddIncoming(l.i, &from, &before, 1);
    LLVMValueRef end = step == 1 ? l.i : LLVMBuildNSWAdd(b, l.i, gen_i64(e->g, step - 1), "");
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, end, to, ""), l.body, l.exit);
    LLVMPositionBuilderAtEnd(b, l.body);
    return l;
}

static void loop_end(Emit *e, Loop *l, int step) {
    LLVMBuilderRef b = e->k->b;
    LLVMValueRef next = LLVMBuildNSWAdd(b, l->i, gen_i64(e->g, step), "");
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(b);
    LLVMAddIncoming(l->i, &next, &latch, 1);
    LLVMBuildBr(b, l->head);
    LLVMPositionBuilderAtEnd(b, l->exit);
}

static LLVMValueRef address(Emit *e, LLVMValueRef base, const Access *a, Dtype t) {
    Kernel *k = e->k;
    LLVMValueRef at = kernel_dim(k, a->offset);
    for (int i = 0; i < e->nest.n_axes; i++) {
        if (dim_is(a->stride[i], 0)) continue;
        LLVMValueRef step = LLVMBuildNSWMul(k->b, e->index[i], kernel_dim(k, a->stride[i]), "");
        at = LLVMBuildNSWAdd(k->b, at, step, "");
    }
    return LLVMBuildInBoundsGEP2(k->b, gen_elem_type(e->g, t), base, &at, 1, "");
}

static unsigned elem_bytes(Dtype t) { return (unsigned)dtype_bits(t) / 8; }

/* a single number that is part of the kernel's key, or NULL */
static const Tensor *number_in_key(const Emit *e, const Expr *x) {
    const Node *n = e->k->node;
    const Tensor *t = n->in[x->access.input]->constant;
    return t && t->bytes == elem_bytes(x->dtype) && kernel_embeds(n, x->access.input) ? t : NULL;
}

static LLVMValueRef number_of(Emit *e, const Expr *x) {
    const Tensor *t = number_in_key(e, x);
    LLVMTypeRef type = gen_elem_type(e->g, x->dtype);
    if (!t) return NULL;
    if (x->dtype == DT_F32) return LLVMConstReal(type, tensor_float(t, 0));
    return LLVMConstInt(type, (uint64_t)tensor_int(t, 0), 1);
}

static LLVMValueRef load(Emit *e, const Expr *x) {
    LLVMValueRef number = e->lanes > 1 ? number_of(e, x) : NULL;
    if (number) return vec_repeat(number, e->lanes);
    LLVMValueRef p = address(e, e->k->in[x->access.input], &x->access, x->dtype);
    LLVMTypeRef type = gen_elem_type(e->g, x->dtype);
    bool still = e->lanes > 1 && dim_is(x->access.stride[e->nest.n_axes - 1], 0);
    if (e->lanes > 1)
        return still ? vec_splat(e->k, vec_load_of(e->k, type, p, 1, elem_bytes(x->dtype)), e->lanes)
                     : vec_load_of(e->k, type, p, e->lanes, elem_bytes(x->dtype));
    return vec_load_of(e->k, type, p, 1, elem_bytes(x->dtype));
}

static Interval interval_of_load(const Emit *e, const Expr *x) {
    const Tensor *t = number_in_key(e, x);
    return t ? interval_of_constant(t) : x->dtype == DT_F32 ? interval_any() : interval_of_dtype(x->dtype);
}

static bool is_signed(const Node *n) { return n->out[0]->type.dtype == DT_I8; }

static LLVMValueRef computed(Emit *e, const Node *n, LLVMValueRef *args, const Interval *in) {
    if (e->lanes == 1) return gen_elementwise(e->g, e->k->b, n, args);
    if (n->op != OP_QuantizeLinear) return vec_elementwise_in(e->k, n, args, e->lanes, in);
    return vec_narrow(e->k, vec_quantize(e->k, n, args, e->lanes, in[0]), is_signed(n), e->lanes);
}

static LLVMValueRef evaluate(Emit *e, Expr *x);

static void evaluate_args(Emit *e, Expr *x, LLVMValueRef args[3], Interval in[3]) {
    for (int i = 0; i < x->n_args; i++) {
        args[i] = x->args[i] ? evaluate(e, x->args[i]) : NULL;
        in[i] = x->args[i] ? x->args[i]->interval : interval_any();
    }
}

static LLVMValueRef evaluate(Emit *e, Expr *x) {
    if (x->point == e->point) return x->value;
    if (x->node) {
        LLVMValueRef args[3];
        Interval in[3];
        evaluate_args(e, x, args, in);
        x->value = computed(e, x->node, args, in);
        x->interval = interval_of_node(x->node, in);
    } else if (x->access.input == REDUCED) {
        x->value = e->reduced;
        x->interval = interval_any();
    } else {
        x->value = load(e, x);
        x->interval = interval_of_load(e, x);
    }
    x->point = e->point;
    return x->value;
}

static void store(Emit *e, LLVMValueRef v) {
    LLVMValueRef p = address(e, e->k->out[0], &e->nest.store, e->nest.dtype);
    LLVMSetAlignment(LLVMBuildStore(e->k->b, v, p), elem_bytes(e->nest.dtype));
}

/* ---- reductions ---- */

typedef enum Fold { FOLD_ADD, FOLD_MAX, FOLD_MIN } Fold;

static Fold fold_of(Op op) { return op == OP_ReduceMax ? FOLD_MAX : op == OP_ReduceMin ? FOLD_MIN : FOLD_ADD; }

static LLVMValueRef call_el(Emit *e, Op op, Dtype t, LLVMValueRef *args, int n) {
    Value v = {.type = {.kind = TYPE_TENSOR, .dtype = t}}, *in[2] = {&v, &v}, *out[1] = {&v};
    Node node = {.op = op, .in = in, .n_in = n, .out = out, .n_out = 1};
    return gen_elementwise(e->g, e->k->b, &node, args);
}

static LLVMValueRef fold(Emit *e, LLVMValueRef acc, LLVMValueRef x) {
    static const Op ops[] = {[FOLD_ADD] = OP_Add, [FOLD_MAX] = OP_Max, [FOLD_MIN] = OP_Min};
    LLVMValueRef args[2] = {acc, x};
    return call_el(e, ops[fold_of(e->nest.reduce->op)], e->nest.body->dtype, args, 2);
}

/* what is folded: the element, its magnitude or its square */
static LLVMValueRef folded(Emit *e) {
    LLVMValueRef x = evaluate(e, e->nest.body), twice[2] = {x, x};
    switch (e->nest.reduce->op) {
    case OP_ReduceL1: return call_el(e, OP_Abs, e->nest.body->dtype, twice, 1);
    case OP_ReduceL2:
    case OP_ReduceSumSquare: return call_el(e, OP_Mul, e->nest.body->dtype, twice, 2);
    default: return x;
    }
}

static LLVMValueRef lane(Emit *e, LLVMValueRef lanes, LLVMValueRef i) {
    return LLVMBuildInBoundsGEP2(e->k->b, gen_elem_type(e->g, e->nest.body->dtype), lanes, &i, 1, "");
}

static LLVMValueRef load_lane(Emit *e, LLVMValueRef lanes, LLVMValueRef i) {
    return LLVMBuildLoad2(e->k->b, gen_elem_type(e->g, e->nest.body->dtype), lane(e, lanes, i), "");
}

/* lanes[l] = fold(lanes[l], element base + l) for l < count */
static void fold_lanes(Emit *e, LLVMValueRef lanes, LLVMValueRef base, LLVMValueRef count) {
    int inner = e->nest.n_axes - 1;
    Loop l = loop_begin(e, gen_i64(e->g, 0), count, 1);
    e->index[inner] = LLVMBuildNSWAdd(e->k->b, base, l.i, "");
    e->point++;
    LLVMValueRef x = folded(e);
    LLVMBuildStore(e->k->b, fold(e, load_lane(e, lanes, l.i), x), lane(e, lanes, l.i));
    loop_end(e, &l, 1);
}

static void reduce_axis(Emit *e, LLVMValueRef lanes, int axis) {
    LLVMValueRef n = kernel_dim(e->k, e->nest.extent[axis]), zero = gen_i64(e->g, 0);
    if (axis < e->nest.n_axes - 1) {
        Loop l = loop_begin(e, zero, n, 1);
        e->index[axis] = l.i;
        reduce_axis(e, lanes, axis + 1);
        loop_end(e, &l, 1);
        return;
    }
    Loop l = loop_begin(e, zero, n, LANES);
    fold_lanes(e, lanes, l.i, gen_i64(e->g, LANES));
    loop_end(e, &l, LANES);
    fold_lanes(e, lanes, l.i, LLVMBuildSub(e->k->b, n, l.i, ""));
}

static LLVMValueRef element_count(Emit *e) {
    LLVMValueRef n = gen_i64(e->g, 1);
    for (int i = e->nest.n_axes - e->nest.n_reduce; i < e->nest.n_axes; i++)
        n = LLVMBuildMul(e->k->b, n, kernel_dim(e->k, e->nest.extent[i]), "");
    return n;
}

static LLVMValueRef finish(Emit *e, LLVMValueRef sum) {
    Dtype t = e->nest.body->dtype;
    LLVMValueRef args[2] = {sum, NULL};
    if (e->nest.reduce->op == OP_ReduceL2) return call_el(e, OP_Sqrt, t, args, 1);
    if (e->nest.reduce->op != OP_ReduceMean) return sum;
    args[1] = LLVMBuildSIToFP(e->k->b, element_count(e), gen_elem_type(e->g, t), "");
    return call_el(e, OP_Div, t, args, 2);
}

static void reduce_point(Emit *e) {
    Gen *g = e->g;
    LLVMTypeRef type = gen_elem_type(g, e->nest.body->dtype);
    LLVMValueRef lanes = gen_alloca(g, e->k->b, LLVMArrayType2(type, LANES), 64);
    Fold f = fold_of(e->nest.reduce->op);
    LLVMValueRef init = LLVMConstReal(type, f == FOLD_ADD ? 0 : f == FOLD_MAX ? -__builtin_inf() : __builtin_inf());
    for (int i = 0; i < LANES; i++) LLVMBuildStore(e->k->b, init, lane(e, lanes, gen_i64(g, i)));
    if (e->nest.n_reduce == 0) { /* one element */
        e->point++;
        LLVMValueRef x = folded(e);
        LLVMBuildStore(e->k->b, fold(e, load_lane(e, lanes, gen_i64(g, 0)), x), lane(e, lanes, gen_i64(g, 0)));
    } else {
        reduce_axis(e, lanes, e->nest.n_axes - e->nest.n_reduce);
    }
    LLVMValueRef part[LANES];
    for (int i = 0; i < LANES; i++) part[i] = load_lane(e, lanes, gen_i64(g, i));
    for (int w = LANES / 2; w; w /= 2)
        for (int i = 0; i < w; i++) part[i] = fold(e, part[i], part[i + w]);
    e->reduced = finish(e, part[0]);
    for (int i = e->nest.n_axes - e->nest.n_reduce; i < e->nest.n_axes; i++) e->index[i] = gen_i64(g, 0);
    e->point++;
    store(e, e->nest.after ? evaluate(e, e->nest.after) : e->reduced);
}

/* ---- along the innermost axis ---- */

static bool is_vector_dtype(Dtype t) {
    return t == DT_F32 || t == DT_F16 || t == DT_BF16 || t == DT_I32 || t == DT_I8 || t == DT_U8;
}

/* Every operator of the body; what only moves data is in the loads' strides. */
static bool has_vectors(const Emit *e) {
    int inner = e->nest.n_axes - 1;
    for (const Node *n = e->k->node->body->first; n; n = n->next) {
        if (!is_vector_dtype(n->out[0]->type.dtype)) return false;
        if (node_is_elementwise(n) && !vec_has_elementwise(n)) return false;
    }
    for (int i = 0; i < e->nest.n_loads; i++) {
        const Expr *x = e->nest.loads[i];
        if (!is_vector_dtype(x->dtype)) return false;
        if (!dim_is(x->access.stride[inner], 0) && !dim_is(x->access.stride[inner], 1)) return false;
    }
    return true;
}

/* bits of the widest numbers that the nest meets */
static int widest(const Emit *e) {
    int bits = 8;
    for (const Node *n = e->k->node->body->first; n; n = n->next)
        if (dtype_bits(n->out[0]->type.dtype) > bits) bits = dtype_bits(n->out[0]->type.dtype);
    for (int i = 0; i < e->nest.n_loads; i++)
        if (dtype_bits(e->nest.loads[i]->dtype) > bits) bits = dtype_bits(e->nest.loads[i]->dtype);
    return bits;
}

/* lanes of the vectors that the innermost axis is cut into; 1: none */
static int lanes_of(const Emit *e) {
    const Target *t = e->g->target;
    int lanes = t->vector_bits / widest(e), inner = e->nest.n_axes - 1;
    int64_t n;
    if (e->nest.reduce || inner < 0 || !dim_is(e->nest.store.stride[inner], 1) || !has_vectors(e)) return 1;
    while (lanes > 1 && dim_is_const(e->nest.extent[inner], &n) && n < lanes) lanes /= 2;
    return lanes < 4 ? 1 : lanes;
}

static void emit_point(Emit *e) {
    e->point++;
    store(e, evaluate(e, e->nest.body));
}

/* vectors that are narrowed together, as NEON does it best */
static int narrowed_together(const Emit *e, int lanes) {
    enum { TOGETHER = 4 };
    const Node *last = e->nest.body->node;
    bool neon = e->g->target->lookup == LOOKUP_QUARTERS && lanes == TOGETHER;
    return neon && last && last->op == OP_QuantizeLinear ? TOGETHER : 1;
}

/* `n` vectors from index `at` of the axis on, which end in QuantizeLinear */
static void emit_together(Emit *e, int axis, LLVMValueRef at, int n) {
    Expr *x = e->nest.body;
    LLVMValueRef wide[4], args[3];
    Interval in[3];
    for (int i = 0; i < n; i++) {
        e->index[axis] = i_plus(e->k, at, i * e->lanes);
        e->point++;
        evaluate_args(e, x, args, in);
        wide[i] = vec_quantize(e->k, x->node, args, e->lanes, in[0]);
    }
    e->index[axis] = at;
    store(e, vec_narrow_many(e->k, wide, n, is_signed(x->node), e->lanes));
}

/* what the kernel goes through of an axis: all, but a chunk's share of the first; in whole vectors where it has vectors
 */
static Range axis_range(Emit *e, int axis, int lanes) {
    Kernel *k = e->k;
    LLVMValueRef n = kernel_dim(k, e->nest.extent[axis]);
    if (axis > 0 || k->chunks == 1) return (Range){gen_i64(e->g, 0), n};
    Range r = kernel_share(k, i_div_up(k, n, lanes), 1, k->chunks);
    return (Range){i_scale(k, r.from, lanes), i_min(k, i_scale(k, r.to, lanes), n)};
}

static void emit_inner(Emit *e, int axis, int lanes) {
    enum { FEW = 16 }; /* of the rest of a long vector of bytes */
    Range share = axis_range(e, axis, lanes);
    LLVMValueRef n = share.to, from = share.from;
    int64_t count = -1;
    i_is_const(n, &count);
    int together = narrowed_together(e, lanes);
    if (together > 1) {
        Loop l = loop_begin(e, from, n, together * lanes);
        e->lanes = lanes;
        emit_together(e, axis, l.i, together);
        e->lanes = 1;
        loop_end(e, &l, together * lanes);
        from = l.i;
    }
    for (int step = lanes; step > 1; step = step > FEW ? FEW : 1) {
        Loop l = loop_begin(e, from, n, step);
        e->index[axis] = l.i;
        e->lanes = step;
        emit_point(e);
        e->lanes = 1;
        loop_end(e, &l, step);
        from = l.i;
        if (count >= 0 && count % step == 0) return;
    }
    Loop l = loop_begin(e, from, n, 1);
    e->index[axis] = l.i;
    emit_point(e);
    loop_end(e, &l, 1);
}

static void emit_axis(Emit *e, int axis) {
    if (axis == e->nest.n_axes - e->nest.n_reduce) {
        if (e->nest.reduce) reduce_point(e);
        else emit_point(e);
        return;
    }
    if (!e->nest.reduce && axis == e->nest.n_axes - 1) {
        emit_inner(e, axis, lanes_of(e));
        return;
    }
    Range share = axis_range(e, axis, 1);
    Loop l = loop_begin(e, share.from, share.to, 1);
    e->index[axis] = l.i;
    emit_axis(e, axis + 1);
    loop_end(e, &l, 1);
}

static bool emit(Kernel *k) {
    Emit e = {.k = k, .g = k->gen, .lanes = 1};
    if (!nest_lower(k->gen->ctx, k->node, &e.nest)) return false;
    emit_axis(&e, 0);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

/* ---- in place ---- */

static bool same_access(const Access *a, const Access *b) {
    if (a->offset != b->offset) return false;
    for (int i = 0; i < MAX_AXES; i++)
        if (a->stride[i] != b->stride[i]) return false;
    return true;
}

static bool in_place(const Node *n, int input) {
    Nest nest;
    Ctx *ctx = n->graph->ctx;
    if (!nest_lower(ctx, n, &nest) || nest.reduce) return false;
    if (dtype_bits(n->in[input]->type.dtype) != dtype_bits(nest.dtype)) return false;
    for (int i = 0; i < nest.n_loads; i++)
        if (nest.loads[i]->access.input == input && !same_access(&nest.loads[i]->access, &nest.store)) return false;
    return true;
}

/* ---- in chunks ---- */

static double operations(const Graph *body) {
    double n = 1;
    for (const Node *at = body->first; at; at = at->next)
        if (node_is_elementwise(at)) n += vec_has_elementwise(at) ? 2 : 20;
    return n;
}

/* along the first axis, which must be long enough for them and not folded */
static double work_of(const Node *n) {
    enum { LANES_ASSUMED = 8 };
    Nest nest;
    if (!nest_lower(n->graph->ctx, n, &nest) || nest.n_axes == nest.n_reduce) return 0;
    double points = 1;
    for (int i = 0; i < nest.n_axes; i++) points *= (double)nest.extent[i]->hi;
    int64_t units = nest.n_axes == 1 ? nest.extent[0]->hi / 64 : nest.extent[0]->hi;
    return units < 2 ? 0 : points / LANES_ASSUMED * operations(n->body);
}

const Emitter fused_emitter = {
    .form = "loops", .emit = emit, .print = nest_print, .in_place = in_place, .work = work_of};
