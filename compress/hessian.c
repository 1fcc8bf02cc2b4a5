/* H = Σ x xᵀ, streamed. In double: whole numbers up to 2^53 add exactly, and no float32 overflows. */
#include "compress/quantize.h"
#include <math.h>
#include "compress/triangle.h"

int64_t hessian_part_size(const Hessian *h, int64_t part) {
    int64_t rest = h->depth - part * h->part;
    return rest < h->part ? rest : h->part;
}

size_t hessian_bytes(int64_t depth, int64_t groups, int64_t part) {
    int64_t parts = (depth + part - 1) / part, size = depth < part ? depth : part;
    int64_t each = size * (size + 1) / 2 * 8, total;
    return product_i64((int64_t[]){each, parts, groups}, 3, &total) ? (size_t)total : SIZE_MAX;
}

Hessian *hessian_means(Arena *a, int64_t depth, int64_t groups) {
    Hessian *h = ARENA_NEW(a, Hessian);
    *h = (Hessian){.depth = depth, .groups = groups, .about_means = true};
    h->most_rows = depth > 2048 ? 2 * depth : 4096;
    h->call_rows = 256;
    h->totals = ARENA_ARRAY(a, groups * depth, double);
    h->counts = ARENA_ARRAY(a, groups, double);
    h->buffer = ARENA_ARRAY(a, HESSIAN_ROWS * depth, double);
    return h;
}

Hessian *hessian_new(Arena *a, int64_t depth, int64_t groups, int64_t part) {
    Hessian *h = hessian_means(a, depth, groups);
    h->about_means = false;
    h->part = part;
    h->parts = (depth + part - 1) / part;
    h->sums = ARENA_ARRAY(a, groups * h->parts, double *);
    for (int64_t i = 0; i < groups * h->parts; i++)
        h->sums[i] = ARENA_ARRAY(a, triangle_row(hessian_part_size(h, i % h->parts)), double);
    return h;
}

void hessian_want_exact(Hessian *h, Arena *a, const Contraction *c) {
    hessian_want(h, a, c->shape.channels);
    h->makes = c;
    h->exact = ARENA_ARRAY(a, HESSIAN_ROWS * h->depth, double);
    h->columns = ARENA_ARRAY(a, HESSIAN_ROWS * h->depth, double);
}

void hessian_make_targets(Hessian *h, int64_t group, int rows) {
    const float *w = h->makes->weights->data;
    int64_t each = h->channels / h->groups;
    int64_t by_channel = h->makes->channel_axis ? 1 : h->depth, by_depth = h->makes->channel_axis ? h->channels : 1;
    double *x = h->columns;
    for (int64_t k = 0; k < h->depth; k++)
        for (int i = 0; i < HESSIAN_ROWS; i++) x[k * HESSIAN_ROWS + i] = i < rows ? h->exact[i * h->depth + k] : 0;
#pragma omp parallel for schedule(static) if (each * h->depth > 1 << 17)
    for (int64_t c = group * each; c < (group + 1) * each; c++) {
        double y[HESSIAN_ROWS] = {0};
        for (int64_t k = 0; k < h->depth; k++) {
            double weight = (double)w[c * by_channel + k * by_depth];
            for (int i = 0; i < HESSIAN_ROWS; i++) y[i] += weight * x[k * HESSIAN_ROWS + i];
        }
        for (int i = 0; i < rows; i++) h->targets[i * h->channels + c] = y[i];
    }
}

void hessian_want(Hessian *h, Arena *a, int64_t channels) {
    h->channels = channels;
    h->cross = ARENA_ARRAY(a, channels * h->depth, double);
    h->wanted = ARENA_ARRAY(a, channels, double);
    h->targets = ARENA_ARRAY(a, HESSIAN_ROWS * channels, double);
}

static void add_cross(Hessian *h, int64_t group, int n) {
    int64_t count = h->channels / h->groups;
#pragma omp parallel for schedule(static) if (count * h->depth > 1 << 17)
    for (int64_t c = group * count; c < (group + 1) * count; c++)
        for (int i = 0; i < n; i++) {
            double y = h->targets[i * h->channels + c], *restrict to = h->cross + c * h->depth;
            const double *restrict x = h->buffer + i * h->depth;
            h->wanted[c] += y;
            for (int64_t k = 0; k < h->depth; k++) to[k] += y * x[k];
        }
}

void hessian_add(Hessian *h, int64_t group, int n) {
    if (h->channels) add_cross(h, group, n);
    double *totals = h->totals + group * h->depth;
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < h->depth; k++) totals[k] += h->buffer[i * h->depth + k];
    h->counts[group] += n;
    for (int64_t part = 0; part < h->parts; part++) {
        const double *rows[HESSIAN_ROWS];
        for (int i = 0; i < n; i++) rows[i] = h->buffer + i * h->depth + part * h->part;
        triangle_update(h->sums[group * h->parts + part], hessian_part_size(h, part), rows, n, 1);
    }
}

/* Σ (x − x̄)(x − x̄)ᵀ = Σ x xᵀ − n x̄ x̄ᵀ; a millionth of Σ x² stays on the diagonal, far above what cancellation leaves
 * of inputs that hardly vary */
static void centre_part(double *t, int64_t n, const double *totals, double count) {
    for (int64_t i = 0; i < n; i++) {
        double *row = t + triangle_row(i), mean = totals[i] / count;
        for (int64_t k = 0; k < i; k++) row[k] -= mean * totals[k];
        row[i] = fmax(row[i] - mean * totals[i], 0) + 1e-6 * row[i];
    }
}

void hessian_centre(Hessian *h) {
    if (!h->about_means || h->centred) return;
    for (int64_t at = 0; at < h->groups * h->parts; at++) {
        int64_t group = at / h->parts, part = at % h->parts;
        if (h->counts[group] > 0)
            centre_part(h->sums[at], hessian_part_size(h, part), h->totals + group * h->depth + part * h->part,
                        h->counts[group]);
    }
    h->centred = true;
}

double hessian_damp(const double *t, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += t[triangle_row(i) + i];
    return sum > 0 ? 0.01 * sum / (double)n : 1;
}

double hessian_error(const Hessian *h, int64_t group, const double *e) {
    double sum = 0;
    for (int64_t part = 0; part < h->parts; part++) {
        const double *t = h->sums[group * h->parts + part], *own = e + part * h->part;
        for (int64_t i = 0; i < hessian_part_size(h, part); i++) {
            const double *row = t + triangle_row(i);
            double s = row[i] * own[i] / 2;
            for (int64_t k = 0; k < i; k++) s += row[k] * own[k];
            sum += 2 * s * own[i];
        }
    }
    return sum;
}
