/* Triples, CPUs and features by name, and the nearest names of a wrong one. LLVM accepts what it does not know, with a
 * line on stderr or none: so whatever is passed on to it stands in a row. */
#include "targets/names.h"
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool starts(const char *s, const char *prefix) { return !strncmp(s, prefix, strlen(prefix)); }

static int least(int a, int b) { return a < b ? a : b; }

/* Letters changed, left out, put in, or swapped with their neighbour (optimal string alignment); for short names. */
static int distance(const char *a, const char *b) {
    enum { LONGEST = 63 };
    int rows[3][LONGEST + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST) return 99;
    for (size_t i = 0; i <= n; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            if (i == 0) {
                row[j] = (int)j;
                continue;
            }
            row[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]), least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

enum { NEAR = 3 }; /* names at most */
typedef struct Near {
    const char *wrong;
    char names[NEAR][64];
    int far[NEAR], n;
} Near;

static void near_offer(Near *near, const char *name, size_t n) {
    char copy[64];
    if (!n || n >= sizeof copy) return;
    snprintf(copy, sizeof copy, "%.*s", (int)n, name);
    int far = distance(near->wrong, copy), at = near->n;
    for (int i = 0; i < near->n; i++)
        if (!strcmp(near->names[i], copy)) return;
    while (at > 0 && near->far[at - 1] > far) at--;
    if (at >= NEAR) return;
    int last = near->n < NEAR ? near->n++ : NEAR - 1;
    for (int i = last; i > at; i--) {
        near->far[i] = near->far[i - 1];
        memcpy(near->names[i], near->names[i - 1], sizeof copy);
    }
    near->far[at] = far;
    memcpy(near->names[at], copy, sizeof copy);
}

/* "what 'wrong'; did you mean 'a', 'b'?": those that are nearly as near as the nearest */
static void near_say(const Near *near, const char *what, char *why, size_t n) {
    size_t at = (size_t)snprintf(why, n, "%s", what);
    for (int i = 0; i < near->n && near->far[i] <= near->far[0] + 1 && at < n; i++)
        at += (size_t)snprintf(why + at, n - at, "%s'%s'", i ? ", " : "; did you mean ", near->names[i]);
    if (at < n) snprintf(why + at, n - at, "%s (see --print-targets)", near->n ? "?" : "");
}

/* the next word of a list that spaces separate; NULL: none is left */
static const char *next_word(const char **list, size_t *n) {
    const char *p = *list;
    if (!p) return NULL;
    p += strspn(p, " ");
    *n = strcspn(p, " ");
    *list = p + *n;
    return *n ? p : NULL;
}

static bool has_word(const char *list, const char *word, size_t length) {
    size_t n;
    for (const char *p; (p = next_word(&list, &n));)
        if (n == length && !memcmp(p, word, n)) return true;
    return false;
}

static const Row *generic_of(const char *arch, size_t n) {
    for (int i = 0; i < row_count(); i++)
        if (row_at(i)->generic && strlen(row_at(i)->arch) == n && !memcmp(row_at(i)->arch, arch, n)) return row_at(i);
    return NULL;
}

const Row *names_arch(const char *triple) { return generic_of(triple, strcspn(triple, "-")); }

static bool is_named(const Row *row, const char *cpu) {
    return (*cpu && !strcmp(row->name, cpu)) || has_word(row->also, cpu, strlen(cpu));
}

/* the row's name for an architecture: armv7em is thumbv7em, arm what its CPU is; NULL: none */
static const char *arch_named(const char *name, const char *cpu) {
    static const char *const others[][2] = {{"amd64", "x86_64"}, {"arm64", "aarch64"},    {"arm", "armv7"},
                                            {"armhf", "armv7"},  {"armv7a", "armv7"},     {"armv7l", "armv7"},
                                            {"thumb", "armv7"},  {"riscv64gc", "riscv64"}};
    if (!strcmp(name, "arm") || !strcmp(name, "thumb"))
        for (int i = 0; i < row_count(); i++)
            if (starts(row_at(i)->arch, "thumb") && is_named(row_at(i), cpu)) return row_at(i)->arch;
    const Row *row = generic_of(name, strlen(name));
    if (row) return row->arch;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(name, others[i][0])) return others[i][1];
    char thumb[72];
    if (!starts(name, "arm")) return NULL;
    snprintf(thumb, sizeof thumb, "thumb%s", name + 3);
    row = generic_of(thumb, strlen(thumb));
    return row ? row->arch : NULL;
}

static bool any_starts(const char *s, const char *list) {
    size_t n;
    for (const char *p; (p = next_word(&list, &n));)
        if (!strncmp(s, p, n)) return true;
    return false;
}

/* the third and fourth part of a normalised triple: a system, and what runs on it or that there is none */
static bool system_known(const char *triple) {
    char os[64] = "", env[64] = "";
    sscanf(triple, "%*[^-]-%*[^-]-%63[^-]-%63s", os, env);
    if (*env && !any_starts(env, "gnu musl eabi elf android msvc macho")) return false;
    if (any_starts(os, "none")) return any_starts(env, "eabi elf macho") || !*env;
    if (any_starts(os, "unknown")) return any_starts(env, "eabi elf macho");
    return any_starts(os, "linux darwin macos ios windows freebsd netbsd openbsd");
}

/* nvptx64 alone, or as clang spells it */
static bool is_cuda(const char *triple) {
    static const char *const all[] = {"nvptx64", "nvptx64-cuda", "nvptx64-nvidia-cuda", "nvptx64-unknown-cuda",
                                      "nvptx64--cuda"};
    bool is = false;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) is = is || !strcmp(triple, all[i]);
    return is;
}

