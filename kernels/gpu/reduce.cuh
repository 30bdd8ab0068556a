// Sums and maxima over the threads that share a row: a warp where rows are short, a block where they are long.
//
// The order of a sum depends on the shape alone, so its bits are the same in every run.
#pragma once

template <class T, class F>
__device__ T over_warp(T value, F f) {
#pragma unroll
    for (int distance = 16; distance; distance /= 2) value = f(value, __shfl_xor_sync(~0u, value, distance));
    return value;
}

struct Team {
    int rank, size;  // this thread among those of one row
    long row, step;  // the first row, and the distance to the next
};

__device__ inline Team team(bool block) {
    if (block) return {int(threadIdx.x), int(blockDim.x), long(blockIdx.x), long(gridDim.x)};
    long thread = blockIdx.x * long(blockDim.x) + threadIdx.x;
    return {int(thread & 31), 32, thread / 32, gridDim.x * long(blockDim.x) / 32};
}

// All threads of the team get the result. A block must call this together.
template <class T, class F>
__device__ T over_team(Team t, T value, F f) {
    value = over_warp(value, f);
    if (t.size == 32) return value;
    __shared__ T parts[32];
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = parts[0];
    for (int warp = 1; warp < int(blockDim.x) / 32; warp++) value = f(value, parts[warp]);
    __syncthreads();
    return value;
}

template <class T>
__device__ T sum(Team t, T value) {
    return over_team(t, value, [](T a, T b) { return a + b; });
}

__device__ inline real larger(real a, real b) { return a > b || a != a ? a : b; }  // a NaN wins

__device__ inline real largest(Team t, real value) { return over_team(t, value, larger); }
