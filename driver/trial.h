/* mcc search: settings of the compiler that are tried, and what came of them. */
#ifndef MCC_DRIVER_TRIAL_H
#define MCC_DRIVER_TRIAL_H

#include "driver/fidelity.h"
#include "driver/footprint.h"
#include "driver/quantize.h"

typedef struct Setting {
    const char *name;
    QuantMode mode;
    PrunePattern pattern;
    int n, of, rows, cols; /* of the pattern, as in PruneOptions */
    double share;          /* of zeros; 0: nothing is pruned */
    bool small;            /* -Os */
    bool entries;          /* for targets with sparse_entries() alone */
    const NodeMode *modes; /* of layers that are not of that mode */
    const char **dense;    /* layers that keep their weights */
    int n_modes, n_dense;
    bool good; /* it was compiled, and what follows is known */
    double drop;
    Footprint takes;
} Setting;

enum { MOST_SETTINGS = 512 };
typedef struct Hunt {
    const Command *command;
    const Target *target;
    const char *symbols; /* their prefix */
    Fidelity fidelity;
    struct Kept *kept; /* what the trials find out alike */
    Setting *settings; /* in the order in which they were tried; the first is the float model */
    int n;
    int untried;                    /* settings that there was no time for */
    double deadline, last_deadline; /* the last: while nothing is within all bounds */
    int measured;                   /* layers, one by one, in refinements */
    const char *worst_name;         /* the layer that a refinement has gained most by */
    double worst_gain;
} Hunt;

/* ---- trial.c ---- */
bool time_is_left(const Hunt *h);
Arena *hunt_arena(const Hunt *h);                         /* what lives as long as the hunt */
Command setting_command(const Hunt *h, const Setting *s); /* a compile of it that writes no report and no plan */
/* The setting measured, in h->settings. NULL: there is no time or no room for it, or (*result) an error was told */
const Setting *try_setting(Hunt *h, const Setting *s, int *result);
void say_setting(const Hunt *h, const Setting *s, FILE *out);

/* ---- front.c ---- */
bool zeros_pay(const Hunt *h, const Setting *s);      /* in bytes or in time, against the same without */
double setting_cost(const Hunt *h, const Setting *s); /* of that of the float model, what is bounded */
bool within_budgets(const Hunt *h, const Setting *s);
bool within_drop(const Hunt *h, const Setting *s);
const Setting *best_setting(const Hunt *h);     /* NULL: none is within all bounds */
const Setting *nearest_setting(const Hunt *h);  /* that exceeds budgets by the least factor */
bool on_front(const Hunt *h, const Setting *s); /* no other one is as good in everything and better in something */
const struct ReportPoints *front_points(const Hunt *h, const Setting *chosen);
void print_front(const Hunt *h, const Setting *chosen, FILE *out);

/* ---- refine.c ---- */
/* Single layers of `base` in a finer kind, those first that gain most for what they take: as many as the budgets allow
 * or, with --max-drop, as few as it asks for. DONE, or an exit code after a message */
int refine_setting(Hunt *h, const Setting *base);

#endif
