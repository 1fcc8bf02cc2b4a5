/* From a checked, lowered graph to an object, its header, and (in process) a running model. */
#ifndef MCC_CODEGEN_H
#define MCC_CODEGEN_H

#include "ir/ir.h"
#include "targets/target.h"
#include <llvm-c/Types.h>

typedef struct Segment { /* a constant in the weights section; segments are in order of offset, 64-byte aligned */
    const void *data;
    size_t bytes, offset;
    const Node *reader; /* the first node that reads it; NULL: it is an output of the graph */
} Segment;

typedef struct Segments {
    const Segment *list;
    int n;
    size_t bytes;
} Segments;

enum { MAX_VARIANTS = 4 };
typedef struct Fat { /* code for several processors in one object: what its variants share. All Ctx live until it is written */
    struct Variant {
        const char *cpu;
        int level;            /* of the psABI, falling */
        const char *build_id; /* filled, as the rest */
        size_t added;         /* bytes of constants that those before have not */
    } variants[MAX_VARIANTS];
    int n, at; /* at: which one is compiled */
    Segments weights, code;
    size_t workspace;
    LLVMMemoryBufferRef *objects;
    int n_objects;
} Fat;
void fat_free(Fat *f);
bool object_can_merge(const Target *t); /* can it be joined of several? */

/* code_cache.c: objects of modules that are compiled again for other weights */
typedef struct CodeCache CodeCache;
CodeCache *code_cache_new(void); /* NULL: no memory */

typedef struct CodeOptions CodeOptions;
struct CodeOptions {
    const char *name;     /* the symbols' prefix, a C identifier */
    const Target *target; /* what the code is for */
    int opt_level;        /* 0…3 */
    bool optimize_size;   /* -Os */
    const char *weights_section; /* its name; NULL: .rodata.mcc_weights */
    int max_threads;      /* kernels are cut into chunks for mcc_parallel_for, and slots are below this; 0: plain loops */
    bool cut_always;      /* for tests: kernels are cut however small they are */
    int part_cost;        /* for tests: how full a part of the code becomes before the next begins; 0: as they are best */
    const char *debug_file; /* -g: the name of the graph's text (graph_print), whose lines code is mapped to; NULL: no debug information */
    Fat *fat;             /* NULL: code for one processor. Of the last variant comes the whole object */
    bool profile;         /* count calls and ticks of each node */
    bool time;            /* print how long each stage took */
    const Target *host;   /* where target is a GPU: what runs the functions that the app calls; NULL: this machine's kind */
    const CodeOptions *device; /* of the host's own code: those of the GPU's. Set by codegen_compile */
    bool tf32;            /* GPUs: products of f32 may round their factors to 11 bits, for the tensor cores */
    CodeCache *cache;     /* for code that is loaded and dropped: build_id does not tell weights apart. NULL: none */
};

typedef struct PlanBlock { /* of workspace, for one or more values that take turns in it */
    size_t bytes, offset;
    int first, last; /* places of nodes in the graph's order: alive in [first, last] */
    int owner;       /* value id, or -1 - node id for scratch */
} PlanBlock;

typedef struct Code {
    LLVMMemoryBufferRef object; /* relocatable; weights are appended when it is written or loaded */
    const Segment *weights;
    const char *weights_section;
    int n_weights;
    size_t weights_bytes;
    Segments code;      /* machine code that LLVM has no part in, a section too */
    const char *header; /* C text */
    size_t workspace_bytes, workspace_lower_bound;
    size_t stack_bytes; /* that a call takes at most; 0: not known */
    const char *name, *build_id;
    const Target *target; /* what the kernels are for */
    int pointer_bits;
    const Segment *segments; /* how weights and workspace are laid out, whatever the object's format */
    const PlanBlock *blocks;
    int n_segments, n_blocks;
    int n_parts; /* that were compiled in parallel */
} Code;

typedef enum EmitText { EMIT_ASM, EMIT_LLVM, EMIT_LOOPS } EmitText;

/* false: diag_error was called. What `out` points to lives as long as the Ctx and the graph; object: until code_free. */
bool codegen_compile(Ctx *ctx, Graph *g, const CodeOptions *o, Code *out);
bool codegen_print(Ctx *ctx, Graph *g, const CodeOptions *o, EmitText what, FILE *out);
const char *codegen_form(const Target *t, const Node *n); /* what kind of code the node's kernel is: "blocked convolution", "loops", … */
void code_free(Code *c);
bool code_write_object(Ctx *ctx, const Code *c, FILE *out);
bool object_is_elf(const Target *t);
typedef struct CodeSizes { /* of the object's sections, as `size` counts them */
    size_t text, data, bss; /* code and constants; variables that begin with a value; with 0 */
} CodeSizes;
CodeSizes code_sizes(Ctx *ctx, const Code *c); /* what is not ELF: its whole file is text */

/* Runs the very object that code_write_object writes, in this process. The target must be the host's. */
typedef struct LoadedModel LoadedModel;
LoadedModel *code_load(Ctx *ctx, const Code *c); /* NULL after diag_error */
const mcc_model *loaded_model(const LoadedModel *m);
void *loaded_symbol(const LoadedModel *m, const char *name); /* NULL: not there */
void code_unload(LoadedModel *m);

#endif
