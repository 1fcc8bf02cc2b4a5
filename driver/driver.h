/* What the files of driver/ share, grouped by the file that defines it. driver/ is the only folder that ends the
 * process. */
#ifndef MCC_DRIVER_H
#define MCC_DRIVER_H

#include "passes/passes.h"
#include "codegen/codegen.h"
#include "compress/prune.h"
#include "compress/quantize.h"
#include "compress/search.h"
#include "frontend/frontend.h"
#include "ir/ir.h"
#include "targets/target.h"

enum { DONE = 0, BAD_MODEL = 1, BAD_USAGE = 2, OUR_BUG = 3 }; /* exit codes */

/* ---- options.c: the command line as data ---- */
typedef enum Verb {
    VERB_COMPILE = 1,
    VERB_RUN = 2,
    VERB_VERIFY = 4,
    VERB_BENCH = 8,
    VERB_INSPECT = 16,
    VERB_TUNE = 32,
    VERB_SEARCH = 64,
    VERB_EXECUTES = VERB_RUN | VERB_VERIFY | VERB_BENCH,
    VERB_GENERATES = VERB_COMPILE | VERB_EXECUTES | VERB_TUNE | VERB_SEARCH,
    VERB_READS = VERB_GENERATES | VERB_INSPECT
} Verb;
typedef enum Emit { OUT_OBJ, OUT_ASM, OUT_LLVM, OUT_LOOPS, OUT_GRAPH, OUT_SHARED, OUT_STATIC, OUT_ONNX } Emit;
typedef struct InputFile { /* --input NAME=x.npy */
    const char *name, *path;
} InputFile;
typedef struct Command {
    Verb verb;
    const char **files;
    int n_files;
    const char *output, *name;
    Emit emit;
    Options opt; /* pins and budgets, as every Ctx gets them */
    DimPin *dims, *max_dims;
    ShapePin *shapes;
    const char *triple, *cpu, *features, *float_abi, *weights_section;
    const char *host_triple; /* of what runs the functions of a model for a GPU; NULL: this machine's */
    bool tf32;               /* products of f32 on tensor cores */
    const char *target_cpus; /* several, separated by commas; NULL: one */
    int opt_level;
    bool optimize_size;
    Winograd winograd;
    SparseUse sparse;
    bool threads, cut_kernels;
    int64_t max_threads;
    bool debug;   /* map code to lines of the graph's text */
    bool profile; /* count calls and ticks of each node */
    bool depfile, verbose, time_passes, print_targets, print_operators, version, help;
    const char *depfile_path, *dump_after;
    int64_t stop_after, fault_alloc;
    const char **warnings; /* -W… */
    int n_warnings;
    InputFile *inputs;
    int n_inputs;
    int64_t seed;
    bool random, json, open;
    const char *output_dir, *tune;
    int64_t jobs, timeout, runs, seconds;
    QuantOptions quant;
    PruneOptions prune;
    const NodeMode *modes; /* of nodes that are not as --quantize says; mcc search sets them */
    int n_modes;
    const struct ReportPoints *points; /* that mcc search has measured, for the report */
    size_t max_flash, max_ram; /* bytes; SIZE_MAX: whatever it takes */
    double max_latency, clock; /* seconds, 0: whatever it takes; cycles a second of a processor that is not here */
    bool report_times, has_range;
    Range input_range; /* without samples */
    const char *report, *input_norm, *input_layout;
    const char **calibrate; /* folders and files of samples */
    int n_calibrate;
    const char *plan, *save_plan;
    const char *max_drop; /* NULL: not asked for */
    double most_drop;
    Metric metric;
    const char *labels; /* of METRIC_ACCURACY */
} Command;
int command_parse(Command *c, int argc, char **argv); /* DONE, or BAD_USAGE after a message */
void command_free(Command *c);
bool one_model(const Command *c); /* false after a message */
void command_options_help(Verb verb, FILE *out);

/* ---- help.c ---- */
void help_print(Verb verb, FILE *out);
void operators_print(FILE *out); /* operators.c: --print-operators */

