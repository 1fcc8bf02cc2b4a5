/* Tensors of a model: from raw bytes, typed numbers, an external file, or a sparse list. Every size is checked against
 * the dims before a byte is read. Bytes stay where they are in the mapped file if they are aligned; else they are
 * copied. */
#include <inttypes.h>
#include <string.h>
#include "frontend/reader.h"

enum { FLOAT_DATA = 4, INT32_DATA = 5, INT64_DATA = 7, RAW_DATA = 9, DOUBLE_DATA = 10, UINT64_DATA = 11, EXTERNAL = 1 };
enum { FORGET_MIN = 1 << 16 };

typedef struct Source {  /* where a tensor's elements are; one of them */
    uint32_t field;      /* 0: nowhere */
    const uint8_t *data; /* bytes as they are to be, or varints */
    size_t size, n;      /* n: elements of an array that protobuf-c made */
    bool mapped;         /* in a file, rather than in scratch memory */
    bool varints;
} Source;

typedef struct Load { /* one tensor being read, and its name for messages */
    Reader *r;
    Graph *g;
    const Pb__Tensor *p;
    const Node *at;
    const char *label;
    Tensor *t;
    int64_t elements;
} Load;

static bool fail(const Load *l, const char *why) {
    diag_error(l->r->ctx, l->at, "%s%s: %s", l->r->what, l->label, why);
    return false;
}

#define FAIL(l, ...) fail((l), arena_printf((l)->r->ctx->arena, __VA_ARGS__))

static size_t element_align(Dtype t) {
    int bits = dtype_bits(t);
    if (t == DT_C64 || t == DT_C128) bits /= 2;
    return bits >= 16 ? (size_t)bits / 8 : 1;
}

/* Bytes that the graph may keep: in the mapped file where they are, or a copy. */
static const void *keep_bytes(const Load *l, const uint8_t *p, bool mapped) {
    size_t n = l->t->bytes;
    bool copy = !mapped || (uintptr_t)p % element_align(l->t->dtype) || n == 0;
    if (l->t->dtype == DT_BOOL)
        for (size_t i = 0; i < n && !copy; i++) copy = p[i] > 1;
    if (!copy) return p;
    uint8_t *own = arena_alloc(l->g->arena, n + 1);
    if (n) memcpy(own, p, n);
    if (l->t->dtype == DT_BOOL)
        for (size_t i = 0; i < n; i++) own[i] = own[i] != 0;
    if (mapped && n >= FORGET_MIN) map_forget(p, n);
    return own;
}

static bool read_dims(Load *l, size_t n_dims, const int64_t *dims, int32_t dtype) {
    Tensor *t = l->t;
    if (dtype <= DT_NONE || dtype >= DT_COUNT) return FAIL(l, "data type %" PRId32 " is unknown", dtype);
    if (n_dims > MCC_MAX_RANK) return FAIL(l, "rank %zu is more than mcc handles, %d", n_dims, MCC_MAX_RANK);
    t->dtype = (Dtype)dtype;
    t->rank = (int)n_dims;
    for (int i = 0; i < t->rank; i++) {
        if (dims[i] < 0) return FAIL(l, "dim %d is %" PRId64 ", which is negative", i, dims[i]);
        if (dims[i] > MAX_DIM) return FAIL(l, "dim %d is %" PRId64 ", which is too large", i, dims[i]);
        t->dims[i] = dims[i];
    }
    if (!product_i64(t->dims, t->rank, &l->elements) || l->elements > PTRDIFF_MAX / 16 ||
        !dtype_bytes(t->dtype, l->elements, &t->bytes))
        return FAIL(l, "its dims are too large");
    return true;
}

static const char *dims_text(const Tensor *t, Ctx *ctx) {
    const char *s = arena_printf(ctx->arena, "%s[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++) s = arena_printf(ctx->arena, "%s%s%" PRId64, s, i ? "," : "", t->dims[i]);
    return arena_printf(ctx->arena, "%s]", s);
}

static bool parse_size(Str s, size_t *out) {
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || v > (UINT64_MAX - 9) / 10) return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = (size_t)v;
    return s.n > 0;
}

static bool find_external(Load *l, Source *out) {
    Str location = {0};
    size_t offset = 0, length = l->t->bytes;
    for (size_t i = 0; i < l->p->n_external_data; i++) {
        Str key = str_pb(l->p->external_data[i]->key), value = str_pb(l->p->external_data[i]->value);
        bool number = true;
        if (str_is(key, "location")) location = value;
        else if (str_is(key, "offset")) number = parse_size(value, &offset);
        else if (str_is(key, "length")) number = parse_size(value, &length);
        if (!number) return FAIL(l, "the %s of its external data is no number", diag_name(l->r->ctx, key));
    }
    if (length != l->t->bytes)
        return FAIL(l, "%s takes %zu bytes, its external data has %zu", dims_text(l->t, l->r->ctx), l->t->bytes,
                    length);
    const char *label = arena_printf(l->r->ctx->arena, "%s%s", l->r->what, l->label);
    const Mapped *m = map_external(l->r->ctx, l->r->path, location, label);
    if (!m) return false;
    if (offset > m->size || length > m->size - offset)
        return FAIL(l, "external data '%s' has %zu bytes, %zu from %zu on are asked for",
                    diag_name(l->r->ctx, location), m->size, length, offset);
    *out = (Source){.field = RAW_DATA, .data = m->data + offset, .size = length, .mapped = true};
    return true;
}

