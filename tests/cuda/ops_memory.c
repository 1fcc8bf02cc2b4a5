/* ld and st in every space, one value or a vector of them, and the addresses behind all that touches memory. */
#include <string.h>

#include "tests/cuda/memory.h"

static _Noreturn void outside(Warp *w, const Inst *i, int lane, u64 address, u32 bytes, bool write) {
    Extent e;
    const char *verb = write ? "writes" : "reads";
    for (u64 back = 0; back <= 4096; back += 256)
        if (heap_find(address - back, &e))
            fault(w, i, lane, CUDA_ERROR_ILLEGAL_ADDRESS,
                  "%s %u bytes at 0x%llx, %lld from the start of an allocation of %llu bytes", verb, bytes,
                  (unsigned long long)address, (long long)(address - e.base), (unsigned long long)e.bytes);
    fault(w, i, lane, CUDA_ERROR_ILLEGAL_ADDRESS, "%s %u bytes at 0x%llx, where nothing is allocated", verb, bytes,
          (unsigned long long)address);
}

static u8 *global_at(Warp *w, const Inst *i, int lane, u64 address, u32 bytes, bool write) {
    u64 offset = address - w->near.base;
    if (offset >= w->near.bytes || bytes > w->near.bytes - offset) {
        Extent e;
        if (!heap_find(address, &e) || address - e.base >= e.bytes || bytes > e.bytes - (address - e.base))
            outside(w, i, lane, address, bytes, write);
        w->near = e;
        offset = address - e.base;
    }
    if (address % bytes)
        fault(w, i, lane, CUDA_ERROR_MISALIGNED_ADDRESS, "address 0x%llx is not a multiple of %u",
              (unsigned long long)address, bytes);
    return w->near.host + offset;
}

static u8 *local_at(Warp *w, const Inst *i, int lane, u64 offset, u32 bytes) {
    if (offset > w->local_stride || bytes > w->local_stride - offset)
        fault(w, i, lane, CUDA_ERROR_ILLEGAL_ADDRESS, "%u bytes at %lld are outside the %u bytes of local memory",
              bytes, (long long)offset, w->local_stride);
    if (offset % bytes)
        fault(w, i, lane, CUDA_ERROR_MISALIGNED_ADDRESS, "local address %llu is not a multiple of %u",
              (unsigned long long)offset, bytes);
    return w->local + (size_t)lane * w->local_stride + offset;
}

static u8 *param_at(Warp *w, const Inst *i, int lane, u64 offset, u32 bytes, bool write) {
    u32 size = w->block->launch->f->param_bytes;
    if (write || offset > size || bytes > size - offset)
        fault(w, i, lane, CUDA_ERROR_ILLEGAL_ADDRESS, "%s %u bytes at %lld of the %u bytes of parameters",
              write ? "writes" : "reads", bytes, (long long)offset, size);
    return w->block->launch->params + offset;
}

u8 *lane_address(Warp *w, const Inst *i, int lane, Space space, u64 address, u32 bytes, bool write) {
    if (space == IN_GENERIC) {
        if (address - SHARED_WINDOW < WINDOW_BYTES) space = IN_SHARED, address -= SHARED_WINDOW;
        else if (address - LOCAL_WINDOW < WINDOW_BYTES) space = IN_LOCAL, address -= LOCAL_WINDOW;
        else if (address - PARAM_WINDOW < WINDOW_BYTES) space = IN_PARAM, address -= PARAM_WINDOW;
    }
    switch (space) {
    case IN_SHARED: return shared_at(w, i, lane, address, bytes, write);
    case IN_LOCAL: return local_at(w, i, lane, address, bytes);
    case IN_PARAM: return param_at(w, i, lane, address, bytes, write);
    default: return global_at(w, i, lane, address, bytes, write);
    }
}

void lane_addresses(const Warp *w, const Inst *i, int n, u64 *out) {
    u64 offset = (u64)i->offset;
    if (i->arg[n] == NO_ARG) {
        if (i->flags & IN_FRAME) offset += w->frame->local;
        for (int l = 0; l < LANES; l++) out[l] = offset;
    } else if (i->flags & SHORT_ADDRESS) {
        const u32 *a = REG(const u32, n);
        for (int l = 0; l < LANES; l++) out[l] = (u32)(a[l] + offset);
    } else {
        const u64 *a = REG(const u64, n);
        for (int l = 0; l < LANES; l++) out[l] = a[l] + offset;
    }
}

/* Where all lanes' addresses lie in one allocation and are aligned, as they mostly are: what to add to an address to
 * have the host's; or 0. */
static u64 common_shift(Warp *w, const Inst *i, const u64 *at, u32 bytes) {
    if (i->space > IN_GLOBAL) return 0;
    u64 low = ~0ull, high = 0, bits = 0;
    if (w->mask == ALL_LANES) {
        for (int l = 0; l < LANES; l++) {
            low = at[l] < low ? at[l] : low;
            high = at[l] > high ? at[l] : high;
            bits |= at[l];
        }
    } else {
        FOR_LANES(w->mask, l) {
            low = at[l] < low ? at[l] : low;
            high = at[l] > high ? at[l] : high;
            bits |= at[l];
        }
    }
    if (low - w->near.base >= w->near.bytes && !heap_find(low, &w->near)) return 0;
    u64 offset = high - w->near.base;
    if (bits & (bytes - 1) || offset >= w->near.bytes || w->near.bytes - offset < bytes || low < w->near.base) return 0;
    return (u64)(uintptr_t)w->near.host - w->near.base;
}

