// In front of every kernel: numbers as tensors hold them.

__device__ float half_value(unsigned short bits)
{
    float value;
#ifdef __CUDACC__
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
#else
    _Float16 half;
    memcpy(&half, &bits, sizeof half);
    value = (float)half;
#endif
    return value;
}

// Number `at` of floats, or of halves.
__device__ float number_of(const void *numbers, unsigned at, bool is_half)
{
    return is_half ? half_value(((const unsigned short *)numbers)[at]) : ((const float *)numbers)[at];
}
