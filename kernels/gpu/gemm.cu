// Matrix products of float32 and float64 on the cores that multiply one number at a time (IEEE arithmetic, no tensor cores).
#include "product.cuh"

// Number (i, k) of a matrix whose rows i, or columns, are `from_i` apart and whose terms `from_k`; one of them is 1.
template <bool ALONG>
struct Matrix {
    static constexpr bool along = ALONG;  // neighbours in memory lie along i
    const real* start;
    long size, terms, row;

    __device__ real at(long i, long k) const {
        if (i >= size || k >= terms) return 0;
        return start[ALONG ? k * row + i : i * row + k];
    }
};

template <bool A_ALONG, bool B_ALONG>
__device__ void multiply(const real* a, const real* b, const real* bias, real* c, long groups, long m, long n, long k,
                         bool biased, bool relu, bool accumulate) {
    long across = (n + TILE_N - 1) / TILE_N, down = (m + TILE_M - 1) / TILE_M;
    for (long job = blockIdx.x; job < groups * across * down; job += gridDim.x) {
        long group = job / (across * down), tile = job % (across * down);
        Matrix<A_ALONG> left = {a + group * m * k, m, k, A_ALONG ? m : k};
        Matrix<B_ALONG> right = {b + group * k * n, n, k, B_ALONG ? n : k};
        real* to = c + group * m * n;
        product(left, right, tile / across * TILE_M, tile % across * TILE_N, 0, k, [=](long i, long j, real value) {
            if (i >= m || j >= n) return;
            if (biased) value += bias[j];
            if (accumulate) value += to[i * n + j];
            to[i * n + j] = relu && value <= 0 ? real(0) : value;
        });
    }
}

extern "C" {

__global__ void __launch_bounds__(256) gemm_nn(const real* a, const real* b, const real* bias, real* c, long groups, long m,
                                               long n, long k, bool biased, bool relu, bool accumulate) {
    multiply<false, true>(a, b, bias, c, groups, m, n, k, biased, relu, accumulate);
}

__global__ void __launch_bounds__(256) gemm_nt(const real* a, const real* b, const real* bias, real* c, long groups, long m,
                                               long n, long k, bool biased, bool relu, bool accumulate) {
    multiply<false, false>(a, b, bias, c, groups, m, n, k, biased, relu, accumulate);
}

__global__ void __launch_bounds__(256) gemm_tn(const real* a, const real* b, const real* bias, real* c, long groups, long m,
                                               long n, long k, bool biased, bool relu, bool accumulate) {
    multiply<true, true>(a, b, bias, c, groups, m, n, k, biased, relu, accumulate);
}

__global__ void __launch_bounds__(256) gemm_tt(const real* a, const real* b, const real* bias, real* c, long groups, long m,
                                               long n, long k, bool biased, bool relu, bool accumulate) {
    multiply<true, false>(a, b, bias, c, groups, m, n, k, biased, relu, accumulate);
}
}
