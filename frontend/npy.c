/* NumPy's file format (numpy.lib.format, versions 1 to 3): a magic, a header that is a Python dictionary of three
 * entries, the elements. Nothing in the file is trusted: the header's length, the shape and the file's size must agree
 * before anything is allocated. */
#include "frontend/npy.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LONGEST_HEADER = 65536 };

typedef struct Header {
    char kind;    /* of the descr: f i u b c V */
    bool swapped; /* big-endian */
    int size;     /* bytes an element */
    bool fortran;
    int rank;
    int64_t dims[MCC_MAX_RANK];
} Header;

static void skip_space(const char **p) {
    while (**p == ' ' || **p == '\t' || **p == '\n' || **p == '\r') ++*p;
}

static bool take(const char **p, char c) {
    skip_space(p);
    if (**p != c) return false;
    ++*p;
    return true;
}

/* A quoted string without escapes. */
static bool take_string(const char **p, char *out, size_t size) {
    skip_space(p);
    char quote = **p;
    if (quote != '\'' && quote != '"') return false;
    size_t n = 0;
    for (++*p; **p && **p != quote && **p != '\\'; ++*p) {
        if (n + 1 >= size) return false;
        out[n++] = **p;
    }
    out[n] = 0;
    return take(p, quote);
}

static bool take_word(const char **p, const char *word) {
    skip_space(p);
    size_t n = strlen(word);
    if (strncmp(*p, word, n) != 0) return false;
    *p += n;
    return true;
}

static bool take_descr(const char **p, Header *h) {
    char text[32], *end;
    if (!take_string(p, text, sizeof text)) return false;
    const char *at = text;
    h->swapped = *at == '>';
    if (*at && strchr("<>|=", *at)) at++;
    if (!*at || !strchr("fiubcV", *at)) return false;
    h->kind = *at++;
    long size = strtol(at, &end, 10);
    if (*at < '1' || *at > '9' || *end || size > 16) return false;
    h->size = (int)size;
    return true;
}

static bool take_shape(const char **p, Header *h) {
    if (!take(p, '(')) return false;
    while (!take(p, ')')) {
        char *end;
        skip_space(p);
        if (**p < '0' || **p > '9' || h->rank == MCC_MAX_RANK) return false;
        errno = 0;
        long long v = strtoll(*p, &end, 10);
        if (errno) return false;
        *p = end + (*end == 'L'); /* Python 2 wrote 3L */
        h->dims[h->rank++] = v;
        if (!take(p, ',')) return take(p, ')');
    }
    return true;
}

static bool parse(const char *p, Header *h) {
    bool descr = false, order = false, shape = false;
    if (!take(&p, '{')) return false;
    while (!take(&p, '}')) {
        char key[16];
        if (!take_string(&p, key, sizeof key) || !take(&p, ':')) return false;
        if (!strcmp(key, "descr") && !descr) descr = take_descr(&p, h);
        else if (!strcmp(key, "fortran_order") && !order)
            order = (h->fortran = take_word(&p, "True")) || take_word(&p, "False");
        else if (!strcmp(key, "shape") && !shape) shape = take_shape(&p, h);
        else return false;
        if (take(&p, ',')) continue;
        if (!take(&p, '}')) return false;
        break;
    }
    skip_space(&p);
    return descr && order && shape && !*p;
}

static Dtype dtype_of(const Header *h) {
    static const struct {
        char kind;
        int size;
        Dtype dtype;
    } rows[] = {{'f', 2, DT_F16}, {'f', 4, DT_F32},   {'f', 8, DT_F64}, {'i', 1, DT_I8},
                {'i', 2, DT_I16}, {'i', 4, DT_I32},   {'i', 8, DT_I64}, {'u', 1, DT_U8},
                {'u', 2, DT_U16}, {'u', 4, DT_U32},   {'u', 8, DT_U64}, {'b', 1, DT_BOOL},
                {'c', 8, DT_C64}, {'c', 16, DT_C128}, {'V', 1, DT_U8},  {'V', 2, DT_BF16}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].kind == h->kind && rows[i].size == h->size) return rows[i].dtype;
    return DT_NONE;
}

static void swap_bytes(unsigned char *p, size_t bytes, size_t unit) {
    for (size_t at = 0; at + unit <= bytes; at += unit)
        for (size_t i = 0; i < unit / 2; i++) {
            unsigned char c = p[at + i];
            p[at + i] = p[at + unit - 1 - i];
            p[at + unit - 1 - i] = c;
        }
}

