/* One row a kind of CPU, each a file targets/<family>/<name>.def: CPU(.field = value, …). The build lists the files
 * that it finds. Cache sizes: the vendors' optimisation manuals; a generic row has the smallest common ones. */
#ifndef MCC_TARGET_ROW_H
#define MCC_TARGET_ROW_H

#include "targets/target.h"

typedef struct Row {
    const char *arch;     /* the first part of the triple */
    const char *name;     /* -mcpu */
    bool generic;         /* what its arch means without -mcpu; it alone needs triple and known */
    const char *triple;   /* the arch's usual one */
    const char *known;    /* names that -mattr may give, separated by spaces */
    const char *also;     /* other CPUs of LLVM's that have these numbers, likewise */
    const char *cpu;      /* LLVM's name for it, where it is not name */
    const char *features; /* "+a,-b": what it has beyond LLVM's idea of the CPU */
    const char *when;     /* "+a,+b": stands for CPUs without a row that have these features */
    int level;            /* of the x86-64 psABI, where the row is one; 0: it is not */
    const char *abi;      /* LLVM's name of the calling convention; NULL: the triple's */
    int float_bits;       /* the widest float that it computes in hardware; 0: none */
    int vector_bits, vector_registers;
    int sve_bits;        /* width of its scalable vectors, where its vectors are these; 0: they are not */
    bool fma;            /* fused multiply-add in vectors */
    int multiply_bits;   /* bits of vectors that it multiplies and adds a cycle */
    bool spreads_beside; /* a general register over a vector, beside that */
    bool lane_multiply, converts_half;
    DotForm dot;
    const IntegerCost *cost; /* where it is not what costs.def says of the form */
    LookupForm lookup;
    size_t l1, l2; /* data bytes; bytes a core */
    int sm;        /* of GPUs: the compute capability, 10 times */
    size_t shared; /* likewise: bytes of shared memory that a block may ask for */
} Row;

int row_count(void);
const Row *row_at(int i);

#endif