/* Each lane's address on the host. */
static void host_addresses(Warp *w, const Inst *i, u32 bytes, bool write, u8 **out) {
    u64 at[LANES];
    lane_addresses(w, i, i->count, at);
    u64 shift = common_shift(w, i, at, bytes);
    if (shift) {
        for (int l = 0; l < LANES; l++) out[l] = (u8 *)(uintptr_t)(at[l] + shift);
        return;
    }
    FOR_LANES(w->mask, l) out[l] = lane_address(w, i, (int)l, (Space)i->space, at[l], bytes, write);
}

/* arg: the registers, then the address. count: how many registers; M in memory, R in registers */
#define LOAD(fn, M, R)                                                                                                 \
    static void run_load_##fn(Warp *w, const Inst *i) {                                                                \
        u8 *at[LANES];                                                                                                 \
        host_addresses(w, i, (u32)sizeof(M) * i->count, false, at);                                                    \
        for (u32 n = 0; n < i->count; n++) {                                                                           \
            if (i->arg[n] == NO_ARG) continue;                                                                         \
            R *out = REG(R, n);                                                                                        \
            EACH_LANE(w, l, out[l] = (R)((const M *)(const void *)at[l])[n]);                                          \
        }                                                                                                              \
    }
#define STORE(fn, M, R)                                                                                                \
    static void run_store_##fn(Warp *w, const Inst *i) {                                                               \
        u8 *at[LANES];                                                                                                 \
        host_addresses(w, i, (u32)sizeof(M) * i->count, true, at);                                                     \
        for (u32 n = 0; n < i->count; n++) {                                                                           \
            const R *in = REG(const R, n);                                                                             \
            FOR_LANES(w->mask, l)((M *)(void *)at[l])[n] = (M)in[l];                                                   \
        }                                                                                                              \
    }
#define BOTH(bits)                                                                                                     \
    LOAD(u##bits##_u16, u##bits, u16)                                                                                  \
    LOAD(u##bits##_u32, u##bits, u32)                                                                                  \
    LOAD(u##bits##_u64, u##bits, u64)                                                                                  \
    LOAD(s##bits##_u16, s##bits, u16) LOAD(s##bits##_u32, s##bits, u32) LOAD(s##bits##_u64, s##bits, u64)              \
        STORE(u##bits##_u16, u##bits, u16) STORE(u##bits##_u32, u##bits, u32) STORE(u##bits##_u64, u##bits, u64)
BOTH(8)
BOTH(16)
BOTH(32)
BOTH(64)

#define PICK(kind, type, bits)                                                                                         \
    {run_##kind##_##type##8_u##bits, run_##kind##_##type##16_u##bits, run_##kind##_##type##32_u##bits,                 \
     run_##kind##_##type##64_u##bits}

static int log_of(int bits) { return bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3; }

Handler *memory_handler(bool store, bool is_signed, int memory_bits, int register_bits) {
    static Handler *const stores[3][4] = {PICK(store, u, 16), PICK(store, u, 32), PICK(store, u, 64)};
    static Handler *const loads[2][3][4] = {{PICK(load, u, 16), PICK(load, u, 32), PICK(load, u, 64)},
                                            {PICK(load, s, 16), PICK(load, s, 32), PICK(load, s, 64)}};
    if (register_bits < memory_bits || register_bits < 16) return NULL;
    int r = log_of(register_bits) - 1, m = log_of(memory_bits);
    return store ? stores[r][m] : loads[is_signed][r][m];
}

void run_local_address(Warp *w, const Inst *i) {
    u64 at = (u64)i->offset + w->frame->local;
    if (i->bytes == 4) EACH_LANE(w, l, REG(u32, 0)[l] = (u32)at);
    else EACH_LANE(w, l, REG(u64, 0)[l] = at);
}

/* cvta: a window's start is added, or taken away */
void run_add_window(Warp *w, const Inst *i) {
    u64 *out = REG(u64, 0);
    const u64 *a = REG(const u64, 1);
    EACH_LANE(w, l, out[l] = a[l] + (u64)i->offset);
}

void run_isspacep(Warp *w, const Inst *i) {
    const u64 *a = REG(const u64, 1);
    u32 *out = REG(u32, 0), result = 0;
    FOR_LANES(w->mask, l) {
        bool shared = a[l] - SHARED_WINDOW < WINDOW_BYTES, local = a[l] - LOCAL_WINDOW < WINDOW_BYTES;
        bool param = a[l] - PARAM_WINDOW < WINDOW_BYTES;
        bool is = i->space == IN_SHARED  ? shared
                  : i->space == IN_LOCAL ? local
                  : i->space == IN_PARAM ? param
                                         : !shared && !local && !param;
        result |= (u32)is << l;
    }
    *out = (*out & ~w->mask) | result;
}
