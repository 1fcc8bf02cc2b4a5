/* Pieces of planes copied for taps that leave the map by a side, so that their code needs no masks, where masking takes
 * the pipes that multiply: a stream is the piece of a phase with zeros in the columns which a column of the window may
 * not see. Its taps read it at their distances, as they would read the plane. */
#include "codegen/planes.h"
#include <string.h>

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static int64_t input_column(const PlaneWindow *w, int64_t column, int64_t at) {
    return at * w->stride[1] + column * w->dilation[1] - w->begin[1];
}

/* from an output's pixel to what the window's column reads */
static int64_t side_step(const PlaneWindow *w, int64_t column) {
    return floor_div(input_column(w, column, 0), w->stride[1]);
}

static int find_stream(PlaneStreams *s, int64_t phase, int64_t column) {
    for (int i = 0; i < s->n; i++)
        if (s->phase[i] == phase && s->column[i] == column) return i;
    s->phase[s->n] = phase, s->column[s->n] = column;
    return s->n++;
}

void plane_streams(const PlaneWindow *w, const Plane *from, const PlaneTaps *taps, PlaneStreams *s) {
    memset(s, 0, sizeof *s);
    for (int i = 0; i < taps->n; i++) {
        int64_t phase = (taps->offset[i] + from->lead) / from->size, shift = taps->offset[i] - phase * from->size;
        s->of[i] = find_stream(s, phase, taps->mask[i] ? i % w->kernel[1] : -1);
        s->shift[i] = shift;
        if (-shift > s->before) s->before = -shift;
        if (shift > s->behind) s->behind = shift;
    }
    s->before = panel_pixels(s->before), s->behind = panel_pixels(s->behind);
}

int64_t plane_stream_size(const PlaneStreams *s, int64_t panels) { return s->before + panels * PANEL + s->behind; }

/* All bits where the window's column sees the map, for each of `n` elements of a piece that begins `before` pixels
 * ahead of a pixel of the output: a table from the start of a row on, entered where the pixel that reads the first
 * element is. */
static LLVMValueRef masks_from(Kernel *k, const PlaneWindow *w, const PlaneStreams *s, int64_t column,
                               LLVMValueRef pixel, int64_t n) {
    Gen *g = k->gen;
    int64_t pitch = w->out[1], all = pitch + n, back = s->before + side_step(w, column),
            more = (back / pitch + 2) * pitch - back;
    int32_t *table = ARENA_ARRAY(g->ctx->arena, all, int32_t);
    for (int64_t i = 0; i < all; i++) {
        int64_t at = input_column(w, column, i % pitch);
        table[i] = at >= 0 && at < w->in[1] ? -1 : 0;
    }
    LLVMValueRef at = LLVMBuildURem(k->b, i_plus(k, pixel, more), gen_i64(g, pitch), "");
    return f32_at(k, gen_bytes(g, table, sizeof *table * (size_t)all, 64), at);
}

/* mask: NULL, or of each element */
static void copy_masked(Kernel *k, LLVMValueRef x, LLVMValueRef to, LLVMValueRef count, LLVMValueRef masks) {
    LLVMTypeRef bits = vec_of(k->gen->i32, PANEL);
    For f = for_begin(k, gen_i64(k->gen, 0), count, PANEL);
    LLVMValueRef v = vec_load(k, f32_at(k, x, f.i), PANEL, 4);
    if (masks) {
        LLVMValueRef mask = vec_load_of(k, k->gen->i32, f32_at(k, masks, f.i), PANEL, 4);
        v = LLVMBuildAnd(k->b, LLVMBuildBitCast(k->b, v, bits, ""), mask, "");
        v = LLVMBuildBitCast(k->b, v, vec_type(k->gen, PANEL), "");
    }
    vec_store(k, v, f32_at(k, to, f.i), 4);
    for_end(k, &f);
}

void planes_copy_streams(Kernel *k, const PlaneWindow *w, const Plane *from, const PlaneStreams *s,
                         const StreamCopy *what) {
    int64_t size = plane_stream_size(s, what->most_panels);
    LLVMValueRef pixel = i_scale(k, what->first, PANEL), start = i_plus(k, pixel, from->lead - s->before),
                 count = i_plus(k, i_scale(k, what->panels, PANEL), s->before + s->behind);
    for (int i = 0; i < s->n; i++) {
        LLVMValueRef masks = s->column[i] < 0 ? NULL : masks_from(k, w, s, s->column[i], pixel, size);
        For f = for_count(k, what->channels);
        LLVMValueRef plane = i_plus(k, i_scale(k, f.i, what->phases), s->phase[i]),
                     x = f32_at(k, what->x, i_add(k, i_scale(k, plane, from->size), start)),
                     to = f32_at(k, what->to, i_scale(k, i_plus(k, i_scale(k, f.i, s->n), i), size));
        copy_masked(k, x, to, count, masks);
        for_end(k, &f);
    }
}
