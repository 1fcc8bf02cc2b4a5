/* Setters: what the text of an option's value means, general ones and those of shapes, targets, code and files. What is
 * kept points into argv, or into arrays as long as argv. */
#include "driver/options.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char fine[] = "";

static void *field(Command *c, const Row *row) { return (char *)c + row->offset; }

const char *set_bool(Command *c, const Row *row, const char *value) {
    (void)value;
    *(bool *)field(c, row) = true;
    return fine;
}

const char *set_text(Command *c, const Row *row, const char *value) {
    *(const char **)field(c, row) = value;
    return *value ? fine : NULL;
}

bool option_number(const char *text, int64_t low, int64_t high, int64_t *out) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || v < low || v > high) return false;
    *out = v;
    return true;
}

const char *set_number(Command *c, const Row *row, const char *value) {
    static char hint[64];
    if (option_number(value, row->low, row->high, field(c, row))) return fine;
    snprintf(hint, sizeof hint, "a number from %lld to %lld", (long long)row->low, (long long)row->high);
    return hint;
}

/* 64M, 1G, 2GiB, 4096 */
const char *set_size(Command *c, const Row *row, const char *value) {
    char *end;
    errno = 0;
    unsigned long long v = strtoull(value, &end, 10);
    static const char units[] = "KMGT";
    const char *unit = *end ? strchr(units, *end >= 'a' ? *end - 32 : *end) : NULL;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    const char *rest = end + (unit != NULL);
    bool plain = !*rest || (unit && (!strcmp(rest, "B") || !strcmp(rest, "iB")));
    if (errno || *value < '0' || *value > '9' || !plain || v > ((unsigned long long)SIZE_MAX >> shift))
        return "a number of bytes such as 536870912, 512M or 2G";
    *(size_t *)field(c, row) = (size_t)(v << shift);
    return fine;
}

/* 5ms, 300us, 0.1s */
const char *set_duration(Command *c, const Row *row, const char *value) {
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"ms", 1e-3}, {"us", 1e-6}, {"s", 1}};
    char *end;
    double v = strtod(value, &end);
    for (int i = 0; i < 3; i++)
        if (end != value && !strcmp(end, units[i].unit) && v > 0 && v < 1e6) {
            *(double *)field(c, row) = v * units[i].seconds;
            return fine;
        }
    return "a time such as 5ms, 300us or 0.1s";
}

/* 168M, 1.8G */
const char *set_clock(Command *c, const Row *row, const char *value) {
    char *end;
    double v = strtod(value, &end);
    double unit = !strcmp(end, "M") ? 1e6 : !strcmp(end, "G") ? 1e9 : 0;
    *(double *)field(c, row) = v * unit;
    return end != value && v > 0 && v < 1e6 && unit > 0 ? fine : "cycles a second such as 168M or 1.8G";
}

/* NAME=VALUE is split at the last '=': names from models may hold one. */
static bool split(char *text, const char **name, const char **value) {
    char *equals = strrchr(text, '=');
    if (!equals || equals == text) return false;
    *equals = 0;
    *name = text;
    *value = equals + 1;
    return true;
}

const char *set_dim(Command *c, const Row *row, const char *text) {
    const char *value;
    DimPin pin;
    if (!split((char *)(uintptr_t)text, &pin.name, &value) || !option_number(value, 0, INT64_MAX, &pin.value))
        return row->fixed ? "--max-dim NAME=N bounds an open dimension; '*=N' bounds all others" : "--dim NAME=N";
    if (row->fixed) c->max_dims[c->opt.n_max_dims++] = pin;
    else c->dims[c->opt.n_dims++] = pin;
    return fine;
}

const char *set_shape(Command *c, const Row *row, const char *text) {
    (void)row;
    ShapePin pin = {0};
    const char *value;
    bool good = split((char *)(uintptr_t)text, &pin.name, &value);
    while (good && *value) {
        char *end;
        errno = 0;
        long long v = strtoll(value, &end, 10);
        good = !errno && end != value && v >= 0 && (*end == 0 || *end == 'x' || *end == ',') && pin.rank < MCC_MAX_RANK;
        if (!good) break;
        pin.dims[pin.rank++] = v;
        value = end + (*end != 0);
        good = !*end || *value;
    }
    if (!good) return "--shape NAME=1x3x224x224, of at most 8 dimensions";
    c->shapes[c->opt.n_shapes++] = pin;
    return fine;
}

/* Names may hold '=', paths too: the path begins behind the first '=', or behind a later one where only that is a file.
 */
const char *set_input(Command *c, const Row *row, const char *text) {
    (void)row;
    char *equals = strchr((char *)(uintptr_t)text, '=');
    for (char *next = equals; next; next = strchr(next + 1, '='))
        if (!access(next + 1, R_OK)) {
            equals = next;
            break;
        }
    if (!equals || equals == text || !equals[1]) return "--input NAME=FILE.npy";
    *equals = 0;
    c->inputs[c->n_inputs++] = (InputFile){text, equals + 1};
    return fine;
}

const char *set_level(Command *c, const Row *row, const char *value) {
    (void)row;
    int64_t level = *value ? 2 : 1;
    c->optimize_size = !strcmp(value, "s");
    if (*value && !c->optimize_size && !option_number(value, 0, 3, &level)) return "-O0, -O1, -O2, -O3 or -Os";
    c->opt_level = (int)level;
    return fine;
}

const char *set_emit(Command *c, const Row *row, const char *value) {
    (void)row;
    static const char *const words[] = {"obj", "asm", "llvm", "loops", "graph", "shared", "static", "onnx"};
    for (int i = 0; i < (int)(sizeof words / sizeof *words); i++)
        if (!strcmp(value ? value : "asm", words[i])) {
            c->emit = (Emit)i;
            return fine;
        }
    return "one of obj, asm, llvm, loops, graph, shared, static, onnx";
}

const char *set_threads(Command *c, const Row *row, const char *value) {
    (void)row;
    c->threads = strcmp(value, "none") != 0;
    return !c->threads || !strcmp(value, "openmp") || !strcmp(value, "callback") ? fine : "none, openmp or callback";
}

int option_choice(const char *const *names, int n, const char *value) {
    for (int i = 0; i < n; i++)
        if (!strcmp(value, names[i])) return i;
    return -1;
}

const char *set_winograd(Command *c, const Row *row, const char *value) {
    static const char *const names[] = {"auto", "off", "f2", "f4"};
    (void)row;
    int i = option_choice(names, 4, value);
    if (i < 0) return "auto, off, f2 or f4";
    c->winograd = (Winograd)i;
    return fine;
}

const char *set_sparse(Command *c, const Row *row, const char *value) {
    static const char *const names[] = {"auto", "off", "always", "packed"};
    (void)row;
    int i = option_choice(names, 4, value);
    if (i < 0) return "auto, off, always or packed";
    c->sparse = (SparseUse)i;
    return fine;
}

const char *set_warning(Command *c, const Row *row, const char *value) {
    (void)row;
    c->warnings[c->n_warnings++] = value;
    return *value ? fine : NULL;
}

const char *set_random(Command *c, const Row *row, const char *value) {
    (void)row;
    c->random = true;
    return !value || option_number(value, 0, INT64_MAX, &c->seed) ? fine : "--random=SEED, a number";
}

const char *set_depfile(Command *c, const Row *row, const char *value) {
    c->depfile = true;
    return value ? set_text(c, row, value) : fine;
}
