/* mcc.PixelDepthwise and mcc.PixelPool: every channel by itself, four at a time where the target has instructions for
 * that. x less its zero point is multiplied or summed, so that taps that fall outside of it are left out and nothing
 * makes up for them. */
#include "codegen/pixels.h"

enum { FOUR = 4, OPERANDS = 3 };

typedef struct Channels {
    Pixels p;
    enum { PRODUCTS, LARGEST, MEAN } kind;
    int lanes;                   /* channels at a time */
    LLVMValueRef acc[FOUR], col; /* slots: sums, or the largest bytes in one word */
} Channels;

static void put(const Channels *c, int lane, LLVMValueRef v) { vec_store(c->p.k, v, c->acc[lane], 4); }
static LLVMValueRef get(const Channels *c, int lane) {
    return vec_load_of(c->p.k, c->p.k->gen->i32, c->acc[lane], 1, 4);
}

/* four bytes, or one, extended to 32 bits */
static LLVMValueRef load(const Channels *c, LLVMValueRef base, LLVMValueRef at, bool is_signed) {
    Kernel *k = c->p.k;
    if (c->lanes == FOUR) return pixels_load(&c->p, base, at);
    LLVMValueRef v = vec_load_of(k, k->gen->i8, pixels_byte_at(&c->p, base, at), 1, 1);
    return is_signed ? LLVMBuildSExt(k->b, v, k->gen->i32, "") : LLVMBuildZExt(k->b, v, k->gen->i32, "");
}

static void multiply(const Channels *c, LLVMValueRef x, LLVMValueRef w) {
    const Pixels *p = &c->p;
    Kernel *k = p->k;
    int64_t zero = node_int(p->n, "zero");
    LLVMValueRef a[2], b[2], less = pixels_number(p, (-zero & 0xffff) | (int64_t)((uint64_t)-zero << 16 & 0xffff0000u));
    if (c->lanes == 1) {
        put(c, 0, LLVMBuildAdd(k->b, get(c, 0), LLVMBuildMul(k->b, i_plus(k, x, -zero), w, ""), ""));
        return;
    }
    halves_of(k, x, zero ? less : NULL, p->is_signed, a);
    halves_of(k, w, NULL, true, b);
    for (int odd = 0; odd < 2; odd++) {
        put(c, odd, halves_add_low(k, a[odd], b[odd], get(c, odd)));
        put(c, odd + 2, halves_add_high(k, a[odd], b[odd], get(c, odd + 2)));
    }
}

static void take_largest(const Channels *c, LLVMValueRef x) {
    const Pixels *p = &c->p;
    Kernel *k = p->k;
    LLVMTypeRef type = k->gen->i32;
    LLVMValueRef two[2] = {x, get(c, 0)};
    if (c->lanes == 1) {
        put(c, 0, call_intrinsic(k, "llvm.smax", &type, 1, two, 2));
        return;
    }
    call_intrinsic(k, p->is_signed ? "llvm.arm.ssub8" : "llvm.arm.usub8", NULL, 0, two, 2); /* sets what sel asks for */
    put(c, 0, call_intrinsic(k, "llvm.arm.sel", NULL, 0, two, 2));
}

static void add_bytes(const Channels *c, LLVMValueRef x) {
    Kernel *k = c->p.k;
    for (int i = 0; i < c->lanes; i++) {
        LLVMValueRef byte = x;
        if (c->lanes == FOUR) {
            byte = LLVMBuildTrunc(k->b, LLVMBuildLShr(k->b, x, pixels_number(&c->p, 8 * i), ""), k->gen->i8, "");
            byte = c->p.is_signed ? LLVMBuildSExt(k->b, byte, k->gen->i32, "")
                                  : LLVMBuildZExt(k->b, byte, k->gen->i32, "");
        }
        put(c, i, i_add(k, get(c, i), byte));
    }
}

static void begin_sums(const Channels *c) {
    Kernel *k = c->p.k;
    if (c->kind == LARGEST) {
        int64_t least = c->lanes == 1 ? -128 : (int64_t)0x80808080u;
        put(c, 0, pixels_number(&c->p, c->p.is_signed ? least : 0));
        return;
    }
    for (int i = 0; i < c->lanes; i++) {
        LLVMValueRef at = i_plus(k, c->col, i), none = pixels_number(&c->p, 0);
        put(c, i, c->kind == MEAN ? none : vec_load_of(k, k->gen->i32, f32_at(k, k->in[2], at), 1, 4));
    }
}

