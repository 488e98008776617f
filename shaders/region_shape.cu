// Mask statistics: of each region of instrument its area, box, centroid, class, mean probability, the axis of its shaft and its
// tip. As src/track/decode.rs (class, confidence) and src/track/shape.rs (axis, tip), where the constants are explained. Sums are
// taken in double and in another order than there: places agree to a small part of a pixel, whole numbers exactly.
//
// in   regions     number of each region that is looked at
//      map         width·height region numbers (track::Regions)
//      labels      width·height bytes; 255 instrument
//      mask        width·height class ids
//      instrument  width·height probabilities
// out  shapes      one for each of `regions`
//
// One block of THREADS a region.

#define THREADS 128
#define INSTRUMENT 255
#define NO_CLASS 256
#define MOST_EXPECTED 16
#define SLICES 24
#define ELONGATED 1.6f
#define EDGE 1.5f
#define FARTHER_OUT 0.06f
#define END_DEPTH 1.5f
#define END_FADES 0.7f
#define HANGS_FROM 1.7f
#define END_WITHIN 1.3f
#define STRAIGHT 0.2f
#define TURNED 0.5f
#define SAME_WAY 0.9f
#define NEAR_END 0.35f
#define FAR 3.40282347e+38f

// In pixels of the captured picture.
struct Expected {
    float tip[2], axis[2];
};

struct ShapeParams {
    // Of the map.
    unsigned width, height;
    // From map pixels to the captured picture: (point + shift)·scale, held inside it.
    float scale[2], shift[2], picture[2];
    // Where instruments are expected.
    unsigned expected_count;
    Expected expected[MOST_EXPECTED];
};

struct RegionShape {
    // Map pixels; and half-open.
    unsigned area, box[4];
    // NO_CLASS: the region is no instrument.
    unsigned class_id;
    unsigned has_axis, has_tip;
    // Mean probability, 0..1.
    float confidence;
    // Pixels of the captured picture; the centroid's pixels weigh as much as they are probable.
    float centroid[2], axis[2], tip[2];
};

struct Moments {
    double weight, mean[2];
    // xx, xy, yy around the mean.
    double spread[3];
};

struct Line {
    float centre[2], direction[2];
};

// What all steps need.
struct Work {
    const ShapeParams *p;
    const unsigned short *map;
    const float *instrument;
    unsigned region, box[4];
    double *room;
};

__device__ float dot(const float *a, const float *b)
{
    return a[0] * b[0] + a[1] * b[1];
}

__device__ float along(Line line, const float *point)
{
    float off[2] = {point[0] - line.centre[0], point[1] - line.centre[1]};
    return dot(off, line.direction);
}

__device__ float across(Line line, const float *point)
{
    float off[2] = {point[0] - line.centre[0], point[1] - line.centre[1]};
    return off[0] * line.direction[1] - off[1] * line.direction[0];
}

// As Rust's signum.
__device__ float sign_of(float value)
{
    return copysignf(1.0f, value);
}

// Over all threads of the block; every thread gets it.
__device__ double sum_over_block(double value, double *room)
{
    __syncthreads();
    room[threadIdx.x] = value;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            room[threadIdx.x] += room[threadIdx.x + half];
    }
    __syncthreads();
    return room[0];
}

__device__ float most_over_block(float value, double *room)
{
    __syncthreads();
    room[threadIdx.x] = (double)value;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            room[threadIdx.x] = fmax(room[threadIdx.x], room[threadIdx.x + half]);
    }
    __syncthreads();
    return (float)room[0];
}

__device__ float least_over_block(float value, double *room)
{
    return -most_over_block(-value, room);
}

// Pixels of the region's box; of those that are the region's, where they lie in the map and in the picture.
__device__ unsigned box_pixels(const Work *w)
{
    return (w->box[2] - w->box[0]) * (w->box[3] - w->box[1]);
}

__device__ bool pixel_of(const Work *w, unsigned i, unsigned *at, float *point)
{
    unsigned box_width = w->box[2] - w->box[0];
    unsigned place[2] = {w->box[0] + i % box_width, w->box[1] + i / box_width};
    *at = place[1] * w->p->width + place[0];
    if (w->map[*at] != w->region)
        return false;
    for (int axis = 0; axis < 2; axis++) {
        float moved = ((float)place[axis] + 0.5f + w->p->shift[axis]) * w->p->scale[axis];
        point[axis] = fminf(fmaxf(moved, 0.0f), w->p->picture[axis]);
    }
    return true;
}

