/* ONNX's own tests: what inference says of each output against the expected tensor that comes with the model. Takes
 * them from Debian's libonnx-testdata and, where an earlier test has unpacked it, from the newer archive in
 * build/onnx-tests. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/frontend.h"

static const char *const folders[] = {"/usr/share/libonnx-testdata/data/node",
                                      "/usr/share/libonnx-testdata/data/simple", "build/onnx-tests/node",
                                      "build/onnx-tests/simple"};
static int agree, differ, unsupported;

static bool exists(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f != NULL;
}

/* Constants exactly; what stays open or depends on values has to have room for what came out. */
static bool dims_agree(const Type *t, const Tensor *want) {
    bool bits = t->dtype == DT_BF16 && want->dtype == DT_U16; /* how ONNX 1.12 writes bfloat16 */
    bool same = (t->dtype == want->dtype || bits) && t->rank == want->rank;
    for (int i = 0; same && i < t->rank; i++) same = t->dims[i]->lo <= want->dims[i] && want->dims[i] <= t->dims[i]->hi;
    return same;
}

static bool check_outputs(Ctx *ctx, Graph *g, const char *dir) {
    bool ok = true;
    for (int i = 0; i < g->n_outputs; i++) {
        const char *path = arena_printf(ctx->arena, "%s/test_data_set_0/output_%d.pb", dir, i);
        const Tensor *want = exists(path) ? onnx_read_tensor(ctx, g, path, NULL) : NULL;
        if (!want || dims_agree(&g->outputs[i]->type, want)) continue;
        fprintf(stderr, "%s: output %d is %s[", dir, i, dtype_name(g->outputs[i]->type.dtype));
        for (int k = 0; k < g->outputs[i]->type.rank; k++)
            fprintf(stderr, " %s", dim_text(ctx, g->outputs[i]->type.dims[k]));
        fprintf(stderr, " ], expected %s[", dtype_name(want->dtype));
        for (int k = 0; k < want->rank; k++) fprintf(stderr, " %lld", (long long)want->dims[k]);
        fprintf(stderr, " ]\n");
        ok = false;
    }
    return ok;
}

static void check_model(const char *dir) {
    char path[1000], *text = NULL;
    size_t size;
    MemTry t;
    DimPin rest = {"*", 2048};
    FILE *messages = open_memstream(&text, &size);
    snprintf(path, sizeof path, "%s/model.onnx", dir);
    Ctx *ctx = ctx_new(path);
    ctx->opt.max_dims = &rest;
    ctx->opt.n_max_dims = 1;
    diag_to(ctx, messages);
    if (mem_enter(ctx, &t), setjmp(t.jump)) abort();
    Graph *g = onnx_read(ctx, path);
    fflush(messages);
    if (g) {
        *(check_outputs(ctx, g, dir) ? &agree : &differ) += 1;
    } else if (strstr(text, "support") || strstr(text, "its opset is") || strstr(text, "overflows the address space")) {
        unsupported++;
    } else {
        fprintf(stderr, "%s", text);
        differ++;
    }
    mem_leave(ctx, &t);
    onnx_unmap(ctx);
    ctx_free(ctx);
    fclose(messages);
    free(text);
}

int main(void) {
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        DIR *folder = opendir(folders[i]);
        for (struct dirent *e; folder && (e = readdir(folder));) {
            char dir[900], model[1000];
            snprintf(dir, sizeof dir, "%s/%s", folders[i], e->d_name);
            snprintf(model, sizeof model, "%s/model.onnx", dir);
            if (exists(model)) check_model(dir);
        }
        if (folder) closedir(folder);
    }
    printf("%d agree, %d differ, %d unsupported\n", agree, differ, unsupported);
    if (agree + differ + unsupported == 0) return 77;
    return differ != 0 || agree == 0;
}
