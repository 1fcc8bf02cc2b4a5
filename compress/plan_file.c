/* A plan as text that a person can read and edit: a line a tensor and a line a node.
 *
 *   # mcc plan 1
 *   tensor NAME u8|i8 SCALE ZERO        or   tensor NAME like OTHER
 *   equalize NAME LOG2 …                (plan_channels.c)
 *   node   NAME int8|dynamic|w8|w4|f16|bf16|f32 OPERATOR
 *   prune  NAME dense OPERATOR          or   prune NAME PATTERN SHARE WHAT OPERATOR    (plan_prune.c)
 *
 * Names hold no spaces. The file is as little trusted as a model: scales must be positive and finite, zero points
 * within their type, names those of the model. */
#include "compress/plan_file.h"
#include "compress/sample_files.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_PLAN = 64 << 20 };

static bool has_weights(const Node *n) {
    Contraction c;
    return table_read(n) || recurrent_read(n) || contraction_read(n, &c);
}

/* Weights alone, or an input by its own range: one node's matter, between floats. */
static bool is_local(QuantMode m) { return m != QUANT_NONE && m != QUANT_INT8; }

static const char *mode_problem(const QuantPlan *p, const QuantNode *n) {
    if (is_local(n->mode) && !has_weights(n->node)) return "it has no weights";
    bool half = n->mode == QUANT_F16 || n->mode == QUANT_BF16 || n->mode == QUANT_NONE;
    if (!half && recurrent_read(n->node)) return "recurrent layers have weights of 16 bits or 32";
    if (n->mode == QUANT_DYNAMIC && (n->node->op == OP_Conv || table_read(n->node)))
        return "dynamic is for products alone";
    if (n->mode == QUANT_INT8 && p->options.mode != QUANT_INT8) return "int8 needs --quantize=int8";
    return NULL;
}

void plan_write(const QuantPlan *p, FILE *out) {
    fputs("# mcc plan 1\n# tensor NAME TYPE SCALE ZERO | tensor NAME like OTHER\n", out);
    for (int i = 0; i < p->n_tensors && p->options.mode == QUANT_INT8; i++) {
        const QuantTensor *t = &p->tensors[i];
        if (t->shares) fprintf(out, "tensor %s like %s\n", t->name, t->shares->name);
        else
            fprintf(out, "tensor %s %s %.9g %d\n", t->name, p->options.symmetric ? "i8" : "u8", (double)t->scale,
                    t->zero);
    }
    if (p->equalization) fputs(p->equalization->lines, out);
    fputs("# node NAME int8|dynamic|w8|w4|f16|bf16|f32 OPERATOR\n", out);
    for (int i = 0; i < p->n_nodes; i++) {
        const QuantNode *n = &p->nodes[i];
        if (is_local(p->options.mode) && !has_weights(n->node)) continue;
        bool none = n->mode == QUANT_INT8 ? !n->active : n->dear || mode_problem(p, n);
        QuantMode mode = none ? QUANT_NONE : n->mode;
        fprintf(out, "node %s %s %s\n", n->name, quant_mode_name(mode), op_info(n->node->op)->name);
    }
}

bool plan_bad_line(Ctx *ctx, const PlanFile *f, const PlanLine *l, const char *why) {
    diag_error(ctx, NULL, "%s:%d: %s", f->path, l->number, why);
    return false;
}

static bool split_line(char *text, PlanLine *l) {
    char *save = NULL;
    for (char *word = strtok_r(text, " \t\r", &save); word; word = strtok_r(NULL, " \t\r", &save)) {
        if (l->n == PLAN_WORDS) return false;
        l->words[l->n++] = word;
        if (l->n < 2 || strcmp(l->words[0], "equalize") != 0) continue;
        l->words[l->n++] = save ? save : ""; /* a number for each channel */
        break;
    }
    return true;
}

