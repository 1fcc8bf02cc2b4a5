/* The driver's objects. Work that is queued on a stream runs when something waits for it and no sooner, so that a
 * caller who forgets to wait sees old data. One lock guards everything. */
#ifndef MCC_TESTS_CUDA_API_H
#define MCC_TESTS_CUDA_API_H

#include "tests/cuda/emulator.h"

typedef enum WorkKind {
    WORK_LAUNCH,
    WORK_TO_DEVICE,
    WORK_TO_HOST,
    WORK_COPY,
    WORK_FILL,
    WORK_FREE,
    WORK_EVENT,
    WORK_WAIT
} WorkKind;

typedef struct Event Event;
typedef struct Stream Stream;
typedef struct Graph Graph;

typedef struct Work {
    WorkKind kind;
    Launch *launch; /* owned */
    u64 to, from, bytes;
    void *host;
    void *copied;     /* owned: what stood at a pageable host address */
    u32 value, width; /* of a fill */
    Event *event;
    Stream *stream; /* of a wait: which, and how far */
    u64 upto;
    struct Work *next;
} Work;

struct Graph {
    Work *first, **last;
    u32 n;
    bool executable;
};

typedef struct Context {
    bool primary, alive;
    int retained;
    CUresult failed; /* of a kernel: every later call says so */
    Stream *streams; /* the legacy one among them */
    Stream *legacy;
    Module *modules;
    u64 *allocations;
    u32 n_allocations, cap_allocations;
    struct Context *next;
} Context;

struct Stream {
    Context *context;
    bool blocking; /* with the legacy stream */
    Work *first, **last;
    u64 queued, done;
    Graph *capture; /* what is being captured into, or NULL */
    bool capture_owner, capture_failed;
    int capture_mode;
    Stream *next;
};

struct Event {
    Context *context;
    Stream *stream; /* of the last record; NULL: none */
    u64 upto;
    Graph *capture; /* recorded in this capture */
    bool done;
    double time;
};

/* ---- api_context.c ---- */
/* Takes the lock and says what the caller must hear at once: not initialised, no context, an earlier failure. Every
 * function ends with `return api_end(result)`. */
CUresult api_begin(Context **c);
CUresult api_end(CUresult r);
u32 api_device_sm(void);
bool api_attribute(int attribute, int *value);                    /* of the device; false: unknown */
const char *api_setting(const char *name, const char *otherwise); /* of the environment */
void api_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern char api_message[1024]; /* the last one */

/* ---- api_stream.c ---- */
Stream *stream_new(Context *c, bool blocking);
void stream_drop(Stream *s);
Stream *stream_of(Context *c, CUstream s); /* NULL stands for the legacy one; NULL: not a stream of the context */
Work *work_new(WorkKind kind);
void work_drop(Work *w);
CUresult stream_add(Stream *s, Work *w); /* takes the work, also where it fails */
CUresult stream_run(Stream *s, u64 upto);
CUresult context_run(Context *c);                        /* all its streams */
bool context_captures(const Context *c, int least_mode); /* a stream captures in a mode up to this one */

/* ---- api_memory.c ---- */
bool host_is_pinned(const void *p);
CUresult memory_run(const Work *w);
CUresult memory_give(Context *c, u64 address); /* not 0: the context has no such allocation */
void memory_forget(Context *c);                /* gives back all its allocations */

#endif
