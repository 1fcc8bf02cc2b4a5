/* Encodes instructions of x86-64 (Intel's manual, volume 2, chapter 2: REX, VEX and EVEX prefixes, ModRM).
 * Displacements take 8 bits where they can; EVEX scales those by the bytes that an instruction reads. */
#include "codegen/x86.h"
#include <string.h>

void x86_byte(X86 *x, int b) {
    if (x->bytes) x->bytes[x->n] = (uint8_t)b;
    x->n++;
}

void x86_bytes(X86 *x, const void *p, size_t n) {
    if (x->bytes && n) memcpy(x->bytes + x->n, p, n);
    x->n += n;
}

static void word(X86 *x, int64_t v) {
    for (int i = 0; i < 4; i++) x86_byte(x, (int)(v >> 8 * i & 255));
}

void x86_align(X86 *x, size_t to, uint8_t fill) {
    while (x->n % to) x86_byte(x, fill);
}

void x86_patch_from(X86 *x, size_t at, size_t from, size_t target) {
    if (!x->bytes) return;
    X86 there = {x->bytes, at - 4};
    word(&there, (int64_t)target - (int64_t)from);
}

void x86_patch(X86 *x, size_t at, size_t target) { x86_patch_from(x, at, at, target); }

/* ModRM and displacement; each: what one of 8 bits counts */
static void memory(X86 *x, int reg, X86Mem m, int each) {
    int low = m.base & 7, field = (reg & 7) << 3 | low;
    bool small = m.disp % each == 0 && m.disp / each >= -128 && m.disp / each <= 127;
    int mode = m.disp == 0 && low != RBP ? 0 : small ? 1 : 2;
    x86_byte(x, mode << 6 | field);
    if (low == RSP) x86_byte(x, 0x24); /* base alone, said by a SIB byte */
    if (mode == 1) x86_byte(x, (int)(m.disp / each));
    if (mode == 2) word(x, m.disp);
}

/* the prefix of 512 bits; its register bits are inverted */
static void evex(X86 *x, X86Op op, int a, int b, int rm, int rm_high, bool broadcast, X86Mask k) {
    x86_byte(x, 0x62);
    x86_byte(x, (a & 8 ? 0 : 0x80) | (rm_high ? 0 : 0x40) | (rm & 8 ? 0 : 0x20) | (a & 16 ? 0 : 0x10) | op.map);
    x86_byte(x, (~b & 15) << 3 | 4 | op.prefix);
    x86_byte(x, (k.zero ? 0x80 : 0) | 0x40 | (broadcast ? 0x10 : 0) | (b & 16 ? 0 : 8) | k.k);
    x86_byte(x, op.code);
}

void evex_mem(X86 *x, X86Op op, int a, int b, X86Mem m, int each, bool broadcast, X86Mask k) {
    evex(x, op, a, b, m.base, 0, broadcast, k);
    memory(x, a, m, each);
}

void evex_reg(X86 *x, X86Op op, int a, int b, int c, X86Mask k) {
    evex(x, op, a, b, c, c & 16, false, k);
    x86_byte(x, 0xC0 | (a & 7) << 3 | (c & 7));
}

/* The prefix of 256 bits, its register bits inverted; two bytes are enough for the first map and low registers in
 * memory's place. */
static void vex(X86 *x, X86Op op, int a, int b, int rm) {
    int rest = (~b & 15) << 3 | 4 | op.prefix, high = a & 8 ? 0 : 0x80;
    if (op.map == 1 && !(rm & 8)) {
        x86_byte(x, 0xC5);
        x86_byte(x, high | rest);
    } else {
        x86_byte(x, 0xC4);
        x86_byte(x, high | 0x40 | (rm & 8 ? 0 : 0x20) | op.map);
        x86_byte(x, rest);
    }
    x86_byte(x, op.code);
}

void vex_mem(X86 *x, X86Op op, int a, int b, X86Mem m) {
    vex(x, op, a, b, m.base);
    memory(x, a, m, 1);
}

void vex_reg(X86 *x, X86Op op, int a, int b, int c) {
    vex(x, op, a, b, c);
    x86_byte(x, 0xC0 | (a & 7) << 3 | (c & 7));
}

static void rex(X86 *x, int reg, int rm) { x86_byte(x, 0x48 | (reg & 8 ? 4 : 0) | (rm & 8 ? 1 : 0)); }

void x86_push(X86 *x, X86Reg r) {
    if (r & 8) x86_byte(x, 0x41);
    x86_byte(x, 0x50 | (r & 7));
}

void x86_pop(X86 *x, X86Reg r) {
    if (r & 8) x86_byte(x, 0x41);
    x86_byte(x, 0x58 | (r & 7));
}

void x86_move(X86 *x, X86Reg to, X86Reg from) {
    rex(x, from, to);
    x86_byte(x, 0x89);
    x86_byte(x, 0xC0 | (from & 7) << 3 | (to & 7));
}

void x86_load_word(X86 *x, X86Reg to, uint32_t v) {
    if (to & 8) x86_byte(x, 0x41);
    x86_byte(x, 0xB8 | (to & 7));
    word(x, v);
}

void x86_add(X86 *x, X86Reg r, int64_t v) {
    if (!v) return;
    bool small = v >= -128 && v < 128;
    rex(x, 0, r);
    x86_byte(x, small ? 0x83 : 0x81);
    x86_byte(x, 0xC0 | (r & 7));
    if (small) x86_byte(x, (int)v);
    else word(x, v);
}

void x86_and(X86 *x, X86Reg r, int v) {
    rex(x, 0, r);
    x86_byte(x, 0x83);
    x86_byte(x, 0xE0 | (r & 7));
    x86_byte(x, v);
}

void x86_prefetch(X86 *x, X86Mem m) {
    if (m.base & 8) x86_byte(x, 0x41);
    x86_byte(x, 0x0F);
    x86_byte(x, 0x18);
    memory(x, 2, m, 1);
}

void x86_kmov(X86 *x, int k, X86Mem m) { /* VEX.L0.0F.W0 90 */
    x86_byte(x, 0xC4);
    x86_byte(x, 0xC0 | (m.base & 8 ? 0 : 0x20) | 1);
    x86_byte(x, 0x78);
    x86_byte(x, 0x90);
    memory(x, k, m, 1);
}

size_t x86_lea_rip(X86 *x, X86Reg r) {
    rex(x, r, 0);
    x86_byte(x, 0x8D);
    x86_byte(x, (r & 7) << 3 | 5);
    word(x, 0);
    return x->n;
}

size_t x86_jump_if(X86 *x, int condition) {
    x86_byte(x, 0x0F);
    x86_byte(x, 0x80 | condition);
    word(x, 0);
    return x->n;
}

void x86_compare(X86 *x, X86Reg r, int64_t v) {
    rex(x, 0, r);
    x86_byte(x, 0x81);
    x86_byte(x, 0xF8 | (r & 7));
    word(x, v);
}

void x86_test(X86 *x, X86Reg r) {
    rex(x, r, r);
    x86_byte(x, 0x85);
    x86_byte(x, 0xC0 | (r & 7) << 3 | (r & 7));
}

void x86_leave_vectors(X86 *x) { x86_bytes(x, (const uint8_t[]){0xC5, 0xF8, 0x77}, 3); }
