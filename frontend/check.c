/* Nodes against their rows in the table of operators: arity, attributes; and the list of what the table does not have.
 */
#include <inttypes.h>
#include <string.h>
#include "frontend/reader.h"

enum { MAX_INTS = 16, MAX_FLOATS = 8, MAX_NODES_NAMED = 16, MAX_OPERATORS = 200 };

static bool check_arity(Ctx *ctx, const Node *n) {
    const OpInfo *info = op_info(n->op);
    if (n->n_in < info->min_in || (info->max_in != VAR && n->n_in > info->max_in)) {
        diag_error(ctx, n, "%d input%s; the operator takes %d%s", n->n_in, n->n_in == 1 ? "" : "s", info->min_in,
                   info->max_in == VAR           ? " or more"
                   : info->max_in > info->min_in ? arena_printf(ctx->arena, " to %d", info->max_in)
                                                 : "");
        return false;
    }
    if (n->n_out < info->min_out || (info->max_out != VAR && n->n_out > info->max_out)) {
        diag_error(ctx, n, "%d output%s; the operator has %d%s", n->n_out, n->n_out == 1 ? "" : "s", info->min_out,
                   info->max_out == VAR            ? " or more"
                   : info->max_out > info->min_out ? arena_printf(ctx->arena, " to %d", info->max_out)
                                                   : "");
        return false;
    }
    for (int i = 0; i < n->n_in; i++) {
        bool needed = i < info->min_in || (info->flags & OP_VARIADIC);
        if (n->in[i] || !needed) continue;
        diag_error(ctx, n, "input %d is missing", i);
        return false;
    }
    for (int i = 0; i < n->n_out && i < info->min_out; i++) {
        if (n->out[i]) continue;
        diag_error(ctx, n, "output %d has no name", i);
        return false;
    }
    return true;
}

static const char *kind_text(AttrKind k) {
    static const char *const names[] = {"nothing", "an integer", "a float",  "a string", "integers",
                                        "floats",  "strings",    "a tensor", "a graph",  "something else"};
    return names[k];
}

static bool check_attr(Ctx *ctx, const Node *n, const Attr *a, const AttrSchema *s) {
    const char *name = s->name;
    if (s->kind == ATTR_OTHER) return true;
    if (a->kind != s->kind) {
        diag_error(ctx, n, "attribute '%s' is %s, not %s", name, kind_text(a->kind), kind_text(s->kind));
        return false;
    }
    if ((a->kind == ATTR_INTS && a->n > MAX_INTS) || (a->kind == ATTR_FLOATS && a->n > MAX_FLOATS)) {
        diag_error(ctx, n, "attribute '%s' has %d elements, at most %d make sense", name, a->n,
                   a->kind == ATTR_INTS ? MAX_INTS : MAX_FLOATS);
        return false;
    }
    int64_t words[WORDS_MAX];
    if (a->kind == ATTR_STRINGS && node_words(n, name, words) < 0) {
        diag_error(ctx, n, "attribute '%s' has an entry that mcc does not know; they may be %s", name, s->words);
        return false;
    }
    if (a->kind == ATTR_STRING && node_enum(n, name) < 0) {
        diag_error(ctx, n, "attribute '%s' is '%s'; it may be %s", name, diag_name(ctx, a->s), s->words);
        return false;
    }
    return true;
}

static bool check_attrs(Ctx *ctx, Node *n) {
    for (int i = 0; i < n->n_attrs; i++) {
        const Attr *a = &n->attrs[i];
        char name[64] = "";
        for (int k = 0; k < i; k++) {
            if (!str_eq(n->attrs[k].name, a->name)) continue;
            diag_error(ctx, n, "attribute '%s' occurs twice", diag_name(ctx, a->name));
            return false;
        }
        if (a->name.n < sizeof name && a->name.n) memcpy(name, a->name.p, a->name.n);
        const AttrSchema *s = strlen(name) == a->name.n ? op_attr(n->op, name) : NULL;
        if (s && !check_attr(ctx, n, a, s)) return false;
        if (s) continue;
        diag_warn(ctx, "unused", n, "attribute '%s' is unknown and ignored", diag_name(ctx, a->name));
        memmove(&n->attrs[i], &n->attrs[i + 1], sizeof *a * (size_t)(--n->n_attrs - i));
        i--;
    }
    return true;
}

bool node_check(Ctx *ctx, Node *n) {
    if (!check_arity(ctx, n) || !check_attrs(ctx, n)) return false;
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i] || !n->in[i]->constant || dtype_supported(n->in[i]->type.dtype)) continue;
        diag_error(ctx, n, "input %d is %s, which mcc does not support: it compiles tensors of real numbers", i, dtype_name(n->in[i]->type.dtype));
        return false;
    }
    return true;
}

void unsupported_add(Reader *r, const Pb__Node *p, int index, bool inner) {
    Unsupported *u = ARENA_NEW(r->scratch, Unsupported);
    *u = (Unsupported){
        .domain = str_pb(p->domain), .op = str_pb(p->op_type), .node = str_pb(p->name), .index = index, .inner = inner};
    *r->unsupported_end = u;
    r->unsupported_end = &u->next;
}

