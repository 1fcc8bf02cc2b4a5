/* sin, cos, tan: reduced to |r| ≤ π/4 (angle.h), then one polynomial each for sine and cosine; tan is their quotient.
 */
#include "runtime/builtins/angle.h"
#include "runtime/builtins/builtins.h"
#include "runtime/builtins/real_f32.h"
#include "runtime/builtins/trig.inc"
#include "runtime/builtins/real_f64.h"
#include "runtime/builtins/trig.inc"
