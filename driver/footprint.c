/* Sizes of the sections of an object, and the time of a call: the minimum of as many calls as fit a fraction of a
 * second, or the sum of what the layers may take. */
#include "driver/footprint.h"
#include "driver/call.h"
#include <math.h>

enum { LEAST_CALLS = 5 };

bool runs_here(const Target *t) {
    const char *why;
    const Target *host = target_is_host(t) ? target_find(NULL, "native", NULL, &why) : NULL;
    return host && t->vector_bits <= host->vector_bits && t->has_fma <= host->has_fma && t->dot <= host->dot;
}

void footprint_sizes(const Pipeline *p, Footprint *f) {
    f->sizes = code_sizes(p->ctx, &p->code);
    f->flash = f->sizes.text + f->sizes.data;
    f->ram = p->code.workspace_bytes + f->sizes.data + f->sizes.bss;
    f->seconds = (double)NAN;
}

static int call_often(Call *call, double enough, double *seconds) {
    double begin = seconds_now(), best = INFINITY;
    for (int i = 0; i < LEAST_CALLS || seconds_now() - begin < enough; i++) {
        double start = seconds_now();
        int status = call_run(call);
        if (status != MCC_OK) {
            say_error("the model returned %s", call_status(status));
            return BAD_MODEL;
        }
        best = fmin(best, seconds_now() - start);
    }
    *seconds = best;
    return DONE;
}

static int measure(Pipeline *p, double enough, double *seconds) {
    Inputs inputs;
    Call call = {0};
    int result = inputs_read(&inputs, p->ctx, p->command);
    if (result == DONE && !p->loaded) result = pipeline_load(p);
    if (result != DONE) return result;
    const mcc_model *m = loaded_model(p->loaded);
    progress_stage("measuring");
    result = inputs_choose(&inputs, p->graph, m, true, SIZE_MAXIMAL);
    if (result == DONE && !call_prepare(&call, p->ctx->arena, m, inputs.in, (Placement){.high = true}))
        result = BAD_MODEL;
    if (result == DONE) result = call_often(&call, enough, seconds);
    call_free(&call);
    return result;
}

int footprint_time(Pipeline *p, const Report *r, double seconds, Footprint *f) {
    f->modelled = !runs_here(p->target);
    if (!f->modelled) return measure(p, seconds, &f->seconds);
    f->seconds = 0;
    for (int i = 0; i < r->n_layers; i++) f->seconds += layer_model(p, &r->layers[i]);
    return DONE;
}
