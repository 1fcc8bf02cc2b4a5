/* Graph to graph. One pass a file, `bool pass_<name>(Graph *, PassCtx *)`, true where it changed something; passes.def
 * is the pipeline in order. The runner owns dumps, timing, bisection and the verifier. */
#ifndef MCC_PASSES_H
#define MCC_PASSES_H

#include "ir/ir.h"
#include "targets/target.h"

/* Which Winograd forms 3 × 3 convolutions may take: they multiply less, and their weights take 1.8 (F2) or 4 times (F4)
 * the bytes. */
typedef enum Winograd { WINOGRAD_AUTO, WINOGRAD_OFF, WINOGRAD_F2, WINOGRAD_F4 } Winograd;

typedef struct PassCtx {
    Ctx *ctx;
    const Target *target; /* NULL: nothing is lowered for one */
    int opt_level;
    Winograd winograd;
    const char *dump_after; /* a pass's name, or "all"; NULL: none */
    FILE *dump;
    bool time;
    bool verify;
    bool canonical_only;         /* end with the last REPEAT: nothing is lowered */
    bool widen;                  /* all constant weights become float32 */
    int stop_after;              /* stop after this many passes have run; -1: never */
    const struct Tuning *tuning; /* choices that stand above the cost model's; NULL: none */
    struct LayerNotes *notes;    /* where layers that could be tuned are listed; NULL: nowhere */
} PassCtx;

bool passes_run(Graph *g, PassCtx *p); /* false after diag_error */
bool pass_known(const char *name);

#endif
