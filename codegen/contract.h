/* What the kernels of contractions and of their neighbours in blocked layouts share: control flow, register tiles,
 * epilogues, and the one loop nest that convolutions and matrix products are. */
#ifndef MCC_CODEGEN_CONTRACT_H
#define MCC_CODEGEN_CONTRACT_H

#include "codegen/gen.h"

/* ---- flow.c: short names for building control flow and arithmetic on integers, of i64 or whatever type the operands have ---- */
typedef struct For {
    LLVMBasicBlockRef head, exit; /* NULL: at most one turn, known now */
    LLVMValueRef i, count; /* count: i as the loop counts it */
    int64_t step;
} For;
typedef struct If {
    LLVMBasicBlockRef other, join;
} If;
/* for (i = from; i < to; i += step), never unrolled or vectorised by LLVM; the builder is left inside */
For for_begin(Kernel *k, LLVMValueRef from, LLVMValueRef to, int64_t step);
For for_count(Kernel *k, int64_t n); /* i = 0 … n - 1 */
void for_end(Kernel *k, For *f);
If if_begin(Kernel *k, LLVMValueRef cond);
void if_else(Kernel *k, If *f);
void if_end(Kernel *k, If *f); /* with or without if_else */
LLVMValueRef i_like(LLVMValueRef v, int64_t n); /* the constant n of v's type */
LLVMValueRef i_add(Kernel *k, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef i_sub(Kernel *k, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef i_mul(Kernel *k, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef i_scale(Kernel *k, LLVMValueRef a, int64_t by);
LLVMValueRef i_plus(Kernel *k, LLVMValueRef a, int64_t more);
LLVMValueRef i_min(Kernel *k, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef i_max(Kernel *k, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef i_div(Kernel *k, LLVMValueRef a, int64_t by);    /* a >= 0 */
LLVMValueRef i_div_up(Kernel *k, LLVMValueRef a, int64_t by); /* a >= 0 */
bool i_is_const(LLVMValueRef v, int64_t *out);
LLVMValueRef f32_at(Kernel *k, LLVMValueRef base, LLVMValueRef elements); /* address of base[elements] */
LLVMValueRef element_at(Kernel *k, LLVMTypeRef element, LLVMValueRef base, LLVMValueRef elements);
LLVMValueRef kernel_dims(Kernel *k, const Dim *dims, int n);              /* their product */

/* ---- vector.c ---- */
/* llvm.<…> of `types`, which its name leaves open */
LLVMValueRef call_intrinsic(Kernel *k, const char *name, LLVMTypeRef *types, int n_types, LLVMValueRef *args,
                            int n_args);
LLVMTypeRef vec_of(LLVMTypeRef element, int lanes); /* one lane: the element itself */
LLVMTypeRef vec_type(Gen *g, int lanes);            /* of f32 */
LLVMValueRef vec_load_of(Kernel *k, LLVMTypeRef element, LLVMValueRef p, int lanes, unsigned align);
LLVMValueRef vec_load(Kernel *k, LLVMValueRef p, int lanes, unsigned align); /* of f32 */
void vec_store(Kernel *k, LLVMValueRef v, LLVMValueRef p, unsigned align);
/* the first `there` lanes, those of them that there are; loaded: 0 in the others */
LLVMValueRef vec_load_part(Kernel *k, LLVMValueRef p, int lanes, LLVMValueRef there);
void vec_store_part(Kernel *k, LLVMValueRef v, LLVMValueRef p, int lanes, LLVMValueRef there);
LLVMValueRef lane_mask(Kernel *k, LLVMValueRef there, int lanes); /* true in these lanes */
void fetch_line(Kernel *k, LLVMValueRef p);                       /* a hint: into L2, soon to be read */
LLVMValueRef vec_splat(Kernel *k, LLVMValueRef scalar, int lanes);
LLVMValueRef vec_const(Gen *g, double v, int lanes);
LLVMValueRef vec_repeat(LLVMValueRef constant, int lanes);
LLVMValueRef vec_mul_add(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c,
                         int lanes); /* a·b + c, as the target does it best */
LLVMValueRef vec_add(Kernel *k, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef vec_larger(Kernel *k, LLVMValueRef a, LLVMValueRef b); /* a > b ? a : b */
LLVMValueRef vec_at_least(Kernel *k, LLVMValueRef x, LLVMValueRef lo); /* x < lo ? lo : x; a zero may take lo's sign */
LLVMValueRef vec_at_most(Kernel *k, LLVMValueRef x, LLVMValueRef hi);  /* x > hi ? hi : x */
LLVMValueRef vec_greater_or_nan(Kernel *k, LLVMValueRef x, LLVMValueRef best); /* the larger one; x where it is NaN */
/* all lanes folded by f into each of them, pairwise */
LLVMValueRef vec_fold(Kernel *k, LLVMValueRef v, int lanes, LLVMValueRef (*f)(Kernel *, LLVMValueRef, LLVMValueRef));
/* An elementwise node on vectors; NULL: it has no vector form here (gen_elementwise has one for every node). */
LLVMValueRef vec_elementwise(Kernel *k, const Node *n, LLVMValueRef *args, int lanes);
bool vec_has_elementwise(const Node *n);

/* ---- vector_integer.c: elementwise nodes that read or write integers, with the bits of mcc_el_<op> ---- */
bool vec_has_integer(const Node *n);
LLVMValueRef vec_integer(Kernel *k, const Node *n, LLVMValueRef *args, int lanes);
typedef struct Interval { /* of what a value may be, NaN apart from it */
    double lo, hi;
    bool number; /* never NaN */
} Interval;
Interval interval_any(void);
Interval interval_of_node(const Node *n, const Interval *in);
Interval interval_of_dtype(Dtype t);
Interval interval_of_constant(const Tensor *t);
/* vec_elementwise, where it is known what the inputs may be: fewer checks, the same bits */
LLVMValueRef vec_elementwise_in(Kernel *k, const Node *n, LLVMValueRef *args, int lanes, const Interval *in);
/* QuantizeLinear's result before it is narrowed: int32 that saturate to the result. v: what is known of input 0 */
LLVMValueRef vec_quantize(Kernel *k, const Node *n, LLVMValueRef *args, int lanes, Interval v);
/* The same from the quotient and the zero point as int32; fits: the quotient is a number that is an int32 with it. */
LLVMValueRef vec_quantized(Kernel *k, LLVMValueRef x, LLVMValueRef zero, Dtype t, int lanes, bool fits);
/* (q - zero) · scale; zero: of int32, NULL: 0 */
LLVMValueRef vec_dequantize(Kernel *k, LLVMValueRef q, Dtype t, LLVMValueRef zero, LLVMValueRef scale, int lanes);
LLVMValueRef vec_narrow(Kernel *k, LLVMValueRef wide, bool is_signed, int lanes); /* int32 to saturated bytes */
/* n vectors of int32 as saturated bytes, one behind the other, in one vector; the lanes of all are a power of two */
LLVMValueRef vec_narrow_many(Kernel *k, LLVMValueRef *wide, int n, bool is_signed, int lanes);
/* mcc.Requantize: floor(sum · factor / 2^31), and up to four of these as vec_narrow_many has them */
LLVMValueRef vec_scaled_sum(Kernel *k, LLVMValueRef sum, LLVMValueRef factor, int lanes);
LLVMValueRef vec_requantize_many(Kernel *k, const Node *n, LLVMValueRef *scaled, int count, int lanes);

/* ---- byte_sums.c ---- */
/* For a QuantizeLinear of two dequantized bytes' sum: what multiplies as its scale divides. 0: none was found */
float byte_sum_multiplier(const Node *n);

/* ---- widen.c ---- */
bool vec_has_widening(const Node *n); /* Cast of float16 or bfloat16 to float32 */
LLVMValueRef vec_widen(Kernel *k, LLVMValueRef v, Dtype from, int lanes);
/* of finite numbers */
LLVMValueRef vec_load_wide(Kernel *k, Dtype from, LLVMValueRef p, int lanes, unsigned align);

/* ---- lookup.c: mcc.Table on vectors of bytes ---- */
LLVMValueRef vec_lookup(Kernel *k, const Node *n, LLVMValueRef x, int lanes);

/* ---- dot.c ---- */
/* acc + a · b, numbers of at most 16 bits with their sign: a's upper halves are zeros */
LLVMValueRef dot_add_one(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc, int lanes);
/* acc + the products of four neighbouring bytes: a of either signedness, b signed */
LLVMValueRef dot_add(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc, int lanes, bool a_signed);

/* ---- vector_math.c: within 4 ULP ---- */
LLVMValueRef vec_exp(Kernel *k, LLVMValueRef x, int lanes);
LLVMValueRef vec_exp_of_negative(Kernel *k, LLVMValueRef x, int lanes); /* x <= 0 or NaN: cheaper */
LLVMValueRef vec_log(Kernel *k, LLVMValueRef x, int lanes);
LLVMValueRef vec_softplus(Kernel *k, LLVMValueRef x, int lanes);
LLVMValueRef vec_mish(Kernel *k, LLVMValueRef x, int lanes);
LLVMValueRef vec_sigmoid(Kernel *k, LLVMValueRef x, int lanes);
LLVMValueRef vec_tanh(Kernel *k, LLVMValueRef x, int lanes);
LLVMValueRef vec_erf(Kernel *k, LLVMValueRef x, int lanes);
LLVMValueRef vec_gelu(Kernel *k, LLVMValueRef x, int lanes);

/* ---- vector_trig.c: within 4 ULP; the node is the function, for lanes that are too large ---- */
LLVMValueRef vec_sin(Kernel *k, const Node *n, LLVMValueRef x, int lanes);
LLVMValueRef vec_cos(Kernel *k, const Node *n, LLVMValueRef x, int lanes);

/* ---- tile.c: rows × vecs accumulators in registers ---- */
enum { TILE_MAX = 32 };
typedef enum TileKind { TILE_F32, TILE_U8, TILE_S8 } TileKind; /* of a step's elements: f32, or four bytes whose sums are int32 */
typedef struct Tile {
    Kernel *k;
    TileKind kind;
    LLVMTypeRef element; /* of the accumulators */
    int rows, vecs, lanes;
    LLVMValueRef acc[TILE_MAX]; /* stack slots that LLVM turns into registers */
} Tile;
typedef struct TileSteps { /* for c < count: acc[r][v] += a[r·row + c·inner] · b[c·next + v·lanes …], elements */
    LLVMValueRef a, row, b, next;
    LLVMValueRef count;
    int64_t inner;
    unsigned b_align;
    Dtype half; /* of b, widened in registers: DT_F16 or DT_BF16; 0: as the tile's elements are */
    int unroll; /* divides count where that is not constant */
    LLVMValueRef
        ahead; /* what to fetch into L2 meanwhile, `fetch` elements with each turn of the loop; NULL: nothing */
    int64_t fetch;
    uint32_t mask;  /* which rows take part */
    bool pairs; /* of bytes: two rows by two columns are one instruction, see steps_by_pairs in tile.c */
    int order_rows; /* adds in the order of a tile of so many rows; 0: of its own */
} TileSteps;
void tile_begin(Tile *t, Kernel *k, int rows, int vecs, int lanes); /* of f32 */
void tile_begin_of(Tile *t, Kernel *k, TileKind kind, LLVMTypeRef element, int rows, int vecs, int lanes);
void tile_fill(Tile *t, LLVMValueRef bias, unsigned align); /* the same in every row; NULL: zeros */
void tile_steps(Tile *t, const TileSteps *s);
LLVMValueRef tile_get(const Tile *t, int row, int vec);
void tile_put(Tile *t, int row, int vec, LLVMValueRef v);

/* ---- epilogue.c: what happens to a tile's elements between registers and memory ---- */
typedef struct Operand { /* element strides along the output's coordinates; an extent of 1 has stride 0 */
    LLVMValueRef base;
    Dtype dtype;
    float limit; /* see value_limit */
    LLVMValueRef batch, col, space[3];
    bool splat; /* one element for all lanes */
} Operand;
typedef struct Point { /* of the output: a tile's first element */
    LLVMValueRef batch, col, space[3];
} Point;
typedef struct Epilogue {
    const Graph *body; /* inputs: the accumulator, then the operands; NULL: nothing to do */
    Operand out, *operands;
    LLVMValueRef cols; /* the last vectors of a tile may pass so many columns; NULL: they never do */
    Interval sums;     /* that the accumulator is known to be in, beyond what its type says */
} Epilogue;
/* The outputs of a body of nodes that have a vector form, from its inputs. */
void body_outputs(Kernel *k, const Graph *body, LLVMValueRef *in, int lanes, LLVMValueRef *out);
LLVMValueRef operand_offset(Kernel *k, const Operand *o, const Point *at);
/* Where a body of vector forms ends in a narrowing to bytes, perhaps looked up in a table then: what it makes of vectors
 * of its inputs before that, and up to four of these as one vector of bytes. */
bool epilogue_narrows(const Epilogue *e);
LLVMValueRef epilogue_wide(Kernel *k, const Epilogue *e, LLVMValueRef *in, int lanes);
LLVMValueRef epilogue_bytes(Kernel *k, const Epilogue *e, LLVMValueRef *wide, int n, int lanes);
/* Rows step by row_step along space[2], vectors by t->lanes columns. */
void tile_store(Tile *t, const Epilogue *e, const Point *at, int64_t row_step);
/* how many lanes of the vector of columns from `col` on there are of `cols`; NULL: all */
LLVMValueRef lanes_there(Kernel *k, LLVMValueRef cols, LLVMValueRef col, int lanes);

/* ---- contract.c: the loop nest ---- */
/* y[n, col, up·s + phase] = Σ x[n, block, s·stride - pad + k·dilation, c] · w[phase, panel, block, k, c, col] over the
 * taps k whose place lies inside of the input. Strides of x are in elements; the channels of a block are contiguous at
 * each pixel. A panel is vecs·lanes columns, the last one what is left; it reads the blocks that panel_blocks tells. */
typedef enum Combine {                    /* what becomes of an input element */
                       COMBINE_DENSE,     /* every channel of a group goes into every column of it, times a weight */
                       COMBINE_DEPTHWISE, /* a channel goes into its column, times a weight of w[panel, k, col] */
                       COMBINE_MAX,       /* … as the largest of its column; NaN wins */
                       COMBINE_MEAN       /* … as one of those that are averaged */
} Combine;
typedef struct Ahead { /* which weights a tile fetches into L2 while it multiplies; in units of 4 bytes */
    int64_t step;      /* with every turn of its innermost loop; 0: none */
    int64_t distance;  /* from those that the first tile of a run reads */
    int64_t tile;      /* more for each further tile */
} Ahead;
/* `tiles` read one panel of `steps` steps of `wide` units after the other: the next one is fetched evenly by all of them, or, where it
 * is too large for that, each tile reads ahead of itself. Nothing is, where `bytes` of weights stay in L2. */
Ahead ahead_of_panel(const Target *t, int64_t bytes, int64_t steps, int64_t wide, int64_t tiles, int unroll);
typedef struct Contraction {
    Kernel *k;
    Combine combine;
    int rows, vecs, lanes, unroll; /* the tile, and the steps in its innermost loop */
    int64_t run; /* rows of the output, or tiles where it is one row, that a panel serves while it is hot */
    LLVMValueRef batch;
    Grouping group;
    int64_t cols;               /* of all groups; without overlap a multiple of lanes */
    LLVMValueRef in[3], out[3]; /* spatial dims, a row's last; out: of one phase */
    int64_t kernel[3], stride[3], dilation[3], pad[3], up[3];
    TileKind kind;           /* of integers, elements of x and w are four bytes, of a channelwise form one of x and
                                an int32 of w; the bias is of int32 */
    LLVMTypeRef x_element, sum; /* what strides of x count, and the accumulators; NULL: f32 */
    Dtype half;              /* of weights that are not of x's type: DT_F16 or DT_BF16; 0: they are */
    LLVMValueRef x, w, bias; /* bias: by column; NULL: none */
    const NarrowForm *stored; /* w is panels of that form, expanded to scratch memory; NULL: as the sums need it */
    int64_t stored_zero;      /* the zero point of all codes */
    bool pairs;  /* of bytes: weights by pairs of steps, see TileSteps */
    int64_t quads; /* depthwise, of bytes: TapQuads.step, whose weights stand behind a block's others; 0: tap by tap */
    int outside;   /* what stands in the padding then */
    bool border; /* behind the bias, for each tap: what a tap adds that falls outside of the input, by column */
    LLVMValueRef x_batch, x_block, x_pixel;
    LLVMValueRef x_col; /* of channelwise forms: between columns of different blocks */
    int64_t pad_end[3]; /* padding behind the input */
    bool count_padding; /* COMBINE_MEAN */
    Ahead ahead;
    bool overlap; /* any number of columns: the last vector overlaps its neighbour, and repeats its columns in w */
    Epilogue epilogue;
} Contraction;
void contraction_emit(Contraction *c);

/* ---- expand.c ---- */
/* The panel at `from`, of `vecs` vectors of columns that read so many blocks from `first` on, as f32 in k->scratch */
void panel_expand(const Contraction *c, LLVMValueRef from, int vecs, LLVMValueRef first, LLVMValueRef blocks);
NarrowForm narrow_form(const Node *n, int64_t depth); /* of a node's weights; codes f32: they are not narrow */
int64_t expand_bytes(const Node *n, const NarrowForm *f, const Grouping *g, int vecs, int lanes); /* of the largest panel */

/* ---- operands.c: of a contraction's node ---- */
/* element strides of a row-major value along the dims of `like`, aligned at the right; 0 where it is broadcast */
void operand_strides(Kernel *k, const Value *v, const Value *like, LLVMValueRef *strides);
/* the step of v along dims from … to - 1 of `like` taken as one: all of them are v's, or v stands still along all */
LLVMValueRef operand_joint_stride(Kernel *k, const Value *v, const Value *like, int from, int to);
typedef Operand OperandOf(Kernel *k, const Value *v, const Value *out, LLVMValueRef base, bool flat);
/* the output, and inputs `first` and on as the operands of the node's body */
void epilogue_operands(Contraction *c, const Node *n, int first, bool flat, OperandOf *operand);
void contraction_tile(Contraction *c, const Node *n); /* rows, vecs, unroll, run from the node's attributes */
typedef struct Taps {                                 /* which taps of a row a tile takes */
    LLVMValueRef from, to;                            /* in a loop, by all rows; or from NULL: */
    const uint32_t *masks;                            /* one by one, each by these rows */
} Taps;

/* ---- norm.c ---- */
bool norm_in_place(const Node *n, int input); /* Emitter.in_place of norms: in every walk each element is read before it is written */

/* ---- channelwise.c: tiles whose lanes do not mix ---- */
void channelwise_fill(const Contraction *c, Tile *t, LLVMValueRef bias);
bool channelwise_in_quads(const Contraction *c, const Tile *t, const Taps *taps); /* padding stands in the quads themselves */
int64_t channelwise_weights(const Contraction *c); /* of a block: bytes where they are stored narrow, else words */
/* The taps of one row of the window, counted over its outer axes. x: what the first row of the tile reads at tap 0; panel: the block's weights. */
void channelwise_row(const Contraction *c, Tile *t, LLVMValueRef x, LLVMValueRef panel, LLVMValueRef row, const Taps *taps);
/* Divides by the number of taps: those of the outer axes, and along the row from `start` on. */
void channelwise_finish(const Contraction *c, Tile *t, const LLVMValueRef outer[2], LLVMValueRef start);

/* ---- conv.c: operands of blocked kernels ---- */
/* an operand of the shape of `out`, [N, C/b, spatial…, b], or broadcast to it; flat: spatial dims are one */
Operand blocked_operand(Kernel *k, const Value *v, const Value *out, LLVMValueRef base, bool flat);

/* ---- gemm.c: operands of products whose rows step alike ---- */
/* an operand of the shape of `out`, [rows…, N], or broadcast to it so that all rows step alike; flat does not matter */
Operand row_operand(Kernel *k, const Value *v, const Value *out, LLVMValueRef base, bool flat);

/* ---- reorder.c ---- */
void square_turn(Kernel *k, LLVMValueRef *v, int n); /* n vectors of n lanes: rows become columns */

/* ---- conv.c, gemm.c, global_pool.c, reorder.c, recurrent.c: kernels of the operators that lowering passes make ----
 */
extern const Emitter conv_emitter, winograd_emitter, channelwise_emitter, product_emitter, narrow_emitter, sparse_row_emitter, global_pool_emitter, gate_emitter, resize_emitter,
    reorder_emitter, recurrent_emitter, sparse_product_emitter, packed_product_emitter, sparse_dot_emitter, dynamic_quantize_emitter;

#endif
