/* Objects for several processors. */
#ifndef MCC_FAT_H
#define MCC_FAT_H

#include "driver/driver.h"

typedef struct Variants {
    Fat fat;
    const Target *target[MAX_VARIANTS]; /* of falling level */
    Pipeline pipeline[MAX_VARIANTS];    /* of all but the last */
    const char *name;
} Variants;
const Target *variants_find(Variants *v, const Command *c);             /* the least one; NULL after a message */
int variants_generate(Variants *v, const Command *c, const char *name); /* all but the least */
void variants_say(const Variants *v);                                   /* what each adds, for -v */
void variants_free(Variants *v);

#endif
