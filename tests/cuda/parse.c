/* A module: its version and target, variables, functions. */
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/parser.h"

enum { LATEST_VERSION = 88, MAX_DEPTH = 64, DEPTH_BYTES = 1 << 16 };

void parse_fail(Parser *p, const char *format, ...) {
    char what[300];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    u32 line = p->statement ? p->statement->line : p->token.line;
    const char *in = p->f ? p->f->name : "";
    snprintf(p->log, p->log_bytes, "ptx line %u%s%s%s%s%s: %s", line, p->f ? ", in " : "", in,
             p->statement ? ", '" : "", p->statement ? p->statement->opcode : "", p->statement ? "'" : "", what);
    longjmp(p->failed, 1);
}

Space parse_space(const char *d) {
    static const struct {
        const char *name;
        Space space;
    } spaces[] = {{".global", IN_GLOBAL},
                  {".const", IN_GLOBAL},
                  {".shared", IN_SHARED},
                  {".local", IN_LOCAL},
                  {".param", IN_PARAM}};
    for (size_t n = 0; n < sizeof spaces / sizeof *spaces; n++)
        if (!strcmp(d, spaces[n].name)) return spaces[n].space;
    return IN_GENERIC;
}

int parse_type_bytes(const char *type) {
    static const struct {
        const char *names;
        int bytes;
    } types[] = {
        {" b8 u8 s8 ", 1},
        {" b16 u16 s16 f16 bf16 ", 2},
        {" b32 u32 s32 f32 f16x2 bf16x2 tf32 ", 4},
        {" b64 u64 s64 f64 ", 8},
    };
    char padded[16];
    if (*type == '.') type++;
    if (strlen(type) > 10) return 0;
    snprintf(padded, sizeof padded, " %s ", type);
    for (size_t n = 0; n < sizeof types / sizeof *types; n++)
        if (strstr(types[n].names, padded)) return types[n].bytes;
    return 0;
}

typedef struct Declared {
    const char *name;
    u32 align, element;
    u64 count;
    bool open;
} Declared;

/* [.align 8] .b8 name[3][4]; `.ptr .global .align 4` of a kernel's parameter is read over */
static Declared parse_declared(Parser *p) {
    Declared d = {.align = 1, .count = 1};
    while (p->token.kind == TOKEN_NAME && *p->token.text == '.') {
        const char *word = lex_name(p);
        if (!strcmp(word, ".align")) d.align = (u32)lex_integer(p);
        else if (parse_type_bytes(word)) d.element = (u32)parse_type_bytes(word);
        else if (strcmp(word, ".ptr") && parse_space(word) == IN_GENERIC)
            parse_fail(p, "'%s' is unknown in a declaration", word);
    }
    if (!d.element) parse_fail(p, "a declaration without a type");
    if (d.element > d.align) d.align = d.element;
    if (d.align & (d.align - 1)) parse_fail(p, "an alignment of %u", d.align);
    d.name = lex_name(p);
    while (lex_take(p, "[")) {
        if (lex_take(p, "]")) {
            d.open = true;
            continue;
        }
        s64 n = lex_integer(p);
        lex_expect(p, "]");
        if (n < 0 || (n && d.count > (1ull << 36) / (u64)n)) parse_fail(p, "'%s' is too large", d.name);
        d.count *= (u64)n;
    }
    return d;
}

static u64 initial_value(Parser *p, u32 bytes) {
    bool negative = lex_take(p, "-");
    u64 v = p->token.value;
    if (p->token.kind == TOKEN_NAME) {
        const Symbol *s = symbol_find(p, p->token.text);
        if (!s || s->kind != SYMBOL_VARIABLE || s->space != IN_GLOBAL)
            parse_fail(p, "'%s' is no constant", p->token.text);
        v = s->address;
        lex_next(p);
        if (lex_take(p, "+")) v += (u64)lex_integer(p);
        return v;
    }
    if (p->token.kind == TOKEN_F64 && bytes == 4) {
        f64 wide;
        memcpy(&wide, &v, sizeof wide);
        f32 narrow = (f32)wide;
        u32 bits;
        memcpy(&bits, &narrow, sizeof bits);
        v = bits;
    }
    lex_next(p);
    return negative ? 0 - v : v;
}

