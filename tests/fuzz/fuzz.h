/* Damaged models, the same ones for the same seed: input i of a seed is always the same bytes. A child tries them, and
 * its parent says at which one it died and keeps that file. $MCC_FUZZ_SECONDS (5), $MCC_FUZZ_SEED (1), $MCC_FUZZ_FROM
 * (0). */
#ifndef MCC_TESTS_FUZZ_H
#define MCC_TESTS_FUZZ_H
#undef NDEBUG
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "frontend/frontend.h"

enum { MAX_SEEDS = 1000, MAX_BYTES = 1 << 16, SLOW_MS = 5000, BATCH = 2000 };

typedef struct File {
    size_t n;
    unsigned char p[MAX_BYTES];
} File;

static File *seeds[MAX_SEEDS];
static int n_seeds;
static uint64_t state;

static uint64_t draw(uint64_t below) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (state * 2685821657736338717ull >> 11) % below;
}

static void load(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    File *s = malloc(sizeof *s);
    assert(f && s);
    s->n = fread(s->p, 1, MAX_BYTES, f);
    fclose(f);
    unlink(path);
    if (s->n) seeds[n_seeds++] = s;
    else free(s);
}

static int by_size(const void *a, const void *b) { /* folders list files in any order */
    const File *x = *(File *const *)a, *y = *(File *const *)b;
    int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return x->n != y->n ? (x->n > y->n) - (x->n < y->n) : c;
}

static bool load_seeds(void) {
    char folder[] = "/tmp/mcc-fuzz-XXXXXX", command[4200];
    assert(mkdtemp(folder));
    snprintf(command, sizeof command, "PYTHONPATH=tests/lib /usr/bin/python3 tests/lib/write_seeds.py %s", folder);
    if (system(command)) return false;
    DIR *d = opendir(folder);
    assert(d);
    for (struct dirent *e; (e = readdir(d)) && n_seeds < MAX_SEEDS;)
        if (e->d_name[0] != '.') load(folder, e->d_name);
    closedir(d);
    rmdir(folder);
    qsort(seeds, (size_t)n_seeds, sizeof *seeds, by_size);
    return n_seeds > 0;
}

static void cut(File *f, size_t at, size_t n) {
    memmove(f->p + at, f->p + at + n, f->n - at - n);
    f->n -= n;
}

static void insert(File *f, size_t at, const unsigned char *p, size_t n) {
    if (f->n + n > MAX_BYTES) return;
    memmove(f->p + at + n, f->p + at, f->n - at);
    memcpy(f->p + at, p, n);
    f->n += n;
}

static void mutate(File *f) {
    static const unsigned char odd[] = {0, 1, 2, 3, 8, 10, 18, 127, 128, 255};
    const File *other = seeds[draw((uint64_t)n_seeds)];
    unsigned char piece[64];
    size_t at = draw(f->n + 1), left = f->n - at, n;
    switch (draw(7)) {
    case 0:
        if (left) f->p[at] ^= (unsigned char)(1u << draw(8));
        break;
    case 1:
        if (left) f->p[at] = odd[draw(sizeof odd)];
        break;
    case 2:
        if (left) f->p[at] = (unsigned char)draw(256);
        break;
    case 3:
        if (draw(4) == 0) f->n = at;
        break;
    case 4: cut(f, at, draw((left < 16 ? left : 16) + 1)); break;
    case 5: /* a piece of its own again */
        n = draw((left < sizeof piece ? left : sizeof piece) + 1);
        memcpy(piece, f->p + at, n);
        insert(f, draw(f->n + 1), piece, n);
        break;
    default: /* a piece of another */
        n = 1 + draw(other->n < 64 ? other->n : 64);
        insert(f, at, other->p + draw(other->n - n + 1), n);
    }
}

static void make_input(File *f, uint64_t seed, uint64_t i) {
    state = seed * 0x9e3779b97f4a7c15ull + i * 0xbf58476d1ce4e5b9ull + 1;
    const File *from = seeds[draw((uint64_t)n_seeds)];
    f->n = from->n;
    memcpy(f->p, from->p, from->n);
    for (uint64_t k = 1 + draw(6); k > 0; k--) mutate(f);
}

/* What is tested: may leave by mem_fail, must not die. */
static void try_guarded(Ctx *ctx, const char *path, uint64_t variant);

static void try_model(Ctx *ctx, const char *path, uint64_t variant) {
    MemTry t;
    diag_to(ctx, NULL);
    mem_limit(ctx, (size_t)256 << 20);
    if (mem_enter(ctx, &t), setjmp(t.jump)) return;
    try_guarded(ctx, path, variant);
    mem_leave(ctx, &t);
}

static void read_input(int fd, const File *f) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert(ftruncate(fd, 0) == 0 && pwrite(fd, f->p, f->n, 0) == (ssize_t)f->n);
    Ctx *ctx = ctx_new(path);
    assert(ctx);
    try_model(ctx, path, draw(1 << 20));
    onnx_unmap(ctx);
    ctx_free(ctx);
}

static long now_ms(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void run_child(uint64_t seed, volatile uint64_t *at, long until) {
    static File f;
    int fd = memfd_create("model", 0);
    assert(fd >= 0);
    for (int i = 0; i < BATCH && now_ms(CLOCK_MONOTONIC) < until; i++, ++*at) {
        long start = now_ms(CLOCK_PROCESS_CPUTIME_ID);
        make_input(&f, seed, *at);
        read_input(fd, &f);
        if (now_ms(CLOCK_PROCESS_CPUTIME_ID) - start > SLOW_MS) abort();
    }
    exit(0);
}

static void keep_input(uint64_t seed, uint64_t i, int status) {
    static File f;
    char path[64];
    snprintf(path, sizeof path, "/tmp/mcc-fuzz-%llu.onnx", (unsigned long long)i);
    printf("seed %llu, input %llu: status %d; kept as %s\n", (unsigned long long)seed, (unsigned long long)i, status,
           path);
    make_input(&f, seed, i);
    FILE *out = fopen(path, "wb");
    if (out) fwrite(f.p, 1, f.n, out), fclose(out);
}

static int fuzz_main(void) {
    const char *seconds = getenv("MCC_FUZZ_SECONDS"), *given = getenv("MCC_FUZZ_SEED"), *from = getenv("MCC_FUZZ_FROM");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 1;
    long until = now_ms(CLOCK_MONOTONIC) + 1000 * (seconds ? atol(seconds) : 5);
    volatile uint64_t *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!load_seeds()) return 77;
    *at = from ? strtoull(from, NULL, 0) : 0;
    int deaths = 0, status;
    while (now_ms(CLOCK_MONOTONIC) < until && deaths < 5) {
        pid_t pid = fork();
        assert(pid >= 0);
        if (pid == 0) run_child(seed, at, until);
        waitpid(pid, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
        keep_input(seed, (*at)++, status);
        deaths++;
    }
    printf("seed %llu: %llu inputs from %d models, %d deaths\n", (unsigned long long)seed, (unsigned long long)*at,
           n_seeds, deaths);
    return deaths != 0;
}

#endif
