// One pass: region map and borders → the overlay's texture: tints and cased outlines of sure shapes, tissue kept out of
// instruments. Marks, names, tips, dashed and hatched outlines stay with the host's painter (src/overlay/paint.rs), whose layer
// lies over this one. Borders are straight between the crossings of neighbouring pixels (marching squares, regions connected by
// sides), where the painter's are smoothed besides; distance, coverage and colour are the painter's, operation by operation
// (src/overlay/raster.rs and blend.rs), so that from one and the same line both make the same bytes.
//
// in   map       map_width·map_height region numbers
//      edges     2 bytes a pixel: mask_edges.cu
//      look_of   a byte a region: its look, 0: none
//      looks     how each look is drawn
//      palettes  256 premultiplied pixels a look, by nearness (overlay::raster::Pen)
// out  texture   width·height premultiplied pixels, B, G, R, A from the lowest byte on
//
// One thread a pixel of the texture, blocks of 16 × 16.

#define MOST_LOOKS 64
#define PIECE_PX 12.0f
#define TISSUE 1
#define INSTRUMENT 2

struct Look {
    // 0, TISSUE or INSTRUMENT. Tissues come before instruments, and lower numbers lie below higher ones.
    unsigned kind;
    unsigned has_outline;
    // Premultiplied; 0: none.
    unsigned tint;
    // Distance from a line at which its coverage ends, px.
    float reach;
};

struct OverlayParams {
    unsigned map_width, map_height;
    // Of the texture, which is the captured picture's.
    unsigned width, height;
    // From map pixels to the picture: (point + shift)·scale, held inside it.
    float scale[2], shift[2];
    // As many cells to each side hold all lines within reach.
    int cells[2];
};

struct Work {
    const OverlayParams *p;
    const unsigned short *map;
    const unsigned char *edges, *look_of;
};

struct Point {
    float x, y;
};

// Four neighbouring pixels' centres: (x, y), right of it, below that, below it.
struct Cell {
    int x, y;
    unsigned looks[4];
};

struct Segments {
    unsigned count;
    Point ends[4];
};

// Places outside the map have no look.
__device__ unsigned look_at(const Work *w, int x, int y)
{
    if (x < 0 || y < 0 || x >= (int)w->p->map_width || y >= (int)w->p->map_height)
        return 0;
    return w->look_of[w->map[(unsigned)y * w->p->map_width + (unsigned)x]];
}

__device__ Cell cell_at(const Work *w, int x, int y)
{
    Cell cell = {x, y, {look_at(w, x, y), look_at(w, x + 1, y), look_at(w, x + 1, y + 1), look_at(w, x, y + 1)}};
    return cell;
}

// Where on the way from the pixel at (x, y) to its right (0) or lower (1) neighbour the border runs; midway at the map's edge.
__device__ float crossing(const Work *w, int x, int y, int down)
{
    if (x < 0 || y < 0 || x >= (int)w->p->map_width || y >= (int)w->p->map_height)
        return 0.5f;
    unsigned byte = w->edges[2 * ((unsigned)y * w->p->map_width + (unsigned)x) + (unsigned)down];
    return byte == 0 ? 0.5f : (float)byte / 256.0f;
}

// A place on one axis, in map pixels from a pixel's centre, in the picture.
__device__ float in_picture(const OverlayParams *p, int axis, int pixel, float off)
{
    float moved = ((float)pixel + 0.5f + off + p->shift[axis]) * p->scale[axis];
    return fminf(fmaxf(moved, 0.0f), (float)(axis == 0 ? p->width : p->height));
}

// Where the border crosses a side of the cell: top, right, bottom, left.
__device__ Point side_of(const Work *w, const Cell *cell, int side)
{
    int x = cell->x + (side == 1), y = cell->y + (side == 2), down = side & 1;
    float off = crossing(w, x, y, down);
    Point point = {in_picture(w->p, 0, x, down ? 0.0f : off), in_picture(w->p, 1, y, down ? off : 0.0f)};
    return point;
}

