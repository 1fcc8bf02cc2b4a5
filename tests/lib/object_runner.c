/* Linked with many models by objects.py: `runner N [TIMES]` runs the Nth of the table on standard input (for each input its rank, dims,
 * bytes and data) and writes its status, then likewise each output. Counts are int64. */
#include <stdio.h>
#include <stdlib.h>
#include "mcc/runtime.h"

#define MODEL(name) extern const mcc_model name;
#include "models.inc"
#undef MODEL
static const mcc_model *const models[] = {
#define MODEL(name) &name,
#include "models.inc"
};

static int64_t get(void) {
    int64_t v = 0;
    return fread(&v, sizeof v, 1, stdin) == 1 ? v : 0;
}
static void put(int64_t v) { fwrite(&v, sizeof v, 1, stdout); }

static void read_tensor(mcc_tensor *t, const mcc_tensor_info *info) {
    *t = (mcc_tensor){.dtype = info->dtype, .rank = (int32_t)get()};
    for (int d = 0; d < t->rank; d++) t->dims[d] = get();
    t->bytes = (size_t)get();
    t->data = aligned_alloc(64, (t->bytes + 64) / 64 * 64);
    if (fread(t->data, 1, t->bytes, stdin) != t->bytes) exit(3);
}

static void new_tensor(mcc_tensor *t, const mcc_tensor_info *info) {
    *t = (mcc_tensor){.dtype = info->dtype, .rank = info->rank, .bytes = 8};
    for (int d = 0; d < info->rank; d++) t->bytes *= (size_t)info->max_dims[d];
    t->data = aligned_alloc(64, (t->bytes + 64) / 64 * 64);
}

int main(int argc, char **argv) {
    const mcc_model *m = models[argc > 1 ? atoi(argv[1]) : 0];
    mcc_tensor *in = calloc((size_t)m->n_inputs + 1, sizeof *in), *out = calloc((size_t)m->n_outputs + 1, sizeof *out);
    for (int i = 0; i < m->n_inputs; i++) read_tensor(&in[i], &m->inputs[i]);
    for (int i = 0; i < m->n_outputs; i++) new_tensor(&out[i], &m->outputs[i]);
    void *workspace = aligned_alloc(64, (m->workspace_bytes + 64) / 64 * 64);
    for (int left = argc > 2 ? atoi(argv[2]) : 1; left > 1; left--) m->run(in, out, workspace);
    put(m->run(in, out, workspace));
    for (int i = 0; i < m->n_outputs; i++) {
        put(out[i].dtype);
        put(out[i].rank);
        for (int d = 0; d < out[i].rank; d++) put(out[i].dims[d]);
        put((int64_t)out[i].bytes);
        fwrite(out[i].data, 1, out[i].bytes, stdout);
    }
    return 0;
}
