/* What the reference kernels share: index arithmetic over dims, walks over strided tensors, sums in fixed lanes, and
 * dispatch from a dtype to the copy of a template made for it (for_*.h).
 *
 * Everything here is written so that constant dims fold: loops over the rank have fixed bounds and are unrolled, and
 * arrays of dims are indexed by constants only. Tensors never overlap. */
#ifndef MCC_KERNELS_COMMON_H
#define MCC_KERNELS_COMMON_H
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/builtins/builtins.h"
#include "runtime/kernels/ref.h"

#ifdef MCC_BITCODE
#define UNROLL _Pragma("clang loop unroll(full)")    /* over ranks: or the arrays of dims stay in memory */
#define ROLLED _Pragma("clang loop unroll(disable)") /* over lanes: left to the loop vectoriser */
#else
#define UNROLL
#define ROLLED
#endif

typedef ptrdiff_t idx;
enum {
    RANK = MCC_MAX_RANK,
    LANES = 16, /* partial sums of a reduction along the inner loop */
    BLOCK = 64  /* outputs that accumulate side by side in the other loops */
};

static inline idx idx_min(idx a, idx b) { return a < b ? a : b; }
static inline idx idx_max(idx a, idx b) { return a > b ? a : b; }
static inline idx idx_clamp(idx v, idx lo, idx hi) { return v < lo ? lo : v > hi ? hi : v; }
static inline idx div_up(idx a, idx b) { return (a + b - 1) / b; } /* a ≥ 0, b > 0 */

/* ---- arguments ---- */

/* Input or output i, or NULL where it was left out. */
static inline const mcc_arg *input(const mcc_arg *a, const mcc_attr *at, int i) {
    return i < at->args.n_in && a[i].dtype ? &a[i] : NULL;
}
static inline const mcc_arg *output(const mcc_arg *a, const mcc_attr *at, int i) {
    return i < at->args.n_out && a[at->args.n_in + i].dtype ? &a[at->args.n_in + i] : NULL;
}

static inline idx dim(const mcc_arg *a, int axis) { return (idx)a->dims[axis]; }

/* The product of dims from … to-1: unsigned, for a tensor of no elements may have dims whose product is no idx. */
static inline idx dims_product(const mcc_arg *a, int from, int to) {
    size_t n = 1;
    UNROLL for (int i = 0; i < RANK; i++) if (i >= from && i < to) n *= (size_t)a->dims[i];
    return (idx)n;
}
static inline idx elements(const mcc_arg *a) { return dims_product(a, 0, a->rank); }
static inline idx stride_of(const mcc_arg *a, int axis) { return dims_product(a, axis + 1, a->rank); }

static inline bool same_dims(const mcc_arg *a, const int64_t *dims) {
    bool same = true;
    UNROLL for (int i = 0; i < RANK; i++) same = same && (i >= a->rank || a->dims[i] == dims[i]);
    return same;
}
static inline void write_dims(mcc_arg *a, const int64_t *dims) {
    UNROLL for (int i = 0; i < RANK; i++) if (i < a->rank) a->dims[i] = dims[i];
}

/* ---- values that are indices and sizes: never trusted ---- */

static inline int64_t read_int(const mcc_arg *a, idx i) {
    return a->dtype == MCC_I32 ? ((const int32_t *)a->data)[i] : ((const int64_t *)a->data)[i];
}

/* Makes a negative index count from the end; false if it is not in [-n, n). */
static inline bool index_wrap(int64_t *i, int64_t n) {
    if (*i < -n || *i >= n) return false;
    *i += *i < 0 ? n : 0;
    return true;
}

/* *product *= factor; false if the factor is negative or the product is no int64. */
static inline bool size_mul(int64_t *product, int64_t factor) {
    if (factor < 0 || (factor > 0 && *product > mcc_div_i64(INT64_MAX, factor))) return false;
    *product *= factor;
    return true;
}
static inline bool size_add(int64_t *sum, int64_t term) {
    if (term > 0 ? *sum > INT64_MAX - term : *sum < INT64_MIN - term) return false;
    *sum += term;
    return true;
}
/* Are these the dims of a tensor whose elements an int64 can count? */
static inline bool dims_valid(const int64_t *dims, int rank) {
    int64_t n = 1;
    bool empty = false, valid = true;
    UNROLL for (int i = 0; i < RANK; i++) if (i < rank && dims[i] == 0) empty = true;
    UNROLL for (int i = 0; i < RANK; i++) if (i < rank) valid =
        valid && dims[i] >= 0 && (empty || size_mul(&n, dims[i]));
    return valid;
}

