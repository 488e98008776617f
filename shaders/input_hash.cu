// The frame's input_hash on the device, so that traceability needs no read-back of pixels: the SHA-256 digests of consecutive 8 KiB
// blocks of the visible bytes (rows from top to bottom, planes in order, no row padding; the last block may be shorter). As
// src/infer/hash.rs. Of header and digests, which are few, the host makes the hash: there each step needs the one before.
//
// input_hash_blocks   in   frame    bytes of the captured planes
//                     out  digests  32 bytes a block
//                     One thread a block of 8 KiB.

#define BLOCK_BYTES 8192u
#define DIGEST_BYTES 32u

struct HashParams {
    unsigned planes;
    // Bytes from the frame's start, from row to row, and visible in a row; rows. What lies behind the last plane is zeros.
    unsigned offset[3], stride[3], row_bytes[3], rows[3];
    // Of all planes together; less than 512 MiB.
    unsigned visible_bytes;
};

__constant__ unsigned ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// Visible bytes, one after the other.
struct Reader {
    const unsigned char *at;
    // Bytes left in the row, rows left in the plane after it, and the plane.
    unsigned left_in_row, rows_left, plane;
};

// Of the row that it is in.
__device__ void go_on(Reader *reader, unsigned bytes, const unsigned char *frame, const HashParams *p)
{
    reader->at += bytes;
    reader->left_in_row -= bytes;
    if (reader->left_in_row != 0)
        return;
    if (reader->rows_left > 0) {
        reader->rows_left--;
        reader->at += p->stride[reader->plane] - p->row_bytes[reader->plane];
    } else if (++reader->plane < p->planes) {
        reader->rows_left = p->rows[reader->plane] - 1;
        reader->at = frame + p->offset[reader->plane];
    }
    reader->left_in_row = reader->plane < p->planes ? p->row_bytes[reader->plane] : 0;
}

__device__ unsigned next_byte(Reader *reader, const unsigned char *frame, const HashParams *p)
{
    unsigned byte = *reader->at;
    go_on(reader, 1, frame, p);
    return byte;
}

__device__ unsigned big_endian(unsigned v)
{
    return v << 24 | (v << 8 & 0x00ff0000u) | (v >> 8 & 0x0000ff00u) | v >> 24;
}

__device__ unsigned turned(unsigned v, unsigned by)
{
    return v >> by | v << (32 - by);
}

// Takes a chunk of sixteen words into the state (FIPS 180-4, 6.2.2). All loops are unrolled: the words stay in registers.
__device__ void compress(unsigned *state, unsigned *w)
{
    unsigned a = state[0], b = state[1], c = state[2], d = state[3];
    unsigned e = state[4], f = state[5], g = state[6], h = state[7];
#pragma unroll
    for (int i = 0; i < 64; i++) {
        // The schedule needs only the last sixteen words: kept in place.
        if (i >= 16) {
            unsigned early = w[(i + 1) & 15], late = w[(i + 14) & 15];
            unsigned small = turned(early, 7) ^ turned(early, 18) ^ early >> 3;
            unsigned large = turned(late, 17) ^ turned(late, 19) ^ late >> 10;
            w[i & 15] += small + w[(i + 9) & 15] + large;
        }
        unsigned one = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + ROUND[i] + w[i & 15];
        unsigned two = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + one;
        d = c;
        c = b;
        b = a;
        a = one + two;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

// SHA-256 of the reader's next `length` bytes.
__device__ void digest_of(Reader reader, unsigned length, const unsigned char *frame, const HashParams *p, unsigned char *digest)
{
    unsigned state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    unsigned chunks = (length + 9 + 63) / 64;
    for (unsigned chunk = 0; chunk < chunks; chunk++) {
        unsigned w[16];
        // Mostly all of them lie one after the other, and can be fetched at once.
        if (chunk * 64 + 64 <= length && reader.left_in_row >= 64 && (unsigned long long)reader.at % 4 == 0) {
            const unsigned *words = (const unsigned *)reader.at;
#pragma unroll
            for (unsigned i = 0; i < 16; i++)
                w[i] = big_endian(words[i]);
            go_on(&reader, 64, frame, p);
        } else {
#pragma unroll
            for (unsigned i = 0; i < 16; i++) {
                w[i] = 0;
                for (unsigned k = 0; k < 4; k++) {
                    unsigned at = chunk * 64 + i * 4 + k;
                    unsigned byte = at < length ? next_byte(&reader, frame, p) : at == length ? 0x80u : 0u;
                    w[i] |= byte << (24 - 8 * k);
                }
            }
        }
        if (chunk == chunks - 1)
            w[15] = length * 8;
        compress(state, w);
    }
#pragma unroll
    for (unsigned i = 0; i < DIGEST_BYTES; i++)
        digest[i] = (unsigned char)(state[i >> 2] >> (24 - 8 * (i & 3)));
}

extern "C" __global__ void input_hash_blocks(const __grid_constant__ HashParams p, const unsigned char *frame, unsigned char *digests)
{
    unsigned block = blockIdx.x * blockDim.x + threadIdx.x;
    if (block * BLOCK_BYTES >= p.visible_bytes)
        return;
    unsigned at = block * BLOCK_BYTES, plane = 0;
    while (at >= p.row_bytes[plane] * p.rows[plane]) {
        at -= p.row_bytes[plane] * p.rows[plane];
        plane++;
    }
    unsigned row = at / p.row_bytes[plane], column = at % p.row_bytes[plane];
    const unsigned char *first = frame + p.offset[plane] + row * p.stride[plane] + column;
    Reader reader = {first, p.row_bytes[plane] - column, p.rows[plane] - row - 1, plane};
    unsigned length = min(BLOCK_BYTES, p.visible_bytes - block * BLOCK_BYTES);
    digest_of(reader, length, frame, &p, digests + DIGEST_BYTES * block);
}
