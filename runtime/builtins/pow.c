/* pow: the logarithm and its product with y are carried in two pieces, for the exponential amplifies their errors. */
#include "runtime/builtins/builtins.h"
#include "runtime/builtins/real_f32.h"
#include "runtime/builtins/core.inc"
#include "runtime/builtins/pow.inc"
#include "runtime/builtins/real_f64.h"
#include "runtime/builtins/core.inc"
#include "runtime/builtins/pow.inc"
