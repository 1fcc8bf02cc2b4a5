/* What objects ask of the world: every operator of the table, on every dtype that its row allows, for a target of each
 * architecture (every row of the target table with MCC_TEST_ALL=1), as reference kernels and as fused loops: no
 * undefined symbol but memcpy, memmove, memset (on Arm their __aeabi_ forms too), no writable section. All operators of
 * a dtype stand in one graph. An operator without a recipe fails the test. */
#include <elf.h>
#include <llvm-c/Core.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "codegen/codegen.h"
#include "passes/passes.h"
#include "targets/row.h"

/* operator, inputs as dims ("-" absent, "i:…" constant int64 values, "b…" bool, "n…" int64 run-time
 * indices, "s" a scalar), "@attribute=value", ">outputs", "<declared size of output 0" */
static const char *const recipes[] = {
    "Conv 1,4,5,5 6,4,3,3 6",
    "ConvTranspose 1,4,5,5 4,6,3,3 6",
    "Gemm 2,3 3,4 4",
    "MatMul 2,3 3,4",
    "GRU 2,1,3 1,15,3 1,15,5 1,30",
    "LSTM 2,1,3 1,20,3 1,20,5 1,40",
    "RNN 2,1,3 1,5,3 1,5,5 1,10",
    "BatchNormalization 1,4,5 4 4 4 4",
    "InstanceNormalization 1,4,5 4 4",
    "LayerNormalization 2,6 6 6",
    "RMSNormalization 2,6 6",
    "LRN 1,4,3,3 @size=3",
    "Softmax 2,5",
    "LogSoftmax 2,5",
    "MaxPool 1,2,6,6 @kernel_shape=2,2",
    "AveragePool 1,2,6,6 @kernel_shape=2,2",
    "LpPool 1,2,6,6 @kernel_shape=2,2",
    "GlobalAveragePool 1,2,4,4",
    "GlobalMaxPool 1,2,4,4",
    "GlobalLpPool 1,2,4,4",
    "ReduceL1 2,3 i:1",
    "ReduceL2 2,3 i:1",
    "ReduceLogSum 2,3 i:1",
    "ReduceLogSumExp 2,3 i:1",
    "ReduceMax 2,3 i:1",
    "ReduceMean 2,3 i:1",
    "ReduceMin 2,3 i:0",
    "ReduceProd 2,3 i:1",
    "ReduceSum 2,3 i:1",
    "ReduceSumSquare 2,3 i:1",
    "ArgMax 2,3",
    "ArgMin 2,3",
    "Det 2,3,3",
    "TensorScatter 2,1,4,5 2,1,2,5 n2",
    "CenterCropPad 4,3 i:3,5",
    "AffineGrid 2,2,3 i:2,3,4,5",
    "LinearAttention 2,3,8 2,3,8 2,3,8 - 2,3,2 2,3,2 @q_num_heads=2 @kv_num_heads=2 >2",
    "CumProd 2,3 i:1",
    "CumSum 2,3 i:1",
    "Identity 2,3",
    "Reshape 2,3 i:3,2",
    "Flatten 2,3",
    "Squeeze 1,3 i:0",
    "Unsqueeze 2,3 i:0",
    "Concat 2,3 2,3 @axis=1",
    "Split 4,3 i:2,2 >2",
    "Slice 4,3 i:1 i:3",
    "Transpose 2,3",
    "Expand 1,3 i:2,3",
    "Tile 2,3 i:2,1",
    "Pad 2,3 i:1,0,0,1",
    "Gather 4,3 n2",
    "GatherElements 4,3 n2,3",
    "GatherND 4,3 n2,1",
    "ScatterElements 4,3 n2,3 2,3 @axis=0",
    "ScatterND 4,3 n2,1 2,3",
    "Compress 4,3 b4 @axis=0",
    "NonMaxSuppression 1,3,4 1,2,3 i:2",
    "NonZero 2,3",
    "OneHot 2,3 i:4 f2",
    "ReverseSequence 3,2 n2",
    "TopK 2,5 i:2 >2",
    "Unique 6 >4",
    "Col2Im 1,5,5 i:5,5 i:1,5",
    "DeformConv 1,2,3,3 1,2,2,2 1,8,2,2",
    "GridSample 1,1,3,3 f1,2,2,2",
    "MaxRoiPool 1,1,4,4 2,5 @pooled_shape=2,2",
    "MaxUnpool 1,1,2,2 n1,1,2,2 @kernel_shape=2,2",
    "RoiAlign 1,1,4,4 2,4 n2",
    "DFT 1,6,1",
    "STFT 1,8,1 i:2 - i:4",
    "BlackmanWindow i:8",
    "HammingWindow i:8",
    "HannWindow i:8",
    "MelWeightMatrix i:8 i:16 i:8192 f f",
    "BitCast 2,3 @to=6",
    "DepthToSpace 1,4,2,2 @blocksize=2",
    "SpaceToDepth 1,1,4,4 @blocksize=2",
    "Trilu 3,3",
    "Resize 1,1,4,4 - - i:1,1,8,8 @mode=linear",
    "ConstantOfShape i:2,3",
    "Range s s s <4",
    "Shape 2,3",
    "Size 2,3",
    "EyeLike 3,3",
    "Where b2,3 2,3 2,3",
    "QuantizeLinear 2,3 f3",
    "DequantizeLinear 2,4 f2,2 2,2 @block_size=2",
    "DynamicQuantizeLinear 2,3 >3",
    "ConvInteger 1,4,5,5 6,2,3,3 s 6 @group=2",
    "MatMulInteger 2,3 3,4 2 4",
    "QLinearConv 1,4,5,5 f s 6,2,3,3 f6 6 f s @group=2",
    "QLinearMatMul 2,3 f2 2 3,4 f4 4 f s",
};
enum { N_RECIPES = sizeof recipes / sizeof *recipes, DIMS = 8 };