/* Element (i0, i1, …) of a column-major array stands at i0 + d0·(i1 + d1·(…)). */
static void *row_major(Arena *a, const Tensor *t, size_t size) {
    char *out = arena_alloc(a, t->bytes ? t->bytes : 1);
    int64_t index[MCC_MAX_RANK] = {0};
    for (size_t at = 0; at < t->bytes; at += size) {
        size_t from = 0;
        for (int i = t->rank - 1; i >= 0; i--) from = from * (size_t)t->dims[i] + (size_t)index[i];
        memcpy(out + at, (const char *)t->data + from * size, size);
        for (int i = t->rank - 1; i >= 0 && ++index[i] == t->dims[i]; i--) index[i] = 0;
    }
    return out;
}

/* The magic and the header; the file stands at the elements after it. */
static const char *read_header(Arena *a, FILE *f, Header *h) {
    unsigned char start[12];
    if (fread(start, 1, 10, f) != 10 || memcmp(start, "\x93NUMPY", 6) != 0) return "it is not a .npy file";
    size_t length = start[8] | (size_t)start[9] << 8;
    if (start[6] < 1 || start[6] > 3) return "its .npy version is not known";
    if (start[6] > 1) {
        if (fread(start + 10, 1, 2, f) != 2) return "its header ends early";
        length |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    }
    if (length > LONGEST_HEADER) return "its header is too long";
    char *text = arena_alloc(a, length + 1);
    if (fread(text, 1, length, f) != length) return "its header ends early";
    if (strlen(text) != length || !parse(text, h))
        return "its header is not that of a plain array of at most 8 dimensions";
    return NULL;
}

const char *npy_open(Arena *a, FILE *f, size_t limit, NpyArray *n) {
    Header h = {0};
    long begin = ftell(f);
    const char *why = read_header(a, f, &h);
    if (why) return why;
    long at = ftell(f);
    Tensor *t = &n->shape;
    *n = (NpyArray){.file = f, .at = at, .item = (size_t)h.size, .fortran = h.fortran && h.rank > 1};
    n->swap = !h.swapped ? 0 : h.kind == 'c' ? n->item / 2 : n->item;
    *t = (Tensor){.dtype = dtype_of(&h), .rank = h.rank};
    memcpy(t->dims, h.dims, sizeof h.dims);
    int64_t elements;
    if (t->dtype == DT_NONE) return "mcc has no such element type";
    if (!product_i64(t->dims, t->rank, &elements) || !dtype_bytes(t->dtype, elements, &t->bytes))
        return "its shape is too large";
    if (begin < 0 || at < begin || (size_t)(at - begin) > limit || t->bytes > limit - (size_t)(at - begin))
        return "it is shorter than its shape says";
    return NULL;
}

/* bytes of the array from `from` on, in the file's order of elements */
static const char *read_bytes(const NpyArray *n, unsigned char *to, size_t from, size_t bytes) {
    if (fseek(n->file, n->at + (long)from, SEEK_SET) || fread(to, 1, bytes, n->file) != bytes)
        return "it cannot be read";
    if (n->swap) swap_bytes(to, bytes, n->swap);
    for (size_t i = 0; i < bytes && n->shape.dtype == DT_BOOL; i++) to[i] = to[i] != 0;
    return NULL;
}

Tensor *npy_rows(Arena *a, const NpyArray *n, int64_t first, int64_t count, const char **why) {
    Tensor *t = ARENA_NEW(a, Tensor);
    *t = n->shape;
    bool whole = n->fortran || t->rank == 0 || t->dims[0] == 0;
    size_t row = whole ? 0 : t->bytes / (size_t)t->dims[0], skip = row * (size_t)first;
    if (t->rank > 0) t->dims[0] = count;
    size_t bytes = whole ? t->bytes : row * (size_t)count;
    unsigned char *data = arena_alloc(a, bytes + 1);
    if ((*why = read_bytes(n, data, whole ? 0 : skip, bytes))) return NULL;
    t->data = data;
    t->bytes = bytes;
    if (!n->fortran) return t;
    Tensor all = n->shape;
    all.data = data;
    row = all.dims[0] ? all.bytes / (size_t)all.dims[0] : 0;
    t->data = (const char *)row_major(a, &all, n->item) + row * (size_t)first;
    t->bytes = row * (size_t)count;
    return t;
}

