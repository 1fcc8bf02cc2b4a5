/* ONNX's test directories: model.onnx, and test_data_set_N/{input,output}_M.pb. The inputs' dims pin the model's open
 * dims (with --open they only bound them); a set with other dims than the one before is compiled for anew. */
#include "driver/verify.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct TensorFiles { /* input_0.pb, input_1.pb, … */
    Tensor **list;           /* NULL where a file is no tensor */
    Str *names;
    int n;
    bool all_read;
} TensorFiles;

typedef struct Directory {
    const Command *command;
    const Subject *subject;
    Verdict *verdict;
    Pipeline p;
    const char *set; /* path of the data set at hand */
    Ctx *data;       /* owns its tensors */
    TensorFiles in, want;
    ShapePin *pins; /* what p was compiled for; NULL: nothing yet */
    int n_pins;
    DimPin bound;
    bool good;
} Directory;

static void read_tensors(Directory *d, Graph *holder, const char *kind, TensorFiles *files) {
    Arena *a = holder->arena;
    *files = (TensorFiles){.all_read = true};
    while (!access(arena_printf(a, "%s/%s_%d.pb", d->set, kind, files->n), F_OK)) files->n++;
    files->list = ARENA_ARRAY(a, files->n + 1, Tensor *);
    files->names = ARENA_ARRAY(a, files->n + 1, Str);
    for (int i = 0; i < files->n; i++) {
        const char *path = arena_printf(a, "%s/%s_%d.pb", d->set, kind, i);
        files->list[i] = onnx_read_tensor(d->data, holder, path, &files->names[i]);
        if (!files->list[i]) files->all_read = false;
    }
}

static void raise_bound(Directory *d, const TensorFiles *files) {
    for (int i = 0; i < files->n; i++)
        for (int k = 0; files->list[i] && k < files->list[i]->rank; k++)
            if (files->list[i]->dims[k] > d->bound.value) d->bound.value = files->list[i]->dims[k];
}

/* One pin an input that has a name; and a bound for all other dims: with --open those of inputs, always those that
 * depend on values and that nothing in the model bounds. */
static ShapePin *make_pins(Directory *d, int *n_pins) {
    ShapePin *pins = ARENA_ARRAY(d->data->arena, d->in.n + 1, ShapePin);
    *n_pins = 0;
    d->bound = (DimPin){"*", 1};
    raise_bound(d, &d->in);
    raise_bound(d, &d->want);
    for (int i = 0; i < d->in.n; i++) {
        const Tensor *t = d->in.list[i];
        if (!t || !d->in.names[i].n || d->command->open) continue;
        ShapePin *pin = &pins[(*n_pins)++];
        pin->name = arena_printf(d->data->arena, "%.*s", (int)d->in.names[i].n, d->in.names[i].p);
        pin->rank = t->rank;
        memcpy(pin->dims, t->dims, sizeof t->dims);
    }
    return pins;
}

static bool same_pins(const Directory *d, const ShapePin *pins, int n) {
    if (!d->pins || d->n_pins != n || d->command->open) return false;
    for (int i = 0; i < n; i++)
        if (strcmp(d->pins[i].name, pins[i].name) != 0 || d->pins[i].rank != pins[i].rank ||
            memcmp(d->pins[i].dims, pins[i].dims, sizeof pins[i].dims) != 0)
            return false;
    return true;
}

static void forget_code(Directory *d) {
    if (!d->p.ctx) return;
    free((char *)(uintptr_t)d->p.ctx->file);
    pipeline_free(&d->p);
    ctx_free(d->p.ctx);
    d->p = (Pipeline){0};
    d->pins = NULL;
}

static int compile(void *arg) {
    Directory *d = arg;
    return verify_compile(&d->p, d->verdict) ? DONE : BAD_MODEL;
}

/* Compiles for the data set at hand, unless that was done for the one before. */
static bool compile_for_set(Directory *d) {
    int n_pins;
    ShapePin *pins = make_pins(d, &n_pins);
    if (same_pins(d, pins, n_pins)) return true;
    forget_code(d);
    size_t size = strlen(d->subject->path) + sizeof "/model.onnx";
    char *path = malloc(size);
    if (!path) return false;
    snprintf(path, size, "%s/model.onnx", d->subject->path);
    d->p =
        (Pipeline){.command = d->command, .target = pipeline_target(d->command), .ctx = pipeline_ctx(d->command, path)};
    if (!d->p.ctx || !d->p.target) return false;
    Ctx *ctx = d->p.ctx;
    d->pins = ARENA_ARRAY(ctx->arena, n_pins + 1, ShapePin);
    d->n_pins = n_pins;
    for (int i = 0; i < n_pins; i++) {
        d->pins[i] = pins[i];
        d->pins[i].name = arena_printf(ctx->arena, "%s", pins[i].name);
    }
    if (!d->command->opt.n_shapes) ctx->opt.shapes = d->pins, ctx->opt.n_shapes = n_pins;
    if (!d->command->opt.n_max_dims) ctx->opt.max_dims = &d->bound, ctx->opt.n_max_dims = 1;
    return with_memory(ctx, compile, d) == DONE;
}

