/* Addresses of instructions that touch memory. */
#ifndef MCC_TESTS_CUDA_MEMORY_H
#define MCC_TESTS_CUDA_MEMORY_H

#include "tests/cuda/emulator.h"

enum { IN_FRAME = 1, SHORT_ADDRESS = 2 }; /* Inst.flags: relative to the frame's local memory; in a 32-bit register */

/* Every lane's address: what stands in arg[n], if anything, and the offset. */
void lane_addresses(const Warp *w, const Inst *i, int n, u64 *out);
Handler *memory_handler(bool store, bool is_signed, int memory_bits, int register_bits); /* NULL: no such form */
Handler run_add_window, run_isspacep;
Handler run_copy_async, run_copy_commit, run_copy_wait, run_copy_wait_all; /* ops_async.c */
Handler run_load_matrix, run_store_matrix;                                 /* ops_matrix.c */
Handler *atomic_handler(const char *op, const char *type);                 /* ops_atomic.c: NULL: no such form */

#endif
