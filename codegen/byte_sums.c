/* What QuantizeLinear divides behind the Add of two bytes that were dequantized is one of 65536 numbers. So it can be
 * tried, at compile time, whether multiplying by a number near 1 / scale rounds all of them to the same integers: one
 * operation in place of a division, or of the three that make up for one. */
#include <math.h>
#include "codegen/contract.h"

enum { BYTES = 256 };

static bool is_byte(Dtype t) { return t == DT_U8 || t == DT_I8; }

static bool read_single(const Value *v, double *out) {
    int64_t n;
    if (!v || !v->constant || !product_i64(v->constant->dims, v->constant->rank, &n) || n != 1) return false;
    *out = v->constant->dtype == DT_F32 ? tensor_float(v->constant, 0) : (double)tensor_int(v->constant, 0);
    return true;
}

/* what each byte stands for */
static bool read_numbers(const Value *v, float numbers[BYTES]) {
    const Node *n = v->def;
    double scale, zero = 0;
    if (!n || n->op != OP_DequantizeLinear || !is_byte(n->in[0]->type.dtype) || v->type.dtype != DT_F32) return false;
    if (!read_single(n->in[1], &scale) || (n->n_in > 2 && n->in[2] && !read_single(n->in[2], &zero))) return false;
    if (n->in[1]->constant->dtype != DT_F32 || !(fabs(scale) < 1e30)) return false;
    int least = n->in[0]->type.dtype == DT_U8 ? 0 : -BYTES / 2;
    for (int i = 0; i < BYTES; i++) numbers[i] = (float)(least + i - (int)zero) * (float)scale;
    return true;
}

typedef struct ByteSums {
    float a[BYTES], b[BYTES];
    bool relu;
    float least, most; /* integers that are told apart */
} ByteSums;

static float rounded(const ByteSums *s, float x) {
    const float magic = 12582912; /* 1.5 · 2²³ */
    x = x < s->least ? s->least : x > s->most ? s->most : x;
    return x + magic - magic;
}

static bool rounds_alike(const ByteSums *s, float scale, float multiplier) {
    for (int i = 0; i < BYTES; i++) {
        int differ = 0;
        for (int j = 0; j < BYTES; j++) {
            float v = s->a[i] + s->b[j];
            v = s->relu && v < 0 ? 0 : v;
            differ += rounded(s, v / scale) != rounded(s, v * multiplier);
        }
        if (differ) return false;
    }
    return true;
}

static bool read_sums(const Node *n, ByteSums *s) {
    const Node *of = n->in[0]->def;
    double zero = 0;
    if (of && of->op == OP_Relu) s->relu = true, of = of->in[0]->def;
    if (!of || of->op != OP_Add || !is_byte(n->out[0]->type.dtype)) return false;
    if (n->n_in > 2 && n->in[2] && !read_single(n->in[2], &zero)) return false;
    if (!read_numbers(of->in[0], s->a) || !read_numbers(of->in[1], s->b)) return false;
    float least = n->out[0]->type.dtype == DT_U8 ? 0 : -BYTES / 2;
    s->least = least - (float)zero;
    s->most = least + BYTES - 1 - (float)zero;
    return true;
}

float byte_sum_multiplier(const Node *n) {
    enum { TRIES = 24 };
    ByteSums s = {.relu = false};
    double scale;
    if (!read_single(n->in[1], &scale) || !(scale > 1e-30 && scale < 1e30) || !read_sums(n, &s)) return 0;
    float up = 1 / (float)scale, down = up;
    for (int i = 0; i < TRIES; i++) {
        if (rounds_alike(&s, (float)scale, up)) return up;
        up = nextafterf(up, INFINITY);
        down = nextafterf(down, 0);
        if (rounds_alike(&s, (float)scale, down)) return down;
    }
    return 0;
}
