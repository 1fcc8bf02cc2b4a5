/* For --rounding: what calibration sees of the inputs of contractions goes into their Hessians. */
#include "driver/calibrate.h"

void gather_list(Calibration *c, const QuantPlan *own, Arena *a) {
    const QuantPlan *p = c->plan;
    c->gathers = ARENA_ARRAY(a, p->n_nodes + 1, Gather);
    for (int i = 0; i < p->n_nodes && own->n_nodes == p->n_nodes; i++) {
        Hessian *h = p->nodes[i].hessian;
        bool known = false;
        for (int k = 0; k < c->n_gathers; k++) known |= c->gathers[k].hessian == h;
        if (!h || known) continue;
        c->gathers[c->n_gathers++] = (Gather){own->nodes[i].node, h, p->nodes[i].name, -1, -1};
    }
}

bool gather_sample(const Calibration *c) {
    for (int i = 0; i < c->n_gathers; i++) {
        const Gather *g = &c->gathers[i];
        const mcc_tensor *t = g->input >= 0 ? &c->call.in[g->input] : &c->call.out[g->output];
        if (hessian_observe(g->hessian, g->node, t->data, t->dims, t->rank)) continue;
        diag_error(c->plan->graph->ctx, NULL,
                   "%s: the input of node '%s' is NaN or infinite: the float model itself gives it",
                   samples_name(c->samples), g->name);
        return false;
    }
    return true;
}
