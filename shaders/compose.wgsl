// One pass: captured planes → R'G'B', the layers over it, placed on the target. The same integers as the host
// compositor (src/frame/rows.rs and tone.rs, src/overlay/convert.rs and blend.rs); golden pictures hold the two together.
// On a target of ten bits: those of src/overlay/ten_bits.rs, which a reference in Rust holds.

// Of the target's channels: 255, or 1023 where it keeps ten bits.
override most: i32 = 255;

struct Params {
    // Of the picture; format 0: none (black), then 1: NV12, 2: I420, 3: RGB, 4: YUY2, 5: UYVY, 6: v210, 7: P010, 8: BGRx.
    width: u32,
    height: u32,
    format: u32,
    layers: u32,
    // Bytes from row to row and from the frame's start, of planes 0, 1, 2 (plane 0 starts at 0).
    stride_0: u32,
    stride_1: u32,
    stride_2: u32,
    offset_1: u32,
    offset_2: u32,
    // Coefficients with 14 fraction bits: of 8-bit samples; of 10-bit ones where `is_mapped`, or where ten bits stay ten.
    y_offset: i32,
    cy: i32,
    rv: i32,
    gu: i32,
    gv: i32,
    bu: i32,
    // Goes through `tone`: wide gamut or high dynamic range.
    is_mapped: u32,
    // Where the picture lies in the target.
    place_x: u32,
    place_y: u32,
    place_width: u32,
    place_height: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> frame: array<u32>;
// Bytes B, G, R, A of a layer stand in r, g, b, a.
@group(0) @binding(2) var layer_0: texture_2d<u32>;
@group(0) @binding(3) var layer_1: texture_2d<u32>;
@group(0) @binding(5) var layer_2: texture_2d<u32>;

// As `frame::Tone`: 1024 words of light, 8192 words of four shown bytes each, nine words of the gamut's matrix.
@group(0) @binding(4) var<storage, read> tone: array<u32>;
const TONE_SHOWN: u32 = 1024u;
const TONE_GAMUT: u32 = 9216u;

@vertex
fn vertex_main(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    // One triangle that covers the target.
    return vec4<f32>(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

fn byte_at(offset: u32) -> i32 {
    return i32((frame[offset >> 2u] >> ((offset & 3u) * 8u)) & 255u);
}

fn word_at(offset: u32) -> u32 {
    return frame[offset >> 2u];
}

// Sample `index` (in the order U0 Y0 V0 Y1 U1 Y2 V1 Y3 U2 Y4 V2 Y5) of the v210 group at `offset`.
fn v210_at(offset: u32, index: u32) -> i32 {
    return i32((word_at(offset + index / 3u * 4u) >> (index % 3u * 10u)) & 1023u);
}

// A 16-bit word's upper ten bits.
fn p010_at(offset: u32) -> i32 {
    return i32((word_at(offset) >> ((offset & 2u) * 8u + 6u)) & 1023u);
}

// Y, U, V of a Y'CbCr format; v210 and P010 in ten bits.
fn samples_at(x: u32, y: u32) -> vec3<i32> {
    let row = y * params.stride_0;
    switch params.format {
        case 1u: {
            let chroma = params.offset_1 + (y / 2u) * params.stride_1 + (x / 2u) * 2u;
            return vec3<i32>(byte_at(row + x), byte_at(chroma), byte_at(chroma + 1u));
        }
        case 2u: {
            let u = byte_at(params.offset_1 + (y / 2u) * params.stride_1 + x / 2u);
            let v = byte_at(params.offset_2 + (y / 2u) * params.stride_2 + x / 2u);
            return vec3<i32>(byte_at(row + x), u, v);
        }
        case 4u: {
            let pair = row + (x / 2u) * 4u;
            return vec3<i32>(byte_at(row + x * 2u), byte_at(pair + 1u), byte_at(pair + 3u));
        }
        case 5u: {
            let pair = row + (x / 2u) * 4u;
            return vec3<i32>(byte_at(row + x * 2u + 1u), byte_at(pair), byte_at(pair + 2u));
        }
        case 6u: {
            let group = row + (x / 6u) * 16u;
            let column = x % 6u;
            let pair = (column / 2u) * 4u;
            return vec3<i32>(v210_at(group, column * 2u + 1u), v210_at(group, pair), v210_at(group, pair + 2u));
        }
        default: {
            let chroma = params.offset_1 + (y / 2u) * params.stride_1 + (x / 2u) * 4u;
            return vec3<i32>(p010_at(row + x * 2u), p010_at(chroma), p010_at(chroma + 2u));
        }
    }
}

// The matrix, before its rounding to whole numbers; `middle`: of chroma.
fn matrix_of(samples: vec3<i32>, middle: i32) -> vec3<i32> {
    let luma = params.cy * (samples.x - params.y_offset) + 8192;
    let cb = samples.y - middle;
    let cr = samples.z - middle;
    return vec3<i32>(luma + params.rv * cr, luma - params.gu * cb - params.gv * cr, luma + params.bu * cb) >> vec3<u32>(14u);
}

fn gamut_row(row: u32, light: vec3<i32>) -> i32 {
    let at = TONE_GAMUT + row * 3u;
    let sum = i32(tone[at]) * light.r + i32(tone[at + 1u]) * light.g + i32(tone[at + 2u]) * light.b + 8192;
    return clamp(sum >> 14u, 0, 32767);
}

fn shown_at(light: i32) -> i32 {
    let index = u32(light);
    return i32((tone[TONE_SHOWN + (index >> 2u)] >> ((index & 3u) * 8u)) & 255u);
}

// From 10-bit codes to what is shown.
fn mapped(codes: vec3<i32>) -> vec3<i32> {
    let light = vec3<i32>(i32(tone[codes.r]), i32(tone[codes.g]), i32(tone[codes.b]));
    return vec3<i32>(shown_at(gamut_row(0u, light)), shown_at(gamut_row(1u, light)), shown_at(gamut_row(2u, light)));
}

// The target's level of an 8-bit one: itself, or the nearest of ten bits.
fn leveled(bytes: vec3<i32>) -> vec3<i32> {
    if most == 255 {
        return bytes;
    }
    return (bytes * most + vec3<i32>(127)) / vec3<i32>(255);
}

fn picture_at(x: u32, y: u32) -> vec3<i32> {
    if params.format == 0u {
        return vec3<i32>(0);
    }
    if params.format == 3u || params.format == 8u {
        var rgb: vec3<i32>;
        if params.format == 3u {
            let at = y * params.stride_0 + x * 3u;
            rgb = vec3<i32>(byte_at(at), byte_at(at + 1u), byte_at(at + 2u));
        } else {
            let at = y * params.stride_0 + x * 4u;
            rgb = vec3<i32>(byte_at(at + 2u), byte_at(at + 1u), byte_at(at));
        }
        if params.is_mapped == 0u {
            return leveled(rgb);
        }
        return leveled(mapped((rgb << vec3<u32>(2u)) | (rgb >> vec3<u32>(6u))));
    }
    var samples = samples_at(x, y);
    let is_ten_bit = params.format == 6u || params.format == 7u;
    if params.is_mapped == 0u {
        if is_ten_bit && most == 1023 {
            return clamp(matrix_of(samples, 512), vec3<i32>(0), vec3<i32>(1023));
        }
        if is_ten_bit {
            samples = min((samples + vec3<i32>(2)) >> vec3<u32>(2u), vec3<i32>(255));
        }
        return leveled(clamp(matrix_of(samples, 128), vec3<i32>(0), vec3<i32>(255)));
    }
    if !is_ten_bit {
        samples = samples << vec3<u32>(2u);
    }
    return leveled(mapped(clamp(matrix_of(samples, 512), vec3<i32>(0), vec3<i32>(1023))));
}

fn over(bgra: vec4<u32>, rgb: vec3<i32>) -> vec3<i32> {
    if bgra.a == 0u {
        return rgb;
    }
    if most != 255 {
        return leveled(vec3<i32>(bgra.bgr)) + (rgb * (255 - i32(bgra.a)) + vec3<i32>(127)) / vec3<i32>(255);
    }
    let t = rgb * (255 - i32(bgra.a)) + vec3<i32>(128);
    return vec3<i32>(bgra.bgr) + ((t + (t >> vec3<u32>(8u))) >> vec3<u32>(8u));
}

@fragment
fn fragment_main(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let target_x = u32(position.x);
    let target_y = u32(position.y);
    if target_x < params.place_x || target_y < params.place_y
        || target_x >= params.place_x + params.place_width || target_y >= params.place_y + params.place_height {
        return vec4<f32>(0.0, 0.0, 0.0, 1.0);
    }
    let x = (2u * (target_x - params.place_x) + 1u) * params.width / (2u * params.place_width);
    let y = (2u * (target_y - params.place_y) + 1u) * params.height / (2u * params.place_height);
    var rgb = picture_at(x, y);
    if params.layers > 0u {
        rgb = over(textureLoad(layer_0, vec2<u32>(x, y), 0), rgb);
    }
    if params.layers > 1u {
        rgb = over(textureLoad(layer_1, vec2<u32>(x, y), 0), rgb);
    }
    if params.layers > 2u {
        rgb = over(textureLoad(layer_2, vec2<u32>(x, y), 0), rgb);
    }
    return vec4<f32>(vec3<f32>(rgb) / f32(most), 1.0);
}