static bool check_line(Ctx *ctx, PlanFile *f, PlanLine *l) {
    bool tensor = !strcmp(l->words[0], "tensor"), node = !strcmp(l->words[0], "node");
    bool equalize = !strcmp(l->words[0], "equalize"), prune = !strcmp(l->words[0], "prune");
    const char *why = prune ? plan_prune_problem(l) : NULL;
    if (why) return plan_bad_line(ctx, f, l, why);
    if (!tensor && !node && !equalize && !prune)
        return plan_bad_line(ctx, f, l, "a line begins with tensor, equalize, node, prune or #");
    if (equalize && l->n != 3) return plan_bad_line(ctx, f, l, "wanted: equalize NAME LOG2 …");
    if (tensor && l->n != 5 && !(l->n == 4 && !strcmp(l->words[2], "like")))
        return plan_bad_line(ctx, f, l, "wanted: tensor NAME u8|i8 SCALE ZERO, or tensor NAME like OTHER");
    if (!node) return true;
    if (l->n != 3 && l->n != 4) return plan_bad_line(ctx, f, l, "wanted: node NAME int8|dynamic|w8|w4|f16|bf16|f32");
    QuantMode mode;
    if (!quant_mode_find(l->words[2], &mode))
        return plan_bad_line(ctx, f, l, "a node is int8, dynamic, w8, w4, f16, bf16 or f32");
    if (mode != f->all || mode == QUANT_W4) /* which small.c would change */
        f->modes[f->n_modes++] = (NodeMode){l->words[1], mode};
    return true;
}

static char *read_text(Ctx *ctx, const char *path, size_t *size) {
    const char *why;
    FILE *file = sample_fopen(path, size, &why);
    if (file && *size > LONGEST_PLAN) why = "it is too long for a plan";
    char *text = !why ? arena_alloc(ctx->arena, *size + 1) : NULL;
    if (text && fread(text, 1, *size, file) != *size) why = "it cannot be read";
    if (text && !why && strlen(text) != *size) why = "it is not text";
    if (file) fclose(file);
    if (why) diag_error(ctx, NULL, "%s: %s", path, why);
    return why ? NULL : text;
}

PlanFile *plan_read(Ctx *ctx, const char *path, QuantMode all) {
    size_t size, rows = 1;
    PlanFile *f = ARENA_NEW(ctx->arena, PlanFile);
    char *text = read_text(ctx, path, &size);
    if (!text) return NULL;
    f->path = path;
    f->all = all;
    for (size_t i = 0; i < size; i++) rows += text[i] == '\n';
    f->lines = ARENA_ARRAY(ctx->arena, rows, PlanLine);
    f->modes = ARENA_ARRAY(ctx->arena, rows, NodeMode);
    int number = 0;
    for (char *line = text, *end; line < text + size; line = end + 1) {
        if (!(end = strchr(line, '\n'))) end = text + size;
        *end = 0;
        PlanLine *l = &f->lines[f->n_lines];
        *l = (PlanLine){.number = ++number};
        if (number == 1 && !strncmp(line, "# mcc plan ", 11) && strcmp(line, "# mcc plan 1"))
            return plan_bad_line(ctx, f, l, "it is a plan of another version"), NULL;
        if (*line == '#') continue;
        if (!split_line(line, l)) return plan_bad_line(ctx, f, l, "it has too many words"), NULL;
        if (l->n == 0) continue;
        if (!check_line(ctx, f, l)) return NULL;
        f->n_lines++;
    }
    return f;
}

const NodeMode *plan_modes(const PlanFile *f, int *n) {
    *n = f->n_modes;
    return f->modes;
}

static QuantTensor *find_tensor(const QuantPlan *p, const char *name) {
    for (int i = 0; i < p->n_tensors; i++)
        if (!strcmp(p->tensors[i].name, name)) return &p->tensors[i];
    return NULL;
}

static bool value_exists(const QuantPlan *p, const char *name) {
    for (int i = 0; i < p->n_ids; i++)
        if (p->value_names[i] && !strcmp(p->value_names[i], name)) return true;
    return false;
}

static const PlanLine *line_of(const PlanFile *f, const char *name) {
    for (int i = 0; i < f->n_lines; i++)
        if (!strcmp(f->lines[i].words[0], "tensor") && !strcmp(f->lines[i].words[1], name)) return &f->lines[i];
    return NULL;
}

