/* Arithmetic on sizes that came from a model. */
#include "ir/ir.h"

bool add_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_add_overflow(a, b, out); }
bool sub_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_sub_overflow(a, b, out); }
bool mul_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }
bool mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }

bool product_i64(const int64_t *dims, int n, int64_t *out) {
    int64_t p = 1;
    bool fits = true, zero = false;
    for (int i = 0; i < n; i++) {
        if (dims[i] < 0) return false;
        if (dims[i] == 0) zero = true;
        else fits = fits && mul_i64(p, dims[i], &p);
    }
    *out = zero ? 0 : p;
    return zero || fits;
}
