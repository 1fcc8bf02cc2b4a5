/* What decoders choose for instructions between the lanes of a warp. */
#ifndef MCC_TESTS_CUDA_WARPWISE_H
#define MCC_TESTS_CUDA_WARPWISE_H

#include "tests/cuda/emulator.h"

enum { SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_XOR, SHUFFLE_INDEX };
enum { VOTE_ALL, VOTE_ANY, VOTE_UNIFORM, VOTE_BALLOT };
enum { REDUCE_ADD, REDUCE_MIN_U, REDUCE_MAX_U, REDUCE_MIN_S, REDUCE_MAX_S, REDUCE_AND, REDUCE_OR, REDUCE_XOR };
enum {
    SPECIAL_ZERO,
    SPECIAL_TID,
    SPECIAL_NTID,
    SPECIAL_CTAID,
    SPECIAL_NCTAID,
    SPECIAL_LANEID,
    SPECIAL_WARPID,
    SPECIAL_NWARPID,
    SPECIAL_LANES_EQ,
    SPECIAL_LANES_LT,
    SPECIAL_LANES_LE,
    SPECIAL_LANES_GT,
    SPECIAL_LANES_GE,
    SPECIAL_DYNAMIC_SMEM,
    SPECIAL_TOTAL_SMEM,
    SPECIAL_CLOCK
};
enum { BARRIER_SYNC, BARRIER_ARRIVE, BARRIER_POPC, BARRIER_AND, BARRIER_OR };

Handler run_shfl, run_vote, run_match, run_redux, run_activemask, run_warp_barrier, run_special;

#endif
