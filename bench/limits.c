/* What this machine can do at most: multiply-adds a second from registers, and bytes a second from each level of
 * memory.
 *
 *     clang-19 -O3 -march=native -mprefer-vector-width=512 -pthread limits.c -o limits && ./limits [THREADS]
 *
 * Prints one JSON object. Each figure is the best of many short rounds, all threads at once, each in its own data.
 * Vectors are the compiler's own (vector_size), so that any machine is measured; dot products stand here for those that
 * have them. */
#include "bench/clock.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

enum { CHAINS = 12, STEPS = 1000, MOST_THREADS = 64 };

static const double ROUND_SECONDS = 3e-3, GAUGE_SECONDS = 0.4;

typedef struct Job {
    void (*kernel)(struct Job *);
    const char *data;
    size_t bytes;
    int64_t times;
    double seconds;
    pthread_barrier_t *start;
} Job;

/* A peak is CHAINS independent accumulators, more than latency times width of any machine so far; they never leave
 * registers, and the compiler may not know what is multiplied. */
#define DEFINE_PEAK(name, Sum, Operand, STEP)                                                                          \
    static void name(Job *job) {                                                                                       \
        Sum sum[CHAINS] = {0};                                                                                         \
        volatile Operand source = {0};                                                                                 \
        Operand a = source, b = source;                                                                                \
        for (int64_t i = 0; i < job->times * STEPS; i++)                                                               \
            for (int c = 0; c < CHAINS; c++) sum[c] = STEP(sum[c], a, b);                                              \
        for (int c = 1; c < CHAINS; c++) sum[0] += sum[c];                                                             \
        volatile Sum sink = sum[0];                                                                                    \
        (void)sink;                                                                                                    \
    }

typedef float F128 __attribute__((vector_size(16)));
typedef float F256 __attribute__((vector_size(32)));
typedef float F512 __attribute__((vector_size(64)));
#define FMA(sum, a, b) __builtin_elementwise_fma(a, b, sum)
DEFINE_PEAK(fma_128, F128, F128, FMA)
#ifdef __AVX__
DEFINE_PEAK(fma_256, F256, F256, FMA)
#endif
#ifdef __AVX512F__
DEFINE_PEAK(fma_512, F512, F512, FMA)
#endif
#ifdef __AVX512VNNI__
DEFINE_PEAK(dot_512, __m512i, __m512i, _mm512_dpbusd_epi32)
#endif
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
DEFINE_PEAK(dot_256, __m256i, __m256i, _mm256_dpbusd_epi32)
#elif defined(__AVXVNNI__)
DEFINE_PEAK(dot_256, __m256i, __m256i, _mm256_dpbusd_avx_epi32)
#endif
#ifdef __AVX512BF16__
DEFINE_PEAK(bf16_512, __m512, __m512bh, _mm512_dpbf16_ps)
#endif
#ifdef __ARM_FEATURE_DOTPROD
DEFINE_PEAK(dot_128, int32x4_t, int8x16_t, vdotq_s32)
#endif

static const struct Peak {
    const char *name;
    void (*kernel)(Job *);
    int ops; /* of one instruction; a multiply-add is two */
} peaks[] = {
#ifdef __AVX512F__
    {"f32 512-bit", fma_512, 32},
#endif
#ifdef __AVX__
    {"f32 256-bit", fma_256, 16},
#endif
    {"f32 128-bit", fma_128, 8},
#ifdef __AVX512VNNI__
    {"int8 512-bit", dot_512, 128},
#endif
#if (defined(__AVX512VNNI__) && defined(__AVX512VL__)) || defined(__AVXVNNI__)
    {"int8 256-bit", dot_256, 64},
#endif
#ifdef __AVX512BF16__
    {"bf16 512-bit", bf16_512, 64},
#endif
#ifdef __ARM_FEATURE_DOTPROD
    {"int8 128-bit", dot_128, 32},
#endif
};

/* The widest vector that the machine loads at once. */
#if defined(__AVX512F__)
typedef uint64_t Word __attribute__((vector_size(64)));
#elif defined(__AVX__)
typedef uint64_t Word __attribute__((vector_size(32)));
#else
typedef uint64_t Word __attribute__((vector_size(16)));
#endif

static void read_all(Job *job) {
    enum { WAYS = 8 };
    Word sum[WAYS] = {0};
    for (int64_t i = 0; i < job->times; i++) {
        const Word *p = (const Word *)(const void *)job->data, *end = p + job->bytes / sizeof(Word);
        __asm__ volatile("" : "+r"(p) : : "memory"); /* each pass reads anew */
        for (; p < end; p += WAYS)
            for (int w = 0; w < WAYS; w++) sum[w] ^= p[w];
    }
    for (int w = 1; w < WAYS; w++) sum[0] ^= sum[w];
    volatile Word sink = sum[0];
    (void)sink;
}

static void *work(void *arg) {
    Job *job = arg;
    pthread_barrier_wait(job->start);
    double start = seconds_now();
    job->kernel(job);
    job->seconds = seconds_now() - start;
    return NULL;
}

/* How long the slowest of the threads took. */
static double run_round(Job *jobs, int threads) {
    pthread_t handles[MOST_THREADS];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (int t = 0; t < threads; t++) {
        jobs[t].start = &start;
        if (t && pthread_create(&handles[t], NULL, work, &jobs[t])) die("a thread", "cannot be made");
    }
    work(&jobs[0]);
    double slowest = jobs[0].seconds;
    for (int t = 1; t < threads; t++) {
        pthread_join(handles[t], NULL);
        if (jobs[t].seconds > slowest) slowest = jobs[t].seconds;
    }
    pthread_barrier_destroy(&start);
    return slowest;
}

