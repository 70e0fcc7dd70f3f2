/* SPDX-License-Identifier: Apache-2.0
 *
 * Needs fiber.c, stack.c and the switch only, so it can also be built alone for another machine (see TEST()
 * in test.h). */
#include "rt/fiber.h"
#include "rt/stack.h"
#include "test.h"

#include <stdbool.h>
#include <string.h>

enum { STACK_BYTES = 256 * 1024, ROUNDS = 10000, DEPTH = 50 };

/* Fill every register that belongs to the caller with values made of `seed`, switch, and compare when control
 * is back. Returns a bit for each register that changed. */
unsigned switch_with_full_registers(cel__fiber *from, cel__fiber *to, uint64_t seed);

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl switch_with_full_registers\n"
        ".type switch_with_full_registers, @function\n"
        "switch_with_full_registers:\n"
        "        pushq %rbp\n"
        "        pushq %rbx\n"
        "        pushq %r12\n"
        "        pushq %r13\n"
        "        pushq %r14\n"
        "        pushq %r15\n"
        "        pushq %rdx\n" /* the seed; the stack is now aligned */
        "        leaq 1(%rdx), %rbp\n"
        "        leaq 2(%rdx), %rbx\n"
        "        leaq 3(%rdx), %r12\n"
        "        leaq 4(%rdx), %r13\n"
        "        leaq 5(%rdx), %r14\n"
        "        leaq 6(%rdx), %r15\n"
        "        call cel__fiber_switch\n"
        "        popq %rdx\n"
        "        xorl %eax, %eax\n"
        ".macro changed register, offset\n"
        "        leaq \\offset(%rdx), %rcx\n"
        "        cmpq %rcx, \\register\n"
        "        je 1f\n"
        "        orl $(1 << \\offset), %eax\n"
        "1:\n"
        ".endm\n"
        "        changed %rbp, 1\n"
        "        changed %rbx, 2\n"
        "        changed %r12, 3\n"
        "        changed %r13, 4\n"
        "        changed %r14, 5\n"
        "        changed %r15, 6\n"
        "        popq %r15\n"
        "        popq %r14\n"
        "        popq %r13\n"
        "        popq %r12\n"
        "        popq %rbx\n"
        "        popq %rbp\n"
        "        ret\n"
        ".size switch_with_full_registers, . - switch_with_full_registers\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl switch_with_full_registers\n"
        ".type switch_with_full_registers, %function\n"
        "switch_with_full_registers:\n"
        "        sub sp, sp, #176\n"
        "        stp x19, x20, [sp, #0]\n"
        "        stp x21, x22, [sp, #16]\n"
        "        stp x23, x24, [sp, #32]\n"
        "        stp x25, x26, [sp, #48]\n"
        "        stp x27, x28, [sp, #64]\n"
        "        stp x29, x30, [sp, #80]\n"
        "        stp d8, d9, [sp, #96]\n"
        "        stp d10, d11, [sp, #112]\n"
        "        stp d12, d13, [sp, #128]\n"
        "        stp d14, d15, [sp, #144]\n"
        "        str x2, [sp, #160]\n"
        ".irp n, 19,20,21,22,23,24,25,26,27,28,29\n"
        "        add x\\n, x2, #\\n\n"
        ".endr\n"
        ".irp n, 8,9,10,11,12,13,14,15\n"
        "        add x9, x2, #\\n\n"
        "        fmov d\\n, x9\n"
        ".endr\n"
        "        bl cel__fiber_switch\n"
        "        ldr x2, [sp, #160]\n"
        "        mov w0, wzr\n"
        ".irp n, 19,20,21,22,23,24,25,26,27,28,29\n"
        "        add x9, x2, #\\n\n"
        "        cmp x9, x\\n\n"
        "        b.eq 1f\n"
        "        orr w0, w0, #(1 << \\n)\n"
        "1:\n"
        ".endr\n"
        ".irp n, 8,9,10,11,12,13,14,15\n"
        "        add x9, x2, #\\n\n"
        "        fmov x10, d\\n\n"
        "        cmp x9, x10\n"
        "        b.eq 1f\n"
        "        orr w0, w0, #(1 << \\n)\n"
        "1:\n"
        ".endr\n"
        "        ldp x19, x20, [sp, #0]\n"
        "        ldp x21, x22, [sp, #16]\n"
        "        ldp x23, x24, [sp, #32]\n"
        "        ldp x25, x26, [sp, #48]\n"
        "        ldp x27, x28, [sp, #64]\n"
        "        ldp x29, x30, [sp, #80]\n"
        "        ldp d8, d9, [sp, #96]\n"
        "        ldp d10, d11, [sp, #112]\n"
        "        ldp d12, d13, [sp, #128]\n"
        "        ldp d14, d15, [sp, #144]\n"
        "        add sp, sp, #176\n"
        "        ret\n"
        ".size switch_with_full_registers, . - switch_with_full_registers\n");
