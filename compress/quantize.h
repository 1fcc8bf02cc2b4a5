/* Post-training quantization of a float graph: which nodes become integer (choose.c), with which scales (params.c), and
 * the QuantizeLinear and DequantizeLinear nodes that say so (insert.c). What they mean to code generation is the
 * passes' business. A table of contents; each group stands under the file that defines it. */
#ifndef MCC_QUANTIZE_H
#define MCC_QUANTIZE_H

#include "compress/equalize.h"
#include "compress/observe.h"
#include "compress/rounding.h"
#include "compress/seen.h"
#include "ir/ir.h"
#include "passes/passes.h"

typedef enum QuantMode { /* of a node; or of all, where nothing else is said */
                         QUANT_NONE /* float32; of all: the names alone, for prune.c */,
                         QUANT_INT8,
                         QUANT_DYNAMIC,
                         QUANT_W8,
                         QUANT_W4,
                         QUANT_F16,
                         QUANT_BF16
} QuantMode;
typedef struct QuantOptions {
    QuantMode mode;
    RangeMethod method;
    double percentile;
    bool symmetric;            /* activations are int8 around 0; else uint8 with a zero point */
    const char **skip, **only; /* names of nodes, or operators */
    int n_skip, n_only;
    int block;       /* weights of 4 bits that share a scale */
    bool asymmetric; /* weights of w8 and w4 have zero points */
    Rounding rounding;
    bool correct_biases; /* with ROUND_NEAREST too; the others do it anyway */
    EqualizeKind equalize;
    double alpha;                   /* of EQUALIZE_SAMPLES, or ALPHA_BEST */
    const Target *target;           /* whose costs decide what is worth it; NULL: whatever is possible is quantized */
    const Target *runs_on;          /* whose tables and signs its kernels like; NULL: of none in particular */
    const struct PlanFile *follows; /* whose tensors say what is looked up, whatever it runs on; or NULL */
    Winograd winograd;              /* what convolutions of floats may become */
    bool small;                     /* bytes count instead of cycles */
} QuantOptions;

const char *quant_mode_name(QuantMode m);
bool quant_mode_find(const char *word, QuantMode *out);
typedef struct NodeMode {
    const char *name;
    QuantMode mode;
} NodeMode;

typedef struct QuantTensor { /* an activation that is held as integers */
    Value *value;
    const char *name;                 /* in plan files: the value's, or, where that is no good, "#N" by its place */
    struct QuantTensor *shares;       /* another tensor's scale and zero point; NULL: it has its own */
    bool by_integers;                 /* made by a quantized node: all its users read it dequantized */
    struct QuantTensor *gated, *gate; /* it is these two's product, and may take its scale from them; or NULL */
    const Node *looked_up;            /* the only reader, a table of what is known of it then; or NULL */
    bool known;                       /* scale and zero are set */
    float scale;
    int zero;
} QuantTensor;
typedef struct RoundedWeights { /* of a node, ahead of the insertion */
    RoundWeights form;          /* scales and codes; not w */
    const float *bias;          /* by channel; NULL: there is none */
} RoundedWeights;
typedef struct QuantNode { /* a node that could work on integers */
    Node *node;
    const char *name;              /* the node's, or "Conv#N" */
    bool chosen;                   /* the user does not keep it in float */
    QuantMode mode;                /* what becomes of it, where it is chosen */
    bool dear;                     /* integers cost more than they save: it stays in float */
    bool active;                   /* integers flow through it */
    const char *why;               /* it is quantized, or not; NULL: nothing is to be said of it */
    Hessian *hessian;              /* of its inputs, to round its weights by; NULL: each goes to the nearest */
    const RoundedWeights *rounded; /* known ahead; NULL: they are found when they are inserted */
    Seen *seen;                    /* of its input's channels; NULL: nobody asks */
} QuantNode;
typedef struct QuantPlan {
    Graph *graph;
    QuantOptions options;
    QuantTensor *tensors; /* in the graph's order */
    QuantNode *nodes;
    int n_tensors, n_nodes;
    QuantTensor **of_value;   /* by value id; NULL: it stays float */
    QuantNode **of_node;      /* by node id */
    const char **value_names; /* of all float32 values but constants, by value id */
    int n_ids;
    const Equalization *equalization; /* that the graph has been given; NULL: none */
    bool in_order;         /* weights are rounded ahead: nodes[…].rounded, not by Hessians of the float network */
    bool seams;            /* its graph's are open: it serves to find an equalization */
    const NodeMode *modes; /* of nodes that a plan file names */
    int n_modes;
} QuantPlan;

