/* exp, expm1, log, log1p and the activations made of them. */
#include "runtime/builtins/builtins.h"
#include "runtime/builtins/real_f32.h"
#include "runtime/builtins/core.inc"
#include "runtime/builtins/exp_log.inc"
#include "runtime/builtins/real_f64.h"
#include "runtime/builtins/core.inc"
#include "runtime/builtins/exp_log.inc"