/* The best of many rounds, in passes a second and thread. */
static double measure(Job *jobs, int threads) {
    double once = run_round(jobs, threads), best = 0;
    for (int t = 0; t < threads; t++) jobs[t].times = 1 + (int64_t)(ROUND_SECONDS / once);
    for (double end = seconds_now() + GAUGE_SECONDS; seconds_now() < end;) {
        double rate = (double)jobs[0].times / run_round(jobs, threads);
        if (rate > best) best = rate;
    }
    return best;
}

static double measure_peak(const struct Peak *peak, int threads) {
    Job jobs[MOST_THREADS];
    for (int t = 0; t < threads; t++) jobs[t] = (Job){.kernel = peak->kernel, .times = 1};
    return measure(jobs, threads) * (double)(STEPS * CHAINS * peak->ops * threads) * 1e-9;
}

static double measure_reading(const char *data, size_t bytes, int threads) {
    Job jobs[MOST_THREADS];
    for (int t = 0; t < threads; t++)
        jobs[t] = (Job){.kernel = read_all, .data = data + t * bytes, .bytes = bytes, .times = 1};
    return measure(jobs, threads) * (double)bytes * threads * 1e-9;
}

/* ---- from core to core ---- */

enum { ROUNDS = 1000, AFAR = 128 };

typedef struct Line { /* alone, with the line that is fetched beside it */
    _Alignas(AFAR) _Atomic int64_t turn;
} Line;

static Line there, back;

static void *answer(void *arg) {
    (void)arg;
    for (int64_t turn = 1; turn; turn++) {
        int64_t seen;
        while ((seen = atomic_load(&there.turn)) < turn && seen >= 0) {}
        if (seen < 0) return NULL;
        atomic_store(&back.turn, turn);
    }
    return NULL;
}

/* Nanoseconds for a line to the other core and one back: about what a barrier costs, and an input that it wrote.
 * Virtual machines change between cores that share a cache and cores that do not. */
static double measure_round_trip(void) {
    pthread_t other;
    double best = 1e9;
    int64_t turn = 0;
    if (pthread_create(&other, NULL, answer, NULL)) die("a thread", "cannot be made");
    for (double end = seconds_now() + GAUGE_SECONDS; seconds_now() < end;) {
        double start = seconds_now();
        for (int i = 0; i < ROUNDS; i++) {
            atomic_store(&there.turn, ++turn);
            while (atomic_load(&back.turn) != turn) {}
        }
        double each = (seconds_now() - start) / ROUNDS;
        if (each < best) best = each;
    }
    atomic_store(&there.turn, -1);
    pthread_join(other, NULL);
    return best * 1e9;
}

/* A line about the first processor's caches, as Linux tells it; "" where it does not. */
static const char *cache_fact(int index, const char *fact, char text[static 64]) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, fact);
    FILE *f = fopen(path, "r");
    if (!f || !fgets(text, 64, f)) text[0] = 0;
    if (f) fclose(f);
    return text;
}

/* The size of a level's data cache. (sysconf takes a virtual machine's L3 for that of the whole socket.) */
static size_t cache_bytes(int level, size_t otherwise) {
    enum { MOST_CACHES = 8 };
    char text[64];
    for (int i = 0; i < MOST_CACHES; i++) {
        if (atoi(cache_fact(i, "level", text)) != level || cache_fact(i, "type", text)[0] == 'I') continue;
        size_t kib = (size_t)atoll(cache_fact(i, "size", text));
        if (kib) return kib << 10;
    }
    return otherwise;
}

static void print_limits(int threads) {
    size_t l1 = cache_bytes(1, 32 << 10), l2 = cache_bytes(2, 512 << 10);
    size_t l3 = cache_bytes(3, 8 << 20);
    const struct {
        const char *name;
        size_t bytes; /* what is read: half of a level, a quarter of one that is shared */
    } levels[] = {{"L1", l1 / 2}, {"L2", l2 / 2}, {"L3", l3 / 4 / threads}, {"DRAM", 128 << 20}};
    enum { LEVELS = sizeof levels / sizeof *levels, PEAKS = sizeof peaks / sizeof *peaks };
    printf("{\"threads\": %d, \"gflops\": {", threads);
    for (int i = 0; i < PEAKS; i++)
        printf("%s\"%s\": %.1f", i ? ", " : "", peaks[i].name, measure_peak(&peaks[i], threads));
    printf("}, \"gbytes\": {");
    const char *data = big_alloc(levels[LEVELS - 1].bytes * threads);
    for (int i = 0; i < LEVELS; i++)
        printf("%s\"%s\": %.1f", i ? ", " : "", levels[i].name,
               measure_reading(data, levels[i].bytes / 4096 * 4096, threads));
    printf("}, ");
    if (threads > 1) printf("\"round_trip_ns\": %.0f, ", measure_round_trip());
    printf("\"caches\": [%zu, %zu, %zu]}\n", l1, l2, l3);
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    if (threads < 1 || threads > MOST_THREADS) die("threads", "from 1 to 64");
    print_limits(threads);
    return 0;
}
