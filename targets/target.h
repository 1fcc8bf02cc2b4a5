/* Target descriptions: data that generators read. One row a kind of CPU; see row.h. */
#ifndef MCC_TARGET_H
#define MCC_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum DotForm {             /* how it adds the products of four neighbouring bytes to an int32, exactly */
                       DOT_WIDEN,  /* multiplications of 32 bits */
                       DOT_PAIRS,  /* sums of two products of 16 bits (x86 pmaddwd) */
                       DOT_VNNI,   /* u8 times s8 (x86 vpdpbusd) */
                       DOT_SIGNED, /* s8 times s8 (aarch64 sdot) */
                       DOT_MIXED,  /* either times s8 (aarch64 sdot, usdot) */
                       DOT_HALVES  /* sums of two products of 16 bits in integer registers (Arm smlad) */
} DotForm;

typedef struct IntegerCost { /* see costs.def */
    double four, one, requantize, quantize, dequantize;
} IntegerCost;

typedef enum LookupForm {                  /* how it looks bytes up in a table of 256 */
                          LOOKUP_LOADS,    /* one by one */
                          LOOKUP_ROWS,     /* rows of 16 bytes (x86 pshufb) */
                          LOOKUP_QUARTERS, /* of 64 bytes, zero or the old byte elsewhere (aarch64 tbl, tbx) */
                          LOOKUP_HALVES    /* of 128 bytes (x86 vpermi2b) */
} LookupForm;

typedef struct Target {
    const char *triple;   /* normalised LLVM triple */
    const char *cpu;      /* LLVM's name; "" generic */
    const char *features; /* "+a,-b" on top of the cpu's */
    const char *abi;      /* the calling convention by LLVM's name; NULL: what the triple means */
    int level;            /* of the x86-64 psABI, where the CPU is one of these; 0: it is not */
    bool bare;            /* no operating system */
    bool is_static;       /* code and data stay where they are linked */
    int float_bits;       /* the widest float that it computes in hardware; 0: none */
    int pointer_bits;
    int vector_bits;      /* of the widest registers worth using; 0: none */
    int vector_registers; /* of that width */
    int sve_bits;         /* the vectors are scalable ones of Arm, just this wide; 0: they are not */
    bool has_fma;         /* fused multiply-add in vector registers */
    int multiply_bits;    /* bits of vectors that it multiplies and adds a cycle */
    bool spreads_beside;  /* spreads a general register over a vector beside as many multiplications as it can do */
    bool lane_multiply;   /* multiplies a vector by one lane of another in one instruction */
    bool converts_half;   /* has an instruction that makes float32 of float16 */
    DotForm dot;
    const IntegerCost *cost; /* NULL: what costs.def says of the form */
    LookupForm lookup;
    size_t l1, l2; /* data cache bytes a core */
    int sm;        /* NVIDIA GPUs: the compute capability, 75 for 7.5; 0: it is a processor */
    size_t shared; /* of these: bytes of shared memory that a block may ask for */
} Target;

/* "" or NULL triple: the host's. cpu "native": the host's with all its features; NULL or "": the triple's generic one.
 * NULL: not known; *why says so, with the nearest names where there are some. The result and *why live until the
 * process ends. */
const Target *target_find(const char *triple, const char *cpu, const char *features, const char **why);
/* float_abi: soft, softfp, hard; NULL: what the triple means */
const Target *target_find_abi(const char *triple, const char *cpu, const char *features, const char *float_abi,
                              const char **why);
DotForm dot_form(const Target *t, int lanes); /* that of vectors of so many int32 */
/* The form takes bytes of the other signedness only: they are multiplied with their highest bit turned. */
bool dot_flips(DotForm form, bool is_signed);
/* Elements of f32 that straight-line code of sparse products (codegen/sparse.h) works on at once; 0: there is none for
 * it. */
int sparse_lanes(const Target *t);
/* Are panels of so many columns worth it without code, with nonzeros as data? They take workspace: where there is no
 * system only if asked for. */
bool sparse_panels(const Target *t, bool asked);
bool sparse_words(const Target *t);   /* code of bytes, four at a time */
bool sparse_entries(const Target *t); /* bytes as data, one at a time or four */
/* rows of such a product whose sums stay in registers together; masked: some sources are (codegen/sparse.h) */
int sparse_rows(const Target *t, bool masked);
bool sparse_is_sliced(const Target *t); /* does such code take x in pieces that L2 holds? */
/* Where loads bound such code: do some of its weights take the way of general registers, which makes it longer? It is run for
 * so many panels in all; bytes: its length without that. */
bool sparse_spreads(const Target *t, int64_t panels, int64_t bytes);
IntegerCost integer_cost(const Target *t);
bool target_is_host(const Target *t);   /* the same system; the processor may still be another */
bool target_runs_here(const Target *t); /* runs_here.c: its code can run in this process */
void target_print_all(FILE *out);       /* --print-targets */

#endif
