/* Seeded random tensors: floats in [-1, 1), small integers (they may be indices), any byte. The same on every host. */
#include "driver/call.h"
#include <string.h>

/* splitmix64 (Steele, Lea, Flood 2014) */
uint64_t random_bits(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static float unit_float(uint64_t bits) { return (float)(bits >> 40) * 0x1p-23f - 1.0f; }

static uint64_t element_bits(Dtype t, uint64_t bits) {
    float f = unit_float(bits);
    double d = (double)(bits >> 11) * 0x1p-52 - 1.0;
    uint32_t w32;
    uint64_t w64;
    memcpy(&w32, &f, 4);
    memcpy(&w64, &d, 8);
    switch (t) {
    case DT_F32: return w32;
    case DT_F64: return w64;
    case DT_BF16: return w32 >> 16;
    case DT_F16: return (bits & 0x8000) | (10 + (bits >> 16) % 5) << 10 | (bits & 0x3ff); /* 2^-5 <= |x| < 1 */
    case DT_BOOL: return bits >> 63;
    case DT_I16:
    case DT_U16:
    case DT_I32:
    case DT_U32:
    case DT_I64:
    case DT_U64: return (bits >> 33) % 8;
    default: return bits >> 56;
    }
}

Tensor *random_tensor(Arena *a, Dtype t, int rank, const int64_t *dims, uint64_t *state) {
    Tensor *out = ARENA_NEW(a, Tensor);
    int64_t n;
    *out = (Tensor){.dtype = t, .rank = rank};
    if (rank) memcpy(out->dims, dims, sizeof *dims * (size_t)rank);
    if (!product_i64(out->dims, rank, &n) || !dtype_bytes(t, n, &out->bytes)) return NULL;
    char *data = arena_alloc(a, out->bytes ? out->bytes : 1);
    size_t size = dtype_bits(t) < 8 ? 1 : (size_t)dtype_bits(t) / 8;
    for (size_t at = 0; at < out->bytes; at += size) {
        uint64_t w = element_bits(t, random_bits(state));
        memcpy(data + at, &w, size); /* little-endian, as everywhere in mcc */
    }
    out->data = data;
    return out;
}
