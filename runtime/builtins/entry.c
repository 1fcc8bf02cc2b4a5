/* The described entry's checks, the same for every model: mcc_model.run calls them before the body runs. Linked into
 * each model from bitcode. */
#include "mcc/runtime.h"

/* Holds the inputs against the model's description. symbol_of[input * MCC_MAX_RANK + axis] names the open dim at that
 * place, or is -1; the first place that speaks of an open dim gives its value, every other must agree. */
int mcc_check_inputs(const mcc_model *m, const mcc_tensor *in, const mcc_tensor *out, const void *workspace,
                     const int16_t *symbol_of, int64_t *symbols, int32_t n_symbols) {
    if ((!in && m->n_inputs) || (!out && m->n_outputs) || !workspace) return MCC_E_NULL;
    for (int32_t i = 0; i < n_symbols; i++) symbols[i] = -1;
    for (int32_t i = 0; i < m->n_inputs; i++) {
        const mcc_tensor_info *info = &m->inputs[i];
        if (in[i].dtype != info->dtype) return MCC_E_DTYPE;
        if (in[i].rank != info->rank) return MCC_E_SHAPE;
        for (int32_t d = 0; d < info->rank; d++) {
            int64_t dim = in[i].dims[d];
            int symbol = symbol_of[i * MCC_MAX_RANK + d];
            if (dim < 0 || (symbol < 0 && dim != info->dims[d])) return MCC_E_SHAPE;
            if (dim > info->max_dims[d]) return MCC_E_BOUND;
            if (symbol < 0) continue;
            if (symbols[symbol] >= 0 && symbols[symbol] != dim) return MCC_E_SHAPE;
            symbols[symbol] = dim;
        }
    }
    for (int32_t i = 0; i < m->n_outputs; i++)
        if (out[i].dtype != m->outputs[i].dtype) return MCC_E_DTYPE;
    return MCC_OK;
}

/* Buffers that are there, aligned to their element and large enough. bytes: of each input, then each output, as this
 * call's dims need them; the dims of the outputs are written already. */
int mcc_check_buffers(const mcc_model *m, const mcc_tensor *in, const mcc_tensor *out, const int64_t *bytes,
                      const uint8_t *align) {
    for (int32_t i = 0; i < m->n_inputs + m->n_outputs; i++) {
        const mcc_tensor *t = i < m->n_inputs ? &in[i] : &out[i - m->n_inputs];
        if (bytes[i] > 0 && !t->data) return MCC_E_NULL;
        if ((uintptr_t)t->data & (align[i] - 1u))
            return MCC_E_ALIGN; /* a power of two; % would be a library call on Arm */
        if ((uint64_t)bytes[i] > t->bytes) return MCC_E_SPACE;
    }
    return MCC_OK;
}
