/* What models get wrong, and what they are told; hostile numbers; what a graph declares about its outputs. */
#include "tests/unit/infer_program.h"

static const Case inputs[] = {
    {"x: float32[2]; y = Not(x)", "!node 'y' (Not-0): input 0 is float32, must be bool"},
    {"x: bool[2]; y = Relu(x)", "!input 0 is bool, must be float or signed integer"},
    {"x: float32[2]; y: float64[2]; z = Add(x, y)",
     "!input 1 is float64, input 0 is float32: they must be of one type (add a Cast)"},
    {"x: float32[2]; y = Cast(x) to=8", "!casts to string, which is not supported"},
    {"x: float32[2]; y = Cast(x) to=99", "!attribute to is 99"},
    {"x: float32[2, 3]; y: float32[4]; z = Add(x, y)", "!sizes that are to be broadcast differ: 3 and 4"},
    {"x: float32[2, B]; y: float32[5]; z = Add(x, y)", "!agree only where B is 5 (add --dim 'B=5')"},
    {"x: float32[B]; y: float32[900]; z = Add(x, y)", "!sizes that are to be broadcast differ: B and 900"},
    {"x: float32[3]; y = Softmax(x) axis=1", "!axis 1 is outside of [-1, 0]"},
    {"x: float32[3]; y = Softmax(x) axis=-9223372036854775808", "!is outside of [-1, 0]"},
    {"x: float32[3]; y: float32[3]; z = Mod(x, y)", "!fmod must be 1 for floats"},
    {"x: float32[3]; s: float32[2, 3]; z = PRelu(x, s)", "!more axes than the 1 it is broadcast to"},
    {"c: int64[3]; x: float32[3]; z = Where(c, x, x)", "!input 0 is int64, must be bool"},
    {"x: float32[3]; lo: float32[2]; z = Clip(x, lo)", "!input 1 has shape [2], must be a scalar"},
};

static const Case contractions[] = {
    {"x: float32[1, 4, 8, 8]; w: float32[8, 3, 3, 3]; y = Conv(x, w)", "!weight has 3 input channels, input has 4"},
    {"x: float32[1, 4, 8, 8]; w: float32[8, 3, 3, 3]; y = Conv(x, w) group=2",
     "!weight has 3 input channels in each of 2 groups, input has 4"},
    {"x: float32[1, 4, 8]; w: float32[3, 2, 3]; y = Conv(x, w) group=2",
     "!the number of output channels, 3, is not a multiple of 2"},
    {"x: float32[1, 4, 8]; w: float32[3, 4, 3]; y = Conv(x, w) group=0", "!group is 0, must be at least 1"},
    {"x: float32[1, 4, 8]; w: float32[3, 4, 3, 3]; y = Conv(x, w)", "!must have as many axes as the input"},
    {"x: float32[1, 4]; w: float32[3, 4]; y = Conv(x, w)", "!must have 3 to 8 axes"},
    {"x: float32[1, 4, 8]; w: float32[3, 4, 3]; y = Conv(x, w) strides=[0]", "!strides[0] is 0, must be at least 1"},
    {"x: float32[1, 4, 8]; w: float32[3, 4, 3]; y = Conv(x, w) strides=[1, 1]",
     "!strides has 2 entries, there are 1 spatial axes"},
    {"x: float32[1, 4, 8]; w: float32[3, 4, 3]; y = Conv(x, w) pads=[1]", "!pads has 1 entries"},
    {"x: float32[1, 4, 8]; w: float32[3, 4, 3]; y = Conv(x, w) pads=[1, -1]", "!pads of spatial axis 0 are negative"},
    {"x: float32[1, 4, 8]; w: float32[3, 4, 3]; y = Conv(x, w) kernel_shape=[2]",
     "!kernel_shape and the weight's shape differ: 2 and 3"},
    {"x: float32[1, 4, 2]; w: float32[3, 4, 9]; y = Conv(x, w)", "!the size of axis 2 would be negative (-6)"},
    {"x: float32[1, 4, 8]; w: float32[3, 4, 0]; y = Conv(x, w)",
     "!the least size of a kernel and its size: 1 is more than 0"},
    {"x: float32[1, 4, 8]; w: float32[3, 4, 3]; y = Conv(x, w) dilations=[9223372036854775807]", "!overflows"},
    {"x: float32[1, 4, 8]; w: float32[3, 4, 3]; b: float32[4]; y = Conv(x, w, b)", "!the bias"},
    {"x: float32[1, 4, 8]; y = MaxPool(x)", "!kernel_shape is missing"},
    {"x: float32[1, 4, 8]; y = MaxPool(x) kernel_shape=[0]", "!the least size of a kernel"},
    {"x: float32[1, 4, 8]; y = MaxPool(x) kernel_shape=[1] pads=[9223372036854775807, 9223372036854775807]",
     "!overflows"},
    {"x: float32[1, 3, 8]; w: float32[4, 2, 3]; y = ConvTranspose(x, w)",
     "!the channels of input and weight differ: 3 and 4"},
    {"x: float32[1, 4, 8]; w: float32[4, 2, 3]; y = ConvTranspose(x, w) output_padding=[-1]",
     "!output_padding[0] is negative"},
    {"x: float32[1, 4, 8]; w: float32[4, 2, 3]; y = ConvTranspose(x, w) output_shape=[-1]", "!would be negative"},
    {"a: float32[2, 3]; b: float32[4, 5]; y = MatMul(a, b)", "!the inner sizes of A and B differ: 3 and 4"},
    {"a: float32[]; b: float32[4, 5]; y = MatMul(a, b)", "!input 0 has shape [], must have 1 to 8 axes"},
    {"a: float32[2, 3]; b: float32[3, 5]; c: float32[3, 2, 5]; y = Gemm(a, b, c)", "!more axes than the 2"},
    {"x: float32[2, 3]; s: float32[4]; y = BatchNormalization(x, s, s, s, s)",
     "!the statistics and of the channels differ: 4 and 3"},
};