// The border of a look in a cell. Where it lies in two opposite corners, each has its own.
__device__ Segments segments_of(const Work *w, const Cell *cell, unsigned look)
{
    bool in[4];
    for (int corner = 0; corner < 4; corner++)
        in[corner] = cell->looks[corner] == look;
    Segments all;
    all.count = 0;
    bool is_crossed[4] = {in[0] != in[1], in[1] != in[2], in[2] != in[3], in[3] != in[0]};
    if (is_crossed[0] && is_crossed[1] && is_crossed[2] && is_crossed[3]) {
        // About the first corner: left, top. About the second: top, right.
        int first = in[0] ? 3 : 0;
        for (int end = 0; end < 4; end++)
            all.ends[end] = side_of(w, cell, (first + end) & 3);
        all.count = 2;
        return all;
    }
    unsigned ends = 0;
    for (int side = 0; side < 4; side++)
        if (is_crossed[side])
            all.ends[ends++] = side_of(w, cell, side);
    all.count = ends / 2;
    return all;
}

// The cell in which the pixel's centre lies.
__device__ int cell_of(const OverlayParams *p, int axis, unsigned pixel)
{
    float centre = (float)pixel + 0.5f;
    int cell = (int)floorf(centre / p->scale[axis] - p->shift[axis] - 0.5f);
    // By the same numbers as the borders: no row falls between two cells.
    while (centre < in_picture(p, axis, cell, 0.0f))
        cell--;
    while (centre >= in_picture(p, axis, cell + 1, 0.0f))
        cell++;
    return cell;
}

// Raster::line: nearness to the pieces of one line, 0 out of reach to 255 on it.
__device__ unsigned nearness_to(Point a, Point b, float reach, unsigned x, unsigned y)
{
    float way_x = b.x - a.x, way_y = b.y - a.y;
    // The reference's clipping computes the end anew.
    way_x = a.x + way_x - a.x;
    way_y = a.y + way_y - a.y;
    float pieces = fmaxf(ceilf(sqrtf(way_x * way_x + way_y * way_y) / PIECE_PX), 1.0f);
    float steps_per_px2 = 255.0f / (reach * reach);
    unsigned nearest = 0;
    Point from = a;
    for (float piece = 1.0f; piece <= pieces; piece += 1.0f) {
        float part = piece / pieces;
        Point to = {a.x + way_x * part, a.y + way_y * part};
        float dx = to.x - from.x, dy = to.y - from.y;
        float length2 = dx * dx + dy * dy;
        float inverse = length2 > 1e-6f ? 1.0f / length2 : 0.0f;
        // The reference goes in lanes of eight.
        float px = (float)(x & ~7u) + 0.5f - from.x + (float)(x & 7u), py = (float)y + 0.5f - from.y;
        float t = fminf(fmaxf((px * dx + py * dy) * inverse, 0.0f), 1.0f);
        float ex = px - t * dx, ey = py - t * dy;
        float near = 255.0f - (ex * ex + ey * ey) * steps_per_px2;
        unsigned rounded = __float_as_uint((near > 0.0f ? near : 0.0f) + 8388608.0f) & 255u;
        nearest = max(nearest, rounded);
        from = to;
    }
    return nearest;
}

__device__ unsigned nearness(const Work *w, int cell_x, int cell_y, unsigned look, float reach, unsigned x, unsigned y)
{
    unsigned nearest = 0;
    for (int row = cell_y - w->p->cells[1]; row <= cell_y + w->p->cells[1]; row++)
        for (int column = cell_x - w->p->cells[0]; column <= cell_x + w->p->cells[0]; column++) {
            Cell cell = cell_at(w, column, row);
            Segments all = segments_of(w, &cell, look);
            for (unsigned i = 0; i < all.count; i++)
                nearest = max(nearest, nearness_to(all.ends[2 * i], all.ends[2 * i + 1], reach, x, y));
        }
    return nearest;
}

