/* Sums to memory: row by row of a thread's part, groups of neighbouring columns together, through the elementwise body.
 * Operands that stand still along columns are loaded once a row. */
#include "codegen/gpu_tile.h"

enum { MOST_GROUP = 4 };

typedef struct Column { /* a group's first: its image and pixel */
    LLVMValueRef number, image, pixel;
} Column;

typedef struct Part {
    GpuTask *t;
    const GpuStore *s;
    GpuPart at;
    int operands;
    Column column[32];
    LLVMValueRef row_operand[64]; /* of the row at hand; NULL: varies along columns */
} Part;

/* ---- one element ---- */

/* rounds to nearest even; NaN stays one */
static LLVMValueRef bfloat_bits(Kernel *k, LLVMValueRef x) {
    Gen *g = k->gen;
    LLVMValueRef bits = LLVMBuildBitCast(k->b, x, g->i32, ""), up = LLVMBuildLShr(k->b, bits, gen_i32(g, 16), "");
    LLVMValueRef odd = LLVMBuildAnd(k->b, up, gen_i32(g, 1), "");
    LLVMValueRef rounded = LLVMBuildAdd(k->b, LLVMBuildAdd(k->b, bits, gen_i32(g, 0x7fff), ""), odd, "");
    rounded = LLVMBuildLShr(k->b, rounded, gen_i32(g, 16), "");
    LLVMValueRef nan = LLVMBuildOr(k->b, up, gen_i32(g, 0x40), "");
    rounded = LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, LLVMRealUNO, x, x, ""), nan, rounded, "");
    return LLVMBuildTrunc(k->b, rounded, g->i16, "");
}

LLVMValueRef gpu_sum_as(Kernel *k, LLVMValueRef sum, Dtype to) {
    Gen *g = k->gen;
    if (to == DT_BF16) return bfloat_bits(k, sum);
    if (to != DT_F16) return sum;
    LLVMValueRef half = LLVMBuildFPTrunc(k->b, sum, LLVMHalfTypeInContext(g->llvm), "");
    return LLVMBuildBitCast(k->b, half, g->i16, "");
}

int gpu_multiple(const LLVMValueRef *steps, int n) {
    int most = GPU_ALIGN;
    int64_t v;
    for (int i = 0; i < n; i++)
        while (most > 1 && (!i_is_const(steps[i], &v) || v % most)) most /= 2;
    return most;
}

GpuPlace gpu_place(Kernel *k, const Value *v, LLVMValueRef pointer, LLVMValueRef offset, int multiple) {
    GpuPlace p = {.dtype = v->type.dtype, .offset = offset, .align = GPU_ALIGN};
    int64_t at;
    int bytes = i_is_const(offset, &at) && at == 0 ? GPU_ALIGN : multiple * dtype_bits(p.dtype) / 8;
    p.base = element_at(k, gen_elem_type(k->gen, p.dtype), gpu_global(k, pointer), offset);
    if (bytes < p.align) p.align = bytes;
    return p;
}

static LLVMValueRef address(Part *p, const GpuPlace *o, LLVMValueRef row, const Column *c) {
    Kernel *k = p->t->k;
    LLVMValueRef at = i_add(k, i_mul(k, row, o->row), i_mul(k, c->pixel, o->col));
    at = i_add(k, i_mul(k, c->image, o->batch), at);
    return element_at(k, gen_elem_type(k->gen, o->dtype), o->base, at);
}

static unsigned bytes_of(const GpuPlace *o) { return (unsigned)dtype_bits(o->dtype) / 8; }

static bool stands_still(LLVMValueRef step) {
    int64_t n;
    return i_is_const(step, &n) && n == 0;
}

static bool joined(LLVMValueRef step) {
    int64_t n;
    return i_is_const(step, &n) && n == 1;
}

static bool steps_by(LLVMValueRef step, int64_t by) {
    int64_t n;
    return i_is_const(step, &n) && n % by == 0;
}

/* are `n` neighbours one vector in memory, aligned as one? */
static bool is_vector(const GpuPlace *o, int n) {
    return joined(o->col) && steps_by(o->row, n) && steps_by(o->batch, n) && o->align % (n * (int)bytes_of(o)) == 0;
}

static void load_operand(Part *p, const GpuPlace *o, LLVMValueRef row, const Column *c, int n, LLVMValueRef *out) {
    Kernel *k = p->t->k;
    LLVMTypeRef type = gen_elem_type(k->gen, o->dtype);
    LLVMValueRef from = address(p, o, row, c), v;
    if (n > 1 && is_vector(o, n)) {
        v = vec_load_of(k, type, from, n, (unsigned)n * bytes_of(o));
        for (int i = 0; i < n; i++) out[i] = LLVMBuildExtractElement(k->b, v, gpu_i32(k, i), "");
        return;
    }
    for (int i = 0; i < n; i++)
        out[i] = vec_load_of(k, type, element_at(k, type, from, i_scale(k, o->col, i)), 1, bytes_of(o));
}

/* ---- groups ---- */

