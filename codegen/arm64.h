/* Instructions of aarch64 as bytes: those that straight-line kernels are made of (codegen/sparse_arm64.c). Names follow
 * Arm's manual; vectors are q registers of four floats. */
#ifndef MCC_CODEGEN_ARM64_H
#define MCC_CODEGEN_ARM64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Arm64 { /* code being written; bytes NULL: only counted */
    uint8_t *bytes;
    size_t n;
} Arm64;

enum {
    ARM64_SP = 31,
    ARM64_NONE = 31,
    /* what it is depends on the instruction */ ARM64_REACH = 4095 * 16 /* the farthest q register from its base */
};

/* An instruction on two vectors, and its first form's bits. */
typedef enum Arm64Op {
    ARM64_AND = 0x4E201C00,
    ARM64_FADD = 0x4E20D400,
    ARM64_FMAX = 0x4E20F400, /* of NaN and a number NaN; likewise fmin */
    ARM64_FMIN = 0x4EA0F400,
    ARM64_CMTST = 0x4EA08C00
} Arm64Op;

typedef enum Arm64Condition { ARM64_EQUAL = 0, ARM64_GREATER = 12, ARM64_AT_MOST = 13 } Arm64Condition;

typedef struct Arm64Lane {
    int reg, lane;
} Arm64Lane;

void arm64_word(Arm64 *x, uint32_t instruction);
void arm64_bytes(Arm64 *x, const void *p, size_t n);
void arm64_align(Arm64 *x, size_t to); /* with what traps */

/* vectors; displacements are multiples of 16 from 0 to ARM64_REACH, of arm64_store_first multiples of 4 */
void arm64_load(Arm64 *x, int v, int base, int64_t disp);
void arm64_store(Arm64 *x, int v, int base, int64_t disp);
void arm64_store_first(Arm64 *x, int v, int base, int64_t disp); /* lane 0 */
void arm64_vectors(Arm64 *x, Arm64Op op, int to, int a, int b);
void arm64_fmla(Arm64 *x, int sum, int v, Arm64Lane by);
void arm64_dup(Arm64 *x, int to, Arm64Lane from);
void arm64_dup_word(Arm64 *x, int to, int from); /* of w */
void arm64_zero(Arm64 *x, int to);
void arm64_rotate(Arm64 *x, int v); /* lane 1 comes to lane 0 */

void arm64_move(Arm64 *x, int to, int from);
void arm64_constant(Arm64 *x, int to, int64_t v); /* two instructions; 0 to 2³² - 1 */
/* to = from + v; one, two, or four instructions for |v| below 2¹², 2²⁴, 2³²; v 0 and to == from: none. x17 is lost */
void arm64_add(Arm64 *x, int to, int from, int64_t v);
void arm64_add_register(Arm64 *x, int to, int a, int b);
void arm64_subtract_set(Arm64 *x, int to, int from, int v); /* and compares; to ARM64_NONE: only that */
void arm64_compare(Arm64 *x, int a, int b);
void arm64_high_half(Arm64 *x, int r); /* r = r >> 32 */
void arm64_load_half(Arm64 *x, int w, int base, int disp);
void arm64_shift_right(Arm64 *x, int w, int by);                   /* by a register */
void arm64_load_offset(Arm64 *x, int to, int base, int index);     /* a signed word of a table, by w */
void arm64_prefetch(Arm64 *x, int base, int64_t disp);             /* into L2; x17 is lost */
void arm64_pair(Arm64 *x, bool load, bool vectors, int a, int at); /* registers a, a + 1 (d of vectors) at sp + at */

/* Places: `to` may not be known yet while the code is counted. */
void arm64_address(Arm64 *x, int r, size_t to); /* four instructions; x17 is lost */
void arm64_branch(Arm64 *x, size_t to);
void arm64_branch_if(Arm64 *x, Arm64Condition c, int skip);     /* over so many instructions */
void arm64_branch_if_clear(Arm64 *x, int w, int bit, int skip); /* likewise */
void arm64_branch_register(Arm64 *x, int r);
void arm64_return(Arm64 *x);

#endif