/* An object of Apple's says for which system it is, if the triple has a version: the least that its processors had. */
static const char *version_of(const char *arch, const char *triple) {
    static const char *const systems[][3] = {{"-macos", "11.0", "10.13"},
                                             {"-macosx", "11.0", "10.13"},
                                             {"-darwin", "20.0", "17.0"},
                                             {"-ios", "12.0", "12.0"}};
    size_t n = strlen(triple);
    for (size_t i = 0; i < sizeof systems / sizeof *systems; i++) {
        size_t end = strlen(systems[i][0]);
        if (n > end && !strcmp(triple + n - end, systems[i][0])) return systems[i][starts(arch, "x86_64") ? 2 : 1];
    }
    return "";
}

char *names_triple(const char *triple, const char *cpu, char *why, size_t n) {
    char *normal = triple && *triple ? LLVMNormalizeTargetTriple(triple) : LLVMGetDefaultTargetTriple();
    size_t first = strcspn(normal, "-");
    char name[64], whole[160], what[256];
    snprintf(name, sizeof name, "%.*s", (int)first, normal);
    const char *arch = arch_named(name, cpu);
    if (arch && !strcmp(arch, "nvptx64") && is_cuda(normal)) {
        LLVMDisposeMessage(normal);
        return LLVMCreateMessage("nvptx64-nvidia-cuda");
    }
    if (arch && strcmp(arch, "nvptx64") != 0 && system_known(normal)) {
        snprintf(whole, sizeof whole, "%s%s%s", arch, normal + first, version_of(arch, normal));
        LLVMDisposeMessage(normal);
        return LLVMCreateMessage(whole);
    }
    Near near = {.wrong = triple && *triple ? triple : normal};
    for (int i = 0; i < row_count(); i++)
        if (row_at(i)->triple && (!arch || !strcmp(arch, row_at(i)->arch)))
            near_offer(&near, row_at(i)->triple, strlen(row_at(i)->triple));
    snprintf(what, sizeof what, "unknown target '%.100s'", near.wrong);
    near_say(&near, what, why, n);
    LLVMDisposeMessage(normal);
    return NULL;
}

static bool has_all(const char *features, const char *wanted) {
    char name[64];
    for (const char *p = wanted; *p; p += *p == ',') {
        size_t n = strcspn(p, ",");
        bool found = false;
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        for (const char *q = features; !found && (q = strstr(q, name)); q += n) found = !q[n] || q[n] == ',';
        if (!found) return false;
        p += n;
    }
    return true;
}

/* the row with the widest vectors that stands for CPUs of such features */
static const Row *row_by_features(const Row *generic, const char *features) {
    const Row *best = generic;
    for (int i = 0; i < row_count(); i++) {
        const Row *row = row_at(i);
        if (strcmp(row->arch, generic->arch) != 0 || !row->when || !has_all(features, row->when)) continue;
        if (row->vector_bits > best->vector_bits) best = row;
    }
    return best;
}

const Row *names_cpu(const Row *generic, const char *cpu, bool native, const char *features, char *why, size_t n) {
    if (!*cpu) return row_by_features(generic, features);
    Near near = {.wrong = cpu};
    for (int i = 0; i < row_count(); i++) {
        const Row *row = row_at(i);
        if (strcmp(row->arch, generic->arch) != 0) continue;
        if (is_named(row, cpu)) return row;
        near_offer(&near, row->name, strlen(row->name));
        const char *list = row->also;
        size_t length;
        for (const char *p; (p = next_word(&list, &length));) near_offer(&near, p, length);
    }
    char what[256];
    if (native) {
        char *host = LLVMGetHostCPUFeatures();
        const Row *row = row_by_features(generic, host);
        LLVMDisposeMessage(host);
        return row;
    }
    snprintf(what, sizeof what, "unknown cpu '%.100s' for %s", cpu, generic->arch);
    near_say(&near, what, why, n);
    return NULL;
}

bool names_features(const Row *generic, const char *features, char *why, size_t n) {
    char name[64], what[256];
    for (const char *p = features; *p; p += *p == ',') {
        size_t length = strcspn(p, ",");
        bool sign = *p == '+' || *p == '-';
        snprintf(name, sizeof name, "%.*s", (int)length - sign, p + sign);
        if (!sign) {
            snprintf(why, n, "-mattr takes +FEATURE or -FEATURE, not '%s'", name);
            return false;
        }
        if (!has_word(generic->known, name, strlen(name))) {
            Near near = {.wrong = name};
            const char *list = generic->known;
            for (const char *word; (word = next_word(&list, &length));) near_offer(&near, word, length);
            snprintf(what, sizeof what, "unknown feature '%s' for %s", name, generic->arch);
            near_say(&near, what, why, n);
            return false;
        }
        p += length;
    }
    return true;
}

bool names_float_hard(const char *triple) {
    size_t n = strlen(triple);
    return n > 2 && !strcmp(triple + n - 2, "hf");
}

char *names_set_float(const char *triple, bool hard) {
    size_t n = strlen(triple) - (names_float_hard(triple) ? 2 : 0);
    char *copy = malloc(n + 3);
    if (!copy) return NULL;
    snprintf(copy, n + 3, "%.*s%s", (int)n, triple, hard ? "hf" : "");
    char *result = LLVMCreateMessage(copy);
    free(copy);
    return result;
}
