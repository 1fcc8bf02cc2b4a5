/* How long a layer may take on a processor that is not here: multiplications at a share of its peak, or its constants
 * from memory, whichever is longer, and its results through a cache. The peak is the target's data, the rest is
 * assumed, as is the clock: --clock. A layer of straight-line sparse code multiplies its nonzeros alone, one
 * of packed data takes the part of its dense form's time that the cost models of both say. */
#include "driver/footprint.h"
#include <math.h>
#include <string.h>

static const double cache_bytes = 16, memory_bytes = 8, scalar_cycles = 2;
static const double share_of_peak = 0.7, without_fma = 1.35;

static double multiplications(const Pipeline *p, const ReportLayer *l) {
    for (const SparseNote *n = p->sparse_notes ? p->sparse_notes->first : NULL; n; n = n->next) {
        double all = (double)n->rows * (double)n->columns;
        if (!n->sparse || all <= 0 || !str_is(n->layer, l->name)) continue;
        bool known = n->packed && n->dense_cycles > 0;
        return l->work * (known ? fmin(1, n->cycles / n->dense_cycles) : (double)n->nonzeros / all);
    }
    return l->work;
}

/* cycles of a multiplication and an addition of floats */
static double cycle_share(const Target *t) {
    if (!t->vector_bits || !t->multiply_bits) return scalar_cycles;
    return 32.0 / t->multiply_bits / share_of_peak * (t->has_fma ? 1 : without_fma);
}

static double integer_share(const Target *t, const char *weights) {
    if (strcmp(weights, "int8") != 0 && strcmp(weights, "uint8") != 0) return 1;
    return integer_cost(t).four / 4;
}

double layer_model(const Pipeline *p, const ReportLayer *l) {
    const Target *t = p->target;
    bool integers = !strcmp(l->scheme, "int8") || !strcmp(l->scheme, "dynamic") || !strcmp(l->scheme, "uint8");
    double work = multiplications(p, l) * cycle_share(t) * (integers ? integer_share(t, l->weights) : 1);
    double cycles = fmax(work, (double)l->after / memory_bytes) + l->made / cache_bytes;
    return cycles / p->command->clock;
}
