/* Register tiles: rows × vecs vectors of accumulators, fed by one element a row (broadcast) and vecs vectors a step.
 * Of integers an element is four bytes, neighbours along the sum, that are multiplied and added to one int32.
 * Accumulators are stack slots here; every access is a whole load or store, so that LLVM makes registers of them
 * through any control flow. A step's elements come from memory one by one, or, where the target multiplies by a lane,
 * in vectors of consecutive elements of each row. */
#include "codegen/contract.h"

void tile_begin_of(Tile *t, Kernel *k, TileKind kind, LLVMTypeRef element, int rows, int vecs, int lanes) {
    *t = (Tile){.k = k, .kind = kind, .element = element, .rows = rows, .vecs = vecs, .lanes = lanes};
    assert(rows * vecs <= TILE_MAX);
    for (int i = 0; i < rows * vecs; i++)
        t->acc[i] = gen_alloca(k->gen, k->b, vec_of(element, lanes), (unsigned)lanes * 4);
}

void tile_begin(Tile *t, Kernel *k, int rows, int vecs, int lanes) {
    tile_begin_of(t, k, TILE_F32, k->gen->f32, rows, vecs, lanes);
}

void tile_put(Tile *t, int row, int vec, LLVMValueRef v) {
    vec_store(t->k, v, t->acc[row * t->vecs + vec], (unsigned)t->lanes * 4);
}

LLVMValueRef tile_get(const Tile *t, int row, int vec) {
    return vec_load_of(t->k, t->element, t->acc[row * t->vecs + vec], t->lanes, (unsigned)t->lanes * 4);
}

void tile_fill(Tile *t, LLVMValueRef bias, unsigned align) {
    Kernel *k = t->k;
    for (int v = 0; v < t->vecs; v++) {
        LLVMValueRef x = LLVMConstNull(vec_of(t->element, t->lanes));
        if (bias) x = vec_load_of(k, t->element, f32_at(k, bias, gen_i64(k->gen, v * t->lanes)), t->lanes, align);
        for (int r = 0; r < t->rows; r++) tile_put(t, r, v, x);
    }
}

static bool takes_part(const TileSteps *s, int row) { return s->mask >> row & 1; }

static void multiply(Tile *t, int row, LLVMValueRef a, LLVMValueRef *b) {
    for (int v = 0; v < t->vecs; v++) {
        LLVMValueRef acc = tile_get(t, row, v);
        if (t->kind == TILE_F32) acc = vec_mul_add(t->k, a, b[v], acc, t->lanes);
        else acc = dot_add(t->k, a, b[v], acc, t->lanes, t->kind == TILE_S8);
        tile_put(t, row, v, acc);
    }
}

static LLVMValueRef columns_at(Kernel *k, const TileSteps *s, LLVMValueRef base, LLVMValueRef elements) {
    return element_at(k, s->half ? k->gen->i16 : k->gen->f32, base, elements);
}

static void load_columns(Tile *t, const TileSteps *s, LLVMValueRef base, LLVMValueRef step, LLVMValueRef *b) {
    Kernel *k = t->k;
    LLVMValueRef p = columns_at(k, s, base, i_mul(k, step, s->next));
    for (int v = 0; v < t->vecs; v++) {
        LLVMValueRef at = columns_at(k, s, p, gen_i64(k->gen, v * t->lanes));
        b[v] = s->half ? vec_load_wide(k, s->half, at, t->lanes, s->b_align)
                       : vec_load_of(k, t->element, at, t->lanes, s->b_align);
    }
}

static LLVMValueRef splat_lane(Kernel *k, LLVMValueRef v, int lane, int lanes) {
    LLVMValueRef mask[64];
    if (lanes == 1) return LLVMBuildExtractElement(k->b, v, gen_i32(k->gen, lane), "");
    for (int i = 0; i < lanes; i++) mask[i] = gen_i32(k->gen, lane);
    return LLVMBuildShuffleVector(k->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(mask, (unsigned)lanes), "");
}

enum { BY_LANE = 4, MAX_CHAINS = 4, IN_FLIGHT = 8 /* additions that hide the time of one */, LONG = 16 };

