/* Registers cut into parts and put together. */
#ifndef MCC_TESTS_CUDA_MOVES_H
#define MCC_TESTS_CUDA_MOVES_H

#include "tests/cuda/emulator.h"

/* arg: the parts, the lowest first, then the whole; count, bytes: of the parts */
Handler run_pack, run_unpack;

#endif
