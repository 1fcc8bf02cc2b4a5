/* The lines of a plan file, for those who know what one kind of them means. */
#ifndef MCC_PLAN_FILE_H
#define MCC_PLAN_FILE_H

#include "compress/prune.h"

enum { PLAN_WORDS = 6 };

typedef struct PlanLine {
    int number;
    int n;
    char *words[PLAN_WORDS];
} PlanLine;
struct PlanFile {
    const char *path;
    PlanLine *lines;
    int n_lines;
    QuantMode all; /* what nodes are of which it says nothing */
    NodeMode *modes;
    int n_modes;
};

bool plan_bad_line(Ctx *ctx, const PlanFile *f, const PlanLine *l, const char *why); /* false, after diag_error */

/* ---- plan_prune.c ---- */
/* Why it is no such line; NULL: it is. */
const char *plan_prune_problem(const PlanLine *l);

#endif
