/* Tuning files: a first line that says what was measured where, then a layer a line,
 *
 *   mcc-tune 1 x86_64-pc-linux-gnu znver5
 *   conv batch=1 in=64 … blocks=16,16: winograd-f4 rows=7 vecs=4 run=49   # what follows is a comment
 *
 * A layer's name is compared as text, with single spaces; numbers of a choice that are left out stay the cost model's.
 * Files are not trusted: every number is bounded here, and what a target cannot do is refused where it would be used.
 */
#include "passes/tuning.h"
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, SHOWN = 120 };
static const int64_t largest = (int64_t)1 << 30;
static const char *const kinds[] = {"conv", "transposed", "depthwise", "product"};
static const char *const forms[] = {"direct", "winograd-f2", "winograd-f4"};
static const char blanks[] = " \t\r";

/* ---- writing ---- */

static const char *list_text(Arena *a, const int64_t *v, int n) {
    const char *text = "";
    for (int i = 0; i < n; i++) text = arena_printf(a, "%s%s%lld", text, i ? "x" : "", (long long)v[i]);
    return text;
}

const char *layer_text(Arena *a, const Layer *l) {
    if (l->kind == LAYER_PRODUCT)
        return arena_printf(a, "product rows=%lld in=%lld out=%lld", (long long)l->batch, (long long)l->channels,
                            (long long)l->cols);
    int n = l->spatial;
    return arena_printf(a,
                        "%s batch=%lld in=%lld out=%lld group=%lld space=%s kernel=%s stride=%s dilation=%s begin=%s "
                        "end=%s blocks=%d,%d",
                        kinds[l->kind], (long long)l->batch, (long long)l->channels, (long long)l->cols,
                        (long long)l->group, list_text(a, l->space, n), list_text(a, l->kernel, n),
                        list_text(a, l->stride, n), list_text(a, l->dilation, n), list_text(a, l->begin, n),
                        list_text(a, l->end, n), l->in_block, l->out_block);
}

typedef struct Key {
    const char *name;
    size_t offset;
} Key;
static const Key keys[] = {{"rows", offsetof(LayerChoice, rows)},
                           {"vecs", offsetof(LayerChoice, vecs)},
                           {"unroll", offsetof(LayerChoice, unroll)},
                           {"run", offsetof(LayerChoice, run)}};
enum { N_KEYS = sizeof keys / sizeof *keys };

static int64_t *key_field(LayerChoice *c, int key) { return (int64_t *)(void *)((char *)c + keys[key].offset); }

const char *choice_text(Arena *a, const LayerChoice *c) {
    LayerChoice copy = *c;
    const char *text = forms[c->form];
    for (int i = 0; i < N_KEYS; i++) {
        long long v = *key_field(&copy, i);
        if (v) text = arena_printf(a, "%s %s=%lld", text, keys[i].name, v);
    }
    return text;
}

const char *tuning_cpu(const Target *t) { return t->cpu && *t->cpu ? t->cpu : "generic"; }

/* ---- reading ---- */

typedef struct Reader {
    Arena *arena;
    const char *why;
} Reader;

static bool fail(Reader *r, const char *what, Str text) {
    char shown[SHOWN];
    str_escape(shown, sizeof shown, text);
    r->why = arena_printf(r->arena, "%s: '%s'", what, shown);
    return false;
}

/* what stands before the next blank; *rest moves behind it. n = 0: nothing is left */
static Str next_word(Str *rest) {
    while (rest->n && memchr(blanks, *rest->p, sizeof blanks - 1)) rest->p++, rest->n--;
    Str word = {rest->p, 0};
    while (word.n < rest->n && !memchr(blanks, word.p[word.n], sizeof blanks - 1)) word.n++;
    *rest = (Str){rest->p + word.n, rest->n - word.n};
    return word;
}

static bool read_number(Str text, int64_t *out) {
    *out = 0;
    if (!text.n) return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') return false;
        *out = *out * 10 + (text.p[i] - '0');
        if (*out > largest) return false;
    }
    return *out > 0;
}

static bool read_pair(Reader *r, Str word, LayerChoice *c) {
    const char *equals = memchr(word.p, '=', word.n);
    int64_t v;
    if (!equals) return fail(r, "not of the form name=number", word);
    Str name = {word.p, (size_t)(equals - word.p)}, number = {equals + 1, word.n - name.n - 1};
    int key = 0;
    while (key < N_KEYS && !str_is(name, keys[key].name)) key++;
    if (key == N_KEYS) return fail(r, "not one of rows, vecs, unroll and run", name);
    if (!read_number(number, &v)) return fail(r, "not a number from 1 to 1073741824", number);
    if (*key_field(c, key)) return fail(r, "is there twice", name);
    *key_field(c, key) = v;
    return true;
}

