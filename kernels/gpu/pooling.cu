// Pooling: forward, a thread for each output; gradients, a thread for each input that gathers what came from it, in (p, q) order.
#include "conv.cuh"
#include "map.cuh"

// How many real pixels a window holds, or all of them.
__device__ inline real elements(const Geometry& g, Place at, bool padding_counts) {
    if (padding_counts) return real(g.r * g.s);
    int count = 0;
    for (int r = 0; r < g.r; r++)
        for (int s = 0; s < g.s; s++) count += meets(g, at, 0, r, s) >= 0;
    return real(count ? count : 1);
}

extern "C" {

__global__ void max_pool2d(const real* x, real* y, int* argmax, const int* geometry, long n) {
    Geometry g(geometry);
    for (long i = first_index(); i < n; i += all_threads()) {
        Place at = place(i / g.channels, 1, g.p, g.q);
        long image = long(at.n) * g.height * g.width, won = -1;
        real best = 0;
        for (int r = 0; r < g.r; r++)
            for (int s = 0; s < g.s; s++) {
                long pixel = meets(g, at, 0, r, s);
                if (pixel < 0) continue;
                real value = x[pixel * g.channels + i % g.channels];
                if (won < 0 || value > best || (value != value && best == best)) best = value, won = pixel;
            }
        y[i] = best;
        argmax[i] = int(won - image);
    }
}

// dx[n, argmax, c] += dy: a thread for each channel of a sample, which walks its outputs in order.
__global__ void max_unpool2d(const real* dy, const int* argmax, real* dx, long lanes, long channels, long outputs, long inputs) {
    for (long i = first_index(); i < lanes; i += all_threads()) {
        long n = i / channels, c = i % channels;
        for (long k = 0; k < inputs; k++) dx[(n * inputs + k) * channels + c] = 0;
        for (long k = 0; k < outputs; k++) {
            long j = (n * outputs + k) * channels + c;
            dx[(n * inputs + argmax[j]) * channels + c] += dy[j];
        }
    }
}

__global__ void max_unpool2d_dx(const real* dy, const int* argmax, real* dx, long n, long channels, long outputs, long inputs) {
    for (long i = first_index(); i < n; i += all_threads())
        dx[i] = dy[(i / (outputs * channels) * inputs + argmax[i]) * channels + i % channels];
}

__global__ void avg_pool2d(const real* x, real* y, const int* geometry, long n, bool padding_counts) {
    Geometry g(geometry);
    for (long i = first_index(); i < n; i += all_threads()) {
        Place at = place(i / g.channels, 1, g.p, g.q);
        real total = 0;
        for (int r = 0; r < g.r; r++)
            for (int s = 0; s < g.s; s++) {
                long pixel = meets(g, at, 0, r, s);
                if (pixel >= 0) total += x[pixel * g.channels + i % g.channels];
            }
        y[i] = total / elements(g, at, padding_counts);
    }
}

__global__ void avg_pool2d_dx(const real* dy, real* dx, const int* geometry, long n, bool padding_counts) {
    Geometry g(geometry);
    for (long i = first_index(); i < n; i += all_threads()) {
        Place at = place(i / g.channels, 1, g.height, g.width);
        real total = 0;
        for (int r = g.r - 1; r >= 0; r--)
            for (int s = g.s - 1; s >= 0; s--) {
                long from = met_by(g, at, 0, r, s);
                if (from >= 0)
                    total += dy[from * g.channels + i % g.channels] / elements(g, place(from, 1, g.p, g.q), padding_counts);
            }
        dx[i] = total;
    }
}
}
