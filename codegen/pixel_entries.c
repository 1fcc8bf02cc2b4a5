/* The columns of a mcc.PixelConv whose weights are entries (passes/sparse_pixels.c): of each column a loop over its
 * entries, whose first byte moves the place in the windows on. Windows of a tile's pixels lie a fixed distance apart,
 * so that one pointer serves them all. */
#include "codegen/pixels.h"

static LLVMValueRef byte(const EntryTile *t, LLVMValueRef base, int64_t at, bool is_signed) {
    Kernel *k = t->p->k;
    LLVMValueRef v = vec_load_of(k, k->gen->i8, pixels_byte_at(t->p, base, pixels_number(t->p, at)), 1, 1);
    return is_signed ? LLVMBuildSExt(k->b, v, k->gen->i32, "") : LLVMBuildZExt(k->b, v, k->gen->i32, "");
}

static LLVMValueRef multiplied(const EntryTile *t, LLVMValueRef x, LLVMValueRef w, LLVMValueRef sum) {
    LLVMBuilderRef b = t->p->k->b;
    for (int64_t i = 0; i < t->unit; i++)
        sum = LLVMBuildAdd(b, sum, LLVMBuildMul(b, byte(t, x, i, t->p->is_signed), byte(t, w, i, true), ""), "");
    return sum;
}

/* an entry of four weights by two instructions; halves: of the weights */
static LLVMValueRef multiplied_by_halves(const EntryTile *t, LLVMValueRef x, const LLVMValueRef *halves,
                                         LLVMValueRef sum) {
    Kernel *k = t->p->k;
    LLVMValueRef two[2];
    halves_of(k, pixels_load(t->p, x, pixels_number(t->p, 0)), NULL, t->p->is_signed, two);
    for (int i = 0; i < 2; i++) sum = halves_add(k, two[i], halves[i], sum);
    return sum;
}

static void multiply_entry(const EntryTile *t, Tile *sums, LLVMValueRef x, LLVMValueRef weights) {
    Kernel *k = t->p->k;
    LLVMValueRef halves[2];
    bool by_halves = t->unit > 1 && has_halves(k);
    if (by_halves) halves_of(k, pixels_load(t->p, weights, pixels_number(t->p, 0)), NULL, true, halves);
    for (int r = 0; r < t->rows; r++) {
        LLVMValueRef window = pixels_byte_at(t->p, x, pixels_number(t->p, r * t->pitch)), sum = tile_get(sums, r, 0);
        sum = by_halves ? multiplied_by_halves(t, window, halves, sum) : multiplied(t, window, weights, sum);
        tile_put(sums, r, 0, sum);
    }
}

static LLVMValueRef slot(Kernel *k, LLVMValueRef v) {
    LLVMValueRef s = gen_alloca(k->gen, k->b, k->gen->ptr, 4);
    vec_store(k, v, s, 4);
    return s;
}

void pixel_entry_columns(const EntryTile *t) {
    const Pixels *p = t->p;
    Kernel *k = p->k;
    Gen *g = k->gen;
    LLVMTypeRef ptr = g->ptr;
    LLVMValueRef none = pixels_number(p, 0), starts = k->in[1];
    LLVMValueRef counts = pixels_byte_at(p, starts, pixels_number(p, t->groups * 4)),
                 entries = pixels_byte_at(p, counts, pixels_number(p, p->columns * 2));
    LLVMValueRef start = vec_load_of(k, g->i32, element_at(k, g->i32, starts, t->group), 1, 4);
    LLVMValueRef entry = slot(k, pixels_byte_at(p, entries, start));
    int64_t columns = p->columns / t->groups;
    For f = for_begin(k, none, pixels_number(p, columns), 1);
    Tile sums;
    LLVMValueRef col = i_add(k, f.i, i_scale(k, t->group, columns)), place = slot(k, t->x);
    LLVMValueRef count = vec_load_of(k, g->i16, element_at(k, g->i16, counts, col), 1, 2);
    tile_begin_of(&sums, k, p->is_signed ? TILE_S8 : TILE_U8, g->i32, t->rows, 1, 1);
    tile_fill(&sums, f32_at(k, k->in[2], col), 4);
    For each = for_begin(k, none, LLVMBuildZExt(k->b, count, g->i32, ""), 1);
    LLVMValueRef at = vec_load_of(k, ptr, entry, 1, 4), x = vec_load_of(k, ptr, place, 1, 4);
    x = pixels_byte_at(p, x, i_scale(k, byte(t, at, 0, false), t->unit));
    multiply_entry(t, &sums, x, pixels_byte_at(p, at, pixels_number(p, 1)));
    vec_store(k, x, place, 4);
    vec_store(k, pixels_byte_at(p, at, pixels_number(p, 1 + t->unit)), entry, 4);
    for_end(k, &each);
    for (int r = 0; r < t->rows; r++) pixels_store(p, tile_get(&sums, r, 0), i_plus(k, t->first, r), col, t->operands);
    for_end(k, &f);
}
