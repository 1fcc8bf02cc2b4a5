/* Finds a target's description by triple and CPU: what was asked for is held against the names that the rows know, then
 * numbers come from the row and what the features change of it. */
#include "targets/target.h"
#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "targets/names.h"
#include "targets/row.h"

typedef struct Kept { /* results live until the process ends, reachable from here */
    Target target;
    struct Kept *older;
} Kept;

static Kept *kept;
static char *host_cpu;
static char problem[512];

typedef struct Asked { /* what was asked for, as it becomes known */
    char *triple;      /* LLVM's, its parts checked */
    const char *cpu, *features, *float_abi;
    const Row *generic, *row;
    bool native, soft; /* soft: no instruction on floats */
} Asked;

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
    if (row->dot == DOT_HALVES) { /* words are loaded from where bytes may lie */
        bool has = feature_is(features, "dsp", true) && !feature_is(features, "strict-align", false);
        return has ? DOT_HALVES : DOT_WIDEN;
    }
    if (!starts(row->arch, "aarch64")) return row->dot;
    if (feature_is(features, "i8mm", row->dot == DOT_MIXED)) return DOT_MIXED;
    return feature_is(features, "dotprod", row->dot != DOT_WIDEN) ? DOT_SIGNED : DOT_WIDEN;
}

static bool converts_half(const Row *row, const char *cpu, const char *features) {
    if (!starts(row->arch, "x86_64")) return row->converts_half;
    return feature_is(features, "f16c", row->converts_half && !strcmp(row->name, cpu));
}

static LookupForm lookup_of(const Row *row, const char *features) {
    if (!starts(row->arch, "x86_64")) return row->lookup;
    bool halves = feature_is(features, "avx512vbmi", row->lookup == LOOKUP_HALVES);
    if (halves && row->vector_bits >= 512) return LOOKUP_HALVES;
    return feature_is(features, "ssse3", row->lookup != LOOKUP_LOADS) ? LOOKUP_ROWS : LOOKUP_LOADS;
}

static int sve_bits(const Row *row, const char *features) {
    return feature_is(features, "sve", row->sve_bits > 0) ? row->sve_bits : 0;
}

/* without them the vectors are those that every 64-bit Arm processor has */
static bool sve_off(const Row *row, const char *features) { return row->sve_bits && !sve_bits(row, features); }

static int vector_bits(const Row *row, const char *features) { return sve_off(row, features) ? 128 : row->vector_bits; }

static bool fma_of(const Row *row, const char *features) {
    return starts(row->arch, "armv7") ? feature_is(features, "vfp4", row->fma) : row->fma;
}

DotForm dot_form(const Target *t, int lanes) {
    bool whole = lanes == 4 || ((lanes == 8 || lanes == 16) && lanes * 32 <= t->vector_bits);
    return whole ? t->dot : DOT_WIDEN;
}

bool dot_flips(DotForm form, bool is_signed) { return is_signed ? form == DOT_VNNI : form == DOT_SIGNED; }

IntegerCost integer_cost(const Target *t) {
    IntegerCost cost = {0};
    if (t->cost) return *t->cost;
    switch (t->dot) {
#define COST(form, four, one, requantize, quantize, dequantize)                                                        \
    case form: cost = (IntegerCost){four, one, requantize, quantize, dequantize}; break;
#include "targets/costs.def"
    }
    return cost;
}

static bool fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(problem, sizeof problem, format, args);
    va_end(args);
    return false;
}

static bool has_system(const char *triple) {
    return strstr(triple, "-linux") || strstr(triple, "-darwin") || strstr(triple, "-macos") ||
           strstr(triple, "-windows") || strstr(triple, "bsd") || strstr(triple, "-ios") || strstr(triple, "-cuda");
}

static bool is_arm32(const Row *row) { return starts(row->arch, "arm") || starts(row->arch, "thumb"); }

/* 32-bit Arm: by name, or as the triple's last part says: …hf is hard, without a system there is no floating point. */
static bool settle_floats(Asked *a) {
    const char *how = a->float_abi;
    if (!is_arm32(a->row)) return !how || fail("-mfloat-abi is for 32-bit Arm, not %s", a->triple);
    bool hard = names_float_hard(a->triple);
    if (!how) how = hard ? "hard" : has_system(a->triple) ? "softfp" : "soft";
    if (strcmp(how, "hard") != 0 && strcmp(how, "softfp") != 0 && strcmp(how, "soft") != 0)
        return fail("-mfloat-abi is soft, softfp or hard, not '%s'", how);
    a->soft = !strcmp(how, "soft") || !a->row->float_bits;
    if (!strcmp(how, "hard") && !a->row->float_bits)
        return fail("%s has no registers for floats: take --target=%s-none-eabi", a->row->name, a->row->arch);
    if (hard != !strcmp(how, "hard")) {
        char *triple = names_set_float(a->triple, !hard);
        if (!triple) return fail("out of memory");
        LLVMDisposeMessage(a->triple);
        a->triple = triple;
    }
    return true;
}

