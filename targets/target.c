/* Finds a target's description by triple and CPU. LLVM knows the names; the numbers stand in targets.def. */
#include "targets/target.h"
#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <stdlib.h>
#include <string.h>

typedef struct Row {
    const char *arch, *cpu;
    int vector_bits, vector_registers;
    bool fma;
    int multiply_bits;
    DotForm dot;
    LookupForm lookup;
    size_t l1, l2;
} Row;

static const Row rows[] = {
#define CPU(arch, cpu, bits, registers, fma, multiply, dot, lookup, l1, l2)                                            \
    {arch, cpu, bits, registers, fma, multiply, dot, lookup, l1, l2},
#include "targets/targets.def"
};
enum { N_ROWS = sizeof rows / sizeof *rows };

typedef struct Kept { /* results live until the process ends, reachable from here */
    Target target;
    struct Kept *older;
} Kept;

static Kept *kept;
static char *host_cpu;
static char problem[512];

static void init_llvm(void) {
    static bool done;
    if (done) return;
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
    LLVMInitializeAllAsmParsers();
    done = true;
}

static bool starts(const char *s, const char *prefix) { return !strncmp(s, prefix, strlen(prefix)); }

/* the name in the table, or NULL */
static const char *arch_of(const char *triple) {
    for (int i = 0; i < N_ROWS; i++)
        if (starts(triple, rows[i].arch)) return rows[i].arch;
    return NULL;
}

static const Row *row_of(const char *arch, const char *cpu, const char *features) {
    const Row *generic = NULL;
    for (int i = 0; i < N_ROWS; i++) {
        if (strcmp(rows[i].arch, arch)) continue;
        if (!generic) generic = &rows[i];
        if (!strcmp(rows[i].cpu, cpu)) return &rows[i];
    }
    if (strcmp(arch, "x86_64")) return generic; /* a CPU that LLVM knows and we do not: its arch's generic numbers */
    if (strstr(features, "+avx512vl")) return row_of(arch, "x86-64-v4", "");
    if (strstr(features, "+avx2")) return row_of(arch, "x86-64-v3", "");
    return generic;
}

/* the last mention of a feature counts */
static bool feature_is(const char *features, const char *name, bool otherwise) {
    size_t n = strlen(name);
    for (const char *p = features; (p = strstr(p, name)); p += n)
        if (p > features && (p[n] == ',' || !p[n])) otherwise = p[-1] == '+' ? true : p[-1] == '-' ? false : otherwise;
    return otherwise;
}

static DotForm dot_of(const Row *row, const char *features) {
    if (starts(row->arch, "x86_64")) {
        const char *name = row->vector_bits >= 512 ? "avx512vnni" : "avxvnni";
        return feature_is(features, name, row->dot == DOT_VNNI) ? DOT_VNNI : DOT_PAIRS;
    }
    if (feature_is(features, "i8mm", row->dot == DOT_MIXED)) return DOT_MIXED;
    return feature_is(features, "dotprod", row->dot != DOT_WIDEN) ? DOT_SIGNED : DOT_WIDEN;
}

static bool converts_half(const Row *row, const char *cpu, const char *features) {
    if (starts(row->arch, "aarch64")) return true;
    return feature_is(features, "f16c", row->vector_bits >= 256 && !strcmp(row->cpu, cpu));
}

static LookupForm lookup_of(const Row *row, const char *features) {
    if (!starts(row->arch, "x86_64")) return row->lookup;
    bool halves = feature_is(features, "avx512vbmi", row->lookup == LOOKUP_HALVES);
    if (halves && row->vector_bits >= 512) return LOOKUP_HALVES;
    return feature_is(features, "ssse3", row->lookup != LOOKUP_LOADS) ? LOOKUP_ROWS : LOOKUP_LOADS;
}

DotForm dot_form(const Target *t, int lanes) {
    bool whole = lanes == 4 || ((lanes == 8 || lanes == 16) && lanes * 32 <= t->vector_bits);
    return whole ? t->dot : DOT_WIDEN;
}

bool dot_flips(DotForm form, bool is_signed) { return is_signed ? form == DOT_VNNI : form == DOT_SIGNED; }

IntegerCost integer_cost(const Target *t) {
    IntegerCost cost = {0};
    switch (t->dot) {
#define COST(form, four, one, requantize, quantize, dequantize)                                                        \
    case form: cost = (IntegerCost){four, one, requantize, quantize, dequantize}; break;
#include "targets/costs.def"
    }
    return cost;
}

