/* The compiler as a library, libmcc: models compiled, loaded and called in one process. C99 and C++. For programs that
 * meet their models while they run; what ships with a program is better compiled with it, by the command. Compilations
 * of several threads wait for each other. Messages go to standard error. */
#ifndef MCC_MCC_H
#define MCC_MCC_H

#include <mcc/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { /* exit codes of the command, and what these functions return */
    MCC_DONE = 0,
    MCC_BAD_MODEL = 1, /* the model, its data, a file, or memory */
    MCC_BAD_USAGE = 2, /* the options */
    MCC_OUR_BUG = 3
};

/* What the command does with these arguments, argv[0] its name; argv[argc] is NULL. Its exit code. */
int mcc_main(int argc, char **argv);

typedef struct mcc_loaded mcc_loaded;

/* Compiles the model of this path for this machine's processor and loads the code. options: n of them, as the verb run
 * has them ("--quantize=int8", "--dim=batch=1", "-O3"), each with its value in it. MCC_DONE and *out, to be given to
 * mcc_unload, or another code after a message. */
int mcc_load(const char *path, const char *const *options, int n, mcc_loaded **out);

/* Its run may be called from several threads, each with a workspace of its own. Lives until mcc_unload. */
const mcc_model *mcc_loaded_model(const mcc_loaded *loaded);

void mcc_unload(mcc_loaded *loaded); /* NULL: nothing */

#ifdef __cplusplus
}
#endif
#endif
