/* What the lowering passes share: blocked layouts, tiles, packed constants. */
#ifndef MCC_PASSES_LOWER_H
#define MCC_PASSES_LOWER_H

#include "passes/internal.h"
#include "passes/tuning.h"

/* ---- tiles.c: what fits the target's registers and caches ---- */
typedef struct Work { /* a contraction as a tile choice sees it */
    int lanes;        /* of a vector; 0: to be chosen, columns are contiguous */
    Grouping group;
    int64_t cols, taps; /* columns of all groups, without those that fill up the last vector; kernel size */
    int64_t row, rows;  /* places in a row that a tile runs along, and rows; 0: not known */
    DotForm dot;        /* of integers: how four channels are summed, which are a step */
} Work;
typedef struct TileChoice {
    int lanes, rows, vecs, unroll;
    int64_t run; /* see Contraction in codegen/contract.h */
} TileChoice;
int channel_rows(const Target *t, int64_t row, int64_t kernel); /* the tile of a channelwise form; row 0: not known */
int64_t channel_rows_most(const Target *t, int64_t kernel);
int channel_block(const Target *t, int64_t channels); /* the block of a blocked value with that many channels */
TileChoice tile_choose(const Target *t, const Work *w);
enum { MAX_TILES = 16 };
int tile_list(const Target *t, const Work *w, TileChoice *list,
              int most); /* the best ones in order: how many; most: up to MAX_TILES */
TileChoice tile_of(const Target *t, const Work *w, int rows, int vecs); /* with the unroll and run that suit it */
bool tile_possible(const Target *t, const Work *w, int64_t rows, int64_t vecs, int64_t unroll); /* unroll 0: any */
TileChoice tile_for_any(const Target *t);          /* of products whose sizes may not be known; vecs: at most */
int panel_vecs(int64_t cols, int lanes, int most); /* vectors of a panel, so that panels are alike; cols 0: not known */
/* A tile of `gates` vectors a block of hidden units: vecs is a multiple of gates; rows of the batch, 0: not known. */
TileChoice tile_choose_units(const Target *t, int lanes, int gates, int64_t blocks, int64_t rows);
double tile_choice_cycles(const Target *t, const Work *w, const TileChoice *c); /* of all rows; an estimate */
double vector_cycles(const Target *t, int lanes); /* of one operation on a vector of f32 */

/* ---- lookup_tables.c ---- */
/* Instructions that a table of an activation between bytes spares, for 16 elements: an estimate */
double table_saving(const Target *t, const Node *n);

/* ---- pack.c: constants in the order in which kernels read them ---- */
Tensor *tensor_packed(Graph *g, Dtype dtype, int rank, const int64_t *dims); /* zeroed; does not count as folded */
/* Constant weights of integers less their zero points, all of them s8: of (column, channel of its group, tap), at
 * col·out + channel·in + tap·tap of `data`. */
