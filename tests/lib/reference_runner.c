/* Models on the reference kernels, without compiling: the oracle beside other people's libraries.
 *
 * Each line of standard input is a job, its parts set apart by tabs: model, folder, how many runs, the level (0: its
 * operators one by one; 2: after all passes that ask nothing of a processor), then NAME=N for --max-dim. The inputs of
 * run k are FOLDER/K.NAME.npy, the outputs become FOLDER/K.outLEVEL.I.npy. Each job has a process of its own and a line
 * of output: "ok", or what went wrong. */
#include "eval/eval.h"
#include "frontend/frontend.h"
#include "frontend/npy.h"
#include "passes/passes.h"
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_PARTS = 16, LINE = 4096 };

typedef struct Job {
    Ctx *ctx;
    Graph *graph;
    const char *folder;
    int runs, level;
} Job;

static const Tensor *read_input(const Job *j, const Value *v, int run) {
    char path[LINE];
    const char *why = "no such file";
    snprintf(path, sizeof path, "%s/%d.%.*s.npy", j->folder, run, (int)v->name.n, v->name.p);
    const Tensor *t = npy_read(j->graph, path, &why), *same = t ? npy_as(j->graph, t, v->type.dtype) : NULL;
    if (!same) printf("%s: %s\n", path, t ? "not of the input's dtype" : why);
    return same;
}

static bool write_output(const Job *j, int run, int i, const Tensor *t) {
    char path[LINE];
    snprintf(path, sizeof path, "%s/%d.out%d.%d.npy", j->folder, run, j->level, i);
    FILE *f = fopen(path, "wb");
    bool good = f && npy_write(f, t);
    if (f) good = !fclose(f) && good;
    if (!good) printf("%s cannot be written\n", path);
    return good;
}

static bool run_once(const Job *j, int run) {
    const Graph *g = j->graph;
    const Tensor **in = ARENA_ARRAY(j->ctx->arena, g->n_inputs + 1, const Tensor *);
    Tensor **out = ARENA_ARRAY(j->ctx->arena, g->n_outputs + 1, Tensor *);
    int status;
    for (int i = 0; i < g->n_inputs; i++)
        if (!(in[i] = read_input(j, g->inputs[i], run))) return false;
    if (!eval_graph(j->ctx, g, in, out, &status)) return puts("the reference kernels could not run it"), false;
    if (status != MCC_OK) return printf("run %d: the reference kernels returned %d\n", run, status), false;
    for (int i = 0; i < g->n_outputs; i++)
        if (!write_output(j, run, i, out[i])) return false;
    return true;
}

static int work(char **part, int n) {
    DimPin bounds[MOST_PARTS];
    Job j = {.ctx = ctx_new(part[0]), .folder = part[1], .runs = atoi(part[2]), .level = atoi(part[3])};
    const Target *target = target_find(NULL, NULL, NULL, &(const char *){NULL});
    PassCtx pass = {.ctx = j.ctx, .target = j.level ? NULL : target, .opt_level = j.level, .stop_after = -1};
    for (int i = 4; i < n; i++) {
        char *value = strchr(part[i], '=');
        if (!value) return puts("a bound is NAME=N"), 1;
        *value = 0;
        bounds[i - 4] = (DimPin){part[i], atoll(value + 1)};
    }
    j.ctx->opt.max_dims = bounds;
    j.ctx->opt.n_max_dims = n - 4;
    j.ctx->opt.max_fold = SIZE_MAX;
    j.ctx->opt.max_trip = 16;
    j.graph = onnx_read(j.ctx, part[0]);
    if (!j.graph || !passes_run(j.graph, &pass)) return puts("it cannot be read"), 1;
    for (int k = 0; k < j.runs; k++)
        if (!run_once(&j, k)) return 1;
    return puts("ok"), 0;
}

static int split(char *line, char **part) {
    int n = 0;
    line[strcspn(line, "\n")] = 0;
    for (char *p = strtok(line, "\t"); p && n < MOST_PARTS; p = strtok(NULL, "\t")) part[n++] = p;
    return n;
}

int main(void) {
    char line[LINE], *part[MOST_PARTS];
    while (fgets(line, sizeof line, stdin)) {
        int status, n = split(line, part);
        if (n < 4) return puts("a job is a model, a folder, how many runs, a level"), 2;
        fflush(stdout);
        pid_t child = fork();
        if (child < 0) return 2;
        if (child == 0) {
            int result = work(part, n);
            fflush(stdout);
            _exit(result);
        }
        if (waitpid(child, &status, 0) == child && WIFSIGNALED(status)) printf("signal %d\n", WTERMSIG(status));
    }
    return 0;
}
