/* Teams of threads that fold something together: one thread, a warp, or a block of TEAM_BLOCK. Blocks are TEAM_BLOCK
 * threads along x; a block has TEAM_BLOCK / size teams, each of which has one item. */
#ifndef MCC_CODEGEN_GPU_TEAM_H
#define MCC_CODEGEN_GPU_TEAM_H

#include "codegen/gpu.h"

enum { TEAM_BLOCK = 256 };

typedef struct Team {
    Kernel *k;
    int size;
    LLVMValueRef item; /* which one is the team's; the last teams do the last item over, and store nothing */
    LLVMValueRef own;  /* i1: it is the team's own */
    LLVMValueRef lane;
} Team;

typedef struct TeamLoop { /* over every size-th of n elements, with an accumulator or (init NULL) none */
    LLVMBasicBlockRef head, body, exit;
    LLVMValueRef i, acc;
} TeamLoop;

int team_size(int64_t elements, int64_t items); /* that suits so many items of so many elements, at most */
/* items: an integer, whose type indices have. Where there are none, the function's threads go to its end. */
Team team_begin(Kernel *k, int size, LLVMValueRef items);
TeamLoop team_loop(Team *t, LLVMValueRef n, LLVMValueRef init);
void team_loop_end(Team *t, TeamLoop *l, LLVMValueRef next); /* l->acc: the thread's own result */
/* All threads of the team have the result. */
LLVMValueRef team_fold(Team *t, LLVMValueRef v, LLVMValueRef (*fold)(void *arg, LLVMValueRef a, LLVMValueRef b),
                       void *arg);
LLVMValueRef team_is_first(Team *t); /* the thread that stores what the team has in common */

#endif
