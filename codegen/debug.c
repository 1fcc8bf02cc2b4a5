/* -g: debug information that takes the code back to the graph. Its one source file is the graph's text, which the
 * driver writes beside the object, a line of it a node. A call in the body has the line of its node; a kernel, which
 * several nodes may share, that of the first of them, for all that it does. The code is the same with and without. */
#include <llvm-c/DebugInfo.h>
#include <string.h>
#include "codegen/gen.h"

enum { GRAPH_LINE = 1 }; /* the graph's own: its inputs and outputs */

/* The graphs that a node runs stand behind it, each behind a line of its own. */
static int fill_graph_lines(Gen *g, const Graph *graph, int line) {
    for (const Node *n = graph->first; n; n = n->next) {
        int inside = line + 1;
        g->lines[n->id] = line;
        for (int i = 0; i < n->n_attrs; i++)
            if (n->attrs[i].kind == ATTR_GRAPH) inside = fill_graph_lines(g, n->attrs[i].graph, inside + 1);
        line += node_lines(n);
    }
    return line;
}

static void fill_lines(Gen *g) {
    g->lines = ARENA_ARRAY(g->ctx->arena, g->ctx->next_id, int);
    fill_graph_lines(g, g->graph, GRAPH_LINE + 1);
}

static void add_flag(Gen *g, const char *name, unsigned value) {
    LLVMAddModuleFlag(g->module, LLVMModuleFlagBehaviorWarning, name, strlen(name),
                      LLVMValueAsMetadata(LLVMConstInt(g->i32, value, 0)));
}

void debug_open(Gen *g, Gen *first) {
    enum { DWARF = 4 };
    static const char producer[] = "mcc";
    const char *file = g->opt->debug_file;
    if (!file) return;
    if (g == first) fill_lines(g);
    g->lines = first->lines;
    add_flag(g, "Debug Info Version", LLVMDebugMetadataVersion());
    add_flag(g, "Dwarf Version", DWARF);
    g->debug = LLVMCreateDIBuilder(g->module);
    g->debug_file = LLVMDIBuilderCreateFile(g->debug, file, strlen(file), "", 0);
    LLVMDIBuilderCreateCompileUnit(g->debug, LLVMDWARFSourceLanguageC99, g->debug_file, producer, sizeof producer - 1,
                                   g->opt->opt_level > 0, "", 0, 0, "", 0, LLVMDWARFEmissionFull, 0, 0, 0, "", 0, "",
                                   0);
}

void debug_close(Gen *g) {
    if (!g->debug) return;
    LLVMDIBuilderFinalize(g->debug);
    LLVMDisposeDIBuilder(g->debug);
    g->debug = NULL;
}

static int line_of(const Gen *g, const Node *n) { return n ? g->lines[n->id] : GRAPH_LINE; }

static LLVMMetadataRef location(Gen *g, LLVMValueRef fn, const Node *n) {
    return LLVMDIBuilderCreateDebugLocation(g->llvm, (unsigned)line_of(g, n), 0, LLVMGetSubprogram(fn), NULL);
}

void debug_function(Gen *g, LLVMValueRef fn, const Node *n) {
    if (!g->debug) return;
    size_t length;
    const char *name = LLVMGetValueName2(fn, &length);
    unsigned line = (unsigned)line_of(g, n);
    bool local = LLVMGetLinkage(fn) != LLVMExternalLinkage;
    LLVMMetadataRef type = LLVMDIBuilderCreateSubroutineType(g->debug, g->debug_file, NULL, 0, LLVMDIFlagZero);
    LLVMSetSubprogram(fn,
                      LLVMDIBuilderCreateFunction(g->debug, g->debug_file, name, length, name, length, g->debug_file,
                                                  line, type, local, 1, line, LLVMDIFlagZero, g->opt->opt_level > 0));
}

void debug_at(Gen *g, LLVMBuilderRef b, LLVMValueRef fn, const Node *n) {
    if (g->debug) LLVMSetCurrentDebugLocation2(b, location(g, fn, n));
}

void debug_whole(Gen *g, LLVMValueRef fn, const Node *n) {
    if (!g->debug) return;
    debug_function(g, fn, n);
    LLVMMetadataRef here = location(g, fn, n);
    for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(fn); b; b = LLVMGetNextBasicBlock(b))
        for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i))
            LLVMInstructionSetDebugLoc(i, here);
}
