/* The graph and what it is made of: memory, diagnostics, dtypes, dims, operators, values, nodes. A table of contents; each
 * group stands under the file that defines it. Everything in here belongs to one Ctx (one compilation) and one thread. */
#ifndef MCC_IR_H
#define MCC_IR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "mcc/runtime.h"

typedef struct Ctx Ctx;
typedef struct Arena Arena;
typedef struct Graph Graph;
typedef struct Node Node;
typedef struct Value Value;
typedef struct Attr Attr;
typedef struct DimNode DimNode;
typedef const DimNode *Dim; /* interned: equal dims are equal pointers; NULL: an overflow, or not known */

/* A name or any other bytes from a model: never NUL-terminated on purpose, may hold NUL or bad UTF-8. */
typedef struct Str {
    const char *p;
    size_t n;
} Str;

/* ---- mem.c: allocation. Nothing here returns NULL: it unwinds to the innermost mem_try, which the driver sets. ---- */
#define MEM_UNLIMITED SIZE_MAX
typedef struct MemTry {
    jmp_buf jump;
    struct MemTry *outer;
} MemTry;
/*  MemTry t;
 *  if (mem_enter(ctx, &t), setjmp(t.jump)) { … out of memory …; return; }
 *  …work…
 *  mem_leave(ctx, &t);                                            */
