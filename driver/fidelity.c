/* Runs networks in this process on the first samples, MOST_SAMPLES at most, fewer where the outputs of the float
 * network would take more than MOST_BYTES. */
#include "driver/fidelity.h"
#include "driver/call.h"
#include <math.h>
#include <string.h>

enum { MOST_SAMPLES = 256, MOST_BYTES = 256 << 20 };

static int run_one(Fidelity *f, const Pipeline *p, int sample, const Tensor *const *in, Visit visit, void *arg,
                   bool *more) {
    Arena *a = arena_new(p->ctx);
    const mcc_model *m = loaded_model(p->loaded);
    Tensor *out = ARENA_ARRAY(a, m->n_outputs + 1, Tensor);
    Call call;
    int result = BAD_MODEL, status = MCC_OK;
    if (call_prepare(&call, a, m, in, (Placement){0}) && (status = call_run(&call)) == MCC_OK) {
        result = DONE;
        for (int i = 0; i < m->n_outputs; i++)
            if (!call_output(&call, i, &out[i])) result = BAD_MODEL;
    }
    if (result == DONE) *more = visit(arg, sample, out);
    else
        diag_error(f->reference.ctx, NULL, "%s: %s: a run of the network failed: %s", f->option,
                   samples_name(f->samples), call_status(status));
    call_free(&call);
    arena_free(a);
    return result;
}

int fidelity_run(Fidelity *f, const Pipeline *p, int most, Visit visit, void *arg) {
    const mcc_model *m = loaded_model(p->loaded);
    const Tensor **in = ARENA_ARRAY(p->ctx->arena, m->n_inputs + 1, const Tensor *);
    bool more = true;
    int result = DONE;
    samples_rewind(f->samples);
    for (int i = 0; i < most && more && result == DONE; i++) {
        SampleStatus status = samples_next(f->samples, in);
        if (status == SAMPLE_END) break;
        result = status == SAMPLE_GIVEN ? run_one(f, p, i, in, visit, arg, &more) : BAD_MODEL;
    }
    return result;
}

/* Its rows' labels, in place of the first output. false: there are too few */
static bool label_sample(Fidelity *f, int sample, const Tensor *outputs) {
    const Tensor *y = &outputs[0];
    int64_t rows = 1;
    for (int i = 0; i < y->rank - 1; i++) rows *= y->dims[i];
    if (rows > f->labels.n - f->n_labelled) {
        diag_error(f->reference.ctx, NULL, "%s has %lld labels, and sample %d needs %lld more", f->command->labels,
                   (long long)f->labels.n, sample, (long long)(rows - (f->labels.n - f->n_labelled)));
        return false;
    }
    Tensor *t = &f->want[sample * f->n_outputs];
    *t = (Tensor){.dtype = DT_I64, .rank = 1, .dims = {rows}, .bytes = (size_t)rows * 8};
    t->data = f->labels.item + f->n_labelled;
    f->n_labelled += rows;
    f->n_samples = sample + 1;
    loss_add(&f->own, METRIC_ACCURACY, y, t);
    return true;
}

static bool keep(void *arg, int sample, const Tensor *outputs) {
    Fidelity *f = arg;
    if (f->command->metric == METRIC_ACCURACY) return label_sample(f, sample, outputs);
    size_t bytes = 0;
    for (int i = 0; i < f->n_outputs; i++) bytes += outputs[i].bytes;
    if (sample && bytes > MOST_BYTES - f->bytes) return false;
    f->bytes = f->bytes + bytes < MOST_BYTES ? f->bytes + bytes : MOST_BYTES;
    for (int i = 0; i < f->n_outputs; i++) {
        Tensor *t = &f->want[sample * f->n_outputs + i];
        void *data = arena_alloc(f->reference.ctx->arena, outputs[i].bytes + 1);
        *t = outputs[i];
        if (t->bytes) memcpy(data, outputs[i].data, t->bytes);
        t->data = data;
    }
    f->n_samples = sample + 1;
    return true;
}

int fidelity_read(Fidelity *f) {
    const Command *k = f->command;
    Pipeline *p = &f->reference;
    diag_to(p->ctx, NULL); /* it has been read before, or will be */
    int result = pipeline_to_code(p);
    if (result != DONE) return result;
    const mcc_model *m = loaded_model(p->loaded);
    SampleOptions options = {.norm = k->input_norm, .layout = k->input_layout};
    f->n_outputs = m->n_outputs;
    f->want = ARENA_ARRAY(p->ctx->arena, MOST_SAMPLES * f->n_outputs + 1, Tensor);
    f->losses = ARENA_ARRAY(p->ctx->arena, f->n_outputs + 1, Loss);
    diag_to(p->ctx, stderr);
    f->samples = samples_open(p->ctx, k->calibrate, k->n_calibrate, m->inputs, m->n_inputs, &options);
    if (!f->samples) return BAD_MODEL;
    bool labelled = k->metric == METRIC_ACCURACY && f->n_outputs;
    if (labelled && !labels_read(p->ctx, k->labels, &f->labels)) return BAD_MODEL;
    result = fidelity_run(f, p, MOST_SAMPLES, keep, f);
    return result == DONE && diag_errors(p->ctx) ? BAD_MODEL : result;
}

/* Of what is measured: the metrics of rows look at the first one alone. */
static int outputs_of(const Fidelity *f) {
    bool rows = f->command->metric == METRIC_TOP1 || f->command->metric == METRIC_ACCURACY;
    return rows && f->n_outputs > 1 ? 1 : f->n_outputs;
}

static bool add_losses(void *arg, int sample, const Tensor *outputs) {
    Fidelity *f = arg;
    Metric m = f->command->metric;
    for (int i = 0; i < outputs_of(f); i++)
        loss_add(&f->losses[i], m, &outputs[i], &f->want[sample * f->n_outputs + i]);
    return sample + 1 < f->n_samples;
}

int fidelity_measure(Fidelity *f, const Pipeline *p, double *drop) {
    Metric m = f->command->metric;
    int n = outputs_of(f);
    memset(f->losses, 0, sizeof *f->losses * (size_t)f->n_outputs);
    int result = fidelity_run(f, p, f->n_samples, add_losses, f);
    *drop = 0;
    for (int i = 0; i < n; i++) *drop += loss_value(&f->losses[i], m) / n;
    if (m == METRIC_ACCURACY) *drop = fmax(0, *drop - loss_value(&f->own, m));
    return result;
}

void fidelity_free(Fidelity *f) {
    samples_close(f->samples);
    pipeline_free(&f->reference);
    ctx_free(f->reference.ctx);
}
