// Rows of a table by their numbers, parts of the last axis, and upsampling: data movement and its adjoints.
#include "map.cuh"

// Where along an axis output `at` looks: the pixel below its centre, the one above, the share of the one above.
struct Between {
    int lower, upper;
    real share;
};

__device__ inline Between between(int at, int factor, int size) {
    double centre = (at + 0.5) / factor - 0.5;
    if (centre < 0) centre = 0;
    int lower = int(centre);
    return {lower, lower + 1 < size ? lower + 1 : size - 1, real(centre - lower)};
}

// What output `at` of an axis gives to input `from`.
__device__ inline real share_of(int at, int from, int factor, int size, bool linear) {
    if (!linear) return at / factor == from ? 1 : 0;
    Between b = between(at, factor, size);
    return (b.lower == from ? 1 - b.share : real(0)) + (b.upper == from ? b.share : real(0));
}

extern "C" {

__global__ void gather(const real* table, const long* rows, real* y, long n, long width, long size) {
    for (long i = first_index(); i < n; i += all_threads()) {
        long row = rows[i / width];
        y[i] = row >= 0 && row < size ? table[row * width + i % width] : real(NAN);
    }
}

// order: the places of `rows` sorted by row, those of one row in their own order; starts[v]: the first place of row v.
__global__ void scatter_add(const real* dy, const long* order, const long* starts, real* y, long n, long width, bool accumulate) {
    for (long i = first_index(); i < n; i += all_threads()) {
        real total = accumulate ? y[i] : real(0);
        for (long k = starts[i / width]; k < starts[i / width + 1]; k++) total += dy[order[k] * width + i % width];
        y[i] = total;
    }
}

// y[m, to + j] = x[m, from + j]: a part of rows into a part of rows
__global__ void part(const real* x, real* y, long rows, long width, long x_row, long x_from, long y_row, long y_from) {
    for (long i = first_index(); i < rows * width; i += all_threads())
        y[i / width * y_row + y_from + i % width] = x[i / width * x_row + x_from + i % width];
}

__global__ void upsample2d(const real* x, real* y, long n, int height, int width, long channels, int down, int across,
                           bool linear) {
    for (long i = first_index(); i < n; i += all_threads()) {
        long pixel = i / channels, c = i % channels;
        int q = int(pixel % (width * across)), p = int(pixel / (width * across) % (height * down));
        const real* image = x + pixel / (width * across) / (height * down) * height * width * channels + c;
        if (!linear) {
            y[i] = image[(long(p / down) * width + q / across) * channels];
            continue;
        }
        Between v = between(p, down, height), h = between(q, across, width);
        real rows[2];
        for (int k = 0; k < 2; k++) {
            int column = k ? h.upper : h.lower;
            rows[k] = (1 - v.share) * image[(long(v.lower) * width + column) * channels] +
                      v.share * image[(long(v.upper) * width + column) * channels];
        }
        y[i] = (1 - h.share) * rows[0] + h.share * rows[1];
    }
}

// A thread for each input: it collects from the outputs whose centres are less than one pixel away, in (p, q) order.
__global__ void upsample2d_dx(const real* dy, real* dx, long n, int height, int width, long channels, int down, int across,
                              bool linear) {
    for (long i = first_index(); i < n; i += all_threads()) {
        long pixel = i / channels, c = i % channels;
        int w = int(pixel % width), h = int(pixel / width % height), reach = linear ? 1 : 0;
        const real* image = dy + pixel / width / height * height * down * width * across * channels + c;
        int p_last = min((h + 1 + reach) * down, height * down), q_last = min((w + 1 + reach) * across, width * across);
        real total = 0;
        for (int p = max((h - reach) * down, 0); p < p_last; p++)
            for (int q = max((w - reach) * across, 0); q < q_last; q++)
                total += share_of(p, h, down, height, linear) * share_of(q, w, across, width, linear) *
                         image[(long(p) * width * across + q) * channels];
        dx[i] = total;
    }
}
}
