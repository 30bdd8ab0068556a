// Element by element: y[i] = f(a[i], b[i], ...), in packs of 16 bytes wherever all arrays allow it.
#pragma once

#ifndef INFINITY  // NVRTC has no math.h
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#endif

constexpr int PACK = 16 / sizeof(real);

struct alignas(16) Pack {
    real at[PACK];
};

__device__ inline bool aligned(const void* p) { return (reinterpret_cast<unsigned long>(p) & 15) == 0; }

__device__ inline long first_index() { return blockIdx.x * static_cast<long>(blockDim.x) + threadIdx.x; }

__device__ inline long all_threads() { return gridDim.x * static_cast<long>(blockDim.x); }

// Each thread loads all its packs before it writes: y may be one of the inputs.
template <class F, class... In>
__device__ void map(real* y, long n, F f, const In*... in) {
    long done = 0;
    if ((aligned(y) && ... && aligned(in))) {
        done = n / PACK * PACK;
        for (long i = first_index(); i < n / PACK; i += all_threads()) {
            Pack out;
            map_pack(out, f, reinterpret_cast<const Pack*>(in)[i]...);
            reinterpret_cast<Pack*>(y)[i] = out;
        }
    }
    for (long i = done + first_index(); i < n; i += all_threads()) y[i] = f(in[i]...);
}

template <class F, class... In>
__device__ void map_pack(Pack& out, F f, const In... in) {
#pragma unroll
    for (int k = 0; k < PACK; k++) out.at[k] = f(in.at[k]...);
}
