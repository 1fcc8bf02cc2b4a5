/* Encodes instructions of aarch64 (Arm's architecture manual for A-profile, part C). */
#include "codegen/arm64.h"
#include <string.h>

enum { SCRATCH = 17, INSTRUCTION = 4 };

static uint32_t field(int64_t v, int bits, int at) { return (uint32_t)((uint64_t)v & ((1ull << bits) - 1)) << at; }
static uint32_t three(uint32_t op, int d, int n, int m) {
    return op | field(m, 5, 16) | field(n, 5, 5) | field(d, 5, 0);
}

void arm64_bytes(Arm64 *x, const void *p, size_t n) {
    if (x->bytes && n) memcpy(x->bytes + x->n, p, n);
    x->n += n;
}

void arm64_word(Arm64 *x, uint32_t i) {
    arm64_bytes(x, (const uint8_t[]){(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), (uint8_t)(i >> 24)},
                INSTRUCTION);
}

void arm64_align(Arm64 *x, size_t to) {
    while (x->n % to) arm64_word(x, 0); /* udf */
}

/* ---- vectors ---- */

static void memory(Arm64 *x, uint32_t op, int reg, int base, int64_t scaled) {
    arm64_word(x, op | field(scaled, 12, 10) | field(base, 5, 5) | field(reg, 5, 0));
}

void arm64_load(Arm64 *x, int v, int base, int64_t disp) { memory(x, 0x3DC00000, v, base, disp / 16); }
void arm64_store(Arm64 *x, int v, int base, int64_t disp) { memory(x, 0x3D800000, v, base, disp / 16); }
void arm64_store_first(Arm64 *x, int v, int base, int64_t disp) { memory(x, 0xBD000000, v, base, disp / 4); }
void arm64_vectors(Arm64 *x, Arm64Op op, int to, int a, int b) { arm64_word(x, three((uint32_t)op, to, a, b)); }

void arm64_fmla(Arm64 *x, int sum, int v, Arm64Lane by) {
    arm64_word(x, three(0x4F801000, sum, v, by.reg) | field(by.lane, 1, 21) | field(by.lane >> 1, 1, 11));
}

void arm64_dup(Arm64 *x, int to, Arm64Lane from) { arm64_word(x, three(0x4E000400, to, from.reg, from.lane << 3 | 4)); }
void arm64_dup_word(Arm64 *x, int to, int from) { arm64_word(x, three(0x4E040C00, to, from, 4)); }
void arm64_zero(Arm64 *x, int to) { arm64_word(x, 0x6F00E400 | field(to, 5, 0)); }
void arm64_rotate(Arm64 *x, int v) { arm64_word(x, three(0x6E002000, v, v, v)); }

/* ---- words ---- */

void arm64_move(Arm64 *x, int to, int from) { arm64_word(x, three(0xAA000000, to, 31, from)); }

void arm64_constant(Arm64 *x, int to, int64_t v) {
    arm64_word(x, 0xD2800000 | field(v, 16, 5) | field(to, 5, 0));
    arm64_word(x, 0xF2A00000 | field(v >> 16, 16, 5) | field(to, 5, 0));
}

void arm64_add(Arm64 *x, int to, int from, int64_t v) {
    enum { IMMEDIATE = 12 };
    const uint32_t shifted = 1u << 22, op = v < 0 ? 0xD1000000 : 0x91000000;
    int64_t size = v < 0 ? -v : v, low = size & 4095, high = size >> IMMEDIATE;
    if (high > 4095) {
        arm64_constant(x, SCRATCH, size);
        arm64_word(x, three(v < 0 ? 0xCB000000 : 0x8B000000, to, from, SCRATCH));
        return;
    }
    if (high) memory(x, op | shifted, to, from, high);
    if (low || (!high && to != from)) memory(x, op, to, high ? to : from, low);
}

void arm64_add_register(Arm64 *x, int to, int a, int b) { arm64_word(x, three(0x8B000000, to, a, b)); }
void arm64_subtract_set(Arm64 *x, int to, int from, int v) { memory(x, 0xF1000000, to, from, v); }
void arm64_compare(Arm64 *x, int a, int b) { arm64_word(x, three(0xEB000000, ARM64_NONE, a, b)); }
void arm64_high_half(Arm64 *x, int r) { arm64_word(x, 0xD360FC00 | field(r, 5, 5) | field(r, 5, 0)); }
void arm64_load_half(Arm64 *x, int w, int base, int disp) { memory(x, 0x79400000, w, base, disp / 2); }
void arm64_shift_right(Arm64 *x, int w, int by) { arm64_word(x, three(0x1AC02400, w, w, by)); }
void arm64_load_offset(Arm64 *x, int to, int base, int index) { arm64_word(x, three(0xB8A05800, to, base, index)); }

void arm64_prefetch(Arm64 *x, int base, int64_t disp) {
    enum { REACH = 4095 * 8, TO_L2 = 2 };
    if (disp > REACH) arm64_add(x, SCRATCH, base, disp & ~(int64_t)4095), base = SCRATCH, disp &= 4095;
    memory(x, 0xF9800000, TO_L2, base, disp / 8);
}

void arm64_pair(Arm64 *x, bool load, bool vectors, int a, int at) {
    uint32_t op = (vectors ? 0x6D000000 : 0xA9000000) | (load ? 1u << 22 : 0);
    arm64_word(x, op | field(at / 8, 7, 15) | field(a + 1, 5, 10) | field(ARM64_SP, 5, 5) | field(a, 5, 0));
}

/* ---- places ---- */

static int64_t from_here(const Arm64 *x, size_t to) { return (int64_t)to - (int64_t)x->n; }

void arm64_address(Arm64 *x, int r, size_t to) {
    int64_t by = from_here(x, to), size = by < 0 ? -by : by;
    arm64_word(x, 0x10000000 | field(r, 5, 0)); /* adr, of itself */
    arm64_constant(x, SCRATCH, size);
    arm64_word(x, three(by < 0 ? 0xCB000000 : 0x8B000000, r, r, SCRATCH));
}

void arm64_branch(Arm64 *x, size_t to) { arm64_word(x, 0x14000000 | field(from_here(x, to) / INSTRUCTION, 26, 0)); }

void arm64_branch_if(Arm64 *x, Arm64Condition c, int skip) {
    arm64_word(x, 0x54000000 | field(skip + 1, 19, 5) | (uint32_t)c);
}

void arm64_branch_if_clear(Arm64 *x, int w, int bit, int skip) {
    arm64_word(x, 0x36000000 | field(bit, 5, 19) | field(skip + 1, 14, 5) | field(w, 5, 0));
}

void arm64_branch_register(Arm64 *x, int r) { arm64_word(x, 0xD61F0000 | field(r, 5, 5)); }
void arm64_return(Arm64 *x) { arm64_word(x, 0xD65F03C0); }
