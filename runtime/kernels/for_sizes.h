/* Includes TEMPLATE once for each element size, for kernels that only move data: T an unsigned integer of that size,
 * FN(name) name_b8 … name_b64. */
#define T uint8_t
#define FN(name) name##_b8
#include TEMPLATE
#undef T
#undef FN
#define T uint16_t
#define FN(name) name##_b16
#include TEMPLATE
#undef T
#undef FN
#define T uint32_t
#define FN(name) name##_b32
#include TEMPLATE
#undef T
#undef FN
#define T uint64_t
#define FN(name) name##_b64
#include TEMPLATE
#undef T
#undef FN