#define ALL 0
#define AT_EDGE 1
#define NEAR_LINE 2

// How much a pixel counts: all by their probability; those at the map's edge, and those near a line, one each.
__device__ double weight_of(const Work *w, int which, Line line, float most_across, unsigned at, const float *point)
{
    if (which == ALL)
        return fmax((double)w->instrument[at], 1e-3);
    if (which == NEAR_LINE)
        return fabsf(across(line, point)) <= most_across ? 1.0 : 0.0;
    unsigned x = at % w->p->width, y = at / w->p->width;
    return x == 0 || y == 0 || x + 1 == w->p->width || y + 1 == w->p->height ? 1.0 : 0.0;
}

__device__ Moments moments_of(const Work *w, int which, Line line, float most_across)
{
    double weight = 0.0, sum[2] = {0.0, 0.0}, spread[3] = {0.0, 0.0, 0.0};
    unsigned at;
    float point[2];
    for (unsigned i = threadIdx.x; i < box_pixels(w); i += THREADS)
        if (pixel_of(w, i, &at, point)) {
            double own = weight_of(w, which, line, most_across, at, point);
            weight += own;
            sum[0] += own * (double)point[0];
            sum[1] += own * (double)point[1];
        }
    Moments m;
    m.weight = sum_over_block(weight, w->room);
    for (int axis = 0; axis < 2; axis++) {
        double whole = sum_over_block(sum[axis], w->room);
        m.mean[axis] = m.weight > 0.0 ? whole / m.weight : 0.0;
    }
    for (unsigned i = threadIdx.x; i < box_pixels(w); i += THREADS)
        if (pixel_of(w, i, &at, point)) {
            double own = weight_of(w, which, line, most_across, at, point);
            double dx = (double)point[0] - m.mean[0], dy = (double)point[1] - m.mean[1];
            spread[0] += own * dx * dx;
            spread[1] += own * dx * dy;
            spread[2] += own * dy * dy;
        }
    for (int i = 0; i < 3; i++)
        m.spread[i] = sum_over_block(spread[i], w->room);
    return m;
}

// The main direction (its sign means nothing); *ratio: how many times longer than wide.
__device__ Line line_of(Moments m, float *ratio)
{
    double half_off = (m.spread[0] - m.spread[2]) / 2.0;
    double middle = (m.spread[0] + m.spread[2]) / 2.0, off = sqrt(half_off * half_off + m.spread[1] * m.spread[1]);
    double wide = fmax(middle - off, 1e-9);
    double angle = 0.5 * atan2(2.0 * m.spread[1], m.spread[0] - m.spread[2]);
    *ratio = (float)sqrt((middle + off) / wide);
    Line line = {{(float)m.mean[0], (float)m.mean[1]}, {(float)cos(angle), (float)sin(angle)}};
    return line;
}

// The least and the most along a line.
__device__ void reach_of(const Work *w, Line line, float *least, float *most)
{
    float low = FAR, high = -FAR, point[2];
    unsigned at;
    for (unsigned i = threadIdx.x; i < box_pixels(w); i += THREADS)
        if (pixel_of(w, i, &at, point)) {
            low = fminf(low, along(line, point));
            high = fmaxf(high, along(line, point));
        }
    *least = least_over_block(low, w->room);
    *most = most_over_block(high, w->room);
}

