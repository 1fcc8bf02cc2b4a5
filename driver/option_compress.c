/* Setters of quantization, pruning and samples, and which of these options go together. */
#include "compress/image.h"
#include "driver/options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *set_quantize(Command *c, const Row *row, const char *value) {
    int64_t block;
    (void)row;
    if (quant_mode_find(value, &c->quant.mode) && c->quant.mode != QUANT_NONE) return fine;
    c->quant.mode = QUANT_W4;
    if (!strncmp(value, "w4:", 3) && option_number(value + 3, 32, 128, &block) && !(block & (block - 1))) {
        c->quant.block = (int)block;
        return fine;
    }
    return "int8, dynamic, f16, bf16, w8, w4, or with the size of blocks w4:32, w4:64, w4:128";
}

/* WORD or WORD:NUMBER, both of which *number < 0 tells apart; which of the words, -1: none of them, or no number */
static int word_and_number(const char *const *words, int count, const char *value, double *number) {
    size_t n = strcspn(value, ":");
    *number = -1;
    for (int i = 0; i < count; i++) {
        if (strlen(words[i]) != n || memcmp(value, words[i], n) != 0) continue;
        if (!value[n]) return i;
        char *end;
        *number = strtod(value + n + 1, &end);
        return end > value + n + 1 && !*end && *number >= 0 ? i : -1;
    }
    return -1;
}

const char *set_method(Command *c, const Row *row, const char *value) {
    static const char *const names[] = {"minmax", "average", "percentile", "entropy", "mse"};
    (void)row;
    double percentile;
    int i = word_and_number(names, 5, value, &percentile);
    bool given = percentile >= 0, fits = i == RANGE_PERCENTILE && percentile > 50 && percentile <= 100;
    if (i < 0 || (given && !fits)) return "minmax, average, percentile, percentile:99.99, entropy or mse";
    c->quant.method = (RangeMethod)i;
    if (given) c->quant.percentile = percentile;
    return fine;
}

const char *set_rounding(Command *c, const Row *row, const char *value) {
    static const char *const names[] = {"nearest", "gptq", "adaround"};
    (void)row;
    int i = option_choice(names, 3, value);
    if (i < 0) return "nearest, gptq or adaround";
    c->quant.rounding = (Rounding)i;
    return fine;
}

const char *set_equalize(Command *c, const Row *row, const char *value) {
    static const char *const names[] = {"off", "weights", "samples"};
    (void)row;
    double alpha;
    int i = word_and_number(names, 3, value, &alpha);
    bool given = alpha >= 0, samples = i >= 0 && EQUALIZE_OFF + i == EQUALIZE_SAMPLES;
    if (i < 0 || (given && !(samples && alpha <= 1))) return "off, weights, samples or samples:ALPHA, from 0 to 1";
    c->quant.equalize = (EqualizeKind)(EQUALIZE_OFF + i);
    if (given) c->quant.alpha = alpha;
    return fine;
}

const char *set_weights(Command *c, const Row *row, const char *value) {
    (void)row;
    c->quant.asymmetric = !strcmp(value, "asymmetric");
    return c->quant.asymmetric || !strcmp(value, "symmetric") ? fine : "symmetric or asymmetric";
}

const char *set_activations(Command *c, const Row *row, const char *value) {
    (void)row;
    c->quant.symmetric = !strcmp(value, "s8");
    return c->quant.symmetric || !strcmp(value, "u8") ? fine : "u8 or s8";
}

const char *set_metric(Command *c, const Row *row, const char *value) {
    (void)row;
    return metric_parse(value, &c->metric) ? fine : "cosine, sqnr, top1 or accuracy";
}

const char *set_skip(Command *c, const Row *row, const char *value) {
    if (row->fixed) c->quant.only[c->quant.n_only++] = value;
    else c->quant.skip[c->quant.n_skip++] = value;
    return *value ? fine : NULL;
}

const char *set_share(Command *c, const Row *row, const char *value) {
    (void)row;
    char *end;
    double v = strtod(value, &end);
    if (*end == '%') v /= 100, end++;
    c->prune.share = v;
    return end != value && !*end && v > 0 && v < 1 ? fine : "a share of the weights such as 0.8 or 80%";
}

const char *set_pattern(Command *c, const Row *row, const char *value) {
    (void)row;
    if (prune_pattern_parse(value, &c->prune)) return fine;
    return "unstructured, 2:4 (of 4, or any power of two), block or block:4x1 (channels x weights of a sum), channel, or auto";
}

const char *set_scope(Command *c, const Row *row, const char *value) {
    (void)row;
    c->prune.by_layer = !strcmp(value, "layer");
    c->prune.by_network = !strcmp(value, "network");
    return c->prune.by_layer || c->prune.by_network || !strcmp(value, "global") ? fine : "global, network or layer";
}

