/* mcc.BlockResize: an output is a sum of the blocks around it, weighed along each axis. The order of the sum is the
 * reference kernel's on plain values: the taps along the last axis outermost, and no multiplication is fused with an
 * addition. Of integers, the lines that an output line reads are made float32 first, in scratch memory; what follows
 * Resize is computed on the sums (epilogue.c). */
#include "codegen/contract.h"

enum { MAX_TERMS = 16 /* along two axes of 4 taps */, MOST_PLACES = 4 /* that are stored together */ };

typedef struct Term { /* a choice of taps along the axes so far: where it lies in the plane, in places, and its weight
                       */
    LLVMValueRef place, weight;
} Term;

typedef struct Resize {
    Kernel *k;
    int axes, lanes;
    const Dim *in, *out; /* sizes of the axes */
    int64_t run;         /* places along the last axis that are stored together */
    Dtype dtype;
    LLVMValueRef zero, scale; /* of integers; zero NULL: 0 */
    LLVMValueRef from;        /* the plane at hand */
    Epilogue epilogue;
} Resize;

static int64_t taps_of(const Resize *r, int axis) { return r->k->node->in[1 + 2 * axis]->type.dims[1]->value; }

static LLVMValueRef entry(const Resize *r, int input, LLVMTypeRef type, LLVMValueRef at) {
    return vec_load_of(r->k, type, element_at(r->k, type, r->k->in[input], at), 1, 4);
}

/* tap i of output o along an axis */
static Term tap(const Resize *r, int axis, LLVMValueRef o, int64_t i) {
    Kernel *k = r->k;
    LLVMValueRef at = i_plus(k, i_scale(k, o, taps_of(r, axis)), i);
    LLVMValueRef place = entry(r, 1 + 2 * axis, k->gen->i32, at);
    return (Term){LLVMBuildZExt(k->b, place, k->gen->i64, ""), entry(r, 2 + 2 * axis, k->gen->f32, at)};
}

/* place and weight of `outer` and then of `inner` along the axis */
static Term joined(const Resize *r, int axis, Term outer, Term inner) {
    Kernel *k = r->k;
    LLVMValueRef row = i_mul(k, outer.place, kernel_dim(k, r->in[axis]));
    return (Term){i_add(k, row, inner.place), LLVMBuildFMul(k->b, outer.weight, inner.weight, "")};
}

/* Lines of integers as the numbers they stand for, one behind the other; of the result `lines` are the same rows. */
static Resize dequantized(const Resize *r, const Term *rows, int n_rows, Term *lines) {
    Kernel *k = r->k;
    LLVMTypeRef type = gen_elem_type(k->gen, r->dtype);
    LLVMValueRef size = kernel_dim(k, r->in[r->axes - 1]);
    for (int j = 0; j < n_rows; j++) {
        LLVMValueRef from = element_at(k, type, r->from, i_scale(k, i_mul(k, rows[j].place, size), r->lanes));
        LLVMValueRef to = f32_at(k, k->scratch, i_scale(k, i_scale(k, size, j), r->lanes));
        For f = for_begin(k, gen_i64(k->gen, 0), size, 1);
        LLVMValueRef at = i_scale(k, f.i, r->lanes),
                     x = vec_load_of(k, type, element_at(k, type, from, at), r->lanes, 1);
        vec_store(k, vec_dequantize(k, x, r->dtype, r->zero, r->scale, r->lanes), f32_at(k, to, at), 4);
        for_end(k, &f);
        lines[j] = (Term){gen_i64(k->gen, j), rows[j].weight};
    }
    Resize made = *r;
    made.from = k->scratch;
    return made;
}

static LLVMValueRef weighed(const Resize *r, const Term *rows, int n_rows, LLVMValueRef o) {
    Kernel *k = r->k;
    int last = r->axes - 1;
    LLVMValueRef sum = vec_const(k->gen, 0, r->lanes);
    for (int64_t i = 0; i < taps_of(r, last); i++) {
        Term along = tap(r, last, o, i);
        for (int j = 0; j < n_rows; j++) {
            Term t = joined(r, last, rows[j], along);
            LLVMValueRef x = vec_load(k, f32_at(k, r->from, i_scale(k, t.place, r->lanes)), r->lanes, 4);
            LLVMValueRef part = LLVMBuildFMul(k->b, vec_splat(k, t.weight, r->lanes), x, "");
            sum = LLVMBuildFAdd(k->b, sum, part, "");
        }
    }
    return sum;
}

static void emit_run(const Resize *r, const Term *rows, int n_rows, const Point *at) {
    Kernel *k = r->k;
    Tile t;
    tile_begin(&t, k, (int)r->run, 1, r->lanes);
    for (int i = 0; i < r->run; i++) tile_put(&t, i, 0, weighed(r, rows, n_rows, i_plus(k, at->space[2], i)));
    tile_store(&t, &r->epilogue, at, 1);
}

