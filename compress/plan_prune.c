/* What a plan file says of zeros, a line a layer that could have some:
 *
 *   prune NAME dense OPERATOR
 *   prune NAME unstructured|N:M|block:RxC|channel SHARE magnitude|inputs|update OPERATOR
 *
 * Such layers get just that; those that it does not name, what the command line says. */
#include <stdlib.h>
#include <string.h>
#include "compress/plan_file.h"

static const char *const ways[] = {"magnitude", "inputs", "update"};

static bool is_prune(const PlanLine *l) { return !strcmp(l->words[0], "prune"); }
static bool is_dense(const PlanLine *l) { return !strcmp(l->words[2], "dense"); }

/* false: no such words, or a share that the pattern does not have */
static bool read_form(const PlanLine *l, PruneOptions *form, double *share) {
    char *end;
    int by = 0;
    while (by < 3 && strcmp(ways[by], l->words[4]) != 0) by++;
    *share = strtod(l->words[3], &end);
    if (by == 3 || end == l->words[3] || *end || !(*share >= 0 && *share < 1)) return false;
    form->by = (PruneBy)by;
    return prune_pattern_parse(l->words[2], form) && form->pattern != PRUNE_AUTO;
}

const char *plan_prune_problem(const PlanLine *l) {
    PruneOptions form = {0};
    double share;
    bool dense = (l->n == 3 || l->n == 4) && is_dense(l);
    if (dense || ((l->n == 5 || l->n == 6) && read_form(l, &form, &share))) return NULL;
    return "wanted: prune NAME dense, or prune NAME unstructured|2:4|block:4x1|channel SHARE magnitude|inputs|update";
}

bool plan_prunes(const PlanFile *f) {
    for (int i = 0; i < f->n_lines; i++)
        if (is_prune(&f->lines[i])) return true;
    return false;
}

static PruneLayer *layer_named(const PrunePlan *p, const char *name) {
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->layers[i].q->name, name)) return &p->layers[i];
    return NULL;
}

bool plan_prune_apply(const PlanFile *f, PrunePlan *p) {
    for (int i = 0; i < f->n_lines; i++) {
        const PlanLine *l = &f->lines[i];
        if (!is_prune(l)) continue;
        PruneLayer *to = layer_named(p, l->words[1]);
        if (!to) return plan_bad_line(p->nodes->graph->ctx, f, l, "the model has no such layer to prune");
        to->planned = true;
        to->share = 0;
        if (!is_dense(l)) read_form(l, &to->form, &to->share);
    }
    return true;
}

static void write_pattern(const PruneOptions *f, FILE *out) {
    if (f->pattern == PRUNE_N_OF_M) fprintf(out, "%d:%d", f->n, f->of);
    else if (f->pattern == PRUNE_BLOCKS) fprintf(out, "block:%dx%d", f->rows, f->cols);
    else fputs(f->pattern == PRUNE_CHANNELS ? "channel" : "unstructured", out);
}

void plan_prune_write(const PrunePlan *p, FILE *out) {
    fputs("# prune NAME dense OPERATOR | prune NAME PATTERN SHARE magnitude|inputs|update OPERATOR\n", out);
    for (int i = 0; i < p->n; i++) {
        const PruneLayer *l = &p->layers[i];
        fprintf(out, "prune %s ", l->q->name);
        if (l->spared) fputs("dense", out);
        else write_pattern(&l->form, out), fprintf(out, " %.9g %s", l->share, ways[l->form.by]);
        fprintf(out, " %s\n", op_info(l->q->node->op)->name);
    }
}
