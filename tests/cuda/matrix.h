/* One form of mma.sync. */
#ifndef MCC_TESTS_CUDA_MATRIX_H
#define MCC_TESTS_CUDA_MATRIX_H

#include "tests/cuda/convert.h"

typedef struct MatrixShape {
    u32 m, k; /* n is 8 */
    NumberType a, b;
    bool integers, saturate, c_halves, d_halves;
    u32 a_registers, b_registers;
    int a_at, b_at, c_at; /* first argument; D is at 0 */
} MatrixShape;

Handler run_mma; /* Inst.any: its MatrixShape */

#endif
