/* Which form a node's kernel takes: the first that fits, the reference kernel otherwise. */
#include "codegen/gpu.h"
#include "codegen/loops.h"
#include "codegen/pixels.h"
#include "codegen/planes.h"
#include "codegen/products.h"

const Emitter *emitter_of(const Node *n) {
    switch (n->op) {
    case OP_Fused: return &fused_emitter;
    case OP_Block:
    case OP_Unblock: return &reorder_emitter;
    case OP_BlockConv: return &conv_emitter;
    case OP_BlockDepthwise:
    case OP_BlockPool: return &channelwise_emitter;
    case OP_BlockGlobalPool: return &global_pool_emitter;
    case OP_Planes: return &planes_emitter;
    case OP_PlaneHalo: return &plane_halo_emitter;
    case OP_SparseBlockConv: return &sparse_dot_emitter;
    case OP_SparseConv: return node_is_packed(n) ? &packed_conv_emitter : &sparse_conv_emitter;
    case OP_PlaneDepthwise: return node_int(n, "by_rows") ? &plane_rows_emitter : &plane_window_emitter;
    case OP_PlanePool: return &plane_window_emitter;
    case OP_PlaneGlobalPool: return &plane_global_pool_emitter;
    case OP_BlockGate: return &gate_emitter;
    case OP_BlockResize: return &resize_emitter;
    case OP_BlockNorm: return &block_norm_emitter;
    case OP_Winograd: return &winograd_emitter;
    case OP_Recurrent: return &recurrent_emitter;
    case OP_PixelConv: return &pixel_conv_emitter;
    case OP_PixelDepthwise:
    case OP_PixelPool: return &pixel_channels_emitter;
    case OP_PackedMatMul: return &product_emitter;
    case OP_SparseMatMul: return node_is_packed(n) ? &packed_product_emitter : &sparse_product_emitter;
    case OP_NarrowMatMul: return &narrow_emitter;
    case OP_SparseGemv: return &sparse_row_emitter;
    case OP_PanelMatMul: return &panel_product_emitter;
    case OP_MatMul:
    case OP_Gemm: return vector_product_fits(n) ? &vector_product_emitter : &reference_emitter;
    case OP_Softmax:
    case OP_LogSoftmax:
        if (softmax_has_rows(n)) return &softmax_emitter;
        return softmax_has_columns(n) ? &softmax_columns_emitter : &reference_emitter;
    case OP_LayerNormalization:
    case OP_RMSNormalization:
    case OP_InstanceNormalization: return norm_has_rows(n) ? &norm_emitter : &reference_emitter;
    case OP_FusedAttention: return &attention_emitter;
    case OP_BlockAttention: return &block_attention_emitter;
    case OP_If:
    case OP_Loop:
    case OP_Scan: return &control_emitter;
    case OP_DynamicQuantizeLinear: return &dynamic_quantize_emitter;
    default: return &reference_emitter;
    }
}

bool kernel_has_code_of(const Node *n, int input) {
    const Emitter *e = emitter_of(n);
    return e->code && n->in[input] && n->in[input]->constant && e->in_code(n, input);
}

const char *codegen_form(const Target *t, const Node *n) {
    CodeOptions o = {.target = t};
    return t->sm ? gpu_form(&o, n)->form : emitter_of(n)->form;
}
