/* The function of a graph while it is built: the model's own, and one for each body of control flow. */
#ifndef MCC_CODEGEN_BODY_H
#define MCC_CODEGEN_BODY_H
#include "codegen/gen.h"

typedef struct Body {
    Gen *g;
    const Graph *graph;
    LLVMBuilderRef b;
    LLVMValueRef fn, workspace, state; /* state: where the model's workspace begins */
    LLVMValueRef *in, *out, *out_dims;
    Symbol *symbols;
    int n_symbols;
    bool *compared; /* by place in ctx->equal */
} Body;

LLVMValueRef body_place(Body *s, const Value *v); /* a pointer to it */
LLVMValueRef body_dim(Body *s, Dim d);
void body_require(Body *s, LLVMValueRef status); /* goes on where it is MCC_OK, returns it otherwise */
void body_define(Body *s, Dim symbol, LLVMValueRef value);
LLVMValueRef body_bytes(Body *s, const Value *v); /* its size, i64 */
void body_copy(Body *s, LLVMValueRef to, LLVMValueRef from, LLVMValueRef bytes);
/* The function of a graph that a node of s->graph runs, which may use all dims that s knows by now, and `more` ones. */
LLVMValueRef body_function(Body *s, const Graph *graph, const Symbol *more, int n_more);
/* Calls it; in, out: pointers; dims: for each output, where its dims go if they depend on data; workspace: of its own. */
void body_call(Body *s, const Graph *graph, LLVMValueRef fn, LLVMValueRef *in, LLVMValueRef *out, LLVMValueRef *dims,
               const Symbol *more, int n_more, LLVMValueRef workspace);

/* ---- control.c ---- */
bool control_run(Body *s, const Node *n); /* false after diag_error */

#endif