/* rows: the choices of taps along the axes before; at: the output's place along them. The last run of a line may take
 * places once more. */
static void emit_axis(const Resize *r, int axis, const Term *rows, int n_rows, Point at) {
    Kernel *k = r->k;
    bool last = axis == r->axes - 1;
    Term lines[MAX_TERMS];
    Resize made;
    if (last && r->dtype != DT_F32) {
        made = dequantized(r, rows, n_rows, lines);
        r = &made;
        rows = lines;
    }
    LLVMValueRef size = kernel_dim(k, r->out[axis]), *here = &at.space[3 - r->axes + axis];
    For f = for_begin(k, gen_i64(k->gen, 0), size, last ? r->run : 1);
    *here = last ? i_min(k, f.i, i_plus(k, size, -r->run)) : f.i;
    if (last) {
        emit_run(r, rows, n_rows, &at);
    } else {
        Term inner[MAX_TERMS];
        int n = 0;
        for (int j = 0; j < n_rows; j++)
            for (int64_t i = 0; i < taps_of(r, axis); i++) inner[n++] = joined(r, axis, rows[j], tap(r, axis, f.i, i));
        emit_axis(r, axis + 1, inner, n, at);
    }
    for_end(k, &f);
}

static void begin_epilogue(Resize *r) {
    Kernel *k = r->k;
    const Node *n = k->node;
    int own = 1 + 2 * r->axes;
    r->epilogue = (Epilogue){.body = n->body, .out = blocked_operand(k, n->out[0], n->out[0], k->out[0], false)};
    r->epilogue.operands = ARENA_ARRAY(k->gen->ctx->arena, n->n_in, Operand);
    for (int i = own; i < n->n_in; i++)
        r->epilogue.operands[i - own] = blocked_operand(k, n->in[i], n->out[0], k->in[i], false);
    double most = node_float(n, "most");
    if (most > 0) r->epilogue.sums = (Interval){-most, most, true};
}

static bool emit(Kernel *k) {
    Gen *g = k->gen;
    const Node *n = k->node;
    const Value *x = n->in[0], *y = n->out[0];
    int rank = x->type.rank, axes = rank - 3;
    Resize r = {.k = k, .axes = axes, .lanes = (int)x->type.dims[rank - 1]->value, .dtype = x->type.dtype};
    r.in = x->type.dims + 2;
    r.out = y->type.dims + 2;
    r.run = r.out[axes - 1]->value < MOST_PLACES ? r.out[axes - 1]->value : MOST_PLACES;
    if (node_int(n, "zero")) r.zero = vec_repeat(gen_i32(g, (int)node_int(n, "zero")), r.lanes);
    r.scale = vec_const(g, node_float(n, "scale"), r.lanes);
    begin_epilogue(&r);
    LLVMTypeRef type = gen_elem_type(g, r.dtype);
    LLVMValueRef blocks = kernel_dim(k, x->type.dims[1]), planes = kernel_dims(k, x->type.dims, 2),
                 none = gen_i64(g, 0);
    Range share = kernel_share(k, planes, 1, k->chunks);
    For plane = for_begin(k, share.from, share.to, 1);
    LLVMValueRef batch = LLVMBuildUDiv(k->b, plane.i, blocks, ""), block = i_sub(k, plane.i, i_mul(k, batch, blocks));
    Point at = {.batch = batch, .col = i_scale(k, block, r.lanes), .space = {none, none, none}};
    r.from = element_at(k, type, k->in[0], i_mul(k, plane.i, i_scale(k, kernel_dims(k, r.in, axes), r.lanes)));
    emit_axis(&r, 0, &(Term){none, LLVMConstReal(g->f32, 1)}, 1, at);
    for_end(k, &plane);
    LLVMBuildRet(k->b, gen_i32(g, MCC_OK));
    return true;
}

static double work_of(const Node *n) {
    enum { TERMS = 4 };
    const Type *y = &n->out[0]->type;
    return largest_count(n->out[0]) / (double)y->dims[y->rank - 1]->value * TERMS;
}

/* of integers: the lines that one line of the result is made of */
static bool scratch_bytes(Ctx *ctx, const Node *n, size_t *bytes) {
    const Type *x = &n->in[0]->type;
    int axes = x->rank - 3;
    int64_t count = x->dtype == DT_F32 ? 0 : (int64_t)sizeof(float) * x->dims[x->rank - 1]->value;
    for (int i = 0; i + 1 < axes; i++) count *= n->in[1 + 2 * i]->type.dims[1]->value;
    *bytes = 0;
    if (!count) return true;
    if (mul_i64(count, x->dims[x->rank - 2]->hi, &count)) return *bytes = (size_t)count, true;
    diag_error(ctx, n, "needs more scratch memory than there are addresses");
    return false;
}

const Emitter resize_emitter = {.form = "blocked resize", .emit = emit, .work = work_of, .scratch = scratch_bytes};