const char *set_prune_by(Command *c, const Row *row, const char *value) {
    static const char *const names[] = {"magnitude", "inputs", "update"};
    (void)row;
    int i = option_choice(names, 3, value);
    if (i < 0) return "magnitude, inputs or update";
    c->prune.by = (PruneBy)i;
    return fine;
}

const char *set_prune_skip(Command *c, const Row *row, const char *value) {
    if (row->fixed) c->prune.only[c->prune.n_only++] = value;
    else c->prune.skip[c->prune.n_skip++] = value;
    return *value ? fine : NULL;
}

const char *set_calibrate(Command *c, const Row *row, const char *value) {
    (void)row;
    c->calibrate[c->n_calibrate++] = value;
    return *value ? fine : NULL;
}

const char *set_norm(Command *c, const Row *row, const char *value) {
    ImageNorm norm;
    if (!image_norm_parse(value, &norm)) return "such as 0.5:0.5, or 0.485,0.456,0.406:0.229,0.224,0.225";
    return set_text(c, row, value);
}

const char *set_range(Command *c, const Row *row, const char *value) {
    char *end, *last = NULL;
    double low = strtod(value, &end), high = *end == ':' ? strtod(end + 1, &last) : 0;
    (void)row;
    bool good =
        end != value && *end == ':' && last != end + 1 && !*last && isfinite(low) && isfinite(high) && low < high;
    c->has_range = true;
    c->input_range = (Range){low, high};
    return good ? fine : "LOW:HIGH, such as 0:1";
}

const char *set_layout(Command *c, const Row *row, const char *value) {
    if (strcmp(value, "nchw") != 0 && strcmp(value, "nhwc") != 0) return "nchw or nhwc";
    return set_text(c, row, value);
}

/* ---- together ---- */

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
    if (p->by_network && (p->by != PRUNE_BY_UPDATE || p->pattern == PRUNE_CHANNELS || p->pattern == PRUNE_N_OF_M)) {
        say_error("--prune-scope=network weighs the losses that --prune-by=update measures, of zeros anywhere or in "
                  "blocks");
        return false;
    }
    if (p->share > 0) return true;
    bool more = p->pattern || p->by_layer || p->by || (p->rounds != 1 && !c->plan) || p->ends || p->n_skip || p->n_only;
    if (more) say_error("--prune-pattern and its like need --prune=SHARE");
    return !more;
}

static bool check_quantize(const Command *c) {
    bool samples = c->n_calibrate || c->input_norm || c->input_layout;
    bool compresses = c->quant.mode != QUANT_NONE || c->prune.share > 0 || c->plan;
    bool rounds = quant_wants_inputs(&c->quant), narrows = c->quant.mode == QUANT_W8 || c->quant.mode == QUANT_W4;
    bool names = c->quant.n_skip || c->quant.n_only, sampled = c->quant.equalize == EQUALIZE_SAMPLES;
    bool integers = c->quant.mode == QUANT_INT8 || c->quant.mode == QUANT_DYNAMIC;
    if (rounds && !((narrows || c->quant.mode == QUANT_INT8) && c->n_calibrate))
        say_error("%s needs --quantize=int8, w8 or w4, and samples: --calibrate=FOLDER",
                  c->quant.rounding != ROUND_NEAREST ? "--rounding" : "--bias-correction");
    else if (c->quant.equalize > EQUALIZE_OFF && !integers)
        say_error("--equalize is for activations in integers: --quantize=int8 or dynamic");
    else if (sampled && !c->n_calibrate) say_error("--equalize=samples needs --calibrate=FOLDER");
    else if (samples && !(narrows ? rounds : integers && sampled) && c->prune.share == 0 && !c->plan && c->quant.mode != QUANT_INT8)
        say_error("--calibrate and its like need --quantize=int8");
    else if (c->save_plan && !compresses) say_error("--save-plan needs --quantize or --prune, or a --plan");
    else if (names && c->quant.mode == QUANT_NONE) say_error("--quantize-skip and --quantize-only need --quantize");
    else return true;
    return false;
}

static bool check_drop(Command *c) {
    if ((c->metric == METRIC_ACCURACY) != (c->labels != NULL)) {
        say_error("--metric=accuracy and --labels=FILE go together");
        return false;
    }
    if (!c->max_drop) return true;
    if (c->verb != VERB_SEARCH && (c->quant.mode != QUANT_INT8 || !c->n_calibrate))
        say_error("--max-drop measures on samples what integers cost: add --quantize=int8 and --calibrate=FOLDER");
    else if (!drop_parse(c->metric, c->max_drop, &c->most_drop)) {
        say_error("'%s' is not a value of --max-drop", c->max_drop);
        say_note("%s", drop_hint(c->metric));
    } else return true;
    return false;
}

bool options_fit_compression(Command *c) {
    bool compresses = c->verb == VERB_SEARCH || (check_prune(c) && check_quantize(c));
    return compresses && check_drop(c);
}