/* elements between those of two rows, where vectors of them serve several rows; bytes: every other one too. 0: they do not */
static int64_t rows_apart(const Tile *t, const TileSteps *s) {
    int64_t apart, most = t->kind == TILE_F32 ? 1 : 2;
    return t->k->gen->target->lane_multiply && i_is_const(s->row, &apart) && apart >= 1 && apart <= most ? apart : 0;
}

/* do BY_LANE rows from `row` on take part? */
static bool rows_are_lanes(const Tile *t, const TileSteps *s, int row) {
    uint32_t all = (1u << BY_LANE) - 1;
    return rows_apart(t, s) && row + BY_LANE <= t->rows && (s->mask >> row & all) == all;
}

/* The first of BY_LANE rows that go together with `row` in them, if there are such: rows from there on, or the last ones
 * of the tile. -1: none */
static int first_of_rows(const Tile *t, const TileSteps *s, int row) {
    int last = t->rows - BY_LANE;
    if (rows_are_lanes(t, s, row)) return row;
    return last >= 0 && last < row && rows_are_lanes(t, s, last) ? last : -1;
}

/* The element of BY_LANE rows each, the first one's at p, nothing beyond the last one's: one vector, or where they are
 * apart two that overlap */
static void load_rows(Tile *t, const TileSteps *s, LLVMValueRef p, LLVMValueRef out[BY_LANE]) {
    Kernel *k = t->k;
    int64_t apart = rows_apart(t, s), second = (BY_LANE - 1) * (apart - 1);
    unsigned align = t->kind == TILE_F32 ? 4 : 1;
    LLVMValueRef low = vec_load_of(k, t->element, p, BY_LANE, align), high = low;
    if (second) high = vec_load_of(k, t->element, f32_at(k, p, gen_i64(k->gen, second)), BY_LANE, align);
    for (int64_t i = 0; i < BY_LANE; i++) {
        bool in_low = i * apart < BY_LANE;
        out[i] = splat_lane(k, in_low ? low : high, (int)(i * apart - (in_low ? 0 : second)), t->lanes);
    }
}

/* one step at element `at` of the rows from a, and vectors from b */
static void step(Tile *t, const TileSteps *s, LLVMValueRef a, LLVMValueRef b, int at) {
    Kernel *k = t->k;
    LLVMValueRef vectors[TILE_MAX], rows[BY_LANE];
    load_columns(t, s, b, gen_i64(k->gen, at), vectors);
    for (int r = 0; r < t->rows; r++) {
        if (!takes_part(s, r)) continue;
        int first = first_of_rows(t, s, r), from = first < 0 ? r : first;
        LLVMValueRef p = f32_at(k, f32_at(k, a, i_scale(k, s->row, from)), gen_i64(k->gen, at * s->inner));
        if (first < 0) {
            LLVMValueRef x = vec_load_of(k, t->element, p, 1, t->kind == TILE_F32 ? 4 : 1);
            multiply(t, r, vec_splat(k, x, t->lanes), vectors);
            continue;
        }
        load_rows(t, s, p, rows);
        for (; r < first + BY_LANE; r++) multiply(t, r, rows[r - first], vectors);
        r--;
    }
}

/* Sums of their own for every `n`th step: a tile of few accumulators would wait for each addition. */
typedef struct Chains {
    Tile tile[MAX_CHAINS]; /* the first is the tile itself */
    int n;
} Chains;

/* sums are additions of integers, apart from the multiplications: nothing to wait for */
static bool adds_at_once(const Tile *t) {
    DotForm form = dot_form(t->k->gen->target, t->lanes);
    return t->kind != TILE_F32 && (form == DOT_PAIRS || form == DOT_WIDEN);
}

static void chains_begin(Chains *c, const Tile *t, const TileSteps *s) {
    int64_t count;
    int sums = (s->order_rows ? s->order_rows : t->rows) * t->vecs;
    *c = (Chains){.tile = {*t}, .n = 1};
    if (!i_is_const(s->count, &count) || adds_at_once(t)) return;
    while (c->n < MAX_CHAINS && c->n < s->unroll && sums * c->n < IN_FLIGHT && count >= c->n * LONG) c->n *= 2;
    for (int i = 1; i < c->n; i++) {
        tile_begin_of(&c->tile[i], t->k, t->kind, t->element, t->rows, t->vecs, t->lanes);
        tile_fill(&c->tile[i], NULL, 4);
    }
}