static Value *new_input(Graph *g, Dtype t, const char *dims) {
    Dim d[DIMS];
    int rank = 0;
    for (const char *p = dims; *p; p += *p == ',') d[rank++] = dim_const(g->ctx, strtol(p, (char **)&p, 10));
    Value *v = value_new(g, str_of("x"));
    value_set_dims(v, t, rank, d);
    g->inputs = arena_grow(g->arena, g->inputs, (size_t)g->n_inputs, (size_t)g->n_inputs + 1, sizeof *g->inputs);
    return g->inputs[g->n_inputs++] = v;
}

static Value *new_constant(Graph *g, const char *values) {
    int64_t x[DIMS], n = 0;
    for (const char *p = values; *p; p += *p == ',') x[n++] = strtol(p, (char **)&p, 10);
    Tensor *t = tensor_new(g, DT_I64, 1, &n);
    memcpy((void *)(uintptr_t)t->data, x, t->bytes);
    return value_of_tensor(g, t);
}

static void set_attr(Node *n, char *text) {
    char *value = strchr(text, '=');
    *value++ = 0;
    if (!strcmp(text, "mode")) node_set_string(n, text, value);
    else if (strchr(value, ','))
        node_set_ints(n, text, (int64_t[]){strtol(value, NULL, 10), strtol(strchr(value, ',') + 1, NULL, 10)}, 2);
    else node_set_int(n, text, strtol(value, NULL, 10));
}

static void add_output(Graph *g, Value *v) {
    g->outputs = arena_grow(g->arena, g->outputs, (size_t)g->n_outputs, (size_t)g->n_outputs + 1, sizeof *g->outputs);
    g->outputs[g->n_outputs++] = v;
}

static bool finish_node(Graph *g, Node *n) {
    if (!node_infer(g->ctx, n)) return false;
    for (int i = 0; i < n->n_out; i++) add_output(g, n->out[i]);
    return true;
}

static bool add_recipe(Graph *g, Op op, Dtype t, const char *recipe) {
    char text[128], *save = NULL;
    snprintf(text, sizeof text, "%s", recipe);
    Value *in[8];
    char *attrs[4];
    Dim bound = NULL;
    int n_in = 0, n_attrs = 0, n_out = 1;
    for (char *w = strtok_r(text, " ", &save); (w = strtok_r(NULL, " ", &save));) {
        if (*w == '@') attrs[n_attrs++] = w + 1;
        else if (*w == '>') n_out = atoi(w + 1);
        else if (*w == '<') bound = dim_const(g->ctx, atoi(w + 1));
        else if (*w == 's') in[n_in++] = new_input(g, t, "");
        else if (*w == '-') in[n_in++] = NULL;
        else if (*w == 'i') in[n_in++] = new_constant(g, w + 2);
        else if (*w == 'b') in[n_in++] = new_input(g, DT_BOOL, w + 1);
        else if (*w == 'n') in[n_in++] = new_input(g, DT_I64, w + 1);
        else if (*w == 'f') in[n_in++] = new_input(g, DT_F32, w + 1);
        else in[n_in++] = new_input(g, t, w);
    }
    Node *n = node_new(g, op, NULL, in, n_in, n_out);
    for (int i = 0; i < n_attrs; i++) set_attr(n, attrs[i]);
    if (bound) value_set_dims(n->out[0], t, 1, &bound);
    return finish_node(g, n);
}

