/* SPDX-License-Identifier: Apache-2.0
 *
 * A fiber: a flow of control with a stack of its own, and the switch between two of them. Whoever switches
 * tells the sanitizers and valgrind, so that they stay trustworthy. Nothing here knows of tasks or loops. */
#ifndef CEL_RT_FIBER_H
#define CEL_RT_FIBER_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define CEL__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CEL__ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define CEL__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CEL__TSAN 1
#endif
#endif

typedef struct cel__fiber {
        void *sp;       /* while it does not run: where its registers are saved */
        void *stack_lo; /* borrowed; lowest usable byte of its stack */
        size_t stack_bytes;
#ifdef CEL__ASAN
        void *asan_fake_stack;
#endif
#ifdef CEL__TSAN
        void *tsan_fiber;
#endif
        unsigned valgrind_stack;
} cel__fiber;

/* Describe the calling thread's own flow of control, so that one can switch away from it and back. */
void cel__fiber_init_thread(cel__fiber *fiber);

/* A fiber that will run fn(arg) on the given stack when it is first switched to. fn must not return: it ends
 * with cel__fiber_leave(). */
void cel__fiber_init(cel__fiber *fiber, void *stack_lo, size_t stack_bytes, void (*fn)(void *arg), void *arg);

/* Suspend `from`, which must be what runs now, and run `to`. Returns when somebody switches back to `from`.
 */
void cel__fiber_switch(cel__fiber *from, cel__fiber *to);

/* End `from` and run `to`. `from` never runs again; cel__fiber_fini() it from elsewhere. */
_Noreturn void cel__fiber_leave(cel__fiber *from, cel__fiber *to);

/* Where a fiber that does not run would go on, and who called that, innermost first: at most `n` addresses into
 * `frames`; returns how many. Follows frame pointers, so it ends early at code that keeps none. */
unsigned cel__fiber_backtrace(const cel__fiber *fiber, void *frames[], unsigned n);

/* Bytes of its stack that a fiber that does not run uses now. */
size_t cel__fiber_depth(const cel__fiber *fiber);

/* Forget a fiber that has left or never ran; its stack may then be used again. */
void cel__fiber_fini(cel__fiber *fiber);

#endif
