/* From global to shared memory: each thread of a block loads units, which are neighbours in memory where there are
 * such, and writes them in the layout that the multiplication reads: lines along the depth (deep), or along rows or
 * columns. Rows beyond the last are loaded as the last: their sums are never stored. Steps beyond the depth, and taps
 * that leave the map, are 0 (of bytes the zero point, which the weights' sums make up for). */
#include "codegen/gpu_tile.h"

enum { CHUNK = 16, PAD = 16 };

static int bytes_of(Dtype t) { return dtype_bits(t) / 8; }

LLVMValueRef gpu_index(const GpuTask *t, int64_t v) { return LLVMConstInt(t->index, (uint64_t)v, 1); }

LLVMValueRef gpu_as_index(const GpuTask *t, LLVMValueRef v) { return LLVMBuildIntCast2(t->k->b, v, t->index, 1, ""); }

LLVMValueRef gpu_global(Kernel *k, LLVMValueRef p) {
    LLVMTypeRef type = LLVMPointerTypeInContext(k->gen->llvm, 1);
    return LLVMTypeOf(p) == type ? p : LLVMBuildAddrSpaceCast(k->b, p, type, "");
}

LLVMValueRef gpu_shared_at(GpuTask *t, LLVMValueRef stage, LLVMValueRef bytes) {
    LLVMValueRef at = i_add(t->k, stage, bytes);
    return element_at(t->k, t->k->gen->i8, t->shared, at);
}

/* ---- what a thread loads ---- */

static bool divides(LLVMValueRef v, int64_t by) {
    int64_t n;
    if (i_is_const(v, &n)) return n % by == 0;
    return by == 1;
}

int gpu_unit(const GpuTask *t, Dtype d, int align, LLVMValueRef wide, LLVMValueRef apart) {
    int element = bytes_of(d), unit = (align < CHUNK ? align : CHUNK) / element;
    (void)t;
    if (unit < 1) unit = 1;
    while (unit > 1 && (!divides(wide, unit) || !divides(apart, unit))) unit /= 2;
    return unit;
}

static bool converts(const GpuTask *t, const GpuSide *s) { return t->tile->math == GPU_FMA && s->dtype != DT_F32; }

LLVMTypeRef gpu_unit_type(const GpuTask *t, const GpuSide *s) {
    Gen *g = t->k->gen;
    int bytes = s->unit * bytes_of(s->dtype);
    if (bytes >= 4) return vec_of(g->i32, bytes / 4);
    return bytes == 2 ? g->i16 : g->i8;
}

/* A line of units runs along the depth, or along rows or columns; i: the unit's number */
static void place_units(GpuTask *t, GpuSide *s) {
    Kernel *k = t->k;
    int threads = t->tile->threads, depth = t->tile->depth;
    int wide = s->along_depth ? depth / s->unit : s->tile / s->unit, lines = s->along_depth ? s->tile : depth;
    s->n_units = (wide * lines + threads - 1) / threads;
    assert(s->n_units <= GPU_MAX_UNITS);
    LLVMValueRef thread = t->thread;
    if (wide * lines < threads) { /* the others load what these do, and put it nowhere */
        s->active = LLVMBuildICmp(k->b, LLVMIntULT, t->thread, gpu_i32(k, wide * lines), "");
        thread = LLVMBuildURem(k->b, t->thread, gpu_i32(k, wide * lines), "");
    }
    for (int i = 0; i < s->n_units; i++) {
        LLVMValueRef line, place;
        if (threads >= wide) {
            line = i_plus(k, i_div(k, thread, wide), i * (threads / wide));
            place = LLVMBuildURem(k->b, thread, gpu_i32(k, wide), "");
        } else {
            line = gpu_i32(k, i / (wide / threads));
            place = i_plus(k, thread, i % (wide / threads) * threads);
        }
        place = i_scale(k, place, s->unit);
        s->outer_at[i] = s->along_depth ? line : place;
        s->step_at[i] = s->along_depth ? place : line;
    }
}

/* A thread loads one column of windows, `unit` steps at a time */
static void place_window(GpuTask *t, GpuSide *s) {
    Kernel *k = t->k;
    int lines = t->tile->threads / s->tile;
    assert(t->tile->threads % s->tile == 0);
    s->n_units = t->tile->depth / s->unit / lines;
    assert(s->n_units >= 1 && s->n_units <= GPU_MAX_UNITS);
    for (int i = 0; i < s->n_units; i++) {
        s->outer_at[i] = LLVMBuildURem(k->b, t->thread, gpu_i32(k, s->tile), "");
        s->step_at[i] = i_scale(k, i_plus(k, i_div(k, t->thread, s->tile), i * lines), s->unit);
    }
}