// Raster::area within one cell: from its left side on, each border that is crossed turns inside to outside.
__device__ bool is_inside(const Work *w, const Cell *cell, unsigned look, unsigned x, unsigned y)
{
    float row = (float)y + 0.5f;
    bool is_in = cell->looks[0] == look;
    if (is_in != (cell->looks[3] == look) && row >= side_of(w, cell, 3).y)
        is_in = !is_in;
    Segments all = segments_of(w, cell, look);
    for (unsigned i = 0; i < all.count; i++) {
        Point a = all.ends[2 * i], b = all.ends[2 * i + 1];
        Point top = a.y <= b.y ? a : b, bottom = a.y <= b.y ? b : a;
        if (row < top.y || row >= bottom.y)
            continue;
        float slope = (bottom.x - top.x) / (bottom.y - top.y);
        float at = top.x + (row - top.y) * slope;
        if ((float)x >= ceilf(at - 0.5f))
            is_in = !is_in;
    }
    return is_in;
}

// overlay::blend::over
__device__ unsigned over(unsigned above, unsigned below)
{
    const unsigned half = 0x00ff00ffu;
    unsigned rest = 255u - (above >> 24);
    unsigned even = (below & half) * rest + 0x00800080u;
    unsigned odd = (below >> 8 & half) * rest + 0x00800080u;
    even = (even + (even >> 8 & half)) >> 8 & half;
    odd = (odd + (odd >> 8 & half)) & ~half;
    return above + (even | odd);
}

// Number of the lowest bit that is set.
__device__ unsigned lowest(unsigned long long bits)
{
    return (unsigned)__ffsll((long long)bits) - 1;
}

// A pixel with one look over it.
__device__ unsigned drawn(const Work *w, const Cell *own, unsigned number, Look look, const unsigned *palettes, unsigned x, unsigned y,
                          unsigned pixel)
{
    if (look.tint != 0 && is_inside(w, own, number, x, y))
        pixel = over(look.tint, pixel);
    if (look.has_outline)
        pixel = over(palettes[number * 256 + nearness(w, own->x, own->y, number, look.reach, x, y)], pixel);
    return pixel;
}

extern "C" __global__ void mask_overlay(const __grid_constant__ OverlayParams p, const unsigned short *map, const unsigned char *edges,
                                        const unsigned char *look_of, const Look *looks, const unsigned *palettes, unsigned *texture)
{
    unsigned x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= p.width || y >= p.height)
        return;
    Work w = {&p, map, edges, look_of};
    int cell_x = cell_of(&p, 0, x), cell_y = cell_of(&p, 1, y);

    // The looks that are near enough to matter: few.
    unsigned long long present = 0;
    for (int row = cell_y - p.cells[1]; row <= cell_y + p.cells[1] + 1; row++)
        for (int column = cell_x - p.cells[0]; column <= cell_x + p.cells[0] + 1; column++)
            present |= 1ull << (look_at(&w, column, row) & (MOST_LOOKS - 1));
    present &= ~1ull;

    Cell own = cell_at(&w, cell_x, cell_y);
    unsigned pixel = 0;
    for (unsigned long long left = present; left != 0; left &= left - 1) {
        Look look = looks[lowest(left)];
        if (look.kind == TISSUE)
            pixel = drawn(&w, &own, lowest(left), look, palettes, x, y, pixel);
    }
    // Tissue is never painted over an instrument, be it shown or not.
    for (unsigned long long left = present; left != 0; left &= left - 1)
        if (looks[lowest(left)].kind == INSTRUMENT && is_inside(&w, &own, lowest(left), x, y))
            pixel = 0;
    for (unsigned long long left = present; left != 0; left &= left - 1) {
        Look look = looks[lowest(left)];
        if (look.kind == INSTRUMENT)
            pixel = drawn(&w, &own, lowest(left), look, palettes, x, y, pixel);
    }
    texture[y * p.width + x] = pixel;
}
