/* What people call targets, held against what the rows know. A name that is not known leaves a line in why, with the
 * nearest ones. */
#ifndef MCC_TARGET_NAMES_H
#define MCC_TARGET_NAMES_H

#include "targets/row.h"

/* LLVM's normal form, of the architecture that a row has; NULL or "": the host's. NULL: not known. Freed by LLVM. */
char *names_triple(const char *triple, const char *cpu, char *why, size_t n);
const Row *names_arch(const char *triple); /* its generic row */
/* native: a CPU of the host's that has no row is taken for the best row whose features it has. */
const Row *names_cpu(const Row *generic, const char *cpu, bool native, const char *features, char *why, size_t n);
bool names_features(const Row *generic, const char *features, char *why, size_t n);
bool names_float_hard(const char *triple);
char *names_set_float(const char *triple, bool hard); /* freed by LLVM; NULL: no memory */

#endif