static char *all_features(const Asked *a) {
    char *host = a->native ? LLVMGetHostCPUFeatures() : NULL;
    const char *parts[] = {host, a->row->features, a->soft ? "+soft-float" : NULL, a->features};
    size_t n = 1;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) n += parts[i] ? strlen(parts[i]) + 1 : 0;
    char *all = calloc(1, n);
    for (size_t i = 0; all && i < sizeof parts / sizeof *parts; i++) {
        if (!parts[i] || !*parts[i]) continue;
        if (*all) strcat(all, ",");
        strcat(all, parts[i]);
    }
    LLVMDisposeMessage(host);
    return all;
}

static int pointer_bits(const char *triple) {
    LLVMTargetRef ref;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(triple, &ref, &message)) {
        LLVMDisposeMessage(message);
        return 0;
    }
    LLVMTargetMachineRef machine =
        LLVMCreateTargetMachine(ref, triple, "", "", LLVMCodeGenLevelNone, LLVMRelocPIC, LLVMCodeModelDefault);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    int bits = (int)LLVMPointerSize(layout) * 8;
    LLVMDisposeTargetData(layout);
    LLVMDisposeTargetMachine(machine);
    return bits;
}

/* Floats made of integers: a multiplication and an addition take a hundred cycles, conversions as long each. The unit
 * is the one of costs.def, at SOFT_BITS a cycle. */
enum { SOFT_BITS = 1 };
static const IntegerCost beside_soft_floats = {0.4, 0.1, 6, 8, 3};

/* A row that only its features led to gives numbers, not its name. */
static const char *llvm_cpu(const Asked *a) {
    const Row *row = *a->cpu ? a->row : a->generic;
    if (*a->cpu && strcmp(a->cpu, row->name) != 0) return a->cpu;
    return row->cpu ? row->cpu : row->name;
}

/* a name like sm_86 that a row stands for says it better than the row */
static int sm_of(const Row *row, const char *cpu) {
    return row->sm && starts(cpu, "sm_") ? atoi(cpu + 3) : row->sm;
}

static const Target *make_target(const Asked *a) {
    Kept *k = calloc(1, sizeof *k);
    char *all = all_features(a);
    const Row *row = a->row;
    if (!k || !all) {
        free(k);
        free(all);
        fail("out of memory");
        return NULL;
    }
    k->older = kept;
    kept = k;
    Target *t = &k->target;
    bool vectors = !a->soft && (!starts(row->arch, "thumb") || feature_is(all, "mve.fp", row->vector_bits > 0));
    int floats = a->soft ? 0 : row->float_bits;
    *t = (Target){.triple = a->triple,
                  .cpu = llvm_cpu(a),
                  .features = all,
                  .abi = row->abi,
                  .level = strcmp(a->cpu, row->name) == 0 ? row->level : 0,
                  .bare = !has_system(a->triple),
                  .is_static = starts(row->arch, "thumb") && !has_system(a->triple),
                  .float_bits = floats == 64 && !feature_is(all, "fp64", true) ? 32 : floats,
                  .vector_bits = vectors ? vector_bits(row, all) : 0,
                  .vector_registers = vectors ? row->vector_registers : 0,
                  .sve_bits = sve_bits(row, all),
                  .has_fma = fma_of(row, all),
                  .multiply_bits = a->soft ? SOFT_BITS : row->multiply_bits,
                  .converts_half = converts_half(row, a->cpu, all),
                  .dot = dot_of(row, all),
                  .cost = a->soft ? &beside_soft_floats : row->cost,
                  .lookup = lookup_of(row, all),
                  .spreads_beside = row->spreads_beside,
                  .lane_multiply = row->lane_multiply || sve_off(row, all),
                  .l1 = row->l1,
                  .l2 = row->l2,
                  .sm = sm_of(row, llvm_cpu(a)),
                  .shared = row->shared};
    t->pointer_bits = pointer_bits(a->triple);
    return t;
}

