/* mcc.Table: bytes looked up in a table of 256, as the target does it best; see LookupForm in targets/target.h. Vectors
 * are of bytes; those shorter than the target's instruction wants are looked up with others that nobody reads. */
#include <string.h>
#include "codegen/contract.h"

enum { ENTRIES = 256, ROW = 16, QUARTER = 64 };

static const uint8_t *entries_of(const Node *n) { return node_attr(n, "table")->tensor->data; }

/* once a module */
static LLVMValueRef table_of(Gen *g, const Node *n) {
    const char *name = arena_printf(g->ctx->arena, "table.%d", n->id);
    LLVMValueRef table = LLVMGetNamedGlobal(g->module, name);
    if (table) return table;
    table = gen_bytes(g, entries_of(n), ENTRIES, 64);
    LLVMSetValueName2(table, name, strlen(name));
    return table;
}

static LLVMValueRef bytes_at(Kernel *k, LLVMValueRef table, int first, int lanes) {
    return vec_load_of(k, k->gen->i8, gen_offset(k->gen, k->b, table, gen_i64(k->gen, first)), lanes, 16);
}

static LLVMValueRef byte_const(Kernel *k, int v, int lanes) {
    return vec_repeat(LLVMConstInt(k->gen->i8, (uint64_t)(uint8_t)v, 0), lanes);
}

/* lanes from `first` on as a vector of `to`, filled up with anything */
static LLVMValueRef lanes_from(Kernel *k, LLVMValueRef v, int lanes, int first, int to) {
    LLVMValueRef mask[QUARTER];
    if (lanes == to) return v;
    for (int i = 0; i < to; i++) mask[i] = first + i < lanes ? gen_i32(k->gen, first + i) : LLVMGetPoison(k->gen->i32);
    return LLVMBuildShuffleVector(k->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(mask, (unsigned)to), "");
}

static LLVMValueRef joined(Kernel *k, LLVMValueRef a, LLVMValueRef b, int lanes) {
    LLVMValueRef mask[QUARTER];
    for (int i = 0; i < 2 * lanes; i++) mask[i] = gen_i32(k->gen, i);
    return LLVMBuildShuffleVector(k->b, a, b, LLVMConstVector(mask, (unsigned)lanes * 2), "");
}

/* vpermi2b looks at seven bits of an index; the eighth chooses between the two it found */
static LLVMValueRef by_halves(Kernel *k, LLVMValueRef table, LLVMValueRef x) {
    LLVMValueRef half[2];
    for (int i = 0; i < 2; i++) {
        LLVMValueRef low = bytes_at(k, table, 2 * i * QUARTER, QUARTER),
                     high = bytes_at(k, table, (2 * i + 1) * QUARTER, QUARTER);
        half[i] = call_intrinsic(k, "llvm.x86.avx512.vpermi2var.qi.512", NULL, 0, (LLVMValueRef[]){low, x, high}, 3);
    }
    LLVMValueRef upper = LLVMBuildICmp(k->b, LLVMIntSLT, x, byte_const(k, 0, QUARTER), "");
    return LLVMBuildSelect(k->b, upper, half[1], half[0], "");
}

/* tbl finds 0 where an index is 64 or more, tbx leaves what it finds there */
static LLVMValueRef by_quarters(Kernel *k, LLVMValueRef table, LLVMValueRef x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef found = NULL;
    for (int q = 0; q < ENTRIES / QUARTER; q++) {
        LLVMValueRef args[6];
        int n = 0;
        if (found) args[n++] = found;
        for (int i = 0; i < QUARTER / ROW; i++) args[n++] = bytes_at(k, table, q * QUARTER + i * ROW, ROW);
        args[n++] = q ? LLVMBuildSub(k->b, x, byte_const(k, q * QUARTER, ROW), "") : x;
        const char *name = found ? "llvm.aarch64.neon.tbx4" : "llvm.aarch64.neon.tbl4";
        found = call_intrinsic(k, name, &type, 1, args, n);
    }
    return found;
}

static const char *shuffle_of(int lanes) {
    return lanes == 16   ? "llvm.x86.ssse3.pshuf.b.128"
           : lanes == 32 ? "llvm.x86.avx2.pshuf.b"
                         : "llvm.x86.avx512.pshuf.b.512";
}

