/* The reference kernels as bitcode, carried inside mcc: one for 64-bit targets, one for 32-bit ones. */
    .section .rodata
    .balign 16
    .global mcc_kernels64, mcc_kernels64_end, mcc_kernels32, mcc_kernels32_end
mcc_kernels64:
    .incbin "kernels64.bc"
mcc_kernels64_end:
    .balign 16
mcc_kernels32:
    .incbin "kernels32.bc"
mcc_kernels32_end:
    .section .note.GNU-stack,"",%progbits
