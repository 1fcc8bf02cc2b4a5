/* What calibration sees of the inputs of contractions: Hessians for --rounding, channels for --equalize and for the
 * correction of biases. */
#include "driver/calibrate.h"

static bool is_gathered(const Calibration *c, const Hessian *h, const Seen *seen) {
    for (int k = 0; k < c->n_gathers; k++)
        if (h ? c->gathers[k].hessian == h : c->gathers[k].seen == seen) return true;
    return false;
}

void gather_list(Calibration *c, const QuantPlan *own, Arena *a) {
    const QuantPlan *p = c->plan;
    c->gathers = ARENA_ARRAY(a, 2 * p->n_nodes + 1, Gather);
    for (int i = 0; i < p->n_nodes && own->n_nodes == p->n_nodes; i++) {
        Gather g = {.node = own->nodes[i].node, .name = p->nodes[i].name};
        Hessian *h = c->channels_only ? NULL : p->nodes[i].hessian;
        Seen *seen = p->nodes[i].seen;
        if (h && !is_gathered(c, h, NULL)) g.hessian = h, c->gathers[c->n_gathers++] = g;
        g.hessian = NULL;
        if (seen && !is_gathered(c, NULL, seen)) g.seen = seen, c->gathers[c->n_gathers++] = g;
    }
}

bool gather_sample(const Calibration *c) {
    for (int i = 0; i < c->n_gathers; i++) {
        const Gather *g = &c->gathers[i];
        const mcc_tensor *t = exposed_tensor(&c->call, g->at);
        if (g->hessian ? hessian_observe(g->hessian, g->node, t->data, t->dims, t->rank)
                       : seen_add(g->seen, t->data, t->dims, t->rank))
            continue;
        diag_error(c->plan->graph->ctx, NULL,
                   "%s: the input of node '%s' is NaN or infinite: the float model itself gives it",
                   samples_name(c->samples), g->name);
        return false;
    }
    return true;
}