typedef struct IntegerWeights {
    const Tensor *w, *zero; /* zero: one, or one a column; NULL: none */
    int64_t out, in, tap;
    int64_t cols, channels, groups, taps; /* columns and channels of a group */
} IntegerWeights;
/* ---- lower_integer.c, lower_integer_products.c ---- */
int32_t integer_weight(const IntegerWeights *w, int64_t col, int64_t channel, int64_t tap);
bool weights_fit_s8(const IntegerWeights *w);
void integer_column_sums(const IntegerWeights *w, int32_t *sums);
int32_t integer_zero(const Target *t, int lanes, Dtype x, int32_t zero); /* of x as the kernel sees it */
/* [1, or with border 1 + taps][cols]: -zero times a column's weights, and zero times those of each tap */
Value *integer_bias(Graph *g, const IntegerWeights *w, int64_t cols, int32_t zero, bool border);
/* Adds constants to the bias of a node made here; axis: of `like`, the node's columns. false: they are not such. */
bool integer_bias_add(Node *made, const Value *v, const Value *like, int axis);
bool lower_product_integer(Graph *g, PassCtx *ctx, Node *n); /* MatMulInteger; false: stays as it is */
typedef struct IntegerProduct { /* a MatMulInteger of constant weights */
    Node *n;
    Value *x;
    IntegerWeights w;
    const Value *zero; /* of x; NULL: 0 */
    int64_t inner;
} IntegerProduct;
bool integer_product_read(Node *n, IntegerProduct *p); /* false: it is no such */
/* sums - zero · (what each column sums to), as nodes before `before` */
Node *integer_subtract_zero(Graph *g, Node *product, const IntegerProduct *p, Node *before);
bool lower_product_bias(Node *n);                            /* Add of a constant row to such sums, into their bias */
/* how many tiles a panel of weights of a product serves */
int64_t product_run(const Target *t, int64_t inner, int64_t cols, int64_t rows, const TileChoice *tile);
typedef struct Weights { /* of (column, channel of its group, tap), at col·out + channel·in + tap·tap of `data` */
    const void *data;
    int64_t out, in, tap;
    int64_t phase, phases; /* between the phases of a transposed convolution, and how many */
    int64_t cols, taps;    /* of all groups */
    Grouping group;
    float scale;
    Dtype half;                     /* of data and of what is packed: DT_F16 or DT_BF16, and scale is 1; 0: DT_F32 */
    bool pairs;                     /* of integers: two steps, whose number is even, of each column side by side */
    const IntegerWeights *integers; /* in place of data: channels of `group` are four of theirs */
} Weights;
Value *pack_weights(Graph *g, const Weights *w, const TileChoice *t, bool overlap);
/* ---- pack_narrow.c ---- */
/* Panels of `vecs` vectors of columns. Of a depthwise convolution group is {channels, 1, 1, 1}. */
typedef struct NarrowPacking {
    const NarrowWeights *w;
    Grouping group;
    int64_t taps;
    int lanes, vecs;
} NarrowPacking;
Value *pack_narrow(Graph *g, const NarrowPacking *p);
void set_narrow(Node *made, const NarrowWeights *w);                           /* the attributes that tell the kernel */
Value *pack_channels(Graph *g, const Value *v, int rank, int axis, int block); /* axis of a constant into blocks */

/* ---- window of a convolution or pool whose numbers are all known ---- */
typedef struct FixedWindow {
    int n;
    int64_t kernel[3], stride[3], dilation[3], begin[3], end[3];
} FixedWindow;
bool window_fixed(const Node *n, const int64_t *kernel, FixedWindow *w); /* false: not known, or more than three axes */
void window_set(Node *n, const FixedWindow *w);

/* ---- sparse_cost.c: products whose pattern is code (codegen/sparse.h); for targets with sparse_lanes() > 0 ---- */
typedef struct SparseWork {
    int64_t rows, sources; /* of the matrix */
    int64_t nonzeros;
    int64_t panels; /* how often: vectors of sparse_lanes() columns */
    bool masked;    /* some sources are (codegen/sparse.h) */
} SparseWork;
double sparse_cycles(const Target *t, const SparseWork *w); /* an estimate, comparable with tile_choice_cycles */
double sparse_bytes(const Target *t, const SparseWork *w);  /* of code and weights, about */
int64_t count_nonzeros(const Tensor *t);                    /* of a constant of f32 */

/* ---- lower_sparse_integer.c: the same of bytes, for targets with sparse_words(); sources and nonzeros are words of four ---- */
double sparse_word_cycles(const Target *t, const SparseWork *w);
double sparse_word_bytes(const SparseWork *w);

/* What is known of n's weights, and how their zeros lie, into the note, and that to the context's, if there are zeros */
void integer_sparse_note(const PassCtx *pass, const Node *n, const IntegerWeights *w, SparseNote *note);

typedef struct IntegerRows { /* a product of rows of bytes */
    Value *x; /* its last axis is whole words */
    const IntegerWeights *w;
    int64_t rows; /* 0: not known */
    int32_t zero; /* of x as the kernel sees it */
} IntegerRows;
/* The product as a new node before n that has no output type yet; NULL: dense, in so many cycles, is better. */
Node *lower_sparse_product_integer(Graph *g, const PassCtx *ctx, Node *n, const IntegerRows *p, double dense);

