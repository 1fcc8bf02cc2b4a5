/* What the files of mcc verify share. */
#ifndef MCC_VERIFY_H
#define MCC_VERIFY_H

#include "driver/call.h"

enum { VERDICT_SIZE = 512 };
typedef enum Outcome { PASS = 'P', FAIL = 'F', UNSUPPORTED = 'U', CRASH = 'C', TIMEOUT = 'T' } Outcome;
typedef struct Verdict { /* what a child reports, or what its end tells */
    Outcome outcome;
    char text[VERDICT_SIZE]; /* what stands behind the name: ": output 0 at …", or nothing */
} Verdict;
typedef struct Subject { /* a line of the result */
    char *path, *name;
    bool directory;
} Subject;

/* ---- verify.c ---- */
void verdict_set(Verdict *v, Outcome outcome, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Compiles as p->command says; what does not compile is UNSUPPORTED, with the first message. false: the verdict is set.
 */
bool verify_compile(Pipeline *p, Verdict *v);
/* Two calls of the code, with all buffers against the upper and then the lower unreadable page, over different garbage.
 * false: the verdict is set. out: one a model output, in c's buffers, which call_free takes. */
bool verify_call(Pipeline *p, Call *c, const Tensor *const *in, Tensor *out, Verdict *v);

/* ---- verify_pool.c: each subject in a process of its own, n at once; on_verdict is called in the subjects' order ----
 */
bool pool_run(const Command *c, Subject *subjects, int n, void (*check)(const Command *c, const Subject *s, Verdict *v),
              void (*on_verdict)(const Subject *s, const Verdict *v, void *arg), void *arg);

/* ---- verify_data.c: ONNX's test directories; verify_model.c: a model against the reference kernels ---- */
void verify_directory(const Command *c, const Subject *s, Verdict *v);
void verify_model(const Command *c, const Subject *s, Verdict *v);

#endif