/* the sums of all chains into the tile, pairwise */
static void chains_end(Chains *c) {
    for (int half = c->n / 2; half; half /= 2)
        for (int i = 0; i < half; i++) {
            Tile *to = &c->tile[i], *from = &c->tile[i + half];
            for (int v = 0; v < to->rows * to->vecs; v++) {
                int row = v / to->vecs, vec = v % to->vecs;
                LLVMValueRef a = tile_get(to, row, vec), b = tile_get(from, row, vec);
                LLVMValueRef sum =
                    to->kind == TILE_F32 ? LLVMBuildFAdd(to->k->b, a, b, "") : LLVMBuildAdd(to->k->b, a, b, "");
                tile_put(to, row, vec, sum);
            }
        }
}

/* BY_LANE steps, whose elements of a row are one vector */
static void steps_by_lane(Chains *c, const TileSteps *s, LLVMValueRef a, LLVMValueRef b, int at) {
    Tile *t = c->tile;
    Kernel *k = t->k;
    LLVMValueRef rows[TILE_MAX], vectors[TILE_MAX];
    for (int r = 0; r < t->rows; r++) {
        LLVMValueRef p = f32_at(k, f32_at(k, a, i_scale(k, s->row, r)), gen_i64(k->gen, at));
        if (takes_part(s, r)) rows[r] = vec_load_of(k, t->element, p, BY_LANE, t->kind == TILE_F32 ? 4 : 1);
    }
    for (int lane = 0; lane < BY_LANE; lane++) {
        load_columns(t, s, b, gen_i64(k->gen, at + lane), vectors);
        for (int r = 0; r < t->rows; r++)
            if (takes_part(s, r)) multiply(&c->tile[lane % c->n], r, splat_lane(k, rows[r], lane, t->lanes), vectors);
    }
}

static void unrolled(Chains *c, const TileSteps *s, LLVMValueRef a, LLVMValueRef b, int count) {
    int at = 0;
    if (c->tile->k->gen->target->lane_multiply && s->inner == 1)
        for (; at + BY_LANE <= count; at += BY_LANE) steps_by_lane(c, s, a, b, at);
    for (; at < count; at++) step(&c->tile[at % c->n], s, a, b, at);
}

static void fetch_ahead(Kernel *k, const TileSteps *s, LLVMValueRef at) {
    enum { LINE = 16 };
    LLVMValueRef elements = i_div(k, i_scale(k, at, s->fetch), s->unroll);
    for (int64_t i = 0; i < s->fetch; i += LINE) {
        LLVMValueRef line = i_plus(k, elements, i);
        fetch_line(k, LLVMBuildGEP2(k->b, k->gen->f32, s->ahead, &line, 1, ""));
    }
}

/* ---- two rows by two columns at once ---- */

/* halves of a and b, the low ones or the high ones */
static LLVMValueRef halves(Kernel *k, LLVMValueRef a, LLVMValueRef b, bool high) {
    LLVMValueRef mask[4];
    for (int i = 0; i < 4; i++) mask[i] = gen_i32(k->gen, i % 2 + 2 * high + (i < 2 ? 0 : 4));
    return LLVMBuildShuffleVector(k->b, a, b, LLVMConstVector(mask, 4), "");
}

/* Sums of two rows: of columns 0 and 1 in the first's place, of 2 and 3 in the second's. An odd last row is its own
 * neighbour. */
static void turn_sums(Tile *from, Tile *to) {
    for (int r = 0; r < from->rows; r += 2)
        for (int v = 0; v < from->vecs; v++) {
            LLVMValueRef a = tile_get(from, r, v), b = r + 1 < from->rows ? tile_get(from, r + 1, v) : a;
            tile_put(to, r, v, halves(from->k, a, b, false));
            if (r + 1 < to->rows) tile_put(to, r + 1, v, halves(from->k, a, b, true));
        }
}

static LLVMValueRef multiply_pair(Tile *t, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef b) {
    Kernel *k = t->k;
    LLVMTypeRef bytes = LLVMVectorType(k->gen->i8, 16), types[2] = {LLVMTypeOf(acc), bytes};
    LLVMValueRef x = LLVMBuildBitCast(k->b, a, bytes, ""), w = LLVMBuildBitCast(k->b, b, bytes, "");
    const char *name = t->kind == TILE_S8 ? "llvm.aarch64.neon.smmla" : "llvm.aarch64.neon.usmmla";
    return call_intrinsic(k, name, types, 2, (LLVMValueRef[]){acc, x, w}, 3);
}