/* ---- choose.c ---- */
/* For the same graph and options, the same plan. modes: nodes that are not what the options say. NULL after diag_error:
 * an unknown name in skip or only. */
QuantPlan *quant_choose(Graph *g, const QuantOptions *o, const NodeMode *modes, int n_modes);
bool quant_is_planned(const QuantPlan *p, const QuantNode *q); /* does a plan file name it? */
QuantTensor *quant_root(QuantTensor *t);                       /* whose scale and zero point it takes */
/* Of the same graph, with other nodes in float: scales by names, and what weights are rounded by. false: from lacks one
 */
bool quant_take_ranges(QuantPlan *to, const QuantPlan *from);

/* ---- cost.c, in cycles, or in bytes where these count ---- */
typedef struct Cost {
    double f32, integer;
} Cost;
Cost cost_contraction(Ctx *ctx, const QuantOptions *o, Node *n, bool stored); /* stored: its result is rounded */
/* Of a node that only moves, or with `rounds` computes and rounds. read, written: elements in memory */
Cost cost_passage(const QuantOptions *o, int64_t read, int64_t written, bool rounds);
Cost cost_lookup(const QuantOptions *o, const Node *n);                    /* of an activation that is looked up */
Cost cost_gate(const QuantOptions *o, const Node *n);                      /* of a Mul by a gate */
double cost_quantize(const QuantOptions *o, int64_t elements, bool fused); /* fused: with what makes them */
double cost_dequantize(const QuantOptions *o, int64_t elements);
double cost_find_range(const QuantOptions *o, int64_t elements); /* by the values at hand, and cost_quantize */
const char *cost_text(Ctx *ctx, const QuantOptions *o, Cost c);
int64_t cost_elements(const Value *v); /* at most */

/* ---- seams.c: before channels_find, and after equalize_apply; false after diag_error ---- */
bool seams_open(Graph *g, const QuantOptions *o); /* dynamic: behind activations that are computed by themselves too */
bool seams_close(Graph *g);

/* ---- gates.c ---- */
/* The input of a Mul that is one number for each channel of the other, where the target multiplies bytes; -1: none */
int quant_gate_of(const QuantOptions *o, const Node *n);
/* Products of gates whose range allows it get the scale that makes them bytes times 255ths. All scales are known. */
void quant_scale_gates(QuantPlan *p);

/* ---- lookups.c ---- */
bool quant_looks_up(const QuantOptions *o,
                    const Node *n);             /* an activation whose input is rounded, for a table's sake */
Range quant_range_read(const Node *n, Range r); /* of that input, as far as it matters to the result */

/* ---- cut.c ---- */
typedef struct Cut Cut; /* things in one of two states, A or B, at the least cost */
enum { CUT_A, CUT_B, CUT_THINGS };
Cut *cut_new(Arena *a, int n);                   /* things 0 … n - 1; CUT_A and CUT_B are what they say */
void cut_add(Cut *c, int a, int b, double cost); /* paid if a is in A and b in B; INFINITY: that must not be */
void cut_solve(Cut *c, bool *in_b);              /* of several solutions, the one with the most in A */

/* ---- params.c ---- */
/* Sets scale and zero point from a range; warns where there is nothing to go by, and takes a scale of 1. */
void quant_set_range(Ctx *ctx, QuantTensor *t, Range r, bool symmetric);
bool quant_activations_signed(
    const QuantOptions *o); /* int8, of which symmetric ones are; asymmetric ones are moved by 128 */
/* Weights as int8 around 0, a scale a channel: w[outer][channels][inner]. bias: by channel, or NULL; sums: the scale of
 * the activations, so that the bias in units of sums · scale fits int32. false: they are not finite, or too small. */
typedef struct WeightShape {
    int64_t outer, channels, inner;
} WeightShape;
bool quant_weights(const float *w, WeightShape s, const float *bias, float sums, int8_t *out, float *scales);
bool quant_bias(const float *bias, int64_t n, float sums, const float *scales, int32_t *out, float *bias_scales);

/* ---- want.c ---- */
bool quant_wants_inputs(const QuantOptions *o); /* weights are rounded, or biases corrected, by what they meet */
/* For these: an empty Hessian, in `a`, for each contraction whose weights will be rounded; equal inputs share one. */
void quant_want_hessians(QuantPlan *p, Arena *a);
void quant_want_seen(QuantPlan *p, Arena *a); /* of the input of each contraction; equal inputs share one */
void quant_channels_seen(const QuantPlan *p, const ChannelMap *m, ChannelSeen *seen); /* by root */

