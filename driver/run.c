/* mcc run MODEL: compiles in this process, calls the code once, writes the outputs. */
#include "driver/call.h"
#include "frontend/npy.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Run {
    Pipeline p;
    Inputs inputs;
    Call call;
} Run;

static bool write_output(const Command *c, int i, Str name, const Tensor *t) {
    char fallback[16], *file;
    OutputSet set = {0};
    snprintf(fallback, sizeof fallback, "out%d", i);
    file = file_name_from(name, fallback, ".npy");
    size_t size = file ? strlen(file) + (c->output_dir ? strlen(c->output_dir) : 0) + 2 : 0;
    char *path = size ? malloc(size) : NULL;
    FILE *out = NULL;
    if (path) {
        snprintf(path, size, "%s%s%s", c->output_dir ? c->output_dir : "", c->output_dir ? "/" : "", file);
        out = output_open(&set, path);
    } else {
        say_error("out of memory");
    }
    bool good = out && npy_write(out, t);
    good = good && output_commit(&set);
    output_abandon(&set);
    free(path);
    free(file);
    return good;
}

static void print_summary(Ctx *ctx, int i, Str name, const Tensor *t) {
    enum { SHOWN = 6 };
    char text[160];
    int64_t n = 1;
    for (int d = 0; d < t->rank; d++) n *= t->dims[d];
    tensor_dims_text(t, text, sizeof text);
    printf("out%d \"%s\": %s", i, diag_name(ctx, name), text);
    for (int64_t k = 0; k < n && k < SHOWN; k++) {
        tensor_element_text(t, k, text, sizeof text);
        printf(" %s", text);
    }
    puts(n > SHOWN ? " …" : "");
}

static int write_outputs(Run *r, const Command *c) {
    const mcc_model *m = r->call.model;
    if (c->output_dir && mkdir(c->output_dir, 0777) && errno != EEXIST) {
        say_error("cannot make the folder %s: %s", c->output_dir, strerror(errno));
        return BAD_MODEL;
    }
    for (int i = 0; i < m->n_outputs; i++) {
        Tensor t;
        Str name = str_of(m->outputs[i].name);
        if (!call_output(&r->call, i, &t)) {
            say_error("output %d has dims that the model does not allow", i);
            return OUR_BUG;
        }
        if (!write_output(c, i, name, &t)) return BAD_MODEL;
        print_summary(r->p.ctx, i, name, &t);
    }
    return DONE;
}

static int work(void *arg) {
    Run *r = arg;
    const Command *c = r->p.command;
    int result = inputs_read(&r->inputs, r->p.ctx, c);
    if (result == DONE) result = pipeline_to_code(&r->p);
    if (result != DONE) return result;
    const mcc_model *m = loaded_model(r->p.loaded);
    result = inputs_choose(&r->inputs, r->p.graph, m, c->random, SIZE_MAXIMAL);
    if (result != DONE) return result;
    if (!call_prepare(&r->call, r->p.ctx->arena, m, r->inputs.in, (Placement){.high = true})) return BAD_MODEL;
    double start = seconds_now();
    int status = call_run(&r->call);
    if (c->verbose)
        fprintf(stderr, "mcc: the call took %.3f ms, in a workspace of %zu bytes\n", 1e3 * (seconds_now() - start),
                m->workspace_bytes);
    if (status == MCC_OK) return write_outputs(r, c);
    say_error("the model returned %s", call_status(status));
    return BAD_MODEL;
}

int run_main(const Command *c) {
    Run r = {.p = {.command = c}};
    if (!one_model(c) || !(r.p.target = pipeline_target(c)) || !pipeline_find_host(&r.p)) return BAD_USAGE;
    if (!(r.p.ctx = pipeline_ctx(c, c->files[0]))) return BAD_MODEL;
    int result = with_memory(r.p.ctx, work, &r);
    call_free(&r.call);
    pipeline_free(&r.p);
    ctx_free(r.p.ctx);
    return result;
}
