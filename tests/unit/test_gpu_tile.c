/* Tiles of products on GPUs: what code generation takes for granted of each, and that the choice fits the work. */
#include <stdio.h>
#include <stdlib.h>
#include "targets/gpu_tile.h"

static int failures;
#define CHECK(...)                                                                                                     \
    ((__VA_ARGS__) ? (void)0 : (void)(failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__)))

static const char *const levels[] = {"sm_75", "sm_80", "sm_86", "sm_90"};

static const Target *target(const char *cpu) {
    const char *why = NULL;
    const Target *t = target_find("nvptx64", cpu, "", &why);
    if (!t) puts(why), exit(1);
    return t;
}

static bool is_power(int n) { return n > 0 && (n & (n - 1)) == 0; }

static void check(const Target *t, const GpuTile *c, const GpuExtent *e) {
    const int warp = 32;
    CHECK(is_power(c->rows) && is_power(c->cols) && is_power(c->depth) && is_power(c->stages) && is_power(c->threads));
    CHECK(c->threads % c->cols == 0 || c->cols % c->threads == 0);
    CHECK(c->threads >= warp && c->threads <= 1024);
    CHECK(gpu_tile_bytes(c) <= t->shared);
    int parts = c->rows / c->part_rows * (c->cols / c->part_cols);
    CHECK(parts * (c->math == GPU_FMA ? 1 : warp) == c->threads);
    CHECK(c->split >= 1 && c->split <= e->depth);
    GpuTile again = gpu_tile_at(t, c->math, c->number, c->split);
    CHECK(again.rows == c->rows && again.cols == c->cols && again.stages == c->stages);
}

static GpuTile choose(const char *cpu, GpuMath math, double rows, double cols, double depth) {
    const Target *t = target(cpu);
    GpuExtent e = {rows, cols, depth, 1};
    GpuTile c = gpu_tile_choose(t, math, &e);
    check(t, &c, &e);
    return c;
}

int main(void) {
    static const double sizes[] = {1, 7, 64, 196, 1000, 4096};
    for (size_t l = 0; l < sizeof levels / sizeof *levels; l++)
        for (int math = GPU_FMA; math <= GPU_BYTES; math++)
            for (int i = 0; i < 6 * 6 * 6; i++)
                choose(levels[l], (GpuMath)math, sizes[i % 6], sizes[i / 6 % 6], sizes[i / 36]);
    for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
        GpuTile large = choose(levels[l], GPU_FMA, 4096, 4096, 4096);
        CHECK(large.rows == 128 && large.cols == 128 && large.split == 1);
        GpuTile deep =
            choose(levels[l], GPU_FMA, 256, 196, 2304); /* a layer of 14 × 14: all multiprocessors get work */
        CHECK(256 / deep.rows * ((196 + deep.cols - 1) / deep.cols) * deep.split >= 64);
    }
    return failures != 0;
}