static int add_source(Source *out, Source s) {
    if (s.n == 0 && s.size == 0) return 0;
    *out = s;
    return 1;
}

static bool find_source(Load *l, Source *out) {
    const Pb__Tensor *p = l->p;
    int n = 0;
    *out = (Source){0};
    for (size_t i = 0; i < p->n_span; i++) {
        const Span *s = &l->r->spans[p->span[i]];
        bool varints = s->field == INT32_DATA || s->field == INT64_DATA || s->field == UINT64_DATA;
        n += add_source(out, (Source){s->field, s->data, s->size, 0, true, varints});
    }
    n += add_source(out, (Source){RAW_DATA, p->raw_data.data, p->raw_data.len, 0, false, false});
    n += add_source(out, (Source){FLOAT_DATA, (const void *)p->float_data, p->n_float_data * 4, 0, false, false});
    n += add_source(out, (Source){DOUBLE_DATA, (const void *)p->double_data, p->n_double_data * 8, 0, false, false});
    n += add_source(out, (Source){INT32_DATA, (const void *)p->int32_data, 0, p->n_int32_data, false, false});
    n += add_source(out, (Source){INT64_DATA, (const void *)p->int64_data, 0, p->n_int64_data, false, false});
    n += add_source(out, (Source){UINT64_DATA, (const void *)p->uint64_data, 0, p->n_uint64_data, false, false});
    if (p->data_location == EXTERNAL)
        return n ? fail(l, "it has data inside and outside of the file") : find_external(l, out);
    if (p->data_location) return FAIL(l, "data location %" PRId32 " is unknown", p->data_location);
    return n < 2 || fail(l, "its data is in more than one piece or field");
}

/* Which typed field holds a dtype's elements, by the standard. */
static uint32_t field_of(Dtype t) {
    switch (t) {
    case DT_F32:
    case DT_C64: return FLOAT_DATA;
    case DT_F64:
    case DT_C128: return DOUBLE_DATA;
    case DT_I64: return INT64_DATA;
    case DT_U32:
    case DT_U64: return UINT64_DATA;
    default: return INT32_DATA;
    }
}

/* Numbers as the standard stores them, to the bytes of the dtype. false: v does not fit. */
static bool put_number(uint8_t *out, Dtype t, int64_t v) {
    int bits = dtype_bits(t) < 8 ? 8 : dtype_bits(t);
    bool is_signed = dtype_class(t) == DTC_I && dtype_bits(t) >= 8;
    if (t == DT_BOOL) v = v != 0;
    if (bits < 64 && is_signed && (v < -((int64_t)1 << (bits - 1)) || v >= (int64_t)1 << (bits - 1))) return false;
    if (bits < 64 && !is_signed && (v < 0 || v >= (int64_t)1 << bits)) return false;
    memcpy(out, &v, (size_t)bits / 8);
    return true;
}

static bool next_number(Source *s, int64_t *v) {
    uint64_t u;
    if (!s->varints) {
        if (s->n == 0) return false;
        int32_t narrow;
        size_t size = s->field == INT32_DATA ? 4 : 8;
        memcpy(size == 4 ? (void *)&narrow : (void *)v, s->data, size);
        if (size == 4) *v = narrow;
        s->data += size;
        s->n--;
        return true;
    }
    const uint8_t *end = s->data + s->size, *at = s->data;
    if (!wire_varint(&at, end, &u)) return false;
    s->size -= (size_t)(at - s->data);
    s->data = at;
    *v = s->field == INT32_DATA ? (int32_t)(uint32_t)u : (int64_t)u;
    return true;
}

static bool read_numbers(Load *l, Source s) {
    Tensor *t = l->t;
    int64_t v = 0;
    size_t width = (size_t)(dtype_bits(t->dtype) < 8 ? 8 : dtype_bits(t->dtype)) / 8, n = t->bytes / width;
    if (s.varints ? s.size < n : s.n < n) /* before n is believed: a varint is one byte or more */
        return FAIL(l, "%s takes %zu numbers, fewer are there", dims_text(t, l->r->ctx), n);
    uint8_t *own = arena_alloc(l->g->arena, t->bytes + 1), *out = own;
    for (size_t i = 0; i < n; i++, out += width) {
        if (!next_number(&s, &v)) return FAIL(l, "%s takes %zu numbers, %zu are there", dims_text(t, l->r->ctx), n, i);
        if (!put_number(out, t->dtype, v))
            return FAIL(l, "number %zu is %" PRId64 ", out of the range of %s", i, v, dtype_name(t->dtype));
    }
    if (next_number(&s, &v)) return FAIL(l, "%s takes %zu numbers, more are there", dims_text(t, l->r->ctx), n);
    t->data = own;
    return true;
}