/* Where the n values of a tensor (NULL: 0, 1, … n-1) name each axis of `rank`: at[axis], or -1. False if they name one
 * that does not exist, or one twice. */
static inline bool axes_find(const mcc_arg *axes, int64_t n, int rank, int *at) {
    bool valid = n <= rank;
    UNROLL for (int k = 0; k < RANK; k++) at[k] = -1;
    UNROLL for (int i = 0; i < RANK; i++) if (i < n) {
        int64_t axis = axes ? read_int(axes, i) : i;
        valid = valid && index_wrap(&axis, rank);
        UNROLL for (int k = 0; k < RANK; k++) if (valid && k == axis) {
            valid = at[k] < 0;
            at[k] = i;
        }
    }
    return valid;
}

/* A list of one may be a number. */
static inline int64_t axes_count(const mcc_arg *axes) { return axes->rank ? axes->dims[0] : 1; }

/* The same as a set of bits. */
static inline bool axes_set(const mcc_arg *axes, int rank, unsigned *set) {
    int at[RANK];
    const bool valid = axes_find(axes, axes_count(axes), rank, at);
    *set = 0;
    UNROLL for (int k = 0; k < RANK; k++) *set |= (at[k] >= 0 ? 1u : 0u) << k;
    return valid;
}

/* ---- walks ---- */

/* The next index in row-major order over the first `slots` of n. */
static inline void advance(idx *i, const idx *n, int slots) {
    bool carry = true;
    UNROLL for (int k = RANK - 1; k >= 0; k--) if (k < slots && carry) {
        carry = ++i[k] == n[k];
        if (carry) i[k] = 0;
    }
}
static inline idx offset(const idx *i, const idx *stride, int slots) {
    idx at = 0;
    UNROLL for (int k = 0; k < RANK; k++) if (k < slots) at += i[k] * stride[k];
    return at;
}
static inline idx count(const idx *n, int slots) {
    idx total = 1;
    UNROLL for (int k = 0; k < RANK; k++) if (k < slots) total *= n[k];
    return total;
}

/* RANK slots of lengths and strides, ones before the rank of the tensor. */
typedef struct walk {
    idx n[RANK], stride[RANK];
} walk;

static inline void walk_clear(walk *w) {
    UNROLL for (int k = 0; k < RANK; k++) {
        w->n[k] = 1;
        w->stride[k] = 0;
    }
}

/* Joins neighbouring slots that make one run and moves the others inward: the last slot becomes as long as it can. */
static inline void walk_merge(walk *w) {
    UNROLL for (int k = 0; k + 1 < RANK; k++) {
        if (w->n[k] == 1) continue;
        if (w->n[k + 1] == 1) {
            w->n[k + 1] = w->n[k];
            w->stride[k + 1] = w->stride[k];
        } else if (w->stride[k] == w->n[k + 1] * w->stride[k + 1]) {
            w->n[k + 1] *= w->n[k];
        } else continue;
        w->n[k] = 1;
    }
}

/* Walks `to` (broadcast to rank RANK on the left) reading `a`, whose dims broadcast to those of `to`. */
static inline void walk_broadcast(walk *w, const mcc_arg *a, const mcc_arg *to) {
    walk_clear(w);
    UNROLL for (int k = 0; k < RANK; k++) {
        int axis = k - (RANK - to->rank), own = axis - (to->rank - a->rank);
        if (axis >= 0) w->n[k] = dim(to, axis);
        if (axis >= 0 && own >= 0 && dim(a, own) != 1) w->stride[k] = stride_of(a, own);
    }
}

/* ---- reductions along the inner loop: LANES partial results, so that scalar and vector code have one order ---- */

/* In templates. A NaN is the largest and the smallest value: it stays. */
#define MAX_OF(a, b) ((b) > (a) || IS_NAN(b) ? (b) : (a))
#define MIN_OF(a, b) ((b) < (a) || IS_NAN(b) ? (b) : (a))
/* LANES_ADD folds expression e, in which J runs over 0 … n-1; LANES_END leaves the result in s[0]. */
#define LANES_BEGIN(s, init)                                                                                           \
    do {                                                                                                               \
        for (idx l_ = 0; l_ < LANES; l_++) (s)[l_] = (init);                                                           \
    } while (0)