static const char *read_array(Arena *a, FILE *f, Tensor **t) {
    NpyArray n;
    struct stat st;
    if (fstat(fileno(f), &st) || !S_ISREG(st.st_mode)) return "it is not a regular file";
    const char *why = npy_open(a, f, (size_t)st.st_size, &n);
    if (!why) *t = npy_rows(a, &n, 0, n.shape.rank ? n.shape.dims[0] : 1, &why);
    return why;
}

Tensor *npy_read(Graph *g, const char *path, const char **why) {
    Tensor *t = NULL;
    FILE *f = fopen(path, "rb");
    *why = f ? read_array(g->arena, f, &t) : strerror(errno);
    if (f) fclose(f);
    return *why ? NULL : t;
}

static bool is_signed_packed(Dtype t) { return t == DT_I4 || t == DT_I2; }

const Tensor *npy_as(Graph *g, const Tensor *t, Dtype want) {
    int bits = dtype_bits(want);
    if (t->dtype == want) return t;
    bool same_bits =
        (t->dtype == DT_U16 && want == DT_BF16) || (t->dtype == DT_U8 && bits == 8 && dtype_class(want) == DTC_SMALL);
    bool packs = bits > 0 && bits < 8 && (t->dtype == DT_U8 || (t->dtype == DT_I8 && is_signed_packed(want)));
    if (!same_bits && !packs) return NULL;
    Tensor *out = ARENA_NEW(g->arena, Tensor);
    *out = *t;
    out->dtype = want;
    if (same_bits) return out;
    int each = 8 / bits;
    out->bytes = t->bytes / (size_t)each + (t->bytes % (size_t)each != 0);
    unsigned char *data = arena_alloc(g->arena, out->bytes ? out->bytes : 1);
    for (size_t i = 0; i < t->bytes; i++) {
        unsigned code = ((const unsigned char *)t->data)[i] & ((1u << bits) - 1);
        data[i / (size_t)each] |= (unsigned char)(code << (i % (size_t)each * (size_t)bits));
    }
    out->data = data;
    return out;
}

static const char *descr_of(Dtype t) {
    switch (t) {
    case DT_F16: return "<f2";
    case DT_F32: return "<f4";
    case DT_F64: return "<f8";
    case DT_I8:
    case DT_I4:
    case DT_I2: return "|i1";
    case DT_I16: return "<i2";
    case DT_I32: return "<i4";
    case DT_I64: return "<i8";
    case DT_U8:
    case DT_U4:
    case DT_U2: return "|u1";
    case DT_U16: return "<u2";
    case DT_U32: return "<u4";
    case DT_U64: return "<u8";
    case DT_BOOL: return "|b1";
    case DT_BF16: return "<V2";
    case DT_C64: return "<c8";
    case DT_C128: return "<c16";
    case DT_F8E4M3FN:
    case DT_F8E4M3FNUZ:
    case DT_F8E5M2:
    case DT_F8E5M2FNUZ:
    case DT_F8E8M0:
    case DT_F4E2M1: return "|V1";
    default: return NULL;
    }
}

static void write_packed(FILE *out, const Tensor *t, int64_t elements) {
    int bits = dtype_bits(t->dtype), each = 8 / bits, sign = is_signed_packed(t->dtype) ? 1 << (bits - 1) : 0;
    for (int64_t i = 0; i < elements; i++) {
        int byte = ((const unsigned char *)t->data)[i / each];
        int code = byte >> ((int)(i % each) * bits) & ((1 << bits) - 1);
        putc((code ^ sign) - sign, out); /* extends the sign */
    }
}

bool npy_write(FILE *out, const Tensor *t) {
    enum { PREFIX = 10, UNIT = 64 };
    char text[512];
    const char *descr = descr_of(t->dtype);
    int64_t elements;
    if (!descr || !product_i64(t->dims, t->rank, &elements)) return false;
    int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < t->rank; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%lld%s", (long long)t->dims[i],
                      t->rank == 1      ? ","
                      : i + 1 < t->rank ? ", "
                                        : "");
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    while ((PREFIX + n + 1) % UNIT != 0) text[n++] = ' ';
    text[n++] = '\n';
    fwrite("\x93NUMPY\x01\0", 1, 8, out);
    putc(n & 255, out);
    putc(n >> 8, out);
    fwrite(text, 1, (size_t)n, out);
    if (dtype_bits(t->dtype) < 8) write_packed(out, t, elements);
    else if (t->bytes) fwrite(t->data, 1, t->bytes, out);
    return true;
}