/* ---- say.c: messages that belong to no model ---- */
void say_error(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* "mcc: error: …" */
void say_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool near_name(const char *given, const char *known, int *best); /* true: nearer than *best, which it updates */

/* ---- crash.c: signals and our own bugs ---- */
void crash_guard(void);     /* SIGINT, SIGTERM: nothing is left behind; SIGSEGV and its like: a message and OUR_BUG */
void crash_default(void);   /* a child that is watched from outside: signals mean what they always mean */
void crash_hold(bool hold); /* while true, SIGINT and its like wait */
void crash_watch(int pid);  /* a child that must end with us; 0: none */

/* ---- output.c: files that appear whole or not at all, all of a set together ---- */
enum { MAX_OUTPUTS = 10 };
typedef struct Output {
    char *path, *temp; /* path NULL: scratch, never renamed. temp NULL: written in place (a device, standard output) */
    FILE *file;        /* open for writing; NULL: a tool writes temp, or it is closed */
} Output;
typedef struct OutputSet {
    Output item[MAX_OUTPUTS];
    int n;
} OutputSet;
FILE *output_open(OutputSet *set, const char *path); /* "-": standard output. NULL after a message */
char *output_beside(OutputSet *set,
                    const char *path); /* what a tool may write, to become `path`. NULL after a message */
char *output_scratch(OutputSet *set, const char *beside,
                     const char *name);        /* in a folder of its own; gone in the end */
bool output_close(OutputSet *set, FILE *file); /* false after a message: not all of it could be written */
bool output_commit(OutputSet *set); /* all of them or none; false after a message. The set is empty after it */
void output_abandon(OutputSet *set);
bool same_file(const char *a, const char *b);
void output_unlink_temps(void); /* async-signal-safe: for crash.c */

/* ---- names.c: paths and identifiers ---- */
char *path_with_extension(const char *path, const char *extension); /* malloc; NULL: out of memory */
char *name_from_path(const char *path);                             /* a C identifier; malloc; NULL: out of memory */
bool name_is_valid(const char *name, const char **why);
char *file_name_from(Str name, const char *fallback,
                     const char *extension); /* no character that a path minds; malloc */

/* ---- progress.c: what takes so long ---- */
void progress_stage(const char *stage); /* NULL: done. Shown on a terminal once the work has taken a second */
void progress_hold(bool hold);          /* while true, the stage stays what it is */
void progress_part(int done, int all);  /* of the stage: a bar, on a terminal */
double seconds_now(void);

/* ---- pipeline.c: a model's way from its file to code ---- */
typedef struct Pipeline {
    const Command *command;
    struct LayerNotes *notes; /* where the passes list layers that could be tuned; NULL: nowhere */
    Ctx *ctx;
    const Target *target;
    const Target *host; /* where that is a GPU: what its functions run on */
    Graph *graph;
    Code code;
    LoadedModel *loaded;
    SparseNotes *sparse_notes; /* layers with zero weights; NULL: nobody asks */
    struct ReportRanges *ranges; /* where calibration leaves what it saw; NULL: nobody asks */
    struct Kept *kept;           /* what other compilations of the model have found; NULL: there are none */
    const PrunePlan *pruned;     /* --prune: weights for each reading of the model; NULL: none */
    Fat *fat;                    /* --target-cpus; NULL: code for one processor */
    const char *debug_file;      /* -g: how debug information calls the graph's text; NULL: there is none */
    bool is_float;               /* --quantize and --prune are not for this one */
    CodeCache *cache;            /* of a network that is compiled again for other weights, dense therefore; NULL: none */
} Pipeline;
/* work(arg) under the Ctx's handler for exhausted memory. Its result, or BAD_MODEL after "out of memory". */
int with_memory(Ctx *ctx, int (*work)(void *), void *arg);
Ctx *pipeline_ctx(const Command *c, const char *file); /* with the command's options; NULL after a message */
const Target *pipeline_target(const Command *c);       /* NULL after a message */
bool pipeline_find_host(Pipeline *p); /* of a GPU, and that the options fit its target; false after a message */
Winograd pipeline_winograd(const Command *c, const Target *t);
/* Each needs the one before it and returns DONE or an exit code after a message. */
int pipeline_read(Pipeline *p);
int pipeline_compress(Pipeline *p);     /* what --prune and --quantize ask for; optional */
int pipeline_canonicalise(Pipeline *p); /* the graph stays one of standard operators and views; optional */
int pipeline_optimise(Pipeline *p);
int pipeline_generate(Pipeline *p, const char *name);
int pipeline_print(Pipeline *p, const char *name, EmitText what, FILE *out);
int pipeline_load(Pipeline *p);
int pipeline_to_code(Pipeline *p); /* all of them, to run in this process */
void pipeline_free(Pipeline *p);   /* all but the Ctx */

/* ---- layer_time.c ---- */
struct Report;
int time_layers(const Pipeline *p, struct Report *r); /* DONE, or an exit code after a message */

/* ---- tune_file.c ---- */
/* A file of mcc tune's; DONE, or an exit code after a message. It lives as long as the Ctx. */
int tuning_load(Ctx *ctx, const char *path, const Target *t, const struct Tuning **out);

/* ---- tool.c ---- */
bool tool_run(const char *const *argv); /* false after a message */

/* ---- object.c ---- */
bool object_is(const char *path); /* an ELF file */
int object_inspect(const char *path);

/* ---- the verbs, a file each ---- */
int compile_main(const Command *c);
int run_main(const Command *c);
int verify_main(const Command *c);
int bench_main(const Command *c);
int inspect_main(const Command *c);
int tune_main(const Command *c);
int search_main(const Command *c);

#endif
