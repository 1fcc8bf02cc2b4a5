/* With --rounding=gptq, the smallest of the weights that would be 4 bits keep 8: a twelfth of all at most, of equal
 * ones the first. Their errors are what it can do least about. They stand near the input of a network, where all that
 * follows multiplies them, and have few others to make up for them. */
#include <stdlib.h>
#include "compress/quantize.h"

enum { SHARE = 12 };

typedef struct Sized {
    QuantNode *node;
    int64_t weights;
} Sized;

static int by_size(const void *a, const void *b) {
    const Sized *x = a, *y = b;
    if (x->weights != y->weights) return x->weights > y->weights ? 1 : -1;
    return (x->node > y->node) - (x->node < y->node); /* places in one array */
}

void quant_keep_small(QuantPlan *p, Arena *scratch) {
    Sized *list = ARENA_ARRAY(scratch, p->n_nodes + 1, Sized);
    int64_t left = 0;
    int n = 0;
    for (int i = 0; i < p->n_nodes; i++) {
        Contraction c;
        if (!contraction_read(p->nodes[i].node, &c)) continue;
        if (!round_block(p->nodes[i].node, c.depth, p->options.block)) continue; /* has 8 bits as it is */
        list[n] = (Sized){&p->nodes[i], c.depth * c.shape.channels};
        left += list[n++].weights;
    }
    left /= SHARE;
    if (n) qsort(list, (size_t)n, sizeof *list, by_size);
    for (int i = 0; i < n && (left -= list[i].weights) >= 0; i++) {
        QuantNode *q = list[i].node;
        if (!q->chosen || q->mode != QUANT_W4 || quant_is_planned(p, q)) continue;
        q->mode = QUANT_W8;
        q->why = "--rounding=gptq leaves the smallest weights 8 bits";
    }
}
