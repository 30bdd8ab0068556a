// Convolutions over three axes; two axes are three with a depth of 1. Where things are, said once for forward and gradients.
#pragma once

// In the order in which conv.py packs it: sizes of x, y and the window, then what each axis steps by.
struct Geometry {
    int depth, height, width, channels;  // of x; channels of one group
    int o, p, q, k;                      // of y; k of one group
    int t, r, s, groups;
    int stride[3], dilation[3], before[3];

    __device__ explicit Geometry(const int* g) {
        depth = g[0], height = g[1], width = g[2], channels = g[3];
        o = g[4], p = g[5], q = g[6], k = g[7];
        t = g[8], r = g[9], s = g[10], groups = g[11];
        for (int axis = 0; axis < 3; axis++) {
            stride[axis] = g[12 + axis];
            dilation[axis] = g[15 + axis];
            before[axis] = g[18 + axis];
        }
    }
    __device__ int terms() const { return t * r * s * channels; }
    __device__ long pixels_y(long n) const { return n * o * p * q; }
    __device__ long pixels_x(long n) const { return n * depth * height * width; }
};

struct Place {
    int n, z, y, x;
};

__device__ inline Place place(long pixel, int depth, int height, int width) {
    int rest = int(pixel), x = rest % width;
    rest /= width;
    int y = rest % height;
    rest /= height;
    return {rest / depth, rest % depth, y, x};
}

// The pixel of x that tap (t, r, s) of output pixel `at` meets; -1 where that is padding.
__device__ inline long meets(const Geometry& g, Place at, int t, int r, int s) {
    int z = at.z * g.stride[0] + t * g.dilation[0] - g.before[0];
    int y = at.y * g.stride[1] + r * g.dilation[1] - g.before[1];
    int x = at.x * g.stride[2] + s * g.dilation[2] - g.before[2];
    bool inside = z >= 0 && z < g.depth && y >= 0 && y < g.height && x >= 0 && x < g.width;
    return inside ? ((long(at.n) * g.depth + z) * g.height + y) * g.width + x : -1;
}

// The place of an axis of y whose tap meets place `at` of x; -1 where there is none.
__device__ inline int source(int at, int tap, int stride, int dilation, int before, int size) {
    int shifted = at + before - tap * dilation;
    return shifted >= 0 && shifted % stride == 0 && shifted / stride < size ? shifted / stride : -1;
}

// The pixel of y that meets pixel `at` of x by tap (t, r, s), or -1: `meets`, read the other way round.
__device__ inline long met_by(const Geometry& g, Place at, int t, int r, int s) {
    int z = source(at.z, t, g.stride[0], g.dilation[0], g.before[0], g.o);
    int y = source(at.y, r, g.stride[1], g.dilation[1], g.before[1], g.p);
    int x = source(at.x, s, g.stride[2], g.dilation[2], g.before[2], g.q);
    return z < 0 || y < 0 || x < 0 ? -1 : ((long(at.n) * g.o + z) * g.p + y) * g.q + x;
}