/* ---- sparse_pack.c: their nonzeros as data; where packed_possible() ---- */
typedef struct PackWork {
    const float *weights; /* [rows][sources] */
    int64_t rows, sources;
    int64_t panels, at_once; /* at_once: in a call */
    bool masked;             /* some sources are */
} PackWork;
typedef struct PackChoice {
    int block, vecs; /* as in PackedForm */
    double cycles, bytes;
} PackChoice;
typedef struct PackSource { /* see SparseSource in codegen/sparse.h */
    int64_t offset;
    int mask;
} PackSource;
bool packed_possible(const PassCtx *p);
/* The best height of blocks; small: of those that are smaller than the matrix. false: there is none. */
bool packed_choose(const Target *t, const PackWork *w, bool small, PackChoice *best);
Value *packed_value(Graph *g, const PackWork *w, const PackChoice *c, const PackSource *sources, PackedForm *p);

/* ---- sparse_row.c ---- */
typedef struct RowProduct { /* y[1, cols] = x[1, inner] · w, element (k, col) being alpha · data[k·in + col·out] */
    Value *x;
    const float *data;
    int64_t inner, cols, in, out;
    double alpha;
    Str layer;
} RowProduct;
/* The product as a new node before `before` that has no output type yet; NULL: dense, in so many cycles when its
 * weights are in L1, is better. */
Node *lower_sparse_row(Graph *g, const PassCtx *ctx, const RowProduct *p, Node *before, double dense_cycles);

/* ---- lower_panel_products.c: products of matrices in any order of axes ---- */
typedef struct MatrixSide { /* axis i of what is multiplied is axis perm[i] of v */
    Value *v;
    int64_t perm[MCC_MAX_RANK];
} MatrixSide;
MatrixSide matrix_side(Value *v, bool transposed);
MatrixSide matrix_side_above(MatrixSide s); /* of what a Transpose makes: the same of the Transpose's input */
typedef struct ProductForm {
    Op op;
    MatrixSide a, b;
    void (*set)(void *arg, Node *made, const Type *y); /* attributes beyond the orders of axes */
    void *arg;
} ProductForm;
void lower_product_as(Rewrite *r, Node *n, const ProductForm *p); /* MatMul, or Gemm, whose alpha and C stand behind it then */

bool value_is_f32(const Value *v);
bool value_in_blocks(const Value *v); /* a tensor of a dtype that kernels of blocked values know: f32, i32, i8, u8 */

/* ---- layout.c: blocked twins of plain values while the layout pass walks the graph ---- */
typedef struct Layout {
    Graph *g;
    Ctx *ctx;
    const Target *target;
    const PassCtx *pass;
    Value **twin; /* by id of a value that was there before the pass: its blocked form */
    int n_ids;
} Layout;
int block_of(const Value *blocked);
Value *twin_of(const Layout *l, const Value *plain);                   /* NULL: none yet */
Value *want_blocked(Layout *l, Value *plain, Node *before, int block); /* block 0: its own, or the channels' */
Value *want_vectors(Layout *l, Value *plain, Node *before); /* in blocks that kernels on vectors take */
Value *want_plain(Layout *l, Value *v, Node *before); /* v itself, made from its twin where that is all there is */
/* A node before n that computes the blocked form of n's output 0; n goes. */
Node *replace_blocked(Layout *l, Node *n, Op op, Value **in, int n_in, int block);

/* ---- lower_conv.c, lower_winograd.c: Conv and ConvTranspose with constant weights ---- */
typedef struct Convolution {
    Layout *l;
    Node *n;
    FixedWindow window;
    int64_t channels, cols, groups; /* channels and cols of a group */
    bool transposed;
    const NarrowWeights *narrow; /* NULL: its weights are a constant in f32 */
} Convolution;
Value *packed_bias(const Convolution *c, int block); /* NULL: none */
void set_tile(Node *made, const TileChoice *t);
bool winograd_possible(const Convolution *c, int in_block);
/* The convolution as a Winograd node where that is possible, wanted, and cheaper than `direct` cycles; NULL: it is not.
 */
