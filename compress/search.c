/* Which layers stay in float, so that the drop is within its bound, at little cost: a measurement is a compilation.
 *
 * 1. No layer in float: is it within the bound, then that is it.
 * 2. Layers are ordered by the noise that they add for the work that integers save. A binary search finds how many of
 *    the first of them have to stay in float; all of them is the float network, whose drop is 0.
 * 3. What noise in a layer does to the result is not known before: so of these layers, groups become integers again
 *    and stay so where the drop allows it, from all of them down to single ones, the cheapest first.
 *
 * 4. Weights of 16 bits do for most layers in float, if not for all of them: in groups again.
 *
 * That takes 1 + log2(n) measurements, and up to MOST_RETURNS and MOST_HALVES more. It asks no clock: the same figures,
 * the same layers. */
#include "compress/search.h"
#include <math.h>
#include <stdlib.h>

enum { MOST_RETURNS = 24, MOST_HALVES = 8 };

/* noise a unit of work; what cannot be told comes first */
static double cost(const SearchLayer *l) {
    double v = l->noise / (l->work > 1 ? l->work : 1);
    return isnan(v) ? (double)INFINITY : v;
}

static int by_cost(const void *a, const void *b) {
    const SearchLayer *x = a, *y = b;
    double cx = cost(x), cy = cost(y);
    if (cx != cy) return cx < cy ? 1 : -1;
    return (x->place > y->place) - (x->place < y->place);
}

static void set_form(Search *s, int from, int n, SearchForm form) {
    for (int i = from; i < from + n; i++) s->layers[i].form = form;
}

/* those of the n layers that are `was`; how many there are */
static int change(Search *s, int from, int n, SearchForm was, SearchForm form) {
    int changed = 0;
    for (int i = from; i < from + n; i++)
        if (s->layers[i].form == was) s->layers[i].form = form, changed++;
    return changed;
}

static bool measure(Search *s, double *drop) {
    s->trials++;
    if (!s->measure(s->arg, drop)) return false;
    if (*drop <= s->most) s->drop = *drop;
    return true;
}

/* Of these n layers those in float become `form`, as many as the bound allows. fails: all of them cannot, as is known */
static bool give_back(Search *s, int from, int n, SearchForm form, int end, bool fails) {
    double drop = 0;
    if (s->trials >= end || !change(s, from, n, LAYER_FLOAT, LAYER_FLOAT)) return true;
    if (!fails) {
        change(s, from, n, LAYER_FLOAT, form);
        if (!measure(s, &drop)) return false;
        if (drop <= s->most) return true;
        change(s, from, n, form, LAYER_FLOAT);
    }
    if (n == 1) return true;
    int half = n / 2;
    if (!give_back(s, from + half, n - half, form, end, false)) return false;
    bool whole = true; /* all of the later half went: then the earlier cannot */
    for (int i = from + half; i < from + n; i++) whole = whole && s->layers[i].form != LAYER_FLOAT;
    return give_back(s, from, half, form, end, whole);
}

bool search_precision(Search *s) {
    double drop;
    set_form(s, 0, s->n, LAYER_INTEGER);
    if (!measure(s, &s->full)) return false;
    if (s->full <= s->most || s->n == 0) return true;
    if (!s->rank(s->arg)) return false;
    qsort(s->layers, (size_t)s->n, sizeof *s->layers, by_cost);
    int bad = 0, good = s->n;
    s->drop = 0;
    while (good - bad > 1) {
        int middle = bad + (good - bad) / 2;
        set_form(s, 0, middle, LAYER_FLOAT);
        set_form(s, middle, s->n - middle, LAYER_INTEGER);
        if (!measure(s, &drop)) return false;
        if (drop <= s->most) good = middle;
        else bad = middle;
    }
    set_form(s, 0, good, LAYER_FLOAT);
    set_form(s, good, s->n - good, LAYER_INTEGER);
    /* without the last of them it was too much */
    return give_back(s, 0, good - 1, LAYER_INTEGER, s->trials + MOST_RETURNS, false) &&
           give_back(s, 0, good, LAYER_HALF, s->trials + MOST_HALVES, false);
}
