/* What the files of codegen/ share: the module under construction, the plan of memory, kernels. */
#ifndef MCC_CODEGEN_GEN_H
#define MCC_CODEGEN_GEN_H

#include <assert.h>
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include "codegen/codegen.h"

/* ---- plan.c: where every value lives ---- */
typedef enum LocKind { LOC_NONE, LOC_INPUT, LOC_OUTPUT, LOC_WORKSPACE, LOC_WEIGHTS, LOC_EMBEDDED } LocKind;
typedef struct Loc {
    LocKind kind;
    int index;     /* of the graph's input or output */
    size_t offset; /* in the parameter, the workspace or the weights */
} Loc;
#define NO_SCRATCH SIZE_MAX
typedef struct ControlPlace { /* of a node that runs graphs, in its scratch memory: their workspace is at its beginning */
    size_t *carried; /* [carried values][2] */
    size_t *unread;  /* by output of the node: what nobody reads still has a place to be written to */
    size_t turn, cond, bytes;
} ControlPlace;
typedef struct Plan {
    Loc *loc;        /* by value id */
    bool *joined;    /* by node id: a Concat or Slice whose output lies there already */
    size_t *scratch; /* by node id: the offset of its scratch memory, or NO_SCRATCH */
    ControlPlace **control; /* by node id */
    size_t workspace, lower_bound;
    Segment *weights;
    int n_weights;
    size_t weights_bytes;
    Segments code;   /* of emitters with `code` */
    int *code_of;    /* by node id: its place in that list, or -1 */
    const PlanBlock *blocks;
    int n_blocks;
} Plan;
bool plan_memory(Ctx *ctx, Graph *g, const CodeOptions *o, Plan *p);

/* ---- build.c, part.c: the module under construction ---- */
typedef struct Symbol { /* an open dim or one that a node writes, and its value in the function being built */
    Dim dim;
    LLVMValueRef value;
} Symbol;
typedef struct Gen { /* one partition of the code: an LLVM module in a context of its own */
    Ctx *ctx;
    Graph *graph;
    const CodeOptions *opt;
    const Target *target;
    Plan plan;
    LLVMContextRef llvm;
    LLVMModuleRef module;
    LLVMTargetMachineRef machine;
    LLVMTargetDataRef layout;
    LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr, void_type, size_type;
    LLVMValueRef weights; /* the section's symbol, NULL without weights */
    LLVMValueRef code;    /* likewise */
    Symbol *open;         /* the open dims, in the order of the entry's parameters */
    int n_open;
    struct KernelEntry *kernels; /* made so far, by key */
    int n_kernels, n_bodies;
    LLVMDIBuilderRef debug;      /* NULL: none asked for */
    LLVMMetadataRef debug_file;
    int *lines;                  /* by node id: its line in the graph's text */
    const Node **profiled;       /* by the place of its counter */
    int n_profiled;
    int64_t cost, most_cost;     /* about how much work LLVM has with it; kernels go elsewhere once it has the most */
    struct Gen **parts;          /* of the first: all of them, itself at 0 */
    int n_parts;
    char error[256];             /* what went wrong; "": nothing. Only the first may call diag_error, once all threads are done */
    LLVMMemoryBufferRef object;
    size_t stack; /* bytes that a call takes at most; 0: not known */
    struct Device *device; /* of the host's code for a GPU; NULL: there is none */
    Str device_text;       /* PTX, or with device_ir LLVM's text of it */
    bool device_ir;
    size_t device_bytes;   /* of device memory that a run works in */
} Gen;
LLVMValueRef gen_i64(Gen *g, int64_t v);
LLVMValueRef gen_i32(Gen *g, int v);
LLVMValueRef gen_bytes(Gen *g, const void *data, size_t bytes, unsigned align); /* a private constant */
LLVMValueRef gen_byte_count(Gen *g, LLVMBuilderRef b, Dtype t, LLVMValueRef elements); /* packed ones: rounded up */
LLVMValueRef gen_offset(Gen *g, LLVMBuilderRef b, LLVMValueRef base, LLVMValueRef bytes);
LLVMValueRef gen_alloca(Gen *g, LLVMBuilderRef b, LLVMTypeRef type, unsigned align); /* in the function's entry block */
void gen_function_attrs(Gen *g, LLVMValueRef fn);
void gen_attr(Gen *g, LLVMValueRef fn, unsigned at, const char *name, uint64_t value);
/* goes on in a new block where cond holds; else the function returns status */
void gen_require(Gen *g, LLVMBuilderRef b, LLVMValueRef cond, LLVMValueRef status);
LLVMTypeRef gen_elem_type(Gen *g, Dtype t); /* how an element is stored and handed to mcc_el_…; bool is i8, f16 and bf16 i16 */

