/* What the files of ir/ share among themselves. */
#ifndef MCC_IR_INTERNAL_H
#define MCC_IR_INTERNAL_H
#include <assert.h>
#include "ir/ir.h"

typedef struct Mem {
    size_t used, limit;
    long fail_at; /* counts down; the allocation that reaches 0 fails; 0: never */
    MemTry *handler;
    Arena *arenas;
} Mem;

struct Diag *diag_new(void); /* NULL: out of memory */
void diag_free(struct Diag *d);
#endif