void mem_enter(Ctx *ctx, MemTry *t);
void mem_leave(Ctx *ctx, MemTry *t);
_Noreturn void mem_fail(Ctx *ctx, size_t bytes); /* out of memory: unwinds, or ends the process where nothing was entered */
void mem_fail_at(Ctx *ctx, long nth);            /* tests: the nth allocation from now fails (1 = the next) */
void mem_limit(Ctx *ctx, size_t bytes);          /* the budget of all arenas together */
size_t mem_used(const Ctx *ctx);
Arena *arena_new(Ctx *ctx);
void arena_free(Arena *a); /* at once, all of it; arenas left over are freed by ctx_free */
void *arena_alloc(Arena *a, size_t bytes); /* zeroed; aligned to 16, and to 64 from 4096 bytes on */
void *arena_array(Arena *a, size_t n, size_t size); /* n·size checked for overflow */
void *arena_grow(Arena *a, void *old, size_t old_n, size_t new_n, size_t size);
char *arena_printf(Arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
Str arena_str(Arena *a, const char *p, size_t n); /* a copy; NUL-terminated beyond n for debuggers */
#define ARENA_NEW(a, T) ((T *)arena_alloc((a), sizeof(T)))
#define ARENA_ARRAY(a, n, T) ((T *)arena_array((a), (size_t)(n), sizeof(T)))

/* ---- str.c ---- */
Str str_of(const char *s);
bool str_eq(Str a, Str b);
bool str_is(Str a, const char *b);
uint64_t hash_bytes(uint64_t seed, const void *p, size_t n); /* FNV-1a, the same on every host */
#define HASH_SEED 14695981039346656037ull
size_t str_escape(char *out, size_t size, Str s); /* printable ASCII for messages and C comments: no quote, no control byte, no comment end */

/* ---- checked.c: arithmetic that says when it overflows ---- */
bool add_i64(int64_t a, int64_t b, int64_t *out);
bool sub_i64(int64_t a, int64_t b, int64_t *out);
bool mul_i64(int64_t a, int64_t b, int64_t *out);
bool mul_size(size_t a, size_t b, size_t *out);
bool product_i64(const int64_t *dims, int n, int64_t *out); /* also false if a dim is negative */

/* ---- ctx.c: one compilation ---- */
typedef struct DimPin { /* --dim NAME=N, --max-dim NAME=N; INPUT.AXIS names an unnamed one; '*' all others */
    const char *name;
    int64_t value;
} DimPin;
typedef struct ShapePin { /* --shape NAME=1x3x224x224 */
    const char *name;
    int rank;
    int64_t dims[MCC_MAX_RANK];
} ShapePin;
typedef struct Options { /* what the user asked of the compilation; filled by the driver, read by everybody */
    const DimPin *dims, *max_dims;
    const ShapePin *shapes;
    int n_dims, n_max_dims, n_shapes;
    size_t max_fold, max_memory;    /* bytes */
    int max_trip;                   /* turns of a Loop that nothing else bounds; 0: not given */
    const char *external_data_root; /* NULL: the model's folder */
} Options;
struct Ctx {
    const char *file; /* the model's path, for messages */
    Options opt;
    Arena *arena; /* lives as long as the Ctx: dims, names, graphs */
    struct Mem *mem;
    struct Diag *diag;
    struct DimTable *dims;
    struct DimEqual *equal; /* what the run compares: dim_require_equal */
    int n_equal;
    struct Mapped *mapped; /* frontend/map.c: the model's files, until onnx_unmap */
    size_t folded; /* bytes of constants made so far, against opt.max_fold */
    int next_id;   /* of values and nodes */
    int n_inferred; /* bodies of control flow, so often */
};
Ctx *ctx_new(const char *file); /* NULL only when not even the Ctx can be had */
void ctx_free(Ctx *ctx);

/* ---- diag.c: what the person with the model is told ---- */
void diag_error(Ctx *ctx, const Node *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void diag_warn(Ctx *ctx, const char *flag, const Node *at, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void diag_note(Ctx *ctx, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* a hint to the message before it, or news */
typedef struct DiagTry { /* what goes wrong meanwhile is neither shown nor counted */
    const char *first; /* error's text, in the ctx's arena */
    int errors;
    struct DiagTry *outer;
} DiagTry;
void diag_try(Ctx *ctx, DiagTry *t);
const char *diag_tried(Ctx *ctx, DiagTry *t); /* ends it: the first error, or NULL */
int diag_errors(const Ctx *ctx); /* errors so far, warnings made errors included */
void diag_to(Ctx *ctx, FILE *out); /* default stderr; NULL: silent */
/* What is warned of under this flag goes to heard(arg, node, text) too, whether it is shown or not; NULL: no longer. */
void diag_listen(Ctx *ctx, const char *flag, void (*heard)(void *arg, const Node *at, const char *text), void *arg);
bool diag_set_flag(Ctx *ctx, const char *flag); /* "shape", "no-shape", "error=shape", "error", "all" (-W…); false: unknown */
const char *diag_name(Ctx *ctx, Str name); /* escaped, short-lived text for a message */

/* ---- dtype.c ---- */
typedef enum Dtype { /* ONNX TensorProto.DataType's numbers */
    DT_NONE = 0, DT_F32 = 1, DT_U8 = 2, DT_I8 = 3, DT_U16 = 4, DT_I16 = 5, DT_I32 = 6, DT_I64 = 7, DT_STRING = 8,
    DT_BOOL = 9, DT_F16 = 10, DT_F64 = 11, DT_U32 = 12, DT_U64 = 13, DT_C64 = 14, DT_C128 = 15, DT_BF16 = 16,
    DT_F8E4M3FN = 17, DT_F8E4M3FNUZ = 18, DT_F8E5M2 = 19, DT_F8E5M2FNUZ = 20, DT_U4 = 21, DT_I4 = 22, DT_F4E2M1 = 23,
    DT_F8E8M0 = 24, DT_U2 = 25, DT_I2 = 26, DT_COUNT
} Dtype;
typedef enum DtypeClass { DTC_F = 1, DTC_I = 2, DTC_U = 4, DTC_B = 8, DTC_OTHER = 16, DTC_PACKED = 32, DTC_SMALL = 64 } DtypeClass; /* SMALL: floats of 8 and 4 bits */
const char *dtype_name(Dtype t);   /* "float32", "int8", … as numpy spells them */
const char *dtype_suffix(Dtype t); /* "f32", "i8", … */
int dtype_bits(Dtype t);           /* 0: strings, none */
DtypeClass dtype_class(Dtype t);
bool dtype_supported(Dtype t); /* tensors of it may be */
bool dtype_computes(Dtype t);  /* any operator may take it; the packed and the small ones are for Q, DQ, Cast and what moves elements */
bool dtype_bytes(Dtype t, int64_t elements, size_t *out); /* packed; false: overflow */

/* ---- dim.c: sizes, known or symbolic. Interned and kept in one normal form: a sum of products of atoms ---- */
typedef enum DimKind { DIM_CONST, DIM_SYMBOL, DIM_SUM, DIM_FLOORDIV, DIM_MIN, DIM_MAX } DimKind;
typedef struct DimTerm { /* coef · factors[0] · factors[1] · … (atoms, sorted by id) */
    int64_t coef;
    int n_factors;
    const Dim *factors;
} DimTerm;
struct DimNode {
    DimKind kind;
    int id;
    int64_t lo, hi;   /* bounds: lo <= value <= hi */
    int64_t value;    /* DIM_CONST */
    Str name;         /* DIM_SYMBOL */
    const Node *node; /* DIM_SYMBOL: NULL: an open dim of an input; else written by this node at run time */
    int n_terms;      /* DIM_SUM */
    const DimTerm *terms;
    Dim a, b; /* FLOORDIV, MIN, MAX; atoms, like symbols */
    int weight, depth;
    bool data, wild; /* a node writes a part of it; a part of it may overflow */
    Dim next; /* in its hash bucket */
};
Dim dim_const(Ctx *ctx, int64_t v);
Dim dim_symbol(Ctx *ctx, Str name, int64_t lo, int64_t hi); /* the same name gives the same dim */
Dim dim_data(Ctx *ctx, const Node *node, int64_t lo, int64_t hi); /* a fresh symbol: known once `node` runs */
/* All propagate NULL, and return NULL where the result overflows. Divisors are positive. */
Dim dim_add(Ctx *ctx, Dim a, Dim b);
Dim dim_sub(Ctx *ctx, Dim a, Dim b);
Dim dim_mul(Ctx *ctx, Dim a, Dim b);
Dim dim_floordiv(Ctx *ctx, Dim a, Dim b); /* rounds down; exact quotients of polynomials are found */
Dim dim_ceildiv(Ctx *ctx, Dim a, Dim b);
Dim dim_mod(Ctx *ctx, Dim a, Dim b); /* a - b·floor(a/b) */
Dim dim_min(Ctx *ctx, Dim a, Dim b);
Dim dim_max(Ctx *ctx, Dim a, Dim b);
Dim dim_product(Ctx *ctx, const Dim *dims, int n); /* 1 for n = 0 */
bool dim_is_const(Dim d, int64_t *value);
bool dim_is(Dim d, int64_t value);
bool dim_has_data(Dim d); /* depends on a symbol that a node writes */
bool dim_is_bounded(Dim d); /* no part of it can overflow */
/* Two dims that a node of graph `in` takes to be equal though that cannot be proven (2·ceil(H/32) and ceil(H/16)). Of open dims the
 * entry compares what the model's own graph needs (`in` is NULL then), a body of control flow what it needs itself; of dims that nodes
 * write, each graph once they are known. MCC_E_SHAPE where two differ. false: too many, or one may overflow. */
typedef struct DimEqual {
    Dim a, b;
    const Graph *in;
} DimEqual;
bool dim_require_equal(Ctx *ctx, const Graph *in, Dim a, Dim b);
typedef int64_t (*DimEnv)(void *env, Dim symbol);
bool dim_eval(Dim d, DimEnv env, void *arg, int64_t *out); /* false: overflow */
const char *dim_text(Ctx *ctx, Dim d);

/* ---- op.c: the table of operators, ops.def ---- */
typedef enum OpFlag {
    OP_ELEMENTWISE = 1 << 0,   /* out[i] = f(in[i]…) under broadcasting; mcc_el_<name>_<dtype>. Of nodes: node_is_elementwise */
    OP_COMMUTATIVE = 1 << 1,
    OP_REDUCTION = 1 << 2,
    OP_MOVEMENT = 1 << 3,      /* elements move, none is computed */
    OP_VIEW = 1 << 4,          /* the same bytes under other dims */
    OP_CONTRACTION = 1 << 5,
    OP_NORMALIZATION = 1 << 6,
    OP_POOL = 1 << 7,
    OP_VARIADIC = 1 << 8,      /* the last input repeats */
    OP_DATA_SHAPE = 1 << 9,    /* output dims may depend on input values: shape_<name> */
    OP_INDEXING = 1 << 10,     /* input 1 holds indices, checked at run time */
    OP_DECOMPOSED = 1 << 11,   /* no kernel: the reader or a pass replaces it */
    OP_SHAPE_ONLY = 1 << 12,   /* looks at its input's dims alone */
    OP_FUSED = 1 << 13,        /* holds its body as a subgraph */
    OP_LOWERED = 1 << 14,      /* made late, for one form of code: no reference kernel */
    OP_RECURRENT = 1 << 15,
    OP_SCRATCH = 1 << 16,      /* the reference kernel takes memory of its own, as one more argument: node_scratch */
    OP_QUANTIZED = 1 << 17,    /* reads or writes quantized integers; takes fewer dtypes than its row's classes */
    OP_CONTROL = 1 << 18,       /* If, Loop, Scan: runs graphs that are among its attributes, see ir/control.c */
    OP_RANDOM = 1 << 19        /* its numbers are drawn by each call: not evaluated at compile time */
} OpFlag;
#define VAR 255
enum { F = DTC_F, I = DTC_I, U = DTC_U, B = DTC_B, P = DTC_PACKED, ALL = DTC_F | DTC_I | DTC_U | DTC_B, ANY = ALL | DTC_PACKED | DTC_SMALL }; /* ops.def's dtype sets */
typedef enum OpDomain { ONNX, MCC } OpDomain;
typedef enum Op {
    OP_NONE,
#define OP(name, ...) OP_##name,
#include "ir/ops.def"
    OP_COUNT
} Op;
typedef enum AttrKind {
    ATTR_NONE, ATTR_INT, ATTR_FLOAT, ATTR_STRING, ATTR_INTS, ATTR_FLOATS, ATTR_STRINGS, ATTR_TENSOR, ATTR_GRAPH, ATTR_OTHER
} AttrKind;
typedef struct AttrSchema {
    const char *name;
    AttrKind kind;
    int64_t def_int;
    double def_float;
    const char *words; /* of an ENUM, whose kind is ATTR_STRING: "default|other|…"; of WORDS, ATTR_STRINGS */
} AttrSchema;
typedef struct OpInfo {
    const char *name;
    OpDomain domain;
    int since, min_in, max_in, min_out, max_out;
    unsigned dtypes, flags;
    bool (*infer)(Ctx *ctx, Node *n); /* sets the outputs' types from the inputs'; false: diag_error was called */
    const AttrSchema *attrs;
    int n_attrs;
} OpInfo;
const OpInfo *op_info(Op op);
bool op_has(Op op, unsigned flags); /* all of them */
Op op_find(Str domain, Str name);   /* OP_NONE: not in the table; "" and "ai.onnx" are ONNX, "mcc" ours */
const AttrSchema *op_attr(Op op, const char *name);

/* ---- graph.c ---- */
typedef struct Tensor { /* a constant: raw little-endian bytes, packed, row-major */
    Dtype dtype;
    int rank;
    int64_t dims[MCC_MAX_RANK];
    size_t bytes;
    const void *data; /* in an arena or the mapped model; aligned to its element's size; strings: const Str * */
} Tensor;
typedef enum TypeKind { TYPE_UNKNOWN, TYPE_TENSOR, TYPE_SEQUENCE, TYPE_OPTIONAL, TYPE_MAP, TYPE_SPARSE } TypeKind;
typedef struct Type {
    TypeKind kind;
    Dtype dtype;
    int rank; /* -1: not known */
    Dim dims[MCC_MAX_RANK];
    const struct Type *element; /* of a sequence, optional or map */
} Type;
struct Value {
    int id;
    Str name; /* from the model, or empty */
    Type type;
    Node *def; /* NULL: an input of the graph or a constant */
    int def_index;
    const Tensor *constant; /* known at compile time */
    const Dim *content;     /* int32, int64 and bool tensors of few elements: each of them, in order, as a dim (NULL: that one is
                               not known), or NULL */
    const Type *claimed;    /* what the model says of dims that only the run tells, or NULL */
    int n_uses;             /* kept by graph_count_uses: inputs of nodes, and outputs of graphs */
};
struct Attr {
    Str name;
    AttrKind kind;
    int64_t i;
    double f; /* exactly the model's float32 */
    Str s;
    const int64_t *ints;
    const double *floats;
    const Str *strings;
    const Tensor *tensor;
    Graph *graph;
    int n; /* of ints, floats, strings */
};
struct Node {
    int id;
    Op op;
    Str name;
    int index; /* its place in the model's list, for messages: 'conv_3' (Conv-11) */
    Value **in, **out; /* NULL: a missing optional one */
    int n_in, n_out;
    Attr *attrs;
    int n_attrs;
    Graph *body; /* OP_FUSED: what it computes */
    int n_captured; /* OP_CONTROL: so many of the last inputs are what its bodies read from outside */
    Graph *graph;
    Node *prev, *next;
};
struct Graph { /* nodes in topological order: a value is defined before it is used */
    Ctx *ctx;
    Arena *arena;
    Graph *outer;
    Str name;
    Value **inputs, **outputs;
    int n_inputs, n_outputs;
    int opset; /* of ai.onnx, that the model asks for; its operators are in their newest form all the same */
    const char *refused; /* a branch that cannot run on what it is given, which is empty then: why; else NULL */
    bool inferred; /* its nodes have types: what they had before was the model's claim */
    Node *first, *last;
};
Graph *graph_new(Ctx *ctx, Graph *outer);
Value *value_new(Graph *g, Str name);
Value *value_of_tensor(Graph *g, const Tensor *t); /* a constant; content filled where it applies */
void value_set_tensor(Graph *g, Value *v, const Tensor *t);
void value_set_dims(Value *v, Dtype t, int rank, const Dim *dims); /* makes it a tensor type */
bool value_is_static(const Value *v); /* a tensor whose dims are all constants */
bool value_static_dims(const Value *v, int64_t *dims);
Dim value_elements(Ctx *ctx, const Value *v);
enum { VALUE_CONTENT_MAX = 64 };
int value_content(const Value *v); /* how many elements the content has; -1: there is none */
int value_content_const(const Value *v, int64_t out[VALUE_CONTENT_MAX]); /* the same, where all are constants */
bool value_max_bytes(Ctx *ctx, const Value *v, size_t *out); /* at the dims' upper bounds; false: overflow or unbounded */
Tensor *tensor_new(Graph *g, Dtype t, int rank, const int64_t *dims); /* zeroed; counts against --max-fold: NULL after diag_error */
int64_t tensor_int(const Tensor *t, int64_t i); /* element i of an integer or bool tensor */
double tensor_float(const Tensor *t, int64_t i); /* element i of any numeric tensor */
Node *node_new(Graph *g, Op op, Node *before, Value **in, int n_in, int n_out); /* before NULL: at the end; outputs are new values */
void node_remove(Node *n);
void node_move_before(Node *n, Node *before);
const char *node_text(Ctx *ctx, const Node *n); /* 'conv_3' (Conv-11) */
const Attr *node_attr(const Node *n, const char *name); /* NULL: not given */
int64_t node_int(const Node *n, const char *name);      /* given, or the table's default */
double node_float(const Node *n, const char *name);
int node_ints(const Node *n, const char *name, const int64_t **out); /* count; 0 when not given */
int64_t node_int_at(const Node *n, const char *name, int i, int64_t otherwise); /* the i-th of node_ints */
int node_enum(const Node *n, const char *name); /* the word's index in the table's list; -1: not one of them */
enum { WORDS_MAX = 16 };
int node_words(const Node *n, const char *name, int64_t out[WORDS_MAX]); /* count, and their indices; -1: too many, or not one of them */
Attr *node_set_int(Node *n, const char *name, int64_t v);
Attr *node_set_float(Node *n, const char *name, double v);
Attr *node_set_string(Node *n, const char *name, const char *v);
Attr *node_set_ints(Node *n, const char *name, const int64_t *v, int count);
Attr *node_set_tensor(Node *n, const char *name, const Tensor *t);
Attr *node_set_graph(Node *n, const char *name, Graph *g);
void node_remove_attr(Node *n, const char *name);
Value *node_in(const Node *n, int i); /* NULL: absent */
/* OP_ELEMENTWISE, or a QuantizeLinear or DequantizeLinear of f32 (Q: or int32) whose scale and zero point are one number each, known or not */
bool node_is_elementwise(const Node *n);
bool node_infer(Ctx *ctx, Node *n);   /* op_info(op)->infer */
void graph_replace(Graph *g, Value *from, Value *to); /* in every use, outputs of the graph included */
void graph_count_uses(Graph *g);
bool graph_is_output(const Graph *g, const Value *v);

/* ---- control.c: nodes that run graphs. A body is closed: what it reads from outside, constants excepted, are its last inputs, as
 * they are the node's, in the same order in every body of the node ---- */
enum { MAX_BODIES = 2 };
int node_bodies(const Node *n, Graph *out[MAX_BODIES]); /* then_branch, else_branch; or body. How many: 0 for other operators */
int node_carried(const Node *n);                        /* values that a Loop or Scan hands from turn to turn */
enum { LOOP_TURNS = 65536 };                            /* where nothing bounds them, neither the model nor the user */
int64_t node_most_turns(const Node *n);                 /* of a Loop: more are an error at run time */
void node_axis_order(const Node *n, int64_t order[MCC_MAX_RANK]); /* of a MoveAxis: the input's axis that each of the output's is */
int graph_input(const Graph *g, const Value *v);        /* its place among the inputs; -1: it is none of them */
/* Puts the body of `at` in its place: its nodes move before `at`, on args[i] for input i; Identity nodes give its outputs to those
 * of `at`, which goes. Returns the first node that came, or what followed `at`. */
Node *graph_inline(Node *at, Graph *body, Value *const *args);
Graph *graph_copy(const Graph *g, Graph *outer); /* all of it, bodies included; constants are shared */
typedef struct GraphPart { /* nodes from first to the one before end (NULL: the last one) */
    const Node *first, *end;
    Value *const *in, *const *out; /* what they read of what others make, and what is wanted of it all */
    int n_in, n_out;
} GraphPart;
Graph *graph_part(const Graph *g, Arena *a, const GraphPart *part); /* as a graph of its own in `a`; bytes of constants are shared */
bool dim_leaves(Dim d, const Graph *body, const Node *owner); /* no part of it is written by a node of the body, or by owner for it */

/* ---- kernel_args.c: attributes as the words that a reference kernel reads (struct attrs_<op> in runtime/kernels/ref.h) ---- */
#define MAX_ATTR_WORDS 128
int node_attr_words(const Node *n, int64_t words[MAX_ATTR_WORDS]); /* how many; floats as their bits in f64 */
/* Memory that the reference kernel of an OP_SCRATCH operator needs, at the dims' upper bounds; false: overflow. */
bool node_scratch(const Node *n, size_t *bytes);

/* ---- einsum.c ---- */
enum { EINSUM_LABELS = 52 + MCC_MAX_RANK };
typedef struct EinsumTerm { /* of an operand or the result: a label for each axis; `dots` of them are an ellipsis's */
    int rank, dots, labels[MCC_MAX_RANK];
} EinsumTerm;
bool einsum_read(Ctx *ctx, const Node *n, EinsumTerm *in, EinsumTerm *out); /* in: one an operand; false after diag_error */

/* ---- panel.c: grouped convolutions in blocks of channels ---- */
typedef struct Grouping { /* columns (output channels) and input channels of a group, how many groups, channels in a block */
    int64_t cols, channels, groups, block;
} Grouping;
typedef struct BlockRange {
    int64_t first, count;
} BlockRange;
BlockRange panel_blocks(const Grouping *g, int64_t col, int64_t n); /* what columns col … col + n - 1 read */
int64_t range_channels(const Grouping *g, BlockRange r);            /* channels that those blocks hold */
typedef struct NarrowForm { /* of a panel of narrow weights: [groups][n] scales, as many zero points as bytes, then codes */
    Dtype codes;            /* u4, u8; or f16, bf16, with 0 groups */
    int64_t block, groups;  /* weights of a column that share a scale; such blocks */
    bool zeros;             /* of their own */
} NarrowForm;
/* for n columns and `steps` weights a column; a multiple of 64 */
int64_t narrow_panel_bytes(const NarrowForm *f, int64_t n, int64_t steps);

/* ---- tap_quads.c: depthwise windows over bytes, four taps at a time ---- */
enum { TAP_QUAD = 4, TAP_QUAD_KERNEL = 8, TAP_QUAD_SHIFTS = 16 };
typedef struct TapQuads {
    int64_t stride, kernel, step;
} TapQuads;
bool tap_quads_possible(int64_t stride, int64_t dilation, int64_t kernel);
int tap_quads_step(int64_t stride, int64_t kernel, int rows); /* the best for tiles of so many places, 16 at most */
/* How many quads an output place reads: the first begins at pixel *first of the tile, the others TAP_QUAD behind one another. */
int tap_quads_of(const TapQuads *q, int64_t place, int64_t *first);
int tap_quads_shifts(const TapQuads *q, int64_t shifts[TAP_QUAD_SHIFTS]); /* all there are; the quads of weights are in that order */

/* ---- plane.c: maps whose channels are planes of pixels ---- */
enum { PANELS_X = 1, PANELS_Y = 2, PANELS_RESIDUAL = 4 }; /* of mcc.SparseConv: what lies in panels */
enum { PANEL = 16, MAX_STRIDE = 4, MAX_PHASES = MAX_STRIDE * MAX_STRIDE, MAX_KERNEL = 15 };
typedef struct Plane { /* elements: zeros, h rows of w pixels, zeros; all of it together */
    int64_t h, w, lead, size;
} Plane;
typedef struct PlaneWindow { /* of a convolution or pool over two axes */
    int64_t in[2], out[2], kernel[2], stride[2], dilation[2], begin[2], end[2];
} PlaneWindow;
typedef struct PlaneTaps { /* of a window, in rows */
    int n, n_masks;
    bool rows;                                 /* masks count taps beyond the first and last row too */
    int64_t offset[MAX_KERNEL * MAX_KERNEL];   /* from the output's pixel to what is read of the channel's first plane, elements */
    int mask[MAX_KERNEL * MAX_KERNEL];         /* 0: always inside; else which of the masks says where */
    int like[MAX_KERNEL * MAX_KERNEL];         /* a tap of each mask */
} PlaneTaps;
bool plane_possible(const PlaneWindow *w); /* can planes be read so? */
bool plane_is_split(const PlaneWindow *w); /* into phases, or at least into rows of another pitch */
int plane_phases(const PlaneWindow *w, int64_t phases[MAX_PHASES]); /* row · stride + column of each, in order; how many */
int64_t plane_rows(const PlaneWindow *w); /* of a phase */
void plane_taps(const PlaneWindow *w, const Plane *from, bool rows, PlaneTaps *t); /* from: of a phase */
/* out: for each panel of PANEL output pixels `words` words: bits of the masks in order, then of the pixels that there are */
void plane_masks(const PlaneWindow *w, const PlaneTaps *t, int words, uint16_t *out);
void plane_reach(const PlaneWindow *w, int64_t *before, int64_t *behind); /* raises both to what whole panels read beyond the pixels */
Plane plane_of(int64_t h, int64_t w, int64_t before, int64_t behind);
int64_t panel_lines(int64_t channels); /* of a panel [lines][PANEL] of so many channels: an odd number, so that panels spread over the caches' sets */
int64_t panel_pixels(int64_t pixels); /* rounded up to whole panels */
void node_set_plane(Node *n, const char *name, const Plane *p);
Plane node_plane(const Node *n, const char *name);
void node_set_window(Node *n, const PlaneWindow *w);
PlaneWindow node_window(const Node *n);

/* ---- packed.c: the nonzeros of a sparse product as data ---- */
typedef struct PackedForm {
    int64_t rows, sources; /* of the matrix */
    int block;             /* rows that share an entry */
    int vecs;              /* vectors of columns that are multiplied at once */
    int classes;           /* of sources: 0, and one a mask */
    int64_t entries;
    bool wide;          /* places are int32, else uint16 */
    int64_t unit, base; /* a source is at base + place · unit bytes */
} PackedForm;
int64_t packed_blocks(const PackedForm *p);
int64_t packed_places_at(const PackedForm *p); /* bytes from the constant's start */
int64_t packed_weights_at(const PackedForm *p);
int64_t packed_bytes(const PackedForm *p);
void node_set_packed(Node *n, const PackedForm *p);
bool node_is_packed(const Node *n);
PackedForm node_packed(const Node *n);

/* ---- cell.c: the steps of recurrent operators, as packing and code generation must agree on them ---- */
typedef enum CellKind { CELL_RNN, CELL_LSTM, CELL_GRU, CELL_GRU_LINEAR } CellKind; /* LINEAR: linear_before_reset */
typedef struct CellPart { /* gates whose sums are one product */
    int n_gates, gates[4];
    bool reset; /* with what the stage before left, in place of the state */
} CellPart;
typedef struct CellStage { /* what is computed for all hidden units before the next stage begins */
    int n_parts, n_gates;
    CellPart parts[2];
} CellStage;
typedef struct Cell {
    int gates, n_stages;
    int apart;    /* a gate whose sum over the state does not meet that over the input before the body; -1: none */
    bool carries; /* a second state, c */
    CellStage stages[2]; /* the body's output 0 is the next state, or, before it, what stage 0 leaves; LSTM: 1 is the next c */
} Cell;
const Cell *cell_of(CellKind kind);

/* ---- print.c, verify.c ---- */
void graph_print(const Graph *g, FILE *out);  /* the text of --emit=graph */
int node_lines(const Node *n);                /* how many of its lines are the node's; the graph's own one stands before them */
bool graph_verify(const Graph *g, FILE *out); /* invariants; says what is broken, and returns false */

#endif
