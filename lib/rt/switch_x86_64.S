/* SPDX-License-Identifier: Apache-2.0
 *
 * The stack switch for x86-64, System V ABI: rbx, rbp and r12 to r15 belong to the caller and are saved. The x87 and SSE
 * control words are not: nothing here changes them, and a program that does, does so for all its tasks.
 *
 * The CFI lines say at every instruction where the caller's frame is, so that a debugger can walk a suspended stack; a new
 * fiber's entry says that there is no caller. */
        .text

        .globl  cel__switch
        .hidden cel__switch
        .type   cel__switch, @function
        .align  16
cel__switch:                            /* rdi: void **save_sp, rsi: void *sp */
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0

        movq    %rsp, (%rdi)
        movq    %rsi, %rsp              /* from here on, the other fiber's frame, laid out the same way */

        .globl  cel__switch_resume      /* where what is saved goes on: tools/celadon-gdb.py looks from here */
        .hidden cel__switch_resume
cel__switch_resume:
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        popq    %rdx
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rdx
        jmp     *%rdx                   /* not ret: that is predicted to go where this fiber was called from */
        .cfi_endproc
        .size   cel__switch, . - cel__switch

        .globl  cel__switch_entry
        .hidden cel__switch_entry
        .type   cel__switch_entry, @function
        .align  16
        .cfi_startproc
        .cfi_undefined %rip
        nop                             /* a debugger looks for a caller one byte before the return address */
cel__switch_entry:                      /* r12: fn, r13: arg; the stack is aligned to 16 */
        xorl    %ebp, %ebp
        call    cel__fiber_entered
        movq    %r13, %rdi
        call    *%r12
        ud2
        .cfi_endproc
        .size   cel__switch_entry, . - cel__switch_entry

        .section .note.GNU-stack, "", @progbits