static void parse_initial(Parser *p, u8 *host, u64 bytes, u32 element, u64 *at) {
    if (lex_take(p, "{")) {
        while (!lex_take(p, "}")) {
            parse_initial(p, host, bytes, element, at);
            if (!lex_is(p, "}")) lex_expect(p, ",");
        }
        return;
    }
    u64 v = initial_value(p, element);
    if (*at + element > bytes) parse_fail(p, "more initial values than elements");
    memcpy(host + *at, &v, element);
    *at += element;
}

static void place_global(Parser *p, const Declared *d, Symbol *s) {
    Module *m = p->module;
    u64 bytes = d->count * d->element;
    if (!bytes) parse_fail(p, "'%s' is declared, but not defined", d->name);
    s->address = heap_take(bytes);
    if (!s->address) parse_fail(p, "no memory for the %llu bytes of '%s'", (unsigned long long)bytes, d->name);
    u8 *host = heap_view(s->address, bytes);
    memset(host, 0, bytes);
    m->globals = arena_grow(p->arena, m->globals, m->n_globals, &m->cap_globals, sizeof *m->globals);
    m->globals[m->n_globals++] = (GlobalVar){d->name, s->address, bytes};
    u64 at = 0;
    if (lex_take(p, "=")) parse_initial(p, host, bytes, d->element, &at);
}

static void place_shared(Parser *p, const Declared *d, Symbol *s, bool external) {
    Module *m = p->module;
    u64 bytes = d->count * d->element;
    if (bytes > 1 << 20) parse_fail(p, "'%s' has %llu bytes of shared memory", d->name, (unsigned long long)bytes);
    u32 align = d->align < 16 ? 16 : d->align, at = (m->shared_end + align - 1) / align * align;
    s->index = m->n_shared;
    m->shared = arena_grow(p->arena, m->shared, m->n_shared, &m->cap_shared, sizeof *m->shared);
    m->shared[m->n_shared++] = (SharedVar){at, (u32)bytes, external && (d->open || !bytes)};
    bool dynamic = m->shared[s->index].dynamic;
    s->address = dynamic ? DYNAMIC_SHARED : at;
    if (!dynamic) m->shared_end = at + (u32)bytes + SHARED_GAP;
    if (m->shared_end > DYNAMIC_SHARED) parse_fail(p, "too much shared memory in one module");
}

Symbol *parse_variable(Parser *p, Space space, bool external) {
    Declared d = parse_declared(p);
    Symbol *s = symbol_find(p, d.name);
    if (s && s->kind == SYMBOL_VARIABLE && s->depth == p->depth && !p->f) return s; /* declared before */
    s = symbol_add(p, d.name, SYMBOL_VARIABLE);
    s->space = space;
    s->bytes = (u32)(d.count * d.element);
    if (space == IN_GLOBAL) place_global(p, &d, s);
    else if (space == IN_SHARED) place_shared(p, &d, s, external);
    else if (!p->f) parse_fail(p, "'%s' stands outside every function", d.name);
    else if (p->f->entry && p->depth == 1 && space == IN_PARAM) { /* a kernel's own */
        s->address = (p->f->param_bytes + d.align - 1) / d.align * d.align;
        p->f->param_bytes = (u32)s->address + s->bytes;
        if (p->f->param_bytes > MAX_PARAM_BYTES) parse_fail(p, "more than %d bytes of parameters", MAX_PARAM_BYTES);
    } else {
        u32 align = d.align < 16 ? 16 : d.align;
        s->space = IN_LOCAL;
        s->address = (p->f->local_bytes + align - 1) / align * align;
        p->f->local_bytes = (u32)s->address + s->bytes;
    }
    return s;
}

