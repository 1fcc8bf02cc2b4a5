/* How the command line's options are described: a row each. */
#ifndef MCC_DRIVER_OPTIONS_H
#define MCC_DRIVER_OPTIONS_H

#include "driver/driver.h"

typedef enum Take {
    FLAG,     /* alone */
    VALUE,    /* --name=value, --name value */
    OPTIONAL, /* --name, --name=value */
    JOINED    /* -Ovalue; the value may be empty */
} Take;

typedef struct Row Row;
typedef const char *Setter(Command *c, const Row *row, const char *value); /* fine, or a hint, or NULL */
struct Row {
    unsigned verbs;
    Take take;
    const char *name, *metavar, *help; /* help NULL: not shown */
    Setter *set;
    size_t offset;            /* of the field that set_… fills */
    int64_t low, high, fixed; /* set_number: bounds; set_bool, set_pick: what it becomes */
};
extern const char fine[]; /* what a setter returns when it took the value; else a hint, or NULL for none */

/* ---- option_rows.c ---- */
extern const Row option_rows[];
extern const int n_option_rows;

/* ---- option_values.c ---- */
bool option_number(const char *text, int64_t low, int64_t high, int64_t *out);
int option_choice(const char *const *names, int n, const char *value); /* which of the names; -1: none */
Setter set_bool, set_text, set_number, set_size, set_duration, set_clock, set_dim, set_shape, set_input, set_level,
    set_emit, set_threads, set_winograd, set_sparse, set_warning, set_random, set_depfile;

/* ---- option_compress.c: of quantization, pruning and samples ---- */
Setter set_quantize, set_method, set_rounding, set_equalize, set_weights, set_activations, set_metric, set_skip,
    set_share, set_pattern, set_scope, set_prune_by, set_prune_skip, set_calibrate, set_norm, set_range, set_layout;
bool options_fit_compression(Command *c); /* with one another; false after a message */

#endif
