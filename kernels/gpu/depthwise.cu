// Convolutions whose groups have one input channel: nothing is summed over channels, so neighbouring threads take neighbouring
// channels and every read is whole lines.
#include "conv.cuh"
#include "epilogue.cuh"
#include "map.cuh"

extern "C" {

__global__ void forward(const real* x, const real* w, const real* scale, const real* bias, const real* residual, real* y,
                        const int* geometry, long n, int parts, real alpha, real beta) {
    Epilogue finish = {scale, bias, residual, parts, alpha, beta};
    Geometry g(geometry);
    long channels = long(g.groups) * g.k;
    for (long i = first_index(); i < n; i += all_threads()) {
        long k = i % channels;
        Place at = place(i / channels, g.o, g.p, g.q);
        real total = 0;
        for (int t = 0, tap = 0; t < g.t; t++)
            for (int r = 0; r < g.r; r++)
                for (int s = 0; s < g.s; s++, tap++) {
                    long pixel = meets(g, at, t, r, s);
                    if (pixel >= 0) total += x[pixel * g.groups + k / g.k] * w[k * g.terms() + tap];
                }
        finish.write(total, k, i, y);
    }
}

__global__ void by_input(const real* dy, const real* w, const real* scale, const real* bias, const real* residual, real* dx,
                        const int* geometry, long n, int parts, real alpha, real beta) {
    Epilogue finish = {scale, bias, residual, parts, alpha, beta};
    Geometry g(geometry);
    for (long i = first_index(); i < n; i += all_threads()) {
        long c = i % g.groups, channels = long(g.groups) * g.k;
        Place at = place(i / g.groups, g.depth, g.height, g.width);
        real total = 0;
        for (int t = 0, tap = 0; t < g.t; t++)
            for (int r = 0; r < g.r; r++)
                for (int s = 0; s < g.s; s++, tap++) {
                    long pixel = met_by(g, at, t, r, s);
                    for (long k = c * g.k; pixel >= 0 && k < (c + 1) * g.k; k++)
                        total += dy[pixel * channels + k] * w[k * g.terms() + tap];
                }
        finish.write(total, c, i, dx);
    }
}

// partial[chunk][k][tap]: 32 channels x 8 lines of pixels sum one tap over a chunk of output pixels.
__global__ void by_weight(const real* x, const real* dy, real* partial, const int* geometry, long samples, long chunks,
                          long chunk) {
    __shared__ real sums[8][33];
    Geometry g(geometry);
    int lane = threadIdx.x % 32, line = threadIdx.x / 32;
    long channels = long(g.groups) * g.k, blocks = (channels + 31) / 32, pixels = g.pixels_y(samples);
    for (long job = blockIdx.x; job < chunks * g.terms() * blocks; job += gridDim.x) {
        long k = job % blocks * 32 + lane, part = job / blocks / g.terms();
        int tap = int(job / blocks % g.terms());
        long last = part * chunk + chunk < pixels ? part * chunk + chunk : pixels;
        real total = 0;
        for (long i = part * chunk + line; k < channels && i < last; i += 8) {
            long pixel = meets(g, place(i, g.o, g.p, g.q), tap / (g.s * g.r), tap / g.s % g.r, tap % g.s);
            if (pixel >= 0) total += dy[i * channels + k] * x[pixel * g.groups + k / g.k];
        }
        sums[line][lane] = total;
        __syncthreads();
        if (line == 0 && k < channels) {
            for (int l = 1; l < 8; l++) total += sums[l][lane];
            partial[(part * channels + k) * g.terms() + tap] = total;
        }
        __syncthreads();
    }
}
}
