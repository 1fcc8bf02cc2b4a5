/* A warp: groups of lanes, each at its own place in the program. The group at the least place runs until it meets or
 * passes the next one; that brings lanes together again where LLVM lays blocks out in the order of control flow. An
 * instruction that needs certain lanes parks its group until they are there. A call runs to its end for the lanes that
 * made it, in a frame of its own. */
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/emulator.h"

static void wait_at(Frame *f, u32 pc, u32 mask) {
    u32 n = 0;
    while (n < f->n_waiting && f->waiting[n].pc < pc) n++;
    if (n < f->n_waiting && f->waiting[n].pc == pc) {
        f->waiting[n].mask |= mask;
    } else {
        memmove(&f->waiting[n + 1], &f->waiting[n], (f->n_waiting - n) * sizeof *f->waiting);
        f->waiting[n] = (Group){pc, mask};
        f->n_waiting++;
    }
    f->stop = f->waiting[0].pc;
}

/* No group is running or can run: those that were parked look again, as lanes have ended since; or none ever will. */
static void unpark(Warp *w) {
    Frame *f = w->frame;
    if (f->retried == w->live) {
        const Group *g = &f->parked[0];
        const Inst *i = &f->f->code[g->pc];
        u32 others = w->live & ~g->mask, line = f->n_parked > 1 ? f->f->code[f->parked[1].pc].line
                                                : f->caller     ? f->call->line
                                                                : i->line;
        fault(w, i, __builtin_ctz(g->mask), CUDA_ERROR_LAUNCH_FAILED,
              "divergence: lanes %08x are here, lanes %08x are at line %u", g->mask, others, line);
    }
    f->retried = w->live;
    for (u32 n = 0; n < f->n_parked; n++) wait_at(f, f->parked[n].pc, f->parked[n].mask);
    f->n_parked = 0;
}

static void leave_frame(Warp *w);

/* The group that runs has met another, or is gone: the one at the least place is next. */
static void switch_group(Warp *w) {
    Frame *f = w->frame;
    if (f->active) wait_at(f, f->pc, f->active);
    if (!f->n_waiting && f->n_parked) unpark(w);
    if (!f->n_waiting) {
        leave_frame(w);
        return;
    }
    f->pc = f->waiting[0].pc;
    f->active = f->waiting[0].mask;
    f->n_waiting--;
    memmove(&f->waiting[0], &f->waiting[1], f->n_waiting * sizeof *f->waiting);
    f->stop = f->n_waiting ? f->waiting[0].pc : UINT32_MAX;
}

static void enter(Warp *w, Frame *f, u32 lanes) {
    f->pc = 0;
    f->active = f->entered = lanes;
    f->stop = UINT32_MAX;
    f->n_waiting = f->n_parked = 0;
    f->retried = 0;
    w->frame = f;
    w->regs = f->regs;
}

Frame *frame_new(const Function *f) {
    Frame *frame = calloc(1, sizeof *frame);
    if (!frame) abort();
    frame->f = f;
    frame->regs = aligned_alloc(64, f->reg_bytes ? f->reg_bytes : 64);
    if (!frame->regs) abort();
    memset(frame->regs, 0xff, f->reg_bytes);
    for (u32 n = 0; n < f->n_constants; n++) {
        const Constant *c = &f->constants[n];
        if (c->bytes == 0) *(u32 *)(void *)(frame->regs + c->reg) = c->value ? ALL_LANES : 0;
        for (u32 l = 0; c->bytes && l < LANES; l++) memcpy(frame->regs + c->reg + l * c->bytes, &c->value, c->bytes);
    }
    return frame;
}

void frame_drop(Frame *f) {
    free(f->regs);
    free(f);
}

