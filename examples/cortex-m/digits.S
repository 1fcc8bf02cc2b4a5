/* A hundred held-out digits as bytes of the program, in a section of their own: no part of what a model takes of the flash. */
    .section .rodata.digits, "a"
    .global digits_images, digits_labels
    .balign 64
digits_images: /* 784 float32 each */
    .incbin "images.f32"
digits_labels: /* a byte each */
    .incbin "labels.u8"
    .section .note.GNU-stack, "", %progbits
