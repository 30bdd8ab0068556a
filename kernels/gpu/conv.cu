// Convolutions as implicit products: pixels x output channels, and the two gradients.
#include "conv.cuh"
#include "epilogue.cuh"
#include "product.cuh"

// Row i: output pixel; term: (t, r, s, c).
struct Windows {
    static constexpr bool along = false;
    const real* x;
    Geometry g;
    long pixels;
    int group;

    __device__ real at(long i, long k) const {
        if (i >= pixels || k >= g.terms()) return 0;
        int term = int(k), c = term % g.channels, tap = term / g.channels;
        long pixel = meets(g, place(i, g.o, g.p, g.q), tap / (g.s * g.r), tap / g.s % g.r, tap % g.s);
        return pixel < 0 ? real(0) : x[(pixel * g.groups + group) * g.channels + c];
    }
};

// Column j: output channel; term as above: w as it lies.
struct Filters {
    static constexpr bool along = false;
    const real* w;
    Geometry g;
    int group;

    __device__ real at(long j, long k) const {
        if (j >= g.k || k >= g.terms()) return 0;
        return w[(long(group) * g.k + j) * g.terms() + k];
    }
};

// Row i: pixel of x; term: (t, r, s, k).
struct Sources {
    static constexpr bool along = false;
    const real* dy;
    Geometry g;
    long pixels;
    int group;

    __device__ real at(long i, long k) const {
        if (i >= pixels || k >= long(g.t) * g.r * g.s * g.k) return 0;
        int term = int(k), channel = term % g.k, tap = term / g.k;
        long pixel = met_by(g, place(i, g.depth, g.height, g.width), tap / (g.s * g.r), tap / g.s % g.r, tap % g.s);
        return pixel < 0 ? real(0) : dy[(pixel * g.groups + group) * g.k + channel];
    }
};

// Column j: input channel; term: (t, r, s, k).
struct Turned {
    static constexpr bool along = true;
    const real* w;
    Geometry g;
    int group;

    __device__ real at(long j, long k) const {
        if (j >= g.channels || k >= long(g.t) * g.r * g.s * g.k) return 0;
        int term = int(k), channel = term % g.k, tap = term / g.k;
        return w[(long(group) * g.k + channel) * g.terms() + tap * g.channels + j];
    }
};

// Row i: output channel; term: output pixel.
struct Gradients {
    static constexpr bool along = true;
    const real* dy;
    Geometry g;
    long pixels;
    int group;

    __device__ real at(long i, long k) const {
        return i >= g.k || k >= pixels ? real(0) : dy[(k * g.groups + group) * g.k + i];
    }
};

// Column j: (t, r, s, c); term: output pixel.
struct Inputs {
    static constexpr bool along = true;
    Windows windows;

    __device__ real at(long j, long k) const { return windows.at(k, j); }
};

extern "C" {

__global__ void __launch_bounds__(256) forward(const real* x, const real* w, const real* scale, const real* bias,
                                               const real* residual, real* y, const int* geometry, long samples, int parts,
                                               real alpha, real beta) {
    Geometry g(geometry);
    Epilogue finish = {scale, bias, residual, parts, alpha, beta};
    long pixels = g.pixels_y(samples), across = (g.k + TILE_N - 1) / TILE_N, down = (pixels + TILE_M - 1) / TILE_M;
    for (long job = blockIdx.x; job < g.groups * across * down; job += gridDim.x) {
        int group = int(job / (across * down));
        long tile = job % (across * down);
        Windows left = {x, g, pixels, group};
        Filters right = {w, g, group};
        product(left, right, tile / across * TILE_M, tile % across * TILE_N, 0, g.terms(), [=](long i, long j, real value) {
            if (i < pixels && j < g.k) finish.write(value, group * g.k + j, (i * g.groups + group) * g.k + j, y);
        });
    }
}

__global__ void __launch_bounds__(256) by_input(const real* dy, const real* w, const real* scale, const real* bias,
                                                const real* residual, real* dx, const int* geometry, long samples, int parts,
                                                real alpha, real beta) {
    Geometry g(geometry);
    Epilogue finish = {scale, bias, residual, parts, alpha, beta};
    long pixels = g.pixels_x(samples), across = (g.channels + TILE_N - 1) / TILE_N, down = (pixels + TILE_M - 1) / TILE_M;
    for (long job = blockIdx.x; job < g.groups * across * down; job += gridDim.x) {
        int group = int(job / (across * down));
        long tile = job % (across * down), terms = long(g.t) * g.r * g.s * g.k;
        Sources left = {dy, g, pixels, group};
        Turned right = {w, g, group};
        product(left, right, tile / across * TILE_M, tile % across * TILE_N, 0, terms, [=](long i, long j, real value) {
            if (i >= pixels || j >= g.channels) return;
            finish.write(value, group * g.channels + j, (i * g.groups + group) * g.channels + j, dx);
        });
    }
}

// partial[chunk]: dw summed over the chunk's output pixels.
__global__ void __launch_bounds__(256) by_weight(const real* x, const real* dy, real* partial, const int* geometry,
                                                 long samples, long chunks, long chunk) {
    Geometry g(geometry);
    long pixels = g.pixels_y(samples), columns = g.terms();
    long across = (columns + TILE_N - 1) / TILE_N, down = (g.k + TILE_M - 1) / TILE_M, size = g.groups * g.k * columns;
    for (long job = blockIdx.x; job < chunks * g.groups * across * down; job += gridDim.x) {
        long part = job / (g.groups * across * down), tile = job % (across * down);
        int group = int(job / (across * down) % g.groups);
        Gradients left = {dy, g, pixels, group};
        Inputs right = {{x, g, pixels, group}};
        long first = part * chunk, last = first + chunk < pixels ? first + chunk : pixels;
        left.pixels = right.windows.pixels = last;
        product(left, right, tile / across * TILE_M, tile % across * TILE_N, first, last, [=](long i, long j, real value) {
            if (i < g.k && j < columns) partial[part * size + (group * g.k + i) * columns + j] = value;
        });
    }
}

// dw (+)= partial[0] + partial[1] + ...
__global__ void of_chunks(const real* partial, real* dw, long n, long chunks, bool accumulate) {
    for (long i = blockIdx.x * long(blockDim.x) + threadIdx.x; i < n; i += gridDim.x * long(blockDim.x)) {
        double total = accumulate ? dw[i] : 0;
        for (long k = 0; k < chunks; k++) total += partial[k * n + i];
        dw[i] = real(total);
    }
}
}
