/* What a compile made of a model, for people (a page) and programs (JSON), from one structure: layers, weights, memory.
 */
#ifndef MCC_REPORT_H
#define MCC_REPORT_H

#include "codegen/codegen.h"
#include "compress/observe.h"
#include "ir/ir.h"
#include "passes/passes.h"

typedef struct ReportLayer {  /* a node that code was generated for, in order */
    const char *name, *op;    /* of the model's node that it stands for, escaped; or mcc's */
    const char *form;         /* of its code */
    const char *dtype, *dims; /* of its first output */
    const char *weights;      /* how they are stored: a dtype, or "" without weights */
    const char *scheme, *why; /* int8, w4, …, f32 or what else its result is; why it is so, or "" */
    int index;                /* the last node's place in the model; -1: it stands for none */
    int nodes;                /* of the model that became this layer, as far as can be told */
    size_t before, after;     /* bytes of constants, in the model and in the object */
    double work;              /* multiplications of the contractions in it, as dense ones; sizes that are open at most */
    double made;              /* bytes of its first output, at most */
    size_t code;              /* bytes of straight-line code made of its weights */
    int64_t values, zeros;    /* float weights of its products, before quantization; those that are 0 */
    const char *pattern;      /* how the zeros lie; "" where there are none */
    double cycles, dense_cycles; /* estimates: code of the nonzeros, the dense form; NAN: nothing was weighed up */
    double sqnr;              /* of its result, as of ReportNoise; NAN: not known */
    double microseconds;      /* of a call of this layer alone; NAN: not measured */
} ReportLayer;

typedef struct ReportBlock { /* of workspace: bytes [offset, offset + bytes) are taken from layer first to layer last */
    const char *name;        /* of the value; of scratch memory the layer's */
    bool scratch;
    size_t bytes, offset;
    int first, last;
} ReportBlock;

enum { REPORT_BINS = 48 };
typedef struct ReportRange { /* an activation that calibration has seen, and how it became integers */
    const char *tensor;
    int64_t values;
    double low, high, scale;
    int zero;
    double sqnr; /* signal to noise against the float model, dB, on the code that is emitted; NAN: not known */
    int n_bins;  /* bin i counts the values in [first + i * step, first + (i + 1) * step) */
    double first, step;
    uint64_t bins[REPORT_BINS];
} ReportRange;
typedef struct ReportNode { /* one that could be quantized */
    int index;              /* its place in the model */
    bool contracts;
    const char *scheme, *why;
} ReportNode;
typedef struct ReportNoise { /* of what a node of the model makes */
    int index;
    double sqnr; /* dB; INFINITY: it is the float model's, bit for bit */
} ReportNoise;
typedef struct ReportZeros { /* in the weights of a product of the model */
    int index;
    int64_t weights, zeros;
    const char *pattern; /* of sparse_pattern; NULL: there are none */
} ReportZeros;
typedef struct ReportRemark { /* -Wquant-fallback, of a node of the model */
    int index;
    const char *text;
    struct ReportRemark *next;
} ReportRemark;
typedef struct ReportTrial { /* of --max-drop */
    int in_float;            /* products */
    double drop;
} ReportTrial;
typedef struct ReportPoint { /* a setting that mcc search has tried */
    const char *name;
    double drop, milliseconds;
    size_t flash, ram;
    bool front, chosen; /* front: none is as good in everything */
} ReportPoint;
typedef struct ReportPoints {
    const ReportPoint *item;
    int n;
    const char *metric; /* of the drops */
} ReportPoints;
typedef struct ReportRanges { /* what the steps of a compile leave for the report */
    ReportRange *item;
    int n;
    ReportNode *nodes;
    ReportNoise *noises;
    ReportTrial *trials;
    ReportZeros *zeros;
    ReportRemark *remarks; /* the latest first */
    int n_nodes, n_noises, n_trials, n_zeros;
    int noise_samples; /* that noise was measured on; 0: it was not */
    bool noise_is_random;
    const char *metric; /* of the trials, and the drop that is allowed */
    double most_drop;
    const ReportPoints *points; /* NULL: there was no search */
} ReportRanges;

typedef struct Report {
    const char *model, *target, *version;
    ReportLayer *layers;
    ReportBlock *blocks;
    int n_layers, n_blocks;
    size_t before, after; /* all constants; after: the weights section, as it is aligned */
    size_t code;          /* bytes of straight-line code made of weights */
    size_t object;        /* bytes of what was written */
    size_t elsewhere;     /* of before: constants of nodes that no layer came from */
    size_t model_nodes;
    int64_t values, zeros; /* float weights of products; those that are 0 */
    size_t workspace, lower_bound;
    ReportRanges ranges;
} Report;

/* ---- report.c ---- */
typedef struct ReportModel ReportModel;
ReportModel *report_begin(Ctx *ctx, const Graph *imported); /* before any pass */
void report_observed(ReportRange *r, const Observer *o);    /* values, low, high and bins */
Report *report_end(Ctx *ctx, const ReportModel *m, const Graph *lowered, const Code *code, const char *target,
                   const ReportRanges *ranges, const SparseNotes *sparse);

/* ---- report_zeros.c ---- */
void report_zeros(ReportRanges *r, const Graph *g, Arena *a); /* of a graph of floats; what was there before goes */

const char *report_noise_inputs(const Report *r); /* what noise was measured on */
bool report_has_zeros(const ReportLayer *l);      /* there is something to say of its zeros */
double report_zeros_percent(const ReportLayer *l);

/* ---- report_json.c, report_html.c: every figure of the page has the path of its twin in the JSON as data-key ---- */
void report_json(const Report *r, FILE *out);
void report_html(const Report *r, FILE *out);
void report_text(FILE *out, const char *s); /* as HTML has it */

/* ---- report_points.c ---- */
void report_points_html(const ReportPoints *p, FILE *out); /* nothing where p is NULL */
const char *report_place(const ReportPoint *p);

#endif
