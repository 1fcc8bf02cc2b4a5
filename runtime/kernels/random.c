/* mcc.Random: numbers from [0, 1), each from the seed, the turn of the loops around it and its place alone: the finalizer
 * of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014) of a counter. The same call
 * gives the same numbers, in any order. */
#include "runtime/kernels/real.h"

static inline uint64_t mixed(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int ref_Random(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *y = output(a, at, 0);
    const uint64_t golden = 0x9e3779b97f4a7c15u, turn = (uint64_t)((const int64_t *)a[0].data)[0];
    const uint64_t key = mixed((uint64_t)((const attrs_Random *)at)->seed + golden) ^ mixed(turn * golden);
    const idx n = elements(y);
    if (y->dtype == MCC_F64) {
        for (idx i = 0; i < n; i++)
            ((double *)y->data)[i] = mcc_i64_to_f64((int64_t)(mixed(key + golden * ((uint64_t)i + 1)) >> 11)) * 0x1p-53;
        return MCC_OK;
    }
    for (idx i = 0; i < n; i++)
        ((float *)y->data)[i] = (float)(int32_t)(mixed(key + golden * ((uint64_t)i + 1)) >> 40) * 0x1p-24f;
    return MCC_OK;
}