static int distance(const char *a, const char *b) { /* Levenshtein's, for short names */
    size_t n = strlen(b);
    int row[64];
    if (n >= 63 || strlen(a) >= 63) return 99;
    for (size_t j = 0; j <= n; j++) row[j] = (int)j;
    for (size_t i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= n; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

static const char *nearest_cpu(const char *arch, const char *cpu) {
    const char *best = "";
    int least = 99;
    for (int i = 0; i < N_ROWS; i++)
        if (!strcmp(rows[i].arch, arch) && *rows[i].cpu && distance(cpu, rows[i].cpu) < least) {
            least = distance(cpu, rows[i].cpu);
            best = rows[i].cpu;
        }
    return best;
}

/* LLVM prints "not a recognized processor" to stderr and goes on; ask our table and LLVM's own host name only. */
static bool cpu_known(const char *arch, const char *cpu) {
    for (int i = 0; i < N_ROWS; i++)
        if (!strcmp(rows[i].arch, arch) && !strcmp(rows[i].cpu, cpu)) return true;
    return starts(cpu, "cortex-") || starts(cpu, "generic") || starts(cpu, "neoverse-") || starts(cpu, "apple-");
}

static char *all_features(bool native, const char *features) {
    char *host = native ? LLVMGetHostCPUFeatures() : NULL;
    size_t n = strlen(features) + (host ? strlen(host) : 0) + 2;
    char *all = malloc(n);
    if (all) snprintf(all, n, "%s%s%s", host ? host : "", host && *features ? "," : "", features);
    LLVMDisposeMessage(host);
    return all;
}

static int pointer_bits(LLVMTargetRef ref, const char *triple) {
    LLVMTargetMachineRef machine =
        LLVMCreateTargetMachine(ref, triple, "", "", LLVMCodeGenLevelNone, LLVMRelocPIC, LLVMCodeModelDefault);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    int bits = (int)LLVMPointerSize(layout) * 8;
    LLVMDisposeTargetData(layout);
    LLVMDisposeTargetMachine(machine);
    return bits;
}

const Target *target_find(const char *triple, const char *cpu, const char *features, const char **why) {
    init_llvm();
    *why = problem;
    char *normal = triple && *triple ? LLVMNormalizeTargetTriple(triple) : LLVMGetDefaultTargetTriple(),
         *message = NULL;
    LLVMTargetRef ref;
    const char *arch = arch_of(normal);
    if (LLVMGetTargetFromTriple(normal, &ref, &message) || !arch) {
        snprintf(problem, sizeof problem, "unknown target '%s' (see --print-targets)", triple ? triple : normal);
        LLVMDisposeMessage(message);
        LLVMDisposeMessage(normal);
        return NULL;
    }
    LLVMDisposeMessage(message);
    bool native = cpu && !strcmp(cpu, "native");
    const char *name = native ? (host_cpu = host_cpu ? host_cpu : LLVMGetHostCPUName()) : cpu ? cpu : "";
    if (!native && *name && !cpu_known(arch, name)) {
        snprintf(problem, sizeof problem, "unknown cpu '%s' for %s; did you mean '%s'? (see --print-targets)", name,
                 normal, nearest_cpu(arch, name));
        LLVMDisposeMessage(normal);
        return NULL;
    }
    Kept *k = calloc(1, sizeof *k);
    char *all = all_features(native, features ? features : "");
    if (!k || !all) {
        snprintf(problem, sizeof problem, "out of memory");
        return NULL;
    }
    const Row *row = row_of(arch, name, all);
    k->older = kept;
    kept = k;
    Target *t = &k->target;
    *t = (Target){.triple = normal,
                  .cpu = name,
                  .features = all,
                  .vector_bits = row->vector_bits,
                  .vector_registers = row->vector_registers,
                  .has_fma = row->fma,
                  .multiply_bits = row->multiply_bits,
                  .converts_half = converts_half(row, name, all),
                  .dot = dot_of(row, all),
                  .lookup = lookup_of(row, all),
                  .lane_multiply = starts(arch, "aarch64"),
                  .l1 = row->l1,
                  .l2 = row->l2};
    t->pointer_bits = pointer_bits(ref, normal);
    return t;
}

static bool is_neon(const Target *t) { return starts(t->triple, "aarch64-") && t->vector_bits >= 128; }

int sparse_lanes(const Target *t) {
    enum { PANEL_LANES = 16 }; /* a mask's bits */
    bool elf = !strstr(t->triple, "darwin") && !strstr(t->triple, "macos") && !strstr(t->triple, "windows");
    bool has = (starts(t->triple, "x86_64") && t->vector_bits == 512) || is_neon(t);
    return elf && has ? PANEL_LANES : 0;
}

int sparse_rows(const Target *t) { return is_neon(t) ? 12 : 31; }

bool target_is_host(const Target *t) {
    char *host = LLVMGetDefaultTargetTriple();
    bool same = !strcmp(host, t->triple);
    LLVMDisposeMessage(host);
    return same;
}

void target_print_all(FILE *out) {
    fprintf(out, "%-10s %-16s %11s %9s %4s %8s %9s\n", "arch", "-mcpu", "vector bits", "registers", "fma", "L1 KiB",
            "L2 KiB");
    for (int i = 0; i < N_ROWS; i++)
        fprintf(out, "%-10s %-16s %11d %9d %4s %8zu %9zu\n", rows[i].arch, *rows[i].cpu ? rows[i].cpu : "(generic)",
                rows[i].vector_bits, rows[i].vector_registers, rows[i].fma ? "yes" : "no", rows[i].l1 / 1024,
                rows[i].l2 / 1024);
}
