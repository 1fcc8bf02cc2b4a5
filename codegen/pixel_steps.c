/* The innermost loop of mcc.PixelConv. With the DSP instructions it is assembly: of 14 registers all but what this loop
 * needs are in memory while it runs, and LLVM's own order of these instructions would keep more alive than there are.
 * Bytes of two columns, and of one row, are there as pairs of 16 bits. */
#include <stdio.h>
#include "codegen/pixels.h"

enum { MOST_OPERANDS = 16, MOST_TEXT = 4096 };

typedef struct Text { /* the assembly, and the operands that it names: sums, pointers to rows, to weights, the count,
                         temporaries */
    char code[MOST_TEXT];
    size_t n;
    int rows, cols, row, weights, count, temp;
    bool is_signed;
} Text;

static void add(Text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(Text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->code + t->n, sizeof t->code - t->n, format, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < sizeof t->code - t->n);
    t->n += (size_t)n;
}

/* bytes of `from` in pairs: 0 and 2 to another register, 1 and 3 in its place */
static void unpack(Text *t, int from, int even, bool is_signed) {
    char sign = is_signed ? 's' : 'u';
    add(t, "%cxtb16 $%d, $%d\n%cxtb16 $%d, $%d, ror #8\n", sign, even, from, sign, from, from);
}

static void load(Text *t, int to, int pointer) { add(t, "ldr $%d, [$%d], #4\n", to, pointer); }

static void multiply(Text *t, int row, int col, int n, int x, int w) {
    for (int c = 0; c < n; c++) {
        int sum = row * t->cols + col + c;
        add(t, "smlad $%d, $%d, $%d, $%d\n", sum, x, w + 2 * c, sum);
    }
}

/* n columns, one or two, from `col` on, with all rows; what a load waits for is done meanwhile */
static void multiply_columns(Text *t, int col, int n) {
    int x = t->temp, w = x + 2;
    if (n == 2) add(t, "ldrd $%d, $%d, [$%d], #8\n", w, w + 2, t->weights);
    else load(t, w, t->weights);
    if (col == 0) load(t, x, t->row);
    unpack(t, w, w + 1, true);
    if (col == 0) {
        add(t, "subs $%d, $%d, #4\n", t->count, t->count);
        unpack(t, x, x + 1, t->is_signed);
    }
    if (n == 2) unpack(t, w + 2, w + 3, true);
    for (int r = 0; r < t->rows; r++) {
        int odd = x + r % 2, even = x + (r + 1) % 2; /* what was the last row's even pair is this row's bytes */
        if (r) unpack(t, odd, even, t->is_signed);
        multiply(t, r, col, n, even, w + 1);
        if (r + 1 < t->rows) load(t, even, t->row + r + 1);
        multiply(t, r, col, n, odd, w);
    }
}

/* of operands that are read and written, tied, and of temporaries */
static void constraints_of(Text *t, int tied, int all) {
    for (int i = 0; i < all; i++) add(t, "%s=&r", i ? "," : "");
    for (int i = 0; i < tied; i++) add(t, ",%d", i);
    add(t, ",~{cc},~{memory}");
}

static void steps_of_halves(Tile *t, bool is_signed, LLVMValueRef *x, LLVMValueRef *w, LLVMValueRef bytes) {
    Kernel *k = t->k;
    Text code = {.rows = t->rows, .cols = t->vecs, .row = t->rows * t->vecs, .is_signed = is_signed}, rules = {.n = 0};
    LLVMValueRef in[MOST_OPERANDS];
    LLVMTypeRef types[MOST_OPERANDS];
    code.weights = code.row + t->rows;
    code.count = code.weights + 1;
    code.temp = code.count + 1;
    int all = code.temp + 2 + 2 * (t->vecs > 1 ? 2 : 1);
    assert(all <= 14 && (t->rows == 1 || t->vecs <= 2));
    add(&code, "1:\n");
    for (int col = 0; col < t->vecs; col += 2) multiply_columns(&code, col, t->vecs - col > 1 ? 2 : 1);
    add(&code, "bne 1b");
    constraints_of(&rules, code.temp, all);
    for (int i = 0; i < code.row; i++) in[i] = tile_get(t, i / t->vecs, i % t->vecs);
    for (int r = 0; r < t->rows; r++) in[code.row + r] = x[r];
    in[code.weights] = *w;
    in[code.count] = bytes;
    for (int i = 0; i < all; i++) types[i] = i < code.temp ? LLVMTypeOf(in[i]) : k->gen->i32;
    LLVMTypeRef result = LLVMStructTypeInContext(k->gen->llvm, types, (unsigned)all, 0),
                type = LLVMFunctionType(result, types, (unsigned)code.temp, 0);
    LLVMValueRef loop =
        LLVMGetInlineAsm(type, code.code, code.n, rules.code, rules.n, 1, 0, LLVMInlineAsmDialectATT, 0);
    LLVMValueRef out = LLVMBuildCall2(k->b, type, loop, in, (unsigned)code.temp, "");
    for (int i = 0; i < code.row; i++)
        tile_put(t, i / t->vecs, i % t->vecs, LLVMBuildExtractValue(k->b, out, (unsigned)i, ""));
    for (int r = 0; r < t->rows; r++) x[r] = LLVMBuildExtractValue(k->b, out, (unsigned)(code.row + r), "");
    *w = LLVMBuildExtractValue(k->b, out, (unsigned)code.weights, "");
}

static LLVMValueRef extended(Kernel *k, LLVMValueRef p, bool is_signed) {
    LLVMValueRef v = vec_load_of(k, k->gen->i8, p, 1, 1);
    return is_signed ? LLVMBuildSExt(k->b, v, k->gen->i32, "") : LLVMBuildZExt(k->b, v, k->gen->i32, "");
}

static void steps_of_bytes(Tile *t, bool is_signed, LLVMValueRef *x, LLVMValueRef *w, LLVMValueRef bytes) {
    enum { STEP = 4 };
    Kernel *k = t->k;
    LLVMTypeRef byte = k->gen->i8;
    For f = for_begin(k, i_like(bytes, 0), bytes, STEP);
    for (int i = 0; i < STEP; i++) {
        LLVMValueRef a[TILE_MAX];
        for (int r = 0; r < t->rows; r++) a[r] = extended(k, element_at(k, byte, x[r], i_plus(k, f.i, i)), is_signed);
        for (int c = 0; c < t->vecs; c++) {
            LLVMValueRef at = i_plus(k, i_scale(k, f.i, t->vecs), c * STEP + i),
                         b = extended(k, element_at(k, byte, *w, at), true);
            for (int r = 0; r < t->rows; r++)
                tile_put(t, r, c, LLVMBuildAdd(k->b, tile_get(t, r, c), LLVMBuildMul(k->b, a[r], b, ""), ""));
        }
    }
    for_end(k, &f);
    for (int r = 0; r < t->rows; r++) x[r] = element_at(k, byte, x[r], bytes);
    *w = element_at(k, byte, *w, i_scale(k, bytes, t->vecs));
}

void pixel_steps(Tile *t, bool is_signed, LLVMValueRef *x, LLVMValueRef *w, LLVMValueRef bytes) {
    (has_halves(t->k) ? steps_of_halves : steps_of_bytes)(t, is_signed, x, w, bytes);
}