static bool read_strings(Load *l) {
    if ((int64_t)l->p->n_string_data != l->elements)
        return FAIL(l, "%s takes %" PRId64 " strings, %zu are there", dims_text(l->t, l->r->ctx), l->elements,
                    l->p->n_string_data);
    Str *own = ARENA_ARRAY(l->g->arena, l->elements + 1, Str);
    for (size_t i = 0; i < l->p->n_string_data; i++)
        own[i] = arena_str(l->g->arena, (const char *)l->p->string_data[i].data, l->p->string_data[i].len);
    l->t->data = own;
    l->t->bytes = (size_t)l->elements * sizeof(Str);
    return true;
}

static bool read_data(Load *l) {
    Source s;
    Tensor *t = l->t;
    if (l->p->segment) return fail(l, "tensors in segments are not supported");
    if (t->dtype == DT_STRING) return read_strings(l);
    if (!find_source(l, &s)) return false;
    if (s.field && s.field != RAW_DATA && s.field != field_of(t->dtype))
        return FAIL(l, "its numbers are not in the field that holds %s", dtype_name(t->dtype));
    if (s.field == INT32_DATA || s.field == INT64_DATA || s.field == UINT64_DATA) return read_numbers(l, s);
    if (s.size != t->bytes)
        return FAIL(l, "%s takes %zu bytes, %zu are there", dims_text(t, l->r->ctx), t->bytes, s.size);
    t->data = keep_bytes(l, s.data, s.mapped);
    return true;
}

const Tensor *tensor_read(Reader *r, Graph *g, const Pb__Tensor *p, const Node *at, const char *label) {
    Load l = {r, g, p, at, label, ARENA_NEW(g->arena, Tensor), 0};
    return read_dims(&l, p->n_dims, p->dims, p->data_type) && read_data(&l) ? l.t : NULL;
}

/* Where entry i lies in the dense tensor; false: an index is out of its dim. */
static bool sparse_offset(const Tensor *dense, const Tensor *indices, int64_t i, int64_t elements, int64_t *out) {
    if (indices->rank == 1) return *out = tensor_int(indices, i), *out >= 0 && *out < elements;
    int64_t at = 0; /* stays below `elements`, which did not overflow */
    for (int axis = 0; axis < dense->rank; axis++) {
        int64_t index = tensor_int(indices, i * dense->rank + axis);
        if (index < 0 || index >= dense->dims[axis]) return false;
        at = at * dense->dims[axis] + index;
    }
    return *out = at, true;
}

static bool scatter_sparse(const Load *l, const Tensor *values, const Tensor *indices) {
    int64_t at, before = -1;
    size_t width = (size_t)dtype_bits(values->dtype) / 8;
    for (int64_t i = 0; i < values->dims[0]; i++, before = at) {
        if (!sparse_offset(l->t, indices, i, l->elements, &at))
            return FAIL(l, "sparse index %" PRId64 " is out of range", i);
        if (at <= before) return FAIL(l, "sparse index %" PRId64 " is not above the one before", i);
        memcpy((char *)l->t->data + (size_t)at * width, (const char *)values->data + (size_t)i * width, width);
    }
    return true;
}

const Tensor *tensor_read_sparse(Reader *r, Graph *g, const Pb__SparseTensor *p, const Node *at, const char *label) {
    Tensor shape = {0};
    Load l = {r, g, NULL, at, label, &shape, 0};
    if (!p->values || !p->indices) return fail(&l, "a sparse tensor has no values or no indices"), NULL;
    const Tensor *values = tensor_read(r, g, p->values, at, label), *indices = tensor_read(r, g, p->indices, at, label);
    if (!values || !indices || !read_dims(&l, p->n_dims, p->dims, (int32_t)values->dtype)) return NULL;
    if (dtype_bits(values->dtype) < 8) return fail(&l, "sparse tensors of this type are not supported"), NULL;
    bool flat = indices->rank == 1, deep = indices->rank == 2 && indices->dims[1] == shape.rank;
    if (values->rank != 1 || indices->dtype != DT_I64 || !(flat || deep) || indices->dims[0] != values->dims[0])
        return fail(&l, "values and indices of a sparse tensor do not fit each other"), NULL;
    l.t = tensor_new(g, values->dtype, shape.rank, shape.dims);
    return l.t && scatter_sparse(&l, values, indices) ? l.t : NULL;
}
