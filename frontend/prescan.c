/* Before protobuf-c sees a byte: walks the file's wire format without recursion, along protobuf-c's own descriptors,
 * and checks depth, lengths, wire types, repeated singular messages, and what unpacking will cost. protobuf-c 1.4 has
 * no limit on depth, and spends up to 47 times the file's size; so it never gets the file, but a skeleton: fields that
 * onnx.proto does not know are left out, and so are the bytes of tensors, in whose place stands the index of a Span.
 * A skeleton is never longer than its file: a shortened message keeps the width of its length, padded. */
#include <inttypes.h>
#include <string.h>
#include "frontend/reader.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5, SPAN_FIELD = 1000, SPAN_MIN = 16, FIELD_COST = 80 };
#define COST_BASE ((size_t)64 << 20)

typedef struct Frame {
    const ProtobufCMessageDescriptor *type;
    size_t end;           /* of the message, in the file */
    size_t len_at, len_n; /* of its length, in the skeleton */
    uint64_t seen;        /* singular messages, by their place in the descriptor */
} Frame;

typedef struct Walk {
    Ctx *ctx;
    const char *what;
    const uint8_t *in;
    size_t at;
    uint8_t *out; /* NULL: the first walk, which checks and measures */
    size_t out_n;
    Span *spans;
    size_t n_spans, cost, max_cost;
    int depth, graphs;
    Frame stack[MAX_MESSAGE_DEPTH];
} Walk;

bool wire_varint(const uint8_t **at, const uint8_t *end, uint64_t *out) {
    uint64_t v = 0;
    for (int i = 0; i < 10 && *at < end; i++) {
        uint8_t byte = *(*at)++;
        v |= (uint64_t)(byte & 127) << (7 * i);
        if (byte < 128) return *out = v, true;
    }
    return false;
}

static bool damaged(Walk *w, const char *why) {
    diag_error(w->ctx, NULL, "%sthe file is damaged, or not ONNX: byte %zu (in %s): %s", w->what, w->at,
               w->stack[w->depth - 1].type->short_name, why);
    return false;
}

static void emit(Walk *w, const void *p, size_t n) {
    if (w->out && n) memcpy(w->out + w->out_n, p, n);
    w->out_n += n;
}

static void emit_varint(Walk *w, uint64_t v) {
    uint8_t bytes[10];
    size_t n = 0;
    for (; v > 127; v >>= 7) bytes[n++] = (uint8_t)(v | 128);
    bytes[n++] = (uint8_t)v;
    emit(w, bytes, n);
}

/* The frame's length, now that it is known, in as many bytes as in the file. */
static void close_frame(Walk *w) {
    Frame *f = &w->stack[--w->depth];
    if (f->type == &pb__graph__descriptor) w->graphs--;
    if (!w->out || !f->len_n) return;
    size_t len = w->out_n - f->len_at - f->len_n;
    for (size_t i = 0; i < f->len_n; i++, len >>= 7)
        w->out[f->len_at + i] = (uint8_t)((len & 127) | (i + 1 < f->len_n ? 128 : 0));
}

static bool open_frame(Walk *w, const ProtobufCFieldDescriptor *field, size_t tag_at, size_t len_at, size_t len) {
    Frame *f = &w->stack[w->depth - 1];
    const ProtobufCMessageDescriptor *type = field->descriptor;
    uint64_t bit = (uint64_t)1 << (field - f->type->fields);
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        if (f->seen & bit) return damaged(w, arena_printf(w->ctx->arena, "%s occurs twice", field->name));
        f->seen |= bit;
    }
    if (w->depth == MAX_MESSAGE_DEPTH) return damaged(w, "messages are nested too deeply");
    if (type == &pb__graph__descriptor && w->graphs++ > MAX_GRAPH_DEPTH)
        return damaged(w, "graphs are nested too deeply");
    emit(w, w->in + tag_at, len_at - tag_at);
    w->stack[w->depth++] = (Frame){type, w->at + len, w->out_n, w->at - len_at, 0};
    emit(w, w->in + len_at, w->at - len_at);
    w->cost += type->sizeof_message;
    return true;
}

static bool takes_span(const Frame *f, const ProtobufCFieldDescriptor *field) {
    if (f->type != &pb__tensor__descriptor) return false;
    return field->id == 4 || field->id == 5 || field->id == 7 || field->id == 9 || field->id == 10 || field->id == 11;
}

static void emit_span(Walk *w, uint32_t field, size_t len) {
    if (w->spans) w->spans[w->n_spans] = (Span){field, w->in + w->at, len};
    emit_varint(w, SPAN_FIELD << 3 | VARINT);
    emit_varint(w, w->n_spans++);
}

