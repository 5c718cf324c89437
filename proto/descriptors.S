/* The FileDescriptorSet of every .proto, for server reflection. */
    .section .rodata
    .globl kontor_descriptors_start
    .globl kontor_descriptors_end
    .balign 16
kontor_descriptors_start:
    .incbin DESCRIPTORS
kontor_descriptors_end:
    .section .note.GNU-stack, "", @progbits