Node *lower_winograd(const Convolution *c, Value *x, int in_block, int out_block, double direct);
double winograd_cycles(const Convolution *c, int in_block, int out_block, double direct); /* of that, or direct */
/* The same as a choice says. NULL: it is not possible here. */
Node *lower_winograd_as(const Convolution *c, Value *x, int in_block, int out_block, const LayerChoice *choice);
void winograd_candidates(const Convolution *c, int in_block, int out_block, LayerNote *note);
/* The tile of a choice, and what it leaves open. false: the choice is not possible for that work. */
bool tile_tuned(const Target *t, const Work *w, const LayerChoice *choice, TileChoice *out);
typedef struct IntegerConv { /* a ConvInteger whose weights and zero points are constants */
    Layout *l;
    Node *n;
    FixedWindow window;
    IntegerWeights w;
    int32_t zero; /* of x */
    bool padded;
} IntegerConv;
bool integer_conv_read(Layout *l, Node *n, IntegerConv *c); /* l: NULL outside of the layout pass; false: it is no such */
/* lower_sparse_integer.c: as straight-line code of its nonzero weights, where x in blocks, and that is better than so
 * many cycles. false: it stays */
bool lower_sparse_integer(IntegerConv *c, Value *x, double dense);
bool lower_conv_integer(Layout *l, Node *n); /* lower_integer.c: ConvInteger; false: stays as it is */
bool lower_bias_integer(Layout *l, Node *n); /* Add of a constant a channel to its sums, into their bias */
/* What a Conv of floats, whose sums take so many cycles, will take an image: by Winograd where that is better. */
double conv_cycles(const PassCtx *p, Node *n, double direct);
double dense_conv_cycles(Layout *l, Node *n);  /* lower_conv.c: of one batch element, an estimate; 0: not lowered */
bool lower_conv(Layout *l, Node *n);           /* lower_conv.c: Conv, ConvTranspose; false: stays as it is */
bool lower_pool(Layout *l, Node *n);           /* lower_pool.c */

/* ---- sparse_pixels.c: of these, weights of many zeros as data ---- */
typedef struct PixelEntries {
    int64_t unit; /* weights of an entry */
    int64_t n;    /* entries of all columns */
    int64_t rows; /* pixels of a tile */
} PixelEntries;
/* pixels: of the result, 0 where that is not known; copied: windows are. false: dense is better, or asked for */
bool pixel_entries_choose(const PassCtx *ctx, const Node *n, const IntegerWeights *w, int64_t pixels, bool copied,
                          PixelEntries *best);
/* [groups] i32: the byte, of all entries, where a group's begin; [columns] u16: how many a column has; the entries */
Value *pixel_entries(Graph *g, const IntegerWeights *w, const PixelEntries *e);

/* ---- lower_pixels.c: integers where all channels are one block ---- */
bool target_has_pixels(const Target *t);
Value *want_one_block(Layout *l, Value *plain, Node *before);
void lower_pixel_conv(IntegerConv *c);
void lower_pixel_depthwise(IntegerConv *c);
/* MaxPool of bytes; of floats that are bytes less a zero point, the mean. x: the twin of its input; false: it is no such */
bool lower_pixel_pool(Layout *l, Node *n, const Value *x, bool mean);
/* x[rows…, K] · w, less `zero` in each x, of no type yet; rows 0: not known */
Node *pixel_product(Graph *g, const PassCtx *ctx, Node *before, const IntegerRows *p);

bool lower_attention(Layout *l, Node *n); /* lower_attention.c: the view of what it makes */
bool lower_norm(Layout *l, Node *n); /* lower_norm.c: of a value in blocks; false: stays as it is */
bool lower_sparse_product(Layout *l, Node *n); /* lower_sparse_product.c: of three dims; false: stays as it is */
bool reduces_space(const Node *n);             /* its axes are all the spatial ones, and kept */
bool lower_reduction(Layout *l, Node *n);
bool lower_elementwise(Layout *l, Node *n); /* lower_blocked.c: what can follow its inputs into blocks */
bool lower_movement(Layout *l, Node *n);
bool lower_weighted_resize(Layout *l, Node *n, Value *x); /* lower_resize.c: linear or cubic, of x in blocks */

#endif