/* `count` steps, two or four: eight bytes of two rows are one operand, of two columns the other; rows: those there are
 */
static void steps_by_pairs(Tile *sums, const TileSteps *s, int rows, LLVMValueRef a, LLVMValueRef b, int count) {
    Kernel *k = sums->k;
    LLVMValueRef x[TILE_MAX];
    int lanes = sums->lanes;
    for (int r = 0; r < sums->rows; r++) {
        if (r < rows) x[r] = vec_load_of(k, sums->element, f32_at(k, a, i_scale(k, s->row, r)), count, 1);
        else x[r] = x[r - 1];
        LLVMValueRef wide[4] = {gen_i32(k->gen, 0), gen_i32(k->gen, 1), gen_i32(k->gen, 0), gen_i32(k->gen, 1)};
        if (r < rows && count == 2) x[r] = LLVMBuildShuffleVector(k->b, x[r], x[r], LLVMConstVector(wide, 4), "");
    }
    for (int pair = 0; 2 * pair < count; pair++)
        for (int c = 0; c < 2 * sums->vecs; c++) {
            LLVMValueRef p = f32_at(k, f32_at(k, b, i_scale(k, s->next, 2 * pair)), gen_i64(k->gen, c * lanes));
            LLVMValueRef w = vec_load_of(k, sums->element, p, lanes, s->b_align);
            for (int r = 0; r < sums->rows; r += 2) {
                int at = r + c % 2;
                LLVMValueRef two = halves(k, x[r], x[r + 1], pair), acc = tile_get(sums, at, c / 2);
                tile_put(sums, at, c / 2, multiply_pair(sums, acc, two, w));
            }
        }
}

static void tile_steps_by_pairs(Tile *t, const TileSteps *s) {
    enum { TURN = 4 };
    Kernel *k = t->k;
    int64_t count = 0;
    Tile sums;
    bool known = i_is_const(s->count, &count);
    assert(known && count % 2 == 0 && t->lanes == TURN);
    (void)known;
    tile_begin_of(&sums, k, t->kind, t->element, (t->rows + 1) / 2 * 2, t->vecs, t->lanes);
    turn_sums(t, &sums);
    LLVMValueRef end = gen_i64(k->gen, count / TURN * TURN);
    if (count >= TURN) {
        For f = for_begin(k, gen_i64(k->gen, 0), end, TURN);
        if (s->ahead) fetch_ahead(k, s, f.i);
        steps_by_pairs(&sums, s, t->rows, f32_at(k, s->a, f.i), f32_at(k, s->b, i_mul(k, f.i, s->next)), TURN);
        for_end(k, &f);
    }
    if (count % TURN)
        steps_by_pairs(&sums, s, t->rows, f32_at(k, s->a, end), f32_at(k, s->b, i_mul(k, end, s->next)), 2);
    turn_sums(&sums, t);
}

void tile_steps(Tile *t, const TileSteps *s) {
    Kernel *k = t->k;
    Chains c;
    if (s->pairs) {
        tile_steps_by_pairs(t, s);
        return;
    }
    int64_t count, rest = 0;
    LLVMValueRef end = s->count;
    chains_begin(&c, t, s);
    if (i_is_const(s->count, &count)) {
        rest = count % s->unroll;
        end = gen_i64(k->gen, count - rest);
    }
    if (rest == 0 || count > rest) {
        For f = for_begin(k, gen_i64(k->gen, 0), end, s->unroll);
        if (s->ahead) fetch_ahead(k, s, f.i);
        unrolled(&c, s, f32_at(k, s->a, i_scale(k, f.i, s->inner)), columns_at(k, s, s->b, i_mul(k, f.i, s->next)),
                 s->unroll);
        for_end(k, &f);
    }
    if (rest)
        unrolled(&c, s, f32_at(k, s->a, i_scale(k, end, s->inner)), columns_at(k, s, s->b, i_mul(k, end, s->next)),
                 (int)rest);
    chains_end(&c);
}
