/* Element types: one row each. */
#include "ir/ir.h"

static const struct { const char *name, *suffix; int bits; DtypeClass cls; bool supported; } rows[DT_COUNT] = {
    [DT_F32] = {"float32", "f32", 32, DTC_F, true},
    [DT_F64] = {"float64", "f64", 64, DTC_F, true},
    [DT_F16] = {"float16", "f16", 16, DTC_F, true},
    [DT_BF16] = {"bfloat16", "bf16", 16, DTC_F, true},
    [DT_I8] = {"int8", "i8", 8, DTC_I, true},
    [DT_I16] = {"int16", "i16", 16, DTC_I, true},
    [DT_I32] = {"int32", "i32", 32, DTC_I, true},
    [DT_I64] = {"int64", "i64", 64, DTC_I, true},
    [DT_U8] = {"uint8", "u8", 8, DTC_U, true},
    [DT_U16] = {"uint16", "u16", 16, DTC_U, true},
    [DT_U32] = {"uint32", "u32", 32, DTC_U, true},
    [DT_U64] = {"uint64", "u64", 64, DTC_U, true},
    [DT_BOOL] = {"bool", "bool", 8, DTC_B, true},
    [DT_STRING] = {"string", "str", 0, DTC_OTHER, false},
    [DT_C64] = {"complex64", "c64", 64, DTC_OTHER, false},
    [DT_C128] = {"complex128", "c128", 128, DTC_OTHER, false},
    [DT_F8E4M3FN] = {"float8e4m3fn", "f8e4m3fn", 8, DTC_SMALL, true},
    [DT_F8E4M3FNUZ] = {"float8e4m3fnuz", "f8e4m3fnuz", 8, DTC_SMALL, true},
    [DT_F8E5M2] = {"float8e5m2", "f8e5m2", 8, DTC_SMALL, true},
    [DT_F8E5M2FNUZ] = {"float8e5m2fnuz", "f8e5m2fnuz", 8, DTC_SMALL, true},
    [DT_F8E8M0] = {"float8e8m0", "f8e8m0", 8, DTC_SMALL, true},
    [DT_F4E2M1] = {"float4e2m1", "f4e2m1", 4, DTC_SMALL, true},
    [DT_U4] = {"uint4", "u4", 4, DTC_PACKED, true},
    [DT_I4] = {"int4", "i4", 4, DTC_PACKED, true},
    [DT_U2] = {"uint2", "u2", 2, DTC_PACKED, true},
    [DT_I2] = {"int2", "i2", 2, DTC_PACKED, true},
};

static bool known(Dtype t) { return t > DT_NONE && t < DT_COUNT && rows[t].name; }
const char *dtype_name(Dtype t) { return known(t) ? rows[t].name : "unknown"; }
const char *dtype_suffix(Dtype t) { return known(t) ? rows[t].suffix : "unknown"; }
int dtype_bits(Dtype t) { return known(t) ? rows[t].bits : 0; }
DtypeClass dtype_class(Dtype t) { return known(t) ? rows[t].cls : DTC_OTHER; }
bool dtype_supported(Dtype t) { return known(t) && rows[t].supported; }
bool dtype_computes(Dtype t) { return dtype_supported(t) && !(rows[t].cls & (DTC_PACKED | DTC_SMALL)); }

bool dtype_bytes(Dtype t, int64_t elements, size_t *out) {
    int64_t bits;
    if (elements < 0 || !mul_i64(elements, dtype_bits(t), &bits) || !add_i64(bits, 7, &bits)) return false;
    if ((uint64_t)(bits / 8) > SIZE_MAX) return false;
    *out = (size_t)(bits / 8);
    return true;
}
