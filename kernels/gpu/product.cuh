// The tile of every product: C[m,n] = sum_k A(m,k) * B(k,n), A and B given by loaders, so that a matrix, its transpose and the
// windows of an image are one code (implicit GEMM: no matrix of patches is ever built).
//
//     block: 128 x 128 of C, 256 threads; thread: 8 x 8 of it, as 2 x 2 squares of 4 x 4 so that reads of shared memory are
//     16 bytes wide and free of bank conflicts. Two stages of shared memory: while one is multiplied, the next is on its way.
#pragma once

constexpr int TILE_M = 128, TILE_N = 128, TILE_K = 8, SIDE = 8, THREADS = 256;

struct alignas(4 * sizeof(real)) Four {
    real at[4];
};

// A loader has `real at(long i, long k)`: the number in row or column i of the tile's operand, 0 outside. A thread loads 4
// numbers of each operand: for one k if neighbours lie along i (along = true), else 4 neighbours along k.
template <class L>
__device__ inline void fetch(const L& from, long first, long k, real (&kept)[4]) {
    int t = threadIdx.x;
#pragma unroll
    for (int e = 0; e < 4; e++)
        kept[e] = L::along ? from.at(first + t % 32 * 4 + e, k + t / 32) : from.at(first + t / 2, k + t % 2 * 4 + e);
}

template <class L>
__device__ inline void keep(const L&, real (&stage)[TILE_K][TILE_M], const real (&kept)[4]) {
    int t = threadIdx.x;
#pragma unroll
    for (int e = 0; e < 4; e++) {
        if (L::along)
            stage[t / 32][t % 32 * 4 + e] = kept[e];
        else
            stage[t % 2 * 4 + e][t / 2] = kept[e];
    }
}

// write(m, n, value) is called for each element of this thread's 8 x 8; k runs over [k_first, k_last).
template <class A, class B, class W>
__device__ void product(const A& a, const B& b, long m_first, long n_first, long k_first, long k_last, W write) {
    __shared__ real left[2][TILE_K][TILE_M], right[2][TILE_K][TILE_N];
    int row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
    real sums[SIDE][SIDE] = {}, next_a[4], next_b[4];
    fetch(a, m_first, k_first, next_a);
    fetch(b, n_first, k_first, next_b);
    keep(a, left[0], next_a);
    keep(b, right[0], next_b);
    __syncthreads();
    int stage = 0;
    for (long k = k_first; k < k_last; k += TILE_K, stage ^= 1) {
        bool more = k + TILE_K < k_last;
        if (more) {
            fetch(a, m_first, k + TILE_K, next_a);
            fetch(b, n_first, k + TILE_K, next_b);
        }
#pragma unroll
        for (int j = 0; j < TILE_K; j++) {
            Four x[2], y[2];
#pragma unroll
            for (int half = 0; half < 2; half++) {
                x[half] = *reinterpret_cast<const Four*>(&left[stage][j][row + 64 * half]);
                y[half] = *reinterpret_cast<const Four*>(&right[stage][j][column + 64 * half]);
            }
#pragma unroll
            for (int i = 0; i < SIDE; i++)
#pragma unroll
                for (int l = 0; l < SIDE; l++) sums[i][l] += x[i / 4].at[i % 4] * y[l / 4].at[l % 4];
        }
        if (more) {
            keep(a, left[stage ^ 1], next_a);
            keep(b, right[stage ^ 1], next_b);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < SIDE; i++)
#pragma unroll
        for (int l = 0; l < SIDE; l++)
            write(m_first + row + i / 4 * 64 + i % 4, n_first + column + l / 4 * 64 + l % 4, sums[i][l]);
}
