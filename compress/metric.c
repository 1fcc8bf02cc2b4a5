/* How far outputs are apart, as --metric says, and drops as text. Elements where the float network has no finite number
 * tell nothing; where only the other one has none, nothing is left of the sample. */
#include "compress/search.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"cosine", "sqnr", "top1", "accuracy"};

const char *metric_name(Metric m) { return names[m]; }

bool metric_parse(const char *word, Metric *out) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(word, names[i])) {
            *out = (Metric)i;
            return true;
        }
    return false;
}

const char *drop_hint(Metric m) {
    return m == METRIC_SQNR ? "with --metric=sqnr: how far the noise has to stay below the signal, such as 20dB"
                            : "a share from 0 to 1, such as 0.01 or 1%; with --metric=sqnr such as 20dB";
}

bool drop_parse(Metric m, const char *text, double *out) {
    char *end;
    double v = strtod(text, &end);
    if (end == text || !isfinite(v)) return false;
    if (m == METRIC_SQNR) {
        *out = pow(10, -v / 10);
        return !strcmp(end, "dB") && fabs(v) <= 300;
    }
    bool percent = !strcmp(end, "%");
    *out = percent ? v / 100 : v;
    return (percent || !*end) && *out >= 0 && *out <= 1;
}

void drop_text(Metric m, double drop, char *out, size_t size) {
    if (m == METRIC_SQNR && drop > 0) snprintf(out, size, "%.4g dB", -10 * log10(drop));
    else if (m == METRIC_SQNR) snprintf(out, size, "no noise");
    else if (m == METRIC_TOP1 || m == METRIC_ACCURACY) snprintf(out, size, "%.4g %%", 100 * drop);
    else snprintf(out, size, "%.4g", drop);
}

static int64_t count(const Tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dims[i]; /* fits: the tensor is in memory */
    return n;
}

static void add_power(Loss *l, Metric m, const Tensor *got, const Tensor *want) {
    double dot = 0, gg = 0, ww = 0, noise = 0;
    bool lost = count(got) != count(want);
    for (int64_t i = 0, n = lost ? 0 : count(want); i < n; i++) {
        double g = tensor_float(got, i), w = tensor_float(want, i);
        if (!isfinite(w)) continue;
        if (!isfinite(g)) lost = true;
        dot += g * w, gg += g * g, ww += w * w, noise += (g - w) * (g - w);
    }
    l->signal += ww;
    l->got += gg;
    l->noise += lost ? (double)INFINITY : noise;
    bool same = noise == 0 || gg == 0 || ww == 0; /* then there is no angle */
    double cosine = same ? (double)(noise == 0) : dot / sqrt(gg) / sqrt(ww);
    if (m == METRIC_COSINE) l->sum += lost ? 1 : fmax(0, 1 - cosine);
    l->is_number = count(want) == 1 && (l->n == 0 || l->is_number);
    l->n++;
}

/* The first of the largest; -1: one is NaN */
static int64_t largest(const Tensor *t, int64_t from, int64_t n) {
    int64_t best = 0;
    double most = tensor_float(t, from);
    if (isnan(most)) return -1;
    for (int64_t i = 1; i < n; i++) {
        double v = tensor_float(t, from + i);
        if (isnan(v)) return -1;
        if (v > most) most = v, best = i;
    }
    return best;
}

static void add_rows(Loss *l, const Tensor *got, const Tensor *want) {
    int64_t n = count(want), last = want->rank ? want->dims[want->rank - 1] : 1;
    bool lost = count(got) != n;
    for (int64_t row = 0; row < n; row += last, l->n++)
        l->sum += lost || largest(got, row, last) != largest(want, row, last);
}

static void add_labels(Loss *l, const Tensor *got, const Tensor *labels) {
    int64_t rows = count(labels), row = rows ? count(got) / rows : 0;
    for (int64_t i = 0; i < rows; i++, l->n++) l->sum += !row || largest(got, i * row, row) != tensor_int(labels, i);
}

void loss_add(Loss *l, Metric m, const Tensor *got, const Tensor *want) {
    if (m == METRIC_ACCURACY) add_labels(l, got, want);
    else if (m == METRIC_TOP1) add_rows(l, got, want);
    else add_power(l, m, got, want);
}

/* What 1 - cosine is where both are as long: of one number a sample, over all samples */
static double of_numbers(const Loss *l) {
    if (l->noise == 0) return 0;
    return isfinite(l->noise) ? l->noise / (l->signal + l->got) : 1;
}

double loss_value(const Loss *l, Metric m) {
    if (m == METRIC_COSINE && l->is_number) return of_numbers(l);
    if (m != METRIC_SQNR) return l->n ? l->sum / (double)l->n : 0;
    return l->noise == 0 ? 0 : l->signal > 0 ? l->noise / l->signal : (double)INFINITY;
}
