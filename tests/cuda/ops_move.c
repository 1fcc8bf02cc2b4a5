/* mov between a register and its parts. */
#include "tests/cuda/moves.h"

#define PARTS(fn, P, W, n_parts)                                                                                       \
    static void pack_##fn(Warp *w, const Inst *i) {                                                                    \
        W *out = REG(W, n_parts), made[LANES] = {0};                                                                   \
        for (int n = 0; n < n_parts; n++) {                                                                            \
            const P *part = REG(const P, n);                                                                           \
            for (int l = 0; l < LANES; l++) made[l] = (W)(made[l] | (W)part[l] << n * (int)sizeof(P) * 8);             \
        }                                                                                                              \
        EACH_LANE(w, l, out[l] = made[l]);                                                                             \
    }                                                                                                                  \
    static void unpack_##fn(Warp *w, const Inst *i) {                                                                  \
        W whole[LANES];                                                                                                \
        for (int l = 0; l < LANES; l++) whole[l] = REG(const W, n_parts)[l];                                           \
        for (int n = 0; n < n_parts; n++) {                                                                            \
            if (i->arg[n] == NO_ARG) continue;                                                                         \
            P *part = REG(P, n);                                                                                       \
            EACH_LANE(w, l, part[l] = (P)(whole[l] >> n * (int)sizeof(P) * 8));                                        \
        }                                                                                                              \
    }
PARTS(16_32, u16, u32, 2)
PARTS(32_64, u32, u64, 2)
PARTS(16_64, u16, u64, 4)

void run_pack(Warp *w, const Inst *i) {
    if (i->count == 4) pack_16_64(w, i);
    else if (i->bytes == 2) pack_16_32(w, i);
    else pack_32_64(w, i);
}

void run_unpack(Warp *w, const Inst *i) {
    if (i->count == 4) unpack_16_64(w, i);
    else if (i->bytes == 2) unpack_16_32(w, i);
    else unpack_32_64(w, i);
}
