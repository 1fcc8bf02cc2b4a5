/* Operators that passes take apart by subject (attention, normalisation, losses, sums of products): types and messages.
 */
#include "tests/unit/infer_program.h"

static const Case attention[] = {
    {"q: float32[B, 4, L, 8]; k: float32[B, 2, S, 8]; v: float32[B, 2, S, 6]; y, pk, pv, qk = Attention(q, k, v)",
     "float32[B, 4, L, 6], float32[B, 2, S, 8], float32[B, 2, S, 6], float32[B, 4, L, S]"},
    {"q: float32[B, L, 32]; k: float32[B, S, 16]; v: float32[B, S, 12]; y = Attention(q, k, v) q_num_heads=4 "
     "kv_num_heads=2",
     "float32[B, L, 24]"},
    {"q: float32[1, 2, 3, 8]; k: float32[1, 2, S, 8]; p: float32[1, 2, P, 8]; y, pk, pv = Attention(q, k, k, -, p, p)",
     "float32[1, 2, 3, 8], float32[1, 2, (S + P), 8], float32[1, 2, (S + P), 8]"},
    {"q: float16[1, 2, 3, 8]; m: bool[3, 2]; n: int64[1]; y = Attention(q, q, q, m, -, -, n)", "float16[1, 2, 3, 8]"},
    {"q: float32[1, 2, 3, 8]; y = Attention(q, q, q) qk_matmul_output_mode=4", "!must be 0 to 3"},
    {"q: float32[1, 2, 3, 8]; y = Attention(q, q, q) softcap=-1", "!softcap is -1, must not be negative"},
    {"q: float32[1, 2, 3, 8]; y = Attention(q, q, q) softmax_precision=7", "!must be a float type"},
    {"q: float32[1, 3, 3, 8]; k: float32[1, 2, 3, 8]; y = Attention(q, k, k)", "!3 heads of Q cannot share 2 of K"},
    {"q: float32[1, 2, 3, 8]; k: float32[1, 2, 3, 7]; y = Attention(q, k, k)", "!the sizes of a head of Q and K"},
    {"q: float32[1, 2, 3, 8]; k: float32[1, 2, 3, 8]; v: float32[1, 2, 4, 8]; y = Attention(q, k, v)",
     "!the lengths of K and V differ"},
    {"q: float32[1, 3, 8]; y = Attention(q, q, q)", "!q_num_heads is 0, but input 0 has 3 axes"},
    {"q: float32[1, 3, 8]; y = Attention(q, q, q) q_num_heads=3 kv_num_heads=3", "!is not a multiple of 3"},
    {"q: float32[1, 3, 8]; y = Attention(q, q, q) q_num_heads=-9223372036854775808 kv_num_heads=1",
     "!q_num_heads is -"},
    {"q: float32[1, H, 3, 8]; y = Attention(q, q, q)", "!input 0 has H heads: their number must be pinned"},
    {"q: float32[1, 2, 3, D]; y = Attention(q, q, q)", "!the size of a head, D, decides the scale"},
    {"q: float32[1, 2, 3, 8]; m: float32[3, 4]; y = Attention(q, q, q, m)", "!sizes of the mask and of the scores"},
    {"q: float32[1, 2, 3, 8]; y = Attention(q, q, q, -, q)", "!the past of only one of K and V"},
    {"q: float32[1, 2, 3, 8]; n: int64[1]; y = Attention(q, q, q, -, q, q, n)", "!which exclude each other"},
    {"q: float32[1, 2, 3, 8]; n: int64[2]; y = Attention(q, q, q, -, -, -, n)", "!the number of lengths"},
    {"q: int32[1, 2, 3, 8]; y = Attention(q, q, q)", "!input 0 is int32, must be float"},
    {"x: float32[B, 3, L, 8]; c: float32[50, 4]; p: int64[B, L]; y = RotaryEmbedding(x, c, c, p)",
     "float32[B, 3, L, 8]"},
    {"x: float32[B, L, 24]; c: float32[B, L, 2]; y = RotaryEmbedding(x, c, c) num_heads=3 rotary_embedding_dim=4",
     "float32[B, L, 24]"},
    {"x: float32[1, 2, 24]; c: float32[1, 2, 4]; y = RotaryEmbedding(x, c, c)", "!num_heads is 0"},
    {"x: float32[1, 2, 3, 8]; c: float32[1, 3, 4]; y = RotaryEmbedding(x, c, c) rotary_embedding_dim=10",
     "!10 of the 8 numbers of a head cannot be rotated"},
    {"x: float32[1, 2, 3, 7]; c: float32[1, 3, 4]; y = RotaryEmbedding(x, c, c)", "!cannot be rotated in pairs"},
    {"x: float32[1, 2, 3, 8]; c: float32[1, 3, 3]; y = RotaryEmbedding(x, c, c)", "!the number of angles"},
    {"x: float32[B, 4, L]; w: float32[4, 1, 3]; y, s = CausalConvWithState(x, w)",
     "float32[B, 4, L], float32[B, 4, 2]"},
    {"x: float32[2, 4, 5]; w: float32[4, 2, 3]; y = CausalConvWithState(x, w)", "!the channels that each one reads"},
    {"x: float32[2, 4, 5]; w: float32[4, 1, 0]; y = CausalConvWithState(x, w)", "!it has 0 taps"},
    {"x: float32[2, 4, 5]; w: float32[4, 1, 3]; p: float32[2, 4, 3]; y = CausalConvWithState(x, w, -, p)",
     "!lengths of the past"},
};