static const char *domain_text(Reader *r, Str domain) {
    int64_t version = r->opset;
    bool known = is_standard(domain);
    for (size_t i = 0; i < r->model->n_opset_import && !known; i++)
        if (str_eq(str_pb(r->model->opset_import[i]->domain), domain))
            version = r->model->opset_import[i]->version, known = true;
    const char *name = domain.n ? diag_name(r->ctx, domain) : "ai.onnx";
    return known ? arena_printf(r->scratch, "%s, opset %" PRId64, name, version)
                 : arena_printf(r->scratch, "%s, no opset", name);
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

/* Levenshtein's distance between names of at most 40 letters, case ignored. */
static int distance(Str a, const char *b) {
    int row[41], m = (int)strlen(b);
    if (a.n > 40 || m > 40) return 99;
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; i <= (int)a.n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int above = row[j], best = diagonal + (lower(a.p[i - 1]) != lower(b[j - 1]));
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[m];
}

static const char *closest(Str name) {
    int best = name.n > 5 ? 2 : 1;
    const char *found = NULL;
    for (int op = OP_NONE + 1; op < OP_COUNT; op++) {
        const OpInfo *info = op_info((Op)op);
        int d = info->domain == ONNX ? distance(name, info->name) : 99;
        if (d <= best) best = d - 1, found = info->name;
    }
    return found;
}

/* What is none of mcc's business, by name or by domain: why, and what to do instead */
static const char *foreign(const Unsupported *u) {
    static const char sequences[] = "it is about sequences, and mcc compiles tensors: export one output a tensor",
                      optionals[] = "it is about optional values, and mcc compiles tensors: export without them",
                      strings[] = "it is about strings, and mcc compiles numbers: run it before the model",
                      images[] = "it reads image files, and mcc compiles numbers: decode them before the model";
    static const struct {
        const char *name, *why;
    } operators[] = {
        {"ConcatFromSequence", sequences}, {"ImageDecoder", images},          {"Optional", optionals},
        {"OptionalGetElement", optionals}, {"OptionalHasElement", optionals}, {"RegexFullMatch", strings},
        {"SequenceAt", sequences},         {"SequenceConstruct", sequences},  {"SequenceEmpty", sequences},
        {"SequenceErase", sequences},      {"SequenceInsert", sequences},     {"SequenceLength", sequences},
        {"SequenceMap", sequences},        {"SplitToSequence", sequences},    {"StringConcat", strings},
        {"StringNormalizer", strings},     {"StringSplit", strings},
    };
    static const char training[] = "it belongs to training, and mcc compiles for inference: export the model for that";
    static const struct {
        const char *name, *why;
    } domains[] = {
        {"ai.onnx.ml",
         "it is of classical machine learning, and mcc compiles neural networks: run it beside the model"},
        {"ai.onnx.preview", "it is a preview, which may still change: export it decomposed"},
        {"ai.onnx.preview.training", training},
        {"ai.onnx.training", training},
    };
    for (size_t i = 0; i < sizeof operators / sizeof *operators && is_standard(u->domain); i++)
        if (str_is(u->op, operators[i].name)) return operators[i].why;
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
        if (str_is(u->domain, domains[i].name)) return domains[i].why;
    return NULL;
}

static const char *hint(Reader *r, const Unsupported *u) {
    for (size_t i = 0; i < r->model->n_functions; i++)
        if (str_eq(str_pb(r->model->functions[i]->name), u->op) &&
            str_eq(str_pb(r->model->functions[i]->domain), u->domain))
            return "it is a function of the model: inline it (onnx.inliner) before compiling";
    const char *near = closest(u->op), *why = foreign(u);
    if (why) return why;
    if (is_standard(u->domain)) {
        if (near) return arena_printf(r->scratch, "did you mean %s?", near);
        return "decompose it into simpler operators at export";
    }
    if (str_is(u->domain, "com.microsoft"))
        return "it is ONNX Runtime's own: save the model without its graph optimizations";
    if (near) return arena_printf(r->scratch, "the standard has %s, in the domain ai.onnx", near);
    return "only the standard's domain, ai.onnx, is supported; decompose it at export";
}

/* A message for each node, sorted by operator. */
static void list_operator(Reader *r, Unsupported *first) {
    const char *domain = domain_text(r, first->domain), *advice = hint(r, first);
    int count = 0;
    for (Unsupported *u = first; u; u = u->next) {
        if (u->listed || !str_eq(u->op, first->op) || !str_eq(u->domain, first->domain)) continue;
        u->listed = true;
        if (count++ >= MAX_NODES_NAMED) continue;
        const char *op = diag_name(r->ctx, u->op);
        diag_error(r->ctx, NULL, "node '%s' (%s-%d%s): operator %s (%s) is not supported; %s",
                   diag_name(r->ctx, u->node), op, u->index, u->inner ? ", in a subgraph" : "", op, domain, advice);
    }
    if (count > MAX_NODES_NAMED)
        diag_note(r->ctx, "%d more nodes have operator %s", count - MAX_NODES_NAMED, diag_name(r->ctx, first->op));
}

void unsupported_list(Reader *r) {
    int operators = 0;
    for (Unsupported *u = r->unsupported; u && operators < MAX_OPERATORS; u = u->next)
        if (!u->listed) operators++, list_operator(r, u);
}
