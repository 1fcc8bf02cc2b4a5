/* The emulated GPU, inside: a PTX module in decoded form, and warps that run it. Registers of a warp stand lane beside
 * lane (32 values of the register's width; a predicate is one word, a bit a lane), so that an instruction is a loop
 * over 32 neighbours. Immediates are registers that are filled once. An instruction runs under warp->mask, the
 * lanes of the group at this place in the program whose guard holds. */
#ifndef MCC_TESTS_CUDA_EMULATOR_H
#define MCC_TESTS_CUDA_EMULATOR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/cuda/driver_api.h"

typedef uint8_t u8;
typedef int8_t s8;
typedef uint16_t u16;
typedef int16_t s16;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;
typedef int64_t s64;
typedef float f32;
typedef double f64;

enum {
    LANES = 32,
    MAX_ARGS = 20,
    MAX_THREADS = 1024,
    MAX_WARPS = MAX_THREADS / LANES,
    MAX_BARRIERS = 16,
    SHARED_GAP = 64,        /* between variables in shared memory: what runs over one is seen */
    MAX_PARAM_BYTES = 4096, /* of a kernel */
    NO_ARG = -1
};
#define ALL_LANES 0xffffffffu

/* Windows of the generic address space. The heap's own addresses are chosen at run time, above these. */
#define SHARED_WINDOW 0x100000000000ull
#define LOCAL_WINDOW 0x200000000000ull
#define PARAM_WINDOW 0x300000000000ull
#define WINDOW_BYTES 0x100000000ull
/* Within the shared window: where the dynamic part begins, of which a module knows the place only at its end. */
#define DYNAMIC_SHARED 0x4000000u

typedef enum Space { IN_GENERIC, IN_GLOBAL, IN_SHARED, IN_LOCAL, IN_PARAM, IN_REGISTERS } Space;

typedef struct Function Function;
typedef struct Inst Inst;
typedef struct Launch Launch;
typedef struct Block Block;
typedef struct Warp Warp;

typedef void Handler(Warp *w, const Inst *i);
typedef u32 Comparison(const void *a, const void *b, u32 mask); /* the lanes for which it holds */

enum { FLUSH = 1, SATURATE = 2, RELU = 4 };               /* Inst.modifiers */
enum { TO_NEAREST, TO_ZERO, TO_MINUS, TO_PLUS, TO_AWAY }; /* Inst.rounding; TO_AWAY: ties away from zero */

struct Inst {
    Handler *run;
    union { /* what the handler itself runs */
        Handler *core;
        Comparison *compare;
        Function *callee;
        void *any;
    };
    s64 offset;        /* of an address; or another constant of the handler */
    s32 arg[MAX_ARGS]; /* byte offsets into the frame's registers: destinations, then sources */
    s32 guard;         /* a predicate, or NO_ARG */
    u32 guard_flip;    /* all ones where the guard is negated */
    u32 line;
    u32 target; /* of a branch */
    u8 space, bytes, count, modifiers, rounding, type, from, flags;
};

/* A shared variable, and where the module puts it: a kernel uses some of them. */
typedef struct SharedVar {
    u32 offset, bytes;
    bool dynamic; /* extern: begins behind all others, as long as the launch says */
} SharedVar;

typedef struct Constant {
    s32 reg;
    u8 bytes;
    u64 value;
} Constant;
typedef struct Parameter {
    u32 offset, bytes;
} Parameter;

struct Function {
    struct Module *module;
    const char *name;
    bool entry, has_body;
    Inst *code;
    u32 n_code, cap_code;
    u32 reg_bytes;   /* of a frame's registers, a multiple of 64 */
    u32 local_bytes; /* a lane's: its .local and .param variables */
    Constant *constants;
    u32 n_constants, cap_constants;
    Parameter *params; /* a kernel's in its launch's buffer, a function's in its frame's local memory */
    u32 n_params, param_bytes;
    Parameter *results;
    u32 n_results;
    u32 max_threads;  /* .maxntid, .reqntid; 0: as many as the device has */
    u32 *uses_shared; /* numbers of the module's shared variables, its callees' included */
    u32 n_shared, cap_shared;
    Function **calls;
    u32 n_calls, cap_calls;
    u32 shared_bytes;  /* of those, without gaps */
    u32 local_stride;  /* a lane's local memory, with that of callees */
    s64 dynamic_limit; /* cuFuncSetAttribute's */
};

