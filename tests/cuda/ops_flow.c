/* Branches, calls, ends and barriers of a block. */
#include "tests/cuda/emulator.h"
#include "tests/cuda/warpwise.h"

void run_bra(Warp *w, const Inst *i) { warp_branch(w, w->mask, i->target); }

/* arg: the index. The places stand behind this instruction, one `bra` each; count of them in offset. */
void run_brx(Warp *w, const Inst *i) {
    u32 table = i->target, left = w->mask;
    while (left) {
        u32 first = (u32)__builtin_ctz(left), index = REG(u32, 0)[first], same = 0;
        if (index >= (u64)i->offset)
            fault(w, i, (int)first, CUDA_ERROR_ILLEGAL_INSTRUCTION, "entry %u of %lld branch targets", index,
                  (long long)i->offset);
        FOR_LANES(left, l) same |= (u32)(REG(u32, 0)[l] == index) << l;
        left &= ~same;
        warp_branch(w, same, w->frame->f->code[table + index].target);
    }
}

void run_ret(Warp *w, const Inst *i) {
    (void)i;
    warp_leave(w, w->mask);
}

/* exit: also from inside a function */
void run_exit(Warp *w, const Inst *i) {
    (void)i;
    u32 lanes = w->mask;
    for (Frame *f = w->frame->caller; f; f = f->caller) {
        f->active &= ~lanes;
        if (!f->caller) w->live &= ~lanes;
    }
    warp_leave(w, lanes);
}

void run_call(Warp *w, const Inst *i) { warp_call(w, i); }

void run_trap(Warp *w, const Inst *i) {
    fault(w, i, __builtin_ctz(w->mask), CUDA_ERROR_ILLEGAL_INSTRUCTION,
          i->flags ? "the end of the function has no ret" : "trap");
}

static u32 uniform(Warp *w, const Inst *i, int n, u32 otherwise) {
    if (i->arg[n] == NO_ARG) return otherwise;
    u32 first = (u32)__builtin_ctz(w->mask), v = REG(u32, n)[first];
    FOR_LANES(w->mask, l) {
        if (REG(u32, n)[l] != v)
            fault(w, i, (int)l, CUDA_ERROR_LAUNCH_FAILED, "barrier operand %d differs in one warp", n);
    }
    return v;
}

/* arg: d or none (32 bits, or a predicate), the barrier's number, how many threads or none, a predicate or none.
 * from: how; flags: the predicate is negated */
void run_barrier(Warp *w, const Inst *i) {
    if (!warp_gather(w, i, w->live)) return;
    Block *b = w->block;
    u32 number = uniform(w, i, 1, 0), expected = uniform(w, i, 2, 0);
    if (number >= MAX_BARRIERS)
        fault(w, i, -1, CUDA_ERROR_ILLEGAL_INSTRUCTION, "barrier %u of %d", number, MAX_BARRIERS);
    if (expected % LANES)
        fault(w, i, -1, CUDA_ERROR_ILLEGAL_INSTRUCTION, "a barrier for %u threads, not a multiple of 32", expected);
    Barrier *bar = &b->barriers[number];
    if (bar->arrived && bar->expected != expected)
        fault(w, i, -1, CUDA_ERROR_LAUNCH_FAILED, "barrier %u is for %u threads here and for %u elsewhere", number,
              expected, bar->expected);
    bar->expected = expected;
    if (i->arg[3] != NO_ARG) {
        u32 p = (*REG(u32, 3) ^ (i->flags ? ALL_LANES : 0)) & w->mask;
        u32 part = i->from == BARRIER_POPC  ? (u32)__builtin_popcount(p)
                   : i->from == BARRIER_AND ? p == w->mask
                                            : p != 0;
        bar->result = !bar->arrived             ? part
                      : i->from == BARRIER_POPC ? bar->result + part
                      : i->from == BARRIER_AND  ? bar->result & part
                                                : bar->result | part;
    }
    bar->arrived++; /* warps */
    if (i->from == BARRIER_ARRIVE) return;
    w->state = WARP_WAITS;
    w->barrier = number;
    w->waits_at = i;
    w->stop = true;
}

/* When all have come: the result of a reduction goes to each warp. */
void barrier_result(Warp *w, const Inst *i, u32 result) {
    if (i->arg[0] == NO_ARG) return;
    if (i->from == BARRIER_POPC) {
        FOR_LANES(w->live, l) REG(u32, 0)[l] = result;
    } else *REG(u32, 0) = (*REG(u32, 0) & ~w->live) | (result ? w->live : 0);
}