static const Case shapes[] = {
    {"x: float32[2, 3]; y = Transpose(x) perm=[0]", "!perm has 1 entries, there are 2 axes"},
    {"x: float32[2, 3]; y = Transpose(x) perm=[0, 0]", "!axis 0 is listed twice"},
    {"x: float32[2, 3]; y = Transpose(x) perm=[0, 2]", "!axis 2 is outside of [-2, 1]"},
    {"x: float32[2, 3]; s: int64{4, 2}; y = Reshape(x, s)",
     "!the numbers of elements before and after differ: 6 and 8"},
    {"x: float32[2, 3]; s: int64{-1, -1}; y = Reshape(x, s)", "!shape has more than one -1"},
    {"x: float32[2, 3]; s: int64{-1, 4}; y = Reshape(x, s)", "!the numbers of elements before and after differ"},
    {"x: float32[2, 3]; s: int64{6, -2}; y = Reshape(x, s)", "!shape[1] is -2"},
    {"x: float32[2, 3]; s: int64{2, 3, 0}; y = Reshape(x, s)",
     "!shape[2] is 0, which copies axis 2, but input 0 has 2 axes"},
    {"x: float32[2, 3]; s: int64{0, -1}; y = Reshape(x, s) allowzero=1", "!has both 0 and -1"},
    {"x: float32[2, 3]; s: int64{1, 1, 1, 1, 1, 1, 1, 2, 3}; y = Reshape(x, s)", "!lists 9 numbers"},
    {"x: float32[N, 3]; s: int64{1, 3}; y = Reshape(x, s)", "!agree only where N is 1 (add --dim 'N=1')"},
    {"x: float32[2, 3]; s: int64[K]; y = Reshape(x, s)",
     "!how many axes output 0 has depends on run-time values: declare its shape"},
    {"x: float32[24]; s: int64[K]; y = Reshape(x, s) : float32[4, 6]", "!agree only where K is 2 (add --dim 'K=2')"},
    {"x: float32[2, 3]; s: float32[2]; y = Reshape(x, s)", "!input 1 is float32, must be int32 or int64"},
    {"x: float32[2, 3]; s: int64{4611686018427387904, 4611686018427387904}; y = Reshape(x, s)", "!overflows"},
    {"x: float32[1, 1, 1, 1, 1, 1, 1, 1]; a: int64{0}; y = Unsqueeze(x, a)", "!output 0 would have 9 axes"},
    {"x: float32[2, 1]; a: int64{0}; y = Squeeze(x, a)", "!the size of a squeezed axis and 1 differ: 2 and 1"},
    {"x: float32[2, 1]; a: int64{1, -1}; y = Squeeze(x, a)", "!listed twice"},
    {"x: float32[B, 1]; a: int64{0}; y = Squeeze(x, a)", "!(add --dim 'B=1')"},
    {"x: float32[2, 3]; a: int64{2}; y = ReduceSum(x, a)", "!axis 2 is outside of [-2, 1]"},
    {"x: float32[2, 3]; a: int64{0, 1, 0}; y = ReduceSum(x, a)", "!3 axes are listed, there are 2"},
    {"x: float32[2, 0]; y = ArgMax(x) axis=1", "!the least size of the axis and its size: 1 is more than 0"},
    {"x: float32[2]; y: float32[2, 2]; z = Concat(x, y)", "!must have 1 axes"},
    {"x: float32[2, 3]; y: float32[2, 4]; z = Concat(x, y) axis=0", "!sizes beside the axis differ: 3 and 4"},
    {"x: float32[]; y = Concat(x, x)", "!input 0 has shape [], must have 1 to 8 axes"},
    {"x: float32[5]; a, b, c, d = Split(x) num_outputs=4", "!5 cannot be split into 4 parts"},
    {"x: float32[5]; a, b = Split(x) num_outputs=3", "!num_outputs is 3, but there are 2 outputs"},
    {"x: float32[5]; s: int64{2, 2}; a, b = Split(x, s)",
     "!the sum of the parts and the size of the axis differ: 4 and 5"},
    {"x: float32[5]; s: int64{7, -2}; a, b = Split(x, s)", "!the size of part 1 is -2"},
    {"x: float32[5]; s: int64{5}; a, b = Split(x, s)", "!1 sizes are listed, there are 2 outputs"},
    {"x: float32[5]; s: int64{0}; e: int64{5}; a: int64{0}; d: int64{0}; y = Slice(x, s, e, a, d)",
     "!the step of axis 0 is 0"},
    {"x: float32[5]; s: int64{0}; e: int64{5, 6}; y = Slice(x, s, e)",
     "!the lengths of starts, ends, axes and steps differ: 2 and 1"},
    {"x: float32[5]; s: int64{0, 0}; y = Slice(x, s, s)", "!2 axes are sliced, there are 1"},
    {"x: float32[2, 3]; s: int64{4, 3}; y = Expand(x, s)", "!differ: 2 and 4"},
    {"x: float32[2, 1]; s: int64[2]; y = Expand(x, s)", "!has no bound: declare its shape"},
    {"x: float32[2]; r: int64{-1}; y = Tile(x, r)", "!repeats[0] is -1"},
    {"x: float32[2]; r: int64{1, 1}; y = Tile(x, r)", "!2 repeats are listed, there are 1 axes"},
    {"x: float32[2, 2]; r: int64{4611686018427387904, 4}; y = Tile(x, r)", "!overflows"},
    {"x: float32[2]; p: int64{1}; y = Pad(x, p)", "!the length of pads and twice the number of axes differ: 1 and 2"},
    {"x: float32[2]; p: int64{-2, -1}; y = Pad(x, p)", "!would be negative"},
    {"x: float32[0]; p: int64{1, 1}; y = Pad(x, p) mode=edge", "!padded with its own elements: 1 is more than 0"},
    {"x: float32[2]; i: float32[2]; y = Gather(x, i)", "!input 1 is float32, must be int32 or int64"},
    {"x: float32[]; i: int64[2]; y = Gather(x, i)", "!axis 0 is outside"},
    {"x: float32[2, 2, 2, 2, 2]; i: int64[2, 2, 2, 2, 2]; y = Gather(x, i)", "!output 0 would have 9 axes"},
    {"x: float32[3, 4]; i: int64[2, 5]; y = GatherElements(x, i)", "!sizes of indices and data: 5 is more than 4"},
    {"x: float32[3, 4]; i: int64[2, 3]; y = GatherND(x, i)", "!the last size of the indices is 3, must be 1 to 2"},
    {"x: float32[1, 6, 2, 2]; y = DepthToSpace(x) blocksize=2", "!the number of channels, 6, is not a multiple of 4"},
    {"x: float32[1, 6, 2, 2]; y = DepthToSpace(x) blocksize=4611686018427387904", "!blocksize is"},
    {"x: float32[1, 6, 2, 3]; y = SpaceToDepth(x) blocksize=2", "!the width, 3, is not a multiple of 2"},
    {"x: float32[2]; s: float32{0}; y = Resize(x, -, s)", "!the scale of axis 0 is 0, must be positive"},
    {"x: float32[2]; s: float32{nan}; y = Resize(x, -, s)", "!must be positive"},
    {"x: float32[2]; s: float32{1e38}; y = Resize(x, -, s)", "!overflows"},
    {"x: float32[2]; s: float32{1, 2}; y = Resize(x, -, s)", "!differ: 2 and 1"},
    {"x: float32[2]; y = Resize(x)", "!needs either scales or sizes"},
    {"x: float32[2]; s: float32{1}; z: int64{1}; y = Resize(x, -, s, z)", "!needs either scales or sizes"},
    {"x: float32[2]; z: int64(1); y = Resize(x, -, -, z)", "!must have 1 axes"},
    {"s: int64{-1}; y = ConstantOfShape(s)", "!would be negative"},
    {"s: int64{4611686018427387904}; y = ConstantOfShape(s)", "!overflows the address space"},
    {"s: int64[1]; y = ConstantOfShape(s)", "!has no bound: declare its shape"},
    {"a: float32(0); b: float32(1); d: float32(0); y = Range(a, b, d)", "!is no finite range"},
    {"a: int64(0); b: int64(1); d: int64(0); y = Range(a, b, d)", "!delta is 0"},
    {"a: int64(-9223372036854775808); b: int64(9223372036854775807); d: int64(1); y = Range(a, b, d)", "!overflows"},
    {"x: float32[2, 2, 2]; y = EyeLike(x)", "!must have 2 axes"},
    {"x: float32[N<4000000000, M<4000000000, K<4000000000]; y = Relu(x)", "!overflows the address space"},
    {"x: int64[3]; s: int64[3]; y = Reshape(x, s) : int64[4, 4, 4]; z = Add(y, y); w: int64[2, 2, 2]; v = Add(z, w)",
     "int64[2, 2, 2] if 2 = $6 if 2 = $5 if 2 = $4"},
};