/* n neighbours from sum `first` on */
static void store_group(Part *p, LLVMValueRef row, const Column *c, int first, int n) {
    GpuTask *t = p->t;
    Kernel *k = t->k;
    const GpuStore *s = p->s;
    LLVMTypeRef sum = t->tile->math == GPU_BYTES ? k->gen->i32 : k->gen->f32,
                type = gen_elem_type(k->gen, s->out.dtype);
    LLVMValueRef in[64][MOST_GROUP], out[MOST_GROUP];
    for (int o = 0; o < p->operands; o++) {
        if (!p->row_operand[o]) load_operand(p, &s->operands[o], row, c, n, in[o + 1]);
        for (int i = 0; p->row_operand[o] && i < n; i++) in[o + 1][i] = p->row_operand[o];
    }
    for (int i = 0; i < n; i++) {
        LLVMValueRef one[65];
        out[i] = gpu_sum_as(k, LLVMBuildLoad2(k->b, sum, t->acc[first + i], ""), s->sum);
        if (!s->body) continue;
        one[0] = out[i];
        for (int o = 0; o < p->operands; o++) one[o + 1] = in[o + 1][i];
        body_outputs(k, s->body, one, 1, &out[i]);
    }
    LLVMValueRef to = address(p, &s->out, row, c);
    if (n > 1 && is_vector(&s->out, n)) {
        LLVMValueRef v = LLVMGetPoison(vec_of(type, n));
        for (int i = 0; i < n; i++) v = LLVMBuildInsertElement(k->b, v, out[i], gpu_i32(k, i), "");
        vec_store(k, v, to, (unsigned)n * bytes_of(&s->out));
        return;
    }
    for (int i = 0; i < n; i++)
        vec_store(k, out[i], element_at(k, type, to, i_scale(k, s->out.col, i)), bytes_of(&s->out));
}

static Column column_of(Part *p, LLVMValueRef number) {
    GpuTask *t = p->t;
    Kernel *k = t->k;
    LLVMValueRef pixels = p->s->pixels;
    if (!pixels) return (Column){number, gpu_index(t, 0), number};
    return (Column){number, LLVMBuildUDiv(k->b, number, pixels, ""), LLVMBuildURem(k->b, number, pixels, "")};
}

static LLVMValueRef below(Kernel *k, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildICmp(k->b, LLVMIntSLT, a, b, "");
}

/* groups stay whole where images, and with them all rows, are made of whole ones */
static bool is_grouped(const Part *p) {
    int group = p->at.group;
    return steps_by(p->s->pixels ? p->s->pixels : p->s->cols, group);
}

static void store_columns(Part *p, LLVMValueRef row, int number) {
    GpuTask *t = p->t;
    Kernel *k = t->k;
    int group = p->at.group, each = is_grouped(p) ? group : 1;
    bool whole = steps_by(p->s->cols, t->tile->cols);
    for (int i = 0; i < p->at.groups * group; i += each) {
        Column c = p->column[i / group];
        if (each == 1) c = column_of(p, i_plus(k, c.number, i % group));
        If f = {0};
        if (!whole) f = if_begin(k, below(k, c.number, p->s->cols));
        store_group(p, row, &c, number * p->at.groups * group + i, each);
        if (!whole) if_end(k, &f);
    }
}

static void store_row(Part *p, int number) {
    GpuTask *t = p->t;
    Kernel *k = t->k;
    const GpuStore *s = p->s;
    bool whole = steps_by(s->rows, t->tile->rows);
    LLVMValueRef row = i_add(k, t->side[0].first, gpu_as_index(t, p->at.row[number]));
    If f = {0};
    if (!whole) f = if_begin(k, below(k, row, s->rows));
    for (int o = 0; o < p->operands; o++) {
        const GpuPlace *from = &s->operands[o];
        p->row_operand[o] = NULL;
        if (stands_still(from->col) && (!s->pixels || stands_still(from->batch)))
            load_operand(p, from, row, &p->column[0], 1, &p->row_operand[o]);
    }
    store_columns(p, row, number);
    if (!whole) if_end(k, &f);
}

/* sums of the tensor cores stand by products of two rows: they are brought in the order of rows */
static void order_sums(Part *p) {
    GpuTask *t = p->t;
    int groups = p->at.groups, n = gpu_sums(t->tile);
    if (t->tile->math == GPU_FMA) return;
    LLVMValueRef *was = t->acc, *now = ARENA_ARRAY(t->k->gen->ctx->arena, n, LLVMValueRef);
    for (int r = 0; r < p->at.rows; r++)
        for (int j = 0; j < groups; j++)
            for (int i = 0; i < 2; i++) now[(r * groups + j) * 2 + i] = was[((r / 2) * groups + j) * 4 + r % 2 * 2 + i];
    t->acc = now;
}

void gpu_task_store(GpuTask *t, const GpuStore *s) {
    Kernel *k = t->k;
    Part p = {.t = t, .s = s, .operands = s->body ? s->body->n_inputs - 1 : 0};
    assert(p.operands <= 64);
    if (t->tile->math == GPU_FMA) gpu_fma_part(t, &p.at);
    else gpu_mma_part(t, &p.at);
    order_sums(&p);
    for (int i = 0; i < p.at.groups; i++)
        p.column[i] = column_of(&p, i_add(k, t->side[1].first, gpu_as_index(t, p.at.col[i])));
    for (int i = 0; i < p.at.rows; i++) store_row(&p, i);
}