typedef struct GlobalVar {
    const char *name;
    u64 address, bytes;
} GlobalVar;

typedef struct Module {
    const char *text;
    u32 sm, version; /* of the text: sm_80 → 80, .version 8.5 → 85 */
    Function **functions;
    u32 n_functions, cap_functions;
    GlobalVar *globals;
    u32 n_globals, cap_globals;
    SharedVar *shared;
    u32 n_shared, cap_shared;
    u32 shared_end; /* static shared memory of all its kernels, with gaps */
    struct Arena *arena;
    struct Module *next;
} Module;

/* ---- arena.c: memory that is freed with its module ---- */
typedef struct Arena Arena;
Arena *arena_new(void);
void *arena_take(Arena *a, size_t bytes); /* zeroed, aligned to 16 */
void arena_drop(Arena *a);
/* Room for one more element of `size` bytes behind the n that are there. */
void *arena_grow(Arena *a, void *items, u32 n, u32 *cap, size_t size);

/* ---- parse.c: the text of a module; NULL, and a message in `log`, where there is something wrong with it ---- */
Module *module_parse(const char *text, u32 device_sm, char *log, size_t log_bytes);
void module_drop(Module *m);

/* ---- heap.c: the device's memory. Its addresses are not the host's ---- */
bool heap_init(u64 bytes);
u64 heap_take(u64 bytes);    /* 0: no room */
bool heap_give(u64 address); /* false: not the start of an allocation */
u64 heap_live(void);         /* bytes */
u64 heap_size(void);
typedef struct Extent {
    u64 base, bytes;
    u8 *host;
} Extent;
bool heap_find(u64 address, Extent *out); /* the live allocation around an address */
/* The host's view of a range, or NULL where it is not in one allocation. */
void *heap_view(u64 address, u64 bytes);

/* ---- launch.c: a kernel over its grid ---- */
struct Launch {
    const Function *f;
    u32 grid[3], block[3];
    u32 dynamic_bytes, shared_bytes; /* shared: with the dynamic part, which begins at module->shared_end */
    _Alignas(16) u8 params[MAX_PARAM_BYTES];
    u64 step_limit; /* warp instructions */
    bool races;     /* look for races on shared memory */
    CUresult result;
    char message[512];
};
void launch_run(Launch *l);

/* A step is one warp instruction; lanes count those under the mask too. */
typedef struct Counters {
    u64 steps, lanes;
} Counters;
extern Counters launch_counters;

/* ---- warp.c ---- */
typedef struct Group {
    u32 pc, mask;
} Group;

typedef struct Frame {
    const Function *f;
    u8 *regs;
    u32 pc, active; /* the group that runs */
    u32 stop;       /* the least pc of the groups that wait */
    u32 local;      /* where its local variables begin in a lane's local memory */
    u32 n_waiting, n_parked;
    Group waiting[LANES]; /* by rising pc */
    Group parked[LANES];  /* at an instruction that needs lanes which are not there yet */
    u32 entered;          /* lanes that the call was made with */
    u32 retried;          /* the lanes that were alive when parked groups last looked again */
    const Inst *call;     /* in the caller */
    struct Frame *caller;
} Frame;

typedef struct CopyLater {
    u32 shared, bytes, valid;
    u64 from;
    u32 lane, group;
} CopyLater;

typedef enum WarpState { WARP_RUNS, WARP_WAITS, WARP_DONE } WarpState;

struct Warp {
    u32 mask; /* of the present instruction */
    u8 *regs; /* of the present frame */
    Frame *frame;
    Block *block;
    u32 index;
    u32 live; /* lanes with a thread that has not ended */
    u32 born; /* lanes with a thread */
    u32 carry;
    WarpState state;
    u32 barrier; /* where it waits */
    const Inst *waits_at;
    bool stop;   /* leave the loop: at a barrier, or done */
    Extent near; /* the allocation that was last used */
    u8 *local;   /* local_stride bytes a lane */
    u32 local_stride;
    u32 tid[3][LANES];
    CopyLater *copies; /* cp.async that are not waited for yet, in order */
    u32 n_copies, cap_copies;
    u32 copy_group[LANES]; /* the number of the group that a lane fills */
};

