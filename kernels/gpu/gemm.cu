// Matrix products of float32 and float64 on the cores that multiply one number at a time (IEEE arithmetic, no tensor cores).
#include "epilogue.cuh"
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

// Where the operands are: groups in two digits, each with its distances; rows may have something between them.
struct Layout {
    long outer, inner, m, n, k;
    long a_row, a_outer, a_inner, b_row, b_outer, b_inner, c_row, c_outer, c_inner;

    __device__ explicit Layout(const long* t)
        : outer(t[0]), inner(t[1]), m(t[2]), n(t[3]), k(t[4]), a_row(t[5]), a_outer(t[6]), a_inner(t[7]), b_row(t[8]),
          b_outer(t[9]), b_inner(t[10]), c_row(t[11]), c_outer(t[12]), c_inner(t[13]) {}
};

template <bool A_ALONG, bool B_ALONG>
__device__ void multiply(const real* a, const real* b, Epilogue finish, real* c, const long* layout) {
    Layout l(layout);
    long across = (l.n + TILE_N - 1) / TILE_N, down = (l.m + TILE_M - 1) / TILE_M;
    for (long job = blockIdx.x; job < l.outer * l.inner * across * down; job += gridDim.x) {
        long group = job / (across * down), tile = job % (across * down), outer = group / l.inner, inner = group % l.inner;
        Matrix<A_ALONG> left = {a + outer * l.a_outer + inner * l.a_inner, l.m, l.k, l.a_row};
        Matrix<B_ALONG> right = {b + outer * l.b_outer + inner * l.b_inner, l.n, l.k, l.b_row};
        long start = outer * l.c_outer + inner * l.c_inner;
        product(left, right, tile / across * TILE_M, tile % across * TILE_N, 0, l.k, [=](long i, long j, real value) {
            if (i < l.m && j < l.n) finish.write(value, group * l.n + j, start + i * l.c_row + j, c);
        });
    }
}

extern "C" {

__global__ void __launch_bounds__(256) gemm_nn(const real* a, const real* b, const real* scale, const real* bias,
                                               const real* residual, real* c, const long* layout, int parts, real alpha,
                                               real beta) {
    multiply<false, true>(a, b, {scale, bias, residual, parts, alpha, beta}, c, layout);
}

__global__ void __launch_bounds__(256) gemm_nt(const real* a, const real* b, const real* scale, const real* bias,
                                               const real* residual, real* c, const long* layout, int parts, real alpha,
                                               real beta) {
    multiply<false, false>(a, b, {scale, bias, residual, parts, alpha, beta}, c, layout);
}

__global__ void __launch_bounds__(256) gemm_tn(const real* a, const real* b, const real* scale, const real* bias,
                                               const real* residual, real* c, const long* layout, int parts, real alpha,
                                               real beta) {
    multiply<true, true>(a, b, {scale, bias, residual, parts, alpha, beta}, c, layout);
}

__global__ void __launch_bounds__(256) gemm_tt(const real* a, const real* b, const real* scale, const real* bias,
                                               const real* residual, real* c, const long* layout, int parts, real alpha,
                                               real beta) {
    multiply<true, false>(a, b, {scale, bias, residual, parts, alpha, beta}, c, layout);
}
}