/* Two independent errors come in one run; what depends on a wrong node is not reported. */
static const Case graphs[] = {
    {"x: float32[2]; a = Not(x); b = Not(a); c: float32[3]; d = Add(x, c)", "!(Add-0)"},
    {"x: float32[2]; y = Relu(x) : float64[2]", "!output 'y' is declared as float64, but is float32"},
    {"x: float32[2]; y = Relu(x) : float32[2]", "float32[2]"},
    {"x: float32[N]; y = Relu(x) : float32[2]", "float32[N]"},
};

static int count_text(const char *text, const char *part) {
    int n = 0;
    for (const char *s = strstr(text, part); s; s = strstr(s + 1, part)) n++;
    return n;
}

static int test_graph_messages(void) {
    Program p;
    int failed = 0;
    program_parse(&p, "x: float32[2]; a = Not(x); b = Not(a); c: float32[3]; d = Add(x, c)");
    failed += count_text(program_result(&p), "error:") != 2;
    program_free(&p);
    program_parse(&p, "x: float32[2]; y = Relu(x) : float32[3]");
    failed += strcmp(program_result(&p), "float32[2]") != 0;
    failed += !strstr(p.messages, "warning: node 'y' (Relu-0): output 'y' is declared with shape [3], but has [2]");
    program_free(&p);
    return failed;
}

/* Inferring a node again gives the very same dims, those that it writes itself included. */
static int test_again(void) {
    Program p;
    program_parse(&p, "x: float32[24]; s: int64[2]; y = Reshape(x, s) : float32[4, 6]");
    program_result(&p);
    Value *y = p.graph->outputs[0];
    Type before = y->type;
    bool same = node_infer(p.ctx, y->def) && before.dims[0] == y->type.dims[0] && before.dims[1] == y->type.dims[1];
    program_free(&p);
    return !same;
}

int main(void) {
    int failed = test_graph_messages() + test_again();
    if (failed) fprintf(stderr, "graph messages or inference again: %d failed\n", failed);
    return CHECK_CASES(inputs) | CHECK_CASES(contractions) | CHECK_CASES(shapes) | CHECK_CASES(graphs) | (failed != 0);
}