static bool add_elementwise(Graph *g, Op op, Dtype t) {
    Value *in[3];
    const OpInfo *info = op_info(op);
    int n_in = info->max_in == VAR ? 2 : info->max_in;
    for (int i = 0; i < n_in; i++) in[i] = new_input(g, t, op == OP_Clip && i ? "" : "2,3");
    for (int to = 1; op == OP_Cast && to < DT_COUNT; to++) {
        if (!dtype_computes((Dtype)to)) continue;
        Node *n = node_new(g, op, NULL, in, n_in, 1);
        node_set_int(n, "to", to);
        if (!finish_node(g, n)) return false;
    }
    if (op == OP_Cast) return true;
    Node *n = node_new(g, op, NULL, in, n_in, 1);
    if (op == OP_Mod && dtype_class(t) == DTC_F) node_set_int(n, "fmod", 1); /* the only one for floats */
    return finish_node(g, n);
}

static const char *recipe_of(Op op) {
    size_t n = strlen(op_info(op)->name);
    for (int i = 0; i < N_RECIPES; i++)
        if (!strncmp(recipes[i], op_info(op)->name, n) && recipes[i][n] == ' ') return recipes[i];
    return NULL;
}

/* Operators on quantized numbers take some of their row's dtypes only. */
static bool takes(Op op, Dtype t) {
    if (op == OP_NonMaxSuppression || op == OP_BitCast) return t == DT_F32;
    if (!op_has(op, OP_QUANTIZED)) return (op_info(op)->dtypes & dtype_class(t)) != 0;
    if (op == OP_DynamicQuantizeLinear) return t == DT_F32;
    if (op == OP_QuantizeLinear) return t == DT_I32 || (dtype_class(t) == DTC_F && t != DT_F64);
    return dtype_class(t) & (DTC_I | DTC_U) && dtype_bits(t) <= (op == OP_DequantizeLinear ? 16 : 8);
}

static bool build_graph(Graph *g, Dtype t) {
    for (int i = OP_NONE + 1; i < OP_COUNT; i++) {
        Op op = (Op)i;
        if (op_info(op)->domain == MCC || op_has(op, OP_DECOMPOSED) || op_has(op, OP_CONTROL) || !takes(op, t))
            continue;
        const char *recipe = recipe_of(op);
        if (!recipe && !op_has(op, OP_ELEMENTWISE)) {
            printf("no recipe for %s\n", op_info(op)->name);
            return false;
        }
        if (op == OP_ConstantOfShape && t != DT_I64) continue;
        if (!(recipe ? add_recipe(g, op, t, recipe) : add_elementwise(g, op, t))) {
            printf("the recipe of %s does not fit %s\n", op_info(op)->name, dtype_name(t));
            return false;
        }
    }
    return true;
}

static bool symbol_allowed(const char *name) {
    static const char *const allowed[] = {"memcpy", "memmove", "memset", "_GLOBAL_OFFSET_TABLE_", "m_weights"};
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (!strcmp(name, allowed[i])) return true;
    return !strncmp(name, "__aeabi_mem", 11);
}

static bool check_section(const char *what, const char *name, uint64_t flags, uint64_t size) {
    if (!(flags & SHF_WRITE) || !size || !strncmp(name, ".data.rel.ro", 12)) return true;
    printf("%s: writable section %s\n", what, name);
    return false;
}

static bool check_symbol(const char *what, const char *name, unsigned section) {
    if (section != SHN_UNDEF || symbol_allowed(name)) return true;
    printf("%s: undefined symbol %s\n", what, name);
    return false;
}

