/* Which layers a model has, each once, and what else than the cost model's choice is worth measuring for them; which
 * ones have zero weights, and what became of those. */
#include "passes/tuning.h"
#include <string.h>

LayerChoice node_choice(const Node *made) {
    LayerChoice c = {.rows = node_int(made, "rows")};
    if (made->op == OP_BlockDepthwise) return c;
    if (made->op == OP_Winograd) c.form = node_int(made, "m") == 2 ? FORM_WINOGRAD_F2 : FORM_WINOGRAD_F4;
    c.vecs = node_int(made, "vecs");
    c.unroll = node_int(made, "unroll");
    c.run = node_int(made, "run");
    return c;
}

LayerNote *layer_note(struct LayerNotes *notes, const Layer *l, const Node *made, double cycles) {
    const char *text = layer_text(notes->arena, l);
    LayerNote **at = &notes->first;
    for (; *at; at = &(*at)->next)
        if (!strcmp((*at)->text, text)) {
            (*at)->count++;
            return NULL;
        }
    LayerNote *n = *at = ARENA_NEW(notes->arena, LayerNote);
    *n = (LayerNote){.layer = *l, .text = text, .count = 1, .cycles = cycles, .chosen = node_choice(made)};
    notes->n++;
    return n;
}

bool choice_equal(const LayerChoice *a, const LayerChoice *b) {
    return a->form == b->form && a->rows == b->rows && a->vecs == b->vecs && a->unroll == b->unroll && a->run == b->run;
}

void layer_candidate(LayerNote *n, LayerForm form, int64_t rows, int64_t vecs, int64_t unroll, int64_t run) {
    LayerChoice c = {form, rows, vecs, unroll, run};
    bool known = choice_equal(&c, &n->chosen);
    for (int i = 0; i < n->n_candidates && !known; i++) known = choice_equal(&c, &n->candidates[i]);
    if (!known && n->n_candidates < MAX_CANDIDATES) n->candidates[n->n_candidates++] = c;
}

void sparse_note(SparseNotes *notes, const SparseNote *n) {
    if (!notes) return;
    SparseNote *copy = ARENA_NEW(notes->arena, SparseNote);
    *copy = *n;
    copy->next = NULL;
    if (!notes->last) notes->last = &notes->first;
    *notes->last = copy;
    notes->last = &copy->next;
}
