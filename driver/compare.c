/* Two tensors: are they the same as far as arithmetic may say? Floats within 1e-7 + rtol·|want|, NaN equal to NaN; the
 * 8-bit and smaller floats within one step; integers, bool, dims and dtype exactly. */
#include "driver/call.h"
#include <math.h>
#include <string.h>

static unsigned packed_code(const Tensor *t, int64_t i) {
    int bits = dtype_bits(t->dtype), each = 8 / bits;
    return ((const unsigned char *)t->data)[i / each] >> (i % each * bits) & ((1u << bits) - 1);
}

static bool is_small_float(Dtype t) {
    return (t >= DT_F8E4M3FN && t <= DT_F8E5M2FNUZ) || t == DT_F4E2M1 || t == DT_F8E8M0;
}

static bool is_float(Dtype t) { return dtype_class(t) == DTC_F; }

/* A code's place among the values of its type, so that neighbours differ by one; *nan where it is none. */
static int small_float_rank(Dtype t, unsigned code, bool *nan) {
    int sign_bit = t == DT_F4E2M1 ? 8 : 128, magnitude = (int)code & (sign_bit - 1);
    *nan = (t == DT_F8E4M3FN && magnitude == 0x7f) || (t == DT_F8E5M2 && magnitude > 0x7c) ||
           (t == DT_F8E8M0 && code == 0xff) || ((t == DT_F8E4M3FNUZ || t == DT_F8E5M2FNUZ) && code == 0x80);
    if (t == DT_F8E8M0) return (int)code;
    return (int)code & sign_bit ? -magnitude : magnitude;
}

static double relative_tolerance(Dtype t) { return t == DT_F16 ? 1e-2 : t == DT_BF16 ? 4e-2 : 1e-3; }

static bool same_element(const Tensor *got, const Tensor *want, int64_t i) {
    Dtype t = want->dtype;
    if (is_small_float(t)) {
        bool nan_g, nan_w;
        int g = small_float_rank(t, packed_code(got, i), &nan_g), w = small_float_rank(t, packed_code(want, i), &nan_w);
        return nan_g || nan_w ? nan_g == nan_w : g - w >= -1 && g - w <= 1;
    }
    if (dtype_bits(t) < 8) return packed_code(got, i) == packed_code(want, i);
    if (!is_float(t)) {
        size_t size = (size_t)dtype_bits(t) / 8;
        return !memcmp((const char *)got->data + (size_t)i * size, (const char *)want->data + (size_t)i * size, size);
    }
    double g = tensor_float(got, i), w = tensor_float(want, i);
    if (isnan(g) || isnan(w)) return isnan(g) && isnan(w);
    return g == w || fabs(g - w) <= 1e-7 + relative_tolerance(t) * fabs(w); /* false where only one is infinite */
}

void tensor_dims_text(const Tensor *t, char *out, size_t size) {
    size_t n = (size_t)snprintf(out, size, "%s[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%lld", i ? "," : "", (long long)t->dims[i]);
    if (n < size) snprintf(out + n, size - n, "]");
}

void tensor_element_text(const Tensor *t, int64_t i, char *out, size_t size) {
    if (dtype_bits(t->dtype) < 8 || is_small_float(t->dtype)) snprintf(out, size, "0x%x", packed_code(t, i));
    else if (is_float(t->dtype)) snprintf(out, size, "%.9g", tensor_float(t, i));
    else if (dtype_class(t->dtype) == DTC_U) snprintf(out, size, "%llu", (unsigned long long)tensor_int(t, i));
    else snprintf(out, size, "%lld", (long long)tensor_int(t, i));
}

static void index_text(const Tensor *t, int64_t at, char *out, size_t size) {
    int64_t index[MCC_MAX_RANK];
    size_t n = 1;
    for (int i = t->rank - 1; i >= 0; i--) index[i] = at % t->dims[i], at /= t->dims[i];
    snprintf(out, size, "[");
    for (int i = 0; i < t->rank && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%lld", i ? "," : "", (long long)index[i]);
    if (n < size) snprintf(out + n, size - n, "]");
}

static bool same_form(const Tensor *got, const Tensor *want) {
    bool same = got->dtype == want->dtype && got->rank == want->rank;
    for (int i = 0; i < want->rank && same; i++) same = got->dims[i] == want->dims[i];
    return same;
}

/* Both say how wide what is drawn spreads: a number may be as far beyond the wanted ones as these are apart. */
bool compare_drawn(const Tensor *got, const Tensor *want, char *why, size_t size) {
    int64_t n;
    double lo = INFINITY, hi = -INFINITY;
    if (!same_form(got, want) || !dtype_computes(want->dtype)) return compare_tensors(got, want, why, size);
    product_i64(want->dims, want->rank, &n);
    for (int64_t i = 0; i < n; i++) {
        lo = fmin(lo, tensor_float(want, i));
        hi = fmax(hi, tensor_float(want, i));
    }
    for (int64_t i = 0; i < n; i++) {
        double v = tensor_float(got, i);
        if (v >= lo - (hi - lo) && v <= hi + (hi - lo)) continue;
        snprintf(why, size, ": drew %.9g, far from what lies between %.9g and %.9g", v, lo, hi);
        return false;
    }
    return true;
}

bool compare_tensors(const Tensor *got, const Tensor *want, char *why, size_t size) {
    char a[128], b[128], at[160];
    if (!same_form(got, want)) {
        tensor_dims_text(got, a, sizeof a);
        tensor_dims_text(want, b, sizeof b);
        snprintf(why, size, ": got %s, want %s", a, b);
        return false;
    }
    int64_t n = 1;
    for (int i = 0; i < want->rank; i++) n *= want->dims[i]; /* fits: the tensor is in memory */
    for (int64_t i = 0; i < n; i++) {
        if (same_element(got, want, i)) continue;
        index_text(want, i, at, sizeof at);
        tensor_element_text(got, i, a, sizeof a);
        tensor_element_text(want, i, b, sizeof b);
        snprintf(why, size, " at %s: got %s, want %s", at, a, b);
        return false;
    }
    return true;
}

static double element_value(const Tensor *t, int64_t i) {
    return dtype_bits(t->dtype) < 8 || is_small_float(t->dtype) ? packed_code(t, i) : tensor_float(t, i);
}

bool compare_distance(const Tensor *got, const Tensor *want, Distance *d) {
    *d = (Distance){0};
    if (!same_form(got, want)) return false;
    int64_t n = 1;
    double difference = 0, norm = 0;
    for (int i = 0; i < want->rank; i++) n *= want->dims[i];
    for (int64_t i = 0; i < n; i++) {
        double g = element_value(got, i), w = element_value(want, i);
        if (g == w || (isnan(g) && isnan(w))) {
            if (isfinite(w)) norm += w * w;
            continue;
        }
        double e = isnan(g) || isnan(w) ? (double)INFINITY : fabs(g - w);
        if (e > d->max_abs) d->max_abs = e;
        difference += e * e;
        if (isfinite(w)) norm += w * w;
    }
    d->relative_l2 = difference == 0 ? 0 : norm > 0 ? sqrt(difference / norm) : sqrt(difference);
    return true;
}

double compare_tolerance(Dtype t) { return t == DT_F16 ? 2e-3 : t == DT_BF16 ? 2e-2 : 1e-4; }
