// Sums over rows, over columns and over everything, in float64 and rounded once.
#include "map.cuh"
#include "reduce.cuh"

// partial[q][chunk][c] = sum of quantity q over the chunk's rows; 32 columns x 8 rows of threads.
template <int Q, class F>
__device__ void column_partials(double* partial, long rows, long columns, long chunk, F f) {
    __shared__ double sums[Q][8][33];
    int lane = threadIdx.x % 32, line = threadIdx.x / 32;
    long blocks = (columns + 31) / 32, chunks = (rows + chunk - 1) / chunk;
    for (long job = blockIdx.x; job < blocks * chunks; job += gridDim.x) {
        long c = job % blocks * 32 + lane, part = job / blocks, last = min((part + 1) * chunk, rows);
        double mine[Q] = {};
        for (long m = part * chunk + line; c < columns && m < last; m += 8) f(m, c, mine);
        for (int q = 0; q < Q; q++) sums[q][line][lane] = mine[q];
        __syncthreads();
        if (line < Q && c < columns) {
            double total = 0;
            for (int l = 0; l < 8; l++) total += sums[line][l][lane];
            partial[(line * chunks + part) * columns + c] = total;
        }
        __syncthreads();
    }
}

extern "C" {

__global__ void column_sum(const real* x, double* partial, long rows, long columns, long chunk) {
    column_partials<1>(partial, rows, columns, chunk,
                       [=](long m, long c, double* to) { to[0] += x[m * columns + c]; });
}

__global__ void column_moments(const real* x, double* partial, long rows, long columns, long chunk) {
    column_partials<2>(partial, rows, columns, chunk, [=](long m, long c, double* to) {
        double value = x[m * columns + c];
        to[0] += value;
        to[1] += value * value;
    });
}

__global__ void column_products(const real* dy, const real* x, const real* mean, const real* inverse, double* partial,
                                long rows, long columns, long chunk) {
    column_partials<2>(partial, rows, columns, chunk, [=](long m, long c, double* to) {
        double d = dy[m * columns + c];
        to[0] += d;
        to[1] += d * ((double(x[m * columns + c]) - mean[c]) * inverse[c]);
    });
}

// y[q][c] (+)= sum over chunks of partial[q][chunk][c], in this order
__global__ void of_columns(const double* partial, real* y, long chunks, long columns, bool accumulate) {
    for (long c = first_index(); c < columns; c += all_threads()) {
        double total = 0;
        for (long k = 0; k < chunks; k++) total += partial[k * columns + c];
        y[c] = accumulate ? y[c] + real(total) : real(total);
    }
}

__global__ void of_columns_double(const double* partial, double* y, long quantities, long chunks, long columns) {
    for (long i = first_index(); i < quantities * columns; i += all_threads()) {
        long q = i / columns, c = i % columns;
        double total = 0;
        for (long k = 0; k < chunks; k++) total += partial[(q * chunks + k) * columns + c];
        y[i] = total;
    }
}

__global__ void row_sum(const real* x, real* y, long rows, long k, double divisor, bool block) {
    Team t = team(block);
    for (; t.row < rows; t.row += t.step) {
        double total = 0;
        for (long j = t.rank; j < k; j += t.size) total += x[t.row * k + j];
        total = sum(t, total);
        if (t.rank == 0) y[t.row] = real(total / divisor);
    }
}

__global__ void row_max(const real* x, real* y, long rows, long k, bool block) {
    Team t = team(block);
    for (; t.row < rows; t.row += t.step) {
        real best = x[t.row * k];
        for (long j = t.rank; j < k; j += t.size) best = larger(best, x[t.row * k + j]);
        best = largest(t, best);
        if (t.rank == 0) y[t.row] = best;
    }
}

__global__ void squares(const real* x, double* partial, long n, long chunk) {
    for (long job = blockIdx.x; job * chunk < n; job += gridDim.x) {
        double total = 0;
        for (long i = job * chunk + threadIdx.x; i < min((job + 1) * chunk, n); i += blockDim.x) total += double(x[i]) * x[i];
        total = sum(team(true), total);
        if (threadIdx.x == 0) partial[job] = total;
    }
}

__global__ void ordered_sum(const real* parts, real* y, long count, long n) {
    for (long i = first_index(); i < n; i += all_threads()) {
        real total = parts[i];
        for (long p = 1; p < count; p++) total += parts[p * n + i];
        y[i] = total;
    }
}
}