static LLVMValueRef global_outer(GpuTask *t, const GpuSide *s, int i) {
    Kernel *k = t->k;
    LLVMValueRef at = i_add(k, s->first, gpu_as_index(t, s->outer_at[i]));
    if (s->whole) return at;
    return i_min(k, at, i_plus(k, s->count, s->along_depth || s->window ? -1 : -s->unit));
}

static LLVMValueRef quotient(Kernel *k, LLVMValueRef a, LLVMValueRef by, LLVMValueRef *rest) {
    int64_t n;
    if (i_is_const(by, &n) && n == 1) {
        *rest = i_like(a, 0);
        return a;
    }
    *rest = LLVMBuildURem(k->b, a, by, "");
    return LLVMBuildUDiv(k->b, a, by, "");
}

static void begin_window(GpuTask *t, GpuSide *s) {
    Kernel *k = t->k;
    GpuWindow *w = s->window;
    LLVMValueRef rest = global_outer(t, s, 0), at[3];
    for (int i = 2; i >= 0; i--) rest = quotient(k, rest, w->out[i], &at[i]);
    w->base = i_mul(k, rest, w->image);
    w->plane = i_mul(k, i_mul(k, w->in[0], w->in[1]), w->in[2]);
    for (int i = 0; i < 3; i++) w->origin[i] = i_plus(k, i_scale(k, at[i], w->stride[i]), -w->pad[i]);
}

void gpu_side_begin(GpuTask *t, GpuSide *s, int at) {
    int64_t n;
    int outer = s == &t->side[0] ? t->tile->rows : t->tile->cols, depth = t->tile->depth;
    s->tile = outer;
    s->at = at;
    s->element = gpu_element_bytes(t->tile->math);
    s->deep = t->tile->math != GPU_FMA && (s->element == 1 || (s->along_depth && !s->window));
    s->pitch = s->deep ? depth * s->element + PAD
                       : outer * s->element + (s->element == 4 && t->tile->math != GPU_FMA ? 2 * PAD : PAD);
    s->lines = s->deep ? outer : depth;
    s->whole = i_is_const(s->count, &n) && n % outer == 0;
    s->whole_depth = i_is_const(t->depth, &n) && n % depth == 0;
    if (s->unit > outer) s->unit = outer;
    if (s->along_depth && s->unit > depth) s->unit = depth;
    if (s->window) {
        place_window(t, s);
        begin_window(t, s);
    } else {
        place_units(t, s);
    }
}

/* ---- loads ---- */

static LLVMValueRef load(Kernel *k, LLVMTypeRef type, LLVMValueRef p, int align) {
    LLVMValueRef v = LLVMBuildLoad2(k->b, type, p, "");
    Gen *g = k->gen;
    LLVMSetAlignment(v, (unsigned)align);
    LLVMSetMetadata(v, LLVMGetMDKindIDInContext(g->llvm, "invariant.load", 14),
                    LLVMMetadataAsValue(g->llvm, LLVMMDNodeInContext2(g->llvm, NULL, 0)));
    return v;
}

/* where unit i stands; *there: is its step one of the depth's? NULL: always */
static LLVMValueRef unit_address(GpuTask *t, GpuSide *s, LLVMValueRef step, int i, LLVMValueRef *there) {
    Kernel *k = t->k;
    LLVMValueRef at = i_add(k, step, gpu_as_index(t, s->step_at[i]));
    LLVMValueRef offset = i_add(k, i_mul(k, global_outer(t, s, i), s->outer), i_mul(k, at, s->step));
    *there = NULL;
    if (!s->whole_depth) {
        *there = LLVMBuildICmp(k->b, LLVMIntSLT, at, t->depth, "");
        offset = LLVMBuildSelect(k->b, *there, offset, gpu_index(t, 0), "");
    }
    return element_at(k, gen_elem_type(k->gen, s->dtype), s->base, offset);
}

static LLVMValueRef fetch_unit(GpuTask *t, GpuSide *s, LLVMValueRef step, int i) {
    Kernel *k = t->k;
    LLVMValueRef there, p = unit_address(t, s, step, i, &there);
    LLVMTypeRef type = gpu_unit_type(t, s);
    LLVMValueRef v = load(k, type, p, s->unit * bytes_of(s->dtype));
    return there ? LLVMBuildSelect(k->b, there, v, LLVMConstNull(type), "") : v;
}