const Target *target_find_abi(const char *triple, const char *cpu, const char *features, const char *float_abi,
                              const char **why) {
    init_llvm();
    *why = problem;
    bool native = cpu && !strcmp(cpu, "native");
    if (native && !host_cpu) host_cpu = LLVMGetHostCPUName();
    Asked a = {.cpu = native ? host_cpu
                      : cpu  ? cpu
                             : "",
               .features = features ? features : "",
               .native = native,
               .float_abi = float_abi};
    a.triple = names_triple(triple, a.cpu, problem, sizeof problem);
    if (!a.triple) return NULL;
    a.generic = names_arch(a.triple);
    if (native && a.generic->sm) {
        fail("-mcpu=native is this machine's processor, not a GPU: name one, as in -mcpu=sm_80");
        LLVMDisposeMessage(a.triple);
        return NULL;
    }
    a.row = names_cpu(a.generic, a.cpu, native, a.features, problem, sizeof problem);
    const Target *t = NULL;
    if (a.row && names_features(a.generic, a.features, problem, sizeof problem) && settle_floats(&a))
        t = make_target(&a);
    if (!t) LLVMDisposeMessage(a.triple);
    return t;
}

const Target *target_find(const char *triple, const char *cpu, const char *features, const char **why) {
    return target_find_abi(triple, cpu, features, NULL, why);
}

static bool is_neon(const Target *t) { return starts(t->triple, "aarch64-") && t->vector_bits >= 128; }

int sparse_lanes(const Target *t) {
    enum { PANEL_LANES = 16 }; /* a mask's bits */
    bool elf = !strstr(t->triple, "darwin") && !strstr(t->triple, "macos") && !strstr(t->triple, "windows");
    bool has = (starts(t->triple, "x86_64") && t->vector_bits >= 256 && t->has_fma) || is_neon(t);
    return elf && has ? PANEL_LANES : 0;
}

bool sparse_panels(const Target *t, bool asked) { return !t->sm && (t->vector_bits >= 128 || !t->vector_bits) && (asked || !t->is_static); }

bool sparse_entries(const Target *t) { return t->pointer_bits == 32 && !t->vector_bits; }

bool sparse_words(const Target *t) { return sparse_lanes(t) && t->vector_bits == 512 && t->dot == DOT_VNNI; }

int sparse_rows(const Target *t, bool masked) {
    if (is_neon(t)) return 12;
    if (t->vector_bits == 512) return t->spreads_beside && masked ? 28 : 29;
    return masked ? 5 : 6;
}

bool sparse_is_sliced(const Target *t) { return sparse_lanes(t) && !is_neon(t); }

/* Longer code gains nothing where it is run a few times, or comes from behind L2. */
bool sparse_spreads(const Target *t, int64_t panels, int64_t bytes) {
    enum { OFTEN = 32 };
    return t->spreads_beside && sparse_lanes(t) && panels >= OFTEN && bytes <= (int64_t)t->l2 / 4;
}

bool target_is_host(const Target *t) {
    char *host = LLVMGetDefaultTargetTriple();
    bool same = !strcmp(host, t->triple);
    LLVMDisposeMessage(host);
    return same;
}

static const char *floats_of(const Row *row) {
    return row->float_bits == 64 ? "f64" : row->float_bits == 32 ? "f32" : "soft";
}

static const char *bytes_of(const Row *row) {
    if (row->sm) return row->sm >= 80 ? "tensor" : "mma";
    switch (row->dot) {
    case DOT_WIDEN: return "widen";
    case DOT_PAIRS: return "pairs";
    case DOT_VNNI: return "vnni";
    case DOT_SIGNED: return "dotprod";
    case DOT_MIXED: return "i8mm";
    case DOT_HALVES: return "dsp";
    }
    return "";
}

void target_print_all(FILE *out) {
    fprintf(out, "%-16s %-16s %6s %11s %9s %4s %-8s %7s %7s  %s\n", "arch", "-mcpu", "floats", "vector bits",
            "registers", "fma", "bytes", "L1 KiB", "L2 KiB", "usual triple");
    for (int i = 0; i < row_count(); i++) {
        const Row *row = row_at(i);
        fprintf(out, "%-16s %-16s %6s %11d %9d %4s %-8s %7zu %7zu  %s\n", row->arch,
                *row->name ? row->name : "(generic)", floats_of(row), row->vector_bits, row->vector_registers,
                row->fma ? "yes" : "no", bytes_of(row), row->l1 / 1024, row->l2 / 1024,
                row->triple ? row->triple : "");
    }
}
