// Philox4x32-10, whose bits are the CPU's. After Salmon, Moraes, Dror, Shaw 2011 (10.1145/2063384.2063405).
#pragma once

struct Words {
    unsigned at[4];
};

struct Stream {
    unsigned key0, key1, step_low, step_high;
};

__device__ inline Words philox(unsigned c0, unsigned c1, Stream s) {
    unsigned c2 = s.step_low, c3 = s.step_high, k0 = s.key0, k1 = s.key1;
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned low0 = 0xD2511F53u * c0, high0 = __umulhi(0xD2511F53u, c0);
        unsigned low1 = 0xCD9E8D57u * c2, high1 = __umulhi(0xCD9E8D57u, c2);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}
