/* The command line: one row an option says its name, the verbs that take it, where its value goes and what help says.
 * Both --opt=value and --opt value are read. What is kept points into argv, or into arrays as long as argv. */
#include "compress/image.h"
#include "driver/driver.h"
#include <errno.h>
#include <math.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum Take {
    FLAG,     /* alone */
    VALUE,    /* --name=value, --name value */
    OPTIONAL, /* --name, --name=value */
    JOINED    /* -Ovalue; the value may be empty */
} Take;

typedef struct Row Row;
typedef const char *(*Setter)(Command *c, const Row *row, const char *value); /* fine, or a hint, or NULL */
struct Row {
    unsigned verbs;
    Take take;
    const char *name, *metavar, *help; /* help NULL: not shown */
    Setter set;
    size_t offset;            /* of the field that set_… fills */
    int64_t low, high, fixed; /* set_number: bounds; set_bool, set_pick: what it becomes */
};

static const char fine[] = ""; /* what a setter returns when it took the value; else a hint, or NULL for none */

static void *field(Command *c, const Row *row) { return (char *)c + row->offset; }

static const char *set_bool(Command *c, const Row *row, const char *value) {
    (void)value;
    *(bool *)field(c, row) = true;
    return fine;
}

static const char *set_text(Command *c, const Row *row, const char *value) {
    *(const char **)field(c, row) = value;
    return *value ? fine : NULL;
}

static bool number(const char *text, int64_t low, int64_t high, int64_t *out) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || v < low || v > high) return false;
    *out = v;
    return true;
}

static const char *set_number(Command *c, const Row *row, const char *value) {
    static char hint[64];
    if (number(value, row->low, row->high, field(c, row))) return fine;
    snprintf(hint, sizeof hint, "a number from %lld to %lld", (long long)row->low, (long long)row->high);
    return hint;
}