static bool check_inputs(Directory *d, const mcc_model *m) {
    char got[128];
    if (!d->in.all_read || !d->want.all_read) verdict_set(d->verdict, FAIL, ": a .pb file of its data is no tensor");
    else if (d->in.n != m->n_inputs)
        verdict_set(d->verdict, FAIL, ": it takes %d inputs, the data has %d", m->n_inputs, d->in.n);
    else if (d->want.n > m->n_outputs)
        verdict_set(d->verdict, FAIL, ": it has %d outputs, the data has %d", m->n_outputs, d->want.n);
    else if (d->want.n == 0) verdict_set(d->verdict, FAIL, ": the data has no output");
    else {
        for (int i = 0; i < m->n_inputs; i++) {
            if ((int)d->in.list[i]->dtype == m->inputs[i].dtype) continue;
            tensor_dims_text(d->in.list[i], got, sizeof got);
            verdict_set(d->verdict, FAIL, ": input %d is %s in the data, %s in the model", i, got,
                        dtype_name((Dtype)m->inputs[i].dtype));
            return false;
        }
        return true;
    }
    return false;
}

static bool draws(const Graph *g) {
    bool any = false;
    for (const Node *n = g->first; n && !any; n = n->next) {
        Graph *bodies[MAX_BODIES];
        any = op_has(n->op, OP_RANDOM) || (n->body && draws(n->body));
        for (int i = node_bodies(n, bodies) - 1; i >= 0 && !any; i--) any = draws(bodies[i]);
    }
    return any;
}

static bool check_outputs(Directory *d, const Tensor *got) {
    char why[VERDICT_SIZE - 32];
    bool drawn = draws(d->p.graph);
    for (int i = 0; i < d->want.n; i++) {
        if ((drawn ? compare_drawn : compare_tensors)(&got[i], d->want.list[i], why, sizeof why)) continue;
        verdict_set(d->verdict, FAIL, ": output %d%s", i, why);
        return false;
    }
    return true;
}

static int check_set(void *arg) {
    Directory *d = arg;
    Graph *holder = graph_new(d->data, NULL);
    diag_to(d->data, NULL);
    read_tensors(d, holder, "input", &d->in);
    read_tensors(d, holder, "output", &d->want);
    if (!compile_for_set(d)) return BAD_MODEL;
    const mcc_model *m = loaded_model(d->p.loaded);
    if (!check_inputs(d, m)) return BAD_MODEL;
    Call call = {0};
    Tensor *out = ARENA_ARRAY(d->data->arena, m->n_outputs + 1, Tensor);
    d->good = verify_call(&d->p, &call, (const Tensor *const *)d->in.list, out, d->verdict) && check_outputs(d, out);
    call_free(&call);
    return d->good ? DONE : BAD_MODEL;
}

static bool check_set_at(Directory *d, const char *path) {
    d->set = path;
    d->good = false;
    d->data = ctx_new(path);
    if (!d->data) return false;
    d->data->opt.max_fold = SIZE_MAX;
    with_memory(d->data, check_set, d);
    onnx_unmap(d->data);
    ctx_free(d->data);
    return d->good;
}

static int is_set(const struct dirent *e) { return !strncmp(e->d_name, "test_data_set_", sizeof "test_data_set_" - 1); }

void verify_directory(const Command *c, const Subject *s, Verdict *v) {
    Directory d = {.command = c, .subject = s, .verdict = v};
    struct dirent **entries = NULL;
    int n = scandir(s->path, &entries, is_set, alphasort);
    bool good = n > 0;
    if (!good) verdict_set(v, FAIL, ": no test_data_set_* in %s", s->path);
    for (int i = 0; i < n; i++) {
        size_t size = strlen(s->path) + strlen(entries[i]->d_name) + 2;
        char *path = malloc(size);
        if (path) snprintf(path, size, "%s/%s", s->path, entries[i]->d_name);
        good = good && path && check_set_at(&d, path);
        free(path);
        free(entries[i]);
    }
    free(entries);
    forget_code(&d);
    if (good) verdict_set(v, PASS, "%s", "");
}