#endif

/* Two flows of control: the test's own and one fiber. */
typedef struct pair {
        cel__stack_pool stacks;
        cel__stack *stack;
        cel__fiber home, away;
        unsigned visits;
        unsigned changed; /* registers */
        bool aligned;
} pair;

static void pair_init(pair *p, void (*fn)(void *arg))
{
        memset(p, 0, sizeof(*p));
        cel__stack_pool_init(&p->stacks, STACK_BYTES);
        p->stack = cel__stack_get(&p->stacks);
        CHECK(p->stack != NULL);
        cel__fiber_init_thread(&p->home);
        cel__fiber_init(&p->away, p->stack->lo, p->stack->bytes, fn, p);
}

static void pair_fini(pair *p)
{
        cel__fiber_fini(&p->away);
        cel__stack_put(&p->stacks, p->stack);
        cel__stack_pool_fini(&p->stacks);
}

static void visit_twice(void *arg)
{
        pair *p = arg;
        char *frame = __builtin_frame_address(0);

        p->aligned = (uintptr_t)frame % 16 == 0;
        if (frame > p->stack->lo && frame < p->stack->lo + p->stack->bytes)
                p->visits++;
        cel__fiber_switch(&p->away, &p->home);
        p->visits++;
        cel__fiber_leave(&p->away, &p->home);
}

TEST(a_fiber_starts_on_its_own_aligned_stack_and_goes_on_where_it_stopped)
{
        pair p;

        pair_init(&p, visit_twice);
        CHECK_INT(p.visits, 0);
        cel__fiber_switch(&p.home, &p.away);
        CHECK_INT(p.visits, 1);
        cel__fiber_switch(&p.home, &p.away);
        CHECK_INT(p.visits, 2);
        CHECK(p.aligned);
        pair_fini(&p);
}

TEST(a_fiber_that_never_ran_can_be_forgotten)
{
        pair p;

        pair_init(&p, visit_twice);
        pair_fini(&p);
        CHECK_INT(p.visits, 0);
}

static void echo_with_full_registers(void *arg)
{
        pair *p = arg;

        for (uint64_t i = 0; i < ROUNDS; i++)
                p->changed |= switch_with_full_registers(&p->away, &p->home, i << 40 | 0xaa00);
        cel__fiber_leave(&p->away, &p->home);
}

TEST(every_register_of_the_caller_survives_a_switch)
{
        pair p;
        unsigned changed = 0;

        pair_init(&p, echo_with_full_registers);
        for (uint64_t i = 0; i <= ROUNDS; i++)
                changed |= switch_with_full_registers(&p.home, &p.away, i << 40 | 0x5500);
        CHECK_INT(changed, 0);
        CHECK_INT(p.changed, 0);
        pair_fini(&p);
}

/* Each level keeps values of its own in registers and on the stack, and switches on the way down and on the
 * way up. */
static unsigned descend(pair *p, cel__fiber *from, cel__fiber *to, uint64_t depth)
{
        volatile double real = (double)depth * 0.5;
        uint64_t kept[4] = {depth, depth * 3, depth * 5, depth * 7};
        unsigned changed = switch_with_full_registers(from, to, depth << 32);

        if (depth > 0)
                changed |= descend(p, from, to, depth - 1);
        changed |= switch_with_full_registers(from, to, depth << 33);
        for (unsigned i = 0; i < 4; i++)
                if (kept[i] != depth * (2 * i + 1))
                        changed |= 1;
        return real == (double)depth * 0.5 ? changed : changed | 1;
}

static void descend_away(void *arg)
{
        pair *p = arg;

        p->changed = descend(p, &p->away, &p->home, DEPTH);
        cel__fiber_leave(&p->away, &p->home);
}

TEST(registers_survive_across_deep_calls_on_both_sides)
{
        pair p;

        pair_init(&p, descend_away);
        CHECK_INT(descend(&p, &p.home, &p.away, DEPTH), 0);
        cel__fiber_switch(&p.home, &p.away);
        CHECK_INT(p.changed, 0);
        pair_fini(&p);
}

static void fill_stack_and_leave(void *arg)
{
        pair *p = arg;
        volatile char block[8192];

        for (size_t i = 0; i < sizeof(block); i++)
                block[i] = (char)0xee;
        p->visits++;
        cel__fiber_leave(&p->away, &p->home);
}

TEST(a_stack_serves_one_fiber_after_another)
{
        pair p;

        pair_init(&p, fill_stack_and_leave);
        for (unsigned i = 1; i <= 1000; i++) {
                cel__fiber_switch(&p.home, &p.away);
                CHECK_INT(p.visits, i);
                cel__fiber_fini(&p.away);
                cel__fiber_init(&p.away, p.stack->lo, p.stack->bytes, fill_stack_and_leave, &p);
        }
        pair_fini(&p);
}
