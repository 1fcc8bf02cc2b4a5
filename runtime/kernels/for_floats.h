/* Includes TEMPLATE once for each floating-point dtype, with
 *   T           how an element is stored          ACC         what it is computed in
 *   LOAD(x)     T → ACC                           STORE(v)    ACC → T, one rounding
 *   FN(name)    name_f32, name_f64, …             MATH(name)  mcc_exp_f32 or mcc_exp_f64
 *   ADD SUB MUL arithmetic of ACC                 LOWEST HIGHEST, the identities of max and min
 *   IS_FLOAT    1, for integers 0                 IS_NAN(v)
 *   INEXACT     defined where T holds less than ACC: nothing may be kept in the output between two passes */
#define ADD(a, b) ((a) + (b))
#define SUB(a, b) ((a) - (b))
#define MUL(a, b) ((a) * (b))
#define IS_FLOAT 1
#define IS_NAN(v) ((v) != (v))

#define ACC float
#define MATH(name) mcc_##name##_f32
#define LOWEST (-__builtin_inff())
#define HIGHEST __builtin_inff()
#define T float
#define FN(name) name##_f32
#define LOAD(x) (x)
#define STORE(v) (v)
#include TEMPLATE
#undef T
#undef FN
#undef LOAD
#undef STORE

#define INEXACT
#define T uint16_t
#define FN(name) name##_f16
#define LOAD(x) mcc_f16_to_f32(x)
#define STORE(v) mcc_f32_to_f16(v)
#include TEMPLATE
#undef FN
#undef LOAD
#undef STORE

#define FN(name) name##_bf16
#define LOAD(x) mcc_bf16_to_f32(x)
#define STORE(v) mcc_f32_to_bf16(v)
#include TEMPLATE
#undef INEXACT
#undef T
#undef FN
#undef LOAD
#undef STORE
#undef ACC
#undef MATH
#undef LOWEST
#undef HIGHEST

#define ACC double
#define MATH(name) mcc_##name##_f64
#define LOWEST (-__builtin_inf())
#define HIGHEST __builtin_inf()
#define T double
#define FN(name) name##_f64
#define LOAD(x) (x)
#define STORE(v) (v)
#include TEMPLATE
#undef T
#undef FN
#undef LOAD
#undef STORE
#undef ACC
#undef MATH
#undef LOWEST
#undef HIGHEST

#undef ADD
#undef SUB
#undef MUL
#undef IS_FLOAT
#undef IS_NAN
