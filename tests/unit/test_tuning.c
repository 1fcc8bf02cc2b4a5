/* Tuning files: what is read, what is refused in which line and words, that names and choices survive being written and
 * read, and that what lowering proposes for a layer can be built, on targets of every kind. */
#include "passes/tuning.h"
#include "tests/passes/passtest.h"

#define HEAD "mcc-tune 1 x86_64-pc-linux-gnu znver5\n"

static bool read_text(Ctx *ctx, const char *text, Tuning *t, int *line, const char **why) {
    return tuning_read(ctx->arena, text, strlen(text), t, line, why);
}

static void check(bool good, const char *what) {
    if (good) return;
    fprintf(stderr, "wrong: %s\n", what);
    failures++;
}

static void test_good(Ctx *ctx) {
    Tuning t;
    int line;
    const char *why = "";
    bool good = read_text(ctx,
                          "mcc-tune  1\tarm64-x-y cortex-a76 # where\r\n\n# nothing\n"
                          "conv  in=3 out=4 : winograd-f4 run=1073741824 rows=1 # fast\n"
                          "  b x: direct\n"
                          "a:direct unroll=2 vecs=3",
                          &t, &line, &why);
    check(good && t.n == 3 && str_is(t.triple, "arm64-x-y") && str_is(t.cpu, "cortex-a76"),
          "the head and three layers");
    if (!good || t.n != 3) {
        fprintf(stderr, "line %d: %s\n", line, why);
        return;
    }
    const TuningEntry *a = &t.entries[0], *b = &t.entries[1], *c = &t.entries[2];
    check(str_is(a->layer, "a") && a->line == 6 && a->choice.vecs == 3 && a->choice.unroll == 2, "a");
    check(str_is(b->layer, "b x") && b->choice.form == FORM_DIRECT && !b->choice.rows, "b");
    check(str_is(c->layer, "conv in=3 out=4") && c->choice.form == FORM_WINOGRAD_F4, "the convolution");
    check(c->choice.run == 1 << 30 && c->choice.rows == 1 && c->line == 4, "its numbers");
}

static const struct {
    const char *text;
    int line;
    const char *why;
} bad[] = {
    {"", 1, "not a tuning file"},
    {"\n" HEAD, 1, "not a tuning file"},
    {"mcc-tune", 1, "not a tuning file"},
    {"mcc-tune one x y\n", 1, "not a tuning file"},
    {"mcc-tune 2 x y\n", 1, "a version that this mcc does not know: '2'"},
    {"mcc-tune 1 x\n", 1, "a target and a processor"},
    {"mcc-tune 1 x y z\n", 1, "a target and a processor"},
    {HEAD "conv in=1 direct\n", 2, "no ':'"},
    {HEAD "\n : direct\n", 3, "no layer"},
    {HEAD "a:\n", 2, "not one of direct, winograd-f2 and winograd-f4: ''"},
    {HEAD "a: winograd\n", 2, "'winograd'"},
    {HEAD "a: direct rows\n", 2, "name=number: 'rows'"},
    {HEAD "a: direct columns=2\n", 2, "'columns'"},
    {HEAD "a: direct rows=\n", 2, "not a number from 1 to 1073741824: ''"},
    {HEAD "a: direct rows=0\n", 2, "not a number from 1"},
    {HEAD "a: direct rows=-1\n", 2, "not a number from 1"},
    {HEAD "a: direct rows=0x10\n", 2, "not a number from 1"},
    {HEAD "a: direct run=1073741825\n", 2, "not a number from 1"},
    {HEAD "a: direct run=99999999999999999999999999999999999999\n", 2, "not a number from 1"},
    {HEAD "a: direct rows=1 rows=1\n", 2, "twice"},
    {HEAD "a: direct\nb: direct\n  a : direct rows=4\n", 4, "the layer of line 2 again: 'a'"},
    {HEAD "a: direct \x01\xff\n", 2, "\\001\\377"},
};

static void test_bad(Ctx *ctx) {
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Tuning t;
        int line = 0;
        const char *why = "";
        bool good = read_text(ctx, bad[i].text, &t, &line, &why);
        if (!good && line == bad[i].line && strstr(why, bad[i].why)) continue;
        fprintf(stderr, "case %zu: %s, line %d: %s\n", i, good ? "read" : "refused", line, good ? "" : why);
        failures++;
    }
}

static void test_hostile(Ctx *ctx) {
    enum { BYTES = TUNING_MAX_BYTES + 1 };
    char *text = arena_alloc(ctx->arena, BYTES);
    Tuning t;
    int line;
    const char *why;
    memset(text, '\n', BYTES);
    memcpy(text, HEAD, strlen(HEAD));
    check(tuning_read(ctx->arena, text, BYTES - 1, &t, &line, &why) && t.n == 0, "a MiB of empty lines");
    check(!tuning_read(ctx->arena, text, BYTES, &t, &line, &why) && strstr(why, "1 MiB"), "a byte too many");
    memset(text, 'x', BYTES);
    check(!tuning_read(ctx->arena, text, BYTES - 1, &t, &line, &why) && strlen(why) < 400, "one line of a MiB");
    const char *good = HEAD "a: direct rows=4 # x\nb c: winograd-f2 run=9\n";
    size_t n = strlen(good);
    for (size_t i = 0; i < n; i++) /* any byte, any end */
        for (int byte = 0; byte < 256; byte += 5) {
            memcpy(text, good, n);
            text[i] = (char)byte;
            tuning_read(ctx->arena, text, n, &t, &line, &why);
            tuning_read(ctx->arena, text, i, &t, &line, &why);
        }
    uint64_t state = 7;
    for (int i = 0; i < 2000; i++) {
        for (int k = 0; k < 64; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            text[strlen(HEAD) + (size_t)k] = "ab :=#\n\t0129x\xffrows direct"[(state >> 40) % 26];
        }
        memcpy(text, HEAD, strlen(HEAD));
        tuning_read(ctx->arena, text, strlen(HEAD) + 64, &t, &line, &why);
    }
}

