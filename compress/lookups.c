/* Activations behind a contraction that are looked up: what they read is rounded to bytes, so that they are a table of
 * 256 results (passes/lookup_tables.c), where that spares the target more than it costs in accuracy. Codes are kept for
 * where the function does something: beyond, its result is what it is at the end. */
#include "compress/quantize.h"
#include "passes/lower.h"
#include <math.h>

bool quant_looks_up(const QuantOptions *o, const Node *n) {
    enum { LEAST_SAVING = 30 /* instructions of 16 elements */, LEAST_ELEMENTS = 1024 };
    enum { DIVISION = 5 /* of a result that nothing is known of, by its scale */ };
    if (!o->runs_on || o->runs_on->sm || o->mode != QUANT_INT8 || o->small || n->n_in < 1 || !n->in[0] ||
        n->in[0]->constant)
        return false;
    switch (n->op) {
    case OP_HardSwish:
    case OP_HardSigmoid:
    case OP_Sigmoid:
    case OP_Tanh:
    case OP_Swish:
    case OP_Mish:
    case OP_Gelu:
    case OP_Elu:
    case OP_Celu:
    case OP_Selu:
    case OP_Softplus:
    case OP_Softsign: break;
    default: return false;
    }
    if (o->follows) return plan_names(o->follows, n->in[0]);
    double vectors = o->runs_on->vector_bits ? 16.0 * 32 / o->runs_on->vector_bits : 16;
    return cost_elements(n->in[0]) >= LEAST_ELEMENTS &&
           table_saving(o->runs_on, n) + DIVISION * vectors >= LEAST_SAVING;
}

/* Beyond these n's result changes by less than a step of eight bits. */
static Range range_of_function(const Node *n) {
    double alpha = n->op == OP_HardSigmoid ? node_float(n, "alpha") : 0;
    switch (n->op) {
    case OP_HardSwish: return (Range){-3, (double)INFINITY};
    case OP_HardSigmoid:
        if (!(alpha > 0)) break;
        return (Range){-node_float(n, "beta") / alpha, (1 - node_float(n, "beta")) / alpha};
    case OP_Sigmoid: return (Range){-6.5, 6.5};
    case OP_Tanh: return (Range){-3.5, 3.5};
    case OP_Gelu: return (Range){-4, (double)INFINITY};
    case OP_Swish:
        return node_float(n, "alpha") == 1 ? (Range){-9, (double)INFINITY}
                                           : (Range){-(double)INFINITY, (double)INFINITY};
    case OP_Mish: return (Range){-9, (double)INFINITY};
    case OP_Softplus: return (Range){-6.5, (double)INFINITY};
    default: break;
    }
    return (Range){-(double)INFINITY, (double)INFINITY};
}

Range quant_range_read(const Node *n, Range r) {
    Range of = range_of_function(n);
    r.low = fmin(fmax(r.low, of.low), 0);
    r.high = fmax(fmin(r.high, of.high), 0);
    return r;
}