/* one function a class of ELF */
#define CHECK_ELF(bits)                                                                                                \
    static bool check_elf##bits(const char *object, const char *what) {                                                \
        const Elf##bits##_Ehdr *h = (const void *)object;                                                              \
        const Elf##bits##_Shdr *s = (const void *)(object + h->e_shoff);                                               \
        const char *names = object + s[h->e_shstrndx].sh_offset;                                                       \
        bool ok = true;                                                                                                \
        for (int i = 0; i < h->e_shnum; i++) {                                                                         \
            ok = check_section(what, names + s[i].sh_name, s[i].sh_flags, s[i].sh_size) && ok;                         \
            if (s[i].sh_type != SHT_SYMTAB) continue;                                                                  \
            const Elf##bits##_Sym *y = (const void *)(object + s[i].sh_offset);                                        \
            const char *strings = object + s[s[i].sh_link].sh_offset;                                                  \
            for (size_t k = 1; k < s[i].sh_size / sizeof *y; k++)                                                      \
                ok = check_symbol(what, strings + y[k].st_name, y[k].st_shndx) && ok;                                  \
        }                                                                                                              \
        return ok;                                                                                                     \
    }
CHECK_ELF(32)
CHECK_ELF(64)

static bool check_dtype(const char *triple, const char *cpu, Dtype t, int passes_level) {
    char what[128];
    const char *why;
    snprintf(what, sizeof what, "%s %s %s %s", triple, cpu, dtype_name(t), passes_level ? "fused" : "reference");
    Ctx *ctx = ctx_new(what);
    MemTry try;
    if (mem_enter(ctx, &try), setjmp(try.jump)) return false;
    Graph *g = graph_new(ctx, NULL);
    CodeOptions o = {.name = "m", .target = target_find(triple, cpu, "", &why), .opt_level = 1};
    PassCtx p = {.ctx = ctx, .target = o.target, .opt_level = passes_level, .stop_after = -1};
    Code code = {0};
    bool ok = o.target && build_graph(g, t) && passes_run(g, &p) && codegen_compile(ctx, g, &o, &code);
    const char *object = ok ? LLVMGetBufferStart(code.object) : NULL;
    if (ok) ok = object[EI_CLASS] == ELFCLASS32 ? check_elf32(object, what) : check_elf64(object, what);
    else printf("%s: does not compile\n", what);
    code_free(&code);
    mem_leave(ctx, &try);
    ctx_free(ctx);
    return ok;
}

/* On every push: a float and an integer where most code runs, the float where a core has the least. */
static bool is_sampled(const char *triple, Dtype t, int passes_level) {
    bool usual = !strncmp(triple, "x86_64", 6) || !strncmp(triple, "aarch64", 7);
    if (usual) return t == DT_F32 || t == DT_I64;
    return t == DT_F32 && passes_level && !strncmp(triple, "thumbv6m", 8);
}

static bool check_target(const char *triple, const char *cpu, const char *dtype, bool all) {
    bool ok = true;
    for (int t = 0; t < DT_COUNT; t++)
        for (int level = 0; level < 2; level++)
            if (dtype_computes((Dtype)t) && (!dtype || !strcmp(dtype, dtype_name((Dtype)t))) &&
                (all || is_sampled(triple, (Dtype)t, level)))
                ok = check_dtype(triple, cpu, (Dtype)t, level) && ok;
    fflush(stdout);
    return ok;
}

static const char *triple_of(const Row *row) { /* its architecture's */
    for (int i = 0; i < row_count(); i++)
        if (row_at(i)->generic && !strcmp(row_at(i)->arch, row->arch)) return row_at(i)->triple;
    return NULL;
}

static pid_t start(const char *triple, const char *cpu, const char *dtype, bool all) {
    pid_t child = fork();
    if (child == 0) _exit(!check_target(triple, cpu, dtype, all));
    return child;
}

static int wait_one(void) {
    int status = 1;
    return wait(&status) > 0 && status != 0;
}

/* with the names of an architecture and perhaps a dtype: these alone */
int main(int n, char **args) {
    int failed = 0, running = 0;
    bool all = n > 1 || getenv("MCC_TEST_ALL");
    for (int i = 0; i < row_count(); i++) {
        const Row *row = row_at(i);
        if (n > 1 && strcmp(args[1], row->arch) != 0) continue;
        if (row->sm || (!all && !row->generic)) continue; /* a GPU's code is no object */
        if (running == 2) failed += wait_one(), running--;
        start(triple_of(row), row->name, n > 2 ? args[2] : NULL, all);
        running++;
    }
    for (; running; running--) failed += wait_one();
    printf("%s\n",
           failed ? "some object asks for more than it may" : "every operator, dtype and target: symbols are clean");
    return failed != 0;
}
