/* What the files of frontend/ share: the reader's state, and who does what. A table of contents; each group stands
 * under the file that defines it. Every function that returns false or NULL has called diag_error. */
#ifndef MCC_FRONTEND_READER_H
#define MCC_FRONTEND_READER_H

#include "ir/ir.h"
#include "onnx.pb-c.h"

enum { OPSET_MIN = 1, OPSET_MAX = 27, IR_VERSION_MAX = 13, MAX_GRAPH_DEPTH = 30, MAX_MESSAGE_DEPTH = 100 };
#define MAX_DIM ((int64_t)1 << 40) /* of a declared or a stored dim */

typedef struct Mapped { /* a file, read-only */
    const char *path;
    const uint8_t *data;
    size_t size;
    uint64_t device, inode;
    struct Mapped *next;
} Mapped;

typedef struct Span { /* bytes of a file that protobuf-c does not get to see: field `field` of a Tensor */
    uint32_t field;
    const uint8_t *data;
    size_t size;
} Span;

typedef enum DefKind { DEF_INITIALIZER, DEF_INPUT, DEF_NODE } DefKind;
typedef struct Def { /* a name that a graph defines */
    Str name;
    Value *value;
    DefKind kind;
    int place; /* among those of its kind */
} Def;

typedef struct Scope {
    Def *defs; /* sorted by name */
    size_t n_defs;
    const struct Scope *outer;
} Scope;

typedef struct Unsupported {
    Str domain, op, node;
    int index;
    bool inner; /* inside a subgraph */
    bool listed;
    struct Unsupported *next;
} Unsupported;

typedef struct FunctionCall { /* of a function of the model, while its body is read */
    const Pb__Function *f;
    Pb__Attribute **attrs; /* that the call gives: none refers to another any more */
    size_t n_attrs;
    const struct FunctionCall *outer;
    int depth;
} FunctionCall;

typedef struct Reader {
    Ctx *ctx;
    Arena *scratch;   /* what protobuf-c made, and tables of names: freed when the graph stands */
    const char *path; /* of the file being read: external data lies beside it */
    const char *what; /* before each message about the file: empty for the model, else "input_0.pb: " */
    const Span *spans;
    size_t n_spans;
    const Pb__Model *model;
    const Pb__ValueInfo **infos; /* of the outermost graph's inputs */
    int opset;                /* of what is being read: the model, or a function */
    const FunctionCall *call; /* NULL: no function is being read */
    const Pb__Function **functions; /* of the model, sorted */
    size_t n_called;          /* nodes that calls have become */
    Unsupported *unsupported, **unsupported_end;
} Reader;

static inline bool is_standard(Str domain) { return domain.n == 0 || str_is(domain, "ai.onnx"); }
static inline Str str_pb(ProtobufCBinaryData b) { return (Str){(const char *)b.data, b.len}; }

/* ---- map.c ---- */
const Mapped *map_file(Ctx *ctx, const char *path, const char *what);
const Mapped *map_external(Ctx *ctx, const char *beside, Str location, const char *label);
void map_forget(const uint8_t *p, size_t n); /* n bytes were copied: their pages need not stay in memory */

/* ---- prescan.c ---- */
/* Checks the file's bytes against `type`, then unpacks them into r->scratch; sets r->spans. */
const void *wire_unpack(Reader *r, const Mapped *file, const ProtobufCMessageDescriptor *type);
bool wire_varint(const uint8_t **at, const uint8_t *end, uint64_t *out); /* false: it does not end before `end` */

/* ---- tensor.c ---- */
/* label: what the tensor is, for messages: "initializer 'w'". at: the node that holds it, or NULL. */
const Tensor *tensor_read(Reader *r, Graph *g, const Pb__Tensor *p, const Node *at, const char *label);
const Tensor *tensor_read_sparse(Reader *r, Graph *g, const Pb__SparseTensor *p, const Node *at, const char *label);

/* ---- types.c ---- */
bool type_read(Reader *r, const Pb__Type *p, const char *label, Type *out); /* an open dim is NULL */
const char *type_text(Ctx *ctx, const Type *t);
bool check_declared(Reader *r, const Value *v, const Type *declared); /* of a constant */