static const Case norms[] = {
    {"x: float32[N, 6, H]; s: float32[3]; y = GroupNormalization(x, s, s) num_groups=3", "float32[N, 6, H]"},
    {"x: float32[1, 6]; s: float32[6]; y = GroupNormalization(x, s, s)", "!num_groups is 0, must be at least 1"},
    {"x: float32[1, 6]; s: float32[6]; y = GroupNormalization(x, s, s) num_groups=4", "!is not a multiple of 4"},
    {"x: float32[1, 6]; s: float32[6]; y = GroupNormalization(x, s, s) num_groups=9223372036854775807",
     "!is not a multiple of"},
    {"x: float32[2, 3, 4, 5]; y = MeanVarianceNormalization(x)", "float32[2, 3, 4, 5]"},
    {"x: float32[2, 3]; y = MeanVarianceNormalization(x)", "!3 axes are listed, there are 2"},
    {"x: float32[2, 3]; y = MeanVarianceNormalization(x) axes=[1, -1]", "!is listed twice"},
    {"x: float32[2, 3]; y = LpNormalization(x) p=3", "!p is 3, must be 1 or 2"},
    {"x: float32[2, 3]; y = LpNormalization(x) axis=2", "!axis 2 is outside of"},
    {"x: float64[2, 3]; y = Hardmax(x) axis=0", "float64[2, 3]"},
    {"x: float32[2, 3]; y = Hardmax(x) axis=-3", "!axis -3 is outside of"},
    {"x: int8[2, 3]; a: int64(1); y = CumProd(x, a)", "int8[2, 3]"},
    {"x: int8[2, 3]; a: int64(2); y = CumProd(x, a)", "!axis 2 is outside of"},
};

static const Case losses[] = {
    {"x: float32[N, C]; t: int64[N]; y = NegativeLogLikelihoodLoss(x, t) reduction=none", "float32[N]"},
    {"x: float32[N, 3, H]; t: int32[N, H]; w: float32[3]; y, p = SoftmaxCrossEntropyLoss(x, t, w)",
     "float32[], float32[N, 3, H]"},
    {"x: float32[2]; t: int64[2]; y = NegativeLogLikelihoodLoss(x, t)", "!must have 2 to 8 axes"},
    {"x: float32[2, 3, 4]; t: int64[2, 3]; y = NegativeLogLikelihoodLoss(x, t)", "!sizes of labels and scores differ"},
    {"x: float32[2, 3]; t: float32[2]; y = NegativeLogLikelihoodLoss(x, t)", "!must be int32 or int64"},
    {"x: float32[2, 3]; t: int64[2]; w: float32[2]; y = SoftmaxCrossEntropyLoss(x, t, w)",
     "!weights and classes differ"},
};

