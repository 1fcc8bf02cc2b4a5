/* Declared types: read from the model, written in messages, and for constants compared with
 * what they are; inference does that for what nodes make. */
#include <inttypes.h>
#include "frontend/reader.h"

static bool read_tensor_type(Reader *r, const Pb__Type__Dense *p, const char *label, Type *out) {
    int32_t dtype = p->elem_type;
    if (dtype <= DT_NONE || dtype >= DT_COUNT) {
        diag_error(r->ctx, NULL, "%s: element type %" PRId32 " is unknown", label, dtype);
        return false;
    }
    out->dtype = (Dtype)dtype;
    out->rank = -1;
    if (!p->shape) return true;
    if (p->shape->n_dim > MCC_MAX_RANK) {
        diag_error(r->ctx, NULL, "%s: rank %zu is more than mcc handles, %d", label, p->shape->n_dim, MCC_MAX_RANK);
        return false;
    }
    out->rank = (int)p->shape->n_dim;
    for (int i = 0; i < out->rank; i++) {
        const Pb__Dim *d = p->shape->dim[i];
        if (d->value_case != PB__DIM__VALUE_DIM_VALUE) continue;
        if (d->dim_value < 0 || d->dim_value > MAX_DIM) {
            diag_error(r->ctx, NULL, "%s: dim %d is declared as %" PRId64 ", which is %s", label, i, d->dim_value,
                       d->dim_value < 0 ? "negative" : "too large");
            return false;
        }
        out->dims[i] = dim_const(r->ctx, d->dim_value);
    }
    return true;
}

bool type_read(Reader *r, const Pb__Type *p, const char *label, Type *out) {
    for (;;) {
        *out = (Type){.rank = -1};
        const Pb__Type *element = NULL;
        switch (p ? p->value_case : PB__TYPE__VALUE__NOT_SET) {
        case PB__TYPE__VALUE_TENSOR_TYPE:
            out->kind = TYPE_TENSOR;
            return read_tensor_type(r, p->tensor_type, label, out);
        case PB__TYPE__VALUE_SPARSE_TENSOR_TYPE:
            out->kind = TYPE_SPARSE;
            return read_tensor_type(r, p->sparse_tensor_type, label, out);
        case PB__TYPE__VALUE_SEQUENCE_TYPE: out->kind = TYPE_SEQUENCE, element = p->sequence_type->elem_type; break;
        case PB__TYPE__VALUE_OPTIONAL_TYPE: out->kind = TYPE_OPTIONAL, element = p->optional_type->elem_type; break;
        case PB__TYPE__VALUE_MAP_TYPE: out->kind = TYPE_MAP, element = p->map_type->value_type; break;
        default: return true;
        }
        Type *inner = ARENA_NEW(r->ctx->arena, Type);
        out->element = inner;
        p = element;
        out = inner;
    }
}

const char *type_text(Ctx *ctx, const Type *t) {
    static const char *const kinds[] = {
        [TYPE_UNKNOWN] = "of unknown type", [TYPE_TENSOR] = "a tensor", [TYPE_SEQUENCE] = "a sequence",
        [TYPE_OPTIONAL] = "an optional",    [TYPE_MAP] = "a map",       [TYPE_SPARSE] = "a sparse tensor"};
    if (t->kind != TYPE_TENSOR) return kinds[t->kind];
    const char *s = dtype_name(t->dtype);
    if (t->rank < 0) return s;
    s = arena_printf(ctx->arena, "%s[", s);
    for (int i = 0; i < t->rank; i++)
        s = arena_printf(ctx->arena, "%s%s%s", s, i ? "," : "", t->dims[i] ? dim_text(ctx, t->dims[i]) : "?");
    return arena_printf(ctx->arena, "%s]", s);
}

static bool shape_agrees(const Type *declared, const Type *found) {
    if (declared->rank >= 0 && declared->rank != found->rank) return false;
    for (int i = 0; i < declared->rank; i++)
        if (declared->dims[i] && declared->dims[i] != found->dims[i]) return false;
    return true;
}

bool check_declared(Reader *r, const Value *v, const Type *declared) {
    const Type *found = &v->type;
    if (declared->kind == TYPE_UNKNOWN) return true;
    if (declared->kind != found->kind || declared->dtype != found->dtype) {
        diag_error(r->ctx, NULL, "'%s' is declared as %s, but is %s", diag_name(r->ctx, v->name),
                   type_text(r->ctx, declared), type_text(r->ctx, found));
        return false;
    }
    if (!shape_agrees(declared, found))
        diag_warn(r->ctx, "shape", NULL, "'%s' is declared as %s, but is %s", diag_name(r->ctx, v->name),
                  type_text(r->ctx, declared), type_text(r->ctx, found));
    return true;
}
