/* mcc.Ngrams, what TfIdfVectorizer becomes: how often each of a pool of n-grams occurs in every row of X, weighted. The
 * elements of an n-gram stand 1 … skip + 1 apart; those of one element are counted once. Inputs: X, [n] or [rows, n];
 * grams, those of each length in ascending order, the shorter ones first; first, where those of each length begin among
 * all numbers; columns, of each n-gram; weights of the columns, maybe none. */
#include "runtime/kernels/number.h"

enum { NGRAMS_TF, NGRAMS_IDF, NGRAMS_TFIDF };

typedef struct ngram_pool {
    const int64_t *grams, *columns; /* of one length */
    idx many, length;
} ngram_pool;

/* < 0, 0, > 0: n-gram `at` of the pool before, equal to, behind the one in x, whose elements are `apart` */
static inline int ngram_order(const ngram_pool *p, idx at, const mcc_arg *x, idx first, idx apart) {
    for (idx i = 0; i < p->length; i++) {
        const int64_t a = p->grams[at * p->length + i], b = read_int(x, first + i * apart);
        if (a != b) return a < b ? -1 : 1;
    }
    return 0;
}

/* The column of the n-gram at x[first], or -1. */
static inline int64_t ngram_find(const ngram_pool *p, const mcc_arg *x, idx first, idx apart) {
    idx lo = 0, hi = p->many;
    while (lo < hi) {
        const idx middle = lo + (hi - lo) / 2;
        const int order = ngram_order(p, middle, x, first, apart);
        if (order == 0) return p->columns[middle];
        if (order < 0) lo = middle + 1;
        else hi = middle;
    }
    return -1;
}

static inline void ngram_count(float *restrict y, const ngram_pool *p, const mcc_arg *x, idx begin, idx n,
                               int64_t skip) {
    const int64_t most = p->length == 1 ? 1 : skip < n ? skip + 1 : n;
    for (idx apart = 1; apart <= most; apart++)
        for (idx i = 0; (n - 1 - i) / apart >= p->length - 1 && i < n; i++) {
            const int64_t column = ngram_find(p, x, begin + i, apart);
            if (column >= 0) y[column] += 1;
        }
}

int ref_Ngrams(const mcc_arg *a, const mcc_attr *at) {
    const attrs_Ngrams *how = (const attrs_Ngrams *)at;
    const mcc_arg *x = &a[0], *weights = input(a, at, 4), *y = output(a, at, 0);
    const idx rows = x->rank < 2 ? 1 : dim(x, 0), n = x->rank ? dim(x, x->rank - 1) : 1, cols = dim(y, y->rank - 1);
    const int64_t *first = a[2].data, *columns = a[3].data;
    float *to = y->data;
    for (idx r = 0; r < rows; r++, to += cols) {
        idx before = 0; /* n-grams that are shorter */
        for (idx c = 0; c < cols; c++) to[c] = 0;
        for (idx k = 0; k + 1 < dim(&a[2], 0); k++) {
            const idx length = (idx)how->min_gram_length + k, many = (idx)(first[k + 1] - first[k]) / length;
            const ngram_pool p = {(const int64_t *)a[1].data + first[k], columns + before, many, length};
            ngram_count(to, &p, x, r * n, n, how->max_skip_count);
            before += many;
        }
        for (idx c = 0; c < cols; c++) {
            const float by = weights ? ((const float *)weights->data)[c] : 1;
            if (how->mode == NGRAMS_IDF) to[c] = to[c] > 0 ? by : 0;
            if (how->mode == NGRAMS_TFIDF) to[c] *= by;
        }
    }
    return MCC_OK;
}
