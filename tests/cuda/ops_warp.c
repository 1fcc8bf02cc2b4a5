/* What lanes tell each other: shfl, vote, match, redux, activemask. Every lane that the mask names must come. */
#include "tests/cuda/rows.h"
#include "tests/cuda/warpwise.h"

/* The mask operand is the same in all lanes; each lane that is named must be here, each that is here be named. */
static bool members_here(Warp *w, const Inst *i, int arg) {
    u32 first = (u32)__builtin_ctz(w->mask), members = REG(u32, arg)[first];
    FOR_LANES(w->mask, l) {
        if (REG(u32, arg)[l] != members)
            fault(w, i, (int)l, CUDA_ERROR_LAUNCH_FAILED, "the member mask is %08x here and %08x in lane %u",
                  REG(u32, arg)[l], members, first);
        if (!(members >> l & 1))
            fault(w, i, (int)l, CUDA_ERROR_LAUNCH_FAILED, "lane %u is not in the member mask %08x", l, members);
    }
    if (members & ~w->live) {
        u32 missing = members & ~w->live;
        fault(w, i, -1, CUDA_ERROR_LAUNCH_FAILED,
              "the member mask %08x names lanes %08x, which have ended or never were", members, missing);
    }
    return warp_gather(w, i, members);
}

/* arg: d, p or none, a, b, c, members. from: how */
void run_shfl(Warp *w, const Inst *i) {
    if (!members_here(w, i, 5)) return;
    u32 *out = REG(u32, 0), taken[LANES], valid = 0;
    const u32 *a = REG(const u32, 2), *b = REG(const u32, 3), *c = REG(const u32, 4);
    FOR_LANES(w->mask, l) {
        u32 by = b[l] & 31, segment = c[l] >> 8 & 31, last = c[l] & 31;
        u32 most = (l & segment) | (last & ~segment), least = l & segment, from = l;
        bool ok = true;
        switch (i->from) {
        case SHUFFLE_UP: from = l - by, ok = (s32)from >= (s32)most; break;
        case SHUFFLE_DOWN: from = l + by, ok = from <= most; break;
        case SHUFFLE_XOR: from = l ^ by, ok = from <= most; break;
        default: from = least | (by & ~segment), ok = from <= most; break;
        }
        if (!ok) from = l;
        if (!(w->mask >> from & 1))
            fault(w, i, (int)l, CUDA_ERROR_LAUNCH_FAILED, "reads from lane %u, which does not take part", from);
        taken[l] = a[from];
        valid |= (u32)ok << l;
    }
    FOR_LANES(w->mask, l) out[l] = taken[l];
    if (i->arg[1] != NO_ARG) *REG(u32, 1) = (*REG(u32, 1) & ~w->mask) | valid;
}

/* arg: d (a predicate, or 32 bits for ballot), a, members. from: how; flags: a is negated */
void run_vote(Warp *w, const Inst *i) {
    if (!members_here(w, i, 2)) return;
    u32 a = (*REG(u32, 1) ^ (i->flags ? ALL_LANES : 0)) & w->mask;
    if (i->from == VOTE_BALLOT) {
        FOR_LANES(w->mask, l) REG(u32, 0)[l] = a;
        return;
    }
    bool holds = i->from == VOTE_ALL ? a == w->mask : i->from == VOTE_ANY ? a != 0 : a == w->mask || !a;
    *REG(u32, 0) = (*REG(u32, 0) & ~w->mask) | (holds ? w->mask : 0);
}

/* arg: d, p or none, a, members. bytes: of a; from: any or all */
void run_match(Warp *w, const Inst *i) {
    if (!members_here(w, i, 3)) return;
    u64 value[LANES];
    u32 result[LANES], same_all = 0;
    FOR_LANES(w->mask, l) value[l] = i->bytes == 8 ? REG(u64, 2)[l] : REG(u32, 2)[l];
    FOR_LANES(w->mask, l) {
        u32 same = 0;
        for (u32 other = 0; other < LANES; other++)
            if ((w->mask >> other & 1) && value[other] == value[l]) same |= 1u << other;
        bool all = same == w->mask;
        result[l] = i->from == VOTE_ALL && !all ? 0 : same;
        same_all |= (u32)all << l;
    }
    FOR_LANES(w->mask, l) REG(u32, 0)[l] = result[l];
    if (i->arg[1] != NO_ARG) *REG(u32, 1) = (*REG(u32, 1) & ~w->mask) | same_all;
}

static u32 reduced(u32 a, u32 b, int how) {
    switch (how) {
    case REDUCE_ADD: return a + b;
    case REDUCE_MIN_U: return a < b ? a : b;
    case REDUCE_MAX_U: return a > b ? a : b;
    case REDUCE_MIN_S: return (s32)a < (s32)b ? a : b;
    case REDUCE_MAX_S: return (s32)a > (s32)b ? a : b;
    case REDUCE_AND: return a & b;
    case REDUCE_OR: return a | b;
    default: return a ^ b;
    }
}

/* arg: d, a, members */
void run_redux(Warp *w, const Inst *i) {
    if (!members_here(w, i, 2)) return;
    u32 first = (u32)__builtin_ctz(w->mask), result = REG(u32, 1)[first];
    FOR_LANES(w->mask & ~(1u << first), l) result = reduced(result, REG(u32, 1)[l], i->from);
    FOR_LANES(w->mask, l) REG(u32, 0)[l] = result;
}

void run_activemask(Warp *w, const Inst *i) { FOR_LANES(w->mask, l) REG(u32, 0)[l] = w->mask; }

/* bar.warp.sync; arg: members */
void run_warp_barrier(Warp *w, const Inst *i) { members_here(w, i, 0); }

/* Special registers; from: which, count: which axis */
void run_special(Warp *w, const Inst *i) {
    const Block *b = w->block;
    u32 *out = REG(u32, 0);
    u64 v = 0;
    switch (i->from) {
    case SPECIAL_TID: EACH_LANE(w, l, out[l] = w->tid[i->count][l]); return;
    case SPECIAL_LANEID: EACH_LANE(w, l, out[l] = (u32)l); return;
    case SPECIAL_LANES_EQ: EACH_LANE(w, l, out[l] = 1u << l); return;
    case SPECIAL_LANES_LT: EACH_LANE(w, l, out[l] = (1u << l) - 1); return;
    case SPECIAL_LANES_LE: EACH_LANE(w, l, out[l] = (2u << l) - 1); return;
    case SPECIAL_LANES_GT: EACH_LANE(w, l, out[l] = 0u - (2u << l)); return;
    case SPECIAL_LANES_GE: EACH_LANE(w, l, out[l] = 0u - (1u << l)); return;
    case SPECIAL_CTAID: v = b->id[i->count]; break;
    case SPECIAL_NTID: v = b->launch->block[i->count]; break;
    case SPECIAL_NCTAID: v = b->launch->grid[i->count]; break;
    case SPECIAL_WARPID: v = w->index; break;
    case SPECIAL_NWARPID: v = b->n_warps; break;
    case SPECIAL_DYNAMIC_SMEM: v = b->launch->dynamic_bytes; break;
    case SPECIAL_TOTAL_SMEM: v = b->launch->f->shared_bytes + b->launch->dynamic_bytes; break;
    case SPECIAL_CLOCK: v = b->steps; break;
    default: break; /* %smid, %gridid …: 0 */
    }
    if (i->bytes == 8) EACH_LANE(w, l, REG(u64, 0)[l] = v);
    else EACH_LANE(w, l, out[l] = (u32)v);
}