/* 64M, 1G, 2GiB, 4096 */
static const char *set_size(Command *c, const Row *row, const char *value) {
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
static const char *set_duration(Command *c, const Row *row, const char *value) {
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
static const char *set_clock(Command *c, const Row *row, const char *value) {
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

static const char *set_dim(Command *c, const Row *row, const char *text) {
    const char *value;
    DimPin pin;
    if (!split((char *)(uintptr_t)text, &pin.name, &value) || !number(value, 0, INT64_MAX, &pin.value))
        return row->fixed ? "--max-dim NAME=N bounds an open dimension; '*=N' bounds all others" : "--dim NAME=N";
    if (row->fixed) c->max_dims[c->opt.n_max_dims++] = pin;
    else c->dims[c->opt.n_dims++] = pin;
    return fine;
}

static const char *set_shape(Command *c, const Row *row, const char *text) {
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
static const char *set_input(Command *c, const Row *row, const char *text) {
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

static const char *set_level(Command *c, const Row *row, const char *value) {
    (void)row;
    int64_t level = *value ? 2 : 1;
    c->optimize_size = !strcmp(value, "s");
    if (*value && !c->optimize_size && !number(value, 0, 3, &level)) return "-O0, -O1, -O2, -O3 or -Os";
    c->opt_level = (int)level;
    return fine;
}

static const char *set_emit(Command *c, const Row *row, const char *value) {
    (void)row;
    static const char *const words[] = {"obj", "asm", "llvm", "loops", "graph", "shared", "static", "onnx"};
    for (int i = 0; i < (int)(sizeof words / sizeof *words); i++)
        if (!strcmp(value ? value : "asm", words[i])) {
            c->emit = (Emit)i;
            return fine;
        }
    return "one of obj, asm, llvm, loops, graph, shared, static, onnx";
}

static const char *set_threads(Command *c, const Row *row, const char *value) {
    (void)row;
    c->threads = strcmp(value, "none") != 0;
    return !c->threads || !strcmp(value, "openmp") || !strcmp(value, "callback") ? fine : "none, openmp or callback";
}

static const char *set_winograd(Command *c, const Row *row, const char *value) {
    static const char *const names[] = {"auto", "off", "f2", "f4"};
    (void)row;
    for (int i = 0; i < 4; i++)
        if (!strcmp(value, names[i])) {
            c->winograd = (Winograd)i;
            return fine;
        }
    return "auto, off, f2 or f4";
}

static const char *set_sparse(Command *c, const Row *row, const char *value) {
    static const char *const names[] = {"auto", "off", "always"};
    (void)row;
    for (int i = 0; i < 3; i++)
        if (!strcmp(value, names[i])) {
            c->sparse = (SparseUse)i;
            return fine;
        }
    return "auto, off or always";
}

static const char *set_quantize(Command *c, const Row *row, const char *value) {
    int64_t block;
    (void)row;
    if (quant_mode_find(value, &c->quant.mode) && c->quant.mode != QUANT_NONE) return fine;
    c->quant.mode = QUANT_W4;
    if (!strncmp(value, "w4:", 3) && number(value + 3, 32, 128, &block) && !(block & (block - 1))) {
        c->quant.block = (int)block;
        return fine;
    }
    return "int8, dynamic, f16, bf16, w8, w4, or with the size of blocks w4:32, w4:64, w4:128";
}

static const char *set_method(Command *c, const Row *row, const char *value) {
    static const char *const names[] = {"minmax", "average", "percentile", "entropy", "mse"};
    static const char hint[] = "minmax, average, percentile, percentile:99.99, entropy or mse";
    (void)row;
    size_t n = strcspn(value, ":");
    for (int i = 0; i < 5; i++) {
        if (strlen(names[i]) != n || memcmp(value, names[i], n) != 0) continue;
        c->quant.method = (RangeMethod)i;
        if (!value[n]) return fine;
        char *end;
        double v = strtod(value + n + 1, &end);
        c->quant.percentile = v;
        return i == RANGE_PERCENTILE && !*end && v > 50 && v <= 100 ? fine : hint;
    }
    return hint;
}

static const char *set_rounding(Command *c, const Row *row, const char *value) {
    static const char *const names[] = {"nearest", "gptq", "adaround"};
    (void)row;
    for (int i = 0; i < 3; i++)
        if (!strcmp(value, names[i])) {
            c->quant.rounding = (Rounding)i;
            return fine;
        }
    return "nearest, gptq or adaround";
}

static const char *set_equalize(Command *c, const Row *row, const char *value) {
    static const char *const names[] = {"off", "weights", "samples"};
    static const char hint[] = "off, weights, samples or samples:ALPHA, from 0 to 1";
    (void)row;
    size_t n = strcspn(value, ":");
    for (int i = 0; i < 3; i++) {
        if (strlen(names[i]) != n || memcmp(value, names[i], n) != 0) continue;
        c->quant.equalize = (EqualizeKind)(EQUALIZE_OFF + i);
        if (!value[n]) return fine;
        char *end;
        c->quant.alpha = strtod(value + n + 1, &end);
        return i == 2 && end > value + n + 1 && !*end && c->quant.alpha >= 0 && c->quant.alpha <= 1 ? fine : hint;
    }
    return hint;
}

static const char *set_weights(Command *c, const Row *row, const char *value) {
    (void)row;
    c->quant.asymmetric = !strcmp(value, "asymmetric");
    return c->quant.asymmetric || !strcmp(value, "symmetric") ? fine : "symmetric or asymmetric";
}

static const char *set_activations(Command *c, const Row *row, const char *value) {
    (void)row;
    c->quant.symmetric = !strcmp(value, "s8");
    return c->quant.symmetric || !strcmp(value, "u8") ? fine : "u8 or s8";
}

static const char *set_metric(Command *c, const Row *row, const char *value) {
    (void)row;
    return metric_parse(value, &c->metric) ? fine : "cosine, sqnr or top1";
}

static const char *set_skip(Command *c, const Row *row, const char *value) {
    if (row->fixed) c->quant.only[c->quant.n_only++] = value;
    else c->quant.skip[c->quant.n_skip++] = value;
    return *value ? fine : NULL;
}

static const char *set_share(Command *c, const Row *row, const char *value) {
    (void)row;
    char *end;
    double v = strtod(value, &end);
    if (*end == '%') v /= 100, end++;
    c->prune.share = v;
    return end != value && !*end && v > 0 && v < 1 ? fine : "a share of the weights such as 0.8 or 80%";
}

/* n:m, or rows x cols */
static bool two_numbers(const char *text, char between, int64_t most, int *a, int *b) {
    char *end;
    long x = strtol(text, &end, 10);
    int64_t y;
    if (end == text || *end != between || !number(end + 1, 1, most, &y) || x < 1 || x > most) return false;
    *a = (int)x;
    *b = (int)y;
    return (y & (y - 1)) == 0;
}

static const char *set_pattern(Command *c, const Row *row, const char *value) {
    PruneOptions *p = &c->prune;
    (void)row;
    p->rows = p->cols = 4;
    if (!strcmp(value, "unstructured")) p->pattern = PRUNE_UNSTRUCTURED;
    else if (!strcmp(value, "auto")) p->pattern = PRUNE_AUTO;
    else if (!strcmp(value, "channel")) p->pattern = PRUNE_CHANNELS;
    else if (!strcmp(value, "block")) p->pattern = PRUNE_BLOCKS, p->cols = 1;
    else if (!strncmp(value, "block:", 6) && two_numbers(value + 6, 'x', 64, &p->rows, &p->cols))
        p->pattern = PRUNE_BLOCKS;
    else if (two_numbers(value, ':', 64, &p->n, &p->of) && p->n < p->of) p->pattern = PRUNE_N_OF_M;
    else
        return "unstructured, 2:4 (of 4, or any power of two), block or block:4x1 (channels x weights of a sum), "
               "channel, or "
               "auto";
    return fine;
}

static const char *set_scope(Command *c, const Row *row, const char *value) {
    (void)row;
    c->prune.by_layer = !strcmp(value, "layer");
    c->prune.by_network = !strcmp(value, "network");
    return c->prune.by_layer || c->prune.by_network || !strcmp(value, "global") ? fine : "global, network or layer";
}

static const char *set_prune_by(Command *c, const Row *row, const char *value) {
    static const char *const names[] = {"magnitude", "inputs", "update"};
    (void)row;
    for (int i = 0; i < 3; i++)
        if (!strcmp(value, names[i])) {
            c->prune.by = (PruneBy)i;
            return fine;
        }
    return "magnitude, inputs or update";
}

static const char *set_prune_skip(Command *c, const Row *row, const char *value) {
    if (row->fixed) c->prune.only[c->prune.n_only++] = value;
    else c->prune.skip[c->prune.n_skip++] = value;
    return *value ? fine : NULL;
}

static const char *set_calibrate(Command *c, const Row *row, const char *value) {
    (void)row;
    c->calibrate[c->n_calibrate++] = value;
    return *value ? fine : NULL;
}

static const char *set_norm(Command *c, const Row *row, const char *value) {
    ImageNorm norm;
    if (!image_norm_parse(value, &norm)) return "such as 0.5:0.5, or 0.485,0.456,0.406:0.229,0.224,0.225";
    return set_text(c, row, value);
}

static const char *set_range(Command *c, const Row *row, const char *value) {
    char *end, *last = NULL;
    double low = strtod(value, &end), high = *end == ':' ? strtod(end + 1, &last) : 0;
    (void)row;
    bool good =
        end != value && *end == ':' && last != end + 1 && !*last && isfinite(low) && isfinite(high) && low < high;
    c->has_range = true;
    c->input_range = (Range){low, high};
    return good ? fine : "LOW:HIGH, such as 0:1";
}

static const char *set_layout(Command *c, const Row *row, const char *value) {
    if (strcmp(value, "nchw") != 0 && strcmp(value, "nhwc") != 0) return "nchw or nhwc";
    return set_text(c, row, value);
}

static const char *set_warning(Command *c, const Row *row, const char *value) {
    (void)row;
    c->warnings[c->n_warnings++] = value;
    return *value ? fine : NULL;
}

static const char *set_random(Command *c, const Row *row, const char *value) {
    (void)row;
    c->random = true;
    return !value || number(value, 0, INT64_MAX, &c->seed) ? fine : "--random=SEED, a number";
}

static const char *set_depfile(Command *c, const Row *row, const char *value) {
    c->depfile = true;
    return value ? set_text(c, row, value) : fine;
}

enum { QUANTIZES = VERB_COMPILE | VERB_RUN | VERB_BENCH, PRODUCES = VERB_COMPILE | VERB_SEARCH };
#define AT(member) offsetof(Command, member)
#define HEADING(text, verbs) {(verbs), FLAG, NULL, NULL, (text), NULL, 0, 0, 0, 0}
static const Row rows[] = {
    HEADING("Output", VERB_COMPILE | VERB_TUNE | VERB_SEARCH),
    {VERB_TUNE, VALUE, "-o", "FILE", "write FILE (default: MODEL.tune here)", set_text, AT(output), 0, 0, 0},
    {PRODUCES, VALUE, "-o", "FILE", "write FILE, and the header beside it; - is standard output", set_text,
     AT(output), 0, 0, 0},
    {PRODUCES, VALUE, "--name", "NAME", "prefix of the symbols (default: from FILE)", set_text, AT(name), 0, 0, 0},
    {VERB_COMPILE, VALUE, "--emit", "KIND", "obj (default), asm, llvm, loops, graph, shared, static or onnx", set_emit,
     0, 0, 0, 0},
    {VERB_COMPILE, FLAG, "-S", NULL, "the same as --emit=asm", set_emit, 0, 0, 0, 0},
    {PRODUCES, VALUE, "--report", "FILE",
     "a page of layers, weights and memory, FILE.html with FILE.json beside it", set_text, AT(report), 0, 0, 0},
    {PRODUCES, FLAG, "--report-times", NULL, "measure each layer, and add its time", set_bool, AT(report_times), 0,
     0, 0},
    {VERB_COMPILE, FLAG, "-MD", NULL, "write FILE.d, which tells make what was read", set_depfile, AT(depfile_path), 0,
     0, 0},
    {VERB_COMPILE, VALUE, "-MF", "FILE", "write it to FILE", set_depfile, AT(depfile_path), 0, 0, 0},
    HEADING("Inputs and outputs", VERB_RUN | VERB_VERIFY | VERB_BENCH),
    {VERB_EXECUTES, VALUE, "--input", "NAME=FILE", "the input NAME, from a .npy file", set_input, 0, 0, 0, 0},
    {VERB_EXECUTES, OPTIONAL, "--random", "SEED", "other inputs get seeded random values", set_random, 0, 0, 0, 0},
    {VERB_RUN, VALUE, "--output-dir", "DIR", "where the outputs go (default: here)", set_text, AT(output_dir), 0, 0, 0},
    HEADING("Checking", VERB_VERIFY),
    {VERB_VERIFY, VALUE, "-j", "N", "so many at once (default: one for each core)", set_number, AT(jobs), 1, 1024, 0},
    {VERB_VERIFY, VALUE, "--timeout", "SECONDS", "for one test (default 60)", set_number, AT(timeout), 1, 86400, 0},
    {VERB_VERIFY, FLAG, "--open", NULL, "leave open dimensions open, bounded by what the test data needs", set_bool,
     AT(open), 0, 0, 0},
    HEADING("Timing", VERB_BENCH),
    {VERB_BENCH, VALUE, "--runs", "N", "so many runs (default: a second's worth, at least 5)", set_number, AT(runs), 1,
     1000000000, 0},
    {VERB_BENCH, FLAG, "--json", NULL, "print JSON", set_bool, AT(json), 0, 0, 0},
    HEADING("Measuring", VERB_TUNE),
    {VERB_TUNE, VALUE, "--seconds", "N", "about so long (default 120); large layers come first", set_number,
     AT(seconds), 1, 1000000, 0},
    HEADING("Searching", VERB_SEARCH),
    {VERB_SEARCH, VALUE, "--seconds", "N", "about so long (default 120)", set_number, AT(seconds), 1, 1000000, 0},
    HEADING("Shapes", VERB_READS),
    {VERB_READS, VALUE, "--shape", "NAME=1x3x224x224", "the shape of the input NAME", set_shape, 0, 0, 0, 0},
    {VERB_READS, VALUE, "--dim", "NAME=N", "the open dimension NAME (or INPUT.AXIS) is N", set_dim, 0, 0, 0, 0},
    {VERB_READS, VALUE, "--max-dim", "NAME=N", "it stays open, up to N; '*=N' bounds all others", set_dim, 0, 0, 0, 1},
    HEADING("Target", VERB_GENERATES),
    {PRODUCES, VALUE, "--target", "TRIPLE", "what the code is for, as clang spells it (default: this machine)",
     set_text, AT(triple), 0, 0, 0},
    {VERB_GENERATES, VALUE, "-mcpu", "CPU", "the processor, or native", set_text, AT(cpu), 0, 0, 0},
    {VERB_GENERATES, VALUE, "-mattr", "+A,-B", "features on top of the processor's", set_text, AT(features), 0, 0, 0},
    {VERB_GENERATES, VALUE, "-mfloat-abi", "ABI", "32-bit Arm: soft, softfp or hard (default: what the triple says)",
     set_text, AT(float_abi), 0, 0, 0},
    {PRODUCES, VALUE, "--weights-section", "NAME", "ELF section of the weights (default: .rodata.mcc_weights)", set_text,
     AT(weights_section), 0, 0, 0},
    {VERB_READS, FLAG, "--print-targets", NULL, "list the targets", set_bool, AT(print_targets), 0, 0, 0},
    HEADING("Code", VERB_GENERATES),
    {VERB_GENERATES, JOINED, "-O", "LEVEL", "0, 1, 2 (default), 3 or s", set_level, 0, 0, 0, 0},
    {PRODUCES | VERB_EXECUTES, VALUE, "--threads", "KIND",
     "none (default), openmp (link libmcc_rt.a) or callback (the app defines mcc_parallel_for)", set_threads, 0, 0, 0,
     0},
    {PRODUCES | VERB_EXECUTES, VALUE, "--max-threads", "N", "most threads that may call at once (default 16)",
     set_number, AT(max_threads), 1, 1024, 0},
    {VERB_GENERATES, VALUE, "--winograd", "FORM",
     "of 3x3 convolutions: auto (default), off, f2 or f4; faster, with more weights", set_winograd, 0, 0, 0, 0},
    {VERB_GENERATES, VALUE, "--sparse", "WHERE",
     "weights with zeros as code that leaves them out: auto (default: where it is faster), off, always", set_sparse, 0,
     0, 0, 0},
    {PRODUCES, FLAG, "-g", NULL, "debug information: code as lines of the graph's text, which is written beside FILE",
     set_bool, AT(debug), 0, 0, 0},
    {PRODUCES | VERB_BENCH, FLAG, "--profile", NULL, "count calls and ticks of each node, for NAME_profile; bench prints them",
     set_bool, AT(profile), 0, 0, 0},
    {VERB_COMPILE | VERB_EXECUTES, VALUE, "--tune", "FILE", "what mcc tune has measured for this processor", set_text,
     AT(tune), 0, 0, 0},
    HEADING("Budgets", PRODUCES),
    {PRODUCES, VALUE, "--max-flash", "BYTES", "fail where code and constants take more: 256K, 1M", set_size,
     AT(max_flash), 0, 0, 0},
    {PRODUCES, VALUE, "--max-ram", "BYTES", "fail where workspace and variables take more", set_size, AT(max_ram),
     0, 0, 0},
    {PRODUCES, VALUE, "--max-latency", "TIME", "fail where a call takes longer: 5ms, 300us (measured, or modelled)",
     set_duration, AT(max_latency), 0, 0, 0},
    {PRODUCES, VALUE, "--clock", "HZ", "of a processor that is not this one, for --max-latency (default 1G)",
     set_clock, AT(clock), 0, 0, 0},
    HEADING("Quantization", QUANTIZES | VERB_SEARCH),
    {QUANTIZES, VALUE, "--quantize", "KIND",
     "int8 (with samples, or from normalisations), dynamic, or weights alone: f16, bf16, w8, w4, w4:64 by blocks of 64",
     set_quantize, 0, 0, 0, 0},
    {QUANTIZES | VERB_SEARCH, VALUE, "--calibrate", "PATH", "samples of the inputs: a folder, a file or a .txt list; may be repeated",
     set_calibrate, 0, 0, 0, 0},
    {QUANTIZES | VERB_SEARCH, VALUE, "--input-norm", "MEAN:DEV", "of pictures: (value / 255 - MEAN) / DEV; or R,G,B:R,G,B", set_norm,
     AT(input_norm), 0, 0, 0},
    {QUANTIZES | VERB_SEARCH, VALUE, "--input-layout", "LAYOUT", "of pictures: nchw or nhwc (default: where 1 or 3 channels are)",
     set_layout, AT(input_layout), 0, 0, 0},
    {QUANTIZES, VALUE, "--input-range", "LOW:HIGH", "without samples: what inputs hold (default -3:3)", set_range, 0, 0,
     0, 0},
    {QUANTIZES | VERB_SEARCH, VALUE, "--calibrate-method", "METHOD",
     "of ranges: mse (default), minmax, average, percentile[:99.99] or entropy", set_method, 0, 0, 0, 0},
    {QUANTIZES | VERB_SEARCH, VALUE, "--activations", "TYPE", "u8 (default) with a zero point, or s8 around 0", set_activations, 0, 0,
     0, 0},
    {QUANTIZES | VERB_SEARCH, VALUE, "--weights", "FORM",
     "of w8 and w4: symmetric (default) around 0, or asymmetric with zero points", set_weights, 0, 0, 0, 0},
    {QUANTIZES | VERB_SEARCH, VALUE, "--rounding", "HOW", "of weights: nearest (default), or by the samples gptq or adaround",
     set_rounding, 0, 0, 0, 0},
    {QUANTIZES | VERB_SEARCH, FLAG, "--bias-correction", NULL,
     "biases make up for what rounding does to means; with gptq and adaround always", set_bool,
     AT(quant.correct_biases), 0, 0, 0},
    {QUANTIZES | VERB_SEARCH, VALUE, "--equalize", "HOW",
     "channels scaled alike before, by the weights or by samples[:ALPHA]; or off", set_equalize, 0, 0, 0, 0},
    {QUANTIZES | VERB_SEARCH, VALUE, "--quantize-skip", "NODE|OP", "stays in float; may be repeated", set_skip, 0, 0, 0, 0},
    {QUANTIZES, VALUE, "--quantize-only", "NODE|OP", "of the products, only these; may be repeated", set_skip, 0, 0, 0,
     1},
    {QUANTIZES | VERB_SEARCH, VALUE, "--max-drop", "DROP",
     "keep the layers in float that the result needs to stay this near: 0.01, 1% or (sqnr) 20dB", set_text,
     AT(max_drop), 0, 0, 0},
    {QUANTIZES | VERB_SEARCH, VALUE, "--metric", "METRIC", "of --max-drop: cosine (default), sqnr or top1", set_metric, 0, 0, 0, 0},
    {QUANTIZES | VERB_SEARCH, VALUE, "--save-plan", "FILE", "write what is quantized, and how, as text", set_text, AT(save_plan), 0,
     0, 0},
    {QUANTIZES, VALUE, "--plan", "FILE", "take it from such a text, edited perhaps", set_text, AT(plan), 0, 0, 0},
    HEADING("Pruning", QUANTIZES | VERB_SEARCH),
    {QUANTIZES, VALUE, "--prune", "SHARE", "so many of the weights become 0: 0.8, 80%", set_share, 0, 0, 0, 0},
    {QUANTIZES, VALUE, "--prune-pattern", "PATTERN",
     "of the zeros: unstructured (default), 2:4, block:4x1 of 4 channels, channel, or auto by the target", set_pattern, 0, 0, 0,
     0},
    {QUANTIZES, VALUE, "--prune-scope", "SCOPE",
     "that share of all layers together: global (default), network (and outputs decide), or of each layer", set_scope, 0, 0, 0, 0},
    {QUANTIZES, VALUE, "--prune-by", "WHAT",
     "magnitude (default), or by the samples: inputs, or update, which moves the others to make up for it",
     set_prune_by, 0, 0, 0, 0},
    {QUANTIZES, VALUE, "--prune-rounds", "N", "in so many steps (default 1)", set_number, AT(prune.rounds), 1, 100, 0},
    {QUANTIZES, FLAG, "--prune-ends", NULL, "the first and the last layer, too", set_bool, AT(prune.ends), 0, 0, 0},
    {QUANTIZES | VERB_SEARCH, VALUE, "--prune-skip", "NODE|OP", "keeps its weights; may be repeated", set_prune_skip, 0, 0, 0, 0},
    {QUANTIZES, VALUE, "--prune-only", "NODE|OP", "only these are pruned; may be repeated", set_prune_skip, 0, 0, 0, 1},
    HEADING("Limits", VERB_READS),
    {VERB_READS, VALUE, "--max-fold", "BYTES", "of constants made while compiling (default 1G)", set_size,
     AT(opt.max_fold), 0, 0, 0},
    {VERB_READS, VALUE, "--max-memory", "BYTES", "that mcc itself may take", set_size, AT(opt.max_memory), 0, 0, 0},
    {VERB_READS, VALUE, "--external-data-root", "DIR", "external data may lie anywhere beneath DIR", set_text,
     AT(opt.external_data_root), 0, 0, 0},
    HEADING("Messages", VERB_READS),
    {VERB_READS, JOINED, "-W", "FLAG", "all, FLAG, no-FLAG, error, error=FLAG", set_warning, 0, 0, 0, 0},
    {VERB_READS, FLAG, "-v", NULL, "say more", set_bool, AT(verbose), 0, 0, 0},
    {VERB_READS, FLAG, "--verbose", NULL, NULL, set_bool, AT(verbose), 0, 0, 0},
    {VERB_READS, FLAG, "--time-passes", NULL, "how long each step took", set_bool, AT(time_passes), 0, 0, 0},
    {VERB_READS, FLAG, "--version", NULL, "the version", set_bool, AT(version), 0, 0, 0},
    {VERB_READS, FLAG, "--help", NULL, "this text", set_bool, AT(help), 0, 0, 0},
    {VERB_READS, FLAG, "-h", NULL, NULL, set_bool, AT(help), 0, 0, 0},
    HEADING("For work on mcc itself", VERB_COMPILE | VERB_EXECUTES),
    {VERB_COMPILE | VERB_EXECUTES, VALUE, "--dump-after", "PASS", "print the graph after PASS, or after all", set_text,
     AT(dump_after), 0, 0, 0},
    {VERB_COMPILE | VERB_EXECUTES, FLAG, "--cut-kernels", NULL, "threads get chunks of small kernels too", set_bool,
     AT(cut_kernels), 0, 0, 0},
    {VERB_COMPILE | VERB_EXECUTES, VALUE, "--stop-after-pass", "N", "run only the first N passes", set_number,
     AT(stop_after), 0, INT32_MAX, 0},
    {VERB_READS, VALUE, "--fault-alloc", "N", "the Nth allocation fails, as if memory had run out", set_number,
     AT(fault_alloc), 1, INT32_MAX, 0},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static Verb verb_find(const char *word) {
    static const struct {
        const char *name;
        Verb verb;
    } verbs[] = {{"compile", VERB_COMPILE}, {"run", VERB_RUN},         {"verify", VERB_VERIFY},
                 {"bench", VERB_BENCH},     {"inspect", VERB_INSPECT}, {"tune", VERB_TUNE},
                 {"search", VERB_SEARCH}};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(word, verbs[i].name)) return verbs[i].verb;
    return 0;
}

/* The row of an argument among those of the verbs, and its value where the argument holds one. */
static const Row *find(const char *arg, unsigned verbs, const char **value) {
    *value = NULL;
    for (int i = 0; i < N_ROWS; i++) {
        const Row *r = &rows[i];
        size_t n = r->name ? strlen(r->name) : 0;
        if (!n || !(r->verbs & verbs) || strncmp(arg, r->name, n) != 0) continue;
        if (r->take == JOINED) {
            *value = arg + n;
            return r;
        }
        if (!arg[n]) return r;
        bool count = !strcmp(r->name, "-j") && arg[n] >= '0' && arg[n] <= '9';
        if ((arg[n] == '=' || count) && r->take != FLAG) {
            *value = arg + n + !count;
            return r;
        }
    }
    return NULL;
}

static bool unknown(const char *arg, Verb verb) {
    size_t n = strcspn(arg, "=");
    char given[64];
    snprintf(given, sizeof given, "%.*s", (int)(n < 63 ? n : 63), arg);
    const char *nearest = NULL;
    int best = 1 + (int)(n / 3 < 3 ? n / 3 : 3);
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].name && (rows[i].verbs & verb) && near_name(given, rows[i].name, &best)) nearest = rows[i].name;
    say_error("unknown option '%s'", arg);
    if (nearest) say_note("did you mean %s?", nearest);
    else say_note("see mcc --help");
    return false;
}

static bool option(Command *c, int argc, char **argv, int *i) {
    const char *arg = argv[*i], *value;
    const Row *r = find(arg, c->verb, &value);
    if (!r) r = find(arg, ~0u, &value);
    if (!r) return unknown(arg, c->verb);
    if (!(r->verbs & c->verb)) {
        say_error("%s is not an option of this verb", r->name);
        return false;
    }
    if (r->take == VALUE && !value) {
        if (*i + 1 >= argc) {
            say_error("%s needs a value: %s", r->name, r->metavar);
            return false;
        }
        value = argv[++*i];
    }
    const char *hint = r->set(c, r, value);
    if (hint == fine) return true;
    say_error("'%s' is not a value of %s", value ? value : "", r->name);
    if (hint) say_note("%s", hint);
    return false;
}

static bool allocate(Command *c, size_t n) {
    c->files = calloc(n, sizeof *c->files);
    c->dims = calloc(n, sizeof *c->dims);
    c->max_dims = calloc(n, sizeof *c->max_dims);
    c->shapes = calloc(n, sizeof *c->shapes);
    c->warnings = calloc(n, sizeof *c->warnings);
    c->inputs = calloc(n, sizeof *c->inputs);
    c->calibrate = calloc(n, sizeof *c->calibrate);
    c->quant.skip = calloc(n, sizeof *c->quant.skip);
    c->quant.only = calloc(n, sizeof *c->quant.only);
    c->prune.skip = calloc(n, sizeof *c->prune.skip);
    c->prune.only = calloc(n, sizeof *c->prune.only);
    return c->calibrate && c->quant.skip && c->quant.only && c->prune.skip && c->prune.only && c->files && c->dims &&
           c->max_dims && c->shapes && c->warnings && c->inputs;
}

/* A pattern of n of m says the share itself. */
static bool check_prune(Command *c) {
    PruneOptions *p = &c->prune;
    if (p->pattern == PRUNE_N_OF_M) {
        double share = 1 - (double)p->n / (double)p->of;
        if (p->share > 0 && fabs(p->share - share) > 1e-9) {
            say_error("--prune-pattern=%d:%d makes %g %% of the weights 0, not --prune=%g", p->n, p->of, 100 * share,
                      p->share);
            return false;
        }
        p->share = share;
    }
    if (p->share > 0) return true;
    if (p->by_network && (p->by != PRUNE_BY_UPDATE || p->pattern == PRUNE_CHANNELS || p->pattern == PRUNE_N_OF_M)) {
        say_error("--prune-scope=network weighs the losses that --prune-by=update measures, of zeros anywhere or in "
                  "blocks");
        return false;
    }
    bool more = p->pattern || p->by_layer || p->by || p->rounds != 1 || p->ends || p->n_skip || p->n_only;
    if (more) say_error("--prune-pattern and its like need --prune=SHARE");
    return !more;
}

static bool check_quantize(const Command *c) {
    bool samples = c->n_calibrate || c->input_norm || c->input_layout, plans = c->plan || c->save_plan;
    bool rounds = quant_wants_inputs(&c->quant), narrows = c->quant.mode == QUANT_W8 || c->quant.mode == QUANT_W4;
    bool names = c->quant.n_skip || c->quant.n_only, sampled = c->quant.equalize == EQUALIZE_SAMPLES;
    bool integers = c->quant.mode == QUANT_INT8 || c->quant.mode == QUANT_DYNAMIC;
    if (rounds && !((narrows || c->quant.mode == QUANT_INT8) && c->n_calibrate))
        say_error("%s needs --quantize=int8, w8 or w4, and samples: --calibrate=FOLDER",
                  c->quant.rounding != ROUND_NEAREST ? "--rounding" : "--bias-correction");
    else if (c->quant.equalize > EQUALIZE_OFF && !integers)
        say_error("--equalize is for activations in integers: --quantize=int8 or dynamic");
    else if (sampled && !c->n_calibrate) say_error("--equalize=samples needs --calibrate=FOLDER");
    else if (samples && !(narrows ? rounds : integers && sampled) && c->prune.share == 0 && c->quant.mode != QUANT_INT8)
        say_error("--calibrate and its like need --quantize=int8");
    else if (plans && c->quant.mode == QUANT_NONE) say_error("--plan and --save-plan need --quantize");
    else if (names && c->quant.mode == QUANT_NONE) say_error("--quantize-skip and --quantize-only need --quantize");
    else return true;
    return false;
}

static bool check_drop(Command *c) {
    if (!c->max_drop) return true;
    if (c->verb != VERB_SEARCH && (c->quant.mode != QUANT_INT8 || !c->n_calibrate))
        say_error("--max-drop measures on samples what integers cost: add --quantize=int8 and --calibrate=FOLDER");
    else if (!drop_parse(c->metric, c->max_drop, &c->most_drop)) {
        say_error("'%s' is not a value of --max-drop", c->max_drop);
        say_note("%s", drop_hint(c->metric));
    } else return true;
    return false;
}

int command_parse(Command *c, int argc, char **argv) {
    *c = (Command){.verb = VERB_COMPILE,
                   .opt_level = 2,
                   .max_threads = 16,
                   .stop_after = -1,
                   .seed = 1,
                   .timeout = 60,
                   .clock = 1e9,
                   .max_flash = SIZE_MAX,
                   .max_ram = SIZE_MAX,
                   .quant = {.method = RANGE_MSE, .percentile = 99.999, .block = 32, .alpha = ALPHA_BEST},
                   .input_range = {-3, 3},
                   .prune = {.rounds = 1},
                   .opt = {.max_fold = (size_t)1 << 30, .max_memory = MEM_UNLIMITED}};
    if (!allocate(c, (size_t)argc + 1)) {
        say_error("out of memory");
        return BAD_MODEL;
    }
    int i = 1;
    if (argc > 1 && !strcmp(argv[1], "help")) c->help = true, i++;
    Verb verb = i < argc ? verb_find(argv[i]) : 0;
    if (verb) c->verb = verb, i++;
    bool options = true;
    for (; i < argc; i++) {
        if (options && !strcmp(argv[i], "--")) options = false;
        else if (!options || argv[i][0] != '-') c->files[c->n_files++] = argv[i];
        else if (!option(c, argc, argv, &i)) return BAD_USAGE;
    }
    c->opt.dims = c->dims;
    c->opt.max_dims = c->max_dims;
    c->opt.shapes = c->shapes;
    bool compresses = c->verb == VERB_SEARCH || (check_prune(c) && check_quantize(c));
    return compresses && check_drop(c) ? DONE : BAD_USAGE;
}

bool one_model(const Command *c) {
    if (c->n_files == 0) say_error("no input file; see mcc --help");
    else if (c->n_files > 1) say_error("one file at a time: %s and %s", c->files[0], c->files[1]);
    return c->n_files == 1;
}

void command_free(Command *c) {
    free(c->files);
    free(c->dims);
    free(c->max_dims);
    free(c->shapes);
    free(c->warnings);
    free(c->inputs);
    free(c->calibrate);
    free(c->quant.skip);
    free(c->quant.only);
    free(c->prune.skip);
    free(c->prune.only);
}

void command_options_help(Verb verb, FILE *out) {
    for (int i = 0; i < N_ROWS; i++) {
        const Row *r = &rows[i];
        if (!(r->verbs & verb) || !r->help) continue;
        if (!r->name) {
            fprintf(out, "\n%s:\n", r->help);
            continue;
        }
        char text[64];
        bool word = r->name[1] == '-' || r->name[1] == 'm';
        const char *between = r->take == JOINED ? "" : r->take == OPTIONAL ? "[=" : word ? "=" : " ";
        int n = snprintf(text, sizeof text, "%s%s%s%s", r->name, r->metavar ? between : "",
                         r->metavar ? r->metavar : "", r->take == OPTIONAL ? "]" : "");
        fprintf(out, n > 26 ? "  %s\n%30s%s\n" : "  %-28s%s%s\n", text, "", r->help);
    }
}
