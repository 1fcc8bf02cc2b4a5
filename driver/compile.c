/* mcc MODEL.onnx -o MODEL.o: the compiler proper. Nothing is written before all of it is known. */
#include "compress/report.h"
#include "driver/fat.h"
#include "driver/footprint.h"
#include "driver/quantize.h"
#include "passes/passes.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Compile {
    Pipeline p;
    const char *model;
    char *path, *header, *depfile, *name; /* header NULL: none is written */
    char *graph;                          /* -g: the graph's text; NULL: not written */
    char *page, *json;                    /* --report; NULL: not asked for */
    ReportModel *imported; /* NULL: nobody asks for a report */
    Report *report;
    ReportRanges ranges;
    OutputSet outputs;
    double start;
    size_t written;
    SparseNotes sparse;
    Variants variants; /* --target-cpus */
} Compile;

static bool is_text(Emit e) { return e == OUT_ASM || e == OUT_LLVM || e == OUT_LOOPS || e == OUT_GRAPH; }
static bool is_code(Emit e) { return e == OUT_OBJ || e == OUT_SHARED || e == OUT_STATIC; }

/* Without -o: the model's stem in this folder, as cc has it; graph and loops are for reading, and go to the terminal.
 */
static char *default_path(const Command *c) {
    static const char *const extensions[] = {".o", ".s", ".ll", NULL, NULL, ".so", ".a", ".onnx"};
    const char *extension = extensions[c->emit], *slash = strrchr(c->files[0], '/');
    if (!extension) return strdup("-");
    return path_with_extension(slash ? slash + 1 : c->files[0], extension);
}

