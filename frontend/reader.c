/* From a path to a Graph: maps the file, checks its bytes, unpacks, builds, infers. The only way in for models and
 * tensors. */
#include <inttypes.h>
#include <string.h>
#include "frontend/frontend.h"
#include "frontend/reader.h"

static bool uses_standard(const Pb__Graph *g) {
    for (size_t i = 0; i < g->n_node; i++)
        if (is_standard(str_pb(g->node[i]->domain))) return true;
    return false;
}

static bool find_opset(Reader *r, const Pb__Model *m) {
    int64_t opset = -1;
    for (size_t i = 0; i < m->n_opset_import; i++) {
        const Pb__OperatorSet *s = m->opset_import[i];
        if (!is_standard(str_pb(s->domain))) continue;
        if (opset >= 0 && opset != s->version) {
            diag_error(r->ctx, NULL, "it asks for two opsets of ai.onnx, %" PRId64 " and %" PRId64, opset, s->version);
            return false;
        }
        opset = s->version;
    }
    r->opset = (int)opset;
    if (opset >= OPSET_MIN && opset <= OPSET_MAX) return true;
    if (opset < 0 && !uses_standard(m->graph)) return true;
    if (opset < 0) diag_error(r->ctx, NULL, "it does not say which opset of ai.onnx it uses");
    else
        diag_error(r->ctx, NULL, "its opset is %" PRId64 "; mcc reads %d to %d%s", opset, OPSET_MIN, OPSET_MAX,
                   opset < OPSET_MIN ? " (onnx.version_converter brings old models up)" : "");
    return false;
}

static bool check_model(Reader *r, const Pb__Model *m) {
    if (!m->has_ir_version || m->ir_version < 1) {
        diag_error(r->ctx, NULL, "the file is not an ONNX model: it has no ir_version");
        return false;
    }
    if (!m->graph) {
        diag_error(r->ctx, NULL, "the file is not an ONNX model: it has no graph");
        return false;
    }
    if (m->ir_version > IR_VERSION_MAX)
        diag_warn(r->ctx, "opset", NULL, "its ir_version is %" PRId64 ", newer than those that mcc knows, 3 to %d",
                  m->ir_version, IR_VERSION_MAX);
    return find_opset(r, m);
}

static Graph *build_graph(Reader *r) {
    Graph *g = functions_sort(r) ? graph_read(r, r->model->graph, NULL, NULL, 0) : NULL;
    if (r->unsupported) return unsupported_list(r), NULL;
    if (g) g->opset = r->opset, graph_close(r, g);
    return g && resolve_inputs(r, g) && infer_graph(r->ctx, g) && diag_errors(r->ctx) == 0 ? g : NULL;
}

Graph *onnx_read(Ctx *ctx, const char *path) {
    const Mapped *file = map_file(ctx, path, "");
    if (!file) return NULL;
    Reader r = {.ctx = ctx, .scratch = arena_new(ctx), .path = path, .what = ""};
    r.unsupported_end = &r.unsupported;
    r.model = wire_unpack(&r, file, &pb__model__descriptor);
    Graph *g = r.model && check_model(&r, r.model) ? build_graph(&r) : NULL;
    arena_free(r.scratch);
    return g;
}

Tensor *onnx_read_tensor(Ctx *ctx, Graph *g, const char *path, Str *name) {
    const char *slash = strrchr(path, '/');
    const char *what = arena_printf(ctx->arena, "%s: ", diag_name(ctx, str_of(slash ? slash + 1 : path)));
    const Mapped *file = map_file(ctx, path, what);
    if (!file) return NULL;
    Reader r = {.ctx = ctx, .scratch = arena_new(ctx), .path = path, .what = what};
    const Pb__Tensor *p = wire_unpack(&r, file, &pb__tensor__descriptor);
    Tensor *t = p ? (Tensor *)tensor_read(&r, g, p, NULL, "tensor") : NULL;
    if (t && name) *name = arena_str(g->arena, (const char *)p->name.data, p->name.len);
    arena_free(r.scratch);
    return t;
}
