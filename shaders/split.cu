// One pass: instruments that touch are one region of the labels: cut apart between the axes at which they are expected. The same
// operations in the same order as src/track/split.rs; the two agree to the last bit.
//
// split_owner  in   labels  width·height bytes: 255 instrument
//              out  owner   a byte a pixel: the expected instrument that is nearest; 255 where none is near, or it is no instrument
// split_cut    in   labels, owner
//              out  cut     labels, without the instruments' pixels whose right or lower neighbour is another's
//
// One thread a pixel, THREADS to a block.

#define THREADS 256
#define NOTHING 0
#define INSTRUMENT 255
#define NOBODY 255
#define MOST_EXPECTED 64

// In pixels of the captured picture.
struct Expected {
    float tip[2], axis[2];
};

struct SplitParams {
    // Of the map.
    unsigned width, height;
    // From map pixels to the captured picture: (point + shift)·scale, held inside it.
    float scale[2], shift[2], picture[2];
    // What is farther away is nobody's.
    float reach;
    unsigned count;
    Expected expected[MOST_EXPECTED];
};

// The C library's, which is taken in doubles.
__device__ float length_of(float x, float y)
{
    return (float)sqrt((double)x * (double)x + (double)y * (double)y);
}

// Distance of a point from the expected shaft, which reaches from its tip backwards without end.
__device__ float off_shaft(const Expected *expected, const float *point)
{
    float to[2] = {point[0] - expected->tip[0], point[1] - expected->tip[1]};
    float along = to[0] * expected->axis[0] + to[1] * expected->axis[1];
    float across = fabsf(to[0] * expected->axis[1] - to[1] * expected->axis[0]);
    return along > 0.0f ? length_of(along, across) : across;
}

extern "C" __global__ void split_owner(const __grid_constant__ SplitParams p, const unsigned char *labels, unsigned char *owner)
{
    unsigned at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= p.width * p.height)
        return;
    owner[at] = NOBODY;
    if (labels[at] != INSTRUMENT)
        return;
    unsigned place[2] = {at % p.width, at / p.width};
    float point[2];
    for (int axis = 0; axis < 2; axis++) {
        float moved = ((float)place[axis] + 0.5f + p.shift[axis]) * p.scale[axis];
        point[axis] = fminf(fmaxf(moved, 0.0f), p.picture[axis]);
    }
    float least = 0.0f;
    unsigned nearest = NOBODY;
    for (unsigned i = 0; i < p.count; i++) {
        float off = off_shaft(&p.expected[i], point);
        if (nearest == NOBODY || off < least) {
            least = off;
            nearest = i;
        }
    }
    if (least <= p.reach)
        owner[at] = (unsigned char)nearest;
}

__device__ bool differ(unsigned char a, unsigned char b)
{
    return a != NOBODY && b != NOBODY && a != b;
}

extern "C" __global__ void split_cut(const __grid_constant__ SplitParams p, const unsigned char *labels, const unsigned char *owner, unsigned char *cut)
{
    unsigned at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= p.width * p.height)
        return;
    bool right = at % p.width + 1 < p.width && differ(owner[at], owner[at + 1]);
    bool below = at / p.width + 1 < p.height && differ(owner[at], owner[at + p.width]);
    cut[at] = right || below ? NOTHING : labels[at];
}
