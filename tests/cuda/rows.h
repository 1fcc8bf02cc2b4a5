/* How a file of instruction handlers is written: rows of a .def, included twice, first as the handlers, then as rows of
 * the decoder's table.  OP2("names", handler, D, A, B, expression in a and b): each lane's register of type D becomes
 * the expression. */
#ifndef MCC_TESTS_CUDA_ROWS_H
#define MCC_TESTS_CUDA_ROWS_H

#include "tests/cuda/numbers.h"

#define CODE_u16 "h"
#define CODE_s16 "h"
#define CODE_u32 "w"
#define CODE_s32 "w"
#define CODE_f32 "w"
#define CODE_u64 "d"
#define CODE_s64 "d"
#define CODE_f64 "d"

#define OP1_HANDLER(fn, D, A, expr)                                                                                    \
    static void run_##fn(Warp *w, const Inst *i) {                                                                     \
        D *out = REG(D, 0);                                                                                            \
        const A *pa = REG(const A, 1);                                                                                 \
        EACH_LANE(w, l, A a = pa[l]; out[l] = (D)(expr));                                                              \
    }
#define OP2_HANDLER(fn, D, A, B, expr)                                                                                 \
    static void run_##fn(Warp *w, const Inst *i) {                                                                     \
        D *out = REG(D, 0);                                                                                            \
        const A *pa = REG(const A, 1);                                                                                 \
        const B *pb = REG(const B, 2);                                                                                 \
        EACH_LANE(w, l, A a = pa[l]; B b = pb[l]; out[l] = (D)(expr));                                                 \
    }
#define OP3_HANDLER(fn, D, A, B, C, expr)                                                                              \
    static void run_##fn(Warp *w, const Inst *i) {                                                                     \
        D *out = REG(D, 0);                                                                                            \
        const A *pa = REG(const A, 1);                                                                                 \
        const B *pb = REG(const B, 2);                                                                                 \
        const C *pc = REG(const C, 3);                                                                                 \
        EACH_LANE(w, l, A a = pa[l]; B b = pb[l]; C c = pc[l]; out[l] = (D)(expr));                                    \
    }
#define OP4_HANDLER(fn, D, A, B, C, E, expr)                                                                           \
    static void run_##fn(Warp *w, const Inst *i) {                                                                     \
        D *out = REG(D, 0);                                                                                            \
        const A *pa = REG(const A, 1);                                                                                 \
        const B *pb = REG(const B, 2);                                                                                 \
        const C *pc = REG(const C, 3);                                                                                 \
        const E *pe = REG(const E, 4);                                                                                 \
        EACH_LANE(w, l, A a = pa[l]; B b = pb[l]; C c = pc[l]; E e = pe[l]; out[l] = (D)(expr));                       \
    }
#define OP1_ROW(names, fn, D, A) {names, CODE_##D CODE_##A, run_##fn},
#define OP2_ROW(names, fn, D, A, B) {names, CODE_##D CODE_##A CODE_##B, run_##fn},
#define OP3_ROW(names, fn, D, A, B, C) {names, CODE_##D CODE_##A CODE_##B CODE_##C, run_##fn},
#define OP4_ROW(names, fn, D, A, B, C, E) {names, CODE_##D CODE_##A CODE_##B CODE_##C CODE_##E, run_##fn},

#endif
