/* Instructions of x86-64 as bytes: those that straight-line kernels are made of (codegen/sparse_x86.h). Names follow
 * Intel's manual. */
#ifndef MCC_CODEGEN_X86_H
#define MCC_CODEGEN_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum X86Reg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 } X86Reg;

typedef struct X86 { /* code being written; bytes NULL: only counted */
    uint8_t *bytes;
    size_t n;
} X86;

typedef struct X86Mem { /* base + disp */
    X86Reg base;
    int64_t disp; /* 32 bits */
} X86Mem;

/* An instruction on vectors: its opcode map, mandatory prefix (0: none, 1: 66, 2: F3, 3: F2) and opcode. */
typedef struct X86Op {
    uint8_t map, prefix, code;
} X86Op;

#define VMOVUPS_LOAD ((X86Op){1, 0, 0x10})
#define VMOVUPS_STORE ((X86Op){1, 0, 0x11})
#define VMOVAPS ((X86Op){1, 0, 0x28})
#define VADDPS ((X86Op){1, 0, 0x58})
#define VMINPS ((X86Op){1, 0, 0x5D})
#define VMAXPS ((X86Op){1, 0, 0x5F})
#define VPADDD ((X86Op){1, 1, 0xFE})
#define VPXORD ((X86Op){1, 1, 0xEF})
#define VXORPS ((X86Op){1, 0, 0x57})
#define VPAND ((X86Op){1, 1, 0xDB})
#define VPCMPEQD ((X86Op){1, 1, 0x76})
#define VPBROADCASTD ((X86Op){2, 1, 0x58})
#define VPBROADCASTD_GENERAL ((X86Op){2, 1, 0x7C}) /* of a general register of 32 bits */
#define VMASKMOVPS_STORE ((X86Op){2, 1, 0x2E})
#define VBROADCASTSS ((X86Op){2, 1, 0x18})
#define VALIGND ((X86Op){3, 1, 0x03}) /* the second source, then the first one above it, from an element on: a byte */
#define VPDPBUSD ((X86Op){2, 1, 0x50})
#define VFMADD231PS ((X86Op){2, 1, 0xB8})

typedef struct X86Mask { /* of an EVEX instruction; k 0: none */
    int k;
    bool zero; /* lanes beyond become 0, else stay */
} X86Mask;

void x86_byte(X86 *x, int b);
void x86_bytes(X86 *x, const void *p, size_t n);
void x86_align(X86 *x, size_t to, uint8_t fill);
void x86_patch(X86 *x, size_t at, size_t target);                   /* 4 bytes before `at` become target - at */
void x86_patch_from(X86 *x, size_t at, size_t from, size_t target); /* or target - from */

/* 512 bits. a: the register that is written or stored; b: the first source (0 where there is none). each: bytes that
 * memory is read by, which scales a displacement of 8 bits; broadcast: one element for all lanes */
void evex_mem(X86 *x, X86Op op, int a, int b, X86Mem m, int each, bool broadcast, X86Mask k);
void evex_reg(X86 *x, X86Op op, int a, int b, int c, X86Mask k);

/* 256 bits; a and b as above */
void vex_mem(X86 *x, X86Op op, int a, int b, X86Mem m);
void vex_reg(X86 *x, X86Op op, int a, int b, int c);

void x86_push(X86 *x, X86Reg r);
void x86_pop(X86 *x, X86Reg r);
void x86_move(X86 *x, X86Reg to, X86Reg from);
void x86_load_word(X86 *x, X86Reg to, uint32_t v); /* the upper half becomes 0 */
void x86_add(X86 *x, X86Reg r, int64_t v);         /* 32 bits; 0: nothing */
void x86_and(X86 *x, X86Reg r, int v);             /* 8 bits, signed */
void x86_prefetch(X86 *x, X86Mem m);               /* into L2 */
void x86_kmov(X86 *x, int k, X86Mem m);            /* 16 bits; disp within 8 */
size_t x86_lea_rip(X86 *x, X86Reg r);              /* to be patched at the place returned */
size_t x86_jump_if(X86 *x, int condition);         /* likewise; condition as in Jcc's opcode */
void x86_compare(X86 *x, X86Reg r, int64_t v);     /* 32 bits */
void x86_test(X86 *x, X86Reg r);                   /* with itself */
void x86_leave_vectors(X86 *x);                    /* vzeroupper */

enum { X86_EQUAL = 4, X86_NOT_EQUAL = 5, X86_GREATER = 15 };

#endif