static bool read_choice(Reader *r, Str rest, LayerChoice *c) {
    Str word = next_word(&rest);
    *c = (LayerChoice){.form = FORM_DIRECT};
    while (c->form < FORM_COUNT && !str_is(word, forms[c->form])) c->form++;
    if (c->form == FORM_COUNT) return fail(r, "not one of direct, winograd-f2 and winograd-f4", word);
    for (word = next_word(&rest); word.n; word = next_word(&rest))
        if (!read_pair(r, word, c)) return false;
    return true;
}

static Str single_spaced(Arena *a, Str text) {
    char *to = arena_alloc(a, text.n + 1);
    size_t n = 0;
    for (Str word = next_word(&text); word.n; word = next_word(&text)) {
        if (n) to[n++] = ' ';
        memcpy(to + n, word.p, word.n);
        n += word.n;
    }
    return (Str){to, n};
}

static bool read_entry(Reader *r, Str line, TuningEntry *e) {
    const char *colon = memchr(line.p, ':', line.n);
    if (!colon) return fail(r, "no ':' between a layer and its choice", line);
    size_t n = (size_t)(colon - line.p);
    e->layer = single_spaced(r->arena, (Str){line.p, n});
    if (!e->layer.n) return fail(r, "no layer before the ':'", line);
    return read_choice(r, (Str){colon + 1, line.n - n - 1}, &e->choice);
}

static bool read_head(Reader *r, Str line, Tuning *t) {
    int64_t version;
    Str all = line, word = next_word(&line), number = next_word(&line);
    if (!str_is(word, "mcc-tune") || !read_number(number, &version))
        return fail(r, "not a tuning file, which begins with 'mcc-tune 1' and what it was measured on", all);
    if (version != VERSION) return fail(r, "of a version that this mcc does not know", number);
    t->triple = next_word(&line);
    t->cpu = next_word(&line);
    if (!t->cpu.n || next_word(&line).n) return fail(r, "not 'mcc-tune 1', a target and a processor", all);
    return true;
}

static int by_bytes(Str a, Str b) {
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int by_layer(const void *a, const void *b) {
    const TuningEntry *x = a, *y = b;
    int order = by_bytes(x->layer, y->layer);
    return order ? order : x->line - y->line;
}

static bool sort_entries(Reader *r, Tuning *t, int *line) {
    if (t->n) qsort(t->entries, (size_t)t->n, sizeof *t->entries, by_layer);
    for (int i = 1; i < t->n; i++) {
        const TuningEntry *before = &t->entries[i - 1], *e = &t->entries[i];
        if (!str_eq(before->layer, e->layer)) continue;
        *line = e->line;
        return fail(r, arena_printf(r->arena, "the layer of line %d again", before->line), e->layer);
    }
    return true;
}

static Str next_line(Str *rest) {
    const char *end = memchr(rest->p, '\n', rest->n);
    Str line = {rest->p, end ? (size_t)(end - rest->p) : rest->n};
    size_t used = line.n + (end != NULL);
    *rest = (Str){rest->p + used, rest->n - used};
    const char *comment = memchr(line.p, '#', line.n);
    if (comment) line.n = (size_t)(comment - line.p);
    return line;
}

static bool read_lines(Reader *r, Str rest, Tuning *t, int *line) {
    Str text = next_line(&rest);
    *line = 1;
    if (!read_head(r, text, t)) return false;
    while (rest.n) {
        ++*line;
        text = next_line(&rest);
        Str words = text;
        if (!next_word(&words).n) continue;
        t->entries[t->n] = (TuningEntry){.line = *line};
        if (!read_entry(r, text, &t->entries[t->n++])) return false;
    }
    return sort_entries(r, t, line);
}

bool tuning_read(Arena *a, const char *text, size_t n, Tuning *out, int *line, const char **why) {
    Reader r = {.arena = a};
    size_t lines = 1;
    *out = (Tuning){0};
    *line = 1;
    Str copy = arena_str(a, text, n < TUNING_MAX_BYTES ? n : TUNING_MAX_BYTES);
    for (size_t i = 0; i < copy.n; i++) lines += copy.p[i] == '\n';
    out->entries = ARENA_ARRAY(a, lines, TuningEntry);
    bool good = n <= TUNING_MAX_BYTES ? read_lines(&r, copy, out, line)
                                      : fail(&r, "longer than a tuning file may be", str_of("1 MiB"));
    *why = r.why;
    return good;
}

/* ---- use ---- */

const TuningEntry *tuning_find(const PassCtx *p, const Layer *l) {
    if (!p->tuning || !p->tuning->n) return NULL;
    TuningEntry key = {.layer = str_of(layer_text(p->ctx->arena, l))};
    int low = 0, high = p->tuning->n;
    while (low < high) {
        int middle = low + (high - low) / 2, order = by_bytes(key.layer, p->tuning->entries[middle].layer);
        if (!order) return &p->tuning->entries[middle];
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

void tuning_refuse(const PassCtx *p, const Node *at, const TuningEntry *e, const char *why) {
    diag_warn(p->ctx, "tune", at, "%s:%d: not used: %s", p->tuning->path, e->line, why);
}