/* ---- layers ---- */

static Value *conv(Case *c, Value *x, const char *w, int64_t group, int64_t stride, int64_t pad) {
    Node *n = NODE(c, Conv, x, weights(c, w));
    node_set_int(n, "group", group);
    node_set_ints(n, "strides", (int64_t[]){stride, stride}, 2);
    node_set_ints(n, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
    return DO(c, Relu, result(c, n));
}

static void make_network(Case *c) {
    Value *x = conv(c, input(c, "x", "2x3x19x17"), "24x3x3x3", 1, 2, 1);
    for (int i = 0; i < 2; i++) x = conv(c, x, "24x24x3x3", 1, 1, 1);
    x = conv(c, x, "24x1x5x5", 24, 1, 2);
    x = conv(c, x, "40x12x3x3", 2, 1, 1);
    Node *up = NODE(c, ConvTranspose, x, weights(c, "40x8x2x2"));
    node_set_ints(up, "strides", (int64_t[]){2, 2}, 2);
    x = DO(c, GlobalAveragePool, result(c, up));
    x = DO(c, Reshape, x, INTS_OF(c, 2, 8));
    output(c, "y", DO(c, MatMul, x, weights(c, "8x50")));
}

static void check_note(const LayerNote *n, const Target *t) {
    int refused = 0;
    for (int i = -1; i < n->n_candidates; i++) {
        Ctx *ctx = ctx_new("probe");
        const LayerChoice *c = i < 0 ? &n->chosen : &n->candidates[i];
        Graph *g = probe_graph(ctx, t, WINOGRAD_AUTO, &n->layer, c);
        if (!g) fprintf(stderr, "%s, %s: %s is refused\n", t->cpu, n->text, choice_text(ctx->arena, c));
        refused += !g || !graph_verify(g, stderr) || diag_errors(ctx);
        ctx_free(ctx);
    }
    check(!refused, n->text);
    Ctx *ctx = ctx_new("probe");
    diag_to(ctx, NULL);
    for (int i = 0; i < 4; i++) { /* what no target has */
        LayerChoice c = n->chosen;
        *(i == 0 ? &c.rows : i == 1 ? &c.vecs : i == 2 ? &c.unroll : &c.rows) = i < 3 ? 1 << 30 : 33;
        check(!probe_graph(ctx, t, WINOGRAD_AUTO, &n->layer, &c), "a tile too large");
    }
    LayerChoice f4 = {.form = FORM_WINOGRAD_F4, .run = 1 << 30};
    check(!probe_graph(ctx, t, WINOGRAD_AUTO, &n->layer, &f4), "more places than there are");
    ctx_free(ctx);
}

static void test_layers(const char *triple, const char *cpu) {
    Case c;
    const char *why;
    const Target *t = target_find(triple, cpu, "", &why);
    case_begin(&c);
    make_network(&c);
    struct LayerNotes notes = {.arena = c.ctx->arena};
    PassCtx p = {.ctx = c.ctx, .target = t, .opt_level = 2, .stop_after = -1, .notes = &notes};
    check(t && passes_run(c.g, &p), "the passes");
    check(notes.n == 6 && notes.first->next && notes.first->next->next->count == 2, "six layers, one of them twice");
    const char *text = HEAD;
    for (const LayerNote *n = notes.first; n; n = n->next) {
        check_note(n, t);
        text = arena_printf(c.ctx->arena, "%s%s: %s\n", text, n->text, choice_text(c.ctx->arena, &n->chosen));
    }
    Tuning tuning;
    int line;
    p.tuning = &tuning;
    check(read_text(c.ctx, text, &tuning, &line, &why), text);
    for (const LayerNote *n = notes.first; n; n = n->next) {
        const TuningEntry *e = tuning_find(&p, &n->layer);
        check(e && choice_equal(&e->choice, &n->chosen), n->text);
    }
    ctx_free(c.ctx);
}

int main(void) {
    Ctx *ctx = ctx_new("test");
    test_good(ctx);
    test_bad(ctx);
    test_hostile(ctx);
    ctx_free(ctx);
    test_layers("x86_64-linux-gnu", "znver4");
    test_layers("x86_64-linux-gnu", "haswell");
    test_layers("x86_64-linux-gnu", "");
    test_layers("aarch64-linux-gnu", "cortex-a76");
    printf("%d failures\n", failures);
    return failures != 0;
}
