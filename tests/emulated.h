// CUDA's words for a C++ compiler: each thread of a block is a fiber, blocks follow each other, and what a thread of a GPU may
// rely on holds: nothing runs between two barriers in an order that a kernel could know. `descending` turns the order round.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <functional>
#include <vector>

#define __global__
#define __device__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define EMULATED 1

struct Dim {
    unsigned x = 1, y = 1, z = 1;
};
static Dim threadIdx, blockIdx, blockDim, gridDim;
alignas(128) static unsigned char shared_bytes[232448];

namespace emulation {

enum State { READY, AT_WARP, AT_BLOCK, DONE };
constexpr size_t STACK = 1 << 18;

struct Fiber {
    ucontext_t context;
    State state = READY;
};

static std::vector<Fiber> fibers;
static ucontext_t scheduler;
static unsigned current;
static std::function<void()> body;
static uint64_t slots[1024];
static char* stacks = nullptr;

static void enter() {
    body();
    fibers[current].state = DONE;
    swapcontext(&fibers[current].context, &scheduler);
}

static void wait(State where) {
    fibers[current].state = where;
    swapcontext(&fibers[current].context, &scheduler);
}

static void resume(unsigned t) {
    current = t;
    threadIdx.x = t;
    swapcontext(&scheduler, &fibers[t].context);
}

// Lets those go on who wait for each other: a warp whose living threads all wait, or the whole block.
static bool release(State where, unsigned first, unsigned last) {
    unsigned waiting = 0, done = 0;
    for (unsigned t = first; t < last; t++) {
        waiting += fibers[t].state == where;
        done += fibers[t].state == DONE;
    }
    if (!waiting || waiting + done < last - first) return false;
    for (unsigned t = first; t < last; t++)
        if (fibers[t].state == where) fibers[t].state = READY;
    return true;
}

static bool run_block(unsigned threads, bool descending) {
    fibers.assign(threads, Fiber());
    for (unsigned t = 0; t < threads; t++) {
        getcontext(&fibers[t].context);
        fibers[t].context.uc_stack.ss_sp = stacks + t * STACK;
        fibers[t].context.uc_stack.ss_size = STACK;
        fibers[t].context.uc_link = nullptr;
        makecontext(&fibers[t].context, enter, 0);
    }
    for (;;) {
        bool moved = false, over = true;
        for (unsigned i = 0; i < threads; i++) {
            unsigned t = descending ? threads - 1 - i : i;
            if (fibers[t].state == READY) resume(t), moved = true;
        }
        for (unsigned t = 0; t < threads; t++) over &= fibers[t].state == DONE;
        if (over) return true;
        for (unsigned w = 0; w < threads; w += 32) moved |= release(AT_WARP, w, w + 32 < threads ? w + 32 : threads);
        moved |= release(AT_BLOCK, 0, threads);
        if (!moved) return false;  // some wait at a barrier that others will never reach
    }
}

// 0, or 1 where the threads of a block wait for each other for ever.
static int launch(unsigned grid, unsigned block, bool descending, std::function<void()> kernel) {
    if (!stacks)
        stacks = (char*)mmap(nullptr, 1024 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    body = kernel;
    gridDim.x = grid;
    blockDim.x = block;
    for (unsigned i = 0; i < grid; i++) {
        blockIdx.x = descending ? grid - 1 - i : i;
        memset(shared_bytes, 0xff, sizeof shared_bytes);  // a NaN for whoever reads before writing
        if (!run_block(block, descending)) return 1;
    }
    return 0;
}

template <class T>
static T exchange(T value, unsigned partner) {
    static_assert(sizeof(T) <= 8, "a register");
    unsigned me = current, lane = me & 31;
    memcpy(&slots[me], &value, sizeof value);
    wait(AT_WARP);
    if (partner < 32) memcpy(&value, &slots[(me & ~31u) | partner], sizeof value);
    (void)lane;
    wait(AT_WARP);
    return value;
}

}  // namespace emulation

static void __syncthreads() { emulation::wait(emulation::AT_BLOCK); }
static void __syncwarp(unsigned = ~0u) { emulation::wait(emulation::AT_WARP); }
static void __threadfence() {}

template <class T>
static T __shfl_xor_sync(unsigned, T value, int mask) {
    return emulation::exchange(value, (threadIdx.x & 31) ^ mask);
}
template <class T>
static T __shfl_down_sync(unsigned, T value, int delta) {
    return emulation::exchange(value, (threadIdx.x & 31) + delta);
}
template <class T>
static T __shfl_sync(unsigned, T value, int lane) {
    return emulation::exchange(value, lane & 31);
}

static unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t(a) * b) >> 32; }
template <class T>
static T atomicAdd(T* at, T value) {
    T old = *at;
    *at += value;
    return old;
}
template <class T>
static T __ldg(const T* at) { return *at; }
static float rsqrtf(float x) { return 1 / sqrtf(x); }
static double rsqrt(double x) { return 1 / sqrt(x); }
static float rsqrt(float x) { return 1 / sqrtf(x); }
template <class T>
static T min(T a, T b) { return b < a ? b : a; }
template <class T>
static T max(T a, T b) { return a < b ? b : a; }
