/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/fiber.h"
#include "base/assert.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else /* built without valgrind's header: valgrind will be confused, nothing else */
#define VALGRIND_STACK_REGISTER(lo, hi)   ((void)(lo), (void)(hi), 0)
#define VALGRIND_STACK_DEREGISTER(number) ((void)(number))
#endif

#ifdef CEL__ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CEL__TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* switch_<machine>.S: save the callee-saved registers on the running stack, store its stack pointer in
 * *save_sp, and continue what was saved at `sp`. */
void cel__switch(void **save_sp, void *sp);

/* switch_<machine>.S: where a new fiber begins; calls the function and argument that cel__fiber_init() left
 * in its frame. */
void cel__switch_entry(void);

#if defined(__x86_64__)
enum {
        FRAME_WORDS = 7,
        FRAME_FN = 3,
        FRAME_ARG = 2,
        FRAME_FP = 5,
        FRAME_PC = 6
}; /* r15 r14 r13 r12 rbx rbp, return address */
#elif defined(__aarch64__)
enum {
        FRAME_WORDS = 20,
        FRAME_FN = 0,
        FRAME_ARG = 1,
        FRAME_FP = 10,
        FRAME_PC = 11
}; /* x19 … x30, d8 … d15 */
#else
#error "no stack switch for this machine: write lib/rt/switch_<machine>.S and its frame here"
#endif

void cel__fiber_init_thread(cel__fiber *fiber)
{
        pthread_attr_t attr;

        memset(fiber, 0, sizeof(*fiber));
        if (pthread_getattr_np(pthread_self(), &attr) == 0) {
                pthread_attr_getstack(&attr, &fiber->stack_lo, &fiber->stack_bytes);
                pthread_attr_destroy(&attr);
        }
#ifdef CEL__TSAN
        fiber->tsan_fiber = __tsan_get_current_fiber();
#endif
}

void cel__fiber_init(cel__fiber *fiber, void *stack_lo, size_t stack_bytes, void (*fn)(void *arg), void *arg)
{
        uintptr_t top = ((uintptr_t)stack_lo + stack_bytes) & ~(uintptr_t)15;
        void **frame = (void **)top - FRAME_WORDS;

        memset(fiber, 0, sizeof(*fiber));
        memset(frame, 0, FRAME_WORDS * sizeof(*frame));
        memcpy(&frame[FRAME_FN], &fn,
               sizeof(fn)); /* C has no cast between pointers to functions and to data */
        frame[FRAME_ARG] = arg;
        void (*entry)(void) = cel__switch_entry;
        memcpy(&frame[FRAME_PC], &entry, sizeof(entry));

        fiber->sp = frame;
        fiber->stack_lo = stack_lo;
        fiber->stack_bytes = stack_bytes;
        fiber->valgrind_stack = VALGRIND_STACK_REGISTER(stack_lo, (char *)stack_lo + stack_bytes);
#ifdef CEL__TSAN
        fiber->tsan_fiber = __tsan_create_fiber(0);
#endif
}

/* The switch itself. `leaving` says that `from` will never run again. */
static inline void do_switch(cel__fiber *from, cel__fiber *to, int leaving)
{
#ifdef CEL__ASAN
        __sanitizer_start_switch_fiber(leaving ? NULL : &from->asan_fake_stack, to->stack_lo,
                                       to->stack_bytes);
#endif
#ifdef CEL__TSAN
        __tsan_switch_to_fiber(to->tsan_fiber, 0);
#endif
        (void)leaving;
        cel__switch(&from->sp, to->sp);
#ifdef CEL__ASAN
        __sanitizer_finish_switch_fiber(from->asan_fake_stack, NULL, NULL);
#endif
}

/* Called first thing on a new fiber's stack. */
void cel__fiber_entered(void);
void cel__fiber_entered(void)
{
#ifdef CEL__ASAN
        __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
}

void cel__fiber_switch(cel__fiber *from, cel__fiber *to)
{
        do_switch(from, to, 0);
}

_Noreturn void cel__fiber_leave(cel__fiber *from, cel__fiber *to)
{
        do_switch(from, to, 1);
        cel__misuse("a fiber that had left was switched to");
}

/* Not for AddressSanitizer, which does not like others to read a stack. */
__attribute__((no_sanitize("address"))) unsigned cel__fiber_backtrace(const cel__fiber *fiber, void *frames[],
                                                                      unsigned n)
{
        uintptr_t top = (uintptr_t)fiber->stack_lo + fiber->stack_bytes;
        void *const *saved = fiber->sp;
        uintptr_t at = (uintptr_t)(saved + FRAME_WORDS); /* callers' frames lie above */
        uintptr_t fp = (uintptr_t)saved[FRAME_FP];
        unsigned found = 0;

        if (found < n)
                frames[found++] = saved[FRAME_PC];
        while (found < n && fp >= at && fp <= top - 2 * sizeof(void *) && fp % sizeof(void *) == 0) {
                void *const *frame = (void *const *)fp; /* the caller's frame pointer, the return address */

                if (!frame[1])
                        break;
                frames[found++] = frame[1];
                at = fp + 1;
                fp = (uintptr_t)frame[0];
        }
        return found;
}

size_t cel__fiber_depth(const cel__fiber *fiber)
{
        return (size_t)((const char *)fiber->stack_lo + fiber->stack_bytes - (const char *)fiber->sp);
}

void cel__fiber_fini(cel__fiber *fiber)
{
        VALGRIND_STACK_DEREGISTER(fiber->valgrind_stack);
#ifdef CEL__TSAN
        if (fiber->tsan_fiber)
                __tsan_destroy_fiber(fiber->tsan_fiber);
#endif
        memset(fiber, 0, sizeof(*fiber));
}