/* A row of the table, or what differs from the row before it, in every 16 lanes */
static LLVMValueRef row_const(Kernel *k, const uint8_t *entries, int row, bool differences, int lanes) {
    LLVMValueRef v[QUARTER];
    for (int i = 0; i < lanes; i++) {
        const uint8_t *entry = entries + row * ROW + i % ROW;
        v[i] = LLVMConstInt(k->gen->i8, (uint64_t)(differences ? *entry ^ entry[-ROW] : *entry), 0);
    }
    return LLVMConstVector(v, (unsigned)lanes);
}

/* pshufb finds 0 where an index is negative, else looks at four bits of it. Row by row, 16 is subtracted from the
 * index, which saturates once it is negative: of the half of the table that it counts, an index finds its own row and
 * all before it, each as what differs from the one before. The other half finds indices negative from the start. */
static LLVMValueRef by_rows(Kernel *k, const uint8_t *entries, LLVMValueRef x, int lanes) {
    enum { ROWS = ENTRIES / ROW / 2 };
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef found = NULL;
    for (int half = 0; half < 2; half++) {
        LLVMValueRef at = half ? LLVMBuildXor(k->b, x, byte_const(k, 128, lanes), "") : x;
        for (int i = 0; i < ROWS; i++) {
            LLVMValueRef sixteen[2] = {at, byte_const(k, ROW, lanes)};
            if (i) at = call_intrinsic(k, "llvm.ssub.sat", &type, 1, sixteen, 2);
            LLVMValueRef args[2] = {row_const(k, entries, half * ROWS + i, i > 0, lanes), at},
                         part = call_intrinsic(k, shuffle_of(lanes), NULL, 0, args, 2);
            found = found ? LLVMBuildXor(k->b, found, part, "") : part;
        }
    }
    return found;
}

LLVMValueRef lookup_one(Gen *g, LLVMBuilderRef b, const Node *n, LLVMValueRef x) {
    LLVMValueRef table = table_of(g, n), at = LLVMBuildZExt(b, x, g->i64, "");
    return LLVMBuildLoad2(b, g->i8, gen_offset(g, b, table, at), "");
}

static LLVMValueRef one_by_one(Kernel *k, const Node *n, LLVMValueRef x, int lanes) {
    LLVMValueRef v = LLVMGetPoison(LLVMTypeOf(x));
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef at = gen_i64(k->gen, i),
                     one = lookup_one(k->gen, k->b, n, LLVMBuildExtractElement(k->b, x, at, ""));
        v = LLVMBuildInsertElement(k->b, v, one, at, "");
    }
    return v;
}

/* bytes that one instruction looks up; 0: none does */
static int lookup_lanes(const Target *t, int lanes) {
    int most = t->vector_bits / 8;
    switch (t->lookup) {
    case LOOKUP_HALVES: return QUARTER;
    case LOOKUP_QUARTERS: return ROW;
    case LOOKUP_ROWS: return lanes <= ROW ? ROW : lanes < most ? lanes : most;
    default: return 0;
    }
}

static LLVMValueRef look_up(Kernel *k, const Node *n, LLVMValueRef table, LLVMValueRef x, int lanes) {
    switch (k->gen->target->lookup) {
    case LOOKUP_HALVES: return by_halves(k, table, x);
    case LOOKUP_QUARTERS: return by_quarters(k, table, x);
    default: return by_rows(k, entries_of(n), x, lanes);
    }
}

LLVMValueRef vec_lookup(Kernel *k, const Node *n, LLVMValueRef x, int lanes) {
    int at_once = lookup_lanes(k->gen->target, lanes), parts = lanes / (at_once ? at_once : 1);
    if (lanes == 1) return lookup_one(k->gen, k->b, n, x);
    if (!at_once) return one_by_one(k, n, x, lanes);
    LLVMValueRef table = table_of(k->gen, n), part[QUARTER / ROW] = {NULL};
    if (lanes < at_once) {
        LLVMValueRef found = look_up(k, n, table, lanes_from(k, x, lanes, 0, at_once), at_once);
        return lanes_from(k, found, at_once, 0, lanes);
    }
    for (int i = 0; i < parts; i++)
        part[i] = look_up(k, n, table, lanes_from(k, x, lanes, i * at_once, at_once), at_once);
    for (int wide = at_once; parts > 1; parts /= 2, wide *= 2)
        for (int i = 0; i < parts / 2; i++) part[i] = joined(k, part[2 * i], part[2 * i + 1], wide);
    return part[0];
}
