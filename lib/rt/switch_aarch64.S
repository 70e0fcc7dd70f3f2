/* SPDX-License-Identifier: Apache-2.0
 *
 * The stack switch for aarch64, AAPCS64: x19 to x30 and the lower halves of v8 to v15 belong to the caller and are saved.
 * The CFI lines serve the debugger as in switch_x86_64.S. */
        .text

        .globl  cel__switch
        .hidden cel__switch
        .type   cel__switch, %function
        .align  4
cel__switch:                            /* x0: void **save_sp, x1: void *sp */
        .cfi_startproc
        sub     sp, sp, #160
        .cfi_adjust_cfa_offset 160
        stp     x19, x20, [sp, #0]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        .cfi_rel_offset x19, 0
        .cfi_rel_offset x20, 8
        .cfi_rel_offset x21, 16
        .cfi_rel_offset x22, 24
        .cfi_rel_offset x23, 32
        .cfi_rel_offset x24, 40
        .cfi_rel_offset x25, 48
        .cfi_rel_offset x26, 56
        .cfi_rel_offset x27, 64
        .cfi_rel_offset x28, 72
        .cfi_rel_offset x29, 80
        .cfi_rel_offset x30, 88

        mov     x9, sp
        str     x9, [x0]
        mov     sp, x1                  /* from here on, the other fiber's frame, laid out the same way */

        .globl  cel__switch_resume      /* where what is saved goes on: tools/celadon-gdb.py looks from here */
        .hidden cel__switch_resume
cel__switch_resume:
        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        add     sp, sp, #160
        .cfi_adjust_cfa_offset -160
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x29
        .cfi_restore x30
        ret
        .cfi_endproc
        .size   cel__switch, . - cel__switch

        .globl  cel__switch_entry
        .hidden cel__switch_entry
        .type   cel__switch_entry, %function
        .align  4
        .cfi_startproc
        .cfi_undefined x30
        nop                             /* a debugger looks for a caller just before the return address */
cel__switch_entry:                      /* x19: fn, x20: arg; the stack is aligned to 16 */
        mov     x29, xzr
        bl      cel__fiber_entered
        mov     x0, x20
        blr     x19
        brk     #1
        .cfi_endproc
        .size   cel__switch_entry, . - cel__switch_entry

        .section .note.GNU-stack, "", %progbits
