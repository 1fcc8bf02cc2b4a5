/* Which contractions gather what of their inputs: Σ x xᵀ, or what their channels hold. */
#include "compress/quantize.h"

static const size_t most_bytes = (size_t)4 << 30; /* of all of them; weights of those beyond go to the nearest */

/* about_means: as those that share it will use it */
static Hessian *shared(const QuantPlan *p, int before, const Node *n, bool about_means) {
    for (int i = 0; i < before && n->op != OP_Conv; i++) {
        const QuantNode *q = &p->nodes[i];
        if (!q->hessian || q->node->op == OP_Conv || q->node->in[0] != n->in[0]) continue;
        if (q->hessian->about_means == about_means) return q->hessian;
    }
    return NULL;
}

bool quant_wants_inputs(const QuantOptions *o) { return o->rounding != ROUND_NEAREST || o->correct_biases; }

void quant_want_hessians(QuantPlan *p, Arena *a) {
    bool means_only = p->options.rounding == ROUND_NEAREST && p->options.mode != QUANT_NONE;
    size_t total = 0;
    for (int i = 0; i < p->n_nodes; i++) {
        QuantNode *q = &p->nodes[i];
        Contraction c;
        if (!is_rounded(p, q, &c) || (means_only && !c.bias)) continue;
        bool about_means = c.bias && p->options.mode != QUANT_NONE;
        if ((q->hessian = shared(p, i, q->node, about_means))) continue;
        int64_t groups = q->node->op == OP_Conv ? node_int(q->node, "group") : 1;
        if (means_only) {
            q->hessian = hessian_means(a, c.depth, groups);
            continue;
        }
        size_t bytes = hessian_bytes(c.depth, groups, HESSIAN_PART);
        if (bytes > most_bytes - total) {
            diag_warn(p->graph->ctx, "calibration", q->node,
                      "its inputs are too many for --rounding: its weights go to the nearest code");
            continue;
        }
        total += bytes;
        q->hessian = hessian_new(a, c.depth, groups, HESSIAN_PART);
        q->hessian->about_means = about_means;
    }
}

void quant_want_seen(QuantPlan *p, Arena *a) {
    Seen **of_value = ARENA_ARRAY(a, p->n_ids, Seen *);
    for (int i = 0; i < p->n_nodes; i++) {
        QuantNode *q = &p->nodes[i];
        Contraction c;
        if (!contraction_read(q->node, &c)) continue;
        Seen **known = &of_value[q->node->in[0]->id];
        int axis = channel_axis_in(q->node);
        if (!*known || (*known)->axis != axis) *known = seen_new(q->node, a);
        q->seen = *known;
    }
}

void quant_channels_seen(const QuantPlan *p, const ChannelMap *m, ChannelSeen *seen) {
    for (int i = 0; i < p->n_nodes; i++) {
        const Seen *s = p->nodes[i].seen;
        const Value *v = p->nodes[i].node->in[0];
        if (!s || !(s->count > 0) || channel_count(m, v) != s->channels || m->axis[v->id] != s->axis) continue;
        for (int64_t k = 0; k < s->channels; k++) {
            ChannelSeen *to = &seen[channel_root(m, m->first[v->id] + (int)k)];
            double square = s->squares[k] / s->count;
            to->low = s->low[k] < to->low ? s->low[k] : to->low;
            to->high = s->high[k] > to->high ? s->high[k] : to->high;
            to->square = square > to->square ? square : to->square;
        }
    }
}
