/* What --help says: the form of each verb, then its options from their table. */
#include "driver/driver.h"

static const struct {
    Verb verb;
    const char *text;
} forms[] = {
    {VERB_COMPILE, "Usage: mcc [options] MODEL.onnx -o MODEL.o\n"
                   "       mcc run|verify|bench|tune|search|inspect … (mcc VERB --help tells more)\n"
                   "\n"
                   "Compiles a neural network to a native object and a C header that need no runtime.\n"
                   "\n"
                   "  run       compile, execute on inputs from .npy files, write the outputs\n"
                   "  verify    compare compiled code with ONNX's test data, or with the reference kernels\n"
                   "  bench     time the compiled code on this machine\n"
                   "  tune      measure which forms of its layers are the fastest here\n"
                   "  search    choose the kind of numbers of each layer within budgets of bytes and time\n"
                   "  inspect   what a model or an object holds\n"},
    {VERB_RUN,
     "Usage: mcc run MODEL.onnx [--input NAME=FILE.npy …] [--random[=SEED]] [--output-dir=DIR] [options]\n"
     "\n"
     "Compiles in this process, executes the code and writes each output as NAME.npy. Open dimensions take the\n"
     "inputs' sizes, unless --max-dim leaves them open.\n"},
    {VERB_VERIFY,
     "Usage: mcc verify [options] DIR|MODEL.onnx …\n"
     "\n"
     "DIR holds model.onnx and test_data_set_*/{input,output}_N.pb, or folders that do. Compiled code runs on the\n"
     "inputs, each folder in a process of its own, with every buffer between unreadable pages. A MODEL alone is\n"
     "compared with the reference kernels on random inputs. Prints a line each: PASS, FAIL, UNSUPPORTED, CRASH or\n"
     "TIMEOUT; the last line counts them. Succeeds when none failed, crashed or timed out.\n"},
    {VERB_BENCH, "Usage: mcc bench MODEL.onnx [--runs=N] [--json] [options]\n"
                 "\n"
                 "Compiles in this process and times the code: the shortest run and the median.\n"},
    {VERB_TUNE,
     "Usage: mcc tune MODEL.onnx [-o FILE] [--seconds=N] [options]\n"
     "\n"
     "Times forms and tiles of the model's convolutions and products on this machine, and writes those that beat\n"
     "mcc's own choice to FILE, which --tune=FILE then takes, with the same -mcpu and shapes.\n"},
    {VERB_SEARCH,
     "Usage: mcc search MODEL.onnx --calibrate=FOLDER [--max-drop=1%] [--max-flash=256K] [--max-ram=64K]\n"
     "                  [--max-latency=5ms] -o MODEL.o [options]\n"
     "\n"
     "Compiles the model with several kinds of numbers and shares of zeros, in all layers and in single ones, measures\n"
     "how near each is to the float network on the samples and what it takes, prints those that no other one beats,\n"
     "and writes the object of the best within the bounds: the nearest one, or, with --max-drop, the cheapest one.\n"},
    {VERB_INSPECT,
     "Usage: mcc inspect MODEL.onnx|OBJECT.o [options]\n"
     "\n"
     "Of a model: inputs, outputs, operators and parameters. Of an object that mcc wrote: its description.\n"},
};

void help_print(Verb verb, FILE *out) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i].verb == verb) fputs(forms[i].text, out);
    command_options_help(verb, out);
    fputs("\nExit status: 0 done, 1 a bad model or a failed check, 2 a bad command line, 3 a bug in mcc.\n", out);
}