static bool set_scale(Ctx *ctx, const PlanFile *f, const PlanLine *l, const QuantPlan *p, QuantTensor *t) {
    char *end, *last;
    float scale = strtof(l->words[3], &end);
    long zero = strtol(l->words[4], &last, 10), low = p->options.symmetric ? -128 : 0;
    bool same_type = !strcmp(l->words[2], p->options.symmetric ? "i8" : "u8");
    if (!same_type) return plan_bad_line(ctx, f, l, "its type is not that of --activations");
    if (*end || !isnormal(scale) || scale < 0) return plan_bad_line(ctx, f, l, "a scale is a positive number");
    if (*last || zero < low || zero > low + 255)
        return plan_bad_line(ctx, f, l, "the zero point is not within its type");
    t->shares = NULL;
    t->scale = scale;
    t->zero = (int)zero;
    t->known = true;
    return true;
}

/* tensor NAME like OTHER: where OTHER is not quantized any more, by the scale that its line gives */
static bool set_alike(Ctx *ctx, const PlanFile *f, const PlanLine *l, const QuantPlan *p, QuantTensor *t) {
    QuantTensor *other = find_tensor(p, l->words[3]);
    const PlanLine *at = line_of(f, l->words[3]);
    if (other && quant_root(other) != t) {
        t->shares = other;
        return true;
    }
    for (int depth = 0; !other && at && at->n == 4 && depth < f->n_lines; depth++) at = line_of(f, at->words[3]);
    if (other || !at || at->n == 4) return plan_bad_line(ctx, f, l, "'like' leads to no other tensor's scale");
    return set_scale(ctx, f, at, p, t);
}

static bool apply_tensor(Ctx *ctx, const PlanFile *f, const PlanLine *l, QuantPlan *p) {
    QuantTensor *t = find_tensor(p, l->words[1]);
    /* where a node was set to f32, its tensors may not be integers any more */
    if (!t) return value_exists(p, l->words[1]) || plan_bad_line(ctx, f, l, "the model has no such tensor");
    return l->n == 4 ? set_alike(ctx, f, l, p, t) : set_scale(ctx, f, l, p, t);
}

bool plan_apply(const PlanFile *f, QuantPlan *p) {
    Ctx *ctx = p->graph->ctx;
    for (int i = 0; i < f->n_lines; i++) {
        const PlanLine *l = &f->lines[i];
        const QuantNode *found = NULL;
        if (!strcmp(l->words[0], "tensor")) {
            if (!apply_tensor(ctx, f, l, p)) return false;
            continue;
        }
        if (strcmp(l->words[0], "node") != 0) continue; /* plan_equalization, plan_prunes */
        for (int k = 0; k < p->n_nodes && !found; k++)
            if (!strcmp(p->nodes[k].name, l->words[1])) found = &p->nodes[k];
        if (!found) return plan_bad_line(ctx, f, l, "the model has no such node to quantize");
        const char *why = mode_problem(p, found);
        if (why) return plan_bad_line(ctx, f, l, why);
    }
    return true;
}

bool plan_names(const PlanFile *f, const Value *v) {
    for (int i = 0; i < f->n_lines; i++)
        if (!strcmp(f->lines[i].words[0], "tensor") && str_is(v->name, f->lines[i].words[1])) return true;
    return false;
}

bool plan_has_tensors(const PlanFile *f) {
    for (int i = 0; i < f->n_lines; i++)
        if (!strcmp(f->lines[i].words[0], "tensor") || !strcmp(f->lines[i].words[0], "equalize")) return true;
    return false;
}

Equalization *plan_equalization(const PlanFile *f, const QuantPlan *p, ChannelMap *m) {
    Arena *a = p->graph->arena;
    Equalization *e = ARENA_NEW(a, Equalization);
    *e = (Equalization){.n = m->n, .exponents = ARENA_ARRAY(a, m->n + 1, int8_t)};
    for (int i = 0; i < f->n_lines; i++) {
        const PlanLine *l = &f->lines[i];
        const char *why =
            strcmp(l->words[0], "equalize") ? NULL : plan_read_channels(p, m, e, l->words[1], l->words[2]);
        if (why) return plan_bad_line(p->graph->ctx, f, l, why), NULL;
    }
    return e;
}