typedef struct Barrier {
    u32 arrived, expected;
    u32 result;
    bool counted;
} Barrier;

struct Block {
    Launch *launch;
    u32 id[3];
    u32 n_threads, n_warps;
    u8 *shared, *shadow; /* shadow: what is known of each byte, see shared.c */
    u32 *writers;        /* where races are looked for: who wrote and read a byte since the last barrier */
    Warp *warps;
    Barrier barriers[MAX_BARRIERS];
    u64 steps, lanes;
    jmp_buf failed;
    u32 epoch; /* barriers that all threads passed */
};

Frame *frame_new(const Function *f); /* its registers undefined (all ones), its constants set */
void frame_drop(Frame *f);
void warp_start(Warp *w);
void warp_run(Warp *w, u64 steps);
void warp_branch(Warp *w, u32 taken, u32 target); /* of the group that runs, lanes `taken` go to target */
void warp_leave(Warp *w, u32 lanes);              /* lanes of the group that runs end here, or return */
/* Have all of `lanes` come to this instruction? If not, this group waits, and the instruction runs again later. */
bool warp_gather(Warp *w, const Inst *i, u32 lanes);
void warp_call(Warp *w, const Inst *i);
void barrier_result(Warp *w, const Inst *i, u32 result); /* ops_flow.c */

/* ---- fault.c: ends the launch with a message. lane: -1 where no single one is to blame ---- */
_Noreturn void fault(Warp *w, const Inst *i, int lane, CUresult code, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* ---- shared.c ---- */
void shared_reset(Block *b);
u8 *shared_at(Warp *w, const Inst *i, int lane, u64 offset, u32 bytes, bool write);
void shared_undefine(Warp *w, const Inst *i, int lane, u64 offset, u32 bytes); /* to be written later */
void shared_barrier(Block *b);

/* ---- ops_memory.c: the host's address of what a lane reads or writes, or a fault ---- */
u8 *lane_address(Warp *w, const Inst *i, int lane, Space space, u64 address, u32 bytes, bool write);

/* ---- decode.c ---- */
/* A row of the table of instructions: names, one or more with a space between; what each operand is:
 * p predicate, h w d registers of 16, 32, 64 bits, the destination first. */
typedef struct Row {
    const char *names, *args;
    Handler *run;
} Row;
typedef struct CompareRow {
    const char *names;
    Comparison *compare;
} CompareRow;
extern const Row integer_rows[], float_rows[], half_rows[];
extern const CompareRow compare_rows[];

/* ---- handlers that decoders choose ---- */
Handler run_rounded;                      /* ops_float.c: `core` under i->rounding */
Handler run_setp, run_setp_pair, run_set; /* ops_compare.c; Inst.type says how the third predicate joins */
enum { JOIN_NONE, JOIN_AND, JOIN_OR, JOIN_XOR };
Handler run_bra, run_brx, run_ret, run_exit, run_call, run_trap, run_barrier; /* ops_flow.c */
Handler run_local_address;

/* ---- lanes ---- */
static inline void *reg_at(const Warp *w, s32 offset) { return w->regs + offset; }
#define REG(T, n) ((T *)reg_at(w, i->arg[n]))
#define FOR_LANES(mask, l)                                                                                             \
    for (u32 rest_ = (mask), l = 0; rest_ && (l = (u32)__builtin_ctz(rest_), true); rest_ &= rest_ - 1)
/* The statement for each lane of the mask: at once where that is all of them. */
#define EACH_LANE(w, l, statement)                                                                                     \
    do {                                                                                                               \
        if ((w)->mask == ALL_LANES) {                                                                                  \
            _Pragma("omp simd") for (int l = 0; l < LANES; l++) { statement; }                                         \
        } else {                                                                                                       \
            FOR_LANES((w)->mask, l) { statement; }                                                                     \
        }                                                                                                              \
    } while (0)

#endif
