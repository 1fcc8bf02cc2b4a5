/* What the files of eval/ share. */
#ifndef MCC_EVAL_INTERNAL_H
#define MCC_EVAL_INTERNAL_H
#include "ir/ir.h"
#include "runtime/kernels/ref.h"

typedef int RefKernel(const mcc_arg *a, const mcc_attr *at);
typedef int ShapeKernel(mcc_arg *a, const mcc_attr *at);
typedef struct EvalKernels {
    RefKernel *run;
    ShapeKernel *shape; /* NULL: inference knows the output's dims */
} EvalKernels;
const EvalKernels *eval_kernels(Op op);

/* The sizes of symbols, as the tensors at hand show them. */
typedef struct EvalSymbol {
    Dim dim;
    int64_t value;
} EvalSymbol;
typedef struct EvalEnv {
    Arena *arena;
    EvalSymbol *symbols;
    int n, capacity;
    const struct EvalEnv *outer; /* of the graph around it; NULL: none */
} EvalEnv;
/* eval_graph where the dims of `outer` are known */
bool eval_graph_in(Ctx *ctx, const Graph *g, const Tensor *const *in, Tensor **out, int *status, const EvalEnv *outer);
void eval_bind(EvalEnv *env, const Value *v, const Tensor *t); /* dims of v that are plain symbols have t's sizes */

/* ---- node.c: where all that d is made of is known ---- */
bool eval_dim(const EvalEnv *env, Dim d, int64_t *size);

/* ---- control.c: eval_node_in for nodes that run graphs ---- */
bool eval_control(Ctx *ctx, const Node *n, const Tensor *const *in, Tensor **out, int *status, Graph *home,
                  const EvalEnv *env);

/* eval_node, with its outputs in `home` and dims that inference leaves open read from env (NULL: none). */
bool eval_node_in(Ctx *ctx, const Node *n, const Tensor *const *in, Tensor **out, int *status, Graph *home,
                  const EvalEnv *env);

#endif