/* ---- dims.c ---- */
bool resolve_inputs(Reader *r, Graph *g); /* completes the types of g's inputs, under the user's pins and bounds */

/* ---- scope.c ---- */
bool scope_close(Reader *r, Scope *s);               /* sorts; false: a name is defined twice */
bool scope_has(const Scope *s, Str name, Value **value); /* also where it names an absent input of a function */
Value *scope_find(const Scope *s, Str name);         /* here, then outwards; NULL: nowhere */
bool graph_sort(Ctx *ctx, Arena *scratch, Graph *g); /* topological order; false: a cycle */

/* ---- attrs.c ---- */
bool attrs_read(Reader *r, Node *n, const Pb__Node *p, const Scope *scope, int depth);
bool constant_take(Reader *r, Node *n); /* a Constant node goes, its output becomes a constant */

/* ---- function.c ---- */
bool functions_sort(Reader *r); /* false: there are two of one name */
const Pb__Function *function_find(const Reader *r, const Pb__Node *call); /* NULL: it calls none */
const Pb__Node *function_node(Reader *r, const Pb__Node *p); /* a node of r->call's function, its attributes being those of the call */
bool function_enter(Reader *r, const Node *at, const Pb__Node *p, const Pb__Function *f, FunctionCall *call);
void function_leave(Reader *r, const FunctionCall *call, int opset);

/* ---- graph.c ---- */
Graph *graph_read(Reader *r, const Pb__Graph *p, Graph *outer, const Scope *scope, int depth);

/* ---- capture.c ---- */
void graph_close(Reader *r, Graph *g); /* bodies read inputs of their own alone, see ir/control.c */

/* ---- check.c ---- */
bool node_check(Ctx *ctx, Node *n); /* arity and attributes, in the newest form */
void unsupported_add(Reader *r, const Pb__Node *p, int index, bool inner);
void unsupported_list(Reader *r);

/* ---- upgrade.c ---- */
Op upgrade_find(Str domain,
                Str name); /* like op_find, for a model's operators, names that the standard dropped included */
bool upgrade_node(Ctx *ctx, Node *n, Str name,
                  int opset); /* name: the model's; n keeps its outputs' values and names */
Node *upgrade_insert(Node *near, Op op, Node *before, Value **in, int n_in); /* with one output; named as `near` */
void upgrade_hand_output(Node *n, int i,
                         Node *to); /* output i of n becomes to's only one; n gets a fresh value there */

/* ---- upgrade_scan.c ---- */
bool upgrade_scan_batch(Ctx *ctx, Node *n); /* the form of opset 8 */
bool upgrade_scan_axes(Ctx *ctx, Node *n);

/* ---- ancient.c ---- */
bool ancient_node(Ctx *ctx, Node *n, Str name, int opset); /* before upgrade_node's work, for nodes of opsets 1 to 6 */

/* ---- microsoft.c ---- */
Op microsoft_find(Str name);                      /* like upgrade_find, of ONNX Runtime's own domain */
bool microsoft_node(Ctx *ctx, Node *n, Str name); /* before upgrade_node's work, for every node */

/* ---- microsoft_products.c ---- */
bool microsoft_narrow(Ctx *ctx, Node *n);           /* MatMulNBits */
bool microsoft_dynamic_product(Ctx *ctx, Node *n);  /* DynamicQuantizeMatMul */
bool microsoft_product_to_float(Ctx *ctx, Node *n); /* MatMulIntegerToFloat */
bool microsoft_dynamic_lstm(Ctx *ctx, Node *n);

/* ---- microsoft_fused.c ---- */
bool microsoft_bias_gelu(Ctx *ctx, Node *n);
bool microsoft_fast_gelu(Ctx *ctx, Node *n);
bool microsoft_quick_gelu(Ctx *ctx, Node *n);
bool microsoft_embed_norm(Ctx *ctx, Node *n);
bool microsoft_fused_conv(Ctx *ctx, Node *n);
bool microsoft_fused_gemm(Ctx *ctx, Node *n);
bool microsoft_simplified_norm(Ctx *ctx, Node *n);
bool microsoft_skip_norm(Ctx *ctx, Node *n); /* SkipLayerNormalization, SkipSimplifiedLayerNormalization */

#endif
