/* Depthwise convolution with every second column of planes that are not split: row by row, PANEL outputs at a time. Two
 * vectors hold what two neighbouring taps read, in their even and odd lanes. What a tap reads beyond the map is left
 * out: rows by variants of the loop, columns by masks. */
#include "codegen/planes.h"

enum { SUMS = 3, STEP = 2 };

typedef struct Rows {
    Kernel *k;
    PlaneWindow w;
    Plane from, to;
    LLVMValueRef weights[MAX_KERNEL * MAX_KERNEL], bias;
    LLVMValueRef x, y; /* the channel's pixels */
    PlanePlace at;
} Rows;

static bool row_is_read(const Rows *s, int64_t out, int64_t tap) {
    int64_t row = out * s->w.stride[0] + tap * s->w.dilation[0] - s->w.begin[0];
    return row >= 0 && row < s->w.in[0];
}

static bool rows_alike(const Rows *s, int64_t a, int64_t b) {
    for (int64_t i = 0; i < s->w.kernel[0]; i++)
        if (row_is_read(s, a, i) != row_is_read(s, b, i)) return false;
    return true;
}

/* of the output's columns from `column` on, PANEL of them: nothing that they read or write lies outside of the rows */
static bool is_inside(const Rows *s, int64_t column) {
    int64_t first = column * STEP - s->w.begin[1], pairs = (s->w.kernel[1] + 1) / 2;
    return column + PANEL <= s->w.out[1] && first >= 0 && first + 2 * (pairs - 1) + 2 * PANEL <= s->w.in[1];
}

static LLVMValueRef every_second(Kernel *k, LLVMValueRef low, LLVMValueRef high, int first) {
    LLVMValueRef order[PANEL];
    for (int i = 0; i < PANEL; i++) order[i] = gen_i32(k->gen, 2 * i + first);
    return LLVMBuildShuffleVector(k->b, low, high, LLVMConstVector(order, PANEL), "");
}

/* The taps of one row of the kernel. row: of the input, where the first output column reads its first tap; column:
 * known where is_inside does not hold, else -1. */
static void add_row(const Rows *s, LLVMValueRef *sums, LLVMValueRef row, int64_t tap, int64_t column) {
    Kernel *k = s->k;
    int64_t width = s->w.kernel[1], first = column * STEP - s->w.begin[1];
    for (int64_t i = 0; i < width; i += 2) {
        LLVMValueRef p = pixels_at(k, row, i), q = pixels_at(k, p, PANEL), low, high;
        int64_t at = first + i, end = s->w.in[1] - at;
        low = column < 0 ? vec_load(k, p, PANEL, 4) : load_lanes(k, p, -at, end);
        high = column < 0 ? vec_load(k, q, PANEL, 4) : load_lanes(k, q, -at - PANEL, end - PANEL);
        for (int odd = 0; odd < 2 && i + odd < width; odd++) {
            int64_t t = tap * width + i + odd;
            LLVMValueRef *sum = &sums[t % SUMS];
            *sum = vec_mul_add(k, every_second(k, low, high, odd), s->weights[t], *sum, PANEL);
        }
    }
}

/* PANEL outputs of row `out`, like row `kind` of them; start: their column */
static void emit_part(Rows *s, LLVMValueRef out, int64_t kind, LLVMValueRef start, int64_t column) {
    Kernel *k = s->k;
    LLVMValueRef sums[SUMS], none = LLVMConstNull(vec_type(k->gen, PANEL));
    for (int i = 0; i < SUMS; i++) sums[i] = i == 0 && s->bias ? s->bias : none;
    for (int64_t tap = 0; tap < s->w.kernel[0]; tap++) {
        if (!row_is_read(s, kind, tap)) continue;
        LLVMValueRef row = i_plus(k, i_scale(k, out, s->w.stride[0]), tap * s->w.dilation[0] - s->w.begin[0]);
        LLVMValueRef pixel = i_add(k, i_scale(k, row, s->w.in[1]), i_plus(k, i_scale(k, start, STEP), -s->w.begin[1]));
        LLVMTypeRef f32 = k->gen->f32;
        /* it may lie before the row's first pixel, which is then not read */
        add_row(s, sums, LLVMBuildGEP2(k->b, f32, s->x, &pixel, 1, ""), tap, column);
    }
    LLVMValueRef v = vec_add(k, vec_add(k, sums[0], sums[1]), sums[2]);
    s->at.there = column < 0 || column + PANEL <= s->w.out[1] ? PANEL : s->w.out[1] - column;
    s->at.pixel = i_add(k, i_scale(k, out, s->w.out[1]), start);
    v = planes_through_body(k, &s->to, v, &s->at);
    store_lanes(k, v, f32_at(k, s->y, s->at.pixel), s->at.there);
}

