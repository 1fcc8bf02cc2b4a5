/* The types of cvt. */
#ifndef MCC_TESTS_CUDA_CONVERT_H
#define MCC_TESTS_CUDA_CONVERT_H

#include "tests/cuda/rows.h"

typedef enum NumberType {
    NUMBER_F16,
    NUMBER_BF16,
    NUMBER_TF32,
    NUMBER_F32,
    NUMBER_F64,
    NUMBER_E4M3,
    NUMBER_E5M2, /* floats first, */
    NUMBER_U8,
    NUMBER_U16,
    NUMBER_U32,
    NUMBER_U64, /* signed last */
    NUMBER_S8,
    NUMBER_S16,
    NUMBER_S32,
    NUMBER_S64,
    NUMBER_NONE
} NumberType;

static inline bool number_floats(NumberType t) { return t < NUMBER_U8; }
static inline int number_bits(NumberType t) {
    static const u8 bits[] = {16, 16, 32, 32, 64, 8, 8, 8, 16, 32, 64, 8, 16, 32, 64, 0};
    return bits[t];
}

enum { SATURATE_FINITE = 8 }; /* among Inst.modifiers */

bool names_hold(const char *names, const char *name); /* is it one of those, with a space between? */
Handler *convert_usual(const char *name);             /* "rn.f32.s32": a loop made for it, or NULL */
Handler run_convert, run_convert_pack, run_convert_pair;

#endif
