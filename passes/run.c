/* Runs the pipeline of passes.def, and owns what is the same for every pass: dumps, times, bisection, the verifier. */
#include "passes/internal.h"
#include <string.h>
#include <time.h>

enum { PASSES_REPEAT = 12 };

typedef enum RowKind { ROW_PASS, ROW_REQUIRED, ROW_REPEAT, ROW_END } RowKind;
typedef struct Row {
    RowKind kind;
    const char *name;
    bool (*run)(Graph *g, PassCtx *p);
} Row;

static const Row rows[] = {
#define PASS(name, what) {ROW_PASS, #name, pass_##name},
#define REQUIRED(name, what) {ROW_REQUIRED, #name, pass_##name},
#define REPEAT {ROW_REPEAT, NULL, NULL},
#define END {ROW_END, NULL, NULL},
#include "passes/passes.def"
};
enum { N_ROWS = sizeof rows / sizeof *rows };

typedef struct Runner {
    Graph *g;
    PassCtx *p;
    FILE *out;
    int runs; /* of passes so far */
    double seconds[N_ROWS];
    int times[N_ROWS];
} Runner;

bool pass_known(const char *name) {
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].name && !strcmp(rows[i].name, name)) return true;
    return false;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void dump(const Runner *r, const Row *row, bool changed) {
    const char *want = r->p->dump_after;
    if (!want || (strcmp(want, "all") && strcmp(want, row->name))) return;
    fprintf(r->out, "# %d: %s%s\n", r->runs, row->name, changed ? "" : " (unchanged)");
    if (changed) graph_print(r->g, r->out);
}

/* on the graph, then on the bodies of its control flow, which are graphs of their own */
static bool run_inside(const Row *row, Graph *g, PassCtx *p) {
    Graph *bodies[MAX_BODIES];
    int errors = diag_errors(p->ctx);
    bool did = row->run(g, p);
    for (const Node *n = g->first; n && diag_errors(p->ctx) == errors; n = n->next)
        for (int i = 0, count = node_bodies(n, bodies); i < count; i++) did |= run_inside(row, bodies[i], p);
    return did;
}

static void count_uses(Graph *g) {
    Graph *bodies[MAX_BODIES];
    graph_count_uses(g);
    for (const Node *n = g->first; n; n = n->next)
        for (int i = node_bodies(n, bodies); i-- > 0;) count_uses(bodies[i]);
}

/* false: the compilation failed */
static bool run_row(Runner *r, int i, bool *changed) {
    PassCtx *p = r->p;
    const Row *row = &rows[i];
    int errors = diag_errors(p->ctx);
    double start = now();
    bool did = run_inside(row, r->g, p);
    r->seconds[i] += now() - start;
    r->times[i]++;
    r->runs++;
    *changed = *changed || did;
    if (diag_errors(p->ctx) > errors) return false;
    dump(r, row, did);
    if (p->verify && !graph_verify(r->g, r->out)) {
        diag_error(p->ctx, NULL, "internal error: pass %s broke the graph", row->name);
        return false;
    }
    return true;
}

static bool is_stopped(const Runner *r) { return r->p->stop_after >= 0 && r->runs >= r->p->stop_after; }
static bool is_wanted(const Runner *r, const Row *row) { return row->kind == ROW_REQUIRED || r->p->opt_level > 0; }

static int last_end(void) {
    int i = N_ROWS - 1;
    while (i > 0 && rows[i].kind != ROW_END) i--;
    return i;
}

static bool run_all(Runner *r) {
    int group = -1, rounds = 0;
    bool changed = false;
    int n = r->p->canonical_only ? last_end() + 1 : N_ROWS;
    for (int i = 0; i < n && !is_stopped(r); i++) {
        switch (rows[i].kind) {
        case ROW_REPEAT:
            group = i;
            rounds = 0;
            changed = false;
            break;
        case ROW_END:
            if (!changed || ++rounds == PASSES_REPEAT) break;
            changed = false;
            i = group;
            break;
        default:
            if (is_wanted(r, &rows[i]) && !run_row(r, i, &changed)) return false;
        }
    }
    return true;
}

static void print_times(const Runner *r) {
    for (int i = 0; i < N_ROWS; i++)
        if (r->times[i] && rows[i].name)
            fprintf(r->out, "%10.3f ms %3d x  %s\n", r->seconds[i] * 1e3, r->times[i], rows[i].name);
}

bool passes_run(Graph *g, PassCtx *p) {
    Runner r = {.g = g, .p = p, .out = p->dump ? p->dump : stderr};
    bool ok = run_all(&r);
    if (p->time) print_times(&r);
    if (ok) count_uses(g);
    return ok;
}
