/* The mcc command. */
#include "driver/driver.h"
#include "mcc/mcc.h"

int main(int argc, char **argv) {
    crash_guard();
    return mcc_main(argc, argv);
}