static bool is_device(const char *path) {
    struct stat st;
    return !stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

/* --report=x.html writes x.json beside it. */
static int choose_report(Compile *k, const char *path) {
    size_t n = strlen(path);
    bool page = n > 5 && !strcmp(path + n - 5, ".html"), json = n > 5 && !strcmp(path + n - 5, ".json");
    if (!page && !json) {
        say_error("--report=%s: its name ends in .html or .json", path);
        return BAD_USAGE;
    }
    if (page) k->page = strdup(path);
    k->json = page ? path_with_extension(path, ".json") : strdup(path);
    if (k->json && (k->page || !page)) return DONE;
    say_error("out of memory");
    return BAD_MODEL;
}

static int choose_paths(Compile *k, const Command *c) {
    k->path = c->output ? strdup(c->output) : default_path(c);
    if (!k->path) goto memory;
    bool terminal = !strcmp(k->path, "-"), text = is_text(c->emit);
    if (terminal && !text) {
        say_error("%s cannot go to standard output", is_code(c->emit) ? "an object" : "a model");
        return BAD_USAGE;
    }
    k->name = c->name ? strdup(c->name) : name_from_path(terminal ? c->files[0] : k->path);
    if (!k->name) goto memory;
    if (is_code(c->emit) && !is_device(k->path) && !(k->header = path_with_extension(k->path, ".h"))) goto memory;
    if (c->debug && !terminal && !is_device(k->path) && !(k->graph = path_with_extension(k->path, ".graph"))) goto memory;
    if (c->depfile && terminal && !c->depfile_path) {
        say_error("-MD needs an output file, or -MF FILE");
        return BAD_USAGE;
    }
    if (c->depfile && !(k->depfile = c->depfile_path ? strdup(c->depfile_path) : path_with_extension(k->path, ".d")))
        goto memory;
    const char *const paths[] = {k->model,   c->tune,      c->plan, k->path, k->header,
                                 k->depfile, c->save_plan, k->page, k->json, k->graph};
    for (int i = 0; i < (int)(sizeof paths / sizeof *paths); i++)
        for (int j = 0; j < i; j++)
            if (paths[i] && paths[j] && same_file(paths[i], paths[j]) && !is_device(paths[i])) {
                say_error("%s would be written over: choose another -o", paths[j]);
                return BAD_USAGE;
            }
    return DONE;
memory:
    say_error("out of memory");
    return BAD_MODEL;
}

/* A path as make reads it. */
static void write_dependency(FILE *out, const char *path) {
    for (; *path; path++) {
        if (*path == ' ' || *path == '#' || *path == '\\') fputc('\\', out);
        if (*path == '$') fputc('$', out);
        fputc(*path, out);
    }
}

static bool write_depfile(Compile *k) {
    FILE *out = output_open(&k->outputs, k->depfile);
    if (!out) return false;
    write_dependency(out, k->path);
    if (k->header) fputc(' ', out), write_dependency(out, k->header);
    if (k->graph) fputc(' ', out), write_dependency(out, k->graph);
    fputc(':', out);
    const char *path;
    for (int i = 0; (path = onnx_file(k->p.ctx, i)); i++)
        if (!strchr(path, '\n')) fputc(' ', out), write_dependency(out, path); /* make cannot say a newline */
    const char *const more[] = {k->p.command->tune, k->p.command->plan};
    for (int i = 0; i < 2; i++)
        if (more[i] && !strchr(more[i], '\n')) fputc(' ', out), write_dependency(out, more[i]);
    fputc('\n', out);
    return true;
}

static bool write_object(Compile *k, FILE *out) {
    if (!out) return false;
    if (!code_write_object(k->p.ctx, &k->p.code, out)) {
        if (output_close(&k->outputs, out)) say_error("out of memory");
        return false;
    }
    long n = ftell(out);
    if (n > 0) k->written = (size_t)n;
    return true;
}

/* A shared or static library, made by the host's tools from an object in a scratch folder. */
static bool write_library(Compile *k, bool shared) {
    const char *base = strrchr(k->path, '/');
    char *member = path_with_extension(base ? base + 1 : k->path, ".o");
    char *object = member ? output_scratch(&k->outputs, k->path, member) : NULL;
    free(member);
    if (!object) return false;
    FILE *file = k->outputs.item[k->outputs.n - 1].file;
    if (!write_object(k, file) || !output_close(&k->outputs, file)) return false;
    char *library = output_beside(&k->outputs, k->path);
    if (!library) return false;
    const char *const cc[] = {"cc", "-shared", "-nostdlib", "-o", library, object, NULL};
    const char *const ar[] = {"ar", "rcsD", library, object, NULL};
    return tool_run(shared ? cc : ar);
}

static bool write_report(Compile *k) {
    Report *r = k->report;
    if (!k->json) return true;
    r->object = k->written;
    if (k->p.command->report_times && time_layers(&k->p, r) != DONE) return false;
    FILE *json = output_open(&k->outputs, k->json);
    if (json) report_json(r, json);
    FILE *page = json && k->page ? output_open(&k->outputs, k->page) : NULL;
    if (page) report_html(r, page);
    return json && (page || !k->page);
}

static bool write_graph(Compile *k) {
    FILE *out = k->graph ? output_open(&k->outputs, k->graph) : NULL;
    if (out) graph_print(k->p.graph, out);
    return out || !k->graph;
}

/* By its name alone: the object's bytes do not depend on where it is written. */
static const char *debug_file(const Compile *k, const Command *c) {
    if (!c->debug) return NULL;
    if (!k->graph) return arena_printf(k->p.ctx->arena, "%s.graph", k->name);
    const char *slash = strrchr(k->graph, '/');
    return slash ? slash + 1 : k->graph;
}

static bool write_all(Compile *k, const Command *c) {
    progress_stage("writing");
    bool good = c->emit == OUT_OBJ ? write_object(k, output_open(&k->outputs, k->path))
                                   : write_library(k, c->emit == OUT_SHARED);
    if (good && k->header) {
        FILE *out = output_open(&k->outputs, k->header);
        good = out && fputs(k->p.code.header, out) >= 0;
    }
    return good && write_graph(k) && write_report(k) && (!k->depfile || write_depfile(k));
}

static int write_text(Compile *k, const Command *c) {
    FILE *out = output_open(&k->outputs, k->path);
    if (!out) return BAD_MODEL;
    int result = DONE;
    if (c->emit == OUT_GRAPH) graph_print(k->p.graph, out);
    else
        result = pipeline_print(&k->p, k->name,
                                c->emit == OUT_ASM    ? EMIT_ASM
                                : c->emit == OUT_LLVM ? EMIT_LLVM
                                                      : EMIT_LOOPS,
                                out);
    return result == DONE && (!write_graph(k) || (k->depfile && !write_depfile(k))) ? BAD_MODEL : result;
}

static int write_onnx(Compile *k) {
    progress_stage("writing");
    FILE *out = output_open(&k->outputs, k->path);
    return out && onnx_write(k->p.ctx, k->p.graph, out) && (!k->depfile || write_depfile(k)) ? DONE : BAD_MODEL;
}

/* What is written as a model again needs no bounds: a dim that nothing pins stays open. The bound that it gets all the
 * same keeps products of dims from overflowing. */
static void leave_dims_open(Ctx *ctx) {
    Options *o = &ctx->opt;
    DimPin *bounds = ARENA_ARRAY(ctx->arena, o->n_max_dims + 1, DimPin);
    bounds[0] = (DimPin){"*", 8192};
    if (o->n_max_dims) memcpy(bounds + 1, o->max_dims, sizeof *bounds * (size_t)o->n_max_dims);
    o->max_dims = bounds;
    o->n_max_dims++;
}

/* what the transformed weights of Winograd's convolutions take beyond 3 × 3 of each */
static size_t winograd_growth(const Graph *g) {
    enum { WEIGHTS = 1, TAPS = 9 };
    size_t growth = 0;
    for (const Node *n = g->first; n; n = n->next) {
        if (n->op != OP_Winograd) continue;
        size_t side = (size_t)node_int(n, "m") + 2;
        growth += n->in[WEIGHTS]->constant->bytes / (side * side) * (side * side - TAPS);
    }
    return growth;
}

/* a layer whose weights have zeros */
static void say_sparse(Ctx *ctx, const SparseNote *n) {
    double weights = (double)n->rows * (double)n->columns, density = weights > 0 ? (double)n->nonzeros / weights : 0;
    fprintf(stderr, "mcc: %s: %" PRId64 " x %" PRId64 ", %.1f %% not zero, %s: ", diag_name(ctx, n->layer), n->rows,
            n->columns, 100 * density, n->pattern ? n->pattern : "unstructured");
    if (n->sparse)
        fprintf(stderr, "%s, about %.2f times as fast as dense, %.0f bytes of %.0f\n",
                n->packed ? "packed nonzeros" : "straight-line code", n->dense_cycles / n->cycles, n->bytes,
                weights * (n->weight_bytes ? n->weight_bytes : (int)sizeof(float)));
    else fprintf(stderr, "dense, about %.2f times as fast as %s\n", n->cycles / n->dense_cycles,
                 n->packed ? "packed nonzeros" : "code of the nonzeros");
}

static int generate(Compile *k, const Command *c) {
    int result = k->p.fat ? variants_generate(&k->variants, c, k->name) : DONE;
    if (result == DONE) result = pipeline_generate(&k->p, k->name);
    if (result == DONE && k->imported)
        k->report = report_end(k->p.ctx, k->imported, k->p.graph, &k->p.code, k->p.target->triple, &k->ranges,
                               &k->sparse);
    return result == DONE && limits_any(c) ? limits_check(&k->p, k->report) : result;
}

static void summarise(const Compile *k) {
    const Code *code = &k->p.code;
    size_t growth = winograd_growth(k->p.graph);
    fprintf(stderr, "mcc: %s: %zu bytes, of them %zu weights; workspace %zu bytes (lower bound %zu); %.2f s\n", k->path,
            k->written, code->weights_bytes, code->workspace_bytes, code->workspace_lower_bound,
            seconds_now() - k->start);
    if (code->stack_bytes) fprintf(stderr, "mcc: a call takes %zu bytes of stack at most\n", code->stack_bytes);
    if (growth)
        fprintf(
            stderr,
            "mcc: %zu bytes of the weights are what Winograd's convolutions add (--winograd=f2, --winograd=off, -Os)\n",
            growth);
    if (k->p.fat) variants_say(&k->variants);
    for (const SparseNote *n = k->sparse.first; n; n = n->next) say_sparse(k->p.ctx, n);
}

static void hear_fallback(void *arg, const Node *at, const char *text) {
    Compile *k = arg;
    ReportRemark *r = ARENA_NEW(k->p.ctx->arena, ReportRemark);
    *r = (ReportRemark){at ? at->index : -1, arena_printf(k->p.ctx->arena, "%s", text), k->ranges.remarks};
    k->ranges.remarks = r;
}

static void begin_report(Compile *k) {
    k->p.ranges = &k->ranges;
    k->imported = report_begin(k->p.ctx, k->p.graph);
    report_zeros(&k->ranges, k->p.graph, k->p.ctx->arena);
    diag_listen(k->p.ctx, "quant-fallback", hear_fallback, k);
}

static int compile(void *arg) {
    Compile *k = arg;
    const Command *c = k->p.command;
    bool compress = c->quant.mode != QUANT_NONE || c->prune.share > 0 || c->plan;
    if (c->emit == OUT_ONNX && !compress) leave_dims_open(k->p.ctx);
    k->p.debug_file = debug_file(k, c);
    k->sparse = (SparseNotes){.arena = k->p.ctx->arena};
    k->p.sparse_notes = &k->sparse;
    int result = pipeline_read(&k->p);
    k->ranges.points = c->points;
    if (result == DONE && k->json) begin_report(k);
    else if (result == DONE && limits_any(c)) k->imported = report_begin(k->p.ctx, k->p.graph);
    if (result == DONE && c->emit != OUT_ONNX) result = pipeline_optimise(&k->p);
    else if (result == DONE && compress) result = pipeline_compress(&k->p);
    if (result == DONE && c->emit == OUT_ONNX) result = write_onnx(k);
    else if (result == DONE && is_text(c->emit)) result = write_text(k, c);
    else if (result == DONE && (result = generate(k, c)) == DONE)
        result = write_all(k, c) ? DONE : BAD_MODEL;
    progress_stage(NULL);
    if (result == DONE && !output_commit(&k->outputs)) result = BAD_MODEL;
    if (result == DONE && c->verbose && is_code(c->emit)) summarise(k);
    return result;
}

static int check_command(const Command *c) {
    const char *why;
    if (!one_model(c)) return BAD_USAGE;
    if (c->name && !name_is_valid(c->name, &why)) say_error("'%s' cannot be a name: %s", c->name, why);
    else if (c->dump_after && strcmp(c->dump_after, "all") != 0 && !pass_known(c->dump_after))
        say_error("--dump-after: there is no pass '%s'", c->dump_after);
    else if (c->report_times && !c->report) say_error("--report-times adds times to a report: add --report=FILE");
    else if (limits_any(c) && !is_code(c->emit))
        say_error("--max-flash, --max-ram and --max-latency are for an object, not this --emit");
    else if (c->debug && !is_code(c->emit) && c->emit != OUT_ASM && c->emit != OUT_LLVM)
        say_error("-g is for an object, assembly or LLVM's text, not this --emit");
    else if (c->report && !is_code(c->emit)) say_error("--report needs an object to report on, not this --emit");
    else return DONE;
    return BAD_USAGE;
}

int compile_main(const Command *c) {
    int result = check_command(c);
    if (result != DONE) return result;
    Compile k = {.p = {.command = c}, .model = c->files[0], .start = seconds_now()};
    if (c->report && (result = choose_report(&k, c->report)) != DONE) goto end;
    if ((result = choose_paths(&k, c)) != DONE) goto end;
    result = BAD_USAGE;
    if (c->target_cpus) k.p.fat = &k.variants.fat;
    if (!(k.p.target = c->target_cpus ? variants_find(&k.variants, c) : pipeline_target(c))) goto end;
    if (!pipeline_find_host(&k.p)) goto end;
    if (c->report_times && !target_runs_here(k.p.target)) {
        say_error("--report-times runs the code on this machine, which is no %s with -mcpu=%s", k.p.target->triple, k.p.target->cpu);
        goto end;
    }
    if (c->weights_section && !object_is_elf(k.p.target)) {
        say_error("--weights-section names a section of an ELF object");
        goto end;
    }
    if (c->emit == OUT_SHARED && !target_is_host(k.p.target)) {
        say_error("--emit=shared uses this machine's cc, which does not link for %s", k.p.target->triple);
        goto end;
    }
    result = BAD_MODEL;
    if (!(k.p.ctx = pipeline_ctx(c, k.model))) goto end;
    result = with_memory(k.p.ctx, compile, &k);
    output_abandon(&k.outputs);
    pipeline_free(&k.p);
    ctx_free(k.p.ctx);
end:
    variants_free(&k.variants);
    free(k.path);
    free(k.header);
    free(k.graph);
    free(k.depfile);
    free(k.name);
    free(k.page);
    free(k.json);
    return result;
}
