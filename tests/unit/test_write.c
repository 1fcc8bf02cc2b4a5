/* Graphs that no model file gives, written as ONNX and read back: nameless and equally named values, views, quantized
 * weights, opsets; and what cannot be written. */
#include <unistd.h>
#include "frontend/frontend.h"
#include "tests/passes/passtest.h"

static char path[] = "/tmp/mcc-test-write-XXXXXX";

static bool write_case(Case *c) {
    FILE *f = fopen(path, "wb");
    bool good = f && onnx_write(c->ctx, c->g, f);
    return f && !fclose(f) && good;
}

/* Writes the case, reads it back under bounds for its open dims, and compares what --emit=graph says. Frees the case.
 */
static void reads_back(Case *c, const char *name, int opset, const char *want) {
    static const DimPin bound = {"*", 64};
    char *text = NULL;
    size_t size = 0;
    if (!write_case(c)) case_fail(name, "not written");
    Ctx *ctx = ctx_new(path);
    ctx->opt = (Options){.max_fold = 1 << 20, .max_memory = MEM_UNLIMITED, .max_dims = &bound, .n_max_dims = 1};
    Graph *g = onnx_read(ctx, path);
    FILE *out = open_memstream(&text, &size);
    if (g) graph_print(g, out);
    fclose(out);
    if (!g || strcmp(text, want) != 0) case_fail(name, text);
    if (g && g->opset != opset) case_fail(name, "another opset");
    free(text);
    onnx_unmap(ctx);
    ctx_free(ctx);
    ctx_free(c->ctx);
}

static void is_refused(Case *c, const char *name, const char *want) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    diag_to(c->ctx, out);
    if (write_case(c)) case_fail(name, "written");
    fclose(out);
    if (!strstr(text, want)) case_fail(name, text);
    free(text);
    ctx_free(c->ctx);
}

static Value *view(Case *c, Value *x, const char *spec) {
    Value *y = NODE(c, View, x)->out[0];
    Dim dims[MCC_MAX_RANK];
    value_set_dims(y, x->type.dtype, parse_dims(c, spec, dims), dims);
    return y;
}

/* Fresh names keep clear of those of the model; a name given twice stays with the input or output. */
static void test_names(void) {
    Case c;
    case_begin(&c);
    Value *x = input(&c, "v0", "2xN"), *a = DO(&c, Relu, x), *b = DO(&c, Neg, a), *y = DO(&c, Abs, b);
    b->name = str_of("y");
    Node *other = y->def;
    other->name = b->def->name; /* two nodes with one name */
    output(&c, "y", y);
    reads_back(&c, "names", 18,
               "graph (%v0: float32[2, N]) -> (%y)\n"
               "  %v_0: float32[2, N] = Relu(%v0)  # n1\n"
               "  %v_1: float32[2, N] = Neg(%v_0)\n"
               "  %y: float32[2, N] = Abs(%v_1)  # n3\n");
}

static void test_views(void) {
    Case c;
    case_begin(&c);
    Value *x = input(&c, "x", "Nx6xM"), *none = input(&c, "none", "0x3");
    output(&c, "y", view(&c, view(&c, x, "Nx2x3xM"), "Nx6xM"));
    output(&c, "z", view(&c, none, "3x0"));
    reads_back(&c, "views", 18,
               "graph (%x: float32[N, 6, M], %none: float32[0, 3]) -> (%y, %z)\n"
               "  %v0: float32[N, 2, 3, M] = Reshape(%x, int64[4] {0, 2, 3, -1})  # n2\n"
               "  %y: float32[N, 6, M] = Reshape(%v0, int64[3] {0, 6, -1})  # n4\n"
               "  %z: float32[3, 0] = Reshape(%none, int64[2] {3, 0}) {allowzero = 1}  # n6\n");
}

/* What a quantizer inserts: u8 activations, s8 weights a channel. */
static void test_quantized(void) {
    Case c;
    int64_t channels = 2, dims[2] = {3, 2};
    case_begin(&c);
    Value *x = input(&c, "x", "Nx3"), *scale = number(&c, 0.5), *zero;
    Tensor *zeros = tensor_new(c.g, DT_U8, 0, dims);
    *(unsigned char *)(uintptr_t)zeros->data = 128;
    zero = value_of_tensor(c.g, zeros);
    Value *q = DO(&c, QuantizeLinear, x, scale, zero), *dq = DO(&c, DequantizeLinear, q, scale, zero);
    Value *w = value_of_tensor(c.g, random_tensor(&c, c.g, DT_I8, 2, dims));
    Tensor *scales = tensor_new(c.g, DT_F32, 1, &channels);
    tensor_set_float(scales, 0, 0.25);
    tensor_set_float(scales, 1, 2);
    Node *dw = NODE(&c, DequantizeLinear, w, value_of_tensor(c.g, scales));
    node_set_int(dw, "axis", 1);
    output(&c, "y", DO(&c, MatMul, dq, result(&c, dw)));
    reads_back(&c, "quantized", 18,
               "graph (%x: float32[N, 3]) -> (%y)\n"
               "  %v2: uint8[N, 3] = QuantizeLinear(%x, float32[] {0.5}, uint8[] {128})  # n3\n"
               "  %v3: float32[N, 3] = DequantizeLinear(%v2, float32[] {0.5}, uint8[] {128})  # n5\n"
               "  %v6: float32[3, 2] = DequantizeLinear(int8[3, 2] {-1, 0, 0, -1, 1, 0}, float32[2] {0.25, 2}) "
               "{axis = 1}  # n9\n"
               "  %y: float32[N, 2] = MatMul(%v3, %v6)  # n11\n");
}

static void test_opset(void) {
    Case c;
    case_begin(&c);
    c.g->opset = 20;
    output(&c, "y", DO(&c, Swish, input(&c, "x", "2")));
    reads_back(&c, "the operator's opset", 24, "graph (%x: float32[2]) -> (%y)\n  %y: float32[2] = Swish(%x)  # n1\n");
}

static void test_refused(void) {
    Case c;
    static const char few[1];
    Tensor huge = {.dtype = DT_F32, .rank = 1, .dims = {600000000}, .bytes = 2400000000u, .data = few};
    case_begin(&c);
    output(&c, "y", DO(&c, Add, input(&c, "x", "1"), value_of_tensor(c.g, &huge)));
    is_refused(&c, "too large", "as ONNX it would take 2400000");

    case_begin(&c);
    Node *block = NODE(&c, Block, input(&c, "x", "1x4x2x2"));
    value_set_dims(block->out[0], DT_F32, 4, block->in[0]->type.dims);
    output(&c, "y", block->out[0]);
    is_refused(&c, "an operator of mcc's own", "mcc.Block, which is mcc's own, cannot be written as ONNX");

    case_begin(&c);
    output(&c, "y", view(&c, input(&c, "x", "AxB"), "BxA"));
    is_refused(&c, "a view that Reshape cannot say", "a view with several open dims cannot be written as ONNX");
}

int main(void) {
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    test_names();
    test_views();
    test_quantized();
    test_opset();
    test_refused();
    unlink(path);
    return failures ? 1 : 0;
}