/* (.param .b64 a, .param .b32 b) */
static Parameter *parse_parameters(Parser *p, u32 *n) {
    Parameter list[256];
    *n = 0;
    lex_expect(p, "(");
    while (!lex_take(p, ")")) {
        if (!lex_take(p, ".param")) parse_fail(p, "only parameters in .param are known");
        if (*n == 256) parse_fail(p, "more than 256 parameters");
        const Symbol *s = parse_variable(p, IN_PARAM, false);
        list[(*n)++] = (Parameter){(u32)s->address, s->bytes};
        if (!lex_is(p, ")")) lex_expect(p, ",");
    }
    Parameter *copy = arena_take(p->arena, *n * sizeof *list + 1);
    memcpy(copy, list, *n * sizeof *list);
    return copy;
}

static u32 parse_thread_count(Parser *p) {
    u64 n = 1;
    do n *= (u64)lex_integer(p);
    while (lex_take(p, ",") && n <= MAX_THREADS);
    return n > MAX_THREADS ? MAX_THREADS : (u32)n;
}

static void parse_hints(Parser *p, Function *f) {
    while (p->token.kind == TOKEN_NAME && *p->token.text == '.') {
        const char *word = lex_name(p);
        if (!strcmp(word, ".maxntid") || !strcmp(word, ".reqntid")) f->max_threads = parse_thread_count(p);
        else if (!strcmp(word, ".minnctapersm") || !strcmp(word, ".maxnreg") || !strcmp(word, ".maxnctapersm"))
            lex_integer(p);
        else if (strcmp(word, ".noreturn")) parse_fail(p, "the directive '%s' is unknown here", word);
    }
}

static void parse_function(Parser *p, bool entry) {
    Module *m = p->module;
    Function *f = arena_take(p->arena, sizeof *f);
    f->module = m;
    f->entry = entry;
    p->f = f;
    p->depth = 1;
    bool results = lex_is(p, "(");
    f->name = "";
    if (results) f->results = parse_parameters(p, &f->n_results);
    f->name = lex_name(p);
    if (lex_is(p, "(")) f->params = parse_parameters(p, &f->n_params);
    parse_hints(p, f);
    p->depth = 0;
    p->f = NULL;
    Symbol *s = symbol_find(p, f->name);
    if (s && (s->kind != SYMBOL_FUNCTION || s->function->has_body)) parse_fail(p, "'%s' is declared twice", f->name);
    if (s) { /* calls may hold the address of what was declared */
        *s->function = *f;
        f = s->function;
    } else {
        /* below the function's own scope, which began before its name was known */
        s = arena_take(p->arena, sizeof *s);
        symbol_insert(p, s, f->name);
        s->kind = SYMBOL_FUNCTION;
        s->function = f;
        m->functions = arena_grow(p->arena, m->functions, m->n_functions, &m->cap_functions, sizeof *m->functions);
        m->functions[m->n_functions++] = f;
    }
    p->f = f;
    p->depth = 1;
    memset(p->temporary, 0xff, sizeof p->temporary); /* NO_ARG */
    if (lex_is(p, "{")) {
        f->has_body = true;
        parse_body(p);
    } else lex_expect(p, ";");
    scope_end(p);
    f->reg_bytes = (f->reg_bytes + 63) / 64 * 64;
    p->f = NULL;
}

static void parse_version(Parser *p) {
    u32 major = 0, minor = 0;
    if (sscanf(p->token.text, "%u.%u", &major, &minor) != 2) parse_fail(p, "a version of two numbers expected");
    p->module->version = major * 10 + minor;
    lex_next(p);
}

static void parse_target(Parser *p, u32 device_sm) {
    const char *name = lex_name(p);
    if (sscanf(name, "sm_%u", &p->module->sm) != 1) parse_fail(p, "the target '%s' is unknown", name);
    if (p->module->sm > device_sm) parse_fail(p, "the target is %s, the device sm_%u", name, device_sm);
    while (lex_take(p, ",")) lex_name(p);
}

static void skip_section(Parser *p) {
    while (!lex_take(p, "{")) lex_next(p);
    while (!lex_take(p, "}")) {
        if (p->token.kind == TOKEN_END) parse_fail(p, "a section without an end");
        lex_next(p);
    }
}