#define LANES_ADD(s, n, op, e)                                                                                         \
    do {                                                                                                               \
        idx j_ = 0;                                                                                                    \
        for (; j_ + LANES <= (n); j_ += LANES) ROLLED for (idx l_ = 0; l_ < LANES; l_++) {                             \
                const idx J = j_ + l_;                                                                                 \
                (s)[l_] = op((s)[l_], e);                                                                              \
            }                                                                                                          \
        for (idx l_ = 0; j_ + l_ < (n); l_++) {                                                                        \
            const idx J = j_ + l_;                                                                                     \
            (s)[l_] = op((s)[l_], e);                                                                                  \
        }                                                                                                              \
    } while (0)
#define LANES_END(s, op)                                                                                               \
    do {                                                                                                               \
        for (idx w_ = LANES / 2; w_; w_ /= 2)                                                                          \
            for (idx l_ = 0; l_ < w_; l_++) (s)[l_] = op((s)[l_], (s)[l_ + w_]);                                       \
    } while (0)
#define LANES_FOLD(s, n, init, op, e)                                                                                  \
    do {                                                                                                               \
        LANES_BEGIN(s, init);                                                                                          \
        LANES_ADD(s, n, op, e);                                                                                        \
        LANES_END(s, op);                                                                                              \
    } while (0)

/* ---- dispatch: each ends the kernel ---- */

/* clang-format off */
#define CASE_(dtype, fn, suffix, ...) case dtype: fn##_##suffix(__VA_ARGS__); return MCC_OK;
#define CASES_FLOAT_(fn, ...) \
    CASE_(MCC_F32, fn, f32, __VA_ARGS__) CASE_(MCC_F64, fn, f64, __VA_ARGS__) \
    CASE_(MCC_F16, fn, f16, __VA_ARGS__) CASE_(MCC_BF16, fn, bf16, __VA_ARGS__)
#define CASES_INT_(fn, ...) \
    CASE_(MCC_I8, fn, i8, __VA_ARGS__) CASE_(MCC_I16, fn, i16, __VA_ARGS__) \
    CASE_(MCC_I32, fn, i32, __VA_ARGS__) CASE_(MCC_I64, fn, i64, __VA_ARGS__) \
    CASE_(MCC_U8, fn, u8, __VA_ARGS__) CASE_(MCC_U16, fn, u16, __VA_ARGS__) \
    CASE_(MCC_U32, fn, u32, __VA_ARGS__) CASE_(MCC_U64, fn, u64, __VA_ARGS__) CASE_(MCC_BOOL, fn, u8, __VA_ARGS__)
#define CASES_SIZE_(fn, ...) \
    CASE_(1, fn, b8, __VA_ARGS__) CASE_(2, fn, b16, __VA_ARGS__) \
    CASE_(4, fn, b32, __VA_ARGS__) CASE_(8, fn, b64, __VA_ARGS__)
#define SWITCH_(value, cases) switch (value) { cases default: return MCC_E_DTYPE; }
#define DISPATCH_FLOATS(type, fn, ...) SWITCH_(type, CASES_FLOAT_(fn, __VA_ARGS__))
#define DISPATCH_NUMBERS(type, fn, ...) SWITCH_(type, CASES_FLOAT_(fn, __VA_ARGS__) CASES_INT_(fn, __VA_ARGS__))
#define DISPATCH_REAL(type, fn, ...) SWITCH_(type, CASES_FLOAT_(fn, __VA_ARGS__) CASES_INT_(fn##_real, __VA_ARGS__))
#define DISPATCH_SIZES(type, fn, ...) SWITCH_(element_bytes(type), CASES_SIZE_(fn, __VA_ARGS__))
/* clang-format on */

static inline int element_bytes(int32_t dtype) {
    switch (dtype) {
    case MCC_U8:
    case MCC_I8:
    case MCC_F8E4M3FN:
    case MCC_F8E4M3FNUZ:
    case MCC_F8E5M2:
    case MCC_F8E5M2FNUZ:
    case MCC_F8E8M0:
    case MCC_BOOL: return 1;
    case MCC_U16:
    case MCC_I16:
    case MCC_F16:
    case MCC_BF16: return 2;
    case MCC_F32:
    case MCC_I32:
    case MCC_U32: return 4;
    case MCC_F64:
    case MCC_I64:
    case MCC_U64: return 8;
    default: return 0;
    }
}
#endif