static void emit_row(Rows *s, LLVMValueRef out, int64_t kind) {
    Kernel *k = s->k;
    for (int64_t column = 0, end; column < s->w.out[1]; column = end) {
        for (end = column; is_inside(s, end);) end += PANEL;
        if (end == column) {
            emit_part(s, out, kind, gen_i64(k->gen, column), column);
            end += PANEL;
            continue;
        }
        For f = for_begin(k, gen_i64(k->gen, column), gen_i64(k->gen, end), PANEL);
        emit_part(s, out, kind, f.i, -1);
        for_end(k, &f);
    }
}

static void hold_weights(Rows *s) {
    Kernel *k = s->k;
    int64_t taps = s->w.kernel[0] * s->w.kernel[1];
    LLVMValueRef w = f32_at(k, k->in[1], i_scale(k, s->at.channel, taps));
    for (int64_t t = 0; t < taps; t++) s->weights[t] = vec_splat(k, vec_load(k, pixels_at(k, w, t), 1, 4), PANEL);
    s->bias = k->in[2] ? vec_splat(k, vec_load(k, f32_at(k, k->in[2], s->at.channel), 1, 4), PANEL) : NULL;
}

static void emit_channel(Rows *s) {
    Kernel *k = s->k;
    LLVMValueRef plane = f32_at(k, k->out[0], i_scale(k, s->at.plane, s->to.size));
    s->x = f32_at(k, k->in[0], i_plus(k, i_scale(k, s->at.plane, s->from.size), s->from.lead));
    s->y = pixels_at(k, plane, s->to.lead);
    planes_fill(k, plane, 0, s->to.lead);
    planes_fill(k, plane, s->to.lead + s->to.h * s->to.w, s->to.size);
    hold_weights(s);
    for (int64_t row = 0, end; row < s->w.out[0]; row = end) {
        for (end = row + 1; end < s->w.out[0] && rows_alike(s, row, end);) end++;
        For f = for_begin(k, gen_i64(k->gen, row), gen_i64(k->gen, end), 1);
        emit_row(s, f.i, row);
        for_end(k, &f);
    }
}

static bool emit(Kernel *k) {
    const Node *n = k->node;
    Rows s = {.k = k, .w = node_window(n), .from = node_plane(n, "from"), .to = node_plane(n, "to")};
    int64_t channels = n->out[0]->type.dims[1]->value;
    For batch = for_begin(k, gen_i64(k->gen, 0), kernel_dim(k, n->out[0]->type.dims[0]), 1);
    Range share = kernel_share(k, gen_i64(k->gen, channels), 1, k->chunks);
    For f = for_begin(k, share.from, share.to, 1);
    s.at = (PlanePlace){.batch = batch.i, .channel = f.i, .plane = i_add(k, i_scale(k, batch.i, channels), f.i)};
    emit_channel(&s);
    for_end(k, &f);
    for_end(k, &batch);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static double work_of(const Node *n) {
    PlaneWindow w = node_window(n);
    return largest_count(n->out[0]) / (double)PANEL * (double)(2 * w.kernel[0] * w.kernel[1] + 4);
}

const Emitter plane_rows_emitter = {.form = "planes, every second column", .emit = emit, .work = work_of};