static const Case sums[] = {
    {"x: float32[B, I, J]; y: float32[B, J, K]; z = Einsum(x, y) equation='bij, bjk -> bik'", "float32[B, I, K]"},
    {"x: int32[2, 3]; y: int32[3, 4]; z = Einsum(x, y) equation='bA,Ac'", "int32[2, 4]"},
    {"x: float32[5, 4, 4]; z = Einsum(x) equation='...ii->...i'", "float32[5, 4]"},
    {"x: float32[4, 4]; z = Einsum(x) equation='ii'", "float32[]"},
    {"x: float32[3, 1, 2]; y: float32[4, 1]; z = Einsum(x, y) equation='...i,...i->...'", "float32[3, 4]"},
    {"x: float32[]; y: float32[3]; z = Einsum(x, y) equation=',i->i'", "float32[3]"},
    {"x: float32[2]; z = Einsum(x)", "!it has no equation"},
    {"x: float32[2]; z = Einsum(x) equation='ij'", "!a term of another number of axes than its operand"},
    {"x: float32[2]; z = Einsum(x) equation='i,i'", "!another number of terms than there are operands"},
    {"x: float32[2]; z = Einsum(x, x) equation='i'", "!another number of terms than there are operands"},
    {"x: float32[2]; z = Einsum(x) equation='i->j'", "!a letter in its result that no operand has"},
    {"x: float32[2]; z = Einsum(x) equation='i->ii'", "!a letter twice in its result"},
    {"x: float32[2]; z = Einsum(x) equation='i->i,i'", "!something behind its result"},
    {"x: float32[2]; z = Einsum(x) equation='i-i'", "!a dash without an arrow"},
    {"x: float32[2]; z = Einsum(x) equation='..i'", "!a stray dot"},
    {"x: float32[2]; z = Einsum(x) equation='......'", "!a stray dot"},
    {"x: float32[2]; z = Einsum(x) equation='1'", "!a character that is no letter"},
    {"x: float32[2, 3]; z = Einsum(x) equation='...i->i'", "!an ellipsis that its result lacks"},
    {"x: float32[2, 3]; z = Einsum(x) equation='ii'", "!an index that one operand has twice differ: 2 and 3"},
    {"x: float32[2]; y: float32[3]; z = Einsum(x, y) equation='i,i'", "!sizes that are to be broadcast differ"},
    {"x: float32[2]; z = Einsum(x) equation='abcdefghi'", "!too many letters"},
};

static const Case kept[] = {
    {"c: float32[B, 2, 8, D]; u: float32[B, 2, 3, D]; i: int64[B]; y = TensorScatter(c, u, i) mode=circular",
     "float32[B, 2, 8, D]"},
    {"c: int8[2, 8]; u: int8[2, 9]; y = TensorScatter(c, u) axis=-1",
     "!the lengths of update and cache: 9 is more than 8"},
    {"c: float32[2, 8, 3]; u: float32[2, 8, 4]; y = TensorScatter(c, u)", "!sizes of update and cache differ"},
    {"c: float32[2, 8, 3]; u: float32[1, 8, 3]; y = TensorScatter(c, u) axis=0", "!axis is 0, which is the batch's"},
    {"c: float32[2, 8, 3]; y = TensorScatter(c, c) axis=3", "!axis 3 is outside of"},
    {"q: float32[B, T, 64]; k: float32[B, T, 32]; d: float32[B, T, 4]; b: float32[B, T, 1]; "
     "y, s = LinearAttention(q, k, k, -, d, b) q_num_heads=8 kv_num_heads=4",
     "float32[B, T, 64], float32[B, 4, 8, 8]"},
    {"q: float16[1, 2, 8]; p: float32[1, 2, 4, 4]; y, s = LinearAttention(q, q, q, p) q_num_heads=2 kv_num_heads=2 "
     "update_rule=linear",
     "float16[1, 2, 8], float32[1, 2, 4, 4]"},
    {"q: float32[1, 2, 8]; y = LinearAttention(q, q, q) q_num_heads=3 kv_num_heads=2", "!3 heads of Q cannot share 2"},
    {"q: float32[1, 2, 8]; y = LinearAttention(q, q, q)", "!0 heads of Q cannot share 0"},
    {"q: float32[1, 2, 8]; y = LinearAttention(q, q, q) q_num_heads=3 kv_num_heads=3", "!is not a multiple of 3"},
    {"q: float32[1, 2, 8]; y = LinearAttention(q, q, q) q_num_heads=2 kv_num_heads=2", "!its update_rule needs decay"},
    {"q: float32[1, 2, 8]; y = LinearAttention(q, q, q, -, q) q_num_heads=2 kv_num_heads=2 update_rule=delta",
     "!its update_rule has no decay"},
    {"q: float32[1, 2, 8]; d: float32[1, 2, 3]; y = LinearAttention(q, q, q, -, d) q_num_heads=2 kv_num_heads=2 "
     "update_rule=gated",
     "!the numbers of decays"},
};

