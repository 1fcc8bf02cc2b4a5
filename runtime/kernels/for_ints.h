/* Includes TEMPLATE once for each integer dtype (bool is u8), with the macros of for_floats.h: T the element, ACC an
 * integer of its signedness and at least 32 bits, in which arithmetic wraps; STORE keeps the low bits. There is no
 * MATH, but DIV(a, b)   truncated, x / 0 = 0              TO_REAL(v)  ACC → double STORE_REAL(v) double → T, truncated
 * toward zero and saturated, NaN → 0 */
#define IS_FLOAT 0
#define IS_NAN(v) false
#define LOAD(x) ((ACC)(x))
#define STORE(v) ((T)(v))
#define ADD(a, b) ((ACC)((WRAP)(a) + (WRAP)(b)))
#define SUB(a, b) ((ACC)((WRAP)(a) - (WRAP)(b)))
#define MUL(a, b) ((ACC)((WRAP)(a) * (WRAP)(b)))

#define ACC int32_t
#define WRAP uint32_t
#define DIV(a, b) mcc_div_i32(a, b)
#define TO_REAL(v) mcc_i32_to_f64(v)
#define T int8_t
#define FN(name) name##_i8
#define STORE_REAL(v) mcc_f64_to_i8(v)
#define LOWEST INT8_MIN
#define HIGHEST INT8_MAX
#include TEMPLATE
#undef T
#undef FN
#undef STORE_REAL
#undef LOWEST
#undef HIGHEST
#define T int16_t
#define FN(name) name##_i16
#define STORE_REAL(v) mcc_f64_to_i16(v)
#define LOWEST INT16_MIN
#define HIGHEST INT16_MAX
#include TEMPLATE
#undef T
#undef FN
#undef STORE_REAL
#undef LOWEST
#undef HIGHEST
#define T int32_t
#define FN(name) name##_i32
#define STORE_REAL(v) mcc_f64_to_i32(v)
#define LOWEST INT32_MIN
#define HIGHEST INT32_MAX
#include TEMPLATE
#undef T
#undef FN
#undef STORE_REAL
#undef LOWEST
#undef HIGHEST
#undef ACC
#undef WRAP
#undef DIV
#undef TO_REAL

#define ACC uint32_t
#define WRAP uint32_t
#define DIV(a, b) mcc_div_u32(a, b)
#define TO_REAL(v) mcc_u32_to_f64(v)
#define T uint8_t
#define FN(name) name##_u8
#define STORE_REAL(v) mcc_f64_to_u8(v)
#define LOWEST 0
#define HIGHEST UINT8_MAX
#include TEMPLATE
#undef T
#undef FN
#undef STORE_REAL
#undef LOWEST
#undef HIGHEST
#define T uint16_t
#define FN(name) name##_u16
#define STORE_REAL(v) mcc_f64_to_u16(v)
#define LOWEST 0
#define HIGHEST UINT16_MAX
#include TEMPLATE
#undef T
#undef FN
#undef STORE_REAL
#undef LOWEST
#undef HIGHEST
#define T uint32_t
#define FN(name) name##_u32
#define STORE_REAL(v) mcc_f64_to_u32(v)
#define LOWEST 0
#define HIGHEST UINT32_MAX
#include TEMPLATE
#undef T
#undef FN
#undef STORE_REAL
#undef LOWEST
#undef HIGHEST
#undef ACC
#undef WRAP
#undef DIV
#undef TO_REAL

#define ACC int64_t
#define WRAP uint64_t
#define DIV(a, b) mcc_div_i64(a, b)
#define TO_REAL(v) mcc_i64_to_f64(v)
#define T int64_t
#define FN(name) name##_i64
#define STORE_REAL(v) mcc_f64_to_i64(v)
#define LOWEST INT64_MIN
#define HIGHEST INT64_MAX
#include TEMPLATE
#undef T
#undef FN
#undef STORE_REAL
#undef LOWEST
#undef HIGHEST
#undef ACC
#undef WRAP
#undef DIV
#undef TO_REAL

#define ACC uint64_t
#define WRAP uint64_t
#define DIV(a, b) mcc_div_u64(a, b)
#define TO_REAL(v) mcc_u64_to_f64(v)
#define T uint64_t
#define FN(name) name##_u64
#define STORE_REAL(v) mcc_f64_to_u64(v)
#define LOWEST 0
#define HIGHEST UINT64_MAX
#include TEMPLATE
#undef T
#undef FN
#undef STORE_REAL
#undef LOWEST
#undef HIGHEST
#undef ACC
#undef WRAP
#undef DIV
#undef TO_REAL

#undef IS_FLOAT
#undef IS_NAN
#undef LOAD
#undef STORE
#undef ADD
#undef SUB
#undef MUL
