/* --target-cpus=A,B,…: code for several levels of x86-64 in one object. Each but the least is read, optimised and
 * generated here in a Ctx of its own, which lives until the object is written; the least is the compile's own pipeline,
 * and goes last. */
#include "driver/fat.h"
#include <stdlib.h>
#include <string.h>

static const Target *find(const Command *c, const char *cpu) {
    const char *why = NULL;
    const Target *t = target_find(c->triple, cpu, NULL, &why);
    if (!t) say_error("--target-cpus: %s", why);
    else if (!t->level || !object_can_merge(t)) {
        say_error("--target-cpus: '%s' of %s cannot be told apart while a program runs", cpu, t->triple);
        say_note("x86-64, x86-64-v2, x86-64-v3 and x86-64-v4, in objects of ELF");
    } else return t;
    return NULL;
}

/* in falling order; false: it is there already, or there is no room */
static bool add(Variants *v, const Target *t) {
    int at = v->fat.n;
    for (int i = 0; i < v->fat.n; i++)
        if (v->target[i]->level == t->level) return false;
    if (at == MAX_VARIANTS) return false;
    for (; at > 0 && v->target[at - 1]->level < t->level; at--) v->target[at] = v->target[at - 1];
    v->target[at] = t;
    v->fat.n++;
    return true;
}

static bool fits_command(const Command *c) {
    const char *other = c->cpu        ? "-mcpu"
                        : c->features ? "-mattr"
                        : c->debug    ? "-g"
                        : c->profile  ? "--profile"
                        : c->report   ? "--report"
                        : c->tune     ? "--tune"
                                      : NULL;
    if (c->max_flash != SIZE_MAX || c->max_ram != SIZE_MAX || c->max_latency > 0) other = "a budget";
    if (other) say_error("%s is for one processor, --target-cpus for several", other);
    else if (c->emit != OUT_OBJ && c->emit != OUT_STATIC && c->emit != OUT_SHARED)
        say_error("--target-cpus is for an object or a library, not this --emit");
    else return true;
    return false;
}

const Target *variants_find(Variants *v, const Command *c) {
    if (!fits_command(c)) return NULL;
    for (const char *at = c->target_cpus; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        char cpu[64];
        size_t n = strcspn(at, ",");
        snprintf(cpu, sizeof cpu, "%.*s", n < sizeof cpu ? (int)n : 0, at);
        const Target *t = find(c, cpu);
        if (!t) return NULL;
        if (!add(v, t)) {
            say_error("--target-cpus: '%s' is given twice", cpu);
            return NULL;
        }
    }
    for (int i = 0; i < v->fat.n; i++)
        v->fat.variants[i] = (struct Variant){.cpu = v->target[i]->cpu, .level = v->target[i]->level};
    return v->target[v->fat.n - 1];
}

static int generate(void *arg) {
    Variants *v = arg;
    Pipeline *p = &v->pipeline[v->fat.at];
    int result = pipeline_read(p);
    if (result == DONE) result = pipeline_optimise(p);
    return result == DONE ? pipeline_generate(p, v->name) : result;
}

/* What the compile's own pipeline will say as well is not said here. */
static int generate_quietly(Variants *v) {
    Ctx *ctx = v->pipeline[v->fat.at].ctx;
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return BAD_MODEL;
    diag_to(ctx, f);
    int result = with_memory(ctx, generate, v);
    fclose(f);
    diag_to(ctx, stderr);
    if (result != DONE) fputs(text, stderr);
    free(text);
    return result;
}

int variants_generate(Variants *v, const Command *c, const char *name) {
    v->name = name;
    for (v->fat.at = 0; v->fat.at < v->fat.n - 1; v->fat.at++) {
        Pipeline *p = &v->pipeline[v->fat.at];
        *p = (Pipeline){.command = c, .target = v->target[v->fat.at], .fat = &v->fat};
        if (!(p->ctx = pipeline_ctx(c, c->files[0]))) return BAD_MODEL;
        int result = generate_quietly(v);
        if (result != DONE) return result;
    }
    return DONE;
}

void variants_say(const Variants *v) {
    for (int i = 0; i < v->fat.n; i++)
        fprintf(stderr, "mcc: %s: %zu bytes of weights that those above do not have\n", v->fat.variants[i].cpu,
                v->fat.variants[i].added);
}

void variants_free(Variants *v) {
    fat_free(&v->fat);
    for (int i = 0; i < v->fat.n; i++) {
        if (!v->pipeline[i].ctx) continue;
        pipeline_free(&v->pipeline[i]);
        ctx_free(v->pipeline[i].ctx);
    }
}