// Whole numbers in the order of the floats.
__device__ unsigned ordered(float value)
{
    unsigned bits = __float_as_uint(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ float float_of(unsigned ordered)
{
    return __uint_as_float(ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered);
}

// Median over slices across the line of half their width.
__device__ float half_width_of(const Work *w, Line line)
{
    __shared__ unsigned low[SLICES], high[SLICES];
    __shared__ float median;
    float least, most, point[2];
    unsigned at;
    reach_of(w, line, &least, &most);
    if (threadIdx.x < SLICES) {
        low[threadIdx.x] = ordered(FAR);
        high[threadIdx.x] = ordered(-FAR);
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < box_pixels(w); i += THREADS)
        if (pixel_of(w, i, &at, point)) {
            float place = (along(line, point) - least) / fmaxf(most - least, 1e-3f) * (float)SLICES;
            unsigned slice = min((unsigned)fmaxf(place, 0.0f), SLICES - 1u);
            atomicMin(&low[slice], ordered(across(line, point)));
            atomicMax(&high[slice], ordered(across(line, point)));
        }
    __syncthreads();
    if (threadIdx.x == 0) {
        float widths[SLICES];
        unsigned count = 0;
        for (unsigned slice = 0; slice < SLICES; slice++) {
            if (high[slice] < low[slice])
                continue;
            float width = (float_of(high[slice]) - float_of(low[slice])) / 2.0f;
            unsigned to = count++;
            for (; to > 0 && widths[to - 1] > width; to--)
                widths[to] = widths[to - 1];
            widths[to] = width;
        }
        median = widths[count / 2];
    }
    __syncthreads();
    return median;
}

// Which way along the line the tip lies; the direction is turned to it. False: it is open.
__device__ bool turn_to_tip(const Work *w, Line *line, float ratio, Moments entry)
{
    const ShapeParams *p = w->p;
    float *d = line->direction;
    float least, most;
    reach_of(w, *line, &least, &most);
    float way = 0.0f;
    if (entry.weight > 0.0) {
        float inwards[2] = {line->centre[0] - (float)entry.mean[0], line->centre[1] - (float)entry.mean[1]};
        float length = sqrtf(dot(inwards, inwards)), same_way = dot(d, inwards);
        if (ratio < ELONGATED) {
            // Only its end is in the picture: it points away from the edge.
            if (length > 0.0f) {
                d[0] = inwards[0] / length;
                d[1] = inwards[1] / length;
            }
            return length > 0.0f;
        }
        // An instrument that lies along the edge or crosses the whole picture has no end to tell.
        if (fabsf(same_way) > 0.2f * length && length > 0.0f)
            way = sign_of(same_way);
    } else if (ratio >= ELONGATED) {
        // Round pictures: the end that lies farther from the middle is where it enters.
        float out[2];
        for (int end = 0; end < 2; end++) {
            float far = end == 0 ? least : most, off[2];
            for (int axis = 0; axis < 2; axis++)
                off[axis] = line->centre[axis] + far * d[axis] - p->picture[axis] / 2.0f;
            out[end] = sqrtf(dot(off, off));
        }
        float farther = out[0] - out[1];
        if (fabsf(farther) > FARTHER_OUT * fmaxf(p->picture[0], p->picture[1]))
            way = sign_of(farther);
    }
    if (ratio >= ELONGATED)
        for (unsigned i = 0; i < p->expected_count && way == 0.0f; i++) {
            const Expected *expected = &p->expected[i];
            float same_way = dot(expected->axis, d), off[2];
            for (int axis = 0; axis < 2; axis++)
                off[axis] = expected->tip[axis] - (line->centre[axis] + d[axis] * (same_way > 0.0f ? most : least));
            if (fabsf(same_way) >= SAME_WAY && sqrtf(dot(off, off)) <= NEAR_END * (most - least))
                way = sign_of(same_way);
        }
    d[0] *= way;
    d[1] *= way;
    return way != 0.0f;
}

// The end farthest along the line, which points to the tip. False: it is outside the picture.
__device__ bool tip_of(const Work *w, Line line, float half_width, float *tip)
{
    const ShapeParams *p = w->p;
    float pixel = fmaxf(p->scale[0], p->scale[1]), within = END_WITHIN * half_width;
    float farthest = -FAR, low = FAR, high = -FAR, point[2];
    double weight = 0.0, sum = 0.0;
    unsigned at;
    for (unsigned i = threadIdx.x; i < box_pixels(w); i += THREADS)
        if (pixel_of(w, i, &at, point) && fabsf(across(line, point)) <= within)
            farthest = fmaxf(farthest, along(line, point));
    farthest = most_over_block(farthest, w->room);
    for (unsigned i = threadIdx.x; i < box_pixels(w); i += THREADS)
        if (pixel_of(w, i, &at, point) && fabsf(across(line, point)) <= within) {
            float behind = (farthest - along(line, point)) / pixel, aside = across(line, point);
            if (behind < END_DEPTH) {
                float own = expf(-behind / END_FADES);
                weight += (double)own;
                sum += (double)(own * aside);
                low = fminf(low, aside);
                high = fmaxf(high, aside);
            }
        }
    weight = sum_over_block(weight, w->room);
    sum = sum_over_block(sum, w->room);
    low = least_over_block(low, w->room);
    high = most_over_block(high, w->room);
    float mean = weight > 0.0 ? (float)(sum / weight) : 0.0f;
    float turned = fminf(fmaxf((fabsf(mean) / half_width - STRAIGHT) / (TURNED - STRAIGHT), 0.0f), 1.0f);
    float outermost = mean > 0.0f ? high - 0.5f * pixel : low + 0.5f * pixel;
    float aside = mean + turned * (outermost - mean);
    bool is_inside = true;
    for (int axis = 0; axis < 2; axis++) {
        float to_side = axis == 0 ? line.direction[1] : -line.direction[0];
        tip[axis] = line.centre[axis] + farthest * line.direction[axis] + aside * to_side;
        float margin = EDGE * p->scale[axis];
        is_inside = is_inside && tip[axis] > margin && tip[axis] < p->picture[axis] - margin;
    }
    return is_inside;
}

// Box and area of the region, and the class with most of its pixels (of equals the last).
__device__ void count_pixels(Work *w, const unsigned char *labels, const unsigned char *mask, RegionShape *shape)
{
    __shared__ unsigned votes[256], box[4], area;
    const ShapeParams *p = w->p;
    for (unsigned i = threadIdx.x; i < 256; i += THREADS)
        votes[i] = 0;
    if (threadIdx.x < 4)
        box[threadIdx.x] = threadIdx.x < 2 ? 0xffffffffu : 0;
    if (threadIdx.x == 0)
        area = 0;
    __syncthreads();
    for (unsigned at = threadIdx.x; at < p->width * p->height; at += THREADS) {
        if (w->map[at] != w->region)
            continue;
        unsigned x = at % p->width, y = at / p->width;
        atomicAdd(&area, 1);
        atomicMin(&box[0], x);
        atomicMin(&box[1], y);
        atomicMax(&box[2], x + 1);
        atomicMax(&box[3], y + 1);
        if (labels[at] == INSTRUMENT)
            atomicAdd(&votes[mask[at]], 1);
    }
    __syncthreads();
    shape->area = area;
    shape->class_id = NO_CLASS;
    unsigned most = 1;
    for (unsigned id = 0; id < 256; id++)
        if (votes[id] >= most) {
            most = votes[id];
            shape->class_id = id;
        }
    for (unsigned i = 0; i < 4; i++)
        shape->box[i] = w->box[i] = area == 0 ? 0 : box[i];
}

extern "C" __global__ void region_shape(const __grid_constant__ ShapeParams p, const unsigned short *regions, const unsigned short *map,
                                        const unsigned char *labels, const unsigned char *mask, const float *instrument, RegionShape *shapes)
{
    __shared__ double room[THREADS];
    Work w = {&p, map, instrument, regions[blockIdx.x], {0, 0, 0, 0}, room};
    RegionShape shape = {};
    count_pixels(&w, labels, mask, &shape);
    if (shape.area == 0) {
        if (threadIdx.x == 0)
            shapes[blockIdx.x] = shape;
        return;
    }

    double probability = 0.0;
    unsigned at;
    float point[2], ratio, all_ratio;
    for (unsigned i = threadIdx.x; i < box_pixels(&w); i += THREADS)
        if (pixel_of(&w, i, &at, point))
            probability += (double)instrument[at];
    probability = sum_over_block(probability, room);
    shape.confidence = fminf(fmaxf((float)(probability / (double)shape.area), 0.0f), 1.0f);

    const Line nowhere = {{0.0f, 0.0f}, {0.0f, 0.0f}};
    Moments moments = moments_of(&w, ALL, nowhere, 0.0f), entry = moments_of(&w, AT_EDGE, nowhere, 0.0f);
    Line line = line_of(moments, &all_ratio);
    shape.centroid[0] = line.centre[0];
    shape.centroid[1] = line.centre[1];
    float half_width = __uint_as_float(0x7f800000u);
    // Without what hangs on it, twice: the first axis is pulled aside by it.
    for (int round = 0; round < 2 && all_ratio >= ELONGATED; round++) {
        half_width = fmaxf(half_width_of(&w, line), fmaxf(p.scale[0], p.scale[1]));
        Moments core = moments_of(&w, NEAR_LINE, line, HANGS_FROM * half_width);
        if (core.weight < 0.5 * (double)shape.area) {
            half_width = __uint_as_float(0x7f800000u);
            break;
        }
        moments = core;
        line = line_of(moments, &ratio);
    }
    line = line_of(moments, &ratio);
    if (turn_to_tip(&w, &line, ratio, entry)) {
        shape.has_axis = ratio >= ELONGATED;
        for (int axis = 0; axis < 2 && shape.has_axis; axis++)
            shape.axis[axis] = line.direction[axis];
        float tip[2];
        shape.has_tip = tip_of(&w, line, half_width, tip);
        for (int axis = 0; axis < 2 && shape.has_tip; axis++)
            shape.tip[axis] = tip[axis];
    }
    if (threadIdx.x == 0)
        shapes[blockIdx.x] = shape;
}
