/* How much stack a call of the model takes at most, on targets without an operating system, where somebody has to set
 * it aside. LLVM tells each function's frame as it lays it out, as a remark; the module tells who calls whom. Nothing
 * recurses. What memcpy, memmove and memset take is theirs. */
#include <llvm-c/Support.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/gen.h"

static const char key[] = "mcc-frame"; /* a function's attribute: bytes */
enum { AT = (int)LLVMAttributeFunctionIndex };

bool stack_is_bounded(const Gen *g) { return g->target->bare && g->target->pointer_bits == 32; }

void stack_listen(const Gen *g) { /* the C API has no other way to ask for remarks */
    static bool done;
    static const char *const args[] = {"mcc", "-pass-remarks-analysis=prologepilog"};
    if (done || !stack_is_bounded(g)) return;
    LLVMParseCommandLineOptions(2, args, NULL);
    done = true;
}

/* "…: 96 stack bytes in function 'f'": kept with the function */
void stack_note(Gen *g, const char *remark) {
    static const char before[] = " stack bytes in function '";
    const char *at = strstr(remark, before), *name = at ? at + sizeof before - 1 : NULL;
    const char *end = name ? strrchr(name, '\'') : NULL;
    if (!end) return;
    const char *digits = at;
    while (digits > remark && digits[-1] >= '0' && digits[-1] <= '9') digits--;
    char copy[256];
    snprintf(copy, sizeof copy, "%.*s", (int)(end - name), name);
    LLVMValueRef f = LLVMGetNamedFunction(g->module, copy);
    if (f)
        LLVMAddAttributeAtIndex(
            f, (LLVMAttributeIndex)AT,
            LLVMCreateStringAttribute(g->llvm, key, sizeof key - 1, digits, (unsigned)(at - digits)));
}

/* A frame of larger alignment than the ABI's begins at a multiple of it: what lies before is lost. */
static size_t realignment(Gen *g, LLVMValueRef f) {
    enum { ABI = 8, VECTOR = 16 };
    size_t most = g->target->vector_bits ? VECTOR : ABI;
    for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b))
        for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i))
            if (LLVMIsAAllocaInst(i) && LLVMGetAlignment(i) > most) most = LLVMGetAlignment(i);
    return most > ABI ? most : 0;
}

static size_t frame_of(Gen *g, LLVMValueRef f) {
    LLVMAttributeRef a = LLVMGetStringAttributeAtIndex(f, (LLVMAttributeIndex)AT, key, sizeof key - 1);
    unsigned n = 0;
    return (a ? (size_t)strtoul(LLVMGetStringAttributeValue(a, &n), NULL, 10) : 0) + realignment(g, f);
}

/* with all that it calls by name */
static size_t depth_of(Gen *g, LLVMValueRef f) {
    size_t most = 0;
    for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b))
        for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i)) {
            LLVMValueRef callee = LLVMIsACallInst(i) ? LLVMGetCalledValue(i) : NULL;
            if (!callee || !LLVMIsAFunction(callee) || LLVMIsDeclaration(callee)) continue;
            size_t depth = depth_of(g, callee);
            if (depth > most) most = depth;
        }
    return frame_of(g, f) + most;
}

/* Who calls a helper shows in instructions alone, and helpers may call helpers, but none of them twice at a time. */
size_t stack_bound(Gen *g) {
    size_t most = 0, helpers = 0;
    for (LLVMValueRef f = LLVMGetFirstFunction(g->module); f; f = LLVMGetNextFunction(f)) {
        if (LLVMIsDeclaration(f)) continue;
        if (is_helper(f)) {
            helpers += frame_of(g, f);
            continue;
        }
        size_t depth = depth_of(g, f);
        if (depth > most) most = depth;
    }
    return most + helpers;
}
