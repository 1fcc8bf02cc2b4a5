/* mcc bench MODEL: how long the compiled code takes here. */
#include "driver/call.h"
#include <stdlib.h>

typedef struct Bench {
    Pipeline p;
    Inputs inputs;
    Call call;
} Bench;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* As many runs as asked for; else as fit a second, within bounds. */
static int64_t choose_runs(const Command *c, double once) {
    enum { LEAST = 5, MOST = 1000000 };
    if (c->runs) return c->runs;
    double n = once > 0 ? 1.0 / once : MOST;
    return n < LEAST ? LEAST : n > MOST ? MOST : (int64_t)n;
}

static void print_json_string(const char *s) {
    putchar('"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c == '"' || c == '\\') printf("\\u%04x", c);
        else putchar(c);
    }
    putchar('"');
}

static void print_times(const Bench *b, const double *times, int64_t n) {
    const Command *c = b->p.command;
    double min = 1e3 * times[0], median = 1e3 * times[n / 2];
    size_t workspace = b->call.model->workspace_bytes;
    if (!c->json) {
        printf("min %.4f ms, median %.4f ms, %lld runs, workspace %zu bytes\n", min, median, (long long)n, workspace);
        return;
    }
    printf("{\"model\": ");
    print_json_string(c->files[0]);
    printf(
        ", \"runs\": %lld, \"min_ms\": %.6f, \"median_ms\": %.6f, \"workspace_bytes\": %zu, \"weights_bytes\": %zu",
        (long long)n, min, median, workspace, b->p.code.weights_bytes);
}

static void print_nodes(const Bench *b, double seconds) {
    const Command *c = b->p.command;
    if (c->json && c->profile) printf(", \"nodes\": [");
    if (c->profile) profile_print(&b->p, call_workspace(&b->call), seconds, c->json);
    if (c->json) printf("%s}\n", c->profile ? "]" : "");
}

static int work(void *arg) {
    Bench *b = arg;
    const Command *c = b->p.command;
    Ctx *ctx = b->p.ctx;
    int result = inputs_read(&b->inputs, ctx, c);
    if (result == DONE) result = pipeline_to_code(&b->p);
    if (result != DONE) return result;
    const mcc_model *m = loaded_model(b->p.loaded);
    result = inputs_choose(&b->inputs, b->p.graph, m, true, SIZE_MAXIMAL);
    if (result != DONE) return result;
    if (!call_prepare(&b->call, ctx->arena, m, b->inputs.in, (Placement){.high = true})) return BAD_MODEL;
    double start = seconds_now();
    void *workspace = call_workspace(&b->call);
    int status = model_open(&b->p, workspace);
    if (status == MCC_OK) status = call_run(&b->call);
    if (status != MCC_OK) {
        say_error("the model returned %s", call_status(status));
        return BAD_MODEL;
    }
    int64_t n = choose_runs(c, seconds_now() - start);
    double *times = ARENA_ARRAY(ctx->arena, n, double), all = 0;
    if (c->profile && !profile_start(&b->p, call_workspace(&b->call))) return OUR_BUG;
    for (int64_t i = 0; i < n; i++) {
        start = seconds_now();
        call_run(&b->call);
        all += times[i] = seconds_now() - start;
    }
    qsort(times, (size_t)n, sizeof *times, by_value);
    print_times(b, times, n);
    print_nodes(b, all);
    model_close(&b->p, workspace);
    return DONE;
}

int bench_main(const Command *c) {
    Bench b = {.p = {.command = c}};
    if (!one_model(c) || !(b.p.target = pipeline_target(c)) || !pipeline_find_host(&b.p)) return BAD_USAGE;
    if (!(b.p.ctx = pipeline_ctx(c, c->files[0]))) return BAD_MODEL;
    int result = with_memory(b.p.ctx, work, &b);
    call_free(&b.call);
    pipeline_free(&b.p);
    ctx_free(b.p.ctx);
    return result;
}
