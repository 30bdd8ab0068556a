// What follows a product in a network, done to its sums while they are in registers.
#pragma once

constexpr int SCALED = 1, BIASED = 2, RESIDUAL = 4, RELU = 8, GELU = 16;  // as in epilogue.py

// y = act( alpha * scale[j] * sum + bias[j] + residual[at] + beta * y[at] )
struct Epilogue {
    const real *scale, *bias, *residual;
    int parts;
    real alpha, beta;

    __device__ void write(real value, long column, long at, real* y) const {
        value *= parts & SCALED ? alpha * scale[column] : alpha;
        if (parts & BIASED) value += bias[column];
        if (parts & RESIDUAL) value += residual[at];
        if (beta != 0) value += beta * y[at];
        if (parts & RELU) value = value <= 0 ? real(0) : value;
        if (parts & GELU) value *= real(0.5) * (1 + erf(value * real(0.70710678118654752440)));
        y[at] = value;
    }
};