static void parse_module(Parser *p, u32 device_sm) {
    bool external = false;
    lex_next(p);
    while (p->token.kind != TOKEN_END) {
        const char *word = lex_name(p);
        Space space = parse_space(word);
        if (!strcmp(word, ".extern")) external = true;
        else if (!strcmp(word, ".visible") || !strcmp(word, ".weak") || !strcmp(word, ".common")) continue;
        else if (!strcmp(word, ".version")) parse_version(p);
        else if (!strcmp(word, ".target")) parse_target(p, device_sm);
        else if (!strcmp(word, ".address_size")) {
            if (lex_integer(p) != 64) parse_fail(p, "addresses have 64 bits here");
        } else if (!strcmp(word, ".entry") || !strcmp(word, ".func")) {
            parse_function(p, word[1] == 'e');
            external = false;
        } else if (space != IN_GENERIC) {
            parse_variable(p, space, external);
            lex_expect(p, ";");
            external = false;
        } else if (!strcmp(word, ".file")) {
            lex_integer(p);
            lex_next(p);
            while (lex_take(p, ",")) lex_integer(p);
        } else if (!strcmp(word, ".section")) skip_section(p);
        else parse_fail(p, "the directive '%s' is unknown here", word);
    }
    if (!p->module->version || !p->module->sm) parse_fail(p, "no .version and .target");
}

/* What a kernel needs with all that it calls. */
static u32 link_function(Parser *p, Function *root, const Function *f, u32 depth) {
    if (depth > MAX_DEPTH) return f->local_bytes + DEPTH_BYTES; /* recursion */
    u32 deepest = 0;
    if (!f->has_body) {
        p->f = root;
        parse_fail(p, "'%s' has no body", f->name);
    }
    for (u32 n = 0; n < f->n_shared && f != root; n++) {
        bool known = false;
        for (u32 k = 0; k < root->n_shared; k++) known |= root->uses_shared[k] == f->uses_shared[n];
        if (known) continue;
        root->uses_shared =
            arena_grow(p->arena, root->uses_shared, root->n_shared, &root->cap_shared, sizeof *root->uses_shared);
        root->uses_shared[root->n_shared++] = f->uses_shared[n];
    }
    for (u32 n = 0; n < f->n_calls; n++) {
        u32 need = link_function(p, root, f->calls[n], depth + 1);
        if (need > deepest) deepest = need;
    }
    return (f->local_bytes + 15) / 16 * 16 + deepest;
}

static void link_module(Parser *p) {
    Module *m = p->module;
    m->shared_end = (m->shared_end + 127) / 128 * 128;
    for (u32 n = 0; n < m->n_functions; n++) {
        Function *f = m->functions[n];
        if (!f->entry) continue;
        f->local_stride = (link_function(p, f, f, 0) + 15) / 16 * 16;
        for (u32 k = 0; k < f->n_shared; k++) f->shared_bytes += m->shared[f->uses_shared[k]].bytes;
        f->dynamic_limit = f->shared_bytes < 48 * 1024 ? 48 * 1024 - (s64)f->shared_bytes : 0;
    }
    p->f = NULL;
}

Module *module_parse(const char *text, u32 device_sm, char *log, size_t log_bytes) {
    Parser *p = calloc(1, sizeof *p);
    if (!p) abort();
    Arena *a = arena_new();
    Module *m = arena_take(a, sizeof *m);
    m->arena = p->arena = a;
    char *copy = arena_take(a, strlen(text) + 1);
    m->text = p->at = strcpy(copy, text);
    p->module = m;
    p->line = 1;
    p->log = log;
    p->log_bytes = log_bytes;
    if (setjmp(p->failed)) {
        free(p);
        module_drop(m);
        return NULL;
    }
    parse_module(p, device_sm);
    link_module(p);
    free(p);
    return m;
}

void module_drop(Module *m) {
    for (u32 n = 0; n < m->n_globals; n++) heap_give(m->globals[n].address);
    arena_drop(m->arena);
}
