/* From a checked, lowered graph to an object, its header, and (in process) a running model. */
#ifndef MCC_CODEGEN_H
#define MCC_CODEGEN_H

#include "ir/ir.h"
#include "targets/target.h"

typedef struct CodeOptions {
    const char *name;     /* the symbols' prefix, a C identifier */
    const Target *target; /* what the code is for */
    int opt_level;        /* 0…3 */
    bool optimize_size;   /* -Os */
    bool time;            /* print how long each stage took */
} CodeOptions;

typedef struct Code {
    char *object; /* relocatable, without the weights */
    size_t object_bytes;
    const void *weights; /* 64-byte aligned; code_write_object appends them */
    size_t weights_bytes;
    char *header; /* C text, NUL-terminated */
    size_t workspace_bytes, workspace_lower_bound;
    char build_id[33];
    char name[128];
    bool elf; /* the object takes appended weights */
} Code;

typedef enum EmitText { EMIT_ASM, EMIT_LLVM, EMIT_LOOPS } EmitText;

/* false: diag_error was called. `out` belongs to the Ctx, except object and header: code_free. */
bool codegen_compile(Ctx *ctx, Graph *g, const CodeOptions *o, Code *out);
bool codegen_print(Ctx *ctx, Graph *g, const CodeOptions *o, EmitText what, FILE *out);
void code_free(Code *c);
bool code_write_object(Ctx *ctx, const Code *c, FILE *out);

/* Runs the very object that code_write_object writes, in this process. The target must be the host's. */
typedef struct LoadedModel LoadedModel;
LoadedModel *code_load(Ctx *ctx, const Code *c); /* NULL after diag_error */
const mcc_model *loaded_model(const LoadedModel *m);
void *loaded_symbol(const LoadedModel *m, const char *name); /* NULL: not there */
void code_unload(LoadedModel *m);

#endif
