/* The command line as data: options by their rows (option_rows.c), both as --opt=value and as --opt value, files, the
 * verb. What is kept points into argv, or into arrays as long as argv. */
#include "driver/options.h"
#include <stdlib.h>
#include <string.h>

static Verb verb_find(const char *word) {
    static const struct {
        const char *name;
        Verb verb;
    } verbs[] = {{"compile", VERB_COMPILE}, {"run", VERB_RUN},   {"verify", VERB_VERIFY}, {"bench", VERB_BENCH},
                 {"inspect", VERB_INSPECT}, {"tune", VERB_TUNE}, {"search", VERB_SEARCH}};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(word, verbs[i].name)) return verbs[i].verb;
    return 0;
}

/* The row of an argument among those of the verbs, and its value where the argument holds one. */
static const Row *find(const char *arg, unsigned verbs, const char **value) {
    *value = NULL;
    for (int i = 0; i < n_option_rows; i++) {
        const Row *r = &option_rows[i];
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
    for (int i = 0; i < n_option_rows; i++)
        if (option_rows[i].name && (option_rows[i].verbs & verb) && near_name(given, option_rows[i].name, &best))
            nearest = option_rows[i].name;
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
    return options_fit_compression(c) ? DONE : BAD_USAGE;
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
    for (int i = 0; i < n_option_rows; i++) {
        const Row *r = &option_rows[i];
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
