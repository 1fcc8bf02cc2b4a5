/* Messages for the person with the model: "model.onnx: node 'conv_3' (Conv-11): …". One line each; names are escaped. */
#include "ir/internal.h"
#include <stdlib.h>
#include <string.h>

static const char *const flags[] = {"shape", "opset", "unused", "value", "quant-fallback", "tune", "calibration", "branch"};
enum { N_FLAGS = sizeof flags / sizeof *flags, MAX_MESSAGES = 200, TEXT = 1024, NAME = 200 };

struct Diag {
    FILE *out;
    int errors, messages;
    DiagTry *attempt; /* NULL: messages are shown */
    bool off[N_FLAGS], fatal[N_FLAGS];
    char names[4][NAME];
    int next_name;
    int heard_flag;
    void (*heard)(void *arg, const Node *at, const char *text); /* NULL: nobody listens */
    void *listener;
};

struct Diag *diag_new(void) {
    struct Diag *d = calloc(1, sizeof *d);
    if (d) d->out = stderr;
    return d;
}

void diag_free(struct Diag *d) { free(d); }
void diag_to(Ctx *ctx, FILE *out) { ctx->diag->out = out; }
int diag_errors(const Ctx *ctx) { return ctx->diag->errors; }

const char *diag_name(Ctx *ctx, Str name) {
    struct Diag *d = ctx->diag;
    char *text = d->names[d->next_name++ % 4];
    str_escape(text, NAME, name);
    return text;
}

static void say(Ctx *ctx, const char *kind, const Node *at, const char *fmt, va_list ap) {
    struct Diag *d = ctx->diag;
    if (d->attempt) {
        char why[TEXT];
        if (d->attempt->first || *kind != 'e') return;
        vsnprintf(why, sizeof why, fmt, ap);
        d->attempt->first = arena_printf(ctx->arena, "%s%s%s%s", at ? "node " : "", at ? node_text(ctx, at) : "", at ? ": " : "", why);
        return;
    }
    if (!d->out || d->messages > MAX_MESSAGES) return;
    if (d->messages++ == MAX_MESSAGES) {
        fprintf(d->out, "%s: too many messages, the rest is left out\n", ctx->file);
        return;
    }
    char text[TEXT];
    vsnprintf(text, sizeof text, fmt, ap);
    fprintf(d->out, "%s: %s%s%s%s%s\n", ctx->file, kind, at ? "node " : "", at ? node_text(ctx, at) : "", at ? ": " : "", text);
}

void diag_try(Ctx *ctx, DiagTry *t) {
    *t = (DiagTry){.outer = ctx->diag->attempt, .errors = ctx->diag->errors};
    ctx->diag->attempt = t;
}

const char *diag_tried(Ctx *ctx, DiagTry *t) {
    ctx->diag->attempt = t->outer;
    ctx->diag->errors = t->errors;
    return t->first;
}

void diag_error(Ctx *ctx, const Node *at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(ctx, "error: ", at, fmt, ap);
    va_end(ap);
    ctx->diag->errors++;
}

static int flag_index(const char *flag, size_t n) {
    for (int i = 0; i < N_FLAGS; i++)
        if (strlen(flags[i]) == n && !memcmp(flags[i], flag, n)) return i;
    return -1;
}

static void tell_listener(const struct Diag *d, const Node *at, const char *fmt, va_list ap) {
    char text[TEXT];
    vsnprintf(text, sizeof text, fmt, ap);
    d->heard(d->listener, at, text);
}

void diag_listen(Ctx *ctx, const char *flag, void (*heard)(void *arg, const Node *at, const char *text), void *arg) {
    struct Diag *d = ctx->diag;
    d->heard_flag = flag_index(flag, strlen(flag));
    assert(d->heard_flag >= 0);
    d->heard = heard;
    d->listener = arg;
}

void diag_warn(Ctx *ctx, const char *flag, const Node *at, const char *fmt, ...) {
    int i = flag_index(flag, strlen(flag));
    va_list ap;
    assert(i >= 0);
    if (ctx->diag->heard && ctx->diag->heard_flag == i) {
        va_start(ap, fmt);
        tell_listener(ctx->diag, at, fmt, ap);
        va_end(ap);
    }
    if (ctx->diag->off[i]) return;
    va_start(ap, fmt);
    say(ctx, ctx->diag->fatal[i] ? "error: " : "warning: ", at, fmt, ap);
    va_end(ap);
    ctx->diag->errors += ctx->diag->fatal[i];
}

void diag_note(Ctx *ctx, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(ctx, "note: ", NULL, fmt, ap);
    va_end(ap);
}

bool diag_set_flag(Ctx *ctx, const char *flag) {
    struct Diag *d = ctx->diag;
    bool error = !strncmp(flag, "error", 5) && (flag[5] == '=' || !flag[5]), off = !strncmp(flag, "no-", 3);
    const char *name = error ? flag + 5 + (flag[5] == '=') : off ? flag + 3 : flag;
    bool every = !*name || !strcmp(name, "all");
    int one = every ? 0 : flag_index(name, strlen(name));
    if (one < 0) return false;
    for (int i = one; i < (every ? N_FLAGS : one + 1); i++) {
        d->off[i] = off;
        d->fatal[i] = error || (d->fatal[i] && !off);
    }
    return true;
}