/* of `taps` bytes; whole numbers that f32 holds, and one rounding */
static void store_mean(const Channels *c, int lane, LLVMValueRef taps, LLVMValueRef at) {
    const Pixels *p = &c->p;
    Kernel *k = p->k;
    LLVMValueRef sum = i_sub(k, get(c, lane), i_scale(k, taps, node_int(p->n, "zero")));
    LLVMValueRef mean = LLVMBuildFDiv(k->b, LLVMBuildSIToFP(k->b, sum, k->gen->f32, ""),
                                      LLVMBuildSIToFP(k->b, taps, k->gen->f32, ""), "");
    vec_store(k, mean, f32_at(k, k->out[0], i_plus(k, at, lane)), 4);
}

static void store_largest(const Channels *c, LLVMValueRef at) {
    Kernel *k = c->p.k;
    LLVMValueRef v = get(c, 0);
    vec_store(k, c->lanes == 1 ? LLVMBuildTrunc(k->b, v, k->gen->i8, "") : v, pixels_byte_at(&c->p, k->out[0], at), 1);
}

static void end_sums(const Channels *c, LLVMValueRef pixel, const Range taps[3]) {
    const Pixels *p = &c->p;
    Kernel *k = p->k;
    LLVMValueRef at = i_add(k, i_scale(k, pixel, p->columns), c->col), count = pixels_number(p, 1);
    for (int i = 0; i < 3; i++) count = i_mul(k, count, i_sub(k, taps[i].to, taps[i].from));
    if (c->kind == LARGEST) store_largest(c, at);
    for (int i = 0; i < c->lanes; i++) {
        if (c->kind == PRODUCTS) pixels_store(p, get(c, i), pixel, i_plus(k, c->col, i), OPERANDS);
        if (c->kind == MEAN) store_mean(c, i, count, at);
    }
}

/* the taps of a window that lie inside, for the channels at hand */
static void take_taps(const Channels *c, LLVMValueRef first, const LLVMValueRef at[3], const Range taps[3]) {
    const Pixels *p = &c->p;
    Kernel *k = p->k;
    LLVMValueRef place[3], tap = pixels_number(p, 0);
    For f[3];
    for (int i = 0; i < 3; i++) {
        f[i] = for_begin(k, taps[i].from, taps[i].to, 1);
        place[i] = i_add(k, at[i], i_scale(k, f[i].i, p->dilation[i]));
        tap = i_add(k, i_scale(k, tap, p->kernel[i]), f[i].i);
    }
    LLVMValueRef from = i_add(k, i_scale(k, pixels_index(p, first, place), p->channels), c->col);
    LLVMValueRef x = load(c, k->in[0], from, p->is_signed);
    if (c->kind == LARGEST) take_largest(c, x);
    else if (c->kind == MEAN) add_bytes(c, x);
    else multiply(c, x, load(c, k->in[1], i_add(k, i_scale(k, tap, p->channels), c->col), true));
    for (int i = 2; i >= 0; i--) for_end(k, &f[i]);
}

static bool emit(Kernel *k) {
    const Node *n = k->node;
    Channels c = {.p = pixels_of(k), .kind = n->op != OP_PixelPool ? PRODUCTS : node_int(n, "mean") ? MEAN : LARGEST};
    const Pixels *p = &c.p;
    LLVMValueRef at[3];
    Range taps[3];
    c.lanes = p->channels < FOUR || !has_halves(k) ? 1 : FOUR;
    for (int i = 0; i < c.lanes; i++) c.acc[i] = gen_alloca(k->gen, k->b, k->gen->i32, 4);
    For pixel = for_begin(k, pixels_number(p, 0), p->count, 1);
    LLVMValueRef first = pixels_unravel(p, pixel.i, at);
    for (int i = 0; i < 3; i++) taps[i] = pixels_taps(p, i, at[i]);
    For col = for_begin(k, pixels_number(p, 0), pixels_number(p, p->channels), c.lanes);
    c.col = p->channels % c.lanes ? i_min(k, col.i, pixels_number(p, p->channels - c.lanes)) : col.i;
    begin_sums(&c);
    take_taps(&c, first, at, taps);
    end_sums(&c, pixel.i, taps);
    for_end(k, &col);
    for_end(k, &pixel);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

const Emitter pixel_channels_emitter = {.form = "pixels, channel by channel", .emit = emit};
