/* What passes share: rewriting while walking the graph, and looking at constants. */
#ifndef MCC_PASSES_INTERNAL_H
#define MCC_PASSES_INTERNAL_H
#include "passes/passes.h"

#define PASS(name, what) bool pass_##name(Graph *g, PassCtx *p);
#define REQUIRED(name, what) bool pass_##name(Graph *g, PassCtx *p);
#include "passes/passes.def"

/* ---- rewrite.c: one walk in topological order that changes what it meets. Use counts (outputs of the graph are uses)
 * are right at every step; nodes that lose their last use are removed at once. Rules look upwards, at what has been
 * visited. ---- */
typedef struct Rewrite {
    Graph *g;
    Ctx *ctx;
    Arena *scratch; /* of the walk */
    Node *next;
    Value **to; /* by value id: what took its place */
    bool *is_output;
    int n_ids; /* of both; values made on the way are beyond */
    Node **dead;
    int n_dead, cap_dead;
    bool changed;
} Rewrite;
void rewrite_begin(Rewrite *r, Graph *g);
Node *rewrite_next(Rewrite *r); /* its inputs are up to date; NULL: the walk is over */
bool rewrite_end(Rewrite *r);   /* changed? */
/* The node's only wanted output is `with`. Where an output of the graph must keep its own name, n becomes an Identity.
 */
void rewrite_replace(Rewrite *r, Node *n, Value *with);
/* n computes the same value, of the same type, otherwise; attributes are gone. */
void rewrite_become(Rewrite *r, Node *n, Op op, Value **in, int n_in);
void rewrite_remove(Rewrite *r, Node *n); /* nobody needs it any more */
void rewrite_input(Rewrite *r, Node *n, int i, Value *with);
/* A new node before n, named as it in messages, with one output; rewrite_infer once its attributes are set. */
Node *rewrite_insert(Rewrite *r, Node *n, Op op, Value **in, int n_in);
Node *rewrite_insert_many(Rewrite *r, Node *n, Op op, Value **in, int n_in, int n_out); /* with so many outputs */
void rewrite_define(Rewrite *r, Node *made,
                    Value *v); /* from here on v is what `made` makes: name, type and uses stay */
Value *rewrite_view(Rewrite *r, Node *n, Value *x, int rank, const Dim *dims); /* x's elements under other dims */
void rewrite_infer(Rewrite *r, Node *n);

/* ---- turn.c ---- */
/* An int64 of one element that differs from turn to turn of all loops around the node; NULL: there are none. */
Value *turn_before(Node *before);

/* ---- values.c: what is known of a value ---- */
bool value_same_type(const Value *a, const Value *b); /* tensors of one dtype and the same dims */
bool value_same_dims(const Value *a, const Value *b);
bool value_has_data_dims(const Value *v);
bool value_is_float(const Value *v);
Node *value_def(const Value *v, Op op);        /* the node that makes v, where it is an `op` */
Node *value_only_def(const Value *v, Op op);   /* and v has no other use */
bool const_splat(const Value *v, double *out); /* a numeric constant whose elements are all this number; at least one */
bool const_is(const Value *v, double x);
bool near(Dtype t, double a, double b);
bool const_ints(const Value *v, const int64_t **out, int64_t *n,
                Arena *a);                        /* a constant list of integers; NULL: absent */
Value *const_scalar(Graph *g, Dtype t, double v); /* rank 0 */
Value *const_ints_value(Graph *g, const int64_t *v, int64_t n);
void tensor_set_float(Tensor *t, int64_t i, double v); /* rounds to nearest even */
bool fold_fits(Ctx *ctx, Dtype t, int64_t elements);   /* tensor_new would not complain */
int64_t axis_of(int64_t axis, int rank);               /* counted from the front; -1: out of range */
void node_copy_attrs(Node *to, const Node *from);
bool broadcast_gives(Value *const *in, int n, const Value *out); /* these operands alone broadcast to out's dims */

/* ---- narrow.c: weights of 16 bits ---- */
const Tensor *narrow_floats(const Value *v); /* the constant of float16 or bfloat16 that it is as float32; NULL */
bool narrow_finite(const Tensor *floats);    /* of 16 bits: all of them */
int narrow_operand(const Node *n);           /* the input that is such a constant, which its kernel reads as it is; -1 */
bool narrow_recurrent(const Node *n);         /* does an LSTM, GRU or RNN read W and R so? */

/* ---- split_movement.c ---- */
bool movement_splits(const Node *n); /* does it move elements that no kernel moves as they are? */
void split_movement(Rewrite *r, Node *n);

/* ---- split_ngrams.c ---- */
void split_ngrams(Rewrite *r, Node *n); /* TfIdfVectorizer -> mcc.Ngrams */

/* ---- steps.c: multiplications and additions of a constant that varies along one axis at most ---- */
typedef struct Step {
    bool is_scale, inverse; /* x · c or x + c; inverse: x / c or x - c */
    Value *x;
    int axis;        /* of x, along which c varies; -1: it is the same everywhere */
    int64_t n;       /* how many there are */
    const Tensor *c; /* the numbers in order */
} Step;
bool step_read(const Node *n, Step *s);
bool step_constant(const Value *c, const Value *like, Step *s); /* axis, n and c alone: c broadcast to `like` */
double step_at(const Step *s, int64_t i);                       /* what is multiplied or added at place i of the axis */
bool step_is_finite(const Step *s);
/* Weights as [groups][outer][channels][inner], scaled by channel group · channels + i. NULL: no room, or an overflow */
typedef struct WeightOrder {
    int64_t groups, outer, channels, inner;
} WeightOrder;
Value *weights_scaled(Rewrite *r, const Tensor *w, WeightOrder o, const Step *by);

/* ---- narrow_weights.c: weights of Conv that the object holds narrower than f32 ---- */
typedef struct NarrowWeights { /* channel m's weight k: codes[m · depth + k] less its zero point, times its scale */
    const Tensor *codes;        /* of 4 or 8 bits; or f16 and bf16, which have neither */
    const Tensor *scale, *zero; /* one, or [channels][groups]; zero NULL: 0 */
    int64_t channels, depth;
    int64_t block, groups; /* weights of a channel that share a scale, the last block may be shorter; blocks */
    bool one_scale;
} NarrowWeights;
/* DequantizeLinear or Cast of a constant, perhaps viewed, as the weights of a Conv that the target expands as it
 * computes, where that is fewer bytes. Says the same all through the pipeline. */
bool narrow_weights_read(const Node *conv, const Target *t, NarrowWeights *w);
float narrow_scale(const NarrowWeights *w, int64_t channel, int64_t k);
int64_t narrow_zero(const NarrowWeights *w, int64_t channel, int64_t k);

#endif
