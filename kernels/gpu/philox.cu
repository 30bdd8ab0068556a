// Random bits by their address, and what is drawn with them.
#include "map.cuh"
#include "philox.cuh"

// The word of element e: four elements share a counter.
__device__ inline unsigned word(unsigned long e, unsigned long sample, Stream s) {
    return philox(unsigned(e / 4), unsigned(sample), s).at[e % 4];
}

// A slice of `length` consecutive numbers starts at starts[i / length] in the unsharded tensor.
__device__ inline long whole_index(long i, const long* starts, long length) { return starts[i / length] + i % length; }

__device__ inline double unit(unsigned bits) { return (bits + 0.5) / 4294967296.0; }

extern "C" {

__global__ void random_bits(const long* samples, unsigned* bits, long n, long elements, unsigned key0, unsigned key1,
                            unsigned step_low, unsigned step_high) {
    Stream s = {key0, key1, step_low, step_high};
    for (long i = first_index(); i < n; i += all_threads()) bits[i] = word(i % elements, samples[i / elements], s);
}

__global__ void dropout(const real* x, const long* samples, const long* starts, real* y, long n, long elements, long length,
                        unsigned threshold, real share, unsigned key0, unsigned key1, unsigned step_low, unsigned step_high) {
    Stream s = {key0, key1, step_low, step_high};
    for (long i = first_index(); i < n; i += all_threads()) {
        long e = whole_index(i % elements, starts, length);
        y[i] = word(e, samples[i / elements], s) >= threshold ? x[i] / share : real(0);
    }
}

__global__ void fill_uniform(real* x, const long* starts, long n, long length, double low, double high, unsigned key0,
                             unsigned key1) {
    Stream s = {key0, key1, 0, 0};
    for (long i = first_index(); i < n; i += all_threads())
        x[i] = real(low + (high - low) * unit(word(whole_index(i, starts, length), 0, s)));
}

__global__ void fill_normal(real* x, const long* starts, long n, long length, double deviation, unsigned key0, unsigned key1) {
    Stream s = {key0, key1, 0, 0};
    for (long i = first_index(); i < n; i += all_threads()) {
        unsigned long e = whole_index(i, starts, length);
        Words words = philox(unsigned(e / 4), 0, s);
        unsigned pair = e % 4 / 2 * 2;
        double radius = deviation * sqrt(-2 * log(unit(words.at[pair])));
        double angle = 6.283185307179586476925287 * unit(words.at[pair + 1]);
        x[i] = real(radius * (e % 2 ? sin(angle) : cos(angle)));
    }
}
}