static const Case maps[] = {
    {"x: float32[B, 3, 3]; y = Det(x)", "float32[B]"},
    {"x: float32[3, 4]; y = Det(x)", "!rows and columns differ: 3 and 4"},
    {"x: float32[3]; y = Det(x)", "!must have 2 to 8 axes"},
    {"t: float32[N, 2, 3]; s: int64{5, 3, 6, 7}; y = AffineGrid(t, s)", "!agree only where N is 5"},
    {"t: float32[5, 3, 4]; s: int64{5, 3, 6, 7, 8}; y = AffineGrid(t, s)", "float32[5, 6, 7, 8, 3]"},
    {"t: float32[5, 3, 4]; s: int64[5]; y = AffineGrid(t, s)", "!has no bound"},
    {"t: float32[5, 3, 3]; s: int64{5, 3, 6, 7}; y = AffineGrid(t, s)", "!theta has shape [5, 3, 3]"},
    {"t: float32[5, 2, 3]; s: int64{5, 3, -6, 7}; y = AffineGrid(t, s)", "!would be negative"},
    {"x: int8[4, B, 3]; s: int64{2, 5}; y = CenterCropPad(x, s) axes=[0, -1]", "int8[2, B, 5]"},
    {"x: int8[4, 4]; s: int64[1]; y = CenterCropPad(x, s) axes=[1] : int8[4, 9]", "int8[4, ?9]"},
    {"x: int8[4, 4]; s: int64{2}; y = CenterCropPad(x, s)", "!the length of a list"},
    {"x: int8[4, 4]; s: int64{2, -1}; y = CenterCropPad(x, s)", "!would be negative"},
    {"x: int8[4, 4]; s: int64{2}; y = CenterCropPad(x, s) axes=[2]", "!axis 2 is outside of"},
};

static const Case drawn[] = {
    {"y = RandomNormal() shape=[2, 3] dtype=11", "float64[2, 3]"},
    {"y = RandomUniform() dtype=1", "!shape is missing"},
    {"y = RandomUniform() shape=[2, -3]", "!shape[1] is -3"},
    {"y = RandomUniform() shape=[2] dtype=6", "!dtype is 6, which it cannot draw"},
    {"y = RandomUniform() shape=[1, 1, 1, 1, 1, 1, 1, 1, 1]", "!shape has 9 axes"},
    {"x: float16[N, 3]; y = RandomNormalLike(x)", "float16[N, 3]"},
    {"x: int32[N, 3]; y = RandomUniformLike(x)", "!dtype is 6, which it cannot draw"},
    {"x: int32[N, 3]; y = RandomUniformLike(x) dtype=1", "float32[N, 3]"},
    {"x: float32[N]; y = Bernoulli(x) dtype=9", "bool[N]"},
    {"x: float32[N, 3]; y = Multinomial(x) sample_size=5 dtype=7", "int64[N, 5]"},
    {"x: float32[N, 3]; y = Multinomial(x) sample_size=-1", "!sample_size is -1"},
    {"x: float32[N, 0]; y = Multinomial(x)", "!the least number of classes"},
    {"x: float32[N, 3]; y = Multinomial(x) dtype=1", "!dtype is 1"},
};

int main(void) {
    return CHECK_CASES(attention) | CHECK_CASES(norms) | CHECK_CASES(losses) | CHECK_CASES(sums) | CHECK_CASES(kept) |
           CHECK_CASES(maps) | CHECK_CASES(drawn);
}
