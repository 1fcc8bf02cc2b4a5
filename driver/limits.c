/* --max-flash, --max-ram, --max-latency: code that takes more is not written. The message names what takes the most:
 * constants; the tensors that are alive at once; layers. */
#include "driver/footprint.h"
#include <math.h>
#include <stdlib.h>

enum { BLAMED = 4 };

typedef struct Share { /* of what is too much */
    const char *name, *what;
    double amount;
} Share;

bool limits_any(const Command *c) { return c->max_flash != SIZE_MAX || c->max_ram != SIZE_MAX || c->max_latency > 0; }

static int by_amount(const void *a, const void *b) {
    const Share *x = a, *y = b;
    return (x->amount < y->amount) - (x->amount > y->amount);
}

/* "'conv2' (Conv) 200704 bytes, …" of the largest */
static const char *list_shares(Ctx *ctx, Share *s, int n, double scale, const char *unit) {
    const char *text = "";
    qsort(s, (size_t)n, sizeof *s, by_amount);
    for (int i = 0; i < n && i < BLAMED && s[i].amount > 0; i++)
        text = arena_printf(ctx->arena, "%s%s'%s' (%s) %.*f %s", text, i ? ", " : "", s[i].name, s[i].what,
                            scale == 1 ? 0 : 3, s[i].amount * scale, unit);
    return text;
}

static int blame_flash(const Pipeline *p, const Report *r, const Footprint *f) {
    size_t most = p->command->max_flash, constants = p->code.weights_bytes;
    Share *s = ARENA_ARRAY(p->ctx->arena, r->n_layers + 1, Share);
    for (int i = 0; i < r->n_layers; i++)
        s[i] = (Share){r->layers[i].name, r->layers[i].op, (double)r->layers[i].after};
    diag_error(p->ctx, NULL, "--max-flash=%zu: the object needs %zu bytes, %zu of code and %zu of constants", most,
               f->flash, f->flash > constants ? f->flash - constants : 0, constants);
    const char *list = list_shares(p->ctx, s, r->n_layers, 1, "bytes");
    if (*list) diag_note(p->ctx, "the most constants are those of %s", list);
    diag_note(p->ctx, "--quantize=int8, w8 or w4, --prune and -Os make it smaller; mcc search finds a choice by layer");
    return BAD_MODEL;
}

/* bytes that are alive while layer `at` runs, and, where s is given, whose they are */
static double alive_at(const Report *r, int at, Share *s, int *n) {
    double bytes = 0;
    for (int i = 0; i < r->n_blocks; i++) {
        const ReportBlock *b = &r->blocks[i];
        if (b->first > at || b->last < at) continue;
        bytes += (double)b->bytes;
        if (s) s[(*n)++] = (Share){b->name, b->scratch ? "scratch" : "tensor", (double)b->bytes};
    }
    return bytes;
}

static int fullest_layer(const Report *r) {
    int best = 0;
    double most = -1;
    for (int i = 0; i < r->n_layers; i++) {
        double bytes = alive_at(r, i, NULL, NULL);
        if (bytes > most) most = bytes, best = i;
    }
    return best;
}

static int blame_ram(const Pipeline *p, const Report *r, const Footprint *f) {
    Share *s = ARENA_ARRAY(p->ctx->arena, r->n_blocks + 1, Share);
    int at = fullest_layer(r), n = 0;
    double bytes = alive_at(r, at, s, &n);
    diag_error(p->ctx, NULL, "--max-ram=%zu: the model needs %zu bytes, %zu of workspace and %zu of variables",
               p->command->max_ram, f->ram, r->workspace, f->sizes.data + f->sizes.bss);
    if (n)
        diag_note(p->ctx, "the most is alive while '%s' (%s) runs, %.0f bytes: %s", r->layers[at].name,
                  r->layers[at].op, bytes, list_shares(p->ctx, s, n, 1, "bytes"));
    diag_note(p->ctx, "smaller inputs (--shape), --quantize=int8 and --winograd=off need less");
    return BAD_MODEL;
}

static int blame_latency(const Pipeline *p, Report *r, const Footprint *f) {
    Ctx *ctx = p->ctx;
    int result = f->modelled ? DONE : time_layers(p, r);
    if (result != DONE) return result;
    Share *s = ARENA_ARRAY(ctx->arena, r->n_layers + 1, Share);
    for (int i = 0; i < r->n_layers; i++) {
        const ReportLayer *l = &r->layers[i];
        s[i] = (Share){l->name, l->op, f->modelled ? layer_model(p, l) : l->microseconds * 1e-6};
        if (isnan(s[i].amount)) s[i].amount = 0;
    }
    const char *where = "on this machine";
    if (f->modelled) where = arena_printf(ctx->arena, "as modelled for %g MHz", p->command->clock / 1e6);
    diag_error(ctx, NULL, "--max-latency=%gms: a call takes %.3f ms %s", p->command->max_latency * 1e3,
               f->seconds * 1e3, where);
    const char *list = list_shares(ctx, s, r->n_layers, 1e3, "ms");
    if (*list) diag_note(ctx, "the slowest layers are %s", list);
    diag_note(ctx, "-mcpu, --quantize=int8 and --prune make it faster; mcc search finds a choice by layer");
    return BAD_MODEL;
}

int limits_check(Pipeline *p, Report *r) {
    const Command *c = p->command;
    Footprint f;
    int result = DONE;
    footprint_sizes(p, &f);
    if (f.flash > c->max_flash) result = blame_flash(p, r, &f);
    if (f.ram > c->max_ram) result = blame_ram(p, r, &f);
    if (result != DONE || c->max_latency <= 0) return result;
    if ((result = footprint_time(p, r, ENOUGH_SECONDS, &f)) != DONE) return result;
    if (f.seconds > c->max_latency) return blame_latency(p, r, &f);
    if (f.modelled && c->verbose)
        fprintf(stderr, "mcc: a call is modelled to take %.3f ms at %g MHz\n", f.seconds * 1e3, c->clock / 1e6);
    return DONE;
}