typedef struct Tap {              /* of this thread's column */
    LLVMValueRef offset, channel; /* of x's element in its plane; the first channel */
    LLVMValueRef there;           /* NULL: always */
} Tap;

static LLVMValueRef both(Kernel *k, LLVMValueRef a, LLVMValueRef b) { return a ? LLVMBuildAnd(k->b, a, b, "") : b; }

static Tap tap_of(GpuTask *t, const GpuSide *s, LLVMValueRef step) {
    Kernel *k = t->k;
    const GpuWindow *w = s->window;
    Tap tap = {.offset = w->base};
    LLVMValueRef rest = quotient(k, step, gpu_index(t, w->padded), &tap.channel), at[3], place = gpu_index(t, 0);
    for (int i = 2; i > 0; i--) rest = quotient(k, rest, gpu_index(t, w->kernel[i]), &at[i]);
    at[0] = rest;
    if (!s->whole_depth) tap.there = LLVMBuildICmp(k->b, LLVMIntSLT, step, t->depth, "");
    for (int i = 0; i < 3; i++) {
        LLVMValueRef x = i_add(k, w->origin[i], i_scale(k, at[i], w->dilation[i]));
        if (w->padded_map) tap.there = both(k, tap.there, LLVMBuildICmp(k->b, LLVMIntULT, x, w->in[i], ""));
        place = i_add(k, i_mul(k, place, w->in[i]), x);
    }
    tap.offset = i_add(k, tap.offset, place);
    return tap;
}

static LLVMValueRef load_place(GpuTask *t, GpuSide *s, const Tap *tap, LLVMValueRef channel) {
    Kernel *k = t->k;
    const GpuWindow *w = s->window;
    LLVMTypeRef type = gen_elem_type(k->gen, s->dtype == DT_F32 ? DT_I32 : s->dtype);
    LLVMValueRef there = tap->there, offset = i_add(k, tap->offset, i_mul(k, channel, w->plane));
    if (w->padded != w->channels)
        there = both(k, there, LLVMBuildICmp(k->b, LLVMIntSLT, channel, gpu_index(t, w->channels), ""));
    if (there) offset = LLVMBuildSelect(k->b, there, offset, gpu_index(t, 0), "");
    LLVMValueRef v = load(k, type, element_at(k, type, s->base, offset), bytes_of(s->dtype));
    return there ? LLVMBuildSelect(k->b, there, v, LLVMConstInt(type, (uint64_t)w->fill, 0), "") : v;
}

/* neighbours along the depth are channels, one plane apart */
static LLVMValueRef fetch_window(GpuTask *t, GpuSide *s, const Tap *tap, LLVMValueRef channel) {
    Kernel *k = t->k;
    LLVMValueRef word = NULL;
    if (s->unit == 1) return load_place(t, s, tap, channel);
    for (int i = 0; i < s->unit; i++) {
        LLVMValueRef v = LLVMBuildZExt(k->b, load_place(t, s, tap, i_plus(k, channel, i)), k->gen->i32, "");
        if (i) v = LLVMBuildShl(k->b, v, gpu_i32(k, 8 * i), "");
        word = word ? LLVMBuildOr(k->b, word, v, "") : v;
    }
    return word;
}

static void fetch_windows(GpuTask *t, GpuSide *s, LLVMValueRef step, LLVMValueRef *units) {
    Kernel *k = t->k;
    bool one_tap = s->window->padded % t->tile->depth == 0; /* for all of a step */
    Tap tap = {0};
    if (one_tap) tap = tap_of(t, s, step);
    for (int i = 0; i < s->n_units; i++) {
        LLVMValueRef at = gpu_as_index(t, s->step_at[i]), channel;
        if (!one_tap) tap = tap_of(t, s, i_add(k, step, at));
        channel = one_tap ? i_add(k, tap.channel, at) : tap.channel;
        LLVMBuildStore(k->b, fetch_window(t, s, &tap, channel), units[i]);
    }
}

void gpu_side_fetch(GpuTask *t, GpuSide *s, LLVMValueRef step, LLVMValueRef *units) {
    if (s->window) {
        fetch_windows(t, s, step, units);
        return;
    }
    for (int i = 0; i < s->n_units; i++) LLVMBuildStore(t->k->b, fetch_unit(t, s, step, i), units[i]);
}