/* ---- part.c: the code in partitions, which compile in parallel ---- */
bool part_open(Gen *g, Ctx *ctx, Graph *graph, const CodeOptions *o, int64_t most_cost); /* the first; false after diag_error */
Gen *part_of_kernel(Gen *g); /* where the next kernel goes, g being the first; NULL after diag_error */
/* fn of a part, finished; returns what the first part calls. Counts its cost and that of the functions made after it. */
LLVMValueRef part_import(Gen *g, Gen *part, LLVMValueRef fn, LLVMTypeRef type);
void part_fail(Gen *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool part_optimise(Gen *g); /* links the kernels that it calls; after false see g->error */
bool part_emit(Gen *g, LLVMCodeGenFileType what, LLVMMemoryBufferRef *out);
bool part_run_passes(Gen *g, LLVMModuleRef m, const char *passes);
bool helpers_link(Gen *g); /* helpers.c: what LLVM will call because an instruction is missing; after false see g->error */
bool is_helper(LLVMValueRef f);

/* ---- stack.c: how much of it a call takes ---- */
bool stack_is_bounded(const Gen *g);
void stack_listen(const Gen *g); /* before code is generated */
void stack_note(Gen *g, const char *remark);
size_t stack_bound(Gen *g); /* once the module's code is generated */
void parts_close(Gen *g);

/* ---- dims.c ---- */
LLVMValueRef gen_dim(Gen *g, LLVMBuilderRef b, Dim d, const Symbol *symbols, int n);
int collect_symbols(Ctx *ctx, const Node *n, Symbol **out); /* every symbol in the dims of its inputs and outputs */
void add_symbols(Ctx *ctx, Dim d, Symbol **list, int *n);

/* ---- kernel.c: one function a distinct computation ---- */
typedef struct Kernel {
    Gen *gen;
    const Node *node;
    LLVMValueRef fn;
    LLVMBuilderRef b;          /* at the end of the entry block */
    LLVMValueRef *in, *out;    /* pointers; NULL: absent */
    LLVMValueRef scratch;      /* the chunk's own; NULL: none asked for */
    LLVMValueRef chunk;        /* which part of the work this call does, below `chunks`; 0 where it does all */
    int chunks;
    Symbol *symbols;
    int n_symbols;
    float checked_scale; /* of the last vec_quantize, how it was to divide, and what was found of it */
    bool checked_sum;
    bool divides_by_multiplying;
    const struct Multiplier *multipliers; /* what byte_sum_multiplier has answered so far */
    LLVMValueRef status; /* of device kernels: where errors go (gpu_fail) */
} Kernel;
/* What decides over a kernel's code, as text: nodes with equal keys share it. in_place: inputs that output 0 overwrites. */
const char *kernel_key(Ctx *ctx, const Node *n, unsigned in_place);
bool kernel_has_constant(const Node *n, int input); /* whose bytes are part of the key and of the code */
LLVMValueRef kernel_dim(Kernel *k, Dim d);
/* Calls the node's kernel from the body, made first where no equal one exists. in/out: pointers as the body has them.
 * Returns its i32 status; NULL after diag_error. */
LLVMValueRef kernel_call(Gen *g, LLVMBuilderRef b, const Node *n, LLVMValueRef *in, LLVMValueRef *out, LLVMValueRef scratch,
                         const Symbol *symbols, int n_symbols, unsigned in_place);

/* ---- parallel.c: kernels in chunks, which mcc_parallel_for calls in any order and on any thread ---- */
typedef struct Range {
    LLVMValueRef from, to;
} Range;
typedef struct Grid { /* chunks as rows × cols: what they share out */
    int rows, cols;
} Grid;
int node_chunks(const CodeOptions *o, const Node *n); /* 1: the kernel is called directly */
/* `chunks` as a product that suits `rows` × `cols` units of equal work. each_row: what a chunk of columns repeats for its rows, as a part
 * of all work; each_col likewise. Units that are not known: 0. */
Grid grid_choose(int chunks, int64_t rows, int64_t cols, double each_row, double each_col);
double largest_count(const Value *v); /* elements, open dims at their bounds */
/* This chunk's share of units 0 … n - 1, which number (chunk / inner) % of has. */
Range kernel_share(Kernel *k, LLVMValueRef n, int inner, int of);
/* Calls fn(args…, chunk) for every chunk through mcc_parallel_for. */
void parallel_call(Gen *g, LLVMBuilderRef b, LLVMValueRef fn, LLVMTypeRef type, LLVMValueRef *args, int n, int chunks);

/* ---- emitter.c: which form a node's kernel takes ---- */
typedef struct Emitter {
    const char *form;                                 /* for --emit=loops and the report */
    bool (*emit)(Kernel *k);                          /* builds the body, returns a status; false after diag_error */
    void (*print)(Ctx *ctx, const Node *n, FILE *out); /* its lines of --emit=loops; NULL: the form alone */
    bool (*scratch)(Ctx *ctx, const Node *n, size_t *bytes); /* NULL: none */
    double (*work)(const Node *n); /* that k->chunks share out: operations on vectors, about; NULL or 0: one chunk */
    int (*most_chunks)(const Node *n); /* NULL: as many as there may be */
    bool (*in_place)(const Node *n, int input);       /* may output 0 overwrite this input? NULL: never */
    /* Machine code, position independent, that stands for constants of the node: the kernel sees it as input 1. ELF targets only. */
    Str (*code)(Ctx *ctx, const Target *t, const Node *n);
    bool (*in_code)(const Node *n, int input); /* this constant is part of it, and nowhere else */
} Emitter;
const Emitter *emitter_of(const Node *n);
extern const Emitter control_emitter; /* of control.c: no kernel */
bool kernel_has_code_of(const Node *n, int input); /* a constant that is part of the node's machine code */

/* ---- reference.c: a call of ref_<op>; shape_<op> for dims that depend on data ---- */
extern const Emitter reference_emitter;
LLVMValueRef reference_call(Kernel *k); /* of ref_<op>, for all of the node; its status */
/* Its arguments alone, for other functions on a node: *args and *attrs. */
void reference_arguments(Kernel *k, LLVMValueRef *args, LLVMValueRef *attrs);
/* Constant numbers of f32: the least of a few limits that all their magnitudes keep to, factors' or codes'; 0: none, or
 * not known. Part of a kernel's key */
float value_limit(const Value *v);
bool kernel_embeds(const Node *n, int input); /* a small constant whose bytes the kernel should see */
/* Calls shape_<op>; the dims of the outputs as loaded i64 values in dims[output * MCC_MAX_RANK + axis]; returns the status. */
LLVMValueRef reference_shape_call(Gen *g, LLVMBuilderRef b, const Node *n, LLVMValueRef *in, LLVMValueRef memory, const Symbol *symbols,
                                  int n_symbols, LLVMValueRef *dims);

/* ---- elementwise.c ---- */
/* One element of an elementwise node, operands as they are stored (f16, bf16 as bits, bool as a byte); NULL: absent. */
LLVMValueRef lookup_one(Gen *g, LLVMBuilderRef b, const Node *n, LLVMValueRef x); /* mcc.Table of one byte */
LLVMValueRef gen_elementwise(Gen *g, LLVMBuilderRef b, const Node *n, LLVMValueRef *args);

/* ---- body.c, entry.c, describe.c: the functions that an app calls ---- */
LLVMValueRef gen_body(Gen *g);  /* internal: inputs, outputs, dims pointers, open dims, workspace; NULL after diag_error */
void gen_typed_entry(Gen *g, LLVMValueRef body);
void gen_described_entry(Gen *g, LLVMValueRef body);
void gen_stream_entry(Gen *g, LLVMValueRef body); /* NAME_run_on_stream */
bool output_has_data_dims(const Value *v);
bool typed_entry_exists(const Graph *g);

/* ---- gpu_host.c: the host's functions of a model for a GPU (codegen/gpu.h) ---- */
LLVMValueRef gpu_body(Gen *g);        /* in place of gen_body; makes the device's code first. NULL after diag_error */
LLVMValueRef gpu_stream_body(Gen *g); /* on device pointers, and with a stream at the end */
void gpu_program(Gen *g);             /* once the description is there */
void gpu_handle_entries(Gen *g);      /* NAME_open, NAME_close, NAME_wait */
size_t gpu_state_bytes(const Graph *g); /* at the start of device memory */

/* ---- fat.c: variants for several processors ---- */
bool fat_is_last(const Fat *f);
const char *fat_symbol(Gen *g, const char *what, const char *cpu);
Segment *fat_segments(Arena *a, const Segments *all, int most);
void fat_take_plan(Fat *f, Plan *p); /* its constants are everybody's; the workspace is the largest */
/* fn, a variant's, gets to be seen by the others; in the last one an indirect function of all of them is returned, local without a symbol */
LLVMValueRef fat_function(Gen *g, LLVMValueRef fn, const char *what, const char *symbol);
void fat_take_objects(Fat *f, Gen *g);

/* ---- debug.c: -g, lines of the graph's text. Without it nothing happens here; node NULL: the graph itself ---- */
void debug_open(Gen *g, Gen *first);                                            /* a part's module is there */
void debug_close(Gen *g);                                                       /* and now complete */
void debug_function(Gen *g, LLVMValueRef fn, const Node *n);                    /* it has debug information */
void debug_at(Gen *g, LLVMBuilderRef b, LLVMValueRef fn, const Node *n);        /* what is built next */
void debug_whole(Gen *g, LLVMValueRef fn, const Node *n);                       /* the finished function is n's, all of it */

/* ---- profile.c: calls and ticks of each node, in the workspace ---- */
size_t profile_bytes(const Graph *g); /* of workspace */
LLVMValueRef profile_ticks(Gen *g, LLVMBuilderRef b);
void profile_count(Gen *g, LLVMBuilderRef b, LLVMValueRef workspace, const Node *n, LLVMValueRef start); /* one call, until now */
void gen_profile_entries(Gen *g);
void profile_header(Gen *g, FILE *f, const char *prefix);

/* ---- carried.c: the reference kernels' bitcode ---- */
bool link_kernels(Gen *g); /* links what the module calls, makes it internal; after false see g->error */
Str carried_kernels(const Target *t); /* the bitcode */
bool kernels_shared(const CodeOptions *o); /* reference kernels are functions that are called: one part holds them all */
LLVMModuleRef read_carried(Gen *g);   /* it as a module whose functions are read as they are used; NULL: broken */
void neutralise(Gen *g, LLVMModuleRef carried);
bool is_carried(const char *name);    /* must a function of this name come from there? */

/* ---- code_cache.c ---- */
bool code_cache_take(const CodeCache *c, const char *id, Gen *g); /* objects of all parts; false: not known */
void code_cache_leave(CodeCache *c, const char *id, const Gen *g);

/* ---- header.c ---- */
const char *header_text(Gen *g, const char *build_id);

/* ---- object.c, object_merge.c ---- */
const char *object_next_undefined(LLVMMemoryBufferRef object, size_t *at); /* from *at = 0 on; NULL: no more. ELF */
/* One relocatable object of several, ELF64 little endian; why: set where they cannot be merged (NULL: no memory). */
LLVMMemoryBufferRef object_merge(const LLVMMemoryBufferRef *objects, int n, const char **why);
bool object_with_weights(Ctx *ctx, const Code *c, char **out, size_t *n); /* one buffer, free() it */

#endif