void warp_start(Warp *w) {
    while (w->frame->caller) { /* of a block that failed */
        Frame *f = w->frame;
        w->frame = f->caller;
        frame_drop(f);
    }
    w->live = w->born;
    w->state = w->born ? WARP_RUNS : WARP_DONE;
    w->carry = w->n_copies = 0;
    memset(w->copy_group, 0, sizeof w->copy_group);
    enter(w, w->frame, w->born);
}

static void copy_values(Warp *w, u32 lanes, u32 to, u32 from, u32 bytes) {
    FOR_LANES(lanes, l) {
        u8 *local = w->local + (size_t)l * w->local_stride;
        memcpy(local + to, local + from, bytes);
    }
}

/* offset: unused. arg: the results' places, then the arguments'; count: of results. */
void warp_call(Warp *w, const Inst *i) {
    const Function *callee = i->callee;
    Frame *caller = w->frame, *f = frame_new(callee);
    f->caller = caller;
    f->call = i;
    f->local = caller->local + (caller->f->local_bytes + 15) / 16 * 16;
    enter(w, f, w->mask);
    if (f->local + callee->local_bytes > w->local_stride)
        fault(w, i, -1, CUDA_ERROR_LAUNCH_FAILED, "calls are nested too deeply: %u bytes of local memory",
              w->local_stride);
    for (u32 n = 0; n < callee->n_params; n++)
        copy_values(w, f->entered, f->local + callee->params[n].offset, caller->local + (u32)i->arg[i->count + n],
                    callee->params[n].bytes);
}

static void leave_frame(Warp *w) {
    Frame *f = w->frame, *caller = f->caller;
    if (!caller) {
        w->state = WARP_DONE;
        w->stop = true;
        return;
    }
    for (u32 n = 0; n < f->f->n_results; n++)
        copy_values(w, f->entered & w->live, caller->local + (u32)f->call->arg[n], f->local + f->f->results[n].offset,
                    f->f->results[n].bytes);
    w->frame = caller;
    w->regs = caller->regs;
    frame_drop(f);
    if (!caller->active) switch_group(w);
}

void warp_branch(Warp *w, u32 taken, u32 target) {
    Frame *f = w->frame;
    if (taken == f->active) {
        f->pc = target;
        return;
    }
    f->active &= ~taken;
    wait_at(f, target, taken);
}

void warp_leave(Warp *w, u32 lanes) {
    Frame *f = w->frame;
    f->active &= ~lanes;
    if (!f->caller) w->live &= ~lanes;
    if (!f->active) switch_group(w);
}

bool warp_gather(Warp *w, const Inst *i, u32 lanes) {
    Frame *f = w->frame;
    if ((w->mask & lanes) == lanes) return true;
    u32 pc = (u32)(i - f->f->code), here = w->mask;
    for (u32 n = 0; n < f->n_parked; n++) {
        Group *g = &f->parked[n];
        if (g->pc != pc) continue;
        g->mask |= here;
        if ((g->mask & lanes) == lanes) { /* now all are here */
            w->mask = g->mask;
            f->active |= g->mask;
            *g = f->parked[--f->n_parked];
            return true;
        }
        f->active &= ~here;
        if (!f->active) switch_group(w);
        return false;
    }
    f->parked[f->n_parked++] = (Group){pc, here};
    f->active &= ~here;
    if (!f->active) switch_group(w);
    return false;
}

void warp_run(Warp *w, u64 steps) {
    u64 lanes = 0, left = steps;
    w->stop = false;
    for (; !w->stop && left; left--) {
        Frame *f = w->frame;
        if (f->pc >= f->stop) {
            switch_group(w);
            f = w->frame;
        }
        const Inst *i = &f->f->code[f->pc++];
        u32 mask = f->active;
        if (i->guard != NO_ARG) mask &= *(const u32 *)reg_at(w, i->guard) ^ i->guard_flip;
        if (!mask) continue;
        w->mask = mask;
        lanes += (u64)__builtin_popcount(mask);
        i->run(w, i);
    }
    w->block->steps += steps - left;
    w->block->lanes += lanes;
}