/* ---- stores ---- */

static LLVMValueRef place_of(GpuTask *t, const GpuSide *s, LLVMValueRef stage, LLVMValueRef outer, LLVMValueRef step) {
    Kernel *k = t->k;
    LLVMValueRef line = s->deep ? outer : step, place = s->deep ? step : outer;
    LLVMValueRef at = i_add(k, i_scale(k, line, s->pitch), i_scale(k, place, s->element));
    return gpu_shared_at(t, stage, i_plus(k, at, s->at));
}

/* element e of a unit */
static LLVMValueRef element_of(GpuTask *t, const GpuSide *s, LLVMValueRef unit, int e) {
    Kernel *k = t->k;
    Gen *g = k->gen;
    int bytes = bytes_of(s->dtype), each = 4 / bytes;
    LLVMTypeRef type = LLVMIntTypeInContext(g->llvm, (unsigned)bytes * 8);
    if (LLVMGetTypeKind(LLVMTypeOf(unit)) == LLVMVectorTypeKind)
        unit = LLVMBuildExtractElement(k->b, unit, gpu_i32(k, e / each), "");
    if (LLVMTypeOf(unit) == type) return unit;
    int shift = e % each * bytes * 8;
    if (shift) unit = LLVMBuildLShr(k->b, unit, i_like(unit, shift), "");
    return LLVMBuildTrunc(k->b, unit, type, "");
}

/* bfloat16 as the float32 whose upper half it is */
static LLVMValueRef widened(Kernel *k, LLVMValueRef half) {
    return LLVMBuildShl(k->b, LLVMBuildZExt(k->b, half, k->gen->i32, ""), gpu_i32(k, 16), "");
}

static void put_unit(GpuTask *t, const GpuSide *s, LLVMValueRef stage, int i, LLVMValueRef unit) {
    Kernel *k = t->k;
    bool joined = s->unit == 1 || s->deep == s->along_depth, wide = converts(t, s);
    if (joined && !wide) {
        vec_store(k, unit, place_of(t, s, stage, s->outer_at[i], s->step_at[i]), (unsigned)(s->unit * s->element));
        return;
    }
    for (int e = 0; e < s->unit; e++) {
        LLVMValueRef v = element_of(t, s, unit, e);
        if (wide) v = widened(k, v);
        LLVMValueRef outer = s->along_depth ? s->outer_at[i] : i_plus(k, s->outer_at[i], e),
                     step = s->along_depth ? i_plus(k, s->step_at[i], e) : s->step_at[i];
        vec_store(k, v, place_of(t, s, stage, outer, step), (unsigned)s->element);
    }
}

void gpu_side_put(GpuTask *t, GpuSide *s, LLVMValueRef stage, const LLVMValueRef *units) {
    Kernel *k = t->k;
    If f = {0};
    if (s->active) f = if_begin(k, s->active);
    for (int i = 0; i < s->n_units; i++)
        put_unit(t, s, stage, i, LLVMBuildLoad2(k->b, gpu_unit_type(t, s), units[i], ""));
    if (s->active) if_end(k, &f);
}

/* ---- copies that need no registers, from sm_80 on ---- */

bool gpu_side_copies(const GpuTask *t, const GpuSide *s) {
    return t->tile->stages > 2 && !s->window && s->unit * bytes_of(s->dtype) == CHUNK && s->deep == s->along_depth;
}

void gpu_side_copy(GpuTask *t, GpuSide *s, LLVMValueRef step, LLVMValueRef stage) {
    Kernel *k = t->k;
    If f = {0};
    if (s->active) f = if_begin(k, s->active);
    for (int i = 0; i < s->n_units; i++) {
        LLVMValueRef there, from = unit_address(t, s, step, i, &there);
        LLVMValueRef to = place_of(t, s, stage, s->outer_at[i], s->step_at[i]), args[3] = {to, from, NULL};
        if (there) args[2] = LLVMBuildSelect(k->b, there, gpu_i32(k, CHUNK), gpu_i32(k, 0), "");
        call_intrinsic(k, there ? "llvm.nvvm.cp.async.cg.shared.global.16.s" : "llvm.nvvm.cp.async.cg.shared.global.16",
                       NULL, 0, args, there ? 3 : 2);
    }
    if (s->active) if_end(k, &f);
}