/* ---- contraction.c: what of a contraction is constant, and how it lies ---- */
typedef struct Contraction {
    const Tensor *weights, *bias; /* bias: one a channel; NULL: there is none */
    int channel_axis;             /* of the weights */
    WeightShape shape;
    int64_t depth; /* products in a sum */
} Contraction;
bool contraction_read(const Node *n, Contraction *c); /* false: not one that can be quantized */
bool weights_finite(const Tensor *w);                 /* of float32: no NaN, no infinity */
void quant_stand_in(Node *n, Value *y);               /* y, of another node, becomes n's only result, and n goes */

/* ---- rounded.c ---- */
bool is_rounded(const QuantPlan *p, const QuantNode *q, Contraction *c); /* will its weights be codes? */
/* Weights of 4 bits that share a scale: of a product the largest number, at most the wanted one, that divides its sums,
 * 16 at least. 0: there is none, and they keep 8 bits */
int64_t round_block(const Node *n, int64_t depth, int64_t wanted);
/* Room for codes and scales of a node of mode w8 or w4 (halves: where that can be), the scales to be found */
void round_form(const Node *n, const Contraction *c, const QuantOptions *o, bool halves, RoundWeights *r, Arena *a);
/* Codes for `target`, [channels][depth], by h, whose bias has gained moves; in `a`. NULL: they cannot be codes */
RoundedWeights *round_ahead(const QuantPlan *p, const QuantNode *q, const Contraction *c, const double *target,
                            const double *moves, Hessian *h, Arena *a);

/* ---- small.c ---- */
void quant_keep_small(QuantPlan *p, Arena *scratch); /* small weights of w4 become w8, where no plan file names them */

/* ---- insert.c ---- */
bool quant_insert(QuantPlan *p); /* all tensors are known. false after diag_error */
/* Instead of that: beside the node of each active contraction another one, which alone is quantized. twins[i]: of
 * nodes[i]; NULL: it has none. false after diag_error */
bool quant_twins(QuantPlan *p, Node **twins);

/* ---- weights.c: dynamic, w8, w4 ---- */
bool quant_products(QuantPlan *p); /* its chosen contractions. false after diag_error */

/* ---- tables.c: w8, w4 of Gather ---- */
bool quant_table(const QuantPlan *p, Node *n); /* of a table; n may go. false after diag_error */

/* ---- half.c: f16, bf16 ---- */
bool quant_halves(QuantPlan *p); /* weights of nodes of these modes. false after diag_error */
bool recurrent_read(const Node *n); /* an LSTM, GRU or RNN of constant float32 W and R */
bool table_read(const Node *n);  /* a Gather of rows of a constant of float32 */

/* ---- dynamic.c ---- */
typedef struct DynamicInputs DynamicInputs; /* what is quantized as it comes, each once */
DynamicInputs *dynamic_inputs(const QuantPlan *p);
bool quant_dynamic(DynamicInputs *d, Node *n, const Contraction *c); /* of a product; n goes. false after diag_error */

/* ---- plan_file.c ---- */
void plan_write(const QuantPlan *p, FILE *out);
typedef struct PlanFile PlanFile;
PlanFile *plan_read(Ctx *ctx, const char *path, QuantMode all); /* NULL after diag_error */
const NodeMode *plan_modes(const PlanFile *f, int *n);          /* of its nodes */
bool plan_apply(const PlanFile *f, QuantPlan *p);               /* sets what the file knows; false after diag_error */
bool plan_names(const PlanFile *f, const Value *v);             /* there is a line of this tensor */
bool plan_has_tensors(const PlanFile *f); /* or factors of channels: the equalization is what it says */
/* NULL after diag_error */
Equalization *plan_equalization(const PlanFile *f, const QuantPlan *p, ChannelMap *m);

/* ---- plan_prune.c ---- */
bool plan_prunes(const PlanFile *f); /* does it say anything of zeros? */

/* ---- plan_channels.c ---- */
/* For the file, in the graph's memory. p: of the graph with open seams */
const char *plan_channels_text(const QuantPlan *p, const ChannelMap *m, const Equalization *e);
/* One line's; NULL, or why not */
const char *plan_read_channels(const QuantPlan *p, ChannelMap *m, Equalization *e, const char *name, const char *text);

#endif