static unsigned wire_type_of(ProtobufCType t) {
    switch (t) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32: return FIXED32;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64: return FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return BYTES;
    default: return VARINT;
    }
}

static bool walk_bytes(Walk *w, const ProtobufCFieldDescriptor *field, size_t tag_at) {
    Frame *f = &w->stack[w->depth - 1];
    size_t len_at = w->at;
    const uint8_t *p = w->in + w->at, *end = w->in + f->end;
    uint64_t len;
    if (!wire_varint(&p, end, &len) || p - (w->in + w->at) > 5) return damaged(w, "a length does not end");
    w->at = (size_t)(p - w->in);
    if (len > f->end - w->at) return damaged(w, "a field runs past the end of its message");
    if (field && field->type == PROTOBUF_C_TYPE_MESSAGE) return open_frame(w, field, tag_at, len_at, (size_t)len);
    if (field && len >= SPAN_MIN && takes_span(f, field)) {
        emit_span(w, field->id, (size_t)len);
    } else if (field) {
        emit(w, w->in + tag_at, w->at + (size_t)len - tag_at);
        w->cost += (size_t)len * (wire_type_of(field->type) == BYTES ? 1 : 8);
    }
    w->at += (size_t)len;
    return true;
}

static bool walk_field(Walk *w) {
    Frame *f = &w->stack[w->depth - 1];
    size_t tag_at = w->at;
    const uint8_t *p = w->in + w->at, *end = w->in + f->end;
    uint64_t tag, skipped;
    if (!wire_varint(&p, end, &tag) || p - (w->in + w->at) > 5 || tag > UINT32_MAX || tag >> 3 == 0)
        return damaged(w, "a field has no valid number");
    unsigned wire = (unsigned)(tag & 7);
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(f->type, (unsigned)(tag >> 3));
    if (field && field->id == SPAN_FIELD) field = NULL; /* ours: no file may hold it */
    bool packed = field && wire == BYTES && field->label == PROTOBUF_C_LABEL_REPEATED;
    if (field && wire != wire_type_of(field->type) && !packed)
        return damaged(w, arena_printf(w->ctx->arena, "%s has another type than the standard's", field->name));
    w->at = (size_t)(p - w->in);
    w->cost += field ? FIELD_COST : 0;
    if (wire == BYTES) return walk_bytes(w, field, tag_at);
    if (wire == VARINT) {
        if (!wire_varint(&p, end, &skipped)) return damaged(w, "a number does not end");
        w->at = (size_t)(p - w->in);
    } else if (wire == FIXED32 || wire == FIXED64) {
        size_t n = wire == FIXED32 ? 4 : 8;
        if (f->end - w->at < n) return damaged(w, "a number does not end");
        w->at += n;
    } else {
        return damaged(w, "a field has no valid wire type");
    }
    if (field) emit(w, w->in + tag_at, w->at - tag_at);
    return true;
}

static bool walk(Walk *w, const Mapped *file, const ProtobufCMessageDescriptor *type) {
    w->at = w->out_n = w->n_spans = w->cost = 0;
    w->depth = 1;
    w->graphs = 0;
    w->stack[0] = (Frame){type, file->size, 0, 0, 0};
    while (w->depth) {
        if (w->at == w->stack[w->depth - 1].end) close_frame(w);
        else if (!walk_field(w)) return false;
        if (w->cost <= w->max_cost) continue;
        diag_error(w->ctx, NULL, "%sits structure, without the weights, needs more than %zu MiB of memory", w->what,
                   w->max_cost >> 20);
        return false;
    }
    return true;
}

static void *scratch_alloc(void *arena, size_t bytes) { return arena_alloc(arena, bytes); }
static void scratch_free(void *arena, void *p) { (void)arena, (void)p; } /* with its arena */

const void *wire_unpack(Reader *r, const Mapped *file, const ProtobufCMessageDescriptor *type) {
    Walk w = {.ctx = r->ctx, .what = r->what, .in = file->data, .max_cost = COST_BASE + file->size};
    if (!walk(&w, file, type)) return NULL;
    w.out = arena_alloc(r->scratch, w.out_n + 1);
    w.spans = ARENA_ARRAY(r->scratch, w.n_spans + 1, Span);
    size_t out_n = w.out_n;
    if (!walk(&w, file, type)) return NULL;
    r->spans = w.spans;
    r->n_spans = w.n_spans;
    ProtobufCAllocator allocator = {scratch_alloc, scratch_free, r->scratch};
    const void *message = protobuf_c_message_unpack(type, &allocator, out_n, w.out);
    if (!message) diag_error(r->ctx, NULL, "%sthe file is damaged, or not ONNX", r->what);
    return message;
}
