/* Mixed precision: how far a quantized network is from the float one, and which layers to leave in float for it to be
 * near enough. A table of contents; each group stands under the file that defines it. */
#ifndef MCC_SEARCH_H
#define MCC_SEARCH_H

#include "ir/ir.h"

/* ---- metric.c: a drop is 0 where nothing changed ---- */
typedef enum Metric {
    METRIC_COSINE, /* 1 - cosine similarity of an output's elements, the mean over samples and outputs */
    METRIC_SQNR,   /* power of the noise / power of the signal, over all samples; the mean over outputs. In text: dB */
    METRIC_TOP1,   /* share of the first output's rows (along its last axis) whose largest element is another one */
    METRIC_ACCURACY, /* share of these rows whose largest element is not the label's, beyond the float network's share */
} Metric;
bool metric_parse(const char *word, Metric *out);
const char *metric_name(Metric m);
bool drop_parse(Metric m, const char *text, double *out); /* 0.01, 1%; METRIC_SQNR: 20dB */
void drop_text(Metric m, double drop, char *out, size_t size);
const char *drop_hint(Metric m); /* what drop_parse wants */

typedef struct Loss { /* of one output, over samples */
    double signal, got, noise, sum; /* powers of what is wanted, of what came, and of their difference */
    int64_t n;
    bool is_number; /* each sample has but one element, which has no angle */
} Loss;
/* one sample's; METRIC_ACCURACY: want is of int64, a label each row */
void loss_add(Loss *l, Metric m, const Tensor *got, const Tensor *want);
double loss_value(const Loss *l, Metric m);

/* ---- search.c ---- */
typedef enum SearchForm { LAYER_INTEGER, LAYER_HALF /* float, with weights of 16 bits */, LAYER_FLOAT } SearchForm;
typedef struct SearchLayer {
    int place;    /* whose: the caller's business. Equal layers keep its order */
    double noise; /* that integers add to this layer alone, of its signal's power */
    double work;  /* that integers speed up */
    SearchForm form;
} SearchLayer;
typedef struct Search {
    SearchLayer *layers; /* in the end: the noisiest for their work first */
    int n;
    double most;                              /* the drop that is allowed */
    bool (*measure)(void *arg, double *drop); /* of the network with the layers as they are; false ends the search */
    bool (*rank)(void *arg);                  /* sets their noise; only called where they matter. false as above */
    void *arg;
    int trials;        /* how often measure was called */
    double drop, full; /* of what was found; with no layer in float */
} Search;
bool search_precision(Search *s); /* false: measure or rank did */

#endif
